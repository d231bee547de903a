//! The configuration: one key table, one loader, one immutable typed snapshot.
//!
//! `openclaw.json` is JSON5 and is read in place. [`load`](load::load) answers a [`Config`] or every mistake at once, with
//! file, line and path. What a key means, its type, default and reload class are rows of one table in [`keys`].
//!
//! [`edit`] changes a text in place and [`write`] puts it on disk; no read path ever writes the file.
//!
//! Deliberately absent: watching, and the environment, which is passed in.
//!
//! Invariants: a `Config` never changes; secrets inside have a type that does not print; what the file says about a key
//! this gateway does not act on becomes a warning, never silence.

pub mod agents;
pub mod auth;
pub mod bindings;
pub mod check;
pub mod diff;
pub mod edit;
pub mod gateway;
pub mod identity;
pub mod include;
pub mod json5;
pub mod keys;
pub mod load;
pub mod migrate;
pub mod models;
pub mod plan;
pub mod redact;
pub mod resolve;
pub mod schema;
pub mod secrets;
pub mod sections;
pub mod skills;
pub mod terms;
pub mod write;

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use crate::sys::Env;
use crate::sys::paths::Paths;
use crate::wire::object::objects;
use crate::wire::sorted::Sorted;

pub use agents::{AgentDefaults, AgentEntry, AgentsConfig, ModelChoice};
pub use auth::{AuthProfile, ProfileMode, ProfilesConfig};
pub use bindings::Binding;
pub use gateway::{AuthMode, BindMode, GatewayConfig, Mode};
pub use load::{LoadError, load};
pub use models::{ModelApi, ModelConfig, ModelsConfig, ProviderConfig};
pub use sections::{
    AccessGroup, ApprovalsConfig, CommandsConfig, CronConfig, DiscoveryConfig, HooksConfig, LoggingConfig,
    MemoryConfig, MessagesConfig, PluginsConfig, SessionConfig, ToolsConfig, UiConfig,
};
pub use skills::SkillsConfig;

objects! { kept:
    /// Everything the configuration file says, typed, with defaults filled in.
    #[derive(Debug, Clone, Default)]
    pub struct Config {
        pub gateway: GatewayConfig,
        pub agents: AgentsConfig,
        pub models: ModelsConfig,
        pub auth: ProfilesConfig,
        pub tools: ToolsConfig,
        pub session: SessionConfig,
        pub logging: LoggingConfig,
        pub hooks: HooksConfig,
        pub cron: CronConfig,
        /// Each messenger reads its own section; the keys belong to the channel.
        pub channels: Sorted<String, Value>,
        pub approvals: ApprovalsConfig,
        pub access_groups: Sorted<String, AccessGroup>,
        /// Which agent answers whom.
        pub bindings: Vec<Binding>,
        pub commands: CommandsConfig,
        pub discovery: DiscoveryConfig,
        pub messages: MessagesConfig,
        pub memory: MemoryConfig,
        pub ui: UiConfig,
        pub skills: SkillsConfig,
        pub plugins: PluginsConfig,

        /// Where the file is, whether it exists or not.
        pub path: PathBuf = skip,
        /// Whether there was a file. A missing file is an empty configuration.
        pub exists: bool = skip,
        /// SHA-256 of the file's bytes in hex; of nothing when there is no file. Writers compare it before they write.
        pub hash: String = skip,
        /// The file as it is on disk, secrets and all.
        pub raw: Arc<str> = skip,
        /// The whole tree after includes and substitution, secrets and all; see [`redact`] before showing it.
        pub tree: Arc<Value> = skip,
        /// Sentences for the log and for `doctor`, in file order.
        pub warnings: Vec<String> = skip,
        /// Keys that are known and have no effect here, topmost first.
        pub ignored: Vec<String> = skip,
        /// Every file that was read, the main one first; what a watcher has to look at.
        pub files: Vec<PathBuf> = skip,
        /// Secrets that were named but could not be had; their owners behave as unconfigured.
        pub unresolved: Vec<Unresolved> = skip,
        /// Secrets that could not be had this time; their values from before are in force.
        pub stale: Vec<Unresolved> = skip,
        /// Secrets that were fetched, for the next reload.
        pub held: Arc<secrets::Holding> = skip,
        /// Process environment, then the state directory's `.env`, then `env.vars`.
        pub vars: Env = skip,
        /// What `~` means inside the file, and the default places.
        pub paths: Option<Arc<Paths>> = skip,
    }
}

impl Config {
    /// Why a secret at this key or below it cannot be had, in the words its owner shows.
    pub fn unresolved_below(&self, path: &str) -> Option<String> {
        let below = |own: &str| own.strip_prefix(path).is_some_and(|r| r.is_empty() || r.starts_with(['.', '[']));
        let missing = self.unresolved.iter().find(|missing| below(&missing.path))?;
        Some(format!("unresolved SecretRef {} ({})", missing.path, missing.reason))
    }

    /// What is wrong with the programs secrets are kept by, by their paths alone; none is started.
    pub fn program_problems(&self) -> Vec<String> {
        let (Ok(parsed), Some(paths)) = (json5::parse(&self.tree.to_string(), 0), self.paths.as_ref()) else {
            return Vec::new();
        };
        let expand = |path: &str| paths.expand(path);
        let around = secrets::Surroundings { env: &self.vars, expand: &expand, state_dir: &paths.state_dir };
        secrets::check_programs(&parsed.root, &around)
    }

    /// Whether a variable settings may use is another one.
    pub fn vars_differ(&self, other: &Config) -> bool {
        !self.vars.iter().eq(other.vars.iter())
    }
}

/// A secret the file points at and that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// The key path, as in `gateway.auth.token`.
    pub path: String,
    /// Why, without any value: `environment variable X is not set`.
    pub reason: String,
    /// Nobody asked for it: whoever read the file starts no programs.
    pub skipped: bool,
}
