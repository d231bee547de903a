//! How long turns of the state thread take: what `health` reports as the event loop.

use std::time::{Duration, Instant};

use crate::sys::order;
use crate::wire::health::EventLoop;

/// Turns remembered, newest over oldest.
const TURNS: usize = 256;
/// A turn this long means clients feel it.
const DEGRADED: Duration = Duration::from_millis(500);

/// A ring of the last turns.
pub struct Pulse {
    turns: Vec<u32>,
    next: usize,
    busy: Duration,
    since: Instant,
    degraded_at_ms: Option<u64>,
}

impl Pulse {
    pub fn new(now: Instant) -> Pulse {
        Pulse { turns: Vec::with_capacity(TURNS), next: 0, busy: Duration::ZERO, since: now, degraded_at_ms: None }
    }

    /// Notes a turn. True: clients felt it.
    pub fn turn(&mut self, took: Duration, now_ms: u64) -> bool {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        if self.turns.len() < TURNS {
            self.turns.push(micros);
        } else {
            self.turns[self.next] = micros;
            self.next = (self.next + 1) % TURNS;
        }
        self.busy += took;
        let felt = took >= DEGRADED;
        if felt {
            self.degraded_at_ms = Some(now_ms);
        }
        felt
    }

    /// The picture since the last call of [`Pulse::restart`].
    pub fn report(&self, now: Instant, now_ms: u64) -> EventLoop {
        let mut sorted = self.turns.clone();
        order::sort(&mut sorted);
        let at = |share: f64| {
            sorted.get((sorted.len().saturating_sub(1) as f64 * share) as usize).map_or(0.0, |m| f64::from(*m) / 1000.0)
        };
        let span = now.saturating_duration_since(self.since).as_secs_f64().max(0.001);
        let share = (self.busy.as_secs_f64() / span * 1000.0).round() / 1000.0;
        let recent = self.degraded_at_ms.filter(|at| now_ms.saturating_sub(*at) < 60_000);
        EventLoop {
            degraded: recent.is_some(),
            degraded_since_ms: recent,
            reasons: if recent.is_some() { vec!["state_thread_delay"] } else { vec![] },
            interval_ms: (span * 1000.0).round(),
            delay_p99_ms: at(0.99),
            delay_max_ms: at(1.0),
            utilization: share,
            cpu_core_ratio: share,
        }
    }

    /// Begins a new span.
    pub fn restart(&mut self, now: Instant) {
        self.busy = Duration::ZERO;
        self.since = now;
    }
}
