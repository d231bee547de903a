//! A run of a job begins: first on the disk, then for real.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::job::{Came, Job, signed};
use super::{Active, CronEvent, SIDE_BY_SIDE, Waits, written};
use crate::hub::run::{Input, NewRun, RunId, Starter};
use crate::hub::ticket::Ticket;
use crate::hub::wakes::Queued;
use crate::hub::{Now, State, main_key};
use crate::store::{StoreError, cron as runs_of_jobs, kv, sessions};
use crate::sys::abort::Abort;
use crate::sys::{Env, child, random};
use crate::wire::cron::*;
use crate::wire::error::RpcError;
use crate::wire::frame::cut;
use crate::wire::session;

/// An isolated turn may take so long unless its job says otherwise.
const TURN_LIMIT: Duration = Duration::from_secs(3600);
/// A command.
const COMMAND_LIMIT: Duration = Duration::from_secs(600);
/// `timeoutSeconds: 0`, and at most.
const NO_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Output of a command that is kept.
const OUTPUT: usize = 16 << 10;
const OUTPUT_MAX: u64 = 256 << 10;
const STACK: usize = crate::sys::stack(256 << 10);
/// Sessions of isolated runs are removed this long after their last word (`cron.sessionRetention`).
const SESSIONS_KEPT_MS: i64 = 24 * 3_600_000;
/// Old sessions removed with one run.
const SWEPT: usize = 20;

/// Nobody is there to be asked.
const UNATTENDED: &str = "This turn was started by a schedule; nobody is present. Your answer is the result itself: no \
                          plan, no question, no announcement of what you are going to do. Say plainly what did not work. If there is nothing to report, reply NO_REPLY and \
                          nothing else.";

impl State {
    /// Jobs that may run side by side.
    pub(in crate::hub) fn cron_most(&self) -> usize {
        self.shared.config.get().cron.max_concurrent_runs.map_or(SIDE_BY_SIDE, |most| most as usize).max(1)
    }

    /// Lets waiting jobs begin, as many as may run side by side.
    pub(super) fn cron_dispatch(&mut self, now: Now) {
        let config = self.shared.config.get();
        let most = self.cron_most();
        while self.cron.active.len() < most
            && let Some(Waits { job_id, slot, next }) = self.cron.waiting.pop_front()
        {
            let Some(job) = self.cron.jobs.get(&job_id) else { continue };
            let held =
                if job.spends() { self.cron.brake.stopped(config.cron.max_tokens_per_day, now.ms) } else { None };
            if !job.spec().enabled {
                self.cron.busy.remove(&job_id);
                continue;
            }
            if job.is_heartbeat() {
                self.cron.busy.remove(&job_id);
                self.beat(&job_id, slot, next, held, now);
                continue;
            }
            let run_id: RunId = format!("cron:{job_id}:{slot}").into();
            self.claim(&job_id, run_id, Some((slot, next)), held, None, now);
        }
    }

    /// `cron.run`: a run out of turn; the schedule stays as it is.
    pub fn run_job(&mut self, id: &str, ticket: Ticket, now: Now) {
        self.cron.busy.insert(id.to_string());
        self.cron.waiting.retain(|waits| waits.job_id != id);
        self.cron.numbered += 1;
        let run_id: RunId = format!("manual:{id}:{}:{}", now.ms, self.cron.numbered).into();
        self.claim(id, run_id, None, None, Some(ticket), now);
    }

    /// Whether a run of a job is on its way.
    pub fn job_is_busy(&self, id: &str) -> bool {
        self.cron.busy.contains(id) && self.cron.waiting.iter().all(|waits| waits.job_id != id)
    }

