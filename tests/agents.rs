//! Agents made, changed and removed by RPC, their files, and a gateway that is held still for its host.

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::golden;
use crate::support::talk::{SESSION, say, send};
use crate::support::upstream::{Answer, Upstream};

#[test]
fn an_agent_is_made_talked_to_changed_and_removed() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let home = gateway.home().join("ws-two");
    let made = client.ok("agents.create", json!({ "name": "gap two", "workspace": home }));
    golden::has(&made, &json!({ "ok": true, "agentId": "gap-two", "name": "gap two", "workspace": home }));
    let list = client.ok("agents.list", json!({}));
    assert_eq!(list["defaultId"], "main", "the agent that was there stays the default");
    assert_eq!(list["agents"].as_array().expect("agents").len(), 2);
    assert!(
        client.err("agents.create", json!({ "name": "Gap Two" }))["message"]
            .as_str()
            .expect("words")
            .contains("exists")
    );
    client.err("agents.create", json!({ "name": "main" }));
    client.err("agents.create", json!({ "name": "" }));

    assert_eq!(client.ok("agents.update", json!({ "agentId": "gap-two", "name": "Gap!" }))["ok"], true);
    let named = client.ok("agent.identity.get", json!({ "agentId": "gap-two" }));
    golden::has(&named, &json!({ "name": "Gap!", "nameSource": "agent" }));
    let absent = client.err("agents.update", json!({ "agentId": "nobody", "name": "x" }));
    assert_eq!(absent["message"], "agent \"nobody\" not found");

    let key = "agent:gap-two:main";
    say(&mut client, key, "hello", "run-1");
    assert_eq!(client.ok("sessions.describe", json!({ "key": key }))["session"]["agentId"], "gap-two");
    let gone = client.ok("agents.delete", json!({ "agentId": "gap-two", "deleteFiles": true }));
    golden::has(
        &gone,
        &json!({ "ok": true, "removedBindings": 0, "removed": [{ "path": home, "method": "trash" }], "failed": [] }),
    );
    assert!(!home.exists(), "its files are moved aside");
    assert_eq!(client.ok("agents.list", json!({}))["agents"].as_array().expect("agents").len(), 1);
    assert_eq!(client.ok("sessions.list", json!({}))["sessions"].as_array().map(Vec::len), Some(0));
    client.err("agents.delete", json!({ "agentId": "gap-two" }));
    client.err("agents.delete", json!({ "agentId": "main" }));
}

#[test]
fn an_agents_files_are_read_and_written_and_nothing_else() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let set = client.ok("agents.files.set", json!({ "agentId": "main", "name": "AGENTS.md", "content": "Be brief." }));
    golden::has(&set, &json!({ "ok": true, "file": { "name": "AGENTS.md", "missing": false, "size": 9 } }));
    let got = client.ok("agents.files.get", json!({ "agentId": "main", "name": "AGENTS.md" }));
    assert_eq!(got["file"]["content"], "Be brief.");
    let list = client.ok("agents.files.list", json!({ "agentId": "main" }));
    let names: Vec<&str> = list["files"].as_array().expect("files").iter().filter_map(|f| f["name"].as_str()).collect();
    assert_eq!(names, ["AGENTS.md", "SOUL.md", "USER.md", "BOOTSTRAP.md", "MEMORY.md"]);
    golden::has(&list["files"][4], &json!({ "missing": true, "expectedAbsent": true }));
    let refused = client.err("agents.files.set", json!({ "agentId": "main", "name": "NOTES.md", "content": "x" }));
    assert_eq!(refused["message"], "unsupported file \"NOTES.md\"");
    client.err("agents.files.get", json!({ "agentId": "main", "name": "../openclaw.json" }));
    let seen = client.ok("agents.workspace.list", json!({ "agentId": "main" }));
    golden::has(&seen, &json!({ "path": "", "offset": 0, "entries": [{ "path": "AGENTS.md", "kind": "file" }] }));
    let file = client.ok("agents.workspace.get", json!({ "agentId": "main", "path": "AGENTS.md" }));
    golden::has(&file["file"], &json!({ "encoding": "utf8", "content": "Be brief.", "mimeType": "text/plain" }));
    for path in ["../openclaw.json", "/etc/passwd", "nowhere.md", ""] {
        client.err("agents.workspace.get", json!({ "agentId": "main", "path": path }));
    }
}

#[test]
fn a_gateway_is_held_still_only_when_nothing_is_made_and_refuses_everything_meanwhile() {
    let upstream = Upstream::script([Answer::Hold(vec!["One".into()], vec![".".into()]), Answer::say("Two.")]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, SESSION, "first", "run-1");
    upstream.wait_asked(1);
    let busy = client.ok("gateway.suspend.prepare", json!({ "requestId": "r1" }));
    golden::has(&busy, &json!({ "status": "busy", "reason": "active-work", "retryAfterMs": 20000, "activeCount": 1 }));
    assert_eq!(client.ok("gateway.restart.preflight", json!({}))["safe"], false);
    upstream.release();
    client.event_where("chat", |chat| chat["state"] == "final");
    let ready = crate::support::wait::until("the run to be forgotten", || {
        let ready = client.ok("gateway.suspend.prepare", json!({ "requestId": "r1" }));
        (ready["status"] == "ready").then_some(ready)
    });
    client.event_where("gateway.suspension", |event| event["phase"] == "prepared");
    let id = ready["suspensionId"].as_str().expect("an id").to_string();
    let refused = client.err("health", json!({}));
    golden::has(
        &refused,
        &json!({
            "code": "UNAVAILABLE", "message": "health unavailable during gateway suspension", "retryable": true,
            "retryAfterMs": 1000,
            "details": { "method": "health", "reason": "gateway-suspending", "phase": "prepared" },
        }),
    );
    let (mut other, hello) = {
        let mut other = crate::support::Ws::open(gateway.addr());
        let hello = other.hello(crate::support::ws::backend(&["operator.read", "operator.admin"]));
        (other, hello)
    };
    assert_eq!(hello["snapshot"]["suspension"]["phase"], "prepared");
    assert_eq!(other.ok("gateway.suspend.status", json!({ "suspensionId": id }))["status"], "ready");
    assert_eq!(gateway.get("/health").status, 200);
    assert_eq!(gateway.get("/readyz").status, 503);
    assert_eq!(gateway.get("/startupz").status, 503);
    let turned = gateway.post("/v1/chat/completions", &json!({ "messages": [{ "role": "user", "content": "hi" }] }));
    assert_eq!(turned.status, 503);
    client.err("gateway.suspend.resume", json!({ "suspensionId": "other" }));
    let resumed = client.ok("gateway.suspend.resume", json!({ "suspensionId": id }));
    assert_eq!(resumed, json!({ "ok": true, "status": "running", "resumed": true }));
    client.event_where("gateway.suspension", |event| event["phase"] == "accepting");
    assert_eq!(client.ok("gateway.suspend.status", json!({ "suspensionId": id }))["status"], "running");
    assert_eq!(gateway.get("/readyz").status, 200);
    say(&mut client, SESSION, "second", "run-2");
}

#[test]
fn a_gateway_keeps_its_key() {
    let gateway = Gateway::start(json!({}));
    let key = gateway.operator().ok("gateway.identity.get", json!({}));
    assert_eq!(key["deviceId"].as_str().map(str::len), Some(64));
    let again: Value = gateway.operator().ok("gateway.identity.get", json!({}));
    assert_eq!(key, again);
    let home = gateway.kill();
    let gateway = Gateway::with(json!({})).home(home).start();
    assert_eq!(gateway.operator().ok("gateway.identity.get", json!({})), key);
}
