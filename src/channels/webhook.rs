//! The messenger for everything else: signed HTTP in, signed HTTP out.
//!
//! In: `POST /channels/webhook/<account>` at the gateway's port with a JSON object and the header `X-OpenClaw-Signature:
//! t=<seconds>,v1=<hex>`, the HMAC-SHA-256 of `<seconds>.<body>` under `secret`. A signature older than five minutes is
//! refused, and an `id` is taken once. 202 means that the message is on disk. Out: the same signature, `POST` to `url`,
//! with `Idempotency-Key`; any 2xx is a receipt.
//!
//! Without a secret the account does not start: there is no open webhook.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::account::Account;
use super::gate::List;
use super::http::{Call, Web};
use super::inbound::Inbound;
use super::message::{ChannelError, ChatKind, Incoming, Outbound, Probe, Quoted, Receipt, Sender};
use super::supervisor::Stop;
use super::{Channel, ChannelSpec, Reply, Request, chunk};
use crate::sys::secret::Secret;
use crate::sys::{clock, random};
use crate::wire::misfit;
use crate::wire::object::objects;

pub static SPEC: ChannelSpec = ChannelSpec {
    id: "webhook",
    label: "Webhook",
    keys: &[
        ("direct", "Direct chats by id: systemPrompt, tools, toolsBySender."),
        ("secret", "The shared secret both sides sign with."),
        ("secretFile", "A file that holds the secret."),
        ("url", "Where answers are posted."),
    ],
    prefixes: &["webhook"],
    variables: &["OPENCLAW_WEBHOOK_SECRET"],
    by_variable: false,
    limit: 32_000,
    count: chunk::characters,
    thread_word: "thread",
    list: List::Groups,
    kind_of: |to| (ChatKind::Direct, to),
    drafts: false,
    streams: false,
    debounce_ms: 0,
    setup: &[("--secret", "secret", true), ("--url", "url", false)],
    configured: |section| section.contains_key("secret") || section.contains_key("secretFile"),
    open,
};

/// How long a signature is good.
const FRESH_S: u64 = 300;
/// How long the other side may take for one answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Shorter secrets can be guessed.
const SECRET_MIN: usize = 16;

struct Webhook {
    secret: Secret,
    url: Option<String>,
    web: Web,
}

objects! { lenient:
    /// What is posted to us.
    #[derive(Debug)]
    struct Said {
        /// The sender's own id of this message: the same message always has the same one.
        id: String,
        chat: String = default,
        kind: ChatKind = default,
        title: String = default,
        thread: Option<String>,
        sender: SaidBy,
        text: String,
        mentioned: bool = default,
        quoted: Option<String>,
    }

    #[derive(Debug)]
    struct SaidBy {
        id: String,
        name: String = default,
        bot: bool = default,
    }
}

/// What we post.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Saying<'a> {
    id: &'a str,
    chat: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a str>,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
}

fn open(account: &Account) -> Result<Box<dyn Channel>, ChannelError> {
    let secret = account
        .secret("secret", "secretFile")
        .or_else(|| account.default_variable("OPENCLAW_WEBHOOK_SECRET"))
        .filter(|secret| secret.expose().len() >= SECRET_MIN)
        .ok_or_else(|| {
            let what = format!("webhook account \"{}\" has no secret", account.key.account);
            ChannelError::Terminal(what, format!("set channels.webhook.secret ({SECRET_MIN} signs or more)"))
        })?;
    let url = account.text("url").map(str::to_owned);
    if let Some(url) = &url
        && !url.starts_with("http://")
        && !url.starts_with("https://")
    {
        return Err(ChannelError::Terminal("url is no HTTP address".into(), "correct channels.webhook.url".into()));
    }
    Ok(Box::new(Webhook { secret, url, web: Web::new() }))
}

impl Channel for Webhook {
    fn listen(&self, inbound: &Inbound, stop: &Stop) -> Result<(), ChannelError> {
        inbound.connected(self.url.as_deref().unwrap_or("inbound only"));
        // Nothing to keep open: the gateway's port listens for us.
        while !stop.wait(Duration::from_secs(3600)) {}
        Ok(())
    }

