//! What is to run as a service, and whose it is. Pure values; the file system is not asked.

use std::path::{Path, PathBuf};

use super::ServiceError;
use crate::sys::paths::is_profile_name;

/// One gateway as a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// `None` for the default profile.
    pub profile: Option<String>,
    pub scope: Scope,
    /// The program itself, absolute.
    pub program: PathBuf,
    pub port: u16,
    pub config: PathBuf,
    pub state_dir: PathBuf,
    /// The agent's workspace: a hardened service may write there, too.
    pub workspace: PathBuf,
    /// Home of `user`.
    pub home: PathBuf,
    /// The account it runs as.
    pub user: String,
    /// The number of that account; 0 where accounts have none.
    pub uid: u32,
    /// `XDG_CONFIG_HOME` of that account.
    pub config_home: PathBuf,
    /// `%APPDATA%`; empty elsewhere.
    pub app_data: PathBuf,
    /// Where the host's own directories begin: `/`, except in tests and images.
    pub root: PathBuf,
}

/// Whose service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One user's: runs in their session.
    User,
    /// The host's: starts with it, and only root may change it.
    System,
}

impl ServiceSpec {
    /// `name`, with the profile where there is one: `openclaw-gateway-dev`.
    pub fn named(&self, name: &str) -> String {
        match &self.profile {
            Some(profile) => format!("{name}-{profile}"),
            None => name.to_owned(),
        }
    }

    pub fn description(&self) -> String {
        match &self.profile {
            Some(profile) => format!("OpenClaw gateway ({profile})"),
            None => "OpenClaw gateway".to_owned(),
        }
    }

    /// A file of the host: `of_host("etc/systemd/system/x")`.
    pub fn of_host(&self, below: &str) -> PathBuf {
        PathBuf::from(format!("{}/{below}", self.root.display().to_string().trim_end_matches('/')))
    }

    /// The arguments after the program.
    pub fn arguments(&self) -> Vec<String> {
        vec!["gateway".to_owned(), "--port".to_owned(), self.port.to_string()]
    }

    /// What the service's environment must say so that it finds the same places. Never a secret.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("OPENCLAW_CONFIG_PATH", self.config.display().to_string()),
            ("OPENCLAW_STATE_DIR", self.state_dir.display().to_string()),
        ];
        if let Some(profile) = &self.profile {
            all.push(("OPENCLAW_PROFILE", profile.clone()));
        }
        all
    }

    /// Refuses what cannot be written into a line of a service file.
    pub fn check(&self) -> Result<(), ServiceError> {
        if let Some(profile) = self.profile.as_ref().filter(|name| !is_profile_name(name)) {
            return Err(ServiceError::Unsuitable(format!("{profile:?} is no profile name")));
        }
        let paths = [&self.program, &self.config, &self.state_dir, &self.workspace, &self.home];
        for path in paths {
            match path.to_str() {
                None => return Err(ServiceError::Unsuitable(format!("{} is not UTF-8", path.display()))),
                Some(text) if text.chars().any(|c| c.is_control() || c == '"') => {
                    return Err(ServiceError::Unsuitable(format!("{text:?} cannot be written into a service file")));
                }
                Some(_) => {}
            }
        }
        let odd = |c: char| c.is_control() || c.is_whitespace() || "'\"$`;&|<>".contains(c);
        // Windows accounts may have blanks and a domain.
        if self.user.is_empty() || self.user.chars().any(|c| odd(c) && c != ' ') {
            return Err(ServiceError::Unsuitable(format!("{:?} is no account", self.user)));
        }
        Ok(())
    }

    /// A directory root made for somebody else becomes theirs.
    pub(super) fn give_away(&self, path: &Path) -> Result<(), ServiceError> {
        if self.scope == Scope::User || self.uid == 0 {
            return Ok(());
        }
        crate::sys::accounts::give(path, self.uid)
            .map_err(|source| ServiceError::Write { path: path.to_path_buf(), source })
    }
}
