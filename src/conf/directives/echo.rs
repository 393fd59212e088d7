//! The echo module's directives.

use super::super::build::{Builder, Directive};
use super::super::tree::Echo;
use super::arity::{ANY, NONE, ONE, TWO, TWO_MORE};
use super::context::{LOCATION, LOCATION_IF};
use super::{Row, row};

const AT: u32 = LOCATION | LOCATION_IF;

pub static ROWS: &[Row] = &[
    row("echo", AT, ANY, echo),
    // For the tests of what a bug of ours costs; not in release builds.
    #[cfg(debug_assertions)]
    row("echo_panic", AT, NONE, |b, _| push(b, Echo::Panic)),
    row("echo_flush", AT, NONE, |b, _| push(b, Echo::Flush)),
    row("echo_sleep", AT, ONE, |b, d| {
        let value = b.value(d.arg(0))?;
        push(b, Echo::Sleep(value))
    }),
    row("echo_blocking_sleep", AT, ONE, |b, d| {
        let value = b.value(d.arg(0))?;
        push(b, Echo::Sleep(value))
    }),
    row("echo_reset_timer", AT, NONE, |b, _| push(b, Echo::ResetTimer)),
    row("echo_read_request_body", AT, NONE, |b, _| push(b, Echo::ReadBody)),
    row("echo_request_body", AT, NONE, |b, _| push(b, Echo::RequestBody)),
    row("echo_duplicate", AT, TWO, |b, d| {
        let (times, text) = (b.value(d.arg(0))?, b.value(d.arg(1))?);
        push(b, Echo::Duplicate { times, text })
    }),
    row("echo_exec", AT, ONE | TWO, |b, d| {
        let uri = b.value(d.arg(0))?;
        let args = if d.args().len() > 1 { Some(b.value(d.arg(1))?) } else { None };
        push(b, Echo::Exec { uri, args })
    }),
    row("echo_location", AT, ONE | TWO, |b, d| location(b, d, true)),
    row("echo_location_async", AT, ONE | TWO, |b, d| location(b, d, false)),
    row("echo_subrequest", AT, TWO_MORE, |b, d| subrequest(b, d, true)),
    row("echo_subrequest_async", AT, TWO_MORE, |b, d| subrequest(b, d, false)),
    row("echo_status", AT, ONE, |b, d| {
        let status = d.text(0).parse().map_err(|_| d.says("invalid number"))?;
        push(b, Echo::Status(status))
    }),
];

fn push(b: &mut Builder, command: Echo) -> Result<(), String> {
    b.location().echo.push(command);
    Ok(())
}

/// What follows the asynchronous ones does not wait for them; all output stands in the commands' order.
fn location(b: &mut Builder, d: &Directive, wait: bool) -> Result<(), String> {
    let uri = b.value(d.arg(0))?;
    let args = if d.args().len() > 1 { Some(b.value(d.arg(1))?) } else { None };
    push(b, Echo::Subrequest { wait, method: None, uri, args, body: None, body_file: None })
}

fn subrequest(b: &mut Builder, d: &Directive, wait: bool) -> Result<(), String> {
    let (method, uri) = (Some(b.value(d.arg(0))?), b.value(d.arg(1))?);
    let (mut args, mut body, mut body_file) = (None, None, None);
    let mut words = d.args()[2..].iter();
    while let Some(option) = words.next() {
        let shown = String::from_utf8_lossy(option).into_owned();
        let slot = match option.as_slice() {
            b"-q" => &mut args,
            b"-b" => &mut body,
            b"-f" => &mut body_file,
            _ => return Err(format!("unknown option for {}: {shown}", d.name)),
        };
        let word = words.next().ok_or_else(|| format!("{}: option {shown} takes a value", d.name))?;
        *slot = Some(b.value(word)?);
    }
    push(b, Echo::Subrequest { wait, method, uri, args, body, body_file })
}

fn echo(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let mut newline = true;
    let mut words = d.args().to_vec();
    if words.first().is_some_and(|word| word == b"-n") {
        newline = false;
        words.remove(0);
    } else if words.first().is_some_and(|word| word == b"--") {
        words.remove(0);
    }
    let values = words.iter().map(|word| b.value(word)).collect::<Result<_, _>>()?;
    push(b, Echo::Say { values, newline })
}
