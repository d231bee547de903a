//! `models.list` and `models.probe`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::auth::Caller;
use crate::config::Config;
use crate::config::agents::normal_id;
use crate::hub::{Catalogue, Now, State, TaskContext};
use crate::providers::ProviderError;
use crate::providers::error::FailureKind;
use crate::providers::probe::{self, Probed};
use crate::providers::registry::{ModelRef, Registry};
use crate::wire::error::RpcError;
use crate::wire::frame::cut;
use crate::wire::models::*;
use crate::wire::session::agent_of;

/// How long a provider is waited for, in milliseconds: when the caller says nothing, and within which limits.
const PATIENCE: u64 = 20_000;
const PATIENCE_MIN: u64 = 5_000;
const PATIENCE_MAX: u64 = 60_000;
/// Providers asked at once: each takes a thread of the pool for as long as it is waited for.
const PROBES: usize = 2;

pub fn list(
    state: &mut State,
    _: &Arc<Caller>,
    params: ModelsListParams,
    _: Now,
) -> Result<ModelsListResult, RpcError> {
    let config = state.shared.config.get();
    let asked = params.session_key.as_deref().and_then(agent_of).map(|(agent, _)| agent);
    let agent = params.agent_id.as_deref().or(asked).map_or_else(|| config.default_agent_id().to_owned(), normal_id);
    if params.prepared_only == Some(true) && params.refresh == Some(true) {
        return Err(RpcError::invalid("invalid models.list params: preparedOnly and refresh exclude each other"));
    }
    let view = params.view.unwrap_or(ModelsView::Default);
    Ok(ModelsListResult { models: viewed(&config, &state.shared.catalogue.get(), &agent, view) })
}

/// The models as one view of an agent's shows them.
pub fn viewed(config: &Config, catalogue: &Catalogue, agent: &str, view: ModelsView) -> Vec<ModelChoice> {
    let policy = config.model_policy(agent);
    // Never a choice, but what an agent runs on: the default, and what stands behind it.
    let used = |row: &ModelChoice| {
        let fallbacks = config.fallbacks(agent).iter().map(String::as_str);
        let named = fallbacks.chain(config.primary_model(agent));
        let full = |name| config.model_for_alias(agent, name).unwrap_or(name);
        row.tags.contains(&"default") || named.map(full).any(|name| is_named(row, name))
    };
    let shown = |row: &&ModelChoice| match view {
        ModelsView::Default => policy.allows(&row.provider, &row.id),
        ModelsView::Configured => policy.allows(&row.provider, &row.id) || used(row),
        ModelsView::ProviderConfig => {
            let there = config.models.providers.get(&row.provider);
            there.is_some_and(|there| there.models.iter().any(|model| model.id == row.id))
        }
        ModelsView::All => true,
    };
    catalogue.rows.iter().filter(shown).cloned().collect()
}

fn is_named(row: &ModelChoice, name: &str) -> bool {
    name.strip_prefix(row.provider.as_str()).and_then(|rest| rest.strip_prefix('/')) == Some(&row.id)
}

/// What a person calls a model for a session of `agent` -> `provider/model`, if it may be chosen.
pub fn chosen(state: &State, agent: &str, asked: &str) -> Result<String, RpcError> {
    let config = state.shared.config.get();
    let text = config.model_for_alias(agent, asked.trim()).unwrap_or(asked.trim());
    let catalogue = state.shared.catalogue.get();
    let found = catalogue.rows.iter().find(|row| is_named(row, text) || row.id == text);
    match found.filter(|row| config.model_policy(agent).allows(&row.provider, &row.id)) {
        Some(row) => Ok(format!("{}/{}", row.provider, row.id)),
        None => Err(RpcError::invalid(format!("model not allowed: {}", cut(text, 128)))),
    }
}

