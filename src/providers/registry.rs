//! Which providers there are, and which one a model name means.
//!
//! Built from plain settings, the environment's keys and the embedded default. Opens nothing and asks nobody; it never
//! changes once built, a new configuration makes a new registry.
//!
//! Invariants: `builtin` is always there; a provider that cannot be built is still known, with its error, so that a
//! person is told what is wrong instead of "unknown model".

use std::fmt;
use std::sync::Arc;

use super::anthropic::Anthropic;
use super::builtin::{self, Builtin, Facts};
use super::known::{KNOWN, Known};
use super::openai::OpenAi;
use super::rotation::{self, Rotating};
use super::settings::{Api, Origin, Profile, ProviderSettings, RetryPolicy};
use super::{ModelInfo, Provider, ProviderError};
use crate::sys::order;

/// A provider's id and a model's id, written `provider/model`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelRef {
    pub provider: String,
    /// May contain slashes.
    pub model: String,
}

/// All providers of one configuration.
pub struct Registry {
    entries: Vec<Entry>,
}

struct Entry {
    settings: ProviderSettings,
    provider: Opened,
    /// By model, those that are not asked like the others.
    apart: Vec<(String, Opened)>,
}

/// A provider, or why there is none.
type Opened = Result<Arc<dyn Provider>, ProviderError>;

/// Which providers join those of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// All we know by name and have a key for.
    Known,
    Nobody,
}

/// A provider with one of its credentials.
#[derive(Clone)]
pub struct Choice {
    /// `None` when there are no profiles.
    pub profile: Option<String>,
    /// Milliseconds since 1970.
    pub expires: Option<u64>,
    pub provider: Result<Arc<dyn Provider>, ProviderError>,
}

/// A row of the model list.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogueRow {
    pub provider: String,
    pub info: ModelInfo,
    /// False when the provider lacks its key or is misconfigured.
    pub available: bool,
}

impl Registry {
    /// Puts together configured (and discovered) providers, those implied by environment keys, and the embedded one.
    pub fn build(
        settings: Vec<ProviderSettings>,
        join: Join,
        env_keys: &dyn Fn(&str) -> Option<String>,
        facts: Arc<dyn Facts>,
    ) -> Registry {
        let mut entries: Vec<Entry> = Vec::new();
        let keyless = |settings: &ProviderSettings| {
            settings.api_key.as_ref().is_none_or(|key| key.is_empty())
                && settings.unresolved.is_none()
                && settings.profiles.is_empty()
        };
        for mut settings in settings {
            if settings.id == builtin::PROVIDER || entries.iter().any(|entry| entry.settings.id == settings.id) {
                log::warn!("provider \"{}\" is defined twice or reserved; this definition is ignored", settings.id);
                continue;
            }
            for one in std::iter::once(&mut settings.apart).flatten().filter(|one| keyless(one)) {
                one.api_key = Known::at(one.host()).and_then(|known| known.key(env_keys));
            }
            if keyless(&settings) {
                settings.api_key = Known::at(settings.host()).and_then(|known| known.key(env_keys));
            }
            entries.push(Entry::new(settings));
        }
        for known in KNOWN.iter().filter(|_| join == Join::Known) {
            if entries.iter().any(|entry| entry.settings.id == known.id) {
                continue;
            }
            if let Some(key) = known.key(env_keys) {
                entries.push(Entry::new(known.settings(key)));
            }
        }
        let mut embedded = ProviderSettings::new(builtin::PROVIDER, "http://127.0.0.1", Api::default());
        embedded.models = vec![builtin::info()];
        embedded.origin = Origin::Builtin;
        entries.push(Entry { settings: embedded, provider: Ok(Arc::new(Builtin::new(facts))), apart: Vec::new() });
        order::by_key(&mut entries, |entry| entry.settings.origin);
        Registry { entries }
    }

    /// True when nothing but the embedded default is there: the time to look for a local server.
    pub fn only_builtin(&self) -> bool {
        self.entries.iter().all(|entry| entry.settings.origin == Origin::Builtin)
    }

