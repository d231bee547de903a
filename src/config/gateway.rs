//! The `gateway` section: how the port is bound, who may talk to it, and what it serves.
//!
//! Shapes only; what they amount to together with flags and environment is worked out in [`super::resolve`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::sys::secret::Secret;
use crate::wire::object::objects;
use crate::wire::sorted::Sorted;

objects! { kept:
    /// `gateway.*`.
    #[derive(Debug, Clone, Default)]
    pub struct GatewayConfig {
        pub mode: Option<Mode>,
        pub port: Option<u16>,
        pub bind: Option<BindMode>,
        /// One IPv4 address, for `bind: "custom"`.
        pub custom_bind_host: Option<String>,
        /// The origin under which the gateway is reached from outside.
        pub public_origin: Option<String>,
        pub auth: AuthConfig,
        pub control_ui: ControlUiConfig,
        pub remote: RemoteConfig,
        /// Networks that may connect beside this host; empty: all.
        pub allow_cidrs: Vec<String>,
        /// Addresses or CIDR ranges whose forwarding headers are believed.
        pub trusted_proxies: Vec<String>,
        /// Believe `X-Real-IP` of a trusted proxy when `X-Forwarded-For` is missing.
        pub allow_real_ip_fallback: bool,
        pub nodes: NodesConfig,
        pub tools: HttpToolsConfig,
        pub http: HttpConfig,
        pub tls: TlsConfig,
        pub reload: ReloadConfig,
    }
}

/// `gateway.mode`: does this machine run the gateway or talk to one elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Local,
    Remote,
}

/// `gateway.bind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BindMode {
    Loopback,
    Lan,
    Tailnet,
    Auto,
    Custom,
}

/// `gateway.auth.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthMode {
    None,
    Token,
    Password,
    TrustedProxy,
}

objects! { kept:
    /// `gateway.auth.*`.
    #[derive(Debug, Clone, Default)]
    pub struct AuthConfig {
        pub mode: Option<AuthMode>,
        pub token: Option<Secret>,
        pub password: Option<Secret>,
        /// Verified identity to operator scopes.
        pub identity_scopes: Sorted<String, Vec<String>>,
        pub trusted_proxy: TrustedProxyConfig,
        pub rate_limit: RateLimitConfig,
        /// Tokens of limited power beside the shared secret.
        pub tokens: Vec<AccessTokenConfig>,
    }

    /// One of `gateway.auth.tokens[]`.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct AccessTokenConfig {
        pub name: String,
        /// SHA-256 of the token, in hex.
        pub hash: String,
        pub scopes: Vec<String>,
        /// A moment such as `2026-12-24T18:00:00Z`.
        pub expires_at: Option<String>,
        /// Addresses and networks it may be used from; empty: all.
        pub allow_cidrs: Vec<String>,
    }

    /// `gateway.auth.trustedProxy.*`.
    #[derive(Debug, Clone, Default)]
    pub struct TrustedProxyConfig {
        /// The header that names the user.
        pub user_header: Option<String>,
        pub required_headers: Vec<String>,
        /// Empty: everybody the proxy lets through.
        pub allow_users: Vec<String>,
        pub allow_loopback: bool,
        pub device_auto_approve: DeviceAutoApprove,
    }

    /// `gateway.auth.trustedProxy.deviceAutoApprove.*`.
    #[derive(Debug, Clone, Default)]
    pub struct DeviceAutoApprove {
        pub enabled: bool,
        pub scopes: Vec<String>,
    }

    /// `gateway.auth.rateLimit.*`: wrong guesses before an address has to wait.
    #[derive(Debug, Clone, PartialEq)]
    pub struct RateLimitConfig {
        pub max_attempts: u32,
        pub window_ms: u64,
        pub lockout_ms: u64,
        pub exempt_loopback: bool,
    }

    /// `gateway.controlUi.*`.
    #[derive(Debug, Clone)]
    pub struct ControlUiConfig {
        pub enabled: bool,
        /// `/x`, without a slash at the end; `None` is the root.
        pub base_path: Option<String>,
        /// A directory to serve instead of the built-in page.
        pub root: Option<String>,
        /// Browser origins that may open the control socket, beside the seeded local ones.
        pub allowed_origins: Vec<String>,
        pub dangerously_allow_host_header_origin_fallback: bool,
        pub environment: Option<UiEnvironment>,
    }

    /// `gateway.controlUi.environment`: tells one gateway's page from another's.
    #[derive(Debug, Clone, Default, Serialize)]
    pub struct UiEnvironment {
        pub label: String,
        pub color: String,
    }

    /// `gateway.remote.*`: the gateway that clients on this machine talk to when `mode` is `remote`.
    #[derive(Debug, Clone, Default)]
    pub struct RemoteConfig {
        pub url: Option<String>,
        pub token: Option<Secret>,
        pub password: Option<Secret>,
        /// SHA-256 of the server's certificate, in hex with or without colons.
        pub tls_fingerprint: Option<String>,
    }

    /// `gateway.nodes.*`.
    #[derive(Debug, Clone, Default)]
    pub struct NodesConfig {
        pub pairing: PairingConfig,
        pub commands: AllowDeny,
    }

    /// `gateway.nodes.pairing.*`.
    #[derive(Debug, Clone)]
    pub struct PairingConfig {
        pub auto_approve_local: bool,
        pub auto_approve_cidrs: Vec<String>,
    }

    /// Two lists of names; a name in `deny` loses.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct AllowDeny {
        pub allow: Vec<String>,
        pub deny: Vec<String>,
    }
}

