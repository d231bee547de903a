//! Why a service could not be made, moved or looked at.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::sys::child::ChildError;

/// `Display` says what was being done; the cause is the source.
#[derive(Debug)]
pub enum ServiceError {
    Write {
        path: PathBuf,
        source: io::Error,
    },
    Remove {
        path: PathBuf,
        source: io::Error,
    },
    /// A command of the host ran and said no. `line` is the command for a person to repeat.
    Command {
        line: String,
        code: Option<i32>,
        said: String,
    },
    /// A command of the host could not be run at all.
    Start {
        line: String,
        source: ChildError,
    },
    /// The service cannot be described: a path with a line break, a name that is no account.
    Unsuitable(String),
    /// There is no service of this name.
    NotInstalled,
    /// This host has no manager we know; the text says what to do instead.
    Unsupported(String),
}

impl ServiceError {
    /// Whether more rights would help.
    pub fn is_denied(&self) -> bool {
        match self {
            ServiceError::Write { source, .. } | ServiceError::Remove { source, .. } => {
                source.kind() == io::ErrorKind::PermissionDenied
            }
            ServiceError::Command { said, .. } => {
                let said = said.to_ascii_lowercase();
                ["access is denied", "access denied", "permission denied", "authentication required"]
                    .iter()
                    .any(|words| said.contains(words))
            }
            _ => false,
        }
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServiceError::Write { path, .. } => write!(f, "write {}", path.display()),
            ServiceError::Remove { path, .. } => write!(f, "remove {}", path.display()),
            ServiceError::Command { line, code: Some(code), said } => {
                write!(f, "{line} failed ({code}){}", tail(said))
            }
            ServiceError::Command { line, code: None, said } => write!(f, "{line} did not end in time{}", tail(said)),
            ServiceError::Start { line, .. } => write!(f, "run {line}"),
            ServiceError::Unsuitable(why) | ServiceError::Unsupported(why) => f.write_str(why),
            ServiceError::NotInstalled => f.write_str("the gateway service is not installed"),
        }
    }
}

/// The last line that says something.
fn tail(said: &str) -> String {
    said.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(|line| format!(": {line}")).unwrap_or_default()
}

impl std::error::Error for ServiceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ServiceError::Write { source, .. } | ServiceError::Remove { source, .. } => Some(source),
            ServiceError::Start { source, .. } => Some(source),
            _ => None,
        }
    }
}
