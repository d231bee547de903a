//! Telegram: a bot that polls, or that is called at the gateway's port.
//!
//! The reading position (`<bot id>:<next update>`) is committed together with the messages before it, so an update is
//! confirmed to Telegram by the poll after its commit and never earlier. A poll has a hard limit of its own: silence of
//! the network ends it, whatever the kernel thinks of the connection.

mod api;

mod update;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use self::api::{Api, METHOD, ROOT};
use self::update::{Parsed, Update, User};
use super::account::Account;
use super::gate::List;
use super::html;
use super::http::Web;
use super::inbound::Inbound;
use super::message::{ChannelError, ChatKind, Incoming, IncomingFile, Outbound, Probe, Receipt, Target};
use super::supervisor::Stop;
use super::{Channel, ChannelSpec, Reply, Request, chunk, media};
use crate::sys::order;
use crate::sys::secret::Secret;
use crate::wire::command::COMMANDS;
use crate::wire::misfit;
use crate::wire::tree::json;

pub static SPEC: ChannelSpec = ChannelSpec {
    id: "telegram",
    label: "Telegram",
    keys: &[
        ("apiRoot", "Where the Bot API lives, without /bot<token>."),
        ("botToken", "The token @BotFather gave."),
        ("commands", "native: false leaves the bot's command menu alone."),
        ("direct", "Direct chats by id: systemPrompt, tools, toolsBySender."),
        ("linkPreview", "False sends links without a preview."),
        ("pollSeconds", "How long one poll waits for news (25 unless set)."),
        ("replyToMode", "Answer as a reply to the message: off, first or all."),
        ("tokenFile", "A file that holds the token."),
        ("webhookSecret", "What Telegram must show when it calls; no webhook without it."),
        ("webhookUrl", "The public address of /channels/telegram/<account> here; no polling then."),
    ],
    prefixes: &["telegram", "tg"],
    variables: &["TELEGRAM_BOT_TOKEN"],
    by_variable: false,
    limit: 4000,
    count: chunk::utf16,
    thread_word: "topic",
    list: List::Groups,
    kind_of: |to| (if to.starts_with('-') { ChatKind::Group } else { ChatKind::Direct }, to),
    drafts: true,
    streams: true,
    debounce_ms: 300,
    setup: &[("--token", "botToken", true), ("--token-file", "tokenFile", false)],
    configured: |section| ["botToken", "tokenFile"].iter().any(|key| section.contains_key(*key)),
    open,
};

/// Largest picture that is sent as one (bytes; Bot API, sendPhoto).
const PHOTO: usize = 10 << 20;
/// How long a poll waits for news.
const POLL: u64 = 25;
/// Over that the network has this long to bring the answer.
const GRACE: Duration = Duration::from_secs(10);
/// Called by Telegram, we ask from time to time whether it has trouble reaching us.
const LOOK: Duration = Duration::from_secs(300);
/// What the Bot API lets a bot download.
const DOWNLOAD_MAX: u64 = 20 << 20;
/// What we want to hear.
const WANTED: &[&str] = &["message", "edited_message", "callback_query"];

struct Telegram {
    api: Api,
    /// Polls have a connection of their own.
    polls: Web,
    sends: Web,
    poll_s: u64,
    webhook: Option<(String, Secret)>,
    menu: bool,
    previews: bool,
    reply: bool,
    /// Who we are, once asked.
    bot: Mutex<Option<User>>,
}

