//! The lua_ssl_* directives: what is refused, in which words, and what those that are accepted do.

use crate::support::tls::{CERTIFICATES, Kind, TlsPeer, supported};
use crate::support::{Prefix, Server};

/// What `-t` says of these directives in a location, without the file's place.
fn refused(directives: &str) -> String {
    let prefix = Prefix::new();
    prefix.write("broken.crt", "broken\n");
    prefix.write("bad.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let directives = directives.replace("FILES", CERTIFICATES);
    let conf = format!("events {{}} http {{ server {{ listen 1; location / {{\n{directives}\n}} }} }}");
    prefix.write("conf/nginx.conf", &conf);
    let out = prefix.run(&["-t"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let line = said.lines().find(|line| line.contains("[emerg]") || line.contains("[warn]"));
    let line = line.unwrap_or("accepted").trim_start_matches("nginx: ");
    line.replace(&format!("{}/conf/", prefix.0.display()), "CONF/").replace(&format!("{CERTIFICATES}/"), "FILES/")
}

#[test]
fn what_is_refused() {
    if !supported() {
        return;
    }
    const MISSING: &str = "error:80000002:system library::No such file or directory:calling fopen(CONF/none, r) \
                           error:10000080:BIO routines::no such file";
    const LOOKUP: &str = "error:05880002:x509 certificate routines::system lib";
    const NEITHER: &str = "error:05800088:x509 certificate routines::no certificate or crl found";
    let rows: &[(&str, &str)] = &[
        (
            "lua_ssl_trusted_certificate none;",
            &format!("[emerg] SSL_CTX_load_verify_locations(\"CONF/none\") failed (SSL: {MISSING} {LOOKUP})"),
        ),
        (
            "lua_ssl_trusted_certificate ../broken.crt;",
            &format!("[emerg] SSL_CTX_load_verify_locations(\"CONF/../broken.crt\") failed (SSL: {NEITHER})"),
        ),
        (
            "lua_ssl_trusted_certificate FILES/good.key;",
            &format!("[emerg] SSL_CTX_load_verify_locations(\"FILES/good.key\") failed (SSL: {NEITHER})"),
        ),
        (
            "lua_ssl_crl none;",
            &format!("[emerg] X509_LOOKUP_load_file(\"CONF/none\") failed (SSL: {MISSING} {LOOKUP})"),
        ),
        (
            "lua_ssl_crl ../broken.crt;",
            &format!("[emerg] X509_LOOKUP_load_file(\"CONF/../broken.crt\") failed (SSL: {NEITHER})"),
        ),
        (
            "lua_ssl_certificate FILES/good.crt;",
            "[emerg] no \"lua_ssl_certificate_key\" is defined for certificate \"FILES/good.crt\"",
        ),
        (
            "lua_ssl_certificate none; lua_ssl_certificate_key none;",
            &format!("[emerg] cannot load certificate \"CONF/none\": BIO_new_file() failed (SSL: {MISSING})"),
        ),
        (
            "lua_ssl_certificate ../broken.crt; lua_ssl_certificate_key none;",
            "[emerg] cannot load certificate \"CONF/../broken.crt\": PEM_read_bio_X509_AUX() failed (SSL: error:0480006C:PEM routines::no start line:Expecting: TRUSTED CERTIFICATE)",
        ),
        (
            "lua_ssl_certificate FILES/good.crt; lua_ssl_certificate_key none;",
            &format!("[emerg] cannot load certificate key \"CONF/none\": BIO_new_file() failed (SSL: {MISSING})"),
        ),
        (
            "lua_ssl_certificate FILES/good.crt; lua_ssl_certificate_key ../broken.crt;",
            "[emerg] cannot load certificate key \"CONF/../broken.crt\": PEM_read_bio_PrivateKey() failed (SSL: error:1E08010C:DECODER routines::unsupported:No supported data to decode. Input type: PEM)",
        ),
        (
            "lua_ssl_certificate FILES/good.crt; lua_ssl_certificate_key FILES/rsa.key;",
            "[emerg] SSL_CTX_use_PrivateKey(\"FILES/rsa.key\") failed (SSL: error:05800074:x509 certificate routines::key values mismatch)",
        ),
        (
            "lua_ssl_certificate FILES/curve.crt; lua_ssl_certificate_key FILES/curve.key;",
            "[emerg] cannot load certificate key \"FILES/curve.key\": PEM_read_bio_PrivateKey() failed (SSL: error:1E08010C:DECODER routines::unsupported:No supported data to decode. Input type: PEM; keys are RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519, and not encrypted)",
        ),
        ("lua_ssl_certificate FILES/good.crt; lua_ssl_certificate_key FILES/good.key;", "accepted"),
        ("lua_ssl_trusted_certificate '';", "accepted"),
        ("lua_ssl_protocols TLSv9;", "[emerg] invalid value \"TLSv9\" in CONF/nginx.conf:2"),
        ("lua_ssl_protocols TLSv1.2 TLSv1.2;", "[warn] duplicate value \"TLSv1.2\" in CONF/nginx.conf:2"),
        ("lua_ssl_protocols SSLv3 TLSv1 TLSv1.1 TLSv1.2;", "accepted"),
        // What is too old cannot be had.
        (
            "lua_ssl_protocols TLSv1 TLSv1.1;",
            "[emerg] no SSL protocol is enabled that is available: there are TLSv1.2 and TLSv1.3",
        ),
        ("lua_ssl_ciphers HIGH:!aNULL:!MD5;", "accepted"),
        (
            "lua_ssl_ciphers HIGH; lua_ssl_ciphers LOW;",
            "[emerg] \"lua_ssl_ciphers\" directive is duplicate in CONF/nginx.conf:2",
        ),
        (
            "lua_ssl_ciphers RC4-MD5;",
            "[emerg] SSL_CTX_set_cipher_list(\"RC4-MD5\") failed (SSL: error:0A0000B9:SSL routines::no cipher match; there are ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256)",
        ),
        ("lua_ssl_verify_depth x;", "[emerg] \"lua_ssl_verify_depth\" directive invalid number in CONF/nginx.conf:2"),
        (
            "lua_ssl_conf_command Nope x;",
            "[emerg] SSL_CONF_cmd(\"Nope\", \"x\") failed (SSL: error:0A000182:SSL routines::unknown cmd name:cmd=Nope)",
        ),
        (
            "lua_ssl_conf_command CipherString NOPE;",
            "[emerg] SSL_CONF_cmd(\"CipherString\", \"NOPE\") failed (SSL: error:0A0000B9:SSL routines::no cipher match error:0A000180:SSL routines::bad value:cmd=CipherString, value=NOPE)",
        ),
        (
            "lua_ssl_conf_command MinProtocol TLSv1.9;",
            "[emerg] SSL_CONF_cmd(\"MinProtocol\", \"TLSv1.9\") failed (SSL: error:0A000180:SSL routines::bad value:cmd=MinProtocol, value=TLSv1.9)",
        ),
        (
            "lua_ssl_conf_command MaxProtocol TLSv1.1;",
            "[emerg] no SSL protocol is enabled that is available: there are TLSv1.2 and TLSv1.3",
        ),
        (
            "lua_ssl_conf_command Groups X25519:P-521;",
            "[emerg] SSL_CONF_cmd(\"Groups\", \"X25519:P-521\") failed (SSL: error:0A000180:SSL routines::bad value:cmd=Groups, value=X25519:P-521)",
        ),
        (
            "lua_ssl_conf_command Options UnsafeLegacyRenegotiation;",
            "[emerg] SSL_CONF_cmd(\"Options\", \"UnsafeLegacyRenegotiation\") failed (SSL: error:0A000180:SSL routines::bad value:cmd=Options, value=UnsafeLegacyRenegotiation)",
        ),
        ("lua_ssl_conf_command Options PrioritizeChaCha; lua_ssl_conf_command Protocol -ALL,TLSv1.2;", "accepted"),
        (
            "if ($arg_a) { lua_ssl_ciphers HIGH; }",
            "[emerg] \"lua_ssl_ciphers\" directive is not allowed here in CONF/nginx.conf:2",
        ),
    ];
    for (directives, expected) in rows {
        assert_eq!(refused(directives), *expected, "{directives}");
    }
    assert!(refused("lua_ssl_trusted_certificate ../bad.crt;").contains("PEM routines::ASN1 lib"));
}

/// What the handshake comes to with some directives, from the debug log, or why it does not.
#[test]
fn what_they_do() {
    if !supported() {
        return;
    }
    let rows: &[(&str, &str)] = &[
        ("", "TLSv1.3 TLS_AES_256_GCM_SHA384"),
        ("lua_ssl_protocols TLSv1.2;", "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384"),
        (
            "lua_ssl_protocols TLSv1.2; lua_ssl_ciphers ECDHE-RSA-CHACHA20-POLY1305;",
            "TLSv1.2 ECDHE-RSA-CHACHA20-POLY1305",
        ),
        ("lua_ssl_protocols TLSv1.2; lua_ssl_ciphers ALL:!AES256;", "TLSv1.2 ECDHE-RSA-CHACHA20-POLY1305"),
        ("lua_ssl_protocols TLSv1.2; lua_ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256;", "handshake failed"),
        ("lua_ssl_conf_command Ciphersuites TLS_CHACHA20_POLY1305_SHA256;", "TLSv1.3 TLS_CHACHA20_POLY1305_SHA256"),
        ("lua_ssl_conf_command MaxProtocol TLSv1.2;", "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384"),
        (
            "lua_ssl_conf_command Protocol -TLSv1.3; lua_ssl_conf_command CipherString AES128;",
            "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256",
        ),
        ("lua_ssl_conf_command Groups P-384;", "TLSv1.3 TLS_AES_256_GCM_SHA384"),
        ("lua_ssl_protocols TLSv1.3; lua_ssl_conf_command MinProtocol TLSv1.2;", "TLSv1.3 TLS_AES_256_GCM_SHA384"),
    ];
    let locations: String = rows
        .iter()
        .enumerate()
        .map(|(at, (directives, _))| {
            format!("location = /{at} {{ {directives} content_by_lua_block {{ shake() }} }}\n")
        })
        .collect();
    let server = Server::with_main(
        "worker_processes 1; error_log logs/error.log debug;",
        &format!(
            "init_by_lua_block {{ function shake()
                local s = ngx.socket.tcp() s:settimeout(60000) assert(s:connect('127.0.0.1', tonumber(ngx.var.arg_p)))
                local ok, err = s:sslhandshake(false) ngx.say(err or ok)
            end }}
            server {{ listen 127.0.0.1:PORT; {locations} }}"
        ),
        &[],
    );
    let peer = TlsPeer::start(Kind { name: "rsa", ..Kind::default() });
    for (at, (directives, expected)) in rows.iter().enumerate() {
        let said = server.body(&format!("/{at}?p={}", peer.port));
        let log = server.log();
        let line = log.lines().rev().find_map(|line| line.split_once("SSL: ")?.1.split_once(", cipher: \""));
        let suite = line.map(|(version, rest)| format!("{version} {}", rest.split(' ').next().unwrap_or_default()));
        let found = if said == "true\n" { suite.unwrap_or_default() } else { said.trim_end().to_string() };
        assert_eq!(found, *expected, "{directives}\n{log}");
    }
}

/// Levels hand the directives down, timers and workers have them, keys are logged, and the dump shows no key.
#[test]
fn where_they_hold() {
    if !supported() {
        return;
    }
    let shake =
        "local s = ngx.socket.tcp() s:settimeout(60000) assert(s:connect('127.0.0.1', ngx.shared.d:get('port')))
        local ok, err = s:sslhandshake(false, 'good.test', true) return tostring(ok) .. ' ' .. tostring(err)";
    let http = format!(
        "lua_shared_dict d 100k; lua_ssl_trusted_certificate FILES/ca.crt; lua_ssl_key_log keys.log;
        lua_ssl_certificate FILES/client.crt; lua_ssl_certificate_key FILES/client.key;
        init_by_lua_block {{ function shake() {shake} end }}
        server {{
            listen 127.0.0.1:PORT;
            location = /port {{ content_by_lua_block {{ ngx.shared.d:set('port', tonumber(ngx.var.args)) }} }}
            location = /plain {{ content_by_lua_block {{ ngx.say(shake()) }} }}
            location = /other {{ lua_ssl_trusted_certificate FILES/other.crt; content_by_lua_block {{ ngx.say(shake()) }} }}
            location = /none {{ lua_ssl_trusted_certificate ''; content_by_lua_block {{ ngx.say(shake()) }} }}
            location = /timer {{ content_by_lua_block {{
                ngx.timer.at(0, function() ngx.shared.d:set('said', shake()) end)
                while not ngx.shared.d:get('said') do ngx.sleep(0.001) end ngx.say(ngx.shared.d:get('said'))
            }} }}
        }}"
    )
    .replace("FILES", CERTIFICATES);
    let server = Server::start(&http, &[]);
    let peer = TlsPeer::named("good");
    server.get(&format!("/port?{}", peer.port));
    assert_eq!(server.body("/plain"), "true nil\n");
    assert_eq!(server.body("/other"), "nil 21: unable to verify the first certificate\n");
    assert_eq!(server.body("/none"), "nil 20: unable to get local issuer certificate\n");
    assert_eq!(server.body("/timer"), "true nil\n");
    let keys = server.prefix.read("conf/keys.log");
    let line = keys.lines().find(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0 ")).unwrap_or_default();
    assert_eq!(line.split(' ').map(str::len).collect::<Vec<_>>(), [23, 64, 96], "{keys}");
    let dump = server.prefix.run(&["-T"]);
    assert!(dump.status.success() && !String::from_utf8_lossy(&dump.stdout).contains("PRIVATE KEY"));
}
