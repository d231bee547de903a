//! The control protocol: how a connection begins, what is answered, what is refused and in which words.

use serde_json::{Value, json};

use crate::support::gateway::TOKEN;
use crate::support::{Gateway, Raw, Ws, golden, raw, wait, ws};

/// Methods of the first milestone. Every one is advertised and answers.
const METHODS: [&str; 13] = [
    "agent",
    "agent.wait",
    "channels.status",
    "chat.abort",
    "chat.history",
    "chat.send",
    "health",
    "logs.tail",
    "models.list",
    "sessions.list",
    "sessions.subscribe",
    "status",
    "system-presence",
];

/// As long as the gateway promises between two ticks, and a little for a busy machine.
const TICK: std::time::Duration = std::time::Duration::from_secs(33);

#[test]
fn a_connection_begins_with_a_challenge() {
    let gateway = Gateway::start(json!({}));
    let mut client = Ws::open(gateway.addr());
    let challenge = client.event("connect.challenge");
    golden::has_shape(
        &challenge,
        &json!({ "type": "event", "payload": { "nonce": "", "ts": 1, "capabilities": [""] } }),
    );
    assert_eq!(challenge["payload"]["capabilities"], json!(["model-catalog-snapshot"]));
    assert!(challenge.get("seq").is_none(), "a direct frame has no seq: {challenge}");
    let mut other = Ws::open(gateway.addr());
    assert_ne!(other.event("connect.challenge")["payload"]["nonce"], challenge["payload"]["nonce"]);
}

#[test]
fn the_upgrade_answers_with_three_headers_and_no_extension() {
    let gateway = Gateway::start(json!({}));
    for path in ["/", "/ws", "/some/path"] {
        let mut socket = Raw::open(gateway.addr());
        let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
        socket.send(raw::UPGRADE.replace("GET /", &format!("GET {path}")).replace("\r\n\r\n", &format!("\r\n{offer}")));
        let head = socket.head();
        assert_eq!(head.status, 101, "{path}: {head:?}");
        let mut names: Vec<&str> = head.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["connection", "sec-websocket-accept", "upgrade"]);
        assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }
}

#[test]
fn hello_ok_tells_an_operator_everything() {
    let gateway = Gateway::start(json!({}));
    let hello = Ws::open(gateway.addr()).hello(ws::backend(&["operator.admin", "operator.read"]));
    golden::has(
        &hello,
        &json!({
            "type": "hello-ok",
            "protocol": 4,
            "auth": { "method": "token", "role": "operator", "scopes": ["operator.admin", "operator.read"] },
            "policy": {
                "tickIntervalMs": 30000,
                "attachments": { "maxBytes": 19464192, "maxImageBytes": 6291456 },
            },
            "snapshot": {
                "suspension": { "phase": "accepting" },
                "sessionDefaults": {
                    "defaultAgentId": "main", "mainKey": "main", "mainSessionKey": "agent:main:main",
                    "scope": "per-sender", "ownership": "sole", "selectionRequired": false,
                },
                "configPath": gateway.config_path(),
                "stateDir": gateway.state_dir(),
                "authMode": "token",
            },
        }),
    );
    golden::has_shape(
        &hello,
        &json!({
            "server": { "version": "", "bootId": "", "connId": "" },
            "features": { "methods": [""], "events": [""], "capabilities": [""] },
            "snapshot": {
                "presence": [{ "host": "", "version": "", "platform": "", "mode": "", "reason": "", "ts": 1, "text": "" }],
                "health": { "ok": true, "ts": 1, "durationMs": 1 },
                "stateVersion": { "presence": 1, "health": 1 },
                "uptimeMs": 1,
            },
            "policy": { "maxPayload": 1, "maxBufferedBytes": 1 },
        }),
    );
    let methods = strings(&hello["features"]["methods"]);
    for method in METHODS {
        assert!(methods.contains(&method), "{method} is advertised in {methods:?}");
    }
    let events = strings(&hello["features"]["events"]);
    for event in ["connect.challenge", "agent", "chat", "presence", "tick", "shutdown", "health", "sessions.changed"] {
        assert!(events.contains(&event), "{event} is advertised in {events:?}");
    }
    assert!(strings(&hello["features"]["capabilities"]).contains(&"published-model-catalog"));
}

