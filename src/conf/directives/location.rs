//! `location`, `try_files`, `limit_except`: the shapes below a server.

use std::sync::Arc;

use super::super::build::{Builder, Directive, Frame};
use super::super::draft::LocationDraft;
use super::super::regex::Regex;
use super::super::scalar;
use super::super::settings::{TryFiles, TryLast};
use super::super::tree::LocationKind;
use super::arity::{ONE, ONE_MORE, TWO, TWO_MORE};
use super::context::{LIMIT_EXCEPT, LOCATION, SERVER};
use super::{Block, Row, row};

pub static ROWS: &[Row] = &[
    Row {
        name: "location",
        at: SERVER | LOCATION,
        args: ONE | TWO,
        block: Block::Open { inner: LOCATION, leave },
        set: enter,
    },
    Row {
        name: "limit_except",
        at: LOCATION,
        args: ONE_MORE,
        block: Block::Open { inner: LIMIT_EXCEPT, leave: leave_except },
        set: except,
    },
    row("try_files", SERVER | LOCATION, TWO_MORE, try_files),
];

fn enter(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let (kind, name) = if d.args().len() == 2 {
        let name = d.arg(1).to_vec();
        let kind = match d.arg(0) {
            b"=" => LocationKind::Exact,
            b"^~" => LocationKind::Prefix { no_regex: true },
            b"~" => LocationKind::Regex(Regex::new(&name, false)?),
            b"~*" => LocationKind::Regex(Regex::new(&name, true)?),
            _ => return Err(format!("invalid location modifier \"{}\"", d.text(0))),
        };
        (kind, name)
    } else {
        // The modifier may be written without a space.
        match d.arg(0) {
            [b'=', name @ ..] => (LocationKind::Exact, name.to_vec()),
            [b'^', b'~', name @ ..] => (LocationKind::Prefix { no_regex: true }, name.to_vec()),
            [b'~', b'*', name @ ..] => (LocationKind::Regex(Regex::new(name, true)?), name.to_vec()),
            [b'~', name @ ..] => (LocationKind::Regex(Regex::new(name, false)?), name.to_vec()),
            [b'@', ..] => (LocationKind::Named, d.arg(0).to_vec()),
            name => (LocationKind::Prefix { no_regex: false }, name.to_vec()),
        }
    };
    if let LocationKind::Regex(regex) = &kind {
        for (group, _) in regex.names.clone() {
            b.http().define(group.as_bytes());
        }
    }
    let draft = LocationDraft::new(name, kind);
    if let Some(Frame::Location(outer)) = b.frames.last() {
        nested(outer, &draft)?;
    }
    b.frames.push(Frame::Location(draft));
    Ok(())
}

fn nested(outer: &LocationDraft, inner: &LocationDraft) -> Result<(), String> {
    let (inside, around) = (String::from_utf8_lossy(&inner.name), String::from_utf8_lossy(&outer.name));
    if matches!(outer.kind, LocationKind::Exact) {
        return Err(format!("location \"{inside}\" cannot be inside the exact location \"{around}\""));
    }
    if matches!(outer.kind, LocationKind::Named) {
        return Err(format!("location \"{inside}\" cannot be inside the named location \"{around}\""));
    }
    if matches!(inner.kind, LocationKind::Named) {
        return Err(format!("named location \"{inside}\" can be on the server level only"));
    }
    let regexes = matches!(outer.kind, LocationKind::Regex(_)) || matches!(inner.kind, LocationKind::Regex(_));
    if !regexes && !inner.name.starts_with(&outer.name) {
        return Err(format!("location \"{inside}\" is outside location \"{around}\""));
    }
    Ok(())
}

fn leave(b: &mut Builder) -> Result<(), String> {
    let Some(Frame::Location(draft)) = b.frames.pop() else { return Ok(()) };
    let siblings = &mut b.location().children;
    let same = |other: &&LocationDraft| {
        other.name == draft.name
            && std::mem::discriminant(&other.kind) == std::mem::discriminant(&draft.kind)
            && !matches!(draft.kind, LocationKind::Regex(_) | LocationKind::Named)
    };
    if siblings.iter().find(same).is_some() {
        return Err(format!("duplicate location \"{}\"", String::from_utf8_lossy(&draft.name)));
    }
    siblings.push(draft);
    Ok(())
}

fn except(b: &mut Builder, d: &Directive) -> Result<(), String> {
    if b.location().except.is_some() {
        return Err("duplicate limit_except".into());
    }
    let mut methods = Vec::new();
    for word in d.args() {
        let name = String::from_utf8_lossy(word).to_ascii_uppercase();
        // (nginx has a number for TRACE, and no word here)
        if name == "TRACE" || !ngx::METHODS.contains(&name.as_str()) {
            return Err(format!("invalid method \"{}\"", String::from_utf8_lossy(word)));
        }
        // Who may GET may HEAD.
        if name == "GET" {
            methods.push(b"HEAD".to_vec());
        }
        methods.push(name.into_bytes());
    }
    let name = b.location().name.clone();
    let block = LocationDraft::new(name, LocationKind::If);
    b.location().except = Some((methods, Box::new(LocationDraft::new(Vec::new(), LocationKind::If))));
    b.frames.push(Frame::Location(block));
    Ok(())
}

fn leave_except(b: &mut Builder) -> Result<(), String> {
    if let Some(Frame::Location(draft)) = b.frames.pop()
        && let Some((_, block)) = &mut b.location().except
    {
        **block = draft;
    }
    Ok(())
}

fn try_files(b: &mut Builder, d: &Directive) -> Result<(), String> {
    if b.settings().try_files.is_some() {
        return Err(d.says("is duplicate"));
    }
    let mut files = Vec::new();
    let (Some(last), rest) = (d.args().last(), &d.args()[..d.args().len() - 1]) else { return Ok(()) };
    for word in rest {
        let directory = word.len() > 1 && word.ends_with(b"/");
        let name = if directory { &word[..word.len() - 1] } else { word };
        files.push((b.value(name)?, directory));
    }
    let last = match last.as_slice() {
        [b'=', code @ ..] => {
            let code = scalar::number(code).and_then(|n| u16::try_from(n).ok()).filter(|n| *n <= 999);
            TryLast::Status(code.ok_or_else(|| format!("invalid code \"{}\"", String::from_utf8_lossy(last)))?)
        }
        [b'@', ..] => TryLast::Named(last.clone()),
        uri => TryLast::Uri(b.value(uri)?),
    };
    b.put(d, |s| &mut s.try_files, Arc::new(TryFiles { files, last }))
}
