//! Devices that wait to be given more than they have.
//!
//! Invariants: at most [`WAITS`] wait; each is answered by the decision or when its request is forgotten.

use super::event::Now;
use super::timers::Due;
use super::{State, Ticket};
use crate::auth::devices::REQUEST_TTL;
use crate::wire::device::ScopeUpgradeResult;
use crate::wire::error::RpcError;
use std::time::Duration;

/// Requests whose decision is awaited.
const WAITS: usize = 64;
/// Decisions remembered for those who ask a moment later.
const DECIDED: usize = 32;

/// Who waits, and what was decided lately.
#[derive(Default)]
pub struct Upgrades {
    waits: Vec<(String, Ticket)>,
    /// Request, device, decision.
    decided: Vec<(String, String, &'static str)>,
}

impl State {
    /// Answers when the request of this device is decided.
    pub fn await_upgrade(&mut self, device_id: &str, request_id: &str, ticket: Ticket, now: Now) {
        if let Some((_, device, decision)) = self.upgrades.decided.iter().find(|(id, ..)| id == request_id).cloned() {
            return match device == device_id {
                true => ticket.answer_with(Ok(self.upgrade_result(request_id, &device, decision))),
                false => ticket.answer(Err(RpcError::invalid("unknown requestId"))),
            };
        }
        match self.devices.asker(request_id) {
            None => {
                return ticket.answer_with(Ok(ScopeUpgradeResult::ended("expired", request_id)));
            }
            Some(asker) if asker != device_id => {
                return ticket.answer(Err(RpcError::invalid("unknown requestId")));
            }
            Some(_) => {}
        }
        if self.upgrades.waits.len() >= WAITS {
            return ticket.answer(Err(RpcError::busy()));
        }
        self.upgrades.waits.push((request_id.to_string(), ticket));
        self.timers.at(now.at + Duration::from_millis(REQUEST_TTL), Due::UpgradeOver(request_id.to_string()));
    }

    /// A request was decided: whoever waits for it hears of it.
    pub(super) fn upgrade_decided(&mut self, request_id: &str, device_id: &str, decision: &'static str) {
        if self.upgrades.decided.len() >= DECIDED {
            self.upgrades.decided.remove(0);
        }
        self.upgrades.decided.push((request_id.to_string(), device_id.to_string(), decision));
        for ticket in self.take_waits(request_id) {
            let result = self.upgrade_result(request_id, device_id, decision);
            ticket.answer_with(Ok(result));
        }
    }

    /// A request may have been forgotten.
    pub(super) fn upgrade_over(&mut self, request_id: &str, now: Now) {
        self.devices.requests(now.ms);
        if self.devices.asker(request_id).is_some() {
            self.timers.at(now.at + Duration::from_millis(REQUEST_TTL), Due::UpgradeOver(request_id.to_string()));
            return;
        }
        for ticket in self.take_waits(request_id) {
            ticket.answer_with(Ok(ScopeUpgradeResult::ended("expired", request_id)));
        }
    }

    fn take_waits(&mut self, request_id: &str) -> Vec<Ticket> {
        let all = std::mem::take(&mut self.upgrades.waits);
        let (over, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|(id, _)| id == request_id);
        self.upgrades.waits = rest;
        over.into_iter().map(|(_, ticket)| ticket).collect()
    }

    fn upgrade_result(&mut self, request_id: &str, device_id: &str, decision: &str) -> ScopeUpgradeResult {
        if decision != "approved" {
            return ScopeUpgradeResult::ended("rejected", request_id);
        }
        let Some((token, scopes)) = self.devices.operator_token(device_id) else {
            return ScopeUpgradeResult::ended("rejected", request_id);
        };
        self.note_device(device_id);
        ScopeUpgradeResult::approved(request_id, token.expose(), scopes)
    }
}
