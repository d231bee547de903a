//! Runs: which are asked for, which are made, how they end.
//!
//! Runs of one session are made one after the other; sessions do not wait for each other. A run that must wait has its
//! input on disk before its sender is answered.
//!
//! Invariants: a run id is made once, and asked for again answers what became of it; a lane has exactly one current run
//! while it exists; everything kept of ended runs has a cap.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::announce::Announce;
use super::run::{Delivery, Emission, Input, Launch, Link, NewRun, Order, Outcome, RunId, Starter, Status, Steered};
use super::ticket::Ticket;
use crate::channels::Target;
use crate::store::sessions::SessionRow;
use crate::sys::abort::Abort;
use crate::wire::chat::QueueMode;
use crate::wire::error::RpcError;

/// Runs on threads at once; more wait. A thread of a run costs about 100 KB.
pub const RUNNING: usize = 64;
/// Runs known and not ended, waiting ones included.
const KNOWN: usize = 1024;
/// Inputs that may wait for one session.
const WAITING: usize = 64;
/// Ended runs remembered for repeated idempotency keys, and the bytes of their texts.
const ENDED: usize = 512;
const ENDED_BYTES: usize = 1 << 20;

/// All runs of the gateway. Owned by the state thread.
pub struct Runs {
    active: HashMap<RunId, Run>,
    lanes: HashMap<Arc<str>, Lane>,
    /// Lanes whose head waits for a free thread.
    ready: VecDeque<Arc<str>>,
    running: usize,
    /// Runs side by side.
    most: usize,
    ended: VecDeque<(RunId, Arc<Outcome>)>,
    ended_bytes: usize,
    waiters: Vec<Waiter>,
    next_waiter: u64,
    launcher: Box<dyn Launch>,
    pub counts: Counts,
}

/// Since the start of the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub succeeded: u64,
    pub failed: u64,
    pub cancelled: u64,
}

/// One run that has not ended.
pub struct Run {
    pub session_key: Arc<str>,
    pub agent_id: Arc<str>,
    pub session_id: Option<Arc<str>>,
    /// The session as the first write left it.
    pub row: Option<Box<SessionRow>>,
    pub conn: u64,
    pub abort: Abort,
    pub received: Instant,
    /// Tells chat from agent runs: only the former have status events.
    pub chat: bool,
    /// Its sender was told that it is safe.
    pub accepted: bool,
    /// Its end was announced (an abort is announced before the thread has noticed).
    pub closed: bool,
    pub link: Arc<Link>,
    pub launched: bool,
    pub started_ms: u64,
    /// Counts the frames about this run.
    pub seq: u64,
    /// All assistant text so far.
    pub text: String,
    /// How much of `text` has been sent to readers.
    pub sent: usize,
    pub flushed: Option<Instant>,
    pub flush_armed: bool,
    pub thinking: String,
    pub provider: Box<str>,
    pub model: Box<str>,
    /// Where the current segment of text began, and its number.
    pub segment: usize,
    pub segments: u32,
    pub starter: Option<Starter>,
    /// More callers that wait for the end.
    pub finals: Vec<Ticket>,
    pub timeout: Option<Duration>,
    /// Runs whose inputs this one took along and that end with it at the latest.
    pub joined: Vec<RunId>,
    /// The messenger's conversation its answer goes to.
    pub reply: Option<Box<Target>>,
    /// Its end is news in the agent's main session.
    pub announce: Option<Box<Announce>>,
    /// Its caller wants to hear what became of the delivery.
    pub delivery: Option<Delivery>,
    /// Bytes of text shown there so far.
    pub previewed: usize,
    input: Option<Input>,
    stored_in_inbox: bool,
}

struct Lane {
    current: RunId,
    waiting: VecDeque<RunId>,
}

struct Waiter {
    number: u64,
    run_id: RunId,
    ticket: Ticket,
}

/// What became of a request for a run.
pub enum Begun {
    /// It got a thread.
    Made,
    /// It waits behind another run of its session, or for a free thread; its input must be stored.
    Waits,
    /// The id is known: the run is being made.
    InFlight(Starter),
    /// The id is known: the run has ended.
    Ended(Starter, Arc<Outcome>),
    Refused(Starter, RpcError),
}

