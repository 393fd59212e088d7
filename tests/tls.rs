//! TLS over cosockets against servers inside of this program. What is expected, words and log lines, is what OpenResty (with
//! OpenSSL 3.0) says to the same servers, but for what a row explains.

use std::sync::atomic::Ordering;

use crate::support::Server;
use crate::support::tls::{CERTIFICATES, Kind, TlsPeer, pem, supported};

/// The functions that the snippets are written with.
const LUA: &str = r##"
local M = {}
function M.show(...)
    local out = {}
    for i = 1, select("#", ...) do
        local v = (select(i, ...))
        out[i] = type(v) == "cdata" and "cdata" or tostring(v)
    end
    return table.concat(out, " ")
end
function M.say(...) ngx.say(M.show(...)) end
function M.open(port)
    local sock = ngx.socket.tcp()
    sock:settimeouts(60000, 60000, 60000)
    assert(sock:connect("127.0.0.1", port))
    return sock
end
function M.ask(sock, line)
    assert(sock:send(line .. "\n"))
    return sock:receive()
end
return M
"##;

const OLD: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];

/// A server with a location for each snippet: directives, and the code that `$arg_p` and so on are the ports for.
fn server(main: &str, rows: &[(&str, &str)]) -> Server {
    let locations: String = rows
        .iter()
        .enumerate()
        .map(|(at, (directives, code))| {
            let code = format!("local t = require('tls') local port = tonumber(ngx.var.arg_p) {code}");
            format!("location = /{at} {{ {directives} content_by_lua_block {{ {code} }} }}\n")
        })
        .collect();
    let http = format!(
        "lua_package_path '${{prefix}}?.lua;;'; lua_shared_dict d 100k;
        server {{ listen 127.0.0.1:PORT; {locations} location = /status {{ perilune_status; }} }}"
    )
    .replace("FILES", CERTIFICATES);
    Server::with_main(
        &format!("worker_processes 1; error_log logs/error.log debug; {main}"),
        &http,
        &[("tls.lua", LUA)],
    )
}

fn run(server: &Server, at: usize, peer: &TlsPeer) -> String {
    server.body(&format!("/{at}?p={}", peer.port)).trim_end().to_string()
}

/// Lines of the error log at and above `warn`, without times and tails.
fn complaints(server: &Server) -> Vec<String> {
    let line = |line: &str| {
        let (_, rest) = line.split_once(" [")?;
        let (level, rest) = rest.split_once("] ")?;
        let message = rest.split_once(": ")?.1.split(", client: ").next()?;
        let message = message.strip_prefix('*').and_then(|m| m.split_once(' ')).map_or(message, |(_, m)| m);
        matches!(level, "warn" | "error" | "crit" | "alert").then(|| format!("[{level}] {message}"))
    };
    server.log().lines().filter_map(line).collect()
}

