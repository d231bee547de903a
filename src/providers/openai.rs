//! OpenAI-compatible endpoints: chat completions, embeddings, model list.
//!
//! One dialect for OpenAI, OpenRouter, llama.cpp, vLLM, LM Studio, Ollama's `/v1` and many more, lenient in what it
//! accepts from them. Does not retry, does not choose models, does not run tools.
//!
//! Invariants: a tool call is delivered once and whole; a stream that stops without a finish reason or `[DONE]` is
//! [`ProviderError::Garbled`], never a short answer.

mod request;
mod stream;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::http::payload::Payload;
use super::http::{Flow, Upstream};
use super::settings::ProviderSettings;
use super::{Delta, Embeddings, Finish, ModelInfo, Provider, ProviderError, Turn, Usage};
use crate::sys::abort::Abort;
use crate::sys::order;
use crate::wire::misfit;

/// One OpenAI-compatible endpoint.
pub struct OpenAi {
    upstream: Upstream,
    models: Vec<ModelInfo>,
    local: bool,
    dialect: request::Dialect,
}

impl OpenAi {
    /// Checks the settings; opens nothing.
    pub fn new(settings: &ProviderSettings) -> Result<OpenAi, ProviderError> {
        let key = settings.api_key.as_ref().filter(|key| !key.is_empty());
        let auth: Vec<_> = key.map(|key| ("authorization", format!("Bearer {}", key.expose()))).into_iter().collect();
        Ok(OpenAi {
            upstream: Upstream::new(settings, &auth)?,
            models: settings.models.clone(),
            local: settings.is_local(),
            dialect: request::Dialect::of(settings.host()),
        })
    }

    fn model(&self, id: &str) -> Option<&ModelInfo> {
        self.models.iter().find(|model| model.id == id)
    }
}

impl Provider for OpenAi {
    fn models(&self) -> Result<Vec<ModelInfo>, ProviderError> {
        if !self.models.is_empty() {
            return Ok(self.models.clone());
        }
        let body = self.upstream.get("/models", LIST_TIME, &Abort::new())?;
        listed(&body, self.local)
    }

    fn chat(
        &self,
        turn: &Turn,
        abort: &Abort,
        each: &mut dyn FnMut(Delta) -> ControlFlow<()>,
    ) -> Result<Finish, ProviderError> {
        let body = request::body(turn, self.dialect, self.model(&turn.model));
        let answer = self.upstream.post("/chat/completions", &body, abort)?;
        let mut assembly = stream::Assembly::new(&self.upstream, each);
        if answer.content_type.contains("text/html") {
            return Err(ProviderError::Garbled { what: "a web page; is the base URL right (most end in /v1)?".into() });
        }
        if !answer.content_type.contains("json") && !answer.content_type.is_empty() {
            answer.events(&mut |event| assembly.event(event.data))?;
            return assembly.finish();
        }
        // The server ignored `stream`, or streams without saying so.
        let body = answer.whole(PLAIN_CAP)?;
        if body.trim_ascii_start().starts_with(b"{") {
            assembly.plain(&body)?;
        } else {
            replay(&body, &mut |data| assembly.event(data))?;
        }
        assembly.finish()
    }

    fn embed(
        &self,
        model: &str,
        input: &[String],
        dimensions: Option<u32>,
        abort: &Abort,
    ) -> Result<Embeddings, ProviderError> {
        let request = EmbedRequest { model, input, dimensions, encoding_format: "float" };
        let body = serde_json::to_vec(&request).expect("strings and numbers always serialise");
        let answer = self.upstream.post("/embeddings", &Payload::plain(body), abort)?.whole(EMBEDDINGS_CAP)?;
        let parsed: EmbedAnswer = misfit::read_bytes(&answer)
            .map_err(|misfit| ProviderError::Garbled { what: format!("embeddings: {}", misfit.sentence()) })?;
        let mut rows = parsed.data;
        order::by_key(&mut rows, |row| row.index);
        if rows.len() != input.len() {
            let what = format!("{} embeddings for {} inputs", rows.len(), input.len());
            return Err(ProviderError::Garbled { what });
        }
        let usage = parsed.usage.map(|usage| usage.neutral()).unwrap_or_default();
        Ok(Embeddings { vectors: rows.into_iter().map(|row| row.embedding).collect(), usage })
    }
}

