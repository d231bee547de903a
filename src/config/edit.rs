//! Changes a JSON5 text in place: what is not touched keeps every byte.
//!
//! An edit is a path and a value. Only the bytes of values that differ are replaced; new keys take the quotes, the
//! indentation and the line ends of their neighbours; a removed key takes the comment at the end of its own line with it
//! and leaves the comments above it standing. Nothing is read or written here, and no key has a meaning.
//!
//! Invariant: the text that comes out parses, and means exactly the old tree with the change in it; where that cannot be
//! had the edit is refused.

use std::fmt;

use serde_json::{Map, Value};

use super::json5::{self, Kind, Node, SyntaxError};
use super::keys::Segment;

mod render;
#[cfg(test)]
mod tests;

use render::Style;

/// Why a text was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EditError {
    /// The text is not JSON5 to begin with.
    Syntax(SyntaxError),
    /// The path goes through something that is not an object or a list.
    NotASection { path: String, found: &'static str },
    /// A list has no such item and it is not the next one either.
    NoSuchItem { path: String, length: usize },
    /// A key is written twice in one object: which one would be meant?
    Twice { key: String, line: u32 },
    /// The text cannot be changed without guessing what was meant.
    Ambiguous,
}

/// Puts a value at a path, making the sections above it. Objects and lists are changed item by item, so that comments
/// inside them survive where their neighbours do.
pub fn set(text: &str, path: &[Segment<'_>], value: &Value) -> Result<String, EditError> {
    let root = root(text)?;
    let mut wanted = root.to_value();
    put(&mut wanted, path, value.clone())?;
    reconcile(text, &wanted)
}

/// Takes a key or an item out; `None` when there is none.
pub fn unset(text: &str, path: &[Segment<'_>]) -> Result<Option<String>, EditError> {
    let mut wanted = root(text)?.to_value();
    if !take(&mut wanted, path) {
        return Ok(None);
    }
    reconcile(text, &wanted).map(Some)
}

/// Merges a tree in: objects merge, `null` removes, everything else replaces. Paths in `whole` are replaced, not merged.
pub fn patch(text: &str, patch: &Value, whole: &[String]) -> Result<String, EditError> {
    let mut wanted = root(text)?.to_value();
    merge(&mut wanted, patch, "", whole);
    reconcile(text, &wanted)
}

/// The least change that makes the text mean `wanted`.
pub fn reconcile(text: &str, wanted: &Value) -> Result<String, EditError> {
    let mut text = if blank(text) { format!("{}{{\n}}\n", prefix(text)) } else { text.to_owned() };
    // 5.0 and 5 are the same number here; a value too deep for the reader is refused before anything is changed.
    let wanted = json5::parse(&wanted.to_string(), 0).map_err(EditError::Syntax)?.root.to_value();
    // Each step changes one place, so that no step works with places another one has moved; there cannot be more places
    // than bytes.
    for _ in 0..text.len() + wanted.to_string().len() {
        let parsed = json5::parse(&text, 0).map_err(EditError::Syntax)?;
        if let Some((key, place)) = parsed.duplicates.first() {
            return Err(EditError::Twice { key: key.clone(), line: place.line });
        }
        let style = Style::of(&text, &parsed.root);
        match next(&text, &parsed.root, &wanted, &style) {
            Some(changed) if changed != text => text = changed,
            None if parsed.root.to_value() == wanted => return Ok(text),
            _ => break,
        }
    }
    Err(EditError::Ambiguous)
}

/// Puts a value at a path of a tree; what is missing above it is made.
pub fn put(tree: &mut Value, path: &[Segment<'_>], value: Value) -> Result<(), EditError> {
    put_below(tree, path, value, 0)
}

fn put_below(wanted: &mut Value, path: &[Segment<'_>], value: Value, depth: usize) -> Result<(), EditError> {
    let Some(first) = path.get(depth) else {
        *wanted = value;
        return Ok(());
    };
    if wanted.is_null() {
        *wanted = if matches!(first, Segment::Index(_)) { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
    }
    let above = || written(&path[..depth]);
    let inner = match (&mut *wanted, first) {
        (Value::Object(map), Segment::Name(name)) => map.entry((*name).to_owned()).or_insert(Value::Null),
        (Value::Object(map), Segment::Index(index)) => map.entry(index.to_string()).or_insert(Value::Null),
        (Value::Array(items), Segment::Index(index)) => {
            let length = items.len();
            if *index > length {
                return Err(EditError::NoSuchItem { path: above(), length });
            }
            if *index == length {
                items.push(Value::Null);
            }
            &mut items[*index]
        }
        (other, _) => return Err(EditError::NotASection { path: above(), found: kind_name(other) }),
    };
    put_below(inner, path, value, depth + 1)
}

/// Takes a path out of a tree; `false` when it was not there.
pub fn take(tree: &mut Value, path: &[Segment<'_>]) -> bool {
    let Some((last, above)) = path.split_last() else { return false };
    let mut at = tree;
    for segment in above {
        let inner = match (at, segment) {
            (Value::Object(map), Segment::Name(name)) => map.get_mut(*name),
            (Value::Object(map), Segment::Index(index)) => map.get_mut(&index.to_string()),
            (Value::Array(items), Segment::Index(index)) => items.get_mut(*index),
            _ => None,
        };
        let Some(inner) = inner else { return false };
        at = inner;
    }
    match (at, last) {
        (Value::Object(map), Segment::Name(name)) => map.shift_remove(*name).is_some(),
        (Value::Object(map), Segment::Index(index)) => map.shift_remove(&index.to_string()).is_some(),
        (Value::Array(items), Segment::Index(index)) if *index < items.len() => {
            items.remove(*index);
            true
        }
        _ => false,
    }
}

/// What stands at a path of a tree.
pub fn at<'a>(tree: &'a Value, path: &[Segment<'_>]) -> Option<&'a Value> {
    path.iter().try_fold(tree, |at, segment| match (at, segment) {
        (Value::Object(map), Segment::Name(name)) => map.get(*name),
        (Value::Object(map), Segment::Index(index)) => map.get(&index.to_string()),
        (Value::Array(items), Segment::Index(index)) => items.get(*index),
        _ => None,
    })
}

/// JSON merge patch (RFC 7396), except that paths in `whole` are replaced.
pub fn merge(tree: &mut Value, patch: &Value, path: &str, whole: &[String]) {
    let (Value::Object(new), false) = (patch, whole.iter().any(|known| known == path)) else {
        *tree = patch.clone();
        return;
    };
    if !tree.is_object() {
        *tree = Value::Object(Map::new());
    }
    let Value::Object(map) = tree else { return };
    for (key, value) in new {
        let here = super::keys::join(path, key);
        if value.is_null() {
            map.shift_remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), value, &here, whole);
        }
    }
}

/// A path as people write it.
pub fn written(path: &[Segment<'_>]) -> String {
    path.iter().fold(String::new(), |above, segment| match segment {
        Segment::Name(name) => super::keys::join(&above, name),
        Segment::Index(index) => format!("{above}[{index}]"),
    })
}

fn root(text: &str) -> Result<Node, EditError> {
    let source = if blank(text) { "{}" } else { text };
    json5::parse(source, 0).map(|parsed| parsed.root).map_err(EditError::Syntax)
}

/// Nothing but space and comments.
fn blank(text: &str) -> bool {
    render::skip(text, 0) == text.len()
}

/// Comments of a text that has nothing else, on lines of their own.
fn prefix(text: &str) -> String {
    let kept = text.trim_end();
    if kept.is_empty() { String::new() } else { format!("{kept}\n") }
}

/// The text after one more step towards `wanted`; `None` when there is nothing left to do.
fn next(text: &str, node: &Node, wanted: &Value, style: &Style) -> Option<String> {
    match (&node.kind, wanted) {
        (Kind::Object(entries), Value::Object(map)) => {
            let parts: Vec<_> = entries.iter().map(|entry| (entry.start, entry.value.span.1)).collect();
            for (index, entry) in entries.iter().enumerate() {
                match map.get(&entry.key) {
                    None => return Some(render::remove(text, node.span, &parts, index)),
                    Some(value) => {
                        if let Some(changed) = next(text, &entry.value, value, style) {
                            return Some(changed);
                        }
                    }
                }
            }
            let (key, value) = map.iter().find(|(key, _)| node.get(key).is_none())?;
            Some(render::insert(text, node.span, &parts, Some(key), value, style))
        }
        (Kind::Array(items), Value::Array(values)) => {
            let parts: Vec<_> = items.iter().map(|item| item.span).collect();
            if items.len() > values.len() {
                // The first item that is not wanted any more goes; what follows moves up with its comments.
                let gone = items.iter().zip(values).position(|(item, value)| item.to_value() != *value);
                return Some(render::remove(text, node.span, &parts, gone.unwrap_or(values.len())));
            }
            for (item, value) in items.iter().zip(values) {
                if let Some(changed) = next(text, item, value, style) {
                    return Some(changed);
                }
            }
            let value = values.get(items.len())?;
            Some(render::insert(text, node.span, &parts, None, value, style))
        }
        (Kind::NotFinite(_), Value::Null) => None,
        _ if node.to_value() == *wanted => None,
        _ => Some(render::replace(text, node.span, wanted, style)),
    }
}

fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EditError::Syntax(error) => write!(f, "JSON5 parse failed: {error}"),
            EditError::NotASection { path, found } => write!(f, "{path} is {found}: nothing can be below it"),
            EditError::NoSuchItem { path, length } => {
                write!(f, "{path} has {length} items; the next one is [{length}]")
            }
            EditError::Twice { key, line } => {
                write!(f, "key {key:?} is written twice (first in line {line}): remove one of them by hand first")
            }
            EditError::Ambiguous => f.write_str("the file cannot be changed safely here; edit it by hand"),
        }
    }
}

impl std::error::Error for EditError {}
