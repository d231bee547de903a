//! Runs one command to its end: the seam between `exec` and the platform.
//!
//! The command leads a process group of its own. It ends when the shell exits, the time is up or the abort fires; then
//! whatever is left of the group is killed, so that no call leaves processes behind. A process that made a group of its
//! own (`setsid`) is out of reach; if it also keeps the output, one thread waits with it.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::sys::abort::Abort;

/// What to run.
pub(super) struct Job {
    pub(super) argv: Vec<OsString>,
    pub(super) cwd: PathBuf,
    /// The whole environment.
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) time_limit: Duration,
}

/// How it ended. `exit_code` is `None` when a signal ended it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Ended {
    pub(super) exit_code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) timed_out: bool,
    pub(super) aborted: bool,
}

/// Runs jobs; tests replace it. `each` gets standard output and standard error as they come, on the calling thread.
pub(super) trait Runner {
    fn run(&self, job: &Job, abort: &Abort, each: &mut dyn FnMut(&[u8])) -> io::Result<Ended>;
}

/// This host.
pub(super) struct Host;

#[cfg(unix)]
mod host {
    use std::io::Read;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Child, Command, Stdio};
    use std::thread;
    use std::time::Instant;

    use crossbeam_channel::{Receiver, Sender, bounded};
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

    use super::*;

    enum News {
        Output(Vec<u8>),
        /// Nobody holds the output any more.
        Silent,
        Exited,
    }

    impl Runner for Host {
        fn run(&self, job: &Job, abort: &Abort, each: &mut dyn FnMut(&[u8])) -> io::Result<Ended> {
            let (mut child, news) = start(job)?;
            let group = Pid::from_child(&child);
            let (wish, aborted) = bounded(1);
            let _guard = abort.on_fire(move || {
                // Full means that it was said already.
                let _ = wish.try_send(());
            });
            let mut ended = Ended::default();
            match follow(&news, &aborted, Instant::now() + job.time_limit, each) {
                Why::Exited => {
                    let _ = drain(&news, DRAIN, each);
                }
                why => {
                    ended.timed_out = matches!(why, Why::TimedOut);
                    ended.aborted = matches!(why, Why::Aborted);
                    signal(group, Signal::TERM);
                    let _ = drain(&news, GRACE, each);
                }
            }
            // The leader is not reaped yet, so its id cannot belong to another group.
            signal(group, Signal::KILL);
            let status = child.wait()?;
            ended.exit_code = status.code();
            ended.signal = status.signal();
            let _ = drain(&news, DRAIN, each);
            Ok(ended)
        }
    }

    enum Why {
        Exited,
        TimedOut,
        Aborted,
    }

    /// Starts the job, a thread that reads what it says and one that waits for its end.
    fn start(job: &Job) -> io::Result<(Child, Receiver<News>)> {
        let (mut output, input) = io::pipe()?;
        let (program, arguments) = job.argv.split_first().ok_or_else(|| io::Error::other("no program"))?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&job.cwd).env_clear().envs(job.env.iter().map(|(n, v)| (n, v)));
        command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input).process_group(0);
        let mut child = command.spawn()?;
        // The command holds the writing ends of the pipe: as long as it lives we would never see the end.
        drop(command);
        let pid = Pid::from_child(&child);
        let (tell, news) = bounded(QUEUE);
        let heard = tell.clone();
        let reading = thread::Builder::new().name("exec out".into()).spawn(move || {
            let mut buffer = vec![0; CHUNK];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                if heard.send(News::Output(buffer[..count].to_vec())).is_err() {
                    return;
                }
            }
            // Nobody listens any more when the call is over.
            let _ = heard.send(News::Silent);
        });
        let waiting = thread::Builder::new().name("exec wait".into()).spawn(move || wait(pid, &tell));
        if let Err(error) = reading.and(waiting) {
            signal(pid, Signal::KILL);
            child.wait()?;
            return Err(error);
        }
        Ok((child, news))
    }

    /// Waits without reaping, so that the group's id stays ours until it is killed.
    fn wait(pid: Pid, tell: &Sender<News>) {
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), how) {}
        // Nobody listens any more when the time was up first.
        let _ = tell.send(News::Exited);
    }

    fn follow(news: &Receiver<News>, aborted: &Receiver<()>, end: Instant, each: &mut dyn FnMut(&[u8])) -> Why {
        let deadline = crossbeam_channel::at(end);
        let silent = crossbeam_channel::never();
        let mut talking = true;
        loop {
            crossbeam_channel::select_biased! {
                recv(aborted) -> _ => return Why::Aborted,
                recv(deadline) -> _ => return Why::TimedOut,
                recv(if talking { news } else { &silent }) -> said => match said {
                    Ok(News::Output(bytes)) => each(&bytes),
                    Ok(News::Silent) => {}
                    Ok(News::Exited) => return Why::Exited,
                    Err(_) => talking = false,
                },
            }
        }
    }

    /// Takes what is still said, until silence or the deadline.
    fn drain(news: &Receiver<News>, within: Duration, each: &mut dyn FnMut(&[u8])) -> Result<(), ()> {
        let end = Instant::now() + within;
        loop {
            match news.recv_deadline(end) {
                Ok(News::Output(bytes)) => each(&bytes),
                Ok(News::Exited) => {}
                Ok(News::Silent) | Err(_) => return Ok(()),
            }
        }
    }

    fn signal(group: Pid, signal: Signal) {
        // A group that is gone needs no signal.
        let _ = kill_process_group(group, signal);
    }

    /// After TERM; an abort must be answered within 100 ms.
    const GRACE: Duration = Duration::from_millis(50);
    /// After the shell's exit: what its children wrote just before is still on its way, but one that stays does not hold
    /// the call.
    const DRAIN: Duration = Duration::from_millis(200);
    /// Bytes of one read: what a pipe holds.
    const CHUNK: usize = 64 << 10;
    /// Chunks on their way; a command that talks faster than we listen waits.
    const QUEUE: usize = 4;
}

#[cfg(not(unix))]
impl Runner for Host {
    fn run(&self, _: &Job, _: &Abort, _: &mut dyn FnMut(&[u8])) -> io::Result<Ended> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "commands cannot be run on this system"))
    }
}
