//! Sessions changed: `sessions.create`, `.patch`, `.reset`, `.delete`, `.abort`, `.send`, `.steer`.
//!
//! Every change is written before it is answered, and told to those who follow the list after that. What replaces or
//! removes a transcript waits until the session's runs have ended.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::chat::{attachments, fold, no_target, run_limit, target};
use super::models;
use crate::auth::Caller;
use crate::hub::rows::{resolved_model, session_entry};
use crate::hub::run::{Input, NewRun, Starter, Waiting};
use crate::hub::{Now, State, Ticket, main_key};
use crate::store::inbox::{self, InboxRow};
use crate::store::sessions::{self as table, Archived, ListFilter, SessionRow};
use crate::store::{StoreError, transcript};
use crate::sys::random;
use crate::wire::decode;
use crate::wire::error::RpcError;
use crate::wire::frame::cut;
use crate::wire::models::thinking_levels;
use crate::wire::scope::Scope;
use crate::wire::session::{agent_of, is_reserved};
use crate::wire::session_change::*;

/// Words for `thinkingLevel` that any model may get.
const LEVELS: [&str; 5] = ["off", "minimal", "low", "medium", "high"];
const VERBOSE: [&str; 3] = ["off", "on", "full"];

pub fn create_scope(_: &SessionsCreateParams) -> Scope {
    // The fields that need more in the reference are not taken here at all.
    Scope::Write
}

pub fn create(state: &mut State, who: &Arc<Caller>, params: SessionsCreateParams, ticket: Ticket, now: Now) {
    make(state, who, params, ticket, now, Box::new(|_, ticket, made| ticket.answer_with(Ok(made))));
}

/// Answers for a session that was made.
pub(super) type Told = Box<dyn FnOnce(&mut State, Ticket, SessionsCreateResult) + Send>;

/// Makes a session, and its first run; `told` answers the ticket when both are on the disk.
pub(super) fn make(
    state: &mut State,
    who: &Arc<Caller>,
    params: SessionsCreateParams,
    ticket: Ticket,
    now: Now,
    told: Told,
) {
    let plan = match Plan::of(state, who, params, now) {
        Ok(plan) => plan,
        Err(error) => return ticket.answer(Err(error)),
    };
    let first = plan.first.as_ref().map(|(_, row)| row.clone());
    let fresh = plan.fresh;
    state.change_session(
        ticket,
        "create a session",
        move |conn| create_row(conn, &fresh, first.as_ref()),
        move |state, ticket, (row, created), now| {
            let made = SessionsCreateResult {
                ok: true,
                key: row.key.clone(),
                session_id: row.session_id.clone(),
                entry: session_entry(&row),
                run_started: plan.first.is_some(),
                run_id: plan.first.as_ref().map(|(run, _)| run.run_id.to_string()),
                resolved: resolved_model(&row, &state.shared.catalogue.get()),
            };
            told(state, ticket, made);
            state.seen.touch(&row.key, &row.agent_id, now.ms, created);
            state.tell_session_changed(&row, Some("create"), None, now);
            if let Some((run, _)) = plan.first {
                state.begin_run(*run, now);
            }
        },
    );
}

/// What `sessions.create` is to make.
struct Plan {
    fresh: Fresh,
    /// The run of the first message, and the row that keeps it until it is made.
    first: Option<(Box<NewRun>, InboxRow)>,
}

struct Fresh {
    key: String,
    agent_id: String,
    now_ms: i64,
    label: Option<String>,
    display_name: Option<String>,
    category: Option<String>,
    model: Option<String>,
    thinking: Option<String>,
    parent: Option<String>,
    spawn_depth: Option<u32>,
    fork: bool,
}

