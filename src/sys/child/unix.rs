//! Unix: a process group, a socket pair for the output, and a thread that waits for the end.
//!
//! The output is a socket and not a pipe because a socket can be shut down from another thread and read with a deadline.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::{CHUNK, ChildError, Ending, LEFTOVER_TIME, STOP_TIME, Spec, scrub, stub};
use crate::sys::abort::Abort;

/// The group, for as long as its number is known to be its own. The leader is not reaped before it is emptied.
#[derive(Clone)]
struct Group(Arc<Mutex<Option<Pid>>>);

pub fn run(spec: &Spec, abort: &Abort, each: &mut dyn FnMut(&[u8])) -> Result<Ending, ChildError> {
    let plumbing = |source| ChildError::Plumbing { source };
    let (mut output, theirs) = UnixStream::pair().map_err(plumbing)?;
    let mut child = start(spec, theirs)?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let group = Group(Arc::new(Mutex::new(pid)));
    let killed_by_abort = group.clone();
    let guard = abort.on_fire(move || killed_by_abort.signal(Signal::KILL));
    let (drained, quiet) = bounded::<()>(0);
    let watching = output.try_clone().and_then(|output| watch(pid, group.clone(), output, quiet));
    let (ended, watcher) = match watching {
        Ok(watching) => watching,
        Err(source) => {
            group.signal(Signal::KILL);
            drop(guard);
            group.forget();
            // Killed above; there is nothing to learn from its status.
            let _ = child.wait();
            return Err(plumbing(source));
        }
    };

    let timed_out = follow(&mut output, &group, &ended, spec.time_limit, each);
    drop(drained);
    group.signal(Signal::KILL);
    // The watcher ends with the process it watches; it never panics.
    let _ = watcher.join();
    drop(guard);
    group.forget();
    let status = child.wait().map_err(plumbing)?;
    Ok(Ending { exit_code: status.code(), signal: status.signal(), timed_out })
}

fn start(spec: &Spec, output: UnixStream) -> Result<Child, ChildError> {
    let plumbing = |source| ChildError::Plumbing { source };
    let errors = output.try_clone().map_err(plumbing)?;
    let argv = stub::wrapped(&spec.argv);
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).env_clear().envs(scrub::environment(&spec.base, &spec.extra));
    command.stdin(Stdio::null()).stdout(OwnedFd::from(output)).stderr(OwnedFd::from(errors));
    if let Some(cwd) = &spec.cwd {
        command.current_dir(cwd);
    }
    let program = spec.argv[0].clone();
    command.process_group(0).spawn().map_err(|source| ChildError::Start { program, source })
}

/// Reads until the end of output and the end of the process, or as long as the limits allow. Answers whether the time
/// limit was what ended it.
fn follow(
    output: &mut UnixStream,
    group: &Group,
    ended: &Receiver<()>,
    time_limit: Duration,
    each: &mut dyn FnMut(&[u8]),
) -> bool {
    let mut limits = Limits { next: Instant::now() + time_limit, asked: false, killed: false };
    let mut buffer = vec![0; CHUNK];
    loop {
        // A zero timeout would mean "for ever".
        let left = limits.left().max(Duration::from_millis(1));
        let read = output.set_read_timeout(Some(left)).and_then(|()| output.read(&mut buffer));
        match read {
            Ok(0) => break,
            Ok(count) => each(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        // A command that never stops talking must not outrun its limit.
        if limits.left().is_zero() && !limits.escalate(group) {
            break;
        }
    }
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(limits.left()) {
        if !limits.escalate(group) {
            break;
        }
    }
    limits.asked
}

/// The time limit and what follows it: ask, then kill, then give up waiting.
struct Limits {
    next: Instant,
    asked: bool,
    killed: bool,
}

impl Limits {
    fn left(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Takes the next step; `false` when there is none left.
    fn escalate(&mut self, group: &Group) -> bool {
        if self.killed {
            return false;
        }
        let signal = if self.asked { Signal::KILL } else { Signal::TERM };
        self.killed = self.asked;
        self.asked = true;
        group.signal(signal);
        self.next = Instant::now() + STOP_TIME;
        true
    }
}

/// Starts the thread that says when the process has ended, without reaping it, and cuts off output that comes later.
fn watch(
    pid: Option<Pid>,
    group: Group,
    output: UnixStream,
    quiet: Receiver<()>,
) -> io::Result<(Receiver<()>, JoinHandle<()>)> {
    let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let (ended, ending): (Sender<()>, Receiver<()>) = bounded(1);
    let thread = thread::Builder::new().name(format!("child {}", pid.as_raw_nonzero())).spawn(move || {
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        {
        }
        // The reader may be gone already when it gave up waiting.
        let _ = ended.send(());
        if let Err(RecvTimeoutError::Timeout) = quiet.recv_timeout(LEFTOVER_TIME) {
            group.signal(Signal::KILL);
            // Whoever left the group keeps its end; ours says "end of output" to the reader now.
            let _ = output.shutdown(Shutdown::Both);
        }
    })?;
    Ok((ending, thread))
}

impl Group {
    /// A group that is empty already needs no signal.
    fn signal(&self, signal: Signal) {
        let pid = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = pid {
            // The only failure is that nobody is left to receive it.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// From here on the number may be given to somebody else.
    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
