//! Hostile bytes: seeded mutations of good input against the running gateway.
//!
//! `FUZZ_MS` makes it longer, `FUZZ_SEED` repeats a run; the seed stands in every failure message.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::gateway::bearer;
use crate::support::{Answer, Gateway, Raw, Upstream, raw, ws};

/// Enough for a few hundred mutations; the long run takes `FUZZ_MS`.
const SHORT: Duration = Duration::from_millis(1500);

/// Most bytes one mutation is repeated to.
const LONGEST: usize = 70_000;

/// xorshift64*: the same seed gives the same bytes everywhere.
pub struct Dice(u64);

#[test]
fn mutated_http_never_harms_the_gateway() {
    let auth = bearer();
    let body = json!({ "messages": [{ "role": "user", "content": "hello" }], "stream": true }).to_string();
    let corpus = [
        raw::request_bytes("GET", "/healthz", &[], b""),
        raw::request_bytes("GET", "/v1/models/openclaw%2Fmain?x=%41", &[("Authorization", &auth)], b""),
        raw::request_bytes("POST", "/v1/chat/completions", &[("Authorization", &auth)], body.as_bytes()),
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: {auth}\r\n\
             Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        )
        .into_bytes(),
        raw::UPGRADE.as_bytes().to_vec(),
    ];
    attack(&corpus, |_| {});
}

/// The JSON bodies of every route, mutated inside a good request: each is answered, and no answer blames the gateway.
#[test]
fn mutated_bodies_never_harm_the_gateway() {
    let hook = "hook-token-0123456789abcdef-0123456789";
    let (own, hook_auth) = (bearer(), format!("Bearer {hook}"));
    let tool = json!({ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } });
    let picture = format!("data:image/png;base64,{}", "QUJD".repeat(20_000));
    let targets: [(&str, &str, Vec<serde_json::Value>); 6] = [
        (
            "/v1/chat/completions",
            &own,
            vec![
                json!({ "model": "openclaw", "stream": true, "stream_options": { "include_usage": true }, "temperature": 0.5,
                    "stop": ["a", "b"], "seed": 7, "user": "ada", "max_tokens": 10, "tool_choice": "auto", "tools": [tool],
                    "messages": [{ "role": "system", "content": "s" }, { "role": "user", "content": "hello \u{1f600}" }] }),
                json!({ "messages": [
                { "role": "user", "content": [{ "type": "text", "text": "look" },
                                              { "type": "image_url", "image_url": { "url": picture } }] },
                { "role": "assistant", "content": null, "tool_calls": [
                    { "id": "c", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } }] },
                { "role": "tool", "tool_call_id": "c", "content": "done" }], "tools": [tool],
                "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": {} } } }),
            ],
        ),
        (
            "/v1/responses",
            &own,
            vec![
                json!({ "model": "openclaw", "input": "hello", "instructions": "i", "stream": true, "max_output_tokens": 9 }),
                json!({ "input": [
                { "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "t" },
                    { "type": "input_image", "image_url": picture },
                    { "type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,aGFsbG8=" }] },
                { "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}" },
                { "type": "function_call_output", "call_id": "c", "output": "x" }], "previous_response_id": "resp_x" }),
            ],
        ),
        (
            "/v1/embeddings",
            &own,
            vec![json!({ "model": "openclaw", "input": ["a", "b"], "dimensions": 8, "encoding_format": "base64" })],
        ),
        (
            "/tools/invoke",
            &own,
            vec![json!({ "tool": "session_status", "args": {}, "sessionKey": "main", "action": "x" })],
        ),
        ("/api/v1/admin/rpc", &own, vec![json!({ "method": "sessions.list", "params": { "limit": 2 } })]),
        (
            "/hooks/agent",
            &hook_auth,
            vec![
                json!({ "message": "m", "name": "n", "deliver": false, "timeoutSeconds": 3, "model": "stub/stub-model" }),
            ],
        ),
    ];
    let upstream = Upstream::script([Answer::say("hello")]);
    let mut gateway = Gateway::start(upstream.config_and(json!({
        "hooks": { "enabled": true, "token": hook },
        "plugins": { "entries": { "admin-http-rpc": { "enabled": true } } },
    })));
    let (mut dice, seed) = seeded();
    let end = Instant::now() + span();
    while Instant::now() < end {
        let (path, auth, bodies) = &targets[dice.roll(targets.len())];
        let corpus: Vec<_> = bodies.iter().map(|body| body.to_string().into_bytes()).collect();
        let body = dice.mutate(&corpus);
        let headers = [("Authorization", *auth), ("Content-Type", "application/json")];
        let reply = raw::request(gateway.addr(), "POST", path, &headers, &body);
        let shown: String = String::from_utf8_lossy(&body).chars().take(300).collect();
        // 502 and 503 are about the model or a full house.
        let fine = reply.status < 500 || matches!(reply.status, 502 | 503);
        assert!(fine, "FUZZ_SEED={seed}: {path} {shown}: {} {}", reply.status, reply.text());
    }
    unharmed(&mut gateway, seed);
}

