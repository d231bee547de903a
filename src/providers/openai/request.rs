//! A turn in the words of chat completions.
//!
//! Pure: a turn goes in, the request's bytes come out. Leaves out what the caller did not set, so that strict servers
//! do not stumble over fields they do not know.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::http::payload::Payload;
use super::super::{Compat, Message, ModelInfo, Part, ToolChoice, ToolSpec, Turn};

/// Where endpoints differ in what they want to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI itself: `max_completion_tokens`, because its newer models refuse `max_tokens`.
    OpenAi,
    /// Mistral's own API refuses requests with `stream_options`; it reports usage without being asked.
    Mistral,
    /// Everybody else: `max_tokens`, because most know nothing else.
    Compatible,
}

impl Dialect {
    pub fn of(host: &str) -> Dialect {
        let host = host.to_ascii_lowercase();
        if host == "api.openai.com" || host.ends_with(".openai.azure.com") {
            return Dialect::OpenAi;
        }
        if host == "api.mistral.ai" { Dialect::Mistral } else { Dialect::Compatible }
    }
}

/// The request body for one turn. `known` is the configured row of the model, if there is one.
pub fn body(turn: &Turn, dialect: Dialect, known: Option<&ModelInfo>) -> Payload {
    let compat = known.map_or(Compat::default(), |model| model.compat);
    let configured = known.and_then(|model| u32::try_from(model.max_tokens).ok()).filter(|limit| *limit > 0);
    let sampling = &turn.sampling;
    let limit = sampling.max_tokens.or(configured);
    let completion = compat.max_completion_tokens.unwrap_or(dialect == Dialect::OpenAi);
    let tools: &[ToolSpec] = if compat.tools == Some(false) { &[] } else { &turn.tools };
    let body = Body {
        model: &turn.model,
        messages: messages(
            turn,
            dialect == Dialect::OpenAi && compat.developer_role == Some(true),
            compat.string_content,
        ),
        stream: true,
        stream_options: compat
            .usage_in_streaming
            .unwrap_or(dialect != Dialect::Mistral)
            .then_some(StreamOptions { include_usage: true }),
        tools: tools.iter().map(tool).collect(),
        tool_choice: if tools.is_empty() { None } else { choice(&turn.tool_choice) },
        max_tokens: limit.filter(|_| !completion),
        max_completion_tokens: limit.filter(|_| completion),
        temperature: sampling.temperature.filter(|_| compat.temperature != Some(false)),
        top_p: sampling.top_p,
        stop: &sampling.stop,
        seed: sampling.seed,
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        reasoning_effort: effort(sampling.thinking.as_deref(), known),
        response_format: sampling.response_format.as_deref(),
    };
    if sampling.extra.is_empty() {
        return Payload::of(turn, &body);
    }
    // What the configuration adds stands where ours would: the body is made once more as a tree.
    let mut body = serde_json::to_value(&body).expect("strings, numbers and checked JSON always serialise");
    if let Value::Object(members) = &mut body {
        members.extend(sampling.extra.clone());
    }
    Payload::plain(serde_json::to_vec(&body).expect("a tree always serialises"))
}

/// A model that is configured as not reasoning is not asked to, for servers refuse the whole request over it.
fn effort<'a>(thinking: Option<&'a str>, known: Option<&ModelInfo>) -> Option<&'a str> {
    let able = known.is_none_or(|model| model.compat.reasoning_effort.unwrap_or(model.reasoning));
    match thinking? {
        "off" | "none" | "" => None,
        _ if !able => None,
        "adaptive" => Some("medium"),
        "max" | "ultra" => Some("high"),
        level => Some(level),
    }
}

