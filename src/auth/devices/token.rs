//! One device token: 32 random bytes that the device keeps and the gateway knows by their hash.

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::HASHES;
use crate::auth::Role;
use crate::sys::random;
use crate::sys::secret::Secret;
use crate::wire::device::DeviceTokenRow;
use crate::wire::scope::Scopes;

/// The tokens of one device for one role.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceToken {
    pub role: Role,
    pub scopes: Scopes,
    pub created_at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at_ms: Option<u64>,
    /// SHA-256 in hex, newest last.
    hashes: Vec<String>,
    /// The newest, as long as this process lives: a device that comes back is given the same one.
    #[serde(skip)]
    plain: Option<Secret>,
}

impl DeviceToken {
    pub fn new(role: Role, scopes: Scopes, now_ms: u64) -> DeviceToken {
        DeviceToken {
            role,
            scopes,
            created_at_ms: now_ms,
            rotated_at_ms: None,
            revoked_at_ms: None,
            hashes: Vec::new(),
            plain: None,
        }
    }

    /// When the token in force was issued (milliseconds).
    pub fn issued_at_ms(&self) -> u64 {
        self.rotated_at_ms.unwrap_or(self.created_at_ms)
    }

    /// Whether `offered` is a live token of this row. Every hash is looked at, whatever the first ones say.
    pub fn accepts(&self, offered: &str) -> bool {
        if self.revoked_at_ms.is_some() {
            return false;
        }
        let offered = hash(offered);
        self.hashes.iter().fold(false, |found, own| found | same(own, &offered))
    }

    /// The token to give to its device; `true` when it is new and must be written down. Nothing when it was revoked.
    pub fn give(&mut self) -> Option<(Secret, bool)> {
        if self.revoked_at_ms.is_some() {
            return None;
        }
        if let Some(plain) = &self.plain {
            return Some((plain.clone(), false));
        }
        let token = Secret::new(random::token::<32>());
        self.hashes.push(hash(token.expose()));
        if self.hashes.len() > HASHES {
            self.hashes.remove(0);
        }
        self.plain = Some(token.clone());
        Some((token, true))
    }

    /// Ends all tokens and makes a new one.
    pub fn rotate(&mut self, now_ms: u64) -> Secret {
        let token = Secret::new(random::token::<32>());
        self.hashes = vec![hash(token.expose())];
        self.plain = Some(token.clone());
        self.rotated_at_ms = Some(now_ms);
        self.revoked_at_ms = None;
        token
    }

    pub fn revoke(&mut self, now_ms: u64) {
        self.hashes.clear();
        self.plain = None;
        self.revoked_at_ms = Some(now_ms);
    }

    pub fn row(&self) -> DeviceTokenRow {
        DeviceTokenRow {
            role: self.role.as_str(),
            scopes: self.scopes,
            created_at_ms: self.created_at_ms,
            rotated_at_ms: self.rotated_at_ms,
            revoked_at_ms: self.revoked_at_ms,
        }
    }
}

fn hash(token: &str) -> String {
    random::to_hex(digest(&SHA256, token.as_bytes()).as_ref())
}

/// Compares in constant time.
fn same(own: &str, offered: &str) -> bool {
    Secret::new(own).matches(offered)
}
