//! How runs begin, are waited for and are stopped: what the handlers of `chat.send`, `agent` and HTTP call.

use std::sync::Arc;

use super::run::{Emission, Input, NewRun, Outcome, RunId, Starter, Status, Waiting};
use super::runs::Begun;
use super::sessions::stored;
use super::ticket::Ticket;
use super::timers::Due;
use super::{Now, State};
use crate::store::inbox::{self, InboxRow};
use crate::store::{StoreError, runs};
use crate::wire::agent::{
    AgentAccepted, AgentMeta, AgentReply, AgentResult, AgentWaitResult, DeliveryStatus, ReplyMeta, ReplyPayload,
    TerminalReply,
};
use crate::wire::chat::{ChatSendResult, QueueMode, ServerTiming};
use crate::wire::error::RpcError;
use crate::wire::frame::Payload;

impl State {
    /// Takes a run in and sees to it that its starter is answered.
    pub fn begin_run(&mut self, mut new: NewRun, now: Now) {
        if self.is_stopping() {
            refuse(new.starter, RpcError::unavailable("gateway stopping; retry shortly").retry_after(1500));
            return;
        }
        if self.is_suspended() && !matches!(new.starter, Starter::Inbox) {
            refuse(new.starter, super::suspend::refusal("agent"));
            return;
        }
        self.brief(&mut new);
        let (run_id, key, agent_id) = (new.run_id.clone(), new.session_key.clone(), new.agent_id.clone());
        if new.input.queue == Some(QueueMode::Interrupt) && self.runs.get(&run_id).is_none() {
            self.abort_runs(&key, None, now);
        }
        let (deadline, from_inbox) = (new.timeout, matches!(new.starter, Starter::Inbox));
        self.runs.allow(self.shared.config.get().agents.defaults.max_concurrent);
        match self.runs.begin(new, from_inbox) {
            Begun::Made => {}
            Begun::Waits if from_inbox => {}
            Begun::Waits => self.store_waiting(&run_id, now),
            Begun::InFlight(Starter::Chat(ticket)) => ticket.answer_with(Ok(sent(&run_id, "in_flight", None))),
            Begun::InFlight(Starter::Agent(ticket)) => {
                ticket.ack(&accepted(&run_id, &key, &agent_id, now.ms));
                if let Some(run) = self.runs.get_mut(&run_id) {
                    run.finals.push(ticket);
                }
            }
            Begun::Ended(Starter::Chat(ticket), outcome) => {
                let status = if outcome.status == Status::Ok { "ok" } else { "error" };
                ticket.answer_with(Ok(sent(&run_id, status, None)));
            }
            Begun::Ended(Starter::Agent(ticket), outcome) => ticket.answer(agent_result(&run_id, &outcome, None)),
            Begun::InFlight(starter) | Begun::Ended(starter, _) => {
                refuse(starter, RpcError::invalid("a run of this id is known already"));
            }
            Begun::Refused(starter, error) => refuse(starter, error),
        }
        if let Some(limit) = deadline {
            self.timers.at(now.at + limit, Due::RunDeadline(run_id));
        }
    }

    /// The same for a message whose answer goes into a messenger: it lies in the inbox until the answer is on its way,
    /// so that a crash loses neither.
    pub fn begin_delivered(&mut self, new: NewRun, now: Now) {
        let known = self.runs.get(&new.run_id).is_some() || self.runs.outcome(&new.run_id).is_some();
        if known || new.input.reply.is_none() || self.is_stopping() || self.is_suspended() {
            return self.begin_run(new, now);
        }
        let row = inbox_row(&new.run_id, &new.session_key, &new.agent_id, &new.input, now);
        let (hub, ground) = (self.hub.clone(), new.input.ground.clone());
        self.store.submit_sized(
            "keep a message",
            row.payload.len(),
            move |conn| {
                if let Some(ground) = &ground {
                    ground.check(conn, &row.session_key)?;
                }
                match runs::get(conn, &row.run_id)? {
                    Some(_) => Ok(false),
                    None => inbox::put(conn, &row),
                }
            },
            move |kept| {
                let told = hub.tell("message kept", move |state, now| match kept {
                    Ok(kept) => {
                        state.begin_kept(NewRun { input: Input { ground: None, ..new.input }, ..new }, kept, now)
                    }
                    Err(error) => refuse(new.starter, stored(error)),
                });
                // The gateway is stopping: the ticket answers when it is dropped, and the next start makes the run.
                let _ = told;
            },
        );
    }

    fn begin_kept(&mut self, new: NewRun, kept: bool, now: Now) {
        let (run_id, refused) = (new.run_id.clone(), !self.runs.has_room(&new.session_key) || self.is_stopping());
        self.begin_run(new, now);
        if kept && refused {
            // Its sender was told that it is not taken: the next start must not make it.
            self.store.submit("drop a message", move |conn| inbox::remove(conn, &run_id), |_| {});
        }
    }

