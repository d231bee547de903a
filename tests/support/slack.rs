//! A Slack that does as it is told: Socket Mode that tells again what was not acknowledged, and the Web API.

use serde_json::{Value, json};

use super::service::{Addresses, Called, Service, World};

pub const BOT_TOKEN: &str = "xoxb-slack-bot-canary";
pub const APP_TOKEN: &str = "xapp-slack-app-canary";
pub const SIGNING_SECRET: &str = "signing-secret-canary";

pub type Slack = Service<Workspace>;

#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    pub ts: String,
    pub chat: String,
    pub thread: Option<String>,
    pub text: String,
    pub whole: Value,
}

#[derive(Default)]
pub struct Workspace {
    /// Envelopes, and whether they were told on this connection.
    pub waiting: Vec<(Value, bool)>,
    pub acknowledged: Vec<String>,
    pub history: Vec<Value>,
    pub shown: Vec<Shown>,
    pub responses: Vec<Value>,
    pub uploads: Vec<Vec<u8>>,
    made: u64,
    /// What the next connection is told first, instead of a welcome.
    pub farewell: Option<Value>,
}

impl Workspace {
    fn ts(&mut self) -> String {
        self.made += 1;
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
        format!("{now}.{:06}", self.made)
    }

    /// Somebody writes. Answers the message's ts.
    pub fn says(&mut self, mut event: Value) -> String {
        let ts = self.note(&mut event);
        self.envelope("events_api", json!({"type": "event_callback", "team_id": "T1", "event": event}));
        ts
    }

    /// A message nobody is told of: it can only be read up.
    pub fn says_unheard(&mut self, mut event: Value) {
        self.note(&mut event);
    }

    fn note(&mut self, event: &mut Value) -> String {
        let ts = self.ts();
        event["ts"] = ts.clone().into();
        event["type"] = "message".into();
        self.history.push(event.clone());
        ts
    }

    pub fn envelope(&mut self, kind: &str, payload: Value) {
        self.made += 1;
        let id = format!("envelope-{}", self.made);
        self.waiting.push((json!({"envelope_id": id, "type": kind, "payload": payload}), false));
    }

    pub fn shown_in(&self, chat: &str) -> Vec<String> {
        self.shown.iter().filter(|shown| shown.chat == chat).map(|shown| shown.text.clone()).collect()
    }
}

impl World for Workspace {
    fn serve(&mut self, call: &Called, at: &Addresses) -> (u16, Value) {
        let method = call.route.split_once(' ').map_or("", |(_, path)| path.trim_start_matches('/'));
        if method.starts_with("respond/") {
            self.responses.push(call.body.clone());
            return (200, Value::Null);
        }
        if method == "upload" {
            self.uploads.push(call.raw.clone());
            return (200, Value::Null);
        }
        let wanted = if method == "apps.connections.open" { APP_TOKEN } else { BOT_TOKEN };
        if call.bearer != format!("Bearer {wanted}") {
            return (200, json!({"ok": false, "error": "invalid_auth"}));
        }
        let mut said = self.make(method, call, at);
        if said.get("ok").is_none() {
            said["ok"] = true.into();
        }
        (200, said)
    }

    fn file(&mut self, call: &Called) -> Option<Vec<u8>> {
        let wanted = call.route == "GET /file" && call.bearer == format!("Bearer {BOT_TOKEN}");
        wanted.then(|| b"some notes".to_vec())
    }

    fn opened(&mut self) -> Vec<Value> {
        self.waiting.iter_mut().for_each(|(_, told)| *told = false);
        vec![self.farewell.take().unwrap_or_else(|| json!({"type": "hello", "num_connections": 1}))]
    }

    fn hear(&mut self, said: &Value) -> Vec<Value> {
        let id = said["envelope_id"].as_str().expect("an acknowledgement").to_owned();
        self.waiting.retain(|(envelope, _)| envelope["envelope_id"] != id.as_str());
        self.acknowledged.push(id);
        Vec::new()
    }

    fn pending(&mut self) -> Vec<Value> {
        let news = self.waiting.iter_mut().filter(|(_, told)| !told);
        news.map(|(envelope, told)| {
            *told = true;
            envelope.clone()
        })
        .collect()
    }
}

impl Workspace {
    fn make(&mut self, method: &str, call: &Called, at: &Addresses) -> Value {
        match method {
            "auth.test" => {
                json!({"user": "helper", "user_id": "UBOT", "bot_id": "BBOT", "team": "Acme", "team_id": "T1"})
            }
            "apps.connections.open" => json!({"url": format!("{}/link?ticket=ticket-canary", at.socket)}),
            "users.info" => json!({"user": {"id": call.text("user"), "real_name": "Ada"}}),
            "conversations.info" => json!({"channel": {"id": call.text("channel"), "name": "general"}}),
            "conversations.open" => json!({"channel": {"id": format!("D{}", call.text("users"))}}),
            "conversations.history" | "conversations.replies" => {
                let (chat, oldest) = (call.text("channel"), call.text("oldest"));
                let newer = |message: &&Value| {
                    message["channel"] == chat && message["ts"].as_str().is_some_and(|ts| ts > oldest)
                };
                let theirs = self.history.iter().filter(newer).cloned();
                let ours = self.shown.iter().filter(|shown| shown.chat == chat && *shown.ts > *oldest);
                let ours = ours.map(|shown| {
                    json!({"type": "message", "user": "UBOT", "ts": shown.ts, "text": shown.text,
                           "metadata": shown.whole["metadata"]})
                });
                let mut all: Vec<Value> = theirs.chain(ours).collect();
                all.sort_by(|a, b| b["ts"].as_str().cmp(&a["ts"].as_str()));
                json!({"messages": all})
            }
            "chat.postMessage" => {
                let ts = self.ts();
                let (chat, thread) = (call.text("channel").to_owned(), call.body["thread_ts"].as_str());
                let text = call.body["blocks"][0]["text"].as_str().unwrap_or(call.text("text")).to_owned();
                let thread = thread.map(str::to_owned);
                self.shown.push(Shown { ts: ts.clone(), chat, thread, text, whole: call.body.clone() });
                json!({"ts": ts})
            }
            "chat.update" => {
                let text = call.body["blocks"][0]["text"].as_str().unwrap_or_default().to_owned();
                match self.shown.iter_mut().find(|shown| shown.ts == call.text("ts")) {
                    Some(shown) => {
                        shown.text = text;
                        json!({"ts": shown.ts})
                    }
                    None => json!({"ok": false, "error": "message_not_found"}),
                }
            }
            "files.getUploadURLExternal" => json!({"upload_url": format!("{}/upload", at.root), "file_id": "F1"}),
            _ => json!({}),
        }
    }
}
