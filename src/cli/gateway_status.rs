//! `openclaw gateway status`: where this host's gateway should be, whether it is there, and whether it answers.
//!
//! Usable while everything else is broken: a wrong configuration is reported, not fatal. It is a report, so it ends
//! with success when the gateway is down; `--require-rpc` is for scripts.

use std::time::Duration;

use serde_json::Value;

use super::args::GatewayStatus;
use super::calls::{Calls, story};
use super::failure::Failure;
use super::gateway_service_report::ServiceReport;
use super::output::{Shell, clean, number_at};
use super::probe::{self, Seen};
use super::settings::Settings;
use super::target::Source;
use crate::client::{ClientError, Identity};
use crate::wire::tree::json;

/// Prints the report.
pub fn run(shell: &mut Shell, args: &GatewayStatus) -> Result<(), Failure> {
    if args.no_probe && args.require_rpc {
        return Err(Failure::usage("--require-rpc cannot be combined with --no-probe"));
    }
    let settings = Settings::load(shell)?;
    let calls = Calls::new(&settings, args.wanted(), args.timeout, USUAL)?;
    let probed = (!args.no_probe).then(|| connect(&calls));
    let read = args.require_rpc.then(|| read_status(&calls));
    let service = ServiceReport::look(&settings, shell, args.deep);
    let report = Report { settings, calls, probed, read, service };
    if args.json {
        shell.json(&report.json())?;
    } else {
        report.print(shell)?;
    }
    match report.read {
        Some(Err(_)) => Err(Failure::told()),
        _ => Ok(()),
    }
}

struct Report {
    settings: Settings,
    calls: Calls,
    probed: Option<Result<Seen, ClientError>>,
    /// `status` as the gateway answered it, with `--require-rpc`.
    read: Option<Result<(Value, &'static str), ClientError>>,
    service: ServiceReport,
}

/// Only the handshake.
fn connect(calls: &Calls) -> Result<Seen, ClientError> {
    let (seen, client) = probe::look(calls, Identity::probe())?;
    client.close();
    Ok(seen)
}

fn read_status(calls: &Calls) -> Result<(Value, &'static str), ClientError> {
    let (seen, mut client) = probe::look(calls, Identity::backend("status", &["operator.read"]))?;
    let status = client.request_within("status", json!({"includeChannelSummary": false}), calls.left())?;
    client.close();
    Ok((status, seen.capability()))
}

impl Report {
    /// `running`, `stopped` or `unknown`, told from what the port said.
    fn runtime(&self) -> &'static str {
        match (&self.probed, &self.read) {
            (_, Some(Ok(_))) | (Some(Ok(_)), _) => "running",
            (Some(Err(ClientError::Refused { .. })), _) => "running",
            // The process may be there and not listen yet.
            _ if self.here() && self.service.is_running() => "running",
            (Some(Err(failed)), _) if !probe::somebody_is_there(failed) => "stopped",
            _ => "unknown",
        }
    }

