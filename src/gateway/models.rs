//! From the configuration to the registry of providers, and from that to the rows clients see.

use std::sync::Arc;

use crate::config::{Config, ModelApi, keys};
use crate::hub::Catalogue;
use crate::providers::builtin::Facts;
use crate::providers::known::KNOWN;
use crate::providers::registry::Registry;
use crate::providers::settings::{Api, Origin, Profile, ProviderSettings, Timeouts};
use crate::providers::{Cost, ModelInfo};
use crate::sys::secret::Secret;
use crate::wire::models::{ModelChoice, thinking_levels};

/// Builds the registry; `found` are local servers that were discovered.
pub fn registry(config: &Config, found: Vec<ProviderSettings>, facts: Arc<dyn Facts>) -> Registry {
    let mut settings = configured(config);
    settings.extend(implied(config, &settings));
    settings.extend(found);
    let vars = config.vars.clone();
    Registry::build(settings, &|name| vars.get(name).map(str::to_string), facts)
}

fn configured(config: &Config) -> Vec<ProviderSettings> {
    let mut list = Vec::new();
    for (id, provider) in &config.models.providers {
        let Some(base_url) = provider.base_url.as_deref().filter(|url| !url.trim().is_empty()) else {
            log::warn!("models.providers.{id} has no baseUrl and is left out");
            continue;
        };
        let api = match provider.api {
            None | Some(ModelApi::OpenaiCompletions) => Api::OpenAiCompletions,
            Some(ModelApi::AnthropicMessages) => Api::AnthropicMessages,
            Some(_) => {
                log::warn!("models.providers.{id}.api: this gateway speaks openai-completions and anthropic-messages");
                continue;
            }
        };
        let mut settings = ProviderSettings::new(id.clone(), base_url.trim(), api);
        settings.api_key.clone_from(&provider.api_key);
        settings.unresolved = config.unresolved_below(&keys::join("models.providers", id));
        profiles(config, &mut settings);
        settings.headers = provider.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        if let Some(seconds) = provider.timeout_seconds.filter(|s| *s > 0) {
            settings.timeouts = Timeouts::from_seconds(seconds);
        }
        let local = settings.is_local();
        settings.models = provider
            .models
            .iter()
            .map(|model| ModelInfo {
                id: model.id.clone(),
                name: model.name.clone().unwrap_or_else(|| model.id.clone()),
                context_window: model.context_tokens.or(model.context_window).unwrap_or(0),
                max_tokens: model.max_tokens.or(provider.max_tokens).unwrap_or(0),
                reasoning: model.reasoning,
                images: model.input.iter().any(|kind| kind == "image"),
                local,
                cost: Cost {
                    input: model.cost.input,
                    output: model.cost.output,
                    cache_read: model.cost.cache_read,
                    cache_write: model.cost.cache_write,
                },
            })
            .collect();
        list.push(settings);
    }
    list
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
    let named = config.primary_model(agent).map(|name| config.model_for_alias(name).unwrap_or(name));
    let default = named.and_then(|name| registry.find(name).ok()).unwrap_or_else(|| registry.default_model());
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
            thinking_default: "off",
            available: row.available,
            unavailable_reason: (!row.available).then_some("missing-auth"),
        })
        .collect();
    Catalogue {
        rows,
        context_tokens: registry.info(&default).map_or(0, |info| info.context_window),
        configured: default.provider != crate::providers::builtin::PROVIDER,
        provider: default.provider,
        model: default.model,
    }
}
