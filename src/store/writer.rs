//! The writer thread: the only place that changes the database.
//!
//! It takes every job that is waiting, runs them in arrival order inside one transaction, commits, and only then
//! answers them: one sync pays for all. Several jobs each run in a savepoint, so that a failing one undoes only itself.
//! It does not retry: a job is run once and its caller decides. It has no timers; without jobs nothing happens.
//!
//! Invariants: every job is answered exactly once, also when the store closes or the thread dies (a dropped job answers
//! `Closed`); an answer `Ok` is given only after the commit has been synced; answers of one batch come in job order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::Receiver;
use rusqlite::Connection;

use super::StoreError;
use super::sql::statement;

/// Jobs that may wait. A message and its answer are one job each; a thousand waiting means that the disk has stopped.
pub const QUEUE_JOBS: usize = 1024;
/// Bytes that waiting jobs may carry, as declared at submission. Passed by at most one job (the one that came last).
pub const QUEUE_BYTES: usize = 32 << 20;
/// One transaction takes at most this many jobs, so that the first does not wait for a crowd behind it.
const BATCH_JOBS: usize = 128;

/// Frames (of 4 KiB) not yet in the database file that make a checkpoint worth its sync when nobody is waiting.
const CHECKPOINT_IDLE: i64 = 256;
/// The same, also when jobs are waiting: 4 MiB of log is what a small disk should bear.
const CHECKPOINT_BUSY: i64 = 1024;
/// A log of 16 MiB (one huge message, or readers that never pause) is cut down, even if that waits for readers.
const CHECKPOINT_CUT: i64 = 4096;

/// What the thread receives.
pub(super) enum Mail {
    Job(Box<dyn Work>),
    /// Do what came before this, then stop.
    Close,
}

