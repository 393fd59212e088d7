//! The string library (Lua 5.1 manual 5.4, with LuaJIT's extensions).
mod format;
mod pattern;

use smallvec::SmallVec;
use vm::context::Meta;
use vm::value::Kind;
use vm::value::number::{TWO_TO_63, cut_to_wide};
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Sequence, Value, row};

use format::Spec;
use pattern::{Capture, Matcher, is_plain};

pub static NATIVES: &[Row] = &[
    row("byte", byte, "byte(s [, i [, j]]) -> the codes of s[i] .. s[j]"),
    row("char", char, "char(...) -> the string of these codes"),
    row("dump", dump, "dump(f): refused, bytecode cannot be loaded either"),
    row("find", find, "find(s, pattern [, init [, plain]]) -> start, end, captures"),
    row("format", format, "format(fmt, ...) -> as C's printf"),
    row("gmatch", gmatch, "gmatch(s, pattern) -> an iterator over the captures of all matches"),
    row("gsub", gsub, "gsub(s, pattern, repl [, n]) -> the new string and the number of replacements"),
    row("len", len, "len(s) -> its length in bytes"),
    row("lower", lower, "lower(s)"),
    row("match", match_, "match(s, pattern [, init]) -> the captures of the first match"),
    row("rep", rep, "rep(s, n [, sep]) -> s n times, sep between"),
    row("reverse", reverse, "reverse(s)"),
    row("sub", sub, "sub(s, i [, j]) -> s[i] .. s[j]"),
    row("upper", upper, "upper(s)"),
];

static GMATCH: Row = row("gmatch iterator", gmatch_step, "() -> the captures of the next match");

/// Registers the library, and makes its functions the methods of strings.
pub fn open(cx: Cx<'_>) {
    let string = cx.library("string", NATIVES);
    let meta = cx.table(0, 1);
    cx.set_field(meta, "__index", Value::table(string));
    cx.set_metatable(cx.str(b""), Some(meta));
}

/// Bytes that one string may have.
const MAX_STRING: usize = 1 << 31;

/// A relative position (negative: from the end) as an absolute one, counting from 1; 0 and less: before the start.
fn position(at: i64, len: usize) -> i64 {
    if at >= 0 { at } else { (at + len as i64 + 1).max(0) }
}

/// The byte range that `i, j` mean, clipped.
fn range(i: i64, j: i64, len: usize) -> std::ops::Range<usize> {
    let from = position(i, len).max(1) as usize;
    let to = (position(j, len).max(0) as usize).min(len);
    if from > to { 0..0 } else { from - 1..to }
}

fn byte<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let s = call.bytes(0)?;
    let i = call.opt_int(1, 1)?;
    if call.len() < 3 && i > 0 {
        // One character, the usual case.
        if let Some(c) = s.get(i as usize - 1) {
            call.push(Value::num(f64::from(*c)));
        }
        return Ok(Outcome::Return);
    }
    let j = call.opt_int(2, position(i, s.len()))?;
    let range = range(i, j, s.len());
    // (LUAI_MAXCSTACK)
    if range.len() > 8000 {
        return Err(call.error("string slice too long"));
    }
    call.charge(range.len());
    for c in &s[range] {
        call.push(Value::num(f64::from(*c)));
    }
    Ok(Outcome::Return)
}

fn char<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let mut out = SmallVec::<[u8; 32]>::new();
    for i in 0..call.len() {
        match u8::try_from(call.int(i)?) {
            Ok(c) => out.push(c),
            Err(_) => return Err(call.arg_error(i, "invalid value")),
        }
    }
    call.reserve(out.len())?;
    let v = call.cx.str_small(out);
    call.ret(v)
}

fn dump<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    call.callable(0)?;
    Err(call.error("unable to dump given function"))
}

fn len<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    // (LuaJIT's len alone speaks of nil where nothing was passed)
    let n = match call.len() {
        0 => return Err(call.arg_error(0, "string expected, got nil")),
        _ => call.bytes(0)?.len(),
    };
    call.ret(Value::num(n as f64))
}

