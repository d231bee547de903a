//! `diagnostics.lanes` and `diagnostics.stability`: what waits for what, and what happened lately, without a word that
//! anybody said.

use std::collections::BTreeMap;

use serde::Serialize;

use super::decode::{Int, Name, Whole};
use super::object::objects;

objects! { strict:
    #[derive(Debug)]
    pub struct DiagnosticsLanesParams {}

    #[derive(Debug)]
    pub struct DiagnosticsStabilityParams {
        /// The newest so many; 50 unless said.
        pub limit: Option<Int<1, 1000>>,
        /// Only this type.
        pub kind: Option<Name> as "type",
        /// Only what came after it.
        pub since_seq: Option<Whole>,
    }
}

#[derive(Debug, Serialize)]
pub struct DiagnosticsLanesResult {
    pub ts: u64,
    pub lanes: Vec<Lane>,
    /// Sessions with a run: each is a lane of its own.
    pub dynamic: Option<DynamicLanes>,
}

/// A queue and how much of it is at work.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lane {
    pub lane: &'static str,
    pub queued_count: usize,
    pub active_count: usize,
    pub max_concurrent: usize,
    /// The gateway stops: nothing more is begun.
    pub draining: bool,
    pub generation: u64,
    pub blocked_by: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DynamicLanes {
    pub lane_count: usize,
    pub active_count: usize,
    pub queued_count: usize,
    /// Lanes in which something waits.
    pub queued_lane_count: usize,
}

/// Something that happened. Names of messengers, models and tools, numbers and codes; nothing else.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StabilityEvent {
    pub seq: u64,
    pub ts: u64,
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_name: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemorySample>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemorySample {
    pub rss_bytes: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiagnosticsStabilityResult {
    /// ISO 8601.
    pub generated_at: String,
    pub capacity: usize,
    /// How many fit, before the limit.
    pub count: usize,
    /// Forgotten since the start.
    pub dropped: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seq: Option<u64>,
    pub events: Vec<StabilityEvent>,
    pub summary: StabilitySummary,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StabilitySummary {
    pub by_type: BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemorySummary>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemorySummary {
    pub latest: MemorySample,
    pub max_rss_bytes: u64,
    pub pressure_count: u64,
}
