//! ngx.location.
use ngx::phase::Phase;

use crate::support::{Given, check, check_given};

#[test]
fn one() {
    check(&[
        (
            "local r = ngx.location.capture('/b') ngx.say(r.status, r.body, r.truncated, r.header['X-Parent'], #r.header['Set-Cookie'])",
            "200GET /bfalsePOST2\n",
        ),
        ("ngx.say(ngx.location.capture('/b?x=1').body)", "GET /b?x=1\n"),
        ("ngx.say(ngx.location.capture('/b?x=1', {args = {y = 2}}).body)", "GET /b?x=1&y=2\n"),
        ("ngx.say(ngx.location.capture('/b', {args = 'y=2'}).body)", "GET /b?y=2\n"),
        ("ngx.say(ngx.location.capture('/b%20c+d').body)", "GET /b c+d\n"),
        ("ngx.say(ngx.location.capture('/b', {method = ngx.HTTP_PUT, body = 'data'}).body)", "PUT /b body=data\n"),
        ("ngx.say(ngx.location.capture('/b', {vars = {Dog = 1}}).body)", "GET /b $dog=1\n"),
        (
            "ngx.say(ngx.location.capture('/b', {share_all_vars = true, always_forward_body = true}).body)",
            "GET /b (true, false, true)\n",
        ),
        ("ngx.say(ngx.location.capture('/b', {ctx = {}}).status)", "200\n"),
        ("ngx.say(pcall(ngx.location.capture))", "falseexpecting one or two arguments\n"),
        ("ngx.say(pcall(ngx.location.capture, '/../b'))", "falseunsafe uri in argument #1: /../b\n"),
        ("ngx.say(pcall(ngx.location.capture, '/%2e%2e/b'))", "falseunsafe uri in argument #1: /%2e%2e/b\n"),
        (
            "ngx.say(pcall(ngx.location.capture, '/b', 1))",
            "falseexpecting table as the 2nd argument for subrequest 0, but got number\n",
        ),
        ("ngx.say(pcall(ngx.location.capture, '/b', {method = 'GET'}))", "falseBad http request method\n"),
        ("ngx.say(pcall(ngx.location.capture, '/b', {body = {}}))", "falseBad http request body\n"),
        ("ngx.say(pcall(ngx.location.capture, '/b', {args = true}))", "falseBad args option value\n"),
        ("ngx.say(pcall(ngx.location.capture, '/b', {vars = true}))", "falseBad vars option value\n"),
        (
            "ngx.say(pcall(ngx.location.capture, '/b', {vars = {a = {}}}))",
            "falseattempt to use bad variable value type table\n",
        ),
        ("ngx.say(pcall(ngx.location.capture, '/b', {copy_all_vars = 1}))", "falseBad copy_all_vars option value\n"),
        (
            "ngx.say(pcall(ngx.location.capture, '/b', {ctx = 1}))",
            "falseBad ctx option value type number, expected a Lua table\n",
        ),
        (
            "ngx.say(pcall(ngx.location.capture, '/b', {method = 3}))",
            "falsefailed to adjust the subrequest: -1\n[error] unsupported HTTP method: 3\n",
        ),
    ]);
    let log = Given { phase: Phase::Log, ..Given::default() };
    check_given(
        &log,
        &[(
            "ngx.location.capture('/b')",
            "[error] failed to run log_by_lua*: content_by_lua(t:1):1: API disabled in the context of \
             log_by_lua*\n",
        )],
    );
}

#[test]
fn many() {
    check(&[
        (
            "local a, b = ngx.location.capture_multi({{'/slow'}, {'/b', {args = 'c'}}}) ngx.say(a.body, a.truncated, b.body)",
            "GET /slowtrueGET /b?c\n",
        ),
        ("ngx.say(pcall(ngx.location.capture_multi, {}))", "falseat least one subrequest should be specified\n"),
        ("ngx.say(pcall(ngx.location.capture_multi, {1}))", "falsethe query argument 0 is not a table, but a number\n"),
        ("ngx.say(pcall(ngx.location.capture_multi, {{}}))", "falsequery argument 0 expecting one or two arguments\n"),
        ("ngx.say(pcall(ngx.location.capture_multi))", "falseonly one argument is expected, but got 0\n"),
        (
            "local t = ngx.thread.spawn(function() ngx.location.capture('/slow') ngx.say('done') end) ngx.say(ngx.thread.kill(t))",
            "nilpending subrequests\ndone\n",
        ),
        (
            "ngx.thread.spawn(function() ngx.location.capture('/slow') end) ngx.say(pcall(ngx.exit, 0))",
            "falseattempt to abort with pending subrequests\n",
        ),
    ]);
}
