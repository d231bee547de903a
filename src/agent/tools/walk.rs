//! Walks a directory tree within bounds: entries, depth, time, abort.
//!
//! Follows no links and stays out of denied roots. The order is by name, so that the same tree gives the same answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::ToolContext;
use super::paths::Reach;
use crate::sys::order;

/// Why a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    End,
    /// The visitor had enough.
    Enough,
    /// A bound of the walk itself.
    Bound(&'static str),
}

/// Calls `each` with every regular file below `root`. It answers whether to go on.
pub(super) fn files(root: &Path, reach: &Reach, context: &ToolContext, each: &mut dyn FnMut(&Path) -> bool) -> Reached {
    let end = Instant::now() + WALK_TIME;
    let mut seen = 0;
    let mut open = vec![(root.to_owned(), 0)];
    let mut cut_short = None;
    while let Some((dir, depth)) = open.pop() {
        let mut dirs = Vec::new();
        let mut names: Vec<PathBuf> = Vec::new();
        // A directory we may not list is as good as empty.
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            seen += 1;
            if seen > ENTRIES {
                return Reached::Bound("too many entries");
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !skipped(&entry.file_name()) => dirs.push(entry.path()),
                Ok(kind) if kind.is_file() => names.push(entry.path()),
                _ => {}
            }
        }
        order::sort(&mut names);
        for path in names.iter().filter(|path| reach.allows(path)) {
            if context.abort.fired() {
                return Reached::Bound("aborted");
            }
            if Instant::now() > end {
                return Reached::Bound("out of time");
            }
            if !each(path) {
                return Reached::Enough;
            }
        }
        if depth == DEPTH && !dirs.is_empty() {
            cut_short = Some("too deep");
            continue;
        }
        order::sort(&mut dirs);
        open.extend(dirs.into_iter().rev().filter(|dir| reach.allows(dir)).map(|dir| (dir, depth + 1)));
    }
    cut_short.map_or(Reached::End, Reached::Bound)
}

/// Large, and never what was meant.
fn skipped(name: &std::ffi::OsStr) -> bool {
    name == ".git" || name == "node_modules"
}

/// A home directory has fewer; a whole disk is a mistake.
const ENTRIES: usize = 100_000;
const DEPTH: usize = 64;
/// A slow disk or a network mount must not hold a run.
const WALK_TIME: Duration = Duration::from_secs(10);
