//! The one way to get, or to tell, what a URL points at that a user, a model or a sender chose (T38, T39).
//!
//! A URL is taken apart strictly, its host is looked up once, every answer is judged, and the connection goes to those
//! very addresses: a name that means something else a moment later changes nothing. Redirects are judged the same way,
//! and what the caller sent along (headers, a body) does not leave the origin it was meant for. Bytes are counted as
//! they arrive, whatever was promised, and the whole has one deadline.
//!
//! Used by image and file URLs of requests, by webhooks of schedules, and by messengers for media. Proxies of the
//! environment are not used: what a proxy looks up, nobody here can judge. Base URLs of model providers are the owner's
//! own and do not pass here.
//!
//! Invariants: nothing is sent to an address that [`Policy`] did not allow; at most [`AT_ONCE`] fetches run, the others
//! are told to come back; no error holds more of a URL than its origin.

mod address;
#[cfg(test)]
mod tests;
mod url;

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use ureq::unversioned::transport::time;
use ureq::unversioned::transport::{Connector, NextTimeout};
use ureq::{Agent, Body, Timeout};

use self::address::Kind;
pub use self::url::{Host, Target};
use super::dial::{Dial, Line, Patience, Pinned, Tls, client_config};
use crate::sys::abort::{Abort, HookGuard};

/// Which hosts may be fetched from. The default is every public one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Names, `*.names` and addresses; empty: no restriction by name. Being listed opens nothing that is private.
    pub only: Vec<String>,
    /// Names, `*.names` and addresses that are refused before anything is looked up.
    pub blocked: Vec<String>,
    /// The same, of private hosts that may be reached all the same.
    pub exempt: Vec<String>,
    /// Every private host may be reached.
    pub private: bool,
}

/// One fetch.
#[derive(Debug, Clone)]
pub struct Fetch<'a> {
    pub url: &'a str,
    /// `None` is a GET; else a POST of these bytes.
    pub body: Option<&'a [u8]>,
    /// Not sent to another origin than the URL's. Values may be credentials.
    pub headers: &'a [(&'a str, &'a str)],
    pub policy: &'a Policy,
    pub limits: Limits,
}

/// How much and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// Lookup, connection, redirects and body together.
    pub time: Duration,
    pub redirects: u32,
}

/// An answer, of whatever status.
#[derive(Debug, PartialEq, Eq)]
pub struct Fetched {
    pub status: u16,
    /// In lower case, parameters included; empty when the server did not say.
    pub content_type: String,
    pub body: Vec<u8>,
}

/// Why nothing was fetched. Shown to users: no path, no query, no header.
#[derive(Debug)]
pub enum Error {
    /// The URL itself, or one it redirects to.
    Url(&'static str),
    /// Not a host that may be fetched from; its name or address.
    Refused(String),
    Redirects(u32),
    /// A redirect would carry a body to another origin.
    Astray,
    /// Bytes that were allowed.
    TooLarge(u64),
    /// The whole took longer than this.
    TooSlow(Duration),
    /// The host did not answer, or not in HTTP.
    Failed {
        origin: String,
        cause: String,
    },
    /// What was fetched could not be kept.
    Kept(io::Error),
    /// Too many at once.
    Busy,
    Aborted,
}

/// Fetches into memory.
pub fn fetch(request: &Fetch<'_>, abort: &Abort) -> Result<Fetched, Error> {
    let mut body = Vec::new();
    let (status, content_type) = fetch_into(request, abort, &mut body)?;
    Ok(Fetched { status, content_type, body })
}

/// Fetches into `sink`, piece by piece; gives status and content type. After an error the sink holds a part.
pub fn fetch_into(request: &Fetch<'_>, abort: &Abort, sink: &mut dyn Write) -> Result<(u16, String), Error> {
    let _place = Place::take()?;
    let line = Line::new();
    let going = Going { request, abort, line, end: Instant::now() + request.limits.time };
    let mut target = Target::parse(request.url).map_err(Error::Url)?;
    let mut message = Message { body: request.body, headers: request.headers };
    for _ in 0..=request.limits.redirects {
        let (response, _hook) = going.hop(&target, &message)?;
        let Some(location) = location(&response) else {
            return going.deliver(&target, response, sink);
        };
        let next = target.join(&location).map_err(Error::Url)?;
        message = message.after(response.status().as_u16(), target.same_origin(&next))?;
        target = next;
    }
    Err(Error::Redirects(request.limits.redirects))
}

/// Whether a URL may be fetched as far as it can be known without looking anything up.
pub fn check(url: &str, policy: &Policy) -> Result<Target, Error> {
    let target = Target::parse(url).map_err(Error::Url)?;
    policy.admits(&target.host)?;
    Ok(target)
}

/// A fetch under way.
struct Going<'a> {
    request: &'a Fetch<'a>,
    abort: &'a Abort,
    line: Arc<Line>,
    end: Instant,
}

