//! Configurations that are refused: the message, its place, the exit status.

use crate::support::Prefix;

fn check(conf: &str, expected: &str) {
    let prefix = Prefix::new();
    prefix.write("conf/nginx.conf", conf);
    let output = prefix.run(&["-t"]);
    let text = String::from_utf8_lossy(&output.stderr).replace(&prefix.0.display().to_string(), "");
    let first = text.lines().next().unwrap_or_default().replace(" in /conf/nginx.conf:", " @");
    assert_eq!(first, format!("nginx: {expected}"), "{conf}");
    assert_eq!(output.status.code(), Some(if expected.starts_with('[') { 1 } else { 0 }));
    if expected.starts_with('[') {
        let log = prefix.read("logs/error.log").replace(&prefix.0.display().to_string(), "");
        let (level, words) = expected.split_once(' ').unwrap();
        let words = words.replace(" @", " in /conf/nginx.conf:");
        assert!(log.contains(&format!(" {level} ")) && log.ends_with(&format!(": {words}\n")), "{log}");
    }
}

#[test]
fn syntax() {
    check("events {}\nfoo bar;", "[emerg] unknown directive \"foo\" @2");
    check("events {", "[emerg] unexpected end of file, expecting \"}\" @1");
    check("events {}\n}", "[emerg] unexpected \"}\" @2");
    check("events", "[emerg] unexpected end of file, expecting \";\" or \"}\" @1");
    check("events {}\nhttp {\n server {\n listen 80\n }\n}", "[emerg] unexpected \"}\" @5");
    check("events;", "[emerg] directive \"events\" has no opening \"{\" @1");
    check("daemon on { }", "[emerg] directive \"daemon\" is not terminated by \";\" @1");
    check("daemon on off;", "[emerg] invalid number of arguments in \"daemon\" directive @1");
    check("events {}\nhttp {\n listen 80;\n}", "[emerg] \"listen\" directive is not allowed here @3");
    check("daemon on; daemon on;", "[emerg] \"daemon\" directive is duplicate @1");
}

#[test]
fn values() {
    let http = |text: &str| format!("events {{}} http {{ {text} }}");
    for (text, expected) in [
        ("sendfile x;", "invalid value \"x\" in \"sendfile\" directive, it must be \"on\" or \"off\" @1"),
        ("client_max_body_size x;", "\"client_max_body_size\" directive invalid value @1"),
        ("include none.conf;", "open() \"/conf/none.conf\" failed (2: No such file or directory) @1"),
        ("server { listen 80 foo; }", "invalid parameter \"foo\" @1"),
        ("server { listen 80 ssl; }", "unknown directive \"ssl\" @1"),
        ("server { location / {} location / {} }", "duplicate location \"/\" @1"),
        ("error_page 200 /x;", "value \"200\" must be between 300 and 599 @1"),
        ("server { set foo 1; }", "invalid variable name \"foo\" @1"),
        ("server { if (a) {} }", "invalid condition \"a\" @1"),
        ("lua_shared_dict a 1;", "invalid lua shared dict size \"1\" @1"),
    ] {
        check(&http(text), &format!("[emerg] {expected}"));
    }
    check(&http("server { location / { return 200 $nope; } }"), "[emerg] unknown \"nope\" variable");
}

#[test]
fn lua_blocks() {
    let content = |text: &str| format!("events {{}} http {{ server {{ location / {{ {text}");
    let missing = "unexpected end of file, expecting terminating characters for lua code block @1";
    check(&content("content_by_lua_block {\n x"), &format!("[emerg] {missing}"));
    check(&content("content_by_lua_block;"), "[emerg] directive \"content_by_lua_block\" has no opening \"{\" @1");
    check(
        &content("content_by_lua_block { s = '}' t = [[ } ]] -- }\n } } } }"),
        "the configuration file /conf/nginx.conf syntax is ok",
    );
}

#[test]
fn includes_stand_in_their_context() {
    let prefix = Prefix::new();
    prefix.write("conf/nginx.conf", "events {}\nhttp { include sites/*.conf; }");
    prefix.write("conf/sites/a.conf", "server { listen 127.0.0.1:1; }");
    prefix.write("conf/sites/b.conf", "\nserver { lissen 1; }");
    let output = prefix.run(&["-t", "-q"]);
    let text = String::from_utf8_lossy(&output.stderr).replace(&prefix.0.display().to_string(), "");
    assert!(text.starts_with("nginx: [emerg] unknown directive \"lissen\" in /conf/sites/b.conf:2\n"), "{text}");
}
