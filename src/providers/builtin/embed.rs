//! Lexical hashing embeddings: no model, no meaning, but near texts get near vectors.
//!
//! Words, pairs of neighbouring words and letter triples are hashed into the dimensions with a sign, weighted by the
//! square root of their count, and the vector is brought to length 1. Texts that share words are similar; synonyms are
//! not. Good enough to find a note again on a host without network, and documented as no more than that.
//!
//! Invariant: the same text gives the same vector in every version and on every platform.

/// The vector of `text` with `dimensions` entries. All zero only for text without letters and digits.
pub fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut counts = vec![0f32; dimensions.max(1)];
    let mut add = |feature: u64, weight: f32| {
        let slot = (feature >> 1) as usize % counts.len();
        counts[slot] += if feature & 1 == 0 { weight } else { -weight };
    };
    let lower = text.to_lowercase();
    let mut previous: Option<u64> = None;
    for word in lower.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let hash = fnv(WORD, word.bytes());
        add(hash, 1.0);
        if let Some(before) = previous {
            add(mix(fnv(PAIR, before.to_le_bytes().into_iter().chain(hash.to_le_bytes()))), 0.5);
        }
        previous = Some(hash);
        let letters: Vec<char> = word.chars().collect();
        for triple in letters.windows(3) {
            let bytes = triple.iter().flat_map(|letter| u32::from(*letter).to_le_bytes());
            add(fnv(TRIPLE, bytes), 0.25);
        }
    }
    let mut vector: Vec<f32> = counts.iter().map(|count| count.signum() * count.abs().sqrt()).collect();
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    } else if let Some(last) = previous {
        // In very few dimensions features may cancel out; text must not look like no text.
        let slot = last as usize % vector.len();
        vector[slot] = 1.0;
    }
    vector
}

/// FNV-1a, finished so that neighbouring texts spread.
fn fnv(seed: u64, bytes: impl Iterator<Item = u8>) -> u64 {
    mix(bytes.fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)))
}

/// The finaliser of SplitMix64.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^ (hash >> 31)
}

/// Seeds that keep the three kinds of features apart; the first is FNV's offset basis.
const WORD: u64 = 0xCBF2_9CE4_8422_2325;
const PAIR: u64 = 0x9E37_79B9_7F4A_7C15;
const TRIPLE: u64 = 0xD1B5_4A32_D192_ED03;

/// Entries when the caller asks for no particular number.
pub const DIMENSIONS: usize = 256;

/// More is of no use to hashing, and the caller names the number.
pub const DIMENSIONS_CAP: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn similarity(a: &str, b: &str) -> f32 {
        vector(a, DIMENSIONS).iter().zip(vector(b, DIMENSIONS)).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn vectors_are_normalised_deterministic_and_of_the_asked_size() {
        for dimensions in [1, 8, 256, 1024] {
            let one = vector("The quick brown fox", dimensions);
            assert_eq!((one.len(), &one), (dimensions, &vector("The quick brown fox", dimensions)));
            assert!((one.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-4);
        }
        assert!(vector(" ?! ", 16).iter().all(|value| *value == 0.0));
    }

    #[test]
    fn texts_that_share_words_are_nearer() {
        let near = similarity("restart the gateway service", "how do I restart the gateway");
        let far = similarity("restart the gateway service", "tomatoes need plenty of sun");
        assert!(near > 0.4 && far < 0.2, "{near} {far}");
        assert!(similarity("Gateway", "gateways") > similarity("Gateway", "tomato"));
    }
}
