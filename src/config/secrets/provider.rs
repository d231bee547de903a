//! The blocks below `secrets.providers`: who is asked, how long, for how much.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Surroundings;
use super::reference::{Reference, SYSTEMD, Source};
use crate::config::json5::{Kind, Node, Number};

/// Longest wait for a provider unless its block says otherwise; the reference's.
const TIME: Duration = Duration::from_secs(5);
/// A block may not ask for more: a start must end.
const LONGEST: Duration = Duration::from_secs(60);
/// Bytes of a file, or of what a program says, unless the block says otherwise; the reference's.
const BYTES: u64 = 1 << 20;
/// A block may not ask for more.
const MOST_BYTES: u64 = 16 << 20;

/// All blocks of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Providers {
    blocks: Option<Node>,
    defaults: Option<Node>,
}

/// Where a reference leads.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// A variable; the list of a block bounds which.
    Env(Option<Vec<String>>),
    Store,
    /// A credential of the service manager.
    Systemd,
    File(FileBlock),
    Exec(ExecBlock),
}

/// A block of source `file`.
#[derive(Debug, Clone, PartialEq)]
pub struct FileBlock {
    pub path: PathBuf,
    /// One value and not JSON.
    pub single: bool,
    pub time: Duration,
    pub cap: u64,
    /// Below the service manager's directory, whose modes are its own business.
    pub handed_out: bool,
}

/// A block of source `exec`.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecBlock {
    pub name: String,
    pub command: PathBuf,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub json_only: bool,
    pub time: Duration,
    pub quiet: Duration,
    pub cap: u64,
    pub trusted: Vec<PathBuf>,
}

impl Providers {
    pub fn of(root: &Node) -> Providers {
        let secrets = root.get("secrets");
        let part = |name: &str| secrets.and_then(|secrets| secrets.get(name)).cloned();
        Providers { blocks: part("providers"), defaults: part("defaults") }
    }

    /// Names of the blocks of source `exec`.
    pub fn programs(&self) -> Vec<&str> {
        let Some(Kind::Object(entries)) = self.blocks.as_ref().map(|blocks| &blocks.kind) else { return Vec::new() };
        let exec = entries.iter().filter(|entry| entry.value.get("source").and_then(Node::as_str) == Some("exec"));
        exec.map(|entry| entry.key.as_str()).collect()
    }

    /// The name of the block a reference means.
    pub fn name<'a>(&'a self, reference: &'a Reference) -> &'a str {
        let wanted = || self.defaults.as_ref()?.get(reference.source.as_str())?.as_str();
        reference.provider.as_deref().or_else(wanted).unwrap_or("default")
    }

    /// Where a reference leads; the error is a sentence without a value.
    pub fn place(&self, reference: &Reference, around: &Surroundings) -> Result<Place, String> {
        let name = self.name(reference);
        let block = self.blocks.as_ref().and_then(|blocks| blocks.get(name));
        let block = block.filter(|block| text(block, "source") == Some(reference.source.as_str()));
        let default = self.defaults.as_ref().and_then(|all| all.get(reference.source.as_str())).and_then(Node::as_str);
        match (reference.source, block) {
            (Source::Env, Some(block)) => Ok(Place::Env(texts(block, "allowlist"))),
            (Source::Env, None) if name == default.unwrap_or("default") => Ok(Place::Env(None)),
            (Source::Store, Some(_)) => Ok(Place::Store),
            (Source::Store, None) if name == default.unwrap_or("default") => Ok(Place::Store),
            (Source::File, Some(block)) => file(name, block, around).map(Place::File),
            (Source::File, None) if name == SYSTEMD => Ok(Place::Systemd),
            (Source::Exec, Some(block)) => exec(name, block, around).map(Place::Exec),
            (source, None) => Err(format!("secrets.providers.{name} is not configured for source {}", source.as_str())),
        }
    }
}

fn file(name: &str, block: &Node, around: &Surroundings) -> Result<FileBlock, String> {
    let written = text(block, "path").ok_or_else(|| format!("secrets.providers.{name}.path is not set"))?;
    let path = (around.expand)(&around.filled(written)?);
    let handed_out = around.credentials().is_some_and(|dir| path.starts_with(dir));
    Ok(FileBlock {
        path,
        single: text(block, "mode") == Some("singleValue"),
        time: milliseconds(block, "timeoutMs").unwrap_or(TIME),
        cap: bytes(block, "maxBytes"),
        handed_out,
    })
}

fn exec(name: &str, block: &Node, around: &Surroundings) -> Result<ExecBlock, String> {
    if block.get("pluginIntegration").is_some() {
        return Err(format!("secrets.providers.{name}: plugin integrations are not part of this gateway"));
    }
    let command = text(block, "command").ok_or_else(|| format!("secrets.providers.{name}.command is not set"))?;
    let command = around.filled(command)?;
    if !command.starts_with('~') && !Path::new(&command).is_absolute() {
        return Err(format!("secrets.providers.{name}.command is not an absolute path"));
    }
    let time = milliseconds(block, "timeoutMs").unwrap_or(TIME);
    let mut env: Vec<(String, String)> = Vec::new();
    for name in texts(block, "passEnv").unwrap_or_default() {
        if let Some(value) = around.env.get(&name) {
            env.push((name, value.to_owned()));
        }
    }
    // Without it no program starts there.
    if cfg!(windows)
        && let Some(root) = around.env.get("SystemRoot")
    {
        env.push(("SystemRoot".to_owned(), root.to_owned()));
    }
    if let Some(Kind::Object(entries)) = block.get("env").map(|env| &env.kind) {
        for entry in entries {
            let value = entry.value.as_str().unwrap_or_default();
            env.retain(|(known, _)| *known != entry.key);
            env.push((entry.key.clone(), around.filled(value)?));
        }
    }
    let args = texts(block, "args").unwrap_or_default();
    let args: Result<Vec<String>, String> = args.iter().map(|arg| around.filled(arg)).collect();
    Ok(ExecBlock {
        name: name.to_owned(),
        command: (around.expand)(&command),
        args: args?,
        env,
        json_only: !matches!(block.get("jsonOnly").map(|node| &node.kind), Some(Kind::Bool(false))),
        time,
        quiet: milliseconds(block, "noOutputTimeoutMs").unwrap_or(time),
        cap: bytes(block, "maxOutputBytes"),
        trusted: texts(block, "trustedDirs").unwrap_or_default().iter().map(|dir| (around.expand)(dir)).collect(),
    })
}

fn text<'a>(block: &'a Node, key: &str) -> Option<&'a str> {
    block.get(key).and_then(Node::as_str).filter(|text| !text.trim().is_empty())
}

fn texts(block: &Node, key: &str) -> Option<Vec<String>> {
    let Kind::Array(items) = &block.get(key)?.kind else { return None };
    Some(items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
}

fn number(block: &Node, key: &str) -> Option<u64> {
    let Kind::Number(number) = &block.get(key)?.kind else { return None };
    Number::as_u64(number).filter(|number| *number > 0)
}

fn milliseconds(block: &Node, key: &str) -> Option<Duration> {
    Some(Duration::from_millis(number(block, key)?).min(LONGEST))
}

fn bytes(block: &Node, key: &str) -> u64 {
    number(block, key).unwrap_or(BYTES).min(MOST_BYTES)
}
