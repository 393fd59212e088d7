//! Filters of the response body: the sub, addition and charset modules.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::build::{Builder, Directive, Frame};
use super::arity::{ONE, ONE_MORE, TWO};
use super::context::{ALL, ALL_IF, HTTP};
use super::{Block, Row, row, types};
use crate::http::filter::Table;

pub static ROWS: &[Row] = &[
    row("sub_filter", ALL, TWO, |b, d| {
        let pair = (b.value(d.arg(0))?, b.value(d.arg(1))?);
        let mut all = b.settings().sub_filter.as_deref().unwrap_or_default().to_vec();
        all.push(pair);
        b.settings().sub_filter = Some(Arc::from(all));
        Ok(())
    }),
    row("sub_filter_types", ALL, ONE_MORE, |b, d| types(b, d, |s| &mut s.sub_filter_types)),
    row("sub_filter_once", ALL, ONE, |b, d| b.flag(d, |s| &mut s.sub_filter_once)),
    row("sub_filter_last_modified", ALL, ONE, |b, d| b.flag(d, |s| &mut s.sub_filter_last_modified)),
    row("add_before_body", ALL, ONE, |b, d| b.put(d, |s| &mut s.add_before_body, d.arg(0).to_vec())),
    row("add_after_body", ALL, ONE, |b, d| b.put(d, |s| &mut s.add_after_body, d.arg(0).to_vec())),
    row("addition_types", ALL, ONE_MORE, |b, d| types(b, d, |s| &mut s.addition_types)),
    row("charset", ALL_IF, ONE, |b, d| {
        let charset = b.value(d.arg(0))?;
        b.put(d, |s| &mut s.charset, charset)
    }),
    row("source_charset", ALL_IF, ONE, |b, d| {
        let charset = b.value(d.arg(0))?;
        b.put(d, |s| &mut s.source_charset, charset)
    }),
    row("override_charset", ALL_IF, ONE, |b, d| b.flag(d, |s| &mut s.override_charset)),
    row("charset_types", ALL, ONE_MORE, |b, d| types(b, d, |s| &mut s.charset_types)),
    Row { name: "charset_map", at: HTTP, args: TWO, block: Block::Items { item, leave }, set: enter },
];

/// A `charset_map` while it is read.
pub struct MapDraft {
    from: Vec<u8>,
    to: Vec<u8>,
    utf8: bool,
    there: [Vec<u8>; 256],
    back: [u8; 256],
    letters: HashMap<char, u8>,
}

fn enter(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let (from, to) = (d.arg(0).to_ascii_lowercase(), d.arg(1).to_ascii_lowercase());
    if from == to {
        return Err(format!("\"charset_map\" between the same charsets \"{}\" and \"{}\"", d.text(0), d.text(1)));
    }
    if b.http().charsets.contains_key(&(from.clone(), to.clone())) {
        return Err(format!("duplicate \"charset_map\" between \"{}\" and \"{}\"", d.text(0), d.text(1)));
    }
    let same = |byte: usize| u8::try_from(byte).unwrap_or(b'?');
    let unknown = |byte: usize| if byte < 128 { same(byte) } else { b'?' };
    b.frames.push(Frame::Charset(Box::new(MapDraft {
        utf8: to == b"utf-8",
        from,
        to,
        there: std::array::from_fn(|byte| vec![unknown(byte)]),
        back: std::array::from_fn(unknown),
        letters: HashMap::new(),
    })));
    Ok(())
}

fn item(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let Some(Frame::Charset(map)) = b.frames.last_mut() else { return Ok(()) };
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let [from, to] = d.words.as_slice() else { return Err("invalid parameters number".into()) };
    let hex = |word: &[u8]| std::str::from_utf8(word).ok().and_then(|word| u8::from_str_radix(word, 16).ok());
    let Some(byte) = hex(from) else { return Err(format!("invalid value \"{}\"", text(from))) };
    let bytes: Option<Vec<u8>> =
        to.chunks(2).map(|pair| hex(pair).filter(|_| pair.len() == 2 || to.len() == 1)).collect();
    let bytes = bytes.filter(|bytes| !bytes.is_empty());
    let Some(bytes) = bytes else { return Err(format!("invalid value \"{}\"", text(to))) };
    if map.utf8 {
        let letter = std::str::from_utf8(&bytes).ok().and_then(|letter| letter.chars().next());
        let Some(letter) = letter else { return Err(format!("invalid value \"{}\"", text(to))) };
        map.letters.insert(letter, byte);
    } else if let [single] = bytes[..] {
        map.back[usize::from(single)] = byte;
    } else {
        return Err(format!("invalid value \"{}\"", text(to)));
    }
    map.there[usize::from(byte)] = bytes;
    Ok(())
}

fn leave(b: &mut Builder) -> Result<(), String> {
    let Some(Frame::Charset(map)) = b.frames.pop() else { return Ok(()) };
    let map = *map;
    let (there, back) = if map.utf8 {
        (Table::ToUtf8(Box::new(map.there)), Table::FromUtf8(map.letters))
    } else {
        let first = map.there.map(|bytes| bytes.first().copied().unwrap_or(b'?'));
        (Table::Bytes(Box::new(first)), Table::Bytes(Box::new(map.back)))
    };
    let charsets = &mut b.http().charsets;
    charsets.insert((map.from.clone(), map.to.clone()), Arc::new(there));
    charsets.insert((map.to, map.from), Arc::new(back));
    Ok(())
}
