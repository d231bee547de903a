//! `config get`, `explain`, `validate`, `schema`: looks at the configuration and changes nothing.
//!
//! Invariant: no value under a secret key is printed, whatever the flags.

use serde_json::{Map, Value};

use super::config_args::{ConfigExplain, ConfigGet, ConfigSchema, ConfigValidate};
use super::failure::Failure;
use super::output::{Shell, clean};
use crate::config::json5::{self, Node};
use crate::config::keys::{self, Key, Kind, Segment};
use crate::config::resolve::port::profile_port;
use crate::config::schema;
use crate::config::{Config, LoadError, edit, load, redact};
use crate::sys::paths::Paths;
use crate::wire::tree::json;

/// Variables that take part in a setting: the key, the variable, and how the two stand to each other.
const VARIABLES: [(&str, &str, &str); 4] = [
    ("gateway.port", "OPENCLAW_GATEWAY_PORT", "beats the file"),
    ("gateway.auth.token", "OPENCLAW_GATEWAY_TOKEN", "counts when the file has none"),
    ("gateway.auth.password", "OPENCLAW_GATEWAY_PASSWORD", "counts when the file has none"),
    ("gateway.controlUi.allowedOrigins", "OPENCLAW_GATEWAY_CONTROL_UI_ALLOWED_ORIGINS", "adds to the file"),
];

/// Prints one value of the configuration in force.
pub fn get(shell: &mut Shell, args: &ConfigGet) -> Result<(), Failure> {
    let config = read(shell)?;
    let shown = redact::value(&config.tree);
    let segments = segments(&args.path)?;
    let Some(value) = edit::at(&shown, &segments) else { return Err(not_there(&args.path, &config)) };
    match value {
        value if args.json => shell.json(value),
        Value::String(text) => shell.line(clean(text)),
        Value::Array(_) | Value::Object(_) => shell.json(value),
        plain => shell.line(plain.to_string()),
    }
}

/// Says everything about one key.
pub fn explain(shell: &mut Shell, args: &ConfigExplain) -> Result<(), Failure> {
    let config = read(shell)?;
    let segments = segments(&args.path)?;
    let shown = redact::value(&config.tree);
    let value = edit::at(&shown, &segments);
    let key = keys::find(&args.path).filter(|_| is_ours(&segments));
    if key.is_none() && value.is_none() && schema::lookup(&args.path).is_none() {
        return Err(not_there(&args.path, &config));
    }
    let mut facts = Map::new();
    let mut fact = |name: &str, value: Value| drop(facts.insert(name.to_owned(), value));
    fact("path", args.path.as_str().into());
    match key {
        Some(key) => {
            fact("about", key.doc.into());
            fact("type", kind(key.kind).into());
            let default = default_of(key, &config);
            fact("default", if default.is_empty() { "(none)".into() } else { default.into() });
            fact("change", consequence(schema::word(key.reload)).into());
        }
        None => fact("about", "accepted, without effect in this gateway, or a section".into()),
    }
    fact("value", value.cloned().unwrap_or(Value::Null));
    fact("source", source(&config, &segments, value.is_some()).into());
    for (_, variable, how) in VARIABLES.iter().filter(|(name, ..)| *name == args.path) {
        let set = if config.vars.get(variable).is_some() { "set" } else { "not set" };
        fact("variable", format!("{variable} ({set}; {how})").into());
    }
    if let Some(missing) = config.unresolved.iter().find(|missing| missing.path == args.path) {
        fact("unresolved", missing.reason.as_str().into());
    }
    let facts = Value::Object(facts);
    if args.json {
        return shell.json(&facts);
    }
    let Value::Object(facts) = &facts else { return Ok(()) };
    for (name, value) in facts {
        let text = match value {
            Value::String(text) => clean(text),
            Value::Null => "(not set)".to_owned(),
            other => other.to_string(),
        };
        shell.fact(name, text)?;
    }
    Ok(())
}

/// Checks the file as a start would.
pub fn validate(shell: &mut Shell, args: &ConfigValidate) -> Result<(), Failure> {
    let paths = paths(shell)?;
    let path = paths.config.display().to_string();
    let loaded = load(&paths, &shell.env);
    let (config, lines) = match loaded {
        Ok(config) => (Some(config), Vec::new()),
        Err(LoadError::Invalid { lines, .. }) => (None, lines),
        Err(LoadError::Read { source, .. }) => (None, vec![format!("{path} — <root>: {source}")]),
    };
    if config.as_ref().is_some_and(|config| !config.exists) {
        if !args.json {
            return Err(Failure::refused(format!("Config file not found: {path}")).hint("Run: openclaw setup"));
        }
        shell.json(&json!({"valid": false, "path": path, "error": "file not found"}))?;
        return Err(Failure::told());
    }
    let mut warnings = config.as_ref().map(|config| config.warnings.clone()).unwrap_or_default();
    warnings.extend(config.as_ref().map(Config::program_problems).unwrap_or_default());
    if args.json {
        let issues: Vec<Value> = lines.iter().map(|line| issue(line)).collect();
        let mut report = json!({"valid": issues.is_empty(), "path": path});
        if !issues.is_empty() {
            report["issues"] = issues.into();
        }
        if !warnings.is_empty() {
            report["warnings"] = warnings.into();
        }
        shell.json(&report)?;
        return if lines.is_empty() { Ok(()) } else { Err(Failure::told()) };
    }
    for warning in &warnings {
        shell.note(format!("warning: {}", clean(warning)))?;
    }
    if lines.is_empty() {
        return shell.line(format!("Config valid: {path}"));
    }
    let lines: Vec<String> = lines.iter().map(|line| clean(line)).collect();
    Err(Failure::refused(format!("Invalid config at {path}:\n{}", lines.join("\n"))))
}

