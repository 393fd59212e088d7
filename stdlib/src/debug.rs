//! The debug library (Lua 5.1 manual 5.9), as far as it is safe.
use vm::events;
use vm::native::{FrameInfo, traceback_of};
use vm::value::Kind;
use vm::value::function::{ClosureObj, UserdataObj};
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Table, Thread, Value, row};

pub static NATIVES: &[Row] = &[
    row("debug", nothing, "debug(): no interactive mode"),
    row("getfenv", getfenv, "getfenv(o) -> the environment of a function"),
    row("gethook", gethook, "gethook() -> function, mask, count"),
    row("getinfo", getinfo, "getinfo([thread,] f [, what]) -> a table about a function or level"),
    row("getlocal", getlocal, "getlocal([thread,] level, n) -> name, value"),
    row("getmetatable", getmetatable, "getmetatable(v) -> its metatable, whatever __metatable says"),
    row("getregistry", getregistry, "getregistry() -> a table that belongs to nobody"),
    row("getupvalue", getupvalue, "getupvalue(f, n) -> name, value"),
    row("sethook", sethook, "sethook([thread,] function, mask [, count]): for all coroutines; no function: no hook"),
    row("setfenv", setfenv, "setfenv(f, env) -> f"),
    row("setlocal", setlocal, "setlocal([thread,] level, n, value) -> name"),
    row("setmetatable", setmetatable, "setmetatable(v, meta) -> v"),
    row("setupvalue", setupvalue, "setupvalue(f, n, value) -> name"),
    row("traceback", traceback, "traceback([thread,] [message [, level]]) -> message and the call stack"),
    row("upvalueid", upvalueid, "upvalueid(f, n) -> what tells upvalues apart"),
    row("upvaluejoin", upvaluejoin, "upvaluejoin(f, n, g, m): upvalue n of f is upvalue m of g from now on"),
    row("getuservalue", getuservalue, "getuservalue(u) -> its environment"),
    row("setuservalue", setuservalue, "setuservalue(u, table) -> u"),
];

pub fn open(cx: Cx<'_>) {
    cx.library("debug", NATIVES);
}

fn nothing<'gc>(_: &mut Call<'_, 'gc>) -> Reply<'gc> {
    Ok(Outcome::Return)
}

const LETTERS: [(u8, u8); 3] = [(b'c', events::CALL), (b'r', events::RETURN), (b'l', events::LINE)];

fn sethook<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let at = shift(call);
    let function = call.arg(at);
    if function.is_nil() {
        return call.set_hook(Value::NIL, 0, 0);
    }
    let mask = call.bytes(at + 1)?;
    let mut mask = LETTERS.iter().filter(|(c, _)| mask.contains(c)).fold(0, |mask, (_, event)| mask | event);
    call.callable(at)?;
    let every = call.opt_integer(at + 2, 0)?;
    if every > 0 {
        mask |= events::COUNT;
    }
    call.set_hook(function, mask, every)
}

fn gethook<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (function, mask, every) = call.cx.hook();
    let letters: Vec<u8> = LETTERS.iter().filter(|(_, event)| mask & event != 0).map(|(c, _)| *c).collect();
    let letters = call.cx.str(&letters);
    for v in [function, letters, Value::num(every as f64)] {
        call.push(v);
    }
    Ok(Outcome::Return)
}

/// A thread as first argument moves the others by one.
fn shift(call: &Call<'_, '_>) -> usize {
    usize::from(call.arg(0).as_thread().is_some())
}

fn traceback<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let at = shift(call);
    let message = call.arg(at);
    if !call.is_none(at) && call.cx.to_str(message).is_none() {
        return call.ret(message);
    }
    let mut text = Vec::new();
    if vm::native::write_text(message, &mut text) {
        // (a C string there)
        text.truncate(text.iter().position(|c| *c == 0).unwrap_or(text.len()));
        text.push(b'\n');
    }
    let lines = match call.arg(0).as_thread() {
        Some(t) if other_thread(call).is_some() => {
            call.charge(MOST_LEVELS / 32);
            traceback_of(t, call.opt_integer(2, 0)?.max(0) as usize)
        }
        _ => call.traceback(call.opt_integer(at + 1, 1)?.max(0) as usize),
    };
    text.extend_from_slice(&lines);
    let v = call.string(text)?;
    call.ret(v)
}

