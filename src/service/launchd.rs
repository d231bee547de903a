//! launchd: an agent of the user's session on macOS.
//!
//! Stopping takes it out of the session without disabling it, so that it comes back with the next login.

use std::path::{Path, PathBuf};

use super::drift::Recorded;
use super::fill::{fill, from_xml, xml};
use super::runner::must;
use super::{Manager, Mode, Runner, Runtime, ServiceError, ServiceSpec, ServiceStatus, Stop, erase, write};

pub struct Launchd;

fn domain(spec: &ServiceSpec) -> String {
    format!("gui/{}", spec.uid)
}

impl Launchd {
    fn target(&self, spec: &ServiceSpec) -> String {
        format!("{}/{}", domain(spec), self.unit(spec))
    }

    fn plist(&self, spec: &ServiceSpec) -> String {
        format!("{}/Library/LaunchAgents/{}.plist", spec.home.display(), self.unit(spec))
    }

    fn is_loaded(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<bool, ServiceError> {
        Ok(run.run(&["launchctl", "print", &self.target(spec)])?.ok())
    }

    /// Loads it, which starts it. A label that was disabled once cannot be loaded before it is enabled.
    fn load(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        must(run, &["launchctl", "enable", &self.target(spec)])?;
        must(run, &["launchctl", "bootstrap", &domain(spec), &self.plist(spec)]).map(drop)
    }

    fn unload(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        if self.is_loaded(spec, run)? {
            must(run, &["launchctl", "bootout", &self.target(spec)])?;
        }
        Ok(())
    }
}

impl Manager for Launchd {
    fn name(&self) -> &'static str {
        "LaunchAgent"
    }

    fn unit(&self, spec: &ServiceSpec) -> String {
        format!("ai.openclaw.{}", spec.profile.as_deref().unwrap_or("gateway"))
    }

    fn files(&self, spec: &ServiceSpec) -> Vec<(PathBuf, String)> {
        let words = std::iter::once(spec.program.display().to_string()).chain(spec.arguments());
        let arguments: Vec<String> = words.map(|word| format!("        <string>{}</string>", xml(&word))).collect();
        let environment = spec.environment();
        let entry =
            |name: &str, value: &str| format!("        <key>{name}</key>\n        <string>{}</string>", xml(value));
        let environment: Vec<String> = environment.iter().map(|(name, value)| entry(name, value)).collect();
        let values = [
            ("LABEL", xml(&self.unit(spec))),
            ("ARGUMENTS", arguments.join("\n")),
            ("ENVIRONMENT", environment.join("\n")),
            ("STATE_DIR", xml(&spec.state_dir.display().to_string())),
        ];
        vec![(self.plist(spec).into(), fill(PLIST, &values))]
    }

    fn install(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        write(self, spec, Mode::Text)?;
        self.unload(spec, run)?;
        self.load(spec, run)
    }

    fn start(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        match self.is_loaded(spec, run)? {
            // Does nothing to a process that runs.
            true => must(run, &["launchctl", "kickstart", &self.target(spec)]).map(drop),
            false => self.load(spec, run),
        }
    }

    fn stop(&self, spec: &ServiceSpec, stop: Stop, run: &dyn Runner) -> Result<(), ServiceError> {
        if stop == Stop::Disable {
            must(run, &["launchctl", "disable", &self.target(spec)])?;
        }
        self.unload(spec, run)
    }

    fn restart(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        match self.is_loaded(spec, run)? {
            true => must(run, &["launchctl", "kickstart", "-k", &self.target(spec)]).map(drop),
            false => self.load(spec, run),
        }
    }

    fn remove(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        self.unload(spec, run)?;
        erase(self, spec)
    }

    fn status(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<ServiceStatus, ServiceError> {
        let said = run.run(&["launchctl", "print", &self.target(spec)])?;
        if !said.ok() {
            let detail = Some("not loaded".to_owned());
            return Ok(ServiceStatus { runtime: Runtime::Stopped, detail, ..ServiceStatus::default() });
        }
        Ok(status(&said.text))
    }

    fn recorded(&self, text: &str) -> Recorded {
        let mut recorded = Recorded::default();
        let array = text.split_once("<array>").and_then(|(_, rest)| rest.split_once("</array>"));
        recorded.command(strings(array.map_or("", |(inside, _)| inside)).into_iter());
        for entry in text.split("<key>").skip(1) {
            let Some((name, rest)) = entry.split_once("</key>") else { continue };
            if let Some(value) =
                rest.trim_start().strip_prefix("<string>").and_then(|rest| rest.split_once("</string>"))
            {
                recorded.assignment(&format!("{}={}", from_xml(name), from_xml(value.0)));
            }
        }
        recorded
    }

    fn clean_up(&self, file: &Path) -> Option<String> {
        let label = file.file_name()?.to_str()?.strip_suffix(".plist")?;
        let path = file.display();
        Some(match file.components().any(|part| part.as_os_str() == "LaunchDaemons") {
            true => format!("sudo launchctl bootout system/{label}; sudo rm {path}"),
            false => format!("launchctl bootout gui/$UID/{label}; rm {path}"),
        })
    }
}

fn strings(text: &str) -> Vec<String> {
    text.split("<string>").skip(1).filter_map(|rest| Some(from_xml(rest.split_once("</string>")?.0))).collect()
}

/// `launchctl print` is for people; these three lines have been the same in every release that has it.
fn status(text: &str) -> ServiceStatus {
    let of = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)?.trim().strip_prefix("= "));
    let state = of("state");
    ServiceStatus {
        runtime: match state {
            Some("running") => Runtime::Running,
            Some(_) => Runtime::Stopped,
            None => Runtime::Unknown,
        },
        pid: of("pid").and_then(|pid| pid.parse().ok()),
        enabled: Some(true),
        last_exit: of("last exit code").and_then(|code| code.split(':').next()?.parse().ok()),
        detail: state.map(str::to_owned),
        stale: false,
    }
}

const PLIST: &str = include_str!("../../packaging/launchd/ai.openclaw.gateway.plist");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_launchctl_print_is_understood() {
        let text = "gui/501/ai.openclaw.gateway = {\n\tactive count = 1\n\tstate = running\n\tpid = 512\n\
            \tlast exit code = 78: EX_CONFIG\n}\n";
        let read = status(text);
        assert_eq!((read.runtime, read.pid, read.last_exit), (Runtime::Running, Some(512), Some(78)));
        assert_eq!(status("\tstate = not running\n\tlast exit code = (never exited)\n").runtime, Runtime::Stopped);
    }
}
