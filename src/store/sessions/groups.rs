//! The groups people put sessions into: their names in the order they are shown. What a session is in stands in its row.
//!
//! Invariant: a group that has sessions has a name in the list once anybody looked ([`catalogue`] adds what is missing).

use rusqlite::{Connection, params};

use super::get;
use crate::store::sql::statement;
use crate::store::{StoreError, kv};

const SCOPE: &str = "session-groups";
const NAMES: &str = "names";
const SECTIONS: &str = "sections";

/// Names in the order they are shown, and the order of a sidebar's sections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    pub names: Vec<String>,
    pub sections: Vec<String>,
}

/// The list as it was kept, and behind it the groups sessions are in and nobody listed.
pub fn catalogue(conn: &Connection) -> Result<Catalogue, StoreError> {
    let list =
        |name| Ok::<_, StoreError>(kv::get(conn, SCOPE, name)?.and_then(|text| serde_json::from_str(&text).ok()));
    let mut names: Vec<String> = list(NAMES)?.unwrap_or_default();
    let sql = "SELECT DISTINCT json_extract(extra, '$.category') FROM sessions WHERE json_valid(extra)";
    let mut found = statement(conn, sql)?;
    let mut rows = found.query([])?;
    while let Some(row) = rows.next()? {
        // A number or an object is nobody's name of a group.
        if let Ok(name) = row.get::<_, String>(0)
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    Ok(Catalogue { names, sections: list(SECTIONS)?.unwrap_or_default() })
}

/// Keeps the list.
pub fn keep(conn: &Connection, catalogue: &Catalogue) -> Result<(), StoreError> {
    let text = |names: &[String]| serde_json::to_string(names).unwrap_or_default();
    kv::set(conn, SCOPE, NAMES, &text(&catalogue.names))?;
    kv::set(conn, SCOPE, SECTIONS, &text(&catalogue.sections))
}

/// Keys of the sessions of a group, archived ones too.
pub fn members(conn: &Connection, name: &str) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT key FROM sessions WHERE json_valid(extra) AND json_extract(extra, '$.category') = ?1";
    let keys = statement(conn, sql)?.query_map(params![name], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(keys)
}

/// Puts the sessions of a group into another one, or into none. Returns how many there were.
pub fn move_members(conn: &Connection, from: &str, to: Option<&str>) -> Result<u64, StoreError> {
    let keys = members(conn, from)?;
    for key in &keys {
        let Some(mut row) = get(conn, key)? else { continue };
        let mut facts = row.facts();
        facts.category = to.map(str::to_string);
        row.set_facts(&facts);
        super::update(conn, &row)?;
    }
    Ok(keys.len() as u64)
}