fn map<'gc>(call: &mut Call<'_, 'gc>, f: impl FnOnce(&mut [u8])) -> Reply<'gc> {
    let s = call.bytes(0)?;
    call.reserve(s.len())?;
    let mut out = SmallVec::<[u8; 32]>::from_slice(s);
    f(&mut out);
    let v = call.cx.str_small(out);
    call.ret(v)
}

fn lower<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    map(call, |s| s.make_ascii_lowercase())
}

fn upper<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    map(call, |s| s.make_ascii_uppercase())
}

fn reverse<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    map(call, |s| s.reverse())
}

fn sub<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let s = call.bytes(0)?;
    let range = range(call.int(1)?, call.opt_int(2, -1)?, s.len());
    if range.len() == s.len() {
        if call.arg(0).as_str().is_some() {
            return call.ret(call.arg(0));
        }
    }
    call.reserve(range.len())?;
    let v = call.cx.str(&s[range]);
    call.ret(v)
}

fn rep<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let s = call.bytes(0)?;
    let n = usize::try_from(call.int(1)?).unwrap_or(0);
    let sep = call.opt_bytes(2)?.unwrap_or(b"");
    let total = (s.len() + sep.len()).checked_mul(n).filter(|t| *t < MAX_STRING);
    let Some(total) = total else { return Err(call.error("resulting string too large")) };
    call.reserve(total)?;
    let out = if sep.is_empty() {
        s.repeat(n)
    } else {
        let mut out = Vec::with_capacity(total);
        for i in 0..n {
            if i > 0 {
                out.extend_from_slice(sep);
            }
            out.extend_from_slice(s);
        }
        out
    };
    let v = call.cx.str_vec(out);
    call.ret(v)
}

fn push_capture<'gc>(call: &mut Call<'_, 'gc>, capture: Capture<'_>) {
    let v = match capture {
        Capture::Text(text) => call.cx.str(text),
        Capture::Position(at) => Value::num(at as f64),
    };
    call.push(v);
}

fn push_captures<'gc>(
    call: &mut Call<'_, 'gc>,
    m: &Matcher<'_, '_>,
    start: usize,
    end: usize,
    whole: bool,
) -> Result<(), Value<'gc>> {
    for i in 0..m.count(whole) {
        let capture = m.capture(i, start, end).map_err(|e| call.error(e))?;
        push_capture(call, capture);
    }
    Ok(())
}

/// The first match at or after `init` (counting from 0), paid for.
fn search<'gc>(
    call: &mut Call<'_, 'gc>,
    m: &mut Matcher<'_, '_>,
    anchored: bool,
    init: usize,
) -> Result<Option<(usize, usize)>, Value<'gc>> {
    let before = m.steps;
    let found = m.find(init, anchored);
    call.charge(((m.steps - before) / 8) as usize);
    found.map_err(|e| call.error(e))
}

fn unanchored(pat: &[u8]) -> (bool, &[u8]) {
    match pat {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, pat),
    }
}

fn find<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    find_or_match(call, true)
}

fn match_<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    find_or_match(call, false)
}

/// Where `needle` first is. A searcher is worth its making only once the first byte has misled us a few times.
fn find_plain(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let Some((first, rest)) = needle.split_first() else { return Some(0) };
    let mut from = 0;
    for _ in 0..8 {
        let at = from + memchr::memchr(*first, hay.get(from..)?)?;
        if hay[at + 1..].starts_with(rest) {
            return Some(at);
        }
        from = at + 1;
    }
    memchr::memmem::find(&hay[from..], needle).map(|at| from + at)
}

fn find_or_match<'gc>(call: &mut Call<'_, 'gc>, find: bool) -> Reply<'gc> {
    let (s, pat) = (call.bytes(0)?, call.bytes(1)?);
    let init = position(call.opt_int(2, 1)?, s.len()).max(1) as usize - 1;
    if init > s.len() {
        return call.ret(Value::NIL);
    }
    if find && (call.arg(3).truthy() || is_plain(pat)) {
        call.charge(s.len() / 64);
        return match find_plain(&s[init..], pat) {
            Some(at) => {
                call.push(Value::num((init + at + 1) as f64));
                call.push(Value::num((init + at + pat.len()) as f64));
                Ok(Outcome::Return)
            }
            None => call.ret(Value::NIL),
        };
    }
    let (anchored, body) = unanchored(pat);
    let mut m = Matcher::new(s, body);
    let Some((start, end)) = search(call, &mut m, anchored, init)? else {
        return call.ret(Value::NIL);
    };
    if find {
        call.push(Value::num((start + 1) as f64));
        call.push(Value::num(end as f64));
    }
    push_captures(call, &m, start, end, !find)?;
    Ok(Outcome::Return)
}

