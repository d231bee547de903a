//! Work that an agent suggests: cards, who sees them, and what accepting begins. And words found in what was said.

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::talk::{SESSION, send};
use crate::support::ws::{self, Ws};
use crate::support::{Answer, Upstream};

fn card(title: &str) -> Value {
    json!({ "title": title, "prompt": "Fix the kettle.", "tldr": "It drips.", "cwd": "/srv/kettle",
            "sessionKey": SESSION })
}

#[test]
fn a_card_waits_is_told_and_is_accepted_once() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let made = client.ok("taskSuggestions.create", card(" Fix it "));
    let suggestion = &made["suggestion"];
    assert_eq!(
        *suggestion,
        json!({ "id": made["taskId"], "title": "Fix it", "prompt": "Fix the kettle.", "tldr": "It drips.",
            "cwd": "/srv/kettle", "sessionKey": SESSION, "agentId": "main", "createdAt": suggestion["createdAt"] })
    );
    let told = client.event("task.suggestion")["payload"].take();
    assert_eq!(told, json!({ "action": "created", "suggestion": suggestion }));
    let list = |client: &mut Ws, params: Value| client.ok("taskSuggestions.list", params)["suggestions"].take();
    assert_eq!(list(&mut client, json!({ "agentId": "main", "sessionKey": "main" })), json!([suggestion]));
    assert_eq!(list(&mut client, json!({ "sessionKey": "agent:main:other" })), json!([]));

    for mode in ["worktree", "cloud"] {
        let error = client.err("taskSuggestions.accept", json!({ "taskId": made["taskId"], "mode": mode }));
        assert!(error["message"].as_str().is_some_and(|text| text.contains("use mode \"local\"")), "{error}");
    }
    let accepted = client.ok("taskSuggestions.accept", json!({ "taskId": made["taskId"], "mode": "local" }));
    assert_eq!(client.ok("taskSuggestions.accept", json!({ "taskId": made["taskId"] })), accepted, "asked again");
    let told = client.event("task.suggestion")["payload"].take();
    assert_eq!(told, json!({ "action": "resolved", "taskId": made["taskId"], "resolution": "accepted" }));
    assert_eq!(list(&mut client, json!({})), json!([]));
    let asked = upstream.wait_asked(1)[0].body.to_string();
    assert!(asked.contains("/srv/kettle") && asked.contains("Fix the kettle."), "{asked}");
    let session = client.ok("sessions.describe", json!({ "key": accepted["key"] }))["session"].take();
    assert_eq!((&session["displayName"], &session["parentSessionKey"]), (&json!("Fix it"), &json!(SESSION)));

    let second = client.ok("taskSuggestions.create", card("Second"));
    let drop = json!({ "taskId": second["taskId"], "reason": "stale" });
    assert_eq!(client.ok("taskSuggestions.dismiss", drop.clone())["dismissed"], true);
    assert_eq!(client.ok("taskSuggestions.dismiss", drop)["dismissed"], false);
    let late = client.err("taskSuggestions.accept", json!({ "taskId": second["taskId"] }));
    assert_eq!(late["message"], "task suggestion cannot be accepted: dismissed");
    let missing = client.err("taskSuggestions.accept", json!({ "taskId": "task_x" }));
    assert_eq!(missing["message"], "task suggestion cannot be accepted: missing");
    let blank = client.err("taskSuggestions.create", card("  "));
    assert!(blank["message"].as_str().is_some_and(|text| text.contains("/title")), "{blank}");
    assert_eq!(upstream.asked().len(), 1, "one card, one run");

    // In the session it came from; and who may only read may not accept.
    let third = client.ok("taskSuggestions.create", card("Third"));
    let mut reader = Ws::open(gateway.addr());
    reader.hello(ws::backend(&["operator.read"]));
    assert_eq!(list(&mut reader, json!({}))[0]["title"], "Third");
    let error = reader.err("taskSuggestions.accept", json!({ "taskId": third["taskId"] }));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("operator.admin")), "{error}");
    let accepted = client.ok("taskSuggestions.accept", json!({ "taskId": third["taskId"], "mode": "session" }));
    assert_eq!(accepted["key"], SESSION);
    let asked = upstream.wait_asked(2)[1].body["messages"].to_string();
    assert!(asked.contains("Fix the kettle.") && !asked.contains("/srv/kettle"), "{asked}");
}

