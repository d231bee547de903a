//! Devices and their pairing: `device.pair.*`, `device.token.*` and the details of `PAIRING_REQUIRED`.

use serde::{Deserialize, Serialize};

use super::decode::{Name, Text};
use super::object::objects;
use super::scope::Scopes;

/// Why a device that proved its key may not come in yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairingReason {
    NotPaired,
    RoleUpgrade,
    ScopeUpgrade,
    MetadataUpgrade,
}

impl PairingReason {
    /// `details.reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            PairingReason::NotPaired => "not-paired",
            PairingReason::RoleUpgrade => "role-upgrade",
            PairingReason::ScopeUpgrade => "scope-upgrade",
            PairingReason::MetadataUpgrade => "metadata-upgrade",
        }
    }

    /// The message of the refusal.
    pub fn message(self) -> &'static str {
        match self {
            PairingReason::NotPaired => "pairing required: device is not approved yet",
            PairingReason::RoleUpgrade => {
                "pairing required: device is asking for a higher role than currently approved"
            }
            PairingReason::ScopeUpgrade => "pairing required: device is asking for more scopes than currently approved",
            PairingReason::MetadataUpgrade => "pairing required: device identity changed and must be re-approved",
        }
    }

    /// What the operator should do.
    pub fn hint(self) -> &'static str {
        match self {
            PairingReason::NotPaired => "Approve this device from the pending pairing requests.",
            PairingReason::RoleUpgrade => "Review the requested role upgrade, then approve the pending request.",
            PairingReason::ScopeUpgrade => "Review the requested scopes, then approve the pending upgrade.",
            PairingReason::MetadataUpgrade => "Review the refreshed device details, then approve the pending request.",
        }
    }
}

/// Details of `PAIRING_REQUIRED`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PairingRequired<'a> {
    pub code: &'static str,
    pub reason: &'static str,
    pub request_id: &'a str,
    pub remediation_hint: &'static str,
    /// Told to clients a person sits at: they try again by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recommended_next_step: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_reconnect: Option<bool>,
    pub device_id: &'a str,
    pub requested_role: &'static str,
    #[serde(skip_serializing_if = "Scopes::is_none")]
    pub requested_scopes: Scopes,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approved_roles: Vec<&'static str>,
    #[serde(skip_serializing_if = "Scopes::is_none")]
    pub approved_scopes: Scopes,
}

/// A request that waits for an operator; also the payload of `device.pair.requested`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DevicePairRequest {
    pub request_id: String,
    pub device_id: String,
    pub public_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    pub platform: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    pub client_id: String,
    pub client_mode: String,
    pub role: &'static str,
    pub roles: Vec<&'static str>,
    pub scopes: Scopes,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<String>,
    pub silent: bool,
    /// The device is known already: it asks for more, or has changed.
    pub is_repair: bool,
    /// Milliseconds.
    pub ts: u64,
}

/// A device that was approved.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PairedDevice {
    pub device_id: String,
    pub public_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    pub platform: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    pub client_id: String,
    pub client_mode: String,
    pub role: &'static str,
    pub roles: Vec<&'static str>,
    pub scopes: Scopes,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<String>,
    pub approved_via: String,
    pub created_at_ms: u64,
    pub approved_at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_reason: Option<&'static str>,
    /// Absent in the answer to an approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected: Option<bool>,
    pub tokens: Vec<DeviceTokenRow>,
}

/// What is told of a device token: never the token.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceTokenRow {
    pub role: &'static str,
    pub scopes: Scopes,
    pub created_at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotated_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at_ms: Option<u64>,
}

objects! { strict:
    #[derive(Debug)]
    pub struct DevicePairListParams {}
}

#[derive(Debug, Serialize)]
pub struct DevicePairListResult {
    pub pending: Vec<DevicePairRequest>,
    pub paired: Vec<PairedDevice>,
}

