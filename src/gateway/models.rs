//! From the configuration to the registry of providers, and from that to the rows clients see.

use std::sync::Arc;

use crate::config::models::{CatalogMode, MaxTokensField, ModelConfig};
use crate::config::{Config, ModelApi, keys};
use crate::hub::Catalogue;
use crate::providers::builtin::Facts;
use crate::providers::known::KNOWN;
use crate::providers::registry::{Join, Registry};
use crate::providers::settings::{Api, Origin, Profile, ProviderSettings, Timeouts};
use crate::providers::{Compat, Cost, ModelInfo};
use crate::sys::secret::Secret;
use crate::wire::models::{ModelChoice, effort, thinking_levels};

/// Builds the registry; `found` are local servers that were discovered.
pub fn registry(config: &Config, found: Vec<ProviderSettings>, facts: Arc<dyn Facts>) -> Registry {
    let mut settings = configured(config);
    settings.extend(implied(config, &settings));
    settings.extend(found);
    let vars = config.vars.clone();
    let join = match config.models.mode {
        CatalogMode::Merge => Join::Known,
        CatalogMode::Replace => Join::Nobody,
    };
    Registry::build(settings, join, &|name| vars.get(name).map(str::to_string), facts)
}

fn configured(config: &Config) -> Vec<ProviderSettings> {
    let mut list = Vec::new();
    for (id, provider) in &config.models.providers {
        let Some(base_url) = provider.base_url.as_deref().filter(|url| !url.trim().is_empty()) else {
            log::warn!("models.providers.{id} has no baseUrl and is left out");
            continue;
        };
        let Some(api) = spoken(provider.api) else {
            log::warn!("models.providers.{id}.api: this gateway speaks openai-completions and anthropic-messages");
            continue;
        };
        let mut settings = ProviderSettings::new(id.clone(), base_url.trim(), api);
        settings.api_key.clone_from(&provider.api_key);
        settings.unresolved = config.unresolved_below(&keys::join("models.providers", id));
        match provider.auth.as_deref() {
            Some(kind @ ("oauth" | "aws-sdk")) => {
                let reason =
                    format!("models.providers.{id}.auth: {kind} is not spoken here; use an API key or a token");
                settings.unresolved = settings.unresolved.or(Some(reason));
            }
            kind => settings.bearer = provider.auth_header.unwrap_or(kind == Some("token")),
        }
        profiles(config, &mut settings);
        settings.headers = provider.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        if let Some(seconds) = provider.timeout_seconds.filter(|s| *s > 0) {
            settings.timeouts = Timeouts::from_seconds(seconds);
        }
        let common = settings.clone();
        for model in &provider.models {
            let Some(own) = own_terms(model, &common) else {
                log::warn!("models.providers.{id}: the api of {} is not spoken here; the model is left out", model.id);
                continue;
            };
            let at = own.as_ref().unwrap_or(&common);
            let info = info(model, provider.max_tokens, at.is_local());
            settings.apart.extend(own.map(|own| ProviderSettings { models: vec![info.clone()], ..own }));
            settings.models.push(info);
        }
        list.push(settings);
    }
    list
}

fn spoken(api: Option<ModelApi>) -> Option<Api> {
    match api {
        None | Some(ModelApi::OpenaiCompletions) => Some(Api::OpenAiCompletions),
        Some(ModelApi::AnthropicMessages) => Some(Api::AnthropicMessages),
        Some(_) => None,
    }
}

/// How a model is asked that is not asked like the others of its provider. The outer `None`: in no way we know.
fn own_terms(model: &ModelConfig, common: &ProviderSettings) -> Option<Option<ProviderSettings>> {
    let api = match model.api {
        None => common.api,
        own => spoken(own)?,
    };
    let base_url = model.base_url.as_deref().map(str::trim).filter(|url| !url.is_empty());
    if api == common.api && base_url.is_none() && model.headers.is_empty() {
        return Some(None);
    }
    let mut own = ProviderSettings { api, ..common.clone() };
    if let Some(url) = base_url {
        own.base_url = url.to_owned();
    }
    for (name, value) in &model.headers {
        own.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        own.headers.push((name.clone(), value.clone()));
    }
    Some(Some(own))
}

