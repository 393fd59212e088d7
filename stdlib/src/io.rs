//! The io library (Lua 5.1 manual 5.7): files and commands, with buffers of our own.
//!
//! Calls block the thread they run on, as in OpenResty. A file is a userdata; closing it twice is an error that is told.
use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;

use vm::value::Kind;
use vm::value::number::cut_to_int;
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Value, row};

use crate::os::{failed, path};

static NATIVES: &[Row] = &[
    row("close", close, "close([file]): closes a file, or the default output"),
    row("flush", flush, "flush(): writes out the default output's buffer"),
    row("input", input, "input([file or name]) -> the default input"),
    row("lines", lines, "lines([name, formats...]) -> an iterator over lines"),
    row("open", open_file, "open(name [, mode]) -> file, or nil, message and code"),
    row("output", output, "output([file or name]) -> the default output"),
    row("popen", popen, "popen(command [, mode]) -> a file that is a command's output or input"),
    row("read", read, "read(...) -> what the formats say, from the default input"),
    row("tmpfile", tmpfile, "tmpfile() -> a file that goes away by itself"),
    row("type", type_, "type(v) -> file, closed file or nil"),
    row("write", write, "write(...) -> the default output, or nil, message and code"),
];

static METHODS: &[Row] = &[
    row("close", file_close, "file:close()"),
    row("flush", file_flush, "file:flush()"),
    row("lines", file_lines, "file:lines(...) -> an iterator"),
    row("read", file_read, "file:read(...)"),
    row("seek", file_seek, "file:seek([whence [, offset]]) -> position"),
    row("setvbuf", file_setvbuf, "file:setvbuf(mode [, size])"),
    row("write", file_write, "file:write(...)"),
    row("__gc", file_gc, "what LuaJIT calls when a file is dead: closes it"),
    row("__tostring", file_tostring, "tostring(file)"),
];

static LINES: Row = row("lines iterator", lines_step, "() -> the next line, or what the formats say");

enum Stream {
    File(File),
    Stdin,
    Stdout,
    Stderr,
    Reader(Child, ChildStdout),
    Writer(Child, Option<ChildStdin>),
}

struct Open {
    stream: Stream,
    /// Read ahead and not asked for yet.
    ahead: Vec<u8>,
    at: usize,
    /// Written and not passed on yet.
    behind: Vec<u8>,
    /// Unbuffered writes; writes that are passed on up to the last line's end.
    eager: bool,
    lines: bool,
    readable: bool,
    writable: bool,
    /// Bytes read since they were last paid for.
    filled: usize,
}

struct LuaFile(RefCell<Option<Open>>);

const CHUNK: usize = 8192;
/// EINVAL.
const INVALID: i32 = 22;

impl Drop for Open {
    fn drop(&mut self) {
        // (a failure here has nobody to be told)
        let _ = self.flush();
    }
}

