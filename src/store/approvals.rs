//! Approvals, waiting and decided: what `approval.history` shows, also after a restart.
//!
//! A ring: the newest [`KEPT`] stay. What a record says is the wire's knowledge; here it is JSON text with a kind and a
//! mark that it waits.
//!
//! Invariants: an id occurs once; pruning never takes one that waits.

use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::sql::{fits, statement};

/// Enough to look back over weeks of ordinary use.
pub const KEPT: i64 = 1_000;
/// One record; a longer command is refused before it is asked about.
pub const RECORD_MAX_BYTES: usize = 256 << 10;

/// Keeps a record, replacing an earlier state of it.
pub fn put(conn: &Connection, id: &str, kind: &str, pending: bool, record: &str) -> Result<(), StoreError> {
    fits(record.len(), RECORD_MAX_BYTES)?;
    statement(
        conn,
        "INSERT INTO approvals (id, kind, pending, record) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (id) DO UPDATE SET pending = excluded.pending, record = excluded.record",
    )?
    .execute(params![id, kind, pending, record])?;
    statement(conn, "DELETE FROM approvals WHERE pending = 0 AND n <= (SELECT max(n) FROM approvals) - ?1")?
        .execute([KEPT])?;
    Ok(())
}

/// The record of an id.
pub fn get(conn: &Connection, id: &str) -> Result<Option<String>, StoreError> {
    Ok(statement(conn, "SELECT record FROM approvals WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()?)
}

/// Decided ones, newest first, with their numbers: of one kind or of all, before a number, at most `limit`.
pub fn decided(
    conn: &Connection,
    kind: Option<&str>,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<(i64, String)>, StoreError> {
    let rows = statement(
        conn,
        "SELECT n, record FROM approvals WHERE pending = 0 AND (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR n < ?2)
         ORDER BY n DESC LIMIT ?3",
    )?
    .query_map(params![kind, before, limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// Those that waited when the process ended.
pub fn pending(conn: &Connection) -> Result<Vec<String>, StoreError> {
    let rows = statement(conn, "SELECT record FROM approvals WHERE pending = 1 ORDER BY n")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::super::testing::memory;
    use super::*;

    #[test]
    fn the_newest_decided_ones_come_first_and_page_by_page() {
        let conn = memory();
        for n in 0..5 {
            let kind = if n % 2 == 0 { "exec" } else { "plugin" };
            put(&conn, &format!("a{n}"), kind, n == 4, &n.to_string()).expect("puts");
        }
        let texts = |rows: &[(i64, String)]| rows.iter().map(|(_, text)| text.clone()).collect::<String>();
        let first = decided(&conn, None, None, 2).expect("reads");
        assert_eq!(texts(&first), "32");
        assert_eq!(texts(&decided(&conn, None, Some(first[1].0), 9).expect("reads")), "10");
        assert_eq!(texts(&decided(&conn, Some("exec"), None, 9).expect("reads")), "20");
        assert_eq!(pending(&conn).expect("reads"), ["4"]);
        put(&conn, "a4", "exec", false, "4 done").expect("puts");
        assert_eq!(get(&conn, "a4").expect("reads").as_deref(), Some("4 done"));
        assert!(pending(&conn).expect("reads").is_empty());
    }

    #[test]
    fn old_ones_are_forgotten_but_never_one_that_waits() {
        let conn = memory();
        put(&conn, "waits", "exec", true, "w").expect("puts");
        for n in 0..KEPT + 5 {
            put(&conn, &n.to_string(), "exec", false, "d").expect("puts");
        }
        let kept = decided(&conn, None, None, usize::MAX >> 1).expect("reads").len() as i64;
        assert_eq!(kept, KEPT);
        assert_eq!(pending(&conn).expect("reads"), ["w"]);
    }
}
