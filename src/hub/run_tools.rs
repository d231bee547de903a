//! The tools of a run as clients show them: cards that begin and end, and the output of commands.

use super::Now;
use super::peers::Peers;
use super::run::{RunId, ToolEnded};
use super::run_events::{TOOL_TEXT, everyone, tell};
use super::runs::Run;
use crate::wire::agent::{AgentData, CommandFacts};
use crate::wire::frame::cut;
use crate::wire::misfit;

/// The whole output of a command, for those who saw it grow.
pub(super) fn command_ended(peers: &Peers, run_id: &RunId, run: &mut Run, tool: &ToolEnded, now: Now) {
    let item_id = format!("command:{}", tool.call_id);
    let facts = tool.details.as_ref().and_then(|details| misfit::read::<CommandFacts>(details.get()).ok());
    tell(peers, run_id, run, "command_output", now, everyone, |_| AgentData::CommandEnd {
        item_id: &item_id,
        phase: "end",
        tool_call_id: &tool.call_id,
        name: &tool.name,
        output: cut(&tool.text, TOOL_TEXT),
        status: if tool.is_error { "failed" } else { "completed" },
        facts: facts.unwrap_or_default(),
    });
}

/// A card begins or ends.
pub(super) enum Item {
    Started,
    Ended { failed: bool, started_ms: u64 },
}

#[allow(clippy::too_many_arguments)] // one call site per phase, all values already at hand
pub(super) fn item(
    peers: &Peers,
    run_id: &RunId,
    run: &mut Run,
    now: Now,
    call_id: &str,
    name: &str,
    title: &str,
    item: Item,
) {
    let item_id = format!("tool:{call_id}");
    let (phase, status, started_at, ended_at) = match item {
        Item::Started => ("start", "running", now.ms, None),
        Item::Ended { failed: false, started_ms } => ("end", "completed", started_ms, Some(now.ms)),
        Item::Ended { failed: true, started_ms } => ("end", "failed", started_ms, Some(now.ms)),
    };
    tell(peers, run_id, run, "item", now, everyone, |_| AgentData::Item {
        item_id: &item_id,
        tool_call_id: call_id,
        name,
        kind: "tool",
        phase,
        title,
        status,
        started_at,
        ended_at,
    });
}
