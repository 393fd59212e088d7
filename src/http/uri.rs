//! Request targets: from bytes as the client sent them to `$uri` (decoded, dots resolved, slashes merged) and `$args`.

/// `None` where nginx answers 400: a broken escape, a zero byte, a path that climbs above the root.
pub fn normalise(path: &[u8], merge_slashes: bool) -> Option<Vec<u8>> {
    if is_plain(path) {
        return Some(path.to_vec());
    }
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    let mut at = 0;
    // Whether the last byte of `out` is a slash that separates segments.
    while at < path.len() {
        let (byte, next) = match path[at] {
            b'%' => {
                let hex = |n: usize| path.get(n).and_then(|b| (*b as char).to_digit(16));
                let value = hex(at + 1)? * 16 + hex(at + 2)?;
                (u8::try_from(value).ok()?, at + 3)
            }
            b'#' => break,
            byte => (byte, at + 1),
        };
        if byte == 0 {
            return None;
        }
        at = next;
        if byte == b'/' {
            // (what the dots leave ends in the slash)
            if resolve_dots(&mut out)? && out.last() == Some(&b'/') {
                continue;
            }
            if merge_slashes && out.last() == Some(&b'/') {
                continue;
            }
        }
        out.push(byte);
    }
    resolve_dots(&mut out)?;
    Some(out)
}

/// Nothing in it needs decoding or resolving: as most paths are.
fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    for &byte in path {
        if matches!(byte, b'%' | b'#' | 0) || (before == b'/' && matches!(byte, b'/' | b'.')) {
            return false;
        }
        before = byte;
    }
    true
}

/// The segment at the end is complete: `.` and `..` take effect. Whether it was one of them.
fn resolve_dots(out: &mut Vec<u8>) -> Option<bool> {
    if out.ends_with(b"/.") {
        out.pop();
        // `/a/./` must not leave two slashes: the caller adds the next one.
        return Some(true);
    }
    if out.ends_with(b"/..") {
        out.truncate(out.len() - 3);
        let slash = out.iter().rposition(|&b| b == b'/')?;
        out.truncate(slash + 1);
        return Some(true);
    }
    Some(false)
}

/// Path and arguments of a target; an absolute one gives its host, too.
pub struct Target<'a> {
    pub host: Option<&'a [u8]>,
    pub path: &'a [u8],
    pub args: Option<&'a [u8]>,
}

pub fn split(target: &[u8]) -> Target<'_> {
    let absolute = if target.first() == Some(&b'/') { None } else { crate::conn::line::after_scheme(target) };
    let (host, rest) = match absolute {
        Some(rest) => {
            let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
            (Some(&rest[..end]), &rest[end..])
        }
        None => (None, target),
    };
    let rest = match memchr::memchr(b'#', rest) {
        Some(at) => &rest[..at],
        None => rest,
    };
    let (path, args) = match memchr::memchr(b'?', rest) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    Target { host, path: if path.is_empty() { b"/" } else { path }, args }
}

/// Escapes what may not stand in a Location header's path.
pub fn escape(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for &byte in path {
        if matches!(byte, 0..=0x20 | 0x7f.. | b'#' | b'%' | b'?' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
        {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.push(byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, expected) in [
            ("/a//b", Some("/a/b")),
            ("/a/./b/../c", Some("/a/c")),
            ("/a/..", Some("/")),
            ("/a/.", Some("/a/")),
            ("/..", None),
            ("/../a", None),
            ("/%2e%2e/a", None),
            ("/%41%20b", Some("/A b")),
            ("/%", None),
            ("/%00", None),
            ("/a...b/..c", Some("/a...b/..c")),
        ] {
            let got = normalise(path.as_bytes(), true).map(|p| String::from_utf8_lossy(&p).into_owned());
            assert_eq!(got.as_deref(), expected, "{path}");
        }
        for (path, expected) in [("/a//../b", "/a/b"), ("/a///../b", "/a//b"), ("/a/../b", "/b"), ("/a//./b", "/a//b")]
        {
            let got = normalise(path.as_bytes(), false).map(|p| String::from_utf8_lossy(&p).into_owned());
            assert_eq!(got.as_deref(), Some(expected), "{path}");
        }
    }
}
