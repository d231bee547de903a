//! `openclaw secrets store`: values kept by this host for references of source `store`.
//!
//! Works on the file, with or without a gateway. Invariants: a secret is never printed, and never taken from the command
//! line, where other users of the host could read it.

use serde_json::Value;

use super::args::{StoreGet, StoreList, StoreRm, StoreSet};
use super::config_read::paths;
use super::failure::{Failure, Kind as Why};
use super::output::{Shell, age, table};
use super::question;
use crate::config::secrets::shelf::{Entry, Kind, Shelf, VALUE};
use crate::sys::{clock, files, terminal};
use crate::wire::tree::json;

/// Lists names and kinds.
pub fn list(shell: &mut Shell, args: &StoreList) -> Result<(), Failure> {
    let shelf = open(shell)?;
    if args.json {
        let all: Vec<Value> = shelf.iter().map(|(name, entry)| shown(name, entry)).collect();
        return shell.json(&json!({"entries": all}));
    }
    let now = clock::now_ms();
    let rows: Vec<Vec<String>> = shelf
        .iter()
        .map(|(name, entry)| {
            let value = if entry.kind == Kind::Env { entry.value.clone() } else { "(secret)".to_owned() };
            vec![name.clone(), entry.kind.as_str().to_owned(), age(now.saturating_sub(entry.updated_at)), value]
        })
        .collect();
    if rows.is_empty() {
        return shell.line("The secret store is empty.");
    }
    table(&["Name", "Kind", "Age", "Value"], &rows).iter().try_for_each(|line| shell.line(line))
}

/// Keeps a value.
pub fn set(shell: &mut Shell, args: &StoreSet) -> Result<(), Failure> {
    let kind = match args.kind.as_deref() {
        Some(name) => Kind::named(name).ok_or_else(|| Failure::usage(format!("--kind {name}: secret or env")))?,
        None => Kind::of_name(&args.name),
    };
    if args.value.is_some() && kind == Kind::Secret {
        return Err(Failure::usage(format!("{} is a secret: --value would show it to other users", args.name))
            .hint("Pipe it in, name a file with --value-file, or run this on a terminal."));
    }
    let value = match (&args.value, args.value_file.as_deref()) {
        (Some(value), None) => value.clone(),
        (None, Some("-")) => piped()?,
        (None, Some(path)) => {
            let read = files::read_capped(std::path::Path::new(path), VALUE as u64 + 2);
            text(read.map_err(|error| Failure::usage(format!("read {path}: {error}")))?)?
        }
        (None, None) if terminal::somebody() => question::secret(shell, &format!("Value of {}", args.name))?,
        (None, None) => piped()?,
        (Some(_), Some(_)) => return Err(Failure::usage("--value and --value-file exclude each other")),
    };
    let paths = paths(shell)?;
    if args.dry_run {
        open(shell)?.set(&args.name, kind, &value).map_err(Failure::usage)?;
        return shell.line(format!("{} would be kept as {} (dry run).", args.name, kind.as_str()));
    }
    let changed =
        Shelf::change(&paths.state_dir, |shelf| shelf.set(&args.name, kind, &value)).map_err(Failure::usage)?;
    if !changed {
        return shell.line(format!("{} is kept already.", args.name));
    }
    shell.line(format!(
        "Kept {} ({}). A running gateway takes it at: openclaw secrets reload",
        args.name,
        kind.as_str()
    ))
}

/// Prints a value that is no secret.
pub fn get(shell: &mut Shell, args: &StoreGet) -> Result<(), Failure> {
    let shelf = open(shell)?;
    match shelf.get(&args.name) {
        None => Err(Failure::new(Why::Missing, format!("the store has no {}", args.name))),
        Some(entry) if entry.kind == Kind::Secret => {
            Err(Failure::usage(format!("{} is a secret: it is written and never shown", args.name)))
        }
        Some(entry) => shell.line(entry.value.clone()),
    }
}

/// Forgets values; a name that is not there is no failure.
pub fn rm(shell: &mut Shell, args: &StoreRm) -> Result<(), Failure> {
    if args.names.is_empty() {
        return Err(Failure::usage("secrets store rm needs a name"));
    }
    if !args.yes {
        let names = args.names.join(", ");
        if !terminal::somebody() {
            return Err(Failure::usage("nobody is there to be asked").hint("Say --yes."));
        }
        if !question::yes(shell, &format!("Forget {names}?"), false)? {
            return shell.line("Nothing was changed.");
        }
    }
    let paths = paths(shell)?;
    let gone = Shelf::change(&paths.state_dir, |shelf| {
        Ok(args.names.iter().filter(|name| shelf.remove(name)).cloned().collect::<Vec<_>>())
    });
    let gone = gone.map_err(Failure::refused)?;
    if gone.is_empty() { shell.line("Nothing to forget.") } else { shell.line(format!("Forgot {}.", gone.join(", "))) }
}

fn open(shell: &Shell) -> Result<Shelf, Failure> {
    Shelf::read(&Shelf::path(&paths(shell)?.state_dir)).map_err(Failure::refused)
}

fn shown(name: &str, entry: &Entry) -> Value {
    let mut shown = json!({"name": name, "kind": entry.kind.as_str(), "createdAtMs": entry.created_at, "updatedAtMs": entry.updated_at});
    if entry.kind == Kind::Env {
        shown["value"] = entry.value.as_str().into();
    }
    shown
}

fn piped() -> Result<String, Failure> {
    text(terminal::piped(VALUE as u64 + 2).map_err(|error| Failure::usage(error.to_string()))?)
}

/// Without the line break that `echo` and editors put at the end.
fn text(bytes: Vec<u8>) -> Result<String, Failure> {
    let text = String::from_utf8(bytes).map_err(|_| Failure::usage("the value is not UTF-8"))?;
    Ok(text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text)).unwrap_or(&text).to_owned())
}
