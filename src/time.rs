//! Dates as HTTP and nginx's logs write them. The clock is read once per use; texts are remembered per second and thread.

use std::cell::RefCell;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0))
}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[derive(Clone, Copy, Debug, PartialEq)]
struct Civil {
    year: i64,
    month: usize,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    weekday: usize,
}

/// The proleptic Gregorian date of a day count, with years that begin in March, so that leap days come last.
fn civil(unix: i64) -> Civil {
    let (days, rest) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Civil {
        year,
        month: usize::try_from(month).unwrap_or(1),
        day,
        hour: rest / 3600,
        minute: rest / 60 % 60,
        second: rest % 60,
        weekday: usize::try_from(days.rem_euclid(7)).unwrap_or(0),
    }
}

fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// `Sat, 21 Nov 2026 22:42:01 GMT`
pub fn http_date(unix: i64) -> String {
    let c = civil(unix);
    let (day, month) = (DAYS[c.weekday], MONTHS[c.month - 1]);
    format!("{day}, {:02} {month} {:04} {:02}:{:02}:{:02} GMT", c.day, c.year, c.hour, c.minute, c.second)
}

/// The date of an If-Modified-Since header, in its three historic forms.
pub fn parse_http_date(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let rest = text.split_once(", ").map_or(text, |(_, rest)| rest);
    let parts: Vec<&str> = rest.split([' ', '-']).filter(|part| !part.is_empty()).collect();
    let (day, month, year, clock) = match parts.as_slice() {
        [_, month, day, clock, year] => (*day, *month, *year, *clock),
        [day, month, year, clock, ..] => (*day, *month, *year, *clock),
        _ => return None,
    };
    let month = MONTHS.iter().position(|name| *name == month)?;
    let year: i64 = year.parse().ok()?;
    let year = match year {
        0..70 => 2000 + year,
        70..100 => 1900 + year,
        year => year,
    };
    let mut clock = clock.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let days = days_of(year, i64::try_from(month).ok()? + 1, day.parse().ok()?);
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// `2026/11/21 22:42:01`, local time: the error log's.
pub fn error_log_time(out: &mut Vec<u8>) {
    thread_local!(static LAST: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) });
    let unix = i64::try_from(now_ms() / 1000).unwrap_or(0);
    LAST.with_borrow_mut(|(second, text)| {
        if *second != unix {
            let c = civil(unix + offset(unix));
            let date = format!("{:04}/{:02}/{:02}", c.year, c.month, c.day);
            (*second, *text) = (unix, format!("{date} {:02}:{:02}:{:02}", c.hour, c.minute, c.second));
        }
        out.extend_from_slice(text.as_bytes());
    });
}

/// The text of the Date header.
pub fn write_date_header(out: &mut Vec<u8>) {
    thread_local!(static LAST: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) });
    let unix = i64::try_from(now_ms() / 1000).unwrap_or(0);
    LAST.with_borrow_mut(|(second, text)| {
        if *second != unix {
            (*second, *text) = (unix, http_date(unix));
        }
        out.extend_from_slice(text.as_bytes());
    });
}

/// `$time_local`: `21/Nov/2026:22:42:01 +0000`
pub fn time_local(unix: i64) -> String {
    let offset = offset(unix);
    let c = civil(unix + offset);
    let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
    format!(
        "{:02}/{}/{:04}:{:02}:{:02}:{:02} {sign}{:02}{:02}",
        c.day,
        MONTHS[c.month - 1],
        c.year,
        c.hour,
        c.minute,
        c.second,
        minutes / 60,
        minutes % 60
    )
}

/// `$time_iso8601`: `2026-11-21T22:42:01+00:00`
pub fn time_iso8601(unix: i64) -> String {
    let offset = offset(unix);
    let c = civil(unix + offset);
    let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
    let date = format!("{:04}-{:02}-{:02}", c.year, c.month, c.day);
    format!("{date}T{:02}:{:02}:{:02}{sign}{:02}:{:02}", c.hour, c.minute, c.second, minutes / 60, minutes % 60)
}

/// Seconds that local time is ahead of UTC at that moment, by the system's zone file. Without one it is UTC.
pub fn offset(unix: i64) -> i64 {
    static ZONE: LazyLock<Vec<(i64, i64)>> = LazyLock::new(|| zone().unwrap_or_default());
    let at = ZONE.partition_point(|(from, _)| *from <= unix);
    ZONE.get(at.saturating_sub(1)).map_or(0, |(_, offset)| *offset)
}

/// The transitions of a TZif file: when, and the offset from then on.
fn zone() -> Option<Vec<(i64, i64)>> {
    let path = match std::env::var("TZ") {
        Ok(name) if !name.is_empty() => format!("/usr/share/zoneinfo/{}", name.trim_start_matches(':')),
        _ => "/etc/localtime".to_string(),
    };
    transitions(&std::fs::read(path).ok()?)
}

fn transitions(file: &[u8]) -> Option<Vec<(i64, i64)>> {
    let word = |at: usize| Some(u32::from_be_bytes(file.get(at..at + 4)?.try_into().ok()?) as usize);
    let header = |at: usize| {
        (file.get(at..at + 4)? == b"TZif").then_some(())?;
        let mut counts = [0; 6];
        for (n, count) in counts.iter_mut().enumerate() {
            *count = word(at + 20 + n * 4)?;
        }
        Some(counts)
    };
    // The first part has 32-bit times for old readers; the second repeats it with 64-bit ones.
    let [utc, std, leaps, times, types, chars] = header(0)?;
    let second = 44 + times * 5 + types * 6 + chars + leaps * 8 + std + utc;
    let [_, _, _, times, types, _] = header(second)?;
    let (at, kinds) = (second + 44, second + 44 + times * 9);
    let kind = |n: usize| {
        let seconds = file.get(kinds + n * 6..kinds + n * 6 + 4)?;
        Some(i64::from(i32::from_be_bytes(seconds.try_into().ok()?)))
    };
    let mut found = Vec::with_capacity(times + 1);
    if types > 0 {
        found.push((i64::MIN, kind(0)?));
    }
    for n in 0..times {
        let from = i64::from_be_bytes(file.get(at + n * 8..at + n * 8 + 8)?.try_into().ok()?);
        found.push((from, kind(usize::from(*file.get(at + times * 8 + n)?))?));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(http_date(1_795_300_921), "Sat, 21 Nov 2026 22:42:01 GMT");
        assert_eq!(http_date(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(parse_http_date(b"Sat, 21 Nov 2026 22:42:01 GMT"), Some(1_795_300_921));
        assert_eq!(parse_http_date(b"Sunday, 06-Nov-94 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(parse_http_date(b"Sun Nov  6 08:49:37 1994"), Some(784_111_777));
        assert_eq!(parse_http_date(b"soon"), None);
    }
}