#[test]
fn each_connection_has_its_own_id_and_each_start_its_own() {
    let mut gateway = Gateway::start(json!({}));
    let first = Ws::open(gateway.addr()).hello(ws::backend(&[]));
    let second = Ws::open(gateway.addr()).hello(ws::backend(&[]));
    assert_eq!(first["server"]["bootId"], second["server"]["bootId"]);
    assert_ne!(first["server"]["connId"], second["server"]["connId"]);
    assert!(gateway.stop().success());
    let again = Gateway::with(json!({})).home(gateway.kill()).start();
    assert_ne!(Ws::open(again.addr()).hello(ws::backend(&[]))["server"]["bootId"], first["server"]["bootId"]);
}

#[test]
fn t24_local_backends_and_command_lines_keep_their_scopes_and_others_get_none() {
    let gateway = Gateway::start(json!({}));
    for (id, mode, keeps) in [
        ("gateway-client", "backend", true),
        ("cli", "cli", true),
        ("cli", "probe", false),
        ("test", "test", false),
        ("gateway-client", "cli", false),
    ] {
        let mut client = Ws::open(gateway.addr());
        let hello = client.hello(ws::connect(id, mode, &["operator.read"]));
        let scopes = if keeps { json!(["operator.read"]) } else { json!([]) };
        assert_eq!(hello["auth"]["scopes"], scopes, "{id}/{mode}");
        let empty = hello["snapshot"]["presence"] == json!([]) && hello["snapshot"]["health"] == json!({});
        assert_eq!(empty, !keeps, "{id}/{mode} sees presence and health only with the read scope");
        assert!(hello["snapshot"].get("configPath").is_none(), "{id}/{mode}: paths are for admins");
        assert_eq!(client.ok("health", json!({}))["ok"], true, "{id}/{mode}: health needs no scope");
    }
}

#[test]
fn the_secret_is_taken_in_either_field() {
    let by_token = Gateway::start(json!({}));
    let auth = json!({ "mode": "password", "password": TOKEN });
    let by_password = Gateway::exactly(json!({ "gateway": { "mode": "local", "auth": auth } })).start();
    for (gateway, method) in [(&by_token, "token"), (&by_password, "password")] {
        for field in ["token", "password"] {
            let mut params = ws::backend(&["operator.read"]);
            params["auth"] = json!({ field: TOKEN });
            assert_eq!(Ws::open(gateway.addr()).hello(params)["auth"]["method"], method, "in {field}");
        }
    }
}

#[test]
fn every_recorded_refusal_is_given_word_for_word() {
    let gateway = Gateway::start(json!({}));
    for line in include_str!("golden/refusals.jsonl").lines() {
        let row: Value = serde_json::from_str(line).expect("the golden file is JSON lines");
        let text = row["send"].as_str().expect("a frame to send").replace("$TOKEN", TOKEN);
        let mut client = Ws::open(gateway.addr());
        client.event("connect.challenge");
        client.send(&text);
        let close = client.closed();
        let answers: Vec<Value> = client.take_backlog().into_iter().map(|frame| frame["error"].clone()).collect();
        let wanted: Vec<Value> = [row["error"].clone()].into_iter().filter(|error| !error.is_null()).collect();
        let got = json!({ "case": row["case"], "errors": answers, "close": [close.0, close.1] });
        golden::same(&got, &json!({ "case": row["case"], "errors": wanted, "close": row["close"] }));
    }
}

#[test]
fn a_first_frame_in_binary_may_hold_json() {
    let gateway = Gateway::start(json!({}));
    let mut client = Ws::open(gateway.addr());
    client.event("connect.challenge");
    let connect = json!({ "type": "req", "id": "b1", "method": "connect", "params": ws::backend(&["operator.read"]) });
    client.send_binary(connect.to_string().as_bytes());
    assert_eq!(client.response("b1").expect("hello-ok")["type"], "hello-ok");
}

