//! Percent-encoding and query arguments.
//!
//! Which bytes are escaped depends on where the text goes: nginx keeps one set for each of seven places
//! (ngx_http_lua_escape_uri), and Lua chooses one by number. Query arguments keep their order: Lua tables are filled
//! from (and made into) a list of pairs, one pair an occurrence.

use std::borrow::Cow;

/// Where escaped text is to go; the numbers are those of `ngx.escape_uri(text, type)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// 0: a whole URI path; `/`, `?`-free delimiters stay.
    Uri = 0,
    /// 1: a query string.
    Args = 1,
    /// 2: one component; only letters, digits and `-._~!'()*` stay. The default.
    Component = 2,
    /// 3: a URI inside HTML.
    Html = 3,
    /// 4: a refresh header.
    Refresh = 4,
    /// 5: a memcached key.
    Memcached = 5,
    /// 6: mail authentication; the same set as 5.
    MailAuth = 6,
}

/// The value of a query argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgValue {
    /// `key` without `=`: true in Lua.
    Bare,
    Text(Vec<u8>),
}

/// Query arguments in order of appearance, one pair an occurrence, and whether the limit cut some off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    pub pairs: Vec<(Vec<u8>, ArgValue)>,
    pub truncated: bool,
}

impl Escape {
    /// The place that a type number of `ngx.escape_uri` means.
    pub fn from_number(number: f64) -> Option<Escape> {
        let all = [
            Escape::Uri,
            Escape::Args,
            Escape::Component,
            Escape::Html,
            Escape::Refresh,
            Escape::Memcached,
            Escape::MailAuth,
        ];
        // A C integer conversion: 2.9 is 2.
        if (0.0..=6.0).contains(&number) { all.get(number as usize).copied() } else { None }
    }

    fn escapes(self, byte: u8) -> bool {
        let printable = byte > 0x20 && byte < 0x7f;
        match self {
            Escape::Uri => !printable || matches!(byte, b'#' | b'%' | b'?'),
            Escape::Args => !printable || matches!(byte, b'#' | b'%' | b'+' | b'?'),
            Escape::Component => !byte.is_ascii_alphanumeric() && !b"-._~!'()*".contains(&byte),
            Escape::Html => !printable || matches!(byte, b'"' | b'#' | b'%' | b'\''),
            // nginx documents `%` here, but its table lacks it.
            Escape::Refresh => !printable || matches!(byte, b'"' | b'\''),
            Escape::Memcached | Escape::MailAuth => byte <= 0x20 || byte == b'%',
        }
    }
}

/// `ngx.escape_uri`: `%XX`, upper case, for every byte that the place wants escaped.
pub fn escape_uri(text: &[u8], place: Escape) -> Cow<'_, [u8]> {
    if !text.iter().any(|&byte| place.escapes(byte)) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    push_escaped(&mut out, text, place);
    Cow::Owned(out)
}

/// `ngx.unescape_uri`: `+` becomes a space, `%XX` its byte; a malformed `%` stays as it is.
pub fn unescape_uri(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr2(b'%', b'+', text) else { return Cow::Borrowed(text) };
    let mut out = Vec::with_capacity(text.len());
    out.extend_from_slice(&text[..first]);
    let mut rest = &text[first..];
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(byte),
        }
    }
    Cow::Owned(out)
}

/// `ngx.decode_args`, and the pairs of a form body: `a=1&b&a=2`. Pairs with an empty key are dropped.
///
/// `max` limits the pairs, dropped ones included; 0 is no limit. A `&` right behind the last pair allowed counts as
/// truncation even if nothing follows it.
pub fn decode_args(text: &[u8], max: usize) -> Args {
    let mut pairs = Pairs::new(text);
    let mut args = Args::default();
    let mut seen = 0;
    while let Some(pair) = pairs.next() {
        args.pairs.extend(keep(pair));
        seen += 1;
        if seen == max && pairs.rest.is_some() {
            args.truncated = true;
            break;
        }
    }
    args
}

/// `ngx.req.get_uri_args`: as `decode_args`, but `max` limits the pairs that are kept, and more than `max` pairs in
/// the text, kept or not, are what counts as truncation.
pub fn uri_args(text: &[u8], max: usize) -> Args {
    let written = memchr::memchr_iter(b'&', text).count() + 1;
    let limit = if max == 0 { usize::MAX } else { max };
    let mut pairs = Pairs::new(text);
    let mut args = Args { pairs: Vec::new(), truncated: written > limit };
    while args.pairs.len() < limit
        && let Some(pair) = pairs.next()
    {
        args.pairs.extend(keep(pair));
    }
    args
}

/// The texts between `&`, an empty last one left out.
struct Pairs<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Pairs<'a> {
    fn new(text: &'a [u8]) -> Pairs<'a> {
        Pairs { rest: Some(text) }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        match memchr::memchr(b'&', rest) {
            Some(end) => {
                self.rest = Some(&rest[end + 1..]);
                Some(&rest[..end])
            }
            None => (!rest.is_empty()).then_some(rest),
        }
    }
}

fn keep(pair: &[u8]) -> Option<(Vec<u8>, ArgValue)> {
    let (key, value) = match memchr::memchr(b'=', pair) {
        Some(at) => (&pair[..at], ArgValue::Text(unescape_uri(&pair[at + 1..]).into_owned())),
        None => (pair, ArgValue::Bare),
    };
    let key = unescape_uri(key).into_owned();
    (!key.is_empty()).then_some((key, value))
}

