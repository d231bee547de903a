//! What a failed call means: a sentence for a person, a kind for the machine.
//!
//! Does not decide what happens next beyond two questions: may the same model be tried again, may another one.
//!
//! Invariant: no text produced here holds a credential; upstream texts were cut and cleaned before they got here.

use std::fmt;

use super::ProviderError;

/// Why a call failed, in the words of the protocol (`failoverReason`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    Aborted,
    Timeout,
    RateLimit,
    Overloaded,
    Auth,
    Billing,
    ModelNotFound,
    ContextOverflow,
    /// Our request, or its answer, was not what the other side understands.
    Format,
    ServerError,
    Unsupported,
}

impl FailureKind {
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::Aborted => "aborted",
            FailureKind::Timeout => "timeout",
            FailureKind::RateLimit => "rate_limit",
            FailureKind::Overloaded => "overloaded",
            FailureKind::Auth => "auth",
            FailureKind::Billing => "billing",
            FailureKind::ModelNotFound => "model_not_found",
            FailureKind::ContextOverflow => "context_overflow",
            FailureKind::Format => "format",
            FailureKind::ServerError => "server_error",
            FailureKind::Unsupported => "unsupported",
        }
    }
}

impl ProviderError {
    /// The failure's class.
    pub fn kind(&self) -> FailureKind {
        match self {
            ProviderError::Aborted => FailureKind::Aborted,
            // Nobody answering is, to whoever waits, the same as answering too late; the reference says so too.
            ProviderError::Connect { .. } | ProviderError::Timeout { .. } => FailureKind::Timeout,
            ProviderError::Garbled { .. } => FailureKind::Format,
            ProviderError::NoCredentials { .. } => FailureKind::Auth,
            ProviderError::UnknownModel { .. } | ProviderError::NotAllowed(_) => FailureKind::ModelNotFound,
            ProviderError::Unsupported(_) => FailureKind::Unsupported,
            ProviderError::Upstream { status, message, .. } => upstream_kind(*status, message),
        }
    }

    /// May the same model be asked again, provided that nothing was delivered yet?
    pub fn is_retryable(&self) -> bool {
        match self {
            ProviderError::Connect { .. } | ProviderError::Timeout { .. } | ProviderError::Garbled { .. } => true,
            ProviderError::Upstream { .. } => {
                matches!(self.kind(), FailureKind::RateLimit | FailureKind::Overloaded | FailureKind::ServerError)
                    || matches!(self, ProviderError::Upstream { status: 408, .. })
            }
            _ => false,
        }
    }

    /// May another model be asked? Not when the user said stop, and not when our own request is at fault, for every
    /// model would refuse it.
    pub fn falls_back(&self) -> bool {
        match self {
            ProviderError::Aborted => false,
            ProviderError::Upstream { status, .. } => self.kind() != FailureKind::Format || *status >= 500,
            _ => true,
        }
    }

    /// Short text for `fallbackStepFromFailureDetail`: status and message, without our own words.
    pub fn detail(&self) -> String {
        match self {
            ProviderError::Upstream { status, message, .. } => format!("{status} {message}"),
            other => other.to_string(),
        }
    }
}

fn upstream_kind(status: u16, message: &str) -> FailureKind {
    let says = |words: &[&str]| {
        let message = message.to_ascii_lowercase();
        words.iter().any(|word| message.contains(word))
    };
    match status {
        402 => FailureKind::Billing,
        401 | 403 if says(BILLING) => FailureKind::Billing,
        401 | 403 => FailureKind::Auth,
        404 | 410 => FailureKind::ModelNotFound,
        408 => FailureKind::Timeout,
        413 => FailureKind::ContextOverflow,
        429 if says(BILLING) => FailureKind::Billing,
        429 => FailureKind::RateLimit,
        503 | 529 => FailureKind::Overloaded,
        500..=599 => FailureKind::ServerError,
        _ if says(CONTEXT) => FailureKind::ContextOverflow,
        _ if says(BILLING) => FailureKind::Billing,
        _ if says(MODEL) => FailureKind::ModelNotFound,
        _ if says(KEY) => FailureKind::Auth,
        _ => FailureKind::Format,
    }
}

/// OpenAI says 429 for an empty account, Anthropic 400: only the words tell.
const BILLING: &[&str] =
    &["insufficient_quota", "credit balance", "billing", "payment required", "insufficient balance"];

const CONTEXT: &[&str] =
    &["context_length_exceeded", "maximum context length", "prompt is too long", "exceeds the available context"];

const MODEL: &[&str] = &["model_not_found", "model not found", "unknown model", "invalid model", "does not exist"];

const KEY: &[&str] = &["invalid api key", "api key not valid", "invalid_api_key", "incorrect api key"];

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProviderError::Aborted => f.write_str("the call was stopped"),
            ProviderError::Connect { url, cause } => write!(f, "cannot reach {url}: {cause}"),
            ProviderError::Timeout { what, after_ms } => {
                write!(f, "the model did not answer in time ({what}, {} s)", *after_ms as f64 / 1000.0)
            }
            ProviderError::Upstream { status, message, .. } => write!(f, "the provider answered {status}: {message}"),
            ProviderError::Garbled { what } => write!(f, "the provider's answer cannot be understood: {what}"),
            ProviderError::NoCredentials { provider, hint } => {
                write!(f, "no API key for provider \"{provider}\": {hint}")
            }
            ProviderError::UnknownModel { model, hint } => write!(f, "unknown model \"{model}\": {hint}"),
            ProviderError::NotAllowed(why) => f.write_str(why),
            ProviderError::Unsupported(what) => write!(f, "this model does not support {what}"),
        }
    }
}

impl std::error::Error for ProviderError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(status: u16, message: &str) -> ProviderError {
        ProviderError::Upstream { status, message: message.into(), retry_after_ms: None }
    }

    #[test]
    fn an_answer_is_classified_by_status_and_words() {
        for (status, message, kind) in [
            (401, "bad key", "auth"),
            (402, "", "billing"),
            (429, "slow down", "rate_limit"),
            (429, "insufficient_quota: You exceeded your current quota", "billing"),
            (400, "Your credit balance is too low", "billing"),
            (400, "This model's maximum context length is 8192", "context_overflow"),
            (404, "model: nope", "model_not_found"),
            (400, "messages: must not be empty", "format"),
            (500, "stub failure", "server_error"),
            (529, "Overloaded", "overloaded"),
        ] {
            assert_eq!(upstream(status, message).kind().as_str(), kind, "{status} {message}");
        }
    }

    #[test]
    fn only_passing_trouble_is_retried() {
        assert!(upstream(500, "").is_retryable());
        assert!(upstream(429, "").is_retryable());
        assert!(!upstream(429, "insufficient_quota").is_retryable());
        assert!(!upstream(400, "").is_retryable());
        assert!(!ProviderError::Aborted.is_retryable());
    }

    #[test]
    fn a_bad_request_of_ours_is_not_sent_to_the_next_model() {
        assert!(!upstream(400, "bad schema").falls_back());
        assert!(!upstream(422, "bad schema").falls_back());
        assert!(upstream(401, "").falls_back());
        assert!(upstream(400, "model_not_found").falls_back());
        assert!(!ProviderError::Aborted.falls_back());
    }
}
