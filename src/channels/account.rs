//! Accounts: which there are, and what the configuration says about each.
//!
//! `channels.<id>` holds the settings of the account `default`; `channels.<id>.accounts.<name>` adds accounts, and what one
//! does not say it takes from the section above it. Who may talk is read anew for each message; everything else belongs to
//! the account as it was opened, and a change of it restarts that account alone.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::gate::List;
use super::{CHANNELS, ChannelSpec};
use crate::config::Config;
use crate::sys::order;
use crate::sys::secret::Secret;

/// The account of a section without accounts.
pub const DEFAULT: &str = "default";
/// Accounts of one messenger; over it the rest is left out.
const ACCOUNTS_MAX: usize = 64;
/// Longest account id.
const ID_LEN: usize = 64;

/// Keys every messenger has, with what they mean.
pub const SHARED_KEYS: &[(&str, &str)] = &[
    ("accounts", "More accounts by name, each with keys of its own."),
    ("allowBots", "Take messages of other programs too: true, false or mentions."),
    ("allowFrom", "Ids of senders who may write to us directly."),
    ("botLoopProtection", "How many messages another program may exchange with us."),
    ("defaultAccount", "The account that sends when none is named."),
    ("dmPolicy", "Who may write directly: pairing, allowlist, open or disabled."),
    ("enabled", "False switches the account off."),
    ("execApprovals", "approvers: ids of those who may decide about approvals, instead of the owners."),
    ("groupAllowFrom", "Ids of senders we listen to in groups."),
    ("groupPolicy", "Which groups we listen in: allowlist, open or disabled."),
    ("groups", "Groups by id: requireMention, allowFrom, tools, systemPrompt, topics."),
    ("historyLimit", "Messages of a group since we were last named that go along as context (50 unless set)."),
    ("mediaMaxMb", "Largest file taken, in megabytes."),
    ("name", "A name for people."),
    ("requireMention", "Answer in groups only when we are named."),
    ("streaming", "off, or partial: show an answer while it is made."),
    ("textChunkLimit", "Longest message; longer answers are split."),
];

/// What is read for each message and needs no new connection.
const LIVE: &[&str] = &[
    "allowBots",
    "allowFrom",
    "botLoopProtection",
    "direct",
    "dmPolicy",
    "execApprovals",
    "groupAllowFrom",
    "groupPolicy",
    "groups",
    "historyLimit",
    "name",
    "requireMention",
    "textChunkLimit",
];

/// Names one account of one messenger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey {
    pub channel: &'static str,
    pub account: Arc<str>,
}

impl std::fmt::Display for AccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.channel, self.account)
    }
}

/// One account as the configuration describes it.
#[derive(Clone)]
pub struct Account {
    pub spec: &'static ChannelSpec,
    pub key: AccountKey,
    pub enabled: bool,
    /// The account's own keys over those of its section.
    pub settings: Map<String, Value>,
    /// For relative paths and kept files.
    pub state_dir: std::path::PathBuf,
    /// Why a secret of this account cannot be had; then it is not opened, whatever the environment holds.
    pub unresolved: Option<String>,
    /// Variables a reference to a secret may name.
    vars: crate::sys::Env,
}

