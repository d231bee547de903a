//! A running gateway follows its file.
//!
//! The main thread owns the [`Reloader`]: it is told that the file may have changed, waits until it has been quiet for a
//! moment, has it read, and decides by the key table what has to happen. Reading has a thread of its own, because secrets
//! may be with programs that take their time. What can be applied is applied by swapping whole snapshots: policy,
//! registry, catalogue, configuration. What cannot means a restart, once, with a cool-down between two.
//!
//! Deliberately absent: writing the file, and knowing what a key means; the rows say what a change of it needs.
//!
//! Invariants: an invalid file changes nothing in a running gateway; identical content and stamps cause no action; a
//! changed credential counts for open connections too; the state thread is only told, never waited on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never};

use super::facts::Knowledge;
use super::log_file::{Files, LogFile, Wanted};
use super::tls::Certificate;
use super::{Options, models, prepare};
use crate::agent::Engine;
use crate::auth::Policy;
use crate::config::gateway::ReloadMode;
use crate::config::keys::Reload;
use crate::config::load::load_with;
use crate::config::resolve::{self, Listen};
use crate::config::secrets::{How, Programs};
use crate::config::{Config, LoadError, diff};
use crate::sys::paths::Paths;
use crate::sys::watch::Watch;
use crate::sys::{Env, clock};
use crate::wire::config::ConfigChangedEvent;

/// How long the file must be quiet: editors write more than once. Together with the reading it stays under 300 ms.
const QUIET: Duration = Duration::from_millis(150);
/// Between two restarts for the configuration: a program that rewrites the file must not keep the gateway down.
const COOL_DOWN: Duration = Duration::from_secs(30);
/// Secrets that could not be had are asked for again, less and less often.
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_LAST: Duration = Duration::from_secs(300);
/// Whoever asks for a reload waits so long: reading secrets may take a while.
const ASKED: Duration = Duration::from_secs(30);
/// Problems named in one log line.
const NAMED: usize = 5;

/// What the reloader works with.
pub struct Parts {
    pub options: Options,
    pub env: Env,
    pub paths: Paths,
    /// Where this process listens, which no reload changes.
    pub listen: Listen,
    pub port: u16,
    pub engine: Arc<Engine>,
    pub knowledge: Arc<Knowledge>,
    pub log: LogFile,
    /// What the port is served with, unless it is served in the clear.
    pub tls: Option<Certificate>,
}

/// What the main thread has to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Nothing,
    /// Another snapshot is in force.
    Applied,
    Restart,
}

/// Told when a reload somebody asked for is done, or why it is not.
pub type Answer = Sender<Result<(), String>>;

/// What a reading came to.
pub type Loaded = Box<Result<Config, LoadError>>;

pub struct Reloader {
    parts: Parts,
    /// `None` where nothing can be watched; SIGHUP and the protocol still work.
    watch: Option<Watch>,
    never: Receiver<()>,
    asks: (Sender<Answer>, Receiver<Answer>),
    /// The thread that reads the file and the secrets, while it does.
    reading: Option<Receiver<Loaded>>,
    none: Receiver<Loaded>,
    /// The file may have changed since the reading began.
    again: bool,
    /// Who waits for the reading that is under way, and who for the next one.
    waiting: Vec<Answer>,
    next_waiting: Vec<Answer>,
    /// The file is read then, unless it changes again.
    read_at: Option<Instant>,
    /// A restart waits for its cool-down.
    restart_at: Option<Instant>,
    retry: Option<(Instant, Duration)>,
    /// What was last said about a file that cannot be used: it is said once.
    complaint: String,
    started: Instant,
}

/// What a set of changes comes to in a mode.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    pub apply: bool,
    /// Keys that are taken over live.
    pub hot: Vec<String>,
    /// Keys that need a restart.
    pub restart: Vec<String>,
    pub step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing anybody would notice.
    Quiet,
    /// `gateway.reload.mode` is off.
    Off,
    Hot,
    /// Hot, and the rest is left alone.
    HotIgnoring,
    Restart,
}

/// Decides. Pure: the whole table of modes is here.
pub fn plan(mode: ReloadMode, changes: &[diff::Change]) -> Plan {
    let named = |class: Reload| changes.iter().filter(move |c| c.reload == class).map(|c| c.path.clone()).collect();
    let (hot, restart): (Vec<String>, Vec<String>) = (named(Reload::Hot), named(Reload::Restart));
    let step = match mode {
        _ if hot.is_empty() && restart.is_empty() => Step::Quiet,
        ReloadMode::Off => Step::Off,
        ReloadMode::Hot if restart.is_empty() => Step::Hot,
        ReloadMode::Hot => Step::HotIgnoring,
        ReloadMode::Restart => Step::Restart,
        ReloadMode::Hybrid if restart.is_empty() => Step::Hot,
        ReloadMode::Hybrid => Step::Restart,
    };
    Plan { apply: matches!(step, Step::Quiet | Step::Hot | Step::HotIgnoring), hot, restart, step }
}

