//! `users.*`: the owner, and what their clients keep here; `voicewake.*`: the words that wake a microphone.

use std::sync::Arc;

use rusqlite::Connection;
use serde_json::value::RawValue;

use crate::auth::Caller;
use crate::hub::sessions::stored;
use crate::hub::voicewake::{keep_voice_words, voice_words, wake_words};
use crate::hub::{Now, State, TaskContext, Ticket};
use crate::store::{StoreError, kv};
use crate::sys::clock;
use crate::wire::error::RpcError;
use crate::wire::event as kinds;
use crate::wire::frame::{OWNER_PROFILE, cut};
use crate::wire::sorted::Sorted;
use crate::wire::user::*;

/// Named facts about the owner, and what clients keep.
const OWNER: &str = "owner";
const SINCE: &str = "since";
const PREFS: &str = "prefs";
/// Keys of one call.
const CALL_KEYS: usize = 32;
const KEY_CHARS: usize = 256;
/// Keys in all, and bytes of one value: 4 MB at most.
const KEYS: usize = 256;
const VALUE_BYTES: usize = 16 << 10;

pub fn own(context: &TaskContext, who: &Arc<Caller>, _: UsersSelfParams) -> Result<UsersSelfResult, RpcError> {
    if !who.tracked() {
        return Err(RpcError::forbidden("users.self requires an authenticated user"));
    }
    Ok(UsersSelfResult { profile: profile(context)? })
}

pub fn list(context: &TaskContext, _: &Arc<Caller>, _: UsersListParams) -> Result<UsersListResult, RpcError> {
    Ok(UsersListResult { profiles: vec![profile(context)?] })
}

/// The owner is here since somebody first asked.
fn profile(context: &TaskContext) -> Result<Profile, RpcError> {
    let read = |conn: &Connection| kv::get(conn, OWNER, SINCE);
    let since = match context.store.read("read the owner's profile", read).map_err(stored)? {
        Some(since) => since,
        None => {
            let now = clock::now_ms().to_string();
            let kept = context.store.write("keep the owner's profile", move |conn| {
                if let Some(known) = kv::get(conn, OWNER, SINCE)? {
                    return Ok(known);
                }
                kv::set(conn, OWNER, SINCE, &now)?;
                Ok(now)
            });
            kept.map_err(stored)?
        }
    };
    let since = since.parse().unwrap_or(0);
    Ok(Profile {
        id: OWNER_PROFILE,
        display_name: None,
        avatar_mime: None,
        merged_into: None,
        created_at: since,
        updated_at: since,
        emails: Vec::new(),
        github_identity: None,
        has_avatar: false,
    })
}

pub fn prefs_get(
    context: &TaskContext,
    who: &Arc<Caller>,
    params: UsersPrefsGetParams,
) -> Result<UsersPrefsGetResult, RpcError> {
    if params.keys.len() > CALL_KEYS {
        return Err(too_many("users.prefs.get", "keys"));
    }
    if !who.tracked() {
        return Ok(UsersPrefsGetResult { status: "no_durable_identity", entries: None });
    }
    let read = |conn: &Connection| {
        let mut entries = Sorted::new();
        for key in params.keys {
            if let Some(value) = kv::get(conn, PREFS, &key)?.and_then(|text| RawValue::from_string(text).ok()) {
                entries.insert(key.0, value);
            }
        }
        Ok(entries)
    };
    let entries = context.store.read("read preferences", read).map_err(stored)?;
    Ok(UsersPrefsGetResult { status: "ok", entries: Some(entries) })
}

pub fn prefs_set(state: &mut State, who: &Arc<Caller>, params: UsersPrefsSetParams, ticket: Ticket, _: Now) {
    if let Err(error) = fits(&params) {
        return ticket.answer(Err(error));
    }
    if !who.tracked() {
        return ticket.answer_with(Ok(UsersPrefsSetResult { status: "no_durable_identity" }));
    }
    let keys: Vec<String> = params.entries.keys().cloned().collect();
    let job = move |conn: &Connection| write(conn, params);
    state.change_session(ticket, "keep preferences", job, move |state, ticket, written, _| {
        ticket.answer_with(Ok(UsersPrefsSetResult { status: if written { "ok" } else { "conflict" } }));
        if written && !keys.is_empty() {
            let keys = keys.iter().map(String::as_str).collect();
            let event = UsersPrefsChangedEvent { profile_id: OWNER_PROFILE, keys };
            state.peers.broadcast(&kinds::USERS_PREFS_CHANGED, &event, None, |_| true);
        }
    });
}

