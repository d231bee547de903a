//! The environment as a value.
//!
//! The process environment is read once, at the edge, and handed around as an [`Env`]; everything that depends on it is
//! a plain function and can be tested with an invented one. This module never changes the process environment.
//!
//! Invariant: a lookup of a variable that is set but blank answers `None`: scripts that export an empty variable mean
//! "not set".

use std::collections::BTreeMap;
use std::sync::Arc;

use super::secret::Secret;

/// A snapshot of environment variables. Cloning is cheap. Names that are not UTF-8 are left out, values are decoded
/// lossily.
#[derive(Clone, Default)]
pub struct Env(Arc<BTreeMap<String, String>>);

impl Env {
    /// Takes the snapshot of this process.
    pub fn of_process() -> Env {
        let pairs = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
        Env(Arc::new(pairs.collect()))
    }

    /// The value, trimmed; `None` when missing or blank.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// Like [`Env::get`], as a secret.
    pub fn secret(&self, name: &str) -> Option<Secret> {
        self.get(name).map(Secret::new)
    }

    /// `1`, `true`, `yes` and `on` in any case.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| ["1", "true", "yes", "on"].iter().any(|truth| value.eq_ignore_ascii_case(truth)))
    }

    /// Adds variables that are not there yet; a blank one counts as missing.
    pub fn with_missing(&self, pairs: impl IntoIterator<Item = (String, String)>) -> Env {
        let mut map = (*self.0).clone();
        for (name, value) in pairs {
            if map.get(&name).is_none_or(|old| old.trim().is_empty()) {
                map.insert(name, value);
            }
        }
        Env(Arc::new(map))
    }

    /// A copy in which `name` has `value`.
    pub fn with(&self, name: &str, value: &str) -> Env {
        let mut map = (*self.0).clone();
        map.insert(name.to_owned(), value.to_owned());
        Env(Arc::new(map))
    }

    /// Everything, in name order; for building a child's environment.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Env {
        Env(Arc::new(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect()))
    }
}

/// Names only: values may be secrets.
impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_variable_counts_as_missing() {
        let env = Env::from_iter([("A", "  "), ("B", " x ")]);
        assert_eq!(env.get("A"), None);
        assert_eq!(env.get("B"), Some("x"));
        let more = env.with_missing([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "y".to_owned())]);
        assert_eq!((more.get("A"), more.get("B")), (Some("1"), Some("x")));
    }

    #[test]
    fn debug_shows_no_values() {
        let shown = format!("{:?}", Env::from_iter([("TOKEN", "hunter2")]));
        assert!(shown.contains("TOKEN") && !shown.contains("hunter2"));
    }
}
