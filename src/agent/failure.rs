//! A provider's failure as the end of a run.

use crate::hub::run::Failure;
use crate::providers::ProviderError;
use crate::providers::registry::ModelRef;

/// Says what went wrong in words for people and for programs.
pub(super) fn explain(model: &ModelRef, error: &ProviderError) -> Failure {
    let message = match error {
        ProviderError::UnknownModel { .. } | ProviderError::NoCredentials { .. } => error.to_string(),
        // The request itself was wrong: the upstream's own words say how.
        ProviderError::Upstream { status: 400..=499, .. } => error.detail(),
        other => format!("{} request failed: {other}", model),
    };
    let http_status = match error {
        ProviderError::Upstream { status: 400 | 404 | 413 | 422, .. } | ProviderError::UnknownModel { .. } => 400,
        ProviderError::Upstream { status: 429, .. } => 429,
        ProviderError::Timeout { .. } => 504,
        ProviderError::NoCredentials { .. } => 503,
        _ => 502,
    };
    Failure { message, reason: error.kind().as_str().to_string(), http_status }
}
