//! Limits that a process sets for itself: before it touches what it does not trust, and to serve as many as it can.
//!
//! Linux enforces both; other Unix systems enforce the time, and most of them the memory. Where neither exists the parent
//! still ends the process in time.

use std::io;
use std::time::Duration;

#[cfg_attr(unix, path = "confine_unix.rs")]
#[cfg_attr(not(unix), path = "confine_none.rs")]
mod platform;

/// From here on: at most so many bytes of memory and so much processor time, no core file, the first to go when the host
/// runs out of memory, and not a moment longer than the parent lives.
pub fn confine(memory_bytes: u64, time: Duration) -> io::Result<()> {
    platform::confine(memory_bytes, time)
}

/// How many descriptors this process may have open, after raising its own limit towards `wanted` as far as the host
/// allows; `wanted` where there is no such limit.
pub fn descriptors(wanted: usize) -> usize {
    platform::descriptors(wanted)
}
