//! Opening the database and bringing its schema up to date.
//!
//! Rule for a later feature: append one step to [`STEPS`]; never edit, reorder or remove a step that was released. A
//! step is SQL that runs once, in order, inside one transaction with the new version number, on databases that may be
//! large (so: `ALTER TABLE .. ADD COLUMN` with a default, new tables, new indexes; no rewriting of transcripts). A
//! column added to `sessions` is also added to `SessionRow` and its column list. Tests build every version from empty.
//!
//! Invariants: `user_version` is the number of steps done; a file with a higher one is refused untouched.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{StoreError, os};

/// Marks the file as ours ("OCGW"), so that another program's database is never altered.
const APPLICATION_ID: i32 = 0x4F43_4757;
/// The only contender for the write lock is a human with an SQL shell or a backup: rather wait than fail a turn.
const BUSY_TIME: Duration = Duration::from_secs(5);
/// The WAL keeps this much disk for reuse: growing a file costs a journal commit per sync, reusing it does not. Twice
/// the checkpoint threshold of the writer, so that ordinary traffic never truncates and regrows it.
const WAL_KEPT_BYTES: i64 = 2 << 20;

/// The schema, one step per release that changed it.
pub(super) const STEPS: &[&str] = &[
    // 1: sessions, transcripts, inbox, finished runs, named facts, usage.
    //
    // `entries.id` is the transcript's number shifted left by 28 bits plus the seq: an append touches one leaf, a page
    // from the end is one range scan, and no second index exists (see transcript.rs).
    "
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        session_id TEXT NOT NULL,
        agent_id TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        updated_at_ms INTEGER NOT NULL,
        started_at_ms INTEGER NOT NULL,
        last_interaction_at_ms INTEGER,
        label TEXT,
        display_name TEXT,
        kind TEXT NOT NULL,
        channel TEXT,
        chat_type TEXT,
        created_via TEXT,
        model_provider TEXT,
        model TEXT,
        model_override TEXT,
        thinking_level TEXT,
        verbose_level TEXT,
        last_run_id TEXT,
        last_status TEXT,
        last_run_started_ms INTEGER,
        last_run_ended_ms INTEGER,
        input_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        total_tokens INTEGER NOT NULL,
        context_tokens INTEGER NOT NULL,
        cache_read_tokens INTEGER NOT NULL,
        cache_write_tokens INTEGER NOT NULL,
        cost_usd REAL NOT NULL,
        message_count INTEGER NOT NULL,
        compaction_count INTEGER NOT NULL,
        last_message_preview TEXT,
        archived_at_ms INTEGER,
        pinned_at_ms INTEGER,
        last_read_at_ms INTEGER,
        extra TEXT NOT NULL
    );
    CREATE INDEX sessions_recent ON sessions (updated_at_ms, agent_id, archived_at_ms, kind);
    CREATE TABLE past_sessions (
        key TEXT NOT NULL,
        ended_at_ms INTEGER NOT NULL,
        session_id TEXT NOT NULL,
        PRIMARY KEY (key, ended_at_ms, session_id)
    ) WITHOUT ROWID;
    CREATE TABLE transcripts (
        no INTEGER PRIMARY KEY AUTOINCREMENT,
        session_id TEXT NOT NULL UNIQUE,
        compacted_seq INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        role TEXT NOT NULL,
        run_id TEXT,
        idempotency_key TEXT,
        ts_ms INTEGER NOT NULL,
        message TEXT NOT NULL
    );
    CREATE UNIQUE INDEX entries_once ON entries (id >> 28, idempotency_key) WHERE idempotency_key IS NOT NULL;
    CREATE TABLE inbox (
        n INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL UNIQUE,
        session_key TEXT NOT NULL,
        agent_id TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        payload TEXT NOT NULL
    );
    CREATE TABLE runs (
        n INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL UNIQUE,
        session_key TEXT NOT NULL,
        status TEXT NOT NULL,
        started_ms INTEGER NOT NULL,
        ended_ms INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        result TEXT NOT NULL
    );
    CREATE TABLE kv (
        scope TEXT NOT NULL,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (scope, name)
    ) WITHOUT ROWID;
    CREATE TABLE usage (
        day INTEGER NOT NULL,
        agent_id TEXT NOT NULL,
        session_key TEXT NOT NULL,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        calls INTEGER NOT NULL,
        input INTEGER NOT NULL,
        output INTEGER NOT NULL,
        cache_read INTEGER NOT NULL,
        cache_write INTEGER NOT NULL,
        cost_input REAL NOT NULL,
        cost_output REAL NOT NULL,
        cost_cache_read REAL NOT NULL,
        cost_cache_write REAL NOT NULL,
        missing_cost INTEGER NOT NULL,
        PRIMARY KEY (day, agent_id, session_key, provider, model)
    ) WITHOUT ROWID;
    ",
    // The history of scheduled runs.
    "
    CREATE TABLE cron_runs (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        run_id TEXT NOT NULL UNIQUE,
        job_id TEXT NOT NULL,
        agent_id TEXT NOT NULL,
        status TEXT NOT NULL,
        delivery TEXT NOT NULL,
        entry TEXT NOT NULL
    );
    CREATE INDEX cron_runs_of_job ON cron_runs (job_id, n);
    ",
    // Messengers: replies on their way, and what was taken or sent before.
    "
    CREATE TABLE outbox (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        channel TEXT NOT NULL,
        account TEXT NOT NULL,
        place TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        not_before_ms INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        body TEXT NOT NULL
    );
    CREATE INDEX outbox_account ON outbox (channel, account, n);
    CREATE TABLE channel_seen (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        at_ms INTEGER NOT NULL,
        note TEXT NOT NULL
    );
    ",
    // Approvals, waiting and decided.
    "
    CREATE TABLE approvals (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        pending INTEGER NOT NULL,
        record TEXT NOT NULL
    );
    ",
    // Use is counted per quarter of an hour instead of per day, so that a day can be that of any time zone.
    "
    CREATE TABLE usage_slots (
        slot INTEGER NOT NULL,
        agent_id TEXT NOT NULL,
        session_key TEXT NOT NULL,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        calls INTEGER NOT NULL,
        input INTEGER NOT NULL,
        output INTEGER NOT NULL,
        cache_read INTEGER NOT NULL,
        cache_write INTEGER NOT NULL,
        cost_input REAL NOT NULL,
        cost_output REAL NOT NULL,
        cost_cache_read REAL NOT NULL,
        cost_cache_write REAL NOT NULL,
        missing_cost INTEGER NOT NULL,
        PRIMARY KEY (slot, agent_id, session_key, provider, model)
    ) WITHOUT ROWID;
    INSERT INTO usage_slots SELECT day * 96 + 48, agent_id, session_key, provider, model, calls, input, output, cache_read,
        cache_write, cost_input, cost_output, cost_cache_read, cost_cache_write, missing_cost FROM usage;
    DROP TABLE usage;
    ",
    // A compaction keeps what was said last word by word; that lies before it.
    "
    ALTER TABLE transcripts ADD COLUMN kept_seq INTEGER NOT NULL DEFAULT 0;
    ",
    // A past transcript that a rewind left can be taken up again.
    "
    ALTER TABLE past_sessions ADD COLUMN branch INTEGER NOT NULL DEFAULT 0;
    ",
];

