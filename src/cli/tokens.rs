//! `openclaw tokens`: tokens of limited power, kept in the configuration by their hash.
//!
//! The token itself is printed once and kept nowhere.

use serde_json::Value;

use super::args::{TokensCreate, TokensList, TokensRevoke};
use super::config_read::segments;
use super::config_write::{Open, Report};
use super::failure::Failure;
use super::output::{Shell, table};
use super::settings::Settings;
use crate::auth::tokens::{self, TOKENS};
use crate::config::edit;
use crate::sys::{clock, random};
use crate::wire::scope::{NAMES, Scope};
use crate::wire::tree::json;

const PATH: &str = "gateway.auth.tokens";

pub fn list(shell: &mut Shell, args: &TokensList) -> Result<(), Failure> {
    let settings = Settings::load(shell)?;
    let now = clock::now_ms();
    let known = &settings.config.gateway.auth.tokens;
    let state = |ends: &Option<String>| match ends.as_deref().map(tokens::moment) {
        Some(Ok(end)) if end <= now => "expired",
        Some(Err(_)) => "unreadable",
        _ => "good",
    };
    if args.json {
        let rows: Vec<Value> = known
            .iter()
            .map(|token| {
                json!({"name": token.name, "scopes": token.scopes, "expiresAt": token.expires_at,
                    "allowCidrs": token.allow_cidrs, "state": state(&token.expires_at)})
            })
            .collect();
        return shell.json(&json!({"tokens": rows}));
    }
    if known.is_empty() {
        return shell.line("No tokens besides the gateway's own.");
    }
    let rows: Vec<Vec<String>> = known
        .iter()
        .map(|token| {
            vec![
                token.name.clone(),
                token.scopes.join(","),
                token.expires_at.clone().unwrap_or_else(|| "never".into()),
                token.allow_cidrs.join(","),
                state(&token.expires_at).into(),
            ]
        })
        .collect();
    for line in table(&["Name", "Scopes", "Ends", "From", "State"], &rows) {
        shell.line(line)?;
    }
    Ok(())
}

/// Makes a token; what is written down is its hash.
pub fn create(shell: &mut Shell, args: &TokensCreate) -> Result<(), Failure> {
    let name = args.name.trim();
    if name.is_empty() || name.chars().count() > 64 {
        return Err(Failure::usage("--name must have 1 to 64 characters"));
    }
    let scopes = scopes(args.scope.as_deref().unwrap_or("operator.read"))?;
    let ends = args.expires.as_deref().map(ends).transpose()?;
    let cidrs = parts(args.cidr.as_deref().unwrap_or(""));
    if let Some(bad) = cidrs.iter().find(|cidr| !tokens::is_network(cidr)) {
        return Err(Failure::usage(format!("--cidr {bad} is not an address or a network such as 192.168.1.0/24")));
    }
    let file = Open::read(shell)?;
    let mut known = written(&file);
    if known.iter().any(|token| token["name"] == name) {
        return Err(Failure::usage(format!("there is a token called {name} already")));
    }
    if known.len() >= TOKENS {
        return Err(Failure::refused(format!("{TOKENS} tokens are the most there can be")));
    }
    let token = random::token::<32>();
    let mut entry = json!({"name": name, "hash": tokens::hash(&token), "scopes": scopes});
    if let Some(ends) = &ends {
        entry["expiresAt"] = ends.as_str().into();
    }
    if !cidrs.is_empty() {
        entry["allowCidrs"] = cidrs.clone().into();
    }
    known.push(entry);
    let done = format!("Made the token {name}. It is shown once:\n{token}\n");
    if args.json {
        file.keep(shell, put(&file, known)?)?;
        return shell.json(&json!({"name": name, "token": token, "scopes": scopes, "expiresAt": ends,
            "allowCidrs": cidrs}));
    }
    let text = put(&file, known)?;
    file.finish(shell, text, &Report { mode: "value", operations: 1, done, dry_run: false, json: false })
}

pub fn revoke(shell: &mut Shell, args: &TokensRevoke) -> Result<(), Failure> {
    let file = Open::read(shell)?;
    let mut known = written(&file);
    let before = known.len();
    known.retain(|token| token["name"] != args.token_name.as_str());
    if known.len() == before {
        return Err(Failure::usage(format!("no token is called {}", args.token_name)).hint("See: openclaw tokens list"));
    }
    let text = put(&file, known)?;
    if args.json {
        file.keep(shell, text)?;
        return shell.json(&json!({"revoked": args.token_name}));
    }
    let done = format!("Revoked the token {}.", args.token_name);
    file.finish(shell, text, &Report { mode: "value", operations: 1, done, dry_run: false, json: false })
}

fn written(file: &Open) -> Vec<Value> {
    let path = segments(PATH).unwrap_or_default();
    edit::at(file.tree(), &path).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn put(file: &Open, tokens: Vec<Value>) -> Result<String, Failure> {
    let path = segments(PATH)?;
    edit::set(&file.text, &path, &tokens.into()).map_err(|error| Failure::refused(error.to_string()))
}

/// Full names, or their last parts: `read,write`.
fn scopes(text: &str) -> Result<Vec<&'static str>, Failure> {
    let known = |name: &str| Scope::parse(name).or_else(|| Scope::parse(&format!("operator.{name}")));
    let all: Result<Vec<_>, Failure> = parts(text)
        .iter()
        .map(|name| {
            known(name).map(Scope::name).ok_or_else(|| {
                let names: Vec<&str> = NAMES.iter().map(|(_, name)| *name).collect();
                Failure::usage(format!("--scope {name}: one of {}", names.join(", ")))
            })
        })
        .collect();
    match all {
        Ok(all) if all.is_empty() => Err(Failure::usage("--scope is empty")),
        all => all,
    }
}

fn parts(text: &str) -> Vec<String> {
    text.split([',', ' ']).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// `30d` from now, or a moment as it is.
fn ends(text: &str) -> Result<String, Failure> {
    let text = text.trim();
    let bad = || Failure::usage("--expires looks like 12h, 30d or 2026-12-24T18:00:00Z");
    let now = clock::now_ms();
    let end = match text.split_at(text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len()) {
        (number, unit @ ("m" | "h" | "d")) => {
            let number: u64 = number.parse().map_err(|_| bad())?;
            let minutes = match unit {
                "m" => number,
                "h" => number.saturating_mul(60),
                _ => number.saturating_mul(1440),
            };
            now.saturating_add(minutes.saturating_mul(60_000))
        }
        _ => tokens::moment(text).map_err(|_| bad())?,
    };
    if end <= now {
        return Err(Failure::usage("--expires lies in the past"));
    }
    let moment = i64::try_from(end).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).ok_or_else(bad)?;
    Ok(moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
