//! The secure_link module: `$secure_link` and `$secure_link_expires`.

use ngx::encoding::{decode_base64, hex, md5_bin};
use ngx::request::Request;

use crate::conf::scalar::number;
use crate::conf::value::Value;
use crate::http::live::Live;
use crate::time;

/// The two ways to write it; they exclude each other.
#[derive(Clone, Debug)]
pub enum SecureLink {
    /// `secure_link HASH[,EXPIRES]` with `secure_link_md5`.
    Hash(Value),
    /// `secure_link_secret`: `/PREFIX/HASH/LINK`.
    Secret(Vec<u8>),
}

/// None, or empty: no such link. `0`: its time is over. Else `1`, or (with a secret) the link itself.
pub fn value(live: &Live, request: &Request) -> Option<Vec<u8>> {
    match live.settings().secure_link.as_ref()? {
        SecureLink::Secret(secret) => old_style(live, request, secret),
        SecureLink::Hash(value) => {
            let md5 = live.settings().secure_link_md5.as_ref()?;
            let text = live.eval(request, value);
            let (hash, expires) = split(&text);
            let until = match expires {
                None => None,
                Some(expires) => Some(number(expires).filter(|seconds| *seconds > 0)?),
            };
            let wanted = base64url(hash).filter(|bytes| hash.len() <= 24 && bytes.len() == 16)?;
            if wanted != md5_bin(&live.eval(request, md5)) {
                return None;
            }
            let over = until.is_some_and(|until| until < time::now_ms() / 1000);
            Some(if over { b"0".to_vec() } else { b"1".to_vec() })
        }
    }
}

pub fn expires(live: &Live, request: &Request) -> Option<Vec<u8>> {
    match live.settings().secure_link.as_ref()? {
        SecureLink::Hash(value) => split(&live.eval(request, value)).1.map(<[u8]>::to_vec),
        SecureLink::Secret(_) => None,
    }
}

fn split(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|&b| b == b',') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    let plain: Vec<u8> = text
        .iter()
        .take_while(|b| **b != b'=')
        .map(|b| match b {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    let padding = (4 - plain.len() % 4) % 4;
    decode_base64(&[&plain[..], &b"=="[..padding.min(2)]].concat())
}

fn old_style(live: &Live, request: &Request, secret: &[u8]) -> Option<Vec<u8>> {
    let rest = request.uri.get(live.location().name.len()..)?;
    let slash = rest.iter().position(|&b| b == b'/')?;
    let (hash, link) = (&rest[..slash], &rest[slash + 1..]);
    let wanted = hex(&md5_bin(&[link, secret].concat()));
    (hash.eq_ignore_ascii_case(&wanted)).then(|| link.to_vec())
}
