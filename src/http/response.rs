//! Responses on their way out: through the filters, the head's text in nginx's order, the framing.

use std::rc::Rc;

use std::io::Write;

use ngx::bytes::Bytes;
use ngx::headers::Headers;
use ngx::log::Level;
use ngx::request::{ClientGone, Request};

use super::live::Live;
use super::{filter, status, subrequest};
use crate::conn::wire::{Framing, Reply};
use crate::time;

/// `Exchange::send`: as `send`, with what Lua's responses have of their own.
pub async fn send_lua(live: &Live, request: &mut Request, flush: bool, last: bool) -> Result<(), ClientGone> {
    let whole = last || request.output.eof;
    let gathers = live.buffers(request);
    if gathers {
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
    if whole && gathers && filter::wants_pieces(live) && !request.output.pending.is_empty() {
        // What gathered is one piece, and the end comes behind it.
        let eof = std::mem::replace(&mut request.output.eof, false);
        send(live, request, false, false).await?;
        request.output.eof |= eof;
    }
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
    request.output.piece = false;
    if live.capture.is_none() {
        let Some(wire) = &live.wire else { return Err(ClientGone) };
        if wire.gone.get() {
            request.output.pending.clear();
            return Err(ClientGone);
        }
    }
    if live.over() {
        request.output.pending.clear();
        return Ok(());
    }
    let mut last = last || request.output.eof;
    let first = !request.response.sent;
    if first && let Err(code) = head(live, request).await {
        // What the handler made is not wanted any more.
        if Box::pin(super::phases::refused(live, request, code)).await {
            return Ok(());
        }
        super::phases::set_special_page(live, request, code);
        live.seldom().refusing.set(true);
        let _ = filter::head(live, request).await;
        live.seldom().refusing.set(false);
        commit(live, request);
        last = true;
    }
    // (nothing is held back: not even the head)
    if first
        && flush
        && live.settings().postpone_output.is_some_and(|size| size <= 1)
        && let Some(wire) = live.wire.clone()
    {
        wire.drained(true).await?;
    }
    filter::body(live, request, flush, last).await;
    if live.broken.get() {
        // What went before stays; the end never comes, so that the client does not take it for complete.
        request.output.pending.clear();
        return Ok(());
    }
    last |= request.output.eof;
    match (&live.capture, live.wire.clone()) {
        (Some(captured), _) => {
            subrequest::keep(captured, request);
            if last {
                live.complete.set(true);
            }
            Ok(())
        }
        (None, Some(wire)) => write(live, request, &wire, flush, last).await,
        (None, None) => Err(ClientGone),
    }
}

/// Runs the head through the filters, and gives it to the connection. Err: a filter wants this status's page instead; nothing
/// is sent yet.
pub async fn head(live: &Live, request: &mut Request) -> Result<(), u16> {
    // With everything at hand the length is known, except where nginx would not know it either: Lua's output.
    filter::head(live, request).await?;
    commit(live, request);
    Ok(())
}

/// The head is final.
fn commit(live: &Live, request: &mut Request) {
    if live.capture.is_some() {
        request.response.sent = true;
    } else if !live.broken.get() {
        start(live, request);
    }
}

async fn write(
    live: &Live,
    request: &mut Request,
    wire: &Rc<crate::conn::wire::Wire>,
    flush: bool,
    last: bool,
) -> Result<(), ClientGone> {
    if live.header_only.get() {
        request.output.pending.clear();
    }
    if !request.output.pending.is_empty() {
        let mut bytes = std::mem::take(&mut request.output.pending);
        while !bytes.is_empty() {
            let allowed = live.allowance(request, bytes.len()).await;
            let rest = if allowed < bytes.len() { bytes.split_off(allowed) } else { Vec::new() };
            let piece = std::mem::replace(&mut bytes, rest);
            // As the client counts: with the framing of chunks.
            let digits = u64::from(piece.len().ilog(16)) + 1;
            request.output.sent += piece.len() as u64 + if live.chunked.get() { digits + 4 } else { 0 };
            wire.body(piece);
            if !bytes.is_empty() {
                wire.drained(true).await?;
            }
        }
    }
    if last {
        if live.chunked.get() && !wire.ended.get() {
            let trailers = trailers(live);
            request.output.sent += 5 + trailers.len() as u64;
            wire.end(&trailers);
        } else {
            wire.end(b"");
        }
        live.complete.set(true);
    }
    if last && !flush {
        return Ok(());
    }
    wire.drained(flush || request.output.eof).await
}

fn trailers(live: &Live) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(seldom) = live.if_seldom() {
        for (name, value) in seldom.trailers.borrow().iter() {
            line(&mut out, name, value);
        }
    }
    out
}

impl Live {
    /// Nothing more of the response can go out.
    fn over(&self) -> bool {
        self.broken.get()
            || match &self.wire {
                Some(wire) => wire.ended.get(),
                None => self.complete.get(),
            }
    }

