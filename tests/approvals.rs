//! Approvals: commands that wait for a person, who may decide, and what becomes of them.

use serde_json::{Value, json};

use crate::support::device::{Defect, Device};
use crate::support::talk::{SESSION, chat_state, payloads, send};
use crate::support::{Answer, Gateway, Upstream, Ws, golden, wait, ws};

const OPERATOR: [&str; 3] = ["operator.admin", "operator.write", "operator.approvals"];

/// An upstream whose model runs these commands one after the other, then says that it is done.
fn running(commands: &[&str]) -> Upstream {
    let calls = commands.iter().map(|command| Answer::Call { name: "exec", arguments: json!({ "command": command }) });
    Upstream::script(calls.chain([Answer::say("done")]).collect::<Vec<_>>())
}

/// A gateway that asks in this mode.
fn asking(upstream: &Upstream, mode: Value) -> Gateway {
    Gateway::start(upstream.config_and(json!({ "tools": { "exec": mode } })))
}

/// A client that shows approvals.
fn reviewer(gateway: &Gateway) -> Ws {
    let mut client = Ws::open(gateway.addr());
    let mut params = ws::backend(&OPERATOR);
    params["caps"] = json!(["tool-events", "approvals", "exec-approvals"]);
    client.hello(params);
    client
}

/// Waits for a command to be asked about; the id of the approval.
#[track_caller]
fn requested(client: &mut Ws) -> String {
    let asked = client.event("exec.approval.requested");
    asked["payload"]["id"].as_str().expect("an id").to_string()
}

/// What the model was told of its latest tool call.
fn told(upstream: &Upstream, calls: usize) -> String {
    let asked = upstream.wait_asked(calls);
    asked[calls - 1].body["messages"].as_array().expect("messages").last().expect("a message").to_string()
}

#[test]
fn a_command_waits_for_a_person_and_runs_when_it_is_allowed() {
    let upstream = running(&["echo tool-output-42"]);
    let gateway = asking(&upstream, json!({ "security": "allowlist", "ask": "always" }));
    let mut client = reviewer(&gateway);
    let subscribed = client.ok("sessions.messages.subscribe", json!({ "key": SESSION, "includeApprovals": true }));
    golden::has(&subscribed, &json!({ "approvalReplay": { "approvals": [], "truncated": false } }));
    send(&mut client, SESSION, "run it", "run-1");
    let id = requested(&mut client);
    let listed = client.ok("exec.approval.list", json!({}));
    golden::has(
        &listed[0],
        &json!({
            "id": id, "approvalKind": "exec",
            "request": {
                "command": "echo tool-output-42", "host": "gateway", "security": "allowlist", "ask": "always",
                "allowedDecisions": ["allow-once", "deny"], "unavailableDecisions": ["allow-always"],
                "agentId": "main", "sessionKey": SESSION, "runId": "run-1", "nodeId": null,
                "commandAnalysis": { "commandCount": 1 },
            },
        }),
    );
    let shown = client.ok("approval.get", json!({ "id": id }));
    golden::has(
        &shown["approval"],
        &json!({
            "status": "pending", "urlPath": format!("/approve/{id}"),
            "presentation": { "kind": "exec", "commandText": "echo tool-output-42" },
        }),
    );
    assert_eq!(
        client.ok("exec.approval.resolve", json!({ "id": id, "decision": "allow-once" })),
        json!({ "ok": true })
    );
    client.wait_for("the final", |frame| chat_state(frame) == Some("final"));
    assert!(told(&upstream, 2).contains("tool-output-42"));
    let frames = client.take_backlog();
    let phases: Vec<&str> = payloads(&frames, "session.approval").iter().filter_map(|p| p["phase"].as_str()).collect();
    assert_eq!(phases, ["pending", "terminal"]);
    golden::has(
        payloads(&frames, "exec.approval.resolved")[0],
        &json!({ "id": id, "decision": "allow-once", "resolvedBy": "gateway-client" }),
    );
    let steps: Vec<&str> = payloads(&frames, "agent")
        .into_iter()
        .filter_map(|agent| agent["data"]["phase"].as_str())
        .filter(|phase| phase.contains("approval"))
        .collect();
    assert_eq!(steps, ["waiting-approval", "approval-resolved"]);
    let again = client.err("exec.approval.resolve", json!({ "id": id, "decision": "deny" }));
    golden::has(
        &again,
        &json!({ "message": "approval already resolved", "details": { "reason": "APPROVAL_ALREADY_RESOLVED" } }),
    );
    let history = client.ok("approval.history", json!({ "limit": 5 }));
    golden::has(&history["items"][0], &json!({ "id": id, "status": "allowed", "resolver": { "kind": "runtime" } }));
}

