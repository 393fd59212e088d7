//! set-misc-nginx-module's functions: what `set_NAME $variable ...` makes of its arguments.

use std::sync::atomic::{AtomicI64, Ordering};

use ngx::encoding::{self, Escape};
use ngx::log::Level;
use ngx::request::Request;
use rustix::rand::{GetRandomFlags, getrandom};

use super::live::Live;
use crate::conf::scalar;
use crate::time;

/// One directive's function.
#[derive(Debug)]
pub struct Function {
    pub name: &'static str,
    /// How many arguments follow the variable.
    pub least: usize,
    pub most: usize,
    /// Whether the variable's own value comes first: always, or where there is no other argument.
    pub own: Own,
    pub call: Call,
}

#[derive(Debug, PartialEq)]
pub enum Own {
    Never,
    Always,
    Alone,
}

#[derive(Debug)]
pub enum Call {
    /// From one value to another; None: it cannot be.
    Text(fn(&[u8]) -> Option<Vec<u8>>),
    /// From all of them. The error is for the log.
    Values(fn(&Values) -> Result<Vec<u8>, String>),
}

/// What a function sees.
pub struct Values<'a> {
    args: &'a [Vec<u8>],
    live: &'a Live,
    /// Where `set_rotate` is; -1: nowhere yet.
    place: &'a AtomicI64,
}

impl Values<'_> {
    fn text(&self, n: usize) -> &[u8] {
        self.args.get(n).map_or(&[], Vec::as_slice)
    }
    fn number(&self, n: usize, name: &str, what: &str) -> Result<i64, String> {
        let text = self.text(n);
        let number = scalar::number(text).and_then(|n| i64::try_from(n).ok());
        number.ok_or_else(|| format!("{name}: bad \"{what}\" argument: {}", String::from_utf8_lossy(text)))
    }
}

/// Runs it. Err: the request fails with 500, and the log knows why.
pub fn run(
    live: &Live,
    request: &Request,
    function: &Function,
    place: &AtomicI64,
    args: &[Vec<u8>],
) -> Result<Vec<u8>, u16> {
    match function.call {
        Call::Text(call) => call(args.first().map_or(&[], Vec::as_slice)).ok_or(500),
        Call::Values(call) => call(&Values { args, live, place }).map_err(|words| {
            live.say(request, Level::Error, &words);
            500
        }),
    }
}

const fn text(name: &'static str, call: fn(&[u8]) -> Option<Vec<u8>>) -> Function {
    Function { name, least: 0, most: 1, own: Own::Alone, call: Call::Text(call) }
}

const fn values(name: &'static str, count: usize, own: Own, call: fn(&Values) -> Result<Vec<u8>, String>) -> Function {
    Function { name, least: count, most: count, own, call: Call::Values(call) }
}

pub static FUNCTIONS: [Function; 25] = [
    text("set_escape_uri", |text| Some(encoding::escape_uri(text, Escape::Component).into_owned())),
    text("set_unescape_uri", |text| Some(encoding::unescape_uri(text).into_owned())),
    text("set_quote_sql_str", |text| Some(encoding::quote_sql_str(text))),
    text("set_quote_pgsql_str", |text| Some(encoding::quote_pgsql_str(text))),
    text("set_quote_json_str", |text| Some(encoding::quote_json_str(text))),
    text("set_encode_base64", |text| Some(encoding::encode_base64(text, false))),
    text("set_decode_base64", encoding::decode_base64),
    text("set_encode_base64url", |text| Some(encoding::encode_base64url(text))),
    text("set_decode_base64url", encoding::decode_base64url),
    text("set_encode_hex", |text| Some(encoding::hex(text))),
    text("set_decode_hex", encoding::unhex),
    text("set_md5", |text| Some(encoding::md5(text))),
    text("set_sha1", |text| Some(encoding::hex(&encoding::sha1_bin(text)))),
    Function { least: 0, ..values("set_encode_base32", 1, Own::Alone, encode_base32) },
    Function { least: 0, ..values("set_decode_base32", 1, Own::Alone, decode_base32) },
    values("set_hmac_sha1", 2, Own::Never, |v| Ok(encoding::hmac_sha1(v.text(0), v.text(1)).to_vec())),
    values("set_hmac_sha256", 2, Own::Never, |v| Ok(encoding::hmac_sha256(v.text(0), v.text(1)).to_vec())),
    values("set_if_empty", 1, Own::Always, |v| Ok(v.text(usize::from(v.text(0).is_empty())).to_vec())),
    values("set_rotate", 2, Own::Always, rotate),
    values("set_random", 2, Own::Never, random),
    values("set_secure_random_alphanum", 1, Own::Never, |v| letters(v, ALPHANUM)),
    values("set_secure_random_lcalpha", 1, Own::Never, |v| letters(v, &ALPHANUM[..26])),
    values("set_local_today", 0, Own::Never, |_| Ok(date(b"%Y-%m-%d", false))),
    values("set_formatted_gmt_time", 1, Own::Never, |v| Ok(date(v.text(0), true))),
    values("set_formatted_local_time", 1, Own::Never, |v| Ok(date(v.text(0), false))),
];

