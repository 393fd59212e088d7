//! The autoindex and random_index modules: what a directory answers that has no index file.

use std::fmt::Write;
use std::path::Path;

use ngx::encoding::{Escape, escape_uri};
use ngx::log::Level;
use ngx::request::Request;

use crate::conf::os_error;
use crate::http::live::Live;
use crate::http::phases::Next;
use crate::http::{response, vars};
use crate::time;

/// `autoindex_format`
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Format {
    Html,
    Json,
    Jsonp,
    Xml,
}

struct Entry {
    name: String,
    directory: bool,
    size: u64,
    mtime: i64,
}

/// Names are cut at so many characters.
const NAME: usize = 50;

pub async fn serve(live: &Live, request: &mut Request, directory: &[u8]) -> Next {
    if !matches!(&request.method[..], b"GET" | b"HEAD") {
        return Next::Status(405);
    }
    let path = crate::http::files::path_of(directory);
    let entries = match list(&path) {
        Ok(entries) => entries,
        Err(error) => {
            let (level, status) = match error.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => (Level::Error, 404),
                std::io::ErrorKind::PermissionDenied => (Level::Error, 403),
                _ => (Level::Crit, 500),
            };
            live.say(request, level, &format!("opendir() \"{}\" failed {}", path.display(), os_error(&error)));
            return Next::Status(status);
        }
    };
    let format = live.settings().autoindex_format.unwrap_or(Format::Html);
    let kind = match format {
        Format::Html => "text/html",
        Format::Json => "application/json",
        Format::Jsonp => "application/javascript",
        Format::Xml => "text/xml",
    };
    request.response.status = 200;
    request.response.headers.set("Content-Type", kind);
    if format == Format::Xml {
        request.response.charset = Some("utf-8".into());
    }
    // The charset decides what a character is.
    if let Err(code) = response::head(live, request).await {
        return Next::Status(code);
    }
    let utf8 = request.response.charset.as_ref().is_some_and(|charset| charset.eq_ignore_ascii_case(b"utf-8"));
    let text = match format {
        Format::Html => html(live, &String::from_utf8_lossy(&request.uri), &entries, utf8),
        Format::Xml => xml(&entries),
        Format::Json => json(&entries),
        Format::Jsonp => {
            let callback = request.args.as_deref().and_then(|args| vars::argument(args, b"callback"));
            match callback.filter(|name| !name.is_empty()) {
                Some(name) => format!("{}({});", String::from_utf8_lossy(&name), json(&entries).trim_end()),
                None => json(&entries),
            }
        }
    };
    request.output.pending = text.into_bytes();
    let _ = live.reply(request, false, true).await;
    Next::Done
}

/// A file of the directory, by chance.
pub fn random(live: &Live, request: &Request, directory: &[u8]) -> Next {
    let names: Vec<String> = match list(&crate::http::files::path_of(directory)) {
        Ok(entries) => entries.into_iter().filter(|entry| !entry.directory).map(|entry| entry.name).collect(),
        Err(_) => Vec::new(),
    };
    let Some(at) = (live.id >> 7).checked_rem(names.len() as u64) else { return Next::Go };
    let name = &names[usize::try_from(at).unwrap_or(0)];
    Next::Redirect { uri: [&request.uri[..], name.as_bytes()].concat(), args: request.args.clone() }
}

fn list(path: &Path) -> std::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for found in std::fs::read_dir(path)? {
        let found = found?;
        let name = found.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        // A link is what it leads to; a broken one is itself.
        let Ok(about) = std::fs::metadata(found.path()).or_else(|_| found.metadata()) else { continue };
        let mtime = std::os::unix::fs::MetadataExt::mtime(&about);
        entries.push(Entry { name, directory: about.is_dir(), size: about.len(), mtime });
    }
    entries.sort_by(|a, b| b.directory.cmp(&a.directory).then_with(|| a.name.cmp(&b.name)));
    Ok(entries)
}

