//! Sessions looked up one by one: `sessions.describe`, `.resolve`, `.preview`, `.get`.

use std::sync::Arc;

use rusqlite::Connection;

use super::chat::{self, PAGE_BYTES, target};
use super::said::{Said, shortened};
use crate::auth::Caller;
use crate::hub::rows::session_row;
use crate::hub::sessions::stored;
use crate::hub::{TaskContext, main_key};
use crate::store::StoreError;
use crate::store::sessions::{self as table, ListFilter, SessionRow};
use crate::store::transcript;
use crate::sys::clock;
use crate::wire::error::RpcError;
use crate::wire::frame::cut;
use crate::wire::session_change::*;

/// Sessions of one `sessions.preview`; the answer's size is bounded by it.
const PREVIEWS: usize = 64;
/// Messages of one preview when the caller names no number, and at most.
const PREVIEW_ITEMS: u64 = 12;
const PREVIEW_ITEMS_MAX: u64 = 50;
/// Characters of one previewed message when the caller names no number, and at most.
const PREVIEW_CHARS: u64 = 240;
const PREVIEW_CHARS_MAX: u64 = 2_000;
/// Transcript read for one preview.
const PREVIEW_BYTES: usize = 256 << 10;
/// Sessions named when a short id fits several.
const CANDIDATES: usize = 10;

pub fn describe(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: SessionsDescribeParams,
) -> Result<SessionsDescribeResult, RpcError> {
    let (shared, key, active) = super::ask(context, "sessions.describe", move |state| {
        let key = target(&state.shared.config.get(), &params.key, None)?.0;
        let active = state.runs.of_session(&key).iter().map(|id| id.to_string()).collect();
        Ok((state.shared.clone(), key, active))
    })?;
    let row = context.store.read("look a session up", |conn| table::get(conn, &key)).map_err(stored)?;
    let session = row.map(|row| {
        let mut shown = session_row(&row, &shared.catalogue.get(), main_key(&shared.config.get()), active);
        if params.include_derived_titles != Some(true) {
            shown.derived_title = None;
        }
        if params.include_last_message != Some(true) {
            shown.last_message_preview = None;
        }
        shown
    });
    Ok(SessionsDescribeResult { session })
}

pub fn resolve(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: SessionsResolveParams,
) -> Result<SessionsResolveResult, RpcError> {
    let named = [params.key.is_some(), params.session_id.is_some(), params.label.is_some(), params.short_id.is_some()];
    match named.iter().filter(|named| **named).count() {
        0 => return Err(RpcError::invalid("Either key, sessionId, shortId, or label is required")),
        1 => {}
        _ => return Err(RpcError::invalid("Provide either key, sessionId, shortId, or label (not multiple)")),
    }
    let key = match &params.key {
        Some(key) => {
            let (key, agent) = (key.0.clone(), params.agent_id.clone());
            let find =
                move |state: &mut crate::hub::State| Ok(target(&state.shared.config.get(), &key, agent.as_deref())?.0);
            Some(super::ask(context, "sessions.resolve", find)?)
        }
        None => None,
    };
    let found = context.store.read("resolve a session", |conn| candidates(conn, &params, key.as_deref()));
    let found = found.map_err(stored)?;
    let what = match (&params.key, &params.session_id, &params.label, &params.short_id) {
        (Some(text), ..) | (_, Some(text), ..) | (.., Some(text)) => format!(": {}", cut(text, 128)),
        (_, _, Some(label), _) => format!(" with label: {}", cut(label, 128)),
        _ => String::new(),
    };
    match <[SessionRow; 1]>::try_from(found) {
        Ok([row]) => Ok(SessionsResolveResult::Found { ok: true, session: resolved(&row) }),
        Err(rows) if params.allow_missing == Some(true) => Ok(SessionsResolveResult::Missing {
            ok: false,
            candidates: rows.iter().take(CANDIDATES).map(resolved).collect(),
        }),
        Err(rows) if rows.is_empty() => Err(RpcError::invalid(format!("No session found{what}"))),
        Err(rows) => {
            let keys: Vec<&str> = rows.iter().take(CANDIDATES).map(|row| row.key.as_str()).collect();
            Err(RpcError::invalid(format!("Multiple sessions found{what} ({})", keys.join(", "))))
        }
    }
}

