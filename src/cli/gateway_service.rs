//! `openclaw gateway install`, `uninstall`, `start`, `stop` and `restart`: the gateway as a service of its host.
//!
//! Decides whether it may be done and says what was done; how is the manager's knowledge. The gateway is not asked.
//!
//! Invariants: no second service for the same profile or port is ever made; nothing is changed when another supervisor
//! was declared the owner; no secret is printed or written.

use std::error::Error;
use std::path::Path;

use serde_json::Value;

use super::args::{GatewayInstall, GatewayRestart, GatewayStart, GatewayStop, GatewayUninstall};
use super::failure::Failure;
use super::gateway_service_spec::{Desk, of_caller};
use super::output::{Shell, clean};
use super::settings::Settings;
use crate::config::resolve::may_start;
use crate::service::drift::{self, Difference};
use crate::service::scan::{self, Found};
use crate::service::{self, Host, Runner, Scope, ServiceError, Stop};
use crate::sys::Env;
use crate::wire::tree::json;

/// Makes the service, or says why not.
pub fn install(shell: &mut Shell, args: &GatewayInstall) -> Result<(), Failure> {
    let scope = if args.system { Scope::System } else { Scope::User };
    if args.system {
        shell.env = of_caller(shell);
    }
    let settings = Settings::load(shell)?;
    refuse_foreign_owner(&settings.vars, "install")?;
    let desk = Desk::of(&settings, &shell.env, args.port, scope)?;
    let host = Host::new(&shell.env);
    let done = install_at(&desk, &settings, args.force, &host)?;
    done.tell(shell, "install", &desk, args.json)
}

/// Stops the service and removes its files.
pub fn uninstall(shell: &mut Shell, args: &GatewayUninstall) -> Result<(), Failure> {
    let (desk, host) = existing(shell, "uninstall")?;
    let done = match desk.file() {
        None => Done::new("not-installed", "The gateway service is not installed."),
        Some(_) => {
            desk.manager.remove(&desk.spec, &host).map_err(|error| explain(&error, &desk))?;
            let text = format!("Removed the {} service {}.", desk.manager.name(), desk.unit());
            let kept = format!("Configuration and state stay in {}.", desk.spec.state_dir.display());
            Done::new("uninstalled", text).hint(kept)
        }
    };
    done.tell(shell, "uninstall", &desk, args.json)
}

pub fn start(shell: &mut Shell, args: &GatewayStart) -> Result<(), Failure> {
    let (desk, host) = existing(shell, "start")?;
    desk.file().ok_or_else(|| not_installed(&desk, "start"))?;
    let before = desk.manager.status(&desk.spec, &host).unwrap_or_default();
    let done = if before.runtime == service::Runtime::Running {
        let pid = before.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        Done::new("already-running", format!("The {} service is already running{pid}.", desk.manager.name()))
    } else {
        desk.manager.start(&desk.spec, &host).map_err(|error| explain(&error, &desk))?;
        Done::new("started", format!("Started the {} service {}.", desk.manager.name(), desk.unit()))
    };
    done.tell(shell, "start", &desk, args.json)
}

pub fn stop(shell: &mut Shell, args: &GatewayStop) -> Result<(), Failure> {
    let (desk, host) = existing(shell, "stop")?;
    let how = if args.disable { Stop::Disable } else { Stop::Now };
    let done = match desk.file() {
        None => Done::new("not-installed", "The gateway service is not installed; there is nothing to stop."),
        Some(_) => {
            desk.manager.stop(&desk.spec, how, &host).map_err(|error| explain(&error, &desk))?;
            let text = format!("Stopped the {} service {}.", desk.manager.name(), desk.unit());
            let back = match how {
                Stop::Now => {
                    "It starts again with the host or the session. To keep it off: openclaw gateway stop --disable"
                }
                Stop::Disable => "It stays off until: openclaw gateway start",
            };
            Done::new("stopped", text).hint(back)
        }
    };
    done.tell(shell, "stop", &desk, args.json)
}

pub fn restart(shell: &mut Shell, args: &GatewayRestart) -> Result<(), Failure> {
    let (desk, host) = existing(shell, "restart")?;
    let file = desk.file().ok_or_else(|| not_installed(&desk, "restart"))?;
    desk.manager.restart(&desk.spec, &host).map_err(|error| explain(&error, &desk))?;
    let mut done = Done::new("restarted", format!("Restarted the {} service {}.", desk.manager.name(), desk.unit()));
    for difference in differences(&desk, &file) {
        done = done.hint(format!("Service config issue: {}", difference.text));
    }
    done.tell(shell, "restart", &desk, args.json)
}

