//! Discord: a bot with a gateway connection (v10) and the HTTP API.
//!
//! The reading position is the gateway's session, the number of the last event and, per channel, the last message that was
//! taken; it is committed together with the message it belongs to. A connection that ends is resumed and Discord tells
//! again what came meanwhile; where it refuses, because we were away for long, the channels are read up by the HTTP API.
//! Sending carries a nonce that Discord enforces, so a message that is told twice is shown once.
//!
//! Liveness is the heartbeat's answer and nothing else: a connection whose heartbeat is not answered is resumed anew.

mod api;
mod event;
mod session;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use self::api::{Api, FILE, METHOD, ROOT};
use self::event::Place;
use self::session::Mark;
use super::account::Account;
use super::gate::List;
use super::http::{Call, Web, form};
use super::inbound::Inbound;
use super::media::Remote;
use super::message::{ChannelError, ChatKind, INTERACTION, IncomingFile, Outbound, Probe, Receipt, Target};
use super::supervisor::Stop;
use super::websocket::Holder;
use super::{Channel, ChannelSpec, chunk, media};
use crate::sys::random;
use crate::sys::secret::Secret;
use crate::wire::tree::json;

pub static SPEC: ChannelSpec = ChannelSpec {
    id: "discord",
    label: "Discord",
    keys: &[
        ("apiRoot", "Where the HTTP API lives, with its version."),
        ("commands", "native: false leaves the bot's slash commands alone."),
        ("direct", "Direct chats by channel id: systemPrompt, tools, toolsBySender."),
        ("dm", "Direct chats as the reference writes them: policy, allowFrom, enabled."),
        ("guilds", "Servers by id: users, roles, requireMention, ignoreOtherMentions, tools, systemPrompt, channels."),
        ("replyToMode", "Answer as a reply to the message: off (unless set), first or all."),
        ("slashCommand", "ephemeral: false shows answers to slash commands to everybody."),
        ("suppressEmbeds", "False lets Discord show previews of links."),
        ("token", "The bot's token from the Developer Portal."),
        ("tokenFile", "A file that holds the token."),
    ],
    prefixes: &["discord"],
    variables: &["DISCORD_BOT_TOKEN"],
    by_variable: false,
    limit: 2000,
    count: chunk::characters,
    thread_word: "thread",
    list: List::Guilds,
    kind_of: |to| match person(to) {
        Some(id) => (ChatKind::Direct, id),
        None => (ChatKind::Channel, channel(to)),
    },
    drafts: true,
    streams: false,
    debounce_ms: 0,
    setup: &[("--token", "token", true), ("--token-file", "tokenFile", false)],
    configured: |section| ["token", "tokenFile"].iter().any(|key| section.contains_key(*key)),
    open,
};

/// Channels that are known at the same time.
const PLACES: usize = 1000;
/// People whose direct channel is known.
const PEOPLE: usize = 256;
/// What Discord takes as one file from a bot (bytes; Reference, "Uploading Files": 10 MiB, more in boosted servers).
const UPLOAD_MAX: u64 = 25 << 20;
/// Where files of messages lie.
const FILE_HOSTS: &[&str] = &["https://cdn.discordapp.com/", "https://media.discordapp.net/"];
/// Flags of a message (Reference, "Message Flags").
const SUPPRESS_EMBEDS: u64 = 1 << 2;
const EPHEMERAL: u64 = 1 << 6;
const SUPPRESS_NOTIFICATIONS: u64 = 1 << 12;

struct Discord {
    api: Api,
    /// The listener asks over a connection of its own.
    asks: Web,
    sends: Web,
    holder: Holder,
    menu: bool,
    ephemeral: bool,
    embeds: bool,
    reply: bool,
    known: Mutex<Known>,
}

/// What one life of the account has learned.
#[derive(Default)]
struct Known {
    /// Our user's id, and the application's.
    me: String,
    application: String,
    /// How far we have read, newer than what is on disk.
    mark: Option<Mark>,
    places: HashMap<String, Place>,
    /// The direct channel of a user.
    people: HashMap<String, String>,
}

