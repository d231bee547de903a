//! The model behind a run: retries, fallbacks, refusals, upstreams that break, dialects, and the one built in.

use std::time::Duration;

use serde_json::json;

use crate::support::talk::{SESSION, chat_state, payloads, roles, say, send};
use crate::support::upstream::{USAGE, pieces};
use crate::support::{Answer, Gateway, Upstream, gateway, golden};

/// From the end of a run to the end of the upstream call made for it.
const NOTICED: Duration = Duration::from_secs(1);

#[test]
fn a_busy_upstream_is_asked_again() {
    let upstream = Upstream::script([
        Answer::Refuse(429, "slow down"),
        Answer::Refuse(503, "not now"),
        Answer::say("third time lucky"),
    ]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, SESSION, "hello", "run-1");
    let frames = client.frames_until("the final", |frame| chat_state(frame) == Some("final"));
    let retries = payloads(&frames, "agent")
        .into_iter()
        .filter(|agent| agent["stream"] == "run_status" && agent["data"]["phase"] == "retrying")
        .count();
    assert_eq!(retries, 2, "each retry is told");
    assert_eq!(upstream.asked().len(), 3);
}

#[test]
fn a_refusal_that_will_not_change_is_told_at_once() {
    let upstream = Upstream::script([Answer::Refuse(400, "stub bad request")]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, SESSION, "hello", "run-1");
    let error = client.event_where("chat", |chat| chat["state"] == "error");
    golden::has(&error["payload"], &json!({ "runId": "run-1", "state": "error" }));
    assert!(!error["payload"]["errorMessage"].as_str().expect("a message").is_empty());
    assert_eq!(upstream.asked().len(), 1);
}

