//! `GET /v1/models`: agents, under the names OpenAI clients call models.

use super::asking::AGENT_PREFIXES;
use super::{HttpError, Visit, json_of};
use crate::net::{Exchange, Reply};
use crate::wire::openai::{Model, ModelList};

/// `openclaw`, `openclaw/default`, then one per agent.
fn ids(visit: &Visit<'_>) -> Vec<String> {
    let mut ids = vec!["openclaw".to_string(), "openclaw/default".to_string()];
    ids.extend(visit.config.agent_ids().iter().map(|id| format!("openclaw/{id}")));
    ids
}

pub fn list(visit: &Visit<'_>, _: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    let ids = ids(visit);
    json_of(200, &ModelList { object: "list", data: ids.iter().map(|id| Model::new(id)).collect() })
}

pub fn get(visit: &Visit<'_>, _: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    if visit.rest.is_empty() {
        return Err(HttpError::invalid("Missing model id."));
    }
    match ids(visit).iter().find(|id| **id == visit.rest) {
        Some(id) => json_of(200, &Model::new(id)),
        None if names_an_agent(&visit.rest) => Err(HttpError::no_model(&visit.rest)),
        None => Err(HttpError::invalid("Invalid model id.")),
    }
}

/// Whether a name is built as an agent's is, whoever that may be.
fn names_an_agent(model: &str) -> bool {
    let id = AGENT_PREFIXES.iter().find_map(|prefix| model.strip_prefix(prefix)).unwrap_or_default();
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    id.len() <= 64 && id.starts_with(|first: char| first.is_ascii_alphanumeric()) && id.bytes().all(inner)
}
