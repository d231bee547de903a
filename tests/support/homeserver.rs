//! A Matrix homeserver that does as it is told: it keeps events, syncs from any position, takes messages once per
//! transaction, and misbehaves.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tiny_http::{Header, Request, Response, Server};

use super::wait;

pub const TOKEN: &str = "syt_canary_matrix_token_77";
pub const BOT: &str = "@bot:home.test";
pub const ADA: &str = "@ada:home.test";

/// What to do wrong with the next call whose path holds some words.
#[derive(Debug, Clone)]
pub enum Misdeed {
    /// Refuse with this status and body, without doing anything.
    Refuse(u16, Value),
    /// Do it, and answer 502: the answer is lost.
    Lose,
}

#[derive(Default)]
struct World {
    /// Of all rooms, in order; a position is a number of them.
    events: Vec<(String, Value)>,
    rooms: BTreeMap<String, Room>,
    invited: BTreeMap<String, String>,
    transactions: BTreeMap<String, String>,
    calls: Vec<(String, Value)>,
    misdeeds: Vec<(String, Misdeed)>,
    files: BTreeMap<String, Vec<u8>>,
    /// Events of one sync and room; older ones are a gap.
    most: usize,
    over: bool,
}

#[derive(Default, Clone)]
struct Room {
    members: Vec<String>,
    encrypted: bool,
}

struct Shared {
    world: Mutex<World>,
    changed: Condvar,
}

/// A running service. It ends with the test.
pub struct Homeserver {
    pub root: String,
    server: Arc<Server>,
    shared: Arc<Shared>,
}

impl Homeserver {
    pub fn start() -> Homeserver {
        let server = Arc::new(Server::http("127.0.0.1:0").expect("bind the service"));
        let root = format!("http://{}", server.server_addr());
        let shared =
            Arc::new(Shared { world: Mutex::new(World { most: 50, ..World::default() }), changed: Condvar::new() });
        let (accepting, own) = (server.clone(), shared.clone());
        std::thread::spawn(move || {
            while let Ok(request) = accepting.recv() {
                let shared = own.clone();
                std::thread::spawn(move || shared.serve(request));
            }
        });
        Homeserver { root, server, shared }
    }

    /// The settings of an account that talks to this service, with something laid over them.
    pub fn section(&self, more: Value) -> Value {
        let mut section = json!({ "homeserver": self.root, "accessToken": TOKEN, "userId": BOT, "pollSeconds": 1 });
        super::gateway::merge(&mut section, more);
        section
    }

    /// A room with the bot and others in it.
    pub fn room(&self, id: &str, others: &[&str], encrypted: bool) {
        let members = others.iter().map(|user| (*user).to_owned()).chain([BOT.to_owned()]).collect();
        self.world().rooms.insert(id.to_owned(), Room { members, encrypted });
    }

    pub fn invite(&self, room: &str, by: &str) {
        self.world().invited.insert(room.to_owned(), by.to_owned());
        self.shared.changed.notify_all();
    }

    /// Somebody writes. Answers the event's id.
    pub fn says(&self, room: &str, user: &str, text: &str) -> String {
        self.event(room, user, json!({ "msgtype": "m.text", "body": text }))
    }

    /// Somebody sends any message.
    pub fn event(&self, room: &str, user: &str, content: Value) -> String {
        let mut world = self.world();
        let id = world.add(room, "m.room.message", user, content);
        self.shared.changed.notify_all();
        id
    }

    pub fn misbehave(&self, words: &str, misdeed: Misdeed) {
        self.world().misdeeds.push((words.to_owned(), misdeed));
    }

    pub fn file(&self, id: &str, bytes: Vec<u8>) {
        self.world().files.insert(id.to_owned(), bytes);
    }

    /// From now on a sync brings so many events of a room.
    pub fn at_most(&self, events: usize) {
        self.world().most = events;
    }

    /// Calls whose path holds some words: path and body.
    pub fn calls(&self, words: &str) -> Vec<(String, Value)> {
        self.world().calls.iter().filter(|(path, _)| path.contains(words)).cloned().collect()
    }

