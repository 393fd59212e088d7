//! Passwords as htpasswd and crypt(3) store them: `{PLAIN}`, `{SHA}`, `{SSHA}`, `$apr1$`, `$1$`, the traditional one on DES, and
//! those that take their time: `$2a$`, `$2b$`, `$2y$`, `$5$`, `$6$`.

use md5::{Digest, Md5};
use ngx::encoding::{decode_base64, sha1_bin};
use sha_crypt::PasswordVerifier;

/// Whether a password is the one that a stored text was made of. What we cannot compute does not match.
pub fn matches(password: &[u8], stored: &[u8]) -> bool {
    if let Some(plain) = stored.strip_prefix(b"{PLAIN}") {
        return same(plain, password);
    }
    if let Some(hash) = stored.strip_prefix(b"{SHA}") {
        return decode_base64(hash).is_some_and(|hash| same(&hash, &sha1_bin(password)));
    }
    if let Some(hash) = stored.strip_prefix(b"{SSHA}") {
        let Some(bytes) = decode_base64(hash) else { return false };
        let Some((hash, salt)) = bytes.split_at_checked(20) else { return false };
        return same(hash, &sha1_bin(&[password, salt].concat()));
    }
    for magic in [&b"$apr1$"[..], b"$1$"] {
        if let Some(rest) = stored.strip_prefix(magic) {
            let salt = rest.split(|&b| b == b'$').next().unwrap_or_default();
            return same(stored, &md5_crypt(password, magic, &salt[..salt.len().min(8)]));
        }
    }
    match stored {
        [b'$', b'2', ..] => {
            let known = [b'a', b'b', b'y'].contains(&stored.get(2).copied().unwrap_or_default());
            let text = std::str::from_utf8(stored).ok().filter(|_| known);
            text.is_some_and(|text| bcrypt::verify(password, text).unwrap_or(false))
        }
        [b'$', b'5' | b'6', ..] => {
            let text = std::str::from_utf8(stored);
            text.is_ok_and(|text| sha_crypt::ShaCrypt::SHA512.verify_password(password, text).is_ok())
        }
        [a, b, ..] if stored.len() == 13 && a != &b'$' => same(stored, &des_crypt(password, [*a, *b])),
        _ => false,
    }
}

/// Whether finding out takes long: milliseconds, or seconds, as whoever stored the password wished.
pub fn is_slow(stored: &[u8]) -> bool {
    matches!(stored, [b'$', b'2' | b'5' | b'6', ..])
}

/// Takes as long for a near miss as for a far one.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn digits(out: &mut Vec<u8>, mut number: u32, count: usize) {
    for _ in 0..count {
        out.push(DIGITS[(number & 63) as usize]);
        number >>= 6;
    }
}

/// Poul-Henning Kamp's MD5 scheme, which Apache's differs from in its name only.
fn md5_crypt(password: &[u8], magic: &[u8], salt: &[u8]) -> Vec<u8> {
    let mut hash = Md5::digest([password, salt, password].concat()).to_vec();
    let mut context = [password, magic, salt].concat();
    for at in (0..password.len()).step_by(16) {
        context.extend_from_slice(&hash[..(password.len() - at).min(16)]);
    }
    let mut left = password.len();
    while left > 0 {
        context.push(if left & 1 == 1 { 0 } else { password[0] });
        left >>= 1;
    }
    hash = Md5::digest(&context).to_vec();
    for round in 0..1000 {
        let mut context = Vec::with_capacity(64);
        context.extend_from_slice(if round & 1 == 1 { password } else { &hash });
        if round % 3 != 0 {
            context.extend_from_slice(salt);
        }
        if round % 7 != 0 {
            context.extend_from_slice(password);
        }
        context.extend_from_slice(if round & 1 == 1 { &hash } else { password });
        hash = Md5::digest(&context).to_vec();
    }
    let mut out = [magic, salt, b"$"].concat();
    for [a, b, c] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        let number = u32::from(hash[a]) << 16 | u32::from(hash[b]) << 8 | u32::from(hash[c]);
        digits(&mut out, number, 4);
    }
    digits(&mut out, u32::from(hash[11]), 2);
    out
}

