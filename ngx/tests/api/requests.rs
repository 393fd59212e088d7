//! ngx.req: method, target, arguments, headers.
use ngx::phase::Phase;

use crate::support::{Given, check, check_given};

#[test]
fn methods() {
    check(&[
        ("ngx.say(ngx.req.get_method())", "POST\n"),
        ("ngx.req.set_method(ngx.HTTP_GET) ngx.say(ngx.req.get_method())", "GET\n"),
        ("ngx.req.set_method(ngx.HTTP_TRACE) ngx.say(ngx.req.get_method())", "TRACE\n"),
        (
            "ngx.req.set_method('GET')",
            "[error] lua entry thread aborted: runtime error: content_by_lua(t:1):1: bad method number\n",
        ),
        ("ngx.say(pcall(ngx.req.set_method, 3))", "falseunsupported HTTP method: 3\n"),
    ]);
}

#[test]
fn the_rest_of_the_head() {
    check(&[
        ("ngx.print(ngx.req.raw_header())", "POST /a?x=1 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n\r\n"),
        ("ngx.print(ngx.req.raw_header(true))", "Host: h\r\nX-A: 1\r\n\r\n"),
        ("ngx.say(ngx.req.http_version())", "1.1\n"),
        ("ngx.say(ngx.req.start_time())", "1.5\n"),
        ("ngx.say(ngx.req.is_internal())", "false\n"),
        ("ngx.req.set_uri('/b') ngx.say(ngx.req.is_internal())", "true\n"),
    ]);
}

#[test]
fn arguments() {
    check(&[
        ("local a = ngx.req.get_uri_args() ngx.say(a.x[1], a.x[2], ' ', a.y, ' [', a.z, ']')", "12 true [  ]\n"),
        ("local a, e = ngx.req.get_uri_args(2) ngx.say(a.x, ' ', a.y, ' ', a.z, ' ', e)", "1 true nil truncated\n"),
        ("local t = {old = 1} local a = ngx.req.get_uri_args(0, t) ngx.say(a == t, t.old, t.y)", "trueniltrue\n"),
        ("ngx.req.set_uri_args('q=7') ngx.say(ngx.req.get_uri_args().q)", "7\n"),
        ("ngx.req.set_uri_args(12) ngx.say(ngx.encode_args(ngx.req.get_uri_args()))", "12\n"),
        ("ngx.req.set_uri_args({a = {1, true, 'x y'}}) ngx.say(#ngx.req.get_uri_args().a)", "3\n"),
        ("ngx.say(pcall(ngx.req.set_uri_args, {a = print}))", "falseattempt to use function as query arg value\n"),
        (
            "ngx.say(pcall(ngx.req.set_uri_args, {'a'}))",
            "falseattempt to use a non-string key in the \"args\" option table\n",
        ),
        (
            "ngx.req.set_uri_args(true)",
            "[error] lua entry thread aborted: runtime error: content_by_lua(t:1):1: bad argument #1 to 'set_uri_args' \
             (string, number, or table expected, but got boolean)\n",
        ),
        ("ngx.say(pcall(ngx.req.set_uri_args))", "falseexpecting 1 argument but seen 0\n"),
    ]);
}