impl Plan {
    fn of(state: &State, who: &Arc<Caller>, params: SessionsCreateParams, now: Now) -> Result<Plan, RpcError> {
        let config = state.shared.config.get();
        let asked = match &params.key {
            Some(key) if is_reserved(key) => {
                return Err(RpcError::invalid(format!("session key \"{}\" is reserved", cut(key, 128))));
            }
            Some(key) => key.0.clone(),
            None => {
                let parent = params.parent_session_key.as_deref().and_then(agent_of).map(|(agent, _)| agent);
                let agent = params.agent_id.as_deref().or(parent).unwrap_or(config.default_agent_id());
                format!("agent:{}:dashboard:{}", agent.trim().to_ascii_lowercase(), random::uuid())
            }
        };
        let (key, agent_id) = target(&config, &asked, params.agent_id.as_deref())?;
        let parent = match &params.parent_session_key {
            Some(parent) => Some(target(&config, parent, None)?.0),
            None => None,
        };
        if params.fork == Some(true) && parent.is_none() {
            return Err(RpcError::invalid("fork needs parentSessionKey"));
        }
        let fresh = Fresh {
            now_ms: i64::try_from(now.ms).unwrap_or(i64::MAX),
            label: params.label.map(|label| label.trim().to_string()).filter(|label| !label.is_empty()),
            display_name: params.display_name.map(|name| name.0),
            category: params.category.map(|category| category.0),
            model: params.model.as_deref().map(|model| models::chosen(state, &agent_id, model)).transpose()?,
            thinking: params.thinking_level.as_deref().map(level).transpose()?,
            parent,
            spawn_depth: params.spawn_depth.map(|depth| depth.0 as u32),
            fork: params.fork == Some(true),
            key: key.clone(),
            agent_id: agent_id.clone(),
        };
        let files = attachments(&params.attachments, state.shared.boot.attachments())?;
        let mut text = params.message.or(params.task).unwrap_or_default();
        let images = fold(files, &mut text);
        if text.trim().is_empty() && images.is_empty() {
            return Ok(Plan { fresh, first: None });
        }
        let run_id = params.idempotency_key.map_or_else(random::uuid, |id| id.0);
        let input = Input {
            text: text.into(),
            parts: images,
            commands: true,
            admin: who.scopes.allows(Scope::Admin),
            created_via: "operator",
            ..Input::default()
        };
        let row = InboxRow {
            run_id: run_id.clone(),
            session_key: key.clone(),
            agent_id: agent_id.clone(),
            created_at_ms: fresh.now_ms,
            payload: Waiting::of(&input).to_json(),
            n: 0,
            attempts: 0,
        };
        let run = NewRun {
            run_id: run_id.into(),
            session_key: key.into(),
            agent_id: agent_id.into(),
            input,
            starter: Starter::Inbox,
            conn: who.conn,
            timeout: Some(run_limit(&config)),
            received: now.at,
        };
        Ok(Plan { fresh, first: Some((Box::new(run), row)) })
    }
}

/// A session that exists already is answered as it is; the rest of the request applies to a new one only.
fn create_row(
    conn: &Connection,
    fresh: &Fresh,
    first: Option<&InboxRow>,
) -> Result<Result<(SessionRow, bool), RpcError>, StoreError> {
    if let Some(label) = &fresh.label
        && let Some(refused) = label_taken(conn, &fresh.agent_id, label, &fresh.key)?
    {
        return Ok(Err(refused));
    }
    let (mut row, created) = table::ensure(conn, &fresh.key, &fresh.agent_id, fresh.now_ms, Some("operator"))?;
    if created {
        row.label.clone_from(&fresh.label);
        row.display_name.clone_from(&fresh.display_name);
        row.model_override.clone_from(&fresh.model);
        row.thinking_level.clone_from(&fresh.thinking);
        let mut facts = row.facts();
        facts.category.clone_from(&fresh.category);
        facts.parent_session_key.clone_from(&fresh.parent);
        facts.spawn_depth = fresh.spawn_depth;
        row.set_facts(&facts);
        if fresh.fork
            && let Some(parent) = fresh.parent.as_deref()
        {
            let Some(parent) = table::get(conn, parent)? else {
                return Ok(Err(RpcError::invalid(format!("session not found: {}", cut(parent, 128)))));
            };
            let unfinished = parent.last_run_id.as_deref().filter(|_| parent.last_status.as_deref() == Some("running"));
            row.message_count = transcript::copy(conn, &parent.session_id, &row.session_id, unfinished, None)?;
            row.total_tokens = parent.total_tokens;
            row.context_tokens = parent.context_tokens;
            row.last_message_preview = parent.last_message_preview;
        }
        table::update(conn, &row)?;
    }
    if let Some(first) = first {
        inbox::put(conn, first)?;
    }
    Ok(Ok((row, created)))
}

