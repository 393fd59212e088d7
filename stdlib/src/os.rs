//! The os library (Lua 5.1 manual 5.8).
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use vm::context::Meta;
use vm::value::number::{cut_to_int, cut_to_wide};
use vm::{Call, Cx, Outcome, Reply, Row, Sequence, Table, Value, row};

use crate::clock::{self, Civil, Moment};
use crate::io_error;

pub static NATIVES: &[Row] = &[
    row("clock", clock, "clock() -> seconds of CPU time"),
    row("difftime", difftime, "difftime(a, b) -> a - b"),
    row("execute", execute, "execute([command]) -> true, how it ended and its code"),
    row("exit", exit, "exit([code]): ends the process"),
    row("getenv", getenv, "getenv(name) -> value or nil"),
    row("remove", remove, "remove(file) -> true, or nil, message and code"),
    row("rename", rename, "rename(old, new) -> true, or nil, message and code"),
    row("setlocale", setlocale, "setlocale([locale [, category]]) -> C: there is no other"),
    row("tmpname", tmpname, "tmpname() -> a fresh file's name"),
    row("time", time, "time([table]) -> seconds since the epoch"),
    row("date", date, "date([format [, time]]) -> text or table"),
];

pub fn open(cx: Cx<'_>) {
    cx.library("os", NATIVES);
}

/// A name as C sees it: up to a zero byte.
pub(crate) fn path(bytes: &[u8]) -> &Path {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    Path::new(std::ffi::OsStr::from_bytes(&bytes[..end]))
}

/// nil, `file: message`, code.
pub(crate) fn failed<'gc>(call: &mut Call<'_, 'gc>, file: Option<&[u8]>, e: &std::io::Error) -> Reply<'gc> {
    let mut text = Vec::new();
    if let Some(file) = file {
        text.extend_from_slice(path(file).as_os_str().as_bytes());
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
    match std::process::Command::new("/bin/sh").arg("-c").arg(path(command)).status() {
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
    const CATEGORIES: [&[u8]; 6] = [b"all", b"collate", b"ctype", b"monetary", b"numeric", b"time"];
    let locale = call.opt_bytes(0)?;
    call.option(1, &CATEGORIES, b"all")?;
    match locale {
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

thread_local! {
    /// Read once a thread.
    static ZONE: clock::Zone = clock::Zone::local();
}

/// Offset of local time from UTC in seconds.
fn local_offset(unix: i64) -> i64 {
    ZONE.with(|z| z.offset(unix))
}

/// A time as strftime wants it, and whether it is summer time. None: C's year is an int, and too small for it.
fn with_moment<R>(unix: i64, utc: bool, then: impl FnOnce(&Moment<'_>, bool) -> R) -> Option<R> {
    ZONE.with(|zone| {
        let kind = zone.kind(unix);
        let (offset, name, summer) = if utc { (0, "GMT", false) } else { (kind.offset, &*kind.name, kind.summer) };
        let local = unix.checked_add(offset).filter(|t| t.unsigned_abs() < 1 << 56)?;
        let civil = Civil::at(local);
        i32::try_from(civil.year - 1900).ok()?;
        Some(then(&Moment { civil, unix, offset, zone: name }, summer))
    })
}

/// Days since the epoch of a date; months beyond 1..12 carry into the years.
fn days(year: i64, month: i64, day: i64) -> i64 {
    clock::days_from_civil(year + (month - 1).div_euclid(12), (month - 1).rem_euclid(12) + 1, day)
}

fn time<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.is_none_or_nil(0) {
        return call.ret(Value::num(now() as f64));
    }
    call.table(0)?;
    Box::new(Fields { read: [0; FIELDS.len()], next: 0 }).go(call)
}

/// The fields of a date in the order in which they are asked for, and what stands for one that is missing.
const FIELDS: [(&str, Option<i64>); 6] =
    [("sec", Some(0)), ("min", Some(0)), ("hour", Some(12)), ("day", None), ("month", None), ("year", None)];

/// os.time's table, field by field, since metamethods may answer; then `isdst`.
struct Fields {
    read: [i64; FIELDS.len()],
    next: usize,
}

impl Fields {
    fn go<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        loop {
            let name = FIELDS.get(self.next).map_or("isdst", |field| field.0);
            let mut holder = call.arg(0);
            let mut steps = 0..100;
            let found = loop {
                let v = call.raw_field(holder, name.as_bytes());
                let index = call.metamethod(holder, Meta::Index);
                if !v.is_nil() || index.is_nil() || steps.next().is_none() {
                    break v;
                }
                if index.is_function() {
                    let name = call.cx.str(name.as_bytes());
                    for v in [index, holder, name] {
                        call.push(v);
                    }
                    return Ok(Outcome::Call(self));
                }
                holder = index;
            };
            if self.next == FIELDS.len() {
                return self.done(call, found);
            }
            self.take(call, found)?;
        }
    }
    fn take<'gc>(&mut self, call: &Call<'_, 'gc>, v: Value<'gc>) -> Result<(), Value<'gc>> {
        let (name, default) = FIELDS[self.next];
        self.read[self.next] = match vm::native::to_number(v) {
            // (a C int, cut as C cuts)
            Some(n) => i64::from(cut_to_int(n)),
            None => default.ok_or_else(|| call.error(format!("field '{name}' missing in date table")))?,
        };
        self.next += 1;
        Ok(())
    }
    /// C's mktime: what is too large carries over; summer time is what `isdst` says, or else what the zone does.
    fn done<'gc>(&self, call: &mut Call<'_, 'gc>, summer: Value<'gc>) -> Reply<'gc> {
        let [sec, min, hour, day, month, year] = self.read;
        // (what C keeps is the year since 1900 and the month from 0, ints that wrap)
        let wrapped = |n: i64| i64::from(n as i32);
        let local =
            days(wrapped(year - 1900) + 1900, wrapped(month - 1) + 1, day) * 86_400 + hour * 3600 + min * 60 + sec;
        // The offset of the moment that is meant: asked twice, since it depends on the moment.
        let guess = local - local_offset(local);
        let mut unix = local - local_offset(guess);
        if !summer.is_nil() {
            let is = ZONE.with(|zone| zone.kind(unix).summer);
            unix += 3600 * (i64::from(is) - i64::from(summer.truthy()));
        }
        // (mktime's word for an error, which the last second of 1969 is taken for)
        let fits = i32::try_from(Civil::at(unix).year - 1900).is_ok();
        call.ret(if unix == -1 || !fits { Value::NIL } else { Value::num(unix as f64) })
    }
}

