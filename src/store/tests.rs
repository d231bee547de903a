//! The store as a whole: grouping, failures, durability, files. Tables are tested beside their code.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use rusqlite::ErrorCode;

use super::testing::{Dir, entry, gate};
use super::*;

const SOON: Duration = Duration::from_secs(20);

fn insert(conn: &Connection, name: &str) -> Result<(), StoreError> {
    kv::set(conn, "test", name, "1")
}

fn names(store: &Store) -> Vec<String> {
    let pairs = store.read("list", |conn| kv::list(conn, "test")).expect("reads");
    pairs.into_iter().map(|(name, _)| name).collect()
}

fn pragma(store: &Store, sql: &'static str) -> i64 {
    store.write("pragma", move |conn| Ok(conn.query_row(sql, [], |row| row.get(0))?)).expect("answers")
}

#[test]
fn a_new_database_is_durable_ours_and_opens_again() {
    let dir = Dir::new();
    let store = dir.store();
    store.write("set", |conn| insert(conn, "a")).expect("writes");
    assert_eq!(pragma(&store, "PRAGMA synchronous"), 2, "FULL");
    assert_eq!(pragma(&store, "PRAGMA foreign_keys"), 1);
    assert_eq!(pragma(&store, "PRAGMA user_version"), super::schema::STEPS.len() as i64);
    assert!(store.path().with_extension("sqlite-wal").exists(), "WAL mode");
    assert!(store.close(SOON));
    assert!(!store.path().with_extension("sqlite-wal").exists(), "a clean close leaves one file");
    assert_eq!(names(&dir.store()), ["a"]);
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let dir = Dir::new();
    let store = dir.store();
    store.write("raise", |conn| Ok(conn.execute_batch("PRAGMA user_version = 999")?)).expect("writes");
    assert!(store.close(SOON));
    let before = std::fs::read(dir.file()).expect("a file");
    let refused = Store::open(&dir.file()).expect_err("newer");
    assert!(matches!(refused, StoreError::NewerSchema { found: 999, .. }), "{refused:?}");
    assert_eq!(std::fs::read(dir.file()).expect("a file"), before);
}

#[cfg(unix)]
#[test]
fn a_file_system_without_shared_memory_gets_a_rollback_journal() {
    let dir = Dir::new();
    // Where the log's index would be mapped there is something that cannot be opened.
    let index = dir.file().with_extension("sqlite-shm");
    std::os::unix::fs::symlink("/nowhere/at all", &index).expect("in the way");
    let store = dir.store();
    let mode: String =
        store.read("mode", |conn| Ok(conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))?)).expect("reads");
    assert_ne!(mode, "wal");
    store.write("set", |conn| insert(conn, "a")).expect("writes");
    assert_eq!(names(&store), ["a"]);
    assert_eq!(pragma(&store, "PRAGMA synchronous"), 2, "FULL");
    assert!(store.close(SOON));
    std::fs::remove_file(index).expect("out of the way");
    // Held until the end: a store that goes away takes its log with it, whenever its threads get to that.
    let moved = dir.store();
    assert_eq!(names(&moved), ["a"]);
    assert!(dir.file().with_extension("sqlite-wal").exists(), "moved to a better disk");
}

#[test]
fn another_programs_database_is_refused() {
    let dir = Dir::new();
    Connection::open(dir.file()).and_then(|conn| conn.execute_batch("CREATE TABLE theirs (x)")).expect("theirs");
    assert!(matches!(Store::open(&dir.file()), Err(StoreError::Foreign { .. })));
}

#[test]
fn a_file_that_is_no_database_is_called_damaged() {
    let dir = Dir::new();
    std::fs::write(dir.file(), "no database, but long enough to be asked for its header ".repeat(20)).expect("writes");
    let refused = Store::open(&dir.file()).expect_err("damaged");
    assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused:?}");
    assert_eq!(refused.to_string(), "open database: the database file is damaged");
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    std::fs::write(dir.file(), "").expect("writes");
    std::fs::set_permissions(dir.file(), PermissionsExt::from_mode(0o644)).expect("was readable for all");
    let store = dir.store();
    store.write("set", |conn| insert(conn, "a")).expect("writes");
    for end in ["sqlite", "sqlite-wal", "sqlite-shm"] {
        let mode = dir.file().with_extension(end).metadata().expect("exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{end}");
    }
}

