//! Messengers end to end: a person writes to a fake service, and the answer comes back there.

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::telegram::{Misdeed, Telegram};
use crate::support::upstream::{Answer, Upstream};
use crate::support::wait;

const ADA: i64 = 77;

/// A gateway whose Telegram account knows Ada.
fn gateway(upstream: &Upstream, telegram: &Telegram, more: Value) -> Gateway {
    let mut section = telegram.section(json!({"allowFrom": [ADA]}));
    crate::support::gateway::merge(&mut section, more);
    Gateway::start(upstream.config_and(json!({"channels": {"telegram": section}})))
}

#[test]
fn a_message_is_answered_where_it_came_from() {
    let (upstream, telegram) = (Upstream::script([Answer::say("**Hello** Ada.")]), Telegram::start());
    let gateway = gateway(&upstream, &telegram, json!({}));
    telegram.says(ADA, "hello");
    assert_eq!(telegram.wait_shown(ADA, 1), ["<b>Hello</b> Ada."]);
    let asked = upstream.asked();
    let system = asked[0].body["messages"][0]["content"].as_str().expect("a system prompt");
    assert!(system.contains("a direct chat with Ada (id 77)"), "{system}");
    let mut client = gateway.operator();
    let history = client.ok("chat.history", json!({"sessionKey": "main"}));
    assert_eq!(history["messages"][0]["content"], "hello");
    wait::until("the update is confirmed", || (telegram.unconfirmed() == 0).then_some(()));
    // The answer is shown before its row leaves the outbox.
    let status = wait::until("nothing waits", || {
        let status = client.ok("channels.status", json!({"probe": true}));
        (status["channelAccounts"]["telegram"][0]["queued"] == 0).then_some(status)
    });
    let account = &status["channelAccounts"]["telegram"][0];
    assert_eq!(account["accountId"], "default");
    assert_eq!(account["connected"], true, "{account}");
    assert_eq!(account["identity"], "@test_bot");
    assert_eq!(account["probe"]["ok"], true);
    assert!(!status.to_string().contains("canary"), "no token is shown");
    assert!(!gateway.log().contains("canary"), "no token is logged");
}

#[test]
fn a_stranger_gets_a_code_and_is_let_in_by_it() {
    let (upstream, telegram) = (Upstream::friendly(), Telegram::start());
    let gateway = gateway(&upstream, &telegram, json!({}));
    telegram.says(5, "let me in");
    let told = telegram.wait_shown(5, 1);
    let code = told[0].split("Pairing code: ").nth(1).and_then(|rest| rest.lines().next()).expect("a code").to_owned();
    assert_eq!(code.len(), 8);
    telegram.says(5, "please");
    wait::until("the second message is taken", || (telegram.unconfirmed() == 0).then_some(()));
    assert!(upstream.asked().is_empty(), "nothing of a stranger reaches a model");
    let mut client = gateway.operator();
    let mut pairing = crate::support::Ws::open(gateway.addr());
    pairing.hello(crate::support::ws::backend(&["operator.pairing"]));
    let list = pairing.ok("channels.pairing.list", json!({}));
    assert_eq!(list["requests"][0]["senderId"], "5");
    assert_eq!(list["requests"][0]["requestId"], code.as_str());
    let approve = json!({"channel": "telegram", "accountId": "default", "requestId": code, "notify": true});
    assert_eq!(pairing.ok("channels.pairing.approve", approve)["senderId"], "5");
    assert_eq!(telegram.wait_shown(5, 2).len(), 2);
    telegram.says(5, "now?");
    assert_eq!(telegram.wait_shown(5, 3)[2], "Hello from upstream.");
    assert_eq!(client.ok("channels.pairing.list", json!({}))["requests"], json!([]));
}

#[test]
fn a_guest_with_a_session_of_their_own_sees_nobody_else_s() {
    let list = || Answer::Call { name: "sessions_list", arguments: json!({}) };
    let upstream = Upstream::script([Answer::say("hm"), list(), Answer::say("One.")]);
    let telegram = Telegram::start();
    let gateway = Gateway::start(upstream.config_and(json!({
        "channels": { "telegram": telegram.section(json!({ "allowFrom": [ADA] })) },
        "session": { "dmScope": "per-channel-peer" },
    })));
    crate::support::talk::say(&mut gateway.operator(), "agent:main:main", "a secret", "run-1");
    telegram.says(ADA, "who else is here?");
    telegram.wait_shown(ADA, 1);
    let asked = upstream.wait_asked(3);
    let told = asked[2].body["messages"].as_array().and_then(|all| all.last()).expect("one")["content"].clone();
    let told: Value = serde_json::from_str(told.as_str().expect("text")).expect("JSON");
    assert_eq!((&told["count"], &told["visibility"]), (&json!(1), &json!("self")), "{told}");
    assert!(!told.to_string().contains("agent:main:main\""), "{told}");
}

