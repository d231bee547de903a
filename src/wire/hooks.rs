//! The shapes of webhooks: what a mapping says, and what a sender is answered.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::wire::object::objects;

objects! { kept:
    /// One row of `hooks.mappings`.
    #[derive(Debug, Clone, Default)]
    pub struct HookMapping {
        pub id: Option<String>,
        pub matches: HookMatch as "match",
        pub action: HookAction,
        pub wake_mode: WakeMode,
        pub name: Option<String>,
        pub agent_id: Option<String>,
        pub session_key: Option<String>,
        pub session_mode: SessionMode,
        pub message_template: Option<String>,
        pub text_template: Option<String>,
        pub for_each: Option<String>,
        pub model: Option<String>,
        pub thinking: Option<String>,
        pub timeout_seconds: Option<u64>,
        pub allow_unsafe_external_content: bool,
        /// Whether the answer goes into a messenger, if one is named; so it does unless this says no.
        pub deliver: Option<bool>,
        pub channel: Option<String>,
        /// A template.
        pub to: Option<String>,
        /// A script of the reference's; this gateway runs none.
        pub transform: Option<Value>,
    }

    #[derive(Debug, Clone, Default)]
    pub struct HookMatch {
        pub path: Option<String>,
        pub source: Option<String>,
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookAction {
    #[default]
    Agent,
    Wake,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WakeMode {
    #[default]
    Now,
    NextHeartbeat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionMode {
    /// A session for this run alone.
    #[default]
    Isolated,
    /// The session of the key.
    Persistent,
}

/// What a sender is told when its hook was taken.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HookTaken {
    pub ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<WakeMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub run_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dispatched: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion: Option<HookCompletion>,
}

/// How an awaited run ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HookCompletion {
    pub status: &'static str,
    pub reply_disposition: &'static str,
}