    /// Writes the job as begun. Its run begins when that is on the disk.
    fn claim(
        &mut self,
        job_id: &str,
        run_id: RunId,
        slot: Option<(i64, Option<i64>)>,
        held: Option<String>,
        ticket: Option<Ticket>,
        now: Now,
    ) {
        let agent = self.cron.jobs.get(job_id).and_then(|job| self.agent_of_job(job));
        let config = self.shared.config.get();
        let Some(job) = self.cron.jobs.get_mut(job_id) else { return };
        let before = job.clone();
        job.begin(&run_id, slot.map(|(slot, _)| slot), slot.and_then(|(_, next)| next), now.ms);
        let agent_id: Arc<str> = agent.as_deref().unwrap_or_else(|| config.default_agent_id()).into();
        let session_key = session_of(job, &agent_id, main_key(&config));
        let isolated = job.spec().session_target == "isolated";
        let name = format!("Automation: {}", job.spec().display_name.as_deref().unwrap_or(&job.spec().name));
        let room = isolated && held.is_none() && matches!(job.spec().payload, CronPayload::AgentTurn { .. });
        let text = written(job);
        let run = Active {
            job_id: job_id.to_string(),
            agent_id: agent_id.clone(),
            session_key: session_key.clone().into(),
            begun: now.at,
            begun_ms: now.ms,
            manual: slot.is_none(),
            abort: Abort::new(),
        };
        self.cron.active.insert(run_id.clone(), run);
        self.cron.begun.insert(job_id.to_string(), now.at);
        let (hub, id, now_ms) = (self.hub.clone(), job_id.to_string(), signed(now.ms));
        let job_id = id.clone();
        self.store.submit_sized(
            "write an automation as begun",
            text.len(),
            move |conn| {
                kv::set(conn, runs_of_jobs::JOBS, &id, &text)?;
                if room { furnish(conn, &session_key, &agent_id, &name, now_ms) } else { Ok(()) }
            },
            move |result| {
                // The gateway is stopping: the next one finds the job as it was, or as begun.
                let _ = hub.tell("automation begins", move |state, now| match result {
                    Ok(()) => {
                        if let Some(ticket) = ticket {
                            ticket.answer_with(Ok(CronRunResult {
                                ok: true,
                                enqueued: Some(true),
                                ran: None,
                                reason: None,
                                run_id: Some(run_id.to_string()),
                                process_instance_id: Some(state.shared.boot.boot_id.clone()),
                            }));
                        }
                        let unowned = agent.is_none().then(|| "the job's agent does not exist".to_string());
                        match unowned.or(held) {
                            Some(why) => state.job_came(&run_id, Came::skipped(why), now),
                            None => state.launch_job(&run_id, now),
                        }
                    }
                    Err(error) => {
                        log::error!("{error}; the automation is tried again in a minute");
                        state.cron.active.remove(&run_id);
                        state.cron.busy.remove(&job_id);
                        state.cron.begun.remove(&job_id);
                        if let Some(job) = state.cron.jobs.get_mut(&job_id)
                            && job.record.run_id.as_deref() == Some(&*run_id)
                        {
                            job.record.state = before.record.state;
                            job.record.used_slot_ms = before.record.used_slot_ms;
                            job.record.run_id = None;
                        }
                        if let Some(ticket) = ticket {
                            ticket.answer(Err(crate::hub::sessions::stored(error)));
                        }
                        state.arm_cron(now);
                    }
                });
            },
        );
    }

    /// The model of a job, unless it may no longer be chosen: then the agent's own.
    fn permitted(&self, model: Option<String>, agent_id: &str, run_id: &RunId) -> Option<String> {
        let config = self.shared.config.get();
        let policy = config.model_policy(agent_id);
        model.filter(|name| {
            let full = config.model_for_alias(agent_id, name).unwrap_or(name);
            let allowed = full.split_once('/').is_none_or(|(provider, model)| policy.allows(provider, model));
            if !allowed {
                log::warn!("{run_id}: {}", policy.refusal(full));
            }
            allowed
        })
    }

    /// The job is on the disk as begun.
    fn launch_job(&mut self, run_id: &RunId, now: Now) {
        let Some(run) = self.cron.active.get(run_id) else { return };
        let Some(job) = self.cron.jobs.get(&run.job_id) else { return };
        self.tell_cron(&CronEvent {
            job: Some(job.shown()),
            run_at_ms: Some(run.begun_ms),
            run_id: Some(run_id),
            next_run_at_ms: job.state().next_run_at_ms,
            ..CronEvent::of(job.id(), "started")
        });
        let (agent_id, session_key) = (run.agent_id.clone(), run.session_key.clone());
        match job.spec().payload.clone() {
            CronPayload::SystemEvent { text, .. } => {
                let mode = job.spec().wake_mode;
                self.event_job(run_id, &agent_id, &session_key, text, mode, now);
            }
            CronPayload::AgentTurn {
                message,
                model,
                fallbacks,
                thinking,
                timeout_seconds,
                tools_allow,
                light_context,
                ..
            } => {
                let model = self.permitted(model, &agent_id, run_id);
                let input = Input {
                    text: message.into(),
                    model,
                    fallbacks,
                    thinking,
                    tools_allow: tools_allow.filter(|names| names.iter().all(|name| name != "*")),
                    light: light_context == Some(true),
                    unattended: true,
                    extra_system: Some(UNATTENDED.into()),
                    created_via: "cron",
                    ..Input::default()
                };
                self.begin_turn(run_id, &agent_id, &session_key, input, limit(timeout_seconds, TURN_LIMIT), now);
            }
            CronPayload::Command { argv, cwd, env, timeout_seconds, output_max_bytes, .. } => {
                let workspace = self.shared.config.get().agent_workspace(&agent_id);
                let spec = child::Spec {
                    argv,
                    cwd: Some(cwd.map_or(workspace, |cwd| self.shared.config.get().expand(&cwd))),
                    base: Env::of_process(),
                    extra: env.into_iter().flatten().collect(),
                    time_limit: limit(timeout_seconds, COMMAND_LIMIT).unwrap_or(NO_LIMIT),
                    output_cap: output_max_bytes.map_or(OUTPUT, |most| most.min(OUTPUT_MAX) as usize),
                };
                self.command_job(run_id, spec, now);
            }
            CronPayload::Heartbeat | CronPayload::Unbuilt => {
                self.job_came(run_id, Came::failed("this payload is not built"), now);
            }
        }
    }

