//! Stream sockets: against a server that answers each line in capitals, and name servers of our own.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ngx::request::LuaConf;
use ngx::resolver::Servers;

use crate::support::{Given, check, check_given};

/// A port where lines are answered; `quit` ends the connection.
fn shouting() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut from = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                while from.read_line(&mut line).is_ok_and(|n| n > 0) && line != "quit\n" {
                    if (&stream).write_all(line.to_uppercase().as_bytes()).is_err() {
                        return;
                    }
                    line.clear();
                }
            });
        }
    });
    port
}

/// Runs snippets with PORT in them.
#[track_caller]
fn check_at(port: u16, rows: &[(&str, &str)]) {
    let sources: Vec<String> = rows.iter().map(|row| row.0.replace("PORT", &port.to_string())).collect();
    let rows: Vec<(&str, &str)> = sources.iter().zip(rows).map(|(source, row)| (&source[..], row.1)).collect();
    check(&rows);
}

const CLOSED: &str =
    "[error] attempt to receive data on a closed socket: u:0000000000000000, c:0000000000000000, ft:0 eof:0\n";

#[test]
fn wrong_arguments() {
    check(&[
        ("ngx.say(pcall(ngx.socket.tcp, 1))", "falseexpecting zero arguments, but got 1\n"),
        (
            "local s = ngx.socket.tcp() ngx.say(pcall(s.receive, 'l'))",
            "falsebad argument #1 to '?' (table expected, got string)\n",
        ),
        (
            "local s = ngx.socket.tcp() ngx.say(pcall(s.send, 'x'))",
            "falseexpecting 2 arguments (including the object), but got 1\n",
        ),
        (
            "local s = ngx.socket.tcp() ngx.say(pcall(s.receiveany, s))",
            "falseexpecting 2 arguments (including the object), but got 1\n",
        ),
        ("local s = ngx.socket.tcp() ngx.say(pcall(s.settimeout, s, -1))", "falsebad timeout value\n"),
        ("local s = ngx.socket.tcp() ngx.say(s:receiveuntil(''))", "nilpattern is empty\n"),
        ("local s = ngx.socket.tcp() ngx.say(s.receive({}))", &format!("nilclosed\n{CLOSED}")),
        ("local s = ngx.socket.tcp() ngx.say(s:close()) ngx.say(s:getreusedtimes())", "nilclosed\nnilclosed\n"),
        (
            "local s = ngx.socket.tcp() ngx.say(s:connect('h')) ngx.say(s:connect('h', {}))",
            "nilmissing the port number\nnilmissing the port number\n",
        ),
        ("local s = ngx.socket.tcp() ngx.say(s:connect('h', 65536))", "nilbad port number: 65536\n"),
        ("ngx.say(ngx.socket.connect('', 80))", "nilfailed to parse host name \"\": no host\n"),
        ("ngx.say(ngx.socket.connect('h:x', 80))", "nilfailed to parse host name \"h:x\": invalid port\n"),
        ("ngx.say(ngx.socket.connect('[::1', 80))", "nilfailed to parse host name \"[::1\": invalid host\n"),
        (
            "local s = ngx.socket.tcp() ngx.say(pcall(s.connect, s, 'h', 1, { pool = {} }))",
            "falsebad argument #4 to '?' (bad \"pool\" option type: table)\n",
        ),
        (
            "local s = ngx.socket.tcp() ngx.say(pcall(s.connect, s, 'h', 1, { pool_size = 0 }))",
            "falsebad argument #4 to '?' (bad \"pool_size\" option value: 0)\n",
        ),
        (
            "local s = ngx.socket.tcp() ngx.say(pcall(s.connect, s, 'h', 1, { pool_size = 'a' }))",
            "falsebad argument #4 to '?' (bad \"pool_size\" option type: string)\n",
        ),
        (
            "local s = ngx.socket.tcp() ngx.say(pcall(s.connect, s, 'h', 1, { backlog = -1 }))",
            "falsebad argument #4 to '?' (bad \"backlog\" option value: -1)\n",
        ),
        ("local s = ngx.socket.tcp() ngx.say(s:bind('nowhere')) ngx.say(s:bind('::1'))", "nilbad address\ntrue\n"),
        (
            "local s = ngx.socket.udp() ngx.say(s:bind('nowhere')) ngx.say(s:bind('127.0.0.1'))",
            "nilbad address\ntrue\n",
        ),
        (
            "local s = ngx.socket.tcp() ngx.say(s:connect('unix:/nowhere/sock'))",
            "nilno such file or directory\n[crit] connect() to unix:/nowhere/sock failed (2: No such file or directory)\n",
        ),
    ]);
}

