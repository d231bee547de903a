//! `openclaw channels status`: every messenger account and whether it works.
//!
//! When the gateway cannot be reached, what the configuration says is shown instead, and it is said so.

use std::time::Duration;

use serde_json::Value;

use super::args::ChannelsStatus;
use super::calls::Calls;
use super::failure::{Failure, Kind};
use super::health::channel_word;
use super::output::{Shell, clean, list_at, text_at};
use super::settings::Settings;
use crate::client::Identity;
use crate::wire::tree::json;

/// Prints the accounts.
pub fn status(shell: &mut Shell, args: &ChannelsStatus) -> Result<(), Failure> {
    let settings = Settings::load(shell)?;
    let usual = if args.probe { USUAL_PROBE } else { USUAL };
    let calls = Calls::new(&settings, args.wanted(), args.timeout, usual)?;
    let who = Identity::backend("channels.status", &["operator.read"]);
    let params = json!({"probe": args.probe, "timeoutMs": calls.budget_ms().min(PROBE_MS_MAX)});
    match calls.once(who, "channels.status", params) {
        Ok(status) if args.json => shell.json(&status),
        Ok(status) => print(shell, &status),
        Err(failure) if failure.kind == Kind::Unreachable => from_config(shell, &settings, &failure, args.json),
        Err(failure) => Err(failure),
    }
}

fn print(shell: &mut Shell, status: &Value) -> Result<(), Failure> {
    let ok = shell.mark(true, "reachable");
    shell.fact("Gateway", ok)?;
    let accounts = status.get("channelAccounts").and_then(Value::as_object);
    let Some(accounts) = accounts.filter(|accounts| !accounts.is_empty()) else {
        return shell.line("No channels are configured.");
    };
    let mut order: Vec<&str> = list_at(status, "/channelOrder").iter().filter_map(Value::as_str).collect();
    order.extend(accounts.keys().map(String::as_str));
    let mut done = Vec::new();
    for id in order {
        let Some(rows) = accounts.get(id).and_then(Value::as_array).filter(|_| !done.contains(&id)) else { continue };
        done.push(id);
        let label = status.get("channelLabels").and_then(|labels| labels.get(id)).and_then(Value::as_str).unwrap_or(id);
        for row in rows {
            let account = text_at(row, "/accountId").unwrap_or_else(|| "default".to_owned());
            shell.line(format!("- {} {account}: {}", clean(label), channel_word(row)))?;
        }
    }
    for issue in list_at(status, "/statusIssues") {
        let issue = text_at(issue, "").or_else(|| text_at(issue, "/message"));
        if let Some(issue) = issue {
            shell.fact("Issue", issue)?;
        }
    }
    Ok(())
}

fn from_config(shell: &mut Shell, settings: &Settings, failure: &Failure, json: bool) -> Result<(), Failure> {
    let rows: Vec<Value> = settings
        .config
        .channels
        .iter()
        .map(|(id, section)| {
            let enabled = section.get("enabled").and_then(Value::as_bool) != Some(false);
            json!({"channel": id, "enabled": enabled, "configured": true})
        })
        .collect();
    shell.note(&failure.message)?;
    if json {
        return shell.json(&json!({
            "gatewayReachable": false, "error": failure.message, "configOnly": true, "channels": rows,
        }));
    }
    shell.line("Gateway: not reachable; this is what the configuration says")?;
    if rows.is_empty() {
        return shell.line("No channels are configured.");
    }
    for row in &rows {
        let id = text_at(row, "/channel").unwrap_or_default();
        shell.line(format!("- {id}: {}", channel_word(row)))?;
    }
    Ok(())
}

const USUAL: Duration = Duration::from_secs(10);

/// Messengers answer a probe over the internet, one after the other in the worst case.
const USUAL_PROBE: Duration = Duration::from_secs(30);

/// The gateway asks each account no longer than this.
const PROBE_MS_MAX: u64 = 30_000;
