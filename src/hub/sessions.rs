//! Changes of sessions that no run makes: written, then answered, then told to those who follow the list.
//!
//! Invariant: a transcript that is replaced or removed has no run on it. Whoever wants to do that waits until the runs
//! of the session have ended ([`State::when_quiet`]).

use std::time::Duration;

use rusqlite::Connection;

use super::peers::Peer;
use super::rows::session_row;
use super::ticket::Ticket;
use super::timers::Due;
use super::{Now, State, main_key};
use crate::store::StoreError;
use crate::store::sessions::SessionRow as Stored;
use crate::wire::error::RpcError;
use crate::wire::event as kinds;
use crate::wire::session::{FlatSession, SessionDeleted, SessionRow, SessionsChanged};

/// An aborted run writes down what it has and ends; a tool that cannot be stopped must not hold the caller longer.
const QUIET_TIME: Duration = Duration::from_secs(15);
/// Callers that wait for quiet at once; more are told to come back.
const QUIET_MAX: usize = 64;

type Then = Box<dyn FnOnce(&mut State, Ticket, Now) + Send>;

/// Callers that wait until nothing is made in a session.
#[derive(Default)]
pub struct Quiet {
    waiting: Vec<Waiting>,
    next: u64,
}

struct Waiting {
    number: u64,
    session_key: String,
    ticket: Ticket,
    then: Then,
}

impl State {
    /// Writes on the store thread, then calls `then` on this one; a refusal or failure answers the ticket.
    pub fn change_session<T: Send + 'static>(
        &self,
        ticket: Ticket,
        what: &'static str,
        job: impl FnOnce(&Connection) -> Result<Result<T, RpcError>, StoreError> + Send + 'static,
        then: impl FnOnce(&mut State, Ticket, T, Now) + Send + 'static,
    ) {
        let hub = self.hub.clone();
        self.store.submit(what, job, move |result| match result {
            Ok(Ok(value)) => {
                // The gateway is stopping: the ticket answers when it is dropped.
                let _ = hub.tell(what, move |state, now| then(state, ticket, value, now));
            }
            Ok(Err(refused)) => ticket.answer(Err(refused)),
            Err(error) => ticket.answer(Err(stored(error))),
        });
    }

    /// Stops the runs of a session and calls `then` when the last one has ended.
    pub fn when_quiet(
        &mut self,
        session_key: &str,
        ticket: Ticket,
        now: Now,
        then: impl FnOnce(&mut State, Ticket, Now) + Send + 'static,
    ) {
        self.abort_runs(session_key, None, now);
        if self.runs.is_quiet(session_key) {
            return then(self, ticket, now);
        }
        if self.quiet.waiting.len() >= QUIET_MAX {
            return ticket.answer(Err(RpcError::busy()));
        }
        self.quiet.next += 1;
        let number = self.quiet.next;
        let waiting = Waiting { number, session_key: session_key.into(), ticket, then: Box::new(then) };
        self.quiet.waiting.push(waiting);
        self.timers.at(now.at + QUIET_TIME, Due::QuietDeadline(number));
    }

    /// A run has ended: lets those go on who waited for it.
    pub(super) fn when_quiet_now(&mut self, session_key: &str, now: Now) {
        while self.runs.is_quiet(session_key)
            && let Some(at) = self.quiet.waiting.iter().position(|w| w.session_key == session_key)
        {
            let waiting = self.quiet.waiting.remove(at);
            (waiting.then)(self, waiting.ticket, now);
        }
    }

    pub(super) fn quiet_deadline(&mut self, number: u64) {
        if let Some(at) = self.quiet.waiting.iter().position(|w| w.number == number) {
            let waiting = self.quiet.waiting.remove(at);
            let message = format!("Session {} is still active; try again in a moment.", waiting.session_key);
            waiting.ticket.answer(Err(RpcError::unavailable(message).retryable()));
        }
    }

    /// A stored session as clients see it now.
    pub fn shown_session(&self, row: &Stored) -> SessionRow {
        let active = self.runs.of_session(&row.key).iter().map(|id| id.to_string()).collect();
        session_row(row, &self.shared.catalogue.get(), main_key(&self.shared.config.get()), active)
    }

    /// To those that follow the list: a row changed, for a reason or in a phase of a run.
    pub fn tell_session_changed(&self, row: &Stored, reason: Option<&str>, phase: Option<(&str, &str)>, now: Now) {
        if !self.peers.iter().any(|peer| peer.sessions) {
            return;
        }
        let shown = self.shown_session(row);
        let payload = SessionsChanged {
            session_key: Some(&row.key),
            agent_id: Some(&row.agent_id),
            reason,
            phase: phase.map(|(phase, _)| phase),
            run_id: phase.map(|(_, run_id)| run_id),
            compacted: reason == Some("compact"),
            ts: now.ms,
            flat: Some(FlatSession::of(&shown)),
            session: Some(&shown),
        };
        self.peers.broadcast(&kinds::SESSIONS_CHANGED, &payload, None, listens);
    }

    /// To those that follow the list: it must be read again.
    pub fn tell_sessions_changed(&self, reason: &str, now: Now) {
        let payload = SessionsChanged { reason: Some(reason), ts: now.ms, ..SessionsChanged::default() };
        self.peers.broadcast(&kinds::SESSIONS_CHANGED, &payload, None, listens);
    }

    /// To those that follow the list: a session is gone.
    pub fn tell_session_deleted(&self, row: &Stored, now: Now) {
        let payload = SessionDeleted {
            session_key: &row.key,
            session_id: &row.session_id,
            agent_id: &row.agent_id,
            reason: "delete",
            ts: now.ms,
        };
        self.peers.broadcast(&kinds::SESSIONS_CHANGED, &payload, None, listens);
    }
}

fn listens(peer: &Peer) -> bool {
    peer.sessions
}

/// What a caller is told when the database does not do as asked.
pub fn stored(error: StoreError) -> RpcError {
    let temporary = error.is_temporary();
    match error {
        StoreError::Declined(why) => *why,
        error if temporary => RpcError::unavailable(error.to_string()).retryable(),
        error => RpcError::unavailable(error.to_string()),
    }
}
