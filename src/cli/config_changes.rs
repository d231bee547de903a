//! `config diff` and `config restore`: what changed since a backup, and the way back.
//!
//! Differences are told by key, not by line: layout and comments are no change. Invariant: secrets are told as changed,
//! never shown.

use std::path::PathBuf;

use serde_json::Value;

use super::config_args::{ConfigDiff, ConfigRestore};
use super::config_read::paths;
use super::config_write::{Open, failed};
use super::failure::Failure;
use super::output::{Shell, clean, shorten};
use crate::config::keys;
use crate::config::write::{self, Clobber};
use crate::config::{Config, diff, edit, json5, load, redact, schema};
use crate::sys::files;
use crate::sys::paths::Paths;
use crate::wire::tree::json;

/// A value in a line of a difference is cut here (characters).
const VALUE: usize = 80;

/// Shows what changed since a backup.
pub fn diff(shell: &mut Shell, args: &ConfigDiff) -> Result<(), Failure> {
    let paths = paths(shell)?;
    let (file, old) = backup(&paths, args.backup)?;
    let old = meaning(shell, &paths, &old, &file)?;
    let new = load(&paths, &shell.env).map_err(|error| Failure::refused(error.to_string()))?;
    if args.json {
        return shell.json(&as_json(&file, &old, &new));
    }
    let lines = lines(Some(&old), &new);
    if lines.is_empty() {
        return shell.line(format!("No difference to {}.", file.display()));
    }
    lines.iter().try_for_each(|line| shell.line(line))
}

/// Puts a backup in place. The file it replaces becomes the newest backup.
pub fn restore(shell: &mut Shell, args: &ConfigRestore) -> Result<(), Failure> {
    let open = Open::read(shell)?;
    let (file, text) = backup(&open.paths, args.backup)?;
    let new = meaning(shell, &open.paths, &text, &file)?;
    // What is there may be broken: that is when people restore.
    let old = load(&open.paths, &shell.env).ok();
    if !args.json {
        for line in lines(old.as_ref(), &new) {
            shell.line(line)?;
        }
    }
    if args.dry_run {
        return shell.line(format!("{} was not restored (dry run).", file.display()));
    }
    let written = write::write(&open.paths, &shell.env, &open.hash, &text, Clobber::Allow).map_err(|e| failed(&e))?;
    if args.json {
        let from = file.display().to_string();
        return shell.json(&json!({"ok": true, "changed": written.changed, "from": from, "hash": written.config.hash}));
    }
    shell.line(format!("Restored {}. What it replaced is the newest backup now.", file.display()))
}

/// One line per changed key: `~ gateway.port: 1 -> 2 (restart)`.
pub fn lines(old: Option<&Config>, new: &Config) -> Vec<String> {
    let empty = Config::default();
    let old = old.unwrap_or(&empty);
    let (before, after) = (redact::value(&old.tree), redact::value(&new.tree));
    diff::changes(old, new)
        .iter()
        .map(|change| {
            let path = keys::split(&change.path);
            let (from, to) = (edit::at(&before, &path), edit::at(&after, &path));
            let word = schema::word(change.reload);
            match (from.map(shown), to.map(shown)) {
                (None, Some(to)) => format!("+ {}: {to} ({word})", change.path),
                (Some(from), None) => format!("- {}: {from} ({word})", change.path),
                (from, to) if from == to => format!("~ {}: a secret changed ({word})", change.path),
                (from, to) => {
                    format!("~ {}: {} -> {} ({word})", change.path, from.unwrap_or_default(), to.unwrap_or_default())
                }
            }
        })
        .collect()
}

fn as_json(file: &std::path::Path, old: &Config, new: &Config) -> Value {
    let (before, after) = (redact::value(&old.tree), redact::value(&new.tree));
    let changes: Vec<Value> = diff::changes(old, new)
        .iter()
        .map(|change| {
            let path = keys::split(&change.path);
            json!({
                "path": change.path,
                "from": edit::at(&before, &path),
                "to": edit::at(&after, &path),
                "reloadKind": schema::word(change.reload),
            })
        })
        .collect();
    json!({"backup": file.display().to_string(), "changes": changes})
}

fn shown(value: &Value) -> String {
    shorten(&clean(&value.to_string()), VALUE)
}

fn backup(paths: &Paths, number: Option<usize>) -> Result<(PathBuf, String), Failure> {
    let all = write::backups(&paths.config);
    let number = number.unwrap_or(0);
    let Some(file) = all.get(number) else {
        return Err(Failure::refused(format!(
            "{} has {} backups; there is no number {number}",
            paths.config.display(),
            all.len()
        )));
    };
    let read = files::read_capped(file, json5::MAX_BYTES as u64);
    let bytes = read.map_err(|error| Failure::refused(format!("read {}: {error}", file.display())))?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::refused(format!("{} is not UTF-8", file.display())))?;
    Ok((file.clone(), text))
}

fn meaning(shell: &Shell, paths: &Paths, text: &str, file: &std::path::Path) -> Result<Config, Failure> {
    load::parse(text, paths, &shell.env)
        .map_err(|error| Failure::refused(format!("{} cannot be used: {error}", file.display())))
}
