//! Who is calling, and what may they do: one boundary for WebSocket and HTTP.
//!
//! Everything here is decided from values: the policy in force, what the caller sent, where the bytes came from, and which
//! devices were approved ([`devices`], a value the state thread owns). Nothing here writes, sends or reads a clock.
//!
//! Invariants: every credential is compared in constant time and never printed; a caller whose address a proxy hides is
//! never local; an empty scope set means none.

mod connect;
pub mod device;
pub mod devices;
mod limiter;
pub mod node_commands;
mod origin;
mod peer;
mod proxy;
pub mod tokens;

pub use connect::{Checked, Refusal, check_connect};
pub use limiter::{Attempts, Class, Rates, Verdict};
pub use origin::OriginRules;
pub use peer::{PeerFacts, Unwelcome, Vouched, attribute};
pub use proxy::ProxyRules;
pub use tokens::{AccessToken, AccessTokens};

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::sys::secret::Secret;
use crate::wire::connect::{ClientId, ClientMode};
use crate::wire::scope::Scopes;

/// How callers prove themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Token,
    Password,
    /// Loopback only.
    None,
    /// A proxy in front has asked who it is.
    TrustedProxy,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Token => "token",
            Mode::Password => "password",
            Mode::None => "none",
            Mode::TrustedProxy => "trusted-proxy",
        }
    }
}

/// The rules in force, taken from the configuration once and swapped whole.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    pub mode: Mode,
    /// The shared secret of `mode`; empty with [`Mode::None`]. With [`Mode::TrustedProxy`] the password by which programs
    /// of this host come in without the proxy, if there is one.
    pub secret: Secret,
    pub trusted_proxies: Vec<String>,
    /// `gateway.allowRealIpFallback`.
    pub real_ip: bool,
    pub origins: OriginRules,
    /// Set with [`Mode::TrustedProxy`].
    pub proxy: Option<ProxyRules>,
    pub rates: Rates,
    pub nodes: NodeRules,
    /// `gateway.auth.tokens[]`.
    pub tokens: AccessTokens,
    /// `gateway.allowCidrs`: networks that may connect beside this host; empty: all.
    pub allow_from: Vec<String>,
}

/// `gateway.nodes.*`.
#[derive(Debug, Clone, Default)]
pub struct NodeRules {
    /// Devices of this host need no approval.
    pub approve_local: bool,
    /// Networks whose nodes need none either.
    pub approve_from: Vec<String>,
    /// `gateway.nodes.commands.*`.
    pub commands: node_commands::CommandRules,
}

impl Policy {
    /// Whether the same people come in by the other rules, as far as secrets and proxies decide it.
    pub fn same_callers(&self, other: &Policy) -> bool {
        self.mode == other.mode
            && self.secret.matches(other.secret.expose())
            && self.trusted_proxies == other.trusted_proxies
    }

    /// Whether `offered` is the shared secret. An empty secret matches nothing.
    pub fn accepts(&self, offered: &str) -> bool {
        !self.secret.is_empty() && self.secret.matches(offered)
    }

    /// Checks `Authorization: Bearer ...` of an HTTP request (scheme in any case, RFC 9110 11.1).
    pub fn bearer(&self, peer: &PeerFacts, header: Option<&str>) -> bool {
        match self.mode {
            Mode::None => true,
            Mode::TrustedProxy if !peer.local => false,
            _ => shown(header).is_some_and(|value| self.accepts(value)),
        }
    }

    /// The token of limited power that an HTTP request shows as its bearer.
    pub fn token(&self, peer: &PeerFacts, header: Option<&str>, now_ms: u64) -> Option<Arc<AccessToken>> {
        match self.tokens.look_up(shown(header)?, peer.ip, now_ms) {
            tokens::Shown::Good(token) => Some(token),
            _ => None,
        }
    }
}

/// The value of a bearer header.
fn shown(header: Option<&str>) -> Option<&str> {
    let (scheme, value) = header.and_then(|h| h.trim().split_once(' '))?;
    scheme.eq_ignore_ascii_case("bearer").then(|| value.trim())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Operator,
    Node,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Operator => "operator",
            Role::Node => "node",
        }
    }
}

/// Who a request comes from, as every handler sees it.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The connection; 0 for HTTP requests and the gateway itself.
    pub conn: u64,
    pub role: Role,
    pub scopes: Scopes,
    pub client: Client,
    pub caps: Vec<String>,
    /// The bytes come from this host, with no proxy between.
    pub local: bool,
    /// The token of limited power it came in with.
    pub token: Option<Arc<AccessToken>>,
    /// What it can do, if it is a node.
    pub offer: Option<Arc<devices::Offer>>,
}

/// What a client says of itself.
#[derive(Debug, Clone)]
pub struct Client {
    pub id: ClientId,
    pub mode: ClientMode,
    pub version: String,
    pub platform: String,
    pub device_family: Option<String>,
    pub display_name: Option<String>,
    pub instance_id: Option<String>,
    pub device_id: Option<String>,
}

impl Caller {
    /// An HTTP request that showed the shared secret: the full operator set (demands 11).
    pub fn http(local: bool) -> Caller {
        Caller::http_user(Scopes::operator_default(), local)
    }

    /// An HTTP request of somebody with these scopes.
    pub fn http_user(scopes: Scopes, local: bool) -> Caller {
        Caller {
            conn: 0,
            role: Role::Operator,
            scopes,
            client: Client {
                id: ClientId::GatewayClient,
                mode: ClientMode::Backend,
                version: String::new(),
                platform: String::new(),
                device_family: None,
                display_name: None,
                instance_id: None,
                device_id: None,
            },
            caps: Vec::new(),
            local,
            token: None,
            offer: None,
        }
    }

    pub fn has_cap(&self, cap: &str) -> bool {
        self.caps.iter().any(|c| c == cap)
    }

    /// Shown to others in presence, and marked as the owner on the events it receives.
    pub fn tracked(&self) -> bool {
        self.role == Role::Operator
            && !matches!(
                self.client.mode,
                ClientMode::Cli | ClientMode::Backend | ClientMode::Probe | ClientMode::Worker
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy { mode: Mode::Token, secret: Secret::new("tok123"), ..Policy::default() }
    }

    #[test]
    fn bearer_takes_any_case_of_the_scheme_and_only_the_secret() {
        let policy = policy();
        for good in ["Bearer tok123", "bearer tok123", "BEARER  tok123"] {
            assert!(policy.bearer(&PeerFacts::default(), Some(good)), "{good}");
        }
        for bad in ["Basic tok123", "tok123", "Bearer tok12", "Bearer ", "Bearer tok123 x"] {
            assert!(!policy.bearer(&PeerFacts::default(), Some(bad)), "{bad}");
        }
        assert!(!policy.bearer(&PeerFacts::default(), None));
    }

    #[test]
    fn an_empty_secret_accepts_nobody() {
        let policy = Policy { secret: Secret::new(""), ..policy() };
        assert!(!policy.accepts("") && !policy.bearer(&PeerFacts::default(), Some("Bearer ")));
    }
}
