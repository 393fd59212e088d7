//! Passwords as htpasswd and crypt(3) store them: `{PLAIN}`, `{SHA}`, `{SSHA}`, `$apr1$`, `$1$`, those on DES, and those that take
//! their time: `$2a$`, `$2b$`, `$2y$`, `$5$`, `$6$`, `$7$`, `$y$`.

use md5::{Digest, Md5};
use ngx::encoding::{decode_base64, sha1_bin};
use sha_crypt::PasswordVerifier;

use super::{des, memory_hard};

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
        [b'$', b'7', ..] => memory_hard::scrypt(password, stored).is_some_and(|made| same(stored, &made)),
        [b'$', b'y', ..] => memory_hard::yescrypt(password, stored).is_some_and(|made| same(stored, &made)),
        [b'_', ..] => des::extended(password, stored).is_some_and(|made| same(stored, &made)),
        [a, b, ..] if stored.len() == 13 && a != &b'$' => same(stored, &des::traditional(password, [*a, *b])),
        _ => false,
    }
}

/// Whether finding out takes long: milliseconds, or seconds, as whoever stored the password wished.
pub fn is_slow(stored: &[u8]) -> bool {
    matches!(stored, [b'$', b'2' | b'5' | b'6' | b'7' | b'y', ..] | [b'_', ..])
}

/// Takes as long for a near miss as for a far one.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

pub const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

pub fn digits(out: &mut Vec<u8>, mut number: u32, count: usize) {
    for _ in 0..count {
        out.push(DIGITS[(number & 63) as usize]);
        number >>= 6;
    }
}

/// What digits stand for, the first for the lowest six bits. (What is no digit counts as none of its bits.)
pub fn value(digits: &[u8]) -> u32 {
    let digit = |byte: &u8| DIGITS.iter().position(|digit| digit == byte).unwrap_or(0) as u32;
    digits.iter().rev().fold(0, |number, byte| number << 6 | digit(byte))
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
            ("secret", "_J9..abcd/H6HLCcf7nw", true),
            ("secrets", "_J9..abcd/H6HLCcf7nw", false),
            ("a longer secret", "_J9..abcd80zeIGmmND.", true),
            ("secret", "_J9..", false),
            ("secret", "$y$j9T$abcdefgh$IUWJt2doU4Kf6E/JP1UkAT3S5O3Q7SSA8SJirXIlEu9", true),
            ("secrets", "$y$j9T$abcdefgh$IUWJt2doU4Kf6E/JP1UkAT3S5O3Q7SSA8SJirXIlEu9", false),
            ("secret", "$y$j75$.saltxyz$mLNpdTD1HS/ccuuintRsPSzbjMhJ6F6cdC0jvy/zyC1", true),
            ("secret", "$y$j9T$abcdefgh$", false),
            ("secret", "$y$jzzzzzT$abcdefgh$x", false),
            ("secret", "$7$CU..../....abcdefgh$XWs9HxtpA2.6U5CDBBbcW.h3o9pYlC.MIIb8JqMgZx6", true),
            ("secrets", "$7$CU..../....abcdefgh$XWs9HxtpA2.6U5CDBBbcW.h3o9pYlC.MIIb8JqMgZx6", false),
            ("secret", "$7$zzzzzzzzzzzabcdefgh$x", false),
            ("secret", "$7$CU", false),
            ("x", "", false),
        ] {
            assert_eq!(matches(password.as_bytes(), stored.as_bytes()), expected, "{password} {stored}");
        }
    }
}
