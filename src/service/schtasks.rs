//! Windows: a Scheduled Task that starts `gateway.cmd` in the state directory at logon, without a window; where no task
//! may be made, a launcher in the Startup folder.
//!
//! The script starts the gateway again when it fails, so that nothing depends on how the scheduler retries. The
//! scheduler's answers are translated on most hosts; only numbers and positions are trusted.

use std::fs;
use std::path::{Path, PathBuf};

use super::drift::{Recorded, words_as_typed};
use super::fill::{batch, fill, xml};
use super::runner::must;
use super::{Manager, Mode, Runner, Runtime, ServiceError, ServiceSpec, ServiceStatus, Stop, erase, write};
use crate::sys::files;

pub struct Schtasks;

fn script(spec: &ServiceSpec) -> String {
    format!("{}\\gateway.cmd", spec.state_dir.display())
}

impl Schtasks {
    fn tell(&self, run: &dyn Runner, words: &[&str]) -> Result<String, ServiceError> {
        let argv: Vec<&str> = std::iter::once("schtasks.exe").chain(words.iter().copied()).collect();
        must(run, &argv)
    }

    fn launcher(&self, spec: &ServiceSpec) -> (PathBuf, String) {
        let name = self.unit(spec);
        let dir = format!("{}\\Microsoft\\Windows\\Start Menu\\Programs\\Startup", spec.app_data.display());
        let text = fill(LAUNCHER, &[("SCRIPT", batch(&script(spec)))]);
        (on_this_host(&format!("{dir}\\{name}.cmd")), windows_lines(&text))
    }

    /// Whether the task exists. A scheduler that says nothing is not believed.
    fn has_task(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<Option<String>, ServiceError> {
        let name = self.unit(spec);
        let said = run.run(&["schtasks.exe", "/Query", "/TN", &name, "/FO", "CSV", "/NH"])?;
        Ok(Some(said.text).filter(|text| said.code == Some(0) && text.contains(&name)))
    }

    /// Ends whatever was started from the script, with everything below it: ending the task leaves the gateway.
    fn end(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        let script = script(spec).replace('\'', "''");
        let command = format!(
            "Get-CimInstance Win32_Process | Where-Object {{ $_.ProcessId -ne $PID -and $_.CommandLine -and \
             $_.CommandLine.Contains('{script}') }} | ForEach-Object {{ taskkill.exe /F /T /PID $_.ProcessId }}"
        );
        must(run, &["powershell.exe", "-NoProfile", "-NonInteractive", "-Command", &command]).map(drop)
    }

    fn launch(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        let path = self.launcher(spec).0.display().to_string();
        must(run, &["cmd.exe", "/D", "/C", &path]).map(drop)
    }
}

impl Manager for Schtasks {
    fn name(&self) -> &'static str {
        "Scheduled Task"
    }

    fn unit(&self, spec: &ServiceSpec) -> String {
        match &spec.profile {
            Some(profile) => format!("OpenClaw Gateway ({profile})"),
            None => "OpenClaw Gateway".to_owned(),
        }
    }

    fn files(&self, spec: &ServiceSpec) -> Vec<(PathBuf, String)> {
        let set = |(name, value): &(&str, String)| format!("set \"{name}={}\"", batch(value));
        let environment: Vec<String> = spec.environment().iter().map(set).collect();
        let command = format!("\"{}\" {}", batch(&spec.program.display().to_string()), spec.arguments().join(" "));
        let values = [
            ("DESCRIPTION", xml(&spec.description())),
            ("TASK", xml(&self.unit(spec))),
            ("USER", xml(&spec.user)),
            ("SCRIPT", xml(&script(spec))),
            ("STATE_DIR", xml(&spec.state_dir.display().to_string())),
        ];
        let commands = fill(SCRIPT, &[("ENVIRONMENT", environment.join("\n")), ("COMMAND", command)]);
        vec![
            (on_this_host(&script(spec)), windows_lines(&commands)),
            (
                on_this_host(&format!("{}\\gateway-task.xml", spec.state_dir.display())),
                windows_lines(&fill(TASK, &values)),
            ),
        ]
    }

    fn install(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        write(self, spec, Mode::Utf16)?;
        let name = self.unit(spec);
        let definition = self.files(spec).remove(1).0.display().to_string();
        let (launcher, text) = self.launcher(spec);
        self.end(spec, run)?;
        match self.tell(run, &["/Create", "/F", "/TN", &name, "/XML", &definition]) {
            Ok(_) => {
                // One that is left from an earlier refusal would start a second gateway.
                let _ = fs::remove_file(&launcher);
                self.tell(run, &["/Run", "/TN", &name]).map(drop)
            }
            Err(ServiceError::Command { .. }) => {
                let failed = |source| ServiceError::Write { path: launcher.clone(), source };
                launcher.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
                files::write_atomic(&launcher, text.as_bytes()).map_err(failed)?;
                self.launch(spec, run)
            }
            Err(error) => Err(error),
        }
    }

