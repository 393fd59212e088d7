//! The referer module: `$invalid_referer`.

use ngx::log::Level;
use ngx::request::Request;

use crate::conf::regex::Regex;
use crate::conf::tree::ServerName;
use crate::http::live::Live;

/// `valid_referers`
#[derive(Clone, Debug, Default)]
pub struct Referers {
    pub none: bool,
    pub blocked: bool,
    pub server_names: bool,
    /// A host, maybe with a wildcard at one end, and the beginning of a URI.
    pub hosts: Vec<(Vec<u8>, Vec<u8>)>,
    pub regexes: Vec<Regex>,
}

/// As long as a host may be.
const LONGEST: usize = 256;

/// Empty: valid.
pub fn invalid(live: &Live, request: &Request) -> Vec<u8> {
    let Some(rules) = &live.settings().valid_referers else { return Vec::new() };
    let valid = match request.headers.first(b"referer") {
        None => rules.none,
        Some(referer) => match without_scheme(referer) {
            None => rules.blocked,
            Some(rest) => known(live, request, rules, rest),
        },
    };
    if valid { Vec::new() } else { b"1".to_vec() }
}

fn without_scheme(referer: &[u8]) -> Option<&[u8]> {
    if referer.len() < "http://i.ru".len() {
        return None;
    }
    [&b"http://"[..], b"https://"].iter().find_map(|scheme| {
        let (start, rest) = referer.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

fn known(live: &Live, request: &Request, rules: &Referers, rest: &[u8]) -> bool {
    let end = rest.iter().position(|b| matches!(b, b'/' | b':')).unwrap_or(rest.len());
    if end > LONGEST {
        return false;
    }
    let host = rest[..end].to_ascii_lowercase();
    let uri = rest[end..].iter().position(|&b| b == b'/').map_or(&b""[..], |at| &rest[end + at..]);
    // Exact names go before wildcards, and the first of either that fits decides.
    let fitting = |exact: bool| {
        let mut hosts = rules.hosts.iter();
        hosts.find(|(name, _)| (name == &host) == exact && fits(name, &host)).map(|(_, start)| uri.starts_with(start))
    };
    if let Some(valid) = fitting(true).or_else(|| fitting(false)) {
        return valid;
    }
    if rules.server_names {
        let own = live.server().names.iter().any(|name| match name {
            ServerName::Text(name) => fits(name, &host),
            ServerName::Regex(regex) => matched(live, request, regex, &host),
        });
        if own {
            return true;
        }
    }
    rules.regexes.iter().any(|regex| matched(live, request, regex, rest))
}

/// A search that was too much is no proof against the referrer.
fn matched(live: &Live, request: &Request, regex: &Regex, text: &[u8]) -> bool {
    regex.matches(text).unwrap_or_else(|exceeded| {
        live.say(request, Level::Alert, &exceeded.0);
        true
    })
}

fn fits(name: &[u8], host: &[u8]) -> bool {
    if let Some(end) = name.strip_prefix(b"*") {
        return host.len() > end.len() && host.ends_with(end);
    }
    if let Some(start) = name.strip_suffix(b"*") {
        return host.len() > start.len() && host.starts_with(start);
    }
    match name.strip_prefix(b".") {
        Some(bare) => host == bare || host.ends_with(name),
        None => name == host,
    }
}
