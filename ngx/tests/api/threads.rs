//! Light threads: order, results, errors, killing; timers.
use crate::support::check;

#[test]
fn order_and_results() {
    check(&[
        (
            "local t = ngx.thread.spawn(function(a, b) ngx.print(a, b) return 3 end, 1, 2) ngx.say(ngx.thread.wait(t))",
            "12true3\n",
        ),
        // The child runs until it waits; then the parent goes on.
        (
            "local t = ngx.thread.spawn(function() ngx.print('a') ngx.sleep(0) ngx.print('c') end) ngx.print('b') \
             ngx.thread.wait(t) ngx.say('d')",
            "abcd\n",
        ),
        // The request waits for threads that nobody waits for.
        ("ngx.thread.spawn(function() ngx.sleep(0.01) ngx.say('late') end) ngx.say('entry')", "entry\nlate\n"),
        // The first that ends.
        (
            "local function f(s, n) ngx.sleep(s) return n end local a = ngx.thread.spawn(f, 0.05, 'slow') \
             local b = ngx.thread.spawn(f, 0.005, 'fast') ngx.say(ngx.thread.wait(a, b)) ngx.say(ngx.thread.wait(a))",
            "truefast\ntrueslow\n",
        ),
        (
            "local t = ngx.thread.spawn(function() error({ code = 7 }) end) local ok, e = ngx.thread.wait(t) ngx.say(ok, e.code)",
            "false7\n[error] lua user thread aborted: runtime error: unknown reason\n",
        ),
        (
            "for i = 1, 3 do ngx.thread.spawn(function() for j = 1, 2 do ngx.print(i) coroutine.yield() end end) end",
            "121323",
        ),
        // A coroutine of a light thread waits as a whole.
        (
            "local co = coroutine.wrap(function() ngx.sleep(0.001) coroutine.yield('one') ngx.sleep(0.001) return 'two' end) \
             ngx.say(co(), co())",
            "onetwo\n",
        ),
    ]);
}

#[test]
fn threads_that_never_wait_keep_nobody_waiting() {
    check(&[(
        "local t = ngx.thread.spawn(function() while true do end end) ngx.sleep(0.01) ngx.say(ngx.thread.kill(t))",
        "1\n",
    )]);
}

#[test]
fn errors() {
    check(&[
        ("ngx.say(ngx.thread.kill(coroutine.running()))", "nilnot user thread\n"),
        (
            "ngx.say(pcall(ngx.thread.wait, coroutine.running()))",
            "falseattempt to wait on a coroutine that is not a user thread\n",
        ),
        (
            "ngx.say(pcall(ngx.thread.wait, coroutine.create(function() end)))",
            "falseattempt to wait on a coroutine that is not a user thread\n",
        ),
        (
            "local t = ngx.thread.spawn(function() ngx.sleep(0.001) end) \
             local u = ngx.thread.spawn(function() return pcall(ngx.thread.wait, t) end) ngx.say(ngx.thread.wait(u))",
            "truefalseonly the parent coroutine can wait on the thread\n",
        ),
        (
            "local t = ngx.thread.spawn(function() end) ngx.thread.wait(t) ngx.say(ngx.thread.wait(t))",
            "nilalready waited or killed\n",
        ),
        (
            "local t = ngx.thread.spawn(function() ngx.sleep(1) end) \
             local u = ngx.thread.spawn(function() return ngx.thread.kill(t) end) ngx.say(ngx.thread.wait(u)) ngx.thread.kill(t)",
            "truenilkiller not parent\n",
        ),
        ("ngx.say(ngx.thread.kill(coroutine.create(function() end)))", "nilnot user thread\n"),
        (
            "local t = ngx.thread.spawn(function() end) ngx.say(ngx.thread.kill(t)) ngx.say(ngx.thread.kill(t))",
            "nilalready terminated\nnilalready waited or killed\n",
        ),
        (
            "local co = coroutine.create(function() end) coroutine.resume(co) ngx.say(coroutine.resume(co))",
            "falsecannot resume dead coroutine\n",
        ),
    ]);
}

#[test]
fn timers() {
    check(&[
        ("ngx.say(ngx.timer.pending_count(), ngx.timer.running_count())", "00\n"),
        (
            "local done ngx.timer.at(0, function(premature, a, b) done = tostring(premature) .. a .. b end, 'x', 'y') \
             for i = 1, 1000 do if done then break end ngx.sleep(0.005) end ngx.say(done)",
            "falsexy\n",
        ),
        (
            "local n = 0 ngx.timer.every(0.005, function() n = n + 1 end) \
             for i = 1, 1000 do if n > 2 then break end ngx.sleep(0.005) end ngx.say(n > 2)",
            "true\n",
        ),
        ("ngx.say(pcall(ngx.timer.every, 0, function() end))", "falsedelay cannot be zero\n"),
        ("ngx.say(pcall(ngx.timer.at, -1, print))", "falseinvalid timer delay \"-1000\"\n"),
    ]);
}

#[test]
fn only_so_many_timers_wait() {
    check(&[(
        "for i = 1, 1030 do local ok, err = ngx.timer.at(60, print) if not ok then ngx.say(i, ' ', err) break end end",
        "1025 too many pending timers\n",
    )]);
}
