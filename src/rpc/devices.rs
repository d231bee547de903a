//! `device.pair.*` and `device.token.*`: the register of devices, for operators.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::Caller;
use crate::auth::devices::{Actor, Profile};
use crate::hub::{Now, State, Ticket};
use crate::wire::device::{
    BootstrapProfile, DevicePairApproveParams, DevicePairListParams, DevicePairListResult, DevicePairRejectParams,
    DevicePairRemoveParams, DevicePairRemoveResult, DevicePairRenameParams, DevicePairRenameResult,
    DevicePairSetupCodeParams, DevicePairSetupCodeResult, DevicePairSetupStatusParams, DevicePairSetupStatusResult,
    DeviceTokenRevokeParams, DeviceTokenRotateParams, ScopeUpgradeRegistration, ScopeUpgradeRequestParams,
    ScopeUpgradeWaitParams, SetupPayload,
};
use crate::wire::error::RpcError;
use crate::wire::scope::{Scope, Scopes};

pub fn list(
    state: &mut State,
    _: &Arc<Caller>,
    _: DevicePairListParams,
    now: Now,
) -> Result<DevicePairListResult, RpcError> {
    Ok(state.device_list(now))
}

pub fn approve(state: &mut State, who: &Arc<Caller>, params: DevicePairApproveParams, ticket: Ticket, now: Now) {
    let decided = state.devices.approve(Actor::from(&**who), &params.request_id, now.ms);
    state.follow_and_answer(decided, ticket, now);
}

pub fn reject(state: &mut State, _: &Arc<Caller>, params: DevicePairRejectParams, ticket: Ticket, now: Now) {
    let decided = state.devices.reject(&params.request_id, now.ms);
    state.follow_and_answer(decided, ticket, now);
}

pub fn remove(state: &mut State, who: &Arc<Caller>, params: DevicePairRemoveParams, ticket: Ticket, now: Now) {
    let device_id = params.device_id.0;
    let decided = state.devices.remove(Actor::from(&**who), &device_id);
    let decided = decided.map(|effects| (DevicePairRemoveResult { device_id }, effects));
    state.follow_and_answer(decided, ticket, now);
}

pub fn rename(state: &mut State, who: &Arc<Caller>, params: DevicePairRenameParams, ticket: Ticket, now: Now) {
    let (device_id, label) = (params.device_id.0, params.label.0);
    let decided = state.devices.rename(Actor::from(&**who), &device_id, &label);
    let decided = decided.map(|effects| (DevicePairRenameResult { device_id, label }, effects));
    state.follow_and_answer(decided, ticket, now);
}

pub fn rotate(state: &mut State, who: &Arc<Caller>, params: DeviceTokenRotateParams, ticket: Ticket, now: Now) {
    let scopes = params.scopes.map(|names| Scopes::parse(names.iter().map(|name| name.0.as_str())));
    let decided = state.devices.rotate(Actor::from(&**who), &params.device_id, &params.role, scopes, now.ms);
    state.follow_and_answer(decided, ticket, now);
}

pub fn revoke(state: &mut State, who: &Arc<Caller>, params: DeviceTokenRevokeParams, ticket: Ticket, now: Now) {
    let decided = state.devices.revoke(Actor::from(&**who), &params.device_id, &params.role, now.ms);
    state.follow_and_answer(decided, ticket, now);
}

pub fn setup_status(
    state: &mut State,
    _: &Arc<Caller>,
    params: DevicePairSetupStatusParams,
    _: Now,
) -> Result<DevicePairSetupStatusResult, RpcError> {
    Ok(match state.devices.setup_status(&params.setup_id) {
        Some((outcome, true)) => DevicePairSetupStatusResult { completion: Some(outcome), delivery_uncertain: None },
        Some((outcome, false)) => DevicePairSetupStatusResult { completion: None, delivery_uncertain: Some(outcome) },
        None => DevicePairSetupStatusResult { completion: None, delivery_uncertain: None },
    })
}

