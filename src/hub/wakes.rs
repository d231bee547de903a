//! News for an agent that waits for its next turn: what webhooks wake it with.
//!
//! Kept in memory only; the reference does not keep it over a restart either.

use std::collections::{HashMap, VecDeque};

/// News that may wait for one session, in pieces and in bytes; the oldest goes first.
const WAITING: usize = 20;
const WAITING_BYTES: usize = 64 << 10;
/// Sessions with news.
const SESSIONS: usize = 256;

/// What waits for which session. Owned by the state thread.
#[derive(Default)]
pub struct Wakes(HashMap<String, VecDeque<String>>);

/// What became of a piece of news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    Queued,
    /// The same was the latest already.
    Coalesced,
    /// Too many sessions have news.
    Full,
}

impl Wakes {
    pub fn put(&mut self, session_key: &str, text: String) -> Queued {
        if self.0.len() >= SESSIONS && !self.0.contains_key(session_key) {
            return Queued::Full;
        }
        let waiting = self.0.entry(session_key.to_string()).or_default();
        if waiting.back() == Some(&text) {
            return Queued::Coalesced;
        }
        waiting.push_back(text);
        while waiting.len() > 1
            && (waiting.len() > WAITING || waiting.iter().map(String::len).sum::<usize>() > WAITING_BYTES)
        {
            waiting.pop_front();
        }
        Queued::Queued
    }

    /// Takes what waits for a session, oldest first.
    pub fn take(&mut self, session_key: &str) -> Vec<String> {
        self.0.remove(session_key).map(Vec::from).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_news_waits_once_and_the_oldest_goes_first() {
        let mut wakes = Wakes::default();
        assert_eq!(wakes.put("a", "one".into()), Queued::Queued);
        assert_eq!(wakes.put("a", "one".into()), Queued::Coalesced);
        assert_eq!(wakes.put("b", "one".into()), Queued::Queued);
        assert_eq!(wakes.take("a"), ["one"]);
        assert!(wakes.take("a").is_empty());
        for number in 0..WAITING + 5 {
            wakes.put("a", number.to_string());
        }
        assert_eq!(wakes.take("a").first().map(String::as_str), Some("5"));
        wakes.put("a", "x".repeat(WAITING_BYTES + 1));
        wakes.put("a", "last".into());
        assert_eq!(wakes.take("a"), ["last"]);
    }
}
