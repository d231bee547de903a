//! A run of a job has ended: its result goes where it is wanted, then everything about it is written in one piece.

use std::sync::Arc;

use super::job::{Came, Kept};
use super::outlet::{Post, Wanted};
use super::{Active, CronEvent, SPENT, written};
use crate::hub::run::{Outcome, RunId, Status};
use crate::hub::{Now, State};
use crate::store::{cron as runs_of_jobs, kv};
use crate::wire::cron::*;
use crate::wire::frame::cut;
use crate::wire::tree::json;

/// Of an answer, in the history.
const SUMMARY: usize = 8 << 10;
const ERROR: usize = 1 << 10;
/// What an agent says that has nothing to say.
pub const SILENT: [&str; 2] = ["NO_REPLY", "HEARTBEAT_OK"];
/// Failures in a row before somebody is told, when a job wants that and does not say.
const ALERT_AFTER: u32 = 1;
/// Between two alerts of one job.
const ALERT_COOLDOWN_MS: u64 = 3_600_000;

impl State {
    /// A run has ended: was it a job's, or the gateway's own?
    pub(in crate::hub) fn run_of_job_ended(&mut self, run_id: &RunId, outcome: &Outcome, now: Now) {
        if self.heartbeat_ended(run_id, outcome, now) {
            return;
        }
        let Some(run) = self.cron.active.get(run_id) else { return };
        let came = came_of(outcome, &run.session_key);
        let (manual, reason, tokens) = (run.manual, came.error_reason.clone(), outcome.usage.total_tokens);
        self.count_automatic(manual, outcome.status, reason.as_deref(), tokens, now);
        self.job_came(run_id, came, now);
    }

    /// Keeps the books of what automatic runs cost.
    pub(super) fn count_automatic(
        &mut self,
        manual: bool,
        status: Status,
        reason: Option<&str>,
        tokens: u64,
        now: Now,
    ) {
        if manual {
            if status == Status::Ok {
                self.cron.brake.lift();
            }
            return;
        }
        let reason = if status == Status::Ok { None } else { Some(reason.unwrap_or("unknown")) };
        if self.cron.brake.ended(reason, tokens, now.ms) {
            log::error!("{}", self.cron.brake.stopped(None, now.ms).unwrap_or_default());
        }
        let spent = serde_json::to_string(&self.cron.brake.spent()).unwrap_or_default();
        self.store.submit(
            "count tokens",
            move |conn| kv::set(conn, SPENT, "spent", &spent),
            |result| {
                if let Err(error) = result {
                    log::warn!("{error}");
                }
            },
        );
    }

    /// The work of a run is done; what is left is to deliver and to write.
    pub(super) fn job_came(&mut self, run_id: &RunId, mut came: Came, now: Now) {
        let Some(run) = self.cron.active.get(run_id) else { return };
        came.duration_ms = millis(now.at.saturating_duration_since(run.begun));
        came.session_key.get_or_insert_with(|| run.session_key.to_string());
        let Some(job) = self.cron.jobs.get(&run.job_id) else {
            // Removed while it ran: its history stays.
            let run = self.cron.active.remove(run_id);
            if let Some(run) = run {
                self.cron.busy.remove(&run.job_id);
                self.cron_tick(now);
            }
            return;
        };
        let Some(delivery) = job.spec().delivery.clone().filter(|delivery| delivery.mode != DeliveryMode::None) else {
            return self.settle(run_id, came, now);
        };
        came.best_effort = delivery.best_effort == Some(true);
        let text = came.summary.trim();
        if came.status != RunStatus::Ok {
            // Failures are told by the job's failure alert.
            if delivery.mode == DeliveryMode::Announce {
                return self.settle(run_id, came, now);
            }
        } else if text.is_empty() || SILENT.contains(&text) {
            came.suppressed = Some(if text.is_empty() { "empty" } else { "silent" });
            came.delivery = DeliveryStatus::NotDelivered;
            return self.settle(run_id, came, now);
        }
        let (hub, id) = (self.hub.clone(), run_id.clone());
        let (agent_id, key) = (run.agent_id.clone(), run.session_key.clone());
        let body = event_body(job.id(), &job.spec().name, run_id, run.begun_ms, &came);
        let summary = came.summary.clone();
        let settle: super::outlet::Done = Box::new(move |result: Result<(), String>| {
            // The gateway is stopping: the next one reports the run by what the run itself has written.
            let _ = hub.tell("automation delivered", move |state, now| {
                match result {
                    Ok(()) => came.delivery = DeliveryStatus::Delivered,
                    Err(why) => {
                        came.delivery = DeliveryStatus::NotDelivered;
                        came.delivery_error = Some(why);
                    }
                }
                state.settle(&id, came, now);
            });
        });
        if let Some(also) = &delivery.completion_destination {
            self.post_result(&also.to, body.clone(), Box::new(tell_failure));
        }
        match delivery.mode {
            DeliveryMode::Webhook => self.post_result(delivery.to.as_deref().unwrap_or(""), body, settle),
            _ => {
                let wanted = Wanted {
                    agent_id: &agent_id,
                    session_key: &key,
                    channel: delivery.channel.as_deref(),
                    to: delivery.to.as_deref(),
                    account_id: delivery.account_id.as_deref(),
                    thread_id: delivery.thread_id.as_ref(),
                };
                match self.cron.outlet.route(&wanted) {
                    Ok(route) => self.cron.outlet.send(route, summary, settle),
                    Err(why) => settle(Err(why)),
                }
            }
        }
    }

