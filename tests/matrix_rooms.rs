//! Matrix, against a homeserver that does as it is told.

use serde_json::{Value, json};

use crate::support::homeserver::{ADA, BOT, Homeserver, Misdeed};
use crate::support::upstream::pieces;
use crate::support::{Answer, Gateway, Upstream, wait};

const DM: &str = "!dm:home.test";
const ROOM: &str = "!room:home.test";

fn config(upstream: &Upstream, home: &Homeserver, more: Value) -> Value {
    let mut section = home.section(json!({ "allowFrom": [ADA] }));
    crate::support::gateway::merge(&mut section, more);
    upstream.config_and(json!({ "channels": { "matrix": section } }))
}

/// Starts a gateway whose account has its first position.
fn gateway(config: Value, home: &Homeserver) -> Gateway {
    let gateway = Gateway::start(config);
    wait::until("the second sync", || (home.calls("/sync?").len() >= 2).then_some(()));
    gateway
}

#[test]
fn a_direct_message_is_answered_and_history_is_not() {
    let (upstream, home) = (Upstream::script([Answer::say("**Hello** Ada.")]), Homeserver::start());
    home.room(DM, &[ADA], false);
    home.says(DM, ADA, "long ago");
    let gateway = gateway(config(&upstream, &home, json!({})), &home);
    home.says(DM, ADA, "hello");
    let shown = home.wait_said(DM, 1, "**Hello** Ada.");
    assert_eq!(shown[0]["formatted_body"], "<b>Hello</b> Ada.");
    assert_eq!(upstream.asked().len(), 1);
    let system = upstream.asked()[0].body["messages"][0]["content"].to_string();
    assert!(system.contains("a direct chat with ada"), "{system}");
    let mut client = gateway.operator();
    let status = client.ok("channels.status", json!({ "probe": true }));
    let account = &status["channelAccounts"]["matrix"][0];
    assert_eq!((&account["identity"], &account["probe"]["ok"]), (&json!(BOT), &json!(true)), "{account}");
    assert!(!status.to_string().contains("canary") && !gateway.log().contains("canary"), "no token is shown");
}

#[test]
fn a_room_is_heard_when_it_is_listed_and_we_are_named() {
    let (upstream, home) = (Upstream::friendly(), Homeserver::start());
    home.room(ROOM, &[ADA, "@bob:home.test"], false);
    home.room("!other:home.test", &[ADA, "@bob:home.test"], false);
    let groups = json!({ "groupPolicy": "allowlist", "groups": { ROOM: {} }, "groupAllowFrom": [ADA] });
    let _gateway = gateway(config(&upstream, &home, groups), &home);
    home.says(ROOM, ADA, "just talking");
    home.says("!other:home.test", ADA, "bot: here, too?");
    home.says(ROOM, "@bob:home.test", "bot: and me?");
    let named = home.says(ROOM, ADA, "bot: what time is it?");
    let shown = home.wait_said(ROOM, 1, "Hello from upstream.");
    assert_eq!(shown[0]["m.relates_to"]["m.in_reply_to"]["event_id"], json!(named));
    let asked = upstream.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].body["messages"].to_string().contains("what time is it?"));
    assert!(home.shown("!other:home.test").is_empty());
    // Who answers us need not name us, and stays in the thread.
    let threaded = json!({ "msgtype": "m.text", "body": "bot, here", "m.relates_to": {
        "rel_type": "m.thread", "event_id": named } });
    home.event(ROOM, ADA, threaded);
    let shown = home.wait_said(ROOM, 2, "Hello from upstream.");
    assert_eq!(shown[1]["m.relates_to"]["event_id"], json!(named), "{}", shown[1]);
}

#[test]
fn invitations_are_accepted_from_whom_the_configuration_names() {
    let (upstream, home) = (Upstream::friendly(), Homeserver::start());
    let listed = json!({ "autoJoin": "allowlist", "autoJoinAllowlist": [ADA] });
    let gateway = gateway(config(&upstream, &home, listed), &home);
    home.invite("!spam:home.test", "@mallory:home.test");
    gateway.says("an invitation of @mallory:home.test");
    assert!(home.calls("/join").is_empty());
    home.invite(DM, ADA);
    wait::until("the room is joined", || (!home.calls("/join").is_empty()).then_some(()));
    home.says(DM, ADA, "hello");
    home.wait_said(DM, 1, "Hello from upstream.");
}

