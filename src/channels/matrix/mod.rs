//! Matrix: a user of a homeserver that syncs, in rooms that are not encrypted.
//!
//! The reading position (`<user> <next_batch>`) is committed together with the messages before it. What happened before
//! the first sync is history and is not answered. A gap in a room's timeline is read up. Sending is idempotent: the
//! transaction id follows from the message's own key.
//!
//! End-to-end encryption is not spoken: an encrypted room is told so once, in words.

mod api;
mod event;
mod rooms;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use self::api::{Api, FILE, METHOD};
use self::event::{Room, Threads};
use super::account::Account;
use super::gate::List;
use super::http::{Web, part};
use super::inbound::Inbound;
use super::media::Remote;
use super::message::{ChannelError, ChatKind, IncomingFile, Outbound, Probe, Receipt, Target};
use super::supervisor::Stop;
use super::{Channel, ChannelSpec, chunk, html, media};
use crate::sys::random;
use crate::sys::secret::Secret;
use crate::wire::tree::json;

pub static SPEC: ChannelSpec = ChannelSpec {
    id: "matrix",
    label: "Matrix",
    keys: &[
        ("accessToken", "The access token of the bot's user."),
        ("accessTokenFile", "A file that holds the access token."),
        ("autoJoin", "Which invitations are accepted: off, allowlist or always."),
        ("autoJoinAllowlist", "Rooms, aliases and people whose invitations are accepted."),
        ("deviceId", "The device a password logs in as."),
        ("deviceName", "What that device is called."),
        ("direct", "Direct chats by id: systemPrompt, tools, toolsBySender."),
        ("dm", "Direct chats as the reference writes them: policy, allowFrom, enabled."),
        ("homeserver", "Where the homeserver is, https://matrix.example.org."),
        ("password", "Instead of a token: the password of userId."),
        ("passwordFile", "A file that holds the password."),
        ("pollSeconds", "How long one sync waits for news (25 unless set)."),
        ("threadReplies", "Answers in threads: off, inbound (in those there are) or always."),
        ("userId", "The bot's user, @bot:example.org."),
    ],
    prefixes: &["matrix"],
    variables: &["MATRIX_ACCESS_TOKEN"],
    by_variable: false,
    // An event has 64 KiB, and the text stands in it twice.
    limit: 12_000,
    count: chunk::bytes,
    thread_word: "thread",
    list: List::Groups,
    kind_of: |to| (if to.starts_with(['!', '#']) { ChatKind::Group } else { ChatKind::Direct }, to),
    drafts: true,
    // Every change of a message is one more event in the room.
    streams: false,
    debounce_ms: 0,
    setup: &[
        ("--url", "homeserver", false),
        ("--token", "accessToken", true),
        ("--token-file", "accessTokenFile", false),
        ("--password", "password", true),
    ],
    configured: |section| section.contains_key("homeserver"),
    open,
};

/// How long a sync waits for news.
const POLL: u64 = 25;
/// Over that the network has this long to bring the answer.
const GRACE: Duration = Duration::from_secs(10);
/// Bytes of one sync, and of the members of a room.
const SYNC_MAX: usize = 8 << 20;
/// Rooms that are known at the same time.
const ROOMS: usize = 500;
/// Events of ours that are known when somebody answers them.
const SENT: usize = 512;
/// What we want to hear.
const FILTER: &str = r#"{"presence":{"types":[]},"account_data":{"types":[]},"room":{"account_data":{"types":[]},"ephemeral":{"types":[]},"state":{"lazy_load_members":true,"types":["m.room.encryption"]},"timeline":{"limit":50,"types":["m.room.message","m.room.encrypted","m.room.member","m.room.name","m.room.encryption"]}}}"#;

struct Matrix {
    api: Api,
    /// Syncs have a connection of their own.
    polls: Web,
    sends: Web,
    poll_s: u64,
    user: Option<String>,
    login: Option<Login>,
    threads: Threads,
    join: Join,
    known: Mutex<Known>,
}

struct Login {
    user: String,
    password: Secret,
    device: String,
    name: String,
}

/// Which invitations are accepted.
enum Join {
    Off,
    Listed(Vec<String>),
    Always,
}

/// What one life of the account has learned.
#[derive(Default)]
struct Known {
    user: String,
    rooms: HashMap<String, Room>,
    sent: VecDeque<String>,
    /// Rooms that were told that they cannot be read, and invitations that were left.
    told: HashSet<String>,
}

