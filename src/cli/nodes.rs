//! `openclaw nodes`: what nodes offer, what of it was approved, and asking them for it.

use std::time::Duration;

use serde_json::Value;

use super::args::{
    NodesApprove, NodesDescribe, NodesInvoke, NodesList, NodesNotify, NodesPending, NodesReject, NodesRemove,
    NodesRename, NodesStatus, Wanted,
};
use super::calls::Calls;
use super::failure::Failure;
use super::output::{Shell, age, list_at, number_at, shorten, size, table, text_at};
use super::settings::Settings;
use crate::client::{Client, Identity};
use crate::sys::{clock, random};
use crate::wire::misfit;
use crate::wire::tree::json;

/// One table of all nodes.
pub fn status(shell: &mut Shell, args: &NodesStatus) -> Result<(), Failure> {
    let since = since(args.last_connected.as_deref())?;
    let calls = calls(shell, args.wanted(), args.timeout, USUAL)?;
    let mut result = calls.once(looking("node.list"), "node.list", json!({}))?;
    if let Some(nodes) = result.get_mut("nodes").and_then(Value::as_array_mut) {
        nodes.retain(|node| wanted(node, args.connected, since));
    }
    if args.json {
        return shell.json(&result);
    }
    let nodes = list_at(&result, "/nodes");
    if nodes.is_empty() {
        return shell.line("No nodes.");
    }
    let rows: Vec<_> = nodes.iter().map(row).collect();
    for line in table(&["Node", "Name", "Platform", "Version", "State", "Seen", "Commands", "Host"], &rows) {
        shell.line(line)?;
    }
    Ok(())
}

/// What waits, and what was approved.
pub fn list(shell: &mut Shell, args: &NodesList) -> Result<(), Failure> {
    let since = since(args.last_connected.as_deref())?;
    let calls = calls(shell, args.wanted(), args.timeout, USUAL)?;
    let mut client = calls.connect(looking("node.pair.list"))?;
    let mut result = calls.ask(&mut client, "node.pair.list", json!({}))?;
    let known = calls.ask(&mut client, "node.list", json!({}))?;
    client.close();
    let nodes = list_at(&known, "/nodes");
    let keep = |id: &Value| nodes.iter().any(|node| node["nodeId"] == *id && wanted(node, args.connected, since));
    for name in ["pending", "paired"] {
        if let Some(rows) = result.get_mut(name).and_then(Value::as_array_mut) {
            rows.retain(|row| keep(&row["nodeId"]));
        }
    }
    if args.json {
        return shell.json(&result);
    }
    let paired = list_at(&result, "/paired");
    if !print_pending(shell, &result)? && paired.is_empty() {
        return shell.line("No nodes.");
    }
    if !paired.is_empty() {
        shell.line("Approved:")?;
        let rows: Vec<_> = paired.iter().map(approved).collect();
        for line in table(&["Node", "Name", "Platform", "Last Connect", "Commands"], &rows) {
            shell.line(line)?;
        }
    }
    Ok(())
}

pub fn describe(shell: &mut Shell, args: &NodesDescribe) -> Result<(), Failure> {
    let calls = calls(shell, args.wanted(), args.timeout, USUAL)?;
    let mut client = calls.connect(looking("node.describe"))?;
    let node_id = resolve(&calls, &mut client, &args.node)?;
    let node = calls.ask(&mut client, "node.describe", json!({"nodeId": node_id}))?;
    client.close();
    if args.json {
        return shell.json(&node);
    }
    shell.fact("Node", node_id)?;
    for (label, pointer) in [
        ("Name", "/displayName"),
        ("Platform", "/platform"),
        ("Family", "/deviceFamily"),
        ("Model", "/modelIdentifier"),
        ("Version", "/version"),
        ("Address", "/remoteIp"),
        ("Approval", "/approvalState"),
        ("Waits", "/pendingRequestId"),
        ("Path", "/pathEnv"),
    ] {
        if let Some(text) = text_at(&node, pointer) {
            shell.fact(label, text)?;
        }
    }
    shell.fact("Seen", seen(&node))?;
    if let Some(stats) = stats(&node) {
        shell.fact("Stats", stats)?;
    }
    shell.fact("Capabilities", names(&node, "/caps"))?;
    shell.fact("Commands", names(&node, "/commands"))?;
    if !list_at(&node, "/pendingDeclaredCommands").is_empty() {
        shell.fact("Offered", names(&node, "/pendingDeclaredCommands"))?;
    }
    Ok(())
}

