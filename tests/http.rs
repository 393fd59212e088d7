//! Requests without Lua: routing, files, redirects, errors, framing.

use crate::support::{Server, until};

fn check(http: &str, files: &[(&str, &str)], cases: &[(&str, &str)]) {
    let server = Server::start(http, files);
    for (request, expected) in cases {
        let answer = match request.strip_prefix("body ") {
            Some(path) => server.body(path),
            None => server.raw(request.as_bytes()),
        };
        assert_eq!(answer, *expected, "{request}\n{}", server.log());
    }
}

#[test]
fn locations() {
    let http = r#"server { listen 127.0.0.1:PORT;
        location / { return 200 "prefix"; }
        location = /exact { return 200 "exact"; }
        location /long/ { return 200 "long"; location /long/er/ { return 200 "nested"; } }
        location ^~ /plain/ { return 200 "no regex"; }
        location ~ \.php$ { return 200 "regex $uri"; }
        location ~* ^/CASE/(?<rest>.+)$ { return 200 "caseless $1 $rest"; }
    }"#;
    check(
        http,
        &[],
        &[
            ("body /", "prefix"),
            ("body /exact", "exact"),
            ("body /exact/", "prefix"),
            ("body /long/a", "long"),
            ("body /long/er/a", "nested"),
            ("body /plain/a.php", "no regex"),
            ("body /a%2ephp", "regex /a.php"),
            ("body /case/X", "caseless X X"),
            ("body //long/../exact", "exact"),
        ],
    );
}

#[test]
fn files() {
    let http = "server { listen 127.0.0.1:PORT; root html; index i.html; location /a/ { alias html/sub/; } }";
    let files = [("html/x.html", "<p>\n"), ("html/sub/i.html", "index\n"), ("html/sub/y", "0123456789")];
    check(
        http,
        &files,
        &[
            (
                "GET /x.html HTTP/1.1\r\nHost: h\r\n\r\n",
                "HTTP/1.1 200 OK\nServer: perilune/0.1.0\nDate: DATE\nContent-Type: text/html\nContent-Length: 4\n\
                 Last-Modified: DATE\nConnection: keep-alive\nETag: TAG\nAccept-Ranges: bytes\n\n<p>\n",
            ),
            ("body /sub/", "index\n"),
            ("body /a/i.html", "index\n"),
            (
                "GET /sub?q HTTP/1.0\r\n\r\n",
                "HTTP/1.1 301 Moved Permanently\nServer: perilune/0.1.0\nDate: DATE\nContent-Type: text/html\n\
                 Content-Length: 171\nLocation: http://127.0.0.1:PORT/sub/?q\nConnection: close\n\n<html>\n<head>\
                 <title>301 Moved Permanently</title></head>\n<body>\n<center><h1>301 Moved Permanently</h1></center>\n\
                 <hr><center>perilune/0.1.0</center>\n</body>\n</html>\n<closed>",
            ),
            (
                "GET /sub/y HTTP/1.0\r\nRange: bytes=2-4\r\n\r\n",
                "HTTP/1.1 206 Partial Content\nServer: perilune/0.1.0\nDate: DATE\nContent-Type: text/plain\n\
                 Content-Length: 3\nLast-Modified: DATE\nConnection: close\nETag: TAG\nContent-Range: bytes 2-4/10\n\n\
                 234<closed>",
            ),
        ],
    );
}

#[test]
fn connections() {
    let http = "server { listen 127.0.0.1:PORT; location / { return 200 ok; } location /n { return 444; } }";
    let ok = |alive: &str| {
        format!(
            "HTTP/1.1 200 OK\nServer: perilune/0.1.0\nDate: DATE\nContent-Type: text/plain\nContent-Length: 2\n\
             Connection: {alive}\n\nok"
        )
    };
    let (open, closed) = (ok("keep-alive"), ok("close") + "<closed>");
    let bodiless = open.strip_suffix("ok").unwrap();
    check(
        http,
        &[],
        &[
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &open),
            ("GET / HTTP/1.0\r\n\r\n", &closed),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &open),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", &closed),
            ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", bodiless),
            ("GET /n HTTP/1.1\r\nHost: a\r\n\r\n", "<closed>"),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.0\r\n\r\n", &format!("{open}{closed}")),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.0\r\n\r\n",
                &format!("{open}{closed}"),
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.0\r\n\r\n",
                &format!("{open}{closed}"),
            ),
        ],
    );
}

