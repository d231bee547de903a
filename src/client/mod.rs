//! A blocking client of the gateway protocol, for the command line and for tests.
//!
//! One thread, one connection, straight down: TCP (and TLS), WebSocket, challenge, `connect`, then requests. Every call
//! has a deadline. Events that arrive while an answer is awaited are queued or shown to a callback.
//!
//! Deliberately absent: reconnecting, retrying with stored tokens, and sending from two threads. A caller
//! that wants to keep a connection open must call in at least every 20 seconds, because pings are answered by reads.
//!
//! Invariants: answers are matched by id, never by order; at most [`EVENTS_KEPT`] bytes of events wait in the queue (the
//! oldest go first); after an error that ends the connection every further call fails too.

pub mod device;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod frames;
mod stream;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::Uri;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{HandshakeError, Message};

pub use error::{BODY_SHOWN, ClientError, Closed, RpcFailure};
pub use frames::{Answer, Event, Hello, Identity};
pub use stream::Fingerprint;

use frames::{Incoming, Request};
use stream::Stream;

use crate::net::duplex::{Duplex, NotUpgraded, Socket, upgrade};

/// Where a gateway is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `ws://host:port/path` or `wss://...`.
    pub url: String,
    /// For wss: the only certificate to accept.
    pub pin: Option<Fingerprint>,
}

impl Address {
    pub fn new(url: impl Into<String>) -> Address {
        Address { url: url.into(), pin: None }
    }
}

/// How long each step may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// TCP and TLS.
    pub connect: Duration,
    /// From the first packet to `hello-ok`, TCP and TLS included.
    pub handshake: Duration,
    /// One request, when the caller does not say otherwise.
    pub request: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines { connect: CONNECT_TIME, handshake: HANDSHAKE_TIME, request: REQUEST_TIME }
    }
}

impl Deadlines {
    /// The same, with no step longer than `most`.
    pub fn within(self, most: Duration) -> Deadlines {
        Deadlines {
            connect: self.connect.min(most),
            handshake: self.handshake.min(most),
            request: self.request.min(most),
        }
    }
}

/// A connection to a gateway. Dropping it closes the socket without a word; [`Client::close`] says goodbye.
pub struct Client {
    socket: Socket,
    deadlines: Deadlines,
    greeted_by: Instant,
    hello: Option<Hello>,
    last_id: u64,
    events: VecDeque<Event>,
    event_bytes: usize,
    events_lost: u64,
    /// Answers to requests other than the one awaited: pipelining.
    answers: VecDeque<Answer>,
    ended: Option<Closed>,
}

/// One frame as it came, for tests that look at the wire itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    Text(String),
    Binary(Vec<u8>),
    Closed(Closed),
}

impl Client {
    /// Connects, waits for the challenge, introduces itself and reads `hello-ok`.
    pub fn connect(address: &Address, who: &Identity, deadlines: Deadlines) -> Result<Client, ClientError> {
        let mut client = Client::open(address, deadlines)?;
        client.introduce(who)?;
        Ok(client)
    }