    /// What a person sees of the bot in a room: corrections in their place.
    pub fn shown(&self, room: &str) -> Vec<Value> {
        let world = self.world();
        let mut shown: Vec<(String, Value)> = Vec::new();
        for (_, event) in world.events.iter().filter(|(own, event)| own == room && event["sender"] == BOT) {
            let content = &event["content"];
            let replaced =
                (content["m.relates_to"]["rel_type"] == "m.replace").then(|| &content["m.relates_to"]["event_id"]);
            match replaced.and_then(|known| shown.iter_mut().find(|(id, _)| known == id.as_str())) {
                Some((_, old)) => {
                    let relation = old["m.relates_to"].clone();
                    *old = content["m.new_content"].clone();
                    old["m.relates_to"] = relation;
                }
                None => shown.push((event["event_id"].as_str().unwrap_or_default().to_owned(), content.clone())),
            }
        }
        shown.into_iter().map(|(_, content)| content).collect()
    }

    /// Waits until the bot has said exactly these words last, and so many messages.
    #[track_caller]
    pub fn wait_said(&self, room: &str, count: usize, last: &str) -> Vec<Value> {
        let what = format!("the bot says {last:?} in {room} as message {count}");
        wait::until(&what, || {
            let shown = self.shown(room);
            let done = shown.len() == count && shown.last().is_some_and(|content| content["body"] == last);
            done.then_some(shown)
        })
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().expect("no panic in the service")
    }
}

impl Drop for Homeserver {
    fn drop(&mut self) {
        self.world().over = true;
        self.shared.changed.notify_all();
        self.server.unblock();
    }
}

impl World {
    fn add(&mut self, room: &str, kind: &str, user: &str, content: Value) -> String {
        let id = format!("$e{}:home.test", self.events.len());
        let event = json!({ "type": kind, "event_id": id, "sender": user, "content": content, "origin_server_ts": 1 });
        self.events.push((room.to_owned(), event));
        id
    }

    fn sync(&self, since: Option<usize>) -> Value {
        let mut join = BTreeMap::new();
        let from = since.unwrap_or(0);
        for room in self.rooms.keys() {
            let all: Vec<_> = self
                .events
                .iter()
                .enumerate()
                .skip(from)
                .filter(|(_, (own, _))| own == room)
                .map(|(at, (_, e))| (at, e))
                .collect();
            if all.is_empty() {
                continue;
            }
            let left = all.len().saturating_sub(self.most);
            let shown: Vec<_> = all[left..].iter().map(|(_, event)| (*event).clone()).collect();
            let timeline = json!({ "events": shown, "limited": left > 0, "prev_batch": format!("s{}", all[left].0) });
            join.insert(room.clone(), json!({ "timeline": timeline, "state": { "events": [] } }));
        }
        let invite: BTreeMap<_, _> = self
            .invited
            .iter()
            .map(|(room, by)| {
                let member = json!({ "type": "m.room.member", "state_key": BOT, "sender": by, "content": { "membership": "invite" } });
                (room.clone(), json!({ "invite_state": { "events": [member] } }))
            })
            .collect();
        json!({ "next_batch": format!("s{}", self.events.len()), "rooms": { "join": join, "invite": invite } })
    }
}

impl Shared {
    fn serve(&self, mut request: Request) {
        let mut body = Vec::new();
        let _ = request.as_reader().read_to_end(&mut body);
        let url = request.url().to_owned();
        let known = request.headers().iter().find(|header| header.field.equiv("Authorization"));
        let known = known.is_some_and(|header| header.value.as_str() == format!("Bearer {TOKEN}"));
        let parsed = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let mut world = self.world.lock().expect("no panic");
        world.calls.push((url.clone(), parsed.clone()));
        let misdeed = world.misdeeds.iter().position(|(words, _)| url.contains(words.as_str()));
        let misdeed = misdeed.map(|at| world.misdeeds.remove(at).1);
        drop(world);
        if let Some(Misdeed::Refuse(status, body)) = misdeed {
            return respond(request, status, body.to_string().into_bytes());
        }
        let (path, query) = url.split_once('?').unwrap_or((&url, ""));
        let path =
            path.replace("%21", "!").replace("%3A", ":").replace("%40", "@").replace("%24", "$").replace("%23", "#");
        let (status, answer) = match known || path.ends_with("/login") {
            true => self.answer(&path, query, &parsed, &body),
            false => (
                401,
                json!({ "errcode": "M_UNKNOWN_TOKEN", "error": "Invalid access token passed." }).to_string().into(),
            ),
        };
        match misdeed {
            Some(_) => respond(request, 502, Vec::new()),
            None => respond(request, status, answer),
        }
    }

