//! The shapes of `POST /v1/responses`.
//!
//! Requests are open objects, and both spellings in use are read: OpenAI's own (`image_url`, `file_data`) and the
//! `source` objects of OpenResponses.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::openai::{RequestTool, RequestToolChoice, restore_tools};
use crate::wire::json::lift::Lifted;
use crate::wire::object::objects;

objects! { plain:
    #[derive(Debug)]
    pub struct ResponsesRequest {
        pub model: Option<String>,
        pub input: Option<Input>,
        pub instructions: Option<String>,
        pub tools: Option<Vec<RequestTool>>,
        pub tool_choice: Option<RequestToolChoice>,
        pub stream: Option<bool>,
        pub max_output_tokens: Option<f64>,
        pub temperature: Option<f64>,
        pub top_p: Option<f64>,
        pub user: Option<String>,
        pub previous_response_id: Option<String>,
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Input {
    Text(String),
    Items(Vec<Item>),
    Other(IgnoredAny),
}

objects! { plain:
    /// Any item; which fields mean something depends on `kind`. A message may leave its `type` out.
    #[derive(Debug)]
    pub struct Item {
        pub kind: Option<String> as "type",
        pub role: Option<String>,
        pub content: Option<ItemContent>,
        pub id: Option<String>,
        pub call_id: Option<String>,
        pub name: Option<String>,
        pub arguments: Option<String>,
        pub output: Option<ItemContent>,
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum ItemContent {
    Text(String),
    Parts(Vec<ItemPart>),
    Other(IgnoredAny),
}

objects! { plain:
    #[derive(Debug)]
    pub struct ItemPart {
        pub kind: String as "type",
        pub text: Option<String>,
        pub refusal: Option<String>,
        pub source: Option<Source>,
        pub image_url: Option<String>,
        pub file_data: Option<String>,
        pub file_url: Option<String>,
        pub filename: Option<String>,
    }

    #[derive(Debug)]
    pub struct Source {
        pub kind: String as "type",
        pub url: Option<String>,
        pub media_type: Option<String>,
        pub data: Option<String>,
        pub filename: Option<String>,
    }
}

impl ResponsesRequest {
    /// Puts the long strings back. The error names a field where none can be.
    pub fn restore(&mut self, lifted: &mut Lifted) -> Result<(), &'static str> {
        lifted.restore_in(&mut self.instructions);
        match &mut self.input {
            Some(Input::Text(text)) => lifted.restore(text),
            Some(Input::Items(items)) => {
                for item in items {
                    lifted.restore_in(&mut item.arguments);
                    for content in item.content.iter_mut().chain(&mut item.output) {
                        content.restore(lifted);
                    }
                }
            }
            Some(Input::Other(_)) | None => {}
        }
        restore_tools(self.tools.as_deref_mut(), lifted)
    }
}

impl ItemContent {
    fn restore(&mut self, lifted: &mut Lifted) {
        match self {
            ItemContent::Text(text) => lifted.restore(text),
            ItemContent::Parts(parts) => {
                for part in parts {
                    let ItemPart { text, refusal, source, image_url, file_data, file_url, .. } = part;
                    for field in [text, refusal, image_url, file_data, file_url] {
                        lifted.restore_in(field);
                    }
                    if let Some(source) = source {
                        lifted.restore_in(&mut source.url);
                        lifted.restore_in(&mut source.data);
                    }
                }
            }
            ItemContent::Other(_) => {}
        }
    }
}

#[derive(Debug, Serialize)]
pub struct ResponseResource<'a> {
    pub id: &'a str,
    pub object: &'static str,
    pub created_at: u64,
    pub status: &'static str,
    pub model: &'a str,
    pub output: Vec<OutputItem<'a>>,
    pub usage: ResponsesUsage,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ResponseFailure<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete_details: Option<IncompleteDetails>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutputItem<'a> {
    Message {
        id: &'a str,
        role: &'static str,
        content: Vec<OutputPart<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        phase: Option<&'static str>,
        status: &'static str,
    },
    FunctionCall {
        id: &'a str,
        call_id: &'a str,
        name: &'a str,
        arguments: &'a str,
        status: &'static str,
    },
}

#[derive(Debug, Clone, Serialize)]
pub struct OutputPart<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub text: &'a str,
    /// Always empty; the SDKs iterate over it.
    pub annotations: [(); 0],
}

impl<'a> OutputPart<'a> {
    pub fn text(text: &'a str) -> OutputPart<'a> {
        OutputPart { kind: "output_text", text, annotations: [] }
    }
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct ResponseFailure<'a> {
    pub code: &'a str,
    pub message: &'a str,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct IncompleteDetails {
    pub reason: &'static str,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct ResponsesUsage {
    pub input_tokens: u64,
    pub input_tokens_details: InputDetails,
    pub output_tokens: u64,
    pub output_tokens_details: OutputDetails,
    pub total_tokens: u64,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct InputDetails {
    pub cached_tokens: u64,
    pub cache_write_tokens: u64,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct OutputDetails {
    pub reasoning_tokens: u64,
}

/// One event of the stream; its name is its `type`.
#[derive(Debug, Serialize)]
pub struct StreamEvent<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub sequence_number: u64,
    #[serde(flatten)]
    pub body: EventBody<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum EventBody<'a> {
    Response { response: ResponseResource<'a> },
    Item { output_index: usize, item: OutputItem<'a> },
    Part { item_id: &'a str, output_index: usize, content_index: usize, part: OutputPart<'a> },
    TextDelta { item_id: &'a str, output_index: usize, content_index: usize, delta: &'a str },
    TextDone { item_id: &'a str, output_index: usize, content_index: usize, text: &'a str },
    ArgumentsDelta { item_id: &'a str, output_index: usize, delta: &'a str },
    ArgumentsDone { item_id: &'a str, output_index: usize, name: &'a str, arguments: &'a str },
}