pub fn probe(context: &TaskContext, _: &Arc<Caller>, params: ModelsProbeParams) -> Result<ModelsProbeResult, RpcError> {
    static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);
    let provider = params.provider.trim().to_ascii_lowercase();
    let profile = params.profile_id.as_deref().map(str::trim);
    if provider.is_empty() || profile == Some("") {
        return Err(RpcError::invalid("provider and profileId must not be blank"));
    }
    let config = context.desk.shared.config.get();
    let agent = params.agent_id.as_deref().map(|id| id.trim().to_ascii_lowercase());
    let agent = agent.as_deref().unwrap_or(config.default_agent_id());
    if !config.agent_ids().contains(&agent) {
        return Err(RpcError::invalid(format!("unknown agent id {agent:?}")));
    }
    let _turn = Turnstile::enter(&UNDER_WAY)?;
    let registry = (context.providers)();
    let patience = params.timeout_ms.map_or(PATIENCE, |ms| ms.0).clamp(PATIENCE_MIN, PATIENCE_MAX);
    let Some(model) = model(&config, &registry, agent, &provider) else {
        let error = match registry.settings(&provider) {
            Some(_) => format!("no model of {provider} is known: list one in models.providers.{provider}.models"),
            None => {
                let known: Vec<&str> = registry.providers().collect();
                format!("unknown provider {provider:?}; known are {}", known.join(", "))
            }
        };
        let (status, results) = (ProbeStatus::NoModel, Vec::new());
        return Ok(ModelsProbeResult { provider, status, latency_ms: None, error: Some(error), results });
    };
    let probed = probe::all(&registry, &provider, profile, &model, Duration::from_millis(patience));
    Ok(summed_up(provider, &model, probed))
}

/// What the agent would use of this provider, else what the provider has.
fn model(config: &Config, registry: &Registry, agent: &str, provider: &str) -> Option<String> {
    let named = config.primary_model(agent).map(|name| config.model_for_alias(agent, name).unwrap_or(name));
    let own = named.and_then(ModelRef::parse).filter(|model| model.provider == provider);
    own.map(|model| model.model).or_else(|| registry.first_model(provider).map(str::to_owned))
}

fn summed_up(provider: String, model: &str, probed: Vec<Probed>) -> ModelsProbeResult {
    let results: Vec<ModelsProbeTarget> = probed
        .into_iter()
        .map(|one| {
            let label = one.profile.as_ref().map_or("Configured credential".to_owned(), |id| format!("Profile {id}"));
            ModelsProbeTarget {
                label: format!("{label} · {model}"),
                profile_id: one.profile,
                status: one.outcome.as_ref().map_or_else(status, |()| ProbeStatus::Ok),
                latency_ms: Some(one.latency_ms),
                error: one.outcome.err().map(|error| error.to_string()),
            }
        })
        .collect();
    let best = results.iter().min_by_key(|row| row.status).cloned();
    ModelsProbeResult {
        provider,
        status: best.as_ref().map_or(ProbeStatus::Unknown, |row| row.status),
        latency_ms: best.as_ref().and_then(|row| row.latency_ms),
        error: match best {
            Some(row) => row.error,
            None => Some("No probe targets are available for this provider.".to_owned()),
        },
        results,
    }
}

fn status(error: &ProviderError) -> ProbeStatus {
    match error.kind() {
        FailureKind::Auth => ProbeStatus::Auth,
        FailureKind::Billing => ProbeStatus::Billing,
        FailureKind::RateLimit | FailureKind::Overloaded => ProbeStatus::RateLimit,
        FailureKind::Timeout => ProbeStatus::Timeout,
        FailureKind::Format | FailureKind::ModelNotFound | FailureKind::Unsupported => ProbeStatus::Format,
        _ => ProbeStatus::Unknown,
    }
}

/// Lets a few in at once.
struct Turnstile(&'static AtomicUsize);

impl Turnstile {
    fn enter(count: &'static AtomicUsize) -> Result<Turnstile, RpcError> {
        let entered = Turnstile(count);
        match count.fetch_add(1, Ordering::SeqCst) < PROBES {
            true => Ok(entered),
            false => Err(RpcError::unavailable("other providers are being checked; try again in a moment").retryable()),
        }
    }
}

impl Drop for Turnstile {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
