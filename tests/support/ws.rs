//! A protocol client for tests: tungstenite on a blocking socket, with every wait limited.
//!
//! It is not the product's own client on purpose: the two must not share a misunderstanding. `OPENCLAW_FRAMES` names a
//! file to which every request and every frame of the gateway is appended, one JSON line each, for `tests/clients/frames.mjs`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::client::ClientRequestBuilder;
use tungstenite::{Error, Message, WebSocket};

use super::gateway::TOKEN;
use super::wait;

/// Where frames are kept, if they are wanted. Appending a line is one write, whoever else does so.
static FRAMES: LazyLock<Option<File>> = LazyLock::new(|| {
    let path = std::env::var_os("OPENCLAW_FRAMES")?;
    Some(File::options().create(true).append(true).open(path).expect("open the file for frames"))
});

pub struct Ws {
    socket: WebSocket<Steady>,
    next_id: u32,
    /// Frames read while waiting for another one, oldest first.
    backlog: VecDeque<Value>,
    closed: Option<(u16, String)>,
    limit: Duration,
}

/// Connect parameters of a local backend with these scopes and the shared token.
pub fn backend(scopes: &[&str]) -> Value {
    connect("gateway-client", "backend", scopes)
}

/// Connect parameters of a client of this id and mode.
pub fn connect(id: &str, mode: &str, scopes: &[&str]) -> Value {
    json!({
        "minProtocol": 4,
        "maxProtocol": 4,
        "client": { "id": id, "version": "test", "platform": "linux", "mode": mode },
        "role": "operator",
        "scopes": scopes,
        "caps": [],
        "auth": { "token": TOKEN },
    })
}

/// A stream that goes on after a signal: with a deadline on the socket the system does not do so itself, and a test that
/// starts programs gets signals.
struct Steady(TcpStream);

impl Read for Steady {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.0.read(into) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl Write for Steady {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Ws {
    /// Opens a WebSocket and does not yet say anything.
    #[track_caller]
    pub fn open(addr: SocketAddr) -> Ws {
        Ws::open_with(addr, "/", &[]).expect("upgrade to a WebSocket")
    }

    pub fn open_with(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Ws, Error> {
        Ws::open_named(addr, &format!("{addr}"), path, headers)
    }

    /// The same, and the gateway is called by this name.
    pub fn open_named(addr: SocketAddr, host: &str, path: &str, headers: &[(&str, &str)]) -> Result<Ws, Error> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(wait::LIMIT))?;
        stream.set_write_timeout(Some(wait::LIMIT))?;
        let uri = format!("ws://{host}{path}").parse().expect("an address makes a URI");
        let request = headers
            .iter()
            .fold(ClientRequestBuilder::new(uri), |request, (name, value)| request.with_header(*name, *value));
        let (socket, _) = tungstenite::client(request, Steady(stream)).map_err(|error| match error {
            tungstenite::HandshakeError::Failure(error) => error,
            tungstenite::HandshakeError::Interrupted(_) => {
                Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer to the upgrade"))
            }
        })?;
        Ok(Ws { socket, next_id: 0, backlog: VecDeque::new(), closed: None, limit: wait::LIMIT })
    }

    /// Sends `connect` and returns the hello-ok payload.
    #[track_caller]
    pub fn hello(&mut self, params: Value) -> Value {
        match self.try_hello(params) {
            Ok(hello) => hello,
            Err(error) => panic!("connect was refused: {error:#}"),
        }
    }

    /// Reads the challenge, sends `connect` and returns the hello-ok payload or the error object.
    #[track_caller]
    pub fn try_hello(&mut self, params: Value) -> Result<Value, Value> {
        self.event("connect.challenge");
        self.call("connect", params)
    }

    /// Sends a request and waits for its first response: the payload, or the error object.
    #[track_caller]
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.request(method, params);
        self.response(&id)
    }

    /// A call that must succeed.
    #[track_caller]
    pub fn ok(&mut self, method: &str, params: Value) -> Value {
        self.call(method, params).unwrap_or_else(|error| panic!("{method} failed: {error:#}"))
    }

    /// A call that must fail.
    #[track_caller]
    pub fn err(&mut self, method: &str, params: Value) -> Value {
        match self.call(method, params) {
            Err(error) => error,
            Ok(payload) => panic!("{method} should have failed, but gave {payload:#}"),
        }
    }

    /// Sends a request without waiting; `null` params are left out. Returns its id.
    #[track_caller]
    pub fn request(&mut self, method: &str, params: Value) -> String {
        self.next_id += 1;
        let id = format!("test-{}", self.next_id);
        let mut frame = json!({ "type": "req", "id": id, "method": method });
        if !params.is_null() {
            frame["params"] = params;
        }
        self.keep("sent", &frame.to_string());
        self.send(&frame.to_string());
        id
    }