#[test]
fn the_agent_makes_cards_and_takes_back_its_own() {
    let upstream = Upstream::by(|asked| {
        let last = asked.body["messages"].as_array().expect("messages").last().expect("a message").clone();
        let text = last["content"].as_str().unwrap_or_default().to_owned();
        match text.as_str() {
            text if text.contains("task_id") && text.contains("dismissed") => Answer::say("Taken back."),
            text if text.contains("task_id") => Answer::say("Noted."),
            text if text.contains("take back") => {
                let id = text.rsplit(' ').next().expect("an id").to_owned();
                Answer::Call { name: "dismiss_task", arguments: json!({ "task_id": id }) }
            }
            _ => Answer::Call {
                name: "suggest_task",
                arguments: json!({ "title": "Mend the lid", "prompt": "The lid is loose.", "tldr": "It rattles." }),
            },
        }
    });
    let gateway = Gateway::on(&upstream);
    // Nobody is there to see a card before this person comes.
    let mut client = Ws::open(gateway.addr());
    let device = crate::support::device::Device::new(7);
    let scopes = ["operator.read", "operator.write"];
    device.connect(&mut client, &scopes, json!({ "token": crate::support::gateway::TOKEN })).expect("let in");
    send(&mut client, SESSION, "note it", "run-1");
    let told = client.event("task.suggestion")["payload"].take();
    assert_eq!(told["suggestion"]["title"], "Mend the lid");
    assert_eq!(told["suggestion"]["cwd"], gateway.workspace().display().to_string());
    let id = told["suggestion"]["id"].as_str().expect("an id").to_owned();
    client.event_where("chat", |chat| chat["state"] == "final");
    // Not from another session.
    send(&mut client, "agent:main:other", &format!("take back {id}"), "run-2");
    let other = upstream.wait_asked(4)[3].body["messages"].to_string();
    assert!(other.contains(r#"\"dismissed\":false"#), "{other}");
    send(&mut client, SESSION, &format!("take back {id}"), "run-3");
    let told = client.event("task.suggestion")["payload"].take();
    assert_eq!(told, json!({ "action": "resolved", "taskId": id, "resolution": "dismissed" }));
}

#[test]
fn words_are_found_in_what_was_said() {
    let upstream = Upstream::by(|asked| {
        let messages = asked.body["messages"].as_array().expect("messages");
        Answer::say(&format!("You said: {}", messages.last().expect("a message")["content"].as_str().unwrap_or("")))
    });
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    for (key, text) in [("main", "The Kettle is GRÜN."), ("agent:main:other", "kettle kettle kettle")] {
        let run = client.ok("agent", json!({ "message": text, "sessionKey": key, "idempotencyKey": key }));
        let run_id = run["runId"].clone();
        assert_eq!(client.ok("agent.wait", json!({ "runId": run_id, "timeoutMs": 20_000 }))["status"], "ok");
    }
    let found = client.ok("sessions.search", json!({ "query": "kettle" }));
    let hits = found["results"].as_array().expect("results");
    assert_eq!(hits.len(), 4, "{found}");
    assert_eq!(hits[0]["sessionKey"], "agent:main:other", "more often is better: {found}");
    assert!(hits[0]["score"].as_f64() >= hits[3]["score"].as_f64() && found.get("truncated").is_none());
    let found = client.ok("sessions.search", json!({ "query": "grün KETTLE", "limit": 1 }));
    assert_eq!(found["truncated"], true);
    let hit = &found["results"][0];
    assert!(hit["snippet"].as_str().is_some_and(|text| text.contains("The Kettle is GRÜN.")), "{hit}");
    let history = client.ok("chat.history", json!({ "sessionKey": "main" }));
    let ids: Vec<&Value> =
        history["messages"].as_array().expect("messages").iter().map(|message| &message["__openclaw"]["id"]).collect();
    assert!(ids.contains(&&hit["messageId"]), "{hit} in {ids:?}");
    let only = client.ok("sessions.search", json!({ "query": "kettle", "sessionKeys": ["main", "agent:main:none"] }));
    assert_eq!(only["results"].as_array().map(Vec::len), Some(2));
    assert_eq!(client.ok("sessions.search", json!({ "query": "kettle teapot" }))["results"], json!([]));
    assert_eq!(client.err("sessions.search", json!({ "query": "  " }))["message"], "query must not be empty");
    let host = client.ok("system.info", json!({}));
    assert!(host["memoryTotalBytes"].as_u64() > Some(1 << 20) && host["pid"] == gateway.pid(), "{host}");
    assert_eq!((&host["port"], &host["platform"]), (&json!(gateway.addr().port()), &json!("linux")));
}
