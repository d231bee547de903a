//! `config.set`, `patch`, `apply`, `schema`, `schema.lookup`: the operator's file, changed through the protocol.
//!
//! Every write is based on a content the caller has seen (`baseHash`) and goes through the same checks as one on the
//! command line. Secrets a client only knows by their stand-in stay what they were.
//!
//! Invariants: no answer shows a secret; a write that is not based on the current content changes nothing; `patch` and
//! `apply` answer when the change is in force, `set` when it is on disk.

use std::io;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::auth::Caller;
use crate::channels;
use crate::config::redact::SENTINEL;
use crate::config::write::{self, Clobber, WriteError, Written};
use crate::config::{Config, LoadError, diff, edit, json5, keys, load, redact, schema as tables};
use crate::hub::{ConfigDesk, TaskContext};
use crate::sys::{clock, files};
use crate::wire::config::*;
use crate::wire::error::RpcError;

/// Keys named in an error.
const NAMED: usize = 5;

pub fn set(context: &TaskContext, _: &Arc<Caller>, params: ConfigSetParams) -> Result<ConfigWriteResult, RpcError> {
    let (written, _) = replace(&context.desk, &params.raw, params.base_hash.as_deref())?;
    Ok(result(&written, None))
}

pub fn apply(context: &TaskContext, _: &Arc<Caller>, params: ConfigApplyParams) -> Result<ConfigWriteResult, RpcError> {
    let (written, changed) = replace(&context.desk, &params.raw, params.base_hash.as_deref())?;
    in_force(&context.desk)?;
    Ok(result(&written, Some(changed)))
}

pub fn patch(context: &TaskContext, _: &Arc<Caller>, params: ConfigPatchParams) -> Result<ConfigWriteResult, RpcError> {
    let desk = &context.desk;
    let current = Current::read(desk)?;
    let mut patch = parsed(&params.raw)?.to_value();
    if !patch.is_object() {
        return Err(RpcError::invalid("config.patch raw must be an object"));
    }
    without_stand_ins(&mut patch);
    let mut wanted = parsed_or_empty(&current.text)?;
    let mut lost = Vec::new();
    merge(&mut wanted, &patch, "", &params.replace_paths, &mut lost);
    let text = edit::reconcile(&current.text, &wanted).map_err(|error| RpcError::invalid(error.to_string()))?;
    current.may_write(desk, &text, params.base_hash.as_deref())?;
    if let Some(path) = lost.first() {
        return Err(RpcError::invalid(format!(
            "config.patch would remove entries of {path}; name it in replacePaths if that is intended"
        )));
    }
    let (written, changed) = current.write(desk, &text)?;
    in_force(desk)?;
    Ok(result(&written, Some(changed)))
}

pub fn schema(_: &TaskContext, _: &Arc<Caller>, _: ConfigSchemaParams) -> Result<ConfigSchemaResult, RpcError> {
    Ok(ConfigSchemaResult {
        schema: tables::whole(),
        ui_hints: tables::hints(),
        version: env!("CARGO_PKG_VERSION"),
        generated_at: clock::iso_now(),
    })
}

pub fn lookup(_: &TaskContext, _: &Arc<Caller>, params: ConfigSchemaLookupParams) -> Result<Value, RpcError> {
    let path = params.path.trim();
    let node = channels::schema::lookup(path).or_else(|| tables::lookup(path));
    node.ok_or_else(|| RpcError::invalid(format!("config schema path not found: {path}")))
}

/// Changes the operator's file for another method: read, changed, checked, written, in force.
pub(super) fn change(
    desk: &ConfigDesk,
    change: impl FnOnce(&mut Value) -> Result<(), RpcError>,
) -> Result<(), RpcError> {
    let current = Current::read(desk)?;
    let mut wanted = parsed_or_empty(&current.text)?;
    change(&mut wanted)?;
    let text = edit::reconcile(&current.text, &wanted).map_err(|error| RpcError::invalid(error.to_string()))?;
    current.write(desk, &text)?;
    in_force(desk)
}

/// The file as it is now.
struct Current {
    exists: bool,
    text: String,
    hash: String,
}