    /// A reminder for a conversation, now or with its next turn.
    fn event_job(
        &mut self,
        run_id: &RunId,
        agent_id: &Arc<str>,
        key: &Arc<str>,
        text: String,
        mode: WakeMode,
        now: Now,
    ) {
        let mut came = Came::new(RunStatus::Ok);
        came.summary.clone_from(&text);
        came.session_key = Some(key.to_string());
        if mode == WakeMode::NextHeartbeat {
            if self.wakes.put(key, text) == Queued::Full {
                came = Came::failed("too many sessions have events waiting");
            }
            return self.job_came(run_id, came, now);
        }
        let input =
            Input { text: format!("System: {text}").into(), unattended: true, created_via: "cron", ..Input::default() };
        self.begin_turn(run_id, agent_id, key, input, None, now);
    }

    fn begin_turn(
        &mut self,
        run_id: &RunId,
        agent_id: &Arc<str>,
        session_key: &Arc<str>,
        input: Input,
        timeout: Option<Duration>,
        now: Now,
    ) {
        let new = NewRun {
            run_id: run_id.clone(),
            session_key: session_key.clone(),
            agent_id: agent_id.clone(),
            input,
            starter: Starter::Inbox,
            conn: 0,
            timeout,
            received: now.at,
        };
        if let Err(RpcError { message, .. }) = self.begin_own(new, now) {
            self.job_came(run_id, Came::failed(message), now);
        }
    }

    fn command_job(&mut self, run_id: &RunId, spec: child::Spec, now: Now) {
        let Some(run) = self.cron.active.get(run_id) else { return };
        let (hub, abort, id) = (self.hub.clone(), run.abort.clone(), run_id.clone());
        let spawned = std::thread::Builder::new().name("automation".into()).stack_size(STACK).spawn(move || {
            if let Some(cwd) = &spec.cwd {
                // The workspace of an agent that never had a turn; of another directory the command says it.
                drop(std::fs::create_dir_all(cwd));
            }
            let came = match child::run(&spec, &abort, &mut |_| {}) {
                Ok(ended) => of_command(ended),
                Err(error) => {
                    let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
                    Came::failed(format!("{error}{}", source.unwrap_or_default()))
                }
            };
            // The gateway is stopping: the run is reported as interrupted by the next one.
            let _ = hub.tell("automation command ended", move |state, now| state.job_came(&id, came, now));
        });
        if let Err(error) = spawned {
            self.job_came(run_id, Came::failed(format!("start a thread: {error}")), now);
        }
    }

    /// Commands end with the gateway.
    pub(in crate::hub) fn stop_commands(&self) {
        for run in self.cron.active.values() {
            run.abort.fire();
        }
    }
}

fn of_command(ended: child::Outcome) -> Came {
    let output = ended.output.trim().to_string();
    let why = match (ended.exit_code, ended.signal) {
        (Some(0), _) => None,
        _ if ended.timed_out => Some("the command took too long".to_string()),
        _ if ended.aborted => Some("the command was stopped".to_string()),
        (Some(code), _) => Some(format!("the command ended with {code}")),
        (None, signal) => Some(format!("the command was ended by signal {}", signal.unwrap_or(0))),
    };
    let reason = ended.timed_out.then(|| "timeout".to_string());
    match why {
        None => Came { summary: output, ..Came::new(RunStatus::Ok) },
        Some(why) => {
            let last = output.lines().last().map(|line| format!(": {}", cut(line, 200))).unwrap_or_default();
            Came { summary: output, error_reason: reason, ..Came::failed(format!("{why}{last}")) }
        }
    }
}

fn limit(seconds: Option<f64>, usual: Duration) -> Option<Duration> {
    match seconds {
        None => Some(usual),
        Some(seconds) if seconds > 0.0 && seconds.is_finite() => {
            Some(Duration::try_from_secs_f64(seconds).unwrap_or(NO_LIMIT).min(NO_LIMIT))
        }
        Some(_) => None,
    }
}

/// Where a job runs.
fn session_of(job: &Job, agent_id: &str, main_key: &str) -> String {
    let spec = job.spec();
    match spec.session_target.as_str() {
        "main" => session::canonical(spec.session_key.as_deref().unwrap_or("main"), agent_id, main_key),
        "isolated" => format!("agent:{agent_id}:cron:{}:run:{}", job.id(), random::uuid()),
        other => session::canonical(other.strip_prefix("session:").unwrap_or(other), agent_id, main_key),
    }
}

/// Makes the session of an isolated run, with a name people know it by, and removes old ones.
fn furnish(conn: &Connection, key: &str, agent_id: &str, name: &str, now_ms: i64) -> Result<(), StoreError> {
    let (mut row, _) = sessions::ensure(conn, key, agent_id, now_ms, Some("cron"))?;
    row.display_name = Some(cut(name, 120).to_string());
    sessions::update(conn, &row)?;
    for old in sessions::keys_before(conn, "agent:*:cron:*:run:*", now_ms - SESSIONS_KEPT_MS, SWEPT)? {
        sessions::delete(conn, &old)?;
    }
    Ok(())
}