/// Opens for writing: creates (0600), checks whose file it is, sets durability, migrates.
pub(super) fn open_writer(file: &Path) -> Result<Connection, StoreError> {
    let opening = "open database";
    let created = os::private_file(file).map_err(|e| StoreError::file("create database", file, e))?;
    let opened = match open_with_log(file) {
        Err(StoreError::Io { source, .. }) => {
            log::warn!("store: no write-ahead log on this file system ({source}): using a rollback journal");
            open_without_log(file)
        }
        opened => opened,
    };
    let mut conn = opened.map_err(|e| e.during(opening))?;
    set_up_writer(&conn).map_err(|e| e.during(opening))?;
    migrate(&mut conn, STEPS).map_err(|e| e.during("migrate database"))?;
    if created && let Some(dir) = file.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        os::sync_dir(dir).map_err(|e| StoreError::file("sync directory", dir, e))?;
    }
    Ok(conn)
}

/// Opens a second connection that can only read.
pub(super) fn open_reader(file: &Path) -> Result<Connection, StoreError> {
    let conn = connect(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -256; PRAGMA temp_store = MEMORY;")?;
    Ok(conn)
}

/// A connection is used by one thread at a time (the pool and the writer see to it), so SQLite's own mutex is idle cost.
/// Statements kept parsed per connection, a few kilobytes each: about as many as the tables have functions.
const STATEMENTS: usize = 48;

fn connect(file: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let conn = Connection::open_with_flags(file, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY_TIME)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(conn)
}

/// Refuses what is not ours or not yet known, before anything is written.
fn check(conn: &Connection, file: &Path) -> Result<(), StoreError> {
    let application: i32 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if application != APPLICATION_ID {
        let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if application != 0 || tables != 0 {
            return Err(StoreError::Foreign { file: file.to_path_buf() });
        }
    }
    let (found, known) = (version(conn)?, STEPS.len() as u32);
    if found > known { Err(StoreError::NewerSchema { found, known }) } else { Ok(()) }
}

/// FULL syncs the WAL at every commit: acknowledged means on the disk. The automatic checkpoint is off because it would
/// delay acknowledgements; the writer checkpoints after them. `fullfsync` makes a sync on macOS reach the platter.
fn set_up_writer(conn: &Connection) -> Result<(), StoreError> {
    conn.execute_batch(&format!(
        "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA foreign_keys = ON; PRAGMA cache_size = -512;
         PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = {WAL_KEPT_BYTES};"
    ))?;
    Ok(())
}

/// The ordinary way: a write-ahead log, one sync per commit, readers and the writer side by side.
fn open_with_log(file: &Path) -> Result<Connection, StoreError> {
    let conn = connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    check(&conn, file)?;
    set_journal(&conn, "WAL")?;
    read_something(&conn)?;
    Ok(conn)
}

/// A write-ahead log needs shared memory maps, which some file systems of small hosts (jffs2, network mounts) lack. There
/// a rollback journal is as durable, at two syncs more per commit, readers and the writer taking turns. The header may
/// say WAL; only a connection that is exclusive from its first read on needs no shared memory to change that.
fn open_without_log(file: &Path) -> Result<Connection, StoreError> {
    let conn = connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    conn.execute_batch("PRAGMA locking_mode = EXCLUSIVE")?;
    check(&conn, file)?;
    set_journal(&conn, "TRUNCATE")?;
    conn.execute_batch("PRAGMA locking_mode = NORMAL")?;
    read_something(&conn)?;
    Ok(conn)
}

fn set_journal(conn: &Connection, mode: &str) -> Result<String, StoreError> {
    Ok(conn.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |row| row.get(0))?)
}