impl Runs {
    pub fn launcher(&self) -> &dyn Launch {
        self.launcher.as_ref()
    }

    pub fn new(launcher: Box<dyn Launch>) -> Runs {
        Runs {
            active: HashMap::new(),
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            running: 0,
            most: RUNNING,
            ended: VecDeque::new(),
            ended_bytes: 0,
            waiters: Vec::new(),
            next_waiter: 0,
            launcher,
            counts: Counts::default(),
        }
    }

    /// How many runs go on side by side from now on (`agents.defaults.maxConcurrent`); those there are go on.
    pub fn allow(&mut self, most: Option<u32>) {
        self.most = most.map_or(RUNNING, |most| most as usize).max(1);
    }

    /// Takes a run in. `stored`: its input already lies in the inbox.
    pub fn begin(&mut self, new: NewRun, stored: bool) -> Begun {
        if self.active.contains_key(&new.run_id) {
            return Begun::InFlight(new.starter);
        }
        if let Some((_, outcome)) = self.ended.iter().find(|(id, _)| *id == new.run_id) {
            return Begun::Ended(new.starter, outcome.clone());
        }
        if !self.has_room(&new.session_key) {
            return Begun::Refused(new.starter, RpcError::busy());
        }
        let (run_id, key) = (new.run_id.clone(), new.session_key.clone());
        self.active.insert(run_id.clone(), Run::new(new, stored));
        match self.lanes.get_mut(&key) {
            Some(lane) => {
                lane.waiting.push_back(run_id);
                Begun::Waits
            }
            None => {
                self.lanes.insert(key.clone(), Lane { current: run_id.clone(), waiting: VecDeque::new() });
                self.ready.push_back(key);
                self.launch_ready();
                let launched = self.active.get(&run_id).is_none_or(|run| run.launched);
                if launched { Begun::Made } else { Begun::Waits }
            }
        }
    }

    fn launch_ready(&mut self) {
        while self.running < self.most {
            let Some(key) = self.ready.pop_front() else { return };
            let Some(lane) = self.lanes.get(&key) else { continue };
            let run_id = lane.current.clone();
            let Some(run) = self.active.get_mut(&run_id) else { continue };
            let Some(input) = run.input.take() else { continue };
            run.launched = true;
            self.running += 1;
            self.launcher.launch(Order {
                run_id,
                session_key: run.session_key.clone(),
                agent_id: run.agent_id.clone(),
                input,
                abort: run.abort.clone(),
                link: run.link.clone(),
                sink: run.sink().cloned(),
                queued: run.stored_in_inbox,
                absorbed: run.joined.clone(),
            });
        }
    }

