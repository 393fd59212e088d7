//! Text to number, by the one set of rules that the lexer, `tonumber` and string arithmetic share.
//!
//! Decimal conversion is exact (std's). Hexadecimal and binary digits beyond 64 bits are kept as a sticky bit, so that
//! rounding stays correct.

/// What a numeral denotes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Double(f64),
    /// `LL` and `ULL` suffixes.
    Int64 {
        bits: u64,
        unsigned: bool,
    },
    /// The `i` suffix: a numeral, but of a type that we do not have.
    Imaginary(f64),
}

/// Exponents beyond this are malformed, as in LuaJIT.
const MAX_EXPONENT: i64 = 1 << 20;

/// `tonumber`'s rules: white space around, a sign, decimal, hexadecimal or binary digits; `inf` and `nan` by name.
/// Suffixes are refused.
pub fn parse(text: &[u8]) -> Option<f64> {
    if let Some(n) = few_digits(text) {
        return Some(n);
    }
    match scan(text)? {
        (Number::Double(n), false) => Some(n),
        _ => None,
    }
}

/// The number that digits alone stand for, so few of them that it is exact: most numbers in text.
pub fn few_digits(text: &[u8]) -> Option<f64> {
    if !(1..16).contains(&text.len()) {
        return None;
    }
    let digits = text.iter().try_fold(0u64, |n, c| c.is_ascii_digit().then(|| n * 10 + u64::from(c - b'0')));
    digits.map(|n| n as f64)
}

/// The lexer's rules: as `parse`, and the suffixes `LL`, `ULL` and `i`.
pub fn parse_literal(text: &[u8]) -> Option<Number> {
    scan(text).map(|(number, _)| number)
}

