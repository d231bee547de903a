//! Approvals on the state thread: who waits for a decision, who may make it, and what became of it.
//!
//! Something asks ([`State::ask_approval`]): a run that wants to start a command, or a client on behalf of something of
//! its own. The clients that can show it are told; one of them decides, or time runs out, or the asking run is stopped.
//! Whether a command has to be asked about at all is the agent's business (`agent::permission`).
//!
//! Invariants: every approval comes to exactly one end; who asked is told of it once; what waits and what is remembered
//! have caps; a decision is answered when it is on the disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::chat_approvals::Origin;
use super::event::Now;
use super::exec_rules::{RULES, Rules};
use super::peers::Peer;
use super::reviewers::{Reviewers, Showing, may_decide};
use super::timers::Due;
use super::{State, Ticket};
use crate::auth::Caller;
use crate::channels::Target;
use crate::store::{Store, StoreError, approvals as table, kv};
use crate::sys::order;
use crate::sys::{clock, random};
use crate::wire::approval::*;
use crate::wire::error::RpcError;
use crate::wire::event as kinds;
use crate::wire::exec_approvals::{AllowlistEntry, ExecApprovalsFile};
use crate::wire::misfit;
use crate::wire::sorted::Sorted;

/// How long a command of a run waits for a decision.
pub const EXEC_TIME: Duration = Duration::from_secs(30 * 60);
/// Approvals that may wait at once.
const WAITING: usize = 128;
/// Callers that may wait for one decision.
const LISTENERS: usize = 16;
/// Ended ones remembered for `waitDecision`, and the bytes of what they show; older ones are read from the store.
const ENDED: usize = 256;
const ENDED_BYTES: usize = 1 << 20;
/// Rules of one agent; over it the oldest that a decision made gives way.
const ALLOWLIST: usize = 512;
/// Approvals replayed to a client that begins to follow a session.
const REPLAYED: usize = 32;

/// All approvals that wait, and the latest that do not any more. Owned by the state thread.
#[derive(Default)]
pub struct Approvals {
    waiting: Sorted<Arc<str>, Waiting>,
    ended: VecDeque<Arc<ApprovalSnapshot>>,
    ended_bytes: usize,
    pub rules: Arc<Rules>,
}

struct Waiting {
    /// Counts up: lists are in the order of asking.
    number: u64,
    request: ApprovalRequest,
    snapshot: ApprovalSnapshot,
    asker: Asker,
    listeners: Vec<Ticket>,
    grants: Vec<AllowlistEntry>,
    reviewers: Reviewers,
}

/// Who asks, and how that is answered.
pub enum Asker {
    /// The thread of a run; it takes one ruling.
    Run(Sender<Ruling>),
    /// A client. With `two_phase` it is told first that its request was delivered.
    Client { ticket: Ticket, two_phase: bool },
}

/// What is asked for.
pub struct Asked {
    /// The asker's own name for it.
    pub id: Option<String>,
    pub request: ApprovalRequest,
    pub presentation: ApprovalPresentation,
    pub time: Duration,
    pub asker: Asker,
    /// Rules for its agent that `allow-always` adds.
    pub grants: Vec<AllowlistEntry>,
    /// Devices that alone may decide, beside administrators; empty: all that may.
    pub reviewers: Vec<String>,
    /// The conversation it came from.
    pub place: Option<Target>,
    pub showing: Showing,
}

/// How it came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    pub decision: Option<Decision>,
    pub reason: ApprovalReason,
}

/// How an approval comes to its end.
pub(super) struct End<'a> {
    status: ApprovalStatus,
    reason: ApprovalReason,
    decision: Option<Decision>,
    /// Kind and id.
    resolver: (&'static str, &'a str),
}

pub(super) fn decided_by(decision: Decision, name: &str) -> End<'_> {
    End {
        status: if decision == Decision::Deny { ApprovalStatus::Denied } else { ApprovalStatus::Allowed },
        reason: ApprovalReason::User,
        decision: Some(decision),
        resolver: ("runtime", name),
    }
}