#[test]
fn talking() {
    let port = shouting();
    check_at(
        port,
        &[
            (
                "local s = ngx.socket.connect('127.0.0.1', PORT) ngx.say(s:send({ 'he', 1, { 'l', 2 } }), s:send('\\n')) ngx.say(s:receive())",
                "51\nHE1L2\n",
            ),
            ("local s = ngx.socket.connect('127.0.0.1:PORT', 1) s:send('a\\n') ngx.say(s:receive())", "A\n"),
            (
                "local s = ngx.socket.connect('127.0.0.1', PORT) ngx.say(s:send(''), s:send(nil), s:send(true), s:send(1.5))",
                "0343\n",
            ),
            (
                "local s = ngx.socket.connect('127.0.0.1', PORT) ngx.say(pcall(s.send, s, { 'a', nil, true }))",
                "falsebad argument #2 to '?' (bad data type nil found)\n",
            ),
            (
                "local s = ngx.socket.connect('127.0.0.1', PORT) for _, p in ipairs { '*x', 'l', {}, -1 } do ngx.say(pcall(s.receive, s, p)) end",
                "falsebad argument #2 to '?' (bad pattern argument)\nfalsebad argument #2 to '?' (bad pattern argument: l)\n\
                 falsebad argument #2 to '?' (bad pattern argument)\nfalsebad argument #2 to '?' (bad pattern argument)\n",
            ),
            (
                "local s = ngx.socket.connect('127.0.0.1', PORT) s:send('abc\\nd\\n') ngx.say(s:receive(0), s:receive(2), s:receive('1'), s:receiveany(1) == '\\n', s:receive('*l'))",
                "ABCtrueD\n",
            ),
            // The end: what came, then the words, and a second try is one too many.
            (
                "local s = ngx.socket.connect('127.0.0.1', PORT) s:send('ab\\nquit\\n') ngx.say(s:receive(9)) ngx.say(s:receive()) ngx.say(s:close())",
                &format!("nilclosedAB\n\nnilclosed\n1\n{CLOSED}"),
            ),
            (
                "local s = ngx.socket.connect('127.0.0.1', PORT) s:send('ab\\nquit\\n') ngx.print(s:receive('*a')) ngx.say(#s:receive('*a')) ngx.say(s:setkeepalive())",
                "AB\n0\nnilclosed\n",
            ),
            (
                "local s = ngx.socket.connect('127.0.0.1', PORT) s:settimeout(5) s:send('ab') ngx.say(s:receive(1)) s:send('\\n') s:settimeout(60000) ngx.say(s:receive())",
                "niltimeout\nAB\n[error] lua tcp socket read timed out\n",
            ),
        ],
    );
}

