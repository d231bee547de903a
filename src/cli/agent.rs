//! `openclaw agent`: one turn of an agent through the gateway.
//!
//! The turn belongs to the gateway: when this command is interrupted the turn goes on. A repeated idempotency key would
//! return the same turn, so each call makes a new one.

use std::io::Read;
use std::time::Duration;

use serde_json::{Map, Value};

use super::args::Agent;
use super::calls::Calls;
use super::failure::{Failure, Kind};
use super::output::{Shell, clean_lines, list_at, text_at};
use super::settings::Settings;
use crate::client::Identity;
use crate::sys::random;
use crate::wire::tree::json;

/// Runs the turn and prints what the agent said; fails when the turn did.
pub fn run(shell: &mut Shell, args: &Agent) -> Result<(), Failure> {
    let message = &message(args)?;
    let params = params(args, message)?;
    let settings = Settings::load(shell)?;
    let seconds = args.timeout.unwrap_or(TURN_SECONDS);
    let wait = if seconds == 0 { u64::MAX } else { seconds.saturating_add(GRACE_SECONDS) };
    let calls = Calls::new(&settings, args.wanted(), Some(wait.saturating_mul(1000)), Duration::ZERO)?;
    let mut client = calls.connect(Identity::cli(&[scope(message)]))?;
    let mut answer = calls.ask_final(&mut client, "agent", params, &mut |_| false)?;
    client.close();
    let delivery = answer.pointer("/result/deliveryStatus").cloned();
    if args.json {
        // Where scripts look for it, as well as where it is.
        if let (Some(answer), Some(delivery)) = (answer.as_object_mut(), &delivery) {
            answer.insert("deliveryStatus".into(), delivery.clone());
        }
        shell.json(&answer)?;
    } else {
        print(shell, &answer)?;
    }
    if let Some(why) = delivery.as_ref().and_then(undelivered) {
        return Err(if args.json { Failure::told() } else { Failure::refused(why) });
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

/// What is to be said: from the command line, or from a file.
fn message(args: &Agent) -> Result<String, Failure> {
    let path = match (&args.message, &args.message_file) {
        (Some(_), Some(_)) => return Err(Failure::usage("--message and --message-file exclude each other")),
        (Some(text), None) if !text.trim().is_empty() => return Ok(text.clone()),
        (_, None) => {
            let example = "Example: openclaw agent --message \"How are you?\"";
            return Err(Failure::usage("--message is missing").hint(example));
        }
        (None, Some(path)) => path,
    };
    let bad = |why: String| Failure::usage(format!("--message-file {path}: {why}"));
    let mut bytes = Vec::new();
    let file: Box<dyn Read> = match path.as_str() {
        "-" => Box::new(std::io::stdin()),
        path => Box::new(std::fs::File::open(path).map_err(|error| bad(error.to_string()))?),
    };
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| bad(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(bad(format!("larger than {} MiB", FILE_BYTES >> 20)));
    }
    let text = String::from_utf8(bytes).map_err(|_| bad("not UTF-8 text".into()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if text.trim().is_empty() { Err(bad("it says nothing".into())) } else { Ok(text.to_owned()) }
}

/// Why an answer that was to be delivered was not; None: it was, or there was nothing to deliver.
fn undelivered(delivery: &Value) -> Option<String> {
    let status = text_at(delivery, "/status").filter(|status| status == "failed" || status == "partial_failed")?;
    let why = text_at(delivery, "/errorMessage").or(text_at(delivery, "/reason")).unwrap_or_default();
    let part = if status == "failed" { "" } else { "in full: part of it went out" };
    Some(format!("the answer was not delivered {part}").trim_end().to_owned() + &format!(" ({why})"))
}

fn params(args: &Agent, message: &str) -> Result<Value, Failure> {
    let mut params = Map::new();
    params.insert("message".into(), message.into());
    let selectors = [
        ("agentId", "--agent", &args.agent),
        ("sessionKey", "--session-key", &args.session_key),
        ("sessionId", "--session-id", &args.session_id),
        ("to", "--to", &args.to),
        ("channel", "--channel", &args.channel),
        ("model", "--model", &args.model),
        ("thinking", "--thinking", &args.thinking),
        ("replyTo", "--reply-to", &args.reply_to),
        ("replyChannel", "--reply-channel", &args.reply_channel),
        ("replyAccountId", "--reply-account", &args.reply_account),
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

/// Past the turn's own limit the gateway still has to say that it was reached, and waits for the messenger.
const GRACE_SECONDS: u64 = 60;

/// Largest file of a message.
const FILE_BYTES: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_delivered_is_told_with_its_reason() {
        let failed = json!({"status": "failed", "reason": "no_delivery_target"});
        assert_eq!(undelivered(&failed).unwrap(), "the answer was not delivered (no_delivery_target)");
        let part = json!({"status": "partial_failed", "errorMessage": "blocked"});
        assert_eq!(undelivered(&part).unwrap(), "the answer was not delivered in full: part of it went out (blocked)");
        assert_eq!(undelivered(&json!({"status": "sent"})), None);
        assert_eq!(undelivered(&json!({"status": "suppressed", "reason": "no_visible_payload"})), None);
    }

    #[test]
    fn only_starting_over_asks_for_more_than_write() {
        assert_eq!(scope("/new please"), "operator.admin");
        assert_eq!(scope("  /RESET"), "operator.admin");
        assert_eq!(scope("/newer"), "operator.write");
        assert_eq!(scope("what is /new?"), "operator.write");
    }
}