impl Reloader {
    pub fn new(parts: Parts) -> Reloader {
        let config = parts.engine.shared.config.get();
        let watch = match Watch::start(&files(&config, &parts)) {
            Ok(watch) => Some(watch),
            Err(error) => {
                log::warn!(target: "reload", "the configuration is not watched: {error}");
                None
            }
        };
        let mut reloader = Reloader {
            parts,
            watch,
            never: never(),
            asks: bounded(8),
            reading: None,
            none: never(),
            again: false,
            waiting: Vec::new(),
            next_waiting: Vec::new(),
            read_at: None,
            restart_at: None,
            retry: None,
            complaint: String::new(),
            started: Instant::now(),
        };
        reloader.plan_retry(&config, RETRY_FIRST);
        reloader
    }

    /// Has something when the file may have changed.
    pub fn changed(&self) -> &Receiver<()> {
        self.watch.as_ref().map_or(&self.never, Watch::changed)
    }

    /// Wishes for a reload now.
    pub fn asked(&self) -> &Receiver<Answer> {
        &self.asks.1
    }

    /// A way for other threads to ask for a reload and wait for it.
    pub fn asker(&self) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
        let asks = self.asks.0.clone();
        move || {
            let (answer, wait) = bounded(1);
            let gone = |_| "the gateway is stopping".to_owned();
            asks.send_timeout(answer, ASKED).map_err(|_| "the gateway is busy".to_owned())?;
            wait.recv_timeout(ASKED).map_err(gone)?
        }
    }

    /// When there is something to do without anything happening.
    pub fn next(&self) -> Option<Instant> {
        [self.read_at, self.restart_at, self.retry.map(|(when, _)| when)].into_iter().flatten().min()
    }

    /// The file may have changed.
    pub fn touched(&mut self) {
        let wanted = self.parts.engine.shared.config.get().gateway.reload.debounce_ms.map(Duration::from_millis);
        self.read_at = Some(Instant::now() + wanted.unwrap_or(QUIET).min(ASKED));
    }

    /// Somebody wants the file read now.
    pub fn asked_to(&mut self, answer: Answer) {
        self.read_at = None;
        self.next_waiting.push(answer);
        self.begin();
    }

    /// Has something when the file was read.
    pub fn loaded(&self) -> &Receiver<Loaded> {
        self.reading.as_ref().unwrap_or(&self.none)
    }

    /// The file was read; `None` when the thread that read it failed.
    pub fn finished(&mut self, loaded: Option<Loaded>) -> Outcome {
        self.reading = None;
        // Its files are watched together with those of the configuration.
        if let Some(certificate) = &mut self.parts.tls {
            certificate.renew();
        }
        let result = match loaded {
            Some(loaded) => self.take(*loaded),
            None => Err(self.complain("config reload skipped (reading it failed)".to_owned())),
        };
        for answer in self.waiting.drain(..) {
            // Whoever asked may have given up.
            let _ = answer.send(result.as_ref().map(drop).map_err(Clone::clone));
        }
        let outcome = result.unwrap_or(Outcome::Nothing);
        if self.again && outcome != Outcome::Restart {
            self.begin();
        }
        outcome
    }

    /// Starts to read, unless that is under way: then once more afterwards.
    fn begin(&mut self) {
        self.again = self.reading.is_some();
        if self.again {
            return;
        }
        self.waiting.append(&mut self.next_waiting);
        let (done, loaded) = bounded(1);
        let (paths, env) = (self.parts.paths.clone(), self.parts.env.clone());
        let before = self.parts.engine.shared.config.get();
        let read = move || {
            let how = How { programs: Programs::All, before: Some(&before) };
            // The gateway may have stopped meanwhile.
            let _ = done.send(Box::new(load_with(&paths, &env, how)));
        };
        // Without a thread the channel is closed, which is the answer.
        let _ = std::thread::Builder::new().name("config load".into()).spawn(read);
        self.reading = Some(loaded);
    }

    /// Does what [`Reloader::next`] announced.
    pub fn due(&mut self) {
        let now = Instant::now();
        let past = |when: Option<Instant>| when.is_some_and(|when| when <= now);
        if past(self.retry.map(|(when, _)| when)) {
            self.read_at = Some(now);
        }
        if past(self.restart_at) {
            // The file may have been put back in the meantime.
            self.restart_at = None;
            self.read_at = Some(now);
        }
        if past(self.read_at) {
            self.read_at = None;
            self.begin();
        }
    }

    /// Does what the file asks for. The error is a sentence for whoever asked.
    fn take(&mut self, loaded: Result<Config, LoadError>) -> Result<Outcome, String> {
        let shared = self.parts.engine.shared.clone();
        let old = shared.config.get();
        let new = match loaded {
            Ok(new) if new.exists || !old.exists => new,
            Ok(_) => return Err(self.complain("config reload skipped (config file not found)".to_owned())),
            Err(error) => return Err(self.skip(&issues(&error))),
        };
        let delay = self.retry.map_or(RETRY_FIRST, |(_, delay)| (delay * 2).min(RETRY_LAST));
        let same_secrets = new.unresolved == old.unresolved && new.stale == old.stale;
        self.plan_retry(&new, if same_secrets { delay } else { RETRY_FIRST });
        let changes = diff::changes(&old, &new);
        if changes.is_empty() && new.hash == old.hash && same_secrets {
            self.complaint.clear();
            return Ok(Outcome::Nothing);
        }
        let plan = plan(new.gateway.reload.mode, &changes);
        if plan.step != Step::Quiet {
            let all: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
            log::info!(target: "reload", "config change detected; evaluating reload ({})", all.join(", "));
        }
        // In the file nothing is new then: what is, are secrets, and somebody asked for them or missed them.
        let secrets_only =
            new.hash == old.hash && (!self.waiting.is_empty() || !old.unresolved.is_empty() || !old.stale.is_empty());
        if plan.step == Step::Off && !secrets_only {
            log::info!(target: "reload", "config reload is off; the change waits for a restart");
            return Ok(Outcome::Nothing);
        }
        if plan.step == Step::Restart {
            return self.restart(&new, plan);
        }
        self.apply(&old, new, &plan)
    }

    fn restart(&mut self, new: &Config, plan: Plan) -> Result<Outcome, String> {
        // What the next start would refuse must not end this one.
        resolve::may_start(new, self.parts.options.allow_unconfigured)
            .map_err(|refusal| refusal.to_string())
            .and_then(|()| self.policy(new).map(drop))
            .map_err(|refusal| self.skip(&refusal))?;
        let mut keys = plan.restart;
        keys.extend(plan.hot);
        log::info!(target: "reload", "config change requires gateway restart ({})", keys.join(", "));
        let rest = COOL_DOWN.saturating_sub(self.started.elapsed());
        if !rest.is_zero() && last_was_a_reload() {
            log::info!(target: "reload", "restart in {} s (cool-down)", rest.as_secs().max(1));
            self.restart_at = Some(Instant::now() + rest);
            return Ok(Outcome::Nothing);
        }
        note_reload();
        log::info!("restart (config reload: {})", keys.first().map_or("", String::as_str));
        Ok(Outcome::Restart)
    }

    /// Swaps the snapshots. The configuration goes last: who reads it finds the others ready.
    fn apply(&mut self, old: &Config, new: Config, plan: &Plan) -> Result<Outcome, String> {
        let shared = self.parts.engine.shared.clone();
        let policy = self.policy(&new).map_err(|refusal| self.skip(&refusal))?;
        let touches = |prefix: &str| plan.hot.iter().any(|path| path.starts_with(prefix));
        let models_changed = ["models", "agents", "auth", "env", "secrets"].iter().any(|section| touches(section))
            || old.vars_differ(&new)
            || old.unresolved != new.unresolved;
        if models_changed {
            let registry = models::registry(&new, Vec::new(), self.parts.knowledge.clone());
            shared.catalogue.set(models::catalogue(&new, &registry));
            self.parts.engine.registry.set(registry);
        }
        let channels_touched = touches("channels") || touches("env") || old.vars_differ(&new);
        let was = shared.policy.get();
        let other_callers = !was.same_callers(&policy);
        shared.policy.set(policy);
        if touches("logging") {
            let options = &self.parts.options;
            let wanted = Wanted {
                paths: &self.parts.paths,
                config: &new,
                verbose: options.verbose,
                level: options.log_level.as_deref(),
            };
            self.parts.log.follow(&wanted, Files::Stay);
        }
        if let Some(watch) = &self.watch
            && let Err(error) = watch.follow(&files(&new, &self.parts))
        {
            log::warn!(target: "reload", "an included file is not watched: {error}");
        }
        for warning in new.warnings.iter().filter(|warning| !old.warnings.contains(warning)) {
            log::warn!("{warning}");
        }
        let event = ConfigChangedEvent {
            path: new.path.display().to_string(),
            hash: format!("sha256:v1:{}", new.hash),
            ts: clock::now_ms(),
        };
        let missing = !old.unresolved.is_empty() || !old.stale.is_empty();
        let still_missing = !new.unresolved.is_empty() || !new.stale.is_empty();
        shared.config.set(new);
        self.complaint.clear();
        let told = self.parts.engine.hub.tell("config changed", move |state, now| {
            state.config_changed(&event);
            state.cron_config_changed(now);
            if other_callers {
                state.auth_changed(now);
            }
            if channels_touched {
                state.apply_channels();
            }
            state.tokens_changed(now);
        });
        if told.is_err() {
            return Ok(Outcome::Nothing);
        }
        if missing && !still_missing {
            log::info!(target: "secrets", "recovered: every secret is resolved again");
        }
        if !plan.hot.is_empty() {
            log::info!(target: "reload", "config hot reload applied ({})", plan.hot.join(", "));
        }
        if plan.step == Step::HotIgnoring {
            let left = plan.restart.join(", ");
            log::warn!(target: "reload", "config reload requires gateway restart; hot mode ignoring ({left})");
        }
        Ok(if models_changed { Outcome::Applied } else { Outcome::Nothing })
    }

    fn policy(&self, config: &Config) -> Result<Policy, String> {
        let parts = &self.parts;
        let made = prepare::policy(&parts.options, &parts.paths, config, &parts.listen, parts.port);
        made.map(|(policy, _)| policy).map_err(|error| error.to_string())
    }

    fn plan_retry(&mut self, config: &Config, delay: Duration) {
        let missing = !config.unresolved.is_empty() || !config.stale.is_empty();
        self.retry = missing.then(|| (Instant::now() + delay, delay));
    }

    fn skip(&mut self, issues: &str) -> String {
        self.complain(format!("config reload skipped (invalid config): {issues}"))
    }

    /// Says it once; an editor that saves the same mistake again is not answered again.
    fn complain(&mut self, text: String) -> String {
        if self.complaint != text {
            log::warn!(target: "reload", "{text}");
            self.complaint.clone_from(&text);
        }
        text
    }
}