fn gmatch<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (s, pat) = (call.str(0)?, call.str(1)?);
    let iterator = call.cx.native(&GMATCH, &[Value::str(s), Value::str(pat), Value::num(0.0)]);
    call.ret(iterator)
}

fn gmatch_step<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (Some(s), Some(pat)) = (call.upvalue(0).as_str(), call.upvalue(1).as_str()) else {
        return call.ret(Value::NIL);
    };
    let (s, pat) = (Call::as_bytes(s), Call::as_bytes(pat));
    let from = call.upvalue(2).as_num().unwrap_or(0.0) as usize;
    // (in gmatch a ^ is no anchor)
    let mut m = Matcher::new(s, pat);
    if from > s.len() {
        return call.ret(Value::NIL);
    }
    let Some((start, end)) = search(call, &mut m, false, from)? else {
        call.set_upvalue(2, Value::num((s.len() + 1) as f64));
        return call.ret(Value::NIL);
    };
    let next = if end == start { end + 1 } else { end };
    call.set_upvalue(2, Value::num(next as f64));
    push_captures(call, &m, start, end, true)?;
    Ok(Outcome::Return)
}

/// The state of a gsub between calls of its replacement function.
struct Gsub {
    out: Vec<u8>,
    /// Where the next match is looked for, and how many there were.
    at: usize,
    count: usize,
    max: usize,
    /// The match whose replacement is being asked for.
    pending: Option<(usize, usize)>,
}

fn gsub<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let s = call.bytes(0)?;
    call.bytes(1)?;
    let most = s.len() + 1;
    // (LuaJIT keeps the low 32 bits of this one, and looks at it first)
    let max = usize::try_from(call.opt_integer(3, most as i64)? as i32).unwrap_or(0).min(most);
    if !matches!(
        call.arg(2).kind(),
        Kind::Num(_) | Kind::Str(_) | Kind::Table(_) | Kind::Closure(_) | Kind::Row(_) | Kind::Native(_)
    ) {
        return Err(call.arg_error(2, "string/function/table expected"));
    }
    Box::new(Gsub { out: Vec::new(), at: 0, count: 0, max, pending: None }).go(call)
}

