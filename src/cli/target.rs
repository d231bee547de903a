//! Which gateway a command talks to, and with which credential.
//!
//! In this order: `--url` (nothing but the credentials given beside it), `--port` (this host), `OPENCLAW_GATEWAY_URL`
//! (credentials from the environment only), `gateway.remote.url` when `gateway.mode` is `remote`, and the port of this
//! host. Credentials of the configuration never travel to an address that did not come from it.
//!
//! Pure: everything it needs is passed in. Never prints a credential; `Debug` of [`Target`] redacts them.
//! Invariant: a plaintext address outside this host is refused unless the environment allows it, and then only for
//! private networks.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use tungstenite::http::Uri;

use super::args::Wanted;
use super::failure::Failure;
use super::settings::Settings;
use crate::client::{Address, Fingerprint};
use crate::config::Mode;
use crate::sys::Env;
use crate::sys::secret::Secret;

/// A gateway to talk to and how it was found.
#[derive(Debug, Clone)]
pub struct Target {
    pub address: Address,
    pub source: Source,
    pub token: Option<Secret>,
    pub password: Option<Secret>,
    /// Path of the configuration file, for messages.
    pub config: String,
    /// `gateway.bind`, for messages about this host's gateway.
    pub bind: &'static str,
}

/// Where the address came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Url,
    Port,
    Environment,
    Remote,
    Local,
    /// `gateway.mode` is `remote`, but there is no `gateway.remote.url`.
    RemoteMissing,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Url => "cli --url",
            Source::Port => "cli --port",
            Source::Environment => "env OPENCLAW_GATEWAY_URL",
            Source::Remote => "config gateway.remote.url",
            Source::Local => "local loopback",
            Source::RemoteMissing => "missing gateway.remote.url (fallback local)",
        })
    }
}

impl Target {
    /// Chooses the gateway.
    pub fn choose(wanted: &Wanted, settings: &Settings, env: &Env) -> Result<Target, Failure> {
        Target::as_in(settings.config.gateway.mode, wanted, settings, env)
    }

    /// Every gateway that could be meant: the chosen one first, then the configured remote one, active or not, and this
    /// host's. With `--port` only that one. A gateway that may not be talked to is left out, with the reason.
    pub fn all(wanted: &Wanted, settings: &Settings, env: &Env) -> Result<(Vec<Target>, Vec<String>), Failure> {
        let chosen = Target::choose(wanted, settings, env)?;
        if wanted.port.is_some() {
            return Ok((vec![chosen], Vec::new()));
        }
        let (mut targets, mut left_out) = (vec![chosen], Vec::new());
        // A blank variable counts as missing.
        let env = env.with("OPENCLAW_GATEWAY_URL", "");
        for mode in [Mode::Remote, Mode::Local] {
            match Target::as_in(Some(mode), &Wanted::default(), settings, &env) {
                Ok(more) if targets.iter().all(|known| known.address.url != more.address.url) => {
                    if more.source != Source::RemoteMissing {
                        targets.push(more);
                    }
                }
                Ok(_) => {}
                Err(refused) => left_out.push(refused.message),
            }
        }
        Ok((targets, left_out))
    }

    /// Chooses as if `gateway.mode` were `mode`.
    fn as_in(mode: Option<Mode>, wanted: &Wanted, settings: &Settings, env: &Env) -> Result<Target, Failure> {
        if wanted.url.is_some() && wanted.port.is_some() {
            return Err(Failure::usage("--url and --port exclude each other"));
        }
        let given = (secret(wanted.token), secret(wanted.password));
        let config = &settings.config.gateway;
        let remote = &config.remote;
        let from_env = || (env.secret("OPENCLAW_GATEWAY_TOKEN"), env.secret("OPENCLAW_GATEWAY_PASSWORD"));
        let (env_token, env_password) = from_env();
        let here = || {
            let token = config.auth.token.clone().or(env_token.clone()).or(remote.token.clone());
            let token = token.or_else(|| settings.own_token());
            let password = config.auth.password.clone().or(env_password.clone()).or(remote.password.clone());
            (token, password)
        };
        let url_in_env = env.get("OPENCLAW_GATEWAY_URL").filter(|_| wanted.port.is_none());
        let url_in_config = remote.url.as_deref().map(str::trim).filter(|url| !url.is_empty());

        let (url, pin, source, found) = if let Some(url) = wanted.url {
            if given.0.is_none() && given.1.is_none() {
                return Err(Failure::usage("gateway url override requires explicit credentials").hint(
                    "Add --token or --password: with --url none are taken from the configuration or environment.",
                ));
            }
            (url.to_owned(), None, Source::Url, (None, None))
        } else if let Some(port) = wanted.port {
            (settings.local_url(port), settings.local_pin(), Source::Port, here())
        } else if let Some(url) = url_in_env {
            (url.to_owned(), None, Source::Environment, from_env())
        } else if let (Some(Mode::Remote), Some(url)) = (mode, url_in_config) {
            let pin = remote.tls_fingerprint.as_deref().filter(|pin| !pin.trim().is_empty());
            let pin = pin.map(Fingerprint::parse).transpose();
            let pin = pin.map_err(|bad| Failure::config(format!("gateway.remote.tlsFingerprint: {bad}")))?;
            let token = remote.token.clone().or(env_token).or(config.auth.token.clone());
            let password = env_password.or(remote.password.clone()).or(config.auth.password.clone());
            (url.to_owned(), pin, Source::Remote, (token, password))
        } else {
            let missing = mode == Some(Mode::Remote);
            let source = if missing { Source::RemoteMissing } else { Source::Local };
            (settings.local_url(settings.port), settings.local_pin(), source, here())
        };
        let given_pin = wanted.fingerprint.map(Fingerprint::parse).transpose();
        let pin = given_pin.map_err(|bad| Failure::usage(format!("--tls-fingerprint: {bad}")))?.or(pin);
        let url = websocket_url(&url)?;
        if wanted.fingerprint.is_some() && !url.starts_with("wss:") {
            return Err(Failure::usage(format!("--tls-fingerprint needs a wss:// address; {url} has no certificate")));
        }
        refuse_plaintext(&url, env)?;
        let (token, password) = if given.0.is_some() || given.1.is_some() { given } else { found };
        Ok(Target {
            address: Address { url, pin },
            source,
            token,
            password,
            config: settings.described_path(),
            bind: settings.bind(),
        })
    }