fn getinfo<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let at = shift(call);
    let what = call.opt_bytes(at + 1)?.unwrap_or(b"flnSu");
    if what.iter().any(|c| !b"SlnufLr".contains(c)) {
        return Err(call.arg_error(at + 1, "invalid option"));
    }
    let target = call.arg(at);
    let frame = match target.kind() {
        Kind::Closure(_) | Kind::Row(_) | Kind::Native(_) => {
            let closure = target.as_closure();
            FrameInfo { function: target, closure, line: -1, name: None, first: 0, base: 0, end: 0, pc: 0 }
        }
        _ => {
            let Some(level) = vm::native::to_number(target) else {
                return Err(call.arg_error(at, "function or level expected"));
            };
            let other = other_thread(call);
            match frame_at(call, other, level as i64) {
                Some(frame) => frame,
                None => return call.ret(Value::NIL),
            }
        }
    };
    describe(call, &frame, what)
}

fn describe<'gc>(call: &mut Call<'_, 'gc>, frame: &FrameInfo<'gc>, what: &[u8]) -> Reply<'gc> {
    let cx = call.cx;
    let t = cx.table(0, 12);
    let text = |name: &str, v: &[u8]| cx.set_field(t, name, cx.str(v));
    let number = |name: &str, n: f64| cx.set_field(t, name, Value::num(n));
    if what.contains(&b'S') {
        match frame.closure {
            Some(c) => {
                let info = c.proto.info();
                text("source", info.source);
                text("short_src", &vm::code::chunk_id(info.source));
                text("what", if info.line_defined == 0 { b"main" } else { b"Lua" });
                number("linedefined", f64::from(info.line_defined));
                number("lastlinedefined", f64::from(info.last_line));
            }
            None => {
                text("source", b"=[C]");
                text("short_src", b"[C]");
                text("what", b"C");
                number("linedefined", -1.0);
                number("lastlinedefined", -1.0);
            }
        }
    }
    if what.contains(&b'l') {
        number("currentline", frame.line as f64);
    }
    if what.contains(&b'u') {
        let (ups, params, vararg) = match frame.closure {
            Some(c) => (c.upvalues.len(), c.proto.params, c.proto.vararg),
            None => (0, 0, true),
        };
        number("nups", ups as f64);
        number("nparams", f64::from(params));
        cx.set_field(t, "isvararg", Value::bool(vararg));
    }
    if what.contains(&b'n') {
        match &frame.name {
            Some((kind, name)) => {
                text("name", name);
                text("namewhat", kind.word().as_bytes());
            }
            None => text("namewhat", b""),
        }
    }
    if what.contains(&b'f') {
        cx.set_field(t, "func", frame.closure.map_or(frame.function, Value::closure));
    }
    if what.contains(&b'L') {
        if let Some(c) = frame.closure {
            let lines = cx.table(0, 8);
            // (the return that ends every function is not active where another one stands before it)
            let (code, all) = (c.proto.code(), c.proto.code().len());
            let returns = c.proto.code().rev().take(2).all(|op| op.name().starts_with("Return"));
            let active = if returns { all.saturating_sub(1) } else { all };
            for (line, op) in c.proto.info().lines().zip(code.take(active)) {
                if !matches!(op, vm::code::Op::NewCell { .. }) {
                    lines.set_int(cx.mc, line as usize, Value::TRUE);
                }
            }
            cx.set_field(t, "activelines", Value::table(lines));
        }
    }
    call.ret(Value::table(t))
}

/// Another coroutine's frames are paid for as if there were this many at most.
const MOST_LEVELS: usize = 1 << 14;

/// The coroutine that argument 0 names, unless it is the running one.
fn other_thread<'gc>(call: &Call<'_, 'gc>) -> Option<Thread<'gc>> {
    call.arg(0).as_thread().filter(|t| !Thread::ptr_eq(*t, call.thread()))
}

fn frame_at<'gc>(call: &mut Call<'_, 'gc>, other: Option<Thread<'gc>>, level: i64) -> Option<FrameInfo<'gc>> {
    let level = usize::try_from(level).ok()?;
    match other {
        Some(t) => {
            call.charge(level.min(MOST_LEVELS) / 32);
            vm::native::level_of(t, level)
        }
        None => call.level(level),
    }
}