/// A label names one session of an agent.
fn label_taken(conn: &Connection, agent: &str, label: &str, but: &str) -> Result<Option<RpcError>, StoreError> {
    let filter = ListFilter {
        agent_id: Some(agent.to_string()),
        label: Some(label.to_string()),
        archived: Archived::Shown,
        limit: 2,
        ..ListFilter::default()
    };
    let (rows, _) = table::list(conn, &filter)?;
    let taken = rows.iter().any(|row| row.key != but);
    Ok(taken.then(|| RpcError::invalid(format!("label already in use: {label}"))))
}

fn level(asked: &str) -> Result<String, RpcError> {
    let asked = asked.trim().to_ascii_lowercase();
    match LEVELS.contains(&asked.as_str()) {
        true => Ok(asked),
        false => Err(RpcError::invalid(format!("invalid thinkingLevel (use {})", LEVELS.join("|")))),
    }
}

/// Names people give and flags they set need operator.write; the rest of a patch steers runs.
pub fn patch_scope(params: &SessionsPatchParams) -> Scope {
    if params.verbose_level.is_some() || params.display_name.is_some() { Scope::Admin } else { Scope::Write }
}

pub fn patch(state: &mut State, _: &Arc<Caller>, params: SessionsPatchParams, ticket: Ticket, now: Now) {
    let change = match Patch::of(state, params, now) {
        Ok(change) => change,
        Err(error) => return ticket.answer(Err(error)),
    };
    state.change_session(
        ticket,
        "change a session",
        move |conn| change.apply(conn),
        |state, ticket, row, now| {
            ticket.answer_with(Ok(SessionsPatchResult {
                ok: true,
                path: state.shared.boot.database.clone(),
                key: row.key.clone(),
                entry: session_entry(&row),
                resolved: resolved_model(&row, &state.shared.catalogue.get()),
            }));
            state.tell_session_changed(&row, Some("patch"), None, now);
        },
    );
}

/// Sessions of one `sessions.patchMany`.
const TARGETS: usize = 100;

pub fn patch_many_scope(params: &SessionsPatchManyParams) -> Scope {
    common(params).as_ref().map_or(Scope::Write, patch_scope)
}

/// What is to be done to each of them.
fn common(params: &SessionsPatchManyParams) -> Result<SessionsPatchParams, RpcError> {
    let bad = |why: String| RpcError::invalid(format!("invalid sessions.patchMany params: at /patch: {why}"));
    let fields = params.patch.get().trim().strip_prefix('{').ok_or_else(|| bad("must be object".into()))?;
    let comma = if fields.trim_start().starts_with('}') { "" } else { "," };
    // A key of the patch itself would be the second one, and is refused as such.
    decode::object(&format!("{{\"key\":\"-\"{comma}{fields}")).map_err(bad)
}

