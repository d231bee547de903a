//! Nodes that are connected, and the calls they have not answered yet.
//!
//! What a node may be asked for is the register's knowledge ([`crate::auth::devices::nodes`]); whether it is here, and
//! what it owes an answer to, is known here.
//!
//! Deliberately absent: waking a device that sleeps, and running agents on a node's behalf: what a node reports is its
//! own state and nothing else (T30).
//!
//! Invariants: a call is answered by the connection it was sent to, by the node it was meant for, or by its deadline; at
//! most [`CALLS`] calls wait, [`CALLS_EACH`] of them for one node.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use super::event::{ConnId, Now};
use super::run::{RunEvent, RunId, ToolOutput};
use super::run_events::TOOL_TEXT;
use super::timers::Due;
use super::{State, Ticket};
use crate::auth::devices::Offer;
use crate::auth::devices::nodes::usable;
use crate::auth::node_commands::family;
use crate::auth::{Caller, Role};
use crate::net::Mailbox;
use crate::sys::random;
use crate::wire::error::RpcError;
use crate::wire::event as kinds;
use crate::wire::frame::{self, cut};
use crate::wire::misfit;
use crate::wire::node::*;
use crate::wire::sorted::Sorted;

/// Calls that wait for an answer, in all; each is a few hundred bytes.
const CALLS: usize = 512;
/// Calls one node may owe.
const CALLS_EACH: usize = 64;
/// A caller that does not say waits so long.
pub const CALL_TIME: Duration = Duration::from_secs(30);
/// A node that works for longer than this should answer and report.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(10 * 60);
/// Bytes of tool descriptors one node may publish.
const TOOLS_MAX: usize = 64 << 10;

/// Who waits for a node's answer.
pub type Reply = Box<dyn FnOnce(Result<Answer, RpcError>) + Send>;

/// What a node answered: a value, or its JSON text.
#[derive(Debug, Default)]
pub struct Answer {
    pub payload: Option<Box<RawValue>>,
    pub payload_json: Option<String>,
}

/// One call to a node.
pub struct Asked {
    pub node_id: String,
    pub command: String,
    pub params_json: Option<String>,
    pub idempotency_key: String,
    pub timeout: Duration,
    /// The tool call of a run that shows what the node says meanwhile.
    pub follower: Option<(RunId, String)>,
}

/// Connected nodes and open calls.
#[derive(Default)]
pub struct Nodes {
    live: Sorted<String, Live>,
    calls: Sorted<String, Call>,
}

/// One connected node.
struct Live {
    conn: ConnId,
    mail: Mailbox,
    offer: Arc<Offer>,
    since_ms: u64,
    tools: Vec<NodePluginToolDescriptor>,
}

struct Call {
    node_id: String,
    conn: ConnId,
    reply: Reply,
    follower: Option<(RunId, String)>,
    /// The number the next piece of its output has at least.
    next: u64,
    /// The end of what it said so far.
    tail: String,
}

impl Nodes {
    /// Where news for every node go.
    pub(super) fn mail(&self) -> impl Iterator<Item = &Mailbox> {
        self.live.values().map(|live| &live.mail)
    }

    pub(super) fn mail_of(&self, conn: ConnId) -> Option<&Mailbox> {
        self.live.values().find(|live| live.conn == conn).map(|live| &live.mail)
    }
}

impl State {
    /// A node's connection was admitted. An older one of the same node is not asked anything any more.
    pub(super) fn node_opened(&mut self, conn: ConnId, caller: &Caller, mail: &Mailbox, now: Now) {
        let (Some(offer), Some(id)) = (&caller.offer, &caller.client.device_id) else { return };
        let live = Live { conn, mail: mail.clone(), offer: offer.clone(), since_ms: now.ms, tools: Vec::new() };
        self.nodes.live.insert(id.clone(), live);
        self.greet_with_voice_words(conn);
    }

    /// A connection ended: if it was a node's, whoever waits for it is told.
    pub(super) fn node_gone(&mut self, conn: ConnId, caller: &Caller, now: Now) {
        let Some(id) = caller.client.device_id.as_deref().filter(|_| caller.role == Role::Node) else { return };
        let owed: Vec<String> =
            self.nodes.calls.iter().filter(|(_, call)| call.conn == conn).map(|(id, _)| id.clone()).collect();
        for call in owed.iter().filter_map(|id| self.nodes.calls.remove(id)) {
            (call.reply)(Err(not_connected(true)));
        }
        if self.nodes.live.get(id).is_none_or(|live| live.conn != conn) {
            return;
        }
        self.nodes.live.remove(id);
        let Some(node) = self.devices.node_mut(id) else { return };
        node.last_disconnected_at_ms = Some(now.ms);
        self.note_device(id);
    }

