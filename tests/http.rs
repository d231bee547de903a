//! The HTTP side of the port: probes, models, chat completions, and how a client that leaves is noticed.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::gateway::{TOKEN, bearer};
use crate::support::raw::{self, Reply, sse_data};
use crate::support::upstream::{Asked, USAGE, pieces};
use crate::support::{Answer, Gateway, Raw, Upstream, golden};

/// From the moment a client leaves to the end of the upstream call made for it.
const NOTICED: Duration = Duration::from_secs(1);

const COMPLETIONS: &str = "/v1/chat/completions";

#[test]
fn liveness_needs_no_secret() {
    let gateway = Gateway::start(json!({}));
    for path in ["/health", "/healthz"] {
        let reply = gateway.get(path);
        assert_eq!((reply.status, reply.text().as_str()), (200, r#"{"ok":true,"status":"live"}"#));
        assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn readiness_and_startup_tell_their_details_at_home() {
    let gateway = Gateway::start(json!({}));
    for path in ["/ready", "/readyz"] {
        let reply = gateway.get(path);
        assert_eq!(reply.status, 200);
        golden::has(&reply.json(), &json!({ "ready": true, "failing": [] }));
        golden::has_shape(&reply.json(), &json!({ "uptimeMs": 1 }));
    }
    for path in ["/startup", "/startupz"] {
        let reply = gateway.get(path);
        assert_eq!(reply.status, 200);
        golden::has(&reply.json(), &json!({ "ok": true, "status": "started" }));
        golden::has_shape(&reply.json(), &json!({ "version": "", "uptimeMs": 1 }));
    }
}

#[test]
fn probes_answer_head_and_refuse_the_rest() {
    let gateway = Gateway::start(json!({}));
    let head = raw::request(gateway.addr(), "HEAD", "/healthz", &[], b"");
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), Some("27"), "as long as the body it stands for");
    for method in ["POST", "OPTIONS", "PUT", "DELETE"] {
        let reply = raw::request(gateway.addr(), method, "/health", &[], b"{}");
        assert_eq!((reply.status, reply.text().as_str()), (405, "Method Not Allowed"), "{method}");
        assert_eq!(reply.header("allow"), Some("GET, HEAD"), "{method}");
    }
    for path in ["/health/", "/healthz/x"] {
        let reply = gateway.get(path);
        assert_eq!((reply.status, reply.text().as_str()), (404, "Not Found"), "{path}");
    }
}

#[test]
fn every_answer_carries_the_protective_headers() {
    let gateway = Gateway::start(json!({}));
    for path in ["/healthz", "/v1/models", "/v1/nope", "/api/nope"] {
        let reply = gateway.get(path);
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert!(reply.header("permissions-policy").is_some(), "{path}");
        assert!(reply.headers.iter().all(|(name, _)| !name.starts_with("access-control-")), "{path}");
    }
}

#[test]
fn a_connection_serves_one_request_after_another() {
    let gateway = Gateway::start(json!({}));
    let mut socket = Raw::open(gateway.addr());
    for _ in 0..3 {
        socket.send(raw::request_bytes("GET", "/healthz", &[], b""));
        assert_eq!(socket.reply().status, 200);
    }
    socket.send(raw::request_bytes("GET", "/healthz", &[("Connection", "close")], b""));
    let reply = socket.reply();
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert!(socket.rest().is_empty());
}

#[test]
fn requests_sent_at_once_are_answered_in_order() {
    let gateway = Gateway::start(json!({}));
    let mut socket = Raw::open(gateway.addr());
    let all = ["/healthz", "/v1/nope", "/healthz"].map(|path| raw::request_bytes("GET", path, &[], b"")).concat();
    socket.send(all);
    assert_eq!([socket.reply().status, socket.reply().status, socket.reply().status], [200, 404, 200]);
}

#[test]
fn the_models_are_the_agents() {
    let gateway = Gateway::start(json!({}));
    let model =
        |id: &str| json!({ "id": id, "object": "model", "created": 0, "owned_by": "openclaw", "permission": [] });
    let list = gateway.get_with_token("/v1/models");
    assert_eq!(list.status, 200);
    let ids = ["openclaw", "openclaw/default", "openclaw/main"];
    golden::same(&list.json(), &json!({ "object": "list", "data": ids.map(model) }));
    for (path, id) in [
        ("openclaw", "openclaw"),
        ("openclaw/default", "openclaw/default"),
        ("openclaw%2Fdefault", "openclaw/default"),
        ("openclaw%2Fmain", "openclaw/main"),
    ] {
        let reply = gateway.get_with_token(&format!("/v1/models/{path}"));
        assert_eq!(reply.status, 200, "{path}");
        golden::same(&reply.json(), &model(id));
    }
    refused(&gateway.get_with_token("/v1/models/nope"), 400, "invalid_request_error", "Invalid model id.");
    for name in ["openclaw/nope", "openclaw:main", "agent:nope"] {
        let reply = gateway.get_with_token(&format!("/v1/models/{name}"));
        refused(&reply, 404, "invalid_request_error", &format!("Model '{name}' not found."));
    }
    refused(&gateway.get_with_token("/v1/models/openclaw%2F..%2Fx"), 400, "invalid_request_error", "Invalid model id.");
    refused(&gateway.get_with_token("/v1/models/"), 400, "invalid_request_error", "Missing model id.");
}

#[test]
fn the_secret_is_taken_as_a_bearer_and_in_no_other_way() {
    let gateway = Gateway::start(json!({}));
    let models = |headers: &[(&str, &str)], path: &str| raw::get(gateway.addr(), path, headers);
    for auth in [bearer(), format!("bearer {TOKEN}"), format!("BEARER {TOKEN}")] {
        assert_eq!(models(&[("Authorization", &auth)], "/v1/models").status, 200, "{auth}");
    }
    let basic = format!("Basic {TOKEN}");
    let query = format!("/v1/models?token={TOKEN}");
    let prefix = format!("Bearer {}", &TOKEN[..TOKEN.len() - 1]);
    for reply in [
        models(&[], "/v1/models"),
        models(&[("Authorization", "Bearer wrong")], "/v1/models"),
        models(&[("Authorization", "Bearer ")], "/v1/models"),
        models(&[("Authorization", &prefix)], "/v1/models"),
        models(&[("Authorization", &basic)], "/v1/models"),
        models(&[("X-Api-Key", TOKEN)], "/v1/models"),
        models(&[], &query),
    ] {
        refused(&reply, 401, "unauthorized", "Unauthorized");
    }
    assert!(!gateway.log().contains(TOKEN), "the secret is in the log");
}

#[test]
fn a_forwarded_request_from_an_untrusted_peer_is_refused() {
    let gateway = Gateway::start(json!({}));
    for header in ["X-Forwarded-For", "Forwarded", "X-Real-IP"] {
        let reply = raw::get(gateway.addr(), "/v1/models", &[("Authorization", &bearer()), (header, "1.2.3.4")]);
        assert_eq!(reply.status, 403, "{header}");
        assert_eq!(reply.json()["error"]["type"], "proxy_attribution_required", "{header}");
    }
}

#[test]
fn wrong_methods_and_unknown_routes_say_so_in_plain_text() {
    let gateway = Gateway::start(json!({}));
    let ask =
        |method: &str, path: &str| raw::request(gateway.addr(), method, path, &[("Authorization", &bearer())], b"");
    for (method, path, allow) in
        [("POST", "/v1/models", "GET"), ("OPTIONS", "/v1/models", "GET"), ("GET", COMPLETIONS, "POST")]
    {
        let reply = ask(method, path);
        assert_eq!((reply.status, reply.text().as_str()), (405, "Method Not Allowed"), "{method} {path}");
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
        assert!(reply.header("allow").is_some_and(|allowed| allowed.contains(allow)), "{method} {path}");
    }
    for (method, path) in [("POST", "/v1/completions"), ("GET", "/v1/nope"), ("GET", "/api/nope"), ("POST", "/")] {
        let reply = ask(method, path);
        assert_eq!((reply.status, reply.text().as_str()), (404, "Not Found"), "{method} {path}");
    }
}

#[test]
fn a_disabled_endpoint_is_not_there() {
    let gateway =
        Gateway::start(json!({ "gateway": { "http": { "endpoints": { "chatCompletions": { "enabled": false } } } } }));
    let reply = gateway.post(COMPLETIONS, &ask("hello"));
    assert_eq!(reply.status, 404, "{}", reply.text());
}

#[test]
fn a_completion_comes_whole() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    for model in ["openclaw", "openclaw/default", "openclaw/main", "openclaw:main", "agent:main"] {
        let reply = gateway.post(COMPLETIONS, &json!({ "model": model, "messages": [user("hello")] }));
        assert_eq!(reply.status, 200, "{model}: {}", reply.text());
        assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));
        let body = reply.json();
        golden::has(
            &body,
            &json!({
                "object": "chat.completion", "model": model,
                "choices": [{
                    "index": 0, "finish_reason": "stop",
                    "message": { "role": "assistant", "content": "Hello from upstream." },
                }],
                "usage": usage(),
            }),
        );
        let id = body["id"].as_str().expect("an id");
        assert!(id.starts_with("chatcmpl_") && id.len() == "chatcmpl_".len() + 36, "{id}");
        assert!(body["created"].as_u64() > Some(1_700_000_000), "seconds, not milliseconds");
    }
    let reply = gateway.post(COMPLETIONS, &ask("no model named"));
    assert_eq!(reply.json()["model"], "openclaw");
}