#[test]
fn until() {
    let port = shouting();
    let go = |text: &str, options: &str, steps: &str| {
        format!(
            "local s = ngx.socket.connect('127.0.0.1', PORT) s:send('{text}\\n') local r = s:receiveuntil('--AB', {options}) \
             for _, n in ipairs {{ {steps} }} do ngx.print('[', r(n), ']') end s:settimeout(5) ngx.say(s:receive('*l'))"
        )
    };
    let rows = [
        (go("x--abrest", "{}", "0"), "[X]REST\n"),
        (go("x---abrest", "{}", "0"), "[X-]REST\n"),
        (go("x--abrest", "{ inclusive = true }", "0"), "[X--AB]REST\n"),
        // As much as was asked for comes even when the boundary is next, which then is a step of its own.
        (go("xyz--abrest", "{}", "2, 2, 1"), "[XY][Z][nil]REST\n"),
        (go("xyzw--abrest", "{}", "2, 2, 2, 2"), "[XY][ZW][][nil]REST\n"),
        (go("xyz --abrest", "{ inclusive = true }", "3, 3, 1"), "[XYZ][ --AB][nil]REST\n"),
        (go("a-b--c-d--abrest", "{}", "4, 4, 4, 4"), "[A-B-][-C-D][][nil]REST\n"),
    ];
    let rows: Vec<(&str, &str)> = rows.iter().map(|row| (&row.0[..], row.1)).collect();
    check_at(port, &rows);
}

#[test]
fn options() {
    check_at(
        shouting(),
        &[
            (
                "local s = ngx.socket.connect('127.0.0.1', PORT) for _, o in ipairs { 'keepalive', 'reuseaddr', 'tcp-nodelay' } do \
                 ngx.say(s:setoption(o, 1), s:getoption(o), s:setoption(o, 0), s:getoption(o)) end",
                "true1true0\ntrue1true0\ntrue1true0\n",
            ),
            (
                "local s = ngx.socket.connect('127.0.0.1', PORT) for _, o in ipairs { 'sndbuf', 'rcvbuf' } do \
                 local before = s:getoption(o) s:setoption(o, 4096) ngx.say(s:getoption(o) < before) end",
                "true\ntrue\n",
            ),
            (
                "local s = ngx.socket.connect('127.0.0.1', PORT) ngx.say(s:setoption()) ngx.say(s:setoption('keepalive')) ngx.say(s:setoption('x', 1)) ngx.say(s:getoption('y'))",
                "nilmissing the \"option\" argument\nnilmissing the \"value\" argument\nnilunsupported option x\nnilunsupported option y\n",
            ),
            ("local s = ngx.socket.tcp() ngx.say(s:setoption('keepalive', 1))", "nilclosed\n"),
            ("local s = ngx.socket.tcp() s:bind('127.0.0.9') ngx.say(s:connect('127.0.0.1', PORT))", "1\n"),
            (
                "local s = ngx.socket.stream() s:settimeouts(10000, 10000, 10) ngx.say(pcall(s.getfd, s)) s:connect('127.0.0.1', PORT) \
                 ngx.say(s:getfd() > 2, s:receive()) s:close() ngx.say(s:getfd())",
                "falsesocket is never created nor connected\ntrueniltimeout\nnilclosed\n[error] lua tcp socket read timed out\n",
            ),
            (
                "local s = ngx.socket.tcp() s:bind('192.0.2.1') ngx.say(s:connect('127.0.0.1', PORT))",
                "nilcannot assign requested address\n[crit] bind(192.0.2.1) failed (99: Cannot assign requested address)\n",
            ),
        ],
    );
}

