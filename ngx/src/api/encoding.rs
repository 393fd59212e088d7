//! ngx.escape_uri, encode_args, encode_base64, md5 and their kin: text encodings and digests.
//!
//! Most take any value and read nil or false as the empty string, as OpenResty's do.
use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Call, Cx, Reply, Row, Table, Value};

use super::row_in;
use crate::encoding::{self, ArgValue, Args, Escape};
use crate::phase::ANY;

pub static NATIVES: &[Row] = &[
    row_in("escape_uri", escape_uri, ANY, "ngx.escape_uri(text [, type]) -> text with %XX"),
    row_in("unescape_uri", unescape_uri, ANY, "ngx.unescape_uri(text) -> text without %XX"),
    row_in("encode_args", encode_args, ANY, "ngx.encode_args(table) -> a query string"),
    row_in("decode_args", decode_args, ANY, "ngx.decode_args(text [, max]) -> table"),
    row_in("encode_base64", encode_base64, ANY, "ngx.encode_base64(bytes [, no_padding]) -> text"),
    row_in("decode_base64", decode_base64, ANY, "ngx.decode_base64(text) -> bytes or nil"),
    row_in("decode_base64mime", decode_base64mime, ANY, "ngx.decode_base64mime(text) -> bytes or nil"),
    row_in("crc32_short", crc32, ANY, "ngx.crc32_short(bytes) -> number"),
    row_in("crc32_long", crc32, ANY, "ngx.crc32_long(bytes) -> number"),
    row_in("hmac_sha1", hmac_sha1, ANY, "ngx.hmac_sha1(key, bytes) -> 20 bytes"),
    row_in("md5", md5, ANY, "ngx.md5(bytes) -> 32 hexadecimal digits"),
    row_in("md5_bin", md5_bin, ANY, "ngx.md5_bin(bytes) -> 16 bytes"),
    row_in("sha1_bin", sha1_bin, ANY, "ngx.sha1_bin(bytes) -> 20 bytes"),
    row_in("quote_sql_str", quote_sql_str, ANY, "ngx.quote_sql_str(text) -> a MySQL string literal"),
];

/// The functions of `ndk.set_var`: one argument, one string.
static SET_VAR: &[Row] = &[
    row_in("set_escape_uri", escape_component, ANY, "ndk.set_var.set_escape_uri(text)"),
    row_in("set_unescape_uri", unescape_uri, ANY, "ndk.set_var.set_unescape_uri(text)"),
    row_in("set_quote_sql_str", quote_sql_str, ANY, "ndk.set_var.set_quote_sql_str(text)"),
    row_in("set_encode_base64", encode_base64, ANY, "ndk.set_var.set_encode_base64(bytes)"),
    row_in("set_decode_base64", decode_base64, ANY, "ndk.set_var.set_decode_base64(text)"),
    row_in("set_encode_base32", encode_base32, ANY, "ndk.set_var.set_encode_base32(bytes)"),
    row_in("set_decode_base32", decode_base32, ANY, "ndk.set_var.set_decode_base32(text)"),
    row_in("set_md5", md5, ANY, "ndk.set_var.set_md5(bytes)"),
    row_in("set_sha1", sha1_hex, ANY, "ndk.set_var.set_sha1(bytes)"),
    row_in("set_encode_hex", encode_hex, ANY, "ndk.set_var.set_encode_hex(bytes)"),
    row_in("set_decode_hex", decode_hex, ANY, "ndk.set_var.set_decode_hex(text)"),
    row_in("set_encode_base64url", base64url, ANY, "ndk.set_var.set_encode_base64url(bytes)"),
    row_in("set_decode_base64url", decode_base64url, ANY, "ndk.set_var.set_decode_base64url(text)"),
    row_in("set_quote_pgsql_str", quote_pgsql_str, ANY, "ndk.set_var.set_quote_pgsql_str(text)"),
    row_in("set_quote_json_str", quote_json_str, ANY, "ndk.set_var.set_quote_json_str(text)"),
];

static SET_VAR_META: &[Row] = &[
    row_in("__index", unknown_directive, ANY, "ndk.set_var.NAME -> a function"),
    row_in("__newindex", not_allowed, ANY, "ndk.set_var cannot be changed"),
];

/// Arguments beyond so many are left off, unless Lua says otherwise.
pub(crate) const MAX_ARGS: i64 = 100;

pub fn open(cx: Cx<'_>) {
    cx.library("ngx", NATIVES);
    let set_var = cx.library("ndk.set_var", SET_VAR);
    set_var.set_metatable(cx.mc, Some(super::ngx_table::meta(cx, SET_VAR_META)));
}