fn open(account: &Account) -> Result<Box<dyn Channel>, ChannelError> {
    let token = account.secret("botToken", "tokenFile").or_else(|| account.default_variable("TELEGRAM_BOT_TOKEN"));
    let token = token.filter(|token| fits(token.expose())).ok_or_else(|| {
        let what = format!("Telegram bot token missing for account \"{}\"", account.key.account);
        ChannelError::Terminal(what, "set channels.telegram.botToken, tokenFile or TELEGRAM_BOT_TOKEN".into())
    })?;
    let webhook = match account.text("webhookUrl") {
        None => None,
        Some(url) => {
            let secret = account.secret("webhookSecret", "webhookSecretFile").filter(|s| s.expose().len() >= 8);
            let secret = secret.ok_or_else(|| {
                let what = "a webhook without a secret would be open to everybody".to_owned();
                ChannelError::Terminal(what, "set channels.telegram.webhookSecret (8 signs or more)".into())
            })?;
            Some((url.to_owned(), secret))
        }
    };
    let root = account.text("apiRoot").unwrap_or(ROOT).trim_end_matches('/').to_owned();
    Ok(Box::new(Telegram {
        api: Api { root, token },
        polls: Web::new(),
        sends: Web::new(),
        poll_s: account.number("pollSeconds").unwrap_or(POLL).clamp(1, 50),
        webhook,
        menu: account.settings.get("commands").and_then(|commands| commands.get("native")) != Some(&Value::Bool(false)),
        previews: account.flag("linkPreview").unwrap_or(true),
        reply: account.text("replyToMode") != Some("off"),
        bot: Mutex::default(),
    }))
}

/// A token goes into a path.
fn fits(token: &str) -> bool {
    token.len() >= 8 && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-'))
}

impl Channel for Telegram {
    fn listen(&self, inbound: &Inbound, stop: &Stop) -> Result<(), ChannelError> {
        let bot = self.who(&self.polls, METHOD)?;
        inbound.connected(&bot.shown());
        self.offer_commands();
        match &self.webhook {
            Some((url, secret)) => self.be_called(inbound, stop, url, secret),
            None => self.poll(inbound, stop, &bot),
        }
    }

    fn deliver(&self, out: &Outbound) -> Result<Receipt, ChannelError> {
        if let Some(file) = &out.file {
            return self.send_file(out, file);
        }
        let html = html::render(&out.text);
        if let Some(known) = out.draft.as_ref().and_then(|id| id.parse::<i64>().ok()) {
            let sent = self.edit(&out.to, known, &html, &out.text, &out.buttons);
            match sent {
                // The draft is gone (deleted by somebody): the answer is a message of its own.
                Err(ChannelError::Refused(_)) => {}
                sent => return sent.map(|()| Receipt { id: known.to_string() }),
            }
        }
        let mut params = self.head(&out.to);
        params.insert("text".into(), html.into());
        params.insert("parse_mode".into(), "HTML".into());
        if !self.previews {
            params.insert("link_preview_options".into(), json!({"is_disabled": true}));
        }
        if out.silent {
            params.insert("disable_notification".into(), true.into());
        }
        if !out.buttons.is_empty() {
            params.insert("reply_markup".into(), keyboard(&out.buttons));
        }
        let sent = self.with_fallbacks("sendMessage", params, &out.text)?;
        Ok(Receipt { id: sent["message_id"].to_string() })
    }

    fn probe(&self, within: Duration) -> Probe {
        let began = Instant::now();
        // Not over the connections in use: a poll may hold one for long.
        let asked = self.api.call(&Web::new(), "getMe", &json!({}), within);
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match asked {
            Ok(me) => {
                let bot = misfit::convert::<User>(&me).unwrap_or_default();
                Probe { ok: true, identity: bot.shown(), error: None, elapsed_ms }
            }
            Err(error) => Probe { error: Some(error.to_string()), elapsed_ms, ..Probe::default() },
        }
    }

    fn interrupt(&self) {
        self.polls.end();
        self.sends.end();
    }

    fn typing(&self, to: &Target) -> Result<(), ChannelError> {
        let mut params = Map::new();
        params.insert("chat_id".into(), to.chat.as_str().into());
        thread(&mut params, to);
        params.insert("action".into(), "typing".into());
        self.api.call(&self.sends, "sendChatAction", &Value::Object(params), METHOD).map(drop)
    }

    fn draft(&self, to: &Target, text: &str, known: Option<&str>) -> Result<Option<String>, ChannelError> {
        // Telegram takes one message; what is longer shows its beginning until the end comes.
        let Some(first) = chunk::split(text, SPEC.limit, SPEC.count).into_iter().next() else { return Ok(None) };
        let html = html::render(&first);
        if let Some(id) = known.and_then(|id| id.parse::<i64>().ok()) {
            return self.edit(to, id, &html, &first, &[]).map(|()| None);
        }
        let mut params = self.head(to);
        params.insert("text".into(), html.into());
        params.insert("parse_mode".into(), "HTML".into());
        params.insert("disable_notification".into(), true.into());
        let sent = self.with_fallbacks("sendMessage", params, &first)?;
        Ok(Some(sent["message_id"].to_string()))
    }

