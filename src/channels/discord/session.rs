//! The gateway connection: hello, identify or resume, heartbeats, events.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::inbound::Inbound;
use super::super::message::{ChannelError, ChatKind, Incoming};
use super::super::reached::Reached;
use super::super::supervisor::Stop;
use super::super::websocket::{Heard, Socket, UNREAD};
use super::api::{METHOD, ROOT};
use super::event::{self, Place};
use super::{Discord, EPHEMERAL, PLACES};
use crate::sys::{clock, random};
use crate::wire::command::COMMANDS;
use crate::wire::misfit;
use crate::wire::object::objects;
use crate::wire::tree::json;

/// Where the gateway is when nobody can be asked.
const GATEWAY: &str = "wss://gateway.discord.gg";
/// Connecting, and the word of welcome.
const CONNECT: Duration = Duration::from_secs(20);
/// From our introduction to READY or RESUMED.
const READY: Duration = Duration::from_secs(30);
/// One event: a large server describes itself in one.
const EVENT_MAX: usize = 16 << 20;
/// GUILDS, GUILD_MESSAGES, DIRECT_MESSAGES, MESSAGE_CONTENT (Reference, "Gateway Intents").
const INTENTS: u64 = 1 | 1 << 9 | 1 << 12 | 1 << 15;
/// Connections in a row that did not last; after that the supervisor's waits apply.
const FRUITLESS: u32 = 3;
/// What is older when we come back is not answered any more.
const CATCH_UP: Duration = Duration::from_secs(24 * 3600);
/// Milliseconds from 1970 to the first id (Reference, "Snowflakes").
const EPOCH_MS: u64 = 1_420_070_400_000;

objects! { lenient:
    /// How far we have read.
    #[derive(Debug, Clone, Default, Serialize)]
    pub struct Mark {
        /// Whose position it is: our user's id.
        pub bot: String = default,
        /// The gateway's session; empty: none that could be resumed.
        pub session: String = default,
        pub seq: u64 = default,
        /// Where the session is resumed.
        pub url: String = default,
        /// What the command menu was when we set it last.
        pub menu: String = default,
        pub reached: Reached = default,
    }

    /// One payload of the gateway.
    struct Frame {
        op: u8,
        s: Option<u64>,
        t: Option<String>,
        d: Option<Box<RawValue>>,
    }
}

/// Why a connection is over.
enum End {
    Stopped,
    /// The session goes on over another connection.
    Resume,
    /// There is no session any more.
    Anew,
}

/// One connection at work.
struct Line {
    socket: Socket,
    interval: Duration,
    beat_at: Instant,
    answered: bool,
}

impl Line {
    /// Sends a heartbeat when it is time. False: the last one was not answered.
    fn beat(&mut self, seq: u64) -> Result<bool, ChannelError> {
        if Instant::now() < self.beat_at {
            return Ok(true);
        }
        if !self.answered {
            return Ok(false);
        }
        self.answered = false;
        self.beat_at = Instant::now() + self.interval;
        self.say(1, if seq == 0 { Value::Null } else { seq.into() })?;
        Ok(true)
    }

    fn say(&mut self, op: u8, d: Value) -> Result<(), ChannelError> {
        self.socket.say(json!({ "op": op, "d": d }).to_string())
    }
}

impl Discord {
    /// Connects and stays connected, until told to stop or something fails.
    pub(super) fn run(&self, inbound: &Inbound, stop: &Stop) -> Result<(), ChannelError> {
        let me = self.api.call(&self.asks, "GET", "users/@me", None, METHOD)?;
        let id = me["id"].as_str().ok_or_else(|| ChannelError::Lost("Discord does not say who we are".into()))?;
        let name = format!("@{}", me["username"].as_str().unwrap_or_default());
        let kept = self.known().mark.take();
        let kept = kept.or_else(|| inbound.mark().and_then(|text| misfit::read::<Mark>(&text).ok()));
        let mut mark = kept.filter(|mark| mark.bot == id).unwrap_or_else(|| Mark { bot: id.into(), ..Mark::default() });
        id.clone_into(&mut self.known().me);
        let mut fruitless = 0;
        loop {
            let began = Instant::now();
            let ended = self.connection(inbound, stop, &mut mark, &name);
            self.known().mark = Some(mark.clone());
            match ended? {
                End::Stopped => return Ok(()),
                End::Resume => {}
                End::Anew => {
                    mark.session.clear();
                    // Discord asks for a wait of one to five seconds.
                    if stop.wait(Duration::from_millis(1000 + u64::from(random::bytes::<1>()[0]) * 15)) {
                        return Ok(());
                    }
                }
            }
            fruitless = if began.elapsed() > READY { 0 } else { fruitless + 1 };
            if fruitless >= FRUITLESS {
                return Err(ChannelError::Lost("Discord ends every connection at once".into()));
            }
        }
    }

