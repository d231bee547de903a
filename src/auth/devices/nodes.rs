//! What nodes may be asked for: the surface an operator approved, and the one that waits (`node.pair.*`).
//!
//! A node's connection is the device's business; this is about what it offers. Nothing it offers is usable before an
//! operator said so, and what it offers later than that waits again (T26), while what was approved goes on.
//!
//! Deliberately absent: expiry. A surface waits until it is approved, rejected, replaced by another one, or not needed.

use std::collections::BTreeSet;

use serde::Serialize;

use super::arrive::Arrival;
use super::manage::Actor;
use super::{Device, Devices, Effects, News};
use crate::auth::Role;
use crate::auth::node_commands::approve_scope;
use crate::sys::order;
use crate::sys::random;
use crate::wire::error::RpcError;
use crate::wire::node::{
    HostStats, NodePairApproveResult, NodePairRejectResult, NodePairRequest, NodePendingDrainResult,
    NodePendingEnqueueResult, NodeRow, NodeWork, PairedNode, Surface, WorkKind, WorkPriority,
};
use crate::wire::object::objects;
use crate::wire::scope::{Scope, Scopes};

/// What a node said of itself when it connected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Without the commands that are not allowed here.
    pub surface: Surface,
    pub model: Option<String>,
    pub path_env: Option<String>,
}

/// Bytes of names in one surface. A node host of the reference offers 400 bytes, a phone a thousand.
pub const SURFACE_MAX: usize = 8 << 10;
/// Bytes of a node's `PATH`.
const PATH_MAX: usize = 4 << 10;

objects! { kept:
    /// The part of a device's record that is about its being a node.
    #[derive(Debug, Clone, Default, Serialize)]
    #[serde(default, rename_all = "camelCase")]
    pub struct NodeRecord {
        /// What an operator calls it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub name: Option<String>,
        pub version: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub model: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub approved: Option<Surface>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub created_at_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub approved_at_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        waiting: Option<Waiting>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub last_connected_at_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub last_disconnected_at_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub seen_at_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub seen_reason: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub stats: Option<HostStats>,
        /// What was left for it; at most one of each kind.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        work: Vec<NodeWork>,
        /// Counts changes of `work`.
        work_revision: u64,
    }
}

objects! { lenient:
    /// A surface that waits for an operator.
    #[derive(Debug, Clone, Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Waiting {
        id: String,
        surface: Surface,
        /// Nobody was asked about its device either.
        silent: bool,
        at_ms: u64,
    }
}

impl Offer {
    /// Takes what a node says, without what is blank or said twice. `None` when it is too much.
    pub fn new(
        caps: Vec<String>,
        commands: Vec<String>,
        permissions: impl IntoIterator<Item = (String, bool)>,
        model: Option<String>,
        path_env: Option<String>,
    ) -> Option<Offer> {
        let mut seen = BTreeSet::new();
        let mut once = |names: Vec<String>| -> Vec<String> {
            seen.clear();
            let named = names.into_iter().filter(|name| !name.trim().is_empty());
            named.filter(|name| seen.insert(name.clone())).collect()
        };
        let (caps, commands) = (once(caps), once(commands));
        let surface = Surface { caps, commands, permissions: permissions.into_iter().collect() };
        let names = surface.caps.iter().chain(&surface.commands).chain(surface.permissions.keys());
        if names.map(|name| name.len() + 8).sum::<usize>() > SURFACE_MAX {
            return None;
        }
        let path_env = path_env.map(|path| crate::wire::frame::cut(&path, PATH_MAX).to_string());
        Some(Offer { surface, model, path_env })
    }
}

/// Whether `offered` goes beyond `approved`.
fn exceeds(approved: &Surface, offered: &Surface) -> bool {
    let more = |own: &[String], new: &[String]| new.iter().any(|name| !own.contains(name));
    let granted = |name: &String| approved.permissions.get(name) == Some(&true);
    more(&approved.caps, &offered.caps)
        || more(&approved.commands, &offered.commands)
        || offered.permissions.iter().any(|(name, on)| *on && !granted(name))
}

