//! Who is connected, and how an event reaches them.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;

use super::event::ConnId;
use crate::auth::{Caller, Role};
use crate::net::Mailbox;
use crate::wire::event::EventKind;
use crate::wire::frame::{self, EventText, StateVersion};
use crate::wire::scope::Scope;
use crate::wire::sorted::Sorted;

/// Sessions one connection may follow; more is a mistake of the client.
pub const SUBSCRIPTIONS: usize = 256;

/// One connection that passed the handshake.
pub struct Peer {
    pub caller: Arc<Caller>,
    pub mail: Mailbox,
    /// Asked for `sessions.changed`.
    pub sessions: bool,
    /// Session keys it follows; at most [`SUBSCRIPTIONS`].
    pub messages: HashSet<String>,
    /// Those of them whose approvals it follows too.
    pub approvals: HashSet<String>,
}

/// All connections, in order of arrival.
#[derive(Default)]
pub struct Peers {
    all: Sorted<ConnId, Peer>,
    readers: usize,
}

impl Peers {
    pub fn add(&mut self, conn: ConnId, peer: Peer) {
        self.readers += usize::from(reads(&peer));
        self.all.insert(conn, peer);
    }

    pub fn remove(&mut self, conn: ConnId) -> Option<Peer> {
        let peer = self.all.remove(&conn)?;
        self.readers -= usize::from(reads(&peer));
        Some(peer)
    }

    pub fn get_mut(&mut self, conn: ConnId) -> Option<&mut Peer> {
        self.all.get_mut(&conn)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.all.values()
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether anybody would receive what needs operator.read: frames nobody reads are not built.
    pub fn any_reader(&self) -> bool {
        self.readers > 0
    }

    /// Sends an event to everyone its guard and `wanted` admit. The text is written once.
    pub fn broadcast(
        &self,
        kind: &EventKind,
        payload: &impl Serialize,
        version: Option<StateVersion>,
        wanted: impl Fn(&Peer) -> bool,
    ) {
        let mut text: Option<EventText> = None;
        for peer in self.all.values() {
            if !kind.reaches(peer.caller.role == Role::Operator, peer.caller.scopes) || !wanted(peer) {
                continue;
            }
            let text = text.get_or_insert_with(|| frame::event(kind.name, payload, version));
            let after = if peer.caller.tracked() { &text.after_owner } else { &text.after };
            peer.mail.numbered(text.before.clone(), after.clone(), !kind.droppable);
        }
    }
}

impl Peer {
    /// A client that asked for it hears only of the sessions it follows.
    pub fn follows(&self, session_key: &str) -> bool {
        !self.caller.has_cap("session-scoped-events") || self.messages.contains(session_key)
    }
}

fn reads(peer: &Peer) -> bool {
    peer.caller.role == Role::Operator && peer.caller.scopes.allows(Scope::Read)
}
