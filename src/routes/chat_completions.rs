//! `POST /v1/chat/completions`: one agent run, plain or as an event stream.
//!
//! The handler follows its run through a channel; a client that leaves stops the run, and with it the call upstream.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, bounded};

use super::chat_request::{self, Asked};
use super::{HttpError, Visit, json_of};
use crate::hub::Hub;
use crate::hub::run::{Emission, NewRun, Outcome, RunId, Starter, Status};
use crate::net::{Exchange, Reply, Sse, Waited};
use crate::providers::ToolCall;
use crate::sys::{clock, random};
use crate::wire::openai::*;

/// Pieces of text that may wait for a client; then its run waits.
const PIECES: usize = 64;

pub fn create(visit: &Visit<'_>, exchange: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    let body = visit.body(exchange)?;
    let asked = chat_request::read(visit, exchange, &body)?;
    drop(body);
    let hub = visit.site.desk.hub.clone();
    let (answer, events) = begin(&hub, asked)?;
    match answer.stream {
        true => Ok(Reply::events(move |sse| answer.stream(sse, &hub, &events))),
        false => answer.whole(exchange, &hub, &events),
    }
}

/// What is needed to word the answer.
struct Answer {
    run_id: RunId,
    model: String,
    created: u64,
    stream: bool,
    include_usage: bool,
    must_call: bool,
}

fn begin(hub: &Hub, asked: Asked) -> Result<(Answer, Receiver<Emission>), HttpError> {
    let run_id: RunId = format!("chatcmpl_{}", random::uuid()).into();
    let (sink, events) = bounded(PIECES);
    let run = NewRun {
        run_id: run_id.clone(),
        session_key: asked.session_key.into(),
        agent_id: asked.agent_id.into(),
        input: asked.input,
        starter: Starter::Http(sink),
        conn: 0,
        timeout: Some(asked.timeout),
        received: Instant::now(),
    };
    hub.tell("chat completion", move |state, now| state.begin_run(run, now))
        .map_err(|gone| HttpError::unavailable(gone.to_string()))?;
    let answer = Answer {
        run_id,
        model: asked.model,
        created: clock::now_ms() / 1000,
        stream: asked.stream,
        include_usage: asked.include_usage,
        must_call: asked.must_call,
    };
    Ok((answer, events))
}

impl Answer {
    fn whole(&self, exchange: &mut Exchange<'_>, hub: &Hub, events: &Receiver<Emission>) -> Result<Reply, HttpError> {
        let outcome = loop {
            match exchange.wait(events, None) {
                Waited::Got(Emission::Text(_)) => {}
                Waited::Got(Emission::Done(outcome)) => break outcome,
                Waited::Got(Emission::Refused(error)) => return Err(HttpError::unavailable(error.message)),
                Waited::PeerGone => {
                    self.leave(hub);
                    return Err(HttpError::unavailable("the client left"));
                }
                Waited::Ended | Waited::TimedOut => return Err(HttpError::unavailable("the gateway is stopping")),
            }
        };
        self.check(&outcome)?;
        let calls = tool_calls(&outcome.tool_calls, false);
        json_of(
            200,
            &ChatCompletion {
                id: &self.run_id,
                object: "chat.completion",
                created: self.created,
                model: &self.model,
                choices: [Choice {
                    index: 0,
                    message: ResponseMessage {
                        role: "assistant",
                        content: &outcome.text,
                        tool_calls: (!calls.is_empty()).then_some(calls),
                    },
                    finish_reason: finish_reason(&outcome),
                }],
                usage: usage(&outcome),
            },
        )
    }

    fn stream(&self, sse: &mut Sse<'_>, hub: &Hub, events: &Receiver<Emission>) -> std::io::Result<()> {
        let told = self.follow(sse, hub, events);
        if told.is_err() {
            self.leave(hub);
        }
        told
    }

