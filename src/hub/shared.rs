//! What every thread may read without asking: facts of this process, and snapshots that are swapped whole.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::talks::Talks;
use crate::auth::{Attempts, Policy};
use crate::config::Config;
use crate::sys::swap::Swap;
use crate::wire::models::ModelChoice;
use crate::wire::presence::PresenceEntry;
use crate::wire::session::SessionListDefaults;

/// Shared by all threads behind one `Arc`.
pub struct Shared {
    pub boot: Boot,
    pub config: Swap<Config>,
    pub policy: Swap<Policy>,
    pub catalogue: Swap<Catalogue>,
    pub attempts: Attempts,
    /// Work is held off (see [`super::suspend`]). Set by the state thread alone.
    pub suspended: AtomicBool,
    /// With whom each agent talked last.
    pub talks: Talks,
}

/// Facts that hold as long as the process lives.
#[derive(Debug, Clone)]
pub struct Boot {
    pub version: &'static str,
    pub build_id: String,
    /// New with every start; clients see by it that the gateway was restarted.
    pub boot_id: String,
    pub started: Instant,
    pub started_ms: u64,
    pub port: u16,
    /// This host's address for other hosts; `None` when only this host can connect.
    pub lan_host: Option<String>,
    pub own: PresenceEntry,
    pub state_dir: String,
    pub database: String,
    /// Bytes of one frame of an admitted client.
    pub max_payload: u64,
    /// Bytes queued for a client that does not read.
    pub max_buffered: u64,
}

/// The models there are, as rows for clients, and which one is meant by default.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    pub rows: Vec<ModelChoice>,
    pub provider: String,
    pub model: String,
    /// Tokens; 0 = unknown.
    pub context_tokens: u64,
    /// Something better than the embedded model answers.
    pub configured: bool,
    /// How much agents think unless a session says: for all, and for those that differ.
    pub thinking: Option<&'static str>,
    pub thinking_of: Vec<(String, &'static str)>,
}

impl Catalogue {
    /// How much an agent thinks, unless a session or a model says.
    pub fn thinking_default(&self, agent_id: &str) -> &'static str {
        let own = self.thinking_of.iter().find(|(id, _)| id == agent_id).map(|(_, level)| *level);
        own.or(self.thinking).unwrap_or("off")
    }

    pub fn defaults(&self) -> SessionListDefaults {
        SessionListDefaults {
            model_provider: self.provider.clone(),
            model: self.model.clone(),
            context_tokens: (self.context_tokens > 0).then_some(self.context_tokens),
            thinking_levels: crate::wire::models::thinking_levels(false),
            thinking_options: vec!["off"],
            thinking_default: self.thinking.unwrap_or("off"),
            model_selection_target: "session",
        }
    }
}

impl Boot {
    pub fn uptime_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn attachments(&self) -> (u64, u64) {
        // Base64 takes four bytes for three, and the frame around it a little more.
        let bytes = (self.max_payload.saturating_sub(256 << 10)) / 4 * 3;
        (bytes, bytes.min(6 << 20))
    }
}

/// The last part of an agent's main session key.
pub fn main_key(config: &Config) -> &str {
    config.session.main_key.as_deref().filter(|key| !key.is_empty()).unwrap_or("main")
}
