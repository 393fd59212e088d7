//! Whatever bytes come in, the compiler answers, and what it makes is sound. PERILUNE_FUZZ=FACTOR makes that many times as many.
#![allow(clippy::unwrap_used)]

mod dice;

use std::fs;
use std::path::Path;

use dice::{Dice, rounds};

/// Must not panic; what compiles must verify, and be the same whichever way it is compiled.
fn check(source: &[u8]) {
    let Ok(chunk) = vm::compile::compile(source, b"=fuzz") else { return };
    let listing = vm::code::disasm::disasm(&chunk);
    if let Err(what) = vm::code::verify::verify(&chunk) {
        panic!("{what}\n{}\n{listing}", source.escape_ascii());
    }
    // A long source is compiled in pieces, to the same instructions.
    match vm::compile::compile_in_pieces(source, b"=fuzz") {
        Ok(chunk) => {
            let pieces = vm::code::disasm::disasm(&chunk);
            assert!(pieces == listing, "{}\n{listing}\nin pieces:\n{pieces}", source.escape_ascii());
        }
        Err(error) => panic!("{}\n{}", error.message.escape_ascii(), source.escape_ascii()),
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut sources: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "lua"))
        .collect();
    sources.sort();
    sources.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn random_bytes() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..rounds(20_000) {
        let source: Vec<u8> = (0..dice.roll(40)).map(|_| dice.roll(256) as u8).collect();
        check(&source);
    }
}

#[test]
fn truncated_sources() {
    for source in corpus() {
        for end in 0..source.len() {
            check(&source[..end]);
        }
    }
}

#[test]
fn damaged_sources() {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let corpus = corpus();
    for _ in 0..rounds(10_000) {
        let mut source = corpus[dice.roll(corpus.len())].clone();
        for _ in 0..1 + dice.roll(4) {
            let at = dice.roll(source.len());
            match dice.roll(3) {
                0 => source[at] = dice.roll(256) as u8,
                1 => drop(source.remove(at)),
                _ => {
                    let other = &corpus[dice.roll(corpus.len())];
                    let from = dice.roll(other.len());
                    let to = (from + dice.roll(30)).min(other.len());
                    source.splice(at..at, other[from..to].iter().copied());
                }
            }
        }
        check(&source);
    }
}

#[test]
fn token_soup() {
    const WORDS: &[&str] = &[
        "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
        "not", "or", "repeat", "return", "then", "true", "until", "while", "a", "b", "c", "x", "1", "2.5", "'s'", "(",
        ")", "{", "}", "[", "]", ",", ";", ":", ".", "..", "...", "=", "==", "~=", "<", "<=", ">", ">=", "+", "-", "*",
        "/", "%", "^", "#", "::", "\n",
    ];
    let mut dice = Dice(0x1234_5678_9abc_def1);
    for _ in 0..rounds(30_000) {
        let words: Vec<&str> = (0..dice.roll(30)).map(|_| WORDS[dice.roll(WORDS.len())]).collect();
        check(words.join(" ").as_bytes());
    }
}

/// Programs that are right by construction, so that code generation is reached every time.
#[test]
fn random_programs() {
    let mut dice = Dice(0xdead_beef_cafe_f00d);
    for _ in 0..rounds(5_000) {
        let mut source = String::from("local a, b, c, d = ...\n");
        block(&mut dice, 3, &mut source);
        if let Err(error) = vm::compile::compile(source.as_bytes(), b"=fuzz") {
            panic!("{}\n{source}", error.message.escape_ascii());
        }
        check(source.as_bytes());
    }
}

/// Tables whose items are read when they are compiled.
#[test]
fn long_tables() {
    let mut dice = Dice(0x0ddb_a11c_afef_00d5);
    for _ in 0..rounds(50) {
        let mut source = String::from("local a, b, c, d = ...\nlocal function g(...)\nlocal t = ");
        table(&mut dice, 2, 10_000, &mut source);
        source.push_str("\na = a, ");
        table(&mut dice, 1, 6_000, &mut source);
        source.push_str("\nend\nreturn g{c, ");
        table(&mut dice, 1, 6_000, &mut source);
        source.push_str("}, 1");
        check(source.as_bytes());
    }
}

fn table(dice: &mut Dice, depth: usize, size: usize, out: &mut String) {
    let end = out.len() + size;
    out.push('{');
    while out.len() < end {
        match dice.roll(9) {
            0..=2 => expression(dice, 2, out),
            3 => {
                out.push_str(["x = 1", "y = x", "a = b", "[1] = 2", "[2] = c", "['z'] = nil", "[b] = a"][dice.roll(7)])
            }
            4 => out.push_str(&format!("'{}'", dice.roll(1000))),
            5 => out.push_str(&dice.roll(100_000).to_string()),
            6 => {
                out.push_str("function(b, ...)\n");
                block(dice, 1, out);
                out.push_str(["end", "a = 1 end", "return a, b, ... end"][dice.roll(3)]);
            }
            7 if depth > 0 => table(dice, depth - 1, size / 2, out),
            _ => out.push_str(["g()", "...", "{}", "{1, 2}", "{x = {}}", "\"s\"", "-a", "nil"][dice.roll(8)]),
        }
        out.push_str([", ", ",\n", "; "][dice.roll(3)]);
    }
    out.push_str(["}", "...}", "g()}", "a\n}"][dice.roll(4)]);
}