#[test]
fn a_probe_may_still_ask_for_protocol_3() {
    let gateway = Gateway::start(json!({}));
    let mut params = ws::connect("openclaw-probe", "probe", &["operator.read"]);
    params["minProtocol"] = json!(3);
    params["maxProtocol"] = json!(3);
    assert_eq!(Ws::open(gateway.addr()).hello(params)["protocol"], 4);
}

#[test]
fn t01_a_foreign_origin_is_refused() {
    let gateway = Gateway::start(json!({}));
    let mut client = Ws::open_with(gateway.addr(), "/", &[("Origin", "https://evil.example")]).expect("the upgrade");
    let error = client.try_hello(ws::backend(&["operator.read"])).expect_err("a refusal");
    golden::has(
        &error,
        &json!({
            "code": "INVALID_REQUEST",
            "message": "origin not allowed (open the Control UI from the gateway host or allow it in gateway.controlUi.allowedOrigins)",
            "details": { "code": "CONTROL_UI_ORIGIN_NOT_ALLOWED", "reason": "origin not allowed" },
        }),
    );
    assert_eq!(client.closed().0, 1008);
}

#[test]
fn t20_a_forwarded_upgrade_from_an_untrusted_peer_is_refused() {
    let gateway = Gateway::start(json!({}));
    let mut socket = Raw::open(gateway.addr());
    socket.send(raw::UPGRADE.replace("\r\n\r\n", "\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"));
    let reply = socket.reply();
    assert_eq!(reply.status, 403);
    assert_eq!(reply.json()["error"]["type"], "proxy_attribution_required");
}

#[test]
fn a_wrong_token_from_a_backend_has_its_own_hint() {
    let gateway = Gateway::start(json!({}));
    let mut params = ws::backend(&["operator.read"]);
    params["auth"]["token"] = json!("wrong");
    let mut client = Ws::open(gateway.addr());
    let error = client.try_hello(params).expect_err("a refusal");
    let words = "unauthorized: gateway token mismatch (provide gateway auth token)";
    golden::same(
        &error,
        &json!({
            "code": "INVALID_REQUEST",
            "message": words,
            "details": {
                "code": "AUTH_TOKEN_MISMATCH", "authReason": "token_mismatch",
                "canRetryWithDeviceToken": false, "recommendedNextStep": "update_auth_credentials",
            },
        }),
    );
    assert_eq!(client.closed(), (1008, words.to_owned()));
}

#[test]
fn guesses_of_the_secret_slow_down_and_stay_in_no_log() {
    let gateway = Gateway::start(json!({}));
    for guess in ["canary-guess-one", "canary-guess-two", "canary-guess-three"] {
        let mut params = ws::backend(&[]);
        params["auth"]["token"] = json!(guess);
        let error = Ws::open(gateway.addr()).try_hello(params).expect_err("a refusal");
        assert_eq!(error["details"]["code"], "AUTH_TOKEN_MISMATCH", "loopback is never locked out");
    }
    let log = gateway.log();
    assert!(!log.contains("canary-guess") && !log.contains(TOKEN), "a secret is in the log:\n{log}");
    Ws::open(gateway.addr()).hello(ws::backend(&[]));
}

#[test]
fn requests_sent_behind_connect_are_answered_after_hello() {
    let gateway = Gateway::start(json!({}));
    let mut client = Ws::open(gateway.addr());
    let connect = client.request("connect", ws::backend(&["operator.read"]));
    let rest: Vec<String> = (0..10).map(|_| client.request("health", json!({}))).collect();
    let frames = client.frames_until("the last answer", |frame| frame["id"] == rest[9].as_str());
    let ids: Vec<&str> = frames.iter().filter_map(|frame| frame["id"].as_str()).collect();
    let wanted: Vec<&str> = std::iter::once(connect.as_str()).chain(rest.iter().map(String::as_str)).collect();
    assert_eq!(ids, wanted);
}

