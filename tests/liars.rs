//! Bad input and bad days: clients that lie, limits that are reached, a disk that is full.
//!
//! Every limit is reached twice in a row, to find slots that leak.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::gateway::{TOKEN, bearer};
use crate::support::{Answer, Gateway, Raw, Upstream, Ws, golden, raw, wait, ws};

/// The gateway's own deadline for a whole head, and some time for a busy machine.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(15);

const SLACK: Duration = Duration::from_secs(6);

/// Unauthenticated sockets one address may hold.
const UNAUTHENTICATED: usize = 32;

const PREAUTH_FRAME: usize = 65_536;

#[test]
fn t06_a_slow_head_is_cut_at_the_deadline() {
    let gateway = Gateway::start(json!({}));
    for _ in 0..2 {
        let mut slow: Vec<Raw> = (0..4).map(|_| Raw::open(gateway.addr())).collect();
        let began = Instant::now();
        for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: " {
            for socket in &mut slow {
                socket.send([*byte]);
            }
        }
        assert_eq!(gateway.get("/healthz").status, 200, "others are served meanwhile");
        for socket in &mut slow {
            let said = String::from_utf8(socket.rest()).expect("text");
            assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 "), "{said}");
        }
        let took = began.elapsed();
        assert!(took < HEAD_DEADLINE + SLACK, "it took {took:?}");
    }
}

#[test]
fn an_endless_head_is_refused_before_it_fills_the_memory() {
    let gateway = Gateway::start(json!({}));
    let before = gateway.rss();
    for _ in 0..2 {
        let mut socket = Raw::open(gateway.addr());
        socket.send("GET / HTTP/1.1\r\nHost: x\r\nX-Endless: ");
        let junk = [b'a'; 4096];
        let _ = (0..5000).take_while(|_| socket.try_send(junk).is_ok()).count();
        let said = String::from_utf8_lossy(&socket.rest()).into_owned();
        assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
    }
    assert!(gateway.rss() < before + (4 << 20), "it kept what it read: {} -> {}", before, gateway.rss());
    let many: String = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
    let mut socket = Raw::open(gateway.addr());
    socket.send(format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{many}\r\n"));
    assert_eq!(socket.reply().status, 431);
}

#[test]
fn ambiguous_lengths_are_refused_and_nothing_behind_them_is_served() {
    let gateway = Gateway::start(json!({}));
    let auth = bearer();
    for lengths in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 1x\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: \r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let mut socket = Raw::open(gateway.addr());
        let head = format!("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: {auth}\r\n{lengths}\r\n");
        socket.send(format!("{head}GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"));
        let reply = socket.reply();
        // A length beyond all numbers may be called ambiguous or too large.
        let wanted = if lengths.contains("9999") { 413 } else { 400 };
        assert_eq!(reply.status, wanted, "{lengths:?}: {}", reply.text());
        assert_eq!(reply.header("connection"), Some("close"), "{lengths:?}");
        let behind = socket.rest();
        assert!(behind.is_empty(), "{lengths:?}: it went on with {:?}", String::from_utf8_lossy(&behind));
    }
}

#[test]
fn a_garbled_chunk_is_refused() {
    let gateway = Gateway::start(json!({}));
    let auth = bearer();
    for chunks in
        ["zz\r\nabc\r\n", "ffffffffffffffffff\r\nabc", "-5\r\nabcde\r\n", "3\r\nabcdef\r\n0\r\n\r\n", "\r\n\r\n"]
    {
        let mut socket = Raw::open(gateway.addr());
        socket.send(format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: {auth}\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        ));
        let reply = socket.reply();
        // A size beyond all numbers may be called garbled or too large.
        assert!([400, 413].contains(&reply.status), "{chunks:?}: {} {}", reply.status, reply.text());
        assert!(socket.rest().is_empty(), "{chunks:?}");
    }
}

#[test]
fn a_head_that_is_no_http_is_refused() {
    let gateway = Gateway::start(json!({}));
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"HELO example.org\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    ] {
        let mut socket = Raw::open(gateway.addr());
        socket.send(bytes);
        socket.shut(Shutdown::Write);
        let said = String::from_utf8_lossy(&socket.rest()).into_owned();
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 4") || said.starts_with("HTTP/1.1 505"),
            "{bytes:?}: {said}"
        );
    }
    assert_eq!(gateway.get("/healthz").status, 200);
}

