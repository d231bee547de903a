//! The key table as a JSON Schema (draft 7), and one path of it with its children.
//!
//! From the same rows as validation, so that an editor and the gateway say the same. Keys the reference knows and this
//! gateway ignores are accepted by the schema as by the loader, and say so.
//!
//! Deliberately absent: checks across keys; a schema cannot say that a custom bind wants a host.

use serde_json::{Map, Value};

use super::keys::{self, Kind, Names, Reload, Segment};
use crate::sys::order;
use crate::wire::misfit;
use crate::wire::tree::json;

/// What stands in for a description of an accepted key without effect.
const WITHOUT_EFFECT: &str = "Accepted; without effect in this gateway.";

/// The whole schema.
pub fn whole() -> Value {
    let mut schema = object(Some(keys::ours()), Some(keys::reference()));
    let map = schema.as_object_mut().expect("an object schema is an object");
    map.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
    map.insert("title".into(), "openclaw.json".into());
    schema
}

/// One path: its node without what is below, and a line for each child. `None` for a path nobody knows.
pub fn lookup(path: &str) -> Option<Value> {
    let (mut ours, mut theirs) = (Some(keys::ours()), Some(keys::reference()));
    let mut pattern = String::new();
    for segment in keys::split(path) {
        let (below, name) = match segment {
            Segment::Name("[]" | "*") => return None,
            Segment::Name(name) => ((ours.and_then(|n| n.child(name)), theirs.and_then(|n| n.child(name))), name),
            Segment::Index(_) => ((ours.and_then(Names::item), theirs.and_then(Names::item)), "[]"),
        };
        let known = |names: Option<&'static Names>| names.is_some_and(|names| names.children.contains_key(name));
        let shown = if name == "[]" || known(ours) || known(theirs) { name } else { "*" };
        pattern = match shown {
            "[]" => format!("{pattern}[]"),
            shown if pattern.is_empty() => shown.to_owned(),
            shown => format!("{pattern}.{shown}"),
        };
        (ours, theirs) = below;
        if ours.is_none() && theirs.is_none() {
            return None;
        }
    }
    let mut node = node(ours, theirs);
    if let Some(map) = node.as_object_mut() {
        map.remove("properties");
        map.remove("items");
        map.remove("anyOf");
    }
    let mut names: Vec<&str> = [ours, theirs].into_iter().flatten().flat_map(|n| n.children.keys().copied()).collect();
    order::sort(&mut names);
    names.dedup();
    let children: Vec<Value> = names
        .into_iter()
        .map(|name| {
            let below = |names: Option<&'static Names>| names.and_then(|names| names.children.get(name));
            let here = if name == "[]" { format!("{path}[]") } else { join(path, name) };
            child(name, &here, below(ours), below(theirs), ours.is_some_and(|n| n.required == Some(name)))
        })
        .collect();
    Some(json!({
        "path": path,
        "schema": node,
        "reloadKind": reload_word(ours, theirs),
        "hint": hint(&pattern, ours, theirs),
        "hintPath": pattern,
        "children": children,
    }))
}

/// Hints for pages that draw a form: label, help, whether a value is secret.
pub fn hints() -> Value {
    let rows = keys::KEYS.iter().map(|key| {
        let mut hint = Map::new();
        hint.insert("label".into(), label(key.path).into());
        hint.insert("help".into(), key.doc.into());
        if key.kind == Kind::Secret {
            hint.insert("sensitive".into(), true.into());
        }
        (key.path.to_owned(), Value::Object(hint))
    });
    Value::Object(rows.collect())
}

/// `hot`, `restart` or `none`.
pub fn word(reload: Reload) -> &'static str {
    match reload {
        Reload::Nothing => "none",
        Reload::Hot => "hot",
        Reload::Restart => "restart",
    }
}

fn child(
    name: &str,
    path: &str,
    ours: Option<&'static Names>,
    theirs: Option<&'static Names>,
    required: bool,
) -> Value {
    let node = node(ours, theirs);
    let below = |names: Option<&'static Names>| names.is_some_and(|names| !names.children.is_empty());
    let mut out = json!({
        "key": name,
        "path": path,
        "required": required,
        "hasChildren": below(ours) || below(theirs),
        "reloadKind": reload_word(ours, theirs),
        "hint": hint(path, ours, theirs),
        "hintPath": path,
    });
    if let Some(kind) = node.get("type") {
        out["type"] = kind.clone();
    }
    out
}

fn hint(pattern: &str, ours: Option<&'static Names>, theirs: Option<&'static Names>) -> Value {
    let mut hint = json!({"label": label(pattern), "advanced": ours.is_none()});
    match ours.and_then(|names| names.key) {
        Some(key) => hint["help"] = key.doc.into(),
        None if ours.is_none() => hint["help"] = WITHOUT_EFFECT.into(),
        None => {}
    }
    if [ours, theirs].into_iter().flatten().any(|names| names.secret) {
        hint["sensitive"] = true.into();
    }
    hint
}

/// What the strictest key at or below a place needs.
fn reload_word(ours: Option<&'static Names>, _theirs: Option<&'static Names>) -> &'static str {
    fn strictest(names: &Names) -> Reload {
        let own = names.key.map_or(Reload::Nothing, |key| key.reload);
        names.children.values().map(strictest).max().unwrap_or(own).max(own)
    }
    word(ours.map_or(Reload::Nothing, strictest))
}

