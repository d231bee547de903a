//! How events come: over a socket that Slack gives us, or by calls at the gateway's port.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::inbound::Inbound;
use super::super::message::{ChannelError, ChatKind, Incoming};
use super::super::reached::Reached;
use super::super::supervisor::Stop;
use super::super::websocket::{Heard, Pulse, Socket};
use super::super::{Reply, Request};
use super::api::METHOD;
use super::event::{self, Done, Own};
use super::{By, NAMES, Slack, shown};
use crate::sys::clock;
use crate::sys::secret::Secret;
use crate::wire::misfit;
use crate::wire::tree::json;

/// Connecting, and the word of welcome.
const CONNECT: Duration = Duration::from_secs(20);
/// One event.
const EVENT_MAX: usize = 4 << 20;
/// Connections in a row that did not last; after that the supervisor's waits apply.
const FRUITLESS: u32 = 3;
/// A connection that lasted so long was one.
const LASTED: Duration = Duration::from_secs(30);
/// What is older when we come back is not answered any more.
const CATCH_UP_S: u64 = 24 * 3600;
/// Called by Slack, we ask from time to time whether the app is still installed.
const LOOK: Duration = Duration::from_secs(300);
/// How long a signature is good.
const FRESH_S: u64 = 300;

/// Why a connection is over.
enum End {
    Stopped,
    Again,
}

impl Slack {
    /// Listens, until told to stop or something fails.
    pub(super) fn run(&self, inbound: &Inbound, stop: &Stop) -> Result<(), ChannelError> {
        let me = self.api.call(&self.asks, "auth.test", &json!({}), METHOD)?;
        let text = |name: &str| me[name].as_str().unwrap_or_default().to_owned();
        let kept = inbound.mark().and_then(|mark| {
            let (owner, reached) = mark.split_once(' ')?;
            (owner == text("user_id")).then(|| misfit::read::<Reached>(reached).ok())?
        });
        {
            let mut known = self.known();
            (known.user, known.bot, known.team) = (text("user_id"), text("bot_id"), text("team_id"));
            if known.reached.is_none() {
                known.reached = Some(kept.unwrap_or_default());
            }
        }
        match &self.by {
            By::Http(_) => {
                inbound.connected(&shown(&me));
                self.catch_up(inbound)?;
                while !stop.wait(LOOK) {
                    self.api.call(&self.asks, "auth.test", &json!({}), METHOD)?;
                    inbound.alive();
                }
                Ok(())
            }
            By::Socket(token) => {
                let mut fruitless = 0;
                let mut first = true;
                loop {
                    let began = Instant::now();
                    if let End::Stopped = self.connection(inbound, stop, token, &shown(&me), first)? {
                        return Ok(());
                    }
                    first = false;
                    fruitless = if began.elapsed() > LASTED { 0 } else { fruitless + 1 };
                    if fruitless >= FRUITLESS {
                        return Err(ChannelError::Lost("Slack ends every connection at once".into()));
                    }
                }
            }
        }
    }

    /// One connection, from its address to its end.
    fn connection(
        &self,
        inbound: &Inbound,
        stop: &Stop,
        token: &Secret,
        name: &str,
        first: bool,
    ) -> Result<End, ChannelError> {
        if stop.fired() {
            return Ok(End::Stopped);
        }
        let given = self.api.call_as(&self.asks, token, "apps.connections.open", &json!({}), METHOD)?;
        let url = given["url"].as_str().unwrap_or_default();
        if self.api.root.starts_with("https://") && !url.starts_with("wss://") {
            return Err(ChannelError::Lost("Slack names a socket without TLS".into()));
        }
        let mut socket = Socket::open(&self.holder, url, &[], EVENT_MAX, CONNECT)?;
        let (hello_by, mut welcomed) = (Instant::now() + CONNECT, false);
        let mut pulse = Pulse::default();
        loop {
            if stop.fired() {
                return Ok(End::Stopped);
            }
            let text = match socket.hear(&mut pulse, (!welcomed).then_some(hello_by), &|| inbound.alive()) {
                Ok(Heard::Text(text)) => text,
                Ok(Heard::Closed(..)) => return Ok(End::Again),
                Ok(_) => return Err(ChannelError::Lost("Slack said no hello in time".into())),
                Err(_) if stop.fired() => return Ok(End::Stopped),
                Err(error) => return Err(error),
            };
            let Ok(envelope) = misfit::read::<Value>(&text) else { continue };
            match envelope["type"].as_str().unwrap_or_default() {
                "hello" => {
                    welcomed = true;
                    inbound.connected(name);
                    if first {
                        self.catch_up(inbound)?;
                    }
                }
                "disconnect" if envelope["reason"] == "link_disabled" => {
                    let what = "Socket Mode is switched off for this app".to_owned();
                    return Err(ChannelError::Terminal(
                        what,
                        "switch it on at api.slack.com, or set mode: http".into(),
                    ));
                }
                // Slack asks for another connection every few hours.
                "disconnect" => return Ok(End::Again),
                kind => {
                    self.handle(inbound, kind, &envelope["payload"])?;
                    if let Some(id) = envelope["envelope_id"].as_str() {
                        // Only now: it is on disk.
                        socket.say(json!({ "envelope_id": id }).to_string())?;
                    }
                }
            }
        }
    }

