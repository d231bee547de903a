//! One tool called by a client, without a model: the same policy, the same limits, no transcript.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Engine;
use super::tools::{self, Details, Tool, ToolOutcome, policy::Layer};
use super::turn::Turning;
use crate::config::Config;
use crate::hub::run::{Order, ToolAsk, ToolReply};
use crate::providers::{Part, ToolCall};
use crate::wire::tools::{ToolContent, ToolResult};

/// Closed to clients unless `gateway.tools.allow` opens it: whoever holds the token of a web page must not thereby hold
/// a shell. The second line is what the reference does not offer here at all.
const DENIED: [&str; 18] = [
    "apply_patch",
    "cron",
    "exec",
    "fs_delete",
    "fs_move",
    "fs_write",
    "gateway",
    "nodes",
    "sessions_send",
    "sessions_spawn",
    "shell",
    "spawn", //
    "edit",
    "find",
    "grep",
    "ls",
    "read",
    "write",
];
/// Tools parse JSON and walk directories.
pub const STACK: usize = crate::sys::stack(512 << 10);
/// Tools at work at one time for clients of the protocol.
const AT_ONCE: usize = 4;

/// The hard list as configured. What it opens is open to owners only.
pub fn closed(config: &Config, admin: bool) -> Layer {
    let lists = &config.gateway.tools;
    let opened = |name: &str| admin && lists.allow.iter().any(|own| own.eq_ignore_ascii_case(name));
    let mut deny: Vec<String> = DENIED.iter().filter(|name| !opened(name)).map(|name| name.to_string()).collect();
    deny.extend(lists.deny.iter().cloned());
    Layer { origin: "gateway.tools".into(), deny, ..Layer::default() }
}

/// What a tool said, for a client.
pub fn result(outcome: &ToolOutcome) -> ToolResult<'_, &Details> {
    let content = outcome.content.iter().map(|part| match part {
        Part::Text(text) => ToolContent::Text { text },
        Part::Image { mime, data } => ToolContent::Image { data, mime_type: mime },
    });
    ToolResult { content: content.collect(), details: &outcome.details }
}

impl Engine {
    /// The tool of that name, if the agent's policy and `deny` leave it.
    pub fn permitted_tool(&self, order: &Order, name: &str, deny: Layer) -> Option<&'static Tool> {
        let turning = Turning::new(self, order.clone());
        let policy = turning.policy().and(deny);
        tools::find(name).filter(|tool| policy.allows(tool.name))
    }

    /// Runs a tool that was permitted. Ends when the order's abort fires.
    pub fn call_tool(&self, order: Order, tool: &Tool, call: &ToolCall) -> ToolOutcome {
        Turning::new(self, order).run_tool(tool, call)
    }

    /// Calls the tool that a client asked for, and tells it what came of that.
    pub(super) fn answer_tool(&self, asked: ToolAsk) {
        let ToolAsk { order, name, arguments, done } = asked;
        let Some(place) = Place::take(&self.calling) else { return done(ToolReply::Busy) };
        let reply = match self.permitted_tool(&order, &name, closed(&self.shared.config.get(), order.input.admin)) {
            None => ToolReply::NotThere,
            Some(tool) => {
                let call = ToolCall { id: order.run_id.to_string(), name, arguments };
                let outcome = self.call_tool(order, tool, &call);
                match (&outcome.details, serde_json::value::to_raw_value(&result(&outcome))) {
                    (Details::Failed(failed), _) => ToolReply::Failed(failed.error.clone()),
                    (_, Ok(said)) => ToolReply::Said(said),
                    (_, Err(error)) => ToolReply::Failed(format!("the result cannot be written: {error}")),
                }
            }
        };
        // First, so that who is told finds the place free.
        drop(place);
        done(reply);
    }
}

/// One of the [`AT_ONCE`]; given back even by a tool that panics.
struct Place<'p>(&'p AtomicUsize);

impl Place<'_> {
    fn take(taken: &AtomicUsize) -> Option<Place<'_>> {
        let place = Place(taken);
        (taken.fetch_add(1, Ordering::SeqCst) < AT_ONCE).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_whatever_becomes_of_its_tool() {
        let taken = AtomicUsize::new(0);
        let places: Vec<_> = (0..AT_ONCE).filter_map(|_| Place::take(&taken)).collect();
        assert_eq!(places.len(), AT_ONCE);
        assert!(Place::take(&taken).is_none());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _places = places;
            panic!("this panic belongs to a test");
        }));
        assert!(panicked.is_err() && Place::take(&taken).is_some());
        assert_eq!(taken.into_inner(), 0);
    }
}
