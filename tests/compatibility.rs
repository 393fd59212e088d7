//! COMPATIBILITY.md's tables are written by the program itself: from the rows of the directive tables, and by asking a server
//! which functions it has, and from the list of lua-nginx-module's names (`lua_module`). BLESS=1 writes them anew.

use std::collections::BTreeMap;
use std::fmt::Write;

use perilune::conf::directives::{Block, TABLES, context};

use crate::support::Server;

#[test]
fn tables_are_up_to_date() {
    check("directives", &directive_table());
    check("api", &api_table());
    check("names", &crate::lua_module::table());
}

/// Compares what stands between the markers with what should.
fn check(name: &str, expected: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/COMPATIBILITY.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (begin, end) =
        (format!("<!-- {name}: written by tests/compatibility.rs -->\n"), format!("<!-- end of {name} -->\n"));
    let (before, rest) = text.split_once(&begin).expect("the marker");
    let (now, after) = rest.split_once(&end).expect("the end marker");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, format!("{before}{begin}{expected}{end}{after}")).unwrap();
        return;
    }
    let missing: Vec<&str> = expected.lines().filter(|line| !now.lines().any(|have| have == *line)).collect();
    assert!(now == expected, "COMPATIBILITY.md is not up to date (BLESS=1 writes it): {missing:#?}");
}

const CONTEXTS: &[(u32, &str)] = &[
    (context::MAIN, "main"),
    (context::EVENTS, "events"),
    (context::HTTP, "http"),
    (context::SERVER, "server"),
    (context::LOCATION, "location"),
    (context::SERVER_IF, "if in server"),
    (context::LOCATION_IF, "if in location"),
    (context::LIMIT_EXCEPT, "limit_except"),
];

fn directive_table() -> String {
    let mut rows: BTreeMap<&str, (u32, u32, bool)> = BTreeMap::new();
    for row in TABLES.iter().copied().flatten() {
        let entry = rows.entry(row.name).or_insert((0, 0, false));
        *entry = (entry.0 | row.at, entry.1 | row.args, entry.2 | row.block.is_block());
        assert!(!matches!(row.block, Block::Lua) || row.name.ends_with("_block"), "{}", row.name);
    }
    let idle = without_effect();
    let mut out = String::from("| directive | contexts | arguments | |\n|---|---|---|---|\n");
    for (name, (at, args, block)) in rows {
        let contexts: Vec<&str> = CONTEXTS.iter().filter(|(bit, _)| at & bit != 0).map(|(_, name)| *name).collect();
        let note = if idle.contains(&name.to_string()) { "accepted, without effect" } else { "" };
        let block = if block { " { }" } else { "" };
        let _ = writeln!(out, "| `{name}{block}` | {} | {} | {note} |", contexts.join(", "), counts(args));
    }
    out
}

fn counts(args: u32) -> String {
    let listed = |range: std::ops::Range<u32>| {
        let numbers: Vec<String> = range.filter(|n| args & (1 << n) != 0).map(|n| n.to_string()).collect();
        numbers.join(", ")
    };
    if args & (1 << 31) == 0 {
        return listed(0..31);
    }
    match args.trailing_zeros() {
        0 => "any number".to_string(),
        least => format!("{least} or more"),
    }
}

/// The rows whose setter is one of the two that do nothing, read from the source, where two functions that are alike are still
/// two functions.
fn without_effect() -> Vec<String> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/conf/directives");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines().map(str::trim) {
            let Some(rest) = line.strip_prefix("row(\"") else { continue };
            if rest.ends_with(", nothing),") || rest.ends_with(", nothing_flag),") {
                names.push(rest.split('"').next().unwrap().to_string());
            }
        }
    }
    assert!(names.len() > 10, "the rows are written in another way now");
    names
}