fn open(account: &Account) -> Result<Box<dyn Channel>, ChannelError> {
    let lacks = |what: &str, remedy: &str| {
        ChannelError::Terminal(format!("Matrix account \"{}\": {what}", account.key.account), remedy.into())
    };
    let root = account.text("homeserver").unwrap_or_default().trim_end_matches('/').to_owned();
    if !root.starts_with("https://") && !root.starts_with("http://") {
        return Err(lacks("homeserver is no http address", "set channels.matrix.homeserver (https://...)"));
    }
    let token =
        account.secret("accessToken", "accessTokenFile").or_else(|| account.default_variable("MATRIX_ACCESS_TOKEN"));
    let user = account.text("userId").map(str::to_owned);
    let login = match (&token, account.secret("password", "passwordFile"), &user) {
        (Some(_), ..) => None,
        (None, Some(password), Some(user)) => {
            let device = account
                .text("deviceId")
                .map_or_else(|| format!("OPENCLAW{}", account.key.account.to_ascii_uppercase()), str::to_owned);
            let name = account.text("deviceName").unwrap_or("OpenClaw gateway").to_owned();
            Some(Login { user: user.clone(), password, device, name })
        }
        (None, Some(_), None) => return Err(lacks("a password needs a user", "set channels.matrix.userId")),
        (None, None, _) => {
            let remedy =
                "set channels.matrix.accessToken, accessTokenFile, MATRIX_ACCESS_TOKEN, or userId and password";
            return Err(lacks("no access token", remedy));
        }
    };
    let join = match account.text("autoJoin") {
        Some("always") => Join::Always,
        Some("allowlist") => Join::Listed(account.texts("autoJoinAllowlist")),
        _ => Join::Off,
    };
    let threads = match account.text("threadReplies") {
        Some("off") => Threads::Off,
        Some("always") => Threads::Always,
        _ => Threads::Inbound,
    };
    Ok(Box::new(Matrix {
        api: Api { root, token: Mutex::new(token), renewable: login.is_some() },
        polls: Web::new(),
        sends: Web::new(),
        poll_s: account.number("pollSeconds").unwrap_or(POLL).clamp(1, 50),
        user,
        login,
        threads,
        join,
        known: Mutex::default(),
    }))
}

impl Channel for Matrix {
    fn listen(&self, inbound: &Inbound, stop: &Stop) -> Result<(), ChannelError> {
        self.log_in()?;
        let user = self.who(&self.polls, METHOD)?;
        if let Some(wanted) = self.user.as_ref().filter(|wanted| **wanted != user) {
            let what = format!("the access token belongs to {user}, not to {wanted}");
            return Err(ChannelError::Terminal(what, "correct channels.matrix.userId or accessToken".into()));
        }
        self.known().user = user.clone();
        inbound.connected(&user);
        let mut since = inbound.mark().and_then(|mark| position(&mark, &user));
        while !stop.fired() {
            let wait = if since.is_some() { self.poll_s } else { 0 };
            let mut path = format!("client/v3/sync?timeout={}&filter={}", wait * 1000, part(FILTER));
            if let Some(since) = &since {
                path.push_str(&format!("&since={}", part(since)));
            }
            let limit = Duration::from_secs(wait.max(10)) + GRACE;
            let sync = self.get(&self.polls, &path, SYNC_MAX, limit)?;
            let Some(next) = sync["next_batch"].as_str().map(str::to_owned) else {
                return Err(ChannelError::Lost("sync: an answer nobody understands".into()));
            };
            self.invitations(inbound, &sync["rooms"]["invite"]);
            let rooms = sync["rooms"]["join"].as_object();
            match rooms.filter(|rooms| !rooms.is_empty()) {
                // Before the first position there is only history.
                Some(_) if since.is_none() => self.admit(inbound, Vec::new(), &user, &next)?,
                Some(rooms) => {
                    let messages = self.read(inbound, rooms, since.as_deref(), &user)?;
                    self.admit(inbound, messages, &user, &next)?;
                }
                None if since.is_none() => self.admit(inbound, Vec::new(), &user, &next)?,
                None => inbound.alive(),
            }
            since = Some(next);
        }
        Ok(())
    }

    fn deliver(&self, out: &Outbound) -> Result<Receipt, ChannelError> {
        if let Some(file) = &out.file {
            return self.send_file(out, file);
        }
        let mut content = text_content(&out.text);
        let kept = match &out.draft {
            Some(known) => {
                correct(&mut content, known);
                Some(known.clone())
            }
            None => {
                relate(&mut content, &out.to);
                None
            }
        };
        let id = self.send(&out.to.chat, &content, &transaction(&out.key))?;
        Ok(Receipt { id: kept.unwrap_or(id) })
    }

    fn probe(&self, within: Duration) -> Probe {
        let began = Instant::now();
        // Not over the connections in use: a sync may hold one for long.
        let asked = self.who(&Web::new(), within);
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match asked {
            Ok(user) => Probe { ok: true, identity: user, error: None, elapsed_ms },
            Err(error) => Probe { error: Some(error.to_string()), elapsed_ms, ..Probe::default() },
        }
    }