fn is_space(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_space(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_space(*last)
    {
        text = rest;
    }
    text
}

/// The number, and whether it had a suffix.
fn scan(text: &[u8]) -> Option<(Number, bool)> {
    let text = trim(text);
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if !matches!(digits.first()?, b'0'..=b'9' | b'.') {
        return named(digits, negative).map(|n| (Number::Double(n), false));
    }
    let (body, suffix) = split_suffix(digits);
    let number = match suffix {
        Suffix::None => Number::Double(sign(magnitude(body)?, negative)),
        Suffix::Imaginary => Number::Imaginary(sign(magnitude(body)?, negative)),
        Suffix::Int64 { unsigned } => {
            let bits = integer(body)?;
            Number::Int64 { bits: if negative { bits.wrapping_neg() } else { bits }, unsigned }
        }
    };
    Some((number, suffix != Suffix::None))
}

fn sign(n: f64, negative: bool) -> f64 {
    if negative { -n } else { n }
}

fn named(word: &[u8], negative: bool) -> Option<f64> {
    if word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"infinity") {
        Some(sign(f64::INFINITY, negative))
    } else if word.eq_ignore_ascii_case(b"nan") {
        Some(f64::NAN)
    } else {
        None
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Suffix {
    None,
    Imaginary,
    Int64 { unsigned: bool },
}

fn split_suffix(digits: &[u8]) -> (&[u8], Suffix) {
    const SUFFIXES: &[(&[u8], Suffix)] = &[
        (b"ull", Suffix::Int64 { unsigned: true }),
        (b"llu", Suffix::Int64 { unsigned: true }),
        (b"ll", Suffix::Int64 { unsigned: false }),
        (b"i", Suffix::Imaginary),
    ];
    for (word, suffix) in SUFFIXES {
        if digits.len() > word.len() {
            let (body, tail) = digits.split_at(digits.len() - word.len());
            if tail.eq_ignore_ascii_case(word) {
                return (body, *suffix);
            }
        }
    }
    (digits, Suffix::None)
}

fn radix_prefix(body: &[u8]) -> (u32, &[u8]) {
    match body {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', b'b' | b'B', rest @ ..] => (2, rest),
        _ => (10, body),
    }
}

/// The 64 bits of an integer literal: at most 16 hexadecimal or 64 binary digits, decimal below 2^64.
fn integer(body: &[u8]) -> Option<u64> {
    let (radix, digits) = radix_prefix(body);
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &c| {
        let digit = char::from(c).to_digit(radix)?;
        value.checked_mul(u64::from(radix))?.checked_add(u64::from(digit))
    })
}

fn magnitude(body: &[u8]) -> Option<f64> {
    match radix_prefix(body) {
        (10, digits) => decimal(digits),
        (16, digits) => hexadecimal(digits),
        (_, digits) => binary(digits),
    }
}

fn decimal(digits: &[u8]) -> Option<f64> {
    // std also takes "inf" and friends; the shape is checked first.
    let mantissa_end = digits.iter().position(|c| !matches!(c, b'0'..=b'9' | b'.')).unwrap_or(digits.len());
    let (mantissa, exponent) = digits.split_at(mantissa_end);
    if !mantissa.iter().any(u8::is_ascii_digit) || mantissa.iter().filter(|&&c| c == b'.').count() > 1 {
        return None;
    }
    match exponent {
        [] => {}
        [b'e' | b'E', rest @ ..] => {
            parse_exponent(rest)?;
        }
        _ => return None,
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0i64, |value, &c| {
        let digit = char::from(c).to_digit(10)?;
        let value = value * 10 + i64::from(digit);
        (value < MAX_EXPONENT).then_some(value)
    })?;
    Some(if negative { -value } else { value })
}

fn hexadecimal(text: &[u8]) -> Option<f64> {
    let mut bits = 0u64;
    let mut exponent = 0i64;
    let mut any = false;
    let mut point = false;
    let mut rest = text;
    while let [c, tail @ ..] = rest {
        if *c == b'.' && !point {
            point = true;
        } else if let Some(digit) = char::from(*c).to_digit(16) {
            any = true;
            if bits >> 60 == 0 {
                bits = bits << 4 | u64::from(digit);
                exponent -= if point { 4 } else { 0 };
            } else {
                bits |= u64::from(digit != 0);
                exponent += if point { 0 } else { 4 };
            }
        } else {
            break;
        }
        rest = tail;
    }
    if !any {
        return None;
    }
    match rest {
        [] => {}
        [b'p' | b'P', tail @ ..] => exponent += parse_exponent(tail)?,
        _ => return None,
    }
    Some(scale(bits, exponent))
}

fn binary(text: &[u8]) -> Option<f64> {
    let significant = text.iter().skip_while(|&&c| c == b'0').count();
    if text.is_empty() || significant > 64 {
        return None;
    }
    let bits = text.iter().try_fold(0u64, |value, &c| Some(value << 1 | u64::from(char::from(c).to_digit(2)?)))?;
    Some(scale(bits, 0))
}

/// `bits * 2^exponent`, rounded once, to nearest even.
fn scale(bits: u64, exponent: i64) -> f64 {
    if bits == 0 {
        return 0.0;
    }
    // The value is 1.xxx * 2^top; below 2^-1022 fewer than 53 bits are left.
    let length = 64 - i64::from(bits.leading_zeros());
    let top = length - 1 + exponent;
    if top > 1023 {
        return f64::INFINITY;
    }
    let kept = if top < -1022 { 53 - (-1022 - top) } else { 53 };
    if kept < 0 {
        return 0.0;
    }
    let drop = length - kept;
    let (mantissa, unit) = if drop <= 0 {
        (bits, exponent)
    } else {
        let whole = if drop >= 64 { 0 } else { bits >> drop };
        let half = 1u64 << (drop - 1);
        let rest = if drop >= 64 { bits } else { bits & ((1u64 << drop) - 1) };
        let up = rest > half || (rest == half && whole & 1 == 1);
        (whole + u64::from(up), exponent + drop)
    };
    // `mantissa` has at most 54 bits and the product is exact: two steps keep each factor in range.
    let first = unit.clamp(-1000, 900);
    mantissa as f64 * power_of_two(first) * power_of_two(unit - first)
}

fn power_of_two(n: i64) -> f64 {
    match n {
        -1022..=1023 => f64::from_bits(((n + 1023) as u64) << 52),
        -1074..=-1023 => f64::from_bits(1u64 << (n + 1074)),
        1024.. => f64::INFINITY,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerals_denote_what_luajit_says() {
        let cases: &[(&str, Option<f64>)] = &[
            ("0", Some(0.0)),
            (" 12\n", Some(12.0)),
            ("-7", Some(-7.0)),
            ("5.", Some(5.0)),
            (".5", Some(0.5)),
            ("1e3", Some(1000.0)),
            ("1E-2", Some(0.01)),
            ("0x10", Some(16.0)),
            ("-0xA.8p1", Some(-21.0)),
            ("0x.8", Some(0.5)),
            ("0b101", Some(5.0)),
            ("0x1p-1074", Some(5e-324)),
            ("0x1p-1075", Some(0.0)),
            ("0x1.8p-1075", Some(5e-324)),
            ("0x1p1024", Some(f64::INFINITY)),
            ("0xffffffffffffffff", Some(18446744073709551615.0)),
            ("0x1fffffffffffff8", Some(144115188075855864.0)),
            ("0x80000000000004001", Some(147573952589676445696.0)),
            ("1e400", Some(f64::INFINITY)),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("", None),
            (" ", None),
            (".", None),
            ("1e", None),
            ("0x", None),
            ("0xp1", None),
            ("0b2", None),
            ("1 1", None),
            ("- 1", None),
            ("1LL", None),
            ("1_0", None),
            ("1..2", None),
            ("0x1p", None),
            ("infx", None),
            ("--1", None),
            ("1e9999999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes()), *expected, "{text}");
        }
    }

    #[test]
    fn literals_have_suffixes() {
        assert_eq!(parse_literal(b"1LL"), Some(Number::Int64 { bits: 1, unsigned: false }));
        assert_eq!(parse_literal(b"0xffULL"), Some(Number::Int64 { bits: 255, unsigned: true }));
        assert_eq!(parse_literal(b"18446744073709551615llu"), Some(Number::Int64 { bits: u64::MAX, unsigned: true }));
        assert_eq!(parse_literal(b"18446744073709551616ull"), None);
        assert_eq!(parse_literal(b"1.5LL"), None);
        assert_eq!(parse_literal(b"3i"), Some(Number::Imaginary(3.0)));
    }
}
