//! The geo module: a variable by the client's address, or by another one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use ngx::request::Request;

use super::access::peer;
use super::network::Network;
use crate::conf::value::Value;
use crate::http::live::Live;

#[derive(Debug, Default)]
pub struct Geo {
    /// Whose address; None: the client's.
    pub source: Option<Value>,
    pub default: Vec<u8>,
    /// By length of the prefix, longest first.
    pub networks: Vec<(u8, HashMap<Network, Vec<u8>>)>,
    /// `ranges`: first and last address, in order, none inside another.
    pub ranges: Option<Vec<(Ipv4Addr, Ipv4Addr, Vec<u8>)>>,
    pub proxies: Vec<Network>,
    pub proxy_recursive: bool,
}

impl Geo {
    pub fn value(&self, live: &Live, request: &Request) -> Vec<u8> {
        let Some(address) = self.address(live, request) else {
            // A unix socket counts as the address that matches nothing else: 255.255.255.255.
            return self.look_up(IpAddr::V4(Ipv4Addr::BROADCAST)).to_vec();
        };
        self.look_up(address).to_vec()
    }

    fn address(&self, live: &Live, request: &Request) -> Option<IpAddr> {
        let mut address = match &self.source {
            None => peer(request)?,
            Some(value) => {
                let text = live.eval(request, value);
                std::str::from_utf8(&text).ok()?.parse().ok()?
            }
        };
        let trusted = |address: IpAddr| self.proxies.iter().any(|proxy| proxy.contains(address));
        if self.proxies.is_empty() || !trusted(address) {
            return Some(address);
        }
        let lines: Vec<&[u8]> = request.headers.all(b"x-forwarded-for").map(|value| &value[..]).collect();
        for word in lines.join(&b","[..]).rsplit(|&b| b == b',') {
            let word = std::str::from_utf8(word.trim_ascii()).ok();
            let Some((next, _)) = word.and_then(super::network::address_and_port) else { break };
            address = next;
            if !self.proxy_recursive || !trusted(address) {
                break;
            }
        }
        Some(address)
    }

    fn look_up(&self, address: IpAddr) -> &[u8] {
        if let (Some(ranges), IpAddr::V4(v4)) = (&self.ranges, address.to_canonical()) {
            let after = ranges.partition_point(|(first, _, _)| *first <= v4);
            let found = after.checked_sub(1).and_then(|at| ranges.get(at)).filter(|(_, last, _)| v4 <= *last);
            return found.map_or(&self.default, |(_, _, value)| value);
        }
        let found = self.networks.iter().find_map(|(length, known)| known.get(&Network::around(address, *length)));
        found.unwrap_or(&self.default)
    }

    /// Some: the value that was there.
    pub fn add(&mut self, network: Network, value: Vec<u8>) -> Option<Vec<u8>> {
        let length = network.length();
        let at = match self.networks.iter().position(|(known, _)| *known <= length) {
            Some(at) if self.networks[at].0 == length => at,
            at => {
                let at = at.unwrap_or(self.networks.len());
                self.networks.insert(at, (length, HashMap::new()));
                at
            }
        };
        self.networks[at].1.insert(network, value)
    }

    /// Whether it was there.
    pub fn remove(&mut self, network: Network) -> bool {
        self.networks.iter_mut().any(|(_, known)| known.remove(&network).is_some())
    }

    /// Adds a range over what is there: the later one wins where they overlap.
    pub fn add_range(&mut self, first: Ipv4Addr, last: Ipv4Addr, value: Vec<u8>) {
        let ranges = self.ranges.get_or_insert_default();
        let (from, to) = (u32::from(first), u32::from(last));
        let mut all = Vec::with_capacity(ranges.len() + 1);
        for (a, b, old) in ranges.drain(..) {
            let (a, b) = (u32::from(a), u32::from(b));
            if b < from || a > to {
                all.push((a.into(), b.into(), old));
                continue;
            }
            if a < from {
                all.push((a.into(), (from - 1).into(), old.clone()));
            }
            if b > to {
                all.push(((to + 1).into(), b.into(), old));
            }
        }
        all.push((first, last, value));
        all.sort_by_key(|(first, _, _)| *first);
        *ranges = all;
    }

    /// Takes a range out again.
    pub fn delete_range(&mut self, first: Ipv4Addr, last: Ipv4Addr) -> bool {
        let ranges = self.ranges.get_or_insert_default();
        let before = ranges.len();
        ranges.retain(|(a, b, _)| !(*a >= first && *b <= last));
        ranges.len() != before
    }
}