    /// Sends a call to a node, if it may be asked and is here; `reply` is called exactly once.
    pub fn ask_node(&mut self, asked: Asked, reply: Reply, now: Now) {
        let (conn, mail) = match self.askable(&asked) {
            Ok(live) => live,
            Err(error) => return reply(Err(error)),
        };
        let owes = self.nodes.calls.values().filter(|call| call.conn == conn).count();
        if self.nodes.calls.len() >= CALLS || owes >= CALLS_EACH {
            return reply(Err(RpcError::busy()));
        }
        let id = random::uuid();
        let event = NodeInvokeRequestEvent {
            id: &id,
            node_id: &asked.node_id,
            command: &asked.command,
            params_json: asked.params_json.as_deref(),
            timeout_ms: asked.timeout.as_millis() as u64,
            idempotency_key: &asked.idempotency_key,
        };
        mail.text(frame::direct_event(kinds::NODE_INVOKE_REQUEST.name, &event));
        self.timers.at(now.at + asked.timeout, Due::NodeDeadline(id.clone()));
        let (node_id, follower) = (asked.node_id, asked.follower);
        self.nodes.calls.insert(id, Call { node_id, conn, reply, follower, next: 0, tail: String::new() });
    }

    /// Where to send a call, or why not.
    fn askable(&self, asked: &Asked) -> Result<(ConnId, Mailbox), RpcError> {
        let (id, command) = (asked.node_id.as_str(), asked.command.as_str());
        let (Some(live), Some(device)) = (self.nodes.live.get(id), self.devices.get(id)) else {
            return Err(not_connected(false));
        };
        let rules = &self.shared.policy.get().nodes.commands;
        let surface = &live.offer.surface;
        let all = [surface.caps.clone(), surface.commands.clone()].concat();
        if !rules.allow(&device.platform, command, &all) {
            let platform = family(&device.platform);
            let why = format!("is not in the allowlist for platform \"{platform}\"");
            return Err(not_allowed(command, &why, "command not allowlisted"));
        }
        let names = |surface: &Surface| surface.commands.iter().any(|own| own == command);
        if !names(surface) {
            return Err(not_allowed(command, "is not offered by this node", "command not declared by node"));
        }
        if !self.devices.approved_surface(id).is_some_and(names) {
            let why = match self.devices.node_waits(id) {
                Some(request) => format!("waits for approval; run: openclaw nodes approve {request}"),
                None => "was not approved".to_string(),
            };
            return Err(not_allowed(command, &why, "command not approved"));
        }
        Ok((live.conn, live.mail.clone()))
    }

    /// A node answers a call. Only the connection that was asked can (T30).
    pub fn node_answered(&mut self, who: &Caller, params: NodeInvokeResultParams) -> Result<NodeOk, RpcError> {
        let Some(call) = self.nodes.calls.get(params.id.0.as_str()) else {
            // It was answered by its deadline.
            return Ok(NodeOk { ok: true, ignored: Some(true) });
        };
        let own = who.client.device_id.as_deref() == Some(call.node_id.as_str());
        if !own || call.conn != who.conn || call.node_id != params.node_id.0 {
            log::warn!(target: "nodes", "an answer to a call of another node was refused conn={}", who.conn);
            return Err(RpcError::invalid("node invoke result does not belong to this node"));
        }
        let Some(call) = self.nodes.calls.remove(params.id.0.as_str()) else { return Err(not_connected(true)) };
        (call.reply)(match params.ok {
            true => Ok(Answer { payload: params.payload, payload_json: params.payload_json }),
            false => Err(node_failed(params.error.unwrap_or_default())),
        });
        Ok(NodeOk { ok: true, ignored: None })
    }

