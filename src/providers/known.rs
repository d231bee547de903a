//! Providers we know by name: which environment variable holds the key, where the API lives, what to use first.
//!
//! A table and nothing else. Invariant: ids are unique, the order is the order of preference among keys found.

use super::settings::{Api, Origin, ProviderSettings};
use crate::sys::secret::Secret;

/// One hosted provider.
pub struct Known {
    pub id: &'static str,
    /// Any of these in the environment makes the provider available; the first that is set wins.
    pub env: &'static [&'static str],
    pub base_url: &'static str,
    pub api: Api,
    /// Used when the configuration names no model.
    pub default_model: &'static str,
}

/// Every provider an environment key can imply.
pub static KNOWN: &[Known] = &[
    Known {
        id: "anthropic",
        env: &["ANTHROPIC_API_KEY"],
        base_url: "https://api.anthropic.com",
        api: Api::AnthropicMessages,
        default_model: "claude-sonnet-4-5",
    },
    Known {
        id: "openai",
        env: &["OPENAI_API_KEY"],
        base_url: "https://api.openai.com/v1",
        api: Api::OpenAiCompletions,
        default_model: "gpt-5-mini",
    },
    Known {
        id: "openrouter",
        env: &["OPENROUTER_API_KEY"],
        base_url: "https://openrouter.ai/api/v1",
        api: Api::OpenAiCompletions,
        default_model: "openrouter/auto",
    },
    Known {
        id: "google",
        env: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        base_url: "https://generativelanguage.googleapis.com/v1beta/openai",
        api: Api::OpenAiCompletions,
        default_model: "gemini-2.5-flash",
    },
    Known {
        id: "xai",
        env: &["XAI_API_KEY"],
        base_url: "https://api.x.ai/v1",
        api: Api::OpenAiCompletions,
        default_model: "grok-4",
    },
    Known {
        id: "mistral",
        env: &["MISTRAL_API_KEY"],
        base_url: "https://api.mistral.ai/v1",
        api: Api::OpenAiCompletions,
        default_model: "mistral-large-latest",
    },
    Known {
        id: "deepseek",
        env: &["DEEPSEEK_API_KEY"],
        base_url: "https://api.deepseek.com/v1",
        api: Api::OpenAiCompletions,
        default_model: "deepseek-chat",
    },
    Known {
        id: "groq",
        env: &["GROQ_API_KEY"],
        base_url: "https://api.groq.com/openai/v1",
        api: Api::OpenAiCompletions,
        default_model: "llama-3.3-70b-versatile",
    },
    Known {
        id: "together",
        env: &["TOGETHER_API_KEY"],
        base_url: "https://api.together.xyz/v1",
        api: Api::OpenAiCompletions,
        default_model: "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    },
    Known {
        id: "fireworks",
        env: &["FIREWORKS_API_KEY"],
        base_url: "https://api.fireworks.ai/inference/v1",
        api: Api::OpenAiCompletions,
        default_model: "accounts/fireworks/models/llama-v3p3-70b-instruct",
    },
    Known {
        id: "cerebras",
        env: &["CEREBRAS_API_KEY"],
        base_url: "https://api.cerebras.ai/v1",
        api: Api::OpenAiCompletions,
        default_model: "llama-3.3-70b",
    },
];

impl Known {
    /// The row with this provider id.
    pub fn find(id: &str) -> Option<&'static Known> {
        KNOWN.iter().find(|known| known.id == id)
    }

    /// The row whose API lives on this host.
    pub fn at(host: &str) -> Option<&'static Known> {
        KNOWN.iter().find(|known| super::settings::host_of(known.base_url).eq_ignore_ascii_case(host))
    }

    /// The key from the environment, if one is set and not blank.
    pub fn key(&self, env: &dyn Fn(&str) -> Option<String>) -> Option<Secret> {
        let values = self.env.iter().filter_map(|name| env(name));
        values.map(|value| value.trim().to_string()).find(|value| !value.is_empty()).map(Secret::new)
    }

    /// Settings for this provider with a key from the environment.
    pub fn settings(&self, key: Secret) -> ProviderSettings {
        ProviderSettings {
            api_key: Some(key),
            default_model: Some(self.default_model.to_string()),
            origin: Origin::Environment,
            ..ProviderSettings::new(self.id, self.base_url, self.api)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_are_unique_complete_and_reachable_by_https_only() {
        for (at, known) in KNOWN.iter().enumerate() {
            assert!(KNOWN[..at].iter().all(|other| other.id != known.id), "{} twice", known.id);
            assert!(known.base_url.starts_with("https://") && !known.base_url.ends_with('/'), "{}", known.id);
            assert!(!known.env.is_empty() && !known.default_model.is_empty(), "{}", known.id);
            known.settings(Secret::new("k")).check().expect("table URLs are valid");
        }
    }

    #[test]
    fn a_blank_variable_is_no_key() {
        let env = |name: &str| (name == "GEMINI_API_KEY").then(|| "  ".to_string());
        assert!(Known::find("google").is_some_and(|known| known.key(&env).is_none()));
    }
}
