//! Session keys, `sessions.list`, `sessions.subscribe` and the events about sessions.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::decode::{Int, Name, Text, Whole};
use super::models::ThinkingLevel;
use super::object::objects;

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

objects! { strict:
    #[derive(Debug, Default)]
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
    pub permission_mode_pending: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spawn_depth: Option<u32>,
    pub created_via: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_actor: Option<Actor>,
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
    pub auto_label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_session_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_message_preview: Option<String>,
    pub updated_at: u64,
    pub archived: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<u64>,
    pub pinned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_at: Option<u64>,
    pub unread: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marked_unread_at: Option<u64>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbose_level: Option<String>,
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
    /// Where it was spoken to through a messenger last.
    #[serde(flatten)]
    pub last_route: LastRoute,
    pub effective_queue_mode: String,
    pub model_provider: String,
    pub model: String,
    pub model_override_source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    pub message_count: u64,
    pub has_active_run: bool,
    pub active_run_ids: Vec<String>,
}

/// The conversation in a messenger that a session is answered in, in the two ways clients read it.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastRoute {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_context: Option<DeliveryContext>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_thread_id: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryContext {
    pub channel: String,
    pub to: String,
    pub account_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
}

objects! { strict:
    #[derive(Debug)]
    pub struct SessionsSubscribeParams {}
}

#[derive(Debug, Serialize)]
pub struct SessionsSubscribeResult {
    pub subscribed: bool,
}

objects! { strict:
    #[derive(Debug)]
    pub struct SessionsMessagesSubscribeParams {
        pub key: Text<512>,
        pub agent_id: Option<Name>,
        pub include_approvals: Option<bool>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionsMessagesSubscribeResult {
    pub subscribed: bool,
    pub key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_replay: Option<super::approval::SessionApprovalReplay>,
}

/// Who made a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Actor {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub id: &'static str,
    pub identity: ActorIdentity,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActorIdentity {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub id: &'static str,
}

impl Actor {
    /// The one user of a gateway.
    pub const OWNER: Actor =
        Actor { kind: "human", id: "gateway-owner", identity: ActorIdentity { kind: "profile", id: "gateway-owner" } };
}

/// The fields of a row that events repeat beside `session`. Null here means: there is none any more.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlatSession<'a> {
    updated_at: u64,
    session_id: &'a str,
    created_actor: Option<&'a Actor>,
    kind: &'a str,
    visibility: &'a str,
    chat_type: &'a str,
    archived: bool,
    archived_at: Option<u64>,
    pinned: bool,
    pinned_at: Option<u64>,
    unread: bool,
    marked_unread_at: Option<u64>,
    permission_mode_pending: bool,
    spawn_depth: Option<u32>,
    created_via: &'a str,
    created_at: u64,
    label: Option<&'a str>,
    auto_label: Option<&'a str>,
    icon: Option<&'a str>,
    color: Option<&'a str>,
    category: Option<&'a str>,
    display_name: Option<&'a str>,
    parent_session_key: Option<&'a str>,
    thinking_level: Option<&'a str>,
    system_sent: bool,
    aborted_last_run: bool,
    total_tokens: u64,
    total_tokens_fresh: bool,
    input_tokens: u64,
    output_tokens: u64,
    estimated_cost_usd: f64,
    context_tokens: Option<u64>,
    model_provider: &'a str,
    model: &'a str,
    model_override_source: Option<&'a str>,
    status: Option<&'a str>,
    last_run_id: Option<&'a str>,
    has_active_run: bool,
    active_run_ids: &'a [String],
    started_at: Option<u64>,
    ended_at: Option<u64>,
    runtime_ms: Option<u64>,
}

impl<'a> FlatSession<'a> {
    pub fn of(row: &'a SessionRow) -> FlatSession<'a> {
        FlatSession {
            updated_at: row.updated_at,
            session_id: &row.session_id,
            created_actor: row.created_actor.as_ref(),
            kind: &row.kind,
            visibility: row.visibility,
            chat_type: &row.chat_type,
            archived: row.archived,
            archived_at: row.archived_at,
            pinned: row.pinned,
            pinned_at: row.pinned_at,
            unread: row.unread,
            marked_unread_at: row.marked_unread_at,
            permission_mode_pending: row.permission_mode_pending,
            spawn_depth: row.spawn_depth,
            created_via: &row.created_via,
            created_at: row.created_at,
            label: row.label.as_deref(),
            auto_label: row.auto_label.as_deref(),
            icon: row.icon.as_deref(),
            color: row.color.as_deref(),
            category: row.category.as_deref(),
            display_name: row.display_name.as_deref(),
            parent_session_key: row.parent_session_key.as_deref(),
            thinking_level: row.thinking_level.as_deref(),
            system_sent: row.system_sent,
            aborted_last_run: row.aborted_last_run,
            total_tokens: row.total_tokens,
            total_tokens_fresh: row.total_tokens_fresh,
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            estimated_cost_usd: row.estimated_cost_usd,
            context_tokens: row.context_tokens,
            model_provider: &row.model_provider,
            model: &row.model,
            model_override_source: row.model_override_source,
            status: row.status.as_deref(),
            last_run_id: row.last_run_id.as_deref(),
            has_active_run: row.has_active_run,
            active_run_ids: &row.active_run_ids,
            started_at: row.started_at,
            ended_at: row.ended_at,
            runtime_ms: row.runtime_ms,
        }
    }
}

/// Payload of `sessions.changed`: the row under `session` and most of its fields again beside it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionsChanged<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub compacted: bool,
    pub ts: u64,
    #[serde(flatten)]
    pub flat: Option<FlatSession<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<&'a SessionRow>,
}

/// Payload of `sessions.changed` for a session that is gone.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionDeleted<'a> {
    pub session_key: &'a str,
    pub session_id: &'a str,
    pub agent_id: &'a str,
    pub reason: &'static str,
    pub ts: u64,
}

/// Payload of `session.operation`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionOperation<'a> {
    pub operation_id: &'a str,
    pub operation: &'static str,
    /// `start` or `end`.
    pub phase: &'static str,
    pub session_key: &'a str,
    pub agent_id: &'a str,
    /// With `end`: it came to something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed: Option<bool>,
    pub ts: u64,
}

/// Payload of `session.message`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionMessage<'a> {
    pub session_key: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sender_is_owner: bool,
    pub agent_id: &'a str,
    pub message: &'a RawValue,
    pub message_id: &'a str,
    pub message_seq: u64,
    #[serde(flatten)]
    pub flat: Option<FlatSession<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<&'a SessionRow>,
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
