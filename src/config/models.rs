//! The `models` section: where models are and what they can do.
//!
//! Shapes only; turning a row into something that answers is the providers' business.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::sys::secret::Secret;
use crate::wire::object::objects;
use crate::wire::sorted::Sorted;

objects! { kept:
    /// `models.*`.
    #[derive(Debug, Clone, Default)]
    pub struct ModelsConfig {
        pub mode: CatalogMode,
        pub providers: Sorted<String, ProviderConfig>,
    }
}

/// `models.mode`: do configured providers join the built-in ones or replace them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatalogMode {
    #[default]
    Merge,
    Replace,
}

objects! { kept:
    /// `models.providers.<id>.*`.
    #[derive(Debug, Clone, Default)]
    pub struct ProviderConfig {
        pub base_url: Option<String>,
        pub api_key: Option<Secret>,
        /// `api-key`, `token`, `oauth`, `aws-sdk`.
        pub auth: Option<String>,
        pub api: Option<ModelApi>,
        /// Send the key as `Authorization: Bearer` where the protocol would use another header.
        pub auth_header: Option<bool>,
        /// Extra request headers; values may be credentials.
        pub headers: Sorted<String, Secret>,
        /// Longest call.
        pub timeout_seconds: Option<u64>,
        pub max_tokens: Option<u64>,
        pub params: Map<String, Value>,
        pub models: Vec<ModelConfig>,
    }
}

/// The wire protocol a provider or one of its models speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelApi {
    OpenaiCompletions,
    OpenaiResponses,
    AnthropicMessages,
    Ollama,
    /// One the reference knows and this gateway does not speak.
    #[serde(other)]
    Other,
}

objects! { kept:
    /// `models.providers.<id>.models[]`.
    #[derive(Debug, Clone, Default)]
    pub struct ModelConfig {
        pub id: String,
        pub name: Option<String>,
        pub api: Option<ModelApi>,
        pub base_url: Option<String>,
        pub reasoning: bool,
        /// `text`, `image`, `audio`, `video`; empty means text.
        pub input: Vec<String>,
        /// Tokens the model can hold.
        pub context_window: Option<u64>,
        /// Tokens this gateway sends at most, when less than the window.
        pub context_tokens: Option<u64>,
        /// Tokens the model can answer with.
        pub max_tokens: Option<u64>,
        pub cost: ModelCost,
        pub headers: Sorted<String, Secret>,
        pub params: Map<String, Value>,
        pub compat: ModelCompat,
    }

    /// US dollars per million tokens.
    #[derive(Debug, Clone, Copy, Default, PartialEq)]
    pub struct ModelCost {
        pub input: f64,
        pub output: f64,
        pub cache_read: f64,
        pub cache_write: f64,
    }

    /// Where an endpoint differs from the protocol it claims. `None` is "as the protocol says".
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct ModelCompat {
        pub supports_tools: Option<bool>,
        pub supports_developer_role: Option<bool>,
        pub supports_usage_in_streaming: Option<bool>,
        pub supports_reasoning_effort: Option<bool>,
        pub supports_temperature: Option<bool>,
        pub requires_string_content: Option<bool>,
        pub max_tokens_field: Option<MaxTokensField>,
    }
}

/// What the limit of an answer is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensField {
    MaxTokens,
    MaxCompletionTokens,
}