#[test]
fn a_group_is_heard_when_it_is_listed_and_we_are_named() {
    let (upstream, telegram) = (Upstream::friendly(), Telegram::start());
    let _gateway = gateway(&upstream, &telegram, json!({"groups": {"-100": {}}}));
    let group = |chat: i64, user: i64, text: &str| {
        let mention = text.starts_with("@test_bot");
        let entities = if mention { json!([{"type": "mention", "offset": 0, "length": 9}]) } else { json!([]) };
        telegram.message(json!({"from": {"id": user, "first_name": "X"}, "text": text, "entities": entities,
            "chat": {"id": chat, "type": "supergroup", "title": "Team"}, "message_thread_id": 3, "is_topic_message": true}))
    };
    group(-100, ADA, "no mention");
    group(-100, 6, "@test_bot a stranger");
    group(-200, ADA, "@test_bot another group");
    let id = group(-100, ADA, "@test_bot look");
    telegram.wait_shown(-100, 1);
    let sent = telegram.calls("sendMessage");
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].params["message_thread_id"], 3);
    assert_eq!(sent[0].params["reply_parameters"]["message_id"], id);
    let asked = upstream.asked();
    assert_eq!(asked.len(), 1);
    let said = asked[0].body["messages"].as_array().expect("messages").last().expect("one")["content"].clone();
    let before = "[Said here since you were last asked, for context only]\nX: no mention\n\n[The message to answer]\n";
    assert_eq!(said, format!("{before}X: look"));
}

#[test]
fn repeated_and_reordered_updates_are_taken_once() {
    let (upstream, telegram) = (Upstream::friendly(), Telegram::start());
    let _gateway = gateway(&upstream, &telegram, json!({}));
    telegram.says(ADA, "one");
    telegram.wait_shown(ADA, 1);
    wait::until("the update is confirmed", || (telegram.unconfirmed() == 0).then_some(()));
    telegram.misbehave("getUpdates", Misdeed::Repeat);
    telegram.misbehave("getUpdates", Misdeed::Repeat);
    let polls = telegram.calls("getUpdates").len();
    telegram.wait_called("getUpdates", polls + 3);
    telegram.says(ADA, "two");
    telegram.wait_shown(ADA, 2);
    assert_eq!(upstream.asked().len(), 2);
}

#[test]
fn a_refused_message_waits_as_long_as_the_service_wants_and_goes_out_once() {
    let (upstream, telegram) = (Upstream::friendly(), Telegram::start());
    let _gateway = gateway(&upstream, &telegram, json!({}));
    let slow =
        json!({"ok": false, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 1}});
    telegram.misbehave("sendMessage", Misdeed::Refuse(429, slow));
    telegram.misbehave("sendMessage", Misdeed::Refuse(502, Value::Null));
    telegram.says(ADA, "hello");
    assert_eq!(telegram.wait_shown(ADA, 1).len(), 1);
    let sent = telegram.wait_called("sendMessage", 3);
    assert!(sent[1].at - sent[0].at >= std::time::Duration::from_millis(950), "it waited a second");
}

#[test]
fn a_poll_that_nobody_answers_ends_by_itself_and_the_next_one_works() {
    let (upstream, telegram) = (Upstream::friendly(), Telegram::start());
    telegram.misbehave("getUpdates", Misdeed::BlackHole);
    let gateway = gateway(&upstream, &telegram, json!({}));
    telegram.wait_called("getUpdates", 1);
    telegram.says(ADA, "hello");
    assert_eq!(telegram.wait_shown(ADA, 1).len(), 1);
    gateway.says("did not answer in time");
}

