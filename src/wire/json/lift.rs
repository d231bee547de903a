//! Long strings are taken out of a JSON text while it arrives, so that a picture of 10 MB is held once: not as part of
//! the body and as a string of its own.
//!
//! What is left is a small JSON text in which a mark stands for each; whoever reads it puts the strings back with
//! [`Lifted::restore`]. The mark cannot be guessed, so no sender can write one. Does not check the text: what is no JSON
//! is passed on as it came, for the reader to refuse. Invariant: memory is the bytes that arrived, once.

use memchr::{memchr, memchr2};

/// Strings of more bytes than this are taken out.
const LONG: usize = 64 << 10;

/// Takes a text apart as its bytes arrive.
pub struct Lifter {
    rest: Vec<u8>,
    long: Vec<Vec<u8>>,
    mark: String,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Outside,
    /// In a string that began at this place of `rest`; `escaped`: behind a backslash.
    Short {
        from: usize,
        escaped: bool,
    },
    /// In the last of `long`.
    Long {
        escaped: bool,
    },
}

/// A text without its long strings.
#[derive(Debug)]
pub struct Lifted {
    pub rest: Vec<u8>,
    long: Vec<Option<String>>,
    mark: String,
}

impl Lifter {
    /// `secret`: what no sender can guess, in letters, digits and dashes.
    pub fn new(secret: &str) -> Lifter {
        Lifter { rest: Vec::new(), long: Vec::new(), mark: format!("long-{secret}-"), state: State::Outside }
    }

    /// Takes what arrived.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Outside => self.outside(bytes),
                State::Short { from, escaped } => self.short(bytes, from, escaped),
                State::Long { escaped } => self.long(bytes, escaped),
            };
        }
    }

    fn outside<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = memchr(b'"', bytes).map_or(bytes.len(), |at| at + 1);
        self.rest.extend_from_slice(&bytes[..end]);
        if self.rest.last() == Some(&b'"') {
            self.state = State::Short { from: self.rest.len(), escaped: false };
        }
        &bytes[end..]
    }

    fn short<'a>(&mut self, bytes: &'a [u8], from: usize, escaped: bool) -> &'a [u8] {
        let (end, state) = step(bytes, escaped, LONG);
        self.rest.extend_from_slice(&bytes[..end]);
        self.state = match state {
            Step::Closed => State::Outside,
            Step::Open { escaped } if self.rest.len() - from > LONG => {
                self.long.push(self.rest.split_off(from));
                self.rest.extend_from_slice(format!("{}{}", self.mark, self.long.len() - 1).as_bytes());
                State::Long { escaped }
            }
            Step::Open { escaped } => State::Short { from, escaped },
        };
        &bytes[end..]
    }

    fn long<'a>(&mut self, bytes: &'a [u8], escaped: bool) -> &'a [u8] {
        let (end, state) = step(bytes, escaped, bytes.len());
        let closed = state == Step::Closed;
        if let Some(long) = self.long.last_mut() {
            long.extend_from_slice(&bytes[..end - usize::from(closed)]);
        }
        self.state = match state {
            Step::Closed => {
                self.rest.push(b'"');
                State::Outside
            }
            Step::Open { escaped } => State::Long { escaped },
        };
        &bytes[end..]
    }

    /// The text as far as it came. The error says what is wrong with a long string.
    pub fn end(self) -> Result<Lifted, String> {
        let long = self.long.into_iter().map(|raw| plain(raw).map(Some));
        let long = long.collect::<Option<_>>().ok_or("a long string is no JSON: it has a bad escape or is no UTF-8")?;
        Ok(Lifted { rest: self.rest, long, mark: self.mark })
    }
}

/// Where a stretch of a string ends: behind its closing quote, or because there is no more.
#[derive(PartialEq)]
enum Step {
    Closed,
    Open { escaped: bool },
}

/// Goes on in a string for at most `most` bytes.
fn step(bytes: &[u8], mut escaped: bool, most: usize) -> (usize, Step) {
    let bytes = &bytes[..bytes.len().min(most.max(1))];
    let mut at = 0;
    loop {
        if escaped {
            at += 1;
            escaped = false;
        }
        let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) else {
            return (bytes.len(), Step::Open { escaped });
        };
        at += found + 1;
        if bytes[at - 1] == b'"' {
            return (at, Step::Closed);
        }
        escaped = true;
        if at == bytes.len() {
            return (at, Step::Open { escaped });
        }
    }
}

/// The inside of a JSON string without its escapes, in the same memory: what is escaped is never shorter.
fn plain(mut raw: Vec<u8>) -> Option<String> {
    if raw.iter().any(|byte| *byte < 0x20) {
        return None;
    }
    if let Some(first) = memchr(b'\\', &raw) {
        let (mut from, mut to) = (first, first);
        while from < raw.len() {
            if raw[from] != b'\\' {
                let run = memchr(b'\\', &raw[from..]).unwrap_or(raw.len() - from);
                raw.copy_within(from..from + run, to);
                (from, to) = (from + run, to + run);
                continue;
            }
            let (found, length) = unescaped(&raw[from..])?;
            let mut bytes = [0; 4];
            let bytes = found.encode_utf8(&mut bytes).as_bytes();
            raw[to..to + bytes.len()].copy_from_slice(bytes);
            (from, to) = (from + length, to + bytes.len());
        }
        raw.truncate(to);
    }
    String::from_utf8(raw).ok()
}

