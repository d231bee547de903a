//! The socket for events, and reading up what came without it.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::inbound::Inbound;
use super::super::message::{ChannelError, ChatKind};
use super::super::supervisor::Stop;
use super::super::websocket::{Heard, Pulse, Socket};
use super::Mattermost;
use super::event::{self, Own, Place};
use crate::sys::{clock, order};
use crate::wire::misfit;
use crate::wire::tree::json;

/// Connecting, and the word of welcome.
const CONNECT: Duration = Duration::from_secs(20);
/// One event.
const EVENT_MAX: usize = 4 << 20;
/// What is older when we come back is not answered any more (milliseconds).
const CATCH_UP_MS: u64 = 24 * 3600 * 1000;
/// Posts may come in another order than they were made (milliseconds).
pub const OVERLAP_MS: u64 = 10_000;

impl Mattermost {
    /// Where the socket is: at the server itself, unless its configuration names another place.
    fn socket_url(&self) -> String {
        let said = self.call(&self.asks, "GET", "config/client?format=old", None).unwrap_or_default();
        let named = said["WebsocketURL"].as_str().map(|url| url.trim_end_matches('/'));
        // The token goes there: never over less than the server itself has.
        let fits =
            |url: &&str| url.starts_with("wss://") || (url.starts_with("ws://") && self.root.starts_with("http:"));
        match named.filter(fits) {
            Some(url) => format!("{url}/api/v4/websocket"),
            None => format!("ws{}/api/v4/websocket", self.root.strip_prefix("http").unwrap_or_default()),
        }
    }

    /// One connection, from its introduction to its end.
    pub(super) fn connection(&self, inbound: &Inbound, stop: &Stop, name: &str) -> Result<(), ChannelError> {
        let url = self.socket_url();
        let mut socket = Socket::open(&self.holder, &url, &[], EVENT_MAX, CONNECT)?;
        let data = json!({ "token": self.token.expose() });
        socket.say(json!({ "seq": 1, "action": "authentication_challenge", "data": data }).to_string())?;
        let (hello_by, mut welcomed, mut pulse) = (Instant::now() + CONNECT, false, Pulse::default());
        while !stop.fired() {
            let text = match socket.hear(&mut pulse, (!welcomed).then_some(hello_by), &|| inbound.alive()) {
                Ok(Heard::Text(text)) => text,
                Ok(Heard::Closed(..)) if welcomed => return Ok(()),
                Ok(_) => return Err(ChannelError::Lost("the server said no hello in time".into())),
                Err(_) if stop.fired() => return Ok(()),
                Err(error) if welcomed => {
                    log::info!("{}: {error}", inbound.account().key);
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let Ok(said) = misfit::read::<Value>(&text) else { continue };
            match said["event"].as_str() {
                Some("hello") => {
                    welcomed = true;
                    inbound.connected(name);
                    self.catch_up(inbound)?;
                }
                Some("posted") => {
                    let data = &said["data"];
                    let Ok(post) = misfit::read::<Value>(data["post"].as_str().unwrap_or_default()) else { continue };
                    let place = Place::read(&data["channel_type"], &data["channel_display_name"], &data["team_id"]);
                    self.take(inbound, &post, &place)?;
                }
                Some(_) => {}
                None if said["status"] == "FAIL" => {
                    let what = "the server does not take this bot token for its socket".to_owned();
                    return Err(ChannelError::Terminal(
                        what,
                        "make a new one and set channels.mattermost.botToken".into(),
                    ));
                }
                None => {}
            }
        }
        Ok(())
    }

    fn take(&self, inbound: &Inbound, post: &Value, place: &Place) -> Result<(), ChannelError> {
        let (me, name) = {
            let known = self.known();
            (known.me.clone(), known.name.clone())
        };
        let own = Own {
            id: &me,
            name: &name,
            threads: self.threads,
            marks: &self.marks,
            took_part: &|chat, thread| self.known().took_part.has(chat, thread),
            person: &|id| self.person(id),
        };
        let Some((mut message, files)) = event::read(post, place, &own) else { return Ok(()) };
        let read_to = {
            let mut known = self.known();
            known.read_to = known.read_to.max(post["create_at"].as_u64().unwrap_or(0));
            known.read_to
        };
        // What is said in a channel is mostly not for us, and costs no write then.
        let direct = message.kind == ChatKind::Direct;
        let heard = (direct && files.is_empty()) || inbound.would_take(&message);
        if !direct && !heard {
            return Ok(());
        }
        if heard {
            message.files = files.iter().map(|file| self.fetch(inbound, file)).collect();
        }
        inbound
            .admit(vec![message], Some(format!("{me} {read_to}")))
            .map_err(|error| ChannelError::Lost(error.to_string()))
    }

    /// Reads what came while nobody listened: in every conversation with something newer.
    fn catch_up(&self, inbound: &Inbound) -> Result<(), ChannelError> {
        let least = clock::now_ms().saturating_sub(CATCH_UP_MS);
        // Posts may come in another order than they were made; what comes again is known.
        let since = self.known().read_to.saturating_sub(OVERLAP_MS).max(least);
        let all = match self.call(&self.asks, "GET", "users/me/channels", None) {
            Ok(all) => all,
            // Servers from before 6.1; a limit is no reason not to listen.
            Err(ChannelError::Refused(why) | ChannelError::Later(why, _)) => {
                log::debug!("{}: nothing was read up: {why}", inbound.account().key);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let newer = |channel: &&Value| channel["last_post_at"].as_u64().is_some_and(|at| at > since);
        for channel in all.as_array().into_iter().flatten().filter(newer) {
            let Some(id) = channel["id"].as_str() else { continue };
            let said = match self.call(&self.asks, "GET", &format!("channels/{id}/posts?since={since}"), None) {
                Ok(said) => said,
                Err(ChannelError::Refused(_) | ChannelError::Later(..)) => continue,
                Err(error) => return Err(error),
            };
            let place = Place::read(&channel["type"], &channel["display_name"], &channel["team_id"]);
            let mut missed: Vec<&Value> =
                said["posts"].as_object().into_iter().flat_map(serde_json::Map::values).collect();
            order::by_key(&mut missed, |post| post["create_at"].as_u64());
            for post in missed {
                // A post that was only changed is older.
                if post["create_at"].as_u64().is_some_and(|at| at > since) {
                    self.take(inbound, post, &place)?;
                }
            }
        }
        Ok(())
    }
}
