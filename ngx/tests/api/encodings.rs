//! ngx.escape_uri and its kin.
use crate::support::check;

#[test]
fn uris() {
    check(&[
        ("ngx.say(ngx.escape_uri('a b/?&=+ü'))", "a%20b%2F%3F%26%3D%2B%C3%BC\n"),
        ("ngx.say(ngx.escape_uri('a b/?&=+', 0))", "a%20b/%3F&=+\n"),
        ("ngx.say('[', ngx.escape_uri(nil), ngx.escape_uri(false), ngx.escape_uri(12), ']')", "[12]\n"),
        ("ngx.say(pcall(ngx.escape_uri, 'a', 7))", "falsecontent_by_lua(t:1):1: \"type\" 7 out of range\n"),
        ("ngx.say(pcall(ngx.escape_uri, 'a', 'b'))", "falsecontent_by_lua(t:1):1: \"type\" is not a number\n"),
        ("ngx.say(ngx.unescape_uri('a%20b+c%zz%'))", "a b c%zz%\n"),
        ("ngx.say('[', ngx.unescape_uri(nil), ']')", "[]\n"),
    ]);
}

#[test]
fn arguments() {
    check(&[
        ("ngx.say(ngx.encode_args({['a b'] = 'c&d'}))", "a%20b=c%26d\n"),
        ("ngx.say(ngx.encode_args({a = true}), ngx.encode_args({a = false}), ngx.encode_args({a = {}}))", "a\n"),
        ("ngx.say(ngx.encode_args({a = {1, true, false, 'x'}}))", "a=1&a&a=x\n"),
        ("ngx.say(pcall(ngx.encode_args, {a = {{}}}))", "falseattempt to use table as query arg value\n"),
        ("ngx.say(pcall(ngx.encode_args))", "falseexpecting 1 argument but seen 0\n"),
        ("ngx.say(pcall(ngx.encode_args, 'x'))", "falsebad argument #1 to '?' (table expected, got string)\n"),
        ("local t = ngx.decode_args('a=1&b&a=%20&=x') ngx.say(t.a[1], t.a[2], t.b, t[''])", "1 truenil\n"),
        ("local t, e = ngx.decode_args('a=1&b=2&c=3', 2) ngx.say(t.a, t.b, t.c, e)", "12niltruncated\n"),
        ("local t, e = ngx.decode_args(('a=1&'):rep(200)) ngx.say(#t.a, e)", "100truncated\n"),
        ("local t, e = ngx.decode_args(('a=1&'):rep(200), 0) ngx.say(#t.a, e)", "200nil\n"),
        ("ngx.say(pcall(ngx.decode_args))", "falseexpecting 1 or 2 arguments but seen 0\n"),
    ]);
}

#[test]
fn base64() {
    check(&[
        ("ngx.say(ngx.encode_base64('hello!'), ngx.encode_base64(nil), ngx.encode_base64(1))", "aGVsbG8hMQ==\n"),
        ("ngx.say(ngx.encode_base64('1', true), ngx.encode_base64('1', false))", "MQMQ==\n"),
        ("ngx.say(pcall(ngx.encode_base64, '1', 1))", "falsebad no_padding: boolean expected, got number\n"),
        ("ngx.say(ngx.decode_base64('aGVsbG8h'), ngx.decode_base64('a'), ngx.decode_base64('a~'))", "hello!nilnil\n"),
        ("ngx.say(pcall(ngx.decode_base64, 12))", "falsestring argument only\n"),
        ("ngx.say(ngx.decode_base64mime('aGVs\\r\\nbG8h'))", "hello!\n"),
        ("local b = require 'ngx.base64' ngx.say(b.encode_base64url('\\255\\254\\253a'))", "__79YQ\n"),
        ("local b = require 'ngx.base64' ngx.say(b.decode_base64url('__79YQ') == '\\255\\254\\253a')", "true\n"),
        ("local b = require 'ngx.base64' ngx.say(b.decode_base64url('+'))", "nilinvalid input\n"),
        ("local b = require 'ngx.base64' ngx.say(b.encode_base64url(1))", "nilmust provide a string\n"),
    ]);
}

#[test]
fn digests() {
    check(&[
        ("ngx.say(ngx.md5('hello'), #ngx.md5_bin('hello'))", "5d41402abc4b2a76b9719d911017c59216\n"),
        ("ngx.say(ngx.md5(nil) == ngx.md5(''), ngx.md5(45) == ngx.md5('45'))", "truetrue\n"),
        ("ngx.say(ngx.encode_base64(ngx.sha1_bin('hello')))", "qvTGHdzF6KLavt4PO0gs2a6pQ00=\n"),
        (
            "ngx.say(ngx.encode_base64(ngx.hmac_sha1('thisisverysecretstuff', 'some string we want to sign')))",
            "R/pvxzHC4NLtj7S+kXFg/NePTmk=\n",
        ),
        ("ngx.say(pcall(ngx.hmac_sha1, 'a'))", "falseexpecting 2 arguments, but got 1\n"),
        ("ngx.say(ngx.crc32_short('hello, world'), ' ', ngx.crc32_long('hello, world'))", "4289425978 4289425978\n"),
        ("ngx.say(ngx.quote_sql_str(\"a'b\\n\\0\"))", "'a\\'b\\n\\0'\n"),
        ("ngx.say(pcall(ngx.quote_sql_str))", "falseexpecting one argument\n"),
    ]);
}

#[test]
fn ndk() {
    check(&[
        ("ngx.say(ndk.set_var.set_escape_uri('a b'), ndk.set_var.set_unescape_uri('a%20b'))", "a%20ba b\n"),
        (
            "ngx.say(ndk.set_var.set_md5('hello'), ndk.set_var.set_quote_sql_str('x'))",
            "5d41402abc4b2a76b9719d911017c592'x'\n",
        ),
        (
            "ngx.say(pcall(function() return ndk.set_var.nothing end))",
            "falsecontent_by_lua(t:1):1: ndk.set_var: directive \"nothing\" not found or does not use ndk_set_var_value\n",
        ),
        ("ngx.say(pcall(function() ndk.set_var.a = 1 end))", "falsecontent_by_lua(t:1):1: not allowed\n"),
    ]);
}

#[test]
fn times() {
    check(&[
        (
            "ngx.say(ngx.http_time(0), ' ', ngx.cookie_time(1547040518))",
            "Thu, 01 Jan 1970 00:00:00 GMT Wed, 09-Jan-19 13:28:38 GMT\n",
        ),
        ("ngx.say(ngx.parse_http_time('Thu, 18 Nov 2010 11:27:35 GMT'), ngx.parse_http_time('x'))", "1290079655nil\n"),
        ("ngx.say(pcall(ngx.http_time, 'x'))", "falsenumber argument only\n"),
        ("ngx.say(pcall(ngx.parse_http_time, 1))", "falsestring argument only\n"),
        ("ngx.say(#ngx.today(), #ngx.localtime(), #ngx.utctime(), ngx.now() >= ngx.time())", "101919true\n"),
    ]);
}
