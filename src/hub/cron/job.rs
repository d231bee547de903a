//! One job: what its owner wrote, what is remembered of it, and how each changes. Pure: the clock comes in.
//!
//! Invariants: a job that is in memory has a schedule that can be asked; what is stored reads back as what was stored.

use serde::Serialize;

use super::expr::Expr;
use super::schedule::{self, Schedule, Slots};
use crate::wire::cron::*;
use crate::wire::object::objects;

/// Jobs of one gateway.
pub const JOBS_MAX: usize = 1_000;
/// One job as JSON.
pub const JOB_BYTES: usize = 64 << 10;
/// All jobs together: they are held in memory.
pub const ALL_BYTES: usize = 2 << 20;
/// A job that fails again and again is tried after these pauses (seconds), the last one for good.
const PAUSES_S: [i64; 5] = [30, 60, 300, 900, 3600];
/// Failures in a row after which a recurring job is switched off. At an hour between two tries this is a day.
const FAILURES_MAX: u32 = 24;
/// Failures that do not mend themselves (no key, no credit) switch it off after so many.
const FAILURES_MAX_PERMANENT: u32 = 3;

/// A job in memory.
#[derive(Debug, Clone)]
pub struct Job {
    pub record: Record,
    pub schedule: Schedule,
    /// Changes with what the owner wrote.
    pub revision: String,
    pub bytes: usize,
}

objects! { lenient:
    /// A job on the disk.
    #[derive(Debug, Clone, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct Record {
        pub id: String,
        pub spec: CronSpec,
        pub created_at_ms: u64,
        pub updated_at_ms: u64,
        pub state: CronState,
        /// The latest slot that was handed out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub used_slot_ms: Option<i64> = default,
        /// The run that was begun and whose end is not on the disk.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub run_id: Option<String> = default,
    }
}

impl Job {
    pub fn new(id: String, spec: CronSpec, now_ms: u64) -> Result<Job, String> {
        let record = Record {
            id,
            spec,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
            state: CronState::default(),
            used_slot_ms: None,
            run_id: None,
        };
        let mut job = Job::of(record)?;
        job.arm(now_ms);
        Ok(job)
    }

