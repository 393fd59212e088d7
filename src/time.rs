//! Times as texts in nginx's formats, remembered per second and thread.

use std::cell::RefCell;
use std::sync::LazyLock;

use ngx::clock::{self, Zone};
pub use ngx::now::unix_ms as now_ms;

/// Local time, as the system has it.
pub static ZONE: LazyLock<Zone> = LazyLock::new(Zone::local);

/// `Sat, 21 Nov 2026 22:42:01 GMT`
pub fn http_date(unix: i64) -> String {
    clock::http_time(unix)
}

/// The date of an If-Modified-Since header, in its three historic forms.
pub fn parse_http_date(text: &[u8]) -> Option<i64> {
    clock::parse_http_time(text)
}

/// `2026/11/21 22:42:01`, local time: the error log's.
pub fn error_log_time(out: &mut Vec<u8>) {
    thread_local!(static LAST: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) });
    let unix = i64::try_from(now_ms() / 1000).unwrap_or(0);
    LAST.with_borrow_mut(|(second, text)| {
        if *second != unix {
            (*second, *text) = (unix, clock::error_log_time(unix, &ZONE));
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
    clock::log_time(unix, &ZONE)
}

/// `2026-11-21T22:42:01Z`
pub fn time_iso8601_utc(unix: i64) -> String {
    let (date, seconds) = (clock::http_time(unix), unix.rem_euclid(86_400));
    // Sat, 21 Nov 2026 22:42:01 GMT
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (day, month, year) =
        (date.get(5..7).unwrap_or("01"), date.get(8..11).unwrap_or("Jan"), date.get(12..16).unwrap_or("1970"));
    let month = months.iter().position(|name| *name == month).unwrap_or(0) + 1;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `$time_iso8601`: `2026-11-21T22:42:01+00:00`
pub fn time_iso8601(unix: i64) -> String {
    clock::iso8601(unix, &ZONE)
}
