//! What operators do with devices: approve, reject, remove, rename; rotate and revoke their tokens.

use super::{Devices, Effects, News};
use crate::auth::{Caller, Role};
use crate::wire::device::{
    DevicePairApproveResult, DevicePairRejectResult, DeviceTokenRevokeResult, DeviceTokenRotateResult,
};
use crate::wire::error::RpcError;
use crate::wire::scope::{Scope, Scopes};

/// Who does it.
#[derive(Debug, Clone, Copy)]
pub struct Actor<'a> {
    pub scopes: Scopes,
    /// The device the operator sits at; `None` for the owner's own tools on this host.
    pub device_id: Option<&'a str>,
}

impl<'a> From<&'a Caller> for Actor<'a> {
    fn from(caller: &'a Caller) -> Actor<'a> {
        Actor { scopes: caller.scopes, device_id: caller.client.device_id.as_deref() }
    }
}

impl Actor<'_> {
    /// Nobody gives what they do not hold (T27).
    fn holds(&self, scopes: Scopes) -> Result<(), RpcError> {
        self.scopes.lacks(scopes).map_or(Ok(()), |scope| Err(RpcError::missing_scope(scope.name())))
    }

    /// A paired device without operator.admin decides about itself only.
    fn may_touch(&self, device_id: &str) -> Result<(), RpcError> {
        match self.device_id {
            Some(own) if own != device_id && !self.scopes.allows(Scope::Admin) => {
                Err(RpcError::missing_scope(Scope::Admin.name()))
            }
            _ => Ok(()),
        }
    }
}

impl Devices {
    /// Grants what a request asks for.
    pub fn approve(
        &mut self,
        who: Actor,
        request_id: &str,
        now_ms: u64,
    ) -> Result<(DevicePairApproveResult, Effects), RpcError> {
        let at = self.waiting(request_id, now_ms)?;
        who.holds(self.pending[at].scopes)?;
        let device_id = self.pending[at].device_id.clone();
        // A paired device may not make another one in its own image without the owner's scope.
        who.may_touch(&device_id)?;
        let mut effects = Effects::saved(&device_id);
        effects.save.extend(self.make_room(&device_id));
        let request = self.pending.remove(at);
        let known = self.all.get(&device_id).map(|device| device.scopes);
        self.grant(request, "owner", now_ms);
        let device = self.all.get(&device_id).ok_or_else(unknown_device)?.row();
        if known.is_some() {
            effects = effects.tell(News::Changed);
        }
        let effects =
            effects.tell(News::Resolved { request_id: request_id.to_string(), device_id, decision: "approved" });
        Ok((DevicePairApproveResult { request_id: request_id.to_string(), device }, effects))
    }

    /// Drops a request.
    pub fn reject(&mut self, request_id: &str, now_ms: u64) -> Result<(DevicePairRejectResult, Effects), RpcError> {
        let at = self.waiting(request_id, now_ms)?;
        let request = self.pending.remove(at);
        let device_id = request.device_id;
        let effects = Effects::default().tell(News::Resolved {
            request_id: request.id.clone(),
            device_id: device_id.clone(),
            decision: "rejected",
        });
        Ok((DevicePairRejectResult { request_id: request.id, device_id }, effects))
    }

    /// Forgets a device, its tokens and its requests; its sockets close.
    pub fn remove(&mut self, who: Actor, device_id: &str) -> Result<Effects, RpcError> {
        who.may_touch(device_id)?;
        self.all.remove(device_id).ok_or_else(|| RpcError::invalid("unknown deviceId"))?;
        self.pending.retain(|request| request.device_id != device_id);
        Ok(Effects::saved(device_id).tell(News::Changed).shut(device_id, None))
    }

    /// Gives a device a name.
    pub fn rename(&mut self, who: Actor, device_id: &str, label: &str) -> Result<Effects, RpcError> {
        who.may_touch(device_id)?;
        let device = self.all.get_mut(device_id).ok_or_else(|| RpcError::invalid("unknown deviceId"))?;
        device.label = Some(label.to_string());
        Ok(Effects::saved(device_id).tell(News::Changed))
    }

    /// Ends the device's tokens for a role and makes a new one, with at most the scopes it had. Only the device itself
    /// is given it; another one gets it when it next shows the shared secret.
    pub fn rotate(
        &mut self,
        who: Actor,
        device_id: &str,
        role: &str,
        scopes: Option<Scopes>,
        now_ms: u64,
    ) -> Result<(DeviceTokenRotateResult, Effects), RpcError> {
        let role = self.role_of(device_id, role)?;
        who.may_touch(device_id)?;
        let device = self.all.get_mut(device_id).ok_or_else(unknown_device)?;
        let approved = if role == Role::Operator { device.scopes } else { Scopes::NONE };
        let row = device.token_mut(role).ok_or_else(unknown_device)?;
        let wanted = scopes.unwrap_or(row.scopes);
        if let Some(scope) = approved.lacks(wanted) {
            return Err(RpcError::missing_scope(scope.name()));
        }
        who.holds(wanted)?;
        if row.revoked_at_ms.is_some() && !who.scopes.allows(Scope::Admin) {
            // What was revoked is not brought back by whoever may pair (T29).
            return Err(RpcError::missing_scope(Scope::Admin.name()));
        }
        row.scopes = wanted;
        let token = row.rotate(now_ms);
        let own = who.device_id == Some(device_id);
        let result = DeviceTokenRotateResult {
            device_id: device_id.to_string(),
            role: role.as_str(),
            scopes: wanted,
            rotated_at_ms: now_ms,
            token: own.then(|| token.expose().to_string()),
            token_delivery: (!own).then_some("withheld-cross-device"),
        };
        let effects = Effects::saved(device_id).tell(News::Changed).shut(device_id, Some(role));
        Ok((result, effects))
    }

    /// Ends the device's tokens for a role.
    pub fn revoke(
        &mut self,
        who: Actor,
        device_id: &str,
        role: &str,
        now_ms: u64,
    ) -> Result<(DeviceTokenRevokeResult, Effects), RpcError> {
        let role = self.role_of(device_id, role)?;
        who.may_touch(device_id)?;
        let device = self.all.get_mut(device_id).ok_or_else(unknown_device)?;
        let row = device.token_mut(role).ok_or_else(unknown_device)?;
        row.revoke(now_ms);
        let result =
            DeviceTokenRevokeResult { device_id: device_id.to_string(), role: role.as_str(), revoked_at_ms: now_ms };
        Ok((result, Effects::saved(device_id).tell(News::Changed).shut(device_id, Some(role))))
    }

    fn waiting(&mut self, request_id: &str, now_ms: u64) -> Result<usize, RpcError> {
        self.expire(now_ms);
        self.pending.iter().position(|r| r.id == request_id).ok_or_else(|| RpcError::invalid("unknown requestId"))
    }

    fn role_of(&self, device_id: &str, role: &str) -> Result<Role, RpcError> {
        let device = self.all.get(device_id).ok_or_else(unknown_device)?;
        device.tokens.iter().map(|row| row.role).find(|own| own.as_str() == role).ok_or_else(unknown_device)
    }
}

fn unknown_device() -> RpcError {
    RpcError::invalid("unknown deviceId/role")
}
