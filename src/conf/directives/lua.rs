//! The directives of lua-nginx-module.

use std::sync::Arc;

use ngx::code::Code;

use super::super::build::{Builder, Directive};
use super::super::scalar;
use super::super::settings::Settings;
use super::super::tree::{Handler, Op};
use super::arity::{ONE, TWO, TWO_MORE};
use super::context::{ALL_IF, HTTP, LOCATION, LOCATION_IF, RULES, SERVER};
use super::{Block, Row, nothing, nothing_flag, rewrite, row};

/// The three forms of one phase's directive: inline string, file, block.
macro_rules! phase {
    ($at:expr, $string:literal, $file:literal, $block:literal, $set:expr) => {
        [
            row($string, $at, ONE, $set),
            row($file, $at, ONE, $set),
            Row { name: $block, at: $at, args: super::arity::NONE, block: Block::Lua, set: $set },
        ]
    };
}

const fn three(rows: [Row; 3]) -> [Row; 3] {
    rows
}

pub static ROWS: &[Row] = &{
    let [a1, a2, a3] = three(phase!(HTTP, "init_by_lua", "init_by_lua_file", "init_by_lua_block", |b, d| {
        worker(b, d, |lua| &mut lua.init)
    }));
    let [b1, b2, b3] = three(phase!(
        HTTP,
        "init_worker_by_lua",
        "init_worker_by_lua_file",
        "init_worker_by_lua_block",
        |b, d| worker(b, d, |lua| &mut lua.init_worker)
    ));
    let [c1, c2, c3] = three(phase!(
        HTTP,
        "exit_worker_by_lua",
        "exit_worker_by_lua_file",
        "exit_worker_by_lua_block",
        |b, d| worker(b, d, |lua| &mut lua.exit_worker)
    ));
    let [d1, d2, d3] = three(phase!(
        HTTP | SERVER,
        "server_rewrite_by_lua",
        "server_rewrite_by_lua_file",
        "server_rewrite_by_lua_block",
        |b, d| code(b, d, |s| &mut s.lua_server_rewrite)
    ));
    let [e1, e2, e3] =
        three(phase!(ALL_IF, "rewrite_by_lua", "rewrite_by_lua_file", "rewrite_by_lua_block", |b, d| {
            code(b, d, |s| &mut s.lua_rewrite)
        }));
    let [f1, f2, f3] = three(phase!(ALL_IF, "access_by_lua", "access_by_lua_file", "access_by_lua_block", |b, d| {
        code(b, d, |s| &mut s.lua_access)
    }));
    let [g1, g2, g3] =
        three(phase!(LOCATION | LOCATION_IF, "content_by_lua", "content_by_lua_file", "content_by_lua_block", content));
    let [h1, h2, h3] = three(phase!(
        ALL_IF,
        "header_filter_by_lua",
        "header_filter_by_lua_file",
        "header_filter_by_lua_block",
        |b, d| code(b, d, |s| &mut s.lua_header_filter)
    ));
    let [i1, i2, i3] = three(phase!(
        ALL_IF,
        "body_filter_by_lua",
        "body_filter_by_lua_file",
        "body_filter_by_lua_block",
        |b, d| code(b, d, |s| &mut s.lua_body_filter)
    ));
    let [j1, j2, j3] = three(phase!(ALL_IF, "log_by_lua", "log_by_lua_file", "log_by_lua_block", |b, d| {
        code(b, d, |s| &mut s.lua_log)
    }));
    let [k1, k2, k3] =
        three(phase!(ALL_IF, "precontent_by_lua", "precontent_by_lua_file", "precontent_by_lua_block", |b, d| {
            code(b, d, |s| &mut s.lua_precontent)
        }));
    [
        a1,
        a2,
        a3,
        b1,
        b2,
        b3,
        c1,
        c2,
        c3,
        d1,
        d2,
        d3,
        e1,
        e2,
        e3,
        f1,
        f2,
        f3,
        g1,
        g2,
        g3,
        h1,
        h2,
        h3,
        i1,
        i2,
        i3,
        j1,
        j2,
        j3,
        k1,
        k2,
        k3,
        row("set_by_lua", RULES, TWO_MORE, set_by_lua),
        row("set_by_lua_file", RULES, TWO_MORE, set_by_lua),
        Row { name: "set_by_lua_block", at: RULES, args: ONE, block: Block::Lua, set: set_by_lua },
        row("lua_package_path", HTTP, ONE, |b, d| {
            let path = d.arg(0).to_vec();
            once(b, d, |lua| &mut lua.package_path, path)
        }),
        row("lua_package_cpath", HTTP, ONE, |b, d| {
            let path = d.arg(0).to_vec();
            once(b, d, |lua| &mut lua.package_cpath, path)
        }),
        row("lua_shared_dict", HTTP, TWO, shared_dict),
        row("lua_code_cache", ALL_IF, ONE, |b, d| {
            b.flag(d, |s| &mut s.lua_code_cache)?;
            if b.settings().lua_code_cache == Some(false) {
                let pos = d.pos.clone();
                let text = "lua_code_cache is off; this will hurt performance";
                b.notes.push((ngx::log::Level::Alert, format!("{text}{}", super::super::place(&pos))));
            }
            Ok(())
        }),
        row("lua_max_running_timers", HTTP, ONE, |b, d| {
            let number = number(d)?;
            once(b, d, |lua| &mut lua.max_running_timers, number)
        }),
        row("lua_max_pending_timers", HTTP, ONE, |b, d| {
            let number = number(d)?;
            once(b, d, |lua| &mut lua.max_pending_timers, number)
        }),
        row("lua_worker_thread_vm_pool_size", HTTP, ONE, |b, d| {
            let number = number(d)?;
            once(b, d, |lua| &mut lua.worker_thread_vm_pool_size, number)
        }),
        row("lua_regex_cache_max_entries", HTTP, ONE, |b, d| {
            let number = number(d)?;
            once(b, d, |lua| &mut lua.regex_cache_max_entries, number)
        }),
        row("lua_regex_match_limit", HTTP, ONE, |b, d| {
            let number = number(d)?;
            once(b, d, |lua| &mut lua.regex_match_limit, number)
        }),
        row("lua_socket_connect_timeout", ALL_IF, ONE, |b, d| b.msec(d, |s| &mut s.lua_socket_connect_timeout)),
        row("lua_socket_send_timeout", ALL_IF, ONE, |b, d| b.msec(d, |s| &mut s.lua_socket_send_timeout)),
        row("lua_socket_read_timeout", ALL_IF, ONE, |b, d| b.msec(d, |s| &mut s.lua_socket_read_timeout)),
        row("lua_socket_keepalive_timeout", ALL_IF, ONE, |b, d| b.msec(d, |s| &mut s.lua_socket_keepalive_timeout)),
        row("lua_socket_pool_size", ALL_IF, ONE, |b, d| b.number(d, |s| &mut s.lua_socket_pool_size)),
        row("lua_socket_buffer_size", ALL_IF, ONE, |b, d| b.size(d, |s| &mut s.lua_socket_buffer_size)),
        row("lua_socket_send_lowat", ALL_IF, ONE, nothing),
        row("lua_socket_log_errors", ALL_IF, ONE, |b, d| b.flag(d, |s| &mut s.lua_socket_log_errors)),
        row("lua_need_request_body", ALL_IF, ONE, |b, d| b.flag(d, |s| &mut s.lua_need_request_body)),
        row("lua_http10_buffering", ALL_IF, ONE, |b, d| b.flag(d, |s| &mut s.lua_http10_buffering)),
        row("lua_transform_underscores_in_response_headers", ALL_IF, ONE, |b, d| {
            b.flag(d, |s| &mut s.lua_transform_underscores)
        }),
        row("lua_check_client_abort", ALL_IF, ONE, |b, d| b.flag(d, |s| &mut s.lua_check_client_abort)),
        row("lua_use_default_type", ALL_IF, ONE, |b, d| b.flag(d, |s| &mut s.lua_use_default_type)),
        row("rewrite_by_lua_no_postpone", HTTP, ONE, |b, d| b.flag(d, |s| &mut s.rewrite_by_lua_no_postpone)),
        row("precontent_by_lua_no_postpone", HTTP, ONE, |b, d| b.flag(d, |s| &mut s.precontent_by_lua_no_postpone)),
        row("access_by_lua_no_postpone", HTTP, ONE, |b, d| b.flag(d, |s| &mut s.access_by_lua_no_postpone)),
        // There is no malloc to trim, no C signal handler to restart.
        row("lua_malloc_trim", HTTP, ONE, nothing),
        row("lua_sa_restart", HTTP, ONE, nothing_flag),
        row("lua_thread_cache_max_entries", HTTP, ONE, |b, d| {
            let number = number(d)?;
            once(b, d, |lua| &mut lua.thread_cache_max_entries, number)
        }),
        row("lua_load_resty_core", HTTP, ONE, |b, d| {
            let text = "lua_load_resty_core is deprecated (the lua-resty-core library is required since ngx_lua \
                        v0.10.16)";
            b.warn(&d.pos, text);
            Ok(())
        }),
        row("lua_capture_error_log", HTTP, ONE, capture),
    ]
};

