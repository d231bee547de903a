//! Setup codes: an invitation an administrator makes for one device.
//!
//! A code is good once, for [`CODE_TTL`], for whoever shows it first, and lives in memory only. The link that hands it
//! over is good once as well.

use super::arrive::{Admission, Arrival, HandOver};
use super::{Devices, Effects, News, Request};
use crate::auth::{Refusal, Role};
use crate::sys::random;
use crate::sys::secret::Secret;
use crate::wire::scope::{Scope, Scopes};

/// Long enough to find the phone, short enough to forget about (milliseconds).
pub const CODE_TTL: u64 = 10 * 60 * 1000;
/// Codes that are good at the same time; beyond it the oldest dies.
const CODES: usize = 16;

/// What the invited device may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// A node and nothing else.
    Node,
    /// As [`Profile::Full`], without what is the administrator's.
    Limited,
    /// A node whose owner also operates the gateway from it.
    Full,
}

impl Profile {
    pub fn as_str(self) -> &'static str {
        match self {
            Profile::Node => "node",
            Profile::Limited => "limited",
            Profile::Full => "full",
        }
    }

    fn roles(self) -> &'static [Role] {
        match self {
            Profile::Node => &[Role::Node],
            Profile::Limited | Profile::Full => &[Role::Node, Role::Operator],
        }
    }

    /// What the operator on that device may do: everything but letting others in.
    fn scopes(self) -> Scopes {
        use Scope::{Admin, Approvals, Questions, Read, TalkSecrets, Write};
        match self {
            Profile::Node => Scopes::NONE,
            Profile::Limited => Scopes::of(&[Approvals, Questions, Read, TalkSecrets, Write]),
            Profile::Full => Scopes::of(&[Admin, Approvals, Questions, Read, TalkSecrets, Write]),
        }
    }
}

/// One invitation.
#[derive(Debug, Clone)]
pub struct SetupCode {
    pub id: String,
    /// The gateway's address, as the device will use it.
    pub url: String,
    pub token: Secret,
    /// The last part of the link.
    pub link: Secret,
    pub profile: Profile,
    /// Milliseconds.
    pub expires_at_ms: u64,
    /// The link was followed.
    fetched: bool,
}

impl Devices {
    /// Makes an invitation.
    pub fn invite(&mut self, url: String, profile: Profile, now_ms: u64) -> SetupCode {
        self.forget_codes(now_ms);
        if self.codes.len() >= CODES {
            self.codes.remove(0);
        }
        let code = SetupCode {
            id: random::uuid(),
            url,
            token: Secret::new(random::token::<32>()),
            link: Secret::new(random::token::<16>()),
            profile,
            expires_at_ms: now_ms + CODE_TTL,
            fetched: false,
        };
        self.codes.push(code.clone());
        code
    }

    /// Follows the link of an invitation: once.
    pub fn fetch(&mut self, link: &str, now_ms: u64) -> Option<SetupCode> {
        self.forget_codes(now_ms);
        let found = self.codes.iter().position(|code| code.link.matches(link))?;
        let code = &mut self.codes[found];
        (!std::mem::replace(&mut code.fetched, true)).then(|| code.clone())
    }

    /// Takes up an invitation: approves the device and spends the code.
    pub(super) fn take_up(
        &mut self,
        arrival: &Arrival,
        token: &Secret,
        otherwise: &Refusal,
        now_ms: u64,
    ) -> (Result<Admission, Refusal>, Effects) {
        self.forget_codes(now_ms);
        let found = self.codes.iter().position(|code| {
            code.token.matches(token.expose())
                && code.profile.roles().contains(&arrival.role)
                && code.profile.scopes().lacks(arrival.scopes).is_none()
        });
        let device_id = arrival.device_id();
        let Some(at) = found.filter(|_| self.has_room(device_id)) else {
            return (Err(otherwise.clone()), Effects::default());
        };
        let SetupCode { profile, id: setup_id, .. } = self.codes.remove(at);
        let mut effects = Effects::saved(device_id);
        effects.save.extend(self.make_room(device_id));
        self.pending.retain(|request| request.device_id != device_id);
        let asked = Request::of(arrival, false, now_ms);
        let request_id = asked.id.clone();
        self.grant(
            Request { roles: profile.roles().to_vec(), scopes: profile.scopes(), ..asked },
            "setup-code",
            now_ms,
        );
        let Some(device) = self.all.get_mut(device_id) else { return (Err(otherwise.clone()), effects) };
        device.last_seen_at_ms = Some(now_ms);
        // An invitation by the administrator brings back what was revoked, and ends what went before.
        let mut handed: Vec<HandOver> = Vec::new();
        for role in profile.roles() {
            if let Some(row) = device.token_mut(*role) {
                let token = row.rotate(now_ms);
                handed.push(HandOver {
                    role: *role,
                    scopes: row.scopes.limit(profile.scopes()),
                    token,
                    issued_at_ms: now_ms,
                });
            }
        }
        self.note_taken_up(setup_id, device_id, profile.as_str(), now_ms);
        // The administrator who made the invitation has approved what its first guest brings along.
        let offered = self.take_offer(arrival, true, now_ms);
        let own = handed.iter().position(|token| token.role == arrival.role).map(|at| handed.remove(at));
        let effects = effects.shut(device_id, None).tell(News::Resolved {
            request_id,
            device_id: device_id.to_string(),
            decision: "approved",
        });
        let effects = offered.into_iter().fold(effects, Effects::tell);
        let admission = Admission {
            method: "bootstrap-token",
            scopes: arrival.scopes,
            issued_at_ms: own.as_ref().map(|token| token.issued_at_ms),
            token: own.map(|token| token.token),
            others: handed,
        };
        (Ok(admission), effects)
    }

    fn forget_codes(&mut self, now_ms: u64) {
        self.codes.retain(|code| now_ms < code.expires_at_ms);
    }
}
