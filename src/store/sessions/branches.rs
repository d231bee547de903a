//! Other ways a conversation went: transcripts that a rewind left, and that can be taken up again.
//!
//! They are past transcripts with a mark ([`PastSession`]); a reset takes the mark away, because what it begins is
//! another conversation.

use rusqlite::{Connection, OptionalExtension, params};

use super::{PastSession, SessionRow, get, reset, update};
use crate::store::sql::statement;
use crate::store::{StoreError, transcript};

/// Past transcripts of a key that are branches of what it is now, newest first.
pub fn list(conn: &Connection, key: &str) -> Result<Vec<PastSession>, StoreError> {
    let sql =
        "SELECT session_id, ended_at_ms FROM past_sessions WHERE key = ?1 AND branch = 1 ORDER BY ended_at_ms DESC";
    let rows = statement(conn, sql)?
        .query_map([key], |row| Ok(PastSession { session_id: row.get(0)?, ended_at_ms: row.get(1)? }))?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// Goes on from just before an entry, under a new session id. The transcript as it was becomes a branch. None when the
/// key is unknown.
pub fn rewind(
    conn: &Connection,
    key: &str,
    before_seq: u64,
    new_session_id: &str,
    now_ms: i64,
) -> Result<Option<SessionRow>, StoreError> {
    let Some(old) = get(conn, key)? else { return Ok(None) };
    let mut branches: Vec<String> = list(conn, key)?.into_iter().map(|past| past.session_id).collect();
    // Copied first: what is ended may be too old to be kept.
    let messages = transcript::copy(conn, &old.session_id, new_session_id, None, Some(before_seq))?;
    let Some(mut row) = reset(conn, key, new_session_id, now_ms)? else { return Ok(None) };
    branches.push(old.session_id);
    mark(conn, key, &branches)?;
    row.message_count = messages;
    row.compaction_count = old.compaction_count;
    update(conn, &row)?;
    Ok(Some(row))
}

/// Takes up a branch again; the transcript as it was becomes one. None when the key is unknown or has no such branch.
pub fn switch(conn: &Connection, key: &str, branch: &str, now_ms: i64) -> Result<Option<SessionRow>, StoreError> {
    let sql = "SELECT 1 FROM past_sessions WHERE key = ?1 AND session_id = ?2 AND branch = 1";
    let known = statement(conn, sql)?.query_row(params![key, branch], |_| Ok(())).optional()?;
    let (Some(()), Some(old)) = (known, get(conn, key)?) else { return Ok(None) };
    // No longer of the past: what is surplus must not be this one.
    statement(conn, "DELETE FROM past_sessions WHERE key = ?1 AND session_id = ?2")?.execute([key, branch])?;
    let mut branches: Vec<String> = list(conn, key)?.into_iter().map(|past| past.session_id).collect();
    let Some(mut row) = reset(conn, key, branch, now_ms)? else { return Ok(None) };
    branches.push(old.session_id);
    mark(conn, key, &branches)?;
    row.message_count = transcript::count(conn, branch)?;
    update(conn, &row)?;
    Ok(Some(row))
}

fn mark(conn: &Connection, key: &str, session_ids: &[String]) -> Result<(), StoreError> {
    for id in session_ids {
        statement(conn, "UPDATE past_sessions SET branch = 1 WHERE key = ?1 AND session_id = ?2")?
            .execute([key, id.as_str()])?;
    }
    Ok(())
}
