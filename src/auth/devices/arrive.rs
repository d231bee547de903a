//! A device that proved its key asks to come in.

use super::nodes::Offer;
use super::{DEVICES, Device, Devices, Effects, News, REQUESTS, Request};
use std::sync::Arc;

use crate::auth::connect::{Refusal, device_token_mismatch};
use crate::auth::{Client, Role};
use crate::sys::random;
use crate::sys::secret::Secret;
use crate::wire::connect::ClientMode;
use crate::wire::device::{PairingReason, PairingRequired};
use crate::wire::error::RpcError;
use crate::wire::scope::Scopes;

/// How often the moment a device was last seen is written down (milliseconds): flash wears out.
const SEEN_EVERY: u64 = 60 * 60 * 1000;

/// What a device shows besides its key.
#[derive(Debug)]
pub enum Proof {
    /// The shared secret, or none where none is needed; the word hello-ok reports.
    Shared(&'static str),
    /// Tokens it offers, and what to answer when none of them is its own.
    Token { offered: Vec<Secret>, otherwise: Box<Refusal> },
    /// A setup code.
    Bootstrap { token: Secret, otherwise: Box<Refusal> },
}

/// A device at the door. Its signature was checked.
#[derive(Debug)]
pub struct Arrival {
    pub client: Client,
    pub public_key: String,
    pub role: Role,
    pub scopes: Scopes,
    pub remote_ip: Option<String>,
    pub proof: Proof,
    pub unasked: Option<Unasked>,
    /// What it can do, if it comes as a node.
    pub offer: Option<Arc<Offer>>,
}

/// Why nobody needs to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unasked {
    /// A program on this host that knows the shared secret.
    Silent,
    /// A node from a network of `gateway.nodes.pairing.autoApproveCidrs`.
    Cidr,
    /// A user of the trusted proxy (`gateway.auth.trustedProxy.deviceAutoApprove`).
    Proxy,
}

impl Unasked {
    /// What the record says of the approval.
    fn as_str(self) -> &'static str {
        match self {
            Unasked::Silent => "silent",
            Unasked::Cidr => "cidr",
            Unasked::Proxy => "trusted-proxy",
        }
    }

    /// Another machine behind the same key is always a question.
    fn covers(self, reason: PairingReason) -> bool {
        match reason {
            PairingReason::NotPaired => true,
            PairingReason::MetadataUpgrade => false,
            PairingReason::RoleUpgrade => self == Unasked::Silent,
            PairingReason::ScopeUpgrade => self != Unasked::Cidr,
        }
    }
}

/// A device that may come in.
#[derive(Debug)]
pub struct Admission {
    pub method: &'static str,
    pub scopes: Scopes,
    /// What to connect with from now on. Absent when an operator revoked it.
    pub token: Option<Secret>,
    pub issued_at_ms: Option<u64>,
    /// Tokens for other roles.
    pub others: Vec<HandOver>,
}

/// A token for another role of the same device.
#[derive(Debug)]
pub struct HandOver {
    pub role: Role,
    pub scopes: Scopes,
    pub token: Secret,
    pub issued_at_ms: u64,
}

impl Arrival {
    pub(super) fn device_id(&self) -> &str {
        self.client.device_id.as_deref().unwrap_or("")
    }
}

impl Devices {
    /// Decides on a device at the door.
    pub fn arrive(&mut self, arrival: &Arrival, now_ms: u64) -> (Result<Admission, Refusal>, Effects) {
        if let Proof::Bootstrap { token, otherwise } = &arrival.proof {
            return self.take_up(arrival, token, otherwise, now_ms);
        }
        let mut effects = Effects::default();
        let method = match self.prove(arrival) {
            Ok(method) => method,
            Err(refusal) => return (Err(refusal), effects),
        };
        if let Some(reason) = self.lacking(arrival) {
            match arrival.unasked {
                Some(via) if via.covers(reason) && self.has_room(arrival.device_id()) => {
                    effects = self.let_in(arrival, via.as_str(), now_ms);
                }
                _ => return self.ask(arrival, reason, now_ms),
            }
        }
        let offered = self.take_offer(arrival, false, now_ms);
        let Some(device) = self.all.get_mut(arrival.device_id()) else {
            return (Err(device_token_mismatch()), effects);
        };
        let (token, fresh) = match device.token_mut(arrival.role).and_then(|row| row.give().map(|given| (given, row))) {
            Some(((token, fresh), row)) => (Some((token, row.issued_at_ms())), fresh),
            None => (None, false),
        };
        let stale = device.last_seen_at_ms.is_none_or(|at| now_ms.saturating_sub(at) >= SEEN_EVERY);
        device.last_seen_at_ms = Some(now_ms);
        if (fresh || stale || offered.is_some()) && effects.save.is_empty() {
            effects.save.push(device.device_id.clone());
        }
        effects.news.extend(offered);
        let (token, issued_at_ms) = token.map_or((None, None), |(token, at)| (Some(token), Some(at)));
        (Ok(Admission { method, scopes: arrival.scopes, token, issued_at_ms, others: Vec::new() }), effects)
    }

