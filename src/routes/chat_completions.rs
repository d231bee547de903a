//! `POST /v1/chat/completions`: one agent run, plain or as an event stream.

use std::io;

use super::asking::Must;
use super::following::{Begin, Following, arguments, check};
use super::{HttpError, Visit, chat_request, json_of};
use crate::hub::run::Outcome;
use crate::net::{Exchange, Reply, Sse};
use crate::providers::ToolCall;
use crate::sys::{clock, random};
use crate::wire::openai::*;

pub fn create(visit: &Visit<'_>, exchange: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    let (asked, include_usage) = chat_request::read(visit, exchange)?;
    let begin = Begin {
        run_id: format!("chatcmpl_{}", random::uuid()),
        session_key: asked.session_key,
        agent_id: asked.agent_id,
        input: asked.input,
        timeout: asked.timeout,
    };
    let run = Following::begin(&visit.site.desk.hub, begin)?;
    let answer = Answer { run, model: asked.model, created: clock::now_ms() / 1000, include_usage, must: asked.must };
    match asked.stream {
        true => Ok(Reply::events(move |sse| answer.stream(sse))),
        false => answer.whole(exchange),
    }
}

/// What is needed to word the answer.
struct Answer {
    run: Following,
    model: String,
    created: u64,
    include_usage: bool,
    must: Must,
}

impl Answer {
    fn whole(&self, exchange: &mut Exchange<'_>) -> Result<Reply, HttpError> {
        let outcome = self.run.whole(exchange)?;
        check(&outcome, &self.must)?;
        let calls: Vec<_> = outcome.tool_calls.iter().map(|call| tool_call(call, None)).collect();
        json_of(
            200,
            &ChatCompletion {
                id: &self.run.run_id,
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

    fn stream(&self, sse: &mut Sse<'_>) -> io::Result<()> {
        let role = ChunkDelta { role: Some("assistant"), ..ChunkDelta::default() };
        sse.queue(&self.chunk(role, None))?;
        // Prose beside a call that must come is held until the call is certain.
        let hold = self.must != Must::Nothing;
        let ended = self.run.stream(sse, |sse, text| match hold {
            true => Ok(()),
            false => sse.queue(&self.chunk(content(&text), None)),
        })?;
        let outcome = match ended {
            None => return Ok(()),
            Some(Err(error)) => return fail(sse, &error),
            Some(Ok(outcome)) => outcome,
        };
        if let Err(error) = check(&outcome, &self.must) {
            return fail(sse, &error);
        }
        if hold && !outcome.text.is_empty() {
            sse.queue(&self.chunk(content(&outcome.text), None))?;
        }
        for (call, index) in outcome.tool_calls.iter().zip(0..) {
            let calls = Some(vec![tool_call(call, Some(index))]);
            sse.queue(&self.chunk(ChunkDelta { tool_calls: calls, ..ChunkDelta::default() }, None))?;
        }
        sse.queue(&self.chunk(ChunkDelta::default(), Some(finish_reason(&outcome))))?;
        if self.include_usage {
            sse.queue(&self.chunk_of(Vec::new(), Some(usage(&outcome))))?;
        }
        sse.event("[DONE]")
    }

    fn chunk(&self, delta: ChunkDelta<'_>, finish_reason: Option<&str>) -> String {
        self.chunk_of(vec![ChunkChoice { index: 0, delta, finish_reason }], None)
    }

    fn chunk_of(&self, choices: Vec<ChunkChoice<'_>>, usage: Option<CompletionUsage>) -> String {
        serde_json::to_string(&ChatChunk {
            id: &self.run.run_id,
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
fn fail(sse: &mut Sse<'_>, error: &HttpError) -> io::Result<()> {
    sse.queue(&error.body())?;
    sse.event("[DONE]")
}

fn content(text: &str) -> ChunkDelta<'_> {
    ChunkDelta { content: Some(text), ..ChunkDelta::default() }
}

fn finish_reason(outcome: &Outcome) -> &'static str {
    if outcome.tool_calls.is_empty() { outcome.stop_reason } else { "tool_calls" }
}

/// Prompt tokens include those read from and written to a cache, as OpenAI counts them.
fn usage(outcome: &Outcome) -> CompletionUsage {
    let spent = &outcome.usage;
    let prompt = spent.input + spent.cache_read + spent.cache_write;
    CompletionUsage { prompt_tokens: prompt, completion_tokens: spent.output, total_tokens: prompt + spent.output }
}

fn tool_call(call: &ToolCall, index: Option<u32>) -> ResponseToolCall<'_> {
    let function = ResponseFunctionCall { name: &call.name, arguments: arguments(call) };
    ResponseToolCall { index, id: &call.id, kind: "function", function }
}
