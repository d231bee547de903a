//! The head of a request: read under one deadline, parsed by httparse, checked by us.
//!
//! A [`Head`] owns its bytes and remembers where things are in them, so that a connection reuses one for all its
//! requests. It does not decide what a request means; it only refuses what two readers could read differently.
//!
//! Invariants: header names and values are ASCII (a field with other bytes was not received, unless it frames the
//! message, and then the request is refused); every line ends in CRLF; HTTP/1.1 names one host.

use std::mem::MaybeUninit;
use std::time::Instant;

use tiny_http::Method;

use super::body::{Framing, framing};
use crate::net::pipe::Pipe;
use crate::net::sock::Patience;
use crate::net::{Fault, Limits};

/// Fields of one head; more is answered 431.
const FIELDS: usize = 100;

/// Fields that decide how a message is read: one we cannot read is an attack or a mistake, not something to ignore.
const DECIDING: &[&str] = &["content-length", "transfer-encoding", "connection", "upgrade", "expect", "host"];

/// A request's line and header fields.
#[derive(Clone, Debug)]
pub struct Head {
    bytes: Vec<u8>,
    fields: Vec<(Span, Span)>,
    method: Method,
    target: Span,
    path: Span,
    minor: u8,
    pub(super) framing: Framing,
}

#[derive(Clone, Copy, Debug, Default)]
struct Span(u32, u32);

impl Default for Head {
    fn default() -> Head {
        Head {
            bytes: Vec::new(),
            fields: Vec::new(),
            method: Method::Get,
            target: Span(0, 0),
            path: Span(0, 0),
            minor: 1,
            framing: Framing::None,
        }
    }
}

impl Head {
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The request target as it came: path and query, or an absolute form.
    pub fn target(&self) -> &str {
        self.text(self.target)
    }

    /// The path, undecoded, without the query; `*` for `OPTIONS *`.
    pub fn path(&self) -> &str {
        self.text(self.path)
    }

    /// What follows the first `?`, undecoded, or nothing.
    pub fn query(&self) -> &str {
        self.target().split_once('?').map_or("", |(_, query)| query)
    }

    /// The first field of that name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// How many fields have that name: some must not come twice.
    pub fn header_count(&self, name: &str) -> usize {
        self.headers().filter(|(field, _)| field.eq_ignore_ascii_case(name)).count()
    }

    /// All fields in the order they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|&(name, value)| (self.text(name), self.text(value)))
    }

    /// Whether one of the comma-separated words of any such field is `word`.
    pub fn has_token(&self, name: &str, word: &str) -> bool {
        self.headers()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .any(|(_, value)| value.split(',').any(|token| token.trim().eq_ignore_ascii_case(word)))
    }

    /// Whether the client may be answered in HTTP/1.1's ways (chunks, staying connected without asking).
    pub(super) fn is_1_1(&self) -> bool {
        self.minor >= 1
    }

    /// Whether this is HTTP/1.1 without a body, as an upgrade must be.
    pub(in crate::net) fn is_plain_1_1(&self) -> bool {
        self.is_1_1() && self.framing == Framing::None
    }

    pub(super) fn wants_to_stay(&self) -> bool {
        match self.is_1_1() {
            true => !self.has_token("connection", "close"),
            false => self.has_token("connection", "keep-alive"),
        }
    }

    fn text(&self, span: Span) -> &str {
        let bytes = &self.bytes[span.0 as usize..(span.0 + span.1) as usize];
        std::str::from_utf8(bytes).expect("spans were checked when the head was parsed")
    }

    /// Parses what is there. `None`: the end has not arrived yet. Otherwise the length of the head.
    pub(super) fn parse(&mut self, input: &[u8]) -> Result<Option<usize>, Fault> {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
        let mut request = httparse::Request::new(&mut []);
        let length = match request.parse_with_uninit_headers(input, &mut fields) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(Fault::HeadTooLarge),
            Err(httparse::Error::Version) => return Err(Fault::Unsupported(505, "Only HTTP/1.1 is spoken here")),
            Err(_) => return Err(Fault::Malformed("The request head is malformed")),
        };
        let head = &input[..length];
        if head.iter().enumerate().any(|(at, byte)| *byte == b'\n' && (at == 0 || head[at - 1] != b'\r')) {
            return Err(Fault::Malformed("A line of the request head does not end in CRLF"));
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(head);
        let method = request.method.unwrap_or_default();
        self.method = method.parse().map_err(|()| Fault::Malformed("The method is malformed"))?;
        self.minor = request.version.unwrap_or(1);
        let target = request.path.unwrap_or_default();
        self.target = span(input, target.as_bytes());
        self.path = span(input, path_of(target).as_bytes());
        self.fields.clear();
        for field in request.headers.iter() {
            if field.value.is_ascii() {
                self.fields.push((span(input, field.name.as_bytes()), span(input, field.value)));
            } else if DECIDING.iter().any(|name| field.name.eq_ignore_ascii_case(name)) {
                return Err(Fault::Malformed("A header field has bytes outside ASCII"));
            }
        }
        let hosts = self.header_count("host");
        if hosts > 1 || (hosts == 0 && self.is_1_1()) {
            return Err(Fault::Malformed("The request must name one Host"));
        }
        self.framing = framing(self)?;
        Ok(Some(length))
    }
}

