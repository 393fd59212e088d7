//! package and require (Lua 5.1 manual 5.3): Lua files and preloaded modules; C libraries are not for us.
use std::os::unix::ffi::OsStrExt;

use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Sequence, Table, Value, row};

static GLOBALS: &[Row] = &[
    row("require", require, "require(name) -> the module, loaded on first use"),
    row("module", module, "module(name, ...): the current function's environment becomes a module's table"),
];
static NATIVES: &[Row] = &[
    row("searchpath", searchpath, "searchpath(name, path [, sep [, rep]]) -> file, or nil and a message"),
    row("seeall", seeall, "seeall(module): the module sees the globals"),
    row("loadlib", loadlib, "loadlib(path, name) -> nil and a message: there are no C libraries here"),
];
static LOADERS: &[Row] = &[
    row("preload loader", preload_loader, "(name) -> what package.preload has"),
    row("path loader", path_loader, "(name) -> the chunk of the file that package.path leads to"),
    row("C loader", c_loader, "(name) -> where package.cpath leads: C libraries cannot be loaded"),
    row("C root loader", c_root_loader, "(name) -> the same for the part of the name before its first dot"),
];

/// `package.path` where nothing else is configured.
pub const DEFAULT_PATH: &str = "./?.lua;/usr/local/share/lua/5.1/?.lua;/usr/local/share/lua/5.1/?/init.lua;\
/usr/share/lua/5.1/?.lua;/usr/share/lua/5.1/?/init.lua";

/// `package.cpath` likewise: no library in it can be loaded, but programs look at it, and at what `require` says of it.
pub const DEFAULT_CPATH: &str = "./?.so;/usr/local/lib/lua/5.1/?.so;/usr/local/lib/lua/5.1/loadall.so";

/// Registers the library; the libraries registered before it are in `package.loaded`. Call it last.
pub fn open(cx: Cx<'_>) {
    cx.library("", GLOBALS);
    let package = cx.library("package", NATIVES);
    for (name, text) in [("path", DEFAULT_PATH), ("cpath", DEFAULT_CPATH), ("config", "/\n;\n?\n!\n-\n")] {
        cx.set_field(package, name, cx.str(text.as_bytes()));
    }
    let loaded = cx.library("package.loaded", &[]);
    let preload = cx.library("package.preload", &[]);
    let loaders = cx.table(LOADERS.len(), 0);
    for (i, loader) in LOADERS.iter().enumerate() {
        loaders.set_int(cx.mc, i + 1, Value::row(loader));
    }
    cx.set_field(package, "loaders", Value::table(loaders));
    // (its name since Lua 5.2)
    cx.set_field(package, "searchers", Value::table(loaders));
    for (name, v) in [("package.loaded", loaded), ("package.preload", preload), ("package", package)] {
        cx.set_field(cx.registry(), name, Value::table(v));
    }
    // (as scripts know the first two)
    let shown = crate::debug::registry(cx);
    cx.set_field(shown, "_LOADED", Value::table(loaded));
    cx.set_field(shown, "_PRELOAD", Value::table(preload));
    publish(cx);
}

/// Puts every global table (a library) into `package.loaded`: after more of them were registered.
pub fn publish(cx: Cx<'_>) {
    let Some(loaded) = cx.registry().field(b"package.loaded").as_table() else { return };
    let globals = cx.globals();
    let mut key = Value::NIL;
    while let Ok(Some((k, v))) = globals.next(key) {
        if v.as_table().is_some() && k.as_str().is_some() {
            // (a string key is never refused)
            let _ = loaded.set(cx.mc, k, v);
        }
        key = k;
    }
}

/// Makes a module that is loaded already.
pub fn provide<'gc>(cx: Cx<'gc>, name: &str, module: Value<'gc>) {
    if let Some(loaded) = cx.registry().field(b"package.loaded").as_table() {
        cx.set_field(loaded, name, module);
    }
}

