//! `openclaw setup`, also `onboard`: a configuration that starts and a workspace to start with.
//!
//! What is missing is added: `gateway.mode`, a token, a provider, what the flags say. What is there stays, comments and
//! all; a second run changes nothing. The token of a gateway that has already run is kept, so that its clients are not
//! locked out. On a terminal the choices are asked for; every question is a flag as well, and without a terminal, with
//! `--non-interactive`, `--baseline` or `--json` nothing is asked.
//!
//! Invariant: nothing is written before every answer is there and a key that was given was looked at.

use serde_json::Value;

use super::args::{GatewayInstall, Setup};
use super::config_write::{Open, failed};
use super::failure::Failure;
use super::output::Shell;
use super::setup_model::{self, Chosen};
use super::{gateway_service, question};
use crate::agent::workspace;
use crate::config::redact::is_sentinel;
use crate::config::secrets::reference::is_name;
use crate::config::write::{self, Clobber};
use crate::config::{BindMode, Config, Mode, edit, keys, load};
use crate::gateway::token_file;
use crate::sys::{random, terminal};
use crate::wire::tree::json;

/// A shorter token would be warned about at every start.
const GOOD_TOKEN: usize = 24;

/// Messengers that need one credential, and its key.
const CHANNELS: &[(&str, &str)] = &[("telegram", "botToken")];

/// A key and its value.
type Missing = Vec<(String, Value)>;

pub fn run(shell: &mut Shell, args: &Setup) -> Result<(), Failure> {
    check(args)?;
    let file = Open::read(shell)?;
    let old = load(&file.paths, &shell.env).map_err(|error| {
        Failure::config(error.to_string()).hint("Mend the file first (openclaw doctor --fix), or move it away.")
    })?;
    let remote = args.mode.as_deref() == Some("remote");
    if old.gateway.mode == Some(Mode::Remote) && !remote {
        return Err(Failure::config("gateway.mode is remote: this host is set up to use a gateway elsewhere")
            .hint("Run: openclaw config set gateway.mode local"));
    }
    let ask = terminal::somebody() && !args.non_interactive && !args.baseline && !args.json;
    let mut missing: Missing = Vec::new();
    let mut notes: Vec<String> = Vec::new();
    let mut daemon = args.install_daemon;
    if remote {
        far(args, &old, &mut missing)?;
    } else {
        if ask && !args.accept_risk && !old.exists {
            shell.note("An agent's tools run as you, on this host: it can read and change what you can.")?;
            if !question::yes(shell, "Go on?", true)? {
                return shell.line("Nothing was changed.");
            }
        }
        near(&file, args, &old, &mut missing)?;
        let has_provider = !old.models.providers.is_empty();
        let model =
            match (args.auth_choice.is_none() && ask && !has_provider, has_provider && args.auth_choice.is_none()) {
                (true, _) => setup_model::by_questions(shell, args, &old)?,
                (_, true) => None,
                _ => setup_model::by_flags(args, &old)?,
            };
        if let Some(chosen) = model {
            notes.extend(chosen.note.clone());
            provider(chosen, &old, &mut missing);
        }
        channel(shell, args, &old, ask, &mut missing)?;
        if ask && !old.exists && !daemon {
            daemon = question::yes(
                shell,
                "Install the gateway as a service, which starts it now and with the host?",
                false,
            )?;
        }
    }
    let mut text = file.text.clone();
    if text.is_empty() {
        text =
            "// Made by `openclaw setup`; `openclaw config explain <key>` says what a key is for.\n{\n}\n".to_owned();
    }
    for (path, value) in &missing {
        text = edit::set(&text, &keys::split(path), value).map_err(|error| Failure::refused(error.to_string()))?;
    }
    let config = if missing.is_empty() && old.exists {
        old
    } else {
        let written = write::write(&file.paths, &shell.env, &file.hash, &text, Clobber::Refuse);
        written.map_err(|error| failed(&error))?.config
    };
    let dir = config.agent_workspace(config.default_agent_id());
    let seeded = match (remote, config.agents.defaults.skip_bootstrap) {
        (true, _) => Ok(Vec::new()),
        (false, true) => std::fs::create_dir_all(&dir).map(|()| Vec::new()),
        (false, false) => workspace::seed(&dir, &config.agents.defaults.skip_optional_bootstrap_files),
    };
    let seeded = seeded.map_err(|error| Failure::refused(format!("make the workspace {}: {error}", dir.display())))?;
    let added: Vec<&str> = missing.iter().map(|(path, _)| path.as_str()).collect();
    if args.json {
        shell.json(&json!({
            "ok": true,
            "config": config.path.display().to_string(),
            "added": added,
            "workspace": dir.display().to_string(),
            "seeded": seeded,
            "notes": notes,
        }))?;
    } else {
        let what = if added.is_empty() { "nothing to add".to_owned() } else { format!("added {}", added.join(", ")) };
        shell.fact("Config", format!("{} ({what})", config.path.display()))?;
        if !remote {
            let files =
                if seeded.is_empty() { "nothing to add".to_owned() } else { format!("added {}", seeded.join(", ")) };
            shell.fact("Workspace", format!("{} ({files})", dir.display()))?;
        }
        notes.iter().try_for_each(|note| shell.line(note))?;
    }
    if daemon {
        let install = GatewayInstall { port: None, force: false, system: false, json: false };
        return gateway_service::install(shell, &install);
    }
    match (args.json, remote) {
        (true, _) => Ok(()),
        (false, true) => shell.line(format!("Next: {}", shell.next("status"))),
        (false, false) => shell.line(format!("Next: {}", shell.next("gateway"))),
    }
}