/// Changes many sessions in one commit. One that cannot be changed keeps no other from it.
pub fn patch_many(state: &mut State, _: &Arc<Caller>, params: SessionsPatchManyParams, ticket: Ticket, now: Now) {
    if params.targets.is_empty() || params.targets.len() > TARGETS {
        let text = format!("invalid sessions.patchMany params: at /targets: must have 1 to {TARGETS} items");
        return ticket.answer(Err(RpcError::invalid(text)));
    }
    let common = match common(&params) {
        Ok(common) => common,
        Err(error) => return ticket.answer(Err(error)),
    };
    let plans: Vec<(String, Result<Patch, RpcError>)> = params
        .targets
        .into_iter()
        .map(|target| {
            let (key, agent_id) = (target.key.clone(), target.agent_id);
            let expected_session_id = target.expected_session_id;
            (
                target.key.0,
                Patch::of(state, SessionsPatchParams { key, agent_id, expected_session_id, ..common.clone() }, now),
            )
        })
        .collect();
    let job = |conn: &Connection| {
        let apply = |(key, plan): (String, Result<Patch, RpcError>)| match plan {
            Ok(patch) => Ok((key, patch.apply(conn)?)),
            Err(error) => Ok((key, Err(error))),
        };
        plans.into_iter().map(apply).collect::<Result<Vec<_>, StoreError>>().map(Ok)
    };
    state.change_session(ticket, "change sessions", job, |state, ticket, changed, now| {
        let mut outcomes = Vec::new();
        for (key, changed) in changed {
            if let Ok(row) = &changed {
                state.tell_session_changed(row, Some("patch"), None, now);
            }
            outcomes.push(PatchOutcome { ok: changed.is_ok(), key, error: changed.err() });
        }
        ticket.answer_with(Ok(SessionsPatchManyResult { outcomes }));
    });
}

struct Patch {
    key: String,
    agent_id: String,
    now_ms: i64,
    /// Which models reason, for the levels they take.
    reasoning: Vec<String>,
    default_model: String,
    params: SessionsPatchParams,
    model: Change<String>,
}

impl Patch {
    fn of(state: &State, params: SessionsPatchParams, now: Now) -> Result<Patch, RpcError> {
        let (key, agent_id) = target(&state.shared.config.get(), &params.key, params.agent_id.as_deref())?;
        let model = match &params.model {
            Some(Some(model)) => Some(Some(models::chosen(state, &agent_id, model)?)),
            Some(None) => Some(None),
            None => None,
        };
        if let Some(Some(asked)) = &params.thinking_level {
            level(asked)?;
        }
        if let Some(Some(asked)) = &params.verbose_level
            && !VERBOSE.contains(&asked.trim())
        {
            return Err(RpcError::invalid(format!("invalid verboseLevel (use {})", VERBOSE.join("|"))));
        }
        let catalogue = state.shared.catalogue.get();
        let reasoning = catalogue.rows.iter().filter(|row| row.reasoning);
        Ok(Patch {
            reasoning: reasoning.map(|row| format!("{}/{}", row.provider, row.id)).collect(),
            default_model: format!("{}/{}", catalogue.provider, catalogue.model),
            now_ms: i64::try_from(now.ms).unwrap_or(i64::MAX),
            key,
            agent_id,
            params,
            model,
        })
    }

    fn apply(self, conn: &Connection) -> Result<Result<SessionRow, RpcError>, StoreError> {
        let (p, now) = (self.params, self.now_ms);
        let label = p.label.map(|label| label.map(|text| text.trim().to_string()).filter(|text| !text.is_empty()));
        if let Some(Some(label)) = &label
            && let Some(refused) = label_taken(conn, &self.agent_id, label, &self.key)?
        {
            return Ok(Err(refused));
        }
        if let Some(expected) = &p.expected_session_id {
            let found = table::get(conn, &self.key)?;
            if found.is_none_or(|row| row.session_id != expected.0) {
                return Ok(Err(RpcError::invalid("session changed since last load; reload and retry")));
            }
        }
        let (mut row, _) = table::ensure(conn, &self.key, &self.agent_id, now, Some("operator"))?;
        let mut facts = row.facts();
        let text = |change: Change<Text64>, slot: &mut Option<String>| {
            if let Some(change) = change {
                *slot = change.map(|text| text.0);
            }
        };
        text(p.icon, &mut facts.icon);
        text(p.color, &mut facts.color);
        if let Some(category) = p.category {
            facts.category = category.map(|text| text.0);
        }
        if let Some(name) = p.display_name {
            row.display_name = name.map(|text| text.0);
        }
        if let Some(label) = label {
            row.label = label;
        }
        if let Some(archived) = p.archived {
            row.archived_at_ms = archived.then_some(row.archived_at_ms.unwrap_or(now));
            facts.archive_reason = None;
        }
        if let Some(pinned) = p.pinned {
            row.pinned_at_ms = pinned.then_some(row.pinned_at_ms.unwrap_or(now));
        }
        match p.unread {
            Some(true) => facts.marked_unread_at = u64::try_from(now).ok(),
            Some(false) => {
                facts.marked_unread_at = None;
                row.last_read_at_ms = Some(now);
            }
            None => {}
        }
        if let Some(model) = self.model {
            row.model_override = model;
        }
        if let Some(verbose) = p.verbose_level {
            row.verbose_level = verbose.map(|text| text.trim().to_string());
        }
        if let Some(thinking) = p.thinking_level {
            let thinking = thinking.map(|text| text.trim().to_ascii_lowercase());
            let model = row.model_override.as_ref().unwrap_or(&self.default_model);
            let levels = thinking_levels(self.reasoning.contains(model));
            if let Some(asked) = &thinking
                && !levels.iter().any(|level| level.id == asked)
            {
                let words: Vec<&str> = levels.iter().map(|level| level.id).collect();
                return Ok(Err(RpcError::invalid(format!(
                    "thinkingLevel \"{asked}\" is not supported for {model} (use {})",
                    words.join("|")
                ))));
            }
            row.thinking_level = thinking;
        }
        row.set_facts(&facts);
        row.updated_at_ms = now;
        table::update(conn, &row)?;
        Ok(Ok(row))
    }
}

