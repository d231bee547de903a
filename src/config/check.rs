//! Compares a tree with the key tables and says everything that is wrong with it.
//!
//! Nothing is changed or decoded here. Texts follow the reference, because people search for them; values of secrets are
//! never part of a text.

use super::json5::{Kind as Is, Node, Number, Place};
use super::keys::{self, Kind, Names};
use super::migrate;
use super::secrets::reference::Reference;
use crate::sys::order;

/// Ends the message about a key that has another name now.
pub const OLDER: &str = "openclaw doctor --fix moves it";

/// At most this many neighbours are named when a key is not recognised.
const NAMED: usize = 14;

/// Something wrong with the configuration. `path` is empty for the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub at: Place,
    pub path: String,
    pub message: String,
}

/// What a check found.
#[derive(Debug, Default)]
pub struct Findings {
    pub problems: Vec<Problem>,
    /// Keys of the reference that this gateway does not act on, topmost first.
    pub ignored: Vec<String>,
}

/// Checks a whole tree.
pub fn check(root: &Node) -> Findings {
    let mut findings = Findings::default();
    match &root.kind {
        Is::Object(_) => findings.node(root, "", Known { ours: Some(keys::ours()), theirs: Some(keys::reference()) }),
        _ => findings.problem(root.at, "", format!("Invalid input: expected object, received {}", received(root))),
    }
    order::by_key(&mut findings.problems, |problem| problem.at);
    findings
}

/// What is known about a place in the tree.
#[derive(Clone, Copy)]
struct Known<'a> {
    ours: Option<&'a Names>,
    theirs: Option<&'a Names>,
}

impl Findings {
    fn node(&mut self, node: &Node, path: &str, known: Known) {
        if let Some(key) = known.ours.and_then(|names| names.key) {
            self.leaf(node, path, key.kind, known);
            return;
        }
        let open = known.ours.is_none() && known.theirs.is_some_and(|names| names.open || names.secret);
        if open {
            return;
        }
        match &node.kind {
            Is::Object(_) => self.section(node, path, known),
            Is::Array(items) => {
                let inner =
                    Known { ours: known.ours.and_then(Names::item), theirs: known.theirs.and_then(Names::item) };
                if let (Some(ours), None) = (known.ours, inner.ours) {
                    let wanted = if ours.children.is_empty() { "value" } else { "object" };
                    self.problem(node.at, path, format!("Invalid input: expected {wanted}, received array"));
                } else if inner.theirs.is_some() || inner.ours.is_some() {
                    for (index, item) in items.iter().enumerate() {
                        self.node(item, &format!("{path}[{index}]"), inner);
                    }
                }
            }
            _ => {
                if let Some(ours) = known.ours.filter(|ours| !ours.children.is_empty()) {
                    let wanted = if ours.item().is_some() { "array" } else { "object" };
                    self.expected(node, path, wanted);
                }
            }
        }
    }

    fn section(&mut self, node: &Node, path: &str, known: Known) {
        let Is::Object(entries) = &node.kind else { return };
        if known.ours.is_some_and(|names| names.item().is_some()) {
            self.expected(node, path, "array");
            return;
        }
        let required = known.ours.and_then(|names| names.required);
        if let Some(name) = required.filter(|name| node.get(name).is_none()) {
            let here = keys::join(path, name);
            self.problem(node.at, &here, "Invalid input: expected string, received undefined".to_owned());
        }
        for entry in entries {
            let here = keys::join(path, &entry.key);
            let ours = known.ours.and_then(|names| names.child(&entry.key));
            let theirs = known.theirs.and_then(|names| names.child(&entry.key));
            match (ours, theirs) {
                (None, None) => {
                    // A place of which the reference only knows that it exists says nothing about what is in it.
                    let blank = known.ours.is_none() && known.theirs.is_none_or(|names| names.children.is_empty());
                    if !blank {
                        self.problem(entry.at, path, unrecognized(&entry.key, &here, known));
                    }
                }
                (None, Some(_)) => {
                    if known.ours.is_some() {
                        self.ignored.push(here.clone());
                    }
                    self.node(&entry.value, &here, Known { ours: None, theirs });
                }
                (Some(_), _) => self.node(&entry.value, &here, Known { ours, theirs }),
            }
        }
    }

