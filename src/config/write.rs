//! Puts a changed configuration on disk, or leaves the old one exactly as it was.
//!
//! The order of a write: the candidate is checked as the gateway would check it; the directory is held so that two
//! writers of ours take turns; the file must still be the one the change was made for; the new content is made durable
//! beside it; the old content goes into a ring of backups; one rename puts the new content in its place.
//!
//! Deliberately absent: making the change (see [`edit`](super::edit)) and merging with somebody else's.
//!
//! Invariants: whenever the process dies, the file is the old one or the new one; what would not load is never written;
//! a stand-in for a secret is never written where it was not before; `${NAME}` is written as it was read.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::load::{self, LoadError};
use super::redact::{self, SENTINEL, is_sentinel};
use super::{Config, json5, keys};
use crate::sys::order;
use crate::sys::paths::Paths;
use crate::sys::random::to_hex;
use crate::sys::{Env, clock, files};

/// `openclaw.json.bak`, `.bak.1` ... `.bak.4`.
pub const BACKUPS: usize = 5;
/// Refused contents kept for a look, newest last.
const REJECTED: usize = 4;
/// Below this a file may shrink as it likes (bytes).
const SMALL: usize = 512;

/// What to do with a change that looks like an accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clobber {
    /// `gateway.mode` gone, or less than half of the file left: refuse.
    Refuse,
    /// The operator asked for it.
    Allow,
}

