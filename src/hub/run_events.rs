//! What a run reports, told to clients: `agent`, `chat`, `session.message` and `sessions.changed`, in the recorded order.
//!
//! Text is collected and sent at most every [`PACE`]: the protocol repeats the cumulative text with every delta, so a
//! frame per token would be quadratic. An HTTP handler that follows the run gets every piece at once.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::peers::{Peer, Peers};
use super::run::{Accepted, Emission, Outcome, RunEvent, RunId, Starter, Status, Stored};
use super::run_start::wait_result;
use super::run_tools::{Item, command_ended, item};
use super::runs::Run;
use super::timers::Due;
use super::{Now, State};
use crate::wire::agent::{AgentData, AgentEvent, TerminalReply, ToolOutput};
use crate::wire::chat::{AssistantText, ChatEvent, ChatSendTiming, ChatState, ErrorDetail};
use crate::wire::error::RpcError;
use crate::wire::event as kinds;
use crate::wire::session::{FlatSession, SessionMessage};
use crate::wire::task::{TaskEvent, TaskStatus, TaskSummary};

/// Between two frames with text of one run.
const PACE: Duration = Duration::from_millis(75);
/// Thoughts of one run kept; over it they begin anew.
const THINKING_BYTES: usize = 1 << 20;
/// Output of a running tool in one frame.
pub(super) const TOOL_TEXT: usize = 16 << 10;

