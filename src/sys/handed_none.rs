//! No service manager of this system hands over sockets.

use super::Handed;

pub fn take() -> Vec<Handed> {
    Vec::new()
}
