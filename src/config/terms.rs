//! On which terms an agent works: which models it may be given, what they are asked with, where its tools start.
//!
//! What an agent says of itself goes before what `agents.defaults` says; the questions are answered here, so that nobody
//! else repeats the order.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::Config;
use super::agents::ContextInjection;

/// Which models people and clients may choose for an agent: `modelPolicy.allow`. What the configuration itself names is
/// not chosen, and needs no permission.
#[derive(Debug, Clone, Copy)]
pub struct ModelPolicy<'a> {
    config: &'a Config,
    agent: &'a str,
    allow: &'a [String],
    /// The setting the list stands in.
    key: &'static str,
}

/// How much of the workspace goes into an agent's prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bootstrap {
    /// Characters of one file, and of all; `None`: the usual.
    pub file: Option<usize>,
    pub total: Option<usize>,
    pub injection: ContextInjection,
}

impl ModelPolicy<'_> {
    pub fn is_open(&self) -> bool {
        self.allow.is_empty()
    }

    /// Whether `provider/model` may be chosen. An entry is a name, an alias, or a beginning that ends in `/*`.
    pub fn allows(&self, provider: &str, model: &str) -> bool {
        let rest = |full: &str| full.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/')).map(str::to_owned);
        let fits = |entry: &String| {
            let entry = entry.trim();
            let full = self.config.model_for_alias(self.agent, entry).unwrap_or(entry);
            rest(full).is_some_and(|wanted| match wanted.strip_suffix('*') {
                Some(start) if start.is_empty() || start.ends_with('/') => model.starts_with(start),
                _ => wanted == model,
            })
        };
        self.is_open() || self.allow.iter().any(fits)
    }

    /// Why a model may not be chosen, and what would change that; the reference's words.
    pub fn refusal(&self, model: &str) -> String {
        let key = self.key;
        let provider = model.split_once('/').map_or(model, |(provider, _)| provider);
        format!(
            "Model override \"{model}\" is not allowed by {key}.\nAdd \"{model}\", \"{provider}/*\", or a narrower \
             \"{provider}/namespace/*\" prefix to {key}, or remove/empty the list to allow any model."
        )
    }
}

impl Config {
    /// Which models may be chosen for an agent.
    pub fn model_policy<'a>(&'a self, agent: &'a str) -> ModelPolicy<'a> {
        let own = self.agent(agent).and_then(|entry| entry.model_policy.allow.as_deref());
        let key = match own {
            Some(_) => "agents.entries.*.modelPolicy.allow",
            None => "agents.defaults.modelPolicy.allow",
        };
        let allow = own.or(self.agents.defaults.model_policy.allow.as_deref()).unwrap_or_default();
        ModelPolicy { config: self, agent, allow, key }
    }

