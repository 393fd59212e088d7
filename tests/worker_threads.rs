//! ngx.run_worker_thread: values go over and come back as copies, errors in words, and the worker serves meanwhile.

use crate::support::Server;

const MODULE: &str = r##"
local M = { text = "no function" }
function M.kinds(...)
    local out = {}
    for i = 1, select("#", ...) do
        out[i] = type((select(i, ...)))
    end
    return table.concat(out, " ")
end
function M.same(...) return ... end
function M.fails() error("on purpose") end
function M.fails_so() error({}) end
function M.gives_a_function() return { deep = { print } } end
function M.waits() ngx.sleep(0.001) return ngx.get_phase() end
function M.refused() return ngx.say("hm") end
function M.count() M.n = (M.n or 0) + 1 return M.n end
function M.logs() ngx.log(ngx.WARN, "from the thread") end
function M.until_told()
    local d = ngx.shared.d
    d:set("begun", true)
    while not d:get("stop") do end
    return "told"
end
return M
"##;

fn start(http: &str) -> Server {
    let http = format!(
        "lua_package_path '${{prefix}}?.lua;;'; lua_shared_dict d 1m; {http}
         server {{ listen 127.0.0.1:PORT;
         location / {{ content_by_lua_block {{
            local function run(name, ...)
                local out = {{ ngx.run_worker_thread('pool', 'm', name, ...) }}
                for i = 1, 3 do out[i] = tostring(out[i]) end
                ngx.say(table.concat(out, ' | '))
            end
            local code = ngx.req.get_uri_args().code
            assert(loadstring('local run = ... ' .. code))(run)
         }} }}
         location = /one {{ content_by_lua_block {{ ngx.say(ngx.run_worker_thread('one', 'm', 'until_told')) }} }}
         location = /go-on {{ content_by_lua_block {{
            while not ngx.shared.d:get('begun') do ngx.sleep(0.001) end
            ngx.say(ngx.run_worker_thread('one', 'm', 'count'))
            ngx.shared.d:set('stop', true)
         }} }} }}"
    );
    let main = "thread_pool pool threads=2; thread_pool one threads=1 max_queue=0;";
    Server::with_main(main, &http, &[("m.lua", MODULE)])
}

#[test]
fn values_cross_as_copies_and_errors_as_words() {
    let server = start("");
    for (code, expected) in [
        (
            "run('kinds', nil, true, 1.5, 's', {}, ngx.null, nil)",
            "true | nil boolean number string table userdata nil | nil",
        ),
        (
            "run('same', ngx.null == select(2, ngx.run_worker_thread('pool', 'm', 'same', ngx.null)))",
            "true | true | nil",
        ),
        (
            "local t = { [{ 1 }] = { x = 'y' } } local _, u = ngx.run_worker_thread('pool', 'm', 'same', t) \
          for k, v in pairs(u) do run('same', k[1], v.x) end",
            "true | 1 | y",
        ),
        ("run('same')", "true | nil | nil"),
        ("run('same', print)", "false | unsupported Lua type: LUA_TFUNCTION in the argument | nil"),
        (
            "run('same', { { coroutine.create(print) } })",
            "false | unsupported Lua type: LUA_TTHREAD in the argument | nil",
        ),
        ("run('same', 1LL)", "false | unsupported Lua type in the argument | nil"),
        (
            "local t = {} t.t = t run('same', t)",
            "false | suspicious circular references, table depth exceed max depth: 100 in the argument | nil",
        ),
        ("run('gives_a_function')", "false | unsupported Lua type: LUA_TFUNCTION in the return value | nil"),
        ("run('fails')", "false | PREFIX/m.lua:11: on purpose | nil"),
        ("run('fails_so')", "false |  | nil"),
        ("run('text')", "false | invalid function | nil"),
        ("run('waits')", "true | worker_thread | nil"),
        ("run('refused')", "false | API disabled in the context of ngx.run_worker_thread | nil"),
        ("run('logs')", "true | nil | nil"),
        ("ngx.say(ngx.run_worker_thread('pool', 'string', 'rep', 'ab', 2))", "trueabab"),
        (
            "local ok, err = ngx.run_worker_thread('pool', 'gone', 'f') ngx.say(ok, ' ', err:match('^[^\\n]*'))",
            "false module 'gone' not found:",
        ),
        ("ngx.say(ngx.run_worker_thread('none', 'm', 'same'))", "falsethread pool none not found"),
        ("ngx.say(ngx.run_worker_thread('pool'))", "falseexpecting at least 3 arguments"),
        ("ngx.say(ngx.run_worker_thread({}, 'm', 'same'))", "falsethreadpool should be a string"),
        ("ngx.say(ngx.run_worker_thread('pool', {}, 'same'))", "falsemodule name should be a string"),
        ("ngx.say(ngx.run_worker_thread('pool', 'm', {}))", "falsefunction name should be a string"),
    ] {
        let path = format!("/?code={}", code.bytes().map(|b| format!("%{b:02X}")).collect::<String>());
        let body = server.body(&path).replace(&format!("{}", server.prefix.0.display()), "PREFIX");
        assert_eq!(body, format!("{expected}\n"), "{code}\n{}", server.log());
    }
    assert!(
        server.log().contains("[lua] m.lua:17: from the thread, context: ngx.run_worker_thread"),
        "{}",
        server.log()
    );
}

#[test]
fn a_busy_pool_refuses_in_words_and_the_worker_goes_on() {
    for (size, expected) in [("1", "falseno available Lua vm\n"), ("2", "falsengx_thread_task_post failed\n")] {
        let server = start(&format!("lua_worker_thread_vm_pool_size {size};"));
        std::thread::scope(|scope| {
            let told = scope.spawn(|| server.body("/one"));
            assert_eq!(server.body("/go-on"), expected, "{}", server.log());
            assert_eq!(told.join().unwrap(), "truetold\n");
        });
    }
}