#[test]
fn pools() {
    let two = "local o = { pool_size = 2, backlog = 0 } local c = function() return ngx.socket.connect('127.0.0.1', PORT, o) end ";
    let queue = "local o = { pool_size = 1, backlog = 1 } local c = function() return ngx.socket.connect('127.0.0.1', PORT, o) end ";
    let rows = [
        (
            format!("{two} local a, b = c(), c() ngx.say(c()) ngx.say(a:setkeepalive()) local d = c() ngx.say(d:getreusedtimes()) ngx.say(c())"),
            "niltoo many waiting connect operations\n1\n1\nniltoo many waiting connect operations\n",
        ),
        // The request before ended with all seats taken: they are free again.
        (format!("{two} local a, b = c(), c() ngx.say(a and b and 'both')"), "both\n"),
        // Whoever waits gets the connection of the one that leaves, or its place.
        (
            format!(
                "{queue} local a = c() ngx.thread.spawn(function() local b = c() ngx.say('in ', b:getreusedtimes()) b:close() end) \
                 ngx.say('out') a:setkeepalive() ngx.sleep(0.01) local d = c() ngx.say(d:getreusedtimes()) "
            ),
            "out\nin 1\n0\n",
        ),
        (
            format!(
                "{queue} local a = c() ngx.thread.spawn(function() local b = c() ngx.say('in ', b:getreusedtimes()) end) \
                 ngx.say('out') a:close() ngx.sleep(0.01)"
            ),
            "out\nin 0\n",
        ),
        (
            format!(
                "{queue} local a = c() local t = ngx.thread.spawn(c) ngx.say(c()) ngx.thread.kill(t) \
                 ngx.thread.spawn(function() ngx.say('in ', c():getreusedtimes()) end) a:close() ngx.sleep(0.01)"
            ),
            "niltoo many waiting connect operations\nin 0\n",
        ),
        (
            format!("{queue} local a = c() local s = ngx.socket.tcp() s:settimeout(5) ngx.say(s:connect('127.0.0.1', PORT, o))"),
            "niltimeout\n[error] lua tcp socket queued connect timed out, when trying to connect to 127.0.0.1:PORT\n",
        ),
        // Bytes that nobody asked for make a connection unfit, and one that ended is no longer there.
        (
            "local s = ngx.socket.connect('127.0.0.1', PORT) s:send('ab\\n') s:receive(1) ngx.say(s:setkeepalive())".into(),
            "nilunread data in buffer\n",
        ),
        (
            "local s = ngx.socket.connect('127.0.0.1', PORT, { pool = 'p' }) s:send('a\\n') s:receive() s:send('quit\\n') ngx.say(s:setkeepalive()) \
             local times repeat ngx.sleep(0.001) s = ngx.socket.connect('127.0.0.1', PORT, { pool = 'p' }) times = s:getreusedtimes() s:setkeepalive() \
             until times == 0 ngx.say(times)"
                .into(),
            "1\n0\n",
        ),
        (
            "local s = ngx.socket.connect('127.0.0.1', PORT) ngx.say(s:setkeepalive(1)) ngx.sleep(0.05) \
             ngx.say(ngx.socket.connect('127.0.0.1', PORT):getreusedtimes())"
                .into(),
            "1\n0\n",
        ),
        (
            "local s = ngx.socket.connect('127.0.0.1', PORT) ngx.say(s:setkeepalive()) ngx.say(s:send('x'))".into(),
            "1\nnilclosed\n[error] attempt to send data on a closed socket: u:0000000000000000, c:0000000000000000, ft:0 eof:0\n",
        ),
        (
            "local s = ngx.socket.connect('127.0.0.1', PORT, { pool = 'q' }) ngx.say(pcall(s.setkeepalive, s, 0, 0))".into(),
            "falsebad argument #3 to '?' (bad \"pool_size\" option value: 0)\n",
        ),
    ];
    let port = shouting();
    let expected: Vec<String> = rows.iter().map(|row| row.1.replace("PORT", &port.to_string())).collect();
    let rows: Vec<(&str, &str)> = rows.iter().zip(&expected).map(|(row, out)| (&row.0[..], &out[..])).collect();
    check_at(port, &rows);
}

