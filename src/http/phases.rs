//! The phases of a request: server rewrite, find location, rewrite, access, try files, content. One loop, one screen; what
//! happens in each is in the functions below and in the neighbours.

use std::time::Duration;

use ngx::log::Level;
use ngx::phase::{Phase, Phases};
use ngx::request::{BodyError, Exchange, Finish, Request};
use ngx::trace::{self, Word};
use ngx::worker::PhaseEnd;

use super::live::Live;
use super::modules::{access, limit_conn, limit_req, mirror, perilune_status, realip, stub_status};
use super::{echo, files, mime, open_files, rewrite, route, status};
use crate::conf::settings::{KeepaliveDisable, Settings, TryLast};
use crate::conf::tree::{Handler, Location, LocationId, Op};

/// What a phase decided.
#[derive(Debug)]
pub enum Next {
    /// On to the next phase.
    Go,
    /// The response is complete, or will be; no more phases.
    Done,
    /// This status, with an error page where one is due.
    Status(u16),
    /// `return`, or a redirect: this status with this text (a Location for redirects).
    Text(u16, Vec<u8>),
    /// The URI changed: find the location anew.
    Find,
    /// An internal redirect: a new URI, which begins with the server's rewrite phase.
    Redirect {
        uri: Vec<u8>,
        args: Option<Vec<u8>>,
    },
    Named(Vec<u8>),
    /// Close the connection without a response.
    Drop,
}

/// What a location may have to do besides answering: the phase, and whether its settings ask for it.
const WORK: [(Phase, fn(&Settings) -> bool); 4] = [
    (Phase::ServerRewrite, |s| s.real_ip_from.is_some() || s.lua_server_rewrite.is_some()),
    (Phase::Rewrite, |s| s.more_headers.is_some() || s.lua_need_request_body.is_some() || s.lua_rewrite.is_some()),
    (Phase::Access, |s| {
        let limits = s.real_ip_from.is_some() || s.limit_conn.is_some() || s.limit_req.is_some();
        let checks = s.access.is_some() || s.auth_basic.is_some() || s.auth_request.is_some();
        limits || checks || s.lua_access.is_some()
    }),
    (Phase::Precontent, |s| s.mirror.is_some() || s.try_files.is_some() || s.lua_precontent.is_some()),
];

/// Which of them a location has. A location remembers it, so that a request skips the phases that have nothing
/// to do.
pub fn wanted(settings: &Settings, rewrite: &[Op]) -> Phases {
    let instructions = |phase| !rewrite.is_empty() && matches!(phase, Phase::ServerRewrite | Phase::Rewrite);
    let rows = WORK.iter().filter(|(phase, on)| on(settings) || instructions(*phase));
    rows.fold(0, |phases, (phase, _)| phases | phase.bit())
}

/// How often the URI may change before it counts as a cycle.
const CYCLES: usize = 10;

pub async fn run(live: &Live, request: &mut Request) {
    run_from(live, request, Phase::ServerRewrite).await;
}

/// A header filter wants this status instead of the response. Whether an `error_page` answered.
pub async fn refused(live: &Live, request: &mut Request, code: u16) -> bool {
    let refusals = &live.seldom().refusals;
    refusals.set(refusals.get() + 1);
    if request.is_subrequest || refusals.get() > 10 {
        return false;
    }
    let pages = &live.settings().error_page;
    let Some(page) = pages.iter().flat_map(|pages| pages.iter()).find(|page| page.status == code) else { return false };
    if live.error_answered.get() {
        return false;
    }
    request.output = ngx::request::Output::default();
    if let Some(stage) = error_page(live, request, code, page).await {
        run_from(live, request, stage).await;
    }
    true
}

/// Answers a request that is an error from the start: by `error_page`, or with the built-in page.
pub async fn run_error(live: &Live, request: &mut Request, code: u16) {
    if let Some(stage) = error_response(live, request, code).await {
        run_from(live, request, stage).await;
    }
}

