//! The provider of `openclaw setup`: which one, with which key, and whether the key works.
//!
//! The provider itself is asked, by its list of models: that costs nothing and needs the key. Invariant: a key that the
//! provider refuses is not written down; a provider nobody can reach is no reason to stop.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::args::Setup;
use super::failure::Failure;
use super::output::Shell;
use super::question;
use crate::config::Config;
use crate::config::redact::is_sentinel;
use crate::providers::ProviderError;
use crate::providers::builtin::NoFacts;
use crate::providers::discover;
use crate::providers::error::FailureKind;
use crate::providers::known::{KNOWN, Known};
use crate::providers::registry::{Join, ModelRef, Registry};
use crate::providers::settings::{Api, ProviderSettings, Timeouts};
use crate::sys::secret::Secret;
use crate::wire::tree::json;

/// A provider that does not answer within this is not asked further.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a key may be typed.
const TRIES: usize = 3;

/// What is to be written: the provider's id and block, and the model to use.
pub struct Chosen {
    pub id: String,
    pub block: Value,
    pub model: String,
    /// Said after everything is done.
    pub note: Option<String>,
}

/// How a key turned out.
enum Verdict {
    Works,
    Refused(String),
    /// Nobody could be asked.
    Unknown(String),
}

/// By the flags alone; `None` when they choose nothing.
pub fn by_flags(args: &Setup, old: &Config) -> Result<Option<Chosen>, Failure> {
    let Some(choice) = args.auth_choice.as_deref() else {
        return match (&args.api_key, &args.custom_base_url) {
            (None, None) => Ok(None),
            _ => Err(Failure::usage("--api-key and --custom-base-url need --auth-choice")),
        };
    };
    let choice = choice.trim();
    if matches!(choice, "skip" | "none") {
        return Ok(None);
    }
    if matches!(choice, "custom" | "custom-api-key") {
        return custom(args).map(Some);
    }
    let id = choice.strip_suffix("-api-key").unwrap_or(choice);
    let id = if id == "gemini" { "google" } else { id };
    let Some(known) = Known::find(id) else {
        let all: Vec<&str> = KNOWN.iter().map(|known| known.id).collect();
        return Err(Failure::usage(format!("--auth-choice {choice}: one of {}, custom, skip", all.join(", "))));
    };
    let by_env = known.key(&|name| old.vars.get(name).map(str::to_owned));
    let key = args.api_key.as_deref().map(Secret::new).or(by_env);
    let key = key.filter(|key| !key.is_empty()).ok_or_else(|| {
        Failure::usage(format!("{id} needs a key")).hint(format!("Set {} or give --api-key.", known.env[0]))
    })?;
    let note = if args.skip_check { None } else { checked(&verdict(known.settings(key.clone())), id)? };
    let model = args.custom_model_id.as_deref().unwrap_or(known.default_model);
    Ok(Some(chosen(known, &key, model, args, old, note)?))
}

/// By asking.
pub fn by_questions(shell: &mut Shell, args: &Setup, old: &Config) -> Result<Option<Chosen>, Failure> {
    let local = discover::local(discover::PROBES);
    let mut names: Vec<String> = vec!["later (the embedded model answers until then)".to_owned()];
    names.extend(local.iter().map(|found| format!("{} (runs on this host)", found.id)));
    for known in KNOWN {
        let there = known.key(&|name| old.vars.get(name).map(str::to_owned)).is_some();
        names.push(if there { format!("{} (its key is in the environment)", known.id) } else { known.id.to_owned() });
    }
    names.push("custom (an endpoint of your own)".to_owned());
    let shown: Vec<&str> = names.iter().map(String::as_str).collect();
    let choice = question::choice(shell, "Who answers? Choose a provider of models.", &shown, 0)?;
    let Some(choice) = choice.checked_sub(1) else { return Ok(None) };
    if let Some(found) = local.get(choice) {
        let model = found.models.first().map(|model| model.id.clone()).unwrap_or_default();
        let block = json!({"baseUrl": found.base_url, "api": found.api.as_str(), "models": [{"id": model}]});
        return Ok(Some(Chosen { id: found.id.clone(), block, model, note: None }));
    }
    let Some(known) = KNOWN.get(choice - local.len()) else {
        let base = question::text(shell, "Address of the endpoint (with /v1 where it has one)", "")?;
        let model = question::text(shell, "Model, as the endpoint calls it", "")?;
        let key = question::secret(shell, "Key, or nothing")?;
        let asked = Setup {
            custom_base_url: Some(base),
            custom_model_id: Some(model),
            api_key: Some(key).filter(|key| !key.is_empty()),
            skip_check: args.skip_check,
            ..Setup::default()
        };
        return custom(&asked).map(Some);
    };
    for _ in 0..TRIES {
        let by_env = known.key(&|name| old.vars.get(name).map(str::to_owned));
        let key = match by_env {
            Some(key) => key,
            None => Secret::new(question::secret(shell, &format!("Key of {}", known.id))?),
        };
        if key.is_empty() {
            return Ok(None);
        }
        shell.note("Asking the provider whether the key works...")?;
        let verdict = if args.skip_check { Verdict::Works } else { verdict(known.settings(key.clone())) };
        if let Verdict::Refused(why) = &verdict {
            shell.note(format!("{} refuses the key: {why}", known.id))?;
            continue;
        }
        let note = checked(&verdict, known.id)?;
        let model = question::text(shell, "Model", args.custom_model_id.as_deref().unwrap_or(known.default_model))?;
        return chosen(known, &key, &model, args, old, note).map(Some);
    }
    Err(Failure::refused(format!("{} refused the key; nothing was changed", known.id)))
}

