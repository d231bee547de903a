//! A certificate that nobody but this host vouches for: for gateways at home, whose clients know its fingerprint.
//!
//! ECDSA on P-256 with SHA-256, version 3, good for ten years. The few lines of DER here weigh less than any package that
//! writes them; reading certificates is rustls' work, and a test has it read these.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

use crate::sys::random;

/// A certificate and its key as PEM text.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// Makes a pair for these names and addresses. `None` when the operating system's randomness fails.
pub fn pair(names: &[&str], now: jiff::Timestamp) -> Option<Pair> {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).ok()?;
    let signer = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref(), &random).ok()?;
    let subject = sequence(&[tlv(SET, &sequence(&[COMMON_NAME.to_vec(), tlv(UTF8, b"openclaw gateway")]))]);
    let validity = sequence(&[
        time(now - jiff::SignedDuration::from_hours(24)),
        time(now + jiff::SignedDuration::from_hours(HOURS)),
    ]);
    let alternatives: Vec<Vec<u8>> = names.iter().map(|name| alternative(name)).collect();
    let extension = |id: &[u8], value: &[u8]| sequence(&[id.to_vec(), tlv(OCTETS, value)]);
    let extensions = sequence(&[
        extension(ALTERNATIVE_NAMES, &sequence(&alternatives)),
        extension(USAGE, &sequence(&[SERVER_AUTH.to_vec()])),
    ]);
    let algorithm = sequence(&[ECDSA_SHA256.to_vec()]);
    // A serial number is positive: a first bit of one would say otherwise.
    let mut serial = random::bytes::<16>();
    serial[0] = serial[0] & 0x7f | 0x40;
    let to_sign = sequence(&[
        tlv(CONTEXT_0, &tlv(INTEGER, &[2])),
        tlv(INTEGER, &serial),
        algorithm.clone(),
        subject.clone(),
        validity,
        subject,
        sequence(&[sequence(&[EC_KEY.to_vec(), P256.to_vec()]), bits(signer.public_key().as_ref())]),
        tlv(CONTEXT_3, &extensions),
    ]);
    let signature = signer.sign(&random, &to_sign).ok()?;
    let certificate = sequence(&[to_sign, algorithm, bits(signature.as_ref())]);
    Some(Pair { certificate: pem("CERTIFICATE", &certificate), key: pem("PRIVATE KEY", key.as_ref()) })
}

fn alternative(name: &str) -> Vec<u8> {
    match name.parse() {
        Ok(std::net::IpAddr::V4(ip)) => tlv(ADDRESS, &ip.octets()),
        Ok(std::net::IpAddr::V6(ip)) => tlv(ADDRESS, &ip.octets()),
        Err(_) => tlv(DNS, name.as_bytes()),
    }
}

/// The short form up to 2049, the long one afterwards, as RFC 5280 wants it.
fn time(at: jiff::Timestamp) -> Vec<u8> {
    let long = at.strftime("%Y%m%d%H%M%SZ").to_string();
    if long.as_str() < "2050" { tlv(UTC_TIME, &long.as_bytes()[2..]) } else { tlv(LONG_TIME, long.as_bytes()) }
}

fn bits(content: &[u8]) -> Vec<u8> {
    tlv(BITS, &[&[0], content].concat())
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(SEQUENCE, &parts.concat())
}

/// One value with its tag and length (at most 64 KiB).
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let [high, low] = (content.len() as u16).to_be_bytes();
    match content.len() {
        0..0x80 => out.push(low),
        0x80..0x100 => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
    out.extend_from_slice(content);
    out
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

const HOURS: i64 = 10 * 365 * 24;

const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const UTF8: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const LONG_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const DNS: u8 = 0x82;
const ADDRESS: u8 = 0x87;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_3: u8 = 0xa3;

/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x06, 3, 0x55, 4, 3];
/// 2.5.29.17
const ALTERNATIVE_NAMES: &[u8] = &[0x06, 3, 0x55, 0x1d, 0x11];
/// 2.5.29.37
const USAGE: &[u8] = &[0x06, 3, 0x55, 0x1d, 0x25];
/// 1.3.6.1.5.5.7.3.1
const SERVER_AUTH: &[u8] = &[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1];
/// 1.2.840.10045.4.3.2
const ECDSA_SHA256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// 1.2.840.10045.2.1
const EC_KEY: &[u8] = &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// 1.2.840.10045.3.1.7
const P256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

    use super::*;
    use crate::net::TlsConfig;

    #[test]
    fn a_certificate_is_read_and_good_for_its_names_in_its_time() {
        let now = jiff::Timestamp::from_second(1_795_000_000).expect("a moment");
        let made = pair(&["localhost", "127.0.0.1", "::1", "box.lan"], now).expect("made");
        TlsConfig::from_pem(made.certificate.as_bytes(), made.key.as_bytes()).expect("a pair that fits");
        let certificate = CertificateDer::from_pem_slice(made.certificate.as_bytes()).expect("PEM");
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("an anchor");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a verifier");
        let good = |name: &str, at: i64| {
            let name = ServerName::try_from(name.to_owned()).expect("a name");
            let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at as u64));
            verifier.verify_server_cert(&certificate, &[], &name, &[], at).is_ok()
        };
        for name in ["localhost", "127.0.0.1", "::1", "box.lan"] {
            assert!(good(name, now.as_second()), "{name}");
        }
        assert!(!good("example.org", now.as_second()));
        assert!(!good("localhost", now.as_second() + HOURS * 3600 + 60));
    }

    #[test]
    fn moments_after_2049_are_written_in_the_long_form() {
        let at = |second| time(jiff::Timestamp::from_second(second).expect("a moment"));
        assert_eq!(at(2_524_607_999), tlv(UTC_TIME, b"491231235959Z"));
        assert_eq!(at(2_524_608_000), tlv(LONG_TIME, b"20500101000000Z"));
    }
}
