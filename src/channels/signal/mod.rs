//! Signal: a number of its own, through the HTTP interface of a signal-cli daemon (JSON-RPC and server-sent events).
//!
//! The daemon is somebody else's service (`signal-cli -a +15551234567 daemon --http 127.0.0.1:8080`): it holds the keys and
//! keeps a Java runtime or a native image of its own, which is no work for a gateway of a few megabytes. Liveness is the
//! daemon's own keep-alive on the stream of events.
//!
//! What the daemon has told us once it does not tell again: a message between its word and our commit, a matter of
//! milliseconds, is lost with a process that is killed then. A disk that does not take it is tried for a minute.

mod event;
mod style;

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use self::event::{GROUP, Own};
use super::account::Account;
use super::gate::List;
use super::http::{Call, Web, part};
use super::inbound::Inbound;
use super::media::Remote;
use super::message::{ChannelError, ChatKind, IncomingFile, Outbound, Probe, Receipt, Target};
use super::supervisor::Stop;
use super::{Channel, ChannelSpec, chunk};
use crate::wire::frame::cut;
use crate::wire::misfit;
use crate::wire::tree::json;

pub static SPEC: ChannelSpec = ChannelSpec {
    id: "signal",
    label: "Signal",
    keys: &[
        ("account", "The bot's number, +15551234567."),
        ("accountUuid", "The bot's id, by which it is named in groups."),
        ("direct", "Direct chats by number: systemPrompt, tools, toolsBySender."),
        ("httpUrl", "Where the daemon is, http://127.0.0.1:8080 unless set; the same as transport.url."),
        ("ignoreAttachments", "True leaves files where they are."),
        ("replyToMode", "Answers in groups quote the message: all (unless set), first or off."),
        ("sendReadReceipts", "True tells people that their messages were read."),
        ("transport", "kind: external-native, and url: where the signal-cli daemon is."),
    ],
    prefixes: &["signal"],
    variables: &["SIGNAL_ACCOUNT"],
    by_variable: false,
    limit: 4000,
    count: chunk::utf16,
    thread_word: "thread",
    list: List::Groups,
    kind_of: |to| (if to.starts_with(GROUP) { ChatKind::Group } else { ChatKind::Direct }, to),
    drafts: false,
    streams: false,
    debounce_ms: 0,
    setup: &[("--signal-number", "account", false), ("--url", "httpUrl", false)],
    configured: |section| section.contains_key("account"),
    open,
};

/// Where a daemon is unless somebody says otherwise.
const DAEMON: &str = "http://127.0.0.1:8080";
/// How long an ordinary call may take: the daemon asks Signal's own servers.
const METHOD: Duration = Duration::from_secs(45);
/// The daemon says something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);
/// Waits between attempts to store a message.
const AGAIN: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
];
/// One event; files are fetched on their own.
const EVENT_MAX: usize = 1 << 20;

struct Signal {
    root: String,
    number: String,
    uuid: String,
    /// The stream of events has a connection of its own.
    events: Web,
    asks: Web,
    sends: Web,
    files: bool,
    quotes: bool,
    receipts: bool,
}

fn open(account: &Account) -> Result<Box<dyn Channel>, ChannelError> {
    let lacks = |what: &str, remedy: &str| {
        ChannelError::Terminal(format!("Signal account \"{}\": {what}", account.key.account), remedy.into())
    };
    let number = account.text("account").or_else(|| account.variable("SIGNAL_ACCOUNT")).unwrap_or_default();
    let digits = number.strip_prefix('+').unwrap_or_default();
    if digits.len() < 5 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(lacks("account is no number", "set channels.signal.account (+15551234567)"));
    }
    let transport = account.settings.get("transport");
    let transport = |name: &str| transport.and_then(|section| section.get(name)).and_then(Value::as_str);
    if transport("kind") == Some("container") {
        let remedy = "run signal-cli daemon --http and set channels.signal.transport {kind: external-native, url}";
        return Err(lacks("the REST interface of the container is not spoken here", remedy));
    }
    if transport("socketPath").is_some() {
        return Err(lacks(
            "a socket path is not spoken here",
            "let the daemon listen with --http and set transport.url",
        ));
    }
    let root = transport("url").or_else(|| account.text("httpUrl")).unwrap_or(DAEMON).trim_end_matches('/');
    if !root.starts_with("https://") && !root.starts_with("http://") {
        return Err(lacks("the daemon's address is no http address", "correct channels.signal.transport.url"));
    }
    Ok(Box::new(Signal {
        root: root.to_owned(),
        number: number.to_owned(),
        uuid: account.text("accountUuid").unwrap_or_default().trim_start_matches("uuid:").to_owned(),
        events: Web::new(),
        asks: Web::new(),
        sends: Web::new(),
        files: account.flag("ignoreAttachments") != Some(true),
        quotes: account.text("replyToMode") != Some("off"),
        receipts: account.flag("sendReadReceipts") == Some(true),
    }))
}