fn node(ours: Option<&'static Names>, theirs: Option<&'static Names>) -> Value {
    let Some(names) = ours else {
        let secret = theirs.is_some_and(|names| names.secret);
        return if secret {
            described(json!({"anyOf": [{"type": "string"}, reference()]}), WITHOUT_EFFECT)
        } else {
            json!({"description": WITHOUT_EFFECT})
        };
    };
    match names.key {
        Some(key) => {
            let mut node = leaf(key.kind, ours, theirs);
            if !key.doc.is_empty() {
                node["description"] = key.doc.into();
            }
            if !key.default.is_empty() {
                node["default"] = default(key);
            }
            node
        }
        None if names.item().is_some() => {
            json!({"type": "array", "items": node(names.item(), theirs.and_then(Names::item))})
        }
        None => object(ours, theirs),
    }
}

fn object(ours: Option<&'static Names>, theirs: Option<&'static Names>) -> Value {
    let mut names: Vec<&str> = [ours, theirs].into_iter().flatten().flat_map(Names::names).collect();
    order::sort(&mut names);
    names.dedup();
    let below = |names: Option<&'static Names>, name: &str| names.and_then(|names| names.children.get(name));
    let properties: Map<String, Value> =
        names.into_iter().map(|name| (name.to_owned(), node(below(ours, name), below(theirs, name)))).collect();
    let (any_ours, any_theirs) = (below(ours, "*"), below(theirs, "*"));
    let rest = if any_ours.is_some() || any_theirs.is_some() { node(any_ours, any_theirs) } else { Value::Bool(false) };
    let mut out = json!({"type": "object", "properties": properties, "additionalProperties": rest});
    if let Some(name) = ours.and_then(|names| names.required) {
        out["required"] = json!([name]);
    }
    out
}

fn leaf(kind: Kind, ours: Option<&'static Names>, theirs: Option<&'static Names>) -> Value {
    match kind {
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Int(from, to) => json!({"type": "integer", "minimum": from, "maximum": to}),
        Kind::Number(from) => json!({"type": "number", "minimum": from}),
        Kind::Text => json!({"type": "string"}),
        Kind::Choice(words) => json!({"type": "string", "enum": words}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Secret => json!({"anyOf": [{"type": "string"}, reference()]}),
        Kind::Reference => reference(),
        Kind::TextOrSection => json!({"anyOf": [{"type": "string"}, object(ours, theirs)]}),
        Kind::TextOrFalse => json!({"anyOf": [{"type": "string"}, {"const": false}]}),
        Kind::Any => json!({}),
    }
}

fn reference() -> Value {
    json!({"type": "object", "additionalProperties": false, "required": ["source", "id"], "properties": {
        "source": {"enum": ["env", "file", "exec", "store"]},
        "provider": {"type": "string"},
        "id": {"type": "string"},
    }})
}

fn default(key: &keys::Key) -> Value {
    match key.kind {
        Kind::Bool | Kind::Int(..) | Kind::Number(_) => misfit::read(key.default).unwrap_or(Value::Null),
        _ => key.default.into(),
    }
}

fn described(mut node: Value, text: &str) -> Value {
    node["description"] = text.into();
    node
}

fn join(path: &str, name: &str) -> String {
    if name == "*" && !path.is_empty() { format!("{path}.*") } else { keys::join(path, name) }
}

/// `gateway.auth.rateLimit` is `Rate Limit`.
fn label(path: &str) -> String {
    let name = path.rsplit('.').next().unwrap_or(path).trim_end_matches("[]");
    let mut out = String::new();
    for (index, c) in name.chars().enumerate() {
        match c {
            _ if index == 0 => out.extend(c.to_uppercase()),
            _ if c.is_uppercase() => out.extend([' ', c]),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_the_schema_with_its_type_and_words() {
        let schema = whole();
        let auth = &schema["properties"]["gateway"]["properties"]["auth"]["properties"];
        assert_eq!(auth["mode"]["enum"], json!(["none", "token", "password", "trusted-proxy"]));
        assert_eq!(auth["mode"]["default"], "token");
        let port = &schema["properties"]["gateway"]["properties"]["port"];
        assert_eq!((&port["minimum"], &port["maximum"], &port["default"]), (&json!(1), &json!(65535), &json!(18789)));
        assert_eq!(schema["additionalProperties"], false);
        let headers = &schema["properties"]["models"]["properties"]["providers"]["additionalProperties"];
        assert_eq!(headers["properties"]["models"]["type"], "array");
    }

    #[test]
    fn a_path_is_looked_up_through_maps_and_lists() {
        let port = lookup("gateway.port").unwrap();
        assert_eq!((&port["reloadKind"], &port["schema"]["type"]), (&json!("restart"), &json!("integer")));
        assert_eq!(port["hint"]["label"], "Port");
        let key = lookup("models.providers.mine.apiKey").unwrap();
        assert_eq!((&key["hintPath"], &key["hint"]["sensitive"]), (&json!("models.providers.*.apiKey"), &json!(true)));
        let gateway = lookup("gateway").unwrap();
        let names: Vec<&str> =
            gateway["children"].as_array().unwrap().iter().filter_map(|c| c["key"].as_str()).collect();
        assert!(names.contains(&"auth") && names.contains(&"reload"));
        assert_eq!(lookup("gateway.prot"), None);
        assert!(lookup("").is_some());
    }
}
