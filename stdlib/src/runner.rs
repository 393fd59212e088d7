//! Runs a thread to its end on the calling OS thread: for the command line, tests and benchmarks. Nothing can wait here.
use vm::native::traceback_of;
use vm::{Lent, Stashed, Step, Vm, Wake};

/// Fuel of one slice: how long the collector waits at most.
const SLICE: i64 = 20_000;
/// Collect when so many objects' worth of debt has gathered.
const DEBT: f64 = 256.0;

/// An error nobody caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub message: Vec<u8>,
    pub traceback: Vec<u8>,
}

/// Calls a function with strings as arguments; its results are dropped.
pub fn call(vm: &Vm, function: &Stashed, args: &[&[u8]]) -> Result<(), Failure> {
    evaluate(vm, function, args).map(drop)
}

/// Calls a function with strings as arguments, and gives its results.
pub fn evaluate(vm: &Vm, function: &Stashed, args: &[&[u8]]) -> Result<Vec<Stashed>, Failure> {
    let id = vm.enter(|cx| {
        let args: Vec<_> = args.iter().map(|arg| cx.str(arg)).collect();
        cx.spawn(cx.fetch(function), &args).0
    });
    let mut wake = Wake::Go;
    loop {
        let mut fuel = SLICE;
        let entry = std::mem::replace(&mut wake, Wake::Go);
        let step = vm.run(id, entry, Lent { host: &mut (), phase: 0, fuel: &mut fuel });
        vm.collect(DEBT);
        match step {
            Step::OutOfFuel => {}
            Step::Done | Step::Exit | Step::Gone => {
                let results = vm.enter(|cx| {
                    let values = cx.thread(id).and_then(|thread| cx.results_of(thread)).map_or(Vec::new(), |(_, v)| v);
                    values.into_iter().map(|v| cx.stash(v)).collect()
                });
                vm.bury(id);
                return Ok(results);
            }
            Step::Error => return Err(failure(vm, id)),
            // (nobody is there to go on: an error, which the program may catch)
            Step::Yield(_) | Step::Park(_) => wake = Wake::Failed("attempt to yield across C-call boundary"),
        }
    }
}

/// What a failed thread left behind; it is buried.
pub fn failure(vm: &Vm, id: vm::ThreadId) -> Failure {
    let failure = vm.enter(|cx| {
        let Some(thread) = cx.thread(id) else { return Failure { message: Vec::new(), traceback: Vec::new() } };
        let error = cx.results_of(thread).and_then(|(_, v)| v.first().copied()).unwrap_or(vm::Value::NIL);
        let message = match cx.to_str(error) {
            Some(s) => s.bytes().to_vec(),
            None => format!("(error object is a {} value)", error.type_name()).into_bytes(),
        };
        Failure { message, traceback: traceback_of(thread, 0) }
    });
    vm.bury(id);
    failure
}

/// Compiles and runs a chunk; the arguments are its `...`.
pub fn run(vm: &Vm, source: &[u8], chunk_name: &[u8], args: &[&[u8]]) -> Result<(), Failure> {
    let function = vm.enter(|cx| match cx.load(source, chunk_name, cx.globals()) {
        Ok(f) => Ok(cx.stash(vm::Value::closure(f))),
        Err(e) => Err(Failure { message: cx.raw_tostring(e), traceback: Vec::new() }),
    })?;
    call(vm, &function, args)
}

/// Objects that finalizers make at the end have finalizers of their own; so often, as LuaJIT does.
const ROUNDS: usize = 10;

/// Calls every finalizer there is, the youngest object's first: before the machine is dropped. Their errors concern nobody.
pub fn close(vm: &Vm) {
    static COLLECT: vm::Row = vm::native::row("close", |_| Ok(vm::Outcome::collect()), "the end of the machine");
    let collect = vm.enter(|cx| cx.stash(vm::Value::row(&COLLECT)));
    for _ in 0..ROUNDS {
        if !vm.enter(|cx| cx.finalize_all()) {
            return;
        }
        // (each error has used up a finalizer)
        while call(vm, &collect, &[]).is_err() {}
    }
}
