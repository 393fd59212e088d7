//! The text encodings of the ngx API: URI escaping, query arguments, base64, SQL and JSON quoting, digests and checksums.
//!
//! Bytes in, bytes out; nothing here fails but decoders, which answer `None` where Lua gets nil. Results are byte for
//! byte those of lua-nginx-module, whose tables and odd cases each file names.

mod base32;
mod base64;
mod digest;
mod quote;
mod uri;

pub use base32::{decode_base32, encode_base32};
pub use base64::{decode_base64, decode_base64mime, decode_base64url, encode_base64, encode_base64url};
pub use digest::{crc32, hex, hmac_sha1, hmac_sha256, md5, md5_bin, sha1_bin, unhex};
pub use quote::{quote_json_str, quote_pgsql_str, quote_sql_str};
pub(crate) use uri::hex_digit;
pub use uri::{ArgValue, Args, Escape, decode_args, encode_args, escape_uri, unescape_uri, uri_args};
