//! `openclaw status`: the gateway, its agents, sessions and channels at a glance.
//!
//! A report, not a check: it ends with success when the gateway is down and says so.

use std::time::Duration;

use serde_json::Value;

use super::args::Status;
use super::calls::Calls;
use super::failure::Failure;
use super::gateway_service_report::ServiceReport;
use super::health::channel_lines;
use super::output::{Shell, age, clean, list_at, number_at, shorten, size, text_at};
use super::probe::{self, Seen};
use super::settings::Settings;
use crate::client::{ClientError, Identity};
use crate::wire::tree::json;

/// Prints the report.
pub fn run(shell: &mut Shell, args: &Status) -> Result<(), Failure> {
    let settings = Settings::load(shell)?;
    let deep = args.deep || args.all;
    let calls = Calls::new(&settings, args.wanted(), args.timeout, if deep { PROBING } else { USUAL })?;
    let service = deep.then(|| ServiceReport::look(&settings, shell, true));
    let report = Report::collect(settings, calls, service, args.all);
    if args.json {
        return shell.json(&report.json());
    }
    if args.verbose || args.all {
        shell.line(report.calls.target.lines())?;
        shell.line("")?;
    }
    report.print(shell)
}

struct Report {
    settings: Settings,
    calls: Calls,
    seen: Result<Seen, ClientError>,
    /// `Null` where the gateway did not say.
    status: Value,
    health: Value,
    /// The end of the log, with `--all`.
    log: Value,
    /// With `--deep` and `--all`.
    service: Option<ServiceReport>,
    /// Failures of single questions on a connection that worked.
    refusals: Vec<String>,
}

impl Report {
    fn collect(settings: Settings, calls: Calls, service: Option<ServiceReport>, all: bool) -> Report {
        let looked = probe::look(&calls, Identity::backend("status", &["operator.read"]));
        let (mut status, mut health, mut log, mut refusals) = (Value::Null, Value::Null, Value::Null, Vec::new());
        let how = if service.is_some() { json!({"probe": true}) } else { json!({}) };
        let seen = looked.map(|(seen, mut client)| {
            let mut questions = vec![("status", json!({}), &mut status), ("health", how, &mut health)];
            if all {
                questions.push(("logs.tail", json!({"limit": LOG_LINES}), &mut log));
            }
            for (method, params, answer) in questions {
                match client.request_within(method, params, calls.left()) {
                    Ok(payload) => *answer = payload,
                    Err(failed) => refusals.push(super::calls::story(&failed, method)),
                }
            }
            client.close();
            seen
        });
        Report { settings, calls, seen, status, health, log, service, refusals }
    }

    fn print(&self, shell: &mut Shell) -> Result<(), Failure> {
        let target = &self.calls.target;
        match &self.seen {
            Ok(seen) => {
                let version = seen.version.as_deref().map(|version| format!(", version {}", clean(version)));
                let word = shell.mark(true, "reachable");
                let took = seen.latency.as_millis();
                let url = &target.address.url;
                shell.fact("Gateway", format!("{word} at {url} ({took} ms{})", version.unwrap_or_default()))?;
            }
            Err(failed) => {
                let word = shell.mark(false, "unreachable");
                shell.fact("Gateway", format!("{word} at {}", target.address.url))?;
                for line in super::calls::story(failed, "connect").lines() {
                    shell.line(format!("  {line}"))?;
                }
            }
        }
        self.print_process(shell)?;
        shell.fact("Mode", format!("{} (bind {})", self.settings.mode(), self.settings.bind()))?;
        let missing = if self.settings.config.exists { "" } else { " (missing)" };
        shell.fact("Config", format!("{}{missing}", self.settings.path()))?;
        for problem in &self.settings.problems {
            shell.fact("Config issue", clean(problem))?;
        }
        if let Some(service) = &self.service {
            service.print(shell)?;
        }
        if self.settings.config.gateway.control_ui.enabled {
            shell.fact("Dashboard", self.settings.dashboard(self.settings.port))?;
        }
        self.print_work(shell)?;
        for line in channel_lines(&self.health) {
            shell.line(format!("Channel {line}"))?;
        }
        for warning in list_at(&self.status, "/configWarnings").iter().filter_map(|text| text_at(text, "")) {
            shell.fact("Warning", warning)?;
        }
        for line in list_at(&self.log, "/lines").iter().filter_map(Value::as_str) {
            shell.line(format!("Log {}", clean(line)))?;
        }
        for refusal in &self.refusals {
            shell.note(refusal)?;
        }
        if self.seen.is_err() {
            shell.line("")?;
            shell.line("Look closer with: openclaw gateway status")?;
        }
        Ok(())
    }