#[test]
fn a_socket_is_its_requests_own() {
    let port = shouting();
    check_at(
        port,
        &[
            ("kept = ngx.socket.connect('127.0.0.1', PORT) ngx.say(kept:send('a\\n'))", "2\n"),
            ("local ok, err = kept:close() ngx.say(ok, err)", "nilclosed\n"),
            (
                "kept:connect('127.0.0.1', PORT) ngx.timer.at(0, function() said = { pcall(kept.send, kept, 'x') } end) ngx.sleep(0.01) ngx.say(said)",
                "falsebad request\n",
            ),
            (
                "local s = ngx.socket.connect('127.0.0.1', PORT) ngx.thread.spawn(function() s:receive() end) \
                 ngx.say(s:receive()) ngx.say(s:close()) ngx.say(s:setkeepalive()) ngx.say(s:connect('127.0.0.1', PORT)) s:send('a\\n')",
                "nilsocket busy reading\nnilsocket busy reading\nnilsocket busy reading\nnilsocket busy reading\n",
            ),
            // A read that is broken off leaves nothing to go on with.
            (
                "local s = ngx.socket.connect('127.0.0.1', PORT) local t = ngx.thread.spawn(function() s:receive() end) ngx.sleep(0.001) \
                 ngx.thread.kill(t) ngx.sleep(0.001) ngx.say(s:close()) ngx.say(s:connect('127.0.0.1', PORT))",
                "nilclosed\n1\n",
            ),
        ],
    );
}

/// A name server that knows `both.example`, at ::1 and 127.0.0.1, and is slow with the first for `late.example`.
fn name_server_for_two() -> SocketAddr {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((n, from)) = socket.recv_from(&mut question) {
            let asked = &question[..n];
            let six = asked[n - 3] == 28;
            let record: &[u8] = match six {
                true => b"\xc0\x0c\0\x1c\0\x01\0\0\0\x3c\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01",
                false => b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\0\0\x01",
            };
            let answer = [&asked[..2], &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0], &asked[12..], record].concat();
            // (late: never)
            if !six || !asked.windows(5).any(|part| part == b"\x04late") {
                socket.send_to(&answer, from).unwrap();
            }
        }
    });
    address
}

/// A name with addresses of both families: whoever does not answer is overtaken, whoever refuses at once.
#[test]
fn two_families() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        eprintln!("SKIPPED: there is no IPv6 here");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    // (a queue of one that nobody takes from: the kernel answers the first two at most)
    // Beside it, at the same port, somebody who answers; and one who is there in the other family only.
    let (silent, full, beside) = (0..100)
        .find_map(|_| {
            let silent = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
            silent.bind(&"[::1]:0".parse::<SocketAddr>().unwrap().into()).unwrap();
            let full = silent.local_addr().unwrap().as_socket().unwrap();
            // (the port may have another owner in the other family)
            Some((silent, full, TcpListener::bind(("127.0.0.1", full.port())).ok()?))
        })
        .expect("a port that is free in both families");
    silent.listen(0).unwrap();
    let fill: Vec<_> = (0..4)
        .map(|_| {
            let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&full.into());
            socket
        })
        .collect();
    let only_four = TcpListener::bind("127.0.0.1:0").unwrap();
    let given = |without_ipv6| {
        let servers = Servers { addresses: vec![name_server_for_two()], without_ipv6, ..Servers::default() };
        let conf = LuaConf { resolver: Some(Arc::new(servers)), resolver_timeout: 20_000, ..LuaConf::default() };
        Given { conf, ..Given::default() }
    };
    let connect = |name: &str, port: u16| format!("ngx.say(ngx.socket.connect('{name}', {port}) and 'connected')");
    let (full, four) = (full.port(), only_four.local_addr().unwrap().port());
    check_given(
        &given(false),
        &[
            // IPv6 goes first, and is enough.
            (&connect("both.example", port), "connected\n"),
            (&connect("both.example", full), "connected\n"),
            (&connect("both.example", four), "connected\n"),
            (&connect("late.example", four), "connected\n"),
            (
                "local s = ngx.socket.tcp() s:bind('127.0.0.1') ngx.say(s:connect('both.example', FOUR))"
                    .replace("FOUR", &four.to_string())
                    .as_str(),
                "1\n",
            ),
        ],
    );
    let accepted = |listener: &TcpListener| {
        listener.set_nonblocking(true).unwrap();
        std::iter::from_fn(|| listener.accept().ok()).count()
    };
    assert_eq!([&listener, &beside, &only_four].map(accepted), [1, 1, 3]);
    // ipv6=off: nobody else is there.
    check_given(
        &given(true),
        &[(
            "ngx.say(ngx.socket.connect('both.example', PORT))".replace("PORT", &port.to_string()).as_str(),
            "nilconnection refused\n[error] connect() failed (111: Connection refused)\n",
        )],
    );
    drop(fill);
}

