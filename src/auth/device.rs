//! Proof of a device key: Ed25519 over the payload the protocol defines, bound to this connection's nonce.
//!
//! Source: gateway/protocol/auth of the reference's documentation; v3 is what current clients sign, v2 is still
//! accepted. The order of checks is part of the protocol: id against key, time, nonce, signature.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Serialize;

use crate::wire::connect::ConnectParams;
use crate::wire::error::RpcError;

/// How far a device's clock may be off, either way (milliseconds).
const SKEW_MS: u64 = 120_000;

/// Checks the `device` object of `connect`. `nonce` is the one sent on this socket, `now_ms` the gateway's clock.
/// Returns the device's id.
pub fn verify(params: &ConnectParams, role: &str, nonce: &str, now_ms: u64) -> Result<String, RpcError> {
    let device = params.device.as_ref().expect("the caller looked");
    let key = URL_SAFE_NO_PAD.decode(device.public_key.trim_end_matches('=')).unwrap_or_default();
    if key.len() != 32 || hex(digest(&SHA256, &key).as_ref()) != *device.id {
        return Err(refusal("device identity mismatch", "DEVICE_AUTH_DEVICE_ID_MISMATCH", "device-id-mismatch"));
    }
    if device.signed_at.0.abs_diff(now_ms) > SKEW_MS {
        return Err(refusal("device signature expired", "DEVICE_AUTH_SIGNATURE_EXPIRED", "device-signature-stale"));
    }
    if device.nonce.trim().is_empty() {
        return Err(refusal("device nonce required", "DEVICE_AUTH_NONCE_REQUIRED", "device-nonce-missing"));
    }
    if *device.nonce != *nonce {
        return Err(refusal("device nonce mismatch", "DEVICE_AUTH_NONCE_MISMATCH", "device-nonce-mismatch"));
    }
    let signature = URL_SAFE_NO_PAD.decode(device.signature.trim_end_matches('=')).unwrap_or_default();
    let key = UnparsedPublicKey::new(&ED25519, key);
    let good = |payload: String| key.verify(payload.as_bytes(), &signature).is_ok();
    if good(payload(params, role, 3)) || good(payload(params, role, 2)) {
        return Ok(device.id.0.clone());
    }
    Err(refusal("device signature invalid", "DEVICE_AUTH_SIGNATURE_INVALID", "device-signature"))
}

/// `v3|deviceId|client.id|client.mode|role|scopes|signedAt|token|nonce|platform|deviceFamily`; v2 lacks the last two.
fn payload(params: &ConnectParams, role: &str, version: u8) -> String {
    let device = params.device.as_ref().expect("the caller looked");
    let auth = params.auth.as_ref();
    let token = auth
        .and_then(|a| a.token.as_deref().or(a.device_token.as_deref()).or(a.bootstrap_token.as_deref()))
        .unwrap_or("");
    let scopes = params.scopes.as_deref().unwrap_or(&[]).iter().map(|s| s.0.as_str()).collect::<Vec<_>>().join(",");
    let client = &params.client;
    let mut text = format!(
        "v{version}|{}|{}|{}|{role}|{scopes}|{}|{token}|{}",
        device.id.0,
        client.id.as_str(),
        client.mode.as_str(),
        device.signed_at.0,
        device.nonce.0
    );
    if version == 3 {
        let plain = |s: &str| s.trim().to_ascii_lowercase();
        let family = client.device_family.as_ref().map(|f| plain(f)).unwrap_or_default();
        text.push_str(&format!("|{}|{family}", plain(&client.platform)));
    }
    text
}

fn refusal(message: &str, code: &'static str, reason: &'static str) -> RpcError {
    #[derive(Serialize)]
    struct Details {
        code: &'static str,
        reason: &'static str,
    }
    RpcError::invalid(message).details(&Details { code, reason })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut out, byte| {
        out.push_str(&format!("{byte:02x}"));
        out
    })
}

#[cfg(test)]
pub mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;
    use crate::wire::decode;

    const NOW: u64 = 1_795_336_151_333;
    const NONCE: &str = "49b532cb-0000-4000-8000-000000000001";

    /// A connect request signed with a key made from `seed`.
    pub fn signed(seed: u8, version: u8, nonce: &str, signed_at: u64, token: &str) -> ConnectParams {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("32 bytes");
        let public = pair.public_key().as_ref();
        let mut params: ConnectParams = decode::object(&format!(
            r#"{{"minProtocol":4,"maxProtocol":4,"client":{{"id":"openclaw-tui","version":"1","platform":" Linux","mode":"ui","deviceFamily":"Linux"}},
            "role":"operator","scopes":["operator.read","operator.write"],"auth":{{"token":"{token}"}},
            "device":{{"id":"{}","publicKey":"{}","signature":"x","signedAt":{signed_at},"nonce":"{nonce}"}}}}"#,
            hex(digest(&SHA256, public).as_ref()),
            URL_SAFE_NO_PAD.encode(public),
        ))
        .expect("valid");
        let signature = pair.sign(payload(&params, "operator", version).as_bytes());
        params.device.as_mut().expect("set above").signature.0 = URL_SAFE_NO_PAD.encode(signature);
        params
    }

    fn code(params: &ConnectParams) -> String {
        let error = verify(params, "operator", NONCE, NOW).expect_err("must be refused");
        let details: serde_json::Value = serde_json::from_str(error.details.expect("details").get()).expect("JSON");
        details["code"].as_str().expect("code").to_string()
    }

    #[test]
    fn both_versions_of_the_payload_are_good() {
        for version in [2, 3] {
            assert!(verify(&signed(7, version, NONCE, NOW, "tok"), "operator", NONCE, NOW).is_ok(), "v{version}");
        }
    }

    #[test]
    fn the_payload_is_the_recorded_one() {
        let params = signed(7, 3, NONCE, NOW, "tok123");
        let id = &params.device.as_ref().expect("set").id.0;
        assert_eq!(
            payload(&params, "operator", 3),
            format!("v3|{id}|openclaw-tui|ui|operator|operator.read,operator.write|{NOW}|tok123|{NONCE}|linux|linux")
        );
    }

    #[test]
    fn each_failure_has_its_own_code_in_the_recorded_order() {
        let good = || signed(7, 3, NONCE, NOW, "tok");
        let mut other_key = good();
        other_key.device.as_mut().expect("set").public_key =
            signed(8, 3, NONCE, NOW, "tok").device.expect("set").public_key;
        assert_eq!(code(&other_key), "DEVICE_AUTH_DEVICE_ID_MISMATCH");
        assert_eq!(code(&signed(7, 3, "other", NOW - SKEW_MS - 1, "tok")), "DEVICE_AUTH_SIGNATURE_EXPIRED");
        assert_eq!(code(&signed(7, 3, "  ", NOW, "tok")), "DEVICE_AUTH_NONCE_REQUIRED");
        assert_eq!(code(&signed(7, 3, "other", NOW, "tok")), "DEVICE_AUTH_NONCE_MISMATCH");
        let mut tampered = good();
        tampered.auth.as_mut().expect("set").token = Some("another".into());
        assert_eq!(code(&tampered), "DEVICE_AUTH_SIGNATURE_INVALID");
        assert!(verify(&signed(7, 3, NONCE, NOW + SKEW_MS - 1000, "tok"), "operator", NONCE, NOW).is_ok());
    }
}
