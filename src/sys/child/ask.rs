//! One question to one program: bytes in, bytes out, within a time and a size.
//!
//! For helpers the operator named (secret providers), not for commands of an agent: the program is started as written,
//! with exactly the variables it is given, in a process group of its own that ends with the question.
//!
//! Invariants: `ask` returns within the time limit and a moment, or when nothing was said for the quiet limit, or at once
//! when it is aborted; more than the cap is never held; what the program says on its error output is not read.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, never, select};

use super::super::abort::Abort;

/// What to ask whom.
#[derive(Debug, Clone)]
pub struct Question {
    pub program: PathBuf,
    pub args: Vec<String>,
    /// All the variables the program gets.
    pub env: Vec<(String, String)>,
    pub input: Vec<u8>,
    /// From the start to the end of the program.
    pub time_limit: Duration,
    /// Longest silence while waiting for output.
    pub quiet_limit: Duration,
    /// Bytes of output.
    pub cap: usize,
}

/// Why there is no answer. `Display` never holds what the program said.
#[derive(Debug)]
pub enum AskError {
    Start(io::Error),
    TimedOut(Duration),
    Quiet(Duration),
    TooMuch(usize),
    Aborted,
    /// The program ended with this status; `None` when a signal ended it.
    Failed(Option<i32>),
}

/// Pieces of output that wait to be taken.
const PIECES: usize = 4;
/// How long the end of a program that has said everything is looked for at a time.
const LOOK: Duration = Duration::from_millis(5);

/// Starts the program, hands it the input, and answers what it says.
pub fn ask(mut question: Question, abort: &Abort) -> Result<Vec<u8>, AskError> {
    let mut command = Command::new(&question.program);
    command.args(&question.args).env_clear().envs(question.env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut running = Running(command.spawn().map_err(AskError::Start)?);
    let end = Instant::now() + question.time_limit;
    let output = pipes(&mut running.0, std::mem::take(&mut question.input)).map_err(AskError::Start)?;
    let (stopped, _guard) = abort.heard();
    let mut answer = Vec::new();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        select! {
            recv(output) -> piece => match piece {
                Ok(piece) if answer.len() + piece.len() > question.cap => return Err(AskError::TooMuch(question.cap)),
                Ok(piece) => answer.extend_from_slice(&piece),
                Err(_) => break,
            },
            recv(stopped) -> _ => return Err(AskError::Aborted),
            default(left.min(question.quiet_limit)) => match Instant::now() >= end {
                true => return Err(AskError::TimedOut(question.time_limit)),
                false => return Err(AskError::Quiet(question.quiet_limit)),
            },
        }
    }
    loop {
        if abort.fired() {
            return Err(AskError::Aborted);
        }
        match running.0.try_wait().map_err(AskError::Start)? {
            Some(status) if status.success() => return Ok(answer),
            Some(status) => return Err(AskError::Failed(status.code())),
            None if Instant::now() >= end => return Err(AskError::TimedOut(question.time_limit)),
            // Nothing announces the end of a process without reaping it on every platform.
            None => drop(never::<()>().recv_timeout(LOOK)),
        }
    }
}

/// Both ends of the program, each with a thread: a program that reads nothing must not keep us from reading.
fn pipes(child: &mut Child, input: Vec<u8>) -> io::Result<Receiver<Vec<u8>>> {
    let (pieces, output) = bounded(PIECES);
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    thread::Builder::new().name("ask in".into()).spawn(move || {
        // A program that does not want the question is free not to read it.
        let _ = stdin.map(|mut stdin| stdin.write_all(&input));
    })?;
    thread::Builder::new().name("ask out".into()).spawn(move || {
        let Some(mut stdout) = stdout else { return };
        let mut buffer = [0; 8 << 10];
        loop {
            match stdout.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) if pieces.send(buffer[..count].to_vec()).is_err() => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    })?;
    Ok(output)
}

/// Ends the program and its group, whichever way the question ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw)
            && matches!(self.0.try_wait(), Ok(None))
        {
            // Not reaped yet, so the number is still its own.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::Start(error) => write!(f, "cannot be started: {error}"),
            AskError::TimedOut(limit) => write!(f, "gave no answer within {} ms", limit.as_millis()),
            AskError::Quiet(limit) => write!(f, "said nothing for {} ms", limit.as_millis()),
            AskError::TooMuch(cap) => write!(f, "said more than {cap} bytes"),
            AskError::Failed(Some(code)) => write!(f, "ended with status {code}"),
            AskError::Aborted => f.write_str("was stopped"),
            AskError::Failed(None) => f.write_str("was ended by a signal"),
        }
    }
}

impl std::error::Error for AskError {}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn sh(script: &str, input: &str) -> Result<String, String> {
        let question = Question {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: vec![("GIVEN".into(), "yes".into())],
            input: input.as_bytes().to_vec(),
            time_limit: Duration::from_millis(1500),
            quiet_limit: Duration::from_millis(1000),
            cap: 100_000,
        };
        ask(question, &Abort::new()).map(|answer| String::from_utf8(answer).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn input_goes_in_and_output_comes_out() {
        assert_eq!(sh("cat; echo \" $GIVEN $HOME\"", "hello").as_deref(), Ok("hello yes \n"));
        let long = "x".repeat(90_000);
        assert_eq!(sh("cat", &long), Ok(long.clone()));
        assert_eq!(sh("exec <&-; echo deaf", &long).as_deref(), Ok("deaf\n"));
    }

    #[test]
    fn an_abort_ends_it_at_once() {
        let abort = Abort::new();
        let question = Question {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), "echo begun; sleep 60".into()],
            env: Vec::new(),
            input: Vec::new(),
            time_limit: Duration::from_secs(60),
            quiet_limit: Duration::from_secs(60),
            cap: 100,
        };
        let asking = std::thread::spawn({
            let abort = abort.clone();
            move || ask(question, &abort)
        });
        abort.fire();
        assert!(matches!(asking.join().unwrap(), Err(AskError::Aborted)));
    }

    #[test]
    fn silence_noise_and_failure_have_names() {
        assert_eq!(sh("sleep 20", "").unwrap_err(), "said nothing for 1000 ms");
        assert_eq!(sh("while :; do echo a; sleep 0.1; done", "").unwrap_err(), "gave no answer within 1500 ms");
        assert_eq!(sh("yes", "").unwrap_err(), "said more than 100000 bytes");
        assert_eq!(sh("exit 3", "").unwrap_err(), "ended with status 3");
        assert_eq!(sh("exec >&-; sleep 20", "").unwrap_err(), "gave no answer within 1500 ms");
    }
}
