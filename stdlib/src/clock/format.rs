//! Unix seconds to calendar dates and to nginx's date formats.

use super::Zone;

/// A date and time of day in the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    /// 0 is Sunday.
    pub weekday: u32,
}

impl Civil {
    /// The UTC date at `seconds` since 1970, held within 1970 to 9999.
    pub fn from_unix(seconds: i64) -> Civil {
        Civil::at(seconds.clamp(0, LAST_SECOND))
    }

    /// The UTC date at any time.
    pub fn at(seconds: i64) -> Civil {
        let (days, rest) = (seconds.div_euclid(86400), seconds.rem_euclid(86400));
        // Count from 1 March of year 0, so that a leap day is the last day of its year.
        let shifted = days + DAYS_TO_1970;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Civil {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: month as u32,
            day: (day_of_year - (153 * from_march + 2) / 5 + 1) as u32,
            hour: (rest / 3600) as u32,
            minute: (rest / 60 % 60) as u32,
            second: (rest % 60) as u32,
            weekday: (days + 4).rem_euclid(7) as u32,
        }
    }
}

/// Days since 1970 of a date; the inverse of `Civil::from_unix` without its limits.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let from_march = (month + 9) % 12;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + day_of_era - DAYS_TO_1970
}

/// `Tue, 10 Nov 2026 23:50:13 GMT`, for headers.
pub fn http_time(unix: i64) -> String {
    let c = Civil::from_unix(unix);
    let (weekday, month) = names(&c);
    format!("{weekday}, {:02} {month} {:4} {:02}:{:02}:{:02} GMT", c.day, c.year, c.hour, c.minute, c.second)
}

/// `Tue, 10-Nov-26 23:50:13 GMT`; four digits of the year after 2037.
pub fn cookie_time(unix: i64) -> String {
    let c = Civil::from_unix(unix);
    let (weekday, month) = names(&c);
    let year = if c.year > 2037 { c.year } else { c.year % 100 };
    format!("{weekday}, {:02}-{month}-{year:02} {:02}:{:02}:{:02} GMT", c.day, c.hour, c.minute, c.second)
}

/// `2026-11-10 23:50:13` in UTC.
pub fn utctime(unix: i64) -> String {
    date_time(unix, '-')
}

/// `2026-11-10 23:50:13` in local time.
pub fn localtime(unix: i64, zone: &Zone) -> String {
    date_time(local(unix, zone), '-')
}

/// `2026-11-10` in local time.
pub fn today(unix: i64, zone: &Zone) -> String {
    let c = Civil::from_unix(local(unix, zone));
    format!("{:04}-{:02}-{:02}", c.year, c.month, c.day)
}

/// `2026/11/10 23:50:13` in local time: the head of a line in error.log.
pub fn error_log_time(unix: i64, zone: &Zone) -> String {
    date_time(local(unix, zone), '/')
}

/// `10/Nov/2026:23:50:13 +0100`: `$time_local`.
pub fn log_time(unix: i64, zone: &Zone) -> String {
    let offset = zone.offset(unix);
    let c = Civil::from_unix(unix.saturating_add(offset));
    let (_, month) = names(&c);
    let zone = offset_text(offset, "");
    format!("{:02}/{month}/{}:{:02}:{:02}:{:02} {zone}", c.day, c.year, c.hour, c.minute, c.second)
}

/// `2026-11-10T23:50:13+01:00`: `$time_iso8601`.
pub fn iso8601(unix: i64, zone: &Zone) -> String {
    let offset = zone.offset(unix);
    let c = Civil::from_unix(unix.saturating_add(offset));
    let zone = offset_text(offset, ":");
    format!("{:4}-{:02}-{:02}T{:02}:{:02}:{:02}{zone}", c.year, c.month, c.day, c.hour, c.minute, c.second)
}

/// `Nov 10 23:50:13` in local time, as syslog wants it.
pub fn syslog_time(unix: i64, zone: &Zone) -> String {
    let c = Civil::from_unix(local(unix, zone));
    let (_, month) = names(&c);
    format!("{month} {:2} {:02}:{:02}:{:02}", c.day, c.hour, c.minute, c.second)
}

fn local(unix: i64, zone: &Zone) -> i64 {
    unix.saturating_add(zone.offset(unix))
}

fn date_time(unix: i64, separator: char) -> String {
    let c = Civil::from_unix(unix);
    let s = separator;
    format!("{:04}{s}{:02}{s}{:02} {:02}:{:02}:{:02}", c.year, c.month, c.day, c.hour, c.minute, c.second)
}

/// `+0100`; whole minutes, as nginx keeps it.
fn offset_text(seconds: i64, between: &str) -> String {
    let minutes = (seconds / 60).abs();
    let sign = if seconds < 0 { '-' } else { '+' };
    format!("{sign}{:02}{between}{:02}", minutes / 60, minutes % 60)
}

fn names(civil: &Civil) -> (&'static str, &'static str) {
    (WEEKDAYS[civil.weekday as usize % 7], MONTHS[(civil.month as usize + 11) % 12])
}

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Days from 1 March of year 0 to 1 January 1970.
const DAYS_TO_1970: i64 = 719_468;
/// 31 December 9999, 23:59:59.
const LAST_SECOND: i64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let zone = Zone::from_posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let all = |unix| {
            [
                http_time(unix),
                cookie_time(unix),
                utctime(unix),
                localtime(unix, &zone),
                today(unix, &zone),
                error_log_time(unix, &zone),
                log_time(unix, &zone),
                iso8601(unix, &zone),
                syslog_time(unix, &zone),
            ]
            .join("\n")
        };
        let check = |unix, expected: &str| {
            let expected: Vec<&str> = expected.lines().map(str::trim).collect();
            assert_eq!(all(unix), expected.join("\n"));
        };
        check(
            1_783_036_799,
            "Thu, 02 Jul 2026 23:59:59 GMT
             Thu, 02-Jul-26 23:59:59 GMT
             2026-07-02 23:59:59
             2026-07-03 01:59:59
             2026-07-03
             2026/07/03 01:59:59
             03/Jul/2026:01:59:59 +0200
             2026-07-03T01:59:59+02:00
             Jul  3 01:59:59",
        );
        assert_eq!(http_time(-5), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_time(i64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(http_time(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(cookie_time(2_547_417_600), "Thu, 22-Sep-2050 00:00:00 GMT");
        assert_eq!(log_time(0, &Zone::from_posix("X3:30").unwrap()), "01/Jan/1970:00:00:00 -0330");
    }

    #[test]
    fn days_and_dates_agree() {
        for day in (-2_932_896..2_932_896).step_by(97) {
            let c = Civil::at(day * 86400);
            assert_eq!(days_from_civil(c.year, c.month.into(), c.day.into()), day);
        }
    }
}
