//! macOS and the BSDs: `uname`, `statvfs`, and small commands where the system has no file to read.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Room;

pub fn hostname() -> Option<String> {
    rustix::system::uname().nodename().to_str().ok().map(str::to_owned)
}

/// The product version on macOS, the kernel release elsewhere.
pub fn release() -> Option<String> {
    output("sw_vers", &["-productVersion"])
        .or_else(|| rustix::system::uname().release().to_str().ok().map(str::to_owned))
}

pub fn memory_bytes() -> Option<u64> {
    output("sysctl", &["-n", "hw.memsize"]).or_else(|| output("sysctl", &["-n", "hw.physmem"]))?.parse().ok()
}

pub fn memory_limit_bytes() -> Option<u64> {
    None
}

pub fn rss_kb() -> Option<u64> {
    output("ps", &["-o", "rss=", "-p", &std::process::id().to_string()])?.parse().ok()
}

pub fn disk(path: &Path) -> Option<Room> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.checked_mul(stat.f_frsize);
    Some(Room { total: bytes(stat.f_blocks)?, free: bytes(stat.f_bavail)? })
}

/// What is free is told in pages of many kinds; which of them can be had nobody says.
pub fn memory_free_bytes() -> Option<u64> {
    None
}

pub fn label() -> Option<String> {
    None
}

pub fn cpu_model() -> Option<String> {
    output("sysctl", &["-n", "machdep.cpu.brand_string"]).or_else(|| output("sysctl", &["-n", "hw.model"]))
}

/// `{ 1.2 1.0 0.9 }`.
pub fn load_average() -> Option<[f64; 3]> {
    let text = output("sysctl", &["-n", "vm.loadavg"])?;
    let mut numbers = text.split([' ', '{', '}']).filter(|word| !word.is_empty()).map(str::parse);
    Some([numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?])
}

pub fn addresses() -> Vec<Ipv4Addr> {
    let text = output("ifconfig", &["-a"]).unwrap_or_default();
    text.lines().filter_map(|line| line.trim().strip_prefix("inet ")?.split(' ').next()?.parse().ok()).collect()
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let done = Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(done.stdout).ok()?.trim().to_owned();
    (done.status.success() && !text.is_empty()).then_some(text)
}
