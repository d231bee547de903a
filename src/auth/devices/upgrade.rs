//! A connected device asks for more (`device.scopes.*`), and what has become of invitations (`device.pair.setupStatus`).
//!
//! Asking leaves a request like a connect would; an operator decides about it in the same way.

use super::{Devices, Effects, News, REQUESTS, Request};
use crate::auth::Role;
use crate::sys::random;
use crate::sys::secret::Secret;
use crate::wire::device::SetupOutcome;
use crate::wire::error::RpcError;
use crate::wire::scope::Scopes;

/// Outcomes of invitations that are remembered; beyond it the oldest goes.
const OUTCOMES: usize = 16;

/// An invitation somebody took up.
#[derive(Debug, Clone)]
pub(super) struct TakenUp {
    outcome: SetupOutcome,
    /// The answer with its tokens went out.
    delivered: bool,
}

impl Devices {
    /// Leaves a request for `scopes` beside what the device has. The same wish again is the same request.
    pub fn ask_for_more(
        &mut self,
        device_id: &str,
        scopes: Scopes,
        now_ms: u64,
    ) -> Result<(String, Effects), RpcError> {
        self.expire(now_ms);
        let device = self.all.get(device_id).ok_or_else(|| RpcError::invalid("device identity required"))?;
        let known = self.pending.iter().position(|request| request.device_id == device_id);
        let mut wanted = device.scopes.with(scopes);
        let mut roles = vec![Role::Operator];
        if let Some(at) = known {
            let before = &self.pending[at];
            if before.roles.contains(&Role::Operator) && before.scopes.lacks(wanted).is_none() {
                self.pending[at].at_ms = now_ms;
                return Ok((self.pending[at].id.clone(), Effects::default()));
            }
            wanted = wanted.with(before.scopes);
            roles.extend(before.roles.iter().copied().filter(|role| *role != Role::Operator));
        }
        let request = Request {
            id: random::uuid(),
            device_id: device_id.to_string(),
            public_key: device.public_key.clone(),
            display_name: device.display_name.clone(),
            platform: device.platform.clone(),
            device_family: device.device_family.clone(),
            client_id: device.client_id.clone(),
            client_mode: device.client_mode.clone(),
            role: Role::Operator,
            roles,
            scopes: wanted,
            remote_ip: device.remote_ip.clone(),
            is_repair: true,
            at_ms: now_ms,
        };
        if let Some(at) = known {
            self.pending.remove(at);
        } else if self.pending.len() >= REQUESTS {
            self.pending.remove(0);
        }
        let id = request.id.clone();
        self.pending.push(request);
        Ok((id.clone(), Effects::default().tell(News::Requested(id))))
    }

    /// The device whose request this is, while it waits.
    pub fn asker(&self, request_id: &str) -> Option<&str> {
        self.pending.iter().find(|request| request.id == request_id).map(|request| request.device_id.as_str())
    }

    /// The token and scopes a device has now as an operator; it must be written down.
    pub fn operator_token(&mut self, device_id: &str) -> Option<(Secret, Scopes)> {
        let row = self.all.get_mut(device_id)?.token_mut(Role::Operator)?;
        let (token, _) = row.give()?;
        Some((token, row.scopes))
    }

    /// Notes that an invitation was taken up.
    pub(super) fn note_taken_up(&mut self, setup_id: String, device_id: &str, access: &'static str, now_ms: u64) {
        if self.taken_up.len() >= OUTCOMES {
            self.taken_up.remove(0);
        }
        let device_name = self.all.get(device_id).and_then(|device| device.display_name.clone());
        let outcome = SetupOutcome { setup_id, device_id: device_id.to_string(), device_name, access, ts: now_ms };
        self.taken_up.push(TakenUp { outcome, delivered: false });
    }

    /// The tokens of an invitation went out to this device.
    pub fn set_up(&mut self, device_id: &str) -> Option<SetupOutcome> {
        let taken = self.taken_up.iter_mut().rev().find(|taken| taken.outcome.device_id == device_id)?;
        taken.delivered = true;
        Some(taken.outcome.clone())
    }

    /// What has become of an invitation: its outcome, and whether its tokens went out.
    pub fn setup_status(&self, setup_id: &str) -> Option<(SetupOutcome, bool)> {
        let taken = self.taken_up.iter().find(|taken| taken.outcome.setup_id == setup_id)?;
        Some((taken.outcome.clone(), taken.delivered))
    }
}
