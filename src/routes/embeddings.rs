//! `POST /v1/embeddings`: texts to vectors, by the provider the agent's `memory.search` names or by the embedded one.
//!
//! The embedded default, `builtin/hash`, is lexical: it finds words again, not meanings. Nothing is stored here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crossbeam_channel::bounded;

use super::{HttpError, Visit, asking, json_of};
use crate::config::Config;
use crate::net::{Exchange, Reply, Waited};
use crate::providers::registry::{ModelRef, Registry};
use crate::providers::{Embeddings, ProviderError, builtin};
use crate::sys::abort::Abort;
use crate::wire::embeddings::*;
use crate::wire::scope::Scope;

/// Texts of one request, characters of one text and of all.
const INPUTS: usize = 128;
const INPUT_CHARS: usize = 8192;
const TOTAL_CHARS: usize = 65_536;
/// The thread that asks the provider parses a JSON answer and does TLS.
const STACK: usize = crate::sys::stack(512 << 10);

pub fn create(visit: &Visit<'_>, exchange: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    let body = visit.body(exchange)?;
    let request: EmbeddingsRequest = asking::parse(&body)?;
    drop(body);
    let model = request.model.as_deref().map(str::trim).filter(|model| !model.is_empty());
    let model = model.ok_or_else(|| HttpError::invalid("Missing `model`."))?;
    let agent_id = asking::agent(visit, exchange.header("x-openclaw-agent-id"), model)?;
    let texts = texts(request.input)?;
    let registry = visit.site.engine.registry.get();
    let chosen = exchange.header("x-openclaw-model").map(str::trim).filter(|name| !name.is_empty());
    if chosen.is_some() {
        visit.needs(Scope::Admin)?;
    }
    let target = target(&visit.config, &registry, &agent_id, chosen)?;
    let wanted = asking::positive("dimensions", request.dimensions)?;
    let dimensions = wanted.or_else(|| setting(&visit.config, &agent_id, |search| search.output_dimensionality));
    if target.provider == builtin::PROVIDER && dimensions.is_some_and(|d| d as usize > builtin::DIMENSIONS_CAP) {
        let cap = builtin::DIMENSIONS_CAP;
        return Err(HttpError::invalid(format!("dimensions: Too big: {target} has at most {cap}")));
    }
    let found = embed(exchange, &registry, target, texts, dimensions)?;
    let format = request.encoding_format.unwrap_or_default();
    let data = found.vectors.into_iter().enumerate().map(|(index, vector)| Embedding {
        object: "embedding",
        index,
        embedding: match format {
            EncodingFormat::Float => Vector::Floats(vector),
            EncodingFormat::Base64 => Vector::Base64(encoded(&vector)),
        },
    });
    let prompt_tokens = found.usage.input + found.usage.cache_read;
    let usage = EmbeddingUsage { prompt_tokens, total_tokens: prompt_tokens };
    json_of(200, &EmbeddingList { object: "list", data: data.collect(), model, usage })
}

fn texts(input: Option<EmbeddingInput>) -> Result<Vec<String>, HttpError> {
    let texts = match input {
        Some(EmbeddingInput::One(text)) => vec![text],
        Some(EmbeddingInput::Many(texts)) => texts,
        Some(EmbeddingInput::Other(_)) | None => {
            return Err(HttpError::invalid("`input` must be a string or an array of strings."));
        }
    };
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        return Err(HttpError::invalid("`input` must contain at least one non-empty string."));
    }
    if texts.len() > INPUTS {
        return Err(HttpError::invalid(format!("Too many inputs (max {INPUTS}).")));
    }
    let counts: Vec<usize> = texts.iter().map(|text| text.chars().count()).collect();
    if counts.iter().any(|count| *count > INPUT_CHARS) {
        return Err(HttpError::invalid(format!("Input too long (max {INPUT_CHARS} chars).")));
    }
    if counts.iter().sum::<usize>() > TOTAL_CHARS {
        return Err(HttpError::invalid(format!("Total input too large (max {TOTAL_CHARS} chars).")));
    }
    Ok(texts)
}

/// A setting of `memory.search`: the agent's own, or everybody's.
fn setting<T>(
    config: &Config,
    agent_id: &str,
    of: impl Fn(&crate::config::sections::MemorySearch) -> Option<T>,
) -> Option<T> {
    config.agent(agent_id).and_then(|agent| of(&agent.memory.search)).or_else(|| of(&config.memory.search))
}

