//! Model providers: who answers a turn, and how a plug for one looks.
//!
//! A provider is blocking and streams by callback. It knows nothing of sessions, transcripts or the state thread. The
//! types here are the vocabulary shared by all of them; a provider translates them to its own wire format.
//!
//! Invariants: `chat` returns within its deadlines or when its [`Abort`] fires; no retry after the first delta.

pub mod anthropic;
pub mod builtin;
pub mod chain;
pub mod discover;
pub mod error;
#[cfg(test)]
mod fake;
pub mod http;
pub mod known;
pub mod openai;
pub mod probe;
pub mod registry;
pub mod retry;
pub mod rotation;
pub mod settings;
pub mod sse_decoder;

use std::ops::ControlFlow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::sys::abort::Abort;
use crate::sys::shared_text::SharedText;
use crate::wire::object::objects;

/// Everything a model needs for one call.
#[derive(Debug, Clone, Default)]
pub struct Turn {
    /// The model's own id, without the provider prefix.
    pub model: String,
    pub system: String,
    pub messages: Vec<Message>,
    pub tools: Vec<ToolSpec>,
    pub tool_choice: ToolChoice,
    pub sampling: Sampling,
    /// What models are asked where `sampling` leaves it open.
    pub defaults: Vec<(registry::ModelRef, Defaults)>,
    /// Identifies the conversation to caches and to the embedded model; never sent as a user's name.
    pub session_key: String,
}

/// Optional knobs, passed through when the caller set them.
#[derive(Debug, Clone, Default)]
pub struct Sampling {
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    /// Upper bound of generated tokens.
    pub max_tokens: Option<u32>,
    pub stop: Vec<String>,
    pub seed: Option<i64>,
    pub frequency_penalty: Option<f64>,
    pub presence_penalty: Option<f64>,
    /// `off`, `minimal`, `low`, `medium`, `high`: what providers call reasoning effort or thinking.
    pub thinking: Option<String>,
    /// OpenAI's `response_format`, passed as it came.
    pub response_format: Option<Box<RawValue>>,
    /// Members of an OpenAI-compatible request besides ours, and instead of them.
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// What a model is asked when nobody says otherwise.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Defaults {
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub max_tokens: Option<u32>,
    pub thinking: Option<String>,
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl Sampling {
    /// With `defaults` where nothing is set.
    pub fn over(mut self, defaults: &Defaults) -> Sampling {
        self.temperature = self.temperature.or(defaults.temperature);
        self.top_p = self.top_p.or(defaults.top_p);
        self.max_tokens = self.max_tokens.or(defaults.max_tokens);
        self.thinking = self.thinking.or_else(|| defaults.thinking.clone());
        self.extra.clone_from(&defaults.extra);
        self
    }
}

/// One message of the conversation, provider-neutral.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    User(Vec<Part>),
    Assistant { text: String, tool_calls: Vec<ToolCall> },
    ToolResult { call_id: String, name: String, content: Vec<Part>, is_error: bool },
}

/// A piece of content.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Text(SharedText),
    /// `data` is base64 of the bytes.
    Image {
        mime: String,
        data: SharedText,
    },
}

objects! { lenient:
    /// A call the model asks for. `arguments` is JSON text as the model wrote it.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub struct ToolCall {
        pub id: String,
        pub name: String,
        pub arguments: String,
    }
}

/// A tool offered to the model.
#[derive(Debug, Clone)]
pub struct ToolSpec {
    pub name: String,
    pub description: String,
    /// JSON Schema of the arguments.
    pub parameters: Box<RawValue>,
}

/// May, must or must not the model call tools.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum ToolChoice {
    #[default]
    Auto,
    None,
    Required,
    Named(String),
}

/// What arrives while a model answers, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    Text(String),
    Thinking(String),
    /// A tool call is whole (fragments are assembled by the provider).
    ToolCall(ToolCall),
    /// The call failed before any delta and is tried again; `attempt` counts from 1.
    Retrying {
        attempt: u32,
        max: u32,
        delay_ms: u64,
        reason: String,
    },
}

