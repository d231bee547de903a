//! `GET /sessions/<key>/history` and `POST /sessions/<key>/kill`: one session for programs without a WebSocket.
//!
//! With `Accept: text/event-stream` the history goes on as events. The follower is told that there is news and reads it
//! from the store; nothing is queued for it.

use std::io;

use crossbeam_channel::Receiver;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{HttpError, Visit, json_of};
use crate::auth::Mode;
use crate::hub::main_key;
use crate::net::{Exchange, Reply, Sse, Waited};
use crate::rpc::stored_message;
use crate::store::{Store, StoreError, sessions, transcript};
use crate::wire::frame::cut;
use crate::wire::scope::Scope;
use crate::wire::session;

/// Messages of one page when the caller names no number, and at most.
const PAGE: usize = 200;
const PAGE_MAX: u64 = 1000;
/// Bytes of one page, and of one message in it before it is cut.
const PAGE_BYTES: usize = 2 << 20;
const MESSAGE_BYTES: usize = 500_000;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct History<'a> {
    session_key: &'a str,
    /// The same as `messages`, under its older name.
    items: &'a [Box<RawValue>],
    messages: &'a [Box<RawValue>],
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    has_more: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct News<'a> {
    session_key: &'a str,
    message: &'a RawValue,
    message_id: &'a str,
    message_seq: u64,
}

#[derive(Serialize)]
struct Killed {
    ok: bool,
    killed: bool,
}

/// One page as read from the store.
struct Page {
    session_id: String,
    entries: Vec<transcript::Entry>,
}

pub fn history(visit: &Visit<'_>, exchange: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    let key = key(visit)?;
    let limit = number(exchange.query(), "limit")?.map_or(PAGE, |n| n.min(PAGE_MAX) as usize);
    let cursor = number(exchange.query(), "cursor")?;
    let wants_events = exchange.header("accept").is_some_and(|accept| {
        accept.split(',').any(|range| {
            range.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
        })
    });
    // Follow first, read then: what happens in between is seen twice rather than never.
    let news = match wants_events {
        true => {
            let own = key.clone();
            let asked = visit.site.desk.hub.ask("follow a session", move |state, _| state.followers.follow(&own));
            let news = asked.map_err(|gone| HttpError::unavailable(gone.to_string()))?;
            Some(news.ok_or_else(|| HttpError::unavailable("too many followers").gateway())?)
        }
        false => None,
    };
    let store = visit.site.engine.store.clone();
    let page =
        read(&store, &key, cursor, limit).map_err(|error| HttpError::unavailable(error.to_string()).gateway())?;
    let page =
        page.ok_or_else(|| HttpError::own(404, "not_found", format!("Session not found: {}", cut(&visit.rest, 256))))?;
    match news {
        None => page.reply(&key),
        Some(news) => {
            let follow = Follow { store, key, limit, live: cursor.is_none() };
            Ok(Reply::events(move |sse| follow.tell(sse, page, &news)))
        }
    }
}

/// Always refused with a shared secret, as the reference does: only callers whose rights are declared may do this.
pub fn kill(visit: &Visit<'_>, _: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    if visit.site.desk.shared.policy.get().mode != Mode::None {
        return Err(HttpError::missing_scope(Scope::Admin));
    }
    visit.needs(Scope::Admin)?;
    let key = key(visit)?;
    let known = visit.site.engine.store.read("find a session", |conn| sessions::get(conn, &key));
    if known.map_err(|error| HttpError::unavailable(error.to_string()).gateway())?.is_none() {
        let text = format!("Session not found: {}", cut(&visit.rest, 256));
        return Err(HttpError::own(404, "not_found", text));
    }
    let asked =
        visit.site.desk.hub.ask("kill a session", move |state, now| !state.abort_runs(&key, None, now).is_empty());
    let killed = asked.map_err(|gone| HttpError::unavailable(gone.to_string()))?;
    json_of(200, &Killed { ok: true, killed })
}

