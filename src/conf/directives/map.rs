//! `map`.

use std::collections::HashMap;

use super::super::build::{Builder, Directive, Frame};
use super::super::draft::{Definition, MapDraft};
use super::super::tree::Map;
use super::arity::{ONE, TWO};
use super::context::HTTP;
use super::{Block, Row, nothing, row};

pub static ROWS: &[Row] = &[
    Row { name: "map", at: HTTP, args: TWO, block: Block::Items { item, leave }, set: enter },
    row("map_hash_max_size", HTTP, ONE, nothing),
    row("map_hash_bucket_size", HTTP, ONE, nothing),
];

fn enter(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let source = b.value(d.arg(0))?;
    let Some(name) = d.arg(1).strip_prefix(b"$") else {
        return Err(format!("invalid variable name \"{}\"", d.text(1)));
    };
    let slot = b.http().names.id(name);
    let (leading, trailing, regexes) = (Vec::new(), Vec::new(), Vec::new());
    let map = Map { hostnames: false, source, exact: HashMap::new(), leading, trailing, regexes, default: None };
    b.frames.push(Frame::Map(MapDraft { slot, map, hostnames: false, volatile: false }));
    Ok(())
}

fn item(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let words: Vec<&[u8]> = d.words.iter().map(Vec::as_slice).collect();
    let draft = |b: &mut Builder, change: &dyn Fn(&mut MapDraft)| {
        if let Some(Frame::Map(map)) = b.frames.last_mut() {
            change(map);
        }
    };
    match words.as_slice() {
        [b"hostnames"] => draft(b, &|map| map.hostnames = true),
        [b"volatile"] => draft(b, &|map| map.volatile = true),
        [key, value] => {
            let value = b.value(value)?;
            if let Some(Frame::Map(map)) = b.frames.last_mut() {
                map.add(key, value)?;
            }
        }
        _ => return Err("invalid number of the map parameters".into()),
    }
    Ok(())
}

fn leave(b: &mut Builder) -> Result<(), String> {
    if let Some(Frame::Map(mut draft)) = b.frames.pop() {
        draft.map.hostnames = draft.hostnames;
        let http = b.http();
        http.maps.push(draft.map);
        let number = http.maps.len() - 1;
        http.vars.insert(draft.slot, Definition::Map { number, volatile: draft.volatile });
    }
    Ok(())
}
