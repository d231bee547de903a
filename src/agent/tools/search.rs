//! `find` and `grep`: files by name, lines by content, without external commands.
//!
//! Both are bounded by the walk, by a number of results and by the size of the answer; what was cut short is said.

use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::arguments::{self, Decoded};
use super::glob::Glob;
use super::paths::{self, Reach};
use super::walk::{self, Reached};
use super::{Details, Listing, Refusal, ToolContext, ToolOutcome, cut};
use crate::sys::regex::Regex;

#[derive(Deserialize)]
pub(super) struct FindArguments {
    pattern: String,
    path: Option<String>,
    #[serde(default, deserialize_with = "arguments::count")]
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GrepArguments {
    pattern: String,
    path: Option<String>,
    glob: Option<String>,
    ignore_case: Option<bool>,
    literal: Option<bool>,
    #[serde(default, deserialize_with = "arguments::count")]
    context: Option<usize>,
    #[serde(default, deserialize_with = "arguments::count")]
    limit: Option<usize>,
}

pub(super) fn find(wanted: Decoded<FindArguments>, context: &mut ToolContext) -> Result<ToolOutcome, Refusal> {
    let FindArguments { pattern, path: raw, limit } = wanted.known;
    let glob = Glob::new(&pattern)?;
    let raw = raw.unwrap_or_default();
    let root = paths::resolve_to_read(&raw, context)?;
    if !root.is_dir() {
        return Err(Refusal(format!("{raw} is not a directory.")));
    }
    let reach = Reach::to_read(context.workspace, context.limits)?;
    let mut answer = Answer::new(limit.unwrap_or(FOUND).max(1), context.limits.text_bytes);
    let reached = walk::files(&root, &reach, context, &mut |path| {
        let name = relative(path, &root);
        !glob.matches(&name) || answer.add(&name)
    });
    Ok(answer.finish(&root, reached, "No file matches."))
}

pub(super) fn grep(wanted: Decoded<GrepArguments>, context: &mut ToolContext) -> Result<ToolOutcome, Refusal> {
    let GrepArguments { pattern, path: raw, glob, ignore_case, literal, context: around, limit } = wanted.known;
    if pattern.is_empty() || pattern.len() > PATTERN {
        return Err(Refusal(format!("pattern needs 1 to {PATTERN} bytes.")));
    }
    let ignore_case = ignore_case.unwrap_or(false);
    let matcher = match literal.unwrap_or(false) {
        true => Regex::literal(&pattern, ignore_case),
        false => Regex::new(&pattern, ignore_case).map_err(Refusal)?,
    };
    let glob = glob.as_deref().map(Glob::new).transpose()?;
    let raw = raw.unwrap_or_default();
    let root = paths::resolve_to_read(&raw, context)?;
    let around = around.unwrap_or(0).min(AROUND);
    let mut answer = Answer::new(limit.unwrap_or(MATCHES).max(1), context.limits.text_bytes);
    let reached = if root.is_dir() {
        let reach = Reach::to_read(context.workspace, context.limits)?;
        walk::files(&root, &reach, context, &mut |path| {
            let name = relative(path, &root);
            let wanted = glob.as_ref().is_none_or(|glob| glob.matches(&name));
            !wanted
                || text_of(path, &raw).is_none_or(|text| lines(&text, &name, &matcher, around, context, &mut answer))
        })
    } else {
        let (_, about) = paths::open(&root, &raw)?;
        let Some(text) = text_of(&root, &raw) else {
            return Err(Refusal(format!("{raw} is binary or too large ({} bytes) to search.", about.len())));
        };
        match lines(&text, &paths::shown(&root, context.start()), &matcher, around, context, &mut answer) {
            true => Reached::End,
            false => Reached::Enough,
        }
    };
    Ok(answer.finish(&root, reached, "No match."))
}

/// Adds the matching lines of one file. False when the answer is full.
fn lines(text: &str, name: &str, matcher: &Regex, around: usize, context: &ToolContext, answer: &mut Answer) -> bool {
    let all: Vec<&str> = text.lines().collect();
    // A line of megabytes is data, not something a person searches; its beginning is enough.
    let hit = |line: &str| matcher.is_match(cut(line, SEARCHED));
    let mut shown = 0;
    for (index, line) in all.iter().enumerate() {
        if context.abort.fired() {
            return false;
        }
        if !hit(line) {
            continue;
        }
        let from = index.saturating_sub(around).max(shown);
        let to = (index + around + 1).min(all.len());
        let mut piece = Vec::new();
        for (near, line) in all.iter().enumerate().take(to).skip(from) {
            let mark = if near == index || hit(line) { ':' } else { '-' };
            piece.push(format!("{name}{mark}{}{mark} {}", near + 1, shorten(line)));
        }
        shown = to;
        if !piece.is_empty() && !answer.add(&piece.join("\n")) {
            return false;
        }
    }
    true
}

fn shorten(line: &str) -> String {
    let short = cut(line, LINE);
    if short.len() < line.len() { format!("{short}...") } else { short.to_owned() }
}

/// The text of a file worth searching, or `None`.
fn text_of(path: &Path, raw: &str) -> Option<String> {
    let (file, about) = paths::open(path, raw).ok()?;
    if about.len() > FILE {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(FILE).read_to_end(&mut bytes).ok()?;
    if bytes.iter().take(8 << 10).any(|byte| *byte == 0) {
        return None;
    }
    Some(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

fn relative(path: &Path, root: &Path) -> String {
    let rest = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
    if std::path::MAIN_SEPARATOR == '/' { rest.into_owned() } else { rest.replace(std::path::MAIN_SEPARATOR, "/") }
}

/// Results as they come, within a number and a size.
struct Answer {
    text: String,
    count: usize,
    most: usize,
    bytes: usize,
    full: bool,
}

impl Answer {
    fn new(most: usize, bytes: usize) -> Answer {
        Answer { text: String::new(), count: 0, most: most.min(HIGHEST), bytes, full: false }
    }

    /// False when this one did not fit: then there is more than is shown.
    fn add(&mut self, piece: &str) -> bool {
        if self.count == self.most || self.text.len() + piece.len() >= self.bytes {
            self.full = true;
            return false;
        }
        self.text += piece;
        self.text.push('\n');
        self.count += 1;
        true
    }

    fn finish(self, root: &Path, reached: Reached, nothing: &str) -> ToolOutcome {
        let note = match reached {
            _ if self.full => Some(format!("[More than these {}; narrow the search.]", self.count)),
            Reached::Bound(why) => Some(format!("[The search stopped early: {why}; narrow the path.]")),
            Reached::End | Reached::Enough => None,
        };
        let truncated = note.is_some();
        let body = if self.count == 0 { nothing } else { self.text.trim_end() };
        let text = match note {
            Some(note) => format!("{body}\n{note}"),
            None => body.to_owned(),
        };
        let details = Listing { path: root.display().to_string(), count: self.count, truncated };
        ToolOutcome::said(text, Details::Listing(details))
    }
}

/// Results when the model does not say, and the most it may ask for.
const FOUND: usize = 1000;
const MATCHES: usize = 100;
const HIGHEST: usize = 5000;
/// Lines around a match.
const AROUND: usize = 20;
/// Bytes of a pattern.
const PATTERN: usize = 1 << 10;
/// Bytes of a line that are searched, and of one that is shown.
const SEARCHED: usize = 16 << 10;
const LINE: usize = 500;
/// Bytes of a file worth searching.
const FILE: u64 = 4 << 20;