    fn print_process(&self, shell: &mut Shell) -> Result<(), Failure> {
        let Some(pid) = number_at(&self.status, "/pid") else { return Ok(()) };
        let up = number_at(&self.status, "/uptimeMs").map(|ms| format!(", up {}", age(ms))).unwrap_or_default();
        let memory = number_at(&self.status, "/processMemory/rssBytes").map(|bytes| format!(", {}", size(bytes)));
        let clients = number_at(&self.status, "/connections").map(|count| format!(", {count} connections"));
        let (memory, clients) = (memory.unwrap_or_default(), clients.unwrap_or_default());
        shell.fact("Process", format!("pid {pid}{up}{memory}{clients}"))
    }

    fn print_work(&self, shell: &mut Shell) -> Result<(), Failure> {
        if self.status.is_null() {
            return Ok(());
        }
        if let Some(model) = text_at(&self.status, "/sessions/defaults/model") {
            shell.fact("Model", model)?;
        }
        let agents: Vec<String> = list_at(&self.status, "/heartbeat/agents")
            .iter()
            .filter_map(|agent| {
                let beat = match agent.get("enabled").and_then(Value::as_bool) {
                    Some(true) => format!(" (heartbeat every {})", text_at(agent, "/every").unwrap_or_default()),
                    _ => String::new(),
                };
                Some(format!("{}{beat}", text_at(agent, "/agentId")?))
            })
            .collect();
        if !agents.is_empty() {
            shell.fact("Agents", agents.join(", "))?;
        }
        if let Some(active) = number_at(&self.status, "/tasks/active") {
            let failures = number_at(&self.status, "/tasks/failures").unwrap_or_default();
            shell.fact("Runs", format!("{active} active, {failures} failed"))?;
        }
        let count = number_at(&self.status, "/sessions/count").unwrap_or_default();
        shell.fact("Sessions", count.to_string())?;
        let now = number_at(&self.health, "/ts").unwrap_or_default();
        for recent in list_at(&self.status, "/sessions/recent").iter().take(RECENT) {
            let key = shorten(&text_at(recent, "/key").unwrap_or_default(), 60);
            let since = number_at(recent, "/updatedAt").filter(|_| now > 0).map(|then| age(now.saturating_sub(then)));
            shell.line(format!("  {key}{}", since.map(|age| format!(" ({age} ago)")).unwrap_or_default()))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let mut report = if self.status.is_object() { self.status.clone() } else { json!({}) };
        let seen = self.seen.as_ref().ok();
        report["gateway"] = json!({
            "mode": self.settings.mode(),
            "url": self.calls.target.address.url,
            "urlSource": self.calls.target.source.to_string(),
            "reachable": seen.is_some(),
            "connectLatencyMs": seen.map(|seen| seen.latency.as_millis() as u64),
            "version": seen.and_then(|seen| seen.version.clone()),
            "error": self.seen.as_ref().err().map(probe::one_line),
            "refusals": self.refusals,
        });
        report["config"] = json!({
            "path": self.settings.path(), "exists": self.settings.config.exists,
            "valid": self.settings.problems.is_empty(), "issues": self.settings.problems,
        });
        report["health"] = self.health.clone();
        if let Some(service) = &self.service {
            report["service"] = service.json(json!({"pid": service.pid()}));
        }
        if !self.log.is_null() {
            report["log"] = self.log.clone();
        }
        report
    }
}

const USUAL: Duration = Duration::from_secs(10);

/// With live probes of messengers, each of which may take its time.
const PROBING: Duration = Duration::from_secs(60);

/// Lines of the log worth pasting into a report.
const LOG_LINES: u32 = 20;

/// Sessions worth a line at a glance.
const RECENT: usize = 5;
