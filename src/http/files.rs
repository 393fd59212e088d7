//! Static files: index, directory redirects, conditional requests, ranges.

use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use ngx::log::Level;
use ngx::request::Request;

use super::live::Live;
use super::phases::Next;
use super::{mime, response, uri};
use crate::conf::os_error;
use crate::conf::settings::{IfModified, Root};
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
        return index(live, request);
    }
    if !matches!(&request.method[..], b"GET" | b"HEAD" | b"POST") {
        return Next::Status(405);
    }
    // A file has no use for a body, but what must be read to keep the connection is read by then.
    let name = live.file_name(request);
    let path = path_of(&name);
    let shown = String::from_utf8_lossy(&name).into_owned();
    let opened = std::fs::File::options()
        .read(true)
        .custom_flags(i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0))
        .open(&path);
    let (file, found) = match opened.and_then(|file| Ok((file.metadata()?, file))) {
        Ok((found, file)) => (file, found),
        Err(error) => {
            use std::io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied};
            let status = match error.kind() {
                NotFound | NotADirectory => 404,
                _ if error.raw_os_error() == Some(rustix::io::Errno::NAMETOOLONG.raw_os_error()) => 404,
                PermissionDenied | IsADirectory => 403,
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
    if found.is_dir() {
        let mut target = uri::escape(&request.uri);
        target.push(b'/');
        if let Some(args) = request.args.as_deref().filter(|args| !args.is_empty()) {
            target.push(b'?');
            target.extend_from_slice(args);
        }
        return Next::Text(301, target);
    }
    if !found.is_file() {
        live.say(request, Level::Crit, &format!("\"{shown}\" is not a regular file"));
        return Next::Status(404);
    }
    if request.method == b"POST"[..] {
        return Next::Status(405);
    }
    respond(live, request, file, found.size(), found.mtime()).await
}

fn index(live: &Live, request: &mut Request) -> Next {
    let root = live.root(request);
    let directory = live.join(&root, &request.uri);
    let indexes = live.settings().index.clone();
    let default = [crate::conf::value::Value::text("index.html")];
    for value in indexes.as_deref().unwrap_or(&default) {
        let name = live.eval(request, value);
        if name.starts_with(b"/") {
            // The last one may be a URI of its own.
            return Next::Redirect { uri: name, args: request.args.clone() };
        }
        let path = [&directory[..], &name].concat();
        match std::fs::metadata(path_of(&path)) {
            Ok(_) => {
                return Next::Redirect { uri: [&request.uri[..], &name].concat(), args: request.args.clone() };
            }
            Err(_) => continue,
        }
    }
    if !matches!(&request.method[..], b"GET" | b"HEAD" | b"POST") {
        return Next::Status(405);
    }
    let shown = String::from_utf8_lossy(&directory).into_owned();
    match std::fs::metadata(path_of(&directory)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
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

async fn respond(live: &Live, request: &mut Request, mut file: std::fs::File, size: u64, mtime: i64) -> Next {
    let kind = mime::of(&request.uri, live.settings());
    let etag = format!("\"{mtime:x}-{size:x}\"");
    let use_etag = live.settings().etag.unwrap_or(true);
    // An error page from a file keeps the error's status, and is neither conditional nor partial.
    let plain = live.err_status.get() == 0;
    if plain {
        request.response.status = 200;
        match precondition(live, request, use_etag.then_some(etag.as_str()), mtime) {
            200 => {}
            304 => {
                request.response.status = 304;
                request.response.headers.set("Last-Modified", time::http_date(mtime));
                if use_etag {
                    request.response.headers.set("ETag", etag);
                }
                let _ = live.reply(request, false, true).await;
                return Next::Done;
            }
            status => return Next::Status(status),
        }
    }
    let ranges = if plain { ranges(live, request, size, &etag, mtime) } else { Ranges::Whole };
    request.response.headers.set("Content-Type", kind.clone());
    request.response.headers.set("Last-Modified", time::http_date(mtime));
    if use_etag {
        request.response.headers.set("ETag", etag);
    }
    let mut parts: Vec<(Vec<u8>, u64, u64)> = Vec::new();
    let mut tail = Vec::new();
    match ranges {
        Ranges::Whole => {
            if plain && live.settings().max_ranges != Some(0) {
                request.response.headers.set("Accept-Ranges", "bytes");
            }
            request.response.headers.set("Content-Length", size.to_string());
            parts.push((Vec::new(), 0, size));
        }
        Ranges::None => {
            request.response.headers.remove(b"content-type");
            request.response.headers.set("Content-Range", format!("bytes */{size}"));
            return Next::Status(416);
        }
        Ranges::Some(list) if list.len() == 1 => {
            let (from, to) = list[0];
            request.response.status = 206;
            request.response.headers.set("Content-Range", format!("bytes {from}-{}/{size}", to - 1));
            request.response.headers.set("Content-Length", (to - from).to_string());
            parts.push((Vec::new(), from, to));
        }
        Ranges::Some(list) => {
            let boundary = format!("{:020}", live.id % 10_000_000_000);
            request.response.status = 206;
            let multipart = format!("multipart/byteranges; boundary={boundary}");
            request.response.headers.set("Content-Type", multipart);
            let kind = String::from_utf8_lossy(&kind).into_owned();
            let mut total = 0;
            for (from, to) in list {
                let head = format!(
                    "\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: bytes {from}-{}/{size}\r\n\r\n",
                    to - 1
                );
                total += head.len() as u64 + (to - from);
                parts.push((head.into_bytes(), from, to));
            }
            tail = format!("\r\n--{boundary}--\r\n").into_bytes();
            total += tail.len() as u64;
            request.response.headers.set("Content-Length", total.to_string());
        }
    }
    if request.method == b"HEAD"[..] {
        let _ = live.reply(request, false, true).await;
        return Next::Done;
    }
    for (head, from, to) in parts {
        request.output.pending.extend_from_slice(&head);
        if from > 0 && file.seek(SeekFrom::Start(from)).is_err() {
            return Next::Status(500);
        }
        if to - from > CHUNK as u64 && response::is_plain(live) {
            if live.reply(request, false, false).await.is_err()
                || live.send_file(request, &file, from, to).await.is_err()
            {
                live.keep_alive.set(false);
                return Next::Done;
            }
            continue;
        }
        let mut left = to - from;
        while left > 0 {
            let take = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let at = request.output.pending.len();
            request.output.pending.resize(at + take, 0);
            let count = match file.read(&mut request.output.pending[at..]) {
                Ok(0) | Err(_) => {
                    // The file shrank under us: cut the connection rather than invent bytes.
                    request.output.pending.truncate(at);
                    live.keep_alive.set(false);
                    return Next::Drop;
                }
                Ok(count) => count,
            };
            request.output.pending.truncate(at + count);
            left -= count as u64;
            if left > 0 && live.reply(request, false, false).await.is_err() {
                return Next::Done;
            }
        }
    }
    request.output.pending.extend_from_slice(&tail);
    let _ = live.reply(request, false, true).await;
    Next::Done
}

/// 200, 304 or 412.
pub fn precondition(live: &Live, request: &Request, etag: Option<&str>, mtime: i64) -> u16 {
    let headers = &request.headers;
    if let Some(since) = headers.first(b"if-unmodified-since")
        && time::parse_http_date(since).is_some_and(|since| mtime > since)
    {
        return 412;
    }
    if let Some(tags) = headers.first(b"if-match")
        && !matches_etag(tags, etag, false)
    {
        return 412;
    }
    let since = headers.first(b"if-modified-since");
    let none_match = headers.first(b"if-none-match");
    if since.is_none() && none_match.is_none() {
        return 200;
    }
    if let Some(since) = since {
        let since = time::parse_http_date(since);
        let modified = match live.settings().if_modified_since.unwrap_or(IfModified::Exact) {
            IfModified::Off => true,
            IfModified::Exact => since != Some(mtime),
            IfModified::Before => since.is_none_or(|since| mtime > since),
        };
        if modified {
            return 200;
        }
    }
    if let Some(tags) = none_match
        && !matches_etag(tags, etag, true)
    {
        return 200;
    }
    304
}

fn matches_etag(list: &[u8], etag: Option<&str>, weak: bool) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let Some(etag) = etag else { return false };
    list.split(|&b| b == b',').map(<[u8]>::trim_ascii).any(|tag| {
        let tag = if weak { tag.strip_prefix(b"W/").unwrap_or(tag) } else { tag };
        tag == etag.as_bytes()
    })
}

enum Ranges {
    Whole,
    /// Unsatisfiable.
    None,
    Some(Vec<(u64, u64)>),
}

fn ranges(live: &Live, request: &Request, size: u64, etag: &str, mtime: i64) -> Ranges {
    let max = live.settings().max_ranges.unwrap_or(u64::MAX);
    let Some(list) = request.headers.first(b"range").filter(|_| max > 0 && request.version >= 10) else {
        return Ranges::Whole;
    };
    let Some(list) = list.get(..6).filter(|unit| unit.eq_ignore_ascii_case(b"bytes=")).map(|_| &list[6..]) else {
        return Ranges::Whole;
    };
    if let Some(condition) = request.headers.first(b"if-range") {
        let same = match condition.first() {
            Some(b'"') => condition[..] == *etag.as_bytes(),
            _ => time::parse_http_date(condition) == Some(mtime),
        };
        if !same {
            return Ranges::Whole;
        }
    }
    let (mut found, mut sum) = (Vec::new(), 0u64);
    for part in list.split(|&b| b == b',') {
        let Some(dash) = part.iter().position(|&b| b == b'-') else { return Ranges::None };
        let (first, last) = (part[..dash].trim_ascii(), part[dash + 1..].trim_ascii());
        let number = crate::conf::scalar::number;
        let range = match (first, last) {
            (b"", last) => match number(last) {
                Some(count) => (size.saturating_sub(count), size),
                None => return Ranges::None,
            },
            (first, b"") => match number(first) {
                Some(from) => (from, size),
                None => return Ranges::None,
            },
            (first, last) => match (number(first), number(last)) {
                (Some(from), Some(to)) => (from, to.saturating_add(1).min(size)),
                _ => return Ranges::None,
            },
        };
        if range.0 < range.1 {
            sum += range.1 - range.0;
            found.push(range);
        }
        if found.len() as u64 > max {
            return Ranges::Whole;
        }
    }
    if found.is_empty() {
        return Ranges::None;
    }
    // More than the file itself: somebody is up to something; send it whole.
    if sum > size { Ranges::Whole } else { Ranges::Some(found) }
}
