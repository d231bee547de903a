//! One client, one descriptor.
//!
//! A [`Sock`] is shared by whoever reads, whoever writes and whoever may have to end it. It is never `try_clone`d: that
//! would cost a descriptor per clone, and descriptors are what a small host runs out of first.
//!
//! Does not buffer and knows no protocol. Invariant: no call blocks longer than the timeout set before it.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one write may take whatever its size; then the peer must have taken [`SLOWEST`] on the average. Stops a
/// client from holding a thread for hours by taking a little before each write timeout.
const WRITE_GRACE: Duration = Duration::from_secs(30);
/// Bytes a second: less than the worst line a client of this protocol works over.
const SLOWEST: u64 = 16 << 10;

/// A connected socket; clones share the descriptor.
#[derive(Clone, Debug)]
pub struct Sock(Arc<TcpStream>);

/// How long a read may block.
#[derive(Clone, Copy, Debug)]
pub enum Patience {
    /// Until a moment, however many reads it takes.
    Until(Instant),
    /// This long each time.
    Each(Duration),
}

impl Sock {
    /// Takes a fresh socket: blocking, without Nagle's delay, and with a lethal write timeout.
    pub fn new(stream: TcpStream, write_time: Duration) -> io::Result<Sock> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(write_time))?;
        Ok(Sock(Arc::new(stream)))
    }

    pub(super) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match (&*self.0).read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Reads what is already there: `None` when that is nothing, zero at the end of the stream. Only for a socket that
    /// no other thread is using, because the mode is a property of the socket.
    pub(super) fn read_now(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        self.0.set_nonblocking(true)?;
        let read = self.read(into);
        self.0.set_nonblocking(false)?;
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            other => other.map(Some),
        }
    }

    /// Writes everything, or fails when the peer takes nothing for the write timeout, or far too little for longer.
    pub(super) fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        let total = bytes.len() as u64;
        let mut started = None;
        while !bytes.is_empty() {
            match (&*self.0).write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) if n == bytes.len() => return Ok(()),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            let started = *started.get_or_insert_with(Instant::now);
            if started.elapsed() > WRITE_GRACE + Duration::from_secs(total / SLOWEST) {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Hands over what the socket takes without waiting: how many bytes, or `None` when that is nothing, whatever the
    /// reason; a writer that may wait learns the reason.
    #[cfg(unix)]
    pub(super) fn send_now(&self, parts: [&[u8]; 4]) -> Option<usize> {
        use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
        let parts = parts.map(io::IoSlice::new);
        sendmsg(&self.0, &parts, &mut SendAncillaryBuffer::default(), SendFlags::DONTWAIT).ok()
    }

    /// Windows has no such write on a socket that others wait on.
    #[cfg(not(unix))]
    pub(super) fn send_now(&self, _parts: [&[u8]; 4]) -> Option<usize> {
        None
    }

    pub(super) fn set_read_timeout(&self, time: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(time.max(Duration::from_millis(1))))
    }

    /// Says that nothing more will be written; the peer can still be read.
    pub(super) fn end_write(&self) {
        // A peer that is gone already has its end.
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// Ends the connection from any thread. Wakes a blocked read and write at once on Unix; on Windows a blocked read
    /// ends at its timeout.
    pub fn kick(&self) {
        // Not connected any more is what was wanted.
        let _ = self.0.shutdown(Shutdown::Both);
    }

    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Says one thing to a client nobody will serve and lets go, without waiting for it.
    pub(super) fn refuse(&self, answer: &[u8]) {
        Sock::refuse_stream(&self.0, answer);
    }

    /// The same for a socket that did not become a [`Sock`]. What the client has already sent is read first: unread
    /// input turns the answer into a reset.
    pub(super) fn refuse_stream(mut stream: &TcpStream, answer: &[u8]) {
        // All of this is courtesy: a client that cannot take the answer at once goes without it.
        let _ = stream.set_nonblocking(true);
        let _ = stream.write(answer);
        let _ = stream.shutdown(Shutdown::Write);
        let mut scrap = [0; 1024];
        for _ in 0..16 {
            if !matches!(stream.read(&mut scrap), Ok(1..)) {
                break;
            }
        }
    }
}

/// The address as the gate counts it: an IPv4 client is the same client on a dual-stack socket.
pub(super) fn plain_address(peer: SocketAddr) -> IpAddr {
    peer.ip().to_canonical()
}