#[test]
fn a_denied_command_does_not_run_and_the_model_is_told() {
    let upstream = running(&["touch forbidden"]);
    let gateway = asking(&upstream, json!({ "mode": "ask" }));
    let mut client = reviewer(&gateway);
    send(&mut client, SESSION, "run it", "run-1");
    let id = requested(&mut client);
    let decided = client.ok("approval.resolve", json!({ "id": id, "kind": "exec", "decision": "deny" }));
    golden::has(&decided, &json!({ "applied": true, "approval": { "status": "denied", "reason": "user" } }));
    client.wait_for("the final", |frame| chat_state(frame) == Some("final"));
    assert!(told(&upstream, 2).contains(&format!("Exec denied (gateway id={id}, user-denied): touch forbidden")));
    assert!(!gateway.workspace().join("forbidden").exists());
}

#[test]
fn with_nobody_to_ask_a_command_is_denied_at_once() {
    let upstream = running(&["touch forbidden"]);
    let gateway = asking(&upstream, json!({ "mode": "ask" }));
    // This one cannot show approvals.
    let mut client = gateway.operator();
    send(&mut client, SESSION, "run it", "run-1");
    client.wait_for("the final", |frame| chat_state(frame) == Some("final"));
    assert!(told(&upstream, 2).contains("nobody is connected"));
    assert!(!gateway.workspace().join("forbidden").exists());
    let mut client = reviewer(&gateway);
    let history = client.ok("approval.history", json!({}));
    golden::has(
        &history["items"][0],
        &json!({ "status": "denied", "reason": "no-route", "resolver": { "kind": "system", "id": "no-approval-route" } }),
    );
}

#[test]
fn what_is_always_allowed_is_asked_about_once_and_only_to_the_letter() {
    let upstream = running(&["echo one", "echo one", "echo two", "echo one"]);
    let gateway = asking(&upstream, json!({ "mode": "ask" }));
    let mut client = reviewer(&gateway);
    send(&mut client, SESSION, "run it", "run-1");
    let first = requested(&mut client);
    client.ok("exec.approval.resolve", json!({ "id": first, "decision": "allow-always" }));
    let second = requested(&mut client);
    let listed = client.ok("exec.approval.list", json!({}));
    assert_eq!(listed[0]["request"]["command"], "echo two", "the same command was not asked about again");
    client.ok("exec.approval.resolve", json!({ "id": second, "decision": "deny" }));
    client.wait_for("the final", |frame| chat_state(frame) == Some("final"));
    assert_eq!(client.take_backlog().iter().filter(|f| f["event"] == "exec.approval.requested").count(), 0);
    let rules = client.ok("exec.approvals.get", json!({}));
    let list = rules["file"]["agents"]["main"]["allowlist"].as_array().expect("a list").clone();
    assert_eq!((list.len(), &list[0]["source"]), (1, &json!("allow-always")));
    assert!(list[0]["argPattern"].as_str().expect("a pattern").starts_with("sha256:argv:"));
    let text = told(&upstream, 5);
    assert!(text.contains("one"), "{text}");
}

