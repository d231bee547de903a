//! `system.info`: the host, as far as it tells.

use std::path::Path;
use std::sync::Arc;

use crate::auth::Caller;
use crate::hub::TaskContext;
use crate::sys::host;
use crate::wire::error::RpcError;
use crate::wire::host::{SystemInfoParams, SystemInfoResult};

pub fn info(context: &TaskContext, _: &Arc<Caller>, _: SystemInfoParams) -> Result<SystemInfoResult, RpcError> {
    let boot = &context.desk.shared.boot;
    let (memory, disk) = (host::memory(), host::disk(Path::new(&boot.state_dir)));
    let hostname = host::hostname();
    Ok(SystemInfoResult {
        // Up to the first dot, as people name their machines.
        machine_name: hostname.split('.').next().unwrap_or_default().to_string(),
        platform: match host::platform() {
            "macos" => "darwin",
            "windows" => "win32",
            other => other,
        },
        release: host::release(),
        arch: match std::env::consts::ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            "x86" => "ia32",
            other => other,
        },
        os_label: host::label(),
        lan_address: host::primary_ipv4().map(|ip| ip.to_string()),
        port: boot.port,
        node_version: "none",
        pid: std::process::id(),
        uptime_ms: boot.uptime_ms(),
        cpu_count: host::cpus(),
        cpu_model: host::cpu_model(),
        load_average: host::load_average(),
        memory_total_bytes: memory.total,
        memory_free_bytes: memory.free,
        disk_total_bytes: disk.map(|disk| disk.total),
        disk_available_bytes: disk.map(|disk| disk.free),
        disk_path: boot.state_dir.clone(),
        hostname,
    })
}
