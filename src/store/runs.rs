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

#[cfg(test)]
mod tests {
    use super::super::testing::memory;
    use super::*;

    fn run(run_id: &str, result: &str) -> RunRow {
        RunRow {
            run_id: run_id.into(),
            session_key: "agent:main:main".into(),
            status: "ok".into(),
            started_ms: 1,
            ended_ms: 2,
            result: result.into(),
        }
    }

    #[test]
    fn the_latest_end_of_a_run_is_remembered() {
        let conn = memory();
        put(&conn, &run("a", "1")).expect("puts");
        put(&conn, &run("b", "2")).expect("puts");
        put(&conn, &run("a", "3")).expect("replaces");
        assert_eq!(get(&conn, "a").expect("reads"), Some(run("a", "3")));
        assert_eq!(get(&conn, "nobody").expect("reads"), None);
        assert_eq!(newest(&conn, 10).expect("reads"), [run("b", "2"), run("a", "3")]);
    }

    #[test]
    fn only_the_newest_runs_are_kept() {
        let conn = memory();
        for n in 0..3 * RUNS_KEPT {
            put(&conn, &run(&n.to_string(), "{}")).expect("puts");
        }
        let kept: i64 = conn.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)).expect("counts");
        assert!((RUNS_KEPT as i64..RUNS_KEPT as i64 + PRUNE_EVERY).contains(&kept), "{kept}");
        assert!(get(&conn, &(2 * RUNS_KEPT).to_string()).expect("reads").is_some());
        assert!(get(&conn, "0").expect("reads").is_none());
    }

    #[test]
    fn long_results_shorten_the_ring() {
        let conn = memory();
        let long = "x".repeat(RESULT_MAX_BYTES);
        for n in 0..PRUNE_EVERY {
            put(&conn, &run(&n.to_string(), &long)).expect("puts");
        }
        let kept = newest(&conn, RUNS_KEPT).expect("reads").len();
        assert_eq!(kept, RUNS_KEPT_BYTES / RESULT_MAX_BYTES);
        assert!(matches!(put(&conn, &run("a", &format!("{long}x"))), Err(StoreError::TooLarge { .. })));
    }
}
