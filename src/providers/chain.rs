//! One turn over several models: the primary, then its fallbacks.
//!
//! Every model gets its retries first. Knows nothing of sessions and emits no events of its own; what happens is told
//! to two callbacks.
//!
//! Invariants: no other model is asked after the first delta, after an abort, or for a request every model would
//! refuse.

use std::ops::ControlFlow;

use super::error::FailureKind;
use super::registry::{ModelRef, Registry};
use super::{Delta, Finish, ProviderError, Turn, retry};
use crate::sys::abort::Abort;

/// A model that answered, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    pub model: ModelRef,
    pub finish: Finish,
}

/// A model failed and the next one, if any, is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Step<'a> {
    pub from: &'a ModelRef,
    /// `None`: the chain is exhausted.
    pub to: Option<&'a ModelRef>,
    pub reason: FailureKind,
    pub detail: String,
    /// Position of `from` in the chain, from 1.
    pub position: usize,
}

/// Answers `turn` with the first of `models` that can. `turn.model` is set to each candidate in turn, and its defaults
/// hold for it; `step` hears of every change of model.
///
/// Fails with the last model's error, or [`ProviderError::UnknownModel`] when `models` is empty.
pub fn call(
    registry: &Registry,
    models: &[ModelRef],
    turn: &mut Turn,
    abort: &Abort,
    each: &mut dyn FnMut(Delta) -> ControlFlow<()>,
    step: &mut dyn FnMut(Step<'_>),
) -> Result<Answered, ProviderError> {
    let asked = turn.sampling.clone();
    for (at, model) in models.iter().enumerate() {
        let next = models.get(at + 1);
        turn.model.clone_from(&model.model);
        if let Some((_, defaults)) = turn.defaults.iter().find(|(of, _)| of == model) {
            turn.sampling = asked.clone().over(defaults);
        }
        let mut delivered = false;
        let result = registry.resolve(model).and_then(|provider| {
            let policy = registry.retry(&model.provider);
            let retries = if next.is_some() { policy.max.min(policy.max_before_fallback) } else { policy.max };
            retry::chat(provider.as_ref(), &policy, retries, turn, abort, &mut |delta| {
                delivered |= !matches!(delta, Delta::Retrying { .. });
                each(delta)
            })
        });
        turn.sampling.clone_from(&asked);
        let error = match result {
            Ok(finish) => return Ok(Answered { model: model.clone(), finish }),
            Err(_) if abort.fired() => return Err(ProviderError::Aborted),
            Err(error) => error,
        };
        if delivered || !error.falls_back() {
            return Err(error);
        }
        step(Step { from: model, to: next, reason: error.kind(), detail: error.detail(), position: at + 1 });
        if next.is_none() {
            return Err(error);
        }
    }
    Err(ProviderError::UnknownModel { model: String::new(), hint: "no model is configured".into() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};

    use super::super::builtin::NoFacts;
    use super::super::fake::{self, Act, Fake, LIMIT, answer, chunk, events, json, stream_head, turn};
    use super::super::registry::Join;
    use super::super::settings::{Api, ProviderSettings, RetryPolicy};
    use super::*;

    const ANSWER: &[&str] = &[r#"{"choices":[{"delta":{"content":"yes"},"finish_reason":"stop"}]}"#, "[DONE]"];

    fn failing() -> Vec<Act> {
        json("500 Internal Server Error", r#"{"error":{"message":"stub failure"}}"#)
    }

    fn registry(providers: &[(&str, &Fake)]) -> Arc<Registry> {
        let settings = providers
            .iter()
            .map(|(id, fake)| ProviderSettings { id: id.to_string(), ..fake.settings(Api::default()) })
            .collect();
        Arc::new(Registry::build(settings, Join::Known, &|_| None, Arc::new(NoFacts)))
    }

    struct Outcome {
        result: Result<Answered, ProviderError>,
        deltas: Vec<Delta>,
        steps: Vec<String>,
    }

    fn run(registry: &Registry, models: &[&str]) -> Outcome {
        let models: Vec<ModelRef> = models.iter().map(|text| ModelRef::parse(text).expect("with a slash")).collect();
        let (mut deltas, mut steps) = (Vec::new(), Vec::new());
        let result = call(
            registry,
            &models,
            &mut turn("hi"),
            &Abort::new(),
            &mut |delta| {
                deltas.push(delta);
                ControlFlow::Continue(())
            },
            &mut |step| {
                let to = step.to.map_or("nobody".into(), ModelRef::to_string);
                steps.push(format!(
                    "{}: {} -> {to} ({}, {})",
                    step.position,
                    step.from,
                    step.reason.as_str(),
                    step.detail
                ));
            },
        );
        Outcome { result, deltas, steps }
    }

    fn retries(deltas: &[Delta]) -> usize {
        deltas.iter().filter(|delta| matches!(delta, Delta::Retrying { .. })).count()
    }

    #[test]
    fn a_busy_server_is_asked_again_when_it_says() {
        let busy = answer("429 Too Many Requests", "retry-after: 0\r\n", r#"{"error":{"message":"slow down"}}"#);
        let fake = Fake::start(vec![busy, events(ANSWER)]);
        let outcome = run(&registry(&[("a", &fake)]), &["a/m"]);
        assert!(outcome.result.is_ok_and(|answered| answered.model.to_string() == "a/m"));
        let first = Delta::Retrying { attempt: 1, max: 8, delay_ms: 0, reason: "rate_limit".into() };
        assert_eq!(outcome.deltas, [first, Delta::Text("yes".into())]);
        assert_eq!(fake.accepted.load(Ordering::SeqCst), 1, "the connection survives a refusal");
    }

    #[test]
    fn the_next_model_answers_when_the_first_keeps_failing() {
        let broken = Fake::start(vec![failing(), failing(), failing()]);
        let fine = Fake::start(vec![events(ANSWER)]);
        let outcome = run(&registry(&[("a", &broken), ("b", &fine)]), &["a/m", "b/n"]);
        assert!(outcome.result.is_ok_and(|answered| answered.model.to_string() == "b/n"));
        assert_eq!((fake::text(&outcome.deltas).as_str(), retries(&outcome.deltas)), ("yes", 2));
        assert_eq!(outcome.steps, ["1: a/m -> b/n (server_error, 500 stub failure)"]);
        assert!(fine.request().contains(r#""model":"n""#));
    }

    #[test]
    fn an_exhausted_chain_reports_the_last_error() {
        let broken = Fake::start(vec![json("401 Unauthorized", "{}")]);
        let outcome = run(&registry(&[("a", &broken)]), &["nobody/m", "a/m"]);
        assert!(matches!(outcome.result, Err(ProviderError::Upstream { status: 401, .. })));
        assert_eq!(outcome.steps.len(), 2);
        assert!(outcome.steps[0].starts_with("1: nobody/m -> a/m (model_not_found"), "{:?}", outcome.steps);
        assert_eq!(outcome.steps[1], "2: a/m -> nobody (auth, 401 Unauthorized)");
    }

    #[test]
    fn a_bad_request_of_ours_and_a_broken_answer_end_the_chain() {
        let refusing = Fake::start(vec![json("400 Bad Request", r#"{"error":{"message":"bad schema"}}"#)]);
        let dying = Fake::start(vec![vec![
            stream_head(),
            chunk(b"data: {\"choices\":[{\"delta\":{\"content\":\"ye\"}}]}\n\n"),
            Act::Close,
        ]]);
        let fine = Fake::start(vec![events(ANSWER)]);
        let registry = registry(&[("refusing", &refusing), ("dying", &dying), ("fine", &fine)]);
        let refused = run(&registry, &["refusing/m", "fine/m"]);
        assert!(refused.result.is_err_and(|error| error.kind() == FailureKind::Format));
        let died = run(&registry, &["dying/m", "fine/m"]);
        assert!(matches!(died.result, Err(ProviderError::Garbled { .. })));
        assert_eq!((died.deltas, died.steps), (vec![Delta::Text("ye".into())], vec![]));
        assert_eq!(fine.accepted.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn an_abort_while_a_retry_waits_ends_the_call_at_once() {
        let fake = Fake::start(vec![failing()]);
        let mut settings = fake.settings(Api::default());
        settings.retry = RetryPolicy { base: Duration::from_secs(20), ..RetryPolicy::default() };
        let registry = Registry::build(vec![settings], Join::Known, &|_| None, Arc::new(NoFacts));
        let abort = Abort::new();
        let (sender, retrying) = crossbeam_channel::bounded(1);
        let caller = {
            let abort = abort.clone();
            std::thread::spawn(move || {
                let models = [ModelRef::new("stub", "m")];
                let mut each = |_| {
                    sender.send(()).expect("the test listens");
                    ControlFlow::Continue(())
                };
                call(&registry, &models, &mut turn("hi"), &abort, &mut each, &mut |_| {})
            })
        };
        retrying.recv_timeout(LIMIT).expect("the retry is announced");
        let fired = Instant::now();
        abort.fire();
        assert_eq!(caller.join().expect("no panic"), Err(ProviderError::Aborted));
        assert!(fired.elapsed() < Duration::from_secs(2));
    }
}
