//! The handshake: `connect.challenge`, `connect`, `hello-ok`.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::decode::{Int, Name, Text, Whole};
use super::frame::StateVersion;
use super::health::HealthSnapshot;
use super::object::objects;
use super::presence::PresenceEntry;
use super::scope::Scopes;
use super::sorted::Sorted;

/// Payload of the first frame on every connection.
#[derive(Debug, Serialize)]
pub struct ConnectChallenge<'a> {
    pub nonce: &'a str,
    /// Milliseconds since the epoch; clients sign this moment.
    pub ts: u64,
    pub capabilities: &'a [&'a str],
}

macro_rules! closed_enum {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $text:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
        pub enum $name { $( #[serde(rename = $text)] $variant ),* }
        impl $name {
            pub fn as_str(self) -> &'static str {
                match self { $( $name::$variant => $text ),* }
            }
        }
    };
}

closed_enum! {
    /// Which program is calling.
    ClientId {
        WebchatUi = "webchat-ui", ControlUi = "openclaw-control-ui", BrowserCopilot = "openclaw-browser-copilot",
        Tui = "openclaw-tui", Webchat = "webchat", Cli = "cli", GatewayClient = "gateway-client",
        Macos = "openclaw-macos", Linux = "openclaw-linux", Ios = "openclaw-ios", Watchos = "openclaw-watchos",
        Android = "openclaw-android", NodeHost = "node-host", Worker = "openclaw-worker", Test = "test",
        Fingerprint = "fingerprint", Probe = "openclaw-probe",
    }
}

closed_enum! {
    /// In what manner it is calling.
    ClientMode {
        Webchat = "webchat", Cli = "cli", Ui = "ui", Backend = "backend", Node = "node", Worker = "worker",
        Probe = "probe", Test = "test",
    }
}

objects! { strict:
    #[derive(Debug, Clone)]
    pub struct ConnectClient {
        pub id: ClientId,
        pub display_name: Option<Name>,
        pub version: Name,
        pub build_id: Option<Text<96>>,
        pub platform: Name,
        pub device_family: Option<Name>,
        pub model_identifier: Option<Name>,
        pub time_zone: Option<Text<64>>,
        pub mode: ClientMode,
        pub instance_id: Option<Name>,
    }

    /// Proof that the caller holds a device key.
    #[derive(Debug, Clone)]
    pub struct ConnectDevice {
        pub id: Name,
        pub public_key: Name,
        pub signature: Name,
        pub signed_at: Whole,
        pub nonce: Name,
    }

    /// Credentials. Debug never shows them.
    #[derive(Clone, Default)]
    pub struct ConnectAuth {
        pub token: Option<String>,
        pub bootstrap_token: Option<String>,
        pub device_token: Option<String>,
        pub password: Option<String>,
        pub approval_runtime_token: Option<String>,
        pub agent_runtime_identity_token: Option<String>,
    }
}

impl std::fmt::Debug for ConnectAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConnectAuth([redacted])")
    }
}

objects! { strict:
    #[derive(Debug, Clone)]
    pub struct ConnectParams {
        pub min_protocol: Int<1, 1_000_000>,
        pub max_protocol: Int<1, 1_000_000>,
        pub client: ConnectClient,
        pub caps: Vec<Name> = default,
        pub commands: Option<Vec<Name>>,
        pub computer_use: Option<IgnoredAny>,
        pub worker_runs: Option<IgnoredAny>,
        pub permissions: Option<Sorted<String, bool>>,
        pub path_env: Option<String>,
        pub role: Option<Name>,
        pub scopes: Option<Vec<Name>>,
        pub device: Option<ConnectDevice>,
        pub auth: Option<ConnectAuth>,
        pub locale: Option<String>,
        pub user_agent: Option<String>,
        pub model_catalog: Option<IgnoredAny>,
    }
}

/// Details of `PROTOCOL_MISMATCH`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProtocolMismatch {
    pub code: &'static str,
    pub client_min_protocol: u64,
    pub client_max_protocol: u64,
    pub expected_protocol: u32,
    pub minimum_probe_protocol: u32,
}

