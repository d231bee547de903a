//! Nodes: what they offer, their approval, calls to them and what they report (`node.*`).

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::decode::{Int, Name, Text, Whole};
use super::object::objects;
use super::sorted::Sorted;

objects! { lenient:
    /// What a node says it can do.
    #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct Surface {
        pub caps: Vec<String>,
        pub commands: Vec<String>,
        #[serde(default, skip_serializing_if = "Sorted::is_empty")]
        pub permissions: Sorted<String, bool> = default,
    }

    /// How a node's host is doing, as it last said.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct HostStats {
        pub cpu_count: u32,
        /// Averages over 1, 5 and 15 minutes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub load_average: Option<[f64; 3]> = default,
        /// Bytes.
        pub memory_total_bytes: u64,
        pub memory_free_bytes: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub disk_total_bytes: Option<u64> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub disk_available_bytes: Option<u64> = default,
        /// Milliseconds, by the gateway's clock.
        #[serde(default)]
        pub updated_at_ms: u64 = default,
    }
}

impl HostStats {
    /// Whether the numbers can be true.
    pub fn plausible(&self) -> bool {
        let load = self.load_average.is_none_or(|all| all.iter().all(|l| l.is_finite() && (0.0..=1e5).contains(l)));
        let disk = match (self.disk_total_bytes, self.disk_available_bytes) {
            (None, None) => true,
            (Some(total), Some(free)) => free <= total,
            _ => false,
        };
        (1..=4096).contains(&self.cpu_count) && load && disk && self.memory_free_bytes <= self.memory_total_bytes
    }
}

/// A surface that waits for an operator; also the payload of `node.pair.requested`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePairRequest {
    pub request_id: String,
    pub node_id: String,
    pub client_id: String,
    pub client_mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    pub platform: String,
    pub version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<String>,
    #[serde(flatten)]
    pub surface: Surface,
    pub required_approve_scopes: Vec<&'static str>,
    pub silent: bool,
    /// Milliseconds.
    pub ts: u64,
}

/// A node whose surface was approved.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PairedNode {
    pub node_id: String,
    pub client_id: String,
    pub client_mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    pub platform: String,
    pub version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<String>,
    #[serde(flatten)]
    pub surface: Surface,
    pub created_at_ms: u64,
    pub approved_at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_connected_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_disconnected_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_host_stats: Option<HostStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_reason: Option<String>,
}

/// A node as `node.list` and `node.describe` show it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRow {
    pub node_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    pub platform: String,
    pub version: String,
    pub client_id: String,
    pub client_mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_identifier: Option<String>,
    /// What it can be asked for now: approved, and still offered if it is connected.
    #[serde(flatten)]
    pub surface: Surface,
    /// Sessions are not moved to nodes.
    pub session_host: bool,
    /// `node.describe` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_plugin_tools: Option<Vec<NodePluginToolDescriptor>>,
    /// `node.describe` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_env: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_stats: Option<HostStats>,
    /// `approved`, `pending-approval`, `pending-reapproval`, `unapproved`.
    pub approval_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_declared_commands: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_connected_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_disconnected_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_at_ms: Option<u64>,
    pub paired: bool,
    pub connected: bool,
}

objects! { strict:
    /// A tool a node would lend to agents. Shown to operators; agents reach it through `node.invoke`.
    #[derive(Debug, Clone, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct NodePluginToolDescriptor {
        pub plugin_id: String,
        pub name: String,
        pub description: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub parameters: Option<Box<RawValue>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub command: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub mcp: Option<NodeMcpTool>,
    }

    #[derive(Debug, Clone, Serialize)]
    #[serde(deny_unknown_fields)]
    pub struct NodeMcpTool {
        pub server: String,
        pub tool: String,
    }
}

objects! { strict:
    #[derive(Debug)]
    pub struct NodePairListParams {}
}

#[derive(Debug, Serialize)]
pub struct NodePairListResult {
    pub pending: Vec<NodePairRequest>,
    pub paired: Vec<PairedNode>,
}