pub fn pending(shell: &mut Shell, args: &NodesPending) -> Result<(), Failure> {
    let calls = calls(shell, args.wanted(), args.timeout, USUAL)?;
    let result = calls.once(pairing(&[]), "node.pair.list", json!({}))?;
    if args.json {
        return shell.json(&json!({"pending": result["pending"]}));
    }
    match print_pending(shell, &result)? {
        true => Ok(()),
        false => shell.line("Nothing waits for approval."),
    }
}

/// Approves what a node offers, with the scopes that takes.
pub fn approve(shell: &mut Shell, args: &NodesApprove) -> Result<(), Failure> {
    let calls = calls(shell, args.wanted(), args.timeout, USUAL)?;
    let all = calls.once(pairing(&[]), "node.pair.list", json!({}))?;
    let pending = list_at(&all, "/pending");
    let request = match (&args.request, pending) {
        (Some(id), _) => pending.iter().find(|request| request["requestId"] == id.as_str()),
        (None, [only]) => Some(only),
        (None, []) => return Err(Failure::usage("nothing waits for approval")),
        (None, _) => {
            return Err(Failure::usage("several nodes wait for approval").hint("Name one: openclaw nodes pending"));
        }
    };
    let Some(request) = request else {
        return Err(Failure::usage("no such request").hint("See: openclaw nodes pending"));
    };
    let scopes: Vec<String> =
        list_at(request, "/requiredApproveScopes").iter().filter_map(|scope| text_at(scope, "")).collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).filter(|name| *name != "operator.pairing").collect();
    let params = json!({"requestId": request["requestId"]});
    let result = calls.once(pairing(&scopes), "node.pair.approve", params)?;
    let node = text_at(&result, "/node/nodeId").unwrap_or_default();
    done(shell, args.json, &result, format!("Approved {node}: {}", names(&result, "/node/commands")))
}

pub fn reject(shell: &mut Shell, args: &NodesReject) -> Result<(), Failure> {
    let calls = calls(shell, args.wanted(), args.timeout, USUAL)?;
    let result = calls.once(pairing(&[]), "node.pair.reject", json!({"requestId": args.request}))?;
    done(shell, args.json, &result, format!("Rejected {}", args.request))
}

pub fn remove(shell: &mut Shell, args: &NodesRemove) -> Result<(), Failure> {
    let calls = calls(shell, args.wanted(), args.timeout, USUAL)?;
    // A device that is more than a node is the administrator's.
    let mut client = calls.connect(pairing(&["operator.read", "operator.admin"]))?;
    let node_id = resolve(&calls, &mut client, &args.node)?;
    let result = calls.ask(&mut client, "node.pair.remove", json!({"nodeId": node_id}))?;
    client.close();
    done(shell, args.json, &result, format!("Removed {node_id}"))
}

pub fn rename(shell: &mut Shell, args: &NodesRename) -> Result<(), Failure> {
    let calls = calls(shell, args.wanted(), args.timeout, USUAL)?;
    let mut client = calls.connect(pairing(&["operator.read"]))?;
    let node_id = resolve(&calls, &mut client, &args.node)?;
    let params = json!({"nodeId": node_id, "displayName": args.name});
    let result = calls.ask(&mut client, "node.rename", params)?;
    client.close();
    done(shell, args.json, &result, format!("{node_id} is now {}", args.name))
}

pub fn invoke(shell: &mut Shell, args: &NodesInvoke) -> Result<(), Failure> {
    if matches!(args.command.trim(), "system.run" | "system.run.prepare") {
        return Err(Failure::usage(format!("{} is not asked for here", args.command))
            .hint("Commands run through an agent's tools, where they can be approved."));
    }
    if args.idempotency_key.as_deref().is_some_and(str::is_empty) {
        return Err(Failure::usage("--idempotency-key must not be empty"));
    }
    let params = match &args.params {
        None => json!({}),
        Some(text) => misfit::read::<Value>(text)
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| Failure::usage("--params must be a JSON object"))?,
    };
    let call =
        Ask { command: args.command.trim(), params, time: args.invoke_timeout, key: args.idempotency_key.clone() };
    let result = ask(shell, args.wanted(), args.timeout, &args.node, call)?;
    match (args.json, &result["payload"]) {
        (false, payload) if !payload.is_null() => shell.json(payload),
        _ => shell.json(&result),
    }
}