/// Payload of the answer to a good `connect`.
#[derive(Debug, Serialize)]
pub struct HelloOk<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub protocol: u32,
    pub server: HelloServer<'a>,
    pub features: HelloFeatures<'a>,
    pub snapshot: Snapshot<'a>,
    pub auth: HelloAuth<'a>,
    pub policy: HelloPolicy,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HelloServer<'a> {
    pub version: &'a str,
    pub build_id: &'a str,
    pub boot_id: &'a str,
    /// `bundled`, or `configured` for a page of the owner's choice, which is not to compare its build with ours.
    pub control_ui_build_source: &'static str,
    pub conn_id: &'a str,
}

#[derive(Debug, Serialize)]
pub struct HelloFeatures<'a> {
    pub methods: &'a [&'static str],
    pub events: Vec<&'static str>,
    pub capabilities: &'a [&'static str],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot<'a> {
    pub suspension: Suspension,
    pub presence: Vec<&'a PresenceEntry>,
    /// `{}` for a caller that may not read.
    pub health: SnapshotHealth<'a>,
    pub state_version: StateVersion,
    pub uptime_ms: u64,
    pub applied_config_hash: &'a str,
    pub session_defaults: SessionDefaults<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_mode: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum SnapshotHealth<'a> {
    Known(&'a HealthSnapshot),
    Hidden {},
}

#[derive(Debug, Serialize)]
pub struct Suspension {
    pub phase: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionDefaults<'a> {
    pub default_agent_id: &'a str,
    pub model_configured: bool,
    pub ownership: &'static str,
    pub selection_required: bool,
    pub main_key: &'a str,
    pub main_session_key: &'a str,
    pub scope: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HelloAuth<'a> {
    pub method: &'a str,
    pub role: &'a str,
    pub scopes: Scopes,
    /// What the device may connect with from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_at_ms: Option<u64>,
    /// Tokens for other roles, handed over with a setup code.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_tokens: Vec<HelloDeviceToken<'a>>,
}

impl std::fmt::Debug for HelloAuth<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HelloAuth").field("method", &self.method).field("role", &self.role).finish_non_exhaustive()
    }
}

/// A token for another role.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HelloDeviceToken<'a> {
    pub device_token: &'a str,
    pub role: &'a str,
    pub scopes: Scopes,
    pub issued_at_ms: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HelloPolicy {
    /// Bytes of one frame from the client.
    pub max_payload: u64,
    /// Bytes queued for a client that does not read.
    pub max_buffered_bytes: u64,
    pub tick_interval_ms: u64,
    pub attachments: HelloAttachments,
    pub allowed_session_visibilities: [&'static str; 1],
    pub has_multiple_session_sharing_identities: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HelloAttachments {
    pub max_bytes: u64,
    pub max_image_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::super::decode;
    use super::*;

    fn complaint(text: &str) -> String {
        decode::object::<ConnectParams>(text).expect_err("must not fit")
    }

    #[test]
    fn connect_params_complain_as_recorded() {
        assert_eq!(complaint(r#"{"minProtocol":4,"maxProtocol":4}"#), "must have required property 'client'");
        assert_eq!(complaint(r#"{"minProtocol":"4","maxProtocol":4,"client":{}}"#), "at /minProtocol: must be integer");
        assert_eq!(
            complaint(
                r#"{"minProtocol":4,"maxProtocol":4,"client":{"id":"nope","version":"1","platform":"l","mode":"cli"}}"#
            ),
            "at /client/id: must be equal to one of the allowed values"
        );
        let client = r#""client":{"id":"cli","version":"1","platform":"l","mode":"cli"}"#;
        assert_eq!(
            complaint(&format!(r#"{{"minProtocol":4,"maxProtocol":4,{client},"bogus":1}}"#)),
            "at root: unexpected property 'bogus'"
        );
        assert_eq!(
            complaint(&format!(
                r#"{{"minProtocol":4,"maxProtocol":4,{client},"device":{{"id":"a","publicKey":"b","signature":"c","signedAt":1,"nonce":""}}}}"#
            )),
            "at /device/nonce: must not have fewer than 1 characters"
        );
    }

    #[test]
    fn credentials_are_not_printed() {
        let auth: ConnectAuth = serde_json::from_str(r#"{"token":"hunter2"}"#).expect("valid");
        assert!(!format!("{auth:?}").contains("hunter2"));
    }
}
