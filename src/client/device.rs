//! The key by which a gateway on another host knows this installation.
//!
//! Kept as the reference keeps its own: `identity/device.json` in the state directory, PEM, readable by its owner only.
//! Source: gateway/protocol/auth of the reference's documentation (payload v3).
//!
//! Deliberately absent: a token of its own; the secret that was given goes with every proof.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::Value;

use crate::sys::{clock, files, random};
use crate::wire::misfit;
use crate::wire::tree::json;

/// What stands before the 32 bytes of a private key (PKCS #8, RFC 8410), and of a public one.
const PRIVATE: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const PUBLIC: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// The file has two short keys (bytes).
const LARGEST: u64 = 16 << 10;

pub struct DeviceKey {
    pair: Ed25519KeyPair,
    id: String,
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({})", self.id)
    }
}

impl DeviceKey {
    /// Where it lies.
    pub fn path(state_dir: &Path) -> PathBuf {
        state_dir.join("identity").join("device.json")
    }

    /// The key of this installation; made when there is none. A file that holds no key is an error and stays.
    pub fn of(state_dir: &Path) -> io::Result<DeviceKey> {
        let path = DeviceKey::path(state_dir);
        let bytes = match files::read_capped(&path, LARGEST) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return DeviceKey::make(&path),
            Err(error) => return Err(error),
        };
        let told = misfit::read_bytes::<Value>(&bytes).unwrap_or_default();
        let seed = told["privateKeyPem"].as_str().and_then(seed_in);
        let broken =
            || io::Error::new(io::ErrorKind::InvalidData, "it holds no Ed25519 key; move it away for a new one");
        seed.and_then(DeviceKey::from_seed).ok_or_else(broken)
    }

    fn make(path: &Path) -> io::Result<DeviceKey> {
        let seed = random::bytes::<32>();
        let key = DeviceKey::from_seed(seed).ok_or_else(|| io::Error::other("no key could be made"))?;
        let pem = |label: &str, prefix: &[u8], bytes: &[u8]| {
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode([prefix, bytes].concat()))
        };
        let file = json!({
            "version": 1,
            "deviceId": key.id,
            "publicKeyPem": pem("PUBLIC KEY", &PUBLIC, key.pair.public_key().as_ref()),
            "privateKeyPem": pem("PRIVATE KEY", &PRIVATE, &seed),
            "createdAtMs": clock::now_ms(),
        });
        if let Some(folder) = path.parent() {
            files::private_dir_if_missing(folder)?;
        }
        files::write_atomic(path, format!("{file:#}\n").as_bytes())?;
        // Two commands at once: whoever was last has made it.
        let kept = misfit::read_bytes::<Value>(&fs::read(path)?).unwrap_or_default();
        let kept = kept["privateKeyPem"].as_str().and_then(seed_in).and_then(DeviceKey::from_seed);
        Ok(kept.unwrap_or(key))
    }

    fn from_seed(seed: [u8; 32]) -> Option<DeviceKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
        let id = random::to_hex(digest(&SHA256, pair.public_key().as_ref()).as_ref());
        Some(DeviceKey { pair, id })
    }

    /// The `device` object for these params of `connect` and this challenge.
    pub(super) fn proof(&self, params: &Value, challenge: &Value) -> Value {
        let text = |place: &str| params.pointer(place).and_then(Value::as_str).unwrap_or_default();
        let scopes: Vec<&str> = params["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let (nonce, at) = (challenge["nonce"].as_str().unwrap_or_default(), challenge["ts"].as_u64());
        let at = at.unwrap_or_else(clock::now_ms);
        let payload = format!(
            "v3|{}|{}|{}|{}|{}|{at}|{}|{nonce}|{}|",
            self.id,
            text("/client/id"),
            text("/client/mode"),
            text("/role"),
            scopes.join(","),
            text("/auth/token"),
            text("/client/platform").to_ascii_lowercase(),
        );
        json!({
            "id": self.id,
            "publicKey": URL_SAFE_NO_PAD.encode(self.pair.public_key()),
            "signature": URL_SAFE_NO_PAD.encode(self.pair.sign(payload.as_bytes())),
            "signedAt": at,
            "nonce": nonce,
        })
    }
}

/// The private part of a key in PEM.
fn seed_in(pem: &str) -> Option<[u8; 32]> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(body.trim()).ok()?.strip_prefix(&PRIVATE)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::device::verify;
    use crate::client::Identity;
    use crate::sys::secret::Secret;
    use crate::wire::connect::ConnectParams;
    use crate::wire::misfit;

    fn folder() -> PathBuf {
        let path = std::env::temp_dir().join(format!("openclaw-test-key-{}", random::uuid()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_key_is_made_once_kept_to_ourselves_and_proves_itself() {
        let folder = folder();
        let key = DeviceKey::of(&folder).unwrap();
        assert_eq!(DeviceKey::of(&folder).unwrap().id, key.id);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&DeviceKey::path(&folder)), mode(&folder.join("identity"))), (0o600, 0o700));
        }
        let nonce = "9b1e6a3e-0000-4000-8000-000000000001";
        let challenge = json!({"nonce": nonce, "ts": 1_795_000_000_000u64});
        let who = Identity::cli(&["operator.read", "operator.write"]).with_token(Some(Secret::new("tok123")));
        let mut params = who.params(&challenge);
        params["device"] = key.proof(&params, &challenge);
        let read: ConnectParams = misfit::read(&params.to_string()).unwrap();
        assert_eq!(verify(&read, "operator", nonce, 1_795_000_000_500).unwrap(), key.id);
        assert!(verify(&read, "operator", "another", 1_795_000_000_500).is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_key_of_the_reference_is_taken_and_a_broken_file_is_left_alone() {
        let folder = folder();
        fs::create_dir_all(folder.join("identity")).unwrap();
        // RFC 8032, 7.1, TEST 1, as OpenSSL writes it.
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
        fs::write(DeviceKey::path(&folder), json!({"version": 1, "privateKeyPem": pem}).to_string()).unwrap();
        let key = DeviceKey::of(&folder).unwrap();
        assert_eq!(
            random::to_hex(key.pair.public_key().as_ref()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        fs::write(DeviceKey::path(&folder), "{}").unwrap();
        assert!(DeviceKey::of(&folder).is_err());
        assert_eq!(fs::read_to_string(DeviceKey::path(&folder)).unwrap(), "{}");
        fs::remove_dir_all(folder).unwrap();
    }
}
