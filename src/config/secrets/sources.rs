//! Fetches secrets from where they are kept. The errors are sentences for a person and never hold a value.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use serde_json::Value;

use super::Surroundings;
use super::provider::{ExecBlock, FileBlock};
use super::shelf::Shelf;
use crate::sys::abort::Abort;
use crate::sys::child::ask::{Question, ask};
use crate::wire::misfit;
use crate::wire::tree::json;

/// A credential of the service manager (bytes); systemd's own limit.
const CREDENTIAL: u64 = 1 << 20;
/// Longest wait for a file of the service manager.
const CREDENTIAL_TIME: Duration = Duration::from_secs(5);

/// A variable, if the list of its block lets it be read.
pub fn variable(allowed: Option<&[String]>, provider: &str, id: &str, around: &Surroundings) -> Result<String, String> {
    if allowed.is_some_and(|names| !names.iter().any(|name| name == id)) {
        return Err(format!("{id} is not in the allowlist of secrets.providers.{provider}"));
    }
    around.env.get(id).map(str::to_owned).ok_or_else(|| format!("environment variable {id} is not set"))
}

/// An entry of the store.
pub fn stored(shelf: &Result<Shelf, String>, id: &str) -> Result<String, String> {
    let shelf = shelf.as_ref().map_err(Clone::clone)?;
    let entry = shelf.get(id).ok_or_else(|| format!("the secret store has no entry {id}"))?;
    Ok(entry.value.clone())
}

/// `/name` in the service manager's directory.
pub fn credential(id: &str, around: &Surroundings) -> Result<String, String> {
    let dir = around.credentials().ok_or("the service manager handed out no credentials (CREDENTIALS_DIRECTORY)")?;
    let name = id.strip_prefix('/').filter(|name| !name.contains('/') && !matches!(*name, "." | ".."));
    let name = name.ok_or("the id of a systemd credential is / and its name")?;
    let block =
        FileBlock { path: dir.join(name), single: true, time: CREDENTIAL_TIME, cap: CREDENTIAL, handed_out: true };
    Ok(content(&block)?.trim_end_matches(['\r', '\n']).to_owned())
}

/// The whole file without the line break at its end, or what a JSON pointer points at.
pub fn file(block: &FileBlock, id: &str) -> Result<String, String> {
    if block.single != (id == "value") {
        return Err("the id of a file secret is a JSON pointer, or `value` for a single value".to_owned());
    }
    let named = |reason: String| format!("{}: {reason}", block.path.display());
    let text = content(block).map_err(named)?;
    if block.single {
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    // The error of the JSON reader could quote the file.
    let value: Value = misfit::read(&text).map_err(|_| named("not JSON".to_owned()))?;
    let found = value.pointer(id).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| named(format!("no text at {id}")))
}

/// Reads in a thread of its own: a file on a server that is gone must not hold up more than the wait for it.
fn content(block: &FileBlock) -> Result<String, String> {
    let (done, answer) = bounded(1);
    let (path, cap, handed_out) = (block.path.clone(), block.cap, block.handed_out);
    let reader = thread::Builder::new().name("secret file".into());
    // Whoever waited may have given up.
    let started = reader.spawn(move || drop(done.send(read(&path, cap, handed_out))));
    started.map_err(|error| format!("start reading: {error}"))?;
    match answer.recv_timeout(block.time) {
        Ok(read) => read,
        Err(RecvTimeoutError::Timeout) => Err(format!("not read within {} ms", block.time.as_millis())),
        Err(RecvTimeoutError::Disconnected) => Err("reading it failed".to_owned()),
    }
}

