//! Windows: `netstat`, `tasklist` and `taskkill`.

use std::io;
use std::process::{Command, Stdio};

use super::{Listener, PortError};

pub fn listeners(port: u16) -> Result<Vec<Listener>, PortError> {
    let text = output("netstat", &["-ano", "-p", "TCP"])
        .and_then(|v4| Ok(v4 + &output("netstat", &["-ano", "-p", "TCPv6"])?))
        .map_err(|source| PortError::Io { doing: "run netstat", source })?;
    Ok(listening_pids(&text, port).into_iter().map(|pid| Listener { pid, started: 0 }).collect())
}

/// Not told here.
pub fn environment(_pid: u32) -> Option<String> {
    None
}

pub fn command_line(pid: u32) -> Option<String> {
    let text = output("tasklist", &["/FO", "CSV", "/NH", "/FI", &format!("PID eq {pid}")]).ok()?;
    let name = text.trim().strip_prefix('"')?.split('"').next()?;
    Some(name.to_owned())
}

/// Asks by closing its window; a process without one ignores it and is killed later.
pub fn ask_to_stop(pid: u32) -> io::Result<()> {
    output("taskkill", &["/PID", &pid.to_string()]).map(drop)
}

pub fn kill(pid: u32) -> io::Result<()> {
    output("taskkill", &["/F", "/PID", &pid.to_string()]).map(drop)
}

/// Rows are `TCP local remote state pid`. The word for the state is translated, so a remote port 0 marks a listener.
fn listening_pids(text: &str, port: u16) -> Vec<u32> {
    let suffix = format!(":{port}");
    let rows = text.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let matching = rows.filter(|row| row.len() >= 5 && row[1].ends_with(&suffix) && row[2].ends_with(":0"));
    matching.filter_map(|row| row.last()?.parse().ok()).collect()
}

fn output(program: &str, args: &[&str]) -> io::Result<String> {
    let done = Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
