//! `openclaw secrets reload` and `secrets audit`.
//!
//! The audit reads: the configuration with what it includes, its backups, `.env` files, the store, and what the
//! reference left behind. Invariants: no value is ever printed; nothing is written; programs are started only when that
//! was allowed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::args::{SecretsAudit, SecretsReload};
use super::calls::Calls;
use super::config_read::paths;
use super::failure::{Failure, Kind};
use super::output::{Shell, clean};
use super::settings::Settings;
use crate::client::Identity;
use crate::config::load::load_with;
use crate::config::secrets::places::{Credential, Written, credentials};
use crate::config::secrets::reference::Source;
use crate::config::secrets::shelf::{self, Shelf};
use crate::config::secrets::{How, Programs};
use crate::config::{Config, json5, write};
use crate::sys::files;
use crate::sys::paths::Paths;
use crate::wire::misfit;
use crate::wire::tree::json;

/// Fetching from slow vaults takes its time.
const PATIENCE: Duration = Duration::from_secs(30);
/// A file of the reference (bytes).
const LEFTOVER: u64 = 5 << 20;
/// A variables file (bytes).
const DOT_ENV: u64 = 1 << 20;

/// Makes the gateway fetch again.
pub fn reload(shell: &mut Shell, args: &SecretsReload) -> Result<(), Failure> {
    let calls = Calls::new(&Settings::load(shell)?, args.wanted(), args.timeout, PATIENCE)?;
    let result = calls.once(Identity::cli(&["operator.admin"]), "secrets.reload", json!({}))?;
    if args.json {
        return shell.json(&result);
    }
    match result["warningCount"].as_u64().unwrap_or(0) {
        0 => shell.line("Secrets were fetched again; every one is there."),
        count => {
            shell.line(format!("Secrets were fetched again; {count} could not be had (openclaw doctor names them)."))
        }
    }
}

/// What is wrong with where a secret is.
struct Finding {
    code: &'static str,
    file: String,
    line: Option<u32>,
    path: String,
    message: String,
}

#[derive(Default)]
struct Report {
    findings: Vec<Finding>,
    checked: usize,
    skipped: usize,
}

/// Looks for secrets in plain text and references that lead nowhere.
pub fn audit(shell: &mut Shell, args: &SecretsAudit) -> Result<(), Failure> {
    let paths = paths(shell)?;
    let programs = if args.allow_exec { Programs::All } else { Programs::None };
    let config = load_with(&paths, &shell.env, How { programs, before: None })
        .map_err(|error| Failure::config(error.to_string()))?;
    let mut report = Report::default();
    in_configuration(&config, &paths, &mut report);
    in_backups(&config, &paths, &mut report);
    in_variables(&paths, &config, &mut report);
    left_behind(&paths, &mut report);
    let count = |code: &str| report.findings.iter().filter(|finding| finding.code == code).count();
    let unresolved = count("REF_UNRESOLVED");
    let status = match report.findings.len() {
        _ if unresolved > 0 => "unresolved",
        0 => "clean",
        _ => "findings",
    };
    if args.json {
        let all: Vec<Value> = report
            .findings
            .iter()
            .map(|f| json!({"code": f.code, "file": f.file, "line": f.line, "path": f.path, "message": f.message}))
            .collect();
        shell.json(&json!({
            "version": 1,
            "status": status,
            "resolution": {"refsChecked": report.checked, "skippedExecRefs": report.skipped,
                           "resolvabilityComplete": report.skipped == 0},
            "summary": {"plaintextCount": count("PLAINTEXT_FOUND"), "unresolvedRefCount": unresolved,
                        "shadowedRefCount": count("REF_SHADOWED"), "storeResidueCount": count("STORE_PLAINTEXT_RESIDUE"),
                        "legacyResidueCount": count("LEGACY_RESIDUE")},
            "findings": all,
        }))?;
    } else {
        for finding in &report.findings {
            let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
            shell.line(format!(
                "{}: {}{line} {}: {}",
                finding.code,
                finding.file,
                finding.path,
                clean(&finding.message)
            ))?;
        }
        if report.skipped > 0 {
            shell.line(format!("{} references to programs were not checked (--allow-exec).", report.skipped))?;
        }
        shell.line(format!("Secrets audit: {status}."))?;
    }
    match status {
        "unresolved" => Err(Failure::new(Kind::ToldUnresolved, "")),
        "findings" if args.check => Err(Failure::told()),
        _ => Ok(()),
    }
}