    /// Whether the gateway is on this host, as far as the address tells.
    pub fn is_here(&self) -> bool {
        let uri = self.address.url.parse::<Uri>().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
        is_this_host(host.trim_start_matches('[').trim_end_matches(']'))
    }

    /// The lines that follow a failure to connect.
    pub fn lines(&self) -> String {
        let Target { address, source, config, bind, .. } = self;
        let mut lines = format!("Gateway target: {}\nSource: {source}\nConfig: {config}", address.url);
        if matches!(source, Source::Local | Source::Port | Source::RemoteMissing) {
            lines.push_str(&format!("\nBind: {bind}"));
        }
        lines
    }
}

fn secret(value: Option<&str>) -> Option<Secret> {
    value.map(str::trim).filter(|value| !value.is_empty()).map(Secret::new)
}

/// Accepts the address of the page, too: http becomes ws. A password in an address would end in logs and is refused.
fn websocket_url(url: &str) -> Result<String, Failure> {
    let url = url.trim();
    let bad = |why: &str| Failure::usage(format!("gateway URL {why}; it looks like ws://127.0.0.1:18789"));
    let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("has no scheme"))?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "ws" | "http" => "ws",
        "wss" | "https" => "wss",
        _ => return Err(bad("is neither ws:// nor wss://")),
    };
    let uri: Uri = format!("{scheme}://{rest}").parse().map_err(|_| bad("cannot be read"))?;
    let authority = uri.authority().ok_or_else(|| bad("names no host"))?;
    if authority.as_str().contains('@') {
        return Err(bad("must not carry a user name or password"));
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok(format!("{scheme}://{authority}{}", path.strip_suffix('/').unwrap_or(path)))
}

/// A token sent in the clear over somebody else's network is a token given away.
fn refuse_plaintext(url: &str, env: &Env) -> Result<(), Failure> {
    let uri: Uri = url.parse().map_err(|_| Failure::usage(format!("gateway URL {url} cannot be read")))?;
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    if uri.scheme_str() == Some("wss") || is_this_host(host) {
        return Ok(());
    }
    if is_private(host) && env.flag("OPENCLAW_ALLOW_INSECURE_PRIVATE_WS") {
        return Ok(());
    }
    Err(Failure::config(format!("{url} would send credentials and conversations unencrypted to another host")).hint(
        if is_private(host) {
            "Use wss://, a tunnel (ssh -N -L 18789:127.0.0.1:18789 HOST), or set OPENCLAW_ALLOW_INSECURE_PRIVATE_WS=1 \
             for a network you trust."
        } else {
            "Use wss:// or a tunnel: ssh -N -L 18789:127.0.0.1:18789 HOST, then ws://127.0.0.1:18789."
        },
    ))
}

fn is_this_host(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| plain(ip).is_loopback())
}

/// Private, link-local and carrier-grade ranges, and names that only mean something at home.
fn is_private(host: &str) -> bool {
    let Ok(ip) = host.parse::<IpAddr>() else {
        let host = host.to_ascii_lowercase();
        return [".local", ".lan", ".ts.net", ".home.arpa", ".internal"].iter().any(|end| host.ends_with(end))
            || !host.contains('.');
    };
    match plain(ip) {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || ip.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(ip) => is_local_v6(ip),
    }
}

