//! One provider with several credentials: the first that is well answers, one that was refused rests.
//!
//! Credentials are tried in their order, so that the same one is used as long as it works and the other side's prompt
//! cache stays warm. What a refusal means for the next call is kept here and nowhere else; it is forgotten when the
//! registry is built anew, because then the credentials may be others.
//!
//! Invariants: no credential is changed after the first delta; when all rest, the one that rested longest is tried, so
//! that resting never makes a provider unusable; a log line names a profile and never its credential.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::error::FailureKind;
use super::{Delta, Embeddings, Finish, ModelInfo, Provider, ProviderError, Turn};
use crate::sys::abort::Abort;
use crate::sys::clock;
use crate::sys::order;

/// The provider with one of its credentials.
pub struct Choice {
    pub profile: String,
    pub provider: Arc<dyn Provider>,
    /// Milliseconds since 1970.
    pub expires: Option<u64>,
}

/// A [`Provider`] made of several.
pub struct Rotating {
    name: String,
    choices: Vec<(Choice, Health)>,
}

/// What came of a call, and whether anything of it was handed on already.
type Tried<T> = (Result<T, ProviderError>, bool);

/// What happened to a credential lately.
#[derive(Default)]
struct Health {
    /// Milliseconds since 1970; 0 is well.
    rests_until: AtomicU64,
    failures: AtomicU32,
}

/// Rests after the first, the second and every further failure in a row (milliseconds); the reference's.
const RESTS: [u64; 3] = [30_000, 60_000, 300_000];
/// An empty account is not filled up in a minute.
const BILLING_REST: u64 = 600_000;
/// What a server may ask for at most.
const LONGEST_REST: u64 = 3_600_000;

impl Rotating {
    pub fn new(name: impl Into<String>, choices: Vec<Choice>) -> Rotating {
        Rotating { name: name.into(), choices: choices.into_iter().map(|choice| (choice, Health::default())).collect() }
    }

    /// Choices in the order they are tried at `now`.
    fn order(&self, now: u64) -> Vec<&(Choice, Health)> {
        let alive = |(choice, _): &&(Choice, Health)| choice.expires.is_none_or(|expires| expires > now);
        let mut order: Vec<_> = self.choices.iter().filter(alive).collect();
        // Those that are well keep their order; of the others the one that is well soonest comes first.
        order::by_key(&mut order, |(_, health)| health.rests_until.load(Ordering::Relaxed).max(now));
        // Only one that rests is tried, and only when none is well.
        let well = order.iter().filter(|(_, health)| health.rests_until.load(Ordering::Relaxed) <= now).count();
        order.truncate(well.max(1));
        order
    }

    fn each<T>(
        &self,
        now: &dyn Fn() -> u64,
        call: &mut dyn FnMut(&dyn Provider) -> Tried<T>,
    ) -> Result<T, ProviderError> {
        let mut last = ProviderError::NoCredentials {
            provider: self.name.clone(),
            hint: "every profile of auth.profiles has expired".to_owned(),
        };
        for (choice, health) in self.order(now()) {
            let (result, delivered) = call(choice.provider.as_ref());
            match result {
                Ok(done) => {
                    health.failures.store(0, Ordering::Relaxed);
                    health.rests_until.store(0, Ordering::Relaxed);
                    return Ok(done);
                }
                Err(error) => {
                    let rest = rest(&error, health.failures.load(Ordering::Relaxed));
                    let Some(rest) = rest.filter(|_| !delivered) else { return Err(error) };
                    health.failures.fetch_add(1, Ordering::Relaxed);
                    health.rests_until.store(now().saturating_add(rest), Ordering::Relaxed);
                    log::warn!(
                        "auth profile {:?} of {} rests for {} s ({})",
                        choice.profile,
                        self.name,
                        rest / 1000,
                        error.kind().as_str()
                    );
                    last = error;
                }
            }
        }
        Err(last)
    }
}

/// How long a credential rests after a failure (milliseconds); `None` when it is not the credential's fault.
fn rest(error: &ProviderError, failures: u32) -> Option<u64> {
    let usual = RESTS[usize::try_from(failures).map_or(2, |failures| failures.min(2))];
    let asked = match error {
        ProviderError::Upstream { retry_after_ms: Some(asked), .. } => (*asked).min(LONGEST_REST),
        _ => 0,
    };
    match error.kind() {
        FailureKind::Auth | FailureKind::RateLimit | FailureKind::Overloaded => Some(usual.max(asked)),
        FailureKind::Billing => Some(BILLING_REST.max(asked)),
        _ => None,
    }
}