impl Account {
    /// A text setting; empty counts as not set.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.settings.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
    }

    pub fn flag(&self, name: &str) -> Option<bool> {
        self.settings.get(name).and_then(Value::as_bool)
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.settings.get(name).and_then(Value::as_u64)
    }

    /// A list of texts; numbers are taken as written.
    pub fn texts(&self, name: &str) -> Vec<String> {
        texts(self.settings.get(name))
    }

    /// A secret: written as text, as a reference to a variable (`{source: "env", id: "X"}`), or in the file that
    /// `<name>File` or `file` names.
    pub fn secret(&self, name: &str, file: &str) -> Option<Secret> {
        match self.settings.get(name) {
            Some(Value::String(text)) if !text.trim().is_empty() => return Some(Secret::new(text.trim())),
            Some(Value::Object(reference)) if reference.get("source").and_then(Value::as_str) == Some("env") => {
                let id = reference.get("id").and_then(Value::as_str)?;
                return self.vars.get(id).map(|value| Secret::new(value.trim()));
            }
            Some(Value::Object(reference)) if reference.get("source").and_then(Value::as_str) == Some("file") => {
                return read_secret(reference.get("path").or(reference.get("id")).and_then(Value::as_str)?);
            }
            _ => {}
        }
        read_secret(self.text(file)?)
    }

    /// A variable of the environment, for the account `default` only; never in the place of a secret that was named and
    /// cannot be had.
    pub fn default_variable(&self, name: &str) -> Option<Secret> {
        if self.unresolved.is_some() {
            return None;
        }
        let value = self.vars.get(name).map(str::trim).filter(|value| !value.is_empty())?;
        (&*self.key.account == DEFAULT).then(|| Secret::new(value))
    }

    /// A variable of the environment that is no secret; empty counts as not set.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// Largest file taken, in bytes.
    pub fn media_max(&self) -> u64 {
        self.number("mediaMaxMb").unwrap_or(20).min(100) << 20
    }

    /// Whether this account as it runs is what the other one describes.
    pub fn needs_restart(&self, other: &Account) -> bool {
        let own = |account: &Account| {
            let mut settings = account.settings.clone();
            settings.retain(|name, _| !LIVE.contains(&name.as_str()) && name != account.spec.list.key());
            settings
        };
        self.enabled != other.enabled || own(self) != own(other) || self.vars_differ(other)
    }

    /// A variable may be what a secret is made of; those that no setting names do not matter.
    fn vars_differ(&self, other: &Account) -> bool {
        self.spec.variables.iter().any(|name| self.vars.get(name) != other.vars.get(name))
    }
}

/// A small file that only its owner need read; symbolic links are refused.
pub fn read_secret(path: &str) -> Option<Secret> {
    let facts = std::fs::symlink_metadata(path).ok().filter(|facts| facts.is_file() && facts.len() < 64 << 10);
    let text = facts.and_then(|_| std::fs::read_to_string(path).ok());
    if text.is_none() {
        log::warn!("{path} holds no secret: it must be a small regular file");
    }
    text.map(|text| Secret::new(text.trim()))
}

/// A list of texts; numbers are taken as written, one text is a list of one.
pub fn texts(value: Option<&Value>) -> Vec<String> {
    let word = |value: &Value| match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(word).filter(|text| !text.is_empty()).collect(),
        Some(one) => word(one).into_iter().collect(),
        None => Vec::new(),
    }
}

/// Why a secret of the account, or of the section it stands in, cannot be had.
fn unresolved(config: &Config, channel: &str, account: &str) -> Option<String> {
    let (section, accounts) = (format!("channels.{channel}"), format!("channels.{channel}.accounts."));
    let own = format!("{accounts}{account}");
    let of_section = config
        .unresolved
        .iter()
        .find(|missing| missing.path.starts_with(&format!("{section}.")) && !missing.path.starts_with(&accounts));
    config.unresolved_below(&own).or_else(|| config.unresolved_below(&of_section?.path))
}