#[test]
fn jobs_that_wait_together_are_one_transaction_answered_in_order() {
    let dir = Dir::new();
    let store = dir.store();
    let (open, opened) = gate(&store);
    let (done, answers) = mpsc::channel();
    for n in 0..10 {
        let done = done.clone();
        store.submit(
            "set",
            move |conn| insert(conn, &format!("{n}")).map(|()| n),
            move |outcome| done.send(outcome).expect("the test listens"),
        );
    }
    let before = commits(&store, opened);
    open.send(()).expect("the gate waits");
    let order: Vec<i32> = (0..10).map(|_| answers.recv_timeout(SOON).expect("answered").expect("kept")).collect();
    assert_eq!(order, (0..10).collect::<Vec<_>>());
    let after = data_version(&store);
    assert_eq!(after - before, 1, "one commit for ten jobs");
    assert_eq!(names(&store).len(), 10);
}

/// Counts commits as another connection sees them.
fn data_version(store: &Store) -> i64 {
    store.read("version", |conn| Ok(conn.query_row("PRAGMA data_version", [], |row| row.get(0))?)).expect("reads")
}

/// Waits until the gate has been reached and everything before it is committed.
fn commits(store: &Store, opened: mpsc::Receiver<()>) -> i64 {
    opened.recv_timeout(SOON).expect("the gate is reached");
    data_version(store)
}

#[test]
fn a_failing_job_and_a_panicking_one_do_not_harm_their_neighbours() {
    let dir = Dir::new();
    let store = dir.store();
    let (open, opened) = gate(&store);
    opened.recv_timeout(SOON).expect("the gate is reached");
    let (done, answers) = mpsc::channel();
    let submit = |what: &'static str, job: fn(&Connection) -> Result<(), StoreError>| {
        let done = done.clone();
        store.submit(what, job, move |outcome| done.send((what, outcome)).expect("the test listens"));
    };
    submit("first", |conn| insert(conn, "first"));
    submit("fails", |conn| {
        insert(conn, "half done")?;
        Ok(conn.execute_batch("INSERT INTO kv (scope) VALUES (NULL)")?)
    });
    submit("panics", |conn| {
        insert(conn, "half done too")?;
        panic!("this panic belongs to a test")
    });
    submit("last", |conn| insert(conn, "last"));
    open.send(()).expect("the gate waits");
    let outcomes: Vec<_> = (0..4).map(|_| answers.recv_timeout(SOON).expect("answered")).collect();
    assert!(matches!(outcomes[0], ("first", Ok(()))));
    assert!(matches!(outcomes[1], ("fails", Err(StoreError::Sql { what: "fails", .. }))));
    assert!(matches!(outcomes[2], ("panics", Err(StoreError::Panicked { what: "panics" }))));
    assert!(matches!(outcomes[3], ("last", Ok(()))));
    assert_eq!(names(&store), ["first", "last"]);
}

#[test]
fn a_lone_failing_job_leaves_nothing_behind() {
    let dir = Dir::new();
    let store = dir.store();
    let failed = store.write("fails", |conn| {
        insert(conn, "half done")?;
        Err::<(), _>(StoreError::TooLarge { what: "", bytes: 2, limit: 1 })
    });
    assert_eq!(failed.expect_err("fails").to_string(), "fails: 2 bytes, at most 1 fit");
    assert!(names(&store).is_empty());
}

