//! The spans of a request, in a program with the feature `trace`: each word of ARCHITECTURE.md, one inside of another.

use crate::support::{Prefix, Server, free_port, until};

#[test]
fn every_word_of_a_request_is_a_span() {
    let (prefix, port) = (Prefix::new(), free_port());
    let http = r#"server { listen 127.0.0.1:PORT; location / { set $seen 1; content_by_lua_block {
        ngx.sleep(0.001) ngx.say("slept")
    } } }"#;
    let conf =
        format!("daemon off; user root; pid logs/nginx.pid; error_log logs/error.log; events {{}} http {{ {http} }}");
    prefix.write("conf/nginx.conf", &conf.replace("PORT", &port.to_string()));
    let trace = prefix.0.join("logs/trace");
    let mut command = prefix.command(&[]);
    command.env("PERILUNE_TRACE", &trace);
    let server = Server::with_command(command, prefix, port);
    assert_eq!(server.body("/?here"), "slept\n");
    let mut lines = Vec::new();
    until("the request's end", || {
        lines = server.prefix.read("logs/trace").lines().map(str::to_string).collect();
        let of = |line: &String| span(line).filter(|(_, _, rest)| rest.starts_with("request GET /?here")).map(|s| s.0);
        let request = lines.iter().find_map(of);
        request.is_some_and(|id| lines.iter().any(|line| line.ends_with(&format!(" {id} end"))))
    });
    let spans: Vec<_> = lines.iter().filter_map(|line| span(line)).collect();
    let path = |mut id: u64| {
        let mut names = Vec::new();
        while let Some((_, parent, rest)) = spans.iter().find(|(known, ..)| *known == id) {
            names.insert(0, rest.split(' ').next().unwrap_or_default());
            id = *parent;
        }
        names.join(" > ")
    };
    for (expected, note) in [
        ("accept", "127.0.0.1"),
        ("request", "GET /?here HTTP/1.0"),
        ("request > phase", "rewrite"),
        ("request > phase", "content"),
        ("request > phase > run", "content"),
        ("request > phase > run > park", "sleep"),
        ("request > phase > run > resume", ""),
        ("request > phase > respond", ""),
    ] {
        let found = spans.iter().any(|(id, _, rest)| {
            path(*id) == expected && rest.split_once(' ').is_some_and(|(_, said)| said.starts_with(note))
        });
        assert!(found, "{expected} {note}\n{}", lines.join("\n"));
    }
    // A phase that has nothing to do is none.
    assert!(!spans.iter().any(|(_, _, rest)| rest.starts_with("phase access")), "{}", lines.join("\n"));
    // What begins ends.
    for (id, _, rest) in spans.iter().filter(|(_, parent, _)| *parent != 0) {
        assert!(lines.iter().any(|line| line.ends_with(&format!(" {id} end"))), "{rest}");
    }
}

/// Number, parent, and the rest of a line about a beginning.
fn span(line: &str) -> Option<(u64, u64, &str)> {
    let mut words = line.splitn(4, ' ');
    let (id, parent) = words.nth(2)?.split_once('<')?;
    Some((id.parse().ok()?, parent.parse().ok()?, words.next()?))
}
