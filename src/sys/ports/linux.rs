//! Linux: `/proc/net/tcp{,6}` names the socket, `/proc/*/fd` names its owner.

use std::fs;
use std::io;

use super::{Listener, PortError};

/// The state column of a listening socket.
const LISTEN: &str = "0A";

pub fn listeners(port: u16) -> Result<Vec<Listener>, PortError> {
    let mut inodes = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        match fs::read_to_string(table) {
            Ok(text) => inodes.extend(listening_inodes(&text, port)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(PortError::Io { doing: "read the table of TCP sockets", source }),
        }
    }
    if inodes.is_empty() {
        return Ok(Vec::new());
    }
    let owners = owners_of(&inodes).map_err(|source| PortError::Io { doing: "read /proc", source })?;
    if owners.is_empty() {
        return Err(PortError::Hidden { port });
    }
    Ok(owners)
}

pub fn command_line(pid: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    Some(words.collect::<Vec<_>>().join(" "))
}

pub fn ask_to_stop(pid: u32) -> io::Result<()> {
    send(pid, rustix::process::Signal::TERM)
}

pub fn kill(pid: u32) -> io::Result<()> {
    send(pid, rustix::process::Signal::KILL)
}

/// A process that is gone already has done what was asked.
fn send(pid: u32, signal: rustix::process::Signal) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    match rustix::process::kill_process(pid, signal) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => other.map_err(io::Error::from),
    }
}

/// Rows are `sl local:PORT remote st tx:rx tr:when retrnsmt uid timeout inode ...`, numbers in hex.
fn listening_inodes(table: &str, port: u16) -> Vec<u64> {
    let rows = table.lines().skip(1).map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let matching = rows.filter(|row| {
        let local = row.get(1).and_then(|local| local.rsplit(':').next());
        row.get(3) == Some(&LISTEN) && local.and_then(|hex| u16::from_str_radix(hex, 16).ok()) == Some(port)
    });
    matching.filter_map(|row| row.get(9)?.parse().ok()).collect()
}

/// The variables, each ended by a NUL; only of our own user's processes.
pub fn environment(pid: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn owners_of(inodes: &[u64]) -> io::Result<Vec<Listener>> {
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let mut owners = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Processes of other users, and those that end while we look, have no readable descriptors.
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let mut links = descriptors.flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
        if links.any(|link| link.to_str().is_some_and(|link| wanted.iter().any(|socket| socket == link))) {
            owners.push(Listener { pid, started: start_time(pid) });
        }
    }
    Ok(owners)
}

/// Field 22 of `stat`, counted after the name, which may contain anything.
fn start_time(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_ascii_whitespace().nth(19).and_then(|field| field.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st\n\
             0: 0100007F:4965 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 111 1 0\n\
             1: 0100007F:4965 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 222 1 0\n\
             2: 00000000000000000000000000000000:4965 00000000000000000000000000000000:0000 0A 0:0 0:0 0  0 0 333 1\n\
             3: 0100007F:4966 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 444 1 0\n";
        assert_eq!(listening_inodes(table, 0x4965), [111, 333]);
    }

    #[test]
    fn garbage_in_the_table_is_skipped() {
        assert!(listening_inodes("head\n\n0: x\n1: a:zz b 0A\n", 1).is_empty());
    }
}
