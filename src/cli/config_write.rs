//! `config set`, `unset`, `patch`: one change of the file, checked before it is written.
//!
//! The change is made on the text (see [`crate::config::edit`]), so that comments, order and unknown keys stay. Every
//! write is based on the content that was read; when somebody else was quicker, nothing is written.
//!
//! Deliberately absent: batches and provider builders of the reference; an object as value, or `config patch`, does both.

use std::io::Read;

use serde_json::Value;

use super::config_args::{ConfigPatch, ConfigSet, ConfigUnset};
use super::config_read::{paths, segments};
use super::failure::Failure;
use super::output::Shell;
use crate::config::edit::{self, EditError};
use crate::config::gateway::ReloadMode;
use crate::config::keys::Reload;
use crate::config::write::{self, Clobber, WriteError};
use crate::config::{Config, diff, json5, load};
use crate::sys::files;
use crate::sys::paths::Paths;
use crate::wire::misfit;
use crate::wire::tree::json;

/// A patch from a file (bytes).
const MAX_PATCH: u64 = 8 << 20;
/// A patch from a pipe (bytes).
const MAX_PIPED: u64 = 1 << 20;

/// Maps people fill by hand: replacing one must not lose an entry unnoticed.
const KEPT: [&str; 5] =
    ["agents.defaults.models", "agents.entries", "models.providers", "plugins.entries", "auth.profiles"];

/// Changes one value.
pub fn set(shell: &mut Shell, args: &ConfigSet) -> Result<(), Failure> {
    let path = segments(&args.path)?;
    let value = wanted(args)?;
    let file = Open::read(shell)?;
    let current = edit::at(&file.tree, &path).cloned();
    expectation(args, current.as_ref())?;
    let value = match (&current, args.merge) {
        (Some(old @ Value::Object(_)), true) if value.is_object() => {
            let mut merged = old.clone();
            edit::merge(&mut merged, &value, "", &[]);
            merged
        }
        (Some(Value::Array(old)), true) if value.is_array() => merged_by_id(old, &value),
        _ => value,
    };
    if !args.replace
        && KEPT.contains(&args.path.as_str())
        && let (Some(Value::Object(old)), Value::Object(new)) = (&current, &value)
        && let Some(lost) = old.keys().find(|key| !new.contains_key(*key))
    {
        return Err(Failure::refused(format!("{} would lose its entry {lost:?}; nothing was written", args.path))
            .hint("Use --merge to add entries, or --replace to mean it."));
    }
    let text = edit::set(&file.text, &path, &value).map_err(refused)?;
    let mode = if args.ref_source.is_some() {
        "builder"
    } else if args.strict_json || args.json {
        "json"
    } else {
        "value"
    };
    file.finish(
        shell,
        text,
        &Report {
            mode,
            operations: 1,
            done: format!("Updated {}.", args.path),
            dry_run: args.dry_run,
            json: args.json && args.dry_run,
        },
    )
}

/// Takes one key out.
pub fn unset(shell: &mut Shell, args: &ConfigUnset) -> Result<(), Failure> {
    let path = segments(&args.path)?;
    let file = Open::read(shell)?;
    let Some(text) = edit::unset(&file.text, &path).map_err(refused)? else {
        let message = format!("{} is not in {}", args.path, file.paths.config.display());
        if args.json && args.dry_run {
            let error = json!({"kind": "missing-path", "message": message});
            shell.json(&file.report(false, "unset", 1, Some(error)))?;
            return Err(Failure::told());
        }
        return Err(Failure::refused(message));
    };
    let done = format!("Removed {}.", args.path);
    file.finish(shell, text, &Report { mode: "unset", operations: 1, done, dry_run: args.dry_run, json: args.json })
}

/// Merges an object in.
pub fn patch(shell: &mut Shell, args: &ConfigPatch) -> Result<(), Failure> {
    let text = match (&args.file, args.stdin) {
        (Some(path), false) => files::read_capped(std::path::Path::new(path), MAX_PATCH)
            .map_err(|error| Failure::refused(format!("read {path}: {error}")))?,
        (None, true) => piped()?,
        _ => return Err(Failure::usage("config patch needs --file or --stdin")),
    };
    let text = String::from_utf8(text).map_err(|_| Failure::refused("the patch is not UTF-8"))?;
    let parsed =
        json5::parse(&text, 0).map_err(|error| Failure::refused(format!("the patch is not JSON5: {error}")))?;
    let tree = parsed.root.to_value();
    let Value::Object(map) = &tree else { return Err(Failure::refused("the patch must be an object")) };
    let file = Open::read(shell)?;
    let whole: Vec<String> = args.replace_path.iter().cloned().collect();
    let text = edit::patch(&file.text, &tree, &whole).map_err(refused)?;
    let done = format!("Applied a patch of {} keys.", map.len());
    let operations = map.len();
    file.finish(shell, text, &Report { mode: "json", operations, done, dry_run: args.dry_run, json: args.json })
}