#[test]
fn a_second_connect_is_answered_and_the_connection_stays() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let error = client.err("connect", json!({}));
    golden::same(
        &error,
        &json!({ "code": "INVALID_REQUEST", "message": "connect is only valid as the first request" }),
    );
    client.ok("health", json!({}));
}

#[test]
fn broken_frames_after_hello_are_answered_and_the_connection_stays() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    client.send(r#"{"type":"req","id":"zz"}"#);
    let words = "invalid request frame: must have required property 'method'";
    golden::same(
        &client.response("zz").expect_err("an error"),
        &json!({ "code": "INVALID_REQUEST", "message": words }),
    );
    client.send(r#"{"type":"event","event":"zz"}"#);
    let words = "invalid request frame: must have required property 'id'; at root: unexpected property 'event'; \
                 at /type: must be equal to constant";
    golden::same(
        &client.response("invalid").expect_err("an error"),
        &json!({ "code": "INVALID_REQUEST", "message": words }),
    );
    client.send("not JSON at all");
    client.ok("health", json!({}));
}

#[test]
fn an_unknown_method_is_answered_by_who_asks() {
    let gateway = Gateway::start(json!({}));
    let mut admin = gateway.operator();
    golden::same(
        &admin.err("nope.nope", json!({})),
        &json!({ "code": "INVALID_REQUEST", "message": "unknown method: nope.nope" }),
    );
    let mut reader = Ws::open(gateway.addr());
    reader.hello(ws::backend(&["operator.read"]));
    golden::has(
        &reader.err("nope.nope", json!({})),
        &json!({ "code": "FORBIDDEN", "message": "missing scope: operator.admin" }),
    );
}

#[test]
fn a_missing_scope_is_named() {
    let gateway = Gateway::start(json!({}));
    let mut reader = Ws::open(gateway.addr());
    reader.hello(ws::backend(&["operator.read"]));
    let send = json!({ "sessionKey": "main", "message": "hi", "idempotencyKey": "k" });
    for (method, params) in [("chat.send", send), ("chat.abort", json!({ "sessionKey": "main" }))] {
        golden::has(
            &reader.err(method, params),
            &json!({
                "code": "FORBIDDEN",
                "message": "missing scope: operator.write",
                "details": { "code": "MISSING_SCOPE", "missingScope": "operator.write" },
            }),
        );
    }
    let mut nobody = Ws::open(gateway.addr());
    nobody.hello(ws::connect("test", "test", &["operator.admin"]));
    for method in ["status", "system-presence", "sessions.list", "models.list", "logs.tail", "channels.status"] {
        let error = nobody.err(method, json!({}));
        golden::has(&error, &json!({ "code": "FORBIDDEN", "message": "missing scope: operator.read" }));
    }
    nobody.ok("health", json!({}));
}

#[test]
fn a_node_method_is_not_for_operators() {
    let gateway = Gateway::start(json!({}));
    let error = gateway.operator().err("node.invoke.result", json!({}));
    // Until nodes are built the method is unknown; it is never "missing scope".
    assert_eq!(error["code"], "INVALID_REQUEST");
}

#[test]
fn bad_params_name_the_method_and_the_place() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    for (method, params, words) in [
        ("chat.history", json!({}), "must have required property 'sessionKey'"),
        ("chat.history", json!({ "sessionKey": "main", "bogus": 1 }), "at root: unexpected property 'bogus'"),
        ("chat.history", json!({ "sessionKey": "main", "limit": "ten" }), "at /limit: must be integer"),
        ("agent.wait", json!({}), "must have required property 'runId'"),
        ("agent", json!({ "message": "hi" }), "must have required property 'idempotencyKey'"),
        ("logs.tail", json!({ "limit": "x" }), "at /limit: must be integer"),
        ("sessions.list", json!([]), "must be object"),
    ] {
        let error = client.err(method, params);
        assert_eq!(error["code"], "INVALID_REQUEST", "{error}");
        let message = error["message"].as_str().expect("a message");
        assert!(message.starts_with(&format!("invalid {method} params: ")), "{message}");
        assert!(message.contains(words), "{message} lacks {words}");
    }
    client.ok("health", json!({}));
}

