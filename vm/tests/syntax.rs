//! Source in, message out: `syntax_errors.txt` holds what LuaJIT with 5.2 compatibility says of broken sources.
//!
//! A row is a source and, after a tab, the message of the chunk `=t`, or OK. Both are escaped: `\n`, `\\`, `\xNN`.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(c) = rest.next() {
        if c != b'\\' {
            out.push(c);
            continue;
        }
        match rest.next() {
            Some(b'n') => out.push(b'\n'),
            Some(b'x') => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            Some(other) => out.push(other),
            None => panic!("a lone backslash in {text}"),
        }
    }
    out
}

fn answer(source: &[u8]) -> Vec<u8> {
    match vm::compile::compile(source, b"=t") {
        Ok(_) => b"OK".to_vec(),
        Err(error) => error.message,
    }
}

fn check(source: &[u8], expected: &[u8]) {
    let got = answer(source);
    assert!(
        got == expected,
        "{}\n  says {}\n  not  {}",
        source.escape_ascii(),
        got.escape_ascii(),
        expected.escape_ascii()
    );
}

#[test]
fn broken_sources_are_refused_in_luajits_words() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/syntax_errors.txt");
    for row in fs::read_to_string(path).unwrap().lines() {
        let (source, message) = row.split_once('\t').unwrap_or_else(|| panic!("no tab in {row}"));
        check(&unescape(source), &unescape(message));
    }
}

/// `count` times `unit`.
fn many(count: usize, unit: impl Fn(usize) -> String) -> String {
    (0..count).map(unit).collect()
}

#[test]
fn nesting_is_limited() {
    let deep = "t:1: chunk has too many syntax levels";
    for (open, close, limit) in
        [("(", ")", 198), ("{", "}", 198), ("f(", ")", 198), ("not ", "", 198), ("a ..", "", 198)]
    {
        let nested = |n: usize| format!("x = {}a{}", open.repeat(n), close.repeat(n));
        check(nested(limit - 1).as_bytes(), b"OK");
        check(nested(limit + 1).as_bytes(), deep.as_bytes());
        check(nested(100_000).as_bytes(), deep.as_bytes());
    }
    for (open, close) in [("do ", "end "), ("if a then ", "end "), ("while a do ", "end "), ("repeat ", "until a ")] {
        check((open.repeat(150) + &close.repeat(150)).as_bytes(), b"OK");
        check(open.repeat(200).as_bytes(), deep.as_bytes());
    }
    check(("return function() ".repeat(98) + &"end ".repeat(98)).as_bytes(), b"OK");
    check("return function() ".repeat(100).as_bytes(), deep.as_bytes());
}

#[test]
fn locals_and_captures_are_limited() {
    let locals = |n| many(n, |i| format!("local a{i} = 1\n"));
    check(locals(200).as_bytes(), b"OK");
    check(locals(201).as_bytes(), b"t:201: main function has more than 200 local variables");
    let inside = format!("function f()\n{} end", locals(201));
    check(inside.as_bytes(), b"t:202: function at line 1 has more than 200 local variables");
    let captures = |n| format!("{}function f()\n{}\nend", locals(n), many(n, |i| format!("x = a{i} ")));
    check(captures(120).as_bytes(), b"OK");
    check(captures(121).as_bytes(), b"t:124: function at line 122 has more than 120 upvalues");
    let arguments = |n: usize| format!("f({})", vec!["a"; n].join(","));
    check(arguments(240).as_bytes(), b"OK");
    check(arguments(260).as_bytes(), b"t:1: function or expression too complex");
}

#[test]
fn what_is_long_but_not_deep_compiles() {
    let sources = [
        "x = a".to_string() + &" + a".repeat(100_000),
        "x = a".to_string() + &" and b or c".repeat(30_000),
        "x = a".to_string() + &" < a".repeat(50_000),
        "x = a".to_string() + &".b".repeat(100_000),
        "x = a".to_string() + &"()".repeat(100_000),
        "x = a".to_string() + &":b()[1]".repeat(50_000),
        "if a then ".to_string() + &"elseif b then x = 1 ".repeat(50_000) + "end",
        "x = 1 ".repeat(200_000),
        "local t = { ".to_string() + &many(200_000, |i| format!("{i},")) + "} print(t)",
        "local t = { ".to_string() + &many(100_000, |i| format!("'s{i}',")) + "} print(t.x, t:y(), 1 + 0.5)",
        "do end ".repeat(100_000),
        many(50_000, |i| format!("goto l{i} ::l{i}:: ")),
        many(50_000, |i| format!("goto l{i} ")) + &many(50_000, |i| format!("::l{i}:: a() ")),
        ";".repeat(100_000),
        "local function f() return f end ".repeat(200),
        "-- comment\n".repeat(100_000),
        format!("x = '{}'", "a\\n".repeat(100_000)),
    ];
    for source in sources {
        let said = answer(source.as_bytes());
        assert!(said == b"OK", "{}...: {}", &source[..40], said.escape_ascii());
    }
}

/// LuaJIT has the first of these limits, too, though a lower one; without the second, a source's tree could not be kept small.
#[test]
fn one_expression_has_so_many_operators() {
    for (unit, message) in [
        (" and b", "t:1: control structure too long near 'and'"),
        (" + b", "t:1: function or expression too complex"),
        (" < b", "t:1: function or expression too complex"),
        (".b", "t:1: function or expression too complex"),
        ("()", "t:1: function or expression too complex"),
    ] {
        let said = answer(("x = a".to_string() + &unit.repeat(140_000)).as_bytes());
        assert_eq!(said.escape_ascii().to_string().replace("\\'", "'"), message);
    }
}
