//! How files are opened (`disable_symlinks`), and what is remembered of open ones: `open_file_cache` and its kin, and `open_log_file_cache`.

use std::sync::Arc;
use std::time::Duration;

use super::super::build::{Builder, Directive};
use super::super::scalar;
use super::arity::{FOUR, ONE, THREE, TWO};
use super::context::ALL;
use super::{Row, row};
use crate::http::open_files::Conf;
use crate::http::symlinks::{Refuse, Rule};
use crate::log::buffer::OpenFiles;

pub static ROWS: &[Row] = &[
    row("open_file_cache", ALL, ONE | TWO, |b, d| {
        let words = words(d, &["max", "inactive"], "the \"max\"")?;
        let conf = words.map(|words| {
            Arc::new(Conf { max: words.max, inactive: Duration::from_millis(words.inactive.unwrap_or(60_000)) })
        });
        b.put(d, |s| &mut s.open_file_cache, conf)
    }),
    row("open_file_cache_valid", ALL, ONE, |b, d| b.msec(d, |s| &mut s.open_file_cache_valid)),
    row("open_file_cache_min_uses", ALL, ONE, |b, d| b.number(d, |s| &mut s.open_file_cache_min_uses)),
    row("open_file_cache_errors", ALL, ONE, |b, d| b.flag(d, |s| &mut s.open_file_cache_errors)),
    row("disable_symlinks", ALL, ONE | TWO, disable_symlinks),
    row("open_log_file_cache", ALL, ONE | TWO | THREE | FOUR, open_log_file_cache),
];

/// `max=N inactive=TIME ...`
struct Words {
    max: usize,
    inactive: Option<u64>,
    valid: Option<u64>,
    min_uses: Option<u64>,
}

/// None: `off`. `required`: how nginx calls the parameter that must be there.
fn words(d: &Directive, known: &[&str], required: &str) -> Result<Option<Words>, String> {
    let (mut max, mut found) = (None, Words { max: 0, inactive: None, valid: None, min_uses: None });
    for word in d.args() {
        let text = String::from_utf8_lossy(word).into_owned();
        let invalid = || format!("invalid \"{}\" parameter \"{text}\"", d.name);
        if text == "off" {
            return Ok(None);
        }
        let (name, value) = text.split_once('=').filter(|(name, _)| known.contains(name)).ok_or_else(invalid)?;
        let number = || scalar::number(value.as_bytes()).filter(|n| *n > 0).ok_or_else(invalid);
        let time = || scalar::msec(value.as_bytes()).ok_or_else(invalid);
        match name {
            "max" => max = Some(number()?),
            "min_uses" => found.min_uses = Some(number()?),
            "inactive" => found.inactive = Some(time()?),
            _ => found.valid = Some(time()?),
        }
    }
    let max = max.ok_or_else(|| format!("\"{}\" must have {required} parameter", d.name))?;
    found.max = usize::try_from(max).unwrap_or(usize::MAX);
    Ok(Some(found))
}

fn disable_symlinks(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let (mut refuse, mut from) = (None, None);
    for word in d.args() {
        match word.as_slice() {
            b"off" => return b.put(d, |s| &mut s.disable_symlinks, Rule { refuse: Refuse::None, from: None }),
            b"on" => refuse = Some(Refuse::All),
            b"if_not_owner" => refuse = Some(Refuse::Others),
            [b'f', b'r', b'o', b'm', b'=', value @ ..] => from = Some(b.value(value)?),
            _ => return Err(format!("invalid parameter \"{}\"", String::from_utf8_lossy(word))),
        }
    }
    let Some(refuse) = refuse else {
        return Err("\"disable_symlinks\" must have \"off\", \"on\" or \"if_not_owner\" parameter".into());
    };
    b.put(d, |s| &mut s.disable_symlinks, Rule { refuse, from })
}

fn open_log_file_cache(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let words = words(d, &["max", "min_uses", "inactive", "valid"], "\"max\"")?;
    let files = words.map(|words| {
        let uses = u32::try_from(words.min_uses.unwrap_or(1)).unwrap_or(u32::MAX);
        let ms = |value: Option<u64>, default| Duration::from_millis(value.unwrap_or(default));
        Arc::new(OpenFiles::new(words.max, uses, ms(words.inactive, 10_000), ms(words.valid, 60_000)))
    });
    b.put(d, |s| &mut s.open_log_files, files)
}
