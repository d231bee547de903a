//! Tokens of limited power beside the shared secret (`gateway.auth.tokens[]`): a name, scopes, an end, addresses.
//!
//! The configuration knows a token by its SHA-256 only. A token is no device: nothing is paired with it, and no device
//! token is given for it. Deliberately absent here: making tokens (`openclaw tokens create`).
//!
//! Invariants: every entry is looked at, whatever the first ones say; one that says something unreadable lets nobody in.

use std::net::IpAddr;
use std::sync::Arc;

use ring::digest::{SHA256, digest};

use super::peer::is_trusted;
use crate::config::gateway::AccessTokenConfig;
use crate::sys::random::to_hex;
use crate::sys::secret::Secret;
use crate::wire::scope::{Scope, Scopes};

/// Entries that count; a gateway at home has a handful.
pub const TOKENS: usize = 64;

/// One token as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    pub name: String,
    /// SHA-256 in lower-case hex.
    hash: String,
    pub scopes: Scopes,
    /// Milliseconds since the epoch.
    pub expires_at_ms: Option<u64>,
    /// Addresses it may be shown from; empty: all.
    pub cidrs: Vec<String>,
}

/// What came of a token that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Nobody's.
    Unknown,
    Good(Arc<AccessToken>),
    Expired,
    /// From an address it is not for.
    Elsewhere,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessTokens(Vec<Arc<AccessToken>>);

impl AccessTokens {
    /// Reads the configuration; what cannot be used is left out, with a sentence about it.
    pub fn read(entries: &[AccessTokenConfig]) -> (AccessTokens, Vec<String>) {
        let (mut tokens, mut complaints) = (Vec::new(), Vec::new());
        for (at, entry) in entries.iter().enumerate() {
            match AccessToken::read(entry) {
                Ok(token) if at < TOKENS => tokens.push(Arc::new(token)),
                Ok(_) => complaints.push(format!("gateway.auth.tokens[{at}] does not count: only {TOKENS} do")),
                Err(why) => complaints.push(format!("gateway.auth.tokens[{at}] lets nobody in: {why}")),
            }
        }
        (AccessTokens(tokens), complaints)
    }

    /// Looks a token up; `ip` is where it was shown from.
    pub fn look_up(&self, offered: &str, ip: Option<IpAddr>, now_ms: u64) -> Shown {
        if self.0.is_empty() || offered.is_empty() {
            return Shown::Unknown;
        }
        let offered = hash(offered);
        let found = self.0.iter().fold(None, |found, token| match Secret::new(token.hash.as_str()).matches(&offered) {
            true => Some(token),
            false => found,
        });
        match found {
            None => Shown::Unknown,
            Some(token) if token.expires_at_ms.is_some_and(|end| now_ms >= end) => Shown::Expired,
            Some(token) if !token.cidrs.is_empty() && !ip.is_some_and(|ip| is_trusted(ip, &token.cidrs)) => {
                Shown::Elsewhere
            }
            Some(token) => Shown::Good(token.clone()),
        }
    }

    /// Whether this very token is still there.
    pub fn holds(&self, token: &AccessToken) -> bool {
        self.0.iter().any(|own| **own == *token)
    }
}

impl AccessToken {
    fn read(entry: &AccessTokenConfig) -> Result<AccessToken, String> {
        let hash = entry.hash.trim().to_ascii_lowercase();
        let hash = hash.strip_prefix("sha256:").unwrap_or(&hash).to_string();
        if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("hash is not a SHA-256 in hex".into());
        }
        if let Some(unknown) = entry.scopes.iter().find(|name| Scope::parse(name).is_none()) {
            return Err(format!("{unknown:?} is not a scope"));
        }
        let expires_at_ms = entry.expires_at.as_deref().map(moment).transpose()?;
        if let Some(bad) = entry.allow_cidrs.iter().find(|entry| !is_network(entry)) {
            return Err(format!("{bad:?} is not an address or network"));
        }
        Ok(AccessToken {
            name: entry.name.clone(),
            hash,
            scopes: Scopes::parse(entry.scopes.iter().map(String::as_str)),
            expires_at_ms,
            cidrs: entry.allow_cidrs.clone(),
        })
    }
}

/// What the configuration keeps of a token.
pub fn hash(token: &str) -> String {
    to_hex(digest(&SHA256, token.as_bytes()).as_ref())
}

/// Reads `2026-12-24T18:00:00Z`, in milliseconds.
pub fn moment(text: &str) -> Result<u64, String> {
    let bad = || format!("expiresAt {text:?} is not a moment such as 2026-12-24T18:00:00Z");
    let moment: jiff::Timestamp = text.trim().parse().map_err(|_| bad())?;
    u64::try_from(moment.as_millisecond()).map_err(|_| bad())
}

/// `10.0.0.0/8`, `fd00::/8` or one address.
pub fn is_network(text: &str) -> bool {
    let (net, bits) = text.trim().split_once('/').map_or((text.trim(), None), |(net, bits)| (net, Some(bits)));
    let Ok(net) = net.parse::<IpAddr>() else { return false };
    let most = if net.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u32>().is_ok_and(|bits| bits <= most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(token: &str, scopes: &[&str]) -> AccessTokenConfig {
        AccessTokenConfig {
            name: "probe".into(),
            hash: hash(token),
            scopes: scopes.iter().map(|name| name.to_string()).collect(),
            ..AccessTokenConfig::default()
        }
    }

    fn one(entry: AccessTokenConfig) -> AccessTokens {
        let (tokens, complaints) = AccessTokens::read(&[entry]);
        assert_eq!(complaints, Vec::<String>::new());
        tokens
    }

    #[test]
    fn a_token_is_good_from_its_addresses_until_its_end() {
        let tokens = one(AccessTokenConfig {
            expires_at: Some("2026-01-01T00:00:10Z".into()),
            allow_cidrs: vec!["10.0.0.0/8".into(), "::1".into()],
            ..entry("secret", &["operator.read"])
        });
        let end = moment("2026-01-01T00:00:10Z").expect("a moment");
        let shown = |ip: &str, at| tokens.look_up("secret", ip.parse().ok(), at);
        assert!(matches!(shown("10.1.2.3", end - 1), Shown::Good(token) if token.name == "probe"));
        assert!(matches!(shown("::1", end - 1), Shown::Good(_)));
        assert_eq!(shown("10.1.2.3", end), Shown::Expired);
        assert_eq!(shown("11.1.2.3", end - 1), Shown::Elsewhere);
        assert_eq!(shown("", end - 1), Shown::Elsewhere);
        assert_eq!(tokens.look_up("other", None, 0), Shown::Unknown);
        assert_eq!(tokens.look_up("", None, 0), Shown::Unknown);
    }

    #[test]
    fn what_cannot_be_read_lets_nobody_in() {
        let broken = [
            AccessTokenConfig { hash: "abc".into(), ..entry("a", &[]) },
            entry("b", &["operator.everything"]),
            AccessTokenConfig { expires_at: Some("soon".into()), ..entry("c", &[]) },
            AccessTokenConfig { allow_cidrs: vec!["10.0.0.0/33".into()], ..entry("d", &[]) },
        ];
        let (tokens, complaints) = AccessTokens::read(&broken);
        assert_eq!((tokens, complaints.len()), (AccessTokens::default(), 4));
        assert!(complaints[1].starts_with("gateway.auth.tokens[1] lets nobody in"));
    }

    #[test]
    fn an_entry_without_scopes_grants_none() {
        let Shown::Good(token) = one(entry("a", &[])).look_up("a", None, 0) else { panic!("good") };
        assert!(token.scopes.is_empty());
    }
}
