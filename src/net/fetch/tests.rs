//! Fetches against servers on loopback, which only an exempting policy lets through.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};

use crossbeam_channel::{Receiver, unbounded};

use super::*;

/// A server that answers one connection after the other with the given bytes, and the requests it saw.
fn server(answers: Vec<String>) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let port = listener.local_addr().expect("bound").port();
    let (seen_in, seen) = unbounded();
    std::thread::spawn(move || {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let Some(request) = read(&stream) else { continue };
            // A test that wants to know listens.
            let _ = seen_in.send(request);
            let _ = stream.write_all(answer.as_bytes());
            if answer.ends_with(HANGS) {
                let _ = stream.read(&mut [0]);
            }
        }
    });
    (port, seen)
}

/// Ends an answer after which the server says nothing more and does not hang up.
const HANGS: &str = "hangs";

fn read(stream: &TcpStream) -> Option<String> {
    let mut input = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let start = head.len();
        if input.read_line(&mut head).ok()? == 0 {
            return None;
        }
        if let Some(value) = head[start..].to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if &head[start..] == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    Some(head.to_ascii_lowercase() + &String::from_utf8_lossy(&body))
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: Text/Plain\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn redirect(status: u16, to: &str) -> String {
    format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

fn exempting(hosts: &[&str]) -> Policy {
    Policy { exempt: hosts.iter().map(|host| host.to_string()).collect(), ..Policy::default() }
}

const LIMITS: Limits = Limits { bytes: 64, time: Duration::from_secs(20), redirects: 2 };

fn get<'a>(url: &'a str, policy: &'a Policy) -> Fetch<'a> {
    Fetch { url, body: None, headers: &[("authorization", "Bearer secret"), ("x-own", "1")], policy, limits: LIMITS }
}

/// Other tests of this process hold places, too: busy is not what is tested here.
fn run(request: &Fetch<'_>) -> Result<Fetched, Error> {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        match fetch(request, &Abort::new()) {
            Err(Error::Busy) if Instant::now() < end => std::thread::yield_now(),
            other => return other,
        }
    }
}

#[test]
fn what_a_url_points_at_is_fetched_with_its_headers() {
    let (port, seen) = server(vec![ok("hello")]);
    let policy = exempting(&["127.0.0.1"]);
    let got = run(&get(&format!("http://127.0.0.1:{port}/a?b"), &policy)).expect("fetched");
    assert_eq!(got, Fetched { status: 200, content_type: "text/plain".into(), body: b"hello".to_vec() });
    let request = seen.recv().expect("a request");
    assert!(request.starts_with("get /a?b http/1.1") && request.contains("authorization: bearer secret"), "{request}");
}

#[test]
fn t38_private_hosts_are_refused_before_anything_is_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    listener.set_nonblocking(true).expect("a switch");
    let port = listener.local_addr().expect("bound").port();
    for host in ["127.0.0.1", "localhost", "a.localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "10.0.0.1"]
    {
        let error = run(&get(&format!("http://{host}:{port}/"), &Policy::default())).expect_err("refused");
        assert!(matches!(error, Error::Refused(_)), "{host}: {error}");
    }
    for host in ["169.254.169.254", "metadata.google.internal", "router.lan", "nas.local", "100.64.0.1", "[fd00::1]"] {
        let error = run(&get(&format!("http://{host}/"), &Policy::default())).expect_err("refused");
        assert!(matches!(error, Error::Refused(_)), "{host}: {error}");
    }
    // A policy that opens the house still does not open what nobody may reach.
    let open = Policy { private: true, ..exempting(&["169.254.169.254", "0.0.0.0"]) };
    for host in ["169.254.169.254", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[fe80::1]"] {
        assert!(matches!(run(&get(&format!("http://{host}:{port}/"), &open)), Err(Error::Refused(_))), "{host}");
    }
    assert!(listener.accept().is_err(), "nobody came");
}

#[test]
fn t38_a_name_is_judged_by_what_it_means() {
    // `localhost` means loopback in every resolver: listed or not, what counts is where it leads.
    let named = Policy { only: vec!["localhost".into()], ..Policy::default() };
    assert!(matches!(run(&get("http://localhost/", &named)), Err(Error::Refused(_))));
    let host = Host::Name("public.example".into());
    let judged = |ip: &str| Policy::default().judge(&host, &[SocketAddr::new(ip.parse().expect("an address"), 80)]);
    assert!(judged("127.0.0.1").is_err() && judged("192.168.1.1").is_err() && judged("::ffff:1.1.1.1").is_err());
    assert!(judged("1.1.1.1").is_ok() && judged("64:ff9b::101:101").is_ok());
    let both = [SocketAddr::from(([1, 1, 1, 1], 80)), SocketAddr::from(([10, 0, 0, 1], 80))];
    assert!(Policy::default().judge(&host, &both).is_err(), "one bad address spoils the name");
}

#[test]
fn t38_lists_mean_exact_names() {
    let policy = Policy { only: vec!["cdn.example".into()], blocked: vec!["*.example".into()], ..Policy::default() };
    assert!(check("http://cdn.example/", &policy).is_err(), "blocked wins");
    let policy = Policy { only: vec!["cdn.example".into()], ..Policy::default() };
    assert!(check("http://cdn.example/", &policy).is_ok());
    assert!(check("http://cdn.example.evil.example/", &policy).is_err());
    assert!(check("http://evil-cdn.example/", &policy).is_err());
}

