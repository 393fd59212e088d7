//! The prompt of `perilune lua`: an expression shows its values, a statement runs, an unfinished one is asked for more.
//!
//! Lines are edited, remembered from one session to the next, and completed from what the machine's tables hold.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};
use stdlib::runner;
use vm::value::Kind;
use vm::value::Table;
use vm::value::table::TableRef;
use vm::{Cx, Stashed, Value, Vm};

const NAME: &[u8] = b"=stdin";
/// What the compiler says of a chunk that stops too early.
const UNFINISHED: &[u8] = b"near '<eof>'";
/// Tables are shown so deep, and so many entries of each.
const MAX_DEPTH: usize = 4;
const MAX_ENTRIES: usize = 100;

/// Reads and runs lines until the input ends.
pub fn run(vm: Rc<Vm>) {
    let mut editor = match Editor::<Names, FileHistory>::new() {
        Ok(editor) => editor,
        Err(error) => return eprintln!("perilune lua: {error}"),
    };
    editor.set_helper(Some(Names { vm: vm.clone() }));
    let history = history_file();
    if let Some(file) = &history {
        // (the first time there is none)
        let _ = editor.load_history(file);
    }
    let mut chunk = String::new();
    loop {
        match editor.readline(if chunk.is_empty() { "> " } else { ">> " }) {
            Ok(line) => {
                if !chunk.is_empty() {
                    chunk.push('\n');
                }
                chunk.push_str(&line);
                match compile(&vm, &chunk) {
                    Compiled::Unfinished => continue,
                    Compiled::Ready(function) => evaluate(&vm, &function),
                    Compiled::Wrong(message) => complain(&message, b""),
                }
                if !chunk.trim().is_empty() {
                    let _ = editor.add_history_entry(chunk.as_str());
                }
                chunk.clear();
            }
            // Ctrl-C gives up what was begun.
            Err(ReadlineError::Interrupted) => chunk.clear(),
            Err(_) => break,
        }
    }
    if let Some(file) = &history {
        if let Some(folder) = file.parent() {
            let _ = std::fs::create_dir_all(folder);
        }
        if let Err(error) = editor.save_history(file) {
            eprintln!("perilune lua: cannot save the history: {error}");
        }
    }
}

fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")))?;
    Some(state.join("perilune/lua_history"))
}

enum Compiled {
    Ready(Stashed),
    Unfinished,
    Wrong(Vec<u8>),
}

/// As an expression if it is one (a leading `=`, as in the old prompt, asks for that), else as statements.
fn compile(vm: &Vm, chunk: &str) -> Compiled {
    vm.enter(|cx| {
        let load = |source: &str| cx.load(source.as_bytes(), NAME, cx.globals());
        let expression = format!("return {}", chunk.strip_prefix('=').unwrap_or(chunk));
        match load(&expression).or_else(|_| load(chunk)) {
            Ok(function) => Compiled::Ready(cx.stash(Value::closure(function))),
            Err(error) => match cx.raw_tostring(error) {
                message if message.ends_with(UNFINISHED) => Compiled::Unfinished,
                message => Compiled::Wrong(message),
            },
        }
    })
}

fn evaluate(vm: &Vm, function: &Stashed) {
    match runner::evaluate(vm, function, &[]) {
        Ok(values) if values.is_empty() => {}
        Ok(values) => {
            let mut text = vm.enter(|cx| show_all(cx, &values));
            text.push(b'\n');
            let _ = std::io::stdout().write_all(&text);
        }
        Err(failure) => complain(&failure.message, &failure.traceback),
    }
    let _ = std::io::stdout().flush();
}

fn complain(message: &[u8], traceback: &[u8]) {
    let mut text = [message, b"\n"].concat();
    if !traceback.is_empty() {
        text.extend_from_slice(traceback);
        text.push(b'\n');
    }
    let _ = std::io::stderr().write_all(&text);
}

fn show_all(cx: Cx<'_>, values: &[Stashed]) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            out.push(b'\t');
        }
        show(cx, cx.fetch(value), &mut Vec::new(), &mut out);
    }
    out
}

/// A value as source text where that can be: quoted strings, tables with their entries. `above` holds the tables around it.
fn show<'gc>(cx: Cx<'gc>, v: Value<'gc>, above: &mut Vec<Table<'gc>>, out: &mut Vec<u8>) {
    match v.kind() {
        Kind::Str(s) => out.extend_from_slice(&super::script::quoted(s.bytes())),
        Kind::Table(t) => {
            let named = t.metatable().is_some_and(|meta| !meta.field(b"__tostring").is_nil());
            if named || above.len() >= MAX_DEPTH || above.iter().any(|outer| Table::ptr_eq(*outer, t)) {
                out.extend_from_slice(&cx.raw_tostring(v));
            } else {
                above.push(t);
                show_table(cx, t, above, out);
                above.pop();
            }
        }
        _ => out.extend_from_slice(&cx.raw_tostring(v)),
    }
}

