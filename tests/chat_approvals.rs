//! Approvals in messengers: who is asked, who may decide, by button and by word.

use serde_json::{Value, json};

use crate::support::discord::{Discord, direct};
use crate::support::gateway::Gateway;
use crate::support::telegram::Telegram;
use crate::support::upstream::{Answer, Upstream};
use crate::support::wait;

const ADA: i64 = 77;

/// An upstream whose model runs a command once, then says that it is done.
fn running(command: &str) -> Upstream {
    let call = Answer::Call { name: "exec", arguments: json!({ "command": command }) };
    Upstream::script([call, Answer::say("done")])
}

fn started(upstream: &Upstream, channels: Value, more: Value) -> Gateway {
    let mut config = json!({ "channels": channels, "tools": { "exec": { "security": "allowlist", "ask": "always" } } });
    crate::support::gateway::merge(&mut config, more);
    Gateway::start(upstream.config_and(config))
}

/// What the model was told of its command.
fn told(upstream: &Upstream) -> String {
    upstream.wait_asked(2)[1].body["messages"].as_array().expect("messages").last().expect("one").to_string()
}

/// The data behind the buttons of the latest message that has some.
#[track_caller]
fn buttons(telegram: &Telegram) -> Vec<String> {
    let sent = wait::until("buttons are shown", || {
        let with = |call: &crate::support::telegram::Called| call.params["reply_markup"].is_object();
        telegram.calls("sendMessage").into_iter().rfind(with)
    });
    let row = sent.params["reply_markup"]["inline_keyboard"][0].as_array().expect("a row").clone();
    row.iter().map(|button| button["callback_data"].as_str().expect("data").to_owned()).collect()
}

fn press(telegram: &Telegram, user: i64, chat: &Value, data: &str) {
    telegram.update(json!({ "callback_query": { "id": format!("q{user}"), "from": { "id": user }, "data": data,
        "message": { "message_id": 1, "chat": chat, "from": { "id": crate::support::telegram::BOT } } } }));
}

#[test]
fn a_command_of_a_direct_chat_is_asked_about_there_and_a_button_lets_it_run() {
    let (upstream, telegram) = (running("echo tool-output-42"), Telegram::start());
    let section = telegram.section(json!({ "allowFrom": [ADA] }));
    let gateway = started(&upstream, json!({ "telegram": section }), json!({}));
    telegram.says(ADA, "run it");
    let shown = telegram.wait_shown(ADA, 1);
    assert!(shown[0].contains("<pre>echo tool-output-42</pre>") && shown[0].contains("/approve "), "{}", shown[0]);
    let data = buttons(&telegram);
    assert!(data.len() == 2 && data.iter().all(|data| data.len() <= 64), "{data:?}");
    press(&telegram, ADA, &json!({ "id": ADA, "type": "private" }), &data[0]);
    assert!(told(&upstream).contains("tool-output-42"));
    let all = telegram.wait_shown(ADA, 3);
    assert!(
        all.iter().any(|text| text.contains("allowed this once")) && all.iter().any(|text| text == "done"),
        "{all:?}"
    );
    let mut client = gateway.operator();
    let history = client.ok("approval.history", json!({}));
    assert!(history.to_string().contains("telegram:77"), "{history}");
}

#[test]
fn in_a_group_only_an_owner_decides() {
    let (upstream, telegram) = (running("echo tool-output-42"), Telegram::start());
    let section = telegram.section(json!({ "allowFrom": [ADA, 6], "groups": { "-100": { "requireMention": false } } }));
    let owners = json!({ "commands": { "ownerAllowFrom": ["telegram:77"] } });
    let _gateway = started(&upstream, json!({ "telegram": section }), owners);
    let chat = json!({ "id": -100, "type": "supergroup", "title": "Team" });
    let say = |user: i64, text: &str| telegram.message(json!({ "from": { "id": user }, "chat": chat, "text": text }));
    say(6, "run it");
    telegram.wait_shown(-100, 1);
    let deny = buttons(&telegram).pop().expect("a button");
    press(&telegram, 6, &chat, &deny);
    assert!(telegram.wait_shown(-100, 2)[1].contains("may not decide"));
    say(ADA, "/approve nonsense deny");
    assert!(telegram.wait_shown(-100, 3)[2].contains("is known"));
    say(ADA, deny.trim_end_matches(" deny"));
    assert!(telegram.wait_shown(-100, 4)[3].contains("Answer with"));
    say(ADA, &deny);
    assert!(told(&upstream).contains("user-denied"));
    telegram.wait_shown(-100, 6);
    say(ADA, &deny);
    assert!(telegram.wait_shown(-100, 7)[6].contains("decided already"));
}

#[test]
fn a_question_is_forwarded_where_the_configuration_says() {
    let (upstream, telegram, discord) = (running("echo tool-output-42"), Telegram::start(), Discord::start());
    let channels = json!({
        "telegram": telegram.section(json!({ "allowFrom": [ADA] })),
        "discord": discord.section(json!({ "allowFrom": ["9"], "execApprovals": { "approvers": ["9"] } })),
    });
    let targets = json!([{ "channel": "discord", "to": "user:9" }]);
    let forward = json!({ "approvals": { "exec": { "enabled": true, "mode": "targets", "targets": targets } } });
    let _gateway = started(&upstream, channels, forward);
    discord.wait_ready(1, 0);
    telegram.says(ADA, "run it");
    discord.wait_shown(&direct(9), 1);
    let sent = discord.calls(&format!("POST channels/{}/messages", direct(9))).remove(0).body;
    let button = sent["components"][0]["components"][0]["custom_id"].as_str().expect("a button").to_owned();
    assert!(telegram.shown(ADA).is_empty(), "only there");
    discord.event(
        "INTERACTION_CREATE",
        json!({ "id": "1", "type": 3, "token": "t", "channel_id": direct(9), "user": { "id": "9" },
                "data": { "custom_id": button } }),
    );
    assert!(told(&upstream).contains("tool-output-42"));
    telegram.wait_shown(ADA, 1);
    assert_eq!(discord.wait_called("POST interactions/1/t/callback", 1)[0].body["type"], 7, "the buttons are gone");
}
