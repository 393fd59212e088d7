//! ngx.sleep and the clock.
use std::rc::Rc;
use std::time::Duration;

use vm::{Call, Outcome, Reply, Row, Value, What};

use super::{row_in, worker};
use crate::clock;
use crate::log::{Level, Log};
use crate::now::{self, unix_ms};
use crate::phase::{ANY, WAITING};
use crate::request::Request;

pub static NATIVES: &[Row] = &[
    row_in("sleep", sleep, WAITING, "ngx.sleep(seconds): waits without blocking"),
    row_in("now", now, ANY, "ngx.now() -> seconds since the epoch, with milliseconds"),
    row_in("time", time, ANY, "ngx.time() -> seconds since the epoch"),
    row_in(
        "update_time",
        update_time,
        ANY,
        "ngx.update_time(): the time that ngx.now and the others give is read anew",
    ),
    row_in("today", today, ANY, "ngx.today() -> yyyy-mm-dd, local time"),
    row_in("localtime", localtime, ANY, "ngx.localtime() -> yyyy-mm-dd hh:mm:ss, local time"),
    row_in("utctime", utctime, ANY, "ngx.utctime() -> yyyy-mm-dd hh:mm:ss, UTC"),
    row_in("cookie_time", cookie_time, ANY, "ngx.cookie_time(sec) -> as an Expires attribute"),
    row_in("http_time", http_time, ANY, "ngx.http_time(sec) -> as a header value"),
    row_in("parse_http_time", parse_http_time, ANY, "ngx.parse_http_time(str) -> seconds or nil"),
];

/// Waits until `ngx.now` shows that the time has passed: as nginx, which counts from the millisecond it is in.
pub(crate) async fn pause(delay: Duration) {
    if delay.is_zero() {
        return tokio::task::yield_now().await;
    }
    // (the two clocks are not read at the same time)
    const APART: Duration = Duration::from_micros(50);
    crate::alarm::Alarm::after(now::tick().into(), delay.saturating_add(APART)).await;
}

/// Seconds from Lua as a duration; None: negative or not a number. The longest wait is some 292 years.
pub(crate) fn seconds(n: f64) -> Option<Duration> {
    if n >= 0.0 { Some(Duration::from_millis((n * 1000.0).round().min(9.2e15) as u64)) } else { None }
}

/// Says in the debug log that a sleep was broken off.
struct BrokenOff(Option<Rc<dyn Log>>);

impl BrokenOff {
    fn new(request: &Request) -> BrokenOff {
        BrokenOff(request.log.enabled(Level::Debug).then(|| request.log.clone()))
    }
    fn over(mut self) {
        self.0 = None;
    }
}

impl Drop for BrokenOff {
    fn drop(&mut self) {
        if let Some(log) = &self.0 {
            log.write(Level::Debug, b"lua clean up the timer for pending ngx.sleep", None);
        }
    }
}

fn sleep<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() != 1 {
        return Err(call.error(format!("attempt to pass {} arguments, but accepted 1", call.len())));
    }
    let n = call.number(0)?;
    let Some(delay) = seconds(n) else {
        return Err(call.error(format!("invalid sleep duration \"{}\"", n * 1000.0)));
    };
    super::log::debug(call, |_| format!("lua ready to sleep for {} ms", delay.as_millis()));
    let broken_off = BrokenOff::new(super::request(call)?);
    let job = async move {
        pause(delay).await;
        broken_off.over();
    };
    Outcome::park(What::Sleep, job, |call, ()| {
        super::log::debug(call, |request| format!("lua sleep timer expired: \"{}\"", super::log::shown_uri(request)));
        Ok(Outcome::Return)
    })
}

fn now<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    call.ret(Value::num(unix_ms() as f64 / 1000.0))
}

fn unix() -> i64 {
    (unix_ms() / 1000) as i64
}

fn time<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    call.ret(Value::num(unix() as f64))
}

fn update_time<'gc>(_: &mut Call<'_, 'gc>) -> Reply<'gc> {
    now::update();
    Ok(Outcome::Return)
}

fn text<'gc>(call: &mut Call<'_, 'gc>, text: String) -> Reply<'gc> {
    let v = call.cx.str(text.as_bytes());
    call.ret(v)
}

/// The worker's time zone: read once.
fn local<'gc>(call: &mut Call<'_, 'gc>, show: fn(i64, &clock::Zone) -> String) -> Reply<'gc> {
    let shown = show(unix(), &worker(call)?.zone);
    text(call, shown)
}

fn today<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    local(call, clock::today)
}

fn localtime<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    local(call, clock::localtime)
}

fn utctime<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    text(call, clock::utctime(unix()))
}

fn cookie_time<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let Some(t) = call.arg(0).as_num() else { return Err(call.error("number argument only")) };
    text(call, clock::cookie_time(t as i64))
}

fn http_time<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let Some(t) = call.arg(0).as_num() else { return Err(call.error("number argument only")) };
    text(call, clock::http_time(t as i64))
}

fn parse_http_time<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let Some(words) = call.arg(0).as_str() else { return Err(call.error("string argument only")) };
    let parsed = clock::parse_http_time(words.bytes());
    call.ret(parsed.map_or(Value::NIL, |t| Value::num(t as f64)))
}