/// The file as it was when the command began.
pub struct Open {
    pub paths: Paths,
    /// Empty when there is no file.
    pub text: String,
    pub hash: String,
    /// What is written, without includes and substitution.
    pub tree: Value,
    /// What it meant, when it meant anything.
    old: Option<Config>,
}

/// How a change is told.
pub struct Report {
    pub mode: &'static str,
    pub operations: usize,
    pub done: String,
    pub dry_run: bool,
    pub json: bool,
}

impl Open {
    pub fn read(shell: &Shell) -> Result<Open, Failure> {
        let paths = paths(shell)?;
        if let Some(name) = write::forbidden(&shell.env) {
            return Err(Failure::refused(WriteError::ReadOnly(name).to_string()));
        }
        let bytes = match files::read_capped(&paths.config, json5::MAX_BYTES as u64) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Failure::refused(format!("read {}: {error}", paths.config.display()))),
        };
        let hash = write::hash(&bytes);
        let text = String::from_utf8(bytes).map_err(|_| Failure::refused("the configuration is not UTF-8"))?;
        let tree = json5::parse(&text, 0).map(|parsed| parsed.root.to_value()).unwrap_or_default();
        let old = load(&paths, &shell.env).ok();
        Ok(Open { paths, text, hash, tree, old })
    }

    /// What is written, without includes and substitution.
    pub fn tree(&self) -> &Value {
        &self.tree
    }

    /// Writes the new text and says nothing.
    pub fn keep(&self, shell: &Shell, text: String) -> Result<(), Failure> {
        self.check(shell, &text)?;
        write::write(&self.paths, &shell.env, &self.hash, &text, Clobber::Refuse).map_err(|error| failed(&error))?;
        Ok(())
    }

    /// Writes the new text, or says what it would do; tells what follows for a running gateway.
    pub fn finish(&self, shell: &mut Shell, text: String, report: &Report) -> Result<(), Failure> {
        let checked = self.check(shell, &text);
        if report.dry_run {
            return self.dry_run(shell, &text, report, checked);
        }
        if text == self.text {
            return shell.line("No change.");
        }
        checked
            .and_then(|_| {
                write::write(&self.paths, &shell.env, &self.hash, &text, Clobber::Refuse)
                    .map_err(|error| failed(&error))
            })
            .and_then(|written| {
                let hint = self.hint(&written.config);
                if report.json {
                    let path = self.paths.config.display().to_string();
                    return shell
                        .json(&json!({"ok": true, "configPath": path, "hash": written.config.hash, "hint": hint}));
                }
                shell.line(format!("{} {hint}", report.done))
            })
    }

    /// What the new text would mean; the failure a write would end with.
    fn check(&self, shell: &Shell, text: &str) -> Result<Config, Failure> {
        let config = load::parse(text, &self.paths, &shell.env)
            .map_err(|error| failed(&WriteError::Invalid { error, rejected: None }))?;
        // What an included file says may win over, or add to, what was just written here.
        let written = json5::parse(text, 0).map(|parsed| parsed.root.to_value()).unwrap_or_default();
        if config.files.len() > 1 && diff::overlaid(&self.tree, &written, &config.tree) {
            return Err(Failure::refused("an included file also sets this; change it there. Nothing was written."));
        }
        Ok(config)
    }

    fn dry_run(
        &self,
        shell: &mut Shell,
        text: &str,
        report: &Report,
        checked: Result<Config, Failure>,
    ) -> Result<(), Failure> {
        if report.json {
            let error = checked.as_ref().err().map(|failure| json!({"kind": "schema", "message": failure.message}));
            let missing = checked.as_ref().ok().and_then(|config| self.newly_unresolved(config));
            let error = error.or(missing);
            let ok = error.is_none();
            shell.json(&self.report(ok, report.mode, report.operations, error))?;
            return if ok { Ok(()) } else { Err(Failure::told()) };
        }
        let config = checked?;
        if let Some(missing) = self.newly_unresolved(&config) {
            return Err(Failure::refused(missing["message"].as_str().unwrap_or_default()));
        }
        if text == self.text {
            return shell.line("Dry run successful: no change.");
        }
        for line in super::config_changes::lines(self.old.as_ref(), &config) {
            shell.line(line)?;
        }
        shell.line(format!("Dry run successful: 1 change to {} was not written.", self.paths.config.display()))
    }

    /// A secret this change names that cannot be had.
    fn newly_unresolved(&self, config: &Config) -> Option<Value> {
        let known = |path: &str| self.old.as_ref().is_some_and(|old| old.unresolved.iter().any(|u| u.path == path));
        let new = config.unresolved.iter().find(|missing| !known(&missing.path))?;
        Some(json!({"kind": "resolvability", "message": format!("{}: {}", new.path, new.reason), "ref": new.path}))
    }

    fn report(&self, ok: bool, mode: &str, operations: usize, error: Option<Value>) -> Value {
        let mut report = json!({
            "ok": ok,
            "operations": operations,
            "configPath": self.paths.config.display().to_string(),
            "inputModes": [mode],
            "checks": {"schema": true, "resolvability": true, "resolvabilityComplete": true},
            "refsChecked": 0,
            "skippedExecRefs": 0,
        });
        if let Some(error) = error {
            report["errors"] = json!([error]);
        }
        report
    }

    /// What a running gateway will make of it.
    fn hint(&self, new: &Config) -> &'static str {
        let empty = Config::default();
        let changes = diff::changes(self.old.as_ref().unwrap_or(&empty), new);
        let needs = changes.iter().map(|change| change.reload).max().unwrap_or(Reload::Nothing);
        match needs {
            Reload::Nothing => "No gateway restart needed.",
            Reload::Hot if new.gateway.reload.mode != ReloadMode::Off => {
                "Change will apply without restarting the gateway."
            }
            _ => "Restart the gateway to apply.",
        }
    }
}

