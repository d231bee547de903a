//! `usage.cost` and `usage.status`.

use serde::{Deserialize, Serialize};

use super::decode::{Int, Name};

/// Fields beside these (time zones, scopes of larger installations) have no effect: days are counted in UTC.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageCostParams {
    pub days: Option<Int<1, 400>>,
    /// `YYYY-MM-DD`, both included.
    pub start_date: Option<Name>,
    pub end_date: Option<Name>,
    pub agent_id: Option<Name>,
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

/// Sums come straight from the database: always fresh.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheStatus {
    pub status: &'static str,
    pub cached_files: u64,
    pub pending_files: u64,
    pub stale_files: u64,
}

#[derive(Debug, Deserialize)]
pub struct UsageStatusParams {}

/// Quotas of subscriptions: none are known, because providers are reached with keys.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageStatusResult {
    pub updated_at: u64,
    pub providers: [&'static str; 0],
}
