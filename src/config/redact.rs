//! Shows a configuration without its secrets.
//!
//! A secret is what the key table calls one, and, in sections whose keys belong to somebody else, whatever sits under a
//! name that sounds like one. `${NAME}` and references are left as they are: they say where a secret is, not what it is.
//!
//! Invariant: a text that cannot be parsed is not shown at all.

use serde_json::Value;

use super::json5::{self, Kind, Node};
use super::keys::{self, Names};
use super::secrets;
use super::secrets::reference::Reference;
use crate::sys::order;

/// Stands for a secret. Written back, it means "leave as it was".
pub const SENTINEL: &str = "__OPENCLAW_REDACTED__";

/// Ends of names that sound like a secret, in lower case.
const SOUNDS_SECRET: &[&str] =
    &["apikey", "credential", "credentials", "passphrase", "password", "privatekey", "secret", "token", "webhookurl"];

/// Names that only sound like it.
const HARMLESS: &[&str] = &["maxtokens", "contexttokens", "allowinsecureauth"];

/// Does a text stand for a secret instead of being one, or is it a template nobody filled in? Such a value is refused as
/// a credential and on write.
pub fn is_sentinel(text: &str) -> bool {
    let text = text.trim();
    let template = text.starts_with("{{") && text.ends_with("}}");
    text.contains(SENTINEL) || text == "[redacted]" || text.contains("***") || template
}

/// The file's text with every secret replaced; comments and layout stay. `None` when it is not JSON5.
pub fn text(raw: &str) -> Option<String> {
    let parsed = json5::parse(raw, 0).ok()?;
    let mut spans = Vec::new();
    in_node(&parsed.root, Place::root(), &mut spans);
    // Of a key written twice only the later value is in the tree: what hides behind the earlier one is not known.
    if !parsed.duplicates.is_empty() {
        return serde_json::to_string_pretty(&value(&parsed.root.to_value())).ok();
    }
    order::sort(&mut spans);
    let mut out = String::with_capacity(raw.len());
    let mut from = 0;
    for (start, end) in spans {
        out.push_str(&raw[from..start]);
        out.push_str(&format!("{SENTINEL:?}"));
        from = end;
    }
    out.push_str(&raw[from..]);
    Some(out)
}

/// A tree with every secret replaced.
pub fn value(tree: &Value) -> Value {
    in_value(tree, Place::root())
}

/// What the tables know about a place.
#[derive(Clone, Copy)]
struct Place {
    ours: Option<&'static Names>,
    theirs: Option<&'static Names>,
    /// The name above says so, and everything below is covered.
    secret: bool,
}

impl Place {
    fn root() -> Place {
        Place { ours: Some(keys::ours()), theirs: Some(keys::reference()), secret: false }
    }

    fn below(self, name: &str) -> Place {
        let ours = self.ours.and_then(|names| names.child(name));
        let theirs = self.theirs.and_then(|names| names.child(name));
        let named = ours.is_some_and(|names| names.secret) || theirs.is_some_and(|names| names.secret);
        // A row that is not secret settles it, unless it only opens somebody else's section.
        let settled = ours.and_then(|names| names.key).is_some_and(|key| key.kind != keys::Kind::Any);
        Place { ours, theirs, secret: self.secret || named || (!settled && sounds_secret(name)) }
    }

    fn item(self) -> Place {
        Place { ours: self.ours.and_then(Names::item), theirs: self.theirs.and_then(Names::item), secret: self.secret }
    }
}

pub(super) fn sounds_secret(name: &str) -> bool {
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    !HARMLESS.contains(&plain.as_str()) && SOUNDS_SECRET.iter().any(|end| plain.ends_with(end))
}

fn in_value(tree: &Value, place: Place) -> Value {
    match tree {
        Value::String(text) => match shown(text, place) {
            Some(text) => Value::String(text),
            None => Value::String(SENTINEL.to_owned()),
        },
        Value::Number(_) if place.secret => Value::String(SENTINEL.to_owned()),
        Value::Array(items) => items.iter().map(|item| in_value(item, place.item())).collect(),
        Value::Object(map) if place.secret && Reference::of_value(tree).is_some() => Value::Object(map.clone()),
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| (key.clone(), in_value(value, place.below(key))));
            Value::Object(pairs.collect())
        }
        other => other.clone(),
    }
}