fn read(path: &Path, cap: u64, handed_out: bool) -> Result<String, String> {
    let said = |error: std::io::Error| error.to_string();
    let there = std::fs::symlink_metadata(path).map_err(said)?;
    if there.is_symlink() {
        return Err("is a symbolic link; name the file itself".to_owned());
    }
    if !there.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let file = File::open(path).map_err(said)?;
    if !handed_out {
        private(&file.metadata().map_err(said)?)?;
    }
    let mut bytes = Vec::new();
    file.take(cap + 1).read_to_end(&mut bytes).map_err(said)?;
    if bytes.len() as u64 > cap {
        return Err(format!("is larger than {cap} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())
}

/// Whether nobody else could have read or exchanged it.
#[cfg(unix)]
fn private(meta: &Metadata) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;

    if meta.nlink() > 1 {
        return Err("must not be hardlinked: copy it into a new private file".to_owned());
    }
    if !ours(meta.uid()) {
        return Err("belongs to another user".to_owned());
    }
    if meta.mode() & 0o077 != 0 {
        return Err(format!("has mode {:o}: others may read it (chmod 600)", meta.mode() & 0o777));
    }
    Ok(())
}

#[cfg(not(unix))]
fn private(_: &Metadata) -> Result<(), String> {
    Err("who may read it cannot be checked on this system".to_owned())
}

#[cfg(unix)]
fn ours(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// Whether the program of a block may be started at all; nothing is started.
pub fn trusted(block: &ExecBlock) -> Result<(), String> {
    let command = &block.command;
    let named = |reason: &str| Err(format!("{}: {reason}", command.display()));
    if !block.trusted.is_empty() && !block.trusted.iter().any(|dir| command.starts_with(dir)) {
        return named("is outside trustedDirs");
    }
    let Ok(meta) = std::fs::symlink_metadata(command) else { return named("there is no such program") };
    if meta.is_symlink() {
        return named("is a symbolic link; name the program itself (realpath)");
    }
    if !meta.is_file() {
        return named("is not a regular file");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        if meta.mode() & 0o022 != 0 {
            return named("others may change it (chmod go-w)");
        }
        if !ours(meta.uid()) {
            return named("belongs to another user");
        }
        Ok(())
    }
    #[cfg(not(unix))]
    named("who may change it cannot be checked on this system")
}

/// Asks a program for several secrets at once; one result for each id, in their order.
pub fn exec(block: &ExecBlock, ids: &[String]) -> Vec<Result<String, String>> {
    let all = |reason: String| ids.iter().map(|_| Err(reason.clone())).collect();
    if let Err(reason) = trusted(block) {
        return all(reason);
    }
    let request = json!({"protocolVersion": 1, "provider": block.name, "ids": ids});
    let question = Question {
        program: block.command.clone(),
        args: block.args.clone(),
        env: block.env.clone(),
        input: format!("{request}\n").into_bytes(),
        time_limit: block.time,
        quiet_limit: block.quiet,
        cap: usize::try_from(block.cap).unwrap_or(usize::MAX),
    };
    let said = match ask(question, &Abort::new()) {
        Ok(said) => said,
        Err(error) => return all(format!("secrets.providers.{} {error}", block.name)),
    };
    let Ok(said) = String::from_utf8(said) else {
        return all(format!("secrets.providers.{} said something that is not UTF-8", block.name));
    };
    let answer: Option<Value> = misfit::read(&said).ok();
    let answer = answer.filter(|answer| answer.get("values").is_some() || answer.get("errors").is_some());
    match (answer, ids) {
        (Some(answer), _) => ids.iter().map(|id| pick(&answer, id, &block.name)).collect(),
        (None, [_]) if !block.json_only => vec![Ok(said.trim_end_matches(['\r', '\n']).to_owned())],
        (None, _) => all(format!("secrets.providers.{} did not answer in its protocol (JSON)", block.name)),
    }
}

fn pick(answer: &Value, id: &str, provider: &str) -> Result<String, String> {
    if answer.get("protocolVersion").is_some_and(|version| version != 1) {
        return Err(format!("secrets.providers.{provider} speaks another version of the protocol"));
    }
    if let Some(text) = answer["values"].get(id).and_then(Value::as_str) {
        return Ok(text.to_owned());
    }
    // Only words we know: what a resolver says may hold the secret.
    let code = answer["errors"][id]["code"].as_str();
    let known = code.filter(|code| matches!(*code, "NOT_FOUND" | "AMBIGUOUS_DUPLICATE_KEY"));
    Err(format!("secrets.providers.{provider} has no {id} ({})", known.unwrap_or("no value")))
}

impl Surroundings<'_> {
    /// The directory of credentials the service manager handed out.
    pub fn credentials(&self) -> Option<PathBuf> {
        self.env.get("CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|dir| dir.is_absolute())
    }
}
