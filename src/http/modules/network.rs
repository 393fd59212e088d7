//! Address ranges as access, realip and geo write them: `10.0.0.0/8`, `2001:db8::/32`, `10.1.2.3`.

use std::net::IpAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// The address, in a v6 address's 128 bits or the lower 32 of a v4 one's.
    bits: u128,
    length: u8,
    v6: bool,
}

impl Network {
    /// None: no such thing. The second value tells that the address had bits beyond its mask.
    pub fn parse(text: &str) -> Option<(Network, bool)> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (bits, most) = key(address);
        let length = match length {
            None => most,
            Some(length) => length.parse::<u8>().ok().filter(|length| *length <= most)?,
        };
        let masked = mask(bits, length, most);
        Some((Network { bits: masked, length, v6: most == 128 }, masked != bits))
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, most) = key(address);
        (most == 128) == self.v6 && mask(bits, self.length, most) == self.bits
    }

    pub fn length(&self) -> u8 {
        self.length
    }
    /// The network of that length that an address is in.
    pub fn around(address: IpAddr, length: u8) -> Network {
        let (bits, most) = key(address);
        Network { bits: mask(bits, length, most), length, v6: most == 128 }
    }
}

/// An address's bits, and how many there are. A v4 address in a v6 one's clothes is a v4 address.
fn key(address: IpAddr) -> (u128, u8) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    }
}

fn mask(bits: u128, length: u8, most: u8) -> u128 {
    let drop = u32::from(most - length.min(most));
    bits.checked_shr(drop).unwrap_or(0).checked_shl(drop).unwrap_or(0)
}

/// An address with or without a port: `1.2.3.4:80`, `[::1]:80`, `::1`.
pub fn address_and_port(text: &str) -> Option<(IpAddr, u16)> {
    if let Ok(both) = text.parse::<std::net::SocketAddr>() {
        return Some((both.ip(), both.port()));
    }
    text.trim_start_matches('[').trim_end_matches(']').parse().ok().map(|address| (address, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("2001:db8::/32", "2001:db8::1", true),
            ("::/0", "2001::", true),
            ("127.0.0.1", "127.0.0.1", true),
        ] {
            let (network, _) = Network::parse(network).expect("a network");
            assert_eq!(network.contains(address.parse().expect("an address")), expected, "{network:?} {address}");
        }
        assert!(Network::parse("10.0.0.1/8").is_some_and(|(_, low)| low));
        assert!(Network::parse("10.0.0.1/33").is_none());
    }
}