    fn interrupt(&self) {
        self.polls.end();
        self.sends.end();
    }

    fn typing(&self, to: &Target) -> Result<(), ChannelError> {
        let user = self.known().user.clone();
        let path = format!("client/v3/rooms/{}/typing/{}", part(&to.chat), part(&user));
        let body = json!({ "typing": true, "timeout": 30_000 });
        self.api.call(&self.sends, "PUT", &path, Some(&body), METHOD).map(drop)
    }

    fn draft(&self, to: &Target, text: &str, known: Option<&str>) -> Result<Option<String>, ChannelError> {
        let Some(first) = chunk::split(text, SPEC.limit, SPEC.count).into_iter().next() else { return Ok(None) };
        let mut content = text_content(&first);
        match known {
            Some(known) => correct(&mut content, known),
            None => relate(&mut content, to),
        }
        let id = self.send(&to.chat, &content, &random::hex::<12>())?;
        Ok(known.is_none().then_some(id))
    }

    fn mode(&self) -> &'static str {
        "polling"
    }
}

impl Matrix {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, web: &Web, path: &str, max: usize, limit: Duration) -> Result<Value, ChannelError> {
        let answer = self.api.raw(web, "GET", path, "application/json", b"", max, limit)?;
        match answer.status {
            200 => crate::wire::misfit::read_bytes(&answer.body)
                .map_err(|_| ChannelError::Lost("the homeserver gives an answer nobody understands".into())),
            _ => Err(self.api.refusal(&answer)),
        }
    }

    /// Exchanges the password for a token, unless there is one.
    fn log_in(&self) -> Result<(), ChannelError> {
        let Some(login) = &self.login else { return Ok(()) };
        if self.api.token.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let body = json!({
            "type": "m.login.password", "identifier": { "type": "m.id.user", "user": login.user },
            "password": login.password.expose(), "device_id": login.device, "initial_device_display_name": login.name,
        });
        let said =
            self.api.call(&self.polls, "POST", "client/v3/login", Some(&body), METHOD).map_err(
                |error| match error {
                    ChannelError::Refused(words) | ChannelError::Unreached(words)
                        if words.contains("the homeserver says") =>
                    {
                        ChannelError::Terminal(words, "correct channels.matrix.userId and password".into())
                    }
                    other => other,
                },
            )?;
        let token = said["access_token"].as_str().filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| ChannelError::Lost("login: an answer without a token".into()))?;
        *self.api.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(Secret::new(token));
        Ok(())
    }

    fn who(&self, web: &Web, limit: Duration) -> Result<String, ChannelError> {
        let me = self.api.call(web, "GET", "client/v3/account/whoami", None, limit)?;
        me["user_id"].as_str().map(str::to_owned).ok_or_else(|| ChannelError::Lost("whoami: no user".into()))
    }

    fn admit(
        &self,
        inbound: &Inbound,
        messages: Vec<super::Incoming>,
        user: &str,
        next: &str,
    ) -> Result<(), ChannelError> {
        inbound.admit(messages, Some(format!("{user} {next}"))).map_err(|error| ChannelError::Lost(error.to_string()))
    }

    fn fetch(&self, inbound: &Inbound, file: &Remote) -> IncomingFile {
        inbound.fetch(file, |max| {
            let place = file.at.strip_prefix("mxc://").and_then(|rest| rest.split_once('/'));
            let (server, id) = place.ok_or_else(|| ChannelError::Refused("it has no address".into()))?;
            let place = format!("{}/{}", part(server), part(id));
            let get = |path: &str| {
                self.api.raw(&self.polls, "GET", &format!("{path}/{place}"), "application/json", b"", max, FILE)
            };
            let answer = get("client/v1/media/download")?;
            // Homeservers from before Matrix 1.11 know only the other place.
            media::body(if answer.status == 404 { get("media/v3/download")? } else { answer })
        })
    }

    /// Sends an event and gives its id.
    fn send(&self, room: &str, content: &Value, transaction: &str) -> Result<String, ChannelError> {
        self.send_over(&self.sends, room, content, transaction)
    }

    fn send_over(&self, web: &Web, room: &str, content: &Value, transaction: &str) -> Result<String, ChannelError> {
        let path = format!("client/v3/rooms/{}/send/m.room.message/{transaction}", part(room));
        let said = self.api.call(web, "PUT", &path, Some(content), METHOD)?;
        let id = said["event_id"].as_str().unwrap_or_default().to_owned();
        let mut known = self.known();
        if known.sent.len() >= SENT {
            known.sent.pop_front();
        }
        known.sent.push_back(id.clone());
        Ok(id)
    }

    fn send_file(&self, out: &Outbound, path: &str) -> Result<Receipt, ChannelError> {
        let bytes = media::read(path, 50 << 20)?;
        let mime = media::sniff(&bytes).unwrap_or("application/octet-stream");
        let name = media::name(path);
        let place = format!("media/v3/upload?filename={}", part(name));
        let answer = self.api.raw(&self.sends, "POST", &place, mime, &bytes, 0, FILE)?;
        let said: Value = match answer.status {
            200 => crate::wire::misfit::read_bytes(&answer.body).unwrap_or(Value::Null),
            _ => return Err(self.api.refusal(&answer)),
        };
        let url = said["content_uri"].as_str().ok_or_else(|| ChannelError::Lost("upload: no address".into()))?;
        let mut content = json!({
            "msgtype": if mime.starts_with("image/") { "m.image" } else { "m.file" },
            "body": if out.text.is_empty() { name } else { &out.text }, "filename": name, "url": url,
            "info": { "mimetype": mime, "size": bytes.len() },
        });
        relate(&mut content, &out.to);
        let id = self.send(&out.to.chat, &content, &transaction(&out.key))?;
        Ok(Receipt { id })
    }
}

