//! One WebSocket client, top to bottom: challenge, connect, requests, end.
//!
//! Runs on the connection's own thread. It owns what only this client can use up: its handshake, its write limits, its
//! count of refusals. What touches the state goes to the state thread, what may block goes to the pool.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, never};
use serde::Serialize;

use super::table::{self, Method, Need};
use super::writes::Writes;
use crate::auth::devices::Admission;
use crate::auth::{self, Caller, Checked, Class, PeerFacts, Refusal, Role, Verdict};
use crate::hub::devices::SAVE_WAIT;
use crate::hub::event::{Call, Event, Job, Opened, PeerEvent};
use crate::hub::ticket::Pending;
use crate::hub::{Hub, Pool, Shared, Ticket};
use crate::net::{CloseReason, Mailbox, Next, Talk};
use crate::sys::{clock, random};
use crate::wire::connect::{ConnectChallenge, ConnectParams};
use crate::wire::decode;
use crate::wire::error::RpcError;
use crate::wire::event;
use crate::wire::frame::{self, BadFrame, Request, cut};
use crate::wire::scope::Scope;

/// Requests of one client that may be open at once.
const PENDING: usize = 256;
/// Refusals for the wrong role after which a client is sent away.
const ROLE_ERRORS: u32 = 11;

/// What all conversations share.
#[derive(Clone)]
pub struct Desk {
    pub hub: Hub,
    pub pool: Pool,
    pub shared: Arc<Shared>,
}

/// A client that may come in.
struct Entry {
    caller: Caller,
    method: &'static str,
    admission: Option<Admission>,
}

impl Entry {
    /// What it proved itself with.
    fn class(&self) -> Class {
        match self.method {
            "device-token" => Class::Device,
            "bootstrap-token" => Class::Bootstrap,
            _ => Class::Shared,
        }
    }
}

/// The state of one client.
pub struct Conversation {
    desk: Desk,
    conn: u64,
    mail: Mailbox,
    peer: PeerFacts,
    nonce: String,
    pending: Pending,
    caller: Option<Arc<Caller>>,
    writes: Writes,
    role_errors: u32,
}

impl Conversation {
    pub fn new(desk: Desk, conn: u64, mail: Mailbox, peer: PeerFacts) -> Conversation {
        Conversation {
            desk,
            conn,
            mail,
            peer,
            nonce: random::uuid(),
            pending: Pending::default(),
            caller: None,
            writes: Writes::default(),
            role_errors: 0,
        }
    }

    /// The first frame must be a `connect` that is granted.
    fn handshake(&mut self, text: &str) -> Next {
        let request = match Request::parse(text) {
            Ok(request) => request,
            Err(BadFrame::NotJson) => return close(1000, ""),
            Err(BadFrame::NotRequest { why, .. }) => {
                log::info!(target: "ws", "invalid handshake conn={} why={:?}", self.conn, cut(&why, 200));
                return close(1008, "invalid request frame");
            }
        };
        let received = Instant::now();
        let ticket = Ticket::new(self.mail.clone(), request.id, "connect", self.pending.clone(), received);
        if request.method != "connect" {
            let message = "invalid handshake: first request must be connect";
            return refuse(ticket, Some(RpcError::invalid(message)), 1008, message.into());
        }
        let params =
            match request.params.map_or(Err("must be object".into()), |raw| decode::object::<ConnectParams>(raw.get()))
            {
                Ok(params) => params,
                Err(why) => {
                    let message = format!("invalid connect params: {why}");
                    return refuse(ticket, Some(RpcError::invalid(message.clone())), 1008, message);
                }
            };
        match self.decide(&params, received) {
            Ok(entry) => self.admit(entry, ticket),
            Err(refusal) => {
                let reason = refusal.error.as_ref().map_or("", |e| e.message.as_str());
                log::info!(
                    target: "ws",
                    "unauthorized conn={} remote={} client={} v{} reason={:?}",
                    self.conn,
                    self.peer.ip.map_or_else(String::new, |ip| ip.to_string()),
                    params.client.id.as_str(),
                    cut(&params.client.version.escape_debug().to_string(), 64),
                    cut(reason, 200)
                );
                refuse(ticket, refusal.error, refusal.close_code, refusal.close_text)
            }
        }
    }