/// A wait that is broken off closes the socket.
#[test]
fn a_killed_wait_for_a_datagram() {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let code = "local s = ngx.socket.udp() s:setpeername('127.0.0.1', PORT)
        local t = ngx.thread.spawn(function() s:receive() end) ngx.say(s:receive()) ngx.thread.kill(t) ngx.sleep(0.001)
        ngx.say(s:send('x')) ngx.say(s:close()) ngx.say(s:setpeername('127.0.0.1', PORT)) ngx.say(s:send('x'))";
    check(&[(
        &code.replace("PORT", &peer.local_addr().unwrap().port().to_string()),
        "nilsocket busy\nnilclosed\nnilclosed\n1\n1\n[error] attempt to send data on a closed socket: u:0000000000000000, c:0000000000000000\n",
    )]);
}

/// A name server: `NAME.example` has the address 127.0.0.1, `nothing` has none, `silent` gets no answer.
fn name_server(asked: Arc<AtomicUsize>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((n, from)) = socket.recv_from(&mut question) {
            asked.fetch_add(1, Ordering::SeqCst);
            let asked = &question[..n];
            let has = |name: &[u8]| asked.windows(name.len()).any(|part| part == name);
            if has(b"silent") {
                continue;
            }
            let known = has(b"\x07example\0");
            let code = if known { 0 } else { 3 };
            let head = [&asked[..2], &[0x81, 0x80 | code, 0, 1, 0, u8::from(known), 0, 0, 0, 0]].concat();
            let record: &[u8] = if known { b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\0\0\x01" } else { b"" };
            socket.send_to(&[&head, &asked[12..], record].concat(), from).unwrap();
        }
    });
    address
}

#[test]
fn names() {
    let port = shouting();
    let asked = Arc::new(AtomicUsize::new(0));
    let servers = Servers { addresses: vec![name_server(asked.clone())], without_ipv6: true, ..Servers::default() };
    let conf = LuaConf { resolver: Some(Arc::new(servers)), resolver_timeout: 60_000, ..LuaConf::default() };
    let given = Given { conf: conf.clone(), ..Given::default() };
    let at = |name: &str| format!("ngx.say(ngx.socket.connect('{name}', {port}) and 'connected')");
    check_given(
        &given,
        &[
            (&at("a.example"), "connected\n"),
            // (kept)
            (&at("A.Example"), "connected\n"),
            // (asked once for all who want to know)
            (
                &format!(
                    "for i = 1, 3 do ngx.thread.spawn(function() ngx.say(ngx.socket.connect('b.example', {port}) and i) end) end ngx.say('asked')"
                ),
                "asked\n1\n2\n3\n",
            ),
            ("ngx.say(ngx.socket.connect('nothing', 80))", "nilnothing could not be resolved (3: Host not found)\n"),
            ("ngx.say(ngx.socket.connect('no..name', 80))", "nilno..name could not be resolved (3: Host not found)\n"),
        ],
    );
    assert_eq!(asked.load(Ordering::SeqCst), 3, "one question a name that can be asked for");
    check_given(
        &Given { conf: LuaConf { resolver_timeout: 20, ..conf }, ..Given::default() },
        &[(
            "ngx.say(ngx.socket.connect('silent', 80))",
            "nilsilent could not be resolved (110: Operation timed out)\n",
        )],
    );
}