#[test]
fn an_allowlist_covers_plain_programs_and_nothing_a_shell_would_make_of_them() {
    let upstream = running(&["echo a && echo b", "echo $(touch forbidden)", "touch forbidden", "echo x > forbidden"]);
    let gateway = asking(&upstream, json!({ "mode": "allowlist" }));
    let mut client = reviewer(&gateway);
    let file = json!({ "version": 1, "agents": { "*": { "allowlist": [{ "pattern": "echo" }] } } });
    let set = client.ok("exec.approvals.set", json!({ "file": file }));
    assert!(set["file"]["agents"]["*"]["allowlist"][0]["id"].is_string());
    send(&mut client, SESSION, "run it", "run-1");
    client.wait_for("the final", |frame| chat_state(frame) == Some("final"));
    let asked = upstream.wait_asked(5);
    let answers: Vec<String> = asked[4].body["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .filter(|message| message["role"] == "tool")
        .map(Value::to_string)
        .collect();
    assert!(answers[0].contains("a\\nb"), "{}", answers[0]);
    for refused in &answers[1..] {
        assert!(refused.contains("Exec denied"), "{refused}");
    }
    assert!(!gateway.workspace().join("forbidden").exists());
}

#[test]
fn a_request_outlives_the_connection_that_saw_it() {
    let upstream = running(&["echo patience"]);
    let gateway = asking(&upstream, json!({ "mode": "ask" }));
    let mut first = reviewer(&gateway);
    send(&mut first, SESSION, "run it", "run-1");
    let id = requested(&mut first);
    first.close();
    let mut second = reviewer(&gateway);
    let replay = second.ok("sessions.messages.subscribe", json!({ "key": SESSION, "includeApprovals": true }));
    golden::has(&replay["approvalReplay"]["approvals"][0], &json!({ "id": id, "status": "pending" }));
    assert_eq!(second.ok("exec.approval.get", json!({ "id": id }))["request"]["command"], "echo patience");
    second.ok("exec.approval.resolve", json!({ "id": id, "decision": "allow-once" }));
    second.wait_for("the final", |frame| chat_state(frame) == Some("final"));
    assert!(told(&upstream, 2).contains("patience"));
}

#[test]
fn a_stopped_run_takes_its_request_back() {
    let upstream = running(&["echo late"]);
    let gateway = asking(&upstream, json!({ "mode": "ask" }));
    let mut client = reviewer(&gateway);
    send(&mut client, SESSION, "run it", "run-1");
    let id = requested(&mut client);
    client.ok("chat.abort", json!({ "sessionKey": SESSION, "runId": "run-1" }));
    let resolved = client.event("exec.approval.resolved");
    golden::has(&resolved["payload"], &json!({ "id": id, "decision": null, "resolvedBy": null }));
    let shown = client.ok("approval.get", json!({ "id": id }));
    golden::has(&shown["approval"], &json!({ "status": "cancelled", "reason": "run-aborted" }));
    assert_eq!(client.ok("exec.approval.list", json!({})), json!([]));
}

#[test]
fn what_waited_when_the_gateway_died_is_cancelled() {
    let upstream = running(&["echo late"]);
    let gateway = asking(&upstream, json!({ "mode": "ask" }));
    let mut client = reviewer(&gateway);
    send(&mut client, SESSION, "run it", "run-1");
    let id = requested(&mut client);
    // The record is written behind the event: a decision that is refused comes after it in the same queue.
    client.ok("exec.approvals.set", json!({ "file": { "version": 1 } }));
    let home = gateway.kill();
    let gateway =
        Gateway::with(upstream.config_and(json!({ "tools": { "exec": { "mode": "ask" } } }))).home(home).start();
    let mut client = reviewer(&gateway);
    let shown = client.ok("approval.get", json!({ "id": id }));
    golden::has(&shown["approval"], &json!({ "status": "cancelled", "reason": "gateway-restart" }));
    let late = client.err("exec.approval.resolve", json!({ "id": id, "decision": "allow-once" }));
    golden::has(&late, &json!({ "details": { "reason": "APPROVAL_NOT_FOUND" } }));
}

#[test]
fn a_client_asks_in_two_phases_and_waits_for_the_decision() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let (mut decides, mut asks) = (reviewer(&gateway), Ws::open(gateway.addr()));
    asks.hello(ws::backend(&OPERATOR));
    let params = json!({ "title": "T", "description": "D", "pluginId": "x", "twoPhase": true, "timeoutMs": 20000 });
    let request = asks.request("plugin.approval.request", params);
    let accepted = asks.response(&request).expect("accepted");
    golden::has(&accepted, &json!({ "status": "accepted", "deliveryRoute": "approval-client" }));
    let id = accepted["id"].as_str().expect("an id").to_string();
    assert!(id.starts_with("plugin:"));
    golden::has(&decides.event("plugin.approval.requested")["payload"], &json!({ "id": id, "approvalKind": "plugin" }));
    assert_eq!(decides.ok("plugin.approval.list", json!({}))[0]["id"], id.as_str());
    let waiting = asks.request("plugin.approval.waitDecision", json!({ "id": id }));
    decides.ok("plugin.approval.resolve", json!({ "id": id, "decision": "allow-once" }));
    let last = asks.wait_for("the second answer", |frame| {
        frame["id"] == request.as_str() && frame["payload"]["decision"] == "allow-once"
    });
    assert!(last["payload"].get("terminalReason").is_none());
    golden::has(
        &asks.response(&waiting).expect("decided"),
        &json!({ "decision": "allow-once", "terminalReason": "user" }),
    );
    let own = decides.ok("approval.get", json!({ "id": id }));
    assert_eq!(own["approval"]["urlPath"], format!("/approve/{}", id.replace(':', "%3A")));
}

