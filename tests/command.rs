//! `perilune lua` and `perilune run`: the commands that need no server.

use std::io::Write;
use std::process::{Command, Stdio};

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
    check(&["lua", "/no/such.lua"], "", "", "perilune lua: cannot open /no/such.lua: No such file or directory\n");
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
