//! Discord end to end: its gateway, its HTTP API, and what both do wrong.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::discord::{Discord, GUILD, Misdeed, direct};
use crate::support::gateway::Gateway;
use crate::support::upstream::{Answer, Upstream};
use crate::support::wait;

const ADA: u64 = 77;

fn gateway(upstream: &Upstream, discord: &Discord, more: Value) -> Gateway {
    let mut section = discord.section(json!({"allowFrom": [ADA.to_string()]}));
    crate::support::gateway::merge(&mut section, more);
    let gateway = Gateway::start(upstream.config_and(json!({"channels": {"discord": section}})));
    discord.wait_ready(1, 0);
    gateway
}

/// The words of the last message a model was asked with.
fn last_words(upstream: &Upstream) -> String {
    let asked = upstream.asked();
    let messages = asked.last().expect("asked").body["messages"].as_array().expect("messages").clone();
    messages.last().expect("one")["content"].as_str().expect("text").to_owned()
}

#[test]
fn a_direct_message_is_answered_and_the_account_says_so() {
    let (upstream, discord) = (Upstream::script([Answer::say("**Hello** @everyone.")]), Discord::start());
    let gateway = gateway(&upstream, &discord, json!({}));
    discord.says(ADA, "hello");
    assert_eq!(discord.wait_shown(&direct(ADA), 1), ["**Hello** @everyone."]);
    let route = format!("POST channels/{}/messages", direct(ADA));
    let sent = &discord.calls(&route)[0].body;
    assert_eq!(sent["allowed_mentions"], json!({"parse": ["users"]}), "no model wakes everybody");
    assert_eq!((&sent["enforce_nonce"], &sent["flags"]), (&json!(true), &json!(4)));
    assert!(sent["nonce"].as_str().is_some_and(|nonce| nonce.len() <= 25));
    let system = upstream.asked()[0].body["messages"][0]["content"].as_str().expect("a system prompt").to_owned();
    assert!(system.contains("a direct chat with Ada (id 77)"), "{system}");
    let mut client = gateway.operator();
    let status = wait::until("nothing waits", || {
        let status = client.ok("channels.status", json!({"probe": true}));
        (status["channelAccounts"]["discord"][0]["queued"] == 0).then_some(status)
    });
    let account = &status["channelAccounts"]["discord"][0];
    assert_eq!((&account["connected"], &account["identity"]), (&json!(true), &json!("@test_bot")), "{account}");
    assert_eq!(account["probe"]["ok"], true);
    let introduction = &discord.identified()[0];
    assert_eq!(introduction["intents"], 37377);
    assert!(!gateway.log().contains("canary"), "no token is logged");
}

#[test]
fn slash_commands_are_offered_once_and_answered_where_they_were_given() {
    let (upstream, discord) = (Upstream::friendly(), Discord::start());
    let gateway = gateway(&upstream, &discord, json!({}));
    let menu = discord.wait_called("PUT applications/4242/commands", 1).remove(0).body;
    let names: Vec<&str> = menu.as_array().expect("rows").iter().filter_map(|row| row["name"].as_str()).collect();
    assert!(names.contains(&"status") && names.contains(&"new"), "{names:?}");
    let command = |id: &str, user: u64, token: &str| {
        json!({"id": id, "type": 2, "token": token, "channel_id": direct(ADA), "user": {"id": user.to_string()},
               "data": {"name": "status"}})
    };
    discord.event("INTERACTION_CREATE", command("1", ADA, "tok-canary"));
    let answered = discord.wait_shown("tok-canary", 1);
    assert!(answered[0].contains("Session") || answered[0].contains("session"), "{answered:?}");
    let taken = discord.calls("POST interactions/1/tok-canary/callback");
    assert_eq!(taken[0].body, json!({"type": 5, "data": {"flags": 64}}));
    let sent = &discord.calls("POST webhooks/4242/tok-canary")[0];
    assert_eq!((sent.body["flags"].as_u64(), sent.bearer.as_str()), (Some(68), ""));
    // Told again it is not done again; a stranger is refused to his face.
    discord.event("INTERACTION_CREATE", command("1", ADA, "tok-canary"));
    discord.event("INTERACTION_CREATE", command("2", 5, "other"));
    let refused = discord.wait_called("POST interactions/2/other/callback", 1);
    assert_eq!(refused[0].body["type"], 4);
    assert_eq!(discord.shown("tok-canary").len(), 1);
    // What is over is answered in the channel.
    discord.event("INTERACTION_CREATE", command("3", ADA, "expired"));
    discord.wait_shown(&direct(ADA), 1);
    assert!(!gateway.log().contains("canary"), "neither token is logged");
    discord.cut();
    discord.wait_ready(1, 1);
    drop(gateway);
    assert_eq!(discord.calls("PUT applications/4242/commands").len(), 1);
}

