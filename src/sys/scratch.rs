//! A directory of its own for each test that needs the file system.

use std::path::PathBuf;

use super::random;

/// An empty directory under the system's temporary one; left behind on purpose, so that a failure can be looked at.
pub fn dir(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("openclaw-test-{name}-{}", random::hex::<6>()));
    std::fs::create_dir_all(&dir).expect("the temporary directory is writable");
    dir
}
