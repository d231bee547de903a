//! The one place where upstream HTTP calls are made.
//!
//! An [`Upstream`] is a base URL with credentials, limits and a few kept-alive agents. Each call takes one agent for
//! itself, so that shutting it down ends this call and no other; after an undisturbed call the agent goes back. Knows
//! nothing of chat formats. Redirects are never followed: an Authorization header goes to the configured origin only.
//!
//! Invariants: a fired abort ends a call at once in every phase; an agent that was shut down, failed or still has
//! unread input is never reused; no error text holds the key.

pub mod payload;
#[cfg(test)]
mod tests;

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::http::{HeaderName, HeaderValue, Method, Request, Response, request};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector};
use ureq::{Agent, AsSendBody, Body, BodyReader, Proxy, ProxyProtocol, SendBody, Timeout};

use payload::Payload;

use super::sse_decoder::{SseDecoder, SseEvent};
use super::{ProviderError, settings};
use crate::net::dial::{Dial, Line, Lookup, Patience, Tls, client_config};
use crate::sys::abort::{Abort, HookGuard};
use crate::sys::secret::Secret;

/// One upstream: where it is, what it wants to see, how long we wait.
pub struct Upstream {
    base: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What must never appear in an error text.
    secrets: Vec<Secret>,
    timeouts: settings::Timeouts,
    proxy: Option<Proxy>,
    tls: fn() -> Result<Arc<rustls::ClientConfig>, ureq::Error>,
    idle: Mutex<Vec<Idle>>,
}

/// An agent with its kept-alive connection, waiting for the next call.
struct Idle {
    caller: Caller,
    since: Instant,
}

/// An agent and the line its sockets obey.
#[derive(Clone)]
struct Caller {
    agent: Agent,
    line: Arc<Line>,
}

/// A 2xx answer whose body is still to be read.
pub struct Answer<'a> {
    upstream: &'a Upstream,
    caller: Caller,
    abort: Abort,
    hook: HookGuard,
    body: BodyReader<'static>,
    pub content_type: String,
    taken: u64,
    limits: settings::Timeouts,
}

/// Whether to read on after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    On,
    /// The protocol says that this was the last event.
    Last,
}

impl Upstream {
    /// Checks URL and headers; opens nothing. `auth` is the header that carries the key, already formatted.
    pub fn new(
        settings: &settings::ProviderSettings,
        auth: &[(&'static str, String)],
    ) -> Result<Upstream, ProviderError> {
        settings.check()?;
        let mut secrets: Vec<Secret> = settings.headers.iter().map(|(_, value)| value.clone()).collect();
        secrets.extend(settings.api_key.clone());
        let own = auth.iter().map(|(name, value)| (*name, value.as_str()));
        let custom = settings.headers.iter().map(|(name, value)| (name.as_str(), value.expose()));
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (name, value) in own.chain(custom) {
            let unfit = |_| ProviderError::NoCredentials {
                provider: settings.id.clone(),
                hint: format!(
                    "the value for header \"{name}\" cannot be sent in HTTP; check the key for stray characters"
                ),
            };
            let header = HeaderName::try_from(name).map_err(|_| unfit(()))?;
            let mut value = HeaderValue::try_from(value.trim()).map_err(|_| unfit(()))?;
            value.set_sensitive(true);
            // A configured header replaces ours of the same name.
            headers.retain(|(known, _)| *known != header);
            headers.push((header, value));
        }
        let proxy = if settings.is_local() { None } else { proxy_from_environment() };
        Ok(Upstream {
            base: settings.base().to_string(),
            headers,
            secrets,
            timeouts: settings.timeouts,
            proxy,
            tls: client_config,
            idle: Mutex::new(Vec::new()),
        })
    }

    /// POSTs JSON and waits for the head of a 2xx answer; anything else is an error.
    pub fn post(&self, path: &str, body: &Payload, abort: &Abort) -> Result<Answer<'_>, ProviderError> {
        self.call(Method::POST, path, body, self.timeouts, abort)
    }

    /// GETs a small document within `patience`.
    pub fn get(&self, path: &str, patience: Duration, abort: &Abort) -> Result<Vec<u8>, ProviderError> {
        let limits = settings::Timeouts {
            connect: patience.min(self.timeouts.connect),
            first_byte: patience.min(self.timeouts.first_byte),
            read: patience.min(self.timeouts.read),
        };
        self.call(Method::GET, path, &Payload::default(), limits, abort)?.whole(DOCUMENT_CAP)
    }

    fn call(
        &self,
        method: Method,
        path: &str,
        body: &Payload,
        limits: settings::Timeouts,
        abort: &Abort,
    ) -> Result<Answer<'_>, ProviderError> {
        loop {
            let (caller, reused) = match self.take() {
                Some(caller) => (caller, true),
                None => (self.caller(), false),
            };
            let target = caller.clone();
            let hook = abort.on_fire(move || {
                target.line.cut();
                target.agent.shutdown();
            });
            if abort.fired() {
                return Err(ProviderError::Aborted);
            }
            let url = format!("{}{path}", self.base);
            let request = self.request(method.clone(), &url, body.length());
            let sent = match method {
                Method::POST => self.send(&caller, limits, request.body(SendBody::from_reader(&mut body.send()))),
                _ => self.send(&caller, limits, request.body(())),
            };
            let response = match sent? {
                Ok(response) => response,
                Err(_) if abort.fired() => return Err(ProviderError::Aborted),
                // The server closed the idle connection just as we used it: nothing was answered, so ask anew.
                Err(error) if reused && is_broken(&error) => continue,
                Err(error) => return Err(self.explain(error, limits, Phase::FirstByte)),
            };
            return self.accept(response, caller, hook, limits, abort);
        }
    }

