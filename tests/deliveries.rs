//! What a caller says of its turn: where the answer goes, on what ground it stands, how it is made.

use serde_json::{Value, json};

use crate::support::Ws;
use crate::support::gateway::{self, Gateway};
use crate::support::talk::{SESSION, say};
use crate::support::telegram::{Misdeed, Telegram};
use crate::support::upstream::{Answer, Upstream};

const ADA: i64 = 77;

fn with_telegram(upstream: &Upstream, telegram: &Telegram) -> Value {
    upstream.config_and(json!({
        "channels": { "telegram": telegram.section(json!({ "allowFrom": [ADA] })) },
    }))
}

/// Makes a turn and gives both answers.
#[track_caller]
fn turn(client: &mut Ws, params: Value) -> Result<Value, Value> {
    let id = client.request("agent", params);
    let accepted = client.response(&id)?;
    assert_eq!(accepted["status"], "accepted");
    client.response(&id)
}

/// What was said last, and the prompt.
fn last(body: &Value) -> (String, String) {
    let messages = body["messages"].as_array().expect("messages");
    let text = |message: &Value| message["content"].as_str().unwrap_or_default().to_owned();
    let system = messages.first().filter(|first| first["role"] == "system").map(text).unwrap_or_default();
    (text(messages.last().expect("a message")), system)
}

#[test]
fn a_callers_answer_goes_where_it_says_and_it_hears_of_it() {
    let script = ["To Ada.", "NO_REPLY", "Not taken.", "Main all the same."].map(Answer::say);
    let (upstream, telegram) = (Upstream::script(script), Telegram::start());
    let gateway = Gateway::start(with_telegram(&upstream, &telegram));
    let mut client = gateway.operator();
    let asked = |run: &str, more: Value| {
        let base =
            json!({ "message": "report", "sessionKey": "agent:main:job", "deliver": true, "idempotencyKey": run });
        gateway::merged(&base, more)
    };
    let to_ada = json!({ "replyChannel": "telegram", "replyTo": ADA.to_string() });
    let done = turn(&mut client, asked("r1", to_ada.clone())).expect("a result");
    let sent = json!({ "requested": true, "attempted": true, "status": "sent", "succeeded": true, "resultCount": 1 });
    assert_eq!(done["result"]["deliveryStatus"], sent);
    assert_eq!(telegram.shown(ADA), ["To Ada."], "it was there before the answer");
    // An agent that has nothing to say says nothing.
    let done = turn(&mut client, asked("r2", to_ada.clone())).expect("a result");
    assert_eq!(done["result"]["deliveryStatus"]["reason"], "no_visible_payload");
    // What the messenger will never take is told as failed; the turn was made.
    let gone = json!({ "ok": false, "error_code": 403, "description": "Forbidden: bot was blocked by the user" });
    telegram.misbehave("sendMessage", Misdeed::Refuse(403, gone));
    let done = turn(&mut client, asked("r3", to_ada)).expect("a result");
    let status = &done["result"]["deliveryStatus"];
    assert_eq!((status["status"].as_str(), status["error"].as_bool()), (Some("failed"), Some(true)), "{status}");
    assert!(status["errorMessage"].as_str().is_some_and(|why| why.contains("blocked")), "{status}");
    // Nobody spoke to this session through a messenger: no turn is made of it.
    let refused = turn(&mut client, asked("r4", json!({}))).expect_err("no place");
    assert_eq!(refused["code"], "INVALID_REQUEST");
    assert!(refused["message"].as_str().is_some_and(|text| text.starts_with("delivery channel is required")));
    let wrong =
        turn(&mut client, asked("r5", json!({ "replyChannel": "telegram", "replyTo": "7", "replyAccountId": "no" })));
    assert_eq!(wrong.expect_err("no account")["message"], "telegram has no account \"no\"");
    assert_eq!(upstream.asked().len(), 3);
    // In the main session the answer is worth having without its delivery.
    let done = turn(&mut client, asked("r6", json!({ "sessionKey": SESSION }))).expect("a result");
    let failed = json!({ "requested": true, "attempted": false, "status": "failed", "succeeded": false,
        "reason": "no_delivery_target", "error": true });
    assert_eq!(done["result"]["deliveryStatus"], failed);
    assert_eq!(telegram.shown(ADA), ["To Ada."]);
}

