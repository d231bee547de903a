//! The settings this gateway acts on: one row each, and everything else is derived from the rows.
//!
//! A row is path, type, default, what a change needs, and one sentence. In a path `*` stands for any key of a map and `[]`
//! for any item of a list. Validation, error texts, the nearest-key hint, redaction, reload classes and the manual come
//! from here. [`reference`] holds the names of all keys the reference product knows, so that a configuration written for
//! it is understood as such.
//!
//! Invariants (tested): sorted by path, unique, every row documented, no path is a prefix of a leaf of another type.

mod table;

use crate::sys::order;
use std::sync::OnceLock;

pub use table::KEYS;

/// One setting.
#[derive(Debug)]
pub struct Key {
    pub path: &'static str,
    pub kind: Kind,
    /// As it would be written in the manual; empty when unset is the default.
    pub default: &'static str,
    pub reload: Reload,
    pub doc: &'static str,
}

/// What a setting accepts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Bool,
    /// Whole number, both ends included.
    Int(i64, i64),
    /// Any finite number from here on.
    Number(f64),
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// A text that is never shown, or a reference to one.
    Secret,
    /// A reference to a secret that is kept elsewhere, and never the secret itself.
    Reference,
    /// A text, or an object whose keys have rows of their own.
    TextOrSection,
    /// A text, or `false`.
    TextOrFalse,
    /// Whatever is below belongs to somebody else.
    Any,
}

/// What a change of a setting needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reload {
    /// Nothing: a running gateway does not use it.
    Nothing,
    /// Taken over by the running gateway.
    Hot,
    /// A restart.
    Restart,
}

/// The rows as a tree, by path segment.
#[derive(Debug, Default)]
pub struct Names {
    pub children: Branches,
    pub key: Option<&'static Key>,
    /// Anything may stand below.
    pub open: bool,
    /// A secret here may be written as a reference.
    pub secret: bool,
    /// A key that must be written here.
    pub required: Option<&'static str>,
}

/// The names below one, sorted. Those of the reference are made from its text when somebody asks for them: it knows 4,500
/// names, and one configuration has business with fifty.
#[derive(Debug, Default)]
pub struct Branches {
    made: OnceLock<Vec<(&'static str, Names)>>,
    /// Lines of the reference that are not made yet, each with at least `depth` blanks.
    lines: &'static str,
    depth: usize,
}

impl Branches {
    pub fn get(&self, name: &str) -> Option<&Names> {
        let list = self.list();
        place(list, name).ok().map(|at| &list[at].1)
    }

    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub fn keys(&self) -> impl Iterator<Item = &&'static str> {
        self.list().iter().map(|(name, _)| name)
    }

    pub fn values(&self) -> impl Iterator<Item = &Names> {
        self.list().iter().map(|(_, names)| names)
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.made.get().is_none_or(Vec::is_empty)
    }