#[test]
fn an_asker_may_name_who_decides() {
    let gateway = Gateway::on(&Upstream::friendly());
    let device = Device::new(3);
    let mut named = Ws::open(gateway.addr());
    let mut params = ws::backend(&["operator.approvals"]);
    params["caps"] = json!(["approvals", "exec-approvals"]);
    device.connect_as(&mut named, params, Defect::None).expect("let in");
    let (mut other, mut asks) = (Ws::open(gateway.addr()), Ws::open(gateway.addr()));
    let mut params = ws::backend(&["operator.write", "operator.approvals"]);
    params["caps"] = json!(["approvals", "exec-approvals"]);
    other.hello(params);
    asks.hello(ws::backend(&OPERATOR));
    let params = json!({ "command": "id", "twoPhase": true, "timeoutMs": 20000, "sessionKey": SESSION,
        "approvalReviewerDeviceIds": [device.id] });
    other.ok("sessions.messages.subscribe", json!({ "key": SESSION, "includeApprovals": true }));
    let request = asks.request("exec.approval.request", params);
    let id = asks.response(&request).expect("accepted")["id"].clone();
    assert_eq!(requested(&mut named), id.as_str().expect("an id"));
    // For everybody else it is not there.
    let which = json!({ "id": id });
    assert_eq!(other.ok("exec.approval.list", json!({})), json!([]));
    for method in ["exec.approval.get", "approval.get", "exec.approval.waitDecision"] {
        assert_eq!(other.err(method, which.clone())["details"]["reason"], "APPROVAL_NOT_FOUND", "{method}");
    }
    let decision = |word: &str| json!({ "id": id, "decision": word });
    other.err("exec.approval.resolve", decision("allow-once"));
    // A grant with an end is not made one without.
    let lasting = json!({ "id": id, "decision": "allow-always", "grantExpiresInDays": 7 });
    let refused = named.err("exec.approval.resolve", lasting);
    assert!(refused["message"].as_str().is_some_and(|text| text.starts_with("grantExpiresInDays")), "{refused}");
    named.ok("exec.approval.resolve", decision("allow-once"));
    asks.wait_for("the second answer", |frame| frame["payload"]["decision"] == "allow-once");
    other.ok("health", json!({}));
    let heard =
        other.take_backlog().into_iter().filter(|f| f["event"].as_str().is_some_and(|e| e.contains("approval")));
    assert_eq!(heard.count(), 0);
}

