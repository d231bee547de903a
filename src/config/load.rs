//! From a file to a [`Config`].
//!
//! Read, parse, include, substitute, check, decode: each step adds to one list of problems, and all of them are told at
//! once. The environment comes in as a value; the only files read are the configuration, what it includes, secret files
//! it names, and the `.env` of the state directory.
//!
//! Invariants: nothing is ever written; a missing file is an empty configuration; a file that cannot be read or is wrong
//! in any way yields no configuration at all (never half of one).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::check::{self, Problem};
use super::json5::{self, Entry, Kind, Node, Place};
use super::secrets::{How, Surroundings};
use super::{Config, Unresolved, auth, include, secrets};
use crate::sys::Env;
use crate::sys::files;
use crate::sys::order;
use crate::sys::paths::{self, Paths};
use crate::sys::random::to_hex;
use crate::wire::misfit;

/// The variables file holds a few keys.
const MAX_DOT_ENV: u64 = 1 << 20;

/// Why there is no configuration. `Display` is what the user sees.
#[derive(Debug)]
pub enum LoadError {
    /// The file is there and cannot be read.
    Read { path: PathBuf, source: io::Error },
    /// Its content is wrong. One line per problem: `openclaw.json:3 — gateway: Unrecognized key: "prot"`.
    Invalid { path: PathBuf, lines: Vec<String> },
}

/// Loads the configuration of an instance; no program is started for a secret.
pub fn load(paths: &Paths, env: &Env) -> Result<Config, LoadError> {
    load_with(paths, env, How::QUICK)
}

/// Loads it with all the secrets `how` allows.
pub fn load_with(paths: &Paths, env: &Env, how: How) -> Result<Config, LoadError> {
    let path = &paths.config;
    let bytes = match files::read_capped(path, json5::MAX_BYTES as u64) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(LoadError::Read { path: path.clone(), source }),
    };
    let exists = bytes.is_some();
    let bytes = bytes.unwrap_or_default();
    let hash = to_hex(digest(&SHA256, &bytes).as_ref());
    let Ok(text) = String::from_utf8(bytes) else {
        return Err(invalid(path, "JSON5 parse failed: the file is not UTF-8".to_owned()));
    };
    let source = if exists { text.as_str() } else { "{}" };
    let mut config = parse_with(source, paths, env, how)?;
    config.exists = exists;
    config.hash = hash;
    config.raw = text.into();
    Ok(config)
}

/// Works out what a text would mean in the place of the configuration file; for checking an edit before it is written.
pub fn parse(text: &str, paths: &Paths, env: &Env) -> Result<Config, LoadError> {
    parse_with(text, paths, env, How::QUICK)
}

fn parse_with(text: &str, paths: &Paths, env: &Env, how: How) -> Result<Config, LoadError> {
    let path = &paths.config;
    let parsed = json5::parse(text, 0).map_err(|error| {
        invalid_at(
            path,
            error.at,
            format!("JSON5 parse failed: {} at {}:{}", error.message, error.at.line, error.at.column),
        )
    })?;
    let mut root = parsed.root;
    let included = include::expand(&mut root, path, include_roots(paths, env));
    let mut warnings: Vec<(Place, String)> = parsed
        .duplicates
        .into_iter()
        .chain(included.duplicates)
        .map(|(key, at)| (at, format!("key {key:?} is written twice; the later one counts")))
        .collect();

    let vars = env.with_missing(dot_env(&paths.dot_env()));
    let vars = vars.with_missing(own_variables(&root, &vars));
    let expand = |path: &str| paths.expand(path);
    let around = Surroundings { env: &vars, expand: &expand, state_dir: &paths.state_dir };
    let resolved = secrets::resolve(&mut root, &around, how);
    let findings = check::check(&root);
    warnings.extend(resolved.warnings);

    let mut problems = included.problems;
    problems.extend(findings.problems);
    problems.extend(resolved.problems);
    let tree = root.to_value();
    let decoded = misfit::convert::<Config>(&tree);
    let mut config = match decoded {
        Ok(config) if problems.is_empty() => {
            problems.extend(auth::contradictions(&config, &resolved.unresolved, root.at));
            if !problems.is_empty() {
                return Err(all_invalid(path, &included.files, problems));
            }
            config
        }
        Err(error) if problems.is_empty() => {
            let message = format!("Invalid input: {}", error.reason);
            problems.push(Problem { at: root.at, path: error.indexed(), message });
            return Err(all_invalid(path, &included.files, problems));
        }
        _ => return Err(all_invalid(path, &included.files, problems)),
    };

    order::by_key(&mut warnings, |(at, _)| *at);
    config.warnings = warnings.into_iter().map(|(at, text)| located(&included.files, at, &text)).collect();
    let said = |what: &'static str| move |entry: &Unresolved| format!("{}: {what}: {}", entry.path, entry.reason);
    config.warnings.extend(resolved.unresolved.iter().filter(|entry| !entry.skipped).map(said("unresolved secret")));
    config.warnings.extend(resolved.stale.iter().map(said("secret is stale, the value from before stays")));
    if !findings.ignored.is_empty() {
        let names = findings.ignored.join(", ");
        config.warnings.push(format!("config keys without effect in this gateway: {names}"));
    }
    config.ignored = findings.ignored;
    config.unresolved = resolved.unresolved;
    config.stale = resolved.stale;
    config.held = Arc::new(resolved.held);
    config.files = included.files;
    config.path.clone_from(path);
    config.tree = Arc::new(tree);
    config.vars = vars;
    config.paths = Some(Arc::new(paths.clone()));
    Ok(config)
}