/// A job whose types are forgotten.
pub(super) trait Work: Send {
    /// Runs the job once; its value is kept inside until it is settled.
    fn run(&mut self, conn: &Connection) -> Result<(), StoreError>;
    /// Answers: with the value after a commit, else with the error.
    fn settle(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// How much is waiting.
#[derive(Default)]
pub(super) struct Load {
    jobs: AtomicUsize,
    bytes: AtomicUsize,
}

/// A place in the queue, given back when the job is gone.
pub(super) struct Place {
    load: Arc<Load>,
    bytes: usize,
}

impl Place {
    /// None when the queue is at its cap.
    pub(super) fn take(load: &Arc<Load>, bytes: usize) -> Option<Place> {
        let place = Place { load: load.clone(), bytes };
        let jobs = load.jobs.fetch_add(1, Ordering::Relaxed);
        let waiting = load.bytes.fetch_add(bytes, Ordering::Relaxed);
        (jobs < QUEUE_JOBS && waiting < QUEUE_BYTES).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.load.jobs.fetch_sub(1, Ordering::Relaxed);
        self.load.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A job, its value and the duty to answer.
pub(super) struct Task<T, J, D: FnOnce(Result<T, StoreError>)> {
    pub(super) what: &'static str,
    pub(super) job: Option<J>,
    pub(super) value: Option<T>,
    pub(super) done: Option<D>,
    pub(super) place: Option<Place>,
}

impl<T, J, D> Work for Task<T, J, D>
where
    T: Send,
    J: FnOnce(&Connection) -> Result<T, StoreError> + Send,
    D: FnOnce(Result<T, StoreError>) + Send,
{
    fn run(&mut self, conn: &Connection) -> Result<(), StoreError> {
        let Some(job) = self.job.take() else { return Err(StoreError::Closed { what: self.what }) };
        match catch_unwind(AssertUnwindSafe(|| job(conn))) {
            Ok(Ok(value)) => {
                self.value = Some(value);
                Ok(())
            }
            Ok(Err(e)) => Err(e.during(self.what)),
            Err(_) => Err(StoreError::Panicked { what: self.what }),
        }
    }

    fn settle(mut self: Box<Self>, outcome: Result<(), StoreError>) {
        let what = self.what;
        let answer = match (outcome, self.value.take()) {
            (Ok(()), Some(value)) => Ok(value),
            (Ok(()), None) => Err(StoreError::Closed { what }),
            (Err(e), _) => Err(e.during(what)),
        };
        self.answer(answer);
    }
}

impl<T, J, D: FnOnce(Result<T, StoreError>)> Task<T, J, D> {
    /// A callback that panics must not take the store with it; the panic hook has logged the place.
    fn answer(&mut self, answer: Result<T, StoreError>) {
        let Some(done) = self.done.take() else { return };
        // First, so that who is told there is an end finds the place free.
        self.place = None;
        if catch_unwind(AssertUnwindSafe(|| done(answer))).is_err() {
            log::error!("store: the answer to \"{}\" panicked", self.what);
        }
    }
}

impl<T, J, D: FnOnce(Result<T, StoreError>)> Drop for Task<T, J, D> {
    fn drop(&mut self) {
        let what = self.what;
        self.answer(Err(StoreError::Closed { what }));
    }
}

/// The thread's whole life: until `Close`, or until nobody can send any more.
pub(super) fn run(conn: Connection, mail: &Receiver<Mail>) {
    let mut open = true;
    while open {
        let Ok(first) = mail.recv() else { break };
        let mut batch = Vec::with_capacity(1);
        let mut next = Some(first);
        while let Some(letter) = next.take() {
            match letter {
                Mail::Job(job) => batch.push(job),
                Mail::Close => open = false,
            }
            if open && batch.len() < BATCH_JOBS {
                next = mail.try_recv().ok();
            }
        }
        commit(&conn, batch);
        tidy(&conn, mail.is_empty());
    }
    checkpoint(&conn, "TRUNCATE");
    if let Err((_, e)) = conn.close() {
        log::warn!("store: close: {e}");
    }
}

/// Runs a batch. Usually one transaction; more only when SQLite itself gave one up half-way.
fn commit(conn: &Connection, batch: Vec<Box<dyn Work>>) {
    let mut waiting = batch.into_iter();
    while waiting.len() > 0 {
        if let Err(e) = execute(conn, "BEGIN IMMEDIATE") {
            waiting.by_ref().for_each(|job| job.settle(Err(e.clone())));
            return;
        }
        let (ran, outcome) = run_group(conn, &mut waiting);
        let outcome = outcome.and_then(|()| execute(conn, "COMMIT"));
        if outcome.is_err() && !conn.is_autocommit() {
            give_up(conn);
        }
        for (job, own) in ran {
            job.settle(own.and(outcome.clone()));
        }
    }
}

type Ran = Vec<(Box<dyn Work>, Result<(), StoreError>)>;

/// Runs jobs until all ran or the transaction is lost (a full disk can make SQLite roll all of it back). In the latter
/// case the error belongs to every job that ran in it; the rest still waits and gets a new transaction.
fn run_group(conn: &Connection, waiting: &mut std::vec::IntoIter<Box<dyn Work>>) -> (Ran, Result<(), StoreError>) {
    let alone = waiting.len() == 1;
    let mut ran = Ran::with_capacity(waiting.len());
    for mut job in waiting.by_ref() {
        let own = if alone { job.run(conn) } else { run_fenced(conn, job.as_mut()) };
        let lost = match &own {
            Err(e) if alone || conn.is_autocommit() => Some(e.clone()),
            Ok(()) if conn.is_autocommit() => Some(StoreError::Undone { what: "" }),
            _ => None,
        };
        ran.push((job, own));
        if let Some(e) = lost {
            return (ran, Err(e));
        }
    }
    (ran, Ok(()))
}

/// Runs one job of several so that its failure undoes only its own work.
fn run_fenced(conn: &Connection, job: &mut dyn Work) -> Result<(), StoreError> {
    execute(conn, "SAVEPOINT job")?;
    let own = job.run(conn);
    if conn.is_autocommit() {
        return own;
    }
    let undone = if own.is_ok() { Ok(()) } else { execute(conn, "ROLLBACK TO job") };
    if let Err(e) = undone.and_then(|()| execute(conn, "RELEASE job")) {
        give_up(conn);
        return own.and(Err(e));
    }
    own
}

fn execute(conn: &Connection, sql: &str) -> Result<(), StoreError> {
    statement(conn, sql)?.execute([])?;
    Ok(())
}

fn give_up(conn: &Connection) {
    if let Err(e) = conn.execute_batch("ROLLBACK") {
        log::warn!("store: roll back: {e}");
    }
}

/// Moves the log into the database when it has grown, after the answers are out.
fn tidy(conn: &Connection, idle: bool) {
    let Some((log, moved)) = checkpoint(conn, "NOOP") else { return };
    let due = log - moved;
    if log >= CHECKPOINT_CUT {
        checkpoint(conn, "TRUNCATE");
    } else if due >= CHECKPOINT_BUSY || (idle && due >= CHECKPOINT_IDLE) {
        checkpoint(conn, "PASSIVE");
    }
}

/// (frames in the log, frames already in the database). A failed checkpoint loses nothing: the log keeps it all.
fn checkpoint(conn: &Connection, how: &str) -> Option<(i64, i64)> {
    let sql = format!("PRAGMA wal_checkpoint({how})");
    let counted = statement(conn, &sql).and_then(|mut s| Ok(s.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))?));
    match counted {
        Ok(frames) => Some(frames),
        Err(e) => {
            log::warn!("store: {}", e.during("checkpoint"));
            None
        }
    }
}
