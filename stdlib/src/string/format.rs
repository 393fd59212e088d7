//! `string.format`: C's conversions, as far as Lua has them, without C.
use vm::value::number::{fixed, scientific, write_general};

/// One conversion's flags, width and precision.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spec {
    left: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    width: usize,
    pub precision: Option<usize>,
}

impl Spec {
    /// Parses what stands between `%` and the conversion letter: (spec, bytes used). Width and precision have two digits at most: a
    /// third one is taken for the letter, and refused.
    pub fn parse(text: &[u8]) -> (Spec, usize) {
        let mut spec = Spec::default();
        let mut at = 0;
        while let Some(c) = text.get(at) {
            match c {
                b'-' => spec.left = true,
                b'+' => spec.plus = true,
                b' ' => spec.space = true,
                b'#' => spec.alternate = true,
                b'0' => spec.zero = true,
                _ => break,
            }
            at += 1;
        }
        let digits = |at: &mut usize| {
            let from = *at;
            let mut n = 0;
            while let Some(d) = text.get(*at).filter(|d| d.is_ascii_digit() && *at - from < 2) {
                n = n * 10 + usize::from(d - b'0');
                *at += 1;
            }
            n
        };
        spec.width = digits(&mut at);
        if text.get(at) == Some(&b'.') {
            at += 1;
            spec.precision = Some(digits(&mut at));
        }
        (spec, at)
    }

    fn pad(&self, out: &mut Vec<u8>, sign: &[u8], digits: &[u8], zeros: bool) {
        let fill = self.width.saturating_sub(sign.len() + digits.len());
        if self.left {
            out.extend_from_slice(sign);
            out.extend_from_slice(digits);
            out.resize(out.len() + fill, b' ');
        } else if zeros {
            out.extend_from_slice(sign);
            out.resize(out.len() + fill, b'0');
            out.extend_from_slice(digits);
        } else {
            out.resize(out.len() + fill, b' ');
            out.extend_from_slice(sign);
            out.extend_from_slice(digits);
        }
    }

    fn sign(&self, negative: bool) -> &'static [u8] {
        if negative {
            b"-"
        } else if self.plus {
            b"+"
        } else if self.space {
            b" "
        } else {
            b""
        }
    }

    pub fn string(&self, bytes: &[u8], out: &mut Vec<u8>) {
        let bytes = &bytes[..self.precision.unwrap_or(bytes.len()).min(bytes.len())];
        self.pad(out, b"", bytes, false);
    }

    /// `%d`, `%i`.
    pub fn signed(&self, n: i64, out: &mut Vec<u8>) {
        let mut digits = Digits::new();
        write_integer(n.unsigned_abs(), 10, b'a', &mut digits);
        self.integer(&digits, self.sign(n < 0), n == 0, out);
    }
    /// `%u`, `%x`, `%X`, `%o`.
    pub fn unsigned(&self, n: u64, conversion: u8, out: &mut Vec<u8>) {
        let (radix, letter, prefix) = match conversion {
            b'x' => (16, b'a', "0x"),
            b'X' => (16, b'A', "0X"),
            b'o' => (8, b'a', "0"),
            _ => (10, b'a', ""),
        };
        let mut digits = Digits::new();
        write_integer(n, radix, letter, &mut digits);
        let prefix = if self.alternate && n != 0 { prefix } else { "" };
        self.integer(&digits, prefix.as_bytes(), n == 0, out);
    }
    /// `before`: the sign, or the prefix of an unsigned number.
    fn integer(&self, digits: &[u8], before: &[u8], is_zero: bool, out: &mut Vec<u8>) {
        match self.precision {
            None => self.pad(out, before, digits, self.zero),
            Some(precision) => {
                let digits = if precision == 0 && is_zero { b"" } else { digits };
                let mut padded = Digits::new();
                padded.resize(precision.saturating_sub(digits.len()), b'0');
                padded.extend_from_slice(digits);
                self.pad(out, before, &padded, false);
            }
        }
    }

    /// `%e %E %f %F %g %G %a %A`.
    pub fn float(&self, n: f64, conversion: u8, out: &mut Vec<u8>) {
        let upper = conversion.is_ascii_uppercase();
        let sign = self.sign(n.is_sign_negative() && !n.is_nan());
        let mut digits = Vec::new();
        if !n.is_finite() {
            digits.extend_from_slice(if n.is_nan() { b"nan" } else { b"inf" });
        } else {
            let n = n.abs();
            match conversion.to_ascii_lowercase() {
                b'e' => write_exponent(n, self.precision.unwrap_or(6), self.alternate, &mut digits),
                b'f' => {
                    let precision = self.precision.unwrap_or(6);
                    write_fixed(n, precision, &mut digits);
                    if self.alternate && precision == 0 {
                        digits.push(b'.');
                    }
                }
                b'g' if self.alternate => write_general_full(n, self.precision.unwrap_or(6).max(1), &mut digits),
                b'g' => write_general(n, self.precision.unwrap_or(6), &mut digits),
                _ => write_hex(n, self.precision, self.alternate, &mut digits),
            }
        }
        if upper {
            digits.make_ascii_uppercase();
        }
        let mut sign = sign.to_vec();
        if n.is_finite() && conversion.eq_ignore_ascii_case(&b'a') {
            // (0x goes before the zeros)
            sign.extend_from_slice(&digits[..2]);
            digits.drain(..2);
        }
        self.pad(out, &sign, &digits, self.zero && n.is_finite());
    }
}

/// Digits of one integer: at most 99 by its precision.
type Digits = smallvec::SmallVec<[u8; 32]>;

fn write_integer(mut n: u64, radix: u64, letter: u8, out: &mut Digits) {
    loop {
        let digit = (n % radix) as u8;
        out.push(if digit < 10 { b'0' + digit } else { letter + digit - 10 });
        n /= radix;
        if n == 0 {
            break;
        }
    }
    out.reverse();
}