/// What was done, for people and for scripts.
struct Done {
    result: &'static str,
    text: String,
    hints: Vec<String>,
}

impl Done {
    fn new(result: &'static str, text: impl Into<String>) -> Done {
        Done { result, text: text.into(), hints: Vec::new() }
    }

    fn hint(mut self, hint: impl Into<String>) -> Done {
        self.hints.push(hint.into());
        self
    }

    fn tell(self, shell: &mut Shell, action: &str, desk: &Desk, json: bool) -> Result<(), Failure> {
        if json {
            return shell.json(&self.json(action, desk));
        }
        shell.line(clean(&self.text))?;
        self.hints.iter().try_for_each(|hint| shell.line(clean(hint)))
    }

    fn json(&self, action: &str, desk: &Desk) -> Value {
        let files: Vec<String> =
            desk.manager.files(&desk.spec).iter().map(|(path, _)| path.display().to_string()).collect();
        json!({
            "ok": true, "action": action, "result": self.result, "message": self.text, "hints": self.hints,
            "service": {
                "label": desk.manager.name(), "unit": desk.unit(), "installed": desk.file().is_some(),
                "files": files, "port": desk.spec.port, "program": desk.spec.program.display().to_string(),
                "configPath": desk.spec.config.display().to_string(),
            },
        })
    }
}

fn existing(shell: &Shell, action: &str) -> Result<(Desk, Host), Failure> {
    let settings = Settings::load(shell)?;
    if settings.vars.get("OPENCLAW_SUPERVISOR_MODE") == Some("external") && action != "restart" {
        return Err(externally_owned("OPENCLAW_SUPERVISOR_MODE", action));
    }
    Ok((Desk::installed(&settings, &shell.env)?, Host::new(&shell.env)))
}

fn install_at(desk: &Desk, settings: &Settings, force: bool, run: &dyn Runner) -> Result<Done, Failure> {
    if let Some(problem) = settings.problems.first() {
        return Err(Failure::config(format!("{} is invalid: {}", settings.path(), clean(problem))));
    }
    may_start(&settings.config, false).map_err(|refusal| {
        Failure::config(refusal.message).hint("A service gets no --allow-unconfigured: say what it is for first.")
    })?;
    let own = desk.manager.files(&desk.spec).into_iter().map(|(path, _)| path).next().unwrap_or_default();
    refuse_second_owner(desk, &own)?;
    if let Some(file) = desk.file().filter(|_| !force) {
        let found = differences(desk, &file);
        let text = format!("The {} service is already installed: {}", desk.manager.name(), file.display());
        let done = Done::new(if found.is_empty() { "already-installed" } else { "drifted" }, text);
        let done = found.iter().fold(done, |done, found| done.hint(format!("Service config issue: {}", found.text)));
        return Ok(done.hint("To write it anew: openclaw gateway install --force"));
    }
    desk.manager.install(&desk.spec, run).map_err(|error| explain(&error, desk))?;
    let text = format!("Installed the {} service {}: {}", desk.manager.name(), desk.unit(), own.display());
    let done = Done::new("installed", text).hint(format!(
        "It listens on port {} and reads {}.",
        desk.spec.port,
        desk.spec.config.display()
    ));
    Ok(match desk.manager.advice(&desk.spec, run) {
        Some(advice) => done.hint(advice),
        None => done,
    })
}

/// Writes the service's file anew where it differs from what the configuration says; one sentence when it did. Another
/// supervisor's service, and one this user may not change, are left alone: the report still names the difference.
pub fn repair(shell: &Shell) -> Option<String> {
    let settings = Settings::load(shell).ok()?;
    refuse_foreign_owner(&settings.vars, "doctor --fix").ok()?;
    let desk = Desk::installed(&settings, &shell.env).ok()?;
    let file = desk.file()?;
    if differences(&desk, &file).is_empty() {
        return None;
    }
    install_at(&desk, &settings, true, &Host::new(&shell.env)).ok()?;
    Some(format!("{}: written anew for port {}", file.display(), desk.spec.port))
}

/// How the installed file differs from what `install --force` would write.
pub fn differences(desk: &Desk, file: &Path) -> Vec<Difference> {
    let Some(text) = service::read(file) else { return Vec::new() };
    let fresh = desk.manager.files(&desk.spec).into_iter().map(|(_, text)| text).next().unwrap_or_default();
    drift::differences(&desk.manager.recorded(&text), &desk.spec, (&text, &fresh))
}

