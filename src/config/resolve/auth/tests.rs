//! Every source, every conflict, every refusal.

use serde_json::{Value, json};

use super::super::RefusalKind;
use super::*;
use crate::config::Unresolved;
use crate::sys::Env;

const LONG: &str = "0123456789abcdef0123456789abcdef";

fn config(auth: Value, env: &[(&str, &str)]) -> Config {
    let config = Config::from_value(json!({"gateway": {"auth": auth}})).unwrap();
    Config { vars: env.iter().copied().collect::<Env>(), ..config }
}

fn flags(mode: Option<&str>, token: Option<&str>, password: Option<&str>) -> AuthFlags {
    AuthFlags { mode: mode.map(str::to_owned), token: token.map(Secret::new), password: password.map(Secret::new) }
}

fn refused(auth_value: Value, env: &[(&str, &str)]) -> String {
    let refusal = auth(&AuthFlags::default(), &config(auth_value, env)).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Config);
    refusal.message
}

/// Flags, `gateway.auth`, environment; and the mode, the secret and its source that follow.
type Row<'a> = (AuthFlags, Value, &'a [(&'a str, &'a str)], Option<AuthMode>, Option<&'a str>, Source);

#[test]
fn flags_beat_the_file_and_the_file_beats_the_environment() {
    let env = [("OPENCLAW_GATEWAY_TOKEN", "env-token"), ("OPENCLAW_GATEWAY_PASSWORD", "env-password")];
    let t = Some(AuthMode::Token);
    let p = Some(AuthMode::Password);
    let none: &[(&str, &str)] = &[];
    let rows: &[Row] = &[
        (flags(None, Some("f"), None), json!({"token": "c"}), &env[..1], t, Some("f"), Source::Flag("--token")),
        (flags(None, None, None), json!({"token": "c"}), &env[..1], t, Some("c"), Source::Config("gateway.auth.token")),
        (flags(None, None, None), json!({}), &env[..1], t, Some("env-token"), Source::Env("OPENCLAW_GATEWAY_TOKEN")),
        (flags(None, None, None), json!({}), none, t, None, Source::Default),
        (flags(None, None, Some("f")), json!({}), none, p, Some("f"), Source::Flag("--password")),
        (
            flags(None, None, None),
            json!({"password": "c"}),
            none,
            p,
            Some("c"),
            Source::Config("gateway.auth.password"),
        ),
        (flags(None, None, None), json!({}), &env, p, Some("env-password"), Source::Env("OPENCLAW_GATEWAY_PASSWORD")),
        (
            flags(None, None, None),
            json!({"mode": "token"}),
            &env,
            t,
            Some("env-token"),
            Source::Env("OPENCLAW_GATEWAY_TOKEN"),
        ),
        (
            flags(Some("token"), None, None),
            json!({"mode": "password", "token": "c"}),
            none,
            t,
            Some("c"),
            Source::Config("gateway.auth.token"),
        ),
        (flags(None, Some("f"), None), json!({}), &env[1..], t, Some("f"), Source::Flag("--token")),
        (
            flags(None, None, None),
            json!({"mode": "password", "token": "a", "password": "b"}),
            none,
            p,
            Some("b"),
            Source::Config("gateway.auth.password"),
        ),
    ];
    for (flags, value, env, mode, secret, source) in rows {
        let got = auth(flags, &config(value.clone(), env)).unwrap();
        let used = if got.mode == AuthMode::Password { &got.password } else { &got.token };
        assert_eq!(Some(got.mode), *mode, "{flags:?} {value}");
        assert_eq!(used.as_ref().map(Secret::expose), *secret, "{flags:?} {value}");
        assert_eq!(got.source(), *source, "{flags:?} {value}");
        assert_eq!(got.needs_token(), secret.is_none());
    }
}

#[test]
fn a_token_and_a_password_need_a_mode() {
    let text =
        "Invalid config: gateway.auth.token and gateway.auth.password are both set; choose one with gateway.auth.mode.";
    assert_eq!(refused(json!({"token": "a", "password": "b"}), &[]), text);
    let with_flag = auth(&flags(Some("token"), None, None), &config(json!({"token": "a", "password": "b"}), &[]));
    assert_eq!(with_flag.unwrap().mode, AuthMode::Token);
}

