//! A Telegram that does as it is told: it keeps updates until they are confirmed, takes messages, and misbehaves.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tiny_http::{Header, Request, Response, Server};

use super::wait;

/// The token of every bot here, long enough to be one.
pub const TOKEN: &str = "4242:test-token-canary-91ab";
/// Its user id and name.
pub const BOT: i64 = 4242;

/// What to do wrong with the next call of a method.
#[derive(Debug, Clone)]
pub enum Misdeed {
    /// Refuse with this status and body, without doing anything.
    Refuse(u16, Value),
    /// Take the request and never answer.
    BlackHole,
    /// Do it, and answer 502: the answer is lost.
    Lose,
    /// Answer once more what was confirmed already (only `getUpdates`).
    Repeat,
}

/// One call as it came.
#[derive(Debug, Clone)]
pub struct Called {
    pub method: String,
    pub params: Value,
    pub at: Instant,
}

/// A message as a person would see it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub id: i64,
    pub chat: String,
    pub text: String,
}

#[derive(Default)]
struct World {
    updates: VecDeque<Value>,
    confirmed: Vec<Value>,
    next_update: i64,
    next_message: i64,
    calls: Vec<Called>,
    shown: Vec<Shown>,
    misdeeds: Vec<(String, Misdeed)>,
    files: Vec<(String, Vec<u8>)>,
    /// Requests that are never answered.
    held: Vec<Request>,
    over: bool,
}

struct Shared {
    world: Mutex<World>,
    changed: Condvar,
}

/// A running service. It ends with the test.
pub struct Telegram {
    pub root: String,
    server: Arc<Server>,
    shared: Arc<Shared>,
}

impl Telegram {
    pub fn start() -> Telegram {
        let server = Arc::new(Server::http("127.0.0.1:0").expect("bind the service"));
        let root = format!("http://{}", server.server_addr());
        let world = World { next_update: 100, next_message: 1000, ..World::default() };
        let shared = Arc::new(Shared { world: Mutex::new(world), changed: Condvar::new() });
        let (accepting, own) = (server.clone(), shared.clone());
        std::thread::spawn(move || {
            while let Ok(request) = accepting.recv() {
                let shared = own.clone();
                std::thread::spawn(move || shared.serve(request));
            }
        });
        Telegram { root, server, shared }
    }

    /// The settings of an account that talks to this service, with something laid over them.
    pub fn section(&self, more: Value) -> Value {
        let mut section = json!({ "botToken": TOKEN, "apiRoot": self.root, "pollSeconds": 1 });
        super::gateway::merge(&mut section, more);
        section
    }

    /// Somebody writes in a direct chat. Answers the message's id.
    pub fn says(&self, user: i64, text: &str) -> i64 {
        self.message(json!({ "from": { "id": user, "first_name": "Ada", "is_bot": false },
                             "chat": { "id": user, "type": "private" }, "text": text }))
    }

    /// A message with everything in it but its number.
    pub fn message(&self, mut message: Value) -> i64 {
        let mut world = self.world();
        world.next_message += 1;
        let id = world.next_message;
        message["message_id"] = id.into();
        message["date"] = 1_700_000_000.into();
        drop(world);
        self.update(json!({ "message": message }));
        id
    }

    pub fn update(&self, mut update: Value) {
        let mut world = self.world();
        world.next_update += 1;
        update["update_id"] = world.next_update.into();
        world.updates.push_back(update);
        self.shared.changed.notify_all();
    }

    /// The next call of a method goes wrong; several misdeeds of one method come in order.
    pub fn misbehave(&self, method: &str, misdeed: Misdeed) {
        self.world().misdeeds.push((method.to_owned(), misdeed));
    }

    pub fn file(&self, id: &str, bytes: Vec<u8>) {
        self.world().files.push((id.to_owned(), bytes));
    }

    /// Calls of a method so far.
    pub fn calls(&self, method: &str) -> Vec<Called> {
        self.world().calls.iter().filter(|call| call.method == method).cloned().collect()
    }

    /// What a person sees in a chat.
    pub fn shown(&self, chat: i64) -> Vec<String> {
        let chat = chat.to_string();
        self.world().shown.iter().filter(|shown| shown.chat == chat).map(|shown| shown.text.clone()).collect()
    }

    /// Waits until a chat shows exactly so many messages, and gives them.
    #[track_caller]
    pub fn wait_shown(&self, chat: i64, count: usize) -> Vec<String> {
        let what = format!("chat {chat} shows {count} messages");
        wait::until(&what, || Some(self.shown(chat)).filter(|shown| shown.len() >= count))
    }

    #[track_caller]
    pub fn wait_called(&self, method: &str, count: usize) -> Vec<Called> {
        let what = format!("{method} is called {count} times");
        wait::until(&what, || Some(self.calls(method)).filter(|calls| calls.len() >= count))
    }

    /// Updates nobody has confirmed yet.
    pub fn unconfirmed(&self) -> usize {
        self.world().updates.len()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world()
    }
}

