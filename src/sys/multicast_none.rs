//! Sharing a port is not possible here without unsafe code.

use std::io;
use std::net::{SocketAddrV4, UdpSocket};

pub fn shared(_: SocketAddrV4) -> io::Result<UdpSocket> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn wake(_: &UdpSocket) {}
