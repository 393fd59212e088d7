//! ngx.pipe: programs that are started, read, written to, waited for and killed.
use crate::support::check;

const SPAWN: &str = "local pipe = require 'ngx.pipe' local function sh(text, o) return assert(pipe.spawn({ 'sh', '-c', text }, o)) end ";

#[track_caller]
fn check_pipes(rows: &[(&str, &str)]) {
    let sources: Vec<String> = rows.iter().map(|(source, _)| format!("{SPAWN}{source}")).collect();
    let rows: Vec<(&str, &str)> = sources.iter().map(String::as_str).zip(rows.iter().map(|row| row.1)).collect();
    check(&rows);
}

#[test]
fn reading() {
    check_pipes(&[
        (
            "local p = sh('echo a; echo b; printf c') ngx.say(p:stdout_read_line()) ngx.say(p:stdout_read_all())",
            "a\nb\nc\n",
        ),
        (
            "local p = sh('printf abcdef') ngx.say(p:stdout_read_bytes(2), p:stdout_read_bytes(0), p:stdout_read_bytes(3))",
            "abcde\n",
        ),
        (
            "local p = sh('printf abc') ngx.say(p:stdout_read_bytes(4)) ngx.say(p:stdout_read_line())",
            "nilclosedabc\nnilclosed\n",
        ),
        (
            "local p = sh('printf abcdef') ngx.say(p:stdout_read_any(4), p:stdout_read_any('4')) ngx.say(p:stdout_read_any(1))",
            "abcdef\nnilclosed\n",
        ),
        ("local p = sh('echo out; echo err >&2') ngx.say(p:stderr_read_all(), p:stdout_read_all())", "err\nout\n\n"),
        (
            "local p = sh('echo out; echo err >&2', { merge_stderr = true }) ngx.print(p:stdout_read_all()) \
          ngx.say(p:stderr_read_line()) ngx.say(p:shutdown('stderr'))",
            "out\nerr\nnilmerged to stdout\nnilmerged to stdout\n",
        ),
        (
            "local p = sh('printf ab; sleep 100') p:set_timeouts(nil, 60000) ngx.say(p:stdout_read_bytes(1)) p:set_timeouts(nil, 20) \
          ngx.say(p:stdout_read_all())",
            "a\nniltimeoutb\n",
        ),
        (
            "local p = sh('printf 12345', { buffer_size = 2 }) ngx.say(p:stdout_read_any(9), ' ', p:stdout_read_all())",
            "12 345\n",
        ),
        ("local p = pipe.spawn('echo $((6 * 7))') ngx.say(p:stdout_read_line())", "42\n"),
        ("local p = pipe.spawn({ 'env' }, { environ = { 'A=1', 'B=' } }) ngx.print(p:stdout_read_all())", "A=1\nB=\n"),
        // One reader a stream; another light thread may read the other one.
        (
            "local p = sh('sleep 100') local t = ngx.thread.spawn(function() return p:stdout_read_line() end) \
          ngx.say(p:stdout_read_line()) p:set_timeouts(nil, nil, 1) ngx.say(p:stderr_read_line()) p:shutdown('stdout') \
          ngx.say(ngx.thread.wait(t)) ngx.say(p:stdout_read_line())",
            "nilpipe busy reading\nniltimeout\ntruenilaborted\nnilclosed\n",
        ),
        // A reader that was killed leaves its place.
        (
            "local p = sh('sleep 0.02; echo late') local t = ngx.thread.spawn(function() p:stdout_read_line() end) \
          ngx.thread.kill(t) ngx.sleep(0) ngx.say(p:stdout_read_line())",
            "late\n",
        ),
    ]);
}

#[test]
fn writing() {
    check_pipes(&[
        (
            "local p = sh('cat') ngx.say(p:write('ab'), p:write({ 'c', 1 }), p:write(2)) ngx.say(p:shutdown('stdin')) \
          ngx.say(p:stdout_read_all())",
            "221\ntrue\nabc12\n",
        ),
        // More than a pipe holds: the writer waits for the reader.
        (
            "local p = sh('sleep 0.02; wc -c') ngx.say(p:write(('x'):rep(300000))) p:shutdown('stdin') \
          ngx.say(tonumber(p:stdout_read_line()))",
            "300000\n300000\n",
        ),
        (
            "local p = sh('exec 0<&-; sleep 100') p:set_timeouts(60000) local ok, err repeat ok, err = p:write('x') until not ok ngx.say(err)",
            "closed\n",
        ),
        ("local p = sh('sleep 100') p:set_timeouts(20) ngx.say(p:write(('x'):rep(300000)))", "niltimeout\n"),
        (
            "local p = sh('cat') p:shutdown('stdin') ngx.say(p:write('x')) ngx.say(p:shutdown('stdin'))",
            "nilclosed\ntrue\n",
        ),
    ]);
}