    /// Only the WebSocket, without a word of the protocol: for tests of the handshake.
    pub fn open(address: &Address, deadlines: Deadlines) -> Result<Client, ClientError> {
        let uri: Uri =
            address.url.parse().map_err(|_| ClientError::Address(format!("{} is not a URL", address.url)))?;
        let secure = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(ClientError::Address(format!("{} does not begin with ws:// or wss://", address.url))),
        };
        let host = uri.host().ok_or_else(|| ClientError::Address(format!("{} names no host", address.url)))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let greeted_by = Instant::now() + deadlines.handshake;
        let socket = Stream::connect(host, port, greeted_by.min(Instant::now() + deadlines.connect))?;
        let mut stream = if secure { Stream::secure(socket, host, address.pin)? } else { Stream::Plain(socket) };
        stream.until(greeted_by);
        let request = uri
            .into_client_request()
            .map_err(|_| ClientError::Address(format!("{} cannot be asked for", address.url)))?;
        let socket = upgrade(request, Box::new(stream), MESSAGE_MAX)
            .map_err(|failed| upgrade_failed(*failed, deadlines.handshake))?;
        Ok(Client {
            socket,
            deadlines,
            greeted_by,
            hello: None,
            last_id: 0,
            events: VecDeque::new(),
            event_bytes: 0,
            events_lost: 0,
            answers: VecDeque::new(),
            ended: None,
        })
    }

    /// The protocol's handshake on an open socket.
    pub fn introduce(&mut self, who: &Identity) -> Result<&Hello, ClientError> {
        let until = self.greeted_by;
        let challenge = self.challenge(until)?;
        let id = self.send("connect", Some(who.params(&challenge)))?;
        let answer = self.answer_until(&id, until, "connect", self.deadlines.handshake, &mut keep_none)?;
        match answer.result {
            Ok(hello) => Ok(self.hello.insert(Hello(hello))),
            Err(error) => Err(ClientError::Refused { error: Box::new(error), close: self.await_close() }),
        }
    }

    /// Waits for `connect.challenge` and returns its payload (`nonce`, `ts`).
    pub fn challenge(&mut self, until: Instant) -> Result<Value, ClientError> {
        loop {
            match self.read_until(until, "the greeting", self.deadlines.handshake)? {
                Incoming::Event(event) if event.name == "connect.challenge" => return Ok(event.payload),
                Incoming::Event(_) => {}
                Incoming::Answer(_) => return Err(ClientError::Protocol("an answer before any question".into())),
            }
        }
    }

    /// What the gateway said in `hello-ok`; nothing before [`Client::introduce`].
    pub fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// Asks and waits for the answer, for as long as the deadlines say.
    pub fn request(&mut self, method: &str, params: impl Serialize) -> Result<Value, ClientError> {
        self.request_within(method, params, self.deadlines.request)
    }

    /// Asks and waits at most `within`.
    pub fn request_within(
        &mut self,
        method: &str,
        params: impl Serialize,
        within: Duration,
    ) -> Result<Value, ClientError> {
        let until = Instant::now() + within;
        let id = self.send(method, Some(params))?;
        let answer = self.answer_until(&id, until, method, within, &mut keep_all)?;
        answer.result.map_err(|error| ClientError::Rpc(Box::new(error)))
    }

    /// Asks a method that answers twice and returns the second answer. `seen` gets every event in between; what it
    /// returns says whether the event is also kept in the queue.
    pub fn request_final(
        &mut self,
        method: &str,
        params: impl Serialize,
        within: Duration,
        seen: &mut dyn FnMut(&Event) -> bool,
    ) -> Result<Value, ClientError> {
        let until = Instant::now() + within;
        let id = self.send(method, Some(params))?;
        loop {
            let answer = self.answer_until(&id, until, method, within, seen)?;
            if !answer.is_only_accepted() {
                return answer.result.map_err(|error| ClientError::Rpc(Box::new(error)));
            }
        }
    }

    /// Sends a request without waiting and returns its id; several may be under way at once.
    pub fn send(&mut self, method: &str, params: Option<impl Serialize>) -> Result<String, ClientError> {
        self.last_id += 1;
        let id = self.last_id.to_string();
        let text = serde_json::to_string(&Request { kind: "req", id: &id, method, params })
            .map_err(|bad| ClientError::Protocol(format!("{method} params cannot be written as JSON ({bad})")))?;
        self.send_raw(Message::text(text))?;
        Ok(id)
    }

    /// Waits for the next answer to the request with this id; a two-stage request has two.
    pub fn answer(&mut self, id: &str, within: Duration) -> Result<Answer, ClientError> {
        self.answer_until(id, Instant::now() + within, id, within, &mut keep_all)
    }

    /// The oldest event that waits, or the next one to arrive within the time. `None`: none came.
    pub fn next_event(&mut self, within: Duration) -> Result<Option<Event>, ClientError> {
        let until = Instant::now() + within;
        loop {
            if let Some(event) = self.events.pop_front() {
                self.event_bytes -= event.bytes;
                return Ok(Some(event));
            }
            match self.read_until(until, "events", within) {
                Ok(Incoming::Event(event)) => return Ok(Some(event)),
                Ok(Incoming::Answer(answer)) => self.set_aside(answer)?,
                Err(ClientError::Timeout { .. }) => return Ok(None),
                Err(failed) => return Err(failed),
            }
        }
    }

    /// How many events were thrown away because the queue was full.
    pub fn events_lost(&self) -> u64 {
        self.events_lost
    }

    /// Sends a frame exactly as given.
    pub fn send_raw(&mut self, frame: Message) -> Result<(), ClientError> {
        let within = self.deadlines.request;
        self.socket.get_mut().until(Instant::now() + within);
        self.socket.send(frame).map_err(|failed| self.broken(failed, "a write", within))
    }

    /// Reads the next data frame or the end, exactly as it came. Queued events and answers are not looked at.
    pub fn read_raw(&mut self, within: Duration) -> Result<Raw, ClientError> {
        match self.message(Instant::now() + within, "a frame", within) {
            Ok(Message::Binary(bytes)) => Ok(Raw::Binary(bytes.to_vec())),
            Ok(text) => Ok(Raw::Text(text.to_text().unwrap_or_default().to_owned())),
            Err(ClientError::Closed(closed)) => Ok(Raw::Closed(closed)),
            Err(failed) => Err(failed),
        }
    }

    /// Says goodbye and waits, shortly, for the other side's goodbye.
    pub fn close(mut self) {
        self.socket.get_mut().until(Instant::now() + GOODBYE_TIME);
        let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        if self.socket.close(Some(goodbye)).is_ok() {
            // The connection is over whatever comes now; draining only spares the peer a reset.
            while self.socket.read().is_ok() {}
        }
    }

    fn answer_until(
        &mut self,
        id: &str,
        until: Instant,
        doing: &str,
        within: Duration,
        seen: &mut dyn FnMut(&Event) -> bool,
    ) -> Result<Answer, ClientError> {
        if let Some(place) = self.answers.iter().position(|answer| answer.id == id) {
            return Ok(self.answers.remove(place).expect("position is inside"));
        }
        loop {
            match self.read_until(until, doing, within)? {
                Incoming::Answer(answer) if answer.id == id => return Ok(answer),
                Incoming::Answer(answer) => self.set_aside(answer)?,
                Incoming::Event(event) => {
                    if seen(&event) {
                        self.keep(event);
                    }
                }
            }
        }
    }

    fn read_until(&mut self, until: Instant, doing: &str, within: Duration) -> Result<Incoming, ClientError> {
        let message = self.message(until, doing, within)?;
        let text = message.to_text().map_err(|_| ClientError::Protocol("a frame that is not text".into()))?;
        Incoming::read(text).map_err(ClientError::Protocol)
    }

    /// The next text or binary message. Pings are answered below.
    fn message(&mut self, until: Instant, doing: &str, within: Duration) -> Result<Message, ClientError> {
        if let Some(ended) = &self.ended {
            return Err(ClientError::Closed(ended.clone()));
        }
        self.socket.get_mut().until(until);
        loop {
            if Instant::now() >= until {
                return Err(ClientError::Timeout { doing: doing.to_owned(), within });
            }
            match self.socket.read() {
                Ok(data @ (Message::Text(_) | Message::Binary(_))) => return Ok(data),
                Ok(Message::Close(frame)) => {
                    let closed = frame.map_or(Closed { code: 1005, reason: String::new() }, |frame| Closed {
                        code: frame.code.into(),
                        reason: frame.reason.to_string(),
                    });
                    self.ended = Some(closed.clone());
                    return Err(ClientError::Closed(closed));
                }
                Ok(_) => {}
                Err(failed) => return Err(self.broken(failed, doing, within)),
            }
        }
    }

    /// After a refusal the gateway closes; code and reason belong to the story, but are not worth a long wait.
    fn await_close(&mut self) -> Option<Closed> {
        let until = Instant::now() + GOODBYE_TIME;
        loop {
            match self.message(until, "the close", GOODBYE_TIME) {
                Ok(_) => {}
                Err(ClientError::Closed(closed)) => return Some(closed),
                Err(_) => return None,
            }
        }
    }

    fn keep(&mut self, event: Event) {
        self.event_bytes += event.bytes;
        self.events.push_back(event);
        while self.event_bytes > EVENTS_KEPT {
            let Some(oldest) = self.events.pop_front() else { break };
            self.event_bytes -= oldest.bytes;
            self.events_lost += 1;
        }
    }

    fn set_aside(&mut self, answer: Answer) -> Result<(), ClientError> {
        if self.answers.len() == ANSWERS_KEPT {
            return Err(ClientError::Protocol(format!("{ANSWERS_KEPT} answers nobody asked for")));
        }
        self.answers.push_back(answer);
        Ok(())
    }

    fn broken(&mut self, failed: tungstenite::Error, doing: &str, within: Duration) -> ClientError {
        use tungstenite::Error as Ws;
        let lost = match failed {
            Ws::Io(late) if late.kind() == io::ErrorKind::TimedOut => {
                return ClientError::Timeout { doing: doing.to_owned(), within };
            }
            Ws::ConnectionClosed | Ws::AlreadyClosed => true,
            Ws::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => true,
            Ws::Io(ref gone) => is_gone(gone),
            _ => false,
        };
        if lost {
            let closed = self.ended.get_or_insert_with(Closed::abnormal).clone();
            return ClientError::Closed(closed);
        }
        match failed {
            Ws::Io(failed) => ClientError::Io(failed),
            other => ClientError::Protocol(other.to_string()),
        }
    }
}

