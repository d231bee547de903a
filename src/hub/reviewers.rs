//! Who may see an approval and decide on it.

use crate::auth::{Caller, Role};
use crate::wire::approval::ApprovalKind;
use crate::wire::connect::ClientId;
use crate::wire::scope::Scope;

/// Whom a question is shown, as its asker wants it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Showing {
    /// Whoever can decide; where there is nobody, it is denied at once.
    #[default]
    Demanded,
    /// Whoever can decide; where there is nobody, it waits for somebody who looks.
    Waiting,
    /// Nobody: the asker shows it himself.
    Nowhere,
    /// Nobody, although somebody is demanded: it is denied.
    Hidden,
}

/// Whom an asker lets decide.
#[derive(Debug, Default)]
pub struct Reviewers {
    /// Ids of paired devices; empty: whoever may decide at all.
    devices: Vec<String>,
    /// The asker's connection; 0 = none.
    asker: u64,
}

impl Reviewers {
    pub fn of(devices: Vec<String>, asker: u64) -> Reviewers {
        let devices = devices.into_iter().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()).collect();
        Reviewers { devices, asker }
    }

    /// Whether devices are named that alone may decide.
    pub fn are_devices(&self) -> bool {
        !self.devices.is_empty()
    }

    /// Whether a caller is among them: a device that is named, the asker itself, an administrator.
    pub fn include(&self, caller: &Caller) -> bool {
        let named = |id: &String| self.devices.contains(id);
        self.devices.is_empty()
            || caller.scopes.allows(Scope::Admin)
            || self.asker != 0 && caller.conn == self.asker
            || caller.client.device_id.as_ref().is_some_and(named)
    }
}

/// Whether a client can show an approval of a kind and may decide on it.
pub fn may_decide(caller: &Caller, kind: ApprovalKind) -> bool {
    if caller.role != Role::Operator || !caller.scopes.allows(Scope::Approvals) {
        return false;
    }
    let shows = match kind {
        ApprovalKind::Exec => {
            matches!(caller.client.id, ClientId::Macos | ClientId::Ios | ClientId::Android)
                || caller.has_cap("exec-approvals")
        }
        _ => caller.client.id == ClientId::Tui || caller.has_cap("plugin-approvals"),
    };
    shows || caller.client.id == ClientId::ControlUi || caller.has_cap("approvals")
}
