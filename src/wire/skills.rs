//! The shapes of `skills.*`.

use serde::Serialize;
use serde_json::{Map, Value};

use super::decode::Name;
use super::object::objects;
use super::sorted::Sorted;

objects! { strict:
    #[derive(Debug)]
    pub struct SkillsStatusParams {
        pub agent_id: Option<Name>,
        pub session_key: Option<Name>,
    }

    #[derive(Debug)]
    pub struct SkillsBinsParams {}

    /// A skill's entry in the configuration; or, with `source`, an update from a registry.
    #[derive(Debug)]
    pub struct SkillsUpdateParams {
        pub skill_key: Option<Name>,
        pub enabled: Option<bool>,
        /// An empty text takes the credential away.
        pub api_key: Option<String>,
        /// An empty text takes the variable away.
        pub env: Option<Sorted<String, String>>,
        pub source: Option<Name>,
        pub agent_id: Option<Name>,
        pub slug: Option<Name>,
        pub all: Option<bool>,
        pub force: Option<bool>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SkillsStatusResult {
    pub workspace_dir: String,
    pub managed_skills_dir: String,
    pub agent_id: String,
    pub skills: Vec<SkillStatus>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SkillStatus {
    pub name: String,
    pub description: String,
    /// `openclaw-workspace`, `agents-skills-project`, `agents-skills-personal`, `openclaw-managed`, `openclaw-extra`.
    pub source: &'static str,
    pub bundled: bool,
    pub file_path: String,
    pub base_dir: String,
    pub skill_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_env: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    pub always: bool,
    pub disabled: bool,
    pub blocked_by_allowlist: bool,
    pub blocked_by_agent_filter: bool,
    pub eligible: bool,
    pub platform_incompatible: bool,
    pub model_visible: bool,
    pub user_invocable: bool,
    pub command_visible: bool,
    pub requirements: SkillNeeds,
    pub missing: SkillNeeds,
    pub config_checks: Vec<ConfigCheck>,
    /// Nothing is installed from here.
    pub install: [(); 0],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SkillNeeds {
    pub bins: Vec<String>,
    pub any_bins: Vec<String>,
    pub env: Vec<String>,
    pub config: Vec<String>,
    pub os: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct ConfigCheck {
    pub path: String,
    pub satisfied: bool,
}

#[derive(Debug, Serialize)]
pub struct SkillsBinsResult {
    pub bins: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SkillsUpdateResult {
    pub ok: bool,
    pub skill_key: String,
    /// The entry, without its secrets.
    pub config: Map<String, Value>,
}