#[test]
fn certificates_are_judged() {
    if !supported() {
        return;
    }
    const CA: &str = "lua_ssl_trusted_certificate FILES/ca.crt;";
    const NONE: &str = "";
    const OTHER: &str = "lua_ssl_trusted_certificate FILES/other.crt;";
    let rows: &[(&str, &str, &str, &str)] = &[
        (CA, "good", "good.test", "cdata"),
        (CA, "good", "GOOD.test", "cdata"),
        (CA, "good", "a.wild.test", "cdata"),
        (CA, "good", "a.b.wild.test", "nil certificate host mismatch"),
        (CA, "good", "bad.test", "nil certificate host mismatch"),
        (CA, "good", "127.0.0.1", "nil certificate host mismatch"),
        (CA, "rsa", "rsa.test", "cdata"),
        // Without names in its extensions the common name is looked at.
        (CA, "version1", "version1.test", "cdata"),
        (CA, "version1", "other.test", "nil certificate host mismatch"),
        (OTHER, "version1", "version1.test", "nil 21: unable to verify the first certificate"),
        (NONE, "version1", "version1.test", "nil 20: unable to get local issuer certificate"),
        (CA, "chain", "chain.test", "cdata"),
        // The depth counts what stands between the server and the root.
        (
            "lua_ssl_trusted_certificate FILES/ca.crt; lua_ssl_verify_depth 0;",
            "chain",
            "chain.test",
            "nil 20: unable to get local issuer certificate",
        ),
        ("lua_ssl_trusted_certificate FILES/ca.crt; lua_ssl_verify_depth 0;", "good", "good.test", "cdata"),
        (OTHER, "chain", "chain.test", "nil 20: unable to get local issuer certificate"),
        (OTHER, "good", "good.test", "nil 21: unable to verify the first certificate"),
        (NONE, "good", "good.test", "nil 20: unable to get local issuer certificate"),
        // An intermediate certificate is nothing to trust by itself.
        (
            "lua_ssl_trusted_certificate FILES/inter.crt;",
            "chain",
            "chain.test",
            "nil 2: unable to get issuer certificate",
        ),
        (
            "lua_ssl_trusted_certificate FILES/good.crt;",
            "good",
            "good.test",
            "nil 21: unable to verify the first certificate",
        ),
        (CA, "self", "self.test", "nil 18: self-signed certificate"),
        (NONE, "self", "self.test", "nil 18: self-signed certificate"),
        ("lua_ssl_trusted_certificate FILES/self.crt;", "self", "self.test", "cdata"),
        ("lua_ssl_trusted_certificate FILES/self.crt;", "self", "x.test", "nil certificate host mismatch"),
        (CA, "expired", "expired.test", "nil 10: certificate has expired"),
        (OTHER, "expired", "expired.test", "nil 10: certificate has expired"),
        (NONE, "expired", "expired.test", "nil 20: unable to get local issuer certificate"),
        (CA, "future", "future.test", "nil 9: certificate is not yet valid"),
        // It may be shown by clients only.
        (CA, "client", "client.test", "nil 26: unsuitable certificate purpose"),
        (CA, "revoked", "revoked.test", "cdata"),
        (
            "lua_ssl_trusted_certificate FILES/ca.crt; lua_ssl_crl FILES/ca.crl;",
            "revoked",
            "revoked.test",
            "nil 23: certificate revoked",
        ),
        ("lua_ssl_trusted_certificate FILES/ca.crt; lua_ssl_crl FILES/ca.crl;", "good", "good.test", "cdata"),
        ("lua_ssl_trusted_certificate FILES/ca.crt; lua_ssl_crl FILES/ca.crl;", "version1", "version1.test", "cdata"),
        (
            "lua_ssl_trusted_certificate FILES/ca.crt; lua_ssl_crl FILES/old.crl;",
            "revoked",
            "revoked.test",
            "nil 12: CRL has expired",
        ),
        (
            "lua_ssl_trusted_certificate FILES/ca.crt; lua_ssl_crl FILES/old.crl;",
            "good",
            "good.test",
            "nil 12: CRL has expired",
        ),
        (
            "lua_ssl_trusted_certificate FILES/ca.crt; lua_ssl_crl FILES/old.crl;",
            "version1",
            "version1.test",
            "nil 12: CRL has expired",
        ),
        (
            "lua_ssl_trusted_certificate FILES/ca.crt; lua_ssl_crl FILES/ca.crl;",
            "chain",
            "chain.test",
            "nil 3: unable to get certificate CRL",
        ),
        (
            "lua_ssl_trusted_certificate FILES/self.crt; lua_ssl_crl FILES/ca.crl;",
            "self",
            "self.test",
            "nil 3: unable to get certificate CRL",
        ),
    ];
    let codes: Vec<String> = rows
        .iter()
        .map(|(.., name, _)| {
            format!("local s = t.open(port) t.say(s:sslhandshake(nil, '{name}', true)) if ngx.var.arg_q then t.say(s:send('x')) end")
        })
        .collect();
    let locations: Vec<(&str, &str)> =
        rows.iter().zip(&codes).map(|((directives, ..), code)| (*directives, code.as_str())).collect();
    let server = server("", &locations);
    for (at, (directives, peer, name, expected)) in rows.iter().enumerate() {
        let peer = TlsPeer::named(peer);
        assert_eq!(run(&server, at, &peer), *expected, "{directives} {name}\n{:#?}", complaints(&server));
        // (the handshake itself comes to its end)
        (0..5000).find(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            peer.handshakes.load(Ordering::SeqCst) == 1
        });
        assert_eq!(peer.handshakes.load(Ordering::SeqCst), 1, "{directives} {name}");
    }
    let count = |text: &str| complaints(&server).iter().filter(|line| line.as_str() == text).count();
    assert_eq!(count("[error] lua ssl certificate verify error: (18: self-signed certificate)"), 2);
    assert_eq!(count("[error] lua ssl certificate does not match host \"bad.test\""), 1);
    assert!(server.log().contains("lua ssl server name: \"good.test\""));
    // The connection is gone.
    let peer = TlsPeer::named("good");
    assert_eq!(server.body(&format!("/4?q=1&p={}", peer.port)), "nil certificate host mismatch\nnil closed\n");
}