    fn start(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        let name = self.unit(spec);
        if self.has_task(spec, run)?.is_some() {
            self.tell(run, &["/Change", "/TN", &name, "/ENABLE"])?;
            return self.tell(run, &["/Run", "/TN", &name]).map(drop);
        }
        let (launcher, text) = self.launcher(spec);
        if !launcher.is_file() {
            files::write_atomic(&launcher, text.as_bytes())
                .map_err(|source| ServiceError::Write { path: launcher.clone(), source })?;
        }
        self.end(spec, run)?;
        self.launch(spec, run)
    }

    fn stop(&self, spec: &ServiceSpec, stop: Stop, run: &dyn Runner) -> Result<(), ServiceError> {
        let name = self.unit(spec);
        if self.has_task(spec, run)?.is_some() {
            if stop == Stop::Disable {
                self.tell(run, &["/Change", "/TN", &name, "/DISABLE"])?;
            }
            self.tell(run, &["/End", "/TN", &name])?;
        } else if stop == Stop::Disable {
            // Starting it writes the launcher again.
            let _ = fs::remove_file(self.launcher(spec).0);
        }
        self.end(spec, run)
    }

    fn restart(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        self.stop(spec, Stop::Now, run)?;
        self.start(spec, run)
    }

    fn remove(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        self.stop(spec, Stop::Now, run)?;
        if self.has_task(spec, run)?.is_some() {
            self.tell(run, &["/Delete", "/F", "/TN", &self.unit(spec)])?;
        }
        // Only there when no task could be made.
        let _ = fs::remove_file(self.launcher(spec).0);
        erase(self, spec)
    }

    fn status(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<ServiceStatus, ServiceError> {
        if let Some(line) = self.has_task(spec, run)? {
            return Ok(status(&line));
        }
        let launcher = self.launcher(spec).0;
        let in_startup = launcher.is_file();
        let detail = if in_startup { format!("Startup folder: {}", launcher.display()) } else { "no task".to_owned() };
        Ok(ServiceStatus { enabled: Some(in_startup), detail: Some(detail), ..ServiceStatus::default() })
    }

    fn recorded(&self, text: &str) -> Recorded {
        let mut recorded = Recorded::default();
        for line in text.lines().map(str::trim) {
            let plain = line.replace("%%", "%");
            if let Some(assignment) = plain.strip_prefix("set \"").and_then(|rest| rest.strip_suffix('"')) {
                recorded.assignment(assignment);
            } else if plain.starts_with('"') && plain.contains(" gateway ") {
                recorded.command(words_as_typed(&plain).into_iter());
            }
        }
        recorded
    }

    fn clean_up(&self, file: &Path) -> Option<String> {
        Some(format!("del \"{}\"", file.display()))
    }
}

/// `"\OpenClaw Gateway","N/A","Running"`: name, next run, state.
fn status(line: &str) -> ServiceStatus {
    let last = line.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let state = last.trim().rsplit(',').next().unwrap_or_default().trim_matches('"').to_owned();
    ServiceStatus {
        runtime: match state.as_str() {
            "Running" => Runtime::Running,
            "Ready" | "Disabled" | "Queued" => Runtime::Stopped,
            _ => Runtime::Unknown,
        },
        enabled: Some(state != "Disabled"),
        detail: (!state.is_empty()).then_some(state),
        ..ServiceStatus::default()
    }
}

/// Batch files with bare line feeds lose their labels.
fn windows_lines(text: &str) -> String {
    text.replace('\n', "\r\n")
}

/// Elsewhere, which means in tests, a backslash is part of a name.
fn on_this_host(path: &str) -> PathBuf {
    if cfg!(windows) { PathBuf::from(path) } else { PathBuf::from(path.replace('\\', "/")) }
}

const SCRIPT: &str = include_str!("../../packaging/windows/gateway.cmd");
const TASK: &str = include_str!("../../packaging/windows/task.xml");
const LAUNCHER: &str = include_str!("../../packaging/windows/startup.cmd");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_the_scheduler_is_understood() {
        let read = status("\"\\OpenClaw Gateway\",\"N/A\",\"Running\"\r\n");
        assert_eq!((read.runtime, read.enabled), (Runtime::Running, Some(true)));
        let disabled = status("\"\\OpenClaw Gateway\",\"Disabled\",\"Disabled\"\r\n");
        assert_eq!((disabled.runtime, disabled.enabled), (Runtime::Stopped, Some(false)));
        let german = status("\"\\OpenClaw Gateway\",\"N/A\",\"Wird ausgeführt\"\r\n");
        assert_eq!(german.runtime, Runtime::Unknown);
    }
}
