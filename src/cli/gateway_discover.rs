//! `openclaw gateway discover`: gateways that say on the local network that they are there.
//!
//! For the eyes only: anybody on the network can answer anything, so nothing that is found is connected to, kept, or
//! given a credential.

use std::time::Duration;

use serde_json::{Map, Value};

use super::args::GatewayDiscover;
use super::calls::timeout;
use super::failure::{Failure, Kind};
use super::output::{Shell, clean};
use crate::gateway::SERVICE;
use crate::net::mdns::{self, Found};
use crate::wire::tree::json;

/// Prints what answers; nothing is a result, too.
pub fn run(shell: &mut Shell, args: &GatewayDiscover) -> Result<(), Failure> {
    let within = timeout(args.timeout, USUAL)?;
    let found = mdns::browse(SERVICE, within).map_err(|error| {
        Failure::new(Kind::Unreachable, format!("ask the local network for gateways: {error}"))
            .hint("Multicast does not work here. Name the gateway instead: openclaw gateway probe --url ws://...")
    })?;
    if args.json {
        let beacons: Vec<Value> = found.iter().map(beacon).collect();
        return shell.json(&json!({"timeoutMs": within.as_millis() as u64, "count": found.len(), "beacons": beacons}));
    }
    match found.len() {
        0 => shell.line("No gateway answered.")?,
        1 => shell.line("1 gateway answered:")?,
        many => shell.line(format!("{many} gateways answered:"))?,
    }
    for one in &found {
        shell.line(format!("  {}: {} ({})", clean(&one.label), url(one), clean(&one.host)))?;
    }
    if !found.is_empty() {
        shell.note("Anybody on this network can answer so: make sure that it is yours before you give it a token.")?;
    }
    Ok(())
}

/// From the resolved service alone; what TXT says is a hint, TLS included, and only shown.
fn url(found: &Found) -> String {
    let scheme = if found.txt.iter().any(|pair| pair == "gatewayTls=1") { "wss" } else { "ws" };
    format!("{scheme}://{}", std::net::SocketAddr::new(found.address, found.port))
}

fn beacon(found: &Found) -> Value {
    let pairs = found.txt.iter().filter_map(|pair| pair.split_once('='));
    let txt: Map<String, Value> = pairs.map(|(name, value)| (clean(name), json!(clean(value)))).collect();
    json!({
        "instanceName": clean(&found.label), "domain": "local.", "host": clean(&found.host), "port": found.port,
        "address": found.address.to_string(), "wsUrl": url(found), "txt": txt,
    })
}

const USUAL: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_resolved_one_whatever_the_hints_say() {
        let txt = ["lanHost=evil.example", "gatewayPort=1", "gatewayTls=1", "displayName=\u{1b}[31mbox"];
        let found = Found {
            label: "box\u{7}".to_owned(),
            host: "box.local".to_owned(),
            port: 18789,
            address: "192.168.1.2".parse().unwrap(),
            txt: txt.map(str::to_owned).to_vec(),
        };
        let shown = beacon(&found);
        assert_eq!(shown["wsUrl"], "wss://192.168.1.2:18789");
        let text = shown.to_string();
        assert!(!text.contains("\\u001b") && !text.contains("\\u0007"), "{text}");
    }
}
