//! A gateway made of a script, for tests: a thread on 127.0.0.1 that says what the test tells it to.
//!
//! Every wait of the thread ends after [`PATIENCE`]; what it found wrong is reported when the test drops the handle.

use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};

/// A running script. Dropping it waits for its end and passes its panic on.
pub struct Fake {
    pub url: String,
    thread: Option<JoinHandle<()>>,
}

/// The gateway's end of one connection.
pub struct Peer(WebSocket<TcpStream>);

impl Fake {
    /// Accepts `connections` one after the other and plays the script with each.
    pub fn start(connections: usize, script: impl Fn(&mut Peer) + Send + 'static) -> Fake {
        Fake::raw(connections, move |socket| {
            let mut peer = Peer(tungstenite::accept(socket).expect("an upgrade"));
            script(&mut peer);
        })
    }

    /// The same below the WebSocket.
    pub fn raw(connections: usize, script: impl Fn(TcpStream) + Send + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("ws://{}", listener.local_addr().expect("an address"));
        let thread = std::thread::spawn(move || {
            for _ in 0..connections {
                let (socket, _) = listener.accept().expect("a client");
                socket.set_read_timeout(Some(PATIENCE)).expect("a deadline");
                socket.set_write_timeout(Some(PATIENCE)).expect("a deadline");
                script(socket);
            }
        });
        Fake { url, thread: Some(thread) }
    }

    /// A polite gateway: greets, grants what is asked and answers with `answer(method, params)`.
    pub fn polite(connections: usize, answer: impl Fn(&str, &Value) -> Result<Value, Value> + Send + 'static) -> Fake {
        Fake::start(connections, move |peer| {
            peer.greet();
            while let Some(request) = peer.request() {
                let (id, method) =
                    (request["id"].as_str().expect("an id"), request["method"].as_str().expect("a method"));
                match answer(method, &request["params"]) {
                    Ok(payload) => peer.say(&json!({"type": "res", "id": id, "ok": true, "payload": payload})),
                    Err(error) => peer.say(&json!({"type": "res", "id": id, "ok": false, "error": error})),
                }
            }
        })
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let ended = self.thread.take().map(JoinHandle::join);
        if let (Some(Err(panic)), false) = (ended, std::thread::panicking()) {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Peer {
    /// Challenge, `connect`, hello-ok with the scopes that were asked for. Returns the params of `connect`.
    pub fn greet(&mut self) -> Value {
        self.challenge();
        let connect = self.request().expect("connect");
        assert_eq!(connect["method"], "connect");
        let hello = hello(&connect["params"]["scopes"]);
        self.say(&json!({"type": "res", "id": connect["id"], "ok": true, "payload": hello}));
        connect["params"].clone()
    }

    pub fn challenge(&mut self) {
        self.event("connect.challenge", json!({"nonce": "n", "ts": 1}));
    }

    /// The next request; nothing when the client left.
    pub fn request(&mut self) -> Option<Value> {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).expect("JSON")),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub fn say(&mut self, frame: &Value) {
        self.0.send(Message::text(frame.to_string())).expect("the client listens");
    }

    pub fn event(&mut self, name: &str, payload: Value) {
        self.say(&json!({"type": "event", "event": name, "payload": payload}));
    }

    pub fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.to_owned().into() };
        self.0.close(Some(frame)).expect("a close");
        while self.0.read().is_ok() {}
    }
}

/// A small hello-ok.
pub fn hello(scopes: &Value) -> Value {
    json!({
        "type": "hello-ok", "protocol": 4, "server": {"version": "9.9.9", "connId": "c1"},
        "features": {"methods": ["health"], "events": [], "capabilities": ["published-model-catalog"]},
        "snapshot": {}, "auth": {"method": "token", "role": "operator", "scopes": scopes},
        "policy": {"maxPayload": 1, "maxBufferedBytes": 1, "tickIntervalMs": 30000},
    })
}

/// A test that needs longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);
