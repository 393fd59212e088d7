//! ngx.re: regular expressions, and the module `ngx.re` with split.
//!
//! Compiled patterns are kept per worker, whether or not the options ask for it (`o`): the least recently used go first.
//! Searching is charged by the engine's steps after each attempt; a step limit bounds every single one.
use std::cell::Cell;
use std::rc::Rc;

use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Sequence, Table, Value, What};

use super::ngx_table::warn;
use super::patterns::{Cache, Compiled};
use super::{request, row_in};
use crate::log::Level;
use crate::phase::ANY;
use crate::regex::{Flags, MatchError, TEMPLATE_ERROR, Template};

static NATIVES: &[Row] = &[
    row_in(
        "match",
        match_,
        ANY,
        "ngx.re.match(subject, regex [, options [, ctx [, res]]]) -> captures, or nil and a message",
    ),
    row_in("find", find, ANY, "ngx.re.find(subject, regex [, options [, ctx [, nth]]]) -> from, to, message"),
    row_in("gmatch", gmatch, ANY, "ngx.re.gmatch(subject, regex [, options]) -> an iterator, or nil and a message"),
    row_in("sub", sub, ANY, "ngx.re.sub(subject, regex, replacement [, options]) -> text, 0 or 1, message"),
    row_in("gsub", gsub, ANY, "ngx.re.gsub(subject, regex, replacement [, options]) -> text, how often, message"),
];

/// The module `ngx.re`.
pub(crate) static MODULE: &[Row] = &[
    row_in(
        "split",
        split,
        ANY,
        "re.split(subject, regex [, options [, ctx [, max [, res]]]]) -> list, or nil and a message",
    ),
    row_in("opt", opt, ANY, "re.opt(name, value): accepted for compatibility"),
];

static ITERATOR: Row = row_in("gmatch iterator", next_match, ANY, "() -> captures, nil after the last");

/// Replacements after which other light threads get their turn.
const MATCHES_A_TURN: usize = 500;
/// Steps of the engine that cost one unit of fuel.
const STEPS_A_UNIT: u64 = 4;

pub fn open(cx: Cx<'_>) {
    cx.library("ngx.re", NATIVES);
}

/// The options' letters. `o` and `j` are granted always.
fn flags<'gc>(call: &Call<'_, 'gc>, options: &[u8]) -> Result<Flags, Value<'gc>> {
    let mut flags = Flags::default();
    for c in options {
        match c {
            b'o' | b'j' => {}
            b'i' => flags.caseless = true,
            b's' => flags.dotall = true,
            b'm' => flags.multiline = true,
            b'x' => flags.extended = true,
            b'a' => flags.anchored = true,
            b'u' => flags.utf = true,
            b'U' => (flags.utf, flags.no_utf_check) = (true, true),
            b'd' => flags.longest = true,
            b'D' => flags.dup_names = true,
            b'J' => flags.javascript_compat = true,
            _ => {
                let all = String::from_utf8_lossy(options);
                let one = String::from_utf8_lossy(std::slice::from_ref(c)).into_owned();
                return Err(call.error(format!("unknown flag \"{one}\" (flags \"{all}\")")));
            }
        }
    }
    Ok(flags)
}

/// A pattern at work: what every function here starts with.
struct Search {
    cache: Rc<Cache>,
    compiled: Rc<Compiled>,
    /// Groups that Lua sees: none with the `d` option.
    groups: usize,
}