    /// How much of `wanted` may go out now (`limit_rate`); waits until some may.
    pub async fn allowance(&self, request: &Request, wanted: usize) -> usize {
        let rate = match self.limit_rate.get() {
            0 => match &self.settings().limit_rate {
                Some(value) => crate::conf::scalar::size(&self.eval(request, value)).unwrap_or(0),
                None => return wanted,
            },
            rate => rate,
        };
        if rate == 0 {
            return wanted;
        }
        let after = match &self.settings().limit_rate_after {
            Some(value) => crate::conf::scalar::size(&self.eval(request, value)).unwrap_or(0),
            None => 0,
        };
        loop {
            // As nginx counts: whole seconds since the request began, the first one included.
            let seconds = time::now_ms() / 1000 - request.start_ms / 1000 + 1;
            let sent = self.head_bytes.get() + request.output.sent;
            let room = (rate.saturating_mul(seconds) + after).saturating_sub(sent);
            if room > 0 {
                return wanted.min(usize::try_from(room).unwrap_or(usize::MAX));
            }
            let behind = sent - (rate.saturating_mul(seconds) + after);
            let wait = (behind * 1000 / rate + 1).clamp(1, 60_000);
            tokio::select! {
                () = ngx::alarm::sleep(std::time::Duration::from_millis(wait)) => {}
                () = ngx::request::Exchange::client_gone(self) => {
                    if let Some(wire) = &self.wire {
                        wire.gone.set(true);
                    }
                    return wanted;
                }
            }
        }
    }
}

/// Nothing looks at the response body on its way to a client (the head is out): a file may go past us.
pub fn is_plain(live: &Live) -> bool {
    live.wire.is_some()
        && live.capture.is_none()
        && live.chain.borrow().is_empty()
        && live.settings().limit_rate.is_none()
        && live.limit_rate.get() == 0
}

/// Decides the framing and gives the head to the connection.
fn start(live: &Live, request: &mut Request) {
    let status = request.response.status;
    let placed = Placed::of(&request.response.headers);
    let declared = placed.length.and_then(|value| crate::conf::scalar::number(value));
    let bodiless = request.method == b"HEAD"[..];
    let header_only = bodiless || matches!(status, 204 | 304) || status < 200;
    let chunked_allowed = live.settings().chunked_transfer_encoding.unwrap_or(true);
    let framing = match declared {
        _ if header_only => Framing::None,
        _ if live.if_seldom().is_some_and(|s| s.expect_trailers.get()) && request.version >= 11 && chunked_allowed => {
            Framing::Chunked
        }
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
        head = render(live, request, &placed, chunked);
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

/// The headers of a response, sorted by where they stand in its head.
#[derive(Default)]
pub struct Placed<'a> {
    /// These were set by hand: they stand among the others.
    server: bool,
    date: bool,
    kind: Option<&'a Bytes>,
    length: Option<&'a Bytes>,
    modified: Option<&'a Bytes>,
    location: Option<&'a Bytes>,
    others: smallvec::SmallVec<[(&'a Bytes, &'a Bytes); 8]>,
}

impl<'a> Placed<'a> {
    pub fn of(headers: &'a Headers) -> Placed<'a> {
        let mut placed = Placed::default();
        for (name, value) in headers.iter() {
            let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
            match name.len() {
                4 if is(b"date") => {
                    placed.date = true;
                    if value.is_empty() {
                        continue;
                    }
                }
                6 if is(b"server") => {
                    placed.server = true;
                    if value.is_empty() {
                        continue;
                    }
                }
                8 if is(b"location") => drop(placed.location.get_or_insert(value)),
                10 if is(b"connection") => continue,
                12 if is(b"content-type") => {
                    placed.kind.get_or_insert(value);
                    continue;
                }
                13 if is(b"last-modified") => {
                    placed.modified.get_or_insert(value);
                    continue;
                }
                14 if is(b"content-length") => {
                    placed.length.get_or_insert(value);
                    continue;
                }
                17 if is(b"transfer-encoding") => continue,
                _ => {}
            }
            placed.others.push((name, value));
        }
        placed
    }
}

/// The head in nginx's order: Server, Date, Content-Type, Content-Length, Last-Modified, Location, Transfer-Encoding,
/// Connection, then all others as they were added.
pub fn render(live: &Live, request: &Request, placed: &Placed<'_>, chunked: bool) -> Vec<u8> {
    let status = status::visible(request.response.status);
    let mut out = Vec::with_capacity(384);
    out.extend_from_slice(b"HTTP/1.1 ");
    status::write_line(status, &mut out);
    out.extend_from_slice(b"\r\n");
    if !placed.server {
        out.extend_from_slice(b"Server: ");
        out.extend_from_slice(live.server_words().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if !placed.date {
        out.extend_from_slice(b"Date: ");
        time::write_date_header(&mut out);
        out.extend_from_slice(b"\r\n");
    }
    if let Some(kind) = placed.kind.filter(|kind| !kind.is_empty()) {
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
    if let Some(length) = placed.length
        && !chunked
        && !matches!(status, 204 | 304)
    {
        line(&mut out, b"Content-Length", length);
    }
    if let Some(modified) = placed.modified {
        line(&mut out, b"Last-Modified", modified);
    }
    // A path alone becomes a URL here, as nginx does it; anything else goes out with the other headers.
    let own = placed.location.filter(|location| live.own_location.get() && location.starts_with(b"/"));
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
    if live.vary.get() {
        line(&mut out, b"Vary", b"Accept-Encoding");
    }
    for (name, value) in &placed.others {
        if own.is_none() || !name.eq_ignore_ascii_case(b"location") {
            line(&mut out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// A line break in a value would start a header of the attacker's own: it goes out escaped.
fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for (part, end) in [(name, &b": "[..]), (value, b"\r\n")] {
        // (without a branch in the loop: it takes sixteen bytes at a time)
        if !part.iter().fold(false, |found, &byte| found | matches!(byte, b'\r' | b'\n' | 0)) {
            out.extend_from_slice(part);
            out.extend_from_slice(end);
            continue;
        }
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
        if settings.server_name_in_redirect.unwrap_or(false) && !self.server().name.is_empty() {
            out.extend_from_slice(&self.server().name);
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