#[test]
fn a_session_remembers_where_it_was_spoken_to() {
    let (upstream, telegram) = (Upstream::by(|asked| Answer::say(&last(&asked.body).0)), Telegram::start());
    let mut config = with_telegram(&upstream, &telegram);
    config["session"] = json!({ "dmScope": "per-channel-peer" });
    let gateway = Gateway::start(config);
    telegram.says(ADA, "hello");
    telegram.wait_shown(ADA, 1);
    let mut client = gateway.operator();
    let key = format!("agent:main:telegram:direct:{ADA}");
    let row = client.ok("sessions.describe", json!({ "key": key }))["session"].clone();
    let context = json!({ "channel": "telegram", "to": ADA.to_string(), "accountId": "default" });
    assert_eq!(
        (&row["deliveryContext"], &row["lastTo"], &row["channel"]),
        (&context, &context["to"], &context["channel"])
    );
    // By its key, by the person, and by its transcript.
    let asked = |run: &str, which: Value| {
        gateway::merged(&json!({ "message": run, "deliver": true, "idempotencyKey": run }), which)
    };
    for (run, which) in [
        ("one", json!({ "sessionKey": key })),
        ("two", json!({ "to": format!("telegram:{ADA}"), "agentId": "main" })),
        ("three", json!({ "sessionId": row["sessionId"] })),
    ] {
        let done = turn(&mut client, asked(run, which)).expect("a result");
        assert_eq!(done["result"]["deliveryStatus"]["status"], "sent", "{run}");
        assert_eq!(done["result"]["meta"]["agentMeta"]["sessionId"], row["sessionId"], "{run}");
    }
    // A message of a page, too.
    client.ok("chat.send", json!({ "sessionKey": key, "message": "four", "deliver": true, "idempotencyKey": "four" }));
    assert_eq!(telegram.wait_shown(ADA, 5)[1..], ["one", "two", "three", "four"]);
    let unknown = turn(&mut client, asked("five", json!({ "sessionId": "nobody" }))).expect_err("no session");
    assert_eq!(unknown["message"], "No session found: nobody");
    let origin = json!({ "sessionKey": SESSION, "message": "six", "idempotencyKey": "six",
        "originatingChannel": "telegram", "originatingTo": ADA.to_string() });
    client.ok("chat.send", origin.clone());
    telegram.wait_shown(ADA, 6);
    let mut lesser = Ws::open(gateway.addr());
    lesser.hello(crate::support::ws::backend(&["operator.read", "operator.write"]));
    let refused = lesser.err("chat.send", gateway::merged(&origin, json!({ "idempotencyKey": "seven" })));
    assert_eq!(refused["message"], "originating route fields require admin scope");
}

#[test]
fn an_answer_that_was_to_be_delivered_outlives_a_crash() {
    let (upstream, telegram) = (Upstream::script([Answer::Silent, Answer::say("After all.")]), Telegram::start());
    let gateway = Gateway::start(with_telegram(&upstream, &telegram));
    let mut client = gateway.operator();
    let id = client.request(
        "agent",
        json!({ "message": "report", "sessionKey": "agent:main:job", "deliver": true, "to": ADA.to_string(),
            "idempotencyKey": "r1" }),
    );
    client.response(&id).expect("accepted");
    upstream.wait_asked(1);
    let home = gateway.kill();
    let _again = Gateway::with(with_telegram(&upstream, &telegram)).home(home).start();
    assert_eq!(telegram.wait_shown(ADA, 1), ["After all."]);
}

