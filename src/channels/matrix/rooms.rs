//! What a sync brings: messages, gaps to be read up, rooms to be known, invitations.

use serde_json::{Map, Value};

use super::super::http::part;
use super::api::METHOD;
use super::event::{self, Own, Room};
use super::{Join, Matrix, ROOMS, SYNC_MAX, transaction};
use crate::channels::inbound::Inbound;
use crate::channels::message::{ChannelError, Incoming};
use crate::wire::tree::json;

/// Members of a room that are known by name.
const MEMBERS: usize = 200;
/// Pages of a gap that are read up, and events of each.
const GAP_PAGES: usize = 10;
const GAP_EVENTS: usize = 100;
const UNREADABLE: &str = "This room is end-to-end encrypted, and this gateway does not speak that: it cannot read what \
                          you write. Invite it into a room without encryption.";

impl Matrix {
    /// The messages of a sync.
    pub(super) fn read(
        &self,
        inbound: &Inbound,
        rooms: &Map<String, Value>,
        since: Option<&str>,
        user: &str,
    ) -> Result<Vec<Incoming>, ChannelError> {
        let mut messages = Vec::new();
        for (id, room) in rooms {
            let timeline = &room["timeline"];
            let mut events = timeline["events"].as_array().cloned().unwrap_or_default();
            if timeline["limited"] == true
                && let (Some(from), Some(to)) = (timeline["prev_batch"].as_str(), since)
            {
                let mut missed = self.missed(id, from, to)?;
                missed.append(&mut events);
                events = missed;
            }
            let state = room["state"]["events"].as_array().map(Vec::as_slice).unwrap_or_default();
            // Who is there decides what kind of room it is: found out anew before a word of it counts.
            let changed = |event: &Value| {
                matches!(event["type"].as_str(), Some("m.room.member" | "m.room.encryption" | "m.room.name"))
            };
            if state.iter().chain(&events).any(changed) {
                self.known().rooms.remove(id);
            }
            let mine = |event: &Value| event["sender"] == *user;
            let about = |event: &Value| matches!(event["type"].as_str(), Some("m.room.message" | "m.room.encrypted"));
            if !events.iter().any(|event| about(event) && !mine(event)) {
                continue;
            }
            let facts = match self.room(id) {
                Ok(facts) => facts,
                // We are no longer there: what was said does not concern us.
                Err(ChannelError::Refused(words)) => {
                    log::warn!("{}: {}: {words}", inbound.account().key, id.escape_debug());
                    continue;
                }
                Err(error) => return Err(error),
            };
            if facts.encrypted || events.iter().any(|event| event["type"] == "m.room.encrypted" && !mine(event)) {
                self.decline(inbound, id);
                continue;
            }
            let name = facts.members.iter().find(|(member, _)| member == user).map_or("", |(_, name)| name);
            for event in &events {
                let sent = |id: &str| self.known().sent.iter().any(|own| own == id);
                let own = Own { user, name, threads: self.threads, sent: &sent };
                let Some((mut message, file)) = event::read(event, &facts, &own) else { continue };
                if let Some(file) = file.filter(|_| inbound.would_take(&message)) {
                    message.files.push(self.fetch(inbound, &file));
                }
                messages.push(message);
            }
        }
        Ok(messages)
    }

    /// The events between two positions, oldest first, as far back as is read up.
    fn missed(&self, room: &str, from: &str, to: &str) -> Result<Vec<Value>, ChannelError> {
        let mut events = Vec::new();
        let mut from = from.to_owned();
        for _ in 0..GAP_PAGES {
            let path = format!(
                "client/v3/rooms/{}/messages?dir=b&limit={GAP_EVENTS}&from={}&to={}",
                part(room),
                part(&from),
                part(to)
            );
            let page = match self.get(&self.polls, &path, SYNC_MAX, METHOD) {
                Ok(page) => page,
                // We left meanwhile, or may not read what was before us.
                Err(ChannelError::Refused(words)) => {
                    log::warn!("a gap in {room} could not be read: {words}");
                    break;
                }
                Err(error) => return Err(error),
            };
            let chunk = page["chunk"].as_array().cloned().unwrap_or_default();
            let empty = chunk.is_empty();
            events.extend(chunk);
            match page["end"].as_str() {
                Some(end) if !empty => from = end.to_owned(),
                _ => break,
            }
        }
        if events.len() >= GAP_PAGES * GAP_EVENTS {
            log::warn!("{}: more was said while nobody listened than is read up", room.escape_debug());
        }
        events.reverse();
        Ok(events)
    }

