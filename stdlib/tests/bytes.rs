//! Bytes that nobody meant: patterns, formats, numerals, serialized values. Nothing panics, nothing hangs, and what is answered agrees with
//! itself. PERILUNE_FUZZ=FACTOR makes that many times as many; a failure names the input.
#![allow(clippy::unwrap_used)]

#[path = "../../vm/tests/dice/mod.rs"]
mod dice;

use dice::Dice;
use vm::{Lent, Stashed, Step, Value, Vm, Wake};

#[global_allocator]
static ALLOCATOR: vm::Allocator = vm::Allocator;

/// Inputs of each kind, without a factor.
const USUAL: u64 = 20_000;

struct Target {
    vm: Vm,
    check: Stashed,
}

impl Target {
    /// `check` is the body of a function that is given the input as `...`; it raises what must not be.
    fn new(check: &str) -> Target {
        let vm = Vm::new();
        vm.enter(stdlib::open);
        vm.limit_memory(64 << 20);
        let check = vm.enter(|cx| match cx.load(check.as_bytes(), b"=check", cx.globals()) {
            Ok(f) => cx.stash(Value::closure(f)),
            Err(e) => panic!("{}", cx.raw_tostring(e).escape_ascii()),
        });
        Target { vm, check }
    }
    /// Whether it ended before its fuel did.
    fn run(&self, input: &[Vec<u8>]) -> bool {
        let vm = &self.vm;
        let id = vm.enter(|cx| {
            let input: Vec<_> = input.iter().map(|bytes| cx.str(bytes)).collect();
            cx.spawn(cx.fetch(&self.check), &input).0
        });
        let mut fuel = 100_000;
        while fuel > 0 {
            let step = vm.run(id, Wake::Go, Lent { host: &mut (), phase: 0, fuel: &mut fuel });
            vm.collect(256.0);
            match step {
                Step::OutOfFuel => {}
                Step::Done => {
                    vm.bury(id);
                    return true;
                }
                Step::Error => {
                    let message = stdlib::runner::failure(vm, id).message;
                    let input: Vec<_> = input.iter().map(|bytes| bytes.escape_ascii().to_string()).collect();
                    panic!("{}\n{input:?}", message.escape_ascii());
                }
                _ => unreachable!("nothing here waits"),
            }
        }
        vm.bury(id);
        false
    }
}

/// Tries a check with made-up inputs; most must end by themselves.
fn fuzz(seed: u64, check: &str, make: impl Fn(&mut Dice) -> Vec<Vec<u8>>) {
    let target = Target::new(check);
    let (mut ended, count) = (0, dice::rounds(USUAL));
    for n in 0..count {
        let mut dice = Dice(seed ^ n.wrapping_mul(0x2545_f491_4f6c_dd1d));
        ended += u64::from(target.run(&make(&mut dice)));
    }
    println!("{count} inputs, {} ran out of fuel", count - ended);
    assert!(ended * 10 > count * 9, "{ended} of {count} ended");
}

/// Up to `most` pieces one after the other, then damaged.
fn pieces(dice: &mut Dice, pieces: &[&str], most: usize, special: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..dice.roll(most + 1) {
        text.extend_from_slice(dice.one(pieces).as_bytes());
    }
    if dice.once_in(2) {
        dice.mutate(&mut text, special);
    }
    text
}

const PATTERN: &[&str] = &[
    "a", "b", ".", "%a", "%d", "%s", "%w", "[a-c]", "[^b]", "[%w_]", "*", "+", "-", "?", "(", ")", "()", "%1", "%2",
    "%b()", "%f[%w]", "^", "$", "%%", "x", "[]", "[^]", "%z", "(a*)", ".-", ".*",
];
const SUBJECT: &[&str] = &["a", "b", "ab", "abc", "x1", " ", "(", ")", "((a))", "aaaa", "_", "\0", "%", "the quick"];

#[test]
fn patterns() {
    let check = "local s, p, r = ... \
        local ok, from, to, first = pcall(string.find, s, p) \
        local okm, found = pcall(string.match, s, p) \
        assert(ok or not okm or p:find('[%^%$%*%+%?%.%(%[%%%-]') == nil, 'find and match') \
        if ok and okm and from then \
            assert(from >= 1 and to <= #s and to >= from - 1, 'the range') \
            assert(found == (first or s:sub(from, to)), 'what was matched') \
        end \
        local count = 0 \
        local okg, e = pcall(function() for a in string.gmatch(s, p) do count = count + 1 assert(count <= #s + 1, 'too many') end end) \
        local oks, out, n = pcall(string.gsub, s, p, r) \
        local same, kept, times = pcall(string.gsub, s, p, '%0') \
        assert(not same or kept == s and times <= #s + 1, 'replaced by itself') \
        assert(not ok or from or not oks or n == 0 and out == s, 'nothing to replace') \
        pcall(string.gsub, s, p, function(...) return nil end) pcall(string.find, s, p, 1, true)";
    fuzz(1, check, |dice| {
        vec![
            pieces(dice, SUBJECT, 8, b"ab()[]%x \0"),
            pieces(dice, PATTERN, 6, b"%[]()^$*+-?.a\0"),
            pieces(dice, &["x", "%0", "%1", "%2", "%%", "y"], 3, b"%019a"),
        ]
    });
}

