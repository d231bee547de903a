//! Mattermost end to end: its socket, its REST API, and what both do wrong.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::mattermost::{Mattermost, TOKEN};
use crate::support::service::Misdeed;
use crate::support::upstream::{Answer, Upstream};
use crate::support::wait;

fn config(upstream: &Upstream, server: &Mattermost, more: Value) -> Value {
    let mut section = json!({"botToken": TOKEN, "baseUrl": server.at.root, "allowFrom": ["u7"], "streaming": "off"});
    crate::support::gateway::merge(&mut section, more);
    upstream.config_and(json!({"channels": {"mattermost": section}}))
}

fn started(config: Value, server: &Mattermost) -> Gateway {
    let gateway = Gateway::start(config);
    server.wait_for("we are known", |world| world.known.then_some(()));
    gateway
}

fn gateway(upstream: &Upstream, server: &Mattermost, more: Value) -> Gateway {
    started(config(upstream, server, more), server)
}

fn says(server: &Mattermost, chat: &str, user: &str, text: &str) -> String {
    server.world(|world| world.says(chat, user, text, json!({})))
}

#[track_caller]
fn wait_shown(server: &Mattermost, chat: &str, count: usize) -> Vec<String> {
    server.wait_for(&format!("{chat} shows {count} posts"), |world| {
        Some(world.shown_in(chat)).filter(|shown| shown.len() >= count)
    })
}

fn last_words(upstream: &Upstream) -> String {
    let asked = upstream.asked();
    let messages = asked.last().expect("asked").body["messages"].as_array().expect("messages").clone();
    messages.last().expect("one")["content"].as_str().expect("text").to_owned()
}

#[test]
fn a_direct_post_is_answered_and_the_account_says_so() {
    let (upstream, server) = (Upstream::script([Answer::say("**Hello** @channel.")]), Mattermost::start());
    let gateway = gateway(&upstream, &server, json!({}));
    says(&server, "d1", "u7", "hello");
    assert_eq!(wait_shown(&server, "d1", 1), ["**Hello** @\u{200b}channel."]);
    server.wait_called("POST /api/v4/users/me/typing", 1);
    let mut client = gateway.operator();
    let status = client.ok("channels.status", json!({"probe": true}));
    let account = &status["channelAccounts"]["mattermost"][0];
    assert_eq!((&account["connected"], &account["identity"]), (&json!(true), &json!("@helper")), "{account}");
    assert_eq!(account["probe"]["ok"], true);
    assert!(!gateway.log().contains("canary"), "no token is logged");
}

#[test]
fn a_channel_is_heard_where_it_is_listed_and_a_thread_goes_on() {
    let (upstream, server) = (Upstream::friendly(), Mattermost::start());
    let _gateway = gateway(&upstream, &server, json!({"groups": {"c1": {}}}));
    says(&server, "c1", "u7", "no name");
    says(&server, "c2", "u7", "@helper another channel");
    says(&server, "c1", "u8", "@helper a stranger");
    says(&server, "c1", "u7", "@helper look");
    wait_shown(&server, "c1", 1);
    let before = "[Said here since you were last asked, for context only]\nada: no name\n\n[The message to answer]\n";
    assert_eq!(last_words(&upstream), format!("{before}ada: look"));
    let root = says(&server, "c1", "u7", "a topic");
    let in_thread = json!({"root_id": root});
    server.world(|world| world.says("c1", "u7", "@helper here", in_thread.clone()));
    wait_shown(&server, "c1", 2);
    server.world(|world| world.says("c1", "u7", "and without a name", in_thread));
    wait_shown(&server, "c1", 3);
    let roots: Vec<Value> = server.world(|world| world.ours().iter().map(|post| post["root_id"].clone()).collect());
    assert_eq!(roots, [Value::Null, json!(root), json!(root)]);
    assert_eq!(upstream.asked().len(), 3);
}

#[test]
fn what_came_while_nobody_listened_is_read_up_and_answered_once() {
    let (upstream, server) = (Upstream::friendly(), Mattermost::start());
    let config = config(&upstream, &server, json!({}));
    server.world(|world| world.says_unheard("d9", "u7", "long before"));
    let gateway = started(config.clone(), &server);
    says(&server, "d1", "u7", "one");
    wait_shown(&server, "d1", 1);
    server.cut();
    server.wait_connections(2);
    server.world(|world| world.says_unheard("d1", "u7", "two"));
    server.cut();
    wait_shown(&server, "d1", 2);
    gateway.wait_sent();
    let home = gateway.kill();
    // In a conversation that is new.
    server.world(|world| world.says_unheard("d2", "u7", "three"));
    let _gateway = Gateway::with(config).home(home).start();
    wait_shown(&server, "d2", 1);
    says(&server, "d1", "u7", "four");
    wait_shown(&server, "d1", 3);
    assert_eq!(upstream.asked().len(), 4);
    assert!(server.world(|world| world.shown_in("d9")).is_empty(), "what was before us is history");
}

