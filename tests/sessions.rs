//! Sessions by RPC: made, looked up, changed, started over, removed, and what those who follow the list hear of it.

use serde_json::{Value, json};

use crate::support::gateway::{self, Gateway};
use crate::support::scratch::Scratch;
use crate::support::talk::{roles, say};
use crate::support::upstream::{Answer, Upstream};
use crate::support::ws::Ws;
use crate::support::{golden, wait};

const MAIN: &str = "agent:main:main";

fn followed(gateway: &Gateway) -> Ws {
    let mut client = gateway.operator();
    client.ok("sessions.subscribe", json!({}));
    client
}

/// The next `sessions.changed` for a reason.
fn changed(client: &mut Ws, reason: &str) -> Value {
    client.event_where("sessions.changed", |payload| payload["reason"] == reason)["payload"].take()
}

#[test]
fn a_session_is_made_found_renamed_started_over_and_removed() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = followed(&gateway);
    let made = client.ok("sessions.create", json!({ "label": "my label", "agentId": "main" }));
    golden::has(&made, &json!({ "ok": true, "runStarted": false, "entry": { "label": "my label" } }));
    let key = made["key"].as_str().expect("a key").to_string();
    assert!(key.starts_with("agent:main:dashboard:"), "{key}");
    let news = changed(&mut client, "create");
    golden::has(&news, &json!({ "sessionKey": key, "label": "my label", "session": { "key": key }, "icon": null }));

    let described = client.ok("sessions.describe", json!({ "key": key }));
    golden::has(&described["session"], &json!({ "key": key, "classification": "dashboard", "unread": false }));
    let short = key.rsplit(':').next().expect("an id").replace('-', "");
    for way in [json!({ "key": key }), json!({ "label": "my label" }), json!({ "shortId": &short[..12] })] {
        golden::has(&client.ok("sessions.resolve", way), &json!({ "ok": true, "key": key, "agentId": "main" }));
    }

    let patched = client.ok("sessions.patch", json!({ "key": key, "label": "new", "pinned": true, "icon": "x" }));
    golden::has(&patched, &json!({ "ok": true, "key": key, "entry": { "label": "new", "icon": "x" } }));
    golden::has(&changed(&mut client, "patch"), &json!({ "label": "new", "pinned": true, "icon": "x" }));
    client.ok("sessions.patch", json!({ "key": key, "label": null }));
    assert!(changed(&mut client, "patch")["label"].is_null());

    say(&mut client, &key, "hello", "run-1");
    let told = client.ok("sessions.preview", json!({ "keys": [key, "nobody"] }));
    golden::has(&told["previews"][0], &json!({ "key": key, "status": "ok", "items": [{ "role": "user" }, {}] }));
    assert_eq!(told["previews"][1]["status"], "missing");
    assert_eq!(roles(&client.ok("sessions.get", json!({ "key": key }))), ["user", "assistant"]);

    let before = made["sessionId"].as_str().expect("an id");
    let reset = client.ok("sessions.reset", json!({ "key": key }));
    assert_ne!(reset["entry"]["sessionId"], before);
    changed(&mut client, "reset");
    assert_eq!(client.ok("chat.history", json!({ "sessionKey": key }))["messages"], json!([]));

    let gone = client.ok("sessions.delete", json!({ "key": key }));
    assert_eq!(gone, json!({ "ok": true, "key": key, "deleted": true, "archived": [] }));
    let news = changed(&mut client, "delete");
    assert!(news["session"].is_null() && news["sessionKey"] == key.as_str());
    assert_eq!(client.ok("sessions.describe", json!({ "key": key })), json!({ "session": null }));
    assert_eq!(client.ok("sessions.delete", json!({ "key": key }))["deleted"], false);
}

