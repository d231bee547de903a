//! `openclaw secrets apply` and `secrets configure`: moving secrets out of plain text, for good.
//!
//! Everything is checked first: the plan's rules, that the new file would load, that each reference leads to a value.
//! Then the file is replaced without a backup, older copies that hold a moved value are removed, and `.env` files lose
//! their lines. A failure after the file was replaced puts it back.
//!
//! Invariants: without `--allow-exec` no program is started and no plan that names one is written; no value is printed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::args::{SecretsApply, SecretsConfigure};
use super::config_write::{Open, failed};
use super::failure::{Failure, Kind};
use super::output::Shell;
use super::question;
use super::secrets::{copies, dot_envs};
use crate::config::plan::{Checked, MAX_PLAN, Plan};
use crate::config::secrets::places::{Written, credentials};
use crate::config::secrets::reference::{Reference, Source, is_provider};
use crate::config::secrets::{Surroundings, resolve_one};
use crate::config::write::{self, Clobber};
use crate::config::{json5, load};
use crate::sys::{files, terminal};
use crate::wire::tree::json;

/// A variables file (bytes).
const DOT_ENV: u64 = 1 << 20;
/// Shorter values could stand in a file by chance.
const SHORT: usize = 4;

/// Carries out a plan.
pub fn apply(shell: &mut Shell, args: &SecretsApply) -> Result<(), Failure> {
    let path = Path::new(&args.from);
    let refused = |why: String| Failure::refused(format!("{}: {why}", args.from));
    let meta = fs::metadata(path).map_err(|error| refused(error.to_string()))?;
    if !meta.is_file() {
        return Err(refused("is not a regular file".to_owned()));
    }
    let text = files::read_capped(path, MAX_PLAN).map_err(|error| refused(error.to_string()))?;
    let plan = Plan::read(&text).map_err(refused)?;
    let mode = if args.dry_run { Mode::DryRun } else { Mode::Write };
    carry_out(shell, &plan, mode, args.allow_exec, args.json)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    DryRun,
    Write,
}

fn carry_out(shell: &mut Shell, plan: &Plan, mode: Mode, allow_exec: bool, json: bool) -> Result<(), Failure> {
    let file = Open::read(shell)?;
    let checked = plan.check().map_err(Failure::refused)?;
    if checked.programs && !allow_exec && mode == Mode::Write {
        return Err(Failure::refused("the plan names programs (exec); nothing was written")
            .hint("Look at them, then say --allow-exec."));
    }
    let text = checked.apply(&file.text).map_err(Failure::refused)?;
    let skipped = preflight(shell, &file, &checked, &text, allow_exec)?;
    let gone = moved(&file.text, &text);
    let mut changed = Vec::new();
    if text != file.text {
        changed.push(file.paths.config.clone());
    }
    let old: Vec<PathBuf> = copies(&file.paths.config).into_iter().filter(|path| holds(path, &gone)).collect();
    let scrubs = if plan.options.scrub_env { env_scrubs(&file, &text, &gone) } else { Vec::new() };
    changed.extend(scrubs.iter().map(|(path, _)| path.clone()));
    if mode == Mode::Write {
        let written = write::write_for_good(&file.paths, &shell.env, &file.hash, &text, Clobber::Allow);
        let written = written.map_err(|error| failed(&error))?;
        let finished = scrubs.iter().try_for_each(|(path, text)| files::write_atomic(path, text.as_bytes()));
        if let Err(error) = finished {
            let hash = &written.config.hash;
            let back = write::write_for_good(&file.paths, &shell.env, hash, &file.text, Clobber::Allow);
            let back = if back.is_ok() { "the configuration was put back" } else { "the configuration stays changed" };
            return Err(Failure::refused(format!("write a variables file: {error}; {back}")));
        }
        for path in &old {
            fs::remove_file(path).map_err(|error| Failure::refused(format!("remove {}: {error}", path.display())))?;
        }
    }
    let shown = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    let word = if mode == Mode::Write { "write" } else { "dry-run" };
    if json {
        return shell.json(&json!({
            "ok": true,
            "mode": word,
            "changed": !changed.is_empty(),
            "changedFiles": shown(&changed),
            "removedFiles": shown(&old),
            "refsChecked": checked.references.len() - skipped,
            "skippedExecRefs": skipped,
        }));
    }
    if skipped > 0 {
        shell.line(format!("{skipped} references to programs were not checked (--allow-exec)."))?;
    }
    let (done, rid) = match mode {
        Mode::Write => ("Changed", "Removed"),
        Mode::DryRun => ("Would change", "Would remove"),
    };
    for path in shown(&changed) {
        shell.line(format!("{done} {path}"))?;
    }
    for path in shown(&old) {
        shell.line(format!("{rid} {path} (it holds a moved secret)"))?;
    }
    match (changed.is_empty(), mode) {
        (true, _) => shell.line("Nothing to change."),
        (false, Mode::DryRun) => shell.line("Dry run successful; nothing was written."),
        (false, Mode::Write) => shell.line("A running gateway follows by itself. Then: openclaw secrets audit --check"),
    }
}

