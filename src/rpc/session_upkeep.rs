//! `sessions.cleanup`: sessions nobody uses are put away now.

use std::collections::HashSet;
use std::sync::Arc;

use crate::auth::Caller;
use crate::config::agents::normal_id;
use crate::hub::sessions::stored;
use crate::hub::{TaskContext, upkeep};
use crate::store::sessions::upkeep::{Fate, Plan, STEPS, carry_out, plan};
use crate::sys::clock;
use crate::wire::error::RpcError;
use crate::wire::frame::cut;
use crate::wire::session_change::{Artifacts, SessionsCleanupParams, SessionsCleanupResult, SessionsCleanupSummary};

/// Passes for one agent: a database with more than it lets go in these is taken up by the next call.
const PASSES: usize = 50;

pub fn cleanup(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: SessionsCleanupParams,
) -> Result<SessionsCleanupResult, RpcError> {
    if params.fix_missing == Some(true) || params.fix_dm_scope == Some(true) {
        return Err(RpcError::invalid(
            "fixMissing and fixDmScope repair stores this gateway does not have: rows and transcripts are one database",
        ));
    }
    let config = context.desk.shared.config.get();
    let agents = match params.agent.as_deref() {
        _ if params.all_agents == Some(true) => config.agent_ids().into_iter().map(str::to_owned).collect(),
        None => vec![config.default_agent_id().to_owned()],
        Some(agent) if config.agent_ids().contains(&normal_id(agent).as_str()) => vec![normal_id(agent)],
        Some(agent) => return Err(RpcError::invalid(format!("unknown agent id \"{}\"", cut(agent, 64)))),
    };
    let mode = if params.enforce == Some(true) || upkeep::acts(&config) { "enforce" } else { "warn" };
    let policy = upkeep::policy(&config);
    let busy = context.hub.ask("sessions.cleanup", |state, _| {
        state.runs.sessions().map(|(key, _)| key.to_string()).collect::<HashSet<_>>()
    });
    let mut spared: Vec<String> =
        busy.map_err(|_| RpcError::unavailable("the gateway is stopping"))?.into_iter().collect();
    spared.extend(params.active_key.map(|key| key.0));
    let now = i64::try_from(clock::now_ms()).unwrap_or(i64::MAX);
    let mut stores = Vec::new();
    for agent_id in agents {
        let (policy, spared, id) = (policy.clone(), spared.clone(), agent_id.clone());
        let look = move |conn: &rusqlite::Connection| plan(conn, Some(&id), &policy, &spared, now);
        let Plan { before, steps } = context.store.read("look for unused sessions", look).map_err(stored)?;
        let steps: Vec<_> = steps.into_iter().take(STEPS * PASSES).collect();
        let plan = Plan { before, steps };
        let mut done = 0;
        if mode == "enforce" {
            for part in plan.steps.chunks(STEPS) {
                let part = part.to_vec();
                let write = move |conn: &rusqlite::Connection| carry_out(conn, &part, now);
                done += context.store.write("put unused sessions away", write).map_err(stored)?;
            }
        }
        let archived = plan.count(|fate| fate != Fate::Removed);
        let capped = plan.count(|fate| fate == Fate::Surplus);
        let applied = (mode == "enforce").then_some(true);
        stores.push(SessionsCleanupSummary {
            store_path: context.desk.paths.database().display().to_string(),
            mode,
            dry_run: false,
            before_count: plan.before,
            after_count: plan.before - plan.steps.len(),
            missing: 0,
            dm_scope_retired: 0,
            model_run_pruned: 0,
            archived,
            cap_archived: capped,
            pruned: plan.count(|fate| fate == Fate::Removed),
            capped,
            unreferenced_artifacts: Artifacts::default(),
            disk_budget: None,
            would_mutate: !plan.steps.is_empty(),
            applied,
            applied_count: applied.map(|_| done),
            agent_id,
        });
        if done > 0 {
            // Gone only when the gateway stops.
            let _ = context.hub.tell("sessions.cleanup", |state, now| state.tell_sessions_changed("cleanup", now));
        }
    }
    Ok(match <[SessionsCleanupSummary; 1]>::try_from(stores) {
        Ok([one]) => SessionsCleanupResult::One(one),
        Err(stores) => SessionsCleanupResult::Many { all_agents: true, mode, dry_run: false, stores },
    })
}
