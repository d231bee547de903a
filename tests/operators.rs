//! What a dashboard does beside talking: tools called, groups of sessions, ways a conversation went, preferences, restarts.

use serde_json::{Value, json};

use crate::support::device::Device;
use crate::support::gateway::{Gateway, TOKEN};
use crate::support::golden;
use crate::support::talk::{roles, say};
use crate::support::upstream::{Answer, Upstream};
use crate::support::wait;
use crate::support::ws::{self, Ws};

const MAIN: &str = "agent:main:main";

/// A client that has a profile, as those of people have.
fn person(gateway: &Gateway, seed: u8) -> Ws {
    let mut client = Ws::open(gateway.addr());
    let scopes = ["operator.admin", "operator.read", "operator.write"];
    Device::new(seed).connect(&mut client, &scopes, json!({ "token": TOKEN })).expect("a device of this host");
    client
}

/// Texts of a session's messages.
fn texts(client: &mut Ws, key: &str) -> Vec<String> {
    let history = client.ok("chat.history", json!({ "sessionKey": key }));
    let messages = history["messages"].as_array().expect("messages");
    let text = |message: &Value| match &message["content"] {
        Value::String(text) => text.clone(),
        blocks => blocks[0]["text"].as_str().unwrap_or_default().to_string(),
    };
    messages.iter().map(text).collect()
}

/// Id of the n-th message of a session.
fn id(client: &mut Ws, key: &str, n: usize) -> String {
    let history = client.ok("chat.history", json!({ "sessionKey": key }));
    history["messages"][n]["__openclaw"]["id"].as_str().expect("a message has an id").to_string()
}

#[test]
fn a_tool_is_called_without_a_model_and_what_is_closed_stays_closed() {
    let gateway = Gateway::start(json!({ "gateway": { "tools": { "allow": ["exec"] } } }));
    let mut client = gateway.operator();
    let invoked = client.ok("tools.invoke", json!({ "name": "session_status", "args": {} }));
    golden::has(&invoked, &json!({ "ok": true, "toolName": "session_status", "source": "core" }));
    assert!(invoked["output"]["content"][0]["text"].as_str().is_some_and(|text| !text.is_empty()), "{invoked}");

    let closed = client.ok("tools.invoke", json!({ "name": "write", "args": { "path": "x", "content": "y" } }));
    golden::has(&closed, &json!({ "ok": false, "toolName": "write", "error": { "code": "not_found" } }));
    let bad = client.ok("tools.invoke", json!({ "name": "exec", "args": {} }));
    golden::has(&bad, &json!({ "ok": false, "error": { "code": "tool_error" } }));
    let ran = client.ok("tools.invoke", json!({ "name": "exec", "args": { "command": "echo opened" } }));
    golden::has(&ran, &json!({ "ok": true, "output": { "details": { "status": "completed", "exitCode": 0 } } }));
    let error = client.err("tools.invoke", json!({ "name": "exec", "args": [] }));
    assert_eq!(error["message"], "invalid tools.invoke params: at /args: must be object");

    let mut writer = Ws::open(gateway.addr());
    writer.hello(ws::backend(&["operator.write"]));
    let refused = writer.ok("tools.invoke", json!({ "name": "exec", "args": { "command": "echo opened" } }));
    golden::has(&refused, &json!({ "ok": false, "error": { "code": "not_found" } }));
}

