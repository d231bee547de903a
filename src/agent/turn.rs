//! One run, top to bottom: write the input, build the prompt, call the model, make its tool calls, write the answer.

pub mod given;
mod skills;

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use super::compaction::Task;
use super::expiry::Expiry;
use super::messages::{self, Spoken};
use super::records::{Closing, Line, Opening, preview, spent_on};
use super::tools::Tool;
use super::{Engine, commands, failure, replies, steering};
use crate::config::Config;
use crate::hub::compaction::NotCompacted;
use crate::hub::run::{Emission, Failure, Fallback, Order, Outcome, Retrying, RunEvent, Status};
use crate::providers::chain;
use crate::providers::error::FailureKind;
use crate::providers::registry::{ModelRef, Registry};
use crate::providers::{Delta, Finish, Message, Part, ProviderError, StopReason, ToolCall, Turn, Usage};
use crate::store::StoreError;
use crate::store::runs;
use crate::store::usage::Spent;
use crate::sys::clock;
use crate::wire::agent::RunUsage;
use skills::Equipment;

/// Model calls of one run at most: a model that only ever calls tools must come to an end.
const ROUNDS: usize = 50;
/// Assistant text of one run at most; over it the run is stopped.
const TEXT_BYTES: usize = 8 << 20;
/// Of a request whose sender keeps the conversation, so much is stored.
const STATELESS_BYTES: usize = 256 << 10;

/// A run on its way.
pub struct Turning<'a> {
    engine: &'a Engine,
    order: Order,
    config: Arc<Config>,
    registry: Arc<Registry>,
    started_ms: u64,
    /// All text of the run so far; segments are separated by a blank line.
    text: String,
    usage: Usage,
    last_call: Usage,
    spent: Vec<(ModelRef, Spent)>,
    model: ModelRef,
    skills: OnceLock<Equipment>,
}

/// How a run's conversation with the model came out.
enum Ended {
    Answered {
        stop: StopReason,
    },
    /// The caller must run these.
    ClientCalls(Vec<ToolCall>),
    Failed(ProviderError),
}

impl<'a> Turning<'a> {
    pub fn new(engine: &'a Engine, order: Order) -> Turning<'a> {
        Turning {
            config: engine.shared.config.get(),
            registry: engine.registry.get(),
            engine,
            order,
            started_ms: clock::now_ms(),
            text: String::new(),
            usage: Usage::default(),
            last_call: Usage::default(),
            spent: Vec::new(),
            model: ModelRef::new("", ""),
            skills: OnceLock::new(),
        }
    }

    /// Makes the run; the outcome is committed when this returns.
    pub fn make(mut self) -> Outcome {
        if self.order.input.commands {
            let over = commands::starts_over(&self.config, &self.order.input.text).map(str::to_owned);
            let bare = self.order.input.parts.is_empty();
            let command = match &over {
                // Nothing to say, or nobody who may: the command answers.
                Some(rest) if rest.is_empty() && bare || !self.order.input.admin => commands::parse("/new"),
                Some(_) => None,
                None => commands::parse(&self.order.input.text),
            };
            if let Some(command) = command {
                return commands::run(self, command);
            }
            if let Some(rest) = over {
                // What was answered before starts nothing over again.
                let begun = if self.is_known() { Ok(rest) } else { commands::start_over(&self, &rest) };
                match begun {
                    Ok(rest) if rest.is_empty() && bare => return self.answered("A new session begins."),
                    Ok(rest) => self.order.input.text = rest.into(),
                    Err(why) => return self.answered(&why),
                }
            }
        }
        let opened = match self.begin("user") {
            Ok(opened) => opened,
            Err(error) => return self.unsaved(&error),
        };
        if let Some(known) = opened.as_ref().and_then(|o| o.known.as_ref()) {
            return self.repeated(&known.status);
        }
        self.report(RunEvent::Phase("preparing_context"));
        let row = opened.map(|opened| opened.row);
        let session_id = row.as_ref().map(|row| row.session_id.clone());
        let models = match self.models(row.as_ref()) {
            Ok(models) => models,
            Err(error) => return self.failed(error, session_id.as_deref()),
        };
        self.model = models[0].clone();
        if let Some(why) = self.equipment().refused.clone() {
            self.report(RunEvent::Started);
            self.say(&why);
            return self.end(Status::Ok, "stop", None, Vec::new(), messages::COMMAND);
        }
        let (mut turn, offered) = match self.turn(row.as_ref(), &models) {
            Ok(prepared) => prepared,
            Err(error) => return self.unsaved(&error),
        };
        self.report(RunEvent::Started);
        let mut ended = self.converse(&mut turn, &models, &offered, session_id.as_deref());
        if let Ended::Failed(error) = &ended
            && error.kind() == FailureKind::ContextOverflow
            && self.text.is_empty()
            && session_id.is_some()
            && self.compact(&models, "").is_ok()
        {
            match self.turn(row.as_ref(), &models) {
                Ok((mut shorter, offered)) => {
                    ended = self.converse(&mut shorter, &models, &offered, session_id.as_deref());
                }
                Err(error) => return self.unsaved(&error),
            }
        }
        self.conclude(ended)
    }

    /// Whether a run of this id was made before: it is not made again.
    fn is_known(&self) -> bool {
        let run_id = &self.order.run_id;
        let known = self.engine.store.read("look a run up", |conn| runs::get(conn, run_id));
        known.is_ok_and(|known| known.is_some())
    }

    /// A run that says one thing of the gateway's own.
    fn answered(mut self, text: &str) -> Outcome {
        if let Err(error) = self.begin(messages::COMMAND) {
            return self.unsaved(&error);
        }
        self.report(RunEvent::Started);
        self.say(text);
        self.end(Status::Ok, "stop", None, Vec::new(), messages::COMMAND)
    }

    /// Sums up this run's session.
    pub fn compact(&self, models: &[ModelRef], focus: &str) -> Result<(), NotCompacted> {
        self.engine.compact(&Task {
            session_key: &self.order.session_key,
            agent_id: &self.order.agent_id,
            models,
            focus,
            keep_lines: None,
            abort: &self.order.abort,
        })
    }

    pub fn report(&self, event: RunEvent) {
        self.engine.report(&self.order.run_id, event);
    }

    pub fn engine(&self) -> &'a Engine {
        self.engine
    }