#[test]
fn a_post_that_arrived_unheard_is_looked_for_before_it_is_told_again() {
    let (upstream, server) = (Upstream::friendly(), Mattermost::start());
    let gateway = gateway(&upstream, &server, json!({}));
    server.misbehave("POST /api/v4/posts", Misdeed::Lose);
    says(&server, "d1", "u7", "hello");
    wait_shown(&server, "d1", 1);
    gateway.wait_sent();
    assert_eq!(server.calls("POST /api/v4/posts").len(), 1);
    server.misbehave("POST /api/v4/posts", Misdeed::Refuse(429, json!({"message": "limit"})));
    says(&server, "d1", "u7", "again");
    wait_shown(&server, "d1", 2);
}

#[test]
fn a_server_that_answers_no_ping_and_a_token_nobody_knows() {
    let (upstream, server) = (Upstream::friendly(), Mattermost::start());
    let refused = config(&upstream, &server, json!({"botToken": "another-token-canary"}));
    let gateway = Gateway::start(refused);
    let mut client = gateway.operator();
    let account = wait::until("the account is blocked", || {
        let account = client.ok("channels.status", json!({}))["channelAccounts"]["mattermost"][0].clone();
        (account["healthState"] == "blocked").then_some(account)
    });
    assert!(account["lastError"].as_str().is_some_and(|error| error.contains("make a new token")), "{account}");
    assert!(!account.to_string().contains("canary"));
}

#[test]
fn buttons_come_back_with_a_signature() {
    let (upstream, server) = (Upstream::friendly(), Mattermost::start());
    let gateway = gateway(&upstream, &server, json!({"interactions": {"callbackBaseUrl": "http://gateway.example"}}));
    let press = |body: &Value| {
        crate::support::raw::request(
            gateway.addr(),
            "POST",
            "/channels/mattermost/default",
            &[],
            body.to_string().as_bytes(),
        )
    };
    let tag = |key: &[u8], text: &str| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
        ring::hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
    };
    let key = tag(b"openclaw-mattermost-interactions", TOKEN);
    let hex: String = tag(&key, "d1\n/status").iter().map(|byte| format!("{byte:02x}")).collect();
    let body = |token: &str, user: &str| {
        json!({"user_id": user, "channel_id": "d1", "post_id": "p", "trigger_id": user,
               "context": {"action": "/status", "token": token}})
    };
    assert_eq!(press(&body("00", "u7")).status, 401);
    assert_eq!(press(&json!({})).status, 401);
    let stranger = press(&body(&hex, "u8"));
    assert!(stranger.text().contains("not authorized"), "{}", stranger.text());
    let taken = press(&body(&hex, "u7"));
    assert!(taken.status == 200 && taken.text().contains("update"), "{}", taken.text());
    assert!(wait_shown(&server, "d1", 1)[0].contains("Session"));
}

#[test]
fn files_come_and_go() {
    let (upstream, server) = (Upstream::friendly(), Mattermost::start());
    let gateway = gateway(&upstream, &server, json!({}));
    let files =
        json!({"metadata": {"files": [{"id": "f7", "name": "notes.txt", "mime_type": "text/plain", "size": 10}]}});
    server.world(|world| world.says("d1", "u7", "read", files));
    wait_shown(&server, "d1", 1);
    assert!(last_words(&upstream).contains("[File: notes.txt (text/plain, 10 bytes) at "), "{}", last_words(&upstream));
    let out = gateway.home().join("out.txt");
    std::fs::write(&out, "for you").expect("written");
    let params = json!({"to": "user:u7", "message": "look", "media": out.to_str()});
    let mut client = gateway.operator();
    client.ok(
        "message.action",
        json!({"channel": "mattermost", "action": "send", "params": params, "idempotencyKey": "k"}),
    );
    wait_shown(&server, "du7", 1);
    let post = server.world(|world| world.ours().pop().expect("one"));
    assert_eq!(post["file_ids"], json!(["f1"]));
    assert!(server.world(|world| String::from_utf8_lossy(&world.uploads[0]).contains("for you")));
}

#[test]
fn an_answer_in_the_making_is_shown_and_becomes_the_answer() {
    let first = vec!["This is the beginning of a long story.".to_owned()];
    let upstream = Upstream::script([Answer::Hold(first, vec![" The end.".into()])]);
    let server = Mattermost::start();
    let _gateway = gateway(&upstream, &server, json!({"streaming": {"mode": "partial"}}));
    says(&server, "d1", "u7", "tell me");
    assert_eq!(wait_shown(&server, "d1", 1), ["This is the beginning of a long story."]);
    upstream.release();
    let done = wait::within(Duration::from_secs(20), || {
        Some(server.world(|world| world.shown_in("d1"))).filter(|shown| shown[0].ends_with("The end."))
    });
    assert_eq!(done.expect("the whole answer is shown").len(), 1);
}
