//! The http block, servers, and the settings of nginx's http core module that every level hands down.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::build::{Builder, Directive, Frame};
use super::super::draft::{LocationDraft, ServerDraft};
use super::super::regex::Regex;
use super::super::scalar;
use super::super::settings::{ErrorPage, IfModified, KeepaliveDisable, Lingering, Root, Tokens};
use super::super::tree::{LocationKind, ServerName};
use super::arity::{FOUR, NONE, ONE, ONE_MORE, THREE, TWO, TWO_MORE};
use super::context::{ALL, ALL_IF, HTTP, LOCATION, LOCATION_IF, MAIN, SERVER};
use super::{Block, Row, listen, nothing, nothing_flag, row};

pub static ROWS: &[Row] = &[
    Row { name: "http", at: MAIN, args: NONE, block: Block::Open { inner: HTTP, leave: leave_http }, set: enter_http },
    Row {
        name: "server",
        at: HTTP,
        args: NONE,
        block: Block::Open { inner: SERVER, leave: leave_server },
        set: |b, _| {
            let location = LocationDraft::new(Vec::new(), LocationKind::Server);
            b.frames.push(Frame::Server(ServerDraft { location, names: Vec::new(), listens: Vec::new() }));
            Ok(())
        },
    },
    row("listen", SERVER, ONE_MORE, listen::listen),
    row("server_name", SERVER, ONE_MORE, server_name),
    row("server_names_hash_max_size", HTTP, ONE, nothing),
    row("server_names_hash_bucket_size", HTTP, ONE, nothing),
    row("variables_hash_max_size", HTTP, ONE, nothing),
    row("variables_hash_bucket_size", HTTP, ONE, nothing),
    row("types_hash_max_size", ALL, ONE, nothing),
    row("types_hash_bucket_size", ALL, ONE, nothing),
    row("root", ALL_IF, ONE, root),
    row("alias", LOCATION, ONE, alias),
    row("index", ALL, ONE_MORE, index),
    row("default_type", ALL, ONE, |b, d| b.put(d, |s| &mut s.default_type, Arc::from(d.arg(0)))),
    Row {
        name: "types",
        at: ALL,
        args: NONE,
        block: Block::Items {
            item: types_line,
            leave: |b| {
                b.frames.pop();
                Ok(())
            },
        },
        set: |b, _| {
            b.settings().types = Some(Arc::new(HashMap::new()));
            b.frames.push(Frame::Types);
            Ok(())
        },
    },
    row("server_tokens", ALL, ONE, |b, d| {
        let tokens = match d.arg(0) {
            b"on" => Tokens::On,
            b"off" => Tokens::Off,
            b"build" => Tokens::Build,
            _ => return Err(format!("invalid value \"{}\"", d.text(0))),
        };
        b.put(d, |s| &mut s.server_tokens, tokens)
    }),
    row("error_page", ALL_IF, TWO_MORE, error_page),
    row("recursive_error_pages", ALL, ONE, |b, d| b.flag(d, |s| &mut s.recursive_error_pages)),
    row("client_max_body_size", ALL, ONE, |b, d| b.size(d, |s| &mut s.client_max_body_size)),
    row("client_body_buffer_size", ALL, ONE, |b, d| b.size(d, |s| &mut s.client_body_buffer_size)),
    row("client_body_timeout", ALL, ONE, |b, d| b.msec(d, |s| &mut s.client_body_timeout)),
    row("client_body_in_single_buffer", ALL, ONE, |b, d| b.flag(d, |s| &mut s.client_body_in_single_buffer)),
    row("client_body_in_file_only", ALL, ONE, |b, d| {
        let value = match d.arg(0) {
            b"off" => false,
            b"on" | b"clean" => true,
            _ => return Err(format!("invalid value \"{}\"", d.text(0))),
        };
        b.put(d, |s| &mut s.client_body_in_file_only, value)
    }),
    row("client_body_temp_path", ALL, ONE | TWO | THREE | FOUR, |b, d| {
        let path = b.path(d.arg(0));
        b.temp_paths.push(path.clone());
        let path = path.into_os_string().into_encoded_bytes();
        b.put(d, |s| &mut s.client_body_temp_path, path)
    }),
    // The other modules' temporary directories: nothing is written there.
    row("proxy_temp_path", ALL, ONE | TWO | THREE | FOUR, nothing),
    row("fastcgi_temp_path", ALL, ONE | TWO | THREE | FOUR, nothing),
    row("uwsgi_temp_path", ALL, ONE | TWO | THREE | FOUR, nothing),
    row("scgi_temp_path", ALL, ONE | TWO | THREE | FOUR, nothing),
    row("client_header_timeout", HTTP | SERVER, ONE, |b, d| b.msec(d, |s| &mut s.client_header_timeout)),
    row("client_header_buffer_size", HTTP | SERVER, ONE, |b, d| b.size(d, |s| &mut s.client_header_buffer_size)),
    row("large_client_header_buffers", HTTP | SERVER, TWO, |b, d| {
        let number = scalar::number(d.arg(0)).filter(|n| *n > 0).ok_or_else(|| d.says("invalid value"))?;
        let size = scalar::size(d.arg(1)).filter(|n| *n > 0).ok_or_else(|| d.says("invalid value"))?;
        b.put(d, |s| &mut s.large_client_header_buffers, (number, size))
    }),
    row("underscores_in_headers", HTTP | SERVER, ONE, |b, d| b.flag(d, |s| &mut s.underscores_in_headers)),
    row("ignore_invalid_headers", HTTP | SERVER, ONE, |b, d| b.flag(d, |s| &mut s.ignore_invalid_headers)),
    row("merge_slashes", HTTP | SERVER, ONE, |b, d| b.flag(d, |s| &mut s.merge_slashes)),
    row("connection_pool_size", HTTP | SERVER, ONE, nothing),
    row("request_pool_size", HTTP | SERVER, ONE, nothing),
    row("keepalive_timeout", ALL, ONE | TWO, |b, d| {
        if d.args().len() > 1 {
            let header = scalar::sec(d.arg(1)).ok_or_else(|| d.says("invalid value"))?;
            b.settings().keepalive_header = Some(header);
        }
        b.msec(d, |s| &mut s.keepalive_timeout)
    }),
    row("keepalive_requests", ALL, ONE, |b, d| b.number(d, |s| &mut s.keepalive_requests)),
    row("keepalive_time", ALL, ONE, |b, d| b.msec(d, |s| &mut s.keepalive_time)),
    row("keepalive_disable", ALL, ONE | TWO, |b, d| {
        let mut disable = KeepaliveDisable::default();
        for word in d.args() {
            match word.as_slice() {
                b"none" => {}
                b"msie6" => disable.msie6 = true,
                b"safari" => disable.safari = true,
                other => return Err(format!("invalid value \"{}\"", String::from_utf8_lossy(other))),
            }
        }
        b.put(d, |s| &mut s.keepalive_disable, disable)
    }),
    row("send_timeout", ALL, ONE, |b, d| b.msec(d, |s| &mut s.send_timeout)),
    row("send_lowat", ALL, ONE, nothing),
    row("lingering_close", ALL, ONE, |b, d| {
        let value = match d.arg(0) {
            b"off" => Lingering::Off,
            b"on" => Lingering::On,
            b"always" => Lingering::Always,
            _ => return Err(format!("invalid value \"{}\"", d.text(0))),
        };
        b.put(d, |s| &mut s.lingering_close, value)
    }),
    row("lingering_time", ALL, ONE, |b, d| b.msec(d, |s| &mut s.lingering_time)),
    row("lingering_timeout", ALL, ONE, |b, d| b.msec(d, |s| &mut s.lingering_timeout)),
    row("reset_timedout_connection", ALL, ONE, |b, d| b.flag(d, |s| &mut s.reset_timedout_connection)),
    row("chunked_transfer_encoding", ALL, ONE, |b, d| b.flag(d, |s| &mut s.chunked_transfer_encoding)),
    row("etag", ALL, ONE, |b, d| b.flag(d, |s| &mut s.etag)),
    row("if_modified_since", ALL, ONE, |b, d| {
        let value = match d.arg(0) {
            b"off" => IfModified::Off,
            b"exact" => IfModified::Exact,
            b"before" => IfModified::Before,
            _ => return Err(format!("invalid value \"{}\"", d.text(0))),
        };
        b.put(d, |s| &mut s.if_modified_since, value)
    }),
    row("max_ranges", ALL, ONE, |b, d| b.number(d, |s| &mut s.max_ranges)),
    row("port_in_redirect", ALL, ONE, |b, d| b.flag(d, |s| &mut s.port_in_redirect)),
    row("absolute_redirect", ALL, ONE, |b, d| b.flag(d, |s| &mut s.absolute_redirect)),
    row("server_name_in_redirect", ALL, ONE, |b, d| b.flag(d, |s| &mut s.server_name_in_redirect)),
    row("msie_padding", ALL, ONE, |b, d| b.flag(d, |s| &mut s.msie_padding)),
    row("msie_refresh", ALL, ONE, nothing_flag),
    row("postpone_output", ALL, ONE, |b, d| b.size(d, |s| &mut s.postpone_output)),
    row("sendfile", ALL_IF, ONE, |b, d| b.flag(d, |s| &mut s.sendfile)),
    row("sendfile_max_chunk", ALL, ONE, nothing),
    row("tcp_nodelay", ALL, ONE, |b, d| b.flag(d, |s| &mut s.tcp_nodelay)),
    row("tcp_nopush", ALL, ONE, |b, d| b.flag(d, |s| &mut s.tcp_nopush)),
    row("output_buffers", ALL, TWO, nothing),
    row("read_ahead", ALL, ONE, nothing),
    row("directio", ALL, ONE, nothing),
    row("aio", ALL, ONE, nothing),
    row("log_not_found", ALL, ONE, |b, d| b.flag(d, |s| &mut s.log_not_found)),
    row("log_subrequest", ALL, ONE, |b, d| b.flag(d, |s| &mut s.log_subrequest)),
    row("resolver", ALL, ONE_MORE, resolver),
    row("resolver_timeout", ALL, ONE, |b, d| b.msec(d, |s| &mut s.resolver_timeout)),
    row("satisfy", ALL, ONE, |b, d| {
        let any = match d.arg(0) {
            b"all" => false,
            b"any" => true,
            _ => return Err(format!("invalid value \"{}\"", d.text(0))),
        };
        b.put(d, |s| &mut s.satisfy_any, any)
    }),
    row("internal", LOCATION, NONE, |b, _| {
        b.location().internal = true;
        Ok(())
    }),
    row("stub_status", SERVER | LOCATION, NONE | ONE, |b, _| {
        b.location().handler = Some(super::super::tree::Handler::StubStatus);
        Ok(())
    }),
    row("limit_rate", ALL | LOCATION_IF, ONE, |b, d| {
        let rate = b.value(d.arg(0))?;
        if rate.literal().is_some_and(|word| scalar::size(word).is_none()) {
            return Err(d.says("invalid value"));
        }
        b.put(d, |s| &mut s.limit_rate, rate)
    }),
    row("limit_rate_after", ALL | LOCATION_IF, ONE, |b, d| {
        let size = b.value(d.arg(0))?;
        if size.literal().is_some_and(|word| scalar::size(word).is_none()) {
            return Err(d.says("invalid value"));
        }
        b.put(d, |s| &mut s.limit_rate_after, size)
    }),
];

