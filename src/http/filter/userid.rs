//! The userid filter: a cookie by which a client is known again.

use std::fmt::Write;
use std::net::IpAddr;

use ngx::log::Level;
use ngx::request::Request;

use super::Body;
use crate::conf::settings::UserId;
use crate::http::live::Live;
use crate::time;

pub fn head(live: &Live, request: &mut Request) -> Result<Option<Body>, u16> {
    if request.is_subrequest {
        return Ok(None);
    }
    let Some(id) = given(live, request) else { return Ok(None) };
    let settings = live.settings();
    let mut cookie = settings.userid_name.clone().unwrap_or_else(|| b"uid".to_vec());
    cookie.push(b'=');
    cookie.extend_from_slice(&ngx::encoding::encode_base64(&id, false));
    if let (Some(mark), Some(place)) = (settings.userid_mark.flatten(), cookie.len().checked_sub(2)) {
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

/// `$uid_got`: the identity the client sent.
pub fn got(live: &Live, request: &Request) -> Option<[u8; 16]> {
    let on = live.settings().userid.is_some_and(|mode| mode != UserId::Off);
    sent(live, request).filter(|_| on).map(|(id, _)| id)
}

/// `$uid_set`: the identity that the response gives the client; made when it is first asked for.
pub fn given(live: &Live, request: &Request) -> Option<[u8; 16]> {
    let settings = live.settings();
    let mode = settings.userid.unwrap_or(UserId::Off);
    if !matches!(mode, UserId::On | UserId::V1) {
        return None;
    }
    if let Some(id) = live.if_seldom().and_then(|s| s.user_id.get()) {
        return Some(id);
    }
    let id = match sent(live, request) {
        Some((id, mark)) => match reset(live, request).as_slice() {
            b"" | b"0" => {
                let wanted = settings.userid_mark.flatten();
                // (without the mark, or with another one: the same identity is sent again with it)
                if wanted.is_none() || mark == wanted {
                    return None;
                }
                id
            }
            how => {
                if how == b"log" {
                    let shown = String::from_utf8_lossy(&shown(live, &id)).into_owned();
                    live.say(request, Level::Notice, &format!("userid cookie \"{shown}\" was reset"));
                }
                fresh(live, request, mode)
            }
        },
        None => fresh(live, request, mode),
    };
    live.seldom().user_id.set(Some(id));
    Some(id)
}

/// `$uid_reset`, where the configuration defines it.
fn reset(live: &Live, request: &Request) -> Vec<u8> {
    live.http().names.find(b"uid_reset").and_then(|id| live.var(request, id)).unwrap_or_default()
}

/// The client's identity, with the character where a mark would be.
fn sent(live: &Live, request: &Request) -> Option<([u8; 16], Option<u8>)> {
    let name = live.settings().userid_name.as_deref().unwrap_or(b"uid");
    let value = request.headers.all(b"cookie").find_map(|line| {
        line.split(|&b| b == b';').find_map(|pair| {
            let (key, value) = pair.trim_ascii().split_at_checked(name.len())?;
            (key == name).then(|| value.strip_prefix(b"="))?.map(<[u8]>::to_vec)
        })
    })?;
    let complain = |what: &str| {
        let words = format!("client sent {what} userid cookie \"{}\"", String::from_utf8_lossy(&value));
        live.say(request, Level::Error, &words);
    };
    // (16 bytes are 22 characters: what follows is padding, or was, before it was marked)
    let Some(digits) = value.get(..22) else {
        complain("too short");
        return None;
    };
    let Some(bytes) = ngx::encoding::decode_base64(digits) else {
        complain("invalid");
        return None;
    };
    let mark = value.get(22).copied().filter(|_| value.get(23) == Some(&b'='));
    Some((bytes.try_into().ok()?, mark))
}

/// A new identity: the server, the time, the process, a count. The first version has them as the machine orders bytes.
fn fresh(live: &Live, request: &Request, mode: UserId) -> [u8; 16] {
    let seconds = u32::try_from(time::now_ms() / 1000).unwrap_or(u32::MAX);
    let old = mode == UserId::V1;
    let service = live.settings().userid_service.unwrap_or_else(|| if old { 0 } else { address(request) });
    // (zero would be none)
    let low = u32::try_from(live.id & 0xffff_ffff).unwrap_or(0).max(1);
    let mut id = [0; 16];
    for (at, word) in [service, seconds, std::process::id(), low].into_iter().enumerate() {
        id[at * 4..at * 4 + 4].copy_from_slice(&if old { word.to_ne_bytes() } else { word.to_be_bytes() });
    }
    id
}

/// The last four bytes of the address the client connected to; a unix socket has none.
fn address(request: &Request) -> u32 {
    let text = std::str::from_utf8(&request.connection.server_addr).unwrap_or_default();
    match text.parse() {
        Ok(IpAddr::V4(address)) => address.into(),
        Ok(IpAddr::V6(address)) => u32::try_from(u128::from(address) & 0xffff_ffff).unwrap_or(0),
        Err(_) => 0,
    }
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