    fn leaf(&mut self, node: &Node, path: &str, kind: Kind, known: Known) {
        match (kind, &node.kind) {
            (Kind::Any, _)
            | (Kind::Bool, Is::Bool(_))
            | (Kind::Text | Kind::TextOrFalse | Kind::TextOrSection, Is::String(_))
            | (Kind::TextOrFalse, Is::Bool(false)) => {}
            (Kind::Bool, _) => self.expected(node, path, "boolean"),
            (Kind::Int(from, to), Is::Number(number)) => self.whole(node, path, number, from, to),
            (Kind::Number(from), Is::Number(number)) => {
                if number.as_f64().is_none_or(|value| value < from) {
                    self.problem(node.at, path, format!("Too small: expected number to be >={from}, got: {number}"));
                }
            }
            (Kind::Int(..) | Kind::Number(_), _) => self.expected(node, path, "number"),
            (Kind::Text, _) => self.expected(node, path, "string"),
            (Kind::TextOrFalse, _) => self.expected(node, path, "string or false"),
            (Kind::Choice(words), Is::String(word)) if words.contains(&word.as_str()) => {}
            (Kind::Choice(words), _) => {
                let allowed: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                let got = got(node).map(|got| format!(", got: {got}")).unwrap_or_default();
                self.problem(node.at, path, format!("Invalid input (allowed: {}){got}", allowed.join(", ")));
            }
            (Kind::Texts, Is::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    if item.as_str().is_none() {
                        self.expected(item, &format!("{path}[{index}]"), "string");
                    }
                }
            }
            (Kind::Texts, _) => self.expected(node, path, "array"),
            (Kind::TextOrSection, Is::Object(_)) => self.section(node, path, known),
            (Kind::TextOrSection, _) => self.expected(node, path, "string or object"),
            (Kind::Secret | Kind::Reference, Is::String(_)) => {}
            (Kind::Secret | Kind::Reference, _) if Reference::of(node).is_some() => {}
            (Kind::Secret | Kind::Reference, _) => {
                let wanted = "a string or {source, provider, id}";
                self.problem(node.at, path, format!("Invalid input: expected {wanted}, received {}", received(node)));
            }
        }
    }

    fn whole(&mut self, node: &Node, path: &str, number: &Number, from: i64, to: i64) {
        let message = match number.as_i64() {
            Some(value) if (from..=to).contains(&value) => return,
            Some(value) if value < from => {
                format!("Too small: expected number to be >={from} (minimum: {from}), got: {number}")
            }
            None if number.as_f64().is_some_and(|value| value.fract() != 0.0) => {
                format!("Invalid input: expected a whole number, got: {number}")
            }
            None if number.as_f64().is_some_and(|value| value < 0.0) => {
                format!("Too small: expected number to be >={from} (minimum: {from}), got: {number}")
            }
            _ => format!("Too big: expected number to be <={to} (maximum: {to}), got: {number}"),
        };
        self.problem(node.at, path, message);
    }

    fn expected(&mut self, node: &Node, path: &str, wanted: &str) {
        self.problem(node.at, path, format!("Invalid input: expected {wanted}, received {}", received(node)));
    }

    fn problem(&mut self, at: Place, path: &str, message: String) {
        self.problems.push(Problem { at, path: path.to_owned(), message });
    }
}

/// The reference's words for what was found.
fn received(node: &Node) -> &'static str {
    match &node.kind {
        Is::Null => "null",
        Is::Bool(_) => "boolean",
        Is::Number(_) => "number",
        Is::NotFinite(name) => name,
        Is::String(_) => "string",
        Is::Array(_) => "array",
        Is::Object(_) => "object",
    }
}