/// A text with its mark-up; nobody is mentioned by accident.
fn text_content(text: &str) -> Value {
    let mut content = json!({ "msgtype": "m.text", "body": text, "m.mentions": {} });
    let html = broken(&html::render(text));
    if html != text {
        content["format"] = "org.matrix.custom.html".into();
        content["formatted_body"] = html.into();
    }
    content
}

/// Line breaks as HTML has them; inside `<pre>` they stand as they are.
fn broken(html: &str) -> String {
    let mut out = String::with_capacity(html.len() + 32);
    let mut rest = html;
    while let Some(at) = rest.find("<pre>") {
        let (before, code) = rest.split_at(at);
        out.push_str(&before.replace('\n', "<br>"));
        let end = code.find("</pre>").map_or(code.len(), |end| end + "</pre>".len());
        out.push_str(&code[..end]);
        rest = code[end..].strip_prefix('\n').unwrap_or(&code[end..]);
    }
    out.push_str(&rest.replace('\n', "<br>"));
    out
}

/// Puts an event where it belongs: into its thread, or behind what it answers.
fn relate(content: &mut Value, to: &Target) {
    if let Some(thread) = &to.thread {
        let at = to.reply_to.as_ref().unwrap_or(thread);
        content["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": thread, "is_falling_back": true,
                                          "m.in_reply_to": { "event_id": at } });
    } else if let Some(answered) = to.reply_to.as_ref().filter(|_| to.kind != super::ChatKind::Direct) {
        content["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": answered } });
    }
}

/// Makes an event the new wording of another.
fn correct(content: &mut Value, known: &str) {
    let new = content.clone();
    content["body"] = format!("* {}", new["body"].as_str().unwrap_or_default()).into();
    content["m.new_content"] = new;
    content["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": known });
}

/// The same message has the same one, whenever it is sent.
fn transaction(key: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    format!("openclaw-{}", random::to_hex(&digest.as_ref()[..12]))
}

/// Where reading goes on, if the mark is this user's.
fn position(mark: &str, user: &str) -> Option<String> {
    let (owner, next) = mark.split_once(' ')?;
    (owner == user && !next.is_empty()).then(|| next.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_belongs_to_one_user() {
        assert_eq!(position("@a:x s1_2", "@a:x").as_deref(), Some("s1_2"));
        assert_eq!(position("@b:x s1_2", "@a:x"), None);
        assert_eq!(position("nonsense", "@a:x"), None);
    }

    #[test]
    fn text_is_sent_plain_and_as_html() {
        let content = text_content("**a**\nb\n```\nc\nd\n```\ne");
        assert_eq!(content["body"], "**a**\nb\n```\nc\nd\n```\ne");
        assert_eq!(content["formatted_body"], "<b>a</b><br>b<br><pre>c\nd</pre>e");
        assert!(text_content("plain").get("format").is_none());
    }

    #[test]
    fn an_answer_stands_in_its_thread_and_a_draft_becomes_it() {
        let to = Target { thread: Some("$t".into()), reply_to: Some("$r".into()), ..Target::default() };
        let mut content = text_content("x");
        relate(&mut content, &to);
        assert_eq!(content["m.relates_to"]["rel_type"], "m.thread");
        assert_eq!(content["m.relates_to"]["m.in_reply_to"]["event_id"], "$r");
        let mut content = text_content("x");
        correct(&mut content, "$d");
        assert_eq!((&content["body"], &content["m.new_content"]["body"]), (&json!("* x"), &json!("x")));
        assert_eq!(transaction("k"), transaction("k"));
        assert_ne!(transaction("k"), transaction("l"));
    }
}
