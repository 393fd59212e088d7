//! Request targets: what stands between method and version in a request line, made into `$uri` and `$args`.
//!
//! The path is decoded and normalised exactly as nginx does it (ngx_http_parse_complex_uri), since locations, `root`
//! and access rules all see the result: `%XX` is decoded once, `/./` and `/../` are resolved (also when written with
//! `%2e` or `%2f`), runs of slashes become one if `merge_slashes` is on, `#` ends the target. A path that climbs
//! above the root, a malformed `%` or `%00` makes the request bad (400). Arguments are left as they are.

use std::borrow::Cow;

use crate::encoding::hex_digit;
pub use crate::encoding::uri_args as parse_args;

/// A request target taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// `$uri`: decoded and normalised; starts with `/`.
    pub path: Cow<'a, [u8]>,
    /// `$args`, as written; `None` without a `?` or with nothing behind it. `$is_args` is `?` if it is not empty.
    pub args: Option<&'a [u8]>,
    /// `$request_uri`: path and arguments as written.
    pub unparsed: &'a [u8],
    /// Host and port of an absolute target (`GET http://host:80/x`), which overrides the Host header.
    pub authority: Option<&'a [u8]>,
    /// Where the extension starts in `path`, after its dot; `None` if the last segment has none.
    pub extension: Option<usize>,
}

/// The target is malformed: status 400, "client sent invalid request".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("client sent invalid request")
    }
}

impl std::error::Error for Invalid {}

impl<'a> Target<'a> {
    /// Takes a request target apart: `/path?args` or `http://host/path?args`.
    pub fn parse(target: &'a [u8], merge_slashes: bool) -> Result<Target<'a>, Invalid> {
        if target.iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
            return Err(Invalid);
        }
        let (authority, unparsed) = if target.first() == Some(&b'/') {
            (None, target)
        } else {
            let (authority, rest) = split_authority(target).ok_or(Invalid)?;
            (Some(authority), rest)
        };
        // The fragment is no part of the target.
        let body = memchr::memchr(b'#', unparsed).map_or(unparsed, |at| &unparsed[..at]);
        let (raw, args) = match memchr::memchr(b'?', body) {
            Some(at) => (&body[..at], (at + 1 < unparsed.len()).then(|| &body[at + 1..])),
            None => (body, None),
        };
        let path = match raw {
            [] => Cow::Borrowed(&b"/"[..]),
            _ => normalise(raw, merge_slashes)?,
        };
        let segment = path.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
        let dot = path[segment..].iter().rposition(|&byte| byte == b'.').map(|at| segment + at);
        // Up to three dots at a segment's head might have been `.` or `..`; they start no extension.
        let leading = path[segment..].iter().take(3).take_while(|&&byte| byte == b'.').count();
        let extension = dot.filter(|&dot| dot >= segment + leading).map(|dot| dot + 1);
        let unparsed = if unparsed.is_empty() { b"/" } else { unparsed };
        Ok(Target { path, args, unparsed, authority, extension })
    }
}

/// Decodes and normalises a path that starts with `/` (without arguments).
pub fn normalise(raw: &[u8], merge_slashes: bool) -> Result<Cow<'_, [u8]>, Invalid> {
    if is_plain(raw) { Ok(Cow::Borrowed(raw)) } else { decode(raw, merge_slashes).map(Cow::Owned) }
}

/// Whether a path is its own normal form: no `%`, no empty segment but a last one, no segment that starts with a dot.
fn is_plain(raw: &[u8]) -> bool {
    memchr::memchr2(b'%', b'\0', raw).is_none()
        && raw.first() == Some(&b'/')
        && !raw.windows(2).any(|pair| pair[0] == b'/' && (pair[1] == b'/' || pair[1] == b'.'))
}

/// What stands before the byte at hand, in the path made so far.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Usual,
    /// A slash.
    Slash,
    /// A slash and one dot.
    Dot,
    /// A slash and two dots.
    DotDot,
}

fn decode(raw: &[u8], merge_slashes: bool) -> Result<Vec<u8>, Invalid> {
    let mut path = Vec::with_capacity(raw.len());
    let mut state = State::Usual;
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let mut byte = byte;
        if byte == b'%' {
            let [high, low, after @ ..] = tail else { return Err(Invalid) };
            byte = hex_digit(*high).ok_or(Invalid)? << 4 | hex_digit(*low).ok_or(Invalid)?;
            rest = after;
            match byte {
                0 => return Err(Invalid),
                // Decoded, these are text, whatever stands before them.
                b'%' | b'#' | b'?' => {
                    state = State::Usual;
                    path.push(byte);
                    continue;
                }
                _ => {}
            }
        }
        match (state, byte) {
            (State::Usual, b'/') => {
                path.push(byte);
                state = State::Slash;
            }
            (State::Slash, b'/') => {
                if !merge_slashes {
                    path.push(byte);
                }
            }
            (State::Slash, b'.') => {
                path.push(byte);
                state = State::Dot;
            }
            (State::Dot, b'/') => {
                path.pop();
                state = State::Slash;
            }
            (State::Dot, b'.') => {
                path.push(byte);
                state = State::DotDot;
            }
            (State::DotDot, b'/') => {
                climb(&mut path)?;
                state = State::Slash;
            }
            _ => {
                path.push(byte);
                state = State::Usual;
            }
        }
    }
    match state {
        State::Dot => {
            path.pop();
        }
        State::DotDot => climb(&mut path)?,
        State::Usual | State::Slash => {}
    }
    Ok(path)
}