    fn follow(&self, sse: &mut Sse<'_>, hub: &Hub, events: &Receiver<Emission>) -> std::io::Result<()> {
        let role = ChunkDelta { role: Some("assistant"), ..ChunkDelta::default() };
        sse.queue(&self.chunk(role, None))?;
        let outcome = loop {
            match sse.next(events)? {
                Waited::Got(Emission::Text(text)) => {
                    sse.queue(&self.chunk(ChunkDelta { content: Some(&text), ..ChunkDelta::default() }, None))?;
                }
                Waited::Got(Emission::Done(outcome)) => break outcome,
                Waited::Got(Emission::Refused(error)) => return fail(sse, &HttpError::unavailable(error.message)),
                Waited::PeerGone => {
                    self.leave(hub);
                    return Ok(());
                }
                Waited::Ended | Waited::TimedOut => {
                    return fail(sse, &HttpError::unavailable("the gateway is stopping"));
                }
            }
        };
        if let Err(error) = self.check(&outcome) {
            return fail(sse, &error);
        }
        if !outcome.tool_calls.is_empty() {
            let calls = tool_calls(&outcome.tool_calls, true);
            sse.queue(&self.chunk(ChunkDelta { tool_calls: Some(calls), ..ChunkDelta::default() }, None))?;
        }
        sse.queue(&self.chunk(ChunkDelta::default(), Some(finish_reason(&outcome))))?;
        if self.include_usage {
            sse.queue(&self.chunk_of(Vec::new(), Some(usage(&outcome))))?;
        }
        sse.event("[DONE]")
    }

    fn check(&self, outcome: &Outcome) -> Result<(), HttpError> {
        if let Some(failure) = &outcome.failure {
            return Err(HttpError::run(failure.http_status, &failure.message));
        }
        match outcome.status {
            Status::TimedOut => {
                Err(HttpError::run(504, "the run took longer than agents.defaults.timeoutSeconds allows"))
            }
            Status::Aborted => Err(HttpError::run(503, "the run was stopped")),
            _ if self.must_call && outcome.tool_calls.is_empty() => {
                Err(HttpError::run(502, "tool_choice=required was not satisfied by the model"))
            }
            _ => Ok(()),
        }
    }

    /// Nobody waits for this run any more.
    fn leave(&self, hub: &Hub) {
        let run_id = self.run_id.clone();
        // The state thread is gone only when the gateway stops, and then the run ends too.
        let _ = hub.tell("http client left", move |state, now| state.abort_run(&run_id, now));
    }

    fn chunk(&self, delta: ChunkDelta<'_>, finish_reason: Option<&str>) -> String {
        self.chunk_of(vec![ChunkChoice { index: 0, delta, finish_reason }], None)
    }

    fn chunk_of(&self, choices: Vec<ChunkChoice<'_>>, usage: Option<CompletionUsage>) -> String {
        serde_json::to_string(&ChatChunk {
            id: &self.run_id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            choices,
            usage,
        })
        .expect("chunks are plain structs")
    }
}

/// The head was sent: an error travels as an event, and then the stream ends as every stream does.
fn fail(sse: &mut Sse<'_>, error: &HttpError) -> std::io::Result<()> {
    sse.queue(&error.body())?;
    sse.event("[DONE]")
}

fn finish_reason(outcome: &Arc<Outcome>) -> &'static str {
    if outcome.tool_calls.is_empty() { outcome.stop_reason } else { "tool_calls" }
}

/// Prompt tokens include those read from and written to a cache, as OpenAI counts them.
fn usage(outcome: &Outcome) -> CompletionUsage {
    let spent = &outcome.usage;
    let prompt = spent.input + spent.cache_read + spent.cache_write;
    CompletionUsage { prompt_tokens: prompt, completion_tokens: spent.output, total_tokens: prompt + spent.output }
}

fn tool_calls(calls: &[ToolCall], indexed: bool) -> Vec<ResponseToolCall<'_>> {
    let calls = calls.iter().zip(0..);
    calls
        .map(|(call, index)| ResponseToolCall {
            index: indexed.then_some(index),
            id: &call.id,
            kind: "function",
            function: ResponseFunctionCall {
                name: &call.name,
                arguments: if call.arguments.trim().is_empty() { "{}" } else { &call.arguments },
            },
        })
        .collect()
}