#[test]
fn what_cannot_be_done_to_a_session_is_said() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    client.ok("sessions.create", json!({ "key": "one", "label": "taken" }));
    let thinking = r#"thinkingLevel "high" is not supported for stub/stub-model (use off)"#;
    for (method, params, message) in [
        ("sessions.delete", json!({ "key": MAIN }), "Cannot delete the main session (agent:main:main)."),
        ("sessions.patch", json!({ "key": "one", "thinkingLevel": "high" }), thinking),
        ("sessions.patch", json!({ "key": "two", "label": "taken" }), "label already in use: taken"),
        ("sessions.patch", json!({ "key": "two", "model": "no/such" }), "model not allowed: no/such"),
        ("sessions.create", json!({ "label": "taken" }), "label already in use: taken"),
        ("sessions.create", json!({ "key": "cron:mine" }), r#"session key "cron:mine" is reserved"#),
        ("sessions.resolve", json!({ "key": "nobody" }), "No session found: nobody"),
        ("sessions.resolve", json!({}), "Either key, sessionId, shortId, or label is required"),
    ] {
        assert_eq!(client.err(method, params.clone())["message"], message, "{method} {params}");
    }
    let missing = client.ok("sessions.resolve", json!({ "key": "nobody", "allowMissing": true }));
    assert_eq!(missing, json!({ "ok": false }));
}

#[test]
fn a_session_can_begin_with_a_message_or_with_another_ones_words() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let made = client.ok("sessions.create", json!({ "key": "first", "message": "good morning" }));
    golden::has(&made, &json!({ "runStarted": true, "key": "agent:main:first" }));
    client.event_where("chat", |chat| chat["state"] == "final" && chat["runId"] == made["runId"]);
    let fork = client.ok("sessions.create", json!({ "key": "second", "parentSessionKey": "first", "fork": true }));
    assert_eq!(fork["entry"]["parentSessionKey"], "agent:main:first");
    let history = client.ok("chat.history", json!({ "sessionKey": "second" }));
    assert_eq!(roles(&history), ["user", "assistant"]);
    say(&mut client, "second", "and now", "run-2");
    let asked = upstream.asked();
    assert!(asked.last().expect("asked").body.to_string().contains("good morning"), "the fork remembers");
    assert_eq!(roles(&client.ok("chat.history", json!({ "sessionKey": "first" }))).len(), 2);
}

#[test]
fn a_session_that_is_busy_is_stopped_before_it_is_removed() {
    let upstream = Upstream::script([Answer::Silent, Answer::say("later")]);
    let gateway = Gateway::on(&upstream);
    let mut client = followed(&gateway);
    client.ok("sessions.send", json!({ "key": "busy", "message": "hi", "idempotencyKey": "run-1" }));
    upstream.wait_asked(1);
    client.ok("sessions.delete", json!({ "key": "busy" }));
    assert_eq!(client.ok("sessions.describe", json!({ "key": "busy" })), json!({ "session": null }));
    assert_eq!(client.ok("sessions.list", json!({}))["count"], 0, "the run did not bring it back");
}

#[test]
fn a_run_is_stopped_by_its_session() {
    let upstream = Upstream::script([Answer::Silent, Answer::say("instead")]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let idle = client.ok("sessions.abort", json!({ "key": "busy" }));
    assert_eq!(idle, json!({ "ok": true, "abortedRunId": null, "status": "no-active-run" }));
    client.ok("sessions.send", json!({ "key": "busy", "message": "hi", "idempotencyKey": "run-1" }));
    upstream.wait_asked(1);
    let steered = client.ok("sessions.steer", json!({ "key": "busy", "message": "no, this" }));
    assert_eq!(steered["status"], "started");
    let end = client.event_where("chat", |chat| chat["state"] == "final");
    assert_eq!(end["payload"]["runId"], steered["runId"]);
}

#[test]
fn the_list_is_filtered_and_sorted() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    for key in ["a", "b", "c"] {
        client.ok("sessions.create", json!({ "key": key, "label": format!("label {key}") }));
    }
    client.ok("sessions.create", json!({ "key": "child", "parentSessionKey": "a" }));
    say(&mut client, "b", "hello", "run-1");
    client.ok("sessions.patch", json!({ "key": "c", "archived": true }));
    let mut keys = |params: Value| -> Vec<String> {
        let listed = client.ok("sessions.list", params);
        let rows = listed["sessions"].as_array().expect("rows").iter();
        rows.map(|row| row["key"].as_str().expect("a key").replace("agent:main:", "")).collect()
    };
    assert_eq!(keys(json!({ "sortBy": "lastInteractionAt" })), ["b", "child", "a"]);
    assert_eq!(keys(json!({ "requireLastInteraction": true })), ["b"]);
    assert_eq!(keys(json!({ "label": "label a" })), ["a"]);
    assert_eq!(keys(json!({ "spawnedBy": "agent:main:a" })), ["child"]);
    assert_eq!(keys(json!({ "archived": true })), ["c"]);
    assert_eq!(keys(json!({ "archived": "all", "search": "LABEL" })).len(), 3);
    assert_eq!(keys(json!({ "ownerId": "gateway-owner" })).len(), 3);
    assert_eq!(keys(json!({ "ownerId": "somebody" })).len(), 0);
    assert_eq!(keys(json!({ "configuredAgentsOnly": true, "limit": 1, "offset": 1 })).len(), 1);
    assert_eq!(keys(json!({ "agentId": "other" })).len(), 0);
}

