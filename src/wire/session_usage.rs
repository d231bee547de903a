//! `sessions.usage`, `sessions.usage.timeseries` and `sessions.usage.logs`.

use serde::{Deserialize, Serialize};

use super::decode::{Int, Name};
use super::object::objects;
use super::usage::{AgentScope, CacheStatus, Cost, DayMode};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum UsageRange {
    #[serde(rename = "7d")]
    Week,
    #[serde(rename = "30d")]
    Month,
    #[serde(rename = "90d")]
    Quarter,
    #[serde(rename = "1y")]
    Year,
    #[serde(rename = "all")]
    All,
}

/// What one row stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageGroup {
    /// The messages of the present transcript.
    #[default]
    Instance,
    /// Those before a reset as well.
    Family,
}

objects! { strict:
    /// Without a key, an agent and a scope it is about the default agent.
    #[derive(Debug, Default)]
    pub struct SessionsUsageParams {
        pub key: Option<Name>,
        pub agent_id: Option<Name>,
        pub agent_scope: Option<AgentScope>,
        /// `YYYY-MM-DD`, both included; one needs the other.
        pub start_date: Option<Name>,
        pub end_date: Option<Name>,
        pub mode: Option<DayMode>,
        /// Thirty days when neither this nor dates are given.
        pub range: Option<UsageRange>,
        pub group_by: Option<UsageGroup>,
        /// An older way to say `groupBy: family`.
        pub include_historical: Option<bool>,
        pub utc_offset: Option<Name>,
        pub time_zone: Option<Name>,
        /// Sessions told one by one, the last used first: 50, at most 1,000.
        pub limit: Option<Int<1, { u64::MAX }>>,
        /// What fills a prompt is not weighed here: rows say `contextWeight: null`.
        pub include_context_weight: Option<bool>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionsUsageResult {
    pub updated_at: u64,
    pub start_date: String,
    pub end_date: String,
    pub sessions: Vec<SessionUsage>,
    /// Of all sessions and of calls without one, told one by one or not.
    pub totals: Cost,
    pub aggregates: Aggregates,
    pub cache_status: CacheStatus,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionUsage {
    pub key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Absent when the session was deleted since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    pub scope: &'static str,
    pub session_family_key: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub included_session_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<i64>,
    pub agent_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_override: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    pub usage: SessionSpent,
    pub has_context_weight: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_weight: Option<()>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionSpent {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Milliseconds since 1970, of messages in the range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_activity: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_activity: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    pub activity_dates: Vec<String>,
    pub daily_breakdown: Vec<DayUse>,
    pub daily_message_counts: Vec<DayMessages>,
    pub daily_model_usage: Vec<DayModel>,
    /// Absent when the transcript was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_counts: Option<MessageCounts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_usage: Option<ToolUse>,
    pub model_usage: Vec<ModelUse>,
    #[serde(flatten)]
    pub cost: Cost,
}

#[derive(Debug, Default, Serialize)]
pub struct DayUse {
    pub date: String,
    pub tokens: u64,
    pub cost: f64,
    #[serde(flatten)]
    pub split: Cost,
}

#[derive(Debug, Default, Serialize)]
pub struct DayMessages {
    pub date: String,
    #[serde(flatten)]
    pub counts: MessageCounts,
}

#[derive(Debug, Default, Serialize)]
pub struct DayModel {
    pub date: String,
    pub provider: String,
    pub model: String,
    pub tokens: u64,
    pub cost: f64,
    /// Calls.
    pub count: u64,
}

/// `total` is what people and the agent said; what tools were asked and answered counts apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageCounts {
    pub total: u64,
    pub user: u64,
    pub assistant: u64,
    pub tool_calls: u64,
    pub tool_results: u64,
    pub errors: u64,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolUse {
    pub total_calls: u64,
    pub unique_tools: u64,
    pub tools: Vec<ToolCount>,
}

#[derive(Debug, Serialize)]
pub struct ToolCount {
    pub name: String,
    pub count: u64,
}

/// Sums of a model, or of a provider when `model` is absent.
#[derive(Debug, Serialize)]
pub struct ModelUse {
    pub provider: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    pub count: u64,
    pub totals: Cost,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Aggregates {
    pub session_count: u64,
    pub messages: MessageCounts,
    pub tools: ToolUse,
    pub by_model: Vec<ModelUse>,
    pub by_provider: Vec<ModelUse>,
    pub by_agent: Vec<AgentUse>,
    pub by_channel: Vec<ChannelUse>,
    pub daily: Vec<DaySum>,
    pub cost_daily: Vec<super::usage::DayCost>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentUse {
    pub agent_id: String,
    pub totals: Cost,
}

#[derive(Debug, Serialize)]
pub struct ChannelUse {
    pub channel: String,
    pub totals: Cost,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DaySum {
    pub date: String,
    pub tokens: u64,
    pub cost: f64,
    pub messages: u64,
    pub tool_calls: u64,
    pub errors: u64,
}

objects! { strict:
    #[derive(Debug)]
    pub struct UsageSeriesParams {
        pub key: Name,
        pub agent_id: Option<Name>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageSeriesResult {
    pub session_id: String,
    pub points: Vec<UsagePoint>,
}

/// One answer of a model, or several in a row.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsagePoint {
    /// Of the last one, milliseconds since 1970.
    pub timestamp: i64,
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    pub total_tokens: u64,
    pub cost: f64,
    pub cumulative_tokens: u64,
    pub cumulative_cost: f64,
}

objects! { strict:
    #[derive(Debug)]
    pub struct UsageLogsParams {
        pub key: Name,
        pub agent_id: Option<Name>,
        /// 200, at most 1,000.
        pub limit: Option<Int<1, { u64::MAX }>>,
    }
}

#[derive(Debug, Serialize)]
pub struct UsageLogsResult {
    pub logs: Vec<UsageLog>,
}

#[derive(Debug, Serialize)]
pub struct UsageLog {
    pub timestamp: i64,
    pub role: String,
    /// At most 2,000 characters.
    pub content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}
