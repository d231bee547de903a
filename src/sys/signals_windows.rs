//! Windows: Ctrl+C and console close reach us as flags only, so a thread looks at them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::Signal;

/// Two looks a second: an idle gateway stays idle, and half a second is soon enough for Ctrl+C.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub fn start(stopping: Arc<AtomicBool>, mut deliver: impl FnMut(Signal) + Send + 'static) -> io::Result<()> {
    for signal in [SIGTERM, SIGINT] {
        flag::register_conditional_shutdown(signal, 128 + signal, stopping.clone())?;
        flag::register(signal, stopping.clone())?;
    }
    let thread = thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || {
        while !stopping.load(Ordering::SeqCst) {
            thread::park_timeout(LOOK_EVERY);
        }
        deliver(Signal::Stop("Ctrl+C"));
    })?;
    Ok(())
}

pub fn restart_myself() -> bool {
    false
}
