//! `chat.inject`: an operator puts a note into a session. It stands there as the assistant's words; no turn begins.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::chat::target;
use crate::auth::Caller;
use crate::hub::{Now, State, Ticket};
use crate::store::sessions;
use crate::store::transcript::{self, NewEntry};
use crate::wire::chat::*;
use crate::wire::error::RpcError;
use crate::wire::event as kinds;
use crate::wire::frame::cut;
use crate::wire::session::{FlatSession, SessionMessage};

/// Longest label, in characters.
const LABEL: usize = 100;

pub fn inject(state: &mut State, _: &Arc<Caller>, params: ChatInjectParams, ticket: Ticket, now: Now) {
    let (key, agent_id) = match target(&state.shared.config.get(), &params.session_key, params.agent_id.as_deref()) {
        Ok(found) => found,
        Err(error) => return ticket.answer(Err(error)),
    };
    if !state.runs.is_quiet(&key) {
        // Between a tool call and its result nothing may stand.
        let message = format!("Session {key} is still active; try again in a moment.");
        return ticket.answer(Err(RpcError::unavailable(message).retryable()));
    }
    let label = params.label.as_deref().map(str::trim).filter(|label| !label.is_empty());
    if label.is_some_and(|label| label.chars().count() > LABEL) {
        let message = format!("invalid chat.inject params: at /label: must not have more than {LABEL} characters");
        return ticket.answer(Err(RpcError::invalid(message)));
    }
    let text = match label {
        Some(label) => format!("[{label}]\n\n{}", params.message.0),
        None => params.message.0,
    };
    let message = match serde_json::to_string(&Injected::of(&text, now.ms)) {
        Ok(message) => message,
        Err(error) => return ticket.answer(Err(RpcError::invalid(error.to_string()))),
    };
    let at = i64::try_from(now.ms).unwrap_or(i64::MAX);
    let (written, shown) = (message.clone(), cut(&text, 160).to_string());
    let job = move |conn: &rusqlite::Connection| {
        let Some(mut row) = sessions::get(conn, &key)? else {
            return Ok(Err(RpcError::invalid(format!("session not found: {}", cut(&key, 128)))));
        };
        let entry = NewEntry { role: "assistant", run_id: None, idempotency_key: None, ts_ms: at, message: &written };
        let appended = transcript::append(conn, &row.session_id, &entry)?;
        row.updated_at_ms = at;
        row.message_count += 1;
        row.last_message_preview = Some(shown);
        sessions::update(conn, &row)?;
        Ok(Ok((row, appended)))
    };
    state.change_session(ticket, "put a note into a session", job, move |state, ticket, (row, appended), now| {
        let chat = ChatEvent {
            run_id: &format!("inject-{}", appended.id),
            session_key: &row.key,
            agent_id: &agent_id,
            seq: 0,
            state: ChatState::Final { stop_reason: None, message: Some(AssistantText::new(&text, now.ms)) },
        };
        state.peers.broadcast(&kinds::CHAT, &chat, None, |peer| peer.follows(&row.key));
        let known = Known {
            run_id: None,
            id: &appended.id,
            idempotency_key: None,
            record_timestamp_ms: at,
            seq: appended.seq,
            truncated: false,
        };
        if let Some(message) = known.beside(&message) {
            let session = state.shown_session(&row);
            let grown = SessionMessage {
                session_key: &row.key,
                sender_is_owner: false,
                agent_id: &agent_id,
                message: &message,
                message_id: &appended.id,
                message_seq: appended.seq,
                flat: Some(FlatSession::of(&session)),
                session: Some(&session),
            };
            let follows = |peer: &crate::hub::peers::Peer| peer.sessions || peer.messages.contains(&row.key);
            state.peers.broadcast(&kinds::SESSION_MESSAGE, &grown, None, follows);
        }
        ticket.answer_with(Ok(ChatInjectResult { ok: true, message_id: appended.id.clone() }));
    });
}

/// The note as it is stored.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Injected<'a> {
    role: &'static str,
    content: [TextBlock<'a>; 1],
    timestamp: u64,
    stop_reason: &'static str,
    usage: Box<RawValue>,
    api: &'static str,
    provider: &'static str,
    model: &'static str,
}

impl<'a> Injected<'a> {
    fn of(text: &'a str, timestamp: u64) -> Injected<'a> {
        let nothing = r#"{"input":0,"output":0,"cacheRead":0,"cacheWrite":0,"totalTokens":0,"cost":{"total":0}}"#;
        Injected {
            role: "assistant",
            content: [TextBlock { kind: "text", text }],
            timestamp,
            stop_reason: "stop",
            usage: RawValue::from_string(nothing.into()).expect("a literal that is JSON"),
            api: "openai-responses",
            provider: "openclaw",
            model: "gateway-injected",
        }
    }
}
