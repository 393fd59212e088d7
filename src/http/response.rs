//! Responses on their way out: the header filters, the head's text in nginx's order, the body filters, the framing.

use std::io::Write;

use bytes::Bytes;
use ngx::log::Level;
use ngx::phase::Phase;
use ngx::request::{ClientGone, Request};
use ngx::worker::PhaseEnd;

use super::live::Live;
use super::{status, subrequest};
use crate::conf::settings::{Expires, MoreHeader};
use crate::conf::tree::Handler;
use crate::conn::wire::{Framing, Reply};
use crate::time;

/// `Exchange::send`: as `send`, with what Lua's responses have of their own.
pub async fn send_lua(live: &Live, request: &mut Request, flush: bool, last: bool) -> Result<(), ClientGone> {
    let whole = last || request.output.eof;
    if live.buffers(request) {
        if !request.output.pending.is_empty() && request.log.enabled(Level::Debug) {
            live.say(request, Level::Debug, "lua buffering output bufs for the HTTP 1.0 request");
        }
        if !whole {
            request.output.flush = false;
            return Ok(());
        }
        if request.method != b"HEAD"[..] {
            request.response.headers.set("Content-Length", request.output.pending.len().to_string());
        }
    }
    default_type(live, request);
    send(live, request, flush, last).await
}

/// The type of Lua's responses, where it said nothing.
fn default_type(live: &Live, request: &mut Request) {
    if !request.response.sent
        && !request.response.headers.contains(b"content-type")
        && live.settings().lua_use_default_type.unwrap_or(true)
        && !matches!(request.response.status, 204 | 304)
    {
        let kind = super::mime::of(&request.uri, live.settings());
        request.response.headers.add("Content-Type", kind);
    }
}

/// Sends the head first if it is still due, then what is pending, through the filters.
pub async fn send(live: &Live, request: &mut Request, flush: bool, last: bool) -> Result<(), ClientGone> {
    request.output.flush = false;
    if let Some(captured) = &live.capture {
        if !request.response.sent {
            header_filters(live, request).await;
            request.response.sent = true;
        }
        body_filters(live, request, last).await;
        subrequest::keep(captured, request);
        if last || request.output.eof {
            live.complete.set(true);
        }
        return Ok(());
    }
    let Some(wire) = live.wire.clone() else { return Err(ClientGone) };
    if wire.gone.get() {
        request.output.pending.clear();
        return Err(ClientGone);
    }
    if wire.ended.get() {
        request.output.pending.clear();
        return Ok(());
    }
    if !request.response.sent {
        // With everything at hand the length is known, except where nginx would not know it either: Lua's output.
        header_filters(live, request).await;
        start(live, request);
        // (nothing is held back: not even the head)
        if flush && live.settings().postpone_output.is_some_and(|size| size <= 1) {
            wire.drained(true).await?;
        }
    }
    body_filters(live, request, last).await;
    if live.header_only.get() {
        request.output.pending.clear();
    }
    if !request.output.pending.is_empty() {
        let bytes = Bytes::from(std::mem::take(&mut request.output.pending));
        // As the client counts: with the framing of chunks.
        let digits = u64::from(bytes.len().ilog(16)) + 1;
        request.output.sent += bytes.len() as u64 + if live.chunked.get() { digits + 4 } else { 0 };
        wire.body(bytes);
    }
    if last || request.output.eof {
        if live.chunked.get() && !wire.ended.get() {
            request.output.sent += 5;
        }
        wire.end();
        live.complete.set(true);
    }
    if last && !flush {
        return Ok(());
    }
    wire.drained(flush || request.output.eof).await
}

/// Nothing looks at the response body on its way to a client: a file may go past us.
pub fn is_plain(live: &Live) -> bool {
    live.wire.is_some() && live.capture.is_none() && live.settings().lua_body_filter.is_none()
}

/// Everything that may change the head before it is sent.
async fn header_filters(live: &Live, request: &mut Request) {
    if request.response.status == 0 {
        request.response.status = 200;
    }
    say_filters(live, request, "header", live.http.lua.filters);
    // An error page is a response of its own: the head can be changed until here, and not after.
    not_modified(live, request);
    expires(live, request);
    add_headers(live, request);
    // nginx runs headers-more before Lua's filter in the order the modules are loaded; Lua sees what it did.
    more_headers(live, request, false);
    if let Some(code) = live.settings().lua_header_filter.clone() {
        // What is pending waits outside: the filter's own run must not find it and send it.
        let output = std::mem::take(&mut request.output);
        let end = live.lua(request, Phase::HeaderFilter, &code).await;
        request.output = output;
        if let PhaseEnd::Finish(ngx::request::Finish::Exit(code @ 200..)) = end {
            // The status is the filter's, and there is no body.
            request.response.status = u16::try_from(code).unwrap_or(500);
            request.response.headers.remove(b"content-length");
            request.output.pending.clear();
            live.header_only.set(true);
        }
        if end == PhaseEnd::Failed {
            // The response is broken off: nginx's header filter returns an error.
            live.keep_alive.set(false);
            request.response.status = 500;
        }
    }
}

