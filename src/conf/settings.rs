//! Everything that a level (http, server, location, `if`) hands down to the levels inside it.
//!
//! A field is None where its level says nothing; `inherit` fills the gaps from the level outside, which is how nginx merges.
//! Defaults live in the accessors' callers, beside the use, or in `Settings::or_default`-style methods at the end.

use std::collections::HashMap;
use std::sync::Arc;

use ngx::code::Code;
use ngx::log::Level;
use ngx::tls::{Client, PemFile, Protocols};

use super::regex::Regex;
use super::scalar;
use super::value::{Value, VarId};
use crate::http::modules::access::Rule;
use crate::http::modules::referer::Referers;
use crate::http::modules::secure_link::SecureLink;
use crate::http::modules::{autoindex, limit_conn, limit_req, realip};
use crate::log::buffer::OpenFiles;
use crate::log::{AccessLog, ErrorLog, LogFile};

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        #[derive(Clone, Debug, Default)]
        pub struct Settings { $($(#[$doc])* pub $name: Option<$type>,)* }

        impl Settings {
            pub fn inherit(&mut self, outer: &Settings) {
                $(if self.$name.is_none() { self.$name = outer.$name.clone(); })*
            }
        }
    };
}

settings! {
    root: Root,
    index: Arc<[Value]>,
    default_type: Arc<[u8]>,
    types: Arc<HashMap<Vec<u8>, Arc<[u8]>>>,
    charset: Value,
    source_charset: Value,
    override_charset: bool,
    charset_types: Arc<[Vec<u8>]>,
    gzip: bool,
    gzip_types: Arc<[Vec<u8>]>,
    gzip_min_length: u64,
    gzip_comp_level: u64,
    gzip_vary: bool,
    gzip_http_version: u8,
    gzip_proxied: Arc<[Proxied]>,
    gzip_disable: Arc<[Regex]>,
    gunzip: bool,
    gzip_static: GzipStatic,
    /// What to find, and what to put there.
    sub_filter: Arc<[(Value, Value)]>,
    sub_filter_types: Arc<[Vec<u8>]>,
    sub_filter_once: bool,
    sub_filter_last_modified: bool,
    add_before_body: Vec<u8>,
    add_after_body: Vec<u8>,
    addition_types: Arc<[Vec<u8>]>,
    userid: UserId,
    userid_service: u32,
    userid_name: Vec<u8>,
    userid_domain: Vec<u8>,
    userid_path: Vec<u8>,
    /// Seconds; `max` is the largest number; None: a cookie for the session.
    userid_expires: Option<u64>,
    userid_flags: Vec<Vec<u8>>,
    userid_p3p: Vec<u8>,
    userid_mark: Option<u8>,
    access: Arc<[Rule]>,
    auth_basic: Value,
    auth_basic_user_file: Value,
    auth_delay: u64,
    /// Empty: off.
    auth_request: Vec<u8>,
    auth_request_set: Arc<[(VarId, Value)]>,
    real_ip_from: Arc<[realip::Trusted]>,
    real_ip_header: realip::From,
    real_ip_recursive: bool,
    valid_referers: Arc<Referers>,
    secure_link: SecureLink,
    secure_link_md5: Value,
    limit_req: Arc<[limit_req::Limit]>,
    limit_req_status: u16,
    limit_req_log_level: Level,
    limit_req_dry_run: bool,
    limit_conn: Arc<[limit_conn::Limit]>,
    limit_conn_status: u16,
    limit_conn_log_level: Level,
    limit_conn_dry_run: bool,
    autoindex: bool,
    autoindex_format: autoindex::Format,
    autoindex_exact_size: bool,
    autoindex_localtime: bool,
    random_index: bool,
    /// Empty: off.
    mirror: Arc<[Vec<u8>]>,
    mirror_request_body: bool,
    keepalive_disable: KeepaliveDisable,
    limit_rate: Value,
    limit_rate_after: Value,
    server_tokens: Tokens,
    error_log: Arc<[ErrorLog]>,
    /// Empty: `access_log off`.
    access_log: Arc<[AccessLog]>,
    /// None: `open_log_file_cache off`.
    open_log_files: Option<Arc<OpenFiles>>,
    /// None: off.
    open_file_cache: Option<Arc<crate::http::open_files::Conf>>,
    open_file_cache_valid: u64,
    open_file_cache_min_uses: u64,
    open_file_cache_errors: bool,
    disable_symlinks: crate::http::symlinks::Rule,
    set_base32_padding: bool,
    set_base32_alphabet: Vec<u8>,
    log_not_found: bool,
    log_subrequest: bool,
    error_page: Arc<[ErrorPage]>,
    recursive_error_pages: bool,
    add_header: Arc<[AddHeader]>,
    more_headers: Arc<[MoreHeader]>,
    add_trailer: Arc<[AddHeader]>,
    expires: Expires,
    try_files: Arc<TryFiles>,
    client_max_body_size: u64,
    client_body_buffer_size: u64,
    client_body_timeout: u64,
    client_body_in_file_only: bool,
    client_body_in_single_buffer: bool,
    client_body_temp_path: Vec<u8>,
    client_header_timeout: u64,
    client_header_buffer_size: u64,
    large_client_header_buffers: (u64, u64),
    underscores_in_headers: bool,
    ignore_invalid_headers: bool,
    merge_slashes: bool,
    keepalive_timeout: u64,
    keepalive_header: u64,
    keepalive_requests: u64,
    keepalive_time: u64,
    send_timeout: u64,
    lingering_close: Lingering,
    lingering_time: u64,
    lingering_timeout: u64,
    reset_timedout_connection: bool,
    chunked_transfer_encoding: bool,
    etag: bool,
    if_modified_since: IfModified,
    max_ranges: u64,
    port_in_redirect: bool,
    absolute_redirect: bool,
    server_name_in_redirect: bool,
    msie_padding: bool,
    postpone_output: u64,
    sendfile: bool,
    tcp_nodelay: bool,
    tcp_nopush: bool,
    resolver: Arc<ngx::resolver::Servers>,
    resolver_timeout: u64,
    satisfy_any: bool,
    rewrite_log: bool,
    uninitialized_variable_warn: bool,
    // lua
    lua_rewrite: Arc<Code>,
    lua_access: Arc<Code>,
    access_by_lua_no_postpone: bool,
    rewrite_by_lua_no_postpone: bool,
    precontent_by_lua_no_postpone: bool,
    lua_server_rewrite: Arc<Code>,
    lua_precontent: Arc<Code>,
    lua_header_filter: Arc<Code>,
    lua_body_filter: Arc<Code>,
    lua_log: Arc<Code>,
    lua_socket_connect_timeout: u64,
    lua_socket_send_timeout: u64,
    lua_socket_read_timeout: u64,
    lua_socket_keepalive_timeout: u64,
    lua_socket_pool_size: u64,
    lua_socket_buffer_size: u64,
    lua_socket_log_errors: bool,
    lua_need_request_body: bool,
    lua_http10_buffering: bool,
    lua_transform_underscores: bool,
    lua_check_client_abort: bool,
    lua_use_default_type: bool,
    lua_code_cache: bool,
    lua_ssl_protocols: Protocols,
    lua_ssl_ciphers: String,
    /// None: an empty name, which takes back what an outer level says.
    lua_ssl_certificate: Option<PemFile>,
    lua_ssl_certificate_key: Option<PemFile>,
    lua_ssl_trusted_certificate: Option<PemFile>,
    lua_ssl_crl: Option<PemFile>,
    lua_ssl_verify_depth: u64,
    lua_ssl_key_log: Arc<LogFile>,
    lua_ssl_conf_commands: Arc<[(String, String)]>,
    /// What is made of them.
    lua_tls: Arc<Client>,
}

#[derive(Clone, Debug)]
pub struct Root {
    pub path: Value,
    /// `alias`: the location's own prefix is cut off the URI first; holds how many bytes that are.
    pub alias: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tokens {
    On,
    Off,
    Build,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lingering {
    Off,
    On,
    Always,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum IfModified {
    Off,
    Exact,
    Before,
}

#[derive(Clone, Debug)]
pub struct ErrorPage {
    pub status: u16,
    /// `=200`: Some(200); `=`: Some(0), the target's own status; otherwise None.
    pub answer: Option<u16>,
    pub target: Value,
}

#[derive(Clone, Debug)]
pub struct AddHeader {
    pub name: Vec<u8>,
    pub value: Value,
    pub always: bool,
}

#[derive(Clone, Debug)]
pub enum Expires {
    Off,
    Epoch,
    Max,
    /// Seconds from now, or from when the file was changed.
    After(i64),
    Modified(i64),
    /// At that second of the day.
    Daily(i64),
    /// One of the others, as text.
    Variable(Value),
}

impl Expires {
    /// `off`, `epoch`, `max`, `[modified] TIME`, `@TIME`; times may be negative.
    pub fn parse(text: &[u8]) -> Option<Expires> {
        let seconds = |word: &[u8]| {
            let (sign, digits) = match word.strip_prefix(b"-") {
                Some(digits) => (-1, digits),
                None => (1, word.strip_prefix(b"+").unwrap_or(word)),
            };
            scalar::sec(digits).and_then(|n| i64::try_from(n).ok()).map(|n| n * sign)
        };
        Some(match text {
            b"off" => Expires::Off,
            b"epoch" => Expires::Epoch,
            b"max" => Expires::Max,
            text => match (text.strip_prefix(b"modified "), text.strip_prefix(b"@")) {
                (Some(time), _) => Expires::Modified(seconds(time)?),
                (_, Some(time)) => Expires::Daily(seconds(time).filter(|time| (0..86_400).contains(time))?),
                _ => Expires::After(seconds(text)?),
            },
        })
    }
}

/// Browsers that cannot keep connections alive.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KeepaliveDisable {
    /// Old ones of Microsoft, behind a POST.
    pub msie6: bool,
    pub safari: bool,
}

/// `gzip_proxied`
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Proxied {
    Off,
    Any,
    Auth,
    Expired,
    NoCache,
    NoStore,
    Private,
    NoLastModified,
    NoEtag,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GzipStatic {
    Off,
    On,
    Always,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UserId {
    Off,
    Log,
    V1,
    On,
}

/// One instruction of `more_set_headers`, `more_clear_headers`, `more_set_input_headers`, `more_clear_input_headers`.
#[derive(Clone, Debug)]
pub struct MoreHeader {
    pub input: bool,
    pub name: Vec<u8>,
    /// None: clear.
    pub value: Option<Value>,
    pub statuses: Vec<u16>,
    pub types: Vec<Vec<u8>>,
    /// `-r`: only where the header is there already.
    pub replace: bool,
    /// `-a`: append a line.
    pub append: bool,
}

#[derive(Clone, Debug)]
pub struct TryFiles {
    /// The value, and whether a directory is meant (a trailing slash in the configuration).
    pub files: Vec<(Value, bool)>,
    pub last: TryLast,
}

#[derive(Clone, Debug)]
pub enum TryLast {
    Uri(Value),
    Named(Vec<u8>),
    Status(u16),
}