fn issues(error: &LoadError) -> String {
    match error {
        LoadError::Invalid { lines, .. } => {
            let more = lines.len().saturating_sub(NAMED);
            let named: Vec<&str> = lines.iter().take(NAMED).map(String::as_str).collect();
            let rest = if more == 0 { String::new() } else { format!("; and {more} more") };
            format!("{}{rest}", named.join("; "))
        }
        LoadError::Read { source, .. } => format!("{error}: {source}"),
    }
}

/// What a change of the configuration can come from.
fn files(config: &Config, parts: &Parts) -> Vec<std::path::PathBuf> {
    let paths = &parts.paths;
    let mut all = vec![paths.config.clone(), paths.dot_env()];
    all.extend(config.files.iter().filter(|file| **file != paths.config).cloned());
    all.extend(parts.tls.iter().flat_map(Certificate::files));
    // A directory that is not there cannot be watched.
    all.retain(|file| file.parent().is_some_and(std::path::Path::is_dir));
    all
}

/// Whether this process has restarted itself for the configuration before.
fn last_was_a_reload() -> bool {
    RELOADED.load(std::sync::atomic::Ordering::Relaxed)
}

fn note_reload() {
    RELOADED.store(true, std::sync::atomic::Ordering::Relaxed);
}

/// Outlives the gateway it restarts, which is its purpose.
static RELOADED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

