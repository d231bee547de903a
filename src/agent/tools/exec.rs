//! `exec`: one shell command, run to its end on the gateway's host.
//!
//! It is no sandbox; whether a command may run is [`super::Permission`]'s to say, before it runs. What it adds to a shell: a deadline, a bounded
//! output, an environment without secrets, and the certainty that nothing of the process group outlives the call.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::arguments::{self, Decoded};
use super::runner::{Host, Runner};
use super::{Denied, Details, Progress, Refusal, ToolContext, ToolOutcome, environment, paths};
use crate::providers::Part;
use crate::sys::Env;
use crate::sys::child::{Outcome, Spec};
use crate::wire::sorted::Sorted;

/// How a command ended; the `details` of its result event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecDetails {
    pub status: ExecStatus,
    /// `None` when a signal ended it.
    pub exit_code: Option<i32>,
    /// `SIGKILL` and the like.
    pub exit_signal: Option<String>,
    /// `exit`, `signal`, `overall-timeout`, `aborted` or `denied`.
    pub exit_reason: &'static str,
    pub duration_ms: u64,
    /// The output as the model sees it, without our remarks.
    pub aggregated: String,
    pub timed_out: bool,
    /// Always false: there is no deadline for silence.
    pub no_output_timed_out: bool,
    pub cwd: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExecStatus {
    Running,
    /// It exited by itself, with whatever code.
    Completed,
    Failed,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExecArguments {
    #[serde(alias = "cmd")]
    command: String,
    #[serde(alias = "cwd")]
    workdir: Option<String>,
    env: Option<Sorted<String, String>>,
    #[serde(default, alias = "timeout", deserialize_with = "arguments::seconds")]
    timeout_seconds: Option<f64>,
    host: Option<String>,
}

pub(super) fn exec(wanted: Decoded<ExecArguments>, context: &mut ToolContext) -> Result<ToolOutcome, Refusal> {
    exec_on(&Host, wanted, context)
}

pub(super) fn exec_on(
    runner: &dyn Runner,
    wanted: Decoded<ExecArguments>,
    context: &mut ToolContext,
) -> Result<ToolOutcome, Refusal> {
    let Decoded { known: arguments, ignored } = wanted;
    let job = prepare(&arguments, context)?;
    let cwd = job.cwd.as_deref().unwrap_or(context.start()).display().to_string();
    let mut job = match context.permission.permit(&arguments.command, job) {
        Ok(job) => job,
        Err(denied) => return Ok(refused(&denied, &arguments.command, cwd)),
    };
    // First, so that what the model sets itself counts.
    job.extra.splice(0..0, context.limits.variables.iter().cloned());
    let mut recent = Recent::default();
    let mut pulse = Pulse { started_at: unix_ms(), shown: None };
    let ended = {
        let progress = &mut context.progress;
        let mut each = |chunk: &[u8]| {
            recent.push(chunk);
            if pulse.is_due() {
                let (started_at, cwd) = (pulse.started_at, cwd.clone());
                progress(Progress { status: ExecStatus::Running, started_at, cwd, tail: recent.text() });
            }
        };
        runner.run(&job, context.abort, &mut each)
    };
    let ended = ended.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        Refusal(format!("The command could not be started in {cwd}: {error}{cause}."))
    })?;
    Ok(outcome(ended, job.time_limit, cwd, &ignored))
}

fn prepare(arguments: &ExecArguments, context: &ToolContext) -> Result<Spec, Refusal> {
    if arguments.command.trim().is_empty() {
        return Err(Refusal::new("command is empty."));
    }
    if arguments.command.contains('\0') {
        return Err(Refusal::new("command contains a NUL character."));
    }
    if let Some(host) = arguments.host.as_deref().filter(|host| !["auto", "gateway"].contains(host)) {
        return Err(Refusal(format!("host {host:?} is not available; commands run on the gateway's host.")));
    }
    let raw = arguments.workdir.as_deref().unwrap_or("");
    let cwd = paths::resolve(raw, context)?;
    if !cwd.is_dir() {
        return Err(Refusal(format!("workdir {raw} is not a directory.")));
    }
    let none = Sorted::new();
    let added = arguments.env.as_ref().unwrap_or(&none);
    let base = environment::compose(&Env::of_process(), added, &context.limits.path_prepend)?;
    let extra = added.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let longest = context.limits.exec_time_max;
    let time_limit = match arguments.timeout_seconds {
        None => context.limits.exec_time.min(longest),
        // Upstream's "no limit" is our longest.
        Some(seconds) if seconds <= 0.0 => longest,
        Some(seconds) => Duration::try_from_secs_f64(seconds).unwrap_or(longest).min(longest),
    };
    let output_cap = context.limits.exec_output;
    Ok(Spec { argv: shell(&arguments.command), cwd: Some(cwd), base, extra, time_limit, output_cap })
}

