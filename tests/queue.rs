//! Messages that come while a run is made: they steer it, wait for it, are put together, or take its place.

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::talk::{roles, send};
use crate::support::upstream::{Answer, Upstream};
use crate::support::ws::Ws;

const MAIN: &str = "agent:main:main";

/// A command that ends when the test puts a file beside it.
fn waiting_call() -> Answer {
    Answer::Call { name: "exec", arguments: json!({ "command": "touch begun; until [ -e go ]; do sleep 0.02; done" }) }
}

fn queued(client: &mut Ws, mode: &str, message: &str, run: &str) {
    let params = json!({ "sessionKey": MAIN, "message": message, "idempotencyKey": run, "queueMode": mode });
    assert_eq!(client.ok("chat.send", params)["status"], "started");
}

fn ended(client: &mut Ws, run: &str, state: &str) -> Value {
    client.event_where("chat", |chat| chat["runId"] == run && chat["state"] == state)["payload"].take()
}

#[test]
fn a_message_for_a_running_turn_comes_before_its_next_model_call() {
    let upstream = Upstream::script([waiting_call(), Answer::say("Both done.")]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, MAIN, "first", "run-1");
    crate::support::wait::until("the tool to begin", || gateway.workspace().join("begun").exists().then_some(()));
    send(&mut client, MAIN, "and also this", "run-2");
    std::fs::write(gateway.workspace().join("go"), "").expect("the workspace takes a file");
    let joined = ended(&mut client, "run-2", "final");
    assert!(joined["message"].is_null(), "what is said to it is said by the first run");
    let end = ended(&mut client, "run-1", "final");
    assert!(end["message"]["content"][0]["text"].as_str().expect("text").ends_with("Both done."));
    let asked = upstream.asked();
    assert_eq!(asked.len(), 2, "no turn of its own");
    let messages = asked[1].body["messages"].as_array().expect("messages");
    assert_eq!(messages.last().expect("a message")["content"], "and also this");
    let history = client.ok("chat.history", json!({ "sessionKey": MAIN }));
    assert_eq!(roles(&history), ["user", "assistant", "toolResult", "user", "assistant"]);
    assert_eq!(history["messages"][3]["idempotencyKey"], "run-2:user");
    assert_eq!(
        client.ok(
            "chat.send",
            json!({
                "sessionKey": MAIN, "message": "and also this", "idempotencyKey": "run-2"
            })
        )["status"],
        "ok"
    );
}

#[test]
fn a_message_that_comes_too_late_to_steer_has_a_turn_of_its_own() {
    let upstream = Upstream::script([Answer::Hold(vec!["One".into()], vec![".".into()]), Answer::say("Two.")]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, MAIN, "first", "run-1");
    upstream.wait_asked(1);
    send(&mut client, MAIN, "second", "run-2");
    upstream.release();
    ended(&mut client, "run-1", "final");
    assert_eq!(ended(&mut client, "run-2", "final")["message"]["content"][0]["text"], "Two.");
}

#[test]
fn messages_that_are_collected_make_one_turn() {
    let upstream = Upstream::script([Answer::Hold(vec!["One".into()], vec![".".into()]), Answer::say("All.")]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, MAIN, "first", "run-1");
    upstream.wait_asked(1);
    for (message, run) in [("second", "run-2"), ("third", "run-3")] {
        queued(&mut client, "collect", message, run);
    }
    upstream.release();
    assert_eq!(ended(&mut client, "run-2", "final")["message"]["content"][0]["text"], "All.");
    let asked = upstream.asked();
    assert_eq!(asked.len(), 2);
    let messages = asked[1].body["messages"].as_array().expect("messages");
    assert_eq!(messages.last().expect("a message")["content"], "second\n\nthird");
    let waiting = &client.ok("chat.history", json!({ "sessionKey": MAIN }))["pendingInputs"];
    assert_eq!(waiting["total"], 0, "nothing is left in the inbox");
}

#[test]
fn a_message_can_take_the_place_of_what_is_being_made() {
    let upstream = Upstream::script([Answer::Silent, Answer::say("Instead.")]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, MAIN, "first", "run-1");
    upstream.wait_asked(1);
    queued(&mut client, "interrupt", "no, this", "run-2");
    ended(&mut client, "run-1", "aborted");
    assert_eq!(ended(&mut client, "run-2", "final")["message"]["content"][0]["text"], "Instead.");
}

#[test]
fn a_session_remembers_what_to_do_with_such_messages() {
    let upstream = Upstream::script([waiting_call(), Answer::say("One."), Answer::say("Two.")]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, MAIN, "/queue followup", "run-0");
    ended(&mut client, "run-0", "final");
    let row = client.ok("sessions.describe", json!({ "key": MAIN }));
    assert_eq!(row["session"]["effectiveQueueMode"], "followup");
    send(&mut client, MAIN, "first", "run-1");
    crate::support::wait::until("the tool to begin", || gateway.workspace().join("begun").exists().then_some(()));
    send(&mut client, MAIN, "second", "run-2");
    std::fs::write(gateway.workspace().join("go"), "").expect("the workspace takes a file");
    assert_eq!(ended(&mut client, "run-2", "final")["message"]["content"][0]["text"], "Two.");
}
