//! Transcripts: what was said in a session, in order, as JSON text the store does not look into.
//!
//! Deliberately knows neither session keys nor message shapes, and has no way to change or remove a single entry: a
//! transcript grows at its end and goes as a whole.
//!
//! How it lies on the disk: every transcript has a small number, and an entry's row id is that number shifted left by
//! [`SEQ_BITS`] plus the seq. Rows of one transcript are therefore neighbours in one B-tree without any second index:
//! an append touches one leaf, a page from the end is one range scan however long the transcript is.
//!
//! Invariants: seqs of a transcript are 1, 2, 3, ... without gaps; an idempotency key occurs once per transcript; a
//! transcript's number is never used again, so an entry's id is unique for ever.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use super::sql::{self, fits, statement, text_bytes};

/// Role of the entry that sums up everything before it; [`context`] starts there.
pub const COMPACTION: &str = "compaction";
/// One message with its attachments: a little more than the largest frame a client may send.
pub const MESSAGE_MAX_BYTES: usize = 32 << 20;
/// 268 million entries in one transcript, 34 billion transcripts.
const SEQ_BITS: u32 = 28;
const SEQ_MAX: i64 = (1 << SEQ_BITS) - 1;
/// Most entries one call reads, whatever the caller asks for.
pub const PAGE_MAX: usize = 10_000;

/// An entry to append.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewEntry<'a> {
    /// `user`, `assistant`, `toolResult`, `system`, `custom` or [`COMPACTION`].
    pub role: &'a str,
    pub run_id: Option<&'a str>,
    /// A second append with the same key in the same session changes nothing and finds the first.
    pub idempotency_key: Option<&'a str>,
    pub ts_ms: i64,
    /// JSON text, at most [`MESSAGE_MAX_BYTES`].
    pub message: &'a str,
}

/// Where an append ended up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    pub seq: u64,
    pub id: String,
    /// The idempotency key was known: this is the earlier entry.
    pub duplicate: bool,
}

/// One line of a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counts from 1.
    pub seq: u64,
    /// Unique in this database for ever.
    pub id: String,
    pub role: String,
    pub run_id: Option<String>,
    pub idempotency_key: Option<String>,
    pub ts_ms: i64,
    pub message: String,
}

/// Appends one entry; the transcript begins with its first.
pub fn append(conn: &Connection, session_id: &str, entry: &NewEntry<'_>) -> Result<Appended, StoreError> {
    fits(entry.message.len(), MESSAGE_MAX_BYTES)?;
    let span = match Span::of(conn, session_id)? {
        Some(span) => span,
        None => Span::begin(conn, session_id)?,
    };
    if let Some(key) = entry.idempotency_key
        && let Some(row_id) = span.entry_of_key(conn, key)?
    {
        return Ok(appended(row_id, true));
    }
    // The next seq and the row in one step; an empty transcript begins behind its own zero.
    let row_id: i64 = statement(
        conn,
        "INSERT INTO entries (id, role, run_id, idempotency_key, ts_ms, message)
         SELECT coalesce(max(id), ?1) + 1, ?3, ?4, ?5, ?6, ?7 FROM entries WHERE id BETWEEN ?1 AND ?2 RETURNING id",
    )?
    .query_row(
        params![span.zero, span.last(), entry.role, entry.run_id, entry.idempotency_key, entry.ts_ms, entry.message],
        |row| row.get(0),
    )?;
    if row_id > span.last() {
        return Err(StoreError::TooLarge { what: "", bytes: SEQ_MAX as usize + 1, limit: SEQ_MAX as usize });
    }
    if entry.role == COMPACTION {
        statement(conn, "UPDATE transcripts SET compacted_seq = ?2 WHERE no = ?1")?
            .execute([span.zero >> SEQ_BITS, row_id & SEQ_MAX])?;
    }
    Ok(appended(row_id, false))
}

/// The newest entries, or those before a seq; oldest first. Stops at `limit` entries or before `max_bytes` of text, but
/// gives at least one if there is one. More exist when the first has a seq above 1.
pub fn page(
    conn: &Connection,
    session_id: &str,
    before_seq: Option<u64>,
    limit: usize,
    max_bytes: usize,
) -> Result<Vec<Entry>, StoreError> {
    let Some(span) = Span::of(conn, session_id)? else { return Ok(Vec::new()) };
    let last = match before_seq {
        Some(seq) => span.at(seq.saturating_sub(1)),
        None => span.last(),
    };
    newest(conn, span.at(1), last, limit, max_bytes)
}

/// Entries after a seq, oldest first; the same bounds as [`page`].
pub fn since(
    conn: &Connection,
    session_id: &str,
    after_seq: u64,
    limit: usize,
    max_bytes: usize,
) -> Result<Vec<Entry>, StoreError> {
    let Some(span) = Span::of(conn, session_id)? else { return Ok(Vec::new()) };
    if after_seq >= SEQ_MAX as u64 {
        return Ok(Vec::new());
    }
    let sql = format!("{SELECT} WHERE id BETWEEN ?1 AND ?2 ORDER BY id");
    gather(conn, &sql, [span.at(after_seq + 1), span.last()], limit, max_bytes)
}

/// How many entries a transcript has. Looks at its last row only.
pub fn count(conn: &Connection, session_id: &str) -> Result<u64, StoreError> {
    let Some(span) = Span::of(conn, session_id)? else { return Ok(0) };
    let last = statement(conn, "SELECT max(id) & ?3 FROM entries WHERE id BETWEEN ?1 AND ?2")?
        .query_row([span.zero, span.last(), SEQ_MAX], |row| row.get::<_, Option<i64>>(0))?;
    Ok(last.unwrap_or(0) as u64)
}

