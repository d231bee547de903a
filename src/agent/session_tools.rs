//! What the session tools read: the store's rows and transcripts, within what the agent may see and within bounds.

use serde::Serialize;

use super::messages;
use super::tools::{ListAsk, SessionsAsk};
use super::turn::Turning;
use crate::hub::main_key;
use crate::providers::{Message, Part};
use crate::store::sessions::{self, Archived, ListFilter, SessionRow};
use crate::store::transcript;
use crate::sys::clock;
use crate::wire::frame::cut;
use crate::wire::session;

/// Bytes of one list, and of one history.
const LIST_BYTES: usize = 64 << 10;
const HISTORY_BYTES: usize = 80 << 10;
/// Of one text in a history.
const TEXT_BYTES: usize = 4_000;
/// Rows read at a time, and how often for one list.
const PAGE: usize = 200;
const PAGES: usize = 5;
/// Of a transcript, read for one history.
const READ_BYTES: usize = 2 << 20;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    count: usize,
    sessions: Vec<Row<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_offset: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncation_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    visibility: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    key: &'a str,
    session_id: &'a str,
    agent_id: &'a str,
    kind: &'static str,
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    archived: bool,
    pinned: bool,
    updated_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "is_zero")]
    context_tokens: u64,
    #[serde(skip_serializing_if = "is_zero")]
    total_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    aborted_last_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message_preview: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct History<'a> {
    session_key: &'a str,
    session_id: &'a str,
    messages: Vec<Said>,
    /// Older messages were left out.
    truncated: bool,
    /// Texts were cut.
    content_truncated: bool,
}

#[derive(Serialize)]
struct Said {
    role: &'static str,
    content: String,
    timestamp: i64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Turning<'_> {
    /// Does what a session tool wants; the answer is JSON text.
    pub(super) fn ask_sessions(&self, ask: SessionsAsk) -> Result<String, String> {
        match ask {
            SessionsAsk::List(ask) => self.session_list(&ask),
            SessionsAsk::History { session_key, limit, include_tools } => {
                self.session_history(&session_key, limit, include_tools)
            }
        }
    }

    /// `tools.sessions.visibility`: `all`, `agent`, `tree` or `self`. Unless it is set, who writes through a messenger
    /// and has a session of their own sees nobody else's.
    fn visibility(&self) -> &str {
        let order = self.order();
        let main = session::canonical("main", &order.agent_id, main_key(self.config()));
        let guest = order.input.reply.is_some() && main != *order.session_key;
        let set = self.config().tools.sessions.visibility.as_deref();
        set.unwrap_or(if guest { "self" } else { "all" })
    }

    /// Whether this run may see a session.
    fn sees(&self, key: &str, agent_id: &str) -> bool {
        let order = self.order();
        let own = *agent_id == *order.agent_id;
        let main = session::canonical("main", &order.agent_id, main_key(self.config()));
        key == &*order.session_key
            || match self.visibility() {
                "all" => true,
                "agent" => own,
                // Nothing here is spawned: of a tree there is the main session, which sees all of its agent's.
                "tree" => own && main == *order.session_key,
                _ => false,
            }
    }

