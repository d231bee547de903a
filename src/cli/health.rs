//! `openclaw health`: the gateway's own health report.

use std::time::Duration;

use serde_json::Value;

use super::args::Health;
use super::calls::Calls;
use super::failure::Failure;
use super::output::{Shell, age, list_at, number_at, text_at};
use super::settings::Settings;
use crate::client::Identity;
use crate::wire::tree::json;

/// Prints the report; fails when the gateway says it is not well.
pub fn run(shell: &mut Shell, args: &Health) -> Result<(), Failure> {
    let settings = Settings::load(shell)?;
    let calls = Calls::new(&settings, args.wanted(), args.timeout, USUAL)?;
    let params = if args.verbose { json!({"probe": true}) } else { json!({}) };
    let health = calls.once(Identity::cli(&["operator.read"]), "health", params)?;
    let well = health.get("ok") == Some(&Value::Bool(true));
    if args.json {
        shell.json(&health)?;
    } else {
        if args.verbose {
            shell.line(calls.target.lines())?;
        }
        report(shell, &health, well, args.verbose)?;
    }
    if well { Ok(()) } else { Err(Failure::told()) }
}

fn report(shell: &mut Shell, health: &Value, well: bool, verbose: bool) -> Result<(), Failure> {
    let verdict = shell.mark(well, if well { "ok" } else { "not well" });
    let took = number_at(health, "/durationMs").map(|ms| format!(" ({ms} ms)")).unwrap_or_default();
    shell.fact("Gateway", format!("{verdict}{took}"))?;
    for line in channel_lines(health) {
        shell.line(line)?;
    }
    let agents = list_at(health, "/agents");
    let main = text_at(health, "/defaultAgentId").unwrap_or_default();
    for agent in agents {
        let id = text_at(agent, "/agentId").unwrap_or_default();
        if !verbose && agents.len() > 1 && id != main {
            continue;
        }
        let beat = match text_at(agent, "/heartbeat/enabled").as_deref() {
            Some("true") => format!(", heartbeat every {}", text_at(agent, "/heartbeat/every").unwrap_or_default()),
            _ => ", heartbeat off".to_owned(),
        };
        let count = number_at(agent, "/sessions/count").unwrap_or_default();
        shell.fact("Agent", format!("{id}: {count} sessions{beat}"))?;
    }
    let now = number_at(health, "/ts").unwrap_or_default();
    for recent in list_at(health, "/sessions/recent").iter().take(RECENT) {
        let key = text_at(recent, "/key").unwrap_or_default();
        let since = number_at(recent, "/updatedAt").map(|then| age(now.saturating_sub(then)));
        shell.line(format!("  {key} ({} ago)", since.unwrap_or_else(|| "?".into())))?;
    }
    for (field, what) in [("/eventLoop/degraded", "Event loop"), ("/modelRuntime/degraded", "Model runtime")] {
        if text_at(health, field).as_deref() == Some("true") {
            let word = shell.mark(false, "degraded");
            shell.fact(what, word)?;
        }
    }
    for problem in list_at(health, "/plugins/errors").iter().filter_map(|error| text_at(error, "")) {
        shell.fact("Problem", problem)?;
    }
    Ok(())
}

/// One line per channel, in the gateway's order.
pub fn channel_lines(health: &Value) -> Vec<String> {
    let Some(channels) = health.get("channels").and_then(Value::as_object) else { return Vec::new() };
    let mut order: Vec<&str> = list_at(health, "/channelOrder").iter().filter_map(Value::as_str).collect();
    order.extend(
        channels.keys().map(String::as_str).filter(|id| !list_at(health, "/channelOrder").contains(&(*id).into())),
    );
    let known = order.into_iter().filter_map(|id| Some((id, channels.get(id)?)));
    let lines = known.map(|(id, channel)| {
        let label = health.get("channelLabels").and_then(|labels| labels.get(id)).and_then(Value::as_str).unwrap_or(id);
        format!("{}: {}", super::output::clean(label), channel_word(channel))
    });
    lines.collect()
}

/// `running`, `stopped`, `not configured`, with the last error where there is one.
pub fn channel_word(channel: &Value) -> String {
    let flag = |name: &str| channel.get(name).and_then(Value::as_bool);
    let word = match (flag("enabled"), flag("configured"), flag("running"), flag("connected")) {
        (Some(false), ..) => "disabled",
        (_, Some(false), ..) => "not configured",
        (_, _, Some(true), Some(false)) => "running, not connected",
        (_, _, Some(true), _) => "running",
        (_, _, Some(false), _) => "stopped",
        _ => "configured",
    };
    let probe = match channel.pointer("/probe/ok").and_then(Value::as_bool) {
        Some(true) => ", probe ok".to_owned(),
        Some(false) => match text_at(channel, "/probe/error") {
            Some(error) => format!(", probe failed: {error}"),
            None => ", probe failed".to_owned(),
        },
        None => String::new(),
    };
    let error = text_at(channel, "/lastError").map(|error| format!(", last error: {error}")).unwrap_or_default();
    format!("{word}{probe}{error}")
}

/// A probe of every channel may take this long; without one the answer is immediate.
const USUAL: Duration = Duration::from_secs(60);

/// Sessions worth a line in a health report.
const RECENT: usize = 5;