#[test]
fn a_token_nobody_knows_stops_the_account_and_says_what_to_do() {
    let (upstream, telegram) = (Upstream::friendly(), Telegram::start());
    let gateway = gateway(&upstream, &telegram, json!({"botToken": "1:revoked-token-canary"}));
    let mut client = gateway.operator();
    let account = wait::until("the account is blocked", || {
        let status = client.ok("channels.status", json!({}));
        let account = status["channelAccounts"]["telegram"][0].clone();
        (account["healthState"] == "blocked").then_some(account)
    });
    assert!(account["lastError"].as_str().is_some_and(|error| error.contains("@BotFather")), "{account}");
    assert_eq!(account["running"], false);
    let health = client.ok("health", json!({}));
    assert_eq!(health["channels"]["telegram"]["running"], false);
    assert!(!account.to_string().contains("canary"));
}

#[test]
fn a_secret_that_cannot_be_had_is_not_replaced_by_the_environment_s() {
    let (upstream, telegram) = (Upstream::friendly(), Telegram::start());
    let section = telegram.section(json!({"allowFrom": [ADA]}));
    let ambient = section["botToken"].as_str().expect("a token").to_owned();
    let mut section = section;
    section["botToken"] = json!({"source": "env", "provider": "default", "id": "TOKEN_THAT_NOBODY_SET"});
    let config = upstream.config_and(json!({"channels": {"telegram": section}}));
    let gateway = Gateway::with(config).env("TELEGRAM_BOT_TOKEN", &ambient).start();
    let mut client = gateway.operator();
    let account = wait::until("the account is blocked", || {
        let status = client.ok("channels.status", json!({}));
        let account = status["channelAccounts"]["telegram"][0].clone();
        (account["healthState"] == "blocked").then_some(account)
    });
    let error = account["lastError"].as_str().expect("an error");
    assert!(error.contains("channels.telegram.botToken") && error.contains("TOKEN_THAT_NOBODY_SET"), "{error}");
    assert!(
        ["getMe", "getUpdates"].iter().all(|method| telegram.calls(method).is_empty()),
        "nobody spoke for the account with another secret"
    );
    assert!(!account.to_string().contains(&ambient));
    // The gateway itself is well: one secret takes away its owner only.
    assert_eq!(client.ok("health", json!({}))["ok"], true);
}

#[test]
fn a_long_answer_goes_out_in_parts_and_in_order() {
    let long: String = (0..900).map(|n| format!("word{n} ")).collect();
    let (upstream, telegram) = (Upstream::script([Answer::Say(vec![long])]), Telegram::start());
    let _gateway = gateway(&upstream, &telegram, json!({"streaming": "off"}));
    telegram.says(ADA, "tell me");
    let shown = telegram.wait_shown(ADA, 2);
    let all = shown.join(" ");
    assert!(shown.iter().all(|part| part.encode_utf16().count() <= 4096));
    let words: Vec<&str> = all.split_whitespace().collect();
    assert_eq!(words.len(), 900);
    assert!(words.iter().enumerate().all(|(at, word)| *word == format!("word{at}")));
}

#[test]
fn an_answer_is_shown_while_it_is_made_and_becomes_the_answer() {
    let first = vec!["This is the beginning of a long story.".to_owned()];
    let (upstream, telegram) = (Upstream::script([Answer::Hold(first, vec![" The end.".into()])]), Telegram::start());
    let _gateway = gateway(&upstream, &telegram, json!({}));
    telegram.says(ADA, "tell me");
    assert_eq!(telegram.wait_shown(ADA, 1), ["This is the beginning of a long story."]);
    // The draft and the sign that somebody types go their own ways; either may be first.
    telegram.wait_called("sendChatAction", 1);
    upstream.release();
    let done = wait::until("the whole answer is shown", || {
        Some(telegram.shown(ADA)).filter(|shown| shown[0].ends_with("The end."))
    });
    assert_eq!(done, ["This is the beginning of a long story. The end."]);
}

#[test]
fn commands_work_in_a_messenger_and_stop_does_not_wait() {
    let (upstream, telegram) = (Upstream::script([Answer::Silent, Answer::say("Done.")]), Telegram::start());
    let _gateway = gateway(&upstream, &telegram, json!({}));
    telegram.says(ADA, "/status");
    assert!(telegram.wait_shown(ADA, 1)[0].contains("Session: agent:main:main"));
    telegram.says(ADA, "think for ever");
    upstream.wait_asked(1);
    telegram.says(ADA, "/stop");
    assert_eq!(telegram.wait_shown(ADA, 2)[1], "Stopped.");
    telegram.says(ADA, "/new");
    assert_eq!(telegram.wait_shown(ADA, 3)[2], "A new session begins.");
    telegram.says(ADA, "again");
    assert_eq!(telegram.wait_shown(ADA, 4)[3], "Done.");
}

