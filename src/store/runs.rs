//! Finished runs: what `agent.wait` and a repeated request are told, also after a restart.
//!
//! A ring, not a history: the newest [`RUNS_KEPT`] (and at most [`RUNS_KEPT_BYTES`] of results) stay. Usage and
//! transcripts are kept elsewhere.
//!
//! Invariants: a run id occurs once, its latest result wins; pruning happens every [`PRUNE_EVERY`] runs, so that the
//! ordinary end of a run touches few pages.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use super::sql::{fits, statement};

/// Enough for every client that may still ask after a restart.
pub const RUNS_KEPT: usize = 2_000;
/// Results of all kept runs together.
pub const RUNS_KEPT_BYTES: usize = 16 << 20;
/// One result; a longer answer belongs into the transcript.
pub const RESULT_MAX_BYTES: usize = 1 << 20;
/// The ring may be this much longer than [`RUNS_KEPT`].
pub const PRUNE_EVERY: i64 = 64;

/// A run that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    pub run_id: String,
    pub session_key: String,
    /// `ok`, `error`, `timeout`, `aborted`, ...
    pub status: String,
    pub started_ms: i64,
    pub ended_ms: i64,
    /// JSON text, at most [`RESULT_MAX_BYTES`].
    pub result: String,
}

/// Keeps a finished run, replacing an earlier end of the same run.
pub fn put(conn: &Connection, run: &RunRow) -> Result<(), StoreError> {
    fits(run.result.len(), RESULT_MAX_BYTES)?;
    let n: i64 = statement(
        conn,
        "INSERT INTO runs (run_id, session_key, status, started_ms, ended_ms, bytes, result)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (run_id) DO UPDATE SET session_key = excluded.session_key, status = excluded.status,
            started_ms = excluded.started_ms, ended_ms = excluded.ended_ms, bytes = excluded.bytes,
            result = excluded.result
         RETURNING n",
    )?
    .query_row(
        params![
            run.run_id,
            run.session_key,
            run.status,
            run.started_ms,
            run.ended_ms,
            run.result.len() as i64,
            run.result
        ],
        |row| row.get(0),
    )?;
    if n % PRUNE_EVERY == 0 { prune(conn) } else { Ok(()) }
}

/// The end of a run, if it is still known.
pub fn get(conn: &Connection, run_id: &str) -> Result<Option<RunRow>, StoreError> {
    Ok(statement(conn, &format!("{SELECT} WHERE run_id = ?1"))?.query_row([run_id], from_row).optional()?)
}

/// The newest ends, newest first.
pub fn newest(conn: &Connection, limit: usize) -> Result<Vec<RunRow>, StoreError> {
    let rows = statement(conn, &format!("{SELECT} ORDER BY n DESC LIMIT ?1"))?
        .query_map([limit.min(RUNS_KEPT) as i64], from_row)?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// Forgets everything older than the ring.
fn prune(conn: &Connection) -> Result<(), StoreError> {
    let mut stmt = statement(conn, "SELECT n, bytes FROM runs ORDER BY n DESC")?;
    let mut rows = stmt.query([])?;
    let (mut kept, mut bytes) = (0, 0usize);
    while let Some(row) = rows.next()? {
        let (n, size): (i64, i64) = (row.get(0)?, row.get(1)?);
        kept += 1;
        bytes += size as usize;
        if kept > RUNS_KEPT || bytes > RUNS_KEPT_BYTES {
            drop(rows);
            statement(conn, "DELETE FROM runs WHERE n <= ?1")?.execute([n])?;
            return Ok(());
        }
    }
    Ok(())
}

const SELECT: &str = "SELECT run_id, session_key, status, started_ms, ended_ms, result FROM runs";

fn from_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        run_id: row.get(0)?,
        session_key: row.get(1)?,
        status: row.get(2)?,
        started_ms: row.get(3)?,
        ended_ms: row.get(4)?,
        result: row.get(5)?,
    })
}