/// `gateway.tools`: which tools `POST /tools/invoke` offers beyond its own rule.
pub type HttpToolsConfig = AllowDeny;

objects! { kept:
    /// `gateway.http.*`.
    #[derive(Debug, Clone, Default)]
    pub struct HttpConfig {
        pub endpoints: EndpointsConfig,
        pub security_headers: SecurityHeaders,
    }

    /// `gateway.http.endpoints.*`.
    #[derive(Debug, Clone, Default)]
    pub struct EndpointsConfig {
        pub chat_completions: ChatCompletionsConfig,
        pub responses: ResponsesConfig,
    }

    /// `gateway.http.endpoints.chatCompletions.*`. Enabled unless the file says otherwise.
    #[derive(Debug, Clone)]
    pub struct ChatCompletionsConfig {
        pub enabled: bool,
        pub images: UrlInput,
    }

    /// `gateway.http.endpoints.responses.*`. Enabled unless the file says otherwise.
    #[derive(Debug, Clone)]
    pub struct ResponsesConfig {
        pub enabled: bool,
        /// URL parts one request may carry.
        pub max_url_parts: u32,
        pub files: UrlInput,
        pub images: UrlInput,
    }

    /// What may be fetched on behalf of a request. `None` leaves the limit to the code that fetches.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct UrlInput {
        pub allow_url: Option<bool>,
        /// Host names; empty means no restriction by name.
        pub url_allowlist: Vec<String>,
        pub allowed_mimes: Vec<String>,
        pub max_bytes: Option<u64>,
        /// Characters taken of a file's text; for files only.
        pub max_chars: Option<usize>,
        /// For files only.
        pub pdf: PdfInput,
        pub max_redirects: Option<u32>,
        pub timeout_ms: Option<u64>,
    }

    /// What is read of a PDF file.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct PdfInput {
        /// Pages, from the first.
        pub max_pages: Option<usize>,
    }

    /// `gateway.http.securityHeaders.*`.
    #[derive(Debug, Clone, Default)]
    pub struct SecurityHeaders {
        pub strict_transport_security: Option<Hsts>,
    }
}

/// A header value, or `false` to send none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Hsts {
    Off(bool),
    Value(String),
}

objects! { kept:
    /// `gateway.tls.*`.
    #[derive(Debug, Clone)]
    pub struct TlsConfig {
        pub enabled: bool,
        /// Make a self-signed pair when both files are missing.
        pub auto_generate: bool,
        pub cert_path: Option<String>,
        pub key_path: Option<String>,
    }

    /// `gateway.reload.*`.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct ReloadConfig {
        pub mode: ReloadMode,
        /// Quiet time after a change of the file before it is read.
        pub debounce_ms: Option<u64>,
    }
}

/// `gateway.reload.mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReloadMode {
    Off,
    /// Apply what can be applied live, ignore the rest with a warning.
    Hot,
    /// Restart for everything that changed.
    Restart,
    /// Apply live where possible, restart where needed.
    #[default]
    Hybrid,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Local => "local",
            Mode::Remote => "remote",
        }
    }
}

impl BindMode {
    pub const ALL: [BindMode; 5] =
        [BindMode::Loopback, BindMode::Lan, BindMode::Tailnet, BindMode::Auto, BindMode::Custom];

    pub fn as_str(self) -> &'static str {
        match self {
            BindMode::Loopback => "loopback",
            BindMode::Lan => "lan",
            BindMode::Tailnet => "tailnet",
            BindMode::Auto => "auto",
            BindMode::Custom => "custom",
        }
    }

    pub fn named(name: &str) -> Option<BindMode> {
        BindMode::ALL.into_iter().find(|mode| mode.as_str() == name)
    }
}

impl AuthMode {
    pub const ALL: [AuthMode; 4] = [AuthMode::None, AuthMode::Token, AuthMode::Password, AuthMode::TrustedProxy];

    pub fn as_str(self) -> &'static str {
        match self {
            AuthMode::None => "none",
            AuthMode::Token => "token",
            AuthMode::Password => "password",
            AuthMode::TrustedProxy => "trusted-proxy",
        }
    }

    pub fn named(name: &str) -> Option<AuthMode> {
        AuthMode::ALL.into_iter().find(|mode| mode.as_str() == name)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for BindMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for AuthMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        RateLimitConfig { max_attempts: 10, window_ms: 60_000, lockout_ms: 300_000, exempt_loopback: true }
    }
}

impl Default for ControlUiConfig {
    fn default() -> Self {
        ControlUiConfig {
            enabled: true,
            base_path: None,
            root: None,
            allowed_origins: Vec::new(),
            dangerously_allow_host_header_origin_fallback: false,
            environment: None,
        }
    }
}

impl Default for PairingConfig {
    fn default() -> Self {
        PairingConfig { auto_approve_local: true, auto_approve_cidrs: Vec::new() }
    }
}

impl Default for ChatCompletionsConfig {
    fn default() -> Self {
        ChatCompletionsConfig { enabled: true, images: UrlInput::default() }
    }
}

impl Default for ResponsesConfig {
    fn default() -> Self {
        ResponsesConfig { enabled: true, max_url_parts: 8, files: UrlInput::default(), images: UrlInput::default() }
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        TlsConfig { enabled: false, auto_generate: true, cert_path: None, key_path: None }
    }
}
