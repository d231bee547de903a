//! The layer as a client sees it: a server on a port of its own, and raw sockets.

mod crowd;
mod events;
mod http;
mod tls;
mod websocket;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::*;

/// How long a test waits for what must come.
const SOON: Duration = Duration::from_secs(10);

/// What the test app saw.
#[derive(Debug, PartialEq)]
pub enum Seen {
    Text(String),
    Over(CloseReason),
    PeerGone,
}

/// An app with one route per thing to try.
struct Trial {
    seen: Sender<Seen>,
    mailboxes: Sender<Mailbox>,
}

impl App for Trial {
    fn http(&self, x: &mut Exchange<'_>) -> Reply {
        match x.path() {
            "/echo" => match x.read_body(1000) {
                Ok(body) => Reply::full(tiny_http::Response::from_data(body)),
                Err(fault) => Reply::fault(&fault),
            },
            "/last" => Reply::last(tiny_http::Response::from_string("bye")),
            "/empty" => Reply::full(tiny_http::Response::empty(204)),
            "/big" => Reply::full(tiny_http::Response::from_data(vec![b'x'; 1 << 20])),
            "/panic" => panic!("a handler panics, as this test wants"),
            "/wait" => {
                let (_hold, never) = bounded::<()>(0);
                if x.wait(&never, None) == Waited::PeerGone {
                    let _ = self.seen.send(Seen::PeerGone);
                }
                Reply::text(200, "nobody reads this")
            }
            "/busy" => {
                let often = crossbeam_channel::tick(Duration::from_millis(1));
                while let Waited::Got(_) = x.wait(&often, None) {}
                let _ = self.seen.send(Seen::PeerGone);
                Reply::text(200, "nobody reads this")
            }
            "/events" => Reply::events(|sse| {
                sse.event("one")?;
                sse.queue("two\nlines")?;
                sse.queue_named("third", "3")
            }),
            "/broken" => Reply::events(|sse| {
                sse.event("one")?;
                Err(std::io::ErrorKind::Other.into())
            }),
            "/silent" => {
                let seen = self.seen.clone();
                Reply::events(move |sse| {
                    let (_hold, never) = bounded::<()>(0);
                    if sse.next(&never)? == Waited::PeerGone {
                        let _ = seen.send(Seen::PeerGone);
                    }
                    Ok(())
                })
            }
            path => Reply::text(200, path),
        }
    }

    fn socket(&self, opening: Opening) -> Verdict {
        if opening.head.path() == "/refuse" {
            return Verdict::Refuse(Reply::text(403, "no"));
        }
        let _ = self.mailboxes.send(opening.mail.clone());
        Verdict::Talk(Box::new(Chat { mail: opening.mail, seen: self.seen.clone() }))
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        vec![("X-Content-Type-Options", "nosniff".into())]
    }
}

/// Greets, echoes, and does what it is told.
struct Chat {
    mail: Mailbox,
    seen: Sender<Seen>,
}

impl Talk for Chat {
    fn opened(&mut self) {
        self.mail.text("hello");
    }

    fn text(&mut self, text: &str) -> Next {
        match text {
            "admit" => {
                self.mail.text("admitted");
                Next::Admit
            }
            "bye" => {
                self.mail.text("last words");
                Next::Close(CloseReason::policy(1008, "as you wish"))
            }
            "panic" => panic!("a talk panics, as this test wants"),
            text => {
                let _ = self.seen.send(Seen::Text(text.to_owned()));
                self.mail.text(text);
                Next::Continue
            }
        }
    }

    fn over(&mut self, why: &CloseReason) {
        let _ = self.seen.send(Seen::Over(why.clone()));
    }
}

/// A running server and what its app reports.
pub struct Rig {
    pub server: Server,
    pub seen: Receiver<Seen>,
    pub mailboxes: Receiver<Mailbox>,
}

/// The protocol's limits, with short waits where a test would otherwise be long.
pub fn limits() -> Limits {
    Limits {
        look_every: Duration::from_millis(20),
        drain_time: Duration::from_millis(300),
        drain_bytes: 1 << 20,
        ..Limits::default()
    }
}

impl Rig {
    pub fn new(limits: Limits) -> Rig {
        Rig::with(limits, None)
    }

    pub fn with(limits: Limits, tls: Option<TlsConfig>) -> Rig {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (seen_by, seen) = unbounded();
        let (posted, mailboxes) = unbounded();
        let app = Arc::new(Trial { seen: seen_by, mailboxes: posted });
        let server = Server::start(vec![listener], app, limits, tls).unwrap();
        Rig { server, seen, mailboxes }
    }

    pub fn connect(&self) -> Raw {
        Raw::new(TcpStream::connect(self.server.addresses()[0]).unwrap())
    }

