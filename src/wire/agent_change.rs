//! Agents made, changed and removed, and the files of their workspaces: `agents.create`, `agents.files.*`, ...

use serde::{Deserialize, Deserializer, Serialize};

use super::decode::{Int, Name, Whole};
use super::object::objects;

objects! { strict:
    #[derive(Debug)]
    pub struct AgentsCreateParams {
        pub name: Name,
        pub workspace: Option<Name>,
        pub model: Option<Name>,
        pub emoji: Option<String>,
        pub avatar: Option<String>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentsCreateResult {
    pub ok: bool,
    pub agent_id: String,
    pub name: String,
    pub workspace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentsUpdateParams {
    pub agent_id: Name,
    pub name: Option<Name>,
    pub workspace: Option<Name>,
    /// Null takes the agent's own model away.
    #[serde(default, deserialize_with = "given")]
    pub model: Option<Option<Name>>,
    pub emoji: Option<String>,
    pub avatar: Option<String>,
}

/// Tells null from absent.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<Name>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentsUpdateResult {
    pub ok: bool,
    pub agent_id: String,
}

objects! { strict:
    #[derive(Debug)]
    pub struct AgentsDeleteParams {
        pub agent_id: Name,
        pub delete_files: Option<bool>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentsDeleteResult {
    pub ok: bool,
    pub agent_id: String,
    pub removed_bindings: u64,
    pub removed: Vec<RemovedPath>,
    pub failed: Vec<FailedPath>,
}

#[derive(Debug, Serialize)]
pub struct RemovedPath {
    pub path: String,
    /// `trash`, `missing`.
    pub method: &'static str,
}

#[derive(Debug, Serialize)]
pub struct FailedPath {
    pub path: String,
    pub reason: String,
}

objects! { strict:
    #[derive(Debug)]
    pub struct AgentsFilesListParams {
        pub agent_id: Name,
    }

    #[derive(Debug)]
    pub struct AgentsFilesGetParams {
        pub agent_id: Name,
        pub name: Name,
    }

    #[derive(Debug)]
    pub struct AgentsFilesSetParams {
        pub agent_id: Name,
        pub name: Name,
        pub content: String,
    }
}

/// One file that goes into prompts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentsFileEntry {
    pub name: String,
    pub path: String,
    pub missing: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_absent: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentsFilesListResult {
    pub agent_id: String,
    pub workspace: String,
    pub files: Vec<AgentsFileEntry>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentsFilesGetResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ok: Option<bool>,
    pub agent_id: String,
    pub workspace: String,
    pub file: AgentsFileEntry,
}

objects! { strict:
    #[derive(Debug)]
    pub struct AgentsWorkspaceListParams {
        pub agent_id: Name,
        pub path: Option<String>,
        pub offset: Option<Whole>,
        pub limit: Option<Int<1, { u64::MAX }>>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentsWorkspaceListResult {
    pub agent_id: String,
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_path: Option<String>,
    pub entries: Vec<AgentsWorkspaceEntry>,
    pub total_entries: u64,
    pub offset: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentsWorkspaceEntry {
    pub path: String,
    pub name: String,
    /// `file`, `directory`.
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at_ms: Option<u64>,
}

objects! { strict:
    #[derive(Debug)]
    pub struct AgentsWorkspaceGetParams {
        pub agent_id: Name,
        pub path: Name,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentsWorkspaceGetResult {
    pub agent_id: String,
    pub file: AgentsWorkspaceFile,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentsWorkspaceFile {
    pub path: String,
    pub name: String,
    pub size: u64,
    pub updated_at_ms: u64,
    pub mime_type: &'static str,
    /// `utf8`, `base64`.
    pub encoding: &'static str,
    pub content: String,
}
