//! `POST /v1/responses`: one agent run in the words of the Responses API, plain or as an event stream.

use std::io;

use super::asking::Must;
use super::following::{Begin, Following, arguments, check};
use super::{HttpError, Visit, json_of, responses_request};
use crate::hub::run::Outcome;
use crate::net::{Exchange, Reply, Sse};
use crate::sys::{clock, random};
use crate::wire::responses::*;

pub fn create(visit: &Visit<'_>, exchange: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    let asked = responses_request::read(visit, exchange)?;
    let begin = Begin {
        run_id: format!("resp_{}", random::uuid()),
        session_key: asked.session_key,
        agent_id: asked.agent_id,
        input: asked.input,
        timeout: asked.timeout,
    };
    let run = Following::begin(&visit.site.desk.hub, begin)?;
    let answer = Answer {
        run,
        model: asked.model,
        created_at: clock::now_ms() / 1000,
        must: asked.must,
        message_id: format!("msg_{}", random::uuid()),
    };
    match asked.stream {
        true => Ok(Reply::events(move |sse| Telling { answer: &answer, sse, next: 0, open: false }.all())),
        false => answer.whole(exchange),
    }
}

/// What is needed to word the answer.
struct Answer {
    run: Following,
    model: String,
    created_at: u64,
    must: Must,
    message_id: String,
}

impl Answer {
    fn whole(&self, exchange: &mut Exchange<'_>) -> Result<Reply, HttpError> {
        let outcome = self.run.whole(exchange)?;
        if let Err(error) = check(&outcome, &self.must) {
            return json_of(error.status(), &self.failed(&error, &outcome));
        }
        let ids = call_ids(&outcome);
        json_of(200, &self.done(&outcome, &ids))
    }

    fn resource(&self, status: &'static str) -> ResponseResource<'_> {
        ResponseResource {
            id: &self.run.run_id,
            object: "response",
            created_at: self.created_at,
            status,
            model: &self.model,
            output: Vec::new(),
            usage: ResponsesUsage::default(),
            error: None,
            incomplete_details: None,
        }
    }

    fn failed<'a>(&'a self, error: &'a HttpError, outcome: &Outcome) -> ResponseResource<'a> {
        let (code, message) = error.parts();
        let error = Some(ResponseFailure { code, message });
        ResponseResource { error, usage: usage(outcome), ..self.resource("failed") }
    }

    fn done<'a>(&'a self, outcome: &'a Outcome, ids: &'a [String]) -> ResponseResource<'a> {
        let cut_short = outcome.stop_reason == "length";
        let mut output = Vec::new();
        if !outcome.text.is_empty() || outcome.tool_calls.is_empty() {
            output.push(self.message(outcome));
        }
        output.extend(calls(outcome, ids));
        ResponseResource {
            output,
            usage: usage(outcome),
            incomplete_details: cut_short.then_some(IncompleteDetails { reason: "max_output_tokens" }),
            ..self.resource(if cut_short { "incomplete" } else { "completed" })
        }
    }

    fn message<'a>(&'a self, outcome: &'a Outcome) -> OutputItem<'a> {
        let cut_short = outcome.stop_reason == "length";
        OutputItem::Message {
            id: &self.message_id,
            role: "assistant",
            content: vec![OutputPart::text(&outcome.text)],
            phase: Some(if outcome.tool_calls.is_empty() { "final_answer" } else { "commentary" }),
            status: if cut_short { "incomplete" } else { "completed" },
        }
    }
}

/// An event stream being told.
struct Telling<'a, 's, 'c> {
    answer: &'a Answer,
    sse: &'s mut Sse<'c>,
    /// The number of the next event.
    next: u64,
    /// The message item was begun.
    open: bool,
}