impl Sequence for Fields {
    fn step<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let v = call.result(0);
        call.clear();
        if self.next == FIELDS.len() {
            return self.done(call, v);
        }
        self.take(call, v)?;
        self.go(call)
    }
}

fn date<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let format = call.opt_bytes(0)?.unwrap_or(b"%c");
    // (a C string)
    let format = format.split(|c| *c == 0).next().unwrap_or_default();
    let unix = if call.is_none_or_nil(1) { now() } else { cut_to_wide(call.number(1)?) };
    let (utc, format) = match format {
        [b'!', rest @ ..] => (true, rest),
        _ => (false, format),
    };
    let cx = call.cx;
    if format == b"*t" {
        let made = with_moment(unix, utc, |at, summer| {
            let t: Table<'gc> = cx.table(0, 9);
            let c = &at.civil;
            for (name, n) in [
                ("sec", c.second),
                ("min", c.minute),
                ("hour", c.hour),
                ("day", c.day),
                ("month", c.month),
                ("wday", c.weekday + 1),
                ("yday", clock::yearday(c) + 1),
            ] {
                cx.set_field(t, name, Value::num(f64::from(n)));
            }
            cx.set_field(t, "year", Value::num(c.year as f64));
            cx.set_field(t, "isdst", Value::bool(summer));
            Value::table(t)
        });
        return call.ret(made.unwrap_or(Value::NIL));
    }
    // (a conversion of two bytes is 30 at most, one with a width up to a thousand)
    let has_width = |i: &usize| format.get(i + 1).is_some_and(|c| !c.is_ascii_alphabetic() && *c != b'%');
    let widths = memchr::memchr_iter(b'%', format).filter(has_width);
    let room = format.len() * 16 + widths.count() * 1000;
    call.charge(room / 32);
    call.reserve(room)?;
    let mut out = Vec::new();
    let known = with_moment(unix, utc, |at, _| clock::strftime(format, at, &mut out)).is_some();
    let v = if known { call.string(out)? } else { Value::NIL };
    call.ret(v)
}

/// C's strftime for a time in seconds since the epoch, in UTC or local time.
pub fn format_time(format: &str, unix: i64, utc: bool) -> String {
    let mut out = Vec::new();
    with_moment(unix, utc, |at, _| clock::strftime(format.as_bytes(), at, &mut out));
    String::from_utf8_lossy(&out).into_owned()
}
