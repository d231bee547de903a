//! A Discord that does as it is told: a gateway with sessions that can be resumed, the HTTP API, and misdeeds of both.

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tiny_http::{Header, Request, Response, Server};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};

use super::wait;

/// The token of every bot here.
pub const TOKEN: &str = "NDI.discord-test-token-canary";
/// Its user id.
pub const BOT: &str = "42";
/// The server its channels are in.
pub const GUILD: &str = "900";

/// What to do wrong with the next call of a route.
#[derive(Debug, Clone)]
pub enum Misdeed {
    Refuse(u16, Value),
    /// Do it, and answer 502.
    Lose,
    /// Do it, and say that the route is used up for a while.
    UseUp,
}

/// One call as it came.
#[derive(Debug, Clone)]
pub struct Called {
    pub route: String,
    pub body: Value,
    pub raw: Vec<u8>,
    pub bearer: String,
    pub at: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub id: String,
    pub chat: String,
    pub text: String,
}

#[derive(Default)]
struct World {
    session: u64,
    /// Dispatches of the session, each with its number.
    log: Vec<Value>,
    history: Vec<Value>,
    channels: Vec<Value>,
    made: u64,
    calls: Vec<Called>,
    shown: Vec<Shown>,
    nonces: Vec<(String, String)>,
    misdeeds: Vec<(String, Misdeed)>,
    files: Vec<(String, Vec<u8>)>,
    connections: u64,
    identified: Vec<Value>,
    resumed: Vec<Value>,
    deaf: bool,
    forgetful: bool,
    /// What the connections there are do next.
    order: Option<Order>,
    over: bool,
}

#[derive(Debug, Clone)]
enum Order {
    Cut,
    Reconnect,
    Close(u16),
}

struct Shared {
    world: Mutex<World>,
    changed: Condvar,
    gateway: String,
    root: String,
}

/// A running service. It ends with the test.
pub struct Discord {
    pub root: String,
    server: Arc<Server>,
    shared: Arc<Shared>,
}

impl Discord {
    pub fn start() -> Discord {
        let server = Arc::new(Server::http("127.0.0.1:0").expect("bind the service"));
        let root = format!("http://{}", server.server_addr());
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind the gateway");
        let gateway = format!("ws://{}", listener.local_addr().expect("bound"));
        let world = Mutex::new(World::default());
        let shared = Arc::new(Shared { world, changed: Condvar::new(), gateway, root: root.clone() });
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
                if own.world().over {
                    return;
                }
                let shared = own.clone();
                std::thread::spawn(move || shared.talk(socket));
            }
        });
        Discord { root, server, shared }
    }

    /// The settings of an account that talks to this service, with something laid over them.
    pub fn section(&self, more: Value) -> Value {
        let mut section = json!({ "token": TOKEN, "apiRoot": self.root });
        super::gateway::merge(&mut section, more);
        section
    }

    /// Somebody writes directly. Answers the message's id.
    pub fn says(&self, user: u64, text: &str) -> String {
        self.message(json!({ "channel_id": direct(user), "content": text,
                             "author": { "id": user.to_string(), "username": "ada", "global_name": "Ada" } }))
    }

    /// A message with everything in it but its id.
    pub fn message(&self, message: Value) -> String {
        let mut world = self.world();
        let (id, message) = world.note(message);
        world.dispatch("MESSAGE_CREATE", message);
        self.shared.changed.notify_all();
        id
    }

    /// A message that the gateway tells nobody of: it can only be read up.
    pub fn message_unheard(&self, message: Value) -> String {
        self.world().note(message).0
    }

    pub fn event(&self, kind: &str, data: Value) {
        self.world().dispatch(kind, data);
        self.shared.changed.notify_all();
    }

    /// A channel of the server, or a thread of one.
    pub fn channel(&self, id: &str, name: &str, parent: Option<&str>) {
        let kind = if parent.is_some() { 11 } else { 0 };
        let channel = json!({"id": id, "type": kind, "name": name, "guild_id": GUILD, "parent_id": parent});
        self.world().channels.push(channel);
    }

    pub fn misbehave(&self, route: &str, misdeed: Misdeed) {
        self.world().misdeeds.push((route.to_owned(), misdeed));
    }

    pub fn file(&self, name: &str, bytes: Vec<u8>) -> String {
        self.world().files.push((name.to_owned(), bytes));
        format!("{}/files/{name}", self.root)
    }

    /// Heartbeats are not answered until further notice.
    pub fn deaf(&self, deaf: bool) {
        self.world().deaf = deaf;
    }

    /// The session is forgotten: the next attempt to resume it is refused.
    pub fn forget_session(&self) {
        self.world().forgetful = true;
    }

    pub fn cut(&self) {
        self.order(Order::Cut);
    }

    pub fn ask_for_a_new_connection(&self) {
        self.order(Order::Reconnect);
    }

    pub fn close(&self, code: u16) {
        self.order(Order::Close(code));
    }

    fn order(&self, order: Order) {
        self.world().order = Some(order);
        self.shared.changed.notify_all();
    }

    pub fn identified(&self) -> Vec<Value> {
        self.world().identified.clone()
    }

    pub fn resumed(&self) -> Vec<Value> {
        self.world().resumed.clone()
    }

    #[track_caller]
    pub fn wait_ready(&self, identified: usize, resumed: usize) {
        let what = format!("{identified} introductions and {resumed} resumptions");
        wait::until(&what, || (self.identified().len() >= identified && self.resumed().len() >= resumed).then_some(()));
    }

    pub fn calls(&self, route: &str) -> Vec<Called> {
        self.world().calls.iter().filter(|call| call.route == route).cloned().collect()
    }

    pub fn shown(&self, chat: &str) -> Vec<String> {
        self.world().shown.iter().filter(|shown| shown.chat == chat).map(|shown| shown.text.clone()).collect()
    }

    #[track_caller]
    pub fn wait_shown(&self, chat: &str, count: usize) -> Vec<String> {
        let what = format!("channel {chat} shows {count} messages");
        wait::until(&what, || Some(self.shown(chat)).filter(|shown| shown.len() >= count))
    }

    #[track_caller]
    pub fn wait_called(&self, route: &str, count: usize) -> Vec<Called> {
        let what = format!("{route} is called {count} times");
        wait::until(&what, || Some(self.calls(route)).filter(|calls| calls.len() >= count))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world()
    }
}