impl Drop for Telegram {
    fn drop(&mut self) {
        let mut world = self.world();
        world.over = true;
        world.held.clear();
        drop(world);
        self.shared.changed.notify_all();
        self.server.unblock();
    }
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("nobody panics while holding the world")
    }

    fn serve(&self, mut request: Request) {
        let path = request.url().trim_start_matches('/').to_owned();
        if let Some(path) = path.strip_prefix(&format!("file/bot{TOKEN}/")) {
            let file = self.world().files.iter().find(|(id, _)| format!("files/{id}") == path).cloned();
            // The client may be gone.
            let _ = match file {
                Some((_, bytes)) => request.respond(Response::from_data(bytes)),
                None => request.respond(Response::empty(404)),
            };
            return;
        }
        let Some(method) = path.strip_prefix(&format!("bot{TOKEN}/")).map(str::to_owned) else {
            return answer(request, 401, &json!({"ok": false, "error_code": 401, "description": "Unauthorized"}));
        };
        let mut body = Vec::new();
        request.as_reader().read_to_end(&mut body).expect("read the request");
        let params: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let mut world = self.world();
        world.calls.push(Called { method: method.clone(), params: params.clone(), at: Instant::now() });
        self.changed.notify_all();
        let misdeed = world.misdeeds.iter().position(|(name, _)| *name == method);
        let misdeed = misdeed.map(|at| world.misdeeds.remove(at).1);
        match misdeed {
            Some(Misdeed::Refuse(status, body)) => {
                drop(world);
                return answer(request, status, &body);
            }
            Some(Misdeed::BlackHole) => {
                world.held.push(request);
                return;
            }
            _ => {}
        }
        if method == "getUpdates" {
            let offset = params["offset"].as_i64().unwrap_or(0);
            let end = Instant::now() + Duration::from_secs(params["timeout"].as_u64().unwrap_or(0));
            while world.updates.front().is_some_and(|update| update["update_id"].as_i64() < Some(offset)) {
                let done = world.updates.pop_front().expect("looked at a moment ago");
                world.confirmed.push(done);
            }
            if matches!(misdeed, Some(Misdeed::Repeat)) {
                let mut again = world.confirmed.clone();
                again.reverse();
                drop(world);
                return answer(request, 200, &json!({"ok": true, "result": again}));
            }
            while world.updates.is_empty() && !world.over && Instant::now() < end {
                let left = end.saturating_duration_since(Instant::now());
                world = self.changed.wait_timeout(world, left).expect("nobody panics while holding the world").0;
            }
            let found: Vec<Value> = world.updates.iter().cloned().collect();
            drop(world);
            return answer(request, 200, &json!({"ok": true, "result": found}));
        }
        let result = world.make(&method, &params);
        self.changed.notify_all();
        drop(world);
        match (result, misdeed) {
            (_, Some(Misdeed::Lose)) => answer(request, 502, &Value::Null),
            (Ok(result), _) => answer(request, 200, &json!({"ok": true, "result": result})),
            (Err(words), _) => answer(
                request,
                400,
                &json!({"ok": false, "error_code": 400, "description": format!("Bad Request: {words}")}),
            ),
        }
    }
}

impl World {
    fn make(&mut self, method: &str, params: &Value) -> Result<Value, &'static str> {
        let chat = params["chat_id"].as_str().map(str::to_owned).unwrap_or_else(|| params["chat_id"].to_string());
        let text = params["text"].as_str().unwrap_or_default().to_owned();
        match method {
            "getMe" => Ok(json!({"id": BOT, "is_bot": true, "first_name": "Test", "username": "test_bot"})),
            "sendMessage" => {
                let units: usize = text.encode_utf16().count();
                if text.is_empty() || params["parse_mode"] != "HTML" && units > 4096 {
                    return Err("message text is empty or too long");
                }
                self.next_message += 1;
                self.shown.push(Shown { id: self.next_message, chat, text });
                Ok(json!({"message_id": self.next_message}))
            }
            "editMessageText" => {
                let id = params["message_id"].as_i64();
                let shown = self.shown.iter_mut().find(|shown| Some(shown.id) == id && shown.chat == chat);
                let shown = shown.ok_or("message to edit not found")?;
                if shown.text == text {
                    return Err("message is not modified");
                }
                shown.text = text;
                Ok(json!({"message_id": id}))
            }
            "getFile" => {
                let id = params["file_id"].as_str().unwrap_or_default();
                Ok(json!({"file_id": id, "file_path": format!("files/{id}")}))
            }
            "sendPhoto" | "sendDocument" => {
                self.next_message += 1;
                Ok(json!({"message_id": self.next_message}))
            }
            "getWebhookInfo" => Ok(json!({"url": ""})),
            _ => Ok(json!(true)),
        }
    }
}

fn answer(request: Request, status: u16, body: &Value) {
    let json = Header::from_bytes("Content-Type", "application/json").expect("a header");
    // The client may be gone.
    let _ = request.respond(Response::from_string(body.to_string()).with_status_code(status).with_header(json));
}
