//! The shapes of `POST /v1/embeddings`.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::wire::object::objects;

objects! { plain:
    #[derive(Debug)]
    pub struct EmbeddingsRequest {
        pub model: Option<String>,
        pub input: Option<EmbeddingInput>,
        pub encoding_format: Option<EncodingFormat>,
        pub dimensions: Option<f64>,
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum EmbeddingInput {
    One(String),
    Many(Vec<String>),
    /// Token arrays among others: tokens mean nothing without their tokeniser.
    Other(IgnoredAny),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncodingFormat {
    #[default]
    Float,
    /// Little-endian 32-bit floats.
    Base64,
}

#[derive(Debug, Serialize)]
pub struct EmbeddingList<'a> {
    pub object: &'static str,
    pub data: Vec<Embedding>,
    pub model: &'a str,
    pub usage: EmbeddingUsage,
}

#[derive(Debug, Serialize)]
pub struct Embedding {
    pub object: &'static str,
    pub index: usize,
    pub embedding: Vector,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Vector {
    Floats(Vec<f32>),
    Base64(String),
}

#[derive(Debug, Serialize)]
pub struct EmbeddingUsage {
    pub prompt_tokens: u64,
    pub total_tokens: u64,
}
