//! `agent`, `agent.wait` and the `agent` event.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::chat::Attachment;
use super::decode::{Name, Text, Whole};
use super::object::objects;
use super::session_change::LABEL_LIMIT;

objects! { strict:
    #[derive(Debug)]
    pub struct AgentParams {
        pub message: Name,
        pub agent_id: Option<Name>,
        /// With `model`: overrides the agent's model for this run.
        pub provider: Option<String>,
        pub model: Option<String>,
        pub session_id: Option<String>,
        pub session_key: Option<String>,
        pub thinking: Option<String>,
        /// The answer goes into a messenger too: `replyChannel` and `replyTo`, or `channel` and `to`, or where the
        /// session was spoken to last.
        pub deliver: Option<bool>,
        pub channel: Option<String>,
        /// A recipient; without a session it also says which one.
        pub to: Option<String>,
        pub account_id: Option<String>,
        pub thread_id: Option<String>,
        pub reply_channel: Option<String>,
        pub reply_to: Option<String>,
        pub reply_account_id: Option<String>,
        /// `message_tool_only`: not even with `deliver`.
        pub source_reply_delivery_mode: Option<ReplyMode>,
        /// The turn is made even when its answer cannot be delivered.
        pub best_effort_deliver: Option<bool>,
        /// The session must exist and have this transcript.
        pub expected_existing_session_id: Option<Name>,
        /// Where tools start: an absolute path of a directory. It is open to them, so this needs operator.admin.
        pub cwd: Option<Name>,
        /// The model alone: no system prompt and no tools.
        pub model_run: Option<bool>,
        pub prompt_mode: Option<PromptMode>,
        pub bootstrap_context_mode: Option<BootstrapMode>,
        pub attachments: Vec<Attachment> = default,
        /// Seconds; 0 = no limit of its own.
        pub timeout: Option<Whole>,
        pub extra_system_prompt: Option<String>,
        pub idempotency_key: Name,
        /// The label of a session that this message makes.
        pub label: Option<Text<LABEL_LIMIT>>,
        // Accepted without effect, for the reasons in `rpc::absent::PARTIAL`.
        pub group_id: Option<String>,
        pub group_channel: Option<String>,
        pub group_space: Option<String>,
        pub lane: Option<String>,
        pub cleanup_bundle_mcp_on_run_end: Option<bool>,
        pub bootstrap_context_run_kind: Option<RunKind>,
        pub input_provenance: Option<IgnoredAny>,
        pub voice_wake_trigger: Option<String>,
        pub disable_message_tool: Option<bool>,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyMode {
    Automatic,
    MessageToolOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptMode {
    Full,
    Minimal,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootstrapMode {
    Full,
    Lightweight,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunKind {
    Default,
    Heartbeat,
    Cron,
}

/// First answer of `agent`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentAccepted<'a> {
    pub run_id: &'a str,
    pub session_key: &'a str,
    pub agent_id: &'a str,
    pub status: &'static str,
    pub accepted_at: u64,
}

/// Second answer of `agent`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentResult<'a> {
    pub run_id: &'a str,
    pub status: &'a str,
    pub summary: &'a str,
    pub result: AgentReply<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentReply<'a> {
    pub payloads: Vec<ReplyPayload<'a>>,
    pub meta: ReplyMeta<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_status: Option<&'a DeliveryStatus>,
}

/// What became of an answer that was to be delivered. Words and fields: docs/cli/agent.md, "JSON delivery status".
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryStatus {
    pub requested: bool,
    pub attempted: bool,
    /// `sent`, `suppressed`, `partial_failed`, `failed`.
    pub status: &'static str,
    pub succeeded: Succeeded,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_count: Option<usize>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sent_before_error: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub error: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Succeeded {
    Whole(bool),
    /// `partial`.
    Part(&'static str),
}

impl DeliveryStatus {
    /// After `sent` messages went out and perhaps one did not.
    pub fn of(sent: usize, failed: Option<String>) -> DeliveryStatus {
        let (status, succeeded) = match (&failed, sent) {
            (None, _) => ("sent", Succeeded::Whole(true)),
            (Some(_), 0) => ("failed", Succeeded::Whole(false)),
            (Some(_), _) => ("partial_failed", Succeeded::Part("partial")),
        };
        DeliveryStatus {
            requested: true,
            attempted: true,
            status,
            succeeded,
            reason: None,
            result_count: (status != "failed").then_some(sent),
            sent_before_error: status == "partial_failed",
            error: failed.is_some(),
            error_message: failed,
        }
    }

    /// There was no place for it.
    pub fn impossible(reason: &'static str) -> DeliveryStatus {
        let failed = DeliveryStatus::of(0, Some(String::new()));
        DeliveryStatus { attempted: false, reason: Some(reason), error_message: None, ..failed }
    }

    /// The agent had nothing to say.
    pub fn nothing_to_say() -> DeliveryStatus {
        DeliveryStatus {
            attempted: false,
            status: "suppressed",
            reason: Some("no_visible_payload"),
            ..DeliveryStatus::of(0, None)
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplyPayload<'a> {
    pub text: &'a str,
    pub media_url: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplyMeta<'a> {
    pub duration_ms: u64,
    pub agent_meta: AgentMeta<'a>,
    pub aborted: bool,
    pub stop_reason: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentMeta<'a> {
    pub session_id: &'a str,
    pub provider: &'a str,
    pub model: &'a str,
    pub usage: crate::wire::agent::RunUsage,
}

objects! { lenient:
    /// Tokens of a whole run, over all its model calls.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct RunUsage {
        pub input: u64,
        pub output: u64,
        pub cache_read: u64,
        pub cache_write: u64,
        pub total_tokens: u64,
    }
}

objects! { strict:
    #[derive(Debug)]
    pub struct AgentWaitParams {
        pub run_id: Name,
        /// Milliseconds; default 30 000.
        pub timeout_ms: Option<Whole>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentWaitResult<'a> {
    pub run_id: &'a str,
    /// `ok`, `error` or `timeout`.
    pub status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminal_reply: Option<TerminalReply<'a>>,
}

#[derive(Debug, Serialize)]
pub struct TerminalReply<'a> {
    /// `visible` or `silent`.
    pub disposition: &'static str,
    pub text: &'a str,
}

/// Payload of the `agent` event.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentEvent<'a> {
    pub run_id: &'a str,
    pub session_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<&'a str>,
    pub agent_id: &'a str,
    pub stream: &'static str,
    pub data: AgentData<'a>,
    pub seq: u64,
    pub ts: u64,
    pub is_heartbeat: bool,
}

/// `data` of an `agent` event, by stream.
#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum AgentData<'a> {
    Phase {
        phase: &'a str,
    },
    Retrying {
        phase: &'static str,
        message: &'a str,
        retry_attempt: u32,
        max_retries: u32,
        delay_ms: u64,
        attempt: u32,
        max_attempts: u32,
        reason: &'a str,
    },
    Start {
        phase: &'static str,
        started_at: u64,
    },
    Model {
        phase: &'static str,
        provider: &'a str,
        model: &'a str,
    },
    FallbackStep {
        phase: &'static str,
        fallback_step_type: &'static str,
        fallback_step_from_model: &'a str,
        fallback_step_to_model: &'a str,
        fallback_step_from_failure_reason: &'a str,
    },
    Finishing {
        phase: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        stop_reason: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
        aborted: bool,
        liveness_state: &'static str,
        ended_at: u64,
    },
    End {
        phase: &'static str,
        started_at: u64,
        ended_at: u64,
        aborted: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<&'static str>,
        stop_reason: &'a str,
        liveness_state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        terminal_reply: Option<TerminalReply<'a>>,
        execution_settled: bool,
    },
    Error {
        phase: &'static str,
        started_at: u64,
        ended_at: u64,
        error: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        error_observation: Option<super::chat::ErrorDetail<'a>>,
    },
    Assistant {
        text: &'a str,
        delta: &'a str,
        item_id: &'a str,
    },
    Thinking {
        text: &'a str,
        delta: &'a str,
    },
    Usage {
        output_tokens: u64,
    },
    Item {
        item_id: &'a str,
        tool_call_id: &'a str,
        name: &'a str,
        kind: &'static str,
        phase: &'static str,
        title: &'a str,
        status: &'a str,
        started_at: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        ended_at: Option<u64>,
    },
    /// A tool call waits for a person's decision, or has it.
    Approval {
        phase: &'static str,
        approval_id: &'a str,
        tool_call_id: &'a str,
    },
    ToolStart {
        phase: &'static str,
        name: &'a str,
        tool_call_id: &'a str,
        args: &'a RawValue,
    },
    ToolUpdate {
        phase: &'static str,
        name: &'a str,
        tool_call_id: &'a str,
        partial_result: ToolOutput<'a>,
    },
    ToolResult {
        phase: &'static str,
        name: &'a str,
        tool_call_id: &'a str,
        is_error: bool,
        result: ToolOutput<'a>,
    },
    CommandDelta {
        item_id: &'a str,
        phase: &'static str,
        tool_call_id: &'a str,
        name: &'a str,
        output: &'a str,
        status: &'a str,
    },
    CommandEnd {
        item_id: &'a str,
        phase: &'static str,
        tool_call_id: &'a str,
        name: &'a str,
        output: &'a str,
        status: &'static str,
        #[serde(flatten)]
        facts: CommandFacts,
    },
}

objects! { lenient:
    /// What is known of a command that ended.
    #[derive(Debug, Default, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct CommandFacts {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub exit_code: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub duration_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub cwd: Option<String>,
    }
}

/// What a tool said, with machine-readable details where it has some.
#[derive(Debug, Serialize)]
pub struct ToolOutput<'a> {
    pub content: [super::chat::TextBlock<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<&'a RawValue>,
}

impl<'a> ToolOutput<'a> {
    pub fn new(text: &'a str, details: Option<&'a RawValue>) -> ToolOutput<'a> {
        ToolOutput { content: [super::chat::TextBlock { kind: "text", text }], details }
    }
}
