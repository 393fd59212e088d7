//! The echo module's content handler.

use std::time::Duration;

use ngx::request::{Body, ClientGone, Request, SubrequestOptions, SubrequestResult};

use super::live::Live;
use super::mime;
use super::phases::{self, Next};
use crate::conf::tree::Echo;
use crate::conf::value::Value;

pub async fn run(live: &Live, request: &mut Request, commands: &[Echo]) -> Next {
    let pieces = super::filter::by_pieces(live, request);
    let mut later = Vec::new();
    for command in commands {
        match command {
            Echo::Status(status) => request.response.status = *status,
            Echo::Say { values, newline } => {
                head(live, request);
                for (n, value) in values.iter().enumerate() {
                    if n > 0 {
                        request.output.pending.push(b' ');
                    }
                    let text = live.eval(request, value);
                    request.output.pending.extend_from_slice(&text);
                }
                if *newline {
                    request.output.pending.push(b'\n');
                }
                if pieces && later.is_empty() && live.reply(request, false, false).await.is_err() {
                    return Next::Done;
                }
            }
            Echo::Duplicate { times, text } => {
                head(live, request);
                let times = crate::conf::scalar::number(&live.eval(request, times)).unwrap_or(0);
                let text = live.eval(request, text);
                for _ in 0..times.min(1 << 24) {
                    request.output.pending.extend_from_slice(&text);
                    let much = request.output.pending.len() > 64 * 1024 && later.is_empty();
                    if much && live.reply(request, false, false).await.is_err() {
                        return Next::Done;
                    }
                }
            }
            #[cfg(debug_assertions)]
            Echo::Panic => panic!("asked for by echo_panic"),
            Echo::Flush => {
                head(live, request);
                // (what stands behind a subrequest that is under way goes out after it)
                if later.is_empty() && live.reply(request, true, false).await.is_err() {
                    return Next::Done;
                }
            }
            Echo::Sleep(value) => {
                let text = live.eval(request, value);
                let seconds: f64 = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0);
                if seconds > 0.0 && seconds < 1e9 {
                    ngx::alarm::sleep(Duration::from_secs_f64(seconds)).await;
                }
            }
            Echo::ReadBody => {
                if let Next::Status(code) = phases::read_body(live, request).await {
                    return Next::Status(code);
                }
            }
            Echo::RequestBody => {
                if matches!(request.body, Body::Unread)
                    && let Next::Status(code) = phases::read_body(live, request).await
                {
                    return Next::Status(code);
                }
                head(live, request);
                match &request.body {
                    Body::Memory(bytes) => request.output.pending.extend_from_slice(bytes),
                    Body::File(file) => {
                        let bytes = std::fs::read(&file.path).unwrap_or_default();
                        request.output.pending.extend_from_slice(&bytes);
                    }
                    Body::Unread | Body::Discarded => {}
                }
            }
            Echo::Subrequest { wait, method, uri, args, body, body_file } => {
                head(live, request);
                let options = match subrequest(live, request, [method, args, body, body_file], uri) {
                    Ok(options) => options,
                    Err(next) => return next,
                };
                // What stands before goes out before.
                if later.is_empty() && live.reply(request, false, false).await.is_err() {
                    return Next::Done;
                }
                let job = request.exchange.clone().subrequest(request, options);
                if !wait {
                    let before = std::mem::take(&mut request.output.pending);
                    later.push(Later { before, job: tokio::task::spawn_local(job) });
                    continue;
                }
                let result = job.await;
                request.output.pending.extend_from_slice(&result.body);
                if pieces && later.is_empty() && live.reply(request, false, false).await.is_err() {
                    return Next::Done;
                }
            }
            Echo::ResetTimer => request.start_ms = crate::time::now_ms(),
            Echo::Exec { uri, args } => {
                let uri = live.eval(request, uri);
                let args = args.as_ref().map(|args| live.eval(request, args));
                return match uri.first() {
                    Some(b'@') => Next::Named(uri),
                    _ => Next::Redirect { uri, args },
                };
            }
        }
    }
    head(live, request);
    if settle(live, request, later).await.is_ok() {
        let _ = live.reply(request, false, true).await;
    }
    Next::Done
}

/// A subrequest that runs beside the commands behind it.
struct Later {
    /// What goes out before its response.
    before: Vec<u8>,
    job: tokio::task::JoinHandle<SubrequestResult>,
}

impl Drop for Later {
    fn drop(&mut self) {
        self.job.abort();
    }
}

/// Waits for the subrequests, each in its turn, and puts their responses where they belong.
async fn settle(live: &Live, request: &mut Request, later: Vec<Later>) -> Result<(), ClientGone> {
    if later.is_empty() {
        return Ok(());
    }
    let behind = std::mem::take(&mut request.output.pending);
    for mut one in later {
        request.output.pending.append(&mut one.before);
        live.reply(request, false, false).await?;
        // (one that panicked has no response)
        if let Ok(mut result) = (&mut one.job).await {
            request.output.pending.append(&mut result.body);
        }
    }
    request.output.pending.extend_from_slice(&behind);
    Ok(())
}

/// What a subrequest command asks for. `values`: method, arguments, body, the body's file.
fn subrequest(
    live: &Live,
    request: &Request,
    values: [&Option<Value>; 4],
    uri: &Value,
) -> Result<SubrequestOptions, Next> {
    let [method, args, body, file] = values.map(|value| value.as_ref().map(|value| live.eval(request, value)));
    let target = live.eval(request, uri);
    let (path, own) = match memchr::memchr(b'?', &target) {
        Some(at) => (target[..at].to_vec(), Some(target[at + 1..].to_vec())),
        None => (target, None),
    };
    if path.is_empty() {
        return Err(Next::Status(500));
    }
    let mut options = SubrequestOptions::get(path);
    options.args = args.or(own);
    options.share_all_vars = true;
    options.error_pages = true;
    if let Some(method) = method {
        let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "MKCOL", "COPY", "MOVE"];
        let found = known.into_iter().find(|name| name.as_bytes() == method);
        options.method = found.ok_or(Next::Status(500))?;
    }
    options.body = match (body, file) {
        (Some(body), _) => Some(body.into()),
        (None, Some(file)) => {
            let path = live.worker.main.prefix.join(super::files::path_of(&file));
            let bytes = std::fs::read(&path).map_err(|error| {
                let words = crate::conf::os_error(&error);
                live.say(request, ngx::log::Level::Error, &format!("open() \"{}\" failed {words}", path.display()));
                Next::Status(500)
            })?;
            Some(bytes.into())
        }
        (None, None) if options.method == "GET" => None,
        (None, None) => Some(ngx::bytes::Bytes::new()),
    };
    Ok(options)
}

fn head(live: &Live, request: &mut Request) {
    if !request.output.started {
        request.output.started = true;
        if !request.response.headers.contains(b"content-type") {
            let kind = mime::of(&request.uri, live.settings());
            request.response.headers.set("Content-Type", kind);
        }
    }
}
