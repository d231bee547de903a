//! `health`, `status`, `system-presence`.

use std::sync::Arc;

use crate::auth::Caller;
use crate::hub::{Now, State, TaskContext};
use crate::sys::host;
use crate::wire::error::RpcError;
use crate::wire::health::{HealthParams, HealthResult, ModelRuntime, StatusParams, StatusResult};
use crate::wire::presence::{PresenceEntry, SystemPresenceParams};

pub fn health(state: &mut State, _: &Arc<Caller>, params: HealthParams, now: Now) -> Result<HealthResult, RpcError> {
    if params.probe == Some(true) {
        state.refresh_health(now);
    }
    Ok(HealthResult { snapshot: state.health(now), model_runtime: ModelRuntime::default() })
}

pub fn status(context: &TaskContext, _: &Arc<Caller>, params: StatusParams) -> Result<StatusResult, RpcError> {
    let asked = context.hub.ask("status", |state, now| state.status(now));
    let mut status = asked.map_err(|gone| RpcError::unavailable(gone.to_string()).retryable())?;
    if params.include_channel_summary == Some(false) {
        status.channel_summary.clear();
    }
    status.process_memory.rss_bytes = host::rss_kb() * 1024;
    Ok(status)
}

pub fn presence(
    state: &mut State,
    _: &Arc<Caller>,
    _: SystemPresenceParams,
    _: Now,
) -> Result<Vec<PresenceEntry>, RpcError> {
    Ok(state.presence.rows().into_iter().cloned().collect())
}
