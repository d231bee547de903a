//! systemd: a unit of the user's own manager, or of the host's.

use std::path::{Path, PathBuf};

use super::drift::{Recorded, words};
use super::fill::{fill, systemd_assignment, systemd_path, systemd_word};
use super::runner::must;
use super::{Manager, Mode, Runner, Runtime, Scope, ServiceError, ServiceSpec, ServiceStatus, Stop, erase, write};

/// The manager for units of either scope; the spec says which.
pub struct Systemd(pub Scope);

impl Systemd {
    fn systemctl<'a>(&self, words: &[&'a str]) -> Vec<&'a str> {
        let mut argv = vec!["systemctl"];
        if self.0 == Scope::User {
            argv.push("--user");
        }
        argv.extend(words);
        argv
    }

    fn tell(&self, run: &dyn Runner, words: &[&str]) -> Result<String, ServiceError> {
        must(run, &self.systemctl(words))
    }
}

impl Manager for Systemd {
    fn name(&self) -> &'static str {
        match self.0 {
            Scope::User => "systemd user",
            Scope::System => "systemd system",
        }
    }

    fn unit(&self, spec: &ServiceSpec) -> String {
        format!("{}.service", spec.named("openclaw-gateway"))
    }

    fn files(&self, spec: &ServiceSpec) -> Vec<(PathBuf, String)> {
        let unit = self.unit(spec);
        let (path, template) = match self.0 {
            Scope::User => (PathBuf::from(format!("{}/systemd/user/{unit}", spec.config_home.display())), OF_USER),
            Scope::System => (spec.of_host(&format!("etc/systemd/system/{unit}")), OF_SYSTEM),
        };
        let command = std::iter::once(spec.program.display().to_string()).chain(spec.arguments());
        let command: Vec<String> = command.map(|word| systemd_word(&word)).collect();
        let environment = spec.environment();
        let environment = environment.iter().map(|(name, value)| systemd_assignment(name, value));
        let values = [
            ("UNIT", unit),
            ("DESCRIPTION", spec.description().replace('%', "%%")),
            ("USER", spec.user.clone()),
            ("COMMAND", command.join(" ")),
            ("ENVIRONMENT", environment.collect::<Vec<_>>().join("\n")),
            ("STATE_DIR", spec.state_dir.display().to_string().replace('\\', "\\\\").replace('%', "%%")),
            ("WRITABLE", writable(spec)),
        ];
        vec![(path, fill(template, &values))]
    }

    fn install(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        write(self, spec, Mode::Text)?;
        let unit = self.unit(spec);
        self.tell(run, &["daemon-reload"])?;
        self.tell(run, &["enable", &unit])?;
        // A unit that never failed cannot be reset; that is fine.
        let _ = self.tell(run, &["reset-failed", &unit]);
        self.tell(run, &["restart", &unit]).map(drop)
    }

    fn start(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        self.tell(run, &["enable", "--now", &self.unit(spec)]).map(drop)
    }

    fn stop(&self, spec: &ServiceSpec, stop: Stop, run: &dyn Runner) -> Result<(), ServiceError> {
        let unit = self.unit(spec);
        let words: &[&str] = match stop {
            Stop::Now => &["stop", &unit],
            Stop::Disable => &["disable", "--now", &unit],
        };
        self.tell(run, words).map(drop)
    }

    fn restart(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        // The file may have been edited; restarting the old text would surprise.
        self.tell(run, &["daemon-reload"])?;
        self.tell(run, &["restart", &self.unit(spec)]).map(drop)
    }

    fn remove(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        self.tell(run, &["disable", "--now", &self.unit(spec)])?;
        erase(self, spec)?;
        self.tell(run, &["daemon-reload"]).map(drop)
    }

    fn status(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<ServiceStatus, ServiceError> {
        let asked = format!("--property={PROPERTIES}");
        let text = self.tell(run, &["show", &self.unit(spec), &asked])?;
        Ok(status(&text))
    }

    fn recorded(&self, text: &str) -> Recorded {
        let mut recorded = Recorded::default();
        for line in text.lines().map(str::trim) {
            if let Some(command) = line.strip_prefix("ExecStart=") {
                let plain = command.trim_start_matches(['-', '@', ':', '+', '!']);
                recorded.command(words(plain).into_iter().map(|word| word.replace("$$", "$").replace("%%", "%")));
            }
            if let Some(assignments) = line.strip_prefix("Environment=") {
                for assignment in words(assignments) {
                    recorded.assignment(&assignment.replace("%%", "%"));
                }
            }
        }
        recorded
    }

    fn advice(&self, spec: &ServiceSpec, run: &dyn Runner) -> Option<String> {
        if self.0 == Scope::System {
            return None;
        }
        let said = run.run(&["loginctl", "show-user", &spec.user, "--property=Linger", "--value"]).ok()?;
        (said.text.trim() == "no")
            .then(|| format!("It ends when you log out. To keep it running: sudo loginctl enable-linger {}", spec.user))
    }

    fn clean_up(&self, file: &Path) -> Option<String> {
        let unit = file.file_name()?.to_str().filter(|name| name.ends_with(".service"))?;
        let path = file.display();
        Some(match file.components().any(|part| part.as_os_str() == "user") {
            true => format!("systemctl --user disable --now {unit} && rm {path}"),
            false => format!("sudo systemctl disable --now {unit} && sudo rm {path}"),
        })
    }
}

