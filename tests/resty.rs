//! Unmodified lua-resty-memcached and lua-resty-dns, as Debian packages them, against peers inside of this program.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};

use crate::support::{Server, free_port, missing};

/// A server with a library under its usual name, and a location for each snippet.
fn server(name: &str, source: &str, port: u16, rows: &[(&str, &str)]) -> Server {
    let locations: String = rows
        .iter()
        .enumerate()
        .map(|(at, (code, _))| format!("location = /{at} {{ content_by_lua_block {{ {code} }} }}\n"))
        .collect();
    let http = format!(
        "lua_package_path '${{prefix}}?.lua;;'; init_by_lua_block {{ port = {port} }}
        server {{ listen 127.0.0.1:PORT; {locations} }}"
    );
    Server::start(&http, &[(name, &std::fs::read_to_string(source).unwrap())])
}

fn check(server: &Server, rows: &[(&str, &str)]) {
    for (at, (code, expected)) in rows.iter().enumerate() {
        assert_eq!(server.body(&format!("/{at}")), *expected, "{code}\n{}", server.log());
    }
    assert!(!server.log().contains("[error]"), "{}", server.log());
}

/// The memcached protocol, as far as a test asks for it. One connection knows nothing of what others stored.
fn remember(stream: TcpStream) -> std::io::Result<()> {
    let mut stored: Vec<(String, String, Vec<u8>)> = Vec::new();
    let mut from = BufReader::new(stream.try_clone()?);
    let mut to = &stream;
    let mut line = String::new();
    while from.read_line(&mut line)? > 0 {
        let words: Vec<String> = line.split_ascii_whitespace().map(String::from).collect();
        line.clear();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let at = |key: &str, stored: &[(String, String, Vec<u8>)]| stored.iter().position(|(known, ..)| known == key);
        match words[..] {
            ["set" | "add", key, flags, _, length] => {
                let mut value = vec![0; length.parse().unwrap_or(0)];
                from.read_exact(&mut value)?;
                from.read_line(&mut String::new())?;
                match at(key, &stored) {
                    Some(_) if words[0] == "add" => to.write_all(b"NOT_STORED\r\n")?,
                    known => {
                        known.into_iter().for_each(|at| drop(stored.remove(at)));
                        stored.push((key.into(), flags.into(), value));
                        to.write_all(b"STORED\r\n")?;
                    }
                }
            }
            ["get", ref keys @ ..] => {
                for (key, flags, value) in keys.iter().filter_map(|key| at(key, &stored)).map(|at| &stored[at]) {
                    write!(to, "VALUE {key} {flags} {}\r\n", value.len())?;
                    to.write_all(&[value, &b"\r\n"[..]].concat())?;
                }
                to.write_all(b"END\r\n")?;
            }
            ["incr", key, by] => match at(key, &stored) {
                Some(at) => {
                    let number = String::from_utf8_lossy(&stored[at].2).parse::<u64>().unwrap_or(0);
                    let number = number + by.parse::<u64>().unwrap_or(0);
                    stored[at].2 = number.to_string().into_bytes();
                    write!(to, "{number}\r\n")?;
                }
                None => to.write_all(b"NOT_FOUND\r\n")?,
            },
            ["delete", key] => match at(key, &stored) {
                Some(at) => {
                    stored.remove(at);
                    to.write_all(b"DELETED\r\n")?;
                }
                None => to.write_all(b"NOT_FOUND\r\n")?,
            },
            ["version"] => to.write_all(b"VERSION 1.0\r\n")?,
            ["quit"] => return Ok(()),
            _ => to.write_all(b"ERROR\r\n")?,
        }
    }
    Ok(())
}

#[test]
fn memcached() {
    const SOURCE: &str = "/usr/share/lua/5.1/nginx/memcached.lua";
    if missing("lua-nginx-memcached", SOURCE) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(|| remember(stream.unwrap()));
        }
    });
    let rows = [
        (
            "local m = require('resty.memcached'):new() m:set_timeout(60000) ngx.say(m:connect('127.0.0.1', port))
             ngx.say(m:set('dog', 'an animal', 0, 7)) ngx.say(m:get('dog')) ngx.say(m:get('cat')) ngx.say(m:add('dog', 'x'))
             ngx.say(m:set('a b', 'key with a blank')) ngx.say((m:get('a b'))) ngx.say(m:delete('dog'), m:delete('dog'))
             ngx.say(m:set('n', 41)) ngx.say(m:incr('n', 1)) ngx.say(m:incr('none', 1)) ngx.say(m:version())
             local all = m:get({ 'n', 'a b', 'none' }) ngx.say(all.n[1], ' ', all['a b'][1], ' ', tostring(all.none))
             ngx.say(m:set('large', ('x'):rep(1000000)), #m:get('large')) ngx.say(m:set_keepalive(10000, 10))",
            "1\n1\nan animal7\nnilnilnil\nnilNOT_STORED\n1\nkey with a blank\n1nilNOT_FOUND\n1\n42\nnilNOT_FOUND\n1.0\n42 key with a blank nil\n11000000\n1\n",
        ),
        (
            "local m = require('resty.memcached'):new() m:connect('127.0.0.1', port) ngx.say(m:get_reused_times(), (m:get('n')))
             ngx.say(m:close()) ngx.say(m:get('n'))",
            "142\n1\nnilnilclosed\n",
        ),
    ];
    let server = server("resty/memcached.lua", SOURCE, port, &rows);
    for (at, (code, expected)) in rows.iter().enumerate() {
        assert_eq!(server.body(&format!("/{at}")), *expected, "{code}\n{}", server.log());
    }
    assert_eq!(server.log().matches("attempt to send data on a closed socket").count(), 1, "{}", server.log());
}