fn open(account: &Account) -> Result<Box<dyn Channel>, ChannelError> {
    let token = account.secret("token", "tokenFile").or_else(|| account.default_variable("DISCORD_BOT_TOKEN"));
    let token = token.map(|token| token.expose().trim_start_matches("Bot ").to_owned());
    let token = token.filter(|token| fits(token)).ok_or_else(|| {
        let what = format!("Discord bot token missing for account \"{}\"", account.key.account);
        ChannelError::Terminal(what, "set channels.discord.token, tokenFile or DISCORD_BOT_TOKEN".into())
    })?;
    let root = account.text("apiRoot").or_else(|| account.variable("DISCORD_API_URL")).unwrap_or(ROOT);
    let root = root.trim_end_matches('/').to_owned();
    if !root.starts_with("https://") && !root.starts_with("http://") {
        let what = "apiRoot is no http address".to_owned();
        return Err(ChannelError::Terminal(what, "correct channels.discord.apiRoot, or remove it".into()));
    }
    let off = |section: &str, key: &str| {
        account.settings.get(section).and_then(|section| section.get(key)) == Some(&Value::Bool(false))
    };
    for id in account.settings.get("guilds").and_then(Value::as_object).into_iter().flat_map(Map::keys) {
        if id != "*" && !id.bytes().all(|byte| byte.is_ascii_digit()) {
            log::warn!("{}: guilds.{}: only the id of a server counts, not its name", account.key, id.escape_debug());
        }
    }
    Ok(Box::new(Discord {
        api: Api::new(root, Secret::new(&token)),
        asks: Web::new(),
        sends: Web::new(),
        holder: Holder::default(),
        menu: !off("commands", "native"),
        ephemeral: !off("slashCommand", "ephemeral"),
        embeds: account.flag("suppressEmbeds") == Some(false),
        reply: account.text("replyToMode").is_some_and(|mode| mode != "off"),
        known: Mutex::default(),
    }))
}

