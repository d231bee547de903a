use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tungstenite::Message;

use super::fake::{Fake, hello};
use super::*;
use crate::sys::secret::Secret;

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(10);

fn connect(fake: &Fake) -> Result<Client, ClientError> {
    Client::connect(&Address::new(&fake.url), &Identity::cli(&["operator.read"]), Deadlines::default())
}

#[test]
fn a_greeting_a_question_and_a_goodbye() {
    let fake = Fake::start(1, |peer| {
        let params = peer.greet();
        assert_eq!(params["client"]["id"], "cli");
        assert_eq!(params["auth"], json!({"token": "t"}));
        assert_eq!((params["minProtocol"].as_u64(), params["maxProtocol"].as_u64()), (Some(4), Some(4)));
        let asked = peer.request().expect("a question");
        assert_eq!((asked["method"].as_str(), &asked["params"]), (Some("health"), &json!({"probe": true})));
        peer.say(&json!({"type": "res", "id": asked["id"], "ok": true, "payload": {"ok": true}}));
        assert!(peer.request().is_none());
    });
    let who = Identity::cli(&["operator.read"]).with_token(Some(Secret::new("t")));
    let mut client = Client::connect(&Address::new(&fake.url), &who, Deadlines::default()).expect("welcome");
    let hello = client.hello().expect("hello-ok");
    assert_eq!((hello.version(), hello.scopes()), (Some("9.9.9"), vec!["operator.read"]));
    assert!(hello.has_method("health") && hello.has_capability("published-model-catalog"));
    assert_eq!(client.request("health", json!({"probe": true})).expect("an answer"), json!({"ok": true}));
    client.close();
}

#[test]
fn a_refusal_keeps_code_details_and_the_close() {
    let fake = Fake::start(1, |peer| {
        peer.challenge();
        let connect = peer.request().expect("connect");
        let error =
            json!({"code": "INVALID_REQUEST", "message": "unauthorized", "details": {"code": "AUTH_TOKEN_MISMATCH"}});
        peer.say(&json!({"type": "res", "id": connect["id"], "ok": false, "error": error}));
        peer.close(1008, "unauthorized");
    });
    let Err(ClientError::Refused { error, close }) = connect(&fake) else { panic!("refused") };
    assert_eq!(error.detail_code(), Some("AUTH_TOKEN_MISMATCH"));
    assert_eq!(close, Some(Closed { code: 1008, reason: "unauthorized".into() }));
}

#[test]
fn a_gateway_that_closes_without_an_answer_is_quoted() {
    let fake = Fake::start(1, |peer| {
        peer.challenge();
        peer.request();
        peer.close(1013, "gateway starting");
    });
    let Err(ClientError::Closed(closed)) = connect(&fake) else { panic!("closed") };
    assert_eq!(closed.to_string(), "gateway closed (1013 try again later): gateway starting");
}

#[test]
fn a_connection_that_just_ends_is_1006() {
    let fake = Fake::start(1, |peer| peer.challenge());
    let Err(ClientError::Closed(closed)) = connect(&fake) else { panic!("closed") };
    assert_eq!(closed, Closed::abnormal());
}

#[test]
fn a_silent_server_is_given_up_at_the_deadline() {
    let deadlines = Deadlines { handshake: SHORT, ..Deadlines::default() };
    for upgrades in [false, true] {
        let fake = Fake::raw(1, move |mut socket| {
            if upgrades {
                drop(tungstenite::accept(socket).map(|mut ws| ws.read()));
            } else {
                drop(socket.read_to_end(&mut Vec::new()));
            }
        });
        let begun = Instant::now();
        let failed =
            Client::connect(&Address::new(&fake.url), &Identity::probe(), deadlines).err().expect("no gateway");
        assert!(matches!(failed, ClientError::Timeout { .. }), "{failed:?}");
        assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    }
}

#[test]
fn a_server_that_dribbles_does_not_move_the_deadline() {
    let fake = Fake::raw(1, |mut socket| {
        while socket.write_all(b"H").is_ok() {
            if socket.set_read_timeout(Some(Duration::from_millis(20))).is_err()
                || matches!(socket.read(&mut [0; 512]), Ok(0))
            {
                break;
            }
        }
    });
    let deadlines = Deadlines { handshake: SHORT, ..Deadlines::default() };
    let begun = Instant::now();
    assert!(Client::open(&Address::new(&fake.url), deadlines).is_err());
    assert!(begun.elapsed() < LONG);
}