#[test]
fn handshakes_that_fail() {
    if !supported() {
        return;
    }
    static ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 40];
    let code = "local s = t.open(port) if ngx.var.arg_ms then s:settimeout(20) end
        t.say(s:sslhandshake()) t.say(s:send('x')) t.say(s:receive()) t.say(s:sslhandshake())";
    const AFTER: &str = "nil closed\nnil closed\nnil closed";
    let server = server("", &[("", code), ("lua_socket_log_errors off;", code)]);
    let row = |instead, args: &str, expected: &str, log: &[&str]| {
        let peer = TlsPeer::start(Kind { instead: Some(instead), ..Kind::default() });
        for at in [0, 1] {
            let before = complaints(&server).len();
            let said = server.body(&format!("/{at}?p={}{args}", peer.port));
            assert_eq!(said.trim_end(), format!("{expected}\n{AFTER}"));
            let logged: Vec<String> = complaints(&server).split_off(before);
            let logged: Vec<&str> =
                logged.iter().map(String::as_str).filter(|line| !line.contains("a closed socket")).collect();
            // (what OpenSSL has to say is logged in any case)
            assert_eq!(logged, log);
        }
    };
    row(
        Some(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        "",
        "nil handshake failed",
        &["[error] SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number)"],
    );
    row(
        Some(ALERT),
        "",
        "nil handshake failed",
        &[
            "[error] SSL_do_handshake() failed (SSL: error:0A000410:SSL routines::sslv3 alert handshake failure:SSL alert number 40)",
        ],
    );
    row(None, "", "nil handshake failed", &["[error] peer closed connection in SSL handshake"]);
    row(Some(b"gate"), "&ms=20", "nil timeout", &[]);
}

/// Keys that we can do nothing with are named; so is a server that has another key than it shows.
#[test]
fn keys_that_do_not_serve() {
    if !supported() {
        return;
    }
    let server = server("", &[("", "local s = t.open(port) t.say(s:sslhandshake())")]);
    for versions in [OLD, rustls::ALL_VERSIONS] {
        for (name, reason) in [
            ("short", "the server's key is an RSA key of 1024 bits, which is not supported"),
            ("curve", "the server's key is one for a curve other than P-256 and P-384, which is not supported"),
            ("self", "error:0A00007B:SSL routines::bad signature"),
        ] {
            let peer = TlsPeer::start(Kind { name, key: Some("good"), versions, ..Kind::default() });
            assert_eq!(run(&server, 0, &peer), "nil handshake failed");
            let line = format!("[crit] SSL_do_handshake() failed (SSL: {reason})");
            assert_eq!(complaints(&server).last(), Some(&line), "{name}");
        }
    }
}