async fn run_from(live: &Live, request: &mut Request, mut stage: Phase) {
    let mut cycles = 0;
    loop {
        request.phase = stage;
        let name = trace::note(|| stage.name().to_string());
        if stage == Phase::ServerRewrite {
            let root = live.server().root;
            live.enter(request, root);
        }
        let next = match stage {
            Phase::Init => find_location(live, request),
            Phase::ServerRewrite | Phase::Rewrite | Phase::Access if !live.location().works_in(stage) => Next::Go,
            Phase::ServerRewrite => trace::over(Word::Phase, name, server_rewrite(live, request)).await,
            Phase::Rewrite => trace::over(Word::Phase, name, rewrite_phase(live, request)).await,
            Phase::Access => trace::over(Word::Phase, name, access_phase(live, request)).await,
            _ => trace::over(Word::Phase, name, content(live, request)).await,
        };
        stage = match next {
            Next::Go => match stage {
                Phase::ServerRewrite => Phase::Init,
                Phase::Init => Phase::Rewrite,
                Phase::Rewrite => Phase::Access,
                Phase::Access => Phase::Content,
                _ => return,
            },
            Next::Done => return,
            Next::Drop => return,
            Next::Text(code, text) => match text_response(live, request, code, text).await {
                Some(redirect) => redirect,
                None => return,
            },
            Next::Status(code) => match error_response(live, request, code).await {
                Some(redirect) => redirect,
                None => return,
            },
            Next::Find => Phase::Init,
            Next::Redirect { uri, args } => {
                request.internal = true;
                request.reset_lua();
                request.uri = uri;
                request.args = args;
                Phase::ServerRewrite
            }
            Next::Named(name) => {
                request.internal = true;
                request.reset_lua();
                let found = named(live, &name);
                match found {
                    Some(location) => {
                        live.enter(request, location);
                        Phase::Rewrite
                    }
                    None => {
                        let text = String::from_utf8_lossy(&name).into_owned();
                        live.say(request, Level::Error, &format!("could not find named location \"{text}\""));
                        error_response(live, request, 500).await;
                        return;
                    }
                }
            }
        };
        if stage == Phase::Init || stage == Phase::Rewrite {
            cycles += usize::from(request.internal || stage == Phase::Init);
        }
        if cycles > 2 * CYCLES {
            let uri = String::from_utf8_lossy(&request.uri).into_owned();
            let message = format!("rewrite or internal redirection cycle while processing \"{uri}\"");
            live.say(request, Level::Error, &message);
            request.internal = true;
            special_page(live, request, 500).await;
            return;
        }
    }
}

fn named(live: &Live, name: &[u8]) -> Option<LocationId> {
    live.server().named.iter().copied().find(|id| live.http().location(*id).name == name)
}

async fn server_rewrite(live: &Live, request: &mut Request) -> Next {
    realip::run(live, request);
    let root = live.location();
    // (Lua first: its module comes later in nginx's list, and later modules run earlier)
    if let Some(code) = &root.settings.lua_server_rewrite {
        match after_lua(live, request, Phase::ServerRewrite, code).await {
            Next::Go | Next::Find => {}
            other => return other,
        }
    }
    match rewrite::run(live, request, root).await {
        Next::Find => Next::Go,
        other => other,
    }
}

fn find_location(live: &Live, request: &mut Request) -> Next {
    let found = match route::location(live.http(), live.server, &request.uri) {
        Ok(found) => found,
        Err(exceeded) => return live.exceeded(request, &exceeded),
    };
    let (location, captures) = found.unwrap_or((live.server().root, None));
    live.enter(request, location);
    let location = live.location();
    if let (Some(captures), crate::conf::tree::LocationKind::Regex(regex)) = (captures, &location.kind) {
        rewrite::keep_captures(live, request, regex, captures);
    }
    if location.internal && !request.internal {
        return Next::Status(404);
    }
    if let Some(wire) = &live.wire {
        wire.keepalive.set(Duration::from_millis(location.settings.keepalive_timeout.unwrap_or(75_000)));
    }
    if live.keep_alive.get() && !may_keep_alive(live, request) {
        live.keep_alive.set(false);
    }
    if let Some((spared, block)) = &location.except
        && !spared.iter().any(|method| request.method == method[..])
    {
        live.enter(request, *block);
    }
    let limit = location.settings.client_max_body_size.unwrap_or(1 << 20);
    if let Some(length) = live.content_length.filter(|length| limit > 0 && *length > limit && !request.internal) {
        live.say(request, Level::Error, &format!("client intended to send too large body: {length} bytes"));
        return Next::Status(413);
    }
    Next::Go
}

