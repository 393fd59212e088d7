//! The digests and checksums of the ngx API. Which algorithm is strong is not our choice: Lua code names it.

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

/// `ngx.md5`: 32 lower-case hexadecimal digits.
pub fn md5(bytes: &[u8]) -> Vec<u8> {
    hex(&md5_bin(bytes))
}

/// `ngx.md5_bin`.
pub fn md5_bin(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

/// `ngx.sha1_bin`.
pub fn sha1_bin(bytes: &[u8]) -> [u8; 20] {
    Sha1::digest(bytes).into()
}

/// `ngx.hmac_sha1`, binary.
pub fn hmac_sha1(key: &[u8], bytes: &[u8]) -> [u8; 20] {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("an HMAC takes keys of any length");
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

/// set_misc's `set_hmac_sha256`, binary.
pub fn hmac_sha256(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("an HMAC takes keys of any length");
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

/// `ngx.crc32_short` and `ngx.crc32_long`: CRC-32 (IEEE). The two differ in speed only, in nginx.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Lower-case hexadecimal digits, two a byte.
pub fn hex(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|&byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]).collect()
}

/// The bytes that hexadecimal digits stand for; None: there is an odd number of them, or something else among them.
pub fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_chunks::<2>();
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    pairs.iter().map(byte).collect::<Option<Vec<u8>>>().filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &str) {
        assert_eq!(String::from_utf8(hex(bytes)).unwrap(), expected);
    }

    #[test]
    fn known_digests() {
        assert_eq!(md5(b"hello"), b"5d41402abc4b2a76b9719d911017c592");
        check(&md5_bin(b""), "d41d8cd98f00b204e9800998ecf8427e");
        check(&sha1_bin(b"hello"), "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d");
        check(&hmac_sha1(b"thisisverysecretstuff", b"some string we want to sign"), HMAC);
        check(&hmac_sha1(&[b'k'; 100], b""), "10e662acd95fe69433326f84609dcfad9e5cb1d1");
        assert_eq!(crc32(b"hello, world"), 4289425978);
        assert_eq!(crc32(b""), 0);
    }

    const HMAC: &str = "47fa6fc731c2e0d2ed8fb4be917160fcd78f4e69";
}