#[test]
fn a_peer_that_breaks_off() {
    if !supported() {
        return;
    }
    let server = server(
        "",
        &[(
            "",
            "local s = t.open(port) s:sslhandshake(false) s:send(ngx.var.arg_say .. '\\n') t.say(s:receive()) t.say(s:close())",
        )],
    );
    let rows = [
        // A goodbye or none: nginx has OpenSSL not mind.
        ("half", "nil closed par\n1", None),
        ("cut", "nil closed par\n1", None),
        (
            "junk",
            "nil error \n1",
            Some("[error] SSL_read() failed (SSL: error:0A00010B:SSL routines::wrong version number)"),
        ),
    ];
    for (say, expected, log) in rows {
        let peer = TlsPeer::named("good");
        let before = complaints(&server).len();
        assert_eq!(server.body(&format!("/0?p={}&say={say}", peer.port)).trim_end(), expected);
        let logged = complaints(&server).split_off(before);
        assert_eq!(logged.first().map(String::as_str), log, "{say}");
    }
}

#[test]
fn sessions() {
    if !supported() {
        return;
    }
    const TWICE: &str = "
        local s, session = t.open(port)
        session = s:sslhandshake(nil, 'good.test') t.say(t.ask(s, 'who')) t.say(type(s:getsslsession())) s:close()
        for i = 1, 2 do
            s = t.open(port)
            local again = s:sslhandshake(session, 'good.test')
            t.say(type(again), t.ask(s, 'who'))
            session = i == 1 and again or s:getsslsession()
            s:close()
        end
        s = t.open(port) t.say(s:sslhandshake(false)) t.say(t.ask(s, 'who'))
        t.say(s:sslhandshake(), s:sslhandshake(false), s:sslhandshake(session) == session)
        session = nil s = nil collectgarbage() collectgarbage()";
    let server = server(
        "",
        &[
            ("lua_ssl_protocols TLSv1.2;", TWICE),
            ("lua_ssl_protocols TLSv1.2 TLSv1.3;", TWICE),
            (
                "",
                "local s = t.open(port) t.say(s:getsslsession()) s:sslhandshake() t.say(s:getsslsession()) s:close() t.say(s:getsslsession())",
            ),
            // A session does not make a server trusted that was not.
            (
                "lua_ssl_trusted_certificate FILES/other.crt;",
                "local s = t.open(port) local session = s:sslhandshake() t.ask(s, 'who') s:close()
                 s = t.open(port) t.say(s:sslhandshake(session, nil, true))",
            ),
        ],
    );
    let expected = "good.test new 0\ncdata\ncdata good.test resumed 0\ncdata good.test resumed 0\ntrue\n(none) new 0\ncdata true true";
    let peer = TlsPeer::named("good");
    assert_eq!(run(&server, 0, &peer), expected, "{}", server.log());
    assert_eq!(run(&server, 1, &peer), expected, "{}", server.log());
    assert_eq!(run(&server, 2, &peer), "nil no session\nnil not resumable\nnil closed");
    assert_eq!(run(&server, 3, &peer), "nil 21: unable to verify the first certificate");
    let log = server.log();
    assert_eq!(log.matches("SSL reused session").count(), 5);
    let address = |text: &str| {
        let (_, rest) = log.split_once(text)?;
        rest.split([' ', ',', '\n']).find(|word| !word.is_empty()).map(str::to_string)
    };
    // One object all along.
    assert_eq!(address("lua ssl save session:"), address("lua ssl set session:"));
    let first = address("lua ssl save session:").unwrap_or_default();
    assert!(log.contains(&format!("lua ssl free session: {first}")));
    assert_eq!(first.len(), 16);
    assert!(log.contains(
        "SSL: TLSv1.2, cipher: \"ECDHE-ECDSA-AES256-GCM-SHA384 TLSv1.2 Kx=ECDH Au=ECDSA Enc=AESGCM(256) Mac=AEAD\""
    ));
    assert!(
        log.contains("SSL: TLSv1.3, cipher: \"TLS_AES_256_GCM_SHA384 TLSv1.3 Kx=any Au=any Enc=AESGCM(256) Mac=AEAD\"")
    );
}

