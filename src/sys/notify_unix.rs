//! Unix: a datagram socket, named by a path or, on Linux, without a file (`@name`).

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

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

    /// Sends copies of descriptors along; at most [`AT_ONCE`].
    pub fn send_with(&self, bytes: &[u8], listeners: &[TcpListener]) -> io::Result<()> {
        let descriptors: Vec<_> = listeners.iter().take(AT_ONCE).map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // Connected, because the call wants addresses in a form of its own.
        let ours = UnixDatagram::unbound()?;
        ours.connect_addr(&self.theirs)?;
        ours.set_nonblocking(true)?;
        sendmsg(&ours, &[IoSlice::new(bytes)], &mut control, SendFlags::empty())?;
        Ok(())
    }
}

/// Sockets in one message: a gateway has two for each address at most.
const AT_ONCE: usize = 8;

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
