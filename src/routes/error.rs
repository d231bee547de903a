//! The one way from an error to an HTTP answer: OpenAI's shape, the documented types and statuses.

use tiny_http::Response;

use super::field;
use crate::net::{Fault, Reply};
use crate::wire::frame::cut;
use crate::wire::openai::{ErrorBody, ErrorObject};

/// Why a request got no other answer.
#[derive(Debug)]
pub struct HttpError {
    status: u16,
    message: String,
    kind: &'static str,
    /// Plain text instead of JSON.
    plain: bool,
    headers: Vec<(&'static str, String)>,
    last: bool,
}

impl HttpError {
    fn new(status: u16, kind: &'static str, message: impl Into<String>) -> HttpError {
        HttpError { status, message: message.into(), kind, plain: false, headers: Vec::new(), last: false }
    }

    pub fn invalid(message: impl Into<String>) -> HttpError {
        HttpError::new(400, "invalid_request_error", message)
    }

    pub fn unauthorized() -> HttpError {
        HttpError::new(401, "unauthorized", "Unauthorized")
    }

    pub fn unattributed() -> HttpError {
        let text = "Proxy client attribution is required. Configure gateway.trustedProxies narrowly and make the proxy \
                    overwrite or safely rebuild forwarded client headers.";
        HttpError::new(403, "proxy_attribution_required", text)
    }

    /// A page of another site, riding on what the browser sends along (T03).
    pub fn cross_site() -> HttpError {
        HttpError::new(403, "origin_not_allowed", "Requests from pages of other sites are not allowed.")
    }

    pub fn missing_scope(scope: &str) -> HttpError {
        HttpError::new(403, "forbidden", format!("missing scope: {scope}"))
    }

    pub fn locked_out(seconds: u64) -> HttpError {
        let mut error =
            HttpError::new(429, "rate_limited", "Too many failed authentication attempts. Please try again later.");
        error.headers.push(("Retry-After", seconds.to_string()));
        error
    }

    pub fn not_found() -> HttpError {
        HttpError { plain: true, ..HttpError::new(404, "not_found", "Not Found") }
    }

    /// `allow`: the methods there are.
    pub fn method(allow: String) -> HttpError {
        let mut error = HttpError { plain: true, ..HttpError::new(405, "method", "Method Not Allowed") };
        error.headers.push(("Allow", allow));
        error
    }

    pub fn internal() -> HttpError {
        HttpError::new(500, "api_error", "internal error")
    }

    pub fn unavailable(message: impl Into<String>) -> HttpError {
        let mut error = HttpError::new(503, "service_unavailable", message);
        error.headers.push(("Retry-After", "1".into()));
        error
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
        let body = ErrorBody { error: ErrorObject { message, kind: self.kind, param: None, code: None } };
        serde_json::to_string(&body).expect("strings are always JSON")
    }

    pub fn reply(&self) -> Reply {
        let (text, mime) = match self.plain {
            true => (self.message.clone(), "text/plain; charset=utf-8"),
            false => (self.body(), "application/json; charset=utf-8"),
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
