//! Conversations: runs, their events and their order, what is kept, what happens when something breaks.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::upstream::{USAGE, pieces};
use crate::support::{Answer, Gateway, Upstream, Ws, golden, raw, wait, ws};

/// The promise is 100 ms from the request to the end of the run; the rest is for a debug build on a busy machine.
const ABORT: Duration = Duration::from_secs(1);

const SESSION: &str = "agent:main:main";

#[test]
fn a_message_is_answered_with_its_events_in_order() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let ack = send(&mut client, SESSION, "good morning", "run-1");
    golden::has(&ack, &json!({ "runId": "run-1", "status": "started" }));
    golden::has_shape(&ack, &json!({ "serverTiming": { "receivedToAckMs": 1.5 } }));
    let frames = client.frames_until("the final", |frame| chat_state(frame) == Some("final"));
    let chats: Vec<&Value> = payloads(&frames, "chat");
    let told: String = chats.iter().filter_map(|chat| chat["deltaText"].as_str()).collect();
    assert_eq!(told, "Hello from upstream.");
    for chat in &chats {
        golden::has(chat, &json!({ "runId": "run-1", "sessionKey": SESSION, "agentId": "main" }));
    }
    let last = chats.last().expect("the final");
    golden::has(
        last,
        &json!({
            "state": "final", "stopReason": "stop",
            "message": { "role": "assistant", "content": [{ "type": "text", "text": "Hello from upstream." }] },
        }),
    );
    let steps: Vec<String> = payloads(&frames, "agent").iter().map(|agent| step(agent)).collect();
    in_order(&steps, &["lifecycle start", "lifecycle model", "assistant", "lifecycle finishing", "lifecycle end"]);
    let seqs: Vec<u64> = payloads(&frames, "agent").iter().filter_map(|agent| agent["seq"].as_u64()).collect();
    assert!(seqs.is_sorted(), "the run counts its events: {seqs:?}");
    let whole = payloads(&frames, "agent").into_iter().filter(|agent| agent["stream"] == "assistant").next_back();
    assert_eq!(whole.expect("assistant events")["data"]["text"], "Hello from upstream.");
}

#[test]
fn the_history_keeps_what_was_said() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    say(&mut client, SESSION, "good morning", "run-1");
    let history = client.ok("chat.history", json!({ "sessionKey": SESSION, "limit": 50 }));
    golden::has(
        &history,
        &json!({
            "sessionKey": SESSION, "hasMore": false,
            "messages": [
                { "role": "user", "content": "good morning", "idempotencyKey": "run-1:user" },
                {
                    "role": "assistant", "provider": "stub", "model": "stub-model", "stopReason": "stop",
                    "api": "openai-completions",
                    "content": [{ "type": "text", "text": "Hello from upstream." }],
                    "usage": { "input": USAGE.0, "output": USAGE.1, "totalTokens": USAGE.0 + USAGE.1 },
                },
            ],
        }),
    );
    golden::has_shape(
        &history,
        &json!({ "sessionId": "", "messages": [{ "timestamp": 1, "__openclaw": { "id": "", "seq": 1 } }] }),
    );
    let listed = client.ok("sessions.list", json!({}));
    golden::has(&listed, &json!({ "count": 1, "totalCount": 1, "hasMore": false }));
    golden::has(&listed["sessions"][0], &json!({ "key": SESSION, "sessionId": history["sessionId"] }));
}

#[test]
fn a_short_session_key_is_the_main_agents() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, "main", "good morning", "run-1");
    let end = client.event_where("chat", |chat| chat["state"] == "final");
    assert_eq!(end["payload"]["sessionKey"], SESSION);
}

#[test]
fn the_history_is_paged_from_its_end() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    for turn in 0..5 {
        say(&mut client, SESSION, &format!("turn {turn}"), &format!("run-{turn}"));
    }
    let page = client.ok("chat.history", json!({ "sessionKey": SESSION, "limit": 2 }));
    golden::has(&page, &json!({ "hasMore": true, "totalMessages": 10 }));
    assert_eq!(roles(&page), ["user", "assistant"]);
    assert_eq!(page["messages"][0]["content"], "turn 4");
}

