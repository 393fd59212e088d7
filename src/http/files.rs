//! Static files: index, directory redirects, conditional requests, ranges.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use ngx::log::Level;
use ngx::request::Request;

use super::live::Live;
use super::modules::autoindex;
use super::open_files::{self, Found};
use super::phases::Next;
use super::{filter, mime, response, uri};
use crate::conf::os_error;
use crate::conf::settings::{GzipStatic, Root};
use crate::http::filter::range::{Part, Ranges};
use crate::time;

pub fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

impl Live {
    /// `$document_root`
    pub fn root(&self, request: &Request) -> Vec<u8> {
        let text = match &self.settings().root {
            Some(root) => self.eval(request, &root.path),
            None => b"html".to_vec(),
        };
        // Cut a final slash, so that joining does not double it; an alias keeps its own.
        self.worker.main.prefix.join(path_of(&text)).into_os_string().into_encoded_bytes()
    }

    /// A file name under the root for a URI.
    pub fn join(&self, root: &[u8], uri: &[u8]) -> Vec<u8> {
        match &self.settings().root {
            Some(Root { alias: Some(usize::MAX), .. }) => root.to_vec(),
            Some(Root { alias: Some(cut), .. }) if uri.len() >= *cut => [root, &uri[*cut..]].concat(),
            _ => [root.strip_suffix(b"/").unwrap_or(root), uri].concat(),
        }
    }

    /// `$request_filename`
    pub fn file_name(&self, request: &Request) -> Vec<u8> {
        self.join(&self.root(request), &request.uri)
    }
}

pub async fn serve(live: &Live, request: &mut Request) -> Next {
    if request.uri.ends_with(b"/") {
        return Box::pin(index(live, request)).await;
    }
    if !matches!(&request.method[..], b"GET" | b"HEAD" | b"POST") {
        return Next::Status(405);
    }
    if !live.discard_body(request) {
        return Next::Status(400);
    }
    let name = live.file_name(request);
    let path = path_of(&name);
    let shown = String::from_utf8_lossy(&name).into_owned();
    if let Some(found) = compressed(live, request, &name) {
        request.response.headers.set("Content-Encoding", "gzip");
        return respond(live, request, &found).await;
    }
    let found = match open_files::open(live, request, &path) {
        Ok(found) => found,
        Err(error) => {
            use std::io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied};
            let status = match error.kind() {
                NotFound | NotADirectory => 404,
                _ if error.raw_os_error() == Some(rustix::io::Errno::NAMETOOLONG.raw_os_error()) => 404,
                PermissionDenied | IsADirectory => 403,
                // (a link where disable_symlinks refuses them)
                _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => 403,
                _ => 500,
            };
            let quiet = status == 404 && live.settings().log_not_found == Some(false);
            if !quiet {
                let level = if status == 500 { Level::Crit } else { Level::Error };
                live.say(request, level, &format!("open() \"{shown}\" failed {}", os_error(&error)));
            }
            return Next::Status(status);
        }
    };
    if found.facts.is_dir {
        let mut target = uri::escape(&request.uri);
        target.push(b'/');
        if let Some(args) = request.args.as_deref().filter(|args| !args.is_empty()) {
            target.push(b'?');
            target.extend_from_slice(args);
        }
        return Next::Text(301, target);
    }
    if !found.facts.is_file {
        live.say(request, Level::Crit, &format!("\"{shown}\" is not a regular file"));
        return Next::Status(404);
    }
    if request.method == b"POST"[..] {
        return Next::Status(405);
    }
    respond(live, request, &found).await
}

/// `NAME.gz`, where gzip_static says so and the client takes it.
fn compressed(live: &Live, request: &Request, name: &[u8]) -> Option<Found> {
    let mode = live.settings().gzip_static.filter(|mode| *mode != GzipStatic::Off)?;
    if !matches!(&request.method[..], b"GET" | b"HEAD") || request.is_subrequest {
        return None;
    }
    let takes = mode == GzipStatic::Always || filter::accepts_gzip(live, request);
    if !takes && live.settings().gzip_vary != Some(true) {
        return None;
    }
    let found =
        open_files::open(live, request, &path_of(&[name, b".gz"].concat())).ok().filter(|found| found.facts.is_file)?;
    if mode == GzipStatic::On {
        filter::vary(live);
    }
    takes.then_some(found)
}