#[test]
fn a_body_too_large_is_refused_before_it_is_sent() {
    let gateway = Gateway::start(json!({}));
    let before = gateway.rss();
    let auth = bearer();
    for _ in 0..2 {
        let mut socket = Raw::open(gateway.addr());
        socket.send(format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: {auth}\r\nContent-Length: 104857600\r\n\r\n"
        ));
        assert_eq!(socket.reply().status, 413);
        let mut socket = Raw::open(gateway.addr());
        socket.send(format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: {auth}\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        let chunk = [b"100000\r\n".to_vec(), vec![b' '; 1 << 20], b"\r\n".to_vec()].concat();
        // What comes behind the refusal is read and thrown away for a moment, so that the refusal arrives.
        let _ = (0..64).take_while(|_| socket.try_send(&chunk).is_ok()).count();
        assert_eq!(socket.reply().status, 413);
    }
    assert!(gateway.rss() < before + (48 << 20), "{} -> {}", before, gateway.rss());
}

#[test]
fn a_body_without_the_secret_is_not_waited_for() {
    let gateway = Gateway::start(json!({}));
    for _ in 0..2 {
        let mut socket = Raw::open(gateway.addr());
        socket.send("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
        assert_eq!(socket.reply().status, 401);
    }
}

#[test]
fn t07_a_first_frame_of_64_kib_is_read_and_one_byte_more_is_not() {
    let gateway = Gateway::start(json!({}));
    for _ in 0..2 {
        let mut socket = Raw::open(gateway.addr());
        socket.upgrade().send_frame(raw::TEXT, &vec![b'x'; PREAUTH_FRAME]);
        let (code, reason, _) = socket.closed();
        assert_eq!((code, reason.as_str()), (1000, ""), "whole, but not JSON");
        let mut socket = Raw::open(gateway.addr());
        socket.upgrade().send_frame(raw::TEXT, &vec![b'x'; PREAUTH_FRAME + 1]);
        let (code, reason, _) = socket.closed();
        assert_eq!((code, reason.as_str()), (1009, ""));
    }
}

#[test]
fn a_hundred_promised_megabytes_cost_nothing() {
    let gateway = Gateway::start(json!({}));
    let before = gateway.rss();
    for _ in 0..2 {
        let mut sockets: Vec<Raw> = (0..8).map(|_| Raw::open(gateway.addr())).collect();
        for socket in &mut sockets {
            socket.upgrade();
            socket.send(raw::frame_head(raw::TEXT, 100 << 20, raw::mask())).send([b'x'; 100]);
        }
        for socket in &mut sockets {
            assert_eq!(socket.closed().0, 1009);
        }
    }
    assert!(gateway.rss() < before + (4 << 20), "{} -> {}", before, gateway.rss());
}

#[test]
fn frames_too_large_after_hello_close_with_1009() {
    let gateway = Gateway::start(json!({}));
    for _ in 0..2 {
        let mut socket = Raw::open(gateway.addr());
        socket.upgrade();
        let hello = connect_raw(&mut socket);
        let most = hello["payload"]["policy"]["maxPayload"].as_u64().expect("a limit");
        socket.send(raw::frame_head(raw::TEXT, most + 1, raw::mask()));
        assert_eq!(socket.closed().0, 1009);
    }
}

#[test]
fn t08_a_binary_first_frame_that_is_no_connect_is_closed() {
    let gateway = Gateway::start(json!({}));
    for _ in 0..2 {
        for payload in [&b"\x00\xff\xfe\x01"[..], b"", b"hello"] {
            let mut socket = Raw::open(gateway.addr());
            socket.upgrade().send_frame(raw::BINARY, payload);
            let (code, reason, texts) = socket.closed();
            assert_eq!((code, reason.as_str(), texts.len()), (1000, "", 1), "{payload:?}");
        }
    }
}

#[test]
fn t08_frames_that_break_the_websocket_protocol_are_closed() {
    let gateway = Gateway::start(json!({}));
    let unmasked = raw::frame(raw::TEXT, b"{}", None);
    let reserved = [0xc1, 0x80, 0, 0, 0, 0];
    let unknown = [0x83, 0x80, 0, 0, 0, 0];
    let long_ping = raw::frame(raw::PING, &[0; 126], raw::mask());
    let lone_continuation = [0x80, 0x80, 0, 0, 0, 0];
    let bad_text = raw::frame(raw::TEXT, b"\xff\xfe", raw::mask());
    for bytes in [&unmasked[..], &reserved, &unknown, &long_ping, &lone_continuation, &bad_text] {
        let mut socket = Raw::open(gateway.addr());
        socket.upgrade().send(bytes);
        let (code, _, _) = socket.closed();
        assert!([1000, 1002, 1007].contains(&code), "{bytes:?}: {code}");
    }
    gateway.operator().ok("health", json!({}));
}

#[test]
fn a_socket_that_never_says_connect_is_closed_at_the_deadline() {
    let gateway = Gateway::start(json!({}));
    for _ in 0..2 {
        let began = Instant::now();
        let mut socket = Raw::open(gateway.addr());
        socket.limit(HANDSHAKE_DEADLINE + SLACK);
        socket.upgrade();
        let (code, reason, _) = socket.closed();
        assert_eq!((code, reason.as_str()), (1000, ""));
        let took = began.elapsed();
        assert!((HANDSHAKE_DEADLINE - SLACK..HANDSHAKE_DEADLINE + SLACK).contains(&took), "it took {took:?}");
    }
}

#[test]
fn t05_one_address_may_hold_32_unauthenticated_sockets() {
    let gateway = Gateway::start(json!({}));
    let mut friend = gateway.operator();
    for round in 0..2 {
        let mut sockets: Vec<Raw> = (0..UNAUTHENTICATED).map(|_| Raw::open(gateway.addr())).collect();
        for socket in &mut sockets {
            socket.upgrade();
        }
        let mut one_more = Raw::open(gateway.addr());
        one_more.send(raw::UPGRADE);
        let reply = one_more.reply();
        assert_eq!((reply.status, reply.text().as_str()), (503, "Too many unauthenticated sockets"), "round {round}");
        assert_eq!(reply.header("connection"), Some("close"));
        friend.ok("health", json!({}));
        assert_eq!(gateway.get("/healthz").status, 200, "probes are served");
        drop(sockets);
        wait::until("the slots are free again", || {
            let mut ws = Ws::open_with(gateway.addr(), "/", &[]).ok()?;
            ws.try_hello(ws::backend(&[])).ok()
        });
    }
}

#[test]
fn t07_too_many_frames_before_connect_close_the_socket() {
    let gateway = Gateway::start(json!({}));
    for _ in 0..2 {
        let mut socket = Raw::open(gateway.addr());
        socket.upgrade();
        let frames: Vec<u8> = (0..20)
            .flat_map(|n| {
                let text =
                    json!({ "type": "req", "id": format!("f{n}"), "method": "health", "params": {} }).to_string();
                raw::frame(raw::TEXT, text.as_bytes(), raw::mask())
            })
            .collect();
        socket.send(frames);
        let (code, reason, texts) = socket.closed();
        assert_eq!((code, reason.as_str()), (1008, "invalid handshake: first request must be connect"));
        assert_eq!(texts.len(), 2, "the challenge and one answer: {texts:#?}");
    }
}

#[test]
fn a_gateway_out_of_descriptors_lives_and_serves_again() {
    let gateway = Gateway::with(json!({})).after("ulimit -n 64").start();
    for round in 0..2 {
        // Half-open HTTP connections hold a descriptor each; more than there are.
        let sockets: Vec<TcpStream> = (0..120)
            .filter_map(|_| TcpStream::connect_timeout(&gateway.addr(), Duration::from_millis(500)).ok())
            .collect();
        for mut socket in &sockets {
            // Refused ones are closed already: that is their right.
            let _ = socket.write_all(b"GET /healthz HTTP/1.1\r\n");
        }
        drop(sockets);
        wait::until(&format!("it serves again in round {round}"), || {
            raw::try_get(gateway.addr(), "/healthz").filter(|reply| reply.status == 200)
        });
        gateway.operator().ok("health", json!({}));
    }
}

#[test]
fn t05_many_half_open_connections_cost_little_and_block_nobody() {
    let gateway = Gateway::start(json!({}));
    let before = gateway.rss();
    for _ in 0..2 {
        let sockets: Vec<TcpStream> =
            (0..400).filter_map(|_| TcpStream::connect_timeout(&gateway.addr(), Duration::from_secs(2)).ok()).collect();
        let began = Instant::now();
        wait::until("somebody else is served", || raw::try_get(gateway.addr(), "/healthz"));
        assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
        assert!(gateway.rss() < before + (24 << 20), "{} -> {}", before, gateway.rss());
        drop(sockets);
        wait::until("their threads are gone", || (gateway.threads() < 40).then_some(()));
    }
}

#[test]
fn t06_a_peer_that_stops_reading_is_closed_and_others_do_not_notice() {
    let upstream = Upstream::friendly();
    let config = upstream.config_and(json!({}));
    let gateway = Gateway::start(config);
    let mut friend = gateway.operator();
    for round in 0..2 {
        let mut lazy = Raw::open(gateway.addr());
        lazy.upgrade();
        let hello = connect_raw(&mut lazy);
        let most = hello["payload"]["policy"]["maxBufferedBytes"].as_u64().expect("a limit");
        // Long history, asked for again and again without reading: the answers pile up.
        let body = "x".repeat(100_000);
        let session = format!("agent:main:lazy{round}");
        for turn in 0..4 {
            let run = format!("run-{round}-{turn}");
            friend.ok("chat.send", json!({ "sessionKey": session, "message": body, "idempotencyKey": run }));
            friend.event_where("chat", |chat| chat["state"] == "final" && chat["runId"] == run.as_str());
        }
        let answer = friend.ok("chat.history", json!({ "sessionKey": session })).to_string().len() as u64;
        assert!(answer > 100_000, "the history holds the long messages: {answer} bytes");
        let ask = json!({ "type": "req", "id": "h", "method": "chat.history", "params": { "sessionKey": session } });
        let ask = raw::frame(raw::TEXT, ask.to_string().as_bytes(), raw::mask());
        // Few at a time: a connection may have 256 requests waiting, and a refused one has a short answer.
        for _ in 0..(most * 3 / answer / 10) {
            if (0..10).any(|_| lazy.try_send(&ask).is_err()) {
                break;
            }
            for _ in 0..10 {
                friend.ok("chat.history", json!({ "sessionKey": session, "limit": 1 }));
            }
        }
        // Reading on, it finds what was on its way, and then why it was closed.
        let (code, reason, texts) = lazy.closed();
        assert_eq!((code, reason.as_str()), (1008, "slow consumer"));
        let got: u64 = texts.iter().map(|text| text.to_string().len() as u64).sum();
        assert!(got < most + (16 << 20), "{got} bytes came");
        let began = Instant::now();
        friend.ok("health", json!({}));
        assert!(began.elapsed() < Duration::from_secs(2), "others wait: {:?}", began.elapsed());
    }
    assert_eq!(gateway.get("/healthz").status, 200);
}

#[test]
fn peers_that_leave_in_the_middle_leave_nothing_behind() {
    let gateway = Gateway::start(json!({}));
    gateway.operator().ok("health", json!({}));
    let before = gateway.threads();
    for round in 0..2 {
        for cut in [1, 10, raw::UPGRADE.len() - 2, raw::UPGRADE.len()] {
            let mut socket = Raw::open(gateway.addr());
            socket.send(&raw::UPGRADE[..cut]);
            socket.shut(if round == 0 { Shutdown::Write } else { Shutdown::Both });
        }
        let mut socket = Raw::open(gateway.addr());
        socket.upgrade();
        connect_raw(&mut socket);
        socket.send(&raw::frame(raw::TEXT, &[b'x'; 1000], raw::mask())[..500]);
    }
    wait::until("their threads are gone", || (gateway.threads() <= before + 1).then_some(()));
}

#[test]
fn deep_and_strange_json_is_answered() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    client.send(&format!(r#"{{"type":"req","id":"deep","method":"health","params":{deep}}}"#));
    client.send(&deep);
    client.send(r#"{"type":"req","id":"","method":"health"}"#);
    client.send(r#"{"type":"req","id":1,"method":"health"}"#);
    client.send("{\"type\":\"req\",\"id\":\"nul\",\"method\":\"he\\u0000alth\"}");
    assert_eq!(client.ok("health", json!({}))["ok"], true);
    let mut socket = Raw::open(gateway.addr());
    let body = format!(r#"{{"messages":{deep}}}"#);
    socket.send(raw::request_bytes("POST", "/v1/chat/completions", &[("Authorization", &bearer())], body.as_bytes()));
    assert_eq!(socket.reply().status, 400);
}

#[test]
fn t10_what_clients_claim_is_escaped_in_the_log() {
    let gateway = Gateway::start(json!({}));
    let mut params = ws::backend(&[]);
    params["client"]["version"] = json!("1\n[gateway] forged line\u{1b}[31m");
    params["client"]["displayName"] = json!("x\r\n[gateway] forged name");
    params["auth"]["token"] = json!("wrong");
    Ws::open(gateway.addr()).try_hello(params).expect_err("a refusal");
    raw::get(gateway.addr(), "/v1/models%0a[gateway]%20forged%20path", &[("User-Agent", "a\tb")]);
    gateway.says("unauthorized");
    let log = gateway.log();
    assert!(!log.lines().any(|line| line.trim_start().starts_with("[gateway] forged")), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn a_full_disk_is_told_and_survived() {
    // A file size limit stands in for the full disk: it needs no rights and hits the same writes. The signal that
    // comes with it is ignored, as a full disk sends none.
    let upstream = Upstream::friendly();
    let gateway = Gateway::with(upstream.config()).after("trap '' XFSZ; ulimit -f 4096").start();
    let mut client = gateway.operator();
    let body = "x".repeat(400_000);
    let mut refused: Option<Value> = None;
    for turn in 0..40 {
        let run = format!("run-{turn}");
        let params = json!({ "sessionKey": "agent:main:main", "message": body, "idempotencyKey": run });
        match client.call("chat.send", params) {
            Err(error) => {
                refused = Some(error);
                break;
            }
            Ok(_) => {
                let end = client.event_where("chat", |chat| {
                    chat["runId"] == run.as_str() && (chat["state"] == "final" || chat["state"] == "error")
                });
                if end["payload"]["state"] == "error" {
                    refused = Some(end["payload"].clone());
                    break;
                }
            }
        }
    }
    let refused = refused.expect("what cannot be stored is not acknowledged");
    let text = refused.to_string();
    assert!(text.contains("disk") || text.contains("store") || text.contains("write"), "{text}");
    client.ok("health", json!({}));
    assert_eq!(gateway.get("/healthz").status, 200);
    let home = gateway.kill();
    let gateway = Gateway::with(upstream.config()).home(home).start();
    let mut client = gateway.operator();
    let history = client.ok("chat.history", json!({ "sessionKey": "agent:main:main", "limit": 3 }));
    assert!(
        history["messages"].as_array().is_some_and(|messages| !messages.is_empty()),
        "what was acknowledged is there"
    );
    client.ok(
        "chat.send",
        json!({ "sessionKey": "agent:main:main", "message": "room again", "idempotencyKey": "after" }),
    );
    client.event_where("chat", |chat| chat["runId"] == "after" && chat["state"] == "final");
}

#[test]
fn a_damaged_database_is_named() {
    let mut gateway = Gateway::start(json!({}));
    assert!(gateway.stop().success());
    let databases: Vec<_> = files(&gateway.state_dir())
        .into_iter()
        .filter(|path| std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3")))
        .collect();
    let database = databases.first().expect("the state directory holds a database").clone();
    std::fs::write(&database, b"this is no database, and it is long enough to be read as one".repeat(100))
        .expect("damage it");
    let home = gateway.kill();
    let ended = Gateway::with(json!({})).home(home).refused();
    assert_ne!(ended.code, Some(0), "{}", ended.output);
    let name = database.file_name().expect("it has a name").to_string_lossy().into_owned();
    assert!(ended.output.contains(&name), "{} is not named: {}", name, ended.output);
    assert!(!ended.output.contains("panicked"), "{}", ended.output);
}

#[test]
fn t09_unauthorized_calls_do_not_go_on_for_ever() {
    let gateway = Gateway::start(json!({}));
    let mut nobody = Ws::open(gateway.addr());
    nobody.hello(ws::connect("test", "test", &[]));
    for _ in 0..30 {
        golden::has(&nobody.err("status", json!({})), &json!({ "code": "FORBIDDEN" }));
    }
    nobody.ok("health", json!({}));
}

#[test]
fn a_stalled_upstream_holds_up_nobody_else() {
    let upstream = Upstream::by(|asked| {
        if asked.body["messages"].to_string().contains("stall") { Answer::Silent } else { Answer::say("fine") }
    });
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    for n in 0..40 {
        let params =
            json!({ "sessionKey": format!("agent:main:s{n}"), "message": "stall", "idempotencyKey": format!("s{n}") });
        client.ok("chat.send", params);
    }
    let began = Instant::now();
    client.ok("health", json!({}));
    assert_eq!(gateway.get("/healthz").status, 200);
    assert!(began.elapsed() < Duration::from_secs(2), "it took {:?}", began.elapsed());
}

/// Sends connect on a bare socket and gives the answer frame.
#[track_caller]
fn connect_raw(socket: &mut Raw) -> Value {
    let params = ws::backend(&["operator.admin", "operator.read", "operator.write"]);
    let connect = json!({ "type": "req", "id": "c", "method": "connect", "params": params });
    socket.send_frame(raw::TEXT, connect.to_string().as_bytes());
    loop {
        let frame = socket.frame();
        if frame.opcode == raw::TEXT && frame.json()["type"] == "res" {
            return frame.json();
        }
    }
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for path in std::fs::read_dir(folder).expect("read a folder").flatten().map(|entry| entry.path()) {
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
}
