//! Tells the service manager that the gateway is well, and only after it has proved it to itself.
//!
//! The proof goes the way a client goes: through the listener and a connection thread to `/healthz` (with TLS only as far
//! as the connection), and through the state thread's inbox. Whatever is stuck on that way, the manager restarts us.
//!
//! Without a watching manager there is no thread.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use crate::hub::Hub;
use crate::sys::notify::Notifier;

/// A check that takes longer counts as failed; a healthy gateway needs a millisecond.
const CHECK_TIME: Duration = Duration::from_secs(5);
/// The thread connects and asks; it keeps nothing.
const STACK: usize = 128 << 10;

/// What is checked.
pub struct Subject {
    pub hub: Hub,
    /// The port of one of our own listeners; every bind mode serves the loopback address.
    pub port: u16,
    pub tls: bool,
}

/// Starts the thread if the manager watches. It ends when `stopping` is closed.
pub fn start(notifier: Notifier, subject: Subject, stopping: Receiver<()>) {
    let Some(interval) = notifier.watchdog() else { return };
    let watching = thread::Builder::new().name("watchdog".into()).stack_size(STACK).spawn(move || {
        watch(interval, &stopping, &|| check(&subject), &|| notifier.alive());
    });
    if let Err(error) = watching {
        // The manager will restart us: a host without room for one thread is not well.
        log::error!("start the watchdog thread: {error}");
    }
}

/// Checks three times in each interval, so that one slow moment is forgiven.
fn watch(interval: Duration, stopping: &Receiver<()>, check: &dyn Fn() -> Result<(), String>, alive: &dyn Fn()) {
    loop {
        match check() {
            Ok(()) => alive(),
            Err(why) => log::warn!("self-check failed: {why}"),
        }
        match stopping.recv_timeout(interval / 3) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn check(subject: &Subject) -> Result<(), String> {
    reach(subject.port, subject.tls).map_err(|error| format!("reach our own port {}: {error}", subject.port))?;
    let (answer, answered) = bounded(1);
    let asked = subject.hub.tell("watchdog", move |_, _| {
        // The check may have given up.
        let _ = answer.send(());
    });
    asked.map_err(|gone| gone.to_string())?;
    answered.recv_timeout(CHECK_TIME).map_err(|_| "the state thread does not answer".to_owned())
}

fn reach(port: u16, tls: bool) -> io::Result<()> {
    let end = Instant::now() + CHECK_TIME;
    let mut socket = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), CHECK_TIME)?;
    if tls {
        return Ok(());
    }
    socket.set_write_timeout(Some(CHECK_TIME))?;
    socket.write_all(
        format!("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let (mut head, mut got) = ([0; WANTED.len()], 0);
    while got < head.len() {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left))?;
        match socket.read(&mut head[got..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => got += count,
        }
    }
    if head == WANTED { Ok(()) } else { Err(io::Error::other(String::from_utf8_lossy(&head).into_owned())) }
}

/// The beginning of a good answer.
const WANTED: [u8; 12] = *b"HTTP/1.1 200";

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn only_a_good_check_is_reported() {
        let (end, stopping) = bounded::<()>(0);
        let (checks, reports) = (Cell::new(0), Cell::new(0));
        let end = Cell::new(Some(end));
        let check = || {
            checks.set(checks.get() + 1);
            match checks.get() {
                1 => Ok(()),
                2 => Err("stuck".to_owned()),
                _ => {
                    end.take();
                    Ok(())
                }
            }
        };
        watch(Duration::from_millis(3), &stopping, &check, &|| reports.set(reports.get() + 1));
        assert_eq!((checks.get(), reports.get()), (3, 2));
    }

    #[test]
    fn a_port_that_answers_something_else_is_not_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = thread::spawn(move || {
            for answer in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 503 Busy\r\n\r\n", ""] {
                let (mut socket, _) = listener.accept().unwrap();
                let mut request = [0; 256];
                assert!(socket.read(&mut request).unwrap() > 0);
                socket.write_all(answer.as_bytes()).unwrap();
            }
        });
        assert!(reach(port, false).is_ok());
        assert_eq!(reach(port, false).unwrap_err().to_string(), "HTTP/1.1 503");
        assert!(reach(port, false).is_err());
        serving.join().unwrap();
    }
}