/// Who makes the vectors: the request's choice within what the agent's configuration allows, else that configuration.
fn target(config: &Config, registry: &Registry, agent_id: &str, chosen: Option<&str>) -> Result<ModelRef, HttpError> {
    let unsupported = || HttpError::invalid("Unsupported embedding model reference.");
    let configured = setting(config, agent_id, |search| search.provider.clone());
    let configured = configured.map(|id| id.trim().to_ascii_lowercase()).filter(|id| !id.is_empty());
    let model = setting(config, agent_id, |search| search.model.clone());
    let target = match (chosen.map(|name| name.split_once('/')), &configured) {
        (Some(Some((provider, model))), configured) => {
            if configured.as_deref().is_some_and(|allowed| !allowed.eq_ignore_ascii_case(provider)) {
                let text = "This agent does not allow that embedding provider on `/v1/embeddings`.";
                return Err(HttpError::invalid(text));
            }
            ModelRef::new(provider.to_ascii_lowercase(), model.trim())
        }
        (Some(None), configured) => {
            ModelRef::new(configured.as_deref().unwrap_or(builtin::PROVIDER), chosen.unwrap_or_default())
        }
        (None, Some(provider)) if provider != builtin::PROVIDER => {
            let model = model.ok_or_else(|| {
                HttpError::invalid(format!("memory.search.model is not set: {provider} must be told which model"))
            })?;
            // The model may be written with its provider.
            let own = model.strip_prefix(&format!("{provider}/")).unwrap_or(&model);
            ModelRef::new(provider.as_str(), own)
        }
        (None, _) => ModelRef::new(builtin::PROVIDER, builtin::EMBED_MODEL),
    };
    let known = registry.providers().any(|id| id == target.provider);
    let hashes = target.provider != builtin::PROVIDER || target.model == builtin::EMBED_MODEL;
    if target.model.is_empty() || !hashes || !known {
        return Err(unsupported());
    }
    Ok(target)
}

/// Asks the provider on a thread of its own, so that a client that leaves can be noticed meanwhile.
fn embed(
    exchange: &mut Exchange<'_>,
    registry: &Registry,
    target: ModelRef,
    texts: Vec<String>,
    dimensions: Option<u32>,
) -> Result<Embeddings, HttpError> {
    let provider = registry.resolve(&target).map_err(|error| refused(&error))?;
    let abort = Abort::new();
    if target.provider == builtin::PROVIDER {
        return provider.embed(&target.model, &texts, dimensions, &abort).map_err(|error| refused(&error));
    }
    let (answer, answered) = bounded(1);
    let (stop, own) = (abort.clone(), abort);
    let asked = std::thread::Builder::new().name("embed".into()).stack_size(STACK).spawn(move || {
        // The handler may have left: then nobody needs the vectors.
        let _ = answer.send(provider.embed(&target.model, &texts, dimensions, &own));
    });
    asked.map_err(|error| {
        log::error!("start a thread for embeddings: {error}");
        HttpError::unavailable("the gateway could not start a thread")
    })?;
    match exchange.wait(&answered, None) {
        Waited::Got(result) => result.map_err(|error| refused(&error)),
        Waited::PeerGone => {
            stop.fire();
            Err(HttpError::unavailable("the client left"))
        }
        Waited::Ended | Waited::TimedOut => Err(HttpError::internal()),
    }
}

fn refused(error: &ProviderError) -> HttpError {
    match error {
        ProviderError::Upstream { status: 400 | 404 | 413 | 422, .. } => HttpError::invalid(error.detail()),
        ProviderError::Upstream { status: 429, .. } => HttpError::run(429, &error.detail()),
        ProviderError::UnknownModel { .. } => HttpError::invalid(error.to_string()),
        ProviderError::Unsupported(_) => HttpError::invalid("This provider has no embeddings."),
        ProviderError::NoCredentials { .. } => HttpError::run(503, &error.to_string()),
        ProviderError::Timeout { .. } => HttpError::run(504, &error.to_string()),
        _ => HttpError::run(502, &error.to_string()),
    }
}

fn encoded(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(error: HttpError) -> String {
        error.parts().1.to_string()
    }

    #[test]
    fn inputs_are_texts_within_their_limits() {
        let check = |json: String| {
            let request: EmbeddingsRequest = asking::parse(json.as_bytes()).map_err(message)?;
            texts(request.input).map(|texts| texts.len()).map_err(message)
        };
        assert_eq!(check(r#"{"input":"a"}"#.into()), Ok(1));
        assert_eq!(check(r#"{"input":["a","b"]}"#.into()), Ok(2));
        for tokens in ["[1,2,3]", "[[1,2],[3]]", "7", "{}"] {
            let words = "`input` must be a string or an array of strings.";
            assert_eq!(check(format!(r#"{{"input":{tokens}}}"#)), Err(words.into()), "{tokens}");
        }
        for empty in [r#""""#, "[]", r#"["a",""]"#] {
            let words = "`input` must contain at least one non-empty string.";
            assert_eq!(check(format!(r#"{{"input":{empty}}}"#)), Err(words.into()), "{empty}");
        }
        let many = |count: usize, chars: usize| {
            let list: Vec<String> = (0..count).map(|_| format!("\"{}\"", "ä".repeat(chars))).collect();
            check(format!(r#"{{"input":[{}]}}"#, list.join(",")))
        };
        assert_eq!(many(128, 512), Ok(128));
        assert_eq!(many(129, 1), Err("Too many inputs (max 128).".into()));
        assert_eq!(many(1, 8193), Err("Input too long (max 8192 chars).".into()));
        assert_eq!(many(9, 8000), Err("Total input too large (max 65536 chars).".into()));
    }

    #[test]
    fn vectors_are_little_endian_in_base64() {
        assert_eq!(encoded(&[1.0, -2.0]), STANDARD.encode([0, 0, 128, 63, 0, 0, 0, 192]));
    }
}