#[test]
fn a_chat_window_gets_what_it_needs_at_once() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let key = client.ok("sessions.create", json!({}))["key"].as_str().expect("a key").to_string();
    say(&mut client, &key, "hello", "run-1");
    let started = client.ok("chat.startup", json!({ "sessionKey": key, "limit": 80, "maxBytes": 262_144 }));
    assert_eq!(roles(&started), ["user", "assistant"]);
    golden::has_shape(&started, &json!({ "metadata": { "models": [{ "id": "" }], "commands": [{ "name": "" }] } }));
    let short = key.rsplit(':').next().expect("an id").replace('-', "");
    let found = client.ok("chat.startup", json!({ "shortId": short, "slugHint": "x", "agentId": "main" }));
    golden::has(&found, &json!({ "resolution": { "ok": true, "key": key }, "sessionKey": key }));
    let missing = client.ok("chat.startup", json!({ "shortId": "ffffffff" }));
    assert_eq!(missing, json!({ "resolution": { "ok": false } }));

    let id = started["messages"][1]["__openclaw"]["id"].clone();
    let whole = client.ok("chat.message.get", json!({ "sessionKey": key, "messageId": id }));
    assert_eq!(whole["message"], started["messages"][1]);
    let gone = client.ok("chat.message.get", json!({ "sessionKey": key, "messageId": "x" }));
    assert_eq!(gone, json!({ "ok": false, "unavailableReason": "not_found" }));

    let commands = client.ok("commands.list", json!({ "agentId": "main", "scope": "text", "includeArgs": false }));
    golden::has(&commands["commands"][0], &json!({ "name": "help", "textAliases": ["/help", "/commands"] }));
    let agents = client.ok("agents.list", json!({}));
    golden::has(&agents, &json!({ "defaultId": "main", "mainKey": "main", "agents": [{ "id": "main" }] }));
    let face = client.ok("agent.identity.get", json!({ "agentId": "main" }));
    assert_eq!(face, json!({ "agentId": "main", "name": "Assistant", "nameSource": "default", "avatar": "A" }));
    let keys = client.ok("models.authStatus", json!({}));
    assert!(keys["providers"].as_array().expect("rows").iter().any(|row| row["provider"] == "stub"));
    let config = client.ok("config.get", json!({}));
    golden::has(&config, &json!({ "exists": true, "valid": true }));
    assert!(!config.to_string().contains(&gateway_token()), "no secret leaves");
}

fn gateway_token() -> String {
    crate::support::gateway::bearer().trim_start_matches("Bearer ").to_string()
}

#[test]
fn a_note_of_an_operator_stands_in_the_session() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = followed(&gateway);
    say(&mut client, MAIN, "hello", "run-1");
    let put = client.ok("chat.inject", json!({ "sessionKey": MAIN, "message": "injected text", "label": "note" }));
    assert_eq!(put["ok"], true);
    let run = format!("inject-{}", put["messageId"].as_str().expect("an id"));
    let chat = client.event_where("chat", |chat| chat["runId"] == run.as_str());
    let said = json!([{ "type": "text", "text": "[note]\n\ninjected text" }]);
    golden::has(&chat["payload"], &json!({ "seq": 0, "state": "final", "message": { "content": said } }));
    let grown = client.event_where("session.message", |grown| grown["messageId"] == put["messageId"]);
    golden::has(&grown["payload"]["message"], &json!({ "model": "gateway-injected", "__openclaw": { "seq": 3 } }));
    assert_eq!(roles(&client.ok("chat.history", json!({ "sessionKey": MAIN }))), ["user", "assistant", "assistant"]);
}

