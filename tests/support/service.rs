//! The frame of a fake service: HTTP and a WebSocket, and what both can do wrong. What it is about is its [`World`].

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tiny_http::{Header, Request, Response, Server};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};

use super::wait;

/// What a service is about.
pub trait World: Default + Send + 'static {
    /// Answers a call: status and JSON.
    fn serve(&mut self, call: &Called, at: &Addresses) -> (u16, Value);

    /// What lies at a path, as bytes.
    fn file(&mut self, _call: &Called) -> Option<Vec<u8>> {
        None
    }

    /// Somebody opened the socket.
    fn opened(&mut self) -> Vec<Value>;

    /// Somebody said something on it.
    fn hear(&mut self, said: &Value) -> Vec<Value>;

    /// What is to be said on it now; asked again and again.
    fn pending(&mut self) -> Vec<Value>;
}

/// Where a service is.
#[derive(Debug, Clone)]
pub struct Addresses {
    pub root: String,
    pub socket: String,
}

/// What to do wrong with the next call of a route.
#[derive(Debug, Clone)]
pub enum Misdeed {
    Refuse(u16, Value),
    /// Do it, and answer 502.
    Lose,
}

/// One call as it came.
#[derive(Debug, Clone)]
pub struct Called {
    /// Method and path, without its query.
    pub route: String,
    pub query: String,
    pub body: Value,
    pub raw: Vec<u8>,
    pub bearer: String,
    pub at: Instant,
}

impl Called {
    pub fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }

    pub fn asked(&self, name: &str) -> &str {
        self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
    }
}

#[derive(Debug, Clone)]
enum Order {
    Cut,
    Close(u16),
}

#[derive(Default)]
struct State<W> {
    world: W,
    calls: Vec<Called>,
    misdeeds: Vec<(String, Misdeed)>,
    connections: usize,
    order: Option<Order>,
    /// The socket takes nothing and says nothing.
    deaf: bool,
    over: bool,
}

struct Shared<W> {
    state: Mutex<State<W>>,
    changed: Condvar,
    at: Addresses,
}

/// A running service. It ends with the test.
pub struct Service<W: World> {
    pub at: Addresses,
    server: Arc<Server>,
    shared: Arc<Shared<W>>,
}

impl<W: World> Service<W> {
    pub fn start() -> Service<W> {
        let server = Arc::new(Server::http("127.0.0.1:0").expect("bind the service"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind the socket");
        let at = Addresses {
            root: format!("http://{}", server.server_addr()),
            socket: format!("ws://{}", listener.local_addr().expect("bound")),
        };
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), at: at.clone() });
        let (accepting, own) = (server.clone(), shared.clone());
        std::thread::spawn(move || {
            while let Ok(request) = accepting.recv() {
                let shared = own.clone();
                std::thread::spawn(move || shared.serve(request));
            }
        });
        let own = shared.clone();
        std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                if own.state().over {
                    return;
                }
                let shared = own.clone();
                std::thread::spawn(move || shared.talk(socket));
            }
        });
        Service { at, server, shared }
    }

    /// Looks at the world, or changes it.
    pub fn world<T>(&self, look: impl FnOnce(&mut W) -> T) -> T {
        let done = look(&mut self.shared.state().world);
        self.shared.changed.notify_all();
        done
    }

    /// The next call of a route goes wrong; several misdeeds of one route come in order.
    pub fn misbehave(&self, route: &str, misdeed: Misdeed) {
        self.shared.state().misdeeds.push((route.to_owned(), misdeed));
    }

    pub fn cut(&self) {
        self.shared.state().order = Some(Order::Cut);
    }

    pub fn close(&self, code: u16) {
        self.shared.state().order = Some(Order::Close(code));
    }

    pub fn deaf(&self, deaf: bool) {
        self.shared.state().deaf = deaf;
    }

    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    #[track_caller]
    pub fn wait_connections(&self, count: usize) {
        wait::until(&format!("{count} connections"), || (self.connections() >= count).then_some(()));
    }

    pub fn calls(&self, route: &str) -> Vec<Called> {
        self.shared.state().calls.iter().filter(|call| call.route == route).cloned().collect()
    }

    #[track_caller]
    pub fn wait_called(&self, route: &str, count: usize) -> Vec<Called> {
        wait::until(&format!("{route} is called {count} times"), || {
            Some(self.calls(route)).filter(|calls| calls.len() >= count)
        })
    }

    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, mut look: impl FnMut(&mut W) -> Option<T>) -> T {
        wait::until(what, || self.world(&mut look))
    }
}

