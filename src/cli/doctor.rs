//! `openclaw doctor`: what is wrong with this instance, each finding with its remedy.
//!
//! Looks at files, at the host, and at a gateway if one answers: it works when nothing else does. With `--fix` it mends
//! what takes no guessing: modes of files, older spellings of keys, keys nobody knows (each change is shown, the old
//! content is the newest backup), and a service that starts something else than the configuration says.
//!
//! Invariants: without `--fix` nothing is written; no secret is shown; the exit status says whether an error is left.

use serde_json::Value;

use super::config_args::Doctor;
use super::config_write::{Open, failed};
use super::doctor_system as system;
use super::failure::Failure;
use super::gateway_service;
use super::output::{Shell, clean};
use super::settings::Settings;
use crate::config::secrets::places::{Written, credentials};
use crate::config::secrets::shelf::Shelf;
use crate::config::write::{self, Clobber};
use crate::config::{Config, LoadError, check, edit, json5, keys, load, migrate, redact, resolve};
use crate::sys::paths::Paths;
use crate::sys::{files, host};
use crate::wire::tree::json;

/// Lines of a difference shown at most.
const SHOWN: usize = 200;

/// One thing somebody should know.
pub struct Finding {
    pub level: Level,
    pub area: &'static str,
    pub message: String,
    pub remedy: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Level {
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
        mended.extend(older_spellings(shell, &paths, args.json)?);
        mended.extend(unknown_keys(shell, &paths)?);
        mended.extend(gateway_service::repair(shell));
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
                let remedy = if line.contains(check::OLDER) {
                    "openclaw doctor --fix moves it"
                } else if line.contains("Unrecognized key") {
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
    let text = files::read_capped(&paths.config, json5::MAX_BYTES as u64).unwrap_or_default();
    if let Some((_, older)) = migrate::migrate(&String::from_utf8_lossy(&text)) {
        for told in older {
            all.push(finding(Level::Warning, "config", format!("older spelling: {told}"), check::OLDER));
        }
    }
    all.extend(modes(paths, Mend::No));
    system::disk_and_clock(paths, &mut all);
    system::database(paths, &mut all);
    if let Ok(settings) = Settings::load(shell) {
        system::service(shell, &settings, &mut all);
        system::reachability(&settings, settings.port_source, &mut all);
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
    for problem in config.program_problems() {
        all.push(finding(Level::Warning, "secrets", problem, "Until then nothing it keeps can be had."));
    }
    let plain = json5::parse(&config.raw, 0).map(|parsed| {
        let all = credentials(&parsed.root);
        all.iter().filter(|one| matches!(one.written, Written::Plain(_)) && !one.path.starts_with("env.")).count()
    });
    if let Ok(count @ 1..) = plain {
        let message = format!("{count} secrets are in plain text in {}", config.path.display());
        all.push(finding(
            Level::Info,
            "secrets",
            message,
            "openclaw secrets audit names them; secrets configure moves them",
        ));
    }
    for missing in config.unresolved.iter().filter(|missing| !missing.skipped) {
        let message = format!("{}: {}", missing.path, missing.reason);
        all.push(finding(Level::Warning, "secrets", message, "Provide it, then: openclaw secrets reload"));
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
    if let Err(refusal) = port {
        all.push(finding(Level::Error, "network", refusal.message, ""));
    }
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
    places.extend(super::secrets::copies(&paths.config).into_iter().map(|path| (path, 0o600)));
    places.push((paths.database(), 0o600));
    places.push((crate::gateway::token_file(paths), 0o600));
    places.push((Shelf::path(&paths.state_dir), 0o600));
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

/// Moves older spellings of the main file to what they are called now, and shows the difference.
fn older_spellings(shell: &mut Shell, paths: &Paths, json: bool) -> Result<Vec<String>, Failure> {
    if !paths.config.is_file() {
        return Ok(Vec::new());
    }
    let open = Open::read(shell)?;
    let Some((text, told)) = migrate::migrate(&open.text) else { return Ok(Vec::new()) };
    // Where something else is wrong as well, unknown keys may go with it; what is still wrong then stays as it was.
    let text = without_unknown(&text).0;
    match write::write(paths, &shell.env, &open.hash, &text, Clobber::Refuse) {
        Ok(_) => {
            if !json {
                for line in difference(&open.text, &text) {
                    shell.line(line)?;
                }
            }
            Ok(told)
        }
        Err(write::WriteError::Invalid { .. }) => Ok(Vec::new()),
        Err(error) => Err(failed(&error)),
    }
}

/// Changed lines, without secrets. A text too long to compare line by line is told by its keys alone.
fn difference(old: &str, new: &str) -> Vec<String> {
    let (Some(old), Some(new)) = (redact::text(old), redact::text(new)) else { return Vec::new() };
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let most = (old.len() - same).min(new.len() - same);
    let tail = old.iter().rev().zip(new.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[same..old.len() - tail], &new[same..new.len() - tail]);
    if old.len() * new.len() > 4 << 20 {
        return Vec::new();
    }
    // Longest common part, from the end.
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] =
                if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j >= new.len() || i < old.len() && common[i + 1][j] >= common[i][j + 1] {
            lines.push(format!("- {}", old[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", new[j]));
            j += 1;
        }
    }
    lines.truncate(SHOWN);
    lines
}

/// Takes keys nobody knows out of the main file. A key of an included file is left to its owner.
fn unknown_keys(shell: &mut Shell, paths: &Paths) -> Result<Vec<String>, Failure> {
    if load(paths, &shell.env).is_ok() || !paths.config.is_file() {
        return Ok(Vec::new());
    }
    let open = Open::read(shell)?;
    let (text, gone) = without_unknown(&open.text);
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

/// A text without keys nobody knows, and what was taken out.
fn without_unknown(text: &str) -> (String, Vec<String>) {
    let mut text = text.to_owned();
    let mut gone = Vec::new();
    let Ok(parsed) = json5::parse(&text, 0) else { return (text, gone) };
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
    (text, gone)
}

pub fn finding(level: Level, area: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { level, area, message: message.into(), remedy: remedy.into() }
}