    /// The provider for a model. Models that are not listed are passed on: the endpoint knows best.
    pub fn resolve(&self, model: &ModelRef) -> Result<Arc<dyn Provider>, ProviderError> {
        let Some(entry) = self.entry(&model.provider) else {
            return Err(self.unknown(&model.to_string()));
        };
        if entry.settings.origin == Origin::Builtin && !builtin::MODELS.contains(&model.model.as_str()) {
            return Err(self.unknown(&model.to_string()));
        }
        let apart = entry.apart.iter().find(|(id, _)| *id == model.model);
        apart.map_or(&entry.provider, |(_, provider)| provider).clone()
    }

    /// A provider once for each of its credentials, none of them rested; empty for an unknown id.
    pub fn choices(&self, provider: &str) -> Vec<Choice> {
        let Some(entry) = self.entry(provider) else { return Vec::new() };
        if entry.settings.profiles.is_empty() {
            return vec![Choice { profile: None, expires: None, provider: entry.provider.clone() }];
        }
        let with = |profile: &Profile| Choice {
            profile: Some(profile.id.clone()),
            expires: profile.expires,
            provider: open(&entry.settings.with(profile)),
        };
        entry.settings.profiles.iter().map(with).collect()
    }

    /// The model a provider is asked for when nobody names one.
    pub fn first_model(&self, provider: &str) -> Option<&str> {
        self.entry(provider)?.first_model()
    }

    /// Reads `provider/model`, or a bare model id when exactly one provider lists it.
    pub fn find(&self, text: &str) -> Result<ModelRef, ProviderError> {
        let text = text.trim();
        if let Some(model) = ModelRef::parse(text).filter(|model| self.entry(&model.provider).is_some()) {
            return Ok(model);
        }
        let mut owners = self.entries.iter().filter(|entry| entry.lists(text));
        match (owners.next(), owners.next()) {
            (Some(entry), None) => Ok(ModelRef::new(&entry.settings.id, text)),
            (Some(one), Some(two)) => Err(ProviderError::UnknownModel {
                model: text.to_string(),
                hint: format!(
                    "several providers have it; write {}/{text} or {}/{text}",
                    one.settings.id, two.settings.id
                ),
            }),
            (None, _) => Err(self.unknown(text)),
        }
    }

    /// What to use when nobody said: the first configured model, else the default of the first key found, else what
    /// runs on this machine, else the embedded model.
    pub fn default_model(&self) -> ModelRef {
        let usable = self.entries.iter().filter(|entry| entry.provider.is_ok());
        usable
            .filter_map(|entry| entry.first_model().map(|model| ModelRef::new(&entry.settings.id, model)))
            .next()
            .unwrap_or_else(|| ModelRef::new(builtin::PROVIDER, builtin::MODEL))
    }

    /// Every model known without asking anybody, in order of preference.
    pub fn catalogue(&self) -> Vec<CatalogueRow> {
        let mut rows = Vec::new();
        for entry in &self.entries {
            let implied = entry.settings.models.is_empty().then_some(entry.settings.default_model.as_ref()).flatten();
            let implied = implied.map(|id| ModelInfo { id: id.clone(), name: id.clone(), ..ModelInfo::default() });
            for info in entry.settings.models.iter().cloned().chain(implied) {
                let provider = entry.settings.id.clone();
                rows.push(CatalogueRow { provider, info, available: entry.provider.is_ok() });
            }
        }
        rows
    }

    /// The configured row of a model, if there is one.
    pub fn info(&self, model: &ModelRef) -> Option<&ModelInfo> {
        self.entry(&model.provider)?.settings.models.iter().find(|info| info.id == model.model)
    }

    /// Ids of all providers, in order of preference.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.settings.id.as_str())
    }

    /// What a provider was built from; `None` for an unknown id.
    pub fn settings(&self, provider: &str) -> Option<&ProviderSettings> {
        self.entry(provider).map(|entry| &entry.settings)
    }

    /// Providers that cannot be used, with the reason.
    pub fn problems(&self) -> Vec<(&str, &ProviderError)> {
        let broken = |entry: &'_ Entry| entry.provider.is_err();
        let rows = self.entries.iter().filter(|entry| broken(entry));
        rows.filter_map(|entry| entry.provider.as_ref().err().map(|error| (entry.settings.id.as_str(), error)))
            .collect()
    }

    /// How often a provider's failed calls are tried again.
    pub fn retry(&self, provider: &str) -> RetryPolicy {
        self.entry(provider).map(|entry| entry.settings.retry).unwrap_or_default()
    }

    fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.settings.id == id)
    }

    fn unknown(&self, model: &str) -> ProviderError {
        let providers: Vec<&str> = self.providers().collect();
        ProviderError::UnknownModel {
            model: model.to_string(),
            hint: format!("write provider/model; known providers: {}", providers.join(", ")),
        }
    }
}

