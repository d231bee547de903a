//! `openclaw gateway probe`: what can be reached, and what may be done there.
//!
//! Looks at one gateway, the one the other commands would talk to.

use std::time::Duration;

use serde_json::{Value, json};

use super::args::GatewayProbe;
use super::calls::Calls;
use super::failure::Failure;
use super::output::{Shell, clean};
use super::probe::{self, Seen};
use super::settings::Settings;
use super::target::Source;
use crate::client::{ClientError, Identity};

/// Prints the findings; fails only when nothing can be reached.
pub fn run(shell: &mut Shell, args: &GatewayProbe) -> Result<(), Failure> {
    let settings = Settings::load(shell)?;
    let calls = Calls::new(&settings, args.wanted(), args.timeout, USUAL)?;
    let finding = match probe::look(&calls, Identity::probe()) {
        Ok((seen, mut client)) => {
            let asked = METHODS.map(|method| (method, client.request_within(method, json!({}), calls.left())));
            client.close();
            Ok((seen, asked))
        }
        Err(failed) => Err(failed),
    };
    let reachable = finding.is_ok() || finding.as_ref().is_err_and(is_pairing);
    if args.json {
        shell.json(&as_json(&calls, &finding, reachable))?;
    } else {
        print(shell, &calls, &finding, reachable)?;
    }
    if reachable { Ok(()) } else { Err(Failure::told()) }
}

type Asked = [(&'static str, Result<Value, ClientError>); METHODS.len()];
type Finding = Result<(Seen, Asked), ClientError>;

/// A gateway that waits for somebody's approval is there.
fn is_pairing(failed: &ClientError) -> bool {
    probe::lost_capability(failed) == "pairing_pending"
}

fn print(shell: &mut Shell, calls: &Calls, finding: &Finding, reachable: bool) -> Result<(), Failure> {
    let yes = shell.mark(reachable, if reachable { "yes" } else { "no" });
    shell.fact("Reachable", yes)?;
    let capability = match finding {
        Ok((seen, _)) if seen.scopes.is_empty() => "connect-only".to_owned(),
        Ok((seen, _)) => probe::spoken(seen.capability()),
        Err(failed) => probe::spoken(probe::lost_capability(failed)),
    };
    shell.fact("Capability", capability)?;
    if let Ok((_, asked)) = finding {
        let verdict = match read_verdict(asked) {
            Read::Complete => shell.mark(true, "ok"),
            Read::Limited(why) => format!("limited - {why}"),
            Read::Failed(why) => format!("{} - {why}", shell.mark(false, "failed")),
        };
        shell.fact("Read probe", verdict)?;
    }
    shell.line("")?;
    shell.line(format!("{}: {}", label(calls.target.source), calls.target.address.url))?;
    match finding {
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
        }
        Err(failed) => shell.line(format!("  Connect: failed - {}", probe::one_line(failed)))?,
    }
    Ok(())
}

fn as_json(calls: &Calls, finding: &Finding, reachable: bool) -> Value {
    let id = match calls.target.source {
        Source::Url => "explicit",
        Source::Environment => "environment",
        Source::Remote => "configRemote",
        Source::Local | Source::Port | Source::RemoteMissing => "localLoopback",
    };
    let (capability, connect, auth, complete, limited) = match finding {
        Ok((seen, asked)) => {
            let verdict = read_verdict(asked);
            let (complete, limited) = (matches!(verdict, Read::Complete), matches!(verdict, Read::Limited(_)));
            let connect = json!({
                "ok": true, "rpcOk": complete, "scopeLimited": limited,
                "latencyMs": seen.latency.as_millis() as u64, "error": null,
            });
            let auth = json!({"role": seen.role, "scopes": seen.scopes, "capability": seen.capability()});
            (seen.capability(), connect, auth, complete, limited)
        }
        Err(failed) => {
            let capability = probe::lost_capability(failed);
            let connect = json!({"ok": reachable, "rpcOk": false, "scopeLimited": false,
                "latencyMs": null, "error": probe::one_line(failed)});
            (capability, connect, json!({"role": null, "scopes": [], "capability": capability}), false, false)
        }
    };
    let mut warnings = Vec::new();
    if limited {
        warnings.push(json!({
            "code": "probe_scope_limited", "targetIds": [id],
            "message": "the gateway answers, but grants this probe no operator.read",
        }));
    }
    json!({
        "ok": reachable, "degraded": reachable && !complete, "capability": capability,
        "primaryTargetId": reachable.then_some(id), "warnings": warnings,
        "targets": [{
            "id": id, "url": calls.target.address.url, "source": calls.target.source.to_string(), "active": true,
            "connect": connect, "auth": auth,
            "server": finding.as_ref().ok().map(|(seen, _)| seen.server()),
        }],
    })
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

fn label(source: Source) -> &'static str {
    match source {
        Source::Url => "URL (explicit)",
        Source::Environment => "URL (environment)",
        Source::Remote => "Remote (configured)",
        Source::Local | Source::Port | Source::RemoteMissing => "Local loopback",
    }
}

/// What a look at a gateway wants to know, all of it reading.
const METHODS: [&str; 3] = ["health", "status", "system-presence"];

const USUAL: Duration = Duration::from_secs(10);