#[test]
fn a_conversation_is_forked_rewound_and_taken_up_again() {
    let upstream = Upstream::script(["one", "two", "three"].map(Answer::say));
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    client.ok("sessions.subscribe", json!({}));
    say(&mut client, MAIN, "first", "r1");
    say(&mut client, MAIN, "second", "r2");
    let second = id(&mut client, MAIN, 2);
    let answer = id(&mut client, MAIN, 1);

    for (entry, says) in [(answer.as_str(), "is not one of the user's"), ("ffff", "message not found")] {
        let error = client.err("sessions.rewind", json!({ "sessionKey": MAIN, "entryId": entry }));
        assert!(error["message"].as_str().is_some_and(|text| text.contains(says)), "{error}");
    }
    let error = client.err("sessions.fork", json!({ "sessionKey": "agent:main:nobody", "entryId": second }));
    assert_eq!(error["message"], "session not found: agent:main:nobody");

    let forked = client.ok("sessions.fork", json!({ "sessionKey": "main", "entryId": second }));
    assert_eq!(forked["editorText"], "second");
    let fork = forked["sessionKey"].as_str().expect("a key").to_string();
    assert_eq!(texts(&mut client, &fork), ["first", "one"]);
    assert_eq!(texts(&mut client, MAIN), ["first", "one", "second", "two"]);

    let rewound = client.ok("sessions.rewind", json!({ "sessionKey": MAIN, "entryId": second }));
    assert_eq!(rewound, json!({ "editorText": "second" }));
    client.event_where("sessions.changed", |payload| payload["reason"] == "rewind");
    assert_eq!(texts(&mut client, MAIN), ["first", "one"]);
    say(&mut client, MAIN, "another way", "r3");

    let branches = client.ok("sessions.branches.list", json!({ "sessionKey": MAIN }))["branches"].take();
    golden::has(
        &branches,
        &json!([
            { "headline": "three", "messageCount": 4, "active": true },
            { "headline": "two", "messageCount": 4, "active": false },
        ]),
    );
    let (active, other) = (&branches[0]["leafEntryId"], &branches[1]["leafEntryId"]);
    let error = client.err("sessions.branches.switch", json!({ "sessionKey": MAIN, "leafEntryId": active }));
    assert_eq!(error["message"], "that branch is the active one");
    client.ok("sessions.branches.switch", json!({ "sessionKey": MAIN, "leafEntryId": other }));
    assert_eq!(texts(&mut client, MAIN), ["first", "one", "second", "two"]);

    // All of it is on the disk.
    let gateway = Gateway::with(upstream.config()).home(gateway.kill()).start();
    let mut client = gateway.operator();
    let branches = client.ok("sessions.branches.list", json!({ "sessionKey": MAIN }))["branches"].take();
    assert_eq!((&branches[0]["headline"], &branches[1]["headline"]), (&json!("two"), &json!("three")));
    client.ok("sessions.reset", json!({ "key": MAIN }));
    let branches = client.ok("sessions.branches.list", json!({ "sessionKey": MAIN }));
    assert_eq!(branches["branches"], json!([]), "another conversation has begun");
}

#[test]
fn nothing_is_taken_back_while_the_agent_works() {
    let upstream = Upstream::script([Answer::say("one"), Answer::Silent]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    say(&mut client, MAIN, "first", "r1");
    let first = id(&mut client, MAIN, 0);
    client.ok("chat.send", json!({ "sessionKey": MAIN, "message": "go", "idempotencyKey": "r2" }));
    for (method, what) in [("sessions.rewind", "Rewind"), ("sessions.fork", "Fork")] {
        let error = client.err(method, json!({ "sessionKey": MAIN, "entryId": first }));
        golden::has(&error, &json!({ "code": "UNAVAILABLE", "retryable": true }));
        assert_eq!(error["message"], format!("{what} is unavailable while the agent is working."));
    }
    client.ok("chat.abort", json!({ "sessionKey": MAIN }));
}

#[test]
fn groups_are_named_renamed_and_forgotten_with_their_sessions_kept() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    client.ok("sessions.subscribe", json!({}));
    let put =
        client.ok("sessions.groups.put", json!({ "names": [" Work ", "Home", "Work"], "sectionOrder": ["Home"] }));
    golden::same(
        &put,
        &json!({ "ok": true, "groups": [{ "name": "Work", "position": 0 }, { "name": "Home", "position": 1 }],
                 "sectionOrder": ["Home"] }),
    );
    assert!(client.event("sessions.changed")["payload"]["session"].is_null());
    let key = client.ok("sessions.create", json!({ "category": "Work" }))["key"].take();
    client.ok("sessions.create", json!({ "category": "Found" }));

    let error = client.err("sessions.groups.put", json!({ "names": ["Home"] }));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("still has 1 session(s)")), "{error}");
    let error = client.err("sessions.groups.rename", json!({ "name": "Home", "to": "Work" }));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("already")), "{error}");
    let error = client.err("sessions.groups.rename", json!({ "name": "Nothing", "to": "Work" }));
    assert_eq!(error["message"], "unknown session group: Nothing");

    let renamed = client.ok("sessions.groups.rename", json!({ "name": "Work", "to": "Play" }));
    assert_eq!(renamed["updatedSessions"], 1);
    assert_eq!(client.ok("sessions.describe", json!({ "key": key }))["session"]["category"], "Play");
    let names = |listed: Value| -> Vec<String> {
        let groups = listed["groups"].as_array().expect("groups");
        groups.iter().map(|group| group["name"].as_str().expect("a name").to_string()).collect()
    };
    assert_eq!(names(client.ok("sessions.groups.list", json!({}))), ["Play", "Home", "Found"]);
    assert_eq!(names(client.ok("sessions.groups.delete", json!({ "name": "Play" }))), ["Home", "Found"]);
    assert!(client.ok("sessions.describe", json!({ "key": key }))["session"]["category"].is_null());
}