impl Entry {
    fn new(settings: ProviderSettings) -> Entry {
        let provider = open(&settings);
        let apart = |one: &ProviderSettings| one.models.first().map(|model| (model.id.clone(), open(one)));
        let apart = settings.apart.iter().filter_map(apart).collect();
        Entry { settings, provider, apart }
    }

    fn first_model(&self) -> Option<&str> {
        let listed = self.settings.models.first().map(|model| model.id.as_str());
        listed.or(self.settings.default_model.as_deref())
    }

    fn lists(&self, id: &str) -> bool {
        self.settings.default_model.as_deref() == Some(id) || self.settings.models.iter().any(|model| model.id == id)
    }
}

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, ProviderError> {
    settings.check()?;
    if let Some(reason) = &settings.unresolved {
        let provider = settings.id.clone();
        return Err(ProviderError::NoCredentials { provider, hint: reason.clone() });
    }
    if !settings.profiles.is_empty() {
        let mut choices = Vec::with_capacity(settings.profiles.len());
        for profile in &settings.profiles {
            let provider = open(&settings.with(profile))?;
            choices.push(rotation::Choice { profile: profile.id.clone(), provider, expires: profile.expires });
        }
        return Ok(Arc::new(Rotating::new(&settings.id, choices)));
    }
    if settings.api_key.as_ref().is_none_or(|key| key.is_empty())
        && let Some(known) = Known::at(settings.host())
    {
        return Err(ProviderError::NoCredentials {
            provider: settings.id.clone(),
            hint: format!("set models.providers.{}.apiKey, or {} in the environment", settings.id, known.env[0]),
        });
    }
    Ok(match settings.api {
        Api::OpenAiCompletions => Arc::new(OpenAi::new(settings)?),
        Api::AnthropicMessages => Arc::new(Anthropic::new(settings)?),
    })
}

impl ModelRef {
    pub fn new(provider: impl Into<String>, model: impl Into<String>) -> ModelRef {
        ModelRef { provider: provider.into(), model: model.into() }
    }

