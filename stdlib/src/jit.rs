//! The jit library, telling the truth: there is no compiler that scripts could see, so it is off and stays so.
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Value, row};

static NATIVES: &[Row] = &[
    row("attach", nothing, "attach(f [, event]): nothing is ever compiled, so f is never called"),
    row("flush", nothing, "flush([f | true [, what]]): there is nothing to flush"),
    row("off", nothing, "off([f | true [, what]]): it is off already"),
    row("on", nothing, "on([f | true [, what]]): has no effect"),
    row("security", security, "security(name) -> 0: no hardening option of LuaJIT applies"),
    row("status", status, "status() -> false: nothing is compiled"),
];
/// `jit.v` and `jit.dump` tell what is compiled: nothing is.
static REPORT: &[Row] = &[
    row("on", nothing, "on([opt [, outfile]]): there will be nothing to report"),
    row("off", nothing, "off(): nothing was reported"),
    row("start", nothing, "start([opt [, outfile]]): as on"),
];
static OPT: &[Row] = &[row("start", nothing, "start(...): optimisation options have no effect")];

/// Registers the library.
pub fn open(cx: Cx<'_>) {
    let jit = cx.library("jit", NATIVES);
    let arch = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    let os = match std::env::consts::OS {
        "linux" => "Linux",
        "macos" => "OSX",
        "windows" => "Windows",
        "freebsd" | "netbsd" | "openbsd" | "dragonfly" => "BSD",
        _ => "Other",
    };
    // (code looks for "LuaJIT 2.1" and for the number)
    let version = concat!("LuaJIT 2.1.0-perilune-", env!("CARGO_PKG_VERSION"));
    for (name, text) in [("arch", arch), ("os", os), ("version", version)] {
        cx.set_field(jit, name, cx.str(text.as_bytes()));
    }
    cx.set_field(jit, "version_num", Value::num(20100.0));
    cx.library("jit.opt", OPT);
}

/// `require "jit.opt"`: after the package library was opened.
pub fn preload(cx: Cx<'_>) {
    if let Some(jit) = cx.globals().field(b"jit").as_table() {
        crate::package::provide(cx, "jit.opt", jit.field(b"opt"));
    }
    for name in ["jit.v", "jit.dump"] {
        let module = cx.table(0, 4);
        cx.register(module, REPORT);
        crate::package::preload(cx, name, Value::table(module));
    }
}

fn nothing<'gc>(_: &mut Call<'_, 'gc>) -> Reply<'gc> {
    Ok(Outcome::Return)
}

fn security<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    call.bytes(0)?;
    call.ret(Value::num(0.0))
}

fn status<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    call.ret(Value::FALSE)
}
