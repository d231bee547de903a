//! `device.pair.*` and `device.token.*`: the register of devices, for operators.

use std::sync::Arc;

use crate::auth::Caller;
use crate::auth::devices::Actor;
use crate::hub::{Now, State, Ticket};
use crate::wire::device::{
    DevicePairApproveParams, DevicePairListParams, DevicePairListResult, DevicePairRejectParams,
    DevicePairRemoveParams, DevicePairRemoveResult, DevicePairRenameParams, DevicePairRenameResult,
    DeviceTokenRevokeParams, DeviceTokenRotateParams,
};
use crate::wire::error::RpcError;
use crate::wire::scope::Scopes;

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