#[test]
fn a_message_on_old_ground_is_declined_and_may_come_again() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::start(upstream.config());
    let mut client = gateway.operator();
    let send = |client: &mut Ws, run: &str, more: Value| {
        let base = json!({ "sessionKey": SESSION, "message": "hi", "idempotencyKey": run });
        client.call("chat.send", gateway::merged(&base, more))
    };
    send(&mut client, "r1", json!({ "expectedLeafEntryId": null })).expect("nothing was said");
    client.event_where("chat", |chat| chat["state"] == "final" && chat["runId"] == "r1");
    let branched = send(&mut client, "r2", json!({ "expectedLeafEntryId": null })).expect_err("something was said");
    assert_eq!(branched["message"], "active branch changed; review and retry");
    assert_eq!(
        (&branched["code"], &branched["details"]["reason"]),
        (&json!("INVALID_REQUEST"), &json!("active-leaf-changed"))
    );
    let history = client.ok("chat.history", json!({ "sessionKey": SESSION }));
    let ids: Vec<Value> =
        history["messages"].as_array().expect("messages").iter().map(|m| m["__openclaw"]["id"].clone()).collect();
    assert_eq!(ids.len(), 2, "what was declined is nowhere");
    // The same key, with the right view; then an older one, which needs the right transcript.
    send(&mut client, "r2", json!({ "expectedLeafEntryId": ids[1] })).expect("the last message");
    client.event_where("chat", |chat| chat["state"] == "final" && chat["runId"] == "r2");
    send(&mut client, "r3", json!({ "expectedLeafEntryId": ids[1] })).expect_err("not the last any more");
    let older = json!({ "expectedLeafEntryId": ids[1], "sessionId": history["sessionId"] });
    send(&mut client, "r3", older).expect("part of this transcript");
    client.event_where("chat", |chat| chat["state"] == "final" && chat["runId"] == "r3");
    send(&mut client, "r4", json!({ "expectedLeafEntryId": ids[1], "sessionId": "another" }))
        .expect_err("another transcript");
    let reason = |result: Result<Value, Value>| result.expect_err("declined")["details"]["reason"].clone();
    let contract = |text: &str| json!({ "expectedSessionRoutingContract": text });
    send(&mut client, "r5", contract("per-sender|main|MAIN")).expect("as it is");
    assert_eq!(reason(send(&mut client, "r6", contract("per-sender|other|main"))), "session-routing-changed");
    let mode = json!({ "expectedPermissionMode": "read-only" });
    assert_eq!(reason(send(&mut client, "r7", mode)), "session-settings-changed");
    send(&mut client, "r8", json!({ "expectedPermissionMode": null, "expectedToolOverrides": {} })).expect("as it is");
    for (name, value) in [
        ("intent", json!({ "kind": "session-goal-start", "version": 1, "issuedAtMs": 1 })),
        ("toolBindings", json!({ "a": 1 })),
    ] {
        let refused = send(&mut client, "r9", json!({ name: value })).expect_err(name);
        assert!(refused["message"].as_str().is_some_and(|text| text.starts_with(name)), "{refused}");
    }
    let changed = turn(
        &mut client,
        json!({ "message": "m", "sessionKey": SESSION, "idempotencyKey": "a1",
        "expectedExistingSessionId": "another" }),
    );
    let changed = changed.expect_err("another transcript");
    assert_eq!(changed["message"], format!("Session \"{SESSION}\" changed before expected work could start."));
    let kept = json!({ "message": "m", "sessionKey": SESSION, "idempotencyKey": "a1",
        "expectedExistingSessionId": history["sessionId"] });
    turn(&mut client, kept).expect("the same key on the right ground");
}

#[test]
fn a_message_that_waits_stands_on_the_ground_it_was_taken_in_on() {
    let upstream = Upstream::script([Answer::Silent, Answer::say("next")]);
    let gateway = Gateway::start(upstream.config());
    let mut client = gateway.operator();
    client.ok("chat.send", json!({ "sessionKey": SESSION, "message": "one", "idempotencyKey": "r1" }));
    let ground = |run: &str, leaf: Value| {
        json!({ "sessionKey": SESSION, "message": run, "queueMode": "followup", "idempotencyKey": run,
            "expectedLeafEntryId": leaf })
    };
    client.err("chat.send", ground("r2", json!(null)));
    let history = client.ok("chat.history", json!({ "sessionKey": SESSION }));
    let leaf = history["messages"][0]["__openclaw"]["id"].clone();
    client.ok("chat.send", ground("r2", leaf));
    client.ok("chat.abort", json!({ "sessionKey": SESSION, "runId": "r1" }));
    client.event_where("chat", |chat| chat["state"] == "final" && chat["runId"] == "r2");
}