#[cfg(test)]
mod tests {
    use super::*;

    fn step(mode: ReloadMode, paths: &[&str]) -> Step {
        let change = |path: &&str| diff::Change { path: (*path).to_owned(), reload: diff::reload_of(path) };
        plan(mode, &paths.iter().map(change).collect::<Vec<_>>()).step
    }

    #[test]
    fn each_mode_does_what_its_row_of_the_runbook_says() {
        let (hot, restart, none) = ("logging.level", "gateway.port", "meta");
        for mode in [ReloadMode::Off, ReloadMode::Hot, ReloadMode::Restart, ReloadMode::Hybrid] {
            assert_eq!(step(mode, &[none]), Step::Quiet);
            assert_eq!(step(mode, &[]), Step::Quiet);
        }
        assert_eq!(step(ReloadMode::Off, &[hot, restart]), Step::Off);
        assert_eq!(step(ReloadMode::Hot, &[hot]), Step::Hot);
        assert_eq!(step(ReloadMode::Hot, &[hot, restart]), Step::HotIgnoring);
        assert_eq!(step(ReloadMode::Restart, &[hot]), Step::Restart);
        assert_eq!(step(ReloadMode::Hybrid, &[hot, none]), Step::Hot);
        assert_eq!(step(ReloadMode::Hybrid, &[hot, restart]), Step::Restart);
    }
}