/// Directories besides the configuration's own from which files may be included.
fn include_roots(paths: &Paths, env: &Env) -> Vec<PathBuf> {
    let listed = env.get("OPENCLAW_INCLUDE_ROOTS").unwrap_or_default();
    let listed = std::env::split_paths(listed).filter_map(|path| path.to_str().map(str::to_owned));
    let absolute = listed.filter(|path| path.starts_with('~') || Path::new(path).is_absolute());
    absolute.map(|path| paths::expand(&path, &paths.home)).collect()
}

/// `NAME=value` lines; `export`, comments and quotes as shells write them. A missing or unreadable file is an empty one.
fn dot_env(path: &Path) -> Vec<(String, String)> {
    let bytes = files::read_capped(path, MAX_DOT_ENV).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.lines().filter_map(dot_env_line).collect()
}

fn dot_env_line(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let value = value.trim();
    let value = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let inner = value[1..].split(quote).next().unwrap_or_default();
            if quote == '"' { inner.replace("\\n", "\n") } else { inner.to_owned() }
        }
        _ => value.split(" #").next().unwrap_or_default().trim_end().to_owned(),
    };
    Some((name.to_owned(), value))
}

/// `env.vars` of the file itself.
fn own_variables(root: &Node, vars: &Env) -> Vec<(String, String)> {
    let Some(Node { kind: Kind::Object(entries), .. }) = root.get("env").and_then(|env| env.get("vars")) else {
        return Vec::new();
    };
    let text = |Entry { key, value, .. }: &Entry| {
        let value = value.as_str()?;
        let value = secrets::substituted(value, vars).ok()?.unwrap_or_else(|| value.to_owned());
        Some((key.clone(), value))
    };
    entries.iter().filter_map(text).collect()
}

/// `openclaw.json:3 — text`.
fn located(files: &[PathBuf], at: Place, text: &str) -> String {
    let file = files.get(usize::from(at.file)).and_then(|file| file.file_name());
    let file = file.map_or_else(|| "openclaw.json".into(), |name| name.to_string_lossy());
    format!("{file}:{} — {text}", at.line)
}

fn all_invalid(path: &Path, files: &[PathBuf], mut problems: Vec<Problem>) -> LoadError {
    order::by_key(&mut problems, |problem| problem.at);
    let line = |problem: &Problem| {
        let path = if problem.path.is_empty() { "<root>" } else { &problem.path };
        located(files, problem.at, &format!("{path}: {}", problem.message))
    };
    LoadError::Invalid { path: path.to_path_buf(), lines: problems.iter().map(line).collect() }
}

fn invalid_at(path: &Path, at: Place, message: String) -> LoadError {
    let problem = Problem { at, path: String::new(), message };
    all_invalid(path, &[path.to_path_buf()], vec![problem])
}

fn invalid(path: &Path, message: String) -> LoadError {
    invalid_at(path, Place { file: 0, line: 1, column: 1 }, message)
}

impl Config {
    /// A configuration from a value, for tests of other modules: no file, no environment, no checks beyond the types.
    pub fn from_value(value: Value) -> Result<Config, String> {
        let mut config: Config = misfit::convert(&value).map_err(|misfit| misfit.sentence())?;
        config.exists = true;
        config.tree = Arc::new(value);
        Ok(config)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Read { path, .. } => write!(f, "read config {}", path.display()),
            LoadError::Invalid { path, lines } => {
                writeln!(f, "Invalid config at {}:", path.display())?;
                for line in lines {
                    writeln!(f, "{line}")?;
                }
                f.write_str("Run \"openclaw doctor --fix\" to repair, then retry.")
            }
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LoadError::Read { source, .. } => Some(source),
            LoadError::Invalid { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
