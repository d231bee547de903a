//! `channels.*`, `send` and `message.action`.

use serde::Serialize;

use super::decode::{Name, Whole};
use super::health::EventLoop;
use super::object::objects;
use super::sorted::Sorted;

objects! { strict:
    #[derive(Debug)]
    pub struct ChannelsStatusParams {
        /// Ask the messengers themselves instead of reporting what is known.
        pub probe: Option<bool>,
        pub timeout_ms: Option<Whole>,
        pub channel: Option<Name>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelsStatusResult {
    pub ts: u64,
    pub channel_order: Vec<String>,
    pub channel_labels: Sorted<String, String>,
    pub channel_detail_labels: Sorted<String, String>,
    pub channel_system_images: Sorted<String, String>,
    pub channel_meta: Vec<ChannelMeta>,
    pub event_loop: EventLoop,
    pub channels: Sorted<String, ChannelSummary>,
    pub channel_accounts: Sorted<String, Vec<ChannelAccount>>,
    pub channel_default_account_id: Sorted<String, String>,
    pub status_issues: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelMeta {
    pub id: String,
    pub label: String,
    pub detail_label: String,
}

/// One messenger: the worst of its accounts.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelSummary {
    pub configured: bool,
    pub running: bool,
    pub connected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// Times are milliseconds since the epoch.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelAccount {
    pub account_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub enabled: bool,
    pub configured: bool,
    pub running: bool,
    pub connected: bool,
    pub reconnect_attempts: u32,
    pub last_connected_at: Option<u64>,
    pub last_error: Option<String>,
    pub health_state: &'static str,
    pub last_start_at: Option<u64>,
    pub last_stop_at: Option<u64>,
    pub last_inbound_at: Option<u64>,
    pub last_outbound_at: Option<u64>,
    pub last_transport_activity_at: Option<u64>,
    /// When it tries again, if it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_retry_at: Option<u64>,
    /// Who we are there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub identity: String,
    pub mode: &'static str,
    pub dm_policy: String,
    pub allow_from: Vec<String>,
    /// Messages that wait to be delivered.
    pub queued: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_probe_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<ChannelProbe>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelProbe {
    pub ok: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub identity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub elapsed_ms: u64,
}

objects! { strict:
    /// `channels.start`, `channels.stop`, `channels.logout`.
    #[derive(Debug)]
    pub struct ChannelsStartParams {
        pub channel: Name,
        pub account_id: Option<String>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelsStartResult {
    pub channel: String,
    pub account_id: String,
    pub started: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelsStopResult {
    pub channel: String,
    pub account_id: String,
    pub stopped: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelsLogoutResult {
    pub channel: String,
    pub account_id: String,
    pub cleared: bool,
}

objects! { strict:
    #[derive(Debug, Default)]
    pub struct ChannelsPairingListParams {
        pub channel: Option<Name>,
        pub account_id: Option<Name>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelsPairingListResult {
    pub accounts: Vec<PairingAccount>,
    pub requests: Vec<PairingRequest>,
    pub command_owner_configured: bool,
    pub limits: PairingLimits,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PairingAccount {
    pub channel: String,
    pub channel_label: String,
    pub account_id: String,
    pub notify_supported: bool,
}

/// Times are RFC 3339.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PairingRequest {
    pub request_id: String,
    pub channel: String,
    pub channel_label: String,
    pub account_id: String,
    pub sender_id: String,
    pub sender_label: String,
    pub created_at: String,
    pub last_seen_at: String,
    pub expires_at: String,
    pub notify_supported: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PairingLimits {
    pub pending_per_account: usize,
    pub ttl_ms: u64,
}

objects! { strict:
    #[derive(Debug)]
    pub struct ChannelsPairingApproveParams {
        pub channel: Name,
        pub account_id: Name,
        pub request_id: Name,
        pub notify: Option<bool>,
        pub bootstrap_command_owner: Option<bool>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelsPairingApproveResult {
    pub request_id: String,
    pub sender_id: String,
    pub notification: &'static str,
    pub command_owner_bootstrap: &'static str,
}

objects! { strict:
    #[derive(Debug)]
    pub struct ChannelsPairingDismissParams {
        pub channel: Name,
        pub account_id: Name,
        pub request_id: Name,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelsPairingDismissResult {
    pub request_id: String,
    pub sender_id: String,
}

objects! { strict:
    /// `send`: a message of the gateway's own into a messenger.
    #[derive(Debug)]
    pub struct SendParams {
        pub to: Name,
        pub message: Option<String>,
        pub media_url: Option<String>,
        pub media_urls: Vec<String> = default,
        pub buffer: Option<String>,
        pub filename: Option<String>,
        pub content_type: Option<String>,
        pub as_voice: Option<bool>,
        pub gif_playback: Option<bool>,
        pub channel: Option<String>,
        pub account_id: Option<String>,
        pub agent_id: Option<String>,
        pub reply_to_id: Option<String>,
        pub thread_id: Option<String>,
        pub force_document: Option<bool>,
        pub silent: Option<bool>,
        pub parse_mode: Option<String>,
        pub session_key: Option<String>,
        pub idempotency_key: Name,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SendResult {
    pub run_id: String,
    pub message_id: String,
}

impl SendResult {
    /// `key` is that of the last part in the outbox, `id` what the service calls it.
    pub fn of(key: &str, id: &str) -> SendResult {
        let run_id = key.rsplit_once(':').map_or(key, |(run_id, _)| run_id);
        SendResult { run_id: run_id.to_owned(), message_id: id.to_owned() }
    }
}

objects! { strict:
    /// `message.action`: what the reference's CLI calls to send.
    #[derive(Debug)]
    pub struct MessageActionParams {
        pub channel: Name,
        pub action: Name,
        pub params: serde_json::Map<String, serde_json::Value>,
        pub reply: Option<serde_json::Value>,
        pub account_id: Option<String>,
        pub requester_account_id: Option<String>,
        pub requester_sender_id: Option<String>,
        pub sender_is_owner: Option<bool>,
        pub session_key: Option<String>,
        pub session_id: Option<String>,
        pub inbound_turn_kind: Option<String>,
        pub agent_id: Option<String>,
        pub tool_context: Option<serde_json::Value>,
        pub conversation_read_origin: Option<String>,
        pub idempotency_key: Name,
    }
}