impl State {
    pub(super) fn on_run(&mut self, run_id: &RunId, event: RunEvent, now: Now) {
        if let RunEvent::Finished(outcome) = event {
            self.finished(run_id, *outcome, now);
            return;
        }
        let Some(run) = self.runs.get_mut(run_id) else { return };
        match event {
            RunEvent::Text => {
                // Without readers the text waits where it is: nothing is told again until somebody takes it.
                if self.peers.any_reader() {
                    if run.text.is_empty() {
                        self.timing(run_id, "first-assistant-event", now);
                    }
                    self.pace(run_id, now);
                }
            }
            RunEvent::Accepted(accepted) => self.run_accepted(run_id, *accepted, now),
            RunEvent::Stored(stored) => self.stored_message(run_id, &stored, now),
            RunEvent::Joined(ids) => self.end_joined(&ids, Status::Ok, now),
            RunEvent::Thinking(text) => {
                run.thinking.push_str(&text);
                if run.thinking.len() > THINKING_BYTES {
                    run.thinking.clear();
                }
                tell(&self.peers, run_id, run, "thinking", now, everyone, |run| AgentData::Thinking {
                    text: &run.thinking,
                    delta: &text,
                });
            }
            RunEvent::Phase(phase) if run.chat && !run.closed => {
                // Both carry the same count, chat first.
                run.seq += 1;
                chat(&self.peers, run_id, run, ChatState::Status { phase });
                run.seq -= 1;
                tell(&self.peers, run_id, run, "run_status", now, everyone, |_| AgentData::Phase { phase });
            }
            RunEvent::Phase(_) => {}
            RunEvent::Started => {
                run.started_ms = now.ms;
                tell(&self.peers, run_id, run, "lifecycle", now, everyone, |_| AgentData::Start {
                    phase: "start",
                    started_at: now.ms,
                });
                self.run_changed_session(run_id, None, Some("start"), now);
                self.timing(run_id, "agent-run-started", now);
                self.preview(run_id, 0, now);
            }
            RunEvent::Model { provider, model } => {
                tell(&self.peers, run_id, run, "lifecycle", now, everyone, |_| AgentData::Model {
                    phase: "model",
                    provider: &provider,
                    model: &model,
                });
                run.provider = provider;
                run.model = model;
                if run.segments == 1 && run.text.is_empty() {
                    self.timing(run_id, "model-selected", now);
                }
            }
            RunEvent::Retrying(r) => {
                let wait = r.delay_ms.div_ceil(1000);
                let message =
                    format!("Provider temporarily unavailable. Retrying in {wait}s ({}/{}).", r.attempt, r.max);
                tell(&self.peers, run_id, run, "run_status", now, everyone, |_| AgentData::Retrying {
                    phase: "retrying",
                    message: &message,
                    retry_attempt: r.attempt,
                    max_retries: r.max,
                    delay_ms: r.delay_ms,
                    attempt: r.attempt + 1,
                    max_attempts: r.max + 1,
                    reason: &r.reason,
                });
            }
            RunEvent::Fallback(step) => {
                tell(&self.peers, run_id, run, "lifecycle", now, everyone, |_| AgentData::FallbackStep {
                    phase: "fallback_step",
                    fallback_step_type: "fallback_step",
                    fallback_step_from_model: &step.from,
                    fallback_step_to_model: &step.to,
                    fallback_step_from_failure_reason: &step.reason,
                });
            }
            RunEvent::ToolStarted(tool) => {
                self.flush_run(run_id, now);
                let Some(run) = self.runs.get_mut(run_id) else { return };
                run.new_segment();
                item(&self.peers, run_id, run, now, &tool.call_id, &tool.name, &tool.title, Item::Started);
                let conn = run.conn;
                tell(
                    &self.peers,
                    run_id,
                    run,
                    TOOL,
                    now,
                    |peer, key| sees_tools(peer, key, conn),
                    |_| AgentData::ToolStart {
                        phase: "start",
                        name: &tool.name,
                        tool_call_id: &tool.call_id,
                        args: &tool.args,
                    },
                );
            }
            RunEvent::Approval(step) => {
                tell(&self.peers, run_id, run, "lifecycle", now, everyone, |_| AgentData::Approval {
                    phase: step.phase,
                    approval_id: &step.approval_id,
                    tool_call_id: &step.call_id,
                });
            }
            RunEvent::ToolOutput(out) => {
                let text = crate::wire::frame::cut(&out.text, TOOL_TEXT);
                let (conn, item_id) = (run.conn, format!("command:{}", out.call_id));
                tell(
                    &self.peers,
                    run_id,
                    run,
                    TOOL,
                    now,
                    |peer, key| sees_tools(peer, key, conn),
                    |_| AgentData::ToolUpdate {
                        phase: "update",
                        name: &out.name,
                        tool_call_id: &out.call_id,
                        partial_result: ToolOutput::new(text, None),
                    },
                );
                tell(&self.peers, run_id, run, "command_output", now, everyone, |_| AgentData::CommandDelta {
                    item_id: &item_id,
                    phase: "delta",
                    tool_call_id: &out.call_id,
                    name: &out.name,
                    output: text,
                    status: "running",
                });
            }
            RunEvent::ToolEnded(tool) => {
                self.recorder.tool_ended(&tool, now);
                let text = crate::wire::frame::cut(&tool.text, TOOL_TEXT);
                let conn = run.conn;
                tell(
                    &self.peers,
                    run_id,
                    run,
                    TOOL,
                    now,
                    |peer, key| sees_tools(peer, key, conn),
                    |_| AgentData::ToolResult {
                        phase: "result",
                        name: &tool.name,
                        tool_call_id: &tool.call_id,
                        is_error: tool.is_error,
                        result: ToolOutput::new(text, tool.details.as_deref()),
                    },
                );
                let ended = Item::Ended { failed: tool.is_error, started_ms: tool.started_ms };
                item(&self.peers, run_id, run, now, &tool.call_id, &tool.name, &tool.title, ended);
                if tool.name == COMMAND {
                    command_ended(&self.peers, run_id, run, &tool, now);
                }
            }
            RunEvent::Usage { output } => {
                tell(&self.peers, run_id, run, "usage", now, everyone, |_| AgentData::Usage { output_tokens: output });
            }
            RunEvent::Finished(_) => {}
        }
    }

    fn run_accepted(&mut self, run_id: &RunId, accepted: Accepted, now: Now) {
        self.acknowledge(run_id, now);
        let Some(run) = self.runs.get_mut(run_id) else { return };
        run.session_id = Some(accepted.session_id);
        run.row = Some(Box::new(accepted.row));
        let joined = run.joined.clone();
        self.seen.touch(&run.session_key, &run.agent_id, now.ms, accepted.created);
        self.forget_health();
        self.end_joined(&joined, Status::Ok, now);
        self.timing(run_id, "dispatch-started", now);
        self.run_changed_session(run_id, Some("send"), None, now);
        self.tell_task(run_id, TaskStatus::Running, false, now);
        if let Some(stored) = accepted.stored {
            self.stored_message(run_id, &stored, now);
        }
    }

    fn stored_message(&mut self, run_id: &RunId, stored: &Stored, _now: Now) {
        let Some(run) = self.runs.get(run_id) else { return };
        self.followers.tell(&run.session_key);
        if !stored.announce || !self.peers.any_reader() {
            return;
        }
        let row = run.row.as_ref().map(|row| self.shown_session(row));
        let payload = SessionMessage {
            session_key: &run.session_key,
            sender_is_owner: stored.from_user,
            agent_id: &run.agent_id,
            message: &stored.message,
            message_id: &stored.id,
            message_seq: stored.seq,
            flat: row.as_ref().map(FlatSession::of),
            session: row.as_ref(),
        };
        let key = &*run.session_key;
        self.peers
            .broadcast(&kinds::SESSION_MESSAGE, &payload, None, |peer| peer.sessions || peer.messages.contains(key));
    }

