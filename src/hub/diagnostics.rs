//! What happened lately, for whoever looks for the cause of trouble: a ring of short records.
//!
//! Deliberately without contents: no text, no ids of people or sessions, nothing a stranger chose. Types are those of the
//! reference's recorder, as far as such things happen here.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::run::{Outcome, Status, ToolEnded};
use super::{Now, State};
use crate::wire::diagnostics::*;
use crate::wire::frame::cut;

/// Records kept, each of about 200 bytes.
const CAPACITY: usize = 256;
/// The reference keeps the states of so many telemetry exporters; there are none here.
const EXPORTERS: usize = 16;
const EXPORTER: &str = "telemetry.exporter";
/// Records given when the caller names no number.
const PAGE: usize = 50;
/// Longest name or code in a record.
const NAME: usize = 96;

/// The ring. Owner: the state thread.
#[derive(Default)]
pub struct Recorder {
    events: VecDeque<StabilityEvent>,
    seq: u64,
    dropped: u64,
}

/// A name as a record keeps it.
fn name(text: &str) -> Option<Box<str>> {
    (!text.is_empty()).then(|| cut(text, NAME).into())
}

impl Recorder {
    pub fn note(&mut self, kind: &'static str, now: Now, fields: StabilityEvent) {
        self.seq += 1;
        if self.events.len() >= CAPACITY {
            self.events.pop_front();
            self.dropped += 1;
        }
        self.events.push_back(StabilityEvent { seq: self.seq, ts: now.ms, kind, ..fields });
    }

    /// The end of a run.
    pub fn run_ended(&mut self, outcome: &Outcome, now: Now) {
        let word = match outcome.status {
            Status::Ok => "completed",
            Status::Error => "error",
            Status::Aborted => "aborted",
            Status::TimedOut => "timeout",
        };
        let fields = StabilityEvent {
            provider: name(&outcome.provider),
            model: name(&outcome.model),
            duration_ms: (outcome.started_ms > 0).then(|| outcome.ended_ms.saturating_sub(outcome.started_ms)),
            outcome: Some(word),
            reason: outcome.failure.as_ref().and_then(|failure| name(&failure.reason)),
            ..StabilityEvent::default()
        };
        self.note("run.completed", now, fields);
    }

    /// A tool call has ended.
    pub fn tool_ended(&mut self, tool: &ToolEnded, now: Now) {
        let fields = StabilityEvent {
            tool_name: name(&tool.name),
            duration_ms: Some(now.ms.saturating_sub(tool.started_ms)),
            ..StabilityEvent::default()
        };
        self.note(if tool.is_error { "tool.execution.error" } else { "tool.execution.completed" }, now, fields);
    }

    /// Something came or went through a messenger.
    pub fn message(&mut self, kind: &'static str, channel: &str, outcome: Option<&'static str>, now: Now) {
        self.note(kind, now, StabilityEvent { channel: name(channel), outcome, ..StabilityEvent::default() });
    }

    /// A turn of the state thread took so long that clients felt it.
    pub fn slow_turn(&mut self, took: Duration, now: Now) {
        let fields = StabilityEvent {
            duration_ms: u64::try_from(took.as_millis()).ok(),
            reason: name("state_thread_delay"),
            level: Some("warning"),
            ..StabilityEvent::default()
        };
        self.note("diagnostic.liveness.warning", now, fields);
    }

