//! Slack end to end: Socket Mode, calls at the gateway's port, and what both do wrong.

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::service::Misdeed;
use crate::support::slack::{APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, Slack};
use crate::support::upstream::{Answer, Upstream};
use crate::support::wait;

fn config(upstream: &Upstream, slack: &Slack, more: Value) -> Value {
    let mut section =
        json!({"botToken": BOT_TOKEN, "appToken": APP_TOKEN, "apiRoot": slack.at.root, "allowFrom": ["U7"]});
    crate::support::gateway::merge(&mut section, more);
    upstream.config_and(json!({"channels": {"slack": section}}))
}

fn gateway(upstream: &Upstream, slack: &Slack, more: Value) -> Gateway {
    let gateway = Gateway::start(config(upstream, slack, more));
    slack.wait_connections(1);
    gateway
}

fn says(slack: &Slack, text: &str) -> String {
    slack.world(|world| world.says(json!({"channel": "D1", "channel_type": "im", "user": "U7", "text": text})))
}

#[track_caller]
fn wait_shown(slack: &Slack, chat: &str, count: usize) -> Vec<String> {
    slack.wait_for(&format!("{chat} shows {count} messages"), |world| {
        Some(world.shown_in(chat)).filter(|shown| shown.len() >= count)
    })
}

fn last_words(upstream: &Upstream) -> String {
    let asked = upstream.asked();
    let messages = asked.last().expect("asked").body["messages"].as_array().expect("messages").clone();
    messages.last().expect("one")["content"].as_str().expect("text").to_owned()
}

#[test]
fn a_direct_message_is_answered_and_acknowledged() {
    let (upstream, slack) = (Upstream::script([Answer::say("**Hello** <!channel> & all.")]), Slack::start());
    let gateway = gateway(&upstream, &slack, json!({}));
    says(&slack, "hello &amp; welcome");
    wait_shown(&slack, "D1", 1);
    let sent = &slack.calls("POST /chat.postMessage")[0].body;
    assert_eq!(sent["blocks"][0], json!({"type": "markdown", "text": "**Hello** &lt;!channel> & all."}));
    assert_eq!((&sent["unfurl_links"], sent.get("thread_ts")), (&json!(false), None));
    assert_eq!(last_words(&upstream), "hello & welcome");
    slack.wait_for("the event is acknowledged", |world| (world.acknowledged.len() == 1).then_some(()));
    let mut client = gateway.operator();
    let status = client.ok("channels.status", json!({"probe": true}));
    let account = &status["channelAccounts"]["slack"][0];
    assert_eq!((&account["connected"], &account["identity"]), (&json!(true), &json!("@helper in Acme")), "{account}");
    assert_eq!(account["probe"]["ok"], true);
    assert!(!gateway.log().contains("canary"), "no token and no ticket is logged");
}

#[test]
fn a_channel_is_heard_where_it_is_listed_and_a_thread_goes_on() {
    let (upstream, slack) = (Upstream::friendly(), Slack::start());
    let _gateway = gateway(&upstream, &slack, json!({"channels": {"C1": {"users": ["U7"]}}}));
    let say = |channel: &str, user: &str, text: &str, thread: Option<&str>| {
        let event =
            json!({"channel": channel, "channel_type": "channel", "user": user, "text": text, "thread_ts": thread});
        slack.world(|world| world.says(event))
    };
    say("C1", "U7", "no name", None);
    say("C2", "U7", "<@UBOT> another channel", None);
    say("C1", "U8", "<@UBOT> a stranger", None);
    say("C1", "U7", "<@UBOT> look", None);
    wait_shown(&slack, "C1", 1);
    let before = "[Said here since you were last asked, for context only]\nAda: no name\n\n[The message to answer]\n";
    assert_eq!(last_words(&upstream), format!("{before}Ada: look"));
    let system = upstream.asked()[0].body["messages"][0]["content"].as_str().expect("text").to_owned();
    assert!(system.contains("#general"), "{system}");
    let root = say("C1", "U7", "a topic", None);
    say("C1", "U7", "<@UBOT> in the thread", Some(&root));
    wait_shown(&slack, "C1", 2);
    say("C1", "U7", "and without a name", Some(&root));
    wait_shown(&slack, "C1", 3);
    let threads: Vec<Option<String>> = slack.world(|world| world.shown.iter().map(|s| s.thread.clone()).collect());
    assert_eq!(threads, [None, Some(root.clone()), Some(root.clone())]);
    let mut client = _gateway.operator();
    let rows = client.ok("sessions.list", json!({}));
    assert!(rows.to_string().contains(&format!("agent:main:slack:channel:c1:thread:{root}")), "{rows}");
    assert_eq!(upstream.asked().len(), 3);
}