pub fn notify(shell: &mut Shell, args: &NodesNotify) -> Result<(), Failure> {
    let given = |text: &Option<String>| text.as_deref().map(str::trim).is_some_and(|text| !text.is_empty());
    if !given(&args.title) && !given(&args.body) {
        return Err(Failure::usage("--title or --body is missing"));
    }
    let priority = args.priority.as_deref().unwrap_or("active");
    if !["passive", "active", "timeSensitive"].contains(&priority) {
        return Err(Failure::usage("--priority is passive, active or timeSensitive"));
    }
    let params = json!({"title": args.title, "body": args.body, "priority": priority, "delivery": "system"});
    let call = Ask { command: "system.notify", params, time: args.invoke_timeout, key: None };
    let result = ask(shell, args.wanted(), args.timeout, &args.node, call)?;
    done(shell, args.json, &result, "Shown".to_owned())
}

struct Ask<'a> {
    command: &'a str,
    params: Value,
    time: Option<u64>,
    key: Option<String>,
}

fn ask(shell: &Shell, wanted: Wanted, timeout: Option<u64>, node: &str, call: Ask) -> Result<Value, Failure> {
    let time = call.time.unwrap_or(INVOKE_MS);
    if time == 0 {
        return Err(Failure::usage("--invoke-timeout must be at least 1"));
    }
    // The answer needs a little longer than the node.
    let whole = timeout.unwrap_or(ASK_MS).max(time.saturating_add(10_000));
    let calls = calls(shell, wanted, Some(whole), USUAL)?;
    let scope = crate::auth::node_commands::invoke_scope(call.command).name();
    let mut client = calls.connect(Identity::cli(&["operator.read", "operator.write", scope]))?;
    let node_id = resolve(&calls, &mut client, node)?;
    let params = json!({
        "nodeId": node_id, "command": call.command, "params": call.params, "timeoutMs": time,
        "idempotencyKey": call.key.unwrap_or_else(random::uuid),
    });
    let result = calls.ask(&mut client, "node.invoke", params)?;
    client.close();
    Ok(result)
}

/// The id of the node that is meant: by id, address, name, or the beginning of its id, in this order; connected ones
/// before others.
fn resolve(calls: &Calls, client: &mut Client, meant: &str) -> Result<String, Failure> {
    let meant = meant.trim();
    let all = calls.ask(client, "node.list", json!({}))?;
    let nodes = list_at(&all, "/nodes");
    let is = |node: &&Value, pointer: &str| text_at(node, pointer).is_some_and(|text| text.eq_ignore_ascii_case(meant));
    let begins = |node: &&Value| text_at(node, "/nodeId").is_some_and(|id| meant.len() >= 6 && id.starts_with(meant));
    let by: [Vec<&Value>; 4] = [
        nodes.iter().filter(|node| is(node, "/nodeId")).collect(),
        nodes.iter().filter(|node| is(node, "/remoteIp")).collect(),
        nodes.iter().filter(|node| is(node, "/displayName")).collect(),
        nodes.iter().filter(begins).collect(),
    ];
    let Some(found) = by.into_iter().find(|found| !found.is_empty()) else {
        return Err(Failure::usage(format!("no node is called {meant}")).hint("See: openclaw nodes status"));
    };
    let here: Vec<&Value> = found.iter().copied().filter(|node| node["connected"] == true).collect();
    let found = if here.is_empty() { found } else { here };
    match found[..] {
        [only] => Ok(text_at(only, "/nodeId").unwrap_or_default()),
        _ => Err(Failure::usage(format!("{} nodes are called {meant}", found.len())).hint("Use the node's id.")),
    }
}

fn calls(shell: &Shell, wanted: Wanted, timeout: Option<u64>, usual: Duration) -> Result<Calls, Failure> {
    Calls::new(&Settings::load(shell)?, wanted, timeout, usual)
}

fn looking(method: &str) -> Identity {
    Identity::backend(method, &["operator.read", "operator.pairing"])
}

fn pairing(more: &[&str]) -> Identity {
    let mut scopes = vec!["operator.pairing"];
    scopes.extend(more);
    Identity::cli(&scopes)
}

fn done(shell: &mut Shell, json: bool, result: &Value, words: String) -> Result<(), Failure> {
    if json { shell.json(result) } else { shell.line(words) }
}

