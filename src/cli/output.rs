//! Where a command's words go: results to standard output, everything else to standard error.
//!
//! With `--json` exactly one JSON document (or one per line, for streams) goes to standard output and nothing besides.
//! Text is plain ASCII columns with labels; colour only marks good and bad, and only on a terminal. Text that came from
//! a gateway passes through [`clean`] before it reaches a terminal.
//!
//! Invariant: a write that fails because the reader left is not an error of the command (see [`super::failure`]).

use std::io::{self, Write};

use serde_json::Value;

use super::failure::{Failure, Kind};
use crate::sys::Env;
use crate::sys::paths::Selector;
use crate::wire::tree::json;

/// What a command has to do with the outside: two streams, the environment, the chosen instance.
pub struct Shell<'a> {
    pub out: &'a mut dyn Write,
    pub err: &'a mut dyn Write,
    pub env: Env,
    pub selector: Selector,
    /// Overrides the configured log level; checked by [`super::main`].
    pub log_level: Option<String>,
    pub colour: bool,
}

impl Shell<'_> {
    /// A command to type next, for the same profile.
    pub fn next(&self, words: &str) -> String {
        match (&self.selector.profile, self.selector.dev) {
            (Some(profile), _) => format!("openclaw --profile {profile} {words}"),
            (None, true) => format!("openclaw --dev {words}"),
            (None, false) => format!("openclaw {words}"),
        }
    }

    /// One line of the result.
    pub fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        writeln!(self.out, "{}", text.as_ref()).map_err(Failure::from)
    }

    /// One line about the result. What was said before it is seen before it.
    pub fn note(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.out.flush()?;
        writeln!(self.err, "{}", text.as_ref()).map_err(Failure::from)
    }

    /// The result as one JSON document, for people who read JSON.
    pub fn json(&mut self, value: &Value) -> Result<(), Failure> {
        serde_json::to_writer_pretty(&mut *self.out, value).map_err(io::Error::from)?;
        self.line("")
    }

    /// One record of a stream of JSON documents.
    pub fn json_line(&mut self, value: &Value) -> Result<(), Failure> {
        serde_json::to_writer(&mut *self.out, value).map_err(io::Error::from)?;
        self.line("")
    }

    /// `Label: value`.
    pub fn fact(&mut self, label: &str, value: impl AsRef<str>) -> Result<(), Failure> {
        self.line(format!("{label}: {}", value.as_ref()))
    }

    /// Marks a word as good or bad where colours are seen.
    pub fn mark(&self, good: bool, word: &str) -> String {
        match (self.colour, good) {
            (false, _) => word.to_owned(),
            (true, true) => format!("\x1b[32m{word}\x1b[0m"),
            (true, false) => format!("\x1b[31m{word}\x1b[0m"),
        }
    }

    /// Tells the user why the command failed; with `json` also tells the program that reads standard output.
    pub fn failed(&mut self, failure: &Failure, json: bool) -> io::Result<()> {
        if matches!(failure.kind, Kind::Hangup | Kind::Told | Kind::ToldUnresolved) {
            return Ok(());
        }
        if json {
            let mut error = json!({"type": failure.word(), "message": failure.message});
            if let Some(hint) = &failure.hint {
                error["hint"] = hint.as_str().into();
            }
            writeln!(self.out, "{:#}", json!({"ok": false, "error": error}))?;
        }
        self.out.flush()?;
        let bad = self.mark(false, "error:");
        writeln!(self.err, "{bad} {}", failure.message)?;
        match &failure.hint {
            Some(hint) => writeln!(self.err, "{hint}"),
            None => Ok(()),
        }
    }
}

/// Columns as wide as their widest cell, two spaces between them, no trailing blanks.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let wide = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = head.iter().map(|cell| wide(cell)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(wide(cell));
        }
    }
    let print = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = std::iter::once(print(head.to_vec()));
    head.chain(rows.iter().map(|row| print(row.iter().map(String::as_str).collect()))).collect()
}

/// Takes control characters out of text from elsewhere: a log line must not move the cursor. Tabs stay, a line break
/// becomes a blank.
pub fn clean(text: &str) -> String {
    let blank = |c| if c == '\n' { ' ' } else { c };
    text.chars().map(blank).filter(|c| *c == '\t' || !c.is_control()).collect()
}

/// Like [`clean`], for text of several lines.
pub fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// At most `max` characters, with an ellipsis for the rest.
pub fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

/// `5s`, `12m`, `3h`, `4d`: the age of something, for a table.
pub fn age(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `6.4 MB`, in powers of ten.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A field of a JSON object as text: strings bare, numbers and booleans as written, anything else nothing.
pub fn text_at(value: &Value, pointer: &str) -> Option<String> {
    match value.pointer(pointer)? {
        Value::String(text) if !text.is_empty() => Some(clean(text)),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A whole number of a JSON object, whether it was written as an integer or not.
pub fn number_at(value: &Value, pointer: &str) -> Option<u64> {
    let number = value.pointer(pointer)?;
    number.as_u64().or_else(|| number.as_f64().filter(|n| *n >= 0.0).map(|n| n as u64))
}

/// The elements of an array, or nothing.
pub fn list_at<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_without_trailing_blanks() {
        let rows = vec![vec!["a".to_owned(), String::new()], vec!["long".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["key", "v"], &rows), ["key   v", "a", "long  x"]);
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(clean("a\x1b[31mb\u{9b}c\td\r\ne"), "a[31mbc\td e");
        assert_eq!(clean_lines("a\r\nb\x07"), "a\nb");
    }

    #[test]
    fn ages_and_sizes_are_short() {
        assert_eq!([age(59_999), age(60_000), age(7_200_000), age(90_000_000)], ["59s", "1m", "2h", "1d"]);
        assert_eq!([size(999), size(6_400_000)], ["999 B", "6.4 MB"]);
        assert_eq!(shorten("abcdef", 4), "abc…");
    }
}
