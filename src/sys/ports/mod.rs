//! Who listens on a TCP port, and how to make them stop. For `--force` and for saying who is in the way.
//!
//! Invariant: a process is signalled only if it was seen listening on that very port immediately before, by its number
//! and its start time; never this process, never process 1.

use crate::sys::order;
use std::fmt;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "android", windows)), path = "bsd.rs")]
mod platform;

/// How often to look whether a port has become free; a listener that obeys is gone within a few milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// After SIGKILL the kernel needs no negotiation; longer than this means the process is stuck in the kernel.
const KILL_TIME: Duration = Duration::from_secs(2);

/// A process that accepts connections on the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub pid: u32,
    /// Tells a process from a later one with the same number; 0 where the system does not say.
    started: u64,
}

/// What became of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub pid: u32,
    /// The command line before it ended, for the log.
    pub command: Option<String>,
    /// It did not go by itself within the time.
    pub killed: bool,
}

/// Why a port could not be freed.
#[derive(Debug)]
pub enum PortError {
    /// Someone listens, but the system does not tell who (another user's process).
    Hidden { port: u16 },
    /// It is this process, or process 1.
    Protected { pid: u32, port: u16 },
    /// The listener outlived the last signal.
    Stuck { pid: u32, port: u16 },
    /// Asking the system or sending the signal failed.
    Io { doing: &'static str, source: io::Error },
}

/// Processes listening on TCP `port`, each once. Those of other users may be missing.
pub fn listeners(port: u16) -> Result<Vec<Listener>, PortError> {
    let mut found = platform::listeners(port)?;
    order::by_key(&mut found, |listener| listener.pid);
    found.dedup();
    Ok(found)
}

/// The command line of a process, cut to 256 characters; `None` when it is gone or not ours to see.
pub fn describe(pid: u32) -> Option<String> {
    let text = platform::command_line(pid)?;
    let text: String = text.chars().take(256).map(|c| if c.is_control() { ' ' } else { c }).collect();
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The profile of a gateway that is another process, as far as its environment and command line say; only Linux tells.
pub fn profile(pid: u32) -> Option<String> {
    let (command, variables) = (platform::command_line(pid)?, platform::environment(pid)?);
    let words: Vec<&str> = command.split([' ', '\0']).collect();
    let after = |flag: &str| words.iter().position(|word| *word == flag).and_then(|at| words.get(at + 1).copied());
    let joined = words.iter().find_map(|word| word.strip_prefix("--profile="));
    let dev = words.contains(&"--dev").then_some("dev");
    let variable = || variables.split('\0').find_map(|pair| pair.strip_prefix("OPENCLAW_PROFILE="));
    let named = after("--profile").or(joined).or(dev).or_else(variable).filter(|name| !name.is_empty());
    let clean: String = named.unwrap_or("default").chars().take(64).filter(|c| !c.is_control()).collect();
    Some(clean)
}

/// Ends every process that listens on `port`: asks (SIGTERM), waits up to `patience`, then kills. Answers whom it ended;
/// nobody listening is success.
pub fn free(port: u16, patience: Duration) -> Result<Vec<Ended>, PortError> {
    let found = listeners(port)?;
    let protected = |pid: u32| pid == std::process::id() || pid <= 1;
    if let Some(listener) = found.iter().find(|listener| protected(listener.pid)) {
        return Err(PortError::Protected { pid: listener.pid, port });
    }
    let mut ended: Vec<Ended> = Vec::new();
    for listener in &found {
        let command = describe(listener.pid);
        if signal_if_listening(listener, port, platform::ask_to_stop)? {
            ended.push(Ended { pid: listener.pid, command, killed: false });
        }
    }
    if wait_until_free(port, &found, patience)? {
        return Ok(ended);
    }
    for listener in &found {
        if signal_if_listening(listener, port, platform::kill)?
            && let Some(entry) = ended.iter_mut().find(|entry| entry.pid == listener.pid)
        {
            entry.killed = true;
        }
    }
    if wait_until_free(port, &found, KILL_TIME)? {
        return Ok(ended);
    }
    let pid = found.first().map_or(0, |listener| listener.pid);
    Err(PortError::Stuck { pid, port })
}

/// Looks again right before the signal: the number may belong to somebody else by now.
fn signal_if_listening(listener: &Listener, port: u16, send: fn(u32) -> io::Result<()>) -> Result<bool, PortError> {
    if !listeners(port)?.contains(listener) {
        return Ok(false);
    }
    send(listener.pid).map(|()| true).map_err(|source| PortError::Io { doing: "signal the listener", source })
}

fn wait_until_free(port: u16, found: &[Listener], patience: Duration) -> Result<bool, PortError> {
    let deadline = Instant::now() + patience;
    loop {
        match listeners(port) {
            Ok(now) if !found.iter().any(|listener| now.contains(listener)) => return Ok(true),
            // A process that is just ending still has the port and no longer the descriptor.
            Ok(_) | Err(PortError::Hidden { .. }) => {}
            Err(error) => return Err(error),
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(LOOK_EVERY);
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortError::Hidden { port } => {
                write!(f, "port {port} is held by a process this user may not see; stop it or run as its user")
            }
            PortError::Protected { pid, port } => write!(f, "refusing to end pid {pid}, which listens on port {port}"),
            PortError::Stuck { pid, port } => write!(f, "pid {pid} still listens on port {port} after SIGKILL"),
            PortError::Io { doing, .. } => f.write_str(doing),
        }
    }
}

impl std::error::Error for PortError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PortError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn our_own_listener_is_found_and_never_ended() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let found = listeners(port).unwrap();
        assert_eq!(found.iter().map(|l| l.pid).collect::<Vec<_>>(), [std::process::id()]);
        assert!(matches!(free(port, Duration::ZERO), Err(PortError::Protected { .. })));
        drop(socket);
    }

    #[test]
    fn a_port_nobody_listens_on_is_free_already() {
        let port = {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            socket.local_addr().unwrap().port()
        };
        assert_eq!(free(port, Duration::ZERO).unwrap(), []);
    }

    #[test]
    fn a_listener_of_another_number_or_start_time_is_left_alone() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let me = listeners(port).unwrap().remove(0);
        let impostor = Listener { started: me.started + 1, ..me };
        let sent = signal_if_listening(&impostor, port, |_| panic!("must not be signalled")).unwrap();
        assert!(!sent);
    }

    #[test]
    fn a_process_is_described_by_its_command_line() {
        assert!(describe(std::process::id()).is_some_and(|text| !text.contains('\0')));
        assert_eq!(describe(u32::MAX), None);
    }
}