#[test]
fn client_certificates() {
    if !supported() {
        return;
    }
    let by_lua = "local ssl = require('ngx.ssl') local f = io.open('FILES/client.crt') local chain = ssl.parse_pem_cert(f:read('*a'))
        f = io.open('FILES/client.key') local key = ssl.parse_pem_priv_key(f:read('*a'))
        local s = t.open(port) t.say(s:setclientcert(chain, key)) t.say(s:sslhandshake()) t.say(t.ask(s, 'who'))"
        .replace("FILES", CERTIFICATES);
    let words = "local ssl = require('ngx.ssl') local f = io.open('FILES/good.crt') local chain = ssl.parse_pem_cert(f:read('*a'))
        f = io.open('FILES/client.key') local key = ssl.parse_pem_priv_key(f:read('*a'))
        local s = t.open(port) t.say(s:setclientcert(chain)) t.say(s:setclientcert('x', key)) t.say(s:setclientcert(chain, 'x'))
        t.say(s:setclientcert(key, chain)) t.say(s:setclientcert(chain, key)) t.say(s:sslhandshake())
        t.say(s:setclientcert()) t.say(s:sslhandshake(false))"
        .replace("FILES", CERTIFICATES);
    let plain = "local s = t.open(port) t.say(s:sslhandshake()) t.say(s:send('who\\n')) t.say(s:receive())";
    let server = server(
        "",
        &[
            ("", &by_lua),
            ("lua_ssl_certificate FILES/client.crt; lua_ssl_certificate_key FILES/client.key;", plain),
            ("", plain),
            ("lua_ssl_protocols TLSv1.2;", plain),
            ("", &words),
        ],
    );
    let peer = TlsPeer::start(Kind { asks: true, ..Kind::default() });
    assert_eq!(run(&server, 0, &peer), "true\ncdata\n(none) new 1", "{}", server.log());
    assert_eq!(run(&server, 1, &peer), "cdata\n4\n(none) new 1");
    // With TLS 1.3 the client learns of it when it reads.
    assert_eq!(run(&server, 2, &peer), "cdata\n4\nnil error");
    let line = "[crit] SSL_read() failed (SSL: error:0A00045C:SSL routines::tlsv13 alert certificate required:SSL alert number 116)";
    assert!(complaints(&server).iter().any(|logged| logged == line), "{:#?}", complaints(&server));
    assert_eq!(run(&server, 3, &peer), "nil handshake failed\nnil closed\nnil closed");
    let expected = "nil client certificate must be supplied with corresponding private key
nil bad cert arg: cdata expected, got string
nil bad pkey arg: cdata expected, got string
nil bad cert arg: cdata expected, got cdata
true
nil ssl set client private key failed
true
true";
    assert_eq!(run(&server, 4, &TlsPeer::named("good")), expected);
}

#[test]
fn trusted_stores() {
    if !supported() {
        return;
    }
    let code = "local ssl = require('ngx.ssl') local f = io.open('FILES/ca.crt') local ca = ssl.parse_pem_cert(f:read('*a'))
        local s = ngx.socket.tcp() t.say(pcall(s.settrustedstore, s, ca))
        s = t.open(port) t.say(s:settrustedstore('x')) t.say(s:settrustedstore(ca)) t.say(s:sslhandshake(nil, 'good.test', true))
        t.say(s:settrustedstore(ca)) s:close() t.say(s:settrustedstore(ca))
        -- It is for one handshake.
        s = t.open(port) t.say(s:sslhandshake(nil, 'good.test', true))
        s = t.open(port) s:settrustedstore(ca) t.say(s:settrustedstore(nil)) t.say(s:sslhandshake(nil, 'good.test', true))"
        .replace("FILES", CERTIFICATES);
    let server = server("", &[("lua_ssl_trusted_certificate FILES/other.crt;", &code)]);
    let expected = "false socket is never created nor connected
nil bad store arg: cdata expected, got string
true
cdata
nil ssl handshake already done; trusted store cannot be changed on an established TLS connection
nil closed
nil 21: unable to verify the first certificate
true
nil 21: unable to verify the first certificate";
    assert_eq!(run(&server, 0, &TlsPeer::named("good")), expected, "{}", server.log());
}