    /// A node says how far it has come with a call: whoever watches the run that asked sees it.
    pub fn node_progressed(
        &mut self,
        who: &Caller,
        params: NodeInvokeProgressParams,
        now: Now,
    ) -> Result<NodeProgressed, RpcError> {
        let Some(call) = self.nodes.calls.get_mut(params.invoke_id.0.as_str()) else {
            // It was answered by its deadline.
            return Ok(NodeProgressed { ok: true, ignored: true });
        };
        let own = who.client.device_id.as_deref() == Some(call.node_id.as_str());
        if !own || call.conn != who.conn || call.node_id != params.node_id.0 {
            return Err(RpcError::invalid("nodeId mismatch"));
        }
        // A piece that comes twice or late would show old output anew.
        if params.seq.0 < call.next {
            return Ok(NodeProgressed { ok: true, ignored: true });
        }
        call.next = params.seq.0.saturating_add(1);
        let Some((run_id, call_id)) = call.follower.clone() else {
            return Ok(NodeProgressed { ok: true, ignored: false });
        };
        call.tail.push_str(&params.chunk);
        if call.tail.len() > TOOL_TEXT {
            let mut from = call.tail.len() - TOOL_TEXT;
            while !call.tail.is_char_boundary(from) {
                from += 1;
            }
            call.tail.drain(..from);
        }
        let output = ToolOutput { call_id, name: "nodes".into(), text: call.tail.clone() };
        self.on_run(&run_id, RunEvent::ToolOutput(Box::new(output)), now);
        Ok(NodeProgressed { ok: true, ignored: false })
    }

    /// Nobody waits for this call any longer; its node is told.
    pub(super) fn node_late(&mut self, call_id: &str) {
        let Some(call) = self.nodes.calls.remove(call_id) else { return };
        if let Some(live) = self.nodes.live.get(&call.node_id).filter(|live| live.conn == call.conn) {
            let event = NodeInvokeCancelEvent { invoke_id: call_id, node_id: &call.node_id };
            live.mail.text(frame::direct_event(kinds::NODE_INVOKE_CANCEL.name, &event));
        }
        let text = |text: &str| Some(text.to_string());
        (call.reply)(Err(node_failed(NodeError { code: text("TIMEOUT"), message: text("node invoke timed out") })));
    }

    /// A node reports about itself.
    pub fn node_event(&mut self, who: &Caller, params: NodeEventParams, now: Now) -> NodeEventResult {
        let event = cut(&params.event.0, 64).to_string();
        let result = |event, reason| NodeEventResult { ok: true, event, handled: true, reason };
        let text = params.payload_json.as_deref().or_else(|| params.payload.as_ref().map(|raw| raw.get()));
        let node_id = who.client.device_id.clone().unwrap_or_default();
        let own = self.nodes.live.get(&node_id).is_some_and(|live| live.conn == who.conn);
        match event.as_str() {
            "node.host.stats" if !own => NodeEventResult { handled: false, ..result(event, "stale_connection") },
            "node.host.stats" => {
                let told = text.and_then(|text| misfit::read::<HostStats>(text).ok());
                let Some(mut stats) = told.filter(HostStats::plausible) else {
                    return NodeEventResult { handled: false, ..result(event, "invalid_payload") };
                };
                stats.updated_at_ms = now.ms;
                let payload = NodeHostStatsEvent { node_id: &node_id, host_stats: &stats };
                self.peers.broadcast(&kinds::NODE_HOST_STATS, &payload, None, |_| true);
                if let Some(node) = self.devices.node_mut(&node_id) {
                    // Written down when the node leaves: a disk must not work every minute for it.
                    node.stats = Some(stats);
                }
                result(event, "updated")
            }
            "node.presence.alive" => {
                let told = text.and_then(|text| misfit::read::<NodePresenceAlivePayload>(text).ok());
                let Some(told) = told else {
                    return NodeEventResult { handled: false, ..result(event, "invalid_payload") };
                };
                let Some(node) = self.devices.node_mut(&node_id) else {
                    return NodeEventResult { handled: false, ..result(event, "unpaired") };
                };
                let known =
                    ["background", "silent_push", "bg_app_refresh", "significant_location", "manual", "connect"];
                let trigger = known.iter().find(|own| **own == told.trigger).unwrap_or(&known[0]);
                node.seen_at_ms = Some(now.ms);
                node.seen_reason = Some(trigger.to_string());
                self.note_device(&node_id);
                result(event, "persisted")
            }
            _ => NodeEventResult { handled: false, ..result(event, "unsupported_event") },
        }
    }