impl Gsub {
    fn go<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let (s, pat) = (call.bytes(0)?, call.bytes(1)?);
        let (anchored, pat) = unanchored(pat);
        let repl = call.arg(2);
        let template = if repl.is_function() || repl.as_table().is_some() { None } else { Some(call.bytes(2)?) };
        let mut m = Matcher::new(s, pat);
        while self.count < self.max && self.at <= s.len() {
            let Some((start, end)) = search(call, &mut m, anchored, self.at)? else { break };
            self.out.extend_from_slice(&s[self.at..start]);
            self.count += 1;
            if let Some(template) = template {
                self.expand(call, &m, template, start, end)?;
            } else {
                let key = match m.capture(0, start, end).map_err(|e| call.error(e))? {
                    Capture::Text(text) => call.cx.str(text),
                    Capture::Position(at) => Value::num(at as f64),
                };
                match repl.as_table() {
                    Some(t) => {
                        let v = t.get(key);
                        let handler = if v.is_nil() { call.metamethod(repl, Meta::Index) } else { Value::NIL };
                        if !handler.is_nil() {
                            self.pending = Some((start, end));
                            return self.ask_index(call, repl, key);
                        }
                        self.replace(call, v, start, end)?;
                    }
                    None => {
                        self.pending = Some((start, end));
                        call.push(repl);
                        push_captures(call, &m, start, end, true)?;
                        return Ok(Outcome::Call(self));
                    }
                }
            }
            self.step_over(s, start, end);
            if anchored {
                break;
            }
        }
        call.reserve(s.len())?;
        let v = if self.count == 0 && call.arg(0).as_str().is_some() {
            call.arg(0)
        } else {
            self.out.extend_from_slice(s.get(self.at..).unwrap_or(b""));
            call.string(std::mem::take(&mut self.out))?
        };
        call.push(v);
        call.push(Value::num(self.count as f64));
        Ok(Outcome::Return)
    }

    /// After a match: an empty one copies the character it stands before.
    fn step_over(&mut self, s: &[u8], start: usize, end: usize) {
        self.at = end;
        if end == start {
            if let Some(c) = s.get(end) {
                self.out.push(*c);
            }
            self.at += 1;
        }
    }

    /// A replacement string: %0 .. %9 are captures.
    fn expand<'gc>(
        &mut self,
        call: &mut Call<'_, 'gc>,
        m: &Matcher<'_, '_>,
        template: &[u8],
        start: usize,
        end: usize,
    ) -> Result<(), Value<'gc>> {
        let mut rest = template;
        while let Some(at) = memchr::memchr(b'%', rest) {
            self.out.extend_from_slice(&rest[..at]);
            if end - start > 1024 {
                call.cx.check_memory(self.out.len() + end - start)?;
            }
            match rest.get(at + 1) {
                Some(b'0') => self.out.extend_from_slice(&call.bytes(0)?[start..end]),
                Some(d @ b'1'..=b'9') => {
                    match m.capture(usize::from(d - b'1'), start, end) {
                        Ok(Capture::Text(text)) => self.out.extend_from_slice(text),
                        Ok(Capture::Position(at)) => self.out.extend_from_slice(at.to_string().as_bytes()),
                        Err(e) => return Err(call.error(e)),
                    };
                }
                Some(c) => self.out.push(*c),
                // (LuaJIT reads the zero behind the string)
                None => self.out.push(0),
            }
            rest = &rest[(at + 2).min(rest.len())..];
        }
        self.out.extend_from_slice(rest);
        call.cx.check_memory(self.out.len())
    }

    /// A replacement value: false and nil keep the match.
    fn replace<'gc>(
        &mut self,
        call: &mut Call<'_, 'gc>,
        v: Value<'gc>,
        start: usize,
        end: usize,
    ) -> Result<(), Value<'gc>> {
        match v.kind() {
            Kind::Nil | Kind::Bool(false) => self.out.extend_from_slice(&call.bytes(0)?[start..end]),
            _ => {
                if !vm::native::write_text(v, &mut self.out) {
                    return Err(call.error(format!("invalid replacement value (a {})", v.type_name())));
                }
            }
        }
        Ok(())
    }

    /// A table whose `__index` has to be asked: as a plain index expression would.
    fn ask_index<'gc>(self: Box<Self>, call: &mut Call<'_, 'gc>, t: Value<'gc>, key: Value<'gc>) -> Reply<'gc> {
        let (mut at, mut hops) = (t, 0);
        loop {
            let handler = call.metamethod(at, Meta::Index);
            if handler.is_function() {
                call.push(handler);
                call.push(at);
                call.push(key);
                return Ok(Outcome::Call(self));
            }
            let found = handler.as_table().map_or(Value::NIL, |t| t.get(key));
            hops += 1;
            if !found.is_nil() || handler.as_table().is_none() || hops > 100 {
                return self.answered(call, found);
            }
            at = handler;
        }
    }

    fn answered<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>, v: Value<'gc>) -> Reply<'gc> {
        if let Some((start, end)) = self.pending.take() {
            self.replace(call, v, start, end)?;
            self.step_over(call.bytes(0)?, start, end);
            let (anchored, _) = unanchored(call.bytes(1)?);
            if anchored {
                self.max = self.count;
            }
        }
        self.go(call)
    }
}

impl Sequence for Gsub {
    fn step<'gc>(self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let v = call.result(0);
        call.clear();
        self.answered(call, v)
    }
}

/// `string.format`; `%s` of a value with `__tostring` calls it, so the state can wait.
struct Format {
    out: Vec<u8>,
    /// Bytes of the format used up, arguments used up.
    at: usize,
    arg: usize,
    pending: Option<(Spec, u8)>,
}

