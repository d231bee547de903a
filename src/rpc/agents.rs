//! Agents as the configuration has them: `agents.list`, `agent.identity.get`, `models.authStatus`.

use std::sync::Arc;

use super::chat::target;
use crate::auth::Caller;
use crate::config::agents::IdentityConfig;
use crate::config::identity::Face;
use crate::hub::{Now, State, TaskContext, main_key};
use crate::wire::agents::*;
use crate::wire::error::RpcError;
use crate::wire::models::thinking_levels;

pub fn list(state: &mut State, _: &Arc<Caller>, _: AgentsListParams, _: Now) -> Result<AgentsListResult, RpcError> {
    let (config, catalogue) = (state.shared.config.get(), state.shared.catalogue.get());
    let ids = config.agent_ids();
    let agents = ids.iter().map(|id| {
        let entry = config.agent(id);
        let default = || format!("{}/{}", catalogue.provider, catalogue.model);
        let primary = config.primary_model(id).map_or_else(default, str::to_string);
        let named = config.model_for_alias(id, &primary).unwrap_or(&primary);
        let reasons = catalogue.rows.iter().any(|row| row.reasoning && format!("{}/{}", row.provider, row.id) == named);
        let levels = thinking_levels(reasons);
        let thinking = catalogue.thinking_default(id);
        let thinking = if levels.iter().any(|level| level.id == thinking) { thinking } else { "off" };
        let look = entry.map(|entry| &entry.identity).filter(|look| **look != IdentityConfig::default());
        AgentSummary {
            id: id.to_string(),
            name: entry.and_then(|entry| entry.name.clone()),
            identity: look.map(|look| AgentLook {
                name: look.name.clone(),
                theme: look.theme.clone(),
                emoji: look.emoji.clone(),
            }),
            workspace: config.agent_workspace(id).display().to_string(),
            thinking_options: levels.iter().map(|level| level.id).collect(),
            thinking_levels: levels,
            thinking_default: thinking,
            model: Some(AgentModel { primary, fallbacks: config.fallbacks(id).to_vec() }),
        }
    });
    Ok(AgentsListResult {
        default_id: config.default_agent_id().to_string(),
        ownership: if ids.len() == 1 { "sole" } else { "explicit" },
        selection_required: false,
        main_key: main_key(&config).to_string(),
        scope: "per-sender",
        agents: agents.collect(),
    })
}

pub fn identity(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: AgentIdentityParams,
) -> Result<AgentIdentityResult, RpcError> {
    let config = context.desk.shared.config.get();
    let key = params.session_key.as_deref().filter(|key| !key.trim().is_empty());
    let (_, agent_id) = target(&config, key.unwrap_or("main"), params.agent_id.as_deref())?;
    let Face { name, name_source, avatar, emoji } = config.face(&agent_id);
    Ok(AgentIdentityResult { agent_id, name, name_source, avatar, emoji })
}

pub fn auth_status(
    state: &mut State,
    _: &Arc<Caller>,
    _: ModelsAuthStatusParams,
    now: Now,
) -> Result<ModelsAuthStatusResult, RpcError> {
    let catalogue = state.shared.catalogue.get();
    let mut providers: Vec<ProviderAuth> = Vec::new();
    for row in &catalogue.rows {
        let status = if row.available { "static" } else { "missing" };
        match providers.iter_mut().find(|known| known.provider == row.provider) {
            Some(known) if row.available => known.status = status,
            Some(_) => {}
            None => providers.push(ProviderAuth {
                provider: row.provider.clone(),
                auth_provider: row.provider.clone(),
                display_name: row.provider.clone(),
                status,
                profiles: [],
            }),
        }
    }
    Ok(ModelsAuthStatusResult { ts: now.ms, providers, provider_capabilities: [] })
}
