//! Reads JSON5 and remembers where everything stood.
//!
//! The whole of JSON5: comments, trailing commas, bare and single-quoted keys, hexadecimal and signed numbers, `.5`, `5.`,
//! `Infinity`, line continuations. A number keeps being an integer when it is one. Writing is the work of
//! [`edit`](super::edit).
//!
//! Invariants: every key and value knows its line and column (1-based, columns in characters); nesting and size are
//! bounded before memory is; of two equal keys the later one counts, and the earlier one is reported in
//! [`Parsed::duplicates`].

use std::fmt;

use serde_json::{Map, Value};

pub use serde_json::Number;

/// Deeper files are refused; a person's configuration has eight levels.
pub const MAX_DEPTH: usize = 64;

/// Larger files are refused before they are read.
pub const MAX_BYTES: usize = 4 << 20;

/// Where something begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Which file, as counted by whoever read them; 0 is the main file.
    pub file: u16,
    pub line: u32,
    pub column: u32,
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub kind: Kind,
    pub at: Place,
    /// Bytes of the text it was read from, first and one past the last.
    pub span: (usize, usize),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    /// `Infinity`, `-Infinity` and `NaN`: readable, but no setting accepts them.
    NotFinite(&'static str),
    String(String),
    Array(Vec<Node>),
    /// Keys are unique.
    Object(Vec<Entry>),
}

/// One key of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub at: Place,
    /// Byte of the text the key begins at.
    pub start: usize,
    pub value: Node,
}

/// A file taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    pub root: Node,
    /// Keys that were written twice in one object, with the place of the one that does not count.
    pub duplicates: Vec<(String, Place)>,
}

/// Why a text is not JSON5, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    pub at: Place,
    pub message: String,
}

/// Parses a whole text. `file` is put into every place.
pub fn parse(text: &str, file: u16) -> Result<Parsed, SyntaxError> {
    let at = Place { file, line: 1, column: 1 };
    let mut reader = Reader { chars: text.chars(), length: text.len(), at, duplicates: Vec::new() };
    if text.len() > MAX_BYTES {
        return Err(reader.error(format!("file is larger than {} MiB", MAX_BYTES >> 20)));
    }
    reader.skip_space()?;
    let root = reader.value(0)?;
    reader.skip_space()?;
    match reader.peek() {
        None => Ok(Parsed { root, duplicates: reader.duplicates }),
        Some(c) => Err(reader.error(format!("expected the end of the file, found {}", shown(c)))),
    }
}

