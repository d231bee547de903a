//! What the file does not say itself: `${NAME}` in texts, and references to secrets kept elsewhere.
//!
//! A name that cannot be resolved never stops the gateway: a plain text stays as it is written and is warned about, a
//! secret counts as not configured and is listed, so that its owner can say so. The exceptions (the gateway's own
//! credentials fail closed) are made where credentials are worked out.
//!
//! Not resolved here: `exec` and `store` sources; they are listed as unresolved.

use std::path::Path;

use serde_json::Value;

use super::Unresolved;
use super::json5::{Entry, Kind, Node, Place};
use super::keys::{self, Names};
use crate::sys::Env;
use crate::sys::files;

/// Secret files are small; anything larger is a mistake.
const MAX_SECRET_FILE: u64 = 1 << 20;

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference<'a> {
    pub source: &'a str,
    pub provider: &'a str,
    pub id: &'a str,
}

/// What was left to say after resolving.
#[derive(Debug, Default)]
pub struct Resolved {
    pub warnings: Vec<(Place, String)>,
    pub unresolved: Vec<Unresolved>,
}

/// Reads `{source, provider?, id}`; `None` when it is something else.
pub fn reference(node: &Node) -> Option<Reference<'_>> {
    let Kind::Object(entries) = &node.kind else { return None };
    let only = entries.iter().all(|entry| matches!(entry.key.as_str(), "source" | "provider" | "id"));
    let source = node.get("source")?.as_str()?;
    let id = node.get("id")?.as_str()?;
    let provider = match node.get("provider") {
        Some(provider) => provider.as_str()?,
        None => "default",
    };
    let known = matches!(source, "env" | "file" | "exec" | "store");
    (only && known && !id.is_empty()).then_some(Reference { source, provider, id })
}

/// Replaces `${NAME}` everywhere and secret references where a secret belongs; takes out what cannot be had.
pub fn resolve(root: &mut Node, env: &Env, expand: &dyn Fn(&str) -> std::path::PathBuf) -> Resolved {
    let providers = root.get("secrets").and_then(|secrets| secrets.get("providers")).cloned();
    let mut work = Work { env, expand, providers, resolved: Resolved::default() };
    work.node(root, "", Some(keys::ours()));
    work.resolved
}

struct Work<'a> {
    env: &'a Env,
    expand: &'a dyn Fn(&str) -> std::path::PathBuf,
    providers: Option<Node>,
    resolved: Resolved,
}

