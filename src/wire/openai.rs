//! The shapes of the OpenAI-compatible API: `/v1/models` and `/v1/chat/completions`.
//!
//! Requests are open objects, as OpenAI's are: unknown fields are left alone, known ones are checked.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::json::lift::Lifted;
use super::object::objects;

#[derive(Debug, Serialize)]
pub struct ModelList<'a> {
    pub object: &'static str,
    pub data: Vec<Model<'a>>,
}

#[derive(Debug, Serialize)]
pub struct Model<'a> {
    pub id: &'a str,
    pub object: &'static str,
    pub created: u64,
    pub owned_by: &'static str,
    pub permission: [(); 0],
}

impl<'a> Model<'a> {
    pub fn new(id: &'a str) -> Model<'a> {
        Model { id, object: "model", created: 0, owned_by: "openclaw", permission: [] }
    }
}

objects! { plain:
    #[derive(Debug)]
    pub struct ChatRequest {
        pub model: Option<String>,
        pub messages: Vec<RequestMessage> = default,
        pub stream: Option<bool>,
        pub stream_options: Option<StreamOptions>,
        pub temperature: Option<f64>,
        pub top_p: Option<f64>,
        pub max_tokens: Option<f64>,
        pub max_completion_tokens: Option<f64>,
        pub stop: Option<Stop>,
        pub seed: Option<f64>,
        pub frequency_penalty: Option<f64>,
        pub presence_penalty: Option<f64>,
        pub reasoning_effort: Option<String>,
        pub response_format: Option<Box<RawValue>>,
        pub tools: Option<Vec<RequestTool>>,
        pub tool_choice: Option<RequestToolChoice>,
        pub user: Option<String>,
        pub n: Option<i64>,
    }

    #[derive(Debug)]
    pub struct StreamOptions {
        pub include_usage: Option<bool>,
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Stop {
    One(String),
    Many(Vec<String>),
    Other(IgnoredAny),
}

objects! { plain:
    #[derive(Debug)]
    pub struct RequestMessage {
        pub role: String,
        pub content: Option<Content>,
        pub name: Option<String>,
        pub tool_calls: Option<Vec<RequestToolCall>>,
        pub tool_call_id: Option<String>,
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

objects! { plain:
    #[derive(Debug)]
    pub struct ContentPart {
        pub kind: String as "type",
        pub text: Option<String>,
        /// What an assistant said instead of an answer.
        pub refusal: Option<String>,
        pub image_url: Option<ImageUrl>,
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum ImageUrl {
    Object { url: String },
    Plain(String),
}

impl ImageUrl {
    pub fn into_url(self) -> String {
        match self {
            ImageUrl::Object { url } | ImageUrl::Plain(url) => url,
        }
    }
}

impl ChatRequest {
    /// Puts the long strings back. The error names a field where none can be.
    pub fn restore(&mut self, lifted: &mut Lifted) -> Result<(), &'static str> {
        for message in &mut self.messages {
            match &mut message.content {
                None => {}
                Some(Content::Text(text)) => lifted.restore(text),
                Some(Content::Parts(parts)) => {
                    for part in parts {
                        lifted.restore_in(&mut part.text);
                        lifted.restore_in(&mut part.refusal);
                        if let Some(ImageUrl::Object { url } | ImageUrl::Plain(url)) = &mut part.image_url {
                            lifted.restore(url);
                        }
                    }
                }
            }
            for call in message.tool_calls.iter_mut().flatten() {
                lifted.restore(&mut call.function.arguments);
            }
        }
        if self.response_format.as_ref().is_some_and(|raw| lifted.is_in(raw.get())) {
            return Err("response_format");
        }
        restore_tools(self.tools.as_deref_mut(), lifted)
    }
}

/// The same for the tools of a request.
pub fn restore_tools(tools: Option<&mut [RequestTool]>, lifted: &mut Lifted) -> Result<(), &'static str> {
    for tool in tools.into_iter().flatten() {
        for function in tool.function.iter_mut().chain([&mut tool.flat]) {
            lifted.restore_in(&mut function.description);
            if function.parameters.as_ref().is_some_and(|raw| lifted.is_in(raw.get())) {
                return Err("tools");
            }
        }
    }
    Ok(())
}

/// Both shapes in use: `{type,function:{name,..}}` and the flat `{type,name,..}`.
#[derive(Debug)]
pub struct RequestTool {
    pub kind: Option<String>,
    pub function: Option<FunctionSpec>,
    pub flat: FunctionSpec,
}

objects! { lenient:
    #[derive(Debug, Default)]
    pub struct FunctionSpec {
        pub name: Option<String>,
        pub description: Option<String>,
        pub parameters: Option<Box<RawValue>>,
    }
}

impl<'de> Deserialize<'de> for RequestTool {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<RequestTool, D::Error> {
        // Not `flatten`: it would take raw JSON apart.
        #[derive(Deserialize)]
        struct Written {
            #[serde(rename = "type")]
            kind: Option<String>,
            function: Option<FunctionSpec>,
            name: Option<String>,
            description: Option<String>,
            parameters: Option<Box<RawValue>>,
        }
        let Written { kind, function, name, description, parameters } = Written::deserialize(from)?;
        Ok(RequestTool { kind, function, flat: FunctionSpec { name, description, parameters } })
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum RequestToolChoice {
    Word(String),
    Named(NamedChoice),
    Other(IgnoredAny),
}

objects! { lenient:
    #[derive(Debug)]
    pub struct NamedChoice {
        pub kind: Option<String> as "type",
        pub function: Option<NamedFunction>,
        pub name: Option<String>,
    }
}

objects! { lenient:
    #[derive(Debug)]
    pub struct NamedFunction {
        pub name: Option<String>,
    }

    #[derive(Debug)]
    pub struct RequestToolCall {
        pub id: Option<String>,
        pub function: RequestFunctionCall,
    }

    #[derive(Debug)]
    pub struct RequestFunctionCall {
        pub name: String,
        pub arguments: String = default,
    }
}

#[derive(Debug, Serialize)]
pub struct ChatCompletion<'a> {
    pub id: &'a str,
    pub object: &'static str,
    pub created: u64,
    pub model: &'a str,
    pub choices: [Choice<'a>; 1],
    pub usage: CompletionUsage,
}

#[derive(Debug, Serialize)]
pub struct Choice<'a> {
    pub index: u32,
    pub message: ResponseMessage<'a>,
    pub finish_reason: &'a str,
}

#[derive(Debug, Serialize)]
pub struct ResponseMessage<'a> {
    pub role: &'static str,
    pub content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ResponseToolCall<'a>>>,
}

#[derive(Debug, Serialize)]
pub struct ResponseToolCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    pub id: &'a str,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub function: ResponseFunctionCall<'a>,
}

#[derive(Debug, Serialize)]
pub struct ResponseFunctionCall<'a> {
    pub name: &'a str,
    pub arguments: &'a str,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CompletionUsage {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub total_tokens: u64,
}

#[derive(Debug, Serialize)]
pub struct ChatChunk<'a> {
    pub id: &'a str,
    pub object: &'static str,
    pub created: u64,
    pub model: &'a str,
    pub choices: Vec<ChunkChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<CompletionUsage>,
}

#[derive(Debug, Serialize)]
pub struct ChunkChoice<'a> {
    pub index: u32,
    pub delta: ChunkDelta<'a>,
    pub finish_reason: Option<&'a str>,
}

#[derive(Debug, Default, Serialize)]
pub struct ChunkDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ResponseToolCall<'a>>>,
}

/// `{"error":{"message","type"}}`.
#[derive(Debug, Serialize)]
pub struct ErrorBody<'a> {
    pub error: ErrorObject<'a>,
}

#[derive(Debug, Serialize)]
pub struct ErrorObject<'a> {
    pub message: &'a str,
    #[serde(rename = "type")]
    pub kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub param: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'a str>,
}