    /// One event, whichever way it came. On an error it must not be acknowledged.
    fn handle(&self, inbound: &Inbound, kind: &str, payload: &Value) -> Result<(), ChannelError> {
        let name = |id: &str| self.name("users.info", "user", id);
        match kind {
            "events_api" => {
                let team = payload["team_id"].as_str().unwrap_or_default();
                self.take(inbound, &payload["event"], team)
            }
            "slash_commands" => event::command(payload, &name).map_or(Ok(()), |done| self.done(inbound, done)),
            "interactive" => event::pressed(payload, &name).map_or(Ok(()), |done| self.done(inbound, done)),
            _ => Ok(()),
        }
    }

    fn take(&self, inbound: &Inbound, event: &Value, team: &str) -> Result<(), ChannelError> {
        let (user, bot) = {
            let known = self.known();
            (known.user.clone(), known.bot.clone())
        };
        let own = Own {
            user: &user,
            bot: &bot,
            threads: self.threads,
            took_part: &|chat, thread| self.known().took_part.has(chat, thread),
            name: &|id| self.name("users.info", "user", id),
        };
        let Some((mut message, files)) = event::read(event, team, &own) else { return Ok(()) };
        // What is said in a channel is mostly not for us, and costs no write then.
        let direct = message.kind == ChatKind::Direct;
        let heard = (direct && files.is_empty()) || inbound.would_take(&message);
        if !direct && !heard {
            return Ok(());
        }
        if !direct {
            message.title = format!("#{}", self.name("conversations.info", "channel", &message.chat));
        }
        if heard {
            message.files = files.iter().map(|file| self.fetch(inbound, file)).collect();
        }
        self.admit(inbound, message)
    }

    fn done(&self, inbound: &Inbound, done: Done) -> Result<(), ChannelError> {
        if inbound.would_take(&done.message) {
            return self.admit(inbound, done.message);
        }
        if let Err(error) = self.respond(&done.response_url, "You are not authorized to do that.", true) {
            log::debug!("{}: a refusal was not told: {error}", inbound.account().key);
        }
        Ok(())
    }

    fn admit(&self, inbound: &Inbound, message: Incoming) -> Result<(), ChannelError> {
        let (user, mut reached) = {
            let known = self.known();
            (known.user.clone(), known.reached.clone().unwrap_or_default())
        };
        // A command is no message of the conversation.
        if message.id.starts_with(|first: char| first.is_ascii_digit()) {
            reached.note(&message.chat, &message.id);
        }
        let mark = format!("{user} {}", serde_json::to_string(&reached).unwrap_or_default());
        inbound.admit(vec![message], Some(mark)).map_err(|error| ChannelError::Lost(error.to_string()))?;
        // Nothing counts as read before it is safe.
        self.known().reached = Some(reached);
        Ok(())
    }

    /// What somebody or something is called; asked for once. Without the right to ask it is the id.
    fn name(&self, method: &str, what: &str, id: &str) -> String {
        if let Some(name) = self.known().names.get(id) {
            return name.clone();
        }
        let said = self.api.ask(&self.asks, method, &[(what, id)]);
        let found = said.as_ref().ok().and_then(|said| {
            let about = &said[what];
            let names = [&about["profile"]["display_name"], &about["real_name"], &about["name"]];
            names.iter().find_map(|name| name.as_str().filter(|name| !name.is_empty()))
        });
        let name = found.unwrap_or(id).to_owned();
        if !matches!(said, Err(ChannelError::Lost(_) | ChannelError::Unreached(_) | ChannelError::Later(..))) {
            let mut known = self.known();
            if known.names.len() >= NAMES {
                known.names.clear();
            }
            known.names.insert(id.to_owned(), name.clone());
        }
        name
    }

