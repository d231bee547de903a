//! No service manager of this system listens.

use std::io;
use std::net::TcpListener;

pub struct Socket(());

impl Socket {
    pub fn open(_: &str) -> Option<Socket> {
        None
    }

    pub fn send(&self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    pub fn send_with(&self, _: &[u8], _: &[TcpListener]) -> io::Result<()> {
        Ok(())
    }
}