/// Whether the new file would load and its references lead to values; answers how many were not asked for.
fn preflight(shell: &Shell, file: &Open, plan: &Checked, text: &str, allow_exec: bool) -> Result<usize, Failure> {
    let config = load::parse(text, &file.paths, &shell.env)
        .map_err(|error| failed(&write::WriteError::Invalid { error, rejected: None }))?;
    let root = json5::parse(text, 0).map_err(|error| Failure::refused(error.to_string()))?.root;
    let expand = |path: &str| file.paths.expand(path);
    let around = Surroundings { env: &config.vars, expand: &expand, state_dir: &file.paths.state_dir };
    let mut skipped = 0;
    for reference in &plan.references {
        if reference.source == Source::Exec && !allow_exec {
            skipped += 1;
        } else if let Err(reason) = resolve_one(&root, reference, &around) {
            let message = format!("{reference} leads nowhere: {reason}; nothing was written");
            return Err(Failure::new(Kind::Usage, message));
        }
    }
    Ok(skipped)
}

/// Values that were in plain text before and are not any more.
fn moved(old: &str, new: &str) -> BTreeSet<String> {
    let plain = |text: &str| -> BTreeSet<String> {
        let Ok(parsed) = json5::parse(text, 0) else { return BTreeSet::new() };
        let all = credentials(&parsed.root).into_iter();
        all.filter_map(|credential| match credential.written {
            Written::Plain(value) if value.len() >= SHORT => Some(value),
            _ => None,
        })
        .collect()
    };
    plain(old).difference(&plain(new)).cloned().collect()
}

fn holds(path: &Path, values: &BTreeSet<String>) -> bool {
    let Ok(bytes) = files::read_capped(path, json5::MAX_BYTES as u64) else { return false };
    let text = String::from_utf8_lossy(&bytes);
    values.iter().any(|value| text.contains(value.as_str()))
}

/// Variables files without the lines whose value was moved, unless the configuration asks for that variable.
fn env_scrubs(file: &Open, text: &str, gone: &BTreeSet<String>) -> Vec<(PathBuf, String)> {
    let mut scrubs = Vec::new();
    for path in dot_envs(&file.paths) {
        let Ok(bytes) = files::read_capped(&path, DOT_ENV) else { continue };
        let Ok(old) = String::from_utf8(bytes) else { continue };
        let keep = |line: &&str| {
            let Some((name, value)) = line.trim().trim_start_matches("export ").split_once('=') else { return true };
            let value = value.trim().trim_matches(['"', '\'']);
            !gone.contains(value) || text.contains(name.trim())
        };
        let new: String = old.split_inclusive('\n').filter(keep).collect();
        if new != old {
            scrubs.push((path, new));
        }
    }
    scrubs
}

