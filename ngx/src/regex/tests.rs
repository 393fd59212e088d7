//! The engine by table: pattern, options, subject, and the groups' spans (`-` for a group that took no part).
//!
//! Options are `ngx.re`'s letters, and `U` for ungreedy, `d` for dollar_end_only. Every row agrees with PCRE 8.39.

use super::*;

#[path = "../../../fuzz/src/generate.rs"]
mod generate;

fn flags(letters: &str) -> Flags {
    let mut flags = Flags::default();
    for letter in letters.chars() {
        let flag = match letter {
            'i' => &mut flags.caseless,
            'm' => &mut flags.multiline,
            's' => &mut flags.dotall,
            'x' => &mut flags.extended,
            'a' => &mut flags.anchored,
            'u' => &mut flags.utf,
            'U' => &mut flags.ungreedy,
            'd' => &mut flags.dollar_end_only,
            'D' => &mut flags.dup_names,
            'J' => &mut flags.javascript_compat,
            'L' => &mut flags.longest,
            _ => panic!("no such option: {letter}"),
        };
        *flag = true;
    }
    flags
}

fn run(pattern: &[u8], letters: &str, subject: &[u8], start: usize, limit: u64) -> String {
    let regex = match Regex::compile(pattern, flags(letters)) {
        Ok(regex) => regex,
        Err(error) => return error.to_string(),
    };
    let mut captures = Captures::new();
    match regex.exec(subject, start, &mut captures, limit) {
        Err(error) => error.to_string(),
        Ok(false) => "no".to_owned(),
        Ok(true) => {
            let spans = (0..regex.captures_len()).map(|group| match captures.span(group) {
                Some((start, end)) => format!("{start}-{end}"),
                None => "-".to_owned(),
            });
            // Trailing groups without a part are not shown, as PCRE does not count them.
            spans.collect::<Vec<_>>().join(" ").trim_end_matches([' ', '-']).to_owned()
        }
    }
}

fn check(pattern: &str, letters: &str, subject: &[u8], expected: &str) {
    let found = run(pattern.as_bytes(), letters, subject, 0, 0);
    assert_eq!(found, expected, "/{pattern}/{letters} on {:?}", String::from_utf8_lossy(subject));
}

fn table(rows: &[(&str, &str, &[u8], &str)]) {
    for (pattern, letters, subject, expected) in rows {
        check(pattern, letters, subject, expected);
    }
}