#[test]
fn a_completion_comes_in_pieces() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let reply = gateway.post(COMPLETIONS, &streamed("hello"));
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(reply.header("cache-control"), Some("no-cache"));
    let events = reply.sse();
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    let chunks = parsed(&events);
    golden::has(
        &chunks[0],
        &json!({
            "object": "chat.completion.chunk", "model": "openclaw",
            "choices": [{ "index": 0, "delta": { "role": "assistant" }, "finish_reason": null }],
        }),
    );
    assert_eq!(content(&chunks), "Hello from upstream.");
    golden::has(chunks.last().expect("chunks"), &json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] }));
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]), "one id for all");
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none_or(Value::is_null)), "no usage unasked");
}

#[test]
fn the_usage_comes_last_when_asked_for() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut body = streamed("hello");
    body["stream_options"] = json!({ "include_usage": true });
    let chunks = parsed(&gateway.post(COMPLETIONS, &body).sse());
    golden::has(chunks.last().expect("chunks"), &json!({ "choices": [], "usage": usage() }));
}

#[test]
fn each_piece_is_sent_when_it_comes() {
    let upstream = Upstream::script([Answer::Hold(pieces("first "), pieces("second"))]);
    let gateway = Gateway::on(&upstream);
    let mut socket = post(&gateway, &streamed("hello"));
    assert_eq!(socket.head().status, 200);
    let mut text = String::new();
    while !text.contains("first ") {
        text.push_str(&String::from_utf8(chunk(&mut socket)).expect("text"));
    }
    assert!(!text.contains("second"), "the upstream has not said it yet");
    upstream.release();
    while !text.contains("[DONE]") {
        text.push_str(&String::from_utf8(chunk(&mut socket)).expect("text"));
    }
    assert_eq!(content(&parsed(&sse_data(&text))), "first second");
}

