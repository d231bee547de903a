//! The gateway's own HTTP endpoints: tools, webhooks, control methods, sessions.

use serde_json::{Value, json};

use crate::support::gateway::bearer;
use crate::support::raw::{self, Reply};
use crate::support::{Answer, Gateway, Raw, Upstream, golden};

const HOOK: &str = "hook-token-7d1f0c";
const RPC: &str = "/api/v1/admin/rpc";

#[test]
fn one_tool_is_called_within_the_policy() {
    let gateway = Gateway::start(json!({}));
    let invoke = |body: Value| gateway.post("/tools/invoke", &body);
    let reply = invoke(json!({ "tool": "session_status", "args": {}, "sessionKey": "main", "dryRun": true }));
    assert_eq!(reply.status, 200, "{}", reply.text());
    golden::has_shape(&reply.json(), &json!({ "ok": true, "result": { "content": [{ "type": "", "text": "" }] } }));
    for name in ["nope", "exec", "bash", "read", "write", "gateway"] {
        let reply = invoke(json!({ "name": name, "args": { "command": "echo hi", "path": "x" } }));
        assert_eq!(reply.status, 404, "{name}: {}", reply.text());
        let error = json!({ "type": "not_found", "message": format!("Tool not available: {name}") });
        golden::same(&reply.json(), &json!({ "ok": false, "error": error }));
    }
    let error = json!({ "type": "invalid_request", "message": "tools.invoke requires name" });
    golden::same(&invoke(json!({})).json(), &json!({ "ok": false, "error": error }));
    assert_eq!(invoke(json!({ "tool": "session_status", "agentId": "zzz" })).status, 400);
    assert_eq!(raw::post(gateway.addr(), "/tools/invoke", &[], &json!({})).status, 401);
    assert_eq!(gateway.get_with_token("/tools/invoke").status, 405);
    let long = vec![b' '; (2 << 20) + 1];
    let auth = bearer();
    assert_eq!(raw::request(gateway.addr(), "POST", "/tools/invoke", &[("Authorization", &auth)], &long).status, 413);
}

#[test]
fn an_owner_opens_tools_and_closes_others() {
    let tools = json!({ "allow": ["read", "exec"], "deny": ["session_status"] });
    let gateway = Gateway::start(json!({ "gateway": { "tools": tools }, "tools": { "deny": ["exec"] } }));
    let invoke = |tool: &str, args: Value| gateway.post("/tools/invoke", &json!({ "tool": tool, "args": args }));
    std::fs::create_dir_all(gateway.workspace()).expect("make the workspace");
    std::fs::write(gateway.workspace().join("note.txt"), "kept-5512").expect("write a note");
    let reply = invoke("read", json!({ "path": "note.txt" }));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.json()["result"]["content"][0]["text"].as_str().is_some_and(|text| text.contains("kept-5512")));
    let reply = invoke("read", json!({}));
    assert_eq!((reply.status, reply.json()["ok"].as_bool()), (400, Some(false)), "{}", reply.text());
    assert_eq!(invoke("exec", json!({ "command": "true" })).status, 404, "the agent's own policy still counts");
    assert_eq!(invoke("session_status", json!({})).status, 404);
}

