//! Constants and the values that say where one is.

use ngx::phase::Phase;

use crate::support::{Given, check, check_given};

#[test]
fn results_and_levels() {
    check(&[
        (
            "ngx.say(ngx.OK, ngx.ERROR, ngx.AGAIN, ngx.DONE, ngx.DECLINED, ' ', tostring(ngx.null))",
            "0-1-2-4-5 userdata: NULL\n",
        ),
        (
            "ngx.say(ngx.STDERR, ngx.EMERG, ngx.ALERT, ngx.CRIT, ngx.ERR, ngx.WARN, ngx.NOTICE, ngx.INFO, ngx.DEBUG)",
            "012345678\n",
        ),
    ]);
}

#[test]
fn methods() {
    check(&[
        ("ngx.say(ngx.HTTP_GET, ' ', ngx.HTTP_HEAD, ' ', ngx.HTTP_POST, ' ', ngx.HTTP_PUT)", "2 4 8 16\n"),
        ("ngx.say(ngx.HTTP_DELETE, ' ', ngx.HTTP_MKCOL, ' ', ngx.HTTP_COPY, ' ', ngx.HTTP_MOVE)", "32 64 128 256\n"),
        ("ngx.say(ngx.HTTP_OPTIONS, ' ', ngx.HTTP_PROPFIND, ' ', ngx.HTTP_PROPPATCH)", "512 1024 2048\n"),
        (
            "ngx.say(ngx.HTTP_LOCK, ' ', ngx.HTTP_UNLOCK, ' ', ngx.HTTP_PATCH, ' ', ngx.HTTP_TRACE)",
            "4096 8192 16384 32768\n",
        ),
    ]);
}

#[test]
fn statuses() {
    check(&[
        ("ngx.say(ngx.HTTP_CONTINUE, ' ', ngx.HTTP_SWITCHING_PROTOCOLS)", "100 101\n"),
        ("ngx.say(ngx.HTTP_OK, ' ', ngx.HTTP_CREATED, ' ', ngx.HTTP_ACCEPTED)", "200 201 202\n"),
        ("ngx.say(ngx.HTTP_NO_CONTENT, ' ', ngx.HTTP_PARTIAL_CONTENT)", "204 206\n"),
        (
            "ngx.say(ngx.HTTP_SPECIAL_RESPONSE, ' ', ngx.HTTP_MOVED_PERMANENTLY, ' ', ngx.HTTP_MOVED_TEMPORARILY)",
            "300 301 302\n",
        ),
        ("ngx.say(ngx.HTTP_SEE_OTHER, ' ', ngx.HTTP_NOT_MODIFIED)", "303 304\n"),
        ("ngx.say(ngx.HTTP_TEMPORARY_REDIRECT, ' ', ngx.HTTP_PERMANENT_REDIRECT)", "307 308\n"),
        ("ngx.say(ngx.HTTP_BAD_REQUEST, ' ', ngx.HTTP_UNAUTHORIZED, ' ', ngx.HTTP_PAYMENT_REQUIRED)", "400 401 402\n"),
        ("ngx.say(ngx.HTTP_FORBIDDEN, ' ', ngx.HTTP_NOT_FOUND, ' ', ngx.HTTP_NOT_ALLOWED)", "403 404 405\n"),
        ("ngx.say(ngx.HTTP_NOT_ACCEPTABLE, ' ', ngx.HTTP_REQUEST_TIMEOUT, ' ', ngx.HTTP_CONFLICT)", "406 408 409\n"),
        ("ngx.say(ngx.HTTP_GONE, ' ', ngx.HTTP_UPGRADE_REQUIRED, ' ', ngx.HTTP_TOO_MANY_REQUESTS)", "410 426 429\n"),
        ("ngx.say(ngx.HTTP_CLOSE, ' ', ngx.HTTP_ILLEGAL, ' ', ngx.HTTP_INTERNAL_SERVER_ERROR)", "444 451 500\n"),
        ("ngx.say(ngx.HTTP_NOT_IMPLEMENTED, ' ', ngx.HTTP_METHOD_NOT_IMPLEMENTED)", "501 501\n"),
        (
            "ngx.say(ngx.HTTP_BAD_GATEWAY, ' ', ngx.HTTP_SERVICE_UNAVAILABLE, ' ', ngx.HTTP_GATEWAY_TIMEOUT)",
            "502 503 504\n",
        ),
        ("ngx.say(ngx.HTTP_VERSION_NOT_SUPPORTED, ' ', ngx.HTTP_INSUFFICIENT_STORAGE)", "505 507\n"),
    ]);
}

#[test]
fn where_one_is() {
    check(&[
        ("ngx.say(ngx.config.subsystem, ' ', ngx.config.debug, ' ', ngx.config.nginx_version)", "http false 1022001\n"),
        ("ngx.say(ngx.config.ngx_lua_version, ' ', type(ngx.config.nginx_configure()))", "10023 string\n"),
        (
            "ngx.say(ngx.is_subrequest, ' ', ngx.headers_sent) ngx.send_headers() ngx.say(ngx.headers_sent)",
            "false false\ntrue\n",
        ),
        ("local before = ngx.now() ngx.update_time() ngx.say(ngx.now() >= before)", "true\n"),
        (
            "local co co = coroutine.create(function() ngx.say(coroutine.status(co)) coroutine.yield() end) \
             ngx.say(coroutine.status(co)) coroutine.resume(co) ngx.say(coroutine.status(co)) coroutine.resume(co) \
             ngx.say(coroutine.status(co))",
            "suspended\nrunning\nsuspended\ndead\n",
        ),
    ]);
    let log = Given { phase: Phase::Log, ..Given::default() };
    check_given(
        &log,
        &[("ngx.log(ngx.ERR, ngx.get_phase(), ' ', ngx.OK)", "[error] [lua] content_by_lua(t:1):1: log 0\n")],
    );
}
