//! One call of a module's function on a pool's thread.
use std::rc::Rc;

use vm::value::table::TableRef;
use vm::{Cx, Value};

use super::Ticket;
use super::plain::{Copier, Plain, Stays};
use crate::phase::Phase;
use crate::sched::Run;
use crate::worker::Worker;

pub(crate) struct Job {
    pub module: Vec<u8>,
    pub function: Vec<u8>,
    pub args: Vec<Plain>,
    /// The `package.path` and `package.cpath` that a new machine begins with.
    pub paths: [Vec<u8>; 2],
    pub ticket: Ticket,
}

/// The function's results, or the message of whatever failed.
pub(crate) type Answer = Result<Vec<Plain>, Vec<u8>>;

/// Runs in the thread's machine: the module's name, the function's, the arguments. Errors come back as values.
const RUNNER: &str = r#"
local module, name = ...
local ok, loaded = pcall(require, module)
if not ok then
    return false, loaded
end
if type(loaded) ~= "table" then
    return false, "invalid lua module"
end
local f = loaded[name]
if type(f) ~= "function" then
    return false, "invalid function"
end
return pcall(f, select(3, ...))
"#;

impl Job {
    pub async fn run(self, machine: &Rc<Worker>) -> Answer {
        let Job { module, function, args, paths, ticket } = self;
        let mut request = machine.bare_request(Phase::WorkerThread, None);
        let id = machine.vm.enter(|cx| {
            let runner = runner(cx, &paths)?;
            let mut values = vec![cx.str(&module), cx.str(&function)];
            values.extend(args.iter().map(|arg| arg.value(cx)));
            Ok::<_, Vec<u8>>(cx.spawn(runner, &values).0)
        })?;
        drop(args);
        let mut run = Run::new(machine.clone(), id);
        // An error of the runner itself: there was no memory.
        run.run_quietly(&mut request).await?;
        let answer = machine.vm.enter(|cx| {
            let results = cx.thread(id).and_then(|thread| cx.results_of(thread));
            let Some((true, values)) = results else { return Err(b"the thread ended early".to_vec()) };
            take(cx, &values)
        });
        drop(run);
        machine.vm.collect_all();
        drop(ticket);
        answer
    }
}

/// The compiled runner; made, and the paths set, when the machine is new.
fn runner<'gc>(cx: Cx<'gc>, paths: &[Vec<u8>; 2]) -> Result<Value<'gc>, Vec<u8>> {
    let known = cx.registry().field(b"thread runner");
    if !known.is_nil() {
        return Ok(known);
    }
    let runner = cx.load(RUNNER.as_bytes(), b"=run_worker_thread", cx.globals()).map_err(|e| cx.raw_tostring(e))?;
    if let Some(package) = cx.globals().field(b"package").as_table() {
        for (name, path) in ["path", "cpath"].into_iter().zip(paths) {
            cx.set_field(package, name, cx.str(path));
        }
    }
    let runner = Value::closure(runner);
    cx.set_field(cx.registry(), "thread runner", runner);
    Ok(runner)
}

/// What the runner returned, as the caller gets it.
fn take<'gc>(cx: Cx<'gc>, values: &[Value<'gc>]) -> Answer {
    let Some((ok, values)) = values.split_first() else { return Ok(Vec::new()) };
    if !ok.truthy() {
        // (an error that is no text has none)
        let text = values.first().and_then(|v| cx.to_str(*v));
        return Err(text.map(|s| s.bytes().to_vec()).unwrap_or_default());
    }
    let mut copier = Copier::new(cx);
    values.iter().map(|v| copier.copy(*v)).collect::<Result<_, _>>().map_err(|stays| match stays {
        Stays::Words(words) => format!("{words} in the return value").into_bytes(),
        Stays::Error(error) => cx.raw_tostring(error),
    })
}