/// A token goes into a header.
fn fits(token: &str) -> bool {
    token.len() >= 16 && token.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Channel for Discord {
    fn listen(&self, inbound: &Inbound, stop: &Stop) -> Result<(), ChannelError> {
        self.run(inbound, stop)
    }

    fn deliver(&self, out: &Outbound) -> Result<Receipt, ChannelError> {
        let chat = self.chat(&out.to.chat)?;
        let mut body = self.content(&out.text);
        if out.silent {
            let flags = body["flags"].as_u64().unwrap_or(0) | SUPPRESS_NOTIFICATIONS;
            body["flags"] = flags.into();
        }
        if !out.buttons.is_empty() {
            body["components"] = components(&out.buttons);
        }
        if out.file.is_none()
            && let Some(known) = &out.draft
        {
            let path = format!("channels/{chat}/messages/{known}");
            match self.api.call(&self.sends, "PATCH", &path, Some(&body), METHOD) {
                // The draft is gone (deleted by somebody): the answer is a message of its own.
                Err(ChannelError::Refused(_)) => {}
                done => return done.map(|_| Receipt { id: known.clone() }),
            }
        }
        if let Some(token) = interaction(&out.to) {
            match self.follow_up(token, &body, out) {
                // It is over after a quarter of an hour; then everybody sees the answer.
                Err(ChannelError::Refused(why)) => log::debug!("an interaction is over: {why}"),
                done => return done,
            }
        } else if (self.reply || out.run.is_none())
            && let Some(id) = &out.to.reply_to
        {
            body["message_reference"] = json!({ "message_id": id, "fail_if_not_exists": false });
        }
        // Told twice under the same nonce, it is shown once.
        body["nonce"] = nonce(&out.key).into();
        body["enforce_nonce"] = true.into();
        self.post(&format!("channels/{chat}/messages"), &body, out.file.as_deref())
    }

    fn probe(&self, within: Duration) -> Probe {
        let began = Instant::now();
        // Not over the connections in use.
        let asked = self.api.call(&Web::new(), "GET", "users/@me", None, within);
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match asked {
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
        if interaction(to).is_some() {
            return Ok(());
        }
        let path = format!("channels/{}/typing", self.chat(&to.chat)?);
        self.api.call(&self.sends, "POST", &path, None, METHOD).map(drop)
    }

    fn draft(&self, to: &Target, text: &str, known: Option<&str>) -> Result<Option<String>, ChannelError> {
        let first = chunk::split(text, SPEC.limit, SPEC.count).into_iter().next();
        let Some(first) = first.filter(|_| interaction(to).is_none()) else { return Ok(None) };
        let (chat, body) = (self.chat(&to.chat)?, self.content(&first));
        let (method, path) = match known {
            Some(known) => ("PATCH", format!("channels/{chat}/messages/{known}")),
            None => ("POST", format!("channels/{chat}/messages")),
        };
        let sent = self.api.call(&self.sends, method, &path, Some(&body), METHOD)?;
        Ok(known.is_none().then(|| sent["id"].as_str().unwrap_or_default().to_owned()))
    }
}

impl Discord {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a message says. Nobody but the people named in it is woken by it, whatever a model writes.
    fn content(&self, text: &str) -> Value {
        let flags = if self.embeds { 0 } else { SUPPRESS_EMBEDS };
        json!({ "content": text, "allowed_mentions": { "parse": ["users"] }, "flags": flags })
    }

    /// The channel a target means: `user:1` and `<@1>` are people, everything else is a channel.
    fn chat(&self, target: &str) -> Result<String, ChannelError> {
        let person = person(target);
        let id = person.unwrap_or_else(|| channel(target));
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            let words = "the target is no id of Discord: channel:<id>, or user:<id> for a direct message";
            return Err(ChannelError::Refused(words.into()));
        }
        if person.is_none() {
            return Ok(id.to_owned());
        }
        if let Some(chat) = self.known().people.get(id) {
            return Ok(chat.clone());
        }
        let asked =
            self.api.call(&self.sends, "POST", "users/@me/channels", Some(&json!({ "recipient_id": id })), METHOD)?;
        let chat = asked["id"].as_str().ok_or_else(|| ChannelError::Lost("Discord opened no channel".into()))?;
        let mut known = self.known();
        if known.people.len() >= PEOPLE {
            known.people.clear();
        }
        known.people.insert(id.to_owned(), chat.to_owned());
        Ok(chat.to_owned())
    }

    /// Posts a message, with a file if there is one.
    fn post(&self, path: &str, body: &Value, file: Option<&str>) -> Result<Receipt, ChannelError> {
        let sent = match file {
            None => self.api.call(&self.sends, "POST", path, Some(body), METHOD)?,
            Some(file) => {
                let bytes = media::read(file, UPLOAD_MAX)?;
                let name = media::name(file);
                let (kind, form) = form(&[("payload_json", body.to_string())], ("files[0]", name, &bytes));
                self.api.send(&self.sends, "POST", path, &kind, &form, FILE)?
            }
        };
        let id = sent["id"].as_str().map(str::to_owned);
        id.map(|id| Receipt { id })
            .ok_or_else(|| ChannelError::Lost("Discord did not say what it calls the message".into()))
    }

    /// Answers an interaction.
    fn follow_up(&self, token: &str, body: &Value, out: &Outbound) -> Result<Receipt, ChannelError> {
        let mut body = body.clone();
        if self.ephemeral {
            body["flags"] = (body["flags"].as_u64().unwrap_or(0) | EPHEMERAL).into();
        }
        let application = self.known().application.clone();
        self.post(&format!("webhooks/{application}/{token}?wait=true"), &body, out.file.as_deref())
    }

    /// Fetches a file of a message.
    fn fetch(&self, inbound: &Inbound, file: &Remote) -> IncomingFile {
        inbound.fetch(file, |answer_max| {
            let own = self.api.root != ROOT && file.at.starts_with(&format!("{}/", self.api.root));
            if !own && !FILE_HOSTS.iter().any(|host| file.at.starts_with(host)) {
                return Err(ChannelError::Refused("it lies on a server that is not Discord's".into()));
            }
            let call = Call { method: "GET", url: &file.at, answer_max, ..Call::default() };
            media::body(self.asks.call(&call, FILE)?)
        })
    }
}

/// The user an address means.
fn person(target: &str) -> Option<&str> {
    let id = target.strip_prefix("user:").or_else(|| target.strip_prefix("<@")?.strip_suffix('>'));
    // With a mark it is a role, which is nobody; the old form of a mention had another.
    id.map(|id| id.trim_start_matches('!')).filter(|id| !id.starts_with('&'))
}

fn channel(target: &str) -> &str {
    target.strip_prefix("channel:").or_else(|| target.strip_prefix("<#")?.strip_suffix('>')).unwrap_or(target)
}

/// The token of the interaction a message answers.
fn interaction(to: &Target) -> Option<&str> {
    to.reply_to.as_deref()?.strip_prefix(INTERACTION)
}

/// At most 25 signs that follow from the message's own key.
fn nonce(key: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    random::to_hex(&digest.as_ref()[..12])
}

fn components(rows: &[Vec<(String, String)>]) -> Value {
    let button = |(label, data): &(String, String)| {
        // 1: blurple, 4: red.
        let style = if data.ends_with(" deny") { 4 } else { 1 };
        json!({ "type": 2, "style": style, "label": label, "custom_id": data })
    };
    let row = |row: &Vec<(String, String)>| {
        let buttons: Vec<Value> = row.iter().take(5).map(button).collect();
        json!({ "type": 1, "components": buttons })
    };
    rows.iter().take(5).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_short_and_the_same_for_the_same_key() {
        assert_eq!(nonce("run-1:0"), nonce("run-1:0"));
        assert_ne!(nonce("run-1:0"), nonce("run-1:1"));
        assert!(nonce("x").len() <= 25);
    }

    #[test]
    fn buttons_stand_in_rows_of_five() {
        let rows = vec![(0..7).map(|n| (format!("b{n}"), format!("/approve {n} deny"))).collect::<Vec<_>>()];
        let made = components(&rows);
        assert_eq!(made[0]["components"].as_array().map(Vec::len), Some(5));
        assert_eq!(made[0]["components"][0]["style"], 4);
    }

    #[test]
    fn a_token_that_would_leave_its_header_is_none() {
        assert!(fits("MTIz.abc.def-ghi_jkl"));
        assert!(!fits("short") && !fits("MTIz.abc.def-ghi\r\nX: y"));
    }
}
