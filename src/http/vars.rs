//! nginx's variables: the built-in ones, the families (`$http_NAME`, `$arg_NAME` ...), and the evaluation of values.

use std::io::Write;

use ngx::log::Level;
use ngx::request::Request;

use super::filter::userid;
use super::live::Live;
use super::modules::{referer, secure_link, stub_status};
use super::{status, uri};
use crate::conf::settings::Tokens;
use crate::conf::tree::VarKind;
use crate::conf::value::{Piece, Value, VarId};
use crate::time;

macro_rules! builtins {
    ($($id:ident = $name:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Builtin { $($id,)* }

        fn builtin(name: &[u8]) -> Option<Builtin> {
            $(if name == $name.as_bytes() { return Some(Builtin::$id); })*
            None
        }
        /// Every built-in name.
        pub const NAMES: &[&str] = &[$($name,)*];
    };
}

builtins! {
    Args = "args",
    BinaryRemoteAddr = "binary_remote_addr",
    BodyBytesSent = "body_bytes_sent",
    BytesSent = "bytes_sent",
    Connection = "connection",
    ConnectionRequests = "connection_requests",
    ContentLength = "content_length",
    ContentType = "content_type",
    DocumentRoot = "document_root",
    DocumentUri = "document_uri",
    Host = "host",
    Hostname = "hostname",
    Https = "https",
    IsArgs = "is_args",
    LimitRate = "limit_rate",
    Msec = "msec",
    NginxVersion = "nginx_version",
    Pid = "pid",
    Pipe = "pipe",
    Prefix = "prefix",
    QueryString = "query_string",
    RealpathRoot = "realpath_root",
    RemoteAddr = "remote_addr",
    RemotePort = "remote_port",
    RemoteUser = "remote_user",
    Request = "request",
    RequestBody = "request_body",
    RequestBodyFile = "request_body_file",
    RequestCompletion = "request_completion",
    RequestFilename = "request_filename",
    RequestId = "request_id",
    RequestLength = "request_length",
    RequestMethod = "request_method",
    RequestTime = "request_time",
    RequestUri = "request_uri",
    Scheme = "scheme",
    ServerAddr = "server_addr",
    ServerName = "server_name",
    ServerPort = "server_port",
    ServerProtocol = "server_protocol",
    Status = "status",
    TimeIso8601 = "time_iso8601",
    TimeLocal = "time_local",
    Uri = "uri",
    ConnectionTime = "connection_time",
    ConnectionsActive = "connections_active",
    ConnectionsReading = "connections_reading",
    ConnectionsWriting = "connections_writing",
    ConnectionsWaiting = "connections_waiting",
    GzipRatio = "gzip_ratio",
    InvalidReferer = "invalid_referer",
    LimitConnStatus = "limit_conn_status",
    LimitReqStatus = "limit_req_status",
    ProxyProtocolAddr = "proxy_protocol_addr",
    ProxyProtocolPort = "proxy_protocol_port",
    ProxyProtocolServerAddr = "proxy_protocol_server_addr",
    ProxyProtocolServerPort = "proxy_protocol_server_port",
    RealipRemoteAddr = "realip_remote_addr",
    RealipRemotePort = "realip_remote_port",
    SecureLink = "secure_link",
    SecureLinkExpires = "secure_link_expires",
    UidGot = "uid_got",
    UidSet = "uid_set",
    UidReset = "uid_reset",
    EchoClientRequestHeaders = "echo_client_request_headers",
    EchoRequestMethod = "echo_request_method",
    EchoClientRequestMethod = "echo_client_request_method",
    EchoRequestUri = "echo_request_uri",
    EchoRequestBody = "echo_request_body",
    EchoTimerElapsed = "echo_timer_elapsed",
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Family {
    Http,
    SentHttp,
    SentTrailer,
    ProxyProtocolTlv,
    Arg,
    Cookie,
    /// `upstream_*`: there is no upstream to tell of.
    Upstream,
}

/// The built-in meaning of a (lower-case) name.
pub fn find(name: &[u8]) -> Option<VarKind> {
    if let Some(found) = builtin(name) {
        return Some(VarKind::Builtin(found));
    }
    const FAMILIES: [(&[u8], Family); 7] = [
        (b"http_", Family::Http),
        (b"sent_http_", Family::SentHttp),
        (b"sent_trailer_", Family::SentTrailer),
        (b"proxy_protocol_tlv_", Family::ProxyProtocolTlv),
        (b"arg_", Family::Arg),
        (b"cookie_", Family::Cookie),
        (b"upstream_", Family::Upstream),
    ];
    let (prefix, family) = FAMILIES.iter().find(|(prefix, _)| name.starts_with(prefix))?;
    Some(VarKind::Family(*family, name[prefix.len()..].to_vec()))
}

/// Built-in variables that `set` and Lua may assign.
pub fn writable(kind: &VarKind) -> bool {
    matches!(kind, VarKind::Builtin(Builtin::Args | Builtin::LimitRate) | VarKind::Family(..) | VarKind::Slot(_))
}

impl Live {
    /// A value's text; variables without a value are empty.
    pub fn eval(&self, request: &Request, value: &Value) -> Vec<u8> {
        if let Some(text) = value.literal() {
            return text.to_vec();
        }
        let mut out = Vec::new();
        for piece in &value.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                piece => out.extend_from_slice(&self.piece(request, piece).unwrap_or_default()),
            }
        }
        out
    }

    /// One variable's value. None: not found.
    pub fn piece(&self, request: &Request, piece: &Piece) -> Option<Vec<u8>> {
        match piece {
            Piece::Text(text) => Some(text.clone()),
            Piece::Capture(n) => self.if_seldom()?.captures.borrow().get(*n)?.clone(),
            Piece::Var(id) => self.var(request, *id),
        }
    }

    pub fn var(&self, request: &Request, id: VarId) -> Option<Vec<u8>> {
        let kind = self.http().vars.get(id as usize)?;
        let kept = match kind {
            VarKind::Map { volatile, .. } | VarKind::Geo { volatile, .. } => !volatile,
            VarKind::Split(_) => true,
            _ => false,
        };
        if !kept {
            return self.kind(request, kind);
        }
        let at = id as usize;
        let memo = &self.seldom().memo;
        if let Some(Some(value)) = memo.borrow().get(at) {
            return Some(value.clone());
        }
        let value = self.kind(request, kind)?;
        let mut memo = memo.borrow_mut();
        if memo.len() <= at {
            memo.resize(at + 1, None);
        }
        memo[at] = Some(value.clone());
        Some(value)
    }

    pub fn kind(&self, request: &Request, kind: &VarKind) -> Option<Vec<u8>> {
        match kind {
            VarKind::Slot(n) => self.slots.borrow().get(*n)?.clone(),
            VarKind::Map { number, .. } => self.map(request, *number),
            VarKind::Geo { number, .. } => Some(self.http().geos.get(*number)?.value(self, request)),
            VarKind::Split(number) => Some(self.http().splits.get(*number)?.value(self, request)),
            VarKind::Builtin(builtin) => self.builtin(request, *builtin),
            VarKind::Family(family, name) => self.family(request, *family, name),
        }
    }

    fn map(&self, request: &Request, number: usize) -> Option<Vec<u8>> {
        // A map may name itself through others; four levels are more than any sane one has.
        let depth = &self.seldom().map_depth;
        if depth.get() >= 8 {
            return None;
        }
        let map = self.http().maps.get(number)?;
        depth.set(depth.get() + 1);
        let subject = self.eval(request, &map.source);
        let mut key = subject.to_ascii_lowercase();
        if map.hostnames && key.ends_with(b".") {
            key.pop();
        }
        let found = map
            .exact
            .get(&key)
            .or_else(|| {
                map.leading.iter().filter(|(p, _)| key.ends_with(p)).max_by_key(|(p, _)| p.len()).map(|(_, v)| v)
            })
            .or_else(|| {
                map.trailing.iter().filter(|(p, _)| key.starts_with(p)).max_by_key(|(p, _)| p.len()).map(|(_, v)| v)
            });
        let value = match found {
            Some(value) => Some(value),
            None => {
                let mut tried = map.regexes.iter().map(|(regex, value)| (regex.captures(&subject), value));
                match tried.find(|(found, _)| !matches!(found, Ok(None))) {
                    Some((Ok(Some(captures)), value)) => {
                        *self.seldom().captures.borrow_mut() = captures;
                        Some(value)
                    }
                    Some((Err(exceeded), _)) => {
                        self.say(request, Level::Alert, &exceeded.0);
                        None
                    }
                    _ => None,
                }
            }
        };
        let text = value.or(map.default.as_ref()).map(|value| self.eval(request, value));
        depth.set(depth.get() - 1);
        Some(text.unwrap_or_default())
    }

    fn family(&self, request: &Request, family: Family, name: &[u8]) -> Option<Vec<u8>> {
        match family {
            Family::Http => header_variable(request.headers.iter(), name),
            Family::SentHttp => self.sent_header(request, name),
            Family::SentTrailer => header_variable(self.if_seldom()?.trailers.borrow().iter(), name),
            Family::Arg => argument(request.args.as_deref()?, name),
            Family::Cookie => request.headers.all(b"cookie").find_map(|line| {
                line.split(|&b| matches!(b, b';' | b',')).find_map(|pair| {
                    let at = pair.iter().position(|&b| b == b'=')?;
                    let matches = pair[..at].trim_ascii().eq_ignore_ascii_case(name);
                    matches.then(|| pair[at + 1..].trim_ascii().to_vec())
                })
            }),
            Family::ProxyProtocolTlv => {
                let proxy = request.connection.proxy.as_ref()?;
                crate::conn::proxy::extension(proxy, std::str::from_utf8(name).ok()?)
            }
            Family::Upstream => None,
        }
    }

    fn sent_header(&self, request: &Request, name: &[u8]) -> Option<Vec<u8>> {
        match name {
            b"connection" => Some(if self.keep_alive.get() { b"keep-alive".to_vec() } else { b"close".to_vec() }),
            b"transfer_encoding" => self.chunked.get().then(|| b"chunked".to_vec()),
            name => header_variable(request.response.headers.iter(), name),
        }
    }

    fn builtin(&self, request: &Request, kind: Builtin) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let connection = &request.connection;
        let seconds = || i64::try_from(time::now_ms() / 1000).unwrap_or(0);
        match kind {
            Builtin::Args | Builtin::QueryString => return request.args.clone(),
            Builtin::BinaryRemoteAddr => {
                let text = String::from_utf8_lossy(&connection.remote_addr).into_owned();
                match text.parse().ok()? {
                    std::net::IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
                    std::net::IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
                }
            }
            Builtin::BodyBytesSent => write!(out, "{}", request.output.sent).ok()?,
            Builtin::BytesSent => write!(out, "{}", self.head_bytes.get() + request.output.sent).ok()?,
            Builtin::Connection => write!(out, "{}", connection.number).ok()?,
            Builtin::ConnectionRequests => write!(out, "{}", connection.requests.get()).ok()?,
            Builtin::ContentLength => return Some(request.headers.first(b"content-length")?.to_vec()),
            Builtin::ContentType => return Some(request.headers.first(b"content-type")?.to_vec()),
            Builtin::DocumentRoot | Builtin::RealpathRoot => {
                let root = self.root(request);
                if kind == Builtin::RealpathRoot {
                    let path = std::fs::canonicalize(crate::http::files::path_of(&root)).ok()?;
                    return Some(path.into_os_string().into_encoded_bytes());
                }
                return Some(root);
            }
            Builtin::DocumentUri | Builtin::Uri => return Some(request.uri.clone()),
            Builtin::Host => {
                out = self.host.borrow().clone();
                // Lua may have set another one.
                if let Some(header) = request.headers.first(b"host")
                    && request.target.starts_with(b"/")
                {
                    out = super::route::host_name(header);
                }
                if out.is_empty() {
                    out = self.server().name.clone();
                }
            }
            Builtin::Hostname => {
                out = rustix::system::uname().nodename().to_bytes().to_vec();
            }
            Builtin::Https => {
                if connection.https {
                    out.extend_from_slice(b"on");
                }
            }
            Builtin::IsArgs => {
                if request.args.as_ref().is_some_and(|args| !args.is_empty()) {
                    out.push(b'?');
                }
            }
            Builtin::LimitRate => write!(out, "{}", self.limit_rate.get()).ok()?,
            Builtin::Msec => {
                let ms = time::now_ms();
                write!(out, "{}.{:03}", ms / 1000, ms % 1000).ok()?;
            }
            Builtin::NginxVersion => out.extend_from_slice(crate::cli::identity::NGINX_VERSION.as_bytes()),
            Builtin::Pid => write!(out, "{}", std::process::id()).ok()?,
            Builtin::Pipe => {
                let pipelined = self.wire.as_ref().is_some_and(|wire| wire.pipelined.get());
                out.push(if pipelined { b'p' } else { b'.' });
            }
            Builtin::Prefix => out = self.worker.main.prefix.as_os_str().as_encoded_bytes().to_vec(),
            Builtin::RemoteAddr => out.extend_from_slice(&connection.remote_addr),
            Builtin::RemotePort => write!(out, "{}", connection.remote_port).ok()?,
            Builtin::RemoteUser => {
                let credentials = request.headers.first(b"authorization")?;
                let encoded = credentials.strip_prefix(b"Basic ").or(credentials.strip_prefix(b"basic "))?;
                let decoded = base64(encoded)?;
                let end = decoded.iter().position(|&b| b == b':')?;
                return Some(decoded[..end].to_vec());
            }
            Builtin::Request => return (!request.request_line.is_empty()).then(|| request.request_line.to_vec()),
            Builtin::RequestBody | Builtin::EchoRequestBody => match &request.body {
                ngx::request::Body::Memory(bytes) if !bytes.is_empty() => out.extend_from_slice(bytes),
                _ => return None,
            },
            Builtin::RequestBodyFile => match &request.body {
                ngx::request::Body::File(file) => out.extend_from_slice(file.path.as_os_str().as_encoded_bytes()),
                _ => return None,
            },
            Builtin::RequestCompletion => {
                if self.complete.get() {
                    out.extend_from_slice(b"OK");
                }
            }
            Builtin::RequestFilename => return Some(self.file_name(request)),
            Builtin::RequestId => {
                let [high, low] = self.worker.request_id(self.id);
                write!(out, "{high:016x}{low:016x}").ok()?
            }
            Builtin::RequestLength => {
                let refused = self.if_seldom().map_or(0, |s| s.refused_bytes.get());
                write!(out, "{}", request.raw_head.len() as u64 + self.body_bytes.get() + refused).ok()?;
            }
            Builtin::RequestMethod | Builtin::EchoRequestMethod => out.extend_from_slice(&request.method),
            Builtin::EchoClientRequestMethod => {
                out.extend_from_slice(request.request_line.split(|&b| b == b' ').next().unwrap_or_default());
            }
            Builtin::RequestTime | Builtin::EchoTimerElapsed => {
                let ms = time::now_ms().saturating_sub(request.start_ms);
                write!(out, "{}.{:03}", ms / 1000, ms % 1000).ok()?;
            }
            Builtin::RequestUri => out.extend_from_slice(&request.target),
            Builtin::EchoRequestUri => out.extend_from_slice(uri::split(&request.target).path),
            Builtin::Scheme => out.extend_from_slice(if connection.https { b"https" } else { b"http" }),
            Builtin::ServerAddr => out.extend_from_slice(&connection.server_addr),
            Builtin::ServerName => out.extend_from_slice(&self.server().name),
            Builtin::ServerPort => write!(out, "{}", connection.server_port).ok()?,
            Builtin::ServerProtocol => out.extend_from_slice(match request.version {
                9 => b"",
                10 => b"HTTP/1.0",
                20 => b"HTTP/2.0",
                _ => b"HTTP/1.1",
            }),
            Builtin::Status => {
                let status = match (self.logged_status.get(), request.response.status) {
                    (0, 0) if request.version == 9 => 9,
                    (0, 0) => 0,
                    (0, status) => status,
                    (logged, _) => logged,
                };
                write!(out, "{:03}", status::visible_in_log(status)).ok()?;
            }
            Builtin::TimeIso8601 => out = time::time_iso8601(seconds()).into_bytes(),
            Builtin::TimeLocal => out = time::time_local(seconds()).into_bytes(),
            Builtin::ConnectionTime => {
                let ms = time::now_ms().saturating_sub(connection.started_ms);
                write!(out, "{}.{:03}", ms / 1000, ms % 1000).ok()?;
            }
            Builtin::ConnectionsActive => write!(out, "{}", stub_status::now(self).active).ok()?,
            Builtin::ConnectionsReading => write!(out, "{}", stub_status::now(self).reading).ok()?,
            Builtin::ConnectionsWriting => write!(out, "{}", stub_status::now(self).writing).ok()?,
            Builtin::ConnectionsWaiting => write!(out, "{}", stub_status::now(self).waiting).ok()?,
            Builtin::GzipRatio => {
                let (read, wrote) = self.if_seldom()?.gzip_ratio.get().filter(|(_, wrote)| *wrote > 0)?;
                let hundredths = (read * 100 + wrote / 2) / wrote;
                write!(out, "{}.{:02}", hundredths / 100, hundredths % 100).ok()?;
            }
            Builtin::InvalidReferer => out = referer::invalid(self, request),
            Builtin::LimitConnStatus => out.extend_from_slice(self.if_seldom()?.limit_conn_status.get()?.as_bytes()),
            Builtin::LimitReqStatus => out.extend_from_slice(self.if_seldom()?.limit_req_status.get()?.as_bytes()),
            Builtin::ProxyProtocolAddr => return Some(connection.proxy.as_ref()?.source.clone()),
            Builtin::ProxyProtocolPort => {
                let proxy = connection.proxy.as_ref().filter(|proxy| !proxy.source.is_empty())?;
                write!(out, "{}", proxy.source_port).ok()?;
            }
            Builtin::ProxyProtocolServerAddr => return Some(connection.proxy.as_ref()?.destination.clone()),
            Builtin::ProxyProtocolServerPort => {
                let proxy = connection.proxy.as_ref().filter(|proxy| !proxy.destination.is_empty())?;
                write!(out, "{}", proxy.destination_port).ok()?;
            }
            Builtin::RealipRemoteAddr => match self.if_seldom().and_then(|s| s.realip.borrow().clone()) {
                Some((address, _)) => return Some(address),
                None => out.extend_from_slice(&connection.remote_addr),
            },
            Builtin::RealipRemotePort => {
                let real = self.if_seldom().and_then(|s| s.realip.borrow().as_ref().map(|(_, port)| *port));
                let port = real.unwrap_or(connection.remote_port);
                if port > 0 {
                    write!(out, "{port}").ok()?;
                }
            }
            Builtin::SecureLink => return secure_link::value(self, request),
            Builtin::SecureLinkExpires => return secure_link::expires(self, request),
            Builtin::UidGot => return userid::got(self, request).map(|id| userid::shown(self, &id)),
            Builtin::UidSet => return userid::given(self, request).map(|id| userid::shown(self, &id)),
            Builtin::UidReset => return None,
            Builtin::EchoClientRequestHeaders => out.extend_from_slice(&request.raw_head),
        }
        Some(out)
    }

    /// `perilune/0.1.0`, or without the version.
    pub fn server_words(&self) -> &'static str {
        match self.location().settings.server_tokens.unwrap_or(Tokens::On) {
            Tokens::On => crate::cli::identity::server_full(),
            Tokens::Build => crate::cli::identity::server_full(),
            Tokens::Off => crate::cli::identity::server_bare(),
        }
    }
}

