//! `system.info`: the machine the gateway runs on.
//!
//! Source: `SystemInfoResult` of the published schema. Deliberately absent: `processInstanceId` and
//! `defaultAgentUtilityModel` (there is no utility model here).

use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemInfoParams {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemInfoResult {
    pub machine_name: String,
    pub hostname: String,
    /// Node's word: `linux`, `darwin`, `win32`.
    pub platform: &'static str,
    pub release: String,
    /// Node's word: `x64`, `arm64`, `arm`.
    pub arch: &'static str,
    pub os_label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lan_address: Option<String>,
    pub port: u16,
    /// The schema wants one; there is no Node here.
    pub node_version: &'static str,
    pub pid: u32,
    pub uptime_ms: u64,
    pub cpu_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_average: Option<[f64; 3]>,
    /// 0: not known.
    pub memory_total_bytes: u64,
    pub memory_free_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_total_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_available_bytes: Option<u64>,
    /// Where the state is kept.
    pub disk_path: String,
}
