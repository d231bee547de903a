//! From the path a model wrote to a file this gateway may open.
//!
//! Resolves `~`, relative paths and links, then checks the result against the limits; opens regular files only, without
//! ever blocking on a pipe or a device. It is no sandbox against a process that swaps links between check and open: only
//! the last component is opened without following links.
//!
//! Invariants: what [`resolve`] returns is absolute, free of `..`, and its existing part free of links; it is not in a
//! denied root unless in the workspace.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Component, Path, PathBuf};

use super::{Refusal, ToolContext, ToolLimits};

/// What a path may be used for.
pub(super) struct Reach {
    /// Canonical.
    workspace: PathBuf,
    /// Where relative paths start, when elsewhere. Canonical.
    cwd: Option<PathBuf>,
    workspace_only: bool,
    /// Canonical where they exist.
    denied: Vec<PathBuf>,
    /// Open wherever they are. Canonical.
    open: Vec<PathBuf>,
}

impl Reach {
    pub(super) fn of(workspace: &Path, limits: &ToolLimits) -> Result<Reach, Refusal> {
        let workspace =
            workspace.canonicalize().map_err(|error| Refusal(format!("The workspace cannot be opened: {error}.")))?;
        let cwd = limits.cwd.as_ref().map(|cwd| {
            let lost = |error| Refusal(format!("The working directory {} cannot be opened: {error}.", cwd.display()));
            cwd.canonicalize().map_err(lost)
        });
        let cwd = cwd.transpose()?;
        let real = |root: &PathBuf| root.canonicalize().unwrap_or_else(|_| root.clone());
        let denied = limits.denied_roots.iter().map(real).collect();
        Ok(Reach { workspace, cwd, workspace_only: limits.workspace_only, denied, open: Vec::new() })
    }

    /// What may be read: besides the others the folders of skills.
    pub(super) fn to_read(workspace: &Path, limits: &ToolLimits) -> Result<Reach, Refusal> {
        let open = limits.readable_roots.iter().filter_map(|root| root.canonicalize().ok()).collect();
        Ok(Reach { open, ..Reach::of(workspace, limits)? })
    }

    fn is_open(&self, path: &Path) -> bool {
        self.open.iter().any(|root| path.starts_with(root))
    }

    /// May a tool touch this path? It must be absolute and free of links.
    pub(super) fn allows(&self, path: &Path) -> bool {
        self.check(path).is_ok()
    }

    fn check(&self, path: &Path) -> Result<(), &'static str> {
        if self.is_open(path) {
            return Ok(());
        }
        // The workspace may be a denied root itself, a working directory may not.
        let homes = [(Some(&self.workspace), true), (self.cwd.as_ref(), false)];
        let home = homes.into_iter().find_map(|(home, own)| Some((home.filter(|home| path.starts_with(home))?, own)));
        if let Some((home, own)) = home {
            // A root inside is denied too: only the way up is forgiven.
            let inside = |root: &&PathBuf| root.starts_with(home) && (!own || *root != home);
            return match self.denied.iter().filter(inside).any(|root| path.starts_with(root)) {
                true => Err("it belongs to the gateway itself"),
                false if !own && shows_a_process(path) => Err("it shows the inside of a process"),
                false => Ok(()),
            };
        }
        if self.workspace_only {
            return Err("it is outside the workspace, and tools.fs.workspaceOnly is set");
        }
        if self.denied.iter().any(|root| path.starts_with(root)) {
            return Err("it belongs to the gateway itself");
        }
        match shows_a_process(path) {
            true => Err("it shows the inside of a process"),
            false => Ok(()),
        }
    }
}

/// The file `raw` means, existing or not. An empty path is where relative ones start.
pub(super) fn resolve(raw: &str, context: &ToolContext) -> Result<PathBuf, Refusal> {
    resolve_in(&Reach::of(context.workspace, context.limits)?, raw, context)
}

/// The same for a file that is only read.
pub(super) fn resolve_to_read(raw: &str, context: &ToolContext) -> Result<PathBuf, Refusal> {
    resolve_in(&Reach::to_read(context.workspace, context.limits)?, raw, context)
}