fn in_configuration(config: &Config, paths: &Paths, report: &mut Report) {
    let shelf = Shelf::read(&Shelf::path(&paths.state_dir)).unwrap_or_default();
    for file in &config.files {
        let Ok(bytes) = files::read_capped(file, json5::MAX_BYTES as u64) else { continue };
        let Ok(parsed) = json5::parse(&String::from_utf8_lossy(&bytes), 0) else { continue };
        // A key of an included file has its place in the main one, which only the whole tree knows; by its own name it is
        // still recognised.
        for Credential { path, at, written } in credentials(&parsed.root) {
            match written {
                Written::Variable => {}
                Written::Reference(reference) => {
                    let missing = config.unresolved.iter().find(|missing| missing.path == path);
                    match missing {
                        Some(missing) if missing.skipped => report.skipped += 1,
                        Some(missing) => {
                            report.checked += 1;
                            report.add("REF_UNRESOLVED", file, Some(at.line), &path, &missing.reason);
                        }
                        None => {
                            report.checked +=
                                usize::from(reference.source != Source::Exec || config.held.contains_key(&path))
                        }
                    }
                    shadowed(config, file, &path, report);
                }
                Written::Plain(value) => {
                    let kept = shelf.iter().find(|(_, entry)| entry.value == value).map(|(name, _)| name);
                    match kept {
                        Some(name) => {
                            let message = format!("the store keeps the same value as {name}: refer to it instead");
                            report.add("STORE_PLAINTEXT_RESIDUE", file, Some(at.line), &path, &message);
                        }
                        None if path.starts_with("env.vars")
                            && shelf::Kind::of_name(last(&path)) == shelf::Kind::Env => {}
                        None => report.add("PLAINTEXT_FOUND", file, Some(at.line), &path, "a secret in plain text"),
                    }
                }
            }
        }
    }
    for missing in config.unresolved.iter().filter(|missing| !missing.skipped) {
        if !report.findings.iter().any(|finding| finding.path == missing.path) {
            report.add("REF_UNRESOLVED", &config.path, None, &missing.path, &missing.reason);
        }
    }
}

/// A provider with profiles does not use its own key.
fn shadowed(config: &Config, file: &Path, path: &str, report: &mut Report) {
    let names: Vec<&str> = path.split('.').collect();
    if let ["models", "providers", id, "apiKey"] = names[..]
        && !config.auth_profiles(id).is_empty()
    {
        report.add("REF_SHADOWED", file, None, path, "auth.profiles of this provider take precedence");
    }
}

/// Copies of the file from before the secrets were moved.
fn in_backups(config: &Config, paths: &Paths, report: &mut Report) {
    for file in copies(&paths.config) {
        let Ok(bytes) = files::read_capped(&file, json5::MAX_BYTES as u64) else { continue };
        let Ok(parsed) = json5::parse(&String::from_utf8_lossy(&bytes), 0) else { continue };
        for Credential { path, at, written } in credentials(&parsed.root) {
            // What is in plain text in the file itself was named there.
            let moved = config.held.contains_key(&path);
            if moved && matches!(written, Written::Plain(_)) {
                report.add(
                    "LEGACY_RESIDUE",
                    &file,
                    Some(at.line),
                    &path,
                    "a backup still holds the secret in plain text",
                );
            }
        }
    }
}

/// Backups and refused contents of the configuration.
pub fn copies(config: &Path) -> Vec<PathBuf> {
    let mut all = write::backups(config);
    let prefix = format!("{}.rejected.", config.file_name().unwrap_or_default().to_string_lossy());
    let beside = config.parent().and_then(|dir| std::fs::read_dir(dir).ok());
    let rejected = beside.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    all.extend(rejected.filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&prefix))));
    all
}

/// Variables files of the instance.
pub fn dot_envs(paths: &Paths) -> Vec<PathBuf> {
    let mut all = vec![paths.dot_env()];
    if let Some(dir) = paths.config.parent() {
        all.push(dir.join(".env"));
    }
    all.dedup();
    all.retain(|path| path.is_file());
    all
}

fn in_variables(paths: &Paths, config: &Config, report: &mut Report) {
    // The variable an env reference names has to be somewhere.
    let referred = |name: &str| config.raw.contains(name);
    for file in dot_envs(paths) {
        let Ok(bytes) = files::read_capped(&file, DOT_ENV) else { continue };
        for (index, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            let line = line.trim().trim_start_matches("export ");
            let Some((name, value)) = line.split_once('=') else { continue };
            let secret = shelf::Kind::of_name(name.trim()) == shelf::Kind::Secret;
            if secret && !value.trim().is_empty() && !referred(name.trim()) {
                let line = u32::try_from(index + 1).ok();
                report.add("PLAINTEXT_FOUND", &file, line, name.trim(), "a secret in plain text");
            }
        }
    }
}

/// Files of the reference that held credentials.
fn left_behind(paths: &Paths, report: &mut Report) {
    let mut suspects = vec![paths.state_dir.join("credentials").join("oauth.json")];
    for agent in std::fs::read_dir(paths.state_dir.join("agents")).into_iter().flatten().flatten() {
        let dir = agent.path().join("agent");
        suspects.extend(["auth.json", "auth-profiles.json"].map(|name| dir.join(name)));
        let models = dir.join("models.json");
        let tree: Option<Value> = files::read_capped(&models, LEFTOVER).ok().and_then(|b| misfit::read_bytes(&b).ok());
        let providers = tree.as_ref().and_then(|tree| tree["providers"].as_object());
        for (id, provider) in providers.into_iter().flatten() {
            if provider["apiKey"].as_str().is_some_and(|key| !key.is_empty()) {
                let path = format!("providers.{id}.apiKey");
                report.add("PLAINTEXT_FOUND", &models, None, &path, "a secret in plain text");
            }
        }
    }
    for file in suspects.iter().filter(|file| file.is_file()) {
        report.add("LEGACY_RESIDUE", file, None, "", "credentials of the reference product; not used here, remove it");
    }
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

impl Report {
    fn add(&mut self, code: &'static str, file: &Path, line: Option<u32>, path: &str, message: &str) {
        let (file, path, message) = (file.display().to_string(), path.to_owned(), message.to_owned());
        self.findings.push(Finding { code, file, line, path, message });
    }
}
