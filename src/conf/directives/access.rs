//! Who may: the access, auth_basic, auth_request, realip, referer and secure_link modules.

use std::sync::Arc;

use super::super::build::{Builder, Directive};
use super::super::regex::Regex;
use super::arity::{ONE, ONE_MORE, TWO};
use super::context::{ALL, ALL_IF, HTTP, LIMIT_EXCEPT, LOCATION, SERVER};
use super::rewrite::variable;
use super::{Row, nothing, row};
use crate::http::modules::access::{Rule, Who};
use crate::http::modules::network::Network;
use crate::http::modules::realip::{From, Trusted};
use crate::http::modules::referer::Referers;
use crate::http::modules::secure_link::SecureLink;

pub static ROWS: &[Row] = &[
    row("allow", ALL | LIMIT_EXCEPT, ONE, |b, d| rule(b, d, false)),
    row("deny", ALL | LIMIT_EXCEPT, ONE, |b, d| rule(b, d, true)),
    row("auth_basic", ALL | LIMIT_EXCEPT, ONE, |b, d| {
        let realm = b.value(d.arg(0))?;
        b.put(d, |s| &mut s.auth_basic, realm)
    }),
    row("auth_basic_user_file", ALL | LIMIT_EXCEPT, ONE, |b, d| {
        let file = b.value(d.arg(0))?;
        b.put(d, |s| &mut s.auth_basic_user_file, file)
    }),
    row("auth_delay", ALL, ONE, |b, d| b.msec(d, |s| &mut s.auth_delay)),
    row("auth_request", ALL, ONE, |b, d| {
        let uri = if d.arg(0) == b"off" { Vec::new() } else { d.arg(0).to_vec() };
        b.put(d, |s| &mut s.auth_request, uri)
    }),
    row("auth_request_set", ALL, TWO, |b, d| {
        let slot = b.http().define(variable(d, 0)?);
        let pair = (slot, b.value(d.arg(1))?);
        let mut all = b.settings().auth_request_set.as_deref().unwrap_or_default().to_vec();
        all.push(pair);
        b.settings().auth_request_set = Some(Arc::from(all));
        Ok(())
    }),
    row("set_real_ip_from", ALL, ONE, set_real_ip_from),
    row("real_ip_header", ALL, ONE, |b, d| {
        let header = match d.arg(0) {
            b"X-Forwarded-For" => From::ForwardedFor,
            b"proxy_protocol" => From::ProxyProtocol,
            name => From::Header(name.to_vec()),
        };
        b.put(d, |s| &mut s.real_ip_header, header)
    }),
    row("real_ip_recursive", ALL, ONE, |b, d| b.flag(d, |s| &mut s.real_ip_recursive)),
    row("valid_referers", SERVER | LOCATION, ONE_MORE, valid_referers),
    row("referer_hash_max_size", SERVER | LOCATION, ONE, nothing),
    row("referer_hash_bucket_size", SERVER | LOCATION, ONE, nothing),
    row("secure_link", ALL_IF & !super::context::LOCATION_IF, ONE, |b, d| {
        if matches!(b.settings().secure_link, Some(SecureLink::Secret(_))) {
            return Err(
                "\"secure_link\" directive is duplicate, \"secure_link_secret\" directive was specified earlier".into(),
            );
        }
        let value = b.value(d.arg(0))?;
        b.put(d, |s| &mut s.secure_link, SecureLink::Hash(value))
    }),
    row("secure_link_md5", HTTP | SERVER | LOCATION, ONE, |b, d| {
        let value = b.value(d.arg(0))?;
        b.put(d, |s| &mut s.secure_link_md5, value)
    }),
    row("secure_link_secret", LOCATION, ONE, |b, d| {
        b.put(d, |s| &mut s.secure_link, SecureLink::Secret(d.arg(0).to_vec()))
    }),
];

/// An address range; bits beyond its mask are worth a warning.
pub fn network(b: &mut Builder, d: &Directive, word: &[u8]) -> Result<Network, String> {
    let text = String::from_utf8_lossy(word).into_owned();
    let (network, low) = Network::parse(&text).ok_or_else(|| format!("invalid parameter \"{text}\""))?;
    if low {
        b.warn(&d.pos, &format!("low address bits of {text} are meaningless"));
    }
    Ok(network)
}

fn rule(b: &mut Builder, d: &Directive, deny: bool) -> Result<(), String> {
    let who = match d.arg(0) {
        b"all" => Who::All,
        b"unix:" => Who::Unix,
        word => Who::Network(network(b, d, word)?),
    };
    let mut all = b.settings().access.as_deref().unwrap_or_default().to_vec();
    all.push(Rule { who, deny });
    b.settings().access = Some(Arc::from(all));
    Ok(())
}

fn set_real_ip_from(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let mut all = b.settings().real_ip_from.as_deref().unwrap_or_default().to_vec();
    let text = d.text(0);
    if text == "unix:" {
        all.push(Trusted::Unix);
    } else if text.contains('/') || Network::parse(&text).is_some() {
        all.push(Trusted::Network(network(b, d, d.arg(0))?));
    } else {
        // A host's name stands for all its addresses.
        let found = b.names.look_up(&text, 0);
        let found = found.ok_or_else(|| format!("host not found in set_real_ip_from \"{text}\""))?;
        let networks = found.iter().filter_map(|addr| Network::parse(&addr.ip().to_string()));
        all.extend(networks.map(|(network, _)| Trusted::Network(network)));
    }
    b.settings().real_ip_from = Some(Arc::from(all));
    Ok(())
}

fn valid_referers(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let mut rules = b.settings().valid_referers.as_deref().cloned().unwrap_or_default();
    for word in d.args() {
        match word.as_slice() {
            b"none" => rules.none = true,
            b"blocked" => rules.blocked = true,
            b"server_names" => rules.server_names = true,
            [b'~', pattern @ ..] => {
                if pattern.is_empty() {
                    return Err(format!("empty regex in \"{}\"", String::from_utf8_lossy(word)));
                }
                rules.regexes.push(Regex::new(pattern, true)?);
            }
            text => {
                let shown = String::from_utf8_lossy(text).into_owned();
                if text.starts_with(b"http://") {
                    return Err("invalid parameter: http:// is not allowed in a referer".into());
                }
                let slash = text.iter().position(|&b| b == b'/').unwrap_or(text.len());
                let host = text[..slash].to_ascii_lowercase();
                if host.is_empty() {
                    return Err(format!("invalid hostname or wildcard \"{shown}\""));
                }
                rules.hosts.push((host, text[slash..].to_vec()));
            }
        }
    }
    b.settings().valid_referers = Some(Arc::<Referers>::new(rules));
    Ok(())
}