impl Open {
    fn new(stream: Stream) -> Open {
        let eager = matches!(stream, Stream::Stderr | Stream::Stdout);
        let readable = !matches!(stream, Stream::Stderr | Stream::Stdout | Stream::Writer(..));
        let writable = !matches!(stream, Stream::Stdin | Stream::Reader(..));
        Open {
            stream,
            ahead: Vec::new(),
            at: 0,
            behind: Vec::new(),
            eager,
            lines: false,
            readable,
            writable,
            filled: 0,
        }
    }
    /// Reads more; false: the end.
    fn fill(&mut self) -> std::io::Result<bool> {
        self.ahead.drain(..self.at);
        self.at = 0;
        let used = self.ahead.len();
        self.ahead.resize(used + CHUNK, 0);
        let room = &mut self.ahead[used..];
        let n = match &mut self.stream {
            Stream::File(f) => f.read(room),
            Stream::Stdin => std::io::stdin().read(room),
            Stream::Reader(_, out) => out.read(room),
            _ => Err(std::io::Error::from_raw_os_error(9)),
        };
        self.ahead.truncate(used + *n.as_ref().unwrap_or(&0));
        self.filled += *n.as_ref().unwrap_or(&0);
        n.map(|n| n > 0)
    }
    fn unread(&self) -> &[u8] {
        &self.ahead[self.at..]
    }
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if !self.writable {
            return Err(std::io::Error::from_raw_os_error(9));
        }
        if !self.unread().is_empty() {
            // Reading ahead moved the file's position: back to where Lua thinks it is.
            let back = self.unread().len() as i64;
            if let Stream::File(f) = &mut self.stream {
                f.seek(SeekFrom::Current(-back))?;
            }
            self.ahead.clear();
            self.at = 0;
        }
        self.behind.extend_from_slice(bytes);
        if self.eager || self.behind.len() >= CHUNK {
            return self.flush();
        }
        if self.lines
            && let Some(end) = bytes.iter().rposition(|c| *c == b'\n')
        {
            let rest = self.behind.split_off(self.behind.len() - (bytes.len() - end - 1));
            self.flush()?;
            self.behind = rest;
        }
        Ok(())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        let bytes = std::mem::take(&mut self.behind);
        if bytes.is_empty() {
            return Ok(());
        }
        match &mut self.stream {
            Stream::File(f) => f.write_all(&bytes),
            Stream::Stdout => std::io::stdout().write_all(&bytes).and_then(|()| std::io::stdout().flush()),
            Stream::Stderr => std::io::stderr().write_all(&bytes),
            Stream::Writer(_, Some(input)) => input.write_all(&bytes),
            _ => Err(std::io::Error::from_raw_os_error(9)),
        }
    }
    fn seek(&mut self, whence: &[u8], offset: i64) -> std::io::Result<u64> {
        self.flush()?;
        let ahead = self.unread().len() as i64;
        let Stream::File(f) = &mut self.stream else { return Err(std::io::Error::from_raw_os_error(29)) };
        let to = match whence {
            b"set" => SeekFrom::Start(u64::try_from(offset).map_err(|_| std::io::Error::from_raw_os_error(22))?),
            b"end" => SeekFrom::End(offset),
            _ => SeekFrom::Current(offset - ahead),
        };
        let at = f.seek(to)?;
        self.ahead.clear();
        self.at = 0;
        Ok(at)
    }

    fn line(&mut self, keep: bool, more: &mut More<'_>) -> std::io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(n) = memchr::memchr(b'\n', &self.unread()[searched..]) {
                let mut line = self.take(searched + n + 1);
                if !keep {
                    line.pop();
                }
                return Ok(Some(line));
            }
            searched = self.unread().len();
            if !(more(searched)? && self.fill()?) {
                return Ok(if searched == 0 { None } else { Some(self.take(searched)) });
            }
        }
    }
    fn take(&mut self, n: usize) -> Vec<u8> {
        let n = n.min(self.unread().len());
        let bytes = self.ahead[self.at..self.at + n].to_vec();
        self.at += n;
        bytes
    }
    fn all(&mut self, more: &mut More<'_>) -> std::io::Result<Vec<u8>> {
        while more(self.unread().len())? && self.fill()? {}
        let n = self.unread().len();
        Ok(self.take(n))
    }
    fn count(&mut self, n: usize, more: &mut More<'_>) -> std::io::Result<Option<Vec<u8>>> {
        while self.unread().len() < n.max(1) && more(self.unread().len())? && self.fill()? {}
        Ok(if self.unread().is_empty() { None } else { Some(self.take(n)) })
    }
    /// The next byte, not taken.
    fn peek(&mut self) -> std::io::Result<Option<u8>> {
        if self.unread().is_empty() && !self.fill()? {
            return Ok(None);
        }
        Ok(self.unread().first().copied())
    }
    /// A number as fscanf("%lf") finds it. What was read and turns out to be none is gone: just one byte can be given back.
    fn number(&mut self, more: &mut More<'_>) -> std::io::Result<Option<f64>> {
        while self.peek()?.is_some_and(|c| c.is_ascii_whitespace() || c == 0x0b) {
            self.at += 1;
        }
        let mut scan = Scan::default();
        while let Some(c) = self.peek()? {
            if !scan.takes(c) {
                break;
            }
            self.at += 1;
            scan.text.push(c);
            more(scan.text.len())?;
        }
        Ok(scan.value())
    }
}

/// Asked before more is read, with the size of what has been: an error is that there is no memory for it.
type More<'a> = dyn FnMut(usize) -> std::io::Result<bool> + 'a;

/// What fscanf has read of a number.
#[derive(Default)]
struct Scan {
    text: Vec<u8>,
    hex: bool,
    digits: bool,
    dot: bool,
    exponent: bool,
}

