//! `tasks.list`, `get`, `cancel`: the runs that wait, are made, and have ended; `update.status`.
//!
//! Ended ones come from the ring of finished runs in the store; what is older is forgotten there.

use std::cmp::Reverse;
use std::sync::Arc;

use super::ask;
use crate::auth::Caller;
use crate::hub::sessions::stored;
use crate::hub::{Now, State, TaskContext};
use crate::store::runs::{self, RunRow};
use crate::sys::order;
use crate::wire::error::RpcError;
use crate::wire::frame::cut;
use crate::wire::session;
use crate::wire::task::*;

/// Tasks of a page when the caller names no number.
const PAGE: u64 = 100;

pub fn list(context: &TaskContext, _: &Arc<Caller>, params: TasksListParams) -> Result<TasksListResult, RpcError> {
    let statuses = match params.status {
        None => Vec::new(),
        Some(TaskStatuses::One(status)) => vec![status],
        Some(TaskStatuses::Some(list)) => list,
    };
    let agent = params.agent_id.map(|id| id.to_ascii_lowercase());
    let offset: usize = match params.cursor.as_deref() {
        None => 0,
        Some(text) => text.parse().map_err(|_| RpcError::invalid("invalid tasks.list params: unknown cursor"))?,
    };
    let limit = params.limit.map_or(PAGE, |limit| limit.0) as usize;
    let mut all = ask(context, "tasks.list", |state| Ok(active(state)))?;
    let open_only =
        !statuses.is_empty() && statuses.iter().all(|s| matches!(s, TaskStatus::Queued | TaskStatus::Running));
    if !open_only {
        let ended = context.store.read("read finished runs", |conn| runs::newest(conn, runs::RUNS_KEPT));
        let known = all.len();
        for row in ended.map_err(stored)? {
            if all[..known].iter().all(|task| task.id != row.run_id) {
                all.push(ended_task(row));
            }
        }
    }
    all.retain(|task| {
        (statuses.is_empty() || statuses.contains(&task.status))
            && agent.as_ref().is_none_or(|agent| *agent == task.agent_id)
            && params.session_key.as_deref().is_none_or(|key| *key == *task.session_key)
    });
    if let Some(moment) = params.sort_by {
        order::by_key(&mut all, |task| {
            Reverse(match moment {
                TaskMoment::CreatedAt => task.created_at,
                TaskMoment::StartedAt => task.started_at,
                TaskMoment::EndedAt => task.ended_at,
            })
        });
    }
    let more = all.len() > offset.saturating_add(limit);
    let tasks = all.into_iter().skip(offset).take(limit).collect();
    Ok(TasksListResult { tasks, next_cursor: more.then(|| (offset + limit).to_string()) })
}

/// Runs that have not ended.
fn active(state: &State) -> Vec<TaskSummary> {
    let mut tasks: Vec<TaskSummary> = state
        .runs
        .ids()
        .iter()
        .filter_map(|id| Some((id, state.runs.get(id)?)))
        .map(|(id, run)| TaskSummary {
            status: if run.launched { TaskStatus::Running } else { TaskStatus::Queued },
            created_at: (run.started_ms > 0).then_some(run.started_ms),
            started_at: (run.started_ms > 0).then_some(run.started_ms),
            ..TaskSummary::of(id, &run.session_key, &run.agent_id)
        })
        .collect();
    order::by(&mut tasks, |a, b| a.id.cmp(&b.id));
    tasks
}

fn ended_task(row: RunRow) -> TaskSummary {
    let agent = session::agent_of(&row.session_key).map_or("", |(agent, _)| agent).to_string();
    let ms = |at: i64| u64::try_from(at).ok().filter(|at| *at > 0);
    TaskSummary {
        status: match row.status.as_str() {
            "done" => TaskStatus::Completed,
            "killed" => TaskStatus::Cancelled,
            "timeout" => TaskStatus::TimedOut,
            _ => TaskStatus::Failed,
        },
        created_at: ms(row.started_ms),
        started_at: ms(row.started_ms),
        ended_at: ms(row.ended_ms),
        ..TaskSummary::of(&row.run_id, &row.session_key, &agent)
    }
}

pub fn get(context: &TaskContext, _: &Arc<Caller>, params: TasksGetParams) -> Result<TasksGetResult, RpcError> {
    let id = params.task_id.0;
    let wanted = id.clone();
    let open = ask(context, "tasks.get", move |state| Ok(active(state).into_iter().find(|task| task.id == wanted)))?;
    let task = match open {
        Some(task) => Some(task),
        None => {
            let row = context.store.read("read a finished run", |conn| runs::get(conn, &id)).map_err(stored)?;
            row.map(ended_task)
        }
    };
    let task = task.ok_or_else(|| RpcError::invalid(format!("task not found: {}", cut(&id, 128))))?;
    Ok(TasksGetResult { task })
}

pub fn cancel(
    state: &mut State,
    _: &Arc<Caller>,
    params: TasksCancelParams,
    now: Now,
) -> Result<TasksCancelResult, RpcError> {
    let run_id: Arc<str> = params.task_id.0.as_str().into();
    let found = state.runs.get(&run_id).is_some();
    if found {
        if let Some(reason) = params.reason.as_deref().filter(|reason| !reason.trim().is_empty()) {
            log::info!("task {} is cancelled: {}", cut(&run_id, 64), cut(reason, 256).escape_debug());
        }
        state.abort_run(&run_id, now);
    }
    Ok(TasksCancelResult { found, cancelled: found, reason: (!found).then_some("no such task is being made") })
}

pub fn update_status(
    _: &mut State,
    _: &Arc<Caller>,
    _: UpdateStatusParams,
    _: Now,
) -> Result<UpdateStatusResult, RpcError> {
    Ok(UpdateStatusResult {
        sentinel: None,
        update_available: None,
        effective_channel: "stable",
        schedule: UpdateSchedule { channel: "stable", auto_enabled: false },
    })
}
