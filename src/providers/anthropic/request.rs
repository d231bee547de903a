//! A turn in the words of Anthropic Messages.
//!
//! Pure. Two cache marks are set (after the system prompt and after the last message), because an agent sends the same
//! beginning again with every step.

use serde::Serialize;
use serde_json::value::RawValue;

use super::super::http::payload::Payload;
use super::super::{Compat, Message, ModelInfo, Part, ToolCall, ToolChoice, ToolSpec, Turn};
use crate::wire::misfit;

/// The request body for one turn. `known` is the configured row of the model, if there is one.
pub fn body(turn: &Turn, known: Option<&ModelInfo>) -> Payload {
    let thinking = budget(turn, known).map(|budget_tokens| Thinking { kind: "enabled", budget_tokens });
    let configured = known.and_then(|model| u32::try_from(model.max_tokens).ok()).filter(|limit| *limit > 0);
    let wanted = turn.sampling.max_tokens.or(configured).unwrap_or(MAX_TOKENS);
    let compat = known.map_or(Compat::default(), |model| model.compat);
    let tools: &[ToolSpec] = if compat.tools == Some(false) { &[] } else { &turn.tools };
    let sampled = thinking.is_none() && compat.temperature != Some(false);
    let body = Body {
        model: &turn.model,
        // The budget counts against the limit, so the limit has to be above it.
        max_tokens: thinking.as_ref().map_or(wanted, |thinking| wanted.max(thinking.budget_tokens + ANSWER_ROOM)),
        system: system(&turn.system),
        messages: messages(&turn.messages),
        tools: tools
            .iter()
            .map(|tool| WireTool { name: &tool.name, description: &tool.description, input_schema: &tool.parameters })
            .collect(),
        tool_choice: if tools.is_empty() { None } else { choice(&turn.tool_choice) },
        stream: true,
        // A thinking model accepts no sampling of ours.
        temperature: turn.sampling.temperature.filter(|_| sampled),
        top_p: turn.sampling.top_p.filter(|_| thinking.is_none()),
        stop_sequences: &turn.sampling.stop,
        thinking,
    };
    Payload::of(turn, &body)
}

/// Tokens for thinking. None while tool results are answered: the API then wants back the signed thinking of that very
/// step, which a provider-neutral transcript does not keep. None with a forced tool either, which the API refuses.
fn budget(turn: &Turn, known: Option<&ModelInfo>) -> Option<u32> {
    if known.is_some_and(|model| !model.compat.reasoning_effort.unwrap_or(model.reasoning))
        || matches!(turn.messages.last(), Some(Message::ToolResult { .. }))
        || matches!(turn.tool_choice, ToolChoice::Required | ToolChoice::Named(_))
    {
        return None;
    }
    match turn.sampling.thinking.as_deref()? {
        "minimal" => Some(1024),
        "low" => Some(4096),
        "medium" => Some(10_240),
        "adaptive" => Some(10_240),
        "high" | "xhigh" | "max" | "ultra" => Some(24_576),
        _ => None,
    }
}

fn system(text: &str) -> Vec<Block<'_>> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    vec![Block::Text { text, cache_control: Some(CACHE) }]
}

/// Roles must alternate, so neighbours of the same role become one message; empty texts are refused, so they go.
fn messages(messages: &[Message]) -> Vec<WireMessage<'_>> {
    let mut wire: Vec<WireMessage> = Vec::with_capacity(messages.len());
    for message in messages {
        let (role, blocks) = match message {
            Message::User(parts) => ("user", parts.iter().filter_map(block).collect()),
            Message::Assistant { text, tool_calls } => ("assistant", assistant(text, tool_calls)),
            Message::ToolResult { call_id, content, is_error, .. } => {
                let content = content.iter().filter_map(block).collect();
                let result =
                    Block::ToolResult { tool_use_id: call_id, content, is_error: *is_error, cache_control: None };
                ("user", vec![result])
            }
        };
        match wire.last_mut() {
            Some(last) if last.role == role => last.content.extend(blocks),
            _ if blocks.is_empty() => {}
            _ => wire.push(WireMessage { role, content: blocks }),
        }
    }
    if let Some(last) = wire.last_mut().and_then(|message| message.content.last_mut()) {
        last.mark();
    }
    wire
}

fn assistant<'a>(text: &'a str, calls: &'a [ToolCall]) -> Vec<Block<'a>> {
    let text = text.trim_end();
    let text = (!text.is_empty()).then_some(Block::Text { text, cache_control: None });
    text.into_iter().chain(calls.iter().map(call)).collect()
}

fn call(call: &ToolCall) -> Block<'_> {
    // The API wants an object. What is none (a model's slip, kept in the transcript) is sent as an empty one.
    let arguments = call.arguments.trim();
    let object = arguments.starts_with('{').then(|| misfit::read::<&RawValue>(arguments).ok()).flatten();
    Block::ToolUse { id: &call.id, name: &call.name, input: object.map_or(Input::Empty {}, Input::Object) }
}

fn block(part: &Part) -> Option<Block<'_>> {
    match part {
        Part::Text(text) if text.trim().is_empty() => None,
        Part::Text(text) => Some(Block::Text { text, cache_control: None }),
        Part::Image { mime, data } => {
            Some(Block::Image { source: Source { kind: "base64", media_type: mime, data }, cache_control: None })
        }
    }
}

fn choice(choice: &ToolChoice) -> Option<WireChoice<'_>> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(WireChoice { kind: "none", name: None }),
        ToolChoice::Required => Some(WireChoice { kind: "any", name: None }),
        ToolChoice::Named(name) => Some(WireChoice { kind: "tool", name: Some(name) }),
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<WireChoice<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
}

#[derive(Serialize)]
struct Thinking {
    #[serde(rename = "type")]
    kind: &'static str,
    budget_tokens: u32,
}

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    Image {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: Input<'a>,
    },
    ToolResult {
        tool_use_id: &'a str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Block<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
}

impl Block<'_> {
    fn mark(&mut self) {
        match self {
            Block::Text { cache_control, .. }
            | Block::Image { cache_control, .. }
            | Block::ToolResult { cache_control, .. } => *cache_control = Some(CACHE),
            Block::ToolUse { .. } => {}
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Input<'a> {
    Object(&'a RawValue),
    Empty {},
}

#[derive(Serialize)]
struct Source<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    media_type: &'a str,
    data: &'a str,
}

#[derive(Serialize)]
struct CacheControl {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct WireTool<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    input_schema: &'a RawValue,
}

#[derive(Serialize)]
struct WireChoice<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

const CACHE: CacheControl = CacheControl { kind: "ephemeral" };

/// The API requires a limit; every model since Claude 3.5 accepts this one.
const MAX_TOKENS: u32 = 8192;

/// Tokens left for the answer itself beside the thinking.
const ANSWER_ROOM: u32 = 4096;
