//! Long conversations are summed up: when they are asked to be, when they grow, when a model refuses them.

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::golden;
use crate::support::talk::{roles, say};
use crate::support::upstream::{Answer, Asked, USAGE, Upstream};
use crate::support::ws::Ws;

const MAIN: &str = "agent:main:main";

/// Whether this asks for a summary.
fn wants_summary(asked: &Asked) -> bool {
    asked.body["messages"][0]["content"].as_str().is_some_and(|system| system.starts_with("You sum up"))
}

/// An upstream that sums up as told and says "yes" to everything else.
fn summing(summary: &'static str) -> Upstream {
    Upstream::by(move |asked| if wants_summary(asked) { Answer::say(summary) } else { Answer::say("yes") })
}

fn messages(asked: &Asked) -> String {
    asked.body["messages"].to_string()
}

/// How often the main session was summed up.
fn summaries(client: &mut Ws) -> u64 {
    let patched = client.ok("sessions.patch", json!({ "key": MAIN, "label": "ours" }));
    patched["entry"]["compactionCount"].as_u64().unwrap_or_else(|| panic!("no count: {patched:#}"))
}

/// A model with a window of so many tokens.
fn narrow(upstream: &Upstream, window: u64) -> Value {
    let mut config = upstream.config();
    config["models"]["providers"]["stub"]["models"][0]["contextWindow"] = json!(window);
    config
}

#[test]
fn a_session_is_summed_up_when_somebody_asks() {
    let upstream = summing("They spoke of the blue door.");
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    for (run, text) in ["first words, blue", "second words", "third words"].iter().enumerate() {
        say(&mut client, MAIN, text, &format!("run-{run}"));
    }
    client.ok("sessions.subscribe", json!({}));
    let id = client.request("sessions.compact", json!({ "key": "main" }));
    let ends = |frame: &Value| frame["event"] == "sessions.changed" && frame["payload"]["reason"] == "compact";
    let frames = client.frames_until("the news", ends);
    let mut order = Vec::new();
    for frame in &frames {
        let payload = &frame["payload"];
        if frame["type"] == "res" {
            order.push("res".to_owned());
        } else if frame["event"] == "session.operation" {
            golden::has(payload, &json!({ "operation": "compact", "sessionKey": MAIN, "agentId": "main" }));
            order.push(format!("{}{}", payload["phase"], payload["completed"]));
        } else if ends(frame) {
            golden::has(payload, &json!({ "compacted": true, "session": { "key": MAIN } }));
            order.push("changed".to_owned());
        }
    }
    let answer = &frames.iter().find(|frame| frame["id"] == id.as_str()).expect("an answer")["payload"];
    assert_eq!(order, ["\"start\"null", "\"end\"true", "res", "changed"]);
    golden::has(answer, &json!({ "ok": true, "key": MAIN, "compacted": true }));
    golden::has(&answer["result"], &json!({ "summary": "They spoke of the blue door." }));
    assert!(answer["result"]["firstKeptEntryId"].is_string());

    let asked = upstream.asked();
    let question = messages(asked.last().expect("asked for a summary"));
    assert!(question.contains("User: first words, blue") && !question.contains("third words"), "{question}");
    assert!(
        asked.last().expect("asked").body.get("tools").is_none_or(|tools| tools.as_array().is_none_or(Vec::is_empty))
    );

    say(&mut client, MAIN, "fourth words", "run-4");
    let told = messages(upstream.asked().last().expect("asked"));
    assert!(told.contains("They spoke of the blue door.") && !told.contains("first words"), "{told}");
    assert!(told.contains("third words") && told.contains("fourth words"), "{told}");
    let history = client.ok("chat.history", json!({ "sessionKey": MAIN }));
    assert_eq!(roles(&history).iter().filter(|role| **role == "user").count(), 4, "nothing is gone");
    assert_eq!(summaries(&mut client), 1);
    let spent = client.ok("sessions.usage", json!({ "key": MAIN }));
    assert_eq!(spent["totals"]["totalTokens"], 5 * (USAGE.0 + USAGE.1), "the summary was paid for, too");
}

#[test]
fn a_conversation_that_outgrows_its_model_is_summed_up_first() {
    let upstream = summing("Much was said.");
    let gateway = Gateway::start(narrow(&upstream, 8_000));
    let mut client = gateway.operator();
    let long = "many words ".repeat(600);
    for run in 0..3 {
        say(&mut client, MAIN, &format!("number {run} {long}"), &format!("run-{run}"));
    }
    assert!(upstream.asked().iter().all(|asked| !wants_summary(asked)), "it fits so far");
    say(&mut client, MAIN, &format!("number 3 {long}"), "run-3");
    say(&mut client, MAIN, &format!("number 4 {long}"), "run-4");
    let asked = upstream.asked();
    let at = asked.iter().position(wants_summary).expect("a summary");
    let next = messages(&asked[at + 1]);
    assert!(next.contains("Much was said.") && !next.contains("number 0"), "the run went on with it");
    gateway.says("was summed up");
    assert!(summaries(&mut client) >= 1);
}

