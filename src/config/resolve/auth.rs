//! How callers prove who they are, and with which secret.
//!
//! A secret the file names but that cannot be had fails closed: another source must not silently take its place.

use super::{Refusal, Source};
use crate::config::redact::is_sentinel;
use crate::config::{AuthMode, Config};
use crate::sys::secret::Secret;

/// Shorter tokens are accepted with a warning.
pub const GOOD_LENGTH: usize = 24;

/// Texts that were published as examples; everybody knows them.
const EXAMPLES: &[&str] = &[
    "change-me-now",
    "change-me-to-a-long-random-token",
    "change-me-to-a-strong-password",
    "your-password",
    "your-token",
];

/// What blank templates leave behind.
const BLANK: &[&str] = &["", "null", "undefined"];

/// `--auth`, `--token` and `--password`.
#[derive(Debug, Clone, Default)]
pub struct AuthFlags {
    pub mode: Option<String>,
    pub token: Option<Secret>,
    pub password: Option<Secret>,
}

/// The outcome.
#[derive(Debug, Clone)]
pub struct Auth {
    pub mode: AuthMode,
    /// `None` in token mode: nothing is configured, and a token must be made up for this run before anybody is let in.
    pub token: Option<Secret>,
    pub token_source: Source,
    /// In trusted-proxy mode the way in for callers on this machine.
    pub password: Option<Secret>,
    pub password_source: Source,
    pub warnings: Vec<String>,
}

impl Auth {
    /// Token mode without a token: the caller makes one up.
    pub fn needs_token(&self) -> bool {
        self.mode == AuthMode::Token && self.token.is_none()
    }

    /// Somebody from elsewhere would have to know something.
    pub fn protects(&self) -> bool {
        match self.mode {
            AuthMode::None => false,
            AuthMode::Token => self.token.is_some(),
            AuthMode::Password => self.password.is_some(),
            AuthMode::TrustedProxy => true,
        }
    }

    /// Where the secret of the mode came from.
    pub fn source(&self) -> Source {
        match self.mode {
            AuthMode::Password => self.password_source,
            _ => self.token_source,
        }
    }
}

/// Flags beat the file, the file beats `OPENCLAW_GATEWAY_TOKEN` and `OPENCLAW_GATEWAY_PASSWORD`. Without a mode, a
/// password means password mode and anything else token mode.
pub fn auth(flags: &AuthFlags, config: &Config) -> Result<Auth, Refusal> {
    let written = &config.gateway.auth;
    let mut warnings = Vec::new();
    let flag_mode = flags.mode.as_deref().map(|text| {
        AuthMode::named(text.trim()).ok_or_else(|| {
            Refusal::usage("Invalid --auth. Use \"none\", \"token\", \"password\", or \"trusted-proxy\".")
        })
    });
    let flag_mode = flag_mode.transpose()?;
    let named = |path: &str| config.unresolved.iter().find(|entry| entry.path == path);
    let (lost_token, lost_password) = (named("gateway.auth.token"), named("gateway.auth.password"));
    let both =
        (written.token.is_some() || lost_token.is_some()) && (written.password.is_some() || lost_password.is_some());
    if both && written.mode.is_none() && flag_mode.is_none() {
        return Err(Refusal::config(
            "Invalid config: gateway.auth.token and gateway.auth.password are both set; choose one with gateway.auth.mode.",
        ));
    }

    let token = Credential {
        flag: ("--token", flags.token.as_ref()),
        file: ("gateway.auth.token", written.token.as_ref()),
        lost: lost_token.is_some(),
        env: ("OPENCLAW_GATEWAY_TOKEN", config),
    };
    let password = Credential {
        flag: ("--password", flags.password.as_ref()),
        file: ("gateway.auth.password", written.password.as_ref()),
        lost: lost_password.is_some(),
        env: ("OPENCLAW_GATEWAY_PASSWORD", config),
    };
    let mode = flag_mode.or(written.mode).unwrap_or_else(|| {
        let password_only = flags.password.is_some() && flags.token.is_none();
        let password_known = flags.token.is_none() && (password.exists() || lost_password.is_some());
        if password_only || password_known { AuthMode::Password } else { AuthMode::Token }
    });
    let (token_value, token_source) = token.value();
    let (password_value, password_source) = password.value();
    let in_use = match mode {
        AuthMode::Token => Some((&token, &token_value, token_source, lost_token)),
        AuthMode::Password => Some((&password, &password_value, password_source, lost_password)),
        AuthMode::None | AuthMode::TrustedProxy => None,
    };
    if let Some((credential, value, source, lost)) = in_use {
        if let (Some(lost), None) = (lost, credential.flag.1) {
            return Err(Refusal::config(format!("gateway auth cannot be set up: {}: {}", lost.path, lost.reason)));
        }
        if let Some(value) = value {
            usable(value, source)?;
            warnings.extend(short(value, mode, source));
        }
        warnings.extend(credential.conflict());
    }
    match mode {
        AuthMode::Password if password_value.is_none() => {
            return Err(Refusal::config(
                "Gateway auth mode is password, but there is no password (set gateway.auth.password or \
                 OPENCLAW_GATEWAY_PASSWORD, or pass --password).",
            ));
        }
        AuthMode::TrustedProxy => proxy_is_complete(config, token_value.is_some().then_some(token_source))?,
        AuthMode::None => warnings
            .push("gateway.auth.mode is none: everybody who can reach the port is let in as operator".to_owned()),
        AuthMode::Token | AuthMode::Password => {}
    }
    let auth = Auth { mode, token: token_value, token_source, password: password_value, password_source, warnings };
    hook_token_differs(config, &auth)?;
    Ok(auth)
}

