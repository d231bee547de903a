//! `config.*` and `secrets.reload`: the configuration over the protocol.

use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::object::objects;

/// Another configuration is in force.
#[derive(Debug, Clone, Serialize)]
pub struct ConfigChangedEvent {
    pub path: String,
    pub hash: String,
    /// Milliseconds since the epoch.
    pub ts: u64,
}

objects! { strict:
    #[derive(Debug)]
    pub struct ConfigSetParams {
        /// The whole file, as JSON5.
        pub raw: String,
        pub base_hash: Option<String>,
    }

    #[derive(Debug)]
    pub struct ConfigApplyParams {
        /// The whole file, as JSON5.
        pub raw: String,
        pub base_hash: Option<String>,
        // Of the restart that may follow: see `rpc::absent::PARTIAL`.
        pub session_key: Option<String>,
        pub delivery_context: Option<IgnoredAny>,
        pub note: Option<String>,
        pub restart_delay_ms: Option<u64>,
    }

    #[derive(Debug)]
    pub struct ConfigPatchParams {
        /// An object to merge in, as JSON5; null removes a key.
        pub raw: String,
        pub base_hash: Option<String>,
        // Of the restart that may follow: see `rpc::absent::PARTIAL`.
        pub session_key: Option<String>,
        pub delivery_context: Option<IgnoredAny>,
        pub note: Option<String>,
        pub restart_delay_ms: Option<u64>,
        /// Lists that may lose entries.
        pub replace_paths: Vec<String> = default,
    }

    #[derive(Debug)]
    pub struct ConfigSchemaParams {}

    #[derive(Debug)]
    pub struct ConfigSchemaLookupParams {
        pub path: String,
    }
}

/// Answer of `config.set`, `config.patch` and `config.apply`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigWriteResult {
    pub ok: bool,
    pub path: String,
    /// What the next write has to be based on.
    pub hash: String,
    /// Secrets are hidden.
    pub config: Value,
    /// Keys that mean something else now; absent in the answer of `config.set`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_paths: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigSchemaResult {
    pub schema: Value,
    pub ui_hints: Value,
    pub version: &'static str,
    pub generated_at: String,
}

objects! { strict:
    #[derive(Debug)]
    pub struct SecretsReloadParams {}

    #[derive(Debug)]
    pub struct SecretsStoreListParams {}
}

/// An entry of the store; a secret has no value here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretStoreEntry {
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    pub name: String,
    pub scope_kind: &'static str,
    pub scope_id: &'static str,
    pub created_at_ms: u64,
    pub updated_at_ms: u64,
}

#[derive(Debug, Serialize)]
pub struct SecretsStoreListResult {
    pub entries: Vec<SecretStoreEntry>,
}

objects! { strict:
    pub struct SecretsStoreSetParams {
        pub name: String,
        pub value: String,
        pub kind: String,
        /// Refused unless empty: nothing here would keep to it.
        pub allowed_hosts: Option<Vec<String>>,
    }

    #[derive(Debug)]
    pub struct SecretsStoreDeleteParams {
        pub name: String,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretsStoreMutationResult {
    pub ok: bool,
    /// Whether the configuration refers to the name, so that what it says is in force now.
    pub reloaded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning_count: Option<usize>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretsReloadResult {
    pub ok: bool,
    /// Secrets that are named and could not be had.
    pub warning_count: usize,
}