#[test]
fn the_model_hears_the_earlier_turns_and_the_workspace() {
    let upstream = Upstream::friendly();
    let setup = Gateway::with(upstream.config());
    let mut first = setup.start();
    for (name, text) in [("AGENTS.md", "workspace-rule-7741"), ("SOUL.md", "soul-line-5120"), ("USER.md", "user-9903")]
    {
        std::fs::write(first.workspace().join(name), text).expect("write a workspace file");
    }
    assert!(first.stop().success());
    let gateway = Gateway::with(upstream.config()).home(first.kill()).start();
    let mut client = gateway.operator();
    say(&mut client, SESSION, "my name is Ada", "run-1");
    say(&mut client, SESSION, "what is my name?", "run-2");
    let asked = upstream.wait_asked(2);
    let second = &asked[1].body;
    assert_eq!(second["model"], "stub-model");
    assert_eq!(second["stream"], true);
    let roles: Vec<&str> = second["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .filter_map(|message| message["role"].as_str())
        .collect();
    assert_eq!(&roles[..1], ["system"]);
    assert_eq!(&roles[1..], ["user", "assistant", "user"]);
    let system = second["messages"][0].to_string();
    for line in ["workspace-rule-7741", "soul-line-5120", "user-9903"] {
        assert!(system.contains(line), "{line} is not in the system prompt");
    }
    assert!(second["messages"][1].to_string().contains("my name is Ada"));
    let auth = asked[0].headers.iter().find(|(name, _)| name == "authorization").map(|(_, value)| value.as_str());
    assert_eq!(auth, Some("Bearer sk-upstream-canary-5fb1"));
    assert!(!gateway.log().contains("canary"), "the key is in the log");
}

#[test]
fn the_same_key_is_the_same_run() {
    let upstream = Upstream::script([Answer::Hold(pieces("one "), pieces("two")), Answer::say("never")]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, SESSION, "hello", "run-1");
    client.event_where("chat", |chat| chat["state"] == "delta");
    golden::has(&send(&mut client, SESSION, "hello", "run-1"), &json!({ "runId": "run-1", "status": "in_flight" }));
    upstream.release();
    client.event_where("chat", |chat| chat["state"] == "final");
    golden::has(&send(&mut client, SESSION, "hello", "run-1"), &json!({ "runId": "run-1", "status": "ok" }));
    assert_eq!(upstream.asked().len(), 1);
    let history = client.ok("chat.history", json!({ "sessionKey": SESSION }));
    assert_eq!(roles(&history), ["user", "assistant"]);
}

#[test]
fn runs_of_one_session_wait_for_each_other_and_other_sessions_do_not() {
    let upstream = Upstream::by(|asked| {
        let text = last_user(&asked.body);
        if text.contains("first") { Answer::Hold(pieces("held "), pieces("on")) } else { Answer::say("at once") }
    });
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, "agent:main:a", "first", "run-a1");
    upstream.wait_asked(1);
    send(&mut client, "agent:main:a", "second", "run-a2");
    send(&mut client, "agent:main:b", "other", "run-b1");
    let end = client.event_where("chat", |chat| chat["state"] == "final");
    assert_eq!(end["payload"]["runId"], "run-b1", "another session is served meanwhile");
    assert_eq!(upstream.asked().len(), 2, "the second message of the session waits");
    upstream.release();
    for run in ["run-a1", "run-a2"] {
        let end = client.event_where("chat", |chat| chat["state"] == "final");
        assert_eq!(end["payload"]["runId"], run);
    }
    let history = client.ok("chat.history", json!({ "sessionKey": "agent:main:a" }));
    let texts: Vec<String> = history["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|message| message["content"].to_string())
        .collect();
    assert_eq!(texts.len(), 4, "{texts:?}");
    assert!(texts[0].contains("first") && texts[1].contains("held on"), "{texts:?}");
    assert!(texts[2].contains("second") && texts[3].contains("at once"), "{texts:?}");
}

#[test]
fn an_abort_ends_a_run_whose_upstream_is_silent() {
    let upstream = Upstream::script([Answer::Silent, Answer::say("here again")]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, SESSION, "hello", "run-1");
    upstream.wait_asked(1);
    let began = Instant::now();
    let id = client.request("chat.abort", json!({ "sessionKey": SESSION, "runId": "run-1" }));
    let frames = client.frames_until("the answer to the abort", |frame| frame["id"] == id.as_str());
    assert!(began.elapsed() < ABORT, "it took {:?}", began.elapsed());
    let answer = frames.last().expect("the answer");
    golden::same(&answer["payload"], &json!({ "ok": true, "aborted": true, "runIds": ["run-1"] }));
    let aborted = payloads(&frames, "chat").into_iter().find(|chat| chat["state"] == "aborted");
    let aborted = aborted.expect("chat aborted comes before the answer");
    golden::has(aborted, &json!({ "runId": "run-1", "stopReason": "rpc" }));
    let left = upstream.left(0, ABORT).expect("the upstream call is given up");
    assert!(left.duration_since(began) < ABORT);
    let nothing = client.ok("chat.abort", json!({ "sessionKey": SESSION }));
    golden::same(&nothing, &json!({ "ok": true, "aborted": false, "runIds": [] }));
    say(&mut client, SESSION, "still there?", "run-2");
}

#[test]
fn an_abort_keeps_what_was_said_so_far() {
    let upstream = Upstream::script([Answer::Stall(pieces("one two "))]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, SESSION, "count", "run-1");
    client.event_where("chat", |chat| chat["state"] == "delta");
    client.ok("chat.abort", json!({ "sessionKey": SESSION }));
    let aborted = client.event_where("chat", |chat| chat["state"] == "aborted");
    let text = aborted["payload"]["message"]["content"][0]["text"].as_str().expect("the partial text").to_owned();
    assert!("one two ".starts_with(text.trim_end()) && !text.is_empty(), "{text:?}");
    let end = client.event_where("agent", |agent| agent["stream"] == "lifecycle" && agent["data"]["phase"] == "end");
    golden::has(&end["payload"]["data"], &json!({ "status": "cancelled", "aborted": true, "stopReason": "rpc" }));
    let history = client.ok("chat.history", json!({ "sessionKey": SESSION }));
    assert_eq!(roles(&history), ["user", "assistant"]);
}

#[test]
fn the_agent_method_answers_twice() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let params = json!({ "message": "hello", "sessionKey": "agent:main:rpc", "idempotencyKey": "run-1" });
    let id = client.request("agent", params.clone());
    let accepted = client.response(&id).expect("accepted");
    golden::has(
        &accepted,
        &json!({ "runId": "run-1", "sessionKey": "agent:main:rpc", "agentId": "main", "status": "accepted" }),
    );
    golden::has_shape(&accepted, &json!({ "acceptedAt": 1 }));
    let done = client.response(&id).expect("the final answer");
    golden::has(
        &done,
        &json!({
            "runId": "run-1", "status": "ok", "summary": "completed",
            "result": { "payloads": [{ "text": "Hello from upstream." }] },
        }),
    );
    golden::has_shape(&done, &json!({ "result": { "meta": { "durationMs": 1, "agentMeta": {} } } }));
    let again = client.ok("agent", params);
    golden::has(&again, &json!({ "runId": "run-1", "status": "ok", "summary": "completed" }));
    assert_eq!(upstream.asked().len(), 1, "the same key runs once");
}