#[test]
fn a_server_is_heard_where_it_is_listed_and_we_are_named() {
    let (upstream, discord) = (Upstream::friendly(), Discord::start());
    let guilds = json!({GUILD: {"users": [ADA.to_string()], "roles": ["3"], "channels": {"10": {}}}});
    discord.channel("10", "general", None);
    discord.channel("11", "other", None);
    discord.channel("12", "a thread", Some("10"));
    let _gateway = gateway(&upstream, &discord, json!({"guilds": guilds, "replyToMode": "first"}));
    let say = |channel: &str, user: u64, named: bool, roles: Value| {
        let mentions = if named { json!([{"id": "42", "username": "test_bot"}]) } else { json!([]) };
        discord.message(json!({"channel_id": channel, "guild_id": GUILD, "content": "<@42> look", "mentions": mentions,
            "author": {"id": user.to_string(), "username": "x"}, "member": {"roles": roles, "nick": "Nick"}}))
    };
    say("10", ADA, false, json!([]));
    say("11", ADA, true, json!([]));
    say("10", 6, true, json!(["4"]));
    let id = say("10", ADA, true, json!([]));
    discord.wait_shown("10", 1);
    let sent = discord.calls("POST channels/10/messages");
    assert_eq!(sent[0].body["message_reference"]["message_id"], id.as_str());
    let before = "[Said here since you were last asked, for context only]\nNick: look\n\n[The message to answer]\n";
    assert_eq!(last_words(&upstream), format!("{before}Nick: look"));
    say("12", 7, true, json!(["3"]));
    discord.wait_shown("12", 1);
    assert_eq!(upstream.asked().len(), 2, "a thread has the rules of its channel, a role lets in");
    assert!(discord.shown("11").is_empty());
}

#[test]
fn what_came_while_the_connection_was_cut_is_told_again_and_answered_once() {
    let (upstream, discord) = (Upstream::friendly(), Discord::start());
    let gateway = gateway(&upstream, &discord, json!({}));
    discord.says(ADA, "one");
    discord.wait_shown(&direct(ADA), 1);
    discord.cut();
    discord.says(ADA, "two");
    discord.wait_shown(&direct(ADA), 2);
    assert_eq!((discord.identified().len(), discord.resumed().len()), (1, 1));
    discord.ask_for_a_new_connection();
    discord.wait_ready(1, 2);
    discord.close(4000);
    discord.wait_ready(1, 3);
    discord.says(ADA, "three");
    discord.wait_shown(&direct(ADA), 3);
    assert_eq!(upstream.asked().len(), 3);
    drop(gateway);
}

#[test]
fn a_killed_gateway_resumes_its_session_and_loses_nothing() {
    let (upstream, discord) = (Upstream::friendly(), Discord::start());
    let section = discord.section(json!({"allowFrom": [ADA.to_string()]}));
    let config = upstream.config_and(json!({"channels": {"discord": section}}));
    let gateway = Gateway::start(config.clone());
    discord.wait_ready(1, 0);
    discord.says(ADA, "one");
    discord.wait_shown(&direct(ADA), 1);
    gateway.wait_sent();
    let home = gateway.kill();
    discord.says(ADA, "two");
    let _gateway = Gateway::with(config).home(home).start();
    discord.wait_shown(&direct(ADA), 2);
    assert_eq!((discord.identified().len(), discord.resumed().len()), (1, 1));
    assert_eq!(upstream.asked().len(), 2);
}