    fn request(&self, method: Method, url: &str, length: u64) -> request::Builder {
        let mut request = Request::builder().method(method.clone()).uri(url);
        if method == Method::POST {
            request = request.header("content-type", "application/json").header("content-length", length);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
    }

    /// The outer error is a URL or header that cannot be sent.
    fn send<B: AsSendBody>(
        &self,
        caller: &Caller,
        limits: settings::Timeouts,
        request: Result<Request<B>, ureq::http::Error>,
    ) -> Result<Result<Response<Body>, ureq::Error>, ProviderError> {
        let unfit =
            |error: ureq::http::Error| ProviderError::Connect { url: self.base.clone(), cause: error.to_string() };
        caller.line.wait(Patience::Budget(limits.first_byte));
        let config = caller
            .agent
            .configure_request(request.map_err(unfit)?)
            .timeout_resolve(Some(limits.connect))
            .timeout_connect(Some(limits.connect))
            .timeout_per_write(Some(limits.read));
        Ok(caller.agent.run(config.build()))
    }

    fn accept(
        &self,
        response: Response<Body>,
        caller: Caller,
        hook: HookGuard,
        limits: settings::Timeouts,
        abort: &Abort,
    ) -> Result<Answer<'_>, ProviderError> {
        let (head, body) = response.into_parts();
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let content_type = header("content-type").to_ascii_lowercase();
        let retry_after_ms = retry_after(header("retry-after-ms"), header("retry-after"));
        let location = header("location").to_string();
        let status = head.status;
        let mut answer = Answer {
            upstream: self,
            caller,
            abort: abort.clone(),
            hook,
            body: body.into_reader(),
            content_type,
            taken: 0,
            limits,
        };
        if status.is_success() {
            return Ok(answer);
        }
        if status.is_redirection() {
            let message =
                format!("redirects to {}; redirects are not followed, correct the base URL", host_only(&location));
            return Err(ProviderError::Upstream { status: status.as_u16(), message, retry_after_ms: None });
        }
        let body = answer.start(ERROR_CAP)?;
        answer.finish();
        let message = self.clean(&error_text(&body).unwrap_or_else(|| status.canonical_reason().unwrap_or("").into()));
        Err(ProviderError::Upstream { status: status.as_u16(), message, retry_after_ms })
    }

