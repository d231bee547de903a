//! Attacks through bodies: too large, too deep, unsigned, replayed, and from people who only share a name with a friend.

use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::gateway::{Gateway, bearer};
use crate::support::{Raw, Upstream, raw, wait};

const HOOK: &str = "hook-token-0123456789abcdef-0123456789";
const SIGNING: &str = "webhook-secret-canary-78";

/// More than a body of any route may have, and what a gateway may grow by over many of them.
const GROWTH: u64 = 24 << 20;

#[test]
fn t39_what_is_too_large_is_refused_and_costs_nothing() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::start(upstream.config_and(json!({
        "hooks": { "enabled": true, "token": HOOK },
        "plugins": { "entries": { "admin-http-rpc": { "enabled": true } } },
    })));
    let (auth, hook) = (bearer(), format!("Bearer {HOOK}"));
    let routes: [(&str, &str, u64); 6] = [
        ("/v1/chat/completions", &auth, 20 << 20),
        ("/v1/responses", &auth, 20 << 20),
        ("/v1/embeddings", &auth, 5 << 20),
        ("/tools/invoke", &auth, 2 << 20),
        ("/api/v1/admin/rpc", &auth, 1 << 20),
        ("/hooks/agent", &hook, 256 << 10),
    ];
    let before = gateway.peak_rss();
    for (path, auth, limit) in routes {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {auth}\r\nContent-Type: application/json\r\n");
        let mut promised = Raw::open(gateway.addr());
        promised.send(format!("{head}Content-Length: {}\r\n\r\n", limit + 1));
        assert_eq!(promised.reply().status, 413, "{path}");
        let mut streamed = Raw::open(gateway.addr());
        streamed.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", limit + 1));
        assert_eq!(streamed.reply().status, 413, "{path}");
    }
    assert!(gateway.peak_rss() < before + (4 << 20), "nothing of them is held");

    // Judged by its length, before it is decoded.
    let picture = format!("data:image/png;base64,{}", "A".repeat(14_200_000));
    let content = json!([{ "type": "image_url", "image_url": { "url": picture } }]);
    let reply = gateway.post("/v1/chat/completions", &json!({ "messages": [{ "role": "user", "content": content }] }));
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(gateway.peak_rss() < before + GROWTH, "{before} -> {}", gateway.peak_rss());
    assert_eq!(upstream.asked().len(), 0);
}

#[test]
fn t40_calls_nobody_signed_are_few_and_wait_for_no_one() {
    let gateway = Gateway::start(json!({ "channels": { "webhook": {
        "secret": SIGNING, "dmPolicy": "open", "allowFrom": ["*"] } } }));
    let body = message("1", "ada", "Ada");
    wait::until("the account runs", || (signed(&gateway, "default", &body) == 202).then_some(()));
    let head = "POST /channels/webhook/default HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{";
    let mut held = Vec::new();
    wait::until("the places are taken", || {
        // One more each time: a call of ours may have had a place for a moment.
        let mut socket = Raw::open(gateway.addr());
        socket.send(head);
        held.push(socket);
        (signed(&gateway, "default", &body) == 503).then_some(())
    });
    assert!(held.len() >= 16, "{} are enough", held.len());
    assert_eq!(gateway.get("/healthz").status, 200);
    assert_eq!(gateway.get_with_token("/v1/models").status, 200);
    held.clear();
    wait::until("they left", || (signed(&gateway, "default", &message("2", "ada", "Ada")) == 202).then_some(()));
}

#[test]
fn t40_a_receiver_without_a_secret_is_not_there() {
    let gateway = Gateway::start(json!({ "channels": { "webhook": { "dmPolicy": "open", "allowFrom": ["*"] } } }));
    for path in ["/channels/webhook/default", "/channels/telegram/default", "/channels/webhook", "/hooks/wake"] {
        let reply = raw::post(gateway.addr(), path, &[], &message("1", "ada", "Ada"));
        assert_eq!(reply.status, 404, "{path}");
    }
}

