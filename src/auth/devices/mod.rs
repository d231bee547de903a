//! The devices that may come in: what was approved, what waits for approval, and the tokens devices hold.
//!
//! A plain value with an owner (the state thread): it decides and remembers, and says what must be written down, who must
//! be told and whose sockets must close. It reads no clock, opens nothing and sends nothing; the caller does.
//!
//! Deliberately absent: requests that wait and setup codes do not survive the process. A device asks again by itself,
//! and a code that is lost with the gateway is a code nobody can use.
//!
//! Invariants: a device id is the hash of its key, so a record cannot change keys; of a token only its SHA-256 is kept at
//! rest, compared in constant time; nobody approves, rotates or restores more than they hold (T27, T29); an empty scope
//! set means none. At most [`DEVICES`] devices, [`REQUESTS`] requests, [`HASHES`] live tokens per device and role.

mod arrive;
mod manage;
pub mod nodes;
mod setup;
#[cfg(test)]
mod tests;
mod token;
mod upgrade;

use serde::{Deserialize, Serialize};

pub use arrive::{Admission, Arrival, HandOver, Proof, Unasked};
pub use manage::Actor;
pub use nodes::{NodeRecord, Offer};
pub use setup::{CODE_TTL, Profile, SetupCode};
pub use token::DeviceToken;

use super::Role;
use crate::wire::device::{DevicePairRequest, PairedDevice};
use crate::wire::scope::Scopes;
use crate::wire::sorted::Sorted;

/// Devices remembered, about 1 KB each. Beyond it the one approved without asking and longest not seen goes.
pub const DEVICES: usize = 512;
/// Requests that wait; beyond it the oldest goes.
pub const REQUESTS: usize = 64;
/// A request nobody answered is forgotten (milliseconds). The device asks again when it tries again.
pub const REQUEST_TTL: u64 = 5 * 60 * 1000;
/// Tokens of one device and role that are good at the same time. After a restart of the gateway the token in force is
/// known by its hash only, so a device that shows the shared secret instead is given another one; the older ones stay
/// good for the copies of the client that hold them.
pub const HASHES: usize = 4;

/// One approved device, as it is written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    pub device_id: String,
    pub public_key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What an operator calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    pub platform: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    pub client_id: String,
    pub client_mode: String,
    pub roles: Vec<Role>,
    pub scopes: Scopes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<String>,
    /// `silent`, `owner`, `setup-code`, `cidr`, `trusted-proxy`.
    pub approved_via: String,
    pub created_at_ms: u64,
    pub approved_at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at_ms: Option<u64>,
    pub tokens: Vec<DeviceToken>,
    /// What it may be asked for, if it is a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Box<NodeRecord>>,
}

/// What an operator must be told, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The request with this id waits.
    Requested(String),
    Resolved {
        request_id: String,
        device_id: String,
        decision: &'static str,
    },
    Changed,
    /// What this node offers waits.
    NodeRequested(String),
    NodeResolved {
        request_id: String,
        node_id: String,
        decision: &'static str,
    },
}

/// What follows a decision.
#[derive(Debug, Default)]
pub struct Effects {
    pub news: Vec<News>,
    /// Devices whose record must be written, or erased when it is gone.
    pub save: Vec<String>,
    /// Open sockets of this device that must close: all, or those of one role.
    pub close: Option<(String, Option<Role>)>,
}

impl Effects {
    fn saved(device_id: &str) -> Effects {
        Effects { save: vec![device_id.to_string()], ..Effects::default() }
    }

    fn tell(mut self, news: News) -> Effects {
        self.news.push(news);
        self
    }

    fn shut(mut self, device_id: &str, role: Option<Role>) -> Effects {
        self.close = Some((device_id.to_string(), role));
        self
    }
}

/// All devices and all requests.
#[derive(Debug, Default)]
pub struct Devices {
    all: Sorted<String, Device>,
    /// Oldest first.
    pending: Vec<Request>,
    /// Oldest first.
    codes: Vec<SetupCode>,
    /// Invitations that were taken up, oldest first.
    taken_up: Vec<upgrade::TakenUp>,
}

/// One device asking for approval.
#[derive(Debug, Clone)]
struct Request {
    id: String,
    device_id: String,
    public_key: String,
    display_name: Option<String>,
    platform: String,
    device_family: Option<String>,
    client_id: String,
    client_mode: String,
    /// The role asked for last.
    role: Role,
    roles: Vec<Role>,
    scopes: Scopes,
    remote_ip: Option<String>,
    is_repair: bool,
    at_ms: u64,
}