fn block(dice: &mut Dice, depth: usize, out: &mut String) {
    for _ in 0..dice.roll(5) {
        statement(dice, depth, out);
        out.push('\n');
    }
}

fn name(dice: &mut Dice) -> &'static str {
    ["a", "b", "c", "d", "g", "h"][dice.roll(6)]
}

fn statement(dice: &mut Dice, depth: usize, out: &mut String) {
    let nested = depth > 0;
    match dice.roll(if nested { 16 } else { 6 }) {
        0 | 1 => {
            place(dice, depth, out);
            out.push_str(" = ");
            expression(dice, 3, out);
        }
        2 => {
            place(dice, depth, out);
            out.push_str(", ");
            place(dice, depth, out);
            out.push_str(" = ");
            list(dice, out);
        }
        3 => {
            out.push_str(&format!("local {}, {} = ", name(dice), name(dice)));
            list(dice, out);
        }
        4 => {
            out.push_str(&format!("{}(", name(dice)));
            list(dice, out);
            out.push(')');
        }
        5 => out.push_str(&format!("local {}", name(dice))),
        6 | 7 => wrapped(dice, depth, out, "if ", true, " then\n", "end"),
        8 => wrapped(dice, depth, out, "while ", true, " do\n", "end"),
        9 => {
            out.push_str("repeat\n");
            block(dice, depth - 1, out);
            out.push_str("until ");
            expression(dice, 3, out);
        }
        10 => {
            out.push_str(&format!("for {} = 1, ", name(dice)));
            wrapped(dice, depth, out, "", true, " do\n", "end");
        }
        11 => {
            out.push_str(&format!("for {}, {} in ", name(dice), name(dice)));
            wrapped(dice, depth, out, "", true, " do\n", "end");
        }
        12 => {
            let name = name(dice);
            wrapped(dice, depth, out, &format!("local function {name}(a, b, ...)\n"), false, "", "end");
        }
        13 => {
            out.push_str("do\n::top::\n");
            block(dice, depth - 1, out);
            out.push_str("if a then goto top end\nif b then goto out elseif c then else goto out end\n");
            block(dice, depth - 1, out);
            out.push_str("::out::\nend");
        }
        14 => {
            out.push_str("while c do\nif a then break end\n");
            block(dice, depth - 1, out);
            out.push_str("if a then b() break elseif c then break else d = function() return a, b end end\nend");
        }
        _ => {
            out.push_str("do\n");
            block(dice, depth - 1, out);
            out.push_str("if a then return ");
            list(dice, out);
            out.push_str(" end\nend");
        }
    }
}

fn wrapped(dice: &mut Dice, depth: usize, out: &mut String, open: &str, condition: bool, then: &str, end: &str) {
    out.push_str(open);
    if condition {
        expression(dice, 3, out);
    }
    out.push_str(then);
    block(dice, depth - 1, out);
    out.push_str(end);
}

fn place(dice: &mut Dice, depth: usize, out: &mut String) {
    out.push_str(name(dice));
    match dice.roll(4) {
        0 => out.push_str(".x"),
        1 => {
            out.push('[');
            expression(dice, depth.min(2), out);
            out.push(']');
        }
        _ => {}
    }
}

fn list(dice: &mut Dice, out: &mut String) {
    expression(dice, 2, out);
    for _ in 0..dice.roll(3) {
        out.push_str(", ");
        expression(dice, 2, out);
    }
}

fn expression(dice: &mut Dice, depth: usize, out: &mut String) {
    const OPERATORS: &[&str] =
        &["+", "-", "*", "/", "%", "^", "..", "<", "<=", ">", ">=", "==", "~=", "and", "or", "and", "or"];
    if depth == 0 {
        let leaves = ["nil", "true", "false", "1", "2.5", "300", "'s'", "a", "b", "c", "d", "g", "{}"];
        return out.push_str(leaves[dice.roll(leaves.len())]);
    }
    match dice.roll(10) {
        0..=4 => {
            out.push('(');
            expression(dice, depth - 1, out);
            out.push_str(&format!(" {} ", OPERATORS[dice.roll(OPERATORS.len())]));
            expression(dice, depth - 1, out);
            out.push(')');
        }
        5 => {
            out.push_str(["not ", "- ", "#"][dice.roll(3)]);
            expression(dice, depth - 1, out);
        }
        6 => {
            out.push_str(&format!("{}(", name(dice)));
            expression(dice, depth - 1, out);
            out.push(')');
        }
        7 => {
            out.push_str("{ ");
            expression(dice, depth - 1, out);
            out.push_str(", x = ");
            expression(dice, depth - 1, out);
            out.push_str(" }");
        }
        8 => {
            out.push_str(&format!("function(b) {} = b return ", name(dice)));
            expression(dice, depth - 1, out);
            out.push_str(" end");
        }
        _ => {
            out.push_str(&format!("{}:m(", name(dice)));
            expression(dice, depth - 1, out);
            out.push_str(").x");
        }
    }
}