/// Sessions that fit what is asked for.
fn candidates(
    conn: &Connection,
    params: &SessionsResolveParams,
    key: Option<&str>,
) -> Result<Vec<SessionRow>, StoreError> {
    let mut rows = match key {
        Some(key) => table::get(conn, key)?.into_iter().collect(),
        None => {
            let filter = ListFilter {
                agent_id: params.agent_id.as_ref().map(|id| id.to_ascii_lowercase()),
                session_id: params.session_id.as_ref().map(|id| id.0.clone()),
                label: params.label.as_ref().map(|label| label.trim().to_string()),
                id_in_key: params.short_id.as_ref().map(|id| id.replace('-', "").to_lowercase()),
                archived: table::Archived::Shown,
                limit: CANDIDATES + 1,
                ..ListFilter::default()
            };
            table::list(conn, &filter)?.0
        }
    };
    if let Some(parent) = &params.spawned_by {
        rows.retain(|row: &SessionRow| row.facts().parent_session_key.as_deref() == Some(parent));
    }
    Ok(rows)
}

fn resolved(row: &SessionRow) -> ResolvedSession {
    let name = row.display_name.clone().or(row.label.clone()).or_else(|| row.facts().auto_title);
    ResolvedSession { key: row.key.clone(), agent_id: row.agent_id.clone(), display_name: name }
}

pub fn preview(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: SessionsPreviewParams,
) -> Result<SessionsPreviewResult, RpcError> {
    let limit = params.limit.map_or(PREVIEW_ITEMS, |n| n.0.min(PREVIEW_ITEMS_MAX)) as usize;
    let chars = params.max_chars.map_or(PREVIEW_CHARS, |n| n.0.min(PREVIEW_CHARS_MAX)) as usize;
    let keys = super::ask(context, "sessions.preview", move |state| {
        let config = state.shared.config.get();
        let keys = params.keys.iter().take(PREVIEWS);
        // A key of an unknown agent has no session; it is answered as missing under the name it was asked by.
        Ok(keys
            .map(|key| (key.0.clone(), target(&config, key, None).map_or(key.0.clone(), |(key, _)| key)))
            .collect::<Vec<_>>())
    })?;
    let previews = context
        .store
        .read("preview sessions", |conn| {
            keys.into_iter()
                .map(|(asked, key)| {
                    let Some(row) = table::get(conn, &key)? else {
                        return Ok(SessionPreview { key: asked, status: "missing", items: Vec::new() });
                    };
                    let entries = transcript::page(conn, &row.session_id, None, limit, PREVIEW_BYTES)?;
                    let items: Vec<_> = entries.iter().filter_map(|entry| preview_item(entry, chars)).collect();
                    let status = if items.is_empty() { "empty" } else { "ok" };
                    Ok(SessionPreview { key: asked, status, items })
                })
                .collect::<Result<Vec<_>, StoreError>>()
        })
        .map_err(stored)?;
    Ok(SessionsPreviewResult { ts: clock::now_ms(), previews })
}

/// A message as one line of text; tool calls are named.
fn preview_item(entry: &transcript::Entry, chars: usize) -> Option<PreviewItem> {
    let role = match entry.role.as_str() {
        "user" => "user",
        "assistant" => "assistant",
        "toolResult" => "tool",
        _ => "system",
    };
    let text = Said::read(&entry.message)?.text(|name| format!("call {name}"));
    (!text.is_empty()).then(|| PreviewItem { role, text: shortened(&text, chars) })
}

pub fn get(context: &TaskContext, _: &Arc<Caller>, params: SessionsGetParams) -> Result<SessionsGetResult, RpcError> {
    let limit = params.limit.map_or(200, |n| n.0) as usize;
    let key = super::ask(context, "sessions.get", move |state| {
        Ok(target(&state.shared.config.get(), &params.key, params.agent_id.as_deref())?.0)
    })?;
    let entries = context.store.read("read a session's messages", |conn| match table::get(conn, &key)? {
        Some(row) => transcript::page(conn, &row.session_id, None, limit, PAGE_BYTES),
        None => Ok(Vec::new()),
    });
    let entries = entries.map_err(stored)?;
    Ok(SessionsGetResult { messages: entries.iter().filter_map(|entry| chat::message(entry, PAGE_BYTES)).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(role: &str, message: &str) -> transcript::Entry {
        transcript::Entry {
            id: "1".into(),
            seq: 1,
            role: role.into(),
            run_id: None,
            idempotency_key: None,
            ts_ms: 1,
            message: message.into(),
        }
    }

    #[test]
    fn a_preview_is_one_text_cut_at_a_character() {
        let user = entry("user", r#"{"role":"user","content":"  héllo wörld, this is long  "}"#);
        assert_eq!(preview_item(&user, 5).expect("text").text, "héll…");
        let call = r#"{"content":[{"type":"text","text":"Look."},{"type":"toolCall","name":"exec"}]}"#;
        assert_eq!(preview_item(&entry("assistant", call), 99).expect("text").text, "Look.\ncall exec");
        assert!(preview_item(&entry("assistant", r#"{"content":[]}"#), 99).is_none());
    }
}
