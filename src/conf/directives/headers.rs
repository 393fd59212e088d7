//! `add_header`, `add_trailer`, `expires` and the headers-more module.

use std::sync::Arc;

use super::super::build::{Builder, Directive};
use super::super::scalar;
use super::super::settings::{AddHeader, Expires, MoreHeader, Settings};
use super::arity::{ONE, ONE_MORE, THREE, TWO};
use super::context::ALL_IF;
use super::{Row, row};

pub static ROWS: &[Row] = &[
    row("add_header", ALL_IF, TWO | THREE, add_header),
    row("add_trailer", ALL_IF, TWO | THREE, |b, d| add(b, d, |s| &mut s.add_trailer)),
    row("expires", ALL_IF, ONE | TWO, expires),
    row("more_set_headers", ALL_IF, ONE_MORE, |b, d| more(b, d, false, false)),
    row("more_clear_headers", ALL_IF, ONE_MORE, |b, d| more(b, d, false, true)),
    row("more_set_input_headers", ALL_IF, ONE_MORE, |b, d| more(b, d, true, false)),
    row("more_clear_input_headers", ALL_IF, ONE_MORE, |b, d| more(b, d, true, true)),
];

fn add_header(b: &mut Builder, d: &Directive) -> Result<(), String> {
    add(b, d, |s| &mut s.add_header)
}

fn add(b: &mut Builder, d: &Directive, slot: fn(&mut Settings) -> &mut Option<Arc<[AddHeader]>>) -> Result<(), String> {
    let always = match d.args().get(2).map(Vec::as_slice) {
        None => false,
        Some(b"always") => true,
        Some(other) => return Err(format!("invalid parameter \"{}\"", String::from_utf8_lossy(other))),
    };
    let name = d.arg(0).to_vec();
    let value = b.value(d.arg(1))?;
    let mut all = slot(b.settings()).as_deref().unwrap_or_default().to_vec();
    all.push(AddHeader { name, value, always });
    *slot(b.settings()) = Some(Arc::from(all));
    Ok(())
}

fn expires(b: &mut Builder, d: &Directive) -> Result<(), String> {
    if b.settings().expires.is_some() {
        return Err(d.says("is duplicate"));
    }
    let words: Vec<u8> = d.args().join(&b' ');
    let value = match words.contains(&b'$') {
        true => Expires::Variable(b.value(&words)?),
        false => Expires::parse(&words).ok_or_else(|| d.says("invalid value"))?,
    };
    b.put(d, |s| &mut s.expires, value)
}

fn more(b: &mut Builder, d: &Directive, input: bool, clear: bool) -> Result<(), String> {
    let (mut statuses, mut types, mut replace, mut append) = (Vec::new(), Vec::new(), false, false);
    let mut headers = Vec::new();
    let mut words = d.args().iter();
    while let Some(word) = words.next() {
        let mut list = || {
            let list = words.next().ok_or_else(|| {
                format!("{}: option \"{}\" takes an argument.", d.name, String::from_utf8_lossy(word))
            })?;
            Ok::<_, String>(list.split(u8::is_ascii_whitespace).filter(|part| !part.is_empty()).collect::<Vec<_>>())
        };
        match word.as_slice() {
            b"-s" if !input => {
                for part in list()? {
                    let status = scalar::number(part).and_then(|n| u16::try_from(n).ok());
                    statuses.push(status.ok_or_else(|| format!("invalid digit in status \"{}\"", d.name))?);
                }
            }
            b"-t" => types.extend(list()?.into_iter().map(<[u8]>::to_vec)),
            b"-r" => replace = true,
            b"-a" => append = true,
            header => headers.push(header.to_vec()),
        }
    }
    let mut all = b.settings().more_headers.as_deref().unwrap_or_default().to_vec();
    for header in headers {
        let (name, value) = match header.iter().position(|&b| b == b':') {
            Some(colon) => (&header[..colon], header[colon + 1..].trim_ascii()),
            None => (&header[..], &b""[..]),
        };
        // Setting to nothing is clearing.
        let value = if clear || value.is_empty() { None } else { Some(b.value(value)?) };
        let name = name.trim_ascii().to_vec();
        all.push(MoreHeader { input, name, value, statuses: statuses.clone(), types: types.clone(), replace, append });
    }
    b.settings().more_headers = Some(Arc::from(all));
    Ok(())
}