fn in_node(node: &Node, place: Place, spans: &mut Vec<(usize, usize)>) {
    match &node.kind {
        Kind::String(text) if shown(text, place).as_ref() != Some(text) => spans.push(node.span),
        Kind::Number(_) if place.secret => spans.push(node.span),
        Kind::Array(items) => items.iter().for_each(|item| in_node(item, place.item(), spans)),
        Kind::Object(_) if place.secret && Reference::of(node).is_some() => {}
        Kind::Object(entries) => {
            for entry in entries {
                in_node(&entry.value, place.below(&entry.key), spans);
            }
        }
        _ => {}
    }
}

/// A text as it may be shown; `None` when it may not.
fn shown(text: &str, place: Place) -> Option<String> {
    if place.secret && !text.is_empty() && !secrets::is_placeholder(text) {
        return None;
    }
    if has_user_info(text) {
        return None;
    }
    Some(text.to_owned())
}

/// `https://user:password@host`: a credential inside an address.
fn has_user_info(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RAW: &str = "{ // mine\n  gateway: { auth: { token: 'canary-1', mode: \"token\" }, port: 1, },\n\
        \x20 models: { providers: { x: { apiKey: \"canary-2\", baseUrl: 'https://u:canary-3@h/v1', headers: { 'X-A': 'canary-4' },\n\
        \x20   models: [{ id: 'm', maxTokens: 10 }] } } },\n\
        \x20 channels: { telegram: { botToken: 'canary-5', accounts: { a: { appSecret: 'canary-6' } }, name: 'shown' } },\n\
        \x20 hooks: { token: '${HOOK}' }, env: { vars: { A: 'canary-7' } },\n\
        \x20 memory: { search: { remote: { apiKey: { source: 'env', provider: 'p', id: 'KEY' } } } } }";

    #[test]
    fn no_secret_survives_in_the_text_and_everything_else_does() {
        let shown = text(RAW).unwrap();
        assert!(!shown.contains("canary"), "{shown}");
        for kept in ["// mine", "mode: \"token\"", "'shown'", "'${HOOK}'", "maxTokens: 10", "id: 'KEY'", "port: 1, }"] {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
        assert_eq!(shown.matches(SENTINEL).count(), 7);
        assert!(json5::parse(&shown, 0).is_ok());
    }

    #[test]
    fn value_and_text_agree() {
        let tree = json5::parse(RAW, 0).unwrap().root.to_value();
        let of_text = json5::parse(&text(RAW).unwrap(), 0).unwrap().root.to_value();
        assert_eq!(value(&tree), of_text);
    }

    #[test]
    fn a_secret_under_a_key_written_twice_is_not_shown() {
        let shown = text("{gateway: {auth: {token: 'canary-1', token: 'canary-2'}}}").unwrap();
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[test]
    fn a_text_that_cannot_be_parsed_is_not_shown() {
        assert_eq!(text("{gateway: {auth: {token: 'canary"), None);
    }

    #[test]
    fn numbers_and_lists_under_secret_names_are_hidden_too() {
        let shown = value(&json!({"channels": {"x": {"password": 123456, "tokens": ["a"], "botToken": ["canary"]}}}));
        assert_eq!(shown["channels"]["x"]["password"], SENTINEL);
        assert_eq!(shown["channels"]["x"]["botToken"][0], SENTINEL);
    }

    #[test]
    fn stand_ins_are_recognised() {
        for text in
            [SENTINEL, "***", "*****", " [redacted] ", "sk-12***89", "{{secret}}", "Bearer __OPENCLAW_REDACTED__"]
        {
            assert!(is_sentinel(text), "{text}");
        }
        assert!(!is_sentinel("a*b") && !is_sentinel("**") && !is_sentinel(""));
    }
}
