//! The embedded default: a small rule-based helper, so that a gateway without any provider is still of use.
//!
//! It is not a language model and says so. It answers about the gateway's own state from live data, explains how to
//! connect a real model or a client, runs a tool when plainly told to, and otherwise lists what it can do. It never
//! pretends to understand, guesses no facts, and reaches neither network nor disk itself.
//!
//! Invariants: the same turn and the same facts give the same answer; an abort is honoured between words; token counts
//! are an estimate ([`tokens`]).

mod answer;
mod embed;
mod facts;
mod intent;
#[cfg(test)]
mod tests;
mod tool;

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{
    Delta, Embeddings, Finish, Message, ModelInfo, Part, Provider, ProviderError, StopReason, ToolChoice, Turn, Usage,
};
use crate::sys::abort::Abort;

pub use embed::{DIMENSIONS, DIMENSIONS_CAP, vector};
pub use facts::{Fact, FactSheet, Facts, NoFacts, Topic};
pub use intent::{Intent, understand};

/// The provider's id.
pub const PROVIDER: &str = "builtin";

/// The chat model's id.
pub const MODEL: &str = "local";

/// The embedding model's id: lexical hashing, see [`vector`].
pub const EMBED_MODEL: &str = "hash";

/// Everything this provider answers to.
pub const MODELS: &[&str] = &[MODEL, EMBED_MODEL];

/// The embedded provider.
pub struct Builtin {
    facts: Arc<dyn Facts>,
}

impl Builtin {
    pub fn new(facts: Arc<dyn Facts>) -> Builtin {
        Builtin { facts }
    }

    /// What to say or which tool to call, before any of it is sent.
    fn decide(&self, turn: &Turn) -> Result<Reply, ProviderError> {
        if let Some(Message::ToolResult { .. }) = turn.messages.last() {
            return Ok(Reply::Text(tool::report(&turn.messages)));
        }
        let text = last_words(turn);
        let request = tool::asked(&text);
        match (&turn.tool_choice, request) {
            (ToolChoice::Required | ToolChoice::Named(_), request) => {
                tool::forced(turn, &text, request.as_ref()).map(Reply::Call)
            }
            (_, None) => Ok(Reply::Text(answer::text(&understand(&text), self.facts.as_ref()))),
            (ToolChoice::None, Some(_)) => Ok(Reply::Text(tool::none_allowed())),
            (ToolChoice::Auto, Some(request)) => Ok(match tool::call(turn, &request) {
                Some(call) => Reply::Call(call),
                None => Reply::Text(tool::not_offered(&request, &turn.tools)),
            }),
        }
    }
}

enum Reply {
    Text(String),
    Call(super::ToolCall),
}

impl Provider for Builtin {
    fn models(&self) -> Result<Vec<ModelInfo>, ProviderError> {
        Ok(vec![info()])
    }

    fn chat(
        &self,
        turn: &Turn,
        abort: &Abort,
        each: &mut dyn FnMut(Delta) -> ControlFlow<()>,
    ) -> Result<Finish, ProviderError> {
        let reply = self.decide(turn)?;
        let input = prompt_tokens(turn);
        let (stop, output) = match reply {
            Reply::Call(call) => {
                let output = tokens(&call.name) + tokens(&call.arguments);
                deliver(abort, each, Delta::ToolCall(call))?;
                (StopReason::ToolUse, output)
            }
            Reply::Text(text) => {
                let (text, stop) = limited(text, turn);
                for piece in pieces(&text) {
                    deliver(abort, each, Delta::Text(piece.to_string()))?;
                }
                (stop, tokens(&text))
            }
        };
        let usage = Usage { input, output, total_tokens: input + output, ..Usage::default() };
        Ok(Finish { stop, usage, response_model: Some(MODEL.into()) })
    }

    fn embed(
        &self,
        _model: &str,
        input: &[String],
        dimensions: Option<u32>,
        abort: &Abort,
    ) -> Result<Embeddings, ProviderError> {
        let dimensions = dimensions.map_or(DIMENSIONS, |wanted| (wanted as usize).clamp(1, embed::DIMENSIONS_CAP));
        let mut vectors = Vec::with_capacity(input.len());
        for text in input {
            if abort.fired() {
                return Err(ProviderError::Aborted);
            }
            vectors.push(vector(text, dimensions));
        }
        let counted = input.iter().map(|text| tokens(text)).sum();
        Ok(Embeddings { vectors, usage: Usage { input: counted, total_tokens: counted, ..Usage::default() } })
    }
}

/// The catalogue row of `builtin/local`.
pub fn info() -> ModelInfo {
    ModelInfo {
        id: MODEL.into(),
        name: "Built-in helper (rules, not a language model)".into(),
        context_window: 32_768,
        max_tokens: 4096,
        local: true,
        ..ModelInfo::default()
    }
}

/// An estimate of tokens: a quarter of the bytes, rounded up, as English text has with common tokenisers. There is no
/// tokeniser here whose count would be truer.
pub fn tokens(text: &str) -> u64 {
    text.len().div_ceil(4) as u64
}

fn prompt_tokens(turn: &Turn) -> u64 {
    let messages = turn.messages.iter().map(|message| match message {
        Message::User(parts) | Message::ToolResult { content: parts, .. } => {
            parts.iter().map(|part| if let Part::Text(text) = part { tokens(text) } else { 0 }).sum()
        }
        Message::Assistant { text, tool_calls } => {
            tokens(text) + tool_calls.iter().map(|call| tokens(&call.name) + tokens(&call.arguments)).sum::<u64>()
        }
    });
    tokens(&turn.system) + messages.sum::<u64>()
}

/// The text of the last user message.
fn last_words(turn: &Turn) -> String {
    let parts = turn.messages.iter().rev().find_map(|message| match message {
        Message::User(parts) => Some(parts),
        _ => None,
    });
    let texts: Vec<&str> = parts
        .into_iter()
        .flatten()
        .filter_map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None })
        .collect();
    without_stamp(texts.join("\n").trim()).to_string()
}

/// Without a `[Sun 2026-11-22 14:00 UTC]` or `[Telegram Ann]` that a channel put before the words.
fn without_stamp(text: &str) -> &str {
    let stamp =
        text.strip_prefix('[').and_then(|rest| rest.split_once(']')).filter(|(stamp, _)| stamp.len() < STAMP_CAP);
    stamp.map_or(text, |(_, words)| words.trim_start())
}

/// A longer bracket is part of the message.
const STAMP_CAP: usize = 100;

/// Applies the caller's stop words and token limit.
fn limited(mut text: String, turn: &Turn) -> (String, StopReason) {
    let stops = turn.sampling.stop.iter().filter(|stop| !stop.is_empty());
    if let Some(at) = stops.filter_map(|stop| text.find(stop.as_str())).min() {
        text.truncate(at);
    }
    let bytes = turn.sampling.max_tokens.map_or(usize::MAX, |limit| (limit as usize).saturating_mul(4));
    if text.len() <= bytes {
        return (text, StopReason::Stop);
    }
    (super::http::cut(&text, bytes), StopReason::Length)
}

/// Word by word, white space with the word before it.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive([' ', '\n'])
}

fn deliver(abort: &Abort, each: &mut dyn FnMut(Delta) -> ControlFlow<()>, delta: Delta) -> Result<(), ProviderError> {
    if abort.fired() || each(delta).is_break() {
        return Err(ProviderError::Aborted);
    }
    Ok(())
}