/// The n-th local that is alive at a frame's instruction, or the temporary after them, or (counting down from -1) an extra
/// argument: name and stack slot.
fn local_at(frame: &FrameInfo<'_>, n: i64) -> Option<(Vec<u8>, usize)> {
    let nth = usize::try_from(n.unsigned_abs()).ok()?.checked_sub(1)?;
    let mut named = 0;
    let mut free = frame.base;
    if let Some(c) = frame.closure {
        if n < 0 {
            let extra = frame.first + usize::from(c.proto.params);
            let slot = extra.checked_add(nth).filter(|slot| *slot < frame.base && c.proto.vararg)?;
            return Some((b"(*vararg)".to_vec(), slot));
        }
        for local in c.proto.info().locals().filter(|local| local.is_alive(frame.pc)) {
            if named == nth {
                return Some((local.name.to_vec(), frame.base + usize::from(local.reg)));
            }
            named += 1;
            free = frame.base + usize::from(local.reg) + 1;
        }
    }
    let slot = free.checked_add(nth - named).filter(|slot| n > 0 && *slot < frame.end)?;
    Some((b"(*temporary)".to_vec(), slot))
}

fn getlocal<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let at = shift(call);
    let n = call.integer(at + 1)?;
    if let Some(c) = call.arg(at).as_closure() {
        // Of a function that does not run: its parameters' names.
        let at = usize::try_from(n - 1).ok().filter(|i| *i < usize::from(c.proto.params));
        let name = at.and_then(|i| c.proto.info().locals().nth(i));
        let v = name.map_or(Value::NIL, |local| call.cx.str(local.name));
        return call.ret(v);
    }
    if call.arg(at).is_function() {
        return call.ret(Value::NIL);
    }
    let level = call.integer(at)?;
    let other = other_thread(call);
    let Some(frame) = frame_at(call, other, level) else {
        return Err(call.arg_error(at, "level out of range"));
    };
    match local_at(&frame, n) {
        Some((name, slot)) => {
            let name = call.cx.str(&name);
            let v = other.map_or_else(|| call.stack_slot(slot), |t| vm::native::slot_of(t, slot));
            call.push(name);
            call.push(v);
            Ok(Outcome::Return)
        }
        None => call.ret(Value::NIL),
    }
}

fn setlocal<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let at = shift(call);
    let level = call.integer(at)?;
    let other = other_thread(call);
    let Some(frame) = frame_at(call, other, level) else {
        return Err(call.arg_error(at, "level out of range"));
    };
    let v = call.any(at + 2)?;
    let n = call.integer(at + 1)?;
    match local_at(&frame, n) {
        Some((name, slot)) => {
            // A numeric loop's own registers are numbers that the machine relies on.
            let kept = matches!(&name[..], b"(for index)" | b"(for limit)" | b"(for step)") && !v.is_num();
            match other {
                _ if kept => {}
                Some(t) => vm::native::set_slot_of(call.cx, t, slot, v),
                None => call.set_stack_slot(slot, v),
            }
            let name = call.cx.str(&name);
            call.ret(name)
        }
        None => call.ret(Value::NIL),
    }
}

fn getupvalue<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let n = call.integer(1)?;
    call.callable(0)?;
    let Some(c) = call.arg(0).as_closure() else { return Ok(Outcome::Return) };
    let Some(at) = usize::try_from(n - 1).ok().filter(|i| *i < c.upvalues.len()) else { return Ok(Outcome::Return) };
    let name = call.cx.str(c.proto.info().capture_name(at).unwrap_or_default());
    call.push(name);
    call.push(c.upvalue(at).unwrap_or(Value::NIL));
    Ok(Outcome::Return)
}

fn setupvalue<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    call.any(2)?;
    let n = call.integer(1)?;
    call.callable(0)?;
    let Some(c) = call.arg(0).as_closure() else { return Ok(Outcome::Return) };
    let Some(at) = usize::try_from(n - 1).ok().filter(|i| *i < c.upvalues.len()) else { return Ok(Outcome::Return) };
    ClosureObj::set_upvalue(c, call.cx.mc, at, call.arg(2));
    let name = call.cx.str(c.proto.info().capture_name(at).unwrap_or_default());
    call.ret(name)
}

fn upvaluejoin<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let mut found = [None; 2];
    for (i, found) in found.iter_mut().enumerate() {
        let function = call.callable(2 * i)?;
        let Some(c) = function.as_closure() else { return Err(call.arg_error(2 * i, "Lua function expected")) };
        let n = call.integer(2 * i + 1)?;
        let Some(at) = usize::try_from(n - 1).ok().filter(|at| *at < c.upvalues.len()) else {
            return Err(call.arg_error(2 * i + 1, "index out of range"));
        };
        *found = Some((c, at));
    }
    if let [Some((f, n)), Some((g, m))] = found {
        ClosureObj::join_upvalues(f, n, g, m, call.cx.mc);
    }
    Ok(Outcome::Return)
}