/// An argument as text: nil and false are empty, other values as `tostring` shows them.
fn text<'gc>(call: &mut Call<'_, 'gc>) -> Vec<u8> {
    let v = call.arg(0);
    let bytes = if v.truthy() { call.cx.raw_tostring(v) } else { Vec::new() };
    call.charge(bytes.len() / 16);
    bytes
}

fn give<'gc>(call: &mut Call<'_, 'gc>, bytes: Vec<u8>) -> Reply<'gc> {
    let v = call.string(bytes)?;
    call.ret(v)
}

fn escape_uri<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let place = match call.arg(1).kind() {
        Kind::Nil => Escape::Component,
        Kind::Num(n) => match Escape::from_number(n) {
            Some(place) => place,
            None => return Err(outer_error(call, format!("\"type\" {} out of range", number(n)))),
        },
        _ => return Err(outer_error(call, "\"type\" is not a number".into())),
    };
    escaped(call, place)
}

/// An error that names the place of the caller's caller, as this function's always have.
fn outer_error<'gc>(call: &Call<'_, 'gc>, words: String) -> Value<'gc> {
    let mut text = call.position(2);
    text.extend_from_slice(words.as_bytes());
    call.cx.str_vec(text)
}

fn escape_component<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    escaped(call, Escape::Component)
}

fn escaped<'gc>(call: &mut Call<'_, 'gc>, place: Escape) -> Reply<'gc> {
    let text = text(call);
    call.reserve(text.len() * 3)?;
    let out = encoding::escape_uri(&text, place).into_owned();
    give(call, out)
}

fn number(n: f64) -> String {
    let mut text = Vec::new();
    vm::value::number::write_number(n, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn unescape_uri<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let text = text(call);
    let out = encoding::unescape_uri(&text).into_owned();
    give(call, out)
}

fn encode_args<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() != 1 {
        return Err(call.error(format!("expecting 1 argument but seen {}", call.len())));
    }
    let t = call.table(0)?;
    let out = encode_table(call, t)?;
    give(call, out)
}

/// A Lua table of arguments as a query string.
pub(crate) fn encode_table<'gc>(call: &mut Call<'_, 'gc>, t: Table<'gc>) -> Result<Vec<u8>, Value<'gc>> {
    let mut pairs: Vec<(&'gc [u8], Option<Vec<u8>>)> = Vec::new();
    let mut key = Value::NIL;
    while let Ok(Some((k, v))) = t.next(key) {
        key = k;
        call.charge(1);
        let Some(name) = k.as_str().map(Call::as_bytes) else {
            return Err(call.error("attempt to use a non-string key in the \"args\" option table"));
        };
        let bad = match v.kind() {
            Kind::Table(list) => {
                let (mut at, mut bad) = (Value::NIL, None);
                while let Ok(Some((i, item))) = list.next(at) {
                    at = i;
                    call.charge(1);
                    if !add_pair(name, item, &mut pairs) {
                        bad = Some(item);
                        break;
                    }
                }
                bad
            }
            _ if add_pair(name, v, &mut pairs) => None,
            _ => Some(v),
        };
        if let Some(bad) = bad {
            return Err(call.error(format!("attempt to use {} as query arg value", bad.type_name())));
        }
    }
    let bytes: usize = pairs.iter().map(|(k, v)| k.len() + v.as_ref().map_or(0, Vec::len) + 2).sum();
    call.reserve(bytes * 3)?;
    Ok(encoding::encode_args(pairs.iter().map(|(k, v)| (*k, v.as_deref()))))
}

/// true is the name alone, false is nothing; false for values that no argument can have.
fn add_pair<'gc>(name: &'gc [u8], v: Value<'gc>, pairs: &mut Vec<(&'gc [u8], Option<Vec<u8>>)>) -> bool {
    let mut text = Vec::new();
    match v.kind() {
        Kind::Bool(true) => pairs.push((name, None)),
        Kind::Bool(false) => {}
        _ if vm::native::write_text(v, &mut text) => pairs.push((name, Some(text))),
        _ => return false,
    }
    true
}

fn decode_args<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if !matches!(call.len(), 1 | 2) {
        return Err(call.error(format!("expecting 1 or 2 arguments but seen {}", call.len())));
    }
    let text = call.bytes(0)?;
    let max = if call.len() == 2 { call.integer(1)? } else { MAX_ARGS };
    call.charge(text.len() / 8);
    let max = usize::try_from(max).unwrap_or(0);
    let args = encoding::decode_args(text, max);
    let t = call.cx.table(0, args.pairs.len().min(64));
    give_args(call, t, args, max)
}