#[test]
fn t40_a_repeated_call_counts_once_for_its_account_and_not_for_another() {
    let upstream = Upstream::friendly();
    let account = json!({ "secret": SIGNING, "dmPolicy": "open", "allowFrom": ["*"] });
    let accounts = json!({ "one": account, "two": account });
    let gateway = Gateway::start(upstream.config_and(json!({ "channels": { "webhook": { "accounts": accounts } } })));
    let body = message("same", "ada", "Ada");
    for name in ["one", "two"] {
        wait::until("the account runs", || (signed(&gateway, name, &body) == 202).then_some(()));
        wait::until("its run", || (upstream.asked().len() == if name == "one" { 1 } else { 2 }).then_some(()));
        assert_eq!(signed(&gateway, name, &body), 202, "a repetition is acknowledged");
    }
    assert_eq!(signed(&gateway, "one", &message("other", "ada", "Ada")), 202);
    wait::until("the other one", || (upstream.asked().len() == 3).then_some(()));
    assert_eq!(upstream.asked().len(), 3);
}

#[test]
fn t41_a_name_opens_nothing() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::start(upstream.config_and(json!({ "channels": { "webhook": {
        "secret": SIGNING, "dmPolicy": "allowlist", "allowFrom": ["ada"],
        "groupPolicy": "allowlist", "groups": { "kitchen": { "requireMention": false } } } } })));
    let said = |body: Value| {
        wait::until("the account runs", || (signed(&gateway, "default", &body) == 202).then_some(()));
    };
    // Mallory calls herself as a friend is called; another is in a group whose id is on no list of senders.
    said(message("a", "mallory", "ada"));
    said(message("b", "ADA ", "x"));
    let mut group = message("c", "mallory", "ada");
    group["kind"] = json!("group");
    group["chat"] = json!("ada");
    said(group);
    assert_eq!(signed(&gateway, "default", &message("d", "ada", "whoever")), 202);
    wait::until("the friend's run", || (!upstream.asked().is_empty()).then_some(()));
    assert_eq!(signed(&gateway, "default", &message("e", "ada", "whoever")), 202);
    wait::until("the friend's second run", || (upstream.asked().len() == 2).then_some(()));
    let told = format!("{:?}", upstream.asked().iter().map(|asked| asked.body.to_string()).collect::<Vec<_>>());
    assert!(told.contains("words of d") && told.contains("words of e") && !told.contains("words of a"), "{told}");
}

