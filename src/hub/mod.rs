//! The state thread: one thread owns what the gateway knows, and takes one [`Event`] at a time.
//!
//! [`State::handle`] is a plain function: it opens nothing, sleeps never, reads no clock. Work that may block is done
//! elsewhere: runs on threads of their own (through [`run::Launch`]), tasks on the pool, writes by the store thread.
//!
//! Invariant: the hub waits for nobody. Others may wait for the hub (its inbox is bounded); the hub only pushes into
//! byte-counted mailboxes, a length-limited job queue and the store's capped queue. The wait graph has no cycle, which
//! is why there is no lock order to document.

pub mod announce;
pub mod approvals;
mod chat_approvals;
pub mod compaction;
pub mod cron;
pub mod deliveries;
pub mod devices;
mod diagnostics;
pub mod event;
pub mod exec_rules;
pub mod followers;
pub mod ground;
pub mod handle;
pub mod health;
pub mod messengers;
pub mod meter;
pub mod nodes;
pub mod outgoing;
pub mod peers;
pub mod presence;
pub mod pulse;
pub mod questions;
pub mod reviewers;
pub mod rows;
pub mod run;
mod run_events;
mod run_start;
mod run_tools;
pub mod runs;
pub mod sessions;
pub mod shared;
pub mod suggestions;
pub mod suspend;
pub mod talks;
pub mod tasks;
pub mod ticket;
pub mod timers;
pub mod upgrades;
pub mod upkeep;
pub mod voicewake;
pub mod wakes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

pub use event::{Ask, Call, ConnId, Event, Job, Now, Opened, PeerEvent, Stop};
pub use handle::{Gone, Hub};
pub use shared::{Boot, Catalogue, Shared, main_key};
pub use tasks::{ConfigDesk, Pool, TaskContext, ToolFacts};
pub use ticket::Ticket;

use approvals::Approvals;
use followers::Followers;
use health::Seen;
use messengers::Messengers;
use peers::{Peer, Peers};
use presence::Presence;
use pulse::Pulse;
use runs::Runs;
use timers::{Due, Timers};
use wakes::Wakes;

use crate::auth::devices::Devices;
use crate::net::CloseReason;
use crate::store::Store;
use crate::sys::clock;
use crate::wire::agent::AgentWaitResult;
use crate::wire::config::ConfigChangedEvent;
use crate::wire::error::RpcError;
use crate::wire::event as kinds;
use crate::wire::frame::StateVersion;
use crate::wire::health::HealthSnapshot;
use crate::wire::presence::{PresenceEvent, ShutdownEvent, TickEvent};

/// `policy.tickIntervalMs`: clients give up after twice this without a frame.
pub const TICK: Duration = Duration::from_secs(30);
/// How often everybody is told whether the gateway is well.
const HEALTH: Duration = Duration::from_secs(60);
/// A turn longer than this is logged with its event's name: mend it by moving work to a task.
const SLOW_TURN: Duration = Duration::from_millis(50);
/// A token that ends is looked at this often at least.
const TOKEN_LOOK: Duration = Duration::from_secs(60 * 60);
/// After the drain, aborted runs have this long to write down what they have.
const ABORT_GRACE: Duration = Duration::from_secs(2);

/// What the gateway knows. Owned by the state thread.
pub struct State {
    pub shared: Arc<Shared>,
    pub hub: Hub,
    pub store: Store,
    pub peers: Peers,
    pub presence: Presence,
    pub devices: Devices,
    pub nodes: nodes::Nodes,
    pub approvals: Approvals,
    pub questions: questions::Questions,
    pub suggestions: suggestions::Suggestions,
    pub upgrades: upgrades::Upgrades,
    pub runs: Runs,
    quiet: sessions::Quiet,
    pub seen: Seen,
    pub timers: Timers,
    pub followers: Followers,
    pub wakes: Wakes,
    pub messengers: Messengers,
    deliveries: deliveries::Deliveries,
    recorder: diagnostics::Recorder,
    pub pulse: Pulse,
    pub meter: meter::Meter,
    pub cron: cron::Cron,
    suspension: Option<suspend::Suspension>,
    health_version: u64,
    /// What hello-ok and `health` answer between two looks.
    health: Option<Arc<HealthSnapshot>>,
    advertised: &'static [&'static str],
    clockwork: bool,
    /// When the rules of who may come in were last changed.
    auth_since: Option<Instant>,
    /// When tokens of limited power are looked at next.
    token_look: Option<Instant>,
    stopping: Option<Stopping>,
    done: bool,
}

