//! What a request can fail with. The only error type a handler may return.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The protocol's error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    InvalidRequest,
    NotPaired,
    Forbidden,
    Unavailable,
    ApprovalNotFound,
}

impl Code {
    pub fn as_str(self) -> &'static str {
        match self {
            Code::InvalidRequest => "INVALID_REQUEST",
            Code::NotPaired => "NOT_PAIRED",
            Code::Forbidden => "FORBIDDEN",
            Code::Unavailable => "UNAVAILABLE",
            Code::ApprovalNotFound => "APPROVAL_NOT_FOUND",
        }
    }
}

/// The `error` object of a `res` frame (`ErrorShape` in the schema).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RpcError {
    pub code: Code,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// Milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl RpcError {
    fn new(code: Code, message: impl Into<String>) -> RpcError {
        RpcError { code, message: message.into(), details: None, retryable: None, retry_after_ms: None }
    }

    /// The request itself is wrong: repeating it will not help.
    pub fn invalid(message: impl Into<String>) -> RpcError {
        RpcError::new(Code::InvalidRequest, message)
    }

    /// The gateway cannot answer this now.
    pub fn unavailable(message: impl Into<String>) -> RpcError {
        RpcError::new(Code::Unavailable, message)
    }

    /// The caller is known, and may not.
    pub fn forbidden(message: impl Into<String>) -> RpcError {
        RpcError::new(Code::Forbidden, message)
    }

    pub fn not_paired(message: impl Into<String>) -> RpcError {
        RpcError::new(Code::NotPaired, message)
    }

    /// `missing scope: <scope>`, with the details clients branch on.
    pub fn missing_scope(scope: &str) -> RpcError {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Details<'a> {
            code: &'static str,
            missing_scope: &'a str,
            required_scopes: [&'a str; 1],
        }
        RpcError::new(Code::Forbidden, format!("missing scope: {scope}")).details(&Details {
            code: "MISSING_SCOPE",
            missing_scope: scope,
            required_scopes: [scope],
        })
    }

    /// The queue for this request is full; the reference's words.
    pub fn busy() -> RpcError {
        RpcError::unavailable("The server is busy. Please try again in a moment.").retryable()
    }

    /// Adds machine-readable details. A value that cannot be written as JSON is left out.
    pub fn details(mut self, details: &impl Serialize) -> RpcError {
        self.details = serde_json::value::to_raw_value(details).ok();
        self
    }

    pub fn retryable(mut self) -> RpcError {
        self.retryable = Some(true);
        self
    }

    /// Marks the failure as passing; `ms` is when to try again.
    pub fn retry_after(mut self, ms: u64) -> RpcError {
        self.retryable = Some(true);
        self.retry_after_ms = Some(ms);
        self
    }
}

impl std::fmt::Display for RpcError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for RpcError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_scope_names_itself_three_times() {
        let text = serde_json::to_string(&RpcError::missing_scope("operator.read")).expect("plain data");
        assert_eq!(
            text,
            r#"{"code":"FORBIDDEN","message":"missing scope: operator.read","details":{"code":"MISSING_SCOPE","missingScope":"operator.read","requiredScopes":["operator.read"]}}"#
        );
    }
}
