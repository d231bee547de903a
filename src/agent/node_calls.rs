//! Asking nodes on behalf of a run: the state thread knows them, the run's thread waits for the answer.

use std::time::Duration;

use crossbeam_channel::bounded;

use super::Engine;
use super::tools::NodesAsk;
use crate::hub::nodes::{Answer, Asked};
use crate::hub::run::Order;
use crate::hub::{Now, State};
use crate::sys::random;

impl Engine {
    /// Whether there is any node an agent could ask. Without one the tool is not offered.
    pub(super) fn has_nodes(&self) -> bool {
        self.hub.ask("nodes for a run", |state, _| !state.devices.paired_nodes().is_empty()).unwrap_or(false)
    }

    /// Does what the `nodes` tool wants; the answer is text for the model, JSON as far as it came from a node.
    pub(super) fn ask_nodes(&self, ask: NodesAsk, order: &Order, call_id: &str) -> Result<String, String> {
        let (abort, follower) = (&order.abort, Some((order.run_id.clone(), call_id.to_owned())));
        let (answer, answered) = bounded(2);
        let stopped = answer.clone();
        let _guard = abort.on_fire(move || drop(stopped.try_send(Err("The run was aborted.".into()))));
        let told = self.hub.tell("nodes", move |state, now| match ask {
            NodesAsk::Invoke { node, command, params_json, timeout_ms } => {
                let node_id = match find(state, &node, now) {
                    Ok(node_id) => node_id,
                    Err(why) => return drop(answer.try_send(Err(why))),
                };
                let asked = Asked {
                    node_id,
                    command,
                    params_json: Some(params_json),
                    idempotency_key: random::uuid(),
                    timeout: Duration::from_millis(timeout_ms),
                    follower,
                };
                let reply = Box::new(move |result: Result<Answer, crate::wire::error::RpcError>| {
                    let text = |a: Answer| a.payload_json.or(a.payload.map(|raw| raw.get().to_string()));
                    let said = result.map(|a| text(a).unwrap_or_else(|| "ok".into())).map_err(|error| error.message);
                    // The run may have been aborted: then nobody reads it.
                    drop(answer.try_send(said));
                });
                state.ask_node(asked, reply, now);
            }
            NodesAsk::List => drop(answer.try_send(Ok(listed(state, now)))),
            NodesAsk::Describe { node } => {
                let described = find(state, &node, now).and_then(|node_id| {
                    let row = state.node_describe(&node_id, now).map_err(|error| error.message)?;
                    serde_json::to_string(&row).map_err(|error| error.to_string())
                });
                drop(answer.try_send(described));
            }
        });
        told.map_err(|gone| gone.to_string())?;
        // The state thread answers by the call's deadline, or the abort does.
        answered.recv().unwrap_or_else(|_| Err("The gateway is stopping.".into()))
    }
}

/// One line per node: short, because it stands in every later turn.
fn listed(state: &State, now: Now) -> String {
    let rows = state.node_list(now).nodes;
    let lines = rows.iter().map(|row| {
        let name = row.display_name.as_deref().unwrap_or("");
        let here = if row.connected { "connected" } else { "not connected" };
        format!("{} {name:?} {} {here}; commands: {}", row.node_id, row.platform, row.surface.commands.join(" "))
    });
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() { "There are no nodes.".into() } else { lines.join("\n") }
}

fn find(state: &State, meant: &str, now: Now) -> Result<String, String> {
    let rows = state.node_list(now).nodes;
    let named = |row: &&crate::wire::node::NodeRow| {
        row.display_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(meant))
    };
    if let Some(row) = rows.iter().find(|row| row.node_id == meant) {
        return Ok(row.node_id.clone());
    }
    let mut found: Vec<_> = rows.iter().filter(named).collect();
    if found.is_empty() {
        found = rows.iter().filter(|row| meant.len() >= 6 && row.node_id.starts_with(meant)).collect();
    }
    match found[..] {
        [only] => Ok(only.node_id.clone()),
        [] => Err(format!("No node is called {meant:?}; `status` lists them.")),
        _ => Err(format!("Several nodes are called {meant:?}; use the id.")),
    }
}