/// `%f` of a number that is not negative.
fn write_fixed(n: f64, precision: usize, out: &mut Vec<u8>) {
    let Some(scaled) = scaled(n, precision) else {
        out.extend_from_slice(fixed(n, precision).as_bytes());
        return;
    };
    let mut digits = Digits::new();
    write_integer(scaled, 10, b'a', &mut digits);
    let zeros = (precision + 1).saturating_sub(digits.len());
    digits.insert_many(0, std::iter::repeat_n(b'0', zeros));
    let (whole, fraction) = digits.split_at(digits.len() - precision);
    out.extend_from_slice(whole);
    if precision > 0 {
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

/// `n` times ten to the power of `precision`, rounded to the nearest integer (of two the larger one), where 128 bits are
/// enough to tell exactly.
fn scaled(n: f64, precision: usize) -> Option<u64> {
    const POWERS: [u64; 16] = {
        let mut powers = [1; 16];
        let mut i = 1;
        while i < powers.len() {
            powers[i] = powers[i - 1] * 10;
            i += 1;
        }
        powers
    };
    let power = *POWERS.get(precision)?;
    let bits = n.to_bits();
    let exponent = (bits >> 52) as i32 - 1075;
    // (normal numbers only: their leading bit is implied)
    if n == 0.0 {
        return Some(0);
    }
    if !(-127..0).contains(&exponent) {
        return None;
    }
    let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
    let product = u128::from(mantissa) * u128::from(power);
    let shift = exponent.unsigned_abs();
    let (quotient, rest) = (product >> shift, product & ((1 << shift) - 1));
    let half = 1u128 << (shift - 1);
    u64::try_from(quotient + u128::from(rest >= half)).ok()
}

fn write_exponent(n: f64, precision: usize, point: bool, out: &mut Vec<u8>) {
    let (mantissa, exponent) = scientific(n, precision);
    out.extend_from_slice(mantissa.as_bytes());
    if point && precision == 0 {
        out.push(b'.');
    }
    out.extend_from_slice(format!("e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()).as_bytes());
}

/// `%#g`: trailing zeros stay.
fn write_general_full(n: f64, precision: usize, out: &mut Vec<u8>) {
    let (_, exponent) = scientific(n, precision - 1);
    if exponent < -4 || exponent >= precision as i32 {
        write_exponent(n, precision - 1, true, out);
    } else {
        let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
        out.extend_from_slice(fixed(n, decimals).as_bytes());
        if decimals == 0 {
            out.push(b'.');
        }
    }
}

/// C's `%a`: `0x1.8p+1`.
fn write_hex(n: f64, precision: Option<usize>, point: bool, out: &mut Vec<u8>) {
    let bits = n.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i32;
    let mut mantissa = bits & ((1 << 52) - 1);
    let mut lead = 1u64;
    if n == 0.0 {
        (exponent, lead) = (0, 0);
    } else if exponent == 0 {
        // (a small number without a leading one gets one)
        let shift = mantissa.leading_zeros() - 11;
        exponent = -1022 - shift as i32;
        mantissa = mantissa << shift & ((1 << 52) - 1);
    } else {
        exponent -= 1023;
    }
    if let Some(p) = precision.filter(|p| *p < 13) {
        let drop = 52 - 4 * p;
        let full = (lead << 52) | mantissa;
        let half = 1u64 << (drop - 1);
        let rest = full & ((1 << drop) - 1);
        let mut kept = full >> drop;
        if rest >= half {
            kept += 1;
        }
        let full = kept << drop;
        lead = full >> 52;
        mantissa = full & ((1 << 52) - 1);
    }
    let mut digits = format!("{mantissa:013x}");
    match precision {
        Some(p) => {
            while digits.len() < p {
                digits.push('0');
            }
            digits.truncate(p);
        }
        None => digits.truncate(digits.trim_end_matches('0').len()),
    }
    out.extend_from_slice(format!("0x{lead}").as_bytes());
    if !digits.is_empty() || point {
        out.push(b'.');
    }
    out.extend_from_slice(digits.as_bytes());
    out.extend_from_slice(format!("p{}{}", if exponent < 0 { '-' } else { '+' }, exponent.abs()).as_bytes());
}

/// `%q`: a literal that reads back as the same string.
pub fn write_quoted(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for (i, c) in bytes.iter().enumerate() {
        match c {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *c]),
            b'\n' => out.extend_from_slice(b"\\\n"),
            0..=31 | 127 => {
                let next_is_digit = bytes.get(i + 1).is_some_and(u8::is_ascii_digit);
                let text = if next_is_digit { format!("\\{c:03}") } else { format!("\\{c}") };
                out.extend_from_slice(text.as_bytes());
            }
            _ => out.push(*c),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::{fixed, write_fixed};

    /// The quick way and the library's say the same, carries included, and ties (which the library is told to round up).
    #[test]
    fn fixed_digits_are_exact() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut numbers =
            vec![0.0, 0.5, 1.5, 2.5, 0.05, 0.125, 0.375, 9.995, 99.5, 999_999.5, 1e-30, 1e15, 2e15 + 0.5, 1e17];
        for i in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let whole = (state >> 20) as f64;
            numbers.push(whole / f64::from(1 << (i % 24)) / 1e6);
            numbers.push(f64::from_bits(state >> 2));
        }
        for n in numbers {
            for precision in [0, 1, 2, 3, 6, 14, 15, 16, 20] {
                let mut text = Vec::new();
                write_fixed(n, precision, &mut text);
                assert_eq!(String::from_utf8_lossy(&text), fixed(n, precision), "{n:e} with {precision}");
            }
        }
    }
}