    fn capability(&self) -> Option<&'static str> {
        match (&self.read, &self.probed) {
            (Some(Ok((_, capability))), _) => Some(capability),
            (_, Some(Ok(seen))) => Some(seen.capability()),
            (_, Some(Err(failed))) => Some(probe::lost_capability(failed)).filter(|word| *word != "unknown"),
            _ => None,
        }
    }

    fn pid(&self) -> Option<u64> {
        let told = self.read.as_ref().and_then(|read| number_at(&read.as_ref().ok()?.0, "/pid"));
        told.or_else(|| self.service.pid().filter(|_| self.here()))
    }

    fn version(&self) -> Option<String> {
        let seen = self.probed.as_ref().and_then(|probed| probed.as_ref().ok());
        let told = seen.and_then(|seen| seen.version.clone());
        told.or_else(|| self.read.as_ref()?.as_ref().ok()?.0.get("runtimeVersion")?.as_str().map(str::to_owned))
    }

    /// Whether the address is this host's own.
    fn here(&self) -> bool {
        matches!(self.calls.target.source, Source::Local | Source::Port | Source::RemoteMissing)
    }

    fn probed_port(&self) -> u16 {
        let url = &self.calls.target.address.url;
        let port = url.rsplit_once(':').and_then(|(_, tail)| tail.split('/').next()?.parse().ok());
        port.filter(|_| self.calls.target.source == Source::Port).unwrap_or(self.settings.port)
    }

    fn port_source(&self) -> &'static str {
        if self.calls.target.source == Source::Port { "--port" } else { self.settings.port_source }
    }

    fn print(&self, shell: &mut Shell) -> Result<(), Failure> {
        self.service.print(shell)?;
        let config = &self.settings.config;
        let state = if !self.settings.problems.is_empty() {
            " (invalid)"
        } else if !config.exists {
            " (missing)"
        } else {
            ""
        };
        shell.fact("Config (cli)", format!("{}{state}", self.settings.path()))?;
        for problem in &self.settings.problems {
            shell.note(format!("Config issue: {}", clean(problem)))?;
        }
        let (port, source) = (self.probed_port(), self.port_source());
        shell.fact("Gateway", format!("bind={} (127.0.0.1), port={port} ({source})", self.settings.bind()))?;
        shell.fact("Probe target", &self.calls.target.address.url)?;
        if !self.here() {
            shell.fact("Probe source", self.calls.target.source.to_string())?;
        }
        match config.gateway.control_ui.enabled {
            true => shell.fact("Dashboard", self.settings.dashboard(port))?,
            false => shell.fact("Dashboard", "disabled")?,
        }
        shell.line("")?;
        let pid = self.pid().map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        let runtime = shell.mark(self.runtime() == "running", self.runtime());
        shell.fact("Runtime", format!("{runtime}{pid}"))?;
        if let Some(version) = self.version() {
            shell.fact("Version", clean(&version))?;
        }
        if let Some(probed) = &self.probed {
            verdict(shell, "Connectivity probe", probed.as_ref().err())?;
        }
        if let Some(read) = &self.read {
            verdict(shell, "RPC probe", read.as_ref().err())?;
        }
        if let Some(capability) = self.capability() {
            shell.fact("Capability", probe::spoken(capability))?;
        }
        if self.runtime() == "stopped" && self.here() {
            shell.line("")?;
            shell.line("Start it with: openclaw gateway")?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let gateway = &self.settings.config.gateway;
        let runtime = match self.pid() {
            Some(pid) => json!({"status": self.runtime(), "pid": pid}),
            None => json!({"status": self.runtime()}),
        };
        let mut report = json!({
            "cli": {"version": env!("CARGO_PKG_VERSION")},
            "service": self.service.json(runtime),
            "config": {
                "cli": {
                    "path": self.settings.path(), "exists": self.settings.config.exists,
                    "valid": self.settings.problems.is_empty(), "issues": self.settings.problems,
                },
            },
            "gateway": {
                "mode": self.settings.mode(), "bindMode": self.settings.bind(), "bindHost": "127.0.0.1",
                "customBindHost": gateway.custom_bind_host, "port": self.probed_port(),
                "portSource": self.port_source(), "probeUrl": self.calls.target.address.url,
                "probeSource": self.calls.target.source.to_string(), "version": self.version(),
                "dashboardUrl": gateway.control_ui.enabled.then(|| self.settings.dashboard(self.probed_port())),
            },
        });
        if let Some(probed) = &self.probed {
            let failed = probed.as_ref().err().or(self.read.as_ref().and_then(|read| read.as_ref().err()));
            report["rpc"] = json!({
                "ok": failed.is_none(),
                "kind": if self.read.is_some() { "read" } else { "connect" },
                "url": self.calls.target.address.url,
                "capability": self.capability().unwrap_or("unknown"),
                "error": failed.map(probe::one_line),
                "server": probed.as_ref().ok().map(Seen::server),
                "latencyMs": probed.as_ref().ok().map(|seen| seen.latency.as_millis() as u64),
            });
        }
        report
    }
}

fn verdict(shell: &mut Shell, label: &str, failed: Option<&ClientError>) -> Result<(), Failure> {
    let word = shell.mark(failed.is_none(), if failed.is_none() { "ok" } else { "failed" });
    shell.fact(label, word)?;
    let Some(failed) = failed else { return Ok(()) };
    let method = if matches!(failed, ClientError::Rpc(_)) { "status" } else { "connect" };
    for line in story(failed, method).lines() {
        shell.line(format!("  {line}"))?;
    }
    Ok(())
}

/// A gateway on this host answers within milliseconds; one behind a tunnel may need a moment.
const USUAL: Duration = Duration::from_secs(10);
