//! `$include`: a configuration in several files.
//!
//! `{ $include: "./a.json5" }` is replaced by the file, `{ $include: ["./a", "./b"] }` by the files merged in order; keys
//! beside it win over what was included. Paths count from the including file and must stay inside the directory of the
//! main file, or inside one of the directories in `OPENCLAW_INCLUDE_ROOTS`, after following links.
//!
//! Invariants: at most [`MAX_DEPTH`] files deep, [`MAX_FILES`] files in all, [`MAX_INCLUDED`] bytes each, no circles.

use std::path::{Path, PathBuf};

use super::check::Problem;
use super::json5::{self, Entry, Kind, Node, Place};
use super::keys;
use crate::sys::files;
use crate::sys::paths::clean;

/// As deep as the reference goes.
pub const MAX_DEPTH: usize = 10;

/// One include per setting is more than anybody writes; without a bound ten levels of lists would be exponential.
pub const MAX_FILES: usize = 256;

/// As large as the reference reads.
pub const MAX_INCLUDED: u64 = 2 << 20;

/// Longest path, as the reference has it.
const MAX_PATH: usize = 4096;

/// The files read, main file first, and what was wrong with them.
pub struct Included {
    pub files: Vec<PathBuf>,
    pub problems: Vec<Problem>,
    pub duplicates: Vec<(String, Place)>,
}

/// Replaces every `$include` below `root`, which was read from `main`. `roots` are further directories to allow.
pub fn expand(root: &mut Node, main: &Path, roots: Vec<PathBuf>) -> Included {
    let base = main.parent().unwrap_or(Path::new("/")).to_path_buf();
    let roots = std::iter::once(base).chain(roots);
    let roots = roots.map(|root| root.canonicalize().unwrap_or(root)).collect();
    let included = Included { files: vec![main.to_path_buf()], problems: Vec::new(), duplicates: Vec::new() };
    let mut work = Work { roots, included };
    let mut open = vec![main.canonicalize().unwrap_or_else(|_| main.to_path_buf())];
    work.node(root, "", &mut open);
    work.included
}

struct Work {
    roots: Vec<PathBuf>,
    included: Included,
}

impl Work {
    /// `open` are the files being read, outermost first.
    fn node(&mut self, node: &mut Node, path: &str, open: &mut Vec<PathBuf>) {
        match &mut node.kind {
            Kind::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.node(item, &format!("{path}[{index}]"), open);
                }
            }
            Kind::Object(entries) => {
                for entry in entries.iter_mut().filter(|entry| entry.key != "$include") {
                    self.node(&mut entry.value, &keys::join(path, &entry.key), open);
                }
                if let Some(position) = entries.iter().position(|entry| entry.key == "$include") {
                    let include = entries.remove(position);
                    let siblings = std::mem::take(entries);
                    node.kind = self.included(include, siblings, node.at, path, open);
                }
            }
            _ => {}
        }
    }

    fn included(
        &mut self,
        include: Entry,
        siblings: Vec<Entry>,
        at: Place,
        path: &str,
        open: &mut Vec<PathBuf>,
    ) -> Kind {
        let names: Vec<&Node> = match &include.value.kind {
            Kind::String(_) => vec![&include.value],
            Kind::Array(items) => items.iter().collect(),
            _ => vec![&include.value],
        };
        let mut merged = Node { kind: Kind::Object(Vec::new()), at, span: (0, 0) };
        for name in names {
            let Some(text) = name.as_str() else {
                self.problem(name.at, path, "$include expects a path or a list of paths");
                continue;
            };
            match self.read(text, path, open) {
                Ok(node) => merge(&mut merged, node),
                Err(message) => self.problem(name.at, path, &format!("$include {text:?}: {message}")),
            }
        }
        if !siblings.is_empty() {
            if !matches!(merged.kind, Kind::Object(_)) {
                self.problem(include.at, path, "keys beside $include need an included object");
                return merged.kind;
            }
            merge(&mut merged, Node { kind: Kind::Object(siblings), at, span: (0, 0) });
        }
        merged.kind
    }

    fn read(&mut self, text: &str, path: &str, open: &mut Vec<PathBuf>) -> Result<Node, String> {
        if text.is_empty() || text.len() >= MAX_PATH || text.contains('\0') {
            return Err(format!("not a path of 1 to {} characters", MAX_PATH - 1));
        }
        if open.len() > MAX_DEPTH {
            return Err(format!("nested more than {MAX_DEPTH} files deep"));
        }
        if self.included.files.len() >= MAX_FILES {
            return Err(format!("more than {MAX_FILES} files"));
        }
        let from = open.last().and_then(|file| file.parent()).unwrap_or(Path::new("/"));
        let wanted = clean(&from.join(text));
        let real = wanted.canonicalize().map_err(|error| error.to_string())?;
        if !self.roots.iter().any(|root| real.starts_with(root)) {
            return Err("outside the configuration directory (see OPENCLAW_INCLUDE_ROOTS)".to_owned());
        }
        if open.contains(&real) {
            return Err("includes itself".to_owned());
        }
        let bytes = files::read_capped(&real, MAX_INCLUDED).map_err(|error| error.to_string())?;
        let content = String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
        let file = u16::try_from(self.included.files.len()).unwrap_or(u16::MAX);
        self.included.files.push(real.clone());
        let parsed = json5::parse(&content, file).map_err(|error| format!("JSON5 parse failed: {error}"))?;
        self.included.duplicates.extend(parsed.duplicates);
        let mut node = parsed.root;
        open.push(real);
        self.node(&mut node, path, open);
        open.pop();
        Ok(node)
    }

    fn problem(&mut self, at: Place, path: &str, message: &str) {
        self.included.problems.push(Problem { at, path: path.to_owned(), message: message.to_owned() });
    }
}

