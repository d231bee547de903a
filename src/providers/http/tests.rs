//! Deadlines, aborts, reuse and refusals of upstream calls, over plain sockets and TLS.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crossbeam_channel::{Receiver, unbounded};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::super::fake::{self, Act, Fake, LIMIT, chunk, end, events, json, short, stream_head};
use super::super::settings::{Api, ProviderSettings, Timeouts};
use super::*;

fn upstream(fake: &Fake, timeouts: Timeouts) -> Upstream {
    let settings = ProviderSettings { timeouts, ..fake.settings(Api::default()) };
    Upstream::new(&settings, &[]).expect("valid settings")
}

/// Reads an answer to its end and gives its data.
fn read(answer: Answer<'_>) -> Result<Vec<String>, ProviderError> {
    let mut data = Vec::new();
    answer.events(&mut |event| {
        data.push(event.data.to_string());
        Ok(Flow::On)
    })?;
    Ok(data)
}

fn call(upstream: &Upstream, abort: &Abort) -> Result<Vec<String>, ProviderError> {
    upstream.post("/x", &Payload::plain(b"{}".to_vec()), abort).and_then(read)
}

/// Runs a call, fires the abort when the server has fallen silent, and gives the result with the time it took to end.
fn aborted(upstream: Upstream, silence: &Receiver<&'static str>) -> (Result<Vec<String>, ProviderError>, Duration) {
    let abort = Abort::new();
    let caller = {
        let abort = abort.clone();
        std::thread::spawn(move || call(&upstream, &abort))
    };
    assert_eq!(silence.recv_timeout(LIMIT), Ok("silent"));
    let fired = Instant::now();
    abort.fire();
    let result = caller.join().expect("no panic");
    let took = fired.elapsed();
    assert_eq!(silence.recv_timeout(LIMIT), Ok("gone"), "the upstream call ends, too");
    (result, took)
}

