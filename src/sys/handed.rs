//! Sockets that listen already when this process begins: given by a service manager, by systemd's protocol
//! (`LISTEN_FDS`, `LISTEN_PID`, `LISTEN_FDNAMES`). Either the manager made them (a socket unit), or an earlier process of
//! the service left them with it ([`super::notify::Notifier::keep`]).
//!
//! Invariants: they are taken once, before anything else is opened; children of this process do not inherit them; where
//! nothing is handed over the list is empty.

use std::net::TcpListener;

use super::Env;

#[cfg_attr(target_os = "linux", path = "handed_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "handed_none.rs")]
mod platform;

/// The name under which a gateway leaves its sockets with the manager.
pub const OWN: &str = "openclaw";

/// One socket.
#[derive(Debug)]
pub struct Handed {
    pub listener: TcpListener,
    /// [`OWN`], or what the socket unit calls it.
    pub name: String,
}

/// The sockets of this process. What does not accept TCP connections is closed, with a warning.
pub fn take(env: &Env) -> Vec<Handed> {
    let count = env.get("LISTEN_FDS").and_then(|count| count.parse().ok()).unwrap_or(0);
    if (1..=MOST).contains(&count) { platform::take() } else { Vec::new() }
}

/// A gateway has one for each of its addresses.
const MOST: u32 = 64;
