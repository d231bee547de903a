//! The writing half of a WebSocket: a thread of its own, the only author of the socket.
//!
//! Takes all mail that is there, encodes it into one buffer, writes once. It is also the connection's clock: pings go
//! out while it waits for mail, and after the last frame it gives the peer a moment and then ends the connection.
//!
//! Does not decide why a connection ends, except that a failed write ends it. Invariant: after a Close frame nothing is
//! written.

use std::io;
use std::time::{Duration, Instant};

use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};

use super::close::CloseReason;
use super::mailbox::{Mail, Mailbox};
use crate::net::Limits;
use crate::net::pipe::Sink;

/// Bytes of mail at which a batch is written: about what fits one TLS record and one send buffer.
const BATCH: usize = 16 << 10;
/// A message above this is written from where it lies instead of being copied into the batch.
const COPIED: usize = 64 << 10;
/// An idle writer keeps at most this much buffer; events above it are rare enough to pay for their own.
const KEPT: usize = 4 << 10;
/// An empty, unmasked ping.
const PING: [u8; 2] = [0x89, 0];

/// What the writing half needs.
pub(super) struct Writer {
    sink: Sink,
    mail: Mailbox,
    frames: Vec<u8>,
    ping_every: Duration,
    drain_time: Duration,
}

/// What the last frame of a batch means for the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    /// A Close frame is out; the peer has a moment to answer.
    Part,
    /// The reader is done already.
    Stop,
}

impl Writer {
    pub(super) fn new(sink: Sink, mail: Mailbox, limits: &Limits) -> Writer {
        let (ping_every, drain_time) = (limits.ping_every, limits.drain_time);
        Writer { sink, mail, frames: Vec::new(), ping_every, drain_time }
    }

    /// Writes `first`, then mail, until the end.
    pub(super) fn run(mut self, first: &[u8]) {
        if let Err(error) = self.work(first) {
            let why = match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => CloseReason::Stalled,
                _ => CloseReason::PeerVanished,
            };
            self.mail.ended(why);
            self.sink.sock().kick();
        }
    }

    fn work(&mut self, first: &[u8]) -> io::Result<()> {
        self.sink.send(first)?;
        let mut ping_at = Instant::now() + self.ping_every;
        loop {
            let mail = self.mail.take_until(ping_at);
            if Instant::now() >= ping_at {
                self.frames.extend_from_slice(&PING);
                ping_at = Instant::now() + self.ping_every;
            }
            let then = self.batch(mail)?;
            match then {
                Then::GoOn => {}
                Then::Part => {
                    self.sink.finish();
                    self.part();
                    return Ok(());
                }
                Then::Stop => {
                    self.sink.finish();
                    return Ok(());
                }
            }
        }
    }

    /// Encodes `next` and what else is there, and writes it.
    fn batch(&mut self, mut next: Option<Mail>) -> io::Result<Then> {
        let mut bytes = 0;
        let mut then = Then::GoOn;
        while let Some(mail) = next {
            bytes += mail.cost();
            match mail {
                Mail::Text(text) => self.text(&[text.as_bytes()])?,
                Mail::Numbered(before, number, after) => {
                    self.text(&[before.as_bytes(), number.to_string().as_bytes(), after.as_bytes()])?;
                }
                Mail::Control(frame) => self.frames.extend_from_slice(&frame),
                Mail::Echo(frame) => {
                    self.frames.extend_from_slice(&frame);
                    then = Then::Part;
                }
                Mail::Flush => self.sink.flush()?,
                Mail::Close => {
                    self.close_frame()?;
                    then = Then::Part;
                }
                Mail::End => then = Then::Stop,
            }
            if then != Then::GoOn || bytes >= BATCH {
                break;
            }
            next = self.mail.take();
        }
        self.send_frames()?;
        self.mail.forget(bytes);
        if self.frames.capacity() > COPIED || (self.frames.capacity() > KEPT && self.mail.is_empty()) {
            self.frames = Vec::new();
        }
        Ok(then)
    }

    /// One text message in parts.
    fn text(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
        header.format(length as u64, &mut self.frames).map_err(io::Error::other)?;
        if length <= COPIED {
            parts.iter().for_each(|part| self.frames.extend_from_slice(part));
            return Ok(());
        }
        self.send_frames()?;
        parts.iter().try_for_each(|part| self.sink.send(part))
    }

    fn close_frame(&mut self) -> io::Result<()> {
        let frame = self.mail.closed().map(|why| CloseFrame { code: why.code().into(), reason: why.text().into() });
        Frame::close(frame).format(&mut self.frames).map_err(io::Error::other)
    }

    fn send_frames(&mut self) -> io::Result<()> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let sent = self.sink.send(&self.frames);
        self.frames.clear();
        sent
    }

    /// Waits for the reader to see the peer's end, then ends the connection.
    fn part(&self) {
        let until = Instant::now() + self.drain_time;
        while let Some(mail) = self.mail.take_until(until) {
            self.mail.forget(mail.cost());
            if matches!(mail, Mail::End) {
                return;
            }
        }
        self.sink.sock().kick();
    }
}