fn code(b: &mut Builder, d: &Directive, slot: fn(&mut Settings) -> &mut Option<Arc<Code>>) -> Result<(), String> {
    if slot(b.settings()).is_some() {
        return Err(d.says("is duplicate"));
    }
    check_inline(d, 0)?;
    note(b, d);
    let code = b.code(d, 0)?;
    b.put(d, slot, code)
}

/// Notes for which filters there is work.
fn note(b: &mut Builder, d: &Directive) {
    let main = &mut b.http().lua.main;
    main.answers |= ["rewrite_by_lua", "access_by_lua", "content_by_lua"].iter().any(|name| d.name.starts_with(name));
    main.filters |= d.name.starts_with("header_filter") || d.name.starts_with("body_filter");
    main.body_filters |= d.name.starts_with("body_filter");
}

fn check_inline(d: &Directive, word: usize) -> Result<(), String> {
    if d.lua.is_none() && d.arg(word).is_empty() {
        return Err("invalid location config: no runnable Lua code".into());
    }
    Ok(())
}

fn content(b: &mut Builder, d: &Directive) -> Result<(), String> {
    if b.location().handler.is_some() {
        return Err("is duplicate".into());
    }
    check_inline(d, 0)?;
    note(b, d);
    let code = b.code(d, 0)?;
    b.location().handler = Some(Handler::Lua(code));
    Ok(())
}