/// The channel in which somebody and the bot are alone.
pub fn direct(user: u64) -> String {
    (user + 5_000_000).to_string()
}

impl Drop for Discord {
    fn drop(&mut self) {
        self.world().over = true;
        self.shared.changed.notify_all();
        self.server.unblock();
        // Wakes the one that accepts.
        drop(TcpStream::connect(self.shared.gateway.trim_start_matches("ws://")));
    }
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("nobody panics while holding the world")
    }

    fn talk(&self, socket: TcpStream) {
        let Ok(mut ws) = tungstenite::accept(socket) else { return };
        ws.get_ref().set_read_timeout(Some(Duration::from_millis(5))).expect("a socket");
        let hello = json!({"op": 10, "s": null, "t": null, "d": {"heartbeat_interval": 300}});
        let (mut session, mut sent) = (0, 0);
        let mut alive = say(&mut ws, &hello);
        let own = {
            let mut world = self.world();
            world.connections += 1;
            world.connections
        };
        while alive {
            match ws.read() {
                Ok(Message::Text(text)) => {
                    let said: Value = serde_json::from_str(&text).expect("JSON");
                    (alive, session, sent) = self.hear(&mut ws, &said, session, sent);
                }
                Ok(Message::Close(_)) => return,
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
            let mut world = self.world();
            if world.over || world.connections != own {
                return;
            }
            if session != world.session || session == 0 {
                continue;
            }
            let news: Vec<Value> = world.log[sent..].to_vec();
            sent = world.log.len();
            let order = world.order.take();
            drop(world);
            alive = news.iter().all(|one| say(&mut ws, one));
            match order {
                Some(Order::Cut) => return,
                Some(Order::Reconnect) => alive = say(&mut ws, &json!({"op": 7, "d": null})),
                Some(Order::Close(code)) => {
                    drop(ws.close(Some(CloseFrame { code: code.into(), reason: "told to".into() })));
                }
                None => {}
            }
        }
    }

    fn hear(&self, ws: &mut WebSocket<TcpStream>, said: &Value, session: u64, sent: usize) -> (bool, u64, usize) {
        let mut world = self.world();
        let data = &said["d"];
        match said["op"].as_u64() {
            Some(1) if world.deaf => (true, session, sent),
            Some(1) => (say(ws, &json!({"op": 11})), session, sent),
            Some(2) => {
                world.identified.push(data.clone());
                if data["token"] != TOKEN {
                    drop(ws.close(Some(CloseFrame { code: 4004.into(), reason: "Authentication failed.".into() })));
                    return (true, 0, 0);
                }
                world.session += 1;
                world.forgetful = false;
                world.log.clear();
                let name = format!("session-{}", world.session);
                let ready =
                    json!({"session_id": name, "resume_gateway_url": self.gateway, "application": {"id": "4242"}});
                world.dispatch("READY", ready);
                (true, world.session, 0)
            }
            Some(6) => {
                world.resumed.push(data.clone());
                if world.forgetful || data["session_id"] != format!("session-{}", world.session) {
                    return (say(ws, &json!({"op": 9, "d": false})), 0, 0);
                }
                let known = data["seq"].as_u64().expect("a number") as usize;
                let missed: Vec<Value> = world.log[known..].to_vec();
                let alive = missed.iter().all(|one| say(ws, one));
                let (session, sent) = (world.session, world.log.len());
                (alive && say(ws, &json!({"op": 0, "s": sent, "t": "RESUMED", "d": {}})), session, sent)
            }
            _ => (true, session, sent),
        }
    }

    fn serve(&self, mut request: Request) {
        let path = request.url().trim_start_matches('/').to_owned();
        if let Some(name) = path.strip_prefix("files/") {
            let file = self.world().files.iter().find(|(known, _)| known == name).cloned();
            // The client may be gone.
            let _ = match file {
                Some((_, bytes)) => request.respond(Response::from_data(bytes)),
                None => request.respond(Response::empty(404)),
            };
            return;
        }
        let mut raw = Vec::new();
        request.as_reader().read_to_end(&mut raw).expect("read the request");
        let bearer = request.headers().iter().find(|header| header.field.equiv("Authorization"));
        let bearer = bearer.map(|header| header.value.to_string()).unwrap_or_default();
        let body = payload(&raw);
        let (path, query) = path.split_once('?').unwrap_or((path.as_str(), ""));
        let route = format!("{} {path}", request.method());
        let mut world = self.world();
        world.calls.push(Called {
            route: route.clone(),
            body: body.clone(),
            raw,
            bearer: bearer.clone(),
            at: Instant::now(),
        });
        self.changed.notify_all();
        let own = path.starts_with("webhooks/") || path.starts_with("interactions/");
        if !own && bearer != format!("Bot {TOKEN}") {
            drop(world);
            return answer(request, 401, &json!({"message": "401: Unauthorized", "code": 0}), false);
        }
        let misdeed = world.misdeeds.iter().position(|(name, _)| *name == route);
        let misdeed = misdeed.map(|at| world.misdeeds.remove(at).1);
        if let Some(Misdeed::Refuse(status, body)) = misdeed {
            drop(world);
            return answer(request, status, &body, false);
        }
        let parts: Vec<&str> = path.split('/').collect();
        let result = world.make(request.method().as_str(), &parts, query, &body, &self.gateway, &self.root);
        self.changed.notify_all();
        drop(world);
        match (result, misdeed) {
            (_, Some(Misdeed::Lose)) => answer(request, 502, &Value::Null, false),
            (Ok(result), misdeed) => answer(request, 200, &result, matches!(misdeed, Some(Misdeed::UseUp))),
            (Err((status, code, words)), _) => answer(request, status, &json!({"message": words, "code": code}), false),
        }
    }
}

