//! The realip module: whom trusted proxies speak for.

use std::net::IpAddr;
use std::rc::Rc;

use ngx::request::{Connection, Request};

use super::access::peer;
use super::network::{Network, address_and_port};
use crate::http::live::Live;

/// `real_ip_header`
#[derive(Clone, Debug, PartialEq)]
pub enum From {
    ForwardedFor,
    ProxyProtocol,
    Header(Vec<u8>),
}

/// `set_real_ip_from`
#[derive(Clone, Debug)]
pub enum Trusted {
    Unix,
    Network(Network),
}

/// Before the rewrite phases, and once more where a location may say otherwise.
pub fn run(live: &Live, request: &mut Request) {
    let Some(trusted) = &live.settings().real_ip_from else { return };
    if live.if_seldom().is_some_and(|s| s.realip.borrow().is_some()) {
        return;
    }
    let from = live.settings().real_ip_header.clone().unwrap_or_else(|| From::Header(b"X-Real-IP".to_vec()));
    let (list, port) = match &from {
        From::ProxyProtocol => match &request.connection.proxy {
            Some(proxy) => (proxy.source.clone(), Some(proxy.source_port)),
            None => return,
        },
        From::ForwardedFor => (joined(request, b"X-Forwarded-For"), None),
        From::Header(name) => (joined(request, name), None),
    };
    let trusts = |address: Option<IpAddr>| {
        trusted.iter().any(|rule| match rule {
            Trusted::Unix => address.is_none(),
            Trusted::Network(network) => address.is_some_and(|address| network.contains(address)),
        })
    };
    let recursive = live.settings().real_ip_recursive == Some(true);
    let mut found: Option<(IpAddr, u16)> = None;
    let mut current = peer(request);
    // From the nearest hop to the farthest.
    for word in list.rsplit(|&b| b == b',') {
        if !trusts(current) {
            break;
        }
        let word = std::str::from_utf8(word.trim_ascii()).unwrap_or_default();
        let Some(next) = address_and_port(word) else { break };
        found = Some(next);
        current = Some(next.0);
        if !recursive {
            break;
        }
    }
    let Some((address, own_port)) = found else { return };
    let before = &request.connection;
    *live.seldom().realip.borrow_mut() = Some((before.remote_addr.clone(), before.remote_port));
    request.connection = Rc::new(Connection {
        number: before.number,
        remote_addr: address.to_string().into_bytes(),
        remote_port: port.unwrap_or(own_port),
        server_addr: before.server_addr.clone(),
        server_port: before.server_port,
        unix: false,
        https: before.https,
        requests: before.requests.clone(),
        started_ms: before.started_ms,
        proxy: before.proxy.clone(),
    });
}

/// All lines of a header, as one list.
fn joined(request: &Request, name: &[u8]) -> Vec<u8> {
    let lines: Vec<&[u8]> = request.headers.all(name).map(|value| &value[..]).collect();
    lines.join(&b","[..])
}
