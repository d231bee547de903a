//! Linux, the one system with systemd: the descriptors from 3 on. The one step that cannot be done in safe code is in the crate.

use std::io;
use std::net::TcpListener;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::sockopt::socket_acceptconn;

use super::Handed;

pub fn take() -> Vec<Handed> {
    let given = sd_listen_fds::get().unwrap_or_else(|error| {
        log::warn!("sockets of the service manager are not used: {error}");
        Vec::new()
    });
    let mut taken = Vec::new();
    for (name, descriptor) in given {
        let (name, listener) = (name.unwrap_or_default(), TcpListener::from(descriptor));
        match check(&listener) {
            Ok(()) => taken.push(Handed { listener, name }),
            Err(error) => log::warn!("the service manager's socket {name} is not used: {error}"),
        }
    }
    taken
}

/// A child that kept it open would keep the port when we are gone.
fn check(listener: &TcpListener) -> io::Result<()> {
    fcntl_setfd(listener, FdFlags::CLOEXEC)?;
    listener.local_addr()?;
    match socket_acceptconn(listener)? {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not accept connections")),
    }
}