#[test]
fn it_is_not_where_that_was_switched_off() {
    let upstream = summing("never");
    let mut config = narrow(&upstream, 4_000);
    config["agents"]["defaults"]["compaction"] = json!({ "enabled": false });
    config["agents"]["defaults"]["contextTokens"] = json!(3_600);
    let gateway = Gateway::start(config);
    let mut client = gateway.operator();
    for run in 0..4 {
        say(&mut client, MAIN, &format!("number {run} {}", "many words ".repeat(300)), &format!("run-{run}"));
    }
    let asked = upstream.asked();
    assert!(asked.iter().all(|asked| !wants_summary(asked)));
    let last = messages(asked.last().expect("asked"));
    assert!(last.contains("number 3") && last.contains("number 2") && !last.contains("number 1"), "the oldest go");
}

#[test]
fn a_model_that_refuses_the_length_is_asked_again_with_less() {
    let mut refused = false;
    let upstream = Upstream::by(move |asked| match asked.body["messages"].to_string() {
        _ if wants_summary(asked) => Answer::say("In short."),
        said if said.contains("the last straw") && !std::mem::replace(&mut refused, true) => {
            Answer::Refuse(400, "This model's maximum context length is 10 tokens")
        }
        _ => Answer::say("yes"),
    });
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    say(&mut client, MAIN, "first words", "run-1");
    say(&mut client, MAIN, "second words", "run-2");
    say(&mut client, MAIN, "the last straw", "run-3");
    let asked = upstream.asked();
    assert_eq!(asked.len(), 5, "two turns, the refusal, the summary, the answer");
    let last = messages(&asked[4]);
    assert!(last.contains("In short.") && last.contains("the last straw") && !last.contains("first words"), "{last}");
}

#[test]
fn a_summary_that_fails_leaves_everything_as_it_was() {
    let upstream = Upstream::by(|asked| match wants_summary(asked) {
        true => Answer::Refuse(400, "no summaries here"),
        false => Answer::say("yes"),
    });
    let gateway = Gateway::start(narrow(&upstream, 8_000));
    let mut client = gateway.operator();
    for run in 0..5 {
        say(&mut client, MAIN, &"many words ".repeat(600), &format!("run-{run}"));
    }
    assert!(upstream.asked().iter().any(wants_summary), "it was tried");
    let error = client.err("sessions.compact", json!({ "key": MAIN }));
    assert_eq!(error["code"], "UNAVAILABLE");
    assert!(error["message"].as_str().expect("a message").contains("no summaries here"), "{error}");
    assert_eq!(summaries(&mut client), 0);
    say(&mut client, MAIN, "still there?", "run-9");
}

#[test]
fn a_model_that_never_sums_up_is_not_waited_for() {
    let upstream = Upstream::by(|asked| if wants_summary(asked) { Answer::Silent } else { Answer::say("yes") });
    let mut config = upstream.config();
    config["agents"]["defaults"]["compaction"] = json!({ "timeoutSeconds": 1 });
    let gateway = Gateway::start(config);
    let mut client = gateway.operator();
    say(&mut client, MAIN, "first", "run-1");
    say(&mut client, MAIN, "second", "run-2");
    let error = client.err("sessions.compact", json!({ "key": MAIN }));
    assert!(error["message"].as_str().expect("a message").contains("no summary within 1 s"), "{error}");
    assert_eq!(upstream.asked().iter().filter(|asked| wants_summary(asked)).count(), 1);
    assert_eq!(summaries(&mut client), 0);
}

#[test]
fn there_may_be_nothing_to_sum_up() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let nothing = client.ok("sessions.compact", json!({ "key": MAIN }));
    golden::has(&nothing, &json!({ "ok": true, "compacted": false, "reason": "no transcript" }));
    say(&mut client, MAIN, "hello", "run-1");
    let short = client.ok("sessions.compact", json!({ "key": MAIN }));
    golden::has(&short, &json!({ "compacted": false, "reason": "the conversation is short" }));
    let all = client.ok("sessions.compact", json!({ "key": MAIN, "maxLines": 9 }));
    golden::has(&all, &json!({ "compacted": false, "kept": 2 }));
    say(&mut client, MAIN, "and again", "run-2");
    let two = client.ok("sessions.compact", json!({ "key": MAIN, "maxLines": 2 }));
    golden::has(&two, &json!({ "compacted": true, "kept": 2 }));
    say(&mut client, MAIN, "now", "run-3");
    let told = messages(upstream.asked().last().expect("asked"));
    assert!(told.contains("and again") && !told.contains("hello"), "{told}");
    assert_eq!(client.err("sessions.compact", json!({ "key": "agent:nobody:main" }))["code"], "INVALID_REQUEST");
}

#[test]
fn the_command_works_without_any_account() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    for run in 0..4 {
        say(&mut client, MAIN, &format!("words number {run}"), &format!("run-{run}"));
    }
    say(&mut client, MAIN, "/compact the numbers", "run-9");
    assert_eq!(summaries(&mut client), 1);
}
