//! `openclaw doctor`: what is wrong with this instance, each finding with its remedy.
//!
//! Looks at files and at the system, not at a running gateway: it works when nothing else does. With `--fix` it mends
//! what takes no guessing: modes of files, and keys nobody knows, which are shown and taken out (the old content is the
//! newest backup).
//!
//! Invariants: without `--fix` nothing is written; no secret is shown; the exit status says whether an error is left.

use serde_json::{Value, json};

use super::config_args::Doctor;
use super::config_write::{Open, failed};
use super::failure::Failure;
use super::output::{Shell, clean, size};
use crate::config::write::{self, Clobber};
use crate::config::{Config, LoadError, check, edit, json5, keys, load, resolve};
use crate::sys::paths::Paths;
use crate::sys::{clock, host, ports};

/// Less than this on the disk of the state directory and databases begin to fail (bytes).
const DISK: u64 = 50 << 20;
/// 2025-01-01: a clock before that has not been set since the board was switched on (milliseconds).
const CLOCK: u64 = 1_735_689_600_000;

/// One thing somebody should know.
struct Finding {
    level: Level,
    area: &'static str,
    message: String,
    remedy: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Error,
    Warning,
    Info,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info => "info",
        }
    }
}

pub fn run(shell: &mut Shell, args: &Doctor) -> Result<(), Failure> {
    let paths = super::config_read::paths(shell)?;
    let mut mended = Vec::new();
    if args.fix || args.repair {
        mended = modes(&paths, Mend::Yes).into_iter().map(|finding| finding.message).collect();
        mended.extend(unknown_keys(shell, &paths)?);
    }
    let findings = examine(shell, &paths);
    let ok = findings.iter().all(|finding| finding.level != Level::Error);
    if args.json {
        let all: Vec<Value> = findings
            .iter()
            .map(|f| json!({"level": f.level.word(), "area": f.area, "message": f.message, "remedy": f.remedy}))
            .collect();
        shell.json(&json!({"ok": ok, "findings": all, "fixed": mended}))?;
    } else {
        for line in &mended {
            shell.line(format!("fixed: {line}"))?;
        }
        for finding in &findings {
            let word = shell.mark(finding.level == Level::Info, finding.level.word());
            shell.line(format!("{word}: {}: {}", finding.area, clean(&finding.message)))?;
            if !finding.remedy.is_empty() {
                shell.line(format!("  {}", finding.remedy))?;
            }
        }
        if ok {
            shell.line("Nothing stands in the way of the gateway.")?;
        }
    }
    if ok { Ok(()) } else { Err(Failure::told()) }
}

fn examine(shell: &Shell, paths: &Paths) -> Vec<Finding> {
    let mut all = Vec::new();
    match load(paths, &shell.env) {
        Ok(config) => settings(&config, &mut all),
        Err(LoadError::Invalid { lines, .. }) => {
            for line in lines {
                let remedy = if line.contains("Unrecognized key") {
                    "openclaw doctor --fix takes it out; openclaw config schema says what there is"
                } else {
                    "Edit the file, or: openclaw config restore"
                };
                all.push(finding(Level::Error, "config", line, remedy));
            }
        }
        Err(error @ LoadError::Read { .. }) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            all.push(finding(Level::Error, "config", format!("{error}: {cause}"), "Make the file readable."));
        }
    }
    all.extend(modes(paths, Mend::No));
    if let Some(free) = host::disk_free(&paths.state_dir).filter(|free| *free < DISK) {
        let message = format!("{} is left on the disk of {}", size(free), paths.state_dir.display());
        all.push(finding(Level::Warning, "disk", message, "Make room: messages cannot be kept on a full disk."));
    }
    if clock::now_ms() < CLOCK {
        let message = format!("the clock says {}", clock::iso_now());
        all.push(finding(
            Level::Warning,
            "clock",
            message,
            "Set it, or wait for NTP: certificates look invalid until then.",
        ));
    }
    all
}

