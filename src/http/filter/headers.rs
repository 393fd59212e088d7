//! The headers module: `expires`, `add_header`, `add_trailer`.

use std::sync::Arc;

use ngx::bytes::Bytes;
use ngx::headers::Headers;
use ngx::request::Request;

use super::{Body, Piece};
use crate::conf::settings::{AddHeader, Expires};
use crate::http::live::Live;
use crate::time;

pub fn head(live: &Live, request: &mut Request) -> Result<Option<Body>, u16> {
    let successful = matches!(request.response.status, 200 | 201 | 204 | 206 | 301..=304 | 307 | 308);
    if successful {
        expires(live, request);
    }
    if let Some(rules) = &live.settings().add_header {
        for rule in rules.iter().filter(|rule| rule.always || successful) {
            let value = live.eval(request, &rule.value);
            add(request, &rule.name, value);
        }
    }
    let trailers = live.settings().add_trailer.clone().filter(|rules| {
        let any = rules.iter().any(|rule| rule.always || successful);
        let chunked = request.version >= 11 && live.settings().chunked_transfer_encoding != Some(false);
        any && chunked && request.method != b"HEAD"[..] && !matches!(request.response.status, 204 | 304)
    });
    let Some(rules) = trailers else { return Ok(None) };
    // They go with chunks only.
    live.seldom().expect_trailers.set(true);
    Ok(Some(Body::Trailers(Trailers { rules, successful })))
}

/// Some names stand for a header that there is once only, or that a filter before us has set already.
fn add(request: &mut Request, name: &[u8], value: Vec<u8>) {
    let headers = &mut request.response.headers;
    if name.eq_ignore_ascii_case(b"last-modified") || name.eq_ignore_ascii_case(b"etag") {
        if value.is_empty() {
            headers.remove(name);
        } else {
            headers.set(Bytes::copy_from_slice(name), value);
        }
    } else if !value.is_empty() {
        headers.add(Bytes::copy_from_slice(name), value);
    }
}

fn expires(live: &Live, request: &mut Request) {
    let rule = match &live.settings().expires {
        Some(Expires::Variable(value)) => {
            let text = live.eval(request, value);
            Expires::parse(&text).unwrap_or(Expires::Off)
        }
        Some(rule) => rule.clone(),
        None => return,
    };
    let now = i64::try_from(time::now_ms() / 1000).unwrap_or(0);
    let after = |seconds: i64| match seconds {
        ..0 => (time::http_date(now + seconds), "no-cache".to_string()),
        _ => (time::http_date(now + seconds), format!("max-age={seconds}")),
    };
    let (date, control) = match rule {
        Expires::Off | Expires::Variable(_) => return,
        Expires::Epoch => ("Thu, 01 Jan 1970 00:00:01 GMT".to_string(), "no-cache".to_string()),
        Expires::Max => ("Thu, 31 Dec 2037 23:55:55 GMT".to_string(), "max-age=315360000".to_string()),
        Expires::After(seconds) => after(seconds),
        Expires::Modified(seconds) => {
            let changed = request.response.headers.first(b"last-modified").and_then(|date| time::parse_http_date(date));
            after(changed.map_or(seconds, |changed| changed + seconds - now))
        }
        Expires::Daily(second) => {
            let midnight = now - now.rem_euclid(86_400);
            let today = midnight + second;
            after(if today < now { today + 86_400 - now } else { today - now })
        }
    };
    request.response.headers.set("Expires", date);
    request.response.headers.set("Cache-Control", control);
}

pub struct Trailers {
    rules: Arc<[AddHeader]>,
    successful: bool,
}

impl Trailers {
    pub fn pass(&mut self, live: &Live, request: &mut Request, piece: Piece) -> Piece {
        if piece.last {
            let mut lines = Headers::new();
            for rule in self.rules.iter().filter(|rule| rule.always || self.successful) {
                let value = live.eval(request, &rule.value);
                if !value.is_empty() {
                    lines.add(Bytes::copy_from_slice(&rule.name), value);
                }
            }
            *live.seldom().trailers.borrow_mut() = lines;
        }
        piece
    }
}
