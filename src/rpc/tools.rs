//! `tools.catalog` and `tools.effective`: which tools there are, and which of them an agent may call; `tools.invoke`.

use std::sync::Arc;

use super::chat::target;
use crate::auth::Caller;
use crate::hub::run::{Input, Order, ToolAsk, ToolReply};
use crate::hub::{Now, State, TaskContext, Ticket, ToolFacts, main_key};
use crate::sys::abort::Abort;
use crate::sys::random;
use crate::wire::error::RpcError;
use crate::wire::frame::cut;
use crate::wire::scope::Scope;
use crate::wire::session;
use crate::wire::tools::*;

const SOURCE: &str = "core";
/// Profiles with the words people read.
const PROFILES: &[(&str, &str)] =
    &[("minimal", "Minimal"), ("coding", "Coding"), ("messaging", "Messaging"), ("full", "Full")];
/// Groups with the words people read, in the order they are shown.
const GROUPS: &[(&str, &str)] = &[
    ("fs", "Files"),
    ("runtime", "Commands"),
    ("sessions", "Sessions"),
    ("agents", "Agents"),
    ("automation", "Automations"),
    ("messaging", "Messages"),
    ("nodes", "Nodes"),
    ("other", "Others"),
];

pub fn catalog(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: ToolsCatalogParams,
) -> Result<ToolsCatalogResult, RpcError> {
    let config = context.desk.shared.config.get();
    let agent_id = params.agent_id.map_or_else(|| config.default_agent_id().to_owned(), |id| id.to_ascii_lowercase());
    if !config.agent_ids().contains(&agent_id.as_str()) {
        return Err(RpcError::invalid(format!("unknown agent id \"{}\"", cut(&agent_id, 64))));
    }
    let session = session::canonical("main", &agent_id, main_key(&config));
    let all = (context.tools)(&agent_id, &session);
    let group = |(id, label): &(&'static str, &'static str)| {
        let tools = all.iter().filter(|tool| tool.group == *id);
        let row = |tool: &ToolFacts| ToolRow { default_profiles: Some(tool.profiles.clone()), ..row(tool) };
        ToolGroup { id, label, source: SOURCE, tools: tools.map(row).collect() }
    };
    Ok(ToolsCatalogResult {
        profiles: PROFILES.iter().map(|(id, label)| ToolProfile { id, label }).collect(),
        groups: GROUPS.iter().map(group).filter(|group| !group.tools.is_empty()).collect(),
        agent_id,
    })
}

pub fn effective(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: ToolsEffectiveParams,
) -> Result<ToolsEffectiveResult, RpcError> {
    let config = context.desk.shared.config.get();
    let (key, agent_id) = target(&config, &params.session_key, params.agent_id.as_deref())?;
    let all = (context.tools)(&agent_id, &key);
    let row = |tool: &ToolFacts| ToolRow { raw_description: Some(tool.description), ..row(tool) };
    let tools: Vec<ToolRow> = all.iter().filter(|tool| tool.allowed).map(row).collect();
    let own = config.agent(&agent_id).and_then(|agent| agent.tools.profile.clone());
    let group = ToolGroup { id: SOURCE, label: "Built-in tools", source: SOURCE, tools };
    Ok(ToolsEffectiveResult {
        profile: own.or(config.tools.policy.profile.clone()).unwrap_or_else(|| "full".into()),
        groups: if group.tools.is_empty() { Vec::new() } else { vec![group] },
        agent_id,
    })
}

/// Calls one tool, within the agent's policy and what is closed to clients. What goes wrong with the tool is an answer,
/// not an error.
pub fn invoke(state: &mut State, who: &Arc<Caller>, params: ToolsInvokeParams, ticket: Ticket, _: Now) {
    let name = params.name.trim().to_string();
    if name.is_empty() {
        return ticket.answer(Err(RpcError::invalid("invalid tools.invoke params: name required")));
    }
    let key = params.session_key.as_deref().unwrap_or("main");
    let (session_key, agent_id) = match target(&state.shared.config.get(), key, params.agent_id.as_deref()) {
        Ok(found) => found,
        Err(error) => return ticket.answer(Err(error)),
    };
    let arguments = params.args.as_ref().map_or("{}", |args| args.get());
    if !arguments.starts_with('{') {
        return ticket.answer(Err(RpcError::invalid("invalid tools.invoke params: at /args: must be object")));
    }
    let call_id = params.idempotency_key.map_or_else(random::uuid, |id| id.0);
    let order = Order {
        run_id: format!("rpc-{}", cut(&call_id, 128)).into(),
        session_key: session_key.into(),
        agent_id: agent_id.into(),
        input: Input { admin: who.scopes.allows(Scope::Admin), ..Input::default() },
        abort: Abort::new(),
        link: Default::default(),
        sink: None,
        queued: false,
        absorbed: Vec::new(),
    };
    let shown = cut(&name, 128).to_string();
    let done = move |reply| {
        let refused = |code, message| ToolInvoked {
            ok: false,
            tool_name: shown.clone(),
            output: None,
            source: None,
            error: Some(ToolsInvokeError { code, message }),
        };
        ticket.answer_with(Ok(match reply {
            ToolReply::Said(output) => {
                let (output, source) = (Some(output), Some(SOURCE));
                ToolInvoked { ok: true, tool_name: shown, output, source, error: None }
            }
            ToolReply::NotThere => refused("not_found", format!("Tool not available: {shown}")),
            ToolReply::Failed(message) => refused("tool_error", message),
            ToolReply::Busy => refused("unavailable", "too many tools are at work; try again in a moment".into()),
        }));
    };
    state.runs.launcher().call_tool(ToolAsk { order, name, arguments: arguments.to_string(), done: Box::new(done) });
}

fn row(tool: &ToolFacts) -> ToolRow {
    let first = tool.description.split_inclusive(". ").next().unwrap_or(tool.description).trim_end();
    ToolRow {
        id: tool.name,
        label: tool.label,
        description: first,
        raw_description: None,
        source: SOURCE,
        risk: tool.risk,
        default_profiles: None,
    }
}
