//! `tools.catalog` and `tools.effective`: which tools there are, and which of them an agent may call.

use std::sync::Arc;

use super::chat::target;
use crate::auth::Caller;
use crate::hub::{TaskContext, ToolFacts, main_key};
use crate::wire::error::RpcError;
use crate::wire::frame::cut;
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