impl Current {
    fn read(desk: &ConfigDesk) -> Result<Current, RpcError> {
        let read = files::read_capped(&desk.paths.config, json5::MAX_BYTES as u64);
        let (exists, bytes) = match read {
            Ok(bytes) => (true, bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (false, Vec::new()),
            Err(error) => return Err(RpcError::unavailable(format!("read the configuration: {error}"))),
        };
        let hash = write::hash(&bytes);
        let text = String::from_utf8(bytes).map_err(|_| RpcError::invalid("the configuration is not UTF-8"))?;
        Ok(Current { exists, text, hash })
    }

    /// Whether the caller knows what it is about to change.
    fn may_write(&self, desk: &ConfigDesk, text: &str, base: Option<&str>) -> Result<(), RpcError> {
        let base = base.map(str::trim).filter(|base| !base.is_empty());
        let Some(base) = base else {
            if !self.exists {
                return Ok(());
            }
            let changed = load::parse(text, &desk.paths, &desk.env).map_err(|error| invalid(&error))?;
            let mut paths = self.changed(desk, &changed);
            paths.truncate(NAMED);
            let what = if paths.is_empty() { "this change".to_owned() } else { paths.join(", ") };
            return Err(RpcError::invalid(format!(
                "config base hash required for {what}; re-run config.get and retry with baseHash"
            )));
        };
        if base.strip_prefix("sha256:v1:").unwrap_or(base) != self.hash {
            return Err(changed_meanwhile());
        }
        Ok(())
    }

    fn write(&self, desk: &ConfigDesk, text: &str) -> Result<(Written, Vec<String>), RpcError> {
        let written = write::write(&desk.paths, &desk.env, &self.hash, text, Clobber::Refuse).map_err(|error| {
            if let WriteError::Clobber { path, reasons, .. } = &error {
                log::warn!("Config write rejected: {} ({reasons})", path.display());
            }
            refused(&error)
        })?;
        let changed = self.changed(desk, &written.config);
        Ok((written, changed))
    }

    /// Keys that mean something else in `new`.
    fn changed(&self, desk: &ConfigDesk, new: &Config) -> Vec<String> {
        let old = load::parse(if self.exists { &self.text } else { "{}" }, &desk.paths, &desk.env).unwrap_or_default();
        diff::changes(&old, new).into_iter().map(|change| change.path).collect()
    }
}

fn replace(desk: &ConfigDesk, raw: &str, base: Option<&str>) -> Result<(Written, Vec<String>), RpcError> {
    let current = Current::read(desk)?;
    parsed(raw)?;
    let text = write::with_secrets_of(raw, &current.text)
        .map_err(|key| RpcError::invalid(format!("{key}: a redacted stand-in has no secret to stand for")))?;
    current.may_write(desk, &text, base)?;
    current.write(desk, &text)
}

fn in_force(desk: &ConfigDesk) -> Result<(), RpcError> {
    let failed = |reason| RpcError::unavailable(format!("the configuration was written and is not in force: {reason}"));
    (desk.reload)().map_err(failed)
}

fn result(written: &Written, changed_paths: Option<Vec<String>>) -> ConfigWriteResult {
    ConfigWriteResult {
        ok: true,
        path: written.config.path.display().to_string(),
        hash: format!("sha256:v1:{}", written.config.hash),
        config: redact::value(&written.config.tree),
        changed_paths,
    }
}

fn parsed(raw: &str) -> Result<json5::Node, RpcError> {
    let syntax = |error: json5::SyntaxError| {
        let at = format!("{}:{}", error.at.line, error.at.column);
        RpcError::invalid(format!("SyntaxError: JSON5: {} at {at}", error.message))
    };
    json5::parse(raw, 0).map(|parsed| parsed.root).map_err(syntax)
}

fn parsed_or_empty(text: &str) -> Result<Value, RpcError> {
    if text.trim().is_empty() { Ok(Value::Object(Map::new())) } else { Ok(parsed(text)?.to_value()) }
}

fn changed_meanwhile() -> RpcError {
    RpcError::invalid("config changed since last load; re-run config.get and retry")
}

fn refused(error: &WriteError) -> RpcError {
    match error {
        WriteError::Changed => changed_meanwhile(),
        WriteError::Invalid { error, .. } => invalid(error),
        WriteError::Io { source, .. } => RpcError::unavailable(format!("{error}: {source}")),
        other => RpcError::invalid(other.to_string()),
    }
}

/// Problems by key, without the place in the file: the caller has sent the text.
fn invalid(error: &LoadError) -> RpcError {
    let LoadError::Invalid { lines, .. } = error else { return RpcError::unavailable(error.to_string()) };
    let bare = |line: &String| {
        let text = line.split_once(" — ").map_or(line.as_str(), |(_, text)| text);
        // Hints are for people; programs compare the protocol's words.
        let end = text
            .split_once("Unrecognized key: \"")
            .and_then(|(before, rest)| Some(before.len() + "Unrecognized key: \"".len() + rest.find('"')? + 1));
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let lines: Vec<String> = lines.iter().map(bare).collect();
    RpcError::invalid(format!("invalid config: {}", lines.join("; ")))
}

/// A stand-in in a patch means "leave it".
fn without_stand_ins(patch: &mut Value) {
    if let Value::Object(map) = patch {
        map.retain(|_, value| *value != SENTINEL);
        map.values_mut().for_each(without_stand_ins);
    }
}

/// Objects merge, null removes; lists whose items have an id merge by it; a list that would lose items is named in
/// `lost` unless its path is in `whole`.
fn merge(tree: &mut Value, patch: &Value, path: &str, whole: &[String], lost: &mut Vec<String>) {
    let meant = whole.iter().any(|known| known == path);
    match (&mut *tree, patch) {
        (Value::Object(map), Value::Object(new)) => {
            for (key, value) in new {
                let here = keys::join(path, key);
                if value.is_null() {
                    if let Some(gone) = map.shift_remove(key) {
                        lists_in(&gone, &here, whole, lost);
                    }
                } else {
                    merge(map.entry(key.clone()).or_insert(Value::Null), value, &here, whole, lost);
                }
            }
        }
        (Value::Array(old), Value::Array(new)) if !meant && by_id(old) && by_id(new) && !new.is_empty() => {
            for item in new {
                match old.iter_mut().find(|known| known["id"] == item["id"]) {
                    Some(known) => merge(known, item, &format!("{path}[]"), whole, lost),
                    None => old.push(item.clone()),
                }
            }
        }
        (Value::Array(old), new) => {
            let kept = |item: &Value| new.as_array().is_some_and(|new| new.contains(item));
            if !meant && !old.iter().all(kept) {
                lost.push(path.to_owned());
            }
            *tree = new.clone();
        }
        (_, Value::Object(new)) => {
            *tree = Value::Object(Map::new());
            merge(tree, &Value::Object(new.clone()), path, whole, lost);
        }
        (_, new) => *tree = new.clone(),
    }
}

fn by_id(items: &[Value]) -> bool {
    items.iter().all(|item| item.get("id").is_some_and(Value::is_string))
}

/// Lists below something that is removed.
fn lists_in(gone: &Value, path: &str, whole: &[String], lost: &mut Vec<String>) {
    match gone {
        Value::Array(_) if !whole.iter().any(|known| known == path) => lost.push(path.to_owned()),
        Value::Object(map) => map.iter().for_each(|(key, v)| lists_in(v, &keys::join(path, key), whole, lost)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(tree: Value, patch: Value, whole: &[&str]) -> (Value, Vec<String>) {
        let (mut tree, mut lost) = (tree, Vec::new());
        let whole: Vec<String> = whole.iter().map(|path| (*path).to_owned()).collect();
        merge(&mut tree, &patch, "", &whole, &mut lost);
        (tree, lost)
    }

    #[test]
    fn a_list_that_would_lose_items_is_named_unless_that_is_meant() {
        let tree = json!({"a": {"list": [1, 2]}, "m": [{"id": "x", "k": 1}, {"id": "y"}]});
        assert_eq!(merged(tree.clone(), json!({"a": {"list": [1]}}), &[]).1, ["a.list"]);
        assert!(merged(tree.clone(), json!({"a": {"list": [1]}}), &["a.list"]).1.is_empty());
        assert!(merged(tree.clone(), json!({"a": {"list": [1, 2, 3]}}), &[]).1.is_empty());
        assert_eq!(merged(tree.clone(), json!({"a": null}), &[]).1, ["a.list"]);
        let (got, lost) = merged(tree, json!({"m": [{"id": "x", "k": 2}, {"id": "z"}]}), &[]);
        assert_eq!(got["m"], json!([{"id": "x", "k": 2}, {"id": "y"}, {"id": "z"}]));
        assert!(lost.is_empty());
    }

    #[test]
    fn a_stand_in_leaves_a_secret_alone() {
        let mut patch = json!({"auth": {"token": SENTINEL, "mode": "token"}});
        without_stand_ins(&mut patch);
        assert_eq!(patch, json!({"auth": {"mode": "token"}}));
    }
}