fn upvalueid<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let n = call.integer(1)?;
    call.callable(0)?;
    let slot = call.arg(0).as_closure().and_then(|c| usize::try_from(n - 1).ok().and_then(|i| c.upvalue_address(i)));
    match slot {
        // (objects lie on multiples of eight)
        Some(address) => call.ret(Value::light((address >> 3) as u32)),
        None => Err(call.arg_error(1, "index out of range")),
    }
}

fn getmetatable<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let meta = call.cx.metatable(call.any(0)?).map_or(Value::NIL, Value::table);
    call.ret(meta)
}

fn setmetatable<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let meta = match call.arg(1).kind() {
        Kind::Nil if !call.is_none(1) => None,
        Kind::Table(t) => Some(t),
        _ => return Err(call.arg_error(1, "nil or table expected")),
    };
    call.cx.set_metatable(call.arg(0), meta);
    call.ret(call.arg(0))
}

fn getregistry<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = registry(call.cx);
    call.ret(Value::table(t))
}

/// What scripts take for the registry. (The real one is the natives' own.)
pub(crate) fn registry(cx: Cx<'_>) -> Table<'_> {
    let real = cx.registry();
    real.field(b"debug registry").as_table().unwrap_or_else(|| {
        let t = cx.table(0, 0);
        cx.set_field(real, "debug registry", Value::table(t));
        t
    })
}

/// Where `debug.setfenv` keeps the environments of built-in functions: they make no use of them. Its keys are weak.
const NATIVE_ENVS: &[u8] = b"native environments";

/// The environment of a built-in function.
fn native_env<'gc>(cx: Cx<'gc>, f: Value<'gc>) -> Table<'gc> {
    let known = cx.registry().field(NATIVE_ENVS).as_table().and_then(|envs| envs.get(f).as_table());
    known.unwrap_or(cx.globals())
}

fn set_native_env<'gc>(cx: Cx<'gc>, f: Value<'gc>, env: Table<'gc>) {
    let envs = cx.registry().field(NATIVE_ENVS).as_table().unwrap_or_else(|| {
        let (envs, meta) = (cx.table(0, 1), cx.table(0, 1));
        cx.set_field(meta, "__mode", cx.str(b"k"));
        cx.set_metatable(Value::table(envs), Some(meta));
        let _ = cx.registry().set(cx.mc, cx.str(NATIVE_ENVS), Value::table(envs));
        envs
    });
    // (only nil and NaN cannot be keys)
    let _ = envs.set(cx.mc, f, Value::table(env));
}

fn getfenv<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let env = match call.any(0)?.kind() {
        Kind::Closure(c) => c.env.get(),
        Kind::Thread(t) => call.cx.thread_env(t),
        Kind::Userdata(u) => u.env.get().unwrap_or(call.cx.globals()),
        Kind::Row(_) | Kind::Native(_) => native_env(call.cx, call.arg(0)),
        _ => return call.ret(Value::NIL),
    };
    call.ret(Value::table(env))
}

fn setfenv<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let env = call.table(1)?;
    match call.arg(0).kind() {
        Kind::Closure(c) => ClosureObj::set_env(c, call.cx.mc, env),
        Kind::Thread(t) => call.cx.set_thread_env(t, env),
        Kind::Userdata(u) => UserdataObj::set_env(u, call.cx.mc, env),
        Kind::Row(_) | Kind::Native(_) => set_native_env(call.cx, call.arg(0), env),
        _ => return Err(call.error("'setfenv' cannot change environment of given object")),
    }
    call.ret(call.arg(0))
}

fn getuservalue<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    match call.arg(0).as_userdata() {
        Some(u) => call.ret(Value::table(u.env.get().unwrap_or(call.cx.globals()))),
        None => call.ret(Value::NIL),
    }
}

fn setuservalue<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let Some(u) = call.arg(0).as_userdata() else { return Err(call.type_error(0, "userdata")) };
    let env = call.table(1)?;
    UserdataObj::set_env(u, call.cx.mc, env);
    call.ret(call.arg(0))
}