impl<W: World> Drop for Service<W> {
    fn drop(&mut self) {
        self.shared.state().over = true;
        self.server.unblock();
        // Wakes the one that accepts.
        drop(TcpStream::connect(self.at.socket.trim_start_matches("ws://")));
    }
}

impl<W: World> Shared<W> {
    fn state(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().expect("nobody panics while holding the state")
    }

    fn talk(&self, socket: TcpStream) {
        let Ok(mut ws) = tungstenite::accept(socket) else { return };
        ws.get_ref().set_read_timeout(Some(Duration::from_millis(5))).expect("a socket");
        let (own, first) = {
            let mut state = self.state();
            state.connections += 1;
            (state.connections, state.world.opened())
        };
        let mut alive = first.iter().all(|one| say(&mut ws, one));
        while alive {
            if self.state().deaf {
                std::thread::park_timeout(Duration::from_millis(5));
                if self.state().over || self.state().connections != own {
                    return;
                }
                continue;
            }
            match ws.read() {
                Ok(Message::Text(text)) => {
                    let said: Value = serde_json::from_str(&text).expect("JSON");
                    let answers = self.state().world.hear(&said);
                    self.changed.notify_all();
                    alive = answers.iter().all(|one| say(&mut ws, one));
                }
                Ok(Message::Close(_)) => return,
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
            let (news, order) = {
                let mut state = self.state();
                if state.over || state.connections != own {
                    return;
                }
                (state.world.pending(), state.order.take())
            };
            alive &= news.iter().all(|one| say(&mut ws, one));
            match order {
                Some(Order::Cut) => return,
                Some(Order::Close(code)) => {
                    drop(ws.close(Some(CloseFrame { code: code.into(), reason: "told to".into() })));
                }
                None => {}
            }
        }
    }

    fn serve(&self, mut request: Request) {
        let mut raw = Vec::new();
        request.as_reader().read_to_end(&mut raw).expect("read the request");
        let bearer = request.headers().iter().find(|header| header.field.equiv("Authorization"));
        let bearer = bearer.map(|header| header.value.to_string()).unwrap_or_default();
        let (path, query) = request.url().split_once('?').unwrap_or((request.url(), ""));
        let route = format!("{} {path}", request.method());
        let call = Called { route, query: query.to_owned(), body: read(&raw), raw, bearer, at: Instant::now() };
        let mut state = self.state();
        state.calls.push(call.clone());
        self.changed.notify_all();
        let misdeed = state.misdeeds.iter().position(|(name, _)| *name == call.route);
        let misdeed = misdeed.map(|at| state.misdeeds.remove(at).1);
        if let Some(Misdeed::Refuse(status, body)) = misdeed {
            drop(state);
            return answer(request, status, &body);
        }
        if let Some(bytes) = state.world.file(&call) {
            drop(state);
            // The client may be gone.
            let _ = request.respond(Response::from_data(bytes));
            return;
        }
        let (status, body) = state.world.serve(&call, &self.at);
        drop(state);
        self.changed.notify_all();
        match misdeed {
            Some(Misdeed::Lose) => answer(request, 502, &Value::Null),
            _ => answer(request, status, &body),
        }
    }
}

/// A body as JSON, also where it is a form.
fn read(raw: &[u8]) -> Value {
    if let Ok(body) = serde_json::from_slice(raw) {
        return body;
    }
    let text = String::from_utf8_lossy(raw);
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    let fields: Map<String, Value> =
        pairs.map(|(name, value)| (name.to_owned(), value.replace("%2E", ".").replace("%3A", ":").into())).collect();
    json!(fields)
}

fn say(ws: &mut WebSocket<TcpStream>, value: &Value) -> bool {
    ws.send(Message::text(value.to_string())).is_ok()
}

fn answer(request: Request, status: u16, body: &Value) {
    let json = Header::from_bytes("Content-Type", "application/json").expect("a header");
    let text = if body.is_null() { String::new() } else { body.to_string() };
    // The client may be gone.
    let _ = request.respond(Response::from_string(text).with_status_code(status).with_header(json));
}
