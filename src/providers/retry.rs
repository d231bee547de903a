//! Tries a call again when the trouble may pass.
//!
//! Decides only whether and when; which model comes next is `chain`'s business.
//!
//! Invariants: never after the first delta; every pause ends at once when the abort fires; every pause is announced
//! with [`Delta::Retrying`] before it begins.

use std::ops::ControlFlow;
use std::time::Duration;

use crossbeam_channel::bounded;

use super::settings::RetryPolicy;
use super::{Delta, Finish, Provider, ProviderError, Turn};
use crate::sys::abort::Abort;

/// Answers one turn with up to `retries` further attempts.
pub fn chat(
    provider: &dyn Provider,
    policy: &RetryPolicy,
    retries: u32,
    turn: &Turn,
    abort: &Abort,
    each: &mut dyn FnMut(Delta) -> ControlFlow<()>,
) -> Result<Finish, ProviderError> {
    let mut attempt = 0;
    loop {
        let mut delivered = false;
        let result = provider.chat(turn, abort, &mut |delta| {
            delivered = true;
            each(delta)
        });
        let error = match result {
            Err(error) if !delivered && error.is_retryable() && !abort.fired() => error,
            other => return other,
        };
        let retries =
            if matches!(error, ProviderError::Garbled { .. }) { retries.min(GARBLED_RETRIES) } else { retries };
        if attempt >= retries {
            return Err(error);
        }
        attempt += 1;
        let delay = pause(policy, attempt, retry_after(&error), random());
        log::debug!("retry {attempt}/{retries} in {} ms: {error}", delay.as_millis());
        let told = each(Delta::Retrying {
            attempt,
            max: retries,
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            reason: error.kind().as_str().to_string(),
        });
        if told.is_break() || wait(abort, delay) == Waited::Aborted {
            return Err(ProviderError::Aborted);
        }
    }
}

/// How a pause ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    Elapsed,
    Aborted,
}

/// Waits for `time`, or until the abort fires.
pub fn wait(abort: &Abort, time: Duration) -> Waited {
    let (sender, receiver) = bounded::<()>(1);
    let hook = abort.on_fire(move || {
        // The receiver is gone only when nobody waits any more.
        let _ = sender.try_send(());
    });
    let woken = receiver.recv_timeout(time);
    drop(hook);
    if woken.is_ok() || abort.fired() { Waited::Aborted } else { Waited::Elapsed }
}

/// The pause before attempt `attempt` (from 1): doubling, spread by half in both directions so that many clients of one
/// struggling server do not come back together, and never beyond the cap. What the server asked for comes first.
fn pause(policy: &RetryPolicy, attempt: u32, asked: Option<Duration>, random: f64) -> Duration {
    if let Some(asked) = asked {
        return asked.min(policy.cap);
    }
    let doubled = policy.base.saturating_mul(1u32 << (attempt - 1).min(16)).min(policy.cap);
    doubled.mul_f64(0.5 + random).min(policy.cap)
}

fn retry_after(error: &ProviderError) -> Option<Duration> {
    match error {
        ProviderError::Upstream { retry_after_ms: Some(ms), .. } => Some(Duration::from_millis(*ms)),
        _ => None,
    }
}

/// A number in 0..1; falls back to the middle where the host has no randomness.
fn random() -> f64 {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut bytes = [0u8; 4];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5,
    }
}

/// An answer may break off by accident; a server that speaks something else will go on doing so, and a person should
/// learn of it within seconds.
const GARBLED_RETRIES: u32 = 2;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Instant;

    use super::super::ModelInfo;
    use super::*;

    /// Answers with the prepared results, one a call; the last with a delta before it.
    struct Scripted(Mutex<Vec<(bool, Result<Finish, ProviderError>)>>);

    impl Provider for Scripted {
        fn models(&self) -> Result<Vec<ModelInfo>, ProviderError> {
            Ok(Vec::new())
        }

        fn chat(
            &self,
            _turn: &Turn,
            _abort: &Abort,
            each: &mut dyn FnMut(Delta) -> ControlFlow<()>,
        ) -> Result<Finish, ProviderError> {
            let (speaks, result) = self.0.lock().unwrap().remove(0);
            if speaks && each(Delta::Text("x".into())).is_break() {
                return Err(ProviderError::Aborted);
            }
            result
        }
    }

    fn failure(status: u16) -> Result<Finish, ProviderError> {
        Err(ProviderError::Upstream { status, message: "m".into(), retry_after_ms: None })
    }

    fn quick() -> RetryPolicy {
        RetryPolicy { base: Duration::from_millis(1), ..RetryPolicy::default() }
    }

    fn run(script: Vec<(bool, Result<Finish, ProviderError>)>) -> (Result<Finish, ProviderError>, Vec<Delta>) {
        let provider = Scripted(Mutex::new(script));
        let mut seen = Vec::new();
        let result = chat(&provider, &quick(), 2, &Turn::default(), &Abort::new(), &mut |delta| {
            seen.push(delta);
            ControlFlow::Continue(())
        });
        (result, seen)
    }

    #[test]
    fn passing_trouble_is_announced_and_retried() {
        let (result, seen) = run(vec![(false, failure(500)), (false, failure(429)), (true, Ok(Finish::default()))]);
        assert!(result.is_ok());
        let reasons: Vec<_> = seen
            .iter()
            .map(|delta| match delta {
                Delta::Retrying { attempt, max, reason, .. } => format!("{attempt}/{max} {reason}"),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(reasons, ["1/2 server_error", "2/2 rate_limit", "Text(\"x\")"]);
    }

    #[test]
    fn nothing_is_retried_after_the_first_delta() {
        let (result, seen) = run(vec![(true, failure(500))]);
        assert_eq!((result, seen.len()), (failure(500), 1));
    }

    #[test]
    fn the_attempts_are_counted() {
        let (result, seen) = run(vec![(false, failure(500)), (false, failure(500)), (false, failure(503))]);
        assert_eq!((result, seen.len()), (failure(503), 2));
    }

    #[test]
    fn a_lasting_failure_is_not_retried() {
        assert_eq!(run(vec![(false, failure(401))]).1, []);
    }

    #[test]
    fn pauses_double_up_to_the_cap_and_obey_the_server() {
        let policy = RetryPolicy::default();
        let ms = |attempt, random| pause(&policy, attempt, None, random).as_millis();
        assert_eq!((ms(1, 0.0), ms(1, 0.5), ms(3, 0.5), ms(5, 0.999), ms(8, 0.999)), (500, 1000, 4000, 23984, 30000));
        assert_eq!(pause(&policy, 1, Some(Duration::ZERO), 0.9), Duration::ZERO);
        assert_eq!(pause(&policy, 1, Some(Duration::from_secs(3600)), 0.9), policy.cap);
    }

    #[test]
    fn an_abort_ends_a_pause_at_once() {
        let abort = Abort::new();
        let begin = Instant::now();
        let waiter = {
            let abort = abort.clone();
            std::thread::spawn(move || wait(&abort, Duration::from_secs(30)))
        };
        abort.fire();
        assert_eq!(waiter.join().expect("no panic"), Waited::Aborted);
        assert!(begin.elapsed() < Duration::from_secs(2));
    }
}
