//! What can go wrong between a caller and the disk.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::ErrorCode;

use crate::wire::error::RpcError;

/// A failure of the store. Cloneable, because one failed commit answers every job of its batch.
///
/// `what` names the job ("append message"); it is filled in by the store, so that `?` on SQLite errors inside a job is
/// enough.
#[derive(Debug, Clone)]
pub enum StoreError {
    /// Another process owns the state directory; `pid` is what it wrote into the lock file.
    Locked { file: PathBuf, pid: Option<u32> },
    /// The database was written by a newer version. Nothing was changed.
    NewerSchema { found: u32, known: u32 },
    /// The file is a database of some other program. Nothing was changed.
    Foreign { file: PathBuf },
    /// The writer's queue is at its cap, or a table with a fixed number of places is full: try again later.
    Busy { what: &'static str },
    /// The store was closed before the job ran.
    Closed { what: &'static str },
    /// The wait ended before the answer came. A job that was queued may still be committed.
    TooSlow { what: &'static str, limit: Duration },
    /// A value is over its cap.
    TooLarge { what: &'static str, bytes: usize, limit: usize },
    /// No room on the disk; nothing of the job was kept.
    Full { what: &'static str, source: Arc<rusqlite::Error> },
    /// The disk or the file system refused; nothing of the job was kept.
    Io { what: &'static str, source: Arc<rusqlite::Error> },
    /// The file is damaged or no database.
    Corrupt { what: &'static str, source: Arc<rusqlite::Error> },
    /// Any other SQLite error: a constraint, a wrong statement, another process holding the write lock too long.
    Sql { what: &'static str, source: Arc<rusqlite::Error> },
    /// SQLite gave the whole transaction up under a job that did not say so; nothing of it was kept.
    Undone { what: &'static str },
    /// The job panicked; the log has the place.
    Panicked { what: &'static str },
    /// The job found that it must not be done; nothing of it was kept.
    Declined(Box<RpcError>),
    /// A step on the file system outside SQLite.
    File { doing: &'static str, path: PathBuf, source: Arc<io::Error> },
}

impl StoreError {
    /// Names the job an error belongs to, unless it is named already.
    pub fn during(mut self, name: &'static str) -> StoreError {
        match &mut self {
            StoreError::Busy { what }
            | StoreError::Closed { what }
            | StoreError::TooSlow { what, .. }
            | StoreError::TooLarge { what, .. }
            | StoreError::Full { what, .. }
            | StoreError::Io { what, .. }
            | StoreError::Corrupt { what, .. }
            | StoreError::Sql { what, .. }
            | StoreError::Undone { what }
            | StoreError::Panicked { what }
                if what.is_empty() =>
            {
                *what = name;
            }
            _ => {}
        }
        self
    }

    /// Whether the same call may succeed later without anybody repairing anything.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            StoreError::Busy { .. } | StoreError::TooSlow { .. } | StoreError::Full { .. } | StoreError::Io { .. }
        )
    }

    pub(super) fn file(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> StoreError {
        StoreError::File { doing, path: path.into(), source: Arc::new(source) }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(source: rusqlite::Error) -> StoreError {
        let (what, code) = ("", source.sqlite_error_code());
        let source = Arc::new(source);
        match code {
            Some(ErrorCode::DiskFull) => StoreError::Full { what, source },
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly) => {
                StoreError::Io { what, source }
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt { what, source },
            _ => StoreError::Sql { what, source },
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Locked { file, pid: Some(pid) } => write!(f, "{} is held by process {pid}", file.display()),
            StoreError::Locked { file, pid: None } => write!(f, "{} is held by another process", file.display()),
            StoreError::NewerSchema { found, known } => {
                write!(f, "the database has schema {found}, this version knows {known}: use the newer version")
            }
            StoreError::Foreign { file } => write!(f, "{} is a database of another program", file.display()),
            StoreError::Busy { what } => write!(f, "{what}: too much is waiting already"),
            StoreError::Closed { what } => write!(f, "{what}: the store is closed"),
            StoreError::TooSlow { what, limit } => write!(f, "{what}: no answer from the store in {limit:?}"),
            StoreError::TooLarge { what, bytes, limit } => write!(f, "{what}: {bytes} bytes, at most {limit} fit"),
            StoreError::Full { what, .. } => write!(f, "{what}: the disk is full"),
            StoreError::Io { what, .. } => write!(f, "{what}: the disk refused"),
            StoreError::Corrupt { what, .. } => write!(f, "{what}: the database file is damaged"),
            StoreError::Sql { what, .. } => write!(f, "{what}: the database refused"),
            StoreError::Undone { what } => write!(f, "{what}: the transaction was given up"),
            StoreError::Panicked { what } => write!(f, "{what}: the job panicked"),
            StoreError::Declined(why) => f.write_str(&why.message),
            StoreError::File { doing, path, .. } => write!(f, "{doing} {}", path.display()),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Full { source, .. }
            | StoreError::Io { source, .. }
            | StoreError::Corrupt { source, .. }
            | StoreError::Sql { source, .. } => Some(source.as_ref()),
            StoreError::File { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_given_to_an_error_stays() {
        let error = StoreError::from(rusqlite::Error::QueryReturnedNoRows).during("append").during("other");
        assert_eq!(error.to_string(), "append: the database refused");
        assert!(std::error::Error::source(&error).is_some());
    }
}
