//! `openclaw agent`: one turn of an agent through the gateway.
//!
//! The turn belongs to the gateway: when this command is interrupted the turn goes on. A repeated idempotency key would
//! return the same turn, so each call makes a new one.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::args::Agent;
use super::calls::Calls;
use super::failure::{Failure, Kind};
use super::output::{Shell, clean_lines, list_at, text_at};
use super::settings::Settings;
use crate::client::Identity;
use crate::sys::random;

/// Runs the turn and prints what the agent said; fails when the turn did.
pub fn run(shell: &mut Shell, args: &Agent) -> Result<(), Failure> {
    let message = args.message.as_deref().unwrap_or_default();
    if message.trim().is_empty() {
        return Err(Failure::usage("--message is missing").hint("Example: openclaw agent --message \"How are you?\""));
    }
    let params = params(args, message)?;
    let settings = Settings::load(shell)?;
    let seconds = args.timeout.unwrap_or(TURN_SECONDS);
    let wait = if seconds == 0 { u64::MAX } else { seconds.saturating_add(GRACE_SECONDS) };
    let calls = Calls::new(&settings, args.wanted(), Some(wait.saturating_mul(1000)), Duration::ZERO)?;
    let mut client = calls.connect(Identity::cli(&[scope(message)]))?;
    let answer = calls.ask_final(&mut client, "agent", params, &mut |_| false)?;
    client.close();
    if args.json {
        shell.json(&answer)?;
    } else {
        print(shell, &answer)?;
    }
    match text_at(&answer, "/status").as_deref() {
        Some("ok") | None => Ok(()),
        Some(_) if args.json => Err(Failure::told()),
        Some(status) => {
            let why = text_at(&answer, "/summary").filter(|summary| summary != status);
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            Err(Failure::new(Kind::Refused, format!("the turn ended as {status}{why}")))
        }
    }
}

fn params(args: &Agent, message: &str) -> Result<Value, Failure> {
    let mut params = Map::new();
    params.insert("message".into(), message.into());
    let selectors = [
        ("agentId", "--agent", &args.agent),
        ("sessionKey", "--session-key", &args.session_key),
        ("sessionId", "--session-id", &args.session_id),
        ("thinking", "--thinking", &args.thinking),
    ];
    for (field, flag, value) in selectors {
        match value.as_deref().map(str::trim) {
            // A script's empty variable must not silently select the default.
            Some("") => return Err(Failure::usage(format!("{flag} is empty"))),
            Some(value) => {
                params.insert(field.into(), value.into());
            }
            None => {}
        }
    }
    params.insert("deliver".into(), args.deliver.into());
    if let Some(seconds) = args.timeout {
        params.insert("timeout".into(), seconds.into());
    }
    params.insert("idempotencyKey".into(), random::uuid().into());
    Ok(json!(params))
}

/// Starting a session over takes more than talking.
fn scope(message: &str) -> &'static str {
    let word = message.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    if matches!(word.as_str(), "/new" | "/reset") { "operator.admin" } else { "operator.write" }
}

fn print(shell: &mut Shell, answer: &Value) -> Result<(), Failure> {
    let mut said = false;
    for payload in list_at(answer, "/result/payloads") {
        let text = payload.get("text").and_then(Value::as_str).map(clean_lines).filter(|text| !text.trim().is_empty());
        for part in text.into_iter().chain(text_at(payload, "/mediaUrl").map(|url| format!("MEDIA: {url}"))) {
            shell.line(part.trim_end())?;
            said = true;
        }
    }
    if said { Ok(()) } else { shell.note("The agent ended its turn without an answer.") }
}

/// A turn with tools may take minutes; the reference waits as long.
const TURN_SECONDS: u64 = 600;

/// Past the turn's own limit the gateway still has to say that it was reached.
const GRACE_SECONDS: u64 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_starting_over_asks_for_more_than_write() {
        assert_eq!(scope("/new please"), "operator.admin");
        assert_eq!(scope("  /RESET"), "operator.admin");
        assert_eq!(scope("/newer"), "operator.write");
        assert_eq!(scope("what is /new?"), "operator.write");
    }
}
