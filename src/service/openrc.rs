//! OpenRC: an init script under `supervise-daemon`, as on Alpine and Gentoo.

use std::path::{Path, PathBuf};

use super::drift::{Recorded, words};
use super::fill::{fill, shell_word};
use super::runner::must;
use super::{Manager, Mode, Runner, Runtime, ServiceError, ServiceSpec, ServiceStatus, Stop, erase, write};

pub struct OpenRc;

impl Manager for OpenRc {
    fn name(&self) -> &'static str {
        "OpenRC"
    }

    fn unit(&self, spec: &ServiceSpec) -> String {
        spec.named("openclaw-gateway")
    }

    fn files(&self, spec: &ServiceSpec) -> Vec<(PathBuf, String)> {
        let word = |path: &Path| shell_word(&path.display().to_string());
        let mut environment = vec!["export MALLOC_ARENA_MAX=2".to_owned()];
        environment.extend(spec.profile.as_ref().map(|name| format!("export OPENCLAW_PROFILE={name}")));
        let values = [
            ("UNIT", self.unit(spec)),
            ("DESCRIPTION", shell_word(&spec.description())),
            ("PROGRAM", word(&spec.program)),
            ("PORT", spec.port.to_string()),
            ("USER", spec.user.clone()),
            ("HOME", word(&spec.home)),
            ("CONFIG", word(&spec.config)),
            ("STATE_DIR", word(&spec.state_dir)),
            ("ENVIRONMENT", environment.join("\n")),
        ];
        vec![(spec.of_host(&format!("etc/init.d/{}", self.unit(spec))), fill(SCRIPT, &values))]
    }

    fn install(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        write(self, spec, Mode::Program)?;
        let unit = self.unit(spec);
        must(run, &["rc-update", "add", &unit, "default"])?;
        must(run, &["rc-service", &unit, "restart"]).map(drop)
    }

    fn start(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        let unit = self.unit(spec);
        must(run, &["rc-update", "add", &unit, "default"])?;
        must(run, &["rc-service", "--ifstopped", &unit, "start"]).map(drop)
    }

    fn stop(&self, spec: &ServiceSpec, stop: Stop, run: &dyn Runner) -> Result<(), ServiceError> {
        let unit = self.unit(spec);
        if stop == Stop::Disable {
            must(run, &["rc-update", "del", &unit, "default"])?;
        }
        must(run, &["rc-service", "--ifstarted", &unit, "stop"]).map(drop)
    }

    fn restart(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        must(run, &["rc-service", &self.unit(spec), "restart"]).map(drop)
    }

    fn remove(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        self.stop(spec, Stop::Disable, run)?;
        erase(self, spec)
    }

    fn status(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<ServiceStatus, ServiceError> {
        let unit = self.unit(spec);
        let said = run.run(&["rc-service", &unit, "status"])?;
        let runlevel = run.run(&["rc-update", "show", "default"])?;
        let listed = |line: &str| line.split('|').next().is_some_and(|name| name.trim() == unit);
        Ok(ServiceStatus {
            // What the scripts of OpenRC exit with.
            runtime: match said.code {
                Some(0) => Runtime::Running,
                Some(3 | 16) => Runtime::Stopped,
                Some(32) => Runtime::Failed,
                _ => Runtime::Unknown,
            },
            enabled: runlevel.ok().then(|| runlevel.text.lines().any(listed)),
            detail: said.text.lines().next().map(|line| line.trim_matches(['*', ' ']).to_owned()),
            ..ServiceStatus::default()
        })
    }

    fn recorded(&self, text: &str) -> Recorded {
        let mut recorded = Recorded::default();
        for line in text.lines().map(str::trim) {
            if let Some(program) = line.strip_prefix("command=") {
                recorded.program = words(program).into_iter().next();
            }
            if let Some(arguments) = line.strip_prefix("command_args=") {
                let port =
                    arguments.split_once("--port ").map(|(_, rest)| rest.trim_start_matches("${OPENCLAW_PORT:-"));
                let digits = port.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
                recorded.port = digits.and_then(|digits| digits.parse().ok());
            }
            if let Some(assignment) = line.strip_prefix("export ") {
                words(assignment).iter().for_each(|assignment| recorded.assignment(assignment));
            }
        }
        recorded
    }

    fn clean_up(&self, file: &Path) -> Option<String> {
        let unit = file.file_name()?.to_str()?;
        Some(format!("rc-service {unit} stop; rc-update del {unit} default; rm {}", file.display()))
    }
}

const SCRIPT: &str = include_str!("../../packaging/openrc/openclaw-gateway");
