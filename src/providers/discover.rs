//! Looks for a model server on this machine.
//!
//! Asks loopback ports only, briefly and side by side, and only when the composer decides that nothing is configured.
//! Does not start, install or configure anything.
//!
//! Invariant: returns within [`PROBE_TIME`] plus the time to start a few threads.

use std::time::Duration;

use super::http::Upstream;
use super::settings::{Api, Origin, ProviderSettings, Timeouts};
use super::{ModelInfo, openai};
use crate::sys::abort::Abort;

/// A local server to look for.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// The provider id it gets.
    pub id: &'static str,
    pub port: u16,
    /// The path that lists models.
    pub list: &'static str,
}

/// The usual servers on their usual ports, in order of preference.
pub const PROBES: &[Probe] = &[
    Probe { id: "llamacpp", port: 8080, list: "/v1/models" },
    Probe { id: "ollama", port: 11434, list: "/api/tags" },
    Probe { id: "lmstudio", port: 1234, list: "/v1/models" },
];

/// Settings for every probed server that answered with at least one model, in the probes' order.
pub fn local(probes: &[Probe]) -> Vec<ProviderSettings> {
    std::thread::scope(|scope| {
        let started: Vec<_> = probes
            .iter()
            .map(|probe| {
                let thread = std::thread::Builder::new().name(format!("probe {}", probe.id));
                thread.spawn_scoped(scope, move || look(probe))
            })
            .collect();
        // A thread that cannot start or panics finds nothing: discovery is a convenience.
        started.into_iter().filter_map(|thread| thread.ok()?.join().ok()?).collect()
    })
}

fn look(probe: &Probe) -> Option<ProviderSettings> {
    let origin = format!("http://127.0.0.1:{}", probe.port);
    let asked = ProviderSettings {
        timeouts: Timeouts { connect: PROBE_TIME, first_byte: PROBE_TIME, read: PROBE_TIME },
        ..ProviderSettings::new(probe.id, &origin, Api::OpenAiCompletions)
    };
    let body = Upstream::new(&asked, &[]).ok()?.get(probe.list, PROBE_TIME, &Abort::new()).ok()?;
    let models: Vec<ModelInfo> = openai::listed(&body, true).ok()?;
    // LM Studio lists embedding models, too; they cannot chat.
    let models: Vec<ModelInfo> = models.into_iter().filter(|model| !model.id.contains("embed")).collect();
    if models.is_empty() {
        return None;
    }
    log::info!("found {} on port {} with {} models", probe.id, probe.port, models.len());
    Some(ProviderSettings {
        models,
        origin: Origin::Discovered,
        ..ProviderSettings::new(probe.id, format!("{origin}/v1"), Api::OpenAiCompletions)
    })
}

/// A loopback server that is up answers in a few milliseconds; start-up must not wait for one that is not.
pub const PROBE_TIME: Duration = Duration::from_millis(150);