impl Devices {
    /// Takes up the records of an earlier process. A record that cannot be read is left out and named.
    pub fn load(records: impl IntoIterator<Item = (String, String)>) -> (Devices, Vec<String>) {
        let (mut devices, mut unreadable) = (Devices::default(), Vec::new());
        for (name, text) in records {
            match serde_json::from_str::<Device>(&text) {
                Ok(device) if device.device_id == name => {
                    devices.all.insert(name, device);
                }
                _ => unreadable.push(name),
            }
        }
        (devices, unreadable)
    }

    /// The record of a device as it is written down; `None` when there is none.
    pub fn record(&self, device_id: &str) -> Option<String> {
        serde_json::to_string(self.all.get(device_id)?).ok()
    }

    pub fn get(&self, device_id: &str) -> Option<&Device> {
        self.all.get(device_id)
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Devices as operators see them; `connected` says which have a socket open.
    pub fn rows(&self, connected: impl Fn(&str) -> bool) -> Vec<PairedDevice> {
        self.all
            .values()
            .map(|device| PairedDevice { connected: Some(connected(&device.device_id)), ..device.row() })
            .collect()
    }

    /// Requests that wait, newest first.
    pub fn requests(&mut self, now_ms: u64) -> Vec<DevicePairRequest> {
        self.expire(now_ms);
        self.pending.iter().rev().map(Request::row).collect()
    }

    /// The request with this id, if it still waits.
    pub fn request(&self, id: &str) -> Option<DevicePairRequest> {
        self.pending.iter().find(|r| r.id == id).map(Request::row)
    }

    fn expire(&mut self, now_ms: u64) {
        self.pending.retain(|request| now_ms.saturating_sub(request.at_ms) < REQUEST_TTL);
    }
}

impl Device {
    pub fn row(&self) -> PairedDevice {
        PairedDevice {
            device_id: self.device_id.clone(),
            public_key: self.public_key.clone(),
            display_name: self.display_name.clone(),
            label: self.label.clone(),
            platform: self.platform.clone(),
            device_family: self.device_family.clone(),
            client_id: self.client_id.clone(),
            client_mode: self.client_mode.clone(),
            role: self.roles.first().map_or("operator", |role| role.as_str()),
            roles: self.role_names(),
            scopes: self.scopes,
            remote_ip: self.remote_ip.clone(),
            approved_via: self.approved_via.clone(),
            created_at_ms: self.created_at_ms,
            approved_at_ms: self.approved_at_ms,
            last_seen_at_ms: self.last_seen_at_ms,
            last_seen_reason: self.last_seen_at_ms.map(|_| "connect"),
            connected: None,
            tokens: self.tokens.iter().map(DeviceToken::row).collect(),
        }
    }

    pub fn role_names(&self) -> Vec<&'static str> {
        self.roles.iter().map(|role| role.as_str()).collect()
    }

    fn token(&self, role: Role) -> Option<&DeviceToken> {
        self.tokens.iter().find(|token| token.role == role)
    }

    fn token_mut(&mut self, role: Role) -> Option<&mut DeviceToken> {
        self.tokens.iter_mut().find(|token| token.role == role)
    }

    /// Makes sure there is a token for every role, with the scopes the device has now. A revoked one stays revoked.
    fn renew_tokens(&mut self, now_ms: u64) {
        for role in self.roles.clone() {
            let scopes = if role == Role::Operator { self.scopes.spelled_out() } else { Scopes::NONE };
            match self.token_mut(role) {
                Some(token) => token.scopes = scopes,
                None => self.tokens.push(DeviceToken::new(role, scopes, now_ms)),
            }
        }
    }
}

impl Request {
    fn row(&self) -> DevicePairRequest {
        DevicePairRequest {
            request_id: self.id.clone(),
            device_id: self.device_id.clone(),
            public_key: self.public_key.clone(),
            display_name: self.display_name.clone(),
            platform: self.platform.clone(),
            device_family: self.device_family.clone(),
            client_id: self.client_id.clone(),
            client_mode: self.client_mode.clone(),
            role: self.role.as_str(),
            roles: self.roles.iter().map(|role| role.as_str()).collect(),
            scopes: self.scopes,
            remote_ip: self.remote_ip.clone(),
            silent: false,
            is_repair: self.is_repair,
            ts: self.at_ms,
        }
    }
}
