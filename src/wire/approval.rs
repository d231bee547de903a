//! Approvals: `approval.*`, `exec.approval.*`, `plugin.approval.*` and what clients are told of them.
//!
//! The document of rules about commands (`exec.approvals.*`) is in [`super::exec_approvals`].

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::decode::{Int, Name, Text};
use super::object::objects;
use super::sorted::Sorted;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalKind {
    Exec,
    Plugin,
    /// The reference's system agent; never asked for here, but its lists may be read.
    SystemAgent,
}

impl ApprovalKind {
    pub fn as_str(self) -> &'static str {
        match self {
            ApprovalKind::Exec => "exec",
            ApprovalKind::Plugin => "plugin",
            ApprovalKind::SystemAgent => "system-agent",
        }
    }
}

/// What a person may say to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    AllowOnce,
    AllowAlways,
    Deny,
}

impl Decision {
    /// Everything that can be decided, as clients list it.
    pub const ALL: [Decision; 3] = [Decision::AllowOnce, Decision::AllowAlways, Decision::Deny];

    pub fn as_str(self) -> &'static str {
        match self {
            Decision::AllowOnce => "allow-once",
            Decision::AllowAlways => "allow-always",
            Decision::Deny => "deny",
        }
    }

    pub fn parse(word: &str) -> Option<Decision> {
        Decision::ALL.into_iter().find(|decision| decision.as_str() == word)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalStatus {
    Pending,
    Allowed,
    Denied,
    Expired,
    Cancelled,
}

/// Why an approval is at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalReason {
    User,
    Timeout,
    /// Nobody was connected who could have decided.
    NoRoute,
    RunAborted,
    GatewayRestart,
}

/// The approval as clients show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum ApprovalPresentation {
    #[serde(rename_all = "camelCase")]
    Exec {
        command_text: String,
        command_preview: Option<String>,
        warning_text: Option<String>,
        host: Option<String>,
        node_id: Option<String>,
        agent_id: Option<String>,
        allowed_decisions: Vec<Decision>,
    },
    #[serde(rename_all = "camelCase")]
    Plugin {
        title: String,
        description: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
        severity: String,
        plugin_id: Option<String>,
        tool_name: Option<String>,
        agent_id: Option<String>,
        allowed_decisions: Vec<Decision>,
    },
}

impl ApprovalPresentation {
    pub fn allowed(&self) -> &[Decision] {
        match self {
            ApprovalPresentation::Exec { allowed_decisions, .. }
            | ApprovalPresentation::Plugin { allowed_decisions, .. } => allowed_decisions,
        }
    }
}

objects! { lenient:
    /// Where an approval came from.
    #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct ApprovalSource {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub agent_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub session_key: Option<String>,
    }

    /// Who decided.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
    pub struct ApprovalResolver {
        /// `runtime` or `system`.
        pub kind: String,
        pub id: String,
    }

    /// One approval, waiting or at its end (`ApprovalSnapshot`). Also what the store keeps.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct ApprovalSnapshot {
        pub id: String,
        pub status: ApprovalStatus,
        pub presentation: ApprovalPresentation,
        pub url_path: String,
        pub created_at_ms: u64,
        pub expires_at_ms: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub resolved_at_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub reason: Option<ApprovalReason>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub decision: Option<Decision>,
        /// Not told in events.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub source: Option<ApprovalSource>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub resolver: Option<ApprovalResolver>,
    }
}

impl ApprovalSnapshot {
    pub fn kind(&self) -> ApprovalKind {
        match self.presentation {
            ApprovalPresentation::Exec { .. } => ApprovalKind::Exec,
            ApprovalPresentation::Plugin { .. } => ApprovalKind::Plugin,
        }
    }
}

/// Some text or JSON that is kept and shown as it came.
type Kept = Option<Box<RawValue>>;