#[test]
fn a_session_to_change_must_be_named() {
    let gateway = Gateway::start(json!({}));
    let error = gateway.operator().err("chat.send", json!({ "foo": 1 }));
    golden::same(
        &error,
        &json!({
            "code": "INVALID_REQUEST",
            "message": "session mutation target is unavailable",
            "details": { "code": "SESSION_MUTATION_TARGET_REQUIRED", "method": "chat.send" },
        }),
    );
}

#[test]
fn health_tells_how_things_are() {
    let gateway = Gateway::start(json!({}));
    let health = gateway.operator().ok("health", json!({ "probe": true }));
    golden::has_shape(
        &health,
        &json!({
            "ok": true, "ts": 1, "durationMs": 1, "plugins": { "loaded": [], "errors": [], "unavailable": [] },
            "configReload": { "hotReloadStatus": "" }, "channels": {}, "channelOrder": [], "channelLabels": {},
            "heartbeatSeconds": 1, "defaultAgentId": "",
            "agents": [{ "agentId": "", "isDefault": true, "sessions": { "path": "", "count": 0, "recent": [] } }],
            "sessions": { "path": "", "count": 0, "recent": [] },
        }),
    );
    assert_eq!(health["ok"], true);
    assert_eq!(health["defaultAgentId"], "main");
}

#[test]
fn status_tells_what_runs() {
    let gateway = Gateway::start(json!({}));
    let status = gateway.operator().ok("status", json!({ "includeChannelSummary": false }));
    golden::has_shape(
        &status,
        &json!({
            "runtimeVersion": "", "channelSummary": [], "queuedSystemEvents": [],
            "tasks": { "total": 0, "active": 0, "terminal": 0, "failures": 0 },
            "sessions": { "paths": [""], "count": 0, "defaults": {}, "recent": [], "byAgent": [{ "agentId": "" }] },
        }),
    );
}

#[test]
fn presence_lists_the_gateway_itself_first() {
    let gateway = Gateway::start(json!({}));
    let presence = gateway.operator().ok("system-presence", Value::Null);
    golden::has(&presence[0], &json!({ "mode": "gateway", "reason": "self" }));
    golden::has_shape(&presence[0], &json!({ "host": "", "version": "", "platform": "", "text": "", "ts": 1 }));
}

#[test]
fn channels_status_is_empty_without_channels() {
    let gateway = Gateway::start(json!({}));
    let status = gateway.operator().ok("channels.status", json!({ "probe": false, "timeoutMs": 5000 }));
    golden::has(
        &status,
        &json!({
            "channelOrder": [], "channelLabels": {}, "channelDetailLabels": {}, "channelMeta": [],
            "channels": {}, "channelAccounts": {}, "channelDefaultAccountId": {},
        }),
    );
}

#[test]
fn the_log_can_be_read_in_pages_and_is_free_of_secrets() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let first = client.ok("logs.tail", json!({ "limit": 5, "maxBytes": 250000 }));
    golden::has_shape(&first, &json!({ "file": "", "cursor": 1, "size": 1, "lines": [""] }));
    assert!(first["lines"].as_array().expect("lines").len() <= 5);
    // Something to log: a refused connection.
    let mut params = ws::backend(&[]);
    params["auth"]["token"] = json!("wrong");
    Ws::open(gateway.addr()).try_hello(params).expect_err("a refusal");
    let cursor = first["cursor"].clone();
    let more = wait::until("the refusal is in the log", || {
        let page = client.ok("logs.tail", json!({ "cursor": cursor, "limit": 200 }));
        let found = page["lines"].as_array()?.iter().any(|line| line.to_string().contains("unauthorized"));
        found.then_some(page)
    });
    assert!(more["cursor"].as_u64() > first["cursor"].as_u64(), "{more:#}");
    assert!(!more.to_string().contains(TOKEN));
}

