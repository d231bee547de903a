//! The gateway as a service of its host: made, started, stopped, looked at and removed.
//!
//! Each service manager is one file with one [`Manager`]; the texts it writes are the files in `packaging/`, filled in.
//! What is on the disk is judged by [`drift`], other gateways of the host are found by [`scan`]. Commands of the host are
//! run through a [`Runner`], which tests replace.
//!
//! Deliberately absent: a manager of our own. The gateway never forks, never restarts itself into a new process and
//! never watches another one; that is what the host's manager is for.
//!
//! Invariants: `files` is pure; no secret is ever written into a service file; nothing is installed beside another
//! service that owns the same profile or port.

pub mod detect;
pub mod drift;
pub mod runner;
pub mod scan;

mod error;
mod fill;
mod launchd;
mod none;
mod openrc;
mod procd;
mod schtasks;
mod spec;
mod systemd;

use std::fs;
use std::path::{Path, PathBuf};

pub use detect::{Facts, System, manager};
pub use error::ServiceError;
pub use runner::{Host, Runner, Said};
pub use spec::{Scope, ServiceSpec};

use crate::sys::files;

/// One service manager.
pub trait Manager {
    /// What people call it: `systemd user`, `LaunchAgent`.
    fn name(&self) -> &'static str;

    /// The service's own name: unit, label or task.
    fn unit(&self, spec: &ServiceSpec) -> String;

    /// The files of the service with their texts; the first one defines it. Pure.
    fn files(&self, spec: &ServiceSpec) -> Vec<(PathBuf, String)>;

    /// Writes the files and starts the service, now and with the host or the session. Replaces an older one.
    fn install(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError>;

    /// Starts the installed service; one that runs is left alone.
    fn start(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError>;

    /// Stops it. With [`Stop::Disable`] it does not come back with the host or the session either.
    fn stop(&self, spec: &ServiceSpec, stop: Stop, run: &dyn Runner) -> Result<(), ServiceError>;

    fn restart(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError>;

    /// Stops it and removes its files.
    fn remove(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<(), ServiceError>;

    /// What the manager knows about it.
    fn status(&self, spec: &ServiceSpec, run: &dyn Runner) -> Result<ServiceStatus, ServiceError>;

    /// What a service file says about the gateway it starts; the text may have been written by hand.
    fn recorded(&self, text: &str) -> drift::Recorded;

    /// What the operator should still know or do.
    fn advice(&self, _spec: &ServiceSpec, _run: &dyn Runner) -> Option<String> {
        None
    }

    /// The command by which somebody else's service of this kind is removed; `None` when the name is not one of ours.
    fn clean_up(&self, file: &Path) -> Option<String>;
}

/// For how long a service is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Until it is started again, by hand or with the host.
    Now,
    /// Until it is started again by hand.
    Disable,
}

/// Whether the process of the service runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Runtime {
    Running,
    Stopped,
    /// The manager gave up on it.
    Failed,
    #[default]
    Unknown,
}

impl Runtime {
    pub fn as_str(self) -> &'static str {
        match self {
            Runtime::Running => "running",
            Runtime::Stopped => "stopped",
            Runtime::Failed => "failed",
            Runtime::Unknown => "unknown",
        }
    }
}

/// What a manager says about a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceStatus {
    pub runtime: Runtime,
    pub pid: Option<u32>,
    /// Whether it starts with the host or the session; `None` when the manager does not tell.
    pub enabled: Option<bool>,
    /// How the process ended last.
    pub last_exit: Option<i32>,
    /// The manager's own words, one line.
    pub detail: Option<String>,
    /// The files changed after the manager read them.
    pub stale: bool,
}

/// The file that defines the service, if it is there.
pub fn installed(manager: &dyn Manager, spec: &ServiceSpec) -> Option<PathBuf> {
    manager.files(spec).into_iter().map(|(path, _)| path).next().filter(|path| path.is_file())
}

/// Makes the directories the service will need and writes its files. Service files are read by the manager, which may be
/// another user; they hold no secret.
fn write(manager: &dyn Manager, spec: &ServiceSpec, mode: Mode) -> Result<(), ServiceError> {
    spec.check()?;
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| ServiceError::Write { path, source }
    };
    if !spec.state_dir.is_dir() {
        files::private_dir(&spec.state_dir).map_err(failed(&spec.state_dir))?;
        spec.give_away(&spec.state_dir)?;
    }
    for (path, text) in manager.files(spec) {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(failed(dir))?;
        }
        let bytes = match mode {
            Mode::Utf16 if path.extension().is_some_and(|extension| extension == "xml") => utf16(&text),
            _ => text.into_bytes(),
        };
        files::write_atomic(&path, &bytes).map_err(failed(&path))?;
        let permissions = if mode == Mode::Program { 0o755 } else { 0o644 };
        files::restrict(&path, permissions).map_err(failed(&path))?;
    }
    Ok(())
}

/// How service files are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Text,
    /// An executable script.
    Program,
    /// The scheduler reads XML only in this encoding.
    Utf16,
}

fn utf16(text: &str) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}

/// The text of a service file, whatever its encoding; `None` when it cannot be read or is too large to be one.
pub fn read(path: &Path) -> Option<String> {
    let bytes = files::read_capped(path, FILE_MAX).ok()?;
    let Some(wide) = bytes.strip_prefix(&[0xff, 0xfe]) else {
        return Some(String::from_utf8_lossy(&bytes).into_owned());
    };
    let units: Vec<u16> = wide.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    Some(String::from_utf16_lossy(&units))
}

/// Removes files; one that is not there is removed already.
fn erase(manager: &dyn Manager, spec: &ServiceSpec) -> Result<(), ServiceError> {
    for (path, _) in manager.files(spec) {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(ServiceError::Remove { path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Bytes; a unit file has two thousand.
const FILE_MAX: u64 = 256 << 10;

#[cfg(test)]
mod tests;