    /// Whether an admitted connection of this device may still be there: asked when it is announced, because the device
    /// may have been removed, or its token rotated, since it was admitted.
    pub fn still(&self, device_id: &str, role: Role, issued_at_ms: Option<u64>) -> bool {
        let row = self.all.get(device_id).and_then(|device| device.token(role));
        row.is_some_and(|row| row.revoked_at_ms.is_none().then(|| row.issued_at_ms()) == issued_at_ms)
    }

    /// Whose key it is was checked; this is what makes that key welcome.
    fn prove(&self, arrival: &Arrival) -> Result<&'static str, Refusal> {
        let (offered, otherwise) = match &arrival.proof {
            Proof::Shared(method) => return Ok(method),
            Proof::Token { offered, otherwise } => (offered, otherwise),
            Proof::Bootstrap { otherwise, .. } => return Err((**otherwise).clone()),
        };
        let row = self.all.get(arrival.device_id()).and_then(|device| device.token(arrival.role));
        match row {
            Some(row) if offered.iter().any(|token| row.accepts(token.expose())) => Ok("device-token"),
            _ => Err((**otherwise).clone()),
        }
    }

    /// What the device asks for beyond what was approved.
    fn lacking(&self, arrival: &Arrival) -> Option<PairingReason> {
        let Some(device) = self.all.get(arrival.device_id()) else { return Some(PairingReason::NotPaired) };
        let family = |family: &Option<String>| family.as_deref().map(plain).unwrap_or_default();
        let pinned = family(&device.device_family);
        if platform(&device.platform) != platform(&arrival.client.platform)
            || (!pinned.is_empty() && pinned != family(&arrival.client.device_family))
        {
            return Some(PairingReason::MetadataUpgrade);
        }
        if !device.roles.contains(&arrival.role) {
            return Some(PairingReason::RoleUpgrade);
        }
        // A token may stand for less than its device.
        let narrow = matches!(arrival.proof, Proof::Token { .. })
            && device.token(arrival.role).is_some_and(|row| row.scopes.lacks(arrival.scopes).is_some());
        (narrow || device.scopes.lacks(arrival.scopes).is_some()).then_some(PairingReason::ScopeUpgrade)
    }

    /// Approves without asking: the caller has shown the shared secret from this host, or the configuration says so.
    fn let_in(&mut self, arrival: &Arrival, via: &str, now_ms: u64) -> Effects {
        let device_id = arrival.device_id().to_string();
        let mut effects = Effects::saved(&device_id);
        effects.save.extend(self.make_room(&device_id));
        let waiting = self.pending.iter().position(|request| request.device_id == device_id);
        let request = waiting.map_or_else(|| Request::of(arrival, false, now_ms), |at| self.pending.remove(at));
        let request_id = request.id.clone();
        // What waited for an operator is not granted along with it.
        let asked = Request { roles: vec![arrival.role], scopes: arrival.scopes, ..request };
        self.grant(asked, via, now_ms);
        effects.tell(News::Resolved { request_id, device_id, decision: "approved" })
    }

    /// Puts what was asked for into the device's record.
    pub(super) fn grant(&mut self, request: Request, via: &str, now_ms: u64) {
        let device = self.all.get_or_insert_with(request.device_id.clone(), || Device {
            device_id: request.device_id.clone(),
            public_key: request.public_key.clone(),
            display_name: None,
            label: None,
            platform: String::new(),
            device_family: None,
            client_id: String::new(),
            client_mode: String::new(),
            roles: Vec::new(),
            scopes: Scopes::NONE,
            remote_ip: None,
            approved_via: String::new(),
            created_at_ms: now_ms,
            approved_at_ms: now_ms,
            last_seen_at_ms: None,
            tokens: Vec::new(),
            node: None,
        });
        device.platform = request.platform;
        device.device_family = request.device_family;
        device.client_id = request.client_id;
        device.client_mode = request.client_mode;
        device.display_name = request.display_name.or(device.display_name.take());
        device.remote_ip = request.remote_ip.or(device.remote_ip.take());
        device.approved_via = via.to_string();
        device.approved_at_ms = now_ms;
        for role in request.roles {
            if !device.roles.contains(&role) {
                device.roles.push(role);
            }
        }
        device.scopes = device.scopes.with(request.scopes);
        device.renew_tokens(now_ms);
    }

    /// Refuses, and leaves a request for an operator.
    fn ask(&mut self, arrival: &Arrival, reason: PairingReason, now_ms: u64) -> (Result<Admission, Refusal>, Effects) {
        self.expire(now_ms);
        let mut effects = Effects::default();
        let device_id = arrival.device_id();
        let at = self.pending.iter().position(|request| request.device_id == device_id);
        let id = match at {
            Some(at) if self.pending[at].asks_for(arrival) => {
                self.pending[at].at_ms = now_ms;
                self.pending[at].id.clone()
            }
            at => {
                let mut request = Request::of(arrival, self.all.contains_key(device_id), now_ms);
                if let Some(at) = at {
                    // It asks for more than the operator may be looking at: that one cannot be approved any more.
                    let before = self.pending.remove(at);
                    request.scopes = request.scopes.with(before.scopes);
                    let roles = before.roles.into_iter().filter(|role| *role != arrival.role);
                    request.roles.extend(roles);
                }
                if self.pending.len() >= REQUESTS {
                    self.pending.remove(0);
                }
                let id = request.id.clone();
                self.pending.push(request);
                effects = effects.tell(News::Requested(id.clone()));
                id
            }
        };
        (Err(self.required(arrival, reason, &id)), effects)
    }

    fn required(&self, arrival: &Arrival, reason: PairingReason, request_id: &str) -> Refusal {
        let device = self.all.get(arrival.device_id());
        // People who look at the screen will see it go on by itself.
        let waits = matches!(arrival.client.mode, ClientMode::Ui | ClientMode::Webchat);
        let error = RpcError::not_paired(reason.message()).details(&PairingRequired {
            code: "PAIRING_REQUIRED",
            reason: reason.as_str(),
            request_id,
            remediation_hint: reason.hint(),
            recommended_next_step: waits.then_some("wait_then_retry"),
            retryable: waits.then_some(true),
            pause_reconnect: waits.then_some(false),
            device_id: arrival.device_id(),
            requested_role: arrival.role.as_str(),
            requested_scopes: arrival.scopes,
            approved_roles: device.map(Device::role_names).unwrap_or_default(),
            approved_scopes: device.map_or(Scopes::NONE, |device| device.scopes),
        });
        Refusal::pairing(error, request_id)
    }

    pub(super) fn has_room(&self, device_id: &str) -> bool {
        self.all.len() < DEVICES || self.all.contains_key(device_id) || self.least().is_some()
    }

    /// Forgets a device that nobody approved by hand, if a new one would be one too many. Returns its id.
    pub(super) fn make_room(&mut self, device_id: &str) -> Option<String> {
        if self.all.len() < DEVICES || self.all.contains_key(device_id) {
            return None;
        }
        let least = self.least()?;
        self.all.remove(&least);
        Some(least)
    }

    fn least(&self) -> Option<String> {
        let unasked = self.all.values().filter(|device| device.approved_via == "silent");
        unasked.min_by_key(|device| device.last_seen_at_ms).map(|device| device.device_id.clone())
    }
}