impl Scan {
    /// Can this byte come next?
    fn takes(&mut self, c: u8) -> bool {
        let sign = usize::from(matches!(self.text.first(), Some(b'+' | b'-')));
        let read = self.text.get(sign..).unwrap_or_default();
        let letter = if self.hex { b'p' } else { b'e' };
        match (read, c) {
            ([], b'+' | b'-') => sign == 0,
            ([], b'n' | b'N' | b'i' | b'I') => true,
            ([b'n' | b'N' | b'i' | b'I', ..], _) => {
                let word: &[u8] = if read[0].eq_ignore_ascii_case(&b'n') { b"nan" } else { b"infinity" };
                word.get(read.len()) == Some(&c.to_ascii_lowercase())
            }
            ([b'0'], b'x' | b'X') => {
                (self.hex, self.digits) = (true, false);
                true
            }
            ([.., e], b'+' | b'-') => self.exponent && e.eq_ignore_ascii_case(&letter),
            _ if c.is_ascii_digit() || self.hex && !self.exponent && c.is_ascii_hexdigit() => {
                self.digits = true;
                true
            }
            _ if self.digits && !self.exponent && c.eq_ignore_ascii_case(&letter) => {
                (self.exponent, self.dot) = (true, true);
                true
            }
            (_, b'.') if !self.dot => {
                self.dot = true;
                true
            }
            _ => false,
        }
    }
    /// strtod of what was read.
    fn value(&self) -> Option<f64> {
        let text = self.text.as_slice();
        let word = text.trim_ascii_start().strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
        if word.first().is_some_and(|c| c.is_ascii_alphabetic()) {
            let whole = [3, 8].contains(&word.len());
            return if whole { vm::value::number::parse_number(text) } else { None };
        }
        if !self.digits {
            return None;
        }
        // (an exponent without digits is not part of it)
        let parse = vm::value::number::parse_number;
        let cut = |n: usize| text.len().checked_sub(n).and_then(|n| parse(&text[..n]));
        parse(text).or_else(|| cut(1)).or_else(|| cut(2))
    }
}

pub fn open(cx: Cx<'_>) {
    let io = cx.library("io", NATIVES);
    let meta = cx.table(0, METHODS.len() + 1);
    cx.register(meta, METHODS);
    cx.set_field(meta, "__index", Value::table(meta));
    cx.set_field(cx.registry(), "FILE*", Value::table(meta));
    for (name, stream, default) in [
        ("stdin", Stream::Stdin, Some("io input")),
        ("stdout", Stream::Stdout, Some("io output")),
        ("stderr", Stream::Stderr, None),
    ] {
        let file = wrap(cx, Open::new(stream));
        cx.set_field(io, name, file);
        if let Some(default) = default {
            cx.set_field(cx.registry(), default, file);
        }
    }
}

fn wrap<'gc>(cx: Cx<'gc>, open: Open) -> Value<'gc> {
    let meta = cx.registry().field(b"FILE*").as_table();
    Value::userdata(cx.userdata(Rc::new(LuaFile(RefCell::new(Some(open)))), meta))
}

fn file<'gc>(call: &Call<'_, 'gc>, i: usize) -> Result<Rc<LuaFile>, Value<'gc>> {
    let found = call.arg(i).as_userdata().and_then(|u| u.downcast::<LuaFile>());
    let found = found.ok_or_else(|| call.type_error(i, "FILE*"))?;
    if found.0.borrow().is_none() {
        return Err(call.error("attempt to use a closed file"));
    }
    Ok(found)
}

fn default_file<'gc>(call: &Call<'_, 'gc>, name: &[u8]) -> Result<(Value<'gc>, Rc<LuaFile>), Value<'gc>> {
    let v = call.cx.registry().field(name);
    let file = v.as_userdata().and_then(|u| u.downcast::<LuaFile>());
    match file {
        Some(file) if file.0.borrow().is_some() => Ok((v, file)),
        _ => Err(call.error("standard file is closed")),
    }
}

