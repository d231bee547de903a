//! `models.list` and `models.probe`.

use serde::{Deserialize, Serialize};

use super::decode::{Int, Name};
use super::object::objects;

objects! { strict:
    #[derive(Debug)]
    pub struct ModelsListParams {
        pub agent_id: Option<Name>,
        /// Older clients send it; rows are always detailed.
        pub include_details: Option<bool>,
        pub include_provider_capabilities: Option<bool>,
        pub prepared_only: Option<bool>,
        pub refresh: Option<bool>,
        pub view: Option<ModelsView>,
        pub session_key: Option<Name>,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelsView {
    Default,
    Configured,
    ProviderConfig,
    All,
}

#[derive(Debug, Serialize)]
pub struct ModelsListResult {
    pub models: Vec<ModelChoice>,
}

/// One row of the catalogue.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelChoice {
    pub id: String,
    pub name: String,
    pub provider: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
    pub input: Vec<&'static str>,
    pub reasoning: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<&'static str>,
    pub thinking_levels: Vec<ThinkingLevel>,
    pub thinking_default: &'static str,
    pub available: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable_reason: Option<&'static str>,
}

#[derive(Debug, Clone, Serialize, PartialEq)]
pub struct ThinkingLevel {
    pub id: &'static str,
    pub label: &'static str,
}

/// Every word for how much a model thinks first; most models know the first five.
pub const EFFORTS: &[&str] = &["off", "minimal", "low", "medium", "high", "xhigh", "adaptive", "max", "ultra"];

/// The word as one of [`EFFORTS`].
pub fn effort(text: &str) -> Option<&'static str> {
    EFFORTS.iter().copied().find(|known| known.eq_ignore_ascii_case(text.trim()))
}

/// Levels of a model: `off` alone, or the usual ladder of a reasoning model.
pub fn thinking_levels(reasoning: bool) -> Vec<ThinkingLevel> {
    let ladder: &[&'static str] = if reasoning { &["off", "minimal", "low", "medium", "high"] } else { &["off"] };
    ladder.iter().map(|id| ThinkingLevel { id, label: id }).collect()
}

objects! { strict:
    #[derive(Debug)]
    pub struct ModelsProbeParams {
        pub provider: Name,
        /// One entry of `auth.profiles`; all of the provider's otherwise.
        pub profile_id: Option<Name>,
        /// 20,000; 5,000 to 60,000.
        pub timeout_ms: Option<Int<1, { u64::MAX }>>,
        pub agent_id: Option<String>,
    }
}

/// How asking went: the best of all credentials, else the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeStatus {
    Ok,
    Auth,
    Billing,
    RateLimit,
    Timeout,
    Format,
    NoModel,
    Unknown,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelsProbeResult {
    pub provider: String,
    pub status: ProbeStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub results: Vec<ModelsProbeTarget>,
}

/// One credential.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelsProbeTarget {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_id: Option<String>,
    pub label: String,
    pub status: ProbeStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
