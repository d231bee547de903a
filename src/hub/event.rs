//! What can happen to the gateway: a closed list, handled one at a time, in arrival order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::run::{RunEvent, RunId};
use super::ticket::Ticket;
use super::{State, TaskContext};
use crate::auth::Caller;
use crate::auth::devices::Admission;
use crate::channels::{AccountKey, ChannelEvent};
use crate::net::Mailbox;
use crate::wire::error::RpcError;
use crate::wire::frame::Payload;

/// Connection numbers are never used twice in the life of a process.
pub type ConnId = u64;

/// Everything the state thread reacts to.
pub enum Event {
    Peer(ConnId, PeerEvent),
    Ask(Ask),
    Run(RunId, RunEvent),
    /// What an account of a messenger reports, and in which of its lives.
    Channel(Box<(AccountKey, u64, ChannelEvent)>),
    Stop(Stop),
}

/// The moment an event is handled. Handlers read no clock.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub at: Instant,
    /// Milliseconds since the epoch.
    pub ms: u64,
}

/// The order to come to an end.
#[derive(Debug, Clone, Copy)]
pub struct Stop {
    /// What `shutdown` tells clients.
    pub reason: &'static str,
    pub restart_expected_ms: Option<u64>,
    /// How long runs may take to finish by themselves.
    pub drain: Duration,
}

/// What a WebSocket connection reports.
pub enum PeerEvent {
    /// The handshake is done; the state thread answers it with hello-ok, so that nothing can overtake that frame.
    Opened(Box<Opened>),
    Request(Box<Call>),
    Gone,
}

/// A connection that may stay.
pub struct Opened {
    pub caller: Arc<Caller>,
    pub mail: Mailbox,
    /// Answers the `connect` request.
    pub ticket: Ticket,
    pub auth_method: &'static str,
    /// What was decided about its device.
    pub admission: Option<Admission>,
    /// Told when hello-ok is on its way: before that, no other answer may be.
    pub ready: Sender<()>,
}

/// A request whose params are decoded and whose scope is checked.
pub struct Call {
    pub method: &'static str,
    pub caller: Arc<Caller>,
    pub job: Job,
    pub ticket: Ticket,
}

type OnState = dyn FnOnce(&mut State, &Arc<Caller>, Now) -> Result<Payload, RpcError> + Send;
type OnTicket = dyn FnOnce(&mut State, &Arc<Caller>, Ticket, Now) + Send;
type OnTask = dyn FnOnce(&TaskContext, &Arc<Caller>) -> Result<Payload, RpcError> + Send;

/// A handler with its params inside, by the thread it runs on.
pub enum Job {
    /// On the state thread: quick, exclusive, no I/O.
    State(Box<OnState>),
    /// On the state thread, answering later.
    Ticket(Box<OnTicket>),
    /// On a pool thread: may block, may ask.
    Task(Box<OnTask>),
}

/// A closure that is run on the state thread.
pub type Question = dyn FnOnce(&mut State, Now) + Send;

/// A named question from another thread.
pub struct Ask {
    pub name: &'static str,
    pub f: Box<Question>,
}

impl Event {
    /// For the log of slow turns.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Peer(_, PeerEvent::Opened(_)) => "peer opened",
            Event::Peer(_, PeerEvent::Request(call)) => call.method,
            Event::Peer(_, PeerEvent::Gone) => "peer gone",
            Event::Ask(ask) => ask.name,
            Event::Run(_, event) => event.name(),
            Event::Channel(_) => "channel",
            Event::Stop(_) => "stop",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_small_enough_to_move() {
        assert!(size_of::<Event>() <= 64, "{} bytes", size_of::<Event>());
    }
}
