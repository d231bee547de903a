//! The decision on one `connect`: granted with scopes, or refused with the recorded words and close code.
//!
//! Order, as recorded: protocol window, role, origin, device proof, credentials, scopes. What a device may do is decided
//! by the registry of devices, to which [`Checked::arrival`] goes next. Each refusal is an answered request before the
//! close (demands 12).

use serde::Serialize;

use std::sync::Arc;

use super::devices::{Arrival, Offer, Proof, Unasked};
use super::peer::is_trusted;
use super::tokens::Shown;
use super::{AccessToken, Caller, Client, Mode, PeerFacts, Policy, Role, Vouched, device};
use crate::sys::secret::Secret;
use crate::wire::connect::{ClientId, ClientMode, ConnectAuth, ConnectParams, ProtocolMismatch};
use crate::wire::decode::Name;
use crate::wire::error::RpcError;
use crate::wire::scope::Scopes;
use crate::wire::{MINIMUM_PROBE_PROTOCOL, PROTOCOL};

/// A caller whose words are in order.
#[derive(Debug)]
pub struct Checked {
    /// With the scopes it may use if there is no arrival to decide about.
    pub caller: Caller,
    /// `token`, `password`, `none`, `trusted-proxy`: what hello-ok reports, unless the registry knows better.
    pub method: &'static str,
    /// A device, to be decided by the registry of devices.
    pub arrival: Option<Box<Arrival>>,
}

/// A caller that must go.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The answer; absent where the protocol closes without one.
    pub error: Option<RpcError>,
    pub close_code: u16,
    pub close_text: String,
    /// A wrong credential, which counts as a guess.
    pub guess: bool,
}

impl Refusal {
    fn policy(error: RpcError) -> Refusal {
        Refusal { close_text: error.message.clone(), error: Some(error), close_code: 1008, guess: false }
    }

    /// A device that must be approved first; the close names the request.
    pub(super) fn pairing(error: RpcError, request_id: &str) -> Refusal {
        let close_text = format!("{} (requestId: {request_id})", error.message);
        Refusal { close_text, ..Refusal::policy(error) }
    }

    /// The gateway is on its way out.
    pub fn stopping() -> Refusal {
        let error = RpcError::unavailable("gateway stopping; retry shortly").retry_after(1500);
        Refusal { close_code: 1012, close_text: "service restart".into(), ..Refusal::policy(error) }
    }