fn enter_http(b: &mut Builder, d: &Directive) -> Result<(), String> {
    if std::mem::replace(&mut b.has_http, true) {
        return Err(d.says("is duplicate"));
    }
    b.http();
    b.frames.push(Frame::Http(LocationDraft::new(Vec::new(), LocationKind::Server)));
    Ok(())
}

fn leave_http(b: &mut Builder) -> Result<(), String> {
    if let Some(Frame::Http(location)) = b.frames.pop() {
        b.http().settings = location.settings;
    }
    Ok(())
}

fn leave_server(b: &mut Builder) -> Result<(), String> {
    if let Some(Frame::Server(mut server)) = b.frames.pop() {
        if server.listens.is_empty() {
            server.listens.push(listen::default());
        }
        b.http().servers.push(server);
    }
    Ok(())
}

fn server_name(b: &mut Builder, d: &Directive) -> Result<(), String> {
    for word in d.args() {
        let name = match word.strip_prefix(b"~") {
            Some(pattern) => ServerName::Regex(Regex::new(pattern, true)?),
            None => ServerName::Text(word.to_ascii_lowercase()),
        };
        if let ServerName::Regex(regex) = &name {
            for (group, _) in &regex.names.clone() {
                b.http().define(group.as_bytes());
            }
        }
        if let Some(Frame::Server(server)) = b.frames.last_mut() {
            server.names.push(name);
        }
    }
    Ok(())
}