#[test]
fn the_one_who_asks_cannot_decide_and_time_runs_out() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut alone = reviewer(&gateway);
    let params = json!({ "command": "id", "host": "gateway", "timeoutMs": 20000 });
    let answer = alone.ok("exec.approval.request", params);
    assert_eq!(answer["decision"], Value::Null, "nobody else is there");
    let waited = alone.ok("exec.approval.waitDecision", json!({ "id": answer["id"] }));
    assert_eq!(waited["terminalReason"], "no-route");
    let mut other = reviewer(&gateway);
    let answer = alone.ok("exec.approval.request", json!({ "command": "id", "timeoutMs": 50 }));
    assert_eq!(answer["decision"], Value::Null);
    let resolved = other.event("exec.approval.resolved");
    assert_eq!(resolved["payload"]["id"], answer["id"]);
    let shown = other.ok("approval.get", json!({ "id": answer["id"] }));
    golden::has(&shown["approval"], &json!({ "status": "expired", "reason": "timeout" }));
}

#[test]
fn an_asker_says_whether_it_is_shown_and_whether_somebody_is_demanded() {
    let gateway = Gateway::on(&Upstream::friendly());
    let mut asks = reviewer(&gateway);
    let ask = |asks: &mut Ws, more: Value| {
        let mut params = json!({ "command": "id", "twoPhase": true, "timeoutMs": 20000 });
        crate::support::gateway::merge(&mut params, more);
        let request = asks.request("exec.approval.request", params);
        asks.response(&request).expect("an answer")
    };
    // Nobody is there, and nobody is demanded: it waits for somebody who looks.
    let waits = ask(&mut asks, json!({ "requireDeliveryRoute": false }));
    assert_eq!((&waits["status"], &waits["deliveryRoute"]), (&json!("accepted"), &json!("none")), "{waits}");
    let mut other = reviewer(&gateway);
    let hidden = ask(&mut asks, json!({ "requireDeliveryRoute": false, "suppressDelivery": true }));
    assert_eq!((&hidden["status"], &hidden["deliveryRoute"]), (&json!("accepted"), &json!("none")), "{hidden}");
    let denied = ask(&mut asks, json!({ "suppressDelivery": true }));
    assert_ne!(denied["status"], "accepted", "{denied}");
    let shown = ask(&mut asks, json!({}));
    assert_eq!(shown["deliveryRoute"], "approval-client");
    assert_eq!(requested(&mut other), shown["id"].as_str().expect("an id"), "the others were not shown");
    other.ok("exec.approval.resolve", json!({ "id": hidden["id"], "decision": "deny" }));
}

#[test]
fn the_rules_are_changed_by_whoever_saw_them_last() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = reviewer(&gateway);
    let seen = client.ok("exec.approvals.get", json!({}));
    golden::has(
        &seen,
        &json!({
            "exists": false, "file": { "version": 1, "defaults": {}, "agents": {} },
            "resolvedDefaults": { "security": "full", "ask": "off", "askFallback": "deny", "autoAllowSkills": false },
        }),
    );
    let file = json!({ "version": 1, "defaults": { "ask": "always" }, "agents": {} });
    let set = client.ok("exec.approvals.set", json!({ "file": file, "baseHash": seen["hash"] }));
    golden::has(&set, &json!({ "exists": true, "resolvedDefaults": { "ask": "always" } }));
    for stale in [json!({ "file": file, "baseHash": seen["hash"] }), json!({ "file": file })] {
        let error = client.err("exec.approvals.set", stale);
        assert!(error["message"].as_str().expect("words").contains("re-run exec.approvals.get"), "{error}");
    }
    let bad = json!({ "version": 1, "defaults": { "ask": "sometimes" } });
    client.err("exec.approvals.set", json!({ "file": bad, "baseHash": set["hash"] }));
    let mut weak = Ws::open(gateway.addr());
    weak.hello(ws::backend(&["operator.write", "operator.approvals"]));
    golden::has(&weak.err("exec.approvals.get", json!({})), &json!({ "code": "FORBIDDEN" }));
}

