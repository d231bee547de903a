//! How long a body is, and how it is read: the one home of HTTP framing.
//!
//! Two servers that disagree about where a message ends can be made to see different requests. So there is one
//! function that decides, it takes no guesses, and everything it does not understand is refused and the connection
//! closed.
//!
//! Does not decode content (no gzip) and keeps no trailers. Invariant: memory grows with what arrived, never with what
//! was promised.

use std::time::Instant;

use super::head::Head;
use crate::net::pipe::Pipe;
use crate::net::sock::Patience;
use crate::net::{Fault, Limits};

/// All chunk extensions of one body together; nobody uses them, so this is generous.
const EXTENSIONS: usize = 4 << 10;
/// All trailer fields of one body together.
const TRAILERS: usize = 8 << 10;
/// How much of a body is read at a time.
const STEP: usize = 16 << 10;
/// The answer to a client that asks before it sends.
const GO_ON: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Where the body of a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// Decides from the head alone. Anything ambiguous is an error, after which the connection cannot go on.
pub(super) fn framing(head: &Head) -> Result<Framing, Fault> {
    let lengths = head.header_count("content-length");
    let encodings = head.header_count("transfer-encoding");
    match (lengths, encodings) {
        (0, 0) => Ok(Framing::None),
        (1, 0) => {
            let text = head.header("content-length").unwrap_or_default();
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Fault::Malformed("Content-Length is not a number"));
            }
            match text.parse() {
                Ok(0) => Ok(Framing::None),
                Ok(length) => Ok(Framing::Length(length)),
                Err(_) => Err(Fault::TooLarge),
            }
        }
        (0, 1) if head.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) => {
            match head.is_1_1() {
                true => Ok(Framing::Chunked),
                false => Err(Fault::Malformed("HTTP/1.0 has no chunks")),
            }
        }
        (_, 0) => Err(Fault::Malformed("More than one Content-Length")),
        (0, _) => Err(Fault::Malformed("Transfer-Encoding is not exactly \"chunked\"")),
        (_, _) => Err(Fault::Malformed("Both Content-Length and Transfer-Encoding")),
    }
}

/// Who takes a body, piece by piece as it arrives.
pub(super) type Taker<'a> = dyn FnMut(&[u8]) + 'a;

/// Reads the body to its end, or refuses it before the first byte when it promises more than `limit`.
pub(super) fn read(
    pipe: &mut Pipe,
    head: &Head,
    limits: &Limits,
    limit: usize,
    take: &mut Taker<'_>,
) -> Result<(), Fault> {
    let until = Instant::now() + limits.body_time;
    match head.framing {
        Framing::None => Ok(()),
        Framing::Length(length) => {
            let length = usize::try_from(length).ok().filter(|length| *length <= limit).ok_or(Fault::TooLarge)?;
            invite(pipe, head)?;
            read_length(pipe, length, until, take)
        }
        Framing::Chunked => {
            invite(pipe, head)?;
            read_chunked(pipe, limit, until, take)
        }
    }
}

/// Tells a client that asked first to go on, now that somebody wants the body.
fn invite(pipe: &mut Pipe, head: &Head) -> Result<(), Fault> {
    if pipe.pending().is_empty() && expects_go_on(head)? {
        pipe.send(GO_ON)?;
    }
    Ok(())
}

/// Whether the client waits for "100 Continue"; any other expectation cannot be met.
pub(super) fn expects_go_on(head: &Head) -> Result<bool, Fault> {
    match head.header("expect") {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case("100-continue") => Ok(head.is_1_1()),
        Some(_) => Err(Fault::Unsupported(417, "The expectation cannot be met")),
    }
}

fn read_length(pipe: &mut Pipe, length: usize, until: Instant, take: &mut Taker<'_>) -> Result<(), Fault> {
    let mut left = length;
    loop {
        let ready = pipe.pending().len().min(left);
        take(&pipe.pending()[..ready]);
        pipe.used(ready);
        left -= ready;
        if left == 0 {
            return Ok(());
        }
        if pipe.fill(Patience::Until(until), STEP)? == 0 {
            return Err(Fault::Closed);
        }
    }
}

fn read_chunked(pipe: &mut Pipe, limit: usize, until: Instant, take: &mut Taker<'_>) -> Result<(), Fault> {
    let mut chunks = Chunks::new(limit);
    loop {
        let used = chunks.eat(pipe.pending(), take)?;
        pipe.used(used);
        if chunks.at_end() {
            return Ok(());
        }
        if pipe.fill(Patience::Until(until), STEP)? == 0 {
            return Err(Fault::Closed);
        }
    }
}

/// The chunk decoder: eats bytes, yields the body, stops exactly behind its end.
#[derive(Debug)]
pub(super) struct Chunks {
    state: State,
    /// Bytes of the body that may still come.
    left: usize,
    extensions: usize,
    trailers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// In the size: its value and how many digits it has so far.
    Size(u32, u8),
    /// Behind the size, up to the CR.
    Extension(u32),
    SizeLineFeed(u32),
    Data(u32),
    DataReturn,
    DataLineFeed,
    /// In a trailer line that has that many bytes so far.
    Trailer(usize),
    TrailerLineFeed(usize),
    End,
}

impl Chunks {
    pub(super) fn new(limit: usize) -> Chunks {
        Chunks { state: State::Size(0, 0), left: limit, extensions: 0, trailers: 0 }
    }

    pub(super) fn at_end(&self) -> bool {
        self.state == State::End
    }