#[test]
fn the_agent_methods_second_answer_is_an_error_when_the_model_fails() {
    let upstream = Upstream::script([Answer::Refuse(400, "stub bad request")]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let id = client.request("agent", json!({ "message": "hi", "sessionKey": SESSION, "idempotencyKey": "run-1" }));
    golden::has(&client.response(&id).expect("accepted"), &json!({ "status": "accepted" }));
    let error = client.response(&id).expect_err("the failure");
    assert_eq!(error["code"], "UNAVAILABLE", "{error:#}");
    assert!(!error["message"].as_str().expect("a message").is_empty());
}

#[test]
fn the_next_model_is_asked_when_the_first_one_fails() {
    let broken = Upstream::script([Answer::Refuse(401, "no such key")]);
    let sound = Upstream::script([Answer::say("the second one answers")]);
    let config = json!({
        "agents": { "defaults": { "model": { "primary": "broken/stub-model", "fallbacks": ["sound/stub-model"] } } },
        "models": { "providers": {
            "broken": broken.provider("openai-completions"),
            "sound": sound.provider("openai-completions"),
        } },
    });
    let gateway = Gateway::start(config);
    let mut client = gateway.operator();
    send(&mut client, SESSION, "hello", "run-1");
    let frames = client.frames_until("the final", |frame| chat_state(frame) == Some("final"));
    let text = &payloads(&frames, "chat").pop().expect("the final")["message"]["content"][0]["text"];
    assert_eq!(text, "the second one answers");
    let history = client.ok("chat.history", json!({ "sessionKey": SESSION }));
    golden::has(&history["messages"][1], &json!({ "provider": "sound" }));
}

#[test]
fn an_upstream_that_dies_in_the_middle_is_not_asked_again() {
    let upstream = Upstream::script([Answer::Die(pieces("half an ")), Answer::say("whole again")]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, SESSION, "hello", "run-1");
    let error = client.event_where("chat", |chat| chat["state"] == "error");
    assert!(!error["payload"]["errorMessage"].as_str().expect("a message").is_empty());
    assert_eq!(upstream.asked().len(), 1);
    say(&mut client, SESSION, "again", "run-2");
}

#[test]
fn an_upstream_that_goes_on_talking_rubbish_is_a_clear_error() {
    let upstream = Upstream::script([Answer::Rubbish]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, SESSION, "hello", "run-1");
    let error = client.event_where("chat", |chat| chat["state"] == "error");
    assert!(!error["payload"]["errorMessage"].as_str().expect("a message").is_empty());
    client.ok("health", json!({}));
}

#[test]
fn a_run_ends_at_its_own_deadline_when_the_upstream_stalls() {
    for answer in [Answer::Silent, Answer::Stall(pieces("a beginning "))] {
        let upstream = Upstream::script([answer]);
        let gateway = Gateway::on(&upstream);
        let mut client = gateway.operator();
        let params = json!({ "message": "hi", "sessionKey": SESSION, "idempotencyKey": "run-1", "timeout": 1 });
        let id = client.request("agent", params);
        client.response(&id).expect("accepted");
        let end = client.response(&id);
        let text = format!("{end:?}");
        assert!(text.contains("time"), "the end says that time ran out: {text}");
        upstream.left(0, NOTICED).expect("the upstream call is given up");
    }
}

#[test]
fn nobody_at_the_upstreams_address_is_told_and_can_be_given_up() {
    let gone = Upstream::friendly();
    let mut config = gone.config();
    // A port of our own that nobody listens on.
    let port = gateway::free_port();
    config["models"]["providers"]["stub"]["baseUrl"] = json!(format!("http://127.0.0.1:{port}/v1"));
    let gateway = Gateway::start(config);
    let mut client = gateway.operator();
    send(&mut client, SESSION, "hello", "run-1");
    let told = client.event_where("agent", |agent| agent["data"]["phase"] == "retrying");
    golden::has_shape(
        &told["payload"]["data"],
        &json!({ "retryAttempt": 1, "maxRetries": 1, "delayMs": 1, "message": "" }),
    );
    golden::has(&client.ok("chat.abort", json!({ "sessionKey": SESSION })), &json!({ "aborted": true }));
}

#[test]
fn anthropic_speaks_too() {
    let upstream = Upstream::script([
        Answer::Call { name: "exec", arguments: json!({ "command": "echo tool-output-42" }) },
        Answer::say("The tool said 42."),
    ]);
    let config = json!({
        "agents": { "defaults": { "model": { "primary": "claude/stub-model" } } },
        "models": { "providers": { "claude": upstream.provider("anthropic-messages") } },
    });
    let gateway = Gateway::start(config);
    let mut client = gateway.operator();
    say(&mut client, SESSION, "use a tool", "run-1");
    let asked = upstream.wait_asked(2);
    assert!(asked[0].path.ends_with("/v1/messages"), "{}", asked[0].path);
    let key = asked[0].headers.iter().find(|(name, _)| name == "x-api-key").map(|(_, value)| value.as_str());
    assert_eq!(key, Some("sk-upstream-canary-5fb1"));
    assert!(asked[1].body["messages"].to_string().contains("tool-output-42"));
    let history = client.ok("chat.history", json!({ "sessionKey": SESSION }));
    assert_eq!(roles(&history), ["user", "assistant", "toolResult", "assistant"]);
    golden::has(&history["messages"][3], &json!({ "api": "anthropic-messages", "usage": { "output": USAGE.1 } }));
}

#[test]
fn without_a_provider_the_built_in_model_answers_from_live_data() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let models = client.ok("models.list", json!({}));
    assert!(models["models"].to_string().contains("local"), "{models:#}");
    send(&mut client, SESSION, "How many sessions are there, and how do I add a real provider?", "run-1");
    let end = client.event_where("chat", |chat| chat["state"] == "final");
    let text = end["payload"]["message"]["content"][0]["text"].as_str().expect("an answer").to_owned();
    assert!(text.contains("provider"), "{text}");
    let mut streamed = client.take_backlog();
    streamed.retain(|frame| chat_state(frame) == Some("delta"));
    assert!(!streamed.is_empty(), "it streams like any other model");
    let reply = gateway.post("/v1/chat/completions", &json!({ "messages": [{ "role": "user", "content": "status" }] }));
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn the_models_list_names_the_configured_ones() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let models = gateway.operator().ok("models.list", json!({}));
    let row = models["models"].as_array().expect("models").iter().find(|model| model["id"] == "stub-model");
    golden::has(
        row.expect("the configured model"),
        &json!({
            "id": "stub-model", "name": "Stub Model", "provider": "stub", "contextWindow": 128000,
            "reasoning": false, "available": true,
        }),
    );
}