    /// Where to connect.
    fn gateway(&self) -> Result<String, ChannelError> {
        match self.api.call(&self.asks, "GET", "gateway/bot", None, METHOD) {
            Ok(said) => {
                let limit = &said["session_start_limit"];
                if limit["remaining"] == 0 {
                    let wait = Duration::from_millis(limit["reset_after"].as_u64().unwrap_or(60_000));
                    return Err(ChannelError::Later("Discord lets this bot begin no more sessions today".into(), wait));
                }
                Ok(said["url"].as_str().unwrap_or(GATEWAY).to_owned())
            }
            Err(ChannelError::Lost(_) | ChannelError::Unreached(_)) if self.api.root == ROOT => Ok(GATEWAY.into()),
            Err(error) => Err(error),
        }
    }

    /// One connection, from its hello to its end.
    fn connection(&self, inbound: &Inbound, stop: &Stop, mark: &mut Mark, name: &str) -> Result<End, ChannelError> {
        if stop.fired() {
            return Ok(End::Stopped);
        }
        let resumes = !mark.session.is_empty();
        let url = if resumes && !mark.url.is_empty() { mark.url.clone() } else { self.gateway()? };
        if self.api.root.starts_with("https://") && !url.starts_with("wss://") {
            return Err(ChannelError::Lost("Discord names a gateway without TLS; the token is not shown to it".into()));
        }
        let url = format!("{}/?v=10&encoding=json", url.trim_end_matches('/'));
        let opened = Socket::open(&self.holder, &url, &[], EVENT_MAX, CONNECT);
        let mut socket = opened.inspect_err(|_| {
            // A session can be resumed at the common address, too.
            mark.url.clear();
        })?;
        let hello_by = Instant::now() + CONNECT;
        let interval = match socket.next(hello_by)? {
            Heard::Text(text) => match frame(&text)? {
                Frame { op: 10, d: Some(d), .. } => value(&d)["heartbeat_interval"].as_u64(),
                _ => None,
            },
            Heard::Closed(code, words) => return self.closed(code, &words),
            _ => None,
        };
        let interval = interval.filter(|ms| (1..=600_000).contains(ms));
        let interval = interval.ok_or_else(|| ChannelError::Lost("Discord said no hello in time".into()))?;
        let interval = Duration::from_millis(interval);
        // The first one comes at a moment of chance, so that not all bots beat together.
        let first = interval * u32::from(random::bytes::<1>()[0]) / 256;
        let mut line = Line { socket, interval, beat_at: Instant::now() + first, answered: true };
        let token = self.api.token.expose();
        if resumes {
            line.say(6, json!({ "token": token, "session_id": mark.session, "seq": mark.seq }))?;
        } else {
            let about = json!({ "os": std::env::consts::OS, "browser": "openclaw", "device": "openclaw" });
            mark.seq = 0;
            line.say(2, json!({ "token": token, "intents": INTENTS, "properties": about, "large_threshold": 50 }))?;
        }
        let (ready_by, mut ready) = (Instant::now() + READY, false);
        loop {
            if stop.fired() {
                return Ok(End::Stopped);
            }
            // We may have been busy: the answer may lie unread.
            let late = !line.beat(mark.seq)?;
            if !ready && Instant::now() >= ready_by {
                return Err(ChannelError::Lost("Discord did not say READY in time".into()));
            }
            let until = match late {
                true => Instant::now() + UNREAD,
                false if ready => line.beat_at,
                false => line.beat_at.min(ready_by),
            };
            let text = match line.socket.next(until) {
                Ok(Heard::Text(text)) => text,
                Ok(Heard::Nothing) if late => {
                    log::warn!("{}: a heartbeat was not answered; the session is resumed", inbound.account().key);
                    return Ok(End::Resume);
                }
                Ok(Heard::Nothing | Heard::Pong) => continue,
                Ok(Heard::Closed(code, words)) => return self.closed(code, &words),
                Err(error) if !ready || stop.fired() => {
                    return if stop.fired() { Ok(End::Stopped) } else { Err(error) };
                }
                Err(error) => {
                    log::info!("{}: {error}; the session is resumed", inbound.account().key);
                    return Ok(End::Resume);
                }
            };
            let frame = frame(&text)?;
            match frame.op {
                0 => {
                    let data = frame.d.as_deref();
                    ready |= self.dispatch(inbound, mark, name, frame.t.as_deref(), data, frame.s.unwrap_or(0))?;
                }
                1 => line.say(1, mark.seq.into())?,
                7 => return Ok(End::Resume),
                9 if frame.d.is_some_and(|d| d.get() == "true") => return Ok(End::Resume),
                9 => return Ok(End::Anew),
                11 => {
                    line.answered = true;
                    inbound.alive();
                }
                _ => {}
            }
        }
    }

