//! Windows: one pipe for the output and `taskkill /T` for the tree; there are no process groups.

use std::io::{self, PipeReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::{CHUNK, ChildError, Ending, LEFTOVER_TIME, STOP_TIME, Spec, scrub};
use crate::sys::abort::Abort;

/// A pipe cannot be read with a deadline, so a thread reads it; this many chunks may wait.
const CHUNKS_WAITING: usize = 4;

/// There is nothing to wait on for process end and output together; this is how often the end is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The process, until it is known to have ended.
#[derive(Clone)]
struct Tree(Arc<Mutex<Option<u32>>>);

pub fn run(spec: &Spec, abort: &Abort, each: &mut dyn FnMut(&[u8])) -> Result<Ending, ChildError> {
    let plumbing = |source| ChildError::Plumbing { source };
    let (reader, writer) = io::pipe().map_err(plumbing)?;
    let errors = writer.try_clone().map_err(plumbing)?;
    let mut command = Command::new(&spec.argv[0]);
    command.args(&spec.argv[1..]).env_clear().envs(scrub::environment(&spec.base, &spec.extra));
    command.stdin(Stdio::null()).stdout(writer).stderr(errors);
    if let Some(cwd) = &spec.cwd {
        command.current_dir(cwd);
    }
    let program = spec.argv[0].clone();
    let mut child = command.spawn().map_err(|source| ChildError::Start { program, source })?;
    // Holds the writing ends; the reader would never see the end.
    drop(command);
    let tree = Tree(Arc::new(Mutex::new(Some(child.id()))));
    let killed_by_abort = tree.clone();
    let guard = abort.on_fire(move || killed_by_abort.kill());
    let chunks = match read_in_thread(reader) {
        Ok(chunks) => chunks,
        Err(source) => {
            tree.kill();
            return Err(plumbing(source));
        }
    };
    let timed_out = follow(&chunks, &mut child, &tree, spec.time_limit, each).map_err(plumbing)?;
    tree.kill();
    drop(guard);
    let status = child.wait().map_err(plumbing)?;
    tree.forget();
    Ok(Ending { exit_code: status.code(), signal: None, timed_out })
}

fn read_in_thread(mut reader: PipeReader) -> io::Result<Receiver<Vec<u8>>> {
    let (to, from) = bounded(CHUNKS_WAITING);
    thread::Builder::new().name("child output".to_owned()).spawn(move || {
        let mut buffer = vec![0; CHUNK];
        while let Ok(count) = reader.read(&mut buffer) {
            if count == 0 || to.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    })?;
    Ok(from)
}

fn follow(
    chunks: &Receiver<Vec<u8>>,
    child: &mut Child,
    tree: &Tree,
    time_limit: Duration,
    each: &mut dyn FnMut(&[u8]),
) -> io::Result<bool> {
    let (mut deadline, mut killed, mut output_ended) = (Instant::now() + time_limit, false, false);
    let mut leftover_until = None;
    loop {
        match chunks.recv_timeout(LOOK_EVERY) {
            Ok(chunk) => each(&chunk),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) if output_ended => thread::park_timeout(LOOK_EVERY),
            Err(RecvTimeoutError::Disconnected) => output_ended = true,
        }
        let now = Instant::now();
        if child.try_wait()?.is_some() {
            let until = *leftover_until.get_or_insert(now + LEFTOVER_TIME);
            if output_ended || now >= until {
                return Ok(killed);
            }
        }
        if now >= deadline {
            if killed {
                return Ok(true);
            }
            tree.kill();
            (killed, deadline) = (true, now + STOP_TIME);
        }
    }
}

impl Tree {
    fn kill(&self) {
        let pid = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = pid {
            let mut command = Command::new("taskkill");
            command.args(["/F", "/T", "/PID", &pid.to_string()]);
            // It fails when the process has ended by itself, which is as good.
            let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