impl Telling<'_, '_, '_> {
    fn all(mut self) -> io::Result<()> {
        let answer = self.answer;
        for kind in ["response.created", "response.in_progress"] {
            self.event(kind, EventBody::Response { response: answer.resource("in_progress") })?;
        }
        // Prose beside a call that must come is held until the call is certain.
        let hold = answer.must != Must::Nothing;
        let (next, open) = (&mut self.next, &mut self.open);
        let ended = answer.run.stream(self.sse, |sse, text| {
            let mut telling = Telling { answer, sse, next: *next, open: *open };
            let told = if hold { Ok(()) } else { telling.text(&text) };
            (*next, *open) = (telling.next, telling.open);
            told
        })?;
        let outcome = match ended {
            None => return Ok(()),
            Some(Err(error)) => return self.fail(&error, &Outcome::default()),
            Some(Ok(outcome)) => outcome,
        };
        if let Err(error) = check(&outcome, &answer.must) {
            return self.fail(&error, &outcome);
        }
        if !self.open && (!outcome.text.is_empty() || outcome.tool_calls.is_empty()) {
            self.text(&outcome.text)?;
        }
        let mut index = 0;
        if self.open {
            self.close(&outcome)?;
            index = 1;
        }
        let ids = call_ids(&outcome);
        for item in calls(&outcome, &ids) {
            self.call(index, item)?;
            index += 1;
        }
        let response = answer.done(&outcome, &ids);
        let kind = if response.status == "incomplete" { "response.incomplete" } else { "response.completed" };
        self.event(kind, EventBody::Response { response })?;
        self.sse.event("[DONE]")
    }

    /// A piece of the message, which it begins when it is the first.
    fn text(&mut self, delta: &str) -> io::Result<()> {
        let (item_id, output_index, content_index) = (self.answer.message_id.as_str(), 0, 0);
        if !std::mem::replace(&mut self.open, true) {
            let item = OutputItem::Message {
                id: item_id,
                role: "assistant",
                content: Vec::new(),
                phase: None,
                status: "in_progress",
            };
            self.event("response.output_item.added", EventBody::Item { output_index, item })?;
            let part = OutputPart::text("");
            self.event("response.content_part.added", EventBody::Part { item_id, output_index, content_index, part })?;
        }
        if delta.is_empty() {
            return Ok(());
        }
        self.event("response.output_text.delta", EventBody::TextDelta { item_id, output_index, content_index, delta })
    }

    fn close(&mut self, outcome: &Outcome) -> io::Result<()> {
        let answer = self.answer;
        let (item_id, output_index, content_index) = (answer.message_id.as_str(), 0, 0);
        let text = outcome.text.as_str();
        self.event("response.output_text.done", EventBody::TextDone { item_id, output_index, content_index, text })?;
        let part = OutputPart::text(text);
        self.event("response.content_part.done", EventBody::Part { item_id, output_index, content_index, part })?;
        let item = answer.message(outcome);
        self.event("response.output_item.done", EventBody::Item { output_index, item })
    }

    fn call(&mut self, output_index: usize, item: OutputItem<'_>) -> io::Result<()> {
        let OutputItem::FunctionCall { id, call_id, name, arguments, .. } = item else { return Ok(()) };
        let begun = OutputItem::FunctionCall { id, call_id, name, arguments: "", status: "in_progress" };
        self.event("response.output_item.added", EventBody::Item { output_index, item: begun })?;
        self.event(
            "response.function_call_arguments.delta",
            EventBody::ArgumentsDelta { item_id: id, output_index, delta: arguments },
        )?;
        self.event(
            "response.function_call_arguments.done",
            EventBody::ArgumentsDone { item_id: id, output_index, name, arguments },
        )?;
        self.event("response.output_item.done", EventBody::Item { output_index, item })
    }

    fn fail(&mut self, error: &HttpError, outcome: &Outcome) -> io::Result<()> {
        let response = self.answer.failed(error, outcome);
        self.event("response.failed", EventBody::Response { response })?;
        self.sse.event("[DONE]")
    }

    fn event(&mut self, kind: &'static str, body: EventBody<'_>) -> io::Result<()> {
        let event = StreamEvent { kind, sequence_number: self.next, body };
        self.next += 1;
        self.sse.queue_named(kind, &serde_json::to_string(&event).expect("events are plain structs"))
    }
}

/// Ids of the items that are calls; the calls' own ids are the model's.
fn call_ids(outcome: &Outcome) -> Vec<String> {
    outcome.tool_calls.iter().map(|_| format!("call_{}", random::uuid())).collect()
}

fn calls<'a>(outcome: &'a Outcome, ids: &'a [String]) -> impl Iterator<Item = OutputItem<'a>> {
    outcome.tool_calls.iter().zip(ids).map(|(call, id)| OutputItem::FunctionCall {
        id,
        call_id: &call.id,
        name: &call.name,
        arguments: arguments(call),
        status: "completed",
    })
}

fn usage(outcome: &Outcome) -> ResponsesUsage {
    let spent = &outcome.usage;
    let input_tokens = spent.input + spent.cache_read + spent.cache_write;
    ResponsesUsage {
        input_tokens,
        input_tokens_details: InputDetails { cached_tokens: spent.cache_read, cache_write_tokens: spent.cache_write },
        output_tokens: spent.output,
        output_tokens_details: OutputDetails::default(),
        total_tokens: input_tokens + spent.output,
    }
}
