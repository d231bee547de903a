//! What is counted while the gateway runs, for whoever watches it from outside.
//!
//! Counts begin with the process and only grow. Labels come from the configuration and the tables, never from what a
//! stranger sends; where a model's name is a caller's word, the number of names is bounded.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::State;
use super::run::{Outcome, Status};

/// Models told apart; all others are counted together.
const MODELS: usize = 64;
/// Upper bounds of the classes of run times, in seconds.
pub const RUN_SECONDS: [f64; 7] = [1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0];

/// Answered requests of clients by method: those that went well, and the others.
static ANSWERS: Mutex<BTreeMap<&'static str, [u64; 2]>> = Mutex::new(BTreeMap::new());

/// Notes an answer to a client.
pub(super) fn answered(method: &'static str, ok: bool) {
    let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    answers.entry(method).or_default()[usize::from(!ok)] += 1;
}

/// Runs of one outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Ran {
    pub count: u64,
    pub seconds: f64,
    /// Runs that took at most as long as [`RUN_SECONDS`] says; a shorter one is in every class above it, too.
    pub within: [u64; RUN_SECONDS.len()],
}

/// What one model was used for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Asked {
    pub runs: u64,
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_write: u64,
}

/// The counters of runs.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    pub runs: BTreeMap<&'static str, Ran>,
    /// By provider and model.
    pub models: BTreeMap<(String, String), Asked>,
}

impl Meter {
    /// Notes the end of a run.
    pub fn ended(&mut self, outcome: &Outcome) {
        let word = match outcome.status {
            Status::Ok => "completed",
            Status::Error => "error",
            Status::Aborted => "aborted",
            Status::TimedOut => "timeout",
        };
        let ran = self.runs.entry(word).or_default();
        let seconds = outcome.ended_ms.saturating_sub(outcome.started_ms) as f64 / 1000.0;
        ran.count += 1;
        ran.seconds += seconds;
        for (class, most) in ran.within.iter_mut().zip(RUN_SECONDS) {
            *class += u64::from(seconds <= most);
        }
        if outcome.model.is_empty() {
            return;
        }
        let mut name = (outcome.provider.clone(), outcome.model.clone());
        if self.models.len() >= MODELS && !self.models.contains_key(&name) {
            name = ("other".into(), "other".into());
        }
        let asked = self.models.entry(name).or_default();
        asked.runs += 1;
        asked.input = asked.input.saturating_add(outcome.usage.input);
        asked.output = asked.output.saturating_add(outcome.usage.output);
        asked.cache_read = asked.cache_read.saturating_add(outcome.usage.cache_read);
        asked.cache_write = asked.cache_write.saturating_add(outcome.usage.cache_write);
    }
}

/// The state at one moment.
#[derive(Debug, Clone)]
pub struct Reading {
    pub meter: Meter,
    pub answers: BTreeMap<&'static str, [u64; 2]>,
    pub peers: usize,
    pub running: usize,
    /// Running and waiting.
    pub active: usize,
    pub sessions: u64,
    /// Messenger, account, whether it is connected.
    pub channels: Vec<(String, String, bool)>,
}

impl State {
    /// Everything that is counted, now.
    pub fn reading(&self) -> Reading {
        let looks = self.messengers.looks().into_iter();
        Reading {
            meter: self.meter.clone(),
            answers: ANSWERS.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            peers: self.peers.len(),
            running: self.runs.running(),
            active: self.runs.active(),
            sessions: self.seen.count,
            channels: looks
                .map(|look| {
                    let key = &look.account.key;
                    (key.channel.to_string(), key.account.to_string(), look.facts.connected)
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(model: &str, seconds: u64) -> Outcome {
        Outcome {
            status: Status::Ok,
            provider: "p".into(),
            model: model.into(),
            started_ms: 1_000,
            ended_ms: 1_000 + seconds * 1_000,
            ..Outcome::default()
        }
    }

    #[test]
    fn runs_are_counted_in_every_class_they_fit() {
        let mut meter = Meter::default();
        meter.ended(&outcome("m", 10));
        meter.ended(&outcome("m", 9_999));
        meter.ended(&Outcome { status: Status::Aborted, ..outcome("", 0) });
        let ran = meter.runs["completed"];
        assert_eq!((ran.count, ran.seconds, ran.within), (2, 10_009.0, [0, 0, 1, 1, 1, 1, 1]));
        assert_eq!(meter.runs["aborted"].count, 1);
        assert_eq!(meter.models.len(), 1);
    }

    #[test]
    fn names_of_models_are_bounded() {
        let mut meter = Meter::default();
        (0..500).for_each(|n| meter.ended(&outcome(&format!("m{n}"), 1)));
        assert_eq!(meter.models.len(), MODELS + 1);
        assert_eq!(meter.models[&("other".to_owned(), "other".to_owned())].runs, 500 - MODELS as u64);
    }
}