/// What the flags say the value is.
fn wanted(args: &ConfigSet) -> Result<Value, Failure> {
    if args.ref_source.is_some() || args.ref_provider.is_some() || args.ref_id.is_some() {
        let (Some(source), Some(id), None) = (&args.ref_source, &args.ref_id, &args.value) else {
            return Err(Failure::usage("a secret reference needs --ref-source and --ref-id, and no value"));
        };
        if !["env", "file", "exec", "store"].contains(&source.as_str()) {
            return Err(Failure::usage(format!("--ref-source {source}: one of env, file, exec, store")));
        }
        let provider = args.ref_provider.as_deref().unwrap_or("default");
        return Ok(json!({"source": source, "provider": provider, "id": id}));
    }
    let Some(text) = &args.value else { return Err(Failure::usage("config set needs a value")) };
    if args.strict_json || args.json {
        return misfit::read(text).map_err(|error| Failure::refused(format!("the value is not JSON: {error}")));
    }
    Ok(json5::parse(text, 0).map_or_else(|_| Value::from(text.as_str()), |parsed| parsed.root.to_value()))
}

/// The condition of the change. Neither value is told: one of them may be a secret.
fn expectation(args: &ConfigSet, current: Option<&Value>) -> Result<(), Failure> {
    if args.expect_current_json.is_none() && !args.expect_current_absent {
        return Ok(());
    }
    if args.dry_run || args.expect_current_json.is_some() && args.expect_current_absent {
        return Err(Failure::usage("one expectation, and not with --dry-run"));
    }
    let met = match &args.expect_current_json {
        Some(text) => {
            let expected: Value = misfit::read(text)
                .map_err(|error| Failure::usage(format!("--expect-current-json is not JSON: {error}")))?;
            current == Some(&expected)
        }
        None => current.is_none(),
    };
    let failed = || Failure::refused(format!("{} is not what was expected; nothing was written", args.path));
    if met { Ok(()) } else { Err(failed()) }
}

/// Items that say who they are replace their namesakes; others are added.
fn merged_by_id(old: &[Value], new: &Value) -> Value {
    let mut merged = old.to_vec();
    for item in new.as_array().into_iter().flatten() {
        let id = item.get("id").filter(|id| id.is_string());
        match merged.iter().position(|old| old == item || id.is_some() && old.get("id") == id) {
            Some(same) => edit::merge(&mut merged[same], item, "", &[]),
            None => merged.push(item.clone()),
        }
    }
    merged.into()
}

fn piped() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .take(MAX_PIPED + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::refused(format!("read standard input: {error}")))?;
    if bytes.len() as u64 > MAX_PIPED {
        return Err(Failure::refused("the patch is larger than 1 MiB"));
    }
    Ok(bytes)
}

fn refused(error: EditError) -> Failure {
    Failure::refused(error.to_string())
}

/// The failure of a write, with the cause and the next step.
pub fn failed(error: &WriteError) -> Failure {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let failure = Failure::refused(format!("{error}{cause}"));
    match error {
        WriteError::Changed => failure.hint("Run the command again to work on the new content."),
        WriteError::Clobber { .. } => failure.hint("Edit the file by hand if this is meant."),
        _ => failure,
    }
}