/// One profile, one port, one service.
fn refuse_second_owner(desk: &Desk, own: &Path) -> Result<(), Failure> {
    let refuse = |found: Found, what: &str| {
        let failure = Failure::refused(format!("{what}: {}", found.path.display()));
        let clean_up = found.clean_up.map(|how| format!("Remove it first: {how}")).unwrap_or_default();
        Err(failure.hint(format!("{clean_up}\nIf it is meant to own the gateway, leave it and set {POLICY}=external.")))
    };
    match desk.spec.scope {
        Scope::User => {
            if let Some(found) = scan::owner_in_system(&desk.spec).filter(|found| found.path != own) {
                return refuse(found, "System-level OpenClaw gateway service detected");
            }
        }
        Scope::System => {
            let name = desk.unit();
            let users = scan::scan(&desk.spec, false);
            let same =
                users.into_iter().find(|found| found.path != own && found.path.file_name() == Some(name.as_ref()));
            if let Some(found) = same {
                return refuse(found, "User-level OpenClaw gateway service detected");
            }
        }
    }
    match scan::owner_of_port(&desk.spec, own) {
        Some(found) => refuse(found, &format!("another gateway service starts on port {}", desk.spec.port)),
        None => Ok(()),
    }
}

fn refuse_foreign_owner(vars: &Env, action: &str) -> Result<(), Failure> {
    for name in ["OPENCLAW_SUPERVISOR_MODE", POLICY] {
        if vars.get(name) == Some("external") {
            return Err(externally_owned(name, action));
        }
    }
    Ok(())
}

fn externally_owned(name: &str, action: &str) -> Failure {
    Failure::refused(format!("{name}=external: another supervisor owns this gateway; {action} does nothing"))
        .hint("Use that supervisor, or unset the variable.")
}

/// A package's unit is not ours to move; its owner is root.
fn not_installed(desk: &Desk, action: &str) -> Failure {
    let failure = Failure::refused("the gateway service is not installed");
    let packaged = scan::owner_in_system(&desk.spec).map(|found| found.path);
    match packaged.as_ref().and_then(|path| path.file_name()?.to_str()?.strip_suffix(".service")) {
        Some(unit) => failure.hint(format!("There is one of the host: sudo systemctl {action} {unit}")),
        None => failure.hint("Install it with: openclaw gateway install\nOr run it here with: openclaw gateway"),
    }
}

fn explain(error: &ServiceError, desk: &Desk) -> Failure {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    let failure = Failure::refused(clean(&text));
    let no_session = ["Failed to connect to bus", "No medium found", "XDG_RUNTIME_DIR"];
    if no_session.iter().any(|words| text.contains(words)) {
        return failure.hint(
            "There is no session manager for this user here: log in as the user itself, or make it a service of the \
             host with: sudo openclaw gateway install --system",
        );
    }
    if error.is_denied() && desk.spec.scope == Scope::System {
        return failure.hint("Services of the host are changed by root: repeat it with sudo.");
    }
    if matches!(error, ServiceError::Command { .. }) {
        return failure.hint("What the gateway itself said: openclaw logs   and   openclaw gateway status --deep");
    }
    failure
}

