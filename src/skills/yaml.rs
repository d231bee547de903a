//! The part of YAML that the head of a SKILL.md is written in.
//!
//! Block mappings and lists, plain and quoted scalars (also over several lines), `|` and `>` blocks, comments, and flow
//! collections, which JSON is one of. Where people write what YAML forbids and everybody understands (`a: b: c`), the rest
//! of the line is the value. Anchors, tags and several documents are not read.
//!
//! Invariant: nesting is bounded by [`DEPTH`]; every value ends up in a tree no larger than the text.

use serde_json::{Map, Value};

/// Deeper heads are refused.
const DEPTH: usize = 16;

/// Why a head cannot be read; lines count from 1 within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub line: usize,
    pub what: &'static str,
}

/// Reads a mapping. A text without any line is an empty one.
pub fn parse(text: &str) -> Result<Map<String, Value>, Mistake> {
    let mut lines = Vec::new();
    for (number, raw) in text.lines().enumerate() {
        let body = raw.trim_start_matches(' ');
        if body.starts_with('\t') && !body.trim().is_empty() {
            return Err(Mistake { line: number + 1, what: "a tab is no indentation; use blanks" });
        }
        lines.push(Line { indent: raw.len() - body.len(), text: body.trim_end(), number: number + 1 });
    }
    let mut reader = Reader { lines, at: 0, depth: 0 };
    match reader.block(0)? {
        Value::Null => Ok(Map::new()),
        Value::Object(map) => match reader.peek() {
            None => Ok(map),
            Some(line) => Err(Mistake { line: line.number, what: "this line belongs to nothing above it" }),
        },
        _ => Err(Mistake { line: 1, what: "a head is `name: value` lines" }),
    }
}

/// Reads a flow collection that stands alone, as in a quoted `metadata`.
pub fn flow(text: &str) -> Option<Value> {
    let mut flow = Flow { text, at: 0, depth: 0 };
    let value = flow.value(&[])?;
    flow.space();
    (flow.at == text.len()).then_some(value)
}

#[derive(Clone, Copy)]
struct Line<'t> {
    indent: usize,
    /// Without indentation and trailing blanks.
    text: &'t str,
    number: usize,
}

