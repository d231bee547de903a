//! `write`, and how every tool puts a file in place: whole or not at all.
//!
//! Invariant: a reader sees the old content or the new one; a full disk leaves the old one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;

use super::arguments::Decoded;
use super::{Details, FileDetails, Refusal, ToolContext, ToolOutcome, paths};

#[derive(Deserialize)]
pub(super) struct WriteArguments {
    #[serde(alias = "file_path")]
    path: String,
    content: String,
}

pub(super) fn write(wanted: Decoded<WriteArguments>, context: &mut ToolContext) -> Result<ToolOutcome, Refusal> {
    let WriteArguments { path: raw, content } = wanted.known;
    let path = paths::resolve(&raw, context)?;
    let before = match fs::symlink_metadata(&path) {
        Ok(about) if about.is_dir() => return Err(Refusal(format!("{raw} is a directory; give a file name."))),
        Ok(about) if !about.is_file() => {
            return Err(Refusal(format!("{raw} is not a regular file; write replaces only files.")));
        }
        Ok(about) => Some(about),
        Err(_) => None,
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| paths::cannot("make the directory of", &raw, &error))?;
    }
    let same = before.as_ref().is_some_and(|about| about.len() == content.len() as u64)
        && fs::read(&path).is_ok_and(|old| old == content.as_bytes());
    if !same {
        replace(&path, content.as_bytes()).map_err(|error| paths::cannot("write", &raw, &error))?;
    }
    let details = FileDetails {
        path: path.display().to_string(),
        bytes: Some(content.len() as u64),
        changed: Some(!same),
        created: Some(before.is_none()),
        ..FileDetails::default()
    };
    let shown = paths::shown(&path, context.start());
    let sentence = match (same, before.is_none()) {
        (true, _) => format!("{shown} already has exactly this content."),
        (false, true) => format!("Created {shown} ({} bytes).", content.len()),
        (false, false) => format!("Replaced {shown} ({} bytes).", content.len()),
    };
    Ok(ToolOutcome::said(sentence, Details::File(details)))
}

/// Puts `content` at `path` by way of a new file beside it. Keeps the permissions of what it replaces.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = draft_beside(path);
    let put = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&draft)?;
        if let Ok(about) = fs::metadata(path) {
            file.set_permissions(about.permissions())?;
        }
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    put().inspect_err(|_| {
        // The draft may not exist; what failed first is what counts.
        let _ = fs::remove_file(&draft);
    })
}

/// A name nobody else uses: this process, this moment, this call.
fn draft_beside(path: &Path) -> PathBuf {
    static DRAFTS: AtomicU64 = AtomicU64::new(0);
    let count = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let moment = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.subsec_nanos());
    path.with_file_name(format!(".draft-{}-{moment:08x}-{count}", std::process::id()))
}
