//! Slack: an app with a bot user, by Socket Mode or called at the gateway's port.
//!
//! An event is acknowledged after it was committed; what is not acknowledged Slack tells again. The last message of each
//! conversation is kept, and what came while nobody listened is read up at the next start. Slack's messages have no
//! idempotency key: each carries its own in its metadata, and before a message is told again it is looked for.
//!
//! Called by HTTP (`POST /channels/slack/<account>`) the signature over the body is checked before anything else.

mod api;
mod event;
mod listen;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use self::api::{Api, FILE, METHOD, ROOT};
use super::account::Account;
use super::gate::List;
use super::http::{Call, Web};
use super::inbound::Inbound;
use super::media::Remote;
use super::message::{ChannelError, ChatKind, INTERACTION, IncomingFile, Outbound, Probe, Receipt, Target};
use super::reached::{Reached, TookPart};
use super::supervisor::Stop;
use super::websocket::Holder;
use super::{Channel, ChannelSpec, Reply, Request, chunk, media};
use crate::sys::secret::Secret;
use crate::wire::tree::json;

pub static SPEC: ChannelSpec = ChannelSpec {
    id: "slack",
    label: "Slack",
    keys: &[
        ("apiRoot", "Where the Web API lives, https://slack.com/api unless set."),
        ("appToken", "The app-level token (xapp-) of Socket Mode."),
        ("appTokenFile", "A file that holds the app-level token."),
        ("botToken", "The bot token (xoxb-)."),
        ("botTokenFile", "A file that holds the bot token."),
        ("channels", "Channels by id: users, requireMention, ignoreOtherMentions, tools, systemPrompt."),
        ("direct", "Direct chats by id: systemPrompt, tools, toolsBySender."),
        ("dm", "Direct chats as the reference writes them: policy, allowFrom, enabled."),
        ("mode", "socket (unless set), or http: Slack calls /channels/slack/<account> here."),
        ("replyToMode", "Answer in a thread of the message: off (unless set), first or all."),
        ("signingSecret", "What Slack signs its calls with in http mode."),
        ("signingSecretFile", "A file that holds the signing secret."),
        ("slashCommand", "ephemeral: false shows answers to slash commands to everybody."),
        ("unfurlLinks", "True lets Slack show previews of links."),
    ],
    prefixes: &["slack"],
    variables: &["SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET"],
    by_variable: false,
    // A block of Markdown takes 12,000.
    limit: 8000,
    count: chunk::characters,
    thread_word: "thread",
    list: List::Channels,
    kind_of: |to| match person(to) {
        Some(id) => (ChatKind::Direct, id),
        None => (ChatKind::Channel, channel(to)),
    },
    drafts: true,
    streams: false,
    debounce_ms: 0,
    setup: &[
        ("--token", "botToken", true),
        ("--app-token", "appToken", true),
        ("--token-file", "botTokenFile", false),
        ("--secret", "signingSecret", true),
    ],
    configured: |section| ["botToken", "botTokenFile"].iter().any(|key| section.contains_key(*key)),
    open,
};

/// People and channels whose names are known.
const NAMES: usize = 1000;
/// What is sent as one file (bytes).
const UPLOAD_MAX: u64 = 50 << 20;
/// Our messages that are looked through before one is told again.
const LOOK_BACK: &str = "30";

struct Slack {
    api: Api,
    by: By,
    /// The listener asks over a connection of its own.
    asks: Web,
    sends: Web,
    holder: Holder,
    threads: bool,
    ephemeral: bool,
    unfurl: bool,
    known: Mutex<Known>,
}

/// How events come.
enum By {
    Socket(Secret),
    Http(Secret),
}

/// What one life of the account has learned.
#[derive(Default)]
struct Known {
    user: String,
    bot: String,
    team: String,
    names: HashMap<String, String>,
    /// The direct channel of a user.
    people: HashMap<String, String>,
    took_part: TookPart,
    reached: Option<Reached>,
}