objects! { strict:
    #[derive(Debug)]
    pub struct ExecApprovalRequestParams {
        pub id: Option<Name>,
        pub command: Option<Name>,
        pub command_argv: Option<Vec<String>>,
        pub system_run_plan: Kept,
        pub env: Option<Sorted<String, String>>,
        pub cwd: Option<String>,
        pub node_id: Option<String>,
        pub host: Option<String>,
        pub security: Option<String>,
        pub ask: Option<String>,
        pub warning_text: Option<String>,
        pub scope: Kept,
        pub unavailable_decisions: Option<Vec<Decision>>,
        pub command_spans: Option<IgnoredAny>,
        pub agent_id: Option<String>,
        pub resolved_path: Option<String>,
        pub session_key: Option<String>,
        pub session_id: Option<String>,
        pub run_id: Option<String>,
        pub tool_call_id: Option<String>,
        pub turn_source_channel: Option<String>,
        pub turn_source_to: Option<String>,
        pub turn_source_account_id: Option<String>,
        pub turn_source_thread_id: Kept,
        pub approval_reviewer_device_ids: Option<Vec<String>>,
        pub require_delivery_route: Option<bool>,
        pub suppress_delivery: Option<bool>,
        pub deliver_to_approval_clients_only: Option<bool>,
        pub timeout_ms: Option<Int<1, 86_400_000>>,
        pub two_phase: bool = default,
    }
}

/// `request` of an exec approval, as clients get it.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecApprovalRequest {
    pub command: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_argv: Option<Vec<String>>,
    /// Always null: there is no sandbox whose plan could be bound.
    pub system_run_binding: Option<()>,
    pub system_run_plan: Kept,
    pub cwd: Option<String>,
    pub node_id: Option<String>,
    pub host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_keys: Option<Vec<String>>,
    pub security: Option<String>,
    pub ask: Option<String>,
    pub warning_text: Option<String>,
    pub scope: Kept,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_analysis: Option<CommandAnalysis>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unavailable_decisions: Vec<Decision>,
    pub allowed_decisions: Vec<Decision>,
    pub agent_id: Option<String>,
    pub resolved_path: Option<String>,
    pub session_key: Option<String>,
    pub session_id: Option<String>,
    pub run_id: Option<String>,
    pub tool_call_id: Option<String>,
    pub turn_source_channel: Option<String>,
    pub turn_source_to: Option<String>,
    pub turn_source_account_id: Option<String>,
    pub turn_source_thread_id: Kept,
    pub cron_execution_source: Option<()>,
    pub cron_operation_binding: Option<()>,
}

/// What can be said of a command from its text.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandAnalysis {
    /// 0: it could not be taken apart.
    pub command_count: usize,
    pub nested_command_count: usize,
    pub risk_kinds: Vec<&'static str>,
    pub warning_lines: Vec<String>,
}

objects! { strict:
    #[derive(Debug)]
    pub struct PluginApprovalRequestParams {
        pub plugin_id: Option<String>,
        pub title: Text<80>,
        pub description: Text<512>,
        pub detail: Option<Text<16384>>,
        pub severity: Option<Severity>,
        pub scope: Kept,
        pub tool_name: Option<String>,
        pub tool_call_id: Option<String>,
        pub mcp_tool: Option<IgnoredAny>,
        pub allowed_decisions: Option<Vec<Decision>>,
        pub agent_id: Option<String>,
        pub session_key: Option<String>,
        pub approval_reviewer_device_ids: Option<Vec<String>>,
        pub turn_source_channel: Option<String>,
        pub turn_source_to: Option<String>,
        pub turn_source_account_id: Option<String>,
        pub turn_source_thread_id: Kept,
        pub timeout_ms: Option<Int<1, 600_000>>,
        pub two_phase: bool = default,
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// `request` of a plugin approval, as clients get it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginApprovalRequest {
    pub plugin_id: Option<String>,
    pub title: String,
    pub description: String,
    pub scope: Kept,
    pub detail: Option<String>,
    pub severity: Option<Severity>,
    pub tool_name: Option<String>,
    pub tool_call_id: Option<String>,
    pub agent_id: Option<String>,
    pub session_key: Option<String>,
    pub run_id: Option<String>,
    pub turn_source_channel: Option<String>,
    pub turn_source_to: Option<String>,
    pub turn_source_account_id: Option<String>,
    pub turn_source_thread_id: Kept,
}

/// Either request.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum ApprovalRequest {
    Exec(Box<ExecApprovalRequest>),
    Plugin(Box<PluginApprovalRequest>),
}

impl ApprovalRequest {
    pub fn kind(&self) -> ApprovalKind {
        match self {
            ApprovalRequest::Exec(_) => ApprovalKind::Exec,
            ApprovalRequest::Plugin(_) => ApprovalKind::Plugin,
        }
    }