#[test]
fn an_abort_ends_a_call_before_the_first_byte_and_in_the_body() {
    let before = vec![Act::Silence];
    let after_head = vec![stream_head(), Act::Silence];
    let in_body = vec![stream_head(), chunk(b"data: a\n\n"), Act::Silence];
    for script in [before, after_head, in_body] {
        let fake = Fake::start(vec![script]);
        let (result, took) = aborted(upstream(&fake, Timeouts::default()), &fake.silences);
        assert_eq!(result, Err(ProviderError::Aborted));
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

#[test]
fn an_abort_before_the_call_opens_nothing() {
    let fake = Fake::start(vec![events(&["a"])]);
    let abort = Abort::new();
    abort.fire();
    assert_eq!(call(&upstream(&fake, Timeouts::default()), &abort), Err(ProviderError::Aborted));
    assert_eq!(fake.accepted.load(Ordering::SeqCst), 0);
}

#[test]
fn connections_are_reused_and_an_abort_hits_only_its_own_call() {
    let silent = vec![stream_head(), Act::Silence];
    let fake = Fake::start(vec![events(&["a"]), events(&["b"]), silent, events(&["c"])]);
    let upstream = Arc::new(upstream(&fake, Timeouts::default()));
    let first = Abort::new();
    assert_eq!(call(&upstream, &first), Ok(vec!["a".into()]));
    // A late abort of a finished call must not reach the connection's next user.
    first.fire();
    assert_eq!(call(&upstream, &Abort::new()), Ok(vec!["b".into()]));
    assert_eq!(fake.accepted.load(Ordering::SeqCst), 1);
    let abort = Abort::new();
    let stuck = {
        let (upstream, abort) = (upstream.clone(), abort.clone());
        std::thread::spawn(move || call(&upstream, &abort))
    };
    assert_eq!(fake.silence(), "silent");
    assert_eq!(call(&upstream, &Abort::new()), Ok(vec!["c".into()]));
    abort.fire();
    assert_eq!(stuck.join().expect("no panic"), Err(ProviderError::Aborted));
    assert_eq!(fake.accepted.load(Ordering::SeqCst), 2);
}

#[test]
fn a_kept_connection_that_died_is_replaced_silently() {
    let mut closing = events(&["a"]);
    closing.push(Act::Close);
    let fake = Fake::start(vec![closing, events(&["b"])]);
    let upstream = upstream(&fake, Timeouts::default());
    assert_eq!(call(&upstream, &Abort::new()), Ok(vec!["a".into()]));
    assert_eq!(call(&upstream, &Abort::new()), Ok(vec!["b".into()]));
}

#[test]
fn the_pool_keeps_a_few_connections_only() {
    let calls = IDLE_CAP + 2;
    let fake = Fake::start(vec![events(&["a"]); calls]);
    let upstream = upstream(&fake, Timeouts::default());
    let answers: Vec<_> = (0..calls)
        .map(|_| upstream.post("/x", &Payload::plain(b"{}".to_vec()), &Abort::new()).expect("an answer"))
        .collect();
    answers.into_iter().for_each(|answer| drop(read(answer).expect("a body")));
    assert_eq!(upstream.idle.lock().expect("no panic").len(), IDLE_CAP);
}

#[test]
fn silence_runs_into_the_deadline_of_its_phase() {
    let trickle = vec![stream_head(), chunk(b"data: a\n\n"), Act::Silence];
    let fake = Fake::start(vec![vec![Act::Silence], vec![stream_head(), Act::Silence], trickle]);
    let upstream = upstream(&fake, short());
    for expected in ["first byte", "first byte", "read"] {
        let Err(ProviderError::Timeout { what, after_ms }) = call(&upstream, &Abort::new()) else {
            panic!("{expected} should have passed");
        };
        assert_eq!((what, after_ms), (expected, 120));
    }
}

#[test]
fn nobody_there_is_a_connect_error_that_names_the_place() {
    let settings = ProviderSettings::new("x", format!("http://127.0.0.1:{}/v1", fake::dead_port()), Api::default());
    let upstream = Upstream::new(&settings, &[]).expect("valid settings");
    let error = call(&upstream, &Abort::new()).expect_err("nobody listens");
    assert!(matches!(error, ProviderError::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
}

#[test]
fn a_hang_up_without_an_answer_is_a_connect_error() {
    let fake = Fake::start(vec![vec![Act::Close]]);
    let error = call(&upstream(&fake, Timeouts::default()), &Abort::new()).expect_err("no answer");
    assert!(error.to_string().contains("closed without an answer"), "{error}");
}

#[test]
fn redirects_are_reported_not_followed() {
    let target = Fake::start(vec![events(&["stolen"])]);
    let location = format!("location: http://127.0.0.1:{}/steal?key=1\r\n", target.port);
    let fake = Fake::start(vec![fake::answer("307 Temporary Redirect", &location, "")]);
    let error = call(&upstream(&fake, Timeouts::default()), &Abort::new()).expect_err("not followed");
    assert!(error.to_string().contains("redirects to http://127.0.0.1;"), "{error}");
    assert_eq!(target.accepted.load(Ordering::SeqCst), 0);
}

#[test]
fn a_server_that_does_not_end_its_body_delays_nobody() {
    let lazy = vec![stream_head(), chunk(b"data: [DONE]\n\n"), Act::Silence];
    let fake = Fake::start(vec![lazy]);
    let upstream = upstream(&fake, Timeouts::default());
    let answer = upstream.post("/x", &Payload::plain(b"{}".to_vec()), &Abort::new()).expect("an answer");
    let begin = Instant::now();
    answer.events(&mut |_| Ok(Flow::Last)).expect("the event says it is the last");
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert_eq!(upstream.idle.lock().expect("no panic").len(), 0);
}

#[test]
fn an_endless_head_and_a_huge_document_are_cut_off() {
    let endless = vec![Act::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), Act::Send(vec![b'x'; 64 << 10]), Act::Close];
    let fake = Fake::start(vec![endless, json("200 OK", &"x".repeat(1 << 16))]);
    let upstream = upstream(&fake, Timeouts::default());
    assert!(call(&upstream, &Abort::new()).is_err());
    let answer = upstream.post("/x", &Payload::plain(b"{}".to_vec()), &Abort::new()).expect("an answer");
    assert!(matches!(answer.whole(1 << 10), Err(ProviderError::Garbled { .. })));
}

#[test]
fn bodies_with_a_length_and_bodies_that_end_with_the_connection_are_read() {
    let close = Act::Send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: c\n\n".to_vec());
    let sized = fake::answer("200 OK", "content-type: text/event-stream\r\n", "data: s\n\n");
    let fake = Fake::start(vec![sized, vec![close, Act::Close]]);
    let upstream = upstream(&fake, Timeouts::default());
    assert_eq!(call(&upstream, &Abort::new()), Ok(vec!["s".into()]));
    assert_eq!(call(&upstream, &Abort::new()), Ok(vec!["c".into()]));
}

#[test]
fn a_large_request_goes_out_whole() {
    let fake = Fake::start(vec![events(&["a"])]);
    let body = vec![b'x'; 300 << 10];
    let answer = upstream(&fake, Timeouts::default());
    let answer = answer.post("/x", &Payload::plain(body.clone()), &Abort::new()).expect("an answer");
    assert_eq!(read(answer), Ok(vec!["a".into()]));
    assert!(fake.request().len() > body.len());
}

#[test]
fn a_key_that_cannot_be_a_header_is_refused_without_showing_it() {
    let settings = ProviderSettings::new("x", "http://127.0.0.1/v1", Api::default());
    let error = Upstream::new(&settings, &[("authorization", "Bearer a\nb".into())]).err().expect("refused");
    assert!(error.to_string().contains("\"authorization\"") && !error.to_string().contains("Bearer"), "{error}");
}

#[test]
fn retry_after_is_read_in_all_its_forms() {
    assert_eq!(retry_after("", "7"), Some(7000));
    assert_eq!(retry_after("1500", "7"), Some(1500));
    assert_eq!(retry_after("", "Wed, 21 Oct 2015 07:28:00 GMT"), Some(0));
    assert_eq!(retry_after("", "soon"), None);
}

/// Plays scripts over TLS for one connection, with the certificate of the tests.
fn tls_server(scripts: Vec<Vec<Act>>) -> (u16, Receiver<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let port = listener.local_addr().expect("bound").port();
    let (silences_in, silences) = unbounded();
    std::thread::spawn(move || {
        let socket = fake::accept(&listener);
        let session = ServerConnection::new(Arc::new(server_config())).expect("valid settings");
        let stream = Shared(Arc::new(Mutex::new(StreamOwned::new(session, socket))));
        let (requests, _kept) = unbounded();
        fake::serve(stream.clone(), stream, &Mutex::new(VecDeque::from(scripts)), &requests, &silences_in);
    });
    (port, silences)
}

/// The scripts read and write by turns, never at once.
#[derive(Clone)]
struct Shared(Arc<Mutex<StreamOwned<ServerConnection, std::net::TcpStream>>>);

impl std::io::Read for Shared {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").read(into)
    }
}

impl std::io::Write for Shared {
    fn write(&mut self, from: &[u8]) -> std::io::Result<usize> {
        std::io::Write::write(&mut *self.0.lock().expect("no panic"), from)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::Write::flush(&mut *self.0.lock().expect("no panic"))
    }
}

const PEM: &[u8] = include_bytes!("../testdata/localhost.pem");

fn server_config() -> ServerConfig {
    let certificate = CertificateDer::from_pem_slice(PEM).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(PEM).expect("a key");
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("supported")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together")
}

fn trusting() -> Result<Arc<ClientConfig>, ureq::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(PEM).expect("a certificate")).expect("a root");
    crate::net::dial::build_config(roots).map(Arc::new)
}

