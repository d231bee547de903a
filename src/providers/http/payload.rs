//! The body of a request, whose long texts stay where they are: a picture is sent from the memory the turn has it in.
//!
//! Invariant: the bytes are those that `serde_json` writes, and their number is known before the first is sent.

use std::io::{self, Read, Write};

use serde::Serialize;

use super::super::{Message, Part, Turn};
use crate::sys::shared_text::SharedText;

/// Texts of more bytes than this are not copied.
const LONG: usize = 32 << 10;

/// A body to be sent, as often as needed.
#[derive(Debug, Default)]
pub struct Payload {
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Plain(Vec<u8>),
    Text(Inside),
}

/// What a stretch of a shared text is as the inside of a JSON string.
#[derive(Debug)]
struct Inside {
    text: SharedText,
    from: usize,
    to: usize,
    /// Bytes, written with escapes.
    length: u64,
}

/// Takes what `serde_json` writes. It hands on stretches of a string as they lie in memory, so one that lies in a long
/// text is known by its place; from there to the closing quote everything is that text, as far as bytes were written.
struct Splicer<'a> {
    long: Vec<&'a SharedText>,
    pieces: Vec<Piece>,
    plain: Vec<u8>,
    inside: Option<Inside>,
}

/// Sends a payload's bytes once.
pub struct Sending<'a> {
    rest: std::slice::Iter<'a, Piece>,
    now: &'a [u8],
    escapes: bool,
    /// Of an escape that did not fit.
    owed: Vec<u8>,
}

impl Payload {
    /// A document without long texts.
    pub fn plain(body: Vec<u8>) -> Payload {
        Payload { pieces: vec![Piece::Plain(body)] }
    }

    /// `body` as JSON, made of `turn`.
    pub fn of(turn: &Turn, body: &impl Serialize) -> Payload {
        let mut long = Vec::new();
        for message in &turn.messages {
            let (Message::User(parts) | Message::ToolResult { content: parts, .. }) = message else { continue };
            let texts = parts.iter().map(|(Part::Text(text) | Part::Image { data: text, .. })| text);
            long.extend(texts.filter(|text| text.len() > LONG));
        }
        let mut splicer = Splicer { long, pieces: Vec::new(), plain: Vec::new(), inside: None };
        serde_json::to_writer(&mut splicer, body).expect("strings, numbers and checked JSON always serialise");
        let Splicer { mut pieces, plain, .. } = splicer;
        pieces.push(Piece::Plain(plain));
        Payload { pieces }
    }

    pub fn length(&self) -> u64 {
        let lengths = self.pieces.iter().map(|piece| match piece {
            Piece::Plain(bytes) => bytes.len() as u64,
            Piece::Text(inside) => inside.length,
        });
        lengths.sum()
    }

    /// All of it, for tests.
    #[cfg(test)]
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.send().read_to_string(&mut text).expect("JSON is UTF-8");
        text
    }

    pub fn send(&self) -> Sending<'_> {
        Sending { rest: self.pieces.iter(), now: &[], escapes: false, owed: Vec::new() }
    }
}

impl Write for Splicer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len() as u64;
        match (&mut self.inside, place_of(&self.long, bytes)) {
            (Some(inside), place) if bytes != b"\"" || place.is_some() => inside.length += length,
            (None, Some((text, from))) => {
                self.pieces.push(Piece::Plain(std::mem::take(&mut self.plain)));
                self.inside = Some(Inside { text: text.clone(), from, to: from, length });
            }
            _ => {
                self.pieces.extend(self.inside.take().map(|inside| Piece::Text(inside.closed())));
                self.plain.extend_from_slice(bytes);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The long text these bytes lie in, and where.
fn place_of<'a>(long: &[&'a SharedText], bytes: &[u8]) -> Option<(&'a SharedText, usize)> {
    let at = bytes.as_ptr() as usize;
    long.iter().copied().find_map(|text| {
        let from = at.checked_sub(text.as_ptr() as usize)?;
        (from < text.len() && !bytes.is_empty()).then_some((text, from))
    })
}

impl Inside {
    /// Ends where as many bytes were written as the stretch has.
    fn closed(mut self) -> Inside {
        let mut left = self.length;
        for byte in &self.text.as_bytes()[self.from..] {
            let length = escape(*byte).map_or(1, Escape::length);
            if length > left {
                break;
            }
            left -= length;
            self.to += 1;
        }
        debug_assert_eq!(left, 0, "a string that began in a shared text went on elsewhere");
        self
    }
}

/// How a byte that cannot stand in a JSON string is written.
#[derive(Clone, Copy)]
enum Escape {
    Short(u8),
    Number(u8),
}

