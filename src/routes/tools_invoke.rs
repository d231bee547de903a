//! `POST /tools/invoke`: one tool, called directly, within the agent's policy and the hard deny list.

use crossbeam_channel::bounded;
use serde_json::value::RawValue;

use super::{HttpError, Visit, asking, json_of};
use crate::agent::direct;
use crate::agent::tools::{Details, Tool, ToolOutcome};
use crate::hub::run::{Input, Order};
use crate::net::{Exchange, Reply, Waited};
use crate::providers::ToolCall;
use crate::rpc::target;
use crate::sys::abort::Abort;
use crate::sys::random;
use crate::wire::frame::cut;
use crate::wire::misfit;
use crate::wire::scope::Scope;
use crate::wire::sorted::Sorted;
use crate::wire::tools::*;

pub fn create(visit: &Visit<'_>, exchange: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    let body = visit.body(exchange)?;
    let request: ToolsInvokeRequest = asking::parse(&body)?;
    let given = |text: &Option<String>| text.as_deref().map(str::trim).filter(|t| !t.is_empty()).map(str::to_string);
    let name = given(&request.name).or_else(|| given(&request.tool));
    let name = name.ok_or_else(|| HttpError::own(400, "invalid_request", "tools.invoke requires name"))?;
    let key = given(&request.session_key).unwrap_or_else(|| "main".into());
    let (session_key, agent_id) = target(&visit.config, &key, given(&request.agent_id).as_deref())
        .map_err(|error| HttpError::own(400, "invalid_request", error.message))?;
    let call_id = given(&request.idempotency_key).unwrap_or_else(random::uuid);
    let order = Order {
        run_id: format!("http-{}", cut(&call_id, 128)).into(),
        session_key: session_key.into(),
        agent_id: agent_id.into(),
        input: Input { admin: visit.allows(Scope::Admin), ..Input::default() },
        abort: Abort::new(),
        link: Default::default(),
        sink: None,
        queued: false,
        absorbed: Vec::new(),
    };
    let engine = visit.site.engine.clone();
    let tool = engine
        .permitted_tool(&order, &name, direct::closed(&visit.config, visit.allows(Scope::Admin)))
        .ok_or_else(|| HttpError::own(404, "not_found", format!("Tool not available: {}", cut(&name, 128))))?;
    let arguments = arguments(tool, request.args, request.action)?;
    let call = ToolCall { id: order.run_id.to_string(), name, arguments };
    let (abort, (answer, answered)) = (order.abort.clone(), bounded(1));
    let made = std::thread::Builder::new().name("tool".into()).stack_size(direct::STACK).spawn(move || {
        // The handler may have left: then nobody needs the outcome.
        let _ = answer.send(engine.call_tool(order, tool, &call));
    });
    made.map_err(|error| {
        log::error!("start a thread for a tool: {error}");
        HttpError::unavailable("the gateway could not start a thread").gateway()
    })?;
    match exchange.wait(&answered, None) {
        Waited::Got(outcome) => reply(&outcome),
        Waited::PeerGone => {
            abort.fire();
            Err(HttpError::unavailable("the client left"))
        }
        Waited::Ended | Waited::TimedOut => Err(HttpError::own(500, "tool_error", "tool execution failed")),
    }
}

/// The arguments as JSON text; what is no object counts as none. `action` is put in where the tool knows it.
fn arguments(tool: &Tool, args: Option<Box<RawValue>>, action: Option<String>) -> Result<String, HttpError> {
    let args = args.filter(|raw| raw.get().starts_with('{'));
    let text = args.as_ref().map_or("{}", |raw| raw.get());
    let Some(action) = action.filter(|action| !action.trim().is_empty()) else { return Ok(text.to_string()) };
    let known = misfit::read::<Schema>(tool.parameters).is_ok_and(|s| s.properties.contains_key("action"));
    let bad = || HttpError::own(400, "invalid_request", "args is not an object");
    let mut args: Sorted<String, Box<RawValue>> = misfit::read(text).map_err(|_| bad())?;
    if !known || args.contains_key("action") {
        return Ok(text.to_string());
    }
    args.insert("action".into(), serde_json::value::to_raw_value(action.trim()).map_err(|_| bad())?);
    serde_json::to_string(&args).map_err(|_| bad())
}

fn reply(outcome: &ToolOutcome) -> Result<Reply, HttpError> {
    if let Details::Failed(failed) = &outcome.details {
        return Err(HttpError::own(400, "tool_error", failed.error.clone()));
    }
    let result = direct::result(outcome);
    json_of(200, &ToolsInvokeResult { ok: true, result })
}
