//! Whatever bytes come in, the compiler answers, and what it makes is sound.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

/// A small generator of repeatable chance.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Must not panic; what compiles must verify.
fn check(source: &[u8]) {
    if let Ok(proto) = vm::compile::compile(source, b"=fuzz")
        && let Err(what) = vm::code::verify::verify(&proto)
    {
        panic!("{what}\n{}\n{}", source.escape_ascii(), vm::code::disasm::disasm(&proto));
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
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for _ in 0..20_000 {
        let source: Vec<u8> = (0..chance.below(40)).map(|_| chance.below(256) as u8).collect();
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
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    let corpus = corpus();
    for _ in 0..10_000 {
        let mut source = corpus[chance.below(corpus.len())].clone();
        for _ in 0..1 + chance.below(4) {
            let at = chance.below(source.len());
            match chance.below(3) {
                0 => source[at] = chance.below(256) as u8,
                1 => drop(source.remove(at)),
                _ => {
                    let other = &corpus[chance.below(corpus.len())];
                    let from = chance.below(other.len());
                    let to = (from + chance.below(30)).min(other.len());
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
    let mut chance = Chance(0x1234_5678_9abc_def1);
    for _ in 0..30_000 {
        let words: Vec<&str> = (0..chance.below(30)).map(|_| WORDS[chance.below(WORDS.len())]).collect();
        check(words.join(" ").as_bytes());
    }
}

/// Programs that are right by construction, so that code generation is reached every time.
#[test]
fn random_programs() {
    let mut chance = Chance(0xdead_beef_cafe_f00d);
    for _ in 0..5_000 {
        let mut source = String::from("local a, b, c, d = ...\n");
        block(&mut chance, 3, &mut source);
        if let Err(error) = vm::compile::compile(source.as_bytes(), b"=fuzz") {
            panic!("{}\n{source}", error.message.escape_ascii());
        }
        check(source.as_bytes());
    }
}

fn block(chance: &mut Chance, depth: usize, out: &mut String) {
    for _ in 0..chance.below(5) {
        statement(chance, depth, out);
        out.push('\n');
    }
}

fn name(chance: &mut Chance) -> &'static str {
    ["a", "b", "c", "d", "g", "h"][chance.below(6)]
}

fn statement(chance: &mut Chance, depth: usize, out: &mut String) {
    let nested = depth > 0;
    match chance.below(if nested { 14 } else { 6 }) {
        0 | 1 => {
            place(chance, depth, out);
            out.push_str(" = ");
            expression(chance, 3, out);
        }
        2 => {
            place(chance, depth, out);
            out.push_str(", ");
            place(chance, depth, out);
            out.push_str(" = ");
            list(chance, out);
        }
        3 => {
            out.push_str(&format!("local {}, {} = ", name(chance), name(chance)));
            list(chance, out);
        }
        4 => {
            out.push_str(&format!("{}(", name(chance)));
            list(chance, out);
            out.push(')');
        }
        5 => out.push_str(&format!("local {}", name(chance))),
        6 | 7 => wrapped(chance, depth, out, "if ", true, " then\n", "end"),
        8 => wrapped(chance, depth, out, "while ", true, " do\n", "end"),
        9 => {
            out.push_str("repeat\n");
            block(chance, depth - 1, out);
            out.push_str("until ");
            expression(chance, 3, out);
        }
        10 => {
            out.push_str(&format!("for {} = 1, ", name(chance)));
            wrapped(chance, depth, out, "", true, " do\n", "end");
        }
        11 => {
            out.push_str(&format!("for {}, {} in ", name(chance), name(chance)));
            wrapped(chance, depth, out, "", true, " do\n", "end");
        }
        12 => {
            let name = name(chance);
            wrapped(chance, depth, out, &format!("local function {name}(a, b, ...)\n"), false, "", "end");
        }
        _ => {
            out.push_str("do\n");
            block(chance, depth - 1, out);
            out.push_str("if a then return ");
            list(chance, out);
            out.push_str(" end\nend");
        }
    }
}

fn wrapped(chance: &mut Chance, depth: usize, out: &mut String, open: &str, condition: bool, then: &str, end: &str) {
    out.push_str(open);
    if condition {
        expression(chance, 3, out);
    }
    out.push_str(then);
    block(chance, depth - 1, out);
    out.push_str(end);
}

fn place(chance: &mut Chance, depth: usize, out: &mut String) {
    out.push_str(name(chance));
    match chance.below(4) {
        0 => out.push_str(".x"),
        1 => {
            out.push('[');
            expression(chance, depth.min(2), out);
            out.push(']');
        }
        _ => {}
    }
}

fn list(chance: &mut Chance, out: &mut String) {
    expression(chance, 2, out);
    for _ in 0..chance.below(3) {
        out.push_str(", ");
        expression(chance, 2, out);
    }
}

fn expression(chance: &mut Chance, depth: usize, out: &mut String) {
    const OPERATORS: &[&str] =
        &["+", "-", "*", "/", "%", "^", "..", "<", "<=", ">", ">=", "==", "~=", "and", "or", "and", "or"];
    if depth == 0 {
        let leaves = ["nil", "true", "false", "1", "2.5", "300", "'s'", "a", "b", "c", "d", "g", "{}"];
        return out.push_str(leaves[chance.below(leaves.len())]);
    }
    match chance.below(10) {
        0..=4 => {
            out.push('(');
            expression(chance, depth - 1, out);
            out.push_str(&format!(" {} ", OPERATORS[chance.below(OPERATORS.len())]));
            expression(chance, depth - 1, out);
            out.push(')');
        }
        5 => {
            out.push_str(["not ", "- ", "#"][chance.below(3)]);
            expression(chance, depth - 1, out);
        }
        6 => {
            out.push_str(&format!("{}(", name(chance)));
            expression(chance, depth - 1, out);
            out.push(')');
        }
        7 => {
            out.push_str("{ ");
            expression(chance, depth - 1, out);
            out.push_str(", x = ");
            expression(chance, depth - 1, out);
            out.push_str(" }");
        }
        8 => {
            out.push_str(&format!("function(b) {} = b return ", name(chance)));
            expression(chance, depth - 1, out);
            out.push_str(" end");
        }
        _ => {
            out.push_str(&format!("{}:m(", name(chance)));
            expression(chance, depth - 1, out);
            out.push_str(").x");
        }
    }
}