/// Whether the connection may serve another request after this one, as the location sees it.
fn may_keep_alive(live: &Live, request: &Request) -> bool {
    let (settings, connection) = (live.settings(), &request.connection);
    if settings.keepalive_timeout == Some(0) || connection.requests.get() >= settings.keepalive_requests.unwrap_or(1000)
    {
        return false;
    }
    let age = request.start_ms.saturating_sub(connection.started_ms);
    if age > settings.keepalive_time.unwrap_or(3_600_000) {
        return false;
    }
    let disable = settings.keepalive_disable.unwrap_or(KeepaliveDisable { msie6: true, safari: false });
    let post = request.method == b"POST"[..];
    if !(disable.safari || disable.msie6 && post) {
        return true;
    }
    let Some(agent) = request.headers.first(b"user-agent") else { return true };
    let find = |word: &[u8]| memchr::memmem::find(agent, word);
    let old = find(b"MSIE ").and_then(|at| agent.get(at + 5)).is_some_and(|digit| matches!(digit, b'4'..=b'6'));
    let safari = find(b"Mac OS X").is_some() && find(b"Safari/").is_some() && find(b"Chrome").is_none();
    !(disable.msie6 && post && old || disable.safari && safari)
}

async fn rewrite_phase(live: &Live, request: &mut Request) -> Next {
    let location = live.location();
    if location.settings.rewrite_by_lua_no_postpone == Some(true) {
        match rewrite_by_lua(live, request).await {
            Next::Go => {}
            other => return other,
        }
        return rewrite::run(live, request, location).await;
    }
    match rewrite::run(live, request, location).await {
        Next::Go => {}
        other => return other,
    }
    rewrite_by_lua(live, request).await
}

async fn rewrite_by_lua(live: &Live, request: &mut Request) -> Next {
    super::filter::more_headers(live, request, true);
    if live.settings().lua_need_request_body == Some(true)
        && let Next::Status(code) = read_body(live, request).await
    {
        return Next::Status(code);
    }
    match &live.settings().lua_rewrite {
        Some(code) => after_lua(live, request, Phase::Rewrite, code).await,
        None => Next::Go,
    }
}

pub async fn read_body(live: &Live, request: &mut Request) -> Next {
    if !matches!(request.body, ngx::request::Body::Unread) {
        return Next::Go;
    }
    match live.read_body(false).await {
        Ok(body) => {
            request.body = body;
            Next::Go
        }
        Err(error) => {
            if let Some((level, words)) = error.words() {
                live.say(request, level, words);
            }
            let BodyError::Status(code) = error;
            Next::Status(code)
        }
    }
}

async fn access_phase(live: &Live, request: &mut Request) -> Next {
    if request.is_subrequest {
        return Next::Go;
    }
    // What comes before access: nginx's preaccess phase.
    realip::run(live, request);
    match limit_conn::run(live, request) {
        Next::Go => {}
        other => return other,
    }
    match limit_req::run(live, request).await {
        Next::Go => {}
        other => return other,
    }
    access::run(live, request).await
}

async fn precontent(live: &Live, request: &mut Request) -> Next {
    let location = live.location();
    let early = location.settings.precontent_by_lua_no_postpone == Some(true);
    if early && let Some(next) = precontent_by_lua(live, request, location).await {
        return next;
    }
    match mirror::run(live, request).await {
        Next::Go => {}
        other => return other,
    }
    if let Some(rules) = &location.settings.try_files
        && !matches!(location.kind, crate::conf::tree::LocationKind::If)
    {
        match try_files(live, request, rules) {
            Next::Go => {}
            other => return other,
        }
    }
    if !early && let Some(next) = precontent_by_lua(live, request, location).await {
        return next;
    }
    Next::Go
}