#[cfg(unix)]
fn shell(command: &str) -> Vec<String> {
    ["/bin/sh", "-c", command].map(Into::into).into()
}

#[cfg(not(unix))]
fn shell(command: &str) -> Vec<String> {
    ["powershell.exe", "-NoProfile", "-NonInteractive", "-Command", command].map(Into::into).into()
}

/// The outcome of a command that was not allowed.
fn refused(denied: &Denied, command: &str, cwd: String) -> ToolOutcome {
    let id = match denied.approval_id.as_str() {
        "" => String::new(),
        id => format!("id={id}, "),
    };
    let text = format!("Exec denied (gateway {id}{}): {command}", denied.reason);
    let details = ExecDetails {
        status: ExecStatus::Failed,
        exit_code: None,
        exit_signal: None,
        exit_reason: "denied",
        duration_ms: 0,
        aggregated: text.clone(),
        timed_out: false,
        no_output_timed_out: false,
        cwd,
    };
    ToolOutcome { content: vec![Part::Text(text.into())], is_error: true, details: Details::Exec(details) }
}

fn outcome(ended: Outcome, limit: Duration, cwd: String, ignored: &[String]) -> ToolOutcome {
    let said = ended.output.trim_end().to_owned();
    let signal = ended.signal.map(signal_name);
    let (status, exit_reason, remark) = match (&ended, &signal) {
        (Outcome { aborted: true, .. }, _) => (ExecStatus::Failed, "aborted", "Command aborted.".to_owned()),
        (Outcome { timed_out: true, .. }, _) => {
            let remark = format!("Command timed out after {} seconds and was ended.", limit.as_secs_f64());
            (ExecStatus::Failed, "overall-timeout", remark)
        }
        (_, Some(name)) => (ExecStatus::Failed, "signal", format!("Command ended by signal {name}.")),
        (Outcome { exit_code: Some(0) | None, .. }, _) => (ExecStatus::Completed, "exit", String::new()),
        (Outcome { exit_code: Some(code), .. }, _) => {
            (ExecStatus::Completed, "exit", format!("(Command exited with code {code})"))
        }
    };
    let note = match ignored {
        [] => String::new(),
        names => format!("[Ignored arguments: {}; the command ran in the foreground.]", names.join(", ")),
    };
    let seen = if said.is_empty() && remark.is_empty() { "(no output)" } else { &said };
    let parts = [seen, &remark, &note].into_iter().filter(|part| !part.is_empty());
    let text = parts.collect::<Vec<_>>().join("\n\n");
    let details = ExecDetails {
        status,
        exit_code: ended.exit_code,
        exit_signal: signal,
        exit_reason,
        duration_ms: ended.duration_ms,
        aggregated: said,
        timed_out: ended.timed_out,
        no_output_timed_out: false,
        cwd,
    };
    let is_error = status == ExecStatus::Failed;
    ToolOutcome { content: vec![Part::Text(text.into())], is_error, details: Details::Exec(details) }
}

/// The end of what was said so far: what progress shows. Never more than [`TAIL`] bytes.
#[derive(Default)]
struct Recent(VecDeque<u8>);

impl Recent {
    fn push(&mut self, chunk: &[u8]) {
        let chunk = &chunk[chunk.len().saturating_sub(TAIL)..];
        let excess = (self.0.len() + chunk.len()).saturating_sub(TAIL);
        self.0.drain(..excess);
        self.0.extend(chunk);
    }

    /// Without the rest of a character whose beginning is gone.
    fn text(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().copied().collect();
        let stray = bytes.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
        String::from_utf8_lossy(&bytes[stray..]).into_owned()
    }
}

/// Says when progress may be shown again.
struct Pulse {
    /// Unix milliseconds.
    started_at: i64,
    shown: Option<Instant>,
}

impl Pulse {
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = self.shown.is_none_or(|shown| now.duration_since(shown) >= PROGRESS_EVERY);
        if due {
            self.shown = Some(now);
        }
        due
    }
}

fn unix_ms() -> i64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64)
}

/// The names people know; the numbers are the same on every system we run on.
fn signal_name(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

/// Each progress goes to every client that watches; people read no faster.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// Bytes of output in one progress.
const TAIL: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_remembers_the_end_of_a_flood_and_no_half_character() {
        let mut recent = Recent::default();
        recent.push(&[b'x'; TAIL * 3]);
        recent.push("é".repeat(TAIL / 2).as_bytes());
        recent.push(b"!");
        assert_eq!(recent.0.len(), TAIL);
        assert!(recent.text().starts_with('é') && recent.text().ends_with("é!"));
    }
}
