//! `agents.files.*` and `agents.workspace.*`: what lies in an agent's home.
//!
//! Invariants: nothing outside the home is read or written, also not through a link; every answer has a cap.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::auth::Caller;
use crate::config::agents::normal_id;
use crate::hub::TaskContext;
use crate::sys::files;
use crate::sys::order;
use crate::wire::agent_change::*;
use crate::wire::error::RpcError;
use crate::wire::frame::cut;

/// The files that go into prompts, in the order clients show them; the last may well be missing.
const FILES: [&str; 5] = ["AGENTS.md", "SOUL.md", "USER.md", "BOOTSTRAP.md", "MEMORY.md"];
/// Read and written by name, though not listed.
const MORE_FILES: [&str; 2] = ["IDENTITY.md", "TOOLS.md"];
/// Bytes of a file that goes into prompts.
const FILE_BYTES: u64 = 1 << 20;
/// Bytes of any file of a workspace in one answer.
const VIEW_BYTES: u64 = 4 << 20;
/// Entries of a directory in one answer when the caller names no number, at most, and looked at in all.
const PAGE: u64 = 200;
const PAGE_MAX: u64 = 1_000;
const LOOKED_AT: usize = 20_000;

/// An agent's id and home.
fn home(context: &TaskContext, agent_id: &str) -> Result<(String, PathBuf), RpcError> {
    let (config, id) = (context.desk.shared.config.get(), normal_id(agent_id));
    if !config.agent_ids().contains(&id.as_str()) {
        return Err(RpcError::invalid(format!("agent \"{}\" not found", cut(agent_id, 64))));
    }
    let home = config.agent_workspace(&id);
    Ok((id, home))
}

pub fn list(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: AgentsFilesListParams,
) -> Result<AgentsFilesListResult, RpcError> {
    let (agent_id, home) = home(context, &params.agent_id)?;
    let files = FILES.iter().map(|name| entry(&home, name, None)).collect();
    Ok(AgentsFilesListResult { agent_id, workspace: home.display().to_string(), files })
}

fn entry(home: &Path, name: &str, content: Option<String>) -> AgentsFileEntry {
    let path = home.join(name);
    let there = fs::metadata(&path).ok().filter(Metadata::is_file);
    AgentsFileEntry {
        name: name.into(),
        path: path.display().to_string(),
        missing: there.is_none(),
        expected_absent: (there.is_none() && name == "MEMORY.md").then_some(true),
        size: there.as_ref().map(Metadata::len),
        updated_at_ms: there.as_ref().map(changed),
        content,
    }
}

fn changed(meta: &Metadata) -> u64 {
    let since = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

fn supported(name: &str) -> Result<(), RpcError> {
    match FILES.contains(&name) || MORE_FILES.contains(&name) {
        true => Ok(()),
        false => Err(RpcError::invalid(format!("unsupported file \"{}\"", cut(name, 128)))),
    }
}

pub fn get(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: AgentsFilesGetParams,
) -> Result<AgentsFilesGetResult, RpcError> {
    let (agent_id, home) = home(context, &params.agent_id)?;
    supported(&params.name)?;
    let content = match inside(&home, &params.name) {
        Ok(path) => Some(String::from_utf8_lossy(&read(&path, FILE_BYTES)?).into_owned()),
        Err(Outside::Missing) => None,
        Err(other) => return Err(other.into()),
    };
    let workspace = home.display().to_string();
    Ok(AgentsFilesGetResult { ok: None, agent_id, workspace, file: entry(&home, &params.name, content) })
}

pub fn set(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: AgentsFilesSetParams,
) -> Result<AgentsFilesGetResult, RpcError> {
    let (agent_id, home) = home(context, &params.agent_id)?;
    supported(&params.name)?;
    if params.content.len() as u64 > FILE_BYTES {
        return Err(RpcError::invalid(format!("a file has at most {FILE_BYTES} bytes")));
    }
    let failed = |error: io::Error| RpcError::unavailable(format!("write {}: {error}", params.name.0));
    fs::create_dir_all(&home).map_err(failed)?;
    let path = match inside(&home, &params.name) {
        Ok(path) => path,
        // A link that leads nowhere is not followed either.
        Err(Outside::Missing) if fs::symlink_metadata(home.join(&params.name.0)).is_err() => home.join(&params.name.0),
        Err(Outside::Missing) => return Err(Outside::Elsewhere.into()),
        Err(other) => return Err(other.into()),
    };
    files::write_atomic(&path, params.content.as_bytes()).map_err(failed)?;
    let workspace = home.display().to_string();
    let file = entry(&home, &params.name, Some(params.content));
    Ok(AgentsFilesGetResult { ok: Some(true), agent_id, workspace, file })
}

pub fn workspace_list(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: AgentsWorkspaceListParams,
) -> Result<AgentsWorkspaceListResult, RpcError> {
    let (agent_id, home) = home(context, &params.agent_id)?;
    let path = relative(params.path.as_deref().unwrap_or(""))?;
    let directory = inside(&home, &path)?;
    let read = fs::read_dir(&directory).map_err(|error| unreadable(&path, &error))?;
    let mut names: Vec<(String, Metadata)> = read
        .filter_map(Result::ok)
        .take(LOOKED_AT)
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.metadata().ok()?)))
        .filter(|(_, meta)| meta.is_dir() || meta.is_file())
        .collect();
    order::by(&mut names, |a, b| a.0.cmp(&b.0));
    let (total, offset) = (names.len() as u64, params.offset.map_or(0, |offset| offset.0));
    let limit = params.limit.map_or(PAGE, |limit| limit.0.min(PAGE_MAX));
    let entries = names
        .into_iter()
        .skip(usize::try_from(offset).unwrap_or(usize::MAX))
        .take(limit as usize)
        .map(|(name, meta)| AgentsWorkspaceEntry {
            path: if path.is_empty() { name.clone() } else { format!("{path}/{name}") },
            kind: if meta.is_dir() { "directory" } else { "file" },
            size: meta.is_file().then_some(meta.len()),
            updated_at_ms: Some(changed(&meta)),
            name,
        })
        .collect();
    let parent_path =
        (!path.is_empty()).then(|| path.rsplit_once('/').map_or(String::new(), |(parent, _)| parent.to_string()));
    Ok(AgentsWorkspaceListResult { agent_id, path, parent_path, entries, total_entries: total, offset })
}

