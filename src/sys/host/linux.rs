//! Linux: `/proc`, control groups, `uname`, `statvfs`.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

pub fn hostname() -> Option<String> {
    rustix::system::uname().nodename().to_str().ok().map(str::to_owned)
}

pub fn release() -> Option<String> {
    rustix::system::uname().release().to_str().ok().map(str::to_owned)
}

pub fn memory_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    kb_line(&text, "MemTotal:").map(|kb| kb << 10)
}

/// The limit of the control group this process is in: version 2 (every ancestor counts), then version 1.
pub fn memory_limit_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let unified = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let ancestors = Path::new(unified).ancestors().filter_map(|group| {
        let group = group.strip_prefix("/").unwrap_or(group);
        read_limit(&Path::new("/sys/fs/cgroup").join(group).join("memory.max"))
    });
    ancestors.min().or_else(|| read_limit(Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes")))
}

pub fn rss_kb() -> Option<u64> {
    kb_line(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

pub fn disk_free(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

/// Local unicast addresses from the routing table, which every process may read.
pub fn addresses() -> Vec<Ipv4Addr> {
    fs::read_to_string("/proc/net/fib_trie").map(|text| local_addresses(&text)).unwrap_or_default()
}

/// A leaf is an address line followed by its kinds; `/32 host LOCAL` marks one of ours.
fn local_addresses(text: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if let (true, Some(ip)) = (line == "/32 host LOCAL", last)
            && !found.contains(&ip)
        {
            found.push(ip);
        }
    }
    found
}

fn kb_line(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// `max` and absurdly large numbers mean "no limit".
fn read_limit(path: &Path) -> Option<u64> {
    let limit: u64 = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    (limit < 1 << 60).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_are_found_once_each() {
        let text = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 10.0.0.7\n        \
                    /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\nLocal:\n     |-- 10.0.0.7\n        \
                    /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        assert_eq!(local_addresses(text), [Ipv4Addr::new(10, 0, 0, 7), Ipv4Addr::LOCALHOST]);
    }

    #[test]
    fn kilobyte_lines_are_read() {
        assert_eq!(kb_line("A: 1 kB\nVmRSS:\t  2048 kB\n", "VmRSS:"), Some(2048));
        assert_eq!(kb_line("VmRSS: many", "VmRSS:"), None);
    }
}