    /// A node publishes the tools it would lend, instead of those it published before.
    pub fn node_tools(
        &mut self,
        who: &Caller,
        tools: Vec<NodePluginToolDescriptor>,
    ) -> Result<NodePluginToolsUpdateResult, RpcError> {
        let node_id = who.client.device_id.clone().unwrap_or_default();
        let size = |tool: &NodePluginToolDescriptor| {
            tool.description.len() + tool.parameters.as_ref().map_or(0, |raw| raw.get().len()) + 256
        };
        if tools.iter().map(size).sum::<usize>() > TOOLS_MAX {
            return Err(RpcError::invalid("the node publishes more tools than are remembered"));
        }
        let Some(live) = self.nodes.live.get_mut(&node_id).filter(|live| live.conn == who.conn) else {
            return Err(not_connected(false));
        };
        live.tools = tools.clone();
        Ok(NodePluginToolsUpdateResult { node_id, tools })
    }

    /// Every node that was let in.
    pub fn node_list(&self, now: Now) -> NodeListResult {
        let mut nodes = self.devices.node_rows();
        nodes.iter_mut().for_each(|row| self.as_it_is(row));
        NodeListResult { ts: now.ms, nodes }
    }

    /// One node, with what only its connection knows.
    pub fn node_describe(&self, node_id: &str, now: Now) -> Result<NodeDescribeResult, RpcError> {
        let mut node = self.devices.node_row(node_id).ok_or_else(|| RpcError::invalid("unknown nodeId"))?;
        self.as_it_is(&mut node);
        let live = self.nodes.live.get(node_id);
        node.node_plugin_tools = Some(live.map_or_else(Vec::new, |live| live.tools.clone()));
        node.path_env = live.and_then(|live| live.offer.path_env.clone());
        Ok(NodeDescribeResult { ts: now.ms, node })
    }

    /// Adds to a row what the connection knows.
    fn as_it_is(&self, row: &mut NodeRow) {
        let rules = &self.shared.policy.get().nodes.commands;
        let Some(live) = self.nodes.live.get(&row.node_id) else { return };
        let offered = &live.offer.surface;
        row.surface = usable(&row.surface, offered);
        let all = [offered.caps.clone(), offered.commands.clone()].concat();
        row.surface.commands.retain(|command| rules.allow(&row.platform, command, &all));
        row.connected = true;
        row.connected_at_ms = Some(live.since_ms);
    }

    /// The mailbox of a connected node.
    pub(super) fn node_mail(&self, node_id: &str) -> Option<&Mailbox> {
        self.nodes.live.get(node_id).map(|live| &live.mail)
    }
}

/// Answers an operator's request with what the node said.
pub fn to_operator(ticket: Ticket, node_id: String, command: String) -> Reply {
    Box::new(move |answered| {
        ticket.answer(answered.and_then(|answer| {
            let parsed = answer.payload_json.as_deref().and_then(|text| misfit::read::<&RawValue>(text).ok());
            frame::Payload::of(&NodeInvokeResult {
                ok: true,
                node_id: &node_id,
                command: &command,
                payload: answer.payload.as_deref().or(parsed),
                payload_json: answer.payload_json.as_deref(),
            })
        }));
    })
}

fn not_allowed(command: &str, why: &str, reason: &'static str) -> RpcError {
    #[derive(Serialize)]
    struct Details<'a> {
        reason: &'static str,
        command: &'a str,
    }
    let command = cut(command, 128);
    RpcError::invalid(format!("node command not allowed: \"{command}\" {why}")).details(&Details { reason, command })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FailedCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    node_error: &'a NodeError,
    node_command_dispatched: bool,
}

/// A node that is not here, or went away before it answered.
fn not_connected(dispatched: bool) -> RpcError {
    let text = |text: &str| Some(text.to_string());
    let error = NodeError { code: text("NOT_CONNECTED"), message: text("node not connected") };
    RpcError::unavailable("node not connected").details(&FailedCall {
        code: Some("NOT_CONNECTED"),
        node_error: &error,
        node_command_dispatched: dispatched,
    })
}

/// What a node said went wrong.
fn node_failed(error: NodeError) -> RpcError {
    let shown = |text: &Option<String>, usual: &str| cut(text.as_deref().unwrap_or(usual), 2048).to_string();
    let message = shown(&error.message, "node invoke failed");
    let text = match &error.code {
        Some(code) => format!("{}: {message}", cut(code, 64)),
        None => message,
    };
    RpcError::unavailable(text).details(&FailedCall { code: None, node_error: &error, node_command_dispatched: true })
}
