//! Where the bytes come from: the address of the peer, or what a trusted proxy says of it.
//!
//! A forwarded header from a peer nobody trusts makes the request unattributable: it is neither that peer nor the
//! address in the header, so it is refused (`proxy_attribution_required`, T20) instead of guessed.

use std::net::IpAddr;

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
    /// The client is on this host and no proxy is between.
    pub local: bool,
    pub origin: Option<String>,
    pub host: Option<String>,
}

/// A forwarded header came from a peer that is not in `gateway.trustedProxies`.
#[derive(Debug, PartialEq, Eq)]
pub struct Unattributed;

/// Finds the client behind `peer`. `header` yields a header's value by lower-case name.
pub fn attribute<'a>(
    peer: IpAddr,
    trusted: &[String],
    header: impl Fn(&str) -> Option<&'a str>,
) -> Result<PeerFacts, Unattributed> {
    let peer = unmap(peer);
    let facts = |ip, local| PeerFacts {
        ip: Some(ip),
        local,
        origin: header("origin").map(String::from),
        host: header("host").map(String::from),
    };
    if !FORWARDED.iter().any(|name| header(name).is_some()) {
        return Ok(facts(peer, peer.is_loopback()));
    }
    if !is_trusted(peer, trusted) {
        return Err(Unattributed);
    }
    // The right-most address that is not a proxy of ours is the client; what is left of it, anyone may have written.
    let chain = header("x-forwarded-for").ok_or(Unattributed)?;
    for hop in chain.rsplit(',') {
        let ip = parse_hop(hop).ok_or(Unattributed)?;
        if !is_trusted(ip, trusted) {
            return Ok(facts(ip, false));
        }
    }
    Err(Unattributed)
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
fn unmap(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        v4 => v4,
    }
}

/// An exact address or a CIDR range of `gateway.trustedProxies`.
fn is_trusted(ip: IpAddr, trusted: &[String]) -> bool {
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

    fn seen(peer: &str, trusted: &[&str], headers: &[(&str, &str)]) -> Result<(String, bool), Unattributed> {
        let trusted: Vec<String> = trusted.iter().map(|s| s.to_string()).collect();
        attribute(peer.parse().expect("address"), &trusted, |name| {
            headers.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
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
            assert_eq!(seen("127.0.0.1", &[], &[(header, "127.0.0.1")]), Err(Unattributed), "{header}");
        }
    }

    #[test]
    fn the_rightmost_untrusted_hop_is_the_client_and_never_local() {
        let trusted = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"];
        let client = |chain| seen("127.0.0.1", &trusted, &[("x-forwarded-for", chain)]);
        assert_eq!(client("6.6.6.6, 1.2.3.4, 10.1.1.1"), Ok(("1.2.3.4".into(), false)));
        assert_eq!(client("[2001:db8::1]:443"), Ok(("2001:db8::1".into(), false)));
        assert_eq!(client("1.2.3.4:999, fd00::1"), Ok(("1.2.3.4".into(), false)));
        assert_eq!(client("localhost"), Err(Unattributed));
        assert_eq!(client("1.2.3.4, "), Err(Unattributed));
        assert_eq!(client("10.2.2.2"), Err(Unattributed), "only proxies: nobody is the client");
        assert_eq!(seen("127.0.0.1", &trusted, &[("x-real-ip", "1.2.3.4")]), Err(Unattributed));
    }
}