#[test]
fn a_client_that_may_not_decide_hears_nothing() {
    let upstream = running(&["echo hush"]);
    let gateway = asking(&upstream, json!({ "mode": "ask" }));
    let (mut decides, mut reads) = (reviewer(&gateway), Ws::open(gateway.addr()));
    let mut params = ws::backend(&["operator.write"]);
    params["caps"] = json!(["approvals", "exec-approvals"]);
    reads.hello(params);
    let replay = reads.ok("sessions.messages.subscribe", json!({ "key": SESSION, "includeApprovals": true }));
    assert!(replay.get("approvalReplay").is_none());
    send(&mut decides, SESSION, "run it", "run-1");
    let id = requested(&mut decides);
    golden::has(
        &reads.err("exec.approval.resolve", json!({ "id": id, "decision": "deny" })),
        &json!({ "code": "FORBIDDEN" }),
    );
    decides.ok("exec.approval.resolve", json!({ "id": id, "decision": "deny" }));
    reads.wait_for("the final", |frame| chat_state(frame) == Some("final"));
    let approvals =
        reads.take_backlog().into_iter().filter(|f| f["event"].as_str().is_some_and(|e| e.contains("approval")));
    assert_eq!(approvals.count(), 0);
}

#[test]
fn approvals_are_decided_from_the_command_line() {
    let upstream = running(&["echo by hand"]);
    let gateway = asking(&upstream, json!({ "mode": "ask" }));
    let mut client = reviewer(&gateway);
    send(&mut client, SESSION, "run it", "run-1");
    let id = requested(&mut client);
    let port = gateway.addr().port().to_string();
    let cli = |args: &[&str]| crate::support::gateway::run(gateway.home(), &[args, &["--port", &port]].concat(), &[]);
    let pending = cli(&["approvals", "pending", "--json"]);
    let pending: Value = serde_json::from_slice(&pending.stdout).expect("JSON");
    golden::has(&pending["approvals"][0], &json!({ "id": id, "kind": "exec", "summary": "echo by hand" }));
    let bad = cli(&["approvals", "resolve", &id, "maybe"]);
    assert!(!bad.status.success());
    let done = cli(&["approvals", "resolve", &id, "allow-once"]);
    assert!(done.status.success(), "{done:?}");
    client.wait_for("the final", |frame| chat_state(frame) == Some("final"));
    assert!(told(&upstream, 2).contains("by hand"));
    let again = cli(&["approvals", "resolve", &id, "allow-once"]);
    assert!(again.status.success() && String::from_utf8_lossy(&again.stdout).contains("already resolved"), "{again:?}");
    assert!(!cli(&["approvals", "resolve", &id, "deny"]).status.success(), "it was allowed");
    assert!(cli(&["approvals", "allowlist", "add", "/usr/bin/uname"]).status.success());
    let shown = cli(&["approvals", "get", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(shown["file"]["agents"]["*"]["allowlist"][0]["pattern"], "/usr/bin/uname");
    assert!(cli(&["approvals", "allowlist", "remove", "/usr/bin/uname"]).status.success());
    wait::until("the rule is gone", || {
        let rules = client.ok("exec.approvals.get", json!({}));
        rules["file"]["agents"]["*"].get("allowlist").is_none().then_some(())
    });
}