/// A value short enough to be shown.
fn got(node: &Node) -> Option<String> {
    match &node.kind {
        Is::String(text) => Some(format!("{:?}", text.chars().take(40).collect::<String>())),
        Is::Number(number) => Some(number.to_string()),
        Is::Bool(value) => Some(value.to_string()),
        Is::Null => Some("null".to_owned()),
        _ => None,
    }
}

/// `Unrecognized key: "prot"`, the nearest known one, and what may stand here.
fn unrecognized(name: &str, here: &str, known: Known) -> String {
    let mut message = format!("Unrecognized key: {name:?}");
    match migrate::renamed(here) {
        Some(Some(now)) => return format!("{message} (it is called {now} now; {OLDER})"),
        Some(None) => return format!("{message} (it has no place any more; {OLDER})"),
        None => {}
    }
    let ours: Vec<&str> = known.ours.map(|names| names.names().collect()).unwrap_or_default();
    let theirs: Vec<&str> = known.theirs.map(|names| names.names().collect()).unwrap_or_default();
    if let Some(near) = nearest(name, ours.iter().chain(&theirs).copied()) {
        message.push_str(&format!(" (did you mean {near:?}?)"));
    } else if let Some(path) = elsewhere(name) {
        message.push_str(&format!(" (did you mean {path}?)"));
    }
    let allowed = if ours.is_empty() { theirs } else { ours };
    if !allowed.is_empty() {
        let more = if allowed.len() > NAMED { ", ..." } else { "" };
        let shown: Vec<&str> = allowed.into_iter().take(NAMED).collect();
        message.push_str(&format!("; allowed here: {}{more}", shown.join(", ")));
    }
    message
}

/// The candidate with the fewest typing mistakes between, if it is few enough to be one.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = ((name.chars().count() + 1) / 3).max(1);
    let scored = candidates.map(|candidate| (distance(&name.to_lowercase(), &candidate.to_lowercase()), candidate));
    scored.filter(|(score, _)| *score <= limit).min_by_key(|(score, _)| *score).map(|(_, candidate)| candidate)
}

/// A row with exactly this name in another section, if there is just one.
fn elsewhere(name: &str) -> Option<&'static str> {
    let mut found = keys::KEYS.iter().map(|key| key.path).filter(|path| path.rsplit('.').next() == Some(name));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Edits between two words; two swapped neighbours are one edit. Long words are not compared: a key of a megabyte must
