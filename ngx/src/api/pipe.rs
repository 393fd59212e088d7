//! The module ngx.pipe: `spawn` and the methods of the processes it gives.
use std::rc::Rc;

use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Table, Value, What};

use super::{CORE, request, row_in};
use crate::cosocket::Pattern;
use crate::log::Level;
use crate::phase::{ANY, Phase};
use crate::pipe::{Broken, End, Output, Plan, Process, Refusal};

const LEGAL: u32 = ANY & !Phase::Init.bit() | CORE;

static MODULE: &[Row] =
    &[row_in("spawn", spawn, LEGAL, "pipe.spawn(command or list [, options]) -> a process, or nil and a message")];
static METHODS: &[Row] = &[
    row_in("pid", pid, ANY, "proc:pid() -> the process id"),
    row_in(
        "set_timeouts",
        set_timeouts,
        ANY,
        "proc:set_timeouts([write [, stdout [, stderr [, wait]]]]): milliseconds",
    ),
    row_in("write", write, ANY, "proc:write(text or list) -> how many bytes, or nil and a message"),
    row_in(
        "shutdown",
        shutdown,
        ANY,
        "proc:shutdown(\"stdin\", \"stdout\" or \"stderr\") -> true, or nil and a message",
    ),
    row_in(
        "wait",
        wait,
        ANY,
        "proc:wait() -> whether all is well, \"exit\" or \"signal\", which; or nil and a message",
    ),
    row_in("kill", kill, ANY, "proc:kill(signal) -> true, or nil and a message"),
    row_in(
        "stdout_read_all",
        |call| read(call, false, All),
        ANY,
        "proc:stdout_read_all() -> bytes, or nil, message, part",
    ),
    row_in(
        "stdout_read_line",
        |call| read(call, false, Line),
        ANY,
        "proc:stdout_read_line() -> line, or nil, message, part",
    ),
    row_in(
        "stdout_read_bytes",
        |call| read(call, false, Bytes),
        ANY,
        "proc:stdout_read_bytes(n) -> so many bytes, or nil ...",
    ),
    row_in(
        "stdout_read_any",
        |call| read(call, false, Any),
        ANY,
        "proc:stdout_read_any(max) -> what there is, or nil ...",
    ),
    row_in(
        "stderr_read_all",
        |call| read(call, true, All),
        ANY,
        "proc:stderr_read_all() -> bytes, or nil, message, part",
    ),
    row_in(
        "stderr_read_line",
        |call| read(call, true, Line),
        ANY,
        "proc:stderr_read_line() -> line, or nil, message, part",
    ),
    row_in(
        "stderr_read_bytes",
        |call| read(call, true, Bytes),
        ANY,
        "proc:stderr_read_bytes(n) -> so many bytes, or nil ...",
    ),
    row_in(
        "stderr_read_any",
        |call| read(call, true, Any),
        ANY,
        "proc:stderr_read_any(max) -> what there is, or nil ...",
    ),
];

enum Wanted {
    All,
    Line,
    Bytes,
    Any,
}
use Wanted::{All, Any, Bytes, Line};

/// Milliseconds that reads, writes and waits take by default.
const TIMEOUT: f64 = 10_000.0;
const MAX_TIMEOUT: f64 = 4_294_967_295.0;

pub fn module<'gc>(cx: Cx<'gc>) -> Value<'gc> {
    let meta = cx.table(0, 1);
    cx.set_field(meta, "__index", Value::table(super::ngx_table::meta(cx, METHODS)));
    cx.set_field(cx.registry(), "process", Value::table(meta));
    Value::table(super::ngx_table::meta(cx, MODULE))
}

fn process<'gc>(call: &Call<'_, 'gc>) -> Result<Rc<Process>, Value<'gc>> {
    let found = call.arg(0).as_userdata().and_then(|u| u.downcast::<Process>());
    found.ok_or_else(|| call.error("not a process instance"))
}