#[test]
fn literals_and_classes() {
    table(&[
        ("abc", "", b"xabcy", "1-4"),
        ("abc", "", b"xaby", "no"),
        ("", "", b"abc", "0-0"),
        ("a.c", "", b"abc a\nc", "0-3"),
        ("a.c", "", b"a\nc", "no"),
        ("a.c", "s", b"a\nc", "0-3"),
        ("[abc]+", "", b"xxcabx", "2-5"),
        ("[^abc]+", "", b"abcxyz", "3-6"),
        ("[a-c]", "", b"b", "0-1"),
        ("[a-]", "", b"-", "0-1"),
        ("[-a]", "", b"-", "0-1"),
        ("[]a]", "", b"]", "0-1"),
        ("[^]a]", "", b"]ab", "2-3"),
        (r"[\]a]", "", b"]", "0-1"),
        (r"[a\-z]+", "", b"z-a", "0-3"),
        (r"[\d-z]+", "", b"5-z", "0-3"),
        (r"[\w.]+@[\w.]+", "", b"mail me@here.org now", "5-16"),
        (r"\d+", "", b"ab123c", "2-5"),
        (r"\D+", "", b"12ab3", "2-4"),
        (r"\w+", "", b"-ab_9-", "1-5"),
        (r"\W+", "", b"ab -_c", "2-4"),
        (r"\s+", "", b"a \t\n\x0b\x0c\rb", "1-7"),
        (r"\S+", "", b"  ab ", "2-4"),
        (r"\h+", "", b"a \t\nb", "1-3"),
        (r"\v+", "", b"a\n\x0b\r b", "1-4"),
        (r"\H+", "", b" ab", "1-3"),
        (r"\V+", "", b"\nab\n", "1-3"),
        (r"[\d\s]+", "", b"a1 2b", "1-4"),
        (r"[^\d\s]+", "", b"1 ab", "2-4"),
        (r"[\h\d]+", "", b"a\t1\n", "1-3"),
        (r"\N+", "s", b"ab\nc", "0-2"),
        (r"[\x41-\x43]+", "", b"xABCD", "1-4"),
        (r"[\b]", "", b"a\x08", "1-2"),
        (r"[\Qa-c]\E]+", "", b"-a]c", "0-4"),
        (r"[a\E-\Ec]+", "", b"abcd", "0-3"),
        (r"[\E^a]", "", b"aab", "2-3"),
        (r"[^\Q\E]a]", "", b"]ab", "2-3"),
        (r"[^^a]", "", b"^ab", "2-3"),
        ("[[:alpha:]]+", "", b"12abC3", "2-5"),
        ("[[:^alpha:]]+", "", b"ab12c", "2-4"),
        ("[[:digit:][:space:]]+", "", b"a1 2b", "1-4"),
        ("[[:punct:]]+", "", b"ab,.!c", "2-5"),
        ("[[:xdigit:]]+", "", b"xyzBEef9", "3-8"),
        ("[[:word:]]+", "", b"-a_1-", "1-4"),
        ("[[:upper:]]+", "i", b"aBc", "0-3"),
        ("[[:alpha:][:digit:]_-]+", "", b"!a-1_", "1-5"),
        ("[[:ascii:]]", "", b"\x80a", "1-2"),
        ("[[:blank:]]+", "", b"a \t\n", "1-3"),
        ("[[:cntrl:]]", "", b"a\x01", "1-2"),
        ("[[:graph:]]+", "", b" ab ", "1-3"),
        ("[[:print:]]+", "", b"\na b\n", "1-4"),
        (r"\Qa.b*c\E+", "", b"a.b*cc", "0-6"),
        (r"a\Q\Eb", "", b"ab", "0-2"),
        (r"\Q[\", "", b"[\\", "0-2"),
        ("a{,3}", "", b"a{,3}", "0-5"),
        ("a{", "", b"a{", "0-2"),
        ("x{2", "", b"xx{2", "1-4"),
        ("}", "", b"}", "0-1"),
        ("]", "", b"]", "0-1"),
    ]);
}

#[test]
fn escapes() {
    table(&[
        (r"\x41\x4a", "", b"AJ", "0-2"),
        (r"\x{41}", "", b"A", "0-1"),
        (r"\x4", "", b"\x04", "0-1"),
        (r"\xg", "", b"\x00g", "0-2"),
        (r"\101", "", b"A", "0-1"),
        (r"\0", "", b"\x00", "0-1"),
        (r"\08", "", b"\x008", "0-2"),
        (r"\o{101}", "", b"A", "0-1"),
        (r"\cA\c[", "", b"\x01\x1b", "0-2"),
        (r"\ca", "", b"\x01", "0-1"),
        (r"\e\a\f\t\n\r", "", b"\x1b\x07\x0c\t\n\r", "0-6"),
        (r"\.\*\/\-", "", b".*/-", "0-4"),
        (r"\377", "", b"\xff", "0-1"),
        (r"\y", "", b"y", "0-1"),
        (r"(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)\10", "", b"abcdefghijj", "0-11 0-1 1-2 2-3 3-4 4-5 5-6 6-7 7-8 8-9 9-10"),
        (r"\11", "", b"\t", "0-1"),
        (r"(a)\113", "", b"aK", "0-2 0-1"),
        (r"\81", "", b"81", "0-2"),
    ]);
}

#[test]
fn quantifiers() {
    table(&[
        ("a*", "", b"aaab", "0-3"),
        ("a*?", "", b"aaab", "0-0"),
        ("a+?b", "", b"aaab", "0-4"),
        ("a?b", "", b"b", "0-1"),
        ("a??b", "", b"ab", "0-2"),
        ("a{2}", "", b"aaa", "0-2"),
        ("a{2,}", "", b"aaaa", "0-4"),
        ("a{2,3}", "", b"aaaa", "0-3"),
        ("a{2,3}?", "", b"aaaa", "0-2"),
        ("a{0}b", "", b"ab", "1-2"),
        ("a*+a", "", b"aaa", "no"),
        ("a++b", "", b"aaab", "0-4"),
        ("a?+a", "", b"a", "no"),
        ("a{1,2}+a", "", b"aaa", "0-3"),
        ("(ab)*", "", b"ababa", "0-4 2-4"),
        ("(ab)+?c", "", b"ababc", "0-5 2-4"),
        ("(a|b)*c", "", b"abac", "0-4 2-3"),
        ("(a|ab)(c|bcd)(d*)", "", b"abcd", "0-4 0-1 1-4 4-4"),
        ("(a*)*", "", b"aab", "0-2 2-2"),
        ("(a*)+", "", b"aab", "0-2 2-2"),
        ("(a|)+", "", b"aab", "0-2 2-2"),
        ("(?:a*?)*b", "", b"aab", "0-3"),
        ("(a*?)+?b", "", b"aab", "0-3 1-2"),
        ("(a?)*?b", "", b"aab", "0-3 1-2"),
        ("(?:|a)+b", "", b"aab", "0-3"),
        ("(a{2}){2}", "", b"aaaaa", "0-4 2-4"),
        ("(?:ab){2,3}", "", b"abababab", "0-6"),
        ("(?:ab){2,3}?", "", b"ababab", "0-4"),
        ("(a+|b+){3}", "", b"aabba", "0-5 4-5"),
        (".*b", "", b"aabab", "0-5"),
        (".*?b", "", b"aabab", "0-3"),
        (".*c", "", b"ab\nabc", "3-6"),
        ("[ab]*b", "", b"aabb", "0-4"),
        ("<.+>", "", b"<a><b>", "0-6"),
        ("<.+?>", "", b"<a><b>", "0-3"),
        (r#""[^"]*""#, "", b"x \"yz\" w", "2-6"),
        ("a+", "U", b"aaa", "0-1"),
        ("a+?", "U", b"aaa", "0-3"),
        ("(?U)a+", "", b"aaa", "0-1"),
        ("x*", "", b"aaa", "0-0"),
        ("(a+)(a+)", "", b"aaaa", "0-4 0-3 3-4"),
        ("(a+?)(a+)", "", b"aaaa", "0-4 0-1 1-4"),
        (r"\d{1,3}\.\d{1,3}", "", b"x1234.56789", "2-9"),
        ("(?:a+b?)+c", "", b"aabac", "0-5"),
        ("a{3}b", "", b"aaaab", "1-5"),
        ("(a){0}b", "", b"ab", "1-2"),
    ]);
}

#[test]
fn anchors() {
    table(&[
        ("^a", "", b"ab", "0-1"),
        ("^b", "", b"ab", "no"),
        ("^b", "m", b"a\nb", "2-3"),
        ("a$", "", b"a\n", "0-1"),
        ("a$", "", b"a\nb", "no"),
        ("a$", "m", b"a\nb", "0-1"),
        ("a$", "d", b"a\n", "no"),
        ("a$", "d", b"ba", "1-2"),
        ("^", "m", b"\n", "0-0"),
        ("$", "", b"ab\n", "2-2"),
        ("$", "m", b"ab\ncd\n", "2-2"),
        ("^$", "m", b"a\n\nb", "2-2"),
        (r"\Aa", "m", b"b\na", "no"),
        (r"a\Z", "", b"a\n", "0-1"),
        (r"a\z", "", b"a\n", "no"),
        (r"a\z", "", b"ba", "1-2"),
        (r"a\Z", "m", b"a\nb", "no"),
        (r"\bfoo\b", "", b"a foo b", "2-5"),
        (r"\bfoo\b", "", b"afoo foob foo", "10-13"),
        (r"\Boo", "", b"foo", "1-3"),
        (r"\b", "", b"  ab", "2-2"),
        (r"\B", "", b"ab", "1-1"),
        (r"\Ga", "", b"ba", "no"),
        (r"\Ga", "", b"ab", "0-1"),
        ("a", "a", b"ba", "no"),
        ("a", "a", b"ab", "0-1"),
        ("^a|b", "", b"xb", "1-2"),
        ("(^a)", "", b"ab", "0-1 0-1"),
        ("(?:^|,)x", "", b"a,x", "1-3"),
        (r"\w+$", "", b"ab cd", "3-5"),
        ("^.*$", "m", b"ab\ncd", "0-2"),
        (r"a\Kb", "", b"ab", "1-2"),
        (r"(a\Kb)c", "", b"abc", "1-3 0-2"),
        (r"a(?=b\K)", "", b"ab", "2-1"),
        ("x*$", "", b"axx", "1-3"),
        ("a+$", "", b"aab aa", "4-6"),
    ]);
}

#[test]
fn groups() {
    table(&[
        ("(a)(b)?", "", b"a", "0-1 0-1"),
        ("(a)|(b)", "", b"b", "0-1 - 0-1"),
        ("(?:a)(b)", "", b"ab", "0-2 1-2"),
        ("((a)(b(c)))", "", b"abc", "0-3 0-3 0-1 1-3 2-3"),
        ("(?<n>a)(?P<m>b)(?'o'c)", "", b"abc", "0-3 0-1 1-2 2-3"),
        (r"(a)\1", "", b"aa", "0-2 0-1"),
        (r"(a)\1", "i", b"aA", "0-2 0-1"),
        (r"(a)|b\1", "", b"b", "no"),
        (r"(?<n>ab)\k<n>", "", b"abab", "0-4 0-2"),
        (r"(?<n>ab)\k{n}\k'n'", "", b"ababab", "0-6 0-2"),
        ("(?P<n>a)(?P=n)", "", b"aa", "0-2 0-1"),
        (r"(a)(b)\g{-1}\g{1}\g2", "", b"abbab", "0-5 0-1 1-2"),
        (r"(a)\g1", "", b"aa", "0-2 0-1"),
        (r"(a*)\1b", "", b"aaaab", "0-5 0-2"),
        (r"(?|(a)|(b))(c)\1", "", b"bcb", "0-3 0-1 1-2"),
        ("(?|(a)(b)|(c))(d)", "", b"cd", "0-2 0-1 - 1-2"),
        ("(?<n>a)|(?<n>b)", "D", b"b", "0-1 - 0-1"),
        (r"(?:(?<n>a)|(?<n>b))\k<n>", "D", b"bb", "0-2 - 0-1"),
        (r"(?J)(?:(?<n>a)|(?<n>b))\k<n>", "", b"bb", "0-2 - 0-1"),
        (r"(a\1?){3}", "", b"aaaa", "0-4 3-4"),
        ("(?:(a)|b)*", "", b"ab", "0-2 0-1"),
        ("(?:(a)|(b))*", "", b"aba", "0-3 2-3 1-2"),
        ("((a)|b){2}", "", b"ab", "0-2 1-2 0-1"),
        ("(?>a+)b", "", b"aab", "0-3"),
        ("(?>a+)ab", "", b"aab", "no"),
        ("(?>(a+))b", "", b"aab", "0-3 0-2"),
        ("(?>a|ab)c", "", b"abc", "no"),
        ("(?:a|ab)c", "", b"abc", "0-3"),
        ("(?#hi)a(?#there)+", "", b"aa", "0-2"),
        ("((((((a))))))", "", b"a", "0-1 0-1 0-1 0-1 0-1 0-1 0-1"),
        ("()", "", b"a", "0-0 0-0"),
        ("(|a)b", "", b"ab", "0-2 0-1"),
        ("(a||b)c", "", b"bc", "0-2 0-1"),
    ]);
}

#[test]
fn options() {
    table(&[
        ("abc", "i", b"xABC", "1-4"),
        ("a(?i)b", "", b"aB", "0-2"),
        ("a(?i)b", "", b"AB", "no"),
        ("a(?i:b)c", "", b"aBc", "0-3"),
        ("a(?i:b)c", "", b"aBC", "no"),
        ("(a(?i)b|c)d", "", b"Cd", "0-2 0-1"),
        ("(?i)a(?-i)b", "", b"Ab", "0-2"),
        ("(?i)a(?-i)b", "", b"AB", "no"),
        ("(?s).", "", b"\n", "0-1"),
        ("(?s-s).", "", b"\n", "no"),
        ("(?m)^b", "", b"a\nb", "2-3"),
        ("(?x) a b # comment\n c", "", b"abc", "0-3"),
        ("a b", "x", b"ab", "0-2"),
        (r"a\ b", "x", b"a b", "0-3"),
        ("[a b]+", "x", b"a b", "0-3"),
        ("a + b", "x", b"aab", "0-3"),
        ("(?xi)A B", "", b"ab", "0-2"),
        ("[a-c]+", "i", b"ABC", "0-3"),
        ("[^a]", "i", b"Ab", "1-2"),
        (r"\x41", "i", b"a", "0-1"),
        ("(?-i)a", "i", b"Aa", "1-2"),
        ("((?i)a)b", "", b"Ab", "0-2 0-1"),
        ("((?i)a)b", "", b"AB", "no"),
        ("(?i)a|B", "", b"b", "0-1"),
        ("k", "i", b"K", "0-1"),
        ("(?i:a|b)C", "", b"BC", "0-2"),
    ]);
}

#[test]
fn lookaround() {
    table(&[
        ("a(?=b)", "", b"ab", "0-1"),
        ("a(?=b)", "", b"ac", "no"),
        ("a(?!b)", "", b"abac", "2-3"),
        ("(?<=a)b", "", b"ab", "1-2"),
        ("(?<=a)b", "", b"cb", "no"),
        ("(?<!a)b", "", b"abcb", "3-4"),
        ("(?<=ab|c)d", "", b"abd", "2-3"),
        ("(?<=ab|c)d", "", b"cd", "1-2"),
        ("(?<=a(?:b|c))d", "", b"acd", "2-3"),
        ("(?<=^|,)x", "", b"a,x", "2-3"),
        ("(?<=(a))b", "", b"ab", "1-2 0-1"),
        ("(?=(a))a", "", b"a", "0-1 0-1"),
        ("(?!(a))b", "", b"b", "0-1"),
        ("(?=a*(b))a", "", b"aab", "0-1 2-3"),
        (r"(?=(a+))\1b", "", b"aaab", "0-4 0-3"),
        (r"(?<=\d{3})x", "", b"12x123x", "6-7"),
        (r"(?<!\d{2})x", "", b"12x1x", "4-5"),
        (r"(?=.*\d)(?=.*[a-z])\w{4,}", "", b"__a1__", "0-6"),
        ("foo(?!bar)", "", b"foobar foobaz", "7-10"),
        ("(?<!foo)bar", "", b"foobar xbar", "8-11"),
        ("(?=a)*b", "", b"ab", "1-2"),
        ("(?=(a))?b", "", b"b", "0-1"),
        ("(?:(?=a)a)+", "", b"aab", "0-2"),
        (r"(?<=a\Kb)c", "", b"abc", "1-3"),
        (r"\b(?=\w{3}\b)\w+", "", b"ab abcd abc", "8-11"),
        ("(?<=(?<=a)b)c", "", b"abc", "2-3"),
        ("(?!)", "", b"a", "no"),
        ("(?=)", "", b"a", "0-0"),
        ("(?<!)a", "", b"a", "no"),
        ("(?!a)(?!b).", "", b"abc", "2-3"),
    ]);
}

#[test]
fn conditions_and_recursion() {
    table(&[
        ("(a)?(?(1)b|c)", "", b"ab", "0-2 0-1"),
        ("(a)?(?(1)b|c)", "", b"c", "0-1"),
        ("(a)?(?(1)b)", "", b"x", "0-0"),
        ("(?<n>a)?(?(<n>)b|c)", "", b"ab", "0-2 0-1"),
        ("(?<n>a)?(?(n)b|c)", "", b"xc", "1-2"),
        ("(?'n'a)?(?('n')b|c)", "", b"ab", "0-2 0-1"),
        (r"(\()?[^()]+(?(1)\))", "", b"(ab)", "0-4 0-1"),
        (r"(\()?[^()]+(?(1)\))", "", b"(ab", "1-3"),
        ("(?(?=a)ab|c.)", "", b"ab", "0-2"),
        ("(?(?=a)ab|c.)", "", b"ad cd", "3-5"),
        ("(?(?!a)b|ac)", "", b"ac", "0-2"),
        ("(?(?<=a)b|c)", "", b"ab", "1-2"),
        ("(?(?=(a))a(b)|c)", "", b"ab", "0-2 0-1 1-2"),
        ("(?(-1)a|b)(c)|(d)", "", b"d", "reference to non-existent subpattern at offset 6"),
        ("(x)(?(-1)y|z)", "", b"xy", "0-2 0-1"),
        (r"\((?:[^()]|(?R))*\)", "", b"x(a(b)c)", "1-8"),
        (r"\((?:[^()]++|(?R))*\)", "", b"((a)(b)", "1-4"),
        (r"^(\((?:[^()]|(?1))*\))$", "", b"(a(b(c)))", "0-9 0-9"),
        ("(a|b(?1)c)", "", b"bbacc", "0-5 0-5"),
        (r"^((.)(?1)\2|.?)$", "", b"abcba", "0-5 0-5 0-1"),
        (r"^(?:((.)(?1)\2|)|((.)(?3)\4|.))$", "", b"abba", "0-4 0-4 0-1"),
        ("(?<n>a|b)(?&n)", "", b"ab", "0-2 0-1"),
        (r"(?<n>a|b)(?P>n)\g<n>", "", b"aba", "0-3 0-1"),
        ("(?1)(a)", "", b"aa", "0-2 1-2"),
        ("(?+1)(a|b)", "", b"ba", "0-2 1-2"),
        ("(a|b)(?-1)", "", b"ab", "0-2 0-1"),
        (r"(a)\g<1>\g'1'", "", b"aaa", "0-3 0-1"),
        (r"(?(DEFINE)(?<d>\d+))(?&d)-(?&d)", "", b"x12-34", "1-6"),
        ("(?(R)a|b)", "", b"ab", "1-2"),
        ("(a(?(R1)b|c)(?1)?)", "", b"acab", "0-4 0-4"),
        ("(a+)(?1)", "", b"aaa", "0-3 0-2"),
        ("(a|ab)(?1)c", "", b"aabc", "no"),
        ("(?i:(a))(?1)", "", b"AA", "0-2 0-1"),
        ("(?|(a)|(b))(?1)", "", b"ba", "0-2 0-1"),
        ("((?i)a)(?1)", "", b"aA", "0-2 0-1"),
        ("(?:(?<n>a)|b)(?(<n>)c|d)", "", b"bd", "0-2"),
    ]);
}

#[test]
fn verbs() {
    table(&[
        ("a(*FAIL)|ab", "", b"ab", "0-2"),
        ("a(*F)|b", "", b"ab", "1-2"),
        ("(?:a(*ACCEPT)b)c", "", b"a", "0-1"),
        ("(a(*ACCEPT)b)c", "", b"a", "0-1 0-1"),
        ("(?=a(*ACCEPT)x)a", "", b"a", "0-1"),
        ("(?!a(*ACCEPT)x)b", "", b"ab", "1-2"),
        ("(a(*ACCEPT)z)(?1)", "", b"aa", "0-1 0-1"),
        ("a(*COMMIT)b", "", b"acab", "no"),
        ("a(*COMMIT)b", "", b"xab", "1-3"),
        ("a+(*PRUNE)b", "", b"aacab", "3-5"),
        ("a+(*SKIP)b", "", b"aacaab", "3-6"),
        ("(?!a(*COMMIT)b)a", "", b"ac", "0-1"),
        ("a(*PRUNE:x)b", "", b"ab", "0-2"),
    ]);
}

#[test]
fn newlines() {
    table(&[
        (r"a\Rb", "", b"a\r\nb", "0-4"),
        (r"a\Rb", "", b"a\nb", "0-3"),
        (r"\R", "", b"\x85", "0-1"),
        (r"\R{2}", "", b"\r\n", "no"),
        (r"(*BSR_ANYCRLF)\R", "", b"\x85", "no"),
        (r"(*BSR_ANYCRLF)a\Rb", "", b"a\r\nb", "0-4"),
        (r"\R+x", "", b"\r\n\nx", "0-4"),
        (".$", "", b"a\r\n", "1-2"),
    ]);
}

#[test]
fn utf() {
    table(&[
        ("é", "u", "xé".as_bytes(), "1-3"),
        (".", "u", "é".as_bytes(), "0-2"),
        ("..", "", "é".as_bytes(), "0-2"),
        ("É", "iu", "é".as_bytes(), "0-2"),
        ("[à-ü]+", "u", "éè".as_bytes(), "0-4"),
        ("[^a]", "u", "aж".as_bytes(), "1-3"),
        (r"\x{436}", "u", "ж".as_bytes(), "0-2"),
        // (PCRE2 10.42 does not find the first)
        (r"[\W[:alpha:]]", "u", "\u{212a}".as_bytes(), "0-3"),
        (r"[^\W_[:alpha:]]", "u", "\u{212a}2".as_bytes(), "3-4"),
        // (and goes through the assertion twice here)
        (r"(?=\pL+?(\1b|a){1,3})+", "", b"cab", "0-0 1-2"),
        // (nor this: a shortcut wants two of them)
        (r"a{0}(?=a+)\x61", "", b"ba", "1-2"),
        (r"\w+", "u", "aж".as_bytes(), "0-1"),
        (r"\pL+", "u", "1aж1".as_bytes(), "1-4"),
        (r"\p{Lu}", "u", "aЖ".as_bytes(), "1-3"),
        (r"\P{L}", "u", "жa1".as_bytes(), "3-4"),
        (r"\p{Greek}+", "u", "aαβ".as_bytes(), "1-5"),
        (r"\p{^Greek}", "u", "αa".as_bytes(), "2-3"),
        (r"[\p{Lu}\d]+", "u", "aЖ1Я".as_bytes(), "1-6"),
        (r"[^\p{L}]+", "u", "ж12".as_bytes(), "2-4"),
        (r"\p{L&}", "u", "中a".as_bytes(), "3-4"),
        (r"\p{Han}+", "u", "a中文".as_bytes(), "1-7"),
        ("(?<=ж)a", "u", "жa".as_bytes(), "2-3"),
        ("(?<=.)a", "u", "жa".as_bytes(), "2-3"),
        ("ж*", "u", "жжa".as_bytes(), "0-4"),
        (".*a", "u", "жжaж".as_bytes(), "0-5"),
        ("[жя]{2}", "u", "жя".as_bytes(), "0-4"),
        (r"(ж)\1", "iu", "жЖ".as_bytes(), "0-4 0-2"),
        ("k", "iu", "\u{212a}".as_bytes(), "0-3"),
        ("[k]", "iu", "\u{212a}".as_bytes(), "0-3"),
        ("s+", "iu", "sSſ".as_bytes(), "0-4"),
        ("σ", "iu", "ς".as_bytes(), "0-2"),
        (r"\X", "u", "e\u{301}x".as_bytes(), "0-3"),
        (r"\h", "u", "\u{3000}".as_bytes(), "0-3"),
        (r"\R", "u", "\u{2028}".as_bytes(), "0-3"),
        (r"\bж", "u", "ж".as_bytes(), "no"),
        ("(*UTF8)ж.", "", "жя".as_bytes(), "0-4"),
        (r"(*UTF8)(*UCP)\w+", "", "жя".as_bytes(), "0-4"),
        (r"\C", "u", "é".as_bytes(), "0-1"),
        (r"\p{Any}", "u", "中".as_bytes(), "0-3"),
        (r"\p{Lu}", "", b"\xc0", "0-1"),
        ("[^é]", "iu", "Éa".as_bytes(), "2-3"),
        ("(?i)straße", "u", "STRAßE".as_bytes(), "0-7"),
        (".{2}", "u", "中文字".as_bytes(), "0-6"),
        (r"\x{1F600}", "u", "a😀".as_bytes(), "1-5"),
    ]);
}

#[test]
fn javascript() {
    table(&[
        ("a[]b", "J", b"ab", "no"),
        ("a[^]b", "J", b"a\nb", "0-3"),
        (r"(a)|\1b", "J", b"b", "0-1"),
        (r"\x4", "J", b"x4", "0-2"),
        (r"\u0041", "J", b"A", "0-1"),
        (r"\u04", "J", b"u04", "0-3"),
    ]);
}

#[test]
fn errors() {
    let rows = [
        ("(", "missing )", 1),
        (")", "unmatched parentheses", 0),
        ("a)", "unmatched parentheses", 1),
        ("[", "missing terminating ] for character class", 1),
        ("[a", "missing terminating ] for character class", 2),
        ("*", "nothing to repeat", 0),
        ("a**", "nothing to repeat", 2),
        ("a{2}{3}", "nothing to repeat", 6),
        ("^*", "nothing to repeat", 1),
        (r"\b+", "nothing to repeat", 2),
        ("(?<=a+)b", "lookbehind assertion is not fixed length", 6),
        ("(?i)*", "nothing to repeat", 4),
        (r"\", r"\ at end of pattern", 1),
        (r"\c", r"\c at end of pattern", 2),
        ("a{3,2}", "numbers out of order in {} quantifier", 5),
        ("a{65536}", "number too big in {} quantifier", 7),
        ("[[:foo:]]", "unknown POSIX class name", 3),
        ("[:alpha:]", "POSIX named classes are supported only within a class", 0),
        ("[z-a]", "range out of order in character class", 3),
        (r"[a-\d]", "invalid range in character class", 4),
        ("(?<n>a)(?<n>b)", "two named subpatterns have the same name", 11),
        ("(?P<1>a)", "group name must start with a non-digit", 4),
        ("(?<n", "syntax error in subpattern name (missing terminator)", 4),
        ("(?z)", "unrecognized character after (? or (?-", 2),
        ("(?<z)", "syntax error in subpattern name (missing terminator)", 4),
        ("(?P!a)", "unrecognized character after (?P", 3),
        (r"\1", "reference to non-existent subpattern", 2),
        (r"\g{2}", "reference to non-existent subpattern", 5),
        (r"\g", "a numbered reference must not be zero", 1),
        (r"\k", r"\k is not followed by a braced, angle-bracketed, or quoted name", 1),
        (r"\k<x>", "reference to non-existent subpattern", 4),
        ("(?1)", "reference to non-existent subpattern", 3),
        ("(?R)", "recursive call could loop indefinitely", 3),
        ("(a|(?1))", "recursive call could loop indefinitely", 6),
        ("(?&x)", "reference to non-existent subpattern", 4),
        ("(?(2)a)", "reference to non-existent subpattern", 5),
        ("(?(x)a)", "reference to non-existent subpattern", 5),
        ("(?(?a)b)", "assertion expected after (?( or (?(?C)", 3),
        (r"\x{110000}", r"character value in \x{} or \o{} is too large", 9),
        (r"\x{zz}", r"non-hex character in \x{} (closing brace missing?)", 3),
        (r"\o{9}", r"non-octal character in \o{} (closing brace missing?)", 3),
        (r"\o", r"missing opening brace after \o", 1),
        (r"\777", r"octal value is greater than \377 in 8-bit non-UTF-8 mode", 3),
        (r"\L", r"PCRE does not support \L, \l, \N{name}, \U, or \u", 1),
        (r"\N{x}", r"PCRE does not support \L, \l, \N{name}, \U, or \u", 1),
        (r"\p{Foo}", r"unknown property name after \P or \p", 6),
        (r"\p", r"malformed \P or \p sequence", 2),
        (r"\pQ", r"unknown property name after \P or \p", 2),
        ("(?#abc", "missing ) after comment", 6),
        ("(*FOO)", "(*VERB) not recognized or malformed", 5),
        ("(*ACCEPT:x)", "an argument is not allowed for (*ACCEPT), (*FAIL), or (*COMMIT)", 10),
        ("(?+x)", "digit expected after (?+", 3),
        ("(?-x", "unrecognized character after (? or (?-", 4),
        ("(?R", "(?R or (?[+-]digits must be followed by )", 3),
        ("(?1", "(?R or (?[+-]digits must be followed by )", 3),
        (r"\g<", "subpattern name expected", 3),
        (r"\g<1", r"\g is not followed by a braced, angle-bracketed, or quoted name/number or by a plain number", 2),
        (r"\g0", "a numbered reference must not be zero", 2),
        (r"[\N]", r"\N is not supported in a class", 2),
        ("[.x.]", "POSIX collating elements are not supported", 0),
        ("[[.x.]]", "POSIX collating elements are not supported", 1),
        ("(?<=(?:a|bc))d", "lookbehind assertion is not fixed length", 12),
        ("(?<1a>x)", "group name must start with a non-digit", 3),
        ("(?(DEFINE)a|b)", "DEFINE group contains more than one branch", 13),
        (r"\K+", "nothing to repeat", 2),
        ("(*)", "nothing to repeat", 1),
        ("(*ACCEPT)+", "nothing to repeat", 9),
        ("(?:a", "missing )", 4),
        ("(?<n>a", "missing )", 6),
        ("a|*", "nothing to repeat", 2),
        ("|+", "nothing to repeat", 1),
        ("(?i", "unrecognized character after (? or (?-", 3),
        ("(?(1", "malformed number or name after (?(", 4),
        ("(?(|", "assertion expected after (?( or (?(?C)", 3),
        ("(?()", "assertion expected after (?( or (?(?C)", 3),
        ("(?<{1>a)", "unrecognized character after (?<", 3),
        ("(?:)\\1(?(1)a|b)", "reference to non-existent subpattern", 11),
        ("(?(1)a|b|c)", "reference to non-existent subpattern", 5),
        ("()(?(1)a|b|c)x", "conditional group contains more than two branches", 12),
        ("()(?(1)a|b|c)(?#", "missing ) after comment", 16),
        ("(?<=a+|b)c", "lookbehind assertion is not fixed length", 6),
        ("(?<=a+){0}c", "lookbehind assertion is not fixed length", 6),
        ("(?<=a+\\1)c", "lookbehind assertion is not fixed length", 8),
        ("(?<=(?1)a+)(b)", "lookbehind assertion is not fixed length", 14),
        ("(?&n))", "reference to non-existent subpattern", 4),
        ("\\1)", "unmatched parentheses", 2),
        ("(?P>[)", "subpattern name expected", 4),
        ("\\g{-1[}", "subpattern name expected", 3),
        ("\\g{}", "a numbered reference must not be zero", 3),
        ("\\g-", "a numbered reference must not be zero", 2),
        ("\\g{-1}", "reference to non-existent subpattern", 5),
        ("(?-1\\)", "(?R or (?[+-]digits must be followed by )", 4),
        ("\\x{}", "digits missing in \\x{} or \\o{}", 3),
        ("\\p{l}", "unknown property name after \\P or \\p", 4),
        ("\\p{0123456789012345678901234567890}", "malformed \\P or \\p sequence", 33),
        ("[a-\\C]", "invalid range in character class", 4),
        ("[\\N{a]", "PCRE does not support \\L, \\l, \\N{name}, \\U, or \\u", 2),
        ("(?(<n", "malformed number or name after (?(", 5),
    ];
    for (pattern, message, offset) in rows {
        check(pattern, "", b"", &format!("{message} at offset {offset}"));
    }
}

#[test]
fn unsupported_is_refused() {
    check("(?C1)", "", b"", "callouts are not supported at offset 2");
    check("a(*THEN)b", "", b"", "(*MARK), (*THEN) and (*SKIP:NAME) are not supported at offset 7");
    check("(*CRLF)a", "", b"", "(*VERB) not recognized or malformed at offset 6");
    check("((a{1,999}b){1,999}c){1,999}", "", b"", "regular expression is too large at offset 0");
    let deep = "(".repeat(251) + &")".repeat(251);
    check(&deep, "", b"", "parentheses are too deeply nested at offset 251");
}

#[test]
fn searching_from_an_offset() {
    let cases = [
        ("^b", "", 1, "no"),
        ("(?<=a)b", "", 1, "1-2"),
        (r"\Gb", "", 1, "1-2"),
        (r"\ba", "", 0, "0-1"),
        ("b", "a", 0, "no"),
        ("$", "", 3, "3-3"),
        ("", "", 4, "pcre_exec() failed: -24"),
    ];
    for (pattern, letters, start, expected) in cases {
        assert_eq!(run(pattern.as_bytes(), letters, b"abc", start, 0), expected, "{pattern}");
    }
}

/// What the optimiser looks at: runs, alternatives by first byte, loops that know what follows.
#[test]
fn loops_and_alternatives() {
    table(&[
        (r#""(?:[^"\\]|\\.)*""#, "", br#"x "a\"b" y"#, "2-8"),
        (r"(?:ab|c)*abx", "", b"ababcabx", "0-8"),
        (r"(?:a|bc)*?bd", "", b"aabcbd", "0-6"),
        (r"(?:a|b)+?a", "", b"bba", "0-3"),
        (r"(?:foo|bar|baz)+qux", "", b"foobarbazqux", "0-12"),
        (r"(?:foo|fop|bar)x", "", b"foo fopx", "4-8"),
        (r"(?:ab|ac|a|b)+c", "", b"abacac", "0-6"),
        (r"(?:a(x)|b|c)+", "", b"baxc", "0-4 2-3"),
        (r"[a-z]+@[a-z]+", "", b"aaa bbb@c", "4-9"),
        (r"\b\w+;", "", b"one two; x", "4-8"),
        (r"(\w+)\s\1x", "", b"aab abx", "1-7 1-3"),
        (r"\s+$", "", b"a  b   ", "4-7"),
        (r"a*b", "", b"aaac aab", "5-8"),
        (r"^\s*(.*?)\s*$", "", b"  a b  ", "0-7 2-5"),
        (r".*?</b>", "", b"x</a></b>", "0-9"),
        (r"(.*?)(?:,|$)", "", b"ab", "0-2 0-2"),
        (r"(?<=[a-z])(?=[A-Z])", "", b"aBc", "1-1"),
        (r"(?<!a)b(?!c)", "", b"abbcbd", "4-5"),
        (r"[0-9]{4}-[0-9]{2}", "", b"123-45 1234-567", "7-14"),
        (r"(?i)mobile|android|iphone|ipad", "", b"some long text about an IPHONE here", "24-30"),
        (r"[^\x00]+", "", b"ab\x00", "0-2"),
        (r"[^ab]b", "", b"abbcb", "3-5"),
        (r"[^aé]+", "u", "xyéz".as_bytes(), "0-2"),
        (r"(?:é|e)+\b", "u", "éée!".as_bytes(), "0-5"),
        // A verb has to be come to.
        (r"b*?(?:(*PRUNE)x|ab)|", "", b"aab", "no"),
        (r"(?:[^x]{2}(*COMMIT)b|y)", "", b"accb", "no"),
        (r"(*COMMIT)a", "i", b"xA", "1-2"),
        (r"a(?<!(*ACCEPT))|ab", "", b"ab", "0-2"),
    ]);
}

#[test]
fn where_a_match_can_start() {
    table(&[
        (r".*\z", "", b"a\n", "2-2"),
        (r".*b", "", b"a\nab\n", "2-4"),
        (r"(.*)c|.*?d", "", b"a\nbd", "2-4"),
        (r"(?s).*?b\z", "", b"a\nb", "0-3"),
        (r".*a?\z", "", b"ab", "0-2"),
        (r".*(b|)$", "", b"ab", "0-2 2-2"),
        (r"(*COMMIT)b", "", b"ab", "1-2"),
        (r"(*PRUNE)a{2}|ab", "", b"ab", "no"),
        (r"(.*)a\1", "", b"xay", "1-2 1-1"),
        (r"[xyz]b", "", b"ab yb", "3-5"),
        (r"(?:x|y)b", "", b"ab yb", "3-5"),
        (r"z", "i", b"abZ", "2-3"),
    ]);
}

#[test]
fn limits() {
    let subject = [b'a'; 40];
    assert_eq!(run(b"(a+)+b|c", "", &subject, 0, DEFAULT_LIMIT), "pcre_exec() failed: -8");
    assert_eq!(run(b"(a+)+(?!a)b|c", "", &subject, 0, 0), "pcre_exec() failed: -8");
    // Without a limit, what needs no backtracking is handed over.
    assert_eq!(run(b"(a+)+b|c", "", &subject, 0, 0), "no");
    assert_eq!(run(b"(?:(a)|(b)|a)*c|(a+)$", "", &subject, 0, 0), "0-40 - - 0-40");
    assert_eq!(run(b"(x+x+)+y|$", "", &[b'x'; 60], 0, 0), "60-60");
    assert_eq!(run(b"(?:a|a)*$(?<!a)", "", &subject, 0, 5000), "pcre_exec() failed: -8");
    assert_eq!(run(b"(*LIMIT_MATCH=100)(?:a|a)*$(?<!a)", "", &subject, 0, 0), "pcre_exec() failed: -8");
    assert_eq!(run(b"(?:a|a)*$", "", &subject, 0, 5000), "0-40");
    // The required byte is not there: no attempt is made.
    assert_eq!(run(b"(a+)+b", "", &subject, 0, 0), "no");
    assert_eq!(run(b"a?(?=(?R))", "", b"b", 0, 0), "pcre_exec() failed: -26");
    let long = vec![b'a'; 1 << 18];
    assert_eq!(run(b"(?:a|b)*", "", &long, 0, 0), format!("0-{}", long.len()));
    assert_eq!(run(b"(a|b(?1))*", "", &long, 0, 0), format!("0-{0} {1}-{0}", long.len(), long.len() - 1));
    let open = vec![b'('; 200_000];
    assert_eq!(run(br"\((?:[^()]|(?R))*\)|\(x", "", &open, 0, 0), "pcre_exec() failed: -21");
}

#[test]
fn utf_subjects_are_checked() {
    assert_eq!(run(b".", "u", b"a\xff", 0, 0), "pcre_exec() failed: -10");
    assert_eq!(run(b".", "u", "é".as_bytes(), 1, 0), "pcre_exec() failed: -11");
    let unchecked = Flags { utf: true, no_utf_check: true, caseless: true, ..Flags::default() };
    for pattern in [r".+", r"\w\b.", r"[^a]*\xe9", r"(?<=.)\X", r"(.)\1"] {
        let regex = Regex::compile(pattern.as_bytes(), unchecked).unwrap();
        for subject in [&b"\xff\xc3"[..], b"\xe9\xe9\x80\x80\x80", b"a\xf0\x9f", b"\x80"] {
            for start in 0..=subject.len() {
                let _ = regex.exec(subject, start, &mut Captures::new(), 1000);
            }
        }
    }
}

#[test]
fn longest_match() {
    check("a|ab|abc", "L", b"xabcd", "1-4");
    check("(a|ab)(c|bcd)?", "L", b"abcd", "0-4");
    check("a+?", "L", b"aaa", "0-3");
}

#[test]
fn names_and_counts() {
    let regex = Regex::compile(b"(?<year>\\d+)-(?<month>\\d+)-(\\d+)", Flags::default()).unwrap();
    assert_eq!(regex.captures_len(), 4);
    assert_eq!(regex.names(), [(b"year".to_vec(), 1), (b"month".to_vec(), 2)]);
}

/// Deep nesting must fit a small thread's stack, in compiling, matching and dropping.
#[test]
fn deep_patterns_fit_a_small_stack() {
    let work = || {
        let deep = "(?:(".repeat(124) + "a" + &")*|b)+".repeat(124);
        assert!(run(deep.as_bytes(), "", b"aab", 0, 0).starts_with("0-2 2-2"));
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(work).unwrap().join().unwrap();
}

/// Generated patterns: nothing panics, the limit is honoured, and both engines find the same.
#[test]
fn generated_patterns() {
    use generate::{Kind, Random};
    let mut random = Random::new(4);
    let (mut captures, mut others) = (Captures::new(), Captures::new());
    let mut compared = 0;
    for _ in 0..30_000 {
        let kind = [Kind::Plain, Kind::Full, Kind::Broken][random.below(3)];
        let pattern = generate::pattern(&mut random, kind);
        let options = generate::options(&mut random);
        let Ok(regex) = Regex::compile(pattern.as_bytes(), flags(&options)) else { continue };
        for _ in 0..3 {
            let subject = generate::subject(&mut random);
            let found = regex.exec(subject.as_bytes(), 0, &mut captures, 3000);
            assert!(captures.steps() <= 3000 * 10 + 100, "/{pattern}/{options} on {subject:?}: {}", captures.steps());
            let Some(linear) = regex.linear.as_ref().filter(|linear| linear.suits(subject.as_bytes())) else {
                continue;
            };
            let anchored = regex.flags.anchored;
            let other = linear.search(subject.as_bytes(), 0, anchored, &mut others.scratch.slots);
            let (Some(other), Ok(found)) = (other, found) else { continue };
            others.groups = if other { regex.captures_len() } else { 0 };
            let spans =
                |captures: &Captures| (0..regex.captures_len()).map(|group| captures.span(group)).collect::<Vec<_>>();
            assert_eq!((found, spans(&captures)), (other, spans(&others)), "/{pattern}/{options} on {subject:?}");
            compared += 1;
        }
    }
    assert!(compared > 5000, "{compared}");
}

/// Whatever the pattern, compiling and matching end without a panic.
#[test]
fn random_patterns_do_not_panic() {
    const PARTS: &[&str] = &[
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "?",
        "*",
        "+",
        "|",
        "^",
        "$",
        ".",
        "\\",
        "a",
        "b",
        "1",
        "2,",
        "-",
        "(?",
        "(?:",
        "(?=",
        "(?<",
        "(?<=",
        "(?P",
        "<n>",
        "&n",
        "R)",
        "(*",
        "ACCEPT)",
        "\\Q",
        "\\E",
        "\\g",
        "\\k",
        "\\p{L",
        "\\x{",
        "[:alpha:]",
        "(?(",
        "1)",
        "i)",
        "x)",
        ":",
        "=",
        "!",
        "é",
        "\u{0}",
        "#",
        " ",
        "'",
        "\\c",
        "\\1",
        "DEFINE)",
    ];
    let mut dice = crate::dice::Dice(0);
    let mut random = move |below| dice.roll(below);
    let letters = ["", "i", "u", "iu", "x", "J", "mU", "D", "L"];
    for _ in 0..20_000 {
        let pattern: String = (0..random(12)).map(|_| PARTS[random(PARTS.len())]).collect();
        let subject: String = (0..random(8)).map(|_| ["a", "b", "1", "\n", "é", "("][random(6)]).collect();
        let _ = run(pattern.as_bytes(), letters[random(letters.len())], subject.as_bytes(), 0, 2000);
    }
}
