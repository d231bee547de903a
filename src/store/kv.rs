//! Small named facts: a scope, a name, JSON text.
//!
//! For what has few rows and no queries: channel offsets, device records, remembered choices. Deliberately not a cache
//! and not a queue; what grows with traffic gets a table of its own with a cap of its own.
//!
//! Invariants: (scope, name) is unique; a scope holds at most [`SCOPE_MAX`] names.

use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::sql::{fits, statement};

/// One value.
pub const VALUE_MAX_BYTES: usize = 1 << 20;
/// Names in one scope; over it a new name is `Busy`.
pub const SCOPE_MAX: i64 = 10_000;

/// The value of a name.
pub fn get(conn: &Connection, scope: &str, name: &str) -> Result<Option<String>, StoreError> {
    Ok(statement(conn, "SELECT value FROM kv WHERE scope = ?1 AND name = ?2")?
        .query_row([scope, name], |row| row.get(0))
        .optional()?)
}

/// Sets a value, new or old.
pub fn set(conn: &Connection, scope: &str, name: &str, value: &str) -> Result<(), StoreError> {
    fits(value.len(), VALUE_MAX_BYTES)?;
    let sql = "UPDATE kv SET value = ?3 WHERE scope = ?1 AND name = ?2";
    if statement(conn, sql)?.execute([scope, name, value])? == 1 {
        return Ok(());
    }
    let names: i64 =
        statement(conn, "SELECT count(*) FROM kv WHERE scope = ?1")?.query_row([scope], |row| row.get(0))?;
    if names >= SCOPE_MAX {
        return Err(StoreError::Busy { what: "" });
    }
    statement(conn, "INSERT INTO kv (scope, name, value) VALUES (?1, ?2, ?3)")?.execute([scope, name, value])?;
    Ok(())
}

/// Forgets a name. False when it was not there.
pub fn delete(conn: &Connection, scope: &str, name: &str) -> Result<bool, StoreError> {
    Ok(statement(conn, "DELETE FROM kv WHERE scope = ?1 AND name = ?2")?.execute([scope, name])? == 1)
}

/// A name and its value.
pub type Pair = (String, String);

/// All names of a scope with their values, by name. For scopes whose owner keeps them small.
pub fn list(conn: &Connection, scope: &str) -> Result<Vec<Pair>, StoreError> {
    page(conn, scope, "", SCOPE_MAX as usize)
}

/// Names after `after` ("": from the first), by name, at most `limit`.
pub fn page(conn: &Connection, scope: &str, after: &str, limit: usize) -> Result<Vec<Pair>, StoreError> {
    let sql = "SELECT name, value FROM kv WHERE scope = ?1 AND name > ?2 ORDER BY name LIMIT ?3";
    let pairs = statement(conn, sql)?
        .query_map(params![scope, after, limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::super::testing::memory;
    use super::*;

    #[test]
    fn scopes_do_not_see_each_other() {
        let conn = memory();
        set(&conn, "a", "x", "1").expect("sets");
        set(&conn, "b", "x", "2").expect("sets");
        set(&conn, "a", "x", "3").expect("sets");
        assert_eq!(get(&conn, "a", "x").expect("reads").as_deref(), Some("3"));
        assert!(delete(&conn, "a", "x").expect("deletes"));
        assert!(!delete(&conn, "a", "x").expect("gone"));
        assert_eq!(get(&conn, "a", "x").expect("reads"), None);
        assert_eq!(list(&conn, "b").expect("lists"), [("x".into(), "2".into())]);
    }

    #[test]
    fn a_scope_is_listed_by_name_in_pages() {
        let conn = memory();
        for name in ["c", "a", "b"] {
            set(&conn, "s", name, "1").expect("sets");
        }
        let names = |pairs: Vec<Pair>| pairs.into_iter().map(|(name, _)| name).collect::<String>();
        assert_eq!(names(page(&conn, "s", "", 2).expect("lists")), "ab");
        assert_eq!(names(page(&conn, "s", "b", 2).expect("lists")), "c");
    }

    #[test]
    fn a_scope_and_a_value_have_caps() {
        let conn = memory();
        for n in 0..SCOPE_MAX {
            statement(&conn, "INSERT INTO kv VALUES ('s', ?1, '')")
                .and_then(|mut s| Ok(s.execute([n])?))
                .expect("fills");
        }
        assert!(matches!(set(&conn, "s", "more", "1"), Err(StoreError::Busy { .. })));
        set(&conn, "s", "7", "1").expect("a known name may change");
        let long = "x".repeat(VALUE_MAX_BYTES + 1);
        assert!(matches!(set(&conn, "t", "x", &long), Err(StoreError::TooLarge { .. })));
    }
}