    /// Puts messages that may be collected into the one that is next.
    fn collect(&mut self, key: &str) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        let collects = |run: &Run| run.waits_for(QueueMode::Collect);
        if !self.active.get(&lane.current).is_some_and(collects) {
            return;
        }
        let (mut text, mut parts, mut joined) = (String::new(), Vec::new(), Vec::new());
        let place = self.active.get(&lane.current).and_then(|run| run.reply.clone());
        while let Some(front) = lane.waiting.front()
            && let Some(run) = self.active.get_mut(front)
            && run.waits_for(QueueMode::Collect)
            && run.input.as_ref().is_some_and(|input| input.answered_like(place.as_deref()))
            && let Some(input) = run.input.take()
        {
            text.push_str("\n\n");
            text.push_str(&input.text);
            parts.extend(input.parts);
            joined.push(front.clone());
            lane.waiting.pop_front();
        }
        if let Some(head) = self.active.get_mut(&lane.current)
            && let Some(input) = &mut head.input
        {
            input.text = format!("{}{text}", input.text.as_str()).into();
            input.parts.extend(parts);
            head.joined.extend(joined);
        }
    }

    /// Takes the messages that steer a run out of its lane; they end when it has taken them in.
    pub fn take_steering(&mut self, run_id: &RunId) -> Vec<Steered> {
        let Some(current) = self.active.get(run_id).filter(|run| !run.abort.fired()) else { return Vec::new() };
        let place = current.reply.clone();
        let Some(lane) = self.lanes.get_mut(&current.session_key) else { return Vec::new() };
        let mut taken = Vec::new();
        lane.waiting.retain(|id| {
            let Some(run) = self.active.get_mut(id).filter(|run| run.steers(place.as_deref())) else { return true };
            let Some(input) = run.input.take() else { return true };
            let kept = input.reply.is_some();
            taken.push(Steered { run_id: id.clone(), kept, text: input.text, parts: input.parts });
            false
        });
        if let Some(current) = self.active.get_mut(run_id) {
            current.joined.extend(taken.iter().map(|steered| steered.run_id.clone()));
        }
        taken
    }

    /// Whether messages wait that steer a run.
    pub fn is_steered(&self, run_id: &RunId) -> bool {
        let Some(current) = self.active.get(run_id) else { return false };
        let lane = self.lanes.get(&current.session_key);
        let mut waiting = lane.into_iter().flat_map(|lane| &lane.waiting).filter_map(|id| self.active.get(id));
        waiting.any(|run| run.steers(current.reply.as_deref()))
    }

    /// The input of a waiting run is on disk.
    pub fn stored(&mut self, run_id: &RunId) {
        if let Some(run) = self.active.get_mut(run_id) {
            run.stored_in_inbox = true;
            if let Some(input) = &mut run.input {
                // It was looked at in the same transaction.
                input.ground = None;
            }
        }
    }

    /// What happens to a message that comes now: what it asks for, what its session was set to, steering.
    pub fn queue_mode(&self, key: &str, asked: Option<QueueMode>) -> QueueMode {
        let current = self.lanes.get(key).and_then(|lane| self.active.get(&lane.current));
        let set = current.and_then(|run| run.row.as_ref()).and_then(|row| row.facts().queue_mode);
        asked.or(set.as_deref().and_then(QueueMode::named)).unwrap_or(QueueMode::Steer)
    }

    /// Forgets a run that ended, remembers its outcome, and lets the next one of its session begin.
    pub fn end(&mut self, run_id: &RunId, outcome: Arc<Outcome>) -> Option<(Run, Vec<Ticket>)> {
        let run = self.active.remove(run_id)?;
        match outcome.status {
            Status::Ok => self.counts.succeeded += 1,
            Status::Aborted => self.counts.cancelled += 1,
            Status::Error | Status::TimedOut => self.counts.failed += 1,
        }
        self.running -= usize::from(run.launched);
        let next = self.lanes.get_mut(&run.session_key).map(|lane| {
            lane.waiting.retain(|id| id != run_id);
            (lane.current == *run_id).then(|| lane.waiting.pop_front())
        });
        match next {
            Some(Some(Some(next))) => {
                if let Some(lane) = self.lanes.get_mut(&run.session_key) {
                    lane.current = next;
                    self.ready.push_back(run.session_key.clone());
                }
                self.collect(&run.session_key);
            }
            Some(Some(None)) => {
                self.lanes.remove(&run.session_key);
            }
            _ => {}
        }
        // What was never taken in may come again under the same key.
        if run.accepted || outcome.status != Status::Error {
            self.ended_bytes += outcome.text.len();
            self.ended.push_back((run_id.clone(), outcome));
        }
        while self.ended.len() > ENDED || self.ended_bytes > ENDED_BYTES {
            let Some((_, oldest)) = self.ended.pop_front() else { break };
            self.ended_bytes -= oldest.text.len();
        }
        let mut waited = Vec::new();
        for waiter in std::mem::take(&mut self.waiters) {
            if waiter.run_id == *run_id { waited.push(waiter.ticket) } else { self.waiters.push(waiter) }
        }
        self.launch_ready();
        Some((run, waited))
    }

    /// Whether one more run of a session would be taken in.
    pub fn has_room(&self, key: &str) -> bool {
        self.active.len() < KNOWN && self.lanes.get(key).is_none_or(|lane| lane.waiting.len() < WAITING)
    }

    pub fn get(&self, run_id: &str) -> Option<&Run> {
        self.active.get(run_id)
    }

    pub fn get_mut(&mut self, run_id: &str) -> Option<&mut Run> {
        self.active.get_mut(run_id)
    }

    pub fn outcome(&self, run_id: &str) -> Option<Arc<Outcome>> {
        self.ended.iter().find(|(id, _)| &**id == run_id).map(|(_, outcome)| outcome.clone())
    }

    /// Whether nothing is made or waits in a session.
    pub fn is_quiet(&self, key: &str) -> bool {
        !self.lanes.contains_key(key)
    }

    /// Runs of one session, the one being made first.
    pub fn of_session(&self, key: &str) -> Vec<RunId> {
        match self.lanes.get(key) {
            Some(lane) => std::iter::once(&lane.current).chain(&lane.waiting).cloned().collect(),
            None => Vec::new(),
        }
    }

    pub fn sessions(&self) -> impl Iterator<Item = (&Arc<str>, &RunId)> {
        self.lanes.iter().map(|(key, lane)| (key, &lane.current))
    }

    pub fn ids(&self) -> Vec<RunId> {
        self.active.keys().cloned().collect()
    }

    pub fn active(&self) -> usize {
        self.active.len()
    }

    pub fn running(&self) -> usize {
        self.running
    }

    /// Runs that may be made side by side.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Sessions in which something waits for its turn.
    pub fn queued_lanes(&self) -> usize {
        self.lanes.values().filter(|lane| !lane.waiting.is_empty()).count()
    }

    /// Lets a caller wait for the end of a run; the number cancels it.
    pub fn wait(&mut self, run_id: RunId, ticket: Ticket) -> u64 {
        self.next_waiter += 1;
        self.waiters.push(Waiter { number: self.next_waiter, run_id, ticket });
        self.next_waiter
    }

    pub fn stop_waiting(&mut self, number: u64) -> Option<(RunId, Ticket)> {
        let at = self.waiters.iter().position(|w| w.number == number)?;
        let waiter = self.waiters.swap_remove(at);
        Some((waiter.run_id, waiter.ticket))
    }
}

