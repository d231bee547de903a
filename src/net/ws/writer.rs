//! The writing half of a WebSocket: a thread of its own, the author of the socket. While it sleeps, with nothing on its
//! way, the mailbox may give an event to the socket itself.
//!
//! Takes all mail that is there, encodes it into one buffer, writes once. It is also the connection's clock: pings go
//! out while it waits for mail, and after the last frame it gives the peer a moment and then ends the connection.
//!
//! Does not decide why a connection ends, except that a failed write ends it. Invariant: after a Close frame nothing is
//! written.

use std::io;
use std::time::{Duration, Instant};

use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;

use super::close::CloseReason;
use super::mailbox::{Mail, Mailbox, text_header};
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
        let worked = self.work(first);
        self.mail.go_direct(None);
        if let Err(error) = worked {
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
        self.mail.go_direct(self.sink.plain());
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
                Mail::Rest(frame) | Mail::Control(frame) => self.frames.extend_from_slice(&frame),
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
        text_header(length, &mut self.frames)?;
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

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;
    use crate::net::sock::Sock;

    /// A client and a writer for it at work.
    fn connected(cap: usize) -> (TcpStream, Mailbox, thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
        let (stream, _) = listener.accept().expect("accepted");
        let sock = Sock::new(stream, Duration::from_secs(10)).expect("a socket");
        let mail = Mailbox::new(1, cap);
        let writer = Writer::new(Sink::new(sock, None), mail.clone(), &Limits::default());
        let at_work = thread::spawn(move || writer.run(b"hello"));
        (client, mail, at_work)
    }

    /// The next frame's text.
    fn frame(client: &mut TcpStream) -> String {
        let mut head = [0; 4];
        client.read_exact(&mut head[..2]).expect("a header");
        assert_eq!(head[0], 0x81, "a whole text");
        let mut length = usize::from(head[1]);
        if length == 126 {
            client.read_exact(&mut head[2..]).expect("its length");
            length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        }
        let mut text = vec![0; length];
        client.read_exact(&mut text).expect("its text");
        String::from_utf8(text).expect("UTF-8")
    }

    #[test]
    fn events_arrive_whole_and_in_order_whoever_writes_them() {
        const EVENTS: usize = 3000;
        let (mut client, mail, at_work) = connected(usize::MAX);
        let mut hello = [0; 5];
        client.read_exact(&mut hello).expect("the answer to the upgrade");
        // More than the socket holds, so that events stop in their middle; and answers between events.
        let filler: std::sync::Arc<str> = "x".repeat(8 << 10).into();
        let poster = thread::spawn({
            let mail = mail.clone();
            move || {
                for n in 1..=EVENTS {
                    mail.numbered("".into(), filler.clone(), true);
                    if n % 100 == 0 {
                        mail.text(format!("after {n}"));
                        thread::park_timeout(Duration::from_millis(1));
                    }
                }
                mail.close(CloseReason::policy(1012, "restart"));
            }
        });
        for n in 1..=EVENTS {
            assert_eq!(frame(&mut client).trim_end_matches('x'), n.to_string());
            if n % 100 == 0 {
                assert_eq!(frame(&mut client), format!("after {n}"));
            }
        }
        let mut close = [0; 4];
        client.read_exact(&mut close).expect("the close frame");
        assert_eq!((close[0], u16::from_be_bytes([close[2], close[3]])), (0x88, 1012));
        poster.join().expect("posted");
        mail.post(Mail::End);
        at_work.join().expect("written");
        assert_eq!(mail.queued_bytes(), 0);
    }
}