/// Asks where secrets are to be kept and makes a plan of the answers.
pub fn configure(shell: &mut Shell, args: &SecretsConfigure) -> Result<(), Failure> {
    if !terminal::somebody() {
        return Err(Failure::usage("secrets configure asks questions and needs a terminal")
            .hint("Without one, write a plan and run: openclaw secrets apply --from plan.json"));
    }
    if args.providers_only && args.skip_provider_setup {
        return Err(Failure::usage("--providers-only and --skip-provider-setup exclude each other"));
    }
    let file = Open::read(shell)?;
    let root = json5::parse(&file.text, 0).map_err(|error| Failure::config(error.to_string()))?.root;
    let mut plan = Plan::new();
    if !args.skip_provider_setup {
        providers(shell, &mut plan)?;
    }
    if !args.providers_only {
        targets(shell, &root, &mut plan)?;
    }
    if plan.targets.is_empty() && plan.provider_upserts.is_empty() {
        return shell.line("Nothing to change.");
    }
    let checked = plan.check().map_err(Failure::refused)?;
    let text = checked.apply(&file.text).map_err(Failure::refused)?;
    let skipped = preflight(shell, &file, &checked, &text, args.allow_exec)?;
    let written = serde_json::to_value(&plan).map_err(|error| Failure::refused(error.to_string()))?;
    if let Some(path) = &args.plan_out {
        let bytes = format!("{written:#}\n");
        if bytes.len() as u64 > MAX_PLAN {
            return Err(Failure::refused(format!("the plan is larger than {MAX_PLAN} bytes")));
        }
        let kept = files::write_atomic(Path::new(path), bytes.as_bytes());
        kept.map_err(|error| Failure::refused(format!("write {path}: {error}")))?;
    }
    if args.json {
        shell.json(&json!({"plan": written, "preflight": {"ok": true, "skippedExecRefs": skipped}}))?;
    } else if args.plan_out.is_none() {
        shell.note(format!("{written:#}"))?;
    }
    let go = if args.apply {
        let sure = "Plain text is taken out for good. Carry the plan out?";
        args.yes || question::yes(shell, sure, false)?
    } else {
        question::yes(shell, "Apply this plan now?", args.plan_out.is_none())?
    };
    if !go {
        return match &args.plan_out {
            Some(path) => shell.note(format!("Later: openclaw secrets apply --from {path}")),
            None => shell.note("Nothing was changed."),
        };
    }
    carry_out(shell, &plan, Mode::Write, args.allow_exec, false)
}

fn providers(shell: &mut Shell, plan: &mut Plan) -> Result<(), Failure> {
    let kinds = ["none (go on)", "file", "exec (a program)", "env", "store"];
    loop {
        let kind = question::choice(shell, "Add a provider of secrets?", &kinds, 0)?;
        if kind == 0 {
            return Ok(());
        }
        let name = question::text(shell, "Its name", "")?;
        if !is_provider(&name) {
            shell.note("A name is a-z first, then a-z, 0-9, _ and -.")?;
            continue;
        }
        let block = match kind {
            1 => {
                let path = question::text(shell, "Path of the file", "~/.openclaw/secrets.json")?;
                let single = question::yes(shell, "Does it hold one value, and not JSON?", false)?;
                json!({"source": "file", "path": path, "mode": if single { "singleValue" } else { "json" }})
            }
            2 => {
                let command = question::text(shell, "Absolute path of the program", "")?;
                let args = question::text(shell, "Its arguments, separated by blanks", "")?;
                let pass = question::text(shell, "Variables it gets, separated by blanks", "PATH HOME")?;
                let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
                json!({"source": "exec", "command": command, "args": words(&args), "passEnv": words(&pass)})
            }
            3 => json!({"source": "env"}),
            _ => json!({"source": "store"}),
        };
        plan.provider_upserts.insert(name, block);
    }
}

fn targets(shell: &mut Shell, root: &json5::Node, plan: &mut Plan) -> Result<(), Failure> {
    for credential in credentials(root) {
        let Written::Plain(_) = credential.written else { continue };
        let mut trial = Plan::new();
        let any = Reference { source: Source::Env, provider: None, id: "X".to_owned() };
        trial.add(&credential.path, &any);
        if trial.check().is_err() {
            continue;
        }
        let question = format!("{} (line {}) is in plain text. Keep it in", credential.path, credential.at.line);
        let kinds = ["plain (leave it)", "env", "file", "exec", "store"];
        let source = match question::choice(shell, &question, &kinds, 0)? {
            0 => continue,
            number => Source::ALL[number - 1],
        };
        let provider = question::text(shell, "Provider", "default")?;
        let id = question::text(shell, "Id there", "")?;
        let reference = Reference { source, provider: Some(provider), id };
        match reference.check() {
            Ok(()) => plan.add(&credential.path, &reference),
            Err(why) => shell.note(format!("Left as it is: {why}"))?,
        }
    }
    Ok(())
}
