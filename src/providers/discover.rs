//! Looks for a model server on this machine.
//!
//! Asks loopback ports only, briefly and side by side, and only when the composer decides that nothing is configured.
//! Does not start, install or configure anything.
//!
//! Invariant: returns within [`ALL_TIME`], whatever listens on the ports.

use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use super::http::Upstream;
use super::settings::{Api, Origin, ProviderSettings, Timeouts};
use super::{ModelInfo, openai};
use crate::sys::abort::Abort;
use crate::sys::order;

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
    let abort = Abort::new();
    let (sender, found) = bounded(probes.len());
    for (place, probe) in probes.iter().copied().enumerate() {
        let (sender, abort) = (sender.clone(), abort.clone());
        let thread = std::thread::Builder::new().name(format!("probe {}", probe.id));
        let started = thread.spawn(move || {
            // After the deadline nobody listens any more.
            let _ = sender.send((place, look(&probe, &abort)));
        });
        if let Err(error) = started {
            log::warn!("cannot look for {}: {error}", probe.id);
        }
    }
    // With our own end gone, the channel closes when the last probe is done.
    drop(sender);
    let end = Instant::now() + ALL_TIME;
    let mut rows: Vec<(usize, ProviderSettings)> = Vec::new();
    while let Ok((place, settings)) = found.recv_deadline(end) {
        rows.extend(settings.map(|settings| (place, settings)));
    }
    abort.fire();
    order::by_key(&mut rows, |(place, _)| *place);
    rows.into_iter().map(|(_, settings)| settings).collect()
}

fn look(probe: &Probe, abort: &Abort) -> Option<ProviderSettings> {
    let origin = format!("http://127.0.0.1:{}", probe.port);
    let asked = ProviderSettings {
        timeouts: Timeouts { connect: PROBE_TIME, first_byte: PROBE_TIME, read: PROBE_TIME },
        ..ProviderSettings::new(probe.id, &origin, Api::OpenAiCompletions)
    };
    let body = Upstream::new(&asked, &[]).ok()?.get(probe.list, PROBE_TIME, abort).ok()?;
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

/// All probes together; also ends one whose server sends its list byte by byte.
pub const ALL_TIME: Duration = Duration::from_millis(400);

#[cfg(test)]
mod tests {
    use super::super::fake::{Act, Fake, dead_port, json};
    use super::*;

    fn probe(id: &'static str, port: u16, list: &'static str) -> Probe {
        Probe { id, port, list }
    }

    #[test]
    fn servers_that_answer_are_found_in_order_and_the_others_do_not_delay() {
        let llama = Fake::start(vec![json("200 OK", r#"{"data":[{"id":"qwen.gguf"}]}"#)]);
        let ollama = Fake::start(vec![json("200 OK", r#"{"models":[{"name":"llama3:8b","model":"llama3:8b"}]}"#)]);
        let empty = Fake::start(vec![json("200 OK", r#"{"data":[{"id":"text-embedding-nomic"}]}"#)]);
        let silent = Fake::start(vec![vec![Act::Silence]]);
        let begin = Instant::now();
        let found = local(&[
            probe("llamacpp", llama.port, "/v1/models"),
            probe("dead", dead_port(), "/v1/models"),
            probe("silent", silent.port, "/v1/models"),
            probe("empty", empty.port, "/v1/models"),
            probe("ollama", ollama.port, "/api/tags"),
        ]);
        assert!(begin.elapsed() < Duration::from_secs(2));
        let rows: Vec<_> = found.iter().map(|one| (one.id.as_str(), one.models[0].id.as_str(), one.origin)).collect();
        let expected = [("llamacpp", "qwen.gguf", Origin::Discovered), ("ollama", "llama3:8b", Origin::Discovered)];
        assert_eq!(rows, expected);
        assert_eq!(found[1].base_url, format!("http://127.0.0.1:{}/v1", ollama.port));
        assert!(found[0].models[0].local && found[0].check().is_ok());
    }

    #[test]
    fn something_else_on_the_port_is_not_a_model_server() {
        let web = Fake::start(vec![json("404 Not Found", "no"), json("200 OK", "<html>")]);
        for _ in 0..2 {
            assert!(local(&[probe("web", web.port, "/v1/models")]).is_empty());
        }
    }
}