    /// An error object that came inside a stream, without credentials and cut.
    pub fn clean(&self, text: &str) -> String {
        let mut text = text.trim().to_string();
        for secret in self.secrets.iter().filter(|secret| secret.expose().len() >= SHORTEST_SECRET) {
            text = text.replace(secret.expose(), "[redacted]");
        }
        cut(&text, MESSAGE_CAP).replace(['\r', '\n'], " ")
    }

    fn explain(&self, error: ureq::Error, limits: settings::Timeouts, phase: Phase) -> ProviderError {
        let timeout = |what, after: Duration| ProviderError::Timeout {
            what,
            after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
        };
        match error {
            ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => timeout("connect", limits.connect),
            ureq::Error::Timeout(Timeout::PerWrite) => timeout("send", limits.read),
            ureq::Error::Timeout(_) if phase == Phase::FirstByte => timeout("first byte", limits.first_byte),
            ureq::Error::Timeout(_) => timeout("read", limits.read),
            ureq::Error::Protocol(cause) => ProviderError::Garbled { what: cut(&cause.to_string(), MESSAGE_CAP) },
            ureq::Error::LargeResponseHeader(..) => {
                ProviderError::Garbled { what: "the answer's head is too large".into() }
            }
            error if phase == Phase::Body => ProviderError::Garbled {
                what: format!("the answer broke off ({})", cut(&error.to_string(), MESSAGE_CAP)),
            },
            error => ProviderError::Connect { url: self.base.clone(), cause: cut(&cause(&error), MESSAGE_CAP) },
        }
    }

    fn caller(&self) -> Caller {
        let line = Line::new();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(self.proxy.clone())
            .user_agent(concat!("openclaw/", env!("CARGO_PKG_VERSION")))
            // A compressed event stream arrives in lumps.
            .accept_encoding("")
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .max_response_header_size(BUFFER)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .max_idle_age(IDLE_AGE)
            .build();
        let connector = ().chain(ConnectProxyConnector::default()).chain(Dial(line.clone())).chain(Tls(self.tls));
        Caller { agent: Agent::with_parts(config, connector, Lookup(line.clone())), line }
    }

    /// The agent used last, for its connection is the warmest; those too old are closed.
    fn take(&self) -> Option<Caller> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|one| one.since.elapsed() < IDLE_AGE);
        idle.pop().map(|one| one.caller)
    }

    fn give_back(&self, caller: Caller) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|one| one.since.elapsed() < IDLE_AGE);
        if idle.len() < IDLE_CAP {
            idle.push(Idle { caller, since: Instant::now() });
        }
    }
}