impl Approvals {
    /// What a start finds in the store. Rules that cannot be read deny every command until they are replaced; what
    /// waited in the last life of the gateway is cancelled.
    pub fn open(store: &Store) -> Result<Approvals, StoreError> {
        if !store.read("read what waits for approval", table::pending)?.is_empty() {
            let now = clock::now_ms();
            store.write("close abandoned approvals", move |conn| close_abandoned(conn, now))?;
        }
        let text = store.read("read the rules about commands", |conn| kv::get(conn, RULES.0, RULES.1))?;
        let rules = Rules::read(text.as_deref()).unwrap_or_else(|error| {
            log::error!("the rules about commands cannot be read ({error}); no command runs until they are set again");
            Rules::closed()
        });
        Ok(Approvals { rules: Arc::new(rules), ..Approvals::default() })
    }

    /// Those of one kind that wait and that a caller may see, in the order of asking.
    pub fn list(&self, who: &Caller, kind: ApprovalKind) -> Vec<ApprovalRow> {
        let shown = |one: &&Waiting| one.request.kind() == kind && one.reviewers.include(who);
        let mut rows: Vec<&Waiting> = self.waiting.values().filter(shown).collect();
        order::by_key(&mut rows, |one| one.number);
        rows.into_iter().map(Waiting::row).collect()
    }

    /// One that waits.
    pub fn row(&self, who: &Caller, kind: ApprovalKind, id: &str) -> Option<ApprovalRow> {
        let shown = |one: &&Waiting| one.request.kind() == kind && one.reviewers.include(who);
        self.waiting.get(id).filter(shown).map(Waiting::row)
    }

    /// Whether a caller may see it: what does not wait any more is nobody's secret.
    pub fn is_shown(&self, who: &Caller, id: &str) -> bool {
        self.waiting.get(id).is_none_or(|one| one.reviewers.include(who))
    }

    /// One that waits or ended lately.
    pub fn snapshot(&self, id: &str) -> Option<ApprovalSnapshot> {
        let ended = || self.ended.iter().find(|one| one.id == id).map(|one| (**one).clone());
        self.waiting.get(id).map(|one| one.snapshot.clone()).or_else(ended)
    }

    /// What waits in a session.
    pub fn of_session(&self, who: &Caller, key: &str, now_ms: u64) -> SessionApprovalReplay {
        let shown = |one: &&Waiting| one.request.session_key() == Some(key) && one.reviewers.include(who);
        let mut all: Vec<&Waiting> = self.waiting.values().filter(shown).collect();
        order::by_key(&mut all, |one| one.number);
        SessionApprovalReplay {
            session_key: key.to_string(),
            updated_at_ms: now_ms,
            truncated: all.len() > REPLAYED,
            approvals: all.into_iter().take(REPLAYED).map(|one| one.snapshot.clone()).collect(),
        }
    }

    /// One that waits or ended lately, unless devices alone may decide on it.
    pub(super) fn for_chats(&self, id: &str) -> Option<ApprovalSnapshot> {
        let barred = self.waiting.get(id).is_some_and(|one| one.reviewers.are_devices());
        self.snapshot(id).filter(|_| !barred)
    }

    fn remember(&mut self, snapshot: ApprovalSnapshot) -> Arc<ApprovalSnapshot> {
        let snapshot = Arc::new(snapshot);
        self.ended_bytes += size(&snapshot);
        self.ended.push_back(snapshot.clone());
        while self.ended.len() > ENDED || self.ended_bytes > ENDED_BYTES && self.ended.len() > 1 {
            let Some(oldest) = self.ended.pop_front() else { break };
            self.ended_bytes -= size(&oldest);
        }
        snapshot
    }
}

fn size(snapshot: &ApprovalSnapshot) -> usize {
    256 + match &snapshot.presentation {
        ApprovalPresentation::Exec { command_text, warning_text, .. } => {
            command_text.len() + warning_text.as_ref().map_or(0, String::len)
        }
        ApprovalPresentation::Plugin { description, detail, .. } => {
            description.len() + detail.as_ref().map_or(0, String::len)
        }
    }
}

