//! Randomness for names and for secrets, all of it from the operating system.
//!
//! There is no generator of our own and no seed: one source, good enough for tokens, is also fast enough for ids.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};

/// `N` random bytes.
///
/// # Panics
/// When the operating system has no randomness to give; nothing that follows could be trusted.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    SystemRandom::new().fill(&mut out).expect("the operating system's random source answers");
    out
}

/// A random UUID (version 4) in lower case.
pub fn uuid() -> String {
    let mut raw = bytes::<16>();
    raw[6] = raw[6] & 0x0f | 0x40;
    raw[8] = raw[8] & 0x3f | 0x80;
    let mut out = String::with_capacity(36);
    for (at, byte) in raw.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        push_hex(&mut out, *byte);
    }
    out
}

/// `2 * N` lower-case hex digits.
pub fn hex<const N: usize>() -> String {
    to_hex(&bytes::<N>())
}

/// `N` random bytes as base64url without padding: 32 bytes make a token of 43 characters.
pub fn token<const N: usize>() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<N>())
}

/// Bytes written as hex digits of either case; nothing where it is anything else.
pub fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Bytes in lower-case hex.
pub fn to_hex(raw: &[u8]) -> String {
    let mut out = String::with_capacity(raw.len() * 2);
    for byte in raw {
        push_hex(&mut out, *byte);
    }
    out
}

fn push_hex(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_says_version_4_and_variant_1() {
        let id = uuid();
        let at = |n: usize| char::from(id.as_bytes()[n]);
        assert_eq!(id.len(), 36);
        assert_eq!((at(8), at(13), at(18), at(23), at(14)), ('-', '-', '-', '-', '4'));
        assert!("89ab".contains(at(19)));
        assert_ne!(id, uuid());
    }

    #[test]
    fn hex_and_tokens_have_their_lengths() {
        assert_eq!(hex::<8>().len(), 16);
        assert_eq!(token::<32>().len(), 43);
        assert_eq!(to_hex(&[0, 0xab, 0xff]), "00abff");
    }
}
