//! HTTP dates to unix seconds, with nginx's tolerance (ngx_parse_http_time): the day's name is not looked at, months
//! are told by the letters that differ, and what follows the seconds is ignored.

use super::format::days_from_civil;

#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// `Tue, 10 Nov 2026 23:50:13 GMT`
    Rfc822,
    /// `Tuesday, 10-Nov-26 23:50:13 GMT`
    Rfc850,
    /// `Tue Nov 10 23:50:13 2026`
    Asctime,
}

/// Unix seconds of a date in any of HTTP's three forms, or `None`.
pub fn parse_http_time(text: &[u8]) -> Option<i64> {
    let end_of_name = text.iter().position(|&byte| byte == b',' || byte == b' ')?;
    let mut form = if text[end_of_name] == b' ' { Form::Asctime } else { Form::Rfc822 };
    let rest = &text[end_of_name + 1..];
    let mut cursor = Cursor(&rest[rest.iter().position(|&byte| byte != b' ')?..]);
    if cursor.0.len() < 18 {
        return None;
    }
    let mut day = 0;
    if form != Form::Asctime {
        day = cursor.digits(2)?;
        form = match cursor.byte()? {
            b' ' => Form::Rfc822,
            b'-' => Form::Rfc850,
            _ => return None,
        };
    }
    let month = month(cursor.take(3)?)?;
    match (form, cursor.byte()?) {
        (Form::Rfc822, b' ') | (Form::Rfc850, b'-') | (Form::Asctime, _) => {}
        _ => return None,
    }
    let mut year = 0;
    match form {
        Form::Rfc822 => year = cursor.digits(4)?,
        Form::Rfc850 => {
            year = cursor.digits(2)?;
            year += if year < 70 { 2000 } else { 1900 };
        }
        Form::Asctime => {
            if cursor.0.first() == Some(&b' ') {
                cursor.byte()?;
            }
            day = cursor.digits(1)?;
            if cursor.0.first()? != &b' ' {
                day = day * 10 + cursor.digits(1)?;
            }
        }
    }
    cursor.expect(b' ')?;
    let hour = cursor.digits(2)?;
    cursor.expect(b':')?;
    let minute = cursor.digits(2)?;
    cursor.expect(b':')?;
    let second = cursor.digits(2)?;
    if form == Form::Asctime {
        cursor.expect(b' ')?;
        year = cursor.digits(4)?;
    }
    let leap_year = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let day_exists = if day == 29 && month == 2 { leap_year } else { day <= LENGTHS[(month - 1) as usize] };
    if hour > 23 || minute > 59 || second > 59 || !day_exists {
        return None;
    }
    Some(days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second)
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        (self.byte()? == wanted).then_some(())
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        self.take(count)?
            .iter()
            .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
    }
}

fn month(name: &[u8]) -> Option<i64> {
    let [first, second, third] = *name else { return None };
    Some(match first {
        b'J' if second == b'a' => 1,
        b'F' => 2,
        b'M' if third == b'r' => 3,
        b'A' if second == b'p' => 4,
        b'M' => 5,
        b'J' if third == b'n' => 6,
        b'J' => 7,
        b'A' => 8,
        b'S' => 9,
        b'O' => 10,
        b'N' => 11,
        b'D' => 12,
        _ => return None,
    })
}

const LENGTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

#[cfg(test)]
mod tests {
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(super::parse_http_time(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn three_forms() {
        check("Thu, 02 Jul 2026 23:59:59 GMT", Some(1_783_036_799));
        check("Thursday, 02-Jul-26 23:59:59 GMT", Some(1_783_036_799));
        check("Thu Jul  2 23:59:59 2026", Some(1_783_036_799));
        check("Thu Jul 12 23:59:59 2026", Some(1_783_036_799 + 864_000));
        check("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400));
        check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777));
    }

    #[test]
    fn malformed() {
        for text in [
            "",
            "2026-07-02",
            "Thu, 29 Feb 2026 00:00:00 GMT",
            "Thu, 32 Jul 2026 00:00:00 GMT",
            "Thu, 02 Xxx 2026 00:00:00 GMT",
            "Thu, 02 Jul 2026 24:00:00 GMT",
            "Thu, 02 Jul 26 10:00:00 GMT",
            "Thu, 2 Jul 2026 10:00:00 GMT",
            "Thu,                         ",
        ] {
            check(text, None);
        }
    }
}