#[test]
fn a_turn_is_made_as_its_caller_says() {
    let pwd = Answer::Call { name: "exec", arguments: json!({ "command": "pwd" }) };
    let script = [
        Answer::say("raw"),
        Answer::say("few words"),
        pwd,
        Answer::say("there"),
        Answer::say("first"),
        Answer::say("second"),
    ];
    let upstream = Upstream::script(script);
    let gateway =
        Gateway::start(upstream.config_and(json!({ "tools": { "exec": { "security": "full", "ask": "off" } } })));
    std::fs::write(gateway.workspace().join("AGENTS.md"), "Rule canary-f3.").expect("write AGENTS.md");
    std::fs::write(gateway.workspace().join("SOUL.md"), "Soul canary-77.").expect("write SOUL.md");
    let place = gateway.home().join("elsewhere");
    std::fs::create_dir(&place).expect("make a directory");
    let mut client = gateway.operator();
    let ask = |client: &mut Ws, run: &str, more: Value| {
        turn(
            client,
            gateway::merged(&json!({ "message": "m", "sessionKey": "agent:main:job", "idempotencyKey": run }), more),
        )
    };
    ask(&mut client, "r1", json!({ "modelRun": true, "label": "Night job" })).expect("a result");
    let body = &upstream.asked()[0].body;
    assert_eq!(body["tools"], Value::Null, "no tools");
    assert_eq!(last(body).1, "", "no prompt: {body}");
    let row = client.ok("sessions.describe", json!({ "key": "agent:main:job" }));
    assert_eq!(row["session"]["label"], "Night job");
    ask(&mut client, "r2", json!({ "promptMode": "minimal", "label": "Other" })).expect("a result");
    let prompt = last(&upstream.asked()[1].body).1;
    assert!(prompt.contains("canary-f3") && !prompt.contains("canary-77"), "{prompt}");
    ask(&mut client, "r3", json!({ "cwd": place })).expect("a result");
    let said = last(&upstream.asked()[3].body).0;
    assert!(said.contains(place.to_str().expect("UTF-8")), "{said}");
    let wrong = ask(&mut client, "r4", json!({ "cwd": "relative" })).expect_err("a relative path");
    assert_eq!(wrong["message"], "cwd \"relative\" is not an absolute path");
    let mut lesser = Ws::open(gateway.addr());
    lesser.hello(crate::support::ws::backend(&["operator.write"]));
    let refused = ask(&mut lesser, "r5", json!({ "cwd": "/" })).expect_err("a directory opens the host");
    assert_eq!(refused["message"], "missing scope: operator.admin");
    let row = client.ok("sessions.describe", json!({ "key": "agent:main:job" }));
    assert_eq!(row["session"]["label"], "Night job", "only what makes a session names it");
    // An answer to an earlier message shows the model which.
    say(&mut client, SESSION, "hello", "c1");
    let history = client.ok("chat.history", json!({ "sessionKey": SESSION }));
    let id = history["messages"][1]["__openclaw"]["id"].clone();
    let answer = json!({ "sessionKey": SESSION, "message": "this one", "replyToId": id, "idempotencyKey": "c2" });
    client.ok("chat.send", answer);
    client.event_where("chat", |chat| chat["state"] == "final" && chat["runId"] == "c2");
    let (_, prompt) = last(&upstream.asked()[5].body);
    assert!(prompt.ends_with("The user answers this message, yours:\n> first"), "{prompt}");
}