fn open_named(name: &[u8], mode: &[u8]) -> std::io::Result<Open> {
    let plus = mode.contains(&b'+');
    let mut options = File::options();
    // (as fopen: what follows the first letter is not checked)
    match mode.first() {
        Some(b'w') => options.write(true).create(true).truncate(true).read(plus),
        Some(b'a') => options.append(true).create(true).read(plus),
        Some(b'r') => options.read(true).write(plus),
        _ => return Err(std::io::Error::from_raw_os_error(INVALID)),
    };
    let mut open = Open::new(Stream::File(options.open(path(name))?));
    open.readable = plus || !matches!(mode.first(), Some(b'w' | b'a'));
    open.writable = plus || matches!(mode.first(), Some(b'w' | b'a'));
    Ok(open)
}

fn open_file<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let name = call.bytes(0)?;
    let mode = call.opt_bytes(1)?.unwrap_or(b"r");
    match open_named(name, mode) {
        Ok(open) => {
            let v = wrap(call.cx, open);
            call.ret(v)
        }
        Err(e) => failed(call, Some(name), &e),
    }
}

fn tmpfile<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let path = std::env::temp_dir().join(format!("lua_{}_{nanos:x}", std::process::id()));
    let made = File::options().read(true).write(true).create_new(true).open(&path);
    match made {
        Ok(f) => {
            // Open files outlive their names.
            let _ = std::fs::remove_file(&path);
            let v = wrap(call.cx, Open::new(Stream::File(f)));
            call.ret(v)
        }
        Err(e) => failed(call, None, &e),
    }
}

fn popen<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let command = call.bytes(0)?;
    let mode = call.opt_bytes(1)?.unwrap_or(b"r");
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(path(command));
    let reading = match mode {
        b"r" => true,
        b"w" => false,
        _ => return failed(call, Some(command), &std::io::Error::from_raw_os_error(INVALID)),
    };
    if reading {
        shell.stdout(Stdio::piped())
    } else {
        shell.stdin(Stdio::piped())
    };
    match shell.spawn() {
        Err(e) => failed(call, Some(command), &e),
        Ok(mut child) => {
            let stream = match (child.stdout.take(), child.stdin.take()) {
                (Some(out), _) => Stream::Reader(child, out),
                (None, input) => Stream::Writer(child, input),
            };
            let v = wrap(call.cx, Open::new(stream));
            call.ret(v)
        }
    }
}

fn type_<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let v = call.any(0)?;
    let text = match v.as_userdata().and_then(|u| u.downcast::<LuaFile>()) {
        Some(f) if f.0.borrow().is_some() => call.cx.str(b"file"),
        Some(_) => call.cx.str(b"closed file"),
        None => Value::NIL,
    };
    call.ret(text)
}

fn close<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let file = if call.is_none(0) { default_file(call, b"io output")?.1 } else { file(call, 0)? };
    close_it(call, &file)
}

fn file_close<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let file = file(call, 0)?;
    close_it(call, &file)
}

fn close_it<'gc>(call: &mut Call<'_, 'gc>, file: &LuaFile) -> Reply<'gc> {
    let Some(mut open) = file.0.borrow_mut().take() else { return call.ret(Value::NIL) };
    let flushed = open.flush();
    if let Stream::Writer(_, input) = &mut open.stream {
        // The command sees the end of its input before it is waited for.
        *input = None;
    }
    if let Stream::Reader(child, _) | Stream::Writer(child, _) = &mut open.stream {
        use std::os::unix::process::ExitStatusExt;
        if let Ok(status) = child.wait() {
            let (how, code) = match status.code() {
                Some(code) => ("exit", code),
                None => ("signal", status.signal().unwrap_or(0)),
            };
            call.push(if status.success() { Value::TRUE } else { Value::NIL });
            let how = call.cx.str(how.as_bytes());
            call.push(how);
            call.push(Value::num(f64::from(code)));
            return Ok(Outcome::Return);
        }
    }
    match flushed {
        Ok(()) => call.ret(Value::TRUE),
        Err(e) => failed(call, None, &e),
    }
}

fn flush<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (_, file) = default_file(call, b"io output")?;
    flush_it(call, &file)
}

fn file_flush<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let file = file(call, 0)?;
    flush_it(call, &file)
}

fn flush_it<'gc>(call: &mut Call<'_, 'gc>, file: &LuaFile) -> Reply<'gc> {
    let done = file.0.borrow_mut().as_mut().map_or(Ok(()), Open::flush);
    match done {
        Ok(()) => call.ret(Value::TRUE),
        Err(e) => failed(call, None, &e),
    }
}

fn input<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    default(call, "io input", b"r")
}

fn output<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    default(call, "io output", b"w")
}

