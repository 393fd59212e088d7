//! The PROXY protocol: who is behind the proxy that connects, said in front of the first request.

use std::net::{Ipv4Addr, Ipv6Addr};

use ngx::request::Proxied;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// As long as a header of the first version may be.
const LONGEST_TEXT: usize = 107;

/// How many bytes the header took, and what it says. None: more has to come. Err: what is wrong.
pub fn parse(bytes: &[u8]) -> Result<Option<(usize, Proxied)>, String> {
    let signed = bytes.len().min(SIGNATURE.len());
    if bytes[..signed] == SIGNATURE[..signed] {
        return binary(bytes);
    }
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        return if bytes.len() > LONGEST_TEXT { Err(broken(bytes)) } else { Ok(None) };
    };
    let line = bytes[..end].strip_suffix(b"\r").filter(|_| end < LONGEST_TEXT).ok_or_else(|| broken(bytes))?;
    let words: Vec<&[u8]> = line.split(|&b| b == b' ').collect();
    let proxied = match words.as_slice() {
        [b"PROXY", b"UNKNOWN", ..] => Proxied::default(),
        [b"PROXY", b"TCP4" | b"TCP6", source, destination, from, to] => {
            let port = |word: &[u8]| crate::conf::scalar::number(word).and_then(|port| u16::try_from(port).ok());
            let address = |word: &&[u8]| {
                std::str::from_utf8(word).ok().and_then(|word| word.parse::<std::net::IpAddr>().ok()).is_some()
            };
            let (Some(source_port), Some(destination_port)) = (port(from), port(to)) else { return Err(broken(bytes)) };
            if !address(source) || !address(destination) {
                return Err(broken(bytes));
            }
            let (source, destination) = (source.to_vec(), destination.to_vec());
            Proxied { source, source_port, destination, destination_port, extensions: Vec::new() }
        }
        _ => return Err(broken(bytes)),
    };
    Ok(Some((end + 1, proxied)))
}

fn broken(bytes: &[u8]) -> String {
    let line = bytes.split(|b| matches!(b, b'\r' | b'\n')).next().unwrap_or_default();
    format!("broken header: \"{}\" while reading PROXY protocol", String::from_utf8_lossy(&line[..line.len().min(200)]))
}

/// The second version: a fixed head, addresses by family, then extensions.
fn binary(bytes: &[u8]) -> Result<Option<(usize, Proxied)>, String> {
    let Some((head, rest)) = bytes.split_at_checked(16) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if head[12] >> 4 != 2 {
        return Err(format!("unknown PROXY protocol version: {}", head[12] >> 4));
    }
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let whole = 16 + length;
    // A proxy that speaks for itself (a health check), or of what is no stream.
    if head[12] & 15 != 1 || head[13] & 15 != 1 {
        return Ok(Some((whole, Proxied::default())));
    }
    let wrong = || "header is too short while reading PROXY protocol".to_string();
    let port = |at: usize| body.get(at..at + 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let (proxied, used) = match head[13] >> 4 {
        1 => {
            let address = |at: usize| {
                let bytes: [u8; 4] = body.get(at..at + 4)?.try_into().ok()?;
                Some(Ipv4Addr::from(bytes).to_string().into_bytes())
            };
            (pair(address(0), address(4), port(8), port(10)), 12)
        }
        2 => {
            let address = |at: usize| {
                let bytes: [u8; 16] = body.get(at..at + 16)?.try_into().ok()?;
                Some(Ipv6Addr::from(bytes).to_string().into_bytes())
            };
            (pair(address(0), address(16), port(32), port(34)), 36)
        }
        _ => (Some(Proxied::default()), body.len()),
    };
    let mut proxied = proxied.ok_or_else(wrong)?;
    proxied.extensions = extensions(&body[used..]);
    Ok(Some((whole, proxied)))
}

fn pair(source: Option<Vec<u8>>, destination: Option<Vec<u8>>, from: Option<u16>, to: Option<u16>) -> Option<Proxied> {
    let (source, destination, source_port, destination_port) = (source?, destination?, from?, to?);
    Some(Proxied { source, source_port, destination, destination_port, extensions: Vec::new() })
}

/// Type, length and value, one after the other.
fn extensions(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let [kind, high, low, rest @ ..] = bytes {
        let Some((value, after)) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low]))) else { break };
        found.push((*kind, value.to_vec()));
        bytes = after;
    }
    found
}