const POLICY: &str = "OPENCLAW_SERVICE_REPAIR_POLICY";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::service::runner::recorded::Recorder;
    use crate::service::{Facts, System};
    use crate::sys::paths::Selector;
    use crate::sys::scratch;

    struct Place {
        root: PathBuf,
        env: Env,
    }

    impl Place {
        fn new(config: &str) -> Place {
            let root = scratch::dir("gateway-service");
            let path = |below: &str| root.join(below).display().to_string();
            fs::create_dir_all(root.join("home/.openclaw")).unwrap();
            fs::write(root.join("home/.openclaw/openclaw.json"), config).unwrap();
            let env = Env::from_iter([("HOME", path("home")), ("OPENCLAW_SERVICE_ROOT", path(""))]);
            Place { root, env }
        }

        fn desk(&self, scope: Scope, profile: Option<&str>, port: Option<u16>) -> (Desk, Settings) {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let selector = Selector { profile: profile.map(str::to_owned), dev: false };
            let shell =
                Shell { out: &mut out, err: &mut err, env: self.env.clone(), selector, log_level: None, colour: false };
            let settings = Settings::load(&shell).unwrap();
            let mut desk = Desk::of(&settings, &self.env, port, scope).unwrap();
            let facts = Facts { system: System::Linux, systemd: true, openwrt: false, openrc: false, termux: false };
            desk.manager = service::manager(facts, scope);
            (desk, settings)
        }

        fn install(&self, scope: Scope, port: Option<u16>, force: bool) -> Result<Done, Failure> {
            let (desk, settings) = self.desk(scope, None, port);
            install_at(&desk, &settings, force, &Recorder::new(&[("loginctl", 0, "no")]))
        }
    }

    const LOCAL: &str = "{gateway: {mode: 'local', port: 19123, auth: {token: 'hunter2hunter2'}}}";

    #[test]
    fn an_install_records_the_resolved_port_and_hints_at_lingering() {
        let place = Place::new(LOCAL);
        let done = place.install(Scope::User, None, false).unwrap();
        assert_eq!(done.result, "installed");
        assert!(done.hints.iter().any(|hint| hint.contains("enable-linger")), "{:?}", done.hints);
        let unit = fs::read_to_string(place.root.join("home/.config/systemd/user/openclaw-gateway.service")).unwrap();
        assert!(unit.contains(" gateway --port 19123\n") && !unit.contains("hunter2"), "{unit}");
        let again = place.install(Scope::User, None, false).unwrap();
        assert_eq!(again.result, "already-installed");
    }

    #[test]
    fn a_changed_port_is_drift_until_the_install_is_forced() {
        let place = Place::new(LOCAL);
        place.install(Scope::User, Some(19001), false).unwrap();
        let drifted = place.install(Scope::User, None, false).unwrap();
        assert_eq!(drifted.result, "drifted");
        let expected = "Service config issue: the service starts on port 19001, the configuration says 19123";
        assert_eq!(drifted.hints[0], expected);
        assert_eq!(place.install(Scope::User, None, true).unwrap().result, "installed");
        assert_eq!(place.install(Scope::User, None, false).unwrap().result, "already-installed");
    }

    #[test]
    fn there_is_no_second_owner_of_a_profile_or_a_port() {
        let place = Place::new(LOCAL);
        let dir = place.root.join("etc/systemd/system");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("openclaw-gateway.service"), "ExecStart=/usr/bin/openclaw gateway --port 1\n").unwrap();
        let refused = place.install(Scope::User, None, true).err().expect("refused");
        assert!(refused.message.starts_with("System-level OpenClaw gateway service detected: "), "{}", refused.message);
        let hint = refused.hint.unwrap();
        assert!(hint.contains("sudo systemctl disable --now openclaw-gateway.service"), "{hint}");
        assert!(hint.contains("OPENCLAW_SERVICE_REPAIR_POLICY=external"), "{hint}");

        let place = Place::new(LOCAL);
        place.install(Scope::User, None, false).unwrap();
        let refused = place.install(Scope::System, None, false).err().expect("refused");
        assert!(refused.message.starts_with("User-level OpenClaw gateway service detected: "), "{}", refused.message);
        let (desk, _) = place.desk(Scope::User, Some("ops"), Some(19123));
        let refused = refuse_second_owner(&desk, Path::new("/elsewhere")).expect_err("refused");
        assert!(refused.message.starts_with("another gateway service starts on port 19123: "), "{}", refused.message);
    }

    #[test]
    fn what_would_not_start_is_not_installed() {
        for (config, status) in [("{}", 78), ("{gateway: {mode: 'remote'}}", 78), ("{gateway: {port: 'x'}}", 78)] {
            let refused = Place::new(config).install(Scope::User, None, true).err().expect("refused");
            assert_eq!(refused.status(), status, "{config}");
        }
    }

    #[test]
    fn another_supervisor_is_left_alone() {
        for name in ["OPENCLAW_SUPERVISOR_MODE", "OPENCLAW_SERVICE_REPAIR_POLICY"] {
            assert!(refuse_foreign_owner(&Env::from_iter([(name, "external")]), "install").is_err());
            assert!(refuse_foreign_owner(&Env::from_iter([(name, "native")]), "install").is_ok());
        }
    }

    #[test]
    fn a_user_without_a_session_is_told_the_other_way() {
        let place = Place::new(LOCAL);
        let (desk, settings) = place.desk(Scope::User, None, None);
        let host = Recorder::new(&[("systemctl", 1, "Failed to connect to bus: No medium found\n")]);
        let refused = install_at(&desk, &settings, false, &host).err().expect("refused");
        assert!(refused.hint.unwrap().contains("sudo openclaw gateway install --system"));
    }
}