#[test]
fn events_are_counted_from_one_without_gaps() {
    let gateway = Gateway::start(json!({}));
    let mut watcher = gateway.operator();
    for _ in 0..3 {
        // Each coming and going changes presence.
        let mut guest = Ws::open(gateway.addr());
        guest.hello(ws::connect("test", "test", &[]));
        guest.close();
    }
    let frames = watcher.so_far();
    let seqs: Vec<u64> = frames.iter().filter_map(|frame| frame["seq"].as_u64()).collect();
    let wanted: Vec<u64> = (1..=seqs.len() as u64).collect();
    assert_eq!(seqs, wanted, "{frames:#?}");
    for frame in frames.iter().filter(|frame| frame["type"] == "event") {
        let versioned = frame.get("stateVersion").is_some();
        assert_eq!(versioned, frame["event"] == "presence" || frame["event"] == "health", "{frame:#}");
    }
}

#[test]
fn an_event_frame_has_its_keys_in_the_protocols_order() {
    let gateway = Gateway::start(json!({}));
    let mut socket = Raw::open(gateway.addr());
    socket.upgrade();
    let challenge = socket.frame();
    let text = String::from_utf8(challenge.payload).expect("text");
    assert!(text.starts_with(r#"{"type":"event","event":"connect.challenge","payload":{"nonce":""#), "{text}");
    let connect = json!({ "type": "req", "id": "c", "method": "connect", "params": ws::backend(&["operator.read"]) });
    socket.send_frame(raw::TEXT, connect.to_string().as_bytes());
    let hello = String::from_utf8(socket.frame().payload).expect("text");
    assert!(
        hello.starts_with(r#"{"type":"res","id":"c","ok":true,"payload":{"type":"hello-ok","protocol":4,"#),
        "{hello}"
    );
}

#[test]
fn a_tick_comes_within_its_interval() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    client.limit(TICK);
    let tick = client.event("tick");
    golden::has_shape(&tick, &json!({ "payload": { "ts": 1 }, "seq": 1 }));
    assert!(client.seen("shutdown").is_empty());
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    let gateway = Gateway::start(json!({}));
    let mut socket = Raw::open(gateway.addr());
    socket.upgrade();
    socket.frame();
    socket.send_frame(raw::PING, b"are you there");
    assert_eq!(socket.frame(), raw::Frame { opcode: raw::PONG, payload: b"are you there".to_vec() });
}

#[test]
fn a_close_is_echoed_before_the_end() {
    let gateway = Gateway::start(json!({}));
    let mut socket = Raw::open(gateway.addr());
    socket.upgrade();
    socket.send_frame(raw::CLOSE, &[0x03, 0xe8]);
    let (code, _, _) = socket.closed();
    assert_eq!(code, 1000);
    assert!(socket.rest().is_empty());
}

#[test]
fn many_connections_come_and_go_without_a_failure() {
    let gateway = Gateway::start(json!({}));
    for _ in 0..100 {
        let mut client = gateway.operator();
        assert_eq!(client.ok("health", json!({}))["ok"], true);
        client.close();
    }
    wait::until("their threads are gone", || (gateway.threads() < 20).then_some(()));
}

#[test]
fn the_queue_of_one_connection_is_long_but_not_endless() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let ids: Vec<String> = (0..300)
        .map(|n| client.request("agent.wait", json!({ "runId": format!("none-{n}"), "timeoutMs": 1500 })))
        .collect();
    let mut busy = 0;
    for id in &ids {
        if let Err(error) = client.response(id) {
            golden::has(
                &error,
                &json!({
                    "code": "UNAVAILABLE", "retryable": true,
                    "message": "The server is busy. Please try again in a moment.",
                }),
            );
            busy += 1;
        }
    }
    assert!((1..=44).contains(&busy), "{busy} of 300 were refused; 256 fit");
    client.ok("health", json!({}));
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|item| item.as_str().expect("a string")).collect()
}