    /// From what was stored.
    pub fn of(record: Record) -> Result<Job, String> {
        let schedule = compile(&record.id, &record.spec.schedule, record.created_at_ms)?;
        let text = serde_json::to_string(&record.spec).unwrap_or_default();
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let revision = {
            use base64::Engine;
            format!("sha256:{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest))
        };
        let bytes = text.len();
        if bytes > JOB_BYTES {
            return Err(format!("an automation has at most {JOB_BYTES} bytes"));
        }
        Ok(Job { record, schedule, revision, bytes })
    }

    /// What the owner wrote has changed; a changed schedule begins anew.
    pub fn rewrite(&self, spec: CronSpec, now_ms: u64) -> Result<Job, String> {
        let (old, mut record) = (&self.record.spec, self.record.clone());
        let again = old.schedule != spec.schedule || !old.enabled && spec.enabled;
        record.spec = spec;
        record.updated_at_ms = now_ms.max(record.updated_at_ms);
        if again {
            record.used_slot_ms = None;
            record.state.schedule_activated_at_ms = Some(now_ms);
            record.state.consecutive_errors = record.state.consecutive_errors.map(|_| 0);
            record.state.auto_disabled = None;
        }
        let mut job = Job::of(record)?;
        if again || !job.record.spec.enabled {
            job.arm(now_ms);
        }
        Ok(job)
    }

    fn arm(&mut self, now_ms: u64) {
        let now = signed(now_ms);
        let next = match &self.schedule {
            Schedule::At(at) => Some(*at),
            other => other.next(now),
        };
        self.record.state.next_run_at_ms =
            next.filter(|_| self.record.spec.enabled).and_then(|n| u64::try_from(n).ok());
    }

    pub fn id(&self) -> &str {
        &self.record.id
    }

    pub fn spec(&self) -> &CronSpec {
        &self.record.spec
    }

    pub fn state(&self) -> &CronState {
        &self.record.state
    }

    pub fn slots(&self) -> Slots {
        Slots { next: self.record.state.next_run_at_ms.map(signed), used: self.record.used_slot_ms }
    }

    pub fn set_next(&mut self, next: Option<i64>) {
        self.record.state.next_run_at_ms = next.and_then(|n| u64::try_from(n).ok());
    }

    /// The gateway's own: made from the configuration, changed only there.
    pub fn is_heartbeat(&self) -> bool {
        self.record.spec.payload == CronPayload::Heartbeat
    }

    /// Whether a run of it asks a model.
    pub fn spends(&self) -> bool {
        match &self.record.spec.payload {
            CronPayload::SystemEvent { .. } => self.record.spec.wake_mode == WakeMode::Now,
            CronPayload::Command { .. } => false,
            _ => true,
        }
    }

    /// A run begins; on the disk before anything else of it happens.
    pub fn begin(&mut self, run_id: &str, slot: Option<i64>, next: Option<i64>, now_ms: u64) {
        self.record.run_id = Some(run_id.into());
        self.record.state.running_at_ms = Some(now_ms);
        if let Some(slot) = slot {
            self.record.used_slot_ms = Some(slot);
            self.set_next(next);
        }
    }

    /// A run has ended. False: the job is done with and can be removed.
    pub fn end(&mut self, came: &Came, now_ms: u64) -> Kept {
        let state = &mut self.record.state;
        let started = state.running_at_ms.take().unwrap_or(now_ms);
        self.record.run_id = None;
        state.last_run_at_ms = Some(started);
        state.last_run_status = Some(came.status);
        state.last_status = Some(came.status);
        state.last_error = came.error.as_deref().map(|error| crate::wire::frame::cut(error, 1 << 10).to_string());
        state.last_error_reason = came.error_reason.clone();
        state.last_duration_ms = Some(came.duration_ms);
        state.last_delivered = Some(came.delivery == DeliveryStatus::Delivered);
        state.last_delivery_status = Some(came.delivery);
        state.last_delivery_error = came.delivery_error.clone();
        state.delivery_suppression_reason = came.suppressed.map(str::to_string);
        let errors = state.consecutive_errors.unwrap_or(0);
        let skips = state.consecutive_skipped.unwrap_or(0);
        state.consecutive_errors = Some(match came.status {
            RunStatus::Error => errors.saturating_add(1),
            RunStatus::Ok => 0,
            RunStatus::Skipped => errors,
        });
        state.consecutive_skipped = Some(if came.status == RunStatus::Skipped { skips.saturating_add(1) } else { 0 });
        if matches!(self.schedule, Schedule::At(_)) && self.record.used_slot_ms.is_some() {
            let done = came.status == RunStatus::Ok && came.is_complete();
            self.record.state.next_run_at_ms = None;
            if done && self.record.spec.delete_after_run == Some(true) {
                return Kept::Remove;
            }
            self.record.spec.enabled = false;
            return Kept::Stays;
        }
        if came.status == RunStatus::Error {
            self.failed(came, now_ms);
        }
        Kept::Stays
    }

    fn failed(&mut self, came: &Came, now_ms: u64) {
        let errors = self.record.state.consecutive_errors.unwrap_or(1);
        let permanent = matches!(came.error_reason.as_deref(), Some("auth" | "auth_permanent" | "billing"));
        if errors >= if permanent { FAILURES_MAX_PERMANENT } else { FAILURES_MAX } && !self.is_heartbeat() {
            self.record.spec.enabled = false;
            self.record.state.next_run_at_ms = None;
            self.record.state.auto_disabled =
                Some(AutoDisabled { reason: "consecutive-failures".into(), at_ms: now_ms, consecutive_errors: errors });
            return;
        }
        let pause = PAUSES_S[(errors as usize).clamp(1, PAUSES_S.len()) - 1] * 1000;
        let next = self.schedule.not_before(self.slots().next, signed(now_ms).saturating_add(pause));
        self.set_next(next);
    }

    /// As clients see it.
    pub fn shown(&self) -> CronJob<'_> {
        let state = &self.record.state;
        CronJob {
            id: &self.record.id,
            spec: &self.record.spec,
            created_at_ms: self.record.created_at_ms,
            updated_at_ms: self.record.updated_at_ms,
            config_revision: Some(&self.revision),
            scheduled_tool_policy: ToolPolicyMark { version: 1, mode: "trusted" },
            state,
            next_run_at_ms: state.next_run_at_ms,
            last_run_at_ms: state.last_run_at_ms,
            last_run_status: state.last_run_status,
            last_run_error: state.last_error.as_deref(),
            last_delivered: state.last_delivered,
            last_delivery_status: state.last_delivery_status,
            last_delivery_error: state.last_delivery_error.as_deref(),
        }
    }
}

/// Whether a job outlives its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Stays,
    Remove,
}

