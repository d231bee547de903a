//! Letting a stranger in: a code he reads to the operator, and the list of those who were let in.
//!
//! Both are named facts in the store, one scope per account: requests by sender, and allowed senders. A code is 8 signs
//! without those that look alike, lives an hour, and at most three wait per account.

use rusqlite::Connection;
use serde::Serialize;

use super::account::AccountKey;
use crate::store::{StoreError, kv};
use crate::sys::order;
use crate::sys::random;
use crate::wire::misfit;
use crate::wire::object::objects;

/// Requests that may wait per account; more strangers are not answered until one is decided or runs out.
pub const PENDING: usize = 3;
/// How long a request waits (milliseconds).
pub const TTL_MS: u64 = 3_600_000;

/// No 0, O, 1, I: a code is read aloud.
const SIGNS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

objects! { lenient:
    /// A stranger who waits.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct Request {
        pub code: String,
        pub sender: String,
        pub name: String,
        /// Where he can be answered.
        pub chat: String,
        pub created_ms: u64,
        pub seen_ms: u64,
    }
}

fn pending_scope(key: &AccountKey) -> String {
    format!("pairing.pending.{}.{}", key.channel, key.account)
}

fn allowed_scope(key: &AccountKey) -> String {
    format!("pairing.allowed.{}.{}", key.channel, key.account)
}

/// Whether an operator let this sender in.
pub fn allows(conn: &Connection, key: &AccountKey, sender: &str) -> Result<bool, StoreError> {
    Ok(kv::get(conn, &allowed_scope(key), sender)?.is_some())
}

/// Who was let in.
pub fn allowed(conn: &Connection, key: &AccountKey) -> Result<Vec<String>, StoreError> {
    Ok(kv::list(conn, &allowed_scope(key))?.into_iter().map(|(sender, _)| sender).collect())
}

/// Those who wait, oldest first; requests that ran out are left out.
pub fn pending(conn: &Connection, key: &AccountKey, now_ms: u64) -> Result<Vec<Request>, StoreError> {
    let rows = kv::list(conn, &pending_scope(key))?;
    let mut requests: Vec<Request> =
        rows.iter().filter_map(|(_, json)| misfit::read(json).ok()).filter(|one| lives(one, now_ms)).collect();
    order::by_key(&mut requests, |request| request.created_ms);
    Ok(requests)
}

fn lives(request: &Request, now_ms: u64) -> bool {
    request.created_ms.saturating_add(TTL_MS) > now_ms
}

/// Notes that a stranger wrote. `Some`: a new request; he is to be told its code. `None`: he knows it, or too many wait.
pub fn ask(
    conn: &Connection,
    key: &AccountKey,
    (sender, name, chat): (&str, &str, &str),
    now_ms: u64,
) -> Result<Option<Request>, StoreError> {
    let scope = pending_scope(key);
    let mut waiting = 0;
    for (id, json) in kv::list(conn, &scope)? {
        match misfit::read::<Request>(&json).ok().filter(|request| lives(request, now_ms)) {
            Some(mut request) if id == sender => {
                request.seen_ms = now_ms;
                kv::set(conn, &scope, sender, &json_of(&request))?;
                return Ok(None);
            }
            Some(_) => waiting += 1,
            None => drop(kv::delete(conn, &scope, &id)?),
        }
    }
    if waiting >= PENDING {
        return Ok(None);
    }
    let code = random::bytes::<8>().iter().map(|byte| char::from(SIGNS[usize::from(byte & 31)])).collect();
    let cut = |text: &str| crate::wire::frame::cut(text, 128).to_owned();
    let request = Request {
        code,
        sender: sender.into(),
        name: cut(name),
        chat: chat.into(),
        created_ms: now_ms,
        seen_ms: now_ms,
    };
    kv::set(conn, &scope, sender, &json_of(&request))?;
    Ok(Some(request))
}

/// Lets in whoever waits under a code or as a sender's id.
pub fn approve(conn: &Connection, key: &AccountKey, code: &str, now_ms: u64) -> Result<Option<Request>, StoreError> {
    let Some(request) = take(conn, key, code, now_ms)? else { return Ok(None) };
    kv::set(conn, &allowed_scope(key), &request.sender, &format!("{{\"at\":{now_ms}}}"))?;
    Ok(Some(request))
}

/// Forgets a request.
pub fn dismiss(conn: &Connection, key: &AccountKey, code: &str, now_ms: u64) -> Result<Option<Request>, StoreError> {
    take(conn, key, code, now_ms)
}

fn take(conn: &Connection, key: &AccountKey, code: &str, now_ms: u64) -> Result<Option<Request>, StoreError> {
    let code = code.trim();
    let fits = |request: &Request| request.code.eq_ignore_ascii_case(code) || request.sender == code;
    let found = pending(conn, key, now_ms)?.into_iter().find(fits);
    if let Some(request) = &found {
        kv::delete(conn, &pending_scope(key), &request.sender)?;
    }
    Ok(found)
}

/// Forgets everybody who was let in and everybody who waits: the account is gone.
pub fn forget(conn: &Connection, key: &AccountKey) -> Result<(), StoreError> {
    for scope in [pending_scope(key), allowed_scope(key)] {
        for (name, _) in kv::list(conn, &scope)? {
            kv::delete(conn, &scope, &name)?;
        }
    }
    Ok(())
}

/// What a stranger is told.
pub fn words(label: &str, channel: &str, request: &Request) -> String {
    format!(
        "This assistant answers only people it knows.\n\nYour {label} user id: {}\nPairing code: {}\n\nAsk its owner to \
         run:\nopenclaw pairing approve {channel} {}",
        request.sender, request.code, request.code
    )
}

fn json_of(request: &Request) -> String {
    serde_json::to_string(request).expect("texts and numbers are always JSON")
}