impl Channel for Signal {
    fn listen(&self, inbound: &Inbound, stop: &Stop) -> Result<(), ChannelError> {
        self.check(&self.asks, METHOD)?;
        let url = format!("{}/api/v1/events?account={}", self.root, part(&self.number));
        let (mut data, mut greeted) = (String::new(), false);
        self.events.lines(&url, "text/event-stream", SILENCE, EVENT_MAX, &mut |line| {
            if !greeted {
                greeted = true;
                inbound.connected(&self.number);
            }
            inbound.alive();
            match line.strip_prefix("data:") {
                Some(more) if data.len() + more.len() <= EVENT_MAX => data.push_str(more.trim_start()),
                Some(_) => data.clear(),
                None if line.is_empty() && !data.is_empty() => {
                    let event = misfit::read::<Value>(&std::mem::take(&mut data)).unwrap_or_default();
                    let body = if event["params"].is_object() { &event["params"] } else { &event };
                    self.take(inbound, stop, &body["envelope"])?;
                }
                None => {}
            }
            Ok(!stop.fired())
        })
    }

    fn deliver(&self, out: &Outbound) -> Result<Receipt, ChannelError> {
        let styled = style::styled(&out.text);
        let mut params = self.to(&out.to.chat)?;
        params["message"] = styled.text.into();
        if !styled.styles.is_empty() {
            params["textStyle"] = styled.styles.into();
        }
        if let Some(file) = &out.file {
            // The daemon reads it itself, on the same host.
            params["attachments"] = json!([file]);
        }
        let quoted = out.to.reply_to.as_deref().and_then(|answers| answers.split_once(' '));
        if let Some((at, author)) = quoted.and_then(|(at, author)| Some((at.parse::<u64>().ok()?, author))) {
            params["quoteTimestamp"] = at.into();
            params["quoteAuthor"] = author.trim_start_matches("uuid:").into();
        }
        let sent = match self.call(&self.sends, "send", params.clone(), METHOD) {
            // A quotation is not worth a message.
            Err(ChannelError::Refused(_)) if quoted.is_some() => {
                let fields = params.as_object_mut();
                fields.into_iter().for_each(|fields| fields.retain(|name, _| !name.starts_with("quote")));
                self.call(&self.sends, "send", params, METHOD)?
            }
            sent => sent?,
        };
        Ok(Receipt { id: sent["timestamp"].as_u64().map(|at| at.to_string()).unwrap_or_default() })
    }

    fn probe(&self, within: Duration) -> Probe {
        let began = Instant::now();
        // Not over the connections in use.
        let asked = self.check(&Web::new(), within);
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let error = asked.err().map(|error| error.to_string());
        Probe { ok: error.is_none(), identity: self.number.clone(), error, elapsed_ms }
    }

    fn interrupt(&self) {
        self.events.end();
        self.asks.end();
        self.sends.end();
    }

    fn typing(&self, to: &Target) -> Result<(), ChannelError> {
        let params = self.to(&to.chat)?;
        self.call(&self.sends, "sendTyping", params, METHOD).map(drop)
    }

    fn mode(&self) -> &'static str {
        "events"
    }
}

impl Signal {
    /// Asks the daemon whether it is there and has our number.
    fn check(&self, web: &Web, within: Duration) -> Result<(), ChannelError> {
        match self.call(web, "listAccounts", json!({}), within) {
            Ok(known) => {
                let mut numbers = known.as_array().into_iter().flatten();
                if known.as_array().is_none_or(|all| all.is_empty()) || numbers.any(|one| one["number"] == *self.number)
                {
                    return Ok(());
                }
                let what = format!("the signal-cli daemon does not know {}", self.number);
                Err(ChannelError::Terminal(what, "register or link it (signal-cli link), or correct account".into()))
            }
            // A daemon for one number does not list them.
            Err(ChannelError::Refused(_)) => self.call(web, "version", json!({}), within).map(drop),
            Err(error) => Err(error),
        }
    }

    /// Calls a method of the daemon.
    fn call(&self, web: &Web, method: &str, params: Value, limit: Duration) -> Result<Value, ChannelError> {
        self.call_for(web, method, params, 0, limit)
    }