/// Flags that contradict each other or themselves.
fn check(args: &Setup) -> Result<(), Failure> {
    if let Some(name) = args.gateway_bind.as_deref().filter(|name| BindMode::named(name).is_none()) {
        let known: Vec<&str> = BindMode::ALL.iter().map(|mode| mode.as_str()).collect();
        return Err(Failure::usage(format!("--gateway-bind {name}: unknown mode (one of {})", known.join(", "))));
    }
    if let Some(mode) = args.mode.as_deref().filter(|mode| !matches!(*mode, "local" | "remote")) {
        return Err(Failure::usage(format!("--mode {mode}: local or remote")));
    }
    if let Some(kind) = args.gateway_auth.as_deref().filter(|kind| !matches!(*kind, "token" | "password")) {
        return Err(Failure::usage(format!("--gateway-auth {kind}: token or password")));
    }
    let token = args.gateway_token.is_some() || args.gateway_token_ref_env.is_some();
    if args.gateway_token.is_some() && args.gateway_token_ref_env.is_some() {
        return Err(Failure::usage("--gateway-token and --gateway-token-ref-env exclude each other"));
    }
    if token && args.gateway_password.is_some() {
        return Err(Failure::usage("a gateway has a token or a password, not both"));
    }
    for secret in [&args.gateway_token, &args.gateway_password, &args.remote_token, &args.channel_token] {
        if secret.as_deref().is_some_and(|text| text.trim().is_empty() || is_sentinel(text)) {
            return Err(Failure::usage("an empty or redacted text is no secret"));
        }
    }
    if args.channel_token.is_some() && args.channel.is_none() {
        return Err(Failure::usage("--channel-token needs --channel"));
    }
    Ok(())
}

/// What a client of a gateway elsewhere needs.
fn far(args: &Setup, old: &Config, missing: &mut Missing) -> Result<(), Failure> {
    let url = args.remote_url.as_deref().or(old.gateway.remote.url.as_deref());
    let url = url.ok_or_else(|| Failure::usage("--mode remote needs --remote-url"))?;
    if !url.starts_with("ws://") && !url.starts_with("wss://") {
        return Err(Failure::usage(format!("--remote-url {url}: a ws:// or wss:// address")));
    }
    if old.gateway.mode != Some(Mode::Remote) {
        missing.push(("gateway.mode".into(), "remote".into()));
    }
    if old.gateway.remote.url.as_deref() != Some(url) {
        missing.push(("gateway.remote.url".into(), url.into()));
    }
    if let Some(token) = args.remote_token.as_deref() {
        missing.push(("gateway.remote.token".into(), token.into()));
    }
    Ok(())
}