/// What a model is told: the newest entries that fit into `max_bytes`, from the last compaction on. The compaction
/// itself and the newest entry are always part of it; a gap shows in the seqs.
pub fn context(conn: &Connection, session_id: &str, max_bytes: usize) -> Result<Vec<Entry>, StoreError> {
    let Some(span) = Span::of(conn, session_id)? else { return Ok(Vec::new()) };
    if span.compacted_seq == 0 {
        return newest(conn, span.at(1), span.last(), PAGE_MAX, max_bytes);
    }
    let mut told = newest(conn, span.at(span.compacted_seq), span.at(span.compacted_seq), 1, max_bytes)?;
    let left = max_bytes.saturating_sub(told.iter().map(|entry| entry.message.len()).sum());
    told.extend(newest(conn, span.at(span.compacted_seq) + 1, span.last(), PAGE_MAX - 1, left)?);
    Ok(told)
}

/// The entry a key was used for.
pub fn find_by_idempotency(conn: &Connection, session_id: &str, key: &str) -> Result<Option<Entry>, StoreError> {
    let Some(span) = Span::of(conn, session_id)? else { return Ok(None) };
    match span.entry_of_key(conn, key)? {
        Some(row_id) => at_row(conn, row_id),
        None => Ok(None),
    }
}

/// The entry of an id, in whichever transcript it is.
pub fn find_by_id(conn: &Connection, id: &str) -> Result<Option<Entry>, StoreError> {
    match i64::from_str_radix(id, 16) {
        Ok(row_id) => at_row(conn, row_id),
        Err(_) => Ok(None),
    }
}

/// Removes a transcript. Returns how many entries it had.
pub fn delete_session(conn: &Connection, session_id: &str) -> Result<u64, StoreError> {
    let Some(span) = Span::of(conn, session_id)? else { return Ok(0) };
    let gone = statement(conn, "DELETE FROM entries WHERE id BETWEEN ?1 AND ?2")?.execute([span.zero, span.last()])?;
    statement(conn, "DELETE FROM transcripts WHERE no = ?1")?.execute([span.zero >> SEQ_BITS])?;
    Ok(gone as u64)
}

const SELECT: &str = "SELECT id, role, run_id, idempotency_key, ts_ms, message FROM entries";

/// The row ids of one transcript.
struct Span {
    /// Row id of seq 0, which no entry has.
    zero: i64,
    /// Seq of the last compaction entry, 0 if none.
    compacted_seq: u64,
}

impl Span {
    fn of(conn: &Connection, session_id: &str) -> Result<Option<Span>, StoreError> {
        let found = statement(conn, "SELECT no, compacted_seq FROM transcripts WHERE session_id = ?1")?
            .query_row([session_id], |row| {
                Ok(Span { zero: row.get::<_, i64>(0)? << SEQ_BITS, compacted_seq: sql::count(row, 1)? })
            })
            .optional()?;
        Ok(found)
    }

    fn begin(conn: &Connection, session_id: &str) -> Result<Span, StoreError> {
        statement(conn, "INSERT INTO transcripts (session_id) VALUES (?1)")?.execute([session_id])?;
        Ok(Span { zero: conn.last_insert_rowid() << SEQ_BITS, compacted_seq: 0 })
    }

    fn at(&self, seq: u64) -> i64 {
        self.zero + seq.min(SEQ_MAX as u64) as i64
    }

    fn last(&self) -> i64 {
        self.zero + SEQ_MAX
    }

    fn entry_of_key(&self, conn: &Connection, key: &str) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT id FROM entries WHERE id >> 28 = ?1 AND idempotency_key = ?2";
        Ok(statement(conn, sql)?.query_row(params![self.zero >> SEQ_BITS, key], |row| row.get(0)).optional()?)
    }
}

/// The newest of a range of row ids, oldest first.
fn newest(conn: &Connection, first: i64, last: i64, limit: usize, max_bytes: usize) -> Result<Vec<Entry>, StoreError> {
    let sql = format!("{SELECT} WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC");
    let mut entries = gather(conn, &sql, [first, last], limit, max_bytes)?;
    entries.reverse();
    Ok(entries)
}

/// Reads rows in the order of the statement until a bound is reached; at most one row is read in vain.
fn gather(
    conn: &Connection,
    sql: &str,
    range: [i64; 2],
    limit: usize,
    max_bytes: usize,
) -> Result<Vec<Entry>, StoreError> {
    let mut stmt = statement(conn, sql)?;
    let mut rows = stmt.query(range)?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while entries.len() < limit.min(PAGE_MAX)
        && let Some(row) = rows.next()?
    {
        bytes += text_bytes(row, 5)?;
        if bytes > max_bytes && !entries.is_empty() {
            break;
        }
        entries.push(from_row(row)?);
    }
    Ok(entries)
}

fn at_row(conn: &Connection, row_id: i64) -> Result<Option<Entry>, StoreError> {
    Ok(statement(conn, &format!("{SELECT} WHERE id = ?1"))?.query_row([row_id], from_row).optional()?)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let Appended { seq, id, .. } = appended(row.get(0)?, false);
    Ok(Entry {
        seq,
        id,
        role: row.get(1)?,
        run_id: row.get(2)?,
        idempotency_key: row.get(3)?,
        ts_ms: row.get(4)?,
        message: row.get(5)?,
    })
}

fn appended(row_id: i64, duplicate: bool) -> Appended {
    Appended { seq: (row_id & SEQ_MAX) as u64, id: format!("{row_id:x}"), duplicate }
}