    /// What a goodbye means (Reference, "Gateway Close Event Codes").
    fn closed(&self, code: u16, words: &str) -> Result<End, ChannelError> {
        let terminal = |remedy: &str| {
            let what = format!("Discord closed the connection for good: {} ({code})", words.escape_debug());
            Err(ChannelError::Terminal(what, remedy.into()))
        };
        match code {
            4004 => terminal("reset the bot's token in the Developer Portal and set channels.discord.token"),
            4014 => terminal("switch on Message Content Intent in the Developer Portal, page Bot"),
            4010..=4013 => terminal("this gateway is too old, or the bot is in too many servers for one connection"),
            4007 | 4009 => Ok(End::Anew),
            _ => Ok(End::Resume),
        }
    }

    /// One event. True: the connection is ready.
    fn dispatch(
        &self,
        inbound: &Inbound,
        mark: &mut Mark,
        name: &str,
        kind: Option<&str>,
        data: Option<&RawValue>,
        seq: u64,
    ) -> Result<bool, ChannelError> {
        // Most of them are about something else, and a server's description is large.
        let wanted = ["READY", "RESUMED", "MESSAGE_CREATE", "INTERACTION_CREATE"];
        let changed = ["CHANNEL_UPDATE", "CHANNEL_DELETE", "THREAD_UPDATE", "THREAD_DELETE"];
        let kind = kind.filter(|kind| wanted.contains(kind) || changed.contains(kind));
        let (Some(kind), Some(data)) = (kind, data) else {
            mark.seq = mark.seq.max(seq);
            return Ok(false);
        };
        let data = value(data);
        // What fails is told again: nothing counts as read before it is safe.
        let before = mark.clone();
        let heard = self.heard(inbound, mark, name, kind, &data, seq);
        if heard.is_err() {
            *mark = before;
        }
        heard
    }

    /// One event that is about us.
    fn heard(
        &self,
        inbound: &Inbound,
        mark: &mut Mark,
        name: &str,
        kind: &str,
        data: &Value,
        seq: u64,
    ) -> Result<bool, ChannelError> {
        match kind {
            "READY" => {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                (mark.session, mark.url) = (text(&data["session_id"]), text(&data["resume_gateway_url"]));
                mark.seq = seq;
                self.known().application = text(&data["application"]["id"]);
                inbound.connected(name);
                self.catch_up(inbound, mark)?;
                self.offer_commands(mark);
                self.admit(inbound, Vec::new(), mark)?;
            }
            "RESUMED" => {
                mark.seq = mark.seq.max(seq);
                if self.known().application.is_empty() {
                    let own = self.api.call(&self.asks, "GET", "applications/@me", None, METHOD)?;
                    self.known().application = own["id"].as_str().unwrap_or_default().to_owned();
                }
                inbound.connected(name);
            }
            "MESSAGE_CREATE" => {
                mark.seq = mark.seq.max(seq);
                self.message(inbound, mark, data)?;
            }
            "INTERACTION_CREATE" => {
                mark.seq = mark.seq.max(seq);
                self.pressed(inbound, mark, data)?;
            }
            _ => {
                mark.seq = mark.seq.max(seq);
                self.known().places.remove(data["id"].as_str().unwrap_or_default());
            }
        }
        Ok(matches!(kind, "READY" | "RESUMED"))
    }

    fn message(&self, inbound: &Inbound, mark: &mut Mark, event: &Value) -> Result<(), ChannelError> {
        let place = match event["guild_id"].is_string() {
            // Not knowing the channel only makes the rules stricter.
            true => self.place(inbound, event["channel_id"].as_str().unwrap_or_default()).unwrap_or_default(),
            false => Place::default(),
        };
        self.take(inbound, mark, event, &place)
    }

    fn take(&self, inbound: &Inbound, mark: &mut Mark, event: &Value, place: &Place) -> Result<(), ChannelError> {
        let me = self.known().me.clone();
        let Some((mut message, files)) = event::read(event, place, &me) else { return Ok(()) };
        // What is said in a server is mostly not for us, and costs no write then.
        let heard = (message.kind == ChatKind::Direct && files.is_empty()) || inbound.would_take(&message);
        if message.kind != ChatKind::Direct && !heard {
            return Ok(());
        }
        if heard {
            message.files = files.iter().map(|file| self.fetch(inbound, file)).collect();
        }
        mark.reached.note(&message.chat, &message.id);
        self.admit(inbound, vec![message], mark)
    }

