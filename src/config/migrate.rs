//! Older spellings of the reference's keys, and what they are called now.
//!
//! A table and what it does to a text. Only `doctor --fix` writes what comes out of here; everybody else names the key in
//! a message. Invariants: a value that stands under the newer name already is never replaced; what has no place any more
//! is taken out, never guessed at; the rest of the text keeps every byte.

use serde_json::Value;

use super::edit;
use super::json5;
use super::keys::{self, Segment};

/// What became of a key. In `from`, `*` is any name and `[]` any item; in `to`, they are the same ones again.
struct Row {
    from: &'static str,
    to: Now,
}

enum Now {
    /// Called differently.
    Moved(&'static str),
    /// Without a place.
    Gone,
    /// The same key, another word.
    Word(&'static str, &'static str),
    /// A number of days is a text with its unit.
    Days(&'static str),
}

use Now::{Days, Gone, Moved, Word};

use crate::wire::tree::json;

const ROWS: &[Row] = &[
    row("agent", Moved("agents.defaults")),
    row("agents.defaults.embeddedPi", Moved("agents.defaults.embeddedAgent")),
    row("agents.defaults.llm", Gone),
    row("agents.defaults.memorySearch", Moved("memory.search")),
    row("agents.defaults.pdfMaxBytesMb", Moved("agents.defaults.pdfMaxMb")),
    row("agents.defaults.silentReplyRewrite", Gone),
    row("agents.defaults.systemPromptOverride", Gone),
    row("agents.entries.*.embeddedPi", Moved("agents.entries.*.embeddedAgent")),
    row("agents.entries.*.memorySearch", Moved("agents.entries.*.memory.search")),
    row("agents.entries.*.silentReplyRewrite", Gone),
    row("agents.entries.*.systemPromptOverride", Gone),
    row("agents.list[].memorySearch", Moved("agents.list[].memory.search")),
    row("agents.list[].silentReplyRewrite", Gone),
    row("agents.list[].systemPromptOverride", Gone),
    row("channels.webchat", Gone),
    row("commands.modelsWrite", Gone),
    row("diagnostics.memoryPressureBundle", Gone),
    row("diagnostics.memoryPressureSnapshot", Gone),
    row("gateway.bind", Word("0.0.0.0", "lan")),
    row("gateway.bind", Word("127.0.0.1", "loopback")),
    row("gateway.bind", Word("localhost", "loopback")),
    row("gateway.controlUi.chatMessageMaxWidth", Gone),
    row("gateway.nodes.allowCommands", Moved("gateway.nodes.commands.allow")),
    row("gateway.nodes.denyCommands", Moved("gateway.nodes.commands.deny")),
    row("gateway.tailscale.resetOnExit", Gone),
    row("gateway.token", Moved("gateway.auth.token")),
    row("gateway.webchat", Gone),
    row("memorySearch", Moved("memory.search")),
    row("messages.messagePrefix", Moved("messages.responsePrefix")),
    row("messages.tts", Moved("tts")),
    row("models.providers.*.api", Word("openai", "openai-completions")),
    row("routing.groupChat.historyLimit", Moved("messages.groupChat.historyLimit")),
    row("routing.groupChat.mentionPatterns", Moved("messages.groupChat.mentionPatterns")),
    row("session.idleMinutes", Moved("session.reset.idleMinutes")),
    row("session.maintenance.pruneDays", Days("session.maintenance.pruneAfter")),
    row("session.maintenance.rotateBytes", Gone),
    row("session.parentForkMaxTokens", Gone),
    row("session.resetByType.dm", Moved("session.resetByType.direct")),
    row("tools.exec.timeoutSec", Moved("tools.exec.timeoutSeconds")),
    row("tools.media.asyncCompletion", Gone),
    row("tools.message.allowCrossContextSend", Moved("tools.message.crossContext")),
    row("ui.assistant", Gone),
];

const fn row(from: &'static str, to: Now) -> Row {
    Row { from, to }
}

/// What an older key is called now, for a message: `session.reset.idleMinutes`, or nothing when it has no place.
pub fn renamed(path: &str) -> Option<Option<String>> {
    let steps = steps(&keys::split(path));
    ROWS.iter().find_map(|row| {
        let found = matching(row.from, &steps)?;
        match row.to {
            Moved(to) | Days(to) => Some(Some(filled(to, &found))),
            Gone => Some(None),
            Word(..) => None,
        }
    })
}

/// The text in the newer spelling and one sentence for each change; `None` when there is nothing to do.
pub fn migrate(text: &str) -> Option<(String, Vec<String>)> {
    let mut text = text.to_owned();
    let mut told = Vec::new();
    for row in ROWS {
        let Ok(parsed) = json5::parse(&text, 0) else { return None };
        let tree = parsed.root.to_value();
        let mut found = Vec::new();
        paths(&tree, row.from, &mut found);
        for path in found {
            if let Some((changed, sentence)) = one(&text, row, &path) {
                text = changed;
                told.push(sentence);
            }
        }
    }
    (!told.is_empty()).then_some((text, told))
}

fn one(text: &str, row: &Row, path: &str) -> Option<(String, String)> {
    let from = keys::split(path);
    let tree = json5::parse(text, 0).ok()?.root.to_value();
    let value = edit::at(&tree, &from)?.clone();
    if let Word(old, new) = row.to {
        let same = value == old;
        let changed = same.then(|| edit::set(text, &from, &new.into()).ok()).flatten()?;
        return Some((changed, format!("{path}: {old:?} is {new:?} now")));
    }
    let without = edit::unset(text, &from).ok()??;
    let (to, value) = match row.to {
        Moved(to) => (to, value),
        Days(to) => (to, value.as_f64().map_or(value, |days| json!(format!("{days}d")))),
        _ => return Some((without, format!("{path} has no place any more and was taken out"))),
    };
    let to = filled(to, &matching(row.from, &steps(&from))?);
    // What stands there already is what the operator wrote later.
    let mut wanted = value;
    if let Some(there) = edit::at(&tree, &keys::split(&to)) {
        match (there, &wanted) {
            (Value::Object(_), Value::Object(_)) => edit::merge(&mut wanted, there, "", &[]),
            _ => return Some((without, format!("{path} was taken out: {to} is set"))),
        }
    }
    let changed = edit::set(&without, &keys::split(&to), &wanted).ok()?;
    Some((changed, format!("{path} is called {to} now")))
}

/// Every path of a tree a pattern means.
fn paths(tree: &Value, pattern: &str, out: &mut Vec<String>) {
    let pattern: Vec<&str> = parts(pattern);
    below(tree, &pattern, "", out);

    fn below(tree: &Value, pattern: &[&str], path: &str, out: &mut Vec<String>) {
        match (pattern.split_first(), tree) {
            (None, _) => out.push(path.to_owned()),
            (Some((&"*", rest)), Value::Object(map)) => {
                map.iter().for_each(|(key, value)| below(value, rest, &keys::join(path, key), out));
            }
            (Some((&"[]", rest)), Value::Array(items)) => {
                items.iter().enumerate().for_each(|(at, item)| below(item, rest, &format!("{path}[{at}]"), out));
            }
            (Some((name, rest)), Value::Object(map)) => {
                if let Some(value) = map.get(*name) {
                    below(value, rest, &keys::join(path, name), out);
                }
            }
            _ => {}
        }
    }
}

fn parts(pattern: &str) -> Vec<&str> {
    pattern.split('.').flat_map(|part| part.strip_suffix("[]").map_or(vec![part], |name| vec![name, "[]"])).collect()
}

fn steps(path: &[Segment<'_>]) -> Vec<String> {
    path.iter()
        .map(|segment| match segment {
            Segment::Name(name) => (*name).to_owned(),
            Segment::Index(index) => format!("[{index}]"),
        })
        .collect()
}

/// What stands for the wildcards of a pattern that fits.
fn matching(pattern: &str, path: &[String]) -> Option<Vec<String>> {
    let pattern = parts(pattern);
    if pattern.len() != path.len() {
        return None;
    }
    let mut found = Vec::new();
    for (wanted, own) in pattern.iter().zip(path) {
        match *wanted {
            "*" => found.push(own.clone()),
            "[]" if own.starts_with('[') => found.push(own.clone()),
            name if name == own => {}
            _ => return None,
        }
    }
    Some(found)
}

fn filled(pattern: &str, found: &[String]) -> String {
    let mut found = found.iter();
    parts(pattern).iter().fold(String::new(), |path, part| match *part {
        "*" => keys::join(&path, found.next().map_or("*", String::as_str)),
        "[]" => format!("{path}{}", found.next().map_or("[]", String::as_str)),
        name => keys::join(&path, name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_lead_to_keys_that_are_known() {
        assert!(ROWS.is_sorted_by_key(|row| row.from));
        for row in ROWS {
            let (Moved(to) | Days(to)) = row.to else { continue };
            let known = parts(to)
                .iter()
                .try_fold(keys::reference(), |at, name| if at.open { Some(at) } else { at.children.get(name) });
            assert!(known.is_some(), "{to}");
        }
    }

    #[test]
    fn older_spellings_move_and_everything_else_stays() {
        let text = "{\n  // mine\n  session: { idleMinutes: 30, scope: 'global' }, // end\n  gateway: { bind: '0.0.0.0', token: 'x', webchat: {} },\n  agents: { entries: { a: { memorySearch: { provider: 'p' } } } },\n}\n";
        let (new, told) = migrate(text).unwrap();
        assert_eq!(told.len(), 5, "{told:?}");
        let tree = json5::parse(&new, 0).unwrap().root.to_value();
        assert_eq!(tree["session"], json!({"scope": "global", "reset": {"idleMinutes": 30}}));
        assert_eq!(tree["gateway"], json!({"bind": "lan", "auth": {"token": "x"}}));
        assert_eq!(tree["agents"]["entries"]["a"], json!({"memory": {"search": {"provider": "p"}}}));
        assert!(new.contains("// mine") && new.contains("// end"));
        assert!(migrate(&new).is_none(), "a second time there is nothing to do");
    }

    #[test]
    fn what_is_written_under_the_newer_name_stays() {
        let (new, told) = migrate("{session: {idleMinutes: 1, reset: {idleMinutes: 2}}, agent: {workspace: 'a'}, agents: {defaults: {workspace: 'b', cwd: 'c'}}}").unwrap();
        let tree = json5::parse(&new, 0).unwrap().root.to_value();
        assert_eq!(tree["session"]["reset"]["idleMinutes"], 2);
        assert_eq!(tree["agents"]["defaults"], json!({"workspace": "b", "cwd": "c"}));
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn a_message_can_name_the_newer_key() {
        assert_eq!(renamed("session.idleMinutes"), Some(Some("session.reset.idleMinutes".to_owned())));
        assert_eq!(renamed("agents.list[2].memorySearch"), Some(Some("agents.list[2].memory.search".to_owned())));
        assert_eq!(renamed("gateway.webchat"), Some(None));
        assert_eq!(renamed("gateway.port"), None);
    }
}