impl Waiting {
    fn row(&self) -> ApprovalRow {
        ApprovalRow {
            id: self.snapshot.id.clone(),
            request: self.request.clone(),
            created_at_ms: self.snapshot.created_at_ms,
            expires_at_ms: self.snapshot.expires_at_ms,
            approval_kind: self.request.kind(),
        }
    }
}

impl State {
    /// Takes a question in. Whoever can decide is told; when nobody can, it is answered at once. The answer names it
    /// when it waits.
    pub fn ask_approval(&mut self, asked: Asked, now: Now) -> Option<Arc<str>> {
        let kind = asked.request.kind();
        let id: Arc<str> = match (asked.id, kind) {
            (Some(own), _) => own.into(),
            (None, ApprovalKind::Plugin) => format!("plugin:{}", random::uuid()).into(),
            (None, _) => random::uuid().into(),
        };
        let full = self.approvals.waiting.len() >= WAITING;
        if full || self.approvals.snapshot(&id).is_some() {
            let error = match full {
                true => RpcError::busy(),
                false => RpcError::invalid("approval id is in use"),
            };
            match asked.asker {
                // Its end of the channel is closed: nobody could be asked.
                Asker::Run(_) => {}
                Asker::Client { ticket, .. } => ticket.answer(Err(error)),
            }
            return None;
        }
        let expires = u64::try_from(asked.time.as_millis()).unwrap_or(u64::MAX);
        let snapshot = ApprovalSnapshot {
            url_path: format!("/approve/{}", escaped(&id)),
            id: id.to_string(),
            status: ApprovalStatus::Pending,
            presentation: asked.presentation,
            created_at_ms: now.ms,
            expires_at_ms: now.ms.saturating_add(expires),
            resolved_at_ms: None,
            reason: None,
            decision: None,
            source: None,
            resolver: None,
        };
        let asking = match &asked.asker {
            Asker::Run(_) => 0,
            Asker::Client { ticket, .. } => ticket.conn(),
        };
        let reviewers = Reviewers::of(asked.reviewers, asking);
        let shown = |peer: &Peer| {
            may_decide(&peer.caller, kind) && peer.caller.conn != asking && reviewers.include(&peer.caller)
        };
        let silent = matches!(asked.showing, Showing::Nowhere | Showing::Hidden);
        let routed = !silent && self.peers.iter().any(shown);
        let origin = Origin {
            agent_id: asked.request.agent_id().map(str::to_owned),
            session_key: asked.request.session_key().map(str::to_owned),
            place: asked.place,
        };
        let closed = silent || reviewers.are_devices();
        let places = if closed { Vec::new() } else { self.approval_places(kind, &origin) };
        let own = |to: &Target| origin.place.as_ref().is_some_and(|own| own.same_place(to));
        let forwarded = places.iter().any(|to| !own(to));
        let number = self.approvals.waiting.values().map(|one| one.number + 1).max().unwrap_or(0);
        let waiting = Waiting {
            number,
            request: asked.request,
            snapshot,
            asker: asked.asker,
            listeners: Vec::new(),
            grants: asked.grants,
            reviewers,
        };
        if !routed && places.is_empty() && matches!(asked.showing, Showing::Demanded | Showing::Hidden) {
            log::info!(target: "approvals", "nobody is connected who could decide on {id}; denied");
            self.approvals.waiting.insert(id.clone(), waiting);
            let end = End {
                status: ApprovalStatus::Denied,
                reason: ApprovalReason::NoRoute,
                decision: Some(Decision::Deny),
                resolver: ("system", "no-approval-route"),
            };
            self.end_approval(&id, end, now, |_, saved| complain(saved));
            return None;
        }
        if let Asker::Client { ticket, two_phase: true } = &waiting.asker {
            ticket.ack(&ApprovalAccepted {
                status: "accepted",
                id: &id,
                delivery_route: match routed {
                    _ if forwarded => "forwarder",
                    true => "approval-client",
                    false if places.is_empty() => "none",
                    false => "turn-source",
                },
                created_at_ms: waiting.snapshot.created_at_ms,
                expires_at_ms: waiting.snapshot.expires_at_ms,
            });
        }
        self.tell_session_approval(&waiting, "pending", now);
        let event = match kind {
            ApprovalKind::Exec => &kinds::EXEC_APPROVAL_REQUESTED,
            _ => &kinds::PLUGIN_APPROVAL_REQUESTED,
        };
        let payload = ApprovalRequestedEvent {
            approval_kind: kind,
            id: &id,
            request: &waiting.request,
            created_at_ms: waiting.snapshot.created_at_ms,
            expires_at_ms: waiting.snapshot.expires_at_ms,
        };
        let shown = |caller: &Caller| {
            !silent && may_decide(caller, kind) && caller.conn != asking && waiting.reviewers.include(caller)
        };
        self.peers.broadcast(event, &payload, None, |peer| shown(&peer.caller));
        if !places.is_empty() {
            self.ask_in_chats(&id, &waiting.snapshot.presentation, places, now);
        }
        self.save_approval(&waiting.snapshot, true, None, complain);
        self.timers.at(now.at + asked.time, Due::ApprovalDeadline(id.clone()));
        self.approvals.waiting.insert(id.clone(), waiting);
        Some(id)
    }

