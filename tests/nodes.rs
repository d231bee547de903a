//! Nodes against the real binary: they come, are approved, are asked, answer, go away and come back.

use serde_json::{Value, json};

use crate::support::device::Device;
use crate::support::gateway::{self, Gateway, TOKEN};
use crate::support::talk::{SESSION, say, send};
use crate::support::ws::{self, Ws};
use crate::support::{Answer, Upstream};

fn connect(gateway: &Gateway, node: &Device) -> Ws {
    let mut socket = Ws::open(gateway.addr());
    node.connect(&mut socket, &[], json!({ "token": TOKEN })).expect("let in");
    socket
}

fn node(seed: u8, commands: &[&'static str]) -> Device {
    Device { commands: commands.to_vec(), ..Device::node(seed) }
}

/// A connected node whose offer was approved.
fn approved(gateway: &Gateway, operator: &mut Ws, node: &Device) -> Ws {
    let socket = connect(gateway, node);
    let asked = operator.event_where("node.pair.requested", |request| request["nodeId"] == *node.id);
    operator.ok("node.pair.approve", json!({ "requestId": asked["payload"]["requestId"] }));
    socket
}

fn call(node: &Device, command: &str, params: Value) -> Value {
    json!({ "nodeId": node.id, "command": command, "params": params, "idempotencyKey": "k1", "timeoutMs": 15000 })
}

#[test]
fn a_node_is_approved_asked_answers_goes_away_and_comes_back() {
    let gateway = Gateway::start(json!({}));
    let mut operator = gateway.operator();
    let node = node(1, &["system.which", "system.notify", "dir.fetch"]);
    let mut host = connect(&gateway, &node);
    let seen = operator.event_where("presence", |told| told.to_string().contains("node-host"))["payload"].take();
    let row =
        seen["presence"].as_array().expect("rows").iter().find(|row| row["mode"] == "node").expect("the node").clone();
    assert_eq!(
        row,
        json!({
            "host": "node-host", "version": "test", "platform": "linux", "mode": "node",
            "reason": "connect", "deviceId": node.id, "roles": ["node"], "text": "Node: node-host · mode node",
            "ts": row["ts"],
        })
    );
    let request = operator.event("node.pair.requested")["payload"].take();
    assert_eq!(
        request,
        json!({
            "requestId": request["requestId"], "nodeId": node.id, "clientId": "node-host", "clientMode": "node",
            "platform": "linux", "version": "test", "caps": [], "commands": ["system.which", "system.notify"],
            "requiredApproveScopes": ["operator.pairing", "operator.admin"], "silent": true, "ts": request["ts"],
        }),
        "what is not allowed here is not offered"
    );
    let error = operator.err("node.invoke", call(&node, "system.which", json!({})));
    assert_eq!(error["details"]["reason"], "command not approved");
    let waiting = operator.ok("node.pair.list", json!({}));
    assert_eq!(waiting, json!({ "pending": [request], "paired": [] }));
    let done = operator.ok("node.pair.approve", json!({ "requestId": request["requestId"] }));
    assert_eq!(done["node"]["commands"], json!(["system.which", "system.notify"]));
    let told = host.event("node.pair.resolved");
    assert!(told.get("seq").is_none() && told["payload"]["decision"] == "approved");
    assert_eq!(operator.event("node.pair.resolved")["payload"]["nodeId"], *node.id);

    let asked = operator.request("node.invoke", call(&node, "system.which", json!({ "bins": ["sh"] })));
    let event = host.event("node.invoke.request");
    let sent = &event["payload"];
    assert!(event.get("seq").is_none());
    assert_eq!(
        (&sent["command"], &sent["paramsJSON"], &sent["idempotencyKey"], &sent["timeoutMs"]),
        (&json!("system.which"), &json!(r#"{"bins":["sh"]}"#), &json!("k1"), &json!(15000))
    );
    let answer =
        json!({ "id": sent["id"], "nodeId": node.id, "ok": true, "payloadJSON": r#"{"bins":{"sh":"/bin/sh"}}"# });
    assert_eq!(host.ok("node.invoke.result", answer.clone()), json!({ "ok": true }));
    assert_eq!(
        operator.response(&asked).expect("answered"),
        json!({
            "ok": true, "nodeId": node.id, "command": "system.which",
            "payload": { "bins": { "sh": "/bin/sh" } }, "payloadJSON": r#"{"bins":{"sh":"/bin/sh"}}"#,
        })
    );
    assert_eq!(host.ok("node.invoke.result", answer)["ignored"], true, "nobody waits for a second answer");

    let seen = operator.ok("node.describe", json!({ "nodeId": node.id }));
    assert_eq!(
        (&seen["connected"], &seen["approvalState"], &seen["commands"]),
        (&json!(true), &json!("approved"), &json!(["system.notify", "system.which"]))
    );
    let pending = operator.request("node.invoke", call(&node, "system.which", json!({})));
    host.event("node.invoke.request");
    host.close();
    operator.event_where("presence", |told| told.to_string().contains("disconnect"));
    let error = operator.response(&pending).expect_err("it went away");
    assert_eq!((&error["code"], &error["details"]["code"]), (&json!("UNAVAILABLE"), &json!("NOT_CONNECTED")));
    let error = operator.err("node.invoke", call(&node, "system.which", json!({})));
    assert_eq!(
        error,
        json!({ "code": "UNAVAILABLE", "message": "node not connected", "details": {
            "code": "NOT_CONNECTED", "nodeError": { "code": "NOT_CONNECTED", "message": "node not connected" },
            "nodeCommandDispatched": false,
        } })
    );
    let mut host = connect(&gateway, &node);
    let asked = operator.request("node.invoke", call(&node, "system.notify", json!(null)));
    let sent = host.event("node.invoke.request")["payload"].take();
    let error = json!({ "code": "NODE_BUSY", "message": "not now" });
    host.ok("node.invoke.result", json!({ "id": sent["id"], "nodeId": node.id, "ok": false, "error": error }));
    let failed = operator.response(&asked).expect_err("the node refused");
    assert_eq!(
        (&failed["message"], &failed["details"]["nodeCommandDispatched"]),
        (&json!("NODE_BUSY: not now"), &json!(true))
    );
    drop(host);
    let gateway = Gateway::with(json!({})).home(gateway.kill()).start();
    let mut operator = gateway.operator();
    let list = operator.ok("node.list", json!({}));
    assert_eq!(
        (&list["nodes"][0]["approvalState"], &list["nodes"][0]["connected"]),
        (&json!("approved"), &json!(false))
    );
}

#[test]
fn a_node_that_does_not_answer_is_told_to_stop() {
    let gateway = Gateway::start(json!({}));
    let mut operator = gateway.operator();
    let node = node(2, &["system.which"]);
    let mut host = approved(&gateway, &mut operator, &node);
    let mut params = call(&node, "system.which", json!({}));
    params["timeoutMs"] = json!(50);
    let error = operator.err("node.invoke", params);
    assert_eq!(
        error,
        json!({ "code": "UNAVAILABLE", "message": "TIMEOUT: node invoke timed out", "details": {
            "nodeError": { "code": "TIMEOUT", "message": "node invoke timed out" }, "nodeCommandDispatched": true,
        } })
    );
    let sent = host.event("node.invoke.request")["payload"].take();
    let cancelled = host.event("node.invoke.cancel");
    assert_eq!(cancelled["payload"], json!({ "invokeId": sent["id"], "nodeId": node.id }));
    let error = operator.err("node.invoke", call(&node, "nope.cmd", json!({})));
    assert_eq!(
        error["message"],
        "node command not allowed: \"nope.cmd\" is not in the allowlist for platform \"linux\""
    );
    let error = operator.err("node.invoke", call(&node, "system.run", json!({})));
    assert_eq!(error["details"]["reason"], "command not declared by node");
}

#[test]
fn t30_a_node_answers_its_own_calls_only() {
    let gateway = Gateway::start(json!({}));
    let mut operator = gateway.operator();
    let (asked, liar) = (node(3, &["system.which"]), node(4, &["system.which"]));
    let mut host = approved(&gateway, &mut operator, &asked);
    let mut other = approved(&gateway, &mut operator, &liar);
    let mut twin = connect(&gateway, &node(3, &["system.which"]));
    let open = operator.request("node.invoke", call(&asked, "system.which", json!({})));
    let sent = twin.event("node.invoke.request")["payload"].take();
    for (from_host, node_id) in [(false, &asked.id), (false, &liar.id), (true, &asked.id)] {
        let socket = if from_host { &mut host } else { &mut other };
        let forged = json!({ "id": sent["id"], "nodeId": node_id, "ok": true, "payloadJSON": "{}" });
        let error = socket.err("node.invoke.result", forged);
        assert_eq!(error["message"], "node invoke result does not belong to this node");
    }
    let stats = r#"{"cpuCount":2,"memoryTotalBytes":9,"memoryFreeBytes":3}"#;
    let report = json!({ "event": "node.host.stats", "payloadJSON": stats });
    assert_eq!(host.ok("node.event", report.clone())["reason"], "stale_connection");
    assert_eq!(twin.ok("node.event", report)["reason"], "updated");
    assert_eq!(operator.event("node.hostStats")["payload"]["hostStats"]["cpuCount"], 2);
    for event in ["exec.finished", "exec.approval.resolved", "chat", "nope"] {
        let claimed = twin.ok("node.event", json!({ "event": event, "payloadJSON": "{\"runId\":\"x\"}" }));
        assert_eq!((&claimed["handled"], &claimed["reason"]), (&json!(false), &json!("unsupported_event")));
    }
    twin.ok("node.invoke.result", json!({ "id": sent["id"], "nodeId": asked.id, "ok": true }));
    operator.response(&open).expect("the one that was asked");
}

#[test]
fn nodes_and_operators_have_methods_of_their_own() {
    let gateway = Gateway::start(json!({}));
    let mut operator = gateway.operator();
    let error = operator.err("node.invoke.result", json!({}));
    assert_eq!(error["message"], "unauthorized role: operator");
    let node = node(5, &[]);
    let mut host = connect(&gateway, &node);
    for method in ["status", "node.list", "chat.send", "device.pair.list", "config.get"] {
        assert_eq!(host.err(method, json!({}))["message"], "unauthorized role: node", "{method}");
    }
    host.ok("health", json!({}));
    operator.ok("node.pending.enqueue", json!({ "nodeId": node.id, "type": "status.request" }));
    let left = host.ok("node.pending.drain", json!({}));
    assert_eq!((&left["items"][0]["type"], &left["hasMore"]), (&json!("status.request"), &json!(false)));
    assert_eq!(host.ok("node.skills.update", json!({ "skills": [] }))["nodeId"], *node.id);
    let skill = json!({ "name": "s", "description": "d", "content": "c" });
    let refused = host.err("node.skills.update", json!({ "skills": [skill] }));
    assert_eq!(refused["code"], "UNAVAILABLE", "what is not used is not taken");
    let tool = json!({ "pluginId": "p", "name": "t", "description": "d" });
    assert_eq!(host.ok("node.pluginTools.update", json!({ "tools": [tool] }))["tools"][0]["name"], "t");
    assert_eq!(operator.ok("node.describe", json!({ "nodeId": node.id }))["nodePluginTools"][0]["name"], "t");
    operator.ok("node.rename", json!({ "nodeId": node.id, "displayName": "attic" }));
    assert_eq!(operator.ok("node.list", json!({}))["nodes"][0]["displayName"], "attic");
    operator.ok("node.pair.remove", json!({ "nodeId": node.id }));
    let told = host.event("node.pair.resolved")["payload"].take();
    assert_eq!((&told["decision"], &told["requestId"]), (&json!("removed"), &json!("")));
    assert_eq!(host.closed(), (4001, "gateway auth changed".into()));
    assert_eq!(operator.ok("node.list", json!({}))["nodes"], json!([]));
}

#[test]
fn t26_a_node_that_grows_waits_for_approval_and_small_operators_cannot_give_it() {
    let gateway = Gateway::start(json!({}));
    let mut operator = gateway.operator();
    let mut device = node(6, &["system.notify"]);
    drop(approved(&gateway, &mut operator, &device));
    device.commands.push("system.run");
    let mut host = connect(&gateway, &device);
    let request = operator.event_where("node.pair.requested", |request| request["nodeId"] == *device.id);
    let error = operator.err("node.invoke", call(&device, "system.run", json!({})));
    assert_eq!(error["details"]["reason"], "command not approved");
    operator.request("node.invoke", call(&device, "system.notify", json!({})));
    assert_eq!(host.event("node.invoke.request")["payload"]["command"], "system.notify", "what was approved goes on");
    let mut small = Ws::open(gateway.addr());
    small.hello(ws::backend(&["operator.pairing", "operator.write"]));
    let params = json!({ "requestId": request["payload"]["requestId"] });
    let error = small.err("node.pair.approve", params.clone());
    assert_eq!(error["details"]["missingScope"], "operator.admin");
    operator.ok("node.pair.approve", params);
    operator.request("node.invoke", call(&device, "system.run", json!({})));
    assert_eq!(host.event("node.invoke.request")["payload"]["command"], "system.run");
}

#[test]
fn an_agent_asks_a_node() {
    let upstream = Upstream::script([
        Answer::say("nobody is paired"),
        Answer::Call { name: "nodes", arguments: json!({ "action": "notify", "node": "attic", "title": "Tea" }) },
        Answer::say("It was shown."),
    ]);
    let gateway = Gateway::on(&upstream);
    let mut operator = gateway.operator();
    say(&mut operator, SESSION, "hello", "run-0");
    assert!(
        !upstream.wait_asked(1)[0].body["tools"].to_string().contains("\"nodes\""),
        "without nodes there is no tool"
    );
    let node = node(7, &["system.notify"]);
    let mut host = approved(&gateway, &mut operator, &node);
    operator.ok("node.rename", json!({ "nodeId": node.id, "displayName": "Attic" }));
    send(&mut operator, SESSION, "tell the attic", "run-1");
    let sent = host.event("node.invoke.request")["payload"].take();
    assert_eq!(
        (&sent["command"], sent["paramsJSON"].as_str()),
        (&json!("system.notify"), Some(r#"{"title":"Tea","body":""}"#))
    );
    // How far it has come is shown with the tool call; what comes twice, for another or too late is not.
    let progress =
        |seq: u64, chunk: &str| json!({ "invokeId": sent["id"], "nodeId": node.id, "seq": seq, "chunk": chunk });
    assert_eq!(host.ok("node.invoke.progress", progress(0, "rin")), json!({ "ok": true, "ignored": false }));
    assert_eq!(host.ok("node.invoke.progress", progress(0, "rin")), json!({ "ok": true, "ignored": true }));
    assert_eq!(host.ok("node.invoke.progress", progress(1, "ging")), json!({ "ok": true, "ignored": false }));
    operator.event_where("agent", |agent| agent["stream"] == "command_output" && agent["data"]["output"] == "ringing");
    let other = json!({ "invokeId": sent["id"], "nodeId": "another", "seq": 2, "chunk": "x" });
    assert_eq!(host.err("node.invoke.progress", other)["message"], "nodeId mismatch");
    let long = host.err("node.invoke.progress", progress(2, &"x".repeat(16_385)));
    assert!(long["message"].as_str().is_some_and(|text| text.contains("at /chunk")), "{long}");
    host.ok(
        "node.invoke.result",
        json!({ "id": sent["id"], "nodeId": node.id, "ok": true, "payloadJSON": "{\"shown\":1}" }),
    );
    operator.event_where("chat", |chat| chat["state"] == "final" && chat["runId"] == "run-1");
    assert_eq!(host.ok("node.invoke.progress", progress(9, "late")), json!({ "ok": true, "ignored": true }));
    let asked = upstream.wait_asked(3);
    let back = asked[2].body["messages"].as_array().expect("messages").last().expect("a message").to_string();
    assert!(back.contains("shown"), "{back}");
}

#[test]
fn a_run_that_waits_for_a_node_can_be_stopped() {
    let upstream = Upstream::script([
        Answer::Call { name: "nodes", arguments: json!({ "action": "notify", "node": "n", "title": "Tea" }) },
        Answer::say("never asked"),
    ]);
    let gateway = Gateway::on(&upstream);
    let mut operator = gateway.operator();
    let node = node(8, &["system.notify"]);
    let mut host = approved(&gateway, &mut operator, &node);
    operator.ok("node.rename", json!({ "nodeId": node.id, "displayName": "n" }));
    send(&mut operator, SESSION, "go", "run-1");
    host.event("node.invoke.request");
    operator.ok("chat.abort", json!({ "sessionKey": SESSION }));
    operator.event_where("chat", |chat| chat["state"] == "aborted" && chat["runId"] == "run-1");
}

#[test]
fn the_command_line_approves_names_and_asks_nodes() {
    let gateway = Gateway::start(json!({}));
    let openclaw = |args: &[&str]| {
        let port = gateway.addr().port().to_string();
        let ran = gateway::run(gateway.home(), &[args, &["--port", &port]].concat(), &[]);
        assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).expect("text")
    };
    let node = node(9, &["system.which"]);
    let mut host = connect(&gateway, &node);
    assert!(openclaw(&["nodes", "pending"]).contains("system.which"));
    openclaw(&["nodes", "approve"]);
    openclaw(&["nodes", "rename", "--node", &node.id[..8], "--name", "attic"]);
    host.event("node.pair.resolved");
    let answering = std::thread::spawn(move || {
        let sent = host.event("node.invoke.request")["payload"].take();
        host.ok(
            "node.invoke.result",
            json!({ "id": sent["id"], "nodeId": sent["nodeId"], "ok": true, "payloadJSON": "{\"bins\":7}" }),
        );
        host
    });
    let answer = openclaw(&["nodes", "invoke", "--node", "attic", "--command", "system.which", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&answer).expect("JSON")["payload"]["bins"], 7);
    drop(answering.join().expect("the node answered"));
    assert!(openclaw(&["nodes", "describe", "--node", "attic"]).contains("system.which"));
    assert!(openclaw(&["nodes", "status", "--last-connected", "1h"]).contains("attic"));
    openclaw(&["nodes", "remove", "--node", "attic"]);
    assert!(openclaw(&["nodes"]).contains("No nodes."));
}
