//! `openclaw setup`: a configuration that starts and a workspace to start with.
//!
//! What is missing is added: `gateway.mode`, a token, what the flags say. What is there stays, comments and all; a second
//! run changes nothing. The token of a gateway that has already run is kept, so that its clients are not locked out.
//!
//! Deliberately absent: questions. Every choice is a flag or a `config set` away.

use serde_json::{Value, json};

use super::config_args::Setup;
use super::config_write::{Open, failed};
use super::failure::Failure;
use super::output::Shell;
use crate::agent::workspace;
use crate::config::write::{self, Clobber};
use crate::config::{BindMode, Config, Mode, edit, keys, load};
use crate::gateway::token_file;
use crate::sys::random;

/// A shorter token would be warned about at every start.
const GOOD_TOKEN: usize = 24;

pub fn run(shell: &mut Shell, args: &Setup) -> Result<(), Failure> {
    if let Some(name) = args.gateway_bind.as_deref().filter(|name| BindMode::named(name).is_none()) {
        let known: Vec<&str> = BindMode::ALL.iter().map(|mode| mode.as_str()).collect();
        return Err(Failure::usage(format!("--gateway-bind {name}: unknown mode (one of {})", known.join(", "))));
    }
    let file = Open::read(shell)?;
    let old = load(&file.paths, &shell.env)
        .map_err(|error| Failure::config(error.to_string()).hint("Mend the file first, or move it away."))?;
    if old.gateway.mode == Some(Mode::Remote) {
        return Err(Failure::config("gateway.mode is remote: this host is set up to use a gateway elsewhere")
            .hint("Run: openclaw config set gateway.mode local"));
    }
    let missing = missing(&file, &old, args);
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
    let seeded = if config.agents.defaults.skip_bootstrap {
        std::fs::create_dir_all(&dir).map(|()| Vec::new())
    } else {
        workspace::seed(&dir)
    };
    let seeded = seeded.map_err(|error| Failure::refused(format!("make the workspace {}: {error}", dir.display())))?;
    let added: Vec<&str> = missing.iter().map(|(path, _)| *path).collect();
    if args.json {
        return shell.json(&json!({
            "ok": true,
            "config": config.path.display().to_string(),
            "added": added,
            "workspace": dir.display().to_string(),
            "seeded": seeded,
        }));
    }
    let what = if added.is_empty() { "nothing to add".to_owned() } else { format!("added {}", added.join(", ")) };
    shell.fact("Config", format!("{} ({what})", config.path.display()))?;
    let files = if seeded.is_empty() { "nothing to add".to_owned() } else { format!("added {}", seeded.join(", ")) };
    shell.fact("Workspace", format!("{} ({files})", dir.display()))?;
    shell.line("Next: openclaw gateway")
}

/// Keys a first configuration needs and this one lacks.
fn missing(file: &Open, old: &Config, args: &Setup) -> Vec<(&'static str, Value)> {
    let mut out: Vec<(&'static str, Value)> = Vec::new();
    if old.gateway.mode.is_none() {
        out.push(("gateway.mode", "local".into()));
    }
    if let Some(port) = args.gateway_port.filter(|_| old.gateway.port.is_none()) {
        out.push(("gateway.port", port.into()));
    }
    if let Some(bind) = args.gateway_bind.as_deref().filter(|_| old.gateway.bind.is_none()) {
        out.push(("gateway.bind", bind.into()));
    }
    let auth = edit::at(&old.tree, &keys::split("gateway.auth"));
    let says = |key: &str| auth.is_some_and(|auth| auth.get(key).is_some());
    let named = |key: &str| old.unresolved.iter().any(|missing| missing.path == key);
    let decided = ["mode", "token", "password"].iter().any(|key| says(key))
        || named("gateway.auth.token")
        || named("gateway.auth.password")
        || ["OPENCLAW_GATEWAY_TOKEN", "OPENCLAW_GATEWAY_PASSWORD"].iter().any(|name| old.vars.get(name).is_some());
    if !decided {
        let known = std::fs::read_to_string(token_file(&file.paths)).unwrap_or_default();
        let known = known.trim().to_owned();
        let token = if known.len() >= GOOD_TOKEN { known } else { random::token::<32>() };
        out.push(("gateway.auth.mode", "token".into()));
        out.push(("gateway.auth.token", token.into()));
    }
    if let Some(dir) = args.workspace.as_deref()
        && edit::at(&old.tree, &keys::split("agents.defaults.workspace")).is_none()
    {
        out.push(("agents.defaults.workspace", file.paths.expand(dir).display().to_string().into()));
    }
    out
}