    /// To those that asked for sessions: the row of a run changed. Nothing is known of it before its first write.
    fn run_changed_session(&self, run_id: &RunId, reason: Option<&str>, phase: Option<&str>, now: Now) {
        let Some(run) = self.runs.get(run_id) else { return };
        let Some(row) = &run.row else { return };
        self.tell_session_changed(row, reason, phase.map(|phase| (phase, &**run_id)), now);
    }

    /// A run as a piece of work, for those who look at such; what is said in a chat is none.
    fn tell_task(&self, run_id: &RunId, status: TaskStatus, ended: bool, now: Now) {
        let Some(run) = self.runs.get(run_id).filter(|run| !run.chat) else { return };
        if !self.peers.any_reader() {
            return;
        }
        let since = Some(if run.started_ms > 0 { run.started_ms } else { now.ms });
        let task = TaskSummary {
            status,
            created_at: since,
            started_at: since,
            ended_at: ended.then_some(now.ms),
            ..TaskSummary::of(run_id, &run.session_key, &run.agent_id)
        };
        send(&self.peers, &kinds::TASK, &TaskEvent { action: "upserted", task }, |peer| {
            everyone(peer, &run.session_key)
        });
    }

    /// Where the time goes, for the client that sent the message.
    fn timing(&self, run_id: &RunId, phase: &str, now: Now) {
        let Some(run) = self.runs.get(run_id) else { return };
        if !run.chat || run.conn == 0 {
            return;
        }
        let ms = (now.at.saturating_duration_since(run.received).as_secs_f64() * 1e6).round() / 1e3;
        let payload = ChatSendTiming {
            phase,
            run_id,
            session_key: &run.session_key,
            agent_id: &run.agent_id,
            ack_to_phase_ms: ms,
            received_to_phase_ms: ms,
        };
        let conn = run.conn;
        self.peers.broadcast(&kinds::CHAT_SEND_TIMING, &payload, None, |peer| {
            peer.caller.conn == conn && peer.caller.tracked()
        });
    }

    /// Sends the text now, or soon.
    fn pace(&mut self, run_id: &RunId, now: Now) {
        let Some(run) = self.runs.get_mut(run_id) else { return };
        match run.flushed {
            Some(last) if now.at < last + PACE => {
                if !std::mem::replace(&mut run.flush_armed, true) {
                    self.timers.at(last + PACE, Due::Flush(run_id.clone()));
                }
            }
            _ => self.flush_run(run_id, now),
        }
    }

    /// Sends what readers have not seen of a run's text.
    pub(super) fn flush_run(&mut self, run_id: &RunId, now: Now) {
        let Some(run) = self.runs.get_mut(run_id) else { return };
        run.flush_armed = false;
        run.collect();
        if run.closed || run.sent >= run.text.len() {
            return;
        }
        run.flushed = Some(now.at);
        if self.peers.any_reader() {
            let item_id = format!("{run_id}:{}", run.segments);
            let (from, segment) = (run.sent, run.segment);
            tell(&self.peers, run_id, run, "assistant", now, everyone, |run| AgentData::Assistant {
                text: run.text[segment..].trim_start_matches('\n'),
                delta: &run.text[from..],
                item_id: &item_id,
            });
            chat(
                &self.peers,
                run_id,
                run,
                ChatState::Delta { delta_text: &run.text[from..], message: AssistantText::new(&run.text, now.ms) },
            );
        }
        run.sent = run.text.len();
    }

    /// Tells clients at once that a run is stopped; its thread ends a moment later.
    pub(super) fn announce_abort(&mut self, run_id: &RunId, now: Now) {
        let Some(run) = self.runs.get_mut(run_id) else { return };
        if run.is_only_asked_for() || std::mem::replace(&mut run.closed, true) {
            return;
        }
        run.collect();
        chat(
            &self.peers,
            run_id,
            run,
            ChatState::Aborted {
                stop_reason: "rpc",
                message: (!run.text.is_empty()).then(|| AssistantText::new(&run.text, now.ms)),
            },
        );
        tell(&self.peers, run_id, run, "lifecycle", now, everyone, |run| AgentData::End {
            phase: "end",
            started_at: run.started_ms,
            ended_at: now.ms,
            aborted: true,
            status: Some("cancelled"),
            stop_reason: "rpc",
            liveness_state: "working",
            terminal_reply: None,
            execution_settled: false,
        });
    }

