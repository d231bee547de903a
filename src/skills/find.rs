//! Where skills lie, and which of those with the same name counts.
//!
//! Invariants: what is looked at is bounded by [`Limits`] in every root; a skill outside its root counts only where the
//! operator trusts the place; a SKILL.md never leads out of its own folder.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::head::Head;
use super::{Skill, Source};
use crate::config::Config;
use crate::sys::order;
use crate::sys::paths::Paths;

/// The file that makes a folder a skill.
const FILE: &str = "SKILL.md";
/// Folders below a root that are looked into.
const DEPTH: usize = 6;
/// Bytes of a file its head must lie in.
const HEAD_BYTES: u64 = 64 << 10;
/// Directory entries looked at below one root.
const ENTRIES: usize = 10_000;

/// `skills.limits`, as far as finding goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Folders of one root that may be skills.
    candidates: usize,
    /// Skills taken from one root.
    per_source: usize,
    /// Bytes of a SKILL.md.
    file_bytes: u64,
}

impl Limits {
    pub(super) fn of(config: &Config) -> Limits {
        let said = &config.skills.limits;
        Limits {
            candidates: said.max_candidates_per_root.unwrap_or(300),
            per_source: said.max_skills_loaded_per_source.unwrap_or(200),
            file_bytes: said.max_skill_file_bytes.unwrap_or(256_000),
        }
    }
}

/// The roots of an agent, first those that win.
pub(super) fn roots(config: &Config, agent_id: &str) -> Vec<(Source, PathBuf)> {
    let workspace = config.agent_workspace(agent_id);
    let mut roots =
        vec![(Source::Workspace, workspace.join("skills")), (Source::Project, workspace.join(".agents/skills"))];
    if let Some(paths) = config.paths.as_deref() {
        if is_usual(paths) {
            roots.push((Source::Personal, paths.home.join(".agents/skills")));
        }
        roots.push((Source::Managed, managed(paths)));
    }
    roots.extend(config.skills.load.extra_dirs.iter().map(|dir| (Source::Extra, config.expand(dir))));
    roots
}

/// Skills of all agents of this state directory.
pub(super) fn managed(paths: &Paths) -> PathBuf {
    paths.state_dir.join("skills")
}

/// A state directory of its own has no business with the skills of the home directory.
fn is_usual(paths: &Paths) -> bool {
    paths.state_dir == paths.home.join(".openclaw")
}

/// The skills below one root, by folder, and what was passed over for which reason.
pub(super) fn below(
    source: Source,
    root: &Path,
    trusted: &[PathBuf],
    limits: Limits,
) -> (Vec<Skill>, Vec<(PathBuf, String)>) {
    let mut walk = Walk { source, trusted, limits, candidates: 0, entries: 0, found: Vec::new(), passed: Vec::new() };
    if let Ok(real) = root.canonicalize() {
        walk.look(root, &real, DEPTH);
    }
    (walk.found, walk.passed)
}

struct Walk<'w> {
    source: Source,
    trusted: &'w [PathBuf],
    limits: Limits,
    candidates: usize,
    entries: usize,
    found: Vec<Skill>,
    passed: Vec<(PathBuf, String)>,
}

impl Walk<'_> {
    fn look(&mut self, folder: &Path, root: &Path, depth: usize) {
        if fs::symlink_metadata(folder.join(FILE)).is_ok() {
            return self.take(folder, root);
        }
        let Ok(entries) = fs::read_dir(folder) else { return };
        let mut folders: Vec<PathBuf> = Vec::new();
        for entry in entries.flatten() {
            self.entries += 1;
            if self.entries > ENTRIES {
                let why = format!("more than {ENTRIES} files; the rest was not looked at");
                self.passed.push((folder.to_owned(), why));
                break;
            }
            let name = entry.file_name();
            let skipped = name.to_string_lossy().starts_with('.') || name == "node_modules";
            if !skipped && entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
        order::by(&mut folders, |a, b| a.cmp(b));
        for inner in folders {
            if depth == 0 || self.entries > ENTRIES || self.found.len() >= self.limits.per_source {
                return;
            }
            if depth == DEPTH {
                self.candidates += 1;
                if self.candidates > self.limits.candidates {
                    let why = format!("more than {} folders; the rest was not looked at", self.limits.candidates);
                    return self.passed.push((folder.to_owned(), why));
                }
            }
            self.look(&inner, root, depth - 1);
        }
    }

    fn take(&mut self, folder: &Path, root: &Path) {
        match read(folder, root, self.source, self.trusted, self.limits) {
            Ok(head) => self.found.push(Skill { head, source: self.source, folder: folder.to_owned() }),
            Err(why) => self.passed.push((folder.to_owned(), why)),
        }
    }
}

fn read(folder: &Path, root: &Path, source: Source, trusted: &[PathBuf], limits: Limits) -> Result<Head, String> {
    let file = folder.join(FILE);
    let real = |path: &Path| path.canonicalize().map_err(|error| error.to_string());
    let (real_folder, real_file) = (real(folder)?, real(&file)?);
    if !real_file.starts_with(&real_folder) {
        return Err(format!("its {FILE} is a link out of its folder"));
    }
    let free = matches!(source, Source::Managed | Source::Personal);
    if !free && !real_folder.starts_with(root) && !trusted.iter().any(|target| real_folder.starts_with(target)) {
        return Err(format!(
            "it is a link to {}, which skills.load.allowSymlinkTargets does not name",
            real_folder.display()
        ));
    }
    let about = fs::metadata(&real_file).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err(format!("its {FILE} is not a regular file"));
    }
    if about.len() > limits.file_bytes {
        return Err(format!("its {FILE} has {} bytes; at most {} are read", about.len(), limits.file_bytes));
    }
    let mut bytes = Vec::new();
    let opened = File::open(&real_file).map_err(|error| error.to_string())?;
    opened.take(HEAD_BYTES).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Head::read(&String::from_utf8_lossy(&bytes), &name)
}