async fn content(live: &Live, request: &mut Request) -> Next {
    let location = live.location();
    if location.works_in(Phase::Precontent) {
        match precontent(live, request).await {
            Next::Go => {}
            other => return other,
        }
    }
    match &location.handler {
        Handler::Lua(code) => match after_lua(live, request, Phase::Content, code).await {
            // The handler ended: so does the response.
            Next::Go => finish(live, request).await,
            other => other,
        },
        Handler::Echo(commands) => Box::pin(echo::run(live, request, commands)).await,
        Handler::StubStatus => Box::pin(stub_status::serve(live, request)).await,
        Handler::PeriluneStatus => Box::pin(perilune_status::serve(live, request)).await,
        Handler::EmptyGif => empty_gif(live, request).await,
        Handler::Files => files::serve(live, request).await,
    }
}

/// Some: it decided what becomes of the request.
async fn precontent_by_lua(live: &Live, request: &mut Request, location: &Location) -> Option<Next> {
    let code = location.settings.lua_precontent.as_ref()?;
    match after_lua(live, request, Phase::Precontent, code).await {
        Next::Go => {
            request.phase = Phase::Content;
            None
        }
        other => Some(other),
    }
}

/// What to answer when Lua failed: not always the server's fault, for there may be no such script.
fn failure_status(live: &Live, request: &Request, code: &ngx::code::Code) -> u16 {
    let dynamic = live.dynamic(request, code);
    let ngx::code::Source::File(path) = &dynamic.as_deref().unwrap_or(code).source else { return 500 };
    match std::fs::File::open(path).map_err(|error| error.kind()) {
        Err(std::io::ErrorKind::NotFound) => 404,
        Err(std::io::ErrorKind::PermissionDenied) => 503,
        _ => 500,
    }
}

/// Runs a phase's Lua and reads how it ended.
pub async fn after_lua(live: &Live, request: &mut Request, phase: Phase, code: &ngx::code::Code) -> Next {
    let end = live.lua(request, phase, code).await;
    ended(live, request, phase, code, end).await
}

/// What the end of a phase's Lua means for the request.
pub async fn ended(live: &Live, request: &mut Request, phase: Phase, code: &ngx::code::Code, end: PhaseEnd) -> Next {
    match end {
        PhaseEnd::Done if answered(live, request) && phase != Phase::Content => finish(live, request).await,
        PhaseEnd::Done => Next::Go,
        PhaseEnd::Failed => {
            let status = failure_status(live, request, code);
            fail(live, request, status)
        }
        PhaseEnd::Aborted => {
            live.logged_status.set(499);
            Next::Drop
        }
        PhaseEnd::Finish(finish) => finished(live, request, phase, finish).await,
    }
}

/// A response has begun in a phase before content: it is the whole answer.
fn answered(live: &Live, request: &Request) -> bool {
    request.response.sent || (request.output.started && !live.buffers(request))
}

async fn finished(live: &Live, request: &mut Request, phase: Phase, end: Finish) -> Next {
    match end {
        Finish::Jump => {
            request.reset_lua();
            Next::Find
        }
        Finish::Exec { uri, args } => match uri.first() {
            Some(b'@') => Next::Named(uri),
            _ => Next::Redirect { uri, args },
        },
        // NGX_OK, NGX_DECLINED, NGX_DONE end the phase only.
        Finish::Exit(0 | -5 | -4) if answered(live, request) => finish(live, request).await,
        // Nobody else answers.
        Finish::Exit(-5) if phase == Phase::Content => {
            live.keep_alive.set(false);
            Next::Drop
        }
        Finish::Exit(0 | -4) if phase == Phase::Content => finish(live, request).await,
        Finish::Exit(0 | -5 | -4) => Next::Go,
        // NGX_ERROR: the connection is closed as it is.
        Finish::Exit(status) if status < 0 => {
            live.keep_alive.set(false);
            Next::Drop
        }
        Finish::Exit(444) => {
            live.keep_alive.set(false);
            live.logged_status.set(444);
            Next::Drop
        }
        Finish::Exit(status) => {
            let status = u16::try_from(status).unwrap_or(500);
            if request.response.sent || request.output.started {
                return finish(live, request).await;
            }
            request.response.status = status;
            if status < 300 || status == 304 {
                return finish(live, request).await;
            }
            Next::Status(status)
        }
    }
}

