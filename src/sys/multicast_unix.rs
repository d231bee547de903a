//! Unix: SO_REUSEADDR and SO_REUSEPORT before the bind.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::sockopt::{set_socket_reuseaddr, set_socket_reuseport};
use rustix::net::{AddressFamily, Shutdown, SocketType, bind, shutdown, socket};

/// A socket that hears what is sent to the group.
pub fn shared(group: SocketAddrV4) -> io::Result<UdpSocket> {
    let descriptor = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    set_socket_reuseaddr(&descriptor, true)?;
    // Old kernels do not know it and do without.
    let _ = set_socket_reuseport(&descriptor, true);
    bind(&descriptor, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, group.port()))?;
    let socket = UdpSocket::from(descriptor);
    socket.join_multicast_v4(group.ip(), &Ipv4Addr::UNSPECIFIED)?;
    socket.set_multicast_ttl_v4(255)?;
    Ok(socket)
}

/// Ends a receive that waits in another thread.
pub fn wake(socket: &UdpSocket) {
    // It says that there is no connection, and wakes the thread nevertheless.
    let _ = shutdown(socket, Shutdown::Both);
}
