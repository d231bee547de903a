//! What a caller may do: the operator scopes and how one implies another (gateway/operator-scopes of the reference).

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One operator scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Scope {
    Read = 1,
    Write = 2,
    Admin = 4,
    Approvals = 8,
    Questions = 16,
    Pairing = 32,
    Talk = 64,
    TalkSecrets = 128,
    SessionsRead = 256,
    SessionsWrite = 512,
}

/// Every scope with the name it has on the wire.
pub const NAMES: &[(Scope, &str)] = &[
    (Scope::Admin, "operator.admin"),
    (Scope::Read, "operator.read"),
    (Scope::Write, "operator.write"),
    (Scope::Approvals, "operator.approvals"),
    (Scope::Questions, "operator.questions"),
    (Scope::Pairing, "operator.pairing"),
    (Scope::Talk, "operator.talk"),
    (Scope::TalkSecrets, "operator.talk.secrets"),
    (Scope::SessionsRead, "operator.sessions.read"),
    (Scope::SessionsWrite, "operator.sessions.write"),
];

impl Scope {
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(scope, _)| *scope == self).map_or("operator.admin", |(_, name)| name)
    }

    pub fn parse(name: &str) -> Option<Scope> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(scope, _)| *scope)
    }
}

/// A set of scopes. Empty means none, never all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u16);

impl Scopes {
    pub const NONE: Scopes = Scopes(0);
    /// Every scope there is.
    pub const ALL: Scopes = Scopes(1023);

    pub fn of(scopes: &[Scope]) -> Scopes {
        Scopes(scopes.iter().fold(0, |sum, scope| sum | *scope as u16))
    }

    /// Names that are not scopes are left out: they grant nothing.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Scopes {
        Scopes(names.into_iter().filter_map(Scope::parse).fold(0, |sum, scope| sum | scope as u16))
    }

    /// The full set a shared secret stands for over HTTP.
    pub fn operator_default() -> Scopes {
        Scopes::of(&[
            Scope::Admin,
            Scope::Read,
            Scope::Write,
            Scope::Approvals,
            Scope::Questions,
            Scope::Pairing,
            Scope::TalkSecrets,
        ])
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// As [`Scopes::is_empty`], for serde.
    pub fn is_none(&self) -> bool {
        self.0 == 0
    }

    /// Whether the set holds `scope` itself, without what others imply.
    pub fn holds(self, scope: Scope) -> bool {
        self.0 & scope as u16 != 0
    }

    /// Whether a caller with this set may do what needs `scope`: admin satisfies everything, write implies read, talk
    /// and both session scopes, read implies reading sessions.
    pub fn allows(self, scope: Scope) -> bool {
        use Scope::*;
        let enough: &[Scope] = match scope {
            Read | Talk => &[Write],
            SessionsRead => &[SessionsRead, SessionsWrite, Read, Write],
            SessionsWrite => &[SessionsWrite, Write],
            _ => &[],
        };
        self.holds(Admin) || self.holds(scope) || enough.iter().any(|held| self.holds(*held))
    }

    /// The first scope of `wanted` that a caller with this set may not use; `None` when it may use all of them.
    pub fn lacks(self, wanted: Scopes) -> Option<Scope> {
        NAMES.iter().map(|(scope, _)| *scope).find(|scope| wanted.holds(*scope) && !self.allows(*scope))
    }

    pub fn with(self, other: Scopes) -> Scopes {
        Scopes(self.0 | other.0)
    }

    /// What both sets hold, counting what a scope implies: the part of `wanted` this set allows.
    pub fn limit(self, wanted: Scopes) -> Scopes {
        Scopes(NAMES.iter().filter(|(s, _)| wanted.holds(*s) && self.allows(*s)).fold(0, |sum, (s, _)| sum | *s as u16))
    }

    /// With read and write spelled out where something larger implies them, as tokens are listed.
    pub fn spelled_out(self) -> Scopes {
        let implied = [Scope::Read, Scope::Write].into_iter().filter(|s| self.allows(*s));
        implied.fold(self, |all, scope| Scopes(all.0 | scope as u16))
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(scope, _)| self.holds(*scope)).map(|(_, name)| *name)
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Scopes, D::Error> {
        Ok(Scopes::parse(Vec::<String>::deserialize(from)?.iter().map(String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_scope_implies_others_as_documented() {
        use Scope::*;
        let table = [
            (&[Admin][..], &[Read, Write, Admin, Approvals, Questions, Pairing, Talk, SessionsWrite][..]),
            (&[Write], &[Read, Write, Talk, SessionsRead, SessionsWrite]),
            (&[Read], &[Read, SessionsRead]),
            (&[SessionsWrite], &[SessionsRead, SessionsWrite]),
            (&[], &[]),
        ];
        for (held, expected) in table {
            let set = Scopes::of(held);
            for (scope, name) in NAMES {
                let wanted = expected.contains(scope) || held.contains(&Admin);
                assert_eq!(set.allows(*scope), wanted, "{held:?} and {name}");
            }
        }
    }

    #[test]
    fn an_unknown_name_grants_nothing() {
        assert!(Scopes::parse(["operator.everything", ""]).is_empty());
        assert_eq!(Scopes::parse(["operator.read"]).names().collect::<Vec<_>>(), ["operator.read"]);
    }
}
