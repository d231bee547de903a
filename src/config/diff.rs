//! What changed between two configurations, and what each change needs.
//!
//! Lists are compared as a whole: the path of a change is that of the list. Order of keys, comments and spelling of the
//! file play no part, because trees are compared and not texts.

use serde_json::{Map, Value};

use super::Config;
use super::keys::{self, Reload};
use crate::sys::order;

/// One changed key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub path: String,
    pub reload: Reload,
}

/// Everything that differs, in the order of the keys. Empty when only the writing differs.
pub fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let mut paths = Vec::new();
    compare(&old.tree, &new.tree, "", &mut paths);
    paths.into_iter().map(|path| Change { reload: reload_of(&path), path }).collect()
}

/// What a change of a key needs: what its row says; nothing when this gateway does not act on it.
pub fn reload_of(path: &str) -> Reload {
    keys::find(path).map_or(Reload::Nothing, |key| key.reload)
}

/// Whether something that differs between two texts came out differently in the tree they were loaded into: an included
/// file has a say there.
pub fn overlaid(old: &Value, new: &Value, loaded: &Value) -> bool {
    let mut paths = Vec::new();
    compare(old, new, "", &mut paths);
    let value = |tree, path: &str| super::edit::at(tree, &keys::split(path)).cloned();
    paths.iter().any(|path| {
        let (wanted, got) = (value(new, path), value(loaded, path));
        // Substitution and secrets are meant to come out differently.
        let resolved = wanted.as_ref().is_some_and(|wanted| {
            let text = wanted.to_string();
            text.contains("${") || text.contains("\"source\"")
        });
        wanted != got && !resolved
    })
}

fn compare(old: &Value, new: &Value, path: &str, out: &mut Vec<String>) {
    static EMPTY: Value = Value::Null;
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => each_key(old, new, path, out),
        // A section that comes or goes is the coming or going of its keys.
        (Value::Object(old), Value::Null) if !old.is_empty() => each_key(old, &Map::new(), path, out),
        (Value::Null, Value::Object(new)) if !new.is_empty() => each_key(&Map::new(), new, path, out),
        (Value::Object(only), Value::Null) | (Value::Null, Value::Object(only)) if only.is_empty() => {}
        (old, new) if old == new => {}
        _ => out.push(path.to_owned()),
    }

    fn each_key(old: &Map<String, Value>, new: &Map<String, Value>, path: &str, out: &mut Vec<String>) {
        let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
        order::sort(&mut names);
        names.dedup();
        for name in names {
            let here = keys::join(path, name);
            compare(old.get(name).unwrap_or(&EMPTY), new.get(name).unwrap_or(&EMPTY), &here, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changed(old: Value, new: Value) -> Vec<(String, Reload)> {
        let config = |value| Config::from_value(value).unwrap();
        changes(&config(old), &config(new)).into_iter().map(|change| (change.path, change.reload)).collect()
    }

    #[test]
    fn every_changed_leaf_is_named_with_what_it_needs() {
        let old = json!({"gateway": {"port": 1, "auth": {"token": "a"}}, "logging": {"level": "info"}});
        let new = json!({"gateway": {"port": 2, "auth": {"token": "b"}}, "tools": {"deny": ["exec"]}});
        assert_eq!(
            changed(old, new),
            [
                ("gateway.auth.token".to_owned(), Reload::Hot),
                ("gateway.port".to_owned(), Reload::Restart),
                ("logging.level".to_owned(), Reload::Hot),
                ("tools.deny".to_owned(), Reload::Hot),
            ]
        );
    }

    #[test]
    fn stamps_and_unused_keys_need_nothing() {
        let old = json!({"meta": {"lastTouchedAt": "x"}, "browser": {"enabled": true}});
        let new = json!({"meta": {"lastTouchedAt": "y"}, "browser": {"enabled": false}});
        assert!(changed(old, new).iter().all(|(_, reload)| *reload == Reload::Nothing));
    }

    #[test]
    fn the_order_of_keys_and_empty_sections_are_no_change() {
        assert_eq!(changed(json!({"gateway": {"port": 1}, "tools": {}}), json!({"gateway": {"port": 1}})), []);
    }

    #[test]
    fn a_key_below_an_open_section_keeps_its_own_path() {
        let got = changed(json!({"channels": {"a": {"x": 1}}}), json!({"channels": {"a": {"x": 2}, "b": {"y": 1}}}));
        assert_eq!(got, [("channels.a.x".to_owned(), Reload::Hot), ("channels.b.y".to_owned(), Reload::Hot)]);
    }
}
