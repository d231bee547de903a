//! The smaller sections: tools, session, logging, hooks, cron, commands and the rest.
//!
//! Shapes and defaults only.

use serde::Deserialize;
use serde_json::Value;

use crate::sys::secret::Secret;
use crate::wire::object::objects;
use crate::wire::sorted::Sorted;

/// `tools.*`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ToolsConfig {
    #[serde(flatten)]
    pub policy: ToolPolicy,
    pub exec: ExecConfig,
    pub fs: FsConfig,
    pub sessions: SessionToolsConfig,
}

/// `tools.sessions.*`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SessionToolsConfig {
    /// `self`, `tree`, `agent` or `all`.
    pub visibility: Option<String>,
}

objects! { kept:
    /// Which tools an agent has: `profile` gives the base, `allow` replaces it, `alsoAllow` adds, `deny` wins.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct ToolPolicy {
        /// `minimal`, `coding`, `messaging` or `full`.
        pub profile: Option<String>,
        pub allow: Option<Vec<String>>,
        pub also_allow: Vec<String>,
        pub deny: Vec<String>,
    }
}

/// `tools.exec.*`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExecConfig {
    /// `auto`, `sandbox`, `gateway` or `node`.
    pub host: Option<String>,
    /// `deny`, `allowlist`, `ask`, `auto` or `full`.
    pub mode: Option<String>,
    /// `deny`, `allowlist` or `full`.
    pub security: Option<String>,
    /// `off`, `on-miss` or `always`.
    pub ask: Option<String>,
    /// Longest run of one command.
    #[serde(alias = "timeoutSec")]
    pub timeout_seconds: Option<u64>,
    /// Directories put in front of `PATH`.
    pub path_prepend: Vec<String>,
    /// Programs that need no approval.
    pub safe_bins: Vec<String>,
}

objects! { kept:
    /// `tools.fs.*`.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct FsConfig {
        /// File tools stay inside the workspace.
        pub workspace_only: bool,
    }

    /// `session.*`.
    #[derive(Debug, Clone, Default)]
    pub struct SessionConfig {
        pub dm_scope: DmScope,
        /// `per-group`, or `main`: groups share the main conversation.
        pub group_scope: Option<String>,
        /// Name of the main conversation; the reference always uses `main`.
        pub main_key: Option<String>,
        pub reset: ResetConfig,
        /// Messages that start a conversation over, beside `/new` and `/reset`.
        pub reset_triggers: Option<Vec<String>>,
        /// Canonical person to channel identities.
        pub identity_links: Sorted<String, Vec<String>>,
        pub maintenance: MaintenanceConfig,
    }
}

/// `session.dmScope`: which direct messages share a conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DmScope {
    #[default]
    Main,
    PerPeer,
    PerChannelPeer,
    PerAccountChannelPeer,
}

objects! { kept:
    /// `session.reset.*`: when a conversation starts over by itself.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct ResetConfig {
        pub mode: Option<ResetMode>,
        /// Local hour of day, 0 to 23.
        pub at_hour: Option<u8>,
        pub idle_minutes: Option<u64>,
    }
}

/// How long something is kept: a length of time, a number of days, or `false`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Retention {
    Off(bool),
    Days(f64),
    For(String),
}

/// `session.reset.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResetMode {
    None,
    Daily,
    Idle,
}

objects! { kept:
    /// `session.maintenance.*`.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct MaintenanceConfig {
        /// `enforce`, or `warn`: only say what would be put away.
        pub mode: Option<String>,
        /// Idle for longer, a session is put away.
        pub prune_after: Option<Retention>,
        /// The same for those a dashboard began.
        pub archive_dashboard_after: Option<Retention>,
        /// Sessions that are not archived.
        pub max_entries: Option<u64>,
        /// Used within this time, a person's session stays.
        pub preserve_recent: Option<Retention>,
    }

    /// `logging.*`.
    #[derive(Debug, Clone, Default)]
    pub struct LoggingConfig {
        /// Of the file.
        pub level: Option<LogLevel>,
        pub file: Option<String>,
        pub console_level: Option<LogLevel>,
        pub console_style: Option<ConsoleStyle>,
        /// The file is rotated before it grows over this.
        pub max_file_bytes: Option<u64>,
    }
}

/// `logging.consoleStyle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConsoleStyle {
    Pretty,
    Compact,
    /// The lines of the file.
    Json,
}

/// Levels the way the reference names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Silent,
    Fatal,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

