//! `edit`: exact replacements in one text file, all or none.
//!
//! Every piece is matched against the file as it is; nothing is guessed, no fuzzy match. In a file whose lines end in
//! CR LF the model may write plain newlines; the file keeps its ends, its byte order mark and its permissions.

use std::io::Read;

use serde::Deserialize;

use super::arguments::Decoded;
use super::{Details, FileDetails, Refusal, ToolContext, ToolOutcome, cut, paths, write};
use crate::sys::order;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EditArguments {
    #[serde(alias = "file_path")]
    path: String,
    #[serde(alias = "old_text", alias = "old_string")]
    old_text: Option<String>,
    #[serde(alias = "new_text", alias = "new_string")]
    new_text: Option<String>,
    edits: Option<Vec<Replacement>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Replacement {
    #[serde(alias = "old_text", alias = "old_string")]
    old_text: String,
    #[serde(alias = "new_text", alias = "new_string")]
    new_text: String,
}

pub(super) fn edit(wanted: Decoded<EditArguments>, context: &mut ToolContext) -> Result<ToolOutcome, Refusal> {
    let raw = wanted.known.path.clone();
    let edits = asked(wanted.known)?;
    let path = paths::resolve(&raw, context)?;
    let (file, about) = paths::open(&path, &raw)?;
    if about.len() > LARGEST {
        return Err(Refusal(format!("{raw} has {} bytes; edit takes files up to {LARGEST}.", about.len())));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| paths::cannot("read", &raw, &error))?;
    let Ok(old) = String::from_utf8(bytes) else {
        return Err(Refusal(format!("{raw} is not UTF-8 text; edit cannot change it.")));
    };
    let changes = place(&old, edits, &raw)?;
    let new = apply(&old, &changes);
    if new == old {
        return Err(Refusal(format!("{raw} would stay as it is: every newText equals its oldText.")));
    }
    write::replace(&path, new.as_bytes()).map_err(|error| paths::cannot("write", &raw, &error))?;
    let details = FileDetails {
        path: path.display().to_string(),
        bytes: Some(new.len() as u64),
        changed: Some(true),
        diff: Some(diff(&old, &changes)),
        first_changed_line: changes.first().map(|change| line_of(&old, change.at)),
        ..FileDetails::default()
    };
    let shown = paths::shown(&path, context.start());
    let many = if changes.len() == 1 { "1 place".to_owned() } else { format!("{} places", changes.len()) };
    Ok(ToolOutcome::said(format!("Changed {shown} in {many}."), Details::File(details)))
}

/// A replacement that has found its place.
struct Change {
    at: usize,
    old: String,
    new: String,
}

/// The replacements of one call: the single one, the list, or both.
fn asked(arguments: EditArguments) -> Result<Vec<Replacement>, Refusal> {
    let single = match (arguments.old_text, arguments.new_text) {
        (Some(old_text), Some(new_text)) => Some(Replacement { old_text, new_text }),
        (None, None) => None,
        (Some(_), None) => return Err(Refusal::new("newText is missing; give an empty one to delete oldText.")),
        (None, Some(_)) => return Err(Refusal::new("oldText is missing; to write a whole file use write.")),
    };
    let edits: Vec<Replacement> = single.into_iter().chain(arguments.edits.unwrap_or_default()).collect();
    match edits.len() {
        0 => Err(Refusal::new("Nothing to do: give oldText and newText, or edits.")),
        count if count > MOST => Err(Refusal(format!("{count} edits in one call; at most {MOST}."))),
        _ => Ok(edits),
    }
}

/// Finds where each replacement goes, in the order of the file.
fn place(text: &str, edits: Vec<Replacement>, raw: &str) -> Result<Vec<Change>, Refusal> {
    let crlf = text.contains("\r\n") && text.matches('\n').count() == text.matches("\r\n").count();
    let fit = |piece: String| if crlf { piece.replace("\r\n", "\n").replace('\n', "\r\n") } else { piece };
    let many = edits.len() > 1;
    let mut changes = Vec::with_capacity(edits.len());
    for (index, edit) in edits.into_iter().enumerate() {
        let which = if many { format!("edits[{index}].oldText") } else { "oldText".to_owned() };
        let (old, new) = (fit(edit.old_text), fit(edit.new_text));
        if old.is_empty() {
            return Err(Refusal(format!("{which} is empty; it must be the exact text to replace.")));
        }
        let mut found = overlapping(text, &old);
        let Some(at) = found.next() else {
            return Err(Refusal(format!("{which} does not occur in {raw}. {}", hint(text, &old))));
        };
        let others = found.take(MOST_COUNTED).count();
        if others > 0 {
            let count = if others == MOST_COUNTED { format!("more than {others}") } else { (others + 1).to_string() };
            return Err(Refusal(format!(
                "{which} occurs {count} times in {raw}; add lines around it to make it unique."
            )));
        }
        changes.push(Change { at, old, new });
    }
    order::by_key(&mut changes, |change| change.at);
    for pair in changes.windows(2) {
        if pair[0].at + pair[0].old.len() > pair[1].at {
            let line = line_of(text, pair[1].at);
            return Err(Refusal(format!("Two edits overlap at line {line} of {raw}; merge them into one.")));
        }
    }
    Ok(changes)
}

/// Every place where `piece` begins, also where two of them overlap: "aa" is twice in "aaa".
fn overlapping<'t>(text: &'t str, piece: &'t str) -> impl Iterator<Item = usize> + 't {
    let step = piece.chars().next().map_or(1, char::len_utf8);
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + text.get(from..)?.find(piece)?;
        from = at + step;
        Some(at)
    })
}

/// What may have gone wrong: the first line is there with other spaces, or not at all.
fn hint(text: &str, old: &str) -> String {
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some(first) = old.lines().map(squeezed).find(|line| !line.is_empty()) else {
        return "It is only white space.".to_owned();
    };
    match text.lines().position(|line| squeezed(line) == first) {
        Some(at) => format!("Line {} looks like its first line; compare spaces and the lines after it.", at + 1),
        None => "Read the file again: it must match exactly, spaces included.".to_owned(),
    }
}

fn apply(text: &str, changes: &[Change]) -> String {
    let mut new = String::with_capacity(text.len());
    let mut done = 0;
    for change in changes {
        new.push_str(&text[done..change.at]);
        new.push_str(&change.new);
        done = change.at + change.old.len();
    }
    new + &text[done..]
}

/// `-12 old` and `+12 new` lines, for people to look at.
fn diff(text: &str, changes: &[Change]) -> String {
    let mut lines = Vec::new();
    let mut shift = 0_isize;
    for change in changes {
        let start = line_of(text, change.at);
        lines.extend(change.old.lines().zip(start..).map(|(line, number)| format!("-{number} {line}")));
        let moved = start.saturating_add_signed(shift);
        lines.extend(change.new.lines().zip(moved..).map(|(line, number)| format!("+{number} {line}")));
        shift += change.new.matches('\n').count() as isize - change.old.matches('\n').count() as isize;
    }
    cut(&lines.join("\n"), DIFF).to_owned()
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Bytes. A larger file is not one a model edits by quoting it.
const LARGEST: u64 = 8 << 20;
const MOST: usize = 200;
/// Counting further tells the model nothing.
const MOST_COUNTED: usize = 1000;
/// Bytes of diff in the details: events carry it to every client.
const DIFF: usize = 8 << 10;
