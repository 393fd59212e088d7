//! Semaphores, datagram sockets, on_abort: what parks.
use std::net::UdpSocket;

use ngx::request::LuaConf;

use crate::support::{Given, check, check_given};

#[test]
fn semaphores() {
    check(&[
        (
            "local s = require 'ngx.semaphore'.new(2) ngx.say(s:count(), s:wait(0), s:wait(1), s:count()) ngx.say(s:wait(0))",
            "2truetrue0\nniltimeout\n",
        ),
        (
            "local s = require 'ngx.semaphore'.new() ngx.say(s:wait(0.01)) ngx.say(s:post(), s:count())",
            "falsetimeout\ntrue1\n",
        ),
        (
            "local s = require 'ngx.semaphore'.new() for i = 1, 3 do ngx.thread.spawn(function() s:wait(60) ngx.print(i) end) end \
             ngx.say(s:count()) s:post(2) ngx.sleep(0.001) s:post() ngx.sleep(0.001)",
            "-3\n123",
        ),
        (
            "local s = require 'ngx.semaphore'.new() local t = ngx.thread.spawn(function() s:wait(60) end) s:post() \
             ngx.say(s:count()) ngx.thread.kill(t) ngx.sleep(0.001) ngx.say(s:count())",
            "0\n1\n",
        ),
        (
            "local s = require 'ngx.semaphore'.new() local t = ngx.thread.spawn(function() s:wait(60) end) ngx.thread.kill(t) \
             ngx.sleep(0.001) ngx.say(s:count())",
            "0\n",
        ),
        ("ngx.say(pcall(require 'ngx.semaphore'.new, -1))", "falseno negative number\n"),
        ("local s = require 'ngx.semaphore' ngx.say(pcall(s.wait, {}, 1))", "falsenot a semaphore instance\n"),
        ("local s = require 'ngx.semaphore'.new() ngx.say(pcall(s.wait, s, -1))", "falseno negative number\n"),
        ("local s = require 'ngx.semaphore'.new() ngx.say(pcall(s.post, s, 0))", "falsepositive number required\n"),
    ]);
}

#[test]
fn datagrams() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let echo = std::thread::spawn(move || {
        let mut into = [0; 100];
        for _ in 0..2 {
            let (n, from) = server.recv_from(&mut into).unwrap();
            server.send_to(&into[..n].to_ascii_uppercase(), from).unwrap();
        }
    });
    check(&[
        (
            &format!(
                "local s = ngx.socket.udp() ngx.say(s:setpeername('127.0.0.1', {port})) ngx.say(s:send({{'he', 'llo'}})) \
                 ngx.say(s:receive()) ngx.say(s:send('again')) ngx.say(s:receive(3)) ngx.say(s:close()) ngx.say(s:close())"
            ),
            "1\n1\nHELLO\n1\nAGA\n1\nnilclosed\n",
        ),
        (
            &format!(
                "local s = ngx.socket.udp() s:settimeout(10) s:setpeername('127.0.0.1', {silent_port}) s:send('x') ngx.say(s:receive())"
            ),
            "niltimeout\n[error] lua udp socket read timed out\n",
        ),
        (
            "local s = ngx.socket.udp() ngx.say(s:send('x'))",
            "nilclosed\n[error] attempt to send data on a closed socket: u:0000000000000000, c:0000000000000000\n",
        ),
        ("local s = ngx.socket.udp() ngx.say(s:setpeername('127.0.0.1', 70000))", "nilbad port number: 70000\n"),
        (
            "local s = ngx.socket.udp() ngx.say(s:setpeername('agentzh.org', 53))",
            "nilno resolver defined to resolve \"agentzh.org\"\n",
        ),
        ("ngx.say(pcall(ngx.socket.udp, 1))", "falseexpecting zero arguments, but got 1\n"),
    ]);
    echo.join().unwrap();
}

#[test]
fn clients_that_go_away() {
    check(&[("ngx.say(ngx.on_abort(function() end))", "nillua_check_client_abort is off\n")]);
    let conf = LuaConf { check_client_abort: true, ..LuaConf::default() };
    let stays = Given { conf: conf.clone(), ..Given::default() };
    check_given(
        &stays,
        &[("ngx.say(ngx.on_abort(print)) ngx.say(ngx.on_abort(print)) ngx.sleep(0.001)", "1\nnilduplicate call\n")],
    );
    let goes = Given { conf, body: "goes away", ..Given::default() };
    check_given(
        &goes,
        &[
            ("ngx.sleep(600) ngx.say('not reached')", "aborted\n"),
            ("ngx.on_abort(function() ngx.exit(499) end) ngx.sleep(600) ngx.say('not reached')", "exit 499\n"),
            ("ngx.on_abort(function() ngx.say('gone') end) ngx.sleep(0.02) ngx.say('goes on')", "gone\ngoes on\n"),
        ],
    );
}
