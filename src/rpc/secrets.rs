//! `secrets.reload`: reads secrets again and puts the new snapshot in force, whole or not at all.

use std::sync::Arc;

use crate::auth::Caller;
use crate::hub::TaskContext;
use crate::wire::config::{SecretsReloadParams, SecretsReloadResult};
use crate::wire::error::RpcError;

pub fn reload(context: &TaskContext, _: &Arc<Caller>, _: SecretsReloadParams) -> Result<SecretsReloadResult, RpcError> {
    (context.desk.reload)().map_err(RpcError::unavailable)?;
    let config = context.desk.shared.config.get();
    let warning_count = config.unresolved.len() + config.stale.len();
    Ok(SecretsReloadResult { ok: true, warning_count })
}
