//! A stored session as clients see it.

use super::shared::Catalogue;
use crate::channels::Target;
use crate::store::sessions::SessionRow as Stored;
use crate::wire::misfit;
use crate::wire::models::thinking_levels;
use crate::wire::session::{self, Actor, DeliveryContext, LastRoute, SessionRow};
use crate::wire::session_change::{ResolvedModel, SessionEntry};

/// Writes the row of one session; `active` are its runs.
pub fn session_row(row: &Stored, catalogue: &Catalogue, main_key: &str, active: Vec<String>) -> SessionRow {
    let rest = session::agent_of(&row.key).map_or(row.key.as_str(), |(_, rest)| rest);
    let is_main = rest == main_key;
    let ms = |value: Option<i64>| value.and_then(|v| u64::try_from(v).ok());
    let ResolvedModel { model_provider: provider, model } = resolved_model(row, catalogue);
    let reasoning = catalogue.rows.iter().any(|r| r.provider == provider && r.id == model && r.reasoning);
    let levels = thinking_levels(reasoning);
    let thinking = catalogue.thinking_default(&row.agent_id);
    let thinking = if levels.iter().any(|level| level.id == thinking) { thinking } else { "off" };
    let context = if row.context_tokens > 0 { row.context_tokens } else { catalogue.context_tokens };
    let last_ended = ms(row.last_run_ended_ms);
    let facts = row.facts();
    let created_via = row.created_via.clone().unwrap_or_else(|| "operator".into());
    let said = row.last_interaction_at_ms.filter(|_| row.message_count > 0);
    let shown_name = row.display_name.clone().or(row.label.clone()).or(facts.auto_title.clone());
    SessionRow {
        key: row.key.clone(),
        visibility: "shared",
        permission_mode_pending: false,
        spawn_depth: facts.spawn_depth,
        created_actor: (created_via == "operator").then_some(Actor::OWNER),
        created_via,
        created_at: ms(Some(row.created_at_ms)).unwrap_or(0),
        kind: row.kind.clone(),
        classification: classification(rest, is_main),
        agent_id: row.agent_id.clone(),
        is_main,
        is_background: rest.starts_with("cron:") || rest.starts_with("subagent:"),
        chat_type: row.chat_type.clone().unwrap_or_else(|| "direct".into()),
        channel: row.channel.clone(),
        label: row.label.clone(),
        derived_title: shown_name.clone().or(row.last_message_preview.clone()),
        display_name: shown_name,
        auto_label: facts.auto_title,
        icon: facts.icon,
        color: facts.color,
        category: facts.category,
        parent_session_key: facts.parent_session_key,
        last_message_preview: row.last_message_preview.clone(),
        updated_at: ms(Some(row.updated_at_ms)).unwrap_or(0),
        archived: row.archived_at_ms.is_some(),
        archived_at: ms(row.archived_at_ms),
        pinned: row.pinned_at_ms.is_some(),
        pinned_at: ms(row.pinned_at_ms),
        unread: facts.marked_unread_at.is_some() || said > row.last_read_at_ms,
        marked_unread_at: facts.marked_unread_at,
        last_read_at: ms(row.last_read_at_ms),
        last_interaction_at: ms(row.last_interaction_at_ms),
        last_activity_at: ms(row.last_interaction_at_ms),
        session_id: row.session_id.clone(),
        system_sent: row.message_count > 0,
        aborted_last_run: row.last_status.as_deref() == Some("killed"),
        thinking_options: levels.iter().map(|level| level.id).collect(),
        thinking_levels: levels,
        thinking_default: thinking,
        thinking_level: row.thinking_level.clone(),
        verbose_level: row.verbose_level.clone(),
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        total_tokens: row.total_tokens,
        total_tokens_fresh: true,
        estimated_cost_usd: row.cost_usd,
        status: if active.is_empty() { row.last_status.clone() } else { Some("running".into()) },
        started_at: ms(row.last_run_started_ms),
        ended_at: last_ended,
        runtime_ms: match (ms(row.last_run_started_ms), last_ended) {
            (Some(from), Some(to)) => Some(to.saturating_sub(from)),
            _ => None,
        },
        last_run_id: row.last_run_id.clone(),
        last_route: last_route(facts.route.as_deref()),
        effective_queue_mode: facts.queue_mode.unwrap_or_else(|| "steer".into()),
        model_provider: provider,
        model,
        model_override_source: row.model_override.as_ref().map(|_| "user"),
        context_tokens: (context > 0).then_some(context),
        message_count: row.message_count,
        has_active_run: !active.is_empty(),
        active_run_ids: active,
    }
}

