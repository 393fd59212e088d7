//! The gunzip filter: decompresses for clients that cannot.

use std::io::Write;

use flate2::write::MultiGzDecoder;
use ngx::log::Level;
use ngx::request::Request;

use super::{Body, Piece, gzip, rewrites, weaken_etag};
use crate::http::live::Live;

pub struct Gunzip(MultiGzDecoder<Vec<u8>>);

pub fn head(live: &Live, request: &mut Request) -> Result<Option<Body>, u16> {
    let coding = request.response.headers.first(b"content-encoding");
    if !coding.is_some_and(|coding| coding.eq_ignore_ascii_case(b"gzip")) {
        return Ok(None);
    }
    gzip::vary(live);
    if gzip::accepts(live, request) || request.method == b"HEAD"[..] && live.header_only.get() {
        return Ok(None);
    }
    request.response.headers.remove(b"content-encoding");
    rewrites(live, request);
    weaken_etag(request);
    Ok(Some(Body::Gunzip(Box::new(Gunzip(MultiGzDecoder::new(Vec::new()))))))
}

impl Gunzip {
    pub fn pass(&mut self, live: &Live, request: &mut Request, piece: Piece) -> Result<Piece, ()> {
        let done = self.0.write_all(&piece.bytes).and_then(|()| if piece.last { self.0.try_finish() } else { Ok(()) });
        if let Err(error) = done {
            live.say(request, Level::Error, &format!("inflate() failed: {error}"));
            return Err(());
        }
        Ok(Piece { bytes: std::mem::take(self.0.get_mut()), ..piece })
    }
}
