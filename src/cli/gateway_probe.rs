//! `openclaw gateway probe`: what can be reached, and what may be done there.
//!
//! Looks at every gateway that could be meant, at the same time: the one the other commands would talk to, the configured
//! remote one, and this host's. Two addresses of one gateway, a tunnel for example, are told apart from two gateways by
//! the identity the gateway itself reports.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::args::GatewayProbe;
use super::calls::{Calls, timeout};
use super::failure::Failure;
use super::output::{Shell, clean};
use super::probe::{self, Seen};
use super::settings::Settings;
use super::target::{Source, Target};
use crate::client::{ClientError, Identity};
use crate::config::Mode;
use crate::wire::tree::json;

/// Prints the findings; fails only when nothing can be reached.
pub fn run(shell: &mut Shell, args: &GatewayProbe) -> Result<(), Failure> {
    let settings = Settings::load(shell)?;
    let budget = timeout(args.timeout, USUAL)?;
    let (targets, left_out) = Target::all(&args.wanted(), &settings, &settings.vars)?;
    let probes = all_at_once(targets, budget);
    let report = Report { probes, left_out, remote: settings.config.gateway.mode == Some(Mode::Remote) };
    if args.json {
        shell.json(&report.json())?;
    } else {
        report.print(shell)?;
    }
    if report.reachable().next().is_some() { Ok(()) } else { Err(Failure::told()) }
}

type Asked = [(&'static str, Result<Value, ClientError>); METHODS.len()];
type Finding = Result<(Seen, Asked), ClientError>;

/// One address and what was found there.
struct Probe {
    target: Target,
    finding: Finding,
}

/// A slow address must not keep the others waiting.
fn all_at_once(targets: Vec<Target>, budget: Duration) -> Vec<Probe> {
    thread::scope(|scope| {
        let looking: Vec<_> = targets
            .into_iter()
            .map(|target| {
                let calls = Calls::to(target.clone(), budget);
                (target, scope.spawn(move || look(&calls)))
            })
            .collect();
        let ended = |(target, thread): (Target, thread::ScopedJoinHandle<Finding>)| {
            let finding = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Probe { target, finding }
        };
        looking.into_iter().map(ended).collect()
    })
}

fn look(calls: &Calls) -> Finding {
    let (seen, mut client) = probe::look(calls, Identity::probe())?;
    let asked = METHODS.map(|method| (method, client.request_within(method, json!({}), calls.left())));
    client.close();
    Ok((seen, asked))
}

impl Probe {
    /// A gateway that waits for somebody's approval is there.
    fn is_reachable(&self) -> bool {
        match &self.finding {
            Ok(_) => true,
            Err(failed) => probe::lost_capability(failed) == "pairing_pending",
        }
    }

    fn capability(&self) -> &'static str {
        match &self.finding {
            Ok((seen, _)) => seen.capability(),
            Err(failed) => probe::lost_capability(failed),
        }
    }

    fn read(&self) -> Option<Read> {
        self.finding.as_ref().ok().map(|(_, asked)| read_verdict(asked))
    }

    /// Who answered: the gateway's own entry among those present.
    fn identity(&self) -> Option<&str> {
        let (_, asked) = self.finding.as_ref().ok()?;
        let present = asked.iter().find(|(method, _)| *method == "system-presence")?.1.as_ref().ok()?;
        let own = present.as_array()?.iter().find(|entry| entry.get("mode").is_some_and(|mode| mode == "gateway"))?;
        own.get("instanceId")?.as_str()
    }

    fn id(&self) -> &'static str {
        match self.target.source {
            Source::Url => "explicit",
            Source::Environment => "environment",
            Source::Remote => "configRemote",
            Source::Local | Source::Port | Source::RemoteMissing => "localLoopback",
        }
    }
}

struct Report {
    probes: Vec<Probe>,
    /// Why some addresses were not tried.
    left_out: Vec<String>,
    /// `gateway.mode` is `remote`.
    remote: bool,
}

impl Report {
    fn reachable(&self) -> impl Iterator<Item = &Probe> {
        self.probes.iter().filter(|probe| probe.is_reachable())
    }

    /// The one the report is about: the first that answers, else the first.
    fn primary(&self) -> Option<&Probe> {
        self.reachable().next().or(self.probes.first())
    }

