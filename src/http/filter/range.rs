//! The range filter (RFC 9110, 14): decides, once the head is final, which parts of a response go out. Handlers that allow ranges
//! read just those.

use ngx::request::Request;

use super::Body;
use crate::conf::scalar::number;
use crate::http::live::Live;
use crate::time;

/// What is to be sent of a response, in order.
pub struct Ranges {
    pub parts: Vec<Part>,
    /// Behind the last part.
    pub tail: Vec<u8>,
}

pub struct Part {
    /// The part's own head.
    pub head: Vec<u8>,
    pub from: u64,
    /// The first byte that is not sent any more.
    pub to: u64,
}

enum Wanted {
    Whole,
    Unsatisfiable,
    Some(Vec<(u64, u64)>),
}

pub fn head(live: &Live, request: &mut Request) -> Result<Option<Body>, u16> {
    if !live.allow_ranges.get() || request.response.status != 200 || request.version < 10 {
        return Ok(None);
    }
    let length = request.response.headers.first(b"content-length").and_then(|length| number(length));
    let Some(size) = length else { return Ok(None) };
    match wanted(live, request, size) {
        Wanted::Whole => request.response.headers.set("Accept-Ranges", "bytes"),
        Wanted::Unsatisfiable => {
            request.response.headers.set("Content-Range", format!("bytes */{size}"));
            return Err(416);
        }
        Wanted::Some(list) if list.len() == 1 => {
            let (from, to) = list[0];
            request.response.status = 206;
            request.response.headers.set("Content-Range", format!("bytes {from}-{}/{size}", to - 1));
            request.response.headers.set("Content-Length", (to - from).to_string());
            let parts = vec![Part { head: Vec::new(), from, to }];
            *live.seldom().ranges.borrow_mut() = Some(Ranges { parts, tail: Vec::new() });
        }
        Wanted::Some(list) => multipart(live, request, size, list),
    }
    Ok(None)
}

fn multipart(live: &Live, request: &mut Request, size: u64, list: Vec<(u64, u64)>) {
    let boundary = format!("{:020}", live.id % 10_000_000_000);
    let headers = &mut request.response.headers;
    let kind = headers.first(b"content-type").cloned().unwrap_or_default();
    let mut kind = String::from_utf8_lossy(&kind).into_owned();
    if let Some(charset) = request.response.charset.take().filter(|charset| !charset.is_empty()) {
        kind = format!("{kind}; charset={}", String::from_utf8_lossy(&charset));
    }
    let line = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    let (mut parts, mut total) = (Vec::new(), 0);
    for (from, to) in list {
        let head = format!("\r\n--{boundary}\r\n{line}Content-Range: bytes {from}-{}/{size}\r\n\r\n", to - 1);
        total += head.len() as u64 + (to - from);
        parts.push(Part { head: head.into_bytes(), from, to });
    }
    let tail = format!("\r\n--{boundary}--\r\n").into_bytes();
    total += tail.len() as u64;
    request.response.status = 206;
    headers.set("Content-Type", format!("multipart/byteranges; boundary={boundary}"));
    headers.set("Content-Length", total.to_string());
    *live.seldom().ranges.borrow_mut() = Some(Ranges { parts, tail });
}

fn wanted(live: &Live, request: &Request, size: u64) -> Wanted {
    let max = live.settings().max_ranges.unwrap_or(u64::MAX);
    let Some(list) = request.headers.first(b"range") else { return Wanted::Whole };
    let Some(list) = list.get(..6).filter(|unit| unit.eq_ignore_ascii_case(b"bytes=")).map(|_| &list[6..]) else {
        return Wanted::Whole;
    };
    if let Some(condition) = request.headers.first(b"if-range") {
        let head = &request.response.headers;
        let same = match condition.first() {
            Some(b'"') if condition.len() > 1 => head.first(b"etag").is_some_and(|tag| tag == condition),
            _ => {
                let changed = head.first(b"last-modified").and_then(|changed| time::parse_http_date(changed));
                changed.is_some() && time::parse_http_date(condition) == changed
            }
        };
        if !same {
            return Wanted::Whole;
        }
    }
    let (mut found, mut sum) = (Vec::new(), 0u64);
    for part in list.split(|&b| b == b',') {
        let Some(dash) = part.iter().position(|&b| b == b'-') else { return Wanted::Unsatisfiable };
        let (first, last) = (part[..dash].trim_ascii(), part[dash + 1..].trim_ascii());
        let range = match (first, last) {
            (b"", last) => match number(last) {
                Some(count) => (size.saturating_sub(count), size),
                None => return Wanted::Unsatisfiable,
            },
            (first, b"") => match number(first) {
                Some(from) => (from, size),
                None => return Wanted::Unsatisfiable,
            },
            (first, last) => match (number(first), number(last)) {
                (Some(from), Some(to)) => (from, to.saturating_add(1).min(size)),
                _ => return Wanted::Unsatisfiable,
            },
        };
        if range.0 < range.1 {
            sum = sum.saturating_add(range.1 - range.0);
            found.push(range);
        }
        if found.len() as u64 > max {
            return Wanted::Whole;
        }
    }
    if found.is_empty() {
        return Wanted::Unsatisfiable;
    }
    // More than the response itself: somebody is up to something; send it whole.
    if sum > size { Wanted::Whole } else { Wanted::Some(found) }
}