/// How a run of a job came out.
#[derive(Debug, Clone)]
pub struct Came {
    pub status: RunStatus,
    pub error: Option<String>,
    pub error_reason: Option<String>,
    pub summary: String,
    pub duration_ms: u64,
    pub delivery: DeliveryStatus,
    pub delivery_error: Option<String>,
    /// Why nothing was delivered although it could have been: `silent`, `empty`.
    pub suppressed: Option<&'static str>,
    /// A delivery that fails does not make the run fail.
    pub best_effort: bool,
    pub usage: Option<CronUsage>,
    pub model: Option<String>,
    pub provider: Option<String>,
    pub session_id: Option<String>,
    pub session_key: Option<String>,
}

impl Came {
    pub fn new(status: RunStatus) -> Came {
        Came {
            status,
            error: None,
            error_reason: None,
            summary: String::new(),
            duration_ms: 0,
            delivery: DeliveryStatus::NotRequested,
            delivery_error: None,
            suppressed: None,
            best_effort: false,
            usage: None,
            model: None,
            provider: None,
            session_id: None,
            session_key: None,
        }
    }

    pub fn failed(why: impl Into<String>) -> Came {
        Came { error: Some(why.into()), ..Came::new(RunStatus::Error) }
    }

    pub fn skipped(why: impl Into<String>) -> Came {
        Came { error: Some(why.into()), ..Came::new(RunStatus::Skipped) }
    }

    /// Whether the run and what had to be delivered both came off.
    pub fn is_complete(&self) -> bool {
        let delivered = matches!(self.delivery, DeliveryStatus::Delivered | DeliveryStatus::NotRequested);
        self.status == RunStatus::Ok && (delivered || self.best_effort || self.suppressed.is_some())
    }
}

fn compile(id: &str, written: &CronSchedule, created_ms: u64) -> Result<Schedule, String> {
    match written {
        CronSchedule::At { at } => schedule::moment(at)
            .map(Schedule::At)
            .ok_or_else(|| "schedule.at is no time (ISO 8601, as in 2027-02-01T16:00:00Z)".into()),
        CronSchedule::Every { every_ms: 0, .. } => Err("schedule.everyMs must be at least 1".into()),
        CronSchedule::Every { every_ms, anchor_ms } => Ok(Schedule::Every {
            every_ms: signed((*every_ms).min(MOMENT_MAX)),
            anchor_ms: signed(anchor_ms.unwrap_or(created_ms).min(MOMENT_MAX)),
        }),
        CronSchedule::Cron { expr, tz, stagger_ms } => {
            let expr = Expr::parse(expr).map_err(|why| format!("schedule.expr: {why}"))?;
            let zone = schedule::zone(tz.as_deref()).map_err(|why| format!("schedule.tz: {why}"))?;
            let window = stagger_ms.unwrap_or(0).min(24 * 3_600_000);
            Ok(Schedule::Cron { expr: Box::new(expr), zone, stagger_ms: schedule::stagger(id, window) })
        }
        CronSchedule::Unbuilt => {
            Err("schedule.kind must be at, every or cron: this gateway watches no commands".into())
        }
    }
}

