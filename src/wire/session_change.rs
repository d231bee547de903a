//! Sessions looked up one by one and changed: `sessions.describe`, `.resolve`, `.preview`, `.get`, `.create`, `.patch`,
//! `.reset`, `.delete`, `.abort`, `.send`, `.steer`, `.compact`.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::chat::Attachment;
use super::decode::{Int, Name, Text, Whole};
use super::error::RpcError;
use super::object::objects;
use super::session::SessionRow;

/// Longest label, in characters.
pub const LABEL_LIMIT: usize = 512;

objects! { strict:
    #[derive(Debug)]
    pub struct SessionsDescribeParams {
        pub key: Name,
        pub include_derived_titles: Option<bool>,
        pub include_last_message: Option<bool>,
    }
}

#[derive(Debug, Serialize)]
pub struct SessionsDescribeResult {
    /// None: there is no such session.
    pub session: Option<SessionRow>,
}

objects! { strict:
    #[derive(Debug, Default)]
    pub struct SessionsResolveParams {
        pub key: Option<Name>,
        pub session_id: Option<Name>,
        pub label: Option<Text<LABEL_LIMIT>>,
        /// The beginning of the id in a key, without hyphens.
        pub short_id: Option<Name>,
        /// Accepted: a short id alone decides here.
        pub slug_hint: Option<Name>,
        pub agent_id: Option<Name>,
        pub spawned_by: Option<Name>,
        pub include_global: Option<bool>,
        pub include_unknown: Option<bool>,
        /// A session that is not there is answered `ok: false` instead of an error.
        pub allow_missing: Option<bool>,
    }
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum SessionsResolveResult {
    Found {
        ok: bool,
        #[serde(flatten)]
        session: ResolvedSession,
    },
    Missing {
        ok: bool,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        candidates: Vec<ResolvedSession>,
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedSession {
    pub key: String,
    pub agent_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

objects! { strict:
    #[derive(Debug)]
    pub struct SessionsPreviewParams {
        pub keys: Vec<Name>,
        pub limit: Option<Int<1, { u64::MAX }>>,
        pub max_chars: Option<Int<20, { u64::MAX }>>,
    }
}

objects! { strict:
    #[derive(Debug)]
    pub struct SessionsSearchParams {
        pub agent_id: Option<Name>,
        pub session_keys: Option<Vec<Name>>,
        pub query: Text<4096>,
        pub limit: Option<Int<1, 25>>,
    }
}

#[derive(Debug, Serialize)]
pub struct SessionsSearchResult {
    /// The best first.
    pub results: Vec<SessionsSearchHit>,
    /// There is more, or not everything was read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionsSearchHit {
    pub session_key: String,
    pub session_id: String,
    pub message_id: String,
    pub role: &'static str,
    pub timestamp: u64,
    pub snippet: String,
    /// Only good for comparing hits of one answer.
    pub score: f64,
}

#[derive(Debug, Serialize)]
pub struct SessionsPreviewResult {
    pub ts: u64,
    pub previews: Vec<SessionPreview>,
}

#[derive(Debug, Serialize)]
pub struct SessionPreview {
    pub key: String,
    /// `ok`, `empty`, `missing`.
    pub status: &'static str,
    pub items: Vec<PreviewItem>,
}

#[derive(Debug, Serialize)]
pub struct PreviewItem {
    pub role: &'static str,
    pub text: String,
}

objects! { strict:
    #[derive(Debug)]
    pub struct SessionsGetParams {
        pub key: Name,
        pub agent_id: Option<Name>,
        pub limit: Option<Int<1, 1000>>,
    }
}

#[derive(Debug, Serialize)]
pub struct SessionsGetResult {
    pub messages: Vec<Box<RawValue>>,
}

objects! { strict:
    #[derive(Debug, Default)]
    pub struct SessionsCreateParams {
        pub key: Option<Name>,
        pub idempotency_key: Option<Name>,
        pub agent_id: Option<Name>,
        pub label: Option<Text<LABEL_LIMIT>>,
        pub display_name: Option<Text<500>>,
        pub category: Option<Text<LABEL_LIMIT>>,
        pub model: Option<Name>,
        pub thinking_level: Option<Name>,
        pub parent_session_key: Option<Name>,
        pub spawn_depth: Option<Int<1, 64>>,
        /// Begins with the parent's transcript.
        pub fork: Option<bool>,
        /// What the parent's run has not finished is left out; here that is always so.
        pub fork_from: Option<ForkFrom>,
        /// Hooks on commands belong to the reference's plugins: there are none to tell.
        pub emit_command_hooks: Option<IgnoredAny>,
        pub succeeds_parent: Option<IgnoredAny>,
        /// The first message; `task` is another word for it.
        pub message: Option<String>,
        pub task: Option<String>,
        pub attachments: Vec<Attachment> = default,
        pub visibility: Option<SharedOnly>,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForkFrom {
    LastCompleted,
}

/// There is one user: everything is shared with that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SharedOnly {
    Shared,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionsCreateResult {
    pub ok: bool,
    pub key: String,
    pub session_id: String,
    pub entry: SessionEntry,
    pub run_started: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    pub resolved: ResolvedModel,
}

/// A field that may be absent (leave it), null (clear it) or a value.
pub type Change<T> = Option<Option<T>>;

fn change<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Change<T>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}

/// Fields of the reference that this gateway would not act on are refused by name.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionsPatchParams {
    pub key: Name,
    pub agent_id: Option<Name>,
    /// Refused when the session was reset in the meantime.
    pub expected_session_id: Option<Name>,
    #[serde(default, deserialize_with = "change")]
    pub label: Change<Text<LABEL_LIMIT>>,
    #[serde(default, deserialize_with = "change")]
    pub display_name: Change<Text<500>>,
    #[serde(default, deserialize_with = "change")]
    pub icon: Change<Text<64>>,
    #[serde(default, deserialize_with = "change")]
    pub color: Change<Text<64>>,
    #[serde(default, deserialize_with = "change")]
    pub category: Change<Text<LABEL_LIMIT>>,
    pub archived: Option<bool>,
    pub pinned: Option<bool>,
    pub unread: Option<bool>,
    #[serde(default, deserialize_with = "change")]
    pub thinking_level: Change<Name>,
    #[serde(default, deserialize_with = "change")]
    pub verbose_level: Change<Name>,
    #[serde(default, deserialize_with = "change")]
    pub model: Change<Name>,
}

objects! { strict:
    #[derive(Debug)]
    pub struct SessionsPatchManyParams {
        /// 1 to 100.
        pub targets: Vec<SessionsPatchManyTarget>,
        /// The fields of `sessions.patch` but those of a target.
        pub patch: Box<RawValue>,
    }

    #[derive(Debug)]
    pub struct SessionsPatchManyTarget {
        pub key: Name,
        pub agent_id: Option<Name>,
        pub expected_session_id: Option<Name>,
    }
}

#[derive(Debug, Serialize)]
pub struct SessionsPatchManyResult {
    /// In the order of the targets.
    pub outcomes: Vec<PatchOutcome>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PatchOutcome {
    pub ok: bool,
    pub key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<RpcError>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionsPatchResult {
    pub ok: bool,
    pub path: String,
    pub key: String,
    pub entry: SessionEntry,
    pub resolved: ResolvedModel,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedModel {
    pub model_provider: String,
    pub model: String,
}

/// A session as it is stored, in the answers to changes.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionEntry {
    pub session_id: String,
    pub updated_at: u64,
    pub session_started_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_interaction_at: Option<u64>,
    pub system_sent: bool,
    pub aborted_last_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_type: Option<String>,
    pub compaction_count: u64,
    pub created_via: String,
    pub created_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_session_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spawn_depth: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_read_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_level: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbose_level: Option<String>,
    /// The model chosen for this session, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_override: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_override: Option<String>,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub total_tokens: u64,
    pub total_tokens_fresh: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

objects! { strict:
    #[derive(Debug)]
    pub struct SessionsResetParams {
        pub key: Name,
        pub agent_id: Option<Name>,
        /// Told to those who follow the list.
        pub reason: Option<ResetReason>,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResetReason {
    New,
    Reset,
}

#[derive(Debug, Serialize)]
pub struct SessionsResetResult {
    pub ok: bool,
    pub key: String,
    pub entry: SessionEntry,
    pub resolved: ResolvedModel,
}

objects! { strict:
    #[derive(Debug)]
    pub struct SessionsDeleteParams {
        pub key: Name,
        pub agent_id: Option<Name>,
        pub delete_transcript: Option<bool>,
        pub expected_session_id: Option<Name>,
        /// Unix milliseconds.
        pub expected_session_updated_at: Option<Whole>,
        pub emit_lifecycle_hooks: Option<IgnoredAny>,
        /// Only if it is archived; then operator.write is enough.
        pub archived_only: Option<bool>,
    }
}

#[derive(Debug, Serialize)]
pub struct SessionsDeleteResult {
    pub ok: bool,
    pub key: String,
    pub deleted: bool,
    /// Files a transcript was moved to: this gateway keeps none.
    pub archived: [&'static str; 0],
}

objects! { strict:
    #[derive(Debug)]
    pub struct SessionsCompactParams {
        pub key: Name,
        pub agent_id: Option<Name>,
        /// No summary: the model is told the newest so many messages only.
        pub max_lines: Option<Int<1, { u64::MAX }>>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionsCompactResult {
    pub ok: bool,
    pub key: String,
    pub compacted: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Messages the model is still told word by word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<CompactionResult>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CompactionResult {
    pub summary: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_kept_entry_id: Option<String>,
    pub tokens_before: u64,
    pub tokens_after: u64,
}

objects! { strict:
    #[derive(Debug)]
    pub struct SessionsAbortParams {
        pub key: Option<Name>,
        pub run_id: Option<Name>,
        pub agent_id: Option<Name>,
        /// Also what waits; so it is here in any case.
        pub clear_queued: Option<bool>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionsAbortResult {
    pub ok: bool,
    pub aborted_run_id: Option<String>,
    /// `aborted`, `no-active-run`.
    pub status: &'static str,
}

objects! { strict:
    #[derive(Debug)]
    pub struct SessionsSendParams {
        pub key: Name,
        pub agent_id: Option<Name>,
        pub message: String,
        pub thinking: Option<String>,
        pub attachments: Vec<Attachment> = default,
        /// Milliseconds; 0 = no limit of its own.
        pub timeout_ms: Option<Whole>,
        pub idempotency_key: Option<Name>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_tells_absent_from_null() {
        let patch: SessionsPatchParams = serde_json::from_str(r#"{"key":"main","label":null}"#).expect("decodes");
        assert_eq!(patch.label, Some(None));
        assert_eq!(patch.model, None);
        assert!(serde_json::from_str::<SessionsPatchParams>(r#"{"key":"main","label":""}"#).is_err());
    }

    #[test]
    fn an_answer_to_resolve_is_flat() {
        let session = ResolvedSession { key: "k".into(), agent_id: "a".into(), display_name: None };
        let text = serde_json::to_string(&SessionsResolveResult::Found { ok: true, session }).expect("JSON");
        assert_eq!(text, r#"{"ok":true,"key":"k","agentId":"a"}"#);
    }
}

objects! { strict:
    #[derive(Debug)]
    pub struct SessionsCleanupParams {
        pub agent: Option<Name>,
        pub all_agents: Option<bool>,
        /// Also when `session.maintenance.mode` is `warn`.
        pub enforce: Option<bool>,
        /// Stays whatever the policy says.
        pub active_key: Option<Name>,
        pub fix_missing: Option<bool>,
        pub fix_dm_scope: Option<bool>,
    }
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum SessionsCleanupResult {
    One(SessionsCleanupSummary),
    #[serde(rename_all = "camelCase")]
    Many {
        all_agents: bool,
        mode: &'static str,
        dry_run: bool,
        stores: Vec<SessionsCleanupSummary>,
    },
}

/// What became of an agent's sessions.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionsCleanupSummary {
    pub agent_id: String,
    pub store_path: String,
    /// `enforce`, or `warn`: nothing was done.
    pub mode: &'static str,
    pub dry_run: bool,
    /// Sessions that are not archived.
    pub before_count: usize,
    pub after_count: usize,
    pub missing: usize,
    pub dm_scope_retired: usize,
    pub model_run_pruned: usize,
    pub archived: usize,
    pub cap_archived: usize,
    /// Removed: a program's.
    pub pruned: usize,
    pub capped: usize,
    pub unreferenced_artifacts: Artifacts,
    /// There is none.
    pub disk_budget: Option<()>,
    pub would_mutate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied_count: Option<usize>,
}

/// Files beside the database: there are none.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifacts {
    pub removed_files: u64,
    pub freed_bytes: u64,
}