    fn decide(&self, params: &ConnectParams, now: Instant) -> Result<Entry, Refusal> {
        let shared = &self.desk.shared;
        let (policy, attempts) = (shared.policy.get(), &shared.attempts);
        let direct = self.peer.local && self.peer.origin.is_none();
        let classes = Class::offered(params.auth.as_ref());
        let locked = || {
            let ip = self.peer.ip?;
            classes.iter().find_map(|class| match attempts.may_try(ip, *class, direct, &policy.rates, now) {
                Verdict::Locked(rest) => Some(Refusal::locked_out(u64::try_from(rest.as_millis()).unwrap_or(u64::MAX))),
                Verdict::Try => None,
            })
        };
        if let Some(refusal) = locked() {
            return Err(refusal);
        }
        let checked = auth::check_connect(&policy, &self.peer, params, self.conn, &self.nonce, clock::now_ms());
        let decision = checked.and_then(|checked| self.settle(checked));
        let Some(ip) = self.peer.ip else { return decision };
        match &decision {
            Ok(entry) => {
                // Guesses made side by side do not count as one (T14).
                if let Some(refusal) = locked() {
                    return Err(refusal);
                }
                attempts.succeeded(ip, entry.class());
            }
            Err(refusal) if refusal.guess => {
                let held = classes.iter().map(|class| attempts.failed(ip, *class, direct, &policy.rates, now));
                hold_back(held.max().unwrap_or_default());
            }
            Err(_) => {}
        }
        decision
    }

    /// Lets the register decide about a device, and waits until what it decided is written down.
    fn settle(&self, checked: Checked) -> Result<Entry, Refusal> {
        let Checked { mut caller, method, arrival } = checked;
        let Some(arrival) = arrival else { return Ok(Entry { caller, method, admission: None }) };
        let asked = self.desk.hub.ask("device connect", move |state, now| state.arrive(&arrival, now));
        let (decision, saved) = asked.map_err(|_| Refusal::stopping())?;
        let admission = decision?;
        if let Some(saved) = saved
            && saved.recv_timeout(SAVE_WAIT).is_err()
        {
            log::warn!(target: "ws", "the record of a device was not written in time conn={}", self.conn);
        }
        caller.scopes = admission.scopes;
        Ok(Entry { caller, method: admission.method, admission: Some(admission) })
    }

    fn admit(&mut self, entry: Entry, ticket: Ticket) -> Next {
        let caller = Arc::new(entry.caller);
        let (ready, told) = bounded(1);
        let opened = Opened {
            caller: caller.clone(),
            mail: self.mail.clone(),
            ticket,
            auth_method: entry.method,
            admission: entry.admission,
            ready,
        };
        if self.desk.hub.post(Event::Peer(self.conn, PeerEvent::Opened(Box::new(opened)))).is_err() {
            return close(1012, "service restart");
        }
        self.caller = Some(caller);
        // Whatever the client sent behind its connect is answered after hello-ok. The state thread always answers or
        // ends, and then this fails.
        let _ = told.recv();
        Next::Admit
    }

    fn request(&mut self, caller: &Arc<Caller>, text: &str) -> Next {
        let received = Instant::now();
        let request = match Request::parse(text) {
            Ok(request) => request,
            Err(BadFrame::NotJson) => return Next::Continue,
            Err(BadFrame::NotRequest { id, why }) => {
                let error = RpcError::invalid(format!("invalid request frame: {why}"));
                self.mail.text(frame::response(id.as_deref().unwrap_or("invalid"), &Err(error)));
                return Next::Continue;
            }
        };
        let method = table::find(&request.method);
        let name = method.map_or("unknown", |m| m.name);
        let crowded = self.pending.load(Ordering::Relaxed) >= PENDING;
        let ticket = Ticket::new(self.mail.clone(), request.id.clone(), name, self.pending.clone(), received);
        if request.method == "connect" {
            ticket.answer(Err(RpcError::invalid("connect is only valid as the first request")));
            return Next::Continue;
        }
        if crowded {
            ticket.answer(Err(RpcError::busy()));
            return Next::Continue;
        }
        if self.desk.shared.suspended.load(Ordering::Relaxed) && !request.method.starts_with("gateway.suspend.") {
            ticket.answer(Err(crate::hub::suspend::refusal(cut(&request.method, 64))));
            return Next::Continue;
        }
        if let Some(refused) = self.wrong_role(caller, method) {
            ticket.answer(Err(refused));
            self.role_errors += 1;
            if self.role_errors >= ROLE_ERRORS {
                return close(1008, "repeated unauthorized calls");
            }
            return Next::Continue;
        }
        match self.prepare(caller, method, &request, received) {
            Ok((method, job)) => self.dispatch(caller, method, job, ticket),
            Err(error) => {
                ticket.answer(Err(error));
                Next::Continue
            }
        }
    }