    fn post_result(&self, url: &str, body: String, done: super::outlet::Done) {
        let token = self.shared.config.get().cron.webhook_token.clone();
        self.cron.outlet.post(Post { url: url.to_string(), token, body }, done);
    }

    /// Writes the end of a run and what follows for its job, then tells clients.
    fn settle(&mut self, run_id: &RunId, came: Came, now: Now) {
        let Some(run) = self.cron.active.remove(run_id) else { return };
        self.cron.busy.remove(&run.job_id);
        let Some(job) = self.cron.jobs.get_mut(&run.job_id) else { return self.cron_tick(now) };
        let kept = job.end(&came, now.ms);
        let alert = alert_of(job, &came, now.ms);
        let entry = entry_of(job, run_id, &run, &came, now);
        let (text, id) = (written(job), run.job_id.clone());
        let row = runs_of_jobs::RunRow {
            run_id: run_id.to_string(),
            job_id: id.clone(),
            agent_id: run.agent_id.to_string(),
            status: entry.status.word().into(),
            delivery: entry.delivery_status.word().into(),
            entry: serde_json::to_string(&entry).unwrap_or_default(),
        };
        if came.status == RunStatus::Error {
            log::warn!("automation {:?} failed: {}", job.spec().name, came.error.as_deref().unwrap_or(""));
        }
        if let Some(alert) = alert {
            self.alert(&alert, &run);
        }
        let hub = self.hub.clone();
        let job = self.cron.jobs.get(&run.job_id).cloned();
        if kept == Kept::Remove {
            self.cron.jobs.remove(&run.job_id);
            self.cron.begun.remove(&run.job_id);
        }
        self.store.submit_sized(
            "write the end of an automation",
            text.len() + row.entry.len(),
            move |conn| {
                runs_of_jobs::put(conn, &row)?;
                match kept {
                    Kept::Stays => kv::set(conn, runs_of_jobs::JOBS, &id, &text),
                    Kept::Remove => kv::delete(conn, runs_of_jobs::JOBS, &id).map(drop),
                }
            },
            move |result| {
                if let Err(error) = &result {
                    log::error!("{error}");
                }
                // The gateway is stopping: nobody is left to be told.
                let _ = hub.tell("automation ended", move |state, _| {
                    let Some(job) = &job else { return };
                    state.tell_cron(&CronEvent {
                        job: Some(job.shown()),
                        run_at_ms: Some(entry.run_at_ms),
                        next_run_at_ms: entry.next_run_at_ms,
                        status: Some(entry.status),
                        completion_status: Some(entry.completion_status),
                        error: entry.error.as_deref(),
                        summary: entry.summary.as_deref(),
                        run_id: Some(&entry.run_id),
                        session_key: entry.session_key.as_deref(),
                        delivery_status: Some(entry.delivery_status),
                        duration_ms: Some(entry.duration_ms),
                        ..CronEvent::of(job.id(), "finished")
                    });
                    if kept == Kept::Remove {
                        state.tell_cron(&CronEvent { job: Some(job.shown()), ..CronEvent::of(job.id(), "removed") });
                    }
                });
            },
        );
        self.cron_tick(now);
    }