#[test]
fn t46_bombs_in_json_are_answered() {
    let gateway = Gateway::start(json!({
        "hooks": { "enabled": true, "token": HOOK },
        "plugins": { "entries": { "admin-http-rpc": { "enabled": true } } },
    }));
    let (auth, hook) = (bearer(), format!("Bearer {HOOK}"));
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(20_000), close.repeat(20_000));
    let bombs = [
        deep("[", "]"),
        deep("{\"a\":", "}"),
        "[".repeat(200_000),
        format!("{{\"messages\":{},\"input\":{},\"text\":{0},\"args\":{1}}}", deep("[", "]"), deep("[", "]")),
        r#"{"input":1e999,"messages":1e999,"tool":1e999,"message":-1e999,"method":1e999}"#.into(),
        r#"{"input":[1,,2]}"#.into(),
        "{\"input\":\"\u{0}\"}".into(),
        format!(r#"{{"input":{}}}"#, "9".repeat(200_000)),
        format!(r#"{{"{}":1}}"#, "k".repeat(200_000)),
        "\"".repeat(100_001),
        "\\".repeat(100_000),
    ];
    for path in [
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/embeddings",
        "/tools/invoke",
        "/api/v1/admin/rpc",
        "/hooks/agent",
    ] {
        let auth = if path.starts_with("/hooks") { &hook } else { &auth };
        let headers = [("Authorization", auth.as_str()), ("Content-Type", "application/json")];
        for bomb in &bombs {
            let reply = raw::request(gateway.addr(), "POST", path, &headers, bomb.as_bytes());
            let shown: String = bomb.chars().take(40).collect();
            assert_eq!(reply.status, 400, "{path} {shown}: {}", reply.text());
            assert!(reply.body.len() < 4 << 10, "{path} {shown}: an answer of {} bytes", reply.body.len());
        }
    }
    // Two equal keys: refused, and where a payload is anybody's the last one counts, as in JavaScript.
    let twice =
        r#"{"input":"a","input":"b","tool":"a","tool":"b","message":"","message":"b","method":"a","method":"b"}"#;
    for (path, status) in
        [("/v1/responses", 400), ("/v1/embeddings", 400), ("/tools/invoke", 400), ("/hooks/agent", 200)]
    {
        let auth = if path.starts_with("/hooks") { &hook } else { &auth };
        let reply = raw::request(gateway.addr(), "POST", path, &[("Authorization", auth)], twice.as_bytes());
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
    }
    assert_eq!(gateway.get("/healthz").status, 200);
}

/// As deep as JSON may be: the deepest place in every reader, with more than one member a level. An hour of mutations found
/// a stack that was too short for it.
#[test]
fn t46_the_deepest_json_there_may_be_fits_on_the_stack() {
    // The embedded model answers: another would have a limit of its own.
    let mut gateway = Gateway::start(json!({
        "hooks": { "enabled": true, "token": HOOK },
        "plugins": { "entries": { "admin-http-rpc": { "enabled": true } } },
    }));
    let (auth, hook) = (bearer(), format!("Bearer {HOOK}"));
    let places = [
        ("/v1/chat/completions", r#"{"messages":[{"role":"user","content":"x"}],"metadata":@}"#),
        ("/v1/chat/completions", r#"{"messages":[{"role":"user","content":"x"}],"response_format":@}"#),
        (
            "/v1/chat/completions",
            r#"{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":@}}]}"#,
        ),
        ("/v1/responses", r#"{"input":"x","tools":[{"type":"function","name":"f","parameters":@}]}"#),
        ("/v1/responses", r#"{"input":@}"#),
        ("/v1/embeddings", r#"{"input":@}"#),
        ("/tools/invoke", r#"{"tool":"session_status","args":{"a":@}}"#),
        ("/api/v1/admin/rpc", r#"{"method":"config.patch","params":@}"#),
        ("/api/v1/admin/rpc", r#"{"method":"cron.add","params":{"name":"x","payload":@}}"#),
        ("/hooks/agent", r#"{"message":"m","name":@}"#),
        ("/hooks/wake", r#"{"text":"m","mode":@}"#),
    ];
    let levels = [("[", "]"), (r#"{"first":"m","second":"#, "}"), (r#"{"first":["m","#, "]}")];
    for (path, place) in places {
        let auth = if path.starts_with("/hooks") { &hook } else { &auth };
        let headers = [("Authorization", auth.as_str()), ("Content-Type", "application/json")];
        for (open, close) in levels {
            // From what fits into what does not, whatever stands around it.
            for depth in (100 / close.len()..=130 / close.len()).step_by(2) {
                let body = place.replace('@', &format!("{}1{}", open.repeat(depth), close.repeat(depth)));
                let reply = raw::request(gateway.addr(), "POST", path, &headers, body.as_bytes());
                assert!(matches!(reply.status, 200..=499 | 502 | 503), "{path} {open} {depth}: {}", reply.status);
            }
        }
    }
    let mut client = gateway.operator();
    for (open, close) in levels {
        for depth in (100 / close.len()..=130 / close.len()).step_by(2) {
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            client.send(&format!(r#"{{"type":"req","id":"d","method":"cron.add","params":{{"payload":{deep}}}}}"#));
            client.send(&format!(r#"{{"type":"req","id":"d","method":"config.patch","params":{deep}}}"#));
        }
    }
    client.ok("health", json!({}));
    assert!(gateway.is_running());
}

fn message(id: &str, sender: &str, name: &str) -> Value {
    json!({ "id": id, "kind": "direct", "sender": { "id": sender, "name": name }, "text": format!("words of {id}") })
}

/// Posts as somebody who has the secret; gives the status, 0 when nobody answered.
fn signed(gateway: &Gateway, account: &str, body: &Value) -> u16 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let header = crate::channels::signature(SIGNING, now, &body.to_string());
    if TcpStream::connect(gateway.addr()).is_err() {
        return 0;
    }
    let path = format!("/channels/webhook/{account}");
    raw::post(gateway.addr(), &path, &[("X-OpenClaw-Signature", &header)], body).status
}
