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

use std::ops::ControlFlow;

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
        statement(conn, "UPDATE transcripts SET compacted_seq = ?2, kept_seq = 0 WHERE no = ?1")?
            .execute([span.zero >> SEQ_BITS, row_id & SEQ_MAX])?;
    }
    Ok(appended(row_id, false))
}

/// Appends the sum of what was said before `kept_seq`: from now on [`context`] is this and everything from there on.
pub fn compact(
    conn: &Connection,
    session_id: &str,
    entry: &NewEntry<'_>,
    kept_seq: u64,
) -> Result<Appended, StoreError> {
    let appended = append(conn, session_id, &NewEntry { role: COMPACTION, ..*entry })?;
    statement(conn, "UPDATE transcripts SET kept_seq = ?2 WHERE session_id = ?1")?
        .execute(params![session_id, sql::signed(kept_seq)])?;
    Ok(appended)
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

/// An entry as [`scan`] shows it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// See [`id_of`].
    pub row: i64,
    pub role: &'a str,
    pub ts_ms: i64,
    /// Empty for a user's message, unless those were asked for.
    pub message: &'a str,
}

/// Looks at every entry of a transcript, newest first, until `each` breaks. Reads what users wrote, pictures included,
/// only `with_users`.
pub fn scan(
    conn: &Connection,
    session_id: &str,
    with_users: bool,
    mut each: impl FnMut(Seen<'_>) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let Some(span) = Span::of(conn, session_id)? else { return Ok(()) };
    let mut found = statement(
        conn,
        "SELECT role, ts_ms, CASE WHEN ?3 OR role <> 'user' THEN message ELSE '' END, id FROM entries
         WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC",
    )?;
    let mut rows = found.query(params![span.at(1), span.last(), with_users])?;
    while let Some(row) = rows.next()? {
        let [role, message] = [row.get_ref(0)?, row.get_ref(2)?];
        // Both columns hold text; what somebody else put there is passed over.
        let (role, message) = (role.as_str().unwrap_or_default(), message.as_str().unwrap_or_default());
        if each(Seen { row: row.get(3)?, role, ts_ms: row.get(1)?, message }).is_break() {
            break;
        }
    }
    Ok(())
}

/// How many entries a transcript has. Looks at its last row only.
pub fn count(conn: &Connection, session_id: &str) -> Result<u64, StoreError> {
    let Some(span) = Span::of(conn, session_id)? else { return Ok(0) };
    let last = statement(conn, "SELECT max(id) & ?3 FROM entries WHERE id BETWEEN ?1 AND ?2")?
        .query_row([span.zero, span.last(), SEQ_MAX], |row| row.get::<_, Option<i64>>(0))?;
    Ok(last.unwrap_or(0) as u64)
}

/// What a model is told: the last compaction, and the newest entries that fit into `max_bytes` of those it kept or that
/// came after it. The compaction itself and the newest entry are always part of it; a gap shows in the seqs.
pub fn context(conn: &Connection, session_id: &str, max_bytes: usize) -> Result<Vec<Entry>, StoreError> {
    let Some(span) = Span::of(conn, session_id)? else { return Ok(Vec::new()) };
    if span.compacted_seq == 0 {
        return newest(conn, span.at(1), span.last(), PAGE_MAX, max_bytes);
    }
    let mut told = newest(conn, span.at(span.compacted_seq), span.at(span.compacted_seq), 1, max_bytes)?;
    let left = max_bytes.saturating_sub(told.iter().map(|entry| entry.message.len()).sum());
    let from = if span.kept_seq == 0 { span.compacted_seq + 1 } else { span.kept_seq };
    let tail = newest(conn, span.at(from), span.last(), PAGE_MAX - 1, left)?;
    told.extend(tail.into_iter().filter(|entry| entry.role != COMPACTION));
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

/// The entry of an id, if it is in this transcript.
pub fn find_in(conn: &Connection, session_id: &str, id: &str) -> Result<Option<Entry>, StoreError> {
    let (Some(span), Ok(row_id)) = (Span::of(conn, session_id)?, i64::from_str_radix(id, 16)) else { return Ok(None) };
    if row_id > span.zero && row_id <= span.last() { at_row(conn, row_id) } else { Ok(None) }
}

/// Begins an empty transcript with the entries of another one, but not those of the run `but`, and only those before
/// `before` where that is given. Returns how many there are.
pub fn copy(
    conn: &Connection,
    from: &str,
    to: &str,
    but: Option<&str>,
    before: Option<u64>,
) -> Result<u64, StoreError> {
    let Some(old) = Span::of(conn, from)? else { return Ok(0) };
    let new = Span::begin(conn, to)?;
    let last = before.map_or(old.last(), |seq| old.at(seq.saturating_sub(1)));
    let copied = statement(
        conn,
        "INSERT INTO entries (id, role, run_id, idempotency_key, ts_ms, message)
         SELECT id - ?1 + ?3, role, run_id, idempotency_key, ts_ms, message FROM entries
         WHERE id BETWEEN ?1 AND ?2 AND (?4 IS NULL OR run_id IS NOT ?4)",
    )?
    .execute(params![old.zero, last, new.zero, but])?;
    let (compacted, kept) = match old.at(old.compacted_seq) <= last {
        true => (old.compacted_seq as i64, old.kept_seq as i64),
        // An earlier one counts again. What it kept is not known any more: what came after it is.
        false => {
            let sql = "SELECT max(id) FROM entries WHERE id BETWEEN ?1 AND ?2 AND role = ?3";
            let row: Option<i64> =
                statement(conn, sql)?.query_row(params![old.zero, last, COMPACTION], |row| row.get(0))?;
            (row.map_or(0, |id| id & SEQ_MAX), 0)
        }
    };
    statement(conn, "UPDATE transcripts SET compacted_seq = ?2, kept_seq = ?3 WHERE no = ?1")?.execute([
        new.zero >> SEQ_BITS,
        compacted,
        kept,
    ])?;
    Ok(copied as u64)
}

/// Bytes of the messages before a seq: what [`copy`] would write once more.
pub fn bytes_before(conn: &Connection, session_id: &str, seq: u64) -> Result<u64, StoreError> {
    let Some(span) = Span::of(conn, session_id)? else { return Ok(0) };
    let sql = "SELECT coalesce(sum(octet_length(message)), 0) FROM entries WHERE id BETWEEN ?1 AND ?2";
    let last = span.at(seq.saturating_sub(1));
    Ok(statement(conn, sql)?.query_row([span.zero, last], |row| sql::count(row, 0))?)
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
    /// Seq of the first entry it kept, 0 if none.
    kept_seq: u64,
}

impl Span {
    fn of(conn: &Connection, session_id: &str) -> Result<Option<Span>, StoreError> {
        let found = statement(conn, "SELECT no, compacted_seq, kept_seq FROM transcripts WHERE session_id = ?1")?
            .query_row([session_id], |row| {
                let (compacted_seq, kept_seq) = (sql::count(row, 1)?, sql::count(row, 2)?);
                Ok(Span { zero: row.get::<_, i64>(0)? << SEQ_BITS, compacted_seq, kept_seq })
            })
            .optional()?;
        Ok(found)
    }

    fn begin(conn: &Connection, session_id: &str) -> Result<Span, StoreError> {
        statement(conn, "INSERT INTO transcripts (session_id) VALUES (?1)")?.execute([session_id])?;
        Ok(Span { zero: conn.last_insert_rowid() << SEQ_BITS, compacted_seq: 0, kept_seq: 0 })
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

/// The name of the entry in a row.
pub fn id_of(row_id: i64) -> String {
    format!("{row_id:x}")
}

fn appended(row_id: i64, duplicate: bool) -> Appended {
    Appended { seq: (row_id & SEQ_MAX) as u64, id: id_of(row_id), duplicate }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{entry, memory};
    use super::*;

    fn filled(conn: &Connection, session: &str, count: usize) {
        for n in 1..=count {
            append(conn, session, &entry("user", &format!("{session} {n:03}"))).expect("appends");
        }
    }

    fn seqs(entries: &[Entry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.seq).collect()
    }

    #[test]
    fn a_compaction_keeps_what_was_said_last() {
        let conn = memory();
        let say = |role: &str, n: u64| {
            let message = n.to_string();
            append(&conn, "s", &NewEntry { role, message: &message, ..NewEntry::default() }).expect("appends")
        };
        let told = |session: &str| -> Vec<String> {
            context(&conn, session, 1 << 20).expect("reads").into_iter().map(|entry| entry.message).collect()
        };
        (1..=4).for_each(|n| drop(say("user", n)));
        let sum = NewEntry { message: "sum", ..NewEntry::default() };
        compact(&conn, "s", &sum, 3).expect("compacts");
        say("user", 5);
        assert_eq!(told("s"), ["sum", "3", "4", "5"]);
        copy(&conn, "s", "t", None, None).expect("copies");
        assert_eq!(told("t"), ["sum", "3", "4", "5"]);
        compact(&conn, "s", &NewEntry { message: "more", ..sum }, 4).expect("compacts");
        say("user", 6);
        assert_eq!(told("s"), ["more", "4", "5", "6"], "the older sum is not told again");
        compact(&conn, "s", &NewEntry { message: "all", ..sum }, 0).expect("compacts");
        say("user", 7);
        assert_eq!(told("s"), ["all", "7"]);
        assert_eq!(context(&conn, "s", 1).expect("reads").len(), 2, "the sum and the newest, whatever their size");
        assert_eq!(count(&conn, "s").expect("counts"), 10, "nothing is gone");
    }

    #[test]
    fn transcripts_grow_side_by_side_and_count_for_themselves() {
        let conn = memory();
        for n in 1..=3 {
            for session in ["a", "b"] {
                let done = append(&conn, session, &entry("user", "{}")).expect("appends");
                assert_eq!((done.seq, done.duplicate), (n, false));
            }
        }
        assert_eq!(count(&conn, "a").expect("counts"), 3);
        assert_eq!(count(&conn, "nobody").expect("counts"), 0);
        let all = page(&conn, "b", None, 10, 1000).expect("reads");
        assert_eq!(seqs(&all), [1, 2, 3]);
        let found = find_by_id(&conn, &all[1].id).expect("reads").expect("known");
        assert_eq!(found, all[1]);
        assert_eq!(find_by_id(&conn, "no id").expect("reads"), None);
    }

    #[test]
    fn a_repeated_idempotency_key_finds_the_first_entry() {
        let conn = memory();
        let first = NewEntry { idempotency_key: Some("k"), run_id: Some("r"), ts_ms: 5, ..entry("user", "one") };
        let again = NewEntry { message: "two", ..first };
        let kept = append(&conn, "s", &first).expect("appends");
        assert_eq!(append(&conn, "s", &again).expect("finds"), Appended { duplicate: true, ..kept.clone() });
        assert!(!append(&conn, "other session", &again).expect("appends").duplicate);
        assert_eq!(count(&conn, "s").expect("counts"), 1);
        let found = find_by_idempotency(&conn, "s", "k").expect("reads").expect("known");
        assert_eq!((found.message.as_str(), found.run_id.as_deref(), found.ts_ms), ("one", Some("r"), 5));
        assert_eq!(find_by_idempotency(&conn, "s", "unknown").expect("reads"), None);
    }

    #[test]
    fn pages_go_backwards_from_the_end_without_gaps() {
        let conn = memory();
        filled(&conn, "s", 25);
        let (mut before, mut seen) = (None, Vec::new());
        loop {
            let page = page(&conn, "s", before, 10, 1 << 20).expect("reads");
            let Some(first) = page.first() else { break };
            before = Some(first.seq);
            seen.splice(0..0, seqs(&page));
        }
        assert_eq!(seen, (1..=25).collect::<Vec<_>>());
        assert!(page(&conn, "s", Some(0), 10, 100).expect("reads").is_empty());
        assert_eq!(seqs(&page(&conn, "s", Some(u64::MAX), 2, 100).expect("reads")), [24, 25]);
    }

    #[test]
    fn a_page_is_bounded_in_bytes_but_never_stuck() {
        let conn = memory();
        filled(&conn, "s", 5);
        let each = "s 001".len();
        assert_eq!(seqs(&page(&conn, "s", None, 10, 2 * each).expect("reads")), [4, 5]);
        assert_eq!(seqs(&page(&conn, "s", None, 10, 2 * each + 1).expect("reads")), [4, 5]);
        assert_eq!(seqs(&page(&conn, "s", None, 10, 0).expect("reads")), [5]);
        assert_eq!(seqs(&since(&conn, "s", 2, 10, 2 * each).expect("reads")), [3, 4]);
        assert_eq!(seqs(&since(&conn, "s", 4, 10, 0).expect("reads")), [5]);
        assert!(since(&conn, "s", 5, 10, 100).expect("reads").is_empty());
        assert!(since(&conn, "s", u64::MAX, 10, 100).expect("reads").is_empty());
    }

    #[test]
    fn the_context_begins_at_the_last_compaction_and_fits_its_budget() {
        let conn = memory();
        filled(&conn, "s", 4);
        assert_eq!(seqs(&context(&conn, "s", 10).expect("reads")), [3, 4]);
        append(&conn, "s", &entry(COMPACTION, "sum 1")).expect("appends");
        filled(&conn, "s", 2);
        append(&conn, "s", &entry(COMPACTION, "sum 2")).expect("appends");
        assert_eq!(seqs(&context(&conn, "s", 100).expect("reads")), [8]);
        filled(&conn, "s", 3);
        assert_eq!(seqs(&context(&conn, "s", 100).expect("reads")), [8, 9, 10, 11]);
        assert_eq!(seqs(&context(&conn, "s", 15).expect("reads")), [8, 10, 11], "the oldest after the sum goes first");
        assert_eq!(seqs(&context(&conn, "s", 0).expect("reads")), [8, 11], "sum and newest are always told");
    }

    #[test]
    fn a_deleted_transcript_takes_its_ids_with_it() {
        let conn = memory();
        filled(&conn, "a", 3);
        filled(&conn, "b", 2);
        let old = page(&conn, "a", None, 1, 100).expect("reads").remove(0);
        assert_eq!(delete_session(&conn, "a").expect("deletes"), 3);
        assert_eq!(delete_session(&conn, "a").expect("nothing there"), 0);
        assert_eq!(find_by_id(&conn, &old.id).expect("reads"), None);
        filled(&conn, "a", 3);
        assert_ne!(page(&conn, "a", None, 1, 100).expect("reads")[0].id, old.id);
        assert_eq!(count(&conn, "b").expect("counts"), 2);
    }

    #[test]
    fn a_copy_has_its_own_ids_and_leaves_out_what_is_not_finished() {
        let conn = memory();
        filled(&conn, "a", 2);
        append(&conn, "a", &entry(COMPACTION, "sum")).expect("appends");
        append(&conn, "a", &NewEntry { run_id: Some("now"), ..entry("user", "half") }).expect("appends");
        assert_eq!(copy(&conn, "a", "b", Some("now"), None).expect("copies"), 3);
        assert_eq!(seqs(&context(&conn, "b", 100).expect("reads")), [3], "the compaction came along");
        filled(&conn, "b", 1);
        assert_eq!((count(&conn, "a").expect("counts"), count(&conn, "b").expect("counts")), (4, 4));
        assert_eq!(copy(&conn, "nothing", "c", None, None).expect("an empty one"), 0);
    }

    #[test]
    fn a_copy_up_to_a_message_has_the_sum_that_counted_then() {
        let conn = memory();
        let told = |session: &str| -> Vec<String> {
            context(&conn, session, 1 << 20).expect("reads").into_iter().map(|entry| entry.message).collect()
        };
        for message in ["1", "2"] {
            append(&conn, "s", &entry("user", message)).expect("appends");
        }
        compact(&conn, "s", &NewEntry { message: "sum", ..NewEntry::default() }, 2).expect("compacts");
        append(&conn, "s", &entry("user", "4")).expect("appends");
        compact(&conn, "s", &NewEntry { message: "more", ..NewEntry::default() }, 4).expect("compacts");
        append(&conn, "s", &entry("user", "6")).expect("appends");
        for (before, to, copied, expected) in [
            (7, "all", 6, &["more", "4", "6"][..]),
            (6, "later", 5, &["more", "4"]),
            (5, "older", 4, &["sum", "4"]),
            (3, "none", 2, &["1", "2"]),
            (1, "nothing", 0, &[]),
        ] {
            assert_eq!(copy(&conn, "s", to, None, Some(before)).expect("copies"), copied, "before {before}");
            assert_eq!(told(to), expected, "before {before}");
        }
        assert_eq!(told("s"), ["more", "4", "6"], "the source is as it was");
        assert_eq!([1, 3, 4].map(|seq| bytes_before(&conn, "s", seq).expect("counts")), [0, 2, 5]);
    }

    #[test]
    fn a_message_over_the_cap_is_refused() {
        let long = "x".repeat(MESSAGE_MAX_BYTES + 1);
        let refused = append(&memory(), "s", &entry("user", &long)).expect_err("too long");
        assert!(matches!(refused, StoreError::TooLarge { limit: MESSAGE_MAX_BYTES, .. }));
    }

    #[test]
    fn the_shift_in_the_schema_is_the_shift_in_the_code() {
        assert_eq!(SEQ_BITS, 28, "the index entries_once is built over id >> 28");
    }

    #[test]
    fn reading_a_page_and_the_end_needs_no_scan() {
        let conn = memory();
        for sql in [
            format!("{SELECT} WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC"),
            "SELECT id FROM entries WHERE id >> 28 = ?1 AND idempotency_key = ?2".into(),
            "SELECT max(id) & ?3 FROM entries WHERE id BETWEEN ?1 AND ?2".into(),
        ] {
            // Numbers in place of parameters: the plan is the same.
            let sql = format!("EXPLAIN QUERY PLAN {}", sql.replace('?', ""));
            let plan: String = conn.query_row(&sql, [], |row| row.get(3)).expect("a plan");
            assert!(plan.starts_with("SEARCH"), "{sql}: {plan}");
        }
    }
}
