//! Scheduled jobs, on the state thread: which are due, which run, what they leave behind.
//!
//! The decisions are pure and live in [`schedule`], [`job`] and [`brake`]; this directory carries them out. A job whose
//! slot has come is first written to the disk as begun, with the slot used up and the next one named, and only then
//! runs: whatever happens to the process, no slot runs twice. A slot that was lost to a crash is reported as a failed
//! run.
//!
//! Time: moments of schedules are wall-clock time, waiting is done by the monotonic clock, in steps of at most
//! [`LOOK_AGAIN`]: a clock that was set, or a host that slept, is noticed within that. Without jobs nothing waits.
//!
//! Deliberately absent: jobs that watch commands, scripts as conditions, `next_check`.
//!
//! Invariants: a job has at most one run; a job is in memory as it is on the disk, or about to be.

pub mod brake;
mod change;
mod expr;
mod heart;
pub mod job;
pub mod outlet;
pub mod schedule;
pub mod settle;
mod start;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::run::RunId;
use super::timers::Due;
use super::{Now, State};
use crate::store::{StoreError, cron as runs_of_jobs, kv, runs};
use crate::sys::abort::Abort;
use crate::wire::cron::CronEvent;
use crate::wire::event as kinds;
use crate::wire::misfit;
use crate::wire::sorted::Sorted;

pub use heart::interval;
pub(super) use heart::{ACK_CHARS, PROMPT, TARGET, of_agent};

use brake::Brake;
use job::{Job, Record, signed};
use outlet::Outlet;
use schedule::{Catching, Plan};

/// The clock may be set, and a host may sleep: nobody tells us, so it is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Jobs side by side when `cron.maxConcurrentRuns` does not say.
pub const SIDE_BY_SIDE: usize = 8;
/// Fact of what automatic runs have used today.
const SPENT: &str = "cron";

/// Everything about jobs. Owned by the state thread.
pub struct Cron {
    jobs: Sorted<String, Job>,
    /// Due, and waiting for one of the running ones to end.
    waiting: VecDeque<Waits>,
    /// Jobs that wait, are being written as begun, run, or deliver.
    busy: HashSet<String>,
    active: HashMap<RunId, Active>,
    armed: Option<Instant>,
    /// When each job last began, by the clock that cannot be set.
    begun: HashMap<String, Instant>,
    /// The gateway has started: before that nothing is due.
    open: bool,
    /// The first look after the start: what is due now was missed.
    first: bool,
    numbered: u64,
    interrupted: Vec<(String, RunId, Option<String>)>,
    pub brake: Brake,
    pub outlet: Box<dyn Outlet>,
    pub heart: heart::Heart,
}

struct Waits {
    job_id: String,
    slot: i64,
    next: Option<i64>,
}

/// A run of a job.
struct Active {
    job_id: String,
    agent_id: Arc<str>,
    session_key: Arc<str>,
    begun: Instant,
    begun_ms: u64,
    /// Somebody asked for it: it is no automatic run.
    manual: bool,
    /// Ends a command.
    abort: Abort,
}

/// What the database remembers.
#[derive(Default)]
pub struct Loaded {
    jobs: Vec<Job>,
    interrupted: Vec<(String, RunId, Option<String>)>,
    spent: Option<(u64, u64)>,
}

/// Reads the jobs. One that cannot be read stays where it is and is told of.
pub fn load(conn: &Connection) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    for (id, text) in kv::list(conn, runs_of_jobs::JOBS)? {
        let read = misfit::read::<Record>(&text).map_err(|error| error.to_string());
        match read.and_then(Job::of) {
            Ok(job) => {
                if let Some(run_id) = &job.record.run_id {
                    let ended = runs::get(conn, run_id)?.map(|run| run.status);
                    loaded.interrupted.push((id, run_id.as_str().into(), ended));
                }
                loaded.jobs.push(job);
            }
            Err(why) => log::error!("automation {id} cannot be read and does not run: {why}"),
        }
    }
    if let Some(text) = kv::get(conn, SPENT, "spent")? {
        loaded.spent = misfit::read(&text).ok();
    }
    Ok(loaded)
}

impl Cron {
    pub fn new(loaded: Loaded, outlet: Box<dyn Outlet>) -> Cron {
        let mut brake = Brake::default();
        if let Some(spent) = loaded.spent {
            brake.remember(spent);
        }
        Cron {
            jobs: loaded.jobs.into_iter().map(|job| (job.id().to_string(), job)).collect(),
            waiting: VecDeque::new(),
            busy: HashSet::new(),
            active: HashMap::new(),
            armed: None,
            begun: HashMap::new(),
            open: false,
            first: true,
            numbered: 0,
            interrupted: loaded.interrupted,
            brake,
            outlet,
            heart: heart::Heart::default(),
        }
    }

    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    pub fn job(&self, id: &str) -> Option<&Job> {
        self.jobs.get(id)
    }

    /// Runs of jobs at present.
    pub fn running(&self) -> usize {
        self.active.len()
    }

    /// Runs of jobs that are due and wait for a place.
    pub fn queued(&self) -> usize {
        self.waiting.len()
    }

    /// When the next job is due.
    pub fn next_due(&self) -> Option<u64> {
        self.jobs.values().filter(|job| job.spec().enabled).filter_map(|job| job.state().next_run_at_ms).min()
    }

    fn bytes(&self) -> usize {
        self.jobs.values().map(|job| job.bytes).sum()
    }
}