    fn session_list(&self, ask: &ListAsk) -> Result<String, String> {
        let since = ask.active_minutes.map(|minutes| {
            let now = i64::try_from(clock::now_ms()).unwrap_or(i64::MAX);
            now.saturating_sub(i64::try_from(minutes.saturating_mul(60_000)).unwrap_or(i64::MAX))
        });
        let mut filter = ListFilter {
            agent_id: ask.agent_id.clone(),
            search: ask.search.clone(),
            label: ask.label.clone(),
            updated_after_ms: since,
            archived: match ask.archived {
                None => Archived::Shown,
                Some(true) => Archived::Only,
                Some(false) => Archived::Hidden,
            },
            limit: PAGE,
            offset: ask.offset,
            ..ListFilter::default()
        };
        let main = main_key(self.config()).to_owned();
        let (mut kept, mut next, mut why) = (Vec::new(), None, Some("scan-limit"));
        'pages: for _ in 0..PAGES {
            let wanted = filter.clone();
            let read =
                self.engine().store.read("list sessions for an agent", move |conn| sessions::list(conn, &wanted));
            let (rows, _) = read.map_err(|error| error.to_string())?;
            let last = rows.len() < PAGE;
            for (at, row) in rows.into_iter().enumerate() {
                if !self.sees(&row.key, &row.agent_id)
                    || !(ask.kinds.is_empty() || ask.kinds.iter().any(|kind| kind == kind_of(&row, &main)))
                {
                    continue;
                }
                if kept.len() == ask.limit {
                    (next, why) = (Some(filter.offset + at), None);
                    break 'pages;
                }
                kept.push((filter.offset + at, row));
            }
            if last {
                (next, why) = (None, None);
                break;
            }
            filter.offset += PAGE;
            next = Some(filter.offset);
        }
        let visibility = Some(self.visibility()).filter(|scope| *scope != "all");
        loop {
            let rows = kept.iter().map(|(_, row)| shown(row, &main, ask.last_message)).collect::<Vec<_>>();
            let list = List {
                count: rows.len(),
                sessions: rows,
                has_more: next.is_some(),
                next_offset: next,
                truncation_reason: why,
                visibility,
            };
            let text = serde_json::to_string_pretty(&list).map_err(|error| error.to_string())?;
            // Half of them at a time: a list that does not fit is far too long, not a little.
            if text.len() <= LIST_BYTES || kept.len() <= 1 {
                return Ok(text);
            }
            let left = kept.split_off(kept.len() / 2);
            (next, why) = (left.first().map(|(offset, _)| *offset), Some("byte-limit"));
        }
    }

    fn session_history(&self, asked: &str, limit: usize, include_tools: bool) -> Result<String, String> {
        let order = self.order();
        let key = session::canonical(asked, &order.agent_id, main_key(self.config()));
        let unknown = || format!("There is no session {} that you may see.", cut(asked, 128));
        let name = key.clone();
        let found = self.engine().store.read("find a session for an agent", move |conn| sessions::get(conn, &name));
        let row = found.map_err(|error| error.to_string())?.filter(|row| self.sees(&row.key, &row.agent_id));
        let row = row.ok_or_else(unknown)?;
        let id = row.session_id.clone();
        let read = |conn: &rusqlite::Connection| transcript::page(conn, &id, None, PAGE, READ_BYTES);
        let entries =
            self.engine().store.read("read a session for an agent", read).map_err(|error| error.to_string())?;
        let older = entries.first().is_some_and(|entry| entry.seq > 1);
        let (mut said, mut bytes, mut left_out, mut shortened) = (Vec::new(), 0, older, false);
        for entry in entries.iter().rev() {
            let Some((role, text)) = messages::read(entry).and_then(|message| words(message, include_tools)) else {
                continue;
            };
            let kept = cut(&text, TEXT_BYTES);
            if said.len() == limit || bytes + kept.len() > HISTORY_BYTES {
                left_out = true;
                break;
            }
            bytes += kept.len();
            let cut_off = kept.len() < text.len();
            shortened |= cut_off;
            let content = if cut_off { format!("{kept} [cut]") } else { text };
            said.push(Said { role, content, timestamp: entry.ts_ms });
        }
        said.reverse();
        let history = History {
            session_key: &row.key,
            session_id: &row.session_id,
            messages: said,
            truncated: left_out,
            content_truncated: shortened,
        };
        serde_json::to_string_pretty(&history).map_err(|error| error.to_string())
    }
}

fn shown<'a>(row: &'a SessionRow, main: &str, last_message: bool) -> Row<'a> {
    Row {
        key: &row.key,
        session_id: &row.session_id,
        agent_id: &row.agent_id,
        kind: kind_of(row, main),
        channel: row.channel.as_deref().unwrap_or("unknown"),
        label: row.label.as_deref(),
        display_name: row.display_name.as_deref(),
        archived: row.archived_at_ms.is_some(),
        pinned: row.pinned_at_ms.is_some(),
        updated_at: row.updated_at_ms,
        model: row.model.as_deref(),
        context_tokens: row.context_tokens,
        total_tokens: row.total_tokens,
        status: row.last_status.as_deref(),
        aborted_last_run: row.last_status.as_deref() == Some("killed"),
        last_message_preview: row.last_message_preview.as_deref().filter(|_| last_message),
    }
}

/// What a session is for, as its key tells.
fn kind_of(row: &SessionRow, main: &str) -> &'static str {
    let rest = session::agent_of(&row.key).map_or(row.key.as_str(), |(_, rest)| rest);
    let begins = |word: &str| rest.strip_prefix(word).is_some_and(|more| more.starts_with([':', '-']));
    match row.kind.as_str() {
        _ if rest == main => "main",
        "group" | "channel" => "group",
        _ if begins("cron") => "cron",
        _ if begins("hook") => "hook",
        _ if begins("node") => "node",
        _ => "other",
    }
}

/// Who said what; pictures are only named, calls of tools left out.
fn words(message: Message, include_tools: bool) -> Option<(&'static str, String)> {
    let text = |parts: Vec<Part>| {
        let words = parts.into_iter().map(|part| match part {
            Part::Text(text) => text.into_string(),
            Part::Image { mime, .. } => format!("[a picture, {mime}]"),
        });
        words.collect::<Vec<_>>().join("\n")
    };
    let said = match message {
        Message::User(parts) => ("user", text(parts)),
        Message::Assistant { text, .. } => ("assistant", text),
        Message::ToolResult { content, .. } if include_tools => ("toolResult", text(content)),
        Message::ToolResult { .. } => return None,
    };
    (!said.1.trim().is_empty()).then_some(said)
}
