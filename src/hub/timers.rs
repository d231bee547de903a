//! What is due when. No thread sleeps for it: the state thread waits for its inbox until the next one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Instant;

use super::run::RunId;

/// Something that becomes due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    Tick,
    Health,
    /// Text of a run waits to be sent.
    Flush(RunId),
    /// A run has used up its time.
    RunDeadline(RunId),
    /// A caller of `agent.wait` has waited long enough; the number names the waiter.
    WaitDeadline(u64),
    /// A caller has waited long enough for the runs of a session to end; the number names it.
    QuietDeadline(u64),
    /// Text that may have gone on has not; the number says how many pieces there were.
    Held(String, usize),
    /// What a messenger shows of a run is looked at again; the number counts.
    Preview(RunId, u32),
    /// A caller of `send` has waited long enough; the key names the message.
    SendDeadline(String),
    /// A caller of `agent` has waited long enough for its answer to go out.
    DeliveryDeadline(RunId),
    /// A request for more scopes may have been forgotten.
    UpgradeOver(String),
    /// A token of limited power has come to its end.
    TokenOver,
    /// A node has not answered this call in time.
    NodeDeadline(String),
    /// A scheduled job, or the time to look whether the clock was set.
    Cron,
    /// News of a session may be told now: the agent and the session.
    Wake(Box<str>, Box<str>),
    /// A suspension has lasted long enough.
    SuspensionOver,
    /// Nobody decided on an approval in time.
    ApprovalDeadline(Arc<str>),
    /// Nobody answered questions in time.
    QuestionDeadline(Arc<str>),
    /// Who waits for the answer to questions has waited long enough; the number names the wait.
    QuestionWait(Arc<str>, u64),
    /// The drain budget of a shutdown is spent.
    DrainOver,
}

/// Timers by their moment. Stale ones are harmless: whoever handles one looks whether it still matters.
#[derive(Default)]
pub struct Timers(BinaryHeap<Reverse<(Instant, Due)>>);

impl Timers {
    pub fn at(&mut self, when: Instant, due: Due) {
        self.0.push(Reverse((when, due)));
    }

    pub fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((when, _))| *when)
    }

    /// Takes one that is due.
    pub fn pop(&mut self, now: Instant) -> Option<Due> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, due))| due)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn due_ones_come_in_order_and_never_early() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        timers.at(now + Duration::from_secs(2), Due::Health);
        timers.at(now + Duration::from_secs(1), Due::Tick);
        assert_eq!(timers.pop(now), None);
        assert_eq!(timers.next(), Some(now + Duration::from_secs(1)));
        let later = now + Duration::from_secs(3);
        assert_eq!(
            (timers.pop(later), timers.pop(later), timers.pop(later)),
            (Some(Due::Tick), Some(Due::Health), None)
        );
    }
}