/// Keys a gateway's first configuration needs and this one lacks.
fn near(file: &Open, args: &Setup, old: &Config, missing: &mut Missing) -> Result<(), Failure> {
    let mut add = |path: &str, value: Value| missing.push((path.to_owned(), value));
    if old.gateway.mode.is_none() {
        add("gateway.mode", "local".into());
    }
    if let Some(port) = args.gateway_port.filter(|_| old.gateway.port.is_none()) {
        add("gateway.port", port.into());
    }
    if let Some(bind) = args.gateway_bind.as_deref().filter(|_| old.gateway.bind.is_none()) {
        add("gateway.bind", bind.into());
    }
    let auth = edit::at(&old.tree, &keys::split("gateway.auth"));
    let says = |key: &str| auth.is_some_and(|auth| auth.get(key).is_some());
    let named = |key: &str| old.unresolved.iter().any(|missing| missing.path == key);
    let decided = ["mode", "token", "password"].iter().any(|key| says(key))
        || named("gateway.auth.token")
        || named("gateway.auth.password");
    let in_env = |name: &str| old.vars.get(name).is_some();
    let env = in_env("OPENCLAW_GATEWAY_TOKEN") || in_env("OPENCLAW_GATEWAY_PASSWORD");
    if let (Some(password), false) = (args.gateway_password.as_deref(), decided) {
        add("gateway.auth.mode", "password".into());
        add("gateway.auth.password", password.into());
    } else if let (Some(name), false) = (args.gateway_token_ref_env.as_deref(), decided) {
        if !is_name(name) || !in_env(name) {
            return Err(Failure::usage(format!("--gateway-token-ref-env {name}: there is no such variable")));
        }
        add("gateway.auth.mode", "token".into());
        add("gateway.auth.token", json!({"source": "env", "provider": "default", "id": name}));
    } else if let (Some(token), false) = (args.gateway_token.as_deref(), decided) {
        add("gateway.auth.mode", "token".into());
        add("gateway.auth.token", token.into());
    } else if args.gateway_auth.as_deref() == Some("password") && !decided && !env {
        add("gateway.auth.mode", "password".into());
        add("gateway.auth.password", random::token::<32>().into());
    } else if !decided && !env {
        let known = std::fs::read_to_string(token_file(&file.paths)).unwrap_or_default();
        let known = known.trim().to_owned();
        let token = if known.len() >= GOOD_TOKEN { known } else { random::token::<32>() };
        add("gateway.auth.mode", "token".into());
        add("gateway.auth.token", token.into());
    }
    if let Some(dir) = args.workspace.as_deref()
        && edit::at(&old.tree, &keys::split("agents.defaults.workspace")).is_none()
    {
        add("agents.defaults.workspace", file.paths.expand(dir).display().to_string().into());
    }
    if args.skip_bootstrap && !old.agents.defaults.skip_bootstrap {
        add("agents.defaults.skipBootstrap", true.into());
    }
    Ok(())
}

fn provider(chosen: Chosen, old: &Config, missing: &mut Missing) {
    let path = keys::join("models.providers", &chosen.id);
    if !old.models.providers.contains_key(&chosen.id) {
        missing.push((path, chosen.block));
    }
    if edit::at(&old.tree, &keys::split("agents.defaults.model")).is_none() && !chosen.model.is_empty() {
        let name = format!("{}/{}", chosen.id, chosen.model);
        missing.push(("agents.defaults.model.primary".into(), name.into()));
    }
}

fn channel(shell: &mut Shell, args: &Setup, old: &Config, ask: bool, missing: &mut Missing) -> Result<(), Failure> {
    let (name, token) = match (args.channel.as_deref(), ask && !args.skip_channels && old.channels.is_empty()) {
        (Some(name), _) => {
            let token = match (&args.channel_token, ask) {
                (Some(token), _) => token.clone(),
                (None, true) => question::secret(shell, &format!("Token of {name}"))?,
                (None, false) => return Err(Failure::usage(format!("--channel {name} needs --channel-token"))),
            };
            (name.to_owned(), token)
        }
        (None, true) => {
            let mut names = vec!["none"];
            names.extend(CHANNELS.iter().map(|(name, _)| *name));
            let choice = question::choice(shell, "Talk to the agent through a messenger?", &names, 0)?;
            if choice == 0 {
                return Ok(());
            }
            let token = question::secret(shell, &format!("Token of {}", names[choice]))?;
            (names[choice].to_owned(), token)
        }
        (None, false) => return Ok(()),
    };
    let Some((name, key)) = CHANNELS.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = CHANNELS.iter().map(|(name, _)| *name).collect();
        return Err(Failure::usage(format!("--channel {name}: one of {}", known.join(", ")))
            .hint("Others are set up in the file: openclaw config set channels.<name>"));
    };
    if !token.is_empty() && !old.channels.contains_key(*name) {
        missing.push((format!("channels.{name}"), json!({"enabled": true, (*key): token})));
    }
    Ok(())
}