/// Lays `over` on `under`: objects key by key, lists one after the other, everything else is replaced.
fn merge(under: &mut Node, over: Node) {
    match (&mut under.kind, over.kind) {
        (Kind::Object(old), Kind::Object(new)) => {
            under.at = over.at;
            for entry in new {
                match old.iter_mut().find(|other| other.key == entry.key) {
                    Some(other) => merge(&mut other.value, entry.value),
                    None => old.push(entry),
                }
            }
        }
        (Kind::Array(old), Kind::Array(new)) => old.extend(new),
        (kind, new) => {
            *kind = new;
            under.at = over.at;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;

    /// Writes files into a directory, reads `main` and answers the tree and the problems as text.
    fn expanded(files: &[(&str, &str)]) -> (Value, Vec<String>) {
        let dir = crate::sys::scratch::dir("include");
        for (name, text) in files {
            fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
            fs::write(dir.join(name), text).unwrap();
        }
        let main = dir.join("main");
        let mut root = json5::parse(&fs::read_to_string(&main).unwrap(), 0).unwrap().root;
        let included = expand(&mut root, &main, Vec::new());
        let problems =
            included.problems.iter().map(|p| format!("{}:{} {}: {}", p.at.file, p.at.line, p.path, p.message));
        (root.to_value(), problems.collect())
    }

    #[test]
    fn a_file_replaces_the_object_and_siblings_win() {
        let (value, problems) = expanded(&[
            ("main", "{a: {$include: './sub/a.json5', y: 2}, b: 1}"),
            ("sub/a.json5", "{x: 1, y: 1, deep: {$include: 'b.json5'}}"),
            ("sub/b.json5", "[1, 2]"),
        ]);
        assert_eq!(problems, [""; 0]);
        assert_eq!(value, json!({"a": {"x": 1, "y": 2, "deep": [1, 2]}, "b": 1}));
    }

    #[test]
    fn several_files_are_merged_in_order() {
        let (value, _) = expanded(&[
            ("main", "{$include: ['a', 'b']}"),
            ("a", "{m: {x: 1, y: 1}, l: [1]}"),
            ("b", "{m: {y: 2}, l: [2]}"),
        ]);
        assert_eq!(value, json!({"m": {"x": 1, "y": 2}, "l": [1, 2]}));
    }

    #[test]
    fn circles_missing_files_and_ways_out_are_refused() {
        let (_, problems) = expanded(&[
            (
                "main",
                "{a: {$include: 'a'},\n b: {$include: 'nope'},\n c: {$include: '/etc/hostname'},\n d: {$include: 5},\n e: {$include: 'bad'}}",
            ),
            ("a", "{x: {$include: 'main'}}"),
            ("bad", "{"),
        ]);
        assert_eq!(problems.len(), 5, "{problems:#?}");
        assert_eq!(problems[0], "1:1 a.x: $include \"main\": includes itself");
        assert!(problems[1].starts_with("0:2 b: $include \"nope\": "));
        assert!(problems[2].contains("outside the configuration directory"));
        assert_eq!(problems[3], "0:4 d: $include expects a path or a list of paths");
        assert!(problems[4].contains("JSON5 parse failed: 1:2:"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_out_is_not_followed() {
        let outside = crate::sys::scratch::dir("include-outside").join("f");
        fs::write(&outside, "{secret: 1}").unwrap();
        let dir = crate::sys::scratch::dir("include-link");
        std::os::unix::fs::symlink(&outside, dir.join("link")).unwrap();
        let main = dir.join("main");
        fs::write(&main, "{$include: 'link'}").unwrap();
        let mut root = json5::parse("{$include: 'link'}", 0).unwrap().root;
        let refused = expand(&mut root, &main, Vec::new());
        assert_eq!(refused.problems.len(), 1);
        let mut root = json5::parse("{$include: 'link'}", 0).unwrap().root;
        let allowed = expand(&mut root, &main, vec![outside.parent().unwrap().to_path_buf()]);
        assert_eq!((allowed.problems.len(), root.to_value()), (0, json!({"secret": 1})));
    }

    #[test]
    fn files_nested_too_deep_or_too_many_are_refused() {
        let chain: Vec<(String, String)> =
            (0..12).map(|n| (format!("f{n}"), format!("{{$include: 'f{}'}}", n + 1))).collect();
        let mut files: Vec<(&str, &str)> = chain.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        files.push(("main", "{$include: 'f0'}"));
        let (_, problems) = expanded(&files);
        assert!(problems[0].contains("nested more than 10 files deep"), "{problems:?}");

        let many = format!("{{$include: [{}]}}", "'leaf',".repeat(300));
        let (_, problems) = expanded(&[("main", &many), ("leaf", "{}")]);
        assert!(problems[0].contains("more than 256 files"));
        assert_eq!(problems.len(), 300 - 255);
    }
}