#[test]
fn t38_every_redirect_is_judged_anew() {
    let policy = exempting(&["127.0.0.1"]);
    for to in ["http://localhost/", "http://169.254.169.254/latest", "http://[::1]/", "http://10.0.0.1/"] {
        let (port, _) = server(vec![redirect(302, to)]);
        let error = run(&get(&format!("http://127.0.0.1:{port}/"), &policy)).expect_err("refused");
        assert!(matches!(error, Error::Refused(_)), "{to}: {error}");
    }
    for to in ["file:///etc/passwd", "http://2130706433/", "http://a@127.0.0.1/"] {
        let (port, _) = server(vec![redirect(302, to)]);
        assert!(matches!(run(&get(&format!("http://127.0.0.1:{port}/"), &policy)), Err(Error::Url(_))), "{to}");
    }
    let (port, _) = server(vec![redirect(302, "/a"), redirect(302, "/b"), redirect(302, "/c")]);
    assert!(matches!(run(&get(&format!("http://127.0.0.1:{port}/"), &policy)), Err(Error::Redirects(2))));
}

#[test]
fn t38_credentials_stay_with_their_origin() {
    let policy = exempting(&["127.0.0.1"]);
    let (other, others) = server(vec![ok("there")]);
    let (port, seen) = server(vec![redirect(302, "/same"), redirect(302, &format!("http://127.0.0.1:{other}/x"))]);
    let got = run(&get(&format!("http://127.0.0.1:{port}/"), &policy)).expect("fetched");
    assert_eq!(got.body, b"there");
    assert!(seen.iter().take(2).all(|request| request.contains("bearer secret")), "the same origin keeps them");
    let request = others.recv().expect("a request");
    assert!(!request.contains("authorization") && !request.contains("x-own"), "{request}");
}

#[test]
fn a_body_goes_to_its_own_origin_only() {
    let policy = exempting(&["127.0.0.1"]);
    let post = |url: &str| run(&Fetch { body: Some(b"{\"a\":1}"), ..get(url, &policy) });
    let (port, seen) = server(vec![redirect(307, "/again"), ok("kept")]);
    assert_eq!(post(&format!("http://127.0.0.1:{port}/")).expect("fetched").body, b"kept");
    let bodies: Vec<String> = seen.iter().take(2).collect();
    assert!(bodies.iter().all(|r| r.starts_with("post ") && r.ends_with("{\"a\":1}")), "{bodies:?}");
    let (port, seen) = server(vec![redirect(303, "/see"), ok("seen")]);
    assert_eq!(post(&format!("http://127.0.0.1:{port}/")).expect("fetched").body, b"seen");
    assert!(seen.iter().nth(1).is_some_and(|r| r.starts_with("get /see")));
    let (other, others) = server(vec![ok("never")]);
    let (port, _) = server(vec![redirect(308, &format!("http://127.0.0.1:{other}/"))]);
    assert!(matches!(post(&format!("http://127.0.0.1:{port}/")), Err(Error::Astray)));
    assert!(others.is_empty());
}

#[test]
fn t39_bytes_are_counted_whatever_was_promised() {
    let policy = exempting(&["127.0.0.1"]);
    let long = "x".repeat(65);
    let unsized_body = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{long}");
    let chunked = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n41\r\n{long}\r\n0\r\n\r\n");
    let lying = format!("HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n{HANGS}");
    for answer in [ok(&long), unsized_body, chunked, lying] {
        let (port, _) = server(vec![answer]);
        let error = run(&get(&format!("http://127.0.0.1:{port}/"), &policy)).expect_err("too large");
        assert!(matches!(error, Error::TooLarge(64)), "{error}");
    }
}

#[test]
fn t39_the_whole_has_one_deadline() {
    let policy = exempting(&["127.0.0.1"]);
    for answer in
        [format!("HTTP/1.1 200 OK\r\nx: {HANGS}"), format!("HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\n{HANGS}")]
    {
        let (port, _) = server(vec![answer]);
        let url = format!("http://127.0.0.1:{port}/");
        let limits = Limits { time: Duration::from_millis(150), ..LIMITS };
        let begin = Instant::now();
        let error = run(&Fetch { limits, ..get(&url, &policy) }).expect_err("too slow");
        assert!(matches!(error, Error::TooSlow(_)), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn an_abort_ends_a_fetch_that_waits() {
    let policy = exempting(&["127.0.0.1"]);
    let (port, seen) = server(vec![format!("HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\n{HANGS}")]);
    let abort = Abort::new();
    let waiting = {
        let abort = abort.clone();
        let policy = policy.clone();
        std::thread::spawn(move || fetch(&get(&format!("http://127.0.0.1:{port}/"), &policy), &abort))
    };
    seen.recv().expect("a request");
    let begin = Instant::now();
    abort.fire();
    assert!(matches!(waiting.join().expect("no panic"), Err(Error::Aborted)));
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_error_shows_the_origin_only() {
    let policy = exempting(&["127.0.0.1"]);
    let port = TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a loopback port").port();
    let error = run(&get(&format!("http://127.0.0.1:{port}/path?token=secret"), &policy)).expect_err("nobody there");
    let words = error.to_string();
    assert!(words.starts_with(&format!("http://127.0.0.1:{port}: ")) && !words.contains("secret"), "{words}");
}
