//! The answer of chat completions, chunk by chunk.
//!
//! Knows no socket: data of events goes in, deltas come out. Tool calls arrive in fragments and are kept until the
//! answer ends; everything else is passed on at once and not kept.

use std::fmt;
use std::ops::ControlFlow;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::http::{ErrorObject, Flow, Upstream};
use super::super::{Delta, Finish, ProviderError, StopReason, ToolCall, Usage};
use super::WireUsage;
use crate::wire::misfit;
use crate::wire::object::objects;

/// One answer being put together.
pub struct Assembly<'a> {
    upstream: &'a Upstream,
    each: &'a mut dyn FnMut(Delta) -> ControlFlow<()>,
    calls: Vec<Partial>,
    call_bytes: usize,
    stop: Option<StopReason>,
    usage: Usage,
    model: Option<String>,
    done: bool,
}

/// A tool call whose fragments are still coming.
struct Partial {
    index: Option<usize>,
    call: ToolCall,
}

impl<'a> Assembly<'a> {
    pub fn new(upstream: &'a Upstream, each: &'a mut dyn FnMut(Delta) -> ControlFlow<()>) -> Assembly<'a> {
        Assembly {
            upstream,
            each,
            calls: Vec::new(),
            call_bytes: 0,
            stop: None,
            usage: Usage::default(),
            model: None,
            done: false,
        }
    }

    /// Takes the data of one event.
    pub fn event(&mut self, data: &str) -> Result<Flow, ProviderError> {
        let data = data.trim();
        if data == "[DONE]" {
            self.done = true;
            return Ok(Flow::Last);
        }
        if data.is_empty() {
            return Ok(Flow::On);
        }
        let chunk: Chunk = misfit::read(data)
            .map_err(|error| ProviderError::Garbled { what: format!("a chunk of the stream: {error}") })?;
        self.chunk(chunk)?;
        Ok(Flow::On)
    }

    /// Takes an answer that came as one JSON document.
    pub fn plain(&mut self, body: &[u8]) -> Result<(), ProviderError> {
        let chunk: Chunk = misfit::read_bytes(body).map_err(|misfit| ProviderError::Garbled {
            what: format!("the answer is not a completion: {}", misfit.sentence()),
        })?;
        if chunk.error.is_none() && chunk.choices.as_ref().is_none_or(Vec::is_empty) {
            return Err(ProviderError::Garbled { what: "the answer has no choices".into() });
        }
        self.chunk(chunk)?;
        self.done = true;
        Ok(())
    }

    /// Delivers the tool calls and says how it ended.
    pub fn finish(mut self) -> Result<Finish, ProviderError> {
        if !self.done && self.stop.is_none() {
            return Err(ProviderError::Garbled { what: "the stream ended in the middle of the answer".into() });
        }
        let mut stop = self.stop.unwrap_or_default();
        let calls = std::mem::take(&mut self.calls);
        if !calls.is_empty() && stop == StopReason::Stop {
            // Some servers say "stop" although they call tools.
            stop = StopReason::ToolUse;
        }
        for (position, partial) in calls.into_iter().enumerate() {
            let mut call = partial.call;
            if call.id.is_empty() {
                call.id = format!("call_{position}");
            }
            if call.arguments.trim().is_empty() {
                call.arguments = "{}".into();
            }
            self.deliver(Delta::ToolCall(call))?;
        }
        Ok(Finish { stop, usage: self.usage, response_model: self.model })
    }

    fn chunk(&mut self, chunk: Chunk) -> Result<(), ProviderError> {
        if let Some(error) = chunk.error {
            let message = self.upstream.clean(&error.text());
            return Err(ProviderError::Upstream { status: error.status(), message, retry_after_ms: None });
        }
        if let Some(usage) = chunk.usage {
            self.usage = usage.neutral();
        }
        if self.model.is_none() {
            self.model = chunk.model.filter(|model| !model.is_empty());
        }
        let Some(choice) = chunk.choices.into_iter().flatten().next() else {
            return Ok(());
        };
        if let Some(delta) = choice.delta {
            let thinking = delta.reasoning_content.filled().or(delta.reasoning.filled());
            if let Some(text) = thinking {
                self.deliver(Delta::Thinking(text))?;
            }
            if let Some(text) = delta.content.filled() {
                self.deliver(Delta::Text(text))?;
            }
            for fragment in delta.tool_calls.into_iter().flatten() {
                self.fragment(fragment)?;
            }
        }
        if let Some(reason) = choice.finish_reason {
            self.stop = Some(match reason.as_str() {
                "length" => StopReason::Length,
                "tool_calls" | "function_call" => StopReason::ToolUse,
                "content_filter" => StopReason::ContentFilter,
                "error" => {
                    return Err(ProviderError::Garbled { what: "the provider reported an unnamed error".into() });
                }
                _ => StopReason::Stop,
            });
        }
        Ok(())
    }

    /// Appends to the call with the same index. Without an index a new id begins a call, anything else continues.
    fn fragment(&mut self, fragment: Fragment) -> Result<(), ProviderError> {
        let id = fragment.id.filter(|id| !id.is_empty());
        let known = match (fragment.index, &id) {
            (Some(index), _) => self.calls.iter().position(|partial| partial.index == Some(index)),
            (None, Some(id)) => self.calls.iter().position(|partial| partial.call.id == *id),
            (None, None) => self.calls.len().checked_sub(1),
        };
        let at = match known {
            Some(at) => at,
            None if self.calls.len() >= CALLS_CAP => {
                return Err(ProviderError::Garbled { what: format!("more than {CALLS_CAP} tool calls in one answer") });
            }
            None => {
                let call = ToolCall { id: String::new(), name: String::new(), arguments: String::new() };
                self.calls.push(Partial { index: fragment.index, call });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[at].call;
        if let (true, Some(id)) = (call.id.is_empty(), id) {
            call.id = id;
        }
        let Some(function) = fragment.function else {
            return Ok(());
        };
        if let (true, Some(name)) = (call.name.is_empty(), function.name) {
            call.name = name;
        }
        if let Some(raw) = function.arguments {
            let piece = argument_text(&raw);
            self.call_bytes += piece.len();
            if self.call_bytes > CALL_BYTES_CAP {
                let what = format!("tool call arguments of more than {CALL_BYTES_CAP} bytes");
                return Err(ProviderError::Garbled { what });
            }
            call.arguments.push_str(&piece);
        }
        Ok(())
    }

    fn deliver(&mut self, delta: Delta) -> Result<(), ProviderError> {
        match (self.each)(delta) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(ProviderError::Aborted),
        }
    }
}