    fn pressed(&self, inbound: &Inbound, mark: &mut Mark, event: &Value) -> Result<(), ChannelError> {
        let Some(pressed) = event::pressed(event) else { return Ok(()) };
        let answer = if inbound.would_take(&pressed.message) {
            self.admit(inbound, vec![pressed.message], mark)?;
            match pressed.command {
                // "Thinking", until the answer comes.
                true => json!({ "type": 5, "data": { "flags": if self.ephemeral { EPHEMERAL } else { 0 } } }),
                // The buttons have done their work.
                false => json!({ "type": 7, "data": { "components": [] } }),
            }
        } else {
            json!({ "type": 4, "data": { "content": "You are not authorized to do that.", "flags": EPHEMERAL } })
        };
        let path = format!("interactions/{}/{}/callback", pressed.id, pressed.token);
        if let Err(error) = self.api.call(&self.asks, "POST", &path, Some(&answer), METHOD) {
            log::debug!("{}: an interaction was not acknowledged: {error}", inbound.account().key);
        }
        Ok(())
    }

    fn admit(&self, inbound: &Inbound, messages: Vec<Incoming>, mark: &Mark) -> Result<(), ChannelError> {
        let text = serde_json::to_string(mark).unwrap_or_default();
        inbound.admit(messages, Some(text)).map_err(|error| ChannelError::Lost(error.to_string()))
    }

    /// What is known of a channel; asked for once.
    fn place(&self, inbound: &Inbound, id: &str) -> Option<Place> {
        if let Some(place) = self.known().places.get(id) {
            return Some(place.clone());
        }
        match self.api.call(&self.asks, "GET", &format!("channels/{id}"), None, METHOD) {
            Ok(channel) => {
                let place = Place::read(&channel);
                let mut known = self.known();
                if known.places.len() >= PLACES {
                    known.places.clear();
                }
                known.places.insert(id.to_owned(), place.clone());
                Some(place)
            }
            Err(error) => {
                log::debug!("{}: nothing is known of the channel {id}: {error}", inbound.account().key);
                None
            }
        }
    }

    /// Reads what came while no session could be resumed.
    fn catch_up(&self, inbound: &Inbound, mark: &mut Mark) -> Result<(), ChannelError> {
        let least = clock::now_ms().saturating_sub(u64::try_from(CATCH_UP.as_millis()).unwrap_or(u64::MAX));
        for (chat, last) in mark.reached.list() {
            let path = format!("channels/{chat}/messages?after={last}&limit=100");
            let said = match self.api.call(&self.asks, "GET", &path, None, METHOD) {
                Ok(said) => said,
                // The channel is gone, or closed to us.
                Err(ChannelError::Refused(_)) => continue,
                Err(error) => return Err(error),
            };
            let mut missed: Vec<&Value> = said.as_array().into_iter().flatten().collect();
            missed.reverse();
            // Without it a server's channel would pass for a direct chat.
            let Some(place) = self.place(inbound, &chat) else { continue };
            for event in missed {
                if event["id"].as_str().is_some_and(|id| made_ms(id) >= least) {
                    self.take(inbound, mark, event, &place)?;
                }
            }
        }
        Ok(())
    }

    /// Offers our commands as slash commands, when they have changed. Only a convenience: a failure is no reason not to
    /// listen.
    fn offer_commands(&self, mark: &mut Mark) {
        if !self.menu {
            return;
        }
        let option = |(name, about, words): (&str, &str, &[&str])| {
            let choices: Vec<Value> = words.iter().map(|word| json!({ "name": word, "value": word })).collect();
            json!({ "type": 3, "name": name, "description": about, "choices": choices })
        };
        let row = |row: &crate::wire::command::CommandSpec| {
            let options: Vec<Value> = row.argument.map(option).into_iter().collect();
            json!({ "type": 1, "name": row.name, "description": row.doc, "options": options })
        };
        let menu: Value = COMMANDS.iter().map(row).collect();
        let made = super::nonce(&menu.to_string());
        if mark.menu == made {
            return;
        }
        let path = format!("applications/{}/commands", self.known().application);
        match self.api.call(&self.asks, "PUT", &path, Some(&menu), METHOD) {
            Ok(_) => mark.menu = made,
            Err(error) => log::debug!("the slash commands were not set: {error}"),
        }
    }
}

/// When something was made, by its id.
fn made_ms(id: &str) -> u64 {
    id.parse::<u64>().map_or(0, |id| (id >> 22) + EPOCH_MS)
}

fn frame(text: &str) -> Result<Frame, ChannelError> {
    misfit::read(text).map_err(|_| ChannelError::Lost("Discord says something nobody understands".into()))
}

fn value(raw: &RawValue) -> Value {
    misfit::read(raw.get()).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_when_it_was_made() {
        // The example of Discord's own reference.
        assert_eq!(made_ms("175928847299117063"), 1_462_015_105_796);
        assert_eq!(made_ms("nonsense"), 0);
    }
}
