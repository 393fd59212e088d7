//! Base64 as OpenResty encodes and decodes it.
//!
//! Decoding is lenient about what follows the first `=` (ignored) and strict about everything before it: a byte
//! outside the alphabet, or one lone last character, is an error. The MIME form skips bytes outside the alphabet
//! instead.

/// The standard alphabet, padded with `=` unless `no_padding`.
pub fn encode_base64(bytes: &[u8], no_padding: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            if at <= group.len() {
                out.push(ALPHABET[(word >> (18 - 6 * at)) as usize & 63]);
            } else if !no_padding {
                out.push(b'=');
            }
        }
    }
    out
}

/// `ngx.decode_base64`: `None` on a byte outside the alphabet or a lone last character.
pub fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.split(|&byte| byte == b'=').next().unwrap_or_default();
    let mut digits = Digits::new(text.len());
    for &byte in text {
        digits.push(VALUES[byte as usize].checked_sub(1)?);
    }
    digits.finish()
}

/// `ngx.base64`'s encode_base64url: letters that are safe in a URL, no padding.
pub fn encode_base64url(bytes: &[u8]) -> Vec<u8> {
    let mut text = encode_base64(bytes, true);
    for c in &mut text {
        match c {
            b'+' => *c = b'-',
            b'/' => *c = b'_',
            _ => {}
        }
    }
    text
}

/// `ngx.base64`'s decode_base64url: None where a letter is not of its alphabet.
pub fn decode_base64url(text: &[u8]) -> Option<Vec<u8>> {
    let plain = text.iter().map(|c| match c {
        b'-' => Some(b'+'),
        b'_' => Some(b'/'),
        b'+' | b'/' => None,
        c => Some(*c),
    });
    decode_base64(&plain.collect::<Option<Vec<u8>>>()?)
}

/// `ngx.decode_base64mime`: bytes outside the alphabet (line ends, say) are skipped.
pub fn decode_base64mime(text: &[u8]) -> Option<Vec<u8>> {
    let mut digits = Digits::new(text.len());
    for &byte in text.iter().take_while(|&&byte| byte != b'=') {
        if let Some(digit) = VALUES[byte as usize].checked_sub(1) {
            digits.push(digit);
        }
    }
    digits.finish()
}

/// Gathers 6-bit digits into bytes.
struct Digits {
    out: Vec<u8>,
    word: u32,
    count: usize,
}

impl Digits {
    fn new(room: usize) -> Digits {
        Digits { out: Vec::with_capacity(room / 4 * 3 + 3), word: 0, count: 0 }
    }

    fn push(&mut self, digit: u8) {
        self.word = self.word << 6 | u32::from(digit);
        self.count += 1;
        if self.count == 4 {
            self.out.extend_from_slice(&self.word.to_be_bytes()[1..]);
            (self.word, self.count) = (0, 0);
        }
    }

    fn finish(mut self) -> Option<Vec<u8>> {
        let left = match self.count {
            0 => 0,
            1 => return None,
            count => count - 1,
        };
        let word = self.word << (6 * (4 - self.count) as u32 % 24);
        self.out.extend_from_slice(&word.to_be_bytes()[1..1 + left]);
        Some(self.out)
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The value of a digit plus one; 0 for bytes outside the alphabet.
const VALUES: [u8; 256] = {
    let mut values = [0; 256];
    let mut at = 0;
    while at < 64 {
        values[ALPHABET[at] as usize] = at as u8 + 1;
        at += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::*;

    fn check(plain: &str, encoded: &str) {
        assert_eq!(encode_base64(plain.as_bytes(), false), encoded.as_bytes());
        assert_eq!(encode_base64(plain.as_bytes(), true), encoded.trim_end_matches('=').as_bytes());
        assert_eq!(decode_base64(encoded.as_bytes()).as_deref(), Some(plain.as_bytes()));
        assert_eq!(decode_base64(encoded.trim_end_matches('=').as_bytes()).as_deref(), Some(plain.as_bytes()));
    }

    #[test]
    fn round_trips() {
        check("", "");
        check("a", "YQ==");
        check("ab", "YWI=");
        check("abc", "YWJj");
        check("hello\u{0}\u{ff}", "aGVsbG8Aw78=");
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode_base64(&encode_base64(&all, true)), Some(all));
    }

    #[test]
    fn malformed() {
        assert_eq!(decode_base64(b"Y"), None);
        assert_eq!(decode_base64(b"YW Jj"), None);
        assert_eq!(decode_base64(b"YWJj=junk!").as_deref(), Some(&b"abc"[..]));
        assert_eq!(decode_base64mime(b"YW\r\nJj").as_deref(), Some(&b"abc"[..]));
        assert_eq!(decode_base64mime(b"Y\n").as_deref(), None);
    }
}