/// Reads a duration such as `90s`, `24h` or `7d`: the moment that long ago, in milliseconds.
fn since(text: Option<&str>) -> Result<Option<u64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let bad = || Failure::usage("--last-connected looks like 90s, 30m, 24h or 7d");
    let text = text.trim();
    let (number, unit) = text.split_at(text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len());
    let each = match unit {
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(bad()),
    };
    let number: u64 = number.parse().map_err(|_| bad())?;
    Ok(Some(clock::now_ms().saturating_sub(number.saturating_mul(each))))
}

fn wanted(node: &Value, connected: bool, since: Option<u64>) -> bool {
    let recent = |since| number_at(node, "/lastConnectedAtMs").is_some_and(|at| at >= since);
    (!connected || node["connected"] == true) && since.is_none_or(recent)
}

/// Whether anything waited.
fn print_pending(shell: &mut Shell, result: &Value) -> Result<bool, Failure> {
    let pending = list_at(result, "/pending");
    if pending.is_empty() {
        return Ok(false);
    }
    shell.line("Waiting for approval:")?;
    let rows: Vec<_> = pending.iter().map(waiting).collect();
    for line in table(&["Request", "Node", "Name", "Platform", "From", "Age", "Offers"], &rows) {
        shell.line(line)?;
    }
    Ok(true)
}

fn waiting(request: &Value) -> Vec<String> {
    let text = |pointer: &str| text_at(request, pointer).unwrap_or_default();
    vec![
        text("/requestId"),
        shorten(&text("/nodeId"), ID_WIDTH),
        text("/displayName"),
        text("/platform"),
        text("/remoteIp"),
        ago(request, "/ts").unwrap_or_default(),
        names(request, "/commands"),
    ]
}

fn approved(node: &Value) -> Vec<String> {
    let text = |pointer: &str| text_at(node, pointer).unwrap_or_default();
    vec![
        text("/nodeId"),
        text("/displayName"),
        text("/platform"),
        ago(node, "/lastConnectedAtMs").unwrap_or_else(|| "never".into()),
        names(node, "/commands"),
    ]
}

fn row(node: &Value) -> Vec<String> {
    let text = |pointer: &str| text_at(node, pointer).unwrap_or_default();
    vec![
        shorten(&text("/nodeId"), ID_WIDTH),
        text("/displayName"),
        text("/platform"),
        text("/version"),
        text("/approvalState"),
        seen(node),
        names(node, "/commands"),
        stats(node).unwrap_or_default(),
    ]
}

fn seen(node: &Value) -> String {
    match node["connected"] == true {
        true => "connected".into(),
        false => ago(node, "/lastSeenAtMs").unwrap_or_else(|| "never".into()),
    }
}

fn ago(value: &Value, pointer: &str) -> Option<String> {
    number_at(value, pointer).map(|at| age(clock::now_ms().saturating_sub(at)))
}

/// `load 3.2/24, memory 151 GB of 192 GB, disk 1.2 TB free`.
fn stats(node: &Value) -> Option<String> {
    let at = |pointer: &str| number_at(node, pointer);
    let (total, free) = (at("/hostStats/memoryTotalBytes")?, at("/hostStats/memoryFreeBytes")?);
    let mut parts = Vec::new();
    if let (Some(load), Some(cpus)) =
        (node.pointer("/hostStats/loadAverage/0").and_then(Value::as_f64), at("/hostStats/cpuCount"))
    {
        parts.push(format!("load {load:.1}/{cpus}"));
    }
    parts.push(format!("memory {} of {}", size(total.saturating_sub(free)), size(total)));
    if let Some(disk) = at("/hostStats/diskAvailableBytes") {
        parts.push(format!("disk {} free", size(disk)));
    }
    if node["connected"] != true {
        let known = ago(node, "/hostStats/updatedAtMs").unwrap_or_default();
        parts.push(format!("(last known {known})"));
    }
    Some(parts.join(", "))
}

fn names(value: &Value, pointer: &str) -> String {
    let all: Vec<String> = list_at(value, pointer).iter().filter_map(|name| text_at(name, "")).collect();
    if all.is_empty() { "none".into() } else { all.join(" ") }
}

const USUAL: Duration = Duration::from_secs(10);

/// How long a node may take when nothing else is said.
const INVOKE_MS: u64 = 15_000;

/// How long a call may take in all.
const ASK_MS: u64 = 30_000;

const ID_WIDTH: usize = 17;