#[test]
fn a_run_can_be_waited_for() {
    let upstream = Upstream::script([Answer::Hold(pieces("slow "), pieces("answer"))]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, SESSION, "hello", "run-1");
    upstream.wait_asked(1);
    let early = client.ok("agent.wait", json!({ "runId": "run-1", "timeoutMs": 50 }));
    golden::has(&early, &json!({ "runId": "run-1", "status": "timeout" }));
    let id = client.request("agent.wait", json!({ "runId": "run-1", "timeoutMs": 15000 }));
    upstream.release();
    let done = client.response(&id).expect("the end of the run");
    golden::has(&done, &json!({ "runId": "run-1", "status": "ok", "stopReason": "stop" }));
    golden::has(&done, &json!({ "terminalReply": { "text": "slow answer" } }));
    golden::has_shape(&done, &json!({ "endedAt": 1 }));
    let late = client.ok("agent.wait", json!({ "runId": "run-1", "timeoutMs": 50 }));
    golden::has(&late, &json!({ "status": "ok" }));
}

#[test]
fn a_tool_runs_between_two_calls_of_the_model() {
    let upstream = Upstream::script([
        Answer::Call { name: "exec", arguments: json!({ "command": "echo tool-output-42" }) },
        Answer::say("The tool said 42."),
    ]);
    let gateway = Gateway::on(&upstream);
    let mut client = Ws::open(gateway.addr());
    let mut params = ws::backend(&["operator.admin"]);
    params["caps"] = json!(["tool-events"]);
    client.hello(params);
    send(&mut client, SESSION, "use a tool", "run-1");
    let frames = client.frames_until("the final", |frame| chat_state(frame) == Some("final"));
    let tools: Vec<&str> = payloads(&frames, "agent")
        .into_iter()
        .filter(|agent| agent["stream"] == "tool")
        .filter_map(|agent| agent["data"]["phase"].as_str())
        .collect();
    assert_eq!((tools.first(), tools.last()), (Some(&"start"), Some(&"result")), "{tools:?}");
    let asked = upstream.wait_asked(2);
    let offered = asked[0].body["tools"].to_string();
    for tool in ["read", "write", "edit", "exec", "session_status"] {
        assert!(offered.contains(&format!("\"name\":\"{tool}\"")), "{tool} is offered");
    }
    let sent_back = asked[1].body["messages"].as_array().expect("messages").last().expect("a message").to_string();
    assert!(sent_back.contains("tool-output-42") && sent_back.contains("\"role\":\"tool\""), "{sent_back}");
    let history = client.ok("chat.history", json!({ "sessionKey": SESSION }));
    assert_eq!(roles(&history), ["user", "assistant", "toolResult", "assistant"]);
    golden::has(&history["messages"][2], &json!({ "toolName": "exec", "isError": false }));
}

