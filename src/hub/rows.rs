//! A stored session as clients see it.

use super::shared::Catalogue;
use crate::store::sessions::SessionRow as Stored;
use crate::wire::models::thinking_levels;
use crate::wire::session::{self, SessionRow};

/// Writes the row of one session; `active` are its runs.
pub fn session_row(row: &Stored, catalogue: &Catalogue, main_key: &str, active: Vec<String>) -> SessionRow {
    let rest = session::agent_of(&row.key).map_or(row.key.as_str(), |(_, rest)| rest);
    let is_main = rest == main_key;
    let ms = |value: Option<i64>| value.and_then(|v| u64::try_from(v).ok());
    let (provider, model) = match (&row.model_provider, &row.model) {
        (Some(provider), Some(model)) => (provider.clone(), model.clone()),
        _ => (catalogue.provider.clone(), catalogue.model.clone()),
    };
    let reasoning = catalogue.rows.iter().any(|r| r.provider == provider && r.id == model && r.reasoning);
    let levels = thinking_levels(reasoning);
    let context = if row.context_tokens > 0 { row.context_tokens } else { catalogue.context_tokens };
    let last_ended = ms(row.last_run_ended_ms);
    SessionRow {
        key: row.key.clone(),
        visibility: "shared",
        created_via: row.created_via.clone().unwrap_or_else(|| "operator".into()),
        created_at: ms(Some(row.created_at_ms)).unwrap_or(0),
        kind: row.kind.clone(),
        classification: classification(rest, is_main),
        agent_id: row.agent_id.clone(),
        is_main,
        is_background: rest.starts_with("cron:") || rest.starts_with("subagent:"),
        chat_type: row.chat_type.clone().unwrap_or_else(|| "direct".into()),
        channel: row.channel.clone(),
        label: row.label.clone(),
        display_name: row.display_name.clone(),
        derived_title: None,
        last_message_preview: row.last_message_preview.clone(),
        updated_at: ms(Some(row.updated_at_ms)).unwrap_or(0),
        archived: row.archived_at_ms.is_some(),
        pinned: row.pinned_at_ms.is_some(),
        unread: false,
        last_read_at: ms(row.last_read_at_ms),
        last_interaction_at: ms(row.last_interaction_at_ms),
        last_activity_at: ms(row.last_interaction_at_ms),
        session_id: row.session_id.clone(),
        system_sent: row.message_count > 0,
        aborted_last_run: row.last_status.as_deref() == Some("killed"),
        thinking_options: levels.iter().map(|level| level.id).collect(),
        thinking_levels: levels,
        thinking_default: "off",
        thinking_level: row.thinking_level.clone(),
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
        effective_queue_mode: "followup",
        model_provider: provider,
        model,
        model_override_source: row.model_override.as_ref().map(|_| "user"),
        context_tokens: (context > 0).then_some(context),
        message_count: row.message_count,
        has_active_run: !active.is_empty(),
        active_run_ids: active,
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