struct Reader<'t> {
    lines: Vec<Line<'t>>,
    at: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    /// The next line that says something.
    fn peek(&mut self) -> Option<Line<'t>> {
        loop {
            let line = *self.lines.get(self.at)?;
            if !line.text.is_empty() && !line.text.starts_with('#') {
                return Some(line);
            }
            self.at += 1;
        }
    }

    /// What stands at `least` blanks or deeper; null when there is nothing.
    fn block(&mut self, least: usize) -> Result<Value, Mistake> {
        let Some(first) = self.peek().filter(|line| line.indent >= least) else { return Ok(Value::Null) };
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(Mistake { line: first.number, what: "nested too deep" });
        }
        let value = if is_item(first.text) {
            self.list(first.indent)
        } else if first.text.starts_with(['{', '[']) {
            self.at += 1;
            self.scalar(first.text, first.indent, first.number)
        } else if split_key(first.text).is_some() {
            self.mapping(first.indent)
        } else {
            self.at += 1;
            self.scalar(first.text, first.indent.saturating_sub(1), first.number)
        };
        self.depth -= 1;
        value
    }

    fn mapping(&mut self, indent: usize) -> Result<Value, Mistake> {
        let mut map = Map::new();
        while let Some(line) = self.peek().filter(|line| line.indent == indent && !is_item(line.text)) {
            let Some((key, rest)) = split_key(line.text) else {
                return Err(Mistake { line: line.number, what: "expected `name: value`" });
            };
            self.at += 1;
            let value = match without_comment(rest) {
                // A list may stand as deep as its name.
                "" => match self.peek().filter(|next| next.indent == indent && is_item(next.text)) {
                    Some(_) => self.list(indent)?,
                    None => self.block(indent + 1)?,
                },
                rest => self.scalar(rest, indent, line.number)?,
            };
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }

    fn list(&mut self, indent: usize) -> Result<Value, Mistake> {
        let mut items = Vec::new();
        while let Some(line) = self.peek().filter(|line| line.indent == indent && is_item(line.text)) {
            let rest = line.text[1..].trim_start();
            let inner = indent + (line.text.len() - rest.len());
            if rest.is_empty() || rest.starts_with('#') {
                self.at += 1;
                items.push(self.block(indent + 1)?);
            } else if !rest.starts_with(['{', '[', '"', '\'']) && split_key(rest).is_some() {
                // A mapping that begins behind the dash: its first line is read as if it stood alone.
                self.lines[self.at] = Line { indent: inner, text: rest, number: line.number };
                items.push(self.block(inner)?);
            } else {
                self.at += 1;
                items.push(self.scalar(without_comment(rest), indent, line.number)?);
            }
        }
        Ok(Value::Array(items))
    }

    /// A value that begins with `first`, on a line of a block at `indent`; what follows it deeper is its continuation.
    fn scalar(&mut self, first: &str, indent: usize, number: usize) -> Result<Value, Mistake> {
        match first.as_bytes().first() {
            Some(style @ (b'|' | b'>')) => return Ok(Value::String(self.literal(*style, first, indent))),
            Some(b'{' | b'[' | b'"' | b'\'') => {}
            _ => {
                let mut text = first.to_owned();
                while let Some(line) = self.peek().filter(|line| line.indent > indent && !is_item(line.text)) {
                    if split_key(line.text).is_some_and(|(_, rest)| rest.is_empty()) {
                        break;
                    }
                    self.at += 1;
                    text.push(' ');
                    text.push_str(without_comment(line.text));
                }
                return Ok(plain(&text));
            }
        }
        // Quotes and brackets end where they end, on whatever line that is. Twice as many lines each time: most end on
        // their first, and none may make the whole text be copied again and again.
        let rest = &self.lines[self.at..];
        let mut most = 0;
        let (text, end, value) = loop {
            let lines: Vec<&str> = rest.iter().take(most).map(|line| line.text).collect();
            let text = format!("{first}\n{}", lines.join("\n"));
            let mut flow = Flow { text: &text, at: 0, depth: 0 };
            if let Some(value) = flow.value(&[]) {
                let end = flow.at;
                break (text, end, value);
            }
            if most >= rest.len() {
                return Err(Mistake { line: number, what: "a quote or a bracket has no end" });
            }
            most = most * 2 + 1;
        };
        let after = text[end..].lines().next().unwrap_or("");
        if !without_comment(after.trim()).is_empty() {
            return Err(Mistake { line: number, what: "something follows a quote or a bracket that has ended" });
        }
        self.at += text[..end].matches('\n').count();
        Ok(value)
    }

    /// A `|` or `>` block.
    fn literal(&mut self, style: u8, header: &str, indent: usize) -> String {
        let mut lines: Vec<(usize, &str)> = Vec::new();
        while let Some(line) = self.lines.get(self.at).filter(|line| line.text.is_empty() || line.indent > indent) {
            lines.push((line.indent, line.text));
            self.at += 1;
        }
        while lines.last().is_some_and(|(_, text)| text.is_empty()) {
            lines.pop();
        }
        let base = lines.iter().filter(|(_, text)| !text.is_empty()).map(|(indent, _)| *indent).min().unwrap_or(0);
        let mut out = String::new();
        for (at, (indent, text)) in lines.iter().enumerate() {
            let folds = style == b'>' && at > 0 && !text.is_empty() && !lines[at - 1].1.is_empty();
            match (at, folds) {
                (0, _) => {}
                (_, true) => out.push(' '),
                (_, false) => out.push('\n'),
            }
            if !text.is_empty() {
                out.extend(std::iter::repeat_n(' ', indent - base));
                out.push_str(text);
            }
        }
        if !header.contains('-') && !out.is_empty() {
            out.push('\n');
        }
        out
    }
}

