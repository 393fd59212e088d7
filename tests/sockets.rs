//! The client's connection in Lua's hands (`ngx.req.socket`), and clients that go away.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use crate::support::{Server, until};

/// A request with a body of declared length.
fn post(path: &str, length: usize, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// The same, and the connection may go on.
fn post_and_stay(path: &str, length: usize, body: &str) -> String {
    post(path, length, body).replacen("Connection: close\r\n", "", 1)
}

fn server(lua: &[(&str, &str)]) -> Server {
    let locations: String =
        lua.iter().map(|(path, code)| format!("location = {path} {{ content_by_lua_block {{ {code} }} }}\n")).collect();
    Server::start(
        &format!(
            "server {{ listen 127.0.0.1:PORT; lua_socket_log_errors off; client_header_timeout 60; {locations} }}"
        ),
        &[],
    )
}

/// The bodies of the responses to what is sent over one connection.
fn said(server: &Server, bytes: &str) -> String {
    let answer = server.raw(bytes.as_bytes());
    let body = |response: &str| response.split_once("\n\n").map_or("", |(_, body)| body).to_string();
    answer.split("HTTP/1.1 ").skip(1).map(body).collect()
}

#[test]
fn the_request_body_as_a_socket() {
    let close = "ngx.header['Content-Length'] = #out ngx.print(out)";
    let read = format!(
        "local s = assert(ngx.req.socket()) local out = '' for i = 1, 3 do out = out .. table.concat({{ tostring((select(1, s:receive(4)))) }}) end {close}"
    );
    let end = format!(
        "local s = assert(ngx.req.socket()) local a = s:receiveuntil('--')() local _, err, rest = s:receive(100) local out = a .. '|' .. err .. '|' .. rest {close}"
    );
    let refused = |before: &str| {
        format!("{before} local s, err = ngx.req.socket() local out = tostring(s) .. ' ' .. tostring(err) {close}")
    };
    let methods = format!(
        "local s = ngx.req.socket() local out = '' for _, m in ipairs {{ 'send', 'close', 'connect', 'setkeepalive' }} do out = out .. tostring(s[m]) end {close}"
    );
    let later = format!(
        "local s = ngx.req.socket() s:receive(2) ngx.req.read_body() local out = tostring(ngx.req.get_body_data()) .. tostring(ngx.req.get_body_file()) {close}"
    );
    let some = "local s = ngx.req.socket() local out = s:receive(2) ngx.header['Content-Length'] = 2 ngx.print(out)"
        .to_string();
    let sub = format!(
        "local out = '' ngx.req.read_body() local r = ngx.location.capture('/inner') out = out .. r.body {close}"
    );
    let server = server(&[
        ("/read", &read),
        ("/end", &end),
        ("/twice", &refused("ngx.req.socket()")),
        ("/after", &refused("ngx.req.read_body()")),
        ("/discarded", &refused("ngx.req.discard_body()")),
        ("/plain", &refused("")),
        ("/methods", &methods),
        ("/later", &later),
        ("/some", &some),
        ("/sub", &sub),
        ("/inner", "ngx.say(select(2, pcall(ngx.req.socket)))"),
    ]);
    let rows = [
        (post("/read", 12, "abcdefghijkl"), "abcdefghijkl<closed>"),
        (post("/read", 9, "abcdefghi"), "abcdefghnil<closed>"),
        (post("/end", 10, "head--tail"), "head|closed|tail<closed>"),
        (post("/twice", 1, "x"), "nil request body already exists<closed>"),
        (post("/after", 1, "x"), "nil request body already exists<closed>"),
        (post("/discarded", 1, "x"), "nil request body discarded<closed>"),
        (post("/plain", 0, ""), "nil no body<closed>"),
        (
            "POST /plain HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n".into(),
            "nil chunked request bodies not supported yet<closed>",
        ),
        (post("/methods", 1, "x"), "nilnilnilnil<closed>"),
        (post("/later", 4, "body"), "nilnil<closed>"),
        (post("/sub", 1, "x"), "attempt to read the request body in a subrequest\n<closed>"),
        // What Lua left of the body is nobody's request.
        (post_and_stay("/some", 9, "abcdefghi") + &post_and_stay("/some", 2, "xy") + &post("/read", 4, "last"), "abxylastnilnil<closed>"),
    ];
    for (request, expected) in rows {
        assert_eq!(said(&server, &request), expected, "{request:?}\n{}", server.log());
    }
    // A client that waits to be asked is asked.
    let expect =
        "POST /read HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    let mut client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    client.write_all(expect.as_bytes()).unwrap();
    let mut asked = [0; 25];
    client.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"abcd").unwrap();
    let mut rest = String::new();
    client.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("\r\n\r\nabcdnilnil"), "{rest}");
}

