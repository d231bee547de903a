//! Server-sent events: one flush per event, or several events in one write when they are there at once.
//!
//! The head leaves with the first flush, which spares a system call and a wake-up of the client; whoever waits through
//! [`Sse::next`] flushes before waiting. A stream that says nothing for `sse_ping` is kept alive with a comment.
//!
//! Does not buffer beyond what was queued and not flushed. Invariant: only a stream that ended well gets its final
//! chunk.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::net::Limits;
use crate::net::pipe::Pipe;

/// Queued bytes at which a flush happens by itself: the cap of what an unflushed stream may hold, but for one event.
const FLUSH_AT: usize = 64 << 10;

/// The writing end of one event stream.
pub struct Sse<'c> {
    pipe: &'c mut Pipe,
    limits: &'c Limits,
    /// The head while it is unsent, then empty.
    head: Vec<u8>,
    queue: Vec<u8>,
    wire: Vec<u8>,
    chunked: bool,
    spoke: Instant,
}

/// What came of waiting on behalf of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Waited<T> {
    /// This came.
    Got(T),
    /// The sender is gone: nothing more will come.
    Ended,
    /// The client left, and nobody wants the rest.
    PeerGone,
    /// The moment passed. Never where no moment was given.
    TimedOut,
}

impl<'c> Sse<'c> {
    pub(super) fn new(pipe: &'c mut Pipe, limits: &'c Limits, head: Vec<u8>, chunked: bool) -> Sse<'c> {
        Sse { pipe, limits, head, queue: Vec::new(), wire: Vec::new(), chunked, spoke: Instant::now() }
    }

    /// Queues one event and sends all that is queued.
    pub fn event(&mut self, data: &str) -> io::Result<()> {
        self.queue(data)?;
        self.flush()
    }

    /// Queues one event; it leaves with the next flush.
    pub fn queue(&mut self, data: &str) -> io::Result<()> {
        for line in data.split('\n') {
            self.push(&["data: ", line.trim_end_matches('\r'), "\n"]);
        }
        self.push(&["\n"]);
        self.flush_if_full()
    }

    /// Queues one event with a name. The name must be one line.
    pub fn queue_named(&mut self, name: &str, data: &str) -> io::Result<()> {
        debug_assert!(!name.contains(['\r', '\n']));
        self.push(&["event: ", name, "\n"]);
        self.queue(data)
    }

    /// Queues text as it is, for streams that are not made of events.
    pub fn raw(&mut self, text: &str) -> io::Result<()> {
        self.push(&[text]);
        self.flush_if_full()
    }

    /// Sends a comment, which clients ignore and proxies count as life.
    pub fn comment(&mut self, text: &str) -> io::Result<()> {
        debug_assert!(!text.contains(['\r', '\n']));
        self.push(&[": ", text, "\n\n"]);
        self.flush()
    }

    /// Sends what is queued, and the head if that has not left yet, in one write.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.queue.is_empty() && self.head.is_empty() {
            return Ok(());
        }
        self.wire.clear();
        self.wire.append(&mut self.head);
        if self.chunked && !self.queue.is_empty() {
            write!(self.wire, "{:x}\r\n", self.queue.len())?;
            self.wire.append(&mut self.queue);
            self.wire.extend_from_slice(b"\r\n");
        } else {
            self.wire.append(&mut self.queue);
        }
        self.spoke = Instant::now();
        self.pipe.send(&self.wire)
    }

    /// Whether the client has left, as far as can be seen without waiting.
    pub fn peer_gone(&mut self) -> bool {
        self.pipe.peer_gone(self.limits.head_bytes)
    }

    /// Sends what is queued, then waits for the next thing to say. Looks after the client meanwhile: sends a comment
    /// when the stream has been silent for too long, and sees within `look_every` that the client left.
    pub fn next<T>(&mut self, from: &Receiver<T>) -> io::Result<Waited<T>> {
        self.next_until(from, None)
    }

    /// The same up to a moment.
    pub fn next_until<T>(&mut self, from: &Receiver<T>, until: Option<Instant>) -> io::Result<Waited<T>> {
        if let Ok(value) = from.try_recv() {
            // More is there already: let it leave in the same write.
            return Ok(Waited::Got(value));
        }
        self.flush()?;
        let limits = self.limits;
        let (look, ping) = (limits.look_every, limits.sse_ping);
        loop {
            let slice = look.min(ping.saturating_sub(self.spoke.elapsed()).max(Duration::from_millis(1)));
            match waited(from, slice, until) {
                Waited::TimedOut if until.is_none_or(|until| Instant::now() < until) => {}
                other => return Ok(other),
            }
            if self.peer_gone() {
                return Ok(Waited::PeerGone);
            }
            if self.spoke.elapsed() >= ping {
                self.comment("ping")?;
            }
        }
    }

    /// The end that says that nothing is missing.
    pub(super) fn end(mut self) -> io::Result<()> {
        if !self.chunked {
            return self.flush();
        }
        // The last events and the final chunk in one write.
        if !self.queue.is_empty() {
            let length = self.queue.len();
            let mut last = format!("{length:x}\r\n").into_bytes();
            last.append(&mut self.queue);
            last.extend_from_slice(b"\r\n");
            self.head.append(&mut last);
        }
        self.head.extend_from_slice(b"0\r\n\r\n");
        self.pipe.send(&self.head)
    }

    fn push(&mut self, parts: &[&str]) {
        for part in parts {
            self.queue.extend_from_slice(part.as_bytes());
        }
    }

    fn flush_if_full(&mut self) -> io::Result<()> {
        if self.queue.len() >= FLUSH_AT { self.flush() } else { Ok(()) }
    }
}

/// Waits once, at most `slice` and not past `until`.
pub(super) fn waited<T>(from: &Receiver<T>, slice: Duration, until: Option<Instant>) -> Waited<T> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    match from.recv_timeout(left.map_or(slice, |left| left.min(slice))) {
        Ok(value) => Waited::Got(value),
        Err(RecvTimeoutError::Timeout) => Waited::TimedOut,
        Err(RecvTimeoutError::Disconnected) => Waited::Ended,
    }
}