/// A state directory with sessions that were last used so many days ago.
fn aged(rows: &[(&str, i64)]) -> Scratch {
    let home = Scratch::new();
    let state = gateway::state_dir(home.path());
    std::fs::create_dir_all(&state).expect("a state directory");
    let store = openclaw::store::Store::open(&state.join("gateway.sqlite")).expect("a database");
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let now = since.as_millis() as i64;
    let rows: Vec<(String, i64)> = rows.iter().map(|(key, days)| (key.to_string(), now - days * 86_400_000)).collect();
    let job = move |conn: &_| {
        for (key, at) in &rows {
            openclaw::store::sessions::ensure(conn, key, "main", *at, None)?;
        }
        Ok(())
    };
    store.write("fill", job).expect("written");
    assert!(store.close(wait::LIMIT));
    home
}

const OLD: &[(&str, i64)] = &[
    ("agent:main:main", 90),
    ("agent:main:openai:old", 40),
    ("agent:main:openai:new", 3),
    ("agent:main:dashboard:d", 8),
    ("agent:main:subagent:s", 40),
];

fn keys(client: &mut Ws) -> Vec<String> {
    let list = client.ok("sessions.list", json!({}));
    let rows = list["sessions"].as_array().expect("sessions").iter();
    let mut keys: Vec<String> = rows.map(|row| row["key"].as_str().expect("a key").to_string()).collect();
    keys.sort();
    keys
}

#[test]
fn sessions_nobody_uses_are_put_away_when_that_is_asked_for() {
    let upstream = Upstream::friendly();
    let mut config = upstream.config();
    gateway::merge(&mut config, json!({ "session": { "maintenance": { "mode": "warn" } } }));
    let gateway = Gateway::with(config).home(aged(OLD)).start();
    let mut client = gateway.operator();
    let told = client.ok("sessions.cleanup", json!({}));
    golden::has(
        &told,
        &json!({ "agentId": "main", "mode": "warn", "beforeCount": 5, "afterCount": 2, "archived": 2, "pruned": 1,
                 "wouldMutate": true, "diskBudget": null }),
    );
    assert_eq!(keys(&mut client).len(), 5, "nothing was done");

    client.ok("sessions.subscribe", json!({}));
    let did = client.ok("sessions.cleanup", json!({ "enforce": true, "activeKey": "agent:main:dashboard:d" }));
    golden::has(&did, &json!({ "mode": "enforce", "archived": 1, "pruned": 1, "applied": true, "appliedCount": 2 }));
    assert_eq!(client.event("sessions.changed")["payload"]["reason"], "cleanup");
    assert_eq!(keys(&mut client), ["agent:main:dashboard:d", "agent:main:main", "agent:main:openai:new"]);
    let many = client.ok("sessions.cleanup", json!({ "allAgents": true, "enforce": true }));
    assert_eq!(many["archived"], 1, "one agent, one answer: {many}");
    let archived = client.ok("sessions.list", json!({ "archived": true }))["sessions"].to_string();
    assert!(archived.contains("openai:old") && archived.contains("dashboard:d"), "{archived}");

    // Who speaks in one has it back.
    say(&mut client, "agent:main:openai:old", "Hello again", "run-1");
    assert!(keys(&mut client).contains(&"agent:main:openai:old".to_string()));

    let error = client.err("sessions.cleanup", json!({ "fixMissing": true }));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("one database")), "{error}");
    let error = client.err("sessions.cleanup", json!({ "agent": "nobody" }));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("unknown agent id")), "{error}");
    let port = gateway.port.to_string();
    let said = gateway::run(gateway.home(), &["sessions", "cleanup"], &[("OPENCLAW_GATEWAY_PORT", &port)]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert_eq!(said, "main: 3 conversations, 0 would be archived, 0 would be removed\n");
}

#[test]
fn the_first_run_puts_sessions_away_by_itself() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::with(upstream.config()).home(aged(OLD)).start();
    let mut client = gateway.operator();
    client.ok("sessions.subscribe", json!({}));
    assert_eq!(keys(&mut client).len(), 5, "a start puts nothing away");
    say(&mut client, "agent:main:main", "Hello", "run-1");
    wait::until("they are put away", || {
        let keys = keys(&mut client);
        (keys == ["agent:main:main", "agent:main:openai:new"]).then_some(())
    });
    gateway.says("3 sessions that nobody uses were put away");
}