    /// Reads what came while nobody listened.
    fn catch_up(&self, inbound: &Inbound) -> Result<(), ChannelError> {
        let least = (clock::now_ms() / 1000).saturating_sub(CATCH_UP_S);
        let (reached, team) = {
            let known = self.known();
            (known.reached.as_ref().map(Reached::list).unwrap_or_default(), known.team.clone())
        };
        for (chat, last) in reached {
            let seconds = |ts: &str| ts.split('.').next().and_then(|s| s.parse::<u64>().ok()).unwrap_or(0);
            let oldest = if seconds(&last) < least { format!("{least}.0") } else { last };
            let params = [("channel", chat.as_str()), ("oldest", oldest.as_str()), ("limit", "100")];
            let said = match self.api.ask(&self.asks, "conversations.history", &params) {
                Ok(said) => said,
                // The channel is gone, or may not be read; a limit is no reason not to listen.
                Err(ChannelError::Refused(why) | ChannelError::Later(why, _)) => {
                    log::debug!("{}: {chat} was not read up: {why}", inbound.account().key);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut missed: Vec<&Value> = said["messages"].as_array().into_iter().flatten().collect();
            missed.reverse();
            for event in missed {
                let mut event = event.clone();
                event["channel"] = chat.as_str().into();
                self.take(inbound, &event, &team)?;
            }
        }
        Ok(())
    }

    /// A call at the gateway's port.
    pub(super) fn called(&self, request: &Request<'_>, inbound: &Inbound) -> Option<Reply> {
        let By::Http(secret) = &self.by else { return None };
        let reply = |status, body: &str| Some(Reply { status, body: body.to_owned() });
        let header = |name: &str| (request.header)(name).unwrap_or_default();
        let (at, signature) = (header("x-slack-request-timestamp"), header("x-slack-signature"));
        if !signed(secret, &at, &signature, request.body, clock::now_ms() / 1000) {
            return reply(401, "the signature is missing, wrong or too old");
        }
        let (kind, payload) = match read(request.body) {
            Some(read) => read,
            None => return reply(400, "the body is none of Slack's"),
        };
        if payload["type"] == "url_verification" {
            return reply(200, payload["challenge"].as_str().unwrap_or_default());
        }
        match self.handle(inbound, kind, &payload) {
            Ok(()) => reply(200, ""),
            Err(error) => {
                log::error!("{}: {error}", inbound.account().key);
                reply(503, "the event could not be stored; send it again")
            }
        }
    }
}

/// Whether Slack signed a body, and not long ago. The comparison takes the same time wherever the difference is.
fn signed(secret: &Secret, at: &str, signature: &str, body: &[u8], now_s: u64) -> bool {
    let fresh = at.parse::<u64>().is_ok_and(|at| now_s.abs_diff(at) <= FRESH_S);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.expose().as_bytes());
    let mut text = format!("v0:{at}:").into_bytes();
    text.extend_from_slice(body);
    let tag = signature.strip_prefix("v0=").and_then(crate::sys::random::from_hex);
    fresh && tag.is_some_and(|tag| ring::hmac::verify(&key, &text, &tag).is_ok())
}

/// What a body is: an event as JSON, a button as JSON in a form, a slash command as a form.
fn read(body: &[u8]) -> Option<(&'static str, Value)> {
    if body.first() == Some(&b'{') {
        return misfit::read_bytes(body).ok().map(|payload| ("events_api", payload));
    }
    let mut fields = serde_json::Map::new();
    for pair in std::str::from_utf8(body).ok()?.split('&') {
        let (name, value) = pair.split_once('=')?;
        fields.insert(decoded(name)?, decoded(value)?.into());
    }
    match fields.get("payload").and_then(Value::as_str) {
        Some(payload) => misfit::read(payload).ok().map(|payload| ("interactive", payload)),
        None => fields.contains_key("command").then(|| ("slash_commands", Value::Object(fields))),
    }
}

/// A part of a form as it was written.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let pair = [rest.next()?, rest.next()?];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::super::super::http::part;
    use super::*;

    #[test]
    fn a_signature_is_good_for_its_body_and_its_time() {
        // The example of Slack's own page, "Verifying requests from Slack".
        let secret = Secret::new("8f742231b10e8888abcd99yyyzzz85a5");
        let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F\
hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803\
a0bc887a14d10d2c447fce8b6703c";
        let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
        let good = |at: &str, signature: &str, body: &[u8], now| signed(&secret, at, signature, body, now);
        assert!(good("1531420618", signature, body, 1_531_420_618 + FRESH_S));
        assert!(!good("1531420618", signature, body, 1_531_420_619 + FRESH_S), "too old");
        assert!(!good("1531420618", signature, b"token=other", 1_531_420_618));
        for bad in ["", "v0=", "v0=zz", "a2114d"] {
            assert!(!good("1531420618", bad, body, 1_531_420_618), "{bad}");
        }
        let (kind, fields) = read(body).expect("a slash command");
        assert_eq!((kind, &fields["command"]), ("slash_commands", &json!("/webhook-collect")));
        assert_eq!(part("/webhook-collect"), "%2Fwebhook-collect");
    }

    #[test]
    fn a_body_is_an_event_a_button_or_nothing() {
        assert!(matches!(read(br#"{"type":"event_callback"}"#), Some(("events_api", _))));
        let button = format!("payload={}", part(r#"{"type":"block_actions"}"#));
        assert!(
            matches!(read(button.as_bytes()), Some(("interactive", payload)) if payload["type"] == "block_actions")
        );
        for bad in [&b"x"[..], b"a=1&b=%zz", b"a=b", b"{", b"\xff=1"] {
            assert!(read(bad).is_none());
        }
    }
}
