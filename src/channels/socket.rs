//! A connection to a service that speaks and listens at the same time: TCP, with TLS or without.
//!
//! One thread reads, any thread writes. TLS state is held under a lock for memory work only, never across a read or a
//! write of the socket; records leave in the order they were made, because making and sending them is one turn.
//!
//! Invariants: a read ends at its limit, which is lethal; [`Link::close`] wakes whoever reads or writes (on Unix at once).

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection};

use super::message::ChannelError;
use crate::net::dial::client_config;

/// One read of the socket.
const READ: usize = 8 << 10;
/// A service that does not take our bytes in this time is gone.
const WRITE: Duration = Duration::from_secs(20);

/// The two directions of one connection.
pub struct Link {
    tcp: TcpStream,
    tls: Option<Mutex<Connection>>,
    /// Whoever writes.
    out: Mutex<()>,
}

impl Link {
    /// Connects, and shakes hands if it is TLS, all within `limit`. Reads later end after `silence`.
    pub fn connect(
        host: &str,
        port: u16,
        tls: bool,
        limit: Duration,
        silence: Duration,
    ) -> Result<Arc<Link>, ChannelError> {
        let end = Instant::now() + limit;
        let unreached =
            |error: &dyn std::fmt::Display| ChannelError::Unreached(format!("connect to {host}:{port}: {error}"));
        let addresses: Vec<_> = (host, port).to_socket_addrs().map_err(|error| unreached(&error))?.take(8).collect();
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let mut tcp = None;
        for (tried, address) in addresses.iter().enumerate() {
            let left = end.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - tried).unwrap_or(1);
            match TcpStream::connect_timeout(address, share.max(Duration::from_millis(50))) {
                Ok(stream) => {
                    tcp = Some(stream);
                    break;
                }
                Err(error) => last = error,
            }
        }
        let tcp = tcp.ok_or_else(|| unreached(&last))?;
        let ready = tcp.set_nodelay(true).and_then(|()| tcp.set_write_timeout(Some(WRITE)));
        ready.map_err(|error| unreached(&error))?;
        let mut session = None;
        if tls {
            let name = ServerName::try_from(host.to_owned())
                .map_err(|_| ChannelError::Terminal(format!("{host} is no TLS name"), "correct the host".into()))?;
            let config = client_config().map_err(|error| unreached(&error))?;
            let mut client = ClientConnection::new(config, name).map_err(|error| unreached(&error))?;
            while client.is_handshaking() {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(unreached(&"TLS took too long"));
                }
                tcp.set_read_timeout(Some(left)).map_err(|error| unreached(&error))?;
                client.complete_io(&mut &tcp).map_err(|error| unreached(&format!("TLS: {error}")))?;
            }
            session = Some(Mutex::new(Connection::Client(client)));
        }
        tcp.set_read_timeout(Some(silence)).map_err(|error| unreached(&error))?;
        Ok(Arc::new(Link { tcp, tls: session, out: Mutex::default() }))
    }

    /// What the next reads may take, instead of the silence that was given.
    pub fn patience(&self, limit: Duration) -> io::Result<()> {
        // Zero would mean "for ever".
        self.tcp.set_read_timeout(Some(limit.max(Duration::from_millis(1))))
    }

    /// Reads on; 0 is the end. Only one thread may read.
    pub fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else { return (&self.tcp).read(into) };
        loop {
            match locked(tls).reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            let mut raw = [0; READ];
            let amount = (&self.tcp).read(&mut raw)?;
            let mut rest = &raw[..amount];
            loop {
                let mut session = locked(tls);
                session.read_tls(&mut rest)?;
                session.process_new_packets().map_err(io::Error::other)?;
                let wants = session.wants_write();
                drop(session);
                if wants {
                    self.write(&[])?;
                }
                if rest.is_empty() {
                    break;
                }
            }
            if amount == 0 {
                return locked(tls).reader().read(into);
            }
        }
    }

    /// Writes all of it. Any thread may.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let _turn = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tls) = &self.tls else { return (&self.tcp).write_all(bytes) };
        let mut rest = bytes;
        loop {
            let mut records = Vec::new();
            let mut session = locked(tls);
            if !rest.is_empty() {
                let taken = session.writer().write(rest)?;
                rest = &rest[taken..];
            }
            while session.wants_write() {
                session.write_tls(&mut records)?;
            }
            drop(session);
            (&self.tcp).write_all(&records)?;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// Ends both directions.
    pub fn close(&self) {
        // Fails only on a socket that is closed already.
        let _ = self.tcp.shutdown(Shutdown::Both);
    }
}

fn locked(tls: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    tls.lock().unwrap_or_else(PoisonError::into_inner)
}