    /// A run of the gateway's own, e.g. for a webhook: taken in or refused at once, and nobody is answered later. A run
    /// that is known already counts as taken in. It is not stored while it waits.
    pub fn begin_own(&mut self, mut new: NewRun, now: Now) -> Result<(), RpcError> {
        if self.is_stopping() {
            return Err(RpcError::unavailable("gateway stopping; retry shortly").retry_after(1500));
        }
        if self.is_suspended() {
            return Err(super::suspend::refusal("agent"));
        }
        self.brief(&mut new);
        let (run_id, limit) = (new.run_id.clone(), new.timeout);
        self.runs.allow(self.shared.config.get().agents.defaults.max_concurrent);
        match self.runs.begin(new, false) {
            Begun::Refused(_, error) => return Err(error),
            Begun::InFlight(_) | Begun::Ended(..) => return Ok(()),
            Begun::Made | Begun::Waits => {}
        }
        if let Some(limit) = limit {
            self.timers.at(now.at + limit, Due::RunDeadline(run_id));
        }
        Ok(())
    }

    /// Tells a new turn what waited for it.
    fn brief(&mut self, new: &mut NewRun) {
        let known = self.runs.get(&new.run_id).is_some() || self.runs.outcome(&new.run_id).is_some();
        let command = new.input.commands && new.input.text.trim_start().starts_with('/');
        if known || command || new.input.stateless {
            return;
        }
        let news = self.wakes.take(&new.session_key);
        if !news.is_empty() {
            let system = new.input.extra_system.get_or_insert_default();
            if !system.is_empty() {
                system.push_str("\n\n");
            }
            system.push_str(&format!("Events since the last turn:\n- {}", news.join("\n- ")));
        }
    }

    /// A message that must wait is on disk before its sender hears of it.
    fn store_waiting(&mut self, run_id: &RunId, now: Now) {
        let Some(run) = self.runs.get(run_id) else { return };
        if run.sink().is_some() {
            // An HTTP request waits with its connection; there is nothing to acknowledge.
            return;
        }
        let Some(input) = run.input() else { return };
        let (ground, received) = (input.ground.clone(), run.received);
        let row = inbox_row(run_id, &run.session_key, &run.agent_id, input, now);
        let (hub, run_id) = (self.hub.clone(), run_id.clone());
        self.store.submit(
            "put a message into the inbox",
            move |conn| {
                if let Some(ground) = &ground {
                    ground.check(conn, &row.session_key)?;
                }
                inbox::put(conn, &row)
            },
            move |result| {
                let told = hub.tell("inbox stored", move |state, now| {
                    // It may have come to its end meanwhile, and another message of the same key may be here.
                    let Some(run) = state.runs.get(&run_id).filter(|run| run.received == received) else { return };
                    let launched = run.launched;
                    match result {
                        Ok(_) => {
                            state.runs.stored(&run_id);
                            state.acknowledge(&run_id, now);
                        }
                        // Its turn came before this did: its own first write says the same, or succeeds.
                        Err(_) if launched => {}
                        Err(StoreError::Declined(why)) => state.fail_unstarted(&run_id, *why, now),
                        Err(error) => {
                            let message = format!("the message could not be stored: {error}");
                            state.fail_unstarted(&run_id, RpcError::unavailable(message).retryable(), now);
                        }
                    }
                });
                // The gateway is stopping: the ticket answers when it is dropped.
                let _ = told;
            },
        );
    }

    /// Tells the sender that its message is safe.
    pub(super) fn acknowledge(&mut self, run_id: &RunId, now: Now) {
        let Some(run) = self.runs.get_mut(run_id) else { return };
        if std::mem::replace(&mut run.accepted, true) {
            return;
        }
        match run.starter.take() {
            Some(Starter::Chat(ticket)) => {
                let ms = now.at.saturating_duration_since(run.received).as_secs_f64() * 1000.0;
                ticket.answer_with(Ok(sent(run_id, "started", Some((ms * 1000.0).round() / 1000.0))));
            }
            Some(Starter::Agent(ticket)) => {
                ticket.ack(&accepted(run_id, &run.session_key, &run.agent_id, now.ms));
                run.finals.push(ticket);
            }
            other => run.starter = other,
        }
    }

    fn fail_unstarted(&mut self, run_id: &RunId, error: RpcError, now: Now) {
        let outcome = Outcome { status: Status::Error, ended_ms: now.ms, ..Outcome::default() };
        if let Some((mut run, _)) = self.runs.end(run_id, Arc::new(outcome))
            && let Some(starter) = run.starter.take()
        {
            refuse(starter, error);
        }
    }

    /// Stops runs of a session, or one of them. Clients are told at once; the threads follow.
    pub fn abort_runs(&mut self, session_key: &str, only: Option<&str>, now: Now) -> Vec<RunId> {
        let mut ids = self.runs.of_session(session_key);
        // One that was stopped a moment ago and is still ending is not stopped twice.
        ids.retain(|id| only.is_none_or(|wanted| **id == *wanted) && self.runs.get(id).is_some_and(|run| !run.closed));
        // Waiting ones first, so that none begins because its predecessor was stopped.
        for run_id in ids.iter().rev() {
            self.abort_run(run_id, now);
        }
        ids
    }

