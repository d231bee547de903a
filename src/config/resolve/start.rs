//! May the gateway start at all, may it listen there, and which pages may talk to it.

use super::{Auth, Listen, Refusal};
use crate::config::{BindMode, Config, Mode};

/// `gateway.mode` must be `local`, unless the operator says otherwise.
pub fn may_start(config: &Config, allow_unconfigured: bool) -> Result<(), Refusal> {
    if allow_unconfigured {
        return Ok(());
    }
    match config.gateway.mode {
        Some(Mode::Local) => Ok(()),
        Some(mode) => Err(Refusal::config(format!(
            "Gateway start blocked: set gateway.mode=local (current: {mode}) or pass --allow-unconfigured."
        ))),
        None if config.exists => Err(Refusal::config(
            "Gateway start blocked: existing config is missing gateway.mode. The file may be damaged: look at it, then set \
             gateway.mode=local or run `openclaw setup` (or pass --allow-unconfigured).",
        )),
        None => Err(Refusal::config(
            "Missing config. Run `openclaw setup` or set gateway.mode=local (or pass --allow-unconfigured).",
        )),
    }
}

/// Nothing listens beyond this machine without authentication.
pub fn may_bind(listen: &Listen, port: u16, auth: &Auth) -> Result<(), Refusal> {
    if listen.is_loopback() || auth.protects() {
        return Ok(());
    }
    Err(Refusal::config(format!(
        "refusing to bind gateway to {}:{port} without auth (set gateway.auth.token/password, or set \
         OPENCLAW_GATEWAY_TOKEN/OPENCLAW_GATEWAY_PASSWORD)",
        listen.host()
    )))
}

/// Origins that may open the control socket: those of the file, those of
/// `OPENCLAW_GATEWAY_CONTROL_UI_ALLOWED_ORIGINS` (separated by commas), and this gateway's own page for the effective
/// port and address.
pub fn control_ui_origins(config: &Config, listen: &Listen, port: u16) -> Vec<String> {
    let scheme = if config.gateway.tls.enabled { "https" } else { "http" };
    let listed = config.gateway.control_ui.allowed_origins.iter().map(String::as_str);
    let from_env = config.vars.get("OPENCLAW_GATEWAY_CONTROL_UI_ALLOWED_ORIGINS").unwrap_or_default().split(',');
    let mut own = vec![format!("{scheme}://localhost:{port}"), format!("{scheme}://127.0.0.1:{port}")];
    if listen.mode == BindMode::Custom && !listen.host().is_unspecified() {
        own.push(format!("{scheme}://{}:{port}", listen.host()));
    }
    let mut origins: Vec<String> = Vec::new();
    for origin in listed.chain(from_env).map(str::to_owned).chain(own) {
        let origin = origin.trim().trim_end_matches('/').to_owned();
        if !origin.is_empty() && !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    origins
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Addresses, AuthFlags, auth, listen};
    use super::*;
    use crate::sys::Env;

    #[test]
    fn only_a_local_configuration_starts_unless_told_otherwise() {
        let start = |value, exists| {
            let config = Config { exists, ..Config::from_value(value).unwrap() };
            assert!(may_start(&config, true).is_ok());
            may_start(&config, false).map_err(|refusal| refusal.message)
        };
        assert_eq!(start(json!({"gateway": {"mode": "local"}}), true), Ok(()));
        assert_eq!(
            start(json!({"gateway": {"mode": "remote"}}), true).unwrap_err(),
            "Gateway start blocked: set gateway.mode=local (current: remote) or pass --allow-unconfigured."
        );
        assert_eq!(
            start(json!({}), false).unwrap_err(),
            "Missing config. Run `openclaw setup` or set gateway.mode=local (or pass --allow-unconfigured)."
        );
        assert!(start(json!({}), true).unwrap_err().contains("existing config is missing gateway.mode"));
    }

    #[test]
    fn beyond_this_machine_there_must_be_authentication() {
        let check = |mode, value| {
            let config = Config::from_value(json!({"gateway": {"auth": value}})).unwrap();
            let auth = auth(&AuthFlags::default(), &config).unwrap();
            let listen = listen(mode, None, &Addresses::default()).unwrap();
            may_bind(&listen, 18789, &auth).map_err(|refusal| refusal.message)
        };
        let text = "refusing to bind gateway to 0.0.0.0:18789 without auth (set gateway.auth.token/password, or set \
                    OPENCLAW_GATEWAY_TOKEN/OPENCLAW_GATEWAY_PASSWORD)";
        assert_eq!(check(BindMode::Lan, json!({})), Err(text.to_owned()));
        assert_eq!(check(BindMode::Lan, json!({"mode": "none"})), Err(text.to_owned()));
        assert_eq!(check(BindMode::Lan, json!({"token": "0123456789abcdef01234567"})), Ok(()));
        assert_eq!(check(BindMode::Lan, json!({"password": "correct horse"})), Ok(()));
        assert_eq!(check(BindMode::Loopback, json!({"mode": "none"})), Ok(()));
        assert_eq!(check(BindMode::Tailnet, json!({"mode": "none"})), Ok(()));
    }

    #[test]
    fn the_page_of_the_effective_port_is_always_allowed() {
        let config = Config::from_value(json!({"gateway": {"controlUi": {"allowedOrigins": ["https://a.example/"]}}}));
        let vars = Env::from_iter([(
            "OPENCLAW_GATEWAY_CONTROL_UI_ALLOWED_ORIGINS",
            "https://b.example, http://localhost:3000",
        )]);
        let config = Config { vars, ..config.unwrap() };
        let lan = listen(BindMode::Lan, None, &Addresses::default()).unwrap();
        assert_eq!(
            control_ui_origins(&config, &lan, 3000),
            ["https://a.example", "https://b.example", "http://localhost:3000", "http://127.0.0.1:3000"]
        );
        let custom = listen(BindMode::Custom, Some("10.0.0.7"), &Addresses::default()).unwrap();
        let origins = control_ui_origins(&Config::default(), &custom, 1);
        assert_eq!(origins, ["http://localhost:1", "http://127.0.0.1:1", "http://10.0.0.7:1"]);
    }
}