/// Refuses what cannot be done, in the reference's words where clients match them.
pub fn check(spec: &CronSpec, now_ms: u64) -> Result<(), String> {
    if spec.name.trim().is_empty() || spec.name.len() > 200 {
        return Err("name must have 1 to 200 characters".into());
    }
    if spec.pacing.is_some() {
        return Err("pacing is not built here: use schedule.everyMs".into());
    }
    if spec.trigger.is_some() {
        return Err("trigger scripts are not built here: let the agent look and answer NO_REPLY".into());
    }
    let isolated = match spec.session_target.as_str() {
        "main" => false,
        "isolated" => true,
        other if other.strip_prefix("session:").is_some_and(|key| !key.trim().is_empty()) => true,
        _ => return Err("sessionTarget must be main, isolated, current or session:<key>".into()),
    };
    match &spec.payload {
        CronPayload::SystemEvent { text, .. } if text.trim().is_empty() => return Err("payload.text is empty".into()),
        CronPayload::SystemEvent { .. } if isolated => {
            return Err("isolated cron jobs require payload.kind=\"agentTurn\"".into());
        }
        CronPayload::AgentTurn { message, .. } if message.trim().is_empty() => {
            return Err("payload.message is empty".into());
        }
        CronPayload::AgentTurn { .. } | CronPayload::Command { .. } if !isolated => {
            return Err("main cron jobs require payload.kind=\"systemEvent\"".into());
        }
        CronPayload::Command { argv, .. } if argv.first().is_none_or(|program| program.is_empty()) => {
            return Err("payload.argv names no program".into());
        }
        CronPayload::Command { input: Some(_), .. }
        | CronPayload::Command { no_output_timeout_seconds: Some(_), .. } => {
            return Err("commands get no standard input here, and one time limit: timeoutSeconds".into());
        }
        CronPayload::Heartbeat => return Err("heartbeats are made by agents.*.heartbeat in the configuration".into()),
        CronPayload::Unbuilt => {
            return Err("payload.kind must be systemEvent, agentTurn or command: this gateway runs no scripts".into());
        }
        _ => {}
    }
    if let CronSchedule::At { at } = &spec.schedule
        && spec.enabled
        && schedule::moment(at).is_some_and(|at| at < signed(now_ms) - 60_000)
    {
        return Err("schedule.at is in the past".into());
    }
    if let Some(delivery) = &spec.delivery {
        check_delivery(delivery, isolated)?;
    }
    if let Some(FailureAlert::On(rule)) = &spec.failure_alert
        && rule.mode == Some(DeliveryMode::Webhook)
    {
        check_address(rule.to.as_deref())?;
    }
    Ok(())
}

fn check_delivery(delivery: &CronDelivery, isolated: bool) -> Result<(), String> {
    match delivery.mode {
        DeliveryMode::Announce if !isolated => {
            return Err("main-session jobs answer in their session; use an isolated job to announce".into());
        }
        DeliveryMode::Webhook => check_address(delivery.to.as_deref())?,
        _ => {}
    }
    if let Some(failure) = &delivery.failure_destination
        && failure.mode == Some(DeliveryMode::Webhook)
    {
        check_address(failure.to.as_deref())?;
    }
    match &delivery.completion_destination {
        Some(also) => check_address(Some(&also.to)),
        None => Ok(()),
    }
}