/// What of `approved` is still `offered`.
pub fn usable(approved: &Surface, offered: &Surface) -> Surface {
    let both = |own: &[String], new: &[String]| -> Vec<String> {
        let mut both: Vec<String> = own.iter().filter(|name| new.contains(name)).cloned().collect();
        order::sort(&mut both);
        both
    };
    let permissions = offered.permissions.iter().filter(|(name, _)| approved.permissions.contains_key(*name));
    Surface {
        caps: both(&approved.caps, &offered.caps),
        commands: both(&approved.commands, &offered.commands),
        permissions: permissions.map(|(name, on)| (name.clone(), *on)).collect(),
    }
}

impl Devices {
    /// A node is coming in: compares what it offers with what was approved. `consent`: whoever let the device in has
    /// thereby approved what it offers first.
    pub(super) fn take_offer(&mut self, arrival: &Arrival, consent: bool, now_ms: u64) -> Option<News> {
        let offer = arrival.offer.as_ref()?;
        let device = self.all.get_mut(arrival.device_id())?;
        let silent = device.approved_via != "owner";
        let node = device.node.get_or_insert_default();
        node.version = arrival.client.version.clone();
        node.model = offer.model.clone();
        node.last_connected_at_ms = Some(now_ms);
        node.seen_at_ms = Some(now_ms);
        node.seen_reason = Some("connect".into());
        let surface = &offer.surface;
        let enough = match &node.approved {
            Some(approved) => !exceeds(approved, surface),
            None => *surface == Surface::default(),
        };
        if enough {
            node.waiting = None;
            return None;
        }
        if consent && node.approved.is_none() {
            node.approve(surface.clone(), now_ms);
            return None;
        }
        if node.waiting.as_ref().is_some_and(|waiting| waiting.surface == *surface) {
            return None;
        }
        node.waiting = Some(Waiting { id: random::uuid(), surface: surface.clone(), silent, at_ms: now_ms });
        Some(News::NodeRequested(device.device_id.clone()))
    }

    /// The surface an operator approved for this node.
    pub fn approved_surface(&self, node_id: &str) -> Option<&Surface> {
        self.node(node_id)?.approved.as_ref()
    }

    pub fn node(&self, node_id: &str) -> Option<&NodeRecord> {
        self.all.get(node_id)?.node.as_deref()
    }

    pub fn node_mut(&mut self, node_id: &str) -> Option<&mut NodeRecord> {
        self.all.get_mut(node_id)?.node.as_deref_mut()
    }

    /// The id of the request of this node, if one waits.
    pub fn node_waits(&self, node_id: &str) -> Option<&str> {
        self.node(node_id)?.waiting.as_ref().map(|waiting| waiting.id.as_str())
    }

    /// The request of this node, if one waits.
    pub fn node_request(&self, node_id: &str) -> Option<NodePairRequest> {
        self.all.get(node_id)?.node_request()
    }

    /// Surfaces that wait, newest first.
    pub fn node_requests(&self) -> Vec<NodePairRequest> {
        let mut all: Vec<_> = self.all.values().filter_map(Device::node_request).collect();
        order::by_key(&mut all, |request| std::cmp::Reverse(request.ts));
        all
    }

    /// Nodes whose surface was approved, by id.
    pub fn paired_nodes(&self) -> Vec<PairedNode> {
        self.all.values().filter_map(Device::paired_node).collect()
    }

    /// Nodes as they are listed: records, without what only a connection knows.
    pub fn node_rows(&self) -> Vec<NodeRow> {
        self.all.values().filter_map(Device::node_row).collect()
    }

    pub fn node_row(&self, node_id: &str) -> Option<NodeRow> {
        self.all.get(node_id)?.node_row()
    }

    /// Approves what a node offers. Whoever does it must hold what its commands take.
    pub fn approve_node(
        &mut self,
        who: Actor,
        request_id: &str,
        now_ms: u64,
    ) -> Result<(NodePairApproveResult, Effects), RpcError> {
        let device = self.offering(request_id)?;
        let node = device.node.as_mut().ok_or_else(unknown_request)?;
        let waiting = node.waiting.take().ok_or_else(unknown_request)?;
        if let Some(scope) = approve_scope(&waiting.surface.commands)
            && !who.scopes.allows(scope)
        {
            node.waiting = Some(waiting);
            return Err(RpcError::missing_scope(scope.name()));
        }
        node.approve(waiting.surface, now_ms);
        let node_id = device.device_id.clone();
        let node = device.paired_node().ok_or_else(unknown_request)?;
        let effects = Effects::saved(&node_id).tell(News::NodeResolved {
            request_id: request_id.to_string(),
            node_id,
            decision: "approved",
        });
        Ok((NodePairApproveResult { request_id: request_id.to_string(), node }, effects))
    }