/// Sends what is pending and ends the response; a handler that printed nothing answers with an empty body.
pub async fn finish(live: &Live, request: &mut Request) -> Next {
    if request.response.status == 0 && !request.response.sent {
        request.response.status = 200;
    }
    let _ = live.send(request, false, true).await;
    Next::Done
}

fn fail(live: &Live, request: &mut Request, status: u16) -> Next {
    if request.response.sent {
        // Too late for an error page: the connection is cut, so that the client does not take it for complete.
        live.keep_alive.set(false);
        return Next::Drop;
    }
    Next::Status(status)
}

fn try_files(live: &Live, request: &mut Request, rules: &crate::conf::settings::TryFiles) -> Next {
    let root = live.root(request);
    for (value, directory) in &rules.files {
        let name = live.eval(request, value);
        let path = live.join(&root, &name);
        let Some(found) = open_files::look(live, request, &files::path_of(&path)) else { continue };
        if found.is_dir != *directory {
            continue;
        }
        request.uri = match &live.settings().root {
            // Under an alias the URI keeps the location's prefix.
            Some(crate::conf::settings::Root { alias: Some(cut), .. }) if *cut != usize::MAX => {
                [&request.uri[..(*cut).min(request.uri.len())], &name].concat()
            }
            _ => name,
        };
        if *directory && !request.uri.ends_with(b"/") {
            request.uri.push(b'/');
        }
        return Next::Go;
    }
    match &rules.last {
        TryLast::Status(status) => Next::Status(*status),
        TryLast::Named(name) => Next::Named(name.clone()),
        TryLast::Uri(value) => {
            let target = live.eval(request, value);
            let (uri, args) = match memchr::memchr(b'?', &target) {
                Some(at) => (target[..at].to_vec(), Some(target[at + 1..].to_vec())),
                None => (target, request.args.clone()),
            };
            Next::Redirect { uri, args }
        }
    }
}

/// `return CODE TEXT`. Some: an error page takes over from that phase.
async fn text_response(live: &Live, request: &mut Request, code: u16, text: Vec<u8>) -> Option<Phase> {
    if code == 444 {
        live.keep_alive.set(false);
        live.logged_status.set(444);
        return None;
    }
    if !live.discard_body(request) {
        return error_response(live, request, 400).await;
    }
    if matches!(code, 301 | 302 | 303 | 307 | 308) {
        request.response.headers.set("Location", text);
        live.own_location.set(true);
        return error_response(live, request, code).await;
    }
    if matches!(code, 204 | 304) {
        request.response.status = code;
        let _ = live.reply(request, false, true).await;
        return None;
    }
    // Under an error page the error's status stays.
    request.response.status = if live.err_status.get() != 0 { live.err_status.get() } else { code };
    let kind = mime::of(&request.uri, live.settings());
    request.response.headers.set("Content-Type", kind);
    request.response.headers.set("Content-Length", text.len().to_string());
    request.output.pending = text;
    let _ = live.reply(request, false, true).await;
    None
}

/// Answers with an error: by `error_page` where one is configured (Some: the phase to go on with), else the built-in page.
pub async fn error_response(live: &Live, request: &mut Request, code: u16) -> Option<Phase> {
    // A client that is too slow, or gone, gets no answer.
    if matches!(code, 408 | 444 | 499) && !request.is_subrequest {
        live.keep_alive.set(false);
        // (in the middle of the request's body it is a bad request to nginx's log)
        let cut_short = code == 499 && live.body_cut_short.get();
        live.logged_status.set(if cut_short { 400 } else { code });
        return None;
    }
    if request.response.sent {
        let _ = live.reply(request, false, true).await;
        return None;
    }
    if status::closes(code) {
        live.keep_alive.set(false);
    }
    if live.capture.as_ref().is_some_and(|captured| !captured.error_pages) {
        // The parent gets the status alone: neither a page nor an error_page stands for it.
        for name in [&b"content-type"[..], b"content-length", b"last-modified", b"accept-ranges"] {
            request.response.headers.remove(name);
        }
        request.response.status = code;
        request.output.pending.clear();
        let _ = live.reply(request, false, true).await;
        return None;
    }
    if !live.error_answered.get() || live.settings().recursive_error_pages == Some(true) {
        let pages = &live.settings().error_page;
        if let Some(page) = pages.iter().flat_map(|pages| pages.iter()).find(|page| page.status == code) {
            return error_page(live, request, code, page).await;
        }
    }
    special_page(live, request, code).await;
    None
}

