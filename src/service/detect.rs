//! Which service manager this host has. Pure: the facts are passed in.

use super::launchd::Launchd;
use super::none::None as Nothing;
use super::openrc::OpenRc;
use super::procd::Procd;
use super::schtasks::Schtasks;
use super::systemd::Systemd;
use super::{Manager, Scope, ServiceSpec};
use crate::sys::Env;

/// The operating system, as far as services differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    Linux,
    MacOs,
    Windows,
    Other,
}

impl System {
    /// The system this program was built for.
    pub const HERE: System = if cfg!(target_os = "macos") {
        System::MacOs
    } else if cfg!(windows) {
        System::Windows
    } else if cfg!(target_os = "linux") {
        System::Linux
    } else {
        System::Other
    };
}

/// What is known about the host.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    pub system: System,
    /// systemd is the first process.
    pub systemd: bool,
    pub openwrt: bool,
    pub openrc: bool,
    pub termux: bool,
}

impl Facts {
    /// Looks at the files by which the managers are recognised.
    pub fn of(spec: &ServiceSpec, env: &Env) -> Facts {
        Facts {
            system: System::HERE,
            systemd: spec.of_host("run/systemd/system").is_dir(),
            openwrt: spec.of_host("etc/openwrt_release").is_file(),
            openrc: spec.of_host("sbin/openrc-run").is_file(),
            termux: env.get("TERMUX_VERSION").is_some(),
        }
    }
}

/// The manager of the host for services of `scope`. Where there is only one kind, the scope does not matter.
pub fn manager(facts: Facts, scope: Scope) -> Box<dyn Manager> {
    match facts {
        Facts { system: System::MacOs, .. } => Box::new(Launchd),
        Facts { system: System::Windows, .. } => Box::new(Schtasks),
        Facts { termux: true, .. } => {
            Box::new(Nothing("On Termux install termux-services and give it a run script with: exec openclaw gateway"))
        }
        Facts { systemd: true, .. } => Box::new(Systemd(scope)),
        Facts { openwrt: true, .. } => Box::new(Procd),
        Facts { openrc: true, .. } => Box::new(OpenRc),
        _ => Box::new(Nothing(
            "Run it in the foreground under your own supervisor (runit, s6, supervisord, a container): openclaw gateway; \
             exit code 78 means that it must not be started again",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_gets_its_manager() {
        let bare = Facts { system: System::Linux, systemd: false, openwrt: false, openrc: false, termux: false };
        let rows = [
            (Facts { systemd: true, ..bare }, Scope::User, "systemd user"),
            (Facts { systemd: true, ..bare }, Scope::System, "systemd system"),
            (Facts { openwrt: true, ..bare }, Scope::User, "procd"),
            (Facts { openrc: true, ..bare }, Scope::User, "OpenRC"),
            (Facts { termux: true, systemd: true, ..bare }, Scope::User, "none"),
            (bare, Scope::User, "none"),
            (Facts { system: System::MacOs, ..bare }, Scope::User, "LaunchAgent"),
            (Facts { system: System::Windows, ..bare }, Scope::User, "Scheduled Task"),
            (Facts { system: System::Other, ..bare }, Scope::User, "none"),
        ];
        for (facts, scope, name) in rows {
            assert_eq!(manager(facts, scope).name(), name);
        }
    }
}
