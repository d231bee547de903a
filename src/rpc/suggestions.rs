//! `taskSuggestions.*`: cards with work that waits for somebody's word.

use std::sync::Arc;

use super::chat::target;
use super::session_change;
use crate::auth::Caller;
use crate::hub::suggestions::Standing;
use crate::hub::{Now, State, Ticket};
use crate::wire::decode::{Name, Text};
use crate::wire::error::RpcError;
use crate::wire::session_change::{SessionsCreateParams, SessionsCreateResult};
use crate::wire::suggestion::*;

pub fn list(
    state: &mut State,
    _: &Arc<Caller>,
    params: TaskSuggestionsListParams,
    _: Now,
) -> Result<TaskSuggestionsListResult, RpcError> {
    let config = state.shared.config.get();
    let agent_id = params.agent_id.as_deref().map(|id| id.trim().to_ascii_lowercase());
    let key = match &params.session_key {
        Some(key) => Some(target(&config, key, agent_id.as_deref())?.0),
        None => None,
    };
    Ok(TaskSuggestionsListResult { suggestions: state.suggestions.list(key.as_deref(), agent_id.as_deref()) })
}

pub fn create(
    state: &mut State,
    _: &Arc<Caller>,
    params: TaskSuggestionsCreateParams,
    now: Now,
) -> Result<TaskSuggestionsCreateResult, RpcError> {
    let config = state.shared.config.get();
    let (key, _) = target(&config, &params.session_key, params.agent_id.as_deref())?;
    let suggestion = state.suggest_task(params, key, now)?;
    Ok(TaskSuggestionsCreateResult { task_id: suggestion.id.clone(), suggestion })
}

pub fn dismiss(
    state: &mut State,
    _: &Arc<Caller>,
    params: TaskSuggestionsDismissParams,
    _: Now,
) -> Result<TaskSuggestionsDismissResult, RpcError> {
    let dismissed = state.dismiss_task(&params.task_id, None);
    Ok(TaskSuggestionsDismissResult { task_id: params.task_id.0, dismissed })
}

/// Begins the work: in a session of its own, or in the one the card came from. The key of the run is the card's, so that
/// who asks twice begins it once.
pub fn accept(state: &mut State, who: &Arc<Caller>, params: TaskSuggestionsAcceptParams, ticket: Ticket, now: Now) {
    let plan = match plan(state, &params) {
        Ok(Plan::Begin(plan)) => *plan,
        Ok(Plan::Begun(key)) => {
            return ticket.answer_with(Ok(TaskSuggestionsAcceptResult { task_id: params.task_id.0, key }));
        }
        Err(error) => return ticket.answer(Err(error)),
    };
    let task_id = params.task_id.0;
    let told = move |state: &mut State, ticket: Ticket, made: SessionsCreateResult| {
        state.task_accepted(&task_id, &made.key);
        ticket.answer_with(Ok(TaskSuggestionsAcceptResult { task_id, key: made.key }));
    };
    session_change::make(state, who, plan, ticket, now, Box::new(told));
}

enum Plan {
    Begin(Box<SessionsCreateParams>),
    Begun(String),
}

fn plan(state: &State, params: &TaskSuggestionsAcceptParams) -> Result<Plan, RpcError> {
    let mode = params.mode.unwrap_or(AcceptMode::Local);
    if matches!(mode, AcceptMode::Worktree | AcceptMode::Cloud) {
        let word = if mode == AcceptMode::Cloud { "cloud" } else { "worktree" };
        return Err(RpcError::invalid(format!(
            "task suggestion cannot be accepted: this gateway has no {word} sessions; use mode \"local\" or \"session\""
        )));
    }
    let (suggestion, standing) = state
        .suggestions
        .get(&params.task_id)
        .ok_or_else(|| RpcError::invalid("task suggestion cannot be accepted: missing"))?;
    match standing {
        Standing::Accepted(key) => return Ok(Plan::Begun(key.clone())),
        Standing::Dismissed => return Err(RpcError::invalid("task suggestion cannot be accepted: dismissed")),
        Standing::Pending => {}
    }
    let id = params.task_id.0.clone();
    let agent_id = suggestion.agent_id.clone().unwrap_or_else(|| state.shared.config.get().default_agent_id().into());
    let alone = mode == AcceptMode::Local;
    // The same card gives the same session, however often it is accepted meanwhile.
    let key = match alone {
        true => format!("agent:{agent_id}:dashboard:{}", id.strip_prefix("task_").unwrap_or(&id)),
        false => suggestion.session_key.clone(),
    };
    let task = match alone {
        true => format!("The work is in the folder {}.\n\n{}", suggestion.cwd, suggestion.prompt),
        false => suggestion.prompt.clone(),
    };
    Ok(Plan::Begin(Box::new(SessionsCreateParams {
        key: Some(Text(key)),
        idempotency_key: Some(Text(format!("task-suggestion:{id}"))),
        agent_id: Some(Text(agent_id)),
        display_name: alone.then(|| Text(suggestion.title.clone())),
        parent_session_key: alone.then(|| Text(suggestion.session_key.clone()) as Name),
        task: Some(task),
        label: None,
        category: None,
        model: None,
        thinking_level: None,
        spawn_depth: None,
        fork: None,
        fork_from: None,
        emit_command_hooks: None,
        succeeds_parent: None,
        message: None,
        attachments: Vec::new(),
        visibility: None,
    })))
}