    /// A WebSocket that was greeted.
    pub fn socket(&self) -> Raw {
        let mut raw = self.upgraded();
        assert_eq!(raw.frame(), (1, b"hello".to_vec()));
        raw
    }

    /// A WebSocket that was greeted and admitted.
    pub fn admitted(&self) -> Raw {
        let mut raw = self.socket();
        raw.text("admit");
        assert_eq!(raw.frame(), (1, b"admitted".to_vec()));
        raw
    }

    pub fn upgraded(&self) -> Raw {
        let mut raw = self.connect();
        raw.send(UPGRADE);
        let answer = raw.head();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        raw
    }

    pub fn next_seen(&self) -> Seen {
        self.seen.recv_timeout(SOON).expect("the app sees something")
    }

    /// Why the next connection that ends ended.
    pub fn next_over(&self) -> CloseReason {
        loop {
            if let Seen::Over(why) = self.next_seen() {
                return why;
            }
        }
    }

    pub fn until(&self, what: &str, mut met: impl FnMut(&Server) -> bool) {
        let until = Instant::now() + SOON;
        while !met(&self.server) {
            assert!(Instant::now() < until, "{what}");
            std::thread::yield_now();
        }
    }
}

pub const UPGRADE: &str = "GET /any/path HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A client that says exactly what it is told.
pub struct Raw {
    pub stream: TcpStream,
    kept: Vec<u8>,
}

/// A response as it came.
#[derive(Debug)]
pub struct Answer {
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Raw {
    pub fn new(stream: TcpStream) -> Raw {
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        Raw { stream, kept: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        self.answer()
    }

    /// The next response, by its length.
    pub fn answer(&mut self) -> Answer {
        let head = self.head();
        let mut answer = Answer { head, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body = self.exactly(length);
        answer
    }

    /// Up to the empty line, without it.
    pub fn head(&mut self) -> String {
        self.through(b"\r\n\r\n")
    }

    /// Up to and including these bytes.
    pub fn through(&mut self, end: &[u8]) -> String {
        loop {
            if let Some(at) = self.kept.windows(end.len()).position(|window| window == end) {
                let part = self.kept.drain(..at + end.len()).collect();
                return String::from_utf8(part).unwrap();
            }
            assert!(self.more(), "the stream ended: {:?}", String::from_utf8_lossy(&self.kept));
        }
    }

    pub fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.kept.len() < length {
            assert!(self.more(), "the stream ended early");
        }
        self.kept.drain(..length).collect()
    }

    /// Everything up to the end, which must come in order, not as a reset.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.kept)
    }

    fn more(&mut self) -> bool {
        let mut piece = [0; 4096];
        let read = self.stream.read(&mut piece).expect("data, or an end in order");
        self.kept.extend_from_slice(&piece[..read]);
        read > 0
    }

    pub fn text(&mut self, text: &str) {
        self.send(client_frame(0x81, text.as_bytes()));
    }

    /// The next frame from the server: opcode and payload.
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.exactly(2);
        assert_eq!(head[0] & 0x80, 0x80, "the server does not fragment");
        let length = match head[1] {
            126 => self.exactly(2).iter().fold(0, |sum, byte| sum << 8 | *byte as usize),
            127 => self.exactly(8).iter().fold(0, |sum, byte| sum << 8 | *byte as usize),
            short => short as usize,
        };
        (head[0] & 0x0f, self.exactly(length))
    }

    /// The next frame must be a Close: its code and reason. Then the stream must end in order.
    pub fn closed(&mut self) -> (u16, String) {
        let (opcode, payload) = self.frame();
        assert_eq!(opcode, 8, "{}", String::from_utf8_lossy(&payload));
        self.send(client_frame(0x88, &payload[..2]));
        assert_eq!(self.rest(), b"");
        close_of(&payload)
    }
}

pub fn close_of(payload: &[u8]) -> (u16, String) {
    (u16::from_be_bytes([payload[0], payload[1]]), String::from_utf8(payload[2..].to_vec()).unwrap())
}

/// A masked frame; the first byte is flags and opcode.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame_head(first, 0x80, payload.len());
    frame.extend([1, 2, 3, 4]);
    frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ [1, 2, 3, 4][at % 4]));
    frame
}

pub fn frame_head(first: u8, mask: u8, length: usize) -> Vec<u8> {
    let mut head = vec![first];
    match length {
        0..126 => head.push(mask | length as u8),
        126..65536 => {
            head.push(mask | 126);
            head.extend((length as u16).to_be_bytes());
        }
        _ => {
            head.push(mask | 127);
            head.extend((length as u64).to_be_bytes());
        }
    }
    head
}