fn chosen(
    known: &Known,
    key: &Secret,
    model: &str,
    args: &Setup,
    old: &Config,
    note: Option<String>,
) -> Result<Chosen, Failure> {
    if is_sentinel(key.expose()) {
        return Err(Failure::usage("a redacted stand-in is not a key"));
    }
    let written = match args.secret_input_mode.as_deref() {
        None | Some("plaintext") => json!(key.expose()),
        Some("ref") => {
            let name =
                known.env.iter().find(|name| old.vars.get(name) == Some(key.expose())).ok_or_else(|| {
                    Failure::usage(format!("--secret-input-mode ref needs the key in {}", known.env[0]))
                })?;
            json!({"source": "env", "provider": "default", "id": name})
        }
        Some(other) => return Err(Failure::usage(format!("--secret-input-mode {other}: plaintext or ref"))),
    };
    let block = json!({
        "baseUrl": known.base_url, "api": known.api.as_str(), "apiKey": written, "models": [{"id": model}],
    });
    Ok(Chosen { id: known.id.to_owned(), block, model: model.to_owned(), note })
}

fn custom(args: &Setup) -> Result<Chosen, Failure> {
    let missing = |flag: &str| Failure::usage(format!("--auth-choice custom needs {flag}"));
    let base =
        args.custom_base_url.as_deref().filter(|url| !url.is_empty()).ok_or_else(|| missing("--custom-base-url"))?;
    let model =
        args.custom_model_id.as_deref().filter(|id| !id.is_empty()).ok_or_else(|| missing("--custom-model-id"))?;
    let api = match args.custom_compatibility.as_deref() {
        None | Some("openai") => Api::OpenAiCompletions,
        Some("anthropic") => Api::AnthropicMessages,
        Some(other) => return Err(Failure::usage(format!("--custom-compatibility {other}: openai or anthropic"))),
    };
    let mut settings = ProviderSettings::new("custom", base, api);
    settings.check().map_err(|error| Failure::usage(error.to_string()))?;
    settings.api_key = args.api_key.as_deref().map(Secret::new);
    let note = if args.skip_check { None } else { checked(&verdict(settings), "custom")? };
    let mut block = json!({"baseUrl": base, "api": api.as_str(), "models": [{"id": model}]});
    if let Some(key) = &args.api_key {
        block["apiKey"] = key.as_str().into();
    }
    Ok(Chosen { id: "custom".to_owned(), block, model: model.to_owned(), note })
}

fn checked(verdict: &Verdict, id: &str) -> Result<Option<String>, Failure> {
    match verdict {
        Verdict::Works => Ok(None),
        Verdict::Refused(why) => Err(Failure::refused(format!("{id} refuses the key: {why}; nothing was changed"))
            .hint("Give another key, or --skip-check to write it down all the same.")),
        Verdict::Unknown(why) => Ok(Some(format!("The key could not be checked: {why}"))),
    }
}

/// Asks the provider for its models.
fn verdict(mut settings: ProviderSettings) -> Verdict {
    settings.timeouts = Timeouts { connect: PATIENCE, first_byte: PATIENCE, read: PATIENCE };
    // With a list of its own it would not have to ask.
    settings.models = Vec::new();
    let model = ModelRef::new(&settings.id, "any");
    let registry = Registry::build(vec![settings], Join::Known, &|_| None, Arc::new(NoFacts));
    match registry.resolve(&model).and_then(|provider| provider.models()) {
        Ok(_) => Verdict::Works,
        Err(error) => match error.kind() {
            FailureKind::Auth => Verdict::Refused(error.to_string()),
            // The key is good, the account is not; and an endpoint without a list says nothing about keys.
            FailureKind::Billing | FailureKind::RateLimit => Verdict::Works,
            _ if matches!(error, ProviderError::Upstream { .. }) => Verdict::Unknown(error.to_string()),
            _ => Verdict::Unknown(error.to_string()),
        },
    }
}