fn https(port: u16, tls: fn() -> Result<Arc<ClientConfig>, ureq::Error>) -> Upstream {
    let settings = ProviderSettings::new("x", format!("https://127.0.0.1:{port}"), Api::default());
    Upstream { tls, ..Upstream::new(&settings, &[]).expect("valid settings") }
}

#[test]
fn tls_connections_work_are_reused_and_can_be_aborted() {
    let silent = vec![stream_head(), chunk(b"data: b\n\n"), Act::Silence];
    let (port, silences) = tls_server(vec![events(&["a"]), silent]);
    let upstream = https(port, trusting);
    assert_eq!(call(&upstream, &Abort::new()), Ok(vec!["a".into()]));
    // The server takes one connection only: the second call proves the reuse.
    let (result, took) = aborted(upstream, &silences);
    assert_eq!(result, Err(ProviderError::Aborted));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn an_unknown_certificate_is_refused() {
    let (port, _silences) = tls_server(vec![events(&["a"])]);
    let error = call(&https(port, client_config), &Abort::new()).expect_err("nobody signed it");
    assert!(matches!(&error, ProviderError::Connect { cause, .. } if cause.contains("certificate")), "{error:?}");
}

#[test]
fn an_abort_ends_a_tls_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let upstream = https(listener.local_addr().expect("bound").port(), trusting);
    let abort = Abort::new();
    let caller = {
        let abort = abort.clone();
        std::thread::spawn(move || call(&upstream, &abort))
    };
    let mut socket = fake::accept(&listener);
    // The client's hello has arrived; it will get no answer.
    assert!(std::io::Read::read(&mut socket, &mut [0; 16]).is_ok_and(|amount| amount > 0));
    let fired = Instant::now();
    abort.fire();
    assert_eq!(caller.join().expect("no panic"), Err(ProviderError::Aborted));
    assert!(fired.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_half_open_chunk_stream_ends_with_its_end_chunk() {
    let fake = Fake::start(vec![vec![stream_head(), chunk(b"data: open"), end()]]);
    assert_eq!(call(&upstream(&fake, Timeouts::default()), &Abort::new()), Ok(vec!["open".into()]));
}
