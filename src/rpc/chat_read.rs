//! What a chat window asks for beside the history: `chat.startup`, `chat.metadata`, `chat.message.get`, `commands.list`.

use std::sync::Arc;

use super::chat::{self, PAGE_BYTES, Page, target};
use super::{models, session_read, skills};
use crate::auth::Caller;
use crate::hub::TaskContext;
use crate::hub::sessions::stored;
use crate::store::{sessions, transcript};
use crate::wire::chat::*;
use crate::wire::command::{CommandsListParams, CommandsListResult};
use crate::wire::error::RpcError;
use crate::wire::models::ModelsView;
use crate::wire::session_change::{SessionsResolveParams, SessionsResolveResult};

/// Messages of the first page when the caller names no number.
const FIRST_PAGE: u64 = 80;
/// Characters of a message on the first page before it is cut.
const FIRST_CHARS: u64 = 100_000;
/// Characters of one message when the caller names no number.
const MESSAGE_CHARS: u64 = 500_000;

pub fn startup(
    context: &TaskContext,
    who: &Arc<Caller>,
    params: ChatStartupParams,
) -> Result<ChatStartupResult, RpcError> {
    let mut resolution = None;
    let key = match (params.session_key, params.short_id) {
        (Some(key), _) => key.0,
        (None, Some(short_id)) => {
            let conn = who.conn;
            super::ask(context, "chat.startup", move |state| {
                if let Some(peer) = state.peers.get_mut(conn) {
                    peer.sessions = true;
                }
                Ok(())
            })?;
            let asked = SessionsResolveParams {
                short_id: Some(short_id),
                agent_id: params.agent_id.clone(),
                allow_missing: Some(true),
                ..SessionsResolveParams::default()
            };
            match session_read::resolve(context, who, asked)? {
                SessionsResolveResult::Found { ok, session } => {
                    let key = session.key.clone();
                    resolution = Some(SessionsResolveResult::Found { ok, session });
                    key
                }
                resolution => return Ok(ChatStartupResult::Unresolved { resolution }),
            }
        }
        (None, None) => {
            return Err(RpcError::invalid("invalid chat.startup params: must have required property 'sessionKey'"));
        }
    };
    let config = context.desk.shared.config.get();
    let (_, agent_id) = target(&config, &key, params.agent_id.as_deref())?;
    let page = chat::page(
        context,
        Page {
            key,
            agent_id: params.agent_id.map(|id| id.0),
            limit: params.limit.map_or(FIRST_PAGE, |n| n.0),
            max_chars: FIRST_CHARS,
            max_bytes: params.max_bytes.map_or(PAGE_BYTES, |n| PAGE_BYTES.min(n.0 as usize)),
            ..Page::default()
        },
    )?;
    let metadata = described(context, &agent_id);
    Ok(ChatStartupResult::Page { page: Box::new(page), metadata, resolution })
}

pub fn metadata(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: ChatMetadataParams,
) -> Result<ChatMetadataResult, RpcError> {
    let config = context.desk.shared.config.get();
    // An agent that does not exist has neither models nor commands.
    let key = params.session_key.as_deref().unwrap_or("main");
    let (_, agent_id) = target(&config, key, params.agent_id.as_deref())?;
    Ok(described(context, &agent_id))
}

fn described(context: &TaskContext, agent_id: &str) -> ChatMetadataResult {
    let shared = &context.desk.shared;
    let config = shared.config.get();
    ChatMetadataResult {
        models: models::viewed(&config, &shared.catalogue.get(), agent_id, ModelsView::Configured),
        commands: skills::commands(&config, agent_id, true),
    }
}

pub fn message_get(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: ChatMessageGetParams,
) -> Result<ChatMessageGetResult, RpcError> {
    let (key, agent) = (params.session_key.0, params.agent_id);
    let key = super::ask(context, "chat.message.get", move |state| {
        Ok(target(&state.shared.config.get(), &key, agent.as_deref())?.0)
    })?;
    let limit = params.max_chars.map_or(MESSAGE_CHARS, |n| n.0) as usize;
    let id = params.message_id.0;
    let found = context.store.read("read a message", |conn| {
        let Some(row) = sessions::get(conn, &key)? else { return Ok(None) };
        transcript::find_in(conn, &row.session_id, &id)
    });
    let unavailable = |reason| ChatMessageGetResult { ok: false, message: None, unavailable_reason: Some(reason) };
    Ok(match found.map_err(stored)? {
        None => unavailable("not_found"),
        Some(entry) if entry.message.len() > limit => unavailable("oversized"),
        Some(entry) => match chat::message(&entry, limit) {
            Some(message) => ChatMessageGetResult { ok: true, message: Some(message), unavailable_reason: None },
            None => unavailable("not_found"),
        },
    })
}

pub fn commands(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: CommandsListParams,
) -> Result<CommandsListResult, RpcError> {
    let config = context.desk.shared.config.get();
    let key = params.session_key.as_deref().unwrap_or("main");
    let (_, agent_id) = target(&config, key, params.agent_id.as_deref())?;
    Ok(CommandsListResult { commands: skills::commands(&config, &agent_id, params.include_args != Some(false)) })
}