fn spawn<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let mut plan =
        Plan { program: b"/bin/sh".to_vec(), args: Vec::new(), environ: None, merge_stderr: false, buffer_size: 4096 };
    match call.arg(0).kind() {
        Kind::Str(command) => plan.args = vec![b"-c".to_vec(), command.bytes().to_vec()],
        Kind::Table(list) => {
            let mut words = items(call, list).into_iter().map(|v| call.cx.raw_tostring(v));
            let Some(program) = words.next() else {
                return Err(call.error("bad args arg: non-empty table expected"));
            };
            plan.program = program;
            plan.args = words.collect();
        }
        _ => {
            let got = call.arg(0).type_name();
            return Err(call.error(format!("bad args arg: table expected, got {got}")));
        }
    }
    let options = call.arg(1).as_table();
    let mut timeouts = [Some(TIMEOUT); 4];
    if let Some(options) = options {
        timeouts = read_options(call, options, &mut plan)?;
    }
    let zero = |words: &Vec<u8>| words.contains(&0);
    if zero(&plan.program) || plan.args.iter().chain(plan.environ.iter().flatten()).any(zero) {
        return call.ret_nil_err("zero bytes cannot be passed");
    }
    let (process, failed) = match Process::spawn(&plan) {
        Ok(spawned) => spawned,
        Err(Refusal::NoPipe(error)) => return call.ret_nil_err(format!("pipe failed: {}", stdlib::io_error(&error))),
        Err(Refusal::NoProcess(error)) => {
            return call.ret_nil_err(format!("fork failed: {}", stdlib::io_error(&error)));
        }
    };
    if let Some(error) = failed {
        let program = String::from_utf8_lossy(&plan.program);
        let call_name = if plan.environ.is_some() { "execvpe" } else { "execvp" };
        let code = error.raw_os_error().unwrap_or(0);
        let words = format!(
            "lua pipe child {call_name}() failed while executing {program} ({code}: {})",
            stdlib::io_error(&error)
        );
        super::ngx_table::warn(request(call)?, Level::Error, words.as_bytes());
    }
    apply_timeouts(&process, timeouts);
    let meta = call.cx.registry().field(b"process").as_table();
    let object = Value::userdata(call.wrap(Rc::new(process), meta));
    call.ret(object)
}

/// The items 1, 2 .. of a list, up to the first nil.
fn items<'gc>(call: &mut Call<'_, 'gc>, list: Table<'gc>) -> Vec<Value<'gc>> {
    let found: Vec<_> = (1..).map(|i| list.get_int(i)).take_while(|v| !v.is_nil()).collect();
    call.charge(found.len());
    found
}

fn read_options<'gc>(
    call: &mut Call<'_, 'gc>,
    options: Table<'gc>,
    plan: &mut Plan,
) -> Result<[Option<f64>; 4], Value<'gc>> {
    plan.merge_stderr = options.field(b"merge_stderr").truthy();
    let size = options.field(b"buffer_size");
    if size.truthy() {
        let size = vm::native::to_number(size).filter(|n| *n >= 1.0);
        plan.buffer_size = size.ok_or_else(|| call.error("bad buffer_size option"))? as usize;
    }
    let environ = options.field(b"environ");
    match environ.kind() {
        Kind::Nil | Kind::Bool(false) => {}
        Kind::Table(list) => {
            let mut entries = Vec::new();
            for (i, v) in items(call, list).into_iter().enumerate() {
                let index = i + 1;
                let Some(entry) = v.as_str() else {
                    let got = v.type_name();
                    return Err(
                        call.error(format!("bad value at index {index} of environ option: string expected, got {got}"))
                    );
                };
                let entry = entry.bytes();
                if !entry.iter().skip(1).any(|c| *c == b'=') {
                    let shown = String::from_utf8_lossy(entry);
                    return Err(call.error(format!(
                        "bad value at index {index} of environ option: 'name=[value]' format expected, got '{shown}'"
                    )));
                }
                entries.push(entry.to_vec());
            }
            plan.environ = Some(entries).filter(|list| !list.is_empty());
        }
        _ => {
            let got = environ.type_name();
            return Err(call.error(format!("bad environ option: table expected, got {got}")));
        }
    }
    let names = ["write_timeout", "stdout_read_timeout", "stderr_read_timeout", "wait_timeout"];
    check_timeouts(call, names.map(|name| options.field(name.as_bytes())), Some(TIMEOUT))
}