#[test]
fn ends() {
    check_pipes(&[
        ("local p = sh('exit 0') ngx.say(p:wait()) ngx.say(p:wait())", "trueexit0\nnilexited\n"),
        ("ngx.say(sh('exit 3'):wait())", "falseexit3\n"),
        ("ngx.say(sh('kill -9 $$'):wait())", "falsesignal9\n"),
        (
            "local p = sh('sleep 100') ngx.say(p:kill(15), p:wait()) ngx.say(p:kill(15))",
            "truefalsesignal15\nnilexited\n",
        ),
        ("local p = sh('sleep 100') ngx.say(p:kill(99)) ngx.say(p:kill(0))", "nilinvalid signal\ntrue\n"),
        ("local p = sh('sleep 100') p:set_timeouts(nil, nil, nil, 10) ngx.say(p:wait())", "niltimeout\n"),
        (
            "local p = sh('sleep 100', { wait_timeout = 10 }) local t = ngx.thread.spawn(p.wait, p) ngx.say(p:wait()) \
          ngx.say(ngx.thread.wait(t))",
            "nilpipe busy waiting\ntrueniltimeout\n",
        ),
        // The end told, the streams are closed.
        (
            "local p = sh('echo x') p:wait() ngx.say(p:stdout_read_line()) ngx.say(p:write('x')) ngx.say(p:shutdown('stdin'))",
            "nilclosed\nnilclosed\nnilclosed\n",
        ),
        // Not told, what was written can still be read.
        ("local p = sh('echo x') ngx.sleep(0.05) ngx.say(p:stdout_read_line(), p:wait())", "xtrueexit0\n"),
        (
            "local p = pipe.spawn({ '/no such', 'x' }) ngx.say(p:wait())",
            "falseexit1\n[error] lua pipe child execvp() failed while executing /no such (2: No such file or directory)\n",
        ),
        // A process that nobody holds any more is killed.
        (
            "local p = sh('sleep 1000') local id = p:pid() p = nil collectgarbage() collectgarbage() \
          for i = 1, 5000 do ngx.sleep(0.01) if not io.open('/proc/' .. id) then return ngx.say('gone') end end",
            "gone\n",
        ),
    ]);
}

#[test]
fn mistakes() {
    check_pipes(&[
        ("ngx.say(pcall(pipe.spawn))", "falsebad args arg: table expected, got nil\n"),
        ("ngx.say(pcall(pipe.spawn, {}))", "falsebad args arg: non-empty table expected\n"),
        ("ngx.say(pcall(pipe.spawn, 'x', { buffer_size = 0 }))", "falsebad buffer_size option\n"),
        ("ngx.say(pcall(pipe.spawn, 'x', { environ = 1 }))", "falsebad environ option: table expected, got number\n"),
        (
            "ngx.say(pcall(pipe.spawn, 'x', { environ = { 'A=', 1 } }))",
            "falsebad value at index 2 of environ option: string expected, got number\n",
        ),
        (
            "ngx.say(pcall(pipe.spawn, 'x', { environ = { '=' } }))",
            "falsebad value at index 1 of environ option: 'name=[value]' format expected, got '='\n",
        ),
        ("ngx.say(pcall(pipe.spawn, 'x', { wait_timeout = -1 }))", "falsebad wait_timeout option\n"),
        ("local p = sh('true') ngx.say(pcall(p.set_timeouts, p, 2 ^ 32))", "falsebad write_timeout option\n"),
        ("local p = sh('true') ngx.say(pcall(p.shutdown, p, 'all'))", "falsebad shutdown arg: all\n"),
        ("local p = sh('true') ngx.say(pcall(p.kill, p, 'TERM'))", "falsebad signal arg: number expected, got TERM\n"),
        (
            "local p = sh('true') ngx.say(pcall(p.write, p, true))",
            "falsebad data arg: string, number, or table expected, got boolean\n",
        ),
        (
            "local p = sh('true') ngx.say(pcall(p.stdout_read_bytes, p, -1)) ngx.say(pcall(p.stdout_read_any, p, 0))",
            "falsebad len argument\nfalsebad max argument\n",
        ),
        ("local p = sh('true') ngx.say(pcall(p.wait, {}))", "falsenot a process instance\n"),
    ]);
}
