//! Tells that a file may have changed; never what.
//!
//! Where the system can tell (inotify), one thread sleeps until it does: an idle gateway is not woken. Elsewhere, and
//! where the system refuses, the files' stamps are looked at once a second. Directories are watched, not files, because
//! editors and our own writes put a new file in the old one's place.
//!
//! Deliberately absent: debouncing and reading; whoever is told looks for himself.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "watch_linux.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "watch_none.rs")]
mod platform;

/// One look a second is what an idle gateway may cost where the system does not tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The watching thread compares names.
const STACK: usize = 64 << 10;

/// A set of watched files. Dropped, nobody is told any more.
pub struct Watch {
    way: Way,
    /// Holds one token when something may have changed.
    changed: Receiver<()>,
    /// Keeps `changed` connected, whatever becomes of the thread that reports.
    _alive: Tell,
}

enum Way {
    System(platform::Watcher),
    Looking(Arc<Mutex<Vec<PathBuf>>>),
}

/// How the thread reports. One token is enough: who takes it looks at everything.
#[derive(Clone)]
struct Tell(Sender<()>);

impl Tell {
    /// `false` when nobody listens any more.
    fn now(&self) -> bool {
        !matches!(self.0.try_send(()), Err(TrySendError::Disconnected(())))
    }
}

impl Watch {
    /// Starts watching. Files need not exist; their directories should.
    pub fn start(files: &[PathBuf]) -> io::Result<Watch> {
        let (sender, changed) = bounded(1);
        let tell = Tell(sender);
        let watch = match platform::Watcher::start(&tell) {
            Ok(watcher) => Watch { way: Way::System(watcher), changed, _alive: tell },
            Err(_) => Watch { way: Way::Looking(look(&tell)?), changed, _alive: tell },
        };
        watch.follow(files).map(|()| watch)
    }

    /// Adds files to those that are watched.
    pub fn follow(&self, files: &[PathBuf]) -> io::Result<()> {
        match &self.way {
            Way::System(watcher) => files.iter().try_for_each(|file| {
                let (dir, name) = place(file);
                // What a link points at is edited in its own directory, and links are swapped by name (`..data`).
                match fs::canonicalize(file).ok().filter(|real| real != file) {
                    Some(real) => {
                        let (other, real) = place(&real);
                        watcher.add(dir, None).and_then(|()| watcher.add(other, real))
                    }
                    None => watcher.add(dir, name),
                }
            }),
            Way::Looking(list) => {
                let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
                for file in files {
                    if !list.contains(file) {
                        list.push(file.clone());
                    }
                }
                Ok(())
            }
        }
    }

    /// Has a token when something may have changed since the last one was taken. Never disconnected.
    pub fn changed(&self) -> &Receiver<()> {
        &self.changed
    }
}

fn place(file: &Path) -> (&Path, Option<OsString>) {
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    (dir, file.file_name().map(OsString::from))
}

type Stamp = Option<(SystemTime, u64)>;

fn look(tell: &Tell) -> io::Result<Arc<Mutex<Vec<PathBuf>>>> {
    let files: Arc<Mutex<Vec<PathBuf>>> = Arc::default();
    let (list, tell) = (files.clone(), tell.clone());
    thread::Builder::new().name("config watch".to_owned()).stack_size(STACK).spawn(move || {
        let mut known: Vec<(PathBuf, Stamp)> = Vec::new();
        // The other end is the list's owner: when it is gone, so is the need to look.
        while Arc::strong_count(&list) > 1 {
            let files = list.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let now: Vec<(PathBuf, Stamp)> = files.into_iter().map(|file| (file.clone(), stamp(&file))).collect();
            let differs = |(file, stamp): &(PathBuf, Stamp)| known.iter().any(|(old, was)| old == file && was != stamp);
            if now.iter().any(differs) && !tell.now() {
                return;
            }
            known = now;
            thread::park_timeout(LOOK_EVERY);
        }
    })?;
    Ok(files)
}

fn stamp(file: &Path) -> Stamp {
    let meta = fs::metadata(file).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[test]
    fn a_write_in_place_a_rename_and_a_removal_are_told() {
        let dir = crate::sys::scratch::dir("watch");
        let file = dir.join("a.json");
        fs::write(&file, "1").unwrap();
        let watch = Watch::start(std::slice::from_ref(&file)).unwrap();
        fs::write(&file, "22").unwrap();
        assert_eq!(watch.changed().recv_timeout(SOON), Ok(()));
        crate::sys::files::write_atomic(&file, b"333").unwrap();
        assert_eq!(watch.changed().recv_timeout(SOON), Ok(()));
        while watch.changed().recv_timeout(Duration::from_millis(50)).is_ok() {}
        fs::remove_file(&file).unwrap();
        assert_eq!(watch.changed().recv_timeout(SOON), Ok(()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn neighbours_are_not_told_of() {
        let dir = crate::sys::scratch::dir("watch-neighbour");
        let file = dir.join("a.json");
        let watch = Watch::start(std::slice::from_ref(&file)).unwrap();
        fs::write(dir.join("b.json"), "1").unwrap();
        fs::write(&file, "1").unwrap();
        assert_eq!(watch.changed().recv_timeout(SOON), Ok(()));
    }

    #[cfg(unix)]
    #[test]
    fn what_a_link_points_at_is_watched() {
        let (dir, other) = (crate::sys::scratch::dir("watch-link"), crate::sys::scratch::dir("watch-real"));
        fs::write(other.join("real"), "1").unwrap();
        std::os::unix::fs::symlink(other.join("real"), dir.join("a.json")).unwrap();
        let watch = Watch::start(&[dir.join("a.json")]).unwrap();
        fs::write(other.join("real"), "22").unwrap();
        assert_eq!(watch.changed().recv_timeout(SOON), Ok(()));
    }
}