fn open(account: &Account) -> Result<Box<dyn Channel>, ChannelError> {
    let lacks = |what: &str, remedy: &str| {
        ChannelError::Terminal(format!("Slack account \"{}\": {what}", account.key.account), remedy.into())
    };
    let secret = |name: &str, file: &str, variable: &str| {
        let secret = account.secret(name, file).or_else(|| account.default_variable(variable));
        secret.filter(|secret| secret.expose().len() >= 8 && secret.expose().bytes().all(|b| b.is_ascii_graphic()))
    };
    let bot = secret("botToken", "botTokenFile", "SLACK_BOT_TOKEN")
        .ok_or_else(|| lacks("no bot token", "set channels.slack.botToken, botTokenFile or SLACK_BOT_TOKEN"))?;
    let by = match account.text("mode").unwrap_or("socket") {
        "socket" => By::Socket(secret("appToken", "appTokenFile", "SLACK_APP_TOKEN").ok_or_else(|| {
            lacks("no app-level token for Socket Mode", "set channels.slack.appToken (xapp-) or SLACK_APP_TOKEN")
        })?),
        "http" => By::Http(secret("signingSecret", "signingSecretFile", "SLACK_SIGNING_SECRET").ok_or_else(|| {
            lacks("no signing secret: without it everybody could call", "set channels.slack.signingSecret")
        })?),
        _ => return Err(lacks("mode is neither socket nor http", "correct channels.slack.mode")),
    };
    let root = account.text("apiRoot").unwrap_or(ROOT).trim_end_matches('/').to_owned();
    if !root.starts_with("https://") && !root.starts_with("http://") {
        return Err(lacks("apiRoot is no http address", "correct channels.slack.apiRoot, or remove it"));
    }
    let slash = account.settings.get("slashCommand").and_then(|section| section.get("ephemeral"));
    Ok(Box::new(Slack {
        api: Api { root, bot },
        by,
        asks: Web::new(),
        sends: Web::new(),
        holder: Holder::default(),
        threads: account.text("replyToMode").is_some_and(|mode| mode != "off"),
        ephemeral: slash != Some(&Value::Bool(false)),
        unfurl: account.flag("unfurlLinks").unwrap_or(false),
        known: Mutex::default(),
    }))
}

impl Channel for Slack {
    fn listen(&self, inbound: &Inbound, stop: &Stop) -> Result<(), ChannelError> {
        self.run(inbound, stop)
    }

    fn deliver(&self, out: &Outbound) -> Result<Receipt, ChannelError> {
        if let Some(url) = interaction(&out.to) {
            match self.respond(url, &out.text, self.ephemeral) {
                // It is over after half an hour; then everybody sees the answer.
                Err(ChannelError::Refused(why)) => log::debug!("an interaction is over: {why}"),
                done => return done.map(|()| Receipt { id: out.key.clone() }),
            }
        }
        let chat = self.chat(&out.to.chat)?;
        let thread = self.thread(out);
        if out.tried
            && out.draft.is_none()
            && let Some(id) = self.look_for(&chat, thread, &out.key)?
        {
            return Ok(Receipt { id });
        }
        if let Some(file) = &out.file {
            return self.send_file(out, file, &chat, thread);
        }
        let mut params = content(&out.text, &out.buttons);
        params["channel"] = chat.as_str().into();
        params["metadata"] = json!({ "event_type": "openclaw_message", "event_payload": { "key": out.key } });
        if let Some(known) = &out.draft {
            params["ts"] = known.as_str().into();
            match self.say("chat.update", params.clone()) {
                // The draft is gone (deleted by somebody): the answer is a message of its own.
                Err(ChannelError::Refused(_)) => drop(params.as_object_mut().and_then(|params| params.remove("ts"))),
                done => return done.map(|_| Receipt { id: known.clone() }),
            }
        }
        if let Some(thread) = thread {
            params["thread_ts"] = thread.into();
        }
        (params["unfurl_links"], params["unfurl_media"]) = (self.unfurl.into(), self.unfurl.into());
        let sent = self.say("chat.postMessage", params)?;
        if let Some(thread) = thread {
            self.known().took_part.note(&chat, thread);
        }
        Ok(Receipt { id: sent["ts"].as_str().unwrap_or_default().to_owned() })
    }