    /// Somebody decides. The answer, with whether this is what decided it, is given to `done` when it is on the disk.
    pub fn decide_approval(
        &mut self,
        who: &Caller,
        (kind, id): (ApprovalKind, &str),
        decision: Decision,
        now: Now,
        done: impl FnOnce(Result<(bool, ApprovalSnapshot), RpcError>) + Send + 'static,
    ) {
        let shown = self.approvals.is_shown(who, id);
        let Some(snapshot) = self.approvals.snapshot(id).filter(|one| one.kind() == kind && shown) else {
            return done(Err(not_found()));
        };
        if snapshot.status != ApprovalStatus::Pending {
            return done(Ok((false, snapshot)));
        }
        if !snapshot.presentation.allowed().contains(&decision) {
            let text = format!("{} is not available for this approval", decision.as_str());
            return done(Err(RpcError::invalid(text)));
        }
        let name = who.client.display_name.clone().unwrap_or_else(|| who.client.id.as_str().to_string());
        log::info!(target: "approvals", "{id}: {} by {}", decision.as_str(), crate::wire::frame::cut(&name, 64));
        self.end_approval(id, decided_by(decision, &name), now, move |snapshot, saved| {
            done(match saved {
                Ok(()) => Ok((true, snapshot.clone())),
                Err(error) => Err(RpcError::unavailable(error.to_string()).retryable()),
            });
        });
    }

    /// Lets a caller wait for a decision.
    pub fn wait_decision(&mut self, who: &Caller, kind: ApprovalKind, id: &str, ticket: Ticket) {
        if !self.approvals.is_shown(who, id) {
            return ticket.answer(Err(not_found()));
        }
        if let Some(waiting) = self.approvals.waiting.get_mut(id).filter(|one| one.request.kind() == kind) {
            match waiting.listeners.len() < LISTENERS {
                true => waiting.listeners.push(ticket),
                false => ticket.answer(Err(RpcError::busy())),
            }
            return;
        }
        match self.approvals.snapshot(id).filter(|one| one.kind() == kind) {
            Some(ended) => ticket.answer_with(Ok(decided(&ended, true))),
            None => ticket.answer(Err(not_found())),
        }
    }

    /// The time of an approval is over.
    pub(super) fn approval_expired(&mut self, id: &str, now: Now) {
        self.close_approval(id, ApprovalStatus::Expired, ApprovalReason::Timeout, "approval-timeout", now);
    }

    /// The run that asked does not need it any more.
    pub fn cancel_approval(&mut self, id: &str, now: Now) {
        self.close_approval(id, ApprovalStatus::Cancelled, ApprovalReason::RunAborted, "run-aborted", now);
    }

    /// The gateway stops: what waits cannot be decided any more.
    pub(super) fn cancel_approvals(&mut self, now: Now) {
        let ids: Vec<_> = self.approvals.waiting.keys().cloned().collect();
        for id in ids {
            self.close_approval(&id, ApprovalStatus::Cancelled, ApprovalReason::GatewayRestart, "gateway-restart", now);
        }
    }