/// Undoes `/..` and the segment before it, keeping that segment's slash.
fn climb(path: &mut Vec<u8>) -> Result<(), Invalid> {
    path.truncate(path.len().saturating_sub(3));
    let slash = path.iter().rposition(|&byte| byte == b'/').ok_or(Invalid)?;
    path.truncate(slash + 1);
    Ok(())
}

/// Splits `scheme://authority` from an absolute target; the rest may be empty.
fn split_authority(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', target)?;
    let scheme = &target[..colon];
    let scheme_ok = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    let rest = target[colon + 1..].strip_prefix(b"//")?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    (scheme_ok && end > 0).then(|| rest.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(target: &str, merge_slashes: bool) -> String {
        match Target::parse(target.as_bytes(), merge_slashes) {
            Err(Invalid) => "400".into(),
            Ok(parsed) => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let mut out = text(&parsed.path);
                if let Some(args) = parsed.args {
                    out += &format!(" ?{}", text(args));
                }
                if let Some(authority) = parsed.authority {
                    out += &format!(" @{}", text(authority));
                }
                if let Some(at) = parsed.extension {
                    out += &format!(" .{}", text(&parsed.path[at..]));
                }
                out
            }
        }
    }

    fn check(target: &str, expected: &str) {
        assert_eq!(show(target, true), expected, "{target}");
    }

    #[test]
    fn paths() {
        check("/", "/");
        check("/a/b.html", "/a/b.html .html");
        check("/a.b/c", "/a.b/c");
        check("/.hidden", "/.hidden");
        check("/..a/.b.c", "/..a/.b.c .c");
        check("/a%20b/../c//d?x=1", "/c/d ?x=1");
        check("/a/./b/.", "/a/b/");
        check("/a/b/..", "/a/");
        check("/a/..", "/");
        check("/..", "400");
        check("/a/../..", "400");
        check("/a/.../b", "/a/.../b");
        check("/a/..b/.c", "/a/..b/.c");
        check("/%2e%2E/x", "400");
        check("/a/%2e%2e/x", "/x");
        check("/a%2f..%2Fx", "/x");
        check("/a%2f%2fb", "/a/b");
        check("/a/.%2e?y", "/ ?y");
        check("/%25%23%3f%2541", "/%#?%41");
        check("/a%", "400");
        check("/a%4", "400");
        check("/a%zz", "400");
        check("/a%00b", "400");
        check("/a+b", "/a+b");
        check("/a/.?b", "/a/ ?b");
    }

    #[test]
    fn slashes_stay_without_merging() {
        assert_eq!(show("//a///b", false), "//a///b");
        assert_eq!(show("//a//../b", false), "//a/b");
        check("//a///b", "/a/b");
    }

    #[test]
    fn arguments_and_fragments() {
        check("/?", "/");
        check("/a?b=/../c%20d?e", "/a ?b=/../c%20d?e");
        check("/a#b?c", "/a");
        check("/a?b#c", "/a ?b");
        check("/a?#c", "/a ?");
    }

    #[test]
    fn absolute_targets() {
        check("http://host:80/a/../b?c", "/b ?c @host:80");
        check("http://host", "/ @host");
        check("http://host?x", "/ ?x @host");
        check("http:///x", "400");
        check("1http://h/x", "400");
        check("", "400");
        check("a/b", "400");
        check("/a b", "400");
        check("/a\tb", "400");
    }

    /// Whatever comes, the result is a path that does not lead out of the root, and its own normal form.
    #[test]
    fn generated_targets() {
        const PARTS: &[&str] = &[
            "/", "/", ".", "..", "/../", "/./", "a", "%2e", "%2F", "%25", "%3f", "%", "%0", "%00", "?", "#", "//",
            "http://h", ":80", "é",
        ];
        let mut dice = crate::dice::Dice(0);
        let mut random = move |below| dice.roll(below);
        for _ in 0..crate::dice::rounds(100_000) {
            let text: String = (0..random(9)).map(|_| PARTS[random(PARTS.len())]).collect();
            let merge = random(2) == 0;
            let _ = Target::parse(text.as_bytes(), merge);
            let text = format!("/{}", text.replace(['?', '#'], ""));
            let Ok(path) = normalise(text.as_bytes(), merge) else { continue };
            let shown = String::from_utf8_lossy(&path);
            assert!(path.starts_with(b"/") && !path.contains(&0), "{text}: {shown}");
            assert!(!shown.split('/').any(|segment| segment == ".."), "{text}: {shown}");
            assert!(!(merge && shown.contains("//")), "{text}: {shown}");
        }
    }
}
