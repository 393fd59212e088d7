//! The not-modified filter: conditional requests (RFC 9110, 13), for every response that says when it last changed.

use ngx::request::Request;

use super::Body;
use crate::conf::settings::IfModified;
use crate::http::live::Live;
use crate::time;

pub fn head(live: &Live, request: &mut Request) -> Result<Option<Body>, u16> {
    if request.response.status != 200 || live.err_status.get() != 0 {
        return Ok(None);
    }
    let headers = &request.headers;
    let conditional = [&b"if-modified-since"[..], b"if-none-match", b"if-unmodified-since", b"if-match"];
    if !headers.iter().any(|(name, _)| conditional.iter().any(|known| name.eq_ignore_ascii_case(known))) {
        return Ok(None);
    }
    let mtime = request.response.headers.first(b"last-modified").and_then(|changed| time::parse_http_date(changed));
    let etag = request.response.headers.first(b"etag");
    if let Some(since) = headers.first(b"if-unmodified-since")
        && let Some(mtime) = mtime
        && time::parse_http_date(since).is_some_and(|since| mtime > since)
    {
        return Err(412);
    }
    if let Some(tags) = headers.first(b"if-match")
        && !matches_etag(tags, etag, false)
    {
        return Err(412);
    }
    let since = headers.first(b"if-modified-since");
    let none_match = headers.first(b"if-none-match");
    if since.is_none() && none_match.is_none() {
        return Ok(None);
    }
    if let Some(since) = since {
        let since = time::parse_http_date(since);
        let modified = match (live.settings().if_modified_since.unwrap_or(IfModified::Exact), mtime) {
            (IfModified::Off, _) | (_, None) => true,
            (IfModified::Exact, mtime) => since != mtime,
            (IfModified::Before, Some(mtime)) => since.is_none_or(|since| mtime > since),
        };
        if modified {
            return Ok(None);
        }
    }
    if let Some(tags) = none_match
        && !matches_etag(tags, etag, true)
    {
        return Ok(None);
    }
    request.response.status = 304;
    live.allow_ranges.set(false);
    for name in [&b"content-type"[..], b"content-length", b"content-encoding", b"accept-ranges"] {
        request.response.headers.remove(name);
    }
    Ok(None)
}

fn matches_etag(list: &[u8], etag: Option<&ngx::bytes::Bytes>, weak: bool) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let strip = |tag: &[u8]| if weak { tag.strip_prefix(b"W/").unwrap_or(tag).to_vec() } else { tag.to_vec() };
    let Some(etag) = etag.map(|tag| strip(tag)) else { return false };
    list.split(|&b| b == b',').map(<[u8]>::trim_ascii).any(|tag| strip(tag) == etag)
}