impl Run {
    fn new(new: NewRun, stored: bool) -> Run {
        Run {
            session_key: new.session_key,
            agent_id: new.agent_id,
            session_id: None,
            row: None,
            conn: new.conn,
            abort: Abort::new(),
            received: new.received,
            chat: !matches!(new.starter, Starter::Agent(_)),
            accepted: stored,
            closed: false,
            link: Arc::default(),
            launched: false,
            started_ms: 0,
            seq: 0,
            text: String::new(),
            sent: 0,
            flushed: None,
            flush_armed: false,
            thinking: String::new(),
            provider: "".into(),
            model: "".into(),
            segment: 0,
            segments: 1,
            starter: Some(new.starter),
            finals: Vec::new(),
            timeout: new.timeout,
            joined: new.input.absorbed.clone(),
            reply: new.input.reply.clone(),
            announce: new.input.announce.clone(),
            delivery: new.input.delivery,
            previewed: 0,
            input: Some(new.input),
            stored_in_inbox: stored,
        }
    }

    /// The HTTP handler that follows this run.
    pub fn sink(&self) -> Option<&Sender<Emission>> {
        match &self.starter {
            Some(Starter::Http(sink)) => Some(sink),
            _ => None,
        }
    }

    pub fn input(&self) -> Option<&Input> {
        self.input.as_ref()
    }

    /// Whether it waits to steer a run that is answered in this place.
    fn steers(&self, place: Option<&Target>) -> bool {
        self.waits_for(QueueMode::Steer) && self.input.as_ref().is_some_and(|input| input.answered_like(place))
    }

    /// Whether its input is safe, waits, and may be taken along in this way.
    fn waits_for(&self, mode: QueueMode) -> bool {
        self.stored_in_inbox
            && self.accepted
            && self.input.as_ref().is_some_and(|input| input.queue == Some(mode) && input.is_plain())
    }
}