#[test]
fn bad_requests_are_answered_in_the_shape_of_openai() {
    let gateway = Gateway::start(json!({}));
    let invalid = |body: Value, words: &str| {
        refused(&gateway.post(COMPLETIONS, &body), 400, "invalid_request_error", words);
    };
    let with = |key: &str, value: Value| {
        let mut body = ask("hello");
        body[key] = value;
        body
    };
    invalid(json!({}), "Missing user message in `messages`.");
    invalid(json!({ "model": "openclaw", "messages": [] }), "Missing user message in `messages`.");
    invalid(with("model", json!("gpt-4")), "Invalid `model`. Use `openclaw` or `openclaw/<agentId>`.");
    invalid(with("model", json!("openclaw/nope")), "Unknown agent 'nope'.");
    invalid(with("temperature", json!(9)), "`temperature` must be between 0 and 2.");
    invalid(with("max_tokens", json!(0)), "max_tokens: Too small: expected number to be >0");
    invalid(with("tools", json!("x")), "tools: Invalid input: expected array, received string");
    let image =
        json!([{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "http://x/y.png" } }] }]);
    invalid(with("messages", image), "Invalid image_url content in `messages`.");
    let headers = [("Authorization", &*bearer()), ("Content-Type", "application/json")];
    for body in ["{bad json", "[]", "\"text\""] {
        let reply = raw::request(gateway.addr(), "POST", COMPLETIONS, &headers, body.as_bytes());
        assert_eq!(reply.status, 400, "{body}");
        assert_eq!(reply.json()["error"]["type"], "invalid_request_error", "{body}");
    }
    refused(&raw::post(gateway.addr(), COMPLETIONS, &[], &ask("hello")), 401, "unauthorized", "Unauthorized");
}

