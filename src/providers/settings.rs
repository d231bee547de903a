//! What a provider is built from: plain values, already resolved.
//!
//! Deliberately knows nothing of the configuration file, its names or its reload rules: whoever composes the gateway
//! fills these in. Nothing here does I/O.
//!
//! Invariant: a [`ProviderSettings`] that passed [`ProviderSettings::check`] has an http(s) base URL without query.

use std::time::Duration;

use super::{ModelInfo, ProviderError};
use crate::sys::secret::Secret;

/// Everything needed to build one provider.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// The prefix in `provider/model`.
    pub id: String,
    /// Where the API lives, for example `https://api.openai.com/v1`; a trailing slash does not matter.
    pub base_url: String,
    pub api: Api,
    pub api_key: Option<Secret>,
    /// The key goes as `Authorization: Bearer`, whatever the dialect's own header is.
    pub bearer: bool,
    /// Credentials to choose among, first choice first; then `api_key` is not used.
    pub profiles: Vec<Profile>,
    /// A credential is kept elsewhere and could not be had: why. The provider is then not to be used, with whatever
    /// other credential there may be.
    pub unresolved: Option<String>,
    /// Sent with every request; values may be credentials.
    pub headers: Vec<(String, Secret)>,
    /// In order of preference. Empty = whatever the endpoint reports.
    pub models: Vec<ModelInfo>,
    /// Of those the models that are elsewhere, or speak otherwise: one each.
    pub apart: Vec<ProviderSettings>,
    /// Used when nobody names a model and `models` is empty.
    pub default_model: Option<String>,
    pub timeouts: Timeouts,
    pub retry: RetryPolicy,
    pub origin: Origin,
}

/// The dialect an endpoint speaks; the names are the configuration's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Api {
    /// `openai-completions`: chat completions, spoken by nearly everybody.
    #[default]
    OpenAiCompletions,
    /// `anthropic-messages`.
    AnthropicMessages,
}

/// How we came to know a provider; decides who is the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    #[default]
    Configured,
    /// Implied by an API key in the environment.
    Environment,
    /// Found on a loopback port.
    Discovered,
    /// Inside this program.
    Builtin,
}

/// How long an upstream may take for each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Name lookup and, separately, TCP with TLS.
    pub connect: Duration,
    /// From the request's last byte to the answer's first body byte.
    pub first_byte: Duration,
    /// Between two reads of the answer.
    pub read: Duration,
}

/// How often and how patiently a failed call is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Further attempts after the first; 0 = none.
    pub max: u32,
    /// The same when another model stands ready.
    pub max_before_fallback: u32,
    /// First pause; doubles each time.
    pub base: Duration,
    /// Longest pause, also for `Retry-After`.
    pub cap: Duration,
}

/// One of several credentials of a provider.
#[derive(Debug, Clone)]
pub struct Profile {
    pub id: String,
    pub credential: Secret,
    /// Milliseconds since 1970 after which it is not used.
    pub expires: Option<u64>,
}

impl ProviderSettings {
    /// These settings with one of their credentials.
    pub fn with(&self, profile: &Profile) -> ProviderSettings {
        ProviderSettings { api_key: Some(profile.credential.clone()), profiles: Vec::new(), ..self.clone() }
    }

    /// Settings with every default, for `id` at `base_url`.
    pub fn new(id: impl Into<String>, base_url: impl Into<String>, api: Api) -> ProviderSettings {
        ProviderSettings {
            id: id.into(),
            base_url: base_url.into(),
            api,
            api_key: None,
            bearer: false,
            profiles: Vec::new(),
            unresolved: None,
            headers: Vec::new(),
            models: Vec::new(),
            apart: Vec::new(),
            default_model: None,
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
            origin: Origin::Configured,
        }
    }

