//! Numbers as text: `%.14g`, as Lua's tostring writes them.
use std::io::Write;

/// The greatest integer that is not above `x`. (Without SSE 4.1 the library's is a call.)
#[inline(always)]
pub fn floor(x: f64) -> f64 {
    if x.abs() < 4_503_599_627_370_496.0 {
        let whole = (x as i64) as f64;
        // (x itself where it is whole: it may be -0)
        if whole == x {
            x
        } else if whole > x {
            whole - 1.0
        } else {
            whole
        }
    } else {
        x
    }
}

/// `x % y` as Lua defines it.
#[inline(always)]
pub fn modulo(x: f64, y: f64) -> f64 {
    x - floor(x / y) * y
}

/// A number as a C `int`: cut to 64 bits (what does not fit is the smallest one), of which the lower 32 are taken.
pub fn cut_to_int(n: f64) -> i32 {
    cut_to_wide(n) as i32
}
/// A number cut to 64 bits as the processor does it: what does not fit, and NaN, is the smallest one.
pub fn cut_to_wide(n: f64) -> i64 {
    if n.abs() < TWO_TO_63 { n as i64 } else { i64::MIN }
}
/// A number cut to 64 bits without sign as LuaJIT does it on x86-64: what does not fit, what is negative, and NaN, is 2^63.
pub fn cut_to_unsigned(n: f64) -> u64 {
    if (0.0..TWO_TO_63).contains(&n) { n as u64 } else { cut_to_wide(n - TWO_TO_63 * 2.0) as u64 }
}
pub const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

/// Appends a number as tostring shows it.
pub fn write_number(n: f64, out: &mut Vec<u8>) {
    if n.abs() < 1e14 && n == (n as i64) as f64 {
        if n == 0.0 && n.is_sign_negative() {
            out.extend_from_slice(b"-0");
            return;
        }
        write_integer(n as i64, out);
        return;
    }
    if n.is_nan() {
        out.extend_from_slice(b"nan");
    } else if n.is_infinite() {
        out.extend_from_slice(if n > 0.0 { b"inf" } else { b"-inf" });
    } else {
        write_general(n, 14, out);
    }
}

pub fn write_integer(n: i64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = n.unsigned_abs();
    while u32::try_from(rest).is_err() {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    // (divisions of half the width are much faster)
    let mut rest = rest as u32;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if n < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// A number's shortest digits that read back as it, on the stack.
struct Shortest {
    text: [u8; 32],
    len: usize,
}

impl std::fmt::Write for Shortest {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        let end = self.len + s.len();
        let room = self.text.get_mut(self.len..end).ok_or(std::fmt::Error)?;
        room.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// `%.{precision}g` where the shortest digits are no more than that: then they are the same digits, and much cheaper to find. (Not
/// beyond 15, where the number's own digits begin to show: 0.1 is 0.10000000000000001.)
fn write_short(n: f64, precision: usize, out: &mut Vec<u8>) -> bool {
    use std::fmt::Write;
    let mut short = Shortest { text: [0; 32], len: 0 };
    if write!(short, "{n:e}").is_err() {
        return false;
    }
    let text = &short.text[..short.len];
    let Some(at) = text.iter().position(|c| *c == b'e') else { return false };
    let (mantissa, exponent) = (&text[..at], &text[at + 1..]);
    let Some(exponent) = std::str::from_utf8(exponent).ok().and_then(|e| e.parse::<i32>().ok()) else { return false };
    let (sign, mantissa): (&[u8], _) = match mantissa {
        [b'-', rest @ ..] => (b"-", rest),
        _ => (b"", mantissa),
    };
    let digits = mantissa.len() - usize::from(mantissa.len() > 1);
    // (other exponents are rare: the general way writes them)
    if digits > precision || !(-4..precision as i32).contains(&exponent) {
        return false;
    }
    out.extend_from_slice(sign);
    let digit = |i: usize| if i == 0 { mantissa[0] } else { mantissa[i + 1] };
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-exponent - 1) as usize, b'0');
        out.extend((0..digits).map(digit));
    } else {
        let whole = exponent as usize + 1;
        out.extend((0..whole).map(|i| if i < digits { digit(i) } else { b'0' }));
        if digits > whole {
            out.push(b'.');
            out.extend((whole..digits).map(digit));
        }
    }
    true
}

/// `%.{decimals}f` of a finite number.
///
/// A number that lies exactly between two candidates goes to the larger one, as LuaJIT rounds; Rust (and C) take the even one.
pub fn fixed(n: f64, decimals: usize) -> String {
    if !is_tie(n, i32::try_from(decimals).unwrap_or(i32::MAX)) {
        return format!("{n:.decimals$}");
    }
    let mut text = format!("{n:.*}", decimals + 1);
    round_up(&mut text);
    text
}

