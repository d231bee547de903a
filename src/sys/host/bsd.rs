//! macOS and the BSDs: `uname`, `statvfs`, and small commands where the system has no file to read.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

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

pub fn disk_free(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
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