#[test]
fn text_in_pieces_is_one_message() {
    let (upstream, telegram) = (Upstream::friendly(), Telegram::start());
    let _gateway = gateway(&upstream, &telegram, json!({}));
    telegram.says(ADA, "first piece");
    telegram.says(ADA, "second piece");
    telegram.wait_shown(ADA, 1);
    let asked = upstream.asked();
    assert_eq!(asked.len(), 1);
    let said = asked[0].body["messages"].as_array().expect("messages").last().expect("one")["content"].clone();
    assert_eq!(said, "first piece\nsecond piece");
}

#[test]
fn a_change_of_one_account_restarts_that_account_alone() {
    let (upstream, telegram, other) = (Upstream::friendly(), Telegram::start(), Telegram::start());
    let accounts = json!({"one": {"apiRoot": telegram.root}, "two": {"apiRoot": other.root}});
    let section = telegram.section(json!({"allowFrom": [ADA], "accounts": accounts, "botToken": null}));
    let mut section = section;
    let token = section.as_object_mut().expect("an object").remove("botToken");
    drop(token);
    section["accounts"]["one"]["botToken"] = crate::support::telegram::TOKEN.into();
    section["accounts"]["two"]["botToken"] = crate::support::telegram::TOKEN.into();
    let gateway = Gateway::start(upstream.config_and(json!({"channels": {"telegram": section}})));
    telegram.wait_called("getUpdates", 1);
    other.wait_called("getUpdates", 1);
    let mut client = gateway.operator();
    let base = client.ok("config.get", json!({}))["hash"].clone();
    let raw = json!({"channels": {"telegram": {"accounts": {"two": {"linkPreview": false}}}}}).to_string();
    client.ok("config.patch", json!({"raw": raw, "baseHash": base}));
    wait::until("the second account asks who it is once more", || (other.calls("getMe").len() == 2).then_some(()));
    assert_eq!(telegram.calls("getMe").len(), 1, "the first one was left alone");
    let base = client.ok("config.get", json!({}))["hash"].clone();
    let raw = json!({"channels": {"telegram": {"dmPolicy": "disabled"}}}).to_string();
    client.ok("config.patch", json!({"raw": raw, "baseHash": base}));
    telegram.says(8, "nobody answers");
    wait::until("the message is taken", || (telegram.unconfirmed() == 0).then_some(()));
    assert_eq!((telegram.calls("getMe").len(), other.calls("getMe").len()), (1, 2), "who may talk needs no restart");
    assert!(telegram.shown(8).is_empty());
}

#[test]
fn an_account_is_stopped_and_started_by_hand() {
    let (upstream, telegram) = (Upstream::friendly(), Telegram::start());
    let gateway = gateway(&upstream, &telegram, json!({}));
    telegram.wait_called("getUpdates", 1);
    let mut client = gateway.operator();
    assert_eq!(client.ok("channels.stop", json!({"channel": "telegram"}))["stopped"], true);
    let status = client.ok("channels.status", json!({}));
    assert_eq!(status["channelAccounts"]["telegram"][0]["healthState"], "stopped");
    telegram.says(ADA, "while it is stopped");
    assert_eq!(client.ok("channels.start", json!({"channel": "telegram"}))["started"], true);
    assert_eq!(telegram.wait_shown(ADA, 1).len(), 1);
    let refusal = client.err("channels.start", json!({"channel": "nope"}));
    assert!(
        refusal["message"].as_str().is_some_and(|text| text.contains("invalid channels.start channel")),
        "{refusal}"
    );
}

#[test]
fn a_message_is_sent_once_per_key_also_after_a_restart() {
    let (upstream, telegram) = (Upstream::friendly(), Telegram::start());
    let section = telegram.section(json!({"allowFrom": [ADA]}));
    let config = upstream.config_and(json!({"channels": {"telegram": section}}));
    let gateway = Gateway::start(config.clone());
    let params = json!({"to": "telegram:77", "message": "good morning", "idempotencyKey": "s1"});
    let mut client = gateway.operator();
    wait::until("the account runs", || {
        client.ok("channels.status", json!({}))["channelAccounts"]["telegram"][0]["running"].as_bool().filter(|on| *on)
    });
    let sent = client.ok("send", params.clone());
    assert_eq!(sent["runId"], "s1");
    assert_eq!(client.ok("send", params.clone())["messageId"], sent["messageId"]);
    let home = gateway.kill();
    let gateway = Gateway::with(config).home(home).start();
    let mut client = gateway.operator();
    assert_eq!(client.ok("send", params)["messageId"], sent["messageId"]);
    assert_eq!(telegram.shown(ADA), ["good morning"]);
    let refusal = client.err("send", json!({"to": "x", "channel": "nope", "message": "m", "idempotencyKey": "s2"}));
    assert!(refusal["message"].as_str().is_some_and(|text| text.contains("unknown channel")), "{refusal}");
}