#[test]
fn wrong_states() {
    if !supported() {
        return;
    }
    let server = server(
        "",
        &[
            ("", "local s = ngx.socket.tcp() t.say(pcall(s.sslhandshake, s)) t.say(pcall(s.getfd, s))"),
            ("", "local s = t.open(port) t.say(pcall(s.sslhandshake)) t.say(pcall(s.sslhandshake, s, 1, 2, 3, 4, 5)) t.say(s:getfd() > 2) s:close() t.say(s:sslhandshake()) t.say(s:getfd())"),
            (
                "",
                "local s = t.open(port)
                local reader = ngx.thread.spawn(s.receive, s) t.say(s:sslhandshake()) ngx.thread.kill(reader)
                s = t.open(port)
                local shaker = ngx.thread.spawn(s.sslhandshake, s) t.say(s:sslhandshake()) t.say(s:receive()) t.say(s:send('x')) t.say(s:setkeepalive())
                t.say(ngx.thread.wait(shaker)) t.say(t.ask(s, 'hello'))",
            ),
            ("", "local s = t.open(port) t.say(s:sslhandshake(nil, ('x'):rep(300))) s = t.open(port) t.say(s:sslhandshake(nil, 'a b'))"),
            ("", "package.loaded.kept = t.open(port)"),
            ("", "local s = package.loaded.kept t.say(s:sslhandshake())"),
            ("", "t.say(ngx.req.socket and getmetatable(ngx.socket.tcp()).__index.sslhandshake ~= nil)"),
        ],
    );
    let peer = TlsPeer::named("good");
    assert_eq!(
        run(&server, 0, &peer),
        "false socket is never created nor connected\nfalse socket is never created nor connected"
    );
    assert_eq!(
        run(&server, 1, &peer),
        "false ngx.socket sslhandshake: expecting 1 ~ 5 arguments (including the object), but seen 0\nfalse ngx.socket sslhandshake: expecting 1 ~ 5 arguments (including the object), but seen 6\ntrue\nnil closed\nnil closed"
    );
    assert_eq!(
        run(&server, 2, &peer),
        "nil socket busy reading\nnil socket busy connecting\nnil socket busy connecting\nnil socket busy connecting\nnil socket busy connecting\ntrue cdata\nhello",
        "{}",
        server.log()
    );
    assert_eq!(run(&server, 3, &peer), "nil SSL_set_tlsext_host_name failed\nnil SSL_set_tlsext_host_name failed");
    run(&server, 4, &peer);
    assert_eq!(run(&server, 5, &peer), "nil closed");
    assert_eq!(run(&server, 6, &peer), "true");
}

#[test]
fn every_way_of_reading() {
    if !supported() {
        return;
    }
    let code = "local s = t.open(port) assert(s:sslhandshake(nil, 'good.test', true))
        t.say(t.ask(s, 'one line'))
        s:send({ 'abc', { 'def--', 'gh' }, '--x', '\\n' }) t.say(s:receive(4))
        local read = s:receiveuntil('--') t.say(read()) t.say(read(1)) t.say(read(9)) t.say(s:receiveany(1)) t.say(s:receive())
        s:settimeout(10) t.say(s:receive()) s:settimeout(60000)
        s:send('half\\n') t.say(s:receive('*a')) t.say(s:receive()) t.say(s:close())";
    let server = server("", &[("lua_ssl_trusted_certificate FILES/ca.crt;", code)]);
    let expected = "one line\nabcd\nef\ng\nh\nx\n\nnil timeout \npar\nnil closed \n1";
    for slowly in [false, true] {
        // (after the boundary: a byte, or both, are there)
        let peer = TlsPeer::start(Kind { slowly, ..Kind::default() });
        assert_eq!(run(&server, 0, &peer), expected, "slowly: {slowly}\n{}", server.log());
    }
}

