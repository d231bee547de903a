//! Which addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Refusal, Source};
use crate::config::{BindMode, Config};

/// What is known about this machine's addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Addresses {
    pub tailnet: Option<Ipv4Addr>,
    /// Inside a container nobody outside reaches loopback.
    pub container: bool,
}

/// The addresses to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    pub mode: BindMode,
    /// Each of them must be had. The first is the one to show.
    pub hosts: Vec<IpAddr>,
    /// Taken when the system has it.
    pub optional: Vec<IpAddr>,
}

impl Listen {
    /// Nobody beyond this machine can connect.
    pub fn is_loopback(&self) -> bool {
        self.hosts.iter().chain(&self.optional).all(IpAddr::is_loopback)
    }

    /// The address for texts: `127.0.0.1`, `0.0.0.0`.
    pub fn host(&self) -> IpAddr {
        self.hosts.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }
}

/// `--bind`, then `gateway.bind`, then loopback.
pub fn bind_mode(flag: Option<&str>, config: &Config) -> Result<(BindMode, Source), Refusal> {
    if let Some(text) = flag {
        let mode = BindMode::named(text.trim()).ok_or_else(|| {
            Refusal::usage("Invalid --bind. Use \"loopback\", \"lan\", \"tailnet\", \"auto\", or \"custom\".")
        })?;
        return Ok((mode, Source::Flag("--bind")));
    }
    match config.gateway.bind {
        Some(mode) => Ok((mode, Source::Config("gateway.bind"))),
        None => Ok((BindMode::Loopback, Source::Default)),
    }
}

/// The addresses of a mode. A mode that cannot be had is narrowed (no tailnet: loopback), never widened.
pub fn listen(mode: BindMode, custom: Option<&str>, known: &Addresses) -> Result<Listen, Refusal> {
    let one = match mode {
        BindMode::Loopback => Ipv4Addr::LOCALHOST,
        BindMode::Lan => Ipv4Addr::UNSPECIFIED,
        BindMode::Tailnet => known.tailnet.unwrap_or(Ipv4Addr::LOCALHOST),
        BindMode::Auto if known.container => Ipv4Addr::UNSPECIFIED,
        BindMode::Auto => Ipv4Addr::LOCALHOST,
        BindMode::Custom => custom_host(custom)?,
    };
    let (mut hosts, mut optional) = (vec![IpAddr::V4(one)], Vec::new());
    if one == Ipv4Addr::LOCALHOST {
        optional.push(IpAddr::V6(Ipv6Addr::LOCALHOST));
    } else if one != Ipv4Addr::UNSPECIFIED {
        // Clients on this machine always find the gateway on loopback.
        hosts.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    Ok(Listen { mode, hosts, optional })
}

fn custom_host(custom: Option<&str>) -> Result<Ipv4Addr, Refusal> {
    let Some(text) = custom.map(str::trim).filter(|text| !text.is_empty()) else {
        return Err(Refusal::config("gateway.bind=custom requires gateway.customBindHost"));
    };
    text.parse()
        .map_err(|_| Refusal::config(format!("gateway.bind=custom requires a valid IPv4 customBindHost (got {text})")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn flag_beats_file_beats_loopback() {
        let file = Config::from_value(json!({"gateway": {"bind": "lan"}})).unwrap();
        assert_eq!(bind_mode(Some("tailnet"), &file), Ok((BindMode::Tailnet, Source::Flag("--bind"))));
        assert_eq!(bind_mode(None, &file), Ok((BindMode::Lan, Source::Config("gateway.bind"))));
        assert_eq!(bind_mode(None, &Config::default()), Ok((BindMode::Loopback, Source::Default)));
        assert_eq!(
            bind_mode(Some("0.0.0.0"), &file).unwrap_err().message,
            "Invalid --bind. Use \"loopback\", \"lan\", \"tailnet\", \"auto\", or \"custom\"."
        );
    }

    #[test]
    fn every_mode_has_its_addresses() {
        let tailnet = Some(Ipv4Addr::new(100, 64, 0, 9));
        let table = [
            (BindMode::Loopback, None, None, false, "127.0.0.1", "::1"),
            (BindMode::Lan, None, None, false, "0.0.0.0", ""),
            (BindMode::Tailnet, None, tailnet, false, "100.64.0.9 127.0.0.1", ""),
            (BindMode::Tailnet, None, None, false, "127.0.0.1", "::1"),
            (BindMode::Auto, None, None, false, "127.0.0.1", "::1"),
            (BindMode::Auto, None, None, true, "0.0.0.0", ""),
            (BindMode::Custom, Some("10.0.0.7"), None, false, "10.0.0.7 127.0.0.1", ""),
            (BindMode::Custom, Some("0.0.0.0"), None, false, "0.0.0.0", ""),
            (BindMode::Custom, Some("127.0.0.1"), None, false, "127.0.0.1", "::1"),
        ];
        let text = |ips: &[IpAddr]| ips.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ");
        for (mode, custom, tailnet, container, hosts, optional) in table {
            let listen = listen(mode, custom, &Addresses { tailnet, container }).unwrap();
            assert_eq!((text(&listen.hosts).as_str(), text(&listen.optional).as_str()), (hosts, optional), "{mode}");
            assert_eq!(listen.is_loopback(), hosts == "127.0.0.1");
        }
    }

    #[test]
    fn a_custom_host_must_be_one_ipv4_address() {
        let refused = |host| listen(BindMode::Custom, host, &Addresses::default()).unwrap_err().message;
        assert_eq!(refused(None), "gateway.bind=custom requires gateway.customBindHost");
        assert_eq!(refused(Some(" ")), "gateway.bind=custom requires gateway.customBindHost");
        for bad in ["::1", "localhost", "10.0.0", "010.0.0.1", "10.0.0.1:80"] {
            assert!(refused(Some(bad)).ends_with(&format!("(got {bad})")), "{bad}");
        }
    }
}
