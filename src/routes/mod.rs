//! HTTP on the gateway's port: one table of routes, one file per surface, one way to say no.
//!
//! A request is attributed to a client (or refused when a proxy nobody trusts is between), matched against the table,
//! authenticated by its row's class, bounded by its row's body limit, and handled on the connection's own thread.
//! Handlers reach the state by asking; they never hold it.

mod admin_rpc;
mod asking;
mod channels;
mod chat_completions;
mod chat_request;
mod documents;
mod embeddings;
mod error;
mod following;
mod hooks;
mod join;
#[cfg(test)]
mod manual;
mod metrics;
mod models;
mod probes;
mod responses;
mod responses_request;
mod session_pages;
pub mod table;
mod tools_invoke;
mod ui;
mod untrusted;
mod url_inputs;

use std::sync::Arc;
use std::time::Instant;

use tiny_http::{Header, Method, Response};

pub use error::HttpError;
pub use hooks::Hooks;
pub use hooks::policy::problem as hooks_problem;

use crate::agent::Engine;
use crate::auth::{self, Caller, PeerFacts};
use crate::config::Config;
use crate::config::gateway::Hsts;
use crate::net::{App, Exchange, Head, Opening, Reply, Verdict};
use crate::rpc::admin::Admin;
use crate::rpc::{Conversation, Desk};
use crate::sys::{clock, random};
use crate::wire::json::lift::{Lifted, Lifter};
use crate::wire::scope::{Scope, Scopes};

/// The program behind the port.
pub struct Site {
    pub desk: Desk,
    /// Providers, tools and the store, for what is answered without a run.
    pub engine: Arc<Engine>,
    pub admin: Admin,
    pub hooks: Hooks,
    /// Set when everything is up; until then readiness says no.
    pub ready: Arc<std::sync::atomic::AtomicBool>,
}

/// How a route decides who may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Everybody.
    Open,
    /// The shared secret as a bearer token; what more is needed the handler knows.
    Operator,
    /// The same, and this scope.
    Needs(Scope),
}

/// One request on its way to its handler.
pub struct Visit<'a> {
    pub site: &'a Site,
    pub config: Arc<Config>,
    pub peer: PeerFacts,
    /// Known on routes that ask for it, and where a secret was shown unasked.
    pub caller: Option<Caller>,
    /// What the pattern's hole matched, percent-decoded.
    pub rest: String,
    /// Body bytes the route takes.
    pub limit: usize,
}

impl App for Site {
    fn http(&self, exchange: &mut Exchange<'_>) -> Reply {
        let head = *exchange.method() == Method::Head;
        let reply = self.serve(exchange).unwrap_or_else(|error| error.reply());
        // A head without a body is the printer's work; a stream has no place there.
        if head && matches!(reply, Reply::Stream(..)) {
            return Reply::text(405, "Method Not Allowed");
        }
        reply
    }

    fn socket(&self, opening: Opening) -> Verdict {
        let policy = self.desk.shared.policy.get();
        let attributed = auth::attribute(opening.peer.ip(), &policy, |name| values(&opening.head, name));
        match attributed {
            Ok(peer) => Verdict::Talk(Box::new(Conversation::new(self.desk.clone(), opening.id, opening.mail, peer))),
            Err(why) => Verdict::Refuse(HttpError::unwelcome(why).reply()),
        }
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        let fixed = [
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Permissions-Policy", "camera=(), microphone=(self), geolocation=()"),
        ];
        let mut headers: Vec<_> = fixed.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        let config = self.desk.shared.config.get();
        if let Some(Hsts::Value(value)) = &config.gateway.http.security_headers.strict_transport_security {
            headers.push(("Strict-Transport-Security", value.trim().to_owned()));
        }
        headers
    }
}

impl Site {
    fn serve(&self, exchange: &mut Exchange<'_>) -> Result<Reply, HttpError> {
        let policy = self.desk.shared.policy.get();
        let peer = auth::attribute(exchange.peer().ip(), &policy, |name| values(exchange.head(), name))
            .map_err(HttpError::unwelcome)?;
        let config = self.desk.shared.config.get();
        let (route, rest) = table::find(exchange.method(), exchange.path(), &config)?;
        let mut visit = Visit { site: self, config, caller: None, peer, rest, limit: route.limit };
        match route.auth {
            Auth::Operator => visit.caller = Some(self.operator(&policy, &visit.peer, exchange)?),
            Auth::Needs(scope) => {
                visit.caller = Some(self.operator(&policy, &visit.peer, exchange)?);
                visit.needs(scope)?;
            }
            Auth::Open
                if exchange.header("authorization").is_some()
                    && policy.bearer(&visit.peer, exchange.header("authorization")) =>
            {
                visit.caller = Some(caller(&policy, &visit.peer, exchange));
            }
            Auth::Open => {}
        }
        let suspended = self.desk.shared.suspended.load(std::sync::atomic::Ordering::Relaxed);
        if suspended && table::works(route.pattern) {
            return Err(HttpError::suspended());
        }
        (route.handler)(&visit, exchange)
    }