/// `$proxy_protocol_tlv_NAME`: by name, or by number (`0x0e`); those inside of the TLS one begin with `ssl_`.
pub fn extension(proxied: &Proxied, name: &str) -> Option<Vec<u8>> {
    let find = |list: &[(u8, Vec<u8>)], kind: u8| {
        list.iter().find(|(known, _)| *known == kind).map(|(_, value)| value.clone())
    };
    let number = |text: &str| u8::from_str_radix(text.strip_prefix("0x")?.trim_start_matches('0'), 16).ok();
    if let Some(inner) = name.strip_prefix("ssl_") {
        let tls = find(&proxied.extensions, 0x20)?;
        let (head, rest) = tls.split_at_checked(5)?;
        if inner == "verify" {
            return Some(u32::from_be_bytes([head[1], head[2], head[3], head[4]]).to_string().into_bytes());
        }
        let kind = match inner {
            "version" => 0x21,
            "cn" => 0x22,
            "cipher" => 0x23,
            "sig_alg" => 0x24,
            "key_alg" => 0x25,
            text => number(text)?,
        };
        return find(&extensions(rest), kind);
    }
    let kind = match name {
        "alpn" => 1,
        "authority" => 2,
        "unique_id" => 5,
        "ssl" => 0x20,
        "netns" => 0x30,
        text => number(text)?,
    };
    find(&proxied.extensions, kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(bytes: &[u8]) -> String {
        match parse(bytes) {
            Ok(None) => "more".into(),
            Err(error) => error,
            Ok(Some((used, p))) => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let more: Vec<String> =
                    p.extensions.iter().map(|(kind, value)| format!(" {kind}={}", text(value))).collect();
                format!(
                    "{used}: {}:{} > {}:{}{}",
                    text(&p.source),
                    p.source_port,
                    text(&p.destination),
                    p.destination_port,
                    more.concat()
                )
            }
        }
    }

    #[test]
    fn headers() {
        let v2 = |tail: &[u8]| [&SIGNATURE[..], tail].concat();
        let addresses = b"\xc0\0\x02\x01\xc0\0\x02\x02\0\x7b\x16\x2e";
        for (bytes, expected) in [
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 123 5678\r\nGET".to_vec(), "41: 192.0.2.1:123 > 192.0.2.2:5678"),
            (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n".to_vec(), "40: 2001:db8::1:1 > 2001:db8::2:2"),
            (b"PROXY UNKNOWN 1 2 3 4\r\n".to_vec(), "23: :0 > :0"),
            (b"PROXY TCP4 192.0.2.1".to_vec(), "more"),
            (b"\r\n\r".to_vec(), "more"),
            (b"PROXY TCP4 x y 1 2\r\n".to_vec(), "broken header: \"PROXY TCP4 x y 1 2\" while reading PROXY protocol"),
            (b"GET / HTTP/1.0\r\n".to_vec(), "broken header: \"GET / HTTP/1.0\" while reading PROXY protocol"),
            (v2(&[&b"\x21\x11\0\x0c"[..], addresses].concat()), "28: 192.0.2.1:123 > 192.0.2.2:5678"),
            (
                v2(&[&b"\x21\x11\0\x11"[..], addresses, b"\x02\0\x02hi"].concat()),
                "33: 192.0.2.1:123 > 192.0.2.2:5678 2=hi",
            ),
            (v2(b"\x21\x11\0\x04\0\0\0\0"), "header is too short while reading PROXY protocol"),
            (v2(b"\x20\0\0\0"), "16: :0 > :0"),
        ] {
            assert_eq!(show(&bytes), expected, "{bytes:?}");
        }
    }
}