fn messages(turn: &Turn, developer: bool, text_only: bool) -> Vec<WireMessage<'_>> {
    let mut messages = Vec::with_capacity(turn.messages.len() + 1);
    match turn.system.as_str() {
        "" => {}
        content if developer => messages.push(WireMessage::Developer { content }),
        content => messages.push(WireMessage::System { content }),
    }
    let image = |part: &&Part| !text_only && matches!(part, Part::Image { .. });
    let mut left_over: Vec<WirePart> = Vec::new();
    for message in &turn.messages {
        if !matches!(message, Message::ToolResult { .. }) && !left_over.is_empty() {
            messages.push(WireMessage::User { content: Content::Parts(std::mem::take(&mut left_over)) });
        }
        match message {
            Message::User(parts) if text_only => {
                messages.push(WireMessage::User { content: Content::Text(text_of(parts)) })
            }
            Message::User(parts) => messages.push(WireMessage::User { content: content(parts) }),
            Message::Assistant { text, tool_calls } => messages.push(WireMessage::Assistant {
                content: (!text.is_empty() || tool_calls.is_empty()).then_some(text),
                tool_calls: tool_calls.iter().map(call).collect(),
            }),
            Message::ToolResult { call_id, content, .. } => {
                messages.push(WireMessage::Tool { tool_call_id: call_id, content: text_of(content) });
                // A tool message carries text only; its images follow as a user message after the last result.
                left_over.extend(content.iter().filter(image).map(part));
            }
        }
    }
    if !left_over.is_empty() {
        messages.push(WireMessage::User { content: Content::Parts(left_over) });
    }
    messages
}

fn content(parts: &[Part]) -> Content<'_> {
    match parts {
        [Part::Text(text)] => Content::Text(Cow::Borrowed(text)),
        parts if parts.iter().all(|part| matches!(part, Part::Text(_))) => Content::Text(text_of(parts)),
        parts => Content::Parts(parts.iter().map(part).collect()),
    }
}

fn text_of(parts: &[Part]) -> Cow<'_, str> {
    let mut texts = parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        Part::Image { .. } => None,
    });
    let Some(first) = texts.next() else {
        return Cow::Borrowed("");
    };
    let mut joined = Cow::Borrowed(first);
    for text in texts {
        let whole = joined.to_mut();
        whole.push('\n');
        whole.push_str(text);
    }
    joined
}

fn part(part: &Part) -> WirePart<'_> {
    match part {
        Part::Text(text) => WirePart::Text { text },
        Part::Image { mime, data } => WirePart::ImageUrl { image_url: ImageUrl { url: DataUrl { mime, data } } },
    }
}

fn call(call: &super::super::ToolCall) -> WireCall<'_> {
    let arguments = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
    WireCall { id: &call.id, kind: "function", function: WireCallBody { name: &call.name, arguments } }
}

fn tool(spec: &ToolSpec) -> WireTool<'_> {
    let function = WireFunction { name: &spec.name, description: &spec.description, parameters: &spec.parameters };
    WireTool { kind: "function", function }
}

fn choice(choice: &ToolChoice) -> Option<WireChoice<'_>> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(WireChoice::Word("none")),
        ToolChoice::Required => Some(WireChoice::Word("required")),
        ToolChoice::Named(name) => Some(WireChoice::Named { kind: "function", function: ChosenFunction { name } }),
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<WireMessage<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum WireMessage<'a> {
    System {
        content: &'a str,
    },
    Developer {
        content: &'a str,
    },
    User {
        content: Content<'a>,
    },
    Assistant {
        content: Option<&'a String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<WireCall<'a>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: Cow<'a, str>,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<WirePart<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WirePart<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: DataUrl<'a>,
}

/// `data` is base64.
struct DataUrl<'a> {
    mime: &'a str,
    data: &'a str,
}

impl Serialize for DataUrl<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("data:{};base64,{}", self.mime, self.data))
    }
}

#[derive(Serialize)]
struct WireCall<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: WireCallBody<'a>,
}

#[derive(Serialize)]
struct WireCallBody<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct WireTool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: WireFunction<'a>,
}

#[derive(Serialize)]
struct WireFunction<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    parameters: &'a RawValue,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WireChoice<'a> {
    Word(&'static str),
    Named {
        #[serde(rename = "type")]
        kind: &'static str,
        function: ChosenFunction<'a>,
    },
}

#[derive(Serialize)]
struct ChosenFunction<'a> {
    name: &'a str,
}
