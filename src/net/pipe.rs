//! What the protocols read from and write to: the plain or the encrypted stream, with deadlines.
//!
//! [`Source`] and [`Sink`] are the two halves; a [`Pipe`] holds both with one input buffer and belongs to one thread,
//! which is how HTTP uses them. A WebSocket takes the pipe apart and gives the halves to its two threads.
//!
//! Invariant: the input buffer never grows past the cap its caller names.

use std::io;
use std::time::{Duration, Instant};

use super::Limits;
use super::sock::{Patience, Sock};
use super::tls::{TlsReader, TlsWriter};

/// First size of the input buffer: most heads fit.
const FIRST_BUFFER: usize = 2 << 10;

/// The reading half of a connection.
pub(super) struct Source {
    sock: Sock,
    tls: Option<TlsReader>,
    /// The timeout the socket has now, so that it is set only when it has to change.
    timeout: Duration,
}

impl Source {
    pub(super) fn new(sock: Sock, tls: Option<TlsReader>) -> Source {
        Source { sock, tls, timeout: Duration::MAX }
    }

    /// Reads at least one byte; zero is the end. Fails with `TimedOut` or `WouldBlock` when patience ends.
    pub(super) fn read(&mut self, into: &mut [u8], patience: Patience) -> io::Result<usize> {
        let Source { sock, tls, timeout } = self;
        let mut raw = |into: &mut [u8]| {
            let wanted = wanted_timeout(*timeout, patience)?;
            if wanted != *timeout {
                sock.set_read_timeout(wanted)?;
                *timeout = wanted;
            }
            sock.read(into)
        };
        match tls {
            None => raw(into),
            Some(tls) => tls.read(into, raw),
        }
    }

    /// Reads what is already there; `None` when that is nothing. For the single-threaded phase only.
    fn read_now(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let Source { sock, tls, .. } = self;
        let Some(tls) = tls else { return sock.read_now(into) };
        let raw = |into: &mut [u8]| sock.read_now(into)?.ok_or_else(|| io::ErrorKind::WouldBlock.into());
        match tls.read(into, raw) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            other => other.map(Some),
        }
    }

    /// Whether reading made TLS want to write.
    pub(super) fn wants_flush(&mut self) -> bool {
        self.tls.as_mut().is_some_and(TlsReader::wants_flush)
    }

    /// Reads and forgets until the end, an error, `until`, or `most` bytes.
    pub(super) fn drain(&mut self, until: Instant, most: u64) -> Drained {
        let mut left = most;
        let mut scrap = [0; 1024];
        // Raw bytes: nobody wants to know what they mean any more.
        self.tls = None;
        loop {
            match self.read(&mut scrap, Patience::Until(until)) {
                Ok(read @ 1..) => {
                    left = left.saturating_sub(read as u64);
                    if left == 0 {
                        return Drained::Enough;
                    }
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Drained::NotYet;
                }
                Ok(0) | Err(_) => return Drained::ToTheEnd,
            }
        }
    }
}

/// How far draining came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    ToTheEnd,
    NotYet,
    /// The peer sent more than anybody would listen to.
    Enough,
}

/// The timeout for the next read. Patience that runs towards a moment shrinks with every read; to spare a system call
/// each time, a timeout up to an eighth too long is left as it is.
fn wanted_timeout(now_set: Duration, patience: Patience) -> io::Result<Duration> {
    match patience {
        Patience::Each(time) => Ok(time),
        Patience::Until(moment) => {
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Ok(if now_set >= left && now_set <= left + left / 8 { now_set } else { left })
        }
    }
}

/// The writing half of a connection.
pub(super) struct Sink {
    sock: Sock,
    tls: Option<TlsWriter>,
}

impl Sink {
    pub(super) fn new(sock: Sock, tls: Option<TlsWriter>) -> Sink {
        Sink { sock, tls }
    }