#[test]
fn a_connection_that_slack_wants_renewed_is_renewed_at_once() {
    let (upstream, slack) = (Upstream::friendly(), Slack::start());
    slack.world(|world| world.farewell = Some(json!({"type": "disconnect", "reason": "refresh_requested"})));
    let gateway = gateway(&upstream, &slack, json!({}));
    slack.wait_connections(2);
    says(&slack, "hello");
    wait_shown(&slack, "D1", 1);
    assert!(!gateway.log().contains("again in"), "{}", gateway.log());
}

#[test]
fn what_was_said_in_a_channel_before_goes_along_once() {
    let (upstream, slack) = (Upstream::friendly(), Slack::start());
    let patterns = json!({ "messages": { "groupChat": { "mentionPatterns": ["\\bhelper\\b"] } } });
    let mut config = config(&upstream, &slack, json!({"channels": {"C1": {}}, "historyLimit": 2}));
    crate::support::gateway::merge(&mut config, patterns);
    let _gateway = Gateway::start(config);
    slack.wait_connections(1);
    let say = |text: &str| {
        slack.world(|world| world.says(json!({"channel": "C1", "channel_type": "channel", "user": "U7", "text": text})))
    };
    for text in ["one", "two", "three"] {
        say(text);
    }
    say("helper, what did I say?");
    wait_shown(&slack, "C1", 1);
    let words = last_words(&upstream);
    assert!(words.contains("Ada: two\nAda: three\n") && !words.contains("one"), "{words}");
    assert!(words.ends_with("Ada: helper, what did I say?"), "{words}");
    say("<@UBOT> and now?");
    wait_shown(&slack, "C1", 2);
    assert_eq!(last_words(&upstream), "Ada: and now?", "it went along once");
}

#[test]
fn what_is_not_acknowledged_comes_again_and_is_answered_once() {
    let (upstream, slack) = (Upstream::friendly(), Slack::start());
    let first = config(&upstream, &slack, json!({}));
    let gateway = Gateway::start(first.clone());
    slack.wait_connections(1);
    says(&slack, "one");
    wait_shown(&slack, "D1", 1);
    slack.cut();
    slack.wait_connections(2);
    says(&slack, "two");
    wait_shown(&slack, "D1", 2);
    // Slack asks for another connection; a kill; what came meanwhile is told or read up.
    slack.world(|world| world.envelope("disconnect_later", json!({})));
    gateway.wait_sent();
    let home = gateway.kill();
    let author = json!({"channel": "D1", "channel_type": "im", "user": "U7", "text": "three"});
    slack.world(|world| world.says_unheard(author));
    says(&slack, "four");
    let _gateway = Gateway::with(first).home(home).start();
    wait_shown(&slack, "D1", 4);
    assert_eq!(upstream.asked().len(), 4);
}

#[test]
fn a_message_that_arrived_unheard_is_looked_for_before_it_is_told_again() {
    let (upstream, slack) = (Upstream::friendly(), Slack::start());
    let _gateway = gateway(&upstream, &slack, json!({}));
    slack.misbehave("POST /chat.postMessage", Misdeed::Lose);
    says(&slack, "hello");
    slack.wait_called("POST /conversations.history", 1);
    wait::until("nothing waits", || {
        let status = _gateway.operator().ok("channels.status", json!({}));
        (status["channelAccounts"]["slack"][0]["queued"] == 0).then_some(())
    });
    assert_eq!(wait_shown(&slack, "D1", 1).len(), 1);
    assert_eq!(slack.calls("POST /chat.postMessage").len(), 1);
    // A limit and blocks that are not taken.
    slack.misbehave("POST /chat.postMessage", Misdeed::Refuse(429, json!({"ok": false, "error": "ratelimited"})));
    slack.misbehave("POST /chat.postMessage", Misdeed::Refuse(200, json!({"ok": false, "error": "invalid_blocks"})));
    says(&slack, "again");
    wait_shown(&slack, "D1", 2);
    assert!(slack.calls("POST /chat.postMessage").last().is_some_and(|call| call.body.get("blocks").is_none()));
}

#[test]
fn slash_commands_and_buttons_are_obeyed_for_those_who_may() {
    let (upstream, slack) = (Upstream::friendly(), Slack::start());
    let gateway = gateway(&upstream, &slack, json!({}));
    let url = format!("{}/respond/secret-canary", slack.at.root);
    let slash = |user: &str, trigger: &str| {
        json!({"command": "/openclaw", "text": "/status", "user_id": user, "channel_id": "D1", "team_id": "T1",
               "trigger_id": trigger, "response_url": url})
    };
    slack.world(|world| world.envelope("slash_commands", slash("U7", "1")));
    let said = slack.wait_for("an answer", |world| world.responses.first().cloned());
    assert_eq!(said["response_type"], "ephemeral");
    assert!(said["text"].as_str().is_some_and(|text| text.contains("Session")), "{said}");
    slack.world(|world| world.envelope("slash_commands", slash("U8", "2")));
    let refused = slack.wait_for("a refusal", |world| world.responses.get(1).cloned());
    assert!(refused["text"].as_str().is_some_and(|text| text.contains("not authorized")), "{refused}");
    let press = json!({"type": "block_actions", "actions": [{"value": "/status"}], "user": {"id": "U7"},
        "channel": {"id": "D1"}, "team": {"id": "T1"}, "trigger_id": "3", "response_url": url});
    slack.world(|world| world.envelope("interactive", press));
    wait_shown(&slack, "D1", 1);
    assert!(!gateway.log().contains("canary"));
}

