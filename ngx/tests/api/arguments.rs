//! What natives say about wrong arguments.
use crate::support::check;

#[test]
fn phases_and_threads() {
    check(&[
        ("ngx.say(pcall(ngx.sleep))", "falseattempt to pass 0 arguments, but accepted 1\n"),
        ("ngx.say(pcall(ngx.sleep, 'a'))", "falsebad argument #1 to '?' (number expected, got string)\n"),
        ("ngx.say(pcall(ngx.timer.at, 0, 1))", "falsebad argument #2 to '?' (Lua function expected)\n"),
        ("ngx.say(pcall(ngx.timer.every, 0, print))", "falsedelay cannot be zero\n"),
        ("ngx.say(pcall(ngx.thread.spawn, 1))", "falsebad argument #1 to '?' (Lua function expected)\n"),
        ("ngx.say(pcall(ngx.thread.wait))", "falseat least one coroutine should be specified\n"),
        ("ngx.say(pcall(ngx.thread.wait, 1))", "falsebad argument #1 to '?' (lua thread expected)\n"),
        ("ngx.say(pcall(ngx.redirect))", "falseexpecting one or two arguments\n"),
        ("ngx.say(pcall(ngx.exec))", "falseexpecting one or two arguments, but got 0\n"),
        (
            "ngx.say(pcall(ngx.exec, '/a', true))",
            "falsebad argument #2 to '?' (string, number, or table expected, but got boolean)\n",
        ),
        ("ngx.say(pcall(ngx.log, 99, 'x'))", "falsebad argument #1 to '?' (bad log level: 99)\n"),
        (
            "ngx.say(pcall(ngx.log, ngx.ERR, {}))",
            "falsebad argument #1 to '?' (expected table to have __tostring metamethod)\n",
        ),
        ("ngx.say(pcall(ngx.flush, 1))", "falsebad argument #1 to '?' (boolean expected, got number)\n"),
        ("ngx.say(ngx.var[-1], ngx.var.host)", "nilexample.org\n"),
        ("ngx.say(pcall(function() return ngx.var[{}] end))", "falsecontent_by_lua(t:1):1: bad variable name\n"),
    ]);
}

#[test]
fn stream_sockets() {
    check(&[
        (
            "local s = ngx.socket.tcp() ngx.say(pcall(s.connect, s))",
            "falsengx.socket connect: expecting 2, 3, or 4 arguments (including the object), but seen 1\n",
        ),
        (
            "local s = ngx.socket.tcp() ngx.say(pcall(s.settimeout, s))",
            "falsengx.socket settimeout: expecting 2 arguments (including the object) but seen 1\n",
        ),
        (
            "local s = ngx.socket.tcp() ngx.say(pcall(s.settimeouts, s, 1))",
            "falsengx.socket settimeout: expecting 4 arguments (including the object) but seen 2\n",
        ),
        (
            "local s = ngx.socket.tcp() ngx.say(pcall(s.receiveuntil, s))",
            "falseexpecting 2 or 3 arguments (including the object), but got 1\n",
        ),
        (
            "local s = ngx.socket.tcp() ngx.say(s:receive({}))",
            "nilclosed\n[error] attempt to receive data on a closed socket: u:0000000000000000, c:0000000000000000, ft:0 \
             eof:0\n",
        ),
    ]);
}
