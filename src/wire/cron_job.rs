//! A scheduled job: what its owner writes, what the scheduler remembers, what clients see and what is stored.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::sorted::Sorted;
use crate::wire::object::objects;

/// The part of a job its owner writes. Also what is stored of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CronSpec {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declaration_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<CronOwner>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_after_run: Option<bool>,
    pub schedule: CronSchedule,
    /// Not built; kept apart so that its refusal is a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pacing: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Value>,
    /// `main`, `isolated`, `current`, `session:<key>`.
    pub session_target: String,
    pub wake_mode: WakeMode,
    pub payload: CronPayload,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<CronDelivery>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_alert: Option<FailureAlert>,
}

fn yes() -> bool {
    true
}

objects! { strict:
    #[derive(Debug, Clone, PartialEq, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct CronOwner {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub agent_id: Option<String> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub session_key: Option<String> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub account_id: Option<String> = default,
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum CronSchedule {
    At {
        at: String,
    },
    Every {
        every_ms: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        anchor_ms: Option<u64>,
    },
    Cron {
        expr: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tz: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stagger_ms: Option<u64>,
    },
    /// `on-exit` and `stream`: refused.
    #[serde(other)]
    Unbuilt,
}

impl CronSchedule {
    pub fn kind(&self) -> &'static str {
        match self {
            CronSchedule::At { .. } => "at",
            CronSchedule::Every { .. } => "every",
            CronSchedule::Cron { .. } => "cron",
            CronSchedule::Unbuilt => "",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WakeMode {
    NextHeartbeat,
    Now,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum CronPayload {
    SystemEvent {
        text: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tools_allow: Option<Vec<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tools_allow_is_default: Option<bool>,
    },
    AgentTurn {
        message: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fallbacks: Option<Vec<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thinking: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_seconds: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        allow_unsafe_external_content: Option<bool>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        light_context: Option<bool>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tools_allow: Option<Vec<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tools_allow_is_default: Option<bool>,
    },
    Command {
        argv: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cwd: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        env: Option<Sorted<String, String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_seconds: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        no_output_timeout_seconds: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output_max_bytes: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tools_allow: Option<Vec<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tools_allow_is_default: Option<bool>,
    },
    /// The gateway's own: a turn by `agents.*.heartbeat`.
    Heartbeat,
    /// Scripts: refused.
    #[serde(other)]
    Unbuilt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryMode {
    None,
    Announce,
    Webhook,
}

objects! { strict:
    #[derive(Debug, Clone, PartialEq, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct CronDelivery {
        pub mode: DeliveryMode,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub channel: Option<String> = default,
        /// Text or a number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub thread_id: Option<Value> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub account_id: Option<String> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub best_effort: Option<bool> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub failure_destination: Option<FailureDestination> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub completion_destination: Option<CompletionDestination> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub to: Option<String> = default,
    }

    #[derive(Debug, Clone, PartialEq, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct FailureDestination {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub channel: Option<String> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub to: Option<String> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub account_id: Option<String> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub mode: Option<DeliveryMode> = default,
    }

    #[derive(Debug, Clone, PartialEq, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct CompletionDestination {
        pub mode: DeliveryMode,
        pub to: String,
    }
}

/// `false`, or when and where to complain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FailureAlert {
    Off(bool),
    On(Box<FailureAlertRule>),
}

objects! { strict:
    #[derive(Debug, Clone, Default, PartialEq, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct FailureAlertRule {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub after: Option<u32> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub channel: Option<String> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub to: Option<String> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub cooldown_ms: Option<u64> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub include_skipped: Option<bool> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub mode: Option<DeliveryMode> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub account_id: Option<String> = default,
    }
}

/// How a run came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    Ok,
    Error,
    Skipped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryStatus {
    Delivered,
    NotDelivered,
    Unknown,
    NotRequested,
}

impl RunStatus {
    pub fn word(self) -> &'static str {
        match self {
            RunStatus::Ok => "ok",
            RunStatus::Error => "error",
            RunStatus::Skipped => "skipped",
        }
    }
}

impl DeliveryStatus {
    pub fn word(self) -> &'static str {
        match self {
            DeliveryStatus::Delivered => "delivered",
            DeliveryStatus::NotDelivered => "not-delivered",
            DeliveryStatus::Unknown => "unknown",
            DeliveryStatus::NotRequested => "not-requested",
        }
    }
}

objects! { kept:
    /// What the scheduler remembers of a job.
    #[derive(Debug, Clone, Default, PartialEq, Serialize)]
    #[serde(default, rename_all = "camelCase")]
    pub struct CronState {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub next_run_at_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub schedule_activated_at_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub running_at_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub last_run_at_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub last_run_status: Option<RunStatus>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub last_status: Option<RunStatus>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub last_error: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub last_error_reason: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub last_duration_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub consecutive_errors: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub auto_disabled: Option<AutoDisabled>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub consecutive_skipped: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub last_delivered: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub last_delivery_status: Option<DeliveryStatus>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub last_delivery_error: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub delivery_suppression_reason: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub last_failure_alert_at_ms: Option<u64>,
    }
}

objects! { lenient:
    #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct AutoDisabled {
        pub reason: String,
        pub at_ms: u64,
        pub consecutive_errors: u32,
    }
}

/// A job in answers and events.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CronJob<'a> {
    pub id: &'a str,
    #[serde(flatten)]
    pub spec: &'a CronSpec,
    pub created_at_ms: u64,
    pub updated_at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_revision: Option<&'a str>,
    pub scheduled_tool_policy: ToolPolicyMark,
    pub state: &'a CronState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run_status: Option<RunStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run_error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_delivered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_delivery_status: Option<DeliveryStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_delivery_error: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub struct ToolPolicyMark {
    pub version: u8,
    pub mode: &'static str,
}
