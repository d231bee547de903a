//! The platform: paths, clock, signals, child processes, hostname, memory.
//!
//! Knows nothing of the gateway. Differences between operating systems live here, as sibling files with the same
//! function names, never as `cfg` inside logic elsewhere.

pub mod abort;
pub mod env;
pub mod paths;
pub mod secret;

pub use env::Env;