struct Stopping {
    aborted: bool,
}

/// What the composition root gives to the state thread.
pub struct Parts {
    pub shared: Arc<Shared>,
    pub hub: Hub,
    pub store: Store,
    pub launcher: Box<dyn run::Launch>,
    pub devices: Devices,
    pub approvals: Approvals,
    pub seen: Seen,
    pub cron: cron::Loaded,
    pub outlet: Box<dyn cron::outlet::Outlet>,
    pub messengers: Messengers,
    /// Method names for hello-ok.
    pub advertised: &'static [&'static str],
}

impl State {
    pub fn new(parts: Parts, now: Now) -> State {
        State {
            presence: Presence::new(parts.shared.boot.own.clone()),
            shared: parts.shared,
            hub: parts.hub,
            store: parts.store,
            peers: Peers::default(),
            devices: parts.devices,
            nodes: nodes::Nodes::default(),
            approvals: parts.approvals,
            questions: Default::default(),
            suggestions: Default::default(),
            upgrades: upgrades::Upgrades::default(),
            runs: Runs::new(parts.launcher),
            quiet: sessions::Quiet::default(),
            seen: parts.seen,
            timers: Timers::default(),
            followers: Followers::default(),
            wakes: Wakes::default(),
            messengers: parts.messengers,
            deliveries: Default::default(),
            recorder: Default::default(),
            pulse: Pulse::new(now.at),
            meter: meter::Meter::default(),
            cron: cron::Cron::new(parts.cron, parts.outlet),
            suspension: None,
            health_version: 1,
            health: None,
            advertised: parts.advertised,
            clockwork: false,
            auth_since: None,
            token_look: None,
            stopping: None,
            done: false,
        }
    }

    /// Takes events until the gateway has stopped.
    pub fn run(mut self, inbox: &Receiver<Event>) {
        while !self.done {
            let event = match self.timers.next() {
                Some(when) => match inbox.recv_deadline(when) {
                    Ok(event) => Some(event),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                },
                None => match inbox.recv() {
                    Ok(event) => Some(event),
                    Err(_) => return,
                },
            };
            let name = event.as_ref().map_or("timers", Event::name);
            let now = Now { at: Instant::now(), ms: clock::now_ms() };
            // A handler that panics loses its own request (its ticket answers), never the gateway.
            let turn = catch_unwind(AssertUnwindSafe(|| {
                if let Some(event) = event {
                    self.handle(event, now);
                }
                self.epilogue(now);
            }));
            if turn.is_err() {
                log::error!("the handler of {name} failed; its caller was answered UNAVAILABLE");
            }
            let took = now.at.elapsed();
            if self.pulse.turn(took, now.ms) {
                self.recorder.slow_turn(took, now);
            }
            if took > SLOW_TURN {
                log::warn!("slow turn: {name} took {} ms", took.as_millis());
            }
        }
    }

    /// Reacts to one event.
    pub fn handle(&mut self, event: Event, now: Now) {
        match event {
            Event::Peer(conn, PeerEvent::Opened(opened)) => self.opened(conn, *opened, now),
            Event::Peer(_, PeerEvent::Request(call)) => self.request(*call, now),
            Event::Peer(conn, PeerEvent::Gone) => {
                if let Some(peer) = self.peers.remove(conn) {
                    self.presence.left(conn, now.ms);
                    self.node_gone(conn, &peer.caller, now);
                }
            }
            Event::Ask(ask) => (ask.f)(self, now),
            Event::Run(run_id, event) => self.on_run(&run_id, event, now),
            Event::Channel(news) => {
                let (key, life, event) = *news;
                self.on_channel(&key, life, event, now);
            }
            Event::Stop(stop) => self.stop(stop, now),
        }
    }

    /// What follows every turn: due timers, then news that several events may have made.
    pub fn epilogue(&mut self, now: Now) {
        while let Some(due) = self.timers.pop(now.at) {
            self.due(due, now);
        }
        if std::mem::take(&mut self.presence.changed) {
            let payload = PresenceEvent { presence: self.presence.rows() };
            self.peers.broadcast(&kinds::PRESENCE, &payload, Some(self.versions()), |_| true);
        }
        self.settle_suspension();
        if let Some(stopping) = &self.stopping
            && (self.runs.active() == 0 || stopping.aborted && self.runs.running() == 0)
        {
            self.finish();
        }
    }