type Text64 = crate::wire::decode::Text<64>;

pub fn reset(state: &mut State, _: &Arc<Caller>, params: SessionsResetParams, ticket: Ticket, now: Now) {
    let config = state.shared.config.get();
    let (key, agent_id) = match target(&config, &params.key, params.agent_id.as_deref()) {
        Ok(found) => found,
        Err(error) => return ticket.answer(Err(error)),
    };
    let now_ms = i64::try_from(now.ms).unwrap_or(i64::MAX);
    let reason = if params.reason == Some(ResetReason::New) { "new" } else { "reset" };
    state.when_quiet(&key.clone(), ticket, now, move |state, ticket, _| {
        let job = move |conn: &Connection| {
            table::ensure(conn, &key, &agent_id, now_ms, Some("operator"))?;
            let row = table::reset(conn, &key, &table::fresh_session_id(), now_ms)?;
            Ok(row.ok_or_else(|| RpcError::invalid(format!("session not found: {key}"))))
        };
        state.change_session(ticket, "reset a session", job, move |state, ticket, row, now| {
            ticket.answer_with(Ok(SessionsResetResult {
                ok: true,
                key: row.key.clone(),
                entry: session_entry(&row),
                resolved: resolved_model(&row, &state.shared.catalogue.get()),
            }));
            state.tell_session_changed(&row, Some(reason), None, now);
        });
    });
}

pub fn delete_scope(params: &SessionsDeleteParams) -> Scope {
    if params.archived_only == Some(true) { Scope::Write } else { Scope::Admin }
}

pub fn delete(state: &mut State, _: &Arc<Caller>, params: SessionsDeleteParams, ticket: Ticket, now: Now) {
    let config = state.shared.config.get();
    let key = match target(&config, &params.key, params.agent_id.as_deref()) {
        Ok((key, agent)) if key == format!("agent:{agent}:{}", main_key(&config)) => {
            return ticket.answer(Err(RpcError::invalid(format!("Cannot delete the main session ({key})."))));
        }
        Ok((key, _)) => key,
        Err(error) => return ticket.answer(Err(error)),
    };
    if params.delete_transcript == Some(false) {
        let why = "a session is deleted together with its transcript; archive it to keep it";
        return ticket.answer(Err(RpcError::invalid(why)));
    }
    let asked = key.clone();
    state.when_quiet(&key.clone(), ticket, now, move |state, ticket, _| {
        let job = move |conn: &Connection| {
            let Some(row) = table::get(conn, &key)? else { return Ok(Ok(None)) };
            let updated = params.expected_session_updated_at.is_none_or(|ms| row.updated_at_ms as u64 == ms.0);
            if params.expected_session_id.is_some_and(|id| id.0 != row.session_id) || !updated {
                return Ok(Err(RpcError::invalid("session changed since last load; reload and retry")));
            }
            if params.archived_only == Some(true) && row.archived_at_ms.is_none() {
                return Ok(Err(RpcError::invalid(format!("session is not archived: {key}"))));
            }
            Ok(Ok(table::delete(conn, &key)?))
        };
        state.change_session(ticket, "delete a session", job, move |state, ticket, row: Option<SessionRow>, now| {
            let deleted = row.is_some();
            ticket.answer_with(Ok(SessionsDeleteResult { ok: true, key: asked, deleted, archived: [] }));
            if let Some(row) = row {
                state.seen.forget(&row.key);
                state.tell_session_deleted(&row, now);
            }
        });
    });
}