/// What a name server says to a question: to everything over TCP, over UDP not to what is long.
fn answer(question: &[u8], datagram: bool) -> Option<Vec<u8>> {
    let asked = question.get(12..)?;
    let end = asked.iter().position(|byte| *byte == 0)? + 5;
    let (name, kind) = (&asked[..end - 4], asked[end - 3]);
    let record =
        |kind: u8, data: &[u8]| [&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0][..], &[data.len() as u8], data].concat();
    let first = &name[1..=usize::from(name[0])];
    let (code, records) = match (first, kind) {
        // A, AAAA, TXT, MX; an alias before its addresses.
        (b"www", 1) => (0, vec![record(1, &[127, 0, 0, 1]), record(1, &[127, 0, 0, 2])]),
        (b"www", 28) => (0, vec![record(28, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])]),
        (b"www", 16) => (0, vec![record(16, b"\x05hello\x05world")]),
        (b"www", 15) => (0, vec![record(15, &[0, 10, 0xc0, 12])]),
        (b"alias", 1) => (0, vec![record(5, b"\x03www\x07example\0"), record(1, &[127, 0, 0, 3])]),
        (b"long", 16) => (0, (0..20).map(|_| record(16, &[&[100][..], &[b'x'; 100]].concat())).collect()),
        _ => (3, Vec::new()),
    };
    let cut = datagram && records.len() > 4;
    let records = if cut { Vec::new() } else { records };
    let head = [question[0], question[1], if cut { 0x83 } else { 0x81 }, 0x80 | code, 0, 1, 0, records.len() as u8];
    Some([&head[..], &[0; 4], &asked[..end], &records.concat()].concat())
}

fn name_server() -> u16 {
    // (one port for both: of those that the kernel gives away, the second could be taken)
    let port = free_port();
    let udp = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    let tcp = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((count, from)) = udp.recv_from(&mut question) {
            if let Some(answer) = answer(&question[..count], true) {
                let _ = udp.send_to(&answer, from);
            }
        }
    });
    std::thread::spawn(move || {
        for mut stream in tcp.incoming().flatten() {
            let mut length = [0; 2];
            if stream.read_exact(&mut length).is_err() {
                continue;
            }
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            if stream.read_exact(&mut question).is_ok()
                && let Some(answer) = answer(&question, false)
            {
                let length = (answer.len() as u16).to_be_bytes();
                let _ = stream.write_all(&[&length[..], &answer].concat());
            }
        }
    });
    port
}

#[test]
fn dns() {
    const SOURCE: &str = "/usr/share/lua/5.1/nginx/dns/resolver.lua";
    if missing("lua-nginx-dns", SOURCE) {
        return;
    }
    const NEW: &str = "local resolver = require('resty.dns.resolver')
        local r = assert(resolver:new { nameservers = { { '127.0.0.1', port } }, retrans = 1, timeout = 60000 }) ";
    let with = |code: &str| format!("{NEW}{code}");
    let rows = [
        (
            with("for _, a in ipairs(r:query('www.example')) do ngx.say(a.name, ' ', a.address, ' ', a.ttl, ' ', a.type, ' ', a.section) end"),
            "www.example 127.0.0.1 60 1 1\nwww.example 127.0.0.2 60 1 1\n",
        ),
        (
            with("ngx.say(r:query('www.example', { qtype = r.TYPE_AAAA })[1].address) ngx.say(r:query('www.example', { qtype = r.TYPE_TXT })[1].txt[2])
                  local mx = r:query('www.example', { qtype = r.TYPE_MX })[1] ngx.say(mx.preference, ' ', mx.exchange)"),
            "2001:db8:0:0:0:0:0:1\nworld\n10 www.example\n",
        ),
        (
            with("for _, a in ipairs(r:query('alias.example')) do ngx.say(a.cname or a.address) end"),
            "www.example\n127.0.0.3\n",
        ),
        (with("local a = r:query('none.example') ngx.say(a.errcode, ' ', a.errstr)"), "3 name error\n"),
        // What does not fit a datagram is asked for again over TCP.
        (with("local a = r:query('long.example', { qtype = r.TYPE_TXT }) ngx.say(#a, ' ', #a[20].txt)"), "20 100\n"),
        (with("local a = r:tcp_query('www.example') ngx.say(#a)"), "2\n"),
        // Several at once, each with its own socket.
        (
            with("local t = {} for i = 1, 20 do t[i] = ngx.thread.spawn(function()
                  local r = resolver:new { nameservers = { { '127.0.0.1', port } }, timeout = 60000 } return r:query(i % 2 == 0 and 'www.example' or 'alias.example') end) end
                  local n = 0 for i = 1, 20 do local ok, a = ngx.thread.wait(t[i]) n = n + #a end ngx.say(n)"),
            "40\n",
        ),
    ];
    let rows: Vec<(&str, &str)> = rows.iter().map(|(code, expected)| (code.as_str(), *expected)).collect();
    let server = server("resty/dns/resolver.lua", SOURCE, name_server(), &rows);
    check(&server, &rows);
}
