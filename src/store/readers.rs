//! Connections for reading, lent to one thread at a time.
//!
//! Opened when first needed; one idle connection is kept, because the next read is likely and opening costs a schema
//! parse. A read sees one snapshot, however many statements it runs. A caller that panics costs its connection, never
//! its place.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::Connection;

use super::{StoreError, schema};

/// Readers at once. More would only queue on the disk of a small host, and each may hold 256 KiB of cache.
pub const READERS_MAX: usize = 3;
/// Idle connections kept; the others are closed when they come back.
const IDLE_KEPT: usize = 1;
/// A read that cannot even start in the time a request may take has no caller left.
pub const READ_WAIT: Duration = Duration::from_secs(30);

/// Owner of the reading connections.
pub(super) struct Readers {
    file: PathBuf,
    desk: Mutex<Desk>,
    returned: Condvar,
}

/// What is in the house and what is out. Never locked across I/O.
#[derive(Default)]
struct Desk {
    idle: Vec<Connection>,
    out: usize,
    closed: bool,
}

impl Readers {
    pub(super) fn new(file: PathBuf) -> Readers {
        Readers { file, desk: Mutex::default(), returned: Condvar::new() }
    }

    pub(super) fn read<T>(
        &self,
        what: &'static str,
        f: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut loan = self.lend(what)?;
        let conn = match loan.conn.take() {
            Some(conn) => conn,
            None => schema::open_reader(&self.file)?,
        };
        conn.execute_batch("BEGIN")?;
        let found = f(&conn);
        // A connection that cannot end its snapshot is not lent again; what was found is still right.
        if conn.is_autocommit() || conn.execute_batch("ROLLBACK").is_ok() {
            loan.conn = Some(conn);
        }
        found
    }

    /// Closes idle connections; those out are closed when they come back.
    pub(super) fn close(&self) {
        let idle = {
            let mut desk = self.desk();
            desk.closed = true;
            std::mem::take(&mut desk.idle)
        };
        drop(idle);
        self.returned.notify_all();
    }

    fn lend(&self, what: &'static str) -> Result<Loan<'_>, StoreError> {
        let full = |desk: &mut Desk| desk.out >= READERS_MAX && !desk.closed;
        let (mut desk, wait) = match self.returned.wait_timeout_while(self.desk(), READ_WAIT, full) {
            Ok(woken) => woken,
            Err(poisoned) => poisoned.into_inner(),
        };
        if desk.closed {
            return Err(StoreError::Closed { what });
        }
        if wait.timed_out() {
            return Err(StoreError::TooSlow { what, limit: READ_WAIT });
        }
        desk.out += 1;
        Ok(Loan { readers: self, conn: desk.idle.pop() })
    }

    /// Nothing panics while the desk is locked, so its numbers are right even if the lock says poisoned.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A place among the readers, given back on every way out.
struct Loan<'a> {
    readers: &'a Readers,
    conn: Option<Connection>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let surplus = {
            let mut desk = self.readers.desk();
            desk.out -= 1;
            match self.conn.take() {
                Some(conn) if desk.idle.len() < IDLE_KEPT && !desk.closed => {
                    desk.idle.push(conn);
                    None
                }
                surplus => surplus,
            }
        };
        self.readers.returned.notify_one();
        drop(surplus);
    }
}