impl Search {
    /// Compiles argument `at`, options behind it. The inner error is for Lua to see as a result.
    fn new<'gc>(
        call: &mut Call<'_, 'gc>,
        pattern: usize,
        options: usize,
    ) -> Result<Result<Search, String>, Value<'gc>> {
        let pattern = call.bytes(pattern)?;
        let options = if call.arg(options).truthy() { call.bytes(options)? } else { b"" };
        call.charge(pattern.len() / 16);
        let cache = request(call)?.lua.worker.as_ref().map(|worker| worker.patterns.clone());
        let Some(cache) = cache else { return Err(call.error("no worker found")) };
        let known = cache.find(pattern, options);
        if options.contains(&b'j') && !(options.contains(&b'o') && known.is_some()) {
            super::log::debug(call, |_| "pcre JIT compiling result: 1".into());
        }
        let compiled = match known {
            Some(compiled) => compiled,
            None => match cache.compile(pattern, options, flags(call, options)?) {
                Ok(compiled) => compiled,
                Err(words) => return Ok(Err(words)),
            },
        };
        let groups = if compiled.regex.flags().longest { 0 } else { compiled.regex.captures_len() - 1 };
        Ok(Ok(Search { cache, compiled, groups }))
    }
    fn exec(&self, call: &mut Call<'_, '_>, subject: &[u8], from: usize) -> Result<bool, MatchError> {
        let captures = &mut self.cache.captures.borrow_mut();
        // (the directive's limit is the backtracking matcher's alone)
        let limit = if self.compiled.regex.flags().longest { 0 } else { self.cache.match_limit };
        let found = self.compiled.regex.exec(subject, from, captures, limit);
        call.charge(usize::try_from(captures.steps() / STEPS_A_UNIT).unwrap_or(usize::MAX / 2) + 1);
        found
    }
    /// Where a group of the last match is.
    fn span(&self, group: usize) -> Option<(usize, usize)> {
        self.cache.captures.borrow().span(group)
    }
    /// The last match as a whole.
    fn whole(&self) -> (usize, usize) {
        self.span(0).unwrap_or_default()
    }
    /// The table of captures: numbers from 0 on, and names. Groups that took no part are false.
    fn captures<'gc>(&self, call: &mut Call<'_, 'gc>, subject: &[u8], into: Option<Table<'gc>>) -> Table<'gc> {
        let cx = call.cx;
        call.charge(self.groups + self.compiled.regex.names().len() + 1);
        let t = into.unwrap_or_else(|| cx.table(self.groups, self.compiled.regex.names().len() + 1));
        let found = self.cache.captures.borrow();
        let mut copied = 0;
        {
            let mut slots = t.borrow_mut(cx.mc);
            for group in 0..=self.groups {
                let v = match found.span(group).and_then(|(from, to)| subject.get(from..to)) {
                    Some(bytes) => {
                        copied += bytes.len();
                        cx.str(bytes)
                    }
                    None => Value::FALSE,
                };
                slots.put(group as f64, v);
            }
        }
        drop(found);
        call.charge(copied / 32);
        // Dup names gather in lists that begin empty for each match.
        let mut lists: Vec<(&[u8], Table<'gc>)> = Vec::new();
        for (name, group) in self.compiled.regex.names() {
            let v = if *group as usize <= self.groups { t.borrow().get_num(f64::from(*group)) } else { Value::NIL };
            let key = Value::str(cx.intern(name));
            if !self.compiled.regex.flags().dup_names {
                // (string keys are never refused)
                let _ = t.set(cx.mc, key, v);
                continue;
            }
            if !v.truthy() {
                continue;
            }
            match lists.iter().find(|(n, _)| n == name) {
                Some((_, list)) => list.set_int(cx.mc, list.length() + 1, v),
                None => {
                    let list = cx.table(1, 0);
                    list.set_int(cx.mc, 1, v);
                    let _ = t.set(cx.mc, key, Value::table(list));
                    lists.push((name, list));
                }
            }
        }
        t
    }
}

/// Argument 0 as text; it stays in its slot as a string.
fn subject<'gc>(call: &mut Call<'_, 'gc>) -> &'gc [u8] {
    let v = call.arg(0);
    let s = match v.as_str() {
        Some(s) => s,
        None => call.cx.string(&call.cx.raw_tostring(v)),
    };
    if call.is_empty() {
        call.set_len(1);
    }
    call.set_arg(0, Value::str(s));
    Call::as_bytes(s)
}