objects! { kept:
    /// `hooks.*`.
    #[derive(Debug, Clone, Default)]
    pub struct HooksConfig {
        pub enabled: bool,
        /// URL path under which hooks are received; `/hooks` unless set.
        pub path: Option<String>,
        pub token: Option<Secret>,
        pub default_session_key: Option<String>,
        pub allow_request_session_key: bool,
        pub allowed_session_key_prefixes: Vec<String>,
        /// `None`: every agent.
        pub allowed_agent_ids: Option<Vec<String>>,
        pub presets: Vec<String>,
        pub mappings: Vec<Value>,
    }

    /// `cron.*`.
    #[derive(Debug, Clone)]
    pub struct CronConfig {
        pub enabled: bool,
        pub skip_missed_jobs: bool,
        pub max_concurrent_runs: Option<u32>,
        /// Tokens runs nobody asked for may use in a day (UTC).
        pub max_tokens_per_day: Option<u64>,
        pub webhook_token: Option<Secret>,
        pub webhook_ssrf_policy: WebhookPolicy,
    }

    /// `cron.webhookSsrfPolicy`: which private hosts results may be sent to.
    #[derive(Debug, Clone, Default)]
    pub struct WebhookPolicy {
        pub allowed_hostnames: Vec<String>,
        pub dangerously_allow_private_network: bool,
    }

    /// `accessGroups.*`: people under one name.
    #[derive(Debug, Clone, Default)]
    pub struct AccessGroup {
        /// `message.senders`; what else there is lets nobody in.
        pub kind: Option<String> as "type",
        /// Ids by messenger; `*` for every one.
        pub members: Sorted<String, Vec<Value>>,
    }

    /// `approvals.*`: where questions are asked in messengers, beside the conversation they come from.
    #[derive(Debug, Clone, Default)]
    pub struct ApprovalsConfig {
        pub exec: ForwardConfig,
        pub plugin: ForwardConfig,
    }

    /// `approvals.exec` and `approvals.plugin`.
    #[derive(Debug, Clone, Default)]
    pub struct ForwardConfig {
        pub enabled: bool,
        /// `session`, `targets`, `both`.
        pub mode: Option<String>,
        pub agent_filter: Vec<String>,
        /// Parts of session keys.
        pub session_filter: Vec<String>,
        pub targets: Vec<ForwardTarget>,
    }

    /// `approvals.exec.targets[]`.
    #[derive(Debug, Clone, Default)]
    pub struct ForwardTarget {
        pub channel: String,
        pub to: String,
        pub account_id: Option<String>,
        pub thread_id: Option<Value>,
    }

    /// `commands.*`: slash commands in chats.
    #[derive(Debug, Clone)]
    pub struct CommandsConfig {
        pub text: bool,
        pub restart: bool,
        pub owner_allow_from: Vec<Value>,
    }

    /// `discovery.*`: being found on the local network.
    #[derive(Debug, Clone, Default)]
    pub struct DiscoveryConfig {
        pub mdns: MdnsConfig,
    }

    /// `discovery.mdns.*`.
    #[derive(Debug, Clone, Default)]
    pub struct MdnsConfig {
        pub mode: MdnsMode,
    }
}

/// `discovery.mdns.mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MdnsMode {
    /// The reference's default is to publish; here nobody is told unasked.
    #[default]
    Off,
    Minimal,
    /// Also where the program is.
    Full,
}

objects! { kept:
    /// `messages.*`.
    #[derive(Debug, Clone, Default)]
    pub struct MessagesConfig {
        pub response_prefix: Option<String>,
        pub inbound: InboundConfig,
        pub group_chat: GroupChatConfig,
    }

    /// `messages.groupChat.*`.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct GroupChatConfig {
        /// Messages of a group that go along as context; 0 = none.
        pub history_limit: Option<u64>,
        /// Expressions that mean us.
        pub mention_patterns: Vec<String>,
    }

    /// `messages.inbound.*`: text that comes in pieces.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct InboundConfig {
        /// Pieces this close together are one message; 0 = never.
        pub debounce_ms: Option<u64>,
        pub by_channel: Sorted<String, u64>,
    }

    /// `memory.*`: of the reference's memory only what `POST /v1/embeddings` needs.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct MemoryConfig {
        pub search: MemorySearch,
    }

    /// `memory.search.*`: who makes embeddings.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct MemorySearch {
        /// A provider's id; the embedded one unless set.
        pub provider: Option<String>,
        pub model: Option<String>,
        /// Entries of a vector.
        pub output_dimensionality: Option<u32>,
    }

    /// `ui.*`.
    #[derive(Debug, Clone, Default)]
    pub struct UiConfig {
        pub seam_color: Option<String>,
    }

    /// `plugins.*`.
    #[derive(Debug, Clone, Default)]
    pub struct PluginsConfig {
        pub enabled: Option<bool>,
        pub allow: Vec<String>,
        pub deny: Vec<String>,
        pub entries: Sorted<String, PluginEntry>,
    }

    /// `plugins.entries.<id>.*`.
    #[derive(Debug, Clone, Default)]
    pub struct PluginEntry {
        pub enabled: Option<bool>,
    }
}

impl PluginsConfig {
    /// Whether a plugin that is off by default was switched on, and nothing switches it off again.
    pub fn enables(&self, id: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|own| own == id);
        self.enabled != Some(false)
            && !named(&self.deny)
            && (self.allow.is_empty() || named(&self.allow))
            && self.entries.get(id).and_then(|entry| entry.enabled) == Some(true)
    }
}

impl LogLevel {
    /// The nearest level of the `log` crate; `Fatal` has none of its own.
    pub fn filter(self) -> log::LevelFilter {
        match self {
            LogLevel::Silent => log::LevelFilter::Off,
            LogLevel::Fatal | LogLevel::Error => log::LevelFilter::Error,
            LogLevel::Warn => log::LevelFilter::Warn,
            LogLevel::Info => log::LevelFilter::Info,
            LogLevel::Debug => log::LevelFilter::Debug,
            LogLevel::Trace => log::LevelFilter::Trace,
        }
    }
}

impl Default for CronConfig {
    fn default() -> Self {
        CronConfig {
            enabled: true,
            skip_missed_jobs: false,
            max_concurrent_runs: None,
            max_tokens_per_day: None,
            webhook_token: None,
            webhook_ssrf_policy: WebhookPolicy::default(),
        }
    }
}

impl Default for CommandsConfig {
    fn default() -> Self {
        CommandsConfig { text: true, restart: true, owner_allow_from: Vec::new() }
    }
}