#[test]
fn texts_that_cannot_be_secrets_are_refused_without_being_shown() {
    for bad in ["", " ", "undefined", "null", "change-me-now", "your-token", "__OPENCLAW_REDACTED__", "***"] {
        let message = refused(json!({"token": bad}), &[]);
        assert!(message.starts_with("Invalid config: gateway.auth.token is "), "{bad}: {message}");
    }
    assert!(refused(json!({"password": "null"}), &[]).starts_with("Invalid config: gateway.auth.password is blank"));
    let env = [("OPENCLAW_GATEWAY_TOKEN", "change-me-to-a-long-random-token")];
    assert!(refused(json!({}), &env).starts_with("Invalid config: OPENCLAW_GATEWAY_TOKEN is a published example"));
}

#[test]
fn short_tokens_and_disagreeing_sources_are_warned_about_without_values() {
    let env = [("OPENCLAW_GATEWAY_TOKEN", LONG)];
    let got = auth(&AuthFlags::default(), &config(json!({"token": "canary"}), &env)).unwrap();
    assert_eq!(got.warnings.len(), 2);
    assert_eq!(got.warnings[0], "gateway.auth.token has only 6 characters; use at least 24");
    assert!(got.warnings[1].starts_with("gateway.auth.token and OPENCLAW_GATEWAY_TOKEN are both set and differ"));
    assert!(!got.warnings.concat().contains("canary"));
    let same = auth(&AuthFlags::default(), &config(json!({"token": LONG}), &env)).unwrap();
    assert!(same.warnings.is_empty());
}

#[test]
fn a_secret_that_cannot_be_had_fails_closed() {
    let lost = |path: &str, auth: Value, env: &[(&str, &str)]| {
        let entry = Unresolved {
            path: path.to_owned(),
            reason: "environment variable X is not set".to_owned(),
            skipped: false,
        };
        Config { unresolved: vec![entry], ..config(auth, env) }
    };
    let env = [("OPENCLAW_GATEWAY_TOKEN", LONG)];
    let refusal = auth(&AuthFlags::default(), &lost("gateway.auth.token", json!({}), &env)).unwrap_err();
    assert_eq!(refusal.message, "gateway auth cannot be set up: gateway.auth.token: environment variable X is not set");
    // What the flag says does not need the file, and a credential of another mode does not matter.
    assert!(auth(&flags(None, Some(LONG), None), &lost("gateway.auth.token", json!({}), &[])).is_ok());
    let other = lost("gateway.auth.password", json!({"mode": "token", "token": LONG}), &[]);
    assert!(auth(&AuthFlags::default(), &other).is_ok());
    assert!(auth(&AuthFlags::default(), &lost("gateway.auth.password", json!({}), &env)).is_err());
}

#[test]
fn modes_without_what_they_need_are_refused() {
    assert!(
        refused(json!({"mode": "password"}), &[])
            .starts_with("Gateway auth mode is password, but there is no password")
    );
    let proxy = |auth: Value, proxies: Value, env: &[(&str, &str)]| {
        let value = json!({"gateway": {"auth": auth, "trustedProxies": proxies}});
        let config = Config { vars: env.iter().copied().collect(), ..Config::from_value(value).unwrap() };
        super::auth(&AuthFlags::default(), &config).map(|auth| auth.mode).map_err(|refusal| refusal.message)
    };
    let complete = json!({"mode": "trusted-proxy", "trustedProxy": {"userHeader": "x-user"}});
    assert_eq!(proxy(complete.clone(), json!(["10.0.0.1"]), &[]), Ok(AuthMode::TrustedProxy));
    assert!(proxy(complete.clone(), json!([]), &[]).unwrap_err().contains("names no proxy"));
    assert!(proxy(json!({"mode": "trusted-proxy"}), json!(["10.0.0.1"]), &[]).unwrap_err().contains("userHeader"));
    let with_token = proxy(complete, json!(["10.0.0.1"]), &[("OPENCLAW_GATEWAY_TOKEN", "t")]).unwrap_err();
    assert!(with_token.contains("OPENCLAW_GATEWAY_TOKEN sets a shared token"));
}

#[test]
fn an_unknown_mode_is_a_usage_error() {
    let refusal = auth(&flags(Some("magic"), None, None), &Config::default()).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Usage);
    assert!(refusal.message.starts_with("Invalid --auth. "));
}

#[test]
fn hooks_must_not_share_the_gateways_secret() {
    let value = json!({"gateway": {"auth": {"token": LONG}}, "hooks": {"enabled": true, "token": LONG}});
    let refusal = auth(&AuthFlags::default(), &Config::from_value(value).unwrap()).unwrap_err();
    assert!(refusal.message.contains("hooks.token must differ"));
    let value = json!({"gateway": {"auth": {"token": LONG}}, "hooks": {"enabled": false, "token": LONG}});
    assert!(auth(&AuthFlags::default(), &Config::from_value(value).unwrap()).is_ok());
}
