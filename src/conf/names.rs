//! Host names in the configuration (`listen`, `resolver`, `set_real_ip_from`, `syslog:`): looked up once, when it is read.

use std::net::{SocketAddr, ToSocketAddrs};

/// Who is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Names {
    /// The system, which waits for its name servers.
    #[default]
    System,
    /// Nobody: no name is known.
    Nobody,
}

impl Names {
    /// All addresses of a host; None: it has none.
    pub fn look_up(self, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        match self {
            Names::System => (host, port).to_socket_addrs().ok().map(Iterator::collect),
            Names::Nobody => None,
        }
    }
}
