//! The sub filter: replaces strings in a response's body, over the borders of its pieces.

use ngx::request::Request;

use super::{Body, Piece, rewrites, type_listed, weaken_etag};
use crate::http::live::Live;

pub struct Sub {
    /// What to look for (in lower case), and what stands for it.
    pairs: Vec<Pair>,
    once: bool,
    /// The end of what came, as it may be the beginning of a match.
    held: Vec<u8>,
}

struct Pair {
    find: Vec<u8>,
    replace: crate::conf::value::Value,
    done: bool,
}

pub fn head(live: &Live, request: &mut Request) -> Result<Option<Body>, u16> {
    let settings = live.settings();
    if request.response.headers.first(b"content-length").is_some_and(|length| &length[..] == b"0")
        || !type_listed(request, settings.sub_filter_types.as_deref(), &[b"text/html"])
    {
        return Ok(None);
    }
    let rules = settings.sub_filter.clone().unwrap_or_default();
    let mut pairs = Vec::new();
    for (find, replace) in rules.iter() {
        let find = live.eval(request, find).to_ascii_lowercase();
        if !find.is_empty() {
            pairs.push(Pair { find, replace: replace.clone(), done: false });
        }
    }
    if pairs.is_empty() {
        return Ok(None);
    }
    let once = settings.sub_filter_once.unwrap_or(true);
    if settings.sub_filter_last_modified == Some(true) {
        weaken_etag(request);
    } else {
        request.response.headers.remove(b"last-modified");
        request.response.headers.remove(b"etag");
    }
    rewrites(live, request);
    Ok(Some(Body::Sub(Box::new(Sub { pairs, once, held: Vec::new() }))))
}

impl Sub {
    pub fn pass(&mut self, live: &Live, request: &mut Request, piece: Piece) -> Piece {
        let mut text = std::mem::take(&mut self.held);
        text.extend_from_slice(&piece.bytes);
        let lower = text.to_ascii_lowercase();
        let (mut out, mut from) = (Vec::with_capacity(text.len()), 0);
        while let Some((at, found)) = self.next(&lower, from) {
            let pair = &mut self.pairs[found];
            pair.done = self.once;
            out.extend_from_slice(&text[from..at]);
            out.extend_from_slice(&live.eval(request, &pair.replace));
            from = at + pair.find.len();
        }
        let keep = if piece.last { 0 } else { self.open(&lower[from..]) };
        out.extend_from_slice(&text[from..text.len() - keep]);
        self.held = text[text.len() - keep..].to_vec();
        Piece { bytes: out, ..piece }
    }

    /// The first match at or behind `from`; of several there, the longest.
    fn next(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        let open = self.pairs.iter().enumerate().filter(|(_, pair)| !pair.done);
        let found = open.filter_map(|(n, pair)| {
            let at = memchr::memmem::find(&text[from..], &pair.find)? + from;
            Some((at, std::cmp::Reverse(pair.find.len()), n))
        });
        found.min().map(|(at, _, n)| (at, n))
    }

    /// How many bytes at the end may be the beginning of a match.
    fn open(&self, text: &[u8]) -> usize {
        let longest = |pair: &Pair| {
            let most = text.len().min(pair.find.len() - 1);
            (1..=most).rev().find(|&n| text[text.len() - n..] == pair.find[..n]).unwrap_or(0)
        };
        self.pairs.iter().filter(|pair| !pair.done).map(longest).max().unwrap_or(0)
    }
}