    /// The newest that fit, oldest first.
    fn select(&self, params: &DiagnosticsStabilityParams, generated_at: String) -> DiagnosticsStabilityResult {
        let kind = params.kind.as_deref().map(str::trim);
        let after = params.since_seq.map_or(0, |seq| seq.0);
        let fits = |event: &&StabilityEvent| kind.is_none_or(|kind| kind == event.kind) && event.seq > after;
        let fitting: Vec<&StabilityEvent> = self.events.iter().filter(fits).collect();
        let mut by_type = BTreeMap::new();
        for event in &fitting {
            *by_type.entry(event.kind).or_default() += 1;
        }
        let memory = || fitting.iter().filter_map(|event| event.memory);
        let (exporters, limit) = (kind == Some(EXPORTER), params.limit.map_or(PAGE, |n| n.0 as usize));
        DiagnosticsStabilityResult {
            generated_at,
            capacity: if exporters { EXPORTERS } else { CAPACITY },
            count: fitting.len(),
            dropped: if exporters { 0 } else { self.dropped },
            first_seq: fitting.first().map(|event| event.seq),
            last_seq: fitting.last().map(|event| event.seq),
            summary: StabilitySummary {
                by_type,
                memory: memory().next_back().map(|latest| MemorySummary {
                    latest,
                    max_rss_bytes: memory().map(|sample| sample.rss_bytes).max().unwrap_or(0),
                    pressure_count: 0,
                }),
            },
            events: fitting.iter().skip(fitting.len().saturating_sub(limit)).copied().cloned().collect(),
        }
    }
}

impl State {
    /// What happened lately; the memory of this moment is noted first.
    pub fn stability(
        &mut self,
        params: &DiagnosticsStabilityParams,
        rss_bytes: u64,
        generated_at: String,
        now: Now,
    ) -> DiagnosticsStabilityResult {
        let memory = Some(MemorySample { rss_bytes });
        self.recorder.note("diagnostic.memory.sample", now, StabilityEvent { memory, ..StabilityEvent::default() });
        self.recorder.select(params, generated_at)
    }

    /// What is at work and what waits.
    pub fn lanes(&self, now: Now) -> DiagnosticsLanesResult {
        let (running, known) = (self.runs.running(), self.runs.active());
        let lane = |lane, active_count, queued_count, max_concurrent| Lane {
            lane,
            queued_count,
            active_count,
            max_concurrent,
            draining: self.is_stopping(),
            generation: 0,
            blocked_by: self.is_suspended().then_some("suspended"),
        };
        let (jobs, most_jobs) = (self.cron.running(), self.cron_most());
        let sessions = self.runs.sessions().count();
        let queued = known.saturating_sub(running);
        DiagnosticsLanesResult {
            ts: now.ms,
            lanes: vec![
                lane("cron", jobs, self.cron.queued(), most_jobs),
                lane("main", running, queued, self.runs.most()),
            ],
            dynamic: (sessions > 0).then(|| DynamicLanes {
                lane_count: sessions,
                active_count: running,
                queued_count: queued,
                queued_lane_count: self.runs.queued_lanes(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::wire::decode::{Int, Text};

    fn now(ms: u64) -> Now {
        Now { at: Instant::now(), ms }
    }

    #[test]
    fn the_newest_are_kept_and_selected_by_type_and_number() {
        let mut recorder = Recorder::default();
        for n in 0..CAPACITY as u64 + 10 {
            let kind = if n % 2 == 0 { "run.started" } else { "run.completed" };
            recorder.note(kind, now(n), StabilityEvent::default());
        }
        let select = |kind: Option<&str>, limit, since: Option<u64>| {
            let params = DiagnosticsStabilityParams {
                limit: Some(Int(limit)),
                kind: kind.map(|kind| Text(kind.into())),
                since_seq: since.map(Int),
            };
            recorder.select(&params, String::new())
        };
        let all = select(None, 1000, None);
        assert_eq!((all.count, all.dropped, all.first_seq, all.last_seq), (CAPACITY, 10, Some(11), Some(266)));
        let some = select(Some("run.started"), 3, Some(200));
        assert_eq!(some.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [261, 263, 265]);
        assert_eq!((some.count, some.summary.by_type["run.started"]), (33, 33));
        let none = select(Some(EXPORTER), 5, None);
        assert_eq!((none.capacity, none.count, none.dropped), (EXPORTERS, 0, 0));
    }
}
