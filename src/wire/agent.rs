//! `agent`, `agent.wait` and the `agent` event.

use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::chat::Attachment;
use super::decode::{Name, Whole};
use super::object::objects;

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
        pub deliver: Option<bool>,
        pub attachments: Vec<Attachment> = default,
        /// Seconds; 0 = no limit of its own.
        pub timeout: Option<Whole>,
        pub extra_system_prompt: Option<String>,
        pub idempotency_key: Name,
        pub label: Option<String>,
        // Fields of the reference's larger product: accepted, without effect on this gateway's runs.
        pub to: Option<IgnoredAny>,
        pub reply_to: Option<IgnoredAny>,
        pub expected_existing_session_id: Option<IgnoredAny>,
        pub channel: Option<IgnoredAny>,
        pub reply_channel: Option<IgnoredAny>,
        pub account_id: Option<IgnoredAny>,
        pub reply_account_id: Option<IgnoredAny>,
        pub thread_id: Option<IgnoredAny>,
        pub group_id: Option<IgnoredAny>,
        pub group_channel: Option<IgnoredAny>,
        pub group_space: Option<IgnoredAny>,
        pub best_effort_deliver: Option<IgnoredAny>,
        pub lane: Option<IgnoredAny>,
        pub cwd: Option<IgnoredAny>,
        pub cleanup_bundle_mcp_on_run_end: Option<IgnoredAny>,
        pub model_run: Option<IgnoredAny>,
        pub prompt_mode: Option<IgnoredAny>,
        pub bootstrap_context_mode: Option<IgnoredAny>,
        pub bootstrap_context_run_kind: Option<IgnoredAny>,
        pub input_provenance: Option<IgnoredAny>,
        pub voice_wake_trigger: Option<IgnoredAny>,
        pub disable_message_tool: Option<IgnoredAny>,
        pub source_reply_delivery_mode: Option<IgnoredAny>,
    }
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
pub struct AgentReply<'a> {
    pub payloads: Vec<ReplyPayload<'a>>,
    pub meta: ReplyMeta<'a>,
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
