//! nginx's scalar notations: sizes (`1m`), times (`1h30m`, `500ms`), flags, numbers. None: not such a thing.

/// `10`, `10k`, `10M`, `1g` in bytes.
pub fn size(word: &[u8]) -> Option<u64> {
    let (digits, unit) = match word.split_last()? {
        (b'k' | b'K', digits) => (digits, 1 << 10),
        (b'm' | b'M', digits) => (digits, 1 << 20),
        (b'g' | b'G', digits) => (digits, 1 << 30),
        _ => (word, 1),
    };
    number(digits)?.checked_mul(unit)
}

pub fn number(word: &[u8]) -> Option<u64> {
    if word.is_empty() || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// A time in milliseconds; a number without a unit counts seconds. Units come in falling order, each once: `1h 30m`.
pub fn msec(word: &[u8]) -> Option<u64> {
    const UNITS: [(&[u8], u64); 8] = [
        (b"y", 365 * 86_400_000),
        (b"M", 30 * 86_400_000),
        (b"w", 7 * 86_400_000),
        (b"d", 86_400_000),
        (b"h", 3_600_000),
        (b"m", 60_000),
        (b"s", 1000),
        (b"ms", 1),
    ];
    let (mut rest, mut total, mut next_unit) = (word, 0u64, 0);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let value = number(&rest[..digits])?;
        rest = &rest[digits..];
        let name = rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let unit = if name == 0 {
            if !rest.is_empty() {
                return None;
            }
            6
        } else {
            UNITS.iter().position(|(unit, _)| *unit == &rest[..name])?
        };
        if unit < next_unit {
            return None;
        }
        next_unit = unit + 1;
        total = total.checked_add(value.checked_mul(UNITS[unit].1)?)?;
        rest = rest[name..].trim_ascii_start();
    }
    Some(total)
}

/// A time in whole seconds.
pub fn sec(word: &[u8]) -> Option<u64> {
    let ms = msec(word)?;
    (ms % 1000 == 0).then_some(ms / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notations() {
        assert_eq!(size(b"8k"), Some(8192));
        assert_eq!(size(b"1x"), None);
        assert_eq!(size(b""), None);
        assert_eq!(msec(b"75"), Some(75_000));
        assert_eq!(msec(b"68000ms"), Some(68_000));
        assert_eq!(msec(b"1h30m"), Some(5_400_000));
        assert_eq!(msec(b"30m1h"), None);
        assert_eq!(msec(b"x"), None);
    }
}