fn html(live: &Live, uri: &str, entries: &[Entry], utf8: bool) -> String {
    let exact = live.settings().autoindex_exact_size.unwrap_or(true);
    let local = live.settings().autoindex_localtime.unwrap_or(false);
    let uri = escaped(uri);
    let mut out = format!(
        "<html>\r\n<head><title>Index of {uri}</title></head>\r\n<body>\r\n<h1>Index of {uri}</h1><hr><pre>\
         <a href=\"../\">../</a>\r\n"
    );
    for entry in entries {
        let href = String::from_utf8_lossy(&escape_uri(entry.name.as_bytes(), Escape::Component)).into_owned();
        let slash = if entry.directory { "/" } else { "" };
        let _ = write!(out, "<a href=\"{href}{slash}\">");
        let mut length = if utf8 { entry.name.chars().count() } else { entry.name.len() };
        if length > NAME {
            let cut = if utf8 {
                entry.name.char_indices().nth(NAME - 3).map_or(entry.name.len(), |(at, _)| at)
            } else {
                (0..=NAME - 3).rev().find(|&at| entry.name.is_char_boundary(at)).unwrap_or(0)
            };
            let _ = write!(out, "{}..&gt;</a>", escaped(&entry.name[..cut]));
        } else {
            out.push_str(&escaped(&entry.name));
            if entry.directory && length < NAME {
                out.push('/');
                length += 1;
            }
            let _ = write!(out, "</a>{:1$}", "", NAME - length);
        }
        let date = if local { time::time_local(entry.mtime) } else { time::http_date(entry.mtime) };
        let _ = write!(out, " {} ", day_and_time(&date, local));
        let size = match (entry.directory, exact) {
            (true, true) => format!("{:>19}", "-"),
            (false, true) => format!("{:>19}", entry.size),
            (true, false) => format!("{:>7}", "-"),
            (false, false) => format!("{:>7}", human(entry.size)),
        };
        let _ = write!(out, "{size}\r\n");
    }
    out.push_str("</pre><hr></body>\r\n</html>\r\n");
    out
}

/// `21-Nov-2026 22:42`, out of one of the two forms dates come in.
fn day_and_time(date: &str, local: bool) -> String {
    if local {
        // 21/Nov/2026:22:42:01 +0000
        let day = date.get(..11).unwrap_or_default().replace('/', "-");
        return format!("{day} {}", date.get(12..17).unwrap_or_default());
    }
    // Sat, 21 Nov 2026 22:42:01 GMT
    let day = date.get(5..16).unwrap_or_default().replace(' ', "-");
    format!("{day} {}", date.get(17..22).unwrap_or_default())
}

fn human(size: u64) -> String {
    match size {
        0..=9999 => size.to_string(),
        10_000..10_238_976 => format!("{}K", (size + 512) >> 10),
        10_238_976..10_484_711_424 => format!("{}M", (size + (1 << 19)) >> 20),
        _ => format!("{}G", (size + (1 << 29)) >> 30),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn xml(entries: &[Entry]) -> String {
    let mut out = String::from("<?xml version=\"1.0\"?>\r\n<list>\r\n");
    for entry in entries {
        let mtime = time::time_iso8601_utc(entry.mtime);
        let name = escaped(&entry.name);
        let _ = match entry.directory {
            true => write!(out, "<directory mtime=\"{mtime}\">{name}</directory>\r\n"),
            false => write!(out, "<file mtime=\"{mtime}\" size=\"{}\">{name}</file>\r\n", entry.size),
        };
    }
    out.push_str("</list>\r\n");
    out
}

fn json(entries: &[Entry]) -> String {
    let mut out = String::from("[");
    for (n, entry) in entries.iter().enumerate() {
        let comma = if n > 0 { "," } else { "" };
        let mut name = Vec::new();
        crate::log::access::escape_json(entry.name.as_bytes(), &mut name);
        let (name, mtime) = (String::from_utf8_lossy(&name).into_owned(), time::http_date(entry.mtime));
        let kind = if entry.directory { "directory" } else { "file" };
        let _ = write!(out, "{comma}\r\n{{ \"name\":\"{name}\", \"type\":\"{kind}\", \"mtime\":\"{mtime}\"");
        if !entry.directory {
            let _ = write!(out, ", \"size\":{}", entry.size);
        }
        out.push_str(" }");
    }
    out.push_str("\r\n]\r\n");
    out
}
