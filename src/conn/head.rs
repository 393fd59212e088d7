//! Request heads, parsed by nginx's rules from the bytes as they came; everything in a `Head` is a slice of them.
//!
//! What is refused, and in which words, is decided here alone, and no two parsers can disagree about where a body ends.

use ngx::bytes::Bytes;
use ngx::headers::Headers;
use ngx::log::Level;

use super::line::{self, INVALID_BARE, INVALID_METHOD, method_letter, request_line, valid_host};

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
    /// The answer has no head: HTTP/0.9.
    pub bare: bool,
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
/// port has no line at all, and its client waits for an answer.) `from` is how far an earlier call has looked already.
pub fn unfinished(bytes: &[u8], from: usize, limits: &Limits) -> Option<Bad> {
    if let Some(bad) = too_large(bytes, limits) {
        return Some(bad);
    }
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        let method = bytes.split(|&b| b == b' ').next().unwrap_or_default();
        let refused = if bytes.first() == Some(&b' ') || !method.iter().all(method_letter) {
            INVALID_METHOD
        } else {
            // (a CR that ends no line)
            memchr::memchr(b'\r', bytes).filter(|at| at + 1 < bytes.len())?;
            (400, "client sent invalid request")
        };
        return Some(Bad::in_line(refused, trim(bytes)));
    };
    let first = trim(&bytes[..end]);
    if let Err(refused) = request_line(first) {
        return Some(Bad::in_line(refused, first));
    }
    let whole = memchr::memrchr(b'\n', bytes).unwrap_or(end);
    let mut at = end + 1;
    while at <= whole {
        let line_end = memchr::memchr(b'\n', &bytes[at..]).map_or(whole, |count| at + count);
        if line_end >= from
            && let Err(reason) = line::header(&bytes[at..line_end], limits)
        {
            let reason = format!("{reason} while reading client request headers");
            return Some(Bad::new(400, &reason, Bytes::copy_from_slice(first)));
        }
        at = line_end + 1;
    }
    None
}

/// Checks a head against the limits, so that it cannot grow for ever.
fn too_large(bytes: &[u8], limits: &Limits) -> Option<Bad> {
    if bytes.len() < limits.size && limits.buffers > 0 {
        return None;
    }
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
    let (method, target, version) = request_line(&line).map_err(|refused| Bad::in_line(refused, &line))?;
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
    fn in_line(refused: (u16, &str), line: &[u8]) -> Bad {
        let (status, reason) = refused;
        let reason = format!("{reason} while reading client request line");
        Bad { bare: refused == INVALID_BARE, ..Bad::new(status, &reason, Bytes::copy_from_slice(line)) }
    }
    fn new(status: u16, reason: &str, line: Bytes) -> Bad {
        let length = line.len() + 2;
        Bad { status, reason: reason.into(), line, headers: Headers::new(), length, level: Level::Info, bare: false }
    }
}

/// Header lines that one client may send.
const MOST_HEADERS: usize = 1000;

/// Headers that may stand in a head once only (the host has words of its own).
const UNIQUE: [&[u8]; 10] = [
    b"expect",
    b"if-match",
    b"if-range",
    b"authorization",
    b"content-range",
    b"if-none-match",
    b"content-length",
    b"transfer-encoding",
    b"if-modified-since",
    b"if-unmodified-since",
];

/// Reads the header lines into the head, and what they say about framing.
fn headers(head: &mut Head, raw: &Bytes, line_end: usize, limits: &Limits) -> Result<(), (u16, String)> {
    let bad = |status: u16, reason: &str| (status, reason.to_string());
    let (mut host, mut length, mut encoding) = (false, None, None);
    for line in raw[(line_end + 1).min(raw.len())..].split(|&b| b == b'\n') {
        if matches!(line, b"" | b"\r") {
            break;
        }
        let Some((name, value)) = line::header(line, limits).map_err(|reason| bad(400, &reason))? else { continue };
        let value = raw.slice_ref(value);
        if matches!(name.len(), 6 | 8 | 13 | 14 | 17 | 19)
            && UNIQUE.iter().any(|unique| name.eq_ignore_ascii_case(unique))
        {
            refuse_second(head, "header line", name, &value)?;
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                if host {
                    refuse_second(head, "host header", name, &value)?;
                }
                if !valid_host(&value) {
                    return Err(bad(400, "client sent invalid host header"));
                }
                host = true;
            }
            6 if name.eq_ignore_ascii_case(b"expect") => {
                head.expect = head.version >= 11 && value.eq_ignore_ascii_case(b"100-continue");
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                if contains_ignore_case(&value, b"close") {
                    head.keep_alive = false;
                } else if contains_ignore_case(&value, b"keep-alive") {
                    head.keep_alive = true;
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => length = Some(value.clone()),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => encoding = Some(value.clone()),
            _ => {}
        }
        head.headers.add(raw.slice_ref(name), value);
        if head.headers.len() > MOST_HEADERS {
            return Err(bad(400, "client sent too many header lines"));
        }
    }
    if head.version >= 11 && !host {
        return Err(bad(400, "client sent HTTP/1.1 request without \"Host\" header"));
    }
    framing(head, length, encoding).map_err(|(status, reason)| (status, format!("client sent {reason}")))?;
    match &head.method[..] {
        b"TRACE" => Err(bad(405, "client sent TRACE method")),
        b"CONNECT" => Err(bad(405, "client sent CONNECT method")),
        _ => Ok(()),
    }
}

/// Where the body ends: said once, in one way, or the request is refused.
fn framing(head: &mut Head, length: Option<Bytes>, encoding: Option<Bytes>) -> Result<(), (u16, String)> {
    if let Some(text) = &length {
        let number = crate::conf::scalar::number(text).filter(|&number| i64::try_from(number).is_ok());
        head.content_length = Some(number.ok_or((400, "invalid \"Content-Length\" header".into()))?);
    }
    let Some(encoding) = encoding else { return Ok(()) };
    if head.version < 11 {
        return Err((400, "HTTP/1.0 request with \"Transfer-Encoding\" header".into()));
    }
    if !encoding.eq_ignore_ascii_case(b"chunked") {
        return Err((501, format!("unknown \"Transfer-Encoding\": \"{}\"", String::from_utf8_lossy(&encoding))));
    }
    if length.is_some() {
        return Err((400, "\"Content-Length\" and \"Transfer-Encoding\" headers at the same time".into()));
    }
    head.chunked = true;
    Ok(())
}

fn refuse_second(head: &Head, what: &str, name: &[u8], value: &[u8]) -> Result<(), (u16, String)> {
    let Some((before, previous)) = head.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)) else {
        return Ok(());
    };
    let text = String::from_utf8_lossy;
    let (name, value, before, previous) = (text(name), text(value), text(before), text(previous));
    Err((400, format!("client sent duplicate {what}: \"{name}: {value}\", previous value: \"{before}: {previous}\"")))
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
    use crate::dice::{Dice, rounds};

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
        let mut dice = Dice(0);
        let mut random = move |below: usize| dice.roll(below);
        let (limits, mut accepted) = (Limits { size: 64, ..Limits::default() }, 0);
        for _ in 0..rounds(100_000) {
            let mut text = [&b"GET / HTTP/1.1\r\nHost: a\r\n"[..], b"POST /a HTTP/1.0\r\n", b""][random(3)].to_vec();
            (0..random(8)).for_each(|_| text.extend_from_slice(PARTS[random(PARTS.len())]));
            let _ = unfinished(&text, 0, &limits);
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
