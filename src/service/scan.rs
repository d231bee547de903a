//! Finds services of this host that start a gateway, whoever made them.
//!
//! Looks at file names in the managers' directories and at what the files say; asks no manager. Best effort: what cannot
//! be read is not there.

use std::path::{Path, PathBuf};

use super::drift::Recorded;
use super::launchd::Launchd;
use super::procd::Procd;
use super::schtasks::Schtasks;
use super::systemd::Systemd;
use super::{Manager, Scope, ServiceSpec, read};
use crate::sys::order;

/// A service file somebody left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub path: PathBuf,
    pub scope: Scope,
    pub recorded: Recorded,
    /// How it is removed.
    pub clean_up: Option<String>,
}

/// All gateway-like services: the user's, and with `system` the host's.
pub fn scan(spec: &ServiceSpec, system: bool) -> Vec<Found> {
    let home = |below: &str| PathBuf::from(format!("{}/{below}", spec.home.display()));
    let mut dirs = vec![
        (PathBuf::from(format!("{}/systemd/user", spec.config_home.display())), Scope::User),
        (home("Library/LaunchAgents"), Scope::User),
    ];
    if !spec.app_data.as_os_str().is_empty() {
        dirs.push((spec.app_data.join("Microsoft/Windows/Start Menu/Programs/Startup"), Scope::User));
    }
    if system {
        dirs.extend(OF_HOST.map(|dir| (spec.of_host(dir), Scope::System)));
    }
    // `/lib` is `/usr/lib` on most hosts.
    let mut seen: Vec<PathBuf> = Vec::new();
    dirs.retain(|(dir, _)| match dir.canonicalize() {
        Ok(real) if !seen.contains(&real) => {
            seen.push(real);
            true
        }
        _ => false,
    });
    let mut found: Vec<Found> = dirs
        .into_iter()
        .flat_map(|(dir, scope)| entries(&dir).into_iter().map(move |path| (path, scope)))
        .map(judge)
        .collect();
    order::by(&mut found, |a, b| a.path.cmp(&b.path));
    found
}

/// A service of the whole host that owns this profile or this port.
pub fn owner_in_system(spec: &ServiceSpec) -> Option<Found> {
    let mine = |found: &Found| {
        found.scope == Scope::System
            && (found.path.file_stem().is_some_and(|stem| stem == spec.named("openclaw-gateway").as_str())
                || found.recorded.port == Some(spec.port))
    };
    scan(spec, true).into_iter().find(mine)
}

/// Another service, of whatever scope, that starts on the same port.
pub fn owner_of_port(spec: &ServiceSpec, own: &Path) -> Option<Found> {
    scan(spec, true).into_iter().find(|found| found.path != own && found.recorded.port == Some(spec.port))
}

fn judge((path, scope): (PathBuf, Scope)) -> Found {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let manager: Box<dyn Manager> = match () {
        () if name.ends_with(".service") => Box::new(Systemd(scope)),
        () if name.ends_with(".plist") => Box::new(Launchd),
        () if name.ends_with(".cmd") => Box::new(Schtasks),
        () => Box::new(Procd),
    };
    let recorded = read(&path).map(|text| manager.recorded(&text)).unwrap_or_default();
    let clean_up = manager.clean_up(&path);
    Found { path, scope, recorded, clean_up }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let entries = entries.filter_map(Result::ok).take(DIRECTORY_MAX);
    entries.filter(|entry| entry.file_name().to_str().is_some_and(is_service_name)).map(|entry| entry.path()).collect()
}

/// Names by which this gateway and its older relatives are installed.
fn is_service_name(name: &str) -> bool {
    let is_of = |start: &str, end: &str| name.starts_with(start) && name.ends_with(end);
    is_of("openclaw", ".service")
        || ["clawdbot-gateway", "moltbot-gateway"].iter().any(|old| is_of(old, ".service"))
        || ["ai.openclaw.", "com.openclaw.", "bot.molt.", "com.clawdbot."].iter().any(|label| is_of(label, ".plist"))
        || is_of("OpenClaw Gateway", ".cmd")
        || ["openclaw", "openclaw-gateway"].iter().any(|own| {
            name == *own || name.strip_prefix(own).is_some_and(|rest| rest.starts_with('-') && !rest.contains('.'))
        })
}

const OF_HOST: [&str; 5] =
    ["etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system", "etc/init.d", "Library/LaunchDaemons"];

/// No service directory has this many entries.
const DIRECTORY_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_gateway_services_are_recognised() {
        for name in [
            "openclaw-gateway.service",
            "openclaw-gateway-dev.service",
            "openclaw.service",
            "clawdbot-gateway.service",
            "ai.openclaw.gateway.plist",
            "openclaw",
            "openclaw-dev",
            "OpenClaw Gateway (dev).cmd",
        ] {
            assert!(is_service_name(name), "{name}");
        }
        for name in
            ["openclaw.service.d", "ssh.service", "ai.openclaw.gateway", "openclaw-gateway.service.bak", "openclawed"]
        {
            assert!(!is_service_name(name), "{name}");
        }
    }
}