/// Makes a module that `require` finds without a file (`package.preload`).
pub fn preload<'gc>(cx: Cx<'gc>, name: &str, module: Value<'gc>) {
    preload_with(cx, name, &[module]);
}

/// The same for `library.name`, a function that is a module: it is in its library from then on.
pub fn preload_field(cx: Cx<'_>, library: &str, row: &'static Row) {
    let into = cx.library(library, &[]);
    preload_with(cx, &format!("{library}.{}", row.name), &[Value::row(row), Value::table(into), cx.key(row.name)]);
}

fn preload_with<'gc>(cx: Cx<'gc>, name: &str, upvalues: &[Value<'gc>]) {
    if let Some(preload) = cx.registry().field(b"package.preload").as_table() {
        cx.set_field(preload, name, cx.native(&GIVE, upvalues));
    }
}

static GIVE: Row = row("?", give, "a loader: gives the module that it was made with");

fn give<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let module = call.upvalue(0);
    if let Some(library) = call.upvalue(1).as_table() {
        // (a string key is never refused)
        let _ = library.set(call.cx.mc, call.upvalue(2), module);
    }
    call.ret(module)
}

/// Sets `package.path` (or `cpath`); `;;` stands for what it was before.
pub fn set_path(cx: Cx<'_>, name: &str, path: &[u8]) {
    let package = cx.library("package", &[]);
    let before = cx.raw_tostring(package.field(name.as_bytes()));
    let before = String::from_utf8_lossy(&before);
    let text = String::from_utf8_lossy(path);
    let text = match text.find(";;") {
        Some(_) => text.replace(";;", &format!(";{before};")).trim_matches(';').replace(";;", ";"),
        None => text.into_owned(),
    };
    cx.set_field(package, name, cx.str(text.as_bytes()));
}

fn registered<'gc>(call: &Call<'_, 'gc>, name: &[u8]) -> Result<Table<'gc>, Value<'gc>> {
    call.cx.registry().field(name).as_table().ok_or_else(|| call.error("the package library is not open"))
}

/// Marks a module that is being loaded, to find loops. It stays where loading failed: the next `require` says so, as LuaJIT's does.
const LOADING: u32 = 0x6c6f_6164 & 0x7fff_ffff;

/// Asks the loaders one after the other, then runs the one that was found. Slots: 0 the name, 1 the loaders, 2 what the
/// loaders said so far.
struct Require {
    next: usize,
    running: bool,
    messages: Vec<u8>,
}

fn require<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let name = call.str(0)?;
    let loaded = registered(call, b"package.loaded")?;
    let found = loaded.borrow().get_str(name);
    if found.truthy() {
        if found.identical(Value::light(LOADING)) {
            let shown = String::from_utf8_lossy(name.bytes());
            return Err(call.error(format!("loop or previous error loading module '{shown}'")));
        }
        return call.ret(found);
    }
    let loaders = registered(call, b"package")?.field(b"loaders");
    if loaders.as_table().is_none() {
        return Err(call.error("'package.loaders' must be a table"));
    }
    call.set_len(2);
    call.set_arg(0, Value::str(name));
    call.set_arg(1, loaders);
    Box::new(Require { next: 1, running: false, messages: Vec::new() }).ask(call)
}

impl Require {
    fn ask<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let loader = call.arg(1).as_table().map_or(Value::NIL, |t| t.get_int(self.next));
        if loader.is_nil() {
            let mut text = b"module '".to_vec();
            text.extend_from_slice(call.bytes(0)?);
            text.extend_from_slice(b"' not found:");
            text.extend_from_slice(&self.messages);
            return Err(call.error(text));
        }
        self.next += 1;
        call.push(loader);
        call.push(call.arg(0));
        Ok(Outcome::Call(self))
    }
}

