//! `approval.*`, `exec.approval.*` and `plugin.approval.*`: asking, looking, deciding.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::ask;
use super::delivery::filled;
use crate::auth::Caller;
use crate::channels::Target;
use crate::hub::approvals::{Asked, Asker, EXEC_TIME, not_found};
use crate::hub::outgoing::{Wanted, open_target};
use crate::hub::reviewers::Showing;
use crate::hub::sessions::stored;
use crate::hub::{Now, State, TaskContext, Ticket};
use crate::store::approvals as table;
use crate::wire::approval::*;
use crate::wire::decode::Int;
use crate::wire::error::RpcError;
use crate::wire::misfit;

/// A request of something other than a command waits so long when it does not say.
const PLUGIN_TIME: Duration = Duration::from_secs(120);
/// Text a person is to read before deciding, in bytes.
const COMMAND_BYTES: usize = 32 << 10;
/// Entries of a page of the history when the caller names no limit.
const PAGE: u64 = 50;

pub fn exec_request(state: &mut State, _: &Arc<Caller>, params: ExecApprovalRequestParams, ticket: Ticket, now: Now) {
    let argv = params.command_argv.filter(|argv| !argv.is_empty());
    let command = params.command.map(|text| text.0).or_else(|| argv.as_ref().map(|argv| argv.join(" ")));
    let Some(command) = command.filter(|text| !text.trim().is_empty()) else {
        return ticket.answer(Err(RpcError::invalid("command is required")));
    };
    let bytes = command.len() + argv.iter().flatten().map(String::len).sum::<usize>();
    if bytes > COMMAND_BYTES {
        let text = format!("a command of more than {COMMAND_BYTES} bytes cannot be reviewed");
        return ticket.answer(Err(RpcError::invalid(text)));
    }
    let barred = params.unavailable_decisions.unwrap_or_default();
    let allowed: Vec<Decision> =
        Decision::ALL.into_iter().filter(|one| *one == Decision::Deny || !barred.contains(one)).collect();
    let presentation = ApprovalPresentation::Exec {
        command_text: command.clone(),
        command_preview: None,
        warning_text: params.warning_text.clone(),
        host: params.host.clone(),
        node_id: params.node_id.clone(),
        agent_id: params.agent_id.clone(),
        allowed_decisions: allowed.clone(),
    };
    let request = ExecApprovalRequest {
        command,
        command_argv: argv,
        system_run_plan: params.system_run_plan,
        cwd: params.cwd,
        node_id: params.node_id,
        host: params.host,
        env_keys: params.env.map(|env| env.into_keys().collect()),
        security: params.security,
        ask: params.ask,
        warning_text: params.warning_text,
        scope: params.scope,
        unavailable_decisions: barred,
        allowed_decisions: allowed,
        agent_id: params.agent_id,
        resolved_path: params.resolved_path,
        session_key: params.session_key,
        session_id: params.session_id,
        run_id: params.run_id,
        tool_call_id: params.tool_call_id,
        turn_source_channel: params.turn_source_channel,
        turn_source_to: params.turn_source_to,
        turn_source_account_id: params.turn_source_account_id,
        turn_source_thread_id: params.turn_source_thread_id,
        ..ExecApprovalRequest::default()
    };
    let place = place(
        state,
        (&request.turn_source_channel, &request.turn_source_to),
        (&request.turn_source_account_id, request.turn_source_thread_id.as_deref()),
    );
    let asked = Asked {
        id: params.id.map(|id| id.0),
        request: ApprovalRequest::Exec(Box::new(request)),
        presentation,
        time: params.timeout_ms.map_or(EXEC_TIME, |ms| Duration::from_millis(ms.0)),
        asker: Asker::Client { ticket, two_phase: params.two_phase },
        grants: Vec::new(),
        reviewers: params.approval_reviewer_device_ids.unwrap_or_default(),
        place,
        showing: match (params.suppress_delivery, params.require_delivery_route) {
            (Some(true), Some(false)) => Showing::Nowhere,
            (Some(true), _) => Showing::Hidden,
            (_, Some(false)) => Showing::Waiting,
            _ => Showing::Demanded,
        },
    };
    state.ask_approval(asked, now);
}