#[test]
fn headers_choose_session_agent_and_model() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let say = |name: &str, value: &str| {
        raw::post(gateway.addr(), COMPLETIONS, &[("Authorization", &bearer()), (name, value)], &ask("hello"))
    };
    for namespace in ["subagent:x", "cron:x", "acp:x"] {
        let words = "`x-openclaw-session-key` cannot use reserved internal session namespaces.";
        refused(&say("x-openclaw-session-key", namespace), 400, "invalid_request_error", words);
    }
    refused(&say("x-openclaw-agent-id", "zzz"), 400, "invalid_request_error", "Unknown agent 'zzz'.");
    let unknown = say("x-openclaw-model", "nope/nope");
    assert_eq!(unknown.status, 404, "{}", unknown.text());
    assert!(unknown.json()["error"]["message"].as_str().expect("a message").starts_with("Unknown model: nope/nope."));
    assert_eq!(say("x-openclaw-model", "stub/stub-model").status, 200);
    assert_eq!(say("x-openclaw-session-key", "agent:main:shared").status, 200);
    assert_eq!(say("x-openclaw-message-channel", "Signal").status, 200);
    let asked = upstream.asked();
    let system = asked.last().expect("asked").body["messages"][0]["content"].to_string();
    assert!(system.contains("delivered through signal"), "{system}");
    let words = "`x-openclaw-message-channel` must be the id of a channel, like `telegram`.";
    refused(&say("x-openclaw-message-channel", "a b"), 400, "invalid_request_error", words);
    let history = gateway.operator().ok("chat.history", json!({ "sessionKey": "agent:main:shared" }));
    assert_eq!(history["messages"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_user_has_one_session_and_strangers_have_their_own() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut ada = ask("my name is Ada");
    ada["user"] = json!("ada");
    gateway.post(COMPLETIONS, &ada);
    ada["messages"] = json!([user("and now?")]);
    gateway.post(COMPLETIONS, &ada);
    gateway.post(COMPLETIONS, &ask("who was here?"));
    let asked = upstream.wait_asked(3);
    assert!(asked[1].body["messages"].to_string().contains("my name is Ada"));
    assert!(!asked[2].body["messages"].to_string().contains("my name is Ada"));
}

#[test]
fn earlier_turns_of_the_request_reach_the_model() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let messages = json!([
        { "role": "system", "content": "be-brief-5521" },
        user("the word is swordfish"),
        { "role": "assistant", "content": "noted-8843" },
        user("what is the word?"),
    ]);
    assert_eq!(gateway.post(COMPLETIONS, &json!({ "messages": messages })).status, 200);
    let body = upstream.wait_asked(1)[0].body.to_string();
    for words in ["be-brief-5521", "swordfish", "noted-8843", "what is the word?"] {
        assert!(body.contains(words), "{words} is not in {body}");
    }
}

#[test]
fn tools_of_the_agent_run_on_the_way_and_every_call_is_counted() {
    let upstream = Upstream::script([
        Answer::Call { name: "exec", arguments: json!({ "command": "echo tool-output-42" }) },
        Answer::say("The tool said 42."),
    ]);
    let gateway = Gateway::on(&upstream);
    let reply = gateway.post(COMPLETIONS, &ask("use a tool")).json();
    assert_eq!(reply["choices"][0]["message"]["content"], "The tool said 42.");
    let (input, output) = (2 * USAGE.0, 2 * USAGE.1);
    golden::same(
        &reply["usage"],
        &json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output }),
    );
}

#[test]
fn tools_of_the_client_are_handed_back_to_it() {
    let upstream = Upstream::script([Answer::Call { name: "get_weather", arguments: json!({ "city": "Oslo" }) }]);
    let gateway = Gateway::on(&upstream);
    let mut body = ask("how is the weather?");
    body["tools"] = json!([{ "type": "function", "function": {
        "name": "get_weather", "description": "w",
        "parameters": { "type": "object", "properties": { "city": { "type": "string" } } },
    } }]);
    let reply = gateway.post(COMPLETIONS, &body).json();
    let choice = &reply["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{reply:#}");
    let call = &choice["message"]["tool_calls"][0];
    golden::has(call, &json!({ "type": "function", "function": { "name": "get_weather" } }));
    assert_eq!(
        call["function"]["arguments"].as_str().map(serde_json::from_str::<Value>).and_then(Result::ok),
        Some(json!({ "city": "Oslo" }))
    );
    assert_eq!(upstream.asked().len(), 1, "the agent does not run it");
}

