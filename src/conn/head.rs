//! Request heads, parsed by nginx's rules from the bytes as they came; everything in a `Head` is a slice of them.
//!
//! What is refused, and in which words, is decided here alone, and no two parsers can disagree about where a body ends.

use bytes::Bytes;
use ngx::headers::Headers;
use ngx::log::Level;

#[derive(Debug)]
pub struct Head {
    pub raw: Bytes,
    pub request_line: Bytes,
    pub method: Bytes,
    pub target: Bytes,
    /// 9, 10 or 11.
    pub version: u8,
    pub headers: Headers,
    pub content_length: Option<u64>,
    pub chunked: bool,
    pub keep_alive: bool,
    pub expect: bool,
}

/// Why a head was refused: the status, and what the error log says at level info.
#[derive(Clone, Debug)]
pub struct Bad {
    pub status: u16,
    pub reason: String,
    /// The request line, as far as it was read.
    pub line: Bytes,
    /// The headers before the one that was refused.
    pub headers: Headers,
    /// Bytes read of the head.
    pub length: usize,
    /// The client's fault is info, ours is an alert.
    pub level: Level,
}

/// Limits of `large_client_header_buffers` and how strict to be about names.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub buffers: usize,
    pub size: usize,
    pub underscores: bool,
    pub ignore_invalid: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { buffers: 4, size: 8192, underscores: false, ignore_invalid: true }
    }
}

