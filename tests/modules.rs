//! nginx's small modules, one test each: a configuration, requests, and what comes back in short.

use std::io::Write;

use crate::support::{Prefix, Server, until};

/// Each request is `PATH` or `PATH | Header: value | ...`; the answer in short: status, headers worth a word, body.
fn check(http: &str, files: &[(&str, &str)], cases: &[(&str, &str)]) -> Server {
    let server = Server::start(http, files);
    for (request, expected) in cases {
        assert_eq!(ask(&server, request), *expected, "{request}\n{}", server.log());
    }
    server
}

fn ask(server: &Server, request: &str) -> String {
    let mut parts = request.split(" | ");
    let path = parts.next().unwrap_or_default();
    let line = if path.starts_with('/') { format!("GET {path} HTTP/1.1") } else { format!("{path} HTTP/1.1") };
    let mut text = format!("{line}\r\nHost: localhost\r\nConnection: close\r\n");
    parts.for_each(|header| text.push_str(&format!("{header}\r\n")));
    brief(&server.raw(format!("{text}\r\n").as_bytes()))
}

fn brief(answer: &str) -> String {
    const DULL: [&str; 7] = ["Server", "Date", "Connection", "Keep-Alive", "Last-Modified", "ETag", "Accept-Ranges"];
    let answer = answer.trim_end_matches("<closed>");
    let (head, body) = answer.split_once("\n\n").unwrap_or((answer, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("?");
    let mut out = status.to_string();
    for line in lines.filter(|line| !DULL.contains(&line.split(':').next().unwrap_or_default())) {
        out.push_str(&format!(" {line};"));
    }
    let body = if body.starts_with("<html>\n<head><title>") { "(page)" } else { body };
    format!("{out} {}", body.replace('\n', "\\n")).trim_end().to_string()
}

/// What the server says of a configuration it refuses.
fn refused(http: &str) -> String {
    let prefix = Prefix::new();
    prefix.write("conf/nginx.conf", &format!("events {{}}\nhttp {{\n{http}\n}}\n"));
    let said = String::from_utf8_lossy(&prefix.run(&["-t"]).stderr).into_owned();
    let first = said.lines().find(|line| line.contains("[emerg]")).unwrap_or_default();
    let words = first.split("[emerg] ").nth(1).unwrap_or_default();
    words.replace(&format!("{}/", prefix.0.display()), "")
}

#[test]
fn headers_and_trailers() {
    let http = "server { listen 127.0.0.1:PORT; root html; default_type text/plain;
        location / { add_header A $uri; add_header B b always; add_trailer T $sent_http_a; }
        location /e { expires $arg_e; }
        location /only { add_header C c; location /only/none { add_header X ''; } } }";
    let files = [("html/f", "hello"), ("html/e", ""), ("html/only/none", "")];
    let server = check(
        http,
        &files,
        &[
            (
                "/f",
                "200 Content-Type: text/plain; Transfer-Encoding: chunked; A: /f; B: b; 5\\nhello\\n0\\nT: /f\\n\\n",
            ),
            ("/nothing", "404 Content-Type: text/html; Content-Length: 155; B: b; (page)"),
            (
                "/e?e=epoch",
                "200 Content-Type: text/plain; Content-Length: 0; Expires: Thu, 01 Jan 1970 00:00:01 GMT; Cache-Control: no-cache;",
            ),
            ("/e?e=off", "200 Content-Type: text/plain; Content-Length: 0;"),
            ("/e?e=nonsense", "200 Content-Type: text/plain; Content-Length: 0;"),
            ("/only/none", "200 Content-Type: text/plain; Content-Length: 0;"),
        ],
    );
    assert!(ask(&server, "/e?e=30m").contains("Cache-Control: max-age=1800;"));
    assert!(ask(&server, "/e?e=-5").contains("Cache-Control: no-cache;"));
    assert_eq!(refused("server { expires soon; }"), "\"expires\" directive invalid value in conf/nginx.conf:3");
}

#[test]
fn conditions_and_ranges() {
    let http = "server { listen 127.0.0.1:PORT; root html; default_type text/plain; location /two { max_ranges 2; } }";
    let server = check(
        http,
        &[("html/f", "0123456789"), ("html/two", "0123456789")],
        &[
            (
                "/f | Range: bytes=2-4",
                "206 Content-Type: text/plain; Content-Length: 3; Content-Range: bytes 2-4/10; 234",
            ),
            (
                "/f | Range: bytes=-3",
                "206 Content-Type: text/plain; Content-Length: 3; Content-Range: bytes 7-9/10; 789",
            ),
            (
                "/f | Range: bytes=20-",
                "416 Content-Type: text/html; Content-Length: 199; Content-Range: bytes */10; (page)",
            ),
            ("/f | Range: bytes=0-9,0-9", "200 Content-Type: text/plain; Content-Length: 10; 0123456789"),
            ("/two | Range: bytes=0-0,1-1,2-2", "200 Content-Type: text/plain; Content-Length: 10; 0123456789"),
            ("/f | Range: bytes=1-2 | If-Range: \"x\"", "200 Content-Type: text/plain; Content-Length: 10; 0123456789"),
            ("/f | If-Match: \"x\"", "412 Content-Type: text/html; Content-Length: 175; (page)"),
            ("/f | If-None-Match: *", "304"),
        ],
    );
    let parts = ask(&server, "/f | Range: bytes=0-1,-1");
    assert!(parts.starts_with("206 Content-Type: multipart/byteranges; boundary="), "{parts}");
    assert!(
        parts.contains("Content-Range: bytes 0-1/10\\n\\n01\\n") && parts.contains("bytes 9-9/10\\n\\n9\\n"),
        "{parts}"
    );
}

#[test]
fn compression_both_ways() {
    let http = "gzip_types application/x; gzip_vary on; gzip_min_length 5;
        server { listen 127.0.0.1:PORT; root html; types { application/x x; text/y y; }
            location /gz/ { alias html/; gzip on; gzip_disable bad; }
            location /static { gzip_static on; } location /un { gzip_static always; gunzip on; } }";
    let server =
        Server::start(http, &[("html/a.x", "aaaaaaaaaaaaaaaaaaaa"), ("html/a.y", "aaaaaaaaa"), ("html/s.x", "tiny")]);
    let member = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    for name in ["html/static", "html/un"] {
        std::fs::write(server.prefix.0.join(format!("{name}.gz")), member(b"unpacked")).unwrap();
    }
    server.prefix.write("html/static", "plain");
    let gzip = |answer: String| answer.split(" Content-").filter(|part| part.starts_with("Encoding: gzip")).count();
    for (request, expected) in [
        ("/gz/a.x | Accept-Encoding: gzip", 1),
        ("/gz/a.x | Accept-Encoding: gzip;q=0", 0),
        ("/gz/a.x | Accept-Encoding: gzip | User-Agent: bad one", 0),
        ("/gz/a.x | Accept-Encoding: gzip | Via: 1.1 proxy", 0),
        ("/gz/a.y | Accept-Encoding: gzip", 0),
        ("/gz/s.x | Accept-Encoding: gzip", 0),
        ("/a.x | Accept-Encoding: gzip", 0),
        ("/static | Accept-Encoding: gzip", 1),
        ("/static", 0),
        ("/un | Accept-Encoding: gzip", 1),
    ] {
        assert_eq!(gzip(ask(&server, request)), expected, "{request}");
    }
    assert!(ask(&server, "/gz/a.x").contains(" Vary: Accept-Encoding;"));
    assert!(ask(&server, "/static").ends_with(" plain"));
    assert!(ask(&server, "/un").contains("8\\nunpacked\\n0\\n\\n"));
    let refusal = refused("gzip_comp_level 10; server { }");
    assert_eq!(refusal, "value must be equal to or less than 9 in conf/nginx.conf:3");
}

#[test]
fn bodies_are_rewritten() {
    let http = "charset_map A B { 58 59; } charset_map koi8-r utf-8 { C1 D0B0; }
        server { listen 127.0.0.1:PORT; root html; default_type text/html;
            location /sub { sub_filter Hello '<$arg_w>'; sub_filter 'b' 'c'; location /sub/all { sub_filter_once off; sub_filter ab x; } }
            location /add { add_before_body /b; add_after_body a; }
            location /map { source_charset A; charset B; } location /wide { source_charset koi8-r; charset utf-8; }
            location = /b { return 200 '[b]'; } location = /a { return 200 '[a]'; } }";
    let files =
        [("html/sub/f", "hello hello b"), ("html/sub/all/f", "aabab"), ("html/add", "body"), ("html/map", "aXb")];
    let server = check(
        http,
        &files,
        &[
            (
                "/sub/f?w=1",
                "200 Content-Type: text/html; Transfer-Encoding: chunked; d\\n<1> hello c\\n0\\n\\n"
                    .replace("d\\n", "b\\n")
                    .as_str(),
            ),
            ("/sub/all/f", "200 Content-Type: text/html; Transfer-Encoding: chunked; 3\\naxx\\n0\\n\\n"),
            ("/add", "200 Content-Type: text/html; Transfer-Encoding: chunked; a\\n[b]body[a]\\n0\\n\\n"),
            ("/map", "200 Content-Type: text/html; charset=B; Content-Length: 3; aYb"),
        ],
    );
    std::fs::write(server.prefix.0.join("html/wide"), b"x\xc1").unwrap();
    assert!(ask(&server, "/wide").ends_with("3\\nxа\\n0\\n\\n"));
}

#[test]
fn who_may() {
    let http = "server { listen 127.0.0.1:PORT; root html; default_type text/plain; auth_basic_user_file users;
        location /deny { deny 127.0.0.0/8; } location /allow { allow 127.0.0.1; deny all; }
        location /basic { auth_basic 'the realm'; } location /any { satisfy any; deny all; auth_basic r; }
        location /ask { auth_request /auth; auth_request_set $who $sent_http_who; add_header Who $who; }
        location /asked { set $user $arg_user; set $seen no; auth_request /may; content_by_lua_block { ngx.print(ngx.var.seen) } }
        location = /may { set $seen yes; content_by_lua_block { if ngx.var.user ~= 'me' then ngx.exit(403) end ngx.eof() } }
        location = /auth { if ($arg_s) { return 403; } more_set_headers 'Who: me'; return 204; }
        location /read { limit_except GET { deny all; } }
        location /file { secure_link $arg_h; secure_link_md5 k$uri; if ($secure_link = '') { return 403; } return 200 $secure_link; }
        location /ref { valid_referers none *.here ~there; return 200 \"[$invalid_referer]\"; } }";
    let files = [
        ("conf/users", "me:{PLAIN}it\nslow:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"),
        ("html/allow", "in"),
        ("html/basic", "in"),
        ("html/any", "in"),
        ("html/ask", "in"),
        ("html/read", "in"),
    ];
    let server = check(
        http,
        &files,
        &[
            ("/deny", "403 Content-Type: text/html; Content-Length: 155; (page)"),
            ("/allow", "200 Content-Type: text/plain; Content-Length: 2; in"),
            (
                "/basic",
                "401 Content-Type: text/html; Content-Length: 181; WWW-Authenticate: Basic realm=\"the realm\"; (page)",
            ),
            ("/basic | Authorization: Basic bWU6aXQ=", "200 Content-Type: text/plain; Content-Length: 2; in"),
            (
                "/basic | Authorization: Basic bWU6aQ==",
                "401 Content-Type: text/html; Content-Length: 181; WWW-Authenticate: Basic realm=\"the realm\"; (page)",
            ),
            ("/basic | Authorization: Basic c2xvdzpzZWNyZXQ=", "200 Content-Type: text/plain; Content-Length: 2; in"),
            ("/asked?user=me", "200 Content-Type: text/plain; Transfer-Encoding: chunked; 3\\nyes\\n0\\n\\n"),
            ("/asked?user=you", "403 Content-Type: text/html; Content-Length: 155; (page)"),
            ("/any | Authorization: Basic bWU6aXQ=", "200 Content-Type: text/plain; Content-Length: 2; in"),
            ("/ask", "200 Content-Type: text/plain; Content-Length: 2; Who: me; in"),
            ("/read", "200 Content-Type: text/plain; Content-Length: 2; in"),
            ("DELETE /read", "403 Content-Type: text/html; Content-Length: 155; (page)"),
            ("/file?h=x", "403 Content-Type: text/html; Content-Length: 155; (page)"),
            ("/ref", "200 Content-Type: text/plain; Content-Length: 2; []"),
            ("/ref | Referer: http://a.here/x", "200 Content-Type: text/plain; Content-Length: 2; []"),
            ("/ref | Referer: http://over.there/", "200 Content-Type: text/plain; Content-Length: 2; []"),
            ("/ref | Referer: http://away/", "200 Content-Type: text/plain; Content-Length: 3; [1]"),
        ],
    );
    let log = server.log();
    for words in ["access forbidden by rule", "user \"me\": password mismatch", "no user/password was provided"] {
        assert!(log.contains(words), "{words}: {log}");
    }
    assert_eq!(refused("server { allow 1.2.3.4/40; }"), "invalid parameter \"1.2.3.4/40\" in conf/nginx.conf:3");
}

#[test]
fn limits() {
    let http = "limit_req_zone $arg_k zone=r:1m rate=1r/m; limit_conn_zone $arg_k zone=c:1m;
        server { listen 127.0.0.1:PORT;
            location /r { limit_req zone=r burst=1 nodelay; limit_req_status 429; content_by_lua_block { ngx.print(ngx.var.limit_req_status) } }
            location /c { limit_conn c 1; content_by_lua_block { ngx.print(ngx.var.limit_conn_status, ' ', ngx.location.capture('/inner').status) } }
            location /inner { return 204; } location /dry { limit_req zone=r; limit_req_dry_run on; content_by_lua_block { ngx.print(ngx.var.limit_req_status) } } }";
    let server = Server::start(http, &[]);
    let bodies: Vec<String> = (0..3).map(|_| server.body("/r?k=a")).collect();
    assert_eq!(bodies[..2], ["PASSED", "PASSED"]);
    assert!(server.get("/r?k=a").starts_with("HTTP/1.1 429 "), "{}", server.log());
    assert_eq!((server.body("/dry?k=a"), server.body("/c?k=a")), ("REJECTED_DRY_RUN".into(), "PASSED 204".into()));
    assert!(
        server.log().contains("[error]") && server.log().contains("limiting requests, excess: "),
        "{}",
        server.log()
    );
    for (http, expected) in [
        ("server { limit_req zone=x; }", "zero size shared memory zone \"x\""),
        ("limit_req_zone $uri zone=x:1k rate=1r/s;", "zone \"zone=x:1k\" is too small in conf/nginx.conf:3"),
        ("limit_req_zone $uri zone=x:1m rate=fast;", "invalid rate \"rate=fast\" in conf/nginx.conf:3"),
        ("server { limit_conn x 0; }", "invalid number of connections \"0\" in conf/nginx.conf:3"),
    ] {
        assert_eq!(refused(http), expected);
    }
}

#[test]
fn variables_by_address_and_share() {
    let http = "geo $arg_ip $place { default away; 10.0.0.0/8 inside; 10.1.0.0/16 deep; 2001:db8::/32 six; }
        geo $arg_ip $range { ranges; default none; 10.0.0.0-10.0.0.9 low; 10.0.0.5-10.0.0.5 five; }
        split_clients $arg_c $half { 50% a; * b; }
        map $arg_ip $kept { ~(\\d)$ $1; } map $arg_ip $fresh { volatile; ~(\\d)$ $1; }
        server { listen 127.0.0.1:PORT; set_real_ip_from 127.0.0.1; real_ip_header X-Real; location / { return 200 \"$place $range\"; }
            location /ip { return 200 \"$remote_addr $realip_remote_addr\"; }
            location /split { return 200 $half; } }";
    check(
        http,
        &[],
        &[
            ("/?ip=10.1.2.3", "200 Content-Type: text/plain; Content-Length: 9; deep none"),
            ("/?ip=10.0.0.5", "200 Content-Type: text/plain; Content-Length: 11; inside five"),
            ("/?ip=10.0.0.6", "200 Content-Type: text/plain; Content-Length: 10; inside low"),
            ("/?ip=2001:db8::7", "200 Content-Type: text/plain; Content-Length: 8; six none"),
            ("/?ip=9.9.9.9", "200 Content-Type: text/plain; Content-Length: 9; away none"),
            ("/ip | X-Real: 192.0.2.1", "200 Content-Type: text/plain; Content-Length: 19; 192.0.2.1 127.0.0.1"),
            ("/ip", "200 Content-Type: text/plain; Content-Length: 19; 127.0.0.1 127.0.0.1"),
            ("/split?c=a", "200 Content-Type: text/plain; Content-Length: 1; b"),
            ("/split?c=abc", "200 Content-Type: text/plain; Content-Length: 1; a"),
        ],
    );
    for (http, expected) in [
        ("split_clients $uri $x { 60% a; 50% b; }", "percent total is greater than 100% in conf/nginx.conf:3"),
        ("geo $x { 1.2.3 a; }", "invalid network \"1.2.3\" in conf/nginx.conf:3"),
        ("geo x { }", "invalid variable name \"x\" in conf/nginx.conf:3"),
    ] {
        assert_eq!(refused(http), expected);
    }
}

#[test]
fn directories_and_dots() {
    let http = "server { listen 127.0.0.1:PORT; root html; location /d/ { autoindex on; } location /j/ { alias html/d/; autoindex on; autoindex_format json; }
        location /r/ { random_index on; } location /gif { empty_gif; } location /s { stub_status; } }";
    let server = Server::start(http, &[("html/d/a&b", "12345"), ("html/d/sub/x", ""), ("html/r/one", "1")]);
    let page = server.body("/d/");
    assert!(page.starts_with("<html>\n<head><title>Index of /d/</title></head>\n"), "{page}");
    assert!(
        page.find("<a href=\"sub/\">sub/</a>").unwrap() < page.find("<a href=\"a%26b\">a&amp;b</a>").unwrap(),
        "{page}"
    );
    assert!(server.body("/j/").contains("{ \"name\":\"a&b\", \"type\":\"file\", \"mtime\":"));
    assert!(server.body("/j/").contains("\"size\":5 }"));
    assert!(server.body("/r/").starts_with('1'));
    assert!(server.body("/gif").starts_with("GIF89a"));
    assert!(ask(&server, "POST /gif").starts_with("405 "));
    assert!(server.body("/s").contains("Reading: 0 Writing: 1 Waiting: 0"));
}

#[test]
fn copies_and_cookies() {
    let http = "log_format m '$request_method $uri $request_body$mark'; server { listen 127.0.0.1:PORT; location / { mirror /copy; return 200 x; }
        location = /copy { log_subrequest on; access_log logs/copy_$request_method.log m; return 200; }
        location /id { userid on; userid_name id; userid_flags httponly samesite=lax; return 204; }
        location /marked { userid on; userid_name id; userid_mark z; return 204; } location /off { mirror off; echo hi; } location /on { set $mark !; mirror /copy; echo hi; } }";
    let server = Server::start(http, &[]);
    server.raw(b"POST /on HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody");
    ask(&server, "/off");
    assert_eq!(server.prefix.read("logs/copy_POST.log"), "POST /copy body!\n");
    assert_eq!(server.prefix.read("logs/copy_GET.log"), "");
    let cookie = ask(&server, "/id");
    assert!(
        cookie.starts_with("204 Set-Cookie: id=") && cookie.ends_with("; path=/; httponly; samesite=lax;"),
        "{cookie}"
    );
    let value = cookie.split("id=").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    assert_eq!(ask(&server, &format!("/id | Cookie: id={value}")), "204");
    // The same identity comes again until it comes with the mark; the mark is no part of it.
    let marked = format!("{}z=", &value[..22]);
    assert_eq!(ask(&server, &format!("/marked | Cookie: id={value}")), format!("204 Set-Cookie: id={marked}; path=/;"));
    assert_eq!(ask(&server, &format!("/marked | Cookie: id={marked}")), "204");
    assert_eq!(ask(&server, &format!("/id | Cookie: id={marked}")), "204");
}

/// A proxy says who is behind it; without its header nothing is served.
#[test]
fn proxy_protocol() {
    let http =
        "server { listen 127.0.0.1:PORT proxy_protocol; set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;
        location / { return 200 \"$remote_addr $proxy_protocol_addr $proxy_protocol_port\"; } }";
    let server = Server::start(http, &[]);
    let answer = server.raw(b"PROXY TCP4 192.0.2.1 192.0.2.2 123 80\r\nGET / HTTP/1.0\r\n\r\n");
    assert!(answer.ends_with("\n\n192.0.2.1 192.0.2.1 123<closed>"), "{answer}");
    assert_eq!(server.raw(b"GET / HTTP/1.0\r\n\r\n"), "<closed>");
    assert!(server.log().contains("broken header: \"GET / HTTP/1.0\" while reading PROXY protocol"));
}

#[test]
fn echo_subrequests() {
    let http = "server { listen 127.0.0.1:PORT; location / { echo a; echo_location /in x=1; echo_subrequest POST /in -q y=2 -b body; echo b; }
        location /in { echo \"$echo_request_method $args $request_body\"; } location /bad { echo_subrequest GET; } }";
    let server = Server::start(&http.replace("location /bad { echo_subrequest GET; }", ""), &[]);
    assert_eq!(server.body("/"), "a\nGET x=1 \nPOST y=2 body\nb\n");
    assert_eq!(
        refused(&http.replace("127.0.0.1:PORT", "8080")),
        "invalid number of arguments in \"echo_subrequest\" directive in conf/nginx.conf:4"
    );
}

#[test]
fn filters_in_lua_see_the_pieces() {
    let http = "server { listen 127.0.0.1:PORT; root html;
        body_filter_by_lua_block { ngx.arg[1] = '<' .. ngx.arg[1] .. (ngx.arg[2] and '!' or '') .. '>' }
        location /lua { content_by_lua_block { ngx.print('a', 'b') ngx.print('c') ngx.flush() ngx.print('d') } }
        location /echo { echo -n a; echo -n b; }
        location /return { return 200 text; }
        location /head { header_filter_by_lua_block { ngx.var.args = 'changed' } body_filter_by_lua_block { local x } content_by_lua_block { ngx.send_headers() ngx.print(ngx.var.args) } }
        location /refuse { error_page 582 = /other; header_filter_by_lua_block { ngx.exit(582) } body_filter_by_lua_block { local x } echo lost; }
        location /other { body_filter_by_lua_block { local x } echo found; } }";
    let server = Server::start(http, &[]);
    for (path, expected) in [("/lua", "<abcd><!>"), ("/echo", "<a><b><!>"), ("/refuse", "found\n")] {
        assert_eq!(server.body(path), expected, "{path}\n{}", server.log());
    }
    assert!(ask(&server, "/head?old").ends_with("; 7\\nchanged\\n0\\n\\n"));
    let chunks = ask(&server, "/lua");
    assert!(chunks.ends_with("; 4\\n<ab>\\n3\\n<c>\\n2\\n<>\\n3\\n<d>\\n3\\n<!>\\n0\\n\\n"), "{chunks}");
    // (a filter that lengthens the body has to clear Content-Length; the connection ends)
    assert!(ask(&server, "/return").ends_with(" Content-Length: 4; <text!>"));
}

#[test]
fn buffered_logs_are_written_in_the_end() {
    let http = "log_format u $uri; access_log logs/a.log u buffer=4k; server { listen 127.0.0.1:PORT; return 200 ok; }";
    let mut server = Server::start(http, &[]);
    server.body("/one");
    server.body("/two");
    assert_eq!(server.prefix.read("logs/a.log"), "");
    server.signal("QUIT");
    assert!(server.ended());
    assert_eq!(server.prefix.read("logs/a.log"), "/one\n/two\n");
    let refusal = refused("access_log a.log combined flush=1s; server { }");
    assert_eq!(refusal, "no buffer is defined for access_log \"a.log\" in conf/nginx.conf:3");
}

/// Identities: the server's address, asked for before they are given, given anew when they are reset.
#[test]
fn user_identities() {
    let http = "map $arg_reset $uid_reset { default 0; yes 1; log log; }
        server { listen 127.0.0.1:PORT; default_type text/plain; userid on; add_header Got $uid_got; add_header Set $uid_set;
        location / { return 200; } location /v1 { userid v1; return 200; } location /own { userid_service 65534; return 200; }
        location /log { userid log; return 200; } }";
    let server = Server::start(http, &[]);
    let header = |answer: &str, name: &str| {
        let value = answer.split(&format!(" {name}: ")).nth(1).and_then(|rest| rest.split(';').next());
        value.unwrap_or_default().to_string()
    };
    let first = ask(&server, "/");
    let (given, cookie) = (header(&first, "Set"), header(&first, "Set-Cookie"));
    assert!(given.starts_with("uid=0100007F") && given.len() == 36 && header(&first, "Got").is_empty(), "{first}");
    let again = ask(&server, &format!("/ | Cookie: a=b; {cookie}"));
    assert!(header(&again, "Got") == given && header(&again, "Set").is_empty(), "{again}");
    assert_eq!(header(&ask(&server, &format!("/log | Cookie: {cookie}")), "Got"), given);
    let reset = ask(&server, &format!("/?reset=log | Cookie: {cookie}"));
    assert!(
        header(&reset, "Got") == given && ![String::new(), given.clone()].contains(&header(&reset, "Set")),
        "{reset}"
    );
    assert!(
        server.log().contains("[notice] ") && server.log().contains(&format!("userid cookie \"{given}\" was reset"))
    );
    assert!(header(&ask(&server, "/v1"), "Set").starts_with("uid=00000000"));
    assert!(header(&ask(&server, "/own"), "Set").starts_with("uid=FEFF0000"));
    for (cookie, words) in [
        ("uid=abc", "too short"),
        ("uid=*********************=", "too short"),
        ("uid=**********************", "invalid"),
    ] {
        ask(&server, &format!("/ | Cookie: {cookie}"));
        assert!(server.log().contains(&format!("client sent {words} userid cookie")), "{}", server.log());
    }
}

#[test]
fn symbolic_links_can_be_refused() {
    let http = "server { listen 127.0.0.1:PORT; root html; default_type text/plain;
        location /on { disable_symlinks on from=$document_root; alias html; } location /off { alias html; }
        location /own { disable_symlinks if_not_owner; alias html; } location /sub { disable_symlinks on from=$document_root/sub; }
        location = /just { disable_symlinks on from=$request_filename; alias html/link; } }";
    let server = Server::start(http, &[("html/file", "text"), ("html/real/index.html", "page")]);
    let html = server.prefix.0.join("html");
    std::os::unix::fs::symlink("file", html.join("link")).unwrap();
    std::os::unix::fs::symlink("real", html.join("sub")).unwrap();
    // (somebody else's: what the link points to is root's, the link is nobody's)
    std::os::unix::fs::symlink("file", html.join("theirs")).unwrap();
    let others = std::os::unix::fs::lchown(html.join("theirs"), Some(65534), Some(65534)).is_ok();
    if !others {
        eprintln!("SKIPPED: only root can make links that are somebody else's");
        std::fs::remove_file(html.join("theirs")).unwrap();
    }
    let brief = |path: &str| ask(&server, path).split(' ').next().unwrap_or_default().to_string();
    for (path, status) in [
        ("/off/link", "200"),
        ("/on/file", "200"),
        ("/on/link", "403"),
        ("/on/sub/index.html", "403"),
        ("/on/none", "404"),
        ("/own/link", "200"),
        ("/own/theirs", if others { "403" } else { "404" }),
        ("/off/theirs", if others { "200" } else { "404" }),
        ("/sub/", "200"),
        ("/just", "200"),
    ] {
        assert_eq!(brief(path), status, "{path}\n{}", server.log());
    }
    assert!(server.log().contains("failed (40: Too many levels of symbolic links)"), "{}", server.log());
    assert_eq!(refused("disable_symlinks maybe;"), "invalid parameter \"maybe\" in conf/nginx.conf:3");
}

/// What was opened is remembered, and believed for its time.
#[test]
fn open_files_are_remembered() {
    let http = "server { listen 127.0.0.1:PORT; root html; default_type text/plain; open_file_cache max=10; open_file_cache_errors on;
        location /off/ { open_file_cache off; alias html/; } location /soon/ { open_file_cache_valid 1ms; alias html/; } }";
    let server = check(http, &[("html/a", "one")], &[("/a", "200 Content-Type: text/plain; Content-Length: 3; one")]);
    let replace = |name: &str, text: &str| {
        server.prefix.write("html/fresh", text);
        std::fs::rename(server.prefix.0.join("html/fresh"), server.prefix.0.join("html").join(name)).unwrap();
    };
    assert!(ask(&server, "/b").starts_with("404 "));
    replace("a", "another");
    replace("b", "new");
    assert_eq!(server.body("/a"), "one");
    assert!(ask(&server, "/b").starts_with("404 "));
    assert_eq!((server.body("/off/a"), server.body("/off/b")), ("another".into(), "new".into()));
    for text in ["another", "third"] {
        replace("a", text);
        until("it is looked at again", || server.body("/soon/a") == text);
    }
    assert_eq!(
        refused("open_file_cache inactive=5s;"),
        "\"open_file_cache\" must have the \"max\" parameter in conf/nginx.conf:3"
    );
    assert_eq!(
        refused("open_file_cache max=0;"),
        "invalid \"open_file_cache\" parameter \"max=0\" in conf/nginx.conf:3"
    );
}

/// A search that goes beyond PCRE's limit is a failure, not one that found nothing; a map falls back, a referrer gets the
/// benefit of the doubt.
#[test]
fn patterns_that_are_too_much() {
    let http = "map $arg_m $mapped { default fallen; '~^(a+)+[bc]\\1[xy]' hit; ~d late; }
        server { listen 127.0.0.1:PORT;
        location ~ '^/loc(a+)+[bc]\\1[xy]' { return 200 l; }
        location /rw { rewrite '^/rw(a+)+[bc]\\1[xy]' /x last; return 200 no; }
        location /if { if ($arg_m ~ '^(a+)+[bc]\\1[xy]') { return 201 yes; } return 200 no; }
        location /ifn { if ($arg_m !~ '^(a+)+[bc]\\1[xy]') { return 201 yes; } return 200 no; }
        location /map { return 200 $mapped; }
        location /ref { valid_referers '~(a+)+[bc]\\1[xy]'; return 200 \"[$invalid_referer]\"; } }
        server { listen 127.0.0.1:PORT; server_name '~^(a+)+[bc]\\1[xy]'; }";
    let server = Server::start(http, &[]);
    let hard = format!("{}d", "a".repeat(40));
    for (request, status) in [
        (format!("/loc{hard}"), "500"),
        (format!("/rw{hard}"), "500"),
        (format!("/if?m={hard}"), "500"),
        (format!("/ifn?m={hard}"), "500"),
        (format!("/map?m={hard}"), "200 Content-Type: text/plain; Content-Length: 6; fallen"),
        (format!("/ref | Referer: http://{hard}"), "200 Content-Type: text/plain; Content-Length: 2; []"),
    ] {
        let before = server.log().matches("[alert]").count();
        let answer = ask(&server, &request);
        assert!(answer.starts_with(status), "{request}: {answer}\n{}", server.log());
        let log = server.log();
        assert_eq!(log.matches("[alert]").count(), before + 1, "{request}: {log}");
        let line = log.lines().rfind(|line| line.contains("[alert]")).unwrap_or_default();
        assert!(
            line.contains("pcre2_match() failed: -47 on \"") && line.contains("(a+)+[bc]\\1[xy]\", client: "),
            "{line}"
        );
    }
    let named = server.raw(format!("GET / HTTP/1.0\r\nHost: {hard}\r\n\r\n").as_bytes());
    assert!(named.starts_with("HTTP/1.1 500 "), "{named}");
}

/// Patterns of the configuration are PCRE's.
#[test]
fn patterns_look_around_and_back() {
    let http = "map $arg_m $doubled { default no; ~^(.)\\1$ twice; }
        server { listen 127.0.0.1:PORT; default_type text/plain;
        location ~ ^/(?!api/)(?<name>[a-z]+)$ { return 200 \"name $name\"; }
        location ~* (?<=/)x(?=y) { return 200 between; }
        location / { rewrite ^/(\\w+)/\\1$ /-again last; return 200 \"rest $uri $doubled\"; }
        location = /-again { return 200 \"again $doubled\"; } }";
    let server = Server::start(http, &[]);
    for (path, expected) in
        [("/abc", "name abc"), ("/api/x", "rest /api/x no"), ("/XY", "between"), ("/q/q?m=aa", "again twice")]
    {
        assert_eq!(server.body(path), expected, "{}", server.log());
    }
}