/// The timeouts for writing, stdout, stderr and waiting.
fn check_timeouts<'gc>(
    call: &Call<'_, 'gc>,
    values: [Value<'gc>; 4],
    default: Option<f64>,
) -> Result<[Option<f64>; 4], Value<'gc>> {
    let names = ["write_timeout", "stdout_read_timeout", "stderr_read_timeout", "wait_timeout"];
    let mut out = [default; 4];
    for ((slot, v), name) in out.iter_mut().zip(values).zip(names) {
        if !v.truthy() {
            continue;
        }
        let ms = vm::native::to_number(v).filter(|ms| (0.0..=MAX_TIMEOUT).contains(ms));
        *slot = Some(ms.ok_or_else(|| call.error(format!("bad {name} option")))?);
    }
    Ok(out)
}

fn apply_timeouts(process: &Process, timeouts: [Option<f64>; 4]) {
    let [write, stdout, stderr, wait] = timeouts.map(|ms| ms.map(|ms| ms as u64));
    write.inspect(|ms| process.stdin.set_timeout(*ms));
    stdout.inspect(|ms| process.stdout.set_timeout(*ms));
    if let (Some(ms), Some(pipe)) = (stderr, &process.stderr) {
        pipe.set_timeout(ms);
    }
    wait.inspect(|ms| process.wait_timeout.set(*ms));
}

fn pid<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let pid = process(call)?.pid;
    call.ret(pid.map_or(Value::num(-1.0), |pid| Value::num(f64::from(pid))))
}

fn set_timeouts<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let process = process(call)?;
    let values = [call.arg(1), call.arg(2), call.arg(3), call.arg(4)];
    apply_timeouts(&process, check_timeouts(call, values, None)?);
    Ok(Outcome::Return)
}

fn write<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let process = process(call)?;
    let mut bytes = Vec::new();
    match call.arg(1).kind() {
        Kind::Table(list) => {
            for v in items(call, list) {
                if !vm::native::write_text(v, &mut bytes) {
                    return Err(call.error(format!("invalid value ({}) in table for 'concat'", v.type_name())));
                }
            }
        }
        _ if vm::native::write_text(call.arg(1), &mut bytes) => {}
        _ => {
            let got = call.arg(1).type_name();
            return Err(call.error(format!("bad data arg: string, number, or table expected, got {got}")));
        }
    }
    call.charge(bytes.len() / 32);
    if process.is_closed() || !process.stdin.is_open() {
        return call.ret_nil_err("closed");
    }
    if !process.stdin.begin() {
        return call.ret_nil_err("pipe busy writing");
    }
    let using = Using { process, end: |process| process.stdin.end() };
    let job = async move { using.process.stdin.write(&bytes).await.map(|()| bytes.len()) };
    Outcome::park(What::Write, job, |call, written| match written {
        Ok(n) => call.ret(Value::num(n as f64)),
        Err(broken) => call.ret_nil_err(broken.words()),
    })
}

/// Gives the place for a reader or writer back, even if the wait is dropped.
struct Using {
    process: Rc<Process>,
    end: fn(&Process),
}

impl Drop for Using {
    fn drop(&mut self) {
        (self.end)(&self.process);
    }
}