/// Where the head at the start of `bytes` ends; `from` is how far an earlier call has looked already.
pub fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from.saturating_sub(3);
    // A request line without a version is the whole of an HTTP/0.9 request.
    while let Some(found) = memchr::memchr(b'\n', &bytes[at..]) {
        at += found + 1;
        match &bytes[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// Empty lines before a request are skipped.
pub fn leading_blank(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count()
}

/// What is wrong already with a head that is not whole yet: nobody waits for the rest of it then. (A TLS handshake on a plain
/// port has no line at all, and its client waits for an answer.)
pub fn unfinished(bytes: &[u8], limits: &Limits) -> Option<Bad> {
    if let Some(bad) = too_large(bytes, limits) {
        return Some(bad);
    }
    let refused = match memchr::memchr(b'\n', bytes) {
        Some(end) => request_line(trim(&bytes[..end])).err().map(|(status, reason)| (end, status, reason)),
        None => {
            let method = bytes.split(|&b| b == b' ').next().unwrap_or_default();
            let wrong = bytes.first() == Some(&b' ') || !method.iter().all(method_letter);
            wrong.then_some((bytes.len(), 400, INVALID_METHOD))
        }
    };
    let (end, status, reason) = refused?;
    let line = Bytes::copy_from_slice(trim(&bytes[..end]));
    Some(Bad::new(status, &format!("{reason} while reading client request line"), line))
}

/// Checks a head against the limits, so that it cannot grow for ever.
fn too_large(bytes: &[u8], limits: &Limits) -> Option<Bad> {
    let line_end = memchr::memchr(b'\n', bytes);
    let line = Bytes::copy_from_slice(trim(&bytes[..line_end.unwrap_or(bytes.len()).min(limits.size)]));
    if line_end.unwrap_or(bytes.len()) >= limits.size {
        return Some(Bad::new(414, "client sent too long URI while reading client request line", line));
    }
    let longest = bytes.split(|&b| b == b'\n').map(<[u8]>::len).max().unwrap_or(0);
    if longest >= limits.size || bytes.len() > limits.size.saturating_mul(limits.buffers) {
        let reason = match bytes.split(|&b| b == b'\n').find(|line| line.len() >= limits.size) {
            Some(long) => {
                let shown = String::from_utf8_lossy(&long[..long.len().min(1900)]).into_owned();
                format!("client sent too long header line: \"{shown}...\" while reading client request headers")
            }
            None => "client sent too large request while reading client request headers".to_string(),
        };
        return Some(Bad::new(494, &reason, line));
    }
    None
}

pub fn parse(raw: Bytes, limits: &Limits) -> Result<Head, Bad> {
    let line_end = memchr::memchr(b'\n', &raw).unwrap_or(raw.len());
    let line = raw.slice_ref(trim(&raw[..line_end]));
    if let Some(bad) = too_large(&raw, limits) {
        return Err(bad);
    }
    let (method, target, version) = request_line(&line).map_err(|(status, reason)| {
        Bad::new(status, &format!("{reason} while reading client request line"), line.clone())
    })?;
    let mut head = Head {
        method: line.slice_ref(method),
        target: line.slice_ref(target),
        version,
        headers: Headers::with_capacity(12),
        content_length: None,
        chunked: false,
        keep_alive: version >= 11,
        expect: false,
        request_line: line.clone(),
        raw: raw.clone(),
    };
    match headers(&mut head, &raw, line_end, limits) {
        Ok(()) => Ok(head),
        Err((status, reason)) => {
            let reason = format!("{reason} while reading client request headers");
            Err(Bad { headers: head.headers, length: raw.len(), ..Bad::new(status, &reason, line) })
        }
    }
}

impl Bad {
    /// The request's handler panicked.
    pub fn panicked(line: Bytes) -> Bad {
        Bad { level: Level::Alert, ..Bad::new(500, "panic while handling the request", line) }
    }
    /// The rest of the head did not come in time: nothing is answered, but it is logged.
    pub fn timed_out(begun: &[u8]) -> Bad {
        let line = Bytes::copy_from_slice(trim(begun.split(|&b| b == b'\n').next().unwrap_or_default()));
        let what = if memchr::memchr(b'\n', begun).is_some() { "headers" } else { "line" };
        let reason = format!("client timed out (110: Connection timed out) while reading client request {what}");
        Bad { length: begun.len(), ..Bad::new(408, &reason, line) }
    }
    fn new(status: u16, reason: &str, line: Bytes) -> Bad {
        let length = line.len() + 2;
        Bad { status, reason: reason.into(), line, headers: Headers::new(), length, level: Level::Info }
    }
}

/// Reads the header lines into the head, and what they say about framing.
fn headers(head: &mut Head, raw: &Bytes, line_end: usize, limits: &Limits) -> Result<(), (u16, String)> {
    let bad = |status: u16, reason: &str| (status, reason.to_string());
    let version = head.version;
    let mut host = None;
    for field in raw[(line_end + 1).min(raw.len())..].split(|&b| b == b'\n') {
        let field = field.strip_suffix(b"\r").unwrap_or(field);
        if field.is_empty() {
            break;
        }
        let Some((name, value)) = header(field, limits).map_err(|reason| bad(400, &reason))? else { continue };
        let value = raw.slice_ref(value);
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                if let Some(first) = host.replace(value.clone()) {
                    let text = String::from_utf8_lossy(&value).into_owned();
                    let first = String::from_utf8_lossy(&first).into_owned();
                    let reason = format!(
                        "client sent duplicate host header: \"Host: {text}\", previous value: \"Host: {first}\""
                    );
                    return Err(bad(400, &reason));
                }
                if !valid_host(&value) {
                    return Err(bad(400, "client sent invalid host header"));
                }
            }
            6 if name.eq_ignore_ascii_case(b"expect") => head.expect = value.eq_ignore_ascii_case(b"100-continue"),
            10 if name.eq_ignore_ascii_case(b"connection") => {
                if contains_ignore_case(&value, b"close") {
                    head.keep_alive = false;
                } else if contains_ignore_case(&value, b"keep-alive") {
                    head.keep_alive = true;
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                if head.content_length.is_some() {
                    return Err(bad(400, "client sent duplicate header line: \"Content-Length\""));
                }
                let length = crate::conf::scalar::number(&value);
                head.content_length =
                    Some(length.ok_or_else(|| bad(400, "client sent invalid \"Content-Length\" header"))?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if head.chunked {
                    return Err(bad(400, "client sent duplicate header line: \"Transfer-Encoding\""));
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    let text = String::from_utf8_lossy(&value);
                    return Err(bad(501, &format!("client sent unknown \"Transfer-Encoding\": \"{text}\"")));
                }
                head.chunked = true;
            }
            _ => {}
        }
        head.headers.add(raw.slice_ref(name), value);
    }
    if version >= 11 && host.is_none() {
        return Err(bad(400, "client sent HTTP/1.1 request without \"Host\" header"));
    }
    if head.chunked && version < 11 {
        return Err(bad(400, "client sent HTTP/1.0 request with \"Transfer-Encoding\" header"));
    }
    if head.chunked && head.content_length.is_some() {
        let reason = "client sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time";
        return Err(bad(400, reason));
    }
    match &head.method[..] {
        b"TRACE" => Err(bad(405, "client sent TRACE method")),
        b"CONNECT" => Err(bad(405, "client sent CONNECT method")),
        _ => Ok(()),
    }
}

const INVALID_METHOD: &str = "client sent invalid method";

fn method_letter(byte: &u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-')
}

fn request_line(line: &[u8]) -> Result<(&[u8], &[u8], u8), (u16, &'static str)> {
    const INVALID: (u16, &str) = (400, "client sent invalid request");
    let space = memchr::memchr(b' ', line).ok_or((400, INVALID_METHOD))?;
    let method = &line[..space];
    if method.is_empty() || !method.iter().all(method_letter) {
        return Err((400, INVALID_METHOD));
    }
    let rest = line[space..].trim_ascii();
    let (target, version) = match memchr::memrchr(b' ', rest) {
        Some(at) => (rest[..at].trim_ascii(), &rest[at + 1..]),
        None => (rest, &b""[..]),
    };
    let version = match version {
        b"" => 9,
        b"HTTP/1.0" => 10,
        b"HTTP/1.1" => 11,
        other => match other.strip_prefix(b"HTTP/") {
            Some([b'1', b'.', minor @ ..]) if !minor.is_empty() && minor.iter().all(u8::is_ascii_digit) => 11,
            Some([b'0'..=b'9', rest @ ..]) if rest.iter().all(|b| b.is_ascii_digit() || *b == b'.') => {
                return Err((505, "client sent invalid version"));
            }
            _ => return Err(INVALID),
        },
    };
    if target.is_empty() || target.iter().any(|&b| b < 0x20 || b == 0x7f || b == b' ') {
        return Err(INVALID);
    }
    let absolute = [&b"http://"[..], b"https://"].iter().any(|scheme| target.starts_with(scheme));
    if target[0] != b'/' && !absolute {
        return Err(INVALID);
    }
    if absolute && !valid_authority(target) {
        return Err((400, "client sent invalid host in request line"));
    }
    Ok((method, target, version))
}

/// None: to be ignored.
fn header<'a>(field: &'a [u8], limits: &Limits) -> Result<Option<(&'a [u8], &'a [u8])>, String> {
    let invalid = || {
        // Up to where it went wrong, as nginx shows it.
        let wrong = field.iter().position(|&b| b <= 0x20 || b == 0x7f).unwrap_or(field.len());
        let text = String::from_utf8_lossy(&field[..wrong.min(200)]).into_owned();
        let byte = field.get(wrong).map(|b| format!("\\x{b:02x}")).unwrap_or_default();
        format!("client sent invalid header line: \"{text}{byte}...\"")
    };
    let colon = memchr::memchr(b':', field).ok_or_else(invalid)?;
    let (name, value) = (&field[..colon], field[colon + 1..].trim_ascii());
    if name.is_empty() || name.iter().any(|&b| b <= 0x20 || b == 0x7f) || memchr::memchr(0, value).is_some() {
        return Err(invalid());
    }
    let ordinary = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-' || (*b == b'_' && limits.underscores);
    if limits.ignore_invalid && !name.iter().all(ordinary) {
        return Ok(None);
    }
    Ok(Some((name, value)))
}

/// A Host header: what nginx takes for one.
fn valid_host(host: &[u8]) -> bool {
    let literal = host.first() == Some(&b'[');
    let (mut end, mut dot, mut rest) = (host.len(), None, false);
    for (at, &byte) in host.iter().enumerate() {
        match byte {
            b'.' if dot.is_some_and(|last: usize| last + 1 == at) => return false,
            b'.' => dot = Some(at),
            b':' if !literal && !rest => (end, rest) = (at, true),
            b']' if literal && !rest => (end, rest) = (at + 1, true),
            b'/' | b'\\' | 0..=0x20 | 0x7f => return false,
            _ => {}
        }
    }
    let closed = !literal || rest;
    let length = if dot.is_some_and(|last| last + 1 == end) { end - 1 } else { end };
    closed && length > 0
}

/// The host and port of an absolute target, up to its path.
fn valid_authority(target: &[u8]) -> bool {
    let rest = target.iter().position(|&b| b == b':').map_or(&b""[..], |at| &target[at + 3..]);
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    let authority = &rest[..end];
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let host_end = match authority.first() {
        Some(b'[') => {
            let allowed = |byte: &u8| plain(byte) || b":_~!$&'()*+,;=".contains(byte);
            let Some(close) = authority.iter().position(|&b| b == b']') else { return false };
            if !authority[1..close].iter().all(allowed) {
                return false;
            }
            close + 1
        }
        _ => authority.iter().position(|b| !plain(b)).unwrap_or(authority.len()),
    };
    let port = match &authority[host_end..] {
        [] => &b""[..],
        [b':', port @ ..] => port,
        _ => return false,
    };
    port.iter().all(u8::is_ascii_digit) && valid_host(&authority[..host_end])
}

fn contains_ignore_case(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

fn trim(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let got = match parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()) {
            Ok(head) => {
                let mut out = format!("{:?} {:?} {}", head.method, head.target, head.version);
                for (name, value) in head.headers.iter() {
                    out.push_str(&format!(" {name:?}={value:?}"));
                }
                let tail = format!("; {:?} chunked {} alive {}", head.content_length, head.chunked, head.keep_alive);
                out + &tail
            }
            Err(bad) => format!(
                "{} {}",
                bad.status,
                bad.reason.replace("client sent", "").replace("while reading client request", "in").trim()
            ),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn heads() {
        check(
            "GET /a?b HTTP/1.1\r\nHost: x\r\nfoo:  bar \r\n\r\n",
            "b\"GET\" b\"/a?b\" 11 b\"Host\"=b\"x\" b\"foo\"=b\"bar\"; None chunked false alive true",
        );
        check("GET / HTTP/1.0\n\n", "b\"GET\" b\"/\" 10; None chunked false alive false");
        check("get / HTTP/1.1\r\n\r\n", "400 invalid method in line");
        check("GET / HTTP/2.0\r\n\r\n", "505 invalid version in line");
        check("GET / HTTP/1.1\r\n\r\n", "400 HTTP/1.1 request without \"Host\" header in headers");
        check("GET / HTTP/1.1\r\nHost: a\r\nfo o: x\r\n\r\n", "400 invalid header line: \"fo\\x20...\" in headers");
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400 \"Content-Length\" and \"Transfer-Encoding\" headers at the same time in headers",
        );
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
            "400 invalid \"Content-Length\" header in headers",
        );
        check(
            "GET / HTTP/1.1\r\nHost: a\r\na_b: 1\r\n\r\n",
            "b\"GET\" b\"/\" 11 b\"Host\"=b\"a\"; None chunked false alive true",
        );
    }

    /// Whatever comes, reading it ends without a panic, and what is accepted is well-formed.
    #[test]
    fn generated_heads() {
        const PARTS: &[&[u8]] = &[
            b"GET ",
            b"POST ",
            b"get",
            b" ",
            b"/",
            b"/a?b",
            b"http://h:1/x",
            b"*",
            b" HTTP/1.1",
            b" HTTP/1.0",
            b" HTTP/9",
            b"\r\n",
            b"\n",
            b"\r",
            b"\r\n\r\n",
            b"Host: a",
            b"Host:",
            b"x_y: 1",
            b"Content-Length: 3",
            b"Content-Length: -1",
            b": v",
            b"Transfer-Encoding: chunked",
            b"Connection: close, upgrade",
            b"Expect: 100-continue",
            b"\0",
            b"\xff",
            b"\t",
            b"[::1]",
            b"%00",
        ];
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 11) as usize % below
        };
        let (limits, mut accepted) = (Limits { size: 64, ..Limits::default() }, 0);
        for _ in 0..100_000 {
            let mut text = [&b"GET / HTTP/1.1\r\nHost: a\r\n"[..], b"POST /a HTTP/1.0\r\n", b""][random(3)].to_vec();
            (0..random(8)).for_each(|_| text.extend_from_slice(PARTS[random(PARTS.len())]));
            let _ = unfinished(&text, &limits);
            let whole = end(&text, 0);
            assert_eq!(whole, end(&text, whole.unwrap_or(0).saturating_sub(2)), "{:?}", String::from_utf8_lossy(&text));
            let cut = &text[leading_blank(&text).min(text.len())..];
            if let Ok(head) = parse(Bytes::copy_from_slice(cut), &limits) {
                accepted += 1;
                assert!(!head.method.is_empty() && !head.target.contains(&b' ') && !head.target.contains(&b'\n'));
                for (name, value) in head.headers.iter() {
                    assert!(!name.is_empty() && !name.iter().any(|byte| b" :\r\n\0".contains(byte)), "{name:?}");
                    assert!(!value.contains(&b'\n') && !value.contains(&0), "{value:?}");
                }
                assert!(!(head.chunked && head.content_length.is_some()));
            }
        }
        assert!(accepted > 1000, "{accepted}");
    }
}
