//! Inputs that were accepted and not yet run: what an acknowledgement promised.
//!
//! A row is written before the acknowledgement and removed in the transaction that stores what came of it. After a
//! crash the rows are the list of what is still owed. Deliberately does not decide when an input is too old or was tried
//! too often; it keeps `created_at_ms` and `attempts` for those who do.
//!
//! Invariants: a run id occurs once; order is the order of acceptance; at most [`INBOX_MAX`] rows and
//! [`INBOX_MAX_BYTES`] of payload.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use super::sql::{fits, statement, text_bytes};

/// Inputs that may wait; over it a `put` is `Busy`, and the sender is told instead of promised.
pub const INBOX_MAX: u64 = 1_000;
/// Payload of all waiting inputs together.
pub const INBOX_MAX_BYTES: u64 = 64 << 20;
/// One input with its attachments.
pub const PAYLOAD_MAX_BYTES: usize = 32 << 20;

/// An accepted input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxRow {
    /// Order of acceptance; given by [`put`], ignored there.
    pub n: i64,
    pub run_id: String,
    pub session_key: String,
    pub agent_id: String,
    pub created_at_ms: i64,
    pub attempts: u32,
    /// JSON text, at most [`PAYLOAD_MAX_BYTES`].
    pub payload: String,
}

/// Keeps an input. False when its run id is there already; nothing changes then.
pub fn put(conn: &Connection, row: &InboxRow) -> Result<bool, StoreError> {
    fits(row.payload.len(), PAYLOAD_MAX_BYTES)?;
    if statement(conn, "SELECT 1 FROM inbox WHERE run_id = ?1")?.exists([&row.run_id])? {
        return Ok(false);
    }
    let (waiting, bytes) = load(conn)?;
    if waiting >= INBOX_MAX || bytes + row.payload.len() as u64 > INBOX_MAX_BYTES {
        return Err(StoreError::Busy { what: "" });
    }
    statement(
        conn,
        "INSERT INTO inbox (run_id, session_key, agent_id, created_at_ms, attempts, bytes, payload)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        row.run_id,
        row.session_key,
        row.agent_id,
        row.created_at_ms,
        row.attempts,
        row.payload.len() as i64,
        row.payload
    ])?;
    Ok(true)
}

/// Looks an input up.
pub fn get(conn: &Connection, run_id: &str) -> Result<Option<InboxRow>, StoreError> {
    Ok(statement(conn, &format!("{SELECT} WHERE run_id = ?1"))?.query_row([run_id], from_row).optional()?)
}

/// Removes an input and returns it.
pub fn take(conn: &Connection, run_id: &str) -> Result<Option<InboxRow>, StoreError> {
    let row = get(conn, run_id)?;
    if row.is_some() {
        remove(conn, run_id)?;
    }
    Ok(row)
}

/// Removes an input. False when it was not there.
pub fn remove(conn: &Connection, run_id: &str) -> Result<bool, StoreError> {
    Ok(statement(conn, "DELETE FROM inbox WHERE run_id = ?1")?.execute([run_id])? == 1)
}

/// Waiting inputs accepted after `after_n` (0: from the first), in order. Stops at `limit` rows or before `max_bytes`
/// of payload, but gives at least one if there is one.
pub fn list(conn: &Connection, after_n: i64, limit: usize, max_bytes: usize) -> Result<Vec<InboxRow>, StoreError> {
    let mut stmt = statement(conn, &format!("{SELECT} WHERE n > ?1 ORDER BY n"))?;
    let mut rows = stmt.query([after_n])?;
    gather(&mut rows, limit, max_bytes)
}

fn gather(rows: &mut rusqlite::Rows<'_>, limit: usize, max_bytes: usize) -> Result<Vec<InboxRow>, StoreError> {
    let (mut waiting, mut bytes) = (Vec::new(), 0);
    while waiting.len() < limit
        && let Some(row) = rows.next()?
    {
        bytes += text_bytes(row, 6)?;
        if bytes > max_bytes && !waiting.is_empty() {
            break;
        }
        waiting.push(from_row(row)?);
    }
    Ok(waiting)
}

/// What waits for a session, the newest `limit` of what was accepted before `before_n`, in order; and how many wait in
/// all. The bounds are those of [`list`].
pub fn of_session(
    conn: &Connection,
    session_key: &str,
    before_n: i64,
    limit: usize,
    max_bytes: usize,
) -> Result<(Vec<InboxRow>, u64), StoreError> {
    let total = statement(conn, "SELECT count(*) FROM inbox WHERE session_key = ?1")?
        .query_row([session_key], |row| super::sql::count(row, 0))?;
    let mut stmt = statement(conn, &format!("{SELECT} WHERE session_key = ?1 AND n < ?2 ORDER BY n DESC"))?;
    let mut rows = stmt.query(params![session_key, before_n])?;
    let mut waiting = gather(&mut rows, limit, max_bytes)?;
    waiting.reverse();
    Ok((waiting, total))
}