#[test]
fn a_late_answer_is_a_timeout_and_the_next_question_is_still_answered() {
    let fake = Fake::start(1, |peer| {
        peer.greet();
        let late = peer.request().expect("the first");
        let next = peer.request().expect("the second");
        peer.say(&json!({"type": "res", "id": late["id"], "ok": true, "payload": "late"}));
        peer.say(&json!({"type": "res", "id": next["id"], "ok": true, "payload": "next"}));
        peer.request();
    });
    let mut client = connect(&fake).expect("welcome");
    let failed = client.request_within("slow", json!({}), SHORT).expect_err("no answer");
    assert_eq!(failed.to_string(), "no answer to slow within 150 ms");
    assert_eq!(client.request("quick", json!({})).expect("an answer"), json!("next"));
}

#[test]
fn answers_are_matched_by_id_and_events_are_kept() {
    let fake = Fake::start(1, |peer| {
        peer.greet();
        let (first, second) = (peer.request().expect("one"), peer.request().expect("two"));
        peer.event("tick", json!({"ts": 1}));
        peer.say(&json!({"type": "res", "id": second["id"], "ok": true, "payload": 2}));
        peer.say(&json!({"type": "res", "id": first["id"], "ok": true, "payload": 1}));
        peer.request();
    });
    let mut client = connect(&fake).expect("welcome");
    let first = client.send("a", Some(json!({}))).expect("sent");
    let second = client.send("b", None::<Value>).expect("sent");
    assert_eq!(client.answer(&first, LONG).expect("one").result, Ok(json!(1)));
    assert_eq!(client.answer(&second, LONG).expect("two").result, Ok(json!(2)));
    assert_eq!(client.next_event(LONG).expect("alive").expect("an event").name, "tick");
    assert!(client.next_event(SHORT).expect("alive").is_none());
}

#[test]
fn the_second_answer_is_the_answer_and_events_between_are_seen() {
    let fake = Fake::start(1, |peer| {
        peer.greet();
        let id = peer.request().expect("agent")["id"].clone();
        peer.say(&json!({"type": "res", "id": id, "ok": true, "payload": {"status": "accepted"}}));
        peer.event("agent", json!({"stream": "assistant"}));
        peer.event("tick", json!({}));
        peer.say(&json!({"type": "res", "id": id, "ok": true, "payload": {"status": "ok"}}));
        peer.request();
    });
    let mut client = connect(&fake).expect("welcome");
    let mut seen = Vec::new();
    let answer = client.request_final("agent", json!({}), LONG, &mut |event| {
        seen.push(event.name.clone());
        event.name == "tick"
    });
    assert_eq!(answer.expect("the end"), json!({"status": "ok"}));
    assert_eq!(seen, ["agent", "tick"]);
    assert_eq!(client.next_event(SHORT).expect("alive").expect("kept").name, "tick");
}

#[test]
fn an_error_answer_leaves_the_connection_usable() {
    let fake = Fake::polite(1, |method, _| match method {
        "good" => Ok(json!(1)),
        _ => Err(json!({"code": "UNAVAILABLE", "message": "busy", "retryable": true, "retryAfterMs": 12.5})),
    });
    let mut client = connect(&fake).expect("welcome");
    let Err(ClientError::Rpc(error)) = client.request("bad", json!({})) else { panic!("an error") };
    assert_eq!((error.code.as_str(), error.retryable, error.retry_after_ms), ("UNAVAILABLE", Some(true), Some(12.5)));
    assert_eq!(client.request("good", json!({})).expect("an answer"), json!(1));
}

