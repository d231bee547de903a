//! A datagram socket in a multicast group, on a port that others of this host may have, too.

#[cfg_attr(unix, path = "multicast_unix.rs")]
#[cfg_attr(not(unix), path = "multicast_none.rs")]
mod platform;

pub use platform::{shared, wake};