    /// More than one gateway, or addresses that cannot be shown to be one.
    fn several(&self) -> bool {
        let identities: Vec<Option<&str>> = self.reachable().map(Probe::identity).collect();
        let distinct: BTreeSet<&str> = identities.iter().copied().flatten().collect();
        identities.len() > 1 && (distinct.len() > 1 || identities.contains(&None))
    }

    fn warnings(&self) -> Vec<Value> {
        let mut warnings = Vec::new();
        if self.several() {
            let ids: Vec<&str> = self.reachable().map(Probe::id).collect();
            warnings.push(json!({"code": "multiple_gateways", "targetIds": ids, "message": SEVERAL}));
        }
        for probe in self.probes.iter().filter(|probe| matches!(probe.read(), Some(Read::Limited(_)))) {
            warnings.push(json!({
                "code": "probe_scope_limited", "targetIds": [probe.id()],
                "message": "the gateway answers, but grants this probe no operator.read",
            }));
        }
        let refused = self.left_out.iter().map(|why| json!({"code": "target_refused", "message": why}));
        warnings.extend(refused);
        warnings
    }

    fn label(&self, source: Source) -> &'static str {
        match source {
            Source::Url => "URL (explicit)",
            Source::Environment => "URL (environment)",
            Source::Remote if self.remote => "Remote (configured)",
            Source::Remote => "Remote (configured, inactive)",
            Source::Local | Source::Port | Source::RemoteMissing => "Local loopback",
        }
    }

    fn print(&self, shell: &mut Shell) -> Result<(), Failure> {
        let Some(primary) = self.primary() else { return Ok(()) };
        let reachable = primary.is_reachable();
        let yes = shell.mark(reachable, if reachable { "yes" } else { "no" });
        shell.fact("Reachable", yes)?;
        let capability = match &primary.finding {
            Ok((seen, _)) if seen.scopes.is_empty() => "connect-only".to_owned(),
            _ => probe::spoken(primary.capability()),
        };
        shell.fact("Capability", capability)?;
        if let Some(read) = primary.read() {
            let verdict = match read {
                Read::Complete => shell.mark(true, "ok"),
                Read::Limited(why) => format!("limited - {why}"),
                Read::Failed(why) => format!("{} - {why}", shell.mark(false, "failed")),
            };
            shell.fact("Read probe", verdict)?;
        }
        for probe in &self.probes {
            shell.line("")?;
            self.print_one(shell, probe)?;
        }
        if self.several() {
            shell.line("")?;
            shell.line(format!("Warning: {SEVERAL}"))?;
        }
        self.left_out.iter().try_for_each(|why| shell.note(format!("Not tried: {}", clean(why))))
    }

    fn print_one(&self, shell: &mut Shell, probe: &Probe) -> Result<(), Failure> {
        shell.line(format!("{}: {}", self.label(probe.target.source), probe.target.address.url))?;
        match &probe.finding {
            Ok((seen, asked)) => {
                let version = seen.version.as_deref().map(|version| format!(", version {}", clean(version)));
                let took = seen.latency.as_millis();
                shell.line(format!("  Connect: ok ({took} ms{})", version.unwrap_or_default()))?;
                for (method, result) in asked {
                    let word = match result {
                        Ok(_) => "ok".to_owned(),
                        Err(failed) => clean(&failed.to_string()),
                    };
                    shell.line(format!("  {method}: {word}"))?;
                }
                Ok(())
            }
            Err(failed) => shell.line(format!("  Connect: failed - {}", probe::one_line(failed))),
        }
    }

    fn json(&self) -> Value {
        let primary = self.primary();
        let degraded = self.reachable().any(|probe| !matches!(probe.read(), Some(Read::Complete)));
        let targets: Vec<Value> = self.probes.iter().map(|probe| self.target_json(probe)).collect();
        json!({
            "ok": self.reachable().next().is_some(), "degraded": degraded,
            "capability": primary.map_or("unknown", Probe::capability),
            "primaryTargetId": self.reachable().next().map(Probe::id), "warnings": self.warnings(),
            "targets": targets,
        })
    }

    fn target_json(&self, probe: &Probe) -> Value {
        let reachable = probe.is_reachable();
        let (connect, auth) = match &probe.finding {
            Ok((seen, asked)) => {
                let verdict = read_verdict(asked);
                let connect = json!({
                    "ok": true, "rpcOk": matches!(verdict, Read::Complete),
                    "scopeLimited": matches!(verdict, Read::Limited(_)),
                    "latencyMs": seen.latency.as_millis() as u64, "error": null,
                });
                (connect, json!({"role": seen.role, "scopes": seen.scopes, "capability": seen.capability()}))
            }
            Err(failed) => {
                let connect = json!({"ok": reachable, "rpcOk": false, "scopeLimited": false,
                    "latencyMs": null, "error": probe::one_line(failed)});
                (connect, json!({"role": null, "scopes": [], "capability": probe.capability()}))
            }
        };
        json!({
            "id": probe.id(), "url": probe.target.address.url, "source": probe.target.source.to_string(),
            "active": probe.target.source != Source::Remote || self.remote,
            "connect": connect, "auth": auth, "identity": probe.identity(),
            "server": probe.finding.as_ref().ok().map(|(seen, _)| seen.server()),
        })
    }
}