/// All accounts of the messengers that have a section, in the order of the table.
pub fn accounts(config: &Config) -> Vec<Account> {
    let state_dir = config.paths.as_ref().map(|paths| paths.state_dir.clone()).unwrap_or_default();
    let mut all = Vec::new();
    for spec in CHANNELS {
        let section = config.channels.get(spec.id).and_then(Value::as_object);
        let from_environment = spec.variables.first().is_some_and(|name| config.vars.get(name).is_some());
        let empty = Map::new();
        let Some(section) = section.or((from_environment && spec.by_variable).then_some(&empty)) else { continue };
        let mut base = section.clone();
        let named = match base.remove("accounts") {
            Some(Value::Object(named)) => named,
            _ => Map::new(),
        };
        base.remove("defaultAccount");
        let off = base.get("enabled") == Some(&Value::Bool(false));
        let mut one = |id: &str, own: Option<&Map<String, Value>>| {
            let mut settings = base.clone();
            for (name, value) in own.into_iter().flatten() {
                settings.insert(name.clone(), value.clone());
            }
            let enabled = !off && settings.get("enabled") != Some(&Value::Bool(false));
            settings.remove("enabled");
            plain_dm(&mut settings);
            plain_mode(&mut settings);
            let key = AccountKey { channel: spec.id, account: id.into() };
            let unresolved = unresolved(config, spec.id, id);
            let (state_dir, vars) = (state_dir.clone(), config.vars.clone());
            all.push(Account { spec, key, enabled, settings, state_dir, unresolved, vars });
        };
        if named.is_empty() || (spec.configured)(&base) && !named.contains_key(DEFAULT) {
            one(DEFAULT, None);
        }
        for (id, own) in named.iter().take(ACCOUNTS_MAX) {
            let fits = !id.is_empty()
                && id.len() <= ID_LEN
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
            match fits {
                true => one(id, own.as_object()),
                false => log::warn!("channels.{}.accounts: \"{}\" is no account id", spec.id, id.escape_debug()),
            }
        }
    }
    all
}

/// `chatmode: onmessage` is `requireMention: false` by another name, unless that is said, too.
fn plain_mode(settings: &mut Map<String, Value>) {
    if settings.get("chatmode").and_then(Value::as_str) == Some("onmessage") && !settings.contains_key("requireMention")
    {
        settings.insert("requireMention".into(), false.into());
    }
}

/// `dm.policy`, `dm.allowFrom` and `dm.enabled`, as some sections are written, are the flat keys by another name.
fn plain_dm(settings: &mut Map<String, Value>) {
    let Some(Value::Object(dm)) = settings.remove("dm") else { return };
    let mut take = |name: &str, value: Option<&Value>| {
        if let Some(value) = value.filter(|_| !settings.contains_key(name)) {
            settings.insert(name.to_owned(), value.clone());
        }
    };
    let off = Value::from("disabled");
    take("dmPolicy", if dm.get("enabled") == Some(&Value::Bool(false)) { Some(&off) } else { dm.get("policy") });
    take("allowFrom", dm.get("allowFrom"));
}

/// The account that sends when none is named.
pub fn default_account(config: &Config, channel: &str) -> Option<String> {
    let section = config.channels.get(channel)?;
    if let Some(named) = section.get("defaultAccount").and_then(Value::as_str) {
        return Some(named.to_owned());
    }
    let mut ids: Vec<String> =
        accounts(config).into_iter().filter(|a| a.key.channel == channel).map(|a| a.key.account.to_string()).collect();
    if ids.iter().any(|id| id == DEFAULT) {
        return Some(DEFAULT.to_owned());
    }
    order::sort(&mut ids);
    ids.into_iter().next()
}

/// What the sections of messengers say that nobody reads, as sentences for the log and `doctor`.
pub fn unknown_keys(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let known = |spec: &ChannelSpec, name: &str| {
        // Where rooms are listed in another way, those keys would let nobody in and keep nobody out.
        let elsewhere = spec.list != List::Groups && ["groups", "groupAllowFrom"].contains(&name);
        let mut all = SHARED_KEYS.iter().chain(spec.keys).map(|(key, _)| key).chain(LIVE);
        !elsewhere && all.any(|key| *key == name)
    };
    for (id, section) in &config.channels {
        if matches!(id.as_str(), "defaults" | "modelByChannel") {
            continue;
        }
        let Some(spec) = CHANNELS.iter().find(|spec| spec.id == id) else {
            warnings.push(format!("channels.{id}: this gateway has no such messenger; the section has no effect"));
            continue;
        };
        let mut look = |path: String, section: &Value| {
            for name in section.as_object().into_iter().flat_map(Map::keys).filter(|name| !known(spec, name)) {
                warnings.push(format!("{path}.{name} has no effect in this gateway"));
            }
        };
        look(format!("channels.{id}"), section);
        for (name, own) in section.get("accounts").and_then(Value::as_object).into_iter().flatten() {
            look(format!("channels.{id}.accounts.{name}"), own);
        }
    }
    warnings
}