#[test]
fn a_token_nobody_knows_and_a_switched_off_socket_end_the_account() {
    let upstream = Upstream::friendly();
    let blocked = |gateway: &Gateway, words: &str| {
        let mut client = gateway.operator();
        let account = wait::until("the account is blocked", || {
            let account = client.ok("channels.status", json!({}))["channelAccounts"]["slack"][0].clone();
            (account["healthState"] == "blocked").then_some(account)
        });
        assert!(account["lastError"].as_str().is_some_and(|error| error.contains(words)), "{account}");
    };
    let slack = Slack::start();
    let gateway = Gateway::start(config(&upstream, &slack, json!({"botToken": "xoxb-other-canary"})));
    blocked(&gateway, "install the app anew");
    let slack = Slack::start();
    slack.world(|world| world.farewell = Some(json!({"type": "disconnect", "reason": "link_disabled"})));
    let gateway = self::gateway(&upstream, &slack, json!({}));
    blocked(&gateway, "Socket Mode is switched off");
    let slack = Slack::start();
    let gateway = Gateway::start(config(&upstream, &slack, json!({"mode": "http"})));
    blocked(&gateway, "signing secret");
}

#[test]
fn calls_at_the_port_need_a_signature() {
    let (upstream, slack) = (Upstream::friendly(), Slack::start());
    let more = json!({"mode": "http", "signingSecret": SIGNING_SECRET});
    let gateway = Gateway::start(config(&upstream, &slack, more));
    let mut client = gateway.operator();
    wait::until("the account runs", || {
        client.ok("channels.status", json!({}))["channelAccounts"]["slack"][0]["connected"].as_bool().filter(|on| *on)
    });
    let call = |body: &str, secret: &str| {
        let at = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
        let tag = ring::hmac::sign(&key, format!("v0:{at}:{body}").as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let (at, hex) = (at.to_string(), format!("v0={hex}"));
        let headers = [("X-Slack-Request-Timestamp", at.as_str()), ("X-Slack-Signature", hex.as_str())];
        crate::support::raw::request(gateway.addr(), "POST", "/channels/slack/default", &headers, body.as_bytes())
    };
    let challenge = json!({"type": "url_verification", "challenge": "abc"}).to_string();
    let reply = call(&challenge, SIGNING_SECRET);
    assert_eq!((reply.status, reply.text().as_str()), (200, "abc"));
    assert_eq!(call(&challenge, "another secret").status, 401);
    let event = json!({"type": "event_callback", "team_id": "T1", "event": {"type": "message", "channel": "D1",
        "channel_type": "im", "user": "U7", "text": "by a call", "ts": "1700000000.000100"}})
    .to_string();
    assert_eq!(call(&event, SIGNING_SECRET).status, 200);
    assert_eq!(call(&event, SIGNING_SECRET).status, 200, "told again, taken once");
    wait_shown(&slack, "D1", 1);
    assert_eq!(call("nonsense", SIGNING_SECRET).status, 400);
    assert_eq!(upstream.asked().len(), 1);
}

#[test]
fn files_come_from_slack_s_own_servers_and_go_out_to_them() {
    let (upstream, slack) = (Upstream::friendly(), Slack::start());
    let gateway = gateway(&upstream, &slack, json!({}));
    let file =
        |url: &str| json!({"name": "notes.txt", "mimetype": "text/plain", "size": 10, "url_private_download": url});
    let files = [file(&format!("{}/file", slack.at.root)), file("https://files.slack.com.evil.example/x")];
    slack.world(|world| {
        world.says(json!({"channel": "D1", "channel_type": "im", "user": "U7", "text": "read", "subtype": "file_share", "files": files}))
    });
    wait_shown(&slack, "D1", 1);
    let words = last_words(&upstream);
    assert!(words.contains("[File: notes.txt (text/plain, 10 bytes) at "), "{words}");
    assert!(words.contains("it lies on a server that is not Slack's"), "{words}");
    let out = gateway.home().join("out.txt");
    std::fs::write(&out, "for you").expect("written");
    let params = json!({"to": "user:U7", "message": "look", "media": out.to_str()});
    let mut client = gateway.operator();
    client.ok("message.action", json!({"channel": "slack", "action": "send", "params": params, "idempotencyKey": "k"}));
    let done = slack.wait_called("POST /files.completeUploadExternal", 1).remove(0).body;
    assert_eq!((&done["channel_id"], &done["initial_comment"]), (&json!("DU7"), &json!("look")));
    assert_eq!(slack.world(|world| world.uploads.clone()), [b"for you".to_vec()]);
}
