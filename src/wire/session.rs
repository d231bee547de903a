//! Session keys, `sessions.list`, `sessions.subscribe` and the events about sessions.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::decode::{Int, Name, Text, Whole};
use super::models::ThinkingLevel;

/// Namespaces only the gateway itself may create sessions in (T35).
const RESERVED: [&str; 3] = ["subagent:", "cron:", "acp:"];

/// Whether a key asked for by a caller lies in a reserved namespace, bare or under an agent.
pub fn is_reserved(key: &str) -> bool {
    let rest = agent_of(key).map_or(key, |(_, rest)| rest);
    RESERVED.iter().any(|name| rest.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name)))
}

/// `agent:ID:REST` -> `(ID, REST)`.
pub fn agent_of(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix("agent:")?.split_once(':').filter(|(agent, rest)| !agent.is_empty() && !rest.is_empty())
}

/// The one spelling of a key: lower-case agent id, `agent:<id>:<rest>`; bare keys belong to `default_agent`.
pub fn canonical(key: &str, default_agent: &str, main_key: &str) -> String {
    let key = key.trim();
    match agent_of(key) {
        Some((agent, rest)) => format!("agent:{}:{rest}", agent.to_ascii_lowercase()),
        None if key == "global" => key.to_string(),
        None if key == "main" => format!("agent:{default_agent}:{main_key}"),
        None => format!("agent:{default_agent}:{key}"),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionsListParams {
    pub limit: Option<Int<1, { u64::MAX }>>,
    pub offset: Option<Whole>,
    pub active_minutes: Option<Int<1, { u64::MAX }>>,
    pub active_only: Option<bool>,
    pub require_last_interaction: Option<bool>,
    pub sort_by: Option<SortBy>,
    pub include_global: Option<bool>,
    pub include_unknown: Option<bool>,
    pub configured_agents_only: Option<bool>,
    pub include_derived_titles: Option<bool>,
    pub include_last_message: Option<bool>,
    pub label: Option<Text<512>>,
    pub board_face: Option<String>,
    pub creator_id: Option<Name>,
    pub owner_id: Option<Name>,
    pub owner_first: Option<bool>,
    pub involving_me: Option<bool>,
    pub involving_profile_id: Option<Name>,
    pub include_people: Option<bool>,
    pub spawned_by: Option<Name>,
    pub agent_id: Option<Name>,
    pub search: Option<String>,
    pub archived: Option<Archived>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SortBy {
    UpdatedAt,
    LastInteractionAt,
}

/// `archived: true | false | "all"`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Archived {
    Only(bool),
    Word(String),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionsListResult {
    pub ts: u64,
    pub path: String,
    pub count: u64,
    pub total_count: u64,
    pub limit_applied: u64,
    pub next_offset: Option<u64>,
    pub has_more: bool,
    pub defaults: SessionListDefaults,
    pub sessions: Vec<SessionRow>,
}

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionListDefaults {
    pub model_provider: String,
    pub model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    pub thinking_levels: Vec<ThinkingLevel>,
    pub thinking_options: Vec<&'static str>,
    pub thinking_default: &'static str,
    pub model_selection_target: &'static str,
}

/// One session as clients see it.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionRow {
    pub key: String,
    pub visibility: &'static str,
    pub created_via: String,
    pub created_at: u64,
    pub kind: String,
    pub classification: &'static str,
    pub agent_id: String,
    pub is_main: bool,
    pub is_background: bool,
    pub chat_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derived_title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_message_preview: Option<String>,
    pub updated_at: u64,
    pub archived: bool,
    pub pinned: bool,
    pub unread: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_read_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_interaction_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_activity_at: Option<u64>,
    pub session_id: String,
    pub system_sent: bool,
    pub aborted_last_run: bool,
    pub thinking_levels: Vec<ThinkingLevel>,
    pub thinking_options: Vec<&'static str>,
    pub thinking_default: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_level: Option<String>,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub total_tokens: u64,
    pub total_tokens_fresh: bool,
    pub estimated_cost_usd: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run_id: Option<String>,
    pub effective_queue_mode: &'static str,
    pub model_provider: String,
    pub model: String,
    pub model_override_source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    pub message_count: u64,
    pub has_active_run: bool,
    pub active_run_ids: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionsSubscribeParams {}

#[derive(Debug, Serialize)]
pub struct SessionsSubscribeResult {
    pub subscribed: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionsMessagesSubscribeParams {
    pub key: Text<512>,
    pub agent_id: Option<Name>,
    pub include_approvals: Option<bool>,
}

#[derive(Debug, Serialize)]
pub struct SessionsMessagesSubscribeResult {
    pub subscribed: bool,
    pub key: String,
}

/// Payload of `sessions.changed`: the row under `session` and its fields again beside it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionsChanged<'a> {
    pub session_key: &'a str,
    pub agent_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<&'a str>,
    pub ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<&'a SessionRow>,
}

/// Payload of `session.message`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionMessage<'a> {
    pub session_key: &'a str,
    pub agent_id: &'a str,
    pub message: &'a RawValue,
    pub message_id: &'a str,
    pub message_seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_spelling() {
        for (key, expected) in [
            ("main", "agent:main:main"),
            ("agent:Main:main", "agent:main:main"),
            (" notes ", "agent:main:notes"),
            ("agent:ops:x:y", "agent:ops:x:y"),
            ("global", "global"),
            ("agent::x", "agent:main:agent::x"),
        ] {
            assert_eq!(canonical(key, "main", "main"), expected);
        }
    }

    #[test]
    fn reserved_namespaces_are_seen_through_the_agent_prefix() {
        for key in ["subagent:x", "cron:1", "acp:z", "agent:main:cron:1", "CRON:1", "agent:main:SubAgent:2"] {
            assert!(is_reserved(key), "{key}");
        }
        for key in ["main", "agent:main:main", "cronies", "agent:cron:x"] {
            assert!(!is_reserved(key), "{key}");
        }
    }
}
