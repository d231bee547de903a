//! Anthropic Messages.
//!
//! Does not retry, does not choose models, does not run tools; there are no embeddings in this API.
//!
//! Invariants: a tool call is delivered once and whole, when its block ends; a stream without `message_stop` (or at
//! least a stop reason) is [`ProviderError::Garbled`].

mod request;
mod stream;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::time::Duration;

use serde::Deserialize;

use super::http::Upstream;
use super::settings::ProviderSettings;
use super::{Delta, Finish, ModelInfo, Provider, ProviderError, Turn};
use crate::sys::abort::Abort;
use crate::wire::misfit;

/// One endpoint that speaks Anthropic Messages.
pub struct Anthropic {
    upstream: Upstream,
    models: Vec<ModelInfo>,
    /// `/v1`, unless the base URL ends in it already.
    prefix: &'static str,
}

impl Anthropic {
    /// Checks the settings; opens nothing.
    pub fn new(settings: &ProviderSettings) -> Result<Anthropic, ProviderError> {
        let mut auth = vec![("anthropic-version", VERSION.to_string())];
        if let Some(key) = settings.api_key.as_ref().filter(|key| !key.is_empty()) {
            auth.push(match settings.bearer {
                true => ("authorization", format!("Bearer {}", key.expose())),
                false => ("x-api-key", key.expose().to_string()),
            });
        }
        Ok(Anthropic {
            upstream: Upstream::new(settings, &auth)?,
            models: settings.models.clone(),
            prefix: if settings.base().ends_with("/v1") { "" } else { "/v1" },
        })
    }
}

impl Provider for Anthropic {
    fn models(&self) -> Result<Vec<ModelInfo>, ProviderError> {
        if !self.models.is_empty() {
            return Ok(self.models.clone());
        }
        let body = self.upstream.get(&format!("{}/models?limit=1000", self.prefix), LIST_TIME, &Abort::new())?;
        let list: ModelList = misfit::read_bytes(&body)
            .map_err(|misfit| ProviderError::Garbled { what: format!("model list: {}", misfit.sentence()) })?;
        let row = |row: ModelRow| ModelInfo {
            name: row.display_name.unwrap_or_else(|| row.id.clone()),
            id: row.id,
            context_window: CONTEXT_WINDOW,
            images: true,
            ..ModelInfo::default()
        };
        Ok(list.data.into_iter().map(row).collect())
    }

    fn chat(
        &self,
        turn: &Turn,
        abort: &Abort,
        each: &mut dyn FnMut(Delta) -> ControlFlow<()>,
    ) -> Result<Finish, ProviderError> {
        let known = self.models.iter().find(|model| model.id == turn.model);
        let body = request::body(turn, known);
        let answer = self.upstream.post(&format!("{}/messages", self.prefix), &body, abort)?;
        if !answer.content_type.contains("text/event-stream") {
            let what = format!("not an event stream but \"{}\"; is the base URL right?", answer.content_type);
            return Err(ProviderError::Garbled { what });
        }
        let mut assembly = stream::Assembly::new(&self.upstream, each);
        answer.events(&mut |event| assembly.event(event.data))?;
        assembly.finish()
    }
}

#[derive(Deserialize)]
struct ModelList {
    data: Vec<ModelRow>,
}

#[derive(Deserialize)]
struct ModelRow {
    id: String,
    display_name: Option<String>,
}

/// The API version this code was written for.
const VERSION: &str = "2023-06-01";

/// Every current model has at least this; the list does not say.
const CONTEXT_WINDOW: u64 = 200_000;

/// A person waits for the list.
const LIST_TIME: Duration = Duration::from_secs(5);
