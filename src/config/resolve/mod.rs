//! What the configuration amounts to, together with flags and environment: port, addresses, authentication.
//!
//! Pure functions: nothing is bound, generated, read or printed here. The texts of refusals are part of what people and
//! scripts rely on.
//!
//! Invariants: an invalid value is an error that names where it came from, never a silent default; nothing that listens
//! beyond this machine comes out without authentication.

pub mod auth;
pub mod bind;
pub mod port;
pub mod start;

use std::fmt;

pub use auth::{Auth, AuthFlags, auth};
pub use bind::{Addresses, Listen, bind_mode, listen};
pub use port::port;
pub use start::{control_ui_origins, may_bind, may_start};

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Flag(&'static str),
    Env(&'static str),
    Config(&'static str),
    Default,
}

/// Why the gateway cannot start like this. `Display` is the whole text for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub kind: RefusalKind,
    pub message: String,
}

/// Decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// A flag or variable that makes no sense: exit 1.
    Usage,
    /// The configuration must be changed, a restart will not help: exit 78.
    Config,
}

impl Refusal {
    fn usage(message: impl Into<String>) -> Refusal {
        Refusal { kind: RefusalKind::Usage, message: message.into() }
    }

    fn config(message: impl Into<String>) -> Refusal {
        Refusal { kind: RefusalKind::Config, message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag(name) | Source::Env(name) | Source::Config(name) => f.write_str(name),
            Source::Default => f.write_str("default"),
        }
    }
}
