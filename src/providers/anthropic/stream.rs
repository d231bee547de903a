//! The answer of Anthropic Messages, event by event.
//!
//! Knows no socket. The `type` inside the data rules; the event's own name says the same and is ignored.

use std::ops::ControlFlow;

use super::super::http::{ErrorObject, Flow, Upstream};
use super::super::{Delta, Finish, ProviderError, StopReason, ToolCall, Usage};
use crate::wire::misfit;
use crate::wire::object::objects;

/// One answer being put together.
pub struct Assembly<'a> {
    upstream: &'a Upstream,
    each: &'a mut dyn FnMut(Delta) -> ControlFlow<()>,
    /// Tool calls whose block is open, by block index.
    open: Vec<(usize, ToolCall)>,
    call_bytes: usize,
    stop: Option<StopReason>,
    usage: Usage,
    model: Option<String>,
    ended: bool,
}

impl<'a> Assembly<'a> {
    pub fn new(upstream: &'a Upstream, each: &'a mut dyn FnMut(Delta) -> ControlFlow<()>) -> Assembly<'a> {
        Assembly {
            upstream,
            each,
            open: Vec::new(),
            call_bytes: 0,
            stop: None,
            usage: Usage::default(),
            model: None,
            ended: false,
        }
    }

    /// Takes the data of one event.
    pub fn event(&mut self, data: &str) -> Result<Flow, ProviderError> {
        let event: Event = misfit::read(data)
            .map_err(|error| ProviderError::Garbled { what: format!("an event of the stream: {error}") })?;
        match event.kind.as_str() {
            "message_start" => self.begin(event.message),
            "content_block_start" => self.open(event.index, event.content_block)?,
            "content_block_delta" => self.delta(event.index, event.delta)?,
            "content_block_stop" => self.close(event.index)?,
            "message_delta" => {
                self.count(event.usage);
                if let Some(reason) = event.delta.and_then(|delta| delta.stop_reason) {
                    self.stop = Some(stop_reason(&reason));
                }
            }
            "message_stop" => {
                self.ended = true;
                return Ok(Flow::Last);
            }
            "error" => return Err(self.error(event.error)),
            // `ping`, and whatever the API will add: unknown events are to be ignored.
            _ => {}
        }
        Ok(Flow::On)
    }

    /// Says how it ended.
    pub fn finish(mut self) -> Result<Finish, ProviderError> {
        if !self.ended && self.stop.is_none() {
            return Err(ProviderError::Garbled { what: "the stream ended in the middle of the answer".into() });
        }
        while let Some((index, _)) = self.open.first() {
            let index = *index;
            self.close(Some(index))?;
        }
        let mut usage = self.usage;
        usage.total_tokens = usage.input + usage.output + usage.cache_read + usage.cache_write;
        Ok(Finish { stop: self.stop.unwrap_or_default(), usage, response_model: self.model })
    }

    fn begin(&mut self, message: Option<MessageStart>) {
        let Some(message) = message else {
            return;
        };
        self.model = message.model;
        self.count(message.usage);
    }

    /// Counts are totals so far, so the latest one wins.
    fn count(&mut self, usage: Option<WireUsage>) {
        let Some(usage) = usage else {
            return;
        };
        self.usage.input = usage.input_tokens.unwrap_or(self.usage.input);
        self.usage.output = usage.output_tokens.unwrap_or(self.usage.output);
        self.usage.cache_read = usage.cache_read_input_tokens.unwrap_or(self.usage.cache_read);
        self.usage.cache_write = usage.cache_creation_input_tokens.unwrap_or(self.usage.cache_write);
    }

    fn open(&mut self, index: Option<usize>, block: Option<BlockStart>) -> Result<(), ProviderError> {
        let Some(block) = block else {
            return Ok(());
        };
        if block.kind == "tool_use" {
            if self.open.len() >= CALLS_CAP {
                return Err(ProviderError::Garbled { what: format!("more than {CALLS_CAP} open tool calls") });
            }
            let (id, name) = (block.id.unwrap_or_default(), block.name.unwrap_or_default());
            self.open.push((index.unwrap_or(0), ToolCall { id, name, arguments: String::new() }));
            return Ok(());
        }
        match block.text.filter(|text| !text.is_empty()) {
            Some(text) => self.deliver(Delta::Text(text)),
            None => Ok(()),
        }
    }

    fn delta(&mut self, index: Option<usize>, delta: Option<BlockDelta>) -> Result<(), ProviderError> {
        let Some(delta) = delta else {
            return Ok(());
        };
        if let Some(text) = delta.text.filter(|text| !text.is_empty()) {
            return self.deliver(Delta::Text(text));
        }
        if let Some(text) = delta.thinking.filter(|text| !text.is_empty()) {
            return self.deliver(Delta::Thinking(text));
        }
        let Some(piece) = delta.partial_json else {
            return Ok(());
        };
        self.call_bytes += piece.len();
        if self.call_bytes > CALL_BYTES_CAP {
            let what = format!("tool call arguments of more than {CALL_BYTES_CAP} bytes");
            return Err(ProviderError::Garbled { what });
        }
        if let Some((_, call)) = self.open.iter_mut().find(|(open, _)| Some(*open) == index) {
            call.arguments.push_str(&piece);
        }
        Ok(())
    }

    fn close(&mut self, index: Option<usize>) -> Result<(), ProviderError> {
        let Some(at) = self.open.iter().position(|(open, _)| Some(*open) == index) else {
            return Ok(());
        };
        let (_, mut call) = self.open.remove(at);
        if call.arguments.trim().is_empty() {
            call.arguments = "{}".into();
        }
        self.deliver(Delta::ToolCall(call))
    }

    fn error(&self, error: Option<ErrorObject>) -> ProviderError {
        let Some(error) = error else {
            return ProviderError::Garbled { what: "an error event that says nothing".into() };
        };
        let message = self.upstream.clean(&error.text());
        ProviderError::Upstream { status: error.status(), message, retry_after_ms: None }
    }

    fn deliver(&mut self, delta: Delta) -> Result<(), ProviderError> {
        match (self.each)(delta) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(ProviderError::Aborted),
        }
    }
}

fn stop_reason(reason: &str) -> StopReason {
    match reason {
        "max_tokens" | "model_context_window_exceeded" => StopReason::Length,
        "tool_use" => StopReason::ToolUse,
        "refusal" => StopReason::ContentFilter,
        _ => StopReason::Stop,
    }
}

objects! { plain:
    /// All events in one shape: one pass over the text, no tree.
    struct Event {
        kind: String as "type",
        message: Option<MessageStart>,
        index: Option<usize>,
        content_block: Option<BlockStart>,
        delta: Option<BlockDelta>,
        usage: Option<WireUsage>,
        error: Option<ErrorObject>,
    }
}

objects! { lenient:
    struct MessageStart {
        model: Option<String>,
        usage: Option<WireUsage>,
    }

    struct BlockStart {
        kind: String as "type",
        id: Option<String>,
        name: Option<String>,
        text: Option<String>,
    }
}

objects! { plain:
    struct BlockDelta {
        text: Option<String>,
        thinking: Option<String>,
        partial_json: Option<String>,
        stop_reason: Option<String>,
    }

    struct WireUsage {
        input_tokens: Option<u64>,
        output_tokens: Option<u64>,
        cache_read_input_tokens: Option<u64>,
        cache_creation_input_tokens: Option<u64>,
    }
}

/// More tool calls in one answer than any model means.
const CALLS_CAP: usize = 128;

/// Arguments of all calls of one answer: a large file to write, with room.
const CALL_BYTES_CAP: usize = 4 << 20;