/// What a configuration that loads still leaves to be said.
fn settings(config: &Config, all: &mut Vec<Finding>) {
    if let Err(refusal) = resolve::may_start(config, false) {
        all.push(finding(Level::Error, "config", refusal.message, "openclaw setup"));
    }
    if !config.ignored.is_empty() {
        let message = format!("keys without effect in this gateway: {}", config.ignored.join(", "));
        all.push(finding(Level::Info, "config", message, ""));
    }
    let listed = |text: &&String| !text.starts_with("config keys without") && !text.contains(": unresolved secret: ");
    for warning in config.warnings.iter().filter(listed) {
        all.push(finding(Level::Warning, "config", warning.clone(), ""));
    }
    for missing in &config.unresolved {
        let message = format!("{}: {}", missing.path, missing.reason);
        all.push(finding(Level::Warning, "secrets", message, "Provide it, then: openclaw gateway call secrets.reload"));
    }
    let known = resolve::Addresses { tailnet: host::tailnet_ipv4(), container: false };
    let port = resolve::port(None, config);
    let listen = resolve::bind_mode(None, config)
        .and_then(|(mode, _)| resolve::listen(mode, config.gateway.custom_bind_host.as_deref(), &known));
    match (resolve::auth(&resolve::AuthFlags::default(), config), &listen, &port) {
        (Err(refusal), ..) => {
            all.push(finding(Level::Error, "auth", refusal.message, "openclaw config explain gateway.auth"))
        }
        (Ok(auth), listen, port) => {
            for warning in &auth.warnings {
                all.push(finding(Level::Warning, "auth", warning.clone(), ""));
            }
            if let (Ok(listen), Ok((port, _))) = (listen, port)
                && let Err(refusal) = resolve::may_bind(listen, *port, &auth)
            {
                all.push(finding(Level::Error, "auth", refusal.message, "openclaw setup makes a token"));
            }
        }
    }
    if let Err(refusal) = listen {
        all.push(finding(Level::Error, "network", refusal.message, "openclaw config explain gateway.bind"));
    }
    match port {
        Err(refusal) => all.push(finding(Level::Error, "network", refusal.message, "")),
        Ok((port, source)) => all.push(listener(port, &source.to_string())),
    }
}

/// Who has the port.
fn listener(port: u16, source: &str) -> Finding {
    let found = ports::listeners(port).ok().and_then(|found| Some(found.first()?.pid));
    let message = match found {
        Some(pid) => {
            let what = ports::describe(pid).map_or_else(String::new, |command| format!(" ({command})"));
            format!("port {port} ({source}) is in use by pid {pid}{what}")
        }
        None => format!("nobody of this user listens on port {port} ({source})"),
    };
    finding(Level::Info, "network", message, "")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mend {
    Yes,
    No,
}

/// Files others may read. With [`Mend::Yes`] those that were mended, else those that should be.
#[cfg(unix)]
fn modes(paths: &Paths, mend: Mend) -> Vec<Finding> {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    let mut places = vec![(paths.state_dir.clone(), 0o700), (paths.config.clone(), 0o600), (paths.dot_env(), 0o600)];
    places.extend(write::backups(&paths.config).into_iter().map(|path| (path, 0o600)));
    let mut all = Vec::new();
    for (path, wanted) in places {
        let Ok(mode) = fs::metadata(&path).map(|meta| meta.permissions().mode() & 0o777) else { continue };
        if mode & !wanted == 0 {
            continue;
        }
        let message = format!("{} has mode {mode:o}: others may look into it", path.display());
        let remedy = format!("chmod {wanted:o} {} (or openclaw doctor --fix)", path.display());
        let mended = mend == Mend::Yes && fs::set_permissions(&path, Permissions::from_mode(wanted)).is_ok();
        match mend {
            Mend::Yes if !mended => {}
            Mend::Yes => all.push(finding(
                Level::Info,
                "files",
                format!("{}: mode {mode:o} is {wanted:o} now", path.display()),
                "",
            )),
            Mend::No => all.push(finding(Level::Warning, "files", message, remedy)),
        }
    }
    all
}

#[cfg(not(unix))]
fn modes(_: &Paths, _: Mend) -> Vec<Finding> {
    Vec::new()
}

/// Takes keys nobody knows out of the main file. A key of an included file is left to its owner.
fn unknown_keys(shell: &mut Shell, paths: &Paths) -> Result<Vec<String>, Failure> {
    if load(paths, &shell.env).is_ok() || !paths.config.is_file() {
        return Ok(Vec::new());
    }
    let open = Open::read(shell)?;
    let Ok(parsed) = json5::parse(&open.text, 0) else { return Ok(Vec::new()) };
    let mut text = open.text.clone();
    let mut gone = Vec::new();
    for problem in check::check(&parsed.root).problems {
        let Some(rest) = problem.message.strip_prefix("Unrecognized key: ") else { continue };
        let named = rest.strip_prefix('"').and_then(|rest| rest.split('"').next());
        // An include is not a key to the check, and is none to take out.
        let Some(name) = named.filter(|name| *name != "$include") else { continue };
        let path = keys::join(&problem.path, name);
        if let Ok(Some(shorter)) = edit::unset(&text, &keys::split(&path)) {
            text = shorter;
            gone.push(format!("{path} was taken out (line {})", problem.at.line));
        }
    }
    if gone.is_empty() {
        return Ok(gone);
    }
    match write::write(paths, &shell.env, &open.hash, &text, Clobber::Refuse) {
        Ok(_) => Ok(gone),
        // Something else is wrong as well: then nothing is changed, and the report says what.
        Err(write::WriteError::Invalid { .. }) => Ok(Vec::new()),
        Err(error) => Err(failed(&error)),
    }
}

fn finding(level: Level, area: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { level, area, message: message.into(), remedy: remedy.into() }
}
