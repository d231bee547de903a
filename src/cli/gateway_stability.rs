//! `openclaw gateway stability`: what happened lately in a running gateway.

use std::time::Duration;

use serde_json::{Map, Value};

use super::args::GatewayStability;
use super::calls::Calls;
use super::failure::Failure;
use super::output::{Shell, age, clean, list_at, number_at, size, table, text_at};
use super::settings::Settings;
use crate::client::Identity;
use crate::wire::tree::json;

/// Prints a summary and the events, the oldest of them first.
pub fn run(shell: &mut Shell, args: &GatewayStability) -> Result<(), Failure> {
    let limit = args.limit.unwrap_or(EVENTS);
    if !(1..=EVENTS_MAX).contains(&limit) {
        return Err(Failure::usage(format!("--limit must be between 1 and {EVENTS_MAX}")));
    }
    let mut params = Map::new();
    params.insert("limit".into(), limit.into());
    if let Some(kind) = args.kind.as_deref().map(str::trim).filter(|kind| !kind.is_empty()) {
        params.insert("type".into(), kind.into());
    }
    if let Some(seq) = args.since_seq {
        params.insert("sinceSeq".into(), seq.into());
    }
    let settings = Settings::load(shell)?;
    let calls = Calls::new(&settings, args.wanted(), args.timeout, USUAL)?;
    let found = calls.once(Identity::cli(&["operator.read"]), "diagnostics.stability", json!(params))?;
    if args.json {
        return shell.json(&found);
    }
    let number = |pointer: &str| number_at(&found, pointer).unwrap_or_default();
    let dropped = match number("/dropped") {
        0 => String::new(),
        dropped => format!(", {dropped} forgotten"),
    };
    shell.fact("Events", format!("{} of at most {}{dropped}", number("/count"), number("/capacity")))?;
    if let Some(rss) = number_at(&found, "/summary/memory/latest/rssBytes") {
        shell.fact("Memory", format!("{} resident", size(rss)))?;
    }
    let counts = found.pointer("/summary/byType").and_then(Value::as_object).into_iter().flatten();
    let counts: Vec<String> = counts.map(|(kind, count)| format!("{} {count}", clean(kind))).collect();
    if !counts.is_empty() {
        shell.fact("Types", counts.join(", "))?;
    }
    let events = list_at(&found, "/events");
    if events.is_empty() {
        return Ok(());
    }
    let newest = events.last().and_then(|event| number_at(event, "/ts")).unwrap_or_default();
    let rows: Vec<Vec<String>> = events.iter().map(|event| cells(event, newest)).collect();
    for line in table(&["Seq", "Before the last", "Type", "What"], &rows) {
        shell.line(line)?;
    }
    Ok(())
}

fn cells(event: &Value, newest: u64) -> Vec<String> {
    let what = ["channel", "provider", "model", "toolName", "outcome", "reason", "level"];
    let mut words: Vec<String> = what.iter().filter_map(|name| text_at(event, &format!("/{name}"))).collect();
    words.extend(number_at(event, "/durationMs").map(|ms| format!("{ms} ms")));
    words.extend(number_at(event, "/memory/rssBytes").map(size));
    vec![
        number_at(event, "/seq").unwrap_or_default().to_string(),
        age(newest.saturating_sub(number_at(event, "/ts").unwrap_or_default())),
        text_at(event, "/type").unwrap_or_default(),
        words.join(" "),
    ]
}

const USUAL: Duration = Duration::from_secs(10);
/// Events shown when nobody says how many; and at most.
const EVENTS: u64 = 25;
const EVENTS_MAX: u64 = 1000;