    fn close_approval(
        &mut self,
        id: &str,
        status: ApprovalStatus,
        reason: ApprovalReason,
        resolver: &'static str,
        now: Now,
    ) {
        if self.approvals.waiting.contains_key(id) {
            log::info!(target: "approvals", "{id}: {resolver}");
        }
        self.end_approval(
            id,
            End { status, reason, decision: None, resolver: ("system", resolver) },
            now,
            |_, saved| complain(saved),
        );
    }

    pub(super) fn end_approval(
        &mut self,
        id: &str,
        end: End<'_>,
        now: Now,
        done: impl FnOnce(&ApprovalSnapshot, Result<(), StoreError>) + Send + 'static,
    ) {
        let Some(mut ended) = self.approvals.waiting.remove(id) else { return };
        let kind = ended.request.kind();
        ended.snapshot.status = end.status;
        ended.snapshot.reason = Some(end.reason);
        ended.snapshot.decision = end.decision;
        ended.snapshot.resolved_at_ms = Some(now.ms);
        // Nobody was told that it waited when nobody could be.
        if end.reason != ApprovalReason::NoRoute {
            self.tell_session_approval(&ended, "terminal", now);
            let event = match kind {
                ApprovalKind::Exec => &kinds::EXEC_APPROVAL_RESOLVED,
                _ => &kinds::PLUGIN_APPROVAL_RESOLVED,
            };
            let payload = ApprovalResolvedEvent {
                id,
                decision: end.decision,
                resolved_by: (end.reason == ApprovalReason::User).then_some(end.resolver.1),
                ts: now.ms,
                request: &ended.request,
            };
            let shown = |caller: &Caller| may_decide(caller, kind) && ended.reviewers.include(caller);
            self.peers.broadcast(event, &payload, None, |peer| shown(&peer.caller));
        }
        let rules = match end.decision {
            Some(Decision::AllowAlways) => self.grant(ended.request.agent_id(), std::mem::take(&mut ended.grants)),
            _ => None,
        };
        ended.snapshot.source = Some(ApprovalSource {
            agent_id: ended.request.agent_id().map(str::to_string),
            session_key: ended.request.session_key().map(str::to_string),
        });
        ended.snapshot.resolver = Some(ApprovalResolver { kind: end.resolver.0.into(), id: end.resolver.1.into() });
        let snapshot = self.approvals.remember(ended.snapshot);
        let saved = snapshot.clone();
        self.save_approval(&snapshot, false, rules, move |outcome| done(&saved, outcome));
        match ended.asker {
            // Without an answer of a person there is no decision, whatever the record says.
            Asker::Run(sender) => {
                let decision = end.decision.filter(|_| end.reason == ApprovalReason::User);
                // The run may have ended meanwhile.
                let _ = sender.try_send(Ruling { decision, reason: end.reason });
            }
            Asker::Client { ticket, .. } => ticket.answer_with(Ok(decided(&snapshot, false))),
        }
        for ticket in ended.listeners {
            ticket.answer_with(Ok(decided(&snapshot, true)));
        }
    }

    fn tell_session_approval(&self, waiting: &Waiting, phase: &'static str, now: Now) {
        let Some(key) = waiting.request.session_key() else { return };
        let payload = SessionApprovalEvent {
            session_key: key,
            source_session_key: key,
            updated_at_ms: now.ms,
            phase,
            approval: &waiting.snapshot,
        };
        let shown = |peer: &Peer| peer.approvals.contains(key) && waiting.reviewers.include(&peer.caller);
        self.peers.broadcast(&kinds::SESSION_APPROVAL, &payload, None, shown);
    }

