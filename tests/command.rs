//! `perilune lua` and `perilune run`: the commands that need no server.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::Prefix;

/// Runs the program with these words and this input: its output, its error output, and whether it succeeded.
fn run(words: &[&str], input: &str) -> (String, String, bool) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_perilune"))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.success())
}

fn check(words: &[&str], input: &str, out: &str, errors: &str) {
    let (stdout, stderr, success) = run(words, input);
    assert_eq!((stdout.as_str(), stderr.as_str()), (out, errors), "{words:?}");
    assert_eq!(success, errors.is_empty(), "{words:?}");
}

#[test]
fn lua() {
    check(&["lua", "-e", "print(1)", "-e", "print(2)"], "", "1\n2\n", "");
    check(&["lua", "-", "a", "b"], "print(select('#', ...), (...), arg[0], arg[2])", "2\ta\t-\tb\n", "");
    check(&["lua"], "#!/usr/bin/lua\nio.write('from ', 'stdin', '\\n')", "from stdin\n", "");
    check(&["lua", "-e", "x =="], "", "", "perilune lua: (command line):1: '=' expected near '=='\n");
    check(
        &["lua", "-e", "error('no')"],
        "",
        "",
        "perilune lua: (command line):1: no\nstack traceback:\n\t[C]: in function 'error'\n\t(command line):1: in main chunk\n",
    );
    // What is alive at the end is finalized, the youngest first; an error in one does not keep the others from it.
    let finalizers = "for i = 1, 3 do
        local p = newproxy(true)
        getmetatable(p).__gc = function() io.write(i, ' ') if i == 2 then error('x') end end
        _G['p' .. i] = p
    end";
    check(&["lua", "-e", finalizers], "", "3 2 1 ", "");
    check(&["lua", "/no/such.lua"], "", "", "perilune lua: cannot open /no/such.lua: No such file or directory\n");
}

/// Expressions show their values, tables as source; an unfinished chunk waits for its end; an error ends nothing.
#[test]
fn prompt() {
    let home = Prefix::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_perilune"))
        .args(["lua", "-i", "-e", "x = 5"])
        .env("XDG_STATE_HOME", &home.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = "x + 1\n={1, 2, {a = 'q', ['b c'] = true}}\nfor i = 1, 2 do\nprint(i)\nend\nnil, 'a\\n'\nlocal = 1\n\
                 t = {} t.t = t\nerror({})\n#x\n'still here'\n";
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let (banner, rest) = stdout.split_once('\n').unwrap();
    assert!(banner.starts_with("perilune "), "{banner}");
    assert_eq!(rest, "6\n{ 1, 2, { [\"b c\"] = true, a = \"q\" } }\n1\n2\nnil\t\"a\\010\"\n\"still here\"\n");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = stderr.lines().filter(|line| line.starts_with("stdin:") || line.starts_with('(')).collect();
    assert_eq!(
        lines,
        [
            "stdin:1: '<name>' expected near '='",
            "(error object is a table value)",
            "stdin:1: attempt to get length of global 'x' (a number value)"
        ]
    );
    let history = home.read("perilune/lua_history");
    assert!(history.contains("x + 1\n") && history.contains("for i = 1, 2 do\\nprint(i)\\nend"), "{history}");
}

#[test]
fn run_has_the_api_and_the_event_loop() {
    check(
        &["run", "-e", "ngx.timer.at(0, function() print('timer') end) ngx.sleep(0.05) print(ngx.get_phase())"],
        "",
        "timer\ncontent\n",
        "",
    );
}
