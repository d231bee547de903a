//! The sections of messengers as `config.schema.lookup` shows them, from the same words as the checks.

use serde_json::Value;

use super::account::SHARED_KEYS;
use super::{CHANNELS, ChannelSpec};
use crate::wire::tree::json;

/// `channels`, `channels.<id>` or a key of it; `None` for anything else. What an account cannot do without is `required`
/// and comes first.
pub fn lookup(path: &str) -> Option<Value> {
    let mut names = path.split('.');
    if names.next() != Some("channels") {
        return None;
    }
    let Some(id) = names.next() else {
        let children = CHANNELS.iter().map(|spec| child(spec.id, path, spec.label, "", false, false, true));
        return Some(answer(path, "Messengers, one section each.", children.collect()));
    };
    let spec = super::find(id)?;
    match (names.next(), names.next()) {
        (None, _) => Some(answer(path, spec.label, children(spec, path))),
        (Some(key), None) => {
            let row = all(spec).find(|(own, _)| *own == key)?;
            Some(answer(path, row.1, Vec::new()))
        }
        _ => None,
    }
}

fn all(spec: &'static ChannelSpec) -> impl Iterator<Item = (&'static str, &'static str)> {
    spec.keys.iter().chain(SHARED_KEYS).copied()
}

fn children(spec: &'static ChannelSpec, path: &str) -> Vec<Value> {
    let setup = |key: &str| spec.setup.iter().find(|(_, own, _)| *own == key);
    // A file is another place for the same.
    let needed = |key: &str| setup(key).is_some() && !key.ends_with("File");
    let row = |(key, help): (&str, &str)| {
        let secret = setup(key).is_some_and(|(_, _, secret)| *secret);
        child(key, path, key, help, needed(key), secret, false)
    };
    let first = spec.setup.iter().filter_map(|(_, own, _)| all(spec).find(|(key, _)| key == own));
    let rest = all(spec).filter(|(key, _)| setup(key).is_none());
    first.chain(rest).map(row).collect()
}

fn child(key: &str, above: &str, label: &str, help: &str, required: bool, secret: bool, section: bool) -> Value {
    let path = format!("{above}.{key}");
    let mut hint = json!({"label": label, "help": help, "advanced": false});
    if secret {
        hint["sensitive"] = true.into();
    }
    json!({"key": key, "path": path, "required": required, "hasChildren": section, "reloadKind": "hot", "hint": hint,
           "hintPath": path})
}

fn answer(path: &str, about: &str, children: Vec<Value>) -> Value {
    json!({"path": path, "schema": {"description": about}, "reloadKind": "hot", "hint": {"help": about, "advanced": false},
           "hintPath": path, "children": children})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_messenger_says_what_it_cannot_do_without() {
        let section = lookup("channels").expect("the section");
        let ids: Vec<&str> =
            section["children"].as_array().expect("rows").iter().map(|c| c["key"].as_str().unwrap()).collect();
        assert_eq!(ids, CHANNELS.iter().map(|spec| spec.id).collect::<Vec<_>>());
        for spec in CHANNELS {
            let one = lookup(&format!("channels.{}", spec.id)).expect("known");
            let rows = one["children"].as_array().expect("rows");
            assert!(rows[0]["required"] == true, "{}", spec.id);
            assert_eq!(rows.len(), spec.keys.len() + SHARED_KEYS.len());
            assert!(rows.iter().all(|row| row["hint"]["help"].as_str().is_some_and(|help| !help.is_empty())));
        }
        let token = lookup("channels.telegram.botToken").expect("a key");
        assert_eq!(token["path"], "channels.telegram.botToken");
        assert!(lookup("channels.pigeon").is_none() && lookup("gateway").is_none());
        assert!(lookup("channels.telegram.botToken.more").is_none());
    }
}