/// One credential and everywhere it may come from.
struct Credential<'a> {
    flag: (&'static str, Option<&'a Secret>),
    file: (&'static str, Option<&'a Secret>),
    /// The file names one that cannot be had.
    lost: bool,
    env: (&'static str, &'a Config),
}

impl Credential<'_> {
    fn value(&self) -> (Option<Secret>, Source) {
        if let (name, Some(secret)) = self.flag {
            return (Some(secret.clone()), Source::Flag(name));
        }
        if let (name, Some(secret)) = self.file {
            return (Some(secret.clone()), Source::Config(name));
        }
        match self.env.1.vars.secret(self.env.0).filter(|_| !self.lost) {
            Some(secret) => (Some(secret), Source::Env(self.env.0)),
            None => (None, Source::Default),
        }
    }

    fn exists(&self) -> bool {
        self.value().0.is_some()
    }

    /// Two sources that disagree are the most common reason for "token mismatch".
    fn conflict(&self) -> Option<String> {
        let (file, env) = (self.file.1?, self.env.1.vars.get(self.env.0)?);
        let differ = self.flag.1.is_none() && !file.matches(env);
        differ.then(|| {
            let (file, env) = (self.file.0, self.env.0);
            format!("{file} and {env} are both set and differ; {file} is used, so clients that send {env} are refused")
        })
    }
}

/// Refuses what cannot be meant as a secret. The value itself is never part of the text.
fn usable(secret: &Secret, source: Source) -> Result<(), Refusal> {
    let text = secret.expose().trim();
    let why = if BLANK.contains(&text) {
        "is blank or the literal text undefined/null"
    } else if EXAMPLES.contains(&text) {
        "is a published example"
    } else if is_sentinel(text) {
        "is a redaction placeholder, not a secret"
    } else {
        return Ok(());
    };
    Err(Refusal::config(format!(
        "Invalid config: {source} {why}. Set a secret of your own, for example the output of `openssl rand -hex 32`."
    )))
}

fn short(secret: &Secret, mode: AuthMode, source: Source) -> Option<String> {
    let length = secret.expose().chars().count();
    (mode == AuthMode::Token && length < GOOD_LENGTH)
        .then(|| format!("{source} has only {length} characters; use at least {GOOD_LENGTH}"))
}

fn proxy_is_complete(config: &Config, token: Option<Source>) -> Result<(), Refusal> {
    let gateway = &config.gateway;
    let header = gateway.auth.trusted_proxy.user_header.as_deref().unwrap_or_default();
    if header.trim().is_empty() {
        return Err(Refusal::config(
            "gateway auth mode is trusted-proxy, but gateway.auth.trustedProxy.userHeader is not set",
        ));
    }
    if let Some(source) = token {
        return Err(Refusal::config(format!(
            "gateway auth mode is trusted-proxy, but {source} sets a shared token; remove it, the two exclude each other"
        )));
    }
    if gateway.trusted_proxies.is_empty() {
        return Err(Refusal::config("gateway auth mode is trusted-proxy, but gateway.trustedProxies names no proxy"));
    }
    Ok(())
}

/// A hook's sender must not hold the key to the gateway.
fn hook_token_differs(config: &Config, auth: &Auth) -> Result<(), Refusal> {
    let Some(hook) = config.hooks.token.as_ref().filter(|token| config.hooks.enabled && !token.is_empty()) else {
        return Ok(());
    };
    let same = |secret: &Option<Secret>| secret.as_ref().is_some_and(|secret| secret.matches(hook.expose()));
    if same(&auth.token) || same(&auth.password) {
        return Err(Refusal::config(
            "Invalid config: hooks.token must differ from the gateway's own token and password; set another hooks.token",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
