//! Commands run on behalf of an agent: with a time limit, bounded output and a way to stop them.
//!
//! A command gets no standard input, an environment without what could turn another program into a weapon (see
//! [`scrub`]), and a process group of its own, which ends with it: whatever it left running in its group is killed when
//! the command itself has ended. Terminals and long-lived background jobs are not offered here.
//!
//! Invariants: `run` returns within the time limit plus [`STOP_TIME`] and a moment; memory is bounded by the output cap;
//! a process is signalled only while its number still belongs to it.

pub mod ask;
pub mod capture;
pub mod scrub;
pub mod stub;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(not(unix), path = "windows.rs")]
mod platform;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Env;
use super::abort::Abort;
use capture::Capture;

pub use stub::exec_stub;

/// Between asking a command to stop and killing it: enough to write a lock file away, not enough to be waited for.
pub const STOP_TIME: Duration = Duration::from_secs(2);

/// Output that a command's own children still write after it has ended is waited for this long.
const LEFTOVER_TIME: Duration = Duration::from_millis(250);

/// One read; a chunk handed to the callback is at most this long.
const CHUNK: usize = 16 << 10;

/// What to run.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Program and arguments; never passed through a shell.
    pub argv: Vec<String>,
    pub cwd: Option<PathBuf>,
    /// The environment to start from; scrubbed before use.
    pub base: Env,
    /// Variables the caller asks for in addition; refused ones are dropped, see [`scrub::may_set`].
    pub extra: Vec<(String, String)>,
    pub time_limit: Duration,
    /// Bytes of output kept: the first half from the start, the rest from the end.
    pub output_cap: usize,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// `None` when a signal ended it.
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub timed_out: bool,
    pub aborted: bool,
    /// Standard output and error in the order they were written; the cut is marked by a line.
    pub output: String,
    /// Bytes left out of the middle.
    pub truncated_bytes: u64,
    pub duration_ms: u64,
}

/// Why a command did not start.
#[derive(Debug)]
pub enum ChildError {
    /// `argv` has no program.
    Nothing,
    Start {
        program: String,
        source: io::Error,
    },
    /// A thread or a pipe could not be had.
    Plumbing {
        source: io::Error,
    },
}

/// Runs a command to its end. `each` sees the output as it comes, raw, in order, all of it.
///
/// A fired `abort` kills the whole group at once; the time limit asks first (SIGTERM) and kills after [`STOP_TIME`].
pub fn run(spec: &Spec, abort: &Abort, each: &mut dyn FnMut(&[u8])) -> Result<Outcome, ChildError> {
    let begun = Instant::now();
    if spec.argv.first().is_none_or(String::is_empty) {
        return Err(ChildError::Nothing);
    }
    let mut capture = Capture::new(spec.output_cap);
    let ending = platform::run(spec, abort, &mut |chunk| {
        capture.push(chunk);
        each(chunk);
    })?;
    let (output, truncated_bytes) = capture.finish();
    Ok(Outcome {
        exit_code: ending.exit_code,
        signal: ending.signal,
        timed_out: ending.timed_out,
        aborted: abort.fired() && ending.exit_code.is_none_or(|code| code != 0),
        output,
        truncated_bytes,
        duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// What the platform part knows about the end.
struct Ending {
    exit_code: Option<i32>,
    signal: Option<i32>,
    timed_out: bool,
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChildError::Nothing => f.write_str("no command was given"),
            ChildError::Start { program, .. } => write!(f, "start {program:?}"),
            ChildError::Plumbing { .. } => f.write_str("prepare to run a command"),
        }
    }
}

impl std::error::Error for ChildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ChildError::Nothing => None,
            ChildError::Start { source, .. } | ChildError::Plumbing { source } => Some(source),
        }
    }
}

#[cfg(all(test, unix))]
mod tests;