#[test]
fn many_sessions_are_changed_at_once_each_for_itself() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    client.ok("sessions.subscribe", json!({}));
    let keys: Vec<Value> = (0..3).map(|_| client.ok("sessions.create", json!({}))["key"].take()).collect();
    let targets = json!([
        { "key": keys[0] },
        { "key": keys[1], "expectedSessionId": "another" },
        { "key": "agent:nobody:x" },
        { "key": keys[2] },
    ]);
    let done =
        client.ok("sessions.patchMany", json!({ "targets": targets, "patch": { "category": "Work", "pinned": true } }));
    golden::has(
        &done["outcomes"],
        &json!([
            { "ok": true, "key": keys[0] },
            { "ok": false, "key": keys[1], "error": { "code": "INVALID_REQUEST" } },
            { "ok": false, "key": "agent:nobody:x", "error": { "code": "INVALID_REQUEST" } },
            { "ok": true, "key": keys[2] },
        ]),
    );
    for (key, category) in keys.iter().zip([json!("Work"), Value::Null, json!("Work")]) {
        assert_eq!(client.ok("sessions.describe", json!({ "key": key }))["session"]["category"], category);
    }
    let told: Vec<Value> = (0..2).map(|_| client.event_where("sessions.changed", |p| p["reason"] == "patch")).collect();
    assert_eq!((&told[0]["payload"]["sessionKey"], &told[1]["payload"]["sessionKey"]), (&keys[0], &keys[2]));
    for (params, says) in [
        (json!({ "targets": [], "patch": {} }), "at /targets: must have 1 to 100 items"),
        (json!({ "targets": [{ "key": "main" }], "patch": { "fame": 1 } }), "unexpected property 'fame'"),
        (json!({ "targets": [{ "key": "main" }], "patch": { "key": "main" } }), "at /patch"),
        (json!({ "targets": [{ "key": "main" }], "patch": [] }), "at /patch: must be object"),
    ] {
        let error = client.err("sessions.patchMany", params);
        assert!(error["message"].as_str().is_some_and(|text| text.contains(says)), "{error}");
    }
}

#[test]
fn preferences_are_kept_for_pages_compared_before_and_capped() {
    let gateway = Gateway::start(json!({}));
    let (mut client, mut other, mut program) = (person(&gateway, 1), person(&gateway, 2), gateway.operator());
    let set = |client: &mut Ws, params: Value| client.ok("users.prefs.set", params)["status"].take();
    let theme = json!({ "ui.theme": { "name": "dark" } });
    assert_eq!(set(&mut client, json!({ "entries": theme, "expectedEntries": { "ui.theme": null } })), "ok");
    let told = other.event("users.prefs.changed")["payload"].take();
    assert_eq!(told, json!({ "profileId": "gateway-owner", "keys": ["ui.theme"] }));
    assert_eq!(
        set(&mut other, json!({ "entries": { "ui.theme": 1 }, "expectedEntries": { "ui.theme": null } })),
        "conflict"
    );
    let got = other.ok("users.prefs.get", json!({ "keys": ["ui.theme", "ui.font"] }));
    assert_eq!(got, json!({ "status": "ok", "entries": theme }));
    assert_eq!(set(&mut other, json!({ "entries": { "ui.theme": null } })), "ok");
    assert_eq!(client.ok("users.prefs.get", json!({ "keys": ["ui.theme"] }))["entries"], json!({}));

    assert_eq!(set(&mut program, json!({ "entries": { "a": 1 } })), "no_durable_identity");
    assert_eq!(program.ok("users.prefs.get", json!({ "keys": ["a"] })), json!({ "status": "no_durable_identity" }));
    golden::has(&program.err("users.self", json!({})), &json!({ "code": "FORBIDDEN" }));
    let profile = client.ok("users.self", json!({}))["profile"].take();
    golden::has(&profile, &json!({ "id": "gateway-owner", "emails": [], "hasAvatar": false }));
    assert_eq!(program.ok("users.list", json!({}))["profiles"], json!([profile]));

    let error = client.err("users.prefs.set", json!({ "entries": { "big": "x".repeat(20_000) } }));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("at most 16384 bytes")), "{error}");
    for n in 0..8 {
        let entries: serde_json::Map<String, Value> = (0..32).map(|k| (format!("k{n}-{k}"), json!(k))).collect();
        assert_eq!(set(&mut client, json!({ "entries": entries })), "ok");
    }
    let error = client.err("users.prefs.set", json!({ "entries": { "one more": 1 } }));
    golden::has(&error["details"], &json!({ "code": "USER_PREFS_LIMIT_EXCEEDED", "limit": 256, "currentCount": 256 }));
}

