//! Messages on their way to a messenger: what an answer promised.
//!
//! A row is written in the transaction that ends a run (or accepts a `send`) and removed when the service has taken it, or
//! when it is too old or was tried too often, which its owner decides. Deliberately knows nothing of messengers: the body
//! is JSON text.
//!
//! Invariants: a key occurs once, also after its row is gone (see [`super::seen`]); rows of one place leave in order of
//! acceptance; at most [`OUTBOX_MAX`] rows and [`OUTBOX_MAX_BYTES`] of bodies.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::sql::{fits, statement};
use super::{StoreError, seen};

/// Messages that may wait; over it a `put` is `Busy`.
pub const OUTBOX_MAX: u64 = 5_000;
/// Bodies of all waiting messages together.
pub const OUTBOX_MAX_BYTES: u64 = 32 << 20;
/// One message; files are named by path, not carried.
pub const BODY_MAX_BYTES: usize = 1 << 20;

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Order of acceptance; given by [`put`], ignored there.
    pub n: i64,
    /// Idempotency key.
    pub key: String,
    pub channel: String,
    pub account: String,
    /// Messages to one place keep their order.
    pub place: String,
    pub created_at_ms: i64,
    pub not_before_ms: i64,
    /// Times it was handed to the service without a clear answer.
    pub attempts: u32,
    /// JSON text, at most [`BODY_MAX_BYTES`].
    pub body: String,
}

/// Keeps a message. False when its key waits or went out before; nothing changes then.
pub fn put(conn: &Connection, row: &OutboxRow) -> Result<bool, StoreError> {
    fits(row.body.len(), BODY_MAX_BYTES)?;
    if !seen::note(conn, &format!("out\u{1f}{}", row.key), row.created_at_ms)? {
        return Ok(false);
    }
    let (waiting, bytes) = load(conn)?;
    if waiting >= OUTBOX_MAX || bytes + row.body.len() as u64 > OUTBOX_MAX_BYTES {
        return Err(StoreError::Busy { what: "" });
    }
    statement(
        conn,
        "INSERT INTO outbox (key, channel, account, place, created_at_ms, not_before_ms, attempts, bytes, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        row.key,
        row.channel,
        row.account,
        row.place,
        row.created_at_ms,
        row.not_before_ms,
        row.attempts,
        row.body.len() as i64,
        row.body
    ])?;
    Ok(true)
}

/// What went out under a key before, as the service named it. `None`: never heard of it; empty: still on its way.
pub fn sent(conn: &Connection, key: &str) -> Result<Option<String>, StoreError> {
    seen::note_of(conn, &format!("out\u{1f}{key}"))
}

/// The oldest waiting messages of an account, in order, at most `limit`.
pub fn list(conn: &Connection, channel: &str, account: &str, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
    let sql = "SELECT n, key, channel, account, place, created_at_ms, not_before_ms, attempts, body FROM outbox
               WHERE channel = ?1 AND account = ?2 ORDER BY n LIMIT ?3";
    let rows = statement(conn, sql)?
        .query_map(params![channel, account, limit as i64], from_row)?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// Counts one more try, before the service hears of it. False when the row is gone.
pub fn begin(conn: &Connection, n: i64) -> Result<bool, StoreError> {
    Ok(statement(conn, "UPDATE outbox SET attempts = attempts + 1 WHERE n = ?1")?.execute([n])? == 1)
}

/// Lets a message wait. `uncounted`: the last try did not reach the service.
pub fn postpone(conn: &Connection, n: i64, not_before_ms: i64, uncounted: bool) -> Result<(), StoreError> {
    statement(conn, "UPDATE outbox SET not_before_ms = ?2, attempts = max(attempts - ?3, 0) WHERE n = ?1")?
        .execute(params![n, not_before_ms, i64::from(uncounted)])?;
    Ok(())
}

/// Removes a message; `name` is what the service calls it, and is remembered with its key.
pub fn remove(conn: &Connection, n: i64, name: &str) -> Result<(), StoreError> {
    let key: Option<String> = statement(conn, "DELETE FROM outbox WHERE n = ?1 RETURNING key")?
        .query_row([n], |row| row.get(0))
        .optional()?;
    match key {
        Some(key) if !name.is_empty() => seen::set_note(conn, &format!("out\u{1f}{key}"), name),
        _ => Ok(()),
    }
}

/// How many messages of an account wait.
pub fn waiting(conn: &Connection, channel: &str, account: &str) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM outbox WHERE channel = ?1 AND account = ?2";
    Ok(statement(conn, sql)?.query_row([channel, account], |row| super::sql::count(row, 0))?)
}

/// How many messages wait, and the bytes of their bodies.
pub fn load(conn: &Connection) -> Result<(u64, u64), StoreError> {
    let sums = statement(conn, "SELECT count(*), coalesce(sum(bytes), 0) FROM outbox")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
    Ok((sums.0.max(0) as u64, sums.1.max(0) as u64))
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    Ok(OutboxRow {
        n: row.get(0)?,
        key: row.get(1)?,
        channel: row.get(2)?,
        account: row.get(3)?,
        place: row.get(4)?,
        created_at_ms: row.get(5)?,
        not_before_ms: row.get(6)?,
        attempts: row.get(7)?,
        body: row.get(8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::memory;
    use super::*;

    fn row(key: &str) -> OutboxRow {
        OutboxRow {
            n: 0,
            key: key.into(),
            channel: "telegram".into(),
            account: "default".into(),
            place: "1".into(),
            created_at_ms: 1,
            not_before_ms: 0,
            attempts: 0,
            body: "{}".into(),
        }
    }

    #[test]
    fn a_key_goes_out_once_also_after_it_went() {
        let conn = memory();
        assert!(put(&conn, &row("a")).expect("puts"));
        assert!(!put(&conn, &row("a")).expect("knows it"));
        let n = list(&conn, "telegram", "default", 9).expect("lists")[0].n;
        assert_eq!(sent(&conn, "a").expect("reads").as_deref(), Some(""));
        remove(&conn, n, "77").expect("removes");
        assert!(!put(&conn, &row("a")).expect("remembers it"));
        assert_eq!(sent(&conn, "a").expect("reads").as_deref(), Some("77"));
        assert_eq!(sent(&conn, "b").expect("reads"), None);
    }

    #[test]
    fn tries_that_reached_nobody_are_not_counted() {
        let conn = memory();
        put(&conn, &row("a")).expect("puts");
        let n = list(&conn, "telegram", "default", 9).expect("lists")[0].n;
        assert!(begin(&conn, n).expect("counts"));
        postpone(&conn, n, 5, true).expect("waits");
        assert_eq!(list(&conn, "telegram", "default", 9).expect("lists")[0].attempts, 0);
        assert!(begin(&conn, n).expect("counts"));
        postpone(&conn, n, 9, false).expect("waits");
        let waiting = &list(&conn, "telegram", "default", 9).expect("lists")[0];
        assert_eq!((waiting.attempts, waiting.not_before_ms), (1, 9));
        assert!(list(&conn, "telegram", "other", 9).expect("lists").is_empty());
    }
}