    /// Checks the bearer token; guesses are counted with those on WebSockets. A user a trusted proxy vouches for needs
    /// none, and has the scopes of the configuration, at most those the request names.
    fn operator(&self, policy: &auth::Policy, peer: &PeerFacts, exchange: &Exchange<'_>) -> Result<Caller, HttpError> {
        let unasked = policy.mode == auth::Mode::None || !peer.user.is_nobody();
        let foreign = peer.origin.as_deref().is_some_and(|o| !policy.origins.allow(o, peer.host.as_deref()));
        if unasked && (foreign || exchange.header("sec-fetch-site") == Some("cross-site")) {
            return Err(HttpError::cross_site());
        }
        if let (auth::Vouched::User(user), Some(rules)) = (&peer.user, &policy.proxy) {
            let own = rules.scopes_of(user).unwrap_or_else(Scopes::operator_default);
            let scopes = match values(exchange.head(), "x-openclaw-scopes")[..] {
                [] => own,
                [names] => own.limit(Scopes::parse(names.split([',', ' ']).map(str::trim))),
                _ => Scopes::NONE,
            };
            return Ok(Caller::http_user(scopes, peer.local));
        }
        let (attempts, now) = (&self.desk.shared.attempts, Instant::now());
        let (direct, rates) = (peer.local && peer.origin.is_none(), &policy.rates);
        if let Some(ip) = peer.ip
            && let auth::Verdict::Locked(rest) = attempts.may_try(ip, auth::Class::Shared, direct, rates, now)
        {
            return Err(HttpError::locked_out(rest.as_secs().max(1)));
        }
        let shown = exchange.header("authorization");
        if policy.bearer(peer, shown) {
            if let Some(ip) = peer.ip {
                attempts.succeeded(ip, auth::Class::Shared);
            }
            return Ok(caller(policy, peer, exchange));
        }
        if let Some(token) = policy.token(peer, shown, clock::now_ms()) {
            // It has what the configuration says, at most what the request names.
            let scopes = match values(exchange.head(), "x-openclaw-scopes")[..] {
                [] => token.scopes,
                [names] => token.scopes.limit(Scopes::parse(names.split([',', ' ']).map(str::trim))),
                _ => Scopes::NONE,
            };
            return Ok(Caller { token: Some(token), ..Caller::http_user(scopes, peer.local) });
        }
        if let (Some(ip), Some(_)) = (peer.ip, shown)
            && !(direct && rates.exempt_loopback)
        {
            // A direct local program is slowed on its WebSocket; here its next try is refused as plainly.
            attempts.failed(ip, auth::Class::Shared, direct, rates, now);
        }
        Err(HttpError::unauthorized())
    }
}

/// Who showed the secret. Where there is none, a caller may say that it wants less than everything.
fn caller(policy: &auth::Policy, peer: &PeerFacts, exchange: &Exchange<'_>) -> Caller {
    let mut caller = Caller::http(peer.local);
    if policy.mode == auth::Mode::None
        && let Some(declared) = exchange.header("x-openclaw-scopes")
    {
        caller.scopes = Scopes::parse(declared.split(',').map(str::trim));
    }
    caller
}

/// The values of a header, in the order they came.
fn values<'h>(head: &'h Head, name: &str) -> Vec<&'h str> {
    head.headers().filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

impl Visit<'_> {
    pub fn allows(&self, scope: Scope) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.scopes.allows(scope))
    }

    pub fn needs(&self, scope: Scope) -> Result<(), HttpError> {
        if self.allows(scope) { Ok(()) } else { Err(HttpError::missing_scope(scope)) }
    }

    /// The body, within the route's limit. What a page of another site may send without being asked is no JSON (T03).
    pub fn body(&self, exchange: &mut Exchange<'_>) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        self.take_body(exchange, &mut |piece| body.extend_from_slice(piece)).map(|()| body)
    }

    /// The same for a body that may hold pictures: its long strings are held once.
    pub fn lifted_body(&self, exchange: &mut Exchange<'_>) -> Result<Lifted, HttpError> {
        let mut lifter = Lifter::new(&random::uuid());
        self.take_body(exchange, &mut |piece| lifter.push(piece))?;
        lifter.end().map_err(|why| HttpError::invalid(format!("Invalid JSON: {why}")))
    }

    fn take_body(&self, exchange: &mut Exchange<'_>, take: &mut dyn FnMut(&[u8])) -> Result<(), HttpError> {
        let kind = exchange.header("content-type").and_then(|kind| kind.split(';').next()).unwrap_or_default();
        if self.caller.is_some() && kind.trim().eq_ignore_ascii_case("text/plain") {
            let told = HttpError::own(415, "invalid_request_error", "Content-Type must be application/json");
            return Err(told.and_close());
        }
        exchange.take_body(self.limit, take).map_err(|fault| HttpError::of_fault(&fault))
    }
}

/// A JSON answer.
fn json(status: u16, body: String) -> Reply {
    Reply::full(
        Response::from_data(body.into_bytes())
            .with_status_code(status)
            .with_header(field("Content-Type", "application/json; charset=utf-8"))
            .with_header(field("Cache-Control", "no-store")),
    )
}

/// A value as a JSON answer.
fn json_of(status: u16, value: &impl serde::Serialize) -> Result<Reply, HttpError> {
    serde_json::to_string(value).map(|text| json(status, text)).map_err(|_| HttpError::internal())
}

fn field(name: &'static str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("values written here are printable ASCII")
}
