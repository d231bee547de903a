//! `secrets.reload` and `secrets.store.*`: secrets are read again; the store of this host is kept.
//!
//! Invariants: no answer holds a secret; a reload puts the new snapshot in force, whole or not at all.

use std::fs;
use std::sync::Arc;

use crate::auth::Caller;
use crate::config::gateway::ReloadMode;
use crate::config::secrets::shelf::{Kind, Shelf};
use crate::config::write;
use crate::hub::TaskContext;
use crate::wire::config::{
    SecretStoreEntry, SecretsReloadParams, SecretsReloadResult, SecretsStoreDeleteParams, SecretsStoreListParams,
    SecretsStoreListResult, SecretsStoreMutationResult, SecretsStoreSetParams,
};
use crate::wire::error::RpcError;

pub fn reload(context: &TaskContext, _: &Arc<Caller>, _: SecretsReloadParams) -> Result<SecretsReloadResult, RpcError> {
    read_again(context).map_err(RpcError::unavailable)?;
    Ok(SecretsReloadResult { ok: true, warning_count: missing(context) })
}

pub fn list(
    context: &TaskContext,
    _: &Arc<Caller>,
    _: SecretsStoreListParams,
) -> Result<SecretsStoreListResult, RpcError> {
    let shelf = Shelf::read(&Shelf::path(&context.desk.paths.state_dir)).map_err(RpcError::unavailable)?;
    let entries = shelf.iter().map(|(name, entry)| SecretStoreEntry {
        kind: entry.kind.as_str(),
        value: (entry.kind == Kind::Env).then(|| entry.value.clone()),
        name: name.clone(),
        scope_kind: "team",
        scope_id: "",
        created_at_ms: entry.created_at,
        updated_at_ms: entry.updated_at,
    });
    Ok(SecretsStoreListResult { entries: entries.collect() })
}

pub fn set(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: SecretsStoreSetParams,
) -> Result<SecretsStoreMutationResult, RpcError> {
    let kind = Kind::named(&params.kind).ok_or_else(|| RpcError::invalid("kind is secret or env"))?;
    if params.allowed_hosts.is_some_and(|hosts| !hosts.is_empty()) {
        let why = "allowedHosts: nothing here would keep a secret to these hosts; set it without them";
        return Err(RpcError::invalid(why));
    }
    Shelf::change(&context.desk.paths.state_dir, |shelf| shelf.set(&params.name, kind, &params.value))
        .map_err(RpcError::invalid)?;
    changed(context, &params.name)
}

pub fn delete(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: SecretsStoreDeleteParams,
) -> Result<SecretsStoreMutationResult, RpcError> {
    Shelf::change(&context.desk.paths.state_dir, |shelf| Ok(shelf.remove(&params.name)))
        .map_err(RpcError::unavailable)?;
    changed(context, &params.name)
}

/// Puts a changed entry in force when the configuration refers to it.
fn changed(context: &TaskContext, name: &str) -> Result<SecretsStoreMutationResult, RpcError> {
    let config = context.desk.shared.config.get();
    let used = config.held.values().any(|held| held.is_stored_as(name))
        || config.unresolved.iter().chain(&config.stale).any(|missing| missing.reason.contains(name));
    if !used {
        return Ok(SecretsStoreMutationResult { ok: true, reloaded: false, warning_count: None });
    }
    read_again(context)
        .map_err(|reason| RpcError::unavailable(format!("the store was changed and is not in force: {reason}")))?;
    Ok(SecretsStoreMutationResult { ok: true, reloaded: true, warning_count: Some(missing(context)) })
}

/// Also where `gateway.reload.mode` is off, as long as the file is the one that is in force.
fn read_again(context: &TaskContext) -> Result<(), String> {
    let desk = &context.desk;
    (desk.reload)()?;
    let config = desk.shared.config.get();
    let same = || fs::read(&desk.paths.config).is_ok_and(|bytes| write::hash(&bytes) == config.hash);
    if config.gateway.reload.mode == ReloadMode::Off && config.exists && !same() {
        return Err("gateway.reload.mode is off and the configuration file has changed since it was read; \
                    restart the gateway to take over both"
            .to_owned());
    }
    Ok(())
}

fn missing(context: &TaskContext) -> usize {
    let config = context.desk.shared.config.get();
    config.unresolved.len() + config.stale.len()
}