/// Arguments come as a string of JSON; a few servers send the object itself.
fn argument_text(raw: &RawValue) -> String {
    match raw.get() {
        "null" => String::new(),
        text if text.starts_with('"') => misfit::read(text).unwrap_or_default(),
        object => object.to_string(),
    }
}

objects! { lenient:
    /// A chunk of the stream, or with `message` for `delta` a whole answer.
    struct Chunk {
        model: Option<String>,
        choices: Option<Vec<Choice>>,
        usage: Option<WireUsage>,
        error: Option<ErrorObject>,
    }
}

#[derive(Deserialize)]
struct Choice {
    #[serde(alias = "message")]
    delta: Option<ChoiceDelta>,
    finish_reason: Option<String>,
}

objects! { plain:
    struct ChoiceDelta {
        content: Words = default,
        /// DeepSeek, llama.cpp, vLLM.
        reasoning_content: Words = default,
        /// OpenRouter, Ollama.
        reasoning: Words = default,
        tool_calls: Option<Vec<Fragment>>,
    }
}

objects! { lenient:
    struct Fragment {
        index: Option<usize>,
        id: Option<String>,
        function: Option<FragmentBody>,
    }

    struct FragmentBody {
        name: Option<String>,
        arguments: Option<Box<RawValue>>,
    }
}

/// Text that is a string nearly always, null often, and a list of parts with Mistral.
#[derive(Default)]
struct Words(String);

impl Words {
    fn filled(self) -> Option<String> {
        (!self.0.is_empty()).then_some(self.0)
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Words, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, null or a list of text parts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Words, E> {
                Ok(Words(text.to_string()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Words, E> {
                Ok(Words(text))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Words, E> {
                Ok(Words::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Words, A::Error> {
                let mut whole = String::new();
                while let Some(part) = parts.next_element::<TextPart>()? {
                    whole.push_str(&part.text.0);
                }
                Ok(Words(whole))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Words, A::Error> {
                // Some server's private structure; it is not text for us.
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Words::default())
            }
        }
        from.deserialize_any(Reader)
    }
}

objects! { lenient:
    struct TextPart {
        text: Words = default,
    }
}

/// More tool calls in one answer than any model means.
const CALLS_CAP: usize = 128;

/// Arguments of all calls of one answer: a large file to write, with room.
const CALL_BYTES_CAP: usize = 4 << 20;
