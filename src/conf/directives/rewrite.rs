//! The rewrite module: `set`, `if`, `rewrite`, `return`, `break`.

use super::super::build::{Builder, Directive, Frame};
use super::super::draft::LocationDraft;
use super::super::regex::Regex;
use super::super::scalar;
use super::super::tree::{FileTest, LocationKind, Op, Return, Rewrite, RewriteEnd, Test};
use super::arity::{NONE, ONE, ONE_MORE, THREE, TWO};
use super::context::{ALL_IF, LOCATION, LOCATION_IF, RULES, SERVER, SERVER_IF};
use super::{Block, Row, row};

pub static ROWS: &[Row] = &[
    row("set", RULES, TWO, set),
    row("return", RULES, ONE | TWO, return_),
    row("rewrite", RULES, TWO | THREE, rewrite),
    row("break", RULES, NONE, |b, _| {
        b.location().rewrite.push(Op::Break);
        Ok(())
    }),
    Row { name: "if", at: SERVER, args: ONE_MORE, block: Block::Open { inner: SERVER_IF, leave }, set: if_ },
    Row { name: "if", at: LOCATION, args: ONE_MORE, block: Block::Open { inner: LOCATION_IF, leave }, set: if_ },
    row("rewrite_log", ALL_IF | SERVER_IF, ONE, |b, d| b.flag(d, |s| &mut s.rewrite_log)),
    row("uninitialized_variable_warn", ALL_IF | SERVER_IF, ONE, |b, d| {
        b.flag(d, |s| &mut s.uninitialized_variable_warn)
    }),
];

pub fn variable(d: &Directive, n: usize) -> Result<&[u8], String> {
    match d.arg(n).strip_prefix(b"$") {
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(format!("invalid variable name \"{}\"", d.text(n))),
    }
}

fn set(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let name = variable(d, 0)?;
    if matches!(crate::http::vars::find(&name.to_ascii_lowercase()), Some(kind) if !crate::http::vars::writable(&kind))
    {
        let name = String::from_utf8_lossy(name);
        return Err(format!("the duplicate \"{name}\" variable"));
    }
    let slot = b.http().define(name);
    let value = b.value(d.arg(1))?;
    b.location().rewrite.push(Op::Set { slot, value });
    Ok(())
}

fn return_(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let word = d.arg(0);
    let number = scalar::number(word).and_then(|n| u16::try_from(n).ok());
    let op = match number {
        Some(status) if status <= 999 => {
            let text = if d.args().len() > 1 { Some(b.value(d.arg(1))?) } else { None };
            Return { status, text }
        }
        _ => {
            let url = word.starts_with(b"http://") || word.starts_with(b"https://") || word.starts_with(b"$scheme");
            if d.args().len() > 1 || !url {
                return Err(format!("invalid return code \"{}\"", d.text(0)));
            }
            Return { status: 302, text: Some(b.value(word)?) }
        }
    };
    b.location().rewrite.push(Op::Return(op));
    Ok(())
}

fn rewrite(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let regex = Regex::new(d.arg(0), false)?;
    for (group, _) in &regex.names {
        b.http().define(group.as_bytes());
    }
    let to = b.value(d.arg(1))?;
    let replacement = d.arg(1);
    let absolute = [&b"http://"[..], b"https://", b"$scheme"].iter().any(|start| replacement.starts_with(start));
    let (mut end, mut redirect) = (RewriteEnd::Next, absolute.then_some(302));
    if d.args().len() == 3 {
        match d.arg(2) {
            b"last" => end = RewriteEnd::Last,
            b"break" => end = RewriteEnd::Break,
            b"redirect" => redirect = Some(302),
            b"permanent" => redirect = Some(301),
            _ => return Err(format!("invalid parameter \"{}\"", d.text(2))),
        }
    }
    b.location().rewrite.push(Op::Rewrite(Rewrite { regex, to, end, redirect }));
    Ok(())
}

fn if_(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let test = condition(b, d)?;
    let block = b.location().ifs.len();
    b.location().rewrite.push(Op::If { test, block });
    let name = b.location().name.clone();
    b.frames.push(Frame::Location(LocationDraft::new(name, LocationKind::If)));
    Ok(())
}

fn leave(b: &mut Builder) -> Result<(), String> {
    if let Some(Frame::Location(draft)) = b.frames.pop() {
        b.location().ifs.push(draft);
    }
    Ok(())
}

fn condition(b: &mut Builder, d: &Directive) -> Result<Test, String> {
    let mut words: Vec<Vec<u8>> = d.args().to_vec();
    let invalid = |word: &[u8]| format!("invalid condition \"{}\"", String::from_utf8_lossy(word));
    // The parentheses may stand alone or stick to their neighbours.
    match words.first().map(Vec::as_slice) {
        Some(b"(") => drop(words.remove(0)),
        Some([b'(', ..]) => drop(words[0].remove(0)),
        Some(first) => return Err(invalid(first)),
        None => return Err(invalid(b"")),
    }
    match words.last().map(Vec::as_slice) {
        Some(b")") => drop(words.pop()),
        Some([.., b')']) => drop(words.last_mut().and_then(Vec::pop)),
        Some(last) => return Err(invalid(last)),
        None => return Err(invalid(b"")),
    }
    let Some(first) = words.first().cloned() else { return Err(invalid(b"")) };
    if first.len() > 1 && first[0] == b'$' {
        let value = b.value(&first)?;
        let (operator, right) = match words.as_slice() {
            [_] => return Ok(Test::True(value)),
            [_, operator, right] => (operator.clone(), right.clone()),
            [_, _] => return Err(invalid(&first)),
            [_, _, _, extra, ..] => return Err(invalid(extra)),
            [] => return Err(invalid(b"")),
        };
        return match operator.as_slice() {
            b"=" | b"!=" => Ok(Test::Equal { value, to: b.value(&right)?, not: operator[0] == b'!' }),
            b"~" | b"~*" | b"!~" | b"!~*" => {
                let regex = Regex::new(&right, operator.ends_with(b"*"))?;
                for (group, _) in &regex.names {
                    b.http().define(group.as_bytes());
                }
                Ok(Test::Match { value, regex, not: operator[0] == b'!' })
            }
            other => Err(format!("unexpected \"{}\" in condition", String::from_utf8_lossy(other))),
        };
    }
    let (not, flag) = match first.strip_prefix(b"!") {
        Some(rest) => (true, rest),
        None => (false, &first[..]),
    };
    let kind = match flag {
        b"-f" => FileTest::File,
        b"-d" => FileTest::Directory,
        b"-e" => FileTest::Exists,
        b"-x" => FileTest::Executable,
        _ => return Err(invalid(&first)),
    };
    let [_, path] = words.as_slice() else { return Err(invalid(&first)) };
    Ok(Test::File { path: b.value(path)?, kind, not })
}