/// Prints the JSON Schema.
pub fn schema(shell: &mut Shell, args: &ConfigSchema) -> Result<(), Failure> {
    let _ = args.json;
    shell.json(&schema::whole())
}

/// The places of the instance the shell is about.
pub fn paths(shell: &Shell) -> Result<Paths, Failure> {
    Paths::resolve(&shell.env, &shell.selector).map_err(|bad| Failure::usage(bad.to_string()))
}

/// A path as typed, taken apart.
pub fn segments(path: &str) -> Result<Vec<Segment<'_>>, Failure> {
    let segments = keys::split(path);
    let empty = |segment: &Segment| matches!(segment, Segment::Name(name) if name.trim().is_empty());
    if segments.is_empty() || segments.iter().any(empty) && !path.contains("[\"\"]") {
        return Err(Failure::usage(format!("not a config path: {path:?}")));
    }
    Ok(segments)
}

/// The configuration, or why there is none.
pub fn read(shell: &Shell) -> Result<Config, Failure> {
    load(&paths(shell)?, &shell.env).map_err(|error| Failure::refused(error.to_string()))
}

/// What is in force where the file says nothing; empty: nothing is.
fn default_of(key: &Key, config: &Config) -> String {
    let profile = config.paths.as_ref().and_then(|paths| paths.profile.as_deref());
    match key.path {
        "gateway.port" => profile_port(profile).to_string(),
        _ => key.default.to_owned(),
    }
}

fn not_there(path: &str, config: &Config) -> Failure {
    let known = schema::lookup(path).is_some();
    match keys::find(path).filter(|_| known && is_ours(&keys::split(path))) {
        Some(key) if !key.default.is_empty() => {
            Failure::refused(format!("{path} is not set; the default applies: {}", default_of(key, config)))
        }
        _ if known => Failure::refused(format!("{path} is not set")),
        _ => Failure::refused(format!("unknown config path: {path}")).hint("See: openclaw config schema"),
    }
}

/// Whether a row of ours stands at exactly this path, or above it with everything open below.
fn is_ours(segments: &[Segment<'_>]) -> bool {
    let mut at = keys::ours();
    for segment in segments {
        let below = match segment {
            Segment::Name(name) => at.child(name),
            Segment::Index(_) => at.item(),
        };
        match below {
            Some(names) => at = names,
            None => return at.open,
        }
    }
    at.key.is_some()
}

/// Where a value was written: file and line, an included file, or nowhere.
fn source(config: &Config, segments: &[Segment<'_>], set: bool) -> String {
    let file = config.path.display();
    let main = json5::parse(&config.raw, 0).ok().and_then(|parsed| place(&parsed.root, segments));
    match main {
        Some((line, column)) => format!("{file}:{line}:{column}"),
        None if set && config.files.len() > 1 => {
            let names: Vec<String> = config.files[1..].iter().map(|path| path.display().to_string()).collect();
            format!("included: {}", names.join(", "))
        }
        None => "default".to_owned(),
    }
}

fn place(node: &Node, segments: &[Segment<'_>]) -> Option<(u32, u32)> {
    let found = segments.iter().try_fold(node, |node, segment| match (segment, &node.kind) {
        (Segment::Name(name), _) => node.get(name),
        (Segment::Index(index), json5::Kind::Array(items)) => items.get(*index),
        (Segment::Index(index), _) => node.get(&index.to_string()),
    })?;
    Some((found.at.line, found.at.column))
}

fn consequence(word: &str) -> &'static str {
    match word {
        "hot" => "hot: a running gateway takes it over without a restart",
        "restart" => "restart: the gateway has to start again",
        _ => "none: a running gateway does not use it",
    }
}

/// What a setting accepts, in words.
pub fn kind(kind: Kind) -> String {
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Int(from, to) if to >= 9_007_199_254_740_991 => format!("whole number from {from}"),
        Kind::Int(from, to) => format!("whole number from {from} to {to}"),
        Kind::Number(from) => format!("number from {from}"),
        Kind::Text => "text".to_owned(),
        Kind::Choice(words) => words.join(", "),
        Kind::Texts => "list of texts".to_owned(),
        Kind::Secret => "secret: text, ${NAME} or {source, provider, id}".to_owned(),
        Kind::Reference => "{source, provider, id}".to_owned(),
        Kind::TextOrSection => "text or object".to_owned(),
        Kind::TextOrFalse => "text or false".to_owned(),
        Kind::Any => "anything".to_owned(),
    }
}

/// `openclaw.json:3 — gateway: text` as an object.
fn issue(line: &str) -> Value {
    let (place, rest) = line.split_once(" — ").unwrap_or(("", line));
    let (path, message) = rest.split_once(": ").unwrap_or(("", rest));
    json!({"path": path, "message": message, "at": place})
}
