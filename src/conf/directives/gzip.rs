//! The gzip, gunzip and gzip_static modules.

use std::sync::Arc;

use super::super::regex::Regex;
use super::super::scalar;
use super::super::settings::{GzipStatic, Proxied};
use super::arity::{ONE, ONE_MORE, TWO};
use super::context::{ALL, ALL_IF};
use super::{Row, choose, nothing, row, types};

pub static ROWS: &[Row] = &[
    row("gzip", ALL_IF, ONE, |b, d| b.flag(d, |s| &mut s.gzip)),
    row("gzip_types", ALL, ONE_MORE, |b, d| types(b, d, |s| &mut s.gzip_types)),
    row("gzip_min_length", ALL, ONE, |b, d| b.size(d, |s| &mut s.gzip_min_length)),
    row("gzip_comp_level", ALL, ONE, |b, d| {
        let level = scalar::number(d.arg(0)).ok_or_else(|| d.says("invalid number"))?;
        match level {
            1..=9 => b.put(d, |s| &mut s.gzip_comp_level, level),
            0 => Err("value must be equal to or greater than 1".into()),
            _ => Err("value must be equal to or less than 9".into()),
        }
    }),
    row("gzip_vary", ALL, ONE, |b, d| b.flag(d, |s| &mut s.gzip_vary)),
    row("gzip_http_version", ALL, ONE, |b, d| {
        let version = choose(d, &[("1.0", 10), ("1.1", 11)])?;
        b.put(d, |s| &mut s.gzip_http_version, version)
    }),
    row("gzip_proxied", ALL, ONE_MORE, |b, d| {
        let rules = d.args().iter().map(|word| proxied(word)).collect::<Result<Vec<_>, _>>()?;
        b.put(d, |s| &mut s.gzip_proxied, Arc::from(rules))
    }),
    row("gzip_disable", ALL, ONE_MORE, |b, d| {
        let mut all = b.settings().gzip_disable.as_deref().unwrap_or_default().to_vec();
        for word in d.args() {
            let pattern: &[u8] = match word.as_slice() {
                b"msie6" => br"MSIE [4-6]\.",
                pattern => pattern,
            };
            all.push(Regex::new(pattern, true)?);
        }
        b.settings().gzip_disable = Some(Arc::from(all));
        Ok(())
    }),
    // The encoder's buffers are its own affair.
    row("gzip_buffers", ALL, TWO, nothing),
    row("gzip_window", ALL, ONE, nothing),
    row("gzip_hash", ALL, ONE, nothing),
    row("postpone_gzipping", ALL, ONE, nothing),
    row("gzip_no_buffer", ALL, ONE, nothing),
    row("gunzip", ALL, ONE, |b, d| b.flag(d, |s| &mut s.gunzip)),
    row("gunzip_buffers", ALL, TWO, nothing),
    row("gzip_static", ALL, ONE, |b, d| {
        let mode = choose(d, &[("off", GzipStatic::Off), ("on", GzipStatic::On), ("always", GzipStatic::Always)])?;
        b.put(d, |s| &mut s.gzip_static, mode)
    }),
];

fn proxied(word: &[u8]) -> Result<Proxied, String> {
    Ok(match word {
        b"off" => Proxied::Off,
        b"any" => Proxied::Any,
        b"auth" => Proxied::Auth,
        b"expired" => Proxied::Expired,
        b"no-cache" => Proxied::NoCache,
        b"no-store" => Proxied::NoStore,
        b"private" => Proxied::Private,
        b"no_last_modified" => Proxied::NoLastModified,
        b"no_etag" => Proxied::NoEtag,
        other => return Err(format!("invalid value \"{}\"", String::from_utf8_lossy(other))),
    })
}