fn last_route(route: Option<&str>) -> LastRoute {
    let Some(target) = route.and_then(|text| misfit::read::<Target>(text).ok()) else { return LastRoute::default() };
    LastRoute {
        last_channel: Some(target.channel.clone()),
        last_to: Some(target.chat.clone()),
        last_account_id: Some(target.account.clone()),
        last_thread_id: target.thread.clone(),
        delivery_context: Some(DeliveryContext {
            channel: target.channel,
            to: target.chat,
            account_id: target.account,
            thread_id: target.thread,
        }),
    }
}

/// The model the next run of a session asks: the one chosen for it, the one it used last, the default.
pub fn resolved_model(row: &Stored, catalogue: &Catalogue) -> ResolvedModel {
    let chosen = row.model_override.as_deref().and_then(|text| text.split_once('/'));
    let (provider, model) = match (chosen, &row.model_provider, &row.model) {
        (Some((provider, model)), _, _) => (provider, model),
        (None, Some(provider), Some(model)) => (provider.as_str(), model.as_str()),
        _ => (catalogue.provider.as_str(), catalogue.model.as_str()),
    };
    ResolvedModel { model_provider: provider.to_string(), model: model.to_string() }
}

/// A stored session in the answers to changes.
pub fn session_entry(row: &Stored) -> SessionEntry {
    let ms = |value: Option<i64>| value.and_then(|v| u64::try_from(v).ok());
    let facts = row.facts();
    let chosen = row.model_override.as_deref().and_then(|text| text.split_once('/'));
    SessionEntry {
        session_id: row.session_id.clone(),
        updated_at: ms(Some(row.updated_at_ms)).unwrap_or(0),
        session_started_at: ms(Some(row.started_at_ms)).unwrap_or(0),
        last_interaction_at: ms(row.last_interaction_at_ms),
        system_sent: row.message_count > 0,
        aborted_last_run: row.last_status.as_deref() == Some("killed"),
        chat_type: row.chat_type.clone(),
        compaction_count: row.compaction_count,
        created_via: row.created_via.clone().unwrap_or_else(|| "operator".into()),
        created_at: ms(Some(row.created_at_ms)).unwrap_or(0),
        label: row.label.clone(),
        display_name: row.display_name.clone(),
        icon: facts.icon,
        color: facts.color,
        category: facts.category,
        parent_session_key: facts.parent_session_key,
        spawn_depth: facts.spawn_depth,
        archived_at: ms(row.archived_at_ms),
        pinned_at: ms(row.pinned_at_ms),
        last_read_at: ms(row.last_read_at_ms),
        thinking_level: row.thinking_level.clone(),
        verbose_level: row.verbose_level.clone(),
        provider_override: chosen.map(|(provider, _)| provider.to_string()),
        model_override: chosen.map(|(_, model)| model.to_string()),
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        total_tokens: row.total_tokens,
        total_tokens_fresh: true,
        model_provider: row.model_provider.clone(),
        model: row.model.clone(),
    }
}

fn classification(rest: &str, is_main: bool) -> &'static str {
    match rest.split(':').next() {
        _ if is_main => "main",
        Some("cron") => "cron",
        Some("subagent") => "subagent",
        Some("dashboard") => "dashboard",
        _ => "custom",
    }
}
