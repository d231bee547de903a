//! Mattermost: a bot with the WebSocket for events and the REST API (v4) for everything else.
//!
//! The reading position (`<user> <time of the last post that was taken>`) is committed together with the post. At every
//! connection the conversations with something newer are read up, so neither a cut connection nor a stopped gateway loses a
//! post. A post of ours carries its key in its properties; before one is told again it is looked for.

mod buttons;
mod event;
mod listen;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use self::event::Place;
use self::listen::OVERLAP_MS;
use super::account::Account;
use super::gate::List;
use super::http::{Answer, Call, Web, form, part};
use super::inbound::Inbound;
use super::media::Remote;
use super::message::{ChannelError, ChatKind, IncomingFile, Outbound, Probe, Receipt, Target};
use super::reached::TookPart;
use super::supervisor::Stop;
use super::websocket::Holder;
use super::{Channel, ChannelSpec, Reply, Request, chunk, media};
use crate::sys::clock;
use crate::sys::secret::Secret;
use crate::wire::frame::cut;
use crate::wire::misfit;
use crate::wire::tree::json;

pub static SPEC: ChannelSpec = ChannelSpec {
    id: "mattermost",
    label: "Mattermost",
    keys: &[
        ("baseUrl", "Where the server is, https://chat.example.org."),
        ("botToken", "The bot's access token."),
        ("botTokenFile", "A file that holds the token."),
        ("chatmode", "Which posts of channels are answered: oncall (unless set), onmessage or onchar."),
        ("direct", "Direct chats by channel id: systemPrompt, tools, toolsBySender."),
        ("interactions", "callbackBaseUrl: where the server reaches this gateway for buttons; none without it."),
        ("oncharPrefixes", "With onchar: what a post for us begins with (> and ! unless set)."),
        ("replyToMode", "Answer posts of channels in a thread: off (unless set), first or all."),
    ],
    prefixes: &["mattermost"],
    variables: &["MATTERMOST_BOT_TOKEN", "MATTERMOST_URL"],
    by_variable: false,
    limit: 4000,
    count: chunk::characters,
    thread_word: "thread",
    list: List::Groups,
    kind_of: |to| match person(to) {
        Some(id) => (ChatKind::Direct, id),
        None => (ChatKind::Channel, to.strip_prefix("channel:").unwrap_or(to)),
    },
    drafts: true,
    streams: true,
    debounce_ms: 0,
    setup: &[("--token", "botToken", true), ("--url", "baseUrl", false), ("--token-file", "botTokenFile", false)],
    configured: |section| section.contains_key("baseUrl"),
    open,
};

/// How long an ordinary call may take.
const METHOD: Duration = Duration::from_secs(20);
/// A file may take longer.
const FILE: Duration = Duration::from_secs(60);
/// Connections in a row that did not last; after that the supervisor's waits apply.
const FRUITLESS: u32 = 3;
const LASTED: Duration = Duration::from_secs(30);
/// People and conversations that are known.
const NAMES: usize = 1000;
/// What is sent as one file (bytes).
const UPLOAD_MAX: u64 = 50 << 20;

struct Mattermost {
    root: String,
    token: Secret,
    /// The listener asks over a connection of its own.
    asks: Web,
    sends: Web,
    holder: Holder,
    threads: bool,
    /// What a post for us begins with, in the mode `onchar`.
    marks: Vec<String>,
    callback: Option<String>,
    known: Mutex<Known>,
}

/// What one life of the account has learned.
#[derive(Default)]
struct Known {
    me: String,
    name: String,
    people: HashMap<String, (String, bool)>,
    places: HashMap<String, Place>,
    /// The direct channel of a user.
    direct: HashMap<String, String>,
    took_part: TookPart,
    /// Time of the newest post that was read (milliseconds).
    read_to: u64,
}

