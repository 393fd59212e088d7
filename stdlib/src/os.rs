//! The os library (Lua 5.1 manual 5.8).
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use vm::value::number::{cut_to_int, cut_to_wide};
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Table, Value, row};

use crate::clock::{self, Civil};
use crate::io_error;

pub static NATIVES: &[Row] = &[
    row("clock", clock, "clock() -> seconds of CPU time"),
    row("difftime", difftime, "difftime(a, b) -> a - b"),
    row("execute", execute, "execute([command]) -> true, how it ended and its code"),
    row("exit", exit, "exit([code]): ends the process"),
    row("getenv", getenv, "getenv(name) -> value or nil"),
    row("remove", remove, "remove(file) -> true, or nil, message and code"),
    row("rename", rename, "rename(old, new) -> true, or nil, message and code"),
    row("setlocale", setlocale, "setlocale([locale]) -> C: there is no other"),
    row("tmpname", tmpname, "tmpname() -> a fresh file's name"),
    row("time", time, "time([table]) -> seconds since the epoch"),
    row("date", date, "date([format [, time]]) -> text or table"),
];

pub fn open(cx: Cx<'_>) {
    cx.library("os", NATIVES);
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// nil, `file: message`, code.
pub(crate) fn failed<'gc>(call: &mut Call<'_, 'gc>, file: Option<&[u8]>, e: &std::io::Error) -> Reply<'gc> {
    let mut text = Vec::new();
    if let Some(file) = file {
        text.extend_from_slice(file);
        text.extend_from_slice(b": ");
    }
    text.extend_from_slice(io_error(e).as_bytes());
    call.push(Value::NIL);
    let text = call.cx.str(&text);
    call.push(text);
    call.push(Value::num(f64::from(e.raw_os_error().unwrap_or(0))));
    Ok(Outcome::Return)
}

fn clock<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    call.ret(Value::num(t.tv_sec as f64 + t.tv_nsec as f64 / 1e9))
}

fn difftime<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    // (whole seconds, as a C time_t)
    let from = cut_to_wide(call.opt_number(1, 0.0)?);
    let to = cut_to_wide(call.number(0)?);
    call.ret(Value::num(to as f64 - from as f64))
}

fn execute<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let Some(command) = call.opt_bytes(0)? else { return call.ret(Value::TRUE) };
    let command = std::ffi::OsStr::from_bytes(command);
    match std::process::Command::new("/bin/sh").arg("-c").arg(command).status() {
        Err(e) => failed(call, None, &e),
        Ok(status) => {
            let (how, code) = match status.code() {
                Some(code) => ("exit", code),
                None => ("signal", status.signal().unwrap_or(0)),
            };
            call.push(if status.success() { Value::TRUE } else { Value::NIL });
            let how = call.cx.str(how.as_bytes());
            call.push(how);
            call.push(Value::num(f64::from(code)));
            Ok(Outcome::Return)
        }
    }
}

fn exit<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let code = match call.arg(0).kind() {
        vm::Kind::Bool(false) => 1,
        vm::Kind::Bool(true) => 0,
        _ => call.opt_integer(0, 0)? as i32,
    };
    std::process::exit(code)
}

fn getenv<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let name = call.bytes(0)?;
    if name.is_empty() || name.contains(&b'=') || name.contains(&0) {
        return call.ret(Value::NIL);
    }
    let v = std::env::var_os(std::ffi::OsStr::from_bytes(name)).map_or(Value::NIL, |v| call.cx.str(v.as_bytes()));
    call.ret(v)
}

fn remove<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let name = call.bytes(0)?;
    let file = path(name);
    let done = if file.is_dir() { std::fs::remove_dir(file) } else { std::fs::remove_file(file) };
    match done {
        Ok(()) => call.ret(Value::TRUE),
        Err(e) => failed(call, Some(name), &e),
    }
}

fn rename<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (from, to) = (call.bytes(0)?, call.bytes(1)?);
    match std::fs::rename(path(from), path(to)) {
        Ok(()) => call.ret(Value::TRUE),
        Err(e) => failed(call, Some(from), &e),
    }
}

fn setlocale<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    match call.opt_bytes(0)? {
        None | Some(b"" | b"C" | b"POSIX") => {
            let c = call.cx.str(b"C");
            call.ret(c)
        }
        Some(_) => call.ret(Value::NIL),
    }
}

fn tmpname<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    for attempt in 0..100u32 {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
        let name = format!("/tmp/lua_{:x}{nanos:x}{attempt:x}", std::process::id());
        if std::fs::File::create_new(&name).is_ok() {
            let v = call.cx.str(name.as_bytes());
            return call.ret(v);
        }
    }
    Err(call.error("unable to generate a unique filename"))
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64)
}

/// Offset of local time from UTC in seconds; the zone is read once a thread.
fn local_offset(unix: i64) -> i64 {
    thread_local! {
        static ZONE: clock::Zone = clock::Zone::local();
    }
    ZONE.with(|z| z.offset(unix))
}

/// Days since the epoch of a date; months beyond 1..12 carry into the years.
fn days(year: i64, month: i64, day: i64) -> i64 {
    clock::days_from_civil(year + (month - 1).div_euclid(12), (month - 1).rem_euclid(12) + 1, day)
}