/// Feeds a body that was read whole through the event decoder.
fn replay(body: &[u8], each: &mut dyn FnMut(&str) -> Result<Flow, ProviderError>) -> Result<(), ProviderError> {
    let mut decoder = super::sse_decoder::SseDecoder::new();
    decoder.push(body);
    decoder.end();
    while let Some(event) = decoder.next_event() {
        let event = event.map_err(|error| ProviderError::Garbled { what: error.to_string() })?;
        if each(event.data)? == Flow::Last {
            break;
        }
    }
    Ok(())
}

/// Reads a `/models` answer.
pub(super) fn listed(body: &[u8], local: bool) -> Result<Vec<ModelInfo>, ProviderError> {
    let parsed: ModelList = misfit::read_bytes(body)
        .map_err(|misfit| ProviderError::Garbled { what: format!("model list: {}", misfit.sentence()) })?;
    let rows = parsed.data.into_iter().chain(parsed.models);
    let mut models: Vec<ModelInfo> = Vec::new();
    for row in rows.take(MODELS_CAP) {
        let Some(id) = row.id.or(row.model).or_else(|| row.name.clone()) else {
            continue;
        };
        if models.iter().any(|known| known.id == id) {
            continue;
        }
        let meta = row.meta.and_then(|meta| meta.n_ctx_train);
        models.push(ModelInfo {
            name: row.name.unwrap_or_else(|| id.clone()),
            context_window: row.context_length.or(row.max_model_len).or(row.max_context_length).or(meta).unwrap_or(0),
            local,
            id,
            ..ModelInfo::default()
        });
    }
    Ok(models)
}

/// OpenAI lists under `data`, llama.cpp adds `models`, Ollama's own list has only that.
#[derive(Deserialize)]
struct ModelList {
    #[serde(default)]
    data: Vec<ModelRow>,
    #[serde(default)]
    models: Vec<ModelRow>,
}

#[derive(Deserialize)]
struct ModelRow {
    id: Option<String>,
    name: Option<String>,
    model: Option<String>,
    /// OpenRouter.
    context_length: Option<u64>,
    /// vLLM.
    max_model_len: Option<u64>,
    /// LM Studio.
    max_context_length: Option<u64>,
    /// llama.cpp.
    meta: Option<ModelMeta>,
}

#[derive(Deserialize)]
struct ModelMeta {
    n_ctx_train: Option<u64>,
}

#[derive(Serialize)]
struct EmbedRequest<'a> {
    model: &'a str,
    input: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
    encoding_format: &'static str,
}

#[derive(Deserialize)]
struct EmbedAnswer {
    data: Vec<EmbedRow>,
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct EmbedRow {
    #[serde(default)]
    index: u32,
    embedding: Vec<f32>,
}

/// Token counts as the various servers write them.
#[derive(Debug, Default, Deserialize)]
struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    /// DeepSeek.
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

impl WireUsage {
    fn neutral(&self) -> Usage {
        let prompt = self.prompt_tokens.unwrap_or(0);
        let output = self.completion_tokens.unwrap_or(0);
        let detail = self.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens);
        let cache_read = detail.or(self.prompt_cache_hit_tokens).unwrap_or(0).min(prompt);
        Usage {
            input: prompt - cache_read,
            output,
            cache_read,
            cache_write: 0,
            total_tokens: self.total_tokens.unwrap_or(prompt + output),
        }
    }
}

/// A person waits for the list, and a broken endpoint must not hold up the others.
const LIST_TIME: Duration = Duration::from_secs(5);

/// More models than any gateway lists; a longer list is cut.
const MODELS_CAP: usize = 2000;

/// A whole answer in one piece of JSON.
const PLAIN_CAP: usize = 16 << 20;

/// 2,048 inputs of 3,072 dimensions as decimal text are about this much.
const EMBEDDINGS_CAP: usize = 64 << 20;
