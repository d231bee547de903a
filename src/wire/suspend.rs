//! `gateway.suspend.*`, `gateway.restart.preflight`, `gateway.identity.get`: holding the gateway still for its host.

use serde::{Deserialize, Serialize};

use super::decode::Text;
use super::object::objects;

objects! { strict:
    #[derive(Debug)]
    pub struct GatewaySuspendPrepareParams {
        pub request_id: Text<128>,
        /// There are no terminals here: either policy is kept.
        pub terminal_policy: Option<TerminalPolicy>,
        pub drain: bool = default,
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TerminalPolicy {
    Preserve,
    Terminate,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySuspendPrepareResult {
    /// `ready`, `draining`, `busy`.
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspension_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    pub active_count: u64,
    pub blockers: Vec<Blocker>,
}

/// Work that holds a suspension up.
#[derive(Debug, Clone, Serialize)]
pub struct Blocker {
    pub kind: &'static str,
    pub count: u64,
    pub message: String,
}

objects! { strict:
    #[derive(Debug)]
    pub struct GatewaySuspendStatusParams {
        pub suspension_id: Text<128>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySuspendStatusResult {
    /// `running`, `draining`, `ready`.
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blockers: Option<Vec<Blocker>>,
}

#[derive(Debug, Serialize)]
pub struct GatewaySuspendResumeResult {
    pub ok: bool,
    pub status: &'static str,
    pub resumed: bool,
}

/// `gateway.suspension`: `accepting`, `preparing`, `prepared`.
#[derive(Debug, Serialize)]
pub struct SuspensionEvent {
    pub phase: &'static str,
}

/// Why a method is not served now.
#[derive(Debug, Serialize)]
pub struct SuspendedDetails<'a> {
    pub method: &'a str,
    pub reason: &'static str,
    pub phase: &'static str,
}

objects! { lenient:
    #[derive(Debug)]
    pub struct GatewayRestartPreflightParams {}
}

objects! { lenient:
    #[derive(Debug)]
    pub struct GatewayRestartRequestParams {
        pub reason: Option<String>,
        /// Ends what is made instead of waiting for it.
        pub skip_deferral: Option<bool>,
        /// The gateway that is meant; another one refuses.
        pub target: Option<RestartTarget>,
    }

    #[derive(Debug)]
    pub struct RestartTarget {
        pub pid: Option<u32>,
        pub port: Option<u16>,
    }
}

#[derive(Debug, Serialize)]
pub struct GatewayRestartRequestResult {
    pub ok: bool,
    /// `scheduled`: now; `deferred`: when what is made has ended, or after the time a stop gives it.
    pub status: &'static str,
    pub pid: u32,
    pub preflight: GatewayRestartPreflightResult,
}

#[derive(Debug, Serialize)]
pub struct GatewayRestartPreflightResult {
    pub safe: bool,
    pub counts: RestartCounts,
    pub blockers: Vec<Blocker>,
    pub summary: String,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartCounts {
    pub queue_size: u64,
    pub pending_replies: u64,
    pub embedded_runs: u64,
    pub cron_runs: u64,
    pub background_exec_sessions: u64,
    pub root_requests: u64,
    pub active_tasks: u64,
    pub total_active: u64,
}

objects! { strict:
    #[derive(Debug)]
    pub struct GatewayIdentityGetParams {}
}

/// The key this gateway is known by.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayIdentityGetResult {
    pub device_id: String,
    pub public_key: String,
}