/// Settings of the file take effect with the next transaction.
fn read_something(conn: &Connection) -> Result<(), StoreError> {
    Ok(conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?)
}

fn migrate(conn: &mut Connection, steps: &[&str]) -> Result<(), StoreError> {
    if version(conn)? as usize == steps.len() {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in &steps[version(&tx)? as usize..] {
        tx.execute_batch(step)?;
    }
    tx.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {};", steps.len()))?;
    tx.commit()?;
    Ok(())
}

fn version(conn: &Connection) -> Result<u32, StoreError> {
    Ok(conn.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// The present schema without a file.
#[cfg(test)]
pub(super) fn open_memory() -> Result<Connection, StoreError> {
    let mut conn = Connection::open_in_memory()?;
    migrate(&mut conn, STEPS)?;
    Ok(conn)
}

/// An older schema, or the present one.
#[cfg(test)]
pub(super) fn migrate_to(conn: &mut Connection, steps: usize) -> Result<(), StoreError> {
    migrate(conn, &STEPS[..steps.min(STEPS.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[&str] = &["CREATE TABLE a (x INTEGER)", "ALTER TABLE a ADD COLUMN y TEXT NOT NULL DEFAULT 'new'"];

    #[test]
    fn an_old_database_gets_only_the_steps_it_lacks() {
        let mut conn = Connection::open_in_memory().expect("opens");
        migrate(&mut conn, &TWO[..1]).expect("step 1");
        conn.execute_batch("INSERT INTO a VALUES (7)").expect("a row of version 1");
        migrate(&mut conn, TWO).expect("step 2");
        migrate(&mut conn, TWO).expect("nothing to do");
        let row: (i64, String) =
            conn.query_row("SELECT x, y FROM a", [], |row| Ok((row.get(0)?, row.get(1)?))).expect("still there");
        assert_eq!(row, (7, "new".into()));
        assert_eq!(version(&conn).expect("a number"), 2);
    }

    #[test]
    fn a_step_that_fails_leaves_the_old_version_whole() {
        let mut conn = Connection::open_in_memory().expect("opens");
        migrate(&mut conn, &TWO[..1]).expect("step 1");
        let broken = [TWO[0], TWO[1], "CREATE TABLE a (again)"];
        migrate(&mut conn, &broken).expect_err("there is an a");
        assert_eq!(version(&conn).expect("a number"), 1);
        assert!(conn.prepare("SELECT y FROM a").is_err(), "step 2 was undone with step 3");
    }

    #[test]
    fn every_version_from_empty_reaches_the_present_one() {
        for steps in 0..=STEPS.len() {
            let mut conn = Connection::open_in_memory().expect("opens");
            migrate(&mut conn, &STEPS[..steps]).expect("an old version");
            migrate(&mut conn, STEPS).expect("the present version");
            let number = conn.query_row("PRAGMA application_id", [], |row| row.get::<_, i32>(0)).expect("a number");
            assert_eq!((version(&conn).expect("a number") as usize, number), (STEPS.len(), APPLICATION_ID));
        }
    }
}