    /// A run was begun by an earlier life of the gateway; `ended` is what the run itself has written, if it has.
    pub(super) fn settle_interrupted(&mut self, job_id: &str, run_id: &RunId, ended: Option<&str>, now: Now) {
        let Some(job) = self.cron.jobs.get(job_id) else { return };
        let agent_id = self.agent_of_job(job).unwrap_or_default();
        let mut came = match ended {
            Some("done") => Came::new(RunStatus::Ok),
            Some(other) => Came::failed(format!("the run ended as {other}")),
            None => Came::failed("the run was interrupted by the end of the gateway; it is not repeated"),
        };
        if ended == Some("done") && job.spec().delivery.as_ref().is_some_and(|d| d.mode != DeliveryMode::None) {
            came.delivery = DeliveryStatus::Unknown;
        }
        let begun_ms = job.state().running_at_ms.unwrap_or(now.ms);
        let run = Active {
            job_id: job_id.to_string(),
            agent_id: agent_id.into(),
            session_key: "".into(),
            begun: now.at,
            begun_ms,
            manual: false,
            abort: crate::sys::abort::Abort::new(),
        };
        self.cron.active.insert(run_id.clone(), run);
        self.settle(run_id, came, now);
    }

    /// A slot that is too old: said in the log and in the history.
    pub(super) fn missed(&mut self, job_id: &str, slot: i64, now: Now) {
        let Some(job) = self.cron.jobs.get_mut(job_id) else { return };
        if job.is_heartbeat() {
            return self.save_job(job_id);
        }
        let when = crate::sys::clock::iso(u64::try_from(slot).unwrap_or(0));
        log::warn!("automation {:?} missed its time {when}", job.spec().name);
        let run_id: RunId = format!("cron:{job_id}:{slot}").into();
        let run = Active {
            job_id: job_id.to_string(),
            agent_id: Arc::from(""),
            session_key: "".into(),
            begun: now.at,
            begun_ms: u64::try_from(slot).unwrap_or(0),
            manual: false,
            abort: crate::sys::abort::Abort::new(),
        };
        let mut came = Came::skipped(format!("missed at {when}: the gateway was not there, or the clock was set"));
        came.session_key = None;
        let entry = entry_of(job, &run_id, &run, &came, now);
        let skips = &mut job.record.state.consecutive_skipped;
        *skips = Some(skips.unwrap_or(0).saturating_add(1));
        job.record.state.last_run_status = Some(RunStatus::Skipped);
        job.record.state.last_status = Some(RunStatus::Skipped);
        job.record.state.last_error.clone_from(&came.error);
        let (text, id) = (written(job), job_id.to_string());
        let row = runs_of_jobs::RunRow {
            run_id: run_id.to_string(),
            job_id: id.clone(),
            agent_id: String::new(),
            status: entry.status.word().into(),
            delivery: entry.delivery_status.word().into(),
            entry: serde_json::to_string(&entry).unwrap_or_default(),
        };
        self.store.submit_sized(
            "write a missed automation",
            text.len() + row.entry.len(),
            move |conn| {
                runs_of_jobs::put(conn, &row)?;
                kv::set(conn, runs_of_jobs::JOBS, &id, &text)
            },
            |result| {
                if let Err(error) = result {
                    log::warn!("{error}");
                }
            },
        );
    }

    fn alert(&self, alert: &Alert, run: &Active) {
        if alert.rule.mode == Some(DeliveryMode::Webhook) {
            let body = json!({"event": "automation.failed", "text": alert.text}).to_string();
            return self.post_result(alert.rule.to.as_deref().unwrap_or(""), body, Box::new(tell_failure));
        }
        let wanted = Wanted {
            agent_id: &run.agent_id,
            session_key: &run.session_key,
            channel: alert.rule.channel.as_deref(),
            to: alert.rule.to.as_deref(),
            account_id: alert.rule.account_id.as_deref(),
            thread_id: None,
        };
        match self.cron.outlet.route(&wanted) {
            Ok(route) => self.cron.outlet.send(route, alert.text.clone(), Box::new(tell_failure)),
            Err(why) => tell_failure(Err(why)),
        }
    }
}

fn tell_failure(result: Result<(), String>) {
    if let Err(why) = result {
        log::warn!("an automation's result could not be delivered: {why}");
    }
}

struct Alert {
    rule: FailureAlertRule,
    text: String,
}