/// Where `part` lies in `whole`.
fn span(whole: &[u8], part: &[u8]) -> Span {
    if part.is_empty() {
        return Span(0, 0);
    }
    let at = part.as_ptr() as usize - whole.as_ptr() as usize;
    debug_assert!(at + part.len() <= whole.len());
    Span(at as u32, part.len() as u32)
}

/// The path of a target, which a client that takes us for a proxy gives in absolute form.
fn path_of(target: &str) -> &str {
    let local = match target.find("://") {
        Some(at) if !target.starts_with('/') => {
            let rest = &target[at + 3..];
            match rest.find(['/', '?']) {
                Some(slash) if rest.as_bytes()[slash] == b'/' => &rest[slash..],
                _ => return "/",
            }
        }
        _ => target,
    };
    local.split_once('?').map_or(local, |(path, _)| path)
}

/// What came instead of a head.
pub(super) enum Arrival {
    Head,
    /// The client left, or stayed silent, between two requests: nobody is waiting for an answer.
    Nothing,
}

/// How long a head may take.
#[derive(Clone, Copy)]
pub(super) enum Wait {
    /// The first of a connection: all of it by then, silence included.
    Whole(Instant),
    /// A later one: its first byte by then, and all of it within `head_time` from there.
    FirstByte(Instant),
}

/// Reads the next head.
pub(super) fn read(pipe: &mut Pipe, head: &mut Head, limits: &Limits, wait: Wait) -> Result<Arrival, Fault> {
    let mut until = match wait {
        Wait::FirstByte(_) if !pipe.pending().is_empty() => Instant::now() + limits.head_time,
        Wait::Whole(until) | Wait::FirstByte(until) => until,
    };
    loop {
        if !pipe.pending().is_empty() {
            if let Some(length) = head.parse(pipe.pending())? {
                if length > limits.head_bytes {
                    return Err(Fault::HeadTooLarge);
                }
                pipe.used(length);
                return Ok(Arrival::Head);
            }
            if pipe.pending().len() >= limits.head_bytes {
                return Err(Fault::HeadTooLarge);
            }
        }
        let started = !pipe.pending().is_empty();
        match pipe.fill(Patience::Until(until), limits.head_bytes) {
            Ok(0) if started => return Err(Fault::Closed),
            Ok(0) => return Ok(Arrival::Nothing),
            Ok(_) if !started && matches!(wait, Wait::FirstByte(_)) => until = Instant::now() + limits.head_time,
            Ok(_) => {}
            Err(error) => match Fault::from(error) {
                Fault::TooSlow | Fault::Closed if !started => return Ok(Arrival::Nothing),
                fault => return Err(fault),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Head, Fault> {
        let mut head = Head::default();
        assert_eq!(head.parse(text.as_bytes())?, Some(text.len()));
        Ok(head)
    }

    fn status(text: &[u8]) -> u16 {
        Head::default().parse(text).expect_err("must be refused").status()
    }

    #[test]
    fn a_head_knows_its_parts() {
        let head = parsed("POST /v1/models?a=b?c HTTP/1.1\r\nHost: x\r\nX-One: 1\r\nx-one:  2 \r\n\r\n").unwrap();
        assert_eq!(head.method(), &Method::Post);
        assert_eq!((head.target(), head.path(), head.query()), ("/v1/models?a=b?c", "/v1/models", "a=b?c"));
        assert_eq!((head.header("X-ONE"), head.header_count("x-one")), (Some("1"), 2));
        assert_eq!(head.headers().last(), Some(("x-one", "2")));
    }

    #[test]
    fn an_absolute_target_still_has_its_path() {
        for (target, path) in
            [("http://h/a?b", "/a"), ("http://h", "/"), ("http://h?x", "/"), ("/a://b", "/a://b"), ("*", "*")]
        {
            assert_eq!(path_of(target), path);
        }
    }

    #[test]
    fn what_is_not_http_is_refused_at_once() {
        assert_eq!(status(b"\x16\x03\x01\x02\x00\x01\x00"), 400);
        assert_eq!(status(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"), 400);
        assert_eq!(status(b"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n"), 400);
        assert_eq!(status(b"PRI * HTTP/2.0\r\n\r\n"), 505);
    }

    #[test]
    fn a_bare_line_feed_is_refused() {
        assert_eq!(status(b"GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n"), 400);
        assert_eq!(status(b"GET / HTTP/1.1\nHost: x\n\n"), 400);
    }

    #[test]
    fn one_host_is_asked_for() {
        assert_eq!(status(b"GET / HTTP/1.1\r\n\r\n"), 400);
        assert_eq!(status(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
        assert!(parsed("GET / HTTP/1.0\r\n\r\n").is_ok());
    }

    #[test]
    fn a_field_outside_ascii_was_not_received() {
        let mut head = Head::default();
        head.parse(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: n=\xc3\xbc\r\nX: y\r\n\r\n").unwrap();
        assert_eq!((head.header("cookie"), head.header("x")), (None, Some("y")));
        assert_eq!(status(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: \xff\r\n\r\n"), 400);
    }

    #[test]
    fn the_hundred_and_first_field_is_too_many() {
        let fields = |n: usize| format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(n));
        assert!(parsed(&fields(99)).is_ok());
        assert_eq!(status(fields(100).as_bytes()), 431);
    }

    #[test]
    fn staying_connected_depends_on_the_version() {
        let stays = |text: &str| parsed(text).unwrap().wants_to_stay();
        assert!(stays("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(!stays("GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n"));
        assert!(!stays("GET / HTTP/1.0\r\n\r\n"));
        assert!(stays("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    }
}