/// `ctx.pos` as an offset.
fn start<'gc>(ctx: Option<Table<'gc>>) -> usize {
    let pos = ctx.and_then(|ctx| vm::native::to_number(ctx.field(b"pos")));
    pos.map_or(0, |pos| if pos > 0.0 { pos as usize - 1 } else { 0 })
}

fn context<'gc>(call: &Call<'_, 'gc>) -> Result<Option<Table<'gc>>, Value<'gc>> {
    if call.arg(3).truthy() { call.table(3).map(Some) } else { Ok(None) }
}

fn match_<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let subject = subject(call);
    let search = match Search::new(call, 1, 2)? {
        Ok(search) => search,
        Err(words) => return call.ret_nil_err(words),
    };
    let ctx = context(call)?;
    let into = if call.arg(4).truthy() { Some(call.table(4)?) } else { None };
    match search.exec(call, subject, start(ctx)) {
        Ok(true) => {}
        Ok(false) => return call.ret(Value::NIL),
        Err(e) => return call.ret_nil_err(e.to_string()),
    }
    if let Some(ctx) = ctx {
        call.cx.set_field(ctx, "pos", Value::num(search.whole().1 as f64 + 1.0));
    }
    let t = search.captures(call, subject, into);
    call.ret(Value::table(t))
}

/// nil, nil and a message.
fn two_nils<'gc>(call: &mut Call<'_, 'gc>, words: impl AsRef<[u8]>) -> Reply<'gc> {
    call.push(Value::NIL);
    call.ret_nil_err(words)
}

fn find<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let subject = subject(call);
    let search = match Search::new(call, 1, 2)? {
        Ok(search) => search,
        Err(words) => return two_nils(call, words),
    };
    let ctx = context(call)?;
    match search.exec(call, subject, start(ctx)) {
        Ok(true) => {}
        Ok(false) => return call.ret(Value::NIL),
        Err(e) => return two_nils(call, e.to_string()),
    }
    if let Some(ctx) = ctx {
        call.cx.set_field(ctx, "pos", Value::num(search.whole().1 as f64 + 1.0));
    }
    let nth = usize::try_from(call.opt_integer(4, 0)?).unwrap_or(0);
    if nth > search.groups {
        return two_nils(call, "nth out of bound");
    }
    match search.span(nth) {
        Some((from, to)) => {
            call.push(Value::num(from as f64 + 1.0));
            call.ret(Value::num(to as f64))
        }
        None => {
            call.push(Value::NIL);
            call.ret(Value::NIL)
        }
    }
}

/// What an iterator of gmatch keeps; its subject is its first upvalue.
struct Matches {
    search: Search,
    /// Where the next search starts; None: it is over.
    at: Cell<Option<usize>>,
}

fn gmatch<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    subject(call);
    let search = match Search::new(call, 1, 2)? {
        Ok(search) => search,
        Err(words) => return call.ret_nil_err(words),
    };
    let state = call.wrap(Rc::new(Matches { search, at: Cell::new(Some(0)) }), None);
    let iterator = call.cx.native(&ITERATOR, &[call.arg(0), Value::userdata(state)]);
    call.ret(iterator)
}

fn next_match<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let state = call.upvalue(1).as_userdata().and_then(|u| u.downcast::<Matches>());
    let (Some(subject), Some(state)) = (call.upvalue(0).as_str().map(Call::as_bytes), state) else {
        return call.ret(Value::NIL);
    };
    let Some(at) = state.at.take() else { return call.ret(Value::NIL) };
    match state.search.exec(call, subject, at) {
        Ok(true) => {}
        Ok(false) => return call.ret(Value::NIL),
        Err(e) => return call.ret_nil_err(e.to_string()),
    }
    state.at.set(after(state.search.whole(), subject.len()));
    let t = state.search.captures(call, subject, None);
    call.ret(Value::table(t))
}

