//! `node.*`: the register of nodes for operators, calls to them, and what nodes themselves send.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::Caller;
use crate::auth::devices::Actor;
use crate::auth::node_commands::invoke_scope;
use crate::hub::nodes::{Asked, CALL_TIME, CALL_TIME_MAX, to_operator};
use crate::hub::{Now, State, Ticket};
use crate::wire::error::RpcError;
use crate::wire::node::*;
use crate::wire::scope::Scope;

pub fn pair_list(
    state: &mut State,
    _: &Arc<Caller>,
    _: NodePairListParams,
    _: Now,
) -> Result<NodePairListResult, RpcError> {
    Ok(NodePairListResult { pending: state.devices.node_requests(), paired: state.devices.paired_nodes() })
}

pub fn approve(state: &mut State, who: &Arc<Caller>, params: NodePairApproveParams, ticket: Ticket, now: Now) {
    let decided = state.devices.approve_node(Actor::from(&**who), &params.request_id, now.ms);
    state.follow_and_answer(decided, ticket, now);
}

pub fn reject(state: &mut State, _: &Arc<Caller>, params: NodePairRejectParams, ticket: Ticket, now: Now) {
    let decided = state.devices.reject_node(&params.request_id);
    state.follow_and_answer(decided, ticket, now);
}

pub fn remove(state: &mut State, who: &Arc<Caller>, params: NodePairRemoveParams, ticket: Ticket, now: Now) {
    let node_id = params.node_id.0;
    let decided = state.devices.remove_node(Actor::from(&**who), &node_id);
    state.follow_and_answer(decided.map(|effects| (NodeNamed { node_id }, effects)), ticket, now);
}

pub fn rename(state: &mut State, _: &Arc<Caller>, params: NodeRenameParams, ticket: Ticket, now: Now) {
    let (node_id, display_name) = (params.node_id.0, params.display_name.0);
    let decided = state.devices.rename_node(&node_id, &display_name);
    state.follow_and_answer(decided.map(|effects| (NodeRenameResult { node_id, display_name }, effects)), ticket, now);
}

pub fn list(state: &mut State, _: &Arc<Caller>, _: NodeListParams, now: Now) -> Result<NodeListResult, RpcError> {
    Ok(state.node_list(now))
}

pub fn describe(
    state: &mut State,
    _: &Arc<Caller>,
    params: NodeDescribeParams,
    now: Now,
) -> Result<NodeDescribeResult, RpcError> {
    state.node_describe(&params.node_id, now)
}

/// Some commands are the administrator's.
pub fn scope(params: &NodeInvokeParams) -> Scope {
    invoke_scope(&params.command)
}

pub fn invoke(state: &mut State, _: &Arc<Caller>, params: NodeInvokeParams, ticket: Ticket, now: Now) {
    let wanted = params.timeout_ms.map_or(0, |ms| ms.0);
    let timeout = if wanted == 0 { CALL_TIME } else { Duration::from_millis(wanted).min(CALL_TIME_MAX) };
    let asked = Asked {
        node_id: params.node_id.0,
        command: params.command.0,
        params_json: params.params.map(|raw| raw.get().to_string()),
        idempotency_key: params.idempotency_key.0,
        timeout,
        follower: None,
    };
    let reply = to_operator(ticket, asked.node_id.clone(), asked.command.clone());
    state.ask_node(asked, reply, now);
}

pub fn invoke_progress(
    state: &mut State,
    who: &Arc<Caller>,
    params: NodeInvokeProgressParams,
    now: Now,
) -> Result<NodeProgressed, RpcError> {
    if params.chunk.chars().count() > CHUNK {
        return Err(RpcError::invalid(format!(
            "invalid node.invoke.progress params: at /chunk: must not have more than {CHUNK} characters"
        )));
    }
    state.node_progressed(who, params, now)
}

pub fn invoke_result(
    state: &mut State,
    who: &Arc<Caller>,
    params: NodeInvokeResultParams,
    _: Now,
) -> Result<NodeOk, RpcError> {
    state.node_answered(who, params)
}

pub fn event(
    state: &mut State,
    who: &Arc<Caller>,
    params: NodeEventParams,
    now: Now,
) -> Result<NodeEventResult, RpcError> {
    Ok(state.node_event(who, params, now))
}

pub fn enqueue(state: &mut State, _: &Arc<Caller>, params: NodePendingEnqueueParams, ticket: Ticket, now: Now) {
    let ttl = params.expires_in_ms.map_or(WORK_TTL, |ms| ms.0);
    let decided = state.devices.leave_work(&params.node_id, params.kind, params.priority, ttl, now.ms);
    state.follow_and_answer(decided, ticket, now);
}

pub fn drain(state: &mut State, who: &Arc<Caller>, params: NodePendingDrainParams, ticket: Ticket, now: Now) {
    let most = params.max_items.map_or(WORK_PAGE, |n| n.0 as usize);
    let node_id = who.client.device_id.as_deref().unwrap_or("");
    let decided = state.devices.take_work(node_id, most, now.ms);
    state.follow_and_answer(decided, ticket, now);
}

pub fn tools_update(
    state: &mut State,
    who: &Arc<Caller>,
    params: NodePluginToolsUpdateParams,
    _: Now,
) -> Result<NodePluginToolsUpdateResult, RpcError> {
    state.node_tools(who, params.tools)
}

pub fn skills_update(
    _: &mut State,
    who: &Arc<Caller>,
    params: NodeSkillsUpdateParams,
    _: Now,
) -> Result<NodeSkillsUpdateResult, RpcError> {
    if !params.skills.is_empty() {
        return Err(RpcError::unavailable("this gateway does not use the skills of nodes"));
    }
    Ok(NodeSkillsUpdateResult { node_id: who.client.device_id.clone().unwrap_or_default(), skills: [] })
}

/// Characters of one piece of output.
const CHUNK: usize = 16_384;
/// A day (milliseconds): by then somebody has asked again.
const WORK_TTL: u64 = 24 * 60 * 60 * 1000;
/// Pieces of work handed out at once.
const WORK_PAGE: usize = 4;
