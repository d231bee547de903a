//! `cron.*`, `wake`, `system-event`, heartbeats: schedules as operators see and change them.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::auth::Caller;
use crate::config::Config;
use crate::hub::cron::job::{self, Job};
use crate::hub::sessions::stored;
use crate::hub::wakes::Queued;
use crate::hub::{Now, State, TaskContext, Ticket, main_key};
use crate::store::cron as history;
use crate::sys::order;
use crate::sys::random;
use crate::wire::cron::*;
use crate::wire::decode;
use crate::wire::error::RpcError;
use crate::wire::frame::{Payload, cut};
use crate::wire::session;
use crate::wire::tree::json;

/// Rows of a page when the caller names no number.
const PAGE: u64 = 50;
/// Characters of a reminder or a piece of news.
const TEXT: usize = 16 << 10;

pub fn status(state: &mut State, _: &Arc<Caller>, _: CronStatusParams, now: Now) -> Result<CronStatusResult, RpcError> {
    let config = state.shared.config.get();
    let database = state.shared.boot.database.clone();
    Ok(CronStatusResult {
        enabled: config.cron.enabled,
        triggers_enabled: false,
        store_path: database.clone(),
        storage: "sqlite",
        sqlite_path: database,
        jobs: state.cron.jobs().count() as u64,
        next_wake_at_ms: state.cron.next_due().filter(|_| config.cron.enabled),
        suspended: state.cron.brake.stopped(config.cron.max_tokens_per_day, now.ms),
    })
}

/// A page of jobs, as JSON: jobs are borrowed from the state and written at once.
#[derive(Serialize)]
#[serde(transparent)]
pub struct CronListResult(Value);

/// One job, in the same way.
#[derive(Serialize)]
#[serde(transparent)]
pub struct CronGetResult(Value);

pub fn list(state: &mut State, _: &Arc<Caller>, params: CronListParams, _: Now) -> Result<CronListResult, RpcError> {
    let query = params.query.as_deref().map(str::trim).filter(|query| !query.is_empty()).map(str::to_lowercase);
    let agent = params.agent_id.as_deref().map(str::to_ascii_lowercase);
    let enabled = params.enabled.unwrap_or(match params.include_disabled {
        true => EnabledFilter::All,
        false => EnabledFilter::Enabled,
    });
    let wanted = |job: &&Job| {
        let spec = job.spec();
        let texts = [Some(job.id()), Some(&spec.name), spec.display_name.as_deref(), spec.description.as_deref()];
        let named = |query: &String| texts.iter().flatten().any(|text| text.to_lowercase().contains(query.as_str()));
        let kind = match params.schedule_kind.unwrap_or(KindFilter::All) {
            KindFilter::All => true,
            KindFilter::At => spec.schedule.kind() == "at",
            KindFilter::Every => spec.schedule.kind() == "every",
            KindFilter::Cron => spec.schedule.kind() == "cron",
            KindFilter::OnExit | KindFilter::Stream => false,
        };
        let last = job.state().last_run_status;
        let came = match params.last_run_status.unwrap_or(StatusFilter::All) {
            StatusFilter::All => true,
            StatusFilter::Ok => last == Some(RunStatus::Ok),
            StatusFilter::Error => last == Some(RunStatus::Error),
            StatusFilter::Skipped => last == Some(RunStatus::Skipped),
            StatusFilter::Unknown => last.is_none(),
        };
        let on = match enabled {
            EnabledFilter::All => true,
            EnabledFilter::Enabled => spec.enabled,
            EnabledFilter::Disabled => !spec.enabled,
        };
        on && kind
            && came
            && params.trigger != Some(TriggerFilter::Conditional)
            && query.as_ref().is_none_or(named)
            && (agent.is_none() || state.agent_of_job(job) == agent)
    };
    let mut jobs: Vec<&Job> = state.cron.jobs().filter(wanted).collect();
    match params.sort_by.unwrap_or(CronSort::NextRunAtMs) {
        CronSort::NextRunAtMs => order::by_key(&mut jobs, |job| job.state().next_run_at_ms.unwrap_or(u64::MAX)),
        CronSort::UpdatedAtMs => order::by_key(&mut jobs, |job| job.record.updated_at_ms),
        CronSort::Name => order::by_key(&mut jobs, |job| job.spec().name.to_lowercase()),
    }
    if params.sort_dir == Some(SortDir::Desc) {
        jobs.reverse();
    }
    let (total, limit) = (jobs.len() as u64, params.limit.map_or(PAGE, |limit| limit.0));
    let offset = params.offset.map_or(0, |offset| offset.0).min(total);
    let page = &jobs[offset as usize..offset.saturating_add(limit).min(total) as usize];
    let mut previews = Map::new();
    let mut rows = Vec::with_capacity(page.len());
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for job in page {
        let mut row = shown(job)?;
        digest.update(job.revision.as_bytes());
        if let Value::Object(row) = &mut row {
            row.insert("effectiveAgentId".into(), state.agent_of_job(job).map_or(Value::Null, Value::from));
        }
        rows.push(row);
        previews.insert(job.id().to_string(), preview(state, job));
    }
    let end = offset + page.len() as u64;
    let more = end < total;
    let mut result = json!({
        "jobs": rows, "snapshotRevision": format!("sha256:{}", random::to_hex(digest.finish().as_ref())),
        "total": total, "offset": offset, "limit": limit, "hasMore": more,
        "nextOffset": more.then_some(end),
    });
    if params.include_delivery_previews != Some(false) && !params.compact {
        result["deliveryPreviews"] = Value::Object(previews);
    }
    Ok(CronListResult(result))
}

