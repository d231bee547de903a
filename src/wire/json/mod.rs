//! A JSON reader made to be small where it is used often.
//!
//! serde's code for a type is made once more for every reader, and serde_json's calls for all that a type might be read
//! from: a struct from an array, a field from its number. This one asks for what JSON has, keeps a path for errors on the
//! way, and everything that does not depend on a type is made once. Values, raw values and writing stay serde_json's.
//!
//! Invariants: takes what RFC 8259 allows and nothing else, at most [`DEPTH`] levels deep, two equal keys in a struct are
//! an error; never reads outside the text, never panics.

pub mod lift;
mod typed;

use std::borrow::Cow;
use std::fmt;

use memchr::memchr2;
use serde::de::{self, Expected, Unexpected};

/// Deepest nesting; what is deeper is refused before the stack feels it.
pub const DEPTH: usize = 128;

/// Reads one text.
pub(super) struct Reader<'de> {
    text: &'de str,
    at: usize,
    depth: usize,
    /// Where the value being read stands. Not taken back when something is wrong.
    path: Vec<Place>,
    syntax: bool,
}

/// A step to a value: the bytes of its key with quotes, or its number in a list.
#[derive(Clone, Copy)]
enum Place {
    Key(usize, usize),
    Index(usize),
}

/// Why reading stopped; where is known to the reader.
#[derive(Debug)]
pub(super) struct Stopped(pub(super) String);

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Stopped {}

impl de::Error for Stopped {
    fn custom<T: fmt::Display>(what: T) -> Stopped {
        Stopped(what.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Stopped {
        mismatch("type", found, expected)
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Stopped {
        mismatch("value", found, expected)
    }
}

fn mismatch(what: &str, found: Unexpected<'_>, expected: &dyn Expected) -> Stopped {
    Stopped(match found {
        Unexpected::Unit => format!("invalid {what}: null, expected {expected}"),
        found => format!("invalid {what}: {found}, expected {expected}"),
    })
}

/// A number as JSON has it.
enum Number {
    Whole(u64),
    Negative(i64),
    Real(f64),
}

impl<'de> Reader<'de> {
    pub(super) fn new(text: &'de str) -> Reader<'de> {
        Reader { text, at: 0, depth: 0, path: Vec::new(), syntax: false }
    }

    /// After the value: nothing but blanks may follow.
    #[inline(never)] // the same for every type
    pub(super) fn end(&mut self) -> Result<(), Stopped> {
        match self.peek() {
            Ok(_) => Err(self.wrong("trailing characters")),
            Err(_) => {
                self.syntax = false;
                Ok(())
            }
        }
    }

    /// Line and column, from 1, of a text that is no JSON.
    pub(super) fn syntax(&self) -> Option<(usize, usize)> {
        let before = &self.text.as_bytes()[..self.at.min(self.text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        self.syntax.then_some((line, column))
    }

    /// The way to where reading stopped: a key, or a number in a list, for each step.
    pub(super) fn steps(&self) -> impl Iterator<Item = Result<String, usize>> {
        self.path.iter().map(|place| match *place {
            Place::Index(index) => Err(index),
            Place::Key(from, to) => {
                let mut key = Reader::new(&self.text[from..to]);
                Ok(key.string().map(Cow::into_owned).unwrap_or_default())
            }
        })
    }

    fn wrong(&mut self, what: &str) -> Stopped {
        self.syntax = true;
        Stopped(what.to_owned())
    }

    /// The first byte of what comes next.
    fn peek(&mut self) -> Result<u8, Stopped> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                byte => return Ok(*byte),
            }
        }
        Err(self.wrong("EOF while parsing a value"))
    }

    fn literal(&mut self, word: &str) -> Result<(), Stopped> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.wrong("expected value"));
        }
        self.at += word.len();
        Ok(())
    }

    #[inline(never)]
    fn null(&mut self) -> Result<bool, Stopped> {
        let null = self.peek()? == b'n';
        if null {
            self.literal("null")?;
        }
        Ok(null)
    }

