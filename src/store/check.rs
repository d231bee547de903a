//! Looks whether a database is sound, without changing it.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::StoreError;
use super::schema::STEPS;

/// Mistakes named at most.
const NAMED: u32 = 5;

/// What is wrong with the database file; empty when it is sound or not there. Reads the whole file.
pub fn problems(file: &Path) -> Result<Vec<String>, StoreError> {
    if !file.exists() {
        return Ok(Vec::new());
    }
    let conn = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let version: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let newest = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if version > newest {
        return Ok(vec![format!("it was written by a newer version (schema {version}, this one knows {newest})")]);
    }
    let mut statement = conn.prepare(&format!("PRAGMA quick_check({NAMED})"))?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    let said: Vec<String> = rows.collect::<Result<_, _>>()?;
    Ok(said.into_iter().filter(|line| line != "ok").collect())
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::super::testing::Dir;
    use super::*;

    #[test]
    fn a_sound_database_has_no_problems_and_a_broken_one_is_named() {
        let dir = Dir::new();
        let file = dir.path.join("gateway.sqlite");
        assert!(problems(&file).expect("nothing there").is_empty());
        let store = Store::open(&file).expect("opens");
        assert!(problems(&file).expect("while it is open").is_empty());
        store.close(std::time::Duration::from_secs(5));
        drop(store);
        let mut bytes = std::fs::read(&file).expect("read");
        let half = bytes.len() / 2;
        bytes[4096..half].fill(0x5a);
        std::fs::write(&file, bytes).expect("broken");
        let found = problems(&file);
        assert!(found.is_err() || found.is_ok_and(|found| !found.is_empty()));
    }
}
