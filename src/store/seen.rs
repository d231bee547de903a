//! What was taken in or sent out before: the memory that keeps a message from being handled twice, restarts included.
//!
//! Invariants: a key occurs once; entries older than [`SEEN_MS`] and all but the newest [`SEEN_MAX`] are forgotten as new
//! ones come.

use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::sql::{cut, statement};

/// Entries kept.
pub const SEEN_MAX: i64 = 10_000;
/// How long an entry is kept (milliseconds).
pub const SEEN_MS: i64 = 24 * 3600 * 1000;
/// Longer keys are cut: those who make them hash what may be long.
const KEY_MAX_BYTES: usize = 512;

/// Remembers a key. False when it was known already.
pub fn note(conn: &Connection, key: &str, now_ms: i64) -> Result<bool, StoreError> {
    let key = cut(key, KEY_MAX_BYTES);
    statement(
        conn,
        "DELETE FROM channel_seen WHERE n <= (SELECT max(n) FROM channel_seen) - ?1 OR key = ?2 AND at_ms < ?3",
    )?
    .execute(params![SEEN_MAX - 1, key, now_ms.saturating_sub(SEEN_MS)])?;
    let sql = "INSERT INTO channel_seen (key, at_ms, note) VALUES (?1, ?2, '') ON CONFLICT (key) DO NOTHING";
    Ok(statement(conn, sql)?.execute(params![key, now_ms])? == 1)
}

/// Whether a key is known.
pub fn knows(conn: &Connection, key: &str) -> Result<bool, StoreError> {
    Ok(note_of(conn, key)?.is_some())
}

/// What was written beside a key.
pub fn note_of(conn: &Connection, key: &str) -> Result<Option<String>, StoreError> {
    Ok(statement(conn, "SELECT note FROM channel_seen WHERE key = ?1")?
        .query_row([cut(key, KEY_MAX_BYTES)], |row| row.get(0))
        .optional()?)
}

/// Writes something beside a known key.
pub fn set_note(conn: &Connection, key: &str, note: &str) -> Result<(), StoreError> {
    statement(conn, "UPDATE channel_seen SET note = ?2 WHERE key = ?1")?
        .execute([cut(key, KEY_MAX_BYTES), cut(note, KEY_MAX_BYTES)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::memory;
    use super::*;

    #[test]
    fn a_key_is_new_once_a_day() {
        let conn = memory();
        assert!(note(&conn, "a", 1).expect("notes"));
        assert!(!note(&conn, "a", 2).expect("knows"));
        assert!(note(&conn, "a", SEEN_MS + 2).expect("a day later"));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let conn = memory();
        for n in 0..SEEN_MAX + 10 {
            note(&conn, &n.to_string(), 1).expect("notes");
        }
        let count: i64 = conn.query_row("SELECT count(*) FROM channel_seen", [], |row| row.get(0)).expect("counts");
        assert!(count <= SEEN_MAX, "{count}");
        assert!(!knows(&conn, "5").expect("reads") && knows(&conn, "500").expect("reads"));
    }
}
