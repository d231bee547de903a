//! The `agents` section: who answers, with which model, from which workspace.
//!
//! The reference writes agents as a map (`agents.entries.<id>`) and used to write them as a list (`agents.list[]`); both
//! are read, and come out as one list. Questions about an agent (`default_agent_id`, `agent_workspace`, ...) are answered
//! by methods of [`Config`] here, so that nobody else repeats the rules.
//!
//! Invariant: ids in [`AgentsConfig::list`] are normalised (see [`normal_id`]) and unique; of two, the later one wins.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Config;
use super::sections::{MemoryConfig, ToolPolicy};
use super::skills::SkillsLimits;
use crate::wire::misfit;
use crate::wire::object::objects;
use crate::wire::sorted::Sorted;

/// The id of the agent that exists when the file names none.
pub const MAIN_AGENT: &str = "main";

/// Longest agent id kept; the rest is cut.
const ID_LEN: usize = 64;

/// `agents.*`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "Written")]
pub struct AgentsConfig {
    pub defaults: AgentDefaults,
    /// Configured agents in file order; empty means the one agent `main`.
    pub list: Vec<AgentEntry>,
}

objects! { kept:
    /// The section as it stands in the file.
    #[derive(Default)]
    struct Written {
        defaults: AgentDefaults,
        entries: Map<String, Value>,
        list: Vec<AgentEntry>,
    }

    /// `agents.defaults.*`.
    #[derive(Debug, Clone, Default)]
    pub struct AgentDefaults {
        pub workspace: Option<String>,
        /// Where tools start, when not in the workspace.
        pub cwd: Option<String>,
        pub model: ModelChoice,
        /// Catalogue rows by `provider/model`: aliases and parameters.
        pub models: Sorted<String, ModelRow>,
        pub model_policy: ModelPolicy,
        /// Longest run; 0 means no limit.
        pub timeout_seconds: Option<u64>,
        /// Runs side by side.
        pub max_concurrent: Option<u32>,
        pub thinking_default: Option<String>,
        pub user_timezone: Option<String>,
        /// Upper bound of tokens sent to a model.
        pub context_tokens: Option<u64>,
        pub heartbeat: HeartbeatConfig,
        pub compaction: CompactionConfig,
        /// Skills agents may see; `None`: all.
        pub skills: Option<Vec<String>>,
        /// Do not write the starter files into a new workspace.
        pub skip_bootstrap: bool,
        /// Of the starter files these are not written: `SOUL.md`, `USER.md`, `IDENTITY.md`.
        pub skip_optional_bootstrap_files: Vec<String>,
        /// Characters one workspace file may add to the prompt.
        pub bootstrap_max_chars: Option<usize>,
        /// Characters all workspace files together may add to the prompt.
        pub bootstrap_total_max_chars: Option<usize>,
        pub context_injection: Option<ContextInjection>,
        /// Provider parameters for every call (`temperature` and the like).
        pub params: Map<String, Value>,
    }
}

objects! { kept:
    /// `agents.defaults.compaction.*`: long conversations are summed up.
    #[derive(Debug, Clone)]
    pub struct CompactionConfig {
        /// Before a conversation outgrows its model; a refusal of the model and a person may ask for it either way.
        pub enabled: bool,
        /// Tokens of the newest messages that are kept word by word.
        pub keep_recent_tokens: u64,
        /// The model that sums up; the session's unless set.
        pub model: Option<String>,
        /// Longest call of that model.
        pub timeout_seconds: u64,
    }
}

impl Default for CompactionConfig {
    fn default() -> CompactionConfig {
        CompactionConfig { enabled: true, keep_recent_tokens: 20_000, model: None, timeout_seconds: 180 }
    }
}

/// A model, and what to use when it fails. In the file a string or an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "WrittenChoice")]
pub struct ModelChoice {
    /// `provider/model`.
    pub primary: Option<String>,
    pub fallbacks: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenChoice {
    Name(String),
    Object { primary: Option<String>, fallbacks: Option<Vec<String>> },
}

objects! { kept:
    /// `agents.defaults.models.<provider/model>`.
    #[derive(Debug, Clone, Default)]
    pub struct ModelRow {
        pub alias: Option<String>,
        pub params: Map<String, Value>,
    }

    /// `agents.defaults.modelPolicy`.
    #[derive(Debug, Clone, Default)]
    pub struct ModelPolicy {
        /// `None` leaves it to the defaults; empty: every model.
        pub allow: Option<Vec<String>>,
    }

    /// `heartbeat.*`. Off unless `every` is set (a gateway must not spend tokens unasked).
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct HeartbeatConfig {
        /// A duration like `30m`; `0m` is off.
        pub every: Option<String>,
        pub model: Option<String>,
        pub session: Option<String>,
        pub prompt: Option<String>,
        pub target: Option<String>,
        pub to: Option<String>,
        pub account_id: Option<String>,
        pub ack_max_chars: Option<u32>,
        pub active_hours: Option<ActiveHours>,
        pub light_context: bool,
        pub isolated_session: bool,
    }

    /// `heartbeat.activeHours`: local wall clock, `HH:MM`.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct ActiveHours {
        pub start: Option<String>,
        pub end: Option<String>,
        pub timezone: Option<String>,
    }