impl Sequence for Require {
    fn step<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let result = call.result(0);
        call.clear();
        let loaded = registered(call, b"package.loaded")?;
        let key = call.arg(0);
        if !self.running {
            if result.is_function() {
                self.running = true;
                let _ = loaded.set(call.cx.mc, key, Value::light(LOADING));
                call.push(result);
                call.push(call.arg(0));
                return Ok(Outcome::Call(self));
            }
            vm::native::write_text(result, &mut self.messages);
            return self.ask(call);
        }
        if !result.is_nil() {
            let _ = loaded.set(call.cx.mc, key, result);
        } else if loaded.get(key).identical(Value::light(LOADING)) {
            let _ = loaded.set(call.cx.mc, key, Value::TRUE);
        }
        call.ret(loaded.get(key))
    }
}

fn preload_loader<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let name = call.bytes(0)?;
    let Some(preload) = registered(call, b"package")?.field(b"preload").as_table() else {
        return Err(call.error("'package.preload' must be a table"));
    };
    let loader = preload.field(name);
    if loader.is_nil() {
        let text = [b"\n\tno field package.preload['".as_slice(), name, b"']"].concat();
        let text = call.string(text)?;
        return call.ret(text);
    }
    call.ret(loader)
}

fn path_loader<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let name = call.bytes(0)?;
    let path = registered(call, b"package")?.field(b"path");
    let Some(path) = call.cx.to_str(path) else {
        return Err(call.error("'package.path' must be a string"));
    };
    match search(call, name, Call::as_bytes(path), b".", b"/")? {
        Err(tried) => {
            let text = call.string(tried)?;
            call.ret(text)
        }
        Ok(file) => {
            let loaded = crate::base::load::read_source(call, Some(&file)).and_then(|(source, name)| {
                call.charge(source.len());
                call.reserve(source.len() * 4)?;
                call.cx.load(&source, &name, call.cx.globals())
            });
            match loaded {
                Ok(f) => call.ret(Value::closure(f)),
                Err(message) => {
                    let mut text = b"error loading module '".to_vec();
                    text.extend_from_slice(name);
                    text.extend_from_slice(b"' from file '");
                    text.extend_from_slice(&file);
                    text.extend_from_slice(b"':\n\t");
                    text.extend_from_slice(&call.cx.raw_tostring(message));
                    Err(call.error(text))
                }
            }
        }
    }
}

fn c_loader<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let name = call.bytes(0)?;
    find_library(call, name, name)
}

fn c_root_loader<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let name = call.bytes(0)?;
    match name.iter().position(|c| *c == b'.') {
        Some(dot) => find_library(call, name, &name[..dot]),
        None => Ok(Outcome::Return),
    }
}

fn find_library<'gc>(call: &mut Call<'_, 'gc>, name: &[u8], root: &[u8]) -> Reply<'gc> {
    let path = registered(call, b"package")?.field(b"cpath");
    let Some(path) = call.cx.to_str(path) else {
        return Err(call.error("'package.cpath' must be a string"));
    };
    match search(call, root, Call::as_bytes(path), b".", b"/")? {
        Err(tried) => {
            let text = call.string(tried)?;
            call.ret(text)
        }
        Ok(file) => {
            let text =
                [b"error loading module '", name, b"' from file '", &file, b"':\n\tC libraries cannot be loaded here"];
            Err(call.error(text.concat()))
        }
    }
}

/// The first readable file that a path's templates name; Ok(Err): what was tried.
fn search<'gc>(
    call: &mut Call<'_, 'gc>,
    name: &[u8],
    path: &[u8],
    sep: &[u8],
    rep: &[u8],
) -> Result<Result<Vec<u8>, Vec<u8>>, Value<'gc>> {
    let name = if sep.is_empty() { name.to_vec() } else { replace(call, name, sep, rep)? };
    let mut tried = Vec::new();
    for template in path.split(|c| *c == b';').filter(|t| !t.is_empty()) {
        let file = replace(call, template, b"?", &name)?;
        // (a call of the system's, and the place for what is said of it)
        call.charge(OPENING);
        call.reserve(file.len() + tried.len())?;
        if std::fs::File::open(std::ffi::OsStr::from_bytes(&file))
            .is_ok_and(|f| f.metadata().is_ok_and(|m| m.is_file()))
        {
            return Ok(Ok(file));
        }
        tried.extend_from_slice(b"\n\tno file '");
        tried.extend_from_slice(&file);
        tried.push(b'\'');
    }
    Ok(Err(tried))
}

