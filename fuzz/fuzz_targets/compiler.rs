//! Any bytes as a Lua program: the compiler answers, what it makes is sound, the same in pieces, and running it under limits ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vm::{Cx, Lent, Step, TableRef, Value, Vm, Wake};

#[global_allocator]
static ALLOCATOR: vm::Allocator = vm::Allocator;

/// What a program may cost: instructions, bytes.
const FUEL: i64 = 2_000;
const MEMORY: usize = 16 << 20;

/// The libraries that do not reach out of the machine.
fn open(cx: Cx<'_>) {
    for library in [
        stdlib::base::open,
        stdlib::coroutine::open,
        stdlib::bit::open,
        stdlib::debug::open,
        stdlib::math::open,
        stdlib::string::open,
        stdlib::table::open,
    ] {
        library(cx);
    }
    for name in ["dofile", "loadfile", "print"] {
        let _ = cx.globals().set(cx.mc, cx.str(name.as_bytes()), Value::NIL);
    }
}

fuzz_target!(|source: &[u8]| {
    let Ok(chunk) = vm::compile::compile(source, b"=fuzz") else { return };
    if let Err(what) = vm::code::verify::verify(&chunk) {
        panic!("{what}\n{}", vm::code::disasm::disasm(&chunk));
    }
    match vm::compile::compile_in_pieces(source, b"=fuzz") {
        Ok(pieces) => assert_eq!(vm::code::disasm::disasm(&chunk), vm::code::disasm::disasm(&pieces)),
        Err(error) => panic!("in pieces: {}", error.message.escape_ascii()),
    }
    let vm = Vm::new();
    vm.enter(open);
    vm.limit_memory(MEMORY);
    let id = vm.enter(|cx| cx.load(source, b"=fuzz", cx.globals()).ok().map(|f| cx.spawn(Value::closure(f), &[]).0));
    let (Some(id), mut fuel) = (id, FUEL) else { return };
    while fuel > 0 {
        let step = vm.run(id, Wake::Go, Lent { host: &mut (), phase: 0, fuel: &mut fuel });
        vm.collect(256.0);
        if !matches!(step, Step::OutOfFuel) {
            break;
        }
    }
    vm.bury(id);
});