impl State {
    /// The gateway has started: what was interrupted is reported, what is due runs.
    pub fn start_cron(&mut self, now: Now) {
        self.cron.open = true;
        for (job_id, run_id, ended) in std::mem::take(&mut self.cron.interrupted) {
            self.settle_interrupted(&job_id, &run_id, ended.as_deref(), now);
        }
        self.sync_heartbeats(now);
        self.cron_tick(now);
    }

    /// The configuration has changed.
    pub fn cron_config_changed(&mut self, now: Now) {
        if self.cron.open {
            self.cron.brake.lift();
            self.sync_heartbeats(now);
            self.cron_tick(now);
        }
    }

    /// A timer of ours is due.
    pub(super) fn cron_due(&mut self, now: Now) {
        // Timers cannot be taken back: one that was replaced by a later one says nothing.
        if self.cron.armed.is_none_or(|armed| armed <= now.at) {
            self.cron.armed = None;
            self.cron_tick(now);
        }
    }

    /// Looks at every job.
    pub(super) fn cron_tick(&mut self, now: Now) {
        let config = self.shared.config.get();
        if !self.cron.open || !config.cron.enabled || self.is_stopping() || self.is_suspended() {
            return;
        }
        let first = std::mem::take(&mut self.cron.first);
        let catching = if first && config.cron.skip_missed_jobs { Catching::Never } else { Catching::Once };
        let (mut changed, mut missed) = (Vec::new(), Vec::new());
        let Cron { jobs, busy, waiting, begun, .. } = &mut self.cron;
        for (id, job) in jobs.iter_mut() {
            if !job.spec().enabled || busy.contains(id) {
                continue;
            }
            match job.schedule.plan(job.slots(), signed(now.ms), catching) {
                Plan::Wait(next) if next == job.slots().next => {}
                Plan::Wait(next) => {
                    job.set_next(next);
                    changed.push(id.clone());
                }
                Plan::Missed { slot, next } => {
                    job.set_next(next);
                    missed.push((id.clone(), slot));
                }
                Plan::Run { slot, next } => {
                    let floor = if job.spends() { brake::FLOOR } else { Duration::from_secs(1) };
                    let since = begun.get(id).map(|at| now.at.saturating_duration_since(*at));
                    if let Some(left) = since.and_then(|since| floor.checked_sub(since)).filter(|left| !left.is_zero())
                        && next.is_some()
                    {
                        // Slots closer together than the floor: those in between are not had.
                        let after = signed(now.ms).saturating_add(i64::try_from(left.as_millis()).unwrap_or(0) + 1);
                        let next = job.schedule.not_before(next, after);
                        job.set_next(next);
                        continue;
                    }
                    busy.insert(id.clone());
                    waiting.push_back(Waits { job_id: id.clone(), slot, next });
                }
            }
        }
        for id in changed {
            self.save_job(&id);
        }
        for (id, slot) in missed {
            self.missed(&id, slot, now);
        }
        self.cron_dispatch(now);
        self.arm_cron(now);
    }

    /// Sets the timer for the next job that is due.
    pub(super) fn arm_cron(&mut self, now: Now) {
        let config = self.shared.config.get();
        if !self.cron.open || !config.cron.enabled || self.is_stopping() || self.is_suspended() {
            return;
        }
        let due = self.cron.jobs.values().filter(|job| job.spec().enabled && !self.cron.busy.contains(job.id()));
        let Some(next) = due.filter_map(|job| job.slots().next.or(Some(i64::MAX))).min() else { return };
        let wait = u64::try_from(next.saturating_sub(signed(now.ms))).unwrap_or(0);
        let at = now.at + Duration::from_millis(wait).min(LOOK_AGAIN);
        if self.cron.armed.is_none_or(|armed| at < armed) {
            self.cron.armed = Some(at);
            self.timers.at(at, Due::Cron);
        }
    }

    /// Writes a job as it is in memory; nobody waits for it.
    pub(super) fn save_job(&self, id: &str) {
        let Some(job) = self.cron.jobs.get(id) else { return };
        let (id, text) = (id.to_string(), written(job));
        self.store.submit_sized(
            "save an automation",
            text.len(),
            move |conn| kv::set(conn, runs_of_jobs::JOBS, &id, &text),
            |result| {
                if let Err(error) = result {
                    log::warn!("{error}");
                }
            },
        );
    }

    /// Tells clients of a job.
    pub(super) fn tell_cron(&self, event: &CronEvent<'_>) {
        self.peers.broadcast(&kinds::CRON, event, None, |_| true);
    }

    /// The agent of a job: its own, its session's, the default one.
    pub fn agent_of_job(&self, job: &Job) -> Option<String> {
        let config = self.shared.config.get();
        let own = job.spec().agent_id.as_deref().map(str::to_ascii_lowercase);
        let of_session = || {
            let key = job.spec().session_key.as_deref()?;
            crate::wire::session::agent_of(key).map(|(agent, _)| agent.to_ascii_lowercase())
        };
        let id = own.or_else(of_session).unwrap_or_else(|| config.default_agent_id().to_string());
        config.agent_ids().contains(&id.as_str()).then_some(id)
    }
}

fn written(job: &Job) -> String {
    serde_json::to_string(&job.record).expect("numbers and strings are always JSON")
}

impl CronEvent<'_> {
    fn of<'a>(job_id: &'a str, action: &'static str) -> CronEvent<'a> {
        CronEvent {
            job_id,
            action,
            job: None,
            run_at_ms: None,
            next_run_at_ms: None,
            status: None,
            completion_status: None,
            error: None,
            summary: None,
            run_id: None,
            session_key: None,
            delivery_status: None,
            duration_ms: None,
        }
    }
}
