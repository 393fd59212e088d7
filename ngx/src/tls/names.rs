//! Whether a certificate is for a host: X509_check_host(3), by which nginx looks.
//!
//! A star stands for a part of the leftmost label, which is none of an internationalised name, and at least two labels follow it.

/// The name of the host against one of the certificate's names.
pub(super) fn matches(pattern: &[u8], host: &[u8]) -> bool {
    let host = host.strip_suffix(b".").unwrap_or(host);
    let pattern = pattern.strip_suffix(b".").unwrap_or(pattern);
    if pattern.is_empty() || pattern.contains(&0) || host.contains(&0) {
        return false;
    }
    let Some(star) = pattern.iter().position(|c| *c == b'*') else { return pattern.eq_ignore_ascii_case(host) };
    let Some(dot) = pattern.iter().position(|c| *c == b'.') else { return false };
    let rest = &pattern[dot..];
    let (before, after) = (&pattern[..star], pattern.get(star + 1..dot).unwrap_or_default());
    let international = |label: &[u8]| label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"xn--"));
    // (one star, in the first label, and two labels behind it)
    if star > dot
        || pattern[star + 1..].contains(&b'*')
        || rest[1..].split(|c| *c == b'.').filter(|label| !label.is_empty()).count() < 2
        || international(pattern)
    {
        return false;
    }
    let Some(label) = host.iter().position(|c| *c == b'.') else { return false };
    let (label, tail) = host.split_at(label);
    let whole = before.is_empty() && after.is_empty();
    tail.eq_ignore_ascii_case(rest)
        && !label.is_empty()
        && label.len() >= before.len() + after.len()
        && label[..before.len()].eq_ignore_ascii_case(before)
        && label[label.len() - after.len()..].eq_ignore_ascii_case(after)
        && (whole || !international(label))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        let rows = [
            ("a.test", "a.test", true),
            ("A.Test", "a.tesT", true),
            ("a.test", "a.test.", true),
            ("a.test", "b.test", false),
            ("a.test", "x.a.test", false),
            ("*.a.test", "x.a.test", true),
            ("*.a.test", "x.y.a.test", false),
            ("*.a.test", "a.test", false),
            ("*.a.test", ".a.test", false),
            ("*.test", "a.test", false),
            ("*", "a", false),
            ("x.*.test", "x.a.test", false),
            ("*.*.test", "x.a.test", false),
            ("f*.a.test", "foo.a.test", true),
            ("*o.a.test", "foo.a.test", true),
            ("f*o.a.test", "fo.a.test", true),
            ("fo*oo.a.test", "foo.a.test", false),
            ("f*.a.test", "bar.a.test", false),
            ("xn--*.a.test", "xn--b.a.test", false),
            ("x*.a.test", "xn--b.a.test", false),
            ("*.a.test", "xn--b.a.test", true),
            ("", "", false),
            ("127.0.0.1", "127.0.0.1", true),
        ];
        for (pattern, host, expected) in rows {
            assert_eq!(matches(pattern.as_bytes(), host.as_bytes()), expected, "{pattern} {host}");
        }
    }
}