impl Escape {
    fn length(self) -> u64 {
        match self {
            Escape::Short(_) => 2,
            Escape::Number(_) => 6,
        }
    }

    fn write(self, to: &mut Vec<u8>) {
        match self {
            Escape::Short(letter) => to.extend([b'\\', letter]),
            Escape::Number(byte) => to.extend(format!("\\u{byte:04x}").bytes()),
        }
    }
}

fn escape(byte: u8) -> Option<Escape> {
    Some(match byte {
        b'"' | b'\\' => Escape::Short(byte),
        8 => Escape::Short(b'b'),
        9 => Escape::Short(b't'),
        10 => Escape::Short(b'n'),
        12 => Escape::Short(b'f'),
        13 => Escape::Short(b'r'),
        0..0x20 => Escape::Number(byte),
        _ => return None,
    })
}

impl Read for Sending<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            let room = &mut into[done..];
            if !self.owed.is_empty() {
                let size = self.owed.len().min(room.len());
                room[..size].copy_from_slice(&self.owed[..size]);
                self.owed.drain(..size);
                done += size;
                continue;
            }
            if self.now.is_empty() {
                match self.rest.next() {
                    None => break,
                    Some(Piece::Plain(bytes)) => (self.now, self.escapes) = (bytes, false),
                    Some(Piece::Text(Inside { text, from, to, length })) => {
                        self.now = &text.as_bytes()[*from..*to];
                        self.escapes = *length != self.now.len() as u64;
                    }
                }
                continue;
            }
            let size = self.now.len().min(room.len());
            let odd = if self.escapes { self.now[..size].iter().position(|b| escape(*b).is_some()) } else { None };
            let run = odd.unwrap_or(size);
            room[..run].copy_from_slice(&self.now[..run]);
            done += run;
            self.now = &self.now[run..];
            if odd.is_some()
                && let Some((byte, rest)) = self.now.split_first()
                && let Some(escape) = escape(*byte)
            {
                escape.write(&mut self.owed);
                self.now = rest;
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Serialize)]
    struct Body<'a> {
        first: &'a str,
        texts: Vec<&'a str>,
        url: Url<'a>,
        last: u8,
    }

    struct Url<'a>(&'a str);

    impl Serialize for Url<'_> {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.collect_str(&format_args!("data:{}", self.0))
        }
    }

    #[test]
    fn the_bytes_are_those_of_serde_json_and_long_texts_are_not_copied() {
        let odd: String = "\n\"a\\b\u{1}\u{1f}\t\r\u{8}\u{c}ü€😀\u{7f}".repeat(3_000);
        for long in [odd.clone(), "x".repeat(LONG + 1), format!("{}\n", "y".repeat(LONG)), format!("\n{odd}")] {
            let picture = "QUJD".repeat(LONG);
            let parts = vec![
                Part::Text(long.as_str().into()),
                Part::Text("short".into()),
                Part::Image { mime: "image/png".into(), data: picture.as_str().into() },
            ];
            let turn = Turn { messages: vec![Message::User(parts)], ..Turn::default() };
            let Message::User(parts) = &turn.messages[0] else { unreachable!() };
            let (Part::Text(a), Part::Text(b), Part::Image { data, .. }) = (&parts[0], &parts[1], &parts[2]) else {
                unreachable!()
            };
            // Part of a text, too: from its middle, and not to its end.
            let middle = &a[a.len() / 5 * 2..a.len() / 5 * 3];
            let body = Body { first: b, texts: vec![a, "\n", a, "", middle], url: Url(data), last: 7 };
            let expected = serde_json::to_vec(&body).expect("JSON");
            let payload = Payload::of(&turn, &body);
            assert_eq!(payload.length(), expected.len() as u64);
            let copied = payload.pieces.iter().map(|piece| match piece {
                Piece::Plain(bytes) => bytes.len(),
                Piece::Text(_) => 0,
            });
            assert!(copied.sum::<usize>() < 200);
            for step in [1, 5, 16 << 10] {
                let (mut sent, mut piece, mut sending) = (Vec::new(), vec![0; step], payload.send());
                while let Ok(size @ 1..) = sending.read(&mut piece) {
                    sent.extend_from_slice(&piece[..size]);
                }
                assert!(sent == expected, "in steps of {step}");
            }
        }
    }

    #[test]
    fn a_plain_body_is_sent_as_it_is() {
        let payload = Payload::plain(json!({"a": 1}).to_string().into_bytes());
        assert_eq!((payload.text().as_str(), payload.length()), (r#"{"a":1}"#, 7));
    }
}