pub fn abort(
    state: &mut State,
    _: &Arc<Caller>,
    params: SessionsAbortParams,
    now: Now,
) -> Result<SessionsAbortResult, RpcError> {
    let config = state.shared.config.get();
    let key = match (&params.key, &params.run_id) {
        (Some(key), _) => target(&config, key, params.agent_id.as_deref())?.0,
        (None, Some(run_id)) => match state.runs.get(run_id) {
            Some(run) => run.session_key.to_string(),
            None => return Ok(SessionsAbortResult { ok: true, aborted_run_id: None, status: "no-active-run" }),
        },
        (None, None) => return Err(no_target("sessions.abort")),
    };
    let ids = state.abort_runs(&key, params.run_id.as_deref(), now);
    let aborted_run_id = ids.first().map(|id| id.to_string());
    let status = if aborted_run_id.is_some() { "aborted" } else { "no-active-run" };
    Ok(SessionsAbortResult { ok: true, aborted_run_id, status })
}

pub fn send(state: &mut State, who: &Arc<Caller>, params: SessionsSendParams, ticket: Ticket, now: Now) {
    match message(state, who, params) {
        Ok(run) => begin(state, run, ticket, now),
        Err(error) => ticket.answer(Err(error)),
    }
}

/// The same, but what is being made in the session is stopped first.
pub fn steer(state: &mut State, who: &Arc<Caller>, params: SessionsSendParams, ticket: Ticket, now: Now) {
    match message(state, who, params) {
        Ok(run) => {
            state.abort_runs(&run.session_key.clone(), None, now);
            begin(state, run, ticket, now);
        }
        Err(error) => ticket.answer(Err(error)),
    }
}

fn begin(state: &mut State, run: NewRun, ticket: Ticket, now: Now) {
    let received = ticket.received;
    state.begin_run(NewRun { starter: Starter::Chat(ticket), received, ..run }, now);
}

fn message(state: &State, who: &Arc<Caller>, params: SessionsSendParams) -> Result<NewRun, RpcError> {
    let config = state.shared.config.get();
    let (session_key, agent_id) = target(&config, &params.key, params.agent_id.as_deref())?;
    let files = attachments(&params.attachments, state.shared.boot.attachments())?;
    let mut text = params.message;
    let images = fold(files, &mut text);
    if text.trim().is_empty() && images.is_empty() {
        return Err(RpcError::invalid("message or attachment required"));
    }
    let queue = state.runs.queue_mode(&session_key, None);
    let limit = params.timeout_ms.map(|ms| ms.0).filter(|ms| *ms > 0).map(Duration::from_millis);
    Ok(NewRun {
        run_id: params.idempotency_key.map_or_else(random::uuid, |id| id.0).into(),
        session_key: session_key.into(),
        agent_id: agent_id.into(),
        input: Input {
            text: text.into(),
            parts: images,
            thinking: params.thinking,
            commands: true,
            admin: who.scopes.allows(Scope::Admin),
            created_via: "operator",
            queue: Some(queue),
            ..Input::default()
        },
        starter: Starter::Inbox,
        conn: who.conn,
        timeout: Some(limit.unwrap_or_else(|| run_limit(&config))),
        received: std::time::Instant::now(),
    })
}