    /// One agent.
    #[derive(Debug, Clone, Default)]
    pub struct AgentEntry {
        pub id: String,
        pub default: bool,
        pub name: Option<String>,
        pub workspace: Option<String>,
        pub cwd: Option<String>,
        pub model: ModelChoice,
        pub models: Sorted<String, ModelRow>,
        pub model_policy: ModelPolicy,
        pub thinking_default: Option<String>,
        pub identity: IdentityConfig,
        /// Skills this agent may see, instead of the defaults.
        pub skills: Option<Vec<String>>,
        pub skills_limits: SkillsLimits,
        pub tools: ToolPolicy,
        pub heartbeat: Option<HeartbeatConfig>,
        pub memory: MemoryConfig,
        pub bootstrap_max_chars: Option<usize>,
        pub bootstrap_total_max_chars: Option<usize>,
        pub context_injection: Option<ContextInjection>,
        pub params: Map<String, Value>,
    }

    /// `identity.*`: how the agent presents itself.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct IdentityConfig {
        pub name: Option<String>,
        pub theme: Option<String>,
        pub emoji: Option<String>,
        pub avatar: Option<String>,
    }
}

/// `contextInjection`: when workspace files go into the prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContextInjection {
    #[default]
    Always,
    /// Not again in a conversation that has had them.
    ContinuationSkip,
    Never,
}

impl Config {
    /// The agent that answers when nobody names one: the one marked `default`, else `main`, else the first.
    pub fn default_agent_id(&self) -> &str {
        let list = &self.agents.list;
        let chosen = list.iter().find(|agent| agent.default);
        let chosen = chosen.or_else(|| list.iter().find(|agent| agent.id == MAIN_AGENT)).or(list.first());
        chosen.map_or(MAIN_AGENT, |agent| agent.id.as_str())
    }

    /// The entry of an agent; `None` for an id that is not configured, and for the implied `main`.
    pub fn agent(&self, id: &str) -> Option<&AgentEntry> {
        let id = normal_id(id);
        self.agents.list.iter().find(|agent| agent.id == id)
    }

    /// Every agent id there is, in order; never empty.
    pub fn agent_ids(&self) -> Vec<&str> {
        match self.agents.list.as_slice() {
            [] => vec![MAIN_AGENT],
            list => list.iter().map(|agent| agent.id.as_str()).collect(),
        }
    }

    /// The directory of an agent's files. The default agent uses the default workspace itself, any other one a
    /// directory of its own in or beside it.
    pub fn agent_workspace(&self, id: &str) -> PathBuf {
        let id = normal_id(id);
        let own = self.agent(&id).and_then(|agent| agent.workspace.as_deref()).filter(|path| !path.trim().is_empty());
        if let Some(path) = own {
            return self.expand(path);
        }
        let shared = self.agents.defaults.workspace.as_deref().filter(|path| !path.trim().is_empty());
        let is_default = id == self.default_agent_id();
        match (shared, is_default) {
            (Some(path), true) => self.expand(path),
            (Some(path), false) => self.expand(path).join(&id),
            (None, true) => self.paths.as_ref().map_or_else(|| PathBuf::from("workspace"), |p| p.workspace.clone()),
            (None, false) => {
                let name = format!("workspace-{id}");
                self.paths.as_ref().map_or_else(|| PathBuf::from(&name), |p| p.state_dir.join(&name))
            }
        }
    }

    /// `provider/model` of an agent; `None` when the file chooses none.
    pub fn primary_model(&self, agent: &str) -> Option<&str> {
        let own = self.agent(agent).and_then(|agent| agent.model.primary.as_deref());
        own.or(self.agents.defaults.model.primary.as_deref()).filter(|name| !name.trim().is_empty())
    }

    /// What to try after the primary model. An agent that names its own model and no fallbacks has none.
    pub fn fallbacks(&self, agent: &str) -> &[String] {
        let own = self.agent(agent).map(|agent| &agent.model);
        match own {
            Some(ModelChoice { fallbacks: Some(list), .. }) => list,
            Some(ModelChoice { primary: Some(_), .. }) => &[],
            _ => self.agents.defaults.model.fallbacks.as_deref().unwrap_or_default(),
        }
    }

    /// An absolute path from a path in the file.
    pub fn expand(&self, path: &str) -> PathBuf {
        match &self.paths {
            Some(paths) => paths.expand(path),
            None => PathBuf::from(path),
        }
    }
}

/// Agent ids are lower case, made of letters, digits, `_` and `-`; anything else becomes `-`.
pub fn normal_id(id: &str) -> String {
    let lower = id.trim().to_ascii_lowercase();
    let mapped: String =
        lower.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' }).collect();
    let trimmed = mapped.trim_matches('-');
    let cut = &trimmed[..trimmed.len().min(ID_LEN)];
    if cut.is_empty() { MAIN_AGENT.to_owned() } else { cut.to_owned() }
}

impl TryFrom<Written> for AgentsConfig {
    type Error = String;

    fn try_from(written: Written) -> Result<AgentsConfig, String> {
        let mut entries = written.list;
        for (id, entry) in written.entries {
            let mut entry: AgentEntry =
                misfit::convert(&entry).map_err(|misfit| format!("agents.entries.{id}: {}", misfit.reason))?;
            entry.id = id;
            entries.push(entry);
        }
        let mut list: Vec<AgentEntry> = Vec::new();
        for mut entry in entries {
            entry.id = normal_id(&entry.id);
            list.retain(|other| other.id != entry.id);
            list.push(entry);
        }
        Ok(AgentsConfig { defaults: written.defaults, list })
    }
}

impl From<WrittenChoice> for ModelChoice {
    fn from(written: WrittenChoice) -> ModelChoice {
        match written {
            WrittenChoice::Name(name) => ModelChoice { primary: Some(name), fallbacks: None },
            WrittenChoice::Object { primary, fallbacks } => ModelChoice { primary, fallbacks },
        }
    }
}