#[test]
fn headers() {
    check(&[
        ("local h = ngx.req.get_headers() ngx.say(h.host, h['X-A'][2], h.x_a[1], h.Foo_Bar)", "h21u\n"),
        ("local h, e = ngx.req.get_headers(2) ngx.say(h.host, h.x_a, e)", "h1truncated\n"),
        ("local h, e = ngx.req.get_headers(0) ngx.say(h['content-length'], e)", "3nil\n"),
        ("local h = ngx.req.get_headers(0, true) ngx.say(h.host, h.Host, h['X-A'], h['x-a'])", "nilh12\n"),
        ("ngx.req.set_header('X-A', 'n') ngx.say(ngx.req.get_headers().x_a)", "n\n"),
        ("ngx.req.set_header('X-A', {1, 2, 3}) ngx.say(table.concat(ngx.req.get_headers().x_a, ','))", "1,2,3\n"),
        ("ngx.req.set_header('Host', {'a', 'b'}) ngx.say(ngx.req.get_headers().host)", "b\n"),
        ("ngx.req.set_header('X-A') ngx.say(ngx.req.get_headers().x_a)", "nil\n"),
        ("ngx.req.set_header('X-A', '') ngx.say(ngx.req.get_headers().x_a)", "nil\n"),
        ("ngx.req.set_header('X-A', {}) ngx.say(ngx.req.get_headers().x_a)", "nil\n"),
        ("ngx.req.clear_header('x-a') ngx.say(ngx.req.get_headers().x_a)", "nil\n"),
        ("ngx.req.set_header('N', 'a\\r\\nb') ngx.say(ngx.req.get_headers().n)", "a%0D%0Ab\n"),
        ("ngx.req.set_header('N', 12) ngx.say(ngx.req.get_headers().n)", "12\n"),
        ("ngx.say(pcall(ngx.req.set_header))", "falsebad 'name' argument: string expected, got nil\n"),
        (
            "local r = require 'ngx.req' r.add_header('N', 1) r.add_header('N', 2) ngx.say(#ngx.req.get_headers().n)",
            "2\n",
        ),
        (
            "ngx.say(pcall(require 'ngx.req'.add_header, 'N'))",
            "falsebad 'value' argument: string or table expected, got nil\n",
        ),
        (
            "ngx.say(pcall(require 'ngx.req'.add_header, 'N', {}))",
            "falsebad 'value' argument: non-empty table expected\n",
        ),
    ]);
}

#[test]
fn uris() {
    check(&[
        ("ngx.say(pcall(ngx.req.set_uri, ''))", "falseattempt to use zero-length uri\n"),
        ("ngx.say(pcall(ngx.req.set_uri))", "falseexpecting 1, 2 or 3 arguments but seen 0\n"),
        (
            "ngx.say(pcall(ngx.req.set_uri, '/a\\nb'))",
            "falseunsafe byte \"0x0a\" in uri \"/a\\x0Ab\" (maybe you want to set the 'binary' argument?)\n",
        ),
        ("ngx.say(pcall(ngx.req.set_uri, '/a\\nb', false, true))", "true\n"),
        ("ngx.say(pcall(ngx.req.set_uri, '/a', 1))", "falsebad argument #2 to '?' (boolean expected, got number)\n"),
        (
            "ngx.req.set_uri('/b', true)",
            "[error] lua entry thread aborted: runtime error: content_by_lua(t:1):1: API disabled in the context of \
             content_by_lua*\n",
        ),
    ]);
    let rewrite = Given { phase: Phase::Rewrite, ..Given::default() };
    check_given(&rewrite, &[("ngx.req.set_uri('/b', true) ngx.say('not reached')", "Jump\n")]);
    let timer = Given { phase: Phase::Timer, ..Given::default() };
    check_given(
        &timer,
        &[(
            "ngx.req.get_method()",
            "[error] lua entry thread aborted: runtime error: content_by_lua(t:1):1: API disabled in the current \
             context\n",
        )],
    );
}

#[test]
fn responses() {
    check(&[
        ("ngx.header.x_y = {1, 2} ngx.say(#ngx.header['X-Y'], ngx.resp.get_headers().x_y[2])", "22\n"),
        ("ngx.header.a = 1 require 'ngx.resp'.add_header('a', 'b') ngx.say(#ngx.header.a)", "2\n"),
        ("require 'ngx.resp'.add_header('Location', 'b') ngx.say(ngx.header.location)", "b\n"),
        ("ngx.say(pcall(require 'ngx.resp'.add_header, 'a'))", "falseinvalid header value\n"),
        (
            "ngx.say(pcall(ngx.redirect, '/a\\r\\nX: y'))",
            "falseunsafe byte \"0x0d\" in redirect uri \"/a\\x0D\\x0AX: y\"\n",
        ),
        ("ngx.say(pcall(ngx.exec, ''))", "falseThe uri argument is empty\n"),
        ("ngx.exec('/b', {c = 1})", "Exec { uri: [47, 98], args: Some([99, 61, 49]) }\n"),
    ]);
}