objects! { strict:
    #[derive(Debug)]
    pub struct DevicePairApproveParams {
        pub request_id: Name,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DevicePairApproveResult {
    pub request_id: String,
    pub device: PairedDevice,
}

objects! { strict:
    #[derive(Debug)]
    pub struct DevicePairRejectParams {
        pub request_id: Name,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DevicePairRejectResult {
    pub request_id: String,
    pub device_id: String,
}

objects! { strict:
    #[derive(Debug)]
    pub struct DevicePairRemoveParams {
        pub device_id: Name,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DevicePairRemoveResult {
    pub device_id: String,
}

objects! { strict:
    #[derive(Debug)]
    pub struct DevicePairRenameParams {
        pub device_id: Name,
        pub label: Text<64>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DevicePairRenameResult {
    pub device_id: String,
    pub label: String,
}

objects! { strict:
    #[derive(Debug)]
    pub struct DeviceTokenRotateParams {
        pub device_id: Name,
        pub role: Name,
        /// Fewer scopes than before; absent keeps them.
        pub scopes: Option<Vec<Name>>,
    }
}

/// The new token goes to nobody but the device itself.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceTokenRotateResult {
    pub device_id: String,
    pub role: &'static str,
    pub scopes: Scopes,
    pub rotated_at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_delivery: Option<&'static str>,
}

impl std::fmt::Debug for DeviceTokenRotateResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceTokenRotateResult").field("device_id", &self.device_id).finish_non_exhaustive()
    }
}

objects! { strict:
    #[derive(Debug)]
    pub struct DeviceTokenRevokeParams {
        pub device_id: Name,
        pub role: Name,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceTokenRevokeResult {
    pub device_id: String,
    pub role: &'static str,
    pub revoked_at_ms: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootstrapProfile {
    Node,
    Limited,
    #[default]
    Full,
}

objects! { strict:
    #[derive(Debug)]
    pub struct DevicePairSetupCodeParams {
        pub bootstrap_profile: BootstrapProfile = default,
        /// Accepted for clients that ask; the picture is drawn by whoever shows it.
        pub _include_qr: bool as "includeQr" = default,
        pub join_url: bool = default,
        /// The address under which the device reaches this gateway, if it is not the configured one.
        pub public_url: Option<Name>,
    }
}

/// The code is a secret: whoever shows it first is let in.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DevicePairSetupCodeResult {
    pub setup_id: String,
    pub expires_at_ms: u64,
    pub setup_code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_url: Option<String>,
    pub gateway_url: String,
    pub auth: &'static str,
    pub url_source: &'static str,
    pub access: &'static str,
}

/// What a setup code holds, and what its link answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetupPayload<'a> {
    pub url: &'a str,
    pub bootstrap_token: &'a str,
    pub expires_at_ms: u64,
}

objects! { strict:
    #[derive(Debug)]
    pub struct DevicePairSetupStatusParams {
        pub setup_id: Text<128>,
    }
}

/// Neither field: nothing is known of that invitation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DevicePairSetupStatusResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion: Option<SetupOutcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_uncertain: Option<SetupOutcome>,
}

/// An invitation that was taken up; also the payload of `device.pair.setup.completed`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetupOutcome {
    pub setup_id: String,
    pub device_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    pub access: &'static str,
    pub ts: u64,
}

objects! { strict:
    #[derive(Debug)]
    pub struct ScopeUpgradeRequestParams {
        pub scopes: Vec<Name>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScopeUpgradeRegistration {
    pub request_id: String,
}

objects! { strict:
    #[derive(Debug)]
    pub struct ScopeUpgradeWaitParams {
        pub request_id: Name,
    }
}

/// How a wish for more ended; with the new token when it was granted.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScopeUpgradeResult {
    pub status: &'static str,
    pub request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Scopes>,
}

impl ScopeUpgradeResult {
    /// `rejected` or `expired`.
    pub fn ended(status: &'static str, request_id: &str) -> ScopeUpgradeResult {
        ScopeUpgradeResult { status, request_id: request_id.to_string(), device_token: None, scopes: None }
    }

    pub fn approved(request_id: &str, token: &str, scopes: Scopes) -> ScopeUpgradeResult {
        ScopeUpgradeResult {
            device_token: Some(token.to_string()),
            scopes: Some(scopes),
            ..ScopeUpgradeResult::ended("approved", request_id)
        }
    }
}

/// `device.pair.resolved`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DevicePairResolvedEvent<'a> {
    pub request_id: &'a str,
    pub device_id: &'a str,
    /// `approved`, `rejected`.
    pub decision: &'static str,
    pub ts: u64,
}

/// `device.pair.changed` says only that there is something to look at.
#[derive(Debug, Serialize)]
pub struct DevicePairChangedEvent {}
