//! Unix: a datagram socket, named by a path or, on Linux, without a file (`@name`).

use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

pub struct Socket {
    ours: UnixDatagram,
    theirs: SocketAddr,
}

impl Socket {
    /// `None` when the address is of a kind we do not speak or no socket can be had.
    pub fn open(name: &str) -> Option<Socket> {
        let theirs = address(name)?;
        let ours = UnixDatagram::unbound().ok()?;
        ours.set_nonblocking(true).ok()?;
        Some(Socket { ours, theirs })
    }

    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.ours.send_to_addr(bytes, &self.theirs).map(drop)
    }
}

fn address(name: &str) -> Option<SocketAddr> {
    match name.as_bytes().first()? {
        b'/' => SocketAddr::from_pathname(name).ok(),
        b'@' => without_file(&name[1..]),
        _ => None,
    }
}

#[cfg(target_os = "linux")]
fn without_file(name: &str) -> Option<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;

    SocketAddr::from_abstract_name(name).ok()
}

#[cfg(not(target_os = "linux"))]
fn without_file(_: &str) -> Option<SocketAddr> {
    None
}