/// The traditional crypt(3): zeros encrypted 25 times by a DES whose expansion the salt changes, with the password as key.
fn des_crypt(password: &[u8], salt: [u8; 2]) -> Vec<u8> {
    let mut key = 0u64;
    for at in 0..8 {
        key = key << 8 | u64::from(password.get(at).copied().unwrap_or(0)) << 1 & 0xff;
    }
    let keys = schedule(key);
    let value = |byte: u8| DIGITS.iter().position(|&digit| digit == byte).unwrap_or(0) as u64;
    let swap = value(salt[0]) | value(salt[1]) << 6;
    let block = (0..25).fold(0, |block, _| encrypt(block, &keys, swap));
    let mut out = salt.to_vec();
    // 64 bits as eleven digits, the highest first.
    let wide = u128::from(block) << 2;
    for digit in 0..11 {
        out.push(DIGITS[(wide >> (60 - 6 * digit) & 63) as usize]);
    }
    out
}

/// Picks bits out of a `width`-bit number; positions count from 1 at the high end, as the standard's tables do.
fn pick(number: u64, width: u32, table: &[u8]) -> u64 {
    table.iter().fold(0, |out, &at| out << 1 | number >> (width - u32::from(at)) & 1)
}

fn schedule(key: u64) -> [u64; 16] {
    let both = pick(key, 64, &PC1);
    let (mut c, mut d) = (both >> 28, both & 0xfff_ffff);
    SHIFTS.map(|shift| {
        c = (c << shift | c >> (28 - shift)) & 0xfff_ffff;
        d = (d << shift | d >> (28 - shift)) & 0xfff_ffff;
        pick(c << 28 | d, 56, &PC2)
    })
}

fn encrypt(block: u64, keys: &[u64; 16], swap: u64) -> u64 {
    let block = pick(block, 64, &IP);
    let (mut left, mut right) = (block >> 32, block & 0xffff_ffff);
    for key in keys {
        let mut wide = pick(right, 32, &E);
        // A bit of the salt exchanges a bit of one half with the same one of the other.
        for bit in 0..12 {
            if swap >> bit & 1 == 1 {
                let (high, low) = (47 - bit, 23 - bit);
                if (wide >> high ^ wide >> low) & 1 == 1 {
                    wide ^= 1 << high | 1 << low;
                }
            }
        }
        wide ^= key;
        let mut narrow = 0;
        for (number, table) in S.iter().enumerate() {
            let six = wide >> (42 - 6 * number) & 63;
            let (row, column) = ((six >> 4 & 2 | six & 1) as usize, (six >> 1 & 15) as usize);
            narrow = narrow << 4 | u64::from(table[row * 16 + column]);
        }
        (left, right) = (right, left ^ pick(narrow, 32, &P));
    }
    pick(right << 32 | left, 64, &FP)
}

const SHIFTS: [u32; 16] = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];
const PC1: [u8; 56] = [
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36, 63, 55,
    47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4,
];
const PC2: [u8; 48] = [
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52, 31, 37, 47, 55, 30,
    40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];
