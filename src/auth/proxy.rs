//! Users a trusted proxy vouches for (`gateway.auth.mode: "trusted-proxy"`).
//!
//! The proxy has asked the user; this gateway only has to be sure that it is the proxy who says so. It is believed when
//! the bytes come from an address of `gateway.trustedProxies` (loopback only with `allowLoopback`: any program of this
//! host could be that proxy), with every required header, and with exactly one value of the user header (T21).
//!
//! Deliberately absent: anything a client says of itself. Scopes it names on the way grant nothing (T23).

use std::net::IpAddr;

use super::peer::{Vouched, is_trusted};
use crate::wire::scope::Scopes;

/// `gateway.auth.trustedProxy.*`, with the scopes of identities.
#[derive(Debug, Clone, Default)]
pub struct ProxyRules {
    /// Lower case.
    pub user_header: String,
    /// Lower case.
    pub required_headers: Vec<String>,
    /// Empty: everybody the proxy lets through.
    pub allow_users: Vec<String>,
    pub allow_loopback: bool,
    /// Devices asking for no more than this are approved by themselves.
    pub auto_approve: Option<Scopes>,
    /// Users whose programs need no device, and what these may do.
    pub identities: Vec<(String, Scopes)>,
}

impl ProxyRules {
    /// Whom the headers name. `values` yields the values of a header by lower-case name.
    pub fn user<'a>(&self, peer: IpAddr, trusted: &[String], values: &dyn Fn(&str) -> Vec<&'a str>) -> Vouched {
        let shown = values(&self.user_header);
        if shown.is_empty() && (peer.is_loopback() || !is_trusted(peer, trusted)) {
            return Vouched::Nobody;
        }
        if !is_trusted(peer, trusted) {
            return Vouched::Not("trusted_proxy_untrusted_source");
        }
        if peer.is_loopback() && !self.allow_loopback {
            return Vouched::Not("trusted_proxy_loopback_source");
        }
        let missing = |name: &String| values(name).iter().all(|value| value.trim().is_empty());
        if self.required_headers.iter().any(missing) {
            return Vouched::Not("trusted_proxy_missing_header");
        }
        let user = match shown[..] {
            [] => return Vouched::Not("trusted_proxy_user_missing"),
            [only] => only.trim(),
            // One of them is not the proxy's.
            _ => return Vouched::Not("trusted_proxy_user_ambiguous"),
        };
        match user {
            "" => Vouched::Not("trusted_proxy_user_missing"),
            user if user.contains(',') => Vouched::Not("trusted_proxy_user_ambiguous"),
            user if !self.allow_users.is_empty() && !self.allow_users.iter().any(|own| own == user) => {
                Vouched::Not("trusted_proxy_user_not_allowed")
            }
            user => Vouched::User(user.to_string()),
        }
    }

    /// What the configuration gives this user without a device.
    pub fn scopes_of(&self, user: &str) -> Option<Scopes> {
        self.identities.iter().find(|(own, _)| own == user).map(|(_, scopes)| *scopes)
    }
}

impl Vouched {
    pub fn is_nobody(&self) -> bool {
        *self == Vouched::Nobody
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(peer: &str, rules: &ProxyRules, headers: &[(&str, &str)]) -> Result<String, &'static str> {
        let trusted = ["10.0.0.0/8".to_string(), "127.0.0.1".to_string()];
        let values = |name: &str| headers.iter().filter(|(n, _)| *n == name).map(|(_, v)| *v).collect();
        match rules.user(peer.parse().expect("address"), &trusted, &values) {
            Vouched::User(user) => Ok(user),
            Vouched::Not(why) => Err(why),
            Vouched::Nobody => Err("nobody"),
        }
    }

    #[test]
    fn t21_a_user_is_believed_from_the_proxy_once_and_whole() {
        let rules = ProxyRules {
            user_header: "x-user".into(),
            required_headers: vec!["x-sso".into()],
            allow_users: vec!["ada".into(), "eve,ada".into()],
            ..ProxyRules::default()
        };
        type Case = (&'static str, &'static [(&'static str, &'static str)], Result<&'static str, &'static str>);
        const SSO: (&str, &str) = ("x-sso", "1");
        let table: &[Case] = &[
            ("10.0.0.1", &[SSO, ("x-user", " ada ")], Ok("ada")),
            ("10.0.0.1", &[("x-user", "ada")], Err("trusted_proxy_missing_header")),
            ("10.0.0.1", &[("x-sso", " "), ("x-user", "ada")], Err("trusted_proxy_missing_header")),
            ("10.0.0.1", &[SSO], Err("trusted_proxy_user_missing")),
            ("10.0.0.1", &[SSO, ("x-user", " ")], Err("trusted_proxy_user_missing")),
            ("10.0.0.1", &[SSO, ("x-user", "eve"), ("x-user", "ada")], Err("trusted_proxy_user_ambiguous")),
            ("10.0.0.1", &[SSO, ("x-user", "ada"), ("x-user", "ada")], Err("trusted_proxy_user_ambiguous")),
            ("10.0.0.1", &[SSO, ("x-user", "eve,ada")], Err("trusted_proxy_user_ambiguous")),
            ("10.0.0.1", &[SSO, ("x-user", "eve")], Err("trusted_proxy_user_not_allowed")),
            ("192.168.1.1", &[SSO, ("x-user", "ada")], Err("trusted_proxy_untrusted_source")),
            ("127.0.0.1", &[SSO, ("x-user", "ada")], Err("trusted_proxy_loopback_source")),
            ("127.0.0.1", &[], Err("nobody")),
        ];
        for (peer, headers, expected) in table {
            assert_eq!(said(peer, &rules, headers), expected.map(String::from), "{peer} {headers:?}");
        }
        let own_host = ProxyRules { allow_loopback: true, ..rules };
        assert_eq!(said("127.0.0.1", &own_host, &[SSO, ("x-user", "ada")]), Ok("ada".into()));
    }
}
