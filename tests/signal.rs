//! Signal end to end: a daemon's stream of events and its JSON-RPC, and what both do wrong.

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::signal::{NUMBER, Signal};
use crate::support::upstream::{Answer, Upstream};
use crate::support::wait;

const ADA: &str = "+4930123";

fn config(upstream: &Upstream, signal: &Signal, more: Value) -> Value {
    let transport = json!({"kind": "external-native", "url": signal.root});
    let mut section = json!({"account": NUMBER, "transport": transport, "allowFrom": [ADA]});
    crate::support::gateway::merge(&mut section, more);
    upstream.config_and(json!({"channels": {"signal": section}}))
}

fn gateway(upstream: &Upstream, signal: &Signal, more: Value) -> Gateway {
    let gateway = Gateway::start(config(upstream, signal, more));
    signal.wait_streams(1);
    gateway
}

fn last_words(upstream: &Upstream) -> String {
    let asked = upstream.asked();
    let messages = asked.last().expect("asked").body["messages"].as_array().expect("messages").clone();
    messages.last().expect("one")["content"].as_str().expect("text").to_owned()
}

#[test]
fn a_direct_message_is_answered_with_styles() {
    let (upstream, signal) = (Upstream::script([Answer::say("**Hello** Ada.")]), Signal::start());
    let gateway = gateway(&upstream, &signal, json!({"sendReadReceipts": true}));
    signal.says(ADA, "hello", json!({}));
    assert_eq!(signal.wait_shown(ADA, 1), ["Hello Ada."]);
    let sent = &signal.calls("send")[0];
    assert_eq!((&sent["textStyle"], &sent["account"]), (&json!(["0:5:BOLD"]), &json!(NUMBER)));
    wait::until("a receipt", || signal.calls("sendReceipt").first().map(|call| call["type"] == "read"));
    let mut client = gateway.operator();
    let status = client.ok("channels.status", json!({"probe": true}));
    let account = &status["channelAccounts"]["signal"][0];
    assert_eq!((&account["connected"], &account["identity"]), (&json!(true), &json!(NUMBER)), "{account}");
    assert_eq!(account["probe"]["ok"], true);
}

#[test]
fn a_sender_is_known_by_number_or_id_and_a_group_by_its_own() {
    let (upstream, signal) = (Upstream::friendly(), Signal::start());
    let more = json!({"allowFrom": [ADA, "uuid:uuid-of+99"], "groups": {"Zm9v": {}}, "accountUuid": "bot-uuid"});
    let _gateway = gateway(&upstream, &signal, more);
    signal.says("+99", "by my id", json!({}));
    signal.wait_shown("+99", 1);
    let group = |id: &str| json!({"groupId": id, "groupName": "Team"});
    let mention = json!([{"start": 0, "length": 1, "uuid": "bot-uuid"}]);
    signal.says(ADA, "no name", json!({"groupInfo": group("Zm9v")}));
    signal.says(ADA, "\u{fffc} elsewhere", json!({"groupInfo": group("YmFy"), "mentions": mention}));
    signal.says("+5", "\u{fffc} a stranger", json!({"groupInfo": group("Zm9v"), "mentions": mention}));
    signal.says(ADA, "\u{fffc} look", json!({"groupInfo": group("Zm9v"), "mentions": mention}));
    signal.wait_shown("group:Zm9v", 1);
    let before = "[Said here since you were last asked, for context only]\nAda: no name\n\n[The message to answer]\n";
    assert_eq!(last_words(&upstream), format!("{before}Ada: look"));
    let sent = signal.calls("send").pop().expect("one");
    assert_eq!((&sent["quoteAuthor"], sent["quoteTimestamp"].is_u64()), (&json!(ADA), true));
    assert_eq!(upstream.asked().len(), 2);
    signal.says("+5", "let me in", json!({}));
    assert!(signal.wait_shown("+5", 1)[0].contains("Pairing code: "));
}

#[test]
fn a_stream_that_ends_is_opened_again_and_nothing_is_answered_twice() {
    let (upstream, signal) = (Upstream::friendly(), Signal::start());
    let gateway = gateway(&upstream, &signal, json!({}));
    signal.says(ADA, "one", json!({}));
    signal.wait_shown(ADA, 1);
    signal.cut();
    signal.says(ADA, "two", json!({}));
    signal.wait_shown(ADA, 2);
    gateway.wait_sent();
    signal.refuse("send", -5, "Rate limit");
    signal.says(ADA, "three", json!({}));
    wait::until("the answer is refused", || (signal.calls("send").len() == 3).then_some(()));
    let mut client = gateway.operator();
    let account = wait::until("it says why it waits", || {
        let account = client.ok("channels.status", json!({}))["channelAccounts"]["signal"][0].clone();
        account.to_string().contains("Rate limit").then_some(account)
    });
    assert_eq!(account["queued"], 1, "{account}");
    assert_eq!(upstream.asked().len(), 3);
}

#[test]
fn a_number_the_daemon_does_not_know_ends_the_account() {
    let (upstream, signal) = (Upstream::friendly(), Signal::start());
    signal.knows(&["+1", "+2"]);
    let gateway = Gateway::start(config(&upstream, &signal, json!({})));
    let mut client = gateway.operator();
    let account = wait::until("the account is blocked", || {
        let account = client.ok("channels.status", json!({}))["channelAccounts"]["signal"][0].clone();
        (account["healthState"] == "blocked").then_some(account)
    });
    assert!(account["lastError"].as_str().is_some_and(|error| error.contains("signal-cli link")), "{account}");
    let container = config(&upstream, &signal, json!({"transport": {"kind": "container"}}));
    Gateway::start(container).says("the REST interface of the container is not spoken here");
}

#[test]
fn files_come_from_the_daemon_and_go_through_it() {
    let (upstream, signal) = (Upstream::friendly(), Signal::start());
    let gateway = gateway(&upstream, &signal, json!({}));
    let files = json!([{"id": "abc", "filename": "notes.txt", "contentType": "text/plain", "size": 10}]);
    signal.says(ADA, "read", json!({"attachments": files}));
    signal.wait_shown(ADA, 1);
    assert!(last_words(&upstream).contains("[File: notes.txt (text/plain, 10 bytes) at "), "{}", last_words(&upstream));
    assert_eq!(signal.calls("getAttachment")[0]["recipient"], ADA);
    let out = gateway.home().join("out.txt");
    std::fs::write(&out, "for you").expect("written");
    let params = json!({"to": format!("signal:{ADA}"), "message": "look", "media": out.to_str()});
    let mut client = gateway.operator();
    client
        .ok("message.action", json!({"channel": "signal", "action": "send", "params": params, "idempotencyKey": "k"}));
    signal.wait_shown(ADA, 2);
    assert_eq!(signal.calls("send")[1]["attachments"], json!([out.to_str()]));
}
