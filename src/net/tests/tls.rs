//! The same over TLS.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;

/// A self-signed pair for `localhost`, made for these tests and valid for a hundred years.
const CERT: &[u8] = include_bytes!("cert.pem");
const KEY: &[u8] = include_bytes!("key.pem");

type Client = StreamOwned<ClientConnection, TcpStream>;

fn rig(limits: Limits) -> Rig {
    Rig::with(limits, Some(TlsConfig::from_pem(CERT, KEY).unwrap()))
}

fn client(rig: &Rig) -> Client {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CERT).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(session, rig.connect().stream)
}

fn expect(client: &mut Client, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    client.read_exact(&mut got).unwrap();
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(expected));
}

fn head(client: &mut Client) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn requests_are_served_and_the_end_is_said() {
    let rig = rig(limits());
    let mut client = client(&rig);
    for _ in 0..3 {
        client.write_all(b"GET /tls HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(head(&mut client).starts_with("HTTP/1.1 200 OK\r\n"));
        expect(&mut client, b"/tls");
    }
    client.write_all(b"GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    head(&mut client);
    let mut rest = Vec::new();
    // Without the goodbye this would be an error.
    client.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), 1 << 20);
}

#[test]
fn a_socket_talks_both_ways_at_once_and_closes_in_order() {
    let rig = rig(limits());
    let mut client = client(&rig);
    client.write_all(UPGRADE.as_bytes()).unwrap();
    head(&mut client);
    expect(&mut client, b"\x81\x05hello");
    client.write_all(&client_frame(0x81, b"admit")).unwrap();
    expect(&mut client, b"\x81\x08admitted");
    let mail = rig.mailboxes.recv_timeout(SOON).unwrap();
    let pushing = std::thread::spawn(move || (0..500).for_each(|_| mail.text("event")));
    let big = "z".repeat(300 << 10);
    client.write_all(&client_frame(0x81, big.as_bytes())).unwrap();
    let (mut events, mut echoes) = (0, 0);
    while (events, echoes) != (500, 1) {
        let mut short = [0; 2];
        client.read_exact(&mut short).unwrap();
        if short == [0x81, 5] {
            expect(&mut client, b"event");
            events += 1;
        } else {
            assert_eq!(short, [0x81, 127]);
            expect(&mut client, &(big.len() as u64).to_be_bytes());
            expect(&mut client, big.as_bytes());
            echoes += 1;
        }
    }
    pushing.join().unwrap();
    client.write_all(&client_frame(0x81, b"bye")).unwrap();
    expect(&mut client, b"\x81\x0alast words");
    expect(&mut client, b"\x88\x0d\x03\xf0as you wish");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}

#[test]
fn a_client_that_leaves_in_order_is_noticed_behind_its_goodbye() {
    let rig = rig(limits());
    let mut client = client(&rig);
    client.write_all(b"GET /silent HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    head(&mut client);
    client.conn.send_close_notify();
    client.flush().unwrap();
    assert_eq!(rig.next_seen(), Seen::PeerGone);
}

#[test]
fn a_stalled_handshake_and_plain_http_are_given_up() {
    let rig = rig(Limits { tls_time: Duration::from_millis(100), ..limits() });
    for hello in [&b""[..], b"\x16\x03\x01", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut raw = rig.connect();
        raw.send(hello);
        let mut scrap = Vec::new();
        // An alert, an end or a reset: not an answer, and soon.
        let _ = raw.stream.read_to_end(&mut scrap);
        assert!(!scrap.starts_with(b"HTTP"));
    }
    rig.until("the places are free again", |server| server.connections() == 0);
}

#[test]
fn a_pair_that_does_not_fit_is_refused_with_its_reason() {
    assert!(matches!(TlsConfig::from_pem(b"", KEY), Err(TlsError::Certificate)));
    assert!(matches!(TlsConfig::from_pem(CERT, b"none"), Err(TlsError::Key)));
}

#[test]
fn a_replaced_pair_is_served_to_the_next_and_the_first_keeps_its_own() {
    let config = TlsConfig::from_pem(CERT, KEY).unwrap();
    let rig = Rig::with(limits(), Some(config.clone()));
    let mut first = client(&rig);
    first.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    head(&mut first);
    let other = super::super::self_signed::pair(&["localhost"], jiff::Timestamp::now()).unwrap();
    assert!(config.replace(CERT, other.key.as_bytes()).is_err(), "half of a pair is not served");
    config.replace(other.certificate.as_bytes(), other.key.as_bytes()).unwrap();
    let mut second = client(&rig);
    assert!(second.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").is_err(), "it trusts the first certificate only");
}
