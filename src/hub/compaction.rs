//! Summing up a session: what is asked of the agent, and what those who follow the list hear of it.
//!
//! The work is done on a thread of its own, by [`super::run::Launch::compact`] or inside a run; the state thread tells.

use std::sync::Arc;

use super::peers::Peer;
use super::{Now, State};
use crate::store::StoreError;
use crate::store::sessions::SessionRow;
use crate::wire::error::RpcError;
use crate::wire::event as kinds;
use crate::wire::session::SessionOperation;

/// A session is to be summed up.
pub struct Request {
    pub session_key: Arc<str>,
    pub agent_id: Arc<str>,
    /// What the summary must not lose; may be empty.
    pub focus: String,
    /// No summary: the model is told the newest so many messages only.
    pub keep_lines: Option<u64>,
    pub done: Done,
}

/// Called on the state thread, between the end of the operation and the news that the session changed.
pub type Done = Box<dyn FnOnce(&mut State, &Result<Compacted, NotCompacted>, Now) + Send>;

/// A session is shorter for its model.
#[derive(Debug)]
pub struct Compacted {
    pub row: SessionRow,
    pub summary: String,
    /// Id of the first message that stays word by word.
    pub kept_id: Option<String>,
    pub kept: u64,
    pub tokens_before: u64,
    /// An estimate: the next call of the model tells.
    pub tokens_after: u64,
}

/// Everything is as it was.
#[derive(Debug)]
pub enum NotCompacted {
    /// There is nothing to sum up, with the reason and how many messages there are.
    Nothing(&'static str, u64),
    /// Another one is under way, or too many of them.
    Busy,
    /// The model did not sum up.
    Failed(String),
    Stored(StoreError),
}

impl NotCompacted {
    /// For a person in a conversation.
    pub fn sentence(&self) -> String {
        match self {
            NotCompacted::Nothing(reason, _) => format!("Nothing to sum up: {reason}."),
            NotCompacted::Busy => "A summary is being made already; try again in a moment.".into(),
            NotCompacted::Failed(reason) => format!("The conversation could not be summed up: {reason}"),
            NotCompacted::Stored(error) => error.to_string(),
        }
    }
}

impl State {
    /// Begins to sum up a session on a thread of its own.
    pub fn compact(&self, request: Request) {
        self.runs.launcher().compact(request);
    }

    /// To those that follow the list: a session is being summed up.
    pub fn compaction_began(&self, id: &str, session_key: &str, agent_id: &str, now: Now) {
        self.tell_operation(id, session_key, agent_id, None, now);
    }

    /// To the same: that has ended, one way or the other.
    pub fn compaction_ended(
        &mut self,
        id: &str,
        session_key: &str,
        agent_id: &str,
        result: &Result<Compacted, NotCompacted>,
        now: Now,
    ) {
        self.tell_operation(id, session_key, agent_id, Some(result.is_ok()), now);
    }

    fn tell_operation(&self, id: &str, session_key: &str, agent_id: &str, completed: Option<bool>, now: Now) {
        let payload = SessionOperation {
            operation_id: id,
            operation: "compact",
            phase: if completed.is_some() { "end" } else { "start" },
            session_key,
            agent_id,
            completed,
            ts: now.ms,
        };
        self.peers.broadcast(&kinds::SESSION_OPERATION, &payload, None, |peer: &Peer| peer.sessions);
    }
}

/// The error of a caller that asked for a summary.
pub fn refused(error: &NotCompacted) -> RpcError {
    match error {
        NotCompacted::Busy => RpcError::busy(),
        NotCompacted::Stored(StoreError::Busy { .. }) => RpcError::busy(),
        other => RpcError::unavailable(other.sentence()),
    }
}