impl Work<'_> {
    /// Answers `false` when the value must be taken out.
    fn node(&mut self, node: &mut Node, path: &str, names: Option<&Names>) -> bool {
        let secret = names.is_some_and(|names| names.secret);
        if secret && let Some(reference) = reference(node) {
            return match self.fetch(&reference) {
                Ok(text) => {
                    node.kind = Kind::String(text);
                    true
                }
                Err(reason) => self.give_up(path, reason),
            };
        }
        match &mut node.kind {
            Kind::String(text) => match substituted(text, self.env) {
                Ok(Some(new)) => *text = new,
                Ok(None) => {}
                Err(missing) if secret => {
                    return self.give_up(path, format!("environment variable {missing} is not set"));
                }
                Err(missing) => {
                    let warning =
                        format!("{path}: Missing env var {missing:?} - feature using this value will be unavailable");
                    self.resolved.warnings.push((node.at, warning));
                }
            },
            Kind::Array(items) => {
                let inner = names.and_then(Names::item);
                for (index, item) in items.iter_mut().enumerate() {
                    // An item that cannot be had stays in its place, so that the others keep theirs.
                    self.node(item, &format!("{path}[{index}]"), inner);
                }
            }
            Kind::Object(entries) => {
                let mut keep = Vec::with_capacity(entries.len());
                for Entry { key, at, start, mut value } in std::mem::take(entries) {
                    let inner = names.and_then(|names| names.child(&key));
                    if self.node(&mut value, &keys::join(path, &key), inner) {
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
        self.resolved.unresolved.push(Unresolved { path: path.to_owned(), reason });
        false
    }

    fn fetch(&self, reference: &Reference) -> Result<String, String> {
        match reference.source {
            "env" => self.read_variable(reference),
            "file" => self.read_file(reference),
            other => Err(format!("secrets of source {other:?} are not supported by this gateway")),
        }
    }

    /// The block of a provider; one of another source is none.
    fn provider(&self, reference: &Reference) -> Option<&Node> {
        let block = self.providers.as_ref()?.get(reference.provider)?;
        (block.get("source").and_then(Node::as_str) == Some(reference.source)).then_some(block)
    }

    /// A variable, if the provider's list lets it be read. Only the provider `default` needs no block.
    fn read_variable(&self, reference: &Reference) -> Result<String, String> {
        let block = self.provider(reference);
        if block.is_none() && reference.provider != "default" {
            return Err(format!("secrets.providers.{} is not configured for source env", reference.provider));
        }
        if let Some(Kind::Array(names)) = block.and_then(|block| block.get("allowlist")).map(|list| &list.kind)
            && !names.iter().any(|name| name.as_str() == Some(reference.id))
        {
            return Err(format!(
                "{} is not in the allowlist of secrets.providers.{}",
                reference.id, reference.provider
            ));
        }
        let found = self.env.get(reference.id).map(str::to_owned);
        found.ok_or_else(|| format!("environment variable {} is not set", reference.id))
    }

    /// A file, or a text in a JSON file. `${CREDENTIALS_DIRECTORY}/name` is a credential of the service manager.
    fn read_file(&self, reference: &Reference) -> Result<String, String> {
        let unknown = || format!("secrets.providers.{} is not configured for source file", reference.provider);
        let provider = self.provider(reference).ok_or_else(unknown)?;
        let path = provider.get("path").and_then(Node::as_str).ok_or_else(unknown)?;
        let missing = |name| format!("environment variable {name} is not set");
        let path = (self.expand)(&substituted(path, self.env).map_err(missing)?.unwrap_or_else(|| path.to_owned()));
        let single = provider.get("mode").and_then(Node::as_str) == Some("singleValue");
        if single != (reference.id == "value") || !single && !reference.id.starts_with('/') {
            return Err("the id of a file secret is a JSON pointer, or `value` for a single value".to_owned());
        }
        read_secret(&path, (!single).then_some(reference.id)).map_err(|reason| format!("{}: {reason}", path.display()))
    }
}

/// The whole file without the line break at its end, or what a JSON pointer points at.
fn read_secret(path: &Path, pointer: Option<&str>) -> Result<String, String> {
    let bytes = files::read_capped(path, MAX_SECRET_FILE).map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    let Some(pointer) = pointer else {
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    };
    // The error of the JSON reader could quote the file.
    let value: Value = serde_json::from_str(&text).map_err(|_| "not JSON".to_owned())?;
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| format!("no text at {pointer}"))
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

/// Is the whole text one `${NAME}`? Such a text is no secret itself.
pub fn is_placeholder(text: &str) -> bool {
    variable(text).is_some_and(|name| name.len() + 3 == text.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::json5;

    fn env() -> Env {
        Env::from_iter([("A", "1"), ("B_2", "two"), ("EMPTY", "")])
    }

    fn resolved(text: &str) -> (Value, Resolved) {
        let mut root = json5::parse(text, 0).unwrap().root;
        let resolved = resolve(&mut root, &env(), &|path| std::path::PathBuf::from(path));
        (root.to_value(), resolved)
    }

    #[test]
    fn variables_are_put_in_and_escapes_taken_out() {
        let table = [
            ("plain", None),
            ("${A}", Some("1")),
            ("x${A}y${B_2}z", Some("x1ytwoz")),
            ("$${A}", Some("${A}")),
            ("$$${A}", Some("$${A}")),
            ("${a}", Some("${a}")),
            ("${1A}", Some("${1A}")),
            ("${A", Some("${A")),
            ("${}", Some("${}")),
        ];
        for (text, expected) in table {
            assert_eq!(substituted(text, &env()), Ok(expected.map(str::to_owned)), "{text}");
        }
        assert_eq!(substituted("${NOPE}", &env()), Err("NOPE".to_owned()));
        assert_eq!(substituted("${EMPTY}", &env()), Err("EMPTY".to_owned()));
    }

    #[test]
    fn a_missing_variable_is_warned_about_by_key_and_a_secret_counts_as_unset() {
        let (value, resolved) =
            resolved("{gateway: {auth: {token: '${NOPE}', mode: 'token'}, controlUi: {basePath: '/${NOPE}'}}}");
        assert_eq!(value, json!({"gateway": {"auth": {"mode": "token"}, "controlUi": {"basePath": "/${NOPE}"}}}));
        assert_eq!(
            resolved.unresolved,
            [Unresolved {
                path: "gateway.auth.token".to_owned(),
                reason: "environment variable NOPE is not set".to_owned()
            }]
        );
        assert_eq!(
            resolved.warnings[0].1,
            "gateway.controlUi.basePath: Missing env var \"NOPE\" - feature using this value will be unavailable"
        );
    }

    #[test]
    fn references_to_the_environment_and_to_files_are_followed() {
        let dir = crate::sys::scratch::dir("secrets");
        std::fs::write(dir.join("s.json"), r#"{"a": {"key": "from json"}}"#).unwrap();
        std::fs::write(dir.join("one"), "whole\n").unwrap();
        let text = format!(
            "{{secrets: {{providers: {{j: {{source: 'file', path: '{0}/s.json'}},
               o: {{source: 'file', path: '{0}/one', mode: 'singleValue'}}}}}},
              models: {{providers: {{
               a: {{apiKey: {{source: 'env', id: 'A'}}}},
               b: {{apiKey: {{source: 'file', provider: 'j', id: '/a/key'}}}},
               c: {{apiKey: {{source: 'file', provider: 'o', id: 'value'}}}},
               d: {{apiKey: {{source: 'file', provider: 'j', id: '/nope'}}}},
               e: {{apiKey: {{source: 'exec', provider: 'x', id: 'y'}}}}}}}}}}",
            dir.display()
        );
        let (value, resolved) = resolved(&text);
        let keys: Vec<_> =
            ["a", "b", "c", "d", "e"].map(|id| value["models"]["providers"][id]["apiKey"].clone()).into();
        assert_eq!(keys, [json!("1"), json!("from json"), json!("whole"), Value::Null, Value::Null]);
        let paths: Vec<_> = resolved.unresolved.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["models.providers.d.apiKey", "models.providers.e.apiKey"]);
    }

    #[test]
    fn a_provider_reads_what_its_block_allows_and_its_source_has() {
        let dir = crate::sys::scratch::dir("credentials");
        std::fs::write(dir.join("token"), "from systemd\n").unwrap();
        let env = env().with("CREDENTIALS_DIRECTORY", dir.to_str().unwrap());
        let text = "{secrets: {providers: {few: {source: 'env', allowlist: ['B_2']},
              cred: {source: 'file', path: '${CREDENTIALS_DIRECTORY}/token', mode: 'singleValue'}}},
              models: {providers: {
               a: {apiKey: {source: 'env', provider: 'few', id: 'A'}},
               b: {apiKey: {source: 'env', provider: 'few', id: 'B_2'}},
               c: {apiKey: {source: 'env', provider: 'cred', id: 'A'}},
               d: {apiKey: {source: 'file', provider: 'cred', id: 'value'}},
               e: {apiKey: {source: 'file', provider: 'cred', id: '/x'}}}}}";
        let mut root = json5::parse(text, 0).unwrap().root;
        let resolved = resolve(&mut root, &env, &|path| std::path::PathBuf::from(path));
        let value = root.to_value();
        let key = |id: &str| value["models"]["providers"][id]["apiKey"].clone();
        assert_eq!((key("b"), key("d")), (json!("two"), json!("from systemd")));
        let reasons: Vec<_> = resolved.unresolved.iter().map(|entry| entry.reason.as_str()).collect();
        assert_eq!(
            reasons,
            [
                "A is not in the allowlist of secrets.providers.few",
                "secrets.providers.cred is not configured for source env",
                "the id of a file secret is a JSON pointer, or `value` for a single value",
            ]
        );
    }

    #[test]
    fn only_a_text_that_is_all_placeholder_is_one() {
        assert!(is_placeholder("${ABC}"));
        assert!(!is_placeholder("x${ABC}") && !is_placeholder("${ABC}x") && !is_placeholder("abc"));
    }
}
