//! procd: an init script of OpenWrt, with its settings in UCI.

use std::path::{Path, PathBuf};

use super::drift::{Recorded, words};
use super::fill::{fill, shell_word};
use super::runner::must;
use super::{Manager, Mode, Runner, Runtime, ServiceError, ServiceSpec, ServiceStatus, Stop, erase, write};
use crate::wire::misfit;

pub struct Procd;

impl Procd {
    fn script(&self, spec: &ServiceSpec) -> String {
        spec.of_host(&format!("etc/init.d/{}", self.unit(spec))).display().to_string()
    }

    fn tell(&self, spec: &ServiceSpec, run: &dyn Runner, word: &str) -> Result<(), ServiceError> {
        must(run, &[&self.script(spec), word]).map(drop)
    }
}

impl Manager for Procd {
    fn name(&self) -> &'static str {
        "procd"
    }

    fn unit(&self, spec: &ServiceSpec) -> String {
        spec.named("openclaw")
    }

    fn files(&self, spec: &ServiceSpec) -> Vec<(PathBuf, String)> {
        let word = |path: &Path| shell_word(&path.display().to_string());
        // UCI names have no signs.
        let section = spec.profile.as_deref().unwrap_or("main").replace('-', "_");
        let profile = spec.profile.as_ref().map(|name| format!("OPENCLAW_PROFILE={name} "));
        let values = [
            ("SECTION", section),
            ("PORT", spec.port.to_string()),
            ("PROGRAM", word(&spec.program)),
            ("CONFIG", word(&spec.config)),
            ("STATE_DIR", word(&spec.state_dir)),
            ("HOME", word(&spec.home)),
            ("USER", shell_word(&spec.user)),
            ("ENVIRONMENT", format!("{}MALLOC_ARENA_MAX=2", profile.unwrap_or_default())),
        ];
        vec![(self.script(spec).into(), fill(SCRIPT, &values))]
    }

    fn install(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        write(self, spec, Mode::Program)?;
        self.tell(spec, run, "enable")?;
        self.tell(spec, run, "restart")
    }

    fn start(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        self.tell(spec, run, "enable")?;
        self.tell(spec, run, "start")
    }

    fn stop(&self, spec: &ServiceSpec, stop: Stop, run: &dyn Runner) -> Result<(), ServiceError> {
        if stop == Stop::Disable {
            self.tell(spec, run, "disable")?;
        }
        self.tell(spec, run, "stop")
    }

    fn restart(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        self.tell(spec, run, "restart")
    }

    fn remove(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError> {
        self.tell(spec, run, "stop")?;
        self.tell(spec, run, "disable")?;
        erase(self, spec)
    }

    fn status(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<ServiceStatus, ServiceError> {
        let unit = self.unit(spec);
        let text = must(run, &["ubus", "call", "service", "list", &format!("{{\"name\":\"{unit}\"}}")])?;
        let enabled = run.run(&[&self.script(spec), "enabled"])?.ok();
        Ok(ServiceStatus { enabled: Some(enabled), ..status(&text, &unit) })
    }

    fn recorded(&self, text: &str) -> Recorded {
        let mut recorded = Recorded::default();
        for line in text.lines() {
            let line = words(line.trim());
            let line: Vec<&str> = line.iter().map(String::as_str).collect();
            match line.as_slice() {
                ["config_get", "port", _, _, port] => recorded.port = port.parse().ok(),
                ["config_get", "config", _, _, path] => recorded.config = Some((*path).to_owned()),
                ["config_get", "state_dir", _, _, path] => recorded.state_dir = Some((*path).to_owned()),
                ["procd_set_param", "command", program, ..] => recorded.program = Some((*program).to_owned()),
                ["procd_set_param", "env", rest @ ..] => {
                    rest.iter().filter(|word| !word.contains('$')).for_each(|word| recorded.assignment(word));
                }
                _ => {}
            }
        }
        recorded
    }

    fn clean_up(&self, file: &Path) -> Option<String> {
        let path = file.display();
        Some(format!("{path} stop; {path} disable; rm {path}"))
    }
}

/// The answer of `ubus call service list`.
fn status(text: &str, unit: &str) -> ServiceStatus {
    let all: serde_json::Value = misfit::read(text).unwrap_or_default();
    let instance = all.get(unit).and_then(|service| service.get("instances")?.as_object()?.values().next());
    let Some(instance) = instance else {
        return ServiceStatus { runtime: Runtime::Stopped, ..ServiceStatus::default() };
    };
    let running = instance.get("running").and_then(serde_json::Value::as_bool) == Some(true);
    ServiceStatus {
        runtime: if running { Runtime::Running } else { Runtime::Stopped },
        pid: instance.get("pid").and_then(|pid| pid.as_u64()?.try_into().ok()),
        last_exit: instance.get("exit_code").and_then(|code| code.as_i64()?.try_into().ok()).filter(|_| !running),
        ..ServiceStatus::default()
    }
}

const SCRIPT: &str = include_str!("../../packaging/openwrt/openclaw.init");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_ubus_is_understood() {
        let text = r#"{"openclaw":{"instances":{"instance1":{"running":true,"pid":2112,"command":["x"]}}}}"#;
        let read = status(text, "openclaw");
        assert_eq!((read.runtime, read.pid), (Runtime::Running, Some(2112)));
        let ended = r#"{"openclaw":{"instances":{"instance1":{"running":false,"exit_code":78}}}}"#;
        assert_eq!(status(ended, "openclaw").last_exit, Some(78));
        assert_eq!(status("{}", "openclaw").runtime, Runtime::Stopped);
        assert_eq!(status("not json", "openclaw").runtime, Runtime::Stopped);
    }
}