impl Request {
    pub(super) fn of(arrival: &Arrival, is_repair: bool, now_ms: u64) -> Request {
        let client = &arrival.client;
        Request {
            id: random::uuid(),
            device_id: arrival.device_id().to_string(),
            public_key: arrival.public_key.clone(),
            display_name: client.display_name.clone(),
            platform: client.platform.clone(),
            device_family: client.device_family.clone(),
            client_id: client.id.as_str().to_string(),
            client_mode: client.mode.as_str().to_string(),
            role: arrival.role,
            roles: vec![arrival.role],
            scopes: arrival.scopes,
            remote_ip: arrival.remote_ip.clone(),
            is_repair,
            at_ms: now_ms,
        }
    }

    /// Whether approving this request would let `arrival` in: it asks for no more, and is the same machine.
    fn asks_for(&self, arrival: &Arrival) -> bool {
        self.roles.contains(&arrival.role)
            && self.scopes.lacks(arrival.scopes).is_none()
            && plain(&self.platform) == plain(&arrival.client.platform)
            && self.device_family.as_deref().map(plain) == arrival.client.device_family.as_deref().map(plain)
    }
}

fn plain(text: &str) -> String {
    text.trim().to_ascii_lowercase()
}

/// The name of a platform without its version: an update of the system does not make another device.
fn platform(text: &str) -> String {
    plain(text).split(|c: char| c.is_ascii_digit() || c == ' ').next().unwrap_or("").to_string()
}
