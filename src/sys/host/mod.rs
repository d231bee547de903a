//! What this machine is: names, addresses, memory, processors, disk.
//!
//! Everything is a question that can go unanswered; a sandbox without `/proc` or network must not keep the gateway from
//! starting (a phone that forbids looking at interfaces did). Nothing is cached, nothing is sent over the network.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::Path;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_os = "android", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "android", windows)), path = "bsd.rs")]
mod platform;

/// A documentation address (RFC 5737): there is a route to it where there is a route to anywhere.
const ANYWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// The tailnet's own resolver: the route to it leaves through the tailnet interface.
const TAILNET_RESOLVER: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 100);

/// The machine's name; `localhost` when it has none.
pub fn hostname() -> String {
    platform::hostname().filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

/// `linux`, `macos`, `windows`: the short platform word of the protocol.
pub fn platform() -> &'static str {
    match std::env::consts::OS {
        "android" => "linux",
        other => other,
    }
}

/// Platform and kernel release, `linux 6.18.44`, as presence entries show it.
pub fn platform_release() -> String {
    match platform::release() {
        Some(release) => format!("{} {release}", platform()),
        None => platform().to_owned(),
    }
}

/// `Linux`, `Mac`, `Windows`.
pub fn device_family() -> &'static str {
    match platform() {
        "macos" => "Mac",
        "windows" => "Windows",
        _ => "Linux",
    }
}

/// The address this machine uses towards the rest of the world; `None` without a network.
pub fn primary_ipv4() -> Option<Ipv4Addr> {
    source_towards(ANYWHERE).or_else(|| platform::addresses().into_iter().find(|ip| !ip.is_loopback()))
}

/// This machine's address in a tailnet (100.64.0.0/10), if it is in one.
pub fn tailnet_ipv4() -> Option<Ipv4Addr> {
    let known = platform::addresses().into_iter().find(|ip| is_tailnet(*ip));
    known.or_else(|| source_towards(TAILNET_RESOLVER).filter(|ip| is_tailnet(*ip)))
}

/// The carrier-grade NAT range, which tailnets number their members from.
pub fn is_tailnet(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    a == 100 && (64..128).contains(&b)
}

/// Memory this process may use, in MiB: the smaller of the machine's and the control group's. 0 when unknown.
pub fn memory_mb() -> u64 {
    let bytes = [platform::memory_bytes(), platform::memory_limit_bytes()].into_iter().flatten().min();
    bytes.unwrap_or(0) >> 20
}

/// This process's resident memory in KiB; 0 when unknown.
pub fn rss_kb() -> u64 {
    platform::rss_kb().unwrap_or(0)
}

/// Bytes there are, and bytes that are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    pub total: u64,
    pub free: u64,
}

/// The memory of the machine, or of the control group where that is less; zeros when unknown.
pub fn memory() -> Room {
    let total = platform::memory_bytes().unwrap_or(0);
    let free = platform::memory_free_bytes().unwrap_or(0);
    match platform::memory_limit_bytes() {
        Some(limit) if limit < total => Room { total: limit, free: free.min(limit) },
        _ => Room { total, free },
    }
}

/// The kernel's or the product's version; empty when unknown.
pub fn release() -> String {
    platform::release().unwrap_or_default()
}

/// The system as people call it: `Debian GNU/Linux 12 (bookworm)`, `macOS 26.1`.
pub fn label() -> String {
    let name = match platform() {
        "macos" => "macOS",
        "windows" => "Windows",
        "linux" => "Linux",
        other => other,
    };
    platform::label().unwrap_or_else(|| format!("{name} {}", release()).trim_end().to_owned())
}

/// What the processor calls itself.
pub fn cpu_model() -> Option<String> {
    platform::cpu_model()
}

/// Over one, five and fifteen minutes; `None` where the system does not count it.
pub fn load_average() -> Option<[f64; 3]> {
    platform::load_average()
}

/// Processors this process may use, at least 1.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The file system of `path`, and what an unprivileged user can still write there; `None` when unknown.
pub fn disk(path: &Path) -> Option<Room> {
    platform::disk(path)
}

/// Which of our addresses would speak to `target`. Connecting a datagram socket sends nothing.
fn source_towards(target: Ipv4Addr) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(SocketAddrV4::new(target, 53)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_unspecified() => Some(ip),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_a_name_a_platform_and_a_processor() {
        assert!(!hostname().is_empty());
        assert!(platform_release().starts_with(platform()));
        assert!(cpus() >= 1);
        assert!(!label().is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_is_known_on_linux() {
        assert!(memory_mb() > 16);
        assert!(rss_kb() > 100);
        assert!(disk(Path::new("/")).is_some());
    }

    #[test]
    fn the_primary_address_is_never_loopback() {
        assert!(primary_ipv4().is_none_or(|ip| !ip.is_loopback()));
    }

    #[test]
    fn the_tailnet_range_has_sharp_edges() {
        let table = [([100, 63, 255, 255], false), ([100, 64, 0, 0], true), ([100, 127, 255, 255], true)];
        for (octets, inside) in table {
            assert_eq!(is_tailnet(Ipv4Addr::from(octets)), inside);
        }
        assert!(!is_tailnet(Ipv4Addr::new(100, 128, 0, 0)));
    }
}
