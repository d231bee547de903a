//! One gateway per state directory.
//!
//! The lock is a lock of the operating system on `openclaw.lock`; the file itself means nothing and is never removed
//! (removing it would let two processes lock two files of the same name). A dead holder holds nothing.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use super::{StoreError, os};

/// Name of the lock file inside the state directory.
pub const LOCK_FILE: &str = "openclaw.lock";

/// Proof that this process owns the state directory; dropping it (or dying) lets go.
#[derive(Debug)]
#[must_use = "dropping the lock lets another gateway in"]
pub struct StateLock {
    path: PathBuf,
    /// Held open: the lock belongs to the open file.
    _file: File,
}

impl StateLock {
    /// Creates the directory (0700) if needed and locks it. Never waits: [`StoreError::Locked`] says who holds it.
    pub fn take(state_dir: &Path) -> Result<StateLock, StoreError> {
        os::private_dir(state_dir).map_err(|e| StoreError::file("create state directory", state_dir, e))?;
        let path = state_dir.join(LOCK_FILE);
        let mut file = match os::lock(&path) {
            Ok(Some(file)) => file,
            Ok(None) => return Err(StoreError::Locked { pid: holder(&path), file: path }),
            Err(e) => return Err(StoreError::file("lock", path, e)),
        };
        sign(&mut file).map_err(|e| StoreError::file("write our pid into", &path, e))?;
        Ok(StateLock { path, _file: file })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Who holds the lock, as far as the file says. Only meaningful after the lock was refused.
fn holder(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn sign(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Dir;
    use super::*;

    #[test]
    fn a_second_holder_is_told_the_pid_of_the_first() {
        let dir = Dir::new();
        let first = StateLock::take(&dir.path).expect("free");
        let refused = StateLock::take(&dir.path).expect_err("held");
        assert!(matches!(refused, StoreError::Locked { pid: Some(pid), .. } if pid == std::process::id()));
        assert!(refused.to_string().ends_with(&format!("is held by process {}", std::process::id())));
        drop(first);
        let again = StateLock::take(&dir.path).expect("let go");
        assert_eq!(again.path(), dir.path.join(LOCK_FILE));
    }

    #[cfg(unix)]
    #[test]
    fn a_new_state_directory_is_ours_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = Dir::new();
        let state = dir.path.join("a/state");
        let _lock = StateLock::take(&state).expect("free");
        let mode = |path: &Path| path.metadata().expect("exists").permissions().mode() & 0o777;
        assert_eq!(mode(&state), 0o700);
        assert_eq!(mode(&state.join(LOCK_FILE)), 0o600);
    }
}