#[test]
fn mutated_frames_never_harm_the_gateway() {
    let connect = json!({ "type": "req", "id": "c", "method": "connect", "params": ws::backend(&["operator.admin"]) });
    let connect = connect.to_string();
    let corpus = [
        raw::frame(raw::TEXT, connect.as_bytes(), raw::mask()),
        raw::frame(raw::BINARY, connect.as_bytes(), raw::mask()),
        [raw::frame(raw::PING, b"ping", raw::mask()), raw::frame(raw::CLOSE, &[3, 232], raw::mask())].concat(),
    ];
    attack(&corpus, |socket| {
        socket.upgrade();
    });
}

#[test]
fn mutated_requests_never_harm_the_gateway() {
    let corpus = [
        r#"{"type":"req","id":"1","method":"chat.history","params":{"sessionKey":"main","limit":5}}"#,
        r#"{"type":"req","id":"2","method":"chat.send","params":{"sessionKey":"main","message":"hi","idempotencyKey":"k"}}"#,
        r#"{"type":"req","id":"3","method":"agent","params":{"message":"hi","idempotencyKey":"j"}}"#,
        r#"{"type":"req","id":"4","method":"logs.tail","params":{"cursor":0,"limit":10,"maxBytes":1000}}"#,
        r#"{"type":"req","id":"5","method":"sessions.list","params":{}}"#,
        r#"{"type":"req","id":"6","method":"chat.abort","params":{"sessionKey":"main"}}"#,
    ]
    .map(|text| text.as_bytes().to_vec());
    let upstream = Upstream::script([Answer::say("hello")]);
    let mut gateway = Gateway::on(&upstream);
    let (mut dice, seed) = seeded();
    let end = Instant::now() + span();
    while Instant::now() < end {
        let mut client = gateway.operator();
        for _ in 0..20 {
            let text = String::from_utf8_lossy(&dice.mutate(&corpus)).into_owned();
            client.send(&text);
        }
        client.ok("health", json!({}));
        client.close();
    }
    unharmed(&mut gateway, seed);
}

/// Sends mutations, each on a connection of its own, until the time is over.
fn attack(corpus: &[Vec<u8>], prepare: impl Fn(&mut Raw)) {
    let upstream = Upstream::script([Answer::say("hello")]);
    let mut gateway = Gateway::on(&upstream);
    let (mut dice, seed) = seeded();
    let end = Instant::now() + span();
    while Instant::now() < end {
        let mut socket = Raw::open(gateway.addr());
        prepare(&mut socket);
        // A gateway that has seen enough closes: that is an answer, too.
        let _ = socket.try_send(dice.mutate(corpus));
        socket.shut(Shutdown::Write);
        socket.rest();
    }
    unharmed(&mut gateway, seed);
}

#[track_caller]
fn unharmed(gateway: &mut Gateway, seed: u64) {
    assert!(gateway.is_running(), "FUZZ_SEED={seed}: the gateway is dead");
    assert_eq!(gateway.get("/healthz").status, 200, "FUZZ_SEED={seed}");
    gateway.operator().ok("health", json!({}));
    assert!(!gateway.log().contains("panicked"), "FUZZ_SEED={seed}: a thread panicked");
    assert_eq!(gateway.stop().code(), Some(0), "FUZZ_SEED={seed}");
}

pub fn span() -> Duration {
    number("FUZZ_MS").map_or(SHORT, Duration::from_millis)
}

pub fn seeded() -> (Dice, u64) {
    let seed = number("FUZZ_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |since| since.as_nanos() as u64 | 1)
    });
    println!("FUZZ_SEED={seed}");
    (Dice(seed | 1), seed)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides.max(1)
    }

    /// One of the corpus with one to eight changes.
    pub fn mutate(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = corpus[self.roll(corpus.len())].clone();
        for _ in 0..=self.roll(8) {
            let at = self.roll(bytes.len() + 1);
            match self.roll(7) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.roll(256) as u8),
                2 if at < bytes.len() => bytes[at] ^= 1 << self.roll(8),
                3 if at < bytes.len() => bytes[at] = [0, b'\r', b'\n', b':', b'"', b'{', 0xff, 0x80][self.roll(8)],
                4 => {
                    let end = (at + self.roll(64)).min(bytes.len());
                    bytes.drain(at..end);
                }
                5 => {
                    let end = (at + self.roll(32)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let times = self.roll(LONGEST / piece.len().max(1));
                    let longer = piece.repeat(times.min(if self.roll(4) == 0 { times } else { 3 }));
                    bytes.splice(at..at, longer);
                }
                _ => {
                    let other = &corpus[self.roll(corpus.len())];
                    let from = self.roll(other.len() + 1);
                    bytes.truncate(at);
                    bytes.extend(&other[from..]);
                }
            }
        }
        bytes
    }
}