impl Answer<'_> {
    /// Reads on; 0 is the end of the body.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, ProviderError> {
        let phase = if self.taken == 0 { Phase::FirstByte } else { Phase::Body };
        let result = self.body.read(into);
        if self.abort.fired() {
            return Err(ProviderError::Aborted);
        }
        let amount = match result {
            Ok(amount) => amount,
            Err(error) => {
                let phase = if matches!(ureq_timeout(&error), Some(true)) { phase } else { Phase::Body };
                return Err(self.upstream.explain(ureq::Error::from(error), self.limits, phase));
            }
        };
        if self.taken == 0 {
            self.caller.line.wait(Patience::Each(self.limits.read));
        }
        self.taken += amount as u64;
        if self.taken > ANSWER_CAP {
            return Err(ProviderError::Garbled { what: format!("the answer is larger than {ANSWER_CAP} bytes") });
        }
        Ok(amount)
    }

    /// Feeds the event stream to `each` until it says [`Flow::Last`] or the body ends; then gives the connection back.
    pub fn events(
        mut self,
        each: &mut dyn FnMut(SseEvent<'_>) -> Result<Flow, ProviderError>,
    ) -> Result<(), ProviderError> {
        let mut decoder = SseDecoder::new();
        let mut buffer = [0u8; READ_SIZE];
        loop {
            let amount = self.read(&mut buffer)?;
            if amount == 0 {
                decoder.end();
            } else {
                decoder.push(&buffer[..amount]);
            }
            while let Some(event) = decoder.next_event() {
                let event = event.map_err(|error| ProviderError::Garbled { what: error.to_string() })?;
                if each(event)? == Flow::Last {
                    self.finish();
                    return Ok(());
                }
            }
            if amount == 0 {
                self.finish();
                return Ok(());
            }
        }
    }

    /// The whole body, which may have `cap` bytes.
    pub fn whole(mut self, cap: usize) -> Result<Vec<u8>, ProviderError> {
        let body = self.start(cap + 1)?;
        if body.len() > cap {
            return Err(ProviderError::Garbled { what: format!("the answer is larger than {cap} bytes") });
        }
        self.finish();
        Ok(body)
    }

    /// At most `cap` bytes from the start of the body.
    fn start(&mut self, cap: usize) -> Result<Vec<u8>, ProviderError> {
        let mut body = Vec::new();
        let mut buffer = [0u8; READ_SIZE];
        while body.len() < cap {
            let amount = self.read(&mut buffer)?;
            if amount == 0 {
                break;
            }
            body.extend_from_slice(&buffer[..amount.min(cap - body.len())]);
        }
        Ok(body)
    }

    /// Waits a moment for the end of the body and keeps the connection if it comes.
    fn finish(mut self) {
        self.caller.line.wait(Patience::Until(Instant::now() + DRAIN_TIME));
        let mut rest = [0u8; 256];
        let mut budget = 16;
        let ended = loop {
            match self.body.read(&mut rest) {
                Ok(0) => break true,
                Ok(_) if budget > 0 => budget -= 1,
                _ => break false,
            }
        };
        // First no hook can fire any more, then look whether one has: else a late one would hit the next call.
        drop(self.hook);
        drop(self.body);
        if ended && !self.abort.fired() {
            self.upstream.give_back(self.caller);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    FirstByte,
    Body,
}

/// `Some(true)` when the read ran out of time.
fn ureq_timeout(error: &std::io::Error) -> Option<bool> {
    let inner = error.get_ref()?.downcast_ref::<ureq::Error>()?;
    Some(matches!(inner, ureq::Error::Timeout(_)))
}

/// True when a kept-alive connection turned out to be dead.
fn is_broken(error: &ureq::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    let ureq::Error::Io(error) = error else {
        return false;
    };
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof)
}

fn cause(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the connection was closed without an answer".into()
        }
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::HostNotFound => "the host name is unknown".into(),
        error => error.to_string(),
    }
}

/// An HTTP(S) proxy named by the environment; we have no SOCKS.
fn proxy_from_environment() -> Option<Proxy> {
    let proxy = Proxy::try_from_env()?;
    if matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) {
        return Some(proxy);
    }
    log::warn!("the proxy named by the environment is not an HTTP proxy; model providers are called directly");
    None
}

/// The message in an error body: OpenAI's, Anthropic's, a plain `message` or `detail`, or a short text.
fn error_text(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    if let Ok(parsed) = serde_json::from_str::<ErrorBody>(text.trim()) {
        return parsed.text();
    }
    let text = text.trim();
    (!text.is_empty() && !text.starts_with('<')).then(|| text.to_string())
}

#[derive(serde::Deserialize)]
struct ErrorBody {
    error: Option<ErrorObject>,
    message: Option<String>,
    detail: Option<Box<serde_json::value::RawValue>>,
}

impl ErrorBody {
    fn text(self) -> Option<String> {
        let object = self.error.map(|error| error.text());
        object.or(self.message).or_else(|| self.detail.map(|raw| raw.get().trim_matches('"').to_string()))
    }
}

/// The `error` member, as the various servers write it.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
pub enum ErrorObject {
    Text(String),
    Object {
        message: Option<String>,
        #[serde(rename = "type")]
        kind: Option<String>,
        code: Option<ErrorCode>,
    },
}