    fn answer(&self, path: &str, query: &str, body: &Value, raw: &[u8]) -> (u16, Vec<u8>) {
        let ok = |value: Value| (200, value.to_string().into_bytes());
        let missing = || (404, json!({ "errcode": "M_NOT_FOUND", "error": "Not found" }).to_string().into_bytes());
        let argument =
            |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).map(str::to_owned);
        let place =
            |text: Option<String>| text.and_then(|text| text.strip_prefix('s').and_then(|n| n.parse::<usize>().ok()));
        let mut world = self.world.lock().expect("no panic");
        let parts: Vec<&str> = path.trim_start_matches("/_matrix/").split('/').collect();
        match parts.as_slice() {
            ["client", "v3", "login"] => match body["password"] == "right-canary" {
                true => ok(json!({ "access_token": TOKEN, "user_id": BOT, "device_id": body["device_id"] })),
                false => (
                    403,
                    json!({ "errcode": "M_FORBIDDEN", "error": "Invalid username or password" }).to_string().into(),
                ),
            },
            ["client", "v3", "account", "whoami"] => ok(json!({ "user_id": BOT })),
            ["client", "v3", "sync"] => {
                let since = place(argument("since"));
                let patience = argument("timeout").and_then(|ms| ms.parse().ok()).unwrap_or(0);
                let end = Instant::now() + Duration::from_millis(patience);
                while world.invited.is_empty() && since == Some(world.events.len()) && !world.over {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    world = self.changed.wait_timeout(world, left).expect("no panic").0;
                }
                ok(world.sync(since))
            }
            ["client", "v3", "rooms", room, "joined_members"] => match world.rooms.get(*room) {
                Some(facts) => {
                    let shown = |user: &String| (user.clone(), json!({ "display_name": user[1..].split(':').next() }));
                    ok(json!({ "joined": facts.members.iter().map(shown).collect::<BTreeMap<_, _>>() }))
                }
                None => {
                    (403, json!({ "errcode": "M_FORBIDDEN", "error": "You are not in this room" }).to_string().into())
                }
            },
            ["client", "v3", "rooms", room, "state", "m.room.encryption"] => {
                match world.rooms.get(*room).is_some_and(|facts| facts.encrypted) {
                    true => ok(json!({ "algorithm": "m.megolm.v1.aes-sha2" })),
                    false => missing(),
                }
            }
            ["client", "v3", "rooms", room, "join"] => {
                let by = world.invited.remove(*room).unwrap_or_default();
                world.rooms.insert((*room).to_owned(), Room { members: vec![by, BOT.to_owned()], encrypted: false });
                ok(json!({ "room_id": room }))
            }
            ["client", "v3", "rooms", room, "messages"] => {
                let (from, to) = (place(argument("from")).unwrap_or(0), place(argument("to")).unwrap_or(0));
                let limit = argument("limit").and_then(|n| n.parse().ok()).unwrap_or(10);
                let all =
                    world.events.iter().enumerate().filter(|(at, (own, _))| own == room && (to..from).contains(at));
                let chunk: Vec<_> = all.rev().take(limit).map(|(at, (_, event))| (at, event.clone())).collect();
                let end = chunk.last().map(|(at, _)| format!("s{at}"));
                ok(json!({ "chunk": chunk.into_iter().map(|(_, event)| event).collect::<Vec<_>>(), "end": end }))
            }
            ["client", "v3", "rooms", room, "send", kind, transaction] => {
                let id = match world.transactions.get(*transaction) {
                    Some(id) => id.clone(),
                    None => {
                        let id = world.add(room, kind, BOT, body.clone());
                        world.transactions.insert((*transaction).to_owned(), id.clone());
                        id
                    }
                };
                self.changed.notify_all();
                ok(json!({ "event_id": id }))
            }
            ["client", "v3", "rooms", _, "typing", _] => ok(json!({})),
            ["media", "v3", "upload"] => {
                let id = format!("up{}", world.files.len());
                world.files.insert(id.clone(), raw.to_vec());
                ok(json!({ "content_uri": format!("mxc://home.test/{id}") }))
            }
            ["client", "v1", "media", "download", _, id] => match world.files.get(*id) {
                Some(bytes) => (200, bytes.clone()),
                None => missing(),
            },
            _ => missing(),
        }
    }
}

fn respond(request: Request, status: u16, body: Vec<u8>) {
    let json = Header::from_bytes("Content-Type", "application/json").expect("a header");
    // The client may have left.
    let _ = request.respond(Response::from_data(body).with_status_code(status).with_header(json));
}
