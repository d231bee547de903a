//! Which web pages may open a socket here (T01, T02, T04).
//!
//! A browser says which page is calling; nothing else does, and nothing else can be trusted to say so. A page is welcome
//! when it is listed, or when it was served by this gateway itself under a name an attacker cannot have made up: an
//! address of this host or network, or `localhost`. A public name in `Host` proves nothing (DNS rebinding).

use std::net::IpAddr;

/// `gateway.controlUi.allowedOrigins` and the origins seeded for the effective bind.
#[derive(Debug, Clone, Default)]
pub struct OriginRules {
    /// `scheme://host[:port]`, compared without case; `*` allows every page.
    pub allowed: Vec<String>,
    /// `gateway.controlUi.dangerouslyAllowHostHeaderOriginFallback`.
    pub trust_host_header: bool,
}

impl OriginRules {
    pub fn allow(&self, origin: &str, host: Option<&str>) -> bool {
        let origin = origin.trim().trim_end_matches('/');
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        if !matches!(scheme, "http" | "https") || authority.is_empty() || authority.contains(['/', '@', ' ', ',']) {
            return false;
        }
        if self.allowed.iter().any(|own| own == "*" || own.trim_end_matches('/').eq_ignore_ascii_case(origin)) {
            return true;
        }
        let same = host.is_some_and(|host| with_port(host, scheme).eq_ignore_ascii_case(&with_port(authority, scheme)));
        same && (self.trust_host_header || is_local_name(authority))
    }
}

fn with_port(authority: &str, scheme: &str) -> String {
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    if has_port { authority.to_string() } else { format!("{authority}:{}", if scheme == "https" { 443 } else { 80 }) }
}

/// An address literal of a private network or this host, or a name only this network resolves.
fn is_local_name(authority: &str) -> bool {
    let name = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => authority.split(':').next().unwrap_or(""),
    };
    if name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".local") {
        return true;
    }
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local() || is_shared(ip.octets()),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        Err(_) => false,
    }
}

/// 100.64.0.0/10, the range of tailnets (RFC 6598).
fn is_shared(octets: [u8; 4]) -> bool {
    octets[0] == 100 && (64..128).contains(&octets[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_judged_by_list_or_by_a_local_same_origin() {
        let rules = OriginRules { allowed: vec!["https://chat.example".into()], trust_host_header: false };
        let table = [
            ("https://chat.example", "gw:18789", true),
            ("https://CHAT.example/", "gw:18789", true),
            ("http://127.0.0.1:18789", "127.0.0.1:18789", true),
            ("http://[::1]:18789", "[::1]:18789", true),
            ("http://192.168.1.4:18789", "192.168.1.4:18789", true),
            ("http://nas.local:18789", "nas.local:18789", true),
            ("http://127.0.0.1:3000", "127.0.0.1:18789", false),
            ("http://evil.example:18789", "evil.example:18789", false),
            ("https://evil.example", "127.0.0.1:18789", false),
            ("null", "127.0.0.1:18789", false),
            ("", "127.0.0.1:18789", false),
            ("https://chat.example@evil.example", "x", false),
            ("file://", "x", false),
        ];
        for (origin, host, expected) in table {
            assert_eq!(rules.allow(origin, Some(host)), expected, "{origin} at {host}");
        }
    }
}
