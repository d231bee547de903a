//! `sessions.list` and the subscriptions.

use std::collections::HashMap;
use std::sync::Arc;

use crate::auth::Caller;
use crate::hub::peers::SUBSCRIPTIONS;
use crate::hub::rows::session_row;
use crate::hub::sessions::stored;
use crate::hub::{Now, State, TaskContext, main_key};
use crate::store::sessions::{self as table, ListFilter, Sort};
use crate::sys::clock;
use crate::wire::error::RpcError;
use crate::wire::scope::Scope;
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
    let configured = params.configured_agents_only == Some(true);
    let (owner, creator) = (params.owner_id.as_deref(), params.creator_id.as_deref());
    let involved = params.involving_profile_id.as_deref();
    let people: Vec<&str> = [owner, creator, involved].into_iter().flatten().collect();
    let mine = params.involving_me == Some(true) || !people.is_empty();
    let stranger = people.iter().any(|id| *id != Actor::OWNER.id);
    let no_dashboard = params.board_face.as_deref().is_some_and(|face| face != "chat");
    let but_keys = [("global", params.include_global), ("unknown", params.include_unknown)];
    let mut filter = ListFilter {
        agent_id: params.agent_id.map(|id| id.to_ascii_lowercase()),
        search: params.search.filter(|s| !s.trim().is_empty()),
        updated_after_ms: params.active_minutes.map(|m| signed(now.saturating_sub(m.0.saturating_mul(60_000)))),
        label: params.label.map(|label| label.0),
        parent: params.spawned_by.map(|key| key.0),
        created_via: mine.then(|| "operator".into()),
        spoken: params.require_last_interaction == Some(true),
        but_keys: but_keys.into_iter().filter(|(_, shown)| *shown == Some(false)).map(|(key, _)| key).collect(),
        archived: match params.archived {
            Some(Archived::Only(true)) => table::Archived::Only,
            Some(Archived::Word(_)) => table::Archived::Shown,
            _ => table::Archived::Hidden,
        },
        limit: if active_only { table::LIST_MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) },
        offset: if active_only { 0 } else { usize::try_from(offset).unwrap_or(usize::MAX) },
        sort: match params.sort_by {
            Some(SortBy::LastInteractionAt) => Sort::Interaction,
            _ => Sort::Updated,
        },
        ..ListFilter::default()
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
    if configured {
        filter.agents = Some(shared.config.get().agent_ids().iter().map(|id| id.to_string()).collect());
    }
    if stranger || no_dashboard {
        // There is one user, and sessions have one face.
        filter.agents = Some(Vec::new());
    }
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
            if !titles {
                shown.derived_title = None;
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
    now: Now,
) -> Result<SessionsMessagesSubscribeResult, RpcError> {
    let key = key_of(state, &params);
    let approvals = params.include_approvals == Some(true) && who.scopes.allows(Scope::Approvals);
    if let Some(peer) = state.peers.get_mut(who.conn) {
        if peer.messages.len() >= SUBSCRIPTIONS && !peer.messages.contains(&key) {
            return Err(RpcError::invalid(format!(
                "a connection follows at most {SUBSCRIPTIONS} sessions; unsubscribe from one first"
            )));
        }
        peer.messages.insert(key.clone());
        match approvals {
            true => drop(peer.approvals.insert(key.clone())),
            false => drop(peer.approvals.remove(&key)),
        }
    }
    let approval_replay = approvals.then(|| state.approvals.of_session(who, &key, now.ms));
    Ok(SessionsMessagesSubscribeResult { subscribed: true, key, approval_replay })
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
        peer.approvals.remove(&key);
    }
    Ok(SessionsMessagesSubscribeResult { subscribed: false, key, approval_replay: None })
}

fn key_of(state: &State, params: &SessionsMessagesSubscribeParams) -> String {
    let config = state.shared.config.get();
    let agent = params.agent_id.as_ref().map_or(config.default_agent_id(), |id| id);
    canonical(&params.key, agent, main_key(&config))
}

pub fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