/// `string.format`, for natives that format.
pub static FORMAT: Row = row("format", format, "format(fmt, ...) -> string");

fn format<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    call.bytes(0)?;
    Format { out: Vec::new(), at: 0, arg: 0, pending: None }.go(call)
}

impl Format {
    /// `%s` or `%q`.
    fn text<'gc>(
        &mut self,
        call: &mut Call<'_, 'gc>,
        spec: Spec,
        conversion: u8,
        text: &[u8],
    ) -> Result<(), Value<'gc>> {
        if conversion == b'q' {
            call.reserve(text.len() * 2)?;
            format::write_quoted(text, &mut self.out);
        } else {
            call.reserve(text.len())?;
            spec.string(text, &mut self.out);
        }
        Ok(())
    }
    fn go<'gc>(mut self, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let fmt = call.bytes(0)?;
        while let Some(at) = memchr::memchr(b'%', &fmt[self.at..]) {
            self.out.extend_from_slice(&fmt[self.at..self.at + at]);
            self.at += at + 1;
            if fmt.get(self.at) == Some(&b'%') {
                self.out.push(b'%');
                self.at += 1;
                continue;
            }
            let (mut spec, used) = Spec::parse(&fmt[self.at..]);
            let conversion = fmt.get(self.at + used).copied().unwrap_or(0);
            let shown = &fmt[self.at..(self.at + used + 1).min(fmt.len())];
            self.at += used + 1;
            self.arg += 1;
            let i = self.arg;
            if call.is_none(i) && b"cdiuoxXeEfFgGaAqsp".contains(&conversion) {
                return Err(call.arg_error(i, "value expected"));
            }
            match conversion {
                b'c' => {
                    let c = call.int(i)? as u8;
                    spec.precision = None;
                    spec.string(&[c], &mut self.out);
                }
                b'd' | b'i' => match call.arg(i).kind() {
                    Kind::Int64(n) => spec.signed(n.bits as i64, &mut self.out),
                    _ => spec.signed(cut_to_wide(call.number(i)?), &mut self.out),
                },
                b'u' | b'o' | b'x' | b'X' => {
                    let n = match call.arg(i).kind() {
                        Kind::Int64(n) => n.bits,
                        _ => match call.number(i)? {
                            n if n >= TWO_TO_63 => cut_to_wide(n - TWO_TO_63 - TWO_TO_63) as u64,
                            n => cut_to_wide(n) as u64,
                        },
                    };
                    spec.unsigned(n, conversion, &mut self.out);
                }
                b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'a' | b'A' => {
                    spec.float(call.number(i)?, conversion, &mut self.out);
                }
                b'p' => {
                    let v = call.arg(i);
                    let is_object = v.is_gc() || v.as_row().is_some();
                    let text = if is_object { format!("{:#014x}", v.address()) } else { "NULL".to_string() };
                    spec.string(text.as_bytes(), &mut self.out);
                }
                b's' | b'q' => {
                    let v = call.arg(i);
                    match crate::base::text_of(call, v) {
                        _ if let Some(s) = v.as_str() => self.text(call, spec, conversion, Call::as_bytes(s))?,
                        Ok(text) => self.text(call, spec, conversion, &text)?,
                        Err(f) => {
                            self.pending = Some((spec, conversion));
                            call.push(f);
                            call.push(v);
                            return Ok(Outcome::Call(Box::new(self)));
                        }
                    }
                }
                _ => {
                    let shown = if conversion < b' ' { &shown[..used] } else { shown };
                    return Err(call.error([b"invalid option '%", shown, b"' to 'format'"].concat()));
                }
            }
        }
        self.out.extend_from_slice(&fmt[self.at..]);
        call.reserve(self.out.len())?;
        let v = call.cx.str_vec(self.out);
        call.ret(v)
    }
}

impl Sequence for Format {
    fn step<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        let Some(text) = call.cx.to_str(call.result(0)) else {
            return Err(call.error("'tostring' must return a string"));
        };
        call.clear();
        if let Some((spec, conversion)) = self.pending.take() {
            self.text(call, spec, conversion, text.bytes())?;
        }
        self.go(call)
    }
}
