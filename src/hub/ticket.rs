//! The duty to answer one request.
//!
//! Invariant: every ticket is answered exactly once; one that is dropped answers UNAVAILABLE, so that a forgotten client
//! is impossible.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam_channel::Sender;
use serde::Serialize;

use crate::net::Mailbox;
use crate::wire::error::RpcError;
use crate::wire::frame::{self, Payload};

/// Requests of one connection that are not answered yet.
pub type Pending = Arc<AtomicUsize>;

/// One request of one connection.
#[must_use = "a dropped ticket answers UNAVAILABLE"]
pub struct Ticket {
    to: To,
    method: &'static str,
    pending: Pending,
    pub received: Instant,
    open: bool,
}

/// Where the answer goes.
enum To {
    /// The request of this id of a WebSocket.
    Peer { mail: Mailbox, id: String },
    /// A thread that waits.
    Waiter(Sender<Result<Payload, RpcError>>),
}

impl Ticket {
    /// For a caller without a connection of its own, who waits for the one answer.
    pub fn waited_for(waiter: Sender<Result<Payload, RpcError>>, method: &'static str, received: Instant) -> Ticket {
        let pending = Pending::default();
        pending.fetch_add(1, Ordering::Relaxed);
        Ticket { to: To::Waiter(waiter), method, pending, received, open: true }
    }

    /// Counts itself in `pending` until it is answered.
    pub fn new(mail: Mailbox, id: String, method: &'static str, pending: Pending, received: Instant) -> Ticket {
        pending.fetch_add(1, Ordering::Relaxed);
        Ticket { to: To::Peer { mail, id }, method, pending, received, open: true }
    }

    /// The first of two answers; the duty stays.
    pub fn ack(&self, payload: &impl Serialize) {
        if let To::Peer { mail, id } = &self.to {
            mail.text(frame::response(id, &Payload::of(payload)));
        }
    }

    pub fn answer(self, result: Result<Payload, RpcError>) {
        self.send(result);
    }

    pub fn answer_with(self, result: Result<impl Serialize, RpcError>) {
        self.send(result.and_then(|value| Payload::of(&value)));
    }

    /// Gives up the duty: only for a request that the protocol closes without an answer.
    pub fn forget(mut self) {
        self.open = false;
    }

    /// The connection that asked.
    pub fn conn(&self) -> u64 {
        match &self.to {
            To::Peer { mail, .. } => mail.id(),
            To::Waiter(_) => 0,
        }
    }

    fn send(mut self, result: Result<Payload, RpcError>) {
        self.open = false;
        self.post(result);
    }

    fn post(&self, result: Result<Payload, RpcError>) {
        let ms = self.received.elapsed().as_millis();
        super::meter::answered(self.method, result.is_ok());
        match &result {
            Ok(_) => log::debug!(target: "ws", "⇄ res ✓ {} {ms}ms conn={}", self.method, self.conn()),
            Err(e) => log::info!(
                target: "ws",
                "⇄ res ✗ {} {ms}ms errorCode={} errorMessage={:?} conn={}",
                self.method, e.code.as_str(), frame::cut(&e.message, 200), self.conn()
            ),
        }
        match &self.to {
            To::Peer { mail, id } => mail.text(frame::response(id, &result)),
            // Who waited may have left.
            To::Waiter(waiter) => drop(waiter.try_send(result)),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.open {
            self.post(Err(
                RpcError::unavailable(format!("{} was dropped before it was answered", self.method)).retryable()
            ));
        }
        self.pending.fetch_sub(1, Ordering::Relaxed);
    }
}