/// A collection or scalar in brackets and quotes.
struct Flow<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Flow<'_> {
    fn space(&mut self) {
        loop {
            let trimmed = self.text[self.at..].trim_start();
            self.at = self.text.len() - trimmed.len();
            // Comments of YAML and of JSON5. A loop: there may be as many as the text has room for.
            if !trimmed.starts_with('#') && !trimmed.starts_with("//") {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// A value; a bare one ends at one of `ends`.
    fn value(&mut self, ends: &[char]) -> Option<Value> {
        self.space();
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        let value = match self.next()? {
            b'{' => {
                let mut map = Map::new();
                self.at += 1;
                loop {
                    self.space();
                    if self.next()? == b'}' {
                        self.at += 1;
                        break;
                    }
                    let key = match self.value(&[':', ',', '}', '\n'])? {
                        Value::String(key) => key,
                        other => other.to_string(),
                    };
                    self.space();
                    let value = if self.next()? == b':' {
                        self.at += 1;
                        self.value(&[',', '}', '\n'])?
                    } else {
                        Value::Null
                    };
                    map.insert(key, value);
                    self.comma(b'}')?;
                }
                Value::Object(map)
            }
            b'[' => {
                let mut items = Vec::new();
                self.at += 1;
                loop {
                    self.space();
                    if self.next()? == b']' {
                        self.at += 1;
                        break;
                    }
                    items.push(self.value(&[',', ']', '\n'])?);
                    self.comma(b']')?;
                }
                Value::Array(items)
            }
            quote @ (b'"' | b'\'') => Value::String(self.quoted(char::from(quote))?),
            _ => {
                let rest = &self.text[self.at..];
                let end = rest.find(|c| ends.contains(&c)).unwrap_or(rest.len());
                self.at += end;
                match rest[..end].trim() {
                    // Nothing where something must be: without this a stray `:` would never be passed.
                    "" if ends.first() == Some(&':') => return None,
                    bare => plain(bare),
                }
            }
        };
        self.depth -= 1;
        Some(value)
    }

    /// What stands between two members: a comma, or the end.
    fn comma(&mut self, end: u8) -> Option<()> {
        self.space();
        match self.next()? {
            b',' => self.at += 1,
            other if other == end => {}
            _ => return None,
        }
        Some(())
    }

    fn quoted(&mut self, quote: char) -> Option<String> {
        let mut out = String::new();
        let rest = &self.text[self.at + 1..];
        let mut chars = rest.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                if quote == '\'' && chars.next_if(|(_, next)| *next == '\'').is_some() {
                    out.push('\'');
                    continue;
                }
                self.at += 1 + at + 1;
                return Some(out);
            }
            match c {
                '\\' if quote == '"' => match chars.next()?.1 {
                    'n' => out.push('\n'),
                    't' => out.push('\t'),
                    'r' => out.push('\r'),
                    '\n' => {}
                    'u' => {
                        let mut code = || {
                            let digits: Option<String> = (0..4).map(|_| chars.next().map(|(_, c)| c)).collect();
                            u16::from_str_radix(&digits?, 16).ok()
                        };
                        let mut units = vec![code()?];
                        if (0xd800..0xdc00).contains(&units[0]) && rest[at..].get(6..8) == Some("\\u") {
                            chars.nth(1);
                            let mut code = || {
                                let digits: Option<String> = (0..4).map(|_| chars.next().map(|(_, c)| c)).collect();
                                u16::from_str_radix(&digits?, 16).ok()
                            };
                            units.push(code()?);
                        }
                        out.push_str(&String::from_utf16_lossy(&units));
                    }
                    other => out.push(other),
                },
                // A line break within quotes is a blank.
                '\n' => out.push(' '),
                c => out.push(c),
            }
        }
        None
    }
}

/// Begins an item of a list.
fn is_item(text: &str) -> bool {
    text == "-" || text.starts_with("- ")
}

/// `name: rest`, with a bare or quoted name.
fn split_key(text: &str) -> Option<(String, &str)> {
    if let Some(quote) = text.chars().next().filter(|c| ['"', '\''].contains(c)) {
        let mut flow = Flow { text, at: 0, depth: 0 };
        let name = flow.quoted(quote)?;
        let rest = text[flow.at..].trim_start().strip_prefix(':')?;
        return (rest.is_empty() || rest.starts_with(' ')).then(|| (name, rest.trim_start()));
    }
    let (name, rest) = match text.split_once(": ") {
        Some((name, rest)) => (name, rest.trim_start()),
        None => (text.strip_suffix(':')?, ""),
    };
    let bare = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || ['_', '-', '.', ' ', '/'].contains(&c));
    bare.then(|| (name.trim_end().to_owned(), rest))
}

/// The text up to a comment: a `#` behind a blank, outside quotes. What begins with a quote or bracket looks for itself.
fn without_comment(text: &str) -> &str {
    if text.starts_with(['"', '\'', '{', '[']) {
        return text;
    }
    if text.starts_with('#') {
        return "";
    }
    text.find(" #").map_or(text, |at| text[..at].trim_end())
}

