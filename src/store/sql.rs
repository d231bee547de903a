//! Small helpers between rows and Rust.

use rusqlite::{Connection, Row, Statement};

use super::StoreError;

/// The one place that prepares statements of the tables.
pub(super) fn statement<'c>(conn: &'c Connection, sql: &str) -> Result<Statement<'c>, StoreError> {
    Ok(conn.prepare(sql)?)
}

/// A count, which SQLite keeps signed; what we store is never negative.
pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.max(0) as u64)
}

/// Bytes of a text column, without copying it.
pub(super) fn text_bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<usize> {
    Ok(row.get_ref(column)?.as_str()?.len())
}

/// The other direction: numbers beyond i64 do not occur in counters of tokens or messages; saturate rather than wrap.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Refuses a value over its cap.
pub(super) fn fits(bytes: usize, limit: usize) -> Result<(), StoreError> {
    if bytes > limit { Err(StoreError::TooLarge { what: "", bytes, limit }) } else { Ok(()) }
}

/// A sum of money that a price list may have made nonsense of; SQLite would store NaN as NULL.
pub(super) fn money(sum: f64) -> f64 {
    if sum.is_finite() { sum } else { 0.0 }
}

/// The start of a text, at most `limit` bytes, ending at a character.
pub(super) fn cut(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let end = (0..=limit).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("é", 1), "");
    }
}
