//! The decision on one `connect`: granted with scopes, or refused with the recorded words and close code.
//!
//! Order, as recorded: protocol window, role, origin, device proof, credentials, scopes. Each refusal is an answered
//! request before the close (demands 12).

use serde::Serialize;

use super::{Caller, Client, Mode, PeerFacts, Policy, Role, device};
use crate::wire::connect::{ClientId, ClientMode, ConnectAuth, ConnectParams, ProtocolMismatch};
use crate::wire::error::RpcError;
use crate::wire::scope::Scopes;
use crate::wire::{MINIMUM_PROBE_PROTOCOL, PROTOCOL};

/// A caller that may stay.
#[derive(Debug)]
pub struct Granted {
    pub caller: Caller,
    /// `token`, `password`, `none`: what hello-ok reports.
    pub method: &'static str,
}

/// A caller that must go.
#[derive(Debug)]
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
) -> Result<Granted, Refusal> {
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
    let backend = (client.id, client.mode) == (ClientId::GatewayClient, ClientMode::Backend);
    let deviceless = device_id.is_none();
    if deviceless
        && (role == Role::Node
            || (offers_nothing(&auth) || policy.mode == Mode::None) && !(policy.mode == Mode::None && backend))
    {
        return Err(Refusal::policy(
            RpcError::not_paired("device identity required")
                .details(&Coded { code: "DEVICE_IDENTITY_REQUIRED", reason: None }),
        ));
    }
    credentials(policy, peer, params, &auth)?;
    if !deviceless && (!peer.local || role == Role::Node) {
        return Err(unpaired(params, role, device_id.as_deref().unwrap_or("")));
    }
    Ok(Granted {
        caller: Caller {
            conn,
            role,
            scopes: granted_scopes(peer, params, role, deviceless),
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
        },
        method: policy.mode.as_str(),
    })
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
        (Role::Node, _) | (_, ClientMode::Probe) => MINIMUM_PROBE_PROTOCOL,
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

/// Pages must come from here or be listed; programs that are no pages send no Origin.
fn origin(policy: &Policy, peer: &PeerFacts, params: &ConnectParams) -> Result<(), Refusal> {
    let page = is_control_ui(params.client.id) || matches!(params.client.id, ClientId::WebchatUi | ClientId::Webchat);
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

/// The shared secret counts in either field, whatever stale tokens come with it (demands 9a).
fn credentials(policy: &Policy, peer: &PeerFacts, params: &ConnectParams, auth: &ConnectAuth) -> Result<(), Refusal> {
    let given = |field: &Option<String>| field.as_deref().filter(|v| !v.is_empty()).map(str::to_string);
    let (token, password) = (given(&auth.token), given(&auth.password));
    if policy.mode == Mode::None || [&token, &password].into_iter().flatten().any(|v| policy.accepts(v)) {
        return Ok(());
    }
    let (has_device, has_device_token) = (params.device.is_some(), given(&auth.device_token).is_some());
    let offered_secret = token.is_some() || password.is_some();
    let refuse = |message: String, code, auth_reason, retry, next| {
        let error = RpcError::invalid(format!("unauthorized: {message}")).details(&AuthDetails {
            code,
            auth_reason,
            can_retry_with_device_token: retry,
            recommended_next_step: next,
        });
        Err(Refusal { guess: true, ..Refusal::policy(error) })
    };
    if !offered_secret && has_device_token {
        return refuse(
            "device token mismatch (rotate/reissue device token)".into(),
            "AUTH_DEVICE_TOKEN_MISMATCH",
            "device_token_mismatch",
            false,
            "update_auth_credentials",
        );
    }
    if !offered_secret && given(&auth.bootstrap_token).is_some() {
        return refuse(
            "setup code invalid, expired, revoked, or already used (create a new code; review `openclaw devices list`)"
                .into(),
            "AUTH_BOOTSTRAP_TOKEN_INVALID",
            "bootstrap_token_invalid",
            false,
            "review_auth_configuration",
        );
    }
    let hint = hint(policy.mode, peer, params);
    let retry = token.is_some() && has_device && !has_device_token;
    let next = if retry { "retry_with_device_token" } else { "update_auth_credentials" };
    match (policy.mode, offered_secret) {
        (Mode::Password, true) => refuse(
            format!("gateway password mismatch ({hint})"),
            "AUTH_PASSWORD_MISMATCH",
            "password_mismatch",
            false,
            "update_auth_credentials",
        ),
        (Mode::Password, false) => refuse(
            format!("gateway password missing ({hint})"),
            "AUTH_PASSWORD_MISSING",
            "password_missing",
            false,
            "update_auth_configuration",
        ),
        (_, true) => {
            refuse(format!("gateway token mismatch ({hint})"), "AUTH_TOKEN_MISMATCH", "token_mismatch", retry, next)
        }
        (_, false) => refuse(
            format!("gateway token missing ({hint})"),
            "AUTH_TOKEN_MISSING",
            "token_missing",
            false,
            "update_auth_configuration",
        ),
    }
}

/// What this kind of client should do about it.
fn hint(mode: Mode, peer: &PeerFacts, params: &ConnectParams) -> &'static str {
    let password = mode == Mode::Password;
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

/// A shared secret alone is a program on this host only where the protocol knows that program (T24).
fn granted_scopes(peer: &PeerFacts, params: &ConnectParams, role: Role, deviceless: bool) -> Scopes {
    if role == Role::Node {
        return Scopes::NONE;
    }
    let own_tool = matches!(
        (params.client.id, params.client.mode),
        (ClientId::Cli, ClientMode::Cli) | (ClientId::GatewayClient, ClientMode::Backend)
    );
    if deviceless && !(own_tool && peer.local) {
        return Scopes::NONE;
    }
    Scopes::parse(params.scopes.as_deref().unwrap_or(&[]).iter().map(|s| s.0.as_str()))
}

fn unpaired(params: &ConnectParams, role: Role, device_id: &str) -> Refusal {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Details<'a> {
        code: &'static str,
        reason: &'static str,
        remediation_hint: &'static str,
        device_id: &'a str,
        requested_role: &'static str,
        requested_scopes: Vec<&'a str>,
        approved_roles: [&'static str; 0],
        approved_scopes: [&'static str; 0],
    }
    Refusal::policy(RpcError::not_paired("pairing required: device is not approved yet").details(&Details {
        code: "PAIRING_REQUIRED",
        reason: "not-paired",
        remediation_hint: "Connect from the gateway host, or through a tunnel that ends there.",
        device_id,
        requested_role: role.as_str(),
        requested_scopes: params.scopes.as_deref().unwrap_or(&[]).iter().map(|s| s.0.as_str()).collect(),
        approved_roles: [],
        approved_scopes: [],
    }))
}

#[cfg(test)]
mod tests {
    use super::super::OriginRules;
    use super::*;
    use crate::sys::secret::Secret;
    use crate::wire::decode;

    const NOW: u64 = 1_795_336_151_333;

    fn policy(mode: Mode) -> Policy {
        Policy { mode, secret: Secret::new("tok123"), trusted_proxies: vec![], origins: OriginRules::default() }
    }

    fn local() -> PeerFacts {
        PeerFacts { ip: "127.0.0.1".parse().ok(), local: true, origin: None, host: Some("127.0.0.1:18789".into()) }
    }

    fn params(client: &str, rest: &str) -> ConnectParams {
        let (id, mode) = client.split_once('/').expect("id/mode");
        decode::object(&format!(
            r#"{{"minProtocol":4,"maxProtocol":4,"client":{{"id":"{id}","version":"1","platform":"linux","mode":"{mode}"}}{rest}}}"#
        ))
        .expect("valid")
    }

    fn decide(mode: Mode, peer: &PeerFacts, p: &ConnectParams) -> Result<Granted, Refusal> {
        check_connect(&policy(mode), peer, p, 1, "nonce", NOW)
    }

    fn refusal(mode: Mode, client: &str, rest: &str) -> (String, String) {
        let refused = decide(mode, &local(), &params(client, rest)).expect_err("must be refused");
        let error = refused.error.expect("answered");
        let details: serde_json::Value =
            error.details.map_or(serde_json::Value::Null, |d| serde_json::from_str(d.get()).expect("JSON"));
        (error.message, details["code"].as_str().unwrap_or("").to_string())
    }

    const ASK: &str = r#","scopes":["operator.read","operator.write"],"auth":{"token":"tok123"}"#;

    #[test]
    fn own_tools_on_loopback_keep_their_scopes_and_others_get_none() {
        for (client, names) in [
            ("cli/cli", &["operator.read", "operator.write"][..]),
            ("gateway-client/backend", &["operator.read", "operator.write"]),
            ("cli/probe", &[]),
            ("test/test", &[]),
            ("gateway-client/cli", &[]),
        ] {
            let granted = decide(Mode::Token, &local(), &params(client, ASK)).expect("granted");
            assert_eq!(granted.caller.scopes.names().collect::<Vec<_>>(), names, "{client}");
        }
        let remote = PeerFacts { local: false, ip: "10.1.1.1".parse().ok(), ..local() };
        assert!(decide(Mode::Token, &remote, &params("cli/cli", ASK)).expect("granted").caller.scopes.is_empty());
    }

    #[test]
    fn refusals_have_the_recorded_words() {
        let hint = "use this gateway's gateway.auth.token or pair the device";
        assert_eq!(
            refusal(Mode::Token, "cli/cli", r#","auth":{"token":"bad"}"#),
            (format!("unauthorized: gateway token mismatch ({hint})"), "AUTH_TOKEN_MISMATCH".into())
        );
        assert_eq!(
            refusal(Mode::Token, "cli/cli", ""),
            ("device identity required".into(), "DEVICE_IDENTITY_REQUIRED".into())
        );
        assert_eq!(
            refusal(Mode::Password, "cli/cli", r#","auth":{"password":"bad"}"#),
            (
                "unauthorized: gateway password mismatch (use this gateway's gateway.auth.password)".into(),
                "AUTH_PASSWORD_MISMATCH".into()
            )
        );
        assert_eq!(refusal(Mode::Token, "cli/cli", r#","auth":{"deviceToken":"x"}"#).1, "AUTH_DEVICE_TOKEN_MISMATCH");
        assert_eq!(
            refusal(Mode::Token, "cli/cli", r#","auth":{"bootstrapToken":"x"}"#).1,
            "AUTH_BOOTSTRAP_TOKEN_INVALID"
        );
        assert_eq!(refusal(Mode::None, "cli/cli", "").1, "DEVICE_IDENTITY_REQUIRED");
        assert_eq!(refusal(Mode::Token, "openclaw-control-ui/webchat", ASK).1, "CONTROL_UI_ORIGIN_NOT_ALLOWED");
        assert_eq!(refusal(Mode::Token, "cli/cli", r#","role":"king""#).0, "invalid role");
    }

    #[test]
    fn the_secret_counts_in_either_field_and_beside_a_stale_device_token() {
        for auth in [
            r#"{"password":"tok123"}"#,
            r#"{"token":"bad","password":"tok123"}"#,
            r#"{"token":"tok123","deviceToken":"stale"}"#,
        ] {
            assert!(decide(Mode::Token, &local(), &params("cli/cli", &format!(r#","auth":{auth}"#))).is_ok(), "{auth}");
        }
    }

    #[test]
    fn mode_none_lets_the_backend_client_in() {
        let granted =
            decide(Mode::None, &local(), &params("gateway-client/backend", r#","scopes":["operator.admin"]"#))
                .expect("granted");
        assert_eq!(granted.method, "none");
        assert!(!granted.caller.scopes.is_empty());
    }

    #[test]
    fn the_protocol_window_is_three_to_four_for_probes_only() {
        let window = |client: &str, min: u32, max: u32| {
            let text = format!(
                r#"{{"minProtocol":{min},"maxProtocol":{max},"client":{{"id":"cli","version":"1","platform":"l","mode":"{client}"}},"auth":{{"token":"tok123"}}}}"#
            );
            decide(Mode::Token, &local(), &decode::object(&text).expect("valid")).map(|_| ()).map_err(|r| r.close_code)
        };
        assert_eq!(window("cli", 4, 4), Ok(()));
        assert_eq!(window("cli", 1, 9), Ok(()));
        assert_eq!(window("cli", 3, 3), Err(1002));
        assert_eq!(window("cli", 5, 9), Err(1002));
        assert_eq!(window("probe", 3, 3), Ok(()));
    }

    #[test]
    fn a_device_is_proved_and_a_remote_one_must_be_paired() {
        let signed = device::tests::signed(7, 3, "nonce", NOW, "tok123");
        let granted = decide(Mode::Token, &local(), &signed).expect("granted");
        assert!(granted.caller.client.device_id.is_some() && !granted.caller.scopes.is_empty());
        let remote = PeerFacts { local: false, ip: "10.1.1.1".parse().ok(), ..local() };
        let refused = decide(Mode::Token, &remote, &signed).expect_err("not paired");
        assert_eq!(refused.error.expect("answered").code, crate::wire::error::Code::NotPaired);
    }

    #[test]
    fn a_foreign_page_is_refused_whatever_it_claims_to_be() {
        let page = PeerFacts { origin: Some("https://evil.example".into()), ..local() };
        assert!(decide(Mode::Token, &page, &params("cli/cli", ASK)).is_err());
        let own = PeerFacts { origin: Some("http://127.0.0.1:18789".into()), ..local() };
        assert!(decide(Mode::Token, &own, &params("cli/cli", ASK)).is_ok());
    }
}