type Refusal = (u16, u64, &'static str);

impl World {
    fn dispatch(&mut self, kind: &str, data: Value) {
        let s = self.log.len() + 1;
        self.log.push(json!({"op": 0, "s": s, "t": kind, "d": data}));
    }

    fn id(&mut self) -> String {
        self.made += 1;
        let ms = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis() as u64;
        (((ms - 1_420_070_400_000) << 22) + self.made).to_string()
    }

    fn note(&mut self, mut message: Value) -> (String, Value) {
        let id = self.id();
        message["id"] = id.clone().into();
        for (name, empty) in [("type", json!(0)), ("mentions", json!([])), ("attachments", json!([]))] {
            if message.get(name).is_none() {
                message[name] = empty;
            }
        }
        // As the API gives it: without the place and the membership.
        let mut bare = message.clone();
        let bare = bare.as_object_mut().map(|bare| {
            bare.retain(|name, _| name != "guild_id" && name != "member");
            Value::Object(bare.clone())
        });
        self.history.extend(bare);
        (id, message)
    }

    fn make(
        &mut self,
        method: &str,
        parts: &[&str],
        query: &str,
        body: &Value,
        gateway: &str,
        _root: &str,
    ) -> Result<Value, Refusal> {
        let text = body["content"].as_str().unwrap_or_default().to_owned();
        match (method, parts) {
            ("GET", ["users", "@me"]) => Ok(json!({"id": BOT, "username": "test_bot", "bot": true})),
            ("GET", ["applications", "@me"]) => Ok(json!({"id": "4242"})),
            ("GET", ["gateway", "bot"]) => {
                Ok(json!({"url": gateway, "shards": 1, "session_start_limit": {"total": 1000, "remaining": 999}}))
            }
            ("GET", ["channels", id]) => match self.channels.iter().find(|channel| channel["id"] == *id) {
                Some(channel) => Ok(channel.clone()),
                None if id.starts_with('5') => Ok(json!({"id": id, "type": 1})),
                None => Err((404, 10003, "Unknown Channel")),
            },
            ("GET", ["channels", id, "messages"]) => {
                let after = query.split('&').find_map(|pair| pair.strip_prefix("after="));
                let after: u64 = after.and_then(|id| id.parse().ok()).unwrap_or(0);
                let newer = |message: &&Value| {
                    message["channel_id"] == *id
                        && message["id"].as_str().and_then(|id| id.parse::<u64>().ok()) > Some(after)
                };
                Ok(self.history.iter().filter(newer).rev().cloned().collect())
            }
            ("POST", ["users", "@me", "channels"]) => {
                let user: u64 = body["recipient_id"].as_str().and_then(|id| id.parse().ok()).unwrap_or(0);
                Ok(json!({"id": direct(user), "type": 1}))
            }
            ("POST", ["channels", chat, "messages"]) => {
                let nonce = body["nonce"].as_str().unwrap_or_default().to_owned();
                if let Some((_, id)) = self.nonces.iter().find(|(known, _)| *known == nonce && !nonce.is_empty()) {
                    return Ok(json!({"id": id}));
                }
                self.show(chat, text, nonce)
            }
            ("POST", ["webhooks", "4242", token]) if *token == "expired" => Err((404, 10015, "Unknown Webhook")),
            ("POST", ["webhooks", "4242", token]) => self.show(token, text, String::new()),
            ("PATCH", ["channels", _, "messages", id]) => {
                let shown = self.shown.iter_mut().find(|shown| shown.id == *id);
                shown.ok_or((404, 10008, "Unknown Message"))?.text = text;
                Ok(json!({"id": id}))
            }
            _ => Ok(Value::Null),
        }
    }

    fn show(&mut self, chat: &str, text: String, nonce: String) -> Result<Value, Refusal> {
        if text.chars().count() > 2000 {
            return Err((400, 50035, "Invalid Form Body"));
        }
        let id = self.id();
        self.nonces.push((nonce, id.clone()));
        self.shown.push(Shown { id: id.clone(), chat: chat.into(), text });
        Ok(json!({"id": id}))
    }
}

/// The JSON of a body, also of one that carries a file.
fn payload(raw: &[u8]) -> Value {
    if let Ok(body) = serde_json::from_slice(raw) {
        return body;
    }
    let text = String::from_utf8_lossy(raw);
    let json = text.split("name=\"payload_json\"\r\n\r\n").nth(1).and_then(|rest| rest.split("\r\n--").next());
    json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or(Value::Null)
}

fn say(ws: &mut WebSocket<TcpStream>, value: &Value) -> bool {
    ws.send(Message::text(value.to_string())).is_ok()
}

fn answer(request: Request, status: u16, body: &Value, used_up: bool) {
    let header = |name: &str, value: &str| Header::from_bytes(name, value).expect("a header");
    let mut response = Response::from_string(if body.is_null() { String::new() } else { body.to_string() })
        .with_status_code(status)
        .with_header(header("Content-Type", "application/json"));
    if used_up {
        response.add_header(header("X-RateLimit-Remaining", "0"));
        response.add_header(header("X-RateLimit-Reset-After", "1.0"));
    }
    // The client may be gone.
    let _ = request.respond(response);
}
