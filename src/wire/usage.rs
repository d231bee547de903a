//! `usage.cost`, `usage.status`, and what they share with `sessions.usage`.

use serde::{Deserialize, Serialize};

use super::decode::{Int, Name};
use super::object::objects;

/// Whose days are meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DayMode {
    #[default]
    Utc,
    /// Those of the gateway's host.
    Gateway,
    /// Those of `timeZone`, else of `utcOffset`.
    Specific,
}

/// `all` of the agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentScope {
    All,
}

objects! { lenient:
    /// Without an agent and a scope it is about the default agent.
    #[derive(Debug, Default)]
    pub struct UsageCostParams {
        pub days: Option<Int<1, 400>>,
        /// `YYYY-MM-DD`, both included; one needs the other.
        pub start_date: Option<Name>,
        pub end_date: Option<Name>,
        pub mode: Option<DayMode>,
        /// An IANA name.
        pub time_zone: Option<Name>,
        /// `UTC+H`, `UTC-HH:MM`; for clients that know no name.
        pub utc_offset: Option<Name>,
        pub agent_id: Option<Name>,
        pub agent_scope: Option<AgentScope>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageCostResult {
    pub updated_at: u64,
    pub days: u64,
    pub daily: Vec<DayCost>,
    pub totals: Cost,
    pub cache_status: CacheStatus,
}

#[derive(Debug, Serialize)]
pub struct DayCost {
    pub date: String,
    #[serde(flatten)]
    pub cost: Cost,
}

/// Tokens and US dollars.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    pub total_tokens: u64,
    pub total_cost: f64,
    pub input_cost: f64,
    pub output_cost: f64,
    pub cache_read_cost: f64,
    pub cache_write_cost: f64,
    /// Calls of models whose price is unknown.
    pub missing_cost_entries: u64,
}

/// Tokens and costs come straight from the database; messages are counted in transcripts as far as one call reads.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheStatus {
    /// `fresh`, or `partial` when something was left out.
    pub status: &'static str,
    pub cached_files: u64,
    /// Sessions whose messages were not counted.
    pub pending_files: u64,
    pub stale_files: u64,
}

impl CacheStatus {
    pub fn of(pending: u64) -> CacheStatus {
        let status = if pending == 0 { "fresh" } else { "partial" };
        CacheStatus { status, cached_files: 0, pending_files: pending, stale_files: 0 }
    }
}

objects! { lenient:
    #[derive(Debug)]
    pub struct UsageStatusParams {}
}

/// Quotas of subscriptions: none are known, because providers are reached with keys.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageStatusResult {
    pub updated_at: u64,
    pub providers: [&'static str; 0],
}