    /// Says what is wrong with the base URL, if anything.
    pub fn check(&self) -> Result<(), ProviderError> {
        let url = self.base_url.trim();
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let fine = rest.is_some_and(|rest| {
            let host = rest.split('/').next().unwrap_or_default();
            !host.is_empty() && !host.contains('@') && !rest.contains(['?', '#', ' '])
        });
        if fine {
            return Ok(());
        }
        Err(ProviderError::Connect {
            url: self.host().to_string(),
            cause: format!(
                "the base URL of provider \"{}\" must be http:// or https:// with a host, without credentials or query",
                self.id
            ),
        })
    }

    /// The base URL without its trailing slashes.
    pub fn base(&self) -> &str {
        self.base_url.trim().trim_end_matches('/')
    }

    /// Host without port, lower case as written; empty when the URL is malformed.
    pub fn host(&self) -> &str {
        host_of(&self.base_url)
    }

    /// True when the endpoint is on this machine.
    pub fn is_local(&self) -> bool {
        is_loopback(self.host())
    }
}

/// The host in a URL, without port and brackets.
pub fn host_of(url: &str) -> &str {
    let rest = url.trim().split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if let Some(v6) = authority.strip_prefix('[') {
        return v6.split(']').next().unwrap_or_default();
    }
    authority.split(':').next().unwrap_or_default()
}

/// True for `localhost` and loopback addresses.
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Api {
    pub fn as_str(self) -> &'static str {
        match self {
            Api::OpenAiCompletions => "openai-completions",
            Api::AnthropicMessages => "anthropic-messages",
        }
    }
}

impl Timeouts {
    /// What `timeoutSeconds` means: the patience for the first byte and between reads.
    pub fn from_seconds(seconds: u64) -> Timeouts {
        let patience = Duration::from_secs(seconds.max(1));
        Timeouts { first_byte: patience, read: patience, ..Timeouts::default() }
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { connect: CONNECT_TIME, first_byte: FIRST_BYTE_TIME, read: READ_TIME }
    }
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy { max: RETRIES, max_before_fallback: RETRIES_BEFORE_FALLBACK, base: RETRY_BASE, cap: RETRY_CAP }
    }
}

/// A host that answers at all answers a SYN within this, even over a satellite.
pub const CONNECT_TIME: Duration = Duration::from_secs(10);

/// A local model may chew on a long prompt for a minute and more before its first token.
pub const FIRST_BYTE_TIME: Duration = Duration::from_secs(120);

/// Tokens come several a second, comments at least every 15 s; a minute of silence is a dead peer.
pub const READ_TIME: Duration = Duration::from_secs(60);

/// The reference's `maxRetries`.
pub const RETRIES: u32 = 8;

/// Two quick attempts bridge a hiccup; longer waiting is pointless while another model could answer.
pub const RETRIES_BEFORE_FALLBACK: u32 = 2;

/// The reference's first pauses lie between 1.1 and 1.5 s.
pub const RETRY_BASE: Duration = Duration::from_secs(1);

/// The reference's longest pause.
pub const RETRY_CAP: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_urls_with_a_plain_host_are_accepted() {
        let check = |url: &str| ProviderSettings::new("x", url, Api::default()).check().is_ok();
        assert!(check("http://127.0.0.1:8080/v1"));
        assert!(check("https://api.openai.com/v1/"));
        for bad in ["", "ftp://x/", "file:///etc/passwd", "https://", "https://u:p@host/v1", "http://h/v1?x=1", "h/v1"]
        {
            assert!(!check(bad), "{bad}");
        }
    }

    #[test]
    fn a_refused_url_does_not_show_its_password() {
        let error = ProviderSettings::new("x", "https://me:hunter2@host/v1", Api::default()).check().unwrap_err();
        assert!(!error.to_string().contains("host/v1"), "{error}");
    }

    #[test]
    fn loopback_is_recognised_in_every_spelling() {
        for url in ["http://localhost:1/v1", "http://127.0.0.1", "http://[::1]:8080/v1", "http://127.9.9.9/"] {
            assert!(is_loopback(host_of(url)), "{url}");
        }
        assert!(!is_loopback(host_of("http://10.0.0.1:80/")));
    }
}