/// The filters that run for every response, where there is Lua in the configuration that needs them.
fn say_filters(live: &Live, request: &Request, which: &str, user: bool) {
    if !request.log.enabled(Level::Debug) {
        return;
    }
    let uri = String::from_utf8_lossy(&request.uri);
    if live.http.lua.answers {
        live.say(request, Level::Debug, &format!("lua capture {which} filter, uri \"{uri}\""));
    }
    if user {
        live.say(request, Level::Debug, &format!("lua {which} filter for user lua code, uri \"{uri}\""));
    }
}

async fn body_filters(live: &Live, request: &mut Request, last: bool) {
    say_filters(live, request, "body", live.http.lua.body_filters);
    let Some(code) = live.settings().lua_body_filter.clone() else { return };
    if request.output.pending.is_empty() && !last {
        return;
    }
    let mut chunk = std::mem::take(&mut request.output.pending);
    if last && !chunk.is_empty() && matches!(live.place().location.handler, Handler::Lua(_)) {
        // After Lua's output the end comes by itself: an empty chunk.
        match live.worker.lua.body_filter(request, &code, std::mem::take(&mut chunk), false).await {
            Ok((chunk, true)) => {
                request.output.pending = chunk;
                request.output.eof = true;
                return;
            }
            Ok((first, false)) => request.output.pending = first,
            Err(_) => {
                live.keep_alive.set(false);
                return;
            }
        }
    }
    let before = std::mem::take(&mut request.output.pending);
    match live.worker.lua.body_filter(request, &code, chunk, last).await {
        Ok((chunk, eof)) => {
            request.output.pending = [before, chunk].concat();
            request.output.eof |= eof;
        }
        Err(_) => {
            request.output.pending.clear();
            live.keep_alive.set(false);
        }
    }
}

/// A response that tells when it last changed may be one the client has already.
fn not_modified(live: &Live, request: &mut Request) {
    if request.response.status != 200 || live.err_status.get() != 0 {
        return;
    }
    let Some(changed) = request.response.headers.first(b"last-modified") else { return };
    let Some(mtime) = time::parse_http_date(changed) else { return };
    let etag = request.response.headers.first(b"etag").map(|tag| String::from_utf8_lossy(tag).into_owned());
    if super::files::precondition(live, request, etag.as_deref(), mtime) == 304 {
        request.response.status = 304;
        for name in [&b"content-type"[..], b"content-length", b"accept-ranges"] {
            request.response.headers.remove(name);
        }
    }
}

fn add_headers(live: &Live, request: &mut Request) {
    let Some(headers) = live.settings().add_header.clone() else { return };
    let successful = matches!(request.response.status, 200 | 201 | 204 | 206 | 301..=304 | 307 | 308);
    for header in headers.iter().filter(|header| header.always || successful) {
        let value = live.eval(request, &header.value);
        if !value.is_empty() {
            request.response.headers.add(header.name.clone(), value);
        }
    }
}

fn expires(live: &Live, request: &mut Request) {
    let Some(expires) = &live.settings().expires else { return };
    let now = i64::try_from(time::now_ms() / 1000).unwrap_or(0);
    let (date, control) = match expires {
        Expires::Off => return,
        Expires::Epoch => ("Thu, 01 Jan 1970 00:00:01 GMT".to_string(), "no-cache".to_string()),
        Expires::Max => ("Thu, 31 Dec 2037 23:55:55 GMT".to_string(), "max-age=315360000".to_string()),
        Expires::After(seconds) if *seconds < 0 => (time::http_date(now + seconds), "no-cache".to_string()),
        Expires::After(seconds) => (time::http_date(now + seconds), format!("max-age={seconds}")),
    };
    request.response.headers.set("Expires", date);
    request.response.headers.set("Cache-Control", control);
}

