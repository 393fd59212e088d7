//! The split_clients module: a variable by a hash, in given proportions.

use ngx::request::Request;

use crate::conf::value::Value;
use crate::http::live::Live;

#[derive(Debug)]
pub struct Split {
    pub source: Value,
    /// The last hash of each part (the largest number: all the rest), and its value.
    pub parts: Vec<(u32, Value)>,
}

impl Split {
    pub fn value(&self, live: &Live, request: &Request) -> Vec<u8> {
        let hash = murmur2(&live.eval(request, &self.source));
        let part = self.parts.iter().find(|(last, _)| hash < *last || *last == u32::MAX);
        part.map(|(_, value)| live.eval(request, value)).unwrap_or_default()
    }
}

/// MurmurHash2 with seed 0.
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut chunks = bytes.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0, |all, &byte| all << 8 | u32::from(byte));
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    #[test]
    fn hashes() {
        // Known values of the published algorithm.
        for (text, expected) in [("", 0), ("a", 0x92685f5e), ("abc", 0x13577c9b)] {
            assert_eq!(super::murmur2(text.as_bytes()), expected, "{text}");
        }
    }
}