    /// Eats `input` up to the end of the body and says how much that was.
    pub(super) fn eat(&mut self, input: &[u8], take: &mut Taker<'_>) -> Result<usize, Fault> {
        const BAD: Fault = Fault::Malformed("The chunks of the body are malformed");
        let mut at = 0;
        while at < input.len() && self.state != State::End {
            if let State::Data(left) = self.state {
                let piece = &input[at..input.len().min(at + left as usize)];
                take(piece);
                self.left -= piece.len();
                at += piece.len();
                let left = left - piece.len() as u32;
                self.state = if left == 0 { State::DataReturn } else { State::Data(left) };
                continue;
            }
            let byte = input[at];
            at += 1;
            self.state = match (self.state, byte) {
                (State::Size(size, digits), byte) if byte.is_ascii_hexdigit() && digits < 7 => {
                    let digit = (byte as char).to_digit(16).unwrap_or_default();
                    State::Size(size << 4 | digit, digits + 1)
                }
                (State::Size(..), byte) if byte.is_ascii_hexdigit() => return Err(Fault::TooLarge),
                (State::Size(_, 0), _) => return Err(BAD),
                (State::Size(size, _) | State::Extension(size), b'\r') => {
                    if size as usize > self.left {
                        return Err(Fault::TooLarge);
                    }
                    State::SizeLineFeed(size)
                }
                (State::Size(size, _), b';' | b' ' | b'\t') => State::Extension(size),
                (State::Extension(size), byte) if byte == b'\t' || !byte.is_ascii_control() => {
                    self.extensions += 1;
                    if self.extensions > EXTENSIONS {
                        return Err(BAD);
                    }
                    State::Extension(size)
                }
                (State::SizeLineFeed(0), b'\n') => State::Trailer(0),
                (State::SizeLineFeed(size), b'\n') => State::Data(size),
                (State::DataReturn, b'\r') => State::DataLineFeed,
                (State::DataLineFeed, b'\n') => State::Size(0, 0),
                (State::Trailer(bytes), b'\r') => State::TrailerLineFeed(bytes),
                (State::Trailer(bytes), byte) if byte != b'\n' => {
                    self.trailers += 1;
                    if self.trailers > TRAILERS {
                        return Err(Fault::HeadTooLarge);
                    }
                    State::Trailer(bytes + 1)
                }
                (State::TrailerLineFeed(0), b'\n') => State::End,
                (State::TrailerLineFeed(_), b'\n') => State::Trailer(0),
                _ => return Err(BAD),
            };
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_framings() {
        let table: &[(&str, Result<Framing, u16>)] = &[
            ("", Ok(Framing::None)),
            ("Content-Length: 0\r\n", Ok(Framing::None)),
            ("Content-Length: 12\r\n", Ok(Framing::Length(12))),
            ("content-length:  007 \r\n", Ok(Framing::Length(7))),
            ("Transfer-Encoding: chunked\r\n", Ok(Framing::Chunked)),
            ("Transfer-Encoding: CHUNKED\r\n", Ok(Framing::Chunked)),
            ("Content-Length: 1x\r\n", Err(400)),
            ("Content-Length: +1\r\n", Err(400)),
            ("Content-Length: -1\r\n", Err(400)),
            ("Content-Length: \r\n", Err(400)),
            ("Content-Length: 1, 1\r\n", Err(400)),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", Err(400)),
            ("Content-Length: 1\r\nContent-Length: 2\r\n", Err(400)),
            ("Content-Length: 99999999999999999999999\r\n", Err(413)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(400)),
            ("Transfer-Encoding: identity\r\n", Err(400)),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(400)),
            ("Transfer-Encoding: xchunked\r\n", Err(400)),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", Err(400)),
            ("Content-Length: \u{7f}1\r\n", Err(400)),
        ];
        for (fields, expected) in table {
            let mut head = Head::default();
            let text = format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
            let found = head.parse(text.as_bytes()).map(|_| head.framing).map_err(|fault| fault.status());
            assert_eq!(found, *expected, "{fields:?}");
        }
        let mut old = Head::default();
        assert!(old.parse(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    fn eaten(input: &[u8], step: usize, limit: usize) -> Result<(Vec<u8>, usize), u16> {
        let mut chunks = Chunks::new(limit);
        let (mut body, mut at) = (Vec::new(), 0);
        while !chunks.at_end() && at < input.len() {
            let end = input.len().min(at + step);
            at += chunks
                .eat(&input[at..end], &mut |piece| body.extend_from_slice(piece))
                .map_err(|fault| fault.status())?;
        }
        Ok((body, at))
    }

    #[test]
    fn chunks_are_joined_however_they_are_cut() {
        let input = b"4;a=b\r\nWiki\r\n5 \r\npedia\r\n0\r\nX: y\r\n\r\nGET /";
        for step in 1..input.len() {
            assert_eq!(eaten(input, step, 100), Ok((b"Wikipedia".to_vec(), input.len() - 5)), "step {step}");
        }
    }

    #[test]
    fn garbage_between_chunks_is_refused() {
        for bad in [
            &b"\r\n"[..],
            b"g\r\n",
            b"-1\r\n",
            b"4\nWiki",
            b"4\r\nWikiX",
            b"4\r\nWiki\n",
            b"4\r\nWiki\r\r",
            b"0\r\n\n",
            b"4;a\x00\r\n",
        ] {
            assert_eq!(eaten(bad, 1, 100), Err(400), "{bad:?}");
        }
    }

    #[test]
    fn a_chunked_body_has_the_same_limits() {
        assert_eq!(eaten(b"3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n", 99, 5), Err(413));
        assert_eq!(eaten(b"FFFFFFFF\r\n", 1, usize::MAX), Err(413));
        assert_eq!(eaten(format!("1;{}", "x".repeat(EXTENSIONS + 1)).as_bytes(), 99, 5), Err(400));
        assert_eq!(eaten(format!("0\r\n{}", "x: y\r\n".repeat(TRAILERS)).as_bytes(), 99, 5), Err(431));
    }
}
