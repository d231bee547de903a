//! The bytes of an edit: where a new entry goes, what goes with a removed one, how a value is written.
//!
//! Works on the text and on places a parser found in it; the text is known to be JSON5. Meaning is not looked at.

use serde_json::Value;

use crate::config::json5::{Kind, Node};

/// A list of plain values stays on one line up to here (characters).
const LINE: usize = 80;

/// How the file is written by whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    newline: &'static str,
    /// One level of indentation.
    unit: String,
    /// Keys that can do without quotes have none.
    bare: bool,
    /// Everything is on one line.
    compact: bool,
}

impl Style {
    pub fn of(text: &str, root: &Node) -> Style {
        let first = match &root.kind {
            Kind::Object(entries) => entries.first().map(|entry| entry.start),
            Kind::Array(items) => items.first().map(|item| item.span.0),
            _ => None,
        };
        let unit = first.map(|start| indent_at(text, start)).filter(|unit| !unit.is_empty()).unwrap_or("  ");
        Style {
            newline: if text.contains("\r\n") { "\r\n" } else { "\n" },
            unit: unit.to_owned(),
            bare: first.is_some_and(|start| !text[start..].starts_with(['"', '\'', '[', '{'])),
            compact: first.is_some() && !text.trim().contains('\n'),
        }
    }
}

/// Replaces a value.
pub fn replace(text: &str, (start, end): (usize, usize), value: &Value, style: &Style) -> String {
    let base = indent_at(text, line_content(text, start));
    format!("{}{}{}", &text[..start], written(value, base, style), &text[end..])
}

/// Puts a value after the last part of an object or list.
pub fn insert(
    text: &str,
    (open, close): (usize, usize),
    parts: &[(usize, usize)],
    key: Option<&str>,
    value: &Value,
    style: &Style,
) -> String {
    let nl = style.newline;
    let base = indent_at(text, line_content(text, open));
    let entry = |style: &Style, indent: &str| {
        let value = written(value, indent, style);
        key.map_or_else(|| value.clone(), |key| format!("{}: {value}", name(key, style)))
    };
    let Some((first, last)) = parts.first().zip(parts.last()) else {
        let inside = &text[open + 1..close - 1];
        if style.compact {
            let entry = entry(style, base);
            let pad = if inside.trim().is_empty() { "" } else { inside.trim_end() };
            let (left, right) = if key.is_some() { (" ", " ") } else { ("", "") };
            return format!("{}{pad}{left}{entry}{right}{}", &text[..=open], &text[close - 1..]);
        }
        let indent = format!("{base}{}", style.unit);
        let entry = entry(style, &indent);
        return format!("{}{}{nl}{indent}{entry}{nl}{base}{}", &text[..=open], inside.trim_end(), &text[close - 1..]);
    };
    let mut style = style.clone();
    if key.is_some() {
        style.bare = !text[first.0..].starts_with(['"', '\'']);
    }
    let comma = comma_after(text, last.1);
    let after = comma.map_or(last.1, |comma| comma + 1);
    let (place, line_comment) = same_line(text, after);
    let own_lines = text[open..first.0].contains('\n');
    let (gap, indent) = if own_lines || line_comment {
        let indent = match indent_at(text, last.0) {
            "" if !starts_line(text, last.0) => format!("{base}{}", style.unit),
            indent => indent.to_owned(),
        };
        (format!("{nl}{indent}"), indent)
    } else {
        style.compact = true;
        (" ".to_owned(), base.to_owned())
    };
    let entry = entry(&style, &indent);
    let (separator, end) = if comma.is_some() { ("", ",") } else { (",", "") };
    let (before, between, rest) = (&text[..last.1], &text[last.1..place], &text[place..]);
    format!("{before}{separator}{between}{gap}{entry}{end}{rest}")
}

/// Takes a part out, with the comma that belongs to it.
pub fn remove(text: &str, (open, close): (usize, usize), parts: &[(usize, usize)], index: usize) -> String {
    let (start, end) = parts[index];
    let comma = comma_after(text, end);
    let after = comma.map_or(end, |comma| comma + 1);
    let mut out = text[..start].to_owned();
    // The last one had no comma behind it: the one before it must go, for readers that know only JSON.
    let dangling = index.checked_sub(1).filter(|_| comma.is_none()).and_then(|before| {
        let comma = comma_after(text, parts[before].1)?;
        (comma < start).then_some(comma)
    });
    let (line_end, _) = same_line(text, after);
    let ends_line = line_end >= text.len() || text[line_end..].starts_with(['\n', '\r']);
    if starts_line(text, start) && ends_line && line_end < close && start > open {
        // Whole lines: the line's own comment is about what is gone.
        out.truncate(start - indent_at(text, start).len());
        let rest = &text[line_end..];
        let rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix(['\n', '\r'])).unwrap_or(rest);
        out.push_str(rest);
    } else {
        let rest = &text[after..];
        let rest = if comma.is_some() { rest.trim_start_matches([' ', '\t']) } else { rest };
        if !starts_line(text, start) && (dangling.is_some() || rest.starts_with([' ', '\t'])) {
            out.truncate(out.trim_end_matches([' ', '\t']).len());
        }
        out.push_str(rest);
    }
    if let Some(comma) = dangling {
        out.remove(comma);
    }
    out
}

