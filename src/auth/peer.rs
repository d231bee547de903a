//! Where the bytes come from: the address of the peer, or what a trusted proxy says of it.
//!
//! A forwarded header from a peer nobody trusts makes the request unattributable: it is neither that peer nor the
//! address in the header, so it is refused (`proxy_attribution_required`, T20) instead of guessed.

use std::net::IpAddr;

use super::Policy;

/// Headers by which proxies say for whom they speak.
pub const FORWARDED: [&str; 7] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-real-ip",
];

/// What is known about the other end of a connection.
#[derive(Debug, Clone, Default)]
pub struct PeerFacts {
    /// The client's own address, behind a trusted proxy if there is one.
    pub ip: Option<IpAddr>,
    /// The client is on this host, means this host, and no proxy is between.
    pub local: bool,
    pub origin: Option<String>,
    pub host: Option<String>,
    /// Whom a trusted proxy says it is; decided only in mode trusted-proxy.
    pub user: Vouched,
}

/// What a trusted proxy says about a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Vouched {
    /// No proxy vouches for users here.
    #[default]
    Nobody,
    User(String),
    /// The proxy's word does not count, and why.
    Not(&'static str),
}

/// Why a peer is not even asked who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwelcome {
    /// A forwarded header came from a peer that is not in `gateway.trustedProxies`.
    Unattributed,
    /// It is in none of the networks of `gateway.allowCidrs`.
    NotAllowed,
}

/// Finds the client behind `peer`, if it may be here. `values` yields the values of a header by lower-case name, in the order they came.
pub fn attribute<'a>(
    peer: IpAddr,
    policy: &Policy,
    values: impl Fn(&str) -> Vec<&'a str>,
) -> Result<PeerFacts, Unwelcome> {
    let facts = behind(peer, policy, values)?;
    let allowed = |ip: IpAddr| ip.is_loopback() || is_trusted(ip, &policy.allow_from);
    match policy.allow_from.is_empty() || facts.ip.is_some_and(allowed) {
        true => Ok(facts),
        false => Err(Unwelcome::NotAllowed),
    }
}

fn behind<'a>(peer: IpAddr, policy: &Policy, values: impl Fn(&str) -> Vec<&'a str>) -> Result<PeerFacts, Unwelcome> {
    let peer = unmap(peer);
    let first = |name: &str| values(name).first().map(|value| value.to_string());
    let user =
        policy.proxy.as_ref().map_or(Vouched::Nobody, |rules| rules.user(peer, &policy.trusted_proxies, &values));
    let host = first("host");
    let facts = |ip: IpAddr, direct: bool| PeerFacts {
        ip: Some(ip),
        // A page that reached us by a name of its own (DNS rebinding) is not this host, nor is a proxy's user (T04, T21).
        local: direct && ip.is_loopback() && host.as_deref().is_none_or(means_this_host) && user.is_nobody(),
        origin: first("origin"),
        host: host.clone(),
        user: user.clone(),
    };
    if !FORWARDED.iter().any(|name| !values(name).is_empty()) {
        return Ok(facts(peer, true));
    }
    if !is_trusted(peer, &policy.trusted_proxies) {
        return Err(Unwelcome::Unattributed);
    }
    let chain = values("x-forwarded-for");
    if chain.is_empty() && policy.real_ip {
        let [only] = values("x-real-ip")[..] else { return Err(Unwelcome::Unattributed) };
        let ip = parse_hop(only).ok_or(Unwelcome::Unattributed)?;
        return Ok(facts(ip, false));
    }
    // The right-most address that is not a proxy of ours is the client; what is left of it, anyone may have written.
    // Several headers are one list in their order.
    for hop in chain.iter().rev().flat_map(|value| value.rsplit(',')) {
        let ip = parse_hop(hop).ok_or(Unwelcome::Unattributed)?;
        if !is_trusted(ip, &policy.trusted_proxies) {
            return Ok(facts(ip, false));
        }
    }
    Err(Unwelcome::Unattributed)
}

/// `127.0.0.1:18789`, `[::1]:18789`, `localhost`: a name that leads nowhere else.
fn means_this_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| unmap(ip).is_loopback())
}

/// `1.2.3.4`, `1.2.3.4:80`, `[::1]:80`, `::ffff:1.2.3.4`. Zone ids and names are nobody's address.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    if let Ok(ip) = hop.parse::<IpAddr>() {
        return Some(unmap(ip));
    }
    hop.parse::<std::net::SocketAddr>().ok().map(|a| unmap(a.ip()))
}

/// An IPv4 address in IPv6 clothes is that IPv4 address.
pub(super) fn unmap(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        v4 => v4,
    }
}

/// An exact address or a CIDR range of `gateway.trustedProxies`.
pub(super) fn is_trusted(ip: IpAddr, trusted: &[String]) -> bool {
    trusted.iter().any(|entry| match entry.split_once('/') {
        None => entry.trim().parse::<IpAddr>().is_ok_and(|own| unmap(own) == ip),
        Some((net, bits)) => match (net.trim().parse::<IpAddr>().map(unmap), bits.trim().parse::<u32>()) {
            (Ok(net), Ok(bits)) => within(ip, net, bits),
            _ => false,
        },
    })
}

