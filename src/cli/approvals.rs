//! `openclaw approvals`: what waits for a decision, and the rules about commands.

use std::time::Duration;

use serde_json::Value;

use super::args::{AllowlistAdd, AllowlistRemove, ApprovalsGet, ApprovalsPending, ApprovalsResolve, ApprovalsSet};
use super::calls::Calls;
use super::failure::Failure;
use super::output::{Shell, age, clean, clean_lines, list_at, number_at, shorten, table, text_at};
use super::settings::Settings;
use crate::client::{Client, Identity};
use crate::config::json5;
use crate::sys::clock;
use crate::wire::approval::Decision;
use crate::wire::tree::json;

/// Shows the rules about commands.
pub fn get(shell: &mut Shell, args: &ApprovalsGet) -> Result<(), Failure> {
    let calls = Calls::new(&Settings::load(shell)?, args.wanted(), args.timeout, USUAL)?;
    let rules = calls.once(admin(), "exec.approvals.get", json!({}))?;
    if args.json { shell.json(&rules) } else { show(shell, &rules) }
}

/// Replaces the rules with those of a file.
pub fn set(shell: &mut Shell, args: &ApprovalsSet) -> Result<(), Failure> {
    let text = match (&args.file, args.stdin) {
        (Some(file), false) => {
            std::fs::read_to_string(file).map_err(|bad| Failure::usage(format!("read {file}: {bad}")))?
        }
        (None, true) => std::io::read_to_string(std::io::stdin())
            .map_err(|bad| Failure::usage(format!("read standard input: {bad}")))?,
        _ => return Err(Failure::usage("approvals set needs --file or --stdin")),
    };
    let parsed = json5::parse(&text, 0)
        .map_err(|bad| Failure::usage(format!("{}:{}: {}", bad.at.line, bad.at.column, bad.message)))?;
    let calls = Calls::new(&Settings::load(shell)?, args.wanted(), args.timeout, USUAL)?;
    let mut client = calls.connect(admin())?;
    let before = calls.ask(&mut client, "exec.approvals.get", json!({}))?;
    let after = write(&calls, &mut client, &before, parsed.root.to_value())?;
    client.close();
    if args.json { shell.json(&after) } else { show(shell, &after) }
}

/// Lists what waits.
pub fn pending(shell: &mut Shell, args: &ApprovalsPending) -> Result<(), Failure> {
    let calls = Calls::new(&Settings::load(shell)?, args.wanted(), args.timeout, USUAL)?;
    let mut client = calls.connect(admin())?;
    let mut waiting = Vec::new();
    for method in ["exec.approval.list", "plugin.approval.list"] {
        let rows = calls.ask(&mut client, method, json!({}))?;
        waiting.extend(list_at(&rows, "").iter().map(entry));
    }
    client.close();
    if args.json {
        return shell.json(&json!({"approvals": waiting}));
    }
    if waiting.is_empty() {
        return shell.line("Nothing waits for approval.");
    }
    let now = clock::now_ms();
    let rows: Vec<Vec<String>> = waiting.iter().map(|one| row(one, now)).collect();
    for line in table(&["Kind", "Agent", "Session", "Age", "Expires in", "What"], &rows) {
        shell.line(line)?;
    }
    for one in &waiting {
        shell.line("")?;
        shell.fact("Id", text_at(one, "/id").unwrap_or_default())?;
        shell.line(clean_lines(one["summary"].as_str().unwrap_or_default()))?;
    }
    Ok(())
}

/// Decides on one.
pub fn resolve(shell: &mut Shell, args: &ApprovalsResolve) -> Result<(), Failure> {
    if Decision::parse(&args.decision).is_none() {
        return Err(Failure::usage(format!("unknown decision: {}", args.decision))
            .hint("One of: allow-once, allow-always, deny"));
    }
    let calls = Calls::new(&Settings::load(shell)?, args.wanted(), args.timeout, USUAL)?;
    let mut client = calls.connect(admin())?;
    let known = calls.ask(&mut client, "approval.get", json!({"id": args.id}))?;
    let allowed = list_at(&known, "/approval/presentation/allowedDecisions");
    if !allowed.iter().any(|one| one == args.decision.as_str()) {
        return Err(Failure::usage(format!("{} is not available for this approval", args.decision)));
    }
    let kind = &known["approval"]["presentation"]["kind"];
    let params = json!({"id": args.id, "kind": kind, "decision": args.decision});
    let result = calls.ask(&mut client, "approval.resolve", params)?;
    client.close();
    let note = args.reason.as_ref().map(|reason| format!(" ({})", clean(reason))).unwrap_or_default();
    let (applied, decided) = (result["applied"] == true, text_at(&result, "/approval/decision"));
    if !applied && decided.as_deref() != Some(args.decision.as_str()) {
        let status = text_at(&result, "/approval/status").unwrap_or_default();
        return Err(Failure::usage(format!("the approval is {status} already")));
    }
    match (args.json, applied) {
        (true, _) => shell.json(&result),
        (false, true) => shell.line(format!("{}: {}{note}", clean(&args.id), args.decision)),
        (false, false) => shell.line(format!("{}: already resolved (same decision){note}", clean(&args.id))),
    }
}