    fn call_for(
        &self,
        web: &Web,
        method: &str,
        mut params: Value,
        answer_max: usize,
        limit: Duration,
    ) -> Result<Value, ChannelError> {
        if method != "listAccounts" && method != "version" {
            params["account"] = self.number.as_str().into();
        }
        let body = json!({ "jsonrpc": "2.0", "id": "1", "method": method, "params": params }).to_string();
        let url = format!("{}/api/v1/rpc", self.root);
        let headers = [("content-type", "application/json")];
        let call = Call { method: "POST", url: &url, headers: &headers, body: body.as_bytes(), answer_max };
        let answer = web.call(&call, limit)?;
        let mut said: Value = misfit::read_bytes(&answer.body).unwrap_or_default();
        if answer.status / 100 == 2 && said.get("result").is_some() {
            return Ok(said["result"].take());
        }
        let words = said["error"]["message"].as_str().map_or_else(|| format!("HTTP {}", answer.status), str::to_owned);
        let words = format!("signal-cli's {method}: {}", cut(&words, 200));
        Err(match (said["error"]["code"].as_i64(), answer.status) {
            // What signal-cli calls an I/O error is Signal's servers; -5 is their limit.
            (Some(-3), _) | (None, 500..) => ChannelError::Lost(words),
            (Some(-5), _) | (None, 429) => ChannelError::Later(words, Duration::from_secs(60)),
            (None, 200..=299) => ChannelError::Lost(words),
            _ => ChannelError::Refused(words),
        })
    }

    /// Whom a message is for.
    fn to(&self, chat: &str) -> Result<Value, ChannelError> {
        if let Some(group) = chat.strip_prefix(GROUP) {
            return Ok(json!({ "groupId": group }));
        }
        let id = chat.strip_prefix("uuid:").unwrap_or(chat);
        let fits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.:".contains(&byte));
        if !fits {
            let words = "the target is no address of Signal: +15551234567, uuid:<id>, username:<name> or group:<id>";
            return Err(ChannelError::Refused(words.into()));
        }
        Ok(match id.strip_prefix("username:") {
            Some(name) => json!({ "username": [name] }),
            None => json!({ "recipient": [id] }),
        })
    }

    fn take(&self, inbound: &Inbound, stop: &Stop, envelope: &Value) -> Result<(), ChannelError> {
        let own = Own { number: &self.number, uuid: &self.uuid, quotes: self.quotes };
        let Some((mut message, files, at)) = event::read(envelope, &own) else { return Ok(()) };
        let direct = message.kind == ChatKind::Direct;
        let heard = (direct && files.is_empty() && !self.receipts) || inbound.would_take(&message);
        if !direct && !heard {
            return Ok(());
        }
        if heard && self.files {
            message.files = files.iter().map(|file| self.fetch(inbound, &message.chat, file)).collect();
        }
        let sender = message.chat.clone();
        let mut waits = AGAIN.iter();
        // The daemon does not tell it again: a disk that is full or slow for a while must not lose it.
        while let Err(error) = inbound.admit(vec![message.clone()], None) {
            match waits.next() {
                Some(wait) if !stop.wait(*wait) => log::error!("{}: {error}; once more", inbound.account().key),
                _ => return Err(ChannelError::Lost(error.to_string())),
            }
        }
        if heard && self.receipts && direct {
            let mut params = self.to(&sender)?;
            (params["targetTimestamp"], params["type"]) = (json!([at]), "read".into());
            if let Err(error) = self.call(&self.asks, "sendReceipt", params, METHOD) {
                log::debug!("{}: a receipt was not sent: {error}", inbound.account().key);
            }
        }
        Ok(())
    }

    fn fetch(&self, inbound: &Inbound, chat: &str, file: &Remote) -> IncomingFile {
        inbound.fetch(file, |max| {
            let mut params = self.to(chat)?;
            if let Some(one) = params["recipient"][0].as_str().map(str::to_owned) {
                params["recipient"] = one.into();
            }
            params["id"] = file.at.as_str().into();
            // It comes as base64 in JSON.
            let max = max.saturating_mul(4) / 3 + 1024;
            let got = self.call_for(&self.asks, "getAttachment", params, max, METHOD)?;
            let data = got["data"].as_str().or(got.as_str()).and_then(|data| STANDARD.decode(data).ok());
            data.ok_or_else(|| ChannelError::Lost("signal-cli gave no data".into()))
        })
    }
}
