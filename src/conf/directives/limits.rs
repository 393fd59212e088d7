//! The limit_req and limit_conn modules.

use std::sync::Arc;

use ngx::log::Level;

use super::super::build::{Builder, Directive};
use super::super::scalar;
use super::super::settings::Settings;
use super::arity::{ONE, THREE, TWO};
use super::context::{ALL, HTTP};
use super::{Row, choose, row};
use crate::http::modules::{limit_conn, limit_req};

pub static ROWS: &[Row] = &[
    row("limit_req_zone", HTTP, THREE, limit_req_zone),
    row("limit_req", ALL, ONE | TWO | THREE, limit_req),
    row("limit_req_status", ALL, ONE, |b, d| status(b, d, |s| &mut s.limit_req_status)),
    row("limit_req_log_level", ALL, ONE, |b, d| level(b, d, |s| &mut s.limit_req_log_level)),
    row("limit_req_dry_run", ALL, ONE, |b, d| b.flag(d, |s| &mut s.limit_req_dry_run)),
    row("limit_conn_zone", HTTP, TWO, limit_conn_zone),
    row("limit_conn", ALL, TWO, limit_conn),
    row("limit_conn_status", ALL, ONE, |b, d| status(b, d, |s| &mut s.limit_conn_status)),
    row("limit_conn_log_level", ALL, ONE, |b, d| level(b, d, |s| &mut s.limit_conn_log_level)),
    row("limit_conn_dry_run", ALL, ONE, |b, d| b.flag(d, |s| &mut s.limit_conn_dry_run)),
];

/// The smallest zone: eight pages.
const SMALLEST: u64 = 8 * 4096;

/// `zone=NAME:SIZE`
fn zone(word: &str) -> Result<(&str, u64), String> {
    let text = word.strip_prefix("zone=").unwrap_or(word);
    let invalid = || format!("invalid zone size \"{word}\"");
    let (name, size) = text.split_once(':').ok_or_else(invalid)?;
    if name.is_empty() {
        return Err(format!("invalid zone name \"{word}\""));
    }
    let size = scalar::size(size.as_bytes()).ok_or_else(invalid)?;
    if size < SMALLEST {
        return Err(format!("zone \"{word}\" is too small"));
    }
    Ok((name, size))
}

fn limit_req_zone(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let key = b.value(d.arg(0))?;
    let (mut name, mut rate) = (None, 1000);
    for word in &d.args()[1..] {
        let text = String::from_utf8_lossy(word).into_owned();
        if text.starts_with("zone=") {
            let (zone, size) = zone(&text)?;
            name = Some((zone.to_string(), size));
        } else if let Some(number) = text.strip_prefix("rate=") {
            let (number, scale) = match (number.strip_suffix("r/s"), number.strip_suffix("r/m")) {
                (Some(number), _) => (number, 1),
                (_, Some(number)) => (number, 60),
                _ => (number, 1),
            };
            let number = scalar::number(number.as_bytes()).filter(|number| *number > 0);
            let number = number.and_then(|number| number.checked_mul(1000));
            rate = number.ok_or_else(|| format!("invalid rate \"{text}\""))? / scale;
        } else {
            return Err(format!("invalid parameter \"{text}\""));
        }
    }
    let Some((name, size)) = name else { return Err(format!("\"{}\" must have \"zone\" parameter", d.name)) };
    let buckets = limit_req::buckets(&name, size);
    let zone = b.http().limit_reqs.named(&name);
    zone.defined.set(limit_req::Definition { key, rate, buckets }).map_err(|old| {
        let _ = old;
        format!("{} \"{name}\" is already bound to another key", d.name)
    })
}

fn limit_req(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let (mut name, mut burst, mut delay, mut nodelay) = (None, 0, 0, false);
    for word in d.args() {
        let text = String::from_utf8_lossy(word).into_owned();
        let number =
            |digits: &str| scalar::number(digits.as_bytes()).filter(|n| *n > 0).and_then(|n| n.checked_mul(1000));
        if let Some(zone) = text.strip_prefix("zone=") {
            name = Some(zone.to_string());
        } else if let Some(digits) = text.strip_prefix("burst=") {
            burst = number(digits).ok_or_else(|| format!("invalid burst value \"{text}\""))?;
        } else if let Some(digits) = text.strip_prefix("delay=") {
            delay = number(digits).ok_or_else(|| format!("invalid delay value \"{text}\""))?;
        } else if text == "nodelay" {
            nodelay = true;
        } else {
            return Err(format!("invalid parameter \"{text}\""));
        }
    }
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Err(format!("\"{}\" must have \"zone\" parameter", d.name));
    };
    let zone = b.http().limit_reqs.named(&name);
    let mut all = b.settings().limit_req.as_deref().unwrap_or_default().to_vec();
    if all.iter().any(|known| Arc::ptr_eq(&known.zone, &zone)) {
        return Err(d.says("is duplicate"));
    }
    all.push(limit_req::Limit { zone, burst, delay: (!nodelay).then_some(delay) });
    b.settings().limit_req = Some(Arc::from(all));
    Ok(())
}

fn limit_conn_zone(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let key = b.value(d.arg(0))?;
    let text = d.text(1);
    if !text.starts_with("zone=") {
        return Err(format!("invalid parameter \"{text}\""));
    }
    let (name, size) = zone(&text)?;
    let most = usize::try_from(size / 64).unwrap_or(usize::MAX);
    let zone = b.http().limit_conns.named(name);
    let counts = limit_conn::counts(name);
    zone.defined.set(limit_conn::Definition { key, most, counts }).map_err(|old| {
        let _ = old;
        format!("{} \"{name}\" is already bound to another key", d.name)
    })
}

fn limit_conn(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let zone = b.http().limit_conns.named(&d.text(0));
    let most = scalar::number(d.arg(1)).filter(|most| *most > 0);
    let most = most.ok_or_else(|| format!("invalid number of connections \"{}\"", d.text(1)))?;
    if most > 65_535 {
        return Err("connection limit must be less 65536".into());
    }
    let mut all = b.settings().limit_conn.as_deref().unwrap_or_default().to_vec();
    if all.iter().any(|known| Arc::ptr_eq(&known.zone, &zone)) {
        return Err(d.says("is duplicate"));
    }
    all.push(limit_conn::Limit { zone, most });
    b.settings().limit_conn = Some(Arc::from(all));
    Ok(())
}

fn status(b: &mut Builder, d: &Directive, slot: fn(&mut Settings) -> &mut Option<u16>) -> Result<(), String> {
    let status = scalar::number(d.arg(0)).ok_or_else(|| d.says("invalid number"))?;
    match u16::try_from(status) {
        Ok(status @ 400..=599) => b.put(d, slot, status),
        _ if status < 400 => Err("value must be equal to or greater than 400".into()),
        _ => Err("value must be equal to or less than 599".into()),
    }
}

fn level(b: &mut Builder, d: &Directive, slot: fn(&mut Settings) -> &mut Option<Level>) -> Result<(), String> {
    let levels = [("info", Level::Info), ("notice", Level::Notice), ("warn", Level::Warn), ("error", Level::Error)];
    let level = choose(d, &levels)?;
    b.put(d, slot, level)
}
