//! No service manager of this system listens.

use std::io;

pub struct Socket(());

impl Socket {
    pub fn open(_: &str) -> Option<Socket> {
        None
    }

    pub fn send(&self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}