pub fn request_upgrade(
    state: &mut State,
    who: &Arc<Caller>,
    params: ScopeUpgradeRequestParams,
    now: Now,
) -> Result<ScopeUpgradeRegistration, RpcError> {
    if params.scopes.is_empty() || params.scopes.len() > 8 {
        return Err(RpcError::invalid(
            "invalid device.scopes.requestUpgrade params: at /scopes: must have 1 to 8 items",
        ));
    }
    if let Some(unknown) = params.scopes.iter().find(|name| Scope::parse(&name.0).is_none()) {
        let unknown = crate::wire::frame::cut(&unknown.0, 64);
        return Err(RpcError::invalid(format!("unknown scope: {unknown}")));
    }
    let scopes = Scopes::parse(params.scopes.iter().map(|name| name.0.as_str()));
    let (request_id, effects) = state.devices.ask_for_more(own_device(who)?, scopes, now.ms)?;
    state.follow(effects, now);
    Ok(ScopeUpgradeRegistration { request_id })
}

pub fn wait_upgrade(state: &mut State, who: &Arc<Caller>, params: ScopeUpgradeWaitParams, ticket: Ticket, now: Now) {
    match own_device(who) {
        Ok(device_id) => state.await_upgrade(device_id, &params.request_id, ticket, now),
        Err(error) => ticket.answer(Err(error)),
    }
}

/// Only who came with a device can be given more.
fn own_device(who: &Caller) -> Result<&str, RpcError> {
    let device = who.client.device_id.as_deref().filter(|_| who.token.is_none());
    device.ok_or_else(|| RpcError::invalid("device identity required"))
}

/// Where the invited device finds this gateway, and who says so.
fn reachable_at(state: &State, given: Option<String>) -> Result<(String, &'static str), RpcError> {
    let gateway = &state.shared.config.get().gateway;
    let named = given.map(|url| (url, "request"));
    let named = named.or_else(|| gateway.public_origin.clone().map(|url| (url, "gateway.publicOrigin")));
    if let Some((url, source)) = named {
        let url = url.trim().trim_end_matches('/');
        let (scheme, rest) = url.split_once("://").unwrap_or(("", ""));
        let scheme = match scheme {
            "http" | "ws" => "ws",
            "https" | "wss" => "wss",
            _ => return Err(RpcError::invalid(format!("{source} is not an http or ws address"))),
        };
        if rest.is_empty() || rest.contains(['@', '?', '#', ' ']) {
            return Err(RpcError::invalid(format!("{source} is not an http or ws address")));
        }
        return Ok((format!("{scheme}://{rest}"), source));
    }
    let Some(host) = &state.shared.boot.lan_host else {
        return Err(RpcError::invalid(
            "Gateway is only bound to loopback. Set gateway.bind=lan, or gateway.publicOrigin to the address of the proxy.",
        ));
    };
    let scheme = if gateway.tls.enabled { "wss" } else { "ws" };
    Ok((format!("{scheme}://{host}:{}", state.shared.boot.port), "gateway.bind"))
}

pub fn setup_code(
    state: &mut State,
    _: &Arc<Caller>,
    params: DevicePairSetupCodeParams,
    now: Now,
) -> Result<DevicePairSetupCodeResult, RpcError> {
    let (url, url_source) = reachable_at(state, params.public_url.map(|url| url.0))?;
    let profile = match params.bootstrap_profile {
        BootstrapProfile::Node => Profile::Node,
        BootstrapProfile::Limited => Profile::Limited,
        BootstrapProfile::Full => Profile::Full,
    };
    let code = state.devices.invite(url, profile, now.ms);
    let payload =
        SetupPayload { url: &code.url, bootstrap_token: code.token.expose(), expires_at_ms: code.expires_at_ms };
    let text = serde_json::to_string(&payload).map_err(|_| RpcError::unavailable("the code could not be written"))?;
    let page = code.url.replacen("ws", "http", 1);
    log::info!(target: "pairing", "made setup code {} for {}", code.id, profile.as_str());
    Ok(DevicePairSetupCodeResult {
        setup_code: URL_SAFE_NO_PAD.encode(text),
        join_url: params.join_url.then(|| format!("{page}/j/{}", code.link.expose())),
        setup_id: code.id,
        expires_at_ms: code.expires_at_ms,
        gateway_url: code.url,
        auth: state.shared.policy.get().mode.as_str(),
        url_source,
        access: profile.as_str(),
    })
}
