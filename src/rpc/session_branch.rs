//! A conversation taken up again at an earlier message: `sessions.fork`, `.rewind`, `.branches.list`, `.branches.switch`.
//!
//! Only what was said is taken back: files and other doings of tools are not. A rewind loses nothing; the transcript as
//! it was is a branch that can be switched to.

use std::sync::Arc;

use rusqlite::Connection;

use super::chat::target;
use super::said::{Said, shortened};
use crate::auth::Caller;
use crate::hub::sessions::stored;
use crate::hub::{Now, State, TaskContext, Ticket};
use crate::store::sessions::{self as table, SessionRow, branches};
use crate::store::{StoreError, transcript};
use crate::sys::{clock, random};
use crate::wire::error::RpcError;
use crate::wire::frame::cut;
use crate::wire::misfit;
use crate::wire::object::objects;
use crate::wire::session_branch::*;

/// Characters of a headline.
const HEADLINE: usize = 120;
/// Bytes of messages that are copied for one fork or rewind.
const COPIED_BYTES: u64 = 64 << 20;
/// Files that go back into the editor.
const ATTACHMENTS: usize = 10;

pub fn fork(state: &mut State, _: &Arc<Caller>, params: SessionsForkParams, ticket: Ticket, now: Now) {
    let place = match Place::of(state, &params.session_key, params.agent_id.as_deref(), &params.entry_id, "Fork", now) {
        Ok(place) => place,
        Err(error) => return ticket.answer(Err(error)),
    };
    let key = format!("agent:{}:dashboard:{}", place.agent_id, random::uuid());
    let job = move |conn: &Connection| {
        let (source, seq, draft) = match place.message(conn)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        let (mut row, _) = table::ensure(conn, &key, &place.agent_id, place.now_ms, Some("operator"))?;
        row.message_count = transcript::copy(conn, &source.session_id, &row.session_id, None, Some(seq))?;
        row.model_override = source.model_override;
        row.thinking_level = source.thinking_level;
        let mut facts = row.facts();
        facts.parent_session_key = Some(source.key);
        row.set_facts(&facts);
        table::update(conn, &row)?;
        Ok(Ok((row, draft)))
    };
    state.change_session(ticket, "fork a session", job, |state, ticket, (row, draft), now| {
        ticket.answer_with(Ok(SessionsForkResult { session_key: row.key.clone(), draft }));
        state.seen.touch(&row.key, &row.agent_id, now.ms, true);
        state.tell_session_changed(&row, Some("create"), None, now);
    });
}

pub fn rewind(state: &mut State, _: &Arc<Caller>, params: SessionsRewindParams, ticket: Ticket, now: Now) {
    let place = Place::of(state, &params.session_key, params.agent_id.as_deref(), &params.entry_id, "Rewind", now);
    let place = match place {
        Ok(place) => place,
        Err(error) => return ticket.answer(Err(error)),
    };
    let job = move |conn: &Connection| {
        let (source, seq, draft) = match place.message(conn)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        let row = branches::rewind(conn, &source.key, seq, &table::fresh_session_id(), place.now_ms)?;
        Ok(row.map(|row| (row, draft)).ok_or_else(|| place.gone()))
    };
    state.change_session(ticket, "rewind a session", job, |state, ticket, (row, draft), now| {
        ticket.answer_with(Ok(SessionsRewindResult(draft)));
        state.tell_session_changed(&row, Some("rewind"), None, now);
    });
}

pub fn switch(state: &mut State, _: &Arc<Caller>, params: SessionsBranchesSwitchParams, ticket: Ticket, now: Now) {
    let (key, agent, leaf) = (&params.session_key, params.agent_id.as_deref(), &params.leaf_entry_id);
    let place = match Place::of(state, key, agent, leaf, "Branch switch", now) {
        Ok(place) => place,
        Err(error) => return ticket.answer(Err(error)),
    };
    let job = move |conn: &Connection| {
        let Some(row) = table::get(conn, &place.key)? else { return Ok(Err(place.gone())) };
        if transcript::find_in(conn, &row.session_id, &place.entry_id)?.is_some() {
            return Ok(Err(RpcError::invalid("that branch is the active one")));
        }
        for branch in branches::list(conn, &place.key)? {
            if transcript::find_in(conn, &branch.session_id, &place.entry_id)?.is_some() {
                let row = branches::switch(conn, &place.key, &branch.session_id, place.now_ms)?;
                return Ok(row.ok_or_else(|| place.gone()));
            }
        }
        let id = cut(&place.entry_id, 64);
        Ok(Err(RpcError::invalid(format!("session {} has no branch that ends with {id}", cut(&place.key, 128)))))
    };
    state.change_session(ticket, "switch to a branch", job, |state, ticket, row, now| {
        ticket.answer_with(Ok(SessionsBranchesSwitchResult {}));
        state.tell_session_changed(&row, Some("branch-switch"), None, now);
    });
}

