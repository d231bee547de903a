//! Wishes from outside: stop, restart, hang up.
//!
//! One thread waits for signals and passes them on; it never decides what they mean. A second stop signal ends the
//! process at once from inside the handler, so that it works even when everything else is stuck. SIGPIPE is ignored by
//! the standard library.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

#[cfg_attr(unix, path = "signals_unix.rs")]
#[cfg_attr(not(unix), path = "signals_windows.rs")]
mod platform;

/// What somebody outside asks for. The text is the signal's name, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, SIGINT: end in order.
    Stop(&'static str),
    /// SIGUSR2, and SIGUSR1 as older releases had it: start over.
    Restart(&'static str),
    /// SIGHUP: the terminal went away, or an operator wants the configuration read again.
    HangUp,
}

/// Starts the signals thread. `deliver` may block: the next signal is kept by the system until it returns.
///
/// From the first [`Signal::Stop`] on, another SIGTERM or SIGINT exits with 128 + its number.
pub fn start(deliver: impl FnMut(Signal) + Send + 'static) -> io::Result<()> {
    platform::start(Arc::new(AtomicBool::new(false)), deliver)
}

/// Asks this process to start over, as somebody outside would. False where there is no such signal.
pub fn restart_myself() -> bool {
    platform::restart_myself()
}

/// Like [`start`], into a channel. A closed channel loses signals, except for the second stop.
pub fn start_into<T: Send + 'static>(
    to: crossbeam_channel::Sender<T>,
    wrap: impl Fn(Signal) -> T + Send + 'static,
) -> io::Result<()> {
    start(move |signal| {
        // Nobody listens any more: the process is ending anyway.
        let _ = to.send(wrap(signal));
    })
}
