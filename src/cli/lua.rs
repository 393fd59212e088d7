//! `perilune lua [options] [script [args]]`: the lua command.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use ngx::code::Source;

use super::script::{self, Chunk};

const USAGE: &str = "usage: perilune lua [options] [script [args]].\n\
    Available options are:\n  \
    -e stat  execute string 'stat'\n  \
    -l name  require library 'name'\n  \
    -v       show version information\n  \
    --       stop handling options\n  \
    -        execute stdin and stop handling options";

pub fn main(args: &[String]) -> ExitCode {
    let mut chunks = Vec::new();
    let inline = |text: &[u8], name: &[u8]| Chunk { source: Source::Inline(Arc::from(text)), name: name.to_vec() };
    let mut at = 0;
    let mut version = false;
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
            "-e" | "-l" => {
                let Some(value) = value() else {
                    eprintln!("perilune lua: '{option}' needs argument\n{USAGE}");
                    return ExitCode::FAILURE;
                };
                chunks.push(match option {
                    "-e" => inline(value.as_bytes(), b"=(command line)"),
                    _ => {
                        inline(&[b"require(", &script::quoted(value.as_bytes())[..], b")"].concat(), b"=(command line)")
                    }
                });
            }
            _ => {
                eprintln!("perilune lua: unrecognized option '{arg}'\n{USAGE}");
                return ExitCode::FAILURE;
            }
        }
    }
    if version {
        println!("perilune {} (Lua 5.1, LuaJIT's dialect)", super::identity::VERSION);
    }
    match args.get(at).map(String::as_str) {
        Some("-") => chunks.extend(stdin()),
        Some(name) => {
            let source = Source::File(PathBuf::from(name));
            chunks.push(Chunk { source, name: format!("@{name}").into_bytes() });
        }
        None if chunks.is_empty() && !version => chunks.extend(stdin()),
        None => {}
    }
    if chunks.is_empty() {
        return ExitCode::SUCCESS;
    }
    chunks.insert(0, script::arg_table(args, at));
    script::run(chunks, Vec::new())
}

fn stdin() -> Option<Chunk> {
    let mut text = Vec::new();
    if let Err(error) = std::io::stdin().read_to_end(&mut text) {
        eprintln!("perilune lua: cannot read stdin: {error}");
        return None;
    }
    Some(Chunk { source: Source::Inline(Arc::from(text)), name: b"=stdin".to_vec() })
}
