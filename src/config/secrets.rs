//! What the file does not say itself: `${NAME}` in texts, and references to secrets kept elsewhere.
//!
//! First every reference is found, then all are fetched (programs of one provider are asked once for all their ids, and
//! several providers at the same time), then the tree is filled in. A name that cannot be resolved never stops the
//! gateway: a plain text stays as it is written and is warned about, a secret counts as not configured and is listed, so
//! that its owner can say so. The exceptions (the gateway's own credentials fail closed) are made where credentials are
//! worked out.
//!
//! Invariants: a reference is authoritative: nothing else takes its place; a secret that was had before stays in force
//! while its provider is away, unless it lets somebody in; no text here holds a value.

pub mod places;
mod provider;
pub mod reference;
pub mod shelf;
mod sources;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use super::check::Problem;
use super::json5::{Entry, Kind, Node, Place};
use super::keys::{self, Names};
use super::redact::{is_sentinel, sounds_secret};
use super::{Config, Unresolved};
use crate::sys::Env;
use crate::sys::secret::Secret;
use crate::wire::sorted::Sorted;

use provider::{ExecBlock, Place as Kept, Providers};
use reference::Reference;
use shelf::Shelf;

/// Providers asked at the same time.
const AT_ONCE: usize = 4;

/// Whose programs may be started to get at secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Programs {
    /// Nobody's: a command that only reads the file.
    None,
    /// Those of the gateway's own credentials: a command that talks to it.
    Gateway,
    All,
}

/// How secrets are to be resolved.
#[derive(Clone, Copy)]
pub struct How<'a> {
    pub programs: Programs,
    /// The snapshot in force; what it had may stay.
    pub before: Option<&'a Config>,
}

impl How<'_> {
    pub const QUICK: How<'static> = How { programs: Programs::None, before: None };
}

/// What references are resolved with.
pub struct Surroundings<'a> {
    pub env: &'a Env,
    pub expand: &'a dyn Fn(&str) -> PathBuf,
    pub state_dir: &'a Path,
}

/// A secret that was fetched, and from where: the same reference may have it again.
#[derive(Debug, Clone)]
pub struct Held {
    reference: Reference,
    kept: Arc<Kept>,
    value: Secret,
}

impl Held {
    /// Whether it is the entry of the store with this name.
    pub fn is_stored_as(&self, name: &str) -> bool {
        *self.kept == Kept::Store && self.reference.id == name
    }
}

/// All secrets that were fetched, by key path.
pub type Holding = Sorted<String, Held>;

/// What was left to say after resolving.
#[derive(Default)]
pub struct Resolved {
    pub warnings: Vec<(Place, String)>,
    pub problems: Vec<Problem>,
    pub unresolved: Vec<Unresolved>,
    /// Could not be had this time; the value from before is in force.
    pub stale: Vec<Unresolved>,
    pub held: Holding,
}

/// Replaces `${NAME}` everywhere and secret references where a secret belongs; takes out what cannot be had.
pub fn resolve(root: &mut Node, around: &Surroundings, how: How) -> Resolved {
    let mut finder = Finder { found: Vec::new(), problems: Vec::new(), idle: idle(root) };
    finder.node(root, "", Spot::root());
    let mut resolved = Resolved { problems: finder.problems, ..Resolved::default() };
    let fetched = fetch_all(&finder.found, &Providers::of(root), around, how, &mut resolved);
    let mut work = Work { env: around.env, fetched, resolved, idle: finder.idle };
    work.node(root, "", Spot::root());
    work.resolved
}

/// Checks the programs of all exec providers without starting one. Each problem is a sentence.
pub fn check_programs(root: &Node, around: &Surroundings) -> Vec<String> {
    let providers = Providers::of(root);
    let problem = |name: &&str| {
        let any = Reference { source: reference::Source::Exec, provider: Some((*name).to_owned()), id: "x".to_owned() };
        let placed = providers.place(&any, around).and_then(|kept| match kept {
            Kept::Exec(block) => sources::trusted(&block),
            _ => Ok(()),
        });
        placed.err().map(|reason| format!("secrets.providers.{name}: {reason}"))
    };
    providers.programs().iter().filter_map(problem).collect()
}

