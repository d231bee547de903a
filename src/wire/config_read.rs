//! `config.get`.

use serde::Serialize;
use serde_json::Value;

use super::object::objects;

objects! { strict:
    #[derive(Debug)]
    pub struct ConfigGetParams {}
}

/// The configuration without its secrets.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigGetResult {
    pub path: String,
    pub included_paths: Vec<String>,
    pub exists: bool,
    /// The file's text; None when it cannot be shown safely.
    pub raw: Option<String>,
    /// The file with includes and substitutions.
    pub parsed: Value,
    pub source_config: Value,
    pub resolved: Value,
    pub valid: bool,
    pub runtime_config: Value,
    pub config: Value,
    /// What a writer must name to show that it has seen this version.
    pub hash: String,
    pub issues: [&'static str; 0],
    pub warnings: Vec<ConfigWarning>,
    pub legacy_issues: [&'static str; 0],
    pub config_revision_hash: String,
    pub applied_config_hash: String,
}

#[derive(Debug, Serialize)]
pub struct ConfigWarning {
    pub path: String,
    pub message: String,
}
