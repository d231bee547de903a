//! Writing files so that a power cut leaves the old or the new content, never half of one.
//!
//! Everything written here is private to the user (0600, directories 0700), whatever the umask says. Reading is not
//! wrapped: `std::fs` is good at it, except for [`read_capped`], because files that people edit can be anything.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::random;

/// Other writers of ours hold a directory for milliseconds.
const TURN: Duration = Duration::from_secs(5);

/// Replaces `path` with `bytes`: temporary file beside it, sync, rename, sync of the directory. Mode 0600.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    stage(path, bytes)?.publish()
}

/// A file that is written and not in its place yet; dropped, it is gone.
#[must_use = "a staged file that is dropped is removed"]
pub struct Staged {
    temp: PathBuf,
    path: PathBuf,
}

/// Writes `bytes` beside `path` and makes them durable there. The owner of a file that is replaced stays its owner.
pub fn stage(path: &Path, bytes: &[u8]) -> io::Result<Staged> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let temp = dir_of(path).join(format!(".{}.{}.tmp", name.to_string_lossy(), random::hex::<6>()));
    let staged = Staged { temp, path: path.to_owned() };
    write_new(&staged.temp, bytes)?;
    keep_owner(path, &staged.temp);
    Ok(staged)
}

impl Staged {
    /// Puts the file in its place, in one step.
    pub fn publish(self) -> io::Result<()> {
        step();
        fs::rename(&self.temp, &self.path)?;
        step();
        sync_dir(dir_of(&self.path))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Published, it is not there any more; otherwise a leftover would only be litter.
        let _ = fs::remove_file(&self.temp);
    }
}

fn dir_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether the file of the running program was replaced or removed since it started. Only Linux tells.
pub fn program_was_replaced() -> bool {
    fs::read_link("/proc/self/exe").is_ok_and(|path| path.to_string_lossy().ends_with(" (deleted)"))
}

/// An administrator who edits a user's file must not take it away from them.
#[cfg(unix)]
fn keep_owner(old: &Path, new: &Path) {
    use std::os::unix::fs::{MetadataExt, chown};

    let (Ok(old), Ok(made)) = (fs::metadata(old), fs::metadata(new)) else { return };
    if (old.uid(), old.gid()) != (made.uid(), made.gid()) {
        // Without the right to do so the file stays ours, which is what it would have been anyway.
        let _ = chown(new, Some(old.uid()), Some(old.gid()));
    }
}

#[cfg(not(unix))]
fn keep_owner(_old: &Path, _new: &Path) {}

/// Makes a directory and its parents; the last one is 0700 afterwards, even when it was there before.
pub fn private_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    restrict(path, 0o700)
}

/// Makes a directory and its parents where it is missing (0700); one that exists keeps its mode.
pub fn private_dir_if_missing(path: &Path) -> io::Result<()> {
    if path.is_dir() { Ok(()) } else { private_dir(path) }
}

/// Reads a whole file; `InvalidData` when it is longer than `cap` bytes.
pub fn read_capped(path: &Path, cap: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(cap.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > cap {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("file is larger than {cap} bytes")));
    }
    Ok(bytes)
}

/// Holds a directory, so that two writers of ours take turns; let go when dropped or dead. `None` where directories cannot
/// be locked: there the writers' own comparison has to do.
pub fn turn(dir: &Path) -> io::Result<Option<File>> {
    if !cfg!(unix) {
        return Ok(None);
    }
    let held = File::open(dir)?;
    let end = Instant::now() + TURN;
    loop {
        match held.try_lock() {
            Ok(()) => return Ok(Some(held)),
            Err(TryLockError::WouldBlock) if Instant::now() < end => {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::TimedOut.into()),
            // A file system without locks.
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    step();
    let mut file = options.open(path)?;
    step();
    restrict(path, 0o600)?;
    let (first, second) = bytes.split_at(bytes.len() / 2);
    file.write_all(first)?;
    step();
    file.write_all(second)?;
    step();
    file.sync_all()
}

/// Between two steps of a write. Debug builds can be told to die at one, so that a test sees what a power cut leaves there.
fn step() {
    #[cfg(debug_assertions)]
    {
        use std::sync::atomic::{AtomicU32, Ordering};

        static DONE: AtomicU32 = AtomicU32::new(0);
        let done = DONE.fetch_add(1, Ordering::Relaxed) + 1;
        if std::env::var("OPENCLAW_TEST_ABORT_AT").is_ok_and(|at| at.parse() == Ok(done)) {
            std::process::abort();
        }
    }
}

/// Makes a rename durable. Windows has no such call and needs none.
fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// Sets permission bits exactly; a directory given by an operator on a file system without modes stays as it is.
#[cfg(unix)]
pub fn restrict(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let now = fs::metadata(path)?.permissions().mode() & 0o777;
    if now == mode {
        return Ok(());
    }
    match fs::set_permissions(path, fs::Permissions::from_mode(mode)) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        other => other,
    }
}

/// Windows has no such bits: the directory's list decides.
#[cfg(not(unix))]
pub fn restrict(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_the_whole_file_and_leaves_nothing_else() {
        let dir = crate::sys::scratch::dir("files");
        let path = dir.join("a.json");
        write_atomic(&path, b"a longer first text").unwrap();
        write_atomic(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    }

    #[test]
    fn a_write_into_a_missing_directory_fails_and_says_so() {
        let dir = crate::sys::scratch::dir("files-missing");
        let failed = write_atomic(&dir.join("no/such/file"), b"x").unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn files_and_directories_are_private_whatever_they_were() {
        use std::os::unix::fs::PermissionsExt;

        let dir = crate::sys::scratch::dir("files-mode").join("state");
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        private_dir(&dir).unwrap();
        write_atomic(&dir.join("f"), b"x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&dir.join("f"))), (0o700, 0o600));
    }

    #[test]
    fn a_file_over_the_cap_is_refused() {
        let path = crate::sys::scratch::dir("files-cap").join("f");
        fs::write(&path, b"12345").unwrap();
        assert_eq!(read_capped(&path, 5).unwrap(), b"12345");
        assert_eq!(read_capped(&path, 4).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
