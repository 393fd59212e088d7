//! Passwords whose hashes take much memory: yescrypt (`$y$`, what Debian's `passwd` makes) and scrypt (`$7$`).

use super::crypt::{digits, value};

/// More than this is not taken for one password, whatever the stored text asks for.
const MEMORY: u64 = 1 << 30;

/// What the password comes to under the stored text's parameters and salt, as a text of the same kind. None: they are wrong, or
/// ask for too much.
pub fn yescrypt(password: &[u8], stored: &[u8]) -> Option<Vec<u8>> {
    let mut fields = stored.strip_prefix(b"$y$")?.split(|&byte| byte == b'$');
    let (parameters, salt) = (fields.next()?, fields.next()?);
    let params: yescrypt::Params = std::str::from_utf8(parameters).ok()?.parse().ok()?;
    affordable(params.n(), params.r(), params.p())?;
    let mut hash = [0; 32];
    yescrypt::yescrypt(password, &decoded(salt)?, &params, &mut hash).ok()?;
    Some(text(&[b"$y$", parameters, b"$", salt, b"$"].concat(), &hash))
}

/// The same for `$7$`: a digit for the cost, five each for the block size and the parallelism, and the salt as it is.
pub fn scrypt(password: &[u8], stored: &[u8]) -> Option<Vec<u8>> {
    let rest = stored.strip_prefix(b"$7$")?;
    let (parameters, rest) = rest.split_at_checked(11)?;
    let salt = rest.split(|&byte| byte == b'$').next()?;
    let (cost, r, p) = (value(&parameters[..1]), value(&parameters[1..6]), value(&parameters[6..]));
    affordable(1u64.checked_shl(cost)?, r, p)?;
    let params = scrypt::Params::new(u8::try_from(cost).ok()?, r, p).ok()?;
    let mut hash = [0; 32];
    scrypt::scrypt(password, salt, &params, &mut hash).ok()?;
    Some(text(&[b"$7$", parameters, salt, b"$"].concat(), &hash))
}

fn affordable(n: u64, r: u32, p: u32) -> Option<()> {
    let blocks = n.checked_add(u64::from(p))?.checked_mul(u64::from(r))?;
    (blocks.checked_mul(128)? <= MEMORY).then_some(())
}

/// Bytes behind a text, three to four digits, the lowest bits first.
fn text(before: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut out = before.to_vec();
    for three in bytes.chunks(3) {
        let number = three.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte));
        digits(&mut out, number, three.len() + 1);
    }
    out
}

/// The other way round.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    for four in text.chunks(4) {
        let number = value(four).to_le_bytes();
        out.extend_from_slice(number.get(..four.len().checked_sub(1)?)?);
    }
    Some(out)
}
