//! A value that must not be seen: tokens, passwords, API keys.
//!
//! Debug prints `[redacted]`; there is no Display and no Serialize. Comparison is constant-time over digests, so neither
//! content nor length leaks (T13).

use ring::digest::{SHA256, digest};

/// A credential. Reading it takes [`Secret::expose`], so that every use is easy to find.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value itself: only for the place that sends it to its peer.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares in constant time.
    pub fn matches(&self, offered: &str) -> bool {
        let (mine, theirs) = (digest(&SHA256, self.0.as_bytes()), digest(&SHA256, offered.as_bytes()));
        let differing = mine.as_ref().iter().zip(theirs.as_ref()).fold(0u8, |sum, (a, b)| sum | (a ^ b));
        std::hint::black_box(differing) == 0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(Secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_value() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[redacted]");
    }

    #[test]
    fn only_the_same_value_matches() {
        let secret = Secret::new("abc");
        assert!(secret.matches("abc"));
        assert!(!secret.matches("abd"));
        assert!(!secret.matches(""));
    }
}
