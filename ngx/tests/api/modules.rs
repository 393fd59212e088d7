//! Modules that are built in.
use crate::support::check;

#[test]
fn lua_resty_core() {
    check(&[
        ("ngx.say(type(require 'resty.core'), require 'resty.core.base'.version)", "table0.1.25\n"),
        (
            "local b = require 'resty.core.base' local t = b.new_tab(1, 2) t[1] = 1 b.clear_tab(t) ngx.say(#t, b.FFI_DECLINED)",
            "0-5\n",
        ),
        (
            "local b = require 'resty.core.base' local t = {} ngx.say(b.ref_in_table(t, 'a'), b.ref_in_table(t, 'b'), b.ref_in_table(t))",
            "12-1\n",
        ),
        ("ngx.say(require 'resty.core.utils'.str_replace_char('a_b_c', '_', '-'))", "a-b-c\n"),
        (
            "ngx.say(require 'resty.core.time'.monotonic_msec() > 0, require 'resty.core.base'.get_request() ~= nil)",
            "truetrue\n",
        ),
        ("ngx.say(require 'ngx' == ngx, require 'ndk' == ndk, require 'ngx.re' == ngx.re)", "truetruefalse\n"),
        (
            "ngx.say(require 'table.new' ~= nil, require 'table.clear' ~= nil, require 'table.nkeys' ~= nil)",
            "truetruetrue\n",
        ),
    ]);
}

#[test]
fn errlog_and_process() {
    check(&[
        ("require 'ngx.errlog'.raw_log(ngx.ERR, 'hello')", "[error] hello\n"),
        ("require 'ngx.errlog'.raw_log(ngx.INFO, 'hello') ngx.say(require 'ngx.errlog'.get_sys_filter_level())", "4\n"),
        (
            "ngx.say(pcall(require 'ngx.errlog'.raw_log, 'x', 'hello'))",
            "falsebad argument #1 to 'raw_log' (must be a number)\n",
        ),
        (
            "ngx.say(pcall(require 'ngx.errlog'.raw_log, 1, 1))",
            "falsebad argument #2 to 'raw_log' (must be a string)\n",
        ),
        ("ngx.say(pcall(require 'ngx.errlog'.raw_log, 99, 'x'))", "falsebad log level\n"),
        ("ngx.say(require 'ngx.process'.type())", "worker\n"),
        ("ngx.say(require 'ngx.process'.get_master_pid() ~= ngx.worker.pid())", "true\n"),
        ("ngx.say(require 'ngx.process'.enable_privileged_agent())", "nilAPI disabled in the current context\n"),
        ("ngx.say(ngx.get_raw_phase())", "8\n"),
        (
            "ngx.say(ndk.set_var.set_encode_base32('2011.10.13+0000'), ' ', ndk.set_var.set_encode_base32('a'))",
            "68o32c9e64o2sc9j5co30c1g c4======\n",
        ),
        (
            "ngx.say(ndk.set_var.set_decode_base32('C4======'), ndk.set_var.set_decode_base32('68o32c9e64o2sc9j5co30c1g'), '.')",
            "a2011.10.13+0000.\n",
        ),
    ]);
}