pub fn workspace_get(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: AgentsWorkspaceGetParams,
) -> Result<AgentsWorkspaceGetResult, RpcError> {
    let (agent_id, home) = home(context, &params.agent_id)?;
    let path = relative(&params.path)?;
    let file = inside(&home, &path)?;
    let meta = fs::metadata(&file).map_err(|error| unreadable(&path, &error))?;
    if !meta.is_file() {
        return Err(RpcError::invalid(format!("\"{}\" is not a file", cut(&path, 256))));
    }
    let bytes = read(&file, VIEW_BYTES)?;
    let name = path.rsplit('/').next().unwrap_or(&path).to_string();
    let (encoding, content, mime_type) = match String::from_utf8(bytes) {
        Ok(text) => ("utf8", text, mime(&name, "text/plain")),
        Err(other) => ("base64", STANDARD.encode(other.as_bytes()), mime(&name, "application/octet-stream")),
    };
    let file = AgentsWorkspaceFile {
        path,
        name,
        size: meta.len(),
        updated_at_ms: changed(&meta),
        mime_type,
        encoding,
        content,
    };
    Ok(AgentsWorkspaceGetResult { agent_id, file })
}

fn mime(name: &str, other: &'static str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).as_deref() {
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        Some("pdf") => "application/pdf",
        Some("json") => "application/json",
        Some("html" | "htm") => "text/html",
        _ => other,
    }
}

/// A path as clients write it, without a way out.
fn relative(path: &str) -> Result<String, RpcError> {
    let bad = || RpcError::invalid("path must stay within the workspace");
    let mut parts = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str().ok_or_else(bad)?),
            Component::CurDir => {}
            _ => return Err(bad()),
        }
    }
    Ok(parts.join("/"))
}

/// Why a path is not had.
enum Outside {
    Missing,
    /// A link leads out of the workspace.
    Elsewhere,
    Io(io::Error),
}

impl From<Outside> for RpcError {
    fn from(outside: Outside) -> RpcError {
        match outside {
            Outside::Missing => RpcError::invalid("no such file in the workspace"),
            Outside::Elsewhere => RpcError::invalid("path must stay within the workspace"),
            Outside::Io(error) => RpcError::unavailable(format!("look into the workspace: {error}")),
        }
    }
}

/// The real place of something in a home.
fn inside(home: &Path, path: &str) -> Result<PathBuf, Outside> {
    let real = |path: &Path| match path.canonicalize() {
        Ok(real) => Ok(real),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Outside::Missing),
        Err(error) => Err(Outside::Io(error)),
    };
    let (home, place) = (real(home)?, real(&home.join(path))?);
    if place.starts_with(&home) { Ok(place) } else { Err(Outside::Elsewhere) }
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, RpcError> {
    let failed = |error: io::Error| RpcError::unavailable(format!("read the file: {error}"));
    let file = fs::File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(RpcError::invalid("not a file"));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(RpcError::invalid(format!("the file has more than {most} bytes")));
    }
    Ok(bytes)
}

fn unreadable(path: &str, error: &io::Error) -> RpcError {
    RpcError::invalid(format!("\"{}\" cannot be read: {}", cut(path, 256), error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_within_the_home() {
        let dir = crate::sys::scratch::dir("agent-files");
        let home = dir.join("home");
        fs::create_dir_all(home.join("notes")).expect("made");
        fs::write(home.join("notes/a.md"), "a").expect("written");
        fs::write(dir.join("secret"), "s").expect("written");
        assert!(inside(&home, "notes/a.md").is_ok() && inside(&home, "").is_ok());
        assert!(matches!(inside(&home, "notes/b.md"), Err(Outside::Missing)));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(dir.join("secret"), home.join("AGENTS.md")).expect("linked");
            assert!(matches!(inside(&home, "AGENTS.md"), Err(Outside::Elsewhere)));
        }
        for path in ["../secret", "/etc/passwd", "notes/../../secret"] {
            relative(path).expect_err(path);
        }
        assert_eq!(relative("./notes//a.md").expect("fine"), "notes/a.md");
    }
}
