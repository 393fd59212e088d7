//! Base32 as set_misc's `set_encode_base32` has it: the extended hex alphabet in lower case, padded.

const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// Eight letters for every five bytes, the last group filled up with `=`.
pub fn encode_base32(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(5) * 8);
    for group in bytes.chunks(5) {
        let word = (0..5).fold(0u64, |word, i| word << 8 | u64::from(group.get(i).copied().unwrap_or(0)));
        let letters = (group.len() * 8).div_ceil(5);
        for i in 0..8 {
            let digit = (word >> (35 - 5 * i)) & 31;
            out.push(if i < letters { ALPHABET[digit as usize] } else { b'=' });
        }
    }
    out
}

/// Letters of either case; whatever stands behind the first `=` does not count. None: another byte was among them.
pub fn decode_base32(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.split(|c| *c == b'=').next().unwrap_or_default();
    let mut out = Vec::with_capacity(text.len() * 5 / 8);
    let (mut word, mut bits) = (0u32, 0);
    for c in text {
        let digit = ALPHABET.iter().position(|letter| letter == &c.to_ascii_lowercase())?;
        word = (word << 5 | digit as u32) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits) as u8);
        }
    }
    Some(out)
}