pub fn list(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: SessionsBranchesListParams,
) -> Result<SessionsBranchesListResult, RpcError> {
    let config = context.desk.shared.config.get();
    let (key, _) = target(&config, &params.session_key, params.agent_id.as_deref())?;
    let found = context.store.read("list branches", |conn| {
        let Some(row) = table::get(conn, &key)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        found.extend(branch(conn, &row.session_id, true)?);
        for past in branches::list(conn, &key)? {
            found.extend(branch(conn, &past.session_id, false)?);
        }
        Ok(found)
    });
    Ok(SessionsBranchesListResult { branches: found.map_err(stored)? })
}

/// A transcript as a branch; an empty one is none.
fn branch(conn: &Connection, session_id: &str, active: bool) -> Result<Option<Branch>, StoreError> {
    let last = transcript::page(conn, session_id, None, 1, 1 << 20)?.pop();
    Ok(last.map(|entry| Branch {
        headline: shortened(
            &Said::read(&entry.message).unwrap_or_default().text(|name| format!("call {name}")),
            HEADLINE,
        ),
        leaf_entry_id: entry.id,
        message_count: entry.seq,
        updated_at: clock::iso(u64::try_from(entry.ts_ms).unwrap_or(0)),
        active,
    }))
}

/// Where a conversation is taken up.
struct Place {
    key: String,
    agent_id: String,
    entry_id: String,
    now_ms: i64,
}

impl Place {
    fn of(
        state: &State,
        key: &str,
        agent: Option<&str>,
        entry_id: &str,
        what: &str,
        now: Now,
    ) -> Result<Place, RpcError> {
        let (key, agent_id) = target(&state.shared.config.get(), key, agent)?;
        if !state.runs.is_quiet(&key) {
            return Err(RpcError::unavailable(format!("{what} is unavailable while the agent is working.")).retryable());
        }
        let now_ms = i64::try_from(now.ms).unwrap_or(i64::MAX);
        Ok(Place { key, agent_id, entry_id: entry_id.trim().to_string(), now_ms })
    }

    /// The session, the seq of the user's message, and what it said.
    fn message(&self, conn: &Connection) -> Result<Result<(SessionRow, u64, Draft), RpcError>, StoreError> {
        let Some(row) = table::get(conn, &self.key)? else { return Ok(Err(self.gone())) };
        let id = cut(&self.entry_id, 64);
        let Some(entry) = transcript::find_in(conn, &row.session_id, &self.entry_id)? else {
            return Ok(Err(RpcError::invalid(format!("message not found: {id}"))));
        };
        if entry.role != "user" {
            return Ok(Err(RpcError::invalid(format!("message {id} is not one of the user's; choose one of those"))));
        }
        if let Some(refused) = too_long(transcript::bytes_before(conn, &row.session_id, entry.seq)?) {
            return Ok(Err(refused));
        }
        Ok(Ok((row, entry.seq, draft(&entry.message))))
    }

    fn gone(&self) -> RpcError {
        RpcError::invalid(format!("session not found: {}", cut(&self.key, 128)))
    }
}

/// The one writer of the database is busy while it copies, and every copy stays.
fn too_long(bytes: u64) -> Option<RpcError> {
    (bytes > COPIED_BYTES).then(|| {
        let (is, most) = (bytes >> 20, COPIED_BYTES >> 20);
        RpcError::invalid(format!(
            "{is} MB were said before that message, and at most {most} MB are taken up again; begin a new session"
        ))
    })
}

objects! { lenient:
    struct Asked {
        content: Option<Vec<Piece>>,
    }

    struct Piece {
        data: Option<String>,
        mime_type: Option<String>,
    }
}

/// A message as it goes back into the editor.
fn draft(message: &str) -> Draft {
    let text = Said::read(message).unwrap_or_default().text(|_| String::new());
    let pieces = misfit::read::<Asked>(message).ok().and_then(|asked| asked.content).unwrap_or_default();
    let file = |piece: Piece| Some(DraftAttachment { mime_type: piece.mime_type?, data: piece.data? });
    Draft {
        editor_text: (!text.is_empty()).then_some(text),
        editor_attachments: pieces.into_iter().filter_map(file).take(ATTACHMENTS).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_over_the_cap_is_refused_with_both_sizes() {
        assert!(too_long(COPIED_BYTES).is_none());
        let refused = too_long(100 << 20).expect("too long");
        assert!(refused.message.starts_with("100 MB were said before that message, and at most 64 MB"), "{refused}");
    }

    #[test]
    fn a_draft_has_the_text_and_the_first_pictures() {
        let picture = r#"{"type":"image","data":"AAAA","mimeType":"image/png"}"#;
        let pictures = [picture; ATTACHMENTS + 1].join(",");
        let made = draft(&format!(r#"{{"role":"user","content":[{{"type":"text","text":" look "}},{pictures}]}}"#));
        assert_eq!((made.editor_text.as_deref(), made.editor_attachments.len()), (Some("look"), ATTACHMENTS));
        assert!(draft("no message").editor_text.is_none());
    }
}