fn root(b: &mut Builder, d: &Directive) -> Result<(), String> {
    if let Some(root) = &b.settings().root {
        return Err(match root.alias {
            Some(_) => "\"root\" directive is duplicate, \"alias\" directive was specified earlier".into(),
            None => d.says("is duplicate"),
        });
    }
    let path = file_value(b, d.arg(0))?;
    b.put(d, |s| &mut s.root, Root { path, alias: None })
}

fn alias(b: &mut Builder, d: &Directive) -> Result<(), String> {
    if let Some(root) = &b.settings().root {
        return Err(match root.alias {
            None => "\"alias\" directive is duplicate, \"root\" directive was specified earlier".into(),
            Some(_) => d.says("is duplicate"),
        });
    }
    let location = b.location();
    if matches!(location.kind, LocationKind::Named) {
        return Err("the \"alias\" directive cannot be used inside the named location".into());
    }
    // A regex location's alias is the whole path.
    let cut = if matches!(location.kind, LocationKind::Regex(_)) { usize::MAX } else { location.name.len() };
    let path = file_value(b, d.arg(0))?;
    b.put(d, |s| &mut s.root, Root { path, alias: Some(cut) })
}

/// A path that may have variables; without them, relative to the prefix.
fn file_value(b: &mut Builder, word: &[u8]) -> Result<super::super::value::Value, String> {
    if word.contains(&b'$') {
        return b.value(word);
    }
    let path = b.path(word).into_os_string().into_encoded_bytes();
    Ok(super::super::value::Value::text(path))
}

