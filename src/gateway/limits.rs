//! How much this host can take: connections and bytes by its memory and its descriptors.

use std::time::Duration;

use crate::net::Limits;
use crate::sys::{Env, confine, host};

/// How long a client may take to make itself known (milliseconds); a variable of the reference.
const HANDSHAKE: &str = "OPENCLAW_HANDSHAKE_TIMEOUT_MS";
/// Under this much memory one client may not make us hold 25 MiB (MB).
const SMALL_HOST: u64 = 256;
/// From this much memory on, 90 MB of it may be clients that say nothing (MB).
const LARGE_HOST: u64 = 1024;
/// The most connections of a large host: some 45 KB each.
const MANY: usize = 2000;
/// Descriptors that are not connections: the database and its readers, files, logs, models, messengers, tools.
const OTHERS: usize = 224;

/// What the server of this process may hold. Raises the process's own limit of descriptors where the host is large.
pub fn of_host(env: &Env) -> Limits {
    let handshake_time = handshake(env).unwrap_or(Limits::default().handshake_time);
    let own = Limits { handshake_time, ..Limits::default() };
    let memory = host::memory_mb();
    if memory < SMALL_HOST {
        return Limits { max_payload: 4 << 20, max_buffered: 8 << 20, connections: 256, per_address: 128, ..own };
    }
    if memory < LARGE_HOST {
        return own;
    }
    let connections = confine::descriptors(MANY + OTHERS).saturating_sub(OTHERS).clamp(own.connections, MANY);
    // A reverse proxy is one address.
    Limits { connections, per_address: own.per_address.max(connections * 3 / 4), ..own }
}

fn handshake(env: &Env) -> Option<Duration> {
    let text = env.get(HANDSHAKE)?.trim();
    match text.parse::<u64>() {
        Ok(ms @ 1..=600_000) => return Some(Duration::from_millis(ms)),
        _ if text.is_empty() => {}
        _ => log::warn!("{HANDSHAKE}={text:?} is not used: 1 to 600000 milliseconds"),
    }
    None
}