    /// Splits at the first slash; `None` without one or with an empty half.
    pub fn parse(text: &str) -> Option<ModelRef> {
        let (provider, model) = text.trim().split_once('/')?;
        (!provider.is_empty() && !model.is_empty()).then(|| ModelRef::new(provider, model))
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

#[cfg(test)]
mod tests {
    use super::super::builtin::NoFacts;
    use super::*;
    use crate::sys::secret::Secret;

    fn provider(id: &str, models: &[&str]) -> ProviderSettings {
        let mut settings = ProviderSettings::new(id, "http://127.0.0.1:1/v1", Api::default());
        settings.models = models.iter().map(|id| ModelInfo { id: id.to_string(), ..ModelInfo::default() }).collect();
        settings
    }

    fn registry(settings: Vec<ProviderSettings>, env: &'static [(&'static str, &'static str)]) -> Registry {
        let env = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string());
        Registry::build(settings, Join::Known, &env, Arc::new(NoFacts))
    }

    #[test]
    fn the_embedded_model_is_always_there_and_last() {
        let empty = registry(vec![], &[]);
        assert!(empty.only_builtin());
        assert_eq!(empty.default_model().to_string(), "builtin/local");
        assert!(empty.resolve(&empty.default_model()).is_ok());
        let full = registry(vec![provider("stub", &["a"])], &[]);
        assert_eq!(full.providers().collect::<Vec<_>>(), ["stub", "builtin"]);
    }

    #[test]
    fn configured_comes_before_key_before_discovered() {
        let mut found = provider("ollama", &["llama3"]);
        found.origin = Origin::Discovered;
        let default = |settings, env| registry(settings, env).default_model().to_string();
        assert_eq!(default(vec![found.clone()], &[]), "ollama/llama3");
        assert_eq!(default(vec![found.clone()], &[("GROQ_API_KEY", "k")]), "groq/llama-3.3-70b-versatile");
        assert_eq!(default(vec![found, provider("stub", &["a"])], &[("GROQ_API_KEY", "k")]), "stub/a");
    }

    #[test]
    fn a_model_name_is_found_with_and_without_its_provider() {
        let registry =
            registry(vec![provider("one", &["shared", "meta/llama"]), provider("two", &["shared", "only"])], &[]);
        let find = |text| registry.find(text).map(|model| model.to_string());
        assert_eq!(find("two/shared").as_deref(), Ok("two/shared"));
        assert_eq!(find("only").as_deref(), Ok("two/only"));
        assert_eq!(find("meta/llama").as_deref(), Ok("one/meta/llama"));
        assert_eq!(find("one/not/listed").as_deref(), Ok("one/not/listed"));
        assert!(find("shared").is_err_and(|error| error.to_string().contains("one/shared")));
        assert!(find("nobody/x").is_err_and(|error| error.to_string().contains("one, two, builtin")));
        assert!(registry.resolve(&ModelRef::new("builtin", "gpt")).is_err());
    }

    #[test]
    fn a_provider_without_its_key_is_listed_but_not_available() {
        let mut openai = provider("openai", &["gpt-x"]);
        openai.base_url = "https://api.openai.com/v1".into();
        let without = registry(vec![openai.clone()], &[]);
        assert!(!without.catalogue()[0].available);
        let error = without.resolve(&ModelRef::new("openai", "gpt-x")).err().expect("no key");
        assert!(error.to_string().contains("OPENAI_API_KEY"), "{error}");
        assert_eq!(without.default_model().to_string(), "builtin/local");
        assert!(registry(vec![openai.clone()], &[("OPENAI_API_KEY", "sk-env")]).catalogue()[0].available);
        openai.api_key = Some(Secret::new("sk-own"));
        assert!(registry(vec![openai], &[]).problems().is_empty());
    }

    #[test]
    fn a_provider_whose_key_cannot_be_had_is_not_called_with_another() {
        let mut openai = provider("openai", &["gpt-x"]);
        openai.base_url = "https://api.openai.com/v1".into();
        openai.unresolved = Some("unresolved SecretRef models.providers.openai.apiKey (x)".into());
        let registry = registry(vec![openai, provider("other", &["m"])], &[("OPENAI_API_KEY", "sk-env")]);
        let error = registry.resolve(&ModelRef::new("openai", "gpt-x")).err().expect("no key");
        assert!(error.to_string().contains("unresolved SecretRef models.providers.openai.apiKey"), "{error}");
        assert_eq!(registry.default_model().to_string(), "other/m");
    }

    #[test]
    fn a_model_that_is_elsewhere_is_asked_there_and_nobody_need_join() {
        let mut stub = provider("stub", &["near", "far"]);
        let mut far = provider("stub", &["far"]);
        far.base_url = "https://api.openai.com/v1".into();
        stub.apart = vec![far];
        let env = |name: &str| (name == "GROQ_API_KEY").then(|| "k".to_string());
        let build = |join| Registry::build(vec![stub.clone()], join, &env, Arc::new(NoFacts));
        let registry = build(Join::Nobody);
        assert_eq!(registry.providers().collect::<Vec<_>>(), ["stub", "builtin"]);
        assert!(build(Join::Known).providers().any(|id| id == "groq"));
        assert!(registry.resolve(&ModelRef::new("stub", "near")).is_ok());
        let error = registry.resolve(&ModelRef::new("stub", "far")).err().expect("its host wants a key");
        assert!(error.to_string().contains("OPENAI_API_KEY"), "{error}");
    }

    #[test]
    fn a_wrong_url_is_a_problem_not_a_panic() {
        let mut wrong = provider("wrong", &["a"]);
        wrong.base_url = "file:///etc/passwd".into();
        let registry = registry(vec![wrong, provider("builtin", &["a"])], &[]);
        assert_eq!(registry.problems().len(), 1);
        assert!(registry.resolve(&ModelRef::new("wrong", "a")).is_err());
    }
}
