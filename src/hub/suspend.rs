//! Holding the gateway still while its host is frozen, copied or moved: a short lease that is given only when nothing is
//! being made, and that ends by itself.
//!
//! While it holds, methods other than `gateway.suspend.*` are refused by the connections themselves (they read
//! [`super::Shared::suspended`]), no run begins, no job is due, and HTTP requests that would work are told to come back.
//!
//! Invariant: `Shared::suspended` is set exactly while there is a [`Suspension`].

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::timers::Due;
use super::{Now, State};
use crate::sys::random;
use crate::wire::error::RpcError;
use crate::wire::event as kinds;
use crate::wire::suspend::*;

/// A lease that nobody ends is over after this: a host that thaws and forgot about us finds us at work.
const LEASE: Duration = Duration::from_secs(120);
/// When a busy gateway may be asked again (milliseconds).
const RETRY_BUSY: u64 = 20_000;
const RETRY_DRAINING: u64 = 1_000;

/// A lease.
pub struct Suspension {
    id: String,
    request_id: String,
    expires_at_ms: u64,
    /// Everything had ended.
    prepared: bool,
}

impl State {
    /// Whether work is held off at present.
    pub fn is_suspended(&self) -> bool {
        self.suspension.is_some()
    }

    /// `accepting`, `preparing`, `prepared`: what hello-ok says.
    pub fn suspension_phase(&self) -> &'static str {
        match &self.suspension {
            None => "accepting",
            Some(Suspension { prepared: false, .. }) => "preparing",
            Some(_) => "prepared",
        }
    }

    /// What is being made.
    pub fn blockers(&self) -> (RestartCounts, Vec<Blocker>) {
        let (running, all) = (self.runs.running() as u64, self.runs.active() as u64);
        let jobs = self.cron.running() as u64;
        let counts = RestartCounts {
            queue_size: all - running.min(all),
            embedded_runs: running,
            cron_runs: jobs,
            total_active: all + jobs,
            ..RestartCounts::default()
        };
        let rows = [
            ("chat-run", running, "run(s) being made"),
            ("queued-turn", counts.queue_size, "message(s) waiting for their turn"),
            ("cron-run", jobs, "scheduled job(s) running"),
        ];
        let busy = rows.into_iter().filter(|(_, count, _)| *count > 0);
        let blockers = busy.map(|(kind, count, what)| Blocker { kind, count, message: format!("{count} {what}") });
        (counts, blockers.collect())
    }

    /// Asks for the lease.
    pub fn suspend(&mut self, params: &GatewaySuspendPrepareParams, now: Now) -> GatewaySuspendPrepareResult {
        let (counts, blockers) = self.blockers();
        let busy = |reason| GatewaySuspendPrepareResult {
            status: "busy",
            reason: Some(reason),
            suspension_id: None,
            expires_at_ms: None,
            retry_after_ms: Some(RETRY_BUSY),
            active_count: counts.total_active,
            blockers: blockers.clone(),
        };
        if self.is_stopping() {
            return busy("gateway-draining");
        }
        match &self.suspension {
            Some(held) if held.request_id != params.request_id.0 => return busy("gateway-draining"),
            Some(_) => {}
            None => {
                self.tell_phase("preparing");
                if counts.total_active > 0 && !params.drain {
                    self.tell_phase("accepting");
                    return busy("active-work");
                }
                let lease = u64::try_from(LEASE.as_millis()).unwrap_or(0);
                self.suspension = Some(Suspension {
                    id: random::uuid(),
                    request_id: params.request_id.0.clone(),
                    expires_at_ms: now.ms.saturating_add(lease),
                    prepared: false,
                });
                self.shared.suspended.store(true, Ordering::SeqCst);
                self.timers.at(now.at + LEASE, Due::SuspensionOver);
                self.settle_suspension();
            }
        }
        let Some(held) = &self.suspension else { return busy("active-work") };
        GatewaySuspendPrepareResult {
            status: if held.prepared { "ready" } else { "draining" },
            reason: None,
            suspension_id: Some(held.id.clone()),
            expires_at_ms: Some(held.expires_at_ms),
            retry_after_ms: (!held.prepared).then_some(RETRY_DRAINING),
            active_count: counts.total_active,
            blockers,
        }
    }

    /// The last run may have ended.
    pub(super) fn settle_suspension(&mut self) {
        let idle = self.runs.active() == 0 && self.cron.running() == 0;
        if let Some(held) = &mut self.suspension
            && !held.prepared
            && idle
        {
            held.prepared = true;
            self.tell_phase("prepared");
        }
    }

    pub fn suspension_status(&self, id: &str) -> GatewaySuspendStatusResult {
        let (counts, blockers) = self.blockers();
        match self.suspension.as_ref().filter(|held| held.id == id) {
            None => GatewaySuspendStatusResult {
                status: "running",
                expires_at_ms: None,
                retry_after_ms: None,
                active_count: None,
                blockers: None,
            },
            Some(held) if held.prepared => GatewaySuspendStatusResult {
                status: "ready",
                expires_at_ms: Some(held.expires_at_ms),
                retry_after_ms: None,
                active_count: None,
                blockers: None,
            },
            Some(held) => GatewaySuspendStatusResult {
                status: "draining",
                expires_at_ms: Some(held.expires_at_ms),
                retry_after_ms: Some(RETRY_DRAINING),
                active_count: Some(counts.total_active),
                blockers: Some(blockers),
            },
        }
    }

    /// Gives the lease back.
    pub fn resume(&mut self, id: &str, now: Now) -> Result<GatewaySuspendResumeResult, RpcError> {
        let resumed = match &self.suspension {
            None => false,
            Some(held) if held.id == id => true,
            Some(_) => return Err(RpcError::invalid("another suspension holds")),
        };
        if resumed {
            self.end_suspension(now);
        }
        Ok(GatewaySuspendResumeResult { ok: true, status: "running", resumed })
    }

    /// The lease may have run out. Its time is that of the monotonic clock, which a frozen host does not see pass.
    pub(super) fn suspension_over(&mut self, now: Now) {
        if self.suspension.as_ref().is_some_and(|held| held.expires_at_ms <= now.ms.saturating_add(1_000)) {
            log::warn!("the suspension was not ended in time; the gateway is at work again");
            self.end_suspension(now);
        }
    }

    fn end_suspension(&mut self, now: Now) {
        self.suspension = None;
        self.shared.suspended.store(false, Ordering::SeqCst);
        self.tell_phase("accepting");
        self.cron_tick(now);
    }

    fn tell_phase(&self, phase: &'static str) {
        self.peers.broadcast(&kinds::GATEWAY_SUSPENSION, &SuspensionEvent { phase }, None, |_| true);
    }
}

/// What a method answers meanwhile.
pub fn refusal(method: &str) -> RpcError {
    RpcError::unavailable(format!("{method} unavailable during gateway suspension"))
        .retry_after(1000)
        .details(&SuspendedDetails { method, reason: "gateway-suspending", phase: "prepared" })
}