/// Both directions at once, more than all buffers hold.
#[test]
fn full_duplex() {
    if !supported() {
        return;
    }
    const CODE: &str = "local s, total = t.open(port), 8000000 assert(s:sslhandshake(nil, 'good.test', true))
        local writer = ngx.thread.spawn(function()
            local piece = {} for i = 1, 1000 do piece[i] = ('%07d,'):format(i) end piece = table.concat(piece)
            assert(s:send('echo ' .. total .. '\\n'))
            for i = 1, total / #piece do assert(s:send(piece)) end
            return 'written'
        end)
        local sum, n = 0, 0
        while n < total do local data = assert(s:receive(80000)) n = n + #data sum = sum + ngx.crc32_long(data) % 1000 end
        t.say(n, sum > 0, ngx.thread.wait(writer)) t.say(t.ask(s, 'still there'))
        -- One large piece, which has to wait for the other side.
        local all = ('x'):rep(3000000)
        local writer = ngx.thread.spawn(function() s:send('echo ' .. #all .. '\\n') return s:send(all) end)
        t.say(s:receive(#all) == all, ngx.thread.wait(writer))";
    let server = server("", &[("lua_ssl_trusted_certificate FILES/ca.crt;", CODE)]);
    for versions in [OLD, rustls::ALL_VERSIONS] {
        let peer = TlsPeer::start(Kind { versions, ..Kind::default() });
        let expected = "8000000 true true written\nstill there\ntrue true 3000000";
        assert_eq!(run(&server, 0, &peer), expected, "{}", complaints(&server).join("\n"));
    }
}

#[test]
fn kept_connections_stay_secure() {
    if !supported() {
        return;
    }
    let code =
        "local s = t.open(port) local times = s:getreusedtimes() local session = s:sslhandshake(nil, 'good.test', true)
        t.say(times, session, t.ask(s, 'hello')) t.say(s:setkeepalive(10000, 5))";
    let ticket = "local s = t.open(port) s:sslhandshake(false) t.say(s:setkeepalive())
        ngx.sleep(0.05) s = t.open(port) t.say(s:getreusedtimes(), t.ask(s, 'hello'))";
    let server = server("", &[("lua_ssl_trusted_certificate FILES/ca.crt;", code), ("", ticket)]);
    let peer = TlsPeer::named("good");
    for times in 0..3 {
        assert_eq!(run(&server, 0, &peer), format!("{times} cdata hello\n1"), "{}", server.log());
    }
    assert_eq!(peer.connections.load(Ordering::SeqCst), 1);
    assert_eq!(peer.handshakes.load(Ordering::SeqCst), 1);
    // What the server sends on its own account (tickets) does not end an idle connection.
    assert_eq!(run(&server, 1, &TlsPeer::named("good")), "1\n1 hello", "{}", server.log());
}

/// A reload takes nothing away from those who are in the middle of it.
#[test]
fn a_reload_meanwhile() {
    if !supported() {
        return;
    }
    let code = "local s = t.open(port) assert(s:sslhandshake(nil, 'good.test', true)) ngx.shared.d:set('in', true)
        t.say(t.ask(s, 'wait')) t.say(t.ask(s, 'still there'))";
    let server = server(
        "",
        &[
            ("lua_ssl_trusted_certificate FILES/ca.crt;", code),
            ("", "while not ngx.shared.d:get('in') do ngx.sleep(0.001) end"),
        ],
    );
    let peer = TlsPeer::named("good");
    let answer = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| run(&server, 0, &peer));
        run(&server, 1, &peer);
        server.signal("HUP");
        crate::support::status::Status::until(&server, |status| status.worker("exiting") == 1);
        // The new configuration has read its certificates, too.
        peer.open(true);
        assert_eq!(run(&server, 0, &peer), "hello\nstill there");
        waiting.join().unwrap()
    });
    assert_eq!(answer, "hello\nstill there", "{}", server.log());
}

#[test]
fn certificates_and_keys_for_lua() {
    if !supported() {
        return;
    }
    let code = "local ssl = require('ngx.ssl')
        local function read(name) return io.open('FILES/' .. name):read('*a') end
        for _, name in ipairs { 'good', 'rsa', 'chain', 'version1' } do
            local pem = read(name .. '.crt') local der = ssl.cert_pem_to_der(pem)
            t.say(name, #der > 200, ssl.parse_pem_cert(pem), ssl.parse_der_cert(der))
            local pem = read(name .. '.key') local der = ssl.priv_key_pem_to_der(pem)
            t.say(#der > 100, ssl.parse_pem_priv_key(pem), ssl.parse_der_priv_key(der))
        end
        local der = ssl.cert_pem_to_der(read('good.crt'))
        t.say(ssl.parse_der_cert('')) t.say(ssl.parse_der_cert(der:sub(1, -2))) t.say(ssl.parse_der_cert(der .. 'x'))
        t.say(ssl.parse_pem_cert('')) t.say(ssl.parse_pem_cert(read('good.key'))) t.say(ssl.cert_pem_to_der('x'))
        t.say(ssl.parse_pem_cert('-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n'))
        t.say(ssl.parse_pem_cert(read('good.crt') .. '-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n'))
        t.say(ssl.parse_pem_priv_key(read('good.crt'))) t.say(ssl.parse_der_priv_key('x')) t.say(ssl.priv_key_pem_to_der(''))
        t.say(ngx.encode_base64(ssl.priv_key_pem_to_der(read('good.key'))) == EXPECTED)"
        .replace("FILES", CERTIFICATES)
        .replace("EXPECTED", &format!("'{}'", traditional(&pem("good.key"))));
    let server = server("", &[("", &code)]);
    let names = ["good", "rsa", "chain", "version1"];
    let mut expected: String =
        names.iter().map(|name| format!("{name} true cdata cdata\ntrue cdata cdata\n")).collect();
    expected.push_str(
        "nil d2i_X509_bio() failed\nnil d2i_X509_bio() failed\nnil d2i_X509_bio() failed in rest of chain
nil PEM_read_bio_X509_AUX() failed\nnil PEM_read_bio_X509_AUX() failed\nnil PEM_read_bio_X509_AUX() failed
nil PEM_read_bio_X509_AUX() failed\nnil PEM_read_bio_X509() failed
nil PEM_read_bio_PrivateKey() failed\nnil d2i_PrivateKey_bio() failed\nnil PEM_read_bio_PrivateKey() failed\ntrue",
    );
    assert_eq!(run(&server, 0, &TlsPeer::named("good")), expected, "{}", server.log());
}

/// What `openssl pkey -traditional` makes of a key for P-256 whose PKCS #8 form has the public half, in base64.
fn traditional(pkcs8: &str) -> String {
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject;
    let outer = PrivateKeyDer::from_pem_slice(pkcs8.as_bytes()).unwrap();
    // SEQUENCE { 0, { ecPublicKey, prime256v1 }, OCTET STRING { SEQUENCE { 1, 32 bytes, [1] { public half } } } }
    let inner = &outer.secret_der()[31..];
    assert_eq!(inner[..5], [0x02, 1, 1, 4, 32]);
    let curve = [0xa0, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let der = [&[0x30, 0x77], &inner[..37], &curve, &inner[37..]].concat();
    ngx::encoding::encode_base64(&der, false).into_iter().map(char::from).collect()
}
