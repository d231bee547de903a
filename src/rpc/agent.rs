//! `agent` and `agent.wait`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::chat::{attachments, fold, run_limit, target};
use crate::auth::Caller;
use crate::hub::run::{Input, NewRun, Starter};
use crate::hub::{Now, State, Ticket, main_key};
use crate::wire::agent::{AgentParams, AgentWaitParams};
use crate::wire::error::RpcError;
use crate::wire::scope::Scope;

/// How long `agent.wait` waits when the caller does not say (milliseconds).
const WAIT_MS: u64 = 30_000;

/// Commands that change a session's life need more than the right to write.
pub fn scope(params: &AgentParams) -> Scope {
    let word = params.message.split_whitespace().next().unwrap_or("");
    let starts = params.message.starts_with(word);
    match starts && ["/new", "/reset"].iter().any(|command| word.eq_ignore_ascii_case(command)) {
        true => Scope::Admin,
        false => Scope::Write,
    }
}

pub fn start(state: &mut State, who: &Arc<Caller>, params: AgentParams, ticket: Ticket, now: Now) {
    let received = ticket.received;
    match prepare(state, who, params, received) {
        Ok(run) => state.begin_run(NewRun { starter: Starter::Agent(ticket), ..run }, now),
        Err(error) => ticket.answer(Err(error)),
    }
}

fn prepare(state: &State, who: &Arc<Caller>, params: AgentParams, received: Instant) -> Result<NewRun, RpcError> {
    let config = state.shared.config.get();
    let key = params.session_key.as_deref().map(str::trim).filter(|key| !key.is_empty());
    if key.is_none() && params.session_id.as_deref().is_some_and(|id| !id.is_empty()) {
        return Err(RpcError::invalid("sessionId without sessionKey names no session here; pass sessionKey"));
    }
    let (session_key, agent_id) = target(&config, key.unwrap_or(main_key(&config)), params.agent_id.as_deref())?;
    let mut text = params.message.0;
    let parts = fold(attachments(&params.attachments, state.shared.boot.attachments())?, &mut text);
    let model = match (params.provider.filter(|p| !p.is_empty()), params.model.filter(|m| !m.is_empty())) {
        (Some(provider), Some(model)) => Some(format!("{provider}/{model}")),
        (None, model) => model,
        (Some(_), None) => {
            return Err(RpcError::invalid("provider without model: pass both, or `model` as provider/model"));
        }
    };
    let limit = params.timeout.map(|s| s.0).filter(|s| *s > 0).map(Duration::from_secs);
    Ok(NewRun {
        run_id: params.idempotency_key.0.as_str().into(),
        session_key: session_key.into(),
        agent_id: agent_id.into(),
        input: Input {
            text: text.into(),
            parts,
            extra_system: params.extra_system_prompt.filter(|s| !s.trim().is_empty()),
            model,
            thinking: params.thinking,
            commands: true,
            admin: who.scopes.allows(Scope::Admin),
            created_via: "operator",
            ..Input::default()
        },
        starter: Starter::Inbox,
        conn: who.conn,
        timeout: Some(limit.unwrap_or_else(|| run_limit(&config))),
        received,
    })
}

pub fn wait(state: &mut State, _: &Arc<Caller>, params: AgentWaitParams, ticket: Ticket, now: Now) {
    state.wait_for_run(&params.run_id, params.timeout_ms.map_or(WAIT_MS, |ms| ms.0), ticket, now);
}