    /// What is known of a room, asked when it is not known.
    fn room(&self, id: &str) -> Result<Room, ChannelError> {
        if let Some(room) = self.known().rooms.get(id) {
            return Ok(room.clone());
        }
        let joined =
            self.get(&self.polls, &format!("client/v3/rooms/{}/joined_members", part(id)), SYNC_MAX, METHOD)?;
        let joined =
            joined["joined"].as_object().ok_or_else(|| ChannelError::Lost("joined_members: no list".into()))?;
        let shown = |(user, facts): (&String, &Value)| {
            (user.clone(), facts["display_name"].as_str().unwrap_or_default().to_owned())
        };
        let members = if joined.len() <= MEMBERS { joined.iter().map(shown).collect() } else { Vec::new() };
        let room = Room {
            id: id.to_owned(),
            direct: joined.len() <= 2,
            encrypted: self.state(id, "m.room.encryption")?.is_some(),
            name: self
                .state(id, "m.room.name")?
                .and_then(|s| s["name"].as_str().map(str::to_owned))
                .unwrap_or_default(),
            members,
        };
        let mut known = self.known();
        if known.rooms.len() >= ROOMS {
            known.rooms.clear();
        }
        known.rooms.insert(id.to_owned(), room.clone());
        Ok(room)
    }

    /// One piece of a room's state; nothing where there is none.
    fn state(&self, room: &str, kind: &str) -> Result<Option<Value>, ChannelError> {
        match self.get(&self.polls, &format!("client/v3/rooms/{}/state/{kind}", part(room)), 0, METHOD) {
            Ok(state) => Ok(Some(state)),
            Err(ChannelError::Refused(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells an encrypted room, once, that it cannot be read.
    fn decline(&self, inbound: &Inbound, room: &str) {
        if !self.tell_once(room) {
            return;
        }
        log::warn!("{}: {room} is end-to-end encrypted and cannot be read", inbound.account().key);
        let content = json!({ "msgtype": "m.notice", "body": UNREADABLE });
        if let Err(error) = self.send_over(&self.polls, room, &content, &transaction(&format!("unreadable {room}"))) {
            log::debug!("{}: {error}", inbound.account().key);
        }
    }

    /// True the first time.
    fn tell_once(&self, what: &str) -> bool {
        let mut known = self.known();
        if known.told.len() >= ROOMS {
            known.told.clear();
        }
        known.told.insert(what.to_owned())
    }

    /// Accepts the invitations that the configuration wants.
    pub(super) fn invitations(&self, inbound: &Inbound, invited: &Value) {
        for (room, facts) in invited.as_object().into_iter().flatten() {
            let user = self.known().user.clone();
            let events = facts["invite_state"]["events"].as_array().map(Vec::as_slice).unwrap_or_default();
            let own = events.iter().find(|event| event["type"] == "m.room.member" && event["state_key"] == *user);
            let by = own.and_then(|event| event["sender"].as_str()).unwrap_or_default();
            if !self.accepts(room, by) {
                if self.tell_once(&format!("invite {room}")) {
                    log::info!(
                        "{}: an invitation of {} into {} is left (channels.matrix.autoJoin)",
                        inbound.account().key,
                        by.escape_debug(),
                        room.escape_debug()
                    );
                }
                continue;
            }
            let path = format!("client/v3/rooms/{}/join", part(room));
            match self.api.call(&self.polls, "POST", &path, Some(&json!({})), METHOD) {
                Ok(_) => log::info!("{}: joined {}", inbound.account().key, room.escape_debug()),
                Err(error) => log::warn!("{}: join {}: {error}", inbound.account().key, room.escape_debug()),
            }
        }
    }

    fn accepts(&self, room: &str, by: &str) -> bool {
        match &self.join {
            Join::Off => false,
            Join::Always => true,
            Join::Listed(list) => list.iter().any(|entry| match entry.chars().next() {
                Some('*') => entry == "*",
                Some('@') => entry == by,
                // What a room says about its own names proves nothing: the homeserver is asked.
                Some('#') => self
                    .get(&self.polls, &format!("client/v3/directory/room/{}", part(entry)), 0, METHOD)
                    .is_ok_and(|found| found["room_id"] == *room),
                _ => entry == room,
            }),
        }
    }
}