#[test]
fn a_job_that_gives_up_the_transaction_fails_alone_with_those_before_it() {
    let dir = Dir::new();
    let store = dir.store();
    let (open, opened) = gate(&store);
    opened.recv_timeout(SOON).expect("the gate is reached");
    let (done, answers) = mpsc::channel();
    let submit = |what: &'static str, job: fn(&Connection) -> Result<(), StoreError>| {
        let done = done.clone();
        store.submit(what, job, move |outcome| done.send(outcome.is_ok()).expect("the test listens"));
    };
    submit("before", |conn| insert(conn, "before"));
    submit("gives up", |conn| Ok(conn.execute_batch("ROLLBACK")?));
    submit("after", |conn| insert(conn, "after"));
    open.send(()).expect("the gate waits");
    let kept: Vec<bool> = (0..3).map(|_| answers.recv_timeout(SOON).expect("answered")).collect();
    assert_eq!(kept, [false, false, true], "nobody is told Ok for what is gone");
    assert_eq!(names(&store), ["after"]);
}

#[test]
fn a_full_disk_is_said_and_survived() {
    let dir = Dir::new();
    let store = dir.store();
    let pages = pragma(&store, "PRAGMA page_count");
    let limited = move |conn: &Connection| {
        Ok(conn.query_row(&format!("PRAGMA max_page_count = {}", pages + 4), [], |row| row.get::<_, i64>(0))?)
    };
    store.write("limit", limited).expect("a smaller disk");
    let big = "x".repeat(100_000);
    let message = big.clone();
    let refused = store
        .write("append message", move |conn| transcript::append(conn, "s", &entry("user", &message)))
        .expect_err("full");
    assert!(matches!(refused, StoreError::Full { .. }), "{refused:?}");
    assert_eq!(refused.to_string(), "append message: the disk is full");
    assert!(refused.is_temporary());
    store.write("small", |conn| insert(conn, "small")).expect("what fits is still taken");
    store
        .write("limit", |conn| Ok(conn.query_row("PRAGMA max_page_count = 100000", [], |row| row.get::<_, i64>(0))?))
        .expect("room again");
    let kept = store.write("append message", move |conn| transcript::append(conn, "s", &entry("user", &big)));
    assert_eq!(kept.expect("room").seq, 1, "the refused one left no trace");
}

#[test]
fn a_full_disk_in_a_crowd_is_not_acknowledged_to_anybody_whose_work_is_gone() {
    let dir = Dir::new();
    let store = dir.store();
    let pages = pragma(&store, "PRAGMA page_count");
    let sql = format!("PRAGMA max_page_count = {}", pages + 8);
    store.write("limit", move |conn| Ok(conn.query_row(&sql, [], |row| row.get::<_, i64>(0))?)).expect("limited");
    let (open, opened) = gate(&store);
    opened.recv_timeout(SOON).expect("the gate is reached");
    let (done, answers) = mpsc::channel();
    for n in 0..30 {
        let done = done.clone();
        let size = if n % 3 == 2 { 200_000 } else { 10 };
        let job = move |conn: &Connection| {
            transcript::append(conn, &format!("s{n}"), &entry("user", &"x".repeat(size))).map(|_| ())
        };
        store.submit("append", job, move |outcome| done.send((n, outcome)).expect("the test listens"));
    }
    open.send(()).expect("the gate waits");
    for _ in 0..30 {
        let (n, outcome) = answers.recv_timeout(SOON).expect("answered");
        let there = store.read("count", |conn| transcript::count(conn, &format!("s{n}"))).expect("reads");
        assert_eq!(outcome.is_ok(), there == 1, "{n}: {outcome:?}");
        assert!(n % 3 != 2 || outcome.is_err(), "{n} does not fit");
    }
}

#[test]
fn the_queue_says_busy_when_it_is_full_and_recovers() {
    let dir = Dir::new();
    let store = dir.store();
    let (open, opened) = gate(&store);
    opened.recv_timeout(SOON).expect("the gate is reached");
    let (done, answers) = mpsc::channel();
    let submit = |bytes: usize| {
        let done = done.clone();
        store.submit_sized("job", bytes, |_| Ok(()), move |outcome| done.send(outcome).expect("the test listens"));
    };
    submit(QUEUE_BYTES);
    submit(1);
    let refused = answers.recv_timeout(SOON).expect("at once");
    assert!(matches!(refused, Err(StoreError::Busy { what: "job" })), "too many bytes");
    open.send(()).expect("the gate waits");
    assert!(answers.recv_timeout(SOON).expect("answered").is_ok());

    let (open, opened) = gate(&store);
    opened.recv_timeout(SOON).expect("the gate is reached");
    // The gate itself holds one place until it is settled.
    for _ in 0..QUEUE_JOBS {
        submit(0);
    }
    assert!(answers.recv_timeout(SOON).expect("at once").is_err(), "too many jobs");
    open.send(()).expect("the gate waits");
    for _ in 1..QUEUE_JOBS {
        assert!(answers.recv_timeout(SOON).expect("answered").is_ok());
    }
    store.write("later", |_| Ok(())).expect("there is room again");
}

