//! `openclaw channels list`, `add`, `remove`, `login`, `logout`: the accounts of messengers.
//!
//! `add` asks the messenger itself whether the account works before a word is written, so that a wrong token is noticed
//! where it was typed. A running gateway takes the change over by itself.

use std::time::Duration;

use serde_json::Value;

use super::args::{ChannelsAdd, ChannelsList, ChannelsLogin, ChannelsLogout, ChannelsRemove};
use super::calls::Calls;
use super::config_write::{Open, Report};
use super::failure::Failure;
use super::output::{Shell, clean};
use super::question;
use super::settings::Settings;
use crate::channels::account::DEFAULT;
use crate::channels::{self, Account, CHANNELS, ChannelSpec};
use crate::client::Identity;
use crate::config::{Config, edit, json5, keys, load};
use crate::sys::terminal;
use crate::wire::tree::json;

/// What the messenger may take to say who we are.
const PROBE: Duration = Duration::from_secs(15);
const USUAL: Duration = Duration::from_secs(10);

/// Prints what the configuration says, without asking anybody.
pub fn list(shell: &mut Shell, args: &ChannelsList) -> Result<(), Failure> {
    let settings = Settings::load(shell)?;
    let accounts = channels::accounts(&settings.config);
    let mut rows = Vec::new();
    for spec in CHANNELS {
        let own: Vec<Value> = accounts
            .iter()
            .filter(|account| account.spec.id == spec.id)
            .map(|account| {
                json!({"accountId": &*account.key.account, "name": account.text("name"), "enabled": account.enabled,
                       "configured": (spec.open)(account).is_ok()})
            })
            .collect();
        if !own.is_empty() || args.all {
            rows.push(json!({"channel": spec.id, "label": spec.label, "installed": true, "accounts": own}));
        }
    }
    if args.json {
        return shell.json(&json!({ "channels": rows }));
    }
    if rows.is_empty() {
        return shell
            .line("No channels are configured. Add one: openclaw channels add --channel telegram --token <token>");
    }
    for row in &rows {
        let label = row["label"].as_str().unwrap_or_default().to_owned();
        let accounts = row["accounts"].as_array().map(Vec::as_slice).unwrap_or_default();
        if accounts.is_empty() {
            shell.line(format!("- {label}: not configured"))?;
        }
        for account in accounts {
            let word = match (account["configured"] == true, account["enabled"] == true) {
                (_, false) => "disabled",
                (true, true) => "configured",
                (false, true) => "incomplete",
            };
            shell.line(format!("- {label} {}: {word}", clean(account["accountId"].as_str().unwrap_or_default())))?;
        }
    }
    Ok(())
}

fn spec(id: &str) -> Result<&'static ChannelSpec, Failure> {
    channels::find(id).ok_or_else(|| {
        let known: Vec<&str> = CHANNELS.iter().map(|spec| spec.id).collect();
        Failure::usage(format!("--channel {id}: unknown (one of {})", known.join(", ")))
    })
}

fn account_id(given: Option<&str>) -> Result<&str, Failure> {
    match given.map(str::trim) {
        None => Ok(DEFAULT),
        Some("") => Err(Failure::usage("--account must not be blank")),
        Some(id) => Ok(id),
    }
}

/// Adds an account, or changes the one that is there.
pub fn add(shell: &mut Shell, args: &ChannelsAdd) -> Result<(), Failure> {
    let known: Vec<&str> = CHANNELS.iter().map(|spec| spec.id).collect();
    let channel = match &args.channel {
        Some(id) => id.clone(),
        None if terminal::somebody() => known[question::choice(shell, "Which messenger?", &known, 0)?].to_owned(),
        None => return Err(Failure::usage(format!("--channel is needed (one of {})", known.join(", ")))),
    };
    let spec = spec(&channel)?;
    let account = account_id(args.account.as_deref())?;
    let given = [
        ("--token", &args.token),
        ("--app-token", &args.app_token),
        ("--token-file", &args.token_file),
        ("--secret", &args.secret),
        ("--url", &args.url),
        ("--host", &args.host),
        ("--signal-number", &args.signal_number),
        ("--nick", &args.nick),
        ("--password", &args.password),
    ];
    let mut values: Vec<(String, Value)> = Vec::new();
    for (flag, value) in given {
        let Some(value) = value else { continue };
        let Some((_, key, _)) = spec.setup.iter().find(|(own, ..)| *own == flag) else {
            return Err(Failure::usage(format!("{flag} means nothing to {}", spec.label)));
        };
        values.push(((*key).to_owned(), value.as_str().into()));
    }
    for pair in &args.set {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| Failure::usage(format!("--set {pair}: write key=value")))?;
        let value = json5::parse(value, 0).map_or_else(|_| Value::from(value), |parsed| parsed.root.to_value());
        values.push((key.to_owned(), value));
    }
    if let Some(name) = &args.name {
        values.push(("name".into(), name.as_str().into()));
    }
    if !args.allow_from.is_empty() {
        values.push(("allowFrom".into(), args.allow_from.clone().into()));
    }
    if args.use_env {
        let set = |name: &&&str| shell.env.get(name).is_some_and(|value| !value.trim().is_empty());
        let Some(variable) = spec.variables.iter().find(set) else {
            return Err(Failure::usage(format!("--use-env needs {}", spec.variables.join(" or "))));
        };
        if let Some((_, key, _)) = spec.setup.iter().find(|(_, _, secret)| *secret) {
            values.push(((*key).to_owned(), json!({"source": "env", "provider": "default", "id": variable})));
        }
    }
    let file = Open::read(shell)?;
    let section = file.tree.get("channels").and_then(|channels| channels.get(spec.id));
    let base = if account == DEFAULT && section.is_none_or(|section| section.get("accounts").is_none()) {
        format!("channels.{}", spec.id)
    } else {
        keys::join(&format!("channels.{}.accounts", spec.id), account)
    };
    // Whoever sits at a terminal is asked for what is missing.
    let old = edit::at(&file.tree, &keys::split(&base)).cloned().unwrap_or(Value::Null);
    let has = |key: &str| old.get(key).is_some() || values.iter().any(|(own, _)| own == key);
    let mut asked = Vec::new();
    if !spec.setup.iter().any(|(_, key, _)| has(key)) {
        let somebody = terminal::somebody();
        for (_, key, secret) in spec.setup.iter().take(2).filter(|_| somebody) {
            let question = format!("{} {key}", spec.label);
            let value = if *secret {
                question::secret(shell, &question)?
            } else {
                question::text(shell, &format!("{question} (empty to leave it out)"), "")?
            };
            if !value.is_empty() {
                asked.push(((*key).to_owned(), Value::from(value)));
                if *secret {
                    break;
                }
            }
        }
    }
    values.extend(asked);
    let mut text = if file.text.trim().is_empty() { "{\n}\n".to_owned() } else { file.text.clone() };
    for (key, value) in values.iter().chain([&("enabled".to_owned(), Value::Bool(true))]) {
        let path = keys::join(&base, key);
        text = edit::set(&text, &keys::split(&path), value).map_err(|error| Failure::refused(error.to_string()))?;
    }
    let config = load::parse(&text, &file.paths, &shell.env).map_err(|error| Failure::config(error.to_string()))?;
    let identity = if args.no_check { None } else { Some(check(&config, spec, account)?) };
    let done = match identity {
        Some(who) => format!("{} account \"{account}\" works: {}.", spec.label, clean(&who)),
        None => format!("{} account \"{account}\" is written and was not checked.", spec.label),
    };
    file.finish(shell, text, &Report { mode: "value", operations: 1, done, dry_run: false, json: false })
}