#[test]
fn refused_heads() {
    let server = Server::start("server { listen 127.0.0.1:PORT; }", &[]);
    for (request, status) in [
        ("get / HTTP/1.1\r\n\r\n".to_string(), "400 Bad Request"),
        ("GET / HTTP/1.1\r\n\r\n".to_string(), "400 Bad Request"),
        ("GET / HTTP/2.3\r\n\r\n".to_string(), "505 HTTP Version Not Supported"),
        ("GET /../x HTTP/1.0\r\n\r\n".to_string(), "400 Bad Request"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n".to_string(), "501 Not Implemented"),
        (format!("GET /{} HTTP/1.0\r\n\r\n", "a".repeat(9000)), "414 Request-URI Too Large"),
        (format!("GET / HTTP/1.0\r\nX: {}\r\n\r\n", "a".repeat(9000)), "400 Bad Request"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n".to_string(), "413 Request Entity Too Large"),
    ] {
        let answer = server.raw(request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\nServer: ")), "{answer}");
        assert!(answer.ends_with("</html>\n<closed>"), "{answer}");
    }
    let log = server.log();
    for words in [
        "client sent invalid method while reading client request line, client: 127.0.0.1, server: , request: \"get / HTTP/1.1\"",
        "client sent HTTP/1.1 request without \"Host\" header while reading client request headers",
        "client intended to send too large body: 2000000 bytes",
    ] {
        assert!(log.contains(words), "{log}");
    }
}

#[test]
fn refused_heads_have_error_pages() {
    let server = Server::start(
        "server { listen 127.0.0.1:PORT; error_page 400 = /bad; error_page 505 /old; error_page 414 @none;
         location = /bad { content_by_lua_block {
             ngx.req.set_header('Cookie', 'a=b') ngx.header.x = ngx.var.cookie_a ngx.say('bad ', ngx.req.get_method())
         } }
         location = /old { return 200 old; } }",
        &[],
    );
    for (line, start, end) in [
        ("GeT / HTTP/1.1", "HTTP/1.1 200 OK\n", "Connection: close\nx: b\n\nbad GET\n<closed>"),
        ("GET / HTTP/2.3", "HTTP/1.1 505 HTTP Version Not Supported\n", "\n\nold<closed>"),
    ] {
        let answer = server.raw(format!("{line}\r\nHost: a\r\n\r\n").as_bytes());
        assert!(answer.starts_with(start) && answer.ends_with(end), "{answer}\n{}", server.log());
    }
    let long = server.raw(format!("GET /{} HTTP/1.0\r\n\r\n", "a".repeat(9000)).as_bytes());
    assert!(long.starts_with("HTTP/1.1 500 "), "{long}");
}

#[test]
fn rewrite_and_variables() {
    let http = r#"map $arg_k $m { default none; foo bar; ~(\d+)$ "num $1"; }
    server { listen 127.0.0.1:PORT; server_name one;
        location /rw { rewrite ^/rw/(.*)$ /re/$1-$arg_z last; }
        location /re { return 200 "$uri $args"; }
        location /out { rewrite ^/out/(.*)$ /re/$1 permanent; }
        location /if { set $a 5; if ($arg_q = "1") { return 201 "yes $a"; } if ($http_x ~ (b+)) { set $a $1; } return 200 "no $a"; }
        location /map { return 200 "$m"; }
        location /try { try_files $uri /re/missing?x; }
        location /cycle { rewrite ^ /cycle last; }
        location /page { error_page 404 =200 /re/page; error_page 405 @named; return 404; }
        location /kept { error_page 404 /re/kept; return 404; }
        location @named { return 200 named; }
        location /inner { internal; return 200 secret; }
    }
    server { listen 127.0.0.1:PORT; server_name *.two; return 200 "$server_name $host"; }"#;
    check(
        http,
        &[],
        &[
            ("body /rw/a?z=1", "/re/a-1 z=1"),
            ("body /if?q=1", "yes 5"),
            ("body /if", "no 5"),
            ("body /map?k=FOO", "bar"),
            ("body /map?k=a12", "num 12"),
            ("body /map", "none"),
            ("body /try", "/re/missing x"),
            ("body /page", "/re/page "),
        ],
    );
    let server = Server::start(http, &[]);
    assert!(server.get("/kept").starts_with("HTTP/1.1 404 Not Found\n"));
    assert!(server.get("/inner").starts_with("HTTP/1.1 404 Not Found\n"));
    assert!(server.get("/cycle").starts_with("HTTP/1.1 500 Internal Server Error\n"));
    assert!(server.log().contains("rewrite or internal redirection cycle while processing \"/cycle\""));
    assert!(server.get("/out/x?y").contains("\nLocation: http://localhost:PORT/re/x?y\n"));
    let other = server.raw(b"GET / HTTP/1.0\r\nHost: a.two:9\r\n\r\n");
    assert!(other.ends_with("\n\n*.two a.two<closed>"), "{other}");
}

#[test]
fn access_log() {
    let server = Server::start(
        "log_format short '$status \"$request\" $body_bytes_sent $http_x'; access_log logs/a.log short;
         server { listen 127.0.0.1:PORT; return 200 abc; }",
        &[],
    );
    server.raw(b"GET /q HTTP/1.0\r\nX: a\"b\r\n\r\n");
    server.raw(b"nonsense\r\n\r\n");
    let log = server.prefix.read("logs/a.log");
    assert_eq!(log, "200 \"GET /q HTTP/1.0\" 3 a\\x22b\n400 \"nonsense\" 157 -\n".replace("157", "159"));
}

#[test]
fn large_files_arrive_whole() {
    let text: String = (0..40_000).map(|n| format!("line {n}\n")).collect();
    let server = Server::start("server { listen 127.0.0.1:PORT; root html; }", &[("html/large.txt", &text)]);
    assert!(server.body("/large.txt") == text);
    let part = server.raw(b"GET /large.txt HTTP/1.0\r\nRange: bytes=1000-200999\r\n\r\n");
    let body = part.split_once("\n\n").map_or("", |(_, body)| body).trim_end_matches("<closed>");
    assert!(part.starts_with("HTTP/1.1 206 ") && body == &text[1000..201_000]);
}

/// What is wrong is refused, and what is cut off is never taken for whole.
#[test]
fn hostile_clients() {
    let http = r#"server { listen 127.0.0.1:PORT;
            location / { return 200 "hi"; }
            location /slow { return 408; }
            location /read { content_by_lua_block { ngx.req.read_body() ngx.print("read") } }
            location /short { content_by_lua_block { ngx.header.content_length = 9 ngx.print("abc") } }
            location /long { content_by_lua_block { ngx.header.content_length = 1 ngx.print("abc") } }
        }"#;
    let server = Server::start(http, &[]);
    let next = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let long_tail = "x".repeat(1 << 20);
    for (request, expected) in [
        ("\x16\x03\x01\x02\x00\x01".to_string(), "400 closed"),
        ("get /".to_string(), "400 closed"),
        ("GET / HTTP/9.9\r\n".to_string(), "505 closed"),
        ("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n".to_string(), "closed"),
        (format!("GET /short HTTP/1.1\r\nHost: h\r\n\r\n{next}"), "200 closed"),
        (format!("GET /long HTTP/1.1\r\nHost: h\r\n\r\n{next}"), "200 closed"),
        (
            format!("POST /read HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{long_tail}"),
            "400 closed",
        ),
        (format!("{next}{next}"), "200 200"),
    ] {
        let answer = server.raw(request.as_bytes());
        let mut seen: Vec<&str> = answer.split("HTTP/1.1 ").skip(1).map(|head| &head[..3]).collect();
        if answer.ends_with("<closed>") {
            seen.push("closed");
        }
        assert_eq!(seen.join(" "), expected, "{:?}: {answer}", &request[..request.len().min(200)]);
    }
}

/// Who stops in the middle is waited for, but not for ever, and gets no answer.
#[test]
fn clients_that_stop() {
    let server = Server::start(
        "client_header_timeout 200ms; client_body_timeout 200ms; server { listen 127.0.0.1:PORT;
            location /read { content_by_lua_block { ngx.req.read_body() ngx.print('read') } } }",
        &[],
    );
    // (the time may be over before a client has come to say this much)
    let late = "client timed out (110: Connection timed out) while reading client request line";
    until(late, || {
        assert_eq!(server.raw(b"GET / HT"), "<closed>", "{}", server.log());
        server.log().contains(late)
    });
    let body = b"POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab";
    assert_eq!(server.raw(body), "<closed>", "{}", server.log());
}

#[test]
fn request_ids_differ_but_for_subrequests() {
    let http = r#"server { listen 127.0.0.1:PORT;
        location = /sub { return 200 $request_id; }
        location / { content_by_lua_block {
            local id = ngx.var.request_id
            ngx.print(id, " ", id == ngx.location.capture("/sub").body and ngx.var.request_id == id)
        } }
    }"#;
    let server = Server::start(http, &[]);
    let mut seen = Vec::new();
    for _ in 0..20 {
        let body = server.body("/");
        let id = body.strip_suffix(" true").unwrap_or_else(|| panic!("{body}\n{}", server.log())).to_string();
        assert!(id.len() == 32 && id.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')), "{id}");
        assert!(!seen.contains(&id), "{id} twice");
        seen.push(id);
    }
}