const IP: [u8; 64] = [
    58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4, 62, 54, 46, 38, 30, 22, 14, 6, 64, 56, 48, 40, 32,
    24, 16, 8, 57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35, 27, 19, 11, 3, 61, 53, 45, 37, 29, 21, 13, 5, 63, 55, 47,
    39, 31, 23, 15, 7,
];
const FP: [u8; 64] = [
    40, 8, 48, 16, 56, 24, 64, 32, 39, 7, 47, 15, 55, 23, 63, 31, 38, 6, 46, 14, 54, 22, 62, 30, 37, 5, 45, 13, 53, 21,
    61, 29, 36, 4, 44, 12, 52, 20, 60, 28, 35, 3, 43, 11, 51, 19, 59, 27, 34, 2, 42, 10, 50, 18, 58, 26, 33, 1, 41, 9,
    49, 17, 57, 25,
];
const E: [u8; 48] = [
    32, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 8, 9, 10, 11, 12, 13, 12, 13, 14, 15, 16, 17, 16, 17, 18, 19, 20, 21, 20, 21,
    22, 23, 24, 25, 24, 25, 26, 27, 28, 29, 28, 29, 30, 31, 32, 1,
];
const P: [u8; 32] = [
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4,
    25,
];
const S: [[u8; 64]; 8] = [
    [
        14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7, 0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12, 11, 9, 5, 3, 8, 4,
        1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0, 15, 12, 8, 2, 4, 9, 1, 7, 5, 11, 3, 14, 10, 0, 6, 13,
    ],
    [
        15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10, 3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1, 10, 6, 9, 11, 5, 0,
        14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15, 13, 8, 10, 1, 3, 15, 4, 2, 11, 6, 7, 12, 0, 5, 14, 9,
    ],
    [
        10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8, 13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5, 14, 12, 11, 15, 1, 13,
        6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7, 1, 10, 13, 0, 6, 9, 8, 7, 4, 15, 14, 3, 11, 5, 2, 12,
    ],
    [
        7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15, 13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2, 12, 1, 10, 14, 9, 10,
        6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4, 3, 15, 0, 6, 10, 1, 13, 8, 9, 4, 5, 11, 12, 7, 2, 14,
    ],
    [
        2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9, 14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15, 10, 3, 9, 8, 6, 4,
        2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14, 11, 8, 12, 7, 1, 14, 2, 13, 6, 15, 0, 9, 10, 4, 5, 3,
    ],
    [
        12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11, 10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13, 14, 0, 11, 3, 8, 9,
        14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6, 4, 3, 2, 12, 9, 5, 15, 10, 11, 14, 1, 7, 6, 0, 8, 13,
    ],
    [
        4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1, 13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5, 12, 2, 15, 8, 6, 1,
        4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2, 6, 11, 13, 8, 1, 4, 10, 7, 9, 5, 0, 15, 14, 2, 3, 12,
    ],
    [
        13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7, 1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6, 11, 0, 14, 9, 2, 7,
        11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8, 2, 1, 14, 7, 4, 10, 8, 13, 15, 12, 9, 0, 3, 5, 6, 11,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    const SHA512: &str =
        "$6$rounds=1000$ab$3tLFZOSDxcyiDWcYSrieU1uloXMcbPJQRTcotZNqEJiB1iizwjzbn2jECOCvw6wslPpiTPzli2jppqTUXUq9N0";

    #[test]
    fn stored_passwords() {
        for (password, stored, expected) in [
            ("password", "{PLAIN}password", true),
            ("passwort", "{PLAIN}password", false),
            ("password", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", true),
            ("password", "{SHA}____", false),
            ("password", "{SSHA}yI6cZwQadOA1e+/f+T+H3eCQQhRzYWx0", true),
            ("password", "{SSHA}Zm9vCg==", false),
            ("password", "$apr1$salt$Xxd1irWT9ycqoYxGFn4cb.", true),
            ("123", "$apr1$salt$Xxd1irWT9ycqoYxGFn4cb.", false),
            ("1", "$apr1$", false),
            ("password", "$1$salt$qJH7.N4xYta3aEG/dfqo/0", true),
            ("secret", "$5$saltstring$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi.", true),
            ("Secret", "$5$saltstring$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi.", false),
            ("secret", SHA512, true),
            ("secrets", SHA512, false),
            ("secret", "$6$rounds=1$ab$", false),
            ("secret", "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a", true),
            ("secret", "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", true),
            ("secret", "$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0b", false),
            ("secret", "$2", false),
            ("good", "gorTndmry71eM", true),
            ("Good", "gorTndmry71eM", false),
            ("x", "", false),
        ] {
            assert_eq!(matches(password.as_bytes(), stored.as_bytes()), expected, "{password} {stored}");
        }
    }
}