    /// Drops a request. What was approved before stays approved.
    pub fn reject_node(&mut self, request_id: &str) -> Result<(NodePairRejectResult, Effects), RpcError> {
        let device = self.offering(request_id)?;
        let node_id = device.device_id.clone();
        if let Some(node) = device.node.as_mut() {
            node.waiting = None;
        }
        let (request_id, decision) = (request_id.to_string(), "rejected");
        let effects = Effects::saved(&node_id).tell(News::NodeResolved {
            request_id: request_id.clone(),
            node_id: node_id.clone(),
            decision,
        });
        Ok((NodePairRejectResult { request_id, node_id }, effects))
    }

    /// Takes the role of a node away from a device, with everything that was approved for it. A device that was nothing
    /// else is forgotten.
    pub fn remove_node(&mut self, who: Actor, node_id: &str) -> Result<Effects, RpcError> {
        let device = self.all.get_mut(node_id).filter(|d| d.roles.contains(&Role::Node)).ok_or_else(unknown_node)?;
        if device.roles.len() > 1 && !who.scopes.allows(Scope::Admin) {
            return Err(RpcError::missing_scope(Scope::Admin.name()));
        }
        device.roles.retain(|role| *role != Role::Node);
        device.tokens.retain(|token| token.role != Role::Node);
        device.node = None;
        if device.roles.is_empty() {
            self.all.remove(node_id);
            self.pending.retain(|request| request.device_id != node_id);
        }
        Ok(Effects::saved(node_id)
            .tell(News::NodeResolved { request_id: String::new(), node_id: node_id.to_string(), decision: "removed" })
            .tell(News::Changed)
            .shut(node_id, Some(Role::Node)))
    }

    pub fn rename_node(&mut self, node_id: &str, name: &str) -> Result<Effects, RpcError> {
        self.node_mut(node_id).ok_or_else(unknown_node)?.name = Some(name.to_string());
        Ok(Effects::saved(node_id))
    }

    /// Leaves something for a node to do. What it was asked for already it is not asked for twice.
    pub fn leave_work(
        &mut self,
        node_id: &str,
        kind: WorkKind,
        priority: WorkPriority,
        ttl_ms: u64,
        now_ms: u64,
    ) -> Result<(NodePendingEnqueueResult, Effects), RpcError> {
        let node = self.node_mut(node_id).ok_or_else(unknown_node)?;
        node.work.retain(|work| work.expires_at_ms > now_ms);
        let queued = match node.work.iter_mut().find(|work| work.kind == kind) {
            Some(known) => {
                known.priority = known.priority.max(priority);
                known.clone()
            }
            None => {
                let id = random::uuid();
                let work = NodeWork { id, kind, priority, created_at_ms: now_ms, expires_at_ms: now_ms + ttl_ms };
                node.work.push(work.clone());
                node.work_revision += 1;
                work
            }
        };
        let (node_id, revision) = (node_id.to_string(), node.work_revision);
        let effects = Effects::saved(&node_id);
        Ok((NodePendingEnqueueResult { node_id, revision, queued, wake_triggered: false }, effects))
    }

    /// A node takes what was left for it, most urgent first.
    pub fn take_work(
        &mut self,
        node_id: &str,
        most: usize,
        now_ms: u64,
    ) -> Result<(NodePendingDrainResult, Effects), RpcError> {
        let node = self.node_mut(node_id).ok_or_else(unknown_node)?;
        let known = node.work.len();
        node.work.retain(|work| work.expires_at_ms > now_ms);
        order::by_key(&mut node.work, |work| (std::cmp::Reverse(work.priority), work.created_at_ms));
        let rest = node.work.split_off(most.min(node.work.len()));
        let items = std::mem::replace(&mut node.work, rest);
        let changed = known != node.work.len();
        node.work_revision += u64::from(changed);
        let (revision, has_more) = (node.work_revision, !node.work.is_empty());
        let effects = if changed { Effects::saved(node_id) } else { Effects::default() };
        Ok((NodePendingDrainResult { node_id: node_id.to_string(), revision, items, has_more }, effects))
    }

