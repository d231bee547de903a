//! What the commands need to know of this host's configuration, also when the file is missing or wrong.
//!
//! A command that only talks to a gateway must stay usable while the configuration is broken: then everything unset is
//! at its default and the problems are kept for those commands that report them.

use std::path::PathBuf;
use std::sync::Arc;

use super::failure::Failure;
use super::output::{Shell, clean};
use crate::client::Fingerprint;
use crate::config::load::load_with;
use crate::config::secrets::{How, Programs};
use crate::config::{BindMode, Config, LoadError, Mode};
use crate::sys::log_dir::{log_dir, log_file_name};
use crate::sys::paths::Paths;
use crate::sys::secret::Secret;
use crate::sys::{Env, clock};

/// The configuration as the command line sees it.
pub struct Settings {
    pub config: Config,
    /// The port this host's gateway is expected on.
    pub port: u16,
    /// Where the port came from: `env`, `config` or `default`.
    pub port_source: &'static str,
    /// Why the file cannot be used; empty when it can.
    pub problems: Vec<String>,
    /// The environment with what the instance's own variables file adds.
    pub vars: Env,
}

impl Settings {
    /// Reads the file the shell's environment and profile point at.
    pub fn load(shell: &Shell) -> Result<Settings, Failure> {
        let paths = Paths::resolve(&shell.env, &shell.selector).map_err(|bad| Failure::usage(bad.to_string()))?;
        let base = if paths.profile.as_deref() == Some("dev") { DEV_PORT } else { DEFAULT_PORT };
        let (config, problems) = read(&paths, &shell.env);
        let mut settings = Settings::of(Config { path: paths.config.clone(), ..config }, base);
        settings.config.paths = Some(Arc::new(paths));
        settings.problems = problems;
        settings.vars = settings.vars.with_missing(shell.env.iter().map(|(name, value)| (name.into(), value.into())));
        if let Some(port) = settings.vars.get("OPENCLAW_GATEWAY_PORT").and_then(|text| text.parse().ok()) {
            (settings.port, settings.port_source) = (port, "env");
        }
        Ok(settings)
    }

    /// The token this host's gateway made for itself because nobody configured one.
    pub fn own_token(&self) -> Option<Secret> {
        let paths = self.config.paths.as_ref()?;
        let text = std::fs::read_to_string(crate::gateway::token_file(paths)).ok()?;
        Some(text.trim()).filter(|token| !token.is_empty()).map(Secret::new)
    }

    /// A configuration with nothing from the environment; `base` is the port when the file names none.
    pub fn of(config: Config, base: u16) -> Settings {
        let (port, port_source) = match config.gateway.port {
            Some(port) => (port, "config"),
            None => (base, "default"),
        };
        let vars = config.vars.clone();
        Settings { config, port, port_source, problems: Vec::new(), vars }
    }

    /// The control socket of this host's gateway; every bind mode serves the loopback address as well.
    pub fn local_url(&self, port: u16) -> String {
        let scheme = if self.config.gateway.tls.enabled { "wss" } else { "ws" };
        format!("{scheme}://127.0.0.1:{port}")
    }

    /// The certificate of this host's gateway, which nobody else needs to vouch for.
    pub fn local_pin(&self) -> Option<Fingerprint> {
        let paths = self.config.paths.as_ref().filter(|_| self.config.gateway.tls.enabled)?;
        let (cert, _) = crate::gateway::tls::places(&self.config, paths);
        let chain = std::fs::read(cert).ok()?;
        Fingerprint::parse(&crate::gateway::tls::fingerprint(&chain)?).ok()
    }

    /// The page of this host's gateway.
    pub fn dashboard(&self, port: u16) -> String {
        let scheme = if self.config.gateway.tls.enabled { "https" } else { "http" };
        let base = self.config.gateway.control_ui.base_path.as_deref().unwrap_or_default();
        format!("{scheme}://127.0.0.1:{port}{}/", base.trim_end_matches('/'))
    }

    /// The configuration file's path, for messages.
    pub fn path(&self) -> String {
        self.config.path.display().to_string()
    }

    /// The path with the first thing that is wrong there, for failures that may be its consequence.
    pub fn described_path(&self) -> String {
        match self.problems.first() {
            Some(problem) => format!("{} (invalid: {})", self.path(), clean(problem)),
            None => self.path(),
        }
    }

    /// The file today's gateway of this instance logs to.
    pub fn log_file(&self) -> Option<PathBuf> {
        let paths = self.config.paths.as_ref()?;
        let set = self.config.logging.file.as_deref().map(str::trim).filter(|file| !file.is_empty());
        Some(match set {
            Some(file) => paths.expand(file),
            None => {
                let name = log_file_name(paths.profile.as_deref(), &clock::local_date(clock::now_ms()));
                log_dir(paths, &self.vars).join(name)
            }
        })
    }

    pub fn bind(&self) -> &'static str {
        self.config.gateway.bind.unwrap_or(BindMode::Loopback).as_str()
    }

    /// `local`, `remote` or `unset`.
    pub fn mode(&self) -> &'static str {
        self.config.gateway.mode.map_or("unset", Mode::as_str)
    }
}

fn read(paths: &Paths, env: &Env) -> (Config, Vec<String>) {
    let how = How { programs: Programs::Gateway, before: None };
    match load_with(paths, env, how) {
        Ok(config) => (config, Vec::new()),
        Err(LoadError::Invalid { lines, .. }) => (Config { exists: true, ..Config::default() }, lines),
        Err(LoadError::Read { path, source }) => {
            (Config { exists: true, ..Config::default() }, vec![format!("read {}: {source}", path.display())])
        }
    }
}

/// The port of the protocol.
const DEFAULT_PORT: u16 = 18789;

/// Out of the way of the instance that matters.
const DEV_PORT: u16 = 19001;
