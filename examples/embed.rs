//! The Lua machine in a program of one's own, on tokio: a native that waits, a limit of memory, fuel for each turn.
//!
//! `cargo run --example embed` runs two scripts at once on one thread; each waits without holding the other up.

use std::future::poll_fn;
use std::time::Duration;

use vm::{Call, Lent, Outcome, Reply, Row, Step, Value, Vm, Wake, What, row};

static NATIVES: &[Row] = &[row("sleep", sleep, "sleep(seconds): the other scripts go on meanwhile")];

fn sleep<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let seconds = call.number(0)?.clamp(0.0, 3600.0);
    Outcome::park(What::Sleep, tokio::time::sleep(Duration::from_secs_f64(seconds)), |call, ()| call.ret(Value::TRUE))
}

/// Runs a script to its end; its error, if it has one.
async fn run(vm: &Vm, name: &str, source: &str) -> Result<(), String> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let main = vm.enter(|cx| match cx.load(source.as_bytes(), name.as_bytes(), cx.globals()) {
        Ok(main) => Ok(cx.stash(Value::closure(main))),
        Err(error) => Err(text(cx.raw_tostring(error))),
    })?;
    let (id, mut wake) = (vm.start(&main), Wake::Go);
    loop {
        let mut fuel = 20_000;
        let step = vm.run(id, wake, Lent { host: &mut (), phase: 0, fuel: &mut fuel });
        vm.collect(256.0);
        wake = match step {
            Step::Park(mut wait) => {
                poll_fn(|cx| wait.as_mut().poll(cx)).await;
                Wake::Resume(wait)
            }
            Step::OutOfFuel | Step::Yield(_) => {
                tokio::task::yield_now().await;
                Wake::Go
            }
            Step::Error => return Err(text(stdlib::runner::failure(vm, id).message)),
            Step::Done | Step::Exit | Step::Gone => return Ok(()),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let vm = Vm::new();
    vm.enter(|cx| {
        stdlib::open(cx);
        cx.library("", NATIVES);
    });
    vm.limit_memory(16 << 20);
    let one = run(&vm, "=one", "for i = 1, 3 do print('one', i) sleep(0.02) end");
    let two = run(&vm, "=two", "sleep(0.01) print('two') local s = 'x' while true do s = s .. s end");
    let (one, two) = tokio::join!(one, two);
    println!("{one:?} {two:?}");
}
