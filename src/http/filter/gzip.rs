//! The gzip filter: compresses what the client can take compressed.

use std::io::Write;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use ngx::log::Level;
use ngx::request::Request;

use super::{Body, Piece, rewrites, type_listed, weaken_etag};
use crate::conf::settings::{Proxied, Settings};
use crate::http::live::Live;

pub struct Gzip {
    encoder: GzEncoder<Vec<u8>>,
    /// Bytes that went in and came out: `$gzip_ratio`.
    read: u64,
    wrote: u64,
}

pub fn head(live: &Live, request: &mut Request) -> Result<Option<Body>, u16> {
    let settings = live.settings();
    let length = request.response.headers.first(b"content-length").and_then(|n| crate::conf::scalar::number(n));
    if !matches!(request.response.status, 200 | 403 | 404)
        || request.response.headers.first(b"content-encoding").is_some_and(|coding| !coding.is_empty())
        || length.is_some_and(|length| length < settings.gzip_min_length.unwrap_or(20))
        || !type_listed(request, settings.gzip_types.as_deref(), &[b"text/html"])
        || request.method == b"HEAD"[..]
        || live.header_only.get()
    {
        return Ok(None);
    }
    vary(live);
    if !accepts(live, request) {
        return Ok(None);
    }
    request.response.headers.set("Content-Encoding", "gzip");
    rewrites(live, request);
    weaken_etag(request);
    let level = u32::try_from(settings.gzip_comp_level.unwrap_or(1)).unwrap_or(1);
    let encoder = GzBuilder::new().operating_system(3).write(Vec::new(), Compression::new(level));
    Ok(Some(Body::Gzip(Box::new(Gzip { encoder, read: 0, wrote: 0 }))))
}

impl Gzip {
    pub fn pass(&mut self, live: &Live, request: &mut Request, piece: Piece) -> Result<Piece, ()> {
        self.read += piece.bytes.len() as u64;
        let mut work = || {
            self.encoder.write_all(&piece.bytes)?;
            match (piece.last, piece.flush) {
                (true, _) => self.encoder.try_finish(),
                (false, true) => self.encoder.flush(),
                (false, false) => Ok(()),
            }
        };
        if let Err(error) = work() {
            live.say(request, Level::Alert, &format!("deflate() failed: {error}"));
            return Err(());
        }
        let bytes = std::mem::take(self.encoder.get_mut());
        self.wrote += bytes.len() as u64;
        if piece.last {
            live.seldom().gzip_ratio.set(Some((self.read, self.wrote)));
        }
        Ok(Piece { bytes, ..piece })
    }
}

/// The response depends on Accept-Encoding, whatever became of it.
pub fn vary(live: &Live) {
    live.vary.set(live.settings().gzip_vary == Some(true));
}

/// Whether the client takes gzip, and nothing forbids it.
pub fn accepts(live: &Live, request: &Request) -> bool {
    let settings = live.settings();
    if request.is_subrequest {
        return false;
    }
    let Some(codings) = request.headers.first(b"accept-encoding") else { return false };
    if !names_gzip(codings) || request.version < settings.gzip_http_version.unwrap_or(11) {
        return false;
    }
    if let Some(disable) = &settings.gzip_disable
        && let Some(agent) = request.headers.first(b"user-agent")
        && disable.iter().any(|regex| regex.matches(agent) != Ok(false))
    {
        return false;
    }
    request.headers.first(b"via").is_none() || proxied(settings, request)
}

/// `gzip`, or `*`, unless its quality is zero.
fn names_gzip(codings: &[u8]) -> bool {
    let quality = |name: &[u8]| {
        codings.split(|&b| b == b',').find_map(|coding| {
            let mut words = coding.split(|&b| b == b';').map(<[u8]>::trim_ascii);
            if !words.next().is_some_and(|word| word.eq_ignore_ascii_case(name)) {
                return None;
            }
            let zero = words.any(|word| {
                word.strip_prefix(b"q=")
                    .or(word.strip_prefix(b"Q="))
                    .is_some_and(|number| !number.is_empty() && number.iter().all(|b| matches!(b, b'0' | b'.')))
            });
            Some(!zero)
        })
    };
    quality(b"gzip").or_else(|| quality(b"*")).unwrap_or(false)
}

/// A response that a proxy asked for (Via) is compressed only where `gzip_proxied` says so.
fn proxied(settings: &Settings, request: &Request) -> bool {
    let Some(rules) = settings.gzip_proxied.as_deref() else { return false };
    let head = &request.response.headers;
    let control = |word: &[u8]| {
        head.all(b"cache-control").any(|line| {
            line.split(|&b| b == b',').any(|part| {
                let name = part.split(|&b| b == b'=').next().unwrap_or_default();
                name.trim_ascii().eq_ignore_ascii_case(word)
            })
        })
    };
    let date = |name: &[u8]| head.first(name).and_then(|date| crate::time::parse_http_date(date));
    let now = || i64::try_from(crate::time::now_ms() / 1000).unwrap_or(0);
    rules.iter().any(|rule| match rule {
        Proxied::Off => false,
        Proxied::Any => true,
        Proxied::Auth => request.headers.contains(b"authorization"),
        Proxied::Expired => date(b"expires").is_some_and(|expires| expires < date(b"date").unwrap_or_else(now)),
        Proxied::NoCache => control(b"no-cache"),
        Proxied::NoStore => control(b"no-store"),
        Proxied::Private => control(b"private"),
        Proxied::NoLastModified => !head.contains(b"last-modified"),
        Proxied::NoEtag => !head.contains(b"etag"),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn accept_encoding() {
        for (text, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("*", true),
            ("gzip;q=0, *", false),
            ("gzipx, identity", false),
            ("", false),
        ] {
            assert_eq!(super::names_gzip(text.as_bytes()), expected, "{text}");
        }
    }
}