async fn index(live: &Live, request: &mut Request) -> Next {
    let root = live.root(request);
    let directory = live.join(&root, &request.uri);
    if live.settings().random_index == Some(true)
        && matches!(&request.method[..], b"GET" | b"HEAD" | b"POST")
        && let Next::Redirect { uri, args } = autoindex::random(live, request, &directory)
    {
        return Next::Redirect { uri, args };
    }
    let indexes = live.settings().index.clone();
    let default = [crate::conf::value::Value::text("index.html")];
    for value in indexes.as_deref().unwrap_or(&default) {
        let name = live.eval(request, value);
        if name.starts_with(b"/") {
            // The last one may be a URI of its own.
            return Next::Redirect { uri: name, args: request.args.clone() };
        }
        let path = [&directory[..], &name].concat();
        let there = match live.settings().open_file_cache {
            Some(Some(_)) => open_files::open(live, request, &path_of(&path)).is_ok(),
            _ => open_files::look(live, request, &path_of(&path)).is_some(),
        };
        if there {
            return Next::Redirect { uri: [&request.uri[..], &name].concat(), args: request.args.clone() };
        }
    }
    if !matches!(&request.method[..], b"GET" | b"HEAD" | b"POST") {
        return Next::Status(405);
    }
    if live.settings().autoindex == Some(true) {
        return autoindex::serve(live, request, &directory).await;
    }
    let shown = String::from_utf8_lossy(&directory).into_owned();
    match std::fs::metadata(path_of(&directory)) {
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            if live.settings().log_not_found != Some(false) {
                let first = live.eval(request, indexes.as_deref().unwrap_or(&default).first().unwrap_or(&default[0]));
                let first = String::from_utf8_lossy(&first).into_owned();
                let message = format!("\"{shown}{first}\" is not found {}", os_error(&error));
                live.say(request, Level::Error, &message);
            }
            Next::Status(404)
        }
        _ => {
            live.say(request, Level::Error, &format!("directory index of \"{shown}\" is forbidden"));
            Next::Status(403)
        }
    }
}

/// How much of a file is read at a time.
const CHUNK: usize = 64 * 1024;

async fn respond(live: &Live, request: &mut Request, found: &Found) -> Next {
    let (file, size, mtime) = (&*found.file, found.facts.size, found.facts.mtime);
    // An error page from a file keeps the error's status, and is neither conditional nor partial.
    if live.err_status.get() == 0 {
        request.response.status = 200;
    }
    live.allow_ranges.set(true);
    let headers = &mut request.response.headers;
    if !headers.contains(b"content-type") || headers.contains(b"content-encoding") || live.err_status.get() == 0 {
        request.response.headers.set("Content-Type", mime::of(&request.uri, live.settings()));
    }
    request.response.headers.set("Content-Length", size.to_string());
    request.response.headers.set("Last-Modified", time::http_date(mtime));
    if live.settings().etag.unwrap_or(true) {
        request.response.headers.set("ETag", format!("\"{mtime:x}-{size:x}\""));
    }
    if let Err(code) = response::head(live, request).await {
        // (the page that says so stands ready, but an error_page may know better)
        request.output.pending.clear();
        return Next::Status(code);
    }
    let whole = || Ranges { parts: vec![Part { head: Vec::new(), from: 0, to: size }], tail: Vec::new() };
    let ranges = live.if_seldom().and_then(|s| s.ranges.take()).unwrap_or_else(whole);
    if live.header_only.get() {
        let _ = live.reply(request, false, true).await;
        return Next::Done;
    }
    for Part { head, from, to } in ranges.parts {
        request.output.pending.extend_from_slice(&head);
        if to - from > CHUNK as u64 && response::is_plain(live) {
            if live.reply(request, false, false).await.is_err()
                || live.send_file(request, file, from, to).await.is_err()
            {
                live.keep_alive.set(false);
                return Next::Done;
            }
            continue;
        }
        let mut place = from;
        while place < to {
            let take = usize::try_from(to - place).unwrap_or(CHUNK).min(CHUNK);
            let at = request.output.pending.len();
            request.output.pending.resize(at + take, 0);
            let count = match file.read_at(&mut request.output.pending[at..], place) {
                Ok(0) | Err(_) => {
                    // The file shrank under us: cut the connection rather than invent bytes.
                    request.output.pending.truncate(at);
                    live.keep_alive.set(false);
                    return Next::Drop;
                }
                Ok(count) => count,
            };
            request.output.pending.truncate(at + count);
            place += count as u64;
            if place < to && live.reply(request, false, false).await.is_err() {
                return Next::Done;
            }
        }
    }
    request.output.pending.extend_from_slice(&ranges.tail);
    let _ = live.reply(request, false, true).await;
    Next::Done
}