/// headers-more, for the response or (in the rewrite phase) for the request.
pub fn more_headers(live: &Live, request: &mut Request, input: bool) {
    let Some(rules) = live.settings().more_headers.clone() else { return };
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
            Some(value) if rule.append => headers.add(rule.name.clone(), value),
            Some(value) => headers.set(rule.name.clone(), value),
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
                    headers.set(rule.name.clone(), "");
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

/// Decides the framing and gives the head to the connection.
fn start(live: &Live, request: &mut Request) {
    let status = request.response.status;
    let headers = &request.response.headers;
    let declared = headers.first(b"content-length").and_then(|value| crate::conf::scalar::number(value));
    let bodiless = request.method == b"HEAD"[..];
    let header_only = bodiless || matches!(status, 204 | 304) || status < 200;
    let chunked_allowed = live.settings().chunked_transfer_encoding.unwrap_or(true);
    let framing = match declared {
        _ if header_only => Framing::None,
        Some(length) => Framing::Length(length),
        None if request.version >= 11 && chunked_allowed => Framing::Chunked,
        None => Framing::Close,
    };
    live.header_only.set(header_only || live.header_only.get());
    if framing == Framing::Close || live.worker.quitting.get() || status::closes(status) {
        live.keep_alive.set(false);
    }
    let chunked = framing == Framing::Chunked;
    live.chunked.set(chunked);
    let mut head = Vec::new();
    if request.version >= 10 {
        head = render(live, request, chunked);
    }
    live.head_bytes.set(head.len() as u64);
    request.response.sent = true;
    if let Some(wire) = &live.wire {
        let mut keep_alive = live.keep_alive.get();
        if request.version < 10 {
            keep_alive = false;
        }
        wire.start(Reply { framing, keep_alive }, head);
    }
}

/// The head in nginx's order: Server, Date, Content-Type, Content-Length, Last-Modified, Location, Transfer-Encoding,
/// Connection, then all others as they were added.
pub fn render(live: &Live, request: &Request, chunked: bool) -> Vec<u8> {
    let headers = &request.response.headers;
    let status = status::visible(request.response.status);
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status::line(status).as_bytes());
    out.extend_from_slice(b"\r\n");
    // Where these were set by hand, they stand among the others.
    if !headers.contains(b"server") {
        line(&mut out, b"Server", live.server_words().as_bytes());
    }
    if !headers.contains(b"date") {
        out.extend_from_slice(b"Date: ");
        time::write_date_header(&mut out);
        out.extend_from_slice(b"\r\n");
    }
    if let Some(kind) = headers.first(b"content-type").filter(|kind| !kind.is_empty()) {
        out.extend_from_slice(b"Content-Type: ");
        out.extend_from_slice(kind);
        let charset = request.response.charset.as_ref().filter(|charset| !charset.is_empty());
        if let Some(charset) = charset
            && memchr::memmem::find(&kind.to_ascii_lowercase(), b"charset=").is_none()
        {
            out.extend_from_slice(b"; charset=");
            out.extend_from_slice(charset);
        }
        out.extend_from_slice(b"\r\n");
    }
    if !chunked && !matches!(status, 204 | 304) {
        first(&mut out, headers, b"Content-Length");
    }
    first(&mut out, headers, b"Last-Modified");
    let location = headers.first(b"location");
    // A path alone becomes a URL here, as nginx does it; anything else goes out with the other headers.
    let own = location.filter(|location| live.own_location.get() && location.starts_with(b"/"));
    if let Some(path) = own {
        let absolute = live.settings().absolute_redirect.unwrap_or(true);
        if absolute {
            line(&mut out, b"Location", &[&live.origin(request)[..], path].concat());
        } else {
            line(&mut out, b"Location", path);
        }
    }
    if chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if live.keep_alive.get() {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
        if let Some(seconds) = live.settings().keepalive_header {
            let _ = write!(out, "Keep-Alive: timeout={seconds}\r\n");
        }
    } else {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    for (name, value) in headers.iter() {
        let special = match name.len() {
            4 => value.is_empty() && name.eq_ignore_ascii_case(b"date"),
            6 => value.is_empty() && name.eq_ignore_ascii_case(b"server"),
            8 => own.is_some() && name.eq_ignore_ascii_case(b"location"),
            10 => name.eq_ignore_ascii_case(b"connection"),
            12 => name.eq_ignore_ascii_case(b"content-type"),
            13 => name.eq_ignore_ascii_case(b"last-modified"),
            14 => name.eq_ignore_ascii_case(b"content-length"),
            17 => name.eq_ignore_ascii_case(b"transfer-encoding"),
            _ => false,
        };
        if !special {
            line(&mut out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn first(out: &mut Vec<u8>, headers: &ngx::headers::Headers, name: &[u8]) {
    if let Some(value) = headers.first(name) {
        line(out, name, value);
    }
}

/// A line break in a value would start a header of the attacker's own: it goes out escaped.
fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for (part, end) in [(name, &b": "[..]), (value, b"\r\n")] {
        for &byte in part {
            match byte {
                b'\r' => out.extend_from_slice(b"%0D"),
                b'\n' => out.extend_from_slice(b"%0A"),
                0 => out.extend_from_slice(b"%00"),
                byte => out.push(byte),
            }
        }
        out.extend_from_slice(end);
    }
}

impl Live {
    /// `http://host:port`, for redirects.
    pub fn origin(&self, request: &Request) -> Vec<u8> {
        let connection = &request.connection;
        let settings = self.settings();
        let (scheme, usual) = if connection.https { ("https", 443) } else { ("http", 80) };
        let mut out = format!("{scheme}://").into_bytes();
        let host = self.host.borrow();
        if settings.server_name_in_redirect.unwrap_or(false) && !self.place().server.name.is_empty() {
            out.extend_from_slice(&self.place().server.name);
        } else if host.is_empty() {
            out.extend_from_slice(&connection.server_addr);
        } else {
            out.extend_from_slice(&host);
        }
        if settings.port_in_redirect.unwrap_or(true) && connection.server_port != usual && !connection.unix {
            let _ = write!(out, ":{}", connection.server_port);
        }
        out
    }
}
