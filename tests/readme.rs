//! What the README shows works as it stands there, and what it promises about waiting holds.

use crate::support::Server;

const README: &str = include_str!("../README.md");

#[test]
fn the_five_minute_start() {
    let conf =
        README.split("<<'END'\n").nth(1).and_then(|rest| rest.split("    END\n").next()).expect("a here-document");
    let server = Server::with_conf(&conf.replace("8081", "PORT"), &[], &["-g", "daemon off;"]);
    let cases = [
        ("/hello?name=you", "hello, you\n"),
        ("/hello", "hello, world\n"),
        ("/count", "1\n"),
        ("/count", "2\n"),
        ("/both", "0.3 s of waiting in 0.2 s\n"),
    ];
    for (path, expected) in cases {
        assert_eq!(server.body(path), expected, "{path}\n{}", server.log());
    }
    assert!(server.raw(b"POST /count HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(server.prefix.run(&["-s", "reload"]).status.success());
}

#[test]
fn the_two_commands() {
    for command in ["cargo run --release  ", "cargo test --workspace  "] {
        assert!(README.contains(command), "{command}");
    }
    assert!(include_str!("../.ci/run").contains("cargo test --locked --workspace"));
}

#[test]
fn waiting_is_allowed_anywhere() {
    let lua = r#"
        local function nap() ngx.sleep(0.001) return "x" end
        package.preload["napping"] = function() nap() return "required" end
        local sleepy = setmetatable({}, {
            __index = nap, __call = nap, __concat = nap, __tostring = nap, __unm = nap,
            __lt = function() nap() return true end, __eq = function() nap() return true end,
        })
        local other = setmetatable({}, getmetatable(sleepy))
        local list = { 3, 1, 2 }
        table.sort(list, function(a, b) nap() return a < b end)
        ngx.say("sort ", table.concat(list, " "))
        ngx.say("gsub ", (("abc"):gsub("%w", nap)))
        ngx.say("pcall ", pcall(nap))
        ngx.say("xpcall ", xpcall(error, function(e) nap() return "handled" end))
        ngx.say("require ", require("napping"))
        ngx.say("tostring ", tostring(sleepy))
        ngx.say("index ", sleepy.field)
        ngx.say("call ", sleepy())
        ngx.say("concat ", sleepy .. "a")
        ngx.say("unm ", -sleepy)
        ngx.say("compare ", sleepy < other, " ", sleepy == other)
        for v in function(_, last) nap() if not last then return 1 end end do ngx.say("iterator ", v) end
        ngx.say("coroutine ", coroutine.wrap(function() coroutine.yield(nap()) end)())
        ngx.say("load ", loadstring("ngx.sleep(0.001) return 'loaded'")())
    "#;
    let http = "server { listen 127.0.0.1:PORT; location / { content_by_lua_file a.lua; } }";
    let server = Server::start(http, &[("a.lua", lua)]);
    let expected = "sort 1 2 3\ngsub xxx\npcall truex\nxpcall falsehandled\nrequire required\ntostring x\nindex x\ncall x\n\
         concat x\nunm x\ncompare true true\niterator 1\ncoroutine x\nload loaded\n";
    assert_eq!(server.body("/"), expected, "{}", server.log());
}