enum Read {
    Complete,
    /// The gateway answers, but not everything to everybody.
    Limited(String),
    Failed(String),
}

fn read_verdict(asked: &Asked) -> Read {
    let mut verdict = Read::Complete;
    for (_, result) in asked {
        match result {
            Ok(_) => {}
            Err(ClientError::Rpc(error)) if error.code == "FORBIDDEN" => {
                if matches!(verdict, Read::Complete) {
                    verdict = Read::Limited(clean(&error.message));
                }
            }
            Err(failed) => return Read::Failed(clean(&failed.to_string())),
        }
    }
    verdict
}

/// What a look at a gateway wants to know, all of it reading.
const METHODS: [&str; 3] = ["health", "status", "system-presence"];

const USUAL: Duration = Duration::from_secs(10);

/// The reference's words, which people search for.
const SEVERAL: &str = "multiple reachable gateways: multiple reachable gateway identities detected, or the targets cannot \
    be shown to be one gateway. Intended? Then keep ports, configuration, state and workspaces apart.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Address;

    fn probe(source: Source, identity: Option<&str>) -> Probe {
        let present = json!([{"mode": "cli"}, {"mode": "gateway", "instanceId": identity}]);
        let seen = Seen {
            latency: Duration::from_millis(3),
            version: None,
            connection: None,
            role: None,
            scopes: vec!["operator.read".into()],
        };
        let asked = [("health", Ok(json!({}))), ("status", Ok(json!({}))), ("system-presence", Ok(present))];
        let address = Address { url: format!("ws://{source:?}"), pin: None };
        let target = Target { address, source, token: None, password: None, config: String::new(), bind: "loopback" };
        Probe { target, finding: Ok((seen, asked)) }
    }

    fn codes(probes: Vec<Probe>) -> Vec<String> {
        let report = Report { probes, left_out: Vec::new(), remote: false };
        report.warnings().iter().filter_map(|warning| warning["code"].as_str().map(str::to_owned)).collect()
    }

    #[test]
    fn two_addresses_of_one_gateway_are_no_two_gateways() {
        let pair = |a, b| codes(vec![probe(Source::Remote, a), probe(Source::Local, b)]);
        assert!(pair(Some("x"), Some("x")).is_empty());
        assert_eq!(pair(Some("x"), Some("y")), ["multiple_gateways"]);
        assert_eq!(pair(Some("x"), None), ["multiple_gateways"]);
        assert!(codes(vec![probe(Source::Local, None)]).is_empty());
    }

    #[test]
    fn an_inactive_remote_gateway_is_labelled_so() {
        let report =
            Report { probes: vec![probe(Source::Remote, Some("x"))], left_out: vec!["no".into()], remote: false };
        assert_eq!(report.label(Source::Remote), "Remote (configured, inactive)");
        let json = report.json();
        assert_eq!(
            (&json["targets"][0]["active"], &json["warnings"][0]["code"]),
            (&json!(false), &json!("target_refused"))
        );
        assert_eq!(json["primaryTargetId"], "configRemote");
    }
}