fn default<'gc>(call: &mut Call<'_, 'gc>, which: &str, mode: &[u8]) -> Reply<'gc> {
    let registry = call.cx.registry();
    if let Some(name) = call.cx.to_str(call.arg(0)) {
        match open_named(Call::as_bytes(name), mode) {
            Ok(open) => call.cx.set_field(registry, which, wrap(call.cx, open)),
            Err(e) => {
                let shown = String::from_utf8_lossy(Call::as_bytes(name)).into_owned();
                return Err(call.arg_error(0, &format!("{shown}: {}", crate::io_error(&e))));
            }
        }
    } else if !call.is_none_or_nil(0) {
        if call.arg(0).as_userdata().is_none() {
            return Err(call.type_error(0, "string"));
        }
        file(call, 0)?;
        call.cx.set_field(registry, which, call.arg(0));
    }
    let v = registry.field(which.as_bytes());
    call.ret(v)
}

fn read<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (_, file) = default_file(call, b"io input")?;
    let formats: Vec<_> = (0..call.len()).map(|i| call.arg(i)).collect();
    read_formats(call, &file, &formats, 0)
}

fn file_read<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let file = file(call, 0)?;
    let formats: Vec<_> = (1..call.len()).map(|i| call.arg(i)).collect();
    read_formats(call, &file, &formats, 1)
}

fn read_formats<'gc>(call: &mut Call<'_, 'gc>, file: &LuaFile, formats: &[Value<'gc>], first: usize) -> Reply<'gc> {
    let line = [call.cx.str(b"*l")];
    let formats = if formats.is_empty() { &line } else { formats };
    for (i, format) in formats.iter().enumerate() {
        let mut open = file.0.borrow_mut();
        let Some(open) = open.as_mut() else { return Err(call.error("attempt to use a closed file")) };
        let flushed = open.flush();
        let mut full = None;
        let mut more = |size: usize| {
            // (a buffer that grows has an old half and a new one)
            let room = if size == 0 { 0 } else { size.max(CHUNK) * 3 };
            match call.cx.check_memory(room) {
                Ok(()) => Ok(true),
                Err(error) => {
                    full = Some(error);
                    Err(std::io::Error::from(std::io::ErrorKind::OutOfMemory))
                }
            }
        };
        let result = match format.kind() {
            // (a size of 32 bits, and more than there is of anything)
            Kind::Num(n) => match call.cx.check_memory(cut_to_int(n) as u32 as usize) {
                Ok(()) => open.count(cut_to_int(n) as u32 as usize, &mut more),
                Err(error) => return Err(error),
            },
            Kind::Str(s) => match s.bytes().strip_prefix(b"*").unwrap_or(s.bytes()).first() {
                Some(b'l') => open.line(false, &mut more),
                Some(b'L') => open.line(true, &mut more),
                Some(b'a') => open.all(&mut more).map(Some),
                Some(b'n') => match open.number(&mut more) {
                    Ok(Some(n)) => {
                        call.charge(std::mem::take(&mut open.filled) / 16);
                        call.push(Value::num(n));
                        continue;
                    }
                    Ok(None) => Ok(None),
                    Err(e) => Err(e),
                },
                _ => return Err(call.arg_error(first + i, "invalid format")),
            },
            _ => return Err(call.arg_error(first + i, "invalid option")),
        };
        call.charge(std::mem::take(&mut open.filled) / 16);
        if let Some(error) = full {
            return Err(error);
        }
        match result.and_then(|r| flushed.map(|()| r)) {
            Ok(Some(bytes)) => {
                let v = call.string(bytes)?;
                call.push(v);
            }
            Ok(None) => {
                call.push(Value::NIL);
                break;
            }
            Err(e) => {
                call.clear();
                return failed(call, None, &e);
            }
        }
    }
    Ok(Outcome::Return)
}

fn write<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (v, file) = default_file(call, b"io output")?;
    write_args(call, &file, v, 0)
}

fn file_write<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let file = file(call, 0)?;
    write_args(call, &file, call.arg(0), 1)
}

