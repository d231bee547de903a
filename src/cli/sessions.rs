//! `openclaw sessions`: the conversations the gateway keeps.

use std::time::Duration;

use serde_json::{Map, Value};

use super::args::{SessionsCleanup, SessionsList};
use super::calls::Calls;
use super::failure::Failure;
use super::output::{Shell, age, list_at, number_at, shorten, table, text_at};
use super::settings::Settings;
use crate::client::Identity;
use crate::wire::tree::json;

/// Prints the list, the latest first.
pub fn list(shell: &mut Shell, args: &SessionsList) -> Result<(), Failure> {
    let limit = limit(args.limit.as_deref())?;
    if args.active == Some(0) {
        return Err(Failure::usage("--active must be at least 1"));
    }
    let settings = Settings::load(shell)?;
    let calls = Calls::new(&settings, args.wanted(), args.timeout, USUAL)?;
    let mut params = Map::new();
    if let Some(minutes) = args.active {
        params.insert("activeMinutes".into(), minutes.into());
    }
    if let Some(agent) = &args.agent {
        params.insert("agentId".into(), agent.as_str().into());
    }
    let mut client = calls.connect(Identity::cli(&["operator.read"]))?;
    let mut result = Value::Null;
    let mut rows: Vec<Value> = Vec::new();
    for _ in 0..PAGES_MAX {
        params.insert("limit".into(), limit.unwrap_or(PAGE).into());
        if !rows.is_empty() {
            params.insert("offset".into(), rows.len().into());
        }
        let mut page = calls.ask(&mut client, "sessions.list", json!(params))?;
        let more = page.get("hasMore").and_then(Value::as_bool) == Some(true);
        let got = page.get_mut("sessions").map(Value::take);
        let Some(Value::Array(got)) = got else { break };
        let empty = got.is_empty();
        rows.extend(got);
        result = page;
        if limit.is_some() || !more || empty {
            break;
        }
    }
    client.close();
    let total = number_at(&result, "/totalCount").unwrap_or(rows.len() as u64);
    let now = number_at(&result, "/ts").unwrap_or_default();
    if args.json {
        if !result.is_object() {
            result = json!({});
        }
        result["count"] = rows.len().into();
        if limit.is_none() {
            (result["hasMore"], result["nextOffset"]) = (false.into(), Value::Null);
        }
        result["sessions"] = rows.into();
        return shell.json(&result);
    }
    if rows.is_empty() {
        return shell.line("No sessions.");
    }
    let cells: Vec<Vec<String>> = rows.iter().map(|row| cells(row, now)).collect();
    for line in table(&["Key", "Kind", "Age", "Model", "Tokens", "State"], &cells) {
        shell.line(line)?;
    }
    if total > rows.len() as u64 {
        shell.note(format!("{} of {total} shown; all of them: --limit all", rows.len()))?;
    }
    Ok(())
}

/// Puts away what nobody uses, by the rules of the gateway's configuration.
pub fn cleanup(shell: &mut Shell, args: &SessionsCleanup) -> Result<(), Failure> {
    let settings = Settings::load(shell)?;
    let calls = Calls::new(&settings, args.wanted(), args.timeout, USUAL_CLEANUP)?;
    let mut params = Map::new();
    for (name, flag) in [("enforce", args.enforce), ("allAgents", args.all_agents)] {
        if flag {
            params.insert(name.into(), true.into());
        }
    }
    for (name, text) in [("agent", &args.agent), ("activeKey", &args.active_key)] {
        if let Some(text) = text {
            params.insert(name.into(), text.as_str().into());
        }
    }
    let result = calls.once(Identity::cli(&["operator.admin"]), "sessions.cleanup", json!(params))?;
    if args.json {
        return shell.json(&result);
    }
    let one = [result.clone()];
    let stores = if result.get("stores").is_some() { list_at(&result, "/stores") } else { &one };
    for store in stores {
        let number = |pointer: &str| number_at(store, pointer).unwrap_or_default();
        let verb = if text_at(store, "/mode").as_deref() == Some("warn") { "would be " } else { "" };
        shell.line(format!(
            "{}: {} conversations, {} {verb}archived, {} {verb}removed",
            text_at(store, "/agentId").unwrap_or_default(),
            number("/beforeCount"),
            number("/archived"),
            number("/pruned"),
        ))?;
    }
    Ok(())
}

fn cells(row: &Value, now: u64) -> Vec<String> {
    let text = |pointer: &str| text_at(row, pointer).unwrap_or_default();
    let since = number_at(row, "/updatedAt").map(|then| age(now.saturating_sub(then))).unwrap_or_default();
    let model = match (text("/modelProvider"), text("/model")) {
        (provider, model) if provider.is_empty() || model.is_empty() => model,
        (provider, model) => format!("{provider}/{model}"),
    };
    let tokens = match (number_at(row, "/totalTokens"), number_at(row, "/contextTokens")) {
        (Some(used), Some(most)) if most > 0 => format!("{used}/{most} ({}%)", used.saturating_mul(100) / most),
        (Some(used), _) => used.to_string(),
        _ => String::new(),
    };
    let mut state: Vec<&str> = Vec::new();
    let flag = |name: &str| row.get(name).and_then(Value::as_bool) == Some(true);
    for (name, word) in
        [("hasActiveRun", "running"), ("abortedLastRun", "aborted"), ("archived", "archived"), ("pinned", "pinned")]
    {
        if flag(name) {
            state.push(word);
        }
    }
    let kind = text("/kind");
    vec![shorten(&text("/key"), KEY_WIDTH), kind, since, shorten(&model, MODEL_WIDTH), tokens, state.join(",")]
}

/// `None` means all.
fn limit(text: Option<&str>) -> Result<Option<u64>, Failure> {
    match text.map(str::trim) {
        None => Ok(Some(100)),
        Some("all") => Ok(None),
        Some(text) => match text.parse() {
            Ok(limit) if limit > 0 => Ok(Some(limit)),
            _ => Err(Failure::usage(format!("--limit {text}: a number from 1, or all"))),
        },
    }
}

/// Thousands of conversations may go at once.
const USUAL_CLEANUP: Duration = Duration::from_secs(60);

const USUAL: Duration = Duration::from_secs(30);

/// Rows of one request when all are wanted: small enough to answer at once.
const PAGE: u64 = 500;

/// Half a million sessions; a gateway that always says "more" must end somewhere.
const PAGES_MAX: usize = 1000;

/// Keys of groups and threads are long; the end is the least telling part.
const KEY_WIDTH: usize = 64;
const MODEL_WIDTH: usize = 36;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_or_all() {
        assert_eq!(limit(None).ok(), Some(Some(100)));
        assert_eq!(limit(Some("all")).ok(), Some(None));
        assert_eq!(limit(Some("7")).ok(), Some(Some(7)));
        for bad in ["0", "-1", "many", ""] {
            assert!(limit(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_row_without_fields_is_still_a_row() {
        assert_eq!(cells(&json!({"key": "k"}), 0).join("|"), "k|||||");
        let row = json!({"key": "k", "kind": "direct", "updatedAt": 1000, "modelProvider": "p", "model": "m",
            "totalTokens": 50, "contextTokens": 100, "hasActiveRun": true});
        assert_eq!(cells(&row, 61_000).join("|"), "k|direct|1m|p/m|50/100 (50%)|running");
    }
}
