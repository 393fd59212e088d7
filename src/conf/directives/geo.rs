//! `geo` and `split_clients`: variables by address, and by proportion.

use std::net::Ipv4Addr;

use super::super::build::{Builder, Directive, Frame};
use super::super::draft::Definition;
use super::super::value::VarId;
use super::access::network;
use super::arity::{ONE, TWO};
use super::context::HTTP;
use super::{Block, Row};
use crate::http::modules::geo::Geo;
use crate::http::modules::split_clients::Split;

pub static ROWS: &[Row] = &[
    Row { name: "geo", at: HTTP, args: ONE | TWO, block: Block::Items { item: geo_item, leave: leave_geo }, set: geo },
    Row {
        name: "split_clients",
        at: HTTP,
        args: TWO,
        block: Block::Items { item: split_item, leave: leave_split },
        set: split,
    },
];

pub struct GeoDraft {
    slot: VarId,
    geo: Geo,
    volatile: bool,
}

pub struct SplitDraft {
    slot: VarId,
    split: Split,
    /// Hundredths of a percent given away so far.
    sum: u64,
}

fn name(d: &Directive, n: usize) -> Result<&[u8], String> {
    d.arg(n).strip_prefix(b"$").ok_or_else(|| format!("invalid variable name \"{}\"", d.text(n)))
}

fn geo(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let mut geo = Geo::default();
    let target = name(d, d.args().len() - 1)?;
    if d.args().len() == 2 {
        name(d, 0)?;
        geo.source = Some(b.value(d.arg(0))?);
    }
    let slot = b.http().names.id(target);
    b.frames.push(Frame::Geo(Box::new(GeoDraft { slot, geo, volatile: false })));
    Ok(())
}

fn geo_item(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let words: Vec<&[u8]> = d.words.iter().map(Vec::as_slice).collect();
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let parsed = match words.as_slice() {
        [b"ranges" | b"volatile" | b"proxy_recursive"] | [b"default", _] | [_] => None,
        [b"proxy", word] => Some(network(b, d, word)?),
        // (these have a notation of their own)
        _ if matches!(b.frames.last(), Some(Frame::Geo(draft)) if draft.geo.ranges.is_some()) => None,
        [b"delete", word] | [word, _] => match *word {
            b"255.255.255.255" => Some(network(b, d, b"255.255.255.255/32")?),
            word => Some(network(b, d, word).map_err(|_| format!("invalid network \"{}\"", text(word)))?),
        },
        _ => None,
    };
    let Some(Frame::Geo(draft)) = b.frames.last_mut() else { return Ok(()) };
    match words.as_slice() {
        [b"ranges"] => {
            if !draft.geo.networks.is_empty() {
                return Err("the \"ranges\" directive must be the first directive inside \"geo\" block".into());
            }
            draft.geo.ranges = Some(Vec::new());
        }
        [b"volatile"] => draft.volatile = true,
        [b"proxy_recursive"] => draft.geo.proxy_recursive = true,
        [b"default", value] => draft.geo.default = value.to_vec(),
        [b"proxy", _] => draft.geo.proxies.extend(parsed),
        [word, value] if draft.geo.ranges.is_some() => {
            let deletes = *word == b"delete";
            let (first, last) = range(if deletes { value } else { word })?;
            if !deletes {
                draft.geo.add_range(first, last, value.to_vec());
            } else if !draft.geo.delete_range(first, last) {
                let message = format!("no address range \"{}\" to delete", text(value));
                b.warn(&d.pos, &message);
            }
        }
        [b"delete", word] => {
            let gone = parsed.is_some_and(|network| draft.geo.remove(network));
            if !gone {
                let message = format!("no network \"{}\" to delete", text(word));
                b.warn(&d.pos, &message);
            }
        }
        [word, value] => {
            if let Some(network) = parsed
                && let Some(old) = draft.geo.add(network, value.to_vec())
            {
                let message = format!(
                    "duplicate network \"{}\", value: \"{}\", old value: \"{}\"",
                    text(word),
                    text(value),
                    text(&old)
                );
                b.warn(&d.pos, &message);
            }
        }
        _ => return Err("invalid number of the geo parameters".into()),
    }
    Ok(())
}

fn range(word: &[u8]) -> Result<(Ipv4Addr, Ipv4Addr), String> {
    let text = String::from_utf8_lossy(word);
    let parsed = text.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    parsed.filter(|(first, last)| first <= last).ok_or_else(|| format!("invalid range \"{text}\""))
}

fn leave_geo(b: &mut Builder) -> Result<(), String> {
    if let Some(Frame::Geo(draft)) = b.frames.pop() {
        let http = b.http();
        http.geos.push(draft.geo);
        let number = http.geos.len() - 1;
        http.vars.insert(draft.slot, Definition::Geo { number, volatile: draft.volatile });
    }
    Ok(())
}

fn split(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let source = b.value(d.arg(0))?;
    let slot = b.http().names.id(name(d, 1)?);
    b.frames.push(Frame::Split(Box::new(SplitDraft { slot, split: Split { source, parts: Vec::new() }, sum: 0 })));
    Ok(())
}

fn split_item(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let [part, value] = d.words.as_slice() else { return Err("invalid number of the split_clients parameters".into()) };
    let value = b.value(value)?;
    let Some(Frame::Split(draft)) = b.frames.last_mut() else { return Ok(()) };
    if part == b"*" {
        draft.split.parts.push((u32::MAX, value));
        return Ok(());
    }
    let invalid = || format!("invalid percent value \"{}\"", String::from_utf8_lossy(part));
    let text = std::str::from_utf8(part).ok().and_then(|text| text.strip_suffix('%')).ok_or_else(invalid)?;
    // Two digits behind the point.
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number =
        |digits: &str| if digits.is_empty() { Some(0) } else { super::super::scalar::number(digits.as_bytes()) };
    let hundredths = match (number(whole), number(fraction), fraction.len()) {
        (Some(whole), Some(fraction), 0 | 2) => whole * 100 + fraction,
        (Some(whole), Some(fraction), 1) => whole * 100 + fraction * 10,
        _ => return Err(invalid()),
    };
    draft.sum += hundredths;
    if hundredths == 0 {
        return Err(invalid());
    }
    if draft.sum > 10_000 {
        return Err("percent total is greater than 100%".into());
    }
    let last = u64::from(u32::MAX) * draft.sum / 10_000;
    draft.split.parts.push((u32::try_from(last).unwrap_or(u32::MAX), value));
    Ok(())
}

fn leave_split(b: &mut Builder) -> Result<(), String> {
    if let Some(Frame::Split(draft)) = b.frames.pop() {
        let http = b.http();
        http.splits.push(draft.split);
        let number = http.splits.len() - 1;
        http.vars.insert(draft.slot, Definition::Split(number));
    }
    Ok(())
}