    fn string(&mut self) -> Result<Cow<'de, str>, Stopped> {
        let text = self.text;
        self.at += 1;
        let mut plain_from = self.at;
        let mut out = String::new();
        loop {
            let rest = &text.as_bytes()[plain_from..];
            let Some(length) = memchr2(b'"', b'\\', rest) else {
                self.at = text.len();
                return Err(self.wrong("EOF while parsing a string"));
            };
            if let Some(bad) = rest[..length].iter().position(|byte| *byte < 0x20) {
                self.at = plain_from + bad;
                return Err(self.wrong("control character (\\u0000-\\u001F) found while parsing a string"));
            }
            let plain = &text[plain_from..plain_from + length];
            self.at = plain_from + length + 1;
            if rest[length] == b'"' {
                if out.is_empty() {
                    return Ok(Cow::Borrowed(plain));
                }
                out.push_str(plain);
                return Ok(Cow::Owned(out));
            }
            out.push_str(plain);
            out.push(self.escaped()?);
            plain_from = self.at;
        }
    }

    fn escaped(&mut self) -> Result<char, Stopped> {
        let byte = self.text.as_bytes().get(self.at).copied();
        self.at += 1;
        Ok(match byte {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.hex()?;
                let code = match first {
                    0xD800..=0xDBFF if self.text.as_bytes()[self.at..].starts_with(b"\\u") => {
                        self.at += 2;
                        let second = self.hex()?;
                        let low = second.checked_sub(0xDC00).filter(|low| *low < 0x400);
                        low.map(|low| 0x1_0000 + ((first - 0xD800) << 10) + low)
                    }
                    code => Some(code),
                };
                match code.and_then(char::from_u32) {
                    Some(char) => char,
                    None => return Err(self.wrong("lone leading surrogate in hex escape")),
                }
            }
            Some(_) => return Err(self.wrong("invalid escape")),
            None => return Err(self.wrong("EOF while parsing a string")),
        })
    }

    fn hex(&mut self) -> Result<u32, Stopped> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
        let value = digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?));
        self.at = (self.at + 4).min(self.text.len());
        match value {
            Some(value) if digits.len() == 4 => Ok(value),
            _ => Err(self.wrong("invalid escape")),
        }
    }

    fn number(&mut self) -> Result<Number, Stopped> {
        let bytes = self.text.as_bytes();
        let from = self.at;
        let digits = |at: &mut usize| {
            let begin = *at;
            while bytes.get(*at).is_some_and(u8::is_ascii_digit) {
                *at += 1;
            }
            *at - begin
        };
        let mut at = from + usize::from(bytes[from] == b'-');
        let leading_zero = bytes.get(at) == Some(&b'0');
        let whole = digits(&mut at);
        let mut right = whole == 1 || (whole > 1 && !leading_zero);
        let mut real = false;
        if bytes.get(at) == Some(&b'.') {
            at += 1;
            real = true;
            right &= digits(&mut at) > 0;
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            at += 1;
            at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
            real = true;
            right &= digits(&mut at) > 0;
        }
        self.at = at;
        if !right {
            return Err(self.wrong("invalid number"));
        }
        let written = &self.text[from..at];
        if !real {
            if let Ok(whole) = written.parse() {
                return Ok(Number::Whole(whole));
            }
            if let Ok(negative) = written.parse::<i64>() {
                return Ok(if negative == 0 { Number::Real(-0.0) } else { Number::Negative(negative) });
            }
        }
        match written.parse::<f64>() {
            Ok(real) if real.is_finite() => Ok(Number::Real(real)),
            _ => Err(self.wrong("number out of range")),
        }
    }

    /// Goes over one value without a look at what it is.
    fn skip(&mut self) -> Result<(), Stopped> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' | b'0'..=b'9' => self.number().map(|_| ()),
            open @ (b'{' | b'[') => {
                self.open()?;
                let close = if open == b'{' { b'}' } else { b']' };
                let mut first = true;
                while self.another(close, &mut first)? {
                    if open == b'{' {
                        self.key()?;
                        self.colon()?;
                    }
                    self.skip()?;
                }
                Ok(())
            }
            _ => Err(self.wrong("expected value")),
        }
    }

    fn open(&mut self) -> Result<(), Stopped> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.wrong("recursion limit exceeded"));
        }
        Ok(())
    }

    /// Whether the open container has one more member; takes the comma before it, or the bracket.
    fn another(&mut self, close: u8, first: &mut bool) -> Result<bool, Stopped> {
        let next = self.peek()?;
        if next == close {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        if !std::mem::take(first) {
            if next != b',' {
                return Err(self.wrong(if close == b'}' { "expected `,` or `}`" } else { "expected `,` or `]`" }));
            }
            self.at += 1;
            if self.peek()? == close {
                return Err(self.wrong("trailing comma"));
            }
        }
        Ok(true)
    }

    fn key(&mut self) -> Result<Cow<'de, str>, Stopped> {
        match self.peek()? {
            b'"' => self.string(),
            _ => Err(self.wrong("key must be a string")),
        }
    }

    fn colon(&mut self) -> Result<(), Stopped> {
        if self.peek()? != b':' {
            return Err(self.wrong("expected `:`"));
        }
        self.at += 1;
        Ok(())
    }

    /// What stands here is something else than was expected.
    fn unwanted(&mut self, expected: &dyn Expected) -> Stopped {
        let found = match self.peek() {
            Err(stopped) => return stopped,
            Ok(b'{') => return mismatch("type", Unexpected::Map, expected),
            Ok(b'[') => return mismatch("type", Unexpected::Seq, expected),
            Ok(b'"') => match self.string() {
                Ok(text) => return mismatch("type", Unexpected::Str(&text), expected),
                Err(stopped) => return stopped,
            },
            Ok(b't') => self.literal("true").map(|()| Unexpected::Bool(true)),
            Ok(b'f') => self.literal("false").map(|()| Unexpected::Bool(false)),
            Ok(b'n') => self.literal("null").map(|()| Unexpected::Unit),
            Ok(b'-' | b'0'..=b'9') => self.number().map(|number| match number {
                Number::Whole(n) => Unexpected::Unsigned(n),
                Number::Negative(n) => Unexpected::Signed(n),
                Number::Real(n) => Unexpected::Float(n),
            }),
            Ok(_) => return self.wrong("expected value"),
        };
        match found {
            Ok(found) => mismatch("type", found, expected),
            Err(stopped) => stopped,
        }
    }
}
