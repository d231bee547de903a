//! macOS and the BSDs: `lsof` and `ps`.

use std::io;
use std::process::{Command, Stdio};

use super::{Listener, PortError};

pub fn listeners(port: u16) -> Result<Vec<Listener>, PortError> {
    let query = format!("-iTCP:{port}");
    let text = output("lsof", &["-nP", "-t", &query, "-sTCP:LISTEN"])
        .map_err(|source| PortError::Io { doing: "run lsof", source })?;
    let pids = text.lines().filter_map(|line| line.trim().parse().ok());
    Ok(pids.map(|pid| Listener { pid, started: start_time(pid) }).collect())
}

/// Not told here.
pub fn environment(_pid: u32) -> Option<String> {
    None
}

pub fn command_line(pid: u32) -> Option<String> {
    output("ps", &["-o", "command=", "-p", &pid.to_string()]).ok()
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

/// `ps` prints the start as text; any number made from it tells two processes apart.
fn start_time(pid: u32) -> u64 {
    let text = output("ps", &["-o", "lstart=", "-p", &pid.to_string()]).unwrap_or_default();
    text.trim().bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)))
}

/// `lsof` and `ps` exit 1 when there is nothing to show, which is an answer.
fn output(program: &str, args: &[&str]) -> io::Result<String> {
    let done = Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
