//! The document of rules about commands: `exec.approvals.get` and `exec.approvals.set`.

use serde::{Deserialize, Serialize};

use super::decode::Name;
use super::object::objects;
use super::sorted::Sorted;

/// Which commands run at all; the first is the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExecSecurity {
    Deny,
    Allowlist,
    Full,
}

impl ExecSecurity {
    pub fn as_str(self) -> &'static str {
        match self {
            ExecSecurity::Deny => "deny",
            ExecSecurity::Allowlist => "allowlist",
            ExecSecurity::Full => "full",
        }
    }
}

/// When a person is asked; the last is the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExecAsk {
    Off,
    OnMiss,
    Always,
}

impl ExecAsk {
    pub fn as_str(self) -> &'static str {
        match self {
            ExecAsk::Off => "off",
            ExecAsk::OnMiss => "on-miss",
            ExecAsk::Always => "always",
        }
    }
}

objects! { strict:
    /// What a scope says; what it leaves out, a wider one decides.
    #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct ExecRules {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub security: Option<ExecSecurity>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ask: Option<ExecAsk>,
        /// What happens when a person had to be asked and none could be.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ask_fallback: Option<ExecSecurity>,
        /// Kept for clients; programs named by skills are not trusted here.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub auto_allow_skills: Option<bool>,
    }

    /// The rules of one agent, or of all of them (`*`).
    #[derive(Debug, Clone, Default, PartialEq, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct AgentExecRules {
        // serde cannot flatten into a closed object.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub security: Option<ExecSecurity>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ask: Option<ExecAsk>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ask_fallback: Option<ExecSecurity>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub auto_allow_skills: Option<bool>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub allowlist: Vec<AllowlistEntry> = default,
        /// Grants of the reference's other harness: kept as they are, without effect here.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub mcp_tools: Vec<McpToolGrant> = default,
    }
}

/// One command that runs without being asked about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowlistEntry {
    /// A glob over the program's path, or over its bare name when it has no slash.
    pub pattern: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `allow-always` when a decision made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Older documents: dropped when read.
    #[serde(default, skip_serializing)]
    pub command_text: Option<String>,
    /// `sha256:argv:<hex>` for exactly one command line in one directory, or a regular expression over the arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arg_pattern: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_command: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_resolved_path: Option<String>,
}

objects! { strict:
    #[derive(Debug, Clone, PartialEq, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct McpToolGrant {
        pub server: String,
        pub tool: String,
        pub source: String,
        pub added_at: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub last_used_at: Option<u64>,
    }
}

/// Where the reference's desktop app listens; kept without its token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalSocket {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(default, skip_serializing)]
    pub token: Option<serde::de::IgnoredAny>,
}

objects! { strict:
    /// The whole document.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct ExecApprovalsFile {
        /// Always 1.
        pub version: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub socket: Option<ApprovalSocket>,
        #[serde(default)]
        pub defaults: ExecRules = default,
        #[serde(default)]
        pub agents: Sorted<String, AgentExecRules> = default,
    }
}

impl Default for ExecApprovalsFile {
    fn default() -> ExecApprovalsFile {
        ExecApprovalsFile { version: 1, socket: None, defaults: ExecRules::default(), agents: Sorted::new() }
    }
}

objects! { strict:
    #[derive(Debug)]
    pub struct ExecApprovalsGetParams {}

    #[derive(Debug)]
    pub struct ExecApprovalsSetParams {
        pub file: ExecApprovalsFile,
        pub base_hash: Option<Name>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecApprovalsSnapshot {
    pub path: String,
    pub exists: bool,
    pub file: ExecApprovalsFile,
    pub hash: String,
    pub resolved_defaults: ResolvedExecRules,
}

/// What holds where nothing more particular is said.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedExecRules {
    pub security: ExecSecurity,
    pub ask: ExecAsk,
    pub ask_fallback: ExecSecurity,
    pub auto_allow_skills: bool,
}