    pub fn session_key(&self) -> Option<&str> {
        match self {
            ApprovalRequest::Exec(exec) => exec.session_key.as_deref(),
            ApprovalRequest::Plugin(plugin) => plugin.session_key.as_deref(),
        }
    }

    pub fn agent_id(&self) -> Option<&str> {
        match self {
            ApprovalRequest::Exec(exec) => exec.agent_id.as_deref(),
            ApprovalRequest::Plugin(plugin) => plugin.agent_id.as_deref(),
        }
    }
}

/// `exec.approval.requested`, `plugin.approval.requested`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalRequestedEvent<'a> {
    pub approval_kind: ApprovalKind,
    pub id: &'a str,
    pub request: &'a ApprovalRequest,
    pub created_at_ms: u64,
    pub expires_at_ms: u64,
}

/// `exec.approval.resolved`, `plugin.approval.resolved`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalResolvedEvent<'a> {
    pub id: &'a str,
    pub decision: Option<Decision>,
    pub resolved_by: Option<&'a str>,
    pub ts: u64,
    pub request: &'a ApprovalRequest,
}

/// `session.approval`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionApprovalEvent<'a> {
    pub session_key: &'a str,
    pub source_session_key: &'a str,
    pub updated_at_ms: u64,
    /// `pending` or `terminal`.
    pub phase: &'static str,
    pub approval: &'a ApprovalSnapshot,
}

/// What waits in a session, for a client that begins to follow it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionApprovalReplay {
    pub session_key: String,
    pub updated_at_ms: u64,
    pub approvals: Vec<ApprovalSnapshot>,
    pub truncated: bool,
}

/// One row of `exec.approval.list` and `plugin.approval.list`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalRow {
    pub id: String,
    pub request: ApprovalRequest,
    pub created_at_ms: u64,
    pub expires_at_ms: u64,
    pub approval_kind: ApprovalKind,
}

/// First answer of `*.approval.request` with `twoPhase`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalAccepted<'a> {
    pub status: &'static str,
    pub id: &'a str,
    pub delivery_route: &'static str,
    pub created_at_ms: u64,
    pub expires_at_ms: u64,
}

/// The decision, for who asked and for who waits.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalDecided<'a> {
    pub id: &'a str,
    /// Null when nobody decided.
    pub decision: Option<Decision>,
    pub created_at_ms: u64,
    pub expires_at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminal_reason: Option<ApprovalReason>,
}

objects! { strict:
    #[derive(Debug)]
    pub struct ApprovalListParams {}

    /// `approval.get`, `exec.approval.get` and `*.approval.waitDecision`.
    #[derive(Debug)]
    pub struct ApprovalGetParams {
        pub id: Name,
    }
}

#[derive(Debug, Serialize)]
pub struct ApprovalGetResult {
    pub approval: ApprovalSnapshot,
}

objects! { strict:
    /// Who decided in a messenger; taken for granted from those that may decide at all.
    #[derive(Debug, Clone)]
    pub struct Reviewer {
        pub channel: Name,
        pub account_id: Name,
        pub sender_id: Name,
    }

    #[derive(Debug)]
    pub struct ApprovalResolveParams {
        pub id: Name,
        pub kind: ApprovalKind,
        pub decision: Decision,
        pub reviewer: Option<Reviewer>,
        /// Refused with `allow-always`: grants do not end here.
        pub grant_expires_in_days: Option<Int<1, 3650>>,
    }
}

#[derive(Debug, Serialize)]
pub struct ApprovalResolveResult {
    /// False: it had been decided before, as `approval` says.
    pub applied: bool,
    pub approval: ApprovalSnapshot,
}

objects! { strict:
    /// `exec.approval.resolve` and `plugin.approval.resolve`.
    #[derive(Debug)]
    pub struct ExecApprovalResolveParams {
        pub id: Name,
        pub decision: Name,
        pub reviewer: Option<Reviewer>,
        pub grant_expires_in_days: Option<Int<1, 3650>>,
    }
}

#[derive(Debug, Serialize)]
pub struct Done {
    pub ok: bool,
}

objects! { strict:
    #[derive(Debug)]
    pub struct ApprovalHistoryParams {
        pub cursor: Option<Text<512>>,
        pub limit: Option<Int<1, 100>>,
        pub kind: Option<ApprovalKind>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalHistoryResult {
    pub items: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// An id as a part of a path.
pub fn escaped(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    id.bytes().fold(String::new(), |mut out, byte| {
        match plain(byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}