fn index(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let mut files: Vec<_> = b.settings().index.as_deref().unwrap_or_default().to_vec();
    for word in d.args() {
        if word.is_empty() {
            return Err("index \"\" in \"index\" directive is invalid".into());
        }
        files.push(b.value(word)?);
    }
    b.settings().index = Some(Arc::from(files));
    Ok(())
}

fn types_line(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let kind: Arc<[u8]> = Arc::from(&d.words[0][..]);
    if d.words.len() < 2 {
        return Err(format!("invalid number of arguments in \"{}\" directive", d.name));
    }
    let mut types = b.settings().types.as_deref().cloned().unwrap_or_default();
    for extension in d.args() {
        types.insert(extension.to_ascii_lowercase(), kind.clone());
    }
    b.settings().types = Some(Arc::new(types));
    Ok(())
}

fn error_page(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let args = d.args().to_vec();
    let Some((uri, mut codes)) = args.split_last() else { return Ok(()) };
    let mut answer = None;
    if let Some((last, rest)) = codes.split_last()
        && let Some(code) = last.strip_prefix(b"=")
    {
        codes = rest;
        answer = Some(match code {
            b"" => 0,
            code => scalar::number(code)
                .and_then(|n| u16::try_from(n).ok())
                .ok_or_else(|| format!("invalid value \"{}\"", String::from_utf8_lossy(last)))?,
        });
    }
    let target = b.value(uri)?;
    let mut pages = b.settings().error_page.as_deref().unwrap_or_default().to_vec();
    for word in codes {
        let text = String::from_utf8_lossy(word);
        let status = scalar::number(word).ok_or_else(|| format!("invalid value \"{text}\""))?;
        if status == 499 {
            return Err(format!("invalid value \"{text}\""));
        }
        let status = u16::try_from(status).ok().filter(|s| (300..=599).contains(s));
        let status = status.ok_or_else(|| format!("value \"{text}\" must be between 300 and 599"))?;
        pages.push(ErrorPage { status, answer, target: target.clone() });
    }
    b.settings().error_page = Some(Arc::from(pages));
    Ok(())
}

fn resolver(b: &mut Builder, d: &Directive) -> Result<(), String> {
    if b.settings().resolver.is_some() {
        return Err(d.says("is duplicate"));
    }
    let mut servers = ngx::resolver::Servers::default();
    for word in d.args() {
        let text = String::from_utf8_lossy(word).into_owned();
        let wrong = || format!("invalid parameter: {text}");
        match text.split_once('=') {
            Some(("ipv6", flag)) => servers.without_ipv6 = off(flag).ok_or_else(wrong)?,
            Some(("ipv4", flag)) => servers.without_ipv4 = off(flag).ok_or_else(wrong)?,
            Some(("valid", time)) => {
                servers.valid = Some(scalar::sec(time.as_bytes()).ok_or_else(wrong)?);
            }
            Some(("status_zone", _)) => {}
            _ => {
                let found =
                    listen::resolve(&text, 53, b.names).map_err(|reason| format!("{reason} in resolver \"{text}\""))?;
                servers.addresses.push(found);
            }
        }
    }
    if servers.addresses.is_empty() {
        return Err("no name servers defined".into());
    }
    if servers.without_ipv4 && servers.without_ipv6 {
        return Err("\"ipv4\" and \"ipv6\" cannot both be \"off\"".into());
    }
    b.put(d, |s| &mut s.resolver, Arc::new(servers))
}

/// Whether a flag says `off`; None: it says nothing of the kind.
fn off(flag: &str) -> Option<bool> {
    match flag {
        "on" => Some(false),
        "off" => Some(true),
        _ => None,
    }
}
