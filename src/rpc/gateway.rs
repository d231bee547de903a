//! `gateway.suspend.*`, `gateway.restart.preflight`, `gateway.identity.get`.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::auth::Caller;
use crate::hub::sessions::stored;
use crate::hub::{Now, State, TaskContext};
use crate::store::kv;
use crate::sys::{random, signals};
use crate::wire::error::RpcError;
use crate::wire::frame::cut;
use crate::wire::suspend::*;

pub fn prepare(
    state: &mut State,
    _: &Arc<Caller>,
    params: GatewaySuspendPrepareParams,
    now: Now,
) -> Result<GatewaySuspendPrepareResult, RpcError> {
    if params.request_id.trim().is_empty() {
        return Err(RpcError::invalid("invalid gateway.suspend.prepare params: at /requestId: must not be blank"));
    }
    Ok(state.suspend(&params, now))
}

pub fn status(
    state: &mut State,
    _: &Arc<Caller>,
    params: GatewaySuspendStatusParams,
    _: Now,
) -> Result<GatewaySuspendStatusResult, RpcError> {
    Ok(state.suspension_status(&params.suspension_id))
}

pub fn resume(
    state: &mut State,
    _: &Arc<Caller>,
    params: GatewaySuspendStatusParams,
    now: Now,
) -> Result<GatewaySuspendResumeResult, RpcError> {
    state.resume(&params.suspension_id, now)
}

pub fn preflight(
    state: &mut State,
    _: &Arc<Caller>,
    _: GatewayRestartPreflightParams,
    _: Now,
) -> Result<GatewayRestartPreflightResult, RpcError> {
    let (counts, blockers) = state.blockers();
    let safe = counts.total_active == 0;
    let summary = match safe {
        true => "safe to restart now".to_string(),
        false => format!("{} piece(s) of work are being made", counts.total_active),
    };
    Ok(GatewayRestartPreflightResult { safe, counts, blockers, summary })
}

/// Starts the gateway over, as a signal would: what is made may end, and nobody is refused meanwhile.
pub fn restart(
    state: &mut State,
    who: &Arc<Caller>,
    params: GatewayRestartRequestParams,
    now: Now,
) -> Result<GatewayRestartRequestResult, RpcError> {
    let pid = std::process::id();
    if let Some(target) = &params.target
        && (target.pid.is_some_and(|asked| asked != pid)
            || target.port.is_some_and(|asked| asked != state.shared.boot.port))
    {
        return Err(RpcError::invalid("target gateway no longer owns the active lock"));
    }
    if !state.shared.config.get().commands.restart {
        return Err(RpcError::unavailable("restarts are switched off (commands.restart=false)"));
    }
    let preflight = preflight(state, who, GatewayRestartPreflightParams {}, now)?;
    let skip = params.skip_deferral == Some(true);
    let status = if preflight.safe || skip { "scheduled" } else { "deferred" };
    if skip {
        let busy: Vec<String> = state.runs.sessions().map(|(key, _)| key.to_string()).collect();
        for key in busy {
            state.abort_runs(&key, None, now);
        }
    }
    let reason = params.reason.as_deref().map_or("gateway.restart.request", |reason| cut(reason.trim(), 200));
    log::info!("restart: asked for by a client ({reason})");
    if !signals::restart_myself() {
        return Err(RpcError::unavailable("this system restarts the gateway by its service manager only"));
    }
    Ok(GatewayRestartRequestResult { ok: true, status, pid, preflight })
}

/// Where the key lies among the named facts. The database is readable by its owner only.
const SCOPE: &str = "gateway";
const NAME: &str = "identity";

/// The key is made when it is first asked for.
pub fn identity(
    context: &TaskContext,
    _: &Arc<Caller>,
    _: GatewayIdentityGetParams,
) -> Result<GatewayIdentityGetResult, RpcError> {
    let known = context.store.read("read the gateway's key", |conn| kv::get(conn, SCOPE, NAME)).map_err(stored)?;
    let pair = match known.as_deref().and_then(read) {
        Some(pair) => pair,
        None => {
            let fresh = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
            let fresh = fresh.map_err(|_| RpcError::unavailable("no key could be made"))?;
            let text = URL_SAFE_NO_PAD.encode(fresh.as_ref());
            let kept = context.store.write("keep the gateway's key", move |conn| {
                // Whoever was first has made it.
                if let Some(known) = kv::get(conn, SCOPE, NAME)? {
                    return Ok(known);
                }
                kv::set(conn, SCOPE, NAME, &text)?;
                Ok(text)
            });
            read(&kept.map_err(stored)?).ok_or_else(|| RpcError::unavailable("the gateway's key cannot be read"))?
        }
    };
    let key = pair.public_key().as_ref();
    Ok(GatewayIdentityGetResult {
        device_id: random::to_hex(digest(&SHA256, key).as_ref()),
        public_key: URL_SAFE_NO_PAD.encode(key),
    })
}

fn read(text: &str) -> Option<Ed25519KeyPair> {
    Ed25519KeyPair::from_pkcs8(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}