#[test]
fn control_methods_are_there_when_the_plugin_is_enabled() {
    let gateway = Gateway::start(json!({}));
    assert_eq!(gateway.post(RPC, &json!({ "method": "health" })).status, 404, "off by default");
    let gateway = Gateway::start(json!({ "plugins": { "entries": { "admin-http-rpc": { "enabled": true } } } }));
    let call = |body: Value| gateway.post(RPC, &body);
    let reply = call(json!({ "id": "a1", "method": "health", "params": {} }));
    assert_eq!(reply.status, 200, "{}", reply.text());
    golden::has(&reply.json(), &json!({ "id": "a1", "ok": true, "payload": { "ok": true } }));
    assert_eq!(call(json!({ "method": "status" })).status, 200, "a method that works on the pool");
    let listed = call(json!({ "method": "commands.list" })).json();
    assert!(listed["payload"]["methods"].as_array().is_some_and(|list| list.contains(&json!("logs.tail"))));
    let reply = call(json!({ "id": "a2", "method": "chat.send" }));
    let message = "admin HTTP RPC method is not supported: chat.send";
    let error = json!({ "code": "INVALID_REQUEST", "message": message });
    assert_eq!(reply.status, 400);
    golden::same(&reply.json(), &json!({ "id": "a2", "ok": false, "error": error }));
    let reply = call(json!({ "method": "logs.tail", "params": { "bogus": 1 } }));
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (400, &json!("INVALID_REQUEST")), "{}", reply.text());
    let auth = bearer();
    let raw = |body: &[u8]| raw::request(gateway.addr(), "POST", RPC, &[("Authorization", &auth)], body);
    for (body, words) in [
        (&b""[..], "request body must be JSON"),
        (b"{bad", "request body must be valid JSON"),
        (b"[1]", "request body must be an object"),
        (b"{}", "method must be a non-empty string"),
    ] {
        let reply = raw(body);
        let error = json!({ "type": "invalid_request", "message": words });
        assert_eq!(reply.status, 400);
        golden::same(&reply.json(), &json!({ "ok": false, "error": error }));
    }
    assert_eq!(raw(&vec![b' '; (1 << 20) + 1]).status, 413);
    assert_eq!(gateway.get_with_token(RPC).status, 405);
    assert_eq!(raw::post(gateway.addr(), RPC, &[], &json!({ "method": "health" })).status, 401);
}

#[test]
fn a_history_is_read_page_by_page() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    say(&gateway, "one");
    say(&gateway, "two");
    let page = gateway.get_with_token("/sessions/agent%3Amain%3Aopenai-user%3Aada/history");
    assert_eq!(page.status, 200, "{}", page.text());
    let page = page.json();
    assert_eq!(page["sessionKey"], "agent:main:openai-user:ada");
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(4), "{page:#}");
    golden::same(&page["items"], &page["messages"]);
    assert_eq!(page["hasMore"], false);
    let end = gateway.get_with_token("/sessions/agent:main:openai-user:ada/history?limit=1").json();
    assert_eq!((&end["messages"][0], &end["hasMore"]), (&page["messages"][3], &json!(true)));
    let cursor = end["nextCursor"].as_str().expect("a cursor");
    let before =
        gateway.get_with_token(&format!("/sessions/agent:main:openai-user:ada/history?limit=1&cursor={cursor}"));
    assert_eq!(before.json()["messages"][0], page["messages"][2]);
    let error = json!({ "type": "not_found", "message": "Session not found: nope" });
    let missing = gateway.get_with_token("/sessions/nope/history");
    assert_eq!(missing.status, 404);
    golden::same(&missing.json(), &json!({ "ok": false, "error": error }));
    assert_eq!(gateway.get_with_token("/sessions/main/history?limit=x").status, 400);
    assert_eq!(gateway.get("/sessions/main/history").status, 401);
}

#[test]
fn a_history_goes_on_as_events() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    say(&gateway, "one");
    let mut socket = Raw::open(gateway.addr());
    let auth = bearer();
    let headers = [("Authorization", auth.as_str()), ("Accept", "text/event-stream")];
    socket.send(raw::request_bytes("GET", "/sessions/agent:main:openai-user:ada/history", &headers, b""));
    assert_eq!(socket.head().status, 200);
    let mut text = String::new();
    let mut until = |words: &str, text: &mut String| {
        while !text.contains(words) {
            let chunk = socket.chunk().expect("read a chunk").expect("the stream goes on");
            text.push_str(&String::from_utf8(chunk).expect("text"));
        }
    };
    until("\n\nevent: history\ndata: ", &mut text);
    assert!(text.starts_with("retry: 1000\n\n"), "{text}");
    say(&gateway, "two-6671");
    until("event: message\ndata: ", &mut text);
    until("two-6671", &mut text);
    assert!(text.contains("\"messageSeq\":3"), "{text}");
}

