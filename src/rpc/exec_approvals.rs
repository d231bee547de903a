//! `exec.approvals.get` and `exec.approvals.set`: the document of rules about commands.

use std::sync::Arc;

use crate::auth::Caller;
use crate::hub::exec_rules::Rules;
use crate::hub::{Now, State, Ticket};
use crate::wire::error::RpcError;
use crate::wire::exec_approvals::*;

/// Patterns and grants in the whole document.
const ENTRIES: usize = 4_096;
/// One pattern or text of an entry, in bytes.
const TEXT: usize = 4_096;

pub fn get(
    state: &mut State,
    _: &Arc<Caller>,
    _: ExecApprovalsGetParams,
    _: Now,
) -> Result<ExecApprovalsSnapshot, RpcError> {
    Ok(snapshot(&state.approvals.rules, &state.shared.boot.database))
}

pub fn set(state: &mut State, _: &Arc<Caller>, params: ExecApprovalsSetParams, ticket: Ticket, _: Now) {
    let rules = &state.approvals.rules;
    let seen = params.base_hash.as_deref();
    if rules.exists && seen.is_none() {
        let text = "exec approvals base hash required; re-run exec.approvals.get and retry";
        return ticket.answer(Err(RpcError::invalid(text)));
    }
    if seen.is_some_and(|seen| seen != rules.hash) {
        let text = "exec approvals changed since last load; re-run exec.approvals.get and retry";
        return ticket.answer(Err(RpcError::invalid(text)));
    }
    if let Err(why) = check(&params.file) {
        return ticket.answer(Err(RpcError::invalid(format!("invalid exec approvals: {why}"))));
    }
    let database = state.shared.boot.database.clone();
    state.set_exec_rules(params.file, move |rules, saved| {
        ticket.answer_with(match saved {
            Ok(()) => Ok(snapshot(rules, &database)),
            Err(error) => Err(RpcError::unavailable(error.to_string()).retryable()),
        });
    });
}

fn check(file: &ExecApprovalsFile) -> Result<(), String> {
    if file.version != 1 {
        return Err(format!("version {} is not known", file.version));
    }
    let mut entries = 0;
    for (id, agent) in &file.agents {
        entries += agent.allowlist.len() + agent.mcp_tools.len();
        for (at, entry) in agent.allowlist.iter().enumerate() {
            let texts = [&entry.arg_pattern, &entry.last_used_command, &entry.last_resolved_path];
            let longest = texts.into_iter().flatten().map(String::len).max().unwrap_or(0).max(entry.pattern.len());
            if entry.pattern.trim().is_empty() || longest > TEXT {
                return Err(format!("agents.{id}.allowlist[{at}]: a pattern has 1 to {TEXT} characters"));
            }
        }
    }
    if entries > ENTRIES { Err(format!("more than {ENTRIES} entries")) } else { Ok(()) }
}

fn snapshot(rules: &Rules, database: &str) -> ExecApprovalsSnapshot {
    let defaults = &rules.file.defaults;
    ExecApprovalsSnapshot {
        path: format!("{database}#exec_approvals_config"),
        exists: rules.exists,
        file: rules.file.clone(),
        hash: rules.hash.clone(),
        resolved_defaults: ResolvedExecRules {
            security: defaults.security.unwrap_or(ExecSecurity::Full),
            ask: defaults.ask.unwrap_or(ExecAsk::Off),
            ask_fallback: defaults.ask_fallback.unwrap_or(ExecSecurity::Deny),
            auto_allow_skills: defaults.auto_allow_skills == Some(true),
        },
    }
}