    fn probe(&self, within: Duration) -> Probe {
        let began = Instant::now();
        // Not over the connections in use.
        let asked = self.api.call(&Web::new(), "auth.test", &json!({}), within);
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match asked {
            Ok(me) => Probe { ok: true, identity: shown(&me), error: None, elapsed_ms },
            Err(error) => Probe { error: Some(error.to_string()), elapsed_ms, ..Probe::default() },
        }
    }

    fn interrupt(&self) {
        self.holder.end();
        self.asks.end();
        self.sends.end();
    }

    fn draft(&self, to: &Target, text: &str, known: Option<&str>) -> Result<Option<String>, ChannelError> {
        let first = chunk::split(text, SPEC.limit, SPEC.count).into_iter().next();
        let Some(first) = first.filter(|_| interaction(to).is_none()) else { return Ok(None) };
        let mut params = content(&first, &[]);
        params["channel"] = self.chat(&to.chat)?.into();
        if let Some(known) = known {
            params["ts"] = known.into();
            return self.say("chat.update", params).map(|_| None);
        }
        if let Some(thread) = to.thread.as_deref() {
            params["thread_ts"] = thread.into();
        }
        let sent = self.say("chat.postMessage", params)?;
        Ok(Some(sent["ts"].as_str().unwrap_or_default().to_owned()))
    }

    fn receive(&self, request: &Request<'_>, inbound: &Inbound) -> Option<Reply> {
        self.called(request, inbound)
    }

    fn mode(&self) -> &'static str {
        match self.by {
            By::Socket(_) => "socket",
            By::Http(_) => "webhook",
        }
    }
}

impl Slack {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message; what Slack does not take as blocks goes as text.
    fn say(&self, method: &str, mut params: Value) -> Result<Value, ChannelError> {
        match self.api.call(&self.sends, method, &params, METHOD) {
            Err(ChannelError::Refused(words)) if words.contains("invalid_blocks") => {
                params.as_object_mut().and_then(|params| params.remove("blocks"));
                self.api.call(&self.sends, method, &params, METHOD)
            }
            done => done,
        }
    }

