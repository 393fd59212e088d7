//! Times as text: the formats of nginx's logs, headers and `ngx.*time` functions, and the local time zone.
//!
//! A time is unix seconds (`i64`, UTC). Text in local time needs a `Zone`, read once at start from `TZ` or
//! /etc/localtime; nothing here asks what time it is. In nginx's formats years run to 9999, and times before 1970
//! count as 1970, as in nginx; `strftime` knows neither limit, as C's.

mod format;
mod parse;
mod strftime;
mod zone;

pub(crate) use format::days_from_civil;
pub use format::{
    Civil, cookie_time, error_log_time, http_time, iso8601, localtime, log_time, syslog_time, today, utctime,
};
pub use parse::parse_http_time;
pub(crate) use strftime::{Moment, strftime, yearday};
pub use zone::Zone;
