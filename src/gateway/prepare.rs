//! What is settled before anything is opened: configuration, who may come in, which port.

use std::net::IpAddr;
use std::path::PathBuf;

use super::{Options, StartError};
use crate::auth;
use crate::config::load::load_with;
use crate::config::resolve::{self, AuthFlags, Listen, Refusal, RefusalKind, Source};
use crate::config::secrets::{How, Programs};
use crate::config::{AuthMode, Config};
use crate::sys::paths::Paths;
use crate::sys::secret::Secret;
use crate::sys::{Env, files, host, random};
use crate::wire::scope::Scopes;

/// Everything the start needs to know.
pub struct Prepared {
    pub paths: Paths,
    pub config: Config,
    pub listen: Listen,
    pub port: u16,
    pub policy: auth::Policy,
    /// Said once logging has begun.
    pub warnings: Vec<String>,
}

/// Where the token of a gateway lives that nobody gave one: in the state directory, readable by its owner only.
pub fn token_file(paths: &Paths) -> PathBuf {
    paths.state_dir.join("gateway.token")
}

/// Reads the configuration and the environment; decides, and refuses what must not run.
pub fn prepare(options: &Options, env: &Env) -> Result<Prepared, StartError> {
    let paths = Paths::resolve(env, &options.selector).map_err(|e| StartError::Config(e.to_string()))?;
    if options.dev {
        make_dev_config(&paths)?;
    }
    let how = How { programs: Programs::All, before: None };
    let config = load_with(&paths, env, how).map_err(|e| StartError::Config(e.to_string()))?;
    resolve::may_start(&config, options.allow_unconfigured).map_err(refused)?;
    let port_flag = options.port.map(|port| port.to_string());
    let (port, _) = resolve::port(port_flag.as_deref(), &config).map_err(refused)?;
    let (mode, _) = resolve::bind_mode(options.bind.map(|mode| mode.as_str()), &config).map_err(refused)?;
    let known = resolve::Addresses { tailnet: host::tailnet_ipv4(), container: false };
    let listen = resolve::listen(mode, config.gateway.custom_bind_host.as_deref(), &known).map_err(refused)?;
    let (policy, mut warnings) = policy(options, &paths, &config, &listen, port)?;
    warnings.extend(config.warnings.iter().cloned());
    Ok(Prepared { paths, config, listen, port, policy, warnings })
}

/// Who may come in: at the start, and again whenever the configuration changes. Also what to warn of.
pub fn policy(
    options: &Options,
    paths: &Paths,
    config: &Config,
    listen: &Listen,
    port: u16,
) -> Result<(auth::Policy, Vec<String>), StartError> {
    let flags = AuthFlags {
        mode: options.auth.map(|mode| mode.as_str().to_string()),
        token: options.token.clone(),
        password: options.password.clone(),
    };
    let mut decided = resolve::auth(&flags, config).map_err(refused)?;
    resolve::may_bind(listen, port, &decided).map_err(refused)?;
    let mut warnings = std::mem::take(&mut decided.warnings);
    let (mode, secret) = match decided.mode {
        AuthMode::None => {
            warnings.push("gateway.auth.mode is none: every program on this host may use the gateway".into());
            (auth::Mode::None, Secret::default())
        }
        AuthMode::Password => (auth::Mode::Password, decided.password.clone().unwrap_or_default()),
        AuthMode::Token if decided.needs_token() => {
            let (token, file) = own_token(paths)?;
            warnings.push(format!("no gateway token is configured; the one in {} is used", file.display()));
            (auth::Mode::Token, token)
        }
        AuthMode::Token => (auth::Mode::Token, decided.token.clone().unwrap_or_default()),
        AuthMode::TrustedProxy => {
            // A program of this host has no proxy in front of it; the password lets it in.
            (auth::Mode::TrustedProxy, decided.password.clone().unwrap_or_default())
        }
    };
    if matches!(decided.source(), Source::Env(_)) && listen.is_loopback() {
        log::debug!("the gateway's secret comes from the environment");
    }
    if !listen.is_loopback() {
        warnings.push(format!(
            "listening beyond this host ({}): whoever reaches port {port} may try to come in",
            listen.host()
        ));
    }
    let (tokens, complaints) = auth::AccessTokens::read(&config.gateway.auth.tokens);
    warnings.extend(complaints);
    let allow_from = networks(&config.gateway.allow_cidrs)?;
    let policy = auth::Policy {
        tokens,
        allow_from,
        mode,
        secret,
        trusted_proxies: config.gateway.trusted_proxies.clone(),
        real_ip: config.gateway.allow_real_ip_fallback,
        proxy: (mode == auth::Mode::TrustedProxy).then(|| proxy_rules(config)),
        rates: auth::Rates::from(&config.gateway.auth.rate_limit),
        nodes: auth::NodeRules {
            approve_local: config.gateway.nodes.pairing.auto_approve_local,
            approve_from: config.gateway.nodes.pairing.auto_approve_cidrs.clone(),
            commands: auth::node_commands::CommandRules {
                allow: config.gateway.nodes.commands.allow.clone(),
                deny: config.gateway.nodes.commands.deny.clone(),
            },
        },
        origins: auth::OriginRules {
            allowed: resolve::control_ui_origins(config, listen, port),
            trust_host_header: config.gateway.control_ui.dangerously_allow_host_header_origin_fallback,
        },
    };
    Ok((policy, warnings))
}

