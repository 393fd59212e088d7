//! Programs in, what they print out: each `language/NAME.lua` prints exactly `language/NAME.txt`, as it does in LuaJIT.
//!
//! `BLESS=1 cargo test -p perilune-stdlib --test language` writes the texts anew; `PROGRAM=upvalues` takes those of that name only.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use vm::{Call, Outcome, Reply, Row, row};

thread_local! {
    static PRINTED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

static PRINT: &[Row] = &[row("print", print, "print(...): into the test's own buffer")];

fn print<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    PRINTED.with_borrow_mut(|out| {
        for i in 0..call.len() {
            if i > 0 {
                out.push(b'\t');
            }
            out.extend_from_slice(&call.cx.raw_tostring(call.arg(i)));
        }
        out.push(b'\n');
    });
    Ok(Outcome::Return)
}

fn check(program: &Path) {
    let source = fs::read(program).unwrap();
    let vm = vm::Vm::new();
    vm.enter(|cx| {
        stdlib::open(cx);
        cx.register(cx.globals(), PRINT);
    });
    PRINTED.take();
    if let Err(failure) = stdlib::runner::run(&vm, &source, b"=t", &[]) {
        panic!("{}: {}", program.display(), failure.message.escape_ascii());
    }
    let printed = PRINTED.take();
    let expected_path = program.with_extension("txt");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&expected_path, &printed).unwrap();
    }
    let expected = fs::read(&expected_path).unwrap_or_default();
    let (printed, expected) = (String::from_utf8_lossy(&printed), String::from_utf8_lossy(&expected));
    // Zeal takes more steps than the program asks for.
    let paced = |line: &str| cfg!(feature = "zeal") && line.starts_with("many small steps");
    for (i, (line, wanted)) in printed.lines().zip(expected.lines()).enumerate() {
        assert!(
            line == wanted || paced(line),
            "{} prints in line {}\n  {line}\nnot\n  {wanted}",
            program.display(),
            i + 1
        );
    }
    assert_eq!(printed.lines().count(), expected.lines().count(), "{}", program.display());
}

#[test]
fn programs_print_what_luajit_prints() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/language");
    let wanted = std::env::var("PROGRAM").unwrap_or_default();
    let mut seen = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(&wanted) && name.ends_with(".lua") {
            check(&path);
            seen += 1;
        }
    }
    assert!(seen > 0);
}
