//! The service part of `openclaw gateway status`: what is installed, what the manager says, what differs, what else
//! there is.

use serde_json::Value;

use super::failure::Failure;
use super::gateway_service::differences;
use super::gateway_service_spec::Desk;
use super::output::{Shell, clean};
use super::settings::Settings;
use crate::service::drift::Difference;
use crate::service::scan::{self, Found};
use crate::service::{Host, Runtime, Scope, ServiceStatus};
use crate::wire::tree::json;

/// What is known about the service of this instance.
pub struct ServiceReport {
    desk: Option<Desk>,
    /// `None` when it is not installed or its manager does not answer.
    pub status: Option<ServiceStatus>,
    /// Why the manager did not answer.
    trouble: Option<String>,
    differences: Vec<Difference>,
    others: Vec<Found>,
}

impl ServiceReport {
    /// Looks. `deep` includes the services of the host.
    pub fn look(settings: &Settings, shell: &Shell, deep: bool) -> ServiceReport {
        let Ok(desk) = Desk::installed(settings, &shell.env) else {
            return ServiceReport { desk: None, status: None, trouble: None, differences: vec![], others: vec![] };
        };
        let file = desk.file();
        let asked = file.as_ref().map(|_| desk.manager.status(&desk.spec, &Host::new(&shell.env)));
        let (status, trouble) = match asked {
            Some(Ok(status)) => (Some(status), None),
            Some(Err(error)) => (None, Some(error.to_string())),
            None => (None, None),
        };
        let differences = file.as_ref().map(|file| differences(&desk, file)).unwrap_or_default();
        let mut others = scan::scan(&desk.spec, deep);
        others.retain(|found| Some(&found.path) != file.as_ref());
        ServiceReport { desk: Some(desk), status, trouble, differences, others }
    }

    pub fn pid(&self) -> Option<u64> {
        self.status.as_ref()?.pid.map(u64::from)
    }

    pub fn is_running(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.runtime == Runtime::Running)
    }

    fn installed(&self) -> Option<(&Desk, String)> {
        let desk = self.desk.as_ref()?;
        Some((desk, desk.file()?.display().to_string()))
    }

    /// The lines before the configuration.
    pub fn print(&self, shell: &mut Shell) -> Result<(), Failure> {
        let Some((desk, file)) = self.installed() else {
            shell.fact("Service", "not installed")?;
            return self.print_others(shell);
        };
        let state = match self.status.as_ref().and_then(|status| status.enabled) {
            Some(true) => " (enabled)",
            Some(false) => " (disabled)",
            None => "",
        };
        shell.fact("Service", format!("{}{state}", desk.manager.name()))?;
        shell.fact("Service file", file)?;
        if let Some(detail) = self.status.as_ref().and_then(|status| status.detail.as_deref()) {
            shell.fact("Service state", clean(detail))?;
        }
        if let Some(code) = self.status.as_ref().and_then(|status| status.last_exit) {
            let why = if code == 78 { " (the configuration forbids it; it is not started again)" } else { "" };
            shell.fact("Last exit", format!("{code}{why}"))?;
        }
        if let Some(trouble) = &self.trouble {
            shell.note(format!("Service manager: {}", clean(trouble)))?;
        }
        if self.status.as_ref().is_some_and(|status| status.stale) {
            let user = if desk.spec.scope == Scope::User { "systemctl --user" } else { "sudo systemctl" };
            shell.fact("Systemd reload", format!("pending ({user} daemon-reload)"))?;
        }
        for difference in &self.differences {
            shell.line(format!("Service config issue: {}", clean(&difference.text)))?;
        }
        if !self.differences.is_empty() {
            let flag = if desk.spec.scope == Scope::System { " --system" } else { "" };
            shell.line(format!("Recommendation: openclaw gateway install --force{flag}"))?;
        }
        self.print_others(shell)
    }

    fn print_others(&self, shell: &mut Shell) -> Result<(), Failure> {
        if self.others.is_empty() {
            return Ok(());
        }
        shell.line("Other gateway-like services detected (best effort):")?;
        for found in &self.others {
            let port = found.recorded.port.map(|port| format!(", port {port}")).unwrap_or_default();
            shell.line(format!("- {} ({}{port})", found.path.display(), scope(found.scope)))?;
        }
        for hint in self.others.iter().filter_map(|found| found.clean_up.as_deref()) {
            shell.line(format!("Cleanup hint: {hint}"))?;
        }
        shell.line(
            "One gateway per machine is usual; several need ports, configuration, state and workspace of their own.",
        )
    }

    /// The `service` member; `runtime` is what the whole report found out.
    pub fn json(&self, runtime: Value) -> Value {
        let installed = self.installed();
        let desk = self.desk.as_ref();
        let recorded = installed
            .as_ref()
            .and_then(|(desk, file)| Some(desk.manager.recorded(&crate::service::read(file.as_ref())?)));
        let recorded = recorded.unwrap_or_default();
        let status = self.status.clone().unwrap_or_default();
        let issues: Vec<Value> =
            self.differences.iter().map(|found| json!({"code": found.what, "message": found.text})).collect();
        let others: Vec<Value> = self
            .others
            .iter()
            .map(|found| {
                json!({"path": found.path.display().to_string(), "scope": scope(found.scope),
                    "port": found.recorded.port, "cleanup": found.clean_up})
            })
            .collect();
        json!({
            "label": desk.map(|desk| desk.manager.name()), "unit": desk.map(Desk::unit),
            "loaded": installed.is_some(), "enabled": status.enabled, "runtime": runtime,
            "files": installed.iter().map(|(_, file)| file).collect::<Vec<_>>(),
            "command": {"program": recorded.program, "port": recorded.port, "configPath": recorded.config,
                "stateDir": recorded.state_dir, "profile": recorded.profile},
            "detail": status.detail, "lastExitStatus": status.last_exit, "reloadPending": status.stale,
            "error": self.trouble, "configAudit": {"ok": issues.is_empty(), "issues": issues},
            "extraServices": others,
        })
    }
}

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::User => "user",
        Scope::System => "system",
    }
}
