//! The reading half of a WebSocket: the connection thread.
//!
//! Owns tungstenite's engine, hands every message to the [`Talk`], and gives the ending its name. Never writes to the
//! socket: what the engine wants to say becomes mail.
//!
//! Invariants: `over` is called exactly once, whatever happened, and nothing is delivered after it; a read that runs
//! into its timeout is the last one.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Instant;

use tungstenite::error::{CapacityError, Error, ProtocolError};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

use super::close::CloseReason;
use super::intake::Intake;
use super::mailbox::Mailbox;
use super::{Next, Talk};
use crate::net::Limits;
use crate::net::gate::Unadmitted;
use crate::net::pipe::Source;
use crate::net::sock::Patience;

/// The engine's buffer: the default of 128 KiB is more than the rest of a connection together.
const ENGINE_BUFFER: usize = 4 << 10;

/// What the reading half needs for the whole connection.
pub(super) struct Reader<'c> {
    pub(super) limits: &'c Limits,
    pub(super) mail: Mailbox,
    pub(super) talk: Box<dyn Talk>,
    /// Held until admission.
    pub(super) unadmitted: Option<Unadmitted>,
}

impl Reader<'_> {
    /// Reads until the connection has ended and tells the talk. Gives back the source, to be read to its end, and the
    /// reason that counts.
    pub(super) fn run(mut self, source: Source, early: Vec<u8>) -> (Source, CloseReason) {
        let until = Instant::now() + self.limits.handshake_time;
        let mut intake = Intake::new(source, self.mail.clone(), early, Patience::Until(until));
        let why = match catch_unwind(AssertUnwindSafe(|| self.converse(&mut intake))) {
            Ok(why) => why,
            Err(_) => {
                log::error!("conn {}: serving a message panicked", self.mail.id());
                CloseReason::Panicked
            }
        };
        if why.is_said() {
            self.mail.close(why.clone());
        }
        let why = self.mail.ended(why).clone();
        if catch_unwind(AssertUnwindSafe(|| self.talk.over(&why))).is_err() {
            log::error!("conn {}: ending panicked", self.mail.id());
        }
        (intake.into_source(), why)
    }

    fn converse(&mut self, intake: &mut Intake) -> CloseReason {
        let mut engine = WebSocket::from_raw_socket(intake, Role::Server, Some(self.config()));
        self.talk.opened();
        loop {
            let next = match engine.read() {
                Ok(_) if self.mail.closed().is_some() => return self.ours(),
                Ok(Message::Text(text)) => self.heard(text.as_str()),
                // The protocol is text, but some clients send it in binary frames. What is not UTF-8 in there becomes
                // text that means nothing, and is answered like other text that means nothing.
                Ok(Message::Binary(bytes)) => self.heard(&String::from_utf8_lossy(&bytes)),
                Ok(Message::Close(frame)) => {
                    let (code, text) = frame.map_or((1005, String::new()), |f| (f.code.into(), f.reason.to_string()));
                    // Makes the engine post its echo; what it says about that is that the connection is closed.
                    let _ = engine.flush();
                    return CloseReason::PeerClosed { code, text };
                }
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
                Err(error) => return self.named(error),
            };
            match next {
                Next::Continue => {}
                Next::Admit => self.admit(&mut engine),
                Next::Close(why) => return why,
            }
            if engine.get_mut().biggest() > self.limits.keep_buffer as u64 {
                // Between two messages the engine holds no byte and no state (see `Intake`): a new one lets go of the
                // big buffer.
                engine = WebSocket::from_raw_socket(engine.into_inner(), Role::Server, Some(self.config()));
            }
        }
    }

    /// Hands a message to the talk. While the peer is unknown that happens on a thread of its own: making a peer known
    /// goes deep, and the stack it needed would stay with a connection that then says nothing for days.
    fn heard(&mut self, text: &str) -> Next {
        if self.unadmitted.is_none() {
            return self.talk.text(text);
        }
        let (talk, limits) = (&mut self.talk, self.limits);
        let name = format!("conn {} in", self.mail.id());
        let heard = thread::scope(|scope| {
            let builder = thread::Builder::new().name(name).stack_size(limits.connection_stack);
            builder.spawn_scoped(scope, || talk.text(text)).map(|aside| aside.join())
        });
        match heard {
            Ok(Ok(next)) => next,
            Ok(Err(panic)) => resume_unwind(panic),
            // No thread to be had: this one will do.
            Err(_) => self.talk.text(text),
        }
    }

    /// From now on the peer is known: bigger messages, no deadline but life itself, and its place is free.
    fn admit(&mut self, engine: &mut WebSocket<&mut Intake>) {
        if self.unadmitted.take().is_none() {
            return;
        }
        let config = self.config();
        engine.set_config(|now| *now = config);
        engine.get_mut().wait(Patience::Each(self.limits.ping_every + self.limits.pong_time));
    }

    fn config(&self) -> WebSocketConfig {
        let most = if self.unadmitted.is_some() { self.limits.preauth_frame } else { self.limits.max_payload };
        WebSocketConfig::default()
            .read_buffer_size(ENGINE_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(usize::MAX)
            .max_message_size(Some(most))
            .max_frame_size(Some(most))
    }

    /// Which ending an error of the engine is.
    fn named(&self, error: Error) -> CloseReason {
        if self.mail.closed().is_some() {
            return self.ours();
        }
        match error {
            Error::Io(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => match self.unadmitted {
                    Some(_) => CloseReason::HandshakeTimeout,
                    None => CloseReason::Silent,
                },
                io::ErrorKind::InvalidData => CloseReason::BadFrame("the TLS stream was corrupt"),
                _ => CloseReason::PeerVanished,
            },
            Error::Capacity(CapacityError::MessageTooLong { .. }) => CloseReason::TooBig,
            Error::Utf8(_) => CloseReason::BadText,
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::ConnectionClosed => {
                CloseReason::PeerVanished
            }
            Error::Protocol(ProtocolError::UnmaskedFrameFromClient) => CloseReason::BadFrame("a frame was not masked"),
            _ => CloseReason::BadFrame("a frame was against the protocol"),
        }
    }

    /// The reason that was given before the reader came to its own.
    fn ours(&self) -> CloseReason {
        self.mail.closed().cloned().unwrap_or(CloseReason::PeerVanished)
    }
}