fn write_args<'gc>(call: &mut Call<'_, 'gc>, file: &LuaFile, v: Value<'gc>, from: usize) -> Reply<'gc> {
    for i in from..call.len() {
        let held = crate::buffer::contents(call, i)?;
        let bytes = match &held {
            Some(held) => held.as_slice(),
            None => call.bytes(i)?,
        };
        call.charge(bytes.len() / 32);
        let done = file.0.borrow_mut().as_mut().map_or(Ok(()), |f| f.write(bytes));
        if let Err(e) = done {
            return failed(call, None, &e);
        }
    }
    call.ret(v)
}

fn lines<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.is_none_or_nil(0) {
        let (v, _) = default_file(call, b"io input")?;
        return iterator(call, v, false, 1);
    }
    let name = call.bytes(0)?;
    match open_named(name, b"r") {
        Ok(open) => {
            let v = wrap(call.cx, open);
            iterator(call, v, true, 1)
        }
        Err(e) => {
            let shown = String::from_utf8_lossy(name).into_owned();
            Err(call.arg_error(0, &format!("{shown}: {}", crate::io_error(&e))))
        }
    }
}

fn file_lines<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    file(call, 0)?;
    iterator(call, call.arg(0), false, 1)
}

/// The iterator closes the file at its end if it has opened it.
fn iterator<'gc>(call: &mut Call<'_, 'gc>, file: Value<'gc>, closes: bool, formats: usize) -> Reply<'gc> {
    let mut upvalues = vec![file, Value::bool(closes)];
    upvalues.extend((formats..call.len()).map(|i| call.arg(i)));
    let count = upvalues.len() - 2;
    upvalues.insert(2, Value::num(count as f64));
    let v = call.cx.native(&LINES, &upvalues);
    call.ret(v)
}

fn lines_step<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let found = call.upvalue(0).as_userdata().and_then(|u| u.downcast::<LuaFile>());
    let Some(file) = found.filter(|f| f.0.borrow().is_some()) else {
        return Err(call.error("attempt to use a closed file"));
    };
    let count = call.upvalue(2).as_num().unwrap_or(0.0) as usize;
    let formats: Vec<_> = (0..count).map(|i| call.upvalue(3 + i)).collect();
    let reply = read_formats(call, &file, &formats, 0)?;
    // (a failure has a message; the end has none)
    if let (true, Some(message)) = (call.result(0).is_nil(), call.result(1).as_str()) {
        return Err(call.error(Call::as_bytes(message)));
    }
    if call.result(0).is_nil() && call.upvalue(1).truthy() {
        file.0.borrow_mut().take();
    }
    Ok(reply)
}

fn file_seek<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let file = file(call, 0)?;
    let whence = call.option(1, &[b"set", b"cur", b"end"], b"cur")?;
    // (no text is turned into a number here)
    let offset = match call.arg(2).kind() {
        Kind::Nil => 0,
        Kind::Num(n) => vm::value::number::cut_to_wide(n),
        _ => return Err(call.type_error(2, "number")),
    };
    let done = file.0.borrow_mut().as_mut().map_or(Ok(0), |f| f.seek(whence, offset));
    match done {
        Ok(at) => call.ret(Value::num(at as f64)),
        Err(e) => failed(call, None, &e),
    }
}

fn file_setvbuf<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let file = file(call, 0)?;
    let (eager, lines) = match call.option(1, &[b"full", b"line", b"no"], b"")? {
        b"no" => (true, false),
        b"line" => (false, true),
        _ => (false, false),
    };
    if !call.is_none_or_nil(2) && !call.arg(2).is_num() {
        return Err(call.type_error(2, "number"));
    }
    if let Some(open) = file.0.borrow_mut().as_mut() {
        (open.eager, open.lines) = (eager, lines);
    }
    call.ret(Value::TRUE)
}

fn file_gc<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let file = call.user::<LuaFile>(0, "FILE*")?;
    if let Some(open) = file.0.borrow_mut().as_mut().filter(|f| matches!(f.stream, Stream::File(_))) {
        // (a failure here has nobody to be told)
        let _ = open.flush();
    }
    Ok(Outcome::Return)
}

fn file_tostring<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let found = call.arg(0).as_userdata().and_then(|u| u.downcast::<LuaFile>());
    let text = match found {
        Some(f) if f.0.borrow().is_some() => format!("file ({:#014x})", call.arg(0).address() & !7),
        Some(_) => "file (closed)".to_string(),
        None => return Err(call.type_error(0, "FILE*")),
    };
    let v = call.cx.str(text.as_bytes());
    call.ret(v)
}