/// A scalar without quotes.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => true.into(),
        "false" | "False" | "FALSE" => false.into(),
        _ => match text.parse::<i64>() {
            Ok(number) if !text.starts_with('+') => number.into(),
            _ => text.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Value {
        Value::Object(parse(text).unwrap_or_else(|mistake| panic!("{mistake:?} in {text}")))
    }

    #[test]
    fn plain_lines_are_names_and_values() {
        let text = "# a skill\nname: image-lab\ndescription: Make images: fast, cheap # or not\nuser-invocable: true\n\
                    version: 2\nempty:\nquoted: \"a # b\\n\"\nsingle: 'it''s'\nurl: https://example.com/a#b\n";
        let expected = json!({
            "name": "image-lab", "description": "Make images: fast, cheap", "user-invocable": true, "version": 2,
            "empty": null, "quoted": "a # b\n", "single": "it's", "url": "https://example.com/a#b",
        });
        assert_eq!(read(text), expected);
    }

    #[test]
    fn texts_go_over_several_lines() {
        let text = "plain: one\n  two\n  three\nfolded: >\n  a\n  b\n\n  c\nkept: |-\n  x\n    y\n\n  z\nnext: 1\n";
        assert_eq!(
            read(text),
            json!({ "plain": "one two three", "folded": "a b\n\nc\n", "kept": "x\n  y\n\nz", "next": 1 })
        );
    }

    #[test]
    fn blocks_and_brackets_say_the_same() {
        let block = "metadata:\n  openclaw:\n    emoji: \"\u{1f5bc}\"\n    requires:\n      bins:\n        - uv\n        - \
                     gh # the CLI\n    install:\n    - id: brew\n      bins: [gh]\n    - id: apt\n";
        let flow = "metadata:\n  {\n    \"openclaw\":\n      {\n        \"emoji\": \"\\ud83d\\uddbc\",\n        requires: { \
                    bins: [uv, \"gh\"], },\n        // of JSON5\n        'install': [{\"id\": \"brew\", \"bins\": \
                    [\"gh\"]}, {id: apt}],\n      },\n  }\n";
        let line = "metadata: {\"openclaw\": {\"emoji\": \"\u{1f5bc}\", \"requires\": {\"bins\": [\"uv\", \"gh\"]}, \
                    \"install\": [{\"id\": \"brew\", \"bins\": [\"gh\"]}, {\"id\": \"apt\"}]}}\nname: x\n";
        let expected = json!({ "openclaw": {
            "emoji": "\u{1f5bc}", "requires": { "bins": ["uv", "gh"] },
            "install": [{ "id": "brew", "bins": ["gh"] }, { "id": "apt" }],
        } });
        assert_eq!(read(block)["metadata"], expected);
        assert_eq!(read(flow)["metadata"], expected);
        assert_eq!(read(line), json!({ "metadata": expected, "name": "x" }));
    }

    #[test]
    fn what_is_no_head_is_said_with_its_line() {
        for (text, line) in [
            ("just words\n", 1),
            ("- a list\n", 1),
            ("a: 1\n   b: 2\nc: [1, 2\n", 3),
            ("a: \"x\nb: 1\n", 1),
            ("a:\n\tb: 1\n", 2),
            ("a: 1\nwords\n", 2),
            ("a: {:}\n", 1),
        ] {
            assert_eq!(parse(text).expect_err(text).line, line, "{text}");
        }
        let deep = format!("a: {}\n", "[".repeat(1000));
        assert!(parse(&deep).is_err());
        let deep: String = (0..100).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        assert!(parse(&deep).is_err());
    }

    #[test]
    fn a_head_made_to_hurt_does_not() {
        // On a stack as small as a run's: what grows with the text must not be the stack.
        let hurt = || {
            let comments = format!("a: [{}]\nb: 1\n", "#\n".repeat(30_000));
            assert_eq!(read(&comments)["b"], 1);
            let quoted: String = (0..4_000).map(|n| format!("k{n}: 'a\n  b'\n")).collect();
            assert_eq!(read(&quoted)["k3999"], "a b");
            assert!(parse(&format!("a: {}\n", "{a: [".repeat(10_000))).is_err());
            assert!(parse(&"- ".repeat(30_000)).is_err());
        };
        std::thread::Builder::new().stack_size(512 << 10).spawn(hurt).expect("a thread").join().expect("it ended");
    }

    #[test]
    fn any_text_comes_to_an_end() {
        let pieces = ["a", ":", " ", "\n", "- ", "{", "}", "[", "]", "\"", "'", ",", "#", "|", ">", "\\u12", "é"];
        let mut seed = 7_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            let _ = parse(&text);
            let _ = flow(&text);
        }
    }
}