/// Fuel for looking whether a file is there.
const OPENING: usize = 20;

fn replace<'gc>(call: &mut Call<'_, 'gc>, text: &[u8], what: &[u8], by: &[u8]) -> Result<Vec<u8>, Value<'gc>> {
    let places = memchr::memmem::find_iter(text, what).count();
    call.reserve(text.len().saturating_add(places.saturating_mul(by.len())))?;
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, what) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(by);
        rest = &rest[at + what.len()..];
    }
    out.extend_from_slice(rest);
    Ok(out)
}

fn searchpath<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (name, path) = (call.bytes(0)?, call.bytes(1)?);
    let sep = call.opt_bytes(2)?.unwrap_or(b".");
    let rep = call.opt_bytes(3)?.unwrap_or(b"/");
    match search(call, name, path, sep, rep)? {
        Ok(file) => {
            let v = call.string(file)?;
            call.ret(v)
        }
        Err(tried) => call.ret_nil_err(tried),
    }
}

fn loadlib<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    call.push(Value::NIL);
    let text = call.cx.str(b"dynamic libraries not enabled; no C in this Lua");
    call.push(text);
    let kind = call.cx.str(b"absent");
    call.push(kind);
    Ok(Outcome::Return)
}

fn seeall<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = call.table(0)?;
    let meta = match t.metatable() {
        Some(meta) => meta,
        None => {
            let meta = call.cx.table(0, 1);
            t.set_metatable(call.cx.mc, Some(meta));
            meta
        }
    };
    call.cx.set_field(meta, "__index", Value::table(call.cx.globals()));
    Ok(Outcome::Return)
}

/// `module(name, ...)`: the table is global under its dotted name, and the environment of the caller.
fn module<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let name = String::from_utf8_lossy(call.bytes(0)?).into_owned();
    let loaded = registered(call, b"package.loaded")?;
    let t = match loaded.field(name.as_bytes()).as_table() {
        Some(t) => t,
        None => {
            let mut at = call.cx.globals();
            for part in name.split('.') {
                at = match at.field(part.as_bytes()).kind() {
                    Kind::Nil => break,
                    Kind::Table(inner) => inner,
                    _ => return Err(call.error(format!("name conflict for module '{name}'"))),
                };
            }
            let t = call.cx.library(&name, &[]);
            call.cx.set_field(loaded, &name, Value::table(t));
            t
        }
    };
    if t.field(b"_NAME").is_nil() {
        let package = name.rfind('.').map_or("", |at| &name[..=at]);
        call.cx.set_field(t, "_M", Value::table(t));
        call.cx.set_field(t, "_NAME", call.cx.str(name.as_bytes()));
        call.cx.set_field(t, "_PACKAGE", call.cx.str(package.as_bytes()));
    }
    match call.caller() {
        Some(caller) => vm::value::function::ClosureObj::set_env(caller, call.cx.mc, t),
        None => return Err(call.error("'module' not called from a Lua function")),
    }
    // Options are functions to be called with the module, one after the other.
    struct Options {
        next: usize,
        module: usize,
    }
    impl Sequence for Options {
        fn step<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
            call.clear();
            if self.next >= self.module {
                return Ok(Outcome::Return);
            }
            self.next += 1;
            call.push(call.arg(self.next - 1));
            call.push(call.arg(self.module));
            Ok(Outcome::Call(self))
        }
    }
    let n = call.len();
    call.set_len(n + 1);
    call.set_arg(n, Value::table(t));
    Box::new(Options { next: 1, module: n }).step(call)
}
