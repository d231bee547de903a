//! Linux: `/proc`, control groups, `uname`, `statvfs`.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use super::Room;

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

pub fn memory_free_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    kb_line(&text, "MemAvailable:").map(|kb| kb << 10)
}

/// `PRETTY_NAME` of os-release(5).
pub fn label() -> Option<String> {
    let text = ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|path| fs::read_to_string(path).ok())?;
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?.trim_matches(['"', '\'']);
    (!name.is_empty()).then(|| name.to_owned())
}

/// x86 says `model name`, ARM boards often only `Model` or `Hardware`.
pub fn cpu_model() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    ["model name", "Model", "Hardware"].iter().find_map(|name| {
        let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == *name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    })
}

pub fn load_average() -> Option<[f64; 3]> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    let mut numbers = text.split(' ').map(str::parse);
    Some([numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?])
}

pub fn disk(path: &Path) -> Option<Room> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.checked_mul(stat.f_frsize);
    Some(Room { total: bytes(stat.f_blocks)?, free: bytes(stat.f_bavail)? })
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
