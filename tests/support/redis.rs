//! A redis-server of our own on a free loopback port, gone with the value.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use super::{Prefix, free_port, missing, until};

pub struct Redis {
    pub port: u16,
    child: Child,
    _directory: Prefix,
}

/// Where Debian's lua-nginx-redis puts lua-resty-redis.
pub const RESTY_REDIS: &str = "/usr/share/lua/5.1/nginx/redis.lua";

impl Redis {
    /// None, with a word about it, where redis-server or lua-resty-redis is not installed.
    pub fn start() -> Option<Redis> {
        if missing("redis-server", "/usr/bin/redis-server") || missing("lua-nginx-redis", RESTY_REDIS) {
            return None;
        }
        let (directory, port) = (Prefix::new(), free_port());
        let child = Command::new("/usr/bin/redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir"])
            .arg(&directory.0)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let redis = Redis { port, child, _directory: directory };
        until("redis-server listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(redis)
    }

    /// The number behind `name:` in what INFO says. Asking is a connection of its own.
    pub fn info(&self, name: &str) -> usize {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(b"INFO\r\nQUIT\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.expect("INFO has it").trim().parse().unwrap()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