    /// Adds what an `allow-always` grants; the new document's text is still to be written.
    fn grant(&mut self, agent_id: Option<&str>, grants: Vec<AllowlistEntry>) -> Option<String> {
        if grants.is_empty() {
            return None;
        }
        let mut file = self.approvals.rules.file.clone();
        let list =
            &mut file.agents.get_or_insert_with(agent_id.unwrap_or("main").to_string(), Default::default).allowlist;
        for grant in grants {
            let same = |own: &AllowlistEntry| own.pattern == grant.pattern && own.arg_pattern == grant.arg_pattern;
            if list.iter().any(same) {
                continue;
            }
            if list.len() >= ALLOWLIST {
                let Some(oldest) = list.iter().position(|own| own.source.is_some()) else {
                    log::warn!(target: "approvals", "the allowlist is full; a command will be asked about again");
                    continue;
                };
                list.remove(oldest);
            }
            list.push(grant);
        }
        let (rules, text) = Rules::of(file);
        self.approvals.rules = Arc::new(rules);
        Some(text)
    }

    /// Replaces the document; `done` is called when it is on the disk.
    pub fn set_exec_rules(
        &mut self,
        mut file: ExecApprovalsFile,
        done: impl FnOnce(&Rules, Result<(), StoreError>) + Send + 'static,
    ) {
        for entry in file.agents.values_mut().flat_map(|agent| &mut agent.allowlist) {
            entry.id.get_or_insert_with(random::uuid);
            entry.command_text = None;
        }
        let (rules, text) = Rules::of(file);
        let rules = Arc::new(rules);
        self.approvals.rules = rules.clone();
        let job = move |conn: &rusqlite::Connection| kv::set(conn, RULES.0, RULES.1, &text);
        self.store.submit("write the rules about commands", job, move |saved| done(&rules, saved));
    }

    fn save_approval(
        &self,
        snapshot: &ApprovalSnapshot,
        pending: bool,
        rules: Option<String>,
        done: impl FnOnce(Result<(), StoreError>) + Send + 'static,
    ) {
        let record = serde_json::to_string(snapshot).expect("strings, numbers and lists are always JSON");
        let (id, kind) = (snapshot.id.clone(), snapshot.kind().as_str());
        let job = move |conn: &rusqlite::Connection| {
            table::put(conn, &id, kind, pending, &record)?;
            match rules {
                Some(text) => kv::set(conn, RULES.0, RULES.1, &text),
                None => Ok(()),
            }
        };
        self.store.submit("write down an approval", job, done);
    }
}

/// Records of the last life of the gateway that still wait: they cannot be decided any more.
fn close_abandoned(conn: &rusqlite::Connection, now_ms: u64) -> Result<usize, StoreError> {
    let records = table::pending(conn)?;
    for record in &records {
        let Ok(mut snapshot) = misfit::read::<ApprovalSnapshot>(record) else { continue };
        snapshot.status = ApprovalStatus::Cancelled;
        snapshot.reason = Some(ApprovalReason::GatewayRestart);
        snapshot.resolved_at_ms = Some(now_ms);
        snapshot.source.get_or_insert_default();
        snapshot.resolver = Some(ApprovalResolver { kind: "system".into(), id: "gateway-restart".into() });
        let text = serde_json::to_string(&snapshot).expect("strings, numbers and lists are always JSON");
        table::put(conn, &snapshot.id, snapshot.kind().as_str(), false, &text)?;
    }
    Ok(records.len())
}

/// The refusal of an id nobody knows.
pub fn not_found() -> RpcError {
    RpcError::invalid("unknown or expired approval id").details(&NotFound {
        reason: "APPROVAL_NOT_FOUND",
        remediation: "Re-request the action; pending approvals are cleared after expiry or restart.",
    })
}

#[derive(serde::Serialize)]
struct NotFound {
    reason: &'static str,
    remediation: &'static str,
}

fn decided(snapshot: &ApprovalSnapshot, with_reason: bool) -> ApprovalDecided<'_> {
    ApprovalDecided {
        id: &snapshot.id,
        decision: snapshot.decision.filter(|_| snapshot.reason == Some(ApprovalReason::User)),
        created_at_ms: snapshot.created_at_ms,
        expires_at_ms: snapshot.expires_at_ms,
        terminal_reason: snapshot.reason.filter(|_| with_reason),
    }
}

fn complain(outcome: Result<(), StoreError>) {
    if let Err(error) = outcome {
        log::error!("{error}");
    }
}