#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
pub enum ErrorCode {
    Number(u16),
    Name(String),
}

impl ErrorObject {
    /// Code and message, so that the words which tell an empty account from a busy one are there.
    pub fn text(&self) -> String {
        match self {
            ErrorObject::Text(text) => text.clone(),
            ErrorObject::Object { message, kind, code } => {
                let message = message.clone().unwrap_or_default();
                match (code, kind) {
                    (Some(ErrorCode::Name(code)), _) if !message.contains(code.as_str()) => {
                        format!("{code}: {message}")
                    }
                    (_, Some(kind)) if message.is_empty() => kind.clone(),
                    _ => message,
                }
            }
        }
    }

    /// The HTTP status this would have had outside a stream.
    pub fn status(&self) -> u16 {
        let ErrorObject::Object { kind, code, .. } = self else {
            return 500;
        };
        let named = |name: &str| match name {
            "rate_limit_error" | "rate_limit_exceeded" | "insufficient_quota" | "requests" | "tokens" => Some(429),
            "overloaded_error" => Some(529),
            "authentication_error" | "invalid_api_key" => Some(401),
            "permission_error" => Some(403),
            "billing_error" => Some(402),
            "not_found_error" | "model_not_found" => Some(404),
            "invalid_request_error" | "context_length_exceeded" => Some(400),
            "request_too_large" => Some(413),
            _ => None,
        };
        match code {
            Some(ErrorCode::Number(number @ 400..=599)) => Some(*number),
            Some(ErrorCode::Name(name)) => name.parse().ok().filter(|code| (400..600).contains(code)).or(named(name)),
            _ => None,
        }
        .or_else(|| kind.as_deref().and_then(named))
        .unwrap_or(500)
    }
}

/// Milliseconds from `retry-after-ms` or `retry-after` (seconds or a date).
fn retry_after(milliseconds: &str, other: &str) -> Option<u64> {
    if let Ok(milliseconds) = milliseconds.trim().parse::<f64>() {
        return Some(milliseconds.max(0.0) as u64);
    }
    if let Ok(seconds) = other.trim().parse::<f64>() {
        return Some((seconds.max(0.0) * 1000.0) as u64);
    }
    let at = jiff::fmt::rfc2822::parse(other.trim()).ok()?.timestamp();
    let left = at.as_millisecond() - jiff::Timestamp::now().as_millisecond();
    Some(u64::try_from(left).unwrap_or(0))
}

/// Scheme and host of a URL: its path may be long and its query may be secret.
fn host_only(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://{}", settings::host_of(url)),
        None => "another path".into(),
    }
}

/// At most `cap` bytes of `text`, cut between characters.
pub fn cut(text: &str, cap: usize) -> String {
    let end = (0..=cap.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[..end].to_string()
}

/// Per direction and connection. A head or a delta fits many times; long prompts go out in slices.
const BUFFER: usize = 16 << 10;

/// What one read takes out of the connection's buffer.
const READ_SIZE: usize = 8 << 10;

/// Kept-alive connections per upstream: more runs than this at once are rare on one host, and each costs 32 KiB.
const IDLE_CAP: usize = 16;

/// Most servers close idle connections after 60 s or more; those that close after 5 s are noticed when we look.
const IDLE_AGE: Duration = Duration::from_secs(50);

/// A polite server ends the body together with its last event; an impolite one must not delay the answer.
const DRAIN_TIME: Duration = Duration::from_millis(20);

/// What an error text may keep of the upstream's words.
const MESSAGE_CAP: usize = 512;

/// Enough of an error body to find its message.
const ERROR_CAP: usize = 16 << 10;

/// A model list: OpenRouter's, the longest, has under a megabyte.
const DOCUMENT_CAP: usize = 8 << 20;

/// A whole answer with all its framing: far beyond what any model writes, far below what hurts.
const ANSWER_CAP: u64 = 64 << 20;

/// Shorter header values (`1`, `true`) are not secrets, and blanking them would garble every message.
const SHORTEST_SECRET: usize = 8;