/// What is sent along on this hop.
#[derive(Clone, Copy)]
struct Message<'a> {
    body: Option<&'a [u8]>,
    headers: &'a [(&'a str, &'a str)],
}

impl<'a> Message<'a> {
    /// What a redirect leaves of it: nothing that was meant for another origin.
    fn after(self, status: u16, same_origin: bool) -> Result<Message<'a>, Error> {
        let body = self.body.filter(|_| matches!(status, 307 | 308));
        if body.is_some() && !same_origin {
            return Err(Error::Astray);
        }
        Ok(Message { body, headers: if same_origin { self.headers } else { &[] } })
    }
}

impl Going<'_> {
    /// One request to one host, up to the head of its answer; the guard is what still ends it.
    fn hop(&self, target: &Target, message: &Message<'_>) -> Result<(Response<Body>, HookGuard), Error> {
        let policy = self.request.policy;
        policy.admits(&target.host)?;
        let line = self.line.clone();
        let _lookup = self.abort.on_fire(move || line.cut());
        let after = time::Duration::from(self.left()?);
        let timeout = NextTimeout { after, reason: Timeout::Resolve, ..NextTimeout::default() };
        let found = self.line.look_up(&target.host.text(), target.port, timeout);
        let addresses = found.map_err(|error| self.explain(target, error))?;
        policy.judge(&target.host, &addresses)?;
        let agent = self.agent(addresses);
        let (line, own) = (self.line.clone(), agent.clone());
        let hook = self.abort.on_fire(move || {
            line.cut();
            own.shutdown();
        });
        self.line.wait(Patience::Until(self.end));
        let left = Some(self.left()?);
        let request = request_for(target, message)?;
        let config = agent.configure_request(request).timeout_connect(left).timeout_per_write(left);
        let response = agent.run(config.build()).map_err(|error| self.explain(target, error))?;
        Ok((response, hook))
    }

    fn agent(&self, addresses: Vec<SocketAddr>) -> Agent {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("openclaw/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("")
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .max_response_header_size(BUFFER)
            .max_idle_connections(0)
            .build();
        let connector = ().chain(Dial(self.line.clone())).chain(Tls(client_config));
        Agent::with_parts(config, connector, Pinned(addresses))
    }

    /// The body, counted.
    fn deliver(&self, target: &Target, response: Response<Body>, sink: &mut dyn Write) -> Result<(u16, String), Error> {
        let limit = self.request.limits.bytes;
        let status = response.status().as_u16();
        let content_type = text(response.headers(), "content-type").to_ascii_lowercase();
        let promised = text(response.headers(), "content-length").parse::<u64>().unwrap_or(0);
        if promised > limit {
            return Err(Error::TooLarge(limit));
        }
        let mut body = response.into_body().into_reader();
        let mut buffer = [0u8; PIECE];
        let mut taken = 0;
        loop {
            let amount = match body.read(&mut buffer) {
                Ok(0) => return Ok((status, content_type)),
                Ok(amount) => amount,
                Err(error) => return Err(self.explain(target, error.into())),
            };
            taken += amount as u64;
            if taken > limit {
                return Err(Error::TooLarge(limit));
            }
            self.left()?;
            sink.write_all(&buffer[..amount]).map_err(Error::Kept)?;
        }
    }

    /// The time that is left, unless there is none or nobody wants the result any more.
    fn left(&self) -> Result<Duration, Error> {
        if self.abort.fired() {
            return Err(Error::Aborted);
        }
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Error::TooSlow(self.request.limits.time)) } else { Ok(left) }
    }

    fn explain(&self, target: &Target, error: ureq::Error) -> Error {
        let cause = match error {
            _ if self.abort.fired() => return Error::Aborted,
            ureq::Error::Timeout(_) => return Error::TooSlow(self.request.limits.time),
            ureq::Error::HostNotFound => "the host name is unknown".into(),
            ureq::Error::Io(error) => error.to_string(),
            error => error.to_string(),
        };
        Error::Failed { origin: target.origin(), cause: cause.chars().take(CAUSE).collect() }
    }
}

