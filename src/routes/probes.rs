//! Liveness, readiness and start-up, for supervisors and load balancers. No secret is needed, and none is told.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::{HttpError, Visit, json, json_of};
use crate::net::{Exchange, Reply};

/// The process answers. Asks nobody: it must stay true while the state thread is busy.
pub fn live(_: &Visit<'_>, _: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    Ok(json(200, r#"{"ok":true,"status":"live"}"#.into()))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    failing: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime_ms: Option<u64>,
}

/// Whether requests would be served now: the state thread takes them and is not stopping.
pub fn ready(visit: &Visit<'_>, _: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    let mut failing = Vec::new();
    if !visit.site.ready.load(Ordering::Relaxed) {
        failing.push("startup-sidecars");
    }
    if !matches!(visit.site.desk.hub.ask("readyz", |state, _| state.is_stopping() || state.is_suspended()), Ok(false)) {
        failing.push("gateway-draining");
    }
    let ready = failing.is_empty();
    let shown = knows(visit);
    let body = Ready {
        ready,
        failing: shown.then_some(failing),
        uptime_ms: shown.then(|| visit.site.desk.shared.boot.uptime_ms()),
    };
    json_of(if ready { 200 } else { 503 }, &body)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    ok: bool,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime_ms: Option<u64>,
}

/// Whether the start is over.
pub fn started(visit: &Visit<'_>, _: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    let up = visit.site.ready.load(Ordering::Relaxed);
    let held = visit.site.desk.shared.suspended.load(Ordering::Relaxed);
    let shown = knows(visit);
    let boot = &visit.site.desk.shared.boot;
    let body = Started {
        ok: up && !held,
        status: if held {
            "draining"
        } else if up {
            "started"
        } else {
            "starting"
        },
        version: shown.then_some(boot.version),
        uptime_ms: shown.then(|| boot.uptime_ms()),
    };
    json_of(if up && !held { 200 } else { 503 }, &body)
}

/// Details are for this host and for those who showed the secret (T19).
fn knows(visit: &Visit<'_>) -> bool {
    visit.peer.local || visit.caller.is_some()
}
