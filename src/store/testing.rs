//! What the tests of the store share: a directory that disappears with its test, a way to hold the writer.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::Store;
use super::transcript::NewEntry;

pub(super) struct Dir {
    pub(super) path: PathBuf,
}

impl Dir {
    pub(super) fn new() -> Dir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("openclaw-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("the temporary directory can be written");
        Dir { path }
    }

    pub(super) fn store(&self) -> Store {
        Store::open(&self.file()).expect("opens")
    }

    pub(super) fn file(&self) -> PathBuf {
        self.path.join("gateway.sqlite")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // Litter in the temporary directory is no reason to fail a test.
        drop(std::fs::remove_dir_all(&self.path));
    }
}

/// An entry with nothing but a role and a message.
pub(super) fn entry<'a>(role: &'a str, message: &'a str) -> NewEntry<'a> {
    NewEntry { role, message, ..NewEntry::default() }
}

/// Holds the writer thread inside a job until told to go on; the second half says when it is reached.
pub(super) fn gate(store: &Store) -> (mpsc::SyncSender<()>, mpsc::Receiver<()>) {
    let (open, opened) = mpsc::sync_channel::<()>(1);
    let (reached, arrival) = mpsc::channel();
    let wait = move |_: &rusqlite::Connection| {
        reached.send(()).expect("the test listens");
        opened.recv_timeout(Duration::from_secs(20)).expect("the test opens the gate");
        Ok(())
    };
    store.submit("gate", wait, drop);
    (open, arrival)
}

/// A database of its own for tests of the tables, which need no threads.
pub(super) fn memory() -> rusqlite::Connection {
    super::schema::open_memory().expect("opens")
}
