//! What keeps runs nobody asked for from running away: a floor between two of them, a stop after failures that cost or
//! cannot mend themselves, a cap of tokens a day. Pure: the clock comes in.
//!
//! Invariant: the floor is measured with the monotonic clock, so that setting the time does not lift it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Between two automatic turns of one agent, whatever the trigger.
pub const FLOOR: Duration = Duration::from_secs(30);
/// So many automatic turns of one agent...
const FLOOD: usize = 5;
/// ... in this time are enough; the next one waits until the first of them is this old.
const FLOOD_TIME: Duration = Duration::from_secs(300);
/// Automatic runs in a row that failed for want of a key or of credit.
const FAILURES: u32 = 3;
/// Agents kept track of.
const AGENTS: usize = 256;
const DAY_MS: u64 = 86_400_000;

/// Owned by the state thread.
#[derive(Debug, Default)]
pub struct Brake {
    begun: HashMap<String, Vec<Instant>>,
    failures: u32,
    stopped: Option<String>,
    day: u64,
    tokens: u64,
}

impl Brake {
    /// How long an automatic turn of this agent must still wait.
    pub fn pause(&self, agent_id: &str, now: Instant) -> Option<Duration> {
        let begun = self.begun.get(agent_id)?;
        let last = begun.last()?;
        let floor = FLOOR.checked_sub(now.saturating_duration_since(*last));
        let flood = (begun.len() >= FLOOD)
            .then(|| FLOOD_TIME.checked_sub(now.saturating_duration_since(begun[begun.len() - FLOOD])))
            .flatten();
        floor.max(flood).filter(|pause| !pause.is_zero())
    }

    /// An automatic turn begins.
    pub fn begins(&mut self, agent_id: &str, now: Instant) {
        if self.begun.len() >= AGENTS && !self.begun.contains_key(agent_id) {
            // Whoever was quiet longest.
            let oldest = self.begun.iter().min_by_key(|(_, begun)| begun.last().copied()).map(|(id, _)| id.clone());
            oldest.map(|id| self.begun.remove(&id));
        }
        let begun = self.begun.entry(agent_id.to_string()).or_default();
        begun.push(now);
        if begun.len() > FLOOD {
            begun.remove(0);
        }
    }

    /// Why no automatic run may begin at all. `cap` = `cron.maxTokensPerDay`.
    pub fn stopped(&self, cap: Option<u64>, now_ms: u64) -> Option<String> {
        if let Some(reason) = &self.stopped {
            return Some(reason.clone());
        }
        let cap = cap?;
        (self.day == now_ms / DAY_MS && self.tokens >= cap)
            .then(|| format!("automatic runs have used {} of {cap} tokens today (cron.maxTokensPerDay)", self.tokens))
    }

    /// An automatic run has ended. True: this was one failure too many.
    pub fn ended(&mut self, error_reason: Option<&str>, tokens: u64, now_ms: u64) -> bool {
        let day = now_ms / DAY_MS;
        if self.day != day {
            (self.day, self.tokens) = (day, 0);
        }
        self.tokens = self.tokens.saturating_add(tokens);
        match error_reason {
            Some(reason @ ("auth" | "auth_permanent" | "billing" | "quota" | "rate_limit")) => {
                self.failures += 1;
                let stops = self.failures == FAILURES;
                if stops {
                    self.stopped = Some(format!(
                        "automatic runs are suspended after {FAILURES} failures in a row ({reason}); a run that \
                         succeeds, a changed configuration or set-heartbeats lifts this"
                    ));
                }
                stops
            }
            Some(_) => false,
            None => {
                self.failures = 0;
                false
            }
        }
    }

    /// Somebody looked after it, or a run succeeded.
    pub fn lift(&mut self) {
        (self.failures, self.stopped) = (0, None);
    }

    /// What is spent of a day: kept over a restart.
    pub fn spent(&self) -> (u64, u64) {
        (self.day, self.tokens)
    }

    pub fn remember(&mut self, (day, tokens): (u64, u64)) {
        (self.day, self.tokens) = (day, tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_795_348_800_000;

    #[test]
    fn two_automatic_turns_of_an_agent_are_half_a_minute_apart() {
        let (mut brake, now) = (Brake::default(), Instant::now());
        assert_eq!(brake.pause("main", now), None);
        brake.begins("main", now);
        assert_eq!(brake.pause("main", now + Duration::from_secs(10)), Some(Duration::from_secs(20)));
        assert_eq!(brake.pause("main", now + FLOOR), None);
        assert_eq!(brake.pause("other", now), None, "agents do not hold each other up");
    }

    #[test]
    fn a_flood_is_dammed() {
        let (mut brake, now) = (Brake::default(), Instant::now());
        for n in 0..5 {
            brake.begins("main", now + FLOOR * n);
        }
        assert_eq!(brake.pause("main", now + FLOOR * 5), Some(FLOOD_TIME - FLOOR * 5));
        assert_eq!(brake.pause("main", now + FLOOD_TIME), None);
    }

    #[test]
    fn failures_that_cost_stop_it_and_success_or_a_person_lifts_that() {
        let mut brake = Brake::default();
        assert!(!brake.ended(Some("auth"), 0, NOON) && !brake.ended(Some("timeout"), 0, NOON));
        assert!(!brake.ended(Some("billing"), 0, NOON) && brake.stopped(None, NOON).is_none());
        assert!(brake.ended(Some("rate_limit"), 0, NOON), "the third");
        assert!(brake.stopped(None, NOON).is_some_and(|why| why.contains("suspended")));
        brake.lift();
        assert_eq!(brake.stopped(None, NOON), None);
        brake.ended(Some("auth"), 0, NOON);
        brake.ended(None, 0, NOON);
        assert!(!brake.ended(Some("auth"), 0, NOON) && !brake.ended(Some("auth"), 0, NOON));
    }

    #[test]
    fn a_day_has_its_tokens_and_the_next_day_new_ones() {
        let mut brake = Brake::default();
        brake.ended(None, 600, NOON);
        assert_eq!(brake.stopped(Some(1000), NOON), None);
        brake.ended(Some("timeout"), 600, NOON);
        assert!(brake.stopped(Some(1000), NOON).is_some(), "a failed run has used its tokens too");
        assert_eq!((brake.stopped(None, NOON), brake.stopped(Some(1000), NOON + DAY_MS)), (None, None));
        let mut after_a_restart = Brake::default();
        after_a_restart.remember(brake.spent());
        assert!(after_a_restart.stopped(Some(1000), NOON).is_some());
    }
}
