//! The response filters: what changes a response between its handler and the connection.
//!
//! Each is a row, in nginx's order. `on` is asked once, when the configuration is read: a location remembers which rows it
//! needs, so that a response without filters passes none. A row looks at the head, and may answer with a [`Body`]: a stage that
//! the response's bytes then go through, in the same order. What must stay true: a stage that changes the length takes
//! Content-Length and the like off the head ([`rewrites`]).

mod addition;
mod charset;
mod gunzip;
mod gzip;
mod headers;
mod more;
mod not_modified;
pub mod range;
mod sub;
pub mod userid;

use std::sync::Arc;

use ngx::code::Code;
use ngx::log::Level;
use ngx::phase::Phase;
use ngx::request::{Finish, Request};
use ngx::worker::PhaseEnd;

pub use charset::Table;
pub use gzip::{accepts as accepts_gzip, vary};
pub use more::apply as more_headers;

use super::live::Live;
use crate::conf::settings::Settings;
use crate::conf::tree::Handler;

pub struct Row {
    pub name: &'static str,
    /// Whether a location with these settings needs it.
    on: fn(&Settings) -> bool,
    /// Not for subrequests.
    main_only: bool,
    head: Head,
}

/// What a row does with the head.
enum Head {
    /// Err: the response is this status's page instead.
    Plain(fn(&Live, &mut Request) -> Result<Option<Body>, u16>),
    /// header_filter_by_lua*, and body_filter_by_lua* as its stage.
    Lua,
}

const fn row(
    name: &'static str,
    on: fn(&Settings) -> bool,
    main_only: bool,
    head: fn(&Live, &mut Request) -> Result<Option<Body>, u16>,
) -> Row {
    Row { name, on, main_only, head: Head::Plain(head) }
}

pub static ROWS: &[Row] = &[
    row("not_modified", |_| true, true, not_modified::head),
    row("headers_more", |s| s.more_headers.is_some(), false, more::head),
    Row {
        name: "lua",
        on: |s| s.lua_header_filter.is_some() || s.lua_body_filter.is_some(),
        main_only: false,
        head: Head::Lua,
    },
    row("headers", |s| s.expires.is_some() || s.add_header.is_some() || s.add_trailer.is_some(), true, headers::head),
    row("userid", |s| s.userid.is_some(), true, userid::head),
    row("gunzip", |s| s.gunzip == Some(true), false, gunzip::head),
    row("addition", |s| s.add_before_body.is_some() || s.add_after_body.is_some(), true, addition::head),
    row("sub", |s| s.sub_filter.is_some(), false, sub::head),
    row("charset", |s| s.charset.is_some() || s.source_charset.is_some(), false, charset::head),
    row("gzip", |s| s.gzip == Some(true), true, gzip::head),
    row("range", |s| s.max_ranges != Some(0), true, range::head),
];

/// Which rows a location needs: bits by index.
pub fn wanted(settings: &Settings) -> u32 {
    ROWS.iter().enumerate().filter(|(_, row)| (row.on)(settings)).fold(0, |bits, (at, _)| bits | 1 << at)
}

/// A response's bytes on their way: each stage keeps its own state.
pub enum Body {
    Lua(Arc<Code>),
    Trailers(headers::Trailers),
    Gunzip(Box<gunzip::Gunzip>),
    Addition(addition::Addition),
    Sub(Box<sub::Sub>),
    Charset(charset::Recode),
    Gzip(Box<gzip::Gzip>),
}

/// A piece of the response: its bytes, and whether the response ends with them.
pub struct Piece {
    pub bytes: Vec<u8>,
    pub flush: bool,
    pub last: bool,
}

impl Body {
    /// Err: the response breaks off here.
    async fn pass(&mut self, live: &Live, request: &mut Request, piece: Piece) -> Result<Piece, ()> {
        Ok(match self {
            // (on the heap: most responses pass no Lua, and all would have its size)
            Body::Lua(code) => return Box::pin(lua_body(live, request, code, piece)).await,
            Body::Addition(stage) => Box::pin(stage.pass(live, request, piece)).await,
            Body::Trailers(stage) => stage.pass(live, request, piece),
            Body::Gunzip(stage) => return stage.pass(live, request, piece),
            Body::Sub(stage) => stage.pass(live, request, piece),
            Body::Charset(stage) => stage.pass(piece),
            Body::Gzip(stage) => return stage.pass(live, request, piece),
        })
    }
}

/// Everything that may change the head before it is sent. Err: this status's page is the response instead.
pub async fn head(live: &Live, request: &mut Request) -> Result<(), u16> {
    if request.response.status == 0 {
        request.response.status = 200;
    }
    say_filters(live, request, "header", live.http().lua.filters);
    let mut wanted = live.location().filters;
    let mut chain = Vec::new();
    // Where the last row may refuse, the page that says so goes through all rows again.
    let before =
        (live.allow_ranges.get() && request.headers.contains(b"range")).then(|| request.response.headers.clone());
    while wanted != 0 {
        let at = wanted.trailing_zeros() as usize;
        wanted &= wanted - 1;
        let Some(row) = ROWS.get(at) else { break };
        if row.main_only && request.is_subrequest {
            continue;
        }
        let stage = match row.head {
            Head::Plain(head) => match head(live, request) {
                Ok(stage) => stage,
                Err(code) => {
                    let content_range = request.response.headers.first(b"content-range").cloned();
                    request.response.headers = before.unwrap_or_else(|| std::mem::take(&mut request.response.headers));
                    if let Some(value) = content_range {
                        request.response.headers.set("Content-Range", value);
                    }
                    return Err(code);
                }
            },
            Head::Lua => Box::pin(lua_head(live, request)).await?,
        };
        chain.extend(stage);
    }
    *live.chain.borrow_mut() = chain;
    Ok(())
}