    fn opened(&mut self, conn: ConnId, opened: Opened, now: Now) {
        if self.stopping.is_some() {
            opened.ticket.answer(Err(RpcError::unavailable("gateway stopping; retry shortly").retry_after(1500)));
            opened.mail.close(service_restart());
            return;
        }
        if self.overtaken(&opened) || self.auth_since.is_some_and(|since| opened.ticket.received < since) {
            opened.ticket.answer(Err(RpcError::unavailable("gateway auth changed; connect again").retry_after(100)));
            opened.mail.close(devices::auth_changed());
            return;
        }
        self.presence.arrived(&opened.caller, now.ms);
        let hello = self.hello(&opened, now);
        opened.ticket.answer(hello);
        // The connection may be gone already; then nobody waits.
        let _ = opened.ready.send(());
        if opened.auth_method == "bootstrap-token"
            && let Some(outcome) = opened.caller.client.device_id.as_deref().and_then(|id| self.devices.set_up(id))
        {
            self.peers.broadcast(&kinds::DEVICE_PAIR_SETUP_COMPLETED, &outcome, None, |_| true);
        }
        self.watch_tokens(opened.caller.token.as_ref().and_then(|token| token.expires_at_ms), now);
        self.node_opened(conn, &opened.caller, &opened.mail, now);
        self.peers.add(
            conn,
            Peer {
                caller: opened.caller,
                mail: opened.mail,
                sessions: false,
                messages: Default::default(),
                approvals: Default::default(),
            },
        );
        // Text that waited because nobody read: from now on somebody does.
        for run_id in self.runs.ids() {
            self.flush_run(&run_id, now);
        }
        if !self.clockwork {
            // No clients, no clockwork: an idle gateway is not woken.
            self.clockwork = true;
            self.timers.at(now.at + TICK, Due::Tick);
            self.timers.at(now.at + HEALTH, Due::Health);
        }
    }

    fn request(&mut self, call: Call, now: Now) {
        match call.job {
            Job::State(run) => {
                let result = run(self, &call.caller, now);
                call.ticket.answer(result);
            }
            Job::Ticket(run) => run(self, &call.caller, call.ticket, now),
            Job::Task(_) => call.ticket.answer(Err(RpcError::unavailable("tasks are not made on the state thread"))),
        }
    }

    fn due(&mut self, due: Due, now: Now) {
        match due {
            Due::Tick if self.peers.is_empty() => self.clockwork = false,
            Due::Tick => {
                self.peers.broadcast(&kinds::TICK, &TickEvent { ts: now.ms }, None, |_| true);
                self.timers.at(now.at + TICK, Due::Tick);
            }
            Due::Health if self.peers.is_empty() => {}
            Due::Health => {
                self.refresh_health(now);
                let health = self.health(now);
                self.peers.broadcast(&kinds::HEALTH, &*health, Some(self.versions()), |_| true);
                self.pulse.restart(now.at);
                self.timers.at(now.at + HEALTH, Due::Health);
            }
            Due::Flush(run_id) => self.flush_run(&run_id, now),
            Due::RunDeadline(run_id) => self.run_out_of_time(&run_id),
            Due::WaitDeadline(number) => {
                if let Some((run_id, ticket)) = self.runs.stop_waiting(number) {
                    ticket.answer_with(Ok(AgentWaitResult {
                        run_id: &run_id,
                        status: "timeout",
                        started_at: None,
                        ended_at: None,
                        stop_reason: None,
                        error: None,
                        terminal_reply: None,
                    }));
                }
            }
            Due::QuietDeadline(number) => self.quiet_deadline(number),
            Due::Held(name, count) => self.held_is_due(&name, count, now),
            Due::Preview(run_id, turn) => self.preview(&run_id, turn, now),
            Due::SendDeadline(key) => self.send_deadline(&key),
            Due::DeliveryDeadline(run_id) => self.delivery_deadline(&run_id),
            Due::UpgradeOver(request) => self.upgrade_over(&request, now),
            Due::TokenOver => self.tokens_changed(now),
            Due::NodeDeadline(call) => self.node_late(&call),
            Due::Cron => self.cron_due(now),
            Due::SuspensionOver => self.suspension_over(now),
            Due::Wake(agent_id, key) => self.rouse(&agent_id, &key, now),
            Due::ApprovalDeadline(id) => self.approval_expired(&id, now),
            Due::QuestionDeadline(id) => self.question_expired(&id),
            Due::QuestionWait(id, number) => self.question_wait_over(&id, number),
            Due::DrainOver => self.drain_over(now),
        }
    }

