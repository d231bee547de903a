//! `nodes`: the devices that lend their abilities to this gateway.
//!
//! What a node may be asked for is decided where operators are asked about it. Beyond that an agent does not get what is
//! the administrator's, and no shell: commands on a node would run without the approvals this host knows.

use serde::Deserialize;

use super::arguments::{self, Decoded};
use super::{Details, Plain, Refusal, ToolContext, ToolOutcome, cut};
use crate::auth::node_commands::invoke_scope;
use crate::wire::misfit;
use crate::wire::scope::Scope;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodesArguments {
    action: String,
    #[serde(default)]
    node: Option<String>,
    #[serde(default)]
    invoke_command: Option<String>,
    #[serde(default)]
    invoke_params_json: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default, deserialize_with = "arguments::count")]
    timeout_ms: Option<usize>,
}

/// What the tool wants from the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodesAsk {
    List,
    Describe {
        node: String,
    },
    Invoke {
        node: String,
        command: String,
        params_json: String,
        /// Milliseconds.
        timeout_ms: u64,
    },
}

pub(super) fn nodes(given: Decoded<NodesArguments>, context: &mut ToolContext) -> Result<ToolOutcome, Refusal> {
    let given = given.known;
    let ask = match given.action.as_str() {
        "status" | "list" => NodesAsk::List,
        "describe" => NodesAsk::Describe { node: named(&given)? },
        "notify" => {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let (title, body) = (text(&given.title), text(&given.body));
            if title.trim().is_empty() && body.trim().is_empty() {
                return Err(Refusal::new("Give a title or a body for the notification."));
            }
            #[derive(serde::Serialize)]
            struct Notice {
                title: String,
                body: String,
            }
            let params = serde_json::to_string(&Notice { title, body });
            let params_json = params.map_err(|_| Refusal::new("The text cannot be sent."))?;
            let command = "system.notify".to_string();
            NodesAsk::Invoke { node: named(&given)?, command, params_json, timeout_ms: time(&given) }
        }
        "invoke" => {
            let command = given.invoke_command.clone().unwrap_or_default().trim().to_string();
            if command.is_empty() {
                return Err(Refusal::new("Give invokeCommand, one of the commands `describe` lists."));
            }
            if command.starts_with("system.run") || invoke_scope(&command) == Scope::Admin {
                return Err(Refusal::new(format!("{command} is not for agents; ask the owner.")));
            }
            let params_json = given.invoke_params_json.clone().unwrap_or_else(|| "{}".into());
            if misfit::read::<serde::de::IgnoredAny>(&params_json).is_err() || !params_json.trim().starts_with('{') {
                return Err(Refusal::new("invokeParamsJson must be a JSON object as text."));
            }
            NodesAsk::Invoke { node: named(&given)?, command, params_json, timeout_ms: time(&given) }
        }
        other => {
            let other = cut(other, 64);
            return Err(Refusal::new(format!("There is no action {other:?}: status, describe, notify or invoke.")));
        }
    };
    let text = (context.nodes)(ask).map_err(Refusal)?;
    Ok(ToolOutcome::said(cut(&text, context.limits.text_bytes), Details::Plain(Plain {})))
}

fn named(given: &NodesArguments) -> Result<String, Refusal> {
    let node = given.node.as_deref().unwrap_or("").trim();
    match node {
        "" => Err(Refusal::new("Name the node: its id or name, as `status` lists it.")),
        node => Ok(node.to_string()),
    }
}

fn time(given: &NodesArguments) -> u64 {
    given.timeout_ms.map_or(USUAL_MS, |ms| (ms as u64).clamp(1, MOST_MS))
}

/// Long enough for a photograph, short enough for a conversation.
const USUAL_MS: u64 = 20_000;
const MOST_MS: u64 = 120_000;