fn request_for<'b>(target: &Target, message: &Message<'b>) -> Result<Request<&'b [u8]>, Error> {
    let method = if message.body.is_some() { Method::POST } else { Method::GET };
    let mut request = Request::builder().method(method).uri(target.url());
    for (name, value) in message.headers {
        let unfit = |_| Error::Url("a header that goes with the URL cannot be sent");
        let name = HeaderName::try_from(*name).map_err(|_| unfit(()))?;
        let mut value = HeaderValue::try_from(*value).map_err(|_| unfit(()))?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    request.body(message.body.unwrap_or_default()).map_err(|_| Error::Url("the URL cannot be requested"))
}

/// Where an answer sends us, when it does.
fn location(response: &Response<Body>) -> Option<String> {
    let sends = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = text(response.headers(), "location");
    (sends && !location.is_empty()).then(|| location.to_string())
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}

impl Policy {
    /// Judges a host by its name, or an address by itself.
    fn admits(&self, host: &Host) -> Result<(), Error> {
        let listed = |list: &[String]| list.iter().any(|pattern| host.matches(pattern));
        if listed(&self.blocked) || (!self.only.is_empty() && !listed(&self.only)) {
            return Err(Error::Refused(host.text()));
        }
        let kind = match host {
            Host::Address(ip) => address::kind(*ip),
            Host::Name(name) if OWN_NAMES.iter().any(|own| is_or_is_below(name, own)) => Kind::Private,
            Host::Name(_) => Kind::Public,
        };
        if self.allows(host, kind) { Ok(()) } else { Err(Error::Refused(host.text())) }
    }

    /// Judges what a host name turned out to mean: one address that may not be reached spoils the name.
    fn judge(&self, host: &Host, addresses: &[SocketAddr]) -> Result<(), Error> {
        for address in addresses {
            let kind = match (host, address::kind_of_answer(address.ip())) {
                (Host::Address(ip), _) => address::kind(*ip),
                (Host::Name(_), kind) => kind,
            };
            let kind = if kind == Kind::Public && address::is_own(*address) { Kind::Private } else { kind };
            if !self.allows(host, kind) {
                return Err(Error::Refused(host.text()));
            }
        }
        Ok(())
    }

    fn allows(&self, host: &Host, kind: Kind) -> bool {
        match kind {
            Kind::Public => true,
            Kind::Private => self.private || self.exempt.iter().any(|pattern| host.matches(pattern)),
            Kind::Never => false,
        }
    }
}

fn is_or_is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// One of the places for fetches; given back when dropped.
struct Place;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

impl Place {
    fn take() -> Result<Place, Error> {
        let one_more = |taken: usize| (taken < AT_ONCE).then_some(taken + 1);
        let taken = TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.map(|_| Place).map_err(|_| Error::Busy)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Url(what) => f.write_str(what),
            Error::Refused(host) => write!(f, "{host} is not a host that may be fetched from"),
            Error::Redirects(limit) => write!(f, "more than {limit} redirects"),
            Error::Astray => f.write_str("a redirect to another host does not get the body"),
            Error::TooLarge(limit) => write!(f, "more than {limit} bytes"),
            Error::TooSlow(limit) => write!(f, "not finished within {} ms", limit.as_millis()),
            Error::Failed { origin, cause } => write!(f, "{origin}: {cause}"),
            Error::Kept(_) => f.write_str("keep what was fetched"),
            Error::Busy => f.write_str("too many fetches at once"),
            Error::Aborted => f.write_str("aborted"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Kept(error) => Some(error),
            _ => None,
        }
    }
}

/// Names that lead into this host or this house whatever a name server says; metadata services are below `internal`.
const OWN_NAMES: [&str; 6] = ["localhost", "localdomain", "local", "internal", "lan", "home.arpa"];

/// Fetches at once, in the whole process: each may hold what its limit says, and a lookup that hangs keeps a thread.
pub const AT_ONCE: usize = 8;

/// Per direction and connection; also what a head may have.
const BUFFER: usize = 16 << 10;

/// What one read takes.
const PIECE: usize = 8 << 10;

/// Characters of a cause that are shown.
const CAUSE: usize = 200;