#[test]
fn the_command_line_delivers_and_says_when_it_could_not() {
    let (upstream, telegram) = (Upstream::by(|asked| Answer::say(&last(&asked.body).0)), Telegram::start());
    let gateway = Gateway::start(with_telegram(&upstream, &telegram));
    let agent = |args: &[&str]| {
        let port = gateway.addr().port().to_string();
        let output = gateway::run(gateway.home(), &[&["agent"], args].concat(), &[("OPENCLAW_GATEWAY_PORT", &port)]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let task = gateway.home().join("task.md");
    std::fs::write(&task, "\u{feff}Line one\nline two\n").expect("write the task");
    let task = task.to_str().expect("UTF-8");
    let (code, out, err) = agent(&["--message-file", task, "--to", "telegram:77", "--deliver", "--json"]);
    assert_eq!(code, Some(0), "{err}");
    let out: Value = serde_json::from_str(&out).expect("JSON and nothing else");
    assert_eq!(out["deliveryStatus"]["status"], "sent");
    assert_eq!(telegram.shown(ADA), ["Line one\nline two"]);
    let (code, out, err) = agent(&["-m", "hi", "--deliver", "--session-key", SESSION]);
    assert_eq!((code, out.trim()), (Some(1), "hi"), "{err}");
    assert!(err.contains("the answer was not delivered (no_delivery_target)"), "{err}");
    let (code, _, err) = agent(&["-m", "hi", "--message-file", task]);
    assert!(code == Some(2) && err.contains("exclude each other"), "{err}");
    let (code, _, err) = agent(&["--message-file", "/nowhere/at/all"]);
    assert!(code == Some(2) && err.contains("--message-file /nowhere/at/all"), "{err}");
}

#[test]
fn a_page_of_history_may_be_around_a_message() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::start(upstream.config());
    let mut client = gateway.operator();
    for n in 0..4 {
        say(&mut client, SESSION, &format!("message {n}"), &format!("run-{n}"));
    }
    let page = |client: &mut Ws, more: Value| {
        client.ok("chat.history", gateway::merged(&json!({ "sessionKey": SESSION }), more))
    };
    let seqs = |page: &Value| -> Vec<u64> {
        let messages = page["messages"].as_array().expect("messages").iter();
        messages.filter_map(|message| message["__openclaw"]["seq"].as_u64()).collect()
    };
    let all = page(&mut client, json!({}));
    assert_eq!(seqs(&all), [1, 2, 3, 4, 5, 6, 7, 8]);
    let id = |at: usize| all["messages"][at]["__openclaw"]["id"].clone();
    let around = page(&mut client, json!({ "messageId": id(3), "limit": 4 }));
    assert_eq!((seqs(&around), &around["hasMore"], &around["nextOffset"]), (vec![3, 4, 5, 6], &json!(true), &json!(6)));
    let older = page(&mut client, json!({ "offset": around["nextOffset"], "limit": 4 }));
    assert_eq!((seqs(&older), &older["hasMore"]), (vec![1, 2], &json!(false)));
    assert_eq!(seqs(&page(&mut client, json!({ "messageId": id(7), "limit": 3 }))), [6, 7, 8]);
    assert_eq!(page(&mut client, json!({ "messageId": "nobody" }))["messages"], json!([]));
    let both = client.err("chat.history", json!({ "sessionKey": SESSION, "messageId": id(0), "offset": 1 }));
    assert_eq!(both["message"], "offset and messageId cannot be used together");
    assert_eq!(page(&mut client, json!({ "cursor": "c" })), json!({ "kind": "reset" }));
    let taken = page(&mut client, json!({ "inputRunIds": ["run-2", "never"], "limit": 1 }));
    assert_eq!(taken["inputConsumptions"], json!([{ "runId": "run-2", "consumedByEventId": id(4) }]));
}

#[test]
fn what_waits_is_shown_page_by_page() {
    let upstream = Upstream::script([Answer::Silent]);
    let gateway = Gateway::start(upstream.config());
    let mut client = gateway.operator();
    let send = |client: &mut Ws, session: &str, run: &str| {
        let params = json!({ "sessionKey": session, "message": run, "queueMode": "followup", "idempotencyKey": run });
        client.ok("chat.send", params);
    };
    // What waits elsewhere is not in the way.
    for n in 0..40 {
        send(&mut client, "agent:main:other", &format!("other-{n}"));
    }
    for n in 0..65 {
        send(&mut client, SESSION, &format!("run-{n}"));
    }
    let history = client.ok("chat.history", json!({ "sessionKey": SESSION }));
    let pending = &history["pendingInputs"];
    let runs = |pending: &Value| -> Vec<String> {
        let items = pending["items"].as_array().expect("items").iter();
        items.filter_map(|item| item["runId"].as_str()).map(str::to_owned).collect()
    };
    assert_eq!((pending["total"].as_u64(), runs(pending).len()), (Some(64), 64));
    assert_eq!((runs(pending)[0].as_str(), pending.get("nextBefore")), ("run-1", None));
    let before = json!({ "sessionKey": SESSION, "pendingBefore": 45 });
    let fewer = client.ok("chat.history", before)["pendingInputs"].take();
    assert!(runs(&fewer).len() < 64 && runs(&fewer)[0] == "run-1", "{fewer}");
}

#[test]
fn what_happened_lately_is_told_without_a_word_that_was_said() {
    let (upstream, telegram) = (
        Upstream::by(|asked| match last(&asked.body).0 {
            text if text.contains("tool") => {
                Answer::Call { name: "exec", arguments: json!({ "command": "echo canary-cmd" }) }
            }
            text if text.contains("FAIL") => Answer::Refuse(400, "stub bad request"),
            _ => Answer::say("canary-answer"),
        }),
        Telegram::start(),
    );
    let gateway = Gateway::start(with_telegram(&upstream, &telegram));
    telegram.says(ADA, "canary-question tool");
    telegram.wait_shown(ADA, 1);
    let mut client = gateway.operator();
    send_and_fail(&mut client);
    gateway.wait_sent();
    let found = client.ok("diagnostics.stability", json!({}));
    let kinds: Vec<&str> =
        found["events"].as_array().expect("events").iter().filter_map(|event| event["type"].as_str()).collect();
    for kind in [
        "message.received",
        "tool.execution.completed",
        "run.completed",
        "message.delivery.completed",
        "diagnostic.memory.sample",
    ] {
        assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
    }
    assert!(!found.to_string().contains("canary"), "{found}");
    let failed = client.ok("diagnostics.stability", json!({ "type": "run.completed", "limit": 1 }));
    let event = &failed["events"][0];
    assert_eq!((&event["outcome"], &failed["count"]), (&json!("error"), &json!(2)), "{failed}");
    assert!(found["summary"]["memory"]["latest"]["rssBytes"].as_u64().is_some_and(|rss| rss > 1 << 20));
    let none = client.ok("diagnostics.stability", json!({ "type": "telemetry.exporter", "limit": 1000 }));
    assert_eq!((&none["capacity"], &none["summary"]), (&json!(16), &json!({ "byType": {} })));
    let port = gateway.addr().port().to_string();
    let told = gateway::run(
        gateway.home(),
        &["gateway", "stability", "--type", "run.completed"],
        &[("OPENCLAW_GATEWAY_PORT", &port)],
    );
    let out = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success() && out.contains("run.completed 2") && out.contains("error"), "{out}");
}