#[test]
fn what_was_taken_in_is_answered_after_a_kill() {
    let (upstream, telegram) = (Upstream::script([Answer::Silent, Answer::say("Here I am.")]), Telegram::start());
    let section = telegram.section(json!({"allowFrom": [ADA]}));
    let config = upstream.config_and(json!({"channels": {"telegram": section}}));
    let gateway = Gateway::start(config.clone());
    telegram.says(ADA, "are you there?");
    upstream.wait_asked(1);
    wait::until("the update is confirmed", || (telegram.unconfirmed() == 0).then_some(()));
    let home = gateway.kill();
    let _gateway = Gateway::with(config).home(home).start();
    assert_eq!(telegram.wait_shown(ADA, 1), ["Here I am."]);
}

#[test]
fn a_picture_reaches_the_model_and_a_document_the_disk() {
    let (upstream, telegram) = (Upstream::friendly(), Telegram::start());
    let gateway = gateway(&upstream, &telegram, json!({}));
    telegram.file("pic", b"\x89PNG\r\n\x1a\nnot really".to_vec());
    telegram.file("doc", b"some,csv".to_vec());
    telegram.message(json!({"from": {"id": ADA}, "chat": {"id": ADA, "type": "private"}, "caption": "look",
        "photo": [{"file_id": "small", "file_size": 3}, {"file_id": "pic", "file_size": 18}]}));
    telegram.wait_shown(ADA, 1);
    let asked = upstream.asked();
    let content = asked[0].body["messages"].as_array().expect("messages").last().expect("one")["content"].to_string();
    assert!(content.contains("image/png"), "{content}");
    telegram.message(json!({"from": {"id": ADA}, "chat": {"id": ADA, "type": "private"},
        "document": {"file_id": "doc", "file_name": "../../a.csv", "mime_type": "text/csv", "file_size": 8}}));
    telegram.wait_shown(ADA, 2);
    let asked = upstream.asked();
    let content = asked[1].body["messages"].as_array().expect("messages").last().expect("one")["content"].to_string();
    let folder = gateway.state_dir().join("media/telegram/default");
    assert!(content.contains(&folder.display().to_string()), "{content}");
    let kept: Vec<_> =
        std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(std::fs::read(&kept[0]).expect("the file"), b"some,csv");
}

/// A webhook account: where answers arrive, and how to post to it.
struct Hook {
    server: std::sync::Arc<tiny_http::Server>,
    url: String,
    got: std::sync::Arc<std::sync::Mutex<Vec<(String, Value)>>>,
}

const HOOK_SECRET: &str = "webhook-secret-canary-77";

impl Hook {
    fn start() -> Hook {
        let server = std::sync::Arc::new(tiny_http::Server::http("127.0.0.1:0").expect("bind the hook"));
        let url = format!("http://{}/answers", server.server_addr());
        let got = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let (own, kept) = (server.clone(), got.clone());
        std::thread::spawn(move || {
            while let Ok(mut request) = own.recv() {
                let key = request.headers().iter().find(|header| header.field.equiv("Idempotency-Key"));
                let key = key.map(|header| header.value.to_string()).unwrap_or_default();
                let mut body = String::new();
                request.as_reader().read_to_string(&mut body).expect("read the answer");
                if request.method() == &tiny_http::Method::Post {
                    let mut got = kept.lock().expect("no panic");
                    // As a real service would: the same key is the same message.
                    if !got.iter().any(|(own, _)| *own == key) {
                        got.push((key, serde_json::from_str(&body).expect("JSON")));
                    }
                }
                // The gateway may be dead.
                let _ = request.respond(tiny_http::Response::empty(200));
            }
        });
        Hook { server, url, got }
    }

    fn section(&self) -> Value {
        json!({"secret": HOOK_SECRET, "url": self.url, "dmPolicy": "open", "allowFrom": ["*"]})
    }