/// Why nothing was written.
#[derive(Debug)]
pub enum WriteError {
    /// `OPENCLAW_CONFIG_READONLY` or `OPENCLAW_NIX_MODE` says so.
    ReadOnly(&'static str),
    /// Somebody else changed the file meanwhile.
    Changed,
    /// The candidate would not load.
    Invalid {
        error: LoadError,
        rejected: Option<PathBuf>,
    },
    /// It looks like an accident.
    Clobber {
        path: PathBuf,
        reasons: String,
        rejected: Option<PathBuf>,
    },
    /// A stand-in would be written in place of a secret.
    Placeholder {
        key: String,
    },
    Io {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// What a write came to.
#[derive(Debug)]
pub struct Written {
    /// What the file means now.
    pub config: Config,
    /// Whether a byte is different.
    pub changed: bool,
}

/// The hash a change must be based on.
pub fn hash(bytes: &[u8]) -> String {
    to_hex(digest(&SHA256, bytes).as_ref())
}

/// Whether the host forbids writes, and by which variable. Only the process's own environment counts.
pub fn forbidden(env: &Env) -> Option<&'static str> {
    ["OPENCLAW_CONFIG_READONLY", "OPENCLAW_NIX_MODE"].into_iter().find(|name| env.get(name) == Some("1"))
}

/// Replaces the configuration file by `text`, if it is still the one with hash `base`.
pub fn write(paths: &Paths, env: &Env, base: &str, text: &str, clobber: Clobber) -> Result<Written, WriteError> {
    replace(paths, env, base, text, clobber, Keep::Old)
}

/// The same without a backup: what is replaced holds secrets that are to be gone.
pub fn write_for_good(
    paths: &Paths,
    env: &Env,
    base: &str,
    text: &str,
    clobber: Clobber,
) -> Result<Written, WriteError> {
    replace(paths, env, base, text, clobber, Keep::Nothing)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Old,
    Nothing,
}

fn replace(
    paths: &Paths,
    env: &Env,
    base: &str,
    text: &str,
    clobber: Clobber,
    keeping: Keep,
) -> Result<Written, WriteError> {
    if let Some(name) = forbidden(env) {
        return Err(WriteError::ReadOnly(name));
    }
    let target = target(&paths.config);
    let parsed = load::parse(text, paths, env);
    let mut config = match parsed {
        Ok(config) => config,
        Err(error) => return Err(WriteError::Invalid { error, rejected: reject(&target, text) }),
    };
    config.exists = true;
    config.hash = hash(text.as_bytes());
    config.raw = text.into();

    let dir = target.parent().unwrap_or(Path::new("."));
    files::private_dir_if_missing(dir).map_err(|source| io_error("make", dir, source))?;
    let _turn = files::turn(dir).map_err(|source| io_error("take a turn in", dir, source))?;
    let old = current(&target)?;
    if hash(old.as_deref().unwrap_or_default()) != base {
        return Err(WriteError::Changed);
    }
    if old.as_deref() == Some(text.as_bytes()) {
        return Ok(Written { config, changed: false });
    }
    let old_text = old.as_deref().map(String::from_utf8_lossy);
    if let Some(key) = placeholder(text, old_text.as_deref().unwrap_or_default()) {
        return Err(WriteError::Placeholder { key });
    }
    if clobber == Clobber::Refuse
        && let Some(old) = old_text.as_deref()
    {
        let reasons = suspicions(old, text, &config, paths, env);
        if !reasons.is_empty() {
            let rejected = reject(&target, text);
            return Err(WriteError::Clobber { path: target, reasons: reasons.join(", "), rejected });
        }
    }
    let staged = files::stage(&target, text.as_bytes()).map_err(|source| io_error("write", &target, source))?;
    if let Some(old) = old.filter(|_| keeping == Keep::Old) {
        keep(&target, &old).map_err(|source| io_error("back up", &target, source))?;
    }
    staged.publish().map_err(|source| io_error("replace", &target, source))?;
    Ok(Written { config, changed: true })
}

/// The backups there are, newest first.
pub fn backups(path: &Path) -> Vec<PathBuf> {
    let target = target(path);
    (0..BACKUPS).map(|number| backup(&target, number)).filter(|path| path.is_file()).collect()
}

/// Puts the secrets of `old` where `text` has their stand-ins. The error is a key that has a stand-in and no secret.
pub fn with_secrets_of(text: &str, old: &str) -> Result<String, String> {
    let (Ok(new), Ok(known)) = (json5::parse(text, 0), json5::parse(old, 0)) else { return Ok(text.to_owned()) };
    let mut places = Vec::new();
    find_sentinels(&new.root, Some(&known.root), "", &mut places)?;
    order::sort(&mut places);
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for ((start, end), (old_start, old_end)) in places {
        out.push_str(&text[from..start]);
        out.push_str(&old[old_start..old_end]);
        from = end;
    }
    out.push_str(&text[from..]);
    Ok(out)
}

type Span = (usize, usize);

fn find_sentinels(
    new: &json5::Node,
    old: Option<&json5::Node>,
    path: &str,
    out: &mut Vec<(Span, Span)>,
) -> Result<(), String> {
    match &new.kind {
        json5::Kind::String(text) if text == SENTINEL => {
            let old = old.filter(|old| old.to_value() != SENTINEL).ok_or_else(|| path.to_owned())?;
            out.push((new.span, old.span));
        }
        json5::Kind::Object(entries) => {
            for entry in entries {
                let below = old.and_then(|old| old.get(&entry.key));
                find_sentinels(&entry.value, below, &keys::join(path, &entry.key), out)?;
            }
        }
        json5::Kind::Array(items) => {
            let known = match old.map(|old| &old.kind) {
                Some(json5::Kind::Array(known)) => known.as_slice(),
                _ => &[],
            };
            for (index, item) in items.iter().enumerate() {
                // An item that says who it is keeps its secrets wherever it moves.
                let id = item.get("id").and_then(json5::Node::as_str);
                let same =
                    id.map(|id| known.iter().find(|old| old.get("id").and_then(json5::Node::as_str) == Some(id)));
                find_sentinels(item, same.unwrap_or_else(|| known.get(index)), &format!("{path}[{index}]"), out)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// A link is written through: the operator put it there.
fn target(path: &Path) -> PathBuf {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
        _ => path.to_owned(),
    }
}

fn current(path: &Path) -> Result<Option<Vec<u8>>, WriteError> {
    match files::read_capped(path, json5::MAX_BYTES as u64) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io_error("read", path, source)),
    }
}

/// The first key with a stand-in that was not there before.
fn placeholder(text: &str, old: &str) -> Option<String> {
    let tree = json5::parse(text, 0).ok()?.root.to_value();
    let old = json5::parse(old, 0).map(|parsed| parsed.root.to_value()).unwrap_or_default();
    find_placeholder(&tree, &redact::value(&tree), &old, "")
}

fn find_placeholder(tree: &Value, shown: &Value, old: &Value, path: &str) -> Option<String> {
    match (tree, shown) {
        (Value::String(text), _) => {
            let hidden = shown != tree || text.contains(SENTINEL);
            (hidden && is_sentinel(text) && old != tree).then(|| path.to_owned())
        }
        (Value::Object(map), Value::Object(shown)) => map.iter().find_map(|(key, value)| {
            let below = old.get(key).unwrap_or(&Value::Null);
            find_placeholder(value, shown.get(key).unwrap_or(value), below, &keys::join(path, key))
        }),
        (Value::Array(items), Value::Array(shown)) => {
            items.iter().zip(shown).enumerate().find_map(|(index, (item, s))| {
                let below = old.get(index).unwrap_or(&Value::Null);
                find_placeholder(item, s, below, &format!("{path}[{index}]"))
            })
        }
        _ => None,
    }
}

/// Why a change looks like an accident.
fn suspicions(old: &str, new: &str, config: &Config, paths: &Paths, env: &Env) -> Vec<String> {
    let mut reasons = Vec::new();
    if old.len() >= SMALL && new.len() * 2 < old.len() {
        reasons.push(format!("size-drop:{}->{}", old.len(), new.len()));
    }
    let had_mode = load::parse(old, paths, env).is_ok_and(|old| old.gateway.mode.is_some());
    if had_mode && config.gateway.mode.is_none() {
        reasons.push("gateway-mode-removed".to_owned());
    }
    reasons
}

fn backup(target: &Path, number: usize) -> PathBuf {
    let suffix = if number == 0 { ".bak".to_owned() } else { format!(".bak.{number}") };
    beside(target, &suffix)
}

fn beside(target: &Path, suffix: &str) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    target.with_file_name(name)
}

/// Turns the ring and puts the old content first.
fn keep(target: &Path, old: &[u8]) -> io::Result<()> {
    let first = files::stage(&backup(target, 0), old)?;
    for number in (1..BACKUPS).rev() {
        match fs::rename(backup(target, number - 1), backup(target, number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    first.publish()
}

/// Keeps refused content for a look. Losing it is no reason to fail in another way.
fn reject(target: &Path, text: &str) -> Option<PathBuf> {
    let path = beside(target, &format!(".rejected.{}", clock::now_ms()));
    files::write_atomic(&path, text.as_bytes()).ok()?;
    let prefix = beside(target, ".rejected.").file_name()?.to_string_lossy().into_owned();
    let mut all: Vec<PathBuf> = fs::read_dir(target.parent()?)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)))
        .collect();
    order::sort(&mut all);
    for old in all.iter().rev().skip(REJECTED) {
        let _ = fs::remove_file(old);
    }
    Some(path)
}

fn io_error(doing: &'static str, path: &Path, source: io::Error) -> WriteError {
    WriteError::Io { doing, path: path.to_owned(), source }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = |f: &mut fmt::Formatter<'_>, rejected: &Option<PathBuf>| match rejected {
            Some(path) => write!(f, "\nThe refused content is in {}.", path.display()),
            None => Ok(()),
        };
        match self {
            WriteError::ReadOnly(name) => {
                write!(f, "the configuration is managed elsewhere ({name}=1): change it there, nothing was written")
            }
            WriteError::Changed => f.write_str("config changed since last load; nothing was written"),
            WriteError::Invalid { error: LoadError::Invalid { lines, .. }, rejected } => {
                write!(
                    f,
                    "the change would make the configuration invalid; nothing was written\n{}",
                    lines.join("\n")
                )?;
                kept(f, rejected)
            }
            WriteError::Invalid { error, .. } => write!(f, "{error}"),
            WriteError::Clobber { path, reasons, rejected } => {
                write!(f, "Config write rejected: {} ({reasons})", path.display())?;
                kept(f, rejected)
            }
            WriteError::Placeholder { key } => {
                write!(f, "{key}: a redacted stand-in is not a secret; nothing was written")
            }
            WriteError::Io { doing, path, .. } => write!(f, "{doing} {}", path.display()),
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WriteError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::paths::Selector;

    fn scene(text: &str) -> (Paths, Env) {
        let dir = crate::sys::scratch::dir("config-write");
        let env = Env::from_iter([("OPENCLAW_STATE_DIR", dir.to_str().unwrap()), ("HOME", dir.to_str().unwrap())]);
        let paths = Paths::resolve(&env, &Selector::default()).unwrap();
        fs::write(&paths.config, text).unwrap();
        (paths, env)
    }

    const OLD: &str = "{ gateway: { mode: 'local', auth: { token: 'a-token-of-good-length-1' } } } // mine\n";

    fn names(paths: &Paths) -> Vec<String> {
        let all = fs::read_dir(&paths.state_dir).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = all.map(|name| name.into_string().unwrap()).collect();
        order::sort(&mut names);
        names
    }

    #[test]
    fn a_write_replaces_the_file_and_keeps_five_old_ones() {
        let (paths, env) = scene(OLD);
        let mut text = OLD.to_owned();
        for port in 1..8 {
            let next = OLD.replace("local'", &format!("local', port: {port}"));
            let written = write(&paths, &env, &hash(text.as_bytes()), &next, Clobber::Refuse).unwrap();
            assert!(written.changed && written.config.gateway.port == Some(port));
            text = next;
        }
        assert_eq!(fs::read_to_string(&paths.config).unwrap(), text);
        assert_eq!(backups(&paths.config).len(), BACKUPS);
        assert!(fs::read_to_string(&backups(&paths.config)[0]).unwrap().contains("port: 6"));
        assert!(fs::read_to_string(&backups(&paths.config)[4]).unwrap().contains("port: 2"));
        assert_eq!(names(&paths).len(), 6, "nothing else is left: {:?}", names(&paths));
        let same = write(&paths, &env, &hash(text.as_bytes()), &text, Clobber::Refuse).unwrap();
        assert!(!same.changed);
    }

    #[cfg(unix)]
    #[test]
    fn files_are_private_and_a_link_stays_a_link() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let (paths, env) = scene(OLD);
        let real = paths.state_dir.join("real.json");
        fs::rename(&paths.config, &real).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
        symlink(&real, &paths.config).unwrap();
        write(&paths, &env, &hash(OLD.as_bytes()), &OLD.replace("mine", "yours"), Clobber::Refuse).unwrap();
        assert!(fs::symlink_metadata(&paths.config).unwrap().is_symlink());
        assert!(fs::read_to_string(&real).unwrap().contains("yours"));
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(backups(&paths.config)[0].clone()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_change_made_for_another_content_is_refused() {
        let (paths, env) = scene(OLD);
        let refused = write(&paths, &env, &hash(b"something else"), "{}", Clobber::Allow).unwrap_err();
        assert!(matches!(refused, WriteError::Changed));
        assert_eq!((fs::read_to_string(&paths.config).unwrap().as_str(), names(&paths).len()), (OLD, 1));
    }

    #[test]
    fn what_would_not_load_or_looks_like_an_accident_is_kept_beside() {
        let (paths, env) = scene(OLD);
        let base = hash(OLD.as_bytes());
        let refused = write(&paths, &env, &base, "{gateway: {prot: 1}}", Clobber::Allow).unwrap_err().to_string();
        assert!(refused.contains("Unrecognized key: \"prot\"") && refused.contains(".rejected."), "{refused}");
        let refused = write(&paths, &env, &base, "{gateway: {port: 1}}", Clobber::Refuse).unwrap_err().to_string();
        assert!(
            refused.starts_with("Config write rejected: ") && refused.contains("(gateway-mode-removed)"),
            "{refused}"
        );
        assert_eq!(fs::read_to_string(&paths.config).unwrap(), OLD);
        assert!(write(&paths, &env, &base, "{gateway: {port: 1}}", Clobber::Allow).is_ok());
        let long = format!("{{ gateway: {{ mode: 'local' }} }} // {}", "x".repeat(SMALL));
        fs::write(&paths.config, &long).unwrap();
        let refused = write(&paths, &env, &hash(long.as_bytes()), "{gateway: {mode: 'local'}}", Clobber::Refuse);
        assert!(refused.unwrap_err().to_string().contains("size-drop:"));
    }

    #[test]
    fn a_stand_in_is_never_written_in_place_of_a_secret() {
        let (paths, env) = scene(OLD);
        for bad in [SENTINEL, "***", "[redacted]"] {
            let text = OLD.replace("a-token-of-good-length-1", bad);
            let refused = write(&paths, &env, &hash(OLD.as_bytes()), &text, Clobber::Refuse).unwrap_err();
            assert!(matches!(&refused, WriteError::Placeholder { key } if key == "gateway.auth.token"), "{refused}");
        }
        assert_eq!(fs::read_to_string(&paths.config).unwrap(), OLD);
    }

    #[test]
    fn secrets_come_back_where_their_stand_ins_were() {
        let old = "{a: {token: 'one', list: [{id: 'x', apiKey: '${K}'}, {id: 'y', apiKey: 2}]}}";
        let sent = format!("{{a: {{token: {SENTINEL:?}, list: [{{id: 'y', apiKey: {SENTINEL:?}}}]}}}}");
        assert_eq!(with_secrets_of(&sent, old).unwrap(), "{a: {token: 'one', list: [{id: 'y', apiKey: 2}]}}");
        assert_eq!(with_secrets_of(&format!("{{b: {SENTINEL:?}}}"), old), Err("b".to_owned()));
    }

    #[test]
    fn a_host_that_manages_the_file_is_obeyed() {
        let (paths, env) = scene(OLD);
        let env = env.with("OPENCLAW_CONFIG_READONLY", "1");
        let refused = write(&paths, &env, &hash(OLD.as_bytes()), "{}", Clobber::Allow).unwrap_err();
        assert!(matches!(refused, WriteError::ReadOnly("OPENCLAW_CONFIG_READONLY")));
    }
}