fn open(account: &Account) -> Result<Box<dyn Channel>, ChannelError> {
    let lacks = |what: &str, remedy: &str| {
        ChannelError::Terminal(format!("Mattermost account \"{}\": {what}", account.key.account), remedy.into())
    };
    let token = account.secret("botToken", "botTokenFile").or_else(|| account.default_variable("MATTERMOST_BOT_TOKEN"));
    let token = token.filter(|token| token.expose().len() >= 8 && token.expose().bytes().all(|b| b.is_ascii_graphic()));
    let token = token.ok_or_else(|| {
        lacks("no bot token", "set channels.mattermost.botToken, botTokenFile or MATTERMOST_BOT_TOKEN")
    })?;
    let root = account.text("baseUrl").or_else(|| account.variable("MATTERMOST_URL")).unwrap_or_default();
    let root = root.trim_end_matches('/').trim_end_matches("/api/v4").to_owned();
    if !root.starts_with("https://") && !root.starts_with("http://") {
        return Err(lacks("baseUrl is no http address", "set channels.mattermost.baseUrl (https://...)"));
    }
    let marks = match (account.text("chatmode"), account.texts("oncharPrefixes")) {
        (Some("onchar"), own) if own.is_empty() => vec![">".to_owned(), "!".to_owned()],
        (Some("onchar"), own) => own,
        _ => Vec::new(),
    };
    let callback = account.settings.get("interactions").and_then(|section| section.get("callbackBaseUrl"));
    let callback = callback
        .and_then(Value::as_str)
        .map(|base| format!("{}/channels/mattermost/{}", base.trim_end_matches('/'), account.key.account));
    Ok(Box::new(Mattermost {
        root,
        token,
        asks: Web::new(),
        sends: Web::new(),
        holder: Holder::default(),
        threads: account.text("replyToMode").is_some_and(|mode| mode != "off"),
        marks,
        callback,
        known: Mutex::default(),
    }))
}

impl Channel for Mattermost {
    fn listen(&self, inbound: &Inbound, stop: &Stop) -> Result<(), ChannelError> {
        let me = self.call(&self.asks, "GET", "users/me", None)?;
        let text = |name: &str| me[name].as_str().unwrap_or_default().to_owned();
        let (id, name) = (text("id"), text("username"));
        let kept = inbound.mark().and_then(|mark| {
            let (owner, at) = mark.split_once(' ')?;
            (owner == id).then(|| at.parse().ok())?
        });
        {
            let mut known = self.known();
            (known.me, known.name) = (id, name.clone());
            if known.read_to == 0 {
                // Before the first connection there is only history.
                known.read_to = kept.unwrap_or_else(|| clock::now_ms() + OVERLAP_MS);
            }
        }
        let mut fruitless = 0;
        while !stop.fired() {
            let began = Instant::now();
            self.connection(inbound, stop, &format!("@{name}"))?;
            fruitless = if began.elapsed() > LASTED { 0 } else { fruitless + 1 };
            if fruitless >= FRUITLESS && !stop.fired() {
                return Err(ChannelError::Lost("the server ends every connection at once".into()));
            }
        }
        Ok(())
    }

    fn deliver(&self, out: &Outbound) -> Result<Receipt, ChannelError> {
        let chat = self.chat(&out.to.chat)?;
        if out.tried
            && out.draft.is_none()
            && let Some(id) = self.look_for(&chat, &out.key)?
        {
            return Ok(Receipt { id });
        }
        let mut post = json!({
            "channel_id": chat, "message": quiet(&out.text), "props": { "openclaw_key": out.key },
            "pending_post_id": format!("{}:{}", self.known().me, out.key),
        });
        if let Some(buttons) = self.buttons(&out.buttons, &chat) {
            post["props"]["attachments"] = buttons;
        }
        if let Some(file) = &out.file {
            post["file_ids"] = json!([self.upload(&chat, file)?]);
        } else if let Some(known) = &out.draft {
            let patch = json!({ "message": post["message"], "props": post["props"] });
            match self.call(&self.sends, "PUT", &format!("posts/{known}/patch"), Some(&patch)) {
                // The draft is gone (deleted by somebody): the answer is a post of its own.
                Err(ChannelError::Refused(_)) => {}
                done => return done.map(|_| Receipt { id: known.clone() }),
            }
        }
        let answers = out.to.reply_to.as_deref().filter(|_| self.threads || out.run.is_none());
        let thread = out.to.thread.as_deref().or(answers.filter(|_| out.to.kind != ChatKind::Direct));
        if let Some(thread) = thread {
            post["root_id"] = thread.into();
        }
        let sent = self.call(&self.sends, "POST", "posts", Some(&post))?;
        if let Some(thread) = thread {
            self.known().took_part.note(&chat, thread);
        }
        Ok(Receipt { id: sent["id"].as_str().unwrap_or_default().to_owned() })
    }

