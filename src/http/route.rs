//! From host and URI to server and location, in nginx's order of preference.

use crate::conf::regex::{Captures, Exceeded};
use crate::conf::tree::{Http, Listen, LocationId, LocationKind, Locations};

/// The server for a request on that listening address: its index.
pub fn server(listen: &Listen, host: &[u8]) -> Result<usize, Exceeded> {
    let index = match host {
        // (a server may be there for requests without a host)
        b"" => listen.names.exact.get(host).copied(),
        host => by_name(listen, host)?,
    };
    Ok(index.unwrap_or(listen.default))
}

fn by_name(listen: &Listen, host: &[u8]) -> Result<Option<usize>, Exceeded> {
    let names = &listen.names;
    if let Some(&server) = names.exact.get(host) {
        return Ok(Some(server));
    }
    let leading = names.leading.iter().find(|(part, _)| host.len() > part.len() && host.ends_with(part));
    let trailing = || names.trailing.iter().find(|(part, _)| host.len() > part.len() && host.starts_with(part));
    if let Some((_, server)) = leading.or_else(trailing) {
        return Ok(Some(*server));
    }
    for (regex, server) in &names.regexes {
        if regex.matches(host)? {
            return Ok(Some(*server));
        }
    }
    Ok(None)
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

/// A location, with the captures of a regex one.
type Found = Option<(LocationId, Option<Captures>)>;

/// The location for a URI.
pub fn location(http: &Http, server: usize, uri: &[u8]) -> Result<Found, Exceeded> {
    find(http, &http.servers[server].locations, uri)
}

/// The longest prefix decides first; then regexes in their order, innermost level first, unless it says `^~`.
fn find(http: &Http, level: &Locations, uri: &[u8]) -> Result<Found, Exceeded> {
    if let Some(exact) = level.exact.get(uri) {
        return Ok(Some((*exact, None)));
    }
    let prefix = level.prefixes.iter().find(|id| uri.starts_with(&http.location(**id).name));
    let mut best = None;
    if let Some(prefix) = prefix {
        let inner = find(http, &http.location(*prefix).nested, uri)?;
        // An inner exact or regex match is final; an inner prefix still yields to this level's regexes.
        if let Some((id, _)) = &inner
            && matches!(http.location(*id).kind, LocationKind::Exact | LocationKind::Regex(_))
        {
            return Ok(inner);
        }
        let found = inner.unwrap_or((*prefix, None));
        if matches!(http.location(found.0).kind, LocationKind::Prefix { no_regex: true }) {
            return Ok(Some(found));
        }
        best = Some(found);
    }
    for id in &level.regexes {
        let location = http.location(*id);
        let LocationKind::Regex(regex) = &location.kind else { continue };
        if let Some(captures) = regex.captures(uri)? {
            return Ok(Some(find(http, &location.nested, uri)?.unwrap_or((*id, Some(captures)))));
        }
    }
    Ok(best)
}