    #[track_caller]
    pub fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("send a text frame");
    }

    #[track_caller]
    pub fn send_binary(&mut self, bytes: &[u8]) {
        self.socket.send(Message::binary(bytes.to_vec())).expect("send a binary frame");
    }

    /// The next response to this request: its payload, or the error object.
    #[track_caller]
    pub fn response(&mut self, id: &str) -> Result<Value, Value> {
        let frame = self.wait_for(&format!("a response to {id}"), |frame| frame["type"] == "res" && frame["id"] == id);
        match frame["ok"].as_bool() {
            Some(true) => Ok(frame["payload"].clone()),
            Some(false) => Err(frame["error"].clone()),
            None => panic!("a response without ok: {frame:#}"),
        }
    }

    /// The next event of this name, as the whole frame.
    #[track_caller]
    pub fn event(&mut self, name: &str) -> Value {
        self.event_where(name, |_| true)
    }

    /// The next event of this name whose payload is wanted, as the whole frame. Others of the name are thrown away.
    #[track_caller]
    pub fn event_where(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_for(&format!("event {name}"), |frame| {
            frame["type"] == "event" && frame["event"] == name && wanted(&frame["payload"])
        })
    }

    /// The next frame that is wanted; the others stay for later.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.backlog.iter().position(&wanted) {
            return self.backlog.remove(at).expect("position found it");
        }
        let end = Instant::now() + self.limit;
        loop {
            match self.read(end) {
                Ok(Some(frame)) if wanted(&frame) => return frame,
                Ok(Some(frame)) => self.backlog.push_back(frame),
                Ok(None) => panic!("closed {:?} while waiting for {what}; so far {:#?}", self.closed, self.backlog),
                Err(error) => panic!("{error} while waiting for {what}; so far {:#?}", self.backlog),
            }
        }
    }

    /// Every frame up to and including the first that is wanted, the backlog first, in the order they came.
    #[track_caller]
    pub fn frames_until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut frames: Vec<Value> = Vec::new();
        while let Some(frame) = self.backlog.pop_front() {
            let last = wanted(&frame);
            frames.push(frame);
            if last {
                return frames;
            }
        }
        let end = Instant::now() + self.limit;
        loop {
            match self.read(end) {
                Ok(Some(frame)) => {
                    let last = wanted(&frame);
                    frames.push(frame);
                    if last {
                        return frames;
                    }
                }
                Ok(None) => panic!("closed {:?} while waiting for {what}; so far {frames:#?}", self.closed),
                Err(error) => panic!("{error} while waiting for {what}; so far {frames:#?}"),
            }
        }
    }

    /// Everything that came up to now: a request is sent and whatever stands before its answer is taken.
    #[track_caller]
    pub fn so_far(&mut self) -> Vec<Value> {
        let id = self.request("health", json!({}));
        let mut frames = self.frames_until("the answer to health", |frame| frame["id"] == id.as_str());
        frames.pop();
        frames
    }

    /// Waits for the gateway's close and gives its code and reason. Frames before it stay in the backlog.
    #[track_caller]
    pub fn closed(&mut self) -> (u16, String) {
        let end = Instant::now() + self.limit;
        while self.closed.is_none() {
            match self.read(end) {
                Ok(Some(frame)) => self.backlog.push_back(frame),
                Ok(None) => {}
                Err(error) => panic!("{error} while waiting for the close; so far {:#?}", self.backlog),
            }
        }
        self.closed.clone().expect("the loop ends with it")
    }

    /// Frames of this event that were read while waiting for other things.
    pub fn seen(&self, event: &str) -> Vec<&Value> {
        self.backlog.iter().filter(|frame| frame["event"] == event).collect()
    }

    /// Takes everything that was read while waiting for other things.
    pub fn take_backlog(&mut self) -> Vec<Value> {
        self.backlog.drain(..).collect()
    }

    pub fn close(&mut self) {
        // Lost on purpose: the gateway may have closed first.
        let _ = self.socket.close(None);
        let _ = self.socket.flush();
    }

    pub fn limit(&mut self, limit: Duration) {
        self.limit = limit;
        self.socket.get_ref().0.set_read_timeout(Some(limit)).expect("set the read deadline");
    }

    fn keep(&self, way: &str, frame: &str) {
        if let Some(mut file) = FRAMES.as_ref() {
            // Our port tells this connection from all others of a test.
            let port = self.socket.get_ref().0.local_addr().map_or(0, |addr| addr.port());
            let line = format!("{{\"pid\":{},\"port\":{port},\"{way}\":{frame}}}\n", std::process::id());
            file.write_all(line.as_bytes()).expect("keep a frame");
        }
    }

    /// The next text frame; `None` after the close.
    fn read(&mut self, end: Instant) -> Result<Option<Value>, Error> {
        loop {
            if Instant::now() >= end {
                return Err(Error::Io(std::io::ErrorKind::TimedOut.into()));
            }
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    self.keep("got", &text);
                    return Ok(Some(serde_json::from_str(&text).expect("the gateway speaks JSON")));
                }
                Ok(Message::Close(close)) => {
                    let close = close.map(|close| (u16::from(close.code), close.reason.to_string()));
                    self.closed = Some(close.unwrap_or((1005, String::new())));
                    // The engine answers the close on the next read; the result no longer matters.
                    let _ = self.socket.flush();
                    return Ok(None);
                }
                Ok(_) => {}
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    self.closed.get_or_insert((1005, String::new()));
                    return Ok(None);
                }
                Err(Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                    self.closed.get_or_insert((1006, String::new()));
                    return Ok(None);
                }
                // A signal to this process: the wait goes on.
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
