//! ngx.req: the request body.
use ngx::phase::Phase;
use ngx::request::LuaConf;

use crate::support::{Given, check, check_given};

const ABORTED: &str = "[error] lua entry thread aborted: runtime error: content_by_lua(t:1):1: ";

#[test]
fn reading() {
    let given = Given { body: "a=1&b&a=2", ..Given::default() };
    check_given(
        &given,
        &[
            ("ngx.say(ngx.req.get_body_data())", "nil\n"),
            ("ngx.req.read_body() ngx.say(ngx.req.get_body_data())", "a=1&b&a=2\n"),
            ("ngx.req.read_body() ngx.req.read_body() ngx.say(ngx.req.get_body_data(3))", "a=1\n"),
            ("ngx.req.read_body() ngx.say(ngx.req.get_body_file())", "nil\n"),
            ("ngx.req.read_body() local p = ngx.req.get_post_args() ngx.say(p.a[2], p.b)", "2true\n"),
            ("ngx.req.read_body() local p, e = ngx.req.get_post_args(1) ngx.say(p.a, p.b, e)", "1niltruncated\n"),
            (
                "ngx.req.get_post_args()",
                &format!("{ABORTED}no request body found; maybe you should turn on lua_need_request_body?\n"),
            ),
            ("ngx.req.discard_body() ngx.say(next(ngx.req.get_post_args()))", "nil\n"),
            ("ngx.req.discard_body() ngx.req.read_body() ngx.say(ngx.req.get_body_data())", "nil\n"),
            ("ngx.say(pcall(ngx.req.read_body, 1))", "falseexpecting 0 arguments but seen 1\n"),
            (
                "local function f() ngx.req.read_body() return #ngx.req.get_body_data() end \
                 local a, b = ngx.thread.spawn(f), ngx.thread.spawn(f) \
                 ngx.say(ngx.thread.wait(a), ngx.thread.wait(b))",
                "truetrue9\n",
            ),
        ],
    );
    check(&[("ngx.req.read_body() ngx.say(ngx.req.get_body_data())", "nil\n")]);
    let large = Given { body: "too large", ..Given::default() };
    check_given(
        &large,
        &[(
            "ngx.say(pcall(ngx.req.read_body)) ngx.say('not reached')",
            "[error] client intended to send too large chunked body\nexit 413\n",
        )],
    );
}

#[test]
fn replacing() {
    check(&[
        ("ngx.req.set_body_data('x')", &format!("{ABORTED}request body not read yet\n")),
        (
            "ngx.req.discard_body() ngx.req.set_body_data('x')",
            &format!("{ABORTED}request body already discarded asynchronously\n"),
        ),
        (
            "ngx.req.read_body() ngx.req.set_body_data('hello') \
             ngx.say(ngx.req.get_body_data(), ngx.req.get_headers().content_length)",
            "hello5\n",
        ),
        (
            "ngx.req.read_body() ngx.req.set_body_file('no such file')",
            &format!("{ABORTED}stat() \"no such file\" failed\n"),
        ),
        (
            "ngx.req.read_body() ngx.req.init_body() ngx.req.append_body('ab') ngx.req.append_body('c') \
             ngx.req.finish_body() ngx.say(ngx.req.get_body_data(), ngx.req.get_headers().content_length)",
            "abc3\n",
        ),
        ("ngx.req.read_body() ngx.req.append_body('ab')", &format!("{ABORTED}request_body not initialized\n")),
        ("ngx.req.read_body() ngx.req.init_body(-1)", &format!("{ABORTED}bad size argument: -1\n")),
        (
            "ngx.req.read_body() ngx.req.init_body(4) ngx.req.append_body('12345') ngx.req.finish_body() \
             local path = ngx.req.get_body_file() local f = io.open(path) ngx.say(ngx.req.get_body_data(), f:read('*a')) \
             f:close() ngx.say(ngx.req.get_post_args())",
            "nil12345\nnilrequest body in temp file not supported\n",
        ),
    ]);
    let small = LuaConf { client_body_buffer_size: 2, ..LuaConf::default() };
    let given = Given { conf: small, ..Given::default() };
    check_given(
        &given,
        &[(
            "ngx.req.read_body() ngx.req.init_body() ngx.req.append_body('abc') ngx.req.finish_body() \
             ngx.say(ngx.req.get_body_file() ~= nil)",
            "true\n",
        )],
    );
    let log = Given { phase: Phase::Log, ..Given::default() };
    check_given(
        &log,
        &[(
            "ngx.req.read_body()",
            "[error] failed to run log_by_lua*: content_by_lua(t:1):1: API disabled in the context of log_by_lua*\n",
        )],
    );
}
