//! `perilune lua [options] [script [args]]`: the lua command.

use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;
use std::rc::Rc;

use vm::value::table::TableRef;
use vm::{Value, Vm};

const USAGE: &str = "usage: perilune lua [options] [script [args]].\n\
    Available options are:\n  \
    -e stat  execute string 'stat'\n  \
    -i       enter interactive mode after executing 'script'\n  \
    -l name  require library 'name'\n  \
    -v       show version information\n  \
    --       stop handling options\n  \
    -        execute stdin and stop handling options";

pub fn main(args: &[String]) -> ExitCode {
    // Chunks to run in their order: (name, source).
    let mut chunks: Vec<(String, Vec<u8>)> = Vec::new();
    let mut at = 0;
    let (mut version, mut interactive) = (false, false);
    while let Some(arg) = args.get(at).filter(|arg| arg.starts_with('-') && *arg != "-") {
        at += 1;
        if arg == "--" {
            break;
        }
        let (option, stuck) = arg.split_at(arg.len().min(2));
        let mut value = || {
            if !stuck.is_empty() {
                return Some(stuck.to_string());
            }
            at += 1;
            args.get(at - 1).cloned()
        };
        match option {
            "-v" => version = true,
            "-i" => interactive = true,
            "-e" | "-l" => {
                let Some(value) = value() else {
                    eprintln!("perilune lua: '{option}' needs argument\n{USAGE}");
                    return ExitCode::FAILURE;
                };
                let source = match option {
                    "-e" => value.into_bytes(),
                    _ => [b"require(", &super::script::quoted(value.as_bytes())[..], b")"].concat(),
                };
                chunks.push(("=(command line)".into(), source));
            }
            _ => {
                eprintln!("perilune lua: unrecognized option '{arg}'\n{USAGE}");
                return ExitCode::FAILURE;
            }
        }
    }
    if args.get(at).is_none() && chunks.is_empty() && !version && std::io::stdin().is_terminal() {
        interactive = true;
    }
    if version || interactive {
        println!("perilune {} (Lua 5.1, LuaJIT's dialect)", super::identity::VERSION);
    }
    let source = match args.get(at).map(String::as_str) {
        None if !chunks.is_empty() || version || interactive => None,
        Some("-") | None => Some(("=stdin".to_string(), stdin())),
        Some(name) => Some((format!("@{name}"), std::fs::read(name).map_err(|e| cannot("open", name, &e)))),
    };
    if let Some((name, source)) = source {
        match source {
            Ok(source) => chunks.push((name, source)),
            Err(message) => {
                eprintln!("perilune lua: {message}");
                return ExitCode::FAILURE;
            }
        }
    }
    run(args, at, &chunks, interactive)
}

/// Runs the chunks in one machine. `script` is the script's place among the arguments: those behind it are its own.
fn run(args: &[String], script: usize, chunks: &[(String, Vec<u8>)], interactive: bool) -> ExitCode {
    let vm = Rc::new(Vm::new());
    vm.enter(|cx| {
        stdlib::open(cx);
        // As the lua command sets it: the script at 0, its arguments behind it, the program and its options before it.
        let arg = cx.table(args.len(), 0);
        for (n, word) in std::iter::once("perilune lua").chain(args.iter().map(String::as_str)).enumerate() {
            // (a number is never refused)
            let _ = arg.set(cx.mc, Value::num(n as f64 - 1.0 - script as f64), cx.str(word.as_bytes()));
        }
        cx.set_field(cx.globals(), "arg", Value::table(arg));
    });
    let own: Vec<&[u8]> = args.iter().skip(script + 1).map(|arg| arg.as_bytes()).collect();
    for (name, source) in chunks {
        if let Err(failure) = stdlib::runner::run(&vm, source, name.as_bytes(), &own) {
            let mut text = [b"perilune lua: ", &failure.message[..], b"\n"].concat();
            if !failure.traceback.is_empty() {
                text.extend_from_slice(&failure.traceback);
                text.push(b'\n');
            }
            // (where the error output is closed there is nobody to tell)
            let _ = std::io::stderr().write_all(&text);
            if !interactive {
                stdlib::runner::close(&vm);
                return ExitCode::FAILURE;
            }
            break;
        }
    }
    if interactive {
        super::prompt::run(vm.clone());
    }
    stdlib::runner::close(&vm);
    ExitCode::SUCCESS
}

fn cannot(what: &str, name: &str, e: &std::io::Error) -> String {
    format!("cannot {what} {name}: {}", stdlib::io_error(e))
}

fn stdin() -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    match std::io::stdin().read_to_end(&mut text) {
        Ok(_) => Ok(text),
        Err(e) => Err(cannot("read", "stdin", &e)),
    }
}