fn worker(
    b: &mut Builder,
    d: &Directive,
    slot: fn(&mut super::super::tree::LuaMain) -> &mut Option<Arc<Code>>,
) -> Result<(), String> {
    if slot(&mut b.http().lua.main).is_some() {
        return Err(d.says("is duplicate"));
    }
    let code = b.code(d, 0)?;
    *slot(&mut b.http().lua.main) = Some(code);
    Ok(())
}

fn once<T>(
    b: &mut Builder,
    d: &Directive,
    slot: fn(&mut super::super::tree::LuaMain) -> &mut Option<T>,
    value: T,
) -> Result<(), String> {
    let slot = slot(&mut b.http().lua.main);
    if slot.is_some() {
        return Err(d.says("is duplicate"));
    }
    *slot = Some(value);
    Ok(())
}

/// lua_capture_error_log SIZE: at least the longest line.
fn capture(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let invalid = || format!("invalid capture error log size \"{}\"", d.text(0));
    if b.http().lua.main.captured.is_some() {
        return Err(d.says("is duplicate"));
    }
    match scalar::size(d.arg(0)).and_then(|size| usize::try_from(size).ok()) {
        _ if d.arg(0).is_empty() => Err(invalid()),
        Some(size) if size >= crate::log::LINE => {
            once(b, d, |lua| &mut lua.captured, Arc::new(ngx::captured::Captured::new(size)))
        }
        _ => Err(format!("{}, minimum size is {}", invalid(), crate::log::LINE)),
    }
}

fn number(d: &Directive) -> Result<u64, String> {
    scalar::number(d.arg(0)).ok_or_else(|| d.says("invalid number"))
}

fn set_by_lua(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let name = rewrite::variable(d, 0)?;
    let slot = b.http().define(name);
    let code = b.code(d, 1)?;
    let first = if d.lua.is_some() { 1 } else { 2 };
    let args = d.args().iter().skip(first).map(|word| b.value(word)).collect::<Result<_, _>>()?;
    b.location().rewrite.push(Op::SetByLua { slot, code, args });
    Ok(())
}

fn shared_dict(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let name = d.text(0);
    if name.is_empty() {
        return Err(format!("invalid lua shared dict name \"{name}\""));
    }
    let size = scalar::size(d.arg(1)).filter(|size| *size > 8191);
    let size = size.ok_or_else(|| format!("invalid lua shared dict size \"{}\"", d.text(1)))?;
    let dicts = &mut b.http().lua.main.shared_dicts;
    if dicts.iter().any(|(known, _)| *known == name) {
        return Err(match dicts.iter().find(|(known, _)| *known == name) {
            Some((_, other)) if *other != size => {
                format!("the size {size} of shared memory zone \"{name}\" conflicts with already declared size {other}")
            }
            _ => format!("lua_shared_dict \"{name}\" is already defined as \"{name}\""),
        });
    }
    dicts.push((name, size));
    Ok(())
}