#[test]
fn files_are_written_edited_and_read_in_the_workspace() {
    let upstream = Upstream::script([
        Answer::Call { name: "write", arguments: json!({ "path": "notes/day.txt", "content": "old line\n" }) },
        Answer::Call {
            name: "edit",
            arguments: json!({ "path": "notes/day.txt", "oldText": "old", "newText": "new" }),
        },
        Answer::Call { name: "read", arguments: json!({ "path": "notes/day.txt" }) },
        Answer::say("done"),
    ]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    say(&mut client, SESSION, "keep a note", "run-1");
    let text = std::fs::read_to_string(gateway.workspace().join("notes/day.txt")).expect("the file is there");
    assert_eq!(text, "new line\n");
    let asked = upstream.wait_asked(4);
    let read = asked[3].body["messages"].as_array().expect("messages").last().expect("a message").to_string();
    assert!(read.contains("new line"), "{read}");
}

#[test]
fn a_denied_tool_is_not_offered_and_not_run() {
    let upstream = Upstream::script([
        Answer::Call { name: "exec", arguments: json!({ "command": "touch forbidden" }) },
        Answer::say("I could not."),
    ]);
    let gateway = Gateway::start(upstream.config_and(json!({ "tools": { "deny": ["exec"] } })));
    let mut client = gateway.operator();
    say(&mut client, SESSION, "try", "run-1");
    let asked = upstream.wait_asked(2);
    assert!(!asked[0].body["tools"].to_string().contains("\"name\":\"exec\""));
    assert!(!gateway.workspace().join("forbidden").exists());
    assert!(asked[1].body["messages"].to_string().contains("exec"), "the model is told");
}

#[test]
fn a_command_that_runs_too_long_or_says_too_much_is_cut() {
    let upstream = Upstream::script([
        Answer::Call { name: "exec", arguments: json!({ "command": "sleep 600", "timeout": 1 }) },
        Answer::Call { name: "exec", arguments: json!({ "command": "yes | head -c 20000000" }) },
        Answer::say("done"),
    ]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    say(&mut client, SESSION, "go", "run-1");
    let asked = upstream.wait_asked(3);
    let last =
        |index: usize| asked[index].body["messages"].as_array().expect("messages").last().expect("one").to_string();
    assert!(last(1).contains("time"), "{}", last(1));
    assert!(last(2).len() < 1_000_000, "{} bytes came back", last(2).len());
}

#[test]
fn a_busy_upstream_is_asked_again() {
    let upstream = Upstream::script([
        Answer::Refuse(429, "slow down"),
        Answer::Refuse(503, "not now"),
        Answer::say("third time lucky"),
    ]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, SESSION, "hello", "run-1");
    let frames = client.frames_until("the final", |frame| chat_state(frame) == Some("final"));
    let retries = payloads(&frames, "agent")
        .into_iter()
        .filter(|agent| agent["stream"] == "run_status" && agent["data"]["phase"] == "retrying")
        .count();
    assert_eq!(retries, 2, "each retry is told");
    assert_eq!(upstream.asked().len(), 3);
}

#[test]
fn a_refusal_that_will_not_change_is_told_at_once() {
    let upstream = Upstream::script([Answer::Refuse(400, "stub bad request")]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, SESSION, "hello", "run-1");
    let error = client.event_where("chat", |chat| chat["state"] == "error");
    golden::has(&error["payload"], &json!({ "runId": "run-1", "state": "error" }));
    assert!(!error["payload"]["errorMessage"].as_str().expect("a message").is_empty());
    assert_eq!(upstream.asked().len(), 1);
}

#[test]
fn the_agent_methods_second_answer_is_an_error_when_the_model_fails() {
    let upstream = Upstream::script([Answer::Refuse(400, "stub bad request")]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let id = client.request("agent", json!({ "message": "hi", "sessionKey": SESSION, "idempotencyKey": "run-1" }));
    golden::has(&client.response(&id).expect("accepted"), &json!({ "status": "accepted" }));
    let error = client.response(&id).expect_err("the failure");
    assert_eq!(error["code"], "UNAVAILABLE", "{error:#}");
    assert!(!error["message"].as_str().expect("a message").is_empty());
}

#[test]
fn the_next_model_is_asked_when_the_first_one_fails() {
    let broken = Upstream::script([Answer::Refuse(400, "no such model")]);
    let sound = Upstream::script([Answer::say("the second one answers")]);
    let config = json!({
        "agents": { "defaults": { "model": { "primary": "broken/stub-model", "fallbacks": ["sound/stub-model"] } } },
        "models": { "providers": {
            "broken": broken.provider("openai-completions"),
            "sound": sound.provider("openai-completions"),
        } },
    });
    let gateway = Gateway::start(config);
    let mut client = gateway.operator();
    send(&mut client, SESSION, "hello", "run-1");
    let frames = client.frames_until("the final", |frame| chat_state(frame) == Some("final"));
    let text = &payloads(&frames, "chat").pop().expect("the final")["message"]["content"][0]["text"];
    assert_eq!(text, "the second one answers");
    let history = client.ok("chat.history", json!({ "sessionKey": SESSION }));
    golden::has(&history["messages"][1], &json!({ "provider": "sound" }));
}

#[test]
fn an_upstream_that_dies_in_the_middle_is_not_asked_again() {
    for answer in [Answer::Die(pieces("half an ")), Answer::Rubbish] {
        let upstream = Upstream::script([answer, Answer::say("whole again")]);
        let gateway = Gateway::on(&upstream);
        let mut client = gateway.operator();
        send(&mut client, SESSION, "hello", "run-1");
        let error = client.event_where("chat", |chat| chat["state"] == "error");
        assert!(!error["payload"]["errorMessage"].as_str().expect("a message").is_empty());
        assert_eq!(upstream.asked().len(), 1);
        say(&mut client, SESSION, "again", "run-2");
    }
}

#[test]
fn a_run_ends_at_its_own_deadline_when_the_upstream_stalls() {
    for answer in [Answer::Silent, Answer::Stall(pieces("a beginning "))] {
        let upstream = Upstream::script([answer]);
        let gateway = Gateway::on(&upstream);
        let mut client = gateway.operator();
        let params = json!({ "message": "hi", "sessionKey": SESSION, "idempotencyKey": "run-1", "timeout": 1 });
        let id = client.request("agent", params);
        client.response(&id).expect("accepted");
        let end = client.response(&id);
        let text = format!("{end:?}");
        assert!(text.contains("time"), "the end says that time ran out: {text}");
        upstream.left(0, ABORT).expect("the upstream call is given up");
    }
}

#[test]
fn nobody_at_the_upstreams_address_is_a_clear_error() {
    let gone = Upstream::friendly();
    let mut config = gone.config();
    // A port of our own that nobody listens on.
    let port = crate::support::gateway::free_port();
    config["models"]["providers"]["stub"]["baseUrl"] = json!(format!("http://127.0.0.1:{port}/v1"));
    let gateway = Gateway::start(config);
    let mut client = gateway.operator();
    send(&mut client, SESSION, "hello", "run-1");
    let error = client.event_where("chat", |chat| chat["state"] == "error");
    let message = error["payload"]["errorMessage"].as_str().expect("a message").to_owned();
    assert!(message.contains("refused") || message.contains("connect"), "{message}");
}

#[test]
fn a_killed_gateway_remembers_the_message_it_acknowledged() {
    let upstream = Upstream::script([Answer::Stall(pieces("half ")), Answer::say("whole")]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, SESSION, "do not forget me", "run-1");
    client.event_where("chat", |chat| chat["state"] == "delta");
    let home = gateway.kill();
    let gateway = Gateway::with(upstream.config()).home(home).start();
    let mut client = gateway.operator();
    let history = client.ok("chat.history", json!({ "sessionKey": SESSION }));
    assert_eq!(history["messages"][0]["content"], "do not forget me");
    say(&mut client, SESSION, "and now?", "run-2");
    let last = upstream.asked().pop().expect("the second run asked");
    assert!(last.body["messages"].to_string().contains("do not forget me"), "the model hears it, too");
}

#[test]
fn a_killed_gateway_loses_nothing_it_acknowledged_at_once() {
    let upstream = Upstream::script([Answer::Silent]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    for n in 0..20 {
        send(&mut client, &format!("agent:main:s{n}"), "keep me", &format!("run-{n}"));
    }
    let gateway = Gateway::with(upstream.config()).home(gateway.kill()).start();
    let mut client = gateway.operator();
    for n in 0..20 {
        let history = client.ok("chat.history", json!({ "sessionKey": format!("agent:main:s{n}") }));
        assert_eq!(history["messages"][0]["content"], "keep me", "session {n}");
    }
}

#[test]
fn readers_watch_and_strangers_hear_nothing() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let mut reader = Ws::open(gateway.addr());
    reader.hello(ws::backend(&["operator.read"]));
    let mut stranger = Ws::open(gateway.addr());
    stranger.hello(ws::connect("test", "test", &[]));
    say(&mut client, SESSION, "hello", "run-1");
    reader.event_where("chat", |chat| chat["state"] == "final");
    assert!(!reader.seen("agent").is_empty());
    for event in ["agent", "chat", "presence", "sessions.changed"] {
        assert!(stranger.so_far().iter().all(|frame| frame["event"] != event), "{event} went to a stranger");
    }
}

#[test]
fn anthropic_speaks_too() {
    let upstream = Upstream::script([
        Answer::Call { name: "exec", arguments: json!({ "command": "echo tool-output-42" }) },
        Answer::say("The tool said 42."),
    ]);
    let config = json!({
        "agents": { "defaults": { "model": { "primary": "claude/stub-model" } } },
        "models": { "providers": { "claude": upstream.provider("anthropic-messages") } },
    });
    let gateway = Gateway::start(config);
    let mut client = gateway.operator();
    say(&mut client, SESSION, "use a tool", "run-1");
    let asked = upstream.wait_asked(2);
    assert!(asked[0].path.ends_with("/v1/messages"), "{}", asked[0].path);
    let key = asked[0].headers.iter().find(|(name, _)| name == "x-api-key").map(|(_, value)| value.as_str());
    assert_eq!(key, Some("sk-upstream-canary-5fb1"));
    assert!(asked[1].body["messages"].to_string().contains("tool-output-42"));
    let history = client.ok("chat.history", json!({ "sessionKey": SESSION }));
    assert_eq!(roles(&history), ["user", "assistant", "toolResult", "assistant"]);
    golden::has(&history["messages"][3], &json!({ "api": "anthropic-messages", "usage": { "output": USAGE.1 } }));
}

#[test]
fn without_a_provider_the_built_in_model_answers_from_live_data() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let models = client.ok("models.list", json!({}));
    assert!(models["models"].to_string().contains("local"), "{models:#}");
    send(&mut client, SESSION, "How many sessions are there, and how do I add a real provider?", "run-1");
    let end = client.event_where("chat", |chat| chat["state"] == "final");
    let text = end["payload"]["message"]["content"][0]["text"].as_str().expect("an answer").to_owned();
    assert!(text.contains("provider"), "{text}");
    let mut streamed = client.take_backlog();
    streamed.retain(|frame| chat_state(frame) == Some("delta"));
    assert!(!streamed.is_empty(), "it streams like any other model");
    let reply = gateway.post("/v1/chat/completions", &json!({ "messages": [{ "role": "user", "content": "status" }] }));
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn the_models_list_names_the_configured_ones() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let models = gateway.operator().ok("models.list", json!({}));
    let row = models["models"].as_array().expect("models").iter().find(|model| model["id"] == "stub-model");
    golden::has(
        row.expect("the configured model"),
        &json!({
            "id": "stub-model", "name": "Stub Model", "provider": "stub", "contextWindow": 128000,
            "reasoning": false, "available": true,
        }),
    );
}

#[test]
fn the_command_line_holds_a_conversation() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let port = gateway.port.to_string();
    let env = [("OPENCLAW_GATEWAY_PORT", port.as_str())];
    let run = |args: &[&str]| {
        let output = crate::support::gateway::run(gateway.home(), args, &env);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "openclaw {args:?}: {output:?}");
        text
    };
    assert!(run(&["agent", "--message", "hello", "--session-key", "cli"]).contains("Hello from upstream."));
    for args in [
        &["gateway", "call", "health", "--params", "{}", "--json"][..],
        &["gateway", "health", "--json"],
        &["gateway", "status", "--json", "--require-rpc"],
        &["health", "--json"],
        &["status", "--json"],
        &["sessions", "--json"],
        &["models", "list", "--json"],
        &["channels", "status", "--json"],
        &["agent", "--message", "hello again", "--json"],
    ] {
        let text = run(args);
        let parsed: Result<Value, _> = serde_json::from_str(&text);
        assert!(parsed.is_ok(), "openclaw {args:?} printed more than JSON: {text}");
    }
    assert!(run(&["sessions"]).contains("agent:main:cli"));
    assert!(run(&["gateway", "status"]).contains("Connectivity probe: ok"));
    assert!(!run(&["logs"]).is_empty());
}