/// Resolves one reference now; for asking about one before it is written.
pub fn resolve_one(root: &Node, reference: &Reference, around: &Surroundings) -> Result<(), String> {
    reference.check()?;
    let kept = Providers::of(root).place(reference, around)?;
    let value = match &kept {
        Kept::Exec(block) => sources::exec(block, std::slice::from_ref(&reference.id)).remove(0),
        _ => fetch(&kept, reference, around, &Shelf::read(&Shelf::path(around.state_dir))),
    };
    value.and_then(usable).map(drop)
}

/// Sections whose secrets nobody uses as the file stands.
fn idle(root: &Node) -> Vec<&'static str> {
    let at = |path: &str| path.split('.').try_fold(root, |at: &Node, name| at.get(name));
    let mut idle = Vec::new();
    let remote = at("gateway.mode").and_then(Node::as_str) == Some("remote") || at("gateway.remote.url").is_some();
    if !remote {
        idle.push("gateway.remote");
    }
    if !matches!(at("hooks.enabled").map(|node| &node.kind), Some(Kind::Bool(true))) {
        idle.push("hooks.token");
    }
    idle
}

/// What the tables know about a place.
#[derive(Clone, Copy)]
struct Spot {
    ours: Option<&'static Names>,
    /// Inside a section whose keys belong to somebody else.
    open: bool,
    secret: bool,
    /// A text is not enough: a secret must be kept elsewhere.
    only_reference: bool,
}

impl Spot {
    fn root() -> Spot {
        Spot { ours: Some(keys::ours()), open: false, secret: false, only_reference: false }
    }

    fn below(self, name: &str) -> Spot {
        let ours = self.ours.and_then(|names| names.child(name));
        let open = self.open || self.ours.is_some_and(|names| names.open);
        let kind = ours.and_then(|names| names.key).map(|key| key.kind);
        Spot {
            ours,
            open,
            secret: ours.is_some_and(|names| names.secret) || open && (self.secret || sounds_secret(name)),
            only_reference: kind == Some(keys::Kind::Reference),
        }
    }

    fn item(self) -> Spot {
        Spot { ours: self.ours.and_then(Names::item), ..self }
    }
}

/// An account or channel that is switched off needs no secrets.
fn switched_off(node: &Node, spot: Spot) -> bool {
    (spot.open || spot.ours.is_some_and(|names| names.open))
        && matches!(node.get("enabled").map(|node| &node.kind), Some(Kind::Bool(false)))
}

struct Found {
    path: String,
    reference: Reference,
}

struct Finder {
    found: Vec<Found>,
    problems: Vec<Problem>,
    idle: Vec<&'static str>,
}

impl Finder {
    fn node(&mut self, node: &Node, path: &str, spot: Spot) {
        if spot.secret && self.idle.iter().any(|idle| below(path, idle)) || switched_off(node, spot) {
            return;
        }
        let found = match &node.kind {
            Kind::String(text) if spot.secret => Reference::short(text),
            _ if spot.secret => Reference::of(node),
            _ => None,
        };
        if let Some(reference) = found {
            match reference.check() {
                Ok(()) => self.found.push(Found { path: path.to_owned(), reference }),
                Err(reason) => {
                    let message = format!("Invalid secret reference: {reason}");
                    self.problems.push(Problem { at: node.at, path: path.to_owned(), message });
                }
            }
            return;
        }
        if spot.only_reference {
            let message = "Invalid input: expected {source, provider, id}: a secret is not written here".to_owned();
            self.problems.push(Problem { at: node.at, path: path.to_owned(), message });
            return;
        }
        match &node.kind {
            Kind::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.node(item, &format!("{path}[{index}]"), spot.item());
                }
            }
            Kind::Object(entries) => {
                for entry in entries {
                    self.node(&entry.value, &keys::join(path, &entry.key), spot.below(&entry.key));
                }
            }
            _ => {}
        }
    }
}

/// Whether a key path is `above` or below it.
fn below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Credentials that let somebody in: of these an old one must not stay.
fn lets_in(path: &str) -> bool {
    below(path, "gateway") || below(path, "hooks")
}

