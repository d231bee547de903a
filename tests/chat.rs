//! Conversations: runs, their events and their order, what is kept, what happens when the gateway dies.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::talk::{SESSION, chat_state, payloads, roles, say, send};
use crate::support::upstream::{USAGE, pieces};
use crate::support::{Answer, Gateway, Upstream, Ws, golden, wait, ws};

/// The promise is 100 ms from the request to the end of the run; the rest is for a debug build on a busy machine.
const ABORT: Duration = Duration::from_secs(1);

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
    let whole = payloads(&frames, "agent").into_iter().rfind(|agent| agent["stream"] == "assistant");
    assert_eq!(whole.expect("assistant events")["data"]["text"], "Hello from upstream.");
}

#[test]
fn the_recorded_steps_of_a_message_come_in_their_order_and_shape() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let id = client.request("chat.send", json!({ "sessionKey": SESSION, "message": "hi", "idempotencyKey": "run-1" }));
    let frames = client.frames_until("the final", |frame| chat_state(frame) == Some("final"));
    plays(include_str!("golden/chat_plain.jsonl"), &id, &frames);
}

#[test]
fn the_recorded_steps_of_the_agent_method_come_in_their_order_and_shape() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let id = client.request("agent", json!({ "message": "hi", "sessionKey": SESSION, "idempotencyKey": "run-1" }));
    let frames = client
        .frames_until("the second answer", |frame| frame["id"] == id.as_str() && frame["payload"]["status"] == "ok");
    plays(include_str!("golden/agent_two_stage.jsonl"), &id, &frames);
}

#[test]
fn the_recorded_steps_of_a_run_with_a_tool_come_in_their_order_and_shape() {
    let call = Answer::Call { name: "exec", arguments: json!({ "command": "echo tool-output-42; sleep 0.3" }) };
    let upstream = Upstream::script([call, Answer::say("Tool said ok; final answer.")]);
    let gateway = Gateway::on(&upstream);
    let mut client = Ws::open(gateway.addr());
    let mut params = ws::backend(&["operator.admin", "operator.read", "operator.write"]);
    params["caps"] = json!(["tool-events"]);
    client.hello(params);
    let id = client.request("agent", json!({ "message": "use it", "sessionKey": SESSION, "idempotencyKey": "run-1" }));
    let frames = client
        .frames_until("the second answer", |frame| frame["id"] == id.as_str() && frame["payload"]["status"] == "ok");
    plays(include_str!("golden/agent_tool.jsonl"), &id, &frames);
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
    wait::until("what was said is in the history", || {
        let history = client.ok("chat.history", json!({ "sessionKey": SESSION }));
        (roles(&history) == ["user", "assistant"]).then_some(())
    });
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
fn a_conversation_over_http_and_one_over_the_socket_do_not_mix() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    say(&mut client, SESSION, "over the socket", "run-1");
    let body = json!({ "messages": [{ "role": "user", "content": "over http" }] });
    let reply = gateway.post("/v1/chat/completions", &body);
    assert_eq!(reply.status, 200);
    let history = client.ok("chat.history", json!({ "sessionKey": SESSION }));
    assert_eq!(roles(&history), ["user", "assistant"]);
    wait::until("both sessions are listed", || (client.ok("sessions.list", json!({}))["count"] == 2).then_some(()));
}

/// The recorded steps stand among the frames in the recorded order, each with at least the recorded fields.
#[track_caller]
fn plays(recording: &str, id: &str, frames: &[Value]) {
    let told: Vec<(String, &Value)> =
        frames.iter().filter_map(|frame| Some((name(frame, id)?, &frame["payload"]))).collect();
    let mut rest = told.iter();
    for line in recording.lines() {
        let row: Value = serde_json::from_str(line).expect("a recording is JSON lines");
        let found = rest.find(|(name, _)| row["step"] == name.as_str());
        let Some((name, payload)) = found else {
            let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
            panic!("{} is missing or out of order in {names:#?}", row["step"]);
        };
        let got = json!({ "step": name, "shape": golden::shape(payload) });
        golden::has(&got, &row);
    }
}

/// What a recording calls this frame; `None` for frames it leaves out.
fn name(frame: &Value, id: &str) -> Option<String> {
    let payload = &frame["payload"];
    match frame["event"].as_str() {
        Some("chat") => {
            let state = payload["state"].as_str()?;
            Some(payload["phase"].as_str().map_or(format!("chat {state}"), |phase| format!("chat {state} {phase}")))
        }
        Some("agent") => Some(format!("agent {}", step(payload))),
        Some("task") => Some(format!("task {}", payload["task"]["status"].as_str()?)),
        Some(_) => None,
        None if frame["id"] == id => Some(format!("res {}", payload["status"].as_str()?)),
        None => None,
    }
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

fn last_user(body: &Value) -> String {
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    messages.iter().rev().find(|message| message["role"] == "user").map(Value::to_string).unwrap_or_default()
}
