//! What `openclaw doctor` finds outside the configuration: the database, the service, the port, the gateway itself.
//!
//! Asks the host and a gateway that may be running; changes nothing. Every question has a limit of its own, so that a
//! host where half of this hangs is still examined.

use std::time::Duration;

use super::args::Wanted;
use super::calls::Calls;
use super::doctor::{Finding, Level, finding};
use super::gateway_service::differences;
use super::gateway_service_spec::Desk;
use super::output::{Shell, size};
use super::probe;
use super::settings::Settings;
use crate::client::Identity;
use crate::config::Mode;
use crate::service::{Host, Runtime};
use crate::store::check;
use crate::sys::paths::Paths;
use crate::sys::{clock, host, ports};

/// Less than this on the disk of the state directory and databases begin to fail (bytes).
const DISK: u64 = 50 << 20;
/// 2025-01-01: a clock before that has not been set since the board was switched on (milliseconds).
const CLOCK: u64 = 1_735_689_600_000;
/// A gateway on this host answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// The database of sessions and devices.
pub fn database(paths: &Paths, all: &mut Vec<Finding>) {
    let file = paths.database();
    let remedy = "Stop the gateway, keep a copy of the file, and restore it from a backup or move it away.";
    match check::problems(&file) {
        Ok(problems) => {
            for problem in problems {
                all.push(finding(Level::Error, "database", format!("{}: {problem}", file.display()), remedy));
            }
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            all.push(finding(Level::Error, "database", format!("{}: {error}{cause}", file.display()), remedy));
        }
    }
}

pub fn disk_and_clock(paths: &Paths, all: &mut Vec<Finding>) {
    if let Some(free) = host::disk(&paths.state_dir).map(|disk| disk.free).filter(|free| *free < DISK) {
        let message = format!("{} is left on the disk of {}", size(free), paths.state_dir.display());
        all.push(finding(Level::Warning, "disk", message, "Make room: messages cannot be kept on a full disk."));
    }
    if clock::now_ms() < CLOCK {
        let message = format!("the clock says {}", clock::iso_now());
        let remedy = "Set it, or wait for NTP: certificates look invalid until then.";
        all.push(finding(Level::Warning, "clock", message, remedy));
    }
}

/// The service that is installed: does it start what the configuration says, and does it stay.
pub fn service(shell: &Shell, settings: &Settings, all: &mut Vec<Finding>) {
    let Ok(desk) = Desk::installed(settings, &shell.env) else { return };
    let Some(file) = desk.file() else {
        let message = "the gateway is not installed as a service";
        all.push(finding(Level::Info, "service", message, "To start it with the host: openclaw gateway install"));
        return;
    };
    for difference in differences(&desk, &file) {
        let remedy = "openclaw doctor --fix (or openclaw gateway install --force)";
        all.push(finding(Level::Warning, "service", difference.text, remedy));
    }
    let runner = Host::new(&shell.env);
    if let Some(advice) = desk.manager.advice(&desk.spec, &runner) {
        all.push(finding(Level::Warning, "linger", advice, ""));
    }
    if let Ok(status) = desk.manager.status(&desk.spec, &runner)
        && matches!(status.runtime, Runtime::Failed | Runtime::Stopped)
    {
        let message = format!("the service {} is {}", desk.unit(), status.runtime.as_str());
        all.push(finding(Level::Warning, "service", message, "openclaw gateway start, then openclaw logs"));
    }
}

/// Who has the port, and whether it answers as a gateway does.
pub fn reachability(settings: &Settings, source: &str, all: &mut Vec<Finding>) {
    if settings.config.gateway.mode == Some(Mode::Remote) {
        return;
    }
    let port = settings.port;
    let holder = ports::listeners(port).ok().and_then(|found| Some(found.first()?.pid));
    let named = holder.map(|pid| {
        let what = ports::describe(pid).map_or_else(String::new, |command| format!(" ({command})"));
        format!("pid {pid}{what}")
    });
    let wanted = Wanted { url: None, port: Some(port), token: None, password: None, fingerprint: None };
    let calls = Calls::new(settings, wanted, Some(PATIENCE.as_millis() as u64), PATIENCE);
    let seen = calls.ok().map(|calls| probe::look(&calls, Identity::cli(&["operator.read"])));
    match seen {
        Some(Ok((seen, client))) => {
            client.close();
            let version = seen.version.unwrap_or_default();
            let message = format!("a gateway {version} answers on port {port} ({source})");
            all.push(finding(Level::Info, "network", message, ""));
        }
        Some(Err(failed)) if probe::somebody_is_there(&failed) => {
            let who = named.unwrap_or_else(|| "somebody".to_owned());
            let message = format!("port {port} ({source}) is held by {who}, and: {}", probe::one_line(&failed));
            all.push(finding(Level::Warning, "network", message, "openclaw gateway probe says more"));
        }
        _ => match named {
            Some(who) => {
                let message = format!("port {port} ({source}) is in use by {who}, which is no gateway");
                all.push(finding(Level::Warning, "network", message, "Stop it, or choose another gateway.port."));
            }
            None => {
                let message = format!("nothing listens on port {port} ({source})");
                all.push(finding(Level::Info, "network", message, "To start it: openclaw gateway"));
            }
        },
    }
}
