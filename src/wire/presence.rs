//! `system-presence` and the `presence` event.

use serde::Serialize;

use super::object::objects;
use super::scope::Scopes;

objects! { strict:
    /// `system-presence` takes nothing.
    #[derive(Debug)]
    pub struct SystemPresenceParams {}
}

/// One program that is, or was just now, connected; the first row is the gateway itself.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PresenceEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<PresenceUser>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub online_since: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Scopes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Milliseconds since the epoch of the last change.
    pub ts: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct PresenceUser {
    pub id: &'static str,
    pub identity: PresenceIdentity,
}

#[derive(Debug, Clone, Serialize)]
pub struct PresenceIdentity {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub id: &'static str,
}

/// Payload of the `presence` event.
#[derive(Debug, Serialize)]
pub struct PresenceEvent<'a> {
    pub presence: Vec<&'a PresenceEntry>,
}

/// Payload of `tick`.
#[derive(Debug, Serialize)]
pub struct TickEvent {
    pub ts: u64,
}

/// Payload of `shutdown`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShutdownEvent {
    pub reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_expected_ms: Option<u64>,
}
