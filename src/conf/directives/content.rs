//! Small content handlers: the autoindex, random_index, empty_gif and mirror modules, and the status page of our own.

use std::sync::Arc;

use super::super::tree::Handler;
use super::arity::{NONE, ONE};
use super::context::{ALL, LOCATION};
use super::{Row, choose, row};
use crate::http::modules::autoindex::Format;

pub static ROWS: &[Row] = &[
    row("autoindex", ALL, ONE, |b, d| b.flag(d, |s| &mut s.autoindex)),
    row("autoindex_format", ALL, ONE, |b, d| {
        let formats = [("html", Format::Html), ("json", Format::Json), ("jsonp", Format::Jsonp), ("xml", Format::Xml)];
        let format = choose(d, &formats)?;
        b.put(d, |s| &mut s.autoindex_format, format)
    }),
    row("autoindex_exact_size", ALL, ONE, |b, d| b.flag(d, |s| &mut s.autoindex_exact_size)),
    row("autoindex_localtime", ALL, ONE, |b, d| b.flag(d, |s| &mut s.autoindex_localtime)),
    row("random_index", LOCATION, ONE, |b, d| b.flag(d, |s| &mut s.random_index)),
    row("empty_gif", LOCATION, NONE, |b, _| {
        b.location().handler = Some(Handler::EmptyGif);
        Ok(())
    }),
    row("perilune_status", LOCATION, NONE, |b, _| {
        b.location().handler = Some(Handler::PeriluneStatus);
        Ok(())
    }),
    row("mirror", ALL, ONE, |b, d| {
        let mut all = b.settings().mirror.as_deref().unwrap_or_default().to_vec();
        if d.arg(0) == b"off" {
            if !all.is_empty() {
                return Err(d.says("is duplicate"));
            }
        } else {
            all.push(d.arg(0).to_vec());
        }
        b.settings().mirror = Some(Arc::from(all));
        Ok(())
    }),
    row("mirror_request_body", ALL, ONE, |b, d| b.flag(d, |s| &mut s.mirror_request_body)),
];