    /// The full name behind a model's alias (`agents.*.models.<name>.alias`), ignoring case.
    pub fn model_for_alias(&self, agent: &str, alias: &str) -> Option<&str> {
        let own = self.agent(agent).map(|entry| &entry.models);
        let rows = own.into_iter().chain([&self.agents.defaults.models]).flat_map(|rows| rows.iter());
        let named = |given: &Option<String>| given.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(alias));
        rows.filter(|(_, row)| named(&row.alias)).map(|(name, _)| name.as_str()).next()
    }

    /// Parameters of a model's calls (`params`), the narrower over the wider: the provider's, the model's there, those of
    /// `agents.defaults`, of the model in `agents.defaults.models`, of the model for the agent, of the agent.
    pub fn model_params(&self, agent: &str, provider: &str, model: &str) -> Map<String, Value> {
        let full = format!("{provider}/{model}");
        let there = self.models.providers.get(provider);
        let row = there.and_then(|there| there.models.iter().find(|row| row.id == model));
        let (defaults, entry) = (&self.agents.defaults, self.agent(agent));
        let layers = [
            there.map(|there| &there.params),
            row.map(|row| &row.params),
            Some(&defaults.params),
            defaults.models.get(&full).map(|row| &row.params),
            entry.and_then(|entry| entry.models.get(&full)).map(|row| &row.params),
            entry.map(|entry| &entry.params),
        ];
        let mut params = Map::new();
        for layer in layers.into_iter().flatten() {
            params.extend(layer.clone());
        }
        params
    }

    /// The reasoning effort of an agent before (`thinkingDefault` of its own) and after what its model says.
    pub fn thinking_defaults(&self, agent: &str) -> (Option<&str>, Option<&str>) {
        let own = self.agent(agent).and_then(|entry| entry.thinking_default.as_deref());
        (own, self.agents.defaults.thinking_default.as_deref())
    }

    /// Where an agent's tools start, when not in its workspace.
    pub fn agent_cwd(&self, agent: &str) -> Option<PathBuf> {
        let own = self.agent(agent).and_then(|entry| entry.cwd.as_deref());
        let path = own.or(self.agents.defaults.cwd.as_deref()).map(str::trim).filter(|path| !path.is_empty())?;
        // A relative one is meant from where the gateway was started.
        let path = self.expand(path);
        Some(std::path::absolute(&path).unwrap_or(path))
    }

    pub fn bootstrap(&self, agent: &str) -> Bootstrap {
        let (defaults, own) = (&self.agents.defaults, self.agent(agent));
        Bootstrap {
            file: own.and_then(|own| own.bootstrap_max_chars).or(defaults.bootstrap_max_chars),
            total: own.and_then(|own| own.bootstrap_total_max_chars).or(defaults.bootstrap_total_max_chars),
            injection: own.and_then(|own| own.context_injection).or(defaults.context_injection).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(agents: Value) -> Config {
        Config::from_value(json!({ "agents": agents })).expect("a configuration")
    }

    #[test]
    fn a_policy_names_models_aliases_and_beginnings() {
        let config = config(json!({
            "defaults": {"modelPolicy": {"allow": ["a/one", "Fast", "c/*", "d/x/*"]}, "models": {"b/two": {"alias": "fast"}}},
            "entries": {"free": {"modelPolicy": {"allow": []}}, "tight": {"modelPolicy": {"allow": ["a/two"]}}},
        }));
        let main = config.model_policy("main");
        for (provider, model, allowed) in [
            ("a", "one", true),
            ("a", "two", false),
            ("b", "two", true),
            ("c", "any/thing", true),
            ("cc", "x", false),
            ("d", "x/y", true),
            ("d", "xy", false),
        ] {
            assert_eq!(main.allows(provider, model), allowed, "{provider}/{model}");
        }
        assert!(config.model_policy("free").allows("z", "z"));
        let tight = config.model_policy("tight");
        assert!(tight.allows("a", "two") && !tight.allows("a", "one"));
        assert!(tight.refusal("a/one").starts_with("Model override \"a/one\" is not allowed by agents.entries."));
    }

    #[test]
    fn the_narrower_parameters_go_over_the_wider() {
        let config = Config::from_value(json!({
            "models": {"providers": {"p": {"params": {"a": 1, "b": 1}, "models": [{"id": "m", "params": {"b": 2, "c": 2}}]}}},
            "agents": {
                "defaults": {"params": {"c": 3, "d": 3}, "models": {"p/m": {"params": {"d": 4, "e": 4}}}},
                "entries": {"x": {"params": {"f": 6}, "models": {"p/m": {"params": {"e": 5, "f": 5}, "alias": "mine"}}}},
            },
        }))
        .expect("a configuration");
        let params = Value::Object(config.model_params("x", "p", "m"));
        assert_eq!(params, json!({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6}));
        assert_eq!(Value::Object(config.model_params("main", "p", "other")), json!({"a": 1, "b": 1, "c": 3, "d": 3}));
        assert_eq!(config.model_for_alias("x", "MINE"), Some("p/m"));
        assert_eq!(config.model_for_alias("main", "mine"), None);
    }
}
