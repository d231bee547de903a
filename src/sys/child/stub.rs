//! A command that dies with the gateway, even when the gateway is killed.
//!
//! On Linux a process can ask to be signalled when its parent dies, but it must ask for itself, after the fork. Doing
//! that between fork and exec needs unsafe code; so the gateway starts itself with a hidden first argument, asks, and
//! becomes the command. Grandchildren are not covered; the service manager's control group takes care of those.
//!
//! The stub is used once `main` has said that this executable understands it: a test binary does not.

use std::io;
use std::sync::OnceLock;

/// The hidden first argument; what follows is the parent's process id, then the command.
pub const ARGUMENT: &str = "__exec";

/// Exit status of the stub when the command cannot be started: the shells' "not found".
pub const NOT_STARTED: u8 = 127;

static UNDERSTOOD: OnceLock<()> = OnceLock::new();

/// Called by `main`, which answers `__exec` with [`exec_stub`].
pub fn offer() {
    // Saying it twice changes nothing.
    let _ = UNDERSTOOD.set(());
}

/// The running program, to be started again with one of its hidden arguments.
pub fn own_program() -> io::Result<std::path::PathBuf> {
    match UNDERSTOOD.get() {
        None => Err(io::Error::other("this program does not start itself")),
        // The link names the running program even after an update has replaced its file.
        Some(()) if cfg!(target_os = "linux") => Ok("/proc/self/exe".into()),
        Some(()) => std::env::current_exe(),
    }
}

/// The argument vector to really start for `argv`.
#[cfg(unix)]
pub(super) fn wrapped(argv: &[String]) -> Vec<String> {
    if !cfg!(target_os = "linux") || UNDERSTOOD.get().is_none() {
        return argv.to_vec();
    }
    // The link names the running program even after an update has replaced its file.
    let own = ["/proc/self/exe".to_owned(), ARGUMENT.to_owned(), std::process::id().to_string()];
    own.into_iter().chain(argv.iter().cloned()).collect()
}

/// Becomes the command in `args` (`PARENT PROGRAM ARG...`, everything after `__exec`). Returns only when that fails.
pub fn exec_stub(args: &[String]) -> io::Error {
    let [parent, program, rest @ ..] = args else {
        return io::Error::new(io::ErrorKind::InvalidInput, "__exec needs a parent and a program");
    };
    become_command(parent, program, rest)
}

#[cfg(target_os = "linux")]
fn become_command(parent: &str, program: &str, rest: &[String]) -> io::Error {
    use std::os::unix::process::CommandExt;

    use rustix::process::{Signal, getppid, set_parent_process_death_signal};

    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // The parent may have died before we asked.
    let alive = getppid().is_some_and(|now| now.as_raw_nonzero().to_string() == parent);
    if !alive {
        return io::Error::other("the gateway is gone");
    }
    std::process::Command::new(program).args(rest).exec()
}

#[cfg(not(target_os = "linux"))]
fn become_command(_parent: &str, _program: &str, _rest: &[String]) -> io::Error {
    io::ErrorKind::Unsupported.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stub_refuses_an_incomplete_call() {
        assert_eq!(exec_stub(&[]).kind(), io::ErrorKind::InvalidInput);
        assert_eq!(exec_stub(&["1".to_owned()]).kind(), io::ErrorKind::InvalidInput);
    }

    /// Plays `main` for the test below: it is started by it, in a process of its own.
    #[cfg(target_os = "linux")]
    #[test]
    #[ignore = "started by the_command_of_the_stub_dies_with_its_parent"]
    fn played_main() {
        let Ok(args) = std::env::var("STUB_ARGS") else { return };
        let args: Vec<String> = args.split(' ').map(str::to_owned).collect();
        match args.split_first() {
            // The gateway: starts a command through the stub and is killed.
            Some((role, script)) if role == "parent" => {
                let own = std::env::current_exe().unwrap();
                let mut stub = std::process::Command::new(own);
                stub.args(["--exact", "--ignored", "--nocapture", PLAYED]);
                stub.env("STUB_ARGS", format!("{} {}", std::process::id(), script.join(" ")));
                let mut stub = stub.spawn().unwrap();
                println!("\nstub {} end", stub.id());
                let _ = stub.wait();
            }
            // The stub itself.
            _ => panic!("{}", exec_stub(&args)),
        }
    }

    #[cfg(target_os = "linux")]
    const PLAYED: &str = "sys::child::stub::tests::played_main";

    #[cfg(target_os = "linux")]
    #[test]
    fn the_command_of_the_stub_dies_with_its_parent() {
        use std::io::{BufRead, BufReader};
        use std::process::{Command, Stdio};
        use std::time::{Duration, Instant};

        let mut parent = Command::new(std::env::current_exe().unwrap());
        parent.args(["--exact", "--ignored", "--nocapture", PLAYED]).env("STUB_ARGS", "parent sleep 60");
        let mut parent = parent.stdout(Stdio::piped()).spawn().unwrap();
        // Kept to the end: both processes write to it.
        let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines().map_while(Result::ok);
        let pid = lines.find_map(|line| Some(line.strip_prefix("stub ")?.strip_suffix(" end")?.to_owned())).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let command = || std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let wait_for = |done: &dyn Fn() -> bool| {
            while !done() {
                assert!(Instant::now() < deadline, "still waiting for pid {pid}: {:?}", command());
                std::thread::yield_now();
            }
        };
        wait_for(&|| command().starts_with("sleep"));
        parent.kill().unwrap();
        parent.wait().unwrap();
        wait_for(&|| !command().starts_with("sleep"));
    }
}
