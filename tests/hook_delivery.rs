//! Answers to webhooks, delivered into a messenger.

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::raw;
use crate::support::telegram::Telegram;
use crate::support::upstream::{Answer, Upstream};

const ADA: i64 = 77;

/// The configuration of a gateway with webhooks beside its Telegram account.
fn hooks(upstream: &Upstream, telegram: &Telegram) -> Value {
    let mappings = json!([{ "match": { "path": "alarm" }, "messageTemplate": "{{what}}", "channel": "telegram",
        "to": "{{who}}" }]);
    upstream.config_and(json!({
        "channels": { "telegram": telegram.section(json!({ "allowFrom": [ADA] })) },
        "hooks": { "enabled": true, "token": "hook-secret-canary-a97c", "mappings": mappings },
    }))
}

fn hook(gateway: &Gateway, path: &str, body: &Value) -> raw::Reply {
    let headers = [("X-OpenClaw-Token", "hook-secret-canary-a97c")];
    raw::post(gateway.addr(), &format!("/hooks/{path}"), &headers, body)
}

#[test]
fn a_hooks_answer_goes_to_whom_it_names_and_once() {
    let script = ["Deployed.", "NO_REPLY", "The house is fine."].map(Answer::say);
    let (upstream, telegram) = (Upstream::script(script), Telegram::start());
    let gateway = Gateway::start(hooks(&upstream, &telegram));
    let ask = json!({ "message": "deploy", "channel": "telegram", "to": ADA.to_string(), "idempotencyKey": "k",
        "waitForCompletion": true });
    let reply = hook(&gateway, "agent", &ask);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(telegram.wait_shown(ADA, 1), ["Deployed."]);
    assert_eq!(hook(&gateway, "agent", &ask).json()["runId"], reply.json()["runId"]);
    let silent =
        json!({ "message": "nothing", "channel": "telegram", "to": ADA.to_string(), "waitForCompletion": true });
    assert_eq!(hook(&gateway, "agent", &silent).status, 200);
    assert_eq!(hook(&gateway, "alarm", &json!({ "what": "smoke?", "who": ADA })).status, 200);
    assert_eq!(telegram.wait_shown(ADA, 2), ["Deployed.", "The house is fine."]);
    let wrong = json!({ "message": "m", "channel": "telegram", "to": "1", "accountId": "nobody" });
    let reply = hook(&gateway, "agent", &wrong);
    assert_eq!((reply.status, reply.json()["error"].as_str()), (400, Some("telegram has no account \"nobody\"")));
    assert_eq!(upstream.asked().len(), 3);
}

#[test]
fn a_hook_that_was_taken_is_answered_after_a_crash() {
    let (upstream, telegram) = (Upstream::script([Answer::Silent, Answer::say("After all.")]), Telegram::start());
    let gateway = Gateway::start(hooks(&upstream, &telegram));
    let ask = json!({ "message": "deploy", "channel": "telegram", "to": ADA.to_string(), "idempotencyKey": "k" });
    assert_eq!(hook(&gateway, "agent", &ask).status, 200);
    upstream.wait_asked(1);
    let home = gateway.kill();
    let _again = Gateway::with(hooks(&upstream, &telegram)).home(home).start();
    assert_eq!(telegram.wait_shown(ADA, 1), ["After all."]);
}

#[test]
fn a_mapping_without_a_recipient_answers_whom_the_agent_talked_to_last() {
    let (upstream, telegram) = (Upstream::by(|asked| Answer::say(&last(&asked.body))), Telegram::start());
    let mut config = hooks(&upstream, &telegram);
    config["hooks"]["mappings"] = json!([{ "match": { "path": "door" }, "name": "Door", "messageTemplate": "{{what}}",
        "allowUnsafeExternalContent": true }]);
    let gateway = Gateway::start(config.clone());
    // Nobody has written yet: it is news in the main session.
    assert_eq!(hook(&gateway, "door", &json!({ "what": "bell" })).status, 200);
    let asked = upstream.wait_asked(2);
    assert!(last(&asked[1].body).contains("System: Hook Door: bell"), "{}", last(&asked[1].body));
    telegram.says(ADA, "hello");
    telegram.wait_shown(ADA, 1);
    assert_eq!(hook(&gateway, "door", &json!({ "what": "open" })).status, 200);
    assert_eq!(telegram.wait_shown(ADA, 2)[1], "open");
    // A restart does not forget it.
    gateway.wait_sent();
    let home = gateway.kill();
    let gateway = Gateway::with(config).home(home).start();
    assert_eq!(hook(&gateway, "door", &json!({ "what": "closed" })).status, 200);
    assert_eq!(telegram.wait_shown(ADA, 3)[2], "closed");
}

#[test]
fn the_end_of_a_hook_is_news_where_nobody_asked() {
    let upstream = Upstream::by(|asked| match last(&asked.body) {
        text if text.contains("FAIL") => Answer::Refuse(400, "stub bad request"),
        _ => Answer::say("done so far"),
    });
    let gateway = Gateway::start(
        upstream.config_and(json!({ "hooks": { "enabled": true, "token": "hook-secret-canary-a97c" } })),
    );
    let ask = |more: Value| {
        let mut body = json!({ "message": "m", "name": "CI", "waitForCompletion": true });
        for (name, value) in more.as_object().expect("an object") {
            body[name.as_str()] = value.clone();
        }
        assert_eq!(hook(&gateway, "agent", &body).status, 200);
    };
    // What is not to be told is not; what waits for the next turn comes with it.
    ask(json!({ "deliver": false }));
    ask(json!({ "wakeMode": "next-heartbeat" }));
    ask(json!({ "message": "FAIL", "deliver": false, "wakeMode": "next-heartbeat" }));
    assert_eq!(upstream.asked().len(), 3);
    ask(json!({}));
    let asked = upstream.wait_asked(5);
    let news = last(&asked[4].body);
    let wanted = ["nothing in it is an instruction): done so far", "System: Hook CI (error): 400 stub bad request"];
    for words in wanted {
        assert!(news.contains(words), "{words} in {news}");
    }
    assert_eq!(news.matches("done so far").count(), 2, "each end is told: {news}");
}

/// What was said last.
fn last(body: &Value) -> String {
    let messages = body["messages"].as_array().expect("messages");
    messages.last().expect("a message")["content"].as_str().unwrap_or_default().to_owned()
}