    fn offering(&mut self, request_id: &str) -> Result<&mut Device, RpcError> {
        let waits = |device: &Device| {
            let waiting = device.node.as_ref().and_then(|node| node.waiting.as_ref());
            waiting.is_some_and(|waiting| waiting.id == request_id)
        };
        self.all.values_mut().find(|device| waits(device)).ok_or_else(unknown_request)
    }
}

impl NodeRecord {
    fn approve(&mut self, surface: Surface, now_ms: u64) {
        self.approved = Some(surface);
        self.waiting = None;
        self.created_at_ms.get_or_insert(now_ms);
        self.approved_at_ms = Some(now_ms);
    }

    fn state(&self) -> &'static str {
        match (&self.approved, &self.waiting) {
            (Some(_), None) => "approved",
            (Some(_), Some(_)) => "pending-reapproval",
            (None, Some(_)) => "pending-approval",
            (None, None) => "unapproved",
        }
    }
}

impl Device {
    fn node_name(&self, node: &NodeRecord) -> Option<String> {
        node.name.clone().or_else(|| self.label.clone()).or_else(|| self.display_name.clone())
    }

    fn node_request(&self) -> Option<NodePairRequest> {
        let node = self.node.as_deref()?;
        let waiting = node.waiting.as_ref()?;
        let mut needed = Scopes::of(&[Scope::Pairing]).names().collect::<Vec<_>>();
        needed.extend(approve_scope(&waiting.surface.commands).map(Scope::name));
        Some(NodePairRequest {
            request_id: waiting.id.clone(),
            node_id: self.device_id.clone(),
            client_id: self.client_id.clone(),
            client_mode: self.client_mode.clone(),
            display_name: self.node_name(node),
            platform: self.platform.clone(),
            version: node.version.clone(),
            device_family: self.device_family.clone(),
            remote_ip: self.remote_ip.clone(),
            surface: waiting.surface.clone(),
            required_approve_scopes: needed,
            silent: waiting.silent,
            ts: waiting.at_ms,
        })
    }

    fn paired_node(&self) -> Option<PairedNode> {
        let node = self.node.as_deref()?;
        Some(PairedNode {
            node_id: self.device_id.clone(),
            client_id: self.client_id.clone(),
            client_mode: self.client_mode.clone(),
            display_name: self.node_name(node),
            platform: self.platform.clone(),
            version: node.version.clone(),
            device_family: self.device_family.clone(),
            remote_ip: self.remote_ip.clone(),
            surface: node.approved.clone()?,
            created_at_ms: node.created_at_ms?,
            approved_at_ms: node.approved_at_ms?,
            last_connected_at_ms: node.last_connected_at_ms,
            last_disconnected_at_ms: node.last_disconnected_at_ms,
            last_host_stats: node.stats.clone(),
            last_seen_at_ms: node.seen_at_ms,
            last_seen_reason: node.seen_reason.clone(),
        })
    }

    fn node_row(&self) -> Option<NodeRow> {
        if !self.roles.contains(&Role::Node) {
            return None;
        }
        let fresh = NodeRecord::default();
        let node = self.node.as_deref().unwrap_or(&fresh);
        let mut surface = node.approved.clone().unwrap_or_default();
        order::sort(&mut surface.commands);
        Some(NodeRow {
            node_id: self.device_id.clone(),
            display_name: self.node_name(node),
            platform: self.platform.clone(),
            version: node.version.clone(),
            client_id: self.client_id.clone(),
            client_mode: self.client_mode.clone(),
            remote_ip: self.remote_ip.clone(),
            device_family: self.device_family.clone(),
            model_identifier: node.model.clone(),
            surface,
            session_host: false,
            node_plugin_tools: None,
            path_env: None,
            host_stats: node.stats.clone(),
            approval_state: node.state(),
            pending_request_id: node.waiting.as_ref().map(|waiting| waiting.id.clone()),
            pending_declared_commands: node.waiting.as_ref().map(|waiting| waiting.surface.commands.clone()),
            connected_at_ms: None,
            last_connected_at_ms: node.last_connected_at_ms,
            last_disconnected_at_ms: node.last_disconnected_at_ms,
            last_seen_at_ms: node.seen_at_ms,
            last_seen_reason: node.seen_reason.clone(),
            approved_at_ms: node.approved_at_ms,
            paired: true,
            connected: false,
        })
    }
}

fn unknown_request() -> RpcError {
    RpcError::invalid("unknown requestId")
}

fn unknown_node() -> RpcError {
    RpcError::invalid("unknown nodeId")
}