fn resolve_in(reach: &Reach, raw: &str, context: &ToolContext) -> Result<PathBuf, Refusal> {
    if raw.len() > LONGEST {
        return Err(Refusal(format!("The path is longer than {LONGEST} bytes.")));
    }
    if raw.contains('\0') {
        return Err(Refusal::new("The path contains a NUL character."));
    }
    let start = reach.cwd.as_ref().unwrap_or(&reach.workspace);
    let wanted = start.join(expand(raw)?);
    let real = real(&wanted).map_err(|error| cannot("resolve", raw, &error))?;
    reach.check(&real).map_err(|why| Refusal(format!("{raw} is not open to tools: {why}.")))?;
    let plain = is_plain(&wanted, &real, context.workspace, &reach.workspace)
        || reach.cwd.as_ref().is_some_and(|cwd| is_plain(&wanted, &real, context.start(), cwd));
    if reach.workspace_only && !reach.is_open(&real) && !plain {
        return Err(Refusal(format!("{raw} leads through a symbolic link, and tools.fs.workspaceOnly is set.")));
    }
    Ok(real)
}

/// Opens an existing regular file for reading.
pub(super) fn open(path: &Path, raw: &str) -> Result<(File, Metadata), Refusal> {
    let file = no_surprise(OpenOptions::new().read(true)).open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Refusal(format!("{raw} does not exist.")),
        _ => cannot("open", raw, &error),
    })?;
    let about = file.metadata().map_err(|error| cannot("examine", raw, &error))?;
    if about.is_dir() {
        return Err(Refusal(format!("{raw} is a directory; use ls.")));
    }
    if !about.is_file() {
        return Err(Refusal(format!("{raw} is not a regular file (a device, pipe or socket).")));
    }
    Ok((file, about))
}

/// A sentence about a failed step.
pub(super) fn cannot(verb: &str, raw: &str, error: &io::Error) -> Refusal {
    Refusal(format!("Cannot {verb} {raw}: {error}."))
}

/// The path as the model should see it: relative to where paths start, where it is inside.
pub(super) fn shown(path: &Path, workspace: &Path) -> String {
    let base = workspace.canonicalize().unwrap_or_else(|_| workspace.to_owned());
    let short = path.strip_prefix(&base).ok().filter(|rest| !rest.as_os_str().is_empty());
    short.unwrap_or(path).display().to_string()
}

fn expand(raw: &str) -> Result<PathBuf, Refusal> {
    let Some(rest) = raw.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with(['/', '\\'])) else {
        return Ok(PathBuf::from(raw));
    };
    let Some(home) = std::env::home_dir().filter(|home| home.is_absolute()) else {
        return Err(Refusal::new("This gateway has no home directory, so ~ means nothing; use another path."));
    };
    Ok(home.join(rest.trim_start_matches(['/', '\\'])))
}

/// Canonicalises the existing part of `path` and appends the rest.
fn real(path: &Path) -> io::Result<PathBuf> {
    let mut missing = Vec::new();
    let mut base = path;
    loop {
        match base.canonicalize() {
            Ok(mut real) => {
                real.extend(missing.iter().rev());
                return Ok(real);
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(error) => {
                // A link to nowhere is there, and writing "through" it would create a file we never checked.
                if fs::symlink_metadata(base).is_ok() {
                    return Err(io::Error::other("a symbolic link leads nowhere"));
                }
                let (Some(Component::Normal(name)), Some(parent)) = (base.components().next_back(), base.parent())
                else {
                    return Err(error);
                };
                missing.push(name.to_owned());
                base = parent;
            }
        }
    }
}

/// Does the way from the workspace to the file go without links? `wanted` is what was asked, `real` where it led;
/// `named` is the workspace as configured, which may itself be a link, `home` where that leads.
fn is_plain(wanted: &Path, real: &Path, named: &Path, home: &Path) -> bool {
    let mut plain = PathBuf::new();
    for part in wanted.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    [home, named].iter().any(|start| plain.strip_prefix(start).is_ok_and(|rest| home.join(rest) == real))
}

/// Environments, memory and descriptors of processes hold the gateway's own secrets.
fn shows_a_process(path: &Path) -> bool {
    let Ok(rest) = path.strip_prefix("/proc") else { return false };
    let mut parts = rest.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
    parts.next().is_some_and(|first| first.bytes().all(|byte| byte.is_ascii_digit()) || first.ends_with("self"))
        && parts.next().is_some()
}

/// Never waits for the other end of a pipe, never follows a link that was not there when the path was checked.
#[cfg(unix)]
fn no_surprise(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NOCTTY;
    options.custom_flags(flags.bits() as i32)
}

#[cfg(not(unix))]
fn no_surprise(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// What Linux takes; longer is a mistake or an attack.
const LONGEST: usize = 4096;
