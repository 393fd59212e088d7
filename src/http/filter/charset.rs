//! The charset filter: says which charset a text is in, and recodes it where a `charset_map` tells how.

use std::collections::HashMap;

use ngx::bytes::Bytes;
use ngx::request::Request;

use super::{Body, Piece, rewrites, type_listed};
use crate::http::live::Live;

/// One direction of a `charset_map`.
#[derive(Clone, Debug)]
pub enum Table {
    Bytes(Box<[u8; 256]>),
    /// The UTF-8 of each byte.
    ToUtf8(Box<[Vec<u8>; 256]>),
    FromUtf8(HashMap<char, u8>),
}

/// Recodes one response.
pub struct Recode {
    table: std::sync::Arc<Table>,
    /// An unfinished UTF-8 sequence at the end of the last piece.
    held: Vec<u8>,
}

const TYPES: &[&[u8]] =
    &[b"text/html", b"text/xml", b"text/plain", b"text/vnd.wap.wml", b"application/javascript", b"application/rss+xml"];

pub fn head(live: &Live, request: &mut Request) -> Result<Option<Body>, u16> {
    let settings = live.settings();
    let Some(kind) = request.response.headers.first(b"content-type").cloned() else { return Ok(None) };
    let listed = match settings.charset_types.as_deref() {
        Some(types) => type_listed(request, Some(types), &[]),
        None => type_listed(request, None, TYPES),
    };
    let wanted = match &settings.charset {
        Some(value) => Bytes::from(live.eval(request, value)),
        None => Bytes::new(),
    };
    if wanted.is_empty() || &wanted[..] == b"off" || !listed {
        return Ok(None);
    }
    let own = own_charset(&kind);
    if own.is_some() && settings.override_charset != Some(true) {
        return Ok(None);
    }
    let source = match own {
        Some(own) => own.to_vec(),
        None => settings.source_charset.as_ref().map(|value| live.eval(request, value)).unwrap_or_default(),
    };
    if own.is_some() {
        let bare = kind.split(|&b| b == b';').next().unwrap_or_default().to_vec();
        request.response.headers.set("Content-Type", bare);
    }
    request.response.charset = Some(wanted.clone());
    if source.is_empty() || &source[..] == b"off" || source.eq_ignore_ascii_case(&wanted) {
        return Ok(None);
    }
    if request.response.headers.contains(b"content-encoding") {
        return Ok(None);
    }
    let key = (source.to_ascii_lowercase(), wanted.to_ascii_lowercase());
    let Some(table) = live.http().charsets.get(&key).cloned() else { return Ok(None) };
    if !matches!(*table, Table::Bytes(_)) {
        rewrites(live, request);
    }
    Ok(Some(Body::Charset(Recode { table, held: Vec::new() })))
}

fn own_charset(kind: &[u8]) -> Option<&[u8]> {
    let lower = kind.to_ascii_lowercase();
    let at = memchr::memmem::find(&lower, b"charset=")? + 8;
    let end = kind[at..].iter().position(|&b| b == b';').map_or(kind.len(), |end| at + end);
    Some(kind[at..end].trim_ascii())
}

impl Recode {
    pub fn pass(&mut self, piece: Piece) -> Piece {
        let bytes = match &*self.table {
            Table::Bytes(table) => piece.bytes.iter().map(|&byte| table[usize::from(byte)]).collect(),
            Table::ToUtf8(table) => {
                let mut out = Vec::with_capacity(piece.bytes.len() * 2);
                piece.bytes.iter().for_each(|&byte| out.extend_from_slice(&table[usize::from(byte)]));
                out
            }
            Table::FromUtf8(table) => {
                let mut text = std::mem::take(&mut self.held);
                text.extend_from_slice(&piece.bytes);
                let (out, rest) = from_utf8(table, &text, piece.last);
                self.held = rest;
                out
            }
        };
        Piece { bytes, ..piece }
    }
}

/// What a charset lacks becomes `&#NUMBER;`, what is no UTF-8 a question mark; gives back an unfinished end.
fn from_utf8(table: &HashMap<char, u8>, text: &[u8], last: bool) -> (Vec<u8>, Vec<u8>) {
    let mut out = Vec::with_capacity(text.len());
    let chunks = text.utf8_chunks();
    for chunk in chunks {
        for letter in chunk.valid().chars() {
            match (table.get(&letter), u8::try_from(letter)) {
                (Some(&byte), _) => out.push(byte),
                (None, Ok(byte @ ..0x80)) => out.push(byte),
                (None, _) => out.extend_from_slice(format!("&#{};", u32::from(letter)).as_bytes()),
            }
        }
        let invalid = chunk.invalid();
        if invalid.is_empty() {
            continue;
        }
        let at_end = text.ends_with(invalid) && std::ptr::eq(invalid.as_ptr_range().end, text.as_ptr_range().end);
        if at_end && !last && invalid[0] >= 0xc2 {
            return (out, invalid.to_vec());
        }
        out.push(b'?');
    }
    (out, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf8_over_borders() {
        let table = std::sync::Arc::new(Table::FromUtf8(HashMap::from([('é', 0xe9)])));
        let mut recode = Recode { table, held: Vec::new() };
        let mut all = Vec::new();
        for (bytes, last) in [(&b"a\xc3"[..], false), (b"\xa9b\xe2\x82", false), (b"\xac\xff", true)] {
            all.extend(recode.pass(Piece { bytes: bytes.to_vec(), flush: false, last }).bytes);
        }
        assert_eq!(all, b"a\xe9b&#8364;?");
    }
}
