//! Decisions about one connect, from values.

use super::*;
use crate::wire::decode;

const NOW: u64 = 1_795_336_151_333;

fn policy(mode: Mode) -> Policy {
    let nodes = crate::auth::NodeRules { approve_local: true, ..Default::default() };
    Policy { mode, secret: Secret::new("tok123"), nodes, ..Policy::default() }
}

fn local() -> PeerFacts {
    PeerFacts {
        ip: "127.0.0.1".parse().ok(),
        local: true,
        host: Some("127.0.0.1:18789".into()),
        ..PeerFacts::default()
    }
}

fn params(client: &str, rest: &str) -> ConnectParams {
    let (id, mode) = client.split_once('/').expect("id/mode");
    decode::object(&format!(
        r#"{{"minProtocol":4,"maxProtocol":4,"client":{{"id":"{id}","version":"1","platform":"linux","mode":"{mode}"}}{rest}}}"#
    ))
    .expect("valid")
}

fn decide(mode: Mode, peer: &PeerFacts, p: &ConnectParams) -> Result<Checked, Refusal> {
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
    assert_eq!(refusal(Mode::Token, "cli/cli", r#","auth":{"bootstrapToken":"x"}"#).1, "AUTH_BOOTSTRAP_TOKEN_INVALID");
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
    let granted = decide(Mode::None, &local(), &params("gateway-client/backend", r#","scopes":["operator.admin"]"#))
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
fn a_device_is_proved_and_then_decided_by_the_registry() {
    let signed = device::tests::signed(7, 3, "nonce", NOW, "tok123");
    let arrival =
        |peer: &PeerFacts| decide(Mode::Token, peer, &signed).expect("in order").arrival.expect("a device").unasked;
    assert_eq!(arrival(&local()), Some(Unasked::Silent));
    assert_eq!(arrival(&PeerFacts { local: false, ip: "10.1.1.1".parse().ok(), ..local() }), None);
    let page = PeerFacts { origin: Some("http://127.0.0.1:18789".into()), ..local() };
    assert_eq!(arrival(&page), None, "a page that does not say it is one is asked about");
    let strict = Policy { nodes: Default::default(), ..policy(Mode::Token) };
    let asked = check_connect(&strict, &local(), &signed, 1, "nonce", NOW).expect("in order").arrival;
    assert_eq!(asked.expect("a device").unasked, None, "autoApproveLocal: false asks about devices of this host");
}

#[test]
fn t23_a_proxy_s_user_has_what_the_configuration_says_and_nothing_it_claims() {
    let rules = crate::auth::ProxyRules {
        identities: vec![("ada".into(), Scopes::parse(["operator.write"]))],
        ..Default::default()
    };
    let policy = Policy { proxy: Some(rules), secret: Secret::default(), ..policy(Mode::TrustedProxy) };
    let scopes = |user: Vouched, ask: &str| {
        let peer = PeerFacts { local: false, ip: "10.1.1.1".parse().ok(), user, ..local() };
        let ask = params("cli/cli", &format!(r#","scopes":["{ask}"]"#));
        check_connect(&policy, &peer, &ask, 1, "nonce", NOW)
            .map(|checked| checked.caller.scopes.names().collect::<Vec<_>>().join(","))
            .map_err(|refusal| refusal.error.expect("answered").message)
    };
    assert_eq!(scopes(Vouched::User("ada".into()), "operator.read"), Ok("operator.read".into()));
    assert_eq!(scopes(Vouched::User("ada".into()), "operator.admin"), Ok(String::new()));
    assert_eq!(scopes(Vouched::User("eve".into()), "operator.read"), Ok(String::new()));
    for not in [Vouched::Not("trusted_proxy_loopback_source"), Vouched::Nobody] {
        assert!(scopes(not, "operator.read").is_err());
    }
}

#[test]
fn a_foreign_page_is_refused_whatever_it_claims_to_be() {
    let page = PeerFacts { origin: Some("https://evil.example".into()), ..local() };
    assert!(decide(Mode::Token, &page, &params("cli/cli", ASK)).is_err());
    let own = PeerFacts { origin: Some("http://127.0.0.1:18789".into()), ..local() };
    assert!(decide(Mode::Token, &own, &params("cli/cli", ASK)).is_ok());
}
