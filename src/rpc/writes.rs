//! How often one client may change settings: 30 times in 60 s per method.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

const LIMIT: usize = 30;
const WINDOW: Duration = Duration::from_secs(60);

/// The calls of one connection. Bounded by the number of methods times [`LIMIT`].
#[derive(Default)]
pub struct Writes(HashMap<&'static str, VecDeque<Instant>>);

impl Writes {
    /// Notes a call; over the limit the answer is how long to wait.
    pub fn admit(&mut self, method: &'static str, now: Instant) -> Result<(), Duration> {
        let calls = self.0.entry(method).or_default();
        while calls.front().is_some_and(|at| now - *at >= WINDOW) {
            calls.pop_front();
        }
        match calls.front() {
            Some(first) if calls.len() >= LIMIT => Err(WINDOW - (now - *first)),
            _ => {
                calls.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thirty_first_call_of_a_minute_waits_for_the_first_to_age() {
        let (mut writes, now) = (Writes::default(), Instant::now());
        for i in 0..30 {
            assert!(writes.admit("cron.remove", now + Duration::from_millis(i)).is_ok());
        }
        assert_eq!(writes.admit("cron.remove", now + Duration::from_secs(1)), Err(Duration::from_secs(59)));
        assert!(writes.admit("cron.add", now + Duration::from_secs(1)).is_ok(), "each method has its own count");
        assert!(writes.admit("cron.remove", now + WINDOW).is_ok());
    }
}