/// A turn that the provider refuses.
fn send_and_fail(client: &mut Ws) {
    client.ok("chat.send", json!({ "sessionKey": "agent:main:bad", "message": "FAIL", "idempotencyKey": "bad" }));
    client.event_where("chat", |chat| chat["state"] == "error" && chat["runId"] == "bad");
}

#[test]
fn lanes_show_what_is_at_work_and_what_waits() {
    let upstream = Upstream::script([Answer::Silent]);
    let gateway = Gateway::start(upstream.config());
    let mut client = gateway.operator();
    let idle = client.ok("diagnostics.lanes", json!({}));
    let lane = |lanes: &Value, name: &str| -> Value {
        lanes["lanes"].as_array().expect("lanes").iter().find(|lane| lane["lane"] == name).expect("a lane").clone()
    };
    assert_eq!(idle["dynamic"], Value::Null);
    let none = json!({ "lane": "main", "queuedCount": 0, "activeCount": 0, "maxConcurrent": 64, "draining": false,
        "generation": 0, "blockedBy": null });
    assert_eq!(lane(&idle, "main"), none);
    for run in ["r1", "r2", "r3"] {
        let params = json!({ "sessionKey": SESSION, "message": run, "queueMode": "followup", "idempotencyKey": run });
        client.ok("chat.send", params);
    }
    let busy = client.ok("diagnostics.lanes", json!({}));
    assert_eq!((&lane(&busy, "main")["activeCount"], &lane(&busy, "main")["queuedCount"]), (&json!(1), &json!(2)));
    assert_eq!(busy["dynamic"], json!({ "laneCount": 1, "activeCount": 1, "queuedCount": 2, "queuedLaneCount": 1 }));
}