#[test]
fn only_declared_rights_end_the_runs_of_a_session() {
    let gateway = Gateway::start(json!({}));
    let reply = gateway.post("/sessions/main/kill", &json!({}));
    assert_eq!(reply.status, 403);
    golden::has(
        &reply.json(),
        &json!({ "ok": false, "error": {
            "type": "forbidden", "message": "missing scope: operator.admin",
            "details": { "code": "MISSING_SCOPE", "missingScope": "operator.admin" },
        } }),
    );
    let upstream = Upstream::script([Answer::Silent]);
    let gateway = Gateway::start(upstream.config_and(json!({ "gateway": { "auth": { "mode": "none" } } })));
    let mut socket = Raw::open(gateway.addr());
    let body = json!({ "user": "ada", "messages": [{ "role": "user", "content": "wait" }] }).to_string();
    socket.send(raw::request_bytes("POST", "/v1/chat/completions", &[], body.as_bytes()));
    upstream.wait_asked(1);
    let kill = |key: &str, headers: &[(&str, &str)]| {
        raw::post(gateway.addr(), &format!("/sessions/{key}/kill"), headers, &json!({}))
    };
    assert_eq!(kill("nope", &[]).status, 404);
    assert_eq!(kill("openai-user:ada", &[("x-openclaw-scopes", "operator.write")]).status, 403);
    golden::same(&kill("openai-user:ada", &[]).json(), &json!({ "ok": true, "killed": true }));
    assert_eq!(socket.reply().status, 503);
}

#[test]
fn hooks_have_their_own_token() {
    let gateway = hooked(json!({}));
    let wake = |headers: &[(&str, &str)], path: &str| {
        raw::post(gateway.addr(), path, headers, &json!({ "text": "news", "mode": "next-heartbeat" }))
    };
    let plain = |reply: &Reply| (reply.status, reply.text());
    assert_eq!(plain(&wake(&[], "/hooks/wake")), (401, "Unauthorized".into()));
    assert_eq!(wake(&[("Authorization", &bearer())], "/hooks/wake").status, 401, "the gateway's own is refused");
    let own = format!("Bearer {HOOK}");
    let reply = wake(&[("Authorization", &own)], "/hooks/wake");
    golden::same(&reply.json(), &json!({ "ok": true, "mode": "next-heartbeat", "eventOutcome": "queued" }));
    let reply = wake(&[("X-OpenClaw-Token", HOOK)], "/hooks/wake");
    golden::same(&reply.json(), &json!({ "ok": true, "mode": "next-heartbeat", "eventOutcome": "coalesced" }));
    let reply = wake(&[("Authorization", &own)], &format!("/hooks/wake?token={HOOK}"));
    assert_eq!(reply.status, 400, "{}", reply.text());
    for path in ["/hooks", "/hooks/", "/hooks/unknown"] {
        assert_eq!(plain(&wake(&[("Authorization", &own)], path)), (404, "Not Found".into()), "{path}");
    }
    let reply = raw::get(gateway.addr(), "/hooks/wake", &[("Authorization", &own)]);
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    let guess = || wake(&[("X-OpenClaw-Token", "wrong")], "/hooks/wake");
    for _ in 0..20 {
        guess();
    }
    let last = guess();
    assert_eq!(last.status, 429);
    assert!(last.header("retry-after").is_some());
    assert_eq!(wake(&[("X-OpenClaw-Token", HOOK)], "/hooks/wake").status, 200, "the right one is never locked out");
    assert!(!gateway.log().contains(HOOK));
}