    fn probe(&self, within: Duration) -> Probe {
        let began = Instant::now();
        // Not over the connections in use.
        let asked = self.send(&Web::new(), "GET", "users/me", "application/json", b"", 0, within);
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match asked.and_then(|answer| understood(&answer)) {
            Ok(me) => {
                let identity = format!("@{}", me["username"].as_str().unwrap_or_default());
                Probe { ok: true, identity, error: None, elapsed_ms }
            }
            Err(error) => Probe { error: Some(error.to_string()), elapsed_ms, ..Probe::default() },
        }
    }

    fn interrupt(&self) {
        self.holder.end();
        self.asks.end();
        self.sends.end();
    }

    fn typing(&self, to: &Target) -> Result<(), ChannelError> {
        let body = json!({ "channel_id": self.chat(&to.chat)?, "parent_id": to.thread.as_deref().unwrap_or_default() });
        self.call(&self.sends, "POST", "users/me/typing", Some(&body)).map(drop)
    }

    fn draft(&self, to: &Target, text: &str, known: Option<&str>) -> Result<Option<String>, ChannelError> {
        let Some(first) = chunk::split(text, SPEC.limit, SPEC.count).into_iter().next() else { return Ok(None) };
        let first = quiet(&first);
        if let Some(known) = known {
            let patch = json!({ "message": first });
            return self.call(&self.sends, "PUT", &format!("posts/{known}/patch"), Some(&patch)).map(|_| None);
        }
        let thread = to.thread.as_deref().unwrap_or_default();
        let post = json!({ "channel_id": self.chat(&to.chat)?, "message": first, "root_id": thread });
        let sent = self.call(&self.sends, "POST", "posts", Some(&post))?;
        Ok(Some(sent["id"].as_str().unwrap_or_default().to_owned()))
    }

    fn receive(&self, request: &Request<'_>, inbound: &Inbound) -> Option<Reply> {
        self.callback.as_ref()?;
        Some(self.pressed(request.body, inbound))
    }
}

impl Mattermost {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `/api/v4/<path>` and answers its JSON.
    fn call(&self, web: &Web, method: &'static str, path: &str, body: Option<&Value>) -> Result<Value, ChannelError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        understood(&self.send(web, method, path, "application/json", body.as_bytes(), 0, METHOD)?)
    }

    #[expect(clippy::too_many_arguments, reason = "what a request is made of")]
    fn send(
        &self,
        web: &Web,
        method: &'static str,
        path: &str,
        kind: &str,
        body: &[u8],
        answer_max: usize,
        limit: Duration,
    ) -> Result<Answer, ChannelError> {
        let (url, bearer) = (format!("{}/api/v4/{path}", self.root), format!("Bearer {}", self.token.expose()));
        let headers = [("content-type", kind), ("authorization", bearer.as_str())];
        web.call(&Call { method, url: &url, headers: &headers, body, answer_max }, limit)
    }

    /// What somebody is called and whether he is a program; asked for once.
    fn person(&self, id: &str) -> (String, bool) {
        if let Some(person) = self.known().people.get(id) {
            return person.clone();
        }
        let said = self.call(&self.asks, "GET", &format!("users/{}", part(id)), None);
        let said = said.unwrap_or_default();
        let name = said["username"].as_str().unwrap_or(id).to_owned();
        let person = (name, said["is_bot"] == true);
        if said.is_object() {
            let mut known = self.known();
            if known.people.len() >= NAMES {
                known.people.clear();
            }
            known.people.insert(id.to_owned(), person.clone());
        }
        person
    }

    /// What kind of conversation a channel is; asked for once.
    fn place(&self, id: &str) -> Result<Place, ChannelError> {
        if let Some(place) = self.known().places.get(id) {
            return Ok(place.clone());
        }
        let said = self.call(&self.asks, "GET", &format!("channels/{}", part(id)), None)?;
        let place = Place::read(&said["type"], &said["display_name"], &said["team_id"]);
        let mut known = self.known();
        if known.places.len() >= NAMES {
            known.places.clear();
        }
        known.places.insert(id.to_owned(), place.clone());
        Ok(place)
    }