async fn error_page(
    live: &Live,
    request: &mut Request,
    code: u16,
    page: &crate::conf::settings::ErrorPage,
) -> Option<Phase> {
    let target = live.eval(request, &page.target);
    let answer = page.answer.unwrap_or(code);
    // (`=` alone: the answer's own status, or the one that Lua has set)
    if answer != 0 {
        request.response.status = answer;
    }
    live.err_status.set(answer);
    request.output.pending.clear();
    request.output.started = false;
    match target.first() {
        Some(b'/' | b'@') => {
            // Marks that an error is being answered, so that a second one does not go in circles.
            live.error_answered.set(true);
            request.reset_lua();
            if request.method != b"HEAD"[..] && target[0] == b'/' {
                request.method = ngx::bytes::Bytes::from_static(b"GET");
            }
            request.internal = true;
            if target[0] == b'@' {
                let found = named(live, &target);
                let Some(location) = found else {
                    special_page(live, request, 500).await;
                    return None;
                };
                live.enter(request, location);
                return Some(Phase::Rewrite);
            }
            let (uri, args) = match memchr::memchr(b'?', &target) {
                Some(at) => (target[..at].to_vec(), Some(target[at + 1..].to_vec())),
                None => (target, None),
            };
            request.uri = uri;
            request.args = args;
            Some(Phase::ServerRewrite)
        }
        _ => {
            request.response.headers.set("Location", target);
            let code = if matches!(answer, 301 | 302 | 303 | 307 | 308) { answer } else { 302 };
            special_page(live, request, code).await;
            None
        }
    }
}

/// The built-in page, or an empty body where there is none.
async fn special_page(live: &Live, request: &mut Request, code: u16) {
    set_special_page(live, request, code);
    let _ = live.reply(request, false, true).await;
}

/// Makes the built-in page the response.
pub fn set_special_page(live: &Live, request: &mut Request, code: u16) {
    let page = status::page(code, live.server_words(), false);
    for name in [&b"content-length"[..], b"content-encoding", b"last-modified", b"etag", b"accept-ranges"] {
        request.response.headers.remove(name);
    }
    live.allow_ranges.set(false);
    request.response.status = status::visible(code);
    request.response.charset = None;
    request.output.pending = page.unwrap_or_default();
    request.output.started = true;
    if request.output.pending.is_empty() {
        request.response.headers.remove(b"content-type");
    } else {
        request.response.headers.set("Content-Type", "text/html");
    }
    if !matches!(code, 204 | 304) {
        request.response.headers.set("Content-Length", request.output.pending.len().to_string());
    }
}

/// A response that is there as a whole.
pub async fn text(live: &Live, request: &mut Request, kind: &'static str, bytes: Vec<u8>) -> Next {
    request.response.status = 200;
    request.response.headers.set("Content-Type", kind);
    request.response.headers.set("Content-Length", bytes.len().to_string());
    request.output.pending = bytes;
    let _ = live.reply(request, false, true).await;
    Next::Done
}

/// One transparent dot.
const GIF: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\x01\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\x01\0,\0\0\0\0\x01\0\x01\0\0\x02\x02L\x01\0;";

async fn empty_gif(live: &Live, request: &mut Request) -> Next {
    if !matches!(&request.method[..], b"GET" | b"HEAD") {
        return Next::Status(405);
    }
    request.response.headers.set("Last-Modified", "Mon, 28 Sep 1970 06:00:00 GMT");
    text(live, request, "image/gif", GIF.to_vec()).await
}