fn shown(job: &Job) -> Result<Value, RpcError> {
    serde_json::to_value(job.shown()).map_err(|_| RpcError::unavailable("the automation could not be written"))
}

/// Where the results of a job go, in words.
fn preview(state: &State, job: &Job) -> Value {
    use crate::hub::cron::outlet::Wanted;
    let none = json!({"label": "not requested", "detail": "not requested"});
    let Some(delivery) = &job.spec().delivery else { return none };
    let (label, detail) = match delivery.mode {
        DeliveryMode::None => return none,
        DeliveryMode::Webhook => ("webhook".to_string(), delivery.to.clone().unwrap_or_default()),
        DeliveryMode::Announce => {
            let agent_id = state.agent_of_job(job).unwrap_or_default();
            let key = session::canonical("main", &agent_id, main_key(&state.shared.config.get()));
            let asked = delivery.channel.clone().unwrap_or_else(|| "last".into());
            let wanted = Wanted {
                agent_id: &agent_id,
                session_key: job.spec().session_key.as_deref().unwrap_or(&key),
                channel: delivery.channel.as_deref(),
                to: delivery.to.as_deref(),
                account_id: delivery.account_id.as_deref(),
                thread_id: delivery.thread_id.as_ref(),
            };
            match state.cron.outlet.route(&wanted) {
                Ok(route) => (format!("announce -> {}:{}", route.channel, route.to), "resolved".into()),
                Err(why) => (format!("announce -> {asked}"), format!("will fail: {why}")),
            }
        }
    };
    json!({"label": cut(&label, 300), "detail": cut(&detail, 300)})
}

pub fn get(state: &mut State, _: &Arc<Caller>, params: CronGetParams, _: Now) -> Result<CronGetResult, RpcError> {
    shown(find(state, &params.id)?).map(CronGetResult)
}

fn find<'s>(state: &'s State, id: &str) -> Result<&'s Job, RpcError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct NotFound<'a> {
        code: &'static str,
        job_id: &'a str,
    }
    state.cron.job(id).ok_or_else(|| {
        let words =
            format!("Automation not found: {}. List automations and retry with a current job id.", cut(id, 128));
        RpcError::invalid(words).details(&NotFound { code: "CRON_JOB_NOT_FOUND", job_id: cut(id, 128) })
    })
}

pub fn add(state: &mut State, _: &Arc<Caller>, params: CronAddParams, ticket: Ticket, now: Now) {
    let made = prepare(state, params.0, now);
    match made {
        Ok(Made::New(job)) => {
            let declared = job.spec().declaration_key.is_some();
            let answer = move |state: &State, job: &Job| {
                let mut row = shown(job)?;
                row["deliveryPreview"] = preview(state, job);
                match declared {
                    true => Payload::of(&json!({"created": true, "job": row})),
                    false => Payload::of(&row),
                }
            };
            state.put_job(job, ticket, Box::new(answer), now);
        }
        Ok(Made::Known(job, changed)) => {
            let answer = move |_: &State, job: &Job| {
                Payload::of(&json!({"created": false, "updated": changed, "job": shown(job)?}))
            };
            state.put_job(job, ticket, Box::new(answer), now);
        }
        Err(error) => ticket.answer(Err(error)),
    }
}

