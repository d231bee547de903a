//! `GET /metrics` and the reference's `GET /api/diagnostics/prometheus`: what is counted, as Prometheus reads it.
//!
//! Off unless `plugins.entries.diagnostics-prometheus` is enabled, as in the reference; the caller needs operator.read.
//! Source: Prometheus' page "Text-based format", version 0.0.4. Metrics that the reference has too bear its names.

use std::fmt::{Display, Write};

use super::{HttpError, Visit, field};
use crate::config::Config;
use crate::hub::meter::{RUN_SECONDS, Reading};
use crate::net::{Exchange, Reply};
use crate::sys::host;

const PLUGIN: &str = "diagnostics-prometheus";
const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether the plugin of the reference that has this route is switched on.
pub fn enabled(config: &Config) -> bool {
    config.plugins.enables(PLUGIN)
}

pub fn fetch(visit: &Visit<'_>, _: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    let reading = visit.site.desk.hub.ask("metrics", |state, _| state.reading());
    let reading = reading.map_err(|gone| HttpError::unavailable(gone.to_string()))?;
    let boot = &visit.site.desk.shared.boot;
    let mut page = Page(String::with_capacity(8 << 10));
    page.head("openclaw_gateway_build_info", "gauge", "The gateway that runs.");
    let labels = [("version", boot.version), ("process_instance_id", &*boot.boot_id)];
    page.line("openclaw_gateway_build_info", &labels, 1);
    page.head("process_start_time_seconds", "gauge", "When it began, in seconds since 1970.");
    page.line("process_start_time_seconds", &[], boot.started_ms as f64 / 1000.0);
    page.head("process_resident_memory_bytes", "gauge", "Memory it holds.");
    page.line("process_resident_memory_bytes", &[], host::rss_kb() * 1024);
    page.reading(&reading);
    let response = tiny_http::Response::from_string(page.0).with_header(field("Content-Type", KIND));
    Ok(Reply::full(response.with_header(field("Cache-Control", "no-store"))))
}

/// Lines of the exposition format.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"", if at == 0 { '{' } else { ',' });
            for c in text.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.line(name, &[], value);
    }

    fn reading(&mut self, reading: &Reading) {
        self.gauge("openclaw_gateway_connections", "Admitted WebSocket clients.", reading.peers);
        self.gauge("openclaw_sessions", "Sessions in the database.", reading.sessions);
        let lane = "openclaw_queue_lane_size";
        self.head(lane, "gauge", "Runs that are being made, and that wait.");
        self.line(lane, &[("lane", "running")], reading.running);
        self.line(lane, &[("lane", "waiting")], reading.active.saturating_sub(reading.running));

        let (calls, outcomes) = ("openclaw_gateway_rpc_requests_total", "openclaw_gateway_rpc_outcomes_total");
        self.head(calls, "counter", "Answered requests.");
        for (method, [well, badly]) in &reading.answers {
            self.line(calls, &[("method", method)], well + badly);
        }
        self.head(outcomes, "counter", "How they were answered.");
        for (at, outcome) in ["ok", "error"].iter().enumerate() {
            let sum: u64 = reading.answers.values().map(|both| both[at]).sum();
            self.line(outcomes, &[("phase", "response"), ("outcome", outcome)], sum);
        }

        self.head("openclaw_run_completed_total", "counter", "Runs that have ended.");
        for (outcome, ran) in &reading.meter.runs {
            self.line("openclaw_run_completed_total", &[("outcome", outcome)], ran.count);
        }
        let time = "openclaw_run_duration_seconds";
        self.head(time, "histogram", "How long runs took.");
        for (outcome, ran) in &reading.meter.runs {
            for (most, count) in RUN_SECONDS.iter().zip(ran.within) {
                self.line(&format!("{time}_bucket"), &[("outcome", outcome), ("le", &most.to_string())], count);
            }
            self.line(&format!("{time}_bucket"), &[("outcome", outcome), ("le", "+Inf")], ran.count);
            self.line(&format!("{time}_sum"), &[("outcome", outcome)], ran.seconds);
            self.line(&format!("{time}_count"), &[("outcome", outcome)], ran.count);
        }

        let (asked, tokens) = ("openclaw_model_runs_total", "openclaw_model_tokens_total");
        self.head(asked, "counter", "Runs a model answered.");
        for ((provider, model), used) in &reading.meter.models {
            self.line(asked, &[("provider", provider), ("model", model)], used.runs);
        }
        self.head(tokens, "counter", "Tokens of runs.");
        for ((provider, model), used) in &reading.meter.models {
            let kinds = [
                ("input", used.input),
                ("output", used.output),
                ("cache_read", used.cache_read),
                ("cache_write", used.cache_write),
            ];
            for (kind, count) in kinds {
                self.line(tokens, &[("provider", provider), ("model", model), ("token_type", kind)], count);
            }
        }

        let channel = "openclaw_channel_connected";
        self.head(channel, "gauge", "Whether an account of a messenger is connected.");
        for (id, account, connected) in &reading.channels {
            self.line(channel, &[("channel", id), ("account", account)], u8::from(*connected));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_one_line_whatever_it_says() {
        let mut page = Page(String::new());
        page.line("m", &[("a", "x\"y\\z\nw"), ("b", "")], 1.5);
        page.line("n", &[], 7);
        assert_eq!(page.0, "m{a=\"x\\\"y\\\\z\\nw\",b=\"\"} 1.5\nn 7\n");
    }
}