fn check_address(to: Option<&str>) -> Result<(), String> {
    let rest = to.and_then(|to| to.strip_prefix("https://").or_else(|| to.strip_prefix("http://")));
    let Some(rest) = rest.filter(|rest| !rest.is_empty()) else {
        return Err("a webhook needs an http or https address in to".into());
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.contains('@') {
        return Err("a webhook address must not carry credentials; use cron.webhookToken".into());
    }
    Ok(())
}

/// The largest time of the protocol's integers.
const MOMENT_MAX: u64 = 8_640_000_000_000_000;

pub fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;

    pub fn spec(schedule: CronSchedule) -> CronSpec {
        CronSpec {
            name: "job".into(),
            declaration_key: None,
            display_name: None,
            owner: None,
            agent_id: None,
            session_key: None,
            description: None,
            enabled: true,
            delete_after_run: None,
            schedule,
            pacing: None,
            trigger: None,
            session_target: "isolated".into(),
            wake_mode: WakeMode::Now,
            payload: serde_json::from_str(r#"{"kind":"agentTurn","message":"hello"}"#).expect("a payload"),
            delivery: None,
            failure_alert: None,
        }
    }

    pub const NOON: u64 = 1_795_348_800_000;

    fn every(ms: u64) -> CronSchedule {
        CronSchedule::Every { every_ms: ms, anchor_ms: None }
    }

    #[test]
    fn what_is_stored_reads_back() {
        let mut job = Job::new("a".into(), spec(every(60_000)), NOON).expect("a job");
        job.begin("run", Some(7), Some(9), NOON);
        let text = serde_json::to_string(&job.record).expect("writes");
        let again = Job::of(serde_json::from_str(&text).expect("reads")).expect("a job");
        assert_eq!(serde_json::to_string(&again.record).expect("writes"), text);
        assert_eq!(again.revision, job.revision);
    }

    #[test]
    fn failures_are_followed_by_longer_pauses_and_success_forgets_them() {
        let mut job = Job::new("a".into(), spec(every(1_000)), NOON).expect("a job");
        let mut gaps = Vec::new();
        for _ in 0..6 {
            job.begin("run", Some(signed(NOON)), Some(signed(NOON) + 1_000), NOON);
            job.end(&Came::failed("no"), NOON);
            gaps.push((job.slots().next.expect("a slot") - signed(NOON)) / 1000);
        }
        assert_eq!(gaps, [30, 60, 300, 900, 3600, 3600]);
        job.begin("run", Some(signed(NOON)), Some(signed(NOON) + 1_000), NOON);
        job.end(&Came::new(RunStatus::Ok), NOON);
        assert_eq!((job.slots().next, job.state().consecutive_errors), (Some(signed(NOON) + 1_000), Some(0)));
    }

    #[test]
    fn a_job_without_credit_is_switched_off_and_says_so() {
        let mut job = Job::new("a".into(), spec(every(1_000)), NOON).expect("a job");
        for _ in 0..3 {
            job.begin("run", Some(1), Some(2), NOON);
            job.end(&Came { error_reason: Some("billing".into()), ..Came::failed("no credit") }, NOON);
        }
        assert!(!job.spec().enabled && job.slots().next.is_none());
        assert_eq!(job.state().auto_disabled.as_ref().map(|off| off.consecutive_errors), Some(3));
        let mut on = job.spec().clone();
        on.enabled = true;
        let job = job.rewrite(on, NOON).expect("switched on again");
        assert!(job.state().auto_disabled.is_none() && job.slots().next.is_some());
    }

    #[test]
    fn a_reminder_is_removed_when_all_of_it_came_off() {
        let at = CronSchedule::At { at: "2026-11-22T12:00:00Z".into() };
        let once = |came: &Came| {
            let mut written = spec(at.clone());
            written.delete_after_run = Some(true);
            let mut job = Job::new("a".into(), written, NOON).expect("a job");
            job.begin("run", Some(1), None, NOON);
            (job.end(came, NOON), job.spec().enabled)
        };
        assert_eq!(once(&Came::new(RunStatus::Ok)), (Kept::Remove, true));
        assert_eq!(once(&Came::failed("no")), (Kept::Stays, false));
        let undelivered = Came { delivery: DeliveryStatus::NotDelivered, ..Came::new(RunStatus::Ok) };
        assert_eq!(once(&undelivered), (Kept::Stays, false));
        assert_eq!(once(&Came { suppressed: Some("silent"), ..undelivered }), (Kept::Remove, true));
    }

    #[test]
    fn a_changed_schedule_begins_anew_and_a_changed_name_does_not() {
        let job = Job::new("a".into(), spec(every(60_000)), NOON).expect("a job");
        let mut renamed = job.spec().clone();
        renamed.name = "other".into();
        let renamed = job.rewrite(renamed, NOON + 30_000).expect("renamed");
        assert_eq!(renamed.slots(), job.slots());
        assert_ne!(renamed.revision, job.revision);
        let mut slower = job.spec().clone();
        slower.schedule = every(120_000);
        let slower = job.rewrite(slower, NOON + 30_000).expect("slower");
        assert_eq!(slower.state().next_run_at_ms, Some(NOON + 120_000), "the grid begins where the job began");
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let refused = |change: &dyn Fn(&mut CronSpec)| {
            let mut written = spec(every(60_000));
            change(&mut written);
            check(&written, NOON).expect_err("refused")
        };
        check(&spec(every(60_000)), NOON).expect("this can be done");
        refused(&|s| s.name = " ".into());
        refused(&|s| s.session_target = "main".into());
        refused(&|s| s.session_target = "elsewhere".into());
        refused(&|s| s.payload = CronPayload::Heartbeat);
        refused(&|s| s.payload = CronPayload::Unbuilt);
        refused(&|s| s.trigger = Some(json!({"script": "1"})));
        refused(&|s| s.schedule = CronSchedule::At { at: "2026-11-22T11:00:00Z".into() });
        let to = |to: &str| CronDelivery {
            mode: DeliveryMode::Webhook,
            channel: None,
            thread_id: None,
            account_id: None,
            best_effort: None,
            failure_destination: None,
            completion_destination: None,
            to: Some(to.into()),
        };
        for address in ["", "ftp://x/", "https://", "https://user:secret@example.invalid/"] {
            refused(&|s| s.delivery = Some(to(address)));
        }
        let mut fine = spec(every(60_000));
        fine.delivery = Some(to("https://example.invalid/a@b"));
        check(&fine, NOON).expect("an @ in the path is no credential");
        assert!(Job::new("a".into(), spec(CronSchedule::Unbuilt), NOON).is_err());
        assert!(Job::new("a".into(), spec(every(0)), NOON).is_err());
        let mut long = spec(every(1));
        long.description = Some("x".repeat(JOB_BYTES));
        assert!(Job::new("a".into(), long, NOON).is_err());
    }
}