/// Opens an account as the gateway would and asks the messenger who we are.
fn check(config: &Config, spec: &ChannelSpec, account: &str) -> Result<String, Failure> {
    let wanted = |own: &Account| own.spec.id == spec.id && &*own.key.account == account;
    let Some(found) = channels::accounts(config).into_iter().find(wanted) else {
        return Err(Failure::usage(format!("{} has no account \"{account}\"", spec.label)));
    };
    let channel = (spec.open)(&found).map_err(|error| Failure::refused(error.to_string()))?;
    let probe = channel.probe(PROBE);
    match probe.error {
        Some(error) if !probe.ok => Err(Failure::refused(format!("{}: {error}", spec.label))
            .hint("Nothing was written. Correct it, or add --no-check.")),
        _ => Ok(probe.identity),
    }
}

/// Switches an account off, or takes it out.
pub fn remove(shell: &mut Shell, args: &ChannelsRemove) -> Result<(), Failure> {
    let spec = spec(&args.channel)?;
    let account = account_id(args.account.as_deref())?;
    let file = Open::read(shell)?;
    let named = keys::join(&format!("channels.{}.accounts", spec.id), account);
    let base = format!("channels.{}", spec.id);
    let path = match edit::at(&file.tree, &keys::split(&named)) {
        Some(_) => named,
        None if account == DEFAULT && edit::at(&file.tree, &keys::split(&base)).is_some() => base,
        None => return Err(Failure::usage(format!("{} has no account \"{account}\"", spec.label))),
    };
    let changed = match args.delete {
        true => edit::unset(&file.text, &keys::split(&path)).map(|text| text.unwrap_or_else(|| file.text.clone())),
        false => edit::set(&file.text, &keys::split(&keys::join(&path, "enabled")), &Value::Bool(false)),
    };
    let text = changed.map_err(|error| Failure::refused(error.to_string()))?;
    let done = format!("{} account \"{account}\" {}.", spec.label, if args.delete { "is gone" } else { "is off" });
    file.finish(shell, text, &Report { mode: "value", operations: 1, done, dry_run: false, json: false })
}

/// Asks the messenger, then lets the gateway start the account.
pub fn login(shell: &mut Shell, args: &ChannelsLogin) -> Result<(), Failure> {
    let spec = spec(&args.channel)?;
    let account = account_id(args.account.as_deref())?;
    let settings = Settings::load(shell)?;
    let who = check(&settings.config, spec, account)?;
    let calls = Calls::new(&settings, args.wanted(), args.timeout, USUAL)?;
    let params = json!({"channel": spec.id, "accountId": account});
    let started = calls.once(Identity::backend("channels.login", &["operator.admin"]), "channels.start", params)?;
    if args.json {
        return shell.json(&started);
    }
    shell.line(format!("{} account \"{account}\" works ({}) and runs.", spec.label, clean(&who)))
}

/// Lets the gateway stop an account and forget it.
pub fn logout(shell: &mut Shell, args: &ChannelsLogout) -> Result<(), Failure> {
    let spec = spec(&args.channel)?;
    let account = account_id(args.account.as_deref())?;
    let settings = Settings::load(shell)?;
    let calls = Calls::new(&settings, args.wanted(), args.timeout, USUAL)?;
    let params = json!({"channel": spec.id, "accountId": account});
    let done = calls.once(Identity::backend("channels.logout", &["operator.admin"]), "channels.logout", params)?;
    if args.json {
        return shell.json(&done);
    }
    shell.line(format!(
        "{} account \"{account}\" is stopped and forgotten; its keys are still in the configuration.",
        spec.label
    ))
}