#[test]
fn an_encrypted_room_is_told_once_that_it_cannot_be_read() {
    let (upstream, home) = (Upstream::friendly(), Homeserver::start());
    home.room(DM, &[ADA], true);
    let _gateway = gateway(config(&upstream, &home, json!({})), &home);
    home.says(DM, ADA, "plain words in an encrypted room");
    let told = wait::until("it says so", || home.shown(DM).first().cloned());
    assert!(told["body"].as_str().is_some_and(|text| text.contains("end-to-end encrypted")), "{told}");
    home.says(DM, ADA, "again");
    let synced = home.calls("/sync?").len();
    wait::until("two more syncs", || (home.calls("/sync?").len() >= synced + 2).then_some(()));
    assert_eq!((home.shown(DM).len(), upstream.asked().len()), (1, 0));
}

#[test]
fn a_gap_is_read_up_and_a_lost_answer_is_not_said_twice() {
    let upstream = Upstream::by(|asked| {
        let last = asked.body["messages"].as_array().and_then(|all| all.last()).expect("a message").clone();
        let text = last["content"].as_str().unwrap_or_default().to_owned();
        Answer::say(&format!("re {}", text.lines().last().unwrap_or_default()))
    });
    let home = Homeserver::start();
    home.room(DM, &[ADA], false);
    let options = json!({});
    let first = gateway(config(&upstream, &home, options.clone()), &home);
    home.misbehave("/send/", Misdeed::Lose);
    home.says(DM, ADA, "one");
    home.wait_said(DM, 1, "re one");
    wait::until("the answer was sent again", || (home.calls("/send/").len() >= 2).then_some(()));
    let kept = first.kill();
    home.at_most(2);
    for word in ["two", "three", "four", "five"] {
        home.says(DM, ADA, word);
    }
    let _second = Gateway::with(config(&upstream, &home, options)).home(kept).start();
    wait::until("all are answered", || {
        let words: Vec<_> = home.shown(DM).iter().map(|content| content["body"].to_string()).collect();
        ["two", "three", "four", "five"].iter().all(|word| words.iter().any(|text| text.contains(word))).then_some(())
    });
    let said = home.shown(DM);
    assert_eq!(said.iter().filter(|content| content["body"] == "re one").count(), 1, "{said:?}");
}

#[test]
fn an_answer_is_shown_while_it_is_made_where_that_is_wanted() {
    let held = Answer::Hold(pieces("It is nearly there, only a moment more and "), pieces("it is done."));
    let (upstream, home) = (Upstream::script([held]), Homeserver::start());
    home.room(DM, &[ADA], false);
    let _gateway = gateway(config(&upstream, &home, json!({ "streaming": { "mode": "partial" } })), &home);
    home.says(DM, ADA, "how far is it?");
    home.wait_said(DM, 1, "It is nearly there, only a moment more and");
    upstream.release();
    let shown = home.wait_said(DM, 1, "It is nearly there, only a moment more and it is done.");
    assert_eq!(shown.len(), 1);
}

#[test]
fn a_token_nobody_knows_ends_the_account_and_a_password_gets_one() {
    let (upstream, home) = (Upstream::friendly(), Homeserver::start());
    home.room(DM, &[ADA], false);
    let wrong = Gateway::start(config(&upstream, &home, json!({ "accessToken": "revoked-canary" })));
    wrong.says("log the bot in again and set channels.matrix.accessToken");
    drop(wrong);
    let mut login = config(&upstream, &home, json!({ "password": "right-canary" }));
    login["channels"]["matrix"].as_object_mut().expect("a section").remove("accessToken");
    let _right = gateway(login, &home);
    home.says(DM, ADA, "hello");
    home.wait_said(DM, 1, "Hello from upstream.");
    assert_eq!(home.calls("/login").len(), 1);
}

#[test]
fn a_limit_is_waited_for_and_a_picture_reaches_the_model() {
    let (upstream, home) = (Upstream::friendly(), Homeserver::start());
    home.room(DM, &[ADA], false);
    home.file("cat", b"\x89PNG\r\n\x1a\n0123".to_vec());
    let _gateway = gateway(config(&upstream, &home, json!({})), &home);
    home.misbehave("/send/", Misdeed::Refuse(429, json!({ "errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 300 })));
    home.event(
        DM,
        ADA,
        json!({ "msgtype": "m.image", "body": "look", "filename": "cat.png", "url": "mxc://home.test/cat",
                                "info": { "mimetype": "image/png", "size": 12 } }),
    );
    home.wait_said(DM, 1, "Hello from upstream.");
    assert_eq!(home.calls("/send/").len(), 2);
    let asked = upstream.asked()[0].body["messages"].to_string();
    assert!(asked.contains("data:image/png;base64,") && asked.contains("look"), "{asked}");
}