/// Where to search after a match: an empty one is stepped over. None: nothing is left.
fn after((from, to): (usize, usize), len: usize) -> Option<usize> {
    let next = if from == to { to + 1 } else { to };
    (next <= len).then_some(next)
}

fn sub<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    replace(call, false)
}

fn gsub<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    replace(call, true)
}

fn replace<'gc>(call: &mut Call<'_, 'gc>, all: bool) -> Reply<'gc> {
    subject(call);
    let search = match Search::new(call, 1, 3)? {
        Ok(search) => search,
        Err(words) => return two_nils(call, words),
    };
    let work = Replacing { search, all, at: Some(0), copied: 0, count: 0, out: Vec::new() };
    let replacement = call.arg(2);
    if replacement.is_function() {
        return Box::new(work).next_call(call);
    }
    let text = call.cx.raw_tostring(replacement);
    match work.search.compiled.template(&text) {
        Ok(template) => work.fill(call, template),
        Err(e) => {
            warn(request(call)?, Level::Error, e.to_string().as_bytes());
            two_nils(call, TEMPLATE_ERROR)
        }
    }
}

/// A sub or gsub under way. The subject is argument 0, the function argument 2.
struct Replacing {
    search: Search,
    all: bool,
    /// Where the next search starts.
    at: Option<usize>,
    /// The subject is copied up to here.
    copied: usize,
    count: usize,
    out: Vec<u8>,
}

impl Replacing {
    fn subject<'gc>(call: &Call<'_, 'gc>) -> &'gc [u8] {
        call.arg(0).as_str().map_or(b"", Call::as_bytes)
    }
    /// Finds the next match and copies what is before it.
    fn advance(&mut self, call: &mut Call<'_, '_>) -> Result<bool, MatchError> {
        let subject = Replacing::subject(call);
        let Some(at) = self.at.filter(|_| self.all || self.count == 0) else { return Ok(false) };
        if !self.search.exec(call, subject, at)? {
            return Ok(false);
        }
        let whole = self.search.whole();
        self.count += 1;
        self.out.extend_from_slice(subject.get(self.copied..whole.0).unwrap_or_default());
        self.copied = whole.1;
        self.at = after(whole, subject.len());
        Ok(true)
    }
    /// Fills the template in for every match. A long subject is worked on in turns.
    fn fill<'gc>(mut self, call: &mut Call<'_, 'gc>, template: Rc<Template>) -> Reply<'gc> {
        for _ in 0..MATCHES_A_TURN {
            match self.advance(call) {
                Ok(true) => {}
                Ok(false) => return self.finish(call),
                Err(e) => return two_nils(call, e.to_string()),
            }
            let before = self.out.len();
            let captures = self.search.cache.captures.borrow();
            template.expand(Replacing::subject(call), &captures, &mut self.out);
            drop(captures);
            call.reserve(self.out.len() - before)?;
            call.cx.check_memory(self.out.len())?;
        }
        Outcome::park(What::Other, std::future::ready(()), move |call, ()| self.fill(call, template))
    }
    fn next_call<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        match self.advance(call) {
            Ok(true) => {}
            Ok(false) => return self.finish(call),
            Err(e) => return two_nils(call, e.to_string()),
        }
        let t = self.search.captures(call, Replacing::subject(call), None);
        call.push(call.arg(2));
        call.push(Value::table(t));
        Ok(Outcome::Call(self))
    }
    fn finish<'gc>(mut self, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        if self.count == 0 {
            call.push(call.arg(0));
            return call.ret(Value::num(0.0));
        }
        self.out.extend_from_slice(Replacing::subject(call).get(self.copied..).unwrap_or_default());
        let text = call.string(self.out)?;
        call.push(text);
        call.ret(Value::num(self.count as f64))
    }
}

