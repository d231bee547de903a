//! What `health`, `status` and hello-ok say, read off the state.

use std::time::Duration;

use super::event::Opened;
use super::{Now, State, TICK, cron};
use crate::auth::devices::HandOver;
use crate::config::agents::HeartbeatConfig;
use crate::config::gateway::ReloadMode;
use crate::wire::PROTOCOL;
use crate::wire::connect::*;
use crate::wire::error::RpcError;
use crate::wire::event::EVENTS;
use crate::wire::frame::Payload;
use crate::wire::health::*;
use crate::wire::scope::Scope;
use crate::wire::sorted::Sorted;

/// Sessions shown in health, per agent and in all.
const RECENT: usize = 5;

/// What the state thread remembers of stored sessions: how many, and the last few. The rest stays in the database.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub count: u64,
    /// Newest first: key, agent, milliseconds of the last change.
    pub recent: Vec<(String, String, u64)>,
}

impl Seen {
    /// Notes a change of one session.
    pub fn touch(&mut self, key: &str, agent_id: &str, now_ms: u64, created: bool) {
        self.count += u64::from(created);
        self.recent.retain(|(known, _, _)| known != key);
        self.recent.insert(0, (key.to_string(), agent_id.to_string(), now_ms));
        self.recent.truncate(RECENT * 8);
    }

    /// Notes that a session is gone.
    pub fn forget(&mut self, key: &str) {
        self.count = self.count.saturating_sub(1);
        self.recent.retain(|(known, _, _)| known != key);
    }

    fn rows(&self, agent_id: Option<&str>, now_ms: u64) -> Vec<RecentSession> {
        self.recent
            .iter()
            .filter(|(_, agent, _)| agent_id.is_none_or(|id| id == agent))
            .take(RECENT)
            .map(|(key, _, at)| RecentSession { key: key.clone(), updated_at: *at, age: now_ms.saturating_sub(*at) })
            .collect()
    }
}

/// Names of capabilities clients look for; each is something this gateway does.
const CAPABILITIES: &[&str] = &["published-model-catalog", "taskSuggestions.acceptModes"];

/// A heartbeat as health shows it; None: the agent has none, or all are switched off.
fn heartbeat(of_agent: Option<(HeartbeatConfig, Duration)>) -> HealthHeartbeat {
    let Some((settings, every)) = of_agent else {
        return HealthHeartbeat {
            enabled: false,
            every: "disabled".into(),
            every_ms: None,
            prompt: String::new(),
            target: "none".into(),
            ack_max_chars: cron::ACK_CHARS,
        };
    };
    HealthHeartbeat {
        enabled: true,
        every: settings.every.unwrap_or_default(),
        every_ms: Some(every.as_millis() as u64),
        prompt: settings.prompt.unwrap_or_else(|| cron::PROMPT.into()),
        target: settings.target.unwrap_or_else(|| cron::TARGET.into()),
        ack_max_chars: settings.ack_max_chars.unwrap_or(cron::ACK_CHARS),
    }
}

impl State {
    /// Everything `health` reports, as it is now.
    pub(super) fn look(&self, now: Now) -> HealthSnapshot {
        let config = self.shared.config.get();
        let database = self.shared.boot.database.clone();
        let default_agent = config.default_agent_id().to_string();
        let ids = config.agent_ids();
        let sole = ids.len() == 1;
        let sessions = |agent: Option<&str>| HealthSessions {
            path: database.clone(),
            count: if agent.is_none() || sole { self.seen.count } else { self.seen.rows(agent, now.ms).len() as u64 },
            recent: self.seen.rows(agent, now.ms),
        };
        let (mut channels, mut channel_labels) = (Sorted::new(), Sorted::new());
        let mut channel_order: Vec<String> = Vec::new();
        for look in self.messengers.looks() {
            let id = look.account.spec.id.to_owned();
            if !channel_order.contains(&id) {
                channel_order.push(id.clone());
                channel_labels.insert(id.clone(), look.account.spec.label.to_owned());
            }
            let row = channels.get_or_insert_with(id, HealthChannel::new);
            if look.account.enabled {
                row.running &= look.running;
                row.connected &= look.facts.connected && look.running;
                row.last_error = row.last_error.take().or(look.facts.last_error);
            }
        }
        let beats = |id: &str| cron::of_agent(&config, id).filter(|_| self.cron.heart.enabled);
        HealthSnapshot {
            ok: true,
            ts: now.ms,
            duration_ms: 0,
            plugins: HealthPlugins::default(),
            config_reload: ConfigReload {
                hot_reload_status: match config.gateway.reload.mode {
                    ReloadMode::Off => "disabled",
                    _ => "active",
                },
            },
            channels,
            channel_order,
            channel_labels,
            heartbeat_seconds: beats(&default_agent).map_or(0, |(_, every)| every.as_secs()),
            agents: ids
                .iter()
                .map(|id| HealthAgent {
                    agent_id: id.to_string(),
                    is_default: *id == default_agent,
                    heartbeat: heartbeat(beats(id)),
                    sessions: sessions(Some(id)),
                })
                .collect(),
            default_agent_id: default_agent,
            sessions: sessions(None),
            event_loop: self.pulse.report(now.at, now.ms),
        }
    }