#[test]
fn what_is_counted_is_there_for_prometheus_when_it_is_wanted() {
    let gateway = Gateway::start(json!({}));
    assert_eq!(gateway.get_with_token("/metrics").status, 404, "off by default");
    let upstream = Upstream::friendly();
    let wanted = json!({ "plugins": { "entries": { "diagnostics-prometheus": { "enabled": true } } } });
    let gateway = Gateway::start(upstream.config_and(wanted));
    assert_eq!(gateway.get("/metrics").status, 401);
    let mut client = gateway.operator();
    crate::support::talk::say(&mut client, "agent:main:main", "hello", "run-1");
    client.err("no.such.method", json!({}));
    let reply = gateway.get_with_token("/metrics");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let page = reply.text();
    let (input, output) = crate::support::upstream::USAGE;
    for line in [
        "# TYPE openclaw_run_duration_seconds histogram".to_owned(),
        "openclaw_gateway_connections 1".to_owned(),
        "openclaw_sessions 1".to_owned(),
        "openclaw_gateway_rpc_requests_total{method=\"chat.send\"} 1".to_owned(),
        "openclaw_run_completed_total{outcome=\"completed\"} 1".to_owned(),
        "openclaw_run_duration_seconds_bucket{outcome=\"completed\",le=\"+Inf\"} 1".to_owned(),
        format!("openclaw_model_tokens_total{{provider=\"stub\",model=\"stub-model\",token_type=\"input\"}} {input}"),
        format!("openclaw_model_tokens_total{{provider=\"stub\",model=\"stub-model\",token_type=\"output\"}} {output}"),
    ] {
        assert!(page.lines().any(|own| own == line), "{line} is not in\n{page}");
    }
    assert!(!page.contains("no.such.method"), "a stranger's words are no labels");
    let other = gateway.get_with_token("/api/diagnostics/prometheus");
    assert_eq!(other.status, 200);
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let bare = name.split('{').next().expect("a name");
        assert!(bare.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
    }
}

#[test]
fn hooks_are_off_unless_enabled() {
    let gateway = Gateway::start(json!({}));
    assert_eq!(hook(&gateway, "wake", &json!({ "text": "x" })).status, 404);
    let gateway = Gateway::start(json!({ "hooks": { "enabled": true } }));
    assert_eq!(hook(&gateway, "wake", &json!({ "text": "x" })).status, 404);
    gateway.says("hooks.enabled requires hooks.token");
}

#[test]
fn a_wake_reaches_the_agent_now_or_with_its_next_turn() {
    let upstream = Upstream::friendly();
    let gateway = hooked(upstream.config());
    let later = hook(&gateway, "wake", &json!({ "text": "later-1177", "mode": "next-heartbeat" }));
    assert_eq!(later.json()["eventOutcome"], "queued");
    let now = hook(&gateway, "wake", &json!({ "text": "now-2288" }));
    golden::same(&now.json(), &json!({ "ok": true, "mode": "now", "eventOutcome": "queued" }));
    let asked = upstream.wait_asked(1)[0].body["messages"].to_string();
    assert!(asked.contains("System: later-1177") && asked.contains("System: now-2288"), "{asked}");
    let refuse = |body: Value, words: &str| refused(&hook(&gateway, "wake", &body), words);
    refuse(json!({}), "text required");
    refuse(json!({ "text": "x", "agentId": "zzz" }), "unknown agentId \"zzz\"");
    refuse(json!({ "text": "x", "agentId": 3 }), "agentId must be a non-empty string");
    refuse(json!({ "text": "x", "sessionKey": "a", "mode": "next-heartbeat" }), "sessionKey requires mode=now");
    let long = hook(&gateway, "wake", &json!({ "text": "x".repeat(300 << 10) }));
    assert_eq!(long.status, 413);
    golden::same(&long.json(), &json!({ "ok": false, "error": "payload too large" }));
}

