//! Single lines of a request head, judged byte by byte as nginx judges them: the request line, header lines, hosts.
//!
//! Only spaces are blanks: a tab around a value is part of it, so that `Transfer-Encoding: \tchunked` means the same to all.

use super::head::Limits;

pub const INVALID_METHOD: (u16, &str) = (400, "client sent invalid method");
/// Refused without a head: who speaks HTTP/0.9 would take one for text.
pub const INVALID_BARE: (u16, &str) = (400, "client sent invalid method in HTTP/0.9 request");
const INVALID: (u16, &str) = (400, "client sent invalid request");
const INVALID_VERSION: (u16, &str) = (505, "client sent invalid version");

pub fn method_letter(byte: &u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-')
}

/// Method, target and version (9, 10, 11) of a line without its end.
pub fn request_line(line: &[u8]) -> Result<(&[u8], &[u8], u8), (u16, &'static str)> {
    let space = memchr::memchr(b' ', line).ok_or(INVALID_METHOD)?;
    let method = &line[..space];
    if method.is_empty() || !method.iter().all(method_letter) {
        return Err(INVALID_METHOD);
    }
    let rest = trim_spaces(&line[space..]);
    let (target, version) = match memchr::memrchr(b' ', rest) {
        Some(at) => (trim_spaces(&rest[..at]), &rest[at + 1..]),
        None => (rest, &b""[..]),
    };
    if target.is_empty() || target.iter().any(|&b| b <= 0x20 || b == 0x7f) {
        return Err(INVALID);
    }
    if target[0] != b'/' {
        let Some(rest) = after_scheme(target) else { return Err(INVALID) };
        if !valid_authority(rest) {
            return Err((400, "client sent invalid host in request line"));
        }
    }
    let version = self::version(version)?;
    if version == 9 && method != b"GET" {
        return Err(INVALID_BARE);
    }
    Ok((method, target, version))
}

/// A request line without a version, with which HTTP/0.9 ends its request.
pub fn is_bare(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.split(|&b| b == b' ').filter(|word| !word.is_empty());
    words.next().is_some_and(|method| method.iter().all(method_letter))
        && words.next().is_some_and(|target| matches!(target[0], b'/' | b'a'..=b'z' | b'A'..=b'Z'))
        && words.next().is_none()
        && !line.starts_with(b" ")
}

fn version(text: &[u8]) -> Result<u8, (u16, &'static str)> {
    match text {
        b"" => return Ok(9),
        b"HTTP/1.1" => return Ok(11),
        b"HTTP/1.0" => return Ok(10),
        _ => {}
    }
    let digits = text.strip_prefix(b"HTTP/").ok_or(INVALID)?;
    let minor = match digits {
        [b'1', b'.', minor @ ..] => minor,
        [b'2'..=b'9', ..] | [b'1', b'0'..=b'9', ..] => return Err(INVALID_VERSION),
        _ => return Err(INVALID),
    };
    let mut number = 0u32;
    for &digit in minor {
        if !digit.is_ascii_digit() || number > 99 {
            return Err(INVALID);
        }
        number = number * 10 + u32::from(digit - b'0');
    }
    if minor.is_empty() { Err(INVALID) } else { Ok(if number == 0 { 10 } else { 11 }) }
}

/// What follows the `scheme://` of an absolute target.
pub fn after_scheme(target: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', target)?;
    let (scheme, rest) = target.split_at(colon);
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let named = scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(letter);
    rest.strip_prefix(b"://").filter(|_| named)
}

/// A header line without its LF. None: to be ignored.
pub fn header<'a>(line: &'a [u8], limits: &Limits) -> Result<Option<(&'a [u8], &'a [u8])>, String> {
    let mut line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Some(at) = memchr::memchr2(0, b'\r', line) {
        // Several CR may end a line, but nothing follows one.
        if at == 0 || line[at..].iter().any(|&b| b != b'\r') {
            return Err(invalid(line, at));
        }
        line = &line[..at];
    }
    // Without a colon, the whole line is a name.
    let (mut colon, mut odd) = (line.len(), false);
    for (at, &byte) in line.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => {}
            b':' => {
                colon = at;
                break;
            }
            0..=0x20 | 0x7f => return Err(invalid(line, at)),
            b'_' => odd |= !limits.underscores,
            _ => odd = true,
        }
    }
    if colon == 0 {
        return Err(invalid(line, 0));
    }
    if limits.ignore_invalid && odd {
        return Ok(None);
    }
    let name = &line[..colon];
    Ok(Some((name, trim_spaces(line.get(colon + 1..).unwrap_or_default()))))
}

/// A line up to where it went wrong, as nginx shows it.
fn invalid(line: &[u8], at: usize) -> String {
    let text = String::from_utf8_lossy(&line[..at.min(200)]);
    let byte = line.get(at).map(|b| format!("\\x{b:02x}")).unwrap_or_default();
    format!("client sent invalid header line: \"{text}{byte}...\"")
}

fn trim_spaces(text: &[u8]) -> &[u8] {
    let Some(from) = text.iter().position(|&b| b != b' ') else { return b"" };
    let to = text.iter().rposition(|&b| b != b' ').map_or(from, |at| at + 1);
    &text[from..to]
}

/// A Host header: what nginx takes for one.
pub fn valid_host(host: &[u8]) -> bool {
    let (mut before, mut usual) = (b'.', true);
    for &byte in host {
        usual &= USUAL[usize::from(byte)] && (byte.is_ascii_alphanumeric() || before != byte);
        before = byte;
    }
    usual && host.first().is_some_and(u8::is_ascii_alphanumeric) || valid_unusual_host(host)
}

/// What names, IPv4 addresses and ports are made of.
const USUAL: [bool; 256] = {
    let mut usual = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        usual[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'.' | b':');
        byte += 1;
    }
    usual
};

fn valid_unusual_host(host: &[u8]) -> bool {
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
fn valid_authority(rest: &[u8]) -> bool {
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
