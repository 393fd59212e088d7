//! The module ngx.ssl: certificates and keys for cosockets.
use std::rc::Rc;

use vm::{Call, Reply, Row};

use super::row_in;
use crate::phase::ANY;
use crate::tls::{Chain, Key, key_pem_to_der};

pub static MODULE: &[Row] = &[
    row_in("parse_pem_cert", parse_pem_cert, ANY, "ssl.parse_pem_cert(text) -> a chain, or nil and a message"),
    row_in("parse_der_cert", parse_der_cert, ANY, "ssl.parse_der_cert(bytes) -> a chain, or nil and a message"),
    row_in(
        "parse_pem_priv_key",
        parse_pem_priv_key,
        ANY,
        "ssl.parse_pem_priv_key(text) -> a key, or nil and a message",
    ),
    row_in(
        "parse_der_priv_key",
        parse_der_priv_key,
        ANY,
        "ssl.parse_der_priv_key(bytes) -> a key, or nil and a message",
    ),
    row_in("cert_pem_to_der", cert_pem_to_der, ANY, "ssl.cert_pem_to_der(text) -> bytes, or nil and a message"),
    row_in(
        "priv_key_pem_to_der",
        priv_key_pem_to_der,
        ANY,
        "ssl.priv_key_pem_to_der(text) -> bytes, or nil and a message",
    ),
];

/// Calls a parser with argument 0, which must not be longer than any file of certificates is.
fn parse<'gc, T>(
    call: &mut Call<'_, 'gc>,
    parser: fn(&[u8]) -> Result<T, &'static str>,
) -> Result<Result<T, &'static str>, vm::Value<'gc>> {
    let text = call.bytes(0)?;
    call.charge(text.len() / 4 + 1000);
    call.reserve(text.len())?;
    Ok(parser(text))
}

fn object<'gc, T: 'static>(call: &mut Call<'_, 'gc>, parser: fn(&[u8]) -> Result<T, &'static str>) -> Reply<'gc> {
    match parse(call, parser)? {
        Ok(made) => {
            let made = call.cx.cdata(Rc::new(made));
            call.ret(made)
        }
        Err(words) => call.ret_nil_err(words),
    }
}

fn bytes<'gc>(call: &mut Call<'_, 'gc>, parser: fn(&[u8]) -> Result<Vec<u8>, &'static str>) -> Reply<'gc> {
    match parse(call, parser)? {
        Ok(der) => {
            let der = call.string(der)?;
            call.ret(der)
        }
        Err(words) => call.ret_nil_err(words),
    }
}

fn parse_pem_cert<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    object(call, Chain::from_pem)
}

fn parse_der_cert<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    object(call, Chain::from_der)
}

fn parse_pem_priv_key<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    object(call, Key::from_pem)
}

fn parse_der_priv_key<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    object(call, Key::from_der)
}

fn cert_pem_to_der<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    bytes(call, |text| Chain::from_pem(text).map(|chain| chain.to_der()))
}

/// (Keys that are encrypted with a passphrase are not understood.)
fn priv_key_pem_to_der<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    bytes(call, key_pem_to_der)
}