/// `ngx.encode_args` over pairs in order: `key=value` joined by `&`, `key` alone for `Bare`.
pub fn encode_args<'a>(pairs: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in pairs {
        if !out.is_empty() {
            out.push(b'&');
        }
        push_escaped(&mut out, key, Escape::Component);
        if let Some(value) = value {
            out.push(b'=');
            push_escaped(&mut out, value, Escape::Component);
        }
    }
    out
}

fn push_escaped(out: &mut Vec<u8>, text: &[u8], place: Escape) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if place.escapes(byte) {
            out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        } else {
            out.push(byte);
        }
    }
}

/// The value of a hexadecimal digit.
pub(crate) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_escape(place: f64, text: &str, expected: &str) {
        let place = Escape::from_number(place).unwrap();
        assert_eq!(String::from_utf8_lossy(&escape_uri(text.as_bytes(), place)), expected);
    }

    #[test]
    fn escaping() {
        let all = "a Z0\t-._~!#$%&'()*+,/:;=?@[\"]é";
        check_escape(0.0, all, "a%20Z0%09-._~!%23$%25&'()*+,/:;=%3F@[\"]%C3%A9");
        check_escape(1.0, all, "a%20Z0%09-._~!%23$%25&'()*%2B,/:;=%3F@[\"]%C3%A9");
        check_escape(2.0, all, "a%20Z0%09-._~!%23%24%25%26'()*%2B%2C%2F%3A%3B%3D%3F%40%5B%22%5D%C3%A9");
        check_escape(3.0, all, "a%20Z0%09-._~!%23$%25&%27()*+,/:;=?@[%22]%C3%A9");
        check_escape(4.0, all, "a%20Z0%09-._~!#$%&%27()*+,/:;=?@[%22]%C3%A9");
        check_escape(5.0, all, "a%20Z0%09-._~!#$%25&'()*+,/:;=?@[\"]é");
        assert_eq!(Escape::from_number(7.0), None);
        assert_eq!(Escape::from_number(-1.0), None);
        assert_eq!(Escape::from_number(f64::NAN), None);
    }

    #[test]
    fn unescaping() {
        let check = |text: &str, expected: &str| {
            assert_eq!(String::from_utf8_lossy(&unescape_uri(text.as_bytes())), expected);
        };
        check("plain", "plain");
        check("a+b%20c%2f%2F", "a b c//");
        check("%", "%");
        check("%4", "%4");
        check("%zz%41%4g", "%zzA%4g");
        check("%%41", "%A");
    }

    fn show(args: &Args) -> String {
        let mut out: Vec<String> = args
            .pairs
            .iter()
            .map(|(key, value)| match value {
                ArgValue::Bare => format!("{}:true", String::from_utf8_lossy(key)),
                ArgValue::Text(text) => {
                    format!("{}:{:?}", String::from_utf8_lossy(key), String::from_utf8_lossy(text))
                }
            })
            .collect();
        if args.truncated {
            out.push("truncated".into());
        }
        out.join(" ")
    }

    fn check_args(text: &str, max: usize, expected: &str) {
        assert_eq!(show(&decode_args(text.as_bytes(), max)), expected, "{text}");
    }

    #[test]
    fn arguments() {
        check_args("", 0, "");
        check_args("a=1&b&a=2", 0, "a:\"1\" b:true a:\"2\"");
        check_args("a&b=&=x&=&&c", 0, "a:true b:\"\" c:true");
        check_args("a%20b=1%612+&c=d=e", 0, "a b:\"1a2 \" c:\"d=e\"");
        check_args("a&b&c", 2, "a:true b:true truncated");
        check_args("a&b", 2, "a:true b:true");
        check_args("a&b&", 2, "a:true b:true truncated");
        check_args("=1&b&c", 2, "b:true truncated");
        let check_uri = |text: &str, max, expected: &str| {
            assert_eq!(show(&uri_args(text.as_bytes(), max)), expected, "{text}");
        };
        check_uri("", 100, "");
        check_uri("a&b&", 2, "a:true b:true truncated");
        check_uri("a&&b&c", 2, "a:true b:true truncated");
        check_uri("=1&b&c", 3, "b:true c:true");
        check_uri("a=1&b", 0, "a:\"1\" b:true");
    }

    #[test]
    fn encoding_arguments() {
        let pairs: [(&[u8], Option<&[u8]>); 3] = [(b"a b", Some(b"1&2")), (b"c", None), (b"d", Some(b""))];
        assert_eq!(encode_args(pairs), b"a%20b=1%262&c&d=");
    }

    /// Whatever comes, decoding ends without a panic, keeps to its limit, and what it gives survives encoding.
    #[test]
    fn generated_args() {
        const PARTS: &[&str] =
            &["a", "b", "=", "=", "&", "&", "%", "%41", "%0", "+", "%26", "%3d", "é", "[]", "\0", " "];
        let mut dice = crate::dice::Dice(0);
        let mut random = move |below| dice.roll(below);
        for _ in 0..crate::dice::rounds(100_000) {
            let text: String = (0..random(12)).map(|_| PARTS[random(PARTS.len())]).collect();
            let max = random(4);
            for args in [decode_args(text.as_bytes(), max), uri_args(text.as_bytes(), max)] {
                assert!(max == 0 || args.pairs.len() <= max, "{text} {max}");
                let pairs = args.pairs.iter().map(|(name, value)| match value {
                    ArgValue::Bare => (name.as_slice(), None),
                    ArgValue::Text(text) => (name.as_slice(), Some(text.as_slice())),
                });
                assert_eq!(decode_args(&encode_args(pairs), 0).pairs, args.pairs, "{text}");
            }
        }
    }
}