    /// The channel an address means: `user:<id>` is a person, everything else a channel.
    fn chat(&self, target: &str) -> Result<String, ChannelError> {
        let person = person(target);
        let id = person.unwrap_or_else(|| target.strip_prefix("channel:").unwrap_or(target));
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let words = "the target is no id of Mattermost: channel:<id>, or user:<id> for a direct message";
            return Err(ChannelError::Refused(words.into()));
        }
        if person.is_none() {
            return Ok(id.to_owned());
        }
        let me = {
            let known = self.known();
            if let Some(chat) = known.direct.get(id) {
                return Ok(chat.clone());
            }
            known.me.clone()
        };
        let opened = self.call(&self.sends, "POST", "channels/direct", Some(&json!([me, id])))?;
        let chat = opened["id"].as_str();
        let chat = chat.ok_or_else(|| ChannelError::Lost("the server opened no direct channel".into()))?.to_owned();
        let mut known = self.known();
        if known.direct.len() >= NAMES {
            known.direct.clear();
        }
        known.direct.insert(id.to_owned(), chat.clone());
        Ok(chat)
    }

    /// A post that may have arrived before, by its own key.
    fn look_for(&self, chat: &str, key: &str) -> Result<Option<String>, ChannelError> {
        let said = self.call(&self.sends, "GET", &format!("channels/{chat}/posts?per_page=30"), None)?;
        let mut posts = said["posts"].as_object().into_iter().flat_map(serde_json::Map::values);
        let found = posts.find(|post| post["props"]["openclaw_key"] == key);
        Ok(found.and_then(|post| post["id"].as_str()).map(str::to_owned))
    }

    fn upload(&self, chat: &str, path: &str) -> Result<String, ChannelError> {
        let bytes = media::read(path, UPLOAD_MAX)?;
        let name = media::name(path);
        let (kind, body) = form(&[("channel_id", chat.to_owned())], ("files", name, &bytes));
        let said = understood(&self.send(&self.sends, "POST", "files", &kind, &body, 0, FILE)?)?;
        let id = said["file_infos"][0]["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| ChannelError::Lost("the server did not say what it calls the file".into()))
    }

    fn fetch(&self, inbound: &Inbound, file: &Remote) -> IncomingFile {
        inbound.fetch(file, |max| {
            let path = format!("files/{}", part(&file.at));
            media::body(self.send(&self.asks, "GET", &path, "application/json", b"", max, FILE)?)
        })
    }
}

/// The answer, or what the refusal means.
fn understood(answer: &Answer) -> Result<Value, ChannelError> {
    let said: Value = misfit::read_bytes(&answer.body).unwrap_or(Value::Null);
    let words = said["message"].as_str().map_or_else(|| format!("HTTP {}", answer.status), str::to_owned);
    let words = format!("the server says: {}", cut(&words, 200));
    match answer.status {
        200..=299 if said.is_null() && !answer.body.is_empty() => {
            Err(ChannelError::Lost("the server gives an answer nobody understands".into()))
        }
        200..=299 => Ok(said),
        401 => Err(ChannelError::Terminal(words, "make a new token and set channels.mattermost.botToken".into())),
        429 => Err(ChannelError::Later(words, answer.retry_after.unwrap_or(Duration::from_secs(5)))),
        400..=499 => Err(ChannelError::Refused(words)),
        _ => Err(ChannelError::Lost(words)),
    }
}

/// The user an address means.
fn person(target: &str) -> Option<&str> {
    target.strip_prefix("user:")
}

/// A text that wakes nobody but those it names: calls to everybody lose their meaning.
fn quiet(text: &str) -> String {
    let mut out = text.to_owned();
    for call in ["@channel", "@all", "@here"] {
        out = out.replace(call, &format!("@\u{200b}{}", &call[1..]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let said =
            |status, body: &str| understood(&Answer { status, retry_after: None, spent: None, body: body.into() });
        assert!(matches!(said(401, r#"{"message":"Invalid or expired session"}"#), Err(ChannelError::Terminal(..))));
        assert!(matches!(said(403, "{}"), Err(ChannelError::Refused(_))));
        assert!(
            matches!(said(429, ""), Err(ChannelError::Later(..)))
                && matches!(said(502, ""), Err(ChannelError::Lost(_)))
        );
        assert!(matches!(said(200, "<html>"), Err(ChannelError::Lost(_))) && said(201, r#"{"id":"x"}"#).is_ok());
    }

    #[test]
    fn nobody_is_called_by_what_a_model_writes() {
        assert_eq!(quiet("@channel and @ada, @all"), "@\u{200b}channel and @ada, @\u{200b}all");
    }
}