    pub fn order(&self) -> &Order {
        &self.order
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The first write. A stateless request is not waited for: its last write comes behind it in the same queue.
    pub fn begin(&self, role: &'static str) -> Result<Option<super::records::Opened>, StoreError> {
        let input = &self.order.input;
        let now = self.started_ms;
        let said = &input.text;
        let mut lines = Vec::new();
        // What is no context of a later turn is kept to be looked at, not to be whole.
        let mut room = if input.stateless { STATELESS_BYTES } else { usize::MAX };
        let mut kept = |part: &Part| messages::within(part, &mut room);
        if input.tool_results.is_empty() {
            let key = format!("{}:user", self.order.run_id);
            let text = kept(&Part::Text(said.clone()));
            let parts: Vec<_> = input.parts.iter().map(&mut kept).collect();
            let message = messages::user(messages::text(&text), &parts, &key, now);
            lines.push(Line { role, key: Some(key), ts_ms: signed(now), message });
        }
        for result in &input.tool_results {
            if let Message::ToolResult { call_id, name, content, is_error } = result {
                let content: Vec<_> = content.iter().map(&mut kept).collect();
                let message = messages::tool_result(call_id, name, &content, *is_error, now);
                lines.push(Line { role: "toolResult", key: None, ts_ms: signed(now), message });
            }
        }
        let opening = Opening {
            run_id: self.order.run_id.clone(),
            session_key: self.order.session_key.clone(),
            agent_id: self.order.agent_id.clone(),
            created_via: input.created_via,
            lines,
            preview: preview(said),
            now_ms: signed(now),
            queued: self.order.queued,
            absorbed: self.order.absorbed.clone(),
            kept: input.reply.is_some(),
            from: input.reply.as_deref().filter(|_| crate::channels::find(input.created_via).is_some()).cloned(),
            label: input.label.clone(),
            ground: input.ground.clone(),
            expiry: Expiry::of(&self.config.session.reset, signed(now), &clock::local_zone()),
        };
        if input.stateless {
            self.engine.open_later(opening);
            return Ok(None);
        }
        self.engine.open(opening).map(Some)
    }

    /// Asks the model until it has no more tool calls.
    fn converse(
        &mut self,
        turn: &mut Turn,
        models: &[ModelRef],
        offered: &[&'static Tool],
        session_id: Option<&str>,
    ) -> Ended {
        self.report(RunEvent::Phase("starting_model"));
        for _ in 0..ROUNDS {
            let (said, mut calls, finish) = match self.ask(turn, models) {
                Ok(answer) => answer,
                Err(error) => return Ended::Failed(error),
            };
            if calls.is_empty() {
                return Ended::Answered { stop: finish.stop };
            }
            let input = &self.order.input;
            let client_s = |call: &ToolCall| input.client_tools.iter().any(|tool| tool.name == call.name);
            if calls.iter().any(client_s) {
                // The client runs its own tools; it was never told of the agent's.
                calls.retain(client_s);
                return Ended::ClientCalls(calls);
            }
            turn.messages.push(Message::Assistant { text: said.clone(), tool_calls: calls.clone() });
            let spoken = self.spoken_by(&finish, "toolUse");
            self.note(session_id, "assistant", messages::assistant(&said, &calls, &spoken, clock::now_ms()));
            for (at, call) in calls.into_iter().enumerate() {
                let skipped = at > 0 && steering::waits(self.engine, &self.order);
                let result = self.call_tool(&call, offered, skipped);
                if self.order.abort.fired() {
                    return Ended::Failed(ProviderError::Aborted);
                }
                if let Message::ToolResult { call_id, name, content, is_error } = &result {
                    self.note(
                        session_id,
                        "toolResult",
                        messages::tool_result(call_id, name, content, *is_error, clock::now_ms()),
                    );
                }
                turn.messages.push(result);
            }
            if let Some(session_id) = session_id {
                match steering::take(self.engine, &self.order, session_id) {
                    Ok(said) => turn.messages.extend(said),
                    Err(error) => log::error!("{error}"),
                }
            }
            // A tool that had to be called was called.
            turn.tool_choice = Default::default();
            if !self.text.is_empty() {
                self.push_text("\n\n");
            }
        }
        Ended::Failed(ProviderError::Garbled {
            what: format!("the model called tools {ROUNDS} times without answering"),
        })
    }

    /// One model call; text is reported as it comes.
    fn ask(&mut self, turn: &mut Turn, models: &[ModelRef]) -> Result<(String, Vec<ToolCall>, Finish), ProviderError> {
        let (engine, run_id, abort) = (self.engine, self.order.run_id.clone(), self.order.abort.clone());
        let report = |event| engine.report(&run_id, event);
        let order = &self.order;
        let from = self.text.len();
        let (text, mut calls, mut announced) = (&mut self.text, Vec::new(), false);
        let first = models[0].clone();
        let current = std::cell::RefCell::new(first);
        let mut each = |delta| {
            if !std::mem::replace(&mut announced, true) {
                let model = current.borrow();
                report(RunEvent::Model {
                    provider: model.provider.as_str().into(),
                    model: model.model.as_str().into(),
                });
            }
            match delta {
                Delta::Text(piece) => {
                    text.push_str(&piece);
                    if text.len() > TEXT_BYTES {
                        abort.fire();
                    }
                    say(engine, order, piece);
                }
                Delta::Thinking(piece) => report(RunEvent::Thinking(piece)),
                Delta::ToolCall(call) => calls.push(call),
                Delta::Retrying { attempt, max, delay_ms, reason } => {
                    report(RunEvent::Retrying(Box::new(Retrying { attempt, max, delay_ms, reason })));
                }
            }
            if abort.fired() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let answered = chain::call(&self.registry, models, turn, &self.order.abort, &mut each, &mut |step| {
            if let Some(to) = step.to {
                current.replace(to.clone());
                report(RunEvent::Fallback(Box::new(Fallback {
                    from: step.from.to_string(),
                    to: to.to_string(),
                    reason: step.reason.as_str().to_string(),
                })));
            }
            log::warn!("model {} failed ({}): {}", step.from, step.reason.as_str(), step.detail);
        });
        self.model = current.into_inner();
        let chain::Answered { model, finish } = answered?;
        self.account(&model, &finish.usage);
        self.model = model;
        report(RunEvent::Usage { output: finish.usage.output });
        Ok((self.text[from..].to_string(), calls, finish))
    }

    fn account(&mut self, model: &ModelRef, usage: &Usage) {
        let price = self.registry.info(model).map(|info| info.cost);
        let spent = spent_on(usage, price.as_ref());
        self.spent.push((model.clone(), spent));
        self.usage.input += usage.input;
        self.usage.output += usage.output;
        self.usage.cache_read += usage.cache_read;
        self.usage.cache_write += usage.cache_write;
        self.usage.total_tokens += usage.total_tokens;
        self.last_call = *usage;
    }

    fn push_text(&mut self, text: &str) {
        self.text.push_str(text);
        say(self.engine, &self.order, text.to_string());
    }

    /// Writes a message in the middle of the run.
    fn note(&self, session_id: Option<&str>, role: &'static str, message: String) {
        let line = Line { role, key: None, ts_ms: signed(clock::now_ms()), message };
        match session_id {
            Some(session_id) => self.engine.note(session_id, &self.order.run_id, vec![line]),
            None => self.engine.note_by_key(&self.order.session_key, &self.order.run_id, vec![line]),
        }
    }

    fn spoken_by(&self, finish: &Finish, stop_reason: &'a str) -> Spoken<'_> {
        Spoken {
            api: self.registry.settings(&self.model.provider).map_or("", |s| s.api.as_str()),
            provider: &self.model.provider,
            model: &self.model.model,
            usage: finish.usage,
            cost: self.spent.last().map_or(0.0, |(_, spent)| spent.total_cost()),
            stop_reason,
            error: None,
        }
    }

    /// Writes the end and says how it was.
    fn conclude(self, ended: Ended) -> Outcome {
        let (status, stop_reason, failure, calls) = match ended {
            Ended::Answered { stop } => (Status::Ok, stop_word(stop), None, Vec::new()),
            Ended::ClientCalls(calls) => (Status::Ok, "tool_calls", None, calls),
            Ended::Failed(_) if self.order.link.timed_out() => (Status::TimedOut, "timeout", None, Vec::new()),
            Ended::Failed(_) if self.order.abort.fired() => (Status::Aborted, "aborted", None, Vec::new()),
            Ended::Failed(error) => (Status::Error, "error", Some(failure::explain(&self.model, &error)), Vec::new()),
        };
        self.end(status, stop_reason, failure, calls, "assistant")
    }

    /// The last write of a run and its outcome. `role` is that of the answer in the transcript.
    pub fn end(
        mut self,
        status: Status,
        stop_reason: &'static str,
        failure: Option<Failure>,
        calls: Vec<ToolCall>,
        role: &'static str,
    ) -> Outcome {
        let now = clock::now_ms();
        let text = std::mem::take(&mut self.text);
        let finish = Finish { usage: self.last_call, ..Finish::default() };
        let mut spoken = self.spoken_by(&finish, stop_reason);
        spoken.error = failure.as_ref().map(|f| f.message.as_str());
        let last = text.rsplit("\n\n").next().map_or("", |_| text.as_str());
        let mut lines = Vec::new();
        if status == Status::Ok || !text.is_empty() || failure.is_some() {
            let message = messages::assistant(last, &calls, &spoken, now);
            lines.push(Line { role, key: None, ts_ms: signed(now), message });
        }
        let mut outcome = Outcome {
            status,
            stop_reason,
            failure,
            usage: RunUsage {
                input: self.usage.input,
                output: self.usage.output,
                cache_read: self.usage.cache_read,
                cache_write: self.usage.cache_write,
                total_tokens: self.usage.total_tokens,
            },
            provider: self.model.provider.clone(),
            model: self.model.model.clone(),
            session_id: String::new(),
            started_ms: self.started_ms,
            ended_ms: now,
            tool_calls: calls,
            text,
            ..Outcome::default()
        };
        if self.order.input.reply.is_some() && self.order.link.interrupted() {
            // The message stays in the inbox: the next start answers it.
            return outcome;
        }
        let (taken, replies) = replies::of(&self.order, &self.config, &outcome);
        outcome.parts = replies.len();
        let closing = Closing {
            taken,
            replies,
            run_id: self.order.run_id.clone(),
            session_key: self.order.session_key.clone(),
            agent_id: self.order.agent_id.clone(),
            lines,
            preview: outcome.text.clone(),
            now_ms: signed(now),
            context_tokens: self.context_tokens(&self.model),
            per_session: !self.order.input.stateless,
            spent: std::mem::take(&mut self.spent),
            last_call: self.last_call,
        };
        match self.engine.close(closing, &outcome) {
            Ok(row) => {
                outcome.session_id.clone_from(&row.session_id);
                outcome.row = Some(Box::new(row));
                outcome
            }
            Err(error) => {
                // What is not on disk was not answered.
                Outcome { text: outcome.text, ..self.unsaved(&error) }
            }
        }
    }

    /// Text that is no model's.
    pub fn say(&mut self, text: &str) {
        self.push_text(text);
    }

    fn unsaved(&self, error: &StoreError) -> Outcome {
        let (reason, declined) = match error {
            StoreError::Declined(why) => ("declined", Some(why.clone())),
            _ => ("storage", None),
        };
        if declined.is_none() {
            log::error!("{error}");
        }
        Outcome { started_ms: self.started_ms, declined, ..Outcome::failed(error.to_string(), reason, 503) }
    }

    fn failed(self, error: ProviderError, _session_id: Option<&str>) -> Outcome {
        self.conclude(Ended::Failed(error))
    }

    /// The same id was run in an earlier life of the gateway: nothing is made twice.
    fn repeated(&self, status: &str) -> Outcome {
        Outcome {
            status: if status == "done" { Status::Ok } else { Status::Error },
            stop_reason: "stop",
            started_ms: self.started_ms,
            ended_ms: clock::now_ms(),
            ..Outcome::default()
        }
    }
}

/// Text goes to the HTTP handler that follows the run, and to readers through the state thread. A handler that is slow
/// slows its run; one that left stops it.
fn say(engine: &Engine, order: &Order, text: String) {
    if order.link.push(&text) {
        engine.report(&order.run_id, RunEvent::Text);
    }
    if let Some(sink) = &order.sink
        && sink.send(Emission::Text(text)).is_err()
    {
        order.abort.fire();
    }
}

fn stop_word(stop: StopReason) -> &'static str {
    match stop {
        StopReason::Stop | StopReason::ToolUse => "stop",
        StopReason::Length => "length",
        StopReason::ContentFilter => "content_filter",
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