/// Directories a hardened unit may write to. A missing one must not keep the unit from starting.
fn writable(spec: &ServiceSpec) -> String {
    let mut dirs = vec![spec.state_dir.as_path()];
    for dir in [spec.config.parent().unwrap_or(Path::new("/")), &spec.workspace] {
        if dir != Path::new("/") && !dirs.iter().any(|known| dir.starts_with(known)) {
            dirs.push(dir);
        }
    }
    let dirs: Vec<String> = dirs.iter().map(|dir| systemd_path(&format!("-{}", dir.display()))).collect();
    dirs.join(" ")
}

fn status(text: &str) -> ServiceStatus {
    let of = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or("");
    let (active, sub) = (of("ActiveState"), of("SubState"));
    ServiceStatus {
        runtime: match active {
            "active" | "reloading" | "activating" | "deactivating" if of("MainPID") != "0" => Runtime::Running,
            "failed" => Runtime::Failed,
            "" => Runtime::Unknown,
            _ => Runtime::Stopped,
        },
        pid: of("MainPID").parse().ok().filter(|pid| *pid > 0),
        enabled: match of("UnitFileState") {
            "" => None,
            state => Some(state.starts_with("enabled") || state == "static" || state == "generated"),
        },
        last_exit: of("ExecMainStatus").parse().ok().filter(|_| of("ExecMainCode") == "1"),
        detail: (!active.is_empty()).then(|| format!("{active}/{sub}, {} restarts", of("NRestarts"))),
        stale: of("NeedDaemonReload") == "yes",
    }
}

const PROPERTIES: &str =
    "LoadState,ActiveState,SubState,MainPID,UnitFileState,ExecMainCode,ExecMainStatus,NRestarts,NeedDaemonReload";

const OF_USER: &str = include_str!("../../packaging/systemd/openclaw-gateway.service");
const OF_SYSTEM: &str = include_str!("../../packaging/systemd/openclaw-gateway.system.service");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_systemctl_show_is_understood() {
        let running = "LoadState=loaded\nActiveState=active\nSubState=running\nMainPID=77\nUnitFileState=enabled\n\
            ExecMainCode=0\nExecMainStatus=0\nNRestarts=2\nNeedDaemonReload=yes\n";
        let expected = ServiceStatus {
            runtime: Runtime::Running,
            pid: Some(77),
            enabled: Some(true),
            last_exit: None,
            detail: Some("active/running, 2 restarts".to_owned()),
            stale: true,
        };
        assert_eq!(status(running), expected);
        let refused = status("ActiveState=failed\nSubState=failed\nMainPID=0\nExecMainCode=1\nExecMainStatus=78\n");
        assert_eq!((refused.runtime, refused.last_exit, refused.enabled), (Runtime::Failed, Some(78), None));
        assert_eq!(status("ActiveState=inactive\nMainPID=0\n").runtime, Runtime::Stopped);
        assert_eq!(status("ActiveState=activating\nSubState=auto-restart\nMainPID=0\n").runtime, Runtime::Stopped);
        assert_eq!(status("").runtime, Runtime::Unknown);
    }
}