#[test]
fn the_command_line_says_when_nobody_answers() {
    let home = crate::support::scratch::Scratch::new();
    let port = crate::support::gateway::free_port().to_string();
    let env = [("OPENCLAW_GATEWAY_PORT", port.as_str()), ("OPENCLAW_GATEWAY_TOKEN", "x-0123456789abcdef0123456789")];
    let output = crate::support::gateway::run(home.path(), &["gateway", "health", "--timeout", "2000"], &env);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "diagnostics go to stderr: {output:?}");
    assert!(!output.stderr.is_empty());
}

#[test]
fn a_conversation_over_http_and_one_over_the_socket_do_not_mix() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    say(&mut client, SESSION, "over the socket", "run-1");
    let body = json!({ "messages": [{ "role": "user", "content": "over http" }] });
    let reply = raw::post(
        gateway.addr(),
        "/v1/chat/completions",
        &[("Authorization", &crate::support::gateway::bearer())],
        &body,
    );
    assert_eq!(reply.status, 200);
    let history = client.ok("chat.history", json!({ "sessionKey": SESSION }));
    assert_eq!(roles(&history), ["user", "assistant"]);
    wait::until("both sessions are listed", || (client.ok("sessions.list", json!({}))["count"] == 2).then_some(()));
}

/// Sends a message and gives the acknowledgement.
#[track_caller]
fn send(client: &mut Ws, session: &str, message: &str, run: &str) -> Value {
    client.ok("chat.send", json!({ "sessionKey": session, "message": message, "idempotencyKey": run }))
}