fn info(model: &ModelConfig, max_tokens: Option<u64>, local: bool) -> ModelInfo {
    let (cost, compat) = (&model.cost, &model.compat);
    ModelInfo {
        id: model.id.clone(),
        name: model.name.clone().unwrap_or_else(|| model.id.clone()),
        context_window: model.context_tokens.or(model.context_window).unwrap_or(0),
        max_tokens: model.max_tokens.or(max_tokens).unwrap_or(0),
        reasoning: model.reasoning,
        images: model.input.iter().any(|kind| kind == "image"),
        local,
        cost: Cost {
            input: cost.input,
            output: cost.output,
            cache_read: cost.cache_read,
            cache_write: cost.cache_write,
        },
        compat: Compat {
            tools: compat.supports_tools,
            developer_role: compat.supports_developer_role,
            usage_in_streaming: compat.supports_usage_in_streaming,
            reasoning_effort: compat.supports_reasoning_effort,
            temperature: compat.supports_temperature,
            string_content: compat.requires_string_content == Some(true),
            max_completion_tokens: compat.max_tokens_field.map(|field| field == MaxTokensField::MaxCompletionTokens),
        },
    }
}

/// Providers we know by name that the file only has profiles for.
fn implied(config: &Config, there: &[ProviderSettings]) -> Vec<ProviderSettings> {
    let mut all = Vec::new();
    for known in KNOWN {
        let own = config.auth.profiles.values().any(|profile| profile.provider == known.id);
        if own && !there.iter().any(|settings| settings.id == known.id) {
            let mut settings = known.settings(Secret::default());
            settings.origin = Origin::Configured;
            profiles(config, &mut settings);
            all.push(settings);
        }
    }
    all
}

/// Puts in the credentials of `auth.profiles`. One that cannot be had is left out, and when none is left that is said;
/// nothing else takes their place.
fn profiles(config: &Config, settings: &mut ProviderSettings) {
    let own = config.auth_profiles(&settings.id);
    if own.is_empty() {
        return;
    }
    let mut reason = None;
    for (id, profile) in own {
        match profile.credential() {
            Some(credential) => {
                let (id, credential) = (id.to_owned(), credential.clone());
                settings.profiles.push(Profile { id, credential, expires: profile.expires });
            }
            None => {
                let lost = config.unresolved_below(&keys::join("auth.profiles", id));
                reason =
                    reason.or(lost).or_else(|| Some(format!("auth.profiles {id:?} has no credential to use here")));
            }
        }
    }
    let headers = keys::join(&keys::join("models.providers", &settings.id), "headers");
    settings.unresolved = reason.filter(|_| settings.profiles.is_empty()).or_else(|| config.unresolved_below(&headers));
}

/// What clients see of it. The default agent's model is marked.
pub fn catalogue(config: &Config, registry: &Registry) -> Catalogue {
    let agent = config.default_agent_id();
    let named = config.primary_model(agent).map(|name| config.model_for_alias(agent, name).unwrap_or(name));
    let default = named.and_then(|name| registry.find(name).ok()).unwrap_or_else(|| registry.default_model());
    let thinking = config.thinking_defaults(agent).1.and_then(effort);
    let own = |id: &str| Some((id.to_owned(), effort(config.thinking_defaults(id).0?)?));
    let rows = registry
        .catalogue()
        .into_iter()
        .map(|row| ModelChoice {
            tags: if row.provider == default.provider && row.info.id == default.model {
                vec!["default"]
            } else {
                vec![]
            },
            id: row.info.id.clone(),
            name: if row.info.name.is_empty() { row.info.id } else { row.info.name },
            provider: row.provider,
            context_window: (row.info.context_window > 0).then_some(row.info.context_window),
            local: row.info.local,
            input: if row.info.images { vec!["text", "image"] } else { vec!["text"] },
            reasoning: row.info.reasoning,
            thinking_levels: thinking_levels(row.info.reasoning),
            thinking_default: thinking.filter(|_| row.info.reasoning).unwrap_or("off"),
            available: row.available,
            unavailable_reason: (!row.available).then_some("missing-auth"),
        })
        .collect();
    Catalogue {
        rows,
        thinking,
        thinking_of: config.agent_ids().into_iter().filter_map(own).collect(),
        context_tokens: registry.info(&default).map_or(0, |info| info.context_window),
        configured: default.provider != crate::providers::builtin::PROVIDER,
        provider: default.provider,
        model: default.model,
    }
}