    /// Nodes have methods of their own; operators have the rest.
    fn wrong_role(&self, caller: &Caller, method: Option<&'static Method>) -> Option<RpcError> {
        let need = method?.need;
        let fits = need == Need::Any || (need == Need::Node) == (caller.role == Role::Node);
        (!fits).then(|| RpcError::invalid(format!("unauthorized role: {}", caller.role.as_str())))
    }

    fn prepare(
        &mut self,
        caller: &Caller,
        method: Option<&'static Method>,
        request: &Request<'_>,
        now: Instant,
    ) -> Result<(&'static Method, Job), RpcError> {
        let allowed = |scope: Scope| match caller.scopes.allows(scope) {
            true => Ok(()),
            false => Err(RpcError::missing_scope(scope.name())),
        };
        let Some(method) = method else {
            // Who may not do everything learns nothing about what there is.
            allowed(Scope::Admin)?;
            let name = cut(&request.method, 64);
            return Err(RpcError::invalid(format!("unknown method: {name}")));
        };
        if let Need::Scope(scope) = method.need {
            allowed(scope)?;
        }
        if method.write
            && let Err(wait) = self.writes.admit(method.name, now)
        {
            return Err(too_many(method.name, wait));
        }
        let prepared = method.prepare(request.params)?;
        if let (Need::Dynamic, Some(scope)) = (method.need, prepared.need) {
            allowed(scope)?;
        }
        Ok((method, prepared.job))
    }

    fn dispatch(&self, caller: &Arc<Caller>, method: &'static Method, job: Job, ticket: Ticket) -> Next {
        if let Job::Task(_) = job {
            self.desk.pool.submit(job, caller.clone(), ticket);
            return Next::Continue;
        }
        let call = Call { method: method.name, caller: caller.clone(), job, ticket };
        match self.desk.hub.post(Event::Peer(self.conn, PeerEvent::Request(Box::new(call)))) {
            Ok(()) => Next::Continue,
            Err(_) => close(1012, "service restart"),
        }
    }
}

impl Talk for Conversation {
    fn opened(&mut self) {
        let challenge =
            ConnectChallenge { nonce: &self.nonce, ts: clock::now_ms(), capabilities: &["model-catalog-snapshot"] };
        self.mail.text(frame::direct_event(event::CONNECT_CHALLENGE.name, &challenge));
    }

    fn text(&mut self, text: &str) -> Next {
        match self.caller.clone() {
            None => self.handshake(text),
            Some(caller) => self.request(&caller, text),
        }
    }

    fn over(&mut self, why: &CloseReason) {
        if self.caller.is_some() {
            log::debug!(target: "ws", "closed conn={} code={} reason={:?}", self.conn, why.code(), why.explain());
            // The state thread may be gone: then there is nobody left to tell.
            let _ = self.desk.hub.post(Event::Peer(self.conn, PeerEvent::Gone));
            return;
        }
        let shown = |text: &Option<String>| {
            text.as_deref().map_or_else(|| "n/a".into(), |t| cut(&t.escape_debug().to_string(), 128).to_string())
        };
        log::info!(
            target: "ws",
            "closed before connect conn={} remote={} origin={} host={} code={} reason={:?}",
            self.conn,
            self.peer.ip.map_or_else(String::new, |ip| ip.to_string()),
            shown(&self.peer.origin),
            shown(&self.peer.host),
            why.code(),
            why.explain()
        );
    }
}

/// Makes a guesser wait. The connection's own thread does the waiting; it has nothing else to do.
fn hold_back(delay: Duration) {
    if !delay.is_zero() {
        // Nothing ever arrives: this returns at the deadline.
        let _ = never::<()>().recv_timeout(delay);
    }
}

fn close(code: u16, text: &'static str) -> Next {
    Next::Close(CloseReason::policy(code, text))
}

/// Answers, then closes: nobody is sent away without a word, except where the protocol says so.
fn refuse(ticket: Ticket, error: Option<RpcError>, code: u16, text: String) -> Next {
    match error {
        Some(error) => ticket.answer(Err(error)),
        None => ticket.forget(),
    }
    Next::Close(CloseReason::policy(code, text))
}

pub(super) fn too_many(method: &str, wait: Duration) -> RpcError {
    #[derive(Serialize)]
    struct Details<'a> {
        method: &'a str,
        limit: &'static str,
    }
    let seconds = wait.as_millis().div_ceil(1000);
    RpcError::unavailable(format!("rate limit exceeded for {method}; retry after {seconds}s"))
        .details(&Details { method, limit: "30 per 60s" })
        .retry_after(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}
