//! `sessions.list` and the subscriptions.

use std::collections::HashMap;
use std::sync::Arc;

use crate::auth::Caller;
use crate::hub::peers::SUBSCRIPTIONS;
use crate::hub::rows::session_row;
use crate::hub::{Now, State, TaskContext, main_key};
use crate::store::StoreError;
use crate::store::sessions::{self as table, ListFilter, Sort};
use crate::sys::clock;
use crate::wire::error::RpcError;
use crate::wire::session::*;

/// Rows of one answer when the caller names no limit, and at most.
const LIMIT: u64 = 100;
const LIMIT_MAX: u64 = 1000;

pub fn list(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: SessionsListParams,
) -> Result<SessionsListResult, RpcError> {
    let now = clock::now_ms();
    let limit = params.limit.map_or(LIMIT, |n| n.0.min(LIMIT_MAX));
    let offset = params.offset.map_or(0, |n| n.0);
    let active_only = params.active_only == Some(true);
    let filter = ListFilter {
        agent_id: params.agent_id.map(|id| id.0),
        search: params.search.or(params.label.map(|l| l.0)).filter(|s| !s.trim().is_empty()),
        updated_after_ms: params.active_minutes.map(|m| signed(now.saturating_sub(m.0.saturating_mul(60_000)))),
        kinds: Vec::new(),
        archived: match params.archived {
            Some(Archived::Only(true)) => table::Archived::Only,
            Some(Archived::Word(_)) => table::Archived::Shown,
            _ => table::Archived::Hidden,
        },
        limit: if active_only { table::LIST_MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) },
        offset: if active_only { 0 } else { usize::try_from(offset).unwrap_or(usize::MAX) },
        sort: Sort::Updated,
    };
    let (shared, active) = context
        .hub
        .ask("sessions.list", |state, _| {
            let mut active: HashMap<String, Vec<String>> = HashMap::new();
            for (key, _) in state.runs.sessions() {
                active.insert(key.to_string(), state.runs.of_session(key).iter().map(|id| id.to_string()).collect());
            }
            (state.shared.clone(), active)
        })
        .map_err(|gone| RpcError::unavailable(gone.to_string()).retryable())?;
    let (mut rows, mut total) =
        context.store.read("list sessions", |conn| table::list(conn, &filter)).map_err(stored)?;
    if active_only {
        rows.retain(|row| active.contains_key(&row.key));
        total = rows.len() as u64;
        rows = rows.into_iter().skip(usize::try_from(offset).unwrap_or(usize::MAX)).take(limit as usize).collect();
    }
    let (catalogue, config) = (shared.catalogue.get(), shared.config.get());
    let titles = params.include_derived_titles == Some(true);
    let previews = params.include_last_message == Some(true);
    let count = rows.len() as u64;
    let sessions = rows
        .iter()
        .map(|row| {
            let runs = active.get(&row.key).cloned().unwrap_or_default();
            let mut shown = session_row(row, &catalogue, main_key(&config), runs);
            if titles {
                shown.derived_title =
                    shown.label.clone().or(shown.display_name.clone()).or(shown.last_message_preview.clone());
            }
            if !previews {
                shown.last_message_preview = None;
            }
            shown
        })
        .collect();
    let has_more = offset + count < total;
    Ok(SessionsListResult {
        ts: now,
        path: shared.boot.database.clone(),
        count,
        total_count: total,
        limit_applied: limit,
        next_offset: has_more.then_some(offset + count),
        has_more,
        defaults: catalogue.defaults(),
        sessions,
    })
}

pub fn subscribe(
    state: &mut State,
    who: &Arc<Caller>,
    _: SessionsSubscribeParams,
    _: Now,
) -> Result<SessionsSubscribeResult, RpcError> {
    if let Some(peer) = state.peers.get_mut(who.conn) {
        peer.sessions = true;
    }
    Ok(SessionsSubscribeResult { subscribed: true })
}

pub fn messages_subscribe(
    state: &mut State,
    who: &Arc<Caller>,
    params: SessionsMessagesSubscribeParams,
    _: Now,
) -> Result<SessionsMessagesSubscribeResult, RpcError> {
    let key = key_of(state, &params);
    if let Some(peer) = state.peers.get_mut(who.conn) {
        if peer.messages.len() >= SUBSCRIPTIONS && !peer.messages.contains(&key) {
            return Err(RpcError::invalid(format!(
                "a connection follows at most {SUBSCRIPTIONS} sessions; unsubscribe from one first"
            )));
        }
        peer.messages.insert(key.clone());
    }
    Ok(SessionsMessagesSubscribeResult { subscribed: true, key })
}

pub fn messages_unsubscribe(
    state: &mut State,
    who: &Arc<Caller>,
    params: SessionsMessagesSubscribeParams,
    _: Now,
) -> Result<SessionsMessagesSubscribeResult, RpcError> {
    let key = key_of(state, &params);
    if let Some(peer) = state.peers.get_mut(who.conn) {
        peer.messages.remove(&key);
    }
    Ok(SessionsMessagesSubscribeResult { subscribed: false, key })
}

fn key_of(state: &State, params: &SessionsMessagesSubscribeParams) -> String {
    let config = state.shared.config.get();
    let agent = params.agent_id.as_ref().map_or(config.default_agent_id(), |id| id);
    canonical(&params.key, agent, main_key(&config))
}

/// What a caller is told when the database does not do as asked.
pub fn stored(error: StoreError) -> RpcError {
    let told = RpcError::unavailable(error.to_string());
    if error.is_temporary() { told.retryable() } else { told }
}

pub fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
