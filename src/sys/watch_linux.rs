//! Linux: inotify on directories, filtered by name.

use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::{STACK, Tell};

/// Names of a watched directory that count; `None`: all of them.
type Names = Arc<Mutex<Vec<(i32, Option<OsString>)>>>;

pub struct Watcher {
    queue: Arc<OwnedFd>,
    names: Names,
}

impl Watcher {
    pub fn start(tell: &Tell) -> io::Result<Watcher> {
        let queue = Arc::new(inotify::init(CreateFlags::CLOEXEC)?);
        let watcher = Watcher { queue: queue.clone(), names: Names::default() };
        let (names, tell) = (watcher.names.clone(), tell.clone());
        thread::Builder::new().name("config watch".to_owned()).stack_size(STACK).spawn(move || {
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut events = Reader::new(&*queue, &mut buffer);
            loop {
                let counts = match events.next() {
                    Ok(event) => {
                        let name = event.file_name().map(|name| name.to_bytes());
                        let names = names.lock().unwrap_or_else(PoisonError::into_inner);
                        names.iter().any(|(wd, known)| {
                            *wd == event.wd() && known.as_ref().is_none_or(|known| Some(known.as_bytes()) == name)
                        })
                    }
                    Err(Errno::INTR) => false,
                    Err(error) => {
                        log::warn!("the configuration is not watched any more: {error}");
                        return;
                    }
                };
                if counts && !tell.now() {
                    return;
                }
            }
        })?;
        Ok(watcher)
    }

    pub fn add(&self, dir: &Path, name: Option<OsString>) -> io::Result<()> {
        // Not MODIFY: a file counts when its writer has closed it, and the database next to it is never closed.
        let wanted = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE;
        let wd = inotify::add_watch(&*self.queue, dir, wanted)?;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.contains(&(wd, name.clone())) {
            names.push((wd, name));
        }
        Ok(())
    }
}
