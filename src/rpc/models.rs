//! `models.list`.

use std::sync::Arc;

use crate::auth::Caller;
use crate::hub::{Now, State};
use crate::wire::error::RpcError;
use crate::wire::models::{ModelsListParams, ModelsListResult};

pub fn list(
    state: &mut State,
    _: &Arc<Caller>,
    params: ModelsListParams,
    _: Now,
) -> Result<ModelsListResult, RpcError> {
    if params.prepared_only == Some(true) && params.refresh == Some(true) {
        return Err(RpcError::invalid("invalid models.list params: preparedOnly and refresh exclude each other"));
    }
    Ok(ModelsListResult { models: state.shared.catalogue.get().rows.clone() })
}
