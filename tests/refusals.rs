//! Every refusal of a device, a mode or an address that was recorded of the reference, played against this gateway.
//!
//! A line of `golden/device_refusals.jsonl` is one connect: the mode of authentication, the headers of the upgrade, the
//! params, what is wrong with the device's proof, and the answer. Ids are `*`: they differ from time to time.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::support::device::{Defect, Device};
use crate::support::gateway::{Gateway, TOKEN};
use crate::support::{golden, ws::Ws};

const PASSWORD: &str = "test-password-0123456789-0123456789";

/// What was secret when it was recorded is another secret here.
fn with_our_secret(mut connect: Value) -> Value {
    for field in ["token", "password"] {
        if connect["auth"][field] == "tok123" {
            connect["auth"][field] = json!(TOKEN);
        }
    }
    connect
}

fn gateway(mode: &str) -> Gateway {
    let auth = match mode {
        "password" => json!({ "mode": "password", "password": PASSWORD }),
        "none" => json!({ "mode": "none" }),
        _ => json!({ "mode": "token", "token": TOKEN }),
    };
    let config = json!({ "gateway": { "mode": "local", "auth": auth, "trustedProxies": ["127.0.0.1"] } });
    Gateway::exactly(config).start()
}

/// Replaces what differs from time to time.
fn timeless(mut error: Value) -> Value {
    for id in ["requestId", "deviceId"] {
        if error["details"].get(id).is_some() {
            error["details"][id] = json!("*");
        }
    }
    if error.get("retryAfterMs").is_some() {
        error["retryAfterMs"] = json!("*");
    }
    error
}

#[test]
fn recorded_refusals_of_devices_modes_and_addresses_are_ours() {
    let mut gateways: HashMap<String, Gateway> = HashMap::new();
    for (seed, line) in (1u8..).zip(include_str!("golden/device_refusals.jsonl").lines()) {
        let case: Value = serde_json::from_str(line).expect("a line is a case");
        let name = case["case"].as_str().expect("a case has a name");
        // Guesses and lock-outs are counted: they have a gateway of their own.
        let mode = case["mode"].as_str().expect("a mode");
        let shared = if name.starts_with("r_ratelimit") { "limited" } else { mode };
        let gateway = gateways.entry(shared.to_owned()).or_insert_with(|| gateway(mode));
        let page = format!("http://127.0.0.1:{}", gateway.port);
        let headers: Vec<(&str, String)> = case["headers"]
            .as_object()
            .expect("headers")
            .iter()
            .map(|(name, value)| {
                let value = value.as_str().expect("a header is text");
                // The page of the gateway itself; behind the proxy it was that of another port.
                let local = case["headers"].get("x-forwarded-for").is_none();
                let own = local && value.starts_with("http://127.0.0.1:");
                let value = if own { page.clone() } else { value.to_owned() };
                (name.as_str(), value)
            })
            .collect();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let connect = with_our_secret(case["connect"].clone());
        // The same device where the recording had the same one.
        let device = Device::new(if name.starts_with("r_remote_new") { 200 } else { seed });
        if name == "q_gap_pair" || name == "bad_token_device_paired" {
            let known = Device { client: ("cli", "cli"), ..Device::new(seed) };
            known
                .connect(&mut Ws::open(gateway.addr()), &["operator.read"], json!({ "token": TOKEN }))
                .expect("paired");
        }
        for _ in 0..case["times"].as_u64().unwrap_or(1) {
            let mut ws = Ws::open_with(gateway.addr(), "/", &headers).expect("upgrade");
            let refused = match case["device"].as_str() {
                None => ws.try_hello(connect.clone()),
                Some(defect) => device.connect_as(&mut ws, connect.clone(), Defect::named(defect)),
            };
            let error = refused.expect_err(name);
            golden::same(&json!({ name: timeless(error) }), &json!({ name: case["error"] }));
            if let Some(close) = case["close"].as_array() {
                let (code, reason) = ws.closed();
                assert_eq!(json!(code), close[0], "{name}");
                let reason = reason.split(" (requestId: ").next().unwrap_or_default().to_owned();
                let wanted = close[1].as_str().expect("a reason").split(" (requestId: ").next().unwrap_or_default();
                assert_eq!(reason, wanted, "{name}");
            }
        }
    }
}
