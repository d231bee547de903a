//! The platform: paths, clock, signals, child processes, hostname, memory.
//!
//! Knows nothing of the gateway. Differences between operating systems live here, as sibling files with the same
//! function names, never as `cfg` inside logic elsewhere.

pub mod abort;
pub mod accounts;
pub mod answer;
pub mod beneath;
pub mod child;
pub mod clock;
pub mod confine;
pub mod env;
pub mod files;
pub mod handed;
pub mod host;
pub mod log_dir;
pub mod multicast;
pub mod notify;
pub mod order;
pub mod paths;
pub mod pdf;
pub mod ports;
pub mod random;
pub mod regex;
#[cfg(test)]
pub mod scratch;
pub mod secret;
pub mod shared_text;
pub mod signals;
pub mod swap;
pub mod terminal;
pub mod watch;

pub use env::Env;

/// The stack of a thread that reads JSON of others: `bytes` as measured for the optimised program, with room to spare.
/// Without optimisation the same calls take four times as much.
pub const fn stack(bytes: usize) -> usize {
    if cfg!(debug_assertions) { bytes * 4 } else { bytes }
}
