//! `perilune run [-I DIR] [-e CODE] script.lua [args]`: a script with the ngx API and the event loop, without a server.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use ngx::code::Source;

use super::script::{self, Chunk};

const USAGE: &str = "usage: perilune run [-I DIR] [-e CODE] [script.lua [args]]";

pub fn main(args: &[String]) -> ExitCode {
    let mut chunks = Vec::new();
    let mut path = Vec::new();
    let mut at = 0;
    let mut scripted = false;
    while let Some(arg) = args.get(at) {
        at += 1;
        match (arg.as_str(), args.get(at)) {
            ("-I", Some(directory)) => {
                path.extend_from_slice(format!("{directory}/?.lua;{directory}/?/init.lua;").as_bytes());
                at += 1;
            }
            ("-e", Some(code)) => {
                let source = Source::Inline(Arc::from(code.as_bytes()));
                chunks.push(Chunk { source, name: b"=(command line)".to_vec() });
                at += 1;
            }
            (option, _) if option.starts_with('-') => {
                eprintln!("{USAGE}");
                return ExitCode::FAILURE;
            }
            (name, _) => {
                chunks.insert(0, script::arg_table(&args[at - 1..], 0));
                scripted = true;
                let source = Source::File(PathBuf::from(name));
                chunks.push(Chunk { source, name: format!("@{name}").into_bytes() });
                break;
            }
        }
    }
    if chunks.is_empty() {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    }
    if !scripted {
        chunks.insert(0, script::arg_table(&[], 0));
    }
    if !path.is_empty() {
        path.extend_from_slice(b";;");
    }
    script::run(chunks, path)
}