/// Counts one more try. Returns the new number, None when the input is not there.
pub fn bump_attempts(conn: &Connection, run_id: &str) -> Result<Option<u32>, StoreError> {
    Ok(statement(conn, "UPDATE inbox SET attempts = attempts + 1 WHERE run_id = ?1 RETURNING attempts")?
        .query_row([run_id], |row| row.get(0))
        .optional()?)
}

/// How many inputs wait, and the bytes of their payloads.
pub fn load(conn: &Connection) -> Result<(u64, u64), StoreError> {
    let sums = statement(conn, "SELECT count(*), coalesce(sum(bytes), 0) FROM inbox")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
    Ok((sums.0 as u64, sums.1 as u64))
}

const SELECT: &str = "SELECT n, run_id, session_key, agent_id, created_at_ms, attempts, payload FROM inbox";

fn from_row(row: &Row<'_>) -> rusqlite::Result<InboxRow> {
    Ok(InboxRow {
        n: row.get(0)?,
        run_id: row.get(1)?,
        session_key: row.get(2)?,
        agent_id: row.get(3)?,
        created_at_ms: row.get(4)?,
        attempts: row.get(5)?,
        payload: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::memory;
    use super::*;

    fn input(run_id: &str, payload: &str) -> InboxRow {
        InboxRow {
            n: 0,
            run_id: run_id.into(),
            session_key: "agent:main:main".into(),
            agent_id: "main".into(),
            created_at_ms: 7,
            attempts: 0,
            payload: payload.into(),
        }
    }

    fn ids(rows: &[InboxRow]) -> Vec<&str> {
        rows.iter().map(|row| row.run_id.as_str()).collect()
    }

    #[test]
    fn inputs_wait_in_order_and_are_taken_once() {
        let conn = memory();
        for run_id in ["c", "a", "b"] {
            assert!(put(&conn, &input(run_id, "{}")).expect("puts"));
        }
        assert!(!put(&conn, &input("a", "other")).expect("is there"), "a repeated put changes nothing");
        let all = list(&conn, 0, 10, 1000).expect("lists");
        assert_eq!(ids(&all), ["c", "a", "b"]);
        assert_eq!(ids(&list(&conn, all[0].n, 1, 1000).expect("lists")), ["a"]);
        assert_eq!(ids(&list(&conn, 0, 10, 4).expect("lists")), ["c", "a"]);
        assert_eq!(ids(&list(&conn, 0, 10, 0).expect("lists")), ["c"]);
        let taken = take(&conn, "a").expect("takes").expect("there");
        assert_eq!((taken.payload.as_str(), taken.created_at_ms), ("{}", 7));
        assert_eq!(take(&conn, "a").expect("gone"), None);
        assert!(remove(&conn, "c").expect("removes"));
        assert!(!remove(&conn, "c").expect("gone"));
        assert_eq!(load(&conn).expect("counts"), (1, 2));
    }

    #[test]
    fn tries_are_counted() {
        let conn = memory();
        put(&conn, &input("a", "{}")).expect("puts");
        assert_eq!(bump_attempts(&conn, "a").expect("counts"), Some(1));
        assert_eq!(bump_attempts(&conn, "a").expect("counts"), Some(2));
        assert_eq!(get(&conn, "a").expect("reads").expect("there").attempts, 2);
        assert_eq!(bump_attempts(&conn, "nobody").expect("counts"), None);
    }

    #[test]
    fn a_full_inbox_promises_nothing() {
        let conn = memory();
        for n in 0..INBOX_MAX {
            put(&conn, &input(&n.to_string(), "{}")).expect("puts");
        }
        assert!(matches!(put(&conn, &input("more", "{}")), Err(StoreError::Busy { .. })));
        remove(&conn, "0").expect("removes");
        assert!(put(&conn, &input("more", "{}")).expect("a place is free"));
    }

    #[test]
    fn a_payload_over_its_cap_or_the_inboxs_is_refused() {
        let conn = memory();
        let long = "x".repeat(PAYLOAD_MAX_BYTES);
        assert!(matches!(put(&conn, &input("a", &format!("{long}x"))), Err(StoreError::TooLarge { .. })));
        assert!(put(&conn, &input("a", &long)).expect("puts"));
        assert!(put(&conn, &input("b", &long)).expect("puts"));
        assert!(matches!(put(&conn, &input("c", "x")), Err(StoreError::Busy { .. })));
    }
}