/// Whether somebody is to be told that a job fails, by its alert or its failure destination.
fn alert_of(job: &mut super::Job, came: &Came, now_ms: u64) -> Option<Alert> {
    let spec = job.spec();
    let destination = spec.delivery.as_ref().and_then(|delivery| delivery.failure_destination.clone());
    let rule = match (&spec.failure_alert, destination) {
        (Some(FailureAlert::On(rule)), _) => (**rule).clone(),
        (Some(FailureAlert::Off(_)), _) => return None,
        (None, Some(to)) => FailureAlertRule {
            channel: to.channel,
            to: to.to,
            account_id: to.account_id,
            mode: to.mode,
            ..FailureAlertRule::default()
        },
        (None, None) => return None,
    };
    let state = job.state();
    let counts = match came.status {
        RunStatus::Ok => return None,
        RunStatus::Error => state.consecutive_errors,
        RunStatus::Skipped if rule.include_skipped == Some(true) => state.consecutive_skipped,
        RunStatus::Skipped => return None,
    };
    let cooldown = rule.cooldown_ms.unwrap_or(ALERT_COOLDOWN_MS);
    let recent = state.last_failure_alert_at_ms.is_some_and(|at| now_ms.saturating_sub(at) < cooldown && at <= now_ms);
    if counts.unwrap_or(0) < rule.after.unwrap_or(ALERT_AFTER) || recent {
        return None;
    }
    let why = came.error.as_deref().unwrap_or("no reason is known");
    let text = format!("Automation {:?} failed {} times in a row: {}", spec.name, counts.unwrap_or(1), cut(why, ERROR));
    job.record.state.last_failure_alert_at_ms = Some(now_ms);
    Some(Alert { rule, text })
}

/// How the run of an agent came out.
pub(super) fn came_of(outcome: &Outcome, session_key: &str) -> Came {
    let failure = outcome.failure.as_ref();
    let mut came = match outcome.status {
        Status::Ok => Came::new(RunStatus::Ok),
        Status::Error => Came::failed(failure.map_or("the run failed", |f| &f.message)),
        Status::Aborted => Came::failed("the run was stopped"),
        Status::TimedOut => Came::failed("the run took too long"),
    };
    came.error_reason = match outcome.status {
        Status::TimedOut => Some("timeout".into()),
        Status::Error => Some(failure.map_or("unknown".into(), |f| reason_of(&f.reason))),
        _ => None,
    };
    came.summary.clone_from(&outcome.text);
    came.usage = (outcome.usage.total_tokens > 0).then_some(CronUsage {
        input_tokens: outcome.usage.input,
        output_tokens: outcome.usage.output,
        total_tokens: outcome.usage.total_tokens,
    });
    came.model = Some(outcome.model.clone()).filter(|model| !model.is_empty());
    came.provider = Some(outcome.provider.clone()).filter(|provider| !provider.is_empty());
    came.session_id = Some(outcome.session_id.clone()).filter(|id| !id.is_empty());
    came.session_key = Some(session_key.to_string());
    came
}

/// A reason in the words of the protocol.
fn reason_of(reason: &str) -> String {
    const KNOWN: [&str; 10] = [
        "auth",
        "auth_permanent",
        "format",
        "rate_limit",
        "overloaded",
        "billing",
        "server_error",
        "timeout",
        "context_overflow",
        "model_not_found",
    ];
    if KNOWN.contains(&reason) { reason.into() } else { "unclassified".into() }
}

fn entry_of(job: &super::Job, run_id: &RunId, run: &Active, came: &Came, now: Now) -> CronRunLogEntry {
    let words = |text: &str, most| Some(cut(text.trim(), most).to_string()).filter(|text| !text.is_empty());
    CronRunLogEntry {
        ts: now.ms,
        job_id: job.id().to_string(),
        action: "finished",
        status: came.status,
        completion_status: if came.is_complete() { "succeeded" } else { "failed" },
        error: came.error.as_deref().and_then(|error| words(error, ERROR)),
        error_reason: came.error_reason.clone(),
        summary: words(&came.summary, SUMMARY),
        run_id: run_id.to_string(),
        run_at_ms: run.begun_ms,
        duration_ms: came.duration_ms,
        next_run_at_ms: job.state().next_run_at_ms,
        model: came.model.clone(),
        provider: came.provider.clone(),
        usage: came.usage,
        delivered: came.delivery == DeliveryStatus::Delivered,
        delivery_status: came.delivery,
        delivery_error: came.delivery_error.as_deref().and_then(|error| words(error, ERROR)),
        delivery_suppression_reason: came.suppressed.map(str::to_string),
        session_id: came.session_id.clone(),
        session_key: came.session_key.clone().filter(|key| !key.is_empty()),
        job_name: cut(&job.spec().name, 200).to_string(),
    }
}

fn event_body(job_id: &str, name: &str, run_id: &str, run_at_ms: u64, came: &Came) -> String {
    json!({
        "action": "finished", "jobId": job_id, "jobName": name, "runId": run_id, "runAtMs": run_at_ms,
        "status": came.status, "summary": came.summary, "error": came.error, "durationMs": came.duration_ms,
        "sessionKey": came.session_key,
    })
    .to_string()
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