/// The first byte from here on that is neither space nor comment.
pub fn skip(text: &str, from: usize) -> usize {
    let mut at = from;
    loop {
        let rest = &text[at..];
        let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        at += rest.len() - trimmed.len();
        if trimmed.starts_with("//") {
            at += trimmed.find(LINE_ENDS).unwrap_or(trimmed.len());
        } else if trimmed.starts_with("/*") {
            at += trimmed.find("*/").map_or(trimmed.len(), |end| end + 2);
        } else {
            return at;
        }
    }
}

/// Characters that end a `//` comment.
const LINE_ENDS: [char; 4] = ['\n', '\r', '\u{2028}', '\u{2029}'];

/// The comma that follows, when one does.
fn comma_after(text: &str, from: usize) -> Option<usize> {
    let at = skip(text, from);
    text[at..].starts_with(',').then_some(at)
}

/// Behind the comments that begin on this line, and whether the last of them ends with the line.
fn same_line(text: &str, from: usize) -> (usize, bool) {
    let mut at = from;
    loop {
        let rest = &text[at..];
        let trimmed = rest.trim_start_matches([' ', '\t']);
        let here = at + rest.len() - trimmed.len();
        if trimmed.starts_with("//") {
            return (here + trimmed.find(LINE_ENDS).unwrap_or(trimmed.len()), true);
        }
        if !trimmed.starts_with("/*") {
            return if trimmed.starts_with(LINE_ENDS) || trimmed.is_empty() { (here, false) } else { (at, false) };
        }
        at = here + trimmed.find("*/").map_or(trimmed.len(), |end| end + 2);
    }
}

/// Whether only space is before it on its line.
fn starts_line(text: &str, at: usize) -> bool {
    let line = text[..at].rfind('\n').map_or(0, |nl| nl + 1);
    text[line..at].chars().all(|c| c == ' ' || c == '\t')
}

/// The indentation of something that starts its line, else nothing.
fn indent_at(text: &str, at: usize) -> &str {
    let line = text[..at].rfind('\n').map_or(0, |nl| nl + 1);
    if starts_line(text, at) { &text[line..at] } else { "" }
}

/// Where the first word of a place's line begins.
fn line_content(text: &str, at: usize) -> usize {
    let line = text[..at].rfind('\n').map_or(0, |nl| nl + 1);
    let rest = &text[line..at];
    line + (rest.len() - rest.trim_start_matches([' ', '\t']).len())
}

/// A value as this file would write it; `indent` is that of the line it begins on.
fn written(value: &Value, indent: &str, style: &Style) -> String {
    let inner = format!("{indent}{}", style.unit);
    let nl = style.newline;
    let lines = |open: char, items: Vec<String>, close: char| {
        let comma = format!(",{nl}{inner}");
        format!("{open}{nl}{inner}{}{nl}{indent}{close}", items.join(&comma))
    };
    match value {
        Value::Array(items) if items.is_empty() => "[]".to_owned(),
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Array(items) => {
            let flat = format!("[{}]", items.iter().map(|v| written(v, indent, style)).collect::<Vec<_>>().join(", "));
            let plain = items.iter().all(|item| !item.is_object() && !item.is_array());
            if style.compact || plain && flat.chars().count() <= LINE {
                return flat;
            }
            lines('[', items.iter().map(|item| written(item, &inner, style)).collect(), ']')
        }
        Value::Object(map) => {
            let pairs = |indent: &str| -> Vec<String> {
                map.iter().map(|(key, v)| format!("{}: {}", name(key, style), written(v, indent, style))).collect()
            };
            if style.compact {
                return format!("{{ {} }}", pairs(indent).join(", "));
            }
            lines('{', pairs(&inner), '}')
        }
        plain => plain.to_string(),
    }
}

fn name(key: &str, style: &Style) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    let bare = style.bare && !key.is_empty() && key.chars().all(good) && !key.starts_with(|c: char| c.is_ascii_digit());
    if bare { key.to_owned() } else { Value::from(key).to_string() }
}
