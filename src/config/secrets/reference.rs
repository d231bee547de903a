//! Where a secret is kept, in the file's words, and which words are allowed.

use std::fmt;

use serde_json::Value;

use crate::config::json5::{Kind, Node};

/// Who keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Env,
    File,
    Exec,
    Store,
}

/// `{source, provider, id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub source: Source,
    /// `None`: the source's default.
    pub provider: Option<String>,
    pub id: String,
}

/// The provider of credentials the service manager hands out; needs no block.
pub const SYSTEMD: &str = "systemd";

/// Longest name of a variable, and of an entry of the store.
const NAME: usize = 128;
/// Longest id of an exec provider.
const EXEC_ID: usize = 256;
/// Longest name of a provider.
const PROVIDER: usize = 64;

impl Source {
    pub const ALL: [Source; 4] = [Source::Env, Source::File, Source::Exec, Source::Store];

    pub fn as_str(self) -> &'static str {
        match self {
            Source::Env => "env",
            Source::File => "file",
            Source::Exec => "exec",
            Source::Store => "store",
        }
    }

    pub fn named(name: &str) -> Option<Source> {
        Source::ALL.into_iter().find(|source| source.as_str() == name)
    }
}

impl Reference {
    /// Reads an object of exactly these keys; `None` when it is something else.
    pub fn of(node: &Node) -> Option<Reference> {
        let Kind::Object(entries) = &node.kind else { return None };
        let only = entries.iter().all(|entry| matches!(entry.key.as_str(), "source" | "provider" | "id"));
        let source = Source::named(node.get("source")?.as_str()?)?;
        let id = node.get("id")?.as_str()?.to_owned();
        let provider = match node.get("provider") {
            Some(provider) => Some(provider.as_str()?.to_owned()),
            None => None,
        };
        (only && !id.is_empty()).then_some(Reference { source, provider, id })
    }

    /// The same, from a plain tree.
    pub fn of_value(value: &Value) -> Option<Reference> {
        let map = value.as_object()?;
        let only = map.keys().all(|key| matches!(key.as_str(), "source" | "provider" | "id"));
        let source = Source::named(map.get("source")?.as_str()?)?;
        let id = map.get("id")?.as_str()?.to_owned();
        let provider = match map.get("provider") {
            Some(provider) => Some(provider.as_str()?.to_owned()),
            None => None,
        };
        (only && !id.is_empty()).then_some(Reference { source, provider, id })
    }

    /// `$NAME` as a whole text, the short spelling for a variable.
    pub fn short(text: &str) -> Option<Reference> {
        let name = text.strip_prefix('$').filter(|name| is_name(name))?;
        Some(Reference { source: Source::Env, provider: None, id: name.to_owned() })
    }

    /// What is wrong with the words, if anything.
    pub fn check(&self) -> Result<(), String> {
        if let Some(provider) = self.provider.as_deref().filter(|provider| !is_provider(provider)) {
            return Err(format!("{provider:?} is no provider's name (a-z first, then a-z, 0-9, _ and -, up to 64)"));
        }
        let wanted = match self.source {
            Source::Env | Source::Store if is_name(&self.id) => return Ok(()),
            Source::Env | Source::Store => "A-Z first, then A-Z, 0-9 and _, up to 128",
            Source::File if self.id == "value" || is_pointer(&self.id) => return Ok(()),
            Source::File => "a JSON pointer such as /providers/x/key, or `value` for a file with one value",
            Source::Exec if is_exec_id(&self.id) => return Ok(()),
            Source::Exec => {
                "a letter or digit first, then letters, digits and . _ : / # -, up to 256, without . or .. as a part"
            }
        };
        Err(format!("{:?} is no id of source {} ({wanted})", self.id, self.source.as_str()))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let provider = self.provider.as_deref().unwrap_or("default");
        write!(f, "{}:{provider}:{}", self.source.as_str(), self.id)
    }
}

/// The name of a variable, in the grammar of references.
pub fn is_name(name: &str) -> bool {
    let good = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    let bytes = name.as_bytes();
    bytes.len() <= NAME && bytes.first().is_some_and(u8::is_ascii_uppercase) && bytes.iter().all(good)
}

/// The name of a provider block.
pub fn is_provider(name: &str) -> bool {
    let good = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    let bytes = name.as_bytes();
    bytes.len() <= PROVIDER && bytes.first().is_some_and(u8::is_ascii_lowercase) && bytes.iter().all(good)
}

fn is_pointer(id: &str) -> bool {
    let escapes = id.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    id.len() > 1 && id.starts_with('/') && escapes
}

fn is_exec_id(id: &str) -> bool {
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:/#-".contains(byte);
    let bytes = id.as_bytes();
    bytes.len() <= EXEC_ID
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(good)
        && !id.split('/').any(|part| matches!(part, "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_the_grammar_of_their_source() {
        let ok = |source, id: &str| Reference { source, provider: None, id: id.to_owned() }.check().is_ok();
        for (source, good, bad) in [
            (Source::Env, vec!["A", "OPENAI_API_KEY", "X1"], vec!["a", "1A", "_A", "A-B", "A B", "", "Ä"]),
            (Source::Store, vec!["GROQ"], vec!["groq", "/x"]),
            (Source::File, vec!["value", "/a", "/a/b~1c/~0"], vec!["", "/", "a/b", "/a~2", "values"]),
            (
                Source::Exec,
                vec!["a", "secret/x#key", "vault:kv/data/x.y", "0"],
                vec!["", "/a", "a/../b", "a/./b", "..", "a b", "a;b", "$(x)", "-x"],
            ),
        ] {
            for id in good {
                assert!(ok(source, id), "{source:?} {id}");
            }
            for id in bad {
                assert!(!ok(source, id), "{source:?} {id}");
            }
        }
        assert!(!ok(Source::Env, &"A".repeat(129)) && !ok(Source::Exec, &"a".repeat(257)));
        for name in ["default", "a-b_1"] {
            assert!(is_provider(name), "{name}");
        }
        for name in ["", "A", "1a", "a.b", "a b"] {
            assert!(!is_provider(name), "{name}");
        }
    }

    #[test]
    fn a_short_spelling_is_a_whole_name() {
        assert_eq!(Reference::short("$OPENAI_API_KEY").map(|short| short.id).as_deref(), Some("OPENAI_API_KEY"));
        assert!(Reference::short("$pa55word").is_none() && Reference::short("x$A").is_none());
    }
}