#[test]
fn closing_finishes_what_waits_and_refuses_what_comes_later() {
    let dir = Dir::new();
    let store = dir.store();
    let (open, opened) = gate(&store);
    opened.recv_timeout(SOON).expect("the gate is reached");
    let (done, answers) = mpsc::channel();
    let late = done.clone();
    store.submit("waits", |conn| insert(conn, "waits"), move |o| done.send(o).expect("the test listens"));
    assert!(!store.close(Duration::ZERO), "the gate is still shut");
    store.submit("late", |conn| insert(conn, "late"), move |o| late.send(o).expect("the test listens"));
    assert!(matches!(answers.recv_timeout(SOON), Ok(Err(StoreError::Closed { what: "late" }))));
    open.send(()).expect("the gate waits");
    assert!(store.close(SOON));
    assert!(matches!(answers.recv_timeout(SOON), Ok(Ok(()))));
    assert!(matches!(store.read("late", |_| Ok(())), Err(StoreError::Closed { what: "late" })));
    assert_eq!(names(&dir.store()), ["waits"]);
}

#[test]
fn readers_share_three_connections_and_one_stays_open() {
    let dir = Dir::new();
    let store = dir.store();
    let (arrived, arrivals) = mpsc::channel();
    let (release, released) = crossbeam_channel::bounded::<()>(0);
    std::thread::scope(|scope| {
        for _ in 0..READERS_MAX + 1 {
            let (store, arrived, released) = (store.clone(), arrived.clone(), released.clone());
            scope.spawn(move || {
                store.read("wait", |_| {
                    arrived.send(()).expect("the test listens");
                    // Disconnects when the test lets everybody go.
                    let _ = released.recv_timeout(SOON);
                    Ok(())
                })
            });
        }
        for _ in 0..READERS_MAX {
            arrivals.recv_timeout(SOON).expect("three read at once");
        }
        assert!(arrivals.try_recv().is_err(), "the fourth waits");
        drop(release);
        arrivals.recv_timeout(SOON).expect("its turn has come");
    });
    let panicked = std::panic::catch_unwind(|| store.read::<()>("panic", |_| panic!("this panic belongs to a test")));
    assert!(panicked.is_err());
    for _ in 0..2 * READERS_MAX {
        store.read("again", |_| Ok(())).expect("no place was lost");
    }
    let wrote = store.read("write", |conn| insert(conn, "from a reader"));
    assert!(wrote.is_err(), "readers cannot write");
}

#[test]
fn the_log_is_folded_into_the_database_when_it_has_grown() {
    let dir = Dir::new();
    let store = dir.store();
    for n in 0..40 {
        let message = "x".repeat(200_000);
        store
            .write("append", move |conn| transcript::append(conn, "s", &entry("user", &message)))
            .unwrap_or_else(|e| panic!("{n}: {e}"));
    }
    // Behind the last checkpoint, because it comes after the answers.
    store.write("after", |_| Ok(())).expect("writes");
    let log = dir.file().with_extension("sqlite-wal").metadata().expect("a log").len();
    assert!(log < 6 << 20, "{log} bytes of log for 8 MB of messages");
}

#[test]
fn nothing_is_written_while_nobody_asks() {
    let dir = Dir::new();
    let store = dir.store();
    store.write("set", |conn| insert(conn, "a")).expect("writes");
    let stamp = |path: &Path| path.metadata().and_then(|m| m.modified()).expect("a file");
    let files = [dir.file(), dir.file().with_extension("sqlite-wal")];
    let before: Vec<_> = files.iter().map(|f| stamp(f)).collect();
    for _ in 0..10 {
        store.read("list", |conn| kv::list(conn, "test")).expect("reads");
        store.write("nothing", |_| Ok(())).expect("a job that changes nothing");
    }
    assert_eq!(files.iter().map(|f| stamp(f)).collect::<Vec<_>>(), before);
}