    pub(super) fn run_out_of_time(&mut self, run_id: &RunId) {
        if let Some(run) = self.runs.get_mut(run_id) {
            run.link.time_is_up();
            run.abort.fire();
        }
    }

    /// Ends runs whose inputs another run took along: what is said to them is said there.
    fn end_joined(&mut self, ids: &[RunId], status: Status, now: Now) {
        for run_id in ids {
            let outcome = Outcome { status, stop_reason: "stop", ended_ms: now.ms, ..Outcome::default() };
            self.finished(run_id, outcome, now);
        }
    }

    /// The end of a run: last text, final events, answers, then the next run of its session.
    pub(super) fn finished(&mut self, run_id: &RunId, mut outcome: Outcome, now: Now) {
        self.flush_run(run_id, now);
        let Some(run) = self.runs.get_mut(run_id) else { return };
        let begun = !run.is_only_asked_for();
        if !run.accepted {
            // It failed before its input was safe: the sender must know that it has to send again.
            let why = outcome.failure.as_ref().map_or("the run was stopped before it began", |f| f.message.as_str());
            let declined = outcome.declined.take().map(|error| *error);
            let error = declined.unwrap_or_else(|| RpcError::unavailable(why).retryable());
            match run.starter.take() {
                Some(Starter::Chat(ticket) | Starter::Agent(ticket)) => ticket.answer(Err(error)),
                other => run.starter = other,
            }
        }
        if begun {
            final_events(&self.peers, run_id, run, &outcome, now);
        }
        self.meter.ended(&outcome);
        if begun {
            self.recorder.run_ended(&outcome, now);
        }
        let status = match outcome.status {
            Status::Ok => TaskStatus::Completed,
            Status::Aborted => TaskStatus::Cancelled,
            Status::TimedOut => TaskStatus::TimedOut,
            Status::Error => TaskStatus::Failed,
        };
        self.tell_task(run_id, status, true, now);
        self.run_of_job_ended(run_id, &outcome, now);
        let row = outcome.row.take();
        self.timing(run_id, "dispatch-completed", now);
        let outcome = Arc::new(outcome);
        let Some((mut run, waited)) = self.runs.end(run_id, outcome.clone()) else { return };
        if let (Some(sink), false) = (run.sink(), run.launched) {
            // The thread of a run tells its end itself; this one never had a thread. The handler may have left.
            let _ = sink.try_send(Emission::Done(outcome.clone()));
        }
        let finals = std::mem::take(&mut run.finals);
        self.answer_finals(run_id, &outcome, run.delivery, finals, now);
        for ticket in waited {
            ticket.answer(wait_result(run_id, &outcome));
        }
        // Whatever it took and did not get to, is not made by anybody else in this life of the gateway.
        self.end_joined(&run.joined, Status::Aborted, now);
        if let Some(row) = row {
            let phase = if outcome.status == Status::Ok { "end" } else { "error" };
            self.tell_session_changed(&row, Some("agent.input.settled"), None, now);
            self.tell_session_changed(&row, None, Some((phase, run_id)), now);
        }
        self.when_quiet_now(&run.session_key, now);
        if let Some(to) = &run.reply {
            self.messengers.poke(to);
        }
        self.announce_end(&run, &outcome, now);
        self.resume_backlog(now);
    }
}

impl Run {
    /// Its sender waits for the word that it is safe, and will hear that it is not: nobody else has heard of it, and the
    /// same key may come again.
    fn is_only_asked_for(&self) -> bool {
        !self.accepted && matches!(self.starter, Some(Starter::Chat(_) | Starter::Agent(_)))
    }

    /// Takes in what the run's thread has said since the last time.
    pub fn collect(&mut self) {
        let more = self.link.take();
        self.text.push_str(&more);
    }

    /// Text after a tool belongs to another paragraph.
    fn new_segment(&mut self) {
        if self.segment < self.text.len() {
            self.segment = self.text.len();
            self.segments += 1;
        }
    }
}

