//! The userid filter: a cookie by which a client is known again.

use std::fmt::Write;

use ngx::request::Request;

use super::Body;
use crate::conf::settings::UserId;
use crate::http::live::Live;
use crate::time;

pub fn head(live: &Live, request: &mut Request) -> Result<Option<Body>, u16> {
    let settings = live.settings();
    let mode = settings.userid.unwrap_or(UserId::Off);
    if !matches!(mode, UserId::On | UserId::V1) {
        return Ok(None);
    }
    let mark = settings.userid_mark.flatten();
    let id = match sent(live, request) {
        Some((_, theirs)) if mark.is_none() || theirs == mark => return Ok(None),
        // (without the mark, or with another one: the same identity is sent again with it)
        Some((id, _)) => id,
        None => fresh(live),
    };
    live.user_id.set(Some(id));
    let mut cookie = settings.userid_name.clone().unwrap_or_else(|| b"uid".to_vec());
    cookie.push(b'=');
    cookie.extend_from_slice(&ngx::encoding::encode_base64(&id, false));
    if let (Some(mark), Some(place)) = (mark, cookie.len().checked_sub(2)) {
        cookie[place] = mark;
    }
    match settings.userid_expires {
        None | Some(None) => {}
        Some(Some(u64::MAX)) => cookie.extend_from_slice(b"; expires=Thu, 31-Dec-37 23:55:55 GMT"),
        Some(Some(seconds)) => {
            let at = i64::try_from(time::now_ms() / 1000 + seconds).unwrap_or(i64::MAX);
            cookie.extend_from_slice(b"; expires=");
            // `Thu, 31-Dec-37 23:55:55 GMT`: the date as Netscape wrote it.
            let date = time::http_date(at);
            let words: Vec<&str> = date.split(' ').collect();
            if let [day, number, month, year, clock, zone] = words[..] {
                let year = year.get(2..).unwrap_or(year);
                cookie.extend_from_slice(format!("{day} {number}-{month}-{year} {clock} {zone}").as_bytes());
            }
        }
    }
    if let Some(domain) = settings.userid_domain.as_ref().filter(|domain| !domain.is_empty()) {
        cookie.extend_from_slice(b"; domain=");
        cookie.extend_from_slice(domain);
    }
    cookie.extend_from_slice(b"; path=");
    cookie.extend_from_slice(settings.userid_path.as_deref().unwrap_or(b"/"));
    let flags = settings.userid_flags.clone().unwrap_or_default();
    for (flag, text) in FLAGS {
        if flags.iter().any(|known| known == flag) {
            cookie.extend_from_slice(text);
        }
    }
    request.response.headers.add("Set-Cookie", cookie);
    if let Some(p3p) = settings.userid_p3p.as_ref().filter(|p3p| !p3p.is_empty()) {
        request.response.headers.add("P3P", p3p.clone());
    }
    Ok(None)
}

/// The words of `userid_flags`, in the order they stand in the cookie.
pub const FLAGS: &[(&[u8], &[u8])] = &[
    (b"secure", b"; secure"),
    (b"httponly", b"; httponly"),
    (b"samesite=strict", b"; samesite=strict"),
    (b"samesite=lax", b"; samesite=lax"),
    (b"samesite=none", b"; samesite=none"),
];

/// The identity the client sent.
pub fn got(live: &Live, request: &Request) -> Option<[u8; 16]> {
    sent(live, request).map(|(id, _)| id)
}

/// The same with the character where a mark would be.
fn sent(live: &Live, request: &Request) -> Option<([u8; 16], Option<u8>)> {
    let name = live.settings().userid_name.clone().unwrap_or_else(|| b"uid".to_vec());
    let value = request.headers.all(b"cookie").find_map(|line| {
        line.split(|&b| b == b';').find_map(|pair| {
            let (key, value) = pair.trim_ascii().split_at_checked(name.len())?;
            (key == &name[..]).then(|| value.strip_prefix(b"="))?.map(<[u8]>::to_vec)
        })
    })?;
    // (16 bytes are 22 characters: what follows is padding, or was, before it was marked)
    let bytes = ngx::encoding::decode_base64(value.get(..22)?)?;
    let mark = value.get(22).copied().filter(|_| value.get(23) == Some(&b'='));
    Some((bytes.try_into().ok()?, mark))
}

/// A new identity: the server, the time, the process, a count.
fn fresh(live: &Live) -> [u8; 16] {
    let seconds = u32::try_from(time::now_ms() / 1000).unwrap_or(u32::MAX);
    let service = live.settings().userid_service.unwrap_or(0x7f00_0001);
    let low = u32::try_from(live.id & 0xffff_ffff).unwrap_or(0);
    let mut id = [0; 16];
    for (at, word) in [service, seconds, std::process::id(), low].into_iter().enumerate() {
        id[at * 4..at * 4 + 4].copy_from_slice(&word.to_be_bytes());
    }
    id
}

/// `name=0123ABCD...`, as `$uid_got` and `$uid_set` show it.
pub fn shown(live: &Live, id: &[u8; 16]) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(live.settings().userid_name.as_deref().unwrap_or(b"uid")).into_owned();
    text.push('=');
    for word in id.chunks_exact(4) {
        let _ = write!(text, "{:08X}", u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    }
    text.into_bytes()
}
