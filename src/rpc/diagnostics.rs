//! `diagnostics.lanes` and `diagnostics.stability`.

use std::sync::Arc;

use crate::auth::Caller;
use crate::hub::{Now, State, TaskContext};
use crate::sys::{clock, host};
use crate::wire::diagnostics::*;
use crate::wire::error::RpcError;

pub fn lanes(
    state: &mut State,
    _: &Arc<Caller>,
    _: DiagnosticsLanesParams,
    now: Now,
) -> Result<DiagnosticsLanesResult, RpcError> {
    Ok(state.lanes(now))
}

pub fn stability(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: DiagnosticsStabilityParams,
) -> Result<DiagnosticsStabilityResult, RpcError> {
    let (rss, generated_at) = (host::rss_kb() * 1024, clock::iso_now());
    let look = move |state: &mut State, now| state.stability(&params, rss, generated_at, now);
    context.hub.ask("diagnostics.stability", look).map_err(|gone| RpcError::unavailable(gone.to_string()).retryable())
}
