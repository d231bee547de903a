//! A directory that disappears with its test.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Store;

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