#[test]
fn wake_words_are_kept_and_told_to_nodes_too() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    assert_eq!(client.ok("voicewake.get", json!({}))["triggers"], json!(["openclaw", "claude", "computer"]));
    let set = client.ok("voicewake.set", json!({ "triggers": [" hey gateway ", ""] }));
    assert_eq!(set, json!({ "triggers": ["hey gateway"] }));
    assert_eq!(client.event("voicewake.changed")["payload"], set);
    let device = Device::node(7);
    let mut node = Ws::open(gateway.addr());
    device.connect(&mut node, &[], json!({ "token": TOKEN })).expect("a node is let in");
    let greeting = node.event("voicewake.changed");
    assert_eq!((&greeting["payload"], &greeting["seq"]), (&set, &Value::Null));
    client.ok("voicewake.set", json!({ "triggers": [] }));
    assert_eq!(node.event("voicewake.changed")["payload"]["triggers"][0], "openclaw");
}

#[test]
fn a_restart_by_a_client_keeps_the_process_and_the_port() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let error = client.err("gateway.restart.request", json!({ "target": { "pid": 1, "ownerId": "x", "port": 2 } }));
    assert_eq!(error["message"], "target gateway no longer owns the active lock");
    let asked = client.ok("gateway.restart.request", json!({ "reason": "a test" }));
    golden::has(&asked, &json!({ "ok": true, "status": "scheduled", "preflight": { "safe": true } }));
    assert_eq!(asked["pid"], gateway.pid());
    client.event("shutdown");
    let (code, _) = client.closed();
    assert_eq!(code, 1012);
    wait::until("the gateway is back", || (gateway.log().matches("[gateway] ready").count() == 2).then_some(()));
    gateway.operator().ok("health", json!({}));

    let gateway = Gateway::start(json!({ "commands": { "restart": false } }));
    let error = gateway.operator().err("gateway.restart.request", json!({}));
    assert_eq!(error["message"], "restarts are switched off (commands.restart=false)");
}

#[test]
fn who_follows_the_list_sees_the_tools_of_others_and_the_task() {
    let call = Answer::Call { name: "exec", arguments: json!({ "command": "echo seen" }) };
    let upstream = Upstream::script([call, Answer::say("done")]);
    let gateway = Gateway::on(&upstream);
    let mut watcher = gateway.operator();
    watcher.ok("sessions.subscribe", json!({}));
    let mut client = gateway.operator();
    let id = client.request("agent", json!({ "message": "use it", "sessionKey": MAIN, "idempotencyKey": "run-1" }));
    client.response(&id).expect("accepted");
    let frames = watcher.frames_until("the task has ended", |frame| {
        frame["event"] == "task" && frame["payload"]["task"]["status"] == "completed"
    });
    let seen = |event: &str| -> Vec<&Value> {
        frames.iter().filter(|frame| frame["event"] == event).map(|frame| &frame["payload"]).collect()
    };
    let phases: Vec<_> = seen("session.tool").iter().map(|payload| &payload["data"]["phase"]).cloned().collect();
    assert_eq!((phases.first(), phases.last()), (Some(&json!("start")), Some(&json!("result"))), "{phases:?}");
    golden::has(
        seen("session.tool")[0],
        &json!({ "runId": "run-1", "sessionKey": MAIN, "stream": "tool", "data": { "name": "exec" } }),
    );
    assert!(seen("agent").iter().all(|payload| payload["stream"] != "tool"), "without the capability");
    golden::has(
        seen("task")[0],
        &json!({ "action": "upserted", "task": { "id": "run-1", "status": "running", "kind": "cli" } }),
    );
    let ended = frames
        .iter()
        .find(|frame| frame["payload"]["stream"] == "command_output" && frame["payload"]["data"]["phase"] == "end");
    golden::has(
        &ended.expect("the command's end is told")["payload"]["data"],
        &json!({ "name": "exec", "status": "completed", "exitCode": 0 }),
    );
    assert_eq!(roles(&client.ok("chat.history", json!({ "sessionKey": MAIN }))).first(), Some(&"user"));
}