const ALPHANUM: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/// The longest text of random letters.
const LONGEST: i64 = 64;

fn encode_base32(v: &Values) -> Result<Vec<u8>, String> {
    let settings = v.live.settings();
    let mut out = encoding::encode_base32(v.text(0));
    if settings.set_base32_padding == Some(false) {
        out.retain(|c| *c != b'=');
    }
    if let Some(alphabet) = &settings.set_base32_alphabet {
        for letter in out.iter_mut().filter(|c| **c != b'=') {
            let digit = char::from(*letter).to_digit(32).and_then(|digit| usize::try_from(digit).ok());
            *letter = digit.and_then(|digit| alphabet.get(digit)).copied().unwrap_or(*letter);
        }
    }
    Ok(out)
}

fn decode_base32(v: &Values) -> Result<Vec<u8>, String> {
    let mut text = v.text(0).to_vec();
    if let Some(alphabet) = &v.live.settings().set_base32_alphabet {
        for letter in text.iter_mut().filter(|c| **c != b'=') {
            let digit = alphabet.iter().position(|known| known == letter).and_then(|digit| u32::try_from(digit).ok());
            // (what is no letter of the alphabet is none of the other)
            let plain = digit.and_then(|digit| char::from_digit(digit, 32)).unwrap_or('!');
            *letter = u8::try_from(plain).unwrap_or(b'!');
        }
    }
    encoding::decode_base32(&text).ok_or_else(|| "set_decode_base32: invalid value".into())
}

/// Counts up from where the variable is, or the location was, and begins anew at the end.
fn rotate(v: &Values) -> Result<Vec<u8>, String> {
    let (from, to) = (v.number(1, "set_rotate", "from")?, v.number(2, "set_rotate", "to")?);
    let (from, to) = (from.min(to), from.max(to));
    let kept = Some(v.place.load(Ordering::Relaxed)).filter(|place| *place >= 0);
    let now = v.number(0, "", "").ok().or(kept).unwrap_or(from - 1);
    let next = now.saturating_add(1);
    let next = if (from..=to).contains(&next) { next } else { from };
    v.place.store(next, Ordering::Relaxed);
    Ok(next.to_string().into_bytes())
}

fn random(v: &Values) -> Result<Vec<u8>, String> {
    let (from, to) = (v.number(0, "set_random", "from")?, v.number(1, "set_random", "to")?);
    let (from, to) = (from.min(to), from.max(to));
    let mut bytes = [0; 8];
    fill("set_random", &mut bytes)?;
    let span = u64::try_from(to - from).unwrap_or(0).saturating_add(1);
    let step = i64::try_from(u64::from_le_bytes(bytes) % span).unwrap_or(0);
    Ok((from + step).to_string().into_bytes())
}

fn letters(v: &Values, alphabet: &[u8]) -> Result<Vec<u8>, String> {
    let bad = |_| format!("set_random: bad \"length\" argument: {}", String::from_utf8_lossy(v.text(0)));
    let length = v.number(0, "", "").map_err(bad)?;
    if !(1..=LONGEST).contains(&length) {
        return Err(bad(String::new()));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(1)];
    fill("set_secure_random", &mut bytes)?;
    Ok(bytes.into_iter().map(|byte| alphabet[usize::from(byte) % alphabet.len()]).collect())
}

fn fill(name: &str, bytes: &mut [u8]) -> Result<(), String> {
    match getrandom(&mut *bytes, GetRandomFlags::empty()) {
        Ok(count) if count == bytes.len() => Ok(()),
        _ => Err(format!("{name}: no random bytes are to be had")),
    }
}

/// C's strftime, for now.
fn date(format: &[u8], utc: bool) -> Vec<u8> {
    let unix = i64::try_from(time::now_ms() / 1000).unwrap_or(0);
    stdlib::os::format_time(&String::from_utf8_lossy(format), unix, utc).into_bytes()
}