    fn texts(&self) -> Vec<String> {
        let got = self.got.lock().expect("no panic");
        got.iter().map(|(_, body)| body["text"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.server.unblock();
    }
}

pub fn signature(secret: &str, seconds: u64, body: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let tag = ring::hmac::sign(&key, format!("{seconds}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

/// Posts a signed message; `None` when nobody answered.
fn post(port: u16, id: &str, text: &str) -> Option<u16> {
    use std::io::{Read, Write};
    let body = json!({"id": id, "kind": "direct", "sender": {"id": id}, "text": text}).to_string();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let head = format!(
        "POST /channels/webhook/default HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n\
         X-OpenClaw-Signature: {}\r\nContent-Length: {}\r\n\r\n",
        signature(HOOK_SECRET, now, &body),
        body.len()
    );
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).ok()?;
    stream.write_all((head + &body).as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

#[test]
fn a_webhook_that_is_posted_five_times_at_once_makes_one_run_and_one_answer() {
    let (upstream, hook) = (Upstream::friendly(), Hook::start());
    let gateway = Gateway::start(upstream.config_and(json!({"channels": {"webhook": hook.section()}})));
    let port = gateway.port;
    wait::until("the account runs", || (post(port, "warm-up", "one") == Some(202)).then_some(()));
    wait::until("the first answer", || (hook.texts().len() == 1).then_some(()));
    let posts: Vec<_> = (0..5).map(|_| std::thread::spawn(move || post(port, "same", "two"))).collect();
    for one in posts {
        assert_eq!(one.join().expect("no panic"), Some(202));
    }
    wait::until("the second answer", || (hook.texts().len() == 2).then_some(()));
    assert_eq!(post(port, "last", "three"), Some(202));
    wait::until("the third answer", || (hook.texts().len() == 3).then_some(()));
    assert_eq!(upstream.asked().len(), 3);
}

#[test]
fn a_webhook_without_the_right_signature_is_refused() {
    let (upstream, hook) = (Upstream::friendly(), Hook::start());
    let gateway = Gateway::start(upstream.config_and(json!({"channels": {"webhook": hook.section()}})));
    let body = json!({"id": "1", "kind": "direct", "sender": {"id": "ada"}, "text": "x"});
    wait::until("the account runs", || (post(gateway.port, "1", "x") == Some(202)).then_some(()));
    for header in ["", "t=1,v1=00", &signature("another-secret-here", 1, &body.to_string())] {
        let headers = [("X-OpenClaw-Signature", header)];
        let reply = crate::support::raw::post(gateway.addr(), "/channels/webhook/default", &headers, &body);
        assert_eq!(reply.status, 401, "{header}");
    }
    let reply = crate::support::raw::post(gateway.addr(), "/channels/webhook/other", &[], &body);
    assert_eq!(reply.status, 404);
    let reply = crate::support::raw::post(gateway.addr(), "/channels/telegram/default", &[], &body);
    assert_eq!(reply.status, 404);
    let huge = json!({ "text": "x".repeat(2 << 20) });
    let reply = crate::support::raw::post(gateway.addr(), "/channels/webhook/default", &[], &huge);
    assert_eq!(reply.status, 413);
}

/// Kills the gateway again and again while messages come in, and counts every message in and out.
fn kill_loop(kills: usize) {
    let upstream = Upstream::by(|asked| {
        let said = asked.body["messages"].as_array().and_then(|all| all.last()).map(|last| last["content"].to_string());
        Answer::say(&format!("Echo {}", said.unwrap_or_default().trim_matches('"')))
    });
    let hook = Hook::start();
    // Every message is a person and a conversation of its own: an answer then belongs to one message.
    let config = upstream.config_and(json!({
        "channels": {"webhook": hook.section()}, "session": {"dmScope": "per-peer"},
        "messages": {"inbound": {"debounceMs": 0}},
    }));
    let mut home = None;
    let mut sent: Vec<String> = Vec::new();
    let mut seed = 0x9e37_79b9_u64;
    for round in 0..=kills {
        let mut setup = Gateway::with(config.clone());
        if let Some(home) = home.take() {
            setup = setup.home(home);
        }
        let gateway = setup.start();
        let port = gateway.port;
        for n in 0..3 {
            let text = format!("m{round}x{n}");
            // The service repeats what was not acknowledged, as services do.
            let mut taken = false;
            for _ in 0..200 {
                match post(port, &text, &text) {
                    Some(202) => {
                        taken = true;
                        break;
                    }
                    _ => std::thread::park_timeout(std::time::Duration::from_millis(10)),
                }
            }
            assert!(taken, "the message was never acknowledged");
            sent.push(text);
        }
        if round == kills {
            let missing = || {
                let got = hook.texts();
                sent.iter().filter(|text| !got.iter().any(|one| one.contains(*text))).cloned().collect::<Vec<_>>()
            };
            let all = wait::within(std::time::Duration::from_secs(60), || missing().is_empty().then_some(()));
            assert!(all.is_some(), "lost: {:?} of {}", missing(), sent.len());
            for text in &sent {
                let times = hook.texts().iter().filter(|one| one.split([' ', '\n']).any(|word| word == text)).count();
                assert_eq!(times, 1, "{text} was answered {times} times: {:?}", hook.texts());
            }
            return;
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let pause = std::time::Duration::from_millis((seed >> 33) % 120);
        std::thread::park_timeout(pause);
        home = Some(gateway.kill());
    }
}

/// KILLS is their number: the long run wants more.
#[test]
fn kills_lose_no_message_and_repeat_no_answer() {
    kill_loop(std::env::var("KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(10));
}

#[test]
fn the_command_line_adds_checks_and_removes_an_account() {
    let telegram = Telegram::start();
    let home = crate::support::scratch::Scratch::new();
    let run = |args: &[&str]| {
        let out = crate::support::gateway::run(home.path(), args, &[]);
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr))
    };
    let api = format!("apiRoot={}", telegram.root);
    let add = ["channels", "add", "--channel", "telegram", "--set", &api, "--token"];
    let (code, said) = run(&[&add[..], &["1:wrong-token-canary"]].concat());
    assert!(code != Some(0) && said.contains("BotFather"), "{said}");
    assert!(!said.contains("canary"), "{said}");
    let (code, said) = run(&[&add[..], &[crate::support::telegram::TOKEN, "--allow-from", "77"]].concat());
    assert!(code == Some(0) && said.contains("works: @test_bot"), "{said}");
    let (_, said) = run(&["channels", "list"]);
    assert!(said.contains("Telegram default: configured"), "{said}");
    let (code, said) = run(&["channels", "add", "--channel", "telegram", "--secret", "x"]);
    assert!(code != Some(0) && said.contains("means nothing"), "{said}");
    let (code, said) = run(&["channels", "remove", "--channel", "telegram"]);
    assert!(code == Some(0) && said.contains("is off"), "{said}");
    assert!(run(&["channels", "list"]).1.contains("disabled"));
    let (code, _) = run(&["channels", "remove", "--channel", "telegram", "--delete"]);
    assert_eq!(code, Some(0));
    assert!(run(&["channels", "list"]).1.contains("No channels"));
}

#[test]
fn the_command_line_lets_somebody_in_and_sends() {
    let (upstream, telegram) = (Upstream::friendly(), Telegram::start());
    let gateway = gateway(&upstream, &telegram, json!({}));
    telegram.says(5, "hello?");
    let told = telegram.wait_shown(5, 1);
    let code = told[0].split("Pairing code: ").nth(1).and_then(|rest| rest.lines().next()).expect("a code").to_owned();
    let port = gateway.port.to_string();
    let run = |args: &[&str]| {
        let args = [args, &["--port", &port, "--token", crate::support::gateway::TOKEN]].concat();
        let out = crate::support::gateway::run(gateway.home(), &args, &[]);
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr))
    };
    let (_, said) = run(&["pairing", "list"]);
    assert!(said.contains(&code) && said.contains("telegram/default"), "{said}");
    let (code, said) = run(&["pairing", "approve", "telegram", &code]);
    assert!(code == Some(0) && said.contains("Approved telegram sender 5.") && said.contains("owner"), "{said}");
    let (code, said) = run(&["message", "send", "--target", "telegram:5", "--message", "from the shell"]);
    assert!(code == Some(0) && said.contains("Sent as message"), "{said}");
    assert_eq!(telegram.wait_shown(5, 2)[1], "from the shell");
    let (code, said) = run(&["channels", "logout", "--channel", "telegram"]);
    assert!(code == Some(0) && said.contains("stopped"), "{said}");
    let (code, said) = run(&["channels", "login", "--channel", "telegram"]);
    assert!(code == Some(0) && said.contains("@test_bot"), "{said}");
}