#[test]
fn what_the_upstream_refuses_is_passed_on() {
    let upstream = Upstream::script([Answer::Refuse(400, "stub bad request")]);
    let gateway = Gateway::on(&upstream);
    let reply = gateway.post(COMPLETIONS, &ask("hello"));
    assert_eq!(reply.status, 400);
    let error = &reply.json()["error"];
    assert_eq!(error["type"], "invalid_request_error");
    assert!(error["message"].as_str().expect("a message").contains("stub bad request"), "{error}");
    let events = gateway.post(COMPLETIONS, &streamed("hello")).sse();
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"), "{events:?}");
    let error = parsed(&events).into_iter().find(|chunk| chunk.get("error").is_some()).expect("an error event");
    assert!(error["error"]["message"].as_str().expect("a message").contains("stub bad request"), "{error}");
}

#[test]
fn an_upstream_that_breaks_is_an_error_in_the_shape_of_openai() {
    for answer in [Answer::Die(pieces("half an ")), Answer::Rubbish] {
        let upstream = Upstream::script([answer]);
        let gateway = Gateway::on(&upstream);
        let reply = gateway.post(COMPLETIONS, &ask("hello"));
        assert!(reply.status >= 500, "{}: {}", reply.status, reply.text());
        assert!(reply.json()["error"]["message"].is_string(), "{}", reply.text());
        let events = gateway.post(COMPLETIONS, &streamed("hello")).sse();
        assert!(events.iter().any(|event| event.contains("\"error\"")), "{events:?}");
    }
}

#[test]
fn a_client_that_leaves_ends_its_run_and_the_upstream_call() {
    for (body, answer) in [
        (streamed("hello"), Answer::Stall(pieces("a beginning "))),
        (streamed("hello"), Answer::Silent),
        (ask("hello"), Answer::Silent),
    ] {
        let upstream = Upstream::script([answer, Answer::say("here again")]);
        let gateway = Gateway::on(&upstream);
        let mut socket = post(&gateway, &body);
        upstream.wait_asked(1);
        let began = Instant::now();
        socket.shut(Shutdown::Both);
        drop(socket);
        let left = upstream.left(0, NOTICED * 3).expect("the upstream call is given up");
        assert!(left.duration_since(began) < NOTICED, "it took {:?}", left.duration_since(began));
        assert_eq!(gateway.post(COMPLETIONS, &ask("again")).status, 200);
    }
}

#[test]
fn many_clients_are_served_side_by_side() {
    let upstream = Upstream::by(|asked: &Asked| {
        // Everybody waits until everybody is there: a gateway that serves one at a time never gets through.
        let text = asked.body["messages"].to_string();
        if text.contains("wait for all") { Answer::Hold(pieces("all "), pieces("here")) } else { Answer::say("free") }
    });
    let gateway = Gateway::on(&upstream);
    let mut sockets: Vec<Raw> = (0..16).map(|_| post(&gateway, &streamed("wait for all"))).collect();
    upstream.wait_asked(16);
    for _ in 0..16 {
        upstream.release();
    }
    for socket in &mut sockets {
        assert_eq!(content(&parsed(&socket.reply().sse())), "all here");
    }
}

/// A request sent, its answer not yet read.
fn post(gateway: &Gateway, body: &Value) -> Raw {
    let mut socket = Raw::open(gateway.addr());
    let headers = [("Authorization", &*bearer()), ("Content-Type", "application/json")];
    socket.send(raw::request_bytes("POST", COMPLETIONS, &headers, body.to_string().as_bytes()));
    socket
}

fn chunk(socket: &mut Raw) -> Vec<u8> {
    socket.chunk().expect("read a chunk").expect("the stream goes on")
}

fn user(text: &str) -> Value {
    json!({ "role": "user", "content": text })
}

fn ask(text: &str) -> Value {
    json!({ "messages": [user(text)] })
}

fn streamed(text: &str) -> Value {
    json!({ "model": "openclaw", "stream": true, "messages": [user(text)] })
}

fn usage() -> Value {
    json!({ "prompt_tokens": USAGE.0, "completion_tokens": USAGE.1, "total_tokens": USAGE.0 + USAGE.1 })
}

/// Every event that is JSON.
fn parsed(events: &[String]) -> Vec<Value> {
    events.iter().filter_map(|event| serde_json::from_str(event).ok()).collect()
}

fn content(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}

#[track_caller]
fn refused(reply: &Reply, status: u16, kind: &str, message: &str) {
    assert_eq!(reply.status, status, "{}", reply.text());
    golden::same(&reply.json(), &json!({ "error": { "message": message, "type": kind } }));
}