impl Provider for Rotating {
    fn models(&self) -> Result<Vec<ModelInfo>, ProviderError> {
        self.each(&clock::now_ms, &mut |provider| (provider.models(), false))
    }

    fn chat(
        &self,
        turn: &Turn,
        abort: &Abort,
        each: &mut dyn FnMut(Delta) -> ControlFlow<()>,
    ) -> Result<Finish, ProviderError> {
        self.each(&clock::now_ms, &mut |provider| {
            let mut delivered = false;
            let result = provider.chat(turn, abort, &mut |delta| {
                delivered = true;
                each(delta)
            });
            (result, delivered || abort.fired())
        })
    }

    fn embed(
        &self,
        model: &str,
        input: &[String],
        dimensions: Option<u32>,
        abort: &Abort,
    ) -> Result<Embeddings, ProviderError> {
        self.each(&clock::now_ms, &mut |provider| (provider.embed(model, input, dimensions, abort), abort.fired()))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Mutex;

    use super::*;

    /// Answers with the status it was given, and writes its name down.
    struct Named(&'static str, u16);

    static UNUSED: &str = "not called by these tests";

    impl Provider for Named {
        fn models(&self) -> Result<Vec<ModelInfo>, ProviderError> {
            let name = self.0.to_owned();
            match self.1 {
                200 => Ok(vec![ModelInfo { id: name, ..ModelInfo::default() }]),
                status => Err(ProviderError::Upstream { status, message: name, retry_after_ms: None }),
            }
        }

        fn chat(
            &self,
            _: &Turn,
            _: &Abort,
            _: &mut dyn FnMut(Delta) -> ControlFlow<()>,
        ) -> Result<Finish, ProviderError> {
            Err(ProviderError::Unsupported(UNUSED))
        }
    }

    fn rotating(choices: &[(&'static str, u16)]) -> Rotating {
        let choice = |(name, status): &(&'static str, u16)| Choice {
            profile: (*name).to_owned(),
            provider: Arc::new(Named(name, *status)),
            expires: None,
        };
        Rotating::new("p", choices.iter().map(choice).collect())
    }

    /// Calls at a time; answers who was asked, in order.
    fn asked(rotating: &Rotating, now: u64) -> String {
        let names = Mutex::new(String::new());
        let _ = rotating.each(&|| now, &mut |provider| {
            let result = provider.models();
            let name = match &result {
                Ok(models) => models[0].id.clone(),
                Err(error) => error.detail().split(' ').nth(1).unwrap_or_default().to_owned(),
            };
            names.lock().unwrap().push_str(&name);
            (result, false)
        });
        names.into_inner().unwrap()
    }

    #[test]
    fn a_refused_credential_rests_and_the_next_one_answers() {
        let rotating = rotating(&[("a", 429), ("b", 200), ("c", 200)]);
        assert_eq!(asked(&rotating, 1_000), "ab");
        assert_eq!(asked(&rotating, 30_999), "b", "a rests for half a minute");
        assert_eq!(asked(&rotating, 31_000), "ab");
        assert_eq!(asked(&rotating, 90_999), "b", "a minute the second time");
        assert_eq!(asked(&rotating, 91_000), "ab");
        assert_eq!(asked(&rotating, 390_999), "b", "five minutes from then on");
    }

    #[test]
    fn when_all_rest_the_one_that_is_well_soonest_is_tried() {
        let rotating = rotating(&[("a", 402), ("b", 401)]);
        assert_eq!(asked(&rotating, 1_000), "ab");
        assert_eq!(asked(&rotating, 2_000), "b", "an empty account rests longer");
    }

    #[test]
    fn what_is_not_the_credentials_fault_changes_nothing() {
        let rotating = rotating(&[("a", 500), ("b", 200)]);
        assert_eq!(asked(&rotating, 1_000), "a");
        assert_eq!(asked(&rotating, 1_001), "a");
    }

    #[test]
    fn an_expired_token_is_not_tried_and_nothing_is_repeated_after_a_delta() {
        let mut one = rotating(&[("a", 200), ("b", 200)]);
        one.choices[0].0.expires = Some(5_000);
        assert_eq!((asked(&one, 4_999).as_str(), asked(&one, 5_000).as_str()), ("a", "b"));
        one.choices[1].0.expires = Some(1);
        assert_eq!(asked(&one, 5_000), "");
        let two = rotating(&[("a", 401), ("b", 200)]);
        let calls = Cell::new(0);
        let failed = two.each(&|| 1, &mut |provider| {
            calls.set(calls.get() + 1);
            (provider.models(), true)
        });
        assert!(failed.is_err() && calls.get() == 1);
    }
}