/// not cost its square.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().max(b.len()) > 64 {
        return usize::MAX;
    }
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let substitution = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substitution.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::json5;

    fn found(text: &str) -> Vec<String> {
        let findings = check(&json5::parse(text, 0).unwrap().root);
        let lines = findings.problems.iter();
        lines.map(|p| format!("{}:{} {}: {}", p.at.line, p.at.column, p.path, p.message)).collect()
    }

    #[test]
    fn wrong_types_are_named_with_what_was_expected_and_found() {
        let table = [
            ("{gateway: {port: 'x'}}", "1:18 gateway.port: Invalid input: expected number, received string"),
            (
                "{gateway: {port: 70000}}",
                "1:18 gateway.port: Too big: expected number to be <=65535 (maximum: 65535), got: 70000",
            ),
            ("{gateway: {port: 0}}", "1:18 gateway.port: Too small: expected number to be >=1 (minimum: 1), got: 0"),
            ("{gateway: {port: 80.5}}", "1:18 gateway.port: Invalid input: expected a whole number, got: 80.5"),
            ("{gateway: {port: null}}", "1:18 gateway.port: Invalid input: expected number, received null"),
            ("{gateway: {port: Infinity}}", "1:18 gateway.port: Invalid input: expected number, received Infinity"),
            (
                "{gateway: {mode: 'locl'}}",
                "1:18 gateway.mode: Invalid input (allowed: \"local\", \"remote\"), got: \"locl\"",
            ),
            ("{gateway: 5}", "1:11 gateway: Invalid input: expected object, received number"),
            ("{gateway: []}", "1:11 gateway: Invalid input: expected object, received array"),
            ("{agents: {list: {}}}", "1:17 agents.list: Invalid input: expected array, received object"),
            (
                "{gateway: {trustedProxies: 'x'}}",
                "1:28 gateway.trustedProxies: Invalid input: expected array, received string",
            ),
            (
                "{gateway: {trustedProxies: ['x', 1]}}",
                "1:34 gateway.trustedProxies[1]: Invalid input: expected string, received number",
            ),
            (
                "{tools: {fs: {workspaceOnly: 'yes'}}}",
                "1:30 tools.fs.workspaceOnly: Invalid input: expected boolean, received string",
            ),
            ("{agents: {list: [{}]}}", "1:18 agents.list[0].id: Invalid input: expected string, received undefined"),
            ("[]", "1:1 : Invalid input: expected object, received array"),
            (
                "{agents: {defaults: {model: 5}}}",
                "1:29 agents.defaults.model: Invalid input: expected string or object, received number",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(found(text), [expected], "{text}");
        }
    }

    #[test]
    fn a_secret_of_the_wrong_type_is_not_shown() {
        let lines = found("{gateway: {auth: {token: 123456, password: ['hunter2']}}}");
        assert_eq!(lines.len(), 2);
        assert!(!lines.concat().contains("123456") && !lines.concat().contains("hunter2"));
    }

    #[test]
    fn unknown_keys_name_the_nearest_and_the_allowed_ones() {
        let lines = found(
            "{\n gateway: {\n  prot: 1,\n reload: {modus: 1}},\n wibble: 1, agents: {entries: {b: {nmae: 'x'}}}}",
        );
        assert!(
            lines[0].starts_with("3:3 gateway: Unrecognized key: \"prot\" (did you mean \"port\"?); allowed here: ")
        );
        assert_eq!(
            lines[1],
            "4:11 gateway.reload: Unrecognized key: \"modus\" (did you mean \"mode\"?); allowed here: debounceMs, mode"
        );
        assert!(lines[2].starts_with(
            "5:2 : Unrecognized key: \"wibble\"; allowed here: $schema, accessGroups, agents, approvals, auth, bindings"
        ));
        assert!(lines[3].starts_with("5:36 agents.entries.b: Unrecognized key: \"nmae\" (did you mean \"name\"?)"));
    }

    #[test]
    fn a_key_of_another_section_is_pointed_out() {
        let lines = found("{customBindHost: 'x'}");
        assert!(lines[0].contains("(did you mean gateway.customBindHost?)"), "{lines:?}");
    }

    #[test]
    fn keys_of_the_reference_are_collected_and_still_checked_for_names() {
        let text = "{browser: {enabled: true}, gateway: {tailscale: {mode: 'off'}}, wizard: {wibble: 1}}";
        let findings = check(&json5::parse(text, 0).unwrap().root);
        assert_eq!(findings.ignored, ["browser", "gateway.tailscale", "wizard"]);
        assert_eq!(findings.problems.len(), 1);
        assert!(findings.problems[0].message.starts_with("Unrecognized key: \"wibble\""));
    }

    #[test]
    fn open_sections_accept_anything() {
        let text = "{channels: {x: {y: [1, {z: null}]}}, plugins: {entries: {p: {config: {a: 1}}}}, meta: {b: 2},
                     models: {providers: {x: {params: {deep: [1]}, headers: {'X-A': 'b'}}}}}";
        assert_eq!(found(text), [""; 0]);
    }

    #[test]
    fn secrets_may_be_references() {
        assert_eq!(found("{gateway: {auth: {token: {source: 'env', provider: 'default', id: 'X'}}}}"), [""; 0]);
        assert_eq!(found("{gateway: {auth: {token: {source: 'nowhere', id: 'X'}}}}").len(), 1);
    }

    #[test]
    fn a_megabyte_of_key_is_no_trouble() {
        let name = "x".repeat(1 << 20);
        assert_eq!(found(&format!("{{gateway: {{{name}: 1}}}}")).len(), 1);
    }
}