/// The mantissa with so many decimals, and the exponent, of `%e`; rounded as by `fixed`.
pub fn scientific(n: f64, decimals: usize) -> (String, i32) {
    let tie = is_tie(n, i32::try_from(decimals).unwrap_or(i32::MAX).saturating_sub(decimal_exponent(n)));
    let text = format!("{n:.*e}", decimals + usize::from(tie));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (mut mantissa, mut exponent) = (mantissa.to_string(), exponent.parse().unwrap_or(0));
    if tie {
        let before = mantissa.find('.');
        round_up(&mut mantissa);
        if decimals == 0 && mantissa.len() > 1 + usize::from(n < 0.0) || decimals > 0 && mantissa.find('.') != before {
            // 9.995 became 10.00: it is 1.000 with the next exponent
            let sign = usize::from(n < 0.0);
            let digits: String = mantissa[sign..].chars().filter(|c| *c != '.').take(decimals + 1).collect();
            mantissa.truncate(sign);
            mantissa.push_str(&digits[..1]);
            if decimals > 0 {
                mantissa.push('.');
                mantissa.push_str(&digits[1..]);
            }
            exponent += 1;
        }
    }
    (mantissa, exponent)
}

/// Whether a number with so many decimals (a negative count is of places before the point) ends in exactly one half.
pub fn is_tie(n: f64, decimals: i32) -> bool {
    let bits = n.to_bits() & (u64::MAX >> 1);
    let (exponent, fraction) = ((bits >> 52) as i32, bits & ((1 << 52) - 1));
    let mantissa = if exponent == 0 { fraction } else { fraction | 1 << 52 };
    let zeros = mantissa.trailing_zeros();
    // n is odd * 2^twos.
    let (odd, twos) = (mantissa.checked_shr(zeros).unwrap_or(0), exponent.max(1) - 1075 + zeros as i32);
    let halves = odd != 0 && exponent != 0x7ff && twos.saturating_add(decimals) == -1;
    halves && (decimals >= 0 || 5u64.checked_pow(decimals.unsigned_abs()).is_some_and(|fives| odd % fives == 0))
}

/// Takes the last digit, a 5, away and adds one to what is before it.
fn round_up(text: &mut String) {
    let mut bytes = std::mem::take(text).into_bytes();
    bytes.pop();
    if bytes.last() == Some(&b'.') {
        bytes.pop();
    }
    let sign = usize::from(bytes.first() == Some(&b'-'));
    let mut at = bytes.len();
    while at > sign && matches!(bytes[at - 1], b'9' | b'.') {
        at -= 1;
        if bytes[at] == b'9' {
            bytes[at] = b'0';
        }
    }
    if at > sign {
        bytes[at - 1] += 1;
    } else {
        bytes.insert(sign, b'1');
    }
    *text = String::from_utf8(bytes).unwrap_or_default();
}

/// The power of ten of a number's first digit.
pub fn decimal_exponent(n: f64) -> i32 {
    use std::fmt::Write;
    let mut short = Shortest { text: [0; 32], len: 0 };
    let _ = write!(short, "{n:e}");
    let text = std::str::from_utf8(&short.text[..short.len]).unwrap_or_default();
    text.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0)
}

/// `%.{precision}g` of a finite number.
pub fn write_general(n: f64, precision: usize, out: &mut Vec<u8>) {
    let precision = precision.max(1);
    if precision <= 15 && write_short(n, precision, out) {
        return;
    }
    let (mantissa, exponent) = scientific(n, precision - 1);
    if exponent < -4 || exponent >= precision as i32 {
        let mantissa = trim_zeros(&mantissa);
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.abs());
    } else {
        let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
        out.extend_from_slice(trim_zeros(&fixed(n, decimals)).as_bytes());
    }
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A string as a number, by the rules of `tonumber(s)` and of arithmetic on strings.
pub fn parse_number(text: &[u8]) -> Option<f64> {
    crate::lex::number::parse(text)
}

#[cfg(test)]
mod tests {
    #[test]
    fn tostring_of_numbers() {
        let check = |n: f64, text: &str| {
            let mut out = Vec::new();
            super::write_number(n, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), text);
        };
        check(0.0, "0");
        check(-0.0, "-0");
        check(1e14, "1e+14");
        check(123456789012345.0, "1.2345678901235e+14");
        check(99999999999999.0, "99999999999999");
        check(0.1, "0.1");
        check(1e15, "1e+15");
        check(1e100, "1e+100");
        check(-1.5e-10, "-1.5e-10");
        check(std::f64::consts::PI, "3.1415926535898");
        check(1.0 / 3.0, "0.33333333333333");
        check(f64::INFINITY, "inf");
        check(1e-5, "1e-05");
        check(0.0001, "0.0001");
        check(0.00012345, "0.00012345");
        check(-2.5, "-2.5");
        check(1234567.125, "1234567.125");
        check(12345678901234.5, "12345678901235");
        check(12345678901235.5, "12345678901236");
        check(99999999999999.9, "1e+14");
        check(123456.7, "123456.7");
    }
}
