//! Devices at the door and in the register, on the state thread: decisions are [`crate::auth::devices`]', what follows
//! from them happens here.
//!
//! Invariant: a decision is told to the caller after its record is on the disk; events and closing sockets do not wait
//! for that.

use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use serde::Serialize;

use super::event::{Now, Opened};
use super::{State, Ticket};
use crate::auth::devices::{Admission, Arrival, Effects, News};
use crate::auth::{Caller, Refusal};
use crate::net::CloseReason;
use crate::store::{StoreError, kv};
use crate::wire::device::{DevicePairChangedEvent, DevicePairListResult, DevicePairResolvedEvent};
use crate::wire::error::RpcError;
use crate::wire::event as kinds;
use crate::wire::node::NodePairResolvedEvent;

/// Scope of the records of devices among the store's named facts.
pub const RECORDS: &str = "device";
/// A connection waits so long for its device's record: a write that takes longer than a handshake may is reported and
/// the device comes in without.
pub const SAVE_WAIT: Duration = Duration::from_secs(10);

/// Tells when what was decided is on the disk.
pub type Saved = Option<Receiver<()>>;

impl State {
    /// Decides on a device that proved its key. The connection waits for `Saved` before it goes on.
    pub fn arrive(&mut self, arrival: &Arrival, now: Now) -> (Result<Admission, Refusal>, Saved) {
        let (decision, effects) = self.devices.arrive(arrival, now.ms);
        let saved = self.follow_and_tell(effects, now);
        (decision, saved)
    }

    /// Whether the device of this connection was removed, or its token replaced, while the connection was on its way.
    pub(super) fn overtaken(&self, opened: &Opened) -> bool {
        let caller: &Caller = &opened.caller;
        let (Some(id), Some(admission)) = (&caller.client.device_id, &opened.admission) else { return false };
        !self.devices.still(id, caller.role, admission.issued_at_ms)
    }

    pub fn device_list(&mut self, now: Now) -> DevicePairListResult {
        let pending = self.devices.requests(now.ms);
        let peers = &self.peers;
        let connected = |id: &str| peers.iter().any(|peer| peer.caller.client.device_id.as_deref() == Some(id));
        DevicePairListResult { pending, paired: self.devices.rows(connected) }
    }

    /// Does what follows from a decision, and answers when it is on the disk.
    pub fn follow_and_answer(
        &mut self,
        decided: Result<(impl Serialize, Effects), RpcError>,
        ticket: Ticket,
        now: Now,
    ) {
        let (result, effects) = match decided {
            Ok(decided) => decided,
            Err(error) => return ticket.answer(Err(error)),
        };
        let payload = crate::wire::frame::Payload::of(&result);
        self.save(&effects, move |saved| match saved {
            Ok(()) => ticket.answer(payload),
            Err(error) => ticket.answer(Err(RpcError::unavailable(error.to_string()).retryable())),
        });
        self.follow(effects, now);
    }

    fn follow_and_tell(&mut self, effects: Effects, now: Now) -> Saved {
        let mut saved = None;
        if !effects.save.is_empty() {
            let (told, wait) = bounded(1);
            self.save(&effects, move |outcome| {
                if let Err(error) = outcome {
                    log::error!("{error}");
                }
                // The connection may have given up waiting.
                let _ = told.send(());
            });
            saved = Some(wait);
        }
        self.follow(effects, now);
        saved
    }

    /// Tells whom it concerns, and closes sockets.
    pub fn follow(&mut self, effects: Effects, now: Now) {
        for news in effects.news {
            self.tell_operators(&news, now);
            if let News::Resolved { request_id, device_id, decision } = &news {
                self.upgrade_decided(request_id, device_id, decision);
            }
        }
        let Some((device_id, role)) = effects.close else { return };
        for peer in self.peers.iter() {
            let of_device = peer.caller.client.device_id.as_deref() == Some(device_id.as_str());
            if of_device && role.is_none_or(|role| role == peer.caller.role) {
                peer.mail.close(auth_changed());
            }
        }
    }

    fn tell_operators(&self, news: &News, now: Now) {
        match news {
            News::Requested(id) => {
                if let Some(request) = self.devices.request(id) {
                    log::info!(
                        target: "pairing",
                        "a device asks for approval: {} (openclaw devices approve {id})",
                        crate::wire::frame::cut(&request.device_id, 16)
                    );
                    self.peers.broadcast(&kinds::DEVICE_PAIR_REQUESTED, &request, None, |_| true);
                }
            }
            News::Resolved { request_id, device_id, decision } => {
                let payload = DevicePairResolvedEvent { request_id, device_id, decision, ts: now.ms };
                self.peers.broadcast(&kinds::DEVICE_PAIR_RESOLVED, &payload, None, |_| true);
            }
            News::NodeRequested(node_id) => {
                if let Some(request) = self.devices.node_request(node_id) {
                    log::info!(
                        target: "pairing",
                        "a node asks for approval of what it offers: {} (openclaw nodes approve {})",
                        crate::wire::frame::cut(node_id, 16),
                        request.request_id
                    );
                    self.peers.broadcast(&kinds::NODE_PAIR_REQUESTED, &request, None, |_| true);
                }
            }
            News::NodeResolved { request_id, node_id, decision } => {
                let payload = NodePairResolvedEvent { request_id, node_id, decision, ts: now.ms };
                self.peers.broadcast(&kinds::NODE_PAIR_RESOLVED, &payload, None, |_| true);
                if let Some(mail) = self.node_mail(node_id) {
                    mail.text(crate::wire::frame::direct_event(kinds::NODE_PAIR_RESOLVED.name, &payload));
                }
            }
            News::Changed => {
                self.peers.broadcast(&kinds::DEVICE_PAIR_CHANGED, &DevicePairChangedEvent {}, None, |_| true);
            }
        }
    }

    /// Writes a device's record down; nobody waits for it.
    pub(super) fn note_device(&self, device_id: &str) {
        let effects = Effects { save: vec![device_id.to_string()], ..Effects::default() };
        self.save(&effects, |outcome| {
            if let Err(error) = outcome {
                log::error!("{error}");
            }
        });
    }

    fn save(&self, effects: &Effects, done: impl FnOnce(Result<(), StoreError>) + Send + 'static) {
        let records: Vec<_> = effects.save.iter().map(|id| (id.clone(), self.devices.record(id))).collect();
        let job = move |conn: &rusqlite::Connection| {
            for (id, record) in &records {
                match record {
                    Some(text) => kv::set(conn, RECORDS, id, text)?,
                    None => drop(kv::delete(conn, RECORDS, id)?),
                }
            }
            Ok(())
        };
        self.store.submit("write down a device", job, done);
    }
}

/// The close of a socket whose credential does not hold any more (T17).
pub(super) fn auth_changed() -> CloseReason {
    CloseReason::policy(4001, "gateway auth changed")
}