impl Sequence for Replacing {
    fn step<'gc>(mut self: Box<Self>, call: &mut Call<'_, 'gc>) -> Reply<'gc> {
        if call.results() == 0 {
            return Err(call.error("bad argument #1 to 'tostring' (value expected)"));
        }
        let piece = call.result(0);
        let before = self.out.len();
        if !vm::native::write_text(piece, &mut self.out) {
            self.out.extend_from_slice(&call.cx.raw_tostring(piece));
        }
        call.clear();
        call.reserve(self.out.len() - before)?;
        call.cx.check_memory(self.out.len())?;
        self.next_call(call)
    }
}

fn split<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (cx, subject) = (call.cx, subject(call));
    let len = subject.len();
    let ctx = context(call)?;
    let max = call.opt_integer(4, 0)?;
    let res = match call.arg(5).kind() {
        Kind::Nil | Kind::Bool(false) => cx.table(4, 0),
        Kind::Table(t) => t,
        _ => return Err(call.error("res is not a table")),
    };
    let pos = ctx.and_then(|c| vm::native::to_number(c.field(b"pos"))).map_or(1, |n| n as i64);
    if pos > len as i64 {
        res.set_int(cx.mc, 1, Value::NIL);
        return call.ret(Value::table(res));
    }
    let search = match Search::new(call, 1, 2)? {
        Ok(search) => search,
        Err(words) => return call.ret_nil_err(words),
    };
    // Offsets count from 0: `begin` is where the piece at hand begins, `at` where the next search starts.
    let mut begin = usize::try_from(pos - 1).unwrap_or(0);
    let mut at = Some(begin);
    let mut empty_at: Option<usize> = None;
    let (mut pieces, mut count) = (0usize, 1i64);
    while let Some(from) = at.filter(|_| (max <= 0 || count < max) && begin < len) {
        match search.exec(call, subject, from) {
            Ok(true) => {}
            Ok(false) => break,
            Err(e) => return call.ret_nil_err(e.to_string()),
        }
        let whole = search.whole();
        at = after(whole, len);
        if let Some(empty) = empty_at {
            begin = empty;
        }
        if whole.0 == whole.1 {
            empty_at = Some(whole.0);
        }
        if whole.0 > begin || empty_at.is_none() {
            count += 1;
            pieces += 1;
            let piece = subject.get(begin..whole.0).unwrap_or_default();
            call.charge(piece.len() / 32 + 1);
            res.set_int(cx.mc, pieces, cx.str(piece));
            if search.groups > 0 && last_group(&search) > 0 {
                pieces += 1;
                let (from, to) = search.span(1).unwrap_or((0, 0));
                res.set_int(cx.mc, pieces, cx.str(subject.get(from..to).unwrap_or_default()));
            }
            begin = whole.1;
        }
    }
    if let Some(ctx) = ctx {
        cx.set_field(ctx, "pos", Value::num(at.unwrap_or(len + 1) as f64));
    }
    if max <= 0 && begin >= len {
        // Empty pieces at the end are dropped.
        while pieces > 0 && res.get_int(pieces).as_str().is_some_and(|s| s.is_empty()) {
            res.set_int(cx.mc, pieces, Value::NIL);
            pieces -= 1;
        }
    } else {
        pieces += 1;
        res.set_int(cx.mc, pieces, cx.str(subject.get(begin..).unwrap_or_default()));
    }
    res.set_int(cx.mc, pieces + 1, Value::NIL);
    call.ret(Value::table(res))
}

/// The highest group that took part in the last match.
fn last_group(search: &Search) -> usize {
    (1..=search.groups).rev().find(|g| search.span(*g).is_some()).unwrap_or(0)
}

/// There is no JIT stack whose size could be set.
fn opt<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    match call.arg(0).as_str().map(Call::as_bytes) {
        Some(b"jit_stack_size") => {
            if call.number(1)? < 0.0 {
                return Err(call.error("size is negative"));
            }
            Ok(Outcome::Return)
        }
        _ => Err(call.error("unrecognized option name")),
    }
}
