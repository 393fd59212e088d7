//! The lua_ssl_* directives: how cosockets do TLS. Files are read when the configuration is, and what they say is checked when the
//! levels are merged.

use std::path::Path;
use std::sync::Arc;

use ngx::tls::{Client, KeyLines, PemFile, Protocols};

use super::super::build::{Builder, Directive};
use super::super::settings::Settings;
use super::arity::{ONE, ONE_MORE, TWO};
use super::context::ALL;
use super::{Row, row};
use crate::log::LogFile;

pub static ROWS: &[Row] = &[
    row("lua_ssl_protocols", ALL, ONE_MORE, protocols),
    row("lua_ssl_ciphers", ALL, ONE, |b, d| {
        let list = d.text(0);
        b.put(d, |s| &mut s.lua_ssl_ciphers, list)
    }),
    row("lua_ssl_certificate", ALL, ONE, |b, d| file(b, d, |s| &mut s.lua_ssl_certificate)),
    row("lua_ssl_certificate_key", ALL, ONE, |b, d| file(b, d, |s| &mut s.lua_ssl_certificate_key)),
    row("lua_ssl_trusted_certificate", ALL, ONE, |b, d| file(b, d, |s| &mut s.lua_ssl_trusted_certificate)),
    row("lua_ssl_crl", ALL, ONE, |b, d| file(b, d, |s| &mut s.lua_ssl_crl)),
    row("lua_ssl_verify_depth", ALL, ONE, |b, d| b.number(d, |s| &mut s.lua_ssl_verify_depth)),
    row("lua_ssl_key_log", ALL, ONE, |b, d| {
        let log = b.log_file(b.conf_prefix.join(d.text(0)));
        b.put(d, |s| &mut s.lua_ssl_key_log, log)
    }),
    row("lua_ssl_conf_command", ALL, TWO, |b, d| {
        let slot = &mut b.settings().lua_ssl_conf_commands;
        let before = slot.iter().flat_map(|list| list.iter().cloned());
        *slot = Some(before.chain([(d.text(0), d.text(1))]).collect());
        Ok(())
    }),
];

fn protocols(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let mut bits = b.settings().lua_ssl_protocols.map_or(0, |protocols| protocols.0);
    for word in d.args() {
        let shown = String::from_utf8_lossy(word);
        let known = Protocols::NAMES.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        let (_, bit) = known.ok_or_else(|| format!("invalid value \"{shown}\""))?;
        if bits & bit != 0 {
            b.warn(&d.pos, &format!("duplicate value \"{shown}\""));
        }
        bits |= bit;
    }
    b.settings().lua_ssl_protocols = Some(Protocols(bits));
    Ok(())
}

/// (An empty name is none.)
fn file(b: &mut Builder, d: &Directive, slot: fn(&mut Settings) -> &mut Option<Option<PemFile>>) -> Result<(), String> {
    if slot(b.settings()).is_some() {
        return Err(d.says("is duplicate"));
    }
    let path = b.conf_prefix.join(d.text(0));
    let file = match d.arg(0) {
        b"" => None,
        _ => Some(PemFile { path: path.to_string_lossy().into_owned(), bytes: read(b, &path) }),
    };
    b.put(d, slot, file)
}

fn read(b: &mut Builder, path: &Path) -> Result<Arc<[u8]>, (i32, String)> {
    match b.material(path) {
        Ok(bytes) => Ok(Arc::from(bytes)),
        // (fopen(3) opens a directory; there is nothing in it)
        Err(e) if e.kind() == std::io::ErrorKind::IsADirectory => Ok(Arc::from([])),
        Err(e) => Err((e.raw_os_error().unwrap_or(0), stdlib::io_error(&e))),
    }
}

/// What a level's settings, merged with the level outside, make of TLS. Levels that say the same share it.
pub fn merge(settings: &mut Settings, outer: &Settings) -> Result<(), String> {
    let asked = asked(settings);
    let same = outer.lua_tls.as_ref().filter(|_| asked == self::asked(outer));
    settings.lua_tls = Some(match same {
        Some(client) => client.clone(),
        None if asked == ngx::tls::Settings::default() => Client::standard(),
        None => Arc::new(Client::new(&asked)?),
    });
    Ok(())
}

fn asked(s: &Settings) -> ngx::tls::Settings {
    ngx::tls::Settings {
        protocols: s.lua_ssl_protocols,
        ciphers: s.lua_ssl_ciphers.clone(),
        certificate: s.lua_ssl_certificate.clone().flatten(),
        certificate_key: s.lua_ssl_certificate_key.clone().flatten(),
        trusted: s.lua_ssl_trusted_certificate.clone().flatten(),
        revoked: s.lua_ssl_crl.clone().flatten(),
        depth: s.lua_ssl_verify_depth.map(|depth| usize::try_from(depth).unwrap_or(usize::MAX)),
        key_log: s.lua_ssl_key_log.clone().map(|log| -> Arc<dyn KeyLines> { log }),
        commands: s.lua_ssl_conf_commands.clone(),
    }
}

impl KeyLines for LogFile {
    fn write(&self, line: &[u8]) {
        LogFile::write(self, line);
    }
}
