//! Windows: environment and small commands; there is no file system of facts to read.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Room;

pub fn hostname() -> Option<String> {
    std::env::var("COMPUTERNAME").ok()
}

/// The version inside `Microsoft Windows [Version 10.0.26100.1]`.
pub fn release() -> Option<String> {
    let banner = output("cmd", &["/C", "ver"])?;
    let version = banner.rsplit_once("Version ")?.1;
    Some(version.trim_end_matches(']').to_owned())
}

pub fn memory_bytes() -> Option<u64> {
    let query = "(Get-CimInstance Win32_ComputerSystem).TotalPhysicalMemory";
    output("powershell", &["-NoProfile", "-NonInteractive", "-Command", query])?.parse().ok()
}

pub fn memory_limit_bytes() -> Option<u64> {
    None
}

/// The last column of `tasklist`'s row, `12,345 K`.
pub fn rss_kb() -> Option<u64> {
    let filter = format!("PID eq {}", std::process::id());
    let row = output("tasklist", &["/FO", "CSV", "/NH", "/FI", &filter])?;
    let column = row.rsplit("\",\"").next()?;
    column.chars().filter(char::is_ascii_digit).collect::<String>().parse().ok()
}

/// The first lines of `fsutil` are the free and the total bytes, in any language.
pub fn disk(path: &Path) -> Option<Room> {
    let root = path.ancestors().last()?.to_str()?.trim_end_matches(['\\', '/']).to_owned();
    let text = output("fsutil", &["volume", "diskfree", &root])?;
    let mut numbers = text.lines().map(|line| {
        let digits = line.split_once(':')?.1.split('(').next()?;
        digits.chars().filter(char::is_ascii_digit).collect::<String>().parse().ok()
    });
    let (free, total) = (numbers.next()??, numbers.next()??);
    Some(Room { total, free })
}

pub fn memory_free_bytes() -> Option<u64> {
    let query = "(Get-CimInstance Win32_OperatingSystem).FreePhysicalMemory * 1024";
    output("powershell", &["-NoProfile", "-NonInteractive", "-Command", query])?.parse().ok()
}

pub fn label() -> Option<String> {
    release().map(|release| format!("Windows {release}"))
}

pub fn cpu_model() -> Option<String> {
    std::env::var("PROCESSOR_IDENTIFIER").ok()
}

/// Windows counts no such thing.
pub fn load_average() -> Option<[f64; 3]> {
    None
}

pub fn addresses() -> Vec<Ipv4Addr> {
    let text = output("ipconfig", &[]).unwrap_or_default();
    let lines = text.lines().filter(|line| line.contains("IPv4"));
    lines.filter_map(|line| line.rsplit(':').next()?.trim().trim_end_matches("(Preferred)").parse().ok()).collect()
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let done = Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    (done.status.success() && !text.is_empty()).then_some(text)
}