fn is_gone(failed: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(failed.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

fn keep_all(_: &Event) -> bool {
    true
}

fn keep_none(_: &Event) -> bool {
    false
}

fn upgrade_failed(failed: NotUpgraded, within: Duration) -> ClientError {
    use tungstenite::Error as Ws;
    match failed {
        HandshakeError::Failure(Ws::Http(answer)) => {
            let body = answer.body().as_deref().unwrap_or_default();
            let body = String::from_utf8_lossy(&body[..body.len().min(BODY_SHOWN)]).trim().to_owned();
            ClientError::Upgrade { status: answer.status().as_u16(), body }
        }
        HandshakeError::Failure(Ws::Io(late)) if late.kind() == io::ErrorKind::TimedOut => {
            ClientError::Timeout { doing: "the WebSocket upgrade".into(), within }
        }
        HandshakeError::Failure(Ws::Io(gone)) if is_gone(&gone) => ClientError::Closed(Closed::abnormal()),
        HandshakeError::Failure(Ws::Io(failed)) => ClientError::Io(failed),
        HandshakeError::Failure(Ws::Protocol(tungstenite::error::ProtocolError::HandshakeIncomplete)) => {
            ClientError::Closed(Closed::abnormal())
        }
        HandshakeError::Failure(other) => ClientError::Protocol(other.to_string()),
        HandshakeError::Interrupted(_) => ClientError::Timeout { doing: "the WebSocket upgrade".into(), within },
    }
}

/// A host that does not answer SYN within ten seconds will not be pleasant to talk to.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// The gateway gives a client fifteen seconds to introduce itself; waiting longer is pointless.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);

/// The protocol's customary patience with one request.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// What a farewell is worth: code and reason travel in the same burst as the last answer.
const GOODBYE_TIME: Duration = Duration::from_secs(1);

/// The reference's `maxPayload` is 25 MiB; an answer above that is a mistake.
const MESSAGE_MAX: usize = 26_214_400;

/// Events nobody reads must not grow for ever; a run of thousands of deltas fits.
const EVENTS_KEPT: usize = 4 << 20;

/// The gateway admits 256 requests per connection at once.
const ANSWERS_KEPT: usize = 256;

#[cfg(test)]
mod tests;