#[test]
fn frames_can_be_sent_and_read_as_they_are() {
    let fake = Fake::start(1, |peer| {
        peer.challenge();
        assert_eq!(peer.request().expect("raw"), json!(["nonsense"]));
        peer.close(1008, "invalid request frame");
    });
    let mut client = Client::open(&Address::new(&fake.url), Deadlines::default()).expect("open");
    let Ok(Raw::Text(greeting)) = client.read_raw(LONG) else { panic!("the challenge") };
    assert!(greeting.contains("connect.challenge"));
    client.send_raw(Message::text(r#"["nonsense"]"#)).expect("sent");
    let closed = Raw::Closed(Closed { code: 1008, reason: "invalid request frame".into() });
    assert_eq!(client.read_raw(LONG).expect("the close"), closed);
    assert_eq!(client.read_raw(LONG).expect("still closed"), closed);
}

#[test]
fn an_http_server_is_recognised_by_its_status() {
    let fake = Fake::raw(1, |mut socket| {
        drop(socket.read(&mut [0; 1024]));
        let answer = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 8\r\nConnection: close\r\n\r\nToo many";
        socket.write_all(answer.as_bytes()).expect("sent");
    });
    let Err(ClientError::Upgrade { status, body }) = connect(&fake) else { panic!("no upgrade") };
    assert_eq!((status, body.as_str()), (503, "Too many"));
}

#[test]
fn nobody_listening_is_unreachable_and_bad_addresses_are_named() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("address").port();
    let gone = Client::open(&Address::new(format!("ws://127.0.0.1:{port}")), Deadlines::default());
    assert!(matches!(gone.err(), Some(ClientError::Unreachable { .. })));
    for bad in ["http://x", "ws://", "nonsense", ""] {
        let refused = Client::open(&Address::new(bad), Deadlines::default());
        assert!(matches!(refused.err(), Some(ClientError::Address(_))), "{bad}");
    }
}

#[test]
fn unread_events_do_not_grow_for_ever() {
    let big = "x".repeat(1 << 20);
    let fake = Fake::start(1, move |peer| {
        peer.greet();
        let id = peer.request().expect("a question")["id"].clone();
        for _ in 0..6 {
            peer.event("chat", json!({"text": big}));
        }
        peer.say(&json!({"type": "res", "id": id, "ok": true}));
        peer.request();
    });
    let mut client = connect(&fake).expect("welcome");
    client.request("x", json!({})).expect("an answer");
    assert_eq!(client.events_lost(), 3);
    assert!(client.event_bytes <= EVENTS_KEPT);
}

#[test]
fn only_the_pinned_certificate_is_accepted() {
    // Self-signed for "localhost", ECDSA P-256, valid until 2126; the key protects nothing.
    let cert = include_bytes!("testdata/localhost.der").to_vec();
    let pin = ring::digest::digest(&ring::digest::SHA256, &cert);
    let hex: String = pin.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(cert)],
            PrivateKeyDer::try_from(include_bytes!("testdata/localhost.key").to_vec()).expect("PKCS #8"),
        )
        .expect("a pair");
    let config = Arc::new(config);
    let fake = Fake::raw(3, move |socket| {
        let session = rustls::ServerConnection::new(config.clone()).expect("a session");
        let Ok(mut ws) = tungstenite::accept(rustls::StreamOwned::new(session, socket)) else { return };
        let challenge = json!({"type": "event", "event": "connect.challenge", "payload": {}});
        ws.send(Message::text(challenge.to_string())).expect("sent");
        let connect: Value = serde_json::from_str(ws.read().expect("connect").to_text().expect("text")).expect("JSON");
        let res = json!({"type": "res", "id": connect["id"], "ok": true, "payload": hello(&json!([]))});
        ws.send(Message::text(res.to_string())).expect("sent");
        drop(ws.read());
    });
    let url = fake.url.replace("ws://127.0.0.1", "wss://localhost");
    let with = |pin: Option<&str>| {
        let pin = pin.map(|pin| Fingerprint::parse(pin).expect("a fingerprint"));
        Client::connect(&Address { url: url.clone(), pin }, &Identity::probe(), Deadlines::default())
    };
    assert!(matches!(with(None).err(), Some(ClientError::Tls(_))), "nobody signed it");
    assert!(matches!(with(Some(&"00".repeat(32))).err(), Some(ClientError::Tls(_))), "another one");
    with(Some(&hex)).expect("the pinned one").close();
}