#[test]
fn formats() {
    let check = "local f, s, n = ... n = tonumber(n) or 12.5 \
        local ok, text = pcall(string.format, f, n, s, n, s) \
        assert(ok == (type(text) == 'string' and ok), 'a string') \
        local again, same = pcall(string.format, f, n, s, n, s) \
        assert(ok == again and text == same, 'the same again') \
        pcall(string.format, f, s, n, s, n) pcall(string.format, f, {}, nil, print, true) pcall(string.format, f) \
        assert(tonumber(string.format('%.17g', n)) == n or n ~= n, 'seventeen digits') \
        assert(loadstring('return ' .. string.format('%q', s))() == s, 'quoted')";
    let flags = &["-", "+", " ", "#", "0", "5", "10", "99", ".", ".0", ".3", ".14", ".99", "100"];
    let letters = &["d", "i", "u", "x", "X", "o", "c", "e", "E", "f", "g", "G", "a", "A", "s", "q", "p", "%", "y", ""];
    fuzz(2, check, |dice| {
        let mut format = Vec::new();
        for _ in 0..dice.roll(4) {
            format.push(b'%');
            format.extend(pieces(dice, flags, 3, b"%.0123456789-+ #"));
            format.extend_from_slice(dice.one(letters).as_bytes());
        }
        vec![format, pieces(dice, SUBJECT, 5, b"\"\\\n\r\0\x7f\xff1"), numeral(dice)]
    });
}

fn numeral(dice: &mut Dice) -> Vec<u8> {
    if dice.once_in(3) {
        return f64::from_bits(dice.word()).to_string().into_bytes();
    }
    let parts = &[
        "0",
        "1",
        "9",
        "12345678901234567890",
        ".",
        "e",
        "E",
        "+",
        "-",
        "0x",
        "p",
        "f",
        "A",
        " ",
        "\t",
        "inf",
        "nan",
        "LL",
        "ULL",
        "i",
        "_",
        "0b",
        "1e308",
        "1e-320",
        "00",
    ];
    pieces(dice, parts, 5, b"0123456789abcdefxXpPeE+-. \0")
}

#[test]
fn numerals() {
    let check = "local s = ... local n = tonumber(s) \
        assert(n == nil or type(n) == 'number' or type(n) == 'cdata', 'a number or nil') \
        if type(n) == 'number' then \
            assert(n ~= n or tonumber(string.format('%.17g', n)) == n, 'seventeen digits') \
            assert(n ~= n or tonumber(string.format('%a', n)) == n, 'sixteen digits') \
            assert(n ~= n or s + 0 == n, 'arithmetic') \
        else \
            assert(not pcall(function() return s + 0 end), 'no arithmetic') \
        end \
        for base = 2, 36, 7 do local b = tonumber(s, base) assert(b == nil or b == b and b % 1 == 0, 'whole') end \
        pcall(loadstring, 'return ' .. s)";
    fuzz(3, check, |dice| vec![numeral(dice)]);
}

#[test]
fn serialized_values() {
    let check = "local s = ... local buffer = require('string.buffer') \
        local ok, v = pcall(buffer.decode, s) \
        if ok then \
            local made, text = pcall(buffer.encode, v) \
            assert(made, text) \
            local again = buffer.decode(text) \
            assert(type(again) == type(v), 'the same type') \
            assert(type(v) == 'table' or v ~= v or again == v, 'the same value') \
        end \
        local b = buffer.new() b:put(s) pcall(b.decode, b) pcall(b.decode, b) b:skip(3) pcall(b.decode, b)";
    // Tags, lengths, doubles, strings: the format's own pieces.
    let tags: Vec<String> = (0u8..0x24).map(|tag| char::from(tag).to_string()).collect();
    let mut parts: Vec<&str> = tags.iter().map(String::as_str).collect();
    parts.extend([
        "#abc",
        "\u{7}12345678",
        "\t\u{2}!a!b",
        "!x",
        "\u{7f}",
        "\u{8}\u{3}\u{1}\u{1}\u{1}",
        "\u{a}\u{1}\u{1}\u{1}\u{2}",
        " ",
    ]);
    fuzz(4, check, |dice| {
        vec![pieces(dice, &parts, 8, &[0, 1, 2, 7, 8, 9, 10, 11, 12, 13, 14, 15, 32, 33, 127, 224, 255])]
    });
}