/// The filters that run for every response, where there is Lua in the configuration that needs them.
fn say_filters(live: &Live, request: &Request, which: &str, user: bool) {
    if !request.log.enabled(Level::Debug) {
        return;
    }
    let uri = String::from_utf8_lossy(&request.uri);
    if live.http().lua.answers {
        live.say(request, Level::Debug, &format!("lua capture {which} filter, uri \"{uri}\""));
    }
    if user {
        live.say(request, Level::Debug, &format!("lua {which} filter for user lua code, uri \"{uri}\""));
    }
}

/// Sends what is pending through the stages.
pub async fn body(live: &Live, request: &mut Request, flush: bool, last: bool) {
    say_filters(live, request, "body", live.http().lua.body_filters);
    let mut chain = std::mem::take(&mut *live.chain.borrow_mut());
    if chain.is_empty() {
        return;
    }
    let mut piece = Piece { bytes: std::mem::take(&mut request.output.pending), flush, last };
    let was_last = last;
    for stage in &mut chain {
        if piece.bytes.is_empty() && !piece.flush && !piece.last {
            break;
        }
        match stage.pass(live, request, piece).await {
            Ok(next) => piece = next,
            Err(()) => {
                live.broken.set(true);
                live.keep_alive.set(false);
                return;
            }
        }
    }
    request.output.pending = piece.bytes;
    request.output.eof |= piece.last;
    if was_last && !piece.last {
        // A filter took the end away: the client sees a response that breaks off.
        live.broken.set(true);
    }
    *live.chain.borrow_mut() = chain;
}

/// For filters that change a body's bytes: what the head says of them is true no longer.
pub fn rewrites(live: &Live, request: &mut Request) {
    live.allow_ranges.set(false);
    let headers = &mut request.response.headers;
    headers.remove(b"content-length");
    headers.remove(b"accept-ranges");
}

/// An ETag of the bytes becomes one of what they mean.
pub fn weaken_etag(request: &mut Request) {
    let weak = match request.response.headers.first(b"etag") {
        Some(tag) if tag.starts_with(b"W/") => return,
        Some(tag) if tag.starts_with(b"\"") => [b"W/", &tag[..]].concat(),
        Some(_) => Vec::new(),
        None => return,
    };
    if weak.is_empty() {
        request.response.headers.remove(b"etag");
    } else {
        request.response.headers.set("ETag", weak);
    }
}

/// Whether a response's type is in a `*_types` list; without one, text/html alone. `*` stands for any.
pub fn type_listed(request: &Request, types: Option<&[Vec<u8>]>, default: &[&[u8]]) -> bool {
    let Some(kind) = request.response.headers.first(b"content-type") else { return false };
    let kind = kind.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
    default.iter().any(|known| known.eq_ignore_ascii_case(kind))
        || types.unwrap_or_default().iter().any(|known| known == b"*" || known.eq_ignore_ascii_case(kind))
}

async fn lua_head(live: &Live, request: &mut Request) -> Result<Option<Body>, u16> {
    // (a page that stands for a refused response is not asked about again)
    if let Some(code) =
        live.settings().lua_header_filter.as_ref().filter(|_| !live.if_seldom().is_some_and(|s| s.refusing.get()))
    {
        // What is pending waits outside: the filter's own run must not find it and send it.
        let output = std::mem::take(&mut request.output);
        let end = live.lua(request, Phase::HeaderFilter, code).await;
        request.output = output;
        if let PhaseEnd::Finish(Finish::Exit(code @ 300..)) = end {
            return Err(u16::try_from(code).unwrap_or(500));
        }
        if let PhaseEnd::Finish(Finish::Exit(code @ 200..)) = end {
            // The status is the filter's, and there is no body.
            request.response.status = u16::try_from(code).unwrap_or(500);
            request.response.headers.remove(b"content-length");
            request.output.pending.clear();
            live.header_only.set(true);
        }
        if end == PhaseEnd::Failed {
            // nginx's header filter returns an error: not even the head goes out.
            live.keep_alive.set(false);
            live.broken.set(true);
            request.response.status = 500;
        }
    }
    Ok(live.settings().lua_body_filter.clone().map(Body::Lua))
}

async fn lua_body(live: &Live, request: &mut Request, code: &Code, piece: Piece) -> Result<Piece, ()> {
    let dynamic = live.dynamic(request, code);
    let code = dynamic.as_deref().unwrap_or(code);
    let (bytes, last) = live.worker.lua.body_filter(request, code, piece.bytes, piece.last).await.map_err(|_| ())?;
    Ok(Piece { bytes, flush: piece.flush, last })
}

/// Whether a filter at this location looks at the pieces of a response.
pub fn wants_pieces(live: &Live) -> bool {
    live.settings().lua_body_filter.is_some()
}

/// Whether the pieces that a handler makes are to go out one by one: somebody looks at them.
pub fn by_pieces(live: &Live, request: &Request) -> bool {
    wants_pieces(live) && !(matches!(live.location().handler, Handler::Lua(_)) && live.buffers(request))
}