#[test]
fn what_comes_while_the_disk_is_full_is_answered_when_there_is_room() {
    // A file size limit stands in for the full disk; see `liars`.
    let (upstream, discord) = (Upstream::friendly(), Discord::start());
    let section = discord.section(json!({"allowFrom": [ADA.to_string()]}));
    let config = upstream.config_and(json!({"channels": {"discord": section}}));
    let gateway = Gateway::with(config.clone()).after("trap '' XFSZ; ulimit -f 4096").start();
    discord.wait_ready(1, 0);
    let mut client = gateway.operator();
    let body = "x".repeat(400_000);
    let full = (0..40).any(|turn| {
        let run = format!("run-{turn}");
        let params = json!({"sessionKey": "agent:main:main", "message": body, "idempotencyKey": run});
        if client.call("chat.send", params).is_err() {
            return true;
        }
        let end = client.event_where("chat", |chat| {
            chat["runId"] == run.as_str() && (chat["state"] == "final" || chat["state"] == "error")
        });
        end["payload"]["state"] == "error"
    });
    assert!(full, "the disk is full");
    // Small writes may still find room for a while.
    let told = (0..300).find(|n| {
        discord.says(ADA, &format!("word{n} {}", "y".repeat(1900)));
        wait::within(Duration::from_millis(50), || {
            gateway.log().contains("discord/default: take in messages").then_some(())
        })
        .is_some()
    });
    let told = told.expect("the channel says that it cannot take messages in");
    let home = gateway.kill();
    discord.says(ADA, "and now?");
    let gateway = Gateway::with(config).home(home).start();
    let mut client = gateway.operator();
    wait::until("the refused one and the last one are in the session", || {
        let history = client.ok("chat.history", json!({"sessionKey": "agent:main:main", "limit": 20})).to_string();
        (history.contains(&format!("word{told} ")) && history.contains("and now?")).then_some(())
    });
}

#[test]
fn what_came_while_nothing_could_be_resumed_is_read_up() {
    let (upstream, discord) = (Upstream::friendly(), Discord::start());
    discord.channel("10", "general", None);
    let guilds = json!({GUILD: {"requireMention": false}});
    let _gateway = gateway(&upstream, &discord, json!({"guilds": guilds}));
    discord.says(ADA, "one");
    let author = json!({"id": ADA.to_string(), "username": "ada"});
    discord.message(json!({"channel_id": "10", "guild_id": GUILD, "content": "uno", "author": author}));
    discord.wait_shown(&direct(ADA), 1);
    discord.wait_shown("10", 1);
    discord.forget_session();
    discord.message_unheard(json!({"channel_id": direct(ADA), "content": "two", "author": author}));
    discord.message_unheard(json!({"channel_id": "10", "content": "due", "author": author}));
    discord.cut();
    discord.wait_ready(2, 1);
    discord.wait_shown(&direct(ADA), 2);
    discord.wait_shown("10", 2);
    assert_eq!(upstream.asked().len(), 4);
}

#[test]
fn a_gateway_that_answers_no_heartbeat_is_left_and_the_session_resumed() {
    let (upstream, discord) = (Upstream::friendly(), Discord::start());
    let gateway = gateway(&upstream, &discord, json!({}));
    discord.deaf(true);
    discord.wait_ready(1, 1);
    discord.deaf(false);
    gateway.says("a heartbeat was not answered");
    discord.says(ADA, "hello");
    discord.wait_shown(&direct(ADA), 1);
}

#[test]
fn an_answer_that_was_lost_is_told_again_and_shown_once() {
    let (upstream, discord) = (Upstream::friendly(), Discord::start());
    let _gateway = gateway(&upstream, &discord, json!({}));
    let route = format!("POST channels/{}/messages", direct(ADA));
    discord.misbehave(&route, Misdeed::Lose);
    let limited = json!({"message": "You are being rate limited.", "retry_after": 1.0, "global": false});
    discord.misbehave(&route, Misdeed::Refuse(429, limited));
    discord.says(ADA, "hello");
    let calls = discord.wait_called(&route, 3);
    assert!(calls[2].at - calls[1].at >= Duration::from_millis(950), "it waited a second");
    assert_eq!(calls[0].body["nonce"], calls[2].body["nonce"]);
    assert_eq!(discord.wait_shown(&direct(ADA), 1).len(), 1);
}

