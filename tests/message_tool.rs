//! The tool `message`: what an agent may say into a messenger, and where.

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::telegram::Telegram;
use crate::support::upstream::{Answer, Upstream};

const ADA: i64 = 77;

fn calling(arguments: Value) -> Upstream {
    Upstream::script([Answer::Call { name: "message", arguments }, Answer::say("done")])
}

fn started(upstream: &Upstream, telegram: &Telegram, more: Value) -> Gateway {
    let mut section = telegram.section(json!({ "allowFrom": [ADA] }));
    crate::support::gateway::merge(&mut section, more);
    Gateway::start(upstream.config_and(json!({ "channels": { "telegram": section } })))
}

/// What the model was told of its call.
fn told(upstream: &Upstream) -> String {
    upstream.wait_asked(2)[1].body["messages"].as_array().expect("messages").last().expect("one").to_string()
}

#[test]
fn an_owner_s_agent_writes_to_somebody_else_and_answers_where_it_was_asked() {
    let upstream = calling(json!({ "target": "88", "message": "**hi**" }));
    let telegram = Telegram::start();
    let _gateway = started(&upstream, &telegram, json!({}));
    telegram.says(ADA, "tell 88 hi");
    assert_eq!(telegram.wait_shown(88, 1), ["<b>hi</b>"]);
    assert_eq!(telegram.wait_shown(ADA, 1), ["done"]);
    assert!(told(&upstream).contains("\\\"ok\\\":true"), "{}", told(&upstream));
}

#[test]
fn who_is_only_let_in_makes_it_say_things_to_himself_alone() {
    let upstream = calling(json!({ "target": "telegram:88", "message": "spam" }));
    let telegram = Telegram::start();
    let _gateway = started(&upstream, &telegram, json!({ "dmPolicy": "open", "allowFrom": ["*"] }));
    telegram.says(5, "write to 88");
    telegram.wait_shown(5, 1);
    assert!(told(&upstream).contains("only be answered in this conversation"), "{}", told(&upstream));
    assert!(telegram.shown(88).is_empty());
}

#[test]
fn what_an_agent_may_not_read_it_does_not_send() {
    let upstream = Upstream::script([
        Answer::Call { name: "message", arguments: json!({ "media": "out.txt", "message": "look" }) },
        Answer::Call { name: "message", arguments: json!({ "media": "../openclaw.json" }) },
        Answer::say("done"),
    ]);
    let telegram = Telegram::start();
    let gateway = started(&upstream, &telegram, json!({}));
    std::fs::create_dir_all(gateway.workspace()).expect("made");
    std::fs::write(gateway.workspace().join("out.txt"), "for you").expect("written");
    telegram.says(ADA, "send me the file");
    telegram.wait_called("sendDocument", 1);
    telegram.wait_shown(ADA, 1);
    assert_eq!(telegram.calls("sendDocument").len(), 1, "the configuration stays here");
    let said = upstream.asked()[2].body["messages"].as_array().expect("messages").last().expect("one").to_string();
    assert!(!said.contains("\\\"ok\\\":true"), "{said}");
}

#[test]
fn who_passes_the_answer_on_can_do_without_it() {
    let (upstream, telegram) = (Upstream::friendly(), Telegram::start());
    let gateway = started(&upstream, &telegram, json!({}));
    let mut client = gateway.operator();
    telegram.wait_called("getUpdates", 1);
    let ask = |key: &str, off: bool| json!({ "message": "hello", "idempotencyKey": key, "disableMessageTool": off });
    for (key, off) in [("k1", false), ("k2", true)] {
        client.request("agent", ask(key, off));
        let tools = upstream.wait_asked(if off { 2 } else { 1 }).pop().expect("asked").body["tools"].to_string();
        assert_eq!(tools.contains("\"message\""), !off, "{tools}");
    }
}

#[test]
fn without_a_messenger_it_is_not_offered() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    crate::support::talk::say(&mut gateway.operator(), "agent:main:main", "hello", "run-1");
    let tools = upstream.asked()[0].body["tools"].to_string();
    assert!(!tools.contains("\"message\""), "{tools}");
}