enum Made {
    New(Job),
    /// A job of the same declaration, brought up to date; whether that changed it.
    Known(Job, bool),
}

fn prepare(state: &State, mut written: Map<String, Value>, now: Now) -> Result<Made, RpcError> {
    complete(&mut written, now);
    let spec = read("cron.add", written)?;
    let spec = settled(state, spec, now)?;
    let known = spec.declaration_key.as_ref().and_then(|key| {
        state.cron.jobs().find(|job| job.spec().declaration_key.as_ref() == Some(key) && !job.is_heartbeat())
    });
    let job = match known {
        Some(known) => known.rewrite(spec, now.ms).map_err(refused)?,
        None => Job::new(random::uuid(), spec, now.ms).map_err(refused)?,
    };
    state.cron_fits(&job)?;
    Ok(match known {
        Some(known) => {
            let changed = known.revision != job.revision;
            Made::Known(job, changed)
        }
        None => Made::New(job),
    })
}

fn refused(why: String) -> RpcError {
    RpcError::invalid(format!("invalid automation: {why}"))
}

/// Fills in what callers may leave out.
fn complete(written: &mut Map<String, Value>, now: Now) {
    written.retain(|_, value| !value.is_null());
    let payload_kind = written.get("payload").and_then(|payload| payload["kind"].as_str()).unwrap_or("").to_string();
    if !written.contains_key("sessionTarget") {
        let target = match payload_kind.as_str() {
            "systemEvent" => "main",
            "agentTurn" if written.contains_key("sessionKey") => "current",
            _ => "isolated",
        };
        written.insert("sessionTarget".into(), target.into());
    }
    written.entry("wakeMode").or_insert_with(|| "now".into());
    if let Some(Value::Object(schedule)) = written.get_mut("schedule") {
        if schedule.get("kind").and_then(Value::as_str) == Some("every") && !schedule.contains_key("anchorMs") {
            schedule.insert("anchorMs".into(), now.ms.into());
        }
        if schedule.get("kind").and_then(Value::as_str) == Some("at") {
            written.entry("deleteAfterRun").or_insert(Value::Bool(true));
        }
    }
    if payload_kind == "agentTurn"
        && let Some(Value::Object(payload)) = written.get_mut("payload")
        && !payload.contains_key("toolsAllow")
    {
        payload.insert("toolsAllow".into(), json!(["*"]));
    }
}

fn read(method: &str, written: Map<String, Value>) -> Result<CronSpec, RpcError> {
    let text = Value::Object(written).to_string();
    decode::object(&text).map_err(|why| RpcError::invalid(format!("invalid {method} params: {why}")))
}

/// Binds `current` to its conversation, names the agent, and refuses what cannot be done.
fn settled(state: &State, mut spec: CronSpec, now: Now) -> Result<CronSpec, RpcError> {
    let config = state.shared.config.get();
    if spec.session_target == "current" {
        spec.session_target = match &spec.session_key {
            Some(key) => format!("session:{key}"),
            None => "isolated".into(),
        };
    }
    if let Some(agent) = &mut spec.agent_id {
        *agent = agent.trim().to_ascii_lowercase();
        known_agent(&config, agent)?;
    }
    let named = spec.session_target.strip_prefix("session:").or(spec.session_key.as_deref());
    if let Some((agent, _)) = named.and_then(session::agent_of) {
        known_agent(&config, &agent.to_ascii_lowercase())?;
    }
    job::check(&spec, now.ms).map_err(refused)?;
    Ok(spec)
}

fn known_agent(config: &Config, agent: &str) -> Result<(), RpcError> {
    if config.agent_ids().contains(&agent) {
        return Ok(());
    }
    Err(RpcError::invalid(format!("unknown agent id \"{}\"", cut(agent, 64))))
}

pub fn update(state: &mut State, _: &Arc<Caller>, params: CronUpdateParams, ticket: Ticket, now: Now) {
    match changed(state, params, now) {
        Ok(job) => state.put_job(job, ticket, Box::new(|_, job| Payload::of(&shown(job)?)), now),
        Err(error) => ticket.answer(Err(error)),
    }
}