/// Fills a table with arguments and returns it, with "truncated" if some were left off.
pub(crate) fn give_args<'gc>(call: &mut Call<'_, 'gc>, t: Table<'gc>, args: Args, max: usize) -> Reply<'gc> {
    let cx = call.cx;
    call.charge(args.pairs.len());
    for (name, value) in args.pairs {
        let v = match value {
            ArgValue::Bare => Value::TRUE,
            ArgValue::Text(text) => cx.str_vec(text),
        };
        super::header::add_value(cx, t, Value::str(cx.intern(&name)), v);
    }
    call.push(Value::table(t));
    if args.truncated {
        let request = super::request(call)?;
        super::ngx_table::warn(request, crate::log::Level::Debug, format!("lua hit query args limit {max}").as_bytes());
        let word = cx.key("truncated");
        call.push(word);
    }
    Ok(vm::Outcome::Return)
}

fn encode_base64<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let no_padding = match call.arg(1).kind() {
        Kind::Nil | Kind::Bool(false) => false,
        Kind::Bool(true) => true,
        _ => {
            let got = call.arg(1).type_name();
            return Err(call.error(format!("bad no_padding: boolean expected, got {got}")));
        }
    };
    let bytes = text(call);
    call.reserve(bytes.len() * 2)?;
    let out = encoding::encode_base64(&bytes, no_padding);
    give(call, out)
}

fn decode_base64<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    decode(call, encoding::decode_base64)
}

fn decode_base64mime<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    decode(call, encoding::decode_base64mime)
}

fn decode<'gc>(call: &mut Call<'_, 'gc>, decoder: fn(&[u8]) -> Option<Vec<u8>>) -> Reply<'gc> {
    let Some(text) = call.arg(0).as_str().map(Call::as_bytes) else {
        return Err(call.error("string argument only"));
    };
    call.reserve(text.len())?;
    call.charge(text.len() / 16);
    match decoder(text) {
        Some(bytes) => give(call, bytes),
        None => call.ret(Value::NIL),
    }
}

fn encode_base32<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let bytes = text(call);
    call.reserve(bytes.len() * 2)?;
    give(call, encoding::encode_base32(&bytes))
}

fn decode_base32<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let bytes = text(call);
    give(call, encoding::decode_base32(&bytes).unwrap_or_default())
}

fn crc32<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let bytes = text(call);
    call.ret(Value::num(f64::from(encoding::crc32(&bytes))))
}

fn hmac_sha1<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() != 2 {
        return Err(call.error(format!("expecting 2 arguments, but got {}", call.len())));
    }
    let (key, bytes) = (call.bytes(0)?, call.bytes(1)?);
    call.charge((key.len() + bytes.len()) / 8);
    let out = encoding::hmac_sha1(key, bytes).to_vec();
    give(call, out)
}

fn md5<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let bytes = text(call);
    give(call, encoding::md5(&bytes))
}

fn md5_bin<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let bytes = text(call);
    give(call, encoding::md5_bin(&bytes).to_vec())
}

fn sha1_bin<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let bytes = text(call);
    give(call, encoding::sha1_bin(&bytes).to_vec())
}

fn sha1_hex<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let bytes = text(call);
    give(call, encoding::hex(&encoding::sha1_bin(&bytes)))
}

fn quote_pgsql_str<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let text = text(call);
    call.reserve(text.len() * 5)?;
    give(call, encoding::quote_pgsql_str(&text))
}

fn quote_json_str<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let text = text(call);
    call.reserve(text.len() * 6)?;
    give(call, encoding::quote_json_str(&text))
}

fn base64url<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let bytes = text(call);
    call.reserve(bytes.len() * 2)?;
    give(call, encoding::encode_base64url(&bytes))
}

/// The functions that can fail answer nil then.
fn decoded<'gc>(call: &mut Call<'_, 'gc>, decode: fn(&[u8]) -> Option<Vec<u8>>) -> Reply<'gc> {
    let text = text(call);
    call.reserve(text.len())?;
    match decode(&text) {
        Some(bytes) => give(call, bytes),
        None => call.ret(Value::NIL),
    }
}

fn decode_base64url<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    decoded(call, encoding::decode_base64url)
}

fn decode_hex<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    decoded(call, encoding::unhex)
}

fn encode_hex<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let bytes = text(call);
    call.reserve(bytes.len() * 2)?;
    give(call, encoding::hex(&bytes))
}

fn quote_sql_str<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() != 1 {
        return Err(call.error("expecting one argument"));
    }
    let text = call.bytes(0)?;
    call.reserve(text.len() * 2)?;
    let out = encoding::quote_sql_str(text);
    give(call, out)
}

fn unknown_directive<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let name = String::from_utf8_lossy(&call.cx.raw_tostring(call.arg(1))).into_owned();
    Err(call.error(format!("ndk.set_var: directive \"{name}\" not found or does not use ndk_set_var_value")))
}

fn not_allowed<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    Err(call.error("not allowed"))
}
