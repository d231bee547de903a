//! The store: named values kept by this gateway for references of source `store`.
//!
//! One JSON file in the state directory, readable by its owner only and replaced whole. Deliberately not encrypted: a
//! key beside it would protect nothing. A removed entry is gone.
//!
//! Invariants: names follow the grammar of references; a value that stands for a secret is never kept; the file is
//! never larger than what is read back.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::reference::is_name;
use crate::config::redact::is_sentinel;
use crate::sys::{clock, files};
use crate::wire::misfit;
use crate::wire::object::objects;
use crate::wire::sorted::Sorted;

/// The file's name in the state directory.
pub const FILE: &str = "secrets.store.json";
/// One value (bytes); the reference's.
pub const VALUE: usize = 64 << 10;
/// Entries kept.
pub const ENTRIES: usize = 1000;
/// The whole file (bytes).
const WHOLE: u64 = 16 << 20;

/// What is kept under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Never shown.
    Secret,
    /// A setting that may be shown.
    Env,
}

objects! { lenient:
    /// One entry.
    #[derive(Clone, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct Entry {
        pub kind: Kind,
        pub value: String,
        /// Milliseconds since 1970.
        pub created_at: u64,
        pub updated_at: u64,
    }

    /// The whole store, as it was when it was read.
    #[derive(Default, Serialize)]
    pub struct Shelf {
        #[serde(default)]
        entries: Sorted<String, Entry> = default,
    }
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Secret => "secret",
            Kind::Env => "env",
        }
    }

    pub fn named(name: &str) -> Option<Kind> {
        [Kind::Secret, Kind::Env].into_iter().find(|kind| kind.as_str() == name)
    }

    /// What a name sounds like.
    pub fn of_name(name: &str) -> Kind {
        let ends = ["_API_KEY", "_TOKEN", "_PASSWORD", "_PRIVATE_KEY", "_SECRET", "_KEY", "_CREDENTIALS"];
        let whole = ["API_KEY", "TOKEN", "PASSWORD", "SECRET"];
        if ends.iter().any(|end| name.ends_with(end)) || whole.contains(&name) { Kind::Secret } else { Kind::Env }
    }
}

impl Shelf {
    /// Where the store of an instance is.
    pub fn path(state_dir: &Path) -> PathBuf {
        state_dir.join(FILE)
    }

    /// Reads it; a missing file is an empty store.
    pub fn read(path: &Path) -> Result<Shelf, String> {
        match files::read_capped(path, WHOLE) {
            // The error of the JSON reader could quote the file.
            Ok(bytes) => misfit::read_bytes(&bytes).map_err(|_| "the secret store cannot be read: not its JSON".into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Shelf::default()),
            Err(error) => Err(format!("the secret store cannot be read: {error}")),
        }
    }

    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.entries.iter()
    }

    /// Keeps a value. Answers whether anything is different.
    pub fn set(&mut self, name: &str, kind: Kind, value: &str) -> Result<bool, String> {
        if !is_name(name) {
            return Err(format!("{name:?} is no name for a secret (A-Z first, then A-Z, 0-9 and _, up to 128)"));
        }
        if value.len() > VALUE {
            return Err(format!("{name} is larger than {VALUE} bytes"));
        }
        if kind == Kind::Secret && value.is_empty() {
            return Err(format!("{name} is empty: an empty secret is no secret"));
        }
        if is_sentinel(value) {
            return Err(format!("{name}: a redacted stand-in is not a secret"));
        }
        if self.entries.len() >= ENTRIES && !self.entries.contains_key(name) {
            return Err(format!("the store holds {ENTRIES} entries; remove one first"));
        }
        let now = clock::now_ms();
        let old = self.entries.get(name);
        if old.is_some_and(|old| old.kind == kind && old.value == value) {
            return Ok(false);
        }
        let created_at = old.map_or(now, |old| old.created_at);
        self.entries.insert(name.to_owned(), Entry { kind, value: value.to_owned(), created_at, updated_at: now });
        Ok(true)
    }

    /// Forgets a value; `false` when there was none.
    pub fn remove(&mut self, name: &str) -> bool {
        self.entries.remove(name).is_some()
    }

    /// Reads the store, changes it and writes it back, one at a time with other programs of ours.
    pub fn change<T>(state_dir: &Path, change: impl FnOnce(&mut Shelf) -> Result<T, String>) -> Result<T, String> {
        let failed = |error: io::Error| format!("write the secret store: {error}");
        files::private_dir_if_missing(state_dir).map_err(failed)?;
        let path = Shelf::path(state_dir);
        let turn = files::turn(state_dir).map_err(failed)?;
        let mut shelf = Shelf::read(&path)?;
        let answer = change(&mut shelf)?;
        let text = serde_json::to_vec_pretty(&shelf).map_err(|error| failed(error.into()))?;
        if text.len() as u64 > WHOLE {
            return Err("the secret store is full".to_owned());
        }
        files::write_atomic(&path, &text).map_err(failed)?;
        drop::<Option<File>>(turn);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_privately_and_come_back() {
        let dir = crate::sys::scratch::dir("shelf");
        Shelf::change(&dir, |shelf| shelf.set("GROQ_API_KEY", Kind::Secret, "gsk")).unwrap();
        assert_eq!(Shelf::change(&dir, |shelf| shelf.set("GROQ_API_KEY", Kind::Secret, "gsk")), Ok(false));
        let shelf = Shelf::read(&Shelf::path(&dir)).unwrap();
        assert_eq!(shelf.get("GROQ_API_KEY").map(|entry| entry.value.as_str()), Some("gsk"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(Shelf::path(&dir)).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(Shelf::change(&dir, |shelf| Ok(shelf.remove("GROQ_API_KEY"))), Ok(true));
        assert!(Shelf::read(&Shelf::path(&dir)).unwrap().get("GROQ_API_KEY").is_none());
    }

    #[test]
    fn what_is_no_secret_is_not_kept() {
        let mut shelf = Shelf::default();
        for (name, value) in [("lower", "x"), ("A", ""), ("A", "__OPENCLAW_REDACTED__"), ("A", "***")] {
            assert!(shelf.set(name, Kind::Secret, value).is_err(), "{name} {value}");
        }
        assert!(shelf.set("A", Kind::Secret, &"x".repeat(VALUE + 1)).is_err());
        assert_eq!(shelf.set("A", Kind::Env, ""), Ok(true));
        assert_eq!((Kind::of_name("X_TOKEN"), Kind::of_name("LOG_LEVEL")), (Kind::Secret, Kind::Env));
    }
}
