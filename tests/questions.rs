//! Questions to the people at the gateway: asked by clients and by the agent, answered once, or not at all.

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::talk::{SESSION, send};
use crate::support::ws::{self, Ws};
use crate::support::{Answer, Upstream};

fn color() -> Value {
    json!({ "questionId": "color", "header": "Color", "question": "Which color?",
            "options": [{ "label": "Red" }, { "label": "Blue" }] })
}

fn people(gateway: &Gateway) -> Ws {
    let mut ws = Ws::open(gateway.addr());
    ws.hello(ws::backend(&["operator.read", "operator.write", "operator.questions"]));
    ws
}

#[test]
fn a_question_is_asked_seen_answered_once_and_told_to_who_waits() {
    let gateway = Gateway::start(json!({}));
    let (mut asker, mut other) = (people(&gateway), people(&gateway));
    let mut reader = Ws::open(gateway.addr());
    reader.hello(ws::backend(&["operator.read"]));
    let asked =
        asker.ok("question.request", json!({ "id": "q-2", "questions": [color()], "sessionKey": "agent:main:main" }));
    let told = other.event("question.requested")["payload"].take();
    assert_eq!(
        told,
        json!({
            "id": "q-2", "questions": [color()], "agentId": "main", "sessionKey": "agent:main:main",
            "createdAtMs": told["createdAtMs"], "expiresAtMs": asked["expiresAtMs"], "status": "pending",
        })
    );
    let time = told["expiresAtMs"].as_u64().expect("a moment") - told["createdAtMs"].as_u64().expect("a moment");
    assert_eq!(time, 900_000);
    assert_eq!(other.ok("question.list", json!({})), json!({ "questions": [told] }));
    // Somebody who comes later finds it, too.
    let mut late = people(&gateway);
    assert_eq!(late.ok("question.get", json!({ "id": "q-2" }))["question"], told);

    assert_eq!(asker.ok("question.waitAnswer", json!({ "id": "q-2", "timeoutMs": 1 })), json!({ "status": "pending" }));
    let waits = asker.request("question.waitAnswer", json!({ "id": "q-2" }));
    for (wrong, why) in [
        (json!({ "id": "q-2", "answers": { "answers": { "size": ["L"] } } }), "does not ask 'size'"),
        (json!({ "id": "q-2", "answers": { "answers": { "color": ["Red", "Blue"] } } }), "takes one answer"),
        (json!({ "id": "q-2" }), "either answers or cancel"),
        (json!({ "id": "q-1", "cancel": true }), "question 'q-1' was not found"),
    ] {
        let error = other.err("question.resolve", wrong.clone());
        assert!(error["message"].as_str().is_some_and(|text| text.contains(why)), "{wrong}: {error}");
    }
    let answer = json!({ "answers": { "color": ["Red"] } });
    let outcome = json!({ "status": "answered", "answers": answer });
    assert_eq!(other.ok("question.resolve", json!({ "id": "q-2", "answers": answer })), outcome);
    assert_eq!(asker.response(&waits).expect("answered"), outcome);
    assert_eq!(
        asker.event("question.resolved")["payload"],
        json!({ "id": "q-2", "status": "answered", "answers": answer })
    );
    assert_eq!(late.ok("question.waitAnswer", json!({ "id": "q-2" })), outcome, "who comes late is told as well");
    let error = late.err("question.resolve", json!({ "id": "q-2", "cancel": true }));
    assert_eq!(error["message"], "question 'q-2' is already answered");
    assert_eq!(late.ok("question.list", json!({})), json!({ "questions": [] }));
    // Who may only read neither hears of it nor may look.
    assert_eq!(reader.err("question.list", json!({}))["details"]["missingScope"], "operator.questions");
    reader.ok("health", json!({}));
    assert!(reader.seen("question.requested").is_empty());
}

#[test]
fn a_secret_answer_is_for_who_waits_and_for_nobody_else() {
    let gateway = Gateway::start(json!({}));
    let (mut asker, mut other) = (people(&gateway), people(&gateway));
    let mut secret = color();
    secret["isSecret"] = json!(true);
    secret["options"] = json!([]);
    asker.ok("question.request", json!({ "id": "s", "questions": [secret] }));
    let waits = asker.request("question.waitAnswer", json!({ "id": "s" }));
    let answer = json!({ "answers": { "color": ["canary-said-in-secret"] } });
    other.ok("question.resolve", json!({ "id": "s", "answers": answer }));
    assert_eq!(asker.response(&waits).expect("answered")["answers"], answer);
    let told = other.event("question.resolved")["payload"].take();
    assert_eq!(told["answers"], json!({ "answers": { "color": [] } }));
    let seen = other.ok("question.get", json!({ "id": "s" })).to_string();
    assert!(!seen.contains("canary"), "{seen}");
}