/// The value of the first argument of that name, as it stands.
pub fn argument(args: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    args.split(|&b| b == b'&').find_map(|pair| {
        let (key, value) = match memchr::memchr(b'=', pair) {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => return None,
        };
        key.eq_ignore_ascii_case(name).then(|| value.to_vec())
    })
}

/// Header lines whose name is the variable's, with `-` for `_`; several lines are joined.
fn header_variable<'a>(
    lines: impl Iterator<Item = (&'a ngx::bytes::Bytes, &'a ngx::bytes::Bytes)>,
    name: &[u8],
) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    for (line_name, value) in lines {
        let same = line_name.len() == name.len()
            && line_name.iter().zip(name).all(|(a, b)| a.to_ascii_lowercase() == *b || (*a == b'-' && *b == b'_'));
        if !same {
            continue;
        }
        match &mut out {
            Some(all) => {
                let joint: &[u8] = match name {
                    b"cookie" => b"; ",
                    b"x_forwarded_for" | b"cache_control" | b"link" => b", ",
                    // Of all other headers the first line counts.
                    _ => return out,
                };
                all.extend_from_slice(joint);
                all.extend_from_slice(value);
            }
            None => out = Some(value.to_vec()),
        }
    }
    out
}

fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for &byte in text.trim_ascii().iter().take_while(|b| **b != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 255).unwrap_or(0));
        }
    }
    Some(out)
}