#[test]
fn a_body_that_does_not_come() {
    let server = server(&[(
        "/t",
        "local s = ngx.req.socket() local _, err, part = s:receive(10) ngx.log(ngx.NOTICE, 'ended: ', err, ' ', part)",
    )]);
    let mut client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    client.write_all(post("/t", 10, "abc").as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    let _ = client.read_to_string(&mut rest);
    assert_eq!(server.log().matches("ended: client aborted abc").count(), 1, "{}", server.log());
}

/// A form that comes in parts, read as the libraries for uploads do it: up to the boundary, a header a line, the body in pieces
/// that never are longer than asked for, with part of a boundary in it, however the bytes come in.
const FORM: &str = r#"
    local boundary = ngx.req.get_headers().content_type:match('boundary=(.*)')
    local sock = assert(ngx.req.socket())
    sock:settimeout(60000)
    local out, size = {}, tonumber(ngx.var.arg_size)
    local function note(...) out[#out + 1] = table.concat({ ... }, ' ') end
    local to_part, to_next = sock:receiveuntil('--' .. boundary), sock:receiveuntil('\r\n--' .. boundary)
    -- (what stands before the first boundary belongs to nobody)
    repeat local data = assert(to_part(size)) until #data < size
    if #(to_part(size) or '') > 0 then note('more') end
    while true do
        local tail = assert(sock:receive(2))
        if tail == '--' then break end
        if tail ~= '\r\n' then note('odd', tail) break end
        for line in function() return assert(sock:receive()) end do
            if line == '' then break end
            note('header', line)
        end
        local body, longest = {}, 0
        while true do
            local data, err = to_next(size)
            if err then note('error', err) break end
            if not data then break end
            body[#body + 1], longest = data, math.max(longest, #data)
        end
        body = table.concat(body)
        note('body', #body, ngx.md5(body), longest <= size and 'in pieces' or 'too long')
    end
    local rest, err = sock:receive('*a')
    note('rest', tostring(rest))
    ngx.header.content_length = #table.concat(out, '\n')
    ngx.print(table.concat(out, '\n'))
"#;

#[test]
fn forms_are_read_in_pieces() {
    let server = server(&[("/form", FORM)]);
    let file: String = (0..3000).map(|n| ["x", "\r\n", "-", "--bou", "\r\n--bound", "\n"][n % 6]).collect();
    let parts = [("name=\"a\"", "value"), ("name=\"f\"; filename=\"f.bin\"", &file), ("name=\"e\"", "")];
    let mut body = "preface\r\n".to_string();
    for (what, text) in parts {
        body.push_str(&format!("--boundary\r\nContent-Disposition: form-data; {what}\r\n\r\n{text}\r\n"));
    }
    body.push_str("--boundary--\r\nafterwards");
    let text = |bytes: &str| format!("{} {}", bytes.len(), digest(bytes));
    let mut expected = String::new();
    for (what, bytes) in parts {
        expected.push_str(&format!("header Content-Disposition: form-data; {what}\nbody {} in pieces\n", text(bytes)));
    }
    expected.push_str("rest \r\nafterwards");
    let head = |size: usize| {
        format!(
            "POST /form?size={size} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=boundary\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
    };
    for size in [1, 7, 10, 4096] {
        // At once; and in pieces that end in the middle of boundaries.
        for piece in [body.len(), 5] {
            let mut client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
            client.set_nodelay(true).unwrap();
            client.write_all(head(size).as_bytes()).unwrap();
            body.as_bytes().chunks(piece).for_each(|piece| client.write_all(piece).unwrap());
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            let (_, answer) = answer.split_once("\r\n\r\n").unwrap();
            assert_eq!(answer, expected, "{size} {piece}\n{}", server.log());
        }
    }
}

/// MD5 in hexadecimal digits.
fn digest(text: &str) -> String {
    use md5::Digest;
    md5::Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

const UPGRADE: &str = "GET /raw HTTP/1.1\r\nHost: localhost\r\nUpgrade: mine\r\n\r\n";

#[test]
fn the_raw_connection() {
    let raw = "local s = assert(ngx.req.socket(true))";
    let chunked = "local s = ngx.req.socket(true) local size = tonumber(s:receive(), 16) s:send('HTTP/1.1 200 OK\\r\\n\\r\\n' .. s:receive(size))";
    let server = server(&[
        // Both directions at a time, past what nginx would say.
        (
            "/raw",
            &format!(
                "ngx.status = 101 ngx.send_headers() ngx.flush(true) {raw}
                 local reader = ngx.thread.spawn(function() for i = 1, 2 do s:send('got ' .. s:receive() .. '\\n') end end)
                 s:send('hello\\n') ngx.thread.wait(reader) ngx.sleep(0.001)"
            ),
        ),
        ("/own", &format!("{raw} s:send('HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')")),
        ("/first", &format!("ngx.print('first,') {raw} s:send('then')")),
        ("/twice", &format!("{raw} s:send(select(2, ngx.req.socket(true)))")),
        (
            "/print",
            &format!(
                "{raw} local out = {{}} for _, f in ipairs {{ ngx.say, ngx.print, ngx.eof, ngx.flush }} do out[#out + 1] = tostring(select(2, f())) end s:send(table.concat(out, ','))"
            ),
        ),
        ("/body", &format!("{raw} ngx.req.read_body() s:send(tostring(ngx.req.get_body_data()) .. s:receive(4))")),
        ("/chunked", chunked),
        ("/busy", "ngx.thread.spawn(ngx.req.read_body) ngx.say(select(2, ngx.req.socket(true))) ngx.exit(200)"),
        ("/old", "ngx.say('x') ngx.say(select(2, ngx.req.socket(true)))"),
    ]);
    let answer = |request: &str| server.raw(request.as_bytes());
    let full = answer(&format!("{UPGRADE}one\ntwo\n"));
    assert!(full.starts_with("HTTP/1.1 101 "), "{full}");
    assert!(full.ends_with("\n\nhello\ngot one\ngot two\n<closed>"), "{full}");
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let rows = [
        (get("/own") + &get("/own"), "HTTP/1.1 200 OK\nContent-Length: 2\n\nok<closed>"),
        (get("/twice"), "duplicate call<closed>"),
        (
            get("/print"),
            "raw request socket acquired,raw request socket acquired,raw request socket acquired,raw request socket acquired<closed>",
        ),
        (post("/body", 4, "body"), "nilbody<closed>"),
        (
            "POST /chunked HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".into(),
            "HTTP/1.1 200 OK\n\nhello<closed>",
        ),
    ];
    for (request, expected) in rows {
        assert_eq!(answer(&request), expected, "{request:?}\n{}", server.log());
    }
    assert!(answer(&get("/first")).ends_with("first,\nthen<closed>"), "what was printed goes first");
    let busy = answer(&post("/busy", 5, "abcd"));
    assert!(busy.contains("pending request body reading in some other thread\n"), "{busy}");
    assert!(answer("GET /old HTTP/1.0\r\n\r\n").ends_with("\n\nx\nhttp 1.0 buffering\n<closed>"));
}

/// What is logged of a client that sends this, and goes away while Lua sleeps.
fn leaves(request: &str, expected: &[&str]) {
    let server = Server::start(
        "log_format s '$uri $status'; access_log logs/access.log s; lua_check_client_abort on;
        server { listen 127.0.0.1:PORT;
            location = /stop { content_by_lua_block { ngx.log(ngx.NOTICE, 'begun') ngx.sleep(120) ngx.log(ngx.NOTICE, 'went on') } }
            location = /sub { content_by_lua_block { ngx.location.capture('/stop') } }
            location = /told { content_by_lua_block {
                ngx.on_abort(function() ngx.log(ngx.NOTICE, 'told') ngx.exit(499) end)
                ngx.log(ngx.NOTICE, 'begun') ngx.sleep(120) ngx.log(ngx.NOTICE, 'went on')
            } }
        }",
        &[],
    );
    let mut client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    client.write_all(request.as_bytes()).unwrap();
    until("it begins", || server.log().contains("begun"));
    drop(client);
    until("it is logged", || server.prefix.read("logs/access.log").contains(" 499"));
    for text in expected {
        assert_eq!(server.log().matches(text).count(), 1, "{text:?} in\n{}", server.log());
    }
    assert!(!server.log().contains("went on"), "{}", server.log());
}

#[test]
fn clients_that_leave() {
    let gone = "client prematurely closed connection";
    leaves("GET /stop HTTP/1.1\r\nHost: h\r\n\r\n", &[gone]);
    leaves("GET /told HTTP/1.1\r\nHost: h\r\n\r\n", &[gone, ": told,"]);
    leaves("GET /sub HTTP/1.1\r\nHost: h\r\n\r\n", &[gone]);
    // Whatever lies unread: a body, half a body, the next request.
    leaves(&post("/stop", 5, "hello"), &[gone]);
    leaves(&post("/stop", 50, "hello"), &[gone]);
    leaves("GET /stop HTTP/1.1\r\nHost: h\r\n\r\nGET /stop HTTP/1.1\r\nHost: h\r\n\r\n", &[gone]);
}

#[test]
fn output_that_nobody_reads_is_refused() {
    let server = server(&[(
        "/t",
        "for i = 1, 10000 do local ok, err = ngx.say(('x'):rep(2000)) if not ok then ngx.log(ngx.NOTICE, 'say: ', err) break end ngx.flush(true) end",
    )]);
    let mut client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    client.write_all(b"GET /t HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    client.read_exact(&mut [0; 100]).unwrap();
    drop(client);
    until("Lua is told", || server.log().contains("say: nginx output filter error"));
}

#[test]
fn output_that_is_not_held_back_fails_at_once() {
    let server = Server::start(
        "init_by_lua_block { begun, ended = {}, 0 } server { listen 127.0.0.1:PORT; postpone_output 1;
            location = /say { content_by_lua_block {
                begun.say = true while not gone do ngx.sleep(0.001) end
                ngx.log(ngx.NOTICE, 'say: ', select(2, ngx.say('x'))) ended = ended + 1
            } }
            location = /eof { content_by_lua_block {
                begun.eof = true while not gone do ngx.sleep(0.001) end
                ngx.log(ngx.NOTICE, 'eof: ', select(2, ngx.eof())) ended = ended + 1
            } }
            location = /begun { content_by_lua_block { ngx.print(begun.say and begun.eof and 'both') } }
            location = /gone { content_by_lua_block { gone = true ngx.say(ngx.say('first')) } }
            location = /ended { content_by_lua_block {
                if ended == 2 then begun, ended, gone = {}, 0, nil ngx.print('both') end
            } } }",
        &[],
    );
    // (on a busy machine the kernel may take its time to tell one side of the other's end)
    until("both are told", || {
        let clients = ["/say", "/eof"].map(|path| {
            let mut client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
            client.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
            client
        });
        until("they begin", || server.body("/begun") == "both");
        drop(clients);
        assert_eq!(server.body("/gone"), "first\n1\n");
        until("they end", || server.body("/ended") == "both");
        let log = server.log();
        ["say", "eof"].iter().all(|what| log.contains(&format!("{what}: nginx output filter error")))
    });
}

#[test]
fn a_body_cut_short_is_a_bad_request() {
    let server = Server::start(
        "log_format s '$uri $status'; access_log logs/access.log s;
        server { listen 127.0.0.1:PORT;
            location = /lua { content_by_lua_block { ngx.req.read_body() ngx.log(ngx.ERR, 'went on') } }
            location = /echo { echo_read_request_body; echo done; } }",
        &[],
    );
    for (n, path) in ["/lua", "/echo"].into_iter().enumerate() {
        let mut client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        client.write_all(post(path, 10, "abc").as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        let _ = client.read_to_string(&mut answer);
        assert_eq!(answer, "", "{path}");
        until("it is logged", || server.log().matches("client prematurely closed connection").count() == n + 1);
        until("the request ends", || server.prefix.read("logs/access.log").lines().count() == n + 1);
    }
    assert_eq!(server.prefix.read("logs/access.log"), "/lua 400\n/echo 400\n");
    assert!(!server.log().contains("went on"), "{}", server.log());
}

#[test]
fn idle_clients_have_the_time_the_location_gives() {
    let server = Server::start(
        "keepalive_timeout 100ms; server { listen 127.0.0.1:PORT;
            location = /t { keepalive_requests 2; return 200 t; } location = /u { return 200 u; } }",
        &[],
    );
    // (shorter than the time for a request's head, which the connection began with)
    let one = "GET /u HTTP/1.1\r\nHost: h\r\n\r\n";
    assert!(server.raw_to_end(one.as_bytes()).ends_with("\n\nu<closed>"));
    let two = "GET /t HTTP/1.1\r\nHost: h\r\n\r\n".repeat(3);
    assert_eq!(server.raw(two.as_bytes()).matches("HTTP/1.1 200").count(), 2);
}

#[test]
fn echo_location_puts_subrequests_in() {
    let server = Server::start(
        "server { listen 127.0.0.1:PORT; set $v 1;
            location = /t { echo before; echo_location /sub?a=1; echo_location /sub b=2; echo_location /none; echo after; }
            location = /sub { echo $args; } location = /none { return 404; } }",
        &[],
    );
    let body = server.body("/t");
    assert!(body.starts_with("before\na=1\nb=2\n<html>"), "{body}");
    assert!(body.ends_with("</html>\nafter\n"), "{body}");
}

/// Those behind an asynchronous one do not wait for it; the output has the commands' order all the same.
#[test]
fn asynchronous_subrequests_run_side_by_side() {
    let server = Server::start(
        "server { listen 127.0.0.1:PORT;
            location = /t { echo a; echo_location_async /first; echo b; echo_subrequest_async GET /second; echo c; }
            location = /mixed { echo_location_async /first; echo_location /second; echo_flush; echo end; }
            location = /first { content_by_lua_block { while not told do ngx.sleep(0.001) end ngx.say('first ', told) } }
            location = /second { content_by_lua_block { told = 'was told' ngx.say('second') } } }",
        &[],
    );
    assert_eq!(server.body("/t"), "a\nfirst was told\nb\nsecond\nc\n");
    assert_eq!(server.body("/mixed"), "first was told\nsecond\nend\n");
}

/// What is written right before a socket, or the worker itself, goes still arrives, all of it and in order.
#[test]
fn the_last_words_of_a_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap().port();
    let heard = || {
        let mut text = String::new();
        listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
        text
    };
    let say = format!("local s = ngx.socket.tcp() assert(s:connect('127.0.0.1', {peer}))");
    let many = "for i = 1, 3000 do assert(s:send(i .. ' ')) end";
    let mut server = server(&[
        ("/close", &format!("{say} assert(s:send('one ')) assert(s:send('two')) s:close() ngx.say('said')")),
        ("/leave", &format!("{say} assert(s:send('left')) ngx.say('said')")),
        ("/fail", &format!("{say} assert(s:send('failed')) error('on purpose')")),
        ("/many", &format!("{say} {many} s:send(('x'):rep(20000)) s:send('end') s:close() ngx.say('said')")),
        (
            "/kill",
            &format!(
                "{say} ngx.thread.kill(ngx.thread.spawn(function() s:send('killed') ngx.sleep(60) end)) ngx.say('said')"
            ),
        ),
        (
            "/timer",
            &format!(
                "ngx.timer.at(3600, function(premature) {say} s:send('premature: ' .. tostring(premature)) end) ngx.say('said')"
            ),
        ),
    ]);
    for (path, words) in [("/close", "one two"), ("/leave", "left"), ("/kill", "killed")] {
        assert_eq!((server.body(path).as_str(), heard().as_str()), ("said\n", words), "{path}");
    }
    server.body("/fail");
    assert_eq!(heard(), "failed");
    let all: String = (1..=3000).map(|i| format!("{i} ")).collect();
    assert_eq!(server.body("/many"), "said\n");
    assert!(heard() == format!("{all}{}end", "x".repeat(20_000)));
    assert_eq!(server.body("/timer"), "said\n");
    server.signal("QUIT");
    assert_eq!(heard(), "premature: true");
    until("the server has ended", || server.ended());
}