/// Sends a message and waits for its final event.
#[track_caller]
fn say(client: &mut Ws, session: &str, message: &str, run: &str) {
    send(client, session, message, run);
    client.event_where("chat", |chat| chat["state"] == "final" && chat["runId"] == run);
}

fn chat_state(frame: &Value) -> Option<&str> {
    (frame["event"] == "chat").then(|| frame["payload"]["state"].as_str()).flatten()
}

fn payloads<'a>(frames: &'a [Value], event: &str) -> Vec<&'a Value> {
    frames.iter().filter(|frame| frame["event"] == event).map(|frame| &frame["payload"]).collect()
}

/// Stream and phase of an agent event.
fn step(agent: &Value) -> String {
    let stream = agent["stream"].as_str().unwrap_or_default();
    agent["data"]["phase"].as_str().map_or_else(|| stream.to_owned(), |phase| format!("{stream} {phase}"))
}

/// The wanted steps stand in the list in this order, whatever lies between.
#[track_caller]
fn in_order(steps: &[String], wanted: &[&str]) {
    let mut rest = steps.iter();
    for step in wanted {
        assert!(rest.any(|found| found == step), "{step} is missing or out of order in {steps:#?}");
    }
}

fn roles(history: &Value) -> Vec<&str> {
    history["messages"].as_array().expect("messages").iter().filter_map(|message| message["role"].as_str()).collect()
}

fn last_user(body: &Value) -> String {
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    messages.iter().rev().find(|message| message["role"] == "user").map(Value::to_string).unwrap_or_default()
}