    fn receive(&self, request: &Request<'_>, inbound: &Inbound) -> Option<Reply> {
        let (_, secret) = self.webhook.as_ref()?;
        let shown = (request.header)("x-telegram-bot-api-secret-token").unwrap_or_default();
        if !secret.matches(&shown) {
            return Some(Reply { status: 401, body: String::new() });
        }
        let Some(bot) = self.bot.lock().unwrap_or_else(PoisonError::into_inner).clone() else {
            return Some(Reply { status: 503, body: String::new() });
        };
        let Ok(update) = misfit::read_bytes::<Update>(request.body) else {
            return Some(Reply { status: 400, body: String::new() });
        };
        match self.take(inbound, vec![update], &bot, None) {
            Ok(()) => Some(Reply { status: 200, body: String::new() }),
            Err(error) => {
                log::error!("{}: {error}", inbound.account().key);
                Some(Reply { status: 503, body: String::new() })
            }
        }
    }

    fn mode(&self) -> &'static str {
        if self.webhook.is_some() { "webhook" } else { "polling" }
    }
}

impl Telegram {
    /// Asks who we are, and keeps it.
    fn who(&self, web: &Web, limit: Duration) -> Result<User, ChannelError> {
        let me = self.api.call(web, "getMe", &json!({}), limit)?;
        let bot: User =
            misfit::convert(&me).map_err(|_| ChannelError::Lost("getMe: an answer nobody understands".into()))?;
        *self.bot.lock().unwrap_or_else(PoisonError::into_inner) = Some(bot.clone());
        Ok(bot)
    }

