//! `sessions.compact`.

use std::sync::Arc;

use super::chat::target;
use crate::auth::Caller;
use crate::hub::compaction::{Compacted, NotCompacted, Request, refused};
use crate::hub::{Now, State, Ticket};
use crate::wire::error::RpcError;
use crate::wire::session_change::{CompactionResult, SessionsCompactParams, SessionsCompactResult};

pub fn compact(state: &mut State, _: &Arc<Caller>, params: SessionsCompactParams, ticket: Ticket, _: Now) {
    let (key, agent_id) = match target(&state.shared.config.get(), &params.key, params.agent_id.as_deref()) {
        Ok(found) => found,
        Err(error) => return ticket.answer(Err(error)),
    };
    let keep_lines = params.max_lines.map(|lines| lines.0);
    let named = key.clone();
    state.compact(Request {
        session_key: key.into(),
        agent_id: agent_id.into(),
        focus: String::new(),
        keep_lines,
        done: Box::new(move |_, result, _| ticket.answer_with(told(named, keep_lines.is_some(), result))),
    });
}

fn told(
    key: String,
    by_lines: bool,
    result: &Result<Compacted, NotCompacted>,
) -> Result<SessionsCompactResult, RpcError> {
    let untouched = SessionsCompactResult { ok: true, key, compacted: false, reason: None, kept: None, result: None };
    match result {
        Ok(done) if by_lines => Ok(SessionsCompactResult { compacted: true, kept: Some(done.kept), ..untouched }),
        Ok(done) => Ok(SessionsCompactResult {
            compacted: true,
            result: Some(CompactionResult {
                summary: done.summary.clone(),
                first_kept_entry_id: done.kept_id.clone(),
                tokens_before: done.tokens_before,
                tokens_after: done.tokens_after,
            }),
            ..untouched
        }),
        Err(NotCompacted::Nothing(_, messages)) if by_lines && *messages > 0 => {
            Ok(SessionsCompactResult { kept: Some(*messages), ..untouched })
        }
        Err(NotCompacted::Nothing(reason, _)) => Ok(SessionsCompactResult { reason: Some(reason), ..untouched }),
        Err(error) => Err(refused(error)),
    }
}
