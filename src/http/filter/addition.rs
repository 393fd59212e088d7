//! The addition filter: `add_before_body` and `add_after_body`, each a subrequest's response.

use ngx::request::{Request, SubrequestOptions};

use super::{Body, Piece, rewrites, type_listed, weaken_etag};
use crate::http::live::Live;

#[derive(Default)]
pub struct Addition {
    begun: bool,
}

pub fn head(live: &Live, request: &mut Request) -> Result<Option<Body>, u16> {
    let settings = live.settings();
    if request.response.status != 200 || !type_listed(request, settings.addition_types.as_deref(), &[b"text/html"]) {
        return Ok(None);
    }
    rewrites(live, request);
    weaken_etag(request);
    Ok(Some(Body::Addition(Addition::default())))
}

impl Addition {
    pub async fn pass(&mut self, live: &Live, request: &mut Request, piece: Piece) -> Piece {
        let (before, after) = (live.settings().add_before_body.clone(), live.settings().add_after_body.clone());
        let mut bytes = match before.filter(|_| !std::mem::replace(&mut self.begun, true)) {
            Some(uri) if !uri.is_empty() => [fetch(request, &uri).await, piece.bytes].concat(),
            _ => piece.bytes,
        };
        if piece.last
            && let Some(uri) = after.filter(|uri| !uri.is_empty())
        {
            bytes.extend_from_slice(&fetch(request, &uri).await);
        }
        Piece { bytes, ..piece }
    }
}

/// A subrequest's body; its URI is relative to the request's own.
async fn fetch(request: &Request, uri: &[u8]) -> Vec<u8> {
    let uri = match uri.first() {
        Some(b'/') => uri.to_vec(),
        _ => {
            let cut = request.uri.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
            [&request.uri[..cut], uri].concat()
        }
    };
    let mut options = SubrequestOptions::get(uri);
    options.error_pages = true;
    options.share_all_vars = true;
    request.exchange.clone().subrequest(request, options).await.body
}