#[test]
fn questions_expire_and_bad_ones_are_refused_with_their_place() {
    let gateway = Gateway::start(json!({}));
    let mut asker = people(&gateway);
    asker.ok("question.request", json!({ "id": "short", "questions": [color()], "timeoutMs": 1 }));
    assert_eq!(asker.event("question.resolved")["payload"], json!({ "id": "short", "status": "expired" }));
    assert_eq!(asker.ok("question.waitAnswer", json!({ "id": "short" })), json!({ "status": "expired" }));
    let with = |key: &str, value: Value| {
        let mut one = color();
        one[key] = value;
        json!({ "questions": [one] })
    };
    let label = json!({ "label": "x" });
    for (wrong, place) in [
        (json!({ "questions": [] }), "/questions"),
        (json!({ "questions": [color(), color()] }), "/questions/1/questionId"),
        (with("questionId", json!("Color")), "/questions/0/questionId"),
        (with("header", json!("longer than twelve")), "/questions/0/header"),
        (with("question", json!(" ")), "/questions/0/question"),
        (with("options", json!([label, label, label, label, label])), "/questions/0/options"),
        (with("secretStore", json!({ "name": "X", "kind": "env" })), "secretStore"),
        (with("question", json!("x".repeat(20_000))), "more than 16384 bytes"),
    ] {
        let error = asker.err("question.request", wrong.clone());
        assert!(error["message"].as_str().is_some_and(|text| text.contains(place)), "{wrong}: {error}");
    }
    // What peers make grow has an end.
    let mut refused = 0;
    for number in 0..80 {
        let id = format!("many-{number}");
        refused += u32::from(asker.call("question.request", json!({ "id": id, "questions": [color()] })).is_err());
    }
    assert_eq!(refused, 16);
}

#[test]
fn the_agent_asks_waits_and_goes_on_with_the_answer() {
    let arguments = json!({ "questions": [{ "id": "color", "header": "Color", "question": "Which color?",
        "options": [{ "label": "Red" }, { "label": "Blue" }] }] });
    let upstream = Upstream::script([
        Answer::Call { name: "ask_user", arguments: arguments.clone() },
        Answer::say("As you like."),
        Answer::Call { name: "ask_user", arguments: arguments.clone() },
    ]);
    let gateway = Gateway::on(&upstream);
    let mut person = Ws::open(gateway.addr());
    let device = crate::support::device::Device::new(7);
    let scopes = ["operator.read", "operator.write", "operator.questions"];
    device.connect(&mut person, &scopes, json!({ "token": crate::support::gateway::TOKEN })).expect("let in");
    send(&mut person, SESSION, "paint it", "run-1");
    let asked = person.event("question.requested")["payload"].take();
    assert_eq!((&asked["runId"], &asked["questions"][0]["isOther"]), (&json!("run-1"), &json!(true)));
    person.ok("question.resolve", json!({ "id": asked["id"], "answers": { "answers": { "color": ["Blue"] } } }));
    person.event_where("chat", |chat| chat["state"] == "final");
    let seen = upstream.asked()[1].body.to_string();
    assert!(seen.contains(r#"\"color\":[\"Blue\"]"#), "{seen}");
    // A run that is stopped takes its question back.
    send(&mut person, SESSION, "and again", "run-2");
    let asked = person.event_where("question.requested", |one| one["runId"] == "run-2")["payload"].take();
    person.ok("chat.abort", json!({ "sessionKey": SESSION }));
    let told = person.event_where("question.resolved", |one| one["id"] == asked["id"]);
    assert_eq!(told["payload"]["status"], "cancelled");
    drop(person);
    // Nobody is there: nobody is asked.
    let offered = |upstream: &Upstream| {
        let asked = upstream.asked();
        asked.last().expect("a call").body["tools"].to_string().contains("ask_user")
    };
    assert!(offered(&upstream));
    let quiet = Upstream::friendly();
    let alone = Gateway::on(&quiet);
    let mut client = alone.operator();
    send(&mut client, SESSION, "hello", "run-3");
    client.event_where("chat", |chat| chat["state"] == "final");
    assert!(!offered(&quiet));
}
