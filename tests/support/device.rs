//! A device with a key of its own, for tests: signs the challenge as the protocol's documents say, not as the product
//! does it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::ws::Ws;

pub struct Device {
    pub key: Ed25519KeyPair,
    pub id: String,
    pub client: (&'static str, &'static str),
    pub role: &'static str,
    pub platform: &'static str,
    pub commands: Vec<&'static str>,
}

impl Device {
    /// The same seed makes the same device.
    pub fn new(seed: u8) -> Device {
        let key = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("32 bytes make a key");
        let hash = digest(&SHA256, key.public_key().as_ref());
        let id = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Device { key, id, client: ("openclaw-tui", "ui"), role: "operator", platform: "linux", commands: vec![] }
    }

    pub fn node(seed: u8) -> Device {
        Device { client: ("node-host", "node"), role: "node", ..Device::new(seed) }
    }

    /// Connects on a fresh socket; `auth` is what it shows besides its key.
    #[track_caller]
    pub fn connect(&self, ws: &mut Ws, scopes: &[&str], auth: Value) -> Result<Value, Value> {
        let challenge = ws.event("connect.challenge")["payload"].take();
        let (nonce, ts) = (challenge["nonce"].as_str().expect("a nonce"), &challenge["ts"]);
        let shown = ["token", "deviceToken", "bootstrapToken"].iter().find_map(|name| auth[*name].as_str());
        let (id, mode) = self.client;
        let payload = format!(
            "v3|{}|{id}|{mode}|{}|{}|{ts}|{}|{nonce}|{}|",
            self.id,
            self.role,
            scopes.join(","),
            shown.unwrap_or(""),
            self.platform
        );
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(payload.as_bytes()));
        let public_key = URL_SAFE_NO_PAD.encode(self.key.public_key());
        let params = json!({
            "minProtocol": 4, "maxProtocol": 4,
            "client": { "id": id, "version": "test", "platform": self.platform, "mode": mode },
            "role": self.role, "scopes": scopes, "caps": [], "commands": self.commands, "auth": auth,
            "device": {
                "id": self.id, "publicKey": public_key, "signature": signature, "signedAt": ts, "nonce": nonce,
            },
        });
        ws.call("connect", params)
    }
}
