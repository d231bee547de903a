//! Unix: the kernel's signals, through a self-pipe.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use super::Signal;

pub fn start(stopping: Arc<AtomicBool>, mut deliver: impl FnMut(Signal) + Send + 'static) -> io::Result<()> {
    for (signal, status) in [(SIGTERM, 128 + SIGTERM), (SIGINT, 128 + SIGINT)] {
        // In this order the first signal finds the flag still down.
        flag::register_conditional_shutdown(signal, status, stopping.clone())?;
        flag::register(signal, stopping.clone())?;
    }
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP])?;
    let thread = thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || {
        for signal in signals.forever() {
            deliver(match signal {
                SIGTERM => Signal::Stop("SIGTERM"),
                SIGINT => Signal::Stop("SIGINT"),
                SIGUSR1 => Signal::Restart("SIGUSR1"),
                SIGUSR2 => Signal::Restart("SIGUSR2"),
                _ => Signal::HangUp,
            });
        }
    })?;
    Ok(())
}

pub fn restart_myself() -> bool {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::USR2).is_ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn signals_arrive_in_the_channel_with_their_names() {
        let (to, from) = crossbeam_channel::unbounded();
        super::super::start_into(to, |signal| signal).unwrap();
        let me = rustix::process::getpid();
        for (sent, expected) in [
            (rustix::process::Signal::USR2, Signal::Restart("SIGUSR2")),
            (rustix::process::Signal::HUP, Signal::HangUp),
            (rustix::process::Signal::USR1, Signal::Restart("SIGUSR1")),
        ] {
            rustix::process::kill_process(me, sent).unwrap();
            assert_eq!(from.recv_timeout(Duration::from_secs(5)), Ok(expected));
        }
    }
}