    fn poll(&self, inbound: &Inbound, stop: &Stop, bot: &User) -> Result<(), ChannelError> {
        let mut offset = inbound.mark().and_then(|mark| position(&mark, bot.id)).unwrap_or(0);
        let limit = Duration::from_secs(self.poll_s) + GRACE.min(Duration::from_secs(self.poll_s * 2));
        while !stop.fired() {
            let params = json!({"offset": offset, "timeout": self.poll_s, "limit": 50, "allowed_updates": WANTED});
            let found = match self.api.call(&self.polls, "getUpdates", &params, limit) {
                Ok(found) => found,
                Err(ChannelError::Lost(words)) if words.contains("webhook is active") => {
                    log::warn!("{}: a webhook was set elsewhere; it is removed, for we poll", inbound.account().key);
                    self.api.call(&self.polls, "deleteWebhook", &json!({"drop_pending_updates": false}), METHOD)?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let raw = match found {
                Value::Array(raw) => raw,
                _ => return Err(ChannelError::Lost("getUpdates: an answer nobody understands".into())),
            };
            if raw.is_empty() {
                inbound.alive();
                continue;
            }
            // One that cannot be read must not stop those behind it.
            let last = raw.iter().filter_map(|update| update["update_id"].as_i64()).max();
            let updates: Vec<Update> = raw.into_iter().filter_map(|one| misfit::convert(&one).ok()).collect();
            let Some(last) = last else {
                return Err(ChannelError::Lost("getUpdates: updates without a number".into()));
            };
            let next = (last + 1).max(offset);
            self.take(inbound, updates, bot, Some(format!("{}:{next}", bot.id)))?;
            offset = next;
        }
        Ok(())
    }

    /// Fetches what belongs to the updates and hands all of it over.
    fn take(
        &self,
        inbound: &Inbound,
        mut updates: Vec<Update>,
        bot: &User,
        mark: Option<String>,
    ) -> Result<(), ChannelError> {
        order::by_key(&mut updates, |update| update.update_id);
        let mut messages: Vec<(Incoming, Option<String>)> = Vec::new();
        let mut pressed = Vec::new();
        for parsed in updates.into_iter().filter_map(|update| update.parse(bot)) {
            let Parsed { mut message, files, album, pressed: button } = parsed;
            pressed.extend(button);
            if !files.is_empty() && inbound.would_take(&message) {
                message.files = files.iter().map(|file| self.fetch(inbound, file)).collect();
            }
            match messages.last_mut() {
                // The pictures of an album are one message to the one who sent it.
                Some((last, known)) if album.is_some() && *known == album && last.chat == message.chat => {
                    last.files.append(&mut message.files);
                    last.mentioned |= message.mentioned;
                    if last.text.is_empty() {
                        last.text = message.text;
                    }
                }
                _ => messages.push((message, album)),
            }
        }
        let messages = messages.into_iter().map(|(message, _)| message).collect();
        inbound.admit(messages, mark).map_err(|error| ChannelError::Lost(error.to_string()))?;
        for id in pressed {
            // The button stops turning; the press itself is safe already.
            if let Err(error) =
                self.api.call(&self.polls, "answerCallbackQuery", &json!({"callback_query_id": id}), METHOD)
            {
                log::debug!("{}: {error}", inbound.account().key);
            }
        }
        Ok(())
    }

    fn fetch(&self, inbound: &Inbound, file: &update::File) -> IncomingFile {
        let name = file.file_name.clone().unwrap_or_else(|| "file".into());
        let shelf = inbound.files();
        let max = shelf.max().min(DOWNLOAD_MAX);
        if file.file_size.is_some_and(|size| size > max) {
            return IncomingFile::Left { name, why: format!("larger than {} MB", max >> 20) };
        }
        let got = self.api.call(&self.polls, "getFile", &json!({"file_id": file.file_id}), METHOD).and_then(|found| {
            let path = found["file_path"].as_str().unwrap_or_default().to_owned();
            self.api.file(&self.polls, &path, usize::try_from(max).unwrap_or(usize::MAX))
        });
        match got {
            Ok(bytes) => shelf.take(&name, file.mime_type.as_deref().unwrap_or_default(), bytes),
            Err(error) => {
                log::warn!("{}: a file was not fetched: {error}", inbound.account().key);
                IncomingFile::Left { name, why: "it could not be fetched".into() }
            }
        }
    }

    /// Lets Telegram call us, and looks from time to time whether it can.
    fn be_called(&self, inbound: &Inbound, stop: &Stop, url: &str, secret: &Secret) -> Result<(), ChannelError> {
        let params = json!({"url": url, "secret_token": secret.expose(), "allowed_updates": WANTED});
        self.api.call(&self.polls, "setWebhook", &params, METHOD).map_err(|error| match error {
            ChannelError::Refused(words) => {
                ChannelError::Terminal(words, "correct channels.telegram.webhookUrl".into())
            }
            other => other,
        })?;
        while !stop.wait(LOOK) {
            let facts = self.api.call(&self.polls, "getWebhookInfo", &json!({}), METHOD)?;
            inbound.alive();
            if let Some(trouble) = facts["last_error_message"].as_str() {
                log::warn!("{}: Telegram could not reach us: {trouble}", inbound.account().key);
            }
        }
        Ok(())
    }

    /// Puts our commands into the bot's menu. Only a convenience: a failure is no reason not to listen.
    fn offer_commands(&self) {
        if !self.menu {
            return;
        }
        let rows: Vec<Value> =
            COMMANDS.iter().map(|row| json!({"command": row.name, "description": row.doc})).collect();
        if let Err(error) = self.api.call(&self.polls, "setMyCommands", &json!({"commands": rows}), METHOD) {
            log::debug!("the command menu was not set: {error}");
        }
    }

    /// Where a message goes.
    fn head(&self, to: &Target) -> Map<String, Value> {
        let mut params = Map::new();
        params.insert("chat_id".into(), to.chat.as_str().into());
        thread(&mut params, to);
        let answers = to.reply_to.as_ref().and_then(|id| id.parse::<i64>().ok());
        if let Some(id) = answers.filter(|_| self.reply && to.kind != ChatKind::Direct) {
            let reply = json!({"message_id": id, "allow_sending_without_reply": true});
            params.insert("reply_parameters".into(), reply);
        }
        params
    }

    /// Sends; what Telegram does not take as HTML goes as plain text, and into the group where the topic is gone.
    fn with_fallbacks(&self, method: &str, mut params: Map<String, Value>, plain: &str) -> Result<Value, ChannelError> {
        let refused = match self.api.call(&self.sends, method, &Value::Object(params.clone()), METHOD) {
            Err(ChannelError::Refused(words)) => words,
            answered => return answered,
        };
        if refused.contains("can't parse entities") {
            params.remove("parse_mode");
            params.insert("text".into(), plain.into());
        } else if refused.contains("message thread not found") {
            params.remove("message_thread_id");
        } else {
            return Err(ChannelError::Refused(refused));
        }
        self.api.call(&self.sends, method, &Value::Object(params), METHOD)
    }

    fn edit(
        &self,
        to: &Target,
        id: i64,
        html: &str,
        plain: &str,
        buttons: &[Vec<(String, String)>],
    ) -> Result<(), ChannelError> {
        let mut params = Map::new();
        params.insert("chat_id".into(), to.chat.as_str().into());
        params.insert("message_id".into(), id.into());
        params.insert("text".into(), html.into());
        params.insert("parse_mode".into(), "HTML".into());
        if !buttons.is_empty() {
            params.insert("reply_markup".into(), keyboard(buttons));
        }
        match self.with_fallbacks("editMessageText", params, plain) {
            // It says so already: a try before this one arrived.
            Err(ChannelError::Refused(words)) if words.contains("is not modified") => Ok(()),
            done => done.map(drop),
        }
    }

    fn send_file(&self, out: &Outbound, path: &str) -> Result<Receipt, ChannelError> {
        let bytes = media::read(path, 50 << 20)?;
        // Larger ones are refused as photos.
        let picture = bytes.len() <= PHOTO
            && media::sniff(&bytes).is_some_and(|mime| mime == "image/png" || mime == "image/jpeg");
        let (method, field) = if picture { ("sendPhoto", "photo") } else { ("sendDocument", "document") };
        let mut fields: Vec<(&str, String)> = Vec::new();
        let head = self.head(&out.to);
        for (name, value) in &head {
            fields.push((name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
        }
        if !out.text.is_empty() {
            // A caption has less room than a message.
            let caption = chunk::split(&out.text, 1000, SPEC.count).into_iter().next().unwrap_or_default();
            fields.push(("caption", html::render(&caption)));
            fields.push(("parse_mode", "HTML".into()));
        }
        let name = media::name(path);
        let sent = self.api.upload(&self.sends, method, &fields, (field, name, &bytes))?;
        Ok(Receipt { id: sent["message_id"].to_string() })
    }
}

impl User {
    fn shown(&self) -> String {
        self.username.as_ref().map_or_else(|| self.id.to_string(), |name| format!("@{name}"))
    }
}

fn thread(params: &mut Map<String, Value>, to: &Target) {
    if let Some(id) = to.thread.as_ref().and_then(|id| id.parse::<i64>().ok()) {
        params.insert("message_thread_id".into(), id.into());
    }
}

fn keyboard(rows: &[Vec<(String, String)>]) -> Value {
    let rows: Vec<Vec<Value>> = rows
        .iter()
        .map(|row| row.iter().map(|(label, data)| json!({"text": label, "callback_data": data})).collect())
        .collect();
    json!({ "inline_keyboard": rows })
}

/// Where reading goes on, if the mark is this bot's.
fn position(mark: &str, bot: i64) -> Option<i64> {
    let (owner, next) = mark.split_once(':')?;
    (owner.parse() == Ok(bot)).then(|| next.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_belongs_to_one_bot() {
        assert_eq!(position("42:7", 42), Some(7));
        assert_eq!(position("43:7", 42), None);
        assert_eq!(position("nonsense", 42), None);
    }

    #[test]
    fn a_token_that_would_leave_its_path_is_none() {
        assert!(fits("123456:ABC-def_1"));
        for token in ["", "short", "123456:AB/../x", "123456:ABC def", "123456:ABC?x=1"] {
            assert!(!fits(token), "{token}");
        }
    }
}
