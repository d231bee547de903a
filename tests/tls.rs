//! TLS against the real binary: a pair it makes, a pair that is replaced, clients that know its fingerprint.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use openclaw::gateway::tls::fingerprint;
use openclaw::net::self_signed;
use serde_json::{Value, json};

use crate::support::gateway::{self, Gateway, TOKEN};
use crate::support::scratch::Scratch;
use crate::support::{raw, wait};

/// Asks the gateway's health over TLS with the program itself; the pin is given or taken from the files.
fn health(gateway: &Gateway, pin: Option<&str>) -> Result<(), String> {
    let url = format!("wss://127.0.0.1:{}", gateway.port);
    let port = gateway.port.to_string();
    let args = match pin {
        Some(pin) => vec!["health", "--url", &url, "--token", TOKEN, "--tls-fingerprint", pin, "--json"],
        None => vec!["health", "--port", &port, "--json"],
    };
    let ran = gateway::run(gateway.home(), &args, &[]);
    match ran.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&ran.stderr).into_owned() + &String::from_utf8_lossy(&ran.stdout)),
    }
}

fn pin_of(path: &Path) -> String {
    fingerprint(&std::fs::read(path).expect("the certificate")).expect("PEM")
}

#[test]
fn a_pair_is_made_pinned_and_followed_when_it_is_replaced() {
    let gateway = Gateway::tls(json!({ "gateway": { "tls": { "enabled": true } } }));
    let (cert, key) =
        (gateway.state_dir().join("tls/gateway-cert.pem"), gateway.state_dir().join("tls/gateway-key.pem"));
    let first = pin_of(&cert);
    gateway.says(&first);
    health(&gateway, None).expect("the program of this host knows the certificate");
    health(&gateway, Some(&first)).expect("pinned");
    let other = "ab".repeat(32);
    let error = health(&gateway, Some(&other)).expect_err("another certificate");
    assert!(error.contains("fingerprint"), "{error}");
    let made = self_signed::pair(&["localhost"], jiff::Timestamp::now()).expect("made");
    // One of them is written before the other: half of a pair changes nothing.
    std::fs::write(&key, &made.key).expect("write the key");
    gateway.says("the TLS certificate stays as it was");
    health(&gateway, Some(&first)).expect("still the first");
    std::fs::write(&cert, &made.certificate).expect("write the certificate");
    let second = pin_of(&cert);
    wait::until("the new certificate is served", || health(&gateway, Some(&second)).ok());
    assert!(health(&gateway, Some(&first)).is_err(), "the old one is gone");
}

#[test]
fn tls_and_plaintext_never_answer_on_the_same_port() {
    let secure = Gateway::tls(json!({ "gateway": { "tls": { "enabled": true } } }));
    let mut plain = TcpStream::connect(secure.addr()).expect("connect");
    plain.set_read_timeout(Some(wait::LIMIT)).expect("set a deadline");
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("ask in the clear");
    let mut answer = Vec::new();
    // An alert or a reset: either is an end.
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "nothing is served in the clear");
    let open = Gateway::start(json!({}));
    let hello = [&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3][..], b"\r\n\r\n"].concat();
    let mut raw = raw::Raw::open(open.addr());
    raw.send(hello);
    assert_eq!(raw.reply().status, 400, "a TLS hello on the plain port is told so");
    let error = health(&open, Some(&"ab".repeat(32))).expect_err("no TLS there");
    assert!(!error.is_empty());
    let missing = json!({ "gateway": { "tls": { "enabled": true, "autoGenerate": false } } });
    let ended = Gateway::with(missing).refused();
    assert_eq!(ended.code, Some(78), "{}", ended.output);
}

#[test]
fn a_command_for_another_host_shows_the_key_of_its_own() {
    let gateway = Gateway::tls(json!({ "gateway": { "tls": { "enabled": true } } }));
    let pin = pin_of(&gateway.state_dir().join("tls/gateway-cert.pem"));
    // The address is not this host's by its looks; whoever answers is.
    let url = format!("wss://0.0.0.0:{}", gateway.port);
    let elsewhere = Scratch::new();
    let ask = |args: &[&str]| {
        let args = [args, &["--url", &url, "--token", TOKEN, "--tls-fingerprint", &pin, "--json"]].concat();
        gateway::run(elsewhere.path(), &args, &[])
    };
    let run = |args: &[&str]| {
        let ran = ask(args);
        assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
        serde_json::from_slice::<Value>(&ran.stdout).expect("JSON")
    };
    // Looking leaves nothing behind; the first command asks, and says what to do there.
    gateway::run(elsewhere.path(), &["gateway", "probe", "--url", &url, "--token", TOKEN], &[]);
    assert!(!gateway.log().contains("asks for approval"), "{}", gateway.log());
    let refused = ask(&["devices", "list"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
    let id = said.split("openclaw devices approve ").nth(1).expect("the command to approve it").trim().get(..36);
    let id = id.unwrap_or_else(|| panic!("no request: {said}"));
    let port = gateway.port.to_string();
    let approved = gateway::run(gateway.home(), &["devices", "approve", id, "--port", &port], &[]);
    assert!(approved.status.success(), "{approved:?}");
    let listed = run(&["devices", "list"]);
    let file = gateway::state_dir(elsewhere.path()).join("identity/device.json");
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).expect("a key")).expect("JSON");
    let paired = listed["paired"].as_array().expect("devices");
    assert!(paired.iter().any(|device| device["deviceId"] == kept["deviceId"]), "{listed}");
    run(&["cron", "list"]);
    let again: Value = serde_json::from_slice(&std::fs::read(&file).expect("a key")).expect("JSON");
    assert_eq!(again, kept, "one key for all commands");
}