    /// Stops one run, e.g. because the HTTP client that wanted it is gone.
    pub fn abort_run(&mut self, run_id: &RunId, now: Now) {
        let Some(run) = self.runs.get(run_id) else { return };
        run.abort.fire();
        if run.launched {
            self.announce_abort(run_id, now);
            return;
        }
        // It never began: its input leaves the inbox, and nothing else is to be undone.
        let outcome =
            Outcome { status: Status::Aborted, stop_reason: "aborted", ended_ms: now.ms, ..Outcome::default() };
        let gone = run_id.clone();
        self.store.submit(
            "take a stopped message out of the inbox",
            move |conn| inbox::remove(conn, &gone),
            |result| {
                if let Err(error) = result {
                    log::warn!("a stopped message stays in the inbox: {error}");
                }
            },
        );
        self.finished(run_id, outcome, now);
    }

    /// `agent.wait`: answers when the run has ended, or at the deadline.
    pub fn wait_for_run(&mut self, run_id: &str, timeout_ms: u64, ticket: Ticket, now: Now) {
        if let Some(outcome) = self.runs.outcome(run_id) {
            ticket.answer(wait_result(run_id, &outcome));
            return;
        }
        let number = self.runs.wait(run_id.into(), ticket);
        let limit = std::time::Duration::from_millis(timeout_ms.min(24 * 3600 * 1000));
        self.timers.at(now.at + limit, Due::WaitDeadline(number));
    }
}

fn inbox_row(run_id: &str, session_key: &str, agent_id: &str, input: &Input, now: Now) -> InboxRow {
    InboxRow {
        run_id: run_id.to_string(),
        session_key: session_key.to_string(),
        agent_id: agent_id.to_string(),
        created_at_ms: i64::try_from(now.ms).unwrap_or(i64::MAX),
        payload: Waiting::of(input).to_json(),
        n: 0,
        attempts: 0,
    }
}

fn refuse(starter: Starter, error: RpcError) {
    match starter {
        Starter::Chat(ticket) | Starter::Agent(ticket) => ticket.answer(Err(error)),
        Starter::Http(sink) => {
            // The handler may have left already.
            let _ = sink.try_send(Emission::Refused(error));
        }
        Starter::Inbox => log::warn!("a stored message was not taken up: {error}"),
    }
}

fn sent(run_id: &str, status: &'static str, ms: Option<f64>) -> ChatSendResult {
    ChatSendResult {
        run_id: run_id.to_string(),
        status,
        server_timing: ms.map(|received_to_ack_ms| ServerTiming { received_to_ack_ms }),
    }
}

fn accepted<'a>(run_id: &'a str, session_key: &'a str, agent_id: &'a str, now_ms: u64) -> AgentAccepted<'a> {
    AgentAccepted { run_id, session_key, agent_id, status: "accepted", accepted_at: now_ms }
}

/// The second answer of `agent`.
pub(super) fn agent_result(
    run_id: &str,
    outcome: &Outcome,
    delivery: Option<&DeliveryStatus>,
) -> Result<Payload, RpcError> {
    if let Some(failure) = &outcome.failure {
        return Err(RpcError::unavailable(failure.message.clone()));
    }
    let aborted = outcome.status == Status::Aborted;
    let payloads =
        if outcome.text.is_empty() { vec![] } else { vec![ReplyPayload { text: &outcome.text, media_url: None }] };
    Payload::of(&AgentResult {
        run_id,
        status: "ok",
        summary: if aborted { "aborted" } else { "completed" },
        result: AgentReply {
            payloads,
            delivery_status: delivery,
            meta: ReplyMeta {
                duration_ms: outcome.ended_ms.saturating_sub(outcome.started_ms),
                agent_meta: AgentMeta {
                    session_id: &outcome.session_id,
                    provider: &outcome.provider,
                    model: &outcome.model,
                    usage: outcome.usage,
                },
                aborted,
                stop_reason: outcome.stop_reason,
            },
        },
    })
}

pub(super) fn wait_result(run_id: &str, outcome: &Outcome) -> Result<Payload, RpcError> {
    let silent = outcome.text.is_empty();
    Payload::of(&AgentWaitResult {
        run_id,
        status: match outcome.status {
            Status::Ok => "ok",
            Status::Error | Status::Aborted => "error",
            Status::TimedOut => "timeout",
        },
        started_at: (outcome.started_ms > 0).then_some(outcome.started_ms),
        ended_at: Some(outcome.ended_ms),
        stop_reason: Some(outcome.stop_reason).filter(|r| !r.is_empty()),
        error: outcome.failure.as_ref().map(|f| f.message.as_str()),
        terminal_reply: Some(TerminalReply {
            disposition: if silent { "silent" } else { "visible" },
            text: &outcome.text,
        }),
    })
}