/// Everything found, with its value or why there is none.
fn fetch_all(
    found: &[Found],
    providers: &Providers,
    around: &Surroundings,
    how: How,
    resolved: &mut Resolved,
) -> Sorted<String, Option<String>> {
    let mut values: Vec<Result<String, String>> = Vec::with_capacity(found.len());
    let mut places: Vec<Option<Arc<Kept>>> = Vec::with_capacity(found.len());
    let mut programs: Vec<(Arc<Kept>, Vec<usize>)> = Vec::new();
    let mut shelf = None;
    for (index, Found { path, reference }) in found.iter().enumerate() {
        let kept = providers.place(reference, around).map(Arc::new);
        let value = match &kept {
            Err(reason) => Err(reason.clone()),
            Ok(kept) if matches!(**kept, Kept::Exec(_)) => {
                let may = match how.programs {
                    Programs::None => false,
                    Programs::Gateway => below(path, "gateway"),
                    Programs::All => true,
                };
                match programs.iter_mut().find(|(known, _)| may && known == kept) {
                    Some((_, indexes)) => indexes.push(index),
                    None if may => programs.push((kept.clone(), vec![index])),
                    None => {}
                }
                Err(NOT_ASKED.to_owned())
            }
            Ok(kept) => {
                let shelf = shelf.get_or_insert_with(|| Shelf::read(&Shelf::path(around.state_dir)));
                fetch(kept, reference, around, shelf)
            }
        };
        values.push(value);
        places.push(kept.ok());
    }
    ask_programs(&programs, found, &mut values);
    let mut fetched = Sorted::new();
    for ((Found { path, reference }, value), kept) in found.iter().zip(values).zip(places) {
        let value = match value.and_then(usable) {
            Ok(value) => {
                if let Some(kept) = kept {
                    let held = Held { reference: reference.clone(), kept, value: Secret::new(value.clone()) };
                    resolved.held.insert(path.clone(), held);
                }
                Some(value)
            }
            Err(reason) => {
                let skipped = reason == NOT_ASKED;
                let missing = Unresolved { path: path.clone(), reason, skipped };
                let before = how.before.and_then(|before| before.held.get(path)).filter(|_| !lets_in(path));
                let same = |held: &&Held| held.reference == *reference && Some(&held.kept) == kept.as_ref();
                match before.filter(same) {
                    Some(held) => {
                        resolved.held.insert(path.clone(), held.clone());
                        resolved.stale.push(missing);
                        Some(held.value.expose().to_owned())
                    }
                    None => {
                        resolved.unresolved.push(missing);
                        None
                    }
                }
            }
        };
        fetched.insert(path.clone(), value);
    }
    fetched
}

/// Why a program's secret is missing when the program was not to be started.
const NOT_ASKED: &str = "kept by a program that only the gateway asks";

/// Asks each program once, some at the same time.
fn ask_programs(programs: &[(Arc<Kept>, Vec<usize>)], found: &[Found], values: &mut [Result<String, String>]) {
    for group in programs.chunks(AT_ONCE) {
        let answers: Vec<Vec<Result<String, String>>> = thread::scope(|scope| {
            let asked: Vec<_> = group
                .iter()
                .map(|(kept, indexes)| {
                    let ids: Vec<String> = indexes.iter().map(|index| found[*index].reference.id.clone()).collect();
                    let ask = move |block: &ExecBlock| sources::exec(block, &ids);
                    scope.spawn(move || match &**kept {
                        Kept::Exec(block) => ask(block),
                        _ => Vec::new(),
                    })
                })
                .collect();
            asked.into_iter().map(|asked| asked.join().unwrap_or_default()).collect()
        });
        for ((_, indexes), answers) in group.iter().zip(answers) {
            let failed = || Err("asking the provider failed".to_owned());
            let answers = answers.into_iter().chain(std::iter::repeat_with(failed));
            for (index, answer) in indexes.iter().zip(answers) {
                values[*index] = answer;
            }
        }
    }
}

fn fetch(
    kept: &Kept,
    reference: &Reference,
    around: &Surroundings,
    shelf: &Result<Shelf, String>,
) -> Result<String, String> {
    let id = &reference.id;
    match kept {
        Kept::Env(allowed) => {
            let provider = reference.provider.as_deref().unwrap_or("default");
            sources::variable(allowed.as_deref(), provider, id, around)
        }
        Kept::Store => sources::stored(shelf, id),
        Kept::Systemd => sources::credential(id, around),
        Kept::File(block) => sources::file(block, id),
        Kept::Exec(_) => Err(NOT_ASKED.to_owned()),
    }
}

/// What stands for a secret is none, wherever it comes from.
fn usable(value: String) -> Result<String, String> {
    if value.trim().is_empty() {
        return Err("is empty".to_owned());
    }
    if is_sentinel(&value) {
        return Err("is a redaction placeholder or an unfilled template, not a secret".to_owned());
    }
    Ok(value)
}

