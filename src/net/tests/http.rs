//! Requests, well and ill formed.

use super::*;

fn refused(request: impl AsRef<[u8]>) -> u16 {
    let rig = Rig::new(limits());
    let mut raw = rig.connect();
    raw.send(request);
    let answer = raw.answer();
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(raw.rest(), b"");
    answer.status()
}

#[test]
fn a_response_says_everything_it_must() {
    let rig = Rig::new(limits());
    let answer = rig.connect().get("/a?b");
    assert_eq!((answer.status(), answer.text()), (200, "/a"));
    assert_eq!(answer.header("connection"), Some("keep-alive"));
    assert_eq!(answer.header("content-length"), Some("2"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert!(answer.header("date").is_some_and(|date| date.ends_with(" GMT")));
}

#[test]
fn one_connection_serves_many_requests() {
    let rig = Rig::new(limits());
    let mut raw = rig.connect();
    for n in 0..50 {
        let path = format!("/{n}");
        assert_eq!(raw.get(&path).text(), path);
    }
    assert_eq!(rig.server.connections(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let rig = Rig::new(limits());
    let mut raw = rig.connect();
    let mut request = String::new();
    for n in 0..20 {
        request += &format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{n:02}");
        request += &format!("GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    raw.send(request);
    for n in 0..20 {
        assert_eq!(raw.answer().text(), format!("{n:02}"));
        assert_eq!(raw.answer().text(), format!("/{n}"));
    }
}

#[test]
fn the_connection_ends_when_either_side_says_so() {
    let rig = Rig::new(limits());
    let mut raw = rig.connect();
    raw.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(raw.answer().header("connection"), Some("close"));
    assert_eq!(raw.rest(), b"");
    let mut raw = rig.connect();
    let answer = raw.get("/last");
    assert_eq!((answer.header("connection"), answer.text()), (Some("close"), "bye"));
    assert_eq!(raw.rest(), b"");
    let mut raw = rig.connect();
    raw.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(raw.answer().header("connection"), Some("close"));
    assert_eq!(raw.rest(), b"");
}

#[test]
fn a_connection_serves_only_so_many_requests() {
    let rig = Rig::new(Limits { requests: 2, ..limits() });
    let mut raw = rig.connect();
    assert_eq!(raw.get("/").header("connection"), Some("keep-alive"));
    assert_eq!(raw.get("/").header("connection"), Some("close"));
    assert_eq!(raw.rest(), b"");
}

#[test]
fn a_head_request_gets_the_head_alone() {
    let rig = Rig::new(limits());
    let mut raw = rig.connect();
    raw.send("HEAD /four HTTP/1.1\r\nHost: x\r\n\r\nHEAD /events HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(raw.head().contains("Content-Length: 5\r\n"));
    assert!(raw.head().contains("text/event-stream"));
    assert_eq!(raw.get("/next").text(), "/next");
}

#[test]
fn a_204_has_neither_body_nor_length() {
    let rig = Rig::new(limits());
    let mut raw = rig.connect();
    let answer = raw.get("/empty");
    assert_eq!((answer.status(), answer.header("content-length")), (204, None));
    assert_eq!(raw.get("/next").text(), "/next");
}

#[test]
fn a_big_body_arrives_whole() {
    let rig = Rig::new(limits());
    let mut raw = rig.connect();
    assert_eq!(raw.get("/big").body.len(), 1 << 20);
    assert_eq!(raw.get("/next").text(), "/next");
}

#[test]
fn a_body_arrives_by_length_and_by_chunks() {
    let rig = Rig::new(limits());
    let mut raw = rig.connect();
    raw.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 600\r\n\r\n");
    raw.send("a".repeat(300));
    raw.send("b".repeat(300));
    assert_eq!(raw.answer().text(), "a".repeat(300) + &"b".repeat(300));
    raw.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWi");
    raw.send("ki\r\n5\r\npedia\r\n0\r\n\r\n");
    assert_eq!(raw.answer().text(), "Wikipedia");
}

#[test]
fn a_client_that_asks_before_sending_is_told_to_go_on() {
    let rig = Rig::new(limits());
    let mut raw = rig.connect();
    let ask = "HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: ";
    raw.send(format!("POST /echo {ask}2\r\n\r\n"));
    assert_eq!(raw.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    raw.send("ok");
    assert_eq!(raw.answer().text(), "ok");
    raw.send(format!("POST /echo {ask}2000\r\n\r\n"));
    assert_eq!(raw.answer().status(), 413);
    let mut raw = rig.connect();
    raw.send(format!("POST /unread {ask}2000\r\n\r\n"));
    let answer = raw.answer();
    assert_eq!((answer.status(), answer.header("connection")), (200, Some("close")));
}

#[test]
fn a_body_nobody_reads_does_not_become_a_request() {
    let rig = Rig::new(limits());
    let mut raw = rig.connect();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    raw.send(format!("POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{smuggled}", smuggled.len()));
    assert_eq!(raw.answer().text(), "/unread");
    assert_eq!(raw.get("/next").text(), "/next");
    raw.send("POST /unread HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let answer = raw.answer();
    assert_eq!((answer.status(), answer.header("connection")), (200, Some("close")));
    assert_eq!(raw.rest(), b"");
}

#[test]
fn two_content_lengths_are_refused() {
    assert_eq!(refused("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 400);
}

#[test]
fn garbage_between_chunks_is_refused() {
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(refused(format!("{head}zz\r\n")), 400);
    assert_eq!(refused(format!("{head}4\r\nWikiX\r\n")), 400);
    assert_eq!(refused(format!("{head}3e9\r\n")), 413);
}

#[test]
fn what_is_not_http_is_refused() {
    assert_eq!(refused("\x16\x03\x01 no http at all\r\n\r\n"), 400);
    assert_eq!(refused("GET / HTTP/3.0\r\n\r\n"), 505);
}

#[test]
fn a_head_over_16_kib_is_refused() {
    for _ in 0..2 {
        assert_eq!(refused(format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(17 << 10))), 431);
        assert_eq!(refused(format!("GET /{} HTTP/1.1\r\n", "x".repeat(17 << 10))), 431);
    }
    let rig = Rig::new(limits());
    let mut raw = rig.connect();
    let (before, after) = ("GET /fits HTTP/1.1\r\nHost: x\r\nX: ", "\r\n\r\n");
    raw.send(format!("{before}{}{after}", "x".repeat((16 << 10) - before.len() - after.len())));
    assert_eq!(raw.answer().text(), "/fits");
}

#[test]
fn an_endless_head_is_refused_while_it_is_sent() {
    let rig = Rig::new(limits());
    for _ in 0..2 {
        let mut raw = rig.connect();
        raw.send("GET / HTTP/1.1\r\n");
        // What comes behind the refusal is read and thrown away, but not for ever.
        let mut sent = 0;
        while sent < 10 << 20 && raw.stream.write_all(b"X: yyyyyyyyyyyyyyyyyyyyyyyy\r\n").is_ok() {
            sent += 28;
        }
        assert!(sent < 10 << 20, "the server reads an endless head");
    }
    rig.until("the places are free again", |server| server.connections() == 0);
}

#[test]
fn a_slow_head_is_given_up_at_its_deadline() {
    let short = Limits { head_time: Duration::from_millis(150), ..limits() };
    let rig = Rig::new(short);
    for _ in 0..2 {
        let mut raw = rig.connect();
        let began = Instant::now();
        raw.send("GET / HTTP/1.1\r\nHost: x\r\n");
        raw.stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        // One byte at a time, each well before any timeout of a single read.
        let mut byte = [0];
        while raw.stream.read(&mut byte).is_err() {
            assert!(began.elapsed() < SOON);
            let _ = raw.stream.write(b"X");
        }
        assert!(began.elapsed() >= Duration::from_millis(150));
        assert_eq!(byte, *b"H");
        raw.stream.set_read_timeout(Some(SOON)).unwrap();
        assert!(raw.head().starts_with("TTP/1.1 408 "));
    }
}

#[test]
fn a_slow_body_is_given_up_at_its_deadline() {
    let rig = Rig::new(Limits { body_time: Duration::from_millis(100), ..limits() });
    for framing in ["Content-Length: 9", "Transfer-Encoding: chunked"] {
        let mut raw = rig.connect();
        raw.send(format!("POST /echo HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n5"));
        let answer = raw.answer();
        assert_eq!((answer.status(), answer.header("connection")), (408, Some("close")));
    }
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let rig = Rig::new(Limits { idle_time: Duration::from_millis(50), ..limits() });
    let mut raw = rig.connect();
    assert_eq!(raw.get("/").status(), 200);
    assert_eq!(raw.rest(), b"");
    rig.until("its place is free again", |server| server.connections() == 0);
}

#[test]
fn a_client_that_only_stopped_sending_still_gets_its_answer() {
    let rig = Rig::new(limits());
    let mut raw = rig.connect();
    raw.send("GET /half HTTP/1.1\r\nHost: x\r\n\r\n");
    raw.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(raw.answer().text(), "/half");
    assert_eq!(raw.rest(), b"");
}

#[test]
fn a_handler_learns_that_its_client_left() {
    let rig = Rig::new(limits());
    // A run that says something every few milliseconds must not hide it.
    for path in ["/wait", "/busy"] {
        let mut raw = rig.connect();
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        drop(raw);
        assert_eq!(rig.next_seen(), Seen::PeerGone, "{path}");
    }
}

#[test]
fn a_panicking_handler_is_a_500_and_nobody_elses_problem() {
    let rig = Rig::new(limits());
    for _ in 0..2 {
        let mut raw = rig.connect();
        let answer = raw.get("/panic");
        assert_eq!((answer.status(), answer.header("connection")), (500, Some("close")));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(rig.connect().get("/next").text(), "/next");
    }
}
