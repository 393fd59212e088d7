//! Numbers as text: `%.14g`, as Lua's tostring writes them.
use std::io::Write;

/// Appends a number as tostring shows it.
pub fn write_number(n: f64, out: &mut Vec<u8>) {
    if n.is_finite() && n == n.trunc() && n.abs() < 1e14 {
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

/// `%.{precision}g` of a finite number.
pub fn write_general(n: f64, precision: usize, out: &mut Vec<u8>) {
    let precision = precision.max(1);
    // Rust's `e` format rounds correctly and shows the exponent that %g decides by.
    let scientific = format!("{:.*e}", precision - 1, n);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= precision as i32 {
        let mantissa = trim_zeros(mantissa);
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.abs());
    } else {
        let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
        let fixed = format!("{n:.decimals$}");
        out.extend_from_slice(trim_zeros(&fixed).as_bytes());
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
        check(123456789012345.0, "1.2345678901234e+14");
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
    }
}