fn is_local_v6(ip: Ipv6Addr) -> bool {
    let first = ip.segments()[0];
    first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80
}

/// `::ffff:10.0.0.1` is `10.0.0.1`.
fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Kind;
    use crate::config::Config;

    fn settings(edit: impl FnOnce(&mut Config)) -> Settings {
        let mut config = Config::default();
        edit(&mut config);
        Settings::of(config, 18789)
    }

    fn choose(wanted: Wanted, settings: &Settings, env: &[(&str, &str)]) -> Target {
        Target::choose(&wanted, settings, &Env::from_iter(env.iter().copied())).expect("a target")
    }

    fn token(target: &Target) -> Option<&str> {
        target.token.as_ref().map(Secret::expose)
    }

    #[test]
    fn the_port_of_this_host_is_the_default() {
        let target = choose(Wanted::default(), &settings(|c| c.gateway.auth.token = Some(Secret::new("cfg"))), &[]);
        assert_eq!(target.address.url, "ws://127.0.0.1:18789");
        assert_eq!((target.source, token(&target)), (Source::Local, Some("cfg")));
        assert!(target.lines().ends_with("Bind: loopback"));
        assert!(!format!("{target:?}").contains("cfg\""));
    }

    #[test]
    fn an_address_from_the_command_line_takes_no_other_credentials() {
        let known = settings(|c| c.gateway.auth.token = Some(Secret::new("cfg")));
        let alone = Wanted { url: Some("ws://127.0.0.1:1"), ..Wanted::default() };
        let refused = Target::choose(&alone, &known, &Env::default()).expect_err("no credentials");
        assert_eq!(refused.kind, Kind::Usage);
        let given = Wanted { token: Some("mine"), ..alone };
        assert_eq!(token(&choose(given, &known, &[])), Some("mine"));
    }

    #[test]
    fn an_address_from_the_environment_takes_credentials_from_there_only() {
        let known = settings(|c| c.gateway.auth.token = Some(Secret::new("cfg")));
        let env = [("OPENCLAW_GATEWAY_URL", "wss://host/x/")];
        let target = choose(Wanted::default(), &known, &env);
        assert_eq!((target.address.url.as_str(), token(&target)), ("wss://host/x", None));
        let env = [env[0], ("OPENCLAW_GATEWAY_TOKEN", "env")];
        assert_eq!(token(&choose(Wanted::default(), &known, &env)), Some("env"));
        let here = Wanted { port: Some(7), ..Wanted::default() };
        assert_eq!(choose(here, &known, &env).address.url, "ws://127.0.0.1:7");
    }

    #[test]
    fn remote_mode_uses_the_remote_section() {
        let remote = settings(|c| {
            c.gateway.mode = Some(Mode::Remote);
            c.gateway.remote.url = Some("wss://far".into());
            c.gateway.remote.token = Some(Secret::new("far"));
            c.gateway.remote.tls_fingerprint = Some("ab".repeat(32));
        });
        let target = choose(Wanted::default(), &remote, &[("OPENCLAW_GATEWAY_TOKEN", "env")]);
        assert_eq!((target.source, token(&target)), (Source::Remote, Some("far")));
        assert!(target.address.pin.is_some());
        let lost = settings(|c| c.gateway.mode = Some(Mode::Remote));
        assert_eq!(choose(Wanted::default(), &lost, &[]).source, Source::RemoteMissing);
    }

    #[test]
    fn plaintext_to_another_host_needs_permission_and_a_private_network() {
        let none = settings(|_| ());
        let allowed = [("OPENCLAW_ALLOW_INSECURE_PRIVATE_WS", "1")];
        let at = |url, env: &[(&str, &str)]| {
            let wanted = Wanted { url: Some(url), token: Some("t"), ..Wanted::default() };
            Target::choose(&wanted, &none, &Env::from_iter(env.iter().copied())).map_err(|refused| refused.kind)
        };
        for url in ["ws://127.0.0.1:1", "ws://localhost", "ws://[::1]:1", "wss://example.org", "http://127.0.0.2:1"] {
            assert!(at(url, &[]).is_ok(), "{url}");
        }
        for url in ["ws://192.168.1.2", "ws://box.lan", "ws://[fd00::1]", "ws://100.64.0.1"] {
            assert_eq!(at(url, &[]).expect_err(url), Kind::Config);
            assert!(at(url, &allowed).is_ok(), "{url}");
        }
        for url in ["ws://example.org", "ws://8.8.8.8"] {
            assert_eq!(at(url, &allowed).expect_err(url), Kind::Config);
        }
        for url in ["127.0.0.1:1", "ftp://x", "ws://user:pass@127.0.0.1", "ws://"] {
            assert_eq!(at(url, &allowed).expect_err(url), Kind::Usage);
        }
    }
}
