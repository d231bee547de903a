//! Which addresses of the Internet a fetch may go to: those that are plainly public.
//!
//! Works on numbers only. The ranges are IANA's special-purpose registries; a range that is not known to be public is
//! not public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// What an address is to somebody who may not look behind the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Public,
    /// Of this host, this house or this carrier. A policy may allow these.
    Private,
    /// Link-local (the metadata of clouds is there), multicast, reserved, and IPv4 in IPv6 clothes. Nothing allows these.
    Never,
}

/// Judges one address as a URL or a name server gave it.
pub fn kind(ip: IpAddr) -> Kind {
    match ip {
        IpAddr::V4(ip) => of_v4(ip),
        IpAddr::V6(ip) => of_v6(ip),
    }
}

/// The same for an address that came from a name server: networks without IPv4 reach public IPv4 hosts through the
/// well-known translation prefix, and their name servers say so.
pub fn kind_of_answer(ip: IpAddr) -> Kind {
    match ip {
        IpAddr::V6(v6) if v6.octets().starts_with(&NAT64) => match of_v4(last_four(v6)) {
            Kind::Public => Kind::Public,
            _ => Kind::Never,
        },
        ip => kind(ip),
    }
}

fn of_v4(ip: Ipv4Addr) -> Kind {
    let [a, b, c, _] = ip.octets();
    match (a, b, c) {
        (10 | 127, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) | (198, 18..=19, _) => Kind::Private,
        (0, ..) | (169, 254, _) | (224.., ..) => Kind::Never,
        (192, 0, 0 | 2) | (192, 52, 193) | (192, 88, 99) | (198, 51, 100) | (203, 0, 113) => Kind::Never,
        // Azure's host agent, the one cloud service for machines that has a public-looking address.
        (168, 63, 129) => Kind::Never,
        _ => Kind::Public,
    }
}

fn of_v6(ip: Ipv6Addr) -> Kind {
    let segments = ip.segments();
    if ip.is_loopback() || segments[0] & 0xFE00 == 0xFC00 || segments[0] & 0xFFC0 == 0xFEC0 {
        return Kind::Private;
    }
    // 2000::/3 is all that was ever given out; translation, mapped and link-local addresses are outside.
    let given_out = segments[0] & 0xE000 == 0x2000;
    let special = matches!(
        segments,
        // Protocol assignments (Teredo among them), documentation, 6to4, documentation again.
        [0x2001, 0..=0x01FF, ..] | [0x2001, 0x0DB8, ..] | [0x2002, ..] | [0x3FFF, 0..=0x0FFF, ..]
    );
    // ISATAP carries an IPv4 address, any one, in a public network's clothes.
    let isatap = segments[4] & !0x0200 == 0 && segments[5] == 0x5EFE;
    if given_out && !special && !isatap { Kind::Public } else { Kind::Never }
}

/// True when the address is one of this host's own: what listens here trusts those who can reach it.
///
/// Asks the routing table; connecting a datagram socket sends nothing.
pub fn is_own(address: SocketAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(address)?;
        socket.local_addr()
    });
    from.is_ok_and(|own| own.ip() == address.ip())
}

fn last_four(ip: Ipv6Addr) -> Ipv4Addr {
    let octets = ip.octets();
    Ipv4Addr::new(octets[12], octets[13], octets[14], octets[15])
}

/// 64:ff9b::/96.
const NAT64: [u8; 12] = [0, 0x64, 0xFF, 0x9B, 0, 0, 0, 0, 0, 0, 0, 0];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Kind {
        kind(text.parse().expect("an address"))
    }

    #[test]
    fn only_plainly_public_addresses_are_public() {
        for public in ["1.1.1.1", "93.184.216.34", "100.63.0.1", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1"]
        {
            assert_eq!(of(public), Kind::Public, "{public}");
        }
        for public in ["2606:4700::1111", "2a00:1450:4001::200e", "2001:200::1", "2001:4860:4860::8888"] {
            assert_eq!(of(public), Kind::Public, "{public}");
        }
        for private in ["127.0.0.1", "127.255.0.9", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"] {
            assert_eq!(of(private), Kind::Private, "{private}");
        }
        for private in ["100.64.0.1", "100.100.100.200", "198.18.0.1", "::1", "fd00:ec2::254", "fec0::1"] {
            assert_eq!(of(private), Kind::Private, "{private}");
        }
        for never in
            ["0.0.0.0", "0.1.2.3", "169.254.169.254", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.0.192"]
        {
            assert_eq!(of(never), Kind::Never, "{never}");
        }
        for never in ["192.0.2.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "168.63.129.16", "::", "ff02::1"] {
            assert_eq!(of(never), Kind::Never, "{never}");
        }
        for never in ["fe80::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b:1::1"] {
            assert_eq!(of(never), Kind::Never, "{never}");
        }
        for never in ["2002:7f00:1::", "2001:0:1::1", "2001:db8::1", "3fff::1", "100::1", "2a00::5efe:7f00:1"] {
            assert_eq!(of(never), Kind::Never, "{never}");
        }
    }

    #[test]
    fn a_name_server_behind_a_translator_may_answer_with_its_prefix() {
        let answer = |text: &str| kind_of_answer(text.parse().expect("an address"));
        assert_eq!(answer("64:ff9b::808:808"), Kind::Public);
        assert_eq!(answer("64:ff9b::7f00:1"), Kind::Never);
        assert_eq!(answer("64:ff9b::a9fe:a9fe"), Kind::Never);
        assert_eq!(answer("10.1.2.3"), Kind::Private);
    }

    #[test]
    fn this_host_knows_its_own_addresses() {
        assert!(is_own(SocketAddr::from(([127, 0, 0, 1], 9))));
        assert!(!is_own(SocketAddr::from(([192, 0, 2, 1], 9))));
    }
}
