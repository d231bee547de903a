//! The methods of the `chat` family and the `chat` event.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::command::CommandEntry;
use super::decode::{Given, Int, Name, Text, Whole};
use super::models::ModelChoice;
use super::object::objects;
use super::session::SessionRow;
use super::session_change::SessionsResolveResult;

/// Longest session key, in characters.
pub const SESSION_KEY_LIMIT: usize = 512;

/// Params of `chat.send`. That no session is named has an answer of its own, given before anything else is looked at.
#[derive(Debug)]
pub enum ChatSendParams {
    NoTarget,
    Send(Box<ChatSend>),
}

impl<'de> Deserialize<'de> for ChatSendParams {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<ChatSendParams, D::Error> {
        #[derive(Deserialize)]
        struct Target {
            #[serde(rename = "sessionKey")]
            key: Option<IgnoredAny>,
        }
        let raw = Box::<RawValue>::deserialize(from)?;
        let target: Target = super::decode::object(raw.get()).map_err(serde::de::Error::custom)?;
        if target.key.is_none() {
            return Ok(ChatSendParams::NoTarget);
        }
        super::decode::object(raw.get()).map(ChatSendParams::Send).map_err(serde::de::Error::custom)
    }
}

objects! { strict:
    #[derive(Debug)]
    pub struct ChatSend {
        pub session_key: Text<SESSION_KEY_LIMIT>,
        pub agent_id: Option<Name>,
        pub session_id: Option<Name>,
        pub message: String,
        pub thinking: Option<String>,
        pub queue_mode: Option<QueueMode>,
        pub deliver: Option<bool>,
        pub attachments: Vec<Attachment> = default,
        /// Milliseconds; 0 = no limit of its own.
        pub timeout_ms: Option<Whole>,
        pub suppress_command_interpretation: Option<bool>,
        /// Becomes the run's id.
        pub idempotency_key: Name,
        /// With an explicit origin (below), or else where the session was spoken to last: the answer goes there too.
        pub originating_channel: Option<String>,
        pub originating_to: Option<String>,
        pub originating_account_id: Option<String>,
        pub originating_thread_id: Option<String>,
        /// The entry of the transcript that is answered.
        pub reply_to_id: Option<Name>,
        /// The last message the sender saw; null: none.
        pub expected_leaf_entry_id: Given<Name> = default,
        /// `scope|main key|default agent`, as the sender knows them.
        pub expected_session_routing_contract: Option<Name>,
        /// Sessions have no permission mode and no tool overrides of their own here.
        pub expected_permission_mode: Given<IgnoredAny> = default,
        pub expected_tool_overrides: Given<BTreeMap<String, IgnoredAny>> = default,
        /// Need operator.admin.
        pub system_input_provenance: Option<IgnoredAny>,
        pub system_provenance_receipt: Option<String>,
        // Refused, because to act without them would be to act wrongly.
        pub intent: Option<IgnoredAny>,
        pub tool_bindings: Option<BTreeMap<String, IgnoredAny>>,
        // Accepted without effect, for the reasons in `rpc::absent::PARTIAL`.
        pub fast_mode: Option<IgnoredAny>,
        pub fast_auto_on_seconds: Option<Int<1, { u64::MAX }>>,
    }
}

/// What happens to a message that arrives while its session is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueMode {
    Steer,
    Followup,
    Collect,
    Interrupt,
}

impl QueueMode {
    pub fn named(name: &str) -> Option<QueueMode> {
        match name {
            "steer" => Some(QueueMode::Steer),
            "followup" => Some(QueueMode::Followup),
            "collect" => Some(QueueMode::Collect),
            "interrupt" => Some(QueueMode::Interrupt),
            _ => None,
        }
    }
}