fn show_table<'gc>(cx: Cx<'gc>, t: Table<'gc>, above: &mut Vec<Table<'gc>>, out: &mut Vec<u8>) {
    let items = t.length();
    let mut entries: Vec<Vec<u8>> = Vec::new();
    for i in 1..=items.min(MAX_ENTRIES) {
        let mut text = Vec::new();
        show(cx, t.get_int(i), above, &mut text);
        entries.push(text);
    }
    let mut fields = Vec::new();
    let mut key = Value::NIL;
    while let Ok(Some((k, v))) = t.next(key) {
        key = k;
        if k.as_num().is_some_and(|n| n >= 1.0 && n <= items as f64 && n == n.trunc()) {
            continue;
        }
        let mut text = match k.as_str() {
            Some(name) if is_name(name.bytes()) => name.bytes().to_vec(),
            _ => {
                let mut text = vec![b'['];
                show(cx, k, above, &mut text);
                text.push(b']');
                text
            }
        };
        text.extend_from_slice(b" = ");
        show(cx, v, above, &mut text);
        fields.push(text);
    }
    // (the order of a table's fields means nothing: sorted, they can be found)
    fields.sort();
    entries.append(&mut fields);
    let more = entries.len().max(items) > MAX_ENTRIES;
    entries.truncate(MAX_ENTRIES);
    if more {
        entries.push(b"...".to_vec());
    }
    if entries.is_empty() {
        return out.extend_from_slice(b"{}");
    }
    let width: usize = entries.iter().map(|entry| entry.len() + 2).sum();
    let (open, between, close) = if width <= 76 && !entries.iter().any(|entry| entry.contains(&b'\n')) {
        (b"{ ".to_vec(), b", ".to_vec(), b" }".to_vec())
    } else {
        let line = |depth: usize| [b"\n".as_slice(), &b"  ".repeat(depth)].concat();
        let inner = line(above.len());
        (
            [b"{".as_slice(), &inner].concat(),
            [b",".as_slice(), &inner].concat(),
            [&line(above.len() - 1)[..], b"}"].concat(),
        )
    };
    out.extend_from_slice(&open);
    out.extend_from_slice(&entries.join(&between[..]));
    out.extend_from_slice(&close);
}

fn is_name(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|c| c.is_ascii_alphabetic() || *c == b'_')
        && bytes.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'_')
        && !KEYWORDS.contains(&bytes)
}

const KEYWORDS: &[&[u8]] = &[
    b"and",
    b"break",
    b"do",
    b"else",
    b"elseif",
    b"end",
    b"false",
    b"for",
    b"function",
    b"goto",
    b"if",
    b"in",
    b"local",
    b"nil",
    b"not",
    b"or",
    b"repeat",
    b"return",
    b"then",
    b"true",
    b"until",
    b"while",
];

/// Completes names from the machine's tables.
struct Names {
    vm: Rc<Vm>,
}

impl Helper for Names {}
impl Highlighter for Names {}
impl Validator for Names {}
impl Hinter for Names {
    type Hint = String;
}

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = &line[..at];
        let is_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':');
        let path = &before[before.trim_end_matches(is_path).len()..];
        let (owner, word) = match path.rfind(['.', ':']) {
            Some(dot) => (&path[..dot], &path[dot + 1..]),
            None => ("", path),
        };
        Ok((at - word.len(), self.vm.enter(|cx| names(cx, owner, word))))
    }
}

/// The names beginning with `word` in the table that the dotted path `owner` leads to, and in those behind its `__index`.
fn names(cx: Cx<'_>, owner: &str, word: &str) -> Vec<String> {
    let mut at = Value::table(cx.globals());
    for name in owner.split(['.', ':']).filter(|name| !name.is_empty()) {
        at = at.as_table().map_or(Value::NIL, |t| t.field(name.as_bytes()));
    }
    let mut found = BTreeSet::new();
    if owner.is_empty() {
        found.extend(KEYWORDS.iter().map(|keyword| String::from_utf8_lossy(keyword).into_owned()));
    }
    // (a chain of __index may be a ring)
    for _ in 0..10 {
        let Some(t) = at.as_table() else { break };
        let mut key = Value::NIL;
        while let Ok(Some((k, _))) = t.next(key) {
            key = k;
            if let Some(name) = k.as_str().filter(|name| is_name(name.bytes())) {
                found.insert(String::from_utf8_lossy(name.bytes()).into_owned());
            }
        }
        at = t.metatable().map_or(Value::NIL, |meta| meta.field(b"__index"));
    }
    if let Kind::Str(_) = at.kind() {
        found.clear();
    }
    found.retain(|name| name.starts_with(word));
    found.into_iter().collect()
}
