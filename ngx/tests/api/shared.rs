//! ngx.shared. (What a zone does is tested beside it; this is how Lua sees it.)
use crate::support::check;

#[test]
fn values() {
    check(&[
        ("local d = ngx.shared.dogs ngx.say(d:set('a', 'x')) ngx.say(d:get('a'))", "truenilfalse\nx\n"),
        (
            "local d = ngx.shared.dogs d:set('a', 3.5) d:set('b', true) ngx.say(d:get('a'), d:get('b'), d:get('c'))",
            "3.5truenil\n",
        ),
        ("local d = ngx.shared.dogs d:set('a', 1, 0, 7) ngx.say(d:get('a'))", "17\n"),
        ("local d = ngx.shared.dogs d:set(12, 'n') ngx.say(d:get('12'), d:get(12))", "nn\n"),
        ("local d = ngx.shared.dogs ngx.say(d:set('t', {}))", "nilbad value type\n"),
        ("local d = ngx.shared.dogs ngx.say(d:set(nil, 1)) ngx.say(d:get(nil))", "nilnil key\nnilnil key\n"),
        ("local d = ngx.shared.dogs ngx.say(d:set('', 1)) ngx.say(d:get(''))", "nilempty key\nnilempty key\n"),
        ("local d = ngx.shared.dogs ngx.say(d:get(('k'):rep(65536)))", "nilkey too long\n"),
        ("local d = ngx.shared.dogs ngx.say(pcall(d.set, d, 'a', 1, -1))", "falsebad \"exptime\" argument\n"),
        ("ngx.say(pcall(ngx.shared.dogs.get, nil, 'a'))", "falsebad \"zone\" argument\n"),
        ("ngx.say(pcall(ngx.shared.dogs.get, {}, 'a'))", "falsebad \"zone\" argument\n"),
        ("local d = ngx.shared.dogs d:set('a', 1) ngx.say(d:delete('a')) ngx.say(d:get('a'))", "truenilfalse\nnil\n"),
        (
            "local d = ngx.shared.dogs d:set('a', 1) ngx.say(d:add('a', 2)) d:delete('a') ngx.say(d:add('a', 2))",
            "falseexistsfalse\ntruenilfalse\n",
        ),
        ("local d = ngx.shared.dogs d:delete('r') ngx.say(d:replace('r', 2))", "falsenot foundfalse\n"),
        ("local d = ngx.shared.cats ngx.say(d:safe_set('a', ('x'):rep(20000)))", "falseno memoryfalse\n"),
        (
            "local d = ngx.shared.cats ngx.say(d:safe_add('a', 1)) ngx.say(d:safe_add('a', 1))",
            "truenilfalse\nfalseexistsfalse\n",
        ),
        ("ngx.say(ngx.shared.wolves)", "nil\n"),
    ]);
}

#[test]
fn lives() {
    check(&[
        (
            "local d = ngx.shared.dogs d:set('a', 1, 60) ngx.say(d:get('a')) d:set('a', 1, 0.01) ngx.sleep(0.02) ngx.say(d:get('a'))",
            "1\nnil\n",
        ),
        (
            "local d = ngx.shared.dogs d:set('b', 1, 60, 3) ngx.say(d:get_stale('b')) d:set('b', 1, 0.01, 3) ngx.sleep(0.02) ngx.say(d:get_stale('b'))",
            "13false\n13true\n",
        ),
        ("local d = ngx.shared.dogs d:set('a', 1) ngx.say(d:ttl('a')) ngx.say(d:ttl('none'))", "0\nnilnot found\n"),
        ("local d = ngx.shared.dogs d:set('a', 1, 100) local t = d:ttl('a') ngx.say(t > 10 and t <= 100)", "true\n"),
        ("local d = ngx.shared.dogs d:set('a', 1) ngx.say(d:expire('a', 100), d:ttl('a') > 10)", "truetrue\n"),
        (
            "local d = ngx.shared.dogs ngx.say(d:expire('none', 5)) ngx.say(pcall(d.expire, d, 'a'))",
            "nilnot found\nfalsebad \"exptime\" argument\n",
        ),
        ("local d = ngx.shared.dogs d:set('a', 1) d:flush_all() ngx.say(d:get('a'))", "nil\n"),
        (
            "local d = ngx.shared.cats d:flush_all() d:flush_expired() for i = 1, 5 do d:set(i, 1) end d:flush_all() ngx.say(d:flush_expired())",
            "2\n",
        ),
        ("ngx.say(pcall(ngx.shared.cats.flush_expired))", "falseexpecting 1 or 2 argument(s), but saw 0\n"),
    ]);
}

#[test]
fn numbers_and_lists() {
    check(&[
        (
            "local d = ngx.shared.dogs d:set('n', 1) ngx.say(d:incr('n', 2)) ngx.say(d:incr('n', -0.5, 9))",
            "3\n2.5nilfalse\n",
        ),
        ("local d = ngx.shared.dogs ngx.say(d:incr('m', 2)) ngx.say(d:incr('m', 2, 10))", "nilnot found\n12nilfalse\n"),
        ("local d = ngx.shared.dogs d:set('s', 'x') ngx.say(d:incr('s', 1))", "nilnot a number\n"),
        (
            "local d = ngx.shared.dogs ngx.say(pcall(d.incr, d, 'z', 1, 'a'))",
            "falsebad init arg: number expected, got string\n",
        ),
        ("local d = ngx.shared.dogs ngx.say(pcall(d.incr, d, 'z', 1, 0, -1))", "falsebad \"init_ttl\" argument\n"),
        (
            "local d = ngx.shared.dogs ngx.say(pcall(d.incr, d, 'z', 1, nil, 1))",
            "falsemust provide \"init\" when providing \"init_ttl\"\n",
        ),
        ("local d = ngx.shared.dogs d:incr('w', 1, 0, 0.01) ngx.sleep(0.02) ngx.say(d:get('w'))", "nil\n"),
        (
            "local d = ngx.shared.dogs ngx.say(d:rpush('l', 1), d:rpush('l', 'b'), d:lpush('l', 0), d:llen('l'))",
            "1233\n",
        ),
        (
            "local d = ngx.shared.dogs ngx.say(d:lpop('l'), d:rpop('l'), d:lpop('l'), d:lpop('l'), d:llen('l'))",
            "0b1nil0\n",
        ),
        (
            "local d = ngx.shared.dogs d:set('s', 1) ngx.say(d:lpush('s', 1)) ngx.say(d:llen('s'))",
            "nilvalue not a list\nnilvalue not a list\n",
        ),
        ("local d = ngx.shared.dogs ngx.say(d:lpush('q', true))", "nilbad value type\n"),
        ("local d = ngx.shared.dogs d:lpush('p', 1) ngx.say(d:get('p'))", "nilvalue is a list\n"),
        ("ngx.say(pcall(ngx.shared.dogs.lpush, 1))", "falseexpecting 3 arguments, but only seen 1\n"),
        (
            "local d = ngx.shared.cats d:set('a', 1) d:set('b', 1) local k = d:get_keys() table.sort(k) ngx.say(k)",
            "ab\n",
        ),
        (
            "ngx.say(#ngx.shared.cats:get_keys(1), ngx.shared.cats:capacity(), ngx.shared.cats:free_space() >= 0)",
            "116384true\n",
        ),
    ]);
}