/// How a call ended when it ended well.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Finish {
    pub stop: StopReason,
    pub usage: Usage,
    /// The model name the provider reported, if any.
    pub response_model: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StopReason {
    #[default]
    Stop,
    Length,
    ToolUse,
    ContentFilter,
}

objects! { lenient:
    /// Tokens. All zero when the provider reported nothing. `input` counts fresh tokens only: what came from a cache is in
    /// `cache_read`, so a prompt's size is `input + cache_read + cache_write`.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct Usage {
        pub input: u64,
        pub output: u64,
        pub cache_read: u64,
        pub cache_write: u64,
        pub total_tokens: u64,
    }
}

/// A model as a catalogue row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelInfo {
    pub id: String,
    pub name: String,
    /// Tokens; 0 = unknown.
    pub context_window: u64,
    pub max_tokens: u64,
    pub reasoning: bool,
    pub images: bool,
    /// Served on this machine.
    pub local: bool,
    pub cost: Cost,
    pub compat: Compat,
}

/// Where an endpoint differs from the protocol it claims; `None` is "as the protocol says".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compat {
    pub tools: Option<bool>,
    /// The role of instructions at OpenAI itself; everybody else is sent `system`.
    pub developer_role: Option<bool>,
    pub usage_in_streaming: Option<bool>,
    pub reasoning_effort: Option<bool>,
    pub temperature: Option<bool>,
    /// Contents are plain text: pictures are left out.
    pub string_content: bool,
    /// The limit is called `max_completion_tokens`, or `max_tokens`.
    pub max_completion_tokens: Option<bool>,
}

objects! { kept:
    /// US dollars per million tokens.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct Cost {
        pub input: f64,
        pub output: f64,
        pub cache_read: f64,
        pub cache_write: f64,
    }
}

/// Vectors for inputs, in their order.
#[derive(Debug, Clone, Default)]
pub struct Embeddings {
    pub vectors: Vec<Vec<f32>>,
    pub usage: Usage,
}

/// One source of answers. `listen`ing state, if any, is the provider's own; calls may run side by side.
pub trait Provider: Send + Sync {
    /// The catalogue: configured models, or what the endpoint reports.
    fn models(&self) -> Result<Vec<ModelInfo>, ProviderError>;

    /// Answers one turn. `each` sees every delta in order; `Break` cancels like a fired `abort`.
    fn chat(
        &self,
        turn: &Turn,
        abort: &Abort,
        each: &mut dyn FnMut(Delta) -> ControlFlow<()>,
    ) -> Result<Finish, ProviderError>;

    /// Vectors for texts; not every provider has them. `dimensions` asks for shorter vectors where the model can.
    fn embed(
        &self,
        _model: &str,
        _input: &[String],
        _dimensions: Option<u32>,
        _abort: &Abort,
    ) -> Result<Embeddings, ProviderError> {
        Err(ProviderError::Unsupported("embeddings"))
    }
}

/// Why a call failed. `Display` is a sentence for a person; upstream bodies are cut to 512 bytes and never hold keys.
#[derive(Debug, Clone, PartialEq)]
pub enum ProviderError {
    /// The abort fired or the receiver said Break.
    Aborted,
    /// Nobody answered: DNS, refused, TLS, reset before the first byte.
    Connect {
        url: String,
        cause: String,
    },
    /// A named deadline passed (`connect`, `first byte`, `read`).
    Timeout {
        what: &'static str,
        after_ms: u64,
    },
    /// An HTTP status other than 2xx, or an error object in the stream.
    Upstream {
        status: u16,
        message: String,
        retry_after_ms: Option<u64>,
    },
    /// The answer was not what the protocol says, or ended in the middle.
    Garbled {
        what: String,
    },
    /// No key where one is needed; says which setting is missing.
    NoCredentials {
        provider: String,
        hint: String,
    },
    /// No provider or no model of this name; says what would be one.
    UnknownModel {
        model: String,
        hint: String,
    },
    /// A model nobody may choose here; the sentence says why.
    NotAllowed(String),
    Unsupported(&'static str),
}
