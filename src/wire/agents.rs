//! Agents and their models as clients see them: `agents.list`, `agent.identity.get`, `models.authStatus`.

use serde::Serialize;

use super::decode::Name;
use super::models::ThinkingLevel;
use super::object::objects;

objects! { strict:
    #[derive(Debug)]
    pub struct AgentsListParams {}
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentsListResult {
    pub default_id: String,
    pub ownership: &'static str,
    pub selection_required: bool,
    pub main_key: String,
    pub scope: &'static str,
    pub agents: Vec<AgentSummary>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentSummary {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<AgentLook>,
    pub workspace: String,
    pub thinking_levels: Vec<ThinkingLevel>,
    pub thinking_options: Vec<&'static str>,
    pub thinking_default: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<AgentModel>,
}

#[derive(Debug, Serialize)]
pub struct AgentLook {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theme: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct AgentModel {
    pub primary: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<String>,
}

objects! { strict:
    #[derive(Debug)]
    pub struct AgentIdentityParams {
        pub agent_id: Option<Name>,
        pub session_key: Option<String>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentIdentityResult {
    pub agent_id: String,
    pub name: String,
    /// `config`, `agent`, `default`: where the name comes from.
    pub name_source: &'static str,
    /// A letter or an emoji to show for a face.
    pub avatar: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
}

objects! { strict:
    #[derive(Debug)]
    pub struct ModelsAuthStatusParams {
        pub refresh: Option<bool>,
        pub agent_id: Option<String>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelsAuthStatusResult {
    pub ts: u64,
    pub providers: Vec<ProviderAuth>,
    /// Logins a client could start here: none, keys are configured.
    pub provider_capabilities: [&'static str; 0],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderAuth {
    pub provider: String,
    pub auth_provider: String,
    pub display_name: String,
    /// `static`: a key, or none needed; `missing`.
    pub status: &'static str,
    pub profiles: [&'static str; 0],
}
