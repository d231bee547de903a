//! Event streams.

use super::*;

/// The chunks of a body up to the final one, as they were cut.
fn chunks(raw: &mut Raw) -> Vec<String> {
    let mut chunks = Vec::new();
    loop {
        let size = usize::from_str_radix(raw.through(b"\r\n").trim_end(), 16).unwrap();
        let chunk = raw.exactly(size + 2);
        if size == 0 {
            return chunks;
        }
        chunks.push(String::from_utf8(chunk[..size].to_vec()).unwrap());
    }
}

#[test]
fn events_leave_one_by_one_or_together_and_the_connection_goes_on() {
    let rig = Rig::new(limits());
    let mut raw = rig.connect();
    raw.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = raw.head();
    assert!(head.contains("Transfer-Encoding: chunked\r\n") && head.contains("Connection: keep-alive\r\n"), "{head}");
    assert_eq!(chunks(&mut raw), ["data: one\n\n", "data: two\ndata: lines\n\nevent: third\ndata: 3\n\n"]);
    assert_eq!(raw.get("/next").text(), "/next");
}

#[test]
fn an_old_client_gets_the_events_without_chunks() {
    let rig = Rig::new(limits());
    let mut raw = rig.connect();
    raw.send("GET /events HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(raw.head().contains("Connection: close\r\n"));
    assert_eq!(raw.rest(), b"data: one\n\ndata: two\ndata: lines\n\nevent: third\ndata: 3\n\n");
}

#[test]
fn a_stream_that_broke_has_no_final_chunk() {
    let rig = Rig::new(limits());
    let mut raw = rig.connect();
    raw.send("GET /broken HTTP/1.1\r\nHost: x\r\n\r\n");
    raw.head();
    assert_eq!(raw.rest(), b"b\r\ndata: one\n\n\r\n");
}

#[test]
fn a_silent_stream_sends_its_head_and_then_comments() {
    let rig = Rig::new(Limits { sse_ping: Duration::from_millis(30), ..limits() });
    let mut raw = rig.connect();
    raw.send("GET /silent HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(raw.head().starts_with("HTTP/1.1 200 OK\r\n"));
    for _ in 0..2 {
        assert_eq!(raw.exactly(13), b"8\r\n: ping\n\n\r\n");
    }
}

#[test]
fn a_stream_learns_that_its_client_left() {
    let rig = Rig::new(limits());
    let mut raw = rig.connect();
    raw.send("GET /silent HTTP/1.1\r\nHost: x\r\n\r\n");
    raw.head();
    drop(raw);
    assert_eq!(rig.next_seen(), Seen::PeerGone);
    rig.until("its place is free again", |server| server.connections() == 0);
}