fn changed(state: &State, params: CronUpdateParams, now: Now) -> Result<Job, RpcError> {
    let job = find(state, &params.id)?;
    if job.is_heartbeat() {
        return Err(RpcError::invalid("heartbeats are set by agents.*.heartbeat in the configuration"));
    }
    if params.expected_config_revision.as_deref().is_some_and(|expected| expected != job.revision) {
        return Err(RpcError::invalid("the automation has changed meanwhile; read it again and retry"));
    }
    let Ok(Value::Object(mut written)) = serde_json::to_value(job.spec()) else {
        return Err(RpcError::unavailable("the automation could not be written"));
    };
    for (name, value) in params.patch {
        match (name.as_str(), value) {
            // What the scheduler remembers is its own.
            ("state", _) => {}
            (_, Value::Null) => {
                written.remove(&name);
            }
            ("payload", Value::Object(patch)) => merge(&mut written, "payload", patch, "kind"),
            ("delivery", Value::Object(patch)) => merge(&mut written, "delivery", patch, ""),
            (_, value) => {
                written.insert(name, value);
            }
        }
    }
    if let Some(Value::Object(schedule)) = written.get_mut("schedule")
        && schedule.get("kind").and_then(Value::as_str) == Some("every")
        && !schedule.contains_key("anchorMs")
    {
        schedule.insert("anchorMs".into(), now.ms.into());
    }
    let spec = settled(state, read("cron.update", written)?, now)?;
    let job = job.rewrite(spec, now.ms).map_err(refused)?;
    state.cron_fits(&job)?;
    Ok(job)
}

/// Merges into an object of the job; null removes. Another value of `kind` replaces the whole.
fn merge(written: &mut Map<String, Value>, name: &str, patch: Map<String, Value>, kind: &str) {
    let other =
        |old: &Map<String, Value>| !kind.is_empty() && patch.get(kind).is_some_and(|new| old.get(kind) != Some(new));
    let old = written.remove(name).and_then(|old| if let Value::Object(old) = old { Some(old) } else { None });
    let mut merged = old.filter(|old| !other(old)).unwrap_or_default();
    for (key, value) in patch {
        if value.is_null() {
            merged.remove(&key);
        } else {
            merged.insert(key, value);
        }
    }
    written.insert(name.into(), Value::Object(merged));
}

pub fn remove(state: &mut State, _: &Arc<Caller>, params: CronRemoveParams, ticket: Ticket, now: Now) {
    match find(state, &params.id) {
        Ok(job) if job.is_heartbeat() => {
            ticket.answer(Err(RpcError::invalid("heartbeats are set by agents.*.heartbeat in the configuration")));
        }
        Ok(_) => {
            let answer = |_: &State, _: &Job| Payload::of(&CronRemoveResult { ok: true, removed: true });
            state.remove_job(&params.id, Some((ticket, Box::new(answer))), now);
        }
        Err(error) => ticket.answer(Err(error)),
    }
}

pub fn run(state: &mut State, _: &Arc<Caller>, params: CronRunParams, ticket: Ticket, now: Now) {
    let idle = |reason| {
        Ok(CronRunResult {
            ok: true,
            enqueued: None,
            ran: Some(false),
            reason: Some(reason),
            run_id: None,
            process_instance_id: None,
        })
    };
    let job = match find(state, &params.id) {
        Ok(job) => job,
        Err(error) => return ticket.answer(Err(error)),
    };
    if let Some(expected) = &params.expected_process_instance_id
        && **expected != state.shared.boot.boot_id
    {
        return ticket.answer(Err(RpcError::invalid("the gateway was restarted meanwhile")));
    }
    if job.is_heartbeat() {
        return ticket.answer(Err(RpcError::invalid("a heartbeat is asked for with wake, mode now")));
    }
    if state.job_is_busy(job.id()) {
        return ticket.answer_with(idle("already-running"));
    }
    match params.mode.unwrap_or(RunMode::Force) {
        RunMode::Due if job.state().next_run_at_ms.is_none_or(|next| next > now.ms) => {
            return ticket.answer_with(idle("not-due"));
        }
        RunMode::IfEnabled if !job.spec().enabled => return ticket.answer_with(idle("disabled")),
        _ => {}
    }
    state.run_job(&params.id, ticket, now);
}