    fn deliver(&self, out: &Outbound) -> Result<Receipt, ChannelError> {
        let Some(url) = &self.url else {
            return Err(ChannelError::Refused("channels.webhook.url is not set: answers go nowhere".into()));
        };
        let saying = Saying {
            id: &out.key,
            chat: &out.to.chat,
            thread: out.to.thread.as_deref(),
            reply_to: out.to.reply_to.as_deref(),
            text: &out.text,
            file: out.file.as_deref(),
        };
        let body = serde_json::to_vec(&saying).expect("texts are always JSON");
        let signature = self.sign(clock::now_ms() / 1000, &body);
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", out.key.as_str()),
            ("x-openclaw-signature", signature.as_str()),
        ];
        let call = Call { method: "POST", url, headers: &headers, body: &body, answer_max: 64 << 10 };
        let answer = self.web.call(&call, PATIENCE)?;
        let what = || format!("the webhook answered {}", answer.status);
        match answer.status {
            200..=299 => Ok(Receipt { id: out.key.clone() }),
            429 | 503 => Err(ChannelError::Later(what(), answer.retry_after.unwrap_or(Duration::from_secs(5)))),
            408 | 425 | 500..=599 => Err(ChannelError::Lost(what())),
            _ => Err(ChannelError::Refused(what())),
        }
    }

    fn probe(&self, within: Duration) -> Probe {
        let Some(url) = &self.url else {
            return Probe { ok: true, identity: "inbound only".into(), ..Probe::default() };
        };
        let began = Instant::now();
        let asked = Web::new().call(&Call { method: "HEAD", url, ..Call::default() }, within);
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Whatever it answers to HEAD, it is there.
        let error = asked.err().map(|error| error.to_string());
        Probe { ok: error.is_none(), identity: url.clone(), error, elapsed_ms }
    }

    fn interrupt(&self) {
        self.web.end();
    }

    fn receive(&self, request: &Request<'_>, inbound: &Inbound) -> Option<Reply> {
        let signature = (request.header)("x-openclaw-signature").unwrap_or_default();
        if !self.signed(&signature, request.body, clock::now_ms() / 1000) {
            return Some(answer(401, "the signature is missing, wrong or too old"));
        }
        let Ok(said) = misfit::read_bytes::<Said>(request.body) else {
            return Some(answer(400, "the body is no message: id, sender.id and text are needed"));
        };
        if said.id.is_empty() || said.id.len() > 256 || said.sender.id.is_empty() || said.sender.id.len() > 256 {
            return Some(answer(400, "id and sender.id have 1 to 256 bytes"));
        }
        let chat = if said.chat.is_empty() { said.sender.id.clone() } else { said.chat };
        let message = Incoming {
            kind: said.kind,
            chat,
            title: said.title,
            thread: said.thread,
            id: said.id,
            sender: Sender { id: said.sender.id, name: said.sender.name, bot: said.sender.bot, ..Sender::default() },
            mentioned: said.mentioned || said.kind == ChatKind::Direct,
            text: said.text,
            quoted: said.quoted.map(|text| Quoted { sender: "somebody".into(), text }),
            ..Incoming::default()
        };
        match inbound.admit(vec![message], None) {
            Ok(()) => Some(Reply { status: 202, body: "{\"ok\":true}".into() }),
            Err(error) => {
                log::error!("{}: {error}", inbound.account().key);
                Some(answer(503, "the message could not be stored; send it again"))
            }
        }
    }

    fn mode(&self) -> &'static str {
        "webhook"
    }
}

impl Webhook {
    fn sign(&self, seconds: u64, body: &[u8]) -> String {
        let tag = ring::hmac::sign(&self.key(), &signed_text(seconds, body));
        format!("t={seconds},v1={}", random::to_hex(tag.as_ref()))
    }

    fn signed(&self, header: &str, body: &[u8], now_s: u64) -> bool {
        let part = |name: &str| header.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let (Some(seconds), Some(hex)) = (part("t").and_then(|t| t.parse::<u64>().ok()), part("v1")) else {
            return false;
        };
        let tag = random::from_hex(hex);
        let fresh = now_s.abs_diff(seconds) <= FRESH_S;
        // The comparison takes the same time wherever the difference is.
        fresh && tag.is_some_and(|tag| ring::hmac::verify(&self.key(), &signed_text(seconds, body), &tag).is_ok())
    }

    fn key(&self) -> ring::hmac::Key {
        ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.secret.expose().as_bytes())
    }
}

fn signed_text(seconds: u64, body: &[u8]) -> Vec<u8> {
    let mut text = format!("{seconds}.").into_bytes();
    text.extend_from_slice(body);
    text
}

fn answer(status: u16, why: &str) -> Reply {
    Reply { status, body: format!("{{\"ok\":false,\"error\":\"{why}\"}}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_its_body_and_its_time() {
        let hook = Webhook { secret: Secret::new("0123456789abcdef"), url: None, web: Web::new() };
        let header = hook.sign(1000, b"body");
        assert!(hook.signed(&header, b"body", 1000) && hook.signed(&header, b"body", 1000 + FRESH_S));
        assert!(!hook.signed(&header, b"other", 1000));
        assert!(!hook.signed(&header, b"body", 1001 + FRESH_S));
        for bad in ["", "t=1000", "v1=00", "t=1000,v1=zz", "t=1000,v1=", "t=x,v1=00", "t=1000,v1=é"] {
            assert!(!hook.signed(bad, b"body", 1000), "{bad}");
        }
    }
}