/// What lua-nginx-module 0.10.23 and the modules that OpenResty ships beside it offer: heading, the Lua expression in front of
/// each name, names.
const API: &[(&str, &str, &str)] = &[
    (
        "ngx",
        "ngx.",
        "arg ctx var header status null is_subrequest headers_sent resp say print flush eof exit exec redirect log \
         send_headers sleep on_abort now time update_time today localtime utctime http_time cookie_time parse_http_time \
         get_phase escape_uri unescape_uri encode_args decode_args encode_base64 decode_base64 md5 md5_bin sha1_bin \
         hmac_sha1 crc32_short crc32_long quote_sql_str run_worker_thread",
    ),
    (
        "ngx.req",
        "ngx.req.",
        "get_method set_method get_headers set_header clear_header get_uri_args set_uri_args get_post_args read_body \
         discard_body get_body_data get_body_file set_body_data set_body_file init_body append_body finish_body set_uri \
         http_version start_time raw_header is_internal socket",
    ),
    ("ngx.resp", "ngx.resp.", "get_headers"),
    ("ngx.location", "ngx.location.", "capture capture_multi"),
    ("ngx.re", "ngx.re.", "match find gmatch sub gsub"),
    ("ngx.thread", "ngx.thread.", "spawn wait kill"),
    ("ngx.timer", "ngx.timer.", "at every running_count pending_count"),
    ("ngx.worker", "ngx.worker.", "id pid pids count exiting"),
    ("ngx.config", "ngx.config.", "subsystem debug prefix nginx_version nginx_configure ngx_lua_version"),
    ("ngx.socket", "ngx.socket.", "tcp udp stream connect"),
    (
        "tcpsock",
        "ngx.socket.tcp().",
        "bind connect setclientcert sslhandshake send receive receiveany receiveuntil close settimeout settimeouts \
         setoption setkeepalive getreusedtimes settrustedstore getsslsession getfd getsslpointer getsslctx",
    ),
    ("udpsock", "ngx.socket.udp().", "setpeername send receive close settimeout bind"),
    (
        "ngx.shared.DICT",
        "ngx.shared.d.",
        "get get_stale set safe_set add safe_add replace delete incr lpush rpush lpop rpop llen ttl expire flush_all \
         flush_expired get_keys capacity free_space",
    ),
    ("coroutine", "coroutine.", "create resume yield wrap running status isyieldable"),
    ("ngx.semaphore", "require('ngx.semaphore').new().", "post wait count"),
    ("ngx.balancer", "require('ngx.balancer').", "set_current_peer set_more_tries get_last_failure set_timeouts"),
    (
        "ngx.ssl",
        "require('ngx.ssl').",
        "set_der_cert set_der_priv_key cert_pem_to_der priv_key_pem_to_der server_name clear_certs parse_pem_cert \
         parse_pem_priv_key parse_der_cert parse_der_priv_key set_cert set_priv_key verify_client",
    ),
    ("ngx.ocsp", "require('ngx.ocsp').", "get_ocsp_responder_from_der_chain set_ocsp_status_resp"),
    ("ngx.errlog", "require('ngx.errlog').", "set_filter_level get_logs get_sys_filter_level raw_log"),
    ("ngx.process", "require('ngx.process').", "type enable_privileged_agent signal_graceful_exit get_master_pid"),
    ("ngx.resp (module)", "require('ngx.resp').", "add_header"),
    ("ngx.req (module)", "require('ngx.req').", "add_header"),
    ("ngx.base64", "require('ngx.base64').", "encode_base64url decode_base64url"),
    ("ngx.re (module)", "require('ngx.re').", "split opt"),
    ("ngx.pipe", "require('ngx.pipe').", "spawn"),
    (
        "ngx.pipe process",
        "require('ngx.pipe').spawn('true').",
        "pid set_timeouts write shutdown wait kill stdout_read_all stdout_read_line stdout_read_bytes stdout_read_any \
         stderr_read_all stderr_read_line stderr_read_bytes stderr_read_any",
    ),
    ("resty.core", "require('resty.core').", "version"),
    ("resty.core.regex", "require('resty.core.regex').", "is_regex_cache_empty"),
    ("resty.lrucache", "require('resty.lrucache').", "new get set delete count capacity get_keys flush_all"),
    ("resty.lock", "require('resty.lock').", "new lock unlock expire"),
    (
        "resty.worker.events",
        "require('resty.worker.events').",
        "configure configured post post_local poll register register_weak unregister event_list",
    ),
    ("resty.string", "require('resty.string').", "to_hex atoi"),
    ("resty.md5", "require('resty.md5').", "new"),
    (
        "cjson",
        "require('cjson').",
        "encode decode null empty_array array_mt new encode_sparse_array decode_array_with_array_mt",
    ),
    ("cjson.safe", "require('cjson.safe').", "encode decode"),
    ("bit", "bit.", "tobit tohex bnot band bor bxor lshift rshift arshift rol ror bswap"),
    ("table", "table.", "concat insert remove sort unpack pack maxn move"),
    ("table (LuaJIT's modules)", "require('table.", "new') clear') nkeys') clone') isarray') isempty')"),
    ("string.buffer", "require('string.buffer').", "new encode decode"),
    ("ffi", "require('ffi').", "cdef new cast string copy C"),
    ("jit", "jit.", "version version_num os arch on off status"),
    (
        "debug",
        "debug.",
        "traceback getinfo getlocal setlocal getupvalue setupvalue upvalueid upvaluejoin sethook gethook getmetatable setmetatable getfenv setfenv getregistry",
    ),
    ("io", "io.", "open lines read write output input popen tmpfile type close stdout stderr stdin"),
    ("os", "os.", "clock date difftime execute exit getenv remove rename setlocale time tmpname"),
];

fn api_table() -> String {
    let mut lua =
        String::from("local function has(f) local ok, v = pcall(f) ngx.print(ok and v ~= nil and '1' or '0') end\n");
    for (_, before, names) in API {
        for name in names.split_whitespace() {
            let _ = writeln!(lua, "has(function() return {before}{name} end)");
        }
    }
    let http =
        "lua_shared_dict d 100k; server { listen 127.0.0.1:PORT; location / { content_by_lua_file probe.lua; } }";
    let server = Server::start(http, &[("probe.lua", &lua)]);
    let answer = server.body("/");
    let mut answers = answer.chars();
    let mut out = String::from("| | has | has not yet |\n|---|---|---|\n");
    for (heading, _, names) in API {
        let mut columns = [Vec::new(), Vec::new()];
        for name in names.split_whitespace() {
            let column = match answers.next() {
                Some('1') => 0,
                Some('0') => 1,
                _ => panic!("the probe ended early: {answer}\n{}", server.log()),
            };
            columns[column].push(format!("`{}`", name.trim_end_matches("')")));
        }
        let _ = writeln!(out, "| {heading} | {} | {} |", columns[0].join(" "), columns[1].join(" "));
    }
    out
}
