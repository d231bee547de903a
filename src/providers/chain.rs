//! One turn over several models: the primary, then its fallbacks.
//!
//! Every model gets its retries first. Knows nothing of sessions and emits no events of its own; what happens is told to
//! two callbacks.
//!
//! Invariants: no other model is asked after the first delta, after an abort, or for a request every model would refuse.

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

/// Answers `turn` with the first of `models` that can. `turn.model` is set to each candidate in turn; `step` hears of
/// every change of model.
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
    for (at, model) in models.iter().enumerate() {
        let next = models.get(at + 1);
        turn.model.clone_from(&model.model);
        let mut delivered = false;
        let result = registry.resolve(model).and_then(|provider| {
            let policy = registry.retry(&model.provider);
            let retries = if next.is_some() { policy.max.min(policy.max_before_fallback) } else { policy.max };
            retry::chat(provider.as_ref(), &policy, retries, turn, abort, &mut |delta| {
                delivered |= !matches!(delta, Delta::Retrying { .. });
                each(delta)
            })
        });
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
