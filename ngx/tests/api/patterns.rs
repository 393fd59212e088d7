//! ngx.re.
use crate::support::check;

#[test]
fn matching() {
    check(&[
        ("local m = ngx.re.match('hello, 1234', '([0-9])[0-9]+') ngx.say(m[0], ' ', m[1], ' ', m[2])", "1234 1 nil\n"),
        ("ngx.say(ngx.re.match('hello', '[0-9]'))", "nil\n"),
        ("local m = ngx.re.match('a', '(a)|(b)|(c)') ngx.say(m[1], m[2], m[3], #m)", "afalsefalse3\n"),
        ("local m = ngx.re.match('ab', '(?<x>a)(?<y>b)(?<z>c)?') ngx.say(m.x, m.y, m.z)", "abfalse\n"),
        ("local m = ngx.re.match('ab', '(?<x>a)(?<x>b)(?<y>c)?', 'D') ngx.say(m.x[1], m.x[2], m.y)", "abnil\n"),
        ("local m = ngx.re.match('HELLO', 'hello', 'i') ngx.say(m[0])", "HELLO\n"),
        ("local m = ngx.re.match(12345, '3.') ngx.say(m[0])", "34\n"),
        ("local c = {pos = 3} local m = ngx.re.match('1 2 34', '[0-9]+', '', c) ngx.say(m[0], c.pos)", "24\n"),
        ("local c = {} ngx.re.match('ab', 'a', 'jo', c) ngx.say(c.pos)", "2\n"),
        ("local c = {pos = 9} ngx.say(ngx.re.match('ab', 'a', '', c))", "nilpcre_exec() failed: -24\n"),
        ("local t = {} local m = ngx.re.match('ab', '(a)', '', nil, t) ngx.say(m == t, t[0], t[1])", "trueaa\n"),
        ("local m = ngx.re.match('hello', '(he|hell)', 'd') ngx.say(m[0], m[1])", "hellnil\n"),
        ("local m = ngx.re.match('你好', '.', 'u') ngx.say(#m[0])", "3\n"),
        ("ngx.say(ngx.re.match('\\255', '.', 'u'))", "nilpcre_exec() failed: -10\n"),
        ("local m = ngx.re.match('\\255', '.', 'U') ngx.say(m ~= false)", "true\n"),
        ("ngx.say(ngx.re.match('a', '('))", "nilpcre_compile() failed: missing ) in \"(\"\n"),
        ("ngx.say(ngx.re.match('a', '(abc'))", "nilpcre_compile() failed: missing ) in \"(abc\"\n"),
        (
            "ngx.say(ngx.re.match('a', 'a**+*'))",
            "nilpcre_compile() failed: nothing to repeat in \"a**+*\" at \"*+*\"\n",
        ),
        ("ngx.say(pcall(ngx.re.match, 'a', 'a', 'iH'))", "falseunknown flag \"H\" (flags \"iH\")\n"),
        ("ngx.say(pcall(ngx.re.match, 'a'))", "falsebad argument #2 to '?' (string expected, got no value)\n"),
        ("ngx.say(ngx.re.match(('a'):rep(40) .. '!', '(a+)+$'))", "nil\n"),
        ("ngx.say(ngx.re.match(('a'):rep(40) .. '!', '(a+)+(?=$)'))", "nilpcre_exec() failed: -8\n"),
    ]);
}

#[test]
fn finding() {
    check(&[
        ("ngx.say(ngx.re.find('hello, 1234', '([0-9])[0-9]+'))", "811\n"),
        ("ngx.say(ngx.re.find('hello', 'x'))", "nil\n"),
        ("ngx.say(ngx.re.find('hello', '(e)(l)(x)?', '', nil, 2))", "33\n"),
        ("ngx.say(ngx.re.find('hello', '(e)(l)(x)?', '', nil, 3))", "nilnil\n"),
        ("ngx.say(ngx.re.find('hello', 'e', '', nil, 1))", "nilnilnth out of bound\n"),
        ("ngx.say(ngx.re.find('hello', '(', 'o'))", "nilnilpcre_compile() failed: missing ) in \"(\"\n"),
        ("local c = {pos = 2} ngx.say(ngx.re.find('aaa', 'a', 'jo', c)) ngx.say(c.pos)", "22\n3\n"),
        ("local from, to = ngx.re.find('abc', '', '') ngx.say(from, to)", "10\n"),
        ("for i = 1, 3000 do assert(ngx.re.find('x' .. i, 'x' .. i .. '$', 'jo')) end ngx.say('ok')", "ok\n"),
    ]);
}