fn within(ip: IpAddr, net: IpAddr, bits: u32) -> bool {
    match (ip, net) {
        (IpAddr::V4(ip), IpAddr::V4(net)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            ip.to_bits() & mask == net.to_bits() & mask
        }
        (IpAddr::V6(ip), IpAddr::V6(net)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            ip.to_bits() & mask == net.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, trusted: &[&str], headers: &[(&str, &str)]) -> Result<(String, bool), Unwelcome> {
        let policy = Policy { trusted_proxies: trusted.iter().map(|s| s.to_string()).collect(), ..Policy::default() };
        attribute(peer.parse().expect("address"), &policy, |name| {
            headers.iter().filter(|(n, _)| *n == name).map(|(_, v)| *v).collect()
        })
        .map(|facts| (facts.ip.expect("always known").to_string(), facts.local))
    }

    #[test]
    fn a_direct_loopback_peer_is_local() {
        assert_eq!(seen("127.0.0.1", &[], &[]), Ok(("127.0.0.1".into(), true)));
        assert_eq!(seen("::ffff:127.0.0.1", &[], &[]), Ok(("127.0.0.1".into(), true)));
        assert_eq!(seen("192.168.1.9", &[], &[]), Ok(("192.168.1.9".into(), false)));
    }

    #[test]
    fn a_forwarded_header_from_a_stranger_is_refused() {
        for header in FORWARDED {
            assert_eq!(seen("127.0.0.1", &[], &[(header, "127.0.0.1")]), Err(Unwelcome::Unattributed), "{header}");
        }
    }

    #[test]
    fn the_rightmost_untrusted_hop_is_the_client_and_never_local() {
        let trusted = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"];
        let client = |chain| seen("127.0.0.1", &trusted, &[("x-forwarded-for", chain)]);
        assert_eq!(client("6.6.6.6, 1.2.3.4, 10.1.1.1"), Ok(("1.2.3.4".into(), false)));
        assert_eq!(client("[2001:db8::1]:443"), Ok(("2001:db8::1".into(), false)));
        assert_eq!(client("1.2.3.4:999, fd00::1"), Ok(("1.2.3.4".into(), false)));
        assert_eq!(client("localhost"), Err(Unwelcome::Unattributed));
        assert_eq!(client("1.2.3.4, "), Err(Unwelcome::Unattributed));
        assert_eq!(client("10.2.2.2"), Err(Unwelcome::Unattributed), "only proxies: nobody is the client");
        assert_eq!(seen("127.0.0.1", &trusted, &[("x-real-ip", "1.2.3.4")]), Err(Unwelcome::Unattributed));
    }
    #[test]
    fn t04_a_name_that_is_not_this_host_s_is_not_local() {
        for (host, local) in [
            ("127.0.0.1:18789", true),
            ("[::1]:18789", true),
            ("localhost:18789", true),
            ("LOCALHOST", true),
            ("evil.example:18789", false),
            ("localhost.evil.example", false),
            ("localhost.", false),
            ("192.168.1.4", false),
            ("", false),
        ] {
            assert_eq!(seen("127.0.0.1", &[], &[("host", host)]), Ok(("127.0.0.1".into(), local)), "{host}");
        }
    }

    #[test]
    fn t22_several_forwarded_headers_are_one_list() {
        let headers = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "1.2.3.4, 10.1.1.1")];
        assert_eq!(seen("10.0.0.1", &["10.0.0.0/8"], &headers), Ok(("1.2.3.4".into(), false)));
        for odd in ["1.2.3.4.", "fe80::1%eth0", " ", "1.2.3.4:x", "[::1", "unknown"] {
            assert_eq!(
                seen("10.0.0.1", &["10.0.0.0/8"], &[("x-forwarded-for", odd)]),
                Err(Unwelcome::Unattributed),
                "{odd}"
            );
        }
    }

    #[test]
    fn a_real_ip_counts_only_where_it_is_asked_for() {
        let mut policy = Policy { trusted_proxies: vec!["10.0.0.1".into()], ..Policy::default() };
        let ask = |policy: &Policy, header: &'static str| {
            attribute("10.0.0.1".parse().expect("address"), policy, move |name| {
                if name == header { vec!["1.2.3.4"] } else { vec![] }
            })
            .map(|facts| facts.ip.expect("known").to_string())
        };
        assert_eq!(ask(&policy, "x-real-ip"), Err(Unwelcome::Unattributed));
        policy.real_ip = true;
        assert_eq!(ask(&policy, "x-real-ip"), Ok("1.2.3.4".into()));
        assert_eq!(ask(&policy, "x-forwarded-host"), Err(Unwelcome::Unattributed));
    }
}
