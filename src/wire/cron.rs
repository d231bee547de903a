//! Scheduled jobs, news and heartbeats as clients ask for them: `cron.*`, `wake`, `system-event`, ...

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::decode::{Int, Name, Text, Whole};
use super::object::objects;

pub use super::cron_job::*;

objects! { strict:
    #[derive(Debug, Default)]
    pub struct CronListParams {
        pub include_disabled: bool = default,
        pub limit: Option<Int<1, 200>>,
        pub offset: Option<Whole>,
        pub query: Option<String>,
        pub enabled: Option<EnabledFilter>,
        pub schedule_kind: Option<KindFilter>,
        pub last_run_status: Option<StatusFilter>,
        pub trigger: Option<TriggerFilter>,
        pub sort_by: Option<CronSort>,
        pub sort_dir: Option<SortDir>,
        pub agent_id: Option<Name>,
        pub compact: bool = default,
        pub include_delivery_previews: Option<bool>,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnabledFilter {
    All,
    Enabled,
    Disabled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KindFilter {
    All,
    At,
    Every,
    Cron,
    OnExit,
    Stream,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusFilter {
    All,
    Ok,
    Error,
    Skipped,
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TriggerFilter {
    All,
    Conditional,
    Unconditional,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CronSort {
    NextRunAtMs,
    UpdatedAtMs,
    Name,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SortDir {
    Asc,
    Desc,
}

objects! { strict:
    #[derive(Debug)]
    pub struct CronStatusParams {}
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CronStatusResult {
    pub enabled: bool,
    /// Scripts as conditions are not built.
    pub triggers_enabled: bool,
    pub store_path: String,
    pub storage: &'static str,
    pub sqlite_path: String,
    pub jobs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_wake_at_ms: Option<u64>,
    /// Why runs nobody asked for are held back at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<String>,
}

/// `id`, which older clients call `jobId`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CronGetParams {
    #[serde(alias = "jobId")]
    pub id: Name,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CronRemoveParams {
    #[serde(alias = "jobId")]
    pub id: Name,
}

#[derive(Debug, Serialize)]
pub struct CronRemoveResult {
    pub ok: bool,
    pub removed: bool,
}

/// A job to be made, as JSON: what is absent is filled in before it is read as a [`CronSpec`].
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct CronAddParams(pub serde_json::Map<String, Value>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CronUpdateParams {
    #[serde(alias = "jobId")]
    pub id: Name,
    pub patch: serde_json::Map<String, Value>,
    pub expected_config_revision: Option<Text<128>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CronRunParams {
    #[serde(alias = "jobId")]
    pub id: Name,
    pub mode: Option<RunMode>,
    pub expected_process_instance_id: Option<Name>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunMode {
    Due,
    Force,
    IfEnabled,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CronRunResult {
    pub ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enqueued: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ran: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_instance_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CronRunsParams {
    pub agent_id: Option<Name>,
    pub scope: Option<RunsScope>,
    #[serde(alias = "jobId")]
    pub id: Option<Name>,
    pub run_id: Option<Name>,
    pub limit: Option<Int<1, 200>>,
    pub offset: Option<Whole>,
    pub statuses: Option<Vec<RunStatus>>,
    pub status: Option<StatusFilter>,
    pub delivery_statuses: Option<Vec<DeliveryStatus>>,
    pub delivery_status: Option<DeliveryStatus>,
    pub query: Option<String>,
    pub sort_dir: Option<SortDir>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunsScope {
    Job,
    All,
}

/// One line of the history of runs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CronRunLogEntry {
    pub ts: u64,
    pub job_id: String,
    pub action: &'static str,
    pub status: RunStatus,
    pub completion_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    pub run_id: String,
    pub run_at_ms: u64,
    pub duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<CronUsage>,
    pub delivered: bool,
    pub delivery_status: DeliveryStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_suppression_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_key: Option<String>,
    pub job_name: String,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct CronUsage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub total_tokens: u64,
}

/// `cron`: a job was added, updated, removed, started or has finished.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CronEvent<'a> {
    pub job_id: &'a str,
    pub action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<CronJob<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<RunStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_status: Option<DeliveryStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

objects! { lenient:
    /// `wake`.
    #[derive(Debug)]
    pub struct WakeParams {
        pub mode: WakeMode,
        pub text: Name,
        pub session_key: Option<Name>,
        pub agent_id: Option<Name>,
    }

    /// `system-event`: what nodes and helpers of an operator report.
    #[derive(Debug)]
    pub struct SystemEventParams {
        pub text: Name,
        pub session_key: Option<Name>,
        pub agent_id: Option<Name>,
    }
}

#[derive(Debug, Serialize)]
pub struct Done {
    pub ok: bool,
}

objects! { lenient:
    #[derive(Debug)]
    pub struct LastHeartbeatParams {}

    #[derive(Debug)]
    pub struct SetHeartbeatsParams {
        pub enabled: bool,
    }
}

#[derive(Debug, Serialize)]
pub struct SetHeartbeatsResult {
    pub ok: bool,
    pub enabled: bool,
}

/// `heartbeat`: what the last one came to.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatEvent {
    pub ts: u64,
    /// `sent`, `ok-empty`, `ok-token`, `skipped`, `failed`.
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}
