//! Source in, instructions out: each `golden/NAME.lua` compiles to exactly `golden/NAME.txt`.
//!
//! `BLESS=1 cargo test -p perilune-vm --test golden` writes the texts anew; read the difference before committing it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

fn check(source: &Path) {
    let text = fs::read(source).unwrap();
    let proto = vm::compile::compile(&text, b"=golden").expect("the source compiles");
    let listing = vm::code::disasm::disasm(&proto);
    let expected_path = source.with_extension("txt");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&expected_path, &listing).unwrap();
    }
    let expected = fs::read_to_string(&expected_path).unwrap_or_default();
    assert!(listing == expected, "{} compiles to\n{listing}", source.display());
    // A long source is compiled in pieces, to the same instructions.
    let proto = vm::compile::compile_in_pieces(&text, b"=golden").expect("the source compiles in pieces");
    let pieces = vm::code::disasm::disasm(&proto);
    assert!(pieces == listing, "{} compiles in pieces to\n{pieces}", source.display());
}

#[test]
fn sources_compile_to_these_instructions() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut seen = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "lua") {
            check(&path);
            seen += 1;
        }
    }
    assert!(seen >= 25, "only {seen} sources");
}