#[test]
fn iterating() {
    check(&[
        ("for m in ngx.re.gmatch('hello, world', '[a-z]+') do ngx.print(m[0], ';') end", "hello;world;"),
        ("for m in ngx.re.gmatch('ab', '') do ngx.print('[', m[0], ']') end", "[][][]"),
        ("local it = ngx.re.gmatch('a', 'a') it() ngx.say(it(), it())", "nilnil\n"),
        ("ngx.say(ngx.re.gmatch('a', '(', 'jo'))", "nilpcre_compile() failed: missing ) in \"(\"\n"),
        (
            "local it = ngx.re.gmatch('a\\255', '.', 'u') ngx.say(it()) ngx.say(it())",
            "nilpcre_exec() failed: -10\nnil\n",
        ),
    ]);
}

#[test]
fn replacing() {
    check(&[
        ("ngx.say(ngx.re.sub('hello, 1234', '([0-9])[0-9]', '[$0][$1]'))", "hello, [12][1]341\n"),
        ("ngx.say(ngx.re.sub('hello, 1234', '[0-9]', '${0}00'))", "hello, 1002341\n"),
        ("ngx.say(ngx.re.sub('hello', 'x', 'y'))", "hello0\n"),
        ("ngx.say(ngx.re.sub('a', 'a', '$$'))", "$1\n"),
        ("ngx.say(ngx.re.gsub('hello, world', '([a-z])[a-z]+', '[$0,$1]', 'i'))", "[hello,h], [world,w]2\n"),
        ("ngx.say(ngx.re.gsub('abc', '', '-'))", "-a-b-c-4\n"),
        ("local s, n = ngx.re.gsub(('ab'):rep(3000), '[ab]', '$0.') ngx.say(#s, ' ', n)", "12000 6000\n"),
        ("ngx.say(ngx.re.gsub('a b', '[ab]', function(m) return m[0]:upper() end))", "A B2\n"),
        (
            "ngx.say(pcall(ngx.re.sub, 'a b', '[ab]', function(m) end))",
            "falsebad argument #1 to 'tostring' (value expected)\n",
        ),
        ("ngx.say(ngx.re.gsub('a b', '[ab]', function(m) return 1 end))", "1 12\n"),
        ("ngx.say(ngx.re.gsub('ab', '.', function(m) ngx.sleep(0.001) return m[0] .. m[0] end))", "aabb2\n"),
        ("ngx.say(pcall(ngx.re.gsub, 'ab', '.', function(m) error('no', 0) end))", "falseno\n"),
        (
            "local co = coroutine.wrap(function() return ngx.re.sub('ab', '.', function(m) return coroutine.yield(m[0]) end) end) \
             ngx.say(co()) ngx.say(co('x'))",
            "a\nxb1\n",
        ),
        (
            "ngx.say(ngx.re.sub('a', 'a', '$x'))",
            "nilnilfailed to compile the replacement template\n[error] attempt to use named capturing variable \"x\" (named \
             captures not supported yet)\n",
        ),
        ("ngx.say(ngx.re.sub('a', '(', 'b'))", "nilnilpcre_compile() failed: missing ) in \"(\"\n"),
        ("ngx.say(ngx.re.gsub('\\255', '.', 'b', 'u'))", "nilnilpcre_exec() failed: -10\n"),
    ]);
}

#[test]
fn splitting() {
    check(&[
        ("ngx.say(table.concat(require 'ngx.re'.split('a,b,c,d', ','), '|'))", "a|b|c|d\n"),
        ("ngx.say(table.concat(require 'ngx.re'.split('a,b,c,d', ',', nil, nil, 2), '|'))", "a|b,c,d\n"),
        ("ngx.say(table.concat(require 'ngx.re'.split('a,b,c,d', '(,)'), '|'))", "a|,|b|,|c|,|d\n"),
        ("ngx.say(table.concat(require 'ngx.re'.split(',a,b,,', ','), '|'))", "|a|b\n"),
        ("ngx.say(table.concat(require 'ngx.re'.split('abcd', ''), '|'))", "a|b|c|d\n"),
        ("ngx.say(#require 'ngx.re'.split('', ','))", "0\n"),
        ("local c = {pos = 3} ngx.say(table.concat(require 'ngx.re'.split('a,b,c', ',', nil, c), '|'))", "b|c\n"),
        ("ngx.say(table.concat(require 'ngx.re'.split('a,b', ',', nil, nil, nil, {1, 2, 3}), '|'))", "a|b\n"),
        ("ngx.say(require 'ngx.re'.split('a,b', '('))", "nilpcre_compile() failed: missing ) in \"(\"\n"),
        ("ngx.say(pcall(require 'ngx.re'.split, 'a', ',', nil, nil, nil, 1))", "falseres is not a table\n"),
        ("ngx.say(pcall(require 'ngx.re'.opt, 'x', 1))", "falseunrecognized option name\n"),
    ]);
}