objects! { strict:
    #[derive(Debug)]
    pub struct NodePairApproveParams {
        pub request_id: Name,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePairApproveResult {
    pub request_id: String,
    pub node: PairedNode,
}

objects! { strict:
    #[derive(Debug)]
    pub struct NodePairRejectParams {
        pub request_id: Name,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePairRejectResult {
    pub request_id: String,
    pub node_id: String,
}

objects! { strict:
    #[derive(Debug)]
    pub struct NodePairRemoveParams {
        pub node_id: Name,
    }
}

/// Answers that only name the node.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeNamed {
    pub node_id: String,
}

objects! { strict:
    #[derive(Debug)]
    pub struct NodeRenameParams {
        pub node_id: Name,
        pub display_name: Text<64>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRenameResult {
    pub node_id: String,
    pub display_name: String,
}

objects! { strict:
    #[derive(Debug)]
    pub struct NodeListParams {}
}

#[derive(Debug, Serialize)]
pub struct NodeListResult {
    pub ts: u64,
    pub nodes: Vec<NodeRow>,
}

objects! { strict:
    #[derive(Debug)]
    pub struct NodeDescribeParams {
        pub node_id: Name,
    }
}

#[derive(Debug, Serialize)]
pub struct NodeDescribeResult {
    pub ts: u64,
    #[serde(flatten)]
    pub node: NodeRow,
}

objects! { strict:
    #[derive(Debug)]
    pub struct NodeInvokeParams {
        pub node_id: Name,
        pub command: Name,
        pub params: Option<Box<RawValue>>,
        /// Milliseconds; the usual time when absent or 0.
        pub timeout_ms: Option<Whole>,
        pub idempotency_key: Name,
        pub _session_key: Option<Name> as "sessionKey",
        pub _turn_source_channel: Option<String> as "turnSourceChannel",
        pub _turn_source_to: Option<String> as "turnSourceTo",
        pub _turn_source_account_id: Option<String> as "turnSourceAccountId",
        pub _turn_source_thread_id: Option<Box<RawValue>> as "turnSourceThreadId",
    }
}

/// What a node answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeInvokeResult<'a> {
    pub ok: bool,
    pub node_id: &'a str,
    pub command: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<&'a RawValue>,
    #[serde(rename = "payloadJSON", skip_serializing_if = "Option::is_none")]
    pub payload_json: Option<&'a str>,
}

objects! { strict:
    /// A node's answer to one call.
    #[derive(Debug)]
    pub struct NodeInvokeProgressParams {
        pub invoke_id: Name,
        pub node_id: Name,
        /// Counts the pieces of one call from 0.
        pub seq: Whole,
        /// Output since the piece before.
        pub chunk: String,
    }

    #[derive(Debug)]
    pub struct NodeInvokeResultParams {
        pub id: Name,
        pub node_id: Name,
        pub ok: bool,
        pub payload: Option<Box<RawValue>>,
        pub payload_json: Option<String> as "payloadJSON",
        pub error: Option<NodeError>,
    }

    #[derive(Debug, Clone, Default, Serialize)]
    #[serde(deny_unknown_fields)]
    pub struct NodeError {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub code: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub message: Option<String>,
    }
}

/// `ignored`: nobody waits for it, or it came too late.
#[derive(Debug, Serialize)]
pub struct NodeProgressed {
    pub ok: bool,
    pub ignored: bool,
}

/// `{"ok":true}`.
#[derive(Debug, Serialize)]
pub struct NodeOk {
    pub ok: bool,
    /// The call is not waited for any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeEventParams {
    pub event: Name,
    pub payload: Option<Box<RawValue>>,
    #[serde(rename = "payloadJSON")]
    pub payload_json: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct NodeEventResult {
    pub ok: bool,
    pub event: String,
    pub handled: bool,
    pub reason: &'static str,
}

objects! { lenient:
    /// Payload of `node.presence.alive`.
    #[derive(Debug)]
    pub struct NodePresenceAlivePayload {
        pub trigger: String,
    }
}

/// What can be left for a node until it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkKind {
    #[serde(rename = "status.request")]
    Status,
    #[serde(rename = "location.request")]
    Location,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkPriority {
    #[default]
    Normal,
    High,
}

objects! { strict:
    #[derive(Debug)]
    pub struct NodePendingEnqueueParams {
        pub node_id: Name,
        pub kind: WorkKind as "type",
        pub priority: WorkPriority = default,
        pub expires_in_ms: Option<Int<1000, 86_400_000>>,
        /// There is no way to wake a device from here; a connected one is told nothing.
        pub _wake: Option<bool> as "wake",
    }
}

objects! { lenient:
    /// One piece of work that waits for a node.
    #[derive(Debug, Clone, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct NodeWork {
        pub id: String,
        #[serde(rename = "type")]
        pub kind: WorkKind as "type",
        pub priority: WorkPriority,
        pub created_at_ms: u64,
        pub expires_at_ms: u64,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePendingEnqueueResult {
    pub node_id: String,
    pub revision: u64,
    pub queued: NodeWork,
    pub wake_triggered: bool,
}

objects! { strict:
    #[derive(Debug)]
    pub struct NodePendingDrainParams {
        pub max_items: Option<Int<1, 10>>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePendingDrainResult {
    pub node_id: String,
    pub revision: u64,
    pub items: Vec<NodeWork>,
    pub has_more: bool,
}

objects! { strict:
    #[derive(Debug)]
    pub struct NodePluginToolsUpdateParams {
        pub tools: Vec<NodePluginToolDescriptor>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePluginToolsUpdateResult {
    pub node_id: String,
    pub tools: Vec<NodePluginToolDescriptor>,
}

objects! { strict:
    #[derive(Debug)]
    pub struct NodeSkillsUpdateParams {
        pub skills: Vec<IgnoredAny>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSkillsUpdateResult {
    pub node_id: String,
    /// Those that are in force: an update that names any is refused.
    pub skills: [&'static str; 0],
}

/// `node.pair.resolved`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePairResolvedEvent<'a> {
    /// Empty when a node was removed.
    pub request_id: &'a str,
    pub node_id: &'a str,
    /// `approved`, `rejected`, `removed`.
    pub decision: &'static str,
    pub ts: u64,
}

/// `node.hostStats`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeHostStatsEvent<'a> {
    pub node_id: &'a str,
    pub host_stats: &'a HostStats,
}

/// `node.invoke.request`, to the node alone.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeInvokeRequestEvent<'a> {
    pub id: &'a str,
    pub node_id: &'a str,
    pub command: &'a str,
    #[serde(rename = "paramsJSON", skip_serializing_if = "Option::is_none")]
    pub params_json: Option<&'a str>,
    pub timeout_ms: u64,
    pub idempotency_key: &'a str,
}

/// `node.invoke.cancel`, to the node alone.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeInvokeCancelEvent<'a> {
    pub invoke_id: &'a str,
    pub node_id: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_numbers_are_not_stats() {
        let stats = |text: &str| serde_json::from_str::<HostStats>(text).is_ok_and(|stats| stats.plausible());
        assert!(stats(r#"{"cpuCount":2,"loadAverage":[6.89,6,5.45],"memoryTotalBytes":9,"memoryFreeBytes":3}"#));
        for bad in [
            r#"{"cpuCount":0,"memoryTotalBytes":9,"memoryFreeBytes":3}"#,
            r#"{"cpuCount":2,"memoryTotalBytes":3,"memoryFreeBytes":9}"#,
            r#"{"cpuCount":2,"memoryTotalBytes":9,"memoryFreeBytes":3,"diskTotalBytes":1}"#,
            r#"{"cpuCount":2,"loadAverage":[-1,0,0],"memoryTotalBytes":9,"memoryFreeBytes":3}"#,
            "{}",
        ] {
            assert!(!stats(bad), "{bad}");
        }
    }
}