/// `gateway.allowCidrs`; a network nobody can read must not open the door to all.
fn networks(written: &[String]) -> Result<Vec<String>, StartError> {
    match written.iter().find(|entry| !auth::tokens::is_network(entry)) {
        Some(bad) => Err(StartError::Config(format!("gateway.allowCidrs: {bad:?} is not an address or network"))),
        None => Ok(written.to_vec()),
    }
}

fn proxy_rules(config: &Config) -> auth::ProxyRules {
    let auth = &config.gateway.auth;
    let proxy = &auth.trusted_proxy;
    let lower = |name: &String| name.trim().to_ascii_lowercase();
    let scopes = |names: &[String]| Scopes::parse(names.iter().map(String::as_str));
    auth::ProxyRules {
        user_header: proxy.user_header.as_ref().map(lower).unwrap_or_default(),
        required_headers: proxy.required_headers.iter().map(lower).collect(),
        allow_users: proxy.allow_users.clone(),
        allow_loopback: proxy.allow_loopback,
        auto_approve: proxy.device_auto_approve.enabled.then(|| scopes(&proxy.device_auto_approve.scopes)),
        identities: auth.identity_scopes.iter().map(|(user, names)| (user.clone(), scopes(names))).collect(),
    }
}

fn refused(refusal: Refusal) -> StartError {
    match refusal.kind {
        RefusalKind::Usage => StartError::Usage(refusal.message),
        RefusalKind::Config => StartError::Config(refusal.message),
    }
}

/// The token made at the first start without one, kept so that clients need not learn a new one each time.
fn own_token(paths: &Paths) -> Result<(Secret, PathBuf), StartError> {
    let file = token_file(paths);
    let failed = |what: &str, error: std::io::Error| StartError::Failed(format!("{what} {}: {error}", file.display()));
    match std::fs::read_to_string(&file) {
        Ok(text) if text.trim().len() >= 24 => return Ok((Secret::new(text.trim()), file)),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("read the token", error)),
    }
    let token = random::token::<32>();
    files::private_dir(&paths.state_dir).map_err(|e| failed("make the directory of", e))?;
    files::write_atomic(&file, format!("{token}\n").as_bytes()).map_err(|e| failed("write the token", e))?;
    Ok((Secret::new(token), file))
}

/// `--dev`: a configuration that works, where there is none. Never overwrites.
fn make_dev_config(paths: &Paths) -> Result<(), StartError> {
    if paths.config.exists() {
        return Ok(());
    }
    let text = "{\n  // Made by `openclaw gateway --dev`.\n  gateway: { mode: \"local\", bind: \"loopback\" },\n}\n";
    let failed = |error: std::io::Error| StartError::Failed(format!("write {}: {error}", paths.config.display()));
    if let Some(dir) = paths.config.parent() {
        files::private_dir(dir).map_err(failed)?;
    }
    files::write_atomic(&paths.config, text.as_bytes()).map_err(failed)
}

/// `127.0.0.1:18789`, `[::1]:18789`.
pub fn address(host: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(host, port).to_string()
}
