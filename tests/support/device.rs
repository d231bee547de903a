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

/// What is wrong with a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    None,
    Signature,
    OtherKey,
    Nonce,
    BlankNonce,
    Stale,
    Future,
    Id,
    PublicKey,
}

impl Defect {
    pub fn named(name: &str) -> Defect {
        match name {
            "good" => Defect::None,
            "signature" => Defect::Signature,
            "key" => Defect::OtherKey,
            "nonce" => Defect::Nonce,
            "blank-nonce" => Defect::BlankNonce,
            "stale" => Defect::Stale,
            "future" => Defect::Future,
            "id" => Defect::Id,
            "public-key" => Defect::PublicKey,
            other => panic!("no defect is called {other}"),
        }
    }
}

impl Device {
    /// Connects with these params and a proof that has this defect.
    #[track_caller]
    pub fn connect_as(&self, ws: &mut Ws, params: Value, defect: Defect) -> Result<Value, Value> {
        let proved = self.proved(ws, params, defect);
        ws.call("connect", proved)
    }

    /// The params with a proof for this socket's challenge that has this defect.
    #[track_caller]
    pub fn proved(&self, ws: &mut Ws, mut params: Value, defect: Defect) -> Value {
        let challenge = ws.event("connect.challenge")["payload"].take();
        let now = challenge["ts"].as_u64().expect("a moment");
        let nonce = match defect {
            Defect::Nonce => "00000000-0000-4000-8000-000000000000",
            Defect::BlankNonce => "   ",
            _ => challenge["nonce"].as_str().expect("a nonce"),
        };
        let signed_at = match defect {
            Defect::Stale => now - 121_000,
            Defect::Future => now + 180_000,
            _ => now,
        };
        let text = |pointer: &str| params.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
        let shown = ["/auth/token", "/auth/deviceToken", "/auth/bootstrapToken"].map(text);
        let shown = shown.iter().find(|value| !value.is_empty()).cloned().unwrap_or_default();
        let scopes: Vec<&str> = params["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let payload = format!(
            "v3|{}|{}|{}|{}|{}|{signed_at}|{shown}|{nonce}|{}|{}",
            self.id,
            text("/client/id"),
            text("/client/mode"),
            text("/role"),
            scopes.join(","),
            text("/client/platform").to_ascii_lowercase(),
            text("/client/deviceFamily").to_ascii_lowercase(),
        );
        let other = Device::new(255);
        let signer = if defect == Defect::OtherKey { &other.key } else { &self.key };
        let mut signature = signer.sign(payload.as_bytes()).as_ref().to_vec();
        if defect == Defect::Signature {
            signature[0] ^= 1;
        }
        let id = if defect == Defect::Id { &other.id } else { &self.id };
        let public_key = match defect {
            Defect::PublicKey => "not-a-key".to_owned(),
            _ => URL_SAFE_NO_PAD.encode(self.key.public_key()),
        };
        params["device"] = json!({
            "id": id, "publicKey": public_key, "signature": URL_SAFE_NO_PAD.encode(signature), "signedAt": signed_at,
            "nonce": nonce,
        });
        params
    }
}
