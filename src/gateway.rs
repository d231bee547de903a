//! The composition root: builds everything, starts threads in order, stops them in reverse.
//!
//! Order of the start: configuration, port, state lock, database, models, state thread, listeners. What is slow (looking
//! for a local model server) comes after listening. Order of the stop: listeners, state thread (which tells clients and
//! drains runs), connections, database.

mod beacon;
mod bind;
mod facts;
mod limits;
mod log_file;
mod log_repeats;
mod models;
mod outlet;
mod prepare;
mod reload;
mod results;
mod start;
mod syslog;
pub mod tls;
mod watchdog;

use std::time::Duration;

pub use beacon::SERVICE;
pub use prepare::token_file;
pub use start::run;

use crate::config::{AuthMode, BindMode};
use crate::sys::paths::Selector;
use crate::sys::secret::Secret;

/// What the command line says about the gateway to run. `None` leaves it to environment and configuration.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The instance: its profile chooses state directory and configuration.
    pub selector: Selector,
    pub port: Option<u16>,
    pub bind: Option<BindMode>,
    pub auth: Option<AuthMode>,
    pub token: Option<Secret>,
    pub password: Option<Secret>,
    /// End whoever listens on the port first.
    pub force: bool,
    /// Start without `gateway.mode: "local"`.
    pub allow_unconfigured: bool,
    /// Create a development configuration and workspace where missing.
    pub dev: bool,
    pub verbose: bool,
    /// One of the reference's level words.
    pub log_level: Option<String>,
}

/// Why the gateway did not start, or did not end well. `Display` is the whole text for the user.
#[derive(Debug)]
pub enum StartError {
    /// A flag or variable makes no sense.
    Usage(String),
    /// Restarting will not help: exit 78.
    Config(String),
    /// This machine or this program failed.
    Failed(String),
    /// The state thread or the database thread ended by itself: exit 70, so that the supervisor restarts.
    Broken(&'static str),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Usage(text) | StartError::Config(text) | StartError::Failed(text) => f.write_str(text),
            StartError::Broken(what) => write!(f, "{what} ended by itself; the log says why"),
        }
    }
}

impl std::error::Error for StartError {}

/// How long runs may take to finish by themselves after SIGTERM; the units' `TimeoutStopSec=30` covers it.
const DRAIN: Duration = Duration::from_secs(20);
/// After the state thread has ended, connections have this long to send what is queued.
const FAREWELL: Duration = Duration::from_secs(2);
/// The last writes.
const STORE_CLOSE: Duration = Duration::from_secs(5);
/// How long another gateway of this state directory may take to go away.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How long a listener that `--force` asked to end may take before it is killed.
const FORCE_WAIT: Duration = Duration::from_secs(2);