#[test]
fn disk_errors_are_told_apart() {
    let of = |code: ErrorCode, extended: i32| {
        let e = rusqlite::ffi::Error { code, extended_code: extended };
        StoreError::from(rusqlite::Error::SqliteFailure(e, None))
    };
    assert!(matches!(of(ErrorCode::DiskFull, 13), StoreError::Full { .. }));
    assert!(matches!(of(ErrorCode::SystemIoFailure, 10), StoreError::Io { .. }));
    assert!(matches!(of(ErrorCode::DatabaseCorrupt, 11), StoreError::Corrupt { .. }));
    assert!(matches!(of(ErrorCode::ConstraintViolation, 19), StoreError::Sql { .. }));
}

/// Names the directory in which the child writes; the child is this test binary.
const CHILD_DIR: &str = "OPENCLAW_STORE_TEST_CHILD_DIR";

/// Not a test by itself: what the killed child does.
#[test]
fn child_that_writes_until_it_is_killed() {
    use std::io::Write;
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let dir = std::path::PathBuf::from(dir);
    let _lock = StateLock::take(&dir).expect("free");
    let store = Store::open(&dir.join("gateway.sqlite")).expect("opens");
    for n in 0.. {
        let text = format!("{{\"n\":{n},\"text\":\"{}\"}}", "y".repeat(n % 9_000));
        let done = move |outcome: Result<transcript::Appended, StoreError>| {
            let mut out = std::io::stdout();
            writeln!(out, "\nkept {}", outcome.expect("kept").seq).and_then(|()| out.flush()).expect("a pipe");
        };
        let (next, gone) = bounded(1);
        let job = move |conn: &Connection| transcript::append(conn, "s", &entry("user", &text));
        store.submit("append", job, move |outcome| {
            done(outcome);
            // Nobody waits for every third.
            let _ = next.send(());
        });
        // Two of three are waited for, so that some commits carry several jobs.
        if n % 3 != 0 {
            gone.recv_timeout(SOON).expect("answered");
        }
    }
}

#[test]
fn everything_acknowledged_survives_kill_9_and_the_lock_is_free_at_once() {
    use std::io::BufRead;
    for kept_at_least in [1, 40, 150] {
        let dir = Dir::new();
        let mut child = Command::new(std::env::current_exe().expect("a test binary"))
            .args(["store::tests::child_that_writes_until_it_is_killed", "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD_DIR, &dir.path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut lines = std::io::BufReader::new(child.stdout.take().expect("piped")).lines();
        let seq = |line: &str| line.strip_prefix("kept ").and_then(|seq| seq.parse::<u64>().ok());
        let mut last = 0;
        while last < kept_at_least {
            last = last.max(seq(&lines.next().expect("the child writes on").expect("text")).unwrap_or(0));
        }
        let held = StateLock::take(&dir.path).expect_err("the child lives");
        assert!(matches!(held, StoreError::Locked { pid: Some(pid), .. } if pid == child.id()), "{held:?}");
        child.kill().expect("SIGKILL");
        // What the child said before it died counts, too.
        for line in lines {
            last = last.max(seq(&line.expect("text")).unwrap_or(0));
        }
        child.wait().expect("is dead");
        let _lock = StateLock::take(&dir.path).expect("a dead holder holds nothing");
        let store = dir.store();
        let count = store.read("count", |conn| transcript::count(conn, "s")).expect("reads");
        assert!(count >= last, "acknowledged {last}, found {count}");
        let sound: String =
            store.read("check", |conn| Ok(conn.query_row("PRAGMA integrity_check", [], |r| r.get(0))?)).expect("reads");
        assert_eq!(sound, "ok");
        let next = store.write("append", |conn| transcript::append(conn, "s", &entry("user", "{}"))).expect("goes on");
        assert_eq!(next.seq, count + 1);
    }
}