pub fn plugin_request(
    state: &mut State,
    _: &Arc<Caller>,
    params: PluginApprovalRequestParams,
    ticket: Ticket,
    now: Now,
) {
    let mut allowed = params.allowed_decisions.unwrap_or_else(|| Decision::ALL.to_vec());
    // Whoever reads it must be able to refuse it.
    if !allowed.contains(&Decision::Deny) {
        allowed.push(Decision::Deny);
    }
    let presentation = ApprovalPresentation::Plugin {
        title: params.title.0.clone(),
        description: params.description.0.clone(),
        detail: params.detail.as_ref().map(|text| text.0.clone()),
        severity: params.severity.unwrap_or(Severity::Warning).as_str().into(),
        plugin_id: params.plugin_id.clone(),
        tool_name: params.tool_name.clone(),
        agent_id: params.agent_id.clone(),
        allowed_decisions: allowed,
    };
    let request = PluginApprovalRequest {
        plugin_id: params.plugin_id,
        title: params.title.0,
        description: params.description.0,
        scope: params.scope,
        detail: params.detail.map(|text| text.0),
        severity: params.severity,
        tool_name: params.tool_name,
        tool_call_id: params.tool_call_id,
        agent_id: params.agent_id,
        session_key: params.session_key,
        run_id: None,
        turn_source_channel: params.turn_source_channel,
        turn_source_to: params.turn_source_to,
        turn_source_account_id: params.turn_source_account_id,
        turn_source_thread_id: params.turn_source_thread_id,
    };
    let place = place(
        state,
        (&request.turn_source_channel, &request.turn_source_to),
        (&request.turn_source_account_id, request.turn_source_thread_id.as_deref()),
    );
    let asked = Asked {
        id: None,
        request: ApprovalRequest::Plugin(Box::new(request)),
        presentation,
        time: params.timeout_ms.map_or(PLUGIN_TIME, |ms| Duration::from_millis(ms.0)),
        asker: Asker::Client { ticket, two_phase: params.two_phase },
        grants: Vec::new(),
        reviewers: params.approval_reviewer_device_ids.unwrap_or_default(),
        place,
        showing: Showing::Demanded,
    };
    state.ask_approval(asked, now);
}

/// The conversation an asker says its question came from, if there is such a one.
fn place(
    state: &State,
    (channel, to): (&Option<String>, &Option<String>),
    (account, thread): (&Option<String>, Option<&RawValue>),
) -> Option<Target> {
    let wanted = Wanted {
        channel: Some(filled(channel.as_deref())?),
        account: account.as_deref(),
        to: filled(to.as_deref())?,
        thread: thread.map(|id| id.get().trim_matches('"').to_owned()).filter(|id| id != "null"),
        reply_to: None,
    };
    open_target(&state.shared.config.get(), &wanted).ok()
}

pub fn exec_list(
    state: &mut State,
    who: &Arc<Caller>,
    _: ApprovalListParams,
    _: Now,
) -> Result<Vec<ApprovalRow>, RpcError> {
    Ok(state.approvals.list(who, ApprovalKind::Exec))
}

pub fn plugin_list(
    state: &mut State,
    who: &Arc<Caller>,
    _: ApprovalListParams,
    _: Now,
) -> Result<Vec<ApprovalRow>, RpcError> {
    Ok(state.approvals.list(who, ApprovalKind::Plugin))
}

/// The reference's system agent asks for nothing here.
pub fn system_list(
    state: &mut State,
    who: &Arc<Caller>,
    _: ApprovalListParams,
    _: Now,
) -> Result<Vec<ApprovalRow>, RpcError> {
    Ok(state.approvals.list(who, ApprovalKind::SystemAgent))
}

pub fn exec_get(
    state: &mut State,
    who: &Arc<Caller>,
    params: ApprovalGetParams,
    _: Now,
) -> Result<ApprovalRow, RpcError> {
    state.approvals.row(who, ApprovalKind::Exec, &params.id).ok_or_else(not_found)
}

pub fn exec_wait(state: &mut State, who: &Arc<Caller>, params: ApprovalGetParams, ticket: Ticket, _: Now) {
    state.wait_decision(who, ApprovalKind::Exec, &params.id, ticket);
}

