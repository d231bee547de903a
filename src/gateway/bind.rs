//! Getting the port: binding it, saying who has it, and taking it by force when asked to.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::prepare::{Prepared, address};
use super::{FORCE_WAIT, StartError};
use crate::sys::handed::{self, Handed};
use crate::sys::ports;

/// How long the one who has the port may take to say what it is.
const PROBE: Duration = Duration::from_millis(500);

/// Binds every address of the plan, or takes it from `open`, which listen already. Port 0 takes a free one, the same for
/// all.
pub fn bind(prepared: &Prepared, open: &mut Vec<TcpListener>) -> Result<Vec<TcpListener>, StartError> {
    let (mut listeners, mut port) = (Vec::new(), prepared.port);
    for host in &prepared.listen.hosts {
        let listener = listen(*host, port, open).map_err(|error| taken(*host, port, &error))?;
        port = listener.local_addr().map_or(port, |a| a.port());
        listeners.push(listener);
    }
    for host in &prepared.listen.optional {
        match listen(*host, port, open) {
            Ok(listener) => listeners.push(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(taken(*host, port, &error)),
            Err(error) => log::debug!("{} is not served: {error}", address(*host, port)),
        }
    }
    Ok(listeners)
}

fn listen(host: IpAddr, port: u16, open: &mut Vec<TcpListener>) -> io::Result<TcpListener> {
    let wanted = SocketAddr::new(host, port);
    match open.iter().position(|listener| listener.local_addr().is_ok_and(|address| address == wanted)) {
        Some(at) => Ok(open.swap_remove(at)),
        None => TcpListener::bind(wanted),
    }
}

/// Binds at the start of the process, with the sockets its service manager handed over. What an earlier process left
/// and nobody wants any more is closed here; but a socket unit goes on listening whatever we do, and clients of an
/// address that is not served would wait for ever.
pub fn bind_first(prepared: &Prepared, handed: Vec<Handed>) -> Result<Vec<TcpListener>, StartError> {
    let of_units = handed.iter().filter(|socket| socket.name != handed::OWN);
    let of_units: Vec<SocketAddr> = of_units.filter_map(|socket| socket.listener.local_addr().ok()).collect();
    let mut open = handed.into_iter().map(|socket| socket.listener).collect();
    let listeners = bind(prepared, &mut open)?;
    let served = |address: &&SocketAddr| listeners.iter().any(|l| l.local_addr().is_ok_and(|own| own == **address));
    match of_units.iter().find(|address| !served(address)) {
        None => Ok(listeners),
        Some(address) => Err(StartError::Config(format!(
            "the service manager listens on {address}, the configuration says {}: make the socket unit agree with \
             gateway.port and gateway.bind, or disable it",
            self::address(prepared.listen.host(), prepared.port)
        ))),
    }
}

/// Words for a port that cannot be had.
fn taken(host: IpAddr, port: u16, error: &io::Error) -> StartError {
    if error.kind() == io::ErrorKind::AddrInUse {
        if is_gateway(port) {
            return StartError::Config(already(port));
        }
        let who = ports::listeners(port).ok().and_then(|found| {
            let pid = found.first()?.pid;
            Some(format!(" by pid {pid}{}", ports::describe(pid).map_or_else(String::new, |c| format!(" ({c})"))))
        });
        return StartError::Config(format!(
            "failed to bind gateway socket on ws://{}: EADDRINUSE: the port is in use{}; choose another with --port, or end \
             it with --force",
            address(host, port),
            who.unwrap_or_default()
        ));
    }
    StartError::Config(format!("failed to bind gateway socket on ws://{}: {error}", address(host, port)))
}

/// The gateway that has the port, as far as it can be known.
pub fn already(port: u16) -> String {
    let other = ports::listeners(port).ok().and_then(|found| found.first().map(|listener| listener.pid));
    let other = other.map(|pid| {
        let profile = ports::profile(pid).map(|profile| format!(", profile {profile}")).unwrap_or_default();
        format!(" (pid {pid}{profile})")
    });
    format!("another gateway instance is already listening on ws://127.0.0.1:{port}{}", other.unwrap_or_default())
}

/// Whether a gateway answers on this port of this host.
pub fn is_gateway(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), PROBE) else {
        return false;
    };
    let asked = stream
        .set_read_timeout(Some(PROBE))
        .and_then(|()| stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"));
    let mut answer = Vec::new();
    // A peer that never ends is cut off; what it said so far is enough.
    let read = stream.take(4096).read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    asked.is_ok()
        && (read.is_ok() || !answer.is_empty())
        && text.starts_with("HTTP/1.1 200")
        && text.contains(r#""status":"live""#)
}

/// `--force`: ends whoever listens on the port.
pub fn force(port: u16) -> Result<(), StartError> {
    let ended = ports::free(port, FORCE_WAIT).map_err(|error| StartError::Failed(format!("force: {error}")))?;
    for listener in ended {
        eprintln!("force: killed pid {} on port {port}", listener.pid);
    }
    Ok(())
}