/// False when something is not what it was expected to be; then nothing is written.
fn write(conn: &Connection, params: UsersPrefsSetParams) -> Result<Result<bool, RpcError>, StoreError> {
    for (key, expected) in params.expected_entries.unwrap_or_default() {
        let now = kv::get(conn, PREFS, &key)?;
        let now = now.as_deref().unwrap_or("null");
        if !same(now, expected.get()) {
            return Ok(Ok(false));
        }
    }
    let known = kv::list(conn, PREFS)?;
    let there = |key: &String| known.iter().any(|(name, _)| name == key);
    let fresh = params.entries.iter().filter(|(key, value)| value.get() != "null" && !there(key)).count();
    let gone = params.entries.iter().filter(|(key, value)| value.get() == "null" && there(key)).count();
    if fresh > 0 && known.len() + fresh - gone > KEYS {
        let (limit, current_count) = (KEYS as u64, known.len() as u64);
        let code = "USER_PREFS_LIMIT_EXCEEDED";
        let details = UserPrefsLimitExceededErrorDetails { code, limit, current_count };
        let text = format!("users.prefs.set exceeds the {limit}-key profile limit (current count: {current_count})");
        return Ok(Err(RpcError::invalid(text).details(&details)));
    }
    for (key, value) in &params.entries {
        match value.get() {
            "null" => {
                kv::delete(conn, PREFS, key)?;
            }
            text => kv::set(conn, PREFS, key, text)?,
        }
    }
    Ok(Ok(true))
}

/// The same JSON, however it is written.
fn same(left: &str, right: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    left == right || value(left).is_some_and(|left| Some(left) == value(right))
}

fn fits(params: &UsersPrefsSetParams) -> Result<(), RpcError> {
    let expected = params.expected_entries.as_ref();
    if params.entries.len() > CALL_KEYS || expected.is_some_and(|expected| expected.len() > CALL_KEYS) {
        return Err(too_many("users.prefs.set", "entries"));
    }
    for (key, value) in params.entries.iter().chain(expected.into_iter().flatten()) {
        let shown = cut(key, 64);
        if key.is_empty() || key.chars().count() > KEY_CHARS {
            return Err(RpcError::invalid(format!("invalid users.prefs.set entry for {shown}: key-length")));
        }
        if value.get().len() > VALUE_BYTES {
            return Err(RpcError::invalid(format!(
                "invalid users.prefs.set entry for {shown}: a value has at most {VALUE_BYTES} bytes of JSON"
            )));
        }
    }
    Ok(())
}

fn too_many(method: &str, what: &str) -> RpcError {
    RpcError::invalid(format!("invalid {method} params: at /{what}: must not have more than {CALL_KEYS} items"))
}

pub fn voicewake_get(
    context: &TaskContext,
    _: &Arc<Caller>,
    _: VoicewakeGetParams,
) -> Result<VoicewakeTriggers, RpcError> {
    context.store.read("read the wake words", voice_words).map_err(stored)
}

pub fn voicewake_set(state: &mut State, _: &Arc<Caller>, params: VoicewakeSetParams, ticket: Ticket, _: Now) {
    let triggers = wake_words(params.triggers);
    let text = serde_json::to_string(&triggers).unwrap_or_default();
    let job = move |conn: &Connection| Ok(Ok(keep_voice_words(conn, &text)?));
    state.change_session(ticket, "keep the wake words", job, move |state, ticket, (), _| {
        let words = VoicewakeTriggers { triggers };
        state.tell_voice_words(&words);
        ticket.answer_with(Ok(words));
    });
}
