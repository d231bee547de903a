//! What survives a power cut: sessions, transcripts, the inbox, finished runs, settings, usage, in one SQLite file.
//!
//! Any thread queues jobs ([`Store::submit`]); one thread writes. Jobs that wait together are one transaction with one
//! sync, and are answered after it: **acknowledged means on the disk**. Reads happen on the caller's thread over a few
//! read-only connections and see whole transactions only. The typed functions of the tables ([`sessions`],
//! [`transcript`], [`inbox`], [`outbox`], [`seen`], [`runs`], [`kv`], [`usage`]) take a plain connection, so that one job may combine them.
//!
//! It deliberately does not know what a message or a payload means (JSON text in, JSON text out), keeps no cache of
//! rows, retries nothing, and makes no decision about what to delete beyond the stated caps.
//!
//! Invariants: one process per state directory ([`StateLock`]); one writing connection; every job is answered exactly
//! once; nothing is written while nobody asks; the files are readable by their owner only.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use rusqlite::Connection;

pub mod approvals;
pub mod check;
pub mod cron;
mod error;
pub mod facts;
pub mod inbox;
pub mod kv;
mod lock;
pub mod outbox;
mod readers;
pub mod runs;
mod schema;
pub mod seen;
pub mod sessions;
mod sql;
pub mod transcript;
pub mod usage;
mod writer;

#[cfg(unix)]
#[path = "unix.rs"]
mod os;
#[cfg(windows)]
#[path = "windows.rs"]
mod os;

pub use error::StoreError;
pub use lock::{LOCK_FILE, StateLock};
pub use readers::{READ_WAIT, READERS_MAX};
pub use writer::{QUEUE_BYTES, QUEUE_JOBS};

use crate::sys::answer::{self, NoAnswer};

use readers::Readers;
use writer::{Load, Mail, Place, Task};

/// A write that takes longer than any request may live has no caller left to tell.
pub const WRITE_WAIT: Duration = Duration::from_secs(30);

/// The open database. Clones share it; the last clone gone, the writer thread ends by itself.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    path: PathBuf,
    mail: Sender<Mail>,
    load: Arc<Load>,
    closed: AtomicBool,
    /// Says nothing; disconnects when the writer thread has ended.
    ended: Receiver<()>,
    readers: Readers,
}

impl Store {
    /// Opens or creates the database (0600), migrates it and starts the writer thread. May take as long as a migration
    /// does; does not look at the state lock, which the caller holds.
    pub fn open(file: &Path) -> Result<Store, StoreError> {
        let conn = schema::open_writer(file)?;
        let (mail, letters) = unbounded();
        let (alive, ended) = bounded(0);
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                writer::run(conn, &letters);
                drop(alive);
            })
            .map_err(|e| StoreError::file("start the writer thread of", file, e))?;
        Ok(Store(Arc::new(Shared {
            path: file.to_path_buf(),
            mail,
            load: Arc::default(),
            closed: AtomicBool::new(false),
            ended,
            readers: Readers::new(file.to_path_buf()),
        })))
    }

    /// Queues a job for the writer thread and returns at once. `done` gets the value after the commit was synced, or
    /// the error; it runs on the writer thread (on this one if the job is refused at once) and must not block.
    ///
    /// For jobs that carry little; see [`Store::submit_sized`].
    pub fn submit<T: Send + 'static>(
        &self,
        what: &'static str,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        done: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) {
        self.submit_sized(what, 0, job, done);
    }

    /// As [`Store::submit`], for a job that carries `bytes` of text. Over [`QUEUE_JOBS`] or [`QUEUE_BYTES`] waiting,
    /// `done` gets [`StoreError::Busy`] at once.
    pub fn submit_sized<T: Send + 'static>(
        &self,
        what: &'static str,
        bytes: usize,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        done: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) {
        if self.0.closed.load(Ordering::Acquire) {
            return done(Err(StoreError::Closed { what }));
        }
        let Some(place) = Place::take(&self.0.load, bytes) else {
            return done(Err(StoreError::Busy { what }));
        };
        let task = Task { what, job: Some(job), value: None, done: Some(done), place: Some(place) };
        // If the thread has ended, the letter comes back inside the error and answers `Closed` as it is dropped.
        drop(self.0.mail.send(Mail::Job(Box::new(task))));
    }

    /// Queues a job and waits for its commit, at most [`WRITE_WAIT`]. For threads that may wait: never the state
    /// thread, and never from inside a job or its `done` (that would wait for itself).
    pub fn write<T: Send + 'static>(
        &self,
        what: &'static str,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_sized(what, 0, job)
    }

    /// As [`Store::write`], for a job that carries `bytes` of text.
    pub fn write_sized<T: Send + 'static>(
        &self,
        what: &'static str,
        bytes: usize,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = answer::pair();
        // Nobody listens any more after the deadline; then the answer has no reader and that is fine.
        self.submit_sized(what, bytes, job, move |outcome| answer.give(outcome));
        match answered.wait_for(WRITE_WAIT) {
            Ok(outcome) => outcome,
            Err(NoAnswer::Late) => Err(StoreError::TooSlow { what, limit: WRITE_WAIT }),
            Err(NoAnswer::Lost) => Err(StoreError::Closed { what }),
        }
    }

    /// Reads on this thread, over one of [`READERS_MAX`] read-only connections; waits for a free one at most
    /// [`READ_WAIT`]. `f` sees one snapshot. May block: not for the state thread.
    pub fn read<T>(
        &self,
        what: &'static str,
        f: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.0.readers.read(what, f).map_err(|e| e.during(what))
    }

    /// Finishes the queue, moves the log into the database and stops the thread. True when all that is done within the
    /// time; later jobs and reads are answered `Closed` either way.
    pub fn close(&self, within: Duration) -> bool {
        self.0.readers.close();
        if !self.0.closed.swap(true, Ordering::AcqRel) {
            // A thread that has ended needs no letter.
            drop(self.0.mail.send(Mail::Close));
        }
        matches!(self.0.ended.recv_timeout(within), Err(RecvTimeoutError::Disconnected))
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.0.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