/// What an escape stands for, and its length.
fn unescaped(text: &[u8]) -> Option<(char, usize)> {
    let short = |c| Some((c, 2));
    match text.get(1)? {
        b'"' => short('"'),
        b'\\' => short('\\'),
        b'/' => short('/'),
        b'b' => short('\u{8}'),
        b'f' => short('\u{c}'),
        b'n' => short('\n'),
        b'r' => short('\r'),
        b't' => short('\t'),
        b'u' => {
            let first = unit(text)?;
            match char::from_u32(first) {
                Some(one) => Some((one, 6)),
                None => {
                    let second = text.get(6..).filter(|rest| rest.starts_with(b"\\u")).and_then(unit)?;
                    let pair = [first as u16, second as u16];
                    let both = char::decode_utf16(pair).next()?.ok()?;
                    Some((both, 12))
                }
            }
        }
        _ => None,
    }
}

/// The number of `\uXXXX`.
fn unit(text: &[u8]) -> Option<u32> {
    let digits = text.get(2..6)?;
    digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
}

impl Lifted {
    /// Puts a long string back where its mark stands.
    pub fn restore(&mut self, text: &mut String) {
        if let Some(at) = self.marked(text) {
            *text = self.long[at].take().unwrap_or_default();
        }
    }

    /// The same for a field that may be missing.
    pub fn restore_in(&mut self, text: &mut Option<String>) {
        if let Some(text) = text {
            self.restore(text);
        }
    }

    /// Whether raw JSON holds a mark: then a long string stands where none is put back.
    pub fn is_in(&self, raw: &str) -> bool {
        !self.long.is_empty() && raw.contains(&self.mark)
    }

    fn marked(&self, text: &str) -> Option<usize> {
        if self.long.is_empty() {
            return None;
        }
        let number = text.strip_prefix(&self.mark)?;
        (0..self.long.len()).find(|at| number == at.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifted(text: &str, step: usize) -> Result<Lifted, String> {
        let mut lifter = Lifter::new("c0ffee");
        text.as_bytes().chunks(step).for_each(|piece| lifter.push(piece));
        lifter.end()
    }

    /// Everything put back.
    fn whole(text: &str, step: usize) -> serde_json::Value {
        fn back(value: &mut serde_json::Value, lifted: &mut Lifted) {
            match value {
                serde_json::Value::String(text) => lifted.restore(text),
                serde_json::Value::Array(list) => list.iter_mut().for_each(|one| back(one, lifted)),
                serde_json::Value::Object(map) => map.values_mut().for_each(|one| back(one, lifted)),
                _ => {}
            }
        }
        let mut lifted = lifted(text, step).expect("a text");
        assert!(lifted.rest.len() < 4 * LONG, "{} bytes are left", lifted.rest.len());
        let mut value = serde_json::from_slice(&lifted.rest).expect("JSON");
        back(&mut value, &mut lifted);
        value
    }

    #[test]
    fn a_text_is_the_same_with_its_long_strings_put_back() {
        let odd = "a\"\\/\u{8}\u{c}\n\r\t\u{1}ü€😀".repeat(9_000);
        let escaped: String = odd.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let value = serde_json::json!({
            "short": "a \"b\" \\", "exact": "x".repeat(LONG), "over": "y".repeat(LONG + 1),
            "list": [{ "odd": odd }, "", "\\", 7, "z".repeat(3 * LONG)],
        });
        let text = value.to_string();
        for step in [1, 7, 16 << 10, LONG, LONG + 1, text.len()] {
            assert_eq!(whole(&text, step), value, "in steps of {step}");
        }
        assert_eq!(whole(&format!("{{\"a\":\"{escaped}\"}}"), 1000)["a"], odd);
    }

    #[test]
    fn what_is_no_json_is_left_to_the_reader_or_refused() {
        for bad in ["", "{", "\"", "\"abc", "{\"a\": \"b\\", "nonsense \" and \" more"] {
            assert_eq!(lifted(bad, 3).expect("short texts are not judged").rest, bad.as_bytes());
        }
        let long = "x".repeat(3 * LONG);
        for end in ["\\q", "\\u12", "\\ud800", "\\ud800\\u0041", "\\udc00", "\n"] {
            assert!(lifted(&format!("\"{long}{end}\""), 999).is_err(), "{end:?}");
        }
        let mut lifter = Lifter::new("c0ffee");
        lifter.push(format!("\"{long}").as_bytes());
        lifter.push(b"\xFF\"");
        assert!(lifter.end().is_err());
    }

    #[test]
    fn a_mark_is_known_only_where_it_is_whole() {
        let long = "x".repeat(3 * LONG);
        let mut lifted = lifted(&format!("{{\"a\":\"{long}\"}}"), 999).expect("a text");
        let rest = String::from_utf8(lifted.rest.clone()).expect("text");
        assert!(lifted.is_in(&rest) && !lifted.is_in("{}"));
        let mark = rest.split('"').nth(3).expect("the mark").to_string();
        for other in [format!("{mark}0"), format!(" {mark}"), format!("{mark}x"), String::new()] {
            let mut text = other.clone();
            lifted.restore(&mut text);
            assert_eq!(text, other);
        }
        let mut text = mark;
        lifted.restore(&mut text);
        assert_eq!(text, long);
        assert!(!Lifter::new("x").end().expect("a text").is_in(&rest));
    }
}