impl Node {
    /// The value without its places. Numbers that are not finite become null, as JSON does it.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Null | Kind::NotFinite(_) => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(number) => Value::Number(number.clone()),
            Kind::String(text) => Value::String(text.clone()),
            Kind::Array(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Kind::Object(entries) => {
                let pairs = entries.iter().map(|entry| (entry.key.clone(), entry.value.to_value()));
                Value::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }

    /// The value under a key, when this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Object(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// The text, when this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }
}

struct Reader<'a> {
    chars: std::str::Chars<'a>,
    length: usize,
    at: Place,
    duplicates: Vec<(String, Place)>,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        let (at, start) = (self.at, self.offset());
        if depth > MAX_DEPTH {
            return Err(self.error(format!("nested more than {MAX_DEPTH} levels deep")));
        }
        let kind = match self.peek() {
            Some('{') => self.object(depth)?,
            Some('[') => self.array(depth)?,
            Some('"' | '\'') => Kind::String(self.string()?),
            Some('+' | '-' | '.' | '0'..='9') => self.number()?,
            Some(c) if is_name_start(c) => self.word()?,
            Some(c) => return Err(self.error(format!("expected a value, found {}", shown(c)))),
            None => return Err(self.error("expected a value, found the end of the file")),
        };
        Ok(Node { kind, at, span: (start, self.offset()) })
    }

    fn object(&mut self, depth: usize) -> Result<Kind, SyntaxError> {
        let opened = self.at;
        self.next();
        let mut entries: Vec<Entry> = Vec::new();
        let mut positions = std::collections::HashMap::new();
        loop {
            self.skip_space()?;
            let (at, start) = (self.at, self.offset());
            let key = match self.peek() {
                Some('}') => break,
                Some('"' | '\'') => self.string()?,
                Some(c) if is_name_start(c) || c == '\\' => self.name()?,
                Some(c) => return Err(self.error(format!("expected a key or '}}', found {}", shown(c)))),
                None => return Err(self.unclosed('{', opened)),
            };
            self.skip_space()?;
            if self.peek() != Some(':') {
                return Err(self.error(format!("expected ':' after the key {key:?}, found {}", self.found())));
            }
            self.next();
            self.skip_space()?;
            let value = self.value(depth + 1)?;
            let entry = Entry { key, at, start, value };
            match positions.get(&entry.key) {
                Some(&position) => {
                    let old: &mut Entry = &mut entries[position];
                    self.duplicates.push((entry.key.clone(), old.at));
                    *old = entry;
                }
                None => {
                    positions.insert(entry.key.clone(), entries.len());
                    entries.push(entry);
                }
            }
            self.skip_space()?;
            match self.peek() {
                Some(',') => drop(self.next()),
                Some('}') => break,
                None => return Err(self.unclosed('{', opened)),
                Some(c) => return Err(self.error(format!("expected ',' or '}}', found {}", shown(c)))),
            }
        }
        self.next();
        Ok(Kind::Object(entries))
    }

    fn array(&mut self, depth: usize) -> Result<Kind, SyntaxError> {
        let opened = self.at;
        self.next();
        let mut items = Vec::new();
        loop {
            self.skip_space()?;
            match self.peek() {
                Some(']') => break,
                None => return Err(self.unclosed('[', opened)),
                _ => items.push(self.value(depth + 1)?),
            }
            self.skip_space()?;
            match self.peek() {
                Some(',') => drop(self.next()),
                Some(']') => break,
                None => return Err(self.unclosed('[', opened)),
                Some(c) => return Err(self.error(format!("expected ',' or ']', found {}", shown(c)))),
            }
        }
        self.next();
        Ok(Kind::Array(items))
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let opened = self.at;
        let quote = self.next().unwrap_or('"');
        let mut out = String::new();
        loop {
            match self.peek() {
                None | Some('\n' | '\r') => return Err(self.unclosed(quote, opened)),
                Some('\\') => {
                    self.next();
                    self.escape(&mut out)?;
                }
                Some(c) => {
                    self.next();
                    if c == quote {
                        return Ok(out);
                    }
                    out.push(c);
                }
            }
        }
    }

    /// What follows a backslash inside a string.
    fn escape(&mut self, out: &mut String) -> Result<(), SyntaxError> {
        match self.peek() {
            None => return Err(self.error("unfinished escape at the end of the file")),
            Some('x') => {
                self.next();
                let code = self.hex(2)?;
                out.extend(char::from_u32(code));
                return Ok(());
            }
            Some('u') => {
                self.next();
                out.push(self.unicode()?);
                return Ok(());
            }
            // Only `\0` itself; octal escapes are not JSON5.
            Some('1'..='9') => return Err(self.error("a digit cannot be escaped")),
            Some(_) => {}
        }
        match self.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('v') => out.push('\u{b}'),
            Some('0') if self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                return Err(self.error("a digit cannot be escaped"));
            }
            Some('0') => out.push('\0'),
            // A line continuation: neither the backslash nor the line break is part of the text.
            Some('\r') => {
                if self.peek() == Some('\n') {
                    self.next();
                }
            }
            Some('\n' | '\u{2028}' | '\u{2029}') | None => {}
            Some(other) => out.push(other),
        }
        Ok(())
    }

    /// After `\u`: four digits, or two such escapes for a character beyond the first plane. A lone half becomes U+FFFD.
    fn unicode(&mut self) -> Result<char, SyntaxError> {
        let first = self.hex(4)?;
        if !(0xd800..0xdc00).contains(&first) || !self.chars.as_str().starts_with("\\u") {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let before = (self.chars.clone(), self.at);
        self.next();
        self.next();
        let second = self.hex(4)?;
        if !(0xdc00..0xe000).contains(&second) {
            // Not the other half: it is read again as a character of its own.
            (self.chars, self.at) = before;
            return Ok(char::REPLACEMENT_CHARACTER);
        }
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self, digits: usize) -> Result<u32, SyntaxError> {
        let mut code = 0;
        for _ in 0..digits {
            let digit = self.peek().and_then(|c| c.to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.error(format!("expected {digits} hexadecimal digits")))?;
            self.next();
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<Kind, SyntaxError> {
        let start = self.at;
        let negative = self.peek() == Some('-');
        if matches!(self.peek(), Some('+' | '-')) {
            self.next();
        }
        if self.peek().is_some_and(is_name_start) {
            return match self.word()? {
                Kind::NotFinite("Infinity") if negative => Ok(Kind::NotFinite("-Infinity")),
                kind @ Kind::NotFinite(_) => Ok(kind),
                _ => Err(SyntaxError { at: start, message: "expected a number after the sign".to_owned() }),
            };
        }
        let mut text = String::new();
        while let Some(c) = self.peek() {
            let sign_of_exponent = matches!(c, '+' | '-') && text.ends_with(['e', 'E']) && !text.starts_with("0x");
            if !(c.is_ascii_alphanumeric() || c == '.' || sign_of_exponent) {
                break;
            }
            text.push(if c == 'X' { 'x' } else { c });
            self.next();
        }
        let number = match text.strip_prefix("0x") {
            Some(digits) => hexadecimal(digits, negative),
            None => decimal(&text, negative),
        };
        number.map(Kind::Number).ok_or_else(|| SyntaxError { at: start, message: format!("{text:?} is not a number") })
    }

    fn word(&mut self) -> Result<Kind, SyntaxError> {
        let at = self.at;
        match self.name()?.as_str() {
            "null" => Ok(Kind::Null),
            "true" => Ok(Kind::Bool(true)),
            "false" => Ok(Kind::Bool(false)),
            "Infinity" => Ok(Kind::NotFinite("Infinity")),
            "NaN" => Ok(Kind::NotFinite("NaN")),
            other => {
                let message = format!("expected a value, found {other:?} (text needs quotes)");
                Err(SyntaxError { at, message })
            }
        }
    }

    /// A bare key: an ECMAScript identifier, escapes allowed.
    fn name(&mut self) -> Result<String, SyntaxError> {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            if c == '\\' {
                self.next();
                if self.peek() != Some('u') {
                    return Err(self.error("only \\u escapes are allowed in a bare key"));
                }
                self.next();
                name.push(self.unicode()?);
            } else if is_name_start(c) || (!name.is_empty() && is_name_part(c)) {
                name.push(c);
                self.next();
            } else {
                break;
            }
        }
        Ok(name)
    }

    fn skip_space(&mut self) -> Result<(), SyntaxError> {
        loop {
            match self.peek() {
                Some(c) if is_space(c) => drop(self.next()),
                Some('/') => self.comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn comment(&mut self) -> Result<(), SyntaxError> {
        let opened = self.at;
        self.next();
        match self.next() {
            Some('/') => {
                while self.peek().is_some_and(|c| !matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}')) {
                    self.next();
                }
                Ok(())
            }
            Some('*') => {
                let mut last = ' ';
                loop {
                    match self.next() {
                        Some('/') if last == '*' => return Ok(()),
                        Some(c) => last = c,
                        None => return Err(SyntaxError { at: opened, message: "comment is never closed".to_owned() }),
                    }
                }
            }
            _ => Err(SyntaxError { at: opened, message: "expected a value, found '/'".to_owned() }),
        }
    }

    fn offset(&self) -> usize {
        self.length - self.chars.as_str().len()
    }

    fn peek(&self) -> Option<char> {
        self.chars.clone().next()
    }

    /// Takes one character; CR LF counts as one line break.
    fn next(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        let ends_line = match c {
            '\r' => self.peek() != Some('\n'),
            '\n' | '\u{2028}' | '\u{2029}' => true,
            _ => false,
        };
        if ends_line {
            self.at.line += 1;
            self.at.column = 1;
        } else {
            self.at.column += 1;
        }
        Some(c)
    }

    fn found(&self) -> String {
        self.peek().map_or_else(|| "the end of the file".to_owned(), shown)
    }

    fn error(&self, message: impl Into<String>) -> SyntaxError {
        SyntaxError { at: self.at, message: message.into() }
    }

    fn unclosed(&self, opening: char, opened: Place) -> SyntaxError {
        match opening {
            '"' | '\'' => SyntaxError { at: opened, message: "text is never closed on its line".to_owned() },
            _ => self.error(format!(
                "unexpected end of the file; the '{opening}' of line {}:{} is never closed",
                opened.line, opened.column
            )),
        }
    }
}

/// Digits after `0x`. Integers beyond 64 bits are read as the nearest double.
fn hexadecimal(digits: &str, negative: bool) -> Option<Number> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let big = digits.chars().fold(0.0, |sum, c| sum * 16.0 + f64::from(c.to_digit(16).unwrap_or(0)));
    match (u64::from_str_radix(digits, 16), negative) {
        (Ok(value), false) => Some(value.into()),
        (Ok(value), true) if i64::try_from(value).is_ok() => Some((-i64::try_from(value).ok()?).into()),
        _ => Number::from_f64(if negative { -big } else { big }),
    }
}

/// An unsigned decimal number in JSON5's spelling.
fn decimal(text: &str, negative: bool) -> Option<Number> {
    let mantissa = text.split(['e', 'E']).next()?;
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let leading_zero = mantissa.len() > 1 && mantissa.starts_with('0') && !mantissa.starts_with("0.");
    if digits == 0 || leading_zero || !text.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b)) {
        return None;
    }
    let signed = if negative { format!("-{text}") } else { text.to_owned() };
    if text.bytes().all(|b| b.is_ascii_digit()) {
        if let Ok(value) = text.parse::<u64>().map_err(drop).and_then(|v| if negative { Err(()) } else { Ok(v) }) {
            return Some(value.into());
        }
        if let Ok(value) = signed.parse::<i64>() {
            return Some(value.into());
        }
    }
    let value: f64 = signed.parse().ok()?;
    // 1e3 and 5.0 are whole numbers, and settings that want whole numbers accept them.
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        return Some((value as i64).into());
    }
    Number::from_f64(value)
}

fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | ' ' | '\u{a0}' | '\u{feff}' | '\n' | '\r' | '\u{2028}' | '\u{2029}')
        || (!c.is_ascii() && c.is_whitespace())
}

fn is_name_start(c: char) -> bool {
    c == '$' || c == '_' || c.is_alphabetic()
}

fn is_name_part(c: char) -> bool {
    is_name_start(c) || c.is_alphanumeric() || matches!(c, '\u{200c}' | '\u{200d}')
}

fn shown(c: char) -> String {
    if c.is_control() { format!("U+{:04X}", u32::from(c)) } else { format!("'{c}'") }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.at.line, self.at.column, self.message)
    }
}

impl std::error::Error for SyntaxError {}

#[cfg(test)]
mod tests;