    /// `status`, without what takes a look at the system (the task adds that).
    pub fn status(&mut self, now: Now) -> StatusResult {
        let health = self.health(now);
        let (config, catalogue) = (self.shared.config.get(), self.shared.catalogue.get());
        let counts = self.runs.counts;
        let (active, running) = (self.runs.active() as u64, self.runs.running() as u64);
        let terminal = counts.succeeded + counts.failed + counts.cancelled;
        StatusResult {
            runtime_version: self.shared.boot.version,
            heartbeat: StatusHeartbeat {
                default_agent_id: health.default_agent_id.clone(),
                agents: health
                    .agents
                    .iter()
                    .map(|agent| StatusHeartbeatAgent {
                        agent_id: agent.agent_id.clone(),
                        enabled: agent.heartbeat.enabled,
                        every: agent.heartbeat.every.clone(),
                        every_ms: agent.heartbeat.every_ms,
                    })
                    .collect(),
            },
            channel_summary: Vec::new(),
            queued_system_events: Vec::new(),
            degraded_secret_owners: config.unresolved.iter().chain(&config.stale).map(|u| u.path.clone()).collect(),
            degraded_plugins: Vec::new(),
            tasks: StatusTasks {
                total: terminal + active,
                active,
                terminal,
                failures: counts.failed,
                by_status: TasksByStatus {
                    queued: active.saturating_sub(running),
                    running,
                    succeeded: counts.succeeded,
                    failed: counts.failed,
                    cancelled: counts.cancelled,
                },
            },
            sessions: StatusSessions {
                paths: vec![self.shared.boot.database.clone()],
                count: health.sessions.count,
                defaults: StatusDefaults {
                    model: catalogue.model.clone(),
                    context_tokens: (catalogue.context_tokens > 0).then_some(catalogue.context_tokens),
                },
                recent: health.sessions.recent.clone(),
                by_agent: health
                    .agents
                    .iter()
                    .map(|a| StatusAgentSessions { agent_id: a.agent_id.clone(), sessions: a.sessions.clone() })
                    .collect(),
            },
            model_runtime: ModelRuntime::default(),
            event_loop: self.pulse.report(now.at, now.ms),
            process_memory: ProcessMemory { rss_bytes: 0 },
            pid: std::process::id(),
            uptime_ms: self.shared.boot.uptime_ms(),
            connections: self.peers.len() as u64,
            config_warnings: config.warnings.clone(),
        }
    }

    /// Payload of the answer to a good `connect`.
    pub(super) fn hello(&mut self, opened: &Opened, now: Now) -> Result<Payload, RpcError> {
        let reads = opened.caller.scopes.allows(Scope::Read);
        let admin = opened.caller.scopes.allows(Scope::Admin);
        let health = self.health(now);
        let shared = self.shared.clone();
        let (config, catalogue, policy) = (shared.config.get(), shared.catalogue.get(), shared.policy.get());
        let boot = &shared.boot;
        let default_agent = config.default_agent_id();
        let main_key = super::main_key(&config);
        let main_session_key = format!("agent:{default_agent}:{main_key}");
        let config_path = config.path.display().to_string();
        let applied = format!("sha256:v1:{}", config.hash);
        let admission = opened.admission.as_ref();
        let conn_id = conn_uuid(&boot.boot_id, opened.caller.conn);
        let (max_bytes, max_image_bytes) = boot.attachments();
        Payload::of(&HelloOk {
            kind: "hello-ok",
            protocol: PROTOCOL,
            server: HelloServer {
                version: boot.version,
                build_id: &boot.build_id,
                boot_id: &boot.boot_id,
                control_ui_build_source: match config.gateway.control_ui.root {
                    Some(_) => "configured",
                    None => "bundled",
                },
                conn_id: &conn_id,
            },
            features: HelloFeatures {
                methods: self.advertised,
                events: EVENTS.iter().filter(|e| e.advertised).map(|e| e.name).collect(),
                capabilities: CAPABILITIES,
            },
            snapshot: Snapshot {
                suspension: Suspension { phase: self.suspension_phase() },
                presence: if reads { self.presence.rows() } else { Vec::new() },
                health: if reads { SnapshotHealth::Known(&health) } else { SnapshotHealth::Hidden {} },
                state_version: self.versions(),
                uptime_ms: boot.uptime_ms(),
                applied_config_hash: &applied,
                session_defaults: SessionDefaults {
                    default_agent_id: default_agent,
                    model_configured: catalogue.configured,
                    ownership: "sole",
                    selection_required: false,
                    main_key,
                    main_session_key: &main_session_key,
                    scope: "per-sender",
                },
                config_path: admin.then_some(config_path.as_str()),
                state_dir: admin.then_some(boot.state_dir.as_str()),
                auth_mode: admin.then_some(policy.mode.as_str()),
            },
            auth: HelloAuth {
                method: opened.auth_method,
                role: opened.caller.role.as_str(),
                scopes: opened.caller.scopes,
                device_token: admission.and_then(|a| a.token.as_ref()).map(|token| token.expose()),
                issued_at_ms: admission.and_then(|a| a.issued_at_ms),
                device_tokens: admission.map_or_else(Vec::new, |a| a.others.iter().map(handed_over).collect()),
            },
            policy: HelloPolicy {
                max_payload: boot.max_payload,
                max_buffered_bytes: boot.max_buffered,
                tick_interval_ms: TICK.as_millis() as u64,
                attachments: HelloAttachments { max_bytes, max_image_bytes },
                allowed_session_visibilities: ["shared"],
                has_multiple_session_sharing_identities: false,
            },
        })
    }
}

fn handed_over(other: &HandOver) -> HelloDeviceToken<'_> {
    HelloDeviceToken {
        device_token: other.token.expose(),
        role: other.role.as_str(),
        scopes: other.scopes,
        issued_at_ms: other.issued_at_ms,
    }
}

/// The id of a connection as clients see it: the boot's UUID with the connection's number in its last group.
fn conn_uuid(boot_id: &str, conn: u64) -> String {
    let head = boot_id.rsplit_once('-').map_or(boot_id, |(head, _)| head);
    format!("{head}-{conn:012x}")
}