#[test]
fn a_hook_runs_an_agent_once_per_key() {
    let upstream = Upstream::friendly();
    let gateway = hooked(upstream.config());
    let ask = json!({ "message": "deploy-9910", "name": "CI", "idempotencyKey": "k1", "waitForCompletion": true, "deliver": false });
    let reply = hook(&gateway, "agent", &ask);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let first = reply.json();
    golden::has(&first, &json!({ "ok": true, "completion": { "status": "ok", "replyDisposition": "visible" } }));
    assert_eq!(hook(&gateway, "agent", &ask).json()["runId"], first["runId"], "the same request is the same run");
    let asked = upstream.asked();
    assert_eq!(asked.len(), 1);
    let messages = asked[0].body["messages"].to_string();
    assert!(messages.contains("[CI]") && messages.contains("EXTERNAL_UNTRUSTED_CONTENT"), "{messages}");
    let other = hook(&gateway, "agent", &json!({ "message": "deploy-9911", "idempotencyKey": "k1" }));
    assert_ne!(other.json()["runId"], first["runId"]);
    let refuse = |body: Value, words: &str| refused(&hook(&gateway, "agent", &body), words);
    refuse(json!({}), "message required");
    refuse(json!({ "message": "m", "agentId": "zzz" }), "unknown agentId \"zzz\"");
    refuse(
        json!({ "message": "m", "sessionKey": "agent:main:x" }),
        "sessionKey is disabled for externally supplied hook payload values; set hooks.allowRequestSessionKey=true to \
         enable",
    );
    refuse(json!({ "message": "m", "sessionMode": "x" }), "sessionMode must be isolated or persistent");
    refuse(
        json!({ "message": "m", "channel": "carrier-pigeon", "to": "1" }),
        "channel must be last|telegram|discord|slack|signal|mattermost|matrix|irc|webhook",
    );
    refuse(
        json!({ "message": "m", "channel": "telegram", "to": "1" }),
        "Telegram is not configured: openclaw channels add --channel telegram",
    );
    refuse(
        json!({ "message": "m", "channel": "last", "to": "1" }),
        "channel must name a concrete channel for hook delivery",
    );
    assert_eq!(hook(&gateway, "agent", &json!({ "message": "m", "to": "1", "deliver": false })).status, 200);
    refuse(json!({ "message": "m", "to": "1" }), "channel and to must be set together for hook delivery");
}

#[test]
fn a_mapping_makes_a_run_of_any_payload() {
    let upstream = Upstream::friendly();
    let mappings = json!([
        { "match": { "path": "git" }, "messageTemplate": "{{repo.name}} has {{headers.x-event}} by {{query.who}}",
          "sessionKey": "hook:git", "sessionMode": "persistent" },
        { "match": { "path": "each" }, "forEach": "items", "messageTemplate": "item {{items[0]}}" },
        { "match": { "path": "script" }, "transform": { "module": "x.js" } },
    ]);
    let mut config = upstream.config();
    config["hooks"] = json!({ "path": "/in", "mappings": mappings, "allowedAgentIds": ["main"] });
    let gateway = hooked(config);
    let post = |path: &str, body: Value| {
        let headers = [("X-OpenClaw-Token", HOOK), ("X-Event", "push")];
        raw::post(gateway.addr(), &format!("/in/{path}"), &headers, &body)
    };
    let reply = post("git?who=Ada+L", json!({ "repo": { "name": "gate" } }));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let asked = upstream.wait_asked(1)[0].body["messages"].to_string();
    assert!(asked.contains("gate has push by Ada L"), "{asked}");
    let mut client = gateway.operator();
    let list = client.ok("sessions.list", json!({})).to_string();
    assert!(list.contains("agent:main:hook:git"), "{list}");
    let each = post("each", json!({ "items": ["a", "b"] })).json();
    assert_eq!((&each["dispatched"], each["runIds"].as_array().map(Vec::len)), (&json!(2), Some(2)), "{each}");
    assert_eq!(post("each", json!({ "items": [] })).status, 204);
    let script = post("script", json!({}));
    assert_eq!(script.status, 500);
    golden::same(&script.json(), &json!({ "ok": false, "error": "hook mapping failed" }));
}

/// A gateway with webhooks, over some configuration.
fn hooked(mut config: Value) -> Gateway {
    config["hooks"]["enabled"] = json!(true);
    config["hooks"]["token"] = json!(HOOK);
    Gateway::start(config)
}

fn hook(gateway: &Gateway, path: &str, body: &Value) -> Reply {
    let auth = format!("Bearer {HOOK}");
    raw::post(gateway.addr(), &format!("/hooks/{path}"), &[("Authorization", &auth)], body)
}

/// One turn in Ada's session.
fn say(gateway: &Gateway, text: &str) {
    let body = json!({ "user": "ada", "messages": [{ "role": "user", "content": text }] });
    assert_eq!(gateway.post("/v1/chat/completions", &body).status, 200);
}

#[track_caller]
fn refused(reply: &Reply, words: &str) {
    assert_eq!(reply.status, 400, "{}", reply.text());
    golden::same(&reply.json(), &json!({ "ok": false, "error": words }));
}
