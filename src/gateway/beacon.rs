//! The gateway on the local network's list of services, where its operator wants that (`discovery.mdns.mode`).
//!
//! What is published is public: a name, a port, whether it speaks TLS. Nobody is let in for having found it, and no client
//! of ours takes an address, a certificate or a credential from there.

use crate::config::Config;
use crate::config::resolve::Listen;
use crate::config::sections::MdnsMode;
use crate::net::mdns::{Beacon, Published};
use crate::sys::{Env, host};

/// What a gateway is called there.
pub const SERVICE: &str = "_openclaw-gw._tcp.local";

/// Publishes it until the value is dropped; `None` when that is not wanted or not possible.
pub fn publish(config: &Config, env: &Env, listen: &Listen, port: u16) -> Option<Published> {
    let mode = config.discovery.mdns.mode;
    if mode == MdnsMode::Off || env.flag("OPENCLAW_DISABLE_BONJOUR") {
        return None;
    }
    if listen.is_loopback() {
        log::info!("discovery: not published, because the gateway listens on this host only");
        return None;
    }
    let Some(address) = host::primary_ipv4() else {
        log::warn!("discovery: not published, because this host has no address");
        return None;
    };
    match Published::start(beacon(mode, config.gateway.tls.enabled, &host::hostname(), address, port)) {
        Ok(published) => {
            log::info!("discovery: published as {SERVICE} on port {port}");
            Some(published)
        }
        Err(error) => {
            log::warn!("discovery: not published: {error}");
            None
        }
    }
}

fn beacon(mode: MdnsMode, tls: bool, hostname: &str, address: std::net::Ipv4Addr, port: u16) -> Beacon {
    let short = hostname.split('.').next().unwrap_or(hostname);
    // Two gateways of one host are two.
    let label = if port == 18789 { format!("{short} (OpenClaw)") } else { format!("{short} (OpenClaw {port})") };
    let host = format!("{}.local", crate::net::dns::escaped(short));
    let mut txt = vec![
        "role=gateway".to_owned(),
        "transport=gateway".to_owned(),
        format!("displayName={label}"),
        format!("lanHost={host}"),
        format!("gatewayPort={port}"),
    ];
    if tls {
        txt.push("gatewayTls=1".to_owned());
    }
    if mode == MdnsMode::Full
        && let Ok(program) = std::env::current_exe()
    {
        txt.push(format!("cliPath={}", program.display()));
    }
    Beacon { service: SERVICE, label, host, port, address, txt }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn the_beacon_says_no_more_than_it_must() {
        let beacon = |mode| super::beacon(mode, true, "box.lan", Ipv4Addr::new(10, 0, 0, 2), 19001);
        let minimal = beacon(MdnsMode::Minimal);
        assert_eq!((minimal.label.as_str(), minimal.host.as_str()), ("box (OpenClaw 19001)", "box.local"));
        let keys: Vec<&str> = minimal.txt.iter().filter_map(|pair| pair.split('=').next()).collect();
        assert_eq!(keys, ["role", "transport", "displayName", "lanHost", "gatewayPort", "gatewayTls"]);
        assert!(beacon(MdnsMode::Full).txt.iter().any(|pair| pair.starts_with("cliPath=")));
    }
}
