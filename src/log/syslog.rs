//! Lines as datagrams to a syslog server (RFC 3164's shape, as nginx sends it).

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::conf::names::Names;
use crate::time;

#[derive(Debug)]
pub struct Syslog {
    pub server: Server,
    pub facility: u8,
    /// Of access logs; an error log's lines have their own.
    pub severity: u8,
    pub tag: String,
    pub hostname: bool,
    socket: Mutex<Option<Socket>>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Server {
    Udp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

pub const FACILITIES: &[&str] = &[
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv", "ftp", "ntp",
    "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
pub const SEVERITIES: &[&str] = &["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"];

impl Syslog {
    /// `server=ADDRESS[,facility=..][,severity=..][,tag=..][,nohostname]`
    pub fn parse(text: &str, names: Names) -> Result<Syslog, String> {
        let (mut server, mut facility, mut severity, mut tag, mut hostname) = (None, None, None, None, true);
        for part in text.split(',') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let duplicate = || format!("duplicate syslog \"{name}\"");
            match name {
                "server" if server.is_some() => return Err(duplicate()),
                "server" => server = Some(address(value, names)?),
                "facility" if facility.is_some() => return Err(duplicate()),
                "facility" => {
                    let at = FACILITIES.iter().position(|known| *known == value);
                    facility = Some(at.ok_or_else(|| format!("unknown syslog facility \"{value}\""))?);
                }
                "severity" if severity.is_some() => return Err(duplicate()),
                "severity" => {
                    let at = SEVERITIES.iter().position(|known| *known == value);
                    severity = Some(at.ok_or_else(|| format!("unknown syslog severity \"{value}\""))?);
                }
                "tag" if tag.is_some() => return Err(duplicate()),
                "tag" => {
                    if value.len() > 32 {
                        return Err("syslog tag length exceeds 32".into());
                    }
                    if !value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                        return Err("syslog \"tag\" only allows alphanumeric characters and underscore".into());
                    }
                    tag = Some(value.to_string());
                }
                "nohostname" if value.is_empty() => hostname = false,
                _ => return Err(format!("unknown syslog parameter \"{part}\"")),
            }
        }
        let number = |at: usize| u8::try_from(at).unwrap_or(0);
        Ok(Syslog {
            server: server.ok_or("no syslog server specified")?,
            facility: number(facility.unwrap_or(23)),
            severity: number(severity.unwrap_or(6)),
            tag: tag.unwrap_or_else(|| "nginx".into()),
            hostname,
            socket: Mutex::new(None),
        })
    }

    /// Sends a line. What cannot be sent is lost: a log must not hold up the server.
    pub fn send(&self, severity: u8, line: &[u8]) {
        let mut text = Vec::with_capacity(line.len() + 64);
        let _ = write!(text, "<{}>{} ", self.facility * 8 + severity, stamp());
        if self.hostname {
            let name = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
            let _ = write!(text, "{name} ");
        }
        let _ = write!(text, "{}: ", self.tag);
        text.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        if socket.is_none() {
            *socket = self.connect().ok();
        }
        let sent = match &*socket {
            Some(Socket::Udp(udp)) => udp.send(&text).map(drop),
            Some(Socket::Unix(unix)) => unix.send(&text).map(drop),
            None => Ok(()),
        };
        if sent.is_err() {
            *socket = None;
        }
    }

    fn connect(&self) -> std::io::Result<Socket> {
        match &self.server {
            Server::Udp(address) => {
                let any = match address {
                    SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                    SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
                };
                let socket = UdpSocket::bind(any)?;
                socket.set_nonblocking(true)?;
                socket.connect(address)?;
                Ok(Socket::Udp(socket))
            }
            Server::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                socket.connect(path)?;
                Ok(Socket::Unix(socket))
            }
        }
    }
}

fn address(text: &str, names: Names) -> Result<Server, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Server::Unix(PathBuf::from(path)));
    }
    let found = crate::conf::resolve(text, 514, names);
    found.map(Server::Udp).map_err(|reason| format!("{reason} in syslog server \"{text}\""))
}

/// `Nov 22 02:14:35`, local time.
fn stamp() -> String {
    // 22/Nov/2026:02:14:35 +0000
    let local = time::time_local(i64::try_from(time::now_ms() / 1000).unwrap_or(0));
    let day = local.get(..2).unwrap_or("01");
    let day = day.strip_prefix('0').map_or(day.to_string(), |digit| format!(" {digit}"));
    format!("{} {day} {}", local.get(3..6).unwrap_or("Jan"), local.get(12..20).unwrap_or("00:00:00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        for (text, expected) in [
            ("server=127.0.0.1", "127.0.0.1:514 23.6 nginx true"),
            ("server=127.0.0.1:99,facility=user,severity=alert,tag=X,nohostname", "127.0.0.1:99 1.1 X false"),
            ("facility=user", "no syslog server specified"),
            ("server=127.0.0.1,facility=x", "unknown syslog facility \"x\""),
            ("server=127.0.0.1,severity=x", "unknown syslog severity \"x\""),
            ("server=127.0.0.1,blah", "unknown syslog parameter \"blah\""),
        ] {
            let got = match Syslog::parse(text, Names::System) {
                Ok(Syslog { server: Server::Udp(server), facility, severity, tag, hostname, .. }) => {
                    format!("{server} {facility}.{severity} {tag} {hostname}")
                }
                Ok(_) => "unix".into(),
                Err(error) => error,
            };
            assert_eq!(got, expected, "{text}");
        }
    }
}
