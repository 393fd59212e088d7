//! From host and URI to server and location, in nginx's order of preference.

use std::sync::Arc;

use crate::conf::regex::Captures;
use crate::conf::tree::{Http, Listen, Location, LocationKind, Locations, Server};

/// The server for a request on that listening address.
pub fn server<'a>(http: &'a Http, listen: &Listen, host: &[u8]) -> &'a Arc<Server> {
    let index = match host {
        // (a server may be there for requests without a host)
        b"" => listen.names.exact.get(host).copied(),
        host => by_name(listen, host),
    };
    let index = index.unwrap_or(listen.default);
    &http.servers[index]
}

fn by_name(listen: &Listen, host: &[u8]) -> Option<usize> {
    let names = &listen.names;
    if let Some(&server) = names.exact.get(host) {
        return Some(server);
    }
    let leading = names.leading.iter().find(|(part, _)| host.len() > part.len() && host.ends_with(part));
    let trailing = || names.trailing.iter().find(|(part, _)| host.len() > part.len() && host.starts_with(part));
    if let Some((_, server)) = leading.or_else(trailing) {
        return Some(*server);
    }
    names.regexes.iter().find(|(regex, _)| regex.matches(host)).map(|(_, server)| *server)
}

/// The Host header without port and final dot, in lower case.
pub fn host_name(host: &[u8]) -> Vec<u8> {
    let end = match host.first() {
        Some(b'[') => host.iter().position(|&b| b == b']').map_or(host.len(), |at| at + 1),
        _ => host.iter().position(|&b| b == b':').unwrap_or(host.len()),
    };
    let host = &host[..end];
    host.strip_suffix(b".").unwrap_or(host).to_ascii_lowercase()
}

/// The location for a URI, with the captures of a regex one.
pub fn location(server: &Server, uri: &[u8]) -> Option<(Arc<Location>, Option<Captures>)> {
    find(&server.locations, uri)
}

/// The longest prefix decides first; then regexes in their order, innermost level first, unless it says `^~`.
fn find(level: &Locations, uri: &[u8]) -> Option<(Arc<Location>, Option<Captures>)> {
    if let Some(exact) = level.exact.get(uri) {
        return Some((exact.clone(), None));
    }
    let prefix = level.prefixes.iter().find(|location| uri.starts_with(&location.name));
    let mut best = None;
    if let Some(prefix) = prefix {
        let inner = find(&prefix.nested, uri);
        // An inner exact or regex match is final; an inner prefix still yields to this level's regexes.
        if let Some((location, _)) = &inner
            && matches!(location.kind, LocationKind::Exact | LocationKind::Regex(_))
        {
            return inner;
        }
        let found = inner.unwrap_or_else(|| (prefix.clone(), None));
        if matches!(found.0.kind, LocationKind::Prefix { no_regex: true }) {
            return Some(found);
        }
        best = Some(found);
    }
    for location in &level.regexes {
        let LocationKind::Regex(regex) = &location.kind else { continue };
        if let Some(captures) = regex.captures(uri) {
            return Some(find(&location.nested, uri).unwrap_or_else(|| (location.clone(), Some(captures))));
        }
    }
    best
}