/// A page of the history; entries are passed on as they were written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CronRunsResult {
    entries: Vec<Box<RawValue>>,
    total: u64,
    offset: u64,
    limit: u64,
    has_more: bool,
    next_offset: Option<u64>,
}

pub fn runs(context: &TaskContext, _: &Arc<Caller>, params: CronRunsParams) -> Result<CronRunsResult, RpcError> {
    if params.id.is_none() && params.scope != Some(RunsScope::All) && params.run_id.is_none() {
        return Err(RpcError::invalid("invalid cron.runs params: must have required property 'id'"));
    }
    let statuses = match (params.statuses, params.status) {
        (Some(list), _) => list.iter().map(|status| status.word().into()).collect(),
        (None, Some(StatusFilter::Ok)) => vec!["ok".into()],
        (None, Some(StatusFilter::Error)) => vec!["error".into()],
        (None, Some(StatusFilter::Skipped)) => vec!["skipped".into()],
        _ => Vec::new(),
    };
    let deliveries = params.delivery_statuses.or(params.delivery_status.map(|one| vec![one])).unwrap_or_default();
    let filter = history::RunFilter {
        job_id: params.id.filter(|_| params.scope != Some(RunsScope::All)).map(|id| id.0),
        agent_id: params.agent_id.map(|id| id.to_ascii_lowercase()),
        run_id: params.run_id.map(|id| id.0),
        statuses,
        deliveries: deliveries.iter().map(|status| status.word().into()).collect(),
        words: params.query,
        oldest_first: params.sort_dir == Some(SortDir::Asc),
        offset: params.offset.map_or(0, |offset| offset.0),
        limit: params.limit.map_or(PAGE, |limit| limit.0),
    };
    let page = context.store.read("read the history of automations", |conn| history::page(conn, &filter));
    let (texts, total) = page.map_err(stored)?;
    let entries: Vec<Box<RawValue>> = texts.into_iter().filter_map(|text| RawValue::from_string(text).ok()).collect();
    let end = filter.offset.saturating_add(entries.len() as u64);
    let has_more = end < total;
    Ok(CronRunsResult {
        entries,
        total,
        offset: filter.offset,
        limit: filter.limit,
        has_more,
        next_offset: has_more.then_some(end),
    })
}

pub fn wake(state: &mut State, _: &Arc<Caller>, params: WakeParams, now: Now) -> Result<Done, RpcError> {
    news(state, params.text.0, params.session_key, params.agent_id, params.mode, now)
}

pub fn system_event(state: &mut State, _: &Arc<Caller>, params: SystemEventParams, now: Now) -> Result<Done, RpcError> {
    news(state, params.text.0, params.session_key, params.agent_id, WakeMode::NextHeartbeat, now)
}

fn news(
    state: &mut State,
    text: String,
    key: Option<decode::Name>,
    agent_id: Option<decode::Name>,
    mode: WakeMode,
    now: Now,
) -> Result<Done, RpcError> {
    let text = text.trim();
    if text.is_empty() || text.len() > TEXT {
        return Err(RpcError::invalid(format!("text must have 1 to {TEXT} characters")));
    }
    let config = state.shared.config.get();
    let key = key.map_or("main".to_string(), |key| key.0);
    let (key, agent_id) = super::chat::target(&config, &key, agent_id.as_deref())?;
    match state.wake(&agent_id, &key, text.to_string(), mode, now)? {
        Queued::Full => Err(RpcError::busy()),
        Queued::Queued | Queued::Coalesced => Ok(Done { ok: true }),
    }
}

/// The last one since the start, or null.
#[derive(Serialize)]
#[serde(transparent)]
pub struct LastHeartbeatResult(Option<HeartbeatEvent>);

pub fn last_heartbeat(
    state: &mut State,
    _: &Arc<Caller>,
    _: LastHeartbeatParams,
    _: Now,
) -> Result<LastHeartbeatResult, RpcError> {
    Ok(LastHeartbeatResult(state.cron.heart.last.clone()))
}

pub fn set_heartbeats(
    state: &mut State,
    _: &Arc<Caller>,
    params: SetHeartbeatsParams,
    now: Now,
) -> Result<SetHeartbeatsResult, RpcError> {
    state.cron.heart.enabled = params.enabled;
    state.forget_health();
    if params.enabled {
        state.cron.brake.lift();
        state.cron_config_changed(now);
    }
    Ok(SetHeartbeatsResult { ok: true, enabled: params.enabled })
}