fn key(visit: &Visit<'_>) -> Result<String, HttpError> {
    let key = visit.rest.trim();
    if key.is_empty() || key.len() > crate::wire::chat::SESSION_KEY_LIMIT {
        return Err(HttpError::invalid("invalid session key"));
    }
    Ok(session::canonical(key, visit.config.default_agent_id(), main_key(&visit.config)))
}

/// A number of the query. Digits beyond any number count as the largest.
fn number(query: &str, name: &str) -> Result<Option<u64>, HttpError> {
    let Some(text) = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')) else {
        return Ok(None);
    };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && number > 0 => Ok(Some(number)),
        Err(_) if digits => Ok(Some(u64::MAX)),
        _ => Err(HttpError::invalid(format!("{name} must be a positive integer"))),
    }
}

fn read(store: &Store, key: &str, cursor: Option<u64>, limit: usize) -> Result<Option<Page>, StoreError> {
    store.read("read a session's history", |conn| {
        let Some(row) = sessions::get(conn, key)? else { return Ok(None) };
        let entries = transcript::page(conn, &row.session_id, cursor, limit, PAGE_BYTES)?;
        Ok(Some(Page { session_id: row.session_id, entries }))
    })
}

impl Page {
    fn text(&self, key: &str) -> Option<String> {
        let messages: Vec<_> = self.entries.iter().filter_map(|entry| stored_message(entry, MESSAGE_BYTES)).collect();
        let first = self.entries.first().map(|entry| entry.seq).filter(|seq| *seq > 1);
        serde_json::to_string(&History {
            session_key: key,
            items: &messages,
            messages: &messages,
            next_cursor: first.map(|seq| seq.to_string()),
            has_more: first.is_some(),
        })
        .ok()
    }

    fn reply(&self, key: &str) -> Result<Reply, HttpError> {
        self.text(key).map(|text| super::json(200, text)).ok_or_else(HttpError::internal)
    }
}

/// A stream that goes on.
struct Follow {
    store: Store,
    key: String,
    limit: usize,
    /// A page from the past has no news.
    live: bool,
}

impl Follow {
    fn tell(&self, sse: &mut Sse<'_>, mut page: Page, news: &Receiver<()>) -> io::Result<()> {
        sse.raw("retry: 1000\n\n")?;
        sse.queue_named("history", &page.text(&self.key).unwrap_or_default())?;
        let mut seen = page.entries.last().map_or(0, |entry| entry.seq);
        loop {
            match sse.next(news)? {
                Waited::Got(()) if !self.live => {}
                Waited::Got(()) => match self.news(&page.session_id, seen) {
                    Ok(Some(entries)) => {
                        for entry in &entries {
                            seen = seen.max(entry.seq);
                            self.message(sse, entry)?;
                        }
                    }
                    Ok(None) => {
                        // The session began anew: so does its history here.
                        let fresh = read(&self.store, &self.key, None, self.limit).map_err(io::Error::other)?;
                        let Some(fresh) = fresh else { return Ok(()) };
                        page = fresh;
                        seen = page.entries.last().map_or(0, |entry| entry.seq);
                        sse.queue_named("history", &page.text(&self.key).unwrap_or_default())?;
                    }
                    Err(error) => return Err(io::Error::other(error)),
                },
                Waited::PeerGone | Waited::Ended | Waited::TimedOut => return Ok(()),
            }
        }
    }

    /// Entries after the last one seen; `None` when the session has another transcript now.
    fn news(&self, session_id: &str, seen: u64) -> Result<Option<Vec<transcript::Entry>>, StoreError> {
        self.store.read("read a session's news", |conn| match sessions::get(conn, &self.key)? {
            Some(row) if row.session_id == session_id => {
                transcript::since(conn, session_id, seen, PAGE, PAGE_BYTES).map(Some)
            }
            _ => Ok(None),
        })
    }

    fn message(&self, sse: &mut Sse<'_>, entry: &transcript::Entry) -> io::Result<()> {
        let Some(message) = stored_message(entry, MESSAGE_BYTES) else { return Ok(()) };
        let news = News { session_key: &self.key, message: &message, message_id: &entry.id, message_seq: entry.seq };
        sse.queue_named("message", &serde_json::to_string(&news).map_err(io::Error::other)?)
    }
}