fn read<'gc>(call: &mut Call<'_, 'gc>, stderr: bool, wanted: Wanted) -> Reply<'gc> {
    let process = process(call)?;
    let pattern = match wanted {
        All => Pattern::All,
        Line => Pattern::Line,
        Bytes => match call.number(1)? {
            n if n < 0.0 => return Err(call.error("bad len argument")),
            n if n < 1.0 => {
                let empty = call.cx.str(b"");
                return call.ret(empty);
            }
            n => Pattern::Count(n as usize),
        },
        Any => match vm::native::to_number(call.arg(1)) {
            Some(max) if max > 0.0 => Pattern::Any((max as usize).max(1)),
            _ => return Err(call.error("bad max argument")),
        },
    };
    if process.is_closed() {
        return call.ret_nil_err("closed");
    }
    let Some(pipe) = output(&process, stderr) else { return call.ret_nil_err("merged to stdout") };
    if !pipe.is_open() {
        return call.ret_nil_err("closed");
    }
    if !pipe.begin() {
        return call.ret_nil_err("pipe busy reading");
    }
    let end: fn(&Process) = if stderr { |p| p.stderr.iter().for_each(Output::end) } else { |p| p.stdout.end() };
    let using = Using { process, end };
    let job = async move {
        match output(&using.process, stderr) {
            Some(pipe) => pipe.read(&pattern).await,
            None => Err((Broken::Closed, Vec::new())),
        }
    };
    Outcome::park(What::Read, job, |call, read| match read {
        Ok(bytes) => {
            call.reserve(bytes.len())?;
            let v = call.string(bytes)?;
            call.ret(v)
        }
        Err((broken, part)) => {
            call.push(Value::NIL);
            let words = call.cx.str(broken.words().as_bytes());
            call.push(words);
            let part = call.string(part)?;
            call.ret(part)
        }
    })
}

fn output(process: &Process, stderr: bool) -> Option<&Output> {
    if stderr { process.stderr.as_ref() } else { Some(&process.stdout) }
}

fn shutdown<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let process = process(call)?;
    let direction = call.bytes(1)?;
    if !matches!(direction, b"stdin" | b"stdout" | b"stderr") {
        return Err(call.error([b"bad shutdown arg: ", direction].concat()));
    }
    if process.is_closed() {
        return call.ret_nil_err("closed");
    }
    let why = if process.has_ended() { Broken::Closed } else { Broken::Aborted };
    match (direction, &process.stderr) {
        (b"stdin", _) => process.stdin.shutdown(why),
        (b"stdout", _) => process.stdout.shutdown(why),
        (_, Some(stderr)) => stderr.shutdown(why),
        (_, None) => return call.ret_nil_err("merged to stdout"),
    }
    call.ret(Value::TRUE)
}

fn wait<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let process = process(call)?;
    if process.is_closed() {
        return call.ret_nil_err("exited");
    }
    let Some(waiting) = process.begin_wait() else { return call.ret_nil_err("pipe busy waiting") };
    Outcome::park(What::Process, waiting.end(), |call, end| {
        let (ok, reason, status) = match end {
            None => return call.ret_nil_err("timeout"),
            Some(End::Exit(status)) => (status == 0, "exit", status),
            Some(End::Signal(signal)) => (false, "signal", signal),
        };
        call.push(Value::bool(ok));
        let reason = call.cx.key(reason);
        call.push(reason);
        call.ret(Value::num(f64::from(status)))
    })
}

fn kill<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    use rustix::process::{Pid, Signal, kill_process, test_kill_process};
    let process = process(call)?;
    let Some(signal) = call.arg(1).as_num() else {
        let got = String::from_utf8_lossy(&call.cx.raw_tostring(call.arg(1))).into_owned();
        return Err(call.error(format!("bad signal arg: number expected, got {got}")));
    };
    let pid = process.pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    let Some(pid) = pid.filter(|_| !process.has_ended()) else { return call.ret_nil_err("exited") };
    let sent = match signal as i32 {
        0 => test_kill_process(pid),
        signal => match Signal::from_named_raw(signal) {
            Some(signal) => kill_process(pid, signal),
            None => return call.ret_nil_err("invalid signal"),
        },
    };
    match sent {
        Ok(()) => call.ret(Value::TRUE),
        Err(rustix::io::Errno::SRCH) => call.ret_nil_err("exited"),
        Err(error) => call.ret_nil_err(stdlib::io_error(&error.into())),
    }
}