#[test]
fn a_used_up_route_is_not_asked_before_its_time() {
    let long = "word ".repeat(900);
    let (upstream, discord) = (Upstream::script([Answer::say(&long)]), Discord::start());
    let _gateway = gateway(&upstream, &discord, json!({}));
    let route = format!("POST channels/{}/messages", direct(ADA));
    discord.misbehave(&route, Misdeed::UseUp);
    discord.says(ADA, "hello");
    let shown = discord.wait_shown(&direct(ADA), 3);
    let words: usize = shown.iter().map(|part| part.split_whitespace().count()).sum();
    assert_eq!(words, 900);
    let calls = discord.calls(&route);
    assert_eq!(calls.len(), 3, "nothing was refused");
    assert!(calls[1].at - calls[0].at >= Duration::from_millis(950), "it waited a second");
}

#[test]
fn what_nobody_can_mend_but_its_owner_ends_the_account_and_says_what_to_do() {
    let upstream = Upstream::friendly();
    for (code, remedy) in [(4004, "Developer Portal"), (4014, "Message Content Intent")] {
        let discord = Discord::start();
        let gateway = gateway(&upstream, &discord, json!({}));
        discord.close(code);
        let mut client = gateway.operator();
        let account = wait::until("the account is blocked", || {
            let status = client.ok("channels.status", json!({}));
            let account = status["channelAccounts"]["discord"][0].clone();
            (account["healthState"] == "blocked").then_some(account)
        });
        assert!(account["lastError"].as_str().is_some_and(|error| error.contains(remedy)), "{account}");
        assert_eq!(discord.resumed().len(), 0);
    }
    let discord = Discord::start();
    let section = discord.section(json!({"token": "NDI.another-token-canary"}));
    let gateway = Gateway::start(upstream.config_and(json!({"channels": {"discord": section}})));
    gateway.says("does not know this bot token");
    assert!(!gateway.log().contains("canary"));
}

#[test]
fn files_come_from_discord_s_own_servers_and_go_out_as_forms() {
    let (upstream, discord) = (Upstream::friendly(), Discord::start());
    let gateway = gateway(&upstream, &discord, json!({}));
    let url = discord.file("notes.txt", b"some notes".to_vec());
    let file = |url: &str| json!({"filename": "notes.txt", "url": url, "size": 10, "content_type": "text/plain"});
    discord.message(
        json!({"channel_id": direct(ADA), "content": "read", "attachments": [file(&url), file("http://127.0.0.1:1/x")],
        "author": {"id": ADA.to_string(), "username": "ada"}}),
    );
    discord.wait_shown(&direct(ADA), 1);
    let words = last_words(&upstream);
    assert!(words.contains("[File: notes.txt (text/plain, 10 bytes) at "), "{words}");
    assert!(words.contains("it lies on a server that is not Discord's"), "{words}");
    let out = gateway.home().join("out.txt");
    std::fs::write(&out, "for you").expect("written");
    let mut client = gateway.operator();
    let params = json!({"to": "user:77", "message": "look", "media": out.to_str()});
    client
        .ok("message.action", json!({"channel": "discord", "action": "send", "params": params, "idempotencyKey": "k"}));
    let sent = discord.wait_called(&format!("POST channels/{}/messages", direct(ADA)), 2).remove(1);
    assert_eq!(sent.body["content"], "look");
    let raw = String::from_utf8_lossy(&sent.raw).into_owned();
    assert!(raw.contains("filename=\"out.txt\"") && raw.contains("for you"), "{raw}");
}

#[test]
fn an_answer_in_the_making_is_shown_and_becomes_the_answer() {
    let first = vec!["This is the beginning of a long story.".to_owned()];
    let upstream = Upstream::script([Answer::Hold(first, vec![" The end.".into()])]);
    let discord = Discord::start();
    let _gateway = gateway(&upstream, &discord, json!({"streaming": "partial"}));
    discord.says(ADA, "tell me");
    assert_eq!(discord.wait_shown(&direct(ADA), 1), ["This is the beginning of a long story."]);
    discord.wait_called(&format!("POST channels/{}/typing", direct(ADA)), 1);
    upstream.release();
    let done = wait::until("the whole answer is shown", || {
        Some(discord.shown(&direct(ADA))).filter(|shown| shown[0].ends_with("The end."))
    });
    assert_eq!(done.len(), 1);
}