objects! { lenient:
    /// A file that comes with a message; `content` is base64 or a data URL.
    #[derive(Debug)]
    pub struct Attachment {
        pub kind: Option<String> as "type",
        pub mime_type: Option<String>,
        pub file_name: Option<String>,
        pub content: Option<String>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatSendResult {
    pub run_id: String,
    /// `started`, `in_flight`, `ok`, `error`, `timeout`.
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_timing: Option<ServerTiming>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerTiming {
    pub received_to_ack_ms: f64,
}

objects! { strict:
    #[derive(Debug)]
    pub struct ChatHistoryParams {
        pub session_key: Text<SESSION_KEY_LIMIT>,
        pub agent_id: Option<Name>,
        /// Of an answer that goes on where another ended; there are none here, so any is answered with a reset.
        pub cursor: Option<String>,
        pub limit: Option<Int<1, 1000>>,
        pub offset: Option<Whole>,
        /// `nextBefore` of an earlier page of waiting messages.
        pub pending_before: Option<Int<1, { u64::MAX }>>,
        /// 1 to 50 messages of which the caller wants to know whether they were taken up.
        pub input_run_ids: Option<Vec<Text<256>>>,
        /// The entry the page is around, instead of an offset.
        pub message_id: Option<Name>,
        pub session_id: Option<Name>,
        pub max_chars: Option<Int<1, 500_000>>,
        /// Most bytes of the page's messages; the reference's page sends it.
        pub max_bytes: Option<Int<1, { u64::MAX }>>,
    }
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ChatHistoryAnswer {
    Page(Box<ChatHistoryResult>),
    /// `reset`: what the caller has is not known here; it asks for a page.
    Reset {
        kind: &'static str,
    },
}

/// Rows are the stored messages with `__openclaw` added, oldest first.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatHistoryResult {
    pub session_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    pub messages: Vec<Box<RawValue>>,
    pub pending_inputs: PendingInputs,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_consumptions: Option<Vec<InputConsumption>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_offset: Option<u64>,
    pub has_more: bool,
    pub total_messages: u64,
    pub defaults: super::session::SessionListDefaults,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_info: Option<SessionRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight_run: Option<InFlightRun>,
    pub thinking_level: String,
}

/// What the gateway knows of a stored message; clients read it under `__openclaw`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Known<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<&'a str>,
    pub id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<&'a str>,
    pub record_timestamp_ms: i64,
    pub seq: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

impl Known<'_> {
    /// Puts itself behind the last field of a message. None when that is no JSON object.
    pub fn beside(&self, message: &str) -> Option<Box<RawValue>> {
        let known = serde_json::to_string(self).ok()?;
        RawValue::from_string(format!(r#"{},"__openclaw":{known}}}"#, message.trim_end().strip_suffix('}')?)).ok()
    }
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingInputs {
    pub items: Vec<PendingInput>,
    pub total: u64,
    /// There are older ones; see `pendingBefore`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_before: Option<u64>,
}

/// A message that was taken up, and the entry of the transcript it became.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InputConsumption {
    pub run_id: String,
    pub consumed_by_event_id: String,
}

/// An accepted message whose run has not started.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingInput {
    pub run_id: String,
    pub text: String,
    pub created_at: u64,
}

/// The run a client may adopt after it reloaded.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InFlightRun {
    pub run_id: String,
    /// What the assistant said so far.
    pub text: String,
}

objects! { strict:
    /// A page of history and what a client needs to draw the rest of a chat.
    #[derive(Debug)]
    pub struct ChatStartupParams {
        pub session_key: Option<Text<SESSION_KEY_LIMIT>>,
        /// Instead of the key: the beginning of the id in it. The caller then also follows the list of sessions.
        pub short_id: Option<Name>,
        pub slug_hint: Option<Name>,
        pub agent_id: Option<Name>,
        pub limit: Option<Int<1, 1000>>,
        pub max_bytes: Option<Int<1, { u64::MAX }>>,
    }
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ChatStartupResult {
    Page {
        #[serde(flatten)]
        page: Box<ChatHistoryResult>,
        metadata: ChatMetadataResult,
        #[serde(skip_serializing_if = "Option::is_none")]
        resolution: Option<SessionsResolveResult>,
    },
    /// The short id fits no session, or several.
    Unresolved { resolution: SessionsResolveResult },
}

objects! { strict:
    #[derive(Debug)]
    pub struct ChatMetadataParams {
        pub agent_id: Option<Name>,
        pub session_key: Option<Name>,
    }
}

#[derive(Debug, Serialize)]
pub struct ChatMetadataResult {
    pub models: Vec<ModelChoice>,
    pub commands: Vec<CommandEntry>,
}

objects! { strict:
    #[derive(Debug)]
    pub struct ChatInjectParams {
        pub session_key: Text<SESSION_KEY_LIMIT>,
        pub agent_id: Option<Name>,
        pub message: Name,
        pub label: Option<String>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatInjectResult {
    pub ok: bool,
    pub message_id: String,
}

objects! { strict:
    #[derive(Debug)]
    pub struct ChatMessageGetParams {
        pub session_key: Text<SESSION_KEY_LIMIT>,
        pub agent_id: Option<Name>,
        pub message_id: Name,
        pub max_chars: Option<Int<1, 2_000_000>>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatMessageGetResult {
    pub ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<RawValue>>,
    /// `not_found`, `oversized`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable_reason: Option<&'static str>,
}

objects! { strict:
    #[derive(Debug)]
    pub struct ChatAbortParams {
        pub session_key: Text<SESSION_KEY_LIMIT>,
        pub agent_id: Option<Name>,
        pub run_id: Option<Name>,
        pub preserve_side_runs: Option<bool>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatAbortResult {
    pub ok: bool,
    pub aborted: bool,
    pub run_ids: Vec<String>,
}

/// Payload of the `chat` event. `seq` is the run's own count, not the frame's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatEvent<'a> {
    pub run_id: &'a str,
    pub session_key: &'a str,
    pub agent_id: &'a str,
    pub seq: u64,
    #[serde(flatten)]
    pub state: ChatState<'a>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum ChatState<'a> {
    Status {
        phase: &'a str,
    },
    Delta {
        delta_text: &'a str,
        message: AssistantText<'a>,
    },
    Final {
        #[serde(skip_serializing_if = "Option::is_none")]
        stop_reason: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<AssistantText<'a>>,
    },
    Aborted {
        stop_reason: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<AssistantText<'a>>,
    },
    Error {
        error_message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        error_detail: Option<ErrorDetail<'a>>,
    },
}

/// What failed, for clients that explain it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorDetail<'a> {
    pub provider: &'a str,
    pub model: &'a str,
    pub failover_reason: &'a str,
}

/// `{role:"assistant",content:[{type:"text",text}],timestamp}`, the cumulative text of a run.
#[derive(Debug, Serialize)]
pub struct AssistantText<'a> {
    pub role: &'static str,
    pub content: [TextBlock<'a>; 1],
    pub timestamp: u64,
}

#[derive(Debug, Serialize)]
pub struct TextBlock<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub text: &'a str,
}

impl<'a> AssistantText<'a> {
    pub fn new(text: &'a str, timestamp: u64) -> AssistantText<'a> {
        AssistantText { role: "assistant", content: [TextBlock { kind: "text", text }], timestamp }
    }
}

/// Payload of `chat.send_timing`, to the sender of a message. Milliseconds with fractions.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatSendTiming<'a> {
    pub phase: &'a str,
    pub run_id: &'a str,
    pub session_key: &'a str,
    pub agent_id: &'a str,
    pub ack_to_phase_ms: f64,
    pub received_to_phase_ms: f64,
}
