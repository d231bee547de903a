//! The one way from an error to an HTTP answer: the documented shapes, types and statuses.

use serde::Serialize;
use serde_json::value::RawValue;
use tiny_http::Response;

use super::field;
use crate::auth::Unwelcome;
use crate::net::{Fault, Reply};
use crate::wire::error::RpcError;
use crate::wire::frame::cut;
use crate::wire::openai::{ErrorBody, ErrorObject};
use crate::wire::scope::Scope;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// OpenAI's `{"error":{"message","type"}}`.
    OpenAi,
    Plain,
    /// `{"ok":false,"error":{"type","message"}}`.
    Gateway,
    /// `{"ok":false,"error":"..."}`.
    Hook,
}

/// Why a request got no other answer.
#[derive(Debug)]
pub struct HttpError {
    status: u16,
    message: String,
    kind: &'static str,
    code: Option<&'static str>,
    shape: Shape,
    details: Option<Box<RawValue>>,
    headers: Vec<(&'static str, String)>,
    last: bool,
}

impl HttpError {
    fn new(status: u16, kind: &'static str, message: impl Into<String>) -> HttpError {
        HttpError {
            status,
            message: message.into(),
            kind,
            code: None,
            shape: Shape::OpenAi,
            details: None,
            headers: Vec::new(),
            last: false,
        }
    }

    pub fn invalid(message: impl Into<String>) -> HttpError {
        HttpError::new(400, "invalid_request_error", message)
    }

    pub fn unauthorized() -> HttpError {
        HttpError::new(401, "unauthorized", "Unauthorized")
    }

    pub fn unwelcome(why: Unwelcome) -> HttpError {
        match why {
            Unwelcome::Unattributed => HttpError::unattributed(),
            Unwelcome::NotAllowed => {
                HttpError::new(403, "address_not_allowed", "This gateway does not serve your network.")
            }
        }
    }

    fn unattributed() -> HttpError {
        let text = "Proxy client attribution is required. Configure gateway.trustedProxies narrowly and make the proxy \
                    overwrite or safely rebuild forwarded client headers.";
        HttpError::new(403, "proxy_attribution_required", text)
    }

    /// A page of another site, riding on what the browser sends along (T03).
    pub fn cross_site() -> HttpError {
        HttpError::new(403, "origin_not_allowed", "Requests from pages of other sites are not allowed.")
    }

    pub fn locked_out(seconds: u64) -> HttpError {
        let mut error =
            HttpError::new(429, "rate_limited", "Too many failed authentication attempts. Please try again later.");
        error.headers.push(("Retry-After", seconds.to_string()));
        error
    }

    pub fn not_found() -> HttpError {
        HttpError { shape: Shape::Plain, ..HttpError::new(404, "not_found", "Not Found") }
    }

    /// A well-formed model name that stands for nobody here.
    pub fn no_model(name: &str) -> HttpError {
        HttpError::new(404, "invalid_request_error", format!("Model '{name}' not found."))
    }

    /// `allow`: the methods there are.
    pub fn method(allow: String) -> HttpError {
        let mut error = HttpError { shape: Shape::Plain, ..HttpError::new(405, "method", "Method Not Allowed") };
        error.headers.push(("Allow", allow));
        error
    }

    /// The same error the way the gateway's own endpoints write it.
    pub fn gateway(self) -> HttpError {
        HttpError { shape: Shape::Gateway, ..self }
    }

    /// An error of one of the gateway's own endpoints.
    pub fn own(status: u16, kind: &'static str, message: impl Into<String>) -> HttpError {
        HttpError::new(status, kind, message).gateway()
    }

    /// An answer to a webhook.
    pub fn hook(status: u16, message: impl Into<String>) -> HttpError {
        HttpError { shape: Shape::Hook, ..HttpError::new(status, "hook", message) }
    }

    /// A sentence as plain text.
    pub fn plain(status: u16, message: &str) -> HttpError {
        HttpError { shape: Shape::Plain, ..HttpError::new(status, "plain", message) }
    }

    /// The same error with what it is about in front.
    pub fn about(self, what: &str) -> HttpError {
        HttpError { message: format!("{what}: {}", self.message), ..self }
    }

    /// When to come again.
    pub fn retry_after(mut self, seconds: u64) -> HttpError {
        self.headers.push(("Retry-After", seconds.to_string()));
        self
    }

    /// Nothing more is read from this client.
    pub fn and_close(self) -> HttpError {
        HttpError { last: true, ..self }
    }

    pub fn missing_scope(scope: Scope) -> HttpError {
        let error = RpcError::missing_scope(scope.name());
        HttpError { details: error.details, ..HttpError::own(403, "forbidden", error.message) }
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    /// The type and the sentence.
    pub fn parts(&self) -> (&'static str, &str) {
        (self.kind, &self.message)
    }

    pub fn internal() -> HttpError {
        HttpError::new(500, "api_error", "internal error")
    }

    pub fn unavailable(message: impl Into<String>) -> HttpError {
        let mut error = HttpError::new(503, "service_unavailable", message);
        error.headers.push(("Retry-After", "1".into()));
        error
    }

    /// The gateway is held still for its host.
    pub fn suspended() -> HttpError {
        let text = "Gateway is temporarily unavailable while suspending or restarting";
        HttpError { code: Some("gateway_unavailable"), ..HttpError::unavailable(text) }
    }

    /// A run that failed, by the status that fits.
    pub fn run(status: u16, message: &str) -> HttpError {
        let kind = match status {
            400..=499 if status != 429 => "invalid_request_error",
            429 => "rate_limited",
            503 => "service_unavailable",
            _ => "api_error",
        };
        HttpError::new(status, kind, message)
    }

    /// A request that could not be read to its end.
    pub fn of_fault(fault: &Fault) -> HttpError {
        let kind = if fault.status() == 413 { "payload_too_large" } else { "invalid_request_error" };
        HttpError { last: true, ..HttpError::new(fault.status(), kind, fault.explain()) }
    }

    /// The JSON of the answer; also what an event stream carries when it fails in the middle.
    pub fn body(&self) -> String {
        let message = cut(&self.message, 4096);
        let kind = self.kind;
        let text = match self.shape {
            Shape::OpenAi | Shape::Plain => {
                serde_json::to_string(&ErrorBody { error: ErrorObject { message, kind, param: None, code: self.code } })
            }
            Shape::Gateway => serde_json::to_string(&OwnError {
                ok: false,
                error: OwnErrorObject { kind, message, details: self.details.as_deref() },
            }),
            Shape::Hook => serde_json::to_string(&HookError { ok: false, error: message }),
        };
        text.expect("strings are always JSON")
    }

    pub fn reply(&self) -> Reply {
        let (text, mime) = match self.shape {
            Shape::Plain => (self.message.clone(), "text/plain; charset=utf-8"),
            _ => (self.body(), "application/json; charset=utf-8"),
        };
        let mut response = Response::from_data(text.into_bytes())
            .with_status_code(self.status)
            .with_header(field("Content-Type", mime));
        for (name, value) in &self.headers {
            response = response.with_header(field(name, value));
        }
        if self.last { Reply::last(response) } else { Reply::full(response) }
    }
}

#[derive(Serialize)]
struct OwnError<'a> {
    ok: bool,
    error: OwnErrorObject<'a>,
}

#[derive(Serialize)]
struct OwnErrorObject<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct HookError<'a> {
    ok: bool,
    error: &'a str,
}
