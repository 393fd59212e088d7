//! The userid module.

use super::super::scalar;
use super::super::settings::UserId;
use super::arity::{ONE, ONE_MORE};
use super::context::ALL;
use super::{Row, choose, row};
use crate::http::filter::userid::FLAGS;

pub static ROWS: &[Row] = &[
    row("userid", ALL, ONE, |b, d| {
        let modes = [("off", UserId::Off), ("log", UserId::Log), ("v1", UserId::V1), ("on", UserId::On)];
        let mode = choose(d, &modes)?;
        b.put(d, |s| &mut s.userid, mode)
    }),
    row("userid_service", ALL, ONE, |b, d| {
        let number = scalar::number(d.arg(0)).and_then(|n| u32::try_from(n).ok());
        let number = number.ok_or_else(|| d.says("invalid number"))?;
        b.put(d, |s| &mut s.userid_service, number)
    }),
    row("userid_name", ALL, ONE, |b, d| b.put(d, |s| &mut s.userid_name, d.arg(0).to_vec())),
    row("userid_domain", ALL, ONE, |b, d| {
        let domain = if d.arg(0) == b"none" { Vec::new() } else { d.arg(0).to_vec() };
        b.put(d, |s| &mut s.userid_domain, domain)
    }),
    row("userid_path", ALL, ONE, |b, d| b.put(d, |s| &mut s.userid_path, d.arg(0).to_vec())),
    row("userid_expires", ALL, ONE, |b, d| {
        let expires = match d.arg(0) {
            b"max" => Some(u64::MAX),
            b"off" => None,
            word => Some(scalar::sec(word).ok_or_else(|| "invalid value".to_string())?),
        };
        b.put(d, |s| &mut s.userid_expires, expires)
    }),
    row("userid_flags", ALL, ONE_MORE, |b, d| {
        let mut flags = Vec::new();
        for word in d.args() {
            if word == b"off" && d.args().len() == 1 {
                continue;
            }
            if !FLAGS.iter().any(|(known, _)| known == word) {
                return Err(format!("invalid value \"{}\"", String::from_utf8_lossy(word)));
            }
            flags.push(word.clone());
        }
        b.put(d, |s| &mut s.userid_flags, flags)
    }),
    row("userid_p3p", ALL, ONE, |b, d| {
        let value = if d.arg(0) == b"none" { Vec::new() } else { d.arg(0).to_vec() };
        b.put(d, |s| &mut s.userid_p3p, value)
    }),
    row("userid_mark", ALL, ONE, |b, d| {
        let mark = match d.arg(0) {
            b"off" => None,
            [mark @ (b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'=')] => Some(*mark),
            _ => return Err("value must be \"off\" or a single letter, digit or \"=\"".into()),
        };
        b.put(d, |s| &mut s.userid_mark, mark)
    }),
];