    /// An address that failed too often (T14).
    pub fn locked_out(retry_after_ms: u64) -> Refusal {
        let error = RpcError::invalid("unauthorized: too many failed authentication attempts (retry later)")
            .details(&AuthDetails {
                code: "AUTH_RATE_LIMITED",
                auth_reason: "rate_limited",
                can_retry_with_device_token: false,
                recommended_next_step: "wait_then_retry",
            })
            .retry_after(retry_after_ms);
        Refusal::policy(error)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AuthDetails {
    code: &'static str,
    auth_reason: &'static str,
    can_retry_with_device_token: bool,
    recommended_next_step: &'static str,
}

#[derive(Serialize)]
struct Coded {
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// Decides on one connect request. `nonce` is the challenge of this socket.
pub fn check_connect(
    policy: &Policy,
    peer: &PeerFacts,
    params: &ConnectParams,
    conn: u64,
    nonce: &str,
    now_ms: u64,
) -> Result<Checked, Refusal> {
    let role = role(params)?;
    protocol(params, role)?;
    origin(policy, peer, params)?;
    let device_id = match params.device {
        Some(_) => Some(device::verify(params, role.as_str(), nonce, now_ms).map_err(Refusal::policy)?),
        None => None,
    };
    let client = &params.client;
    if device_id.is_none() && is_control_ui(client.id) {
        return Err(Refusal::policy(
            RpcError::invalid("control ui requires device identity (use HTTPS or localhost secure context)")
                .details(&Coded { code: "CONTROL_UI_DEVICE_IDENTITY_REQUIRED", reason: None }),
        ));
    }
    let auth = params.auth.clone().unwrap_or_default();
    if device_id.is_none() && needs_device(policy, peer, params, role, &auth) {
        return Err(Refusal::policy(
            RpcError::not_paired("device identity required")
                .details(&Coded { code: "DEVICE_IDENTITY_REQUIRED", reason: None }),
        ));
    }
    if let Some(shown) = limited(policy, peer, role, &auth, now_ms) {
        let scopes = Scopes::parse(params.scopes.as_deref().unwrap_or(&[]).iter().map(|s| s.0.as_str()));
        let caller = caller(peer, params, conn, role, device_id);
        // No device is paired with such a token, and what it may do does not depend on who shows it.
        let scopes = shown.scopes.limit(scopes);
        return Ok(Checked { caller: Caller { scopes, token: Some(shown), ..caller }, method: "token", arrival: None });
    }
    let proof = prove(policy, peer, params, &auth, now_ms)?;
    let offer = match role {
        Role::Node => Some(Arc::new(offer(policy, params)?)),
        Role::Operator => None,
    };
    let asked = match role {
        Role::Node => Scopes::NONE,
        Role::Operator => Scopes::parse(params.scopes.as_deref().unwrap_or(&[]).iter().map(|s| s.0.as_str())),
    };
    let method = match proof {
        Proof::Shared(method) => method,
        Proof::Token { .. } => "device-token",
        Proof::Bootstrap { .. } => "bootstrap-token",
    };
    let caller = Caller {
        scopes: deviceless_scopes(policy, peer, params, asked),
        offer: offer.clone(),
        ..caller(peer, params, conn, role, device_id)
    };
    let arrival = params.device.as_ref().map(|device| {
        Box::new(Arrival {
            client: caller.client.clone(),
            public_key: device.public_key.0.clone(),
            role,
            scopes: asked,
            remote_ip: peer.ip.filter(|_| !peer.local).map(|ip| ip.to_string()),
            unasked: unasked(policy, peer, params, role, asked, &proof),
            proof,
            offer,
        })
    });
    Ok(Checked { caller, method, arrival })
}

/// What a client says of itself, without anything it may do.
fn caller(peer: &PeerFacts, params: &ConnectParams, conn: u64, role: Role, device_id: Option<String>) -> Caller {
    let client = &params.client;
    Caller {
        conn,
        role,
        scopes: Scopes::NONE,
        client: Client {
            id: client.id,
            mode: client.mode,
            version: client.version.0.clone(),
            platform: client.platform.0.clone(),
            device_family: client.device_family.as_ref().map(|f| f.0.clone()),
            display_name: client.display_name.as_ref().map(|n| n.0.clone()),
            instance_id: client.instance_id.as_ref().map(|i| i.0.clone()),
            device_id,
        },
        caps: params.caps.iter().map(|c| c.0.clone()).collect(),
        local: peer.local,
        token: None,
        offer: None,
    }
}

/// The token of limited power an operator shows, if it is good. Beside the shared secret it does not count.
fn limited(policy: &Policy, peer: &PeerFacts, role: Role, auth: &ConnectAuth, now_ms: u64) -> Option<Arc<AccessToken>> {
    let accepted = |shown: &Option<String>| shown.as_deref().is_some_and(|value| policy.accepts(value));
    if role != Role::Operator || policy.mode == Mode::None || accepted(&auth.token) || accepted(&auth.password) {
        return None;
    }
    match policy.tokens.look_up(auth.token.as_deref()?, peer.ip, now_ms) {
        Shown::Good(token) => Some(token),
        _ => None,
    }
}

/// A client without a key must show a secret, and a node must have a key.
fn needs_device(policy: &Policy, peer: &PeerFacts, params: &ConnectParams, role: Role, auth: &ConnectAuth) -> bool {
    if role == Role::Node {
        return true;
    }
    match policy.mode {
        // Without a secret, only the programs that are part of this gateway's own host tools.
        Mode::None => (params.client.id, params.client.mode) != (ClientId::GatewayClient, ClientMode::Backend),
        Mode::TrustedProxy if !peer.user.is_nobody() => false,
        _ => offers_nothing(auth),
    }
}

/// Why an operator need not be asked about this device, if so.
fn unasked(
    policy: &Policy,
    peer: &PeerFacts,
    params: &ConnectParams,
    role: Role,
    asked: Scopes,
    proof: &Proof,
) -> Option<Unasked> {
    // A device token proves a device that was approved; it does not approve more of it.
    let Proof::Shared(_) = proof else { return None };
    if let (Vouched::User(_), Some(rules)) = (&peer.user, &policy.proxy) {
        let enough = rules.auto_approve.is_some_and(|limit| limit.lacks(asked).is_none());
        return (role == Role::Operator && enough).then_some(Unasked::Proxy);
    }
    if peer.local && (peer.origin.is_none() || is_page(params.client.id)) {
        return policy.nodes.approve_local.then_some(Unasked::Silent);
    }
    let near = peer.ip.is_some_and(|ip| is_trusted(ip, &policy.nodes.approve_from));
    (role == Role::Node && near && peer.origin.is_none()).then_some(Unasked::Cidr)
}

/// What a node offers, without the commands this gateway would never ask it for.
fn offer(policy: &Policy, params: &ConnectParams) -> Result<Offer, Refusal> {
    let names = |names: &[Name]| names.iter().map(|name| name.0.clone()).collect::<Vec<_>>();
    let client = &params.client;
    let offered = Offer::new(
        names(&params.caps),
        names(params.commands.as_deref().unwrap_or(&[])),
        params.permissions.iter().flatten().map(|(name, on)| (name.clone(), *on)),
        client.model_identifier.as_ref().map(|model| model.0.clone()),
        params.path_env.clone(),
    );
    let mut offer =
        offered.ok_or_else(|| Refusal::policy(RpcError::invalid("the node offers too much to remember")))?;
    let all = [offer.surface.caps.clone(), offer.surface.commands.clone()].concat();
    offer.surface.commands.retain(|command| policy.nodes.commands.allow(&client.platform, command, &all));
    Ok(offer)
}

fn role(params: &ConnectParams) -> Result<Role, Refusal> {
    match params.role.as_ref().map(|r| r.0.as_str()) {
        None | Some("operator") => Ok(Role::Operator),
        Some("node") => Ok(Role::Node),
        Some("worker") => {
            Err(Refusal { error: None, close_code: 1008, close_text: "invalid-handshake".into(), guess: false })
        }
        Some(_) => Err(Refusal::policy(RpcError::invalid("invalid role"))),
    }
}

fn protocol(params: &ConnectParams, role: Role) -> Result<(), Refusal> {
    let (min, max) = (params.min_protocol.0, params.max_protocol.0);
    let oldest = match (role, params.client.mode) {
        (Role::Node, ClientMode::Node) | (_, ClientMode::Probe) => MINIMUM_PROBE_PROTOCOL,
        _ => PROTOCOL,
    };
    if min <= u64::from(PROTOCOL) && max >= u64::from(oldest) {
        return Ok(());
    }
    let error = RpcError::invalid("protocol mismatch").details(&ProtocolMismatch {
        code: "PROTOCOL_MISMATCH",
        client_min_protocol: min,
        client_max_protocol: max,
        expected_protocol: PROTOCOL,
        minimum_probe_protocol: MINIMUM_PROBE_PROTOCOL,
    });
    Err(Refusal { close_code: 1002, ..Refusal::policy(error) })
}

fn is_control_ui(id: ClientId) -> bool {
    matches!(id, ClientId::ControlUi | ClientId::BrowserCopilot)
}

fn is_page(id: ClientId) -> bool {
    is_control_ui(id) || matches!(id, ClientId::WebchatUi | ClientId::Webchat)
}

/// Pages must come from here or be listed; programs that are no pages send no Origin.
fn origin(policy: &Policy, peer: &PeerFacts, params: &ConnectParams) -> Result<(), Refusal> {
    let page = is_page(params.client.id);
    let reason = match peer.origin.as_deref() {
        None if page => "origin missing or invalid",
        Some("" | "null") => "origin missing or invalid",
        Some(origin) if !policy.origins.allow(origin, peer.host.as_deref()) => "origin not allowed",
        _ => return Ok(()),
    };
    Err(Refusal::policy(
        RpcError::invalid(
            "origin not allowed (open the Control UI from the gateway host or allow it in gateway.controlUi.allowedOrigins)",
        )
        .details(&Coded { code: "CONTROL_UI_ORIGIN_NOT_ALLOWED", reason: Some(reason) }),
    ))
}

fn offers_nothing(auth: &ConnectAuth) -> bool {
    [&auth.token, &auth.password, &auth.device_token, &auth.bootstrap_token]
        .iter()
        .all(|c| c.as_deref().unwrap_or("").is_empty())
}

/// What the client proves itself with. The shared secret counts in either field, whatever stale tokens come with it
/// (demands 9a); what may be a device token is left for the registry to judge.
fn prove(
    policy: &Policy,
    peer: &PeerFacts,
    params: &ConnectParams,
    auth: &ConnectAuth,
    now_ms: u64,
) -> Result<Proof, Refusal> {
    let given = |field: &Option<String>| field.as_deref().filter(|v| !v.is_empty()).map(Secret::new);
    let (token, password) = (given(&auth.token), given(&auth.password));
    let secret_counts = policy.mode != Mode::TrustedProxy || peer.local;
    match (policy.mode, &peer.user) {
        (Mode::None, _) => return Ok(Proof::Shared("none")),
        (Mode::TrustedProxy, Vouched::User(_)) => return Ok(Proof::Shared("trusted-proxy")),
        _ if secret_counts && [&token, &password].into_iter().flatten().any(|v| policy.accepts(v.expose())) => {
            let password = matches!(policy.mode, Mode::Password | Mode::TrustedProxy);
            return Ok(Proof::Shared(if password { "password" } else { "token" }));
        }
        _ => {}
    }
    // A token that was good once is no guess, and its holder should hear what has become of it.
    let over = |message, reason| unauthorized(message, "AUTH_TOKEN_MISMATCH", reason, false, "update_auth_credentials");
    match policy.tokens.look_up(auth.token.as_deref().unwrap_or(""), peer.ip, now_ms) {
        Shown::Expired => return Err(over("this token has expired", "token_expired")),
        Shown::Elsewhere => return Err(over("this token is not for your address", "token_address_not_allowed")),
        Shown::Good(_) | Shown::Unknown => {}
    }
    let refusal = unproved(policy, peer, params, auth);
    // Old clients show their device token as the token.
    let offered: Vec<Secret> = [given(&auth.device_token), token].into_iter().flatten().collect();
    match params.device {
        Some(_) if !offered.is_empty() => Ok(Proof::Token { offered, otherwise: Box::new(refusal) }),
        Some(_) => match given(&auth.bootstrap_token) {
            Some(token) => Ok(Proof::Bootstrap { token, otherwise: Box::new(refusal) }),
            None => Err(refusal),
        },
        None => Err(refusal),
    }
}

fn unauthorized(
    message: &str,
    code: &'static str,
    auth_reason: &'static str,
    can_retry_with_device_token: bool,
    recommended_next_step: &'static str,
) -> Refusal {
    Refusal::policy(RpcError::invalid(format!("unauthorized: {message}")).details(&AuthDetails {
        code,
        auth_reason,
        can_retry_with_device_token,
        recommended_next_step,
    }))
}

/// A device token that is not the device's, or was rotated or revoked.
pub(super) fn device_token_mismatch() -> Refusal {
    let refusal = unauthorized(
        "device token mismatch (rotate/reissue device token)",
        "AUTH_DEVICE_TOKEN_MISMATCH",
        "device_token_mismatch",
        false,
        "update_auth_credentials",
    );
    Refusal { guess: true, ..refusal }
}

/// What to say to a client that did not show the shared secret. A missing credential is no guess.
fn unproved(policy: &Policy, peer: &PeerFacts, params: &ConnectParams, auth: &ConnectAuth) -> Refusal {
    let given = |field: &Option<String>| field.as_deref().is_some_and(|value| !value.is_empty());
    // Clients show a stored device token in both fields; then it is what failed.
    let repeated = given(&auth.device_token) && auth.token == auth.device_token;
    let offered_secret = (given(&auth.token) && !repeated) || given(&auth.password);
    let guess = |refusal| Refusal { guess: true, ..refusal };
    if !offered_secret && given(&auth.device_token) {
        return device_token_mismatch();
    }
    if !offered_secret && given(&auth.bootstrap_token) {
        return guess(unauthorized(
            "setup code invalid, expired, revoked, or already used (create a new code; review `openclaw devices list`)",
            "AUTH_BOOTSTRAP_TOKEN_INVALID",
            "bootstrap_token_invalid",
            false,
            "review_auth_configuration",
        ));
    }
    if let Vouched::Not(why) = peer.user {
        return unauthorized(
            "the proxy's word does not count here",
            "AUTH_UNAUTHORIZED",
            why,
            false,
            "review_auth_configuration",
        );
    }
    let hint = hint(policy.mode, peer, params);
    let retry = given(&auth.token) && params.device.is_some() && !given(&auth.device_token);
    let next = if retry { "retry_with_device_token" } else { "update_auth_credentials" };
    match (policy.mode, offered_secret) {
        (Mode::TrustedProxy, false) => unauthorized(
            "connect through the proxy in front of this gateway",
            "AUTH_UNAUTHORIZED",
            "trusted_proxy_user_missing",
            false,
            "review_auth_configuration",
        ),
        (Mode::Password | Mode::TrustedProxy, true) => guess(unauthorized(
            &format!("gateway password mismatch ({hint})"),
            "AUTH_PASSWORD_MISMATCH",
            "password_mismatch",
            false,
            "update_auth_credentials",
        )),
        (Mode::Password, false) => unauthorized(
            &format!("gateway password missing ({hint})"),
            "AUTH_PASSWORD_MISSING",
            "password_missing",
            false,
            "update_auth_configuration",
        ),
        (_, true) => guess(unauthorized(
            &format!("gateway token mismatch ({hint})"),
            "AUTH_TOKEN_MISMATCH",
            "token_mismatch",
            retry,
            next,
        )),
        (_, false) => unauthorized(
            &format!("gateway token missing ({hint})"),
            "AUTH_TOKEN_MISSING",
            "token_missing",
            false,
            "update_auth_configuration",
        ),
    }
}

/// What this kind of client should do about it.
fn hint(mode: Mode, peer: &PeerFacts, params: &ConnectParams) -> &'static str {
    let password = matches!(mode, Mode::Password | Mode::TrustedProxy);
    match (params.client.id, peer.local) {
        (ClientId::ControlUi | ClientId::WebchatUi | ClientId::BrowserCopilot | ClientId::Tui, _) if password => {
            "enter the password in Control UI settings"
        }
        (ClientId::ControlUi | ClientId::WebchatUi | ClientId::BrowserCopilot | ClientId::Tui, _) => {
            "open the dashboard URL and paste the token in Control UI settings"
        }
        (ClientId::Cli, true) if password => "use this gateway's gateway.auth.password",
        (ClientId::Cli, true) => "use this gateway's gateway.auth.token or pair the device",
        (ClientId::Cli, false) if password => "set gateway.remote.password to match gateway.auth.password",
        (ClientId::Cli, false) => "set gateway.remote.token to match gateway.auth.token",
        _ if password => "provide gateway auth password",
        _ => "provide gateway auth token",
    }
}

/// A shared secret alone is a program on this host only where the protocol knows that program (T24); a user the proxy
/// vouches for has what the configuration says (T23).
fn deviceless_scopes(policy: &Policy, peer: &PeerFacts, params: &ConnectParams, asked: Scopes) -> Scopes {
    if let (Vouched::User(user), Some(rules)) = (&peer.user, &policy.proxy) {
        return rules.scopes_of(user).map_or(Scopes::NONE, |own| own.limit(asked));
    }
    let own_tool = matches!(
        (params.client.id, params.client.mode),
        (ClientId::Cli, ClientMode::Cli) | (ClientId::GatewayClient, ClientMode::Backend)
    );
    if own_tool && peer.local { asked } else { Scopes::NONE }
}

#[cfg(test)]
mod tests;
