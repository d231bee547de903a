//! The history of scheduled runs.
//!
//! Jobs themselves are few and small: they are named facts (see [`super::kv`], scope [`JOBS`]) that the state thread
//! holds in memory. Runs grow with time and have this table.
//!
//! Invariants: of one job the newest [`KEPT_PER_JOB`] runs stay, of all jobs the newest [`KEPT`]; a run id occurs once.

use rusqlite::{Connection, params};

use super::StoreError;
use super::sql::{count, fits, statement};

/// Scope of the jobs among the named facts.
pub const JOBS: &str = "cron.job";
/// A month of hourly runs.
pub const KEPT_PER_JOB: i64 = 720;
/// Runs of all jobs, some kilobytes each at the very most.
pub const KEPT: i64 = 4_000;
/// One run: its answer is cut before it comes here.
pub const ENTRY_MAX_BYTES: usize = 64 << 10;
/// Pruning happens once in so many runs.
const PRUNE_EVERY: i64 = 64;

/// A run that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    pub run_id: String,
    pub job_id: String,
    pub agent_id: String,
    pub status: String,
    pub delivery: String,
    /// JSON text as clients get it, at most [`ENTRY_MAX_BYTES`].
    pub entry: String,
}

/// Which runs are asked for; empty lists and None ask for all.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    pub job_id: Option<String>,
    pub agent_id: Option<String>,
    pub run_id: Option<String>,
    pub statuses: Vec<String>,
    pub deliveries: Vec<String>,
    /// Some words of the answer or the error.
    pub words: Option<String>,
    pub oldest_first: bool,
    pub offset: u64,
    pub limit: u64,
}

/// Keeps a run; a repeated run id replaces its line.
pub fn put(conn: &Connection, run: &RunRow) -> Result<(), StoreError> {
    fits(run.entry.len(), ENTRY_MAX_BYTES)?;
    let n: i64 = statement(
        conn,
        "INSERT INTO cron_runs (run_id, job_id, agent_id, status, delivery, entry) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (run_id) DO UPDATE SET status = excluded.status, delivery = excluded.delivery,
            entry = excluded.entry
         RETURNING n",
    )?
    .query_row(params![run.run_id, run.job_id, run.agent_id, run.status, run.delivery, run.entry], |row| row.get(0))?;
    if n % PRUNE_EVERY == 0 { prune(conn, &run.job_id, n) } else { Ok(()) }
}

fn prune(conn: &Connection, job_id: &str, n: i64) -> Result<(), StoreError> {
    statement(conn, "DELETE FROM cron_runs WHERE n <= ?1")?.execute([n - KEPT])?;
    statement(
        conn,
        "DELETE FROM cron_runs WHERE job_id = ?1 AND n <= coalesce(
            (SELECT n FROM cron_runs WHERE job_id = ?1 ORDER BY n DESC LIMIT 1 OFFSET ?2), -1)",
    )?
    .execute(params![job_id, KEPT_PER_JOB])?;
    Ok(())
}

/// One page of runs as JSON texts, and how many there are in all.
pub fn page(conn: &Connection, filter: &RunFilter) -> Result<(Vec<String>, u64), StoreError> {
    let list = |words: &[String]| if words.is_empty() { None } else { Some(format!(",{},", words.join(","))) };
    let (statuses, deliveries) = (list(&filter.statuses), list(&filter.deliveries));
    let words = filter.words.as_ref().filter(|words| !words.trim().is_empty());
    let words = words.map(|words| words.trim().to_ascii_lowercase());
    let within = "(?1 IS NULL OR job_id = ?1) AND (?2 IS NULL OR agent_id = ?2) AND (?3 IS NULL OR run_id = ?3)
         AND (?4 IS NULL OR instr(?4, ',' || status || ',') > 0)
         AND (?5 IS NULL OR instr(?5, ',' || delivery || ',') > 0)
         AND (?6 IS NULL OR instr(lower(entry), ?6) > 0)";
    let total = statement(conn, &format!("SELECT count(*) FROM cron_runs WHERE {within}"))?
        .query_row(params![filter.job_id, filter.agent_id, filter.run_id, statuses, deliveries, words], |row| {
            count(row, 0)
        })?;
    let order = if filter.oldest_first { "ASC" } else { "DESC" };
    let sql = format!("SELECT entry FROM cron_runs WHERE {within} ORDER BY n {order} LIMIT ?7 OFFSET ?8");
    let rows = statement(conn, &sql)?
        .query_map(
            params![
                filter.job_id,
                filter.agent_id,
                filter.run_id,
                statuses,
                deliveries,
                words,
                super::sql::signed(filter.limit),
                super::sql::signed(filter.offset)
            ],
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?;
    Ok((rows, total))
}

#[cfg(test)]
mod tests {
    use super::super::testing::memory;
    use super::*;

    fn run(n: i64, job: &str, status: &str) -> RunRow {
        RunRow {
            run_id: n.to_string(),
            job_id: job.into(),
            agent_id: "main".into(),
            status: status.into(),
            delivery: "not-requested".into(),
            entry: format!("{{\"n\":{n},\"summary\":\"Run {n}.\"}}"),
        }
    }

    #[test]
    fn runs_are_found_by_what_they_are() {
        let conn = memory();
        for n in 0..10 {
            put(&conn, &run(n, if n % 2 == 0 { "a" } else { "b" }, if n < 5 { "ok" } else { "error" })).expect("puts");
        }
        let all = RunFilter { limit: 3, offset: 1, ..RunFilter::default() };
        let (rows, total) = page(&conn, &all).expect("pages");
        assert_eq!((rows.len(), total, rows[0].contains("\"n\":8")), (3, 10, true));
        let some =
            RunFilter { job_id: Some("a".into()), statuses: vec!["ok".into()], limit: 9, ..RunFilter::default() };
        assert_eq!(page(&conn, &some).expect("pages").1, 3);
        let worded = RunFilter { words: Some("RUN 7".into()), limit: 9, ..RunFilter::default() };
        assert_eq!(page(&conn, &worded).expect("pages").1, 1);
        let first = RunFilter { oldest_first: true, limit: 1, ..RunFilter::default() };
        assert!(page(&conn, &first).expect("pages").0[0].contains("\"n\":0"));
        let odd = RunFilter { agent_id: Some("x' OR 1".into()), limit: 9, ..RunFilter::default() };
        assert_eq!(page(&conn, &odd).expect("pages").1, 0);
    }

    #[test]
    fn a_busy_job_forgets_its_own_oldest_runs() {
        let conn = memory();
        put(&conn, &run(-1, "quiet", "ok")).expect("puts");
        for n in 0..KEPT_PER_JOB + 200 {
            put(&conn, &run(n, "busy", "ok")).expect("puts");
        }
        let of = |job: &str| {
            page(&conn, &RunFilter { job_id: Some(job.into()), limit: 1, ..RunFilter::default() }).expect("pages").1
                as i64
        };
        assert!((KEPT_PER_JOB..KEPT_PER_JOB + PRUNE_EVERY).contains(&of("busy")), "{}", of("busy"));
        assert_eq!(of("quiet"), 1);
        assert!(matches!(
            put(&conn, &RunRow { entry: "x".repeat(ENTRY_MAX_BYTES + 1), ..run(1, "a", "ok") }),
            Err(StoreError::TooLarge { .. })
        ));
    }
}