pub fn allowlist_add(shell: &mut Shell, args: &AllowlistAdd) -> Result<(), Failure> {
    let calls = Calls::new(&Settings::load(shell)?, args.wanted(), args.timeout, USUAL)?;
    let agent = args.agent.as_deref().unwrap_or("*");
    change(shell, &calls, args.json, agent, |list| {
        let known = list.iter().any(|entry| is(entry, &args.pattern));
        if !known {
            list.push(json!({"pattern": args.pattern}));
        }
        !known
    })
}

pub fn allowlist_remove(shell: &mut Shell, args: &AllowlistRemove) -> Result<(), Failure> {
    let calls = Calls::new(&Settings::load(shell)?, args.wanted(), args.timeout, USUAL)?;
    let agent = args.agent.as_deref().unwrap_or("*");
    change(shell, &calls, args.json, agent, |list| {
        let before = list.len();
        list.retain(|entry| !is(entry, &args.pattern));
        list.len() < before
    })
}

/// Changes the list of one agent; `edit` says whether there was anything to change.
fn change(
    shell: &mut Shell,
    calls: &Calls,
    json: bool,
    agent: &str,
    edit: impl FnOnce(&mut Vec<Value>) -> bool,
) -> Result<(), Failure> {
    let mut client = calls.connect(admin())?;
    let before = calls.ask(&mut client, "exec.approvals.get", json!({}))?;
    let mut file = before["file"].clone();
    let mut list = file["agents"][agent]["allowlist"].as_array().cloned().unwrap_or_default();
    let after = match edit(&mut list) {
        true => {
            file["agents"][agent]["allowlist"] = Value::Array(list);
            write(calls, &mut client, &before, file)?
        }
        false => before,
    };
    client.close();
    if json { shell.json(&after) } else { show(shell, &after) }
}

fn write(calls: &Calls, client: &mut Client, before: &Value, file: Value) -> Result<Value, Failure> {
    calls.ask(client, "exec.approvals.set", json!({"file": file, "baseHash": before["hash"]}))
}

/// An entry for this pattern, whatever its arguments. What a decision made is another matter.
fn is(entry: &Value, pattern: &str) -> bool {
    entry["pattern"] == pattern && entry["argPattern"].is_null()
}

fn show(shell: &mut Shell, rules: &Value) -> Result<(), Failure> {
    let said = |pointer: &str| text_at(rules, pointer).unwrap_or_default();
    shell.fact("Rules", if rules["exists"] == true { said("/path") } else { "none yet".into() })?;
    let defaults = ["security", "ask", "askFallback"];
    let defaults = defaults.map(|name| format!("{name}={}", said(&format!("/resolvedDefaults/{name}"))));
    shell.fact("Defaults", defaults.join(" "))?;
    let Some(agents) = rules["file"]["agents"].as_object() else { return Ok(()) };
    let mut rows = Vec::new();
    for (agent, own) in agents {
        for entry in list_at(own, "/allowlist") {
            let text = |pointer: &str| text_at(entry, pointer).unwrap_or_default();
            let used = number_at(entry, "/lastUsedAt").map(|at| age(clock::now_ms().saturating_sub(at)));
            let how = if entry["argPattern"].is_string() { shorten(&text("/argPattern"), 32) } else { "any".into() };
            rows.push(vec![clean(agent), text("/pattern"), how, used.unwrap_or_default()]);
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    for line in table(&["Agent", "Pattern", "Arguments", "Used"], &rows) {
        shell.line(line)?;
    }
    Ok(())
}

/// One that waits, in the shape scripts read.
fn entry(row: &Value) -> Value {
    let request = &row["request"];
    let summary = if request["command"].is_string() { &request["command"] } else { &request["title"] };
    json!({
        "id": row["id"], "kind": row["approvalKind"], "summary": summary, "agentId": request["agentId"],
        "sessionKey": request["sessionKey"], "createdAtMs": row["createdAtMs"], "expiresAtMs": row["expiresAtMs"],
    })
}

fn row(one: &Value, now: u64) -> Vec<String> {
    let text = |pointer: &str| text_at(one, pointer).unwrap_or_default();
    let at = |pointer: &str| number_at(one, pointer).unwrap_or(now);
    vec![
        text("/kind"),
        text("/agentId"),
        text("/sessionKey"),
        age(now.saturating_sub(at("/createdAtMs"))),
        age(at("/expiresAtMs").saturating_sub(now)),
        shorten(&text("/summary"), SUMMARY),
    ]
}

/// Everybody's requests are listed to the owner, who alone may change the rules.
fn admin() -> Identity {
    Identity::cli(&["operator.admin", "operator.approvals"])
}

const USUAL: Duration = Duration::from_secs(10);

const SUMMARY: usize = 60;
