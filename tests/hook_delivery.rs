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
