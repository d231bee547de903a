//! `ls`: one directory, in pages.

use std::fs;

use serde::Deserialize;

use super::arguments::{self, Decoded};
use super::{Details, Listing, Refusal, ToolContext, ToolOutcome, paths};
use crate::sys::order;

#[derive(Deserialize)]
pub(super) struct ListArguments {
    path: Option<String>,
    #[serde(default, deserialize_with = "arguments::count")]
    limit: Option<usize>,
    after: Option<String>,
}

pub(super) fn ls(wanted: Decoded<ListArguments>, context: &mut ToolContext) -> Result<ToolOutcome, Refusal> {
    let ListArguments { path: raw, limit, after } = wanted.known;
    let raw = raw.unwrap_or_default();
    let path = paths::resolve_to_read(&raw, context)?;
    let shown = if raw.is_empty() { "the workspace" } else { &raw };
    let entries = fs::read_dir(&path).map_err(|error| paths::cannot("list", shown, &error))?;
    let mut names = Vec::new();
    let mut more = false;
    for entry in entries {
        let entry = entry.map_err(|error| paths::cannot("list", shown, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if after.as_ref().is_some_and(|after| name <= *after) {
            continue;
        }
        if names.len() == ENTRIES {
            more = true;
            break;
        }
        names.push((name, entry));
    }
    order::by(&mut names, |a, b| a.0.cmp(&b.0));
    let most = limit.unwrap_or(LIMIT).clamp(1, ENTRIES);
    let mut text = String::new();
    let mut count = 0;
    for (name, entry) in &names {
        let line = line(name, entry);
        if count == most || text.len() + line.len() > context.limits.text_bytes {
            break;
        }
        text += &line;
        text.push('\n');
        count += 1;
    }
    let truncated = more || count < names.len();
    if truncated && count > 0 {
        text += &format!("[More entries; continue with after={:?}.]", names[count - 1].0);
    } else if count == 0 {
        text = "(nothing here)".to_owned();
    }
    let details = Listing { path: path.display().to_string(), count, truncated };
    Ok(ToolOutcome::said(text.trim_end(), Details::Listing(details)))
}

fn line(name: &str, entry: &fs::DirEntry) -> String {
    // A name with a line break must not look like two entries.
    let name = if name.contains(char::is_control) { format!("{name:?}") } else { name.to_owned() };
    match entry.file_type() {
        Ok(kind) if kind.is_dir() => name + "/",
        Ok(kind) if kind.is_symlink() => {
            let target = fs::read_link(entry.path()).map(|to| to.display().to_string());
            format!("{name} -> {}", target.unwrap_or_else(|_| "?".into()))
        }
        _ => name,
    }
}

const LIMIT: usize = 500;
/// Names held at once for sorting.
const ENTRIES: usize = 20_000;
