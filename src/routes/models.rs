//! `GET /v1/models`: agents, under the names OpenAI clients call models.

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
        None => Err(HttpError::invalid("Invalid model id.")),
    }
}