impl Surroundings<'_> {
    /// A text of a provider block with its variables.
    fn filled(&self, text: &str) -> Result<String, String> {
        let missing = |name| format!("environment variable {name} is not set");
        Ok(substituted(text, self.env).map_err(missing)?.unwrap_or_else(|| text.to_owned()))
    }
}

struct Work<'a> {
    env: &'a Env,
    fetched: Sorted<String, Option<String>>,
    resolved: Resolved,
    idle: Vec<&'static str>,
}

impl Work<'_> {
    /// Answers `false` when the value must be taken out.
    fn node(&mut self, node: &mut Node, path: &str, spot: Spot) -> bool {
        if spot.secret
            && let Some(value) = self.fetched.get(path)
        {
            let Some(value) = value else { return false };
            node.kind = Kind::String(value.clone());
            return true;
        }
        if spot.secret && self.idle.iter().any(|idle| below(path, idle)) {
            // Nobody uses it: what cannot be had is no news.
            return match &mut node.kind {
                Kind::String(text) => match substituted(text, self.env) {
                    Ok(new) => {
                        *text = new.unwrap_or_else(|| std::mem::take(text));
                        true
                    }
                    Err(_) => false,
                },
                _ => false,
            };
        }
        if switched_off(node, spot) {
            return true;
        }
        match &mut node.kind {
            Kind::String(text) => {
                match substituted(text, self.env) {
                    Ok(Some(new)) => *text = new,
                    Ok(None) => {}
                    Err(missing) if spot.secret => {
                        return self.give_up(path, format!("environment variable {missing} is not set"));
                    }
                    Err(missing) => {
                        let warning = format!(
                            "{path}: Missing env var {missing:?} - feature using this value will be unavailable"
                        );
                        self.resolved.warnings.push((node.at, warning));
                    }
                }
                // Variables may be anything; what is sent to somebody as a secret may not.
                if spot.secret && !below(path, "env") && is_sentinel(text) {
                    let reason = "is a redaction placeholder or an unfilled template, not a secret";
                    return self.give_up(path, reason.to_owned());
                }
            }
            Kind::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    // An item that cannot be had keeps its place, so that the others keep theirs.
                    if !self.node(item, &format!("{path}[{index}]"), spot.item()) {
                        item.kind = Kind::Null;
                    }
                }
            }
            Kind::Object(entries) => {
                let mut keep = Vec::with_capacity(entries.len());
                for Entry { key, at, start, mut value } in std::mem::take(entries) {
                    if self.node(&mut value, &keys::join(path, &key), spot.below(&key)) {
                        keep.push(Entry { key, at, start, value });
                    }
                }
                *entries = keep;
            }
            _ => {}
        }
        true
    }

    fn give_up(&mut self, path: &str, reason: String) -> bool {
        self.resolved.unresolved.push(Unresolved { path: path.to_owned(), reason, skipped: false });
        false
    }
}

/// Replaces `${NAME}` and unescapes `$${NAME}`. `None` when there was nothing to do; the missing name as the error.
pub(super) fn substituted(text: &str, env: &Env) -> Result<Option<String>, String> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        match variable(from) {
            Some(name) => {
                let after = &from[name.len() + 3..];
                if let Some(before) = before.strip_suffix('$') {
                    out.push_str(before);
                    out.push_str(&from[..name.len() + 3]);
                } else {
                    out.push_str(before);
                    out.push_str(env.get(name).ok_or_else(|| name.to_owned())?);
                }
                rest = after;
            }
            None => {
                out.push_str(before);
                out.push_str("${");
                rest = &from[2..];
            }
        }
    }
    out.push_str(rest);
    Ok(Some(out))
}

/// The name in `${NAME}`: capital letters, digits and `_`, not starting with a digit.
fn variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${")?.split_once('}')?.0;
    let good = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    let bytes = name.as_bytes();
    (!bytes.is_empty() && !bytes[0].is_ascii_digit() && bytes.iter().all(good)).then_some(name)
}

/// Is the whole text one `${NAME}` or `$NAME`? Such a text is no secret itself.
pub fn is_placeholder(text: &str) -> bool {
    variable(text).is_some_and(|name| name.len() + 3 == text.len()) || Reference::short(text).is_some()
}

#[cfg(test)]
mod tests;