    /// Versions of the snapshots clients hold.
    pub fn versions(&self) -> StateVersion {
        StateVersion { presence: self.presence.version, health: self.health_version }
    }

    /// The snapshot, looked at again when it is older than a health period.
    pub fn health(&mut self, now: Now) -> Arc<HealthSnapshot> {
        if self.health.as_ref().is_none_or(|h| now.ms.saturating_sub(h.ts) >= HEALTH.as_millis() as u64) {
            self.refresh_health(now);
        }
        self.health.clone().unwrap_or_else(|| Arc::new(self.look(now)))
    }

    /// The configuration was swapped: clients are told, and the next look at health sees the new one.
    pub fn config_changed(&mut self, event: &ConfigChangedEvent) {
        self.forget_health();
        self.peers.broadcast(&kinds::CONFIG_CHANGED, event, None, |_| true);
    }

    /// Who may come in has changed: whoever came in under the old rules has to come again (T17). A connection that was
    /// checked by the old rules and is still on its way here is caught when it arrives.
    pub fn auth_changed(&mut self, now: Now) {
        self.auth_since = Some(now.at);
        for peer in self.peers.iter() {
            peer.mail.close(CloseReason::policy(4001, "gateway auth changed"));
        }
    }

    /// The tokens of limited power have changed: whoever came in with one that is gone, or is not what it was, goes.
    pub fn tokens_changed(&mut self, now: Now) {
        let policy = self.shared.policy.get();
        let over = |token: &crate::auth::AccessToken| {
            !policy.tokens.holds(token) || token.expires_at_ms.is_some_and(|end| now.ms >= end)
        };
        let mut next = None;
        for peer in self.peers.iter() {
            match &peer.caller.token {
                Some(token) if over(token) => peer.mail.close(devices::auth_changed()),
                Some(token) => next = [next, token.expires_at_ms].into_iter().flatten().min(),
                None => {}
            }
        }
        self.watch_tokens(next, now);
    }

    /// Sets the one timer for the next end of a token somebody came in with.
    fn watch_tokens(&mut self, end_ms: Option<u64>, now: Now) {
        let Some(end_ms) = end_ms else { return };
        // A clock that is set does not move timers: a far end is looked at again before.
        let when = now.at + Duration::from_millis(end_ms.saturating_sub(now.ms)).min(TOKEN_LOOK);
        if self.token_look.is_none_or(|set| set <= now.at || set > when) {
            self.token_look = Some(when);
            self.timers.at(when, Due::TokenOver);
        }
    }

    /// What health reports has changed: the next one who asks gets a new look.
    pub fn forget_health(&mut self) {
        self.health = None;
    }

    /// Looks at everything again.
    pub fn refresh_health(&mut self, now: Now) {
        self.health_version += 1;
        self.health = Some(Arc::new(self.look(now)));
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    fn stop(&mut self, stop: Stop, now: Now) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(Stopping { aborted: false });
        self.stop_commands();
        let payload = ShutdownEvent { reason: stop.reason, restart_expected_ms: stop.restart_expected_ms };
        self.peers.broadcast(&kinds::SHUTDOWN, &payload, None, |_| true);
        self.cancel_approvals(now);
        if self.runs.active() > 0 {
            log::info!(target: "shutdown", "waiting up to {} s for {} runs", stop.drain.as_secs(), self.runs.active());
            self.timers.at(now.at + stop.drain, Due::DrainOver);
        }
    }

    fn drain_over(&mut self, now: Now) {
        let Some(stopping) = &mut self.stopping else { return };
        if std::mem::replace(&mut stopping.aborted, true) {
            log::warn!(target: "shutdown", "{} runs did not end in time", self.runs.running());
            self.finish();
            return;
        }
        for run_id in self.runs.ids() {
            if let Some(run) = self.runs.get(&run_id) {
                run.link.interrupt();
                run.abort.fire();
            }
        }
        self.timers.at(now.at + ABORT_GRACE, Due::DrainOver);
    }

    fn finish(&mut self) {
        for peer in self.peers.iter() {
            peer.mail.close(service_restart());
        }
        self.messengers.end();
        self.done = true;
    }
}

/// The close of every stop and restart.
fn service_restart() -> CloseReason {
    CloseReason::policy(1012, "service restart")
}