pub fn plugin_wait(state: &mut State, who: &Arc<Caller>, params: ApprovalGetParams, ticket: Ticket, _: Now) {
    state.wait_decision(who, ApprovalKind::Plugin, &params.id, ticket);
}

pub fn exec_resolve(state: &mut State, who: &Arc<Caller>, params: ExecApprovalResolveParams, ticket: Ticket, now: Now) {
    resolve_kind(state, who, ApprovalKind::Exec, &params, ticket, now);
}

pub fn plugin_resolve(
    state: &mut State,
    who: &Arc<Caller>,
    params: ExecApprovalResolveParams,
    ticket: Ticket,
    now: Now,
) {
    resolve_kind(state, who, ApprovalKind::Plugin, &params, ticket, now);
}

fn resolve_kind(
    state: &mut State,
    who: &Arc<Caller>,
    kind: ApprovalKind,
    params: &ExecApprovalResolveParams,
    ticket: Ticket,
    now: Now,
) {
    let Some(decision) = Decision::parse(&params.decision) else {
        return ticket.answer(Err(RpcError::invalid("invalid decision")));
    };
    if let Err(error) = lasting(decision, params.grant_expires_in_days) {
        return ticket.answer(Err(error));
    }
    state.decide_approval(who, (kind, &params.id), decision, now, move |decided| {
        ticket.answer_with(match decided {
            Ok((true, _)) => Ok(Done { ok: true }),
            Ok((false, _)) => Err(already_resolved()),
            Err(error) => Err(error),
        });
    });
}

pub fn resolve(state: &mut State, who: &Arc<Caller>, params: ApprovalResolveParams, ticket: Ticket, now: Now) {
    if let Err(error) = lasting(params.decision, params.grant_expires_in_days) {
        return ticket.answer(Err(error));
    }
    state.decide_approval(who, (params.kind, &params.id), params.decision, now, move |decided| {
        ticket.answer_with(decided.map(|(applied, approval)| ApprovalResolveResult { applied, approval }));
    });
}

pub fn get(context: &TaskContext, who: &Arc<Caller>, params: ApprovalGetParams) -> Result<ApprovalGetResult, RpcError> {
    let (id, who) = (params.id.0.clone(), who.clone());
    let look = move |state: &mut State| match state.approvals.is_shown(&who, &id) {
        true => Ok(state.approvals.snapshot(&id)),
        false => Err(not_found()),
    };
    if let Some(approval) = ask(context, "approval.get", look)? {
        return Ok(ApprovalGetResult { approval });
    }
    let record = context.store.read("read an approval", |conn| table::get(conn, &params.id)).map_err(stored)?;
    let approval = record.and_then(|text| misfit::read(&text).ok()).ok_or_else(not_found)?;
    Ok(ApprovalGetResult { approval })
}

pub fn history(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: ApprovalHistoryParams,
) -> Result<ApprovalHistoryResult, RpcError> {
    let before = match &params.cursor {
        Some(cursor) => Some(cursor.parse::<i64>().map_err(|_| RpcError::invalid("invalid cursor"))?),
        None => None,
    };
    let limit = usize::try_from(params.limit.map_or(PAGE, |limit| limit.0)).unwrap_or(usize::MAX);
    let kind = params.kind.map(ApprovalKind::as_str);
    let read = |conn: &_| table::decided(conn, kind, before, limit + 1);
    let mut rows = context.store.read("read the history of approvals", read).map_err(stored)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).map(|(n, _)| n.to_string());
    let items = rows.into_iter().filter_map(|(_, record)| RawValue::from_string(record).ok()).collect();
    Ok(ApprovalHistoryResult { items, next_cursor })
}

/// A grant has no end here: who wants one with an end must not get one without.
fn lasting(decision: Decision, days: Option<Int<1, 3650>>) -> Result<(), RpcError> {
    match (decision, days) {
        (Decision::AllowAlways, Some(_)) => Err(RpcError::invalid(
            "grantExpiresInDays: grants do not end by themselves here; decide allow-once, or allow-always without it",
        )),
        _ => Ok(()),
    }
}

fn already_resolved() -> RpcError {
    #[derive(serde::Serialize)]
    struct Details {
        reason: &'static str,
    }
    RpcError::invalid("approval already resolved").details(&Details { reason: "APPROVAL_ALREADY_RESOLVED" })
}