fn final_events(peers: &Peers, run_id: &RunId, run: &mut Run, outcome: &Outcome, now: Now) {
    let aborted = matches!(outcome.status, Status::Aborted | Status::TimedOut);
    if std::mem::replace(&mut run.closed, true) {
        // An abort was announced; the thread has now noticed.
        let started_at = run.started_ms;
        tell(peers, run_id, run, "lifecycle", now, everyone, |_| AgentData::Error {
            phase: "error",
            started_at,
            ended_at: now.ms,
            error: "This operation was aborted",
            error_observation: None,
        });
        return;
    }
    let observed = outcome.failure.as_ref().map(|f| ErrorDetail {
        provider: &outcome.provider,
        model: &outcome.model,
        failover_reason: &f.reason,
    });
    let error = outcome.failure.as_ref().map(|f| f.message.as_str());
    let started_at = run.started_ms;
    tell(peers, run_id, run, "lifecycle", now, everyone, |_| AgentData::Finishing {
        phase: "finishing",
        stop_reason: error.is_none().then_some(outcome.stop_reason),
        error,
        aborted,
        liveness_state: if error.is_some() { "blocked" } else { "working" },
        ended_at: now.ms,
    });
    match error {
        Some(error) => {
            let observation = observed.clone();
            tell(peers, run_id, run, "lifecycle", now, everyone, |_| AgentData::Error {
                phase: "error",
                started_at,
                ended_at: now.ms,
                error,
                error_observation: observation,
            });
            chat(peers, run_id, run, ChatState::Error { error_message: error, error_detail: observed });
        }
        None => {
            tell(peers, run_id, run, "lifecycle", now, everyone, |_| AgentData::End {
                phase: "end",
                started_at,
                ended_at: now.ms,
                aborted,
                status: aborted.then_some("cancelled"),
                stop_reason: outcome.stop_reason,
                liveness_state: "working",
                terminal_reply: Some(TerminalReply {
                    disposition: if outcome.text.is_empty() { "silent" } else { "visible" },
                    text: &outcome.text,
                }),
                execution_settled: true,
            });
            let message = || (!outcome.text.is_empty()).then(|| AssistantText::new(&outcome.text, now.ms));
            let state = if aborted {
                ChatState::Aborted { stop_reason: outcome.stop_reason, message: message() }
            } else {
                ChatState::Final { stop_reason: Some(outcome.stop_reason), message: message() }
            };
            chat(peers, run_id, run, state);
        }
    }
}

pub(super) fn everyone(peer: &Peer, session_key: &str) -> bool {
    peer.follows(session_key)
}

/// The tool whose output is shown while it grows.
const COMMAND: &str = "exec";
/// The stream of what tools do.
const TOOL: &str = "tool";

/// Tool events go to clients that show them and that started the run or follow its session. Others that follow the list
/// of sessions hear of them as `session.tool`.
fn sees_tools(peer: &Peer, session_key: &str, starter: u64) -> bool {
    peer.caller.has_cap("tool-events") && (peer.caller.conn == starter || peer.messages.contains(session_key))
}

/// One `agent` event.
pub(super) fn tell<'a>(
    peers: &Peers,
    run_id: &RunId,
    run: &'a mut Run,
    stream: &'static str,
    now: Now,
    wanted: impl Fn(&Peer, &str) -> bool,
    data: impl FnOnce(&'a Run) -> AgentData<'a>,
) {
    run.seq += 1;
    if !peers.any_reader() {
        return;
    }
    let run: &'a Run = run;
    let payload = AgentEvent {
        run_id,
        session_key: &run.session_key,
        session_id: run.session_id.as_deref(),
        agent_id: &run.agent_id,
        stream,
        data: data(run),
        seq: run.seq,
        ts: now.ms,
        is_heartbeat: false,
    };
    send(peers, &kinds::AGENT, &payload, |peer| wanted(peer, &run.session_key));
    if stream == TOOL {
        send(peers, &kinds::SESSION_TOOL, &payload, |peer| peer.sessions && !wanted(peer, &run.session_key));
    }
}

/// One `chat` event; it carries the run's count as it stands.
fn chat(peers: &Peers, run_id: &RunId, run: &Run, state: ChatState<'_>) {
    if !peers.any_reader() {
        return;
    }
    let payload = ChatEvent { run_id, session_key: &run.session_key, agent_id: &run.agent_id, seq: run.seq, state };
    send(peers, &kinds::CHAT, &payload, |peer| peer.follows(&run.session_key));
}

fn send(peers: &Peers, kind: &kinds::EventKind, payload: &impl Serialize, wanted: impl Fn(&Peer) -> bool) {
    peers.broadcast(kind, payload, None, wanted);
}