    /// Writes everything or fails; then nothing more can be written.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.sock.write_all(bytes),
            Some(tls) => tls.send(&self.sock, bytes),
        }
    }

    /// Says what TLS has to say by itself.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => Ok(()),
            Some(tls) => tls.send(&self.sock, &[]),
        }
    }

    /// Ends our direction in order.
    pub(super) fn finish(&mut self) {
        if let Some(tls) = &mut self.tls {
            // The peer may be gone; then it does not miss the goodbye.
            let _ = tls.goodbye(&self.sock);
        }
        self.sock.end_write();
    }

    pub(super) fn sock(&self) -> &Sock {
        &self.sock
    }

    /// The socket, when what is written to it is what the peer reads.
    pub(super) fn plain(&self) -> Option<Sock> {
        self.tls.is_none().then(|| self.sock.clone())
    }
}

/// Both halves and what was read but not used yet.
pub(super) struct Pipe {
    source: Source,
    sink: Sink,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

impl Pipe {
    pub(super) fn new(source: Source, sink: Sink) -> Pipe {
        Pipe { source, sink, buffer: Vec::new(), from: 0, to: 0 }
    }

    /// What was read and not used yet.
    pub(super) fn pending(&self) -> &[u8] {
        &self.buffer[self.from..self.to]
    }

    /// Marks the first `n` pending bytes as used.
    pub(super) fn used(&mut self, n: usize) {
        self.from += n;
        debug_assert!(self.from <= self.to);
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        }
    }

    /// Reads more behind what is pending, of which there is less than `cap`. Zero is the end of the stream.
    pub(super) fn fill(&mut self, patience: Patience, cap: usize) -> io::Result<usize> {
        self.make_room(cap);
        let read = self.source.read(&mut self.buffer[self.to..], patience)?;
        if self.source.wants_flush() {
            self.sink.flush()?;
        }
        self.to += read;
        Ok(read)
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sink.send(bytes)
    }

    /// Looks, without waiting, whether the peer has left. A peer that only stopped sending counts as gone: for HTTP
    /// there is no telling the two apart. What it sends ahead is kept, up to `cap` bytes; behind those we do not see.
    pub(super) fn peer_gone(&mut self, cap: usize) -> bool {
        loop {
            if self.to - self.from >= cap {
                return false;
            }
            self.make_room(cap);
            let read = self.source.read_now(&mut self.buffer[self.to..]);
            if self.source.wants_flush() && self.sink.flush().is_err() {
                return true;
            }
            match read {
                Ok(None) => return false,
                Ok(Some(0)) | Err(_) => return true,
                Ok(Some(read)) => self.to += read,
            }
        }
    }

    /// Gives back the memory of an unusually long head once the client is idle.
    pub(super) fn shrink(&mut self) {
        if self.from == self.to && self.buffer.len() > 2 * FIRST_BUFFER {
            self.buffer = Vec::new();
        }
    }

    /// Ends in order: says our end, then reads to the peer's, within the limits of draining.
    pub(super) fn finish(mut self, limits: &Limits) {
        self.sink.finish();
        self.source.drain(Instant::now() + limits.drain_time, limits.drain_bytes);
        self.sink.sock().kick();
    }

    /// Says one last thing and ends in order; or, when it cannot be said, just ends.
    pub(super) fn finish_with(mut self, say: impl FnOnce(&mut Pipe) -> Result<(), ()>, limits: &Limits) {
        if say(&mut self).is_ok() {
            self.finish(limits);
        }
    }

    /// Takes the pipe apart; the last part is what was read and not used.
    pub(super) fn split(self) -> (Source, Sink, Vec<u8>) {
        let Pipe { source, sink, mut buffer, from, to } = self;
        buffer.truncate(to);
        buffer.drain(..from);
        (source, sink, buffer)
    }

    fn make_room(&mut self, cap: usize) {
        if self.from > 0 && self.to == self.buffer.len() {
            self.buffer.copy_within(self.from..self.to, 0);
            self.to -= self.from;
            self.from = 0;
        }
        if self.to == self.buffer.len() {
            let size = (self.buffer.len() * 2).clamp(FIRST_BUFFER.min(cap), cap).max(self.to + 1);
            self.buffer.resize(size, 0);
        }
    }
}