    /// The thread a message goes into: the one it was written in, or the one an answer begins.
    fn thread<'a>(&self, out: &'a Outbound) -> Option<&'a str> {
        let answers = out.to.reply_to.as_deref().filter(|to| !to.starts_with(INTERACTION));
        let explicit = answers.filter(|_| self.threads || out.run.is_none());
        out.to.thread.as_deref().or(explicit.filter(|_| out.to.kind != ChatKind::Direct))
    }

    /// The channel an address means: `user:U1` and `<@U1>` are people, everything else is a channel.
    fn chat(&self, target: &str) -> Result<String, ChannelError> {
        let bare = channel(target);
        let person = person(target).or_else(|| Some(bare).filter(|id| id.starts_with(['U', 'W'])));
        let id = person.unwrap_or(bare);
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let words = "the target is no id of Slack: channel:<id>, or user:<id> for a direct message";
            return Err(ChannelError::Refused(words.into()));
        }
        if person.is_none() {
            return Ok(id.to_owned());
        }
        if let Some(chat) = self.known().people.get(id) {
            return Ok(chat.clone());
        }
        let opened = self.api.call(&self.sends, "conversations.open", &json!({ "users": id }), METHOD)?;
        let chat = opened["channel"]["id"].as_str();
        let chat = chat.ok_or_else(|| ChannelError::Lost("Slack opened no conversation".into()))?.to_owned();
        let mut known = self.known();
        if known.people.len() >= NAMES {
            known.people.clear();
        }
        known.people.insert(id.to_owned(), chat.clone());
        Ok(chat)
    }

    /// A message that may have arrived before, by its own key.
    fn look_for(&self, chat: &str, thread: Option<&str>, key: &str) -> Result<Option<String>, ChannelError> {
        let mut params = vec![("channel", chat), ("limit", LOOK_BACK), ("include_all_metadata", "true")];
        let method = if thread.is_some() { "conversations.replies" } else { "conversations.history" };
        params.extend(thread.map(|thread| ("ts", thread)));
        let said = match self.api.ask(&self.sends, method, &params) {
            Ok(said) => said,
            // Without the right to read we cannot know; better twice than never.
            Err(ChannelError::Refused(why)) => {
                log::debug!("a message that may have arrived was not looked for: {why}");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let mut messages = said["messages"].as_array().into_iter().flatten();
        let found = messages.find(|message| message["metadata"]["event_payload"]["key"] == key);
        Ok(found.and_then(|message| message["ts"].as_str()).map(str::to_owned))
    }

    /// Answers an interaction where Slack said it takes the answer.
    fn respond(&self, url: &str, text: &str, ephemeral: bool) -> Result<(), ChannelError> {
        if !url.starts_with("https://hooks.slack.com/") && !self.is_own(url) {
            return Err(ChannelError::Refused("it would be answered at a place that is not Slack's".into()));
        }
        let mut body = content(text, &[]);
        body["response_type"] = if ephemeral { "ephemeral" } else { "in_channel" }.into();
        body["replace_original"] = false.into();
        let body = body.to_string();
        let headers = [("content-type", "application/json; charset=utf-8")];
        let call = Call { method: "POST", url, headers: &headers, body: body.as_bytes(), answer_max: 0 };
        let answer = self.sends.call(&call, METHOD)?;
        let words = || format!("Slack answered HTTP {} to a response", answer.status);
        match answer.status {
            200 => Ok(()),
            429 => Err(ChannelError::Later(words(), answer.retry_after.unwrap_or(Duration::from_secs(5)))),
            400..=499 => Err(ChannelError::Refused(words())),
            _ => Err(ChannelError::Lost(words())),
        }
    }

    /// Whether an address lies where a configured API root lies.
    fn is_own(&self, url: &str) -> bool {
        self.api.root != ROOT && url.starts_with(&format!("{}/", self.api.root))
    }

    fn send_file(&self, out: &Outbound, path: &str, chat: &str, thread: Option<&str>) -> Result<Receipt, ChannelError> {
        let bytes = media::read(path, UPLOAD_MAX)?;
        let name = media::name(path);
        let length = bytes.len().to_string();
        let place =
            self.api.ask(&self.sends, "files.getUploadURLExternal", &[("filename", name), ("length", &length)])?;
        let url = place["upload_url"].as_str().filter(|url| is_slack_s(url) || self.is_own(url));
        let url = url.ok_or_else(|| ChannelError::Refused("Slack names no place of its own for the file".into()))?;
        let headers = [("content-type", "application/octet-stream")];
        let call = Call { method: "POST", url, headers: &headers, body: &bytes, answer_max: 0 };
        let answer = self.sends.call(&call, FILE)?;
        if answer.status != 200 {
            return Err(ChannelError::Lost(format!("Slack answered HTTP {} to a file", answer.status)));
        }
        let id = place["file_id"].as_str().unwrap_or_default();
        let mut params = json!({ "files": [{ "id": id, "title": name }], "channel_id": chat });
        if let Some(thread) = thread {
            params["thread_ts"] = thread.into();
        }
        if !out.text.is_empty() {
            params["initial_comment"] = plain(&out.text).into();
        }
        self.api.call(&self.sends, "files.completeUploadExternal", &params, METHOD)?;
        Ok(Receipt { id: id.to_owned() })
    }

    /// Fetches a file of a message.
    fn fetch(&self, inbound: &Inbound, file: &Remote) -> IncomingFile {
        inbound.fetch(file, |answer_max| {
            // The bot's token goes along: it is shown to Slack and nobody else.
            if !is_slack_s(&file.at) && !self.is_own(&file.at) {
                return Err(ChannelError::Refused("it lies on a server that is not Slack's".into()));
            }
            let bearer = format!("Bearer {}", self.api.bot.expose());
            let headers = [("authorization", bearer.as_str())];
            let call = Call { method: "GET", url: &file.at, headers: &headers, answer_max, ..Call::default() };
            let bytes = media::body(self.asks.call(&call, FILE)?)?;
            match bytes.starts_with(b"<!DOCTYPE") && file.mime != "text/html" {
                true => Err(ChannelError::Lost("a page to log in came instead (scope files:read)".into())),
                false => Ok(bytes),
            }
        })
    }
}

/// Whether an address is on one of Slack's own servers.
fn is_slack_s(url: &str) -> bool {
    let host = url.strip_prefix("https://").and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    host.ends_with(".slack.com") && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

fn shown(me: &Value) -> String {
    let text = |name: &str| me[name].as_str().unwrap_or_default();
    format!("@{} in {}", text("user"), text("team"))
}

/// The user an address means.
fn person(target: &str) -> Option<&str> {
    target.strip_prefix("user:").or_else(|| target.strip_prefix("<@")?.strip_suffix('>'))
}

fn channel(target: &str) -> &str {
    target.strip_prefix("channel:").or_else(|| target.strip_prefix("<#")?.strip_suffix('>')).unwrap_or(target)
}

/// Where the answer to an interaction goes.
fn interaction(to: &Target) -> Option<&str> {
    to.reply_to.as_deref()?.strip_prefix(INTERACTION)
}

/// A text without the signs that have a meaning for Slack: nobody is called by accident.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Markdown as Slack takes it, and the same as text for notifications.
fn content(text: &str, buttons: &[Vec<(String, String)>]) -> Value {
    // Calls to everybody are the only mark-up of Slack's own that a block of Markdown would obey.
    let mut blocks = vec![json!({ "type": "markdown", "text": text.replace("<!", "&lt;!") })];
    for row in buttons {
        let button = |(at, (label, data)): (usize, &(String, String))| {
            let label = json!({ "type": "plain_text", "text": label });
            let style = if data.ends_with(" deny") { "danger" } else { "primary" };
            json!({ "type": "button", "text": label, "value": data, "action_id": format!("openclaw_{at}"), "style": style })
        };
        let elements: Vec<Value> = row.iter().take(5).enumerate().map(button).collect();
        blocks.push(json!({ "type": "actions", "elements": elements }));
    }
    json!({ "text": plain(text), "blocks": blocks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_called_by_what_a_model_writes() {
        let made = content("hello <!channel> & <@U1>", &[]);
        assert_eq!(made["blocks"][0]["text"], "hello &lt;!channel> & <@U1>");
        assert_eq!(made["text"], "hello &lt;!channel&gt; &amp; &lt;@U1&gt;");
        let row = vec![
            ("Yes".to_owned(), "/approve x allow-once".to_owned()),
            ("No".to_owned(), "/approve x deny".to_owned()),
        ];
        let made = content("?", &[row]);
        let buttons = made["blocks"][1]["elements"].as_array().expect("buttons");
        assert_eq!((&buttons[0]["style"], &buttons[1]["style"]), (&json!("primary"), &json!("danger")));
        assert_ne!(buttons[0]["action_id"], buttons[1]["action_id"]);
    }

    #[test]
    fn the_token_is_shown_to_slack_alone() {
        assert!(is_slack_s("https://files.slack.com/files-pri/T1/x.png"));
        for url in [
            "http://files.slack.com/x",
            "https://slack.com.evil.org/x",
            "https://evil.org/.slack.com",
            "https://a@b.slack.com/",
        ] {
            assert!(!is_slack_s(url), "{url}");
        }
    }

    #[test]
    fn an_address_is_a_person_or_a_channel() {
        assert_eq!((SPEC.kind_of)("user:U1"), (ChatKind::Direct, "U1"));
        assert_eq!((SPEC.kind_of)("<@U1>"), (ChatKind::Direct, "U1"));
        assert_eq!((SPEC.kind_of)("channel:C1"), (ChatKind::Channel, "C1"));
    }
}
