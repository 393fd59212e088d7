//! headers-more: `more_set_headers`, `more_clear_headers`, and the same for request headers.

use ngx::bytes::Bytes;
use ngx::request::Request;

use super::Body;
use crate::conf::settings::MoreHeader;
use crate::http::live::Live;

/// nginx runs headers-more before Lua's filter in the order the modules are loaded; Lua sees what it did.
pub fn head(live: &Live, request: &mut Request) -> Result<Option<Body>, u16> {
    apply(live, request, false);
    Ok(None)
}

/// For the response or (`input`, in the rewrite phase) for the request.
pub fn apply(live: &Live, request: &mut Request, input: bool) {
    let Some(rules) = &live.settings().more_headers else { return };
    for rule in rules.iter().filter(|rule| rule.input == input) {
        if !applies(rule, request, input) {
            continue;
        }
        let value = rule.value.as_ref().map(|value| live.eval(request, value));
        let headers = if input { &mut request.headers } else { &mut request.response.headers };
        if rule.replace && !headers.contains(&rule.name) {
            continue;
        }
        match value {
            Some(value) if rule.append => headers.add(Bytes::copy_from_slice(&rule.name), value),
            Some(value) => headers.set(Bytes::copy_from_slice(&rule.name), value),
            None => match rule.name.strip_suffix(b"*") {
                Some(prefix) => {
                    let matching: Vec<Bytes> = headers
                        .iter()
                        .map(|(name, _)| name.clone())
                        .filter(|name| name.len() >= prefix.len() && name[..prefix.len()].eq_ignore_ascii_case(prefix))
                        .collect();
                    for name in &matching {
                        headers.remove(name);
                    }
                }
                // The connection would add these by itself: an empty one says that it shall not.
                None if rule.name.eq_ignore_ascii_case(b"server") || rule.name.eq_ignore_ascii_case(b"date") => {
                    headers.set(Bytes::copy_from_slice(&rule.name), "");
                }
                None => {
                    headers.remove(&rule.name);
                }
            },
        }
    }
}

fn applies(rule: &MoreHeader, request: &Request, input: bool) -> bool {
    if !rule.statuses.is_empty() && !rule.statuses.contains(&request.response.status) {
        return false;
    }
    if rule.types.is_empty() {
        return true;
    }
    let headers = if input { &request.headers } else { &request.response.headers };
    let kind = headers.first(b"content-type").cloned().unwrap_or_default();
    let kind = kind.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
    rule.types.iter().any(|known| known.eq_ignore_ascii_case(kind))
}
