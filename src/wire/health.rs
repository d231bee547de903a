//! `health` and `status`: whether the gateway is well, in the shapes of the reference.

use serde::Serialize;

use super::object::objects;
use super::sorted::Sorted;

objects! { strict:
    #[derive(Debug)]
    pub struct HealthParams {
        /// Look again instead of reporting what is known.
        pub probe: Option<bool>,
        pub include_sensitive: Option<bool>,
    }

    #[derive(Debug)]
    pub struct StatusParams {
        pub include_channel_summary: Option<bool>,
    }
}

/// Payload of the event `health` and of the snapshot in hello-ok.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthSnapshot {
    pub ok: bool,
    pub ts: u64,
    pub duration_ms: u64,
    pub plugins: HealthPlugins,
    pub config_reload: ConfigReload,
    pub channels: Sorted<String, HealthChannel>,
    pub channel_order: Vec<String>,
    pub channel_labels: Sorted<String, String>,
    /// 0: heartbeats are off.
    pub heartbeat_seconds: u64,
    pub default_agent_id: String,
    pub agents: Vec<HealthAgent>,
    pub sessions: HealthSessions,
    pub event_loop: EventLoop,
}

/// Payload of `health` itself: the snapshot and the model runtime.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthResult {
    #[serde(flatten)]
    pub snapshot: std::sync::Arc<HealthSnapshot>,
    pub model_runtime: ModelRuntime,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct HealthPlugins {
    pub loaded: Vec<String>,
    pub errors: Vec<String>,
    pub unavailable: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigReload {
    pub hot_reload_status: &'static str,
}

/// One messenger: the worst of its accounts.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthChannel {
    pub configured: bool,
    pub running: bool,
    pub connected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl HealthChannel {
    /// As well as it can be; accounts make it worse.
    pub fn new() -> HealthChannel {
        HealthChannel { configured: true, running: true, connected: true, last_error: None }
    }
}

impl Default for HealthChannel {
    fn default() -> HealthChannel {
        HealthChannel::new()
    }
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthAgent {
    pub agent_id: String,
    pub is_default: bool,
    pub heartbeat: HealthHeartbeat,
    pub sessions: HealthSessions,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthHeartbeat {
    pub enabled: bool,
    pub every: String,
    pub every_ms: Option<u64>,
    pub prompt: String,
    pub target: String,
    /// Characters of an answer that counts as "nothing to say".
    pub ack_max_chars: u32,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct HealthSessions {
    pub path: String,
    pub count: u64,
    pub recent: Vec<RecentSession>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecentSession {
    pub key: String,
    pub updated_at: u64,
    /// Milliseconds since the last change.
    pub age: u64,
}

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelRuntime {
    pub degraded: bool,
    pub pending_agents: Vec<String>,
}

/// How long turns of the state thread took since the last look. The reference reports its event loop here; ours is the
/// state thread, and the words stay.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventLoop {
    pub degraded: bool,
    pub degraded_since_ms: Option<u64>,
    pub reasons: Vec<&'static str>,
    pub interval_ms: f64,
    #[serde(rename = "delayP99Ms")]
    pub delay_p99_ms: f64,
    pub delay_max_ms: f64,
    pub utilization: f64,
    pub cpu_core_ratio: f64,
}

/// Payload of `status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusResult {
    pub runtime_version: &'static str,
    pub heartbeat: StatusHeartbeat,
    pub channel_summary: Vec<String>,
    pub queued_system_events: Vec<String>,
    pub degraded_secret_owners: Vec<String>,
    pub degraded_plugins: Vec<String>,
    pub tasks: StatusTasks,
    pub sessions: StatusSessions,
    pub model_runtime: ModelRuntime,
    pub event_loop: EventLoop,
    pub process_memory: ProcessMemory,
    pub pid: u32,
    pub uptime_ms: u64,
    pub connections: u64,
    /// What the configuration warned of at start.
    pub config_warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusHeartbeat {
    pub default_agent_id: String,
    pub agents: Vec<StatusHeartbeatAgent>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusHeartbeatAgent {
    pub agent_id: String,
    pub enabled: bool,
    pub every: String,
    pub every_ms: Option<u64>,
}

/// Runs, counted as the reference counts its tasks.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusTasks {
    pub total: u64,
    pub active: u64,
    pub terminal: u64,
    pub failures: u64,
    pub by_status: TasksByStatus,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct TasksByStatus {
    pub queued: u64,
    pub running: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub cancelled: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusSessions {
    pub paths: Vec<String>,
    pub count: u64,
    pub defaults: StatusDefaults,
    pub recent: Vec<RecentSession>,
    pub by_agent: Vec<StatusAgentSessions>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusDefaults {
    pub model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusAgentSessions {
    pub agent_id: String,
    #[serde(flatten)]
    pub sessions: HealthSessions,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessMemory {
    pub rss_bytes: u64,
}