/// Days since the year's first.
fn yearday(c: &Civil) -> u32 {
    (days(c.year, i64::from(c.month), i64::from(c.day)) - days(c.year, 1, 1)) as u32
}

fn time<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let Some(t) = call.opt_table(0)? else { return call.ret(Value::num(now() as f64)) };
    let field = |name: &str, default: Option<i64>| -> Result<i64, Value<'gc>> {
        match vm::native::to_number(t.field(name.as_bytes())) {
            // (a C int, cut as C cuts)
            Some(n) => Ok(i64::from(cut_to_int(n))),
            None => default.ok_or_else(|| call.error(format!("field '{name}' missing in date table"))),
        }
    };
    let clock = field("sec", Some(0))? + field("min", Some(0))? * 60 + field("hour", Some(12))? * 3600;
    let (day, month, year) = (field("day", None)?, field("month", None)?, field("year", None)?);
    let local = days(year, month, day) * 86_400 + clock;
    // The offset of the moment that is meant: asked twice, since it depends on the moment.
    let guess = local - local_offset(local);
    let unix = local - local_offset(guess);
    call.ret(Value::num(unix as f64))
}

fn date<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let format = call.opt_bytes(0)?.unwrap_or(b"%c");
    let unix = call.opt_number(1, now() as f64)? as i64;
    let (utc, format) = match format {
        [b'!', rest @ ..] => (true, rest),
        _ => (false, format),
    };
    let offset = if utc { 0 } else { local_offset(unix) };
    let c = Civil::from_unix(unix + offset);
    if let [b'*', b't', ..] = format {
        let t: Table<'gc> = call.cx.table(0, 9);
        for (name, n) in [
            ("sec", c.second),
            ("min", c.minute),
            ("hour", c.hour),
            ("day", c.day),
            ("month", c.month),
            ("year", c.year as u32),
            ("wday", c.weekday + 1),
            ("yday", yearday(&c) + 1),
        ] {
            call.cx.set_field(t, name, Value::num(f64::from(n)));
        }
        call.cx.set_field(t, "isdst", Value::FALSE);
        return call.ret(Value::table(t));
    }
    let mut out = String::new();
    strftime(&String::from_utf8_lossy(format), &c, unix, offset, &mut out);
    let v = call.string(out.into_bytes())?;
    call.ret(v)
}

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// C's strftime for a time in seconds since the epoch, in UTC or local time.
pub fn format_time(format: &str, unix: i64, utc: bool) -> String {
    let offset = if utc { 0 } else { local_offset(unix) };
    let mut out = String::new();
    strftime(format, &Civil::from_unix(unix + offset), unix, offset, &mut out);
    out
}

/// C's strftime in the C locale.
fn strftime(format: &str, c: &Civil, unix: i64, offset: i64, out: &mut String) {
    let day = DAYS[c.weekday as usize % 7];
    let month = MONTHS[(c.month as usize).wrapping_sub(1) % 12];
    let twelve = match c.hour % 12 {
        0 => 12,
        h => h,
    };
    let mut chars = format.chars();
    while let Some(ch) = chars.next() {
        if ch != '%' {
            out.push(ch);
            continue;
        }
        let Some(conversion) = chars.next() else { break };
        let text = match conversion {
            'a' => day[..3].to_string(),
            'A' => day.to_string(),
            'b' | 'h' => month[..3].to_string(),
            'B' => month.to_string(),
            'c' => {
                strftime("%a %b %e %H:%M:%S %Y", c, unix, offset, out);
                continue;
            }
            'C' => format!("{:02}", c.year / 100),
            'd' => format!("{:02}", c.day),
            'D' | 'x' => {
                strftime("%m/%d/%y", c, unix, offset, out);
                continue;
            }
            'e' => format!("{:2}", c.day),
            'F' => {
                strftime("%Y-%m-%d", c, unix, offset, out);
                continue;
            }
            'H' => format!("{:02}", c.hour),
            'I' => format!("{twelve:02}"),
            'j' => format!("{:03}", yearday(c) + 1),
            'm' => format!("{:02}", c.month),
            'M' => format!("{:02}", c.minute),
            'n' => "\n".into(),
            'p' => if c.hour < 12 { "AM" } else { "PM" }.into(),
            'r' => {
                strftime("%I:%M:%S %p", c, unix, offset, out);
                continue;
            }
            'R' => {
                strftime("%H:%M", c, unix, offset, out);
                continue;
            }
            's' => unix.to_string(),
            'S' => format!("{:02}", c.second),
            't' => "\t".into(),
            'T' | 'X' => {
                strftime("%H:%M:%S", c, unix, offset, out);
                continue;
            }
            'u' => if c.weekday == 0 { 7 } else { c.weekday }.to_string(),
            'U' => format!("{:02}", (yearday(c) + 7 - c.weekday) / 7),
            'w' => c.weekday.to_string(),
            'W' => format!("{:02}", (yearday(c) + 7 - (c.weekday + 6) % 7) / 7),
            'y' => format!("{:02}", c.year.rem_euclid(100)),
            'Y' => c.year.to_string(),
            'z' => {
                let minutes = offset.abs() / 60;
                format!("{}{:02}{:02}", if offset < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
            }
            'Z' => {
                if offset == 0 {
                    "UTC".into()
                } else {
                    String::new()
                }
            }
            '%' => "%".into(),
            other => format!("%{other}"),
        };
        out.push_str(&text);
    }
}
