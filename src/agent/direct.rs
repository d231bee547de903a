//! One tool called by a client, without a model: the same policy, the same limits, no transcript.

use super::Engine;
use super::tools::{self, Tool, ToolOutcome, policy::Layer};
use super::turn::Turning;
use crate::hub::run::Order;
use crate::providers::ToolCall;

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
}