    fn list(&self) -> &[(&'static str, Names)] {
        self.made.get_or_init(|| named(self.lines, self.depth))
    }

    /// What stands below under a name, made now if there is nothing.
    fn under(&mut self, name: &'static str) -> &mut Names {
        self.list();
        let list = self.made.get_mut().expect("it was made just now");
        let at = place(list, name).unwrap_or_else(|at| {
            list.insert(at, (name, Names::default()));
            at
        });
        &mut list[at].1
    }
}

fn place(list: &[(&'static str, Names)], name: &str) -> Result<usize, usize> {
    list.binary_search_by(|(own, _)| (*own).cmp(name))
}

/// The names that stand at `depth` in these lines; what is below each is left as text.
fn named(lines: &'static str, depth: usize) -> Vec<(&'static str, Names)> {
    let indent = |line: &str| line.bytes().take_while(|byte| *byte == b' ').count();
    let mut list = Vec::new();
    let mut rest = lines;
    while let Some(line) = rest.lines().next() {
        let after = &rest[(line.len() + 1).min(rest.len())..];
        let below: usize = after.split_inclusive('\n').take_while(|line| indent(line) > depth).map(str::len).sum();
        let name = line.trim();
        let names = Names {
            children: Branches { lines: &after[..below], depth: depth + 1, ..Branches::default() },
            open: name.ends_with('~'),
            secret: name.ends_with('!'),
            ..Names::default()
        };
        list.push((name.trim_end_matches(['~', '!']), names));
        rest = &after[below..];
    }
    order::by_key(&mut list, |(name, _)| *name);
    list.shrink_to_fit();
    list
}

/// Keys without which what is around them means nothing.
const REQUIRED: &[&str] =
    &["agents.list[].id", "auth.profiles.*.provider", "models.providers.*.models[].id", "secrets.providers.*.source"];

/// Our rows as a tree.
pub fn ours() -> &'static Names {
    static TREE: OnceLock<Names> = OnceLock::new();
    TREE.get_or_init(|| {
        let mut root = Names::default();
        for key in KEYS {
            let mut at = &mut root;
            for segment in segments(key.path) {
                if REQUIRED.contains(&key.path) && key.path.ends_with(&format!(".{segment}")) {
                    at.required = Some(segment);
                }
                at = at.children.under(segment);
            }
            at.key = Some(key);
            at.open = key.kind == Kind::Any;
            at.secret = matches!(key.kind, Kind::Secret | Kind::Reference);
            if key.kind == Kind::Texts {
                at.children.under("[]");
            }
        }
        root
    })
}

/// All keys of the reference as a tree. One name per line, indented under its parent; `~` marks what is open below, `!`
/// a secret.
pub fn reference() -> &'static Names {
    static TREE: OnceLock<Names> = OnceLock::new();
    let lines = include_str!("../reference_keys.txt");
    TREE.get_or_init(|| Names { children: Branches { lines, ..Branches::default() }, ..Names::default() })
}

impl Names {
    /// What stands below under a name: the name itself, else the wildcard of a map.
    pub fn child(&self, name: &str) -> Option<&Names> {
        // A wildcard is a pattern, not a name anybody may write.
        self.children.get(name).filter(|_| name != "[]").or_else(|| self.children.get("*"))
    }

    /// What the items of a list are.
    pub fn item(&self) -> Option<&Names> {
        self.children.get("[]")
    }

    /// Names that may stand here, without wildcards.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.children.keys().copied().filter(|name| !matches!(*name, "*" | "[]"))
    }
}

/// The row of a written path such as `agents.list[0].model` or `models.providers.x.apiKey`; the nearest row above it when
/// the path itself has none.
pub fn find(path: &str) -> Option<&'static Key> {
    let mut at = ours();
    let mut best = None;
    for segment in split(path) {
        let next = match segment {
            Segment::Name(name) => at.child(name),
            Segment::Index(_) => at.item(),
        };
        let Some(next) = next else { break };
        at = next;
        best = at.key.or(best);
    }
    best
}

/// A step of a written path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment<'a> {
    Name(&'a str),
    Index(usize),
}

/// Takes a written path apart: `a.b[2].c`. `["a.b"]` quotes a name with dots in it.
pub fn split(path: &str) -> Vec<Segment<'_>> {
    let mut out = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some((name, after)) = rest.strip_prefix("[\"").and_then(|quoted| quoted.split_once("\"]")) {
            out.push(Segment::Name(name));
            rest = after.strip_prefix('.').unwrap_or(after);
            continue;
        }
        if let Some((index, after)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            out.push(index.parse().map_or(Segment::Name(index), Segment::Index));
            rest = after.strip_prefix('.').unwrap_or(after);
            continue;
        }
        let end = rest.find(['.', '[']).filter(|end| *end > 0).unwrap_or(rest.len());
        out.push(Segment::Name(&rest[..end]));
        rest = &rest[end..];
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    out
}

/// The path of something below `parent`.
pub fn join(parent: &str, name: &str) -> String {
    let name =
        if name.is_empty() || name.contains(['.', '[', ']', '"']) { format!("[\"{name}\"]") } else { name.to_owned() };
    if parent.is_empty() || name.starts_with('[') { format!("{parent}{name}") } else { format!("{parent}.{name}") }
}

/// Segments of a row's path: `a.list[].b` is `a`, `list`, `[]`, `b`.
fn segments(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('.').flat_map(|part| match part.strip_suffix("[]") {
        Some(name) => vec![name, "[]"],
        None => vec![part],
    })
}

#[cfg(test)]
mod manual;
#[cfg(test)]
mod tests;
